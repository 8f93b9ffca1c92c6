//! Which addresses of a subnet may be reserved, as far as the files tell: in order, with what rules the others out.
//!
//! What only the network tells (leases, names, answers) is asked by `serve::free`.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::config::Snapshot;
use crate::config::snapshot::Subnet;

/// What rules an address out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Test {
    /// It is the network's own address, or that of its broadcasts.
    Network,
    /// It is this server's.
    Server,
    /// It is the router's.
    Router,
    /// The subnet names it for something else: a name or time server, an address translation.
    Service,
    /// It is of the pool.
    Pool,
    /// A host has it.
    Reservation,
    /// A machine without a reservation has leased it.
    Lease,
    /// Somebody answers for it on the link (ARP).
    Arp,
    /// Somebody answers at it (ICMP echo).
    Ping,
    /// It has a name in DNS (PTR).
    Ptr,
}

impl Test {
    /// The tests that ask somebody, in the order in which they are told of.
    pub const ASKED: [Self; 4] = [Self::Lease, Self::Arp, Self::Ping, Self::Ptr];

    /// As it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Server => "server",
            Self::Router => "router",
            Self::Service => "service",
            Self::Pool => "pool",
            Self::Reservation => "reservation",
            Self::Lease => "lease",
            Self::Arp => "arp",
            Self::Ping => "ping",
            Self::Ptr => "ptr",
        }
    }
}

/// Addresses that are not free, one or several side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuledOut {
    /// The first of them.
    pub first: Ipv4Addr,
    /// The last of them.
    pub last: Ipv4Addr,
    /// By which test.
    pub by: Test,
    /// Who has them, in a few words.
    pub what: String,
}

impl RuledOut {
    /// One address.
    pub fn one(ip: Ipv4Addr, by: Test, what: impl Into<String>) -> Self {
        Self {
            first: ip,
            last: ip,
            by,
            what: what.into(),
        }
    }
}

/// Hosts that are named of a run of reserved addresses.
const NAMED: u32 = 4;

/// Adds what rules addresses out; reserved ones side by side become one run.
pub fn add(list: &mut Vec<RuledOut>, next: RuledOut) {
    if let Some(last) = list.last_mut()
        && last.by == Test::Reservation
        && next.by == Test::Reservation
        && u32::from(last.last).checked_add(1) == Some(u32::from(next.first))
    {
        let before = u32::from(last.last) - u32::from(last.first) + 1;
        last.last = next.last;
        if before < NAMED {
            last.what = format!("{}, {}", last.what, next.what);
        } else if before == NAMED {
            last.what.push_str(", …");
        }
        return;
    }
    list.push(next);
}

/// The addresses of a subnet in their order.
#[derive(Debug)]
pub struct Candidates<'a> {
    snapshot: &'a Snapshot,
    subnet: &'a Subnet,
    /// This server's addresses.
    own: &'a [Ipv4Addr],
    next: Option<u32>,
    last: u32,
}

/// What comes next in a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Candidate {
    /// This address is free as far as the files tell.
    Free(Ipv4Addr),
    /// These are not.
    Not(RuledOut),
}

impl<'a> Candidates<'a> {
    /// Of a subnet; `own` are this server's addresses.
    pub fn of(snapshot: &'a Snapshot, subnet: &'a Subnet, own: &'a [Ipv4Addr]) -> Self {
        Self {
            snapshot,
            subnet,
            own,
            next: Some(subnet.network.network().into()),
            last: subnet.network.broadcast().into(),
        }
    }

    fn judge(&self, ip: Ipv4Addr) -> Candidate {
        let Self { subnet, own, .. } = self;
        let network = subnet.network;
        let not = |by, what: &str| Candidate::Not(RuledOut::one(ip, by, what));
        // Of two addresses or one, all are for machines (RFC 3021).
        if network.prefix_len() < 31 {
            if ip == network.network() {
                return not(Test::Network, "the network itself");
            }
            if ip == network.broadcast() {
                return not(Test::Network, "its broadcasts");
            }
        }
        if subnet.server == Some(ip) || own.contains(&ip) {
            return not(Test::Server, "this server");
        }
        if subnet.router == Some(ip) {
            return not(Test::Router, "the router");
        }
        if let Some(host) = self.snapshot.host_by_ip(ip) {
            return not(Test::Reservation, host.name.as_str());
        }
        if let Some(pool) = subnet.pool.filter(|pool| pool.contains(ip)) {
            return Candidate::Not(RuledOut {
                first: ip,
                last: pool.last.min(network.broadcast()),
                by: Test::Pool,
                what: "for machines without a reservation".to_owned(),
            });
        }
        for (list, what) in [
            (&subnet.dns, "a name server"),
            (&subnet.ntp, "a time server"),
            (&subnet.nat, "an address translation"),
        ] {
            if list.contains(&ip) {
                return not(Test::Service, what);
            }
        }
        Candidate::Free(ip)
    }

