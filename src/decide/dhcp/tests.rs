//! Each message in each state, with what it meets and where the answer goes.

mod bootp;
mod cards;
mod configured;
mod loaders;
mod machine;
mod pool;
mod secure;
mod signed;

use std::net::SocketAddrV4;

use super::super::testing::{self, AllThere, Missing, WEB01};
use super::super::{BootFiles, Known};
use super::*;
use crate::base::Timestamp;
use crate::config::options::ConfiguredOption;
use crate::config::snapshot::LocalBoot;
use crate::decide::loops::Fetches;
use crate::record::{InstallState, Record};

const BROADCAST: Ipv4Addr = Ipv4Addr::BROADCAST;

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

/// A message as a client would send it, field by field.
#[derive(Clone)]
struct Ask {
    mac: &'static str,
    flags: u16,
    ciaddr: &'static str,
    giaddr: &'static str,
    options: Vec<u8>,
    to: Ipv4Addr,
    op: u8,
}

impl Ask {
    fn new(message_type: u8) -> Self {
        Self {
            mac: WEB01,
            flags: 0,
            ciaddr: "0.0.0.0",
            giaddr: "0.0.0.0",
            options: vec![53, 1, message_type],
            to: BROADCAST,
            op: 1,
        }
    }

    fn with(mut self, code: u8, data: &[u8]) -> Self {
        self.options
            .extend_from_slice(&[code, u8::try_from(data.len()).unwrap()]);
        self.options.extend_from_slice(data);
        self
    }

    fn with_ip(self, code: u8, address: &str) -> Self {
        self.with(code, &ip(address).octets())
    }

    fn bios(self) -> Self {
        self.with(60, b"PXEClient:Arch:00000:UNDI:002001")
            .with(93, &[0, 0])
    }

    fn uefi(self) -> Self {
        self.with(60, b"PXEClient:Arch:00007:UNDI:003000")
            .with(93, &[0, 7])
    }

    fn http_boot(self) -> Self {
        self.with(60, b"HTTPClient:Arch:00016:UNDI:003000")
            .with(93, &[0, 16])
    }

    fn ipxe(self, features: &[u8]) -> Self {
        self.bios().with(77, b"iPXE").with(175, features)
    }

    fn request(&self) -> Request {
        let mut bytes = vec![self.op, 1, 6, 0, 1, 2, 3, 4, 0, 0];
        bytes.extend_from_slice(&self.flags.to_be_bytes());
        for address in [self.ciaddr, "0.0.0.0", "0.0.0.0", self.giaddr] {
            bytes.extend_from_slice(&ip(address).octets());
        }
        let mac: HardwareAddr = self.mac.parse().unwrap();
        bytes.extend_from_slice(mac.as_bytes());
        bytes.resize(236, 0);
        bytes.extend_from_slice(&[99, 130, 83, 99]);
        bytes.extend_from_slice(&self.options);
        Request::parse(&bytes).unwrap()
    }
}

fn arrival(to: Ipv4Addr) -> Arrival {
    Arrival {
        iface: "br0".into(),
        addresses: [
            "192.0.2.1/24".parse().unwrap(),
            "10.99.0.2/24".parse().unwrap(),
        ]
        .into(),
        to,
        source: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68),
        at: Timestamp::from_secs(0),
    }
}

fn answer_with(
    ask: &Ask,
    snapshot: &Snapshot,
    known: Known<'_>,
    files: &dyn BootFiles,
) -> Decision {
    let facts = Facts {
        known,
        files,
        fetches: None,
        held: &[],
        delivery: Delivery::default(),
        route_source: Some(ip("192.0.2.1")),
        pool: None,
    };
    decide(&ask.request(), &arrival(ask.to), snapshot, &facts)
}

fn answer(ask: &Ask) -> Decision {
    answer_with(ask, &testing::snapshot(), Known::Nothing, &AllThere)
}

fn armed() -> Record {
    testing::record("web01", InstallState::Armed)
}

