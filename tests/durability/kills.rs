//! SIGKILL at random moments, and a store cut short between two runs.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::api;
use crate::daemon::{Daemon, SERVER, Site, answers_in, in_namespace, until};
use crate::load::{Client, HOSTS, address, mac, name};
use crate::machine::Machine;
use crate::random::{Random, seed, tell};

/// Clients at once.
const CLIENTS: usize = 4;

/// How often the daemon is killed unless `BOOTWRIGHT_KILLS` says otherwise.
const KILLS: usize = 300;

/// How long a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The shipped site with hosts of the load, each with its address on the loopback.
pub(crate) fn site(hosts: usize) -> Site {
    let site = Site::new();
    let mut text = std::fs::read_to_string(site.reservations()).unwrap();
    for number in 0..hosts {
        let (name, mac, ip) = (name(number), mac(number), address(number));
        let host = format!("\n[hosts.{name}]\nmac = \"{mac}\"\nip = \"{ip}\"\ngroup = \"web\"\n");
        text.push_str(&host);
        let address = format!("addr add {ip}/32 dev lo");
        let status = Command::new("ip")
            .args(address.split(' '))
            .status()
            .unwrap();
        assert!(status.success(), "ip {address}");
    }
    std::fs::write(site.reservations(), text).unwrap();
    site
}

/// Starts a daemon and does not wait for it.
pub(crate) fn spawn(site: &Site) -> Daemon {
    let mut command = site.command(&["serve"]);
    command.stderr(Stdio::null());
    Daemon(command.spawn().unwrap())
}

/// Waits until it answers operators and machines: how all hosts stand.
pub(crate) fn ready(site: &Site, daemon: &mut Daemon) -> Value {
    let began = Instant::now();
    loop {
        if let Some((200, hosts)) = api::read(&site.socket(), "/hosts")
            && TcpStream::connect((SERVER, 8_080)).is_ok()
        {
            return hosts;
        }
        if let Some(status) = daemon.0.try_wait().unwrap() {
            panic!("it ended: {status}");
        }
        assert!(began.elapsed() < PATIENCE, "it does not answer");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Kills it and waits until its sockets are gone with it.
pub(crate) fn kill(mut daemon: Daemon) {
    daemon.signal(Signal::SIGKILL);
    daemon.0.wait().unwrap();
}

/// How a host stands.
pub(crate) fn state<'a>(hosts: &'a Value, name: &str) -> &'a str {
    let mut all = hosts.as_array().unwrap().iter();
    let host = all.find(|host| host["name"] == name).expect("the host");
    host["state"].as_str().unwrap()
}

/// All events of these reasons that the journal has.
pub(crate) fn told(site: &Site, reason: &str) -> Vec<Value> {
    let lines = site.run(&["events", "--format", "json", "--limit", "10000"]);
    let events = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["reason"] == reason).collect()
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let kills = match std::env::var("BOOTWRIGHT_KILLS") {
        Ok(text) => text.parse().expect("BOOTWRIGHT_KILLS is a number"),
        Err(_) => KILLS,
    };
    in_namespace(move || {
        let site = site(CLIENTS * HOSTS);
        let mut random = Random::new(seed());
        let mut clients: Vec<Client> = (0..CLIENTS)
            .map(|client| Client::new(client * HOSTS, &site.socket()))
            .collect();
        let began = Instant::now();
        let (mut starting, mut started_in) = (0, Duration::ZERO);
        for _ in 0..kills {
            let mut daemon = spawn(&site);
            if random.below(5) == 0 {
                // While it starts.
                std::thread::sleep(Duration::from_millis(random.below(120)));
                starting += 1;
                kill(daemon);
                continue;
            }
            let at = Instant::now();
            let hosts = ready(&site, &mut daemon);
            started_in += at.elapsed();
            for client in &mut clients {
                client.compare(&hosts);
            }
            for untouched in ["web01", "web02"] {
                assert_eq!(state(&hosts, untouched), "local");
            }
            let stop = AtomicBool::new(false);
            let wait = Duration::from_micros(random.below(60_000));
            std::thread::scope(|scope| {
                for client in &mut clients {
                    let mut own = Random::new(random.next());
                    let stop = &stop;
                    scope.spawn(move || client.work(&mut own, stop));
                }
                std::thread::sleep(wait);
                kill(daemon);
                stop.store(true, Ordering::Relaxed);
            });
        }
        let mut daemon = spawn(&site);
        let hosts = ready(&site, &mut daemon);
        for client in &mut clients {
            client.compare(&hosts);
        }
        for reason in ["damaged-store", "disk-full", "store-unavailable"] {
            assert_eq!(told(&site, reason), Vec::<Value>::new());
        }
        let acknowledged: u64 = clients.iter().map(|client| client.acknowledged).sum();
        assert!(
            acknowledged > kills as u64,
            "there was a load: {acknowledged}"
        );
        tell(&format!(
            "{kills} kills in {:.0} s, {starting} of them while it started; a start took {} ms; {acknowledged} changes and requests were acknowledged, none was lost",
            began.elapsed().as_secs_f32(),
            started_in.as_millis() / u128::try_from((kills - starting).max(1)).unwrap(),
        ));
    });
}