    /// Whether an address stands for this server where neither the file nor an interface tells its own: what is shown
    /// without a daemon has it in its URLs, so it is offered to nobody else. Whoever names it may have it.
    fn is_kept(&self, ip: Ipv4Addr) -> bool {
        let Self { subnet, own, .. } = self;
        subnet.example_server == ip
            && subnet.server.is_none()
            && !own.iter().any(|own| subnet.network.contains(own))
    }

    /// What stands against one address; `None`: nothing that the files tell.
    pub fn against(&self, ip: Ipv4Addr) -> Option<RuledOut> {
        match self.judge(ip) {
            Candidate::Free(_) => None,
            Candidate::Not(mut out) => {
                (out.first, out.last) = (ip, ip);
                Some(out)
            }
        }
    }
}

impl Iterator for Candidates<'_> {
    type Item = Candidate;

    fn next(&mut self) -> Option<Candidate> {
        let here = self.next.filter(|next| *next <= self.last)?;
        let found = match self.judge(here.into()) {
            Candidate::Free(ip) if self.is_kept(ip) => Candidate::Not(RuledOut::one(
                ip,
                Test::Server,
                "kept for this server: `server` is not set",
            )),
            found => found,
        };
        let through = match &found {
            Candidate::Free(ip) => *ip,
            Candidate::Not(out) => out.last,
        };
        self.next = u32::from(through).checked_add(1);
        Some(found)
    }
}

