//! The real daemon with the shipped configuration: its start, its end, and what it follows meanwhile.

#[path = "support/daemon.rs"]
mod daemon;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use daemon::{PATIENCE, SCRIPT, SERVER, Site, WEB01, answers_in, ask, get, in_namespace, until};
use nix::sys::signal::Signal;
use serde_json::Value;

#[test]
fn it_serves_and_ends_within_three_seconds() {
    in_namespace(|| {
        let site = Site::new();
        let daemon = site.start();
        let socket = std::fs::metadata(site.socket()).unwrap();
        assert!(socket.file_type().is_socket());
        assert_eq!(socket.permissions().mode() & 0o777, 0o660);
        let state_dir = std::fs::metadata(site.folder.path().join("state")).unwrap();
        assert_eq!(state_dir.permissions().mode() & 0o777, 0o750);
        assert!(site.run(&["hosts"]).contains("web01"));

        // A client in the middle of a request, and one that follows the journal, do not hold it up.
        let mut idle = TcpStream::connect((SERVER, 8_080)).unwrap();
        idle.write_all(b"GET /assets/").unwrap();
        let mut follower = site
            .command(&["events", "--follow"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut first = [0; 1];
        follower
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut first)
            .unwrap();

        let (status, took, log) = daemon.end(Signal::SIGTERM);
        assert_eq!(follower.wait().unwrap().code(), Some(1));
        assert!(status.success(), "{status}: {log}");
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert!(log.contains("server.stopped"), "{log}");
        assert!(!site.socket().exists());

        // It is not running: said with the way to start it.
        let output = site.command(&["hosts"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("bootwright serve"), "{said}");
        assert!(said.contains("bootwright.sock"), "{said}");
    });
}

#[test]
fn a_log_that_nobody_reads_holds_up_nothing() {
    in_namespace(|| {
        let site = Site::new();
        let daemon = site.start();
        // More than a pipe holds.
        for n in 0..1_000 {
            assert_eq!(get(WEB01, &format!("/assets/nothing-{n}")).0, 404);
        }
        until("the journal is written all the same", || {
            site.run(&["events", "--limit", "1"])
                .contains("nothing-999")
        });
        let (status, took, log) = daemon.end(Signal::SIGTERM);
        assert!(status.success(), "{status}");
        assert!(took < Duration::from_secs(3), "{took:?}");
        // A pipe has 16 pages, and of those that take several lines at once a part stays empty.
        assert!(log.len() > 48_000, "the pipe was full: {}", log.len());
    });
}

#[test]
fn an_arming_that_no_longer_fits_is_taken_back_at_the_start() {
    in_namespace(|| {
        let site = Site::new();
        let daemon = site.start();
        site.run(&["install", "web01"]);
        daemon.end(Signal::SIGTERM);
        let text = std::fs::read_to_string(site.reservations()).unwrap();
        let other = text.replace("52:54:00:47:86:8e", "52:54:00:00:00:99");
        assert_ne!(other, text);
        std::fs::write(site.reservations(), other).unwrap();
        let _daemon = site.start();
        until("the arming is taken back", || {
            site.state("web01") == "local"
        });
        let told = site.event_of("install.cancelled").unwrap();
        assert_eq!(told["reason"], "no-longer-fits", "{told}");
    });
}

#[test]
fn killed_in_the_middle_of_an_installation_it_goes_on_where_it_was() {
    in_namespace(|| {
        let site = Site::new();
        let daemon = site.start();
        let said = site.run(&["install", "web01"]);
        assert!(said.contains("lapses at"), "{said}");
        let (status, script) = get(WEB01, SCRIPT);
        assert_eq!(status, 200);
        let answers = answers_in(&script);
        assert_eq!(site.state("web01"), "booting");
        let token = answers.split('/').nth(2).unwrap().to_owned();
        let began = ask(
            WEB01,
            &format!("GET /report/{token}/started HTTP/1.0\r\n\r\n"),
        );
        assert_eq!(began, (200, "ok\n".to_owned()));
        let (status, before) = get(WEB01, &answers);
        assert_eq!(status, 200);
        let record = site.json(&["host", "show", "web01"]);
        assert_eq!(record["state"], "installing");
        assert!(!record.to_string().contains(&token));

        daemon.end(Signal::SIGKILL);
        assert!(site.socket().exists(), "nobody was left to take it away");
        let daemon = site.start();
        let mut again = site.json(&["host", "show", "web01"]);
        assert_eq!(again["state"], "installing");
        for key in [
            "attempt",
            "armed_at",
            "script_at",
            "started_at",
            "token",
            "by",
        ] {
            assert_eq!(
                again["installation"][key], record["installation"][key],
                "{key}"
            );
        }
        assert_eq!(site.state("web02"), "local");
        assert_eq!(get(WEB01, &answers), (200, before));

        let report = format!("/report/{token}/installed");
        assert_eq!(get(WEB01, &report), (200, "ok\n".to_owned()));
        daemon.end(Signal::SIGKILL);
        let _daemon = site.start();
        again = site.json(&["host", "show", "web01"]);
        assert_eq!(again["state"], "installed");
        // Its disk, and nothing that would install it again.
        let (_, script) = get(WEB01, SCRIPT);
        assert!(!script.contains("kernel"), "{script}");
        assert_eq!(get(WEB01, &answers).0, 404);
        let events = site.run(&["events", "--format", "json", "--limit", "1000"]);
        assert!(!events.contains(&token));
    });
}

/// Takes what is posted and answers 200, until the test ends; what has come, body after body.
fn receiver(port: u16) -> Arc<Mutex<Vec<Value>>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let got = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&got);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let mut text = Vec::new();
            let mut buffer = [0; 4_096];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                text.extend_from_slice(&buffer[..read]);
                let Some(end) = text.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                    continue;
                };
                // A daemon that is killed leaves halves behind.
                if let Ok(body) = serde_json::from_slice(&text[end + 4..]) {
                    all.lock().unwrap().push(body);
                    let _ = stream.write_all(
                        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                    );
                    break;
                }
            }
        }
    });
    got
}

