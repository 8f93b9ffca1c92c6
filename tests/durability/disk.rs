//! A disk that is full, or that cannot be written: a small tmpfs in a mount namespace of the test's own.

use std::net::Ipv4Addr;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::api;
use crate::daemon::{Daemon, SERVER, Site, answers_in, in_namespace, until};
use crate::kills::{ready, site, state, told};
use crate::load::{address, mac, name};
use crate::machine::Machine;

/// Hosts: one for each state, and enough to use up what a file of records already holds.
const HOSTS: usize = 64;

/// Runs a test with a site whose `state` is a disk of 16 MiB.
fn on_a_small_disk(test: impl FnOnce(Site, &Path, Machine) + Send + 'static) {
    in_namespace(move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let site = site(HOSTS);
        let disk = site.folder.path().join("state");
        std::fs::create_dir(&disk).unwrap();
        let (flags, size) = (MsFlags::empty(), Some("size=16m,mode=0750"));
        mount(Some("tmpfs"), &disk, Some("tmpfs"), flags, size).unwrap();
        let machine = Machine::plugged_in();
        test(site, &disk, machine);
    });
}

/// Takes all the room that is left.
fn fill(disk: &Path) {
    let _ = std::fs::write(disk.join("hog"), vec![1; 16 << 20]);
}

fn make_room(disk: &Path) {
    std::fs::remove_file(disk.join("hog")).unwrap();
}