/// The subnet that a name, a network or an address means.
pub fn subnet_called(snapshot: &Snapshot, text: &str) -> Option<usize> {
    let text = text.trim();
    let mut subnets = snapshot.subnets.iter();
    if let Some(found) = subnets.position(|subnet| subnet.name.as_str() == text) {
        return Some(found);
    }
    let mut subnets = snapshot.subnets.iter();
    if let Ok(network) = text.parse::<ipnet::Ipv4Net>() {
        return subnets.position(|subnet| subnet.network == network.trunc());
    }
    let ip: Ipv4Addr = text.parse().ok()?;
    subnets.position(|subnet| subnet.network.contains(&ip))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::snapshot::{Host, Pool};
    use crate::decide::testing;

    fn ip(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, 0, last)
    }

    fn site(reserved: &[u8], pool: Option<(u8, u8)>) -> Snapshot {
        let hosts = reserved
            .iter()
            .map(|last| {
                let mut host = Host::new(format!("h{last}").parse().unwrap(), 0);
                host.ip = Some(ip(*last));
                host
            })
            .collect();
        let mut snapshot = testing::changed(|all| *all = hosts);
        let subnet = &mut snapshot.subnets[0];
        subnet.network = "10.99.0.0/24".parse().unwrap();
        (subnet.server, subnet.router) = (Some(ip(2)), Some(ip(1)));
        (subnet.dns, subnet.ntp, subnet.nat) = (vec![ip(3)], vec![ip(4)], vec![ip(5)]);
        subnet.pool = pool.map(|(first, last)| Pool {
            first: ip(first),
            last: ip(last),
        });
        snapshot
    }

    #[test]
    fn in_order_with_what_rules_the_others_out() {
        let snapshot = site(&[10, 11, 12, 13, 14, 15, 17], Some((20, 250)));
        let own = [ip(6)];
        let mut out = Vec::new();
        let mut free = Vec::new();
        for candidate in Candidates::of(&snapshot, &snapshot.subnets[0], &own) {
            match candidate {
                Candidate::Free(ip) => free.push(ip.octets()[3]),
                Candidate::Not(one) => add(&mut out, one),
            }
        }
        assert_eq!(free, [7, 8, 9, 16, 18, 19, 251, 252, 253, 254]);
        let told: Vec<String> = out
            .iter()
            .map(|out| {
                let (first, last) = (out.first.octets()[3], out.last.octets()[3]);
                format!("{first}-{last} {} {}", out.by.as_str(), out.what)
            })
            .collect();
        assert_eq!(
            told,
            [
                "0-0 network the network itself",
                "1-1 router the router",
                "2-2 server this server",
                "3-3 service a name server",
                "4-4 service a time server",
                "5-5 service an address translation",
                "6-6 server this server",
                "10-15 reservation h10, h11, h12, h13, …",
                "17-17 reservation h17",
                "20-250 pool for machines without a reservation",
                "255-255 network its broadcasts",
            ]
        );
        let against = Candidates::of(&snapshot, &snapshot.subnets[0], &own);
        assert_eq!(against.against(ip(30)).unwrap().last, ip(30));
        assert_eq!(against.against(ip(16)), None);
    }

    #[test]
    fn the_address_that_stands_for_this_server_is_offered_to_nobody() {
        let mut snapshot = site(&[], None);
        let first = |snapshot: &Snapshot, own: &[Ipv4Addr]| {
            Candidates::of(snapshot, &snapshot.subnets[0], own).find_map(|found| match found {
                Candidate::Free(ip) => Some(ip),
                Candidate::Not(_) => None,
            })
        };
        // Named in the file, or told by an interface: what stood for it is as free as any other.
        snapshot.subnets[0].example_server = ip(6);
        assert_eq!(first(&snapshot, &[]), Some(ip(6)));
        snapshot.subnets[0].server = None;
        assert_eq!(first(&snapshot, &[ip(2)]), Some(ip(6)));
        // Without a daemon the interfaces are in other networks, or another machine's.
        assert_eq!(
            first(&snapshot, &[Ipv4Addr::new(192, 0, 2, 1)]),
            Some(ip(2))
        );
        snapshot.subnets[0].example_server = ip(2);
        assert_eq!(first(&snapshot, &[]), Some(ip(6)));
        let told = Candidates::of(&snapshot, &snapshot.subnets[0], &[]);
        let told: Vec<Candidate> = told.take(3).collect();
        assert!(
            matches!(&told[2], Candidate::Not(out) if out.by == Test::Server && out.first == ip(2))
        );
        // Whoever names it may have it.
        let all = Candidates::of(&snapshot, &snapshot.subnets[0], &[]);
        assert_eq!(all.against(ip(2)), None);
    }

    #[test]
    fn a_subnet_by_its_name_its_network_or_an_address() {
        let snapshot = testing::snapshot();
        let first = &snapshot.subnets[0];
        for text in [
            first.name.to_string(),
            first.network.to_string(),
            first.network.broadcast().to_string(),
        ] {
            assert_eq!(subnet_called(&snapshot, &text), Some(0), "{text}");
        }
        for text in ["", "nosuch", "203.0.113.0/24", "203.0.113.1"] {
            assert_eq!(subnet_called(&snapshot, text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn each_address_is_told_of_once(
            prefix in 20..=32_u8, reserved in prop::collection::vec(1..=254_u8, 0..30),
            pool in prop::option::of((1..=254_u8, 1..=254_u8)),
        ) {
            let mut reserved = reserved;
            reserved.sort_unstable();
            reserved.dedup();
            let pool = pool.map(|(a, b)| (a.min(b), a.max(b)));
            let mut snapshot = site(&reserved, pool);
            let network: ipnet::Ipv4Net = format!("10.99.0.0/{prefix}").parse().unwrap();
            snapshot.subnets[0].network = network;
            let mut next = u32::from(network.network());
            for candidate in Candidates::of(&snapshot, &snapshot.subnets[0], &[]) {
                let (first, last) = match candidate {
                    Candidate::Free(ip) => {
                        prop_assert!(snapshot.host_by_ip(ip).is_none());
                        prop_assert!(snapshot.subnets[0].pool.is_none_or(|pool| !pool.contains(ip)));
                        (ip, ip)
                    }
                    Candidate::Not(out) => (out.first, out.last),
                };
                prop_assert_eq!(u32::from(first), next);
                prop_assert!(last >= first);
                next = u32::from(last) + 1;
            }
            prop_assert_eq!(next, u32::from(network.broadcast()) + 1);
        }
    }
}
