//! What holds for all packets.

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use bootwright::base::HardwareAddr;
use bootwright::config::Snapshot;
use bootwright::config::snapshot::LocalBoot;
use bootwright::decide::dhcp::{Outcome, decide};
use bootwright::decide::tftp::file_request;
use bootwright::decide::{Facts, Known, Stage};
use bootwright::journal::event::Reason;
use bootwright::record::InstallState;
use bootwright::wire::dhcp::{
    BootFile, DhcpOption, MessageType, OptionCode, Reply, Request, exercise,
};
use proptest::prelude::*;

use super::capture::{Message, capture};
use super::site::{AllThere, NODE11, WEB01, arrival, changed, record};

static CAPTURES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    [
        "ipxe-efi-request",
        "ovmf-http-discover",
        "ovmf-pxe-request",
        "udhcpc-renew",
        "dhclient-init-reboot",
    ]
    .map(capture)
    .into()
});

static SITE: LazyLock<Snapshot> = LazyLock::new(super::site::snapshot);

pub(crate) fn any_state() -> impl Strategy<Value = Option<InstallState>> {
    prop::option::of(prop::sample::select(vec![
        InstallState::Local,
        InstallState::Waiting,
        InstallState::Armed,
        InstallState::Booting,
        InstallState::Installing,
        InstallState::Installed,
        InstallState::Failed,
    ]))
}

pub(crate) fn any_local_boot() -> impl Strategy<Value = LocalBoot> {
    prop::sample::select(vec![
        LocalBoot::Auto,
        LocalBoot::NoFile,
        LocalBoot::Exit,
        LocalBoot::Sanboot,
    ])
}

/// Decides whatever can be read, and gives the outcome.
fn decide_any(bytes: &[u8], snapshot: &Snapshot, state: Option<InstallState>) -> Option<Outcome> {
    let request = Request::parse(bytes).ok()?;
    let record = state.map(record);
    let facts = Facts {
        known: record.as_ref().map_or(Known::Nothing, Known::Record),
        files: &AllThere,
        fetches: None,
        held: &[],
        delivery: bootwright::decide::delivery::Delivery::default(),
        route_source: None,
        pool: None,
    };
    Some(decide(&request, &arrival(), snapshot, &facts).outcome)
}

