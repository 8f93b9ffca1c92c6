//! Configurations of GRUB and PXELINUX as those loaders ask for them: by TFTP with the size told before, by
//! HTTP, under every name, and what each request changes.

mod support;
#[path = "support/tftp.rs"]
mod tftp;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Once};
use std::time::Duration;

use axum::body::Body;
use bootwright::base::{Firmware, HardwareAddr, Timestamp};
use bootwright::config::snapshot::TftpEngine;
use bootwright::decide::Stage;
use bootwright::journal::event::{Event, Kind, Reason};
use bootwright::record::InstallState;
use bootwright::serve;
use bootwright::serve::boot::{BootPlane, router};
use bootwright::serve::health::Health;
use bootwright::serve::listener::Connection;
use bootwright::serve::memory::Sighting;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use support::{Site, WEB01, WEB01_IP, WEB02_IP};
use tftp::{Client, Packet};

const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);
/// web01's address.
const HEX: &str = "7F00000B";
/// As GRUB 2.06 and PXELINUX 6.04 ask.
const GRUB: &[(&str, &str)] = &[("blksize", "1024"), ("tsize", "0")];
const PXELINUX: &[(&str, &str)] = &[("tsize", "0"), ("blksize", "1408")];

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
        static TAP: Once = Once::new();
        TAP.call_once(serve::tftp::install_tap);
        let site = Site::new();
        site.change(|snapshot| snapshot.server.tftp_engine = engine);
        let config = site.ctx.config();
        let sockets = serve::tftp::Sockets::open(&config.snapshot, &site.ctx.links).unwrap();
        let addresses = sockets.addresses();
        let mut local = addresses.iter().filter(|a| a.ip() == Ipv4Addr::LOCALHOST);
        let address = *local.next().expect("127.0.0.1 on the loopback");
        let runtime = tokio::runtime::Runtime::new().unwrap();
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

    /// Fetches by TFTP: the text without what fills it up, or the error's code.
    fn fetch(&self, from: Ipv4Addr, name: &str, options: &[(&str, &str)]) -> Result<String, u16> {
        let got = Client::new(from, self.address).fetch(name, options);
        let got = got.map_err(|(code, _)| code)?;
        if let Some((_, size)) = got.options.iter().find(|(name, _)| name == "tsize") {
            assert_eq!(size.parse(), Ok(got.bytes.len()), "{name}");
        } else {
            assert!(
                options.is_empty(),
                "GRUB holds a file without tsize for empty"
            );
        }
        let text = String::from_utf8(got.bytes).unwrap();
        Ok(format!("{}\n", text.trim_end()))
    }

    /// Fetches by HTTP: status and text.
    fn get(&self, from: Ipv4Addr, method: &str, path: &str) -> (u16, String) {
        self.runtime.block_on(async {
            let plane = BootPlane {
                ctx: self.site.ctx.clone(),
                health: Health::default(),
                logs: self.site.outside().join("logs"),
            };
            let mut request = Request::builder()
                .method(method)
                .uri(path)
                .body(Body::empty())
                .unwrap();
            request.extensions_mut().insert(Connection {
                peer: std::net::SocketAddrV4::new(from, 40_000),
                local: Ipv4Addr::LOCALHOST,
            });
            let service = TowerToHyperService::new(router(plane));
            let response = service.call(request).await.unwrap();
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(bytes.to_vec()).unwrap())
        })
    }

    /// The next event of a transfer.
    fn event(&mut self) -> Event {
        self.runtime.block_on(async {
            let next = async {
                loop {
                    let event = self.events.recv().await.expect("an event");
                    if matches!(event.kind, Kind::TftpSent | Kind::TftpFailed) {
                        return (*event).clone();
                    }
                }
            };
            let next = tokio::time::timeout(Duration::from_secs(20), next);
            next.await.expect("an event in time")
        })
    }

    fn state(&self) -> (InstallState, u32) {
        self.runtime.block_on(self.site.state("web01"))
    }

    fn arm(&self) {
        self.runtime.block_on(self.site.arm("web01"));
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.site.assets().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A machine's firmware asks for an address.
    fn switched_on(&self, mac: &str, secs: u64) {
        self.site.ctx.memory.note_dhcp(Sighting {
            mac: mac.parse().unwrap(),
            reserved: true,
            at: self.site.ctx.now().plus(Duration::from_secs(secs)),
            stage: Stage::Pxe {
                firmware: Some(Firmware::Bios),
                code: None,
            },
            is_ipxe: false,
            uuid: None,
            delivery: None,
            port: None,
        });
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(task) = self.task.take() {
            let _ = self.runtime.block_on(task);
        }
    }
}

