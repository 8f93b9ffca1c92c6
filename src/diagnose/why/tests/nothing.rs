//! Machines of which nothing came.

use super::*;

#[test]
fn nothing_seen_finds_the_slip_of_the_pen() {
    let stranger = |last: u8| {
        Event::new(at(0), Kind::HostUnknown, Reason::UnknownHost)
            .mac(HardwareAddr::ethernet([0x52, 0x54, 0, 0x47, 0x86, last]))
    };
    let armed = record(InstallState::Armed);
    let found = about(Some(&armed), &[], &[stranger(0x83)], 1_000);
    assert_eq!(codes(&found)[0], "mac-typo");
    assert!(
        found.causes[0].what.contains("52:54:00:47:86:83"),
        "{:?}",
        found.causes[0]
    );
    assert!(found.boot.is_none());

    let far = Event::new(at(0), Kind::DhcpIgnored, Reason::UnknownHost)
        .mac(HardwareAddr::ethernet([2, 9, 8, 7, 6, 5]));
    let found = about(Some(&armed), &[], &[far.clone(), far], 1_000);
    assert_eq!(codes(&found)[..2], ["other-mac", "no-link"]);
    assert_eq!(found.causes[0].evidence.len(), 1);

    let swapped = Event::new(at(0), Kind::HostUnknown, Reason::UnknownHost)
        .mac(HardwareAddr::ethernet([0x52, 0x54, 0, 0x86, 0x47, 0x8e]));
    assert_eq!(
        codes(&about(Some(&armed), &[], &[swapped], 1_000))[0],
        "mac-typo"
    );

    let found = about(Some(&armed), &[], &[], 1_000);
    assert_eq!(codes(&found)[0], "no-link");
}

#[test]
fn a_machine_that_was_not_restarted_is_told_so() {
    let mut armed = record(InstallState::Armed);
    armed.armed_at = Some(at(10_000_000));
    let events = whole_boot(0);
    let found = about(Some(&armed), &events, &[], 20_000_000);
    assert_eq!(codes(&found)[0], "not-restarted");
    assert!(
        found.boot.is_some(),
        "the boot before is shown all the same"
    );
    // Its system renews its address: it runs, and boots its disk first.
    let mut events = events;
    events.push(event(
        15_000_000,
        Kind::DhcpAck,
        Reason::NetworkOnly,
        "os",
        "",
    ));
    let found = about(Some(&armed), &events, &[], 20_000_000);
    assert_eq!(codes(&found)[0], "boots-its-disk-first");
}

#[test]
fn who_has_the_address_of_a_machine_that_never_came_is_told() {
    let conflict = event(
        1_000,
        Kind::DhcpConflict,
        Reason::ReservedAddressTaken,
        "",
        "",
    )
    .detail("02:00:00:00:00:09 holds 10.99.0.11");
    let found = about(Some(&record(InstallState::Armed)), &[conflict], &[], 60_000);
    let told = found.causes.last().unwrap();
    assert_eq!(told.code, "reserved-address-taken", "{found:?}");
    assert_eq!(
        told.evidence,
        ["02:00:00:00:00:09 holds 10.99.0.11, 59 s ago"]
    );
}

#[test]
fn telephones_are_no_near_misses_where_machines_boot_from_the_network() {
    let stranger = |last: u8, stage: &str| {
        let mut event = Event::new(at(0), Kind::HostUnknown, Reason::UnknownHost)
            .mac(HardwareAddr::ethernet([2, 9, 8, 7, 6, last]));
        event.stage = Some(stage.into());
        event
    };
    let others = [stranger(1, "bios"), stranger(2, "os"), stranger(1, "os")];
    let found = about(Some(&record(InstallState::Armed)), &[], &others, 60_000);
    assert_eq!(codes(&found)[0], "other-mac");
    assert_eq!(
        found.causes[0].evidence,
        ["02:09:08:07:06:01 was last seen 60 s ago"]
    );
}

#[test]
fn what_an_operator_ordered_is_no_packet_of_the_machine() {
    let mut armed = record(InstallState::Armed);
    armed.armed_at = Some(at(10_000));
    let orders = [
        event(0, Kind::InstallCancelled, Reason::Operator, "", ""),
        event(10_000, Kind::InstallArmed, Reason::Operator, "", ""),
    ];
    let found = about(Some(&armed), &orders, &[], 20_000);
    assert_eq!(codes(&found)[0], "no-link");
}

#[test]
fn strangers_are_no_cause_where_the_machine_was_seen_or_long_before() {
    let stranger = Event::new(at(5_000), Kind::HostUnknown, Reason::UnknownHost)
        .mac(HardwareAddr::ethernet([2, 9, 8, 7, 6, 5]));
    let mut armed = record(InstallState::Armed);
    armed.armed_at = Some(at(4_000));
    let others = [stranger];
    assert_eq!(
        codes(&about(Some(&armed), &[], &others, 6_000))[0],
        "other-mac"
    );
    let own = [event(0, Kind::DhcpAck, Reason::NetworkOnly, "os", "")];
    assert_eq!(
        codes(&about(Some(&armed), &own, &others, 6_000))[0],
        "not-restarted"
    );
    // One that is nearly the same may have been started before it was armed.
    armed.armed_at = Some(at(5_500));
    let near = Event::new(at(5_000), Kind::HostUnknown, Reason::UnknownHost)
        .mac(HardwareAddr::ethernet([0x52, 0x54, 0, 0x47, 0x86, 0x8d]));
    let found = about(Some(&armed), &[], &[near], 6_000);
    assert_eq!(codes(&found)[0], "mac-typo");
    assert_eq!(
        codes(&about(Some(&armed), &[], &others, 6_000))[0],
        "no-link"
    );
}

#[test]
fn a_host_that_nobody_armed_is_told_how_to_arm_it() {
    let found = about(None, &[], &[], 1_000);
    assert_eq!(codes(&found)[0], "disk/local");
    assert!(found.causes[0].remedy.contains("bootwright install web01"));
}