#[test]
fn killed_at_once_after_a_report_it_tells_the_hook_after_the_restart() {
    in_namespace(|| {
        let site = Site::new();
        let text = std::fs::read_to_string(site.config()).unwrap();
        let hook = "[[hook]]\nurl = \"http://127.0.0.1:9000/x\"\nevents = [\"install.installed\", \"install.up\"]\n";
        std::fs::write(site.config(), format!("{text}\n{hook}")).unwrap();
        let mut daemon = site.start();
        // Nobody listens in the first round; what is to be told waits.
        let mut got = None;
        for round in 1..=6_usize {
            site.run(&["install", "web01", "--force"]);
            let (_, script) = get(WEB01, SCRIPT);
            let answers = answers_in(&script);
            assert_eq!(get(WEB01, &answers).0, 200);
            let token = answers.split('/').nth(2).unwrap();
            let report = format!("GET /report/{token}/installed HTTP/1.0\r\n\r\n");
            assert_eq!(ask(WEB01, &report), (200, "ok\n".to_owned()));
            // The journal writes within 50 ms: mostly, this is before.
            daemon.end(Signal::SIGKILL);
            let got = got.get_or_insert_with(|| receiver(9_000));
            daemon = site.start();
            let ids = || -> BTreeSet<u64> {
                let all = got.lock().unwrap();
                let installed = all
                    .iter()
                    .filter(|event| event["kind"] == "install.installed");
                installed
                    .map(|event| event["id"].as_u64().unwrap())
                    .collect()
            };
            let began = Instant::now();
            while ids().len() != round {
                assert!(
                    began.elapsed() < PATIENCE,
                    "round {round}: {:#?}\n{}",
                    got.lock().unwrap(),
                    site.run(&["events", "--limit", "100"])
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let all = got.unwrap();
        let all = all.lock().unwrap();
        for event in all.iter() {
            assert_eq!(
                (&event["host"], &event["state"]),
                (&"web01".into(), &"installed".into())
            );
            // The same object, with the same id, in the other form of the stream.
            let id = event["id"].as_u64().unwrap();
            let events = site.run(&["events", "--format", "json", "--limit", "10000"]);
            let line = events
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap())
                .find(|other| other["id"] == id);
            assert_eq!(line.as_ref(), Some(event));
        }
        let shown: Value = {
            let mut socket = std::os::unix::net::UnixStream::connect(site.socket()).unwrap();
            socket
                .write_all(b"GET /api/v1/hooks HTTP/1.0\r\n\r\n")
                .unwrap();
            let mut reply = String::new();
            socket.read_to_string(&mut reply).unwrap();
            serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap()
        };
        assert_eq!(shown[0]["hook"], "http://127.0.0.1:9000");
        assert_eq!(shown[0]["waiting"], 0);
    });
}

#[test]
fn a_lost_store_arms_nobody() {
    in_namespace(|| {
        let site = Site::new();
        let daemon = site.start();
        site.run(&["install", "web01"]);
        daemon.end(Signal::SIGTERM);
        std::fs::write(site.folder.path().join("state/records.redb"), b"damaged").unwrap();
        let daemon = site.start();
        assert_eq!(site.state("web01"), "local");
        let trouble = site.event_of("server.trouble").expect("it is told");
        assert_eq!(trouble["reason"], "damaged-store");
        daemon.end(Signal::SIGTERM);
        std::fs::remove_file(site.folder.path().join("state/records.redb")).unwrap();
        let _daemon = site.start();
        assert_eq!(site.state("web01"), "local");
        let (_, script) = get(WEB01, SCRIPT);
        assert!(
            script.contains("exit 1") || script.contains("sanboot"),
            "{script}"
        );
        assert!(!script.contains("/answers/"), "{script}");
    });
}

#[test]
fn changed_files_are_taken_up_and_bad_ones_are_not() {
    in_namespace(|| {
        let site = Site::new();
        let daemon = site.start();
        let generation = || {
            site.event_of("config.reloaded")
                .map_or(1, |event| event["generation"].as_u64().unwrap())
        };
        let good = std::fs::read_to_string(site.reservations()).unwrap();
        let more =
            format!("{good}\n[hosts.web77]\nmac = \"52:54:00:00:00:77\"\nip = \"10.99.0.77\"\n");
        replace(&site.reservations(), &more);
        until("the new host is known", || {
            site.run(&["hosts"]).contains("web77")
        });
        // What it changes is told when machines are answered by it already.
        until("the reload is told", || {
            site.event_of("config.reloaded").is_some()
        });
        let reloaded = site.event_of("config.reloaded").unwrap();
        assert!(
            reloaded["detail"].as_str().unwrap().contains("web77"),
            "{reloaded}"
        );
        // The folder of it is still watched, and a bad file changes nothing.
        let before = generation();
        std::fs::write(site.reservations(), format!("{more}colour = \"red\"\n")).unwrap();
        until("the mistake is told", || {
            site.event_of("config.rejected").is_some()
        });
        let rejected = site.event_of("config.rejected").unwrap();
        let detail = rejected["detail"].as_str().unwrap();
        assert!(detail.contains("reservations.toml:"), "{detail}");
        assert!(detail.contains("colour"), "{detail}");
        assert_eq!(generation(), before);
        assert!(site.run(&["hosts"]).contains("web77"));

        let output = site.command(&["reload"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("colour") && said.contains("reservations.toml:"),
            "{said}"
        );

        replace(&site.reservations(), &good);
        until("the host is gone again", || {
            !site.run(&["hosts"]).contains("web77")
        });
        let before = generation();
        daemon.signal(Signal::SIGHUP);
        until("the signal is followed", || generation() > before);
        assert!(site.run(&["reload"]).contains("in force"));
    });
}

#[test]
fn an_exported_file_follows_with_and_without_a_daemon() {
    in_namespace(|| {
        let site = Site::new();
        let daemon = site.start();
        let (hosts, log) = (
            site.folder.path().join("hosts"),
            site.folder.path().join("log"),
        );
        let command = format!("echo again >> {}", log.display());
        let mut follower = site
            .command(&["export", "hosts", "--follow"])
            .arg(&hosts)
            .args(["--reload-command", &command])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let has = |file: &Path, text: &str| {
            std::fs::read_to_string(file).is_ok_and(|found| found.contains(text))
        };
        until("the file is written", || has(&hosts, "web01"));
        let mut reservations = std::fs::read_to_string(site.reservations()).unwrap();
        let mut add = |name: &str, last: u8| {
            let more = format!(
                "\n[hosts.{name}]\nmac = \"52:54:00:00:99:{last}\"\nip = \"10.99.0.{last}\"\n"
            );
            reservations.push_str(&more);
            replace(&site.reservations(), &reservations);
        };
        add("web71", 71);
        until("the daemon's change is followed", || has(&hosts, "web71"));
        daemon.end(Signal::SIGTERM);
        add("web72", 72);
        until("the files are followed", || has(&hosts, "web72"));
        until("what was asked for is run each time", || {
            std::fs::read_to_string(&log).is_ok_and(|log| log == "again\n".repeat(3))
        });
        follower.kill().unwrap();
        follower.wait().unwrap();
    });
}

/// As editors write: beside the file, then renamed.
fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("toml.new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, file).unwrap();
}

#[test]
fn what_keeps_it_from_starting_is_said_with_the_remedy() {
    in_namespace(|| {
        let site = Site::new();
        // A port that somebody else holds.
        let holder = TcpListener::bind((SERVER, 8_080)).unwrap();
        let own = std::process::id();
        let (said, remedy) = site.start_fails_in_two_lines();
        assert!(
            said.starts_with("HTTP cannot listen on 10.99.0.2, TCP port 8080: ")
                && said.ends_with(&format!("(pid {own}) holds it")),
            "{said}"
        );
        assert_eq!(remedy, "stop it, or set another [http] port");
        assert!(!site.socket().exists(), "nothing is left behind");
        drop(holder);
        let holder = UdpSocket::bind("0.0.0.0:69").unwrap();
        let (said, remedy) = site.start_fails_in_two_lines();
        assert!(said.contains("10.99.0.2, UDP port 69: "), "{said}");
        assert!(remedy.contains("[tftp] port"), "{remedy}");
        drop(holder);
        let holder = UdpSocket::bind("0.0.0.0:67").unwrap();
        let (said, remedy) = site.start_fails_in_two_lines();
        assert!(said.contains("br0, UDP port 67: "), "{said}");
        assert!(remedy.contains("keep it off br0"), "{remedy}");
        drop(holder);

        // A daemon that runs already.
        let daemon = site.start();
        let (said, _) = site.start_fails_in_two_lines();
        assert!(said.contains("already running"), "{said}");
        assert!(
            site.run(&["hosts"]).contains("web01"),
            "the first one is unharmed"
        );
        daemon.end(Signal::SIGTERM);

        // An interface that is not there.
        let good = std::fs::read_to_string(site.config()).unwrap();
        std::fs::write(site.config(), good.replace("\"br0\"", "\"nosuch0\"")).unwrap();
        let (said, remedy) = site.start_fails_in_two_lines();
        assert_eq!(
            said,
            "there is no interface nosuch0; this machine has lo, br0"
        );
        assert!(remedy.contains("[server] interfaces"), "{remedy}");

        // A mistake, shown as `check` shows it, and nothing to start on in its place.
        let kept = site.folder.path().join("state/last-good");
        if kept.exists() {
            std::fs::remove_dir_all(kept).unwrap();
        }
        std::fs::write(site.config(), good.replace("interfaces ", "interface ")).unwrap();
        let said = site.start_fails();
        assert!(said.contains("bootwright.toml:"), "{said}");
        assert!(said.contains("interfaces"), "{said}");
        assert!(
            said.contains("there is no last good configuration"),
            "{said}"
        );

        // A state folder that cannot be made.
        std::fs::write(
            site.config(),
            good.replace("../state", "bootwright.toml/state"),
        )
        .unwrap();
        let (said, remedy) = site.start_fails_in_two_lines();
        assert!(said.starts_with("the state folder "), "{said}");
        assert!(remedy.contains("state_dir"), "{remedy}");
    });
}

#[test]
fn addresses_that_come_and_go_are_followed() {
    in_namespace(|| {
        let site = Site::new();
        let _daemon = site.start();
        let ip = |line: &str| {
            assert!(
                Command::new("ip")
                    .args(line.split(' '))
                    .status()
                    .unwrap()
                    .success()
            );
        };
        ip("addr add 10.99.0.3/24 dev br0");
        until("it answers on the new address", || {
            TcpStream::connect(("10.99.0.3", 8_080)).is_ok()
        });
        ip("addr del 10.99.0.3/24 dev br0");
        until("it has left the old address", || {
            site.run(&["events", "--format", "json"])
                .contains("the boot plane has left 10.99.0.3")
        });
        assert_eq!(get(SERVER, "/healthz"), (200, "ok\n".to_owned()));

        // A socket that cannot be opened, until it can.
        let holder = UdpSocket::bind("0.0.0.0:6969").unwrap();
        let text = std::fs::read_to_string(site.config()).unwrap();
        let moved = text.replace("# port           = 69", "port = 6969");
        assert_ne!(moved, text);
        replace(&site.config(), &moved);
        until("it is known not to be open", || {
            let (status, text) = get(SERVER, "/healthz");
            status == 503 && text.contains("tftp: TFTP cannot listen on 10.99.0.2, UDP port 6969")
        });
        drop(holder);
        until("all is well again", || {
            get(SERVER, "/healthz") == (200, "ok\n".to_owned())
        });
    });
}
