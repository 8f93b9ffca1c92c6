//! The machine identifier (option 97): echoed, and a second key that gives nothing by itself.

use super::*;
use crate::base::Uuid;

const RAW: [u8; 17] = [0, 0, 0, 0xe0, 0xe2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

fn uuid() -> Uuid {
    Uuid::from_smbios(RAW[1..].try_into().expect("16 bytes"))
}

fn identifier(decision: &Decision) -> Option<Vec<u8>> {
    let bytes = sent(decision).0.encode();
    crate::wire::dhcp::options::encapsulated(&bytes[240..])
        .find(|(code, _)| *code == 97)
        .map(|(_, data)| data.to_vec())
}

#[test]
fn it_goes_back_to_whoever_boots() {
    // Whether it is asked for or not, and whatever its type is.
    for raw in [&RAW[..], &[7, 1, 2]] {
        for ask in [
            Ask::new(1).bios(),
            Ask::new(1).uefi().with(55, &[1, 3, 67]),
            Ask::new(1).http_boot(),
            Ask::new(1).ipxe(&[19, 1, 1, 24, 1, 1]),
            Ask::new(3).bios().with_ip(50, "10.99.0.11"),
        ] {
            assert_eq!(
                identifier(&answer(&ask.with(97, raw))).as_deref(),
                Some(raw)
            );
        }
    }
    assert_eq!(identifier(&answer(&Ask::new(1).bios())), None);
    assert_eq!(identifier(&answer(&Ask::new(1).with(97, &RAW))), None);
    let nak = Ask::new(3).bios().with_ip(50, "10.99.0.99");
    assert_eq!(identifier(&answer(&nak.with(97, &RAW))), None);
}

#[test]
fn a_stranger_with_the_uuid_of_a_host_is_named_and_not_answered() {
    let snapshot = testing::changed(|hosts| hosts[0].uuid = Some(uuid()));
    let ask = Ask {
        mac: "52:54:00:ff:ff:ff",
        ..Ask::new(1).uefi().with(97, &RAW)
    };
    let of = |snapshot: &Snapshot| answer_with(&ask, snapshot, Known::Nothing, &AllThere);
    let told = of(&snapshot);
    is_silent(&told, Reason::UnknownHost);
    assert_eq!(told.host, None);
    assert_eq!(
        told.detail.as_deref(),
        Some(
            "its UUID is that of web01; if it is that machine, add 52:54:00:ff:ff:ff to mac of web01"
        )
    );
    // Two hosts with one UUID: it may be anybody's.
    let both = testing::changed(|hosts| {
        for host in hosts {
            host.uuid = Some(uuid());
        }
    });
    assert_eq!(of(&both).detail, None);
    assert_eq!(of(&testing::snapshot()).detail, None);
}

/// Firmware of one vendor that writes the same UUID into every board.
#[test]
fn the_hardware_address_wins_over_the_uuid() {
    let snapshot = testing::changed(|hosts| hosts[1].uuid = Some(uuid()));
    let ask = Ask::new(1).uefi().with(97, &RAW);
    let told = answer_with(&ask, &snapshot, Known::Nothing, &AllThere);
    assert_eq!(
        told.host.map(|host| host.to_string()).as_deref(),
        Some("web01")
    );
}

/// A lean iPXE that is given a fuller one, which is no better: the loop ends like any other.
#[test]
fn a_fuller_ipxe_that_is_none_is_a_loop_too() {
    let armed = armed();
    let told = |features: &[u8], fetched: &[i64]| {
        let mut fetches = Fetches::default();
        for secs in fetched {
            fetches.note("ipxe/ipxe.pxe", Timestamp::from_secs(-secs));
        }
        fetches.ran = true;
        let facts = Facts {
            known: Known::Record(&armed),
            files: &AllThere,
            fetches: Some(&fetches),
            route_source: None,
        };
        let ask = Ask::new(1).ipxe(features);
        decide(
            &ask.request(),
            &arrival(ask.to),
            &testing::snapshot(),
            &facts,
        )
    };
    let second = told(&[19, 1, 1], &[30, 20]);
    assert_eq!(second.boot_file.as_deref(), Some("ipxe/ipxe.pxe"));
    assert_eq!(second.loader, second.boot_file);
    // By the way that it can fetch it.
    let script = "http://10.99.0.2:8080/boot/52-54-00-47-86-8e/boot.ipxe";
    for (features, file) in [
        (&[19, 1, 1][..], script),
        (&[21, 1, 1], "52-54-00-47-86-8e/boot.ipxe"),
    ] {
        let third = told(features, &[30, 20, 10]);
        is(&third, Kind::DhcpOffer, Reason::LoopScript, link());
        assert_eq!(third.boot_file.as_deref(), Some(file));
        assert_eq!(third.looped, Some(Reason::LoopScript));
        let detail = third.detail.expect("a detail");
        assert!(
            detail.ends_with("3 times and iPXE never asked for its script"),
            "{detail}"
        );
    }
}