fn order(site: &Site, verb: &str, number: usize) -> (u16, Value) {
    let route = format!("/hosts/{}/{verb}", name(number));
    api::post(&site.socket(), &route, r#"{"force":true}"#).expect("an answer")
}

/// The boot script that a machine gets.
fn script(number: usize) -> String {
    let mac = mac(number).replace(':', "-");
    let path = format!("/boot/{mac}/boot.ipxe?uuid=&serial=");
    let (status, text) = api::get(address(number), &path).expect("a script");
    assert_eq!(status, 200);
    text
}

/// The status of a machine's request.
fn status(from: Ipv4Addr, path: &str) -> u16 {
    api::get(from, path).expect("an answer").0
}

fn health() -> String {
    api::get(SERVER, "/healthz").expect("an answer").1
}

/// How hosts 0, 1 and 2 stand.
fn three(site: &Site) -> Vec<String> {
    let (_, hosts) = api::read(&site.socket(), "/hosts").expect("hosts");
    (0..3)
        .map(|number| state(&hosts, &name(number)).to_owned())
        .collect()
}

fn start(site: &Site) -> (Daemon, Value) {
    let mut command = site.command(&["serve"]);
    command.stderr(std::process::Stdio::piped());
    let mut daemon = Daemon(command.spawn().unwrap());
    let hosts = ready(site, &mut daemon);
    (daemon, hosts)
}

#[test]
fn on_a_full_disk_nothing_is_begun_that_cannot_be_recorded() {
    on_a_small_disk(|site, disk, mut machine| {
        let (daemon, _) = start(&site);
        for number in 0..3 {
            assert_eq!(order(&site, "install", number).0, 200);
        }
        let booting = answers_in(&script(1));
        let installing = answers_in(&script(2));
        assert_eq!(status(address(2), &installing), 200);

        fill(disk);
        // What the file already holds is used up first; from then on each order is refused.
        let mut acknowledged = Vec::new();
        let mut refused = 0;
        for number in 3..HOSTS {
            match order(&site, "install", number) {
                (200, _) => acknowledged.push(number),
                (503, said) => {
                    refused += 1;
                    let error = said["error"]["message"].as_str().unwrap();
                    assert!(error.contains("No space left on device"), "{said}");
                }
                (status, said) => panic!("{status}: {said}"),
            }
        }
        assert!(refused > 10, "{refused} refused, {acknowledged:?}");
        until("it says that it is degraded", || {
            let text = health();
            text.contains("records: the store cannot be used: No space left on device")
                && text.contains("nothing is installed")
        });
        assert_eq!(status(SERVER, "/healthz"), 200, "machines are served");
        assert_eq!(
            told(&site, "store-unavailable").len(),
            1,
            "told once a while"
        );

        // Addresses go on. The machine that is armed gets its loader, and then its disk: its
        // installation cannot be recorded.
        assert_eq!(machine.discover(&mac(0)).0, address(0));
        let text = script(0);
        assert!(!text.contains("/answers/"), "{text}");
        assert!(text.contains("the server cannot record it"), "{text}");
        // An installer asks again later.
        assert_eq!(status(address(1), &booting), 503);
        let report = booting.replace("/answers/", "/report/");
        let report = report.replace("/preseed.cfg", "/installed");
        assert_eq!(status(address(1), &report), 503);
        assert_eq!(three(&site), ["armed", "booting", "installing"]);

        // It recovers by itself.
        make_room(disk);
        until("all is well", || health() == "ok\n");
        assert!(script(0).contains("/answers/"));
        assert_eq!(status(address(1), &booting), 200);
        assert_eq!(three(&site), ["booting", "installing", "installing"]);
        // What was acknowledged meanwhile is there after a kill, and nothing that was refused.
        daemon.end(Signal::SIGKILL);
        let (daemon, hosts) = start(&site);
        for number in 3..HOSTS {
            let is_armed = state(&hosts, &name(number)) == "armed";
            assert_eq!(is_armed, acknowledged.contains(&number), "{number}");
        }
        assert_eq!(three(&site), ["booting", "installing", "installing"]);
        let (_, _, log) = daemon.end(Signal::SIGTERM);
        assert!(!log.contains("panicked"), "{log}");
    });
}

#[test]
fn a_start_on_a_full_disk_serves_addresses_until_there_is_room() {
    on_a_small_disk(|site, disk, mut machine| {
        let (daemon, _) = start(&site);
        assert_eq!(order(&site, "install", 0).0, 200);
        daemon.end(Signal::SIGKILL);
        // Not even a file is left that it could have written to.
        let records = disk.join("records.redb");
        let kept = site.folder.path().join("kept.redb");
        std::fs::copy(&records, &kept).unwrap();
        std::fs::remove_file(&records).unwrap();
        fill(disk);
        let mut daemon = Daemon(
            site.command(&["serve"])
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap(),
        );
        assert_eq!(machine.discover(&mac(0)), (address(0), String::new()));
        assert!(daemon.0.try_wait().unwrap().is_none());
        let text = health();
        assert!(text.contains("records: "), "{text}");
        assert!(text.contains("No space left on device"), "{text}");
        let text = script(0);
        assert!(!text.contains("/answers/"), "{text}");
        assert_eq!(order(&site, "install", 0).0, 503);

        make_room(disk);
        until("all is well", || health() == "ok\n");
        // A new store: nobody is armed whom nobody has ordered.
        assert_eq!(three(&site), ["local"; 3]);
        assert_eq!(order(&site, "install", 0).0, 200);
        let (_, _, log) = daemon.end(Signal::SIGTERM);
        assert!(log.contains("No space left on device"), "{log}");
    });
}

#[test]
fn a_disk_that_was_made_read_only_is_told_and_waited_for() {
    on_a_small_disk(|site, disk, mut machine| {
        let remount = |flags| {
            let flags = MsFlags::MS_REMOUNT | flags;
            mount(None::<&str>, disk, None::<&str>, flags, None::<&str>).unwrap();
        };
        let (daemon, _) = start(&site);
        for number in 0..3 {
            assert_eq!(order(&site, "install", number).0, 200);
        }
        let booting = answers_in(&script(1));
        let installing = answers_in(&script(2));
        assert_eq!(status(address(2), &installing), 200);
        daemon.end(Signal::SIGKILL);

        // Started on it: addresses and disks.
        remount(MsFlags::MS_RDONLY);
        let mut command = site.command(&["serve"]);
        command.stderr(std::process::Stdio::piped());
        let mut daemon = Daemon(command.spawn().unwrap());
        assert_eq!(machine.discover(&mac(0)), (address(0), String::new()));
        assert!(daemon.0.try_wait().unwrap().is_none());
        let text = health();
        for part in ["records: ", "journal: ", "operators: "] {
            let line = text.lines().find(|line| line.starts_with(part));
            let line = line.unwrap_or_else(|| panic!("{part} in {text}"));
            assert!(line.contains("Read-only file system"), "{line}");
        }
        for number in 0..3 {
            assert!(!script(number).contains("/answers/"));
        }
        assert_eq!(status(address(1), &booting), 503);
        assert_eq!(status(address(2), &installing), 503);
        let said = site.command(&["install", "web01"]).output().unwrap();
        assert_eq!(said.status.code(), Some(1));

        // It recovers by itself: everybody stands where they stood.
        remount(MsFlags::empty());
        until("all is well", || health() == "ok\n");
        assert_eq!(three(&site), ["armed", "booting", "installing"]);
        assert_eq!(status(address(2), &installing), 200);

        // The same while it runs. A file that is open for writing holds the disk; a full one makes it
        // let go, and from then on it cannot open it.
        fill(disk);
        for number in 3..HOSTS {
            order(&site, "install", number);
        }
        until("nothing can be written", || {
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            order(&site, "local", 3);
            mount(None::<&str>, disk, None::<&str>, flags, None::<&str>).is_ok()
        });
        until("it says why", || {
            health().contains("records: the store cannot be used: Read-only")
        });
        assert_eq!(order(&site, "install", 4).0, 503);
        assert_eq!(machine.discover(&mac(0)).0, address(0));
        assert!(!script(0).contains("/answers/"));
        assert_eq!(status(address(1), &booting), 503);
        remount(MsFlags::empty());
        make_room(disk);
        until("all is well", || health() == "ok\n");
        assert_eq!(three(&site), ["armed", "booting", "installing"]);
        assert!(script(0).contains("/answers/"));
        let (status_of_end, _, log) = daemon.end(Signal::SIGTERM);
        assert!(status_of_end.success(), "{log}");
        assert!(log.contains("Read-only file system"), "{log}");
        assert!(!site.socket().exists());
    });
}
