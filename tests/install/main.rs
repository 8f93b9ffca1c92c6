//! A whole installation: a virtual BIOS machine is armed, boots over the network into Debian's installer,
//! gets its answers and its packages, reports, starts anew, boots its disk and reports that it is up.
//!
//! `make install-test` makes the mirror and runs this program; docs/install-test.md says what of it is
//! Debian's own and what stands in for it. It is no collection of tests but one long one, on the main
//! thread, because a process can leave for another network only before it has a second thread.

#![expect(
    clippy::print_stdout,
    reason = "for whoever watches minutes of an installation"
)]

mod case;
mod lab;
mod whole;

use std::time::{Duration, Instant};

use bootwright::base::Token;
use bootwright::journal::event::{Event, Kind};
use bootwright::rehearse::netns;
use bootwright::rehearse::qemu::Tools;
use case::Case;
use lab::{Events, Machine, SERVER, Site, folder, is_open_to_all, wiring};

/// How long the whole may take on a busy machine without hardware virtualisation.
const PATIENCE: Duration = Duration::from_secs(40 * 60);
/// How long there may be no sign of the machine: neither an event nor a word on its console.
const SILENCE: Duration = Duration::from_secs(8 * 60);
/// How long without an event before the console's last line is shown.
const DULL: Duration = Duration::from_secs(30);
/// What the machine's network ROM says when it gives the disk its turn.
const NEXT_DEVICE: &str = "the next boot device";

fn main() {
    // `cargo test` passes arguments of the usual harness; what is installed is said by the environment.
    let case = Case::wanted();
    let host = case.host.as_str();
    let make = if case.is_whole {
        "install-whole"
    } else {
        "install-test"
    };
    let boot_files = folder().join("boot-assets");
    assert!(
        boot_files.join(case.mirror).is_file(),
        "there is no mirror in {}: run `make {make}`, which makes it",
        boot_files.display()
    );
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = Tools::find(case.firmware, false, &path, &boot_files)
        .unwrap_or_else(|missing| panic!("{missing:?}: run `make {make}`"));
    let is_root = nix::unistd::geteuid().is_root();
    let account = (is_root && is_open_to_all(&boot_files)).then_some("nobody");
    let site = Site::new(&case, account);

    netns::enter().unwrap_or_else(|error| panic!("{error}"));
    wiring()
        .make(&tools.ip)
        .unwrap_or_else(|error| panic!("{error}"));
    let daemon = site.serve();
    println!(
        "daemon at {SERVER} as {}",
        account.unwrap_or("the user of this test")
    );
    let events = site.follow();
    let armed = site.run(&["install", host]);
    println!("{}", armed.trim());

    let mut machine = Machine::switch_on(&tools, &site, &case);
    println!(
        "{host} switched on: {}, network first, {} of {} GiB, empty",
        case.firmware.describe(),
        if case.disks.0 == 1 {
            "a disk"
        } else {
            "two disks"
        },
        case.disks.1 >> 30
    );
    let outcome = watch(&mut machine, &events, &case);
    site.keep_installer_log();
    let took = outcome.unwrap_or_else(|trouble| {
        panic!(
            "{trouble}\n--- why\n{}\n--- the end of the console (all of it, and the installer's log: {})\n{}",
            site.run(&["why", host]),
            site.last.display(),
            machine.tail(25)
        )
    });
    let system = case.is_whole.then(|| whole::look(&site, &case));
    let console = std::mem::take(&mut machine.text);
    drop(machine);

    judge_the_record(&site, host);
    judge_the_events(&site.events(), &case);
    if let Some(system) = system {
        whole::judge(&system, &case);
        whole::judge_the_mirror(&site.events());
    } else {
        judge_the_short_way(&site.events());
        judge_the_console(&console);
        judge_the_disk(&site);
    }
    let everything = site.events();
    drop(events);
    assert!(daemon.end(), "the daemon did not end in time");
    judge_secrecy(&site, &console, &everything);
    println!(
        "installed, booted from its disk and up after {:.0} s",
        took.as_secs_f64()
    );
}

