//! Router solicitations on a cable: who is answered, and who never.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use bootwright::base::HardwareAddr;
use bootwright::journal::event::{Kind, Reason};
use bootwright::wire::ndp::{self, Message};

use super::net::Namespace;
use super::services::{Lab, PATIENCE, SERVER, WEB01_MAC, plug_in};
use super::wire::{Card, DISCOVER, message};

const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 9];
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// How long a machine waits before it asks again.
const AGAIN: Duration = Duration::from_millis(1_100);

fn config(interfaces: &str) -> String {
    SERVER.replace(r#"["srv0"]"#, interfaces).replace(
        "[[subnet]]",
        "[boot]\n    router_advertisement = \"ipxe\"\n\n    [[subnet]]",
    )
}

/// A machine of the test's own must not be mistaken for the kernel behind its interface, which asks as well.
fn without_ipv6(machine: &Namespace, iface: &'static str) {
    machine.run(move || {
        let switch = format!("/proc/sys/net/ipv6/conf/{iface}/disable_ipv6");
        std::fs::write(switch, "1").expect("IPv6 is switched off");
    });
}

/// The address that a card gives itself (RFC 4291, appendix A).
fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets[..2].copy_from_slice(&[0xfe, 0x80]);
    octets[8..11].copy_from_slice(&mac[..3]);
    octets[8] ^= 2;
    octets[11..13].copy_from_slice(&[0xff, 0xfe]);
    octets[13..].copy_from_slice(&mac[3..]);
    octets.into()
}

fn solicitation(mac: [u8; 6]) -> Vec<u8> {
    ndp::solicitation(mac, link_local(mac))
}

/// A DISCOVER of iPXE: that of a ROM, with the user class before its end.
fn ipxe(mac: [u8; 6]) -> Vec<u8> {
    let mut message = message(mac, 7, DISCOVER, true, [0, 0, 0, 0].into());
    message.pop();
    message.extend([77, 4]);
    message.extend(b"iPXE");
    message.push(255);
    message
}

/// An advertisement on the cable, from whomever.
fn advertisement(frame: &[u8]) -> Option<Vec<u8>> {
    matches!(ndp::read(frame), Ok(Message::Advertisement(_))).then(|| frame.to_vec())
}

/// Asks until it is answered, as iPXE does; the answer.
fn ask(card: &Card, mac: [u8; 6]) -> Vec<u8> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        card.send(&solicitation(mac));
        if let Some(frame) = card.find(AGAIN, advertisement) {
            return frame;
        }
    }
    panic!("no advertisement");
}

#[test]
fn ipxe_is_told_by_itself_that_there_is_no_router() {
    let Some(mut lab) = Lab::of(&config(r#"["srv0"]"#), |_, machine| {
        without_ipv6(machine, "cli0");
    }) else {
        return;
    };
    let card = lab.card();
    card.broadcast(&ipxe(WEB01_MAC));
    lab.event(&[Kind::DhcpOffer]);
    let frame = ask(&card, WEB01_MAC);
    let own = lab
        .server
        .run(|| {
            bootwright::host::links::Links::read()
                .unwrap()
                .for_interface("srv0")
        })
        .expect("srv0");
    let (own, from) = (own.ethernet().unwrap(), own.link_local.unwrap());
    assert_eq!(
        frame,
        ndp::empty_advertisement(own, from, WEB01_MAC, link_local(WEB01_MAC))
    );
    let event = lab.event(&[Kind::NdpAdvertised]);
    assert_eq!(event.reason, Reason::NoRouter);
    assert_eq!(event.mac, Some(HardwareAddr::ethernet(WEB01_MAC)));
    assert_eq!(event.host.unwrap().as_str(), "web01");
    assert_eq!(event.iface.as_deref(), Some("srv0"));

    // A stranger, firmware, a machine without an address, one that poses as another: the next answer is
    // again to the one that asks rightly.
    card.broadcast(&message(STRANGER, 8, DISCOVER, true, [0, 0, 0, 0].into()));
    lab.event(&[Kind::DhcpIgnored]);
    card.send(&solicitation(STRANGER));
    card.send(&ndp::solicitation(WEB01_MAC, Ipv6Addr::UNSPECIFIED));
    card.send(&ndp::solicitation(STRANGER, link_local(WEB01_MAC)));
    assert_eq!(card.find(AGAIN, advertisement), None);
    card.send(&solicitation(WEB01_MAC));
    let mut seen = Vec::new();
    while lab.count(Kind::NdpAdvertised) == 0 {
        seen.extend(card.find(Duration::from_millis(50), advertisement));
    }
    seen.extend(card.find(Duration::from_millis(50), advertisement));
    assert_eq!(seen, [frame]);
}

