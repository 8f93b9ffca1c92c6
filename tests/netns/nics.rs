//! Several network cards, VLANs and relays on real interfaces.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bootwright::base::{SystemClock, TestClock, Timestamp};
use bootwright::journal::event::{Kind, Reason};
use tempfile::TempDir;

use super::net::Namespace;
use super::services::{Lab, PATIENCE, SERVER, SERVER_IP, WEB01_IP, WEB01_MAC};
use super::wire::{Card, DISCOVER, OFFER, REQUEST, message, reply};

const OTHER_MAC: [u8; 6] = [0x52, 0x54, 0, 0x47, 0x86, 0x8f];
const NOWHERE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// What iPXE sends: a ROM's message with its user class and features.
fn ipxe(mac: [u8; 6], xid: u32) -> Vec<u8> {
    let mut message = message(mac, xid, DISCOVER, false, NOWHERE);
    message.pop();
    message.extend([77, 4]);
    message.extend(b"iPXE");
    message.extend([175, 6, 19, 1, 1, 24, 1, 1, 255]);
    message
}

/// busybox's client on an interface, as a system would run it.
struct Udhcpc {
    folder: TempDir,
}

impl Udhcpc {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        let text = "#!/bin/sh\necho \"$1 ip=$ip mask=$mask server=$serverid router=$router\"\n";
        std::fs::write(&script, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
        Self { folder }
    }

    /// One try to get an address: whether it got one, and what it said.
    fn once(&self, namespace: &Namespace, iface: &str, tries: u32) -> (bool, String) {
        let script = self.folder.path().join("script");
        let words = format!(
            "udhcpc -f -q -n -t {tries} -T 1 -i {iface} -s {}",
            script.display()
        );
        namespace.command("busybox", &words)
    }
}

/// Two links, as two VLANs of one trunk are: here they are two cables, for which no kernel lacks a module.
#[test]
fn each_vlan_has_its_own_server_and_urls() {
    const CONFIG: &str = r#"
        [server]
        interfaces = ["srv0", "srv1"]
        boot_assets = "ASSETS"
        [[subnet]]
        network = "10.10.0.0/24"
        [[subnet]]
        network = "10.20.0.0/24"
    "#;
    const HOSTS: &str = r#"
        [hosts.web01]
        mac = "52:54:00:47:86:8e"
        ip = "10.10.0.11"
        local_boot = "exit"
        [[hosts.web01.nic]]
        mac = "52:54:00:47:86:8e"
        ip = "10.20.0.11"
        name = "vlan20"
        boot = true
    "#;
    let lab = Lab::at(CONFIG, HOSTS, Arc::new(SystemClock), |server, machine| {
        server.ip("address del 10.99.0.1/24 dev srv0");
        server.join("srv1", machine, "cli1");
        machine.ip("link set cli1 address 52:54:00:47:86:8e");
        server.ip("address add 10.10.0.1/24 dev srv0");
        server.ip("address add 10.20.0.1/24 dev srv1");
    });
    let Some(mut lab) = lab else { return };
    for (id, net) in [(0, "10.10.0"), (1, "10.20.0")] {
        let (server, address) = (format!("{net}.1"), format!("{net}.11"));
        let card = lab
            .machine
            .run(move || Card::open(if id == 0 { "cli0" } else { "cli1" }));
        card.broadcast(&ipxe(WEB01_MAC, id));
        let frame = card.next(PATIENCE).expect("an offer");
        assert_eq!(
            reply(&frame.payload),
            (id, address.parse().unwrap(), OFFER, server.parse().ok())
        );
        assert_eq!(frame.source.to_string(), format!("{server}:67"));
        assert!(frame.checksum_is_right && frame.target_mac == WEB01_MAC);
        let url = format!("http://{server}:8080/boot/52-54-00-47-86-8e/boot.ipxe");
        let file = &frame.payload[108..108 + url.len()];
        assert_eq!(String::from_utf8_lossy(file), url);
        let event = lab.event(&[Kind::DhcpOffer]);
        assert_eq!(event.iface.as_deref(), Some(format!("srv{id}").as_str()));
        // A system as well, by a real client.
        let iface = format!("cli{id}");
        let (ok, said) = Udhcpc::new().once(&lab.machine, &iface, 5);
        let expected = format!("bound ip={address} mask=24 server={server}");
        assert!(ok && said.contains(&expected), "{said}");
        lab.event(&[Kind::DhcpAck]);
    }
}

/// Two ports of one machine at one bridge: `cli0` and `cli1`.
fn two_ports(server: &Namespace, machine: &Namespace) {
    server.ip("link add br0 type bridge");
    server.ip("address del 10.99.0.1/24 dev srv0");
    server.ip("address add 10.99.0.1/24 dev br0");
    server.join("srv1", machine, "cli1");
    machine.ip("link set cli1 address 52:54:00:47:86:8f");
    for port in ["srv0", "srv1", "br0"] {
        if port != "br0" {
            server.ip(&format!("link set {port} master br0"));
        }
        server.ip(&format!("link set {port} up"));
    }
}

