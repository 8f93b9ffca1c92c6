//! Beside another DHCP server: what each family of firmware is told, as whole replies, and what EDK2
//! makes of it beside the other server's offer.

use std::net::{Ipv4Addr, SocketAddrV4};

use bootwright::base::Firmware;
use bootwright::config::Snapshot;
use bootwright::config::snapshot::{LocalBoot, Mode};
use bootwright::decide::dhcp::{Decision, Outcome};
use bootwright::decide::{Destination, Known, Stage};
use bootwright::journal::event::{Kind, Reason};
use bootwright::record::{InstallState, Record};
use bootwright::wire::dhcp::{MessageType, Reply, Request};
use proptest::prelude::*;

use super::capture::{Message, capture, show};
use super::oracle::tests::{of_a_router, pxe_firmware};
use super::oracle::{Choice, Class, Offer, http_choice_with_proxy, pxe_choice};
use super::properties::{any_local_boot, any_message, any_state};
use super::site::{answer, answer_at_4011, beside, record, snapshot};

/// The address that the other server gave to the machine.
const GIVEN: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 50);
const HERE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

fn armed() -> Record {
    Record {
        ip: None,
        ..record(InstallState::Armed)
    }
}

/// The answer on DHCP's own port to a machine that is to be installed.
fn told(message: &Message) -> Decision {
    answer(&message.bytes(), &beside(), Known::Record(&armed()))
}

fn reply(decision: &Decision) -> &Reply {
    match &decision.outcome {
        Outcome::Send { reply, .. } => reply,
        Outcome::Ignore => panic!("no answer: {decision:?}"),
    }
}

fn destination(decision: &Decision) -> Destination {
    match &decision.outcome {
        Outcome::Send { to, .. } => *to,
        Outcome::Ignore => panic!("no answer: {decision:?}"),
    }
}

/// A PXE ROM of a BIOS: the capture of iPXE's, which does not say that it is iPXE.
fn bios_rom() -> Message {
    Message::of("ipxe-bios-rom-discover")
        .without(77)
        .without(175)
}

/// The second request of EDK2, when it has its address: it asks for its boot file.
fn at_4011(discover: &Message) -> Message {
    discover.clone().with(53, &[3]).header(12, &GIVEN.octets())
}

fn asked_at_4011(discover: &Message, snapshot: &Snapshot) -> Decision {
    let from = SocketAddrV4::new(GIVEN, 68);
    answer_at_4011(&at_4011(discover).bytes(), snapshot, from)
}

/// The other server's offers: of a router, and one with names of its own in it.
fn others() -> Vec<Offer> {
    let plain = of_a_router();
    let with_dns = plain.clone().with(6, &[10, 99, 0, 1]);
    [plain, with_dns]
        .iter()
        .map(|offer| Offer::read(&offer.bytes()))
        .collect()
}

#[test]
fn each_family_is_told_what_it_takes() {
    let http = Message::of("ovmf-http-discover");
    let uefi = Message::of("ovmf-pxe-discover");
    insta::assert_snapshot!("proxy-bios", show(&told(&bios_rom())));
    insta::assert_snapshot!("proxy-uefi", show(&told(&uefi)));
    insta::assert_snapshot!("proxy-http", show(&told(&http)));
    for name in ["ipxe-bios-rom", "ipxe-undionly", "ipxe-efi"] {
        let message = Message::of(&format!("{name}-discover"));
        insta::assert_snapshot!(format!("proxy-{name}"), show(&told(&message)));
    }
    insta::assert_snapshot!("proxy-uefi-4011", show(&asked_at_4011(&uefi, &beside())));
    let chosen = bios_rom().with(43, &[71, 4, 0, 1, 0, 0, 255]);
    insta::assert_snapshot!("proxy-bios-4011", show(&asked_at_4011(&chosen, &beside())));
}

