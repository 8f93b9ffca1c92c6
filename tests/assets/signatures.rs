//! Lists of sums that are signed: by keys made for the test, checked by gpgv.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bootwright::assets::AssetError;
use bootwright::assets::fetch::From;
use bootwright::assets::manifest::Checked;
use bootwright::config::fetch::{Signature, SumList};

use crate::server::Server;
use crate::site::{Place, initrd, kernel, run, signed, sums};

/// A folder with two keys: the distribution's, of which there is a keyring, and a stranger's.
struct Keys(tempfile::TempDir);

impl Keys {
    fn new() -> Self {
        // The path of gpg's sockets must be short.
        let folder = tempfile::Builder::new().prefix("bw").tempdir().unwrap();
        let keys = Self(folder);
        for who in ["os@example", "stranger@example"] {
            run(keys.gpg().args([
                "--passphrase",
                "",
                "--quick-gen-key",
                who,
                "ed25519",
                "sign",
            ]));
        }
        run(keys
            .gpg()
            .args(["--output"])
            .arg(keys.path("os.gpg"))
            .args(["--export", "os@example"]));
        run(keys
            .gpg()
            .args(["--armor", "--output"])
            .arg(keys.path("os.asc"))
            .args(["--export", "os@example"]));
        keys
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn gpg(&self) -> Command {
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--quiet", "--yes", "--homedir"])
            .arg(self.0.path());
        gpg
    }

    fn sign(&self, who: &str, how: &str, text: &str) -> Vec<u8> {
        let (from, to) = (self.path("text"), self.path("signed"));
        fs::write(&from, text).unwrap();
        run(self
            .gpg()
            .args(["-u", who, how, "--output"])
            .arg(&to)
            .arg(&from));
        fs::read(&to).unwrap()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.0.path())
            .args(["--kill", "all"])
            .output();
    }
}

fn list() -> String {
    sums(&[("linux", &kernel(1)), ("initrd.gz", &initrd(1))])
}

fn mirror() -> Server {
    let server = Server::new();
    server.put_file("images/linux", kernel(1));
    server.put_file("images/initrd.gz", initrd(1));
    server.put_file("images/SHA256SUMS", list());
    server
}

fn refused(place: &mut Place, fetch: &bootwright::config::fetch::Fetch, server: &Server) -> String {
    let error = place.fetch(fetch, From::Mirror(&server.url())).unwrap_err();
    assert!(matches!(error, AssetError::Signature { .. }), "{error}");
    assert!(place.served().is_empty());
    error.to_string()
}

#[test]
fn a_detached_signature() {
    let keys = Keys::new();
    let server = mirror();
    let detached = || Signature::Detached("images/SHA256SUMS.gpg".to_owned());
    for keyring in ["os.gpg", "os.asc"] {
        let mut place = Place::new();
        let fetch = signed(&keys.path(keyring), detached());
        let text = list();
        server.put_file(
            "images/SHA256SUMS.gpg",
            keys.sign("os@example", "--detach-sign", &text),
        );
        let brought = place.fetch(&fetch, From::Mirror(&server.url())).unwrap();
        for file in brought {
            assert_eq!(file.checked, Checked::Signature);
            assert!(file.note.contains("os@example"), "{}", file.note);
        }

        let mut place = Place::new();
        server.put_file(
            "images/SHA256SUMS.gpg",
            keys.sign("os@example", "--detach-sign", "other"),
        );
        let error = refused(&mut place, &fetch, &server);
        assert!(error.contains("is bad"), "{error}");

        server.put_file(
            "images/SHA256SUMS.gpg",
            keys.sign("stranger@example", "--detach-sign", &text),
        );
        let error = refused(&mut place, &fetch, &server);
        assert!(error.contains("not among the keys"), "{error}");
        assert!(error.contains("os-keyring"), "{error}");

        server.put_file("images/SHA256SUMS.gpg", "no signature");
        refused(&mut place, &fetch, &server);

        // What was asked for without signatures is told so.
        place.signatures = false;
        let brought = place.fetch(&fetch, From::Mirror(&server.url())).unwrap();
        assert_eq!(brought[0].checked, Checked::Sum);
        assert!(
            brought[0].note.contains("--no-signature"),
            "{}",
            brought[0].note
        );
    }
}

#[test]
fn a_signature_that_vanished_is_no_excuse() {
    let keys = Keys::new();
    let server = mirror();
    let detached = Signature::Detached("images/none".to_owned());
    let fetch = signed(&keys.path("os.gpg"), detached);
    refused(&mut Place::new(), &fetch, &server);
    // The same list without its signature in it.
    let fetch = signed(&keys.path("os.gpg"), Signature::Inline);
    refused(&mut Place::new(), &fetch, &server);
}

#[test]
fn without_the_keys_the_package_is_named() {
    let keys = Keys::new();
    let server = mirror();
    server.put_file(
        "images/SHA256SUMS",
        keys.sign("os@example", "--clearsign", &list()),
    );
    let fetch = signed(Path::new("/nonexistent/os.gpg"), Signature::Inline);
    let mut place = Place::new();
    let brought = place.fetch(&fetch, From::Mirror(&server.url())).unwrap();
    assert_eq!(brought[0].checked, Checked::Sum);
    assert!(
        brought[0].note.contains("install the package os-keyring"),
        "{}",
        brought[0].note
    );
}

#[test]
fn a_signed_list_vouches_for_the_next() {
    let keys = Keys::new();
    let server = mirror();
    let mut fetch = signed(&keys.path("os.gpg"), Signature::Inline);
    fetch.sums[0].path = "InRelease".to_owned();
    fetch.sums.push(SumList {
        path: "images/SHA256SUMS".to_owned(),
        signature: None,
    });
    let release = |list: &str| {
        let sum = crate::site::sha256(list.as_bytes());
        let text = format!(
            "Origin: OS\nSHA256:\n {sum}     {} images/SHA256SUMS\n",
            list.len()
        );
        keys.sign("os@example", "--clearsign", &text)
    };
    server.put_file("InRelease", release(&list()));
    let mut place = Place::new();
    let brought = place.fetch(&fetch, From::Mirror(&server.url())).unwrap();
    assert!(
        brought
            .iter()
            .all(|file| file.checked == Checked::Signature)
    );

    // Whoever changes files and list cannot change what is signed.
    server.put_file("images/linux", kernel(2));
    let forged = sums(&[("linux", &kernel(2)), ("initrd.gz", &initrd(1))]);
    server.put_file("images/SHA256SUMS", forged.clone());
    let mut place = Place::new();
    let error = place
        .fetch(&fetch, From::Mirror(&server.url()))
        .unwrap_err();
    assert!(matches!(error, AssetError::OtherSum { .. }), "{error}");
    // Nor can it be said outside of what is signed.
    let mut around = release(&list());
    let sum = crate::site::sha256(forged.as_bytes());
    let mut before = format!(" {sum} 1 images/SHA256SUMS\n").into_bytes();
    before.append(&mut around);
    server.put_file("InRelease", before);
    place
        .fetch(&fetch, From::Mirror(&server.url()))
        .unwrap_err();
    assert!(place.served().is_empty());
}
