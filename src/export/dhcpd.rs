//! ISC dhcpd's configuration (dhcpd.conf(5), dhcp-options(5)).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::{Entry, HEADLINE, Left, entries, options_of, seconds, without_dhcp, word};
use crate::base::HardwareAddr;
use crate::config::Snapshot;
use crate::config::option_value::OptionValue;
use crate::config::options::{self, ConfiguredOption};
use crate::config::snapshot::Subnet;

/// Options that dhcpd knows by a name, with a type that takes the form of the value.
const KNOWN: [(u8, &str); 52] = [
    (2, "time-offset"),
    (3, "routers"),
    (4, "time-servers"),
    (5, "ien116-name-servers"),
    (6, "domain-name-servers"),
    (7, "log-servers"),
    (8, "cookie-servers"),
    (9, "lpr-servers"),
    (10, "impress-servers"),
    (11, "resource-location-servers"),
    (12, "host-name"),
    (13, "boot-size"),
    (14, "merit-dump"),
    (15, "domain-name"),
    (16, "swap-server"),
    (17, "root-path"),
    (18, "extensions-path"),
    (19, "ip-forwarding"),
    (20, "non-local-source-routing"),
    (22, "max-dgram-reassembly"),
    (23, "default-ip-ttl"),
    (24, "path-mtu-aging-timeout"),
    (26, "interface-mtu"),
    (27, "all-subnets-local"),
    (28, "broadcast-address"),
    (29, "perform-mask-discovery"),
    (30, "mask-supplier"),
    (31, "router-discovery"),
    (32, "router-solicitation-address"),
    (34, "trailer-encapsulation"),
    (35, "arp-cache-timeout"),
    (36, "ieee802-3-encapsulation"),
    (37, "default-tcp-ttl"),
    (38, "tcp-keepalive-interval"),
    (39, "tcp-keepalive-garbage"),
    (40, "nis-domain"),
    (41, "nis-servers"),
    (42, "ntp-servers"),
    (44, "netbios-name-servers"),
    (45, "netbios-dd-server"),
    (46, "netbios-node-type"),
    (47, "netbios-scope"),
    (48, "font-servers"),
    (49, "x-display-manager"),
    (58, "dhcp-renewal-time"),
    (59, "dhcp-rebinding-time"),
    (64, "nisplus-domain"),
    (65, "nisplus-servers"),
    (66, "tftp-server-name"),
    (67, "bootfile-name"),
    (69, "smtp-server"),
    (119, "domain-search"),
];

/// Those that it knows under a name and takes as bytes in any case.
const BYTES: [(u8, &str); 2] = [
    (43, "vendor-encapsulated-options"),
    (60, "vendor-class-identifier"),
];

pub(super) fn write(snapshot: &Snapshot, left: &mut Vec<Left>) -> String {
    let mut text =
        format!("# {HEADLINE}\n# What machines boot: `bootwright router-config dhcpd`.\n");
    definitions(&mut text, snapshot);
    for subnet in &snapshot.subnets {
        self::subnet(&mut text, subnet, left);
    }
    let entries = entries(snapshot);
    let mut taken = BTreeSet::new();
    let mut group = None;
    let mut by_group: BTreeMap<Option<&str>, Vec<&Entry<'_>>> = BTreeMap::new();
    for entry in &entries {
        let name = entry
            .host
            .groups
            .first()
            .map(crate::base::GroupName::as_str);
        by_group.entry(name).or_default().push(entry);
    }
    for (name, entries) in by_group {
        if let Some(name) = name {
            let _ = writeln!(text, "\n# Group {name}\ngroup {{");
            group = Some(name);
        } else {
            text.push_str("\n# Hosts without a group\n");
        }
        for host in hosts(&entries, left) {
            declare(&mut text, &host, name.is_some(), &mut taken, left);
        }
        if group.take().is_some() {
            text.push_str("}\n");
        }
    }
    text
}

/// The options of which dhcpd knows no name.
fn definitions(text: &mut String, snapshot: &Snapshot) {
    let mut codes = BTreeSet::new();
    let of_hosts = snapshot.hosts().iter().flat_map(|host| host.options.iter());
    let of_subnets = snapshot
        .subnets
        .iter()
        .flat_map(|subnet| subnet.options.iter());
    for option in of_hosts.chain(of_subnets) {
        if named(option.code, &option.data).is_none() {
            codes.insert(option.code);
        }
    }
    for code in codes {
        let _ = writeln!(text, "option {} code {code} = string;", own_name(code));
    }
}

fn own_name(code: u8) -> String {
    format!("bootwright-{code}")
}

/// Name and value, where dhcpd knows the option and the bytes fit its type.
fn named(code: u8, data: &[u8]) -> Option<(&'static str, String)> {
    let bytes = BYTES.iter().find(|(known, _)| *known == code);
    if let Some((_, name)) = bytes {
        return Some((name, hex(data)));
    }
    let (_, name) = KNOWN.iter().find(|(known, _)| *known == code)?;
    let value = OptionValue::of(code, data);
    let value = match &value {
        OptionValue::Number(..) | OptionValue::Bool(_) | OptionValue::Addresses(_) => {
            value.to_string()
        }
        OptionValue::Text(text) => quoted(text),
        OptionValue::Domains(domains) => {
            let domains: Vec<String> = domains.iter().map(|domain| quoted(domain)).collect();
            domains.join(", ")
        }
        OptionValue::Bytes(_)
            if options::by_code(code).is_some_and(|(_, form)| form == options::Form::Text) =>
        {
            hex(data)
        }
        OptionValue::Routes(_) | OptionValue::Bytes(_) => return None,
    };
    Some((name, value))
}

