//! Machines without a reservation, and free addresses.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use bootwright::base::{HardwareAddr, Timestamp};
use bootwright::decide::{Arrival, Stage};
use bootwright::journal::event::{Event, Kind, Reason};
use bootwright::serve::memory::Sighting;
use bootwright::wire::dhcp::Request;
use bootwright::wire::dhcp::relay::port_id;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::site::{Site, refusal};

/// A DISCOVER with these options.
fn discover(mac: &str, relay: [u8; 4], options: &[(u8, &[u8])]) -> Request {
    let mac: HardwareAddr = mac.parse().unwrap();
    let mut bytes = vec![0; 240];
    bytes[..3].copy_from_slice(&[1, 1, 6]);
    bytes[24..28].copy_from_slice(&relay);
    bytes[28..34].copy_from_slice(&mac.octets().unwrap());
    bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
    for (code, data) in [(53, &[1][..])].iter().chain(options) {
        bytes.extend_from_slice(&[*code, u8::try_from(data.len()).unwrap()]);
        bytes.extend_from_slice(data);
    }
    bytes.push(255);
    Request::parse(&bytes).unwrap()
}

fn comes(site: &Site, request: &Request) {
    let arrival = Arrival {
        iface: "br0".into(),
        addresses: vec!["10.99.0.2/24".parse().unwrap()].into(),
        to: Ipv4Addr::BROADCAST,
        source: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68),
        at: site.admin.ctx.now(),
    };
    let strangers = site.admin.ctx.memory.strangers();
    strangers.note(request, &arrival, Stage::of(request));
}

const UEFI: [(u8, &[u8]); 2] = [(60, b"PXEClient:Arch:00007:UNDI:003016"), (93, &[0, 7])];
const RELAY: [u8; 4] = [10, 99, 0, 1];

/// A field of each machine.
fn each<'a>(all: &'a Value, field: &str) -> Vec<&'a Value> {
    all.as_array()
        .unwrap()
        .iter()
        .map(|machine| &machine[field])
        .collect()
}

#[tokio::test]
async fn machines_that_were_seen_with_whose_they_may_be() {
    let site = Site::new();
    assert_eq!(site.get("/unknown").await, (StatusCode::OK, json!([])));
    // One digit from web01.
    let port = [1, 6, 0, 4, 0, 12, 1, 7];
    let near = discover(
        "52:54:00:47:86:8d",
        RELAY,
        &[UEFI[0], UEFI[1], (82, &port), (12, b"rescue")],
    );
    comes(&site, &near);
    site.clock.advance(Duration::from_secs(120));
    comes(&site, &near);
    comes(&site, &discover("00:00:0c:00:00:01", [0; 4], &[]));
    site.clock.advance(Duration::from_secs(1));
    comes(&site, &discover("5e:00:00:00:00:01", [10, 50, 0, 1], &[]));
    let (status, all) = site.get("/unknown").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        each(&all, "mac"),
        [
            "5e:00:00:00:00:01",
            "00:00:0c:00:00:01",
            "52:54:00:47:86:8d"
        ]
    );
    let (local, cisco, near) = (&all[0], &all[1], &all[2]);
    assert_eq!(local["locally_administered"], true);
    assert_eq!(local["relay"], "10.50.0.1");
    assert_eq!(local.get("subnet"), None);
    assert_eq!(cisco["vendor"], "Cisco Systems");
    assert_eq!(
        (&cisco["stage"], &cisco["times"]),
        (&json!("os"), &json!(1))
    );
    assert_eq!(cisco.get("like"), None);
    assert_eq!(
        (&near["vendor"], &near["virtual"]),
        (&json!("QEMU/KVM"), &json!(true))
    );
    assert_eq!(near["stage"], "uefi-x64");
    assert_eq!(near["arch"], "x86_64");
    assert_eq!(near["name"], "rescue");
    assert_eq!(
        (&near["circuit"], &near["vlan"]),
        (&json!("vlan 12 port 1/7"), &json!(12))
    );
    assert_eq!(near["subnet"], "10.99.0.0/24");
    assert_eq!((&near["times"], &near["packets"]), (&json!(2), &json!(2)));
    assert_eq!(near["first_seen"], "2027-01-15T08:00:00.000000Z");
    assert_eq!(near["last_seen"], "2027-01-15T08:02:00.000000Z");
    let likely: Vec<_> = each(&near["like"], "host");
    assert!(likely.contains(&&json!("web01")), "{near}");
    assert_eq!(near["like"][0]["how"], "one-digit");
    let why = near["like"][0]["why"].as_str().unwrap();
    assert!(why.contains("is one slip of the pen away"), "{why}");

    // A host by now.
    let known = discover("52:54:00:47:86:8e", [0; 4], &[]);
    comes(&site, &known);
    let (_, all) = site.get("/unknown").await;
    assert!(!each(&all, "mac").contains(&&json!("52:54:00:47:86:8e")));
}

