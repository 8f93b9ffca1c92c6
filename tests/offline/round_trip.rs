//! What is exported and imported again are the same hosts.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use bootwright::base::HardwareAddr;
use bootwright::config::Snapshot;
use bootwright::export::{Format, ZoneSettings, export};
use bootwright::import::{Imported, Nothing, Source, csv, dhcpd, dnsmasq, kea};

use super::site::{files, in_force};

fn again(format: Format, read: impl Fn(&[Source]) -> Imported) -> (Snapshot, Imported) {
    let snapshot = in_force(&files(&[])).snapshot.clone();
    let exported = export(&snapshot, format, &ZoneSettings::default());
    let source = Source {
        name: exported.texts[0].name.clone(),
        text: exported.texts[0].text.clone(),
    };
    let imported = read(&[source]);
    (snapshot, imported)
}

/// Every hardware address with its address, of hosts that have both.
fn pairs(snapshot: &Snapshot) -> BTreeSet<(HardwareAddr, Ipv4Addr)> {
    let cards = snapshot.hosts().iter().flat_map(|host| host.cards());
    cards
        .filter_map(|card| Some((card.macs, card.ip?)))
        .flat_map(|(macs, ip)| macs.iter().map(move |mac| (*mac, ip)))
        .collect()
}

fn imported_pairs(imported: &Imported) -> BTreeSet<(HardwareAddr, Ipv4Addr)> {
    let first = imported.hosts.iter().map(|host| (&host.macs, host.ip));
    let further = imported.hosts.iter().flat_map(|host| &host.nics);
    first
        .chain(further.map(|nic| (&nic.macs, nic.ip)))
        .filter_map(|(macs, ip)| Some((macs, ip?)))
        .flat_map(|(macs, ip)| macs.iter().map(move |mac| (*mac, ip)))
        .collect()
}

/// Hosts by the hardware address of their first card.
fn names(snapshot: &Snapshot, imported: &Imported) {
    for host in snapshot.hosts() {
        let (Some(mac), Some(_)) = (host.mac(), host.ip) else {
            continue;
        };
        let found = imported
            .hosts
            .iter()
            .find(|other| other.macs.contains(&mac));
        let found = found.unwrap_or_else(|| panic!("{} is lost", host.name));
        assert_eq!(found.name, host.name);
    }
}

/// Networks with what their machines are told.
fn networks(snapshot: &Snapshot, imported: &Imported) {
    assert_eq!(imported.subnets.len(), snapshot.subnets.len());
    for subnet in &snapshot.subnets {
        let of = |other: &&bootwright::import::SubnetDraft| other.network == subnet.network;
        let found = imported.subnets.iter().find(of).unwrap();
        assert_eq!(found.router, subnet.router, "{}", subnet.name);
        assert_eq!(found.dns, subnet.dns, "{}", subnet.name);
        assert_eq!(found.ntp, subnet.ntp, "{}", subnet.name);
        assert_eq!(found.domain, subnet.domain, "{}", subnet.name);
        assert_eq!(found.dns_search, subnet.dns_search, "{}", subnet.name);
        let pools: Vec<_> = subnet
            .leases()
            .map(|pool| (pool.first, pool.last))
            .into_iter()
            .collect();
        assert_eq!(found.pools, pools, "{}", subnet.name);
    }
}

#[test]
fn by_dnsmasq() {
    let (snapshot, imported) = again(Format::Dnsmasq, |files| {
        dnsmasq::read(files, &Nothing).unwrap()
    });
    assert_eq!(imported_pairs(&imported), pairs(&snapshot));
    names(&snapshot, &imported);
    networks(&snapshot, &imported);
}

#[test]
fn by_dhcpd() {
    let (snapshot, imported) = again(Format::Dhcpd, |files| dhcpd::read(files, &Nothing).unwrap());
    assert_eq!(imported_pairs(&imported), pairs(&snapshot));
    names(&snapshot, &imported);
    networks(&snapshot, &imported);
}

#[test]
fn by_kea() {
    let (snapshot, imported) = again(Format::Kea, |files| kea::read(files, &Nothing).unwrap());
    assert_eq!(imported_pairs(&imported), pairs(&snapshot));
    networks(&snapshot, &imported);
}

/// A table has everything of a host but its options and variables.
#[test]
fn by_a_table() {
    let (snapshot, imported) = again(Format::Csv, |files| csv::read(files).unwrap());
    let left: Vec<String> = imported
        .left
        .iter()
        .map(|left| format!("{left:?}"))
        .collect();
    assert_eq!(imported.hosts.len(), snapshot.hosts().len(), "{left:?}");
    for (host, other) in snapshot.hosts().iter().zip(&imported.hosts) {
        assert_eq!(other.name, host.name);
        assert_eq!(other.macs, host.macs.to_vec());
        assert_eq!(other.ip, host.ip);
        assert_eq!(other.group.as_ref(), host.groups.first());
        assert_eq!(other.profile, host.profile);
        assert_eq!(other.uuid, host.uuid);
        assert_eq!(other.serial, host.serial);
        assert_eq!(other.loader, host.loader);
        assert_eq!(other.fqdn, host.written_fqdn);
        assert_eq!(
            other.arch.as_deref(),
            host.arch.map(bootwright::base::Architecture::as_str)
        );
        assert_eq!(other.nics.len(), host.nics.len(), "{}", host.name);
        for (nic, of) in other.nics.iter().zip(&host.nics) {
            assert_eq!(
                (&nic.macs[..], nic.ip, &nic.name),
                (&of.macs[..], of.ip, &of.name)
            );
        }
    }
}
