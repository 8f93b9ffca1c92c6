//! Leases: which machine without a reservation has which address of a pool, and until when.
//!
//! [`Lease`] is what is stored; [`LeaseTable`] holds all of them with the offers that are out, and finds
//! what a machine may have without looking through them. It gives nothing away by itself: which of the
//! possibilities it is, is decided by `decide::dhcp` (RFC 2131 section 4.3.1).
//!
//! **Invariant:** pure; whether a lease runs is judged by the time that is handed in, whenever it is
//! asked. No address is free that runs as another machine's lease, that was declined, or that was seen
//! on the link at somebody else. Memory is bounded by the pools' addresses and by [`MAX_OFFERS`].

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{HardwareAddr, Timestamp};
use crate::config::snapshot::Pool;

/// How long an address that was declined, or found on the link at somebody else, is not given.
pub const QUARANTINE: Duration = Duration::from_secs(600);

/// How long an offer is kept for a machine. EDK2 chooses after 4 s, iPXE within 2; what comes later is
/// granted all the same as long as nobody else has got the address.
pub const OFFER_HOLD: Duration = Duration::from_secs(10);

/// An offer this old, with no REQUEST, may go to another machine when there is nothing else: a flood of
/// DISCOVERs must not keep a pool from those that mean it.
pub const OFFER_MIN: Duration = Duration::from_secs(2);

/// Offers of addresses that nobody ever had, at once.
pub const MAX_OFFERS: usize = 16_384;

/// How many entries are looked at when the front of an order does not fit.
const LOOK: usize = 16;

/// What a lease is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseState {
    /// It was granted, and runs until its end.
    Bound,
    /// The machine gave it back; it is remembered so that the machine gets it again.
    Released,
    /// The machine found somebody else at the address: it is given to nobody until its end.
    Declined,
}

/// An address of a pool and the machine that has or had it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The address.
    pub ip: Ipv4Addr,
    /// The machine.
    pub mac: HardwareAddr,
    /// What it is.
    pub state: LeaseState,
    /// When it was granted, given back or declined.
    pub since: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// What the machine calls itself.
    pub name: Option<String>,
}

impl Lease {
    /// Whether it is granted and has not ended.
    pub fn runs(&self, now: Timestamp) -> bool {
        self.state == LeaseState::Bound && self.until > now
    }

    /// Until when nobody else gets the address.
    fn taken_until(&self) -> Timestamp {
        match self.state {
            LeaseState::Bound | LeaseState::Declined => self.until,
            LeaseState::Released => self.since,
        }
    }
}

/// An address that is or was a machine's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// The address.
    pub ip: Ipv4Addr,
    /// The version of its lease in the store.
    pub version: u64,
    /// The end of its lease, while that runs.
    pub until: Option<Timestamp>,
    /// Whether the machine was ever granted it; otherwise it was offered only.
    pub granted: bool,
    /// Whether the machine may have it still: it is of the pool, and nobody else's.
    pub usable: bool,
}

/// An address that a machine may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The address.
    pub ip: Ipv4Addr,
    /// The version of its lease in the store; 0 when it never had one.
    pub version: u64,
}

/// What a machine has and may have of one pool at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Its own address: of its lease, which may have ended or be of another pool, else of its offer.
    pub own: Option<Own>,
    /// The address that it asks for, when that is free for it.
    pub asked: Option<Candidate>,
    /// Another one that is free; sought only when it has no usable address of its own and the one that
    /// it asks for is not free.
    pub fresh: Option<Candidate>,
}

#[derive(Debug, Default)]
struct Entry {
    lease: Option<(u64, Lease)>,
    /// To whom, when, until when.
    offer: Option<(HardwareAddr, Timestamp, Timestamp)>,
    /// Seen at somebody else until then.
    blocked: Option<Timestamp>,
}

impl Entry {
    fn free_at(&self) -> Timestamp {
        let lease = self.lease.as_ref().map(|(_, lease)| lease.taken_until());
        let offer = self.offer.map(|(_, _, until)| until);
        lease
            .into_iter()
            .chain(offer)
            .chain(self.blocked)
            .max()
            .unwrap_or(Timestamp::from_micros(i64::MIN))
    }