/// The answer to a host that is to be installed.
fn answer_armed(ask: &Ask) -> Decision {
    answer_with(
        ask,
        &testing::snapshot(),
        Known::Record(&armed()),
        &AllThere,
    )
}

fn sent(decision: &Decision) -> (&Reply, Destination) {
    match &decision.outcome {
        Outcome::Send { reply, to, .. } => (reply, *to),
        Outcome::Ignore => panic!("no answer: {decision:?}"),
    }
}

#[track_caller]
fn is_silent(decision: &Decision, reason: Reason) {
    assert_eq!(decision.outcome, Outcome::Ignore, "{decision:?}");
    assert_eq!(
        (decision.kind, decision.reason),
        (Kind::DhcpIgnored, reason)
    );
}

#[track_caller]
fn is(decision: &Decision, kind: Kind, reason: Reason, to: Destination) {
    assert_eq!(sent(decision).1, to, "{decision:?}");
    assert_eq!((decision.kind, decision.reason), (kind, reason));
}

fn link() -> Destination {
    Destination::Link {
        yiaddr: ip("10.99.0.11"),
        chaddr: WEB01.parse().unwrap(),
    }
}

fn codes(decision: &Decision) -> Vec<u8> {
    let bytes = sent(decision).0.encode();
    crate::wire::dhcp::options::encapsulated(&bytes[240..])
        .map(|(code, _)| code)
        .collect()
}

#[test]
fn discover_is_offered_the_reservation() {
    let offer = answer(&Ask::new(1).with_ip(50, "10.99.0.200"));
    is(&offer, Kind::DhcpOffer, Reason::NetworkOnly, link());
    let (reply, _) = sent(&offer);
    assert_eq!(reply.yiaddr, ip("10.99.0.11"));
    assert_eq!(reply.siaddr, Ipv4Addr::UNSPECIFIED);
    // Nothing asked for in 55: all there is, and no boot file.
    assert_eq!(codes(&offer), [53, 54, 51, 1, 3, 6, 12, 15, 28, 42, 58, 59]);
    assert_eq!(offer.detail, None);
    // Only what is asked for, in that order, but for what every client needs.
    let asked = answer(&Ask::new(1).with(55, &[15, 6]));
    assert_eq!(codes(&asked), [53, 54, 51, 1, 15, 6, 3]);
    let to_all = Ask {
        flags: 0x8000,
        ..Ask::new(1)
    };
    is(
        &answer(&to_all),
        Kind::DhcpOffer,
        Reason::NetworkOnly,
        Destination::Broadcast,
    );
}

#[test]
fn strangers_hear_nothing() {
    for message_type in 0..=18 {
        let stranger = Ask {
            mac: "52:54:00:ff:ff:ff",
            ..Ask::new(message_type).with_ip(50, "10.99.0.11")
        };
        is_silent(&answer(&stranger), Reason::UnknownHost);
        let rebinding = Ask {
            ciaddr: "10.99.0.11",
            ..stranger
        };
        is_silent(&answer(&rebinding), Reason::UnknownHost);
    }
}

#[test]
fn selecting() {
    let asked = |address: &str, server: &str| Ask::new(3).with_ip(50, address).with_ip(54, server);
    is(
        &answer(&asked("10.99.0.11", "10.99.0.2")),
        Kind::DhcpAck,
        Reason::NetworkOnly,
        link(),
    );
    // Another address of the same interface is this server too.
    assert_eq!(
        answer(&asked("10.99.0.11", "192.0.2.1")).kind,
        Kind::DhcpAck
    );
    is_silent(
        &answer(&asked("10.99.0.11", "10.99.0.3")),
        Reason::OtherServer,
    );
    is(
        &answer(&asked("10.99.0.12", "10.99.0.2")),
        Kind::DhcpNak,
        Reason::WrongAddress,
        Destination::Broadcast,
    );
}

