//! Several network cards of one host: ports that share an address, VLANs, cards that do not boot.

use proptest::prelude::*;

use super::*;
use crate::config::snapshot::Nic;
use crate::decide::cards::{Held, Holding};

const OTHER: &str = "52:54:00:47:86:8f";
const STORAGE: &str = "52:54:00:47:86:90";

fn mac(text: &str) -> HardwareAddr {
    text.parse().unwrap()
}

fn nic(macs: &[&str], address: Option<&str>, subnet: Option<usize>, boot: bool) -> Nic {
    Nic {
        macs: macs.iter().map(|text| mac(text)).collect(),
        ip: address.map(ip),
        subnet,
        name: Some("storage".to_owned()),
        boot,
    }
}

/// `web01` with two ports for its address, and these further cards.
fn site(nics: Vec<Nic>) -> Snapshot {
    testing::changed(|hosts| {
        hosts[0].macs = vec![mac(WEB01), mac(OTHER)].into();
        hosts[0].nics = nics.into();
    })
}

fn ask_by(port: &'static str, message_type: u8) -> Ask {
    Ask {
        mac: port,
        ..Ask::new(message_type)
    }
}

struct Met<'a> {
    snapshot: &'a Snapshot,
    known: Known<'a>,
    held: &'a [Held],
    delivery: Delivery,
    at: i64,
}

fn meets(ask: &Ask, met: &Met<'_>) -> Decision {
    let facts = Facts {
        known: met.known,
        files: &AllThere,
        fetches: None,
        held: met.held,
        delivery: met.delivery,
        pool: None,
        route_source: Some(ip("192.0.2.1")),
    };
    let arrival = Arrival {
        at: Timestamp::from_secs(met.at),
        ..arrival(ask.to)
    };
    decide(&ask.request(), &arrival, met.snapshot, &facts)
}

fn held_by(port: &str) -> [Held; 1] {
    [Held {
        ip: ip("10.99.0.11"),
        mac: mac(port),
    }]
}

fn with_holder(ask: &Ask, known: Known<'_>, held: &[Held]) -> Decision {
    let met = Met {
        snapshot: &site(Vec::new()),
        known,
        held,
        delivery: Delivery::default(),
        at: 0,
    };
    meets(ask, &met)
}

fn taken(port: &str) -> Holding {
    Holding::Taken {
        held: held_by(port)[0],
        lease: std::time::Duration::from_secs(3_600),
    }
}

#[test]
fn while_one_port_holds_the_address_the_other_does_not_get_it() {
    let held = held_by(WEB01);
    let nothing = Known::Nothing;
    is_silent(
        &with_holder(&ask_by(OTHER, 1), nothing, &held),
        Reason::AddressHeld,
    );
    let selecting = ask_by(OTHER, 3)
        .with_ip(54, "10.99.0.2")
        .with_ip(50, "10.99.0.11");
    let reboot = ask_by(OTHER, 3).with_ip(50, "10.99.0.11");
    for request in [selecting, reboot] {
        let told = with_holder(&request, nothing, &held);
        is(
            &told,
            Kind::DhcpNak,
            Reason::AddressHeld,
            Destination::Broadcast,
        );
        assert_eq!(
            told.detail.as_deref(),
            Some("10.99.0.11 is held by 52:54:00:47:86:8e")
        );
        assert_eq!(told.holding, None);
    }
    // The holder itself, and either of them when nobody holds it.
    let again = with_holder(&ask_by(WEB01, 3).with_ip(50, "10.99.0.11"), nothing, &held);
    assert_eq!(
        (again.kind, again.holding),
        (Kind::DhcpAck, Some(taken(WEB01)))
    );
    let free = with_holder(&ask_by(OTHER, 1), nothing, &[]);
    assert_eq!((free.kind, free.holding), (Kind::DhcpOffer, None));
    let free = with_holder(&ask_by(OTHER, 3).with_ip(50, "10.99.0.11"), nothing, &[]);
    assert_eq!(
        (free.kind, free.holding),
        (Kind::DhcpAck, Some(taken(OTHER)))
    );
    // A bond whose hardware address went over to its other port renews the address that it has.
    let renews = Ask {
        ciaddr: "10.99.0.11",
        ..ask_by(OTHER, 3)
    };
    let renewed = with_holder(&renews, nothing, &held);
    assert_eq!(
        (renewed.kind, renewed.holding),
        (Kind::DhcpAck, Some(taken(OTHER)))
    );
}

