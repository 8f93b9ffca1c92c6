//! DHCP and TFTP on a cable.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bootwright::host::links::Links;
use bootwright::journal::event::{Event, Kind, Reason};
use bootwright::serve;
use bootwright::serve::health::Health;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::net::Namespace;
use super::support::Site;
use super::tftp::Client;
use super::wire::{Card, DECLINE, DISCOVER, Frame, OFFER, REQUEST, message, reply};

pub(super) const WEB01_MAC: [u8; 6] = [0x52, 0x54, 0, 0x47, 0x86, 0x8e];
pub(super) const WEB01_IP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 11);
pub(super) const SERVER_IP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const RELAY_IP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 250);
const PATIENCE: Duration = Duration::from_secs(10);

const SERVER: &str = r#"
    [server]
    interfaces = ["srv0"]
    boot_assets = "ASSETS"

    [[subnet]]
    name = "lab"
    network = "10.99.0.0/24"
"#;

const RESERVATIONS: &str = r#"
    [hosts.web01]
    mac = "52:54:00:47:86:8e"
    ip = "10.99.0.11"
    local_boot = "exit"
"#;

/// A server in one namespace, a machine's interface `cli0` in another.
pub(super) struct Lab {
    pub(super) server: Namespace,
    pub(super) machine: Namespace,
    pub(super) site: Site,
    pub(super) events: broadcast::Receiver<Arc<Event>>,
    cancel: CancellationToken,
}

