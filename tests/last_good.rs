//! The real daemon with files that have errors: what it is started on, what it says of it, and what `check --diff`
//! tells before files are saved.

#[path = "support/daemon.rs"]
mod daemon;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;

use daemon::{Daemon, SCRIPT, SERVER, Site, WEB01, copy, get, in_namespace, until};
use nix::sys::signal::Signal;

/// Starts a daemon of which not everything is well.
fn start_degraded(site: &Site) -> Daemon {
    let child = site
        .command(&["serve"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let daemon = Daemon(child);
    until("the daemon answers", || {
        std::net::TcpStream::connect((SERVER, 8_080)).is_ok() && get(SERVER, "/healthz").0 == 200
    });
    daemon
}

fn append(file: PathBuf, text: &str) {
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, format!("{before}\n{text}")).unwrap();
}

/// What a command says on both streams, and its exit status.
fn said(site: &Site, args: &[&str]) -> (i32, String, String) {
    let output = site.command(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn with_broken_files_it_starts_on_the_last_good_ones_and_arms_nobody() {
    in_namespace(|| {
        let site = Site::new();
        let good = std::fs::read_to_string(site.reservations()).unwrap();
        let main = std::fs::read_to_string(site.config()).unwrap();
        // Nothing was kept yet.
        append(site.reservations(), "colour = \"red\"");
        let no = site.start_fails();
        assert!(
            no.contains("colour") && no.contains("there is no last good configuration"),
            "{no}"
        );
        std::fs::write(site.reservations(), &good).unwrap();
        let daemon = site.start();
        site.run(&["install", "web01"]);
        until("it is kept", || {
            site.json(&["hosts"])[0].get("configuration").is_none()
                && site
                    .folder
                    .path()
                    .join("state/last-good/manifest.json")
                    .exists()
        });
        daemon.end(Signal::SIGTERM);

        // All of it: the file of the daemon itself has a mistake in its syntax.
        std::fs::write(site.config(), format!("[server\n{main}")).unwrap();
        append(site.reservations(), "colour = \"red\"");
        let (status, _, refused) = said(&site, &["serve", "--strict"]);
        assert_eq!(status, 1);
        assert!(
            refused.contains("--strict") && refused.contains("bootwright.toml:1"),
            "{refused}"
        );

        let daemon = start_degraded(&site);
        let (_, health) = get(SERVER, "/healthz");
        assert!(
            health.starts_with("degraded\n") && health.contains("no host can be armed"),
            "{health}"
        );
        assert!(
            !health.contains("colour"),
            "strangers may read it: {health}"
        );
        // Whoever was armed before is served.
        let (status, script) = get(WEB01, SCRIPT);
        assert_eq!(status, 200);
        assert!(script.contains("/answers/"), "{script}");
        for listing in [&["hosts"][..], &["host", "show", "web01"]] {
            let (status, out, err) = said(&site, listing);
            assert_eq!((status, err.as_str()), (0, ""), "{listing:?}");
            let first = out.lines().next().unwrap();
            assert!(
                first.contains("last good configuration") && first.contains("colour"),
                "{out}"
            );
        }
        let (status, out, err) = said(&site, &["events"]);
        assert_eq!(status, 0);
        assert!(
            out.contains("config.rejected") && out.contains("no host can be armed"),
            "{out}"
        );
        assert!(err.contains("last good configuration"), "{err}");
        assert_eq!(site.json(&["hosts"])[0]["configuration"], "last-good");
        assert_eq!(
            site.json(&["host", "show", "web02"])["configuration"],
            "last-good"
        );
        for force in [&["install", "web02"][..], &["install", "web02", "--force"]] {
            let (status, _, err) = said(&site, force);
            assert_eq!(status, 1, "{err}");
            assert!(
                err.contains("web02 cannot be armed") && err.contains("bootwright check"),
                "{err}"
            );
        }
        assert_eq!(site.state("web02"), "local");
        // Taking back is always allowed.
        site.run(&["local", "web01"]);
        let (status, _, err) = said(&site, &["reload"]);
        assert_eq!(status, 1);
        assert!(err.contains("colour"), "{err}");

        // Put right, one after the other.
        std::fs::write(site.config(), &main).unwrap();
        let (_, _, err) = said(&site, &["reload"]);
        assert!(
            err.contains("colour") && !err.contains("bootwright.toml:1"),
            "{err}"
        );
        std::fs::write(site.reservations(), &good).unwrap();
        until("all is well", || {
            get(SERVER, "/healthz") == (200, "ok\n".to_owned())
        });
        site.run(&["install", "web02"]);
        assert!(site.json(&["hosts"])[0].get("configuration").is_none());
        let (_, _, log) = daemon.end(Signal::SIGTERM);
        // Nothing at all is left of the daemon's file, but systemd says where the state lies.
        std::fs::write(site.config(), "[[[").unwrap();
        let state = site.folder.path().join("state");
        let command = |args: &[&str]| {
            let mut command = site.command(args);
            command.env("STATE_DIRECTORY", &state);
            command
        };
        let child = command(&["serve"]).stderr(Stdio::null()).spawn().unwrap();
        let _daemon = Daemon(child);
        until("the daemon answers", || {
            std::net::TcpStream::connect((SERVER, 8_080)).is_ok()
                && get(SERVER, "/healthz").1.contains("no host can be armed")
        });
        let output = command(&["hosts"]).output().unwrap();
        let listed = String::from_utf8(output.stdout).unwrap();
        assert!(
            listed.contains("web01") && listed.contains("last good configuration"),
            "{listed}"
        );

        // As `check` says it, at the start.
        assert!(
            log.contains("colour") && log.contains("config.rejected"),
            "{log}"
        );
    });
}

#[test]
fn files_are_compared_with_what_is_in_force_before_they_are_saved() {
    in_namespace(|| {
        let site = Site::new();
        let secrets = site.folder.path().join("config/secrets.toml");
        std::fs::write(&secrets, "root-password = \"hunter2-in-force\"\n").unwrap();
        std::fs::set_permissions(&secrets, std::fs::Permissions::from_mode(0o600)).unwrap();
        let main = std::fs::read_to_string(site.config()).unwrap();
        let named = main.replacen("[server]", "[server]\nsecrets = \"secrets.toml\"", 1);
        std::fs::write(site.config(), named).unwrap();
        // Someone else's draft of the same configuration.
        let draft = Site {
            folder: tempfile::tempdir_in(site.folder.path()).unwrap(),
        };
        copy(
            &site.folder.path().join("config"),
            &draft.folder.path().join("config"),
        );
        let state = site.folder.path().join("state");
        let text = std::fs::read_to_string(draft.config()).unwrap();
        let text = text.replace("../state", state.to_str().unwrap());
        std::fs::write(draft.config(), text).unwrap();

        let (status, out, err) = said(&draft, &["check", "--diff"]);
        assert_eq!(status, 1, "{out}");
        assert!(out.contains("configuration is good"), "{out}");
        assert!(err.contains("bootwright is not running"), "{err}");

        let _daemon = site.start();
        until("it is kept", || {
            state.join("last-good/manifest.json").exists()
        });
        let out = draft.run(&["check", "--diff"]);
        assert!(out.contains("against configuration 1 in force"), "{out}");
        let before = std::fs::read_to_string(draft.reservations()).unwrap();
        let after = before.replacen("10.99.0.11\"", "10.99.0.111\"", 1);
        assert_ne!(after, before);
        std::fs::write(draft.reservations(), after).unwrap();
        let out = draft.run(&["check", "--diff"]);
        assert!(out.contains("web01 address .11 → .111"), "{out}");
        assert!(
            out.contains("\n  ~ host web01: ip 10.99.0.11 → 10.99.0.111\n"),
            "{out}"
        );
        assert!(out.contains("install.sh changes for web01"), "{out}");
        let json = draft.json(&["check", "--diff"]);
        assert_eq!(json["diff"]["generation"], 1);
        assert_eq!(json["diff"]["hosts_changed"][0]["name"], "web01");
        assert_eq!(
            json["diff"]["hosts_changed"][0]["keys"][0]["new"],
            "10.99.0.111"
        );
        // Nothing was changed by asking.
        assert_eq!(site.json(&["host", "show", "web01"])["ip"], "10.99.0.11");

        append(draft.reservations(), "colour = \"red\"");
        let (status, out, _) = said(&draft, &["check", "--diff"]);
        assert_eq!(status, 1);
        assert!(out.contains("colour") && !out.contains("in force"), "{out}");

        // What is sent for it has no secret in it.
        let mut socket = UnixStream::connect(site.socket()).unwrap();
        socket
            .write_all(b"GET /api/v1/configuration/files HTTP/1.0\r\n\r\n")
            .unwrap();
        let mut files = String::new();
        socket.read_to_string(&mut files).unwrap();
        assert!(
            files.contains("web01") && files.contains("bootwright.toml"),
            "{files}"
        );
        assert!(!files.contains("hunter2"), "a secret was sent");
    });
}