#[test]
fn firmware_ipxe_and_installers_use_the_port_they_like() {
    let held = held_by(WEB01);
    let left = Some(Holding::Left(ip("10.99.0.11")));
    let asks = [
        ask_by(OTHER, 1).bios(),
        ask_by(OTHER, 1).uefi(),
        ask_by(OTHER, 1).http_boot(),
        ask_by(OTHER, 1).ipxe(&[19, 1, 1, 24, 1, 1]),
    ];
    for ask in asks {
        let told = with_holder(&ask, Known::Nothing, &held);
        // It asks: no system of that machine runs any more.
        assert_eq!((told.kind, told.holding), (Kind::DhcpOffer, left));
    }
    for state in [InstallState::Booting, InstallState::Installing] {
        let record = testing::record("web01", state);
        let told = with_holder(&ask_by(OTHER, 1), Known::Record(&record), &held);
        assert_eq!(
            (told.kind, told.holding),
            (Kind::DhcpOffer, left),
            "{state}"
        );
    }
    for state in [InstallState::Armed, InstallState::Installed] {
        let record = testing::record("web01", state);
        let told = with_holder(&ask_by(OTHER, 1), Known::Record(&record), &held);
        is_silent(&told, Reason::AddressHeld);
    }
}

#[test]
fn who_gives_the_address_back_holds_it_no_more() {
    let held = held_by(WEB01);
    let left = Some(Holding::Left(ip("10.99.0.11")));
    let release = Ask {
        ciaddr: "10.99.0.11",
        ..ask_by(WEB01, 7).with_ip(54, "10.99.0.2")
    };
    assert_eq!(with_holder(&release, Known::Nothing, &held).holding, left);
    let decline = ask_by(WEB01, 4)
        .with_ip(54, "10.99.0.2")
        .with_ip(50, "10.99.0.11");
    assert_eq!(with_holder(&decline, Known::Nothing, &held).holding, left);
    // What the other port has to say of it changes nothing.
    let other = Ask {
        mac: OTHER,
        ..release
    };
    assert_eq!(with_holder(&other, Known::Nothing, &held).holding, None);
}

#[test]
fn one_port_alone_is_not_kept_in_mind() {
    let told = answer(&Ask::new(3).with_ip(50, "10.99.0.11"));
    assert_eq!((told.kind, told.holding), (Kind::DhcpAck, None));
}

#[test]
fn a_card_without_an_address_is_never_answered() {
    let snapshot = site(vec![nic(&[STORAGE], None, None, false)]);
    for ask in [
        ask_by(STORAGE, 1),
        ask_by(STORAGE, 1).uefi(),
        ask_by(STORAGE, 3).with_ip(50, "10.99.0.11"),
        Ask {
            ciaddr: "10.99.0.11",
            ..ask_by(STORAGE, 8)
        },
    ] {
        let told = answer_with(&ask, &snapshot, Known::Nothing, &AllThere);
        is_silent(&told, Reason::NicWithoutAddress);
        assert_eq!(told.host.as_ref().map(HostName::as_str), Some("web01"));
    }
}