impl Lab {
    /// `None` where no namespaces can be made.
    pub(super) fn new() -> Option<Self> {
        let (server, machine) = match (Namespace::new(), Namespace::new()) {
            (Ok(server), Ok(machine)) => (server, machine),
            (Err(why), _) | (_, Err(why)) => {
                assert!(
                    !nix::unistd::Uid::effective().is_root(),
                    "root can make namespaces: {why}"
                );
                return None;
            }
        };
        plug_in(&server, &machine);
        let site = Site::on(SERVER, RESERVATIONS);
        std::fs::create_dir(site.assets().join("ipxe")).unwrap();
        std::fs::write(site.assets().join("ipxe/undionly.kpxe"), b"a loader").unwrap();
        let cancel = CancellationToken::new();
        let mut ctx = site.ctx.clone();
        let events = ctx.journal.follow();
        let stop = cancel.clone();
        server.run(move || {
            ctx.links = Links::read().unwrap();
            let snapshot = &ctx.config().snapshot;
            let dhcp = serve::dhcp::Sockets::open(snapshot, &ctx.links).unwrap();
            let tftp = serve::tftp::Sockets::open(snapshot, &ctx.links).unwrap();
            // One thread: every thread that it starts begins in this namespace.
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    tokio::join!(
                        serve::dhcp::run(ctx.clone(), Health::default(), dhcp, stop.clone()),
                        serve::tftp::run(ctx.clone(), Health::default(), tftp, stop.clone()),
                        ctx.links.clone().follow(stop.clone()),
                    )
                });
            });
        });
        Some(Self {
            server,
            machine,
            site,
            events,
            cancel,
        })
    }

    fn card(&self) -> Card {
        self.machine.run(|| Card::open("cli0"))
    }

    /// The next event of these kinds.
    fn event(&mut self, kinds: &[Kind]) -> Event {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            match self.events.try_recv() {
                Ok(event) if kinds.contains(&event.kind) => return (*event).clone(),
                Ok(_) => {}
                Err(broadcast::error::TryRecvError::Empty) => {
                    assert!(std::time::Instant::now() < deadline, "no {kinds:?}");
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// A cable between `srv0`, which has its address, and `cli0`, which has none.
fn plug_in(server: &Namespace, machine: &Namespace) {
    server.join("srv0", machine, "cli0");
    machine.ip("link set cli0 address 52:54:00:47:86:8e");
    server.ip("address add 10.99.0.1/24 dev srv0");
}

fn discover(xid: u32, broadcast: bool) -> Vec<u8> {
    message(WEB01_MAC, xid, DISCOVER, broadcast, Ipv4Addr::UNSPECIFIED)
}

fn offered(frame: &Frame, xid: u32) {
    assert_eq!(
        reply(&frame.payload),
        (xid, WEB01_IP, OFFER, Some(SERVER_IP))
    );
    assert_eq!(*frame.source.ip(), SERVER_IP);
    assert!(
        frame
            .payload
            .windows(18)
            .any(|w| w == b"ipxe/undionly.kpxe")
    );
}

#[test]
fn a_machine_without_an_address_is_reached_as_it_asks() {
    let Some(mut lab) = Lab::new() else { return };
    let card = lab.card();

    card.broadcast(&discover(1, false));
    let frame = card.next(PATIENCE).expect("an offer");
    offered(&frame, 1);
    assert_eq!(frame.target_mac, WEB01_MAC);
    assert!(![[0; 6], WEB01_MAC].contains(&frame.source_mac));
    assert_eq!(frame.target.to_string(), "10.99.0.11:68");
    assert!(frame.checksum_is_right, "PXE ROMs check it");
    let event = lab.event(&[Kind::DhcpOffer]);
    assert_eq!(event.reason, Reason::Loader, "{event:?}");
    assert_eq!(event.iface.as_deref(), Some("srv0"));
    assert_eq!(event.stage.as_deref(), Some("bios"));
    assert_eq!((event.xid, event.ip), (Some(1), Some(WEB01_IP)));
    assert_eq!(event.detail.filter(|text| text.contains("broadcast")), None);

    card.broadcast(&discover(2, true));
    let frame = card.next(PATIENCE).expect("an offer");
    offered(&frame, 2);
    assert_eq!(frame.target_mac, [0xff; 6]);
    assert_eq!(frame.target.to_string(), "255.255.255.255:68");

    let seen = lab.site.ctx.memory.get(WEB01_MAC_ADDR).expect("remembered");
    assert!(seen.boot_dhcp_at.is_some());
}

const WEB01_MAC_ADDR: bootwright::base::HardwareAddr =
    bootwright::base::HardwareAddr::ethernet(WEB01_MAC);

/// A machine that finds its address taken: the event names who has it.
#[test]
fn a_declined_address_is_looked_for() {
    let Some(mut lab) = Lab::new() else { return };
    let card = lab.card();
    let decline = |xid| {
        let mut message = message(WEB01_MAC, xid, DECLINE, true, Ipv4Addr::UNSPECIFIED);
        message.pop();
        message.extend([50, 4, 10, 99, 0, 11, 54, 4, 10, 99, 0, 1, 255]);
        message
    };
    card.broadcast(&decline(1));
    let event = lab.event(&[Kind::DhcpIgnored]);
    assert_eq!(event.reason, Reason::Declined);
    let detail = event.detail.expect("a detail");
    assert!(
        detail.ends_with("nobody answers for it by ARP now"),
        "{detail}"
    );

    // Another machine behind the same port has taken it.
    lab.machine
        .ip("link add other0 link cli0 address 52:54:00:00:00:99 type macvlan mode bridge");
    lab.machine.ip("address add 10.99.0.11/24 dev other0");
    lab.machine.ip("link set other0 up");
    card.broadcast(&decline(2));
    let event = lab.event(&[Kind::DhcpIgnored]);
    let detail = event.detail.expect("a detail");
    assert!(detail.ends_with("; 52:54:00:00:00:99 holds it"), "{detail}");
    // It is offered again: this host has no other address.
    card.broadcast(&discover(3, true));
    offered(&card.next(PATIENCE).expect("an offer"), 3);
}

#[test]
fn a_relay_is_answered_on_the_servers_port() {
    let Some(lab) = Lab::new() else { return };
    lab.machine.ip("address add 10.99.0.250/24 dev cli0");
    let got = lab.machine.run(|| {
        let relay = UdpSocket::bind((RELAY_IP, 67)).unwrap();
        relay.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = message(WEB01_MAC, 3, DISCOVER, false, RELAY_IP);
        relay.send_to(&request, (SERVER_IP, 67)).unwrap();
        let mut buf = [0; 1_500];
        let (len, from) = relay.recv_from(&mut buf).expect("a reply");
        (reply(&buf[..len]), from.to_string())
    });
    assert_eq!(
        got,
        (
            (3, WEB01_IP, OFFER, Some(SERVER_IP)),
            "10.99.0.1:67".to_owned()
        )
    );
}

#[test]
fn strangers_and_noise_are_told_and_not_answered() {
    let Some(mut lab) = Lab::new() else { return };
    let card = lab.card();
    let stranger = [2, 0, 0, 0, 0, 9];
    for xid in 0..3 {
        card.broadcast(&message(
            stranger,
            xid,
            DISCOVER,
            true,
            Ipv4Addr::UNSPECIFIED,
        ));
    }
    card.broadcast(b"noise");
    // The reply to a known machine comes after: none of the others was answered.
    card.broadcast(&discover(7, true));
    let frame = card.next(PATIENCE).expect("an offer");
    offered(&frame, 7);

    let kinds = [
        Kind::DhcpIgnored,
        Kind::DhcpMalformed,
        Kind::HostUnknown,
        Kind::DhcpOffer,
    ];
    let mut told: Vec<(Kind, Reason)> = (0..6)
        .map(|_| {
            let event = lab.event(&kinds);
            (event.kind, event.reason)
        })
        .collect();
    told.sort();
    let mut expected = vec![
        (Kind::DhcpIgnored, Reason::UnknownHost),
        (Kind::DhcpIgnored, Reason::UnknownHost),
        (Kind::DhcpIgnored, Reason::UnknownHost),
        (Kind::DhcpMalformed, Reason::Malformed),
        (Kind::DhcpOffer, Reason::Loader),
        (Kind::HostUnknown, Reason::UnknownHost),
    ];
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn an_interface_taken_away_and_put_back_is_served_again() {
    let Some(mut lab) = Lab::new() else { return };
    lab.card().broadcast(&discover(1, true));
    lab.event(&[Kind::DhcpOffer]);
    lab.server.ip("link delete srv0");
    // DHCP, the proxy port, TFTP.
    let mut gone = Vec::new();
    while gone.len() < 3 {
        let text = lab.event(&[Kind::ServerLinks]).detail.unwrap_or_default();
        gone.extend(text.contains("no longer listens").then_some(text));
    }

    plug_in(&lab.server, &lab.machine);
    let mut back = Vec::new();
    while back.len() < 3 {
        let text = lab.event(&[Kind::ServerLinks]).detail.unwrap_or_default();
        back.extend(text.contains(" listens on ").then_some(text));
    }
    let card = lab.card();
    card.broadcast(&discover(2, true));
    offered(&card.next(PATIENCE).expect("an offer"), 2);

    // TFTP as well, and on an address that came later, from that address.
    lab.machine.ip("address add 10.99.0.11/24 dev cli0");
    lab.server.ip("address add 10.99.0.2/24 dev srv0");
    let text = lab.event(&[Kind::ServerLinks]).detail.unwrap_or_default();
    assert!(text.contains("TFTP listens on 10.99.0.2"), "{text}");
    for server in ["10.99.0.1:69", "10.99.0.2:69"] {
        let got = lab.machine.run(move || {
            let mut client = Client::new(WEB01_IP, server.parse().unwrap());
            client.fetch("ipxe/undionly.kpxe", &[("blksize", "1468")])
        });
        assert_eq!(got.expect("the file").bytes, b"a loader");
        let event = lab.event(&[Kind::TftpSent]);
        assert_eq!(event.iface.as_deref(), Some("srv0"));
        assert_eq!(
            event.host.map(|host| host.to_string()),
            Some("web01".into())
        );
    }
}

/// A ROM that fetches its loader and begins anew, as firmware does that refuses it, or an iPXE that does
/// not say what it is.
#[test]
fn a_loop_of_fetches_is_broken_by_the_script_and_then_by_nothing() {
    let Some(mut lab) = Lab::new() else { return };
    let card = lab.card();
    lab.machine.ip("address add 10.99.0.11/24 dev cli0");
    let ask = |xid, kind| {
        card.broadcast(&message(WEB01_MAC, xid, kind, true, Ipv4Addr::UNSPECIFIED));
        let frame = card.next(PATIENCE).expect("a reply");
        // The field `file` of the header (RFC 2131 section 2).
        let file = &frame.payload[108..236];
        let end = file.iter().position(|byte| *byte == 0).unwrap();
        String::from_utf8(file[..end].to_vec()).unwrap()
    };
    let fetch = |name: &'static str| {
        lab.machine.run(move || {
            let mut client = Client::new(WEB01_IP, "10.99.0.1:69".parse().unwrap());
            client.fetch(name, &[("blksize", "1468")])
        })
    };
    let loader = "ipxe/undionly.kpxe";
    let script = "http://10.99.0.1:8080/boot/52-54-00-47-86-8e/boot.ipxe";
    for xid in 0..3 {
        assert_eq!(ask(xid, DISCOVER), loader);
        // It asks for the size before, as PXE ROMs do: that is no fetch.
        lab.machine.run(|| {
            let mut client = Client::new(WEB01_IP, "10.99.0.1:69".parse().unwrap());
            client.ask(loader, &[("tsize", "0")]);
            client.next();
            client.error(8, "only the size");
        });
        assert!(fetch(loader).is_ok());
    }
    let count = || lab.site.ctx.memory.fetches(WEB01_MAC_ADDR).unwrap().count;
    let deadline = std::time::Instant::now() + PATIENCE;
    while count() < 3 && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(count(), 3);

    // The script instead, in both replies of one exchange.
    assert_eq!(ask(3, DISCOVER), script);
    assert_eq!(ask(3, REQUEST), script);
    // A ROM takes the URL for a name: it is told so, and that is no boot of an installer.
    assert_eq!(fetch(script).expect_err("no such file").0, 1);
    assert_eq!(ask(4, DISCOVER), "");
    assert_eq!(ask(4, REQUEST), "");
    assert_eq!(ask(5, DISCOVER), "");

    for reason in [Reason::LoopScript, Reason::LoopNoFile] {
        let event = lab.event(&[Kind::BootLoop]);
        assert_eq!(event.reason, reason, "{event:?}");
        assert_eq!(event.mac, Some(WEB01_MAC_ADDR));
        let detail = event.detail.unwrap();
        assert!(
            detail.contains("ipxe/undionly.kpxe was fetched 3 times"),
            "{detail}"
        );
    }
    // Another loader is a new beginning.
    lab.site
        .change_hosts(|hosts| hosts[0].loader = Some("debian/linux".to_owned()));
    assert_eq!(ask(6, DISCOVER), "debian/linux");
    lab.site.change_hosts(|hosts| hosts[0].loader = None);
    assert_eq!(ask(7, DISCOVER), "");
    // And its script asked for is the end of the loop.
    lab.machine.run(|| {
        let mut client = Client::new(WEB01_IP, "10.99.0.1:69".parse().unwrap());
        client
            .fetch("52-54-00-47-86-8e/boot.ipxe", &[])
            .expect("the script");
    });
    assert_eq!(ask(8, DISCOVER), loader);
    assert!(lab.events.try_recv().is_ok());
    let more = std::iter::from_fn(|| lab.events.try_recv().ok());
    assert_eq!(more.filter(|event| event.kind == Kind::BootLoop).count(), 0);
}

#[test]
fn busybox_gets_its_reservation() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    std::fs::write(
        &script,
        "#!/bin/sh\necho \"$1 ip=$ip mask=$mask server=$serverid\"\n",
    )
    .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    let words = format!("udhcpc -f -q -n -t 5 -T 1 -i cli0 -s {}", script.display());
    let (ok, said) = lab.machine.command("busybox", &words);
    assert!(ok, "{said}");
    assert!(
        said.contains("bound ip=10.99.0.11 mask=24 server=10.99.0.1"),
        "{said}"
    );
}