#[test]
fn a_relayed_machine_is_told_by_its_relay() {
    let mut snapshot = beside();
    snapshot.subnets.swap(0, 1);
    snapshot.subnets[0].mode = Mode::Proxy;
    let relay = Ipv4Addr::new(10, 50, 0, 1);
    let relayed = Message::of("ovmf-pxe-discover").relayed("10.50.0.1");
    let decision = answer(&relayed.bytes(), &snapshot, Known::Record(&armed()));
    assert_eq!(destination(&decision), Destination::Relay(relay));
    // It has no address to be sent to.
    assert!(reply(&decision).broadcast);
}

/// EDK2 takes the address of the other server and asks here for its boot file, in whatever order the
/// offers came.
#[test]
fn uefi_asks_here_and_boots_what_it_is_told() {
    for discover in pxe_firmware() {
        let offered = told(&discover);
        assert_eq!(destination(&offered), Destination::Broadcast);
        let here = Offer::read(&reply(&offered).encode());
        assert_eq!(here.class, Some(Class::Binl { proxy: true }));
        assert_eq!(here.server, HERE);
        for other in others() {
            let rank_6 = |offer| Choice::WithProxy { rank: 6, offer };
            let both = [other.clone(), here.clone()];
            assert_eq!(pxe_choice(&both), rank_6(0));
            assert_eq!(pxe_choice(&[here.clone(), other]), rank_6(1));
        }
        let decision = asked_at_4011(&discover, &beside());
        let told = Offer::read(&reply(&decision).encode());
        assert_eq!(told.class, Some(Class::Binl { proxy: true }));
        assert_eq!(told.server, HERE);
        let file = told.boot_file.expect("a boot file");
        assert_eq!(
            Some(file),
            decision.boot_file.map(|file| file.as_bytes().to_vec())
        );
    }
}

/// Where this server gives the addresses as well: another server's option 60 sends EDK2 here.
#[test]
fn port_4011_is_answered_in_authoritative_mode_too() {
    let discover = Message::of("ovmf-pxe-discover");
    let decision = asked_at_4011(&discover, &snapshot());
    assert_eq!(
        (decision.kind, decision.reason),
        (Kind::DhcpAck, Reason::Loader)
    );
    let told = Offer::read(&reply(&decision).encode());
    assert_eq!(told.boot_file.as_deref(), Some(&b"ipxe/snponly.efi"[..]));
    assert_eq!(
        destination(&decision),
        Destination::Peer(SocketAddrV4::new(GIVEN, 68))
    );
    // From the port that it asked from.
    let bytes = at_4011(&discover).bytes();
    let from = SocketAddrV4::new(GIVEN, 4_011);
    let decision = answer_at_4011(&bytes, &snapshot(), from);
    assert_eq!(destination(&decision), Destination::Peer(from));
}

#[test]
fn http_boot_takes_the_url_of_a_proxy() {
    let decision = told(&Message::of("ovmf-http-discover"));
    let here = Offer::read(&reply(&decision).encode());
    assert_eq!(here.yiaddr, Ipv4Addr::UNSPECIFIED);
    for other in others() {
        let both = [other.clone(), here.clone()];
        assert_eq!(http_choice_with_proxy(&both), Some((3, 0, 1)));
        assert_eq!(
            http_choice_with_proxy(&[here.clone(), other.clone()]),
            Some((3, 1, 0))
        );
        assert_eq!(http_choice_with_proxy(&[other]), None);
    }
}

