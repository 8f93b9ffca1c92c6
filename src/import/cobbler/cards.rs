//! The network cards of a system: bonds and bridges with the hardware addresses of their ports.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::item::{Item, Kind};
use crate::base::HardwareAddr;
use crate::config::draft::NicDraft;
use crate::import::json::{Json, Node};
use crate::import::machines::Machines;

/// A card of a system.
#[derive(Debug)]
pub(super) struct Card {
    pub nic: NicDraft,
    pub dns_name: Option<String>,
    /// The number of its VLAN.
    pub vlan: Option<u16>,
    netmask: Option<String>,
    gateway: Option<String>,
}

/// One entry of `interfaces`.
#[derive(Debug)]
struct Port<'a> {
    name: &'a str,
    node: &'a Node,
    line: usize,
    mac: Option<HardwareAddr>,
    ip: Option<Ipv4Addr>,
    kind: &'a str,
    master: Option<&'a str>,
    management: bool,
}

/// The cards of a system, the one that it boots by first: the one that is for management, else the first one that has
/// both addresses.
pub(super) fn of<'a>(system: &Item<'a>, items: &[Item<'a>], machines: &mut Machines) -> Vec<Card> {
    let inline = system
        .node
        .get("interfaces")
        .map(Node::entries)
        .unwrap_or_default()
        .iter()
        .map(|entry| (entry.key.as_str(), &entry.node));
    let uid = system.text("uid");
    let apart = items
        .iter()
        .filter(|item| item.kind == Kind::Interface)
        .filter(|item| {
            let of = item.text("system_uid");
            of.is_some() && (of == uid || of == Some(system.name))
        })
        .map(|item| (item.name, item.node));
    let ports: Vec<Port<'_>> = inline
        .chain(apart)
        .filter_map(|(name, node)| port(system, name, node, machines))
        .collect();
    let mut cards = Vec::new();
    for own in &ports {
        // A port of a bond or bridge has its address there.
        if own
            .master
            .is_some_and(|master| ports.iter().any(|other| other.name == master))
        {
            if let Some(ip) = own.ip {
                machines.left(
                    own.line,
                    format!("{} of {}: {ip}", own.name, system.name),
                    "a port has the address of its bond or bridge: this one is left out",
                );
            }
            continue;
        }
        let mut macs: Vec<HardwareAddr> = Vec::new();
        below(own.name, &ports, &mut BTreeSet::new(), &mut macs);
        if macs.is_empty() {
            macs.extend(own.mac);
        }
        let vlan = own
            .name
            .rsplit_once('.')
            .and_then(|(base, vlan)| {
                let base = ports.iter().find(|port| port.name == base)?;
                Some((base, vlan.parse::<u16>().ok()?))
            })
            .filter(|(_, vlan)| (1..4095).contains(vlan));
        if let Some((base, _)) = vlan.filter(|_| macs.is_empty()) {
            below(base.name, &ports, &mut BTreeSet::new(), &mut macs);
            if macs.is_empty() {
                macs.extend(base.mac);
            }
        }
        if macs.is_empty() && own.ip.is_none() {
            continue;
        }
        let text = |key: &str| text_of(own.node, key).map(str::to_owned);
        cards.push((
            own.management,
            Card {
                nic: NicDraft {
                    macs,
                    ip: own.ip,
                    name: Some(own.name.to_owned()).filter(|name| name != "default"),
                },
                dns_name: text("dns_name"),
                vlan: vlan.map(|(_, vlan)| vlan),
                netmask: text("netmask").or_else(|| text("subnet")),
                gateway: text("if_gateway"),
            },
        ));
    }
    let whole = |card: &Card| !card.nic.macs.is_empty() && card.nic.ip.is_some();
    let first = cards
        .iter()
        .position(|(management, card)| *management && whole(card))
        .or_else(|| cards.iter().position(|(_, card)| whole(card)))
        .or_else(|| cards.iter().position(|(_, card)| card.nic.ip.is_some()));
    let mut cards: Vec<Card> = cards.into_iter().map(|(_, card)| card).collect();
    if let Some(first) = first {
        cards.get_mut(..=first).unwrap_or_default().rotate_right(1);
    }
    cards
}

