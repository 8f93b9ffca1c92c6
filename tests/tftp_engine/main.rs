//! TFTP as a machine meets it: the service on the loopback, a client that is strict about the protocol,
//! and the one event of each request. The same for both engines, and what the native one can besides.

mod native_only;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tftp.rs"]
mod tftp;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::Once;
use std::time::{Duration, Instant};

use bootwright::base::{Firmware, TestClock};
use bootwright::config::mirror::Mirror;
use bootwright::config::snapshot::TftpEngine;
use bootwright::journal::event::{Event, Kind, Reason};
use bootwright::record::InstallState;
use bootwright::serve;
use bootwright::serve::health::Health;
use bootwright::store::AnyStore;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use support::{Site, WEB01, WEB01_IP, WEB02_IP};
use tftp::{Client, Got, Packet};

/// The service, running.
struct Served {
    site: Site,
    address: SocketAddr,
    events: broadcast::Receiver<Arc<Event>>,
    cancel: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
    runtime: tokio::runtime::Runtime,
}

impl Served {
    fn new(engine: TftpEngine) -> Self {
        Self::of(Site::new(), engine)
    }

    fn of(site: Site, engine: TftpEngine) -> Self {
        static TAP: Once = Once::new();
        site.change(|snapshot| snapshot.server.tftp_engine = engine);
        TAP.call_once(serve::tftp::install_tap);
        let config = site.ctx.config();
        let sockets = serve::tftp::Sockets::open(&config.snapshot, &site.ctx.links).unwrap();
        let address = *sockets
            .addresses()
            .iter()
            .find(|address| address.ip() == Ipv4Addr::LOCALHOST)
            .expect("127.0.0.1 on the loopback");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let cancel = CancellationToken::new();
        let run = serve::tftp::run(site.ctx.clone(), Health::default(), sockets, cancel.clone());
        Self {
            events: site.ctx.journal.follow(),
            site,
            address,
            cancel,
            task: Some(runtime.spawn(run)),
            runtime,
        }
    }

    fn client(&self) -> Client {
        Client::new(WEB01_IP, self.address)
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.site.assets().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn fetch(&self, name: &str, options: &[(&str, &str)]) -> Result<Got, (u16, String)> {
        self.client().fetch(name, options)
    }

    /// The next event of these kinds.
    fn event_of(&mut self, kinds: &[Kind]) -> Event {
        self.runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), async {
                loop {
                    let event = self.events.recv().await.expect("an event");
                    if kinds.contains(&event.kind) {
                        return (*event).clone();
                    }
                }
            })
            .await
            .expect("an event in time")
        })
    }

    /// The next event of a transfer.
    fn event(&mut self) -> Event {
        self.event_of(&[Kind::TftpSent, Kind::TftpFailed])
    }

    /// The next event of each of these kinds, in whatever order they come.
    fn events(&mut self, kinds: &[Kind]) -> Vec<Event> {
        let mut found: Vec<Option<Event>> = vec![None; kinds.len()];
        while found.contains(&None) {
            let event = self.event_of(kinds);
            let at = kinds.iter().position(|kind| *kind == event.kind).unwrap();
            found[at].get_or_insert(event);
        }
        found.into_iter().flatten().collect()
    }

    fn told(&mut self) -> (Kind, Reason, u64) {
        let event = self.event();
        (event.kind, event.reason, event.bytes.unwrap_or(0))
    }

    fn stop(&mut self) {
        self.cancel.cancel();
        if let Some(task) = self.task.take() {
            self.runtime.block_on(task).expect("ends");
        }
    }
}

