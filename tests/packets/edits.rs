//! Captures with one thing changed, for machines and ways that could not be captured: each test says
//! what was changed and what the machine would be.

use bootwright::decide::dhcp::{Decision, Outcome};
use bootwright::decide::{Destination, Known};
use bootwright::journal::event::{Kind, Reason};
use bootwright::record::InstallState;
use bootwright::wire::dhcp::Request;

use super::capture::{Message, show};
use super::site::{answer, answer_armed, behind_the_relay, record, snapshot};

fn file(message: &Message) -> Option<String> {
    let told = answer_armed(&message.bytes());
    told.boot_file.as_deref().map(str::to_owned)
}

/// A ROM of a network card, from the iPXE ROM's DISCOVER: no user class, no option 175, no client
/// identifier, and the parameter list that Intel's Boot Agent asks for.
fn bios_rom() -> Message {
    Message::of("ipxe-bios-rom-discover")
        .without(77)
        .without(175)
        .without(61)
        .with(
            55,
            &[
                1, 2, 3, 5, 6, 11, 12, 13, 15, 16, 17, 18, 43, 54, 60, 67, 128, 129, 130, 131, 132,
                133, 134, 135,
            ],
        )
}

#[test]
fn a_bios_rom_gets_undionly_by_tftp() {
    let decision = answer_armed(&bios_rom().bytes());
    insta::assert_snapshot!("edited-bios-rom", show(&decision));
    assert_eq!(decision.boot_file.as_deref(), Some("ipxe/undionly.kpxe"));
}

#[test]
fn an_ipxe_posing_as_firmware_is_taken_for_firmware() {
    // `set user-class PXEClient` in an iPXE: 175 is still sent.
    let posing = Message::of("ipxe-bios-rom-discover").with(77, b"PXEClient");
    assert_eq!(file(&posing).as_deref(), Some("ipxe/undionly.kpxe"));
    // FlexBoot: 175 and no 77.
    let flexboot = Message::of("ipxe-bios-rom-discover").without(77);
    assert!(file(&flexboot).is_some_and(|url| url.ends_with("/boot.ipxe")));
    // A build that writes the user class as RFC 3004 says.
    let listed = Message::of("ipxe-bios-rom-discover").with(77, b"\x04iPXE");
    assert_eq!(file(&listed), file(&flexboot));
}

#[test]
fn an_ipxe_that_lacks_something() {
    let efi = Message::of("ipxe-efi-discover");
    let features = efi
        .options
        .iter()
        .find(|(code, _)| *code == 175)
        .map(|(_, data)| data.clone())
        .expect("option 175");
    // HTTP is sub-option 19: `13 01 01`.
    let at = features
        .windows(3)
        .position(|flag| flag == [19, 1, 1])
        .expect("the flag of HTTP");
    let without_http = [&features[..at], &features[at + 3..]].concat();
    assert_eq!(
        file(&efi.clone().with(175, &without_http)).as_deref(),
        Some("52-54-00-47-86-8e/boot.ipxe")
    );
    // bzImage is sub-option 24 of BIOS builds.
    let bios = Message::of("ipxe-bios-rom-discover");
    assert_eq!(
        file(&bios.with(175, &[19, 1, 1])).as_deref(),
        Some("ipxe/ipxe.pxe")
    );
}

#[test]
fn other_architectures_in_93() {
    let pxe = |code: u8, class: &[u8]| {
        Message::of("ovmf-pxe-discover")
            .with(93, &[0, code])
            .with(60, class)
    };
    for (code, expected) in [
        (6, "ipxe/snponly-ia32.efi"),
        (7, "ipxe/snponly.efi"),
        (9, "ipxe/snponly.efi"),
        (10, "ipxe/snponly-arm32.efi"),
        (11, "ipxe/snponly-arm64.efi"),
    ] {
        assert_eq!(
            file(&pxe(code, b"PXEClient")).as_deref(),
            Some(expected),
            "{code}"
        );
    }
    // A 93 that cannot be used, as some ARM boards send, and the number in 60.
    assert_eq!(
        file(&pxe(33, b"PXEClient:Arch:00011:UNDI:003000")).as_deref(),
        Some("ipxe/snponly-arm64.efi")
    );
    let unknown = answer_armed(&pxe(33, b"PXEClient:Arch:00033:UNDI:003000").bytes());
    assert_eq!(unknown.reason, Reason::UnknownArchitecture);
    assert_eq!(unknown.kind, Kind::DhcpOffer);
    assert_eq!(unknown.stage.as_str(), "pxe");
    for (code, expected) in [
        (15, "snponly-ia32"),
        (18, "snponly-arm32"),
        (19, "snponly-arm64"),
    ] {
        let http = Message::of("ovmf-http-discover").with(93, &[0, code]);
        assert!(
            file(&http).is_some_and(|url| url.starts_with("http://") && url.contains(expected)),
            "{code}"
        );
    }
}