const ENGINES: [TftpEngine; 2] = [TftpEngine::Native, TftpEngine::AsyncTftp];

fn names() -> Vec<(String, bool)> {
    let mac = WEB01.replace(':', "-");
    let mut names = Vec::new();
    for folder in ["", "/", "pxelinux/", "\\efi64\\", "//a//"] {
        names.push((format!("{folder}pxelinux.cfg/01-{mac}"), false));
        names.push((format!("{folder}pxelinux.cfg/default"), false));
    }
    for length in 1..=8 {
        names.push((format!("pxelinux.cfg/{}", &HEX[..length]), false));
        names.push((format!("/grub/grub.cfg-{}", &HEX[..length]), true));
    }
    names.push((
        "pxelinux.cfg/e2e00000-0000-0000-0000-0000000000aa".to_owned(),
        false,
    ));
    for folder in ["/grub/", "/boot/grub/", "EFI/debian/", "\\EFI\\BOOT\\"] {
        names.push((format!("{folder}grub.cfg"), true));
        names.push((format!("{folder}grub.cfg-01-{mac}"), true));
    }
    names.push(("/debian-installer/arm64/grub/grub.cfg".to_owned(), true));
    names
}

#[test]
fn every_name_gives_the_machine_its_installer_and_counts_one_boot() {
    for engine in ENGINES {
        let mut served = Served::new(engine);
        served.arm();
        for (name, is_grub) in names() {
            let options = if is_grub { GRUB } else { PXELINUX };
            let text = served.fetch(WEB01_IP, &name, options).unwrap();
            if is_grub {
                assert!(
                    text.contains("if linux (tftp,127.0.0.1)/debian/linux "),
                    "{name}: {text}"
                );
                assert!(
                    text.contains("initrd (tftp,127.0.0.1)/debian/initrd.gz"),
                    "{text}"
                );
            } else {
                assert!(
                    text.contains("\n  LINUX 127.0.0.1::debian/linux\n"),
                    "{name}: {text}"
                );
                assert!(
                    text.contains("\n  INITRD 127.0.0.1::debian/initrd.gz\n"),
                    "{text}"
                );
            }
            assert!(
                text.contains("BOOTIF=01-52-54-00-47-86-8e auto=true"),
                "{text}"
            );
            let event = served.event();
            assert_eq!(
                (event.kind, event.reason),
                (Kind::TftpSent, Reason::Installer),
                "{name}"
            );
            assert_eq!(event.host.unwrap().as_str(), "web01");
            assert_eq!(served.state(), (InstallState::Booting, 1), "{name}");
        }
        // Switched on again: that is a further one.
        served.switched_on(WEB01, 60);
        let text = served.fetch(WEB01_IP, "grub/grub.cfg", GRUB).unwrap();
        assert!(text.contains("attempt 2 of 3"), "{text}");
        assert_eq!(served.state(), (InstallState::Booting, 2));
    }
}

/// A loader that asks for the size first, and only then for the file, as PXE ROMs and EDK2 do. (`async-tftp` reads
/// the first block before it tells the size, so there such a request counts.)
#[test]
fn who_asks_for_the_size_only_changes_nothing() {
    let mut served = Served::new(TftpEngine::Native);
    served.arm();
    let mut client = Client::new(WEB01_IP, served.address);
    client.ask("grub/grub.cfg", GRUB);
    let Packet::Oack(options) = client.next() else {
        panic!("no options");
    };
    let size = options.iter().find(|(name, _)| name == "tsize").unwrap();
    client.error(8, "User aborted the transfer");
    let event = served.event();
    assert_eq!(
        (event.kind, event.reason),
        (Kind::TftpSent, Reason::Aborted)
    );
    assert_eq!(served.state(), (InstallState::Armed, 0));
    // What was told is what comes, though by then it says that an attempt has begun.
    let got = Client::new(WEB01_IP, served.address).fetch("grub/grub.cfg", GRUB);
    assert_eq!(got.unwrap().bytes.len().to_string(), size.1);
    assert_eq!(served.state(), (InstallState::Booting, 1));
}