    fn version(&self) -> u64 {
        self.lease.as_ref().map_or(0, |(version, _)| *version)
    }

    /// Whether nothing is known of the address but an offer.
    fn is_offer_only(&self) -> bool {
        self.lease.is_none() && self.blocked.is_none()
    }

    /// Whether this machine may have it; `now` or offered to another but not taken up.
    fn is_free_for(&self, mac: HardwareAddr, now: Timestamp, over_offers: bool) -> bool {
        let leased = self.lease.as_ref().is_some_and(|(_, lease)| {
            lease.taken_until() > now && (lease.mac != mac || lease.state == LeaseState::Declined)
        });
        let offered = self
            .offer
            .is_some_and(|(to, _, until)| to != mac && until > now);
        let blocked = self.blocked.is_some_and(|until| until > now);
        !leased && !blocked && (over_offers || !offered)
    }
}

/// The addresses of one pool in the order in which they become free.
#[derive(Debug, Default)]
struct Order {
    /// The next address that has no entry yet; `None`: all have one.
    next: Option<u32>,
    /// Those that were offered and nothing else.
    offers: BTreeSet<(Timestamp, Ipv4Addr)>,
    /// All others with an entry.
    others: BTreeSet<(Timestamp, Ipv4Addr)>,
}

/// All leases and offers.
#[derive(Debug, Default)]
pub struct LeaseTable {
    entries: HashMap<Ipv4Addr, Entry>,
    /// Addresses of each machine: of its leases, running or not, and its offers.
    by_mac: HashMap<HardwareAddr, Vec<Ipv4Addr>>,
    pools: Vec<(Pool, Order)>,
}

impl LeaseTable {
    /// Takes over what is stored.
    pub fn load(leases: impl IntoIterator<Item = (u64, Lease)>) -> Self {
        let mut table = Self::default();
        for (version, lease) in leases {
            table.put(version, lease);
        }
        table
    }

    /// The pools of the configuration in force. Leases outside of them stay until they end.
    pub fn set_pools(&mut self, pools: impl IntoIterator<Item = Pool>) {
        let wanted: Vec<Pool> = pools.into_iter().collect();
        if wanted.len() == self.pools.len()
            && wanted
                .iter()
                .zip(&self.pools)
                .all(|(new, (old, _))| new == old)
        {
            return;
        }
        self.pools = wanted
            .into_iter()
            .map(|pool| {
                let mut order = Order {
                    next: Some(u32::from(pool.first)),
                    ..Order::default()
                };
                for (ip, entry) in &self.entries {
                    if pool.contains(*ip) {
                        order.insert(*ip, entry);
                    }
                }
                (pool, order)
            })
            .collect();
    }

    /// What a machine has and may have. `asked` is the address that it names; `never` tells addresses
    /// of the pool that are not to be given (reserved, or this server's own). With `taking` it takes up
    /// an offer, which another machine's unanswered offer does not hinder.
    pub fn standing(
        &mut self,
        pool: Pool,
        mac: HardwareAddr,
        asked: Option<Ipv4Addr>,
        taking: bool,
        never: impl Fn(Ipv4Addr) -> bool,
        now: Timestamp,
    ) -> Standing {
        let usable = |ip: Ipv4Addr| pool.contains(ip) && !never(ip);
        let own = self.own(pool, mac, now, &usable);
        let asked = asked.filter(|ip| usable(*ip)).and_then(|ip| {
            let entry = self.entries.get(&ip);
            entry
                .is_none_or(|entry| entry.is_free_for(mac, now, taking))
                .then(|| Candidate {
                    ip,
                    version: entry.map_or(0, Entry::version),
                })
        });
        let fresh = if own.is_some_and(|own| own.usable) || asked.is_some() {
            None
        } else {
            self.fresh(pool, mac, &usable, now)
        };
        Standing { own, asked, fresh }
    }