/// An option 60, 77, 93 or 175 of some machine, or none.
fn told(values: &[&'static [u8]]) -> impl Strategy<Value = Option<Vec<u8>>> + use<> {
    let values: Vec<_> = values.iter().map(|value| value.to_vec()).collect();
    prop_oneof![
        2 => Just(None),
        4 => prop::sample::select(values).prop_map(Some),
        1 => prop::collection::vec(any::<u8>(), 0..12).prop_map(Some),
    ]
}

prop_compose! {
    /// A message that is well-formed and says anything.
    pub(crate) fn any_message()(
        mac in prop::sample::select(vec![WEB01, NODE11, "52:54:00:ff:ff:ff"]),
        message_type in prop_oneof![9 => 1_u8..9, 1 => any::<u8>()],
        op in prop_oneof![9 => Just(1_u8), 1 => any::<u8>()],
        flags in prop::sample::select(vec![0_u8, 0x80]),
        addresses in prop::array::uniform4(prop::sample::select(vec![
            "0.0.0.0", "10.99.0.34", "10.99.0.16", "10.99.0.2", "10.50.0.1", "10.9.0.1",
        ])),
        class in told(&[b"PXEClient:Arch:00000:UNDI:002001", b"PXEClient:Arch:00007:UNDI:003000",
            b"HTTPClient:Arch:00016:UNDI:003000", b"udhcp 1.35.0"]),
        user_class in told(&[b"iPXE", b"\x04iPXE", b"PXEClient", b""]),
        architecture in told(&[&[0, 0], &[0, 7], &[0, 16], &[0, 33, 0, 11]]),
        features in told(&[&[19, 1, 1, 24, 1, 1], &[19, 1, 1, 36, 1, 1], &[24, 1, 1], &[]]),
        asked in prop::option::of(prop::collection::vec(any::<u8>(), 0..30)),
        size in prop::option::of(any::<u16>()),
        relay in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        id in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
    ) -> Message {
        let ip = |text: &str| text.parse::<Ipv4Addr>().expect("an address").octets();
        let mac: HardwareAddr = mac.parse().expect("a MAC");
        let [ciaddr, giaddr, requested, server] = addresses;
        let mut message = Message::of("udhcpc-discover")
            .header(0, &[op])
            .header(10, &[flags])
            .header(12, &ip(ciaddr))
            .header(24, &ip(giaddr))
            .header(28, mac.as_bytes());
        message.options = vec![(53, vec![message_type])];
        if requested != "0.0.0.0" {
            message = message.with_ip(50, requested);
        }
        if server != "0.0.0.0" {
            message = message.with_ip(54, server);
        }
        let size = size.map(|size| size.to_be_bytes().to_vec());
        for (code, data) in [
            (55, asked), (57, size), (60, class), (61, id), (77, user_class), (82, relay),
            (93, architecture), (175, features),
        ] {
            if let Some(data) = data {
                message = message.with(code, &data);
            }
        }
        message
    }
}

fn any_option() -> impl Strategy<Value = DhcpOption> {
    let addresses = || prop::collection::vec(any::<u32>().prop_map(Ipv4Addr::from), 1..70);
    prop_oneof![
        any::<u32>().prop_map(|ip| DhcpOption::SubnetMask(ip.into())),
        addresses().prop_map(DhcpOption::Router),
        addresses().prop_map(DhcpOption::DomainNameServer),
        addresses().prop_map(DhcpOption::NtpServers),
        any::<u32>().prop_map(DhcpOption::AddressLeaseTime),
        any::<u32>().prop_map(|ip| DhcpOption::ServerIdentifier(ip.into())),
        "[a-z]{1,40}".prop_map(DhcpOption::Hostname),
        "[a-z.]{1,300}".prop_map(DhcpOption::DomainName),
        prop::collection::vec(any::<u8>(), 1..300).prop_map(DhcpOption::VendorExtensions),
    ]
}

prop_compose! {
    fn any_reply()(
        message in any_message(),
        options in prop::collection::vec(any_option(), 0..8),
        boot in prop::option::of(("[a-z/.]{1,150}", any::<bool>())),
        yiaddr in any::<u32>(),
        siaddr in any::<u32>(),
    ) -> Reply {
        let request = Request::parse(&message.bytes()).expect("a message");
        let mut reply = Reply::to(&request, MessageType::Ack);
        reply.yiaddr = yiaddr.into();
        reply.siaddr = siaddr.into();
        // One of each code, as decisions make them.
        for option in options {
            let code = u8::from(OptionCode::from(&option));
            if !reply.options.iter().any(|(other, _)| other == code) {
                reply.options.push(&option);
            }
        }
        reply.boot_file = boot.map(|(name, terminated)| BootFile { name: name.into(), terminated });
        reply
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..700), state in any_state()) {
        prop_assert_eq!(exercise::dhcp_request(&bytes), Ok(()));
        decide_any(&bytes, &SITE, state);
        let _ = file_request(&bytes);
    }

    #[test]
    fn no_options_panic(
        options in prop::collection::vec(any::<u8>(), 0..500),
        file in prop::collection::vec(any::<u8>(), 128),
        state in any_state(),
    ) {
        let mut bytes = capture("udhcpc-discover")[..240].to_vec();
        bytes[108..236].copy_from_slice(&file);
        bytes.extend_from_slice(&options);
        prop_assert_eq!(exercise::dhcp_request(&bytes), Ok(()));
        prop_assert!(decide_any(&bytes, &SITE, state).is_some());
    }

    #[test]
    fn no_damaged_capture_panics(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        state in any_state(),
    ) {
        let mut bytes = which.get(&CAPTURES).clone();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        prop_assert_eq!(exercise::dhcp_request(&bytes), Ok(()));
        decide_any(&bytes, &SITE, state);
    }

    #[test]
    fn what_is_encoded_reads_back(reply in any_reply()) {
        let bytes = reply.encode();
        let back = Request::parse(&bytes).expect("own reply");
        prop_assert!(bytes.len() >= 300);
        let most = reply.max_message_size.unwrap_or(576).clamp(576, 1_500);
        prop_assert!(bytes.len() + 28 <= usize::from(most), "{} for {most}", bytes.len());
        prop_assert_eq!((back.op, back.hops, back.secs), (2, 0, 0));
        prop_assert_eq!((back.xid, back.mac, back.broadcast), (reply.xid, reply.mac, reply.broadcast));
        prop_assert_eq!((back.ciaddr, back.giaddr), (reply.ciaddr, reply.giaddr));
        prop_assert_eq!(&bytes[16..24], [reply.yiaddr.octets(), reply.siaddr.octets()].concat());
        prop_assert_eq!(back.message_type(), reply.message_type());
        let left_out = reply.left_out();
        let there = |code: OptionCode| !left_out.contains(&u8::from(code));
        for (code, written) in reply.options.iter() {
            let code = OptionCode::from(code);
            if there(code) {
                // Without code and length of each part.
                let mut expected = Vec::new();
                let mut rest = written;
                while let [_, len, tail @ ..] = rest {
                    expected.extend_from_slice(&tail[..usize::from(*len)]);
                    rest = &tail[usize::from(*len)..];
                }
                prop_assert_eq!(back.options.get(code), Some(expected.as_slice()));
            } else {
                prop_assert_eq!(back.options.get(code), None);
            }
        }
        if there(OptionCode::RelayAgentInformation) {
            prop_assert_eq!(back.relay_agent_information(), reply.relay_agent_information.as_deref());
        }
        let boot = reply.boot_file.as_ref();
        if let Some(boot) = boot.filter(|boot| boot.name.len() < 128) {
            prop_assert!(bytes[108..].starts_with(boot.name.as_bytes()));
            prop_assert_eq!(bytes[108 + boot.name.len()], 0);
        }
        // What matters most is never left out for what matters less.
        prop_assert!(there(OptionCode::MessageType));
        prop_assert!(there(OptionCode::ServerIdentifier) && there(OptionCode::AddressLeaseTime));
    }

    #[test]
    fn systems_and_strangers_get_no_boot_file(
        message in any_message(),
        state in any_state(),
        form in any_local_boot(),
    ) {
        let snapshot = changed(|hosts| hosts[0].local_boot = form);
        let bytes = message.bytes();
        let request = Request::parse(&bytes).expect("a message");
        let outcome = decide_any(&bytes, &snapshot, state).expect("a decision");
        let known = snapshot.host_by_mac(request.mac);
        let Outcome::Send { reply, .. } = outcome else { return Ok(()) };
        let Some(host) = known else {
            return Err(TestCaseError::fail("a stranger was answered"));
        };
        prop_assert_eq!(request.op, 1);
        let bytes = reply.encode();
        let back = Request::parse(&bytes).expect("own reply");
        let boots = bytes[108..236].iter().any(|byte| *byte != 0)
            && back.options.get(OptionCode::OptionOverload).is_none_or(|bits| bits[0] & 1 == 0);
        let has = |code| back.options.contains(code);
        let nak = reply.message_type() == Some(MessageType::Nak);
        if Stage::of(&request) == Stage::Os || nak {
            prop_assert!(!boots, "a boot file in `file`");
            prop_assert_eq!(reply.siaddr, Ipv4Addr::UNSPECIFIED);
            prop_assert!(!has(OptionCode::BootfileName) && !has(OptionCode::TFTPServerName));
        }
        // The reserved address, or none.
        prop_assert!([host.ip, Some(Ipv4Addr::UNSPECIFIED)].contains(&Some(reply.yiaddr)));
        prop_assert!(!nak || reply.yiaddr.is_unspecified());
        // Option 60 goes back to HTTP Boot only.
        let http = matches!(Stage::of(&request), Stage::HttpBoot { .. });
        prop_assert!(http || !has(OptionCode::ClassIdentifier));
    }

    #[test]
    fn strangers_are_never_answered(message in any_message(), state in any_state()) {
        let message = message.header(28, &[0x52, 0x54, 0, 0xff, 0xff, 0xff]);
        let request = Request::parse(&message.bytes()).expect("a message");
        let record = state.map(record);
        let facts = Facts {
            known: record.as_ref().map_or(Known::Nothing, Known::Record),
            files: &AllThere,
            fetches: None,
            held: &[],
            delivery: bootwright::decide::delivery::Delivery::default(),
            route_source: None,
            pool: None,
        };
        let decision = decide(&request, &arrival(), &SITE, &facts);
        prop_assert_eq!(decision.outcome, Outcome::Ignore);
        let expected = if request.op == 1 { Reason::UnknownHost } else { Reason::NotARequest };
        prop_assert_eq!(decision.reason, expected);
    }
}