#[test]
fn a_further_card_gets_its_own_address_and_boots_only_where_it_may() {
    let armed = testing::record("web01", InstallState::Armed);
    let known = Known::Record(&armed);
    for boot in [false, true] {
        let snapshot = site(vec![nic(&[STORAGE], Some("10.99.0.21"), Some(0), boot)]);
        let told = answer_with(&ask_by(STORAGE, 1).uefi(), &snapshot, known, &AllThere);
        assert_eq!(sent(&told).0.yiaddr, ip("10.99.0.21"));
        if boot {
            assert_eq!(told.boot_file.as_deref(), Some("ipxe/snponly.efi"));
        } else {
            assert_eq!(
                (told.reason, told.boot_file),
                (Reason::NicDoesNotBoot, None)
            );
        }
        // A system of either kind is only given its address.
        let system = answer_with(&ask_by(STORAGE, 1), &snapshot, known, &AllThere);
        assert_eq!(system.reason, Reason::NetworkOnly);
        // The first card's are not those of another card, and the other way round.
        let wrong = answer_with(
            &ask_by(STORAGE, 3).with_ip(50, "10.99.0.11"),
            &snapshot,
            known,
            &AllThere,
        );
        assert_eq!(
            (wrong.kind, wrong.reason),
            (Kind::DhcpNak, Reason::WrongAddress)
        );
    }
}

/// The port of `web01` that carries the VLANs of `lab` (local) and `far` (relayed).
fn two_vlans() -> Snapshot {
    testing::changed(|hosts| {
        hosts[0].nics = [nic(&[WEB01], Some("10.50.0.21"), Some(1), false)].into();
    })
}

#[test]
fn one_hardware_address_in_two_subnets() {
    let snapshot = two_vlans();
    let here = answer_with(&Ask::new(1), &snapshot, Known::Nothing, &AllThere);
    assert_eq!(sent(&here).0.yiaddr, ip("10.99.0.11"));
    let there = Ask {
        giaddr: "10.50.0.1",
        ..Ask::new(1)
    };
    let there = answer_with(&there, &snapshot, Known::Nothing, &AllThere);
    assert_eq!(sent(&there).0.yiaddr, ip("10.50.0.21"));
    assert_eq!(sent(&there).1, Destination::Relay(ip("10.50.0.1")));
    // The address of the one is wrong in the other.
    let wrong = answer_with(
        &Ask::new(3).with_ip(50, "10.50.0.21"),
        &snapshot,
        Known::Nothing,
        &AllThere,
    );
    assert_eq!(
        (wrong.kind, wrong.reason),
        (Kind::DhcpNak, Reason::WrongAddress)
    );
    assert_eq!(
        wrong.detail.as_deref(),
        Some("it asks for 10.50.0.21, reserved is 10.99.0.11")
    );
}

#[test]
fn two_subnets_on_one_wire_are_told_apart_by_the_address_it_names() {
    let mut snapshot = two_vlans();
    snapshot.subnets[1].network = "192.0.2.0/24".parse().unwrap();
    let address = "192.0.2.21";
    snapshot = {
        let subnets = snapshot.subnets.clone();
        let mut hosts: Vec<Host> = snapshot
            .hosts()
            .iter()
            .map(|host| (**host).clone())
            .collect();
        hosts[0].nics = [nic(&[WEB01], Some(address), Some(1), false)].into();
        Snapshot::new(
            crate::config::snapshot::Server::default(),
            subnets,
            hosts,
            Vec::new(),
            std::collections::BTreeMap::new(),
        )
    };
    let of = |ask: Ask| {
        let told = answer_with(&ask, &snapshot, Known::Nothing, &AllThere);
        (sent(&told).0.yiaddr, told.kind)
    };
    assert_eq!(of(Ask::new(1)), (ip("10.99.0.11"), Kind::DhcpOffer));
    assert_eq!(of(Ask::new(1).with_ip(50, address)).0, ip(address));
    let renews = Ask {
        ciaddr: "192.0.2.21",
        ..Ask::new(3)
    };
    assert_eq!(of(renews), (ip(address), Kind::DhcpAck));
    // Chosen by the client (RFC 3011), and told back to it although it did not ask.
    let selects = Ask::new(1).with_ip(118, "192.0.2.0").with(55, &[1]);
    let told = answer_with(&selects, &snapshot, Known::Nothing, &AllThere);
    assert_eq!(sent(&told).0.yiaddr, ip(address));
    assert!(codes(&told).contains(&118));
}

fn relayed(message_type: u8, sub_options: &[u8]) -> Ask {
    Ask {
        mac: "52:54:00:00:50:01",
        giaddr: "10.50.0.1",
        ..Ask::new(message_type).with(82, sub_options)
    }
}