/// The same tests over both engines.
macro_rules! both {
    ($($name:ident,)*) => {
        mod native {
            use super::TftpEngine;
            $(#[test] fn $name() { super::$name(TftpEngine::Native); })*
        }
        mod async_tftp {
            use super::TftpEngine;
            $(#[test] fn $name() { super::$name(TftpEngine::AsyncTftp); })*
        }
    };
}

both! {
    a_file_on_its_way_for_long_is_a_sign_of_life,
    files_come_whole_with_and_without_options,
    options_are_granted_within_limits,
    the_block_number_rolls_over,
    a_size_probe_is_no_failure,
    a_kept_file_of_a_mirror_is_sent,
    a_client_that_falls_silent_has_failed,
    a_lost_packet_is_repeated,
    what_is_not_served_gets_an_error_and_an_event,
    nothing_can_be_written,
    a_file_replaced_while_it_is_sent_stays_the_old_one,
    a_file_cut_short_while_it_is_sent_fails,
    scripts_are_for_their_machine_only,
    three_hundred_at_once,
    one_client_cannot_take_all_transfers,
    a_name_in_other_letters_is_found_and_told_of,
    what_shim_loads_is_found_wherever_it_looks,
    stopping_lets_a_transfer_end_and_begins_none,
}

/// A kernel that takes hours: each half hour another block.
fn a_file_on_its_way_for_long_is_a_sign_of_life(engine: TftpEngine) {
    let clock = Arc::new(TestClock::new(support::at(0)));
    let served = Served::of(Site::with(AnyStore::in_memory(), clock.clone()), engine);
    served.write("debian/linux", &[7; 512 * 8]);
    let record = || {
        let record = served.runtime.block_on(served.site.record("web01"));
        record.expect("a record")
    };
    served.runtime.block_on(served.site.arm("web01"));
    let script = served.fetch("52-54-00-47-86-8e/boot.ipxe", &[]);
    assert!(script.is_ok());
    assert_eq!(record().state, InstallState::Booting);

    let mut client = served.client();
    client.ask("debian/linux", &[]);
    for block in 1..=6 {
        client.data(block);
        let before = record().seen_at;
        clock.advance(Duration::from_secs(1_800));
        client.ack(block);
        let begun = Instant::now();
        while record().seen_at <= before {
            assert!(begun.elapsed() < Duration::from_secs(4), "block {block}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let record = record();
    assert_eq!(
        (record.state, record.kernel_at),
        (InstallState::Booting, None)
    );
}

impl Drop for Served {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Bytes that differ from block to block.
fn pattern(len: usize) -> Vec<u8> {
    (0_u64..)
        .flat_map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes())
        .take(len)
        .collect()
}

fn option(got: &Got, name: &str) -> Option<String> {
    got.options
        .iter()
        .find(|(option, _)| option == name)
        .map(|(_, value)| value.clone())
}

fn files_come_whole_with_and_without_options(engine: TftpEngine) {
    let mut served = Served::new(engine);
    for len in [0, 1, 511, 512, 513, 1_468, 65_536, 65_537, 200_000] {
        let bytes = pattern(len);
        served.write("ipxe/undionly.kpxe", &bytes);
        let plain = served.fetch("ipxe/undionly.kpxe", &[]).unwrap();
        assert_eq!(plain.bytes, bytes);
        assert!(plain.options.is_empty());
        // A file of whole blocks ends with an empty one.
        assert_eq!(plain.blocks, len / 512 + 1);
        let expected = (Kind::TftpSent, Reason::Done, len as u64);
        assert_eq!(served.told(), expected);

        let options = [("tsize", "0"), ("blksize", "1468"), ("windowsize", "16")];
        let got = served.fetch("//ipxe/undionly.kpxe", &options).unwrap();
        assert_eq!(got.bytes, bytes);
        assert_eq!(option(&got, "tsize"), Some(len.to_string()));
        assert_eq!(served.told(), expected);
    }
}

fn options_are_granted_within_limits(engine: TftpEngine) {
    let served = Served::new(engine);
    served.write("file", &pattern(10_000));
    let granted = |options: &[(&str, &str)]| served.fetch("file", options).unwrap().options;
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    assert_eq!(granted(&[("blksize", "1024")]), pair("blksize", "1024"));
    assert_eq!(granted(&[("BLKSIZE", "65464")]), pair("blksize", "1468"));
    assert_eq!(granted(&[("windowsize", "4")]), pair("windowsize", "4"));
    assert_eq!(
        granted(&[("windowsize", "65535")]),
        pair("windowsize", "64")
    );
    assert_eq!(granted(&[("tsize", "0")]), pair("tsize", "10000"));
    // A client could hold a transfer for minutes otherwise.
    assert_eq!(granted(&[("timeout", "200")]), []);
    for odd in ["abc", "0x200", "-1", "", "0", "7", "65465", "99999999999"] {
        assert_eq!(granted(&[("blksize", odd)]), [], "blksize {odd}");
    }
    assert_eq!(granted(&[("windowsize", "0"), ("multicast", "")]), []);
}

fn the_block_number_rolls_over(engine: TftpEngine) {
    let mut served = Served::new(engine);
    let bytes = pattern(70_000 * 8 + 3);
    served.write("large", &bytes);
    let options = [("blksize", "8"), ("windowsize", "64")];
    let got = served.fetch("large", &options).unwrap();
    assert_eq!(got.blocks, 70_001);
    assert_eq!(got.bytes, bytes);
    assert_eq!(
        served.told(),
        (Kind::TftpSent, Reason::Done, bytes.len() as u64)
    );
}

fn a_size_probe_is_no_failure(engine: TftpEngine) {
    let mut served = Served::new(engine);
    served.write("loader.efi", &pattern(100_000));
    let mut rom = served.client();
    rom.ask("loader.efi", &[("tsize", "0"), ("blksize", "1468")]);
    let Packet::Oack(options) = rom.next() else {
        panic!("no option acknowledgement");
    };
    assert!(options.contains(&("tsize".to_owned(), "100000".to_owned())));
    rom.error(8, "User aborted the transfer");
    // The ROM comes back at once from another port, and is served whether the probe has ended yet or not.
    let mut again = served.client();
    let got = again.fetch("loader.efi", &[("blksize", "1468")]).unwrap();
    assert_eq!(got.bytes.len(), 100_000);
    let (one, other) = (served.event(), served.event());
    let (file, probe) = match one.reason {
        Reason::Aborted => (other, one),
        _ => (one, other),
    };
    assert_eq!(
        (file.kind, file.reason, file.bytes),
        (Kind::TftpSent, Reason::Done, Some(100_000))
    );
    assert_eq!(
        (probe.kind, probe.reason, probe.bytes),
        (Kind::TftpSent, Reason::Aborted, Some(0))
    );
    assert_eq!(
        probe.host.map(|host| host.to_string()),
        Some("web01".into())
    );
    let took = Duration::from_micros(probe.took_us.unwrap());
    let most = match engine {
        // Nothing is sent after the client's error.
        TftpEngine::Native => {
            assert_eq!(rom.next_within(Duration::from_millis(700)), None);
            Duration::from_secs(1)
        }
        TftpEngine::AsyncTftp => Duration::from_secs(6),
    };
    assert!(took < most, "held for {took:?}");
}

fn a_client_that_falls_silent_has_failed(engine: TftpEngine) {
    let mut served = Served::new(engine);
    served.write("file", &pattern(5_000));
    let mut client = served.client();
    client.ask("file", &[]);
    client.data(1);
    client.ack(1);
    client.data(2);
    let event = served.event();
    assert_eq!(
        (event.kind, event.reason),
        (Kind::TftpFailed, Reason::Timeout)
    );
    let detail = event.detail.unwrap();
    assert!(detail.contains("block 2 of 512 bytes"), "{detail}");
    assert_eq!(event.file.as_deref(), Some("file"));
    assert_eq!(event.ip, Some(WEB01_IP));
}

fn a_lost_packet_is_repeated(engine: TftpEngine) {
    let mut served = Served::new(engine);
    let bytes = pattern(3_500);
    served.write("file", &bytes);
    let mut client = served.client();
    client.ask("file", &[("blksize", "1000"), ("windowsize", "3")]);
    assert!(matches!(client.next(), Packet::Oack(_)));
    client.ack(0);
    for block in 1..=3 {
        client.data(block);
    }
    // The second one was lost: the server goes on behind the first.
    client.ack(1);
    let mut rest = Vec::new();
    for block in 2..=4 {
        rest.extend(client.data(block));
    }
    // The last acknowledgement is lost as well: the window comes again.
    assert_eq!(rest, bytes[1_000..]);
    assert!(matches!(client.next(), Packet::Data(2, _)));
    client.ack(4);
    let event = served.event();
    assert_eq!((event.kind, event.reason), (Kind::TftpSent, Reason::Done));
    let detail = event.detail.unwrap();
    match engine {
        // Two behind the gap, and three after the time-out, or more where this test was slow.
        TftpEngine::Native => assert!(detail.ends_with(" packets repeated"), "{detail}"),
        TftpEngine::AsyncTftp => assert_eq!(detail, "1 packet repeated"),
    }
}

fn what_is_not_served_gets_an_error_and_an_event(engine: TftpEngine) {
    let mut served = Served::new(engine);
    served.write("debian/12/linux", b"kernel");
    served.write(".git/config", b"hidden");
    std::fs::write(served.site.outside().join("secret"), b"outside").unwrap();
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, served.site.assets().join(name)).unwrap();
    };
    link("../secret", "link");
    link("/etc/passwd", "absolute");
    nix::unistd::mkfifo(
        &served.site.assets().join("pipe"),
        nix::sys::stat::Mode::S_IRWXU,
    )
    .unwrap();
    for (name, code, reason) in [
        ("nothing", 1, Reason::NotFound),
        ("debian/12", 1, Reason::NotFound),
        ("pipe", 1, Reason::NotFound),
        ("debian/12/", 1, Reason::NotFound),
        ("../secret", 2, Reason::BadName),
        ("debian/../../secret", 2, Reason::BadName),
        ("..\\secret", 2, Reason::BadName),
        (".git/config", 2, Reason::BadName),
        ("link", 2, Reason::BadName),
        ("absolute", 2, Reason::BadName),
        ("", 2, Reason::BadName),
    ] {
        let (got, text) = served.fetch(name, &[("tsize", "0")]).unwrap_err();
        assert_eq!(got, code, "{name}: {text}");
        assert!(!text.contains('/'), "{name} shows a path: {text}");
        let event = served.event();
        assert_eq!(
            (event.kind, event.reason),
            (Kind::TftpFailed, reason),
            "{name}"
        );
    }
}

fn nothing_can_be_written(engine: TftpEngine) {
    let mut served = Served::new(engine);
    let mut client = served.client();
    client.ask_to_write("ipxe/undionly.kpxe");
    assert!(matches!(client.next(), Packet::Error(2, _)));
    assert_eq!(served.told(), (Kind::TftpFailed, Reason::ReadOnly, 0));
    assert!(!served.site.assets().join("ipxe").exists());
}

fn a_file_replaced_while_it_is_sent_stays_the_old_one(engine: TftpEngine) {
    let mut served = Served::new(engine);
    let old = pattern(300_000);
    served.write("file", &old);
    let mut client = served.client();
    client.ask("file", &[("blksize", "1468")]);
    assert!(matches!(client.next(), Packet::Oack(_)));
    let new = served.site.outside().join("new");
    std::fs::write(&new, b"new").unwrap();
    std::fs::rename(&new, served.site.assets().join("file")).unwrap();
    client.ack(0);
    let mut bytes = Vec::new();
    for block in 1.. {
        let part = client.data(block);
        client.ack(block);
        bytes.extend_from_slice(&part);
        if part.len() < 1_468 {
            break;
        }
    }
    assert_eq!(bytes, old);
    assert_eq!(served.told(), (Kind::TftpSent, Reason::Done, 300_000));
    assert_eq!(served.fetch("file", &[]).unwrap().bytes, b"new");
}

fn a_kept_file_of_a_mirror_is_sent(engine: TftpEngine) {
    let site = Site::new();
    let state = site.outside().join("state");
    site.change(|snapshot| {
        snapshot.server.state_dir.clone_from(&state);
        snapshot.mirrors = vec![Mirror {
            path: "deb".to_owned(),
            // Nobody is there.
            url: "http://127.0.0.1:9/debian".to_owned(),
            keep: Mirror::KEEP,
            fresh_for: Mirror::FRESH_FOR,
            stale: true,
            span: None,
        }];
    });
    let mut served = Served::of(site, engine);
    let error = served.fetch("deb/linux", &[]).unwrap_err();
    assert_eq!(error.0, 1);
    // The attempt has ended before the file is there: it clears away what it does not know.
    let told = served.events(&[Kind::TftpFailed, Kind::MirrorFailed]);
    let detail = told[0].detail.clone().unwrap();
    assert!(
        detail.contains("is being fetched from http://127.0.0.1:9/debian/linux"),
        "{detail}"
    );
    std::fs::create_dir_all(state.join("mirror/deb")).unwrap();
    std::fs::write(state.join("mirror/deb/linux"), pattern(3_000)).unwrap();
    // Whatever lies in the folder of boot files.
    served.write("deb/linux", b"another");
    assert_eq!(
        served.fetch("/deb//linux", &[]).unwrap().bytes,
        pattern(3_000)
    );
}

fn a_file_cut_short_while_it_is_sent_fails(engine: TftpEngine) {
    let mut served = Served::new(engine);
    served.write("file", &pattern(300_000));
    let mut client = served.client();
    client.ask("file", &[("blksize", "1468")]);
    assert!(matches!(client.next(), Packet::Oack(_)));
    served.write("file", &pattern(100_000));
    client.ack(0);
    let error = loop {
        match client.next() {
            Packet::Data(block, _) => client.ack(block),
            Packet::Error(code, text) => break (code, text),
            other @ Packet::Oack(_) => panic!("{other:?}"),
        }
    };
    assert_eq!(error.0, 0, "{error:?}");
    assert_eq!(served.told(), (Kind::TftpFailed, Reason::Changed, 0));
}

fn scripts_are_for_their_machine_only(engine: TftpEngine) {
    let mut served = Served::new(engine);
    let token = served.runtime.block_on(served.site.arm("web01"));
    let name = format!("{}/boot.ipxe", WEB01.replace(':', "-"));

    let other = Client::new(WEB02_IP, served.address)
        .fetch(&name, &[])
        .unwrap();
    let text = String::from_utf8(other.bytes).unwrap();
    assert!(text.contains("not this machine") && !text.contains(token.reveal()));
    let event = served.event();
    assert_eq!(
        (event.kind, event.reason),
        (Kind::TftpSent, Reason::NotThisMachine)
    );
    let state = |served: &Served| served.runtime.block_on(served.site.state("web01"));
    assert_eq!(state(&served), (InstallState::Armed, 0));

    let options = [("blksize", "1432"), ("tsize", "0")];
    let own = served.fetch(&name, &options).unwrap();
    assert_eq!(
        option(&own, "tsize"),
        None,
        "not known before it is rendered"
    );
    let text = String::from_utf8(own.bytes).unwrap();
    assert!(text.starts_with("#!ipxe") && text.contains(token.reveal()));
    assert_eq!(state(&served), (InstallState::Booting, 1));
    let event = served.event();
    assert_eq!(
        (event.kind, event.reason),
        (Kind::TftpSent, Reason::Installer)
    );
    assert_eq!(
        event.host.map(|host| host.to_string()),
        Some("web01".into())
    );

    for name in ["boot.ipxe", "autoexec.ipxe", "ipxe/autoexec.ipxe"] {
        let chain = served.fetch(name, &[("tsize", "0")]).unwrap();
        assert_eq!(option(&chain, "tsize"), Some(chain.bytes.len().to_string()));
        let text = String::from_utf8(chain.bytes).unwrap();
        assert!(text.contains("mac:hexhyp"), "{text}");
        assert_eq!(served.event().reason, Reason::ChainScript);
    }
}

fn three_hundred_at_once(engine: TftpEngine) {
    let mut served = Served::new(engine);
    let bytes = Arc::new(pattern(150_000));
    served.write("kernel", &bytes);
    let clients: Vec<_> = (0..300_u16)
        .map(|n| {
            let (address, bytes) = (served.address, Arc::clone(&bytes));
            std::thread::spawn(move || {
                let ip = Ipv4Addr::new(127, 0, 1, u8::try_from(n % 200).unwrap() + 1);
                let options = [("blksize", "1468"), ("tsize", "0")];
                let got = Client::new(ip, address).fetch("kernel", &options).unwrap();
                assert!(got.bytes == *bytes, "other bytes");
            })
        })
        .collect();
    for client in clients {
        client.join().expect("a whole file");
    }
    for _ in 0..300 {
        assert_eq!(served.told(), (Kind::TftpSent, Reason::Done, 150_000));
    }
}

fn one_client_cannot_take_all_transfers(engine: TftpEngine) {
    let mut served = Served::new(engine);
    served.write("file", &pattern(5_000));
    // Each is begun and left alone.
    let held: Vec<_> = (0..128)
        .map(|_| {
            let mut client = served.client();
            client.ask("file", &[]);
            client.data(1);
            client.ack(1);
            client.data(2);
            client
        })
        .collect();
    let (code, text) = served.fetch("file", &[]).unwrap_err();
    assert_eq!((code, text.as_str()), (0, "busy, ask again"));
    assert_eq!(served.told(), (Kind::TftpFailed, Reason::Busy, 0));
    let other = Client::new(WEB02_IP, served.address).fetch("file", &[]);
    assert_eq!(other.unwrap().bytes.len(), 5_000);
    drop(held);
}

fn stopping_lets_a_transfer_end_and_begins_none(engine: TftpEngine) {
    let mut served = Served::new(engine);
    let bytes = pattern(4_000);
    served.write("file", &bytes);
    let mut client = served.client();
    client.ask("file", &[]);
    client.data(1);
    let listed = served.site.ctx.memory.transfers().views();
    let [one] = listed.as_slice() else {
        panic!("{listed:?}");
    };
    assert_eq!((one.file.as_str(), one.size), ("file", Some(4_000)));
    assert_eq!(
        one.host.as_ref().map(ToString::to_string),
        Some("web01".to_owned())
    );
    served.cancel.cancel();
    let mut late = served.client();
    late.ask("file", &[]);
    assert!(matches!(late.next(), Packet::Error(0, _)));
    assert_eq!(served.told(), (Kind::TftpFailed, Reason::Busy, 0));
    for block in 1..=8 {
        client.ack(block);
        if block < 8 {
            client.data(block + 1);
        }
    }
    assert_eq!(served.told(), (Kind::TftpSent, Reason::Done, 4_000));
    let began = Instant::now();
    served.stop();
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(served.site.ctx.memory.transfers().views().is_empty());
}

fn a_name_in_other_letters_is_found_and_told_of(engine: TftpEngine) {
    let mut served = Served::new(engine);
    served.write("EFI/BOOT/grubx64.efi", b"grub");
    served.write("twice/X", b"one");
    served.write("twice/x", b"other");
    for name in [
        "\\EFI\\BOOT\\GRUBX64.EFI",
        "//efi//boot/grubx64.efi",
        "EFI/BOOT/grubx64.efi",
    ] {
        assert_eq!(served.fetch(name, &[]).unwrap().bytes, b"grub");
        let event = served.event();
        assert_eq!((event.kind, event.reason), (Kind::TftpSent, Reason::Done));
        let hint = event.detail.unwrap_or_default();
        let is_other = name != "EFI/BOOT/grubx64.efi";
        assert_eq!(
            hint.contains("upper and lower case"),
            is_other,
            "{name}: {hint}"
        );
    }
    assert_eq!(served.fetch("twice/x", &[]).unwrap().bytes, b"other");
    served.event();
    assert_eq!(served.fetch("TWICE/X", &[]).unwrap_err().0, 1);
    let event = served.event();
    assert_eq!(
        (event.kind, event.reason),
        (Kind::TftpFailed, Reason::NotFound)
    );
    assert!(event.detail.unwrap().contains("several"));
}

fn what_shim_loads_is_found_wherever_it_looks(engine: TftpEngine) {
    let mut served = Served::new(engine);
    served.write("signed/grubx64.efi", b"grub");
    // Nobody has Secure Boot: only its own name is its name.
    assert_eq!(served.fetch("EFI/BOOT/GRUBX64.EFI", &[]).unwrap_err().0, 1);
    served.event();
    served.site.change(|snapshot| {
        let shim = "signed/shimx64.efi".to_owned();
        snapshot.server.secure.insert(Firmware::UefiX64, shim);
        for subnet in &mut snapshot.subnets {
            subnet.secure_boot = Some(true);
        }
    });
    for name in [
        "signed/grubx64.efi",
        "grubx64.efi",
        "/grubx64.efi",
        "signed//grubx64.efi",
        "signed\\grubx64.efi",
        "\\EFI\\BOOT\\GRUBX64.EFI",
        "Signed/GrubX64.efi",
    ] {
        assert_eq!(served.fetch(name, &[]).unwrap().bytes, b"grub", "{name}");
        let event = served.event();
        assert_eq!((event.kind, event.reason), (Kind::TftpSent, Reason::Done));
    }
    for name in ["mmx64.efi", "revocations.efi", "grubaa64.efi"] {
        assert_eq!(served.fetch(name, &[]).unwrap_err().0, 1, "{name}");
        assert_eq!(served.event().reason, Reason::NotFound);
    }
}
