use std::net::SocketAddrV4;

use proptest::prelude::*;

use super::*;
use crate::decide::testing;
use crate::wire::dhcp::relay::port_id;

fn mac(n: u32) -> HardwareAddr {
    let [_, a, b, c] = n.to_be_bytes();
    HardwareAddr::ethernet([0x3c, 0xec, 0xef, a, b, c])
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn arrival(iface: &str, at: Timestamp) -> Arrival {
    Arrival {
        iface: iface.into(),
        addresses: vec!["10.99.0.2/24".parse().unwrap()].into(),
        to: Ipv4Addr::BROADCAST,
        source: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68),
        at,
    }
}

/// A DISCOVER with these options.
fn request(mac: HardwareAddr, relay: Option<[u8; 4]>, options: &[(u8, &[u8])]) -> Request {
    let mut bytes = vec![0; 240];
    bytes[..3].copy_from_slice(&[1, 1, 6]);
    bytes[24..28].copy_from_slice(&relay.unwrap_or_default());
    bytes[28..34].copy_from_slice(&mac.octets().unwrap());
    bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
    for (code, data) in [(53, &[1][..])].iter().chain(options) {
        bytes.extend_from_slice(&[*code, u8::try_from(data.len()).unwrap()]);
        bytes.extend_from_slice(data);
    }
    bytes.push(255);
    Request::parse(&bytes).unwrap()
}

fn note(strangers: &Strangers, n: u32, iface: &str, secs: f64) {
    #[expect(clippy::cast_possible_truncation, reason = "a test's time")]
    let micros = (secs * 1e6) as i64;
    let request = request(mac(n), None, &[]);
    let arrival = arrival(iface, Timestamp::from_micros(micros));
    strangers.note(&request, &arrival, Stage::of(&request));
}

fn has(strangers: &Strangers, n: u32) -> bool {
    let table = strangers.lock();
    table.known.contains_key(&mac(n)) || table.new.contains_key(&mac(n))
}

const PXE: (u8, &[u8]) = (60, b"PXEClient:Arch:00007:UNDI:003016");
const X64: (u8, &[u8]) = (93, &[0, 7]);

#[test]
fn what_packets_tell_is_put_together() {
    let strangers = Strangers::default();
    let uuid = [&[0][..], &[7; 16]].concat();
    let firmware = request(
        mac(1),
        Some([10, 20, 0, 1]),
        &[
            PXE,
            X64,
            (97, &uuid),
            (82, &[1, 6, 0, 4, 0, 12, 1, 7, 2, 3, b's', b'w', b'1']),
        ],
    );
    let note = |request: &Request, secs| {
        strangers.note(request, &arrival("br0", at(secs)), Stage::of(request));
    };
    note(&firmware, 100);
    note(&firmware, 104);
    strangers.note_identity(mac(1), None, Some(" SN-7 "));
    // Its system, a while later, tells a name and an address, and no firmware.
    let system = request(
        mac(1),
        None,
        &[(12, b"rescue\x1b[2J"), (50, &[10, 99, 0, 77])],
    );
    note(&system, 300);
    let all = strangers.all(|_| false, at(300));
    let [found] = all.as_slice() else {
        panic!("{all:?}")
    };
    assert_eq!((found.first, found.last), (at(100), at(300)));
    assert_eq!((found.times, found.packets), (2, 3));
    assert_eq!(found.stage, "uefi-x64");
    assert_eq!(found.firmware.as_deref(), Some("uefi-x64"));
    assert_eq!(found.arch, Some(Architecture::X86_64));
    assert_eq!(found.uuid, Some(Uuid::from_smbios([7; 16])));
    assert_eq!(found.serial.as_deref(), Some("SN-7"));
    assert_eq!(found.name.as_deref(), Some("rescue[2J"));
    assert_eq!(found.asks_for, Some(Ipv4Addr::new(10, 99, 0, 77)));
    // It was moved.
    assert_eq!((found.place.relay, found.place.vlan), (None, None));
    note(&firmware, 400);
    let place = &strangers.all(|_| false, at(400))[0].place;
    assert_eq!(place.relay, Some(Ipv4Addr::new(10, 20, 0, 1)));
    assert_eq!(place.circuit.as_deref(), Some("vlan 12 port 1/7"));
    assert_eq!(
        (place.remote.as_deref(), place.vlan),
        (Some("sw1"), Some(12))
    );
    // The port of a host is known by the same number.
    assert_eq!(port_id(&firmware), place.port);
    // What has a reservation by now is no stranger.
    assert_eq!(strangers.all(|mac_| mac_ == mac(1), at(400)), []);
    assert_eq!(strangers.all(|_| false, at(400)), []);
}

