//! The commands as they are typed.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

use crate::images::{make, tree};
use crate::server::Server;
use crate::site::{initrd, kernel, run, sums};

pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A site with one host, whose profile says where its files come from.
pub(crate) struct Site {
    folder: TempDir,
    env: Vec<(&'static str, String)>,
}

impl Site {
    pub(crate) fn new(mirror: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = Self {
            folder,
            env: Vec::new(),
        };
        site.write(
            "config/bootwright.toml",
            "[server]\ninterfaces = [\"nosuch0\"]\nstate_dir = \"../state\"\nboot_assets = \"../boot-assets\"\n[[subnet]]\nnetwork = \"10.99.0.0/24\"\nserver = \"10.99.0.2\"\n",
        );
        site.web01("profile = \"os-1\"\n");
        fs::create_dir_all(site.path("config/templates")).unwrap();
        site.write(
            "config/profiles/os-1.toml",
            &format!(
                "[boot]\nkind = \"linux\"\nkernel = \"os/1/{{{{ arch }}}}/linux\"\ninitrd = \"os/1/{{{{ arch }}}}/initrd.gz\"\n\
                 [fetch]\nmirror = \"{mirror}\"\nsums = [{{ path = \"images/SHA256SUMS\" }}]\n\
                 [[fetch.files]]\npath = \"os/1/{{{{ arch }}}}/linux\"\nfrom = \"images/{{{{ debian_arch }}}}/linux\"\nis = \"kernel\"\n\
                 [[fetch.files]]\npath = \"os/1/{{{{ arch }}}}/initrd.gz\"\nfrom = \"images/{{{{ debian_arch }}}}/initrd.gz\"\nis = \"initrd\"\n"
            ),
        );
        site
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        let mut command = Command::cargo_bin("bootwright").unwrap();
        command.current_dir(self.folder.path());
        for name in [
            "BOOTWRIGHT_CONFIG",
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "no_proxy",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "NO_PROXY",
        ] {
            command.env_remove(name);
        }
        for (name, value) in &self.env {
            command.env(name, value);
        }
        let output = command.args(line.split(' ')).output().unwrap();
        Ran {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn good(&self, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.status, 0, "{line}: {}{}", ran.out, ran.err);
        ran
    }

    /// Runs a command that is good and prints these words.
    fn tells(&self, line: &str, words: &str) {
        let ran = self.good(line);
        assert!(ran.out.contains(words), "{line}: {}", ran.out);
    }

    /// Runs a command that ends with status 1 and says these words.
    pub(crate) fn refuses(&self, line: &str, words: &str) {
        let ran = self.run(line);
        assert_eq!(ran.status, 1, "{line}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(words), "{line}: {}", ran.err);
    }

    /// The one host, with these settings.
    fn web01(&self, settings: &str) {
        let host = "[hosts.web01]\nmac = \"52:54:00:47:86:8e\"\nip = \"10.99.0.11\"\n";
        self.write("config/reservations.toml", &format!("{host}{settings}"));
    }
}

fn mirror() -> Server {
    let server = Server::new();
    let list = sums(&[("amd64/linux", &kernel(1)), ("amd64/initrd.gz", &initrd(1))]);
    server.put_file("images/SHA256SUMS", list);
    server.put_file("images/amd64/linux", kernel(1));
    server.put_file("images/amd64/initrd.gz", initrd(1));
    server
}

#[test]
fn what_is_missing_is_told_with_the_command_that_brings_it() {
    let server = mirror();
    let site = Site::new(&server.url());
    let ran = site.good("check");
    assert!(
        ran.out.contains("`bootwright assets fetch os-1` brings it"),
        "{}",
        ran.out
    );
    let ran = site.run("assets verify");
    assert_eq!(ran.status, 1, "{}", ran.out);
    assert!(ran.out.contains("os/1/x86_64/linux"), "{}", ran.out);

    let ran = site.good("assets fetch os-1");
    assert!(
        ran.out.contains("os/1/x86_64/linux  40000 bytes  sha256 "),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("sum as published in images/SHA256SUMS"),
        "{}",
        ran.out
    );
    // Plain lines where nobody looks at a terminal.
    assert!(ran.err.contains("fetching linux, 39.0 KiB"), "{}", ran.err);
    assert!(!ran.err.contains(['\r', '\x1b']), "{}", ran.err);
    let ran = site.good("check");
    assert!(!ran.out.contains("os/1/"), "{}", ran.out);
    let ran = site.good("assets list");
    assert!(
        ran.out.contains("/images/amd64/linux (published sum)"),
        "{}",
        ran.out
    );

    // Names that are not known, and profiles that tell nothing.
    let ran = site.run("assets fetch os-2");
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("did you mean os-1?"), "{}", ran.err);
    site.write(
        "config/profiles/plain.toml",
        "[boot]\nkind = \"linux\"\nkernel = \"a/linux\"\n",
    );
    site.write(
        "config/profiles/hand.toml",
        "[boot]\nkind = \"linux\"\nkernel = \"hand/linux\"\n[fetch]\nby_hand = \"ask the vendor\"\n\
         [[fetch.files]]\npath = \"hand/linux\"\nis = \"kernel\"\nfrom = \"images/amd64/linux\"\n",
    );
    let ran = site.run("assets fetch hand");
    assert_eq!(ran.status, 1);
    let words = "ask the vendor; with it: `bootwright assets fetch hand --from FILE`";
    assert!(ran.err.contains(words), "{}", ran.err);
    let ran = site.run("assets fetch plain");
    assert!(ran.err.contains("add a [fetch] to"), "{}", ran.err);
    assert_eq!(site.run("assets fetch os-1 --arch mips").status, 2);
    let ran = site.run("assets fetch os-1 --arch aarch64");
    assert!(ran.err.contains("images/arm64/linux"), "{}", ran.err);
}

#[test]
fn files_that_templates_name_are_listed_with_who_needs_them() {
    let site = Site::new("http://127.0.0.1:9");
    site.write(
        "config/profiles/live.toml",
        "[boot]\nkind = \"linux\"\nkernel = \"live/linux\"\ncmdline = [\"fetch={{ asset('live/root.squashfs') }}\"]\n\
         [fetch]\nby_hand = \"they are files of your own\"\n",
    );
    site.web01("profile = \"live\"\n");
    site.tells("check", "live/root.squashfs: they are files of your own");
    let ran = site.good("assets list");
    let listed = ran.out.lines().find(|line| line.contains("root.squashfs"));
    assert!(
        listed.is_some_and(|line| line.contains("missing") && line.contains("web01")),
        "{}",
        ran.out
    );
    assert_eq!(site.run("assets verify").status, 1);
    let ran = site.run("assets fetch live");
    assert!(
        ran.err.contains(
            "the boot files of live are put in their places by hand: they are files of your own"
        ),
        "{}",
        ran.err
    );
}

#[test]
fn steps_as_lines_of_json() {
    let server = mirror();
    let site = Site::new(&server.url());
    let ran = site.good("assets fetch os-1 --format json");
    let lines: Vec<serde_json::Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<&str> = lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["said", "begins", "begins", "placed", "placed"]);
    assert_eq!(lines[1]["total"], 40_000);
    assert_eq!(lines[3]["checked"], "sum");
    assert_eq!(lines[3]["path"], "os/1/x86_64/linux");
}

#[test]
fn a_proxy_of_the_environment_is_asked() {
    // Nobody else knows the name.
    let server = mirror();
    let mut site = Site::new("http://mirror.invalid");
    let proxy = server.url().replace("http://", "http://user:word@");
    site.env.push(("http_proxy", proxy));
    site.good("assets fetch os-1");
    let asked = server.asked();
    assert_eq!(
        asked[0].line,
        "GET http://mirror.invalid/images/SHA256SUMS HTTP/1.1"
    );
    assert_eq!(
        asked[0].headers["proxy-authorization"],
        "Basic dXNlcjp3b3Jk"
    );
    site.env.push(("no_proxy", ".invalid".to_owned()));
    let ran = site.run("assets fetch os-1");
    assert_eq!(ran.status, 1);
    assert!(
        ran.err.contains("mirror.invalid:80 cannot be reached"),
        "{}",
        ran.err
    );
}

/// `openssl s_server` over a folder, until it is dropped.
struct Tls(std::process::Child, u16);

impl Tls {
    fn new(folder: &Path) -> Self {
        let openssl = || {
            let mut command = std::process::Command::new("openssl");
            command.current_dir(folder);
            command
        };
        run(openssl().args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ]));
        for _ in 0..20 {
            let port = {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                listener.local_addr().unwrap().port()
            };
            let mut child = openssl()
                .args([
                    "s_server",
                    "-WWW",
                    "-key",
                    "key.pem",
                    "-cert",
                    "cert.pem",
                    "-accept",
                    &format!("127.0.0.1:{port}"),
                ])
                .stdin(std::process::Stdio::null())
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            for _ in 0..200 {
                if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self(child, port);
                }
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("openssl s_server does not listen");
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A mirror that speaks HTTPS, and a site with it.
fn https_site() -> (TempDir, Tls, Site) {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images/amd64");
    fs::create_dir_all(&images).unwrap();
    fs::write(images.join("linux"), kernel(1)).unwrap();
    fs::write(images.join("initrd.gz"), initrd(1)).unwrap();
    let list = sums(&[("amd64/linux", &kernel(1)), ("amd64/initrd.gz", &initrd(1))]);
    fs::write(folder.path().join("images/SHA256SUMS"), list).unwrap();
    let server = Tls::new(folder.path());
    let site = Site::new(&format!("https://127.0.0.1:{}", server.1));
    (folder, server, site)
}

#[test]
fn https_needs_a_certificate_that_the_machine_trusts() {
    let (folder, _server, mut site) = https_site();
    let ran = site.run("assets fetch os-1");
    assert_eq!(ran.status, 1);
    assert!(
        ran.err.contains("no trusted connection")
            || ran.err.contains("certificates of this machine"),
        "{}",
        ran.err
    );
    let trusted = folder.path().join("cert.pem").display().to_string();
    site.env.push(("SSL_CERT_FILE", trusted));
    site.good("assets fetch os-1");
    let linux = site.path("boot-assets/os/1/x86_64/linux");
    assert_eq!(fs::read(linux).unwrap(), kernel(1));
}

#[test]
fn https_goes_through_a_proxy_unread() {
    let (folder, server, mut site) = https_site();
    let proxy = Server::new();
    let trusted = folder.path().join("cert.pem").display().to_string();
    site.env.push(("SSL_CERT_FILE", trusted));
    site.env
        .push(("https_proxy", proxy.url().replace("//", "//user:word@")));
    site.good("assets fetch os-1");
    let asked = proxy.asked();
    assert_eq!(asked.len(), 3);
    for asked in asked {
        assert_eq!(
            asked.line,
            format!("CONNECT 127.0.0.1:{} HTTP/1.1", server.1)
        );
        assert_eq!(asked.headers["proxy-authorization"], "Basic dXNlcjp3b3Jk");
    }
    let linux = site.path("boot-assets/os/1/x86_64/linux");
    assert_eq!(fs::read(linux).unwrap(), kernel(1));
    // One that refuses is named.
    drop(server);
    let ran = site.run("assets fetch os-1 --arch i386");
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("the proxy 127.0.0.1:"), "{}", ran.err);
    assert!(ran.err.contains("refuses 127.0.0.1: 502"), "{}", ran.err);
    assert!(!ran.err.contains("word"), "{}", ran.err);
}

#[test]
fn verify_tells_and_prune_takes_what_nobody_names() {
    let server = mirror();
    let site = Site::new(&server.url());
    site.good("assets fetch os-1");
    // Loaders, so that nothing is missing: the operator's own.
    for loader in ["ipxe/undionly.kpxe", "ipxe/snponly.efi"] {
        site.write(&format!("boot-assets/{loader}"), "loader");
    }
    site.write("boot-assets/os/1/x86_64/notes.txt", "mine");
    let ran = site.good("assets verify");
    assert!(ran.out.contains("os-1     1      your own"), "{}", ran.out);
    site.good("assets prune --dry-run");

    let linux = site.path("boot-assets/os/1/x86_64/linux");
    fs::write(&linux, kernel(2)).unwrap();
    let ran = site.run("assets verify");
    assert_eq!(ran.status, 1);
    assert!(
        ran.out.contains("os/1/x86_64/linux      changed"),
        "{}",
        ran.out
    );
    fs::remove_file(&linux).unwrap();
    let ran = site.run("assets verify");
    assert_eq!(ran.status, 1);
    assert!(
        ran.out.contains("`bootwright assets fetch os-1`"),
        "{}",
        ran.out
    );
    site.good("assets fetch os-1");

    // Somebody names them: they stay.
    let ran = site.good("assets prune --yes");
    assert!(ran.out.contains("nothing to remove"), "{}", ran.out);
    // Nobody does any more.
    site.web01("");
    fs::remove_file(site.path("config/profiles/os-1.toml")).unwrap();
    fs::write(&linux, kernel(3)).unwrap();
    let ran = site.run("assets prune");
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("--yes"), "{}", ran.err);
    let ran = site.good("assets prune --dry-run");
    assert!(
        ran.out.contains("1 files, 292.9 KiB would be removed"),
        "{}",
        ran.out
    );
    assert!(site.path("boot-assets/os/1/x86_64/initrd.gz").exists());
    let ran = site.good("assets prune --yes");
    assert!(ran.out.contains("kept: os/1/x86_64/linux"), "{}", ran.out);
    assert!(!site.path("boot-assets/os/1/x86_64/initrd.gz").exists());
    assert_eq!(fs::read(&linux).unwrap(), kernel(3));
    assert!(site.path("boot-assets/os/1/x86_64/notes.txt").exists());
    let ran = site.good("assets prune --yes");
    assert!(ran.out.contains("nothing to remove"), "{}", ran.out);
}

