//! What is written into files: with secrets, for reviews, for virt-install.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::process::Command;

use tempfile::TempDir;

use super::*;

/// What every secret holds.
const VALUE: &str = "hunter2";

struct Site(MemoryFiles);

impl Site {
    fn new() -> Self {
        let mut files = site(SERVER);
        files.insert(
            "c/bootwright.toml",
            "[server]\ninterfaces = [\"br 0\"]\nsecrets = \"secrets.toml\"\ndomain = \"lab.example\"\n\
             [[subnet]]\nnetwork = \"10.0.0.0/24\"\nserver = \"10.0.0.1\"\n"
                .replace("br 0", "br0"),
        );
        files.insert(
            "c/secrets.toml",
            format!("root = \"{VALUE}-root\"\n[luks]\nvalue = \"{VALUE}-once\"\nonce = true\n"),
        );
        files.insert(
            "c/profiles/p.toml",
            "title = \"P\"\nfamily = \"other\"\n[boot]\nkind = \"linux\"\nkernel = \"os/linux\"\n\
             initrd = [\"os/initrd\"]\ncmdline = \"url={{ answers.url }} {{ vars.more | default('') }} quiet\"\n\
             [[answers]]\nname = \"one\"\ntemplate = \"one.j2\"\ncontent_type = \"text/plain\"\n\
             [[answers]]\nname = \"two\"\ntemplate = \"two.j2\"\ncontent_type = \"text/plain\"\n",
        );
        files.insert(
            "c/templates/one.j2",
            "{{ secret('root') }} {{ sha512_crypt(secret('root')) }} {{ secret('root') | b64encode }}\n\
             {{ install.installed }} {{ secret_url('luks') }} {{ answers.folder }}\n",
        );
        Self(files)
    }

    fn with(mut self, path: &str, text: &str) -> Self {
        self.0.insert(path, text);
        self
    }

    /// What is printed, or the error; neither may hold a secret.
    fn run(&self, asked: &Asked, format: Format) -> Result<(String, String), String> {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let config = Path::new("c/bootwright.toml");
        let ran = run_with(&self.0, config, asked, format, &mut out, &mut errors);
        let (out, errors) = (
            String::from_utf8(out).unwrap(),
            String::from_utf8(errors).unwrap(),
        );
        let encoded = "aHVudGVyMi1yb290";
        for printed in [&out, &errors, &format!("{ran:?}")] {
            for secret in [VALUE, encoded, "$6$"] {
                assert!(!printed.contains(secret), "{printed}");
            }
        }
        match ran {
            Ok(_) => Ok((out, errors)),
            Err(error) => Err(format!("{errors}{error:#}")),
        }
    }
}

fn of_host(into: &Path) -> Asked {
    Asked {
        host: Some("a".to_owned()),
        into: Some(into.to_owned()),
        ..Asked::default()
    }
}

fn with_secrets(into: &Path) -> Asked {
    Asked {
        with_secrets: true,
        ..of_host(into)
    }
}