fn hex(data: &[u8]) -> String {
    OptionValue::hex(data, ":")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn option(
    text: &mut String,
    indent: usize,
    option: &ConfiguredOption,
    whose: &str,
    left: &mut Vec<Left>,
) {
    let ConfiguredOption { code, data, force } = option;
    let _ = match named(*code, data) {
        Some((name, value)) => writeln!(text, "{:indent$}option {name} {value};", ""),
        None => writeln!(
            text,
            "{:indent$}option {} {};",
            "",
            own_name(*code),
            hex(data)
        ),
    };
    if *force {
        left.push(Left {
            what: whose.to_owned(),
            why: format!(
                "option {code} is sent by dhcpd only to machines that ask for it: `force` has no line of its own"
            ),
        });
    }
}

fn subnet(text: &mut String, subnet: &Subnet, left: &mut Vec<Left>) {
    let network = subnet.network;
    let time = seconds(subnet.lease_time);
    let _ = writeln!(
        text,
        "\n# Subnet {}\nsubnet {} netmask {} {{",
        subnet.name,
        network.network(),
        network.netmask()
    );
    for one in options_of(subnet) {
        option(text, 2, &one, &format!("subnet {}", subnet.name), left);
    }
    let _ = writeln!(
        text,
        "  default-lease-time {time};\n  max-lease-time {time};"
    );
    if let Some(pool) = subnet.leases() {
        let _ = writeln!(text, "  range {} {};", pool.first, pool.last);
    }
    text.push_str("}\n");
}

/// One declaration: dhcpd knows a hardware address once, with all of its addresses.
struct Declared<'a> {
    entry: &'a Entry<'a>,
    mac: HardwareAddr,
    ips: Vec<Ipv4Addr>,
}

fn hosts<'a>(entries: &[&'a Entry<'a>], left: &mut Vec<Left>) -> Vec<Declared<'a>> {
    let mut hosts: Vec<Declared<'_>> = Vec::new();
    let mut places: BTreeMap<HardwareAddr, usize> = BTreeMap::new();
    for entry in entries {
        if !entry.is_first && entry.ip.is_none() {
            continue;
        }
        if without_dhcp(entry, left) {
            continue;
        }
        let Some(ip) = entry.ip else { continue };
        if entry.macs.len() > 1 {
            left.push(Left {
                what: entry.told(),
                why: "its ports share an address: dhcpd has a declaration for each, and does not see which of them holds it".to_owned(),
            });
        }
        for mac in entry.macs {
            if let Some(host) = places.get(mac).and_then(|place| hosts.get_mut(*place)) {
                host.ips.push(ip);
            } else {
                places.insert(*mac, hosts.len());
                hosts.push(Declared {
                    entry,
                    mac: *mac,
                    ips: vec![ip],
                });
            }
        }
    }
    hosts
}

fn declare(
    text: &mut String,
    host: &Declared<'_>,
    in_group: bool,
    taken: &mut BTreeSet<String>,
    left: &mut Vec<Left>,
) {
    let Some(kind) = kind(&host.mac) else {
        left.push(Left {
            what: host.entry.told(),
            why: format!("dhcpd knows no hardware type {}", host.mac.htype()),
        });
        return;
    };
    let mut name = word(&host.entry.label);
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = format!("{}-{number}", word(&host.entry.label));
        number += 1;
    }
    let indent = if in_group { 2 } else { 0 };
    let ips: Vec<String> = host.ips.iter().map(ToString::to_string).collect();
    let _ = writeln!(text, "{:indent$}host {name} {{", "");
    let inner = indent + 2;
    let _ = writeln!(text, "{:inner$}hardware {kind} {};", "", host.mac);
    let _ = writeln!(text, "{:inner$}fixed-address {};", "", ips.join(", "));
    let _ = writeln!(
        text,
        "{:inner$}option host-name {};",
        "",
        quoted(host.entry.host.name.as_str())
    );
    let of = host.entry.host;
    let domain = of.domain.as_ref().filter(|domain| {
        host.entry
            .subnet
            .is_none_or(|subnet| subnet.domain.as_ref() != Some(domain))
    });
    if let Some(domain) = domain
        && of.options.iter().all(|option| option.code != 15)
    {
        let _ = writeln!(text, "{:inner$}option domain-name {};", "", quoted(domain));
    }
    for one in of.options.iter().filter(|option| option.code != 12) {
        option(text, inner, one, &host.entry.told(), left);
    }
    let _ = writeln!(text, "{:indent$}}}", "");
}

/// The hardware types of dhcpd.conf(5).
fn kind(mac: &HardwareAddr) -> Option<&'static str> {
    match mac.htype() {
        1 => Some("ethernet"),
        6 => Some("token-ring"),
        8 => Some("fddi"),
        32 => Some("infiniband"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_dhcpd_has_them() {
        for (code, data, shown) in [
            (26, &[5, 120][..], Some(("interface-mtu", "1400"))),
            (19, &[1], Some(("ip-forwarding", "true"))),
            (
                17,
                b"it's \"a\\b\"",
                Some(("root-path", "\"it's \\\"a\\\\b\\\"\"")),
            ),
            (17, b"\xff\x00", Some(("root-path", "ff:00"))),
            (
                43,
                &[6, 1, 8],
                Some(("vendor-encapsulated-options", "06:01:08")),
            ),
            (26, &[5], None),
            (224, &[1], None),
        ] {
            let shown = shown.map(|(name, value)| (name, value.to_owned()));
            assert_eq!(named(code, data), shown, "{code}");
        }
    }
}
