//! A disk that is full, or that cannot be written: a small tmpfs in a mount namespace of the test's own.

use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;

use crate::api;
use crate::daemon::{SERVER, Site, answers_in, in_namespace, until};
use crate::kills::{kill, ready, site, spawn, state, told};
use crate::load::{address, mac, name};
use crate::machine::Machine;

/// Runs a test with a site whose `state` is a disk of its own.
fn on_a_small_disk(hosts: usize, test: impl FnOnce(Site, &Path, Machine) + Send + 'static) {
    in_namespace(move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let site = site(hosts);
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

fn order(site: &Site, verb: &str, number: usize) -> (u16, serde_json::Value) {
    let route = format!("/hosts/{}/{verb}", name(number));
    api::post(&site.socket(), &route, r#"{"force":true}"#).expect("an answer")
}

fn script(number: usize) -> String {
    let mac = mac(number).replace(':', "-");
    let path = format!("/boot/{mac}/boot.ipxe?uuid=&serial=");
    let (status, text) = api::get(address(number), &path).expect("a script");
    assert_eq!(status, 200);
    text
}

fn health() -> String {
    api::get(SERVER, "/healthz").expect("an answer").1
}

#[test]
fn on_a_full_disk_nothing_is_begun_that_cannot_be_recorded() {
    const HOSTS: usize = 60;
    on_a_small_disk(HOSTS, |site, disk, mut machine| {
        let mut daemon = spawn(&site);
        ready(&site, &mut daemon);
        for number in 0..3 {
            assert_eq!(order(&site, "install", number).0, 200);
        }
        let booting = answers_in(&script(1));
        let installing = answers_in(&script(2));
        assert_eq!(api::get(address(2), &installing).unwrap().0, 200);

        fill(disk);
        for n in 3..HOSTS {
            let (status, said) = order(&site, "install", n);
            println!("{n}: {status} {said}");
        }
        println!("{}", health());
        println!("{:?}", machine.discover(&mac(0)));
        println!("{}", script(0));
        println!("{:?}", api::get(address(1), &booting));
        println!("{:?}", api::get(address(2), &installing).map(|a| a.0));
        let _ = make_room;
        let _ = (Signal::SIGTERM, Stdio::null());
        let mut s = String::new();
        let _ = std::io::empty().read_to_string(&mut s);
    });
}