#[test]
fn ports_of_a_bond_have_one_address_in_turn() {
    const HOSTS: &str = r#"
        [hosts.web01]
        mac = ["52:54:00:47:86:8e", "52:54:00:47:86:8f"]
        ip = "10.99.0.11"
        local_boot = "exit"
    "#;
    let config = SERVER.replace("srv0", "br0");
    let clock = Arc::new(TestClock::new(Timestamp::from_secs(1_000)));
    let Some(mut lab) = Lab::at(&config, HOSTS, clock.clone(), two_ports) else {
        return;
    };
    let client = Udhcpc::new();
    let takes = |lab: &Lab, iface: &str| {
        let (ok, said) = client.once(&lab.machine, iface, 5);
        assert!(ok && said.contains("bound ip=10.99.0.11"), "{said}");
    };
    let firmware = |lab: &Lab, iface: &'static str, mac, xid| {
        let card = lab.machine.run(move || Card::open(iface));
        card.broadcast(&message(mac, xid, DISCOVER, true, NOWHERE));
        let frame = card.next(PATIENCE).expect("an offer");
        assert_eq!(reply(&frame.payload).1, WEB01_IP);
    };
    // Firmware asks on one port and then on the other, as it goes through its boot order.
    firmware(&lab, "cli0", WEB01_MAC, 1);
    firmware(&lab, "cli1", OTHER_MAC, 2);
    // The system has it at its first port, and not at the second.
    takes(&lab, "cli0");
    let (ok, said) = client.once(&lab.machine, "cli1", 2);
    assert!(!ok && !said.contains("bound"), "{said}");
    let event = lab.event(&[Kind::DhcpIgnored]);
    assert_eq!(event.reason, Reason::AddressHeld);
    assert_eq!(
        event.detail.as_deref(),
        Some("10.99.0.11 is held by 52:54:00:47:86:8e")
    );
    // It renews where it is; after a restart of the machine the other port may have it.
    takes(&lab, "cli0");
    firmware(&lab, "cli1", OTHER_MAC, 3);
    takes(&lab, "cli1");
    let (ok, _) = client.once(&lab.machine, "cli0", 2);
    assert!(!ok);
    // And when the lease has run out, without a restart.
    clock.advance(Duration::from_secs(3_601));
    takes(&lab, "cli0");
}

/// Ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_client_behind_a_real_relay() {
    const HOSTS: &str = r#"
        [hosts.far01]
        mac = "52:54:00:47:86:8e"
        ip = "10.50.0.11"
    "#;
    let config = format!(
        r#"{SERVER}
    [[subnet]]
    name = "far"
    network = "10.50.0.0/24"
    router = "10.50.0.1"
    "#
    );
    let lab = Lab::at(&config, HOSTS, Arc::new(SystemClock), |server, relay| {
        relay.ip("link set cli0 address 52:54:00:00:00:01");
        relay.ip("address add 10.99.0.250/24 dev cli0");
        server.ip("route add 10.50.0.0/24 via 10.99.0.250");
    });
    let Some(mut lab) = lab else { return };
    let far = Namespace::new().expect("a third namespace");
    lab.machine.join("down0", &far, "eth0");
    lab.machine.ip("address add 10.50.0.1/24 dev down0");
    far.ip("link set eth0 address 52:54:00:47:86:8e");
    // It appends option 82 and throws away replies that do not bring it back as it was.
    let mut command = Command::new("dhcrelay");
    command
        .args("-4 -d -q -a -D --no-pid -iu cli0 -id down0 10.99.0.1".split(' '))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = lab.machine.run(move || command.spawn());
    let _relay = match started {
        Ok(child) => Program(child),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            panic!("dhcrelay (package isc-dhcp-relay) is not there: scripts/setup.sh brings it")
        }
        Err(error) => panic!("dhcrelay: {error}"),
    };
    let (ok, said) = Udhcpc::new().once(&far, "eth0", 20);
    let expected = "bound ip=10.50.0.11 mask=24 server=10.99.0.1 router=10.50.0.1";
    assert!(ok && said.contains(expected), "{said}");
    let event = lab.event(&[Kind::DhcpAck]);
    assert_eq!(
        event.host.as_ref().map(ToString::to_string).as_deref(),
        Some("far01")
    );
    assert_eq!(event.ip, Some(Ipv4Addr::new(10, 50, 0, 11)));
}