    fn own(
        &self,
        pool: Pool,
        mac: HardwareAddr,
        now: Timestamp,
        usable: &impl Fn(Ipv4Addr) -> bool,
    ) -> Option<Own> {
        let of = |ip: &Ipv4Addr| {
            let entry = self.entries.get(ip)?;
            let lease = entry
                .lease
                .as_ref()
                .filter(|(_, lease)| lease.mac == mac && lease.state != LeaseState::Declined);
            let offered = entry.offer.is_some_and(|(to, _, _)| to == mac);
            (lease.is_some() || offered).then(|| Own {
                ip: *ip,
                version: entry.version(),
                until: lease
                    .filter(|(_, lease)| lease.runs(now))
                    .map(|(_, lease)| lease.until),
                granted: lease.is_some(),
                usable: usable(*ip) && entry.is_free_for(mac, now, false),
            })
        };
        // The one that runs, else one that it may have, else of another time; of this pool first.
        self.by_mac
            .get(&mac)?
            .iter()
            .filter_map(of)
            .max_by_key(|own| {
                (
                    pool.contains(own.ip),
                    own.usable,
                    own.until,
                    own.granted,
                    std::cmp::Reverse(own.ip),
                )
            })
    }

    /// A free address: offered before and not taken up, else one that never had a machine, else the one
    /// whose lease ended first; at last an offer that was not taken up for a while.
    fn fresh(
        &mut self,
        pool: Pool,
        mac: HardwareAddr,
        usable: &impl Fn(Ipv4Addr) -> bool,
        now: Timestamp,
    ) -> Option<Candidate> {
        let Self { entries, pools, .. } = self;
        let (_, order) = pools.iter_mut().find(|(of, _)| *of == pool)?;
        let free = |ip: Ipv4Addr, over_offers: bool| {
            let entry = entries.get(&ip);
            (usable(ip) && entry.is_none_or(|entry| entry.is_free_for(mac, now, over_offers))).then(
                || Candidate {
                    ip,
                    version: entry.map_or(0, Entry::version),
                },
            )
        };
        let ended = |set: &BTreeSet<(Timestamp, Ipv4Addr)>| {
            set.iter()
                .take(LOOK)
                .take_while(|(at, _)| *at <= now)
                .find_map(|(_, ip)| free(*ip, false))
        };
        if let Some(found) = ended(&order.offers) {
            return Some(found);
        }
        while order.offers.len() < MAX_OFFERS
            && let Some(next) = order.next
        {
            let ip = Ipv4Addr::from(next);
            if !entries.contains_key(&ip) && usable(ip) {
                return Some(Candidate { ip, version: 0 });
            }
            // What is passed over has an entry by now, or is never given.
            order.next = next
                .checked_add(1)
                .filter(|next| *next <= u32::from(pool.last));
        }
        if let Some(found) = ended(&order.others) {
            return Some(found);
        }
        let old_offer = |(_, ip): &(Timestamp, Ipv4Addr)| {
            let (_, at, _) = entries.get(ip)?.offer?;
            if now.since(at) < OFFER_MIN {
                return None;
            }
            free(*ip, true)
        };
        order
            .offers
            .iter()
            .take(LOOK)
            .find_map(old_offer)
            .or_else(|| order.others.iter().take(LOOK).find_map(old_offer))
    }

    /// Holds an address for a machine for a short time. Whether it may have it still: an offer to another
    /// that was not taken up for a while gives way.
    pub fn offer(&mut self, ip: Ipv4Addr, mac: HardwareAddr, now: Timestamp) -> bool {
        let may = self.entries.get(&ip).is_none_or(|entry| {
            let is_old = entry
                .offer
                .is_none_or(|(_, at, _)| now.since(at) >= OFFER_MIN);
            entry.is_free_for(mac, now, is_old)
        });
        if may {
            self.change(ip, |entry| {
                entry.offer = Some((mac, now, now.plus(OFFER_HOLD)));
            });
        }
        may
    }