#[test]
fn init_reboot_needs_no_lease_on_record() {
    let asked = |address| Ask::new(3).with_ip(50, address);
    is(
        &answer(&asked("10.99.0.11")),
        Kind::DhcpAck,
        Reason::NetworkOnly,
        link(),
    );
    let nak = answer(
        &asked("10.99.0.12")
            .with(61, &[1, 2, 3])
            .with(82, &[1, 1, 9]),
    );
    is(
        &nak,
        Kind::DhcpNak,
        Reason::WrongAddress,
        Destination::Broadcast,
    );
    assert_eq!(codes(&nak), [53, 54, 56, 61, 82]);
    let (reply, _) = sent(&nak);
    assert_eq!(reply.yiaddr, Ipv4Addr::UNSPECIFIED);
    // On the wrong net: a NAK, so that the client asks anew at once.
    let away = Ask {
        mac: "52:54:00:00:50:01",
        ..asked("10.50.0.11")
    };
    is(
        &answer(&away),
        Kind::DhcpNak,
        Reason::WrongSubnet,
        Destination::Broadcast,
    );
    is_silent(&answer(&Ask::new(3)), Reason::BadRequest);
}

#[test]
fn renewing_and_rebinding() {
    let client = Destination::Client(ip("10.99.0.11"));
    for to in [ip("10.99.0.2"), BROADCAST] {
        let renewing = Ask {
            ciaddr: "10.99.0.11",
            to,
            ..Ask::new(3)
        };
        let ack = answer(&renewing);
        is(&ack, Kind::DhcpAck, Reason::NetworkOnly, client);
        assert_eq!(sent(&ack).0.ciaddr, ip("10.99.0.11"));
        let moved = Ask {
            ciaddr: "10.99.0.12",
            ..renewing
        };
        is(
            &answer(&moved),
            Kind::DhcpNak,
            Reason::WrongAddress,
            Destination::Broadcast,
        );
    }
}

#[test]
fn renewing_through_a_router_comes_without_a_relay() {
    let far = Ask {
        mac: "52:54:00:00:50:01",
        ciaddr: "10.50.0.11",
        to: ip("10.99.0.2"),
        ..Ask::new(3)
    };
    is(
        &answer(&far),
        Kind::DhcpAck,
        Reason::NetworkOnly,
        Destination::Client(ip("10.50.0.11")),
    );
    // The same by broadcast on this wire is a machine on the wrong net.
    let here = Ask {
        to: BROADCAST,
        ..far
    };
    is(
        &answer(&here),
        Kind::DhcpNak,
        Reason::WrongSubnet,
        Destination::Broadcast,
    );
}

#[test]
fn relayed() {
    let relay = Destination::Relay(ip("10.50.0.1"));
    let far = Ask {
        mac: "52:54:00:00:50:01",
        giaddr: "10.50.0.1",
        to: ip("10.99.0.2"),
        ..Ask::new(1).with(82, &[9, 1, 1, 1, 1, 7])
    };
    let offer = answer(&far);
    is(&offer, Kind::DhcpOffer, Reason::NetworkOnly, relay);
    assert_eq!(codes(&offer).last(), Some(&82));
    // The address that the relay speaks to is the one that this server is known by.
    let (reply, _) = sent(&offer);
    assert_eq!(reply.giaddr, ip("10.50.0.1"));
    assert!(
        reply.options.get(OptionCode::ServerIdentifier)
            == Some(ip("10.99.0.2").octets().as_slice())
    );
    let nak = answer(&Ask {
        options: Ask::new(3).with_ip(50, "10.50.0.99").options,
        ..far.clone()
    });
    is(&nak, Kind::DhcpNak, Reason::WrongAddress, relay);
    assert!(sent(&nak).0.broadcast);
    let unknown = answer(&Ask {
        giaddr: "10.9.0.1",
        ..far.clone()
    });
    is_silent(&unknown, Reason::UnknownRelay);
    assert!(unknown.detail.unwrap().contains("10.9.0.1"));
    // A host of the local subnet behind that relay.
    is_silent(&answer(&Ask { mac: WEB01, ..far }), Reason::WrongSubnet);
}