/// What a relay sends, and what comes back to it on the port of servers.
#[test]
fn what_a_relay_is_told() {
    let Some(mut lab) = Lab::new() else { return };
    lab.machine.ip("address add 10.99.0.250/24 dev cli0");
    let ask = |lab: &Lab, giaddr: Ipv4Addr, options: &'static [u8]| {
        lab.machine.run(move || {
            let relay = UdpSocket::bind((Ipv4Addr::new(10, 99, 0, 250), 67)).unwrap();
            relay
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            let mut request = message(WEB01_MAC, 3, DISCOVER, false, giaddr);
            request.pop();
            request.extend_from_slice(options);
            request.push(255);
            relay.send_to(&request, (SERVER_IP, 67)).unwrap();
            let mut buf = [0; 1_500];
            let len = relay.recv(&mut buf).ok()?;
            Some(buf[..len].to_vec())
        })
    };
    let own = Ipv4Addr::new(10, 99, 0, 250);
    // Equal sub-options, an unknown one, and an order of its own: all of it comes back, and last.
    let told = ask(&lab, own, &[82, 12, 2, 1, 9, 1, 1, 7, 1, 1, 8, 200, 1, 0]).expect("an offer");
    let end = told.iter().rposition(|byte| *byte == 255).unwrap();
    assert_eq!(
        &told[end - 14..end],
        [82, 12, 2, 1, 9, 1, 1, 7, 1, 1, 8, 200, 1, 0]
    );
    // The relay is the server to its clients (RFC 5107).
    let told = ask(&lab, own, &[82, 6, 11, 4, 10, 99, 0, 250]).expect("an offer");
    assert_eq!(reply(&told), (3, WEB01_IP, OFFER, Some(own)));
    while lab.count(Kind::DhcpOffer) > 0 {}
    // One that nobody configured is told with the remedy, and so is the link that it names (RFC 3527).
    for (giaddr, options, expected) in [
        (
            Ipv4Addr::new(10, 77, 0, 1),
            &[][..],
            "relay 10.77.0.1; add a [[subnet]] whose network holds 10.77.0.1",
        ),
        (
            own,
            &[82, 6, 5, 4, 10, 78, 0, 0],
            "relay 10.99.0.250 names the link 10.78.0.0; add a [[subnet]] whose network holds 10.78.0.0",
        ),
    ] {
        assert_eq!(ask(&lab, giaddr, options), None);
        let event = lab.event(&[Kind::DhcpIgnored]);
        assert_eq!(event.reason, Reason::UnknownRelay);
        assert_eq!(event.detail.as_deref(), Some(expected));
    }
}

#[test]
fn a_machine_that_hears_nothing_is_answered_both_ways() {
    const HOSTS: &str = r#"
        [hosts.web01]
        mac = "52:54:00:47:86:8e"
        ip = "10.99.0.11"
        local_boot = "exit"
    "#;
    let clock = Arc::new(TestClock::new(Timestamp::from_secs(1_000)));
    let Some(mut lab) = Lab::at(SERVER, HOSTS, clock.clone(), |_, _| {}) else {
        return;
    };
    let card = lab.card();
    let next = |card: &Card, xid| {
        let frame = card.next(PATIENCE).expect("a reply");
        assert!(frame.checksum_is_right);
        assert_eq!(
            (reply(&frame.payload).0, reply(&frame.payload).1),
            (xid, WEB01_IP)
        );
        frame.target_mac
    };
    for (xid, wants_broadcast) in [(1, false), (2, true)] {
        card.broadcast(&message(WEB01_MAC, xid, DISCOVER, wants_broadcast, NOWHERE));
        let expected = if wants_broadcast {
            [0xff; 6]
        } else {
            WEB01_MAC
        };
        assert_eq!(next(&card, xid), expected);
        assert_eq!(lab.event(&[Kind::DhcpOffer]).reason, Reason::Loader);
        clock.advance(Duration::from_secs(6));
    }
    // Two offers went unanswered; the frame, the broadcast and no third one.
    for (xid, kind, told) in [
        (
            3,
            DISCOVER,
            "sent as a frame and by broadcast: 2 offers went unanswered",
        ),
        (
            4,
            REQUEST,
            "sent as a frame and by broadcast: it has requested nothing before it was offered so",
        ),
    ] {
        card.broadcast(&message(WEB01_MAC, xid, kind, false, NOWHERE));
        let mut targets = [next(&card, xid), next(&card, xid)];
        targets.sort_unstable();
        assert_eq!(targets, [WEB01_MAC, [0xff; 6]]);
        let event = lab.event(&[Kind::DhcpOffer, Kind::DhcpAck]);
        let detail = event.detail.expect("a detail");
        assert!(detail.contains(told), "{detail}");
    }
    // It helped: the next boot of this day begins with it, and one two days later does not.
    for (days, copies) in [(0, 2), (2, 1)] {
        clock.advance(Duration::from_secs(days * 86_400 + 600));
        card.broadcast(&message(WEB01_MAC, 5, DISCOVER, false, NOWHERE));
        let before = (0..copies).map(|_| next(&card, 5)).collect::<Vec<_>>();
        assert_eq!(before.len(), copies);
        lab.event(&[Kind::DhcpOffer]);
    }
    card.broadcast(&message(WEB01_MAC, 6, DISCOVER, false, NOWHERE));
    assert_eq!(next(&card, 6), WEB01_MAC, "one copy only came before it");
}