#[tokio::test]
async fn a_replaced_card_is_known_by_the_port_and_only_while_the_host_is_silent() {
    let site = Site::new();
    let port = [1, 6, 0, 4, 0, 12, 1, 9];
    let options = [UEFI[0], UEFI[1], (82, &port[..])];
    // hv at its port, a while ago; then another card there.
    let ctx = &site.admin.ctx;
    let hv: HardwareAddr = "52:54:00:47:86:92".parse().unwrap();
    let of_host = discover("52:54:00:47:86:92", RELAY, &options);
    let seen = |at: Timestamp| {
        ctx.memory.note_dhcp(Sighting {
            mac: hv,
            reserved: true,
            at,
            stage: Stage::Os,
            is_ipxe: false,
            uuid: None,
            delivery: None,
            port: port_id(&of_host),
        });
    };
    seen(ctx.now());
    site.clock.advance(Duration::from_secs(3_600));
    comes(&site, &discover("02:00:00:00:00:07", RELAY, &options));
    let (_, all) = site.get("/unknown").await;
    let like = &all[0]["like"][0];
    assert_eq!(
        (&like["how"], &like["host"]),
        (&json!("port"), &json!("hv"))
    );
    assert_eq!(like["last_seen"], "2027-01-15T08:00:00.000000Z");
    // It is there as well.
    site.clock.advance(Duration::from_secs(60));
    seen(site.admin.ctx.now());
    let (_, all) = site.get("/unknown").await;
    assert_eq!(all[0].get("like"), None, "{all}");
}

#[tokio::test]
async fn after_a_restart_the_journal_tells_when_a_host_was_last_seen() {
    let site = Site::new();
    let near = discover("52:54:00:47:86:8d", [0; 4], &UEFI);
    let at = site.admin.ctx.now();
    site.admin.ctx.journal.append(
        Event::new(at, Kind::DhcpAck, Reason::Loader)
            .host("web01".parse::<bootwright::base::HostName>().unwrap()),
    );
    site.clock.advance(Duration::from_secs(60));
    comes(&site, &near);
    let (_, all) = site.get("/unknown").await;
    let likely = all[0]["like"].as_array().unwrap();
    let web01 = likely.iter().find(|like| like["host"] == "web01").unwrap();
    assert_eq!(web01["last_seen"], "2027-01-15T08:00:00.000000Z");
}

#[tokio::test]
async fn what_makes_no_sense_of_a_search_for_addresses_is_refused() {
    let site = Site::new();
    for (query, status, code) in [
        ("", StatusCode::BAD_REQUEST, "bad-request"),
        (
            "?subnet=10.99.0.0/24&count=0",
            StatusCode::BAD_REQUEST,
            "bad-request",
        ),
        (
            "?subnet=10.99.0.0/24&count=257",
            StatusCode::BAD_REQUEST,
            "bad-request",
        ),
        (
            "?subnet=10.99.0.0/24&colour=red",
            StatusCode::BAD_REQUEST,
            "bad-request",
        ),
        (
            "?subnet=10.99.0.0/24&ip=10.98.0.1",
            StatusCode::BAD_REQUEST,
            "bad-request",
        ),
        (
            "?subnet=10.98.0.0/24",
            StatusCode::NOT_FOUND,
            "unknown-subnet",
        ),
    ] {
        let (told, value) = site.get(&format!("/free{query}")).await;
        assert_eq!(told, status, "{query}");
        let (found, message, remedy) = refusal(&value);
        assert_eq!(found, code, "{query}: {message}");
        assert!(!remedy.is_empty());
    }
    // Nobody is asked about what a host has.
    let (status, value) = site.get("/free?subnet=10.99.0.0/24&ip=10.99.0.11").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(value["free"], json!([]));
    assert_eq!(value["ruled_out"][0]["by"], "reservation");
    assert_eq!(value["ruled_out"][0]["what"], "web01");
}

#[tokio::test]
async fn a_host_shows_who_else_has_its_address() {
    let site = Site::new();
    let ctx = &site.admin.ctx;
    let web01 = "web01".parse().unwrap();
    let other: HardwareAddr = "02:00:00:00:00:09".parse().unwrap();
    let ip = Ipv4Addr::new(10, 99, 0, 11);
    let (_, before) = site.get("/hosts/web01").await;
    assert_eq!(before.get("conflict"), None);
    ctx.memory
        .conflicts()
        .note(&web01, ip, Some(other), ctx.now());
    let (_, host) = site.get("/hosts/web01").await;
    assert_eq!(host["conflict"]["holder"], "02:00:00:00:00:09");
    assert_eq!(host["conflict"]["ip"], "10.99.0.11");
    ctx.memory.conflicts().note(&web01, ip, None, ctx.now());
    let (_, after) = site.get("/hosts/web01").await;
    assert_eq!(after, before);
}