fn all(into: &Path) -> Asked {
    Asked {
        all: true,
        into: Some(into.to_owned()),
        ..Asked::default()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_command_line_is_an_item_of_its_own() {
    let site = Site::new();
    let mut asked = Asked {
        host: Some("a".to_owned()),
        name: Some("cmdline".to_owned()),
        ..Asked::default()
    };
    assert_eq!(
        site.run(&asked, Format::Text).unwrap().0,
        "initrd=initrd.img BOOTIF=01-52-54-00-00-00-01 url=http://10.0.0.1:8080/answers/example/one quiet\n"
    );
    asked.name = Some("boot.ipxe".to_owned());
    assert!(
        site.run(&asked, Format::Text)
            .unwrap()
            .0
            .starts_with("#!ipxe\n")
    );
    let chain = Site::new().with(
        "c/profiles/p.toml",
        "title = \"P\"\nfamily = \"other\"\n[boot]\nkind = \"chain\"\nurl = \"next.ipxe\"\n",
    );
    asked.name = Some("cmdline".to_owned());
    let error = chain.run(&asked, Format::Text).unwrap_err();
    assert_eq!(
        error,
        "the profile p starts no kernel, so there is no command line"
    );
}

#[test]
fn secrets_are_written_to_a_file_of_the_user_alone() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("one.cfg");
    // Also where everybody could read what was there.
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
    let asked = Asked {
        name: Some("one".to_owned()),
        ..with_secrets(&file)
    };
    for format in [Format::Text, Format::Json] {
        let (out, _) = Site::new().run(&asked, format).unwrap();
        assert!(out.contains("one.cfg"), "{out}");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("hunter2-root $6$"), "{text}");
        assert_eq!(mode(&file), 0o600);
    }
    // Without them it is a file like others, and masked.
    let masked = Asked {
        with_secrets: false,
        ..asked
    };
    Site::new().run(&masked, Format::Text).unwrap();
    assert!(!fs::read_to_string(&file).unwrap().contains(VALUE));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn several_texts_are_written_into_a_folder() {
    let folder = TempDir::new().unwrap();
    let into = folder.path().join("new/of a");
    let (out, _) = Site::new().run(&with_secrets(&into), Format::Text).unwrap();
    assert_eq!(out.lines().count(), 4, "{out}");
    assert!(
        out.lines()
            .all(|line| line.ends_with("(mode 0600, with secrets in clear)"))
    );
    assert_eq!(mode(&into), 0o700);
    for name in ["boot.ipxe", "cmdline", "one", "two"] {
        assert_eq!(mode(&into.join(name)), 0o600);
    }
    // One text goes into a folder that is there, or that is named as one.
    for into in [into.clone(), folder.path().join("another/")] {
        let asked = Asked {
            name: Some("two".to_owned()),
            ..of_host(&into)
        };
        Site::new().run(&asked, Format::Text).unwrap();
        assert!(into.join("two").is_file());
    }
}

#[test]
fn secrets_go_nowhere_else() {
    let folder = TempDir::new().unwrap();
    let site = Site::new();
    let mut asked = with_secrets(Path::new("unused"));
    asked.into = None;
    let error = site.run(&asked, Format::Text).unwrap_err();
    assert!(error.contains("name it with --into FILE"), "{error}");

    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let target = folder.path().join("target");
    fs::write(&target, "kept").unwrap();
    let link = folder.path().join("link");
    symlink(&target, &link).unwrap();
    for into in [
        Path::new("/dev/stdout"),
        Path::new("/dev/stderr"),
        Path::new("/dev/null"),
        &pipe,
        &link,
    ] {
        let asked = Asked {
            name: Some("one".to_owned()),
            ..with_secrets(into)
        };
        let error = site.run(&asked, Format::Text).unwrap_err();
        assert!(error.contains("only plain files are written"), "{error}");
    }
    assert_eq!(fs::read_to_string(&target).unwrap(), "kept");

    // Nothing is written when one of the files cannot be.
    let into = folder.path().join("into");
    fs::create_dir_all(into.join("two")).unwrap();
    site.run(&with_secrets(&into), Format::Text).unwrap_err();
    assert!(!into.join("one").exists());

    let asked = Asked {
        with_secrets: true,
        ..all(folder.path())
    };
    let error = site.run(&asked, Format::Text).unwrap_err();
    assert!(error.contains("one host at a time"), "{error}");
}

#[test]
fn a_secret_that_is_not_there_is_told_with_the_remedy() {
    let folder = TempDir::new().unwrap();
    let site = Site::new().with(
        "c/secrets.toml",
        "other = \"hunter2\"\n[luks]\nvalue = \"x\"\nonce = true\n",
    );
    let error = site
        .run(&with_secrets(&folder.path().join("x")), Format::Text)
        .unwrap_err();
    assert!(
        error.contains("the secret `root` is not in the file"),
        "{error}"
    );
    assert!(error.contains("add `root = \"…\"` to "), "{error}");
    assert!(!folder.path().join("x").exists());
}

/// Inode and time of change tell whether a file was touched.
fn stamp(path: &Path) -> (u64, i64, i64) {
    let found = fs::metadata(path).unwrap();
    (found.ino(), found.ctime(), found.ctime_nsec())
}

#[test]
fn a_review_shows_what_changed_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let into = folder.path().join("review");
    let site = Site::new();
    let (out, _) = site.run(&all(&into), Format::Text).unwrap();
    assert!(
        out.ends_with("4 files of 1 hosts; 4 written, 0 as they were, 0 removed\n"),
        "{out}"
    );
    let list = fs::read_to_string(into.join(".bootwright-rendered")).unwrap();
    let listed: Vec<&str> = list.lines().skip(1).collect();
    assert_eq!(listed, ["a/boot.ipxe", "a/cmdline", "a/one", "a/two"]);
    for path in listed {
        assert!(!fs::read_to_string(into.join(path)).unwrap().contains(VALUE));
    }

    let paths = [
        "a/boot.ipxe",
        "a/cmdline",
        "a/one",
        "a/two",
        ".bootwright-rendered",
    ];
    let before = paths.map(|path| stamp(&into.join(path)));
    site.run(&all(&into), Format::Text).unwrap();
    assert_eq!(
        before,
        paths.map(|path| stamp(&into.join(path))),
        "untouched"
    );

    // A template changes: its text is written, the others stay.
    let site = site.with("c/templates/two.j2", "another\n");
    let (out, _) = site.run(&all(&into), Format::Json).unwrap();
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["written"], serde_json::json!(["a/two"]));
    assert_eq!(before[2], stamp(&into.join("a/one")));

    // The host is renamed: its files go, the operator's stay.
    fs::write(into.join("a/notes"), "mine").unwrap();
    fs::write(into.join("README"), "mine").unwrap();
    let site = site.with(
        "c/reservations.toml",
        "[hosts.c]\nmac = \"52:54:00:00:00:01\"\nip = \"10.0.0.5\"\nprofile = \"p\"\n",
    );
    let (out, _) = site.run(&all(&into), Format::Text).unwrap();
    assert!(
        out.ends_with("4 written, 0 as they were, 4 removed\n"),
        "{out}"
    );
    assert!(into.join("c/one").is_file());
    assert!(!into.join("a/one").exists());
    assert!(into.join("a/notes").is_file() && into.join("README").is_file());

    // Nobody boots any more: the folders are empty and go too.
    let site = site.with("c/reservations.toml", "[hosts]\n");
    site.run(&all(&into), Format::Text).unwrap();
    assert!(!into.join("c").exists());
}