#[test]
fn where_it_is_tells_its_subnet() {
    let snapshot = testing::snapshot();
    let own: Vec<ipnet::Ipv4Net> = vec!["10.99.0.2/24".parse().unwrap()];
    let network = snapshot.subnets[0].network;
    let seen = |relay: Option<[u8; 4]>, asks: Option<[u8; 4]>| {
        let mut options: Vec<(u8, &[u8])> = Vec::new();
        if let Some(asks) = &asks {
            options.push((50, asks));
        }
        let request = request(mac(1), relay, &options);
        seen(&request, &arrival("br0", at(0)), Stage::Os).subnet(&snapshot, &own)
    };
    let inside = u32::from(network.network()) + 9;
    assert_eq!(seen(Some(Ipv4Addr::from(inside).octets()), None), Some(0));
    assert_eq!(seen(Some([203, 0, 113, 1]), None), None);
    assert_eq!(seen(None, None), Some(0));
    assert_eq!(seen(None, Some([203, 0, 113, 1])), Some(0));
}

#[test]
fn a_flood_pushes_out_nobody_who_was_seen_again() {
    let strangers = Strangers::default();
    for n in 0..100 {
        note(&strangers, n, "br0", 0.0);
        note(&strangers, n, "br0", 4.0);
    }
    // One that has just come, at another interface.
    note(&strangers, 200, "br1", 10.0);
    for n in 1_000..1_000 + 60_000 {
        note(&strangers, n, "br0", 10.0 + f64::from(n) / 1e5);
    }
    for n in 0..100 {
        assert!(has(&strangers, n), "{n}");
    }
    assert!(has(&strangers, 200), "of a place without a flood");
    note(&strangers, 200, "br1", 12.0);
    let told = strangers.all(|_| false, at(20)).len();
    assert_eq!(told, 101 + NEW_TOLD);
    let table = strangers.lock();
    assert_eq!((table.known.len(), table.new.len()), (101, MAX_NEW - 1));
    assert_eq!(table.counts.iter().sum::<usize>(), table.new.len());
    let waiting: usize = table.queues.iter().map(VecDeque::len).sum();
    assert!(waiting <= table.new.len() * 2 + PARTS * PARTS, "{waiting}");
}

#[test]
fn of_the_known_those_go_first_that_were_seen_least() {
    let strangers = Strangers::default();
    for time in 0..4 {
        for n in 0..10 {
            note(&strangers, n, "br0", f64::from(time) * 100.0);
        }
    }
    // Each of these is seen twice, later than all of those.
    for n in 100..100 + 6_000 {
        note(&strangers, n, "br0", 1_000.0);
        note(&strangers, n, "br0", 1_001.0);
    }
    for n in 0..10 {
        assert!(has(&strangers, n), "{n}");
    }
    let known = strangers.lock().known.len();
    assert!(
        (MAX_KNOWN - GO_AT_ONCE..=MAX_KNOWN).contains(&known),
        "{known}"
    );
}

#[test]
fn a_restart_forgets_none_that_was_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    assert_eq!(load(&path).unwrap(), []);
    let strangers = Strangers::default();
    assert_eq!(strangers.unsaved(|_| false, at(0)), None, "nothing to save");
    note(&strangers, 1, "br0", 0.0);
    note(&strangers, 1, "br0", 4.0);
    note(&strangers, 2, "br0", 4.0);
    let known = strangers.unsaved(|_| false, at(5)).unwrap();
    assert_eq!(known.len(), 1);
    save(&path, &known).unwrap();
    assert_eq!(strangers.unsaved(|_| false, at(5)), None, "it is saved");
    strangers.unsave();
    assert!(strangers.unsaved(|_| false, at(5)).is_some());

    let after = Strangers::default();
    after.restore(load(&path).unwrap());
    assert_eq!(after.all(|_| false, at(6)), known);
    note(&after, 1, "br0", 1_000.0);
    assert_eq!(after.all(|_| false, at(1_000))[0].first, at(0));
    // Nobody waits for it for ever.
    let later = at(1_000).plus(FORGET);
    assert_eq!(after.all(|_| false, later), []);

    std::fs::write(&path, "{\"format\":1,\"machines\":[{}]}").unwrap();
    assert!(load(&path).is_err());
    std::fs::write(&path, "{\"format\":9,\"machines\":[]}").unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("format 9"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_table_keeps_its_account(
        seen in prop::collection::vec((0..40_u32, 0..4_u8, 0..3_000_u32, any::<bool>()), 0..400)
    ) {
        let strangers = Strangers::default();
        let mut millis = 0;
        for (n, iface, later, reserve) in seen {
            millis += later;
            note(&strangers, n, &format!("br{iface}"), f64::from(millis) / 1e3);
            if reserve && n % 7 == 0 {
                strangers.all(|known| known == mac(n), at(0));
            }
            let table = strangers.lock();
            prop_assert_eq!(table.counts.iter().sum::<usize>(), table.new.len());
            for (part, count) in table.counts.iter().enumerate() {
                let here = table.new.values().filter(|(of, _)| *of == part).count();
                prop_assert_eq!(here, *count);
            }
            let twice = table.new.keys().any(|mac| table.known.contains_key(mac));
            prop_assert!(!twice);
            for stranger in table.known.values() {
                prop_assert!(stranger.first <= stranger.last && stranger.packets >= 2);
                prop_assert!(u64::from(stranger.times) <= stranger.packets);
            }
        }
    }
}