    /// Takes over a lease that is not stored, when it was made from this version and the address is free
    /// for its machine still. It keeps the version that the store has.
    pub fn put_unrecorded(&mut self, expect: u64, lease: Lease, now: Timestamp) -> bool {
        let entry = self.entries.get(&lease.ip);
        let may = entry.map_or(0, Entry::version) == expect
            && entry.is_none_or(|entry| entry.is_free_for(lease.mac, now, true));
        if may {
            self.put(expect, lease);
        }
        may
    }

    /// Takes over a lease as it is stored, in the place of what there was and of any offer. Of two that were
    /// read at nearly the same time the one that was stored later stays.
    pub fn put(&mut self, version: u64, lease: Lease) {
        let newer = |entry: &Entry| entry.version() > version;
        if self.entries.get(&lease.ip).is_some_and(newer) {
            return;
        }
        self.change(lease.ip, |entry| {
            entry.lease = Some((version, lease));
            entry.offer = None;
        });
    }

    /// Takes note that somebody else was seen at an address: nobody is given it for a while.
    pub fn block(&mut self, ip: Ipv4Addr, now: Timestamp) {
        self.change(ip, |entry| {
            entry.blocked = Some(now.plus(QUARANTINE));
            entry.offer = None;
        });
    }

    /// The lease of an address with its version, running or not.
    pub fn lease(&self, ip: Ipv4Addr) -> Option<&(u64, Lease)> {
        self.entries.get(&ip)?.lease.as_ref()
    }

    /// The machine that has an address now, by a lease that runs or an offer that is out.
    pub fn holder(&self, ip: Ipv4Addr, now: Timestamp) -> Option<HardwareAddr> {
        let entry = self.entries.get(&ip)?;
        let leased = entry
            .lease
            .as_ref()
            .filter(|(_, lease)| lease.runs(now))
            .map(|(_, lease)| lease.mac);
        leased.or_else(|| {
            let (mac, _, until) = entry.offer?;
            (until > now).then_some(mac)
        })
    }

    /// All leases, in the order of their addresses.
    pub fn all(&self) -> Vec<Lease> {
        let mut all: Vec<_> = self
            .entries
            .values()
            .filter_map(|entry| Some(entry.lease.as_ref()?.1.clone()))
            .collect();
        all.sort_by_key(|lease| lease.ip);
        all
    }

    fn change(&mut self, ip: Ipv4Addr, change: impl FnOnce(&mut Entry)) {
        let Self {
            entries,
            by_mac,
            pools,
        } = self;
        let entry = entries.entry(ip).or_default();
        let order = pools.iter_mut().find(|(pool, _)| pool.contains(ip));
        let mut order = order.map(|(_, order)| order);
        if let Some(order) = &mut order {
            order.remove(ip, entry);
        }
        let machines = |entry: &Entry| {
            let leased = entry.lease.as_ref().map(|(_, lease)| lease.mac);
            [leased, entry.offer.map(|(mac, _, _)| mac)]
        };
        let before = machines(entry);
        change(entry);
        let after = machines(entry);
        if let Some(order) = &mut order {
            order.insert(ip, entry);
        }
        for mac in before.into_iter().flatten() {
            if !after.contains(&Some(mac))
                && let Some(addresses) = by_mac.get_mut(&mac)
            {
                addresses.retain(|own| *own != ip);
                if addresses.is_empty() {
                    by_mac.remove(&mac);
                }
            }
        }
        for mac in after.into_iter().flatten() {
            let addresses = by_mac.entry(mac).or_default();
            if !addresses.contains(&ip) {
                addresses.push(ip);
            }
        }
    }
}

impl Order {
    fn set(&mut self, entry: &Entry) -> &mut BTreeSet<(Timestamp, Ipv4Addr)> {
        if entry.is_offer_only() {
            &mut self.offers
        } else {
            &mut self.others
        }
    }

    fn insert(&mut self, ip: Ipv4Addr, entry: &Entry) {
        self.set(entry).insert((entry.free_at(), ip));
    }

    fn remove(&mut self, ip: Ipv4Addr, entry: &Entry) {
        self.set(entry).remove(&(entry.free_at(), ip));
    }
}

#[cfg(test)]
mod tests;
