//! An editing storm: a hundred saves of the reservations, half of them broken, while machines get their addresses, boot
//! scripts and answers from the real daemon on a real link. Needs the right to make network namespaces (root); without
//! it the test says so and passes.

#[allow(dead_code, reason = "shared with the services' tests")]
#[path = "../netns/net.rs"]
mod net;
#[path = "../netns/wire.rs"]
mod wire;

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bootwright::config::source::DiskFiles;
use bootwright::render::load::load;
use serde_json::Value;

use net::Namespace;
use wire::{Card, DISCOVER, OFFER, REQUEST, message, reply};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const WEB01: [u8; 6] = [0x52, 0x54, 0, 0x47, 0x86, 0x8e];
const ACK: u8 = 5;
/// How long anything may take on a busy machine before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);
const SAVES: u32 = 100;

const MAIN: &str = r#"
[server]
interfaces = ["srv0"]
state_dir = "../state"
boot_assets = "../boot-assets"
[dhcp]
conflict_probe = false
[[subnet]]
name = "lab"
network = "10.99.0.0/24"
"#;

const PROFILE: &str = r#"
title = "Tiny"
family = "other"
arch = ["x86_64"]
[boot]
kind = "linux"
kernel = "tiny/linux"
cmdline = "url={{ answers.url }} round={{ vars.first }}"
[[answers]]
name = "answers.txt"
template = "answers.j2"
"#;

/// The reservations of a round. What stands at their two ends is the same, so that half of them shows.
fn reservations(round: u32) -> String {
    format!(
        "[defaults]\nprofile = \"tiny\"\n[defaults.vars]\nfirst = {round}\n\
         [hosts.web01]\nmac = \"52:54:00:47:86:8e\"\nip = \"10.99.0.11\"\n\
         [hosts.web02]\nmac = \"52:54:00:00:00:12\"\nip = \"10.99.0.12\"\n\
         [hosts.web02.vars]\nlast = {round}\n"
    )
}

/// The same with a mistake, and a word of what is said of it.
fn broken(round: u32) -> (String, &'static str) {
    let good = reservations(round);
    match round % 5 {
        0 => (format!("{good}[hosts.web03\n"), "reservations.toml:"),
        1 => (
            good.replace("[hosts.web01]", "[hosts.web01]\ncolour = \"red\""),
            "colour",
        ),
        2 => (good.replace("last = ", "lost = "), "last"),
        3 => (good.replace("\"tiny\"", "\"tony\""), "tiny"),
        _ => (good.replace("10.99.0.11", "10.99.0.12"), "10.99.0.12"),
    }
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As editors write: beside the file, then renamed.
fn save(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, file).unwrap();
}

fn read(mut stream: impl std::io::Read) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{text:?}"));
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

/// An operator's request.
fn order(socket: &Path, line: &str) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{line} HTTP/1.0\r\n\r\n").unwrap();
    let (status, body) = read(stream);
    assert_eq!(status, 200, "{line}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// A machine's request.
fn get(path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect((SERVER, 8_080)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    read(stream)
}

fn number_after(text: &str, word: &str) -> u32 {
    let at = text
        .find(word)
        .unwrap_or_else(|| panic!("no {word} in {text}"))
        + word.len();
    let digits = text[at..].chars().take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().unwrap()
}

/// Gets its address again and again; how often.
fn leases(card: &Card, stop: &AtomicBool) -> u32 {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        for (kind, answer) in [(DISCOVER, OFFER), (REQUEST, ACK)] {
            let xid = 1_000 + count * 2 + u32::from(kind == REQUEST);
            let request = message(WEB01, xid, kind, true, Ipv4Addr::UNSPECIFIED);
            card.broadcast_frame(WEB01, &request);
            let deadline = Instant::now() + PATIENCE;
            loop {
                assert!(Instant::now() < deadline, "no answer to packet {xid}");
                let Some(frame) = card.next(Duration::from_millis(100)) else {
                    continue;
                };
                let (of, ip, told, server) = reply(&frame.payload);
                if of == xid {
                    let wanted = (Ipv4Addr::new(10, 99, 0, 11), answer, Some(SERVER));
                    assert_eq!((ip, told, server), wanted);
                    break;
                }
            }
        }
        count += 1;
    }
    count
}

/// Fetches its script and its answers again and again; how often.
fn fetches(stop: &AtomicBool) -> u32 {
    let (mut count, mut newest) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let (status, script) = get("/boot/52-54-00-00-00-12/boot.ipxe?uuid=&serial=");
        assert_eq!(status, 200, "{script}");
        let round = number_after(&script, "round=");
        assert!(
            round >= newest,
            "an older configuration came back: {script}"
        );
        let at = script
            .find("/answers/")
            .unwrap_or_else(|| panic!("{script}"));
        let path: String = script[at..]
            .chars()
            .take_while(|c| !c.is_whitespace())
            .collect();
        let (status, answers) = get(&path);
        assert_eq!(status, 200, "{answers}");
        let (first, last) = (
            number_after(&answers, "first="),
            number_after(&answers, "last="),
        );
        assert_eq!(first, last, "half of a configuration: {answers}");
        assert!(
            first >= round,
            "an older configuration came back: {answers}"
        );
        newest = first;
        count += 1;
    }
    count
}