/// Tells what happens until the installed system is up and asks for a login: how long that took, or what
/// went wrong.
fn watch(machine: &mut Machine, events: &Events, case: &Case) -> Result<Duration, String> {
    // What asks for a name on the serial console of the installed system.
    let login = format!("{} login:", case.host);
    let began = Instant::now();
    let mut story = Story::new(began);
    let (mut sign, mut event_seen) = (began, began);
    let (mut is_up, mut next_device, mut asks_login) = (false, false, false);
    loop {
        if let Some(event) = events.next(Duration::from_millis(200)) {
            (sign, event_seen) = (Instant::now(), Instant::now());
            story.take(&event);
            match event.kind {
                Kind::InstallUp => is_up = true,
                Kind::InstallFailed | Kind::InstallStalled => {
                    wait_for_log(events);
                    return Err(format!(
                        "the installation has failed: {}",
                        event.detail.unwrap_or_default()
                    ));
                }
                _ => {}
            }
        }
        if machine.read_console() {
            sign = Instant::now();
        }
        if !next_device && machine.text.contains(NEXT_DEVICE) {
            next_device = true;
            story.say("its network ROM gives the disk its turn");
        }
        if !asks_login && machine.text.contains(&login) {
            asks_login = true;
            story.say("the serial console asks for a login");
        }
        if is_up && asks_login {
            return Ok(began.elapsed());
        }
        if let Some(words) = machine.last_words() {
            return Err(format!("the machine has ended: {words}"));
        }
        if sign.elapsed() > SILENCE {
            return Err("nothing has come of the machine for too long".to_owned());
        }
        if began.elapsed() > PATIENCE {
            return Err("the installation has taken too long".to_owned());
        }
        if event_seen.elapsed() > DULL {
            event_seen = Instant::now();
            let line = machine.tail(1);
            story.say(&format!("… {}", line.trim()));
        }
    }
}

/// What the installer sends of its log comes after its report.
fn wait_for_log(events: &Events) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(30) {
        let event = events.next(Duration::from_secs(1));
        if event.is_some_and(|event| event.kind == Kind::ReportLog) {
            return;
        }
    }
}

/// What has happened, line by line, with the seconds since the machine was switched on.
struct Story {
    began: Instant,
    /// Packages since the last line: how many, and their bytes.
    packages: (u32, u64),
}

impl Story {
    const fn new(began: Instant) -> Self {
        Self {
            began,
            packages: (0, 0),
        }
    }

    fn say(&mut self, text: &str) {
        let (count, bytes) = std::mem::take(&mut self.packages);
        if count > 0 {
            self.say(&format!(
                "{count} packages sent, {}.{} MB",
                bytes / 1_000_000,
                bytes / 100_000 % 10
            ));
        }
        println!("{:7.1}s  {text}", self.began.elapsed().as_secs_f64());
    }

    fn take(&mut self, event: &Event) {
        let file = event.file.as_deref().unwrap_or_default();
        let bytes = event.bytes.unwrap_or_default();
        let detail = event.detail.as_deref().unwrap_or_default();
        match event.kind {
            Kind::HttpAsset if is_package(event) => {
                self.packages.0 += 1;
                self.packages.1 += bytes;
            }
            Kind::HttpAsset | Kind::TftpSent | Kind::HttpAnswer => {
                self.say(&format!("{}  {file}  {bytes} bytes", event.kind));
            }
            Kind::ServerStarted | Kind::ServerLinks | Kind::ConfigReloaded => {}
            kind => self.say(&format!("{kind}  {file}  {detail}")),
        }
    }
}

/// A package that apt has fetched.
fn is_package(event: &Event) -> bool {
    event.kind == Kind::HttpAsset
        && event
            .file
            .as_deref()
            .is_some_and(|file| file.contains("/pool/"))
}

/// What is remembered of the host.
fn judge_the_record(site: &Site, host: &str) {
    let shown = site.run(&["host", "show", host, "--format", "json"]);
    let host: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(host["state"], "installed", "{shown}");
    let installation = &host["installation"];
    assert_eq!(installation["attempt"], 1, "{shown}");
    assert!(installation["installed_at"].is_number() || installation["installed_at"].is_string());
    assert!(
        installation["up_at"].is_number() || installation["up_at"].is_string(),
        "{shown}"
    );
}

/// The life of the installation, in its order.
fn judge_the_events(events: &[Event], case: &Case) {
    let position = |kind: Kind, from: usize| {
        events
            .iter()
            .skip(from)
            .position(|event| event.kind == kind)
            .map_or_else(
                || panic!("no {kind} after event {from}"),
                |found| found + from,
            )
    };
    let armed = position(Kind::InstallArmed, 0);
    let booting = position(Kind::InstallBooting, armed);
    let started = position(Kind::InstallStarted, booting);
    let progress = position(Kind::InstallProgress, started);
    let installed = position(Kind::InstallInstalled, progress);
    let up = position(Kind::InstallUp, installed);
    for kind in [
        Kind::InstallArmed,
        Kind::InstallBooting,
        Kind::InstallInstalled,
        Kind::InstallUp,
    ] {
        let times = events.iter().filter(|event| event.kind == kind).count();
        assert_eq!(times, 1, "{kind}");
    }
    // The disk was not named: the only one was found and told.
    assert!(
        events
            .iter()
            .any(|event| event.kind == Kind::InstallProgress
                && event
                    .detail
                    .as_deref()
                    .unwrap_or_default()
                    .contains("/dev/vda")),
        "the disk was not told"
    );
    assert_eq!(events[up].ip, Some(case.ip));
    // Both answers and the installer's log.
    for answer in ["preseed.cfg", "install.sh"] {
        assert!(
            events.iter().any(|event| event.kind == Kind::HttpAnswer
                && event.file.as_deref().unwrap_or_default().contains(answer)),
            "{answer}"
        );
    }
    assert!(events.iter().any(|event| event.kind == Kind::ReportLog));
    // It booted from the network again and was sent to its disk: an address and no boot file, no script.
    let after = &events[installed..];
    let offers: Vec<&Event> = after
        .iter()
        .filter(|event| event.kind == Kind::DhcpOffer)
        .collect();
    assert!(!offers.is_empty(), "no network boot after `installed`");
    for offer in offers {
        assert_eq!(offer.stage.as_deref(), Some(case.stage()), "{offer:?}");
        assert_eq!(offer.file, None, "{offer:?}");
    }
    for event in after {
        assert!(
            !matches!(
                event.kind,
                Kind::HttpScript | Kind::TftpSent | Kind::HttpAnswer
            ),
            "{event:?}"
        );
        // The installed system has its address from its own file, not by DHCP.
        if matches!(event.kind, Kind::DhcpAck | Kind::DhcpOffer) {
            assert_eq!(event.stage.as_deref(), Some(case.stage()), "{event:?}");
        }
    }
}