const TREEINFO: &[u8] = b"[general]\nfamily = Rocky Linux\nversion = 9.4\narch = x86_64\n[images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n";

/// A small image of Rocky Linux 9.4 with this kernel.
pub(crate) fn rocky(linux: &[u8]) -> PathBuf {
    let folder = tree(&[
        (".treeinfo", TREEINFO),
        ("images/pxeboot/vmlinuz", linux),
        ("images/pxeboot/initrd.img", &initrd(1)),
    ]);
    make("xorrisofs", &["-r", "-V", "Rocky-9-4"], folder.path())
}

#[test]
fn an_image_becomes_a_profile() {
    let site = Site::new("http://127.0.0.1:9");
    let (linux, ram) = (kernel(1), initrd(1));
    let folder = tree(&[
        (".treeinfo", TREEINFO),
        ("images/pxeboot/vmlinuz", &linux),
        ("images/pxeboot/initrd.img", &ram),
        ("images/install.img", b"hsqs"),
        ("BaseOS/Packages/a-1.0-1.x86_64.rpm", b"rpm"),
    ]);
    let image = make("xorrisofs", &["-r", "-V", "Rocky-9-4"], folder.path());
    let iso = image.display();
    let ran = site.good(&format!("assets add-iso {iso} --tree"));
    assert!(
        ran.out
            .contains("the profile config/profiles/rocky-9.toml is written"),
        "{}",
        ran.out
    );
    let assets = site.path("boot-assets/rocky/9.4/x86_64");
    assert_eq!(fs::read(assets.join("vmlinuz")).unwrap(), linux);
    assert_eq!(fs::read(assets.join("tree/treeinfo")).unwrap(), TREEINFO);
    assert!(
        assets
            .join("tree/BaseOS/Packages/a-1.0-1.x86_64.rpm")
            .exists()
    );

    // The profile is good, and a host can have it.
    site.web01("profile = \"rocky-9\"\n");
    site.tells(
        "render web01",
        "inst.repo=http://10.99.0.2:8080/assets/rocky/9.4/x86_64/tree",
    );
    site.tells("assets list", "rocky/9.4/x86_64/tree/");
    site.tells("assets prune --dry-run", "nothing to remove");

    // It is there: never overwritten without being told so.
    let profile = site.path("config/profiles/rocky-9.toml");
    let written = fs::read_to_string(&profile).unwrap();
    fs::write(&profile, format!("{written}# mine\n")).unwrap();
    let ran = site.run(&format!("assets add-iso {iso}"));
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("--force"), "{}", ran.err);
    assert!(fs::read_to_string(&profile).unwrap().ends_with("# mine\n"));
    site.good(&format!("assets add-iso {iso} --tree --force"));
    assert_eq!(fs::read_to_string(&profile).unwrap(), written);
    site.good(&format!("assets add-iso {iso} --name rocky-test"));
    assert!(site.path("config/profiles/rocky-test.toml").exists());

    // The tree goes whole when nobody names it any more.
    for profile in ["rocky-9", "rocky-test"] {
        fs::remove_file(site.path(&format!("config/profiles/{profile}.toml"))).unwrap();
    }
    site.write("config/reservations.toml", "");
    site.good("assets prune --yes");
    assert!(!site.path("boot-assets/rocky").exists());
    fs::remove_file(image).unwrap();
}