#[test]
fn option_55_without_67_leaves_the_boot_file_in_its_field() {
    let rom = bios_rom().with(55, &[1, 3, 6]);
    let Outcome::Send { reply, .. } = answer_armed(&rom.bytes()).outcome else {
        panic!("no answer");
    };
    let bytes = reply.encode();
    assert!(bytes[108..].starts_with(b"ipxe/undionly.kpxe\0"));
    let back = Request::parse(&bytes).expect("own reply");
    assert!(!back.options.iter().any(|(code, _)| u8::from(code) == 67));
}

fn relayed(message: &Message) -> Decision {
    let snapshot = behind_the_relay();
    let mut record = record(InstallState::Armed);
    record.ip = snapshot.host(&record.host).and_then(|host| host.ip);
    answer(&message.bytes(), &snapshot, Known::Record(&record))
}

#[test]
fn through_a_relay() {
    // giaddr set, one hop, and option 82 with sub-options out of order and one twice.
    let information = [9, 1, 8, 1, 4, 0, 7, 0, 1, 1, 2, 0, 2];
    let discover = Message::of("ovmf-pxe-discover")
        .relayed("10.50.0.1")
        .with(82, &information);
    let offer = relayed(&discover);
    insta::assert_snapshot!("edited-relayed-ovmf", show(&offer));
    let Outcome::Send { reply, to, .. } = &offer.outcome else {
        panic!("no answer");
    };
    assert_eq!(
        *to,
        Destination::Relay("10.50.0.1".parse().expect("an address"))
    );
    let back = Request::parse(&reply.encode()).expect("own reply");
    assert_eq!(back.relay_agent_information(), Some(information.as_slice()));
    // The address of another subnet in INIT-REBOOT: refused, and the relay is told to broadcast it.
    let nak = relayed(
        &Message::of("dhclient-init-reboot")
            .relayed("10.50.0.1")
            .with_ip(50, "10.99.0.16"),
    );
    insta::assert_snapshot!("edited-relayed-nak", show(&nak));
    let unknown = relayed(&discover.relayed("10.9.0.1"));
    assert_eq!(unknown.reason, Reason::UnknownRelay);
}

#[test]
fn a_client_that_overloads_its_own_fields() {
    // The message type in `file`, as option 52 says.
    let mut message = Message::of("udhcpc-discover")
        .without(53)
        .with(52, &[1])
        .header(108, &[53, 1, 1, 255]);
    message.options.rotate_right(1);
    let decision = answer_armed(&message.bytes());
    assert_eq!(decision.kind, Kind::DhcpOffer);
}

#[test]
fn another_server_was_chosen() {
    for name in ["ovmf-pxe-request", "udhcpc-request", "ipxe-efi-request"] {
        let message = Message::of(name).with_ip(54, "10.99.0.3");
        let decision = answer_armed(&message.bytes());
        assert_eq!(decision.outcome, Outcome::Ignore, "{name}");
        assert_eq!(decision.reason, Reason::OtherServer, "{name}");
    }
}

#[test]
fn decline_release_and_inform_of_a_real_client() {
    let request = Message::of("udhcpc-request");
    let told = |message: Message| answer(&message.bytes(), &snapshot(), Known::Nothing);
    let decline = told(request.clone().with(53, &[4]));
    assert_eq!(decline.reason, Reason::Declined);
    assert_eq!(decline.outcome, Outcome::Ignore);
    let release = told(
        Message::of("udhcpc-renew")
            .with(53, &[7])
            .with_ip(54, "10.99.0.2"),
    );
    assert_eq!(release.reason, Reason::Released);
    assert_eq!(release.outcome, Outcome::Ignore);
    let inform = told(Message::of("udhcpc-renew").with(53, &[8]));
    insta::assert_snapshot!("edited-udhcpc-inform", show(&inform));
}