#[test]
fn a_storm_of_saves_disturbs_no_machine() {
    let (server, machine) = match (Namespace::new(), Namespace::new()) {
        (Ok(server), Ok(machine)) => (server, machine),
        (Err(why), _) | (_, Err(why)) => {
            assert!(
                !nix::unistd::geteuid().is_root(),
                "root can make namespaces: {why}"
            );
            let _ = writeln!(std::io::stderr(), "skipped: {why}");
            return;
        }
    };
    server.join("srv0", &machine, "cli0");
    server.ip("address add 10.99.0.1/24 dev srv0");
    machine.ip("link set cli0 address 52:54:00:00:00:12");
    machine.ip("address add 10.99.0.12/24 dev cli0");

    let folder = tempfile::tempdir().unwrap();
    // The account that the daemon becomes has to get in.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let at = |name: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    let file = at("c/reservations.toml");
    std::fs::write(at("c/bootwright.toml"), MAIN).unwrap();
    std::fs::write(&file, reservations(0)).unwrap();
    std::fs::write(at("c/profiles/tiny.toml"), PROFILE).unwrap();
    let template = "first={{ vars.first }}\n{% for n in range(200) %}{{ n }} {{ host.name }}\n{% endfor %}last={{ vars.last | default(vars.first) }}\n";
    // One host has `last` of its own: without it there is none.
    let template = template.replace(
        "vars.last | default(vars.first)",
        "vars.last if host.name == 'web02' else vars.first",
    );
    std::fs::write(at("c/templates/answers.j2"), template).unwrap();
    for boot_file in ["tiny/linux", "ipxe/undionly.kpxe", "ipxe/snponly.efi"] {
        std::fs::write(at(&format!("boot-assets/{boot_file}")), b"a boot file").unwrap();
    }
    let main = at("c/bootwright.toml");
    // Each kind of mistake is one.
    for round in 0..5 {
        save(&file, &broken(round).0);
        assert!(load(&DiskFiles, &main, 1).config.is_none(), "{round}");
    }
    save(&file, &reservations(0));

    let log = std::fs::File::create(at("log")).unwrap();
    let command = main.clone();
    let daemon = server.run(move || {
        Command::new(env!("CARGO_BIN_EXE_bootwright"))
            .arg("--config")
            .arg(command)
            .arg("serve")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    });
    let _daemon = Daemon(daemon);
    let socket = at("state/bootwright.sock");
    let began = Instant::now();
    while !machine.run(|| TcpStream::connect((SERVER, 8_080)).is_ok()) || !socket.exists() {
        let log = std::fs::read_to_string(at("log")).unwrap();
        assert!(began.elapsed() < PATIENCE, "it does not start: {log}");
        std::thread::sleep(Duration::from_millis(20));
    }
    order(&socket, "POST /api/v1/hosts/web02/install");

    let stop = Arc::new(AtomicBool::new(false));
    let (leasing, fetching) = {
        let (one, other) = (Arc::clone(&stop), Arc::clone(&stop));
        machine.run(move || {
            let card = Card::open("cli0");
            (
                std::thread::spawn(move || leases(&card, &one)),
                std::thread::spawn(move || fetches(&other)),
            )
        })
    };

    let (mut good, mut bad) = (0, 0);
    for round in 1..=SAVES {
        let is_good = round % 2 == 0;
        let (text, word) = if is_good {
            (reservations(round), "")
        } else {
            broken(round)
        };
        save(&file, &text);
        let outcome = order(&socket, "POST /api/v1/reload");
        assert_eq!(outcome["accepted"], is_good, "round {round}: {outcome}");
        let standing = order(&socket, "GET /api/v1/configuration");
        assert_eq!(standing["generation"], outcome["generation"]);
        if is_good {
            good += 1;
            assert_eq!(standing.get("rejected"), None, "{standing}");
            continue;
        }
        bad += 1;
        for told in [&outcome["problems"], &standing["rejected"]["problems"]] {
            assert!(told.to_string().contains(word), "round {round}: {told}");
        }
        let hosts = order(&socket, "GET /api/v1/hosts");
        assert_eq!(hosts[0]["configuration"], "rejected", "{hosts}");
        assert!(
            !leasing.is_finished() && !fetching.is_finished(),
            "round {round}"
        );
    }
    stop.store(true, Ordering::Relaxed);
    let (leases, fetches) = (leasing.join().unwrap(), fetching.join().unwrap());
    // They went on all the time.
    assert!(
        leases >= 20 && fetches >= 20,
        "{leases} leases, {fetches} fetches"
    );
    assert_eq!((good, bad), (SAVES / 2, SAVES / 2));

    let (_, script) = machine.run(|| get("/boot/52-54-00-00-00-12/boot.ipxe?uuid=&serial="));
    assert_eq!(
        number_after(&script, "round="),
        SAVES,
        "the last good save is in force"
    );
    let events = order_lines(&socket, "GET /api/v1/events?limit=100000");
    let told = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count();
    assert!(
        told("config.rejected") >= 50,
        "each broken one was told: {}",
        told("config.rejected")
    );
    assert!(told("config.reloaded") >= 50, "{}", told("config.reloaded"));
    let health = machine.run(|| get("/healthz"));
    assert_eq!(health, (200, "ok\n".to_owned()));
    // What would be started on is that save, as soon as the disk has it.
    let began = Instant::now();
    while order(&socket, "GET /api/v1/configuration")["kept"] != true {
        assert!(began.elapsed() < PATIENCE, "it is not kept");
        std::thread::sleep(Duration::from_millis(20));
    }
    let kept = std::fs::read_to_string(at("state/last-good/files/reservations.toml")).unwrap();
    assert_eq!(kept, reservations(SAVES));
}

fn order_lines(socket: &Path, line: &str) -> Vec<Value> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{line} HTTP/1.0\r\n\r\n").unwrap();
    let (status, body) = read(stream);
    assert_eq!(status, 200, "{line}");
    match serde_json::from_str::<Value>(&body) {
        Ok(Value::Array(events)) => events,
        _ => body
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    }
}
