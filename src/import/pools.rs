//! Ranges of addresses that other servers give to anybody, as a subnet's one pool: without what is reserved.

use std::net::Ipv4Addr;

use super::place::shortened;
use super::{Left, SubnetDraft};
use crate::config::draft::HostDraft;

/// A range as a text has it.
#[derive(Debug)]
pub(super) struct Range {
    pub first: Ipv4Addr,
    pub last: Ipv4Addr,
    /// Where it stands; why something of it is left out is filled in.
    left: Left,
}

impl Range {
    /// From the lower to the higher of two addresses, which stand in this statement.
    pub(super) fn new(one: Ipv4Addr, other: Ipv4Addr, file: &str, line: usize, what: &str) -> Self {
        Self {
            first: one.min(other),
            last: one.max(other),
            left: Left {
                file: file.to_owned(),
                line,
                what: shortened(what),
                why: String::new(),
            },
        }
    }

    /// What is to be told of it.
    pub(super) fn told(&self, why: impl Into<String>) -> Left {
        Left {
            why: why.into(),
            ..self.left.clone()
        }
    }

    /// Becomes the pool of its subnet, so far as it can.
    pub(super) fn fit(
        &self,
        subnet: &mut SubnetDraft,
        reserved: &[Ipv4Addr],
        left: &mut Vec<Left>,
    ) {
        let from = reserved.partition_point(|ip| *ip < self.first);
        let to = reserved.partition_point(|ip| *ip <= self.last);
        let inside = reserved.get(from..to).unwrap_or_default();
        let Some((first, last)) = largest_gap(self.first, self.last, inside) else {
            left.push(self.told("each of its addresses is reserved: there is nothing to take"));
            return;
        };
        if let Some((first, last)) = subnet.pools.first() {
            left.push(self.told(format!(
                "a subnet has one pool: {} has {first}-{last} already; the machines of this range need reservations, or write the larger one as `pool`",
                subnet.name
            )));
        } else if !inside.is_empty() {
            left.push(self.told(format!(
                "a pool holds no reserved address, and this one has {}: the largest part between them is taken, {first}-{last}",
                inside.len()
            )));
        }
        subnet.pools.push((first, last));
    }
}

/// Addresses that no pool may hold, in order: those of hosts and routers, and each network's first and last one.
pub(super) fn reserved<'d>(
    hosts: impl IntoIterator<Item = &'d HostDraft>,
    subnets: impl IntoIterator<Item = &'d SubnetDraft>,
) -> Vec<Ipv4Addr> {
    let mut reserved = Vec::new();
    for host in hosts {
        reserved.extend(host.ip);
        reserved.extend(host.nics.iter().filter_map(|nic| nic.ip));
    }
    for subnet in subnets {
        reserved.extend(subnet.router);
        if subnet.network.prefix_len() < 31 {
            reserved.extend([subnet.network.network(), subnet.network.broadcast()]);
        }
    }
    reserved.sort_unstable();
    reserved.dedup();
    reserved
}

/// The largest part of a range that holds none of these addresses, which are sorted and inside of it.
fn largest_gap(
    first: Ipv4Addr,
    last: Ipv4Addr,
    inside: &[Ipv4Addr],
) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let mut start = u64::from(u32::from(first));
    let mut best: Option<(u64, u64)> = None;
    let ends = inside.iter().map(|ip| u64::from(u32::from(*ip)));
    for end in ends.chain([u64::from(u32::from(last)) + 1]) {
        if end > start && best.is_none_or(|(from, to)| end - start > to - from) {
            best = Some((start, end));
        }
        start = end + 1;
    }
    let (from, to) = best?;
    let ip = |number: u64| u32::try_from(number).ok().map(Ipv4Addr::from);
    Some((ip(from)?, ip(to - 1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_the_largest_part_without_reserved_addresses() {
        let ip = |last: u8| Ipv4Addr::new(10, 0, 0, last);
        let pools = |ranges: &[(u8, u8)], taken: &[u8]| {
            let network = "10.0.0.0/24".parse().unwrap();
            let mut subnet = SubnetDraft::new("lab".parse().unwrap(), network);
            let mut left = Vec::new();
            let mut host = HostDraft::new("a".parse().unwrap());
            host.nics = taken
                .iter()
                .map(|last| crate::config::draft::NicDraft {
                    ip: Some(ip(*last)),
                    ..Default::default()
                })
                .collect();
            let reserved = reserved([&host], [&subnet]);
            for (first, last) in ranges {
                Range::new(ip(*first), ip(*last), "f", 7, "range").fit(
                    &mut subnet,
                    &reserved,
                    &mut left,
                );
            }
            (
                subnet.pools,
                left.into_iter().map(|left| left.why).collect::<Vec<_>>(),
            )
        };
        let (whole, left) = pools(&[(20, 10)], &[9, 21]);
        assert_eq!((whole, left), (vec![(ip(10), ip(20))], vec![]));
        let (part, left) = pools(&[(0, 255)], &[100, 101, 200]);
        assert_eq!(part, [(ip(1), ip(99))]);
        assert!(left[0].contains("has 5:"), "{left:?}");
        let (none, left) = pools(&[(7, 7)], &[7]);
        assert!(
            none.is_empty() && left[0].contains("nothing to take"),
            "{left:?}"
        );
        let (two, left) = pools(&[(10, 20), (30, 40)], &[]);
        assert_eq!(two[0], (ip(10), ip(20)));
        assert!(left[0].contains("one pool"), "{left:?}");
    }
}
