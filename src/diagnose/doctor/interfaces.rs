//! The interfaces that machines are served on: there, up, with addresses of the subnets, and letting everything through.

use super::{Check, Daemon, Facts, Finding, Level, Link};
use crate::config::Snapshot;
use crate::config::snapshot::Mode;

/// The datagram that every client of DHCP has to take (RFC 2131 section 2), in bytes. TFTP's blocks are made to fit
/// the interface by whoever sends them.
const LEAST_DATAGRAM: u32 = 576;

pub(super) fn judge(snapshot: &Snapshot, facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for name in &snapshot.server.interfaces {
        match facts.links.iter().find(|link| link.name == *name) {
            None => {
                let present: Vec<&str> = facts.links.iter().map(|link| &*link.name).collect();
                found.push(finding(
                    Level::Error,
                    format!(
                        "there is no interface {name}; this machine has {}",
                        present.join(", ")
                    ),
                    "correct [server] interfaces, or bring the interface up first",
                ));
            }
            Some(link) => one(snapshot, facts, link, &mut found),
        }
    }
    found.extend(addresses(snapshot, facts));
    found
}

fn finding(level: Level, what: String, remedy: impl Into<String>) -> Finding {
    Finding::new(Check::Interfaces, level, what, remedy)
}

fn one(snapshot: &Snapshot, facts: &Facts, link: &Link, found: &mut Vec<Finding>) {
    let name = &link.name;
    let before = found.len();
    if let Some(bridge) = &link.bridge {
        found.push(finding(
            Level::Error,
            format!("{name} is a port of the bridge {bridge}, which gets what comes in there"),
            format!("name {bridge} in [server] interfaces in its place"),
        ));
    }
    if !link.up {
        found.push(finding(
            Level::Error,
            format!("{name} is switched off"),
            format!("ip link set {name} up"),
        ));
    } else if link.carrier == Some(false) {
        found.push(finding(
            Level::Warning,
            format!("{name} has no link: nobody is at its other end"),
            "look at the cable and the port of the switch; a bridge has a link once one of its ports has",
        ));
    }
    let mut subnets: Vec<&str> = Vec::new();
    for subnet in &snapshot.subnets {
        let holds = |own: &ipnet::Ipv4Net| subnet.network.contains(&own.addr());
        if link.addresses.iter().any(holds) {
            subnets.push(subnet.name.as_str());
        }
    }
    let addresses: Vec<String> = link.addresses.iter().map(ToString::to_string).collect();
    if addresses.is_empty() {
        found.push(finding(
            Level::Error,
            format!("{name} has no IPv4 address"),
            match snapshot.subnets.as_slice() {
                [only] => format!(
                    "give it one of {}: ip address add {}/{} dev {name}",
                    only.name,
                    only.example_server,
                    only.network.prefix_len()
                ),
                _ => {
                    format!("give it one of a [[subnet]]: ip address add ADDRESS/PREFIX dev {name}")
                }
            },
        ));
    } else if subnets.is_empty() {
        found.push(finding(
            Level::Warning,
            format!(
                "{name} has {}, which no [[subnet]] holds: machines on this link are not answered",
                addresses.join(", ")
            ),
            "write a [[subnet]] with that network, unless only relays ask here",
        ));
    }
    if let Some(mtu) = link.mtu.filter(|mtu| *mtu < LEAST_DATAGRAM) {
        found.push(finding(
            Level::Warning,
            format!(
                "{name} sends at most {mtu} bytes at a time: replies to DHCP go out in pieces, which firmware does not put together"
            ),
            format!("ip link set {name} mtu 1500"),
        ));
    }
    bridged(facts, link, found);
    let is_relayed = |subnet: &crate::config::snapshot::Subnet| {
        let holds = |own: &ipnet::Ipv4Net| subnet.network.contains(&own.addr());
        !facts
            .links
            .iter()
            .any(|link| link.addresses.iter().any(holds))
    };
    if link.strict_paths && snapshot.subnets.iter().any(is_relayed) {
        found.push(finding(
            Level::Warning,
            format!(
                "{name} drops what comes from where it would not send to (rp_filter = 1): requests of relays, if the way back is another one"
            ),
            format!("sysctl net.ipv4.conf.{name}.rp_filter=2"),
        ));
    }
    if found.len() == before {
        found.push(Finding::ok(
            Check::Interfaces,
            format!(
                "{name} is up with {} ({})",
                addresses.join(", "),
                subnets.join(", ")
            ),
        ));
    }
}

fn bridged(facts: &Facts, link: &Link, found: &mut Vec<Finding>) {
    let name = &link.name;
    let Some(bridge) = &link.is_bridge else {
        return;
    };
    if let Some(waits) = bridge.waits {
        found.push(finding(
            Level::Warning,
            format!(
                "the bridge {name} runs spanning tree: a port forwards nothing for {} s after its machine is switched on, and firmware gives up meanwhile",
                waits.as_secs() * 2
            ),
            format!("ip link set {name} type bridge stp_state 0, where there are no loops"),
        ));
    }
    if !bridge.silent.is_empty() {
        found.push(finding(
            Level::Warning,
            format!(
                "ports of the bridge {name} forward nothing now: {}",
                bridge.silent.join(", ")
            ),
            format!("bridge link show master {name}; wait, or switch spanning tree off"),
        ));
    }
    if facts.filters_bridges && facts.rules.forwards() != Some(true) {
        found.push(finding(
            Level::Warning,
            format!(
                "what passes the bridge {name} is filtered by iptables, which may drop it (bridge-nf-call-iptables = 1)"
            ),
            "sysctl net.bridge.bridge-nf-call-iptables=0, or accept it in FORWARD",
        ));
    }
}

/// Addresses that subnets give this server, and this machine has not.
fn addresses(snapshot: &Snapshot, facts: &Facts) -> Vec<Finding> {
    let is_own = |ip| {
        let mut own = facts.links.iter().flat_map(|link| &link.addresses);
        own.any(|own| own.addr() == ip)
    };
    let subnets = snapshot.subnets.iter();
    subnets
        .filter(|subnet| subnet.mode != Mode::Off || facts.daemon != Daemon::Off)
        .filter_map(|subnet| {
            let server = subnet.server.filter(|server| !is_own(*server))?;
            Some(finding(
                Level::Warning,
                format!(
                    "`server` of the subnet {} is {server}, which this machine does not have",
                    subnet.name
                ),
                format!("give it to an interface, or leave `server` out, unless an address is translated to this machine's on the way ({server})"),
            ))
        })
        .collect()
}
