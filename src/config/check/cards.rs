//! Network cards: whose hardware address and whose address is whose.
//!
//! A hardware address belongs to one host. There it may stand twice, with addresses in different
//! subnets: a port that carries several VLANs.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use super::Input;
use super::networks::{Network, place_of};
use crate::base::HardwareAddr;
use crate::config::problem::Problem;
use crate::config::snapshot::Nic;
use crate::config::written::Written;
use crate::config::written::hosts::HostEntry;

fn all_macs(host: &HostEntry) -> impl Iterator<Item = &Written<HardwareAddr>> {
    let further = host.nics.iter().flat_map(|nic| &nic.macs);
    host.macs.iter().chain(further)
}

/// Every address that is reserved for a host.
pub(super) fn all_addresses(host: &HostEntry) -> impl Iterator<Item = &Written<Ipv4Addr>> {
    let further = host.nics.iter().filter_map(|nic| nic.ip.as_ref());
    host.ip.iter().chain(further)
}

/// Who has what already.
#[derive(Debug, Default)]
pub(super) struct Taken<'a> {
    macs: HashMap<HardwareAddr, (&'a HostEntry, &'a Written<HardwareAddr>)>,
    addresses: HashMap<Ipv4Addr, (&'a HostEntry, &'a Written<Ipv4Addr>)>,
}

impl<'a> Taken<'a> {
    /// Takes the hardware addresses and addresses of a host, and tells which of them are taken.
    pub(super) fn take(&mut self, host: &'a HostEntry, problems: &mut Vec<Problem>) {
        let name = &host.name.value;
        let mut told = HashSet::new();
        for mac in all_macs(host) {
            let (first, first_mac) = *self.macs.entry(mac.value).or_insert((host, mac));
            if std::ptr::eq(first, host) || !told.insert(mac.value) {
                continue;
            }
            problems.push(
                Problem::error(
                    "duplicate-mac",
                    format!(
                        "`{name}` and `{}` have the same MAC address {}",
                        first.name.value, mac.value
                    ),
                )
                .at(mac.span, format!("`{name}`"))
                .at(
                    first_mac.span,
                    format!("`{}` has it already", first.name.value),
                )
                .help("write each machine's own address"),
            );
        }
        for ip in all_addresses(host) {
            let (first, first_ip) = *self.addresses.entry(ip.value).or_insert((host, ip));
            if std::ptr::eq(first_ip, ip) {
                continue;
            }
            let problem = if std::ptr::eq(first, host) {
                Problem::error(
                    "duplicate-address",
                    format!("two network cards of `{name}` have the address {}", ip.value),
                )
                .at(ip.span, "the second one")
                .at(first_ip.span, "the first one")
                .help("give each network card an address of its own; ports that share one stand in one list, `mac = [\"…\", \"…\"]`")
            } else {
                Problem::error(
                    "duplicate-address",
                    format!(
                        "`{name}` and `{}` have the same address {}",
                        first.name.value, ip.value
                    ),
                )
                .at(ip.span, format!("`{name}`"))
                .at(
                    first_ip.span,
                    format!("`{}` has it already", first.name.value),
                )
                .help("give each host an address of its own")
            };
            problems.push(problem);
        }
    }
}

/// Whether none of a host's hardware addresses and addresses stands in these sets, which get them.
pub(super) fn are_new(
    host: &HostEntry,
    macs: &mut HashSet<HardwareAddr>,
    addresses: &mut HashSet<Ipv4Addr>,
) -> bool {
    let own_macs: HashSet<_> = all_macs(host).map(|mac| mac.value).collect();
    let own_addresses: Vec<_> = all_addresses(host).map(|ip| ip.value).collect();
    let new = own_macs.iter().all(|mac| !macs.contains(mac))
        && own_addresses.iter().all(|ip| addresses.insert(*ip));
    macs.extend(own_macs);
    new
}

/// The further network cards of a host, each in the subnet that holds its address; `None` when one of them
/// cannot be used. `first` is the subnet of the host's first network card.
pub(super) fn nics(
    host: &HostEntry,
    first: Option<usize>,
    networks: &[Network<'_>],
    input: &Input,
    problems: &mut Vec<Problem>,
) -> Option<Box<[Nic]>> {
    let mut ok = true;
    let mut earlier: Vec<(&Written<HardwareAddr>, Option<usize>)> =
        host.macs.iter().map(|mac| (mac, first)).collect();
    let mut nics = Vec::with_capacity(host.nics.len());
    for entry in &host.nics {
        let subnet = match &entry.ip {
            None => None,
            Some(ip) => {
                let place = place_of(&host.name.value, ip, networks, input, problems);
                if place.is_none() {
                    ok = false;
                    continue;
                }
                place
            }
        };
        for mac in &entry.macs {
            let same = earlier.iter().find(|(first, place)| {
                first.value == mac.value
                    && (subnet.is_none() || place.is_none() || *place == subnet)
            });
            if let Some((first, _)) = same {
                ok = false;
                problems.push(twice(host, mac, first, subnet.is_some()));
            }
        }
        earlier.extend(entry.macs.iter().map(|mac| (mac, subnet)));
        nics.push(Nic {
            macs: entry.macs.iter().map(|mac| mac.value).collect(),
            ip: entry.ip.as_ref().map(|ip| ip.value),
            subnet,
            name: entry.name.as_ref().map(|name| name.value.clone()),
            boot: entry.boot,
        });
    }
    ok.then(|| nics.into())
}

fn twice(
    host: &HostEntry,
    mac: &Written<HardwareAddr>,
    first: &Written<HardwareAddr>,
    has_address: bool,
) -> Problem {
    let (message, help) = if has_address {
        (
            format!(
                "`{}` has the MAC address {} twice in one subnet",
                host.name.value, mac.value
            ),
            "a MAC address may stand twice in a host only with addresses in different subnets (VLANs): correct one of the two",
        )
    } else {
        (
            format!(
                "`{}` has the MAC address {} twice, here without an address",
                host.name.value, mac.value
            ),
            "give this network card an `ip` in another subnet (VLAN), or take it out",
        )
    };
    Problem::error("duplicate-mac", message)
        .at(mac.span, "the second one")
        .at(first.span, "the first one")
        .help(help)
}