/// How many files with these words in their names were fetched.
fn fetched_of(events: &[Event], words: &str) -> usize {
    events
        .iter()
        .filter(|event| event.kind == Kind::HttpAsset)
        .filter(|event| event.file.as_deref().unwrap_or_default().contains(words))
        .count()
}

/// What was fetched of the short test's mirror: components of the installer, the base system, packages by apt.
fn judge_the_short_way(events: &[Event]) {
    let fetched = |words: &str| fetched_of(events, words);
    assert_eq!(fetched("debian-mirror/pool/components/"), 6);
    assert_eq!(fetched("debian-mirror/base.tar"), 1);
    for package in ["openssh-server_", "wget_", "hello_", "grub-pc-bin_"] {
        assert_eq!(
            fetched(&format!("debian-mirror/pool/main/{package}")),
            1,
            "{package}"
        );
    }
}

/// What the machine itself says agrees.
fn judge_the_console(console: &str) {
    let turns = console.matches(NEXT_DEVICE).count();
    assert_eq!(turns, 1, "the disk got its turn {turns} times");
    let from = console.find(NEXT_DEVICE).unwrap_or_default();
    let kernels = |text: &str| text.matches("] Linux version ").count();
    assert_eq!(kernels(&console[..from]), 1, "the installer's kernel");
    assert_eq!(kernels(&console[from..]), 1, "the installed kernel");
    let (command_line, _) = console[from..]
        .split_once("Command line: ")
        .and_then(|(_, rest)| rest.split_once('\n'))
        .expect("the command line of the installed kernel");
    assert!(
        command_line.contains("console=ttyS0,115200n8"),
        "{command_line}"
    );
    // What is for the installer alone is not taken along, nor is a token.
    assert!(!command_line.contains("allow_unauthenticated"));
    assert!(!command_line.contains("answers/"), "{command_line}");
}

/// What the shipped script has written into the installed system.
fn judge_the_disk(site: &Site) {
    let interfaces = site.installed_file("/etc/network/interfaces");
    assert!(interfaces.contains("inet static"), "{interfaces}");
    assert!(interfaces.contains("address 10.99.0.11/24"), "{interfaces}");
    let keys = site.installed_file("/root/.ssh/authorized_keys");
    assert!(keys.starts_with("ssh-ed25519 "), "{keys}");
    let shadow = site.installed_file("/etc/shadow");
    assert!(shadow.contains("root:$6$insttest$"), "{shadow}");
    assert_eq!(site.installed_file("/etc/hostname").trim(), "box01");
    assert!(site.installed_file("/usr/bin/hello").contains("ELF"));
}

/// Neither the token nor the password is written in full anywhere but in the records.
fn judge_secrecy(site: &Site, console: &str, events: &[Event]) {
    let token = console
        .split("/answers/")
        .find_map(|rest| rest.get(..Token::LEN).and_then(Token::parse))
        .expect("the installer's command line on the console has the token");
    let hash = "Mm5t6W50deJ9DUfBl10g7";
    let mut texts = vec![
        ("the log".to_owned(), site.log().into_bytes()),
        (
            "the events".to_owned(),
            serde_json::to_string(events).unwrap().into_bytes(),
        ),
    ];
    for path in site.state_files() {
        let bytes = std::fs::read(&path).unwrap();
        texts.push((path.display().to_string(), bytes));
    }
    assert!(
        texts.len() > 2,
        "the journal's file was not found in the state folder"
    );
    for (name, text) in texts {
        for secret in [token.reveal(), hash] {
            let found = text
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{name} holds {}…", &secret[..4]);
        }
    }
}