#[test]
fn a_link_with_a_router_is_left_alone_for_good() {
    let two = config(r#"["srv0", "srv1"]"#);
    let Some(mut lab) = Lab::of(&two, |server, machine| {
        server.join("srv1", machine, "cli1");
        without_ipv6(machine, "cli0");
        without_ipv6(machine, "cli1");
    }) else {
        return;
    };
    let card = lab.card();
    let other = lab.machine.run(|| Card::open("cli1"));
    card.broadcast(&ipxe(WEB01_MAC));
    lab.event(&[Kind::DhcpOffer]);
    ask(&card, WEB01_MAC);

    card.send(&ndp::empty_advertisement(
        ROUTER,
        link_local(ROUTER),
        [0x33, 0x33, 0, 0, 0, 1],
        "ff02::1".parse().unwrap(),
    ));
    let event = lab.event(&[Kind::NdpRouter]);
    assert_eq!(event.reason, Reason::OtherRouter);
    assert_eq!(event.mac, Some(HardwareAddr::ethernet(ROUTER)));
    assert_eq!(event.iface.as_deref(), Some("srv0"));

    // Both cables are put back. What is answered on the other one shows that enough time has passed.
    drop((card, other));
    lab.server.ip("link delete srv0");
    lab.server.ip("link delete srv1");
    plug_in(&lab.server, &lab.machine);
    lab.server.join("srv1", &lab.machine, "cli1");
    without_ipv6(&lab.machine, "cli0");
    without_ipv6(&lab.machine, "cli1");
    let card = lab.card();
    let other = lab.machine.run(|| Card::open("cli1"));
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "no answer on the other cable");
        card.broadcast(&ipxe(WEB01_MAC));
        card.send(&solicitation(WEB01_MAC));
        other.send(&solicitation(WEB01_MAC));
        if other.find(AGAIN, advertisement).is_some() {
            break;
        }
    }
    assert_eq!(card.find(AGAIN, advertisement), None);
}

#[test]
fn a_router_on_this_machine_counts_and_is_found_by_asking() {
    // The kernel of the other side answers nothing; a program on the server does, as radvd would.
    let Some(mut lab) = Lab::of(&config(r#"["srv0"]"#), |_, machine| {
        without_ipv6(machine, "cli0");
    }) else {
        return;
    };
    let asked = lab.card().find(PATIENCE, |frame| match ndp::read(frame) {
        Ok(Message::Solicitation(asked)) => Some(asked),
        _ => None,
    });
    assert!(asked.is_some(), "routers are asked for");
    lab.server.run(|| {
        let link = bootwright::host::links::Links::read().unwrap();
        let own = link.for_interface("srv0").unwrap();
        let (mac, from) = (own.ethernet().unwrap(), own.link_local.unwrap());
        let all = "ff02::1".parse().unwrap();
        Card::open("srv0").send(&ndp::empty_advertisement(
            mac,
            from,
            [0x33, 0x33, 0, 0, 0, 1],
            all,
        ));
    });
    let event = lab.event(&[Kind::NdpRouter]);
    let detail = event.detail.unwrap();
    assert!(detail.ends_with(", a program on this machine"), "{detail}");
}

#[test]
fn nobody_is_answered_until_it_is_switched_on() {
    let Some(mut lab) = Lab::of(SERVER, |_, machine| without_ipv6(machine, "cli0")) else {
        return;
    };
    let card = lab.card();
    card.broadcast(&ipxe(WEB01_MAC));
    lab.event(&[Kind::DhcpOffer]);
    card.send(&solicitation(WEB01_MAC));
    lab.site
        .change(|snapshot| snapshot.server.advertise_to_ipxe = true);
    ask(&card, WEB01_MAC);
    assert_eq!(lab.event(&[Kind::NdpAdvertised]).reason, Reason::NoRouter);
}

#[test]
fn a_link_without_ipv6_is_told_with_its_remedy() {
    let Some(mut lab) = Lab::of(&config(r#"["srv0"]"#), |server, _| {
        without_ipv6(server, "srv0");
    }) else {
        return;
    };
    let event = lab.event(&[Kind::ServerTrouble]);
    let detail = event.detail.unwrap();
    assert!(
        detail.starts_with("iPXE waits for an IPv6 router on srv0: "),
        "{detail}"
    );
    assert!(
        detail.contains("router_advertisement = \"off\""),
        "{detail}"
    );
}
