//! `dhcp-range` and `domain`: the networks.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;

use super::Reader;
use super::lines::{Directive, seconds};
use super::tags::Tag;
use crate::config::values;
use crate::import::SubnetDraft;
use crate::import::options::Sets;

/// One `dhcp-range`, its fields told apart.
#[derive(Debug, Default)]
struct Range {
    sets: Vec<String>,
    conditions: Vec<String>,
    addresses: Vec<Ipv4Addr>,
    /// `static`, `proxy`.
    mode: Option<String>,
    /// Seconds; [`u32::MAX`]: without end.
    lease: Option<u32>,
    /// Whether it is one of IPv6.
    six: bool,
    /// Fields that have no place here.
    left: Vec<String>,
}

fn range(directive: &Directive) -> Range {
    let mut range = Range::default();
    for (index, field) in directive.fields().into_iter().enumerate() {
        if let Some(tag) = field.strip_prefix("set:") {
            range.sets.push(tag.to_owned());
        } else if let Some(tag) = field
            .strip_prefix("tag:")
            .or_else(|| field.strip_prefix("net:"))
        {
            range.conditions.push(tag.to_owned());
        } else if let Ok(ip) = field.parse() {
            range.addresses.push(ip);
        } else if field.parse::<Ipv6Addr>().is_ok() || field.starts_with("constructor:") {
            range.six = true;
        } else if matches!(field.as_str(), "static" | "proxy") {
            range.mode = Some(field);
        } else if let Some(length) = seconds(&field) {
            range.lease = Some(length);
        } else if index == 0 && !field.is_empty() && !field.contains([':', '.']) {
            // A tag in the way of old.
            range.sets.push(field);
        } else if !field.is_empty() {
            range.left.push(field);
        }
    }
    range
}