#[test]
fn whoever_boots_nothing_from_here_is_told_nothing() {
    let silent = |decision: Decision| {
        assert_eq!(decision.outcome, Outcome::Ignore, "{decision:?}");
        (decision.kind, decision.reason)
    };
    let told = |message: Message| silent(told(&message));
    let ignored = |reason| (Kind::DhcpIgnored, reason);
    // Systems and installers, and every message but the first.
    assert_eq!(
        told(Message::of("udhcpc-discover")),
        ignored(Reason::ProxyOnly)
    );
    for name in [
        "udhcpc-request",
        "udhcpc-renew",
        "dhclient-init-reboot",
        "ovmf-pxe-request",
        "ovmf-http-request",
        "ipxe-efi-request",
    ] {
        assert_eq!(
            told(Message::of(name)),
            ignored(Reason::ProxyOnly),
            "{name}"
        );
    }
    // A BIOS that boots its disk: it goes on to it by itself.
    let local = answer(&bios_rom().bytes(), &beside(), Known::Nothing);
    assert_eq!(silent(local), ignored(Reason::DiskLocal));
    // UEFI gets there by the loader and its script.
    let uefi = answer(&capture("ovmf-pxe-discover"), &beside(), Known::Nothing);
    assert_eq!(uefi.boot_file.as_deref(), Some("ipxe/snponly.efi"));
    let mut without = beside();
    let local_boot = |snapshot: &Snapshot| snapshot.hosts()[0].local_boot;
    assert_eq!(local_boot(&without), LocalBoot::Auto);
    // A stranger.
    let stranger = bios_rom().header(28, &[2, 0, 0, 0, 0, 9]);
    assert_eq!(told(stranger), ignored(Reason::UnknownHost));
    // Where DHCP is off nobody is told anything, at neither port.
    without.subnets[0].mode = Mode::Off;
    for name in [
        "ovmf-pxe-discover",
        "ovmf-http-discover",
        "ipxe-efi-request",
    ] {
        let off = answer(&capture(name), &without, Known::Record(&armed()));
        assert_eq!(silent(off), ignored(Reason::ModeOff), "{name}");
    }
    let uefi = Message::of("ovmf-pxe-discover");
    assert_eq!(
        silent(asked_at_4011(&uefi, &without)),
        ignored(Reason::ModeOff)
    );
    // Whom nothing is told at port 4011: systems, and what is no question.
    assert_eq!(
        silent(asked_at_4011(&Message::of("udhcpc-discover"), &beside())),
        ignored(Reason::MessageType)
    );
    let from = SocketAddrV4::new(GIVEN, 68);
    for message_type in [1, 2, 4, 5, 6, 7] {
        let message = uefi.clone().with(53, &[message_type]);
        let decision = answer_at_4011(&message.bytes(), &beside(), from);
        assert_eq!(silent(decision), ignored(Reason::MessageType));
    }
}

proptest! {
    /// No message in a proxy subnet is answered with an address, a lease, a refusal or the network's
    /// options; UEFI that is told something asks at port 4011 and nowhere else.
    #[test]
    fn nothing_of_the_other_servers_is_said(
        message in any_message(),
        state in any_state(),
        form in any_local_boot(),
        at_4011 in any::<bool>(),
        off in any::<bool>(),
    ) {
        let bytes = message.bytes();
        let Ok(request) = Request::parse(&bytes) else { return Ok(()) };
        let mut site = super::site::changed(|hosts| {
            for host in hosts {
                host.ip = None;
                host.local_boot = form;
            }
        });
        for subnet in &mut site.subnets {
            subnet.mode = if off { Mode::Off } else { Mode::Proxy };
        }
        let record = state.map(|state| Record { ip: None, ..record(state) });
        let known = record.as_ref().map_or(Known::Nothing, Known::Record);
        let decision = if at_4011 {
            answer_at_4011(&bytes, &site, SocketAddrV4::new(GIVEN, 68))
        } else {
            answer(&bytes, &site, known)
        };
        let Outcome::Send { reply, .. } = &decision.outcome else {
            prop_assert_eq!(decision.kind, Kind::DhcpIgnored);
            return Ok(());
        };
        prop_assert!(!off);
        let sent = Request::parse(&reply.encode()).expect("a message");
        prop_assert_eq!(reply.yiaddr, Ipv4Addr::UNSPECIFIED);
        for code in [1, 3, 6, 12, 15, 51, 58, 59] {
            prop_assert!(!sent.options.contains(code.into()), "{}", code);
        }
        prop_assert!(sent.server_identifier().is_some());
        prop_assert!(matches!(
            reply.message_type(),
            Some(MessageType::Offer | MessageType::Ack)
        ));
        let offer = Offer::read(&reply.encode());
        prop_assert!(offer.boot_file.is_some());
        if let Stage::Pxe { firmware: Some(firmware), .. } = Stage::of(&request)
            && firmware != Firmware::Bios
        {
            prop_assert_eq!(offer.class, Some(Class::Binl { proxy: true }));
        }
    }
}