#[test]
fn a_name_with_another_machines_address_is_not_this_machine() {
    let mut served = Served::new(TftpEngine::Native);
    served.arm();
    let mac = WEB01.replace(':', "-");
    for (name, options) in [
        (format!("pxelinux.cfg/01-{mac}"), PXELINUX),
        (format!("grub/grub.cfg-01-{mac}"), GRUB),
    ] {
        for peer in [WEB02_IP, STRANGER] {
            let text = served.fetch(peer, &name, options).unwrap();
            assert!(text.contains("Bootwright: not this machine"), "{text}");
            assert!(!text.contains("debian/linux"));
            assert_eq!(served.event().reason, Reason::NotThisMachine);
        }
    }
    // Another's address in hexadecimal is no name of this one.
    assert_eq!(
        served.fetch(WEB02_IP, &format!("pxelinux.cfg/{HEX}"), PXELINUX),
        Err(1)
    );
    assert_eq!(served.state(), (InstallState::Armed, 0));
}

#[test]
fn a_machine_that_nobody_knows_is_told_so_or_gets_the_operators_own_file() {
    let mut served = Served::new(TftpEngine::Native);
    for name in [
        "pxelinux.cfg/7F00004D",
        "pxelinux.cfg/7",
        "grub/grub.cfg-7F00004D",
    ] {
        assert_eq!(served.fetch(STRANGER, name, &[]), Err(1), "{name}");
        assert_eq!(served.event().reason, Reason::NotFound);
    }
    let text = served
        .fetch(STRANGER, "pxelinux.cfg/default", PXELINUX)
        .unwrap();
    assert!(
        text.contains("does not know the machine at 127.0.0.77"),
        "{text}"
    );
    assert_eq!(served.event().reason, Reason::UnknownHost);
    let by_mac = "pxelinux.cfg/01-02-00-00-00-00-99";
    let text = served.fetch(STRANGER, by_mac, PXELINUX).unwrap();
    assert!(
        text.contains("bootwright adopt 02:00:00:00:00:99 --name NAME"),
        "{text}"
    );
    served.event();
    served.write("pxelinux.cfg/default", "DEFAULT own\n");
    served.write("grub/grub.cfg", "echo own\n");
    assert_eq!(
        served
            .fetch(STRANGER, "pxelinux.cfg/default", PXELINUX)
            .unwrap(),
        "DEFAULT own\n"
    );
    assert_eq!(
        served.fetch(STRANGER, "grub/grub.cfg", GRUB).unwrap(),
        "echo own\n"
    );
    // A machine with a reservation gets what is rendered.
    let text = served.fetch(WEB01_IP, "grub/grub.cfg", GRUB).unwrap();
    assert!(
        text.contains("web01 boots its disk") && text.ends_with("\nexit 1\n"),
        "{text}"
    );
}