/// Cuts the store's file at random lengths between two runs: it is read as it was, or it is set aside,
/// that is told, and everybody is local.
#[test]
fn a_store_cut_short_arms_nobody() {
    in_namespace(|| {
        let site = site(HOSTS);
        let mut machine = Machine::plugged_in();
        let records = site.folder.path().join("state/records.redb");
        let mut daemon = spawn(&site);
        ready(&site, &mut daemon);
        // One of each: armed, booting, installed.
        for number in 0..HOSTS {
            let route = format!("/hosts/{}/install", name(number));
            assert_eq!(api::post(&site.socket(), &route, "").unwrap().0, 200);
        }
        let mut tokens = Vec::new();
        for number in 1..HOSTS {
            let mac = mac(number).replace(':', "-");
            let path = format!("/boot/{mac}/boot.ipxe?uuid=&serial=");
            let (_, script) = api::get(address(number), &path).unwrap();
            tokens.push(answers_in(&script).split('/').nth(2).unwrap().to_owned());
        }
        let path = format!("/report/{}/installed", tokens[1]);
        assert_eq!(api::get(address(2), &path).unwrap().0, 200);
        let stands = ["armed", "booting", "installed"];
        kill(daemon);
        let good = std::fs::read(&records).unwrap();

        let mut random = Random::new(seed());
        let whole = good.len() as u64;
        let mut lengths = vec![0, 1, 64, 4_095, 4_096, whole / 2, whole - 1, whole];
        lengths.extend((0..20).map(|_| random.below(whole)));
        let (mut set_aside, mut kept) = (0, 0);
        for length in lengths {
            let cut = &good[..usize::try_from(length).unwrap()];
            std::fs::write(&records, cut).unwrap();
            let mut daemon = spawn(&site);
            let hosts = ready(&site, &mut daemon);
            let found: Vec<_> = (0..HOSTS).map(|n| state(&hosts, &name(n))).collect();
            let health = || api::get(SERVER, "/healthz").unwrap().1;
            let aside: Vec<_> = std::fs::read_dir(records.parent().unwrap())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.to_string_lossy().contains("records.redb."))
                .collect();
            if aside.is_empty() {
                kept += 1;
                assert_eq!(found, stands, "cut at {length} of {whole}");
                until("it is well", || health() == "ok\n");
            } else {
                set_aside += 1;
                assert_eq!(found, ["local"; HOSTS], "cut at {length} of {whole}");
                let [aside] = aside.as_slice() else {
                    panic!("one file is set aside: {aside:?}")
                };
                let now = std::fs::read(aside).unwrap();
                // redb marks a file that it begins to repair; nothing else is written to it.
                let differ = now.iter().zip(cut).filter(|(a, b)| a != b).count();
                assert!(now.len() == cut.len() && differ <= 1, "{differ} bytes");
                let told = told(&site, "damaged-store");
                let told = told.last().unwrap_or_else(|| panic!("cut at {length}"));
                let detail = told["detail"].as_str().unwrap();
                let name = aside.file_name().unwrap().to_string_lossy();
                assert!(detail.contains(&*name), "{detail}");
                // Addresses go on, the disk is what is booted, and the old tokens open nothing.
                assert_eq!(machine.discover(&mac(0)), (address(0), String::new()));
                let answers = format!("/answers/{}/preseed.cfg", tokens[0]);
                assert_eq!(api::get(address(1), &answers).unwrap().0, 404);
                std::fs::remove_file(aside).unwrap();
            }
            for untouched in ["web01", "web02"] {
                assert_eq!(state(&hosts, untouched), "local");
            }
            kill(daemon);
        }
        assert!(
            set_aside > 10 && kept > 0,
            "{set_aside} set aside, {kept} kept"
        );
        tell(&format!(
            "{set_aside} cuts were set aside, {kept} were read as they were"
        ));
    });
}