#[test]
fn a_review_touches_no_file_of_others() {
    let site = Site::new();
    let fresh = || {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        folder
    };
    // Not written by the command.
    let folder = fresh();
    fs::write(folder.path().join("a/two"), "mine").unwrap();
    let error = site.run(&all(folder.path()), Format::Text).unwrap_err();
    assert!(error.contains("has not written it"), "{error}");
    assert!(
        !folder.path().join("a/one").exists(),
        "nothing is written then"
    );

    // Lists that lead elsewhere.
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("precious"), "kept").unwrap();
    let up = format!("../{}/precious", outside.path().display());
    for line in [
        "../precious",
        "a/../precious",
        "/etc/passwd",
        "a/b/c",
        "a/.x",
        "..",
        up.as_str(),
    ] {
        let folder = fresh();
        fs::write(folder.path().join(".bootwright-rendered"), line).unwrap();
        let error = site.run(&all(folder.path()), Format::Text).unwrap_err();
        assert!(error.contains("is no HOST/NAME"), "{line}: {error}");
    }
    let folder = TempDir::new().unwrap();
    symlink(outside.path(), folder.path().join("gone")).unwrap();
    fs::write(
        folder.path().join(".bootwright-rendered"),
        "gone/precious\n",
    )
    .unwrap();
    let error = site.run(&all(folder.path()), Format::Text).unwrap_err();
    assert!(error.contains("is no folder of this command"), "{error}");
    assert_eq!(
        fs::read_to_string(outside.path().join("precious")).unwrap(),
        "kept"
    );
}

/// The words that a shell makes of a line.
fn words(line: &str) -> Vec<String> {
    let args = line.strip_prefix("virt-install ").unwrap();
    let script = format!("printf '%s\\0' {args}");
    let ran = Command::new("sh").arg("-c").arg(script).output().unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
    let text = String::from_utf8(ran.stdout).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

fn after<'a>(words: &'a [String], option: &str) -> Vec<&'a str> {
    let pairs = words.windows(2).filter(|pair| pair[0] == option);
    pairs.map(|pair| pair[1].as_str()).collect()
}