#[test]
fn an_image_fills_the_profile_that_is_there() {
    let site = Site::new("http://127.0.0.1:9");
    let (linux, ram) = (kernel(1), initrd(1));
    let folder = tree(&[
        (
            ".disk/info",
            b"Ubuntu-Server 24.04.3 LTS \"Noble Numbat\" - Release amd64 (20250805.1)",
        ),
        ("casper/vmlinuz", &linux),
        ("casper/initrd", &ram),
    ]);
    let image = make("xorrisofs", &["-r", "-J"], folder.path());
    let profile = "[boot]\nkind = \"linux\"\nkernel = \"u/linux\"\ninitrd = \"u/initrd\"\n\
        [fetch]\nmirror = \"http://127.0.0.1:9\"\nsums = [{ path = \"SHA256SUMS\" }]\n\
        [[fetch.files]]\npath = \"u/server.iso\"\nfrom = \"ubuntu-24.04*-live-server-{{ debian_arch }}.iso\"\nis = \"iso\"\n\
        [[fetch.files]]\npath = \"u/linux\"\nfrom = \"ubuntu-24.04*-live-server-{{ debian_arch }}.iso\"\nmember = \"casper/vmlinuz\"\nis = \"kernel\"\n\
        [[fetch.files]]\npath = \"u/initrd\"\nfrom = \"ubuntu-24.04*-live-server-{{ debian_arch }}.iso\"\nmember = \"casper/initrd\"\nis = \"initrd\"\n";
    site.write("config/profiles/ubuntu-24.04.toml", profile);
    let ran = site.good(&format!("assets add-iso {}", image.display()));
    assert!(
        ran.out.contains("where the profile ubuntu-24.04 has them"),
        "{}",
        ran.out
    );
    assert_eq!(fs::read(site.path("boot-assets/u/linux")).unwrap(), linux);
    assert_eq!(fs::read(site.path("boot-assets/u/initrd")).unwrap(), ram);
    assert_eq!(
        fs::read(site.path("boot-assets/u/server.iso")).unwrap(),
        fs::read(&image).unwrap()
    );
    assert_eq!(
        fs::read_to_string(site.path("config/profiles/ubuntu-24.04.toml")).unwrap(),
        profile
    );

    // The same from a mirror that publishes sums: the newest point release is found by them.
    let server = Server::new();
    let bytes = fs::read(&image).unwrap();
    let name = "ubuntu-24.04.10-live-server-amd64.iso";
    let list = sums(&[
        ("ubuntu-24.04.9-live-server-amd64.iso", b"old"),
        (name, &bytes),
    ]);
    server.put_file("SHA256SUMS", list);
    server.put_file(name, bytes);
    let ran = site.good(&format!(
        "assets fetch ubuntu-24.04 --mirror {}",
        server.url()
    ));
    assert!(ran.out.contains("(was there already)"), "{}", ran.out);
    fs::remove_dir_all(site.path("boot-assets/u")).unwrap();
    site.good(&format!(
        "assets fetch ubuntu-24.04 --mirror {}",
        server.url()
    ));
    assert_eq!(fs::read(site.path("boot-assets/u/linux")).unwrap(), linux);
    assert_eq!(server.count(name), 1);
    fs::remove_file(image).unwrap();
}