fn option_54(decision: &Decision) -> Ipv4Addr {
    let bytes = sent(decision).0.encode();
    crate::wire::dhcp::options::encapsulated(&bytes[240..])
        .find(|(code, _)| *code == 54)
        .map(|(_, data)| Ipv4Addr::from(<[u8; 4]>::try_from(data).unwrap()))
        .unwrap()
}

#[test]
fn a_relay_may_stand_in_for_the_server() {
    // RFC 5107: 10.50.0.1 is the server to the client, who renews through it.
    let stands_in = [11, 4, 10, 50, 0, 1, 2, 1, 7];
    let offer = answer(&relayed(1, &stands_in));
    assert_eq!(option_54(&offer), ip("10.50.0.1"));
    let bytes = sent(&offer).0.encode();
    let end = bytes.iter().rposition(|byte| *byte == 255).unwrap();
    assert_eq!(&bytes[end - 11..end], [&[82, 9], &stands_in[..]].concat());
    let chosen = relayed(3, &stands_in)
        .with_ip(54, "10.50.0.1")
        .with_ip(50, "10.50.0.11");
    let ack = answer(&chosen);
    assert_eq!(
        (ack.kind, option_54(&ack)),
        (Kind::DhcpAck, ip("10.50.0.1"))
    );
    let wrong = relayed(3, &stands_in).with_ip(50, "10.50.0.99");
    let nak = answer(&wrong);
    assert_eq!(
        (nak.kind, option_54(&nak)),
        (Kind::DhcpNak, ip("10.50.0.1"))
    );
    // Without the sub-option that identifier is another server's, and so is it without a relay.
    let other = relayed(3, &[2, 1, 7])
        .with_ip(54, "10.50.0.1")
        .with_ip(50, "10.50.0.11");
    is_silent(&answer(&other), Reason::OtherServer);
    let direct = Ask::new(1).with(82, &stands_in);
    assert_eq!(option_54(&answer(&direct)), ip("10.99.0.2"));
    // Of all zeros it is none.
    let none = answer(&relayed(1, &[11, 4, 0, 0, 0, 0]));
    assert_ne!(option_54(&none), ip("0.0.0.0"));
}

#[test]
fn boot_files_come_from_this_server_even_when_a_relay_stands_in() {
    let ask = relayed(1, &[11, 4, 10, 50, 0, 1]).ipxe(&[19, 1, 1, 24, 1, 1]);
    let offer = answer(&ask);
    assert_eq!(sent(&offer).0.siaddr, ip("192.0.2.1"));
    assert!(
        offer
            .boot_file
            .is_some_and(|url| url.starts_with("http://192.0.2.1:8080/"))
    );
}

/// The DISCOVERs of a machine that hears nothing, each answered.
fn unheard(seconds: &[i64], ask: &Ask) -> Vec<Decision> {
    let snapshot = testing::snapshot();
    let mut delivery = Delivery::default();
    seconds
        .iter()
        .map(|at| {
            let met = Met {
                snapshot: &snapshot,
                known: Known::Nothing,
                held: &[],
                delivery,
                at: *at,
            };
            let told = meets(ask, &met);
            delivery = told.delivery.unwrap_or(delivery);
            told
        })
        .collect()
}