#[test]
fn virtual_machines_are_made_by_either_line() {
    let folder = TempDir::new().unwrap();
    let into = folder.path().join("it's $HOME \"of\" a & b");
    let site = Site::new().with(
        "c/reservations.toml",
        "[hosts.a]\nmac = \"52:54:00:00:00:01\"\nip = \"10.0.0.5\"\nprofile = \"p\"\n\
         [hosts.a.vars]\nmore = \"title=o'brien&$HOME;`id`\"\n\
         [[hosts.a.nic]]\nmac = \"52:54:00:00:00:09\"\n",
    );
    let asked = Asked {
        virt_install: true,
        ..of_host(&into)
    };
    let (out, errors) = site.run(&asked, Format::Text).unwrap();
    let lines: Vec<Vec<String>> = out
        .lines()
        .filter(|line| line.starts_with("virt-install"))
        .map(words)
        .collect();
    let [pxe, location] = lines.as_slice() else {
        panic!("{out}");
    };
    for line in [pxe, location] {
        assert_eq!(
            after(line, "--network"),
            [
                "bridge=br0,mac=52:54:00:00:00:01,model=virtio",
                "bridge=br0,mac=52:54:00:00:00:09,model=virtio"
            ]
        );
    }
    assert!(pxe.contains(&"--pxe".to_owned()) && !location.contains(&"--pxe".to_owned()));
    assert_eq!(
        after(location, "--location"),
        ["http://10.0.0.1:8080/assets/os/,kernel=linux,initrd=initrd"]
    );
    assert_eq!(
        after(location, "--extra-args"),
        ["BOOTIF=01-52-54-00-00-00-01 file=/one title=o'brien&$HOME;`id` quiet"]
    );
    let injected = after(location, "--initrd-inject");
    assert_eq!(injected.len(), 2);
    for path in &injected {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains("without an armed installation"), "{text}");
        for url in ["/report/", "/answers/", "secrets/", VALUE] {
            assert!(!text.contains(url), "{text}");
        }
    }
    assert!(
        errors.contains("secrets are masked in one, which makes no machine"),
        "{errors}"
    );

    let asked = Asked {
        with_secrets: true,
        ..asked
    };
    let (_, errors) = site.run(&asked, Format::Text).unwrap();
    assert!(!errors.contains("masked"), "{errors}");
    let text = fs::read_to_string(into.join("one")).unwrap();
    assert!(text.contains("hunter2-root"), "{text}");
    assert_eq!(mode(&into.join("one")), 0o600);
}

#[test]
fn a_line_that_cannot_be_says_why() {
    let asked = Asked {
        host: Some("a".to_owned()),
        virt_install: true,
        ..Asked::default()
    };
    let (out, errors) = Site::new().run(&asked, Format::Text).unwrap();
    assert!(
        out.contains("--initrd-inject a/one --initrd-inject a/two"),
        "{out}"
    );
    assert!(
        errors.contains("bootwright render a --virt-install --into a"),
        "{errors}"
    );

    let seed = Site::new().with(
        "c/reservations.toml",
        "[hosts.a]\nmac = \"52:54:00:00:00:01\"\nip = \"10.0.0.5\"\nprofile = \"p\"\n\
         [hosts.a.vars]\nmore = \"ds=nocloud;s=file:///\"\n",
    );
    let (out, _) = seed.run(&asked, Format::Json).unwrap();
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(report["pxe"].as_str().unwrap().ends_with(" --pxe"));
    assert!(report.get("location").is_none());
    let why = report["location_refused"].as_str().unwrap();
    assert!(why.contains("takes `ds=` from a server only"), "{why}");
    let folder = TempDir::new().unwrap();
    let into = Asked {
        into: Some(folder.path().to_owned()),
        ..asked.clone()
    };
    let error = seed.run(&into, Format::Text).unwrap_err();
    assert!(error.contains("there is nothing to write for a"), "{error}");

    let no_mac = Site::new().with(
        "c/reservations.toml",
        "[hosts.a]\nip = \"10.0.0.5\"\nprofile = \"p\"\n",
    );
    let error = no_mac.run(&asked, Format::Text).unwrap_err();
    assert!(error.contains("has no MAC address yet"), "{error}");
    let named = Asked {
        name: Some("one".to_owned()),
        ..asked
    };
    Site::new().run(&named, Format::Text).unwrap_err();
}