#[test]
fn by_http_the_files_come_by_http() {
    let served = Served::new(TftpEngine::Native);
    served.arm();
    let own = "/boot/52-54-00-47-86-8e/grub.cfg";
    // HEAD changes nothing.
    assert_eq!(served.get(WEB01_IP, "HEAD", own).0, 200);
    assert_eq!(served.state(), (InstallState::Armed, 0));
    for path in [
        own,
        "/grub/grub.cfg",
        "/boot/grub/grub.cfg",
        "//assets//EFI/BOOT/grub.cfg",
        "/assets/grub/grub.cfg-01-52-54-00-47-86-8e",
        "/grub/grub.cfg-7F0000",
    ] {
        let (status, text) = served.get(WEB01_IP, "GET", path);
        assert_eq!(status, 200, "{path}");
        assert!(
            text.contains("if linux (http,127.0.0.1:8080)/assets/debian/linux "),
            "{path}: {text}"
        );
        assert_eq!(served.state(), (InstallState::Booting, 1));
    }
    for path in [
        "/assets/pxelinux/pxelinux.cfg/01-52-54-00-47-86-8e",
        "/pxelinux.cfg/default",
        "/boot/52-54-00-47-86-8e/pxelinux.cfg",
    ] {
        let (_, text) = served.get(WEB01_IP, "GET", path);
        assert!(
            text.contains("LINUX http://127.0.0.1:8080/assets/debian/linux\n"),
            "{path}: {text}"
        );
    }
    assert_eq!(served.state(), (InstallState::Booting, 1));
    let (_, text) = served.get(WEB02_IP, "GET", own);
    assert!(text.contains("not this machine"), "{text}");
    for nothing in [
        "/pxelinux.cfg/7F00000C",
        "/grub/grub.cfg.bak",
        "/answers/grub.cfg",
    ] {
        assert_eq!(served.get(WEB01_IP, "GET", nothing).0, 404, "{nothing}");
    }
    served.write("tree/EFI/BOOT/grub.cfg", "echo tree\n");
    let tree = "/assets/tree/EFI/BOOT/grub.cfg";
    assert_eq!(
        served.get(STRANGER, "GET", tree),
        (200, "echo tree\n".to_owned())
    );
}

#[test]
fn a_host_with_a_uuid_is_installed_when_the_loader_tells_it() {
    let served = Served::new(TftpEngine::Native);
    served.runtime.block_on(served.site.arm("web02"));
    let text = served.fetch(WEB02_IP, "grub/grub.cfg", GRUB).unwrap();
    assert!(text.contains("this is another machine"), "{text}");
    let other = "pxelinux.cfg/e2e00000-0000-0000-0000-000000000002";
    let text = served.fetch(WEB02_IP, other, PXELINUX).unwrap();
    assert!(text.contains("this is another machine"), "{text}");
    let own = "pxelinux.cfg/e2e00000-0000-0000-0000-000000000001";
    let text = served.fetch(WEB02_IP, own, PXELINUX).unwrap();
    assert!(text.contains("LINUX"), "{text}");
}

#[test]
fn what_the_loader_cannot_boot_costs_no_attempt() {
    let mut served = Served::new(TftpEngine::Native);
    served
        .site
        .set_profile("url={{ answers.url }}", "title=it's");
    served.site.change(|snapshot| snapshot.server.tftp_port = 0);
    served.arm();
    let text = served.fetch(WEB01_IP, "grub/grub.cfg", GRUB).unwrap();
    assert!(
        text.contains("web01: GRUB cannot boot this: `title=it\"s`"),
        "{text}"
    );
    let event = served.event();
    assert_eq!(event.reason, Reason::LoaderUnable);
    assert!(event.detail.unwrap().contains("title=it's"));
    assert_eq!(served.state(), (InstallState::Armed, 0));
    // PXELINUX hands it on as it is.
    let text = served
        .fetch(WEB01_IP, "pxelinux.cfg/default", PXELINUX)
        .unwrap();
    assert!(text.contains("title=it's\n"), "{text}");
}

#[test]
fn a_script_that_is_asked_for_ends_a_loop() {
    let served = Served::new(TftpEngine::Native);
    let mac: HardwareAddr = WEB01.parse().unwrap();
    let memory = &served.site.ctx.memory;
    served.switched_on(WEB01, 0);
    let guard = bootwright::decide::loops::LoopGuard::Pass;
    memory.note_loader(
        mac,
        "pxelinux/pxelinux.0",
        guard,
        true,
        served.site.ctx.now(),
    );
    let at = |secs: i64| Timestamp::from_secs(1_000 + secs);
    for secs in 0..3 {
        memory.note_sent(&[mac], "pxelinux/pxelinux.0", at(secs));
    }
    assert_eq!(memory.fetches(mac).unwrap().count, 3);
    // The size alone tells nothing.
    let mut client = Client::new(WEB01_IP, served.address);
    client.ask("pxelinux.cfg/default", PXELINUX);
    assert!(matches!(client.next(), Packet::Oack(_)));
    client.error(8, "");
    assert_eq!(memory.fetches(mac).unwrap().count, 3);
    served
        .fetch(WEB01_IP, "pxelinux.cfg/default", PXELINUX)
        .unwrap();
    assert_eq!(memory.fetches(mac).unwrap().count, 0);
}
