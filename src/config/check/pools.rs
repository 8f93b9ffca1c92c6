//! Pools: whose addresses must not be in them, and who is to get them; the profile for discovery.

use std::net::Ipv4Addr;

use super::Input;
use super::cards::all_addresses;
use super::hosts::Lookups;
use super::networks::{Network, usable};
use super::profiles::lifecycle_of;
use crate::base::{Lifecycle, ProfileName, pace};
use crate::config::problem::Problem;
use crate::config::snapshot::{Mode, Pool, Subnet, Unknown};
use crate::config::source::Span;
use crate::config::written::Written;
use crate::config::written::hosts::HostEntry;
use crate::config::written::server::ServerFile;

/// The discovery profile where the file names none.
const DISCOVERY: &str = "discovery";

/// What machines are discovered with.
pub(super) fn discovery_profile(written: &ServerFile) -> Option<ProfileName> {
    match &written.discovery_profile {
        Some(name) => Some(name.value.clone()),
        None => DISCOVERY.parse().ok(),
    }
}

/// Holds each pool against the addresses that are somebody's, and against `unknown`.
pub(super) fn pools(
    networks: &[Network<'_>],
    subnets: &[Subnet],
    hosts: &[&HostEntry],
    server: &ServerFile,
    problems: &mut Vec<Problem>,
) {
    for (network, subnet) in networks.iter().zip(subnets) {
        let entry = network.entry;
        let Some(pool) = &entry.pool else {
            without_pool(network, subnet, problems);
            continue;
        };
        if subnet.unknown == Unknown::Ignore {
            let ignored = entry.unknown.as_ref().or(server.unknown.as_ref());
            let mut problem = Problem::error(
                "unused-pool",
                format!("the pool of {} is given to nobody", network.name),
            )
            .at(pool.span, "for machines without a reservation")
            .help(
                "write `unknown = \"lease\"` or `unknown = \"discover\"` in this [[subnet]] or in [dhcp], or leave `pool` out",
            );
            if let Some(unknown) = ignored {
                problem = problem.at(unknown.span, "and those are ignored");
            }
            problems.push(problem);
        }
        if !inside(network, pool, problems) {
            continue;
        }
        for (whose, address, span) in networks.iter().flat_map(addresses) {
            if pool.value.contains(address) {
                holds(pool.value, pool.span, whose, address, span, problems);
            }
        }
        for (count, host) in hosts.iter().enumerate() {
            pace::give_way(count);
            for ip in all_addresses(host).filter(|ip| pool.value.contains(ip.value)) {
                let whose = format!("`{}`", host.name.value);
                holds(
                    pool.value,
                    pool.span,
                    &whose,
                    ip.value,
                    Some(ip.span),
                    problems,
                );
            }
        }
    }
}

fn inside(network: &Network<'_>, pool: &Written<Pool>, problems: &mut Vec<Problem>) -> bool {
    let Pool { first, last } = pool.value;
    let net = network.net;
    let bad = [first, last]
        .into_iter()
        .find(|ip| !net.contains(ip) || network.is_edge(*ip));
    let Some(bad) = bad else {
        return true;
    };
    let (message, label) = if net.contains(&bad) {
        let edge = network.edge_name(bad);
        (
            format!("the pool {} holds the {edge} of {net}", pool.value),
            "no machine can have one of these addresses",
        )
    } else {
        (
            format!("the pool {} is not inside of its network {net}", pool.value),
            "outside",
        )
    };
    problems.push(
        Problem::error("pool-outside", message)
            .at(pool.span, label)
            .at(network.span(), "the network")
            .help(format!("the addresses of machines are {}", usable(net))),
    );
    false
}

/// The addresses that a subnet names: whose, which, and where it stands.
fn addresses(network: &Network<'_>) -> Vec<(&'static str, Ipv4Addr, Option<Span>)> {
    let entry = network.entry;
    let mut found = Vec::new();
    for (whose, address) in [
        ("the router", &entry.router),
        ("this server", &entry.server),
    ] {
        if let Some(address) = address {
            found.push((whose, address.value, Some(address.span)));
        }
    }
    for (whose, list) in [
        ("a name server", &entry.dns),
        ("a time server", &entry.ntp),
        ("an address translation", &entry.nat),
    ] {
        found.extend(list.iter().map(|ip| (whose, *ip, None)));
    }
    found
}

fn holds(
    pool: Pool,
    span: Span,
    whose: &str,
    address: Ipv4Addr,
    place: Option<Span>,
    problems: &mut Vec<Problem>,
) {
    let mut problem = Problem::error(
        "address-in-pool",
        format!("the address {address} of {whose} is in the pool {pool}"),
    );
    if let Some(place) = place {
        problem = problem.at(place, format!("the address of {whose}"));
    }
    problems.push(
        problem
            .at(span, "any machine may get an address of these")
            .help("give one of the two another place: a pool is for machines without a reservation only"),
    );
}

/// `unknown` that says something where there is nothing to give.
fn without_pool(network: &Network<'_>, subnet: &Subnet, problems: &mut Vec<Problem>) {
    let Some(unknown) = network
        .entry
        .unknown
        .as_ref()
        .filter(|_| !network.entry.has_pool)
    else {
        return;
    };
    if subnet.mode == Mode::Off && unknown.value != Unknown::Ignore {
        problems.push(
            Problem::warning(
                "unused-unknown",
                format!(
                    "`unknown` does nothing in {}: nobody is answered there by DHCP",
                    network.name
                ),
            )
            .at(unknown.span, "no effect with mode = \"off\"")
            .help("take it out, or write `mode = \"proxy\"` or `mode = \"authoritative\"`"),
        );
    }
    let needs_pool = match subnet.mode {
        Mode::Authoritative => unknown.value != Unknown::Ignore,
        Mode::Proxy => unknown.value == Unknown::Lease,
        Mode::Off => false,
    };
    if needs_pool {
        problems.push(
            Problem::warning(
                "no-pool",
                format!(
                    "{} has no pool: machines without a reservation are ignored there",
                    network.name
                ),
            )
            .at(unknown.span, "there is no address to give")
            .help(format!(
                "add `pool = \"FIRST-LAST\"` with free addresses of {}, or write `unknown = \"ignore\"`",
                network.net
            )),
        );
    }
}

/// The discovery profile must be there, and must be fit for machines that nobody knows, where some
/// subnet discovers.
pub(super) fn discovery(
    input: &Input,
    subnets: &[Subnet],
    lookups: &Lookups<'_>,
    problems: &mut Vec<Problem>,
) {
    if !subnets.iter().any(Subnet::discovers) {
        return;
    }
    let Some(name) = discovery_profile(&input.server) else {
        return;
    };
    let named = input.server.discovery_profile.as_ref();
    // The key that asks for it, where the profile's name is left to the default.
    let asked = named
        .map(|name| name.span)
        .or_else(|| {
            let subnets = input.server.subnets.iter();
            subnets
                .filter_map(|subnet| subnet.unknown.as_ref())
                .chain(input.server.unknown.as_ref())
                .find(|unknown| unknown.value == Unknown::Discover)
                .map(|unknown| unknown.span)
        })
        .unwrap_or(input.main_span);
    if !lookups.profile_names.contains(&&name) {
        problems.push(
            Problem::error(
                "unknown-profile",
                format!("there is no profile `{name}` for machines that are discovered"),
            )
            .at(asked, "it is needed here")
            .help(format!(
                "add {}/{name}.toml (one comes with bootwright), or name another one in [dhcp] discovery_profile",
                lookups.profiles_folder.display()
            )),
        );
        return;
    }
    let Some(profile) = input.profiles.iter().find(|profile| profile.name == name) else {
        return;
    };
    if lifecycle_of(profile) != Lifecycle::Live {
        problems.push(
            Problem::error(
                "discovery-profile",
                format!("the profile `{name}` writes a disk: machines that nobody knows must never be given it"),
            )
            .at(
                profile.lifecycle.as_ref().map_or(profile.span, |lifecycle| lifecycle.span),
                "not `lifecycle = \"live\"`",
            )
            .at(asked, "it is for machines without a reservation")
            .help("a discovery profile has `lifecycle = \"live\"`; name another one in [dhcp] discovery_profile"),
        );
    }
    if let Some(answer) = profile.answers.first() {
        problems.push(
            Problem::error(
                "discovery-profile",
                format!("the profile `{name}` has answer files: a machine that nobody knows has no token to fetch them with"),
            )
            .at(answer.name.span, "nobody could fetch it")
            .at(asked, "it is for machines without a reservation")
            .help("leave [[answers]] out of a discovery profile"),
        );
    }
}