#[test]
fn a_relay_may_name_another_link_than_its_own() {
    let ask = Ask {
        mac: "52:54:00:00:50:01",
        giaddr: "10.9.0.1",
        ..Ask::new(1).with(82, &[5, 4, 10, 50, 0, 0])
    };
    is(
        &answer(&ask),
        Kind::DhcpOffer,
        Reason::NetworkOnly,
        Destination::Relay(ip("10.9.0.1")),
    );
}

#[test]
fn what_is_not_answered() {
    let reply = Ask {
        op: 2,
        ..Ask::new(2)
    };
    is_silent(&answer(&reply), Reason::NotARequest);
    is_silent(&answer(&Ask::new(2)), Reason::MessageType);
    is_silent(&answer(&Ask::new(13)), Reason::MessageType);
    let away = Ask {
        mac: "52:54:00:00:50:01",
        ..Ask::new(1)
    };
    let away = answer(&away);
    is_silent(&away, Reason::WrongSubnet);
    assert_eq!(
        away.detail.as_deref(),
        Some("far01 is reserved in far, this came from lab")
    );
    let mut snapshot = testing::snapshot();
    snapshot.subnets[0].network = "10.1.0.0/24".parse().unwrap();
    is_silent(
        &answer_with(&Ask::new(1), &snapshot, Known::Nothing, &AllThere),
        Reason::NoSubnet,
    );
}

#[test]
fn decline_and_release_are_told_and_change_nothing() {
    let decline = Ask::new(4)
        .with_ip(50, "10.99.0.11")
        .with_ip(54, "10.99.0.2");
    let told = answer(&decline);
    is_silent(&told, Reason::Declined);
    assert!(told.detail.unwrap().starts_with("10.99.0.11;"));
    assert_eq!(answer(&Ask::new(1)).kind, Kind::DhcpOffer);
    let release = Ask {
        ciaddr: "10.99.0.11",
        ..Ask::new(7).with_ip(54, "10.99.0.2")
    };
    is_silent(&answer(&release), Reason::Released);
    is_silent(
        &answer(&Ask::new(7).with_ip(54, "10.99.0.3")),
        Reason::OtherServer,
    );
}

#[test]
fn inform_gets_options_and_no_lease() {
    let inform = Ask {
        ciaddr: "10.99.0.11",
        ..Ask::new(8)
    };
    let ack = answer(&inform);
    is(
        &ack,
        Kind::DhcpAck,
        Reason::NetworkOnly,
        Destination::Client(ip("10.99.0.11")),
    );
    assert_eq!(sent(&ack).0.yiaddr, Ipv4Addr::UNSPECIFIED);
    assert_eq!(codes(&ack), [53, 54, 1, 3, 6, 12, 15, 28, 42]);
}

#[test]
fn without_a_store_machines_get_addresses_and_disks() {
    let answer = answer_with(
        &Ask::new(1).bios(),
        &testing::snapshot(),
        Known::Unavailable,
        &AllThere,
    );
    assert_eq!(answer.reason, Reason::DiskStoreUnavailable);
    assert_eq!(answer.kind, Kind::DhcpOffer);
    assert_eq!(answer.boot_file, None);
}

#[test]
fn what_finds_no_room_is_told() {
    let mut snapshot = testing::snapshot();
    snapshot.subnets[0].ntp = vec![Ipv4Addr::LOCALHOST; 120];
    let decision = answer_with(
        &Ask::new(1).bios(),
        &snapshot,
        Known::Record(&armed()),
        &AllThere,
    );
    assert!(decision.detail.unwrap().contains("no room for option 42"));
}

#[test]
fn an_address_is_written_as_it_is_shown() {
    for text in ["0.0.0.0", "1.9.10.11", "99.100.101.109", "110.199.200.255"] {
        let mut options = Written::with_room();
        put_as_text(&mut options, OptionCode::TFTPServerName, ip(text));
        assert_eq!(
            options.get(OptionCode::TFTPServerName),
            Some(text.as_bytes())
        );
    }
}