#[test]
fn an_image_takes_after_a_profile_of_its_own_version_only() {
    let site = Site::new("http://127.0.0.1:9");
    let linux = kernel(1);
    let image = rocky(&linux);
    let iso = image.display();
    let profile = |version: &str| {
        let text = format!(
            "family = \"redhat\"\n[boot]\nkind = \"linux\"\nkernel = \"el/{version}/{{{{ arch }}}}/vmlinuz\"\ninitrd = \"el/{version}/{{{{ arch }}}}/initrd.img\"\n\
             cmdline = \"inst.ks={{{{ answers.url }}}}\"\n[[answers]]\nname = \"ks.cfg\"\ntemplate = \"ks.j2\"\n[fetch]\nmirror = \"http://127.0.0.1:9\"\nsums = [{{ path = \"SHA256SUMS\" }}]\n\
             [[fetch.files]]\npath = \"el/{version}/{{{{ arch }}}}/vmlinuz\"\nfrom = \"images/pxeboot/vmlinuz\"\nis = \"kernel\"\n\
             [[fetch.files]]\npath = \"el/{version}/{{{{ arch }}}}/initrd.img\"\nfrom = \"images/pxeboot/initrd.img\"\nis = \"initrd\"\n"
        );
        site.write(&format!("config/profiles/rocky-{version}.toml"), &text);
        text
    };
    site.write("config/templates/ks.j2", "text\n");
    profile("8");
    profile("10");
    let nine = profile("9");
    let written = |name: &str| {
        fs::read_to_string(site.path(&format!("config/profiles/{name}.toml"))).unwrap()
    };

    // Under another name: its answers, and files of its own.
    site.good(&format!("assets add-iso {iso} --name lab"));
    let lab = written("lab");
    assert!(lab.contains("after the profile rocky-9"), "{lab}");
    assert!(lab.ends_with(&nine.replace("el/9/", "lab/")), "{lab}");
    let brought = site.path("boot-assets/lab/x86_64/vmlinuz");
    assert_eq!(fs::read(brought).unwrap(), linux);
    assert!(!site.path("boot-assets/el").exists());

    // Where its version is not there, no other one lends its answers.
    fs::remove_file(site.path("config/profiles/rocky-9.toml")).unwrap();
    site.good(&format!("assets add-iso {iso} --tree"));
    let own = written("rocky-9");
    assert!(!own.contains("after the profile"), "{own}");
    assert!(own.contains("rocky/9.4/x86_64/tree"), "{own}");

    // A variable names the tree: it stays without the profile too.
    fs::remove_file(site.path("config/profiles/rocky-9.toml")).unwrap();
    site.web01(
        "[hosts.web01.vars]\ntrees = [{ url = \"http://10.99.0.2:8080/assets/rocky/9.4/x86_64/tree\" }]\n",
    );
    site.good("assets prune --yes");
    assert!(!site.path("boot-assets/rocky/9.4/x86_64/vmlinuz").exists());
    let kept = site.path("boot-assets/rocky/9.4/x86_64/tree/images/pxeboot/vmlinuz");
    assert_eq!(fs::read(kept).unwrap(), linux);
    fs::remove_file(image).unwrap();
}

#[test]
fn what_is_no_image_writes_nothing() {
    let site = Site::new("http://127.0.0.1:9");
    site.write("x.iso", "<html>not an image</html>");
    let ran = site.run("assets add-iso x.iso");
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("it is no ISO 9660 image"), "{}", ran.err);
    let ran = site.run("assets add-iso none.iso");
    assert_eq!(
        ran.err,
        "bootwright: cannot read none.iso: No such file or directory (os error 2)\n"
    );
    assert!(!site.path("boot-assets").exists());
}
