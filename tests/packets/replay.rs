//! Each capture as it came, and the reply as text.

use bootwright::decide::dhcp::Outcome;
use bootwright::journal::event::{Kind, Reason};

use super::capture::{capture, dump, folder, show};
use super::site::{answer_armed, answer_local, changed};

/// Captures of machines that are reserved.
const CLIENTS: [&str; 16] = [
    "dhclient-discover",
    "dhclient-init-reboot",
    "dhclient-request",
    "ipxe-bios-rom-discover",
    "ipxe-bios-rom-request",
    "ipxe-efi-discover",
    "ipxe-efi-request",
    "ipxe-undionly-discover",
    "ipxe-undionly-request",
    "ovmf-http-discover",
    "ovmf-http-request",
    "ovmf-pxe-discover",
    "ovmf-pxe-request",
    "udhcpc-discover",
    "udhcpc-renew",
    "udhcpc-request",
];

#[test]
fn every_capture_is_replayed() {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("the captures")
        .map(|entry| entry.expect("a file").file_name())
        .map(|name| name.to_string_lossy().trim_end_matches(".hex").to_owned())
        .filter(|name| name != "dnsmasq-offer")
        .collect();
    names.sort();
    assert_eq!(names, CLIENTS);
}

#[test]
fn replies_to_machines_that_are_to_be_installed() {
    for name in CLIENTS {
        let text = show(&answer_armed(&capture(name)));
        insta::assert_snapshot!(format!("armed-{name}"), text);
    }
}

#[test]
fn replies_to_machines_that_boot_their_disk() {
    for name in CLIENTS.iter().filter(|name| name.ends_with("discover")) {
        let text = show(&answer_local(&capture(name)));
        insta::assert_snapshot!(format!("local-{name}"), text);
    }
}

/// Byte for byte, where a whole reply is to stay as it is.
#[test]
fn exact_bytes() {
    for name in ["ovmf-pxe-discover", "ovmf-http-request", "udhcpc-request"] {
        let Outcome::Send { reply, .. } = answer_armed(&capture(name)).outcome else {
            panic!("{name} is not answered");
        };
        insta::assert_snapshot!(format!("bytes-{name}"), dump(&reply.encode()));
    }
}

#[test]
fn the_ack_repeats_what_the_offer_said() {
    for client in [
        "ipxe-bios-rom",
        "ipxe-efi",
        "ipxe-undionly",
        "ovmf-http",
        "ovmf-pxe",
    ] {
        let offer = answer_armed(&capture(&format!("{client}-discover")));
        let ack = answer_armed(&capture(&format!("{client}-request")));
        assert_eq!((offer.kind, ack.kind), (Kind::DhcpOffer, Kind::DhcpAck));
        assert!(offer.boot_file.is_some(), "{client}");
        assert_eq!(offer.boot_file, ack.boot_file, "{client}");
        assert_eq!(offer.stage, ack.stage, "{client}");
    }
}

#[test]
fn a_reservation_that_was_changed_is_refused_at_once() {
    let moved = changed(|hosts| {
        hosts[0].ip = Some(std::net::Ipv4Addr::new(10, 99, 0, 40));
        hosts[1].ip = Some(std::net::Ipv4Addr::new(10, 99, 0, 41));
    });
    for name in CLIENTS.iter().filter(|name| !name.ends_with("discover")) {
        let decision =
            super::site::answer(&capture(name), &moved, bootwright::decide::Known::Nothing);
        assert_eq!(
            (decision.kind, decision.reason),
            (Kind::DhcpNak, Reason::WrongAddress),
            "{name}"
        );
    }
}

#[test]
fn strangers_are_met_with_silence() {
    let empty = changed(Vec::clear);
    for name in CLIENTS {
        let decision =
            super::site::answer(&capture(name), &empty, bootwright::decide::Known::Nothing);
        assert_eq!(decision.outcome, Outcome::Ignore, "{name}");
        assert_eq!(decision.reason, Reason::UnknownHost, "{name}");
    }
}

#[test]
fn replies_of_another_server_are_no_requests() {
    let decision = answer_armed(&capture("dnsmasq-offer"));
    assert_eq!(decision.outcome, Outcome::Ignore);
    assert_eq!(decision.reason, Reason::NotARequest);
}
