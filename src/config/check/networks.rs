//! Subnets: names, networks, and whose addresses are whose.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::Input;
use super::cards::all_addresses;
use crate::base::{HostName, SubnetName, suggest};
use crate::config::problem::Problem;
use crate::config::snapshot::{Mode, Server, Subnet, Unknown};
use crate::config::source::Span;
use crate::config::table::list_words;
use crate::config::written::Written;
use crate::config::written::hosts::HostEntry;
use crate::config::written::server::SubnetEntry;

/// A subnet whose network is known.
pub(super) struct Network<'a> {
    pub(super) entry: &'a SubnetEntry,
    pub(super) net: Ipv4Net,
    pub(super) name: SubnetName,
}

impl Network<'_> {
    pub(super) fn span(&self) -> Span {
        self.entry
            .network
            .as_ref()
            .map_or(self.entry.header, |network| network.span)
    }

    pub(super) fn mode(&self) -> Mode {
        self.entry
            .mode
            .as_ref()
            .map_or_else(Mode::default, |mode| mode.value)
    }

    /// Whether the address is the network's own or its broadcast address. Networks of one or two
    /// addresses have neither (RFC 3021).
    pub(super) fn is_edge(&self, ip: Ipv4Addr) -> bool {
        self.net.prefix_len() < 31 && (ip == self.net.network() || ip == self.net.broadcast())
    }

    pub(super) fn edge_name(&self, ip: Ipv4Addr) -> &'static str {
        if ip == self.net.network() {
            "network address"
        } else {
            "broadcast address"
        }
    }
}

pub(super) fn networks<'a>(input: &'a Input, problems: &mut Vec<Problem>) -> Vec<Network<'a>> {
    if !input.server.has_subnets && !input.server_unsure {
        problems.push(
            Problem::error("no-subnet", "there is no [[subnet]]: no machine would be answered")
                .at(input.main_span, "")
                .help("add [[subnet]] with `network = \"10.99.0.0/24\"`: the network that the machines are in"),
        );
    }
    let mut networks: Vec<Network<'_>> = Vec::new();
    for entry in &input.server.subnets {
        let Some(network) = &entry.network else {
            continue;
        };
        let net = network.value;
        let name = match &entry.name {
            Some(name) => name.value.clone(),
            None => match net.to_string().parse() {
                Ok(name) => name,
                Err(_) => continue,
            },
        };
        let subnet = Network { entry, net, name };
        for first in &networks {
            if first.name == subnet.name && first.net != net {
                let place = |network: &Network<'_>| {
                    network
                        .entry
                        .name
                        .as_ref()
                        .map_or_else(|| network.span(), |name| name.span)
                };
                problems.push(
                    Problem::error(
                        "duplicate-subnet",
                        format!("two subnets have the name `{}`", first.name),
                    )
                    .at(place(&subnet), "the second one")
                    .at(place(first), "the first one")
                    .help("give each subnet a name of its own"),
                );
            }
            if first.net.contains(&net) || net.contains(&first.net) {
                let (message, help) = if first.net == net {
                    (
                        format!("the network {net} stands in two subnets"),
                        "keep one of the two",
                    )
                } else {
                    (
                        format!("the networks {net} and {} overlap", first.net),
                        "an address must belong to one subnet: correct one of the prefix lengths",
                    )
                };
                problems.push(
                    Problem::error("overlapping-subnets", message)
                        .at(subnet.span(), "this network")
                        .at(first.span(), "overlaps with this one")
                        .help(help),
                );
            }
        }
        own_addresses(&subnet, problems);
        networks.push(subnet);
    }
    networks
}

/// The router lies in the network; neither it nor the server has the network's own address.
pub(super) fn own_addresses(subnet: &Network<'_>, problems: &mut Vec<Problem>) {
    if let Some(router) = &subnet.entry.router
        && !subnet.net.contains(&router.value)
    {
        problems.push(
            Problem::error(
                "router-outside",
                format!(
                    "the router {} is outside of its network {}",
                    router.value, subnet.net
                ),
            )
            .at(router.span, "outside")
            .at(subnet.span(), "the network")
            .help("machines reach only a router of their own network: write its address there"),
        );
    }
    // Behind a relay the server is elsewhere, which takes a router.
    if let (Some(server), None) = (&subnet.entry.server, &subnet.entry.router)
        && !subnet.net.contains(&server.value)
    {
        problems.push(
            Problem::warning(
                "server-outside",
                format!(
                    "the server {} is outside of the network {}, which has no router: no machine there reaches it",
                    server.value, subnet.net
                ),
            )
            .at(server.span, "outside")
            .at(subnet.span(), "the network")
            .help("write the address that this server has in that network, or leave `server` out; a network behind a relay needs its `router`"),
        );
    }
    for (what, address) in [
        ("router", &subnet.entry.router),
        ("server", &subnet.entry.server),
    ] {
        if let Some(address) = address
            && subnet.net.contains(&address.value)
            && subnet.is_edge(address.value)
        {
            problems.push(
                Problem::error(
                    "reserved-address",
                    format!(
                        "`{what}` is the {} of {}",
                        subnet.edge_name(address.value),
                        subnet.net
                    ),
                )
                .at(address.span, "no machine can have this address")
                .help(format!(
                    "the addresses of machines are {}",
                    usable(subnet.net)
                )),
            );
        }
    }
}