fn port<'a>(
    system: &Item<'_>,
    name: &'a str,
    node: &'a Node,
    machines: &mut Machines,
) -> Option<Port<'a>> {
    let line = node.line;
    let kind = text_of(node, "interface_type")
        .or_else(|| text_of(node, "bonding"))
        .unwrap_or("na");
    if kind == "bmc" {
        machines.left(
            line,
            format!("{name} of {}", system.name),
            "the management controller boots nothing: it needs no reservation here",
        );
        return None;
    }
    let mac = text_of(node, "mac_address").and_then(|mac| {
        if mac == "random" {
            machines.left(
                line,
                format!("{name} of {}: mac_address random", system.name),
                "its hardware address is made when the machine is: `bootwright bind` tells it then",
            );
            return None;
        }
        machines.mac(line, mac)
    });
    let ip = text_of(node, "ip_address").and_then(|ip| machines.address(line, ip));
    if let Some(ipv6) = text_of(node, "ipv6_address") {
        machines.left(
            line,
            format!("{name} of {}: {ipv6}", system.name),
            "machines are booted over IPv4",
        );
    }
    for key in ["static_routes", "dhcp_tag"] {
        if let Some(node) = node.get(key).filter(|node| !node.is_empty()) {
            machines.left(
                node.line,
                format!("{key} of {name} of {}: {}", system.name, node.shown()),
                "write it as `options` of the host or its [[subnet]] where machines need it",
            );
        }
    }
    Some(Port {
        name,
        node,
        line,
        mac,
        ip,
        kind,
        master: text_of(node, "interface_master").or_else(|| text_of(node, "bonding_master")),
        management: node
            .get("management")
            .is_some_and(|node| node.value == Json::Bool(true)),
    })
}

/// The hardware addresses of the ports below a bond or bridge, at any depth.
fn below<'p>(
    master: &'p str,
    ports: &'p [Port<'_>],
    seen: &mut BTreeSet<&'p str>,
    macs: &mut Vec<HardwareAddr>,
) {
    if !seen.insert(master) {
        return;
    }
    for port in ports.iter().filter(|port| port.master == Some(master)) {
        let before = macs.len();
        below(port.name, ports, seen, macs);
        // A bond in a bridge has no address of its own.
        if macs.len() == before || !matches!(port.kind, "bonded_bridge_slave") {
            macs.extend(port.mac.filter(|mac| !macs.contains(mac)));
        }
    }
}

/// The networks that the cards' addresses lie in.
pub(super) fn subnets(system: &Item<'_>, cards: &[Card], machines: &mut Machines) {
    let gateway = system.text("gateway").and_then(|text| text.parse().ok());
    let dns: Vec<Ipv4Addr> = system
        .own("name_servers")
        .map(|node| match &node.value {
            Json::Text(text) => text
                .split([' ', ','])
                .filter_map(|text| text.parse().ok())
                .collect(),
            _ => node
                .elements()
                .iter()
                .filter_map(|node| node.text()?.parse().ok())
                .collect(),
        })
        .unwrap_or_default();
    for card in cards {
        let Some(network) = card
            .nic
            .ip
            .zip(card.netmask.as_deref())
            .and_then(|(ip, mask)| {
                let net = match mask.parse::<Ipv4Addr>() {
                    Ok(mask) => Ipv4Net::with_netmask(ip, mask).ok()?,
                    Err(_) => Ipv4Net::new(ip, mask.trim_start_matches('/').parse().ok()?).ok()?,
                };
                Some(net.trunc()).filter(|net| (1..31).contains(&net.prefix_len()))
            })
        else {
            continue;
        };
        let own = card.gateway.as_deref().and_then(|text| text.parse().ok());
        let router = own
            .or(gateway)
            .filter(|router: &Ipv4Addr| network.contains(router));
        machines.subnet(network, router, &dns, None);
    }
}

fn text_of<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.get(key)?
        .text()
        .map(str::trim)
        .filter(|text| !text.is_empty() && *text != "<<inherit>>")
}