#[test]
fn after_two_unanswered_offers_both_ways_are_used() {
    let both = Destination::Both {
        yiaddr: ip("10.99.0.11"),
        chaddr: WEB01.parse().unwrap(),
    };
    let to_all = Ask {
        flags: 0x8000,
        ..Ask::new(1)
    };
    for ask in [Ask::new(1), to_all] {
        let told = unheard(&[0, 6, 12], &ask);
        assert_ne!(sent(&told[0]).1, both);
        assert_eq!(sent(&told[1]).1, sent(&told[0]).1);
        assert_eq!(told[1].detail, None);
        assert_eq!(sent(&told[2]).1, both);
        assert_eq!(
            told[2].detail.as_deref(),
            Some("sent as a frame and by broadcast: 2 offers went unanswered")
        );
        // Its flag is not touched, and what it chooses is acknowledged both ways.
        assert_eq!(sent(&told[2]).0, sent(&told[0]).0);
        let snapshot = testing::snapshot();
        let chosen = Ask::new(3)
            .with_ip(54, "10.99.0.2")
            .with_ip(50, "10.99.0.11");
        let met = Met {
            snapshot: &snapshot,
            known: Known::Nothing,
            held: &[],
            delivery: told[2].delivery.unwrap(),
            at: 13,
        };
        let ack = meets(&chosen, &met);
        assert_eq!((ack.kind, sent(&ack).1), (Kind::DhcpAck, both));
        // A system that renews its lease is reached at its address.
        let renews = Ask {
            ciaddr: "10.99.0.11",
            ..Ask::new(3)
        };
        let met = Met {
            delivery: ack.delivery.unwrap(),
            at: 1_800,
            ..met
        };
        assert_eq!(
            sent(&meets(&renews, &met)).1,
            Destination::Client(ip("10.99.0.11"))
        );
    }
    // Asking twice within a second, or after the four seconds in which EDK2 gathers, is well; and a relay
    // delivers in its own way.
    for quick in [[0, 1, 2], [0, 4, 5]] {
        assert!(
            unheard(&quick, &Ask::new(1))
                .iter()
                .all(|told| sent(told).1 == link())
        );
    }
    let far = unheard(&[0, 6, 12, 18], &relayed(1, &[1, 1, 7]));
    let relay = Destination::Relay(ip("10.50.0.1"));
    assert!(
        far.iter()
            .all(|told| sent(told).1 == relay && told.detail.is_none())
    );
}

/// What one port sends: which port, its message, and whether it is firmware's.
fn any_act() -> impl Strategy<Value = (bool, u8, bool)> {
    (
        any::<bool>(),
        prop::sample::select(vec![1_u8, 3, 4, 7, 8]),
        prop::bool::weighted(0.2),
    )
}

proptest! {
    /// Over any course of messages, a system's port is given the address only when no other port of a
    /// running system has it.
    #[test]
    fn never_two_ports_of_a_system(acts in prop::collection::vec(any_act(), 0..30)) {
        let snapshot = site(Vec::new());
        let mut held: Vec<Held> = Vec::new();
        let mut system: Option<HardwareAddr> = None;
        for (second, message_type, firmware) in acts {
            let port = if second { OTHER } else { WEB01 };
            let ask = match message_type {
                3 | 4 => ask_by(port, message_type)
                    .with_ip(54, "10.99.0.2")
                    .with_ip(50, "10.99.0.11"),
                7 => Ask { ciaddr: "10.99.0.11", ..ask_by(port, 7).with_ip(54, "10.99.0.2") },
                8 => Ask { ciaddr: "10.99.0.11", ..ask_by(port, 8) },
                _ => ask_by(port, message_type),
            };
            let ask = if firmware { ask.bios() } else { ask };
            let met = Met {
                snapshot: &snapshot,
                known: Known::Nothing,
                held: &held,
                delivery: Delivery::default(),
                at: 0,
            };
            let told = meets(&ask, &met);
            let granted = matches!(message_type, 1 | 3)
                && matches!(told.kind, Kind::DhcpOffer | Kind::DhcpAck);
            if firmware && matches!(message_type, 1 | 3) {
                prop_assert!(granted, "firmware is always answered");
                system = None;
            } else if granted {
                prop_assert!(system.is_none_or(|has| has == mac(port)), "{port} beside {system:?}");
                if message_type == 3 {
                    system = Some(mac(port));
                }
            } else if matches!(message_type, 1 | 3) {
                prop_assert!(system.is_some_and(|has| has != mac(port)), "{port} is refused");
            } else if matches!(message_type, 4 | 7) && system == Some(mac(port)) {
                system = None;
            }
            match told.holding {
                Some(Holding::Taken { held: taken, .. }) => held = vec![taken],
                Some(Holding::Left(_)) => held.clear(),
                None => {}
            }
        }
    }
}
