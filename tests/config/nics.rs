//! Several network cards of one host: what they come to.

use bootwright::base::HardwareAddr;
use bootwright::config::{Snapshot, SnapshotDiff};

use crate::files::{GOOD_HOSTS, GOOD_MAIN, HOSTS, MAIN, load_all, with};

fn snapshot(hosts: &str) -> Snapshot {
    let main = format!("{GOOD_MAIN}\n[[subnet]]\nname = \"storage\"\nnetwork = \"10.98.0.0/24\"\n");
    let loaded = load_all(&with(&[(MAIN, &main), (HOSTS, hosts)]));
    assert_eq!(loaded.problems, []);
    loaded.snapshot.expect("a snapshot")
}

fn macs(texts: &[&str]) -> Vec<HardwareAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

const FIRST: &str = "52:54:00:47:86:8e";
const PORT: &str = "52:54:00:47:86:8f";
const STORAGE: &str = "52:54:00:47:86:90";
const BMC: &str = "52:54:00:47:86:91";

fn several() -> String {
    let list = format!("[\"{FIRST}\", \"{PORT}\"]");
    let hosts = GOOD_HOSTS.replace(&format!("\"{FIRST}\""), &list);
    format!(
        r#"{hosts}
[[hosts.web01.nic]]
mac  = "{STORAGE}"
ip   = "10.98.0.11"
name = "storage"

[[hosts.web01.nic]]
mac  = "{FIRST}"
ip   = "10.98.0.12"
boot = true

[[hosts.web01.nic]]
mac  = ["{BMC}"]
name = "bmc"

[[hosts.web01.nic]]
ip   = "10.98.0.13"
"#
    )
}

#[test]
fn every_card_is_the_hosts() {
    let snapshot = snapshot(&several());
    let host = &snapshot.hosts()[0];
    assert_eq!(*host.macs, macs(&[FIRST, PORT]));
    assert_eq!(host.mac(), Some(host.macs[0]));
    assert_eq!(host.all_macs(), macs(&[FIRST, PORT, STORAGE, BMC]));
    assert_eq!(host.boot_macs(), macs(&[FIRST, PORT]));
    let boots: Vec<bool> = [FIRST, PORT, STORAGE, BMC]
        .map(|mac| host.boots_by(mac.parse().unwrap()))
        .into();
    assert_eq!(boots, [true, true, false, false]);
    let cards: Vec<_> = host
        .cards()
        .map(|card| {
            let subnet = card
                .subnet
                .map(|index| snapshot.subnets[index].name.as_str());
            (card.ip.map(|ip| ip.to_string()), subnet, card.name)
        })
        .collect();
    let ip = |text: &str| Some(text.to_owned());
    assert_eq!(
        cards,
        [
            (ip("10.99.0.11"), Some("lab"), None),
            (ip("10.98.0.11"), Some("storage"), Some("storage")),
            (ip("10.98.0.12"), Some("storage"), None),
            (None, None, Some("bmc")),
            (ip("10.98.0.13"), Some("storage"), None),
        ]
    );
    for mac in host.all_macs() {
        assert_eq!(
            snapshot.host_by_mac(mac).map(|host| &host.name),
            Some(&host.name)
        );
    }
    for address in host.addresses() {
        assert_eq!(
            snapshot.host_by_ip(address).map(|host| &host.name),
            Some(&host.name)
        );
    }
    let towards = |peer: &str| {
        let subnet = snapshot.subnet_towards(host, peer.parse().unwrap());
        subnet.map(|subnet| subnet.name.as_str())
    };
    assert_eq!(towards("10.98.0.12"), Some("storage"));
    assert_eq!(towards("10.99.0.11"), Some("lab"));
    assert_eq!(towards("192.0.2.1"), Some("lab"));
}

#[test]
fn the_servers_example_address_is_no_cards() {
    let hosts =
        format!("{GOOD_HOSTS}\n[[hosts.web01.nic]]\nmac = \"{STORAGE}\"\nip = \"10.98.0.1\"\n");
    let snapshot = snapshot(&hosts);
    assert_eq!(snapshot.subnets[1].example_server.to_string(), "10.98.0.2");
}

#[test]
fn a_changed_card_is_a_changed_host() {
    let (before, after) = (snapshot(GOOD_HOSTS), snapshot(&several()));
    let text = SnapshotDiff::between(&before, &after).to_string();
    assert!(text.contains("mac ") && text.contains(" and nic"), "{text}");
}