/// `10.99.0.1 to 10.99.0.254`.
pub(super) fn usable(net: Ipv4Net) -> String {
    let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
    let edge = u32::from(net.prefix_len() < 31);
    format!(
        "{} to {}",
        Ipv4Addr::from(first + edge),
        Ipv4Addr::from(last - edge)
    )
}

pub(super) fn subnets(
    networks: &[Network<'_>],
    hosts: &[&HostEntry],
    server: &Server,
    unknown: Unknown,
) -> Vec<Subnet> {
    // Only an example has to be found free.
    let wanted = networks.iter().any(|subnet| subnet.entry.server.is_none());
    let hosts = if wanted { hosts } else { &[] };
    let mut taken: HashSet<Ipv4Addr> = hosts
        .iter()
        .flat_map(|host| all_addresses(host))
        .map(|ip| ip.value)
        .collect();
    for subnet in networks {
        taken.extend(subnet.entry.router.iter().map(|router| router.value));
        taken.extend(&subnet.entry.dns);
        taken.extend(&subnet.entry.ntp);
        taken.extend(&subnet.entry.nat);
    }
    networks
        .iter()
        .map(|subnet| {
            let entry = subnet.entry;
            let written = entry.server.as_ref().map(|server| server.value);
            Subnet {
                name: subnet.name.clone(),
                network: subnet.net,
                server: written,
                example_server: written.unwrap_or_else(|| {
                    // `hosts` leaves out the network's own and its broadcast address.
                    let pool = entry.pool.as_ref().map(|pool| pool.value);
                    let mut hosts = subnet.net.hosts();
                    hosts
                        .find(|ip| {
                            !taken.contains(ip) && !pool.is_some_and(|pool| pool.contains(*ip))
                        })
                        .unwrap_or_else(|| subnet.net.addr())
                }),
                router: entry.router.as_ref().map(|router| router.value),
                dns: entry.dns.clone(),
                ntp: entry.ntp.clone(),
                domain: entry
                    .domain
                    .as_ref()
                    .map(|domain| domain.value.clone())
                    .or_else(|| server.domain.clone()),
                lease_time: entry
                    .lease_time
                    .as_ref()
                    .map_or(server.lease_time, |time| time.value),
                nat: entry.nat.clone(),
                dns_search: entry.dns_search.clone(),
                mode: subnet.mode(),
                unknown: entry
                    .unknown
                    .as_ref()
                    .map_or(unknown, |unknown| unknown.value),
                pool: entry.pool.as_ref().map(|pool| pool.value),
                secure_boot: entry.secure_boot.as_ref().map(|flag| flag.value),
                options: entry
                    .options
                    .iter()
                    .map(|option| option.value.clone())
                    .collect(),
                span: Some(entry.header),
            }
        })
        .collect()
}

/// The subnet of a host: index into the networks.
pub(super) fn place(
    host: &HostEntry,
    networks: &[Network<'_>],
    input: &Input,
    problems: &mut Vec<Problem>,
) -> Option<usize> {
    let Some(ip) = host.ip.as_ref() else {
        return named(host, networks, input, problems);
    };
    let name = &host.name.value;
    let index = place_of(name, ip, networks, input, problems)?;
    let subnet = networks.get(index)?;
    if let Some(written) = &host.subnet
        && let Some(wanted) = by_name(written, networks, input, problems)
        && wanted != index
    {
        problems.push(
            Problem::error(
                "another-subnet",
                format!(
                    "the address {} of `{name}` is not of the subnet `{}`",
                    ip.value, written.value
                ),
            )
            .at(ip.span, format!("an address of `{}`", subnet.name))
            .at(written.span, "the subnet that is named")
            .help("correct one of the two; with `ip` the subnet need not be named"),
        );
        return None;
    }
    Some(index)
}

/// The subnet of an address that is reserved for a host.
pub(super) fn place_of(
    name: &HostName,
    ip: &Written<Ipv4Addr>,
    networks: &[Network<'_>],
    input: &Input,
    problems: &mut Vec<Problem>,
) -> Option<usize> {
    let found = networks
        .iter()
        .position(|subnet| subnet.net.contains(&ip.value));
    let Some(index) = found else {
        let sure = !networks.is_empty()
            && !input.server_unsure
            && networks.len() == input.server.subnets.len();
        if sure {
            let known = networks
                .iter()
                .take(8)
                .map(|subnet| subnet.net.to_string())
                .collect::<Vec<_>>()
                .join(", ");
            problems.push(
                Problem::error(
                    "outside-subnets",
                    format!(
                        "the address {} of `{name}` is outside of every subnet",
                        ip.value
                    ),
                )
                .at(ip.span, "in no [[subnet]]")
                .help(format!(
                    "the {} {known}: correct the address, or add a [[subnet]] to {}",
                    if networks.len() == 1 {
                        "network is"
                    } else {
                        "networks are"
                    },
                    input.main.display()
                )),
            );
        }
        return None;
    };
    let subnet = networks.get(index)?;
    if subnet.is_edge(ip.value) {
        problems.push(
            Problem::error(
                "reserved-address",
                format!(
                    "the address {} of `{name}` is the {} of {}",
                    ip.value,
                    subnet.edge_name(ip.value),
                    subnet.net
                ),
            )
            .at(ip.span, "no machine can have this address")
            .help(format!(
                "the addresses of machines are {}",
                usable(subnet.net)
            )),
        );
        return None;
    }
    for other in networks {
        for (whose, address) in [
            ("server", &other.entry.server),
            ("router", &other.entry.router),
        ] {
            if let Some(address) = address
                && address.value == ip.value
            {
                problems.push(
                    Problem::error(
                        "reserved-address",
                        format!("the address {} of `{name}` is the {whose}'s", ip.value),
                    )
                    .at(ip.span, format!("the address of the {whose}"))
                    .at(
                        address.span,
                        format!("the {whose} of subnet `{}`", other.name),
                    )
                    .help(format!(
                        "give `{name}` another address, or leave the {whose} out of the hosts"
                    )),
                );
                return None;
            }
        }
    }
    Some(index)
}

/// The subnet of a host without an address: the one that it names, where another server gives the
/// addresses.
fn named(
    host: &HostEntry,
    networks: &[Network<'_>],
    input: &Input,
    problems: &mut Vec<Problem>,
) -> Option<usize> {
    let written = host.subnet.as_ref()?;
    let index = by_name(written, networks, input, problems)?;
    let subnet = networks.get(index)?;
    // An address that could not be read has its own problem.
    if subnet.mode().gives_addresses() && host.layer.ok {
        problems.push(
            Problem::error(
                "no-address",
                format!(
                    "`{}` has no `ip`, and this server gives the addresses in `{}`",
                    host.name.value, subnet.name
                ),
            )
            .at(written.span, "here it needs an address")
            .at(subnet.span(), "this subnet has mode = \"authoritative\"")
            .help("write the address that is reserved for it, such as `ip = \"10.99.0.11\"`; only where `mode` is \"proxy\" or \"off\" it may be left out"),
        );
        return None;
    }
    Some(index)
}

/// The subnet of this name, as an index into the networks.
fn by_name(
    written: &Written<SubnetName>,
    networks: &[Network<'_>],
    input: &Input,
    problems: &mut Vec<Problem>,
) -> Option<usize> {
    let found = networks
        .iter()
        .position(|subnet| subnet.name == written.value);
    let sure = !input.server_unsure && networks.len() == input.server.subnets.len();
    if found.is_none() && sure {
        let names = networks.iter().map(|subnet| subnet.name.as_str());
        let nearest = suggest::nearest(written.value.as_str(), names.clone());
        let help = match nearest {
            Some(nearest) => format!("did you mean \"{nearest}\"?"),
            None => format!(
                "{} has {}",
                input.main.display(),
                list_words(names.take(8), "and")
            ),
        };
        problems.push(
            Problem::error(
                "unknown-subnet",
                format!("there is no subnet `{}`", written.value),
            )
            .at(written.span, "unknown subnet")
            .suggest_text(written.span, nearest)
            .help(help),
        );
    }
    found
}

/// Options of a host's own where another server gives the options: they are never sent.
pub(super) fn own_options(host: &HostEntry, networks: &[Network<'_>], problems: &mut Vec<Problem>) {
    let Some(option) = host.layer.options.first() else {
        return;
    };
    let gives = |ip: Ipv4Addr| {
        let mut all = networks.iter();
        all.any(|subnet| subnet.net.contains(&ip) && subnet.mode().gives_addresses())
    };
    if all_addresses(host).any(|ip| gives(ip.value)) {
        return;
    }
    let subnet = networks
        .iter()
        .find(|subnet| match (&host.ip, &host.subnet) {
            (Some(ip), _) => subnet.net.contains(&ip.value),
            (None, Some(name)) => subnet.name == name.value,
            (None, None) => false,
        });
    if let Some(subnet) = subnet.filter(|subnet| !subnet.mode().gives_addresses()) {
        problems.push(
            Problem::error(
                "no-addresses-here",
                format!(
                    "the `options` of `{}` would never be sent: `{}` has mode = \"{}\"",
                    host.name.value,
                    subnet.name,
                    subnet.mode().as_str()
                ),
            )
            .at(option.span, "the other DHCP server's business")
            .at(
                subnet.span(),
                "another server gives addresses and options here",
            )
            .help("take them out, and set them on the DHCP server that gives the addresses"),
        );
    }
}