impl Reader<'_> {
    pub(super) fn networks(&mut self, directives: &[Directive]) {
        for directive in directives.iter().filter(|one| one.key == "dhcp-range") {
            self.network(directive);
        }
        for directive in directives.iter().filter(|one| one.key == "domain") {
            self.domain(directive);
        }
    }

    fn network(&mut self, directive: &Directive) {
        let shown = directive.shown();
        let at = &directive.at;
        let range = range(directive);
        if range.six {
            self.gather.left(
                at,
                &shown,
                "machines are booted over IPv4: DHCP for IPv6 stays where it is",
            );
            return;
        }
        for field in &range.left {
            self.gather.left(
                at,
                &format!("{field} in {shown}"),
                "a field that is not known here: see whether it is still needed",
            );
        }
        let mut addresses = range.addresses.iter().copied();
        let Some(first) = addresses.next() else {
            self.gather
                .left(at, &shown, "the first address is expected");
            return;
        };
        let mut rest: Vec<Ipv4Addr> = addresses.collect();
        let last = if range.mode.is_none() && !rest.is_empty() && !is_mask(rest.first()) {
            rest.remove(0)
        } else {
            first
        };
        let mask = rest.first().filter(|mask| is_mask(Some(mask)));
        let (net, guessed) = if let Some(mask) = mask {
            let Ok(net) = Ipv4Net::with_netmask(first, *mask) else {
                self.gather
                    .left(at, &shown, format!("{mask} is no mask of a network"));
                return;
            };
            (net.trunc(), false)
        } else {
            let known = self.gather.subnet_of(first);
            match known.and_then(|index| self.gather.subnet_mut(index)) {
                Some(known) => (known.network, false),
                None => (around(first, last), true),
            }
        };
        if net.prefix_len() == 0 || values::network(&net.to_string()).is_err() {
            self.gather
                .left(at, &shown, format!("{net} is no network of machines"));
            return;
        }
        if !net.contains(&last) {
            self.gather
                .left(at, &shown, format!("{last} is outside of {net}"));
            return;
        }
        let Some(index) = self.subnet_for(net, directive, &shown) else {
            return;
        };
        if guessed {
            let why = format!(
                "no mask in the file: dnsmasq takes it from its interface, {net} is taken here; write `network` as it is"
            );
            self.gather.left(at, &shown, why);
        }
        for tag in &range.sets {
            self.tags.set(tag, Tag::Subnet(index));
        }
        self.lease(index, &range, directive, &shown);
        match range.mode.as_deref() {
            Some("proxy") => {
                if let Some(draft) = self.gather.subnet_mut(index) {
                    draft.proxy = true;
                }
            }
            Some(_) => {}
            None if self.known_only => self.gather.left(
                at,
                &shown,
                "only machines with a reservation are served (dhcp-ignore), and those have their own addresses: no `pool`",
            ),
            None if !range.conditions.is_empty() => self.gather.left(
                at,
                &shown,
                "for machines with a tag only, and a pool is for all without a reservation: no `pool`; give those machines addresses by reservations",
            ),
            None => {
                if let Some(draft) = self.gather.subnet_mut(index) {
                    draft.lease_unknown = true;
                }
                self.gather.range(first, last, at, &shown);
            }
        }
    }

    /// The subnet of a network, a new one where there is none yet.
    fn subnet_for(&mut self, net: Ipv4Net, directive: &Directive, shown: &str) -> Option<usize> {
        if let Some(index) = self.gather.subnet_of(net.network())
            && self
                .gather
                .subnet_mut(index)
                .is_some_and(|known| known.network == net)
        {
            return Some(index);
        }
        let name = self.gather.subnet_name(None, net)?;
        self.gather
            .subnet(SubnetDraft::new(name, net), &directive.at, shown)
    }

    fn lease(&mut self, index: usize, range: &Range, directive: &Directive, shown: &str) {
        let Some(length) = range.lease else {
            return;
        };
        let why = match (length, self.gather.subnet_mut(index)) {
            (u32::MAX, _) => Some("leases without an end: here they end, and are renewed; `lease_time` of the [[subnet]] may be long".to_owned()),
            (secs, Some(draft)) => match draft.lease_time {
                Some(other) if other != secs => Some(format!("a subnet has one length of leases, and this one has {other} seconds already")),
                _ => {
                    draft.lease_time = Some(secs);
                    None
                }
            },
            (_, None) => None,
        };
        if let Some(why) = why {
            self.gather.left(&directive.at, shown, why);
        }
    }

    /// `domain=DOMAIN[,NETWORK or RANGE[,local]]`.
    fn domain(&mut self, directive: &Directive) {
        let shown = directive.shown();
        let fields = directive.fields();
        let name = fields
            .first()
            .map(|name| name.trim_end_matches('.'))
            .unwrap_or_default();
        let name = match values::domain(name) {
            Ok(name) => name,
            Err(bad) => {
                self.gather.left(
                    &directive.at,
                    &shown,
                    format!("{}: {}", bad.message, bad.label),
                );
                return;
            }
        };
        let of = fields.get(1).map(String::as_str).unwrap_or_default();
        let second: Option<Ipv4Addr> = fields.get(2).and_then(|field| field.parse().ok());
        let range = match of.parse::<Ipv4Net>() {
            Ok(net) => Some((net.network(), net.broadcast())),
            Err(_) => of
                .parse::<Ipv4Addr>()
                .ok()
                .map(|first| (first, second.unwrap_or(first))),
        };
        if !of.is_empty() && range.is_none() {
            self.gather.left(
                &directive.at,
                &shown,
                "the domain of an interface: write `domain` into the [[subnet]] that it is for",
            );
            return;
        }
        let mut found = false;
        for index in 0..self.gather.subnets() {
            let Some(draft) = self.gather.subnet_mut(index) else {
                continue;
            };
            let net = draft.network;
            let inside = match range {
                None => draft.domain.is_none(),
                Some((first, last)) => first <= net.broadcast() && net.network() <= last,
            };
            if inside {
                draft.domain = Some(name.clone());
                found = true;
            }
        }
        if !found {
            let why = "no subnet of the file is without a domain of its own: write `domain` into [server] or into a [[subnet]]";
            self.gather.left(&directive.at, &shown, why);
        } else if let Some((first, last)) = range {
            // A range may be a part of a subnet only.
            let whole = (0..self.gather.subnets()).any(|index| {
                self.gather.subnet_mut(index).is_some_and(|draft| {
                    first <= draft.network.network() && draft.network.broadcast() <= last
                })
            });
            if !whole {
                self.gather.left(&directive.at, &shown, "the domain of a part of a subnet: the whole subnet has it now; other hosts may say `fqdn`");
            }
        }
    }

    /// Tells what dnsmasq gives without being told: its own address as router and DNS server.
    pub(super) fn own_addresses(&mut self, index: usize, sets: &Sets) {
        let Some(place) = self.gather.subnet_place(index) else {
            return;
        };
        let Some(draft) = self.gather.subnet_mut(index) else {
            return;
        };
        let net = draft.network;
        if draft.proxy {
            return;
        }
        let missing: Vec<&str> = [(3, "`router`"), (6, "`dns`")]
            .into_iter()
            .filter(|(code, _)| !sets.contains_key(code))
            .map(|(_, key)| key)
            .collect();
        if !missing.is_empty() {
            let why = format!(
                "dnsmasq gives its own address where no dhcp-option says otherwise: write {} of {net} into the [[subnet]]",
                missing.join(" and ")
            );
            self.gather.left(&place, &net.to_string(), why);
        }
    }
}

/// Whether an address is a mask: ones, then zeros.
fn is_mask(address: Option<&Ipv4Addr>) -> bool {
    address.is_some_and(|mask| {
        let bits = u32::from(*mask);
        bits.leading_ones() + bits.trailing_zeros() == 32 && bits.leading_ones() >= 8
    })
}

/// A network that holds both addresses, of 256 addresses at least.
fn around(first: Ipv4Addr, last: Ipv4Addr) -> Ipv4Net {
    let differing = u32::from(first) ^ u32::from(last);
    let prefix = u8::try_from(differing.leading_zeros())
        .unwrap_or(32)
        .min(24);
    Ipv4Net::new(first, prefix).unwrap_or_default().trunc()
}
