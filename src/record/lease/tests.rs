//! The allocator against a plain account of who has what.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn pool(first: u8, last: u8) -> Pool {
    Pool {
        first: Ipv4Addr::new(10, 99, 0, first),
        last: Ipv4Addr::new(10, 99, 0, last),
    }
}

fn mac(n: u8) -> HardwareAddr {
    HardwareAddr::ethernet([2, 0, 0, 0, 0, n])
}

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 0, last)
}

const fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn bound(ip: Ipv4Addr, mac: HardwareAddr, since: Timestamp, secs: u64) -> Lease {
    Lease {
        ip,
        mac,
        state: LeaseState::Bound,
        since,
        until: since.plus(Duration::from_secs(secs)),
        name: None,
    }
}

fn table(pool: Pool) -> LeaseTable {
    let mut table = LeaseTable::default();
    table.set_pools([pool]);
    table
}

/// What a DISCOVER leads to (`decide::dhcp::pool` has the same order).
fn choice(standing: &Standing) -> Option<Ipv4Addr> {
    let own = standing.own.filter(|own| own.usable).map(|own| own.ip);
    own.or_else(|| standing.asked.or(standing.fresh).map(|free| free.ip))
}

fn discover(table: &mut LeaseTable, pool: Pool, n: u8, now: Timestamp) -> Option<Ipv4Addr> {
    let standing = table.standing(pool, mac(n), None, false, |_| false, now);
    let ip = choice(&standing)?;
    table.offer(ip, mac(n), now).then_some(ip)
}

#[test]
fn addresses_in_order_then_the_one_that_ended_first() {
    let pool = pool(10, 12);
    let mut table = table(pool);
    for n in 0..3_u8 {
        let got = discover(&mut table, pool, n, at(0)).unwrap();
        assert_eq!(got, ip(10 + n));
        let secs = [300, 100, 200][usize::from(n)];
        table.put(1, bound(got, mac(n), at(0), secs));
    }
    assert_eq!(discover(&mut table, pool, 9, at(99)), None);
    assert_eq!(discover(&mut table, pool, 9, at(250)), Some(ip(11)));
    // It is taken: the next one gets the other that has ended.
    assert_eq!(discover(&mut table, pool, 8, at(251)), Some(ip(12)));
    // The machine that had it comes back too late, and has to wait; one in time gets its own.
    assert_eq!(discover(&mut table, pool, 1, at(251)), None);
    assert_eq!(discover(&mut table, pool, 0, at(400)), Some(ip(10)));
}

#[test]
fn an_offer_gives_way_when_it_was_not_taken_up() {
    let pool = pool(10, 10);
    let mut table = table(pool);
    assert_eq!(discover(&mut table, pool, 1, at(0)), Some(ip(10)));
    assert_eq!(discover(&mut table, pool, 2, at(1)), None);
    assert_eq!(discover(&mut table, pool, 2, at(2)), Some(ip(10)));
    // Who takes it up first has it, whoever was offered it last.
    let taking = table.standing(pool, mac(1), Some(ip(10)), true, |_| false, at(3));
    assert_eq!(taking.asked.map(|free| free.ip), Some(ip(10)));
    table.put(1, bound(ip(10), mac(1), at(3), 60));
    let late = table.standing(pool, mac(2), Some(ip(10)), true, |_| false, at(4));
    assert_eq!((late.asked, late.own, late.fresh), (None, None, None));
    assert!(!table.offer(ip(10), mac(2), at(4)));
}

#[test]
fn what_was_given_back_declined_or_seen_at_somebody_else() {
    let pool = pool(10, 11);
    let mut table = table(pool);
    let lease = bound(ip(10), mac(1), at(0), 3_600);
    table.put(1, lease.clone());
    table.put(
        2,
        Lease {
            state: LeaseState::Released,
            since: at(10),
            until: at(10),
            ..lease.clone()
        },
    );
    // Another machine gets one that nobody had before; this one gets its own again.
    assert_eq!(discover(&mut table, pool, 2, at(20)), Some(ip(11)));
    assert_eq!(discover(&mut table, pool, 1, at(20)), Some(ip(10)));
    table.put(
        3,
        Lease {
            state: LeaseState::Declined,
            since: at(30),
            until: at(30).plus(QUARANTINE),
            ..lease
        },
    );
    table.put(1, bound(ip(11), mac(2), at(30), 7_200));
    assert_eq!(discover(&mut table, pool, 1, at(31)), None);
    assert_eq!(discover(&mut table, pool, 3, at(629)), None);
    assert_eq!(discover(&mut table, pool, 3, at(630)), Some(ip(10)));
    table.block(ip(10), at(640));
    assert_eq!(discover(&mut table, pool, 3, at(1_239)), None);
    assert_eq!(discover(&mut table, pool, 3, at(1_240)), Some(ip(10)));
}

#[test]
fn another_pool_keeps_the_leases_and_gives_new_addresses() {
    let (old, new) = (pool(10, 11), pool(11, 12));
    let mut table = table(old);
    table.put(1, bound(ip(10), mac(1), at(0), 100));
    table.put(1, bound(ip(11), mac(2), at(0), 100));
    table.set_pools([new]);
    let moved = table.standing(new, mac(1), Some(ip(10)), false, |_| false, at(1));
    assert!(moved.own.is_some_and(|own| !own.usable && own.granted));
    assert_eq!(
        (moved.asked, moved.fresh.map(|free| free.ip)),
        (None, Some(ip(12)))
    );
    assert_eq!(discover(&mut table, new, 2, at(1)), Some(ip(11)));
    assert_eq!(table.holder(ip(10), at(1)), Some(mac(1)));
    assert_eq!(table.holder(ip(10), at(100)), None);
}

#[test]
fn a_flood_over_a_large_pool_takes_bounded_memory_and_leaves_room() {
    let pool = Pool {
        first: Ipv4Addr::new(10, 0, 0, 1),
        last: Ipv4Addr::new(10, 255, 255, 254),
    };
    let mut table = table(pool);
    for n in 0..40_000_u32 {
        let [a, b, c, d] = n.to_be_bytes();
        let flood = HardwareAddr::ethernet([6, 0, a, b, c, d]);
        // A thousand in each second.
        let now = at(i64::from(n / 1_000));
        let standing = table.standing(pool, flood, None, false, |_| false, now);
        assert!(table.offer(choice(&standing).unwrap(), flood, now));
    }
    assert!(table.entries.len() <= MAX_OFFERS, "{}", table.entries.len());
    assert!(table.by_mac.len() <= table.entries.len());
    // All at once: what is over the bound takes over what was offered a while ago.
    for n in 0..40_000_u32 {
        let [a, b, c, d] = n.to_be_bytes();
        let flood = HardwareAddr::ethernet([10, 0, a, b, c, d]);
        let standing = table.standing(pool, flood, None, false, |_| false, at(100));
        if let Some(ip) = choice(&standing) {
            table.offer(ip, flood, at(100));
        }
    }
    assert!(table.entries.len() <= MAX_OFFERS, "{}", table.entries.len());
    assert!(discover(&mut table, pool, 1, at(102)).is_some());
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Do {
    Discover(u8, Option<u8>),
    Take(u8, Option<u8>),
    Release(u8),
    Decline(u8),
    Blocked(u8),
    Wait(u16),
    /// The store is read anew: offers are forgotten, leases are not.
    Restart,
}

fn doing() -> impl Strategy<Value = Do> {
    let asked = || proptest::option::of(8..16_u8);
    prop_oneof![
        4 => (0..12_u8, asked()).prop_map(|(n, asked)| Do::Discover(n, asked)),
        4 => (0..12_u8, asked()).prop_map(|(n, asked)| Do::Take(n, asked)),
        1 => (0..12_u8).prop_map(Do::Release),
        1 => (0..12_u8).prop_map(Do::Decline),
        1 => (8..16_u8).prop_map(Do::Blocked),
        3 => (0..400_u16).prop_map(Do::Wait),
        1 => Just(Do::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// No address at two machines at once, the same machine the same address while it runs, never a
    /// reserved one, never one in quarantine, and never "exhausted" while one is free.
    #[test]
    fn the_table_agrees_with_an_account(deeds in proptest::collection::vec(doing(), 1..120)) {
        let pool = pool(10, 14);
        let reserved = ip(12);
        let never = |address: Ipv4Addr| address == reserved;
        let mut table = table(pool);
        let mut now = at(1_000);
        // The account: what runs, and what is kept from all until when, by a DECLINE or seen on the link.
        let mut runs: BTreeMap<Ipv4Addr, (u8, Timestamp)> = BTreeMap::new();
        let mut kept: BTreeMap<(Ipv4Addr, bool), Timestamp> = BTreeMap::new();
        let is_kept = |kept: &BTreeMap<(Ipv4Addr, bool), Timestamp>, address: Ipv4Addr| {
            [false, true].iter().any(|by| kept.contains_key(&(address, *by)))
        };
        let mut versions: BTreeMap<Ipv4Addr, u64> = BTreeMap::new();
        let mut offered: BTreeMap<Ipv4Addr, (u8, Timestamp)> = BTreeMap::new();
        for deed in deeds {
            runs.retain(|_, (_, until)| *until > now);
            kept.retain(|_, until| *until > now);
            let own = |n: u8, runs: &BTreeMap<Ipv4Addr, (u8, Timestamp)>| {
                runs.iter().find(|(_, (has, _))| *has == n).map(|(ip, _)| *ip)
            };
            match deed {
                Do::Wait(secs) => now = now.plus(Duration::from_secs(u64::from(secs))),
                Do::Discover(n, asked) => {
                    let standing = table.standing(pool, mac(n), asked.map(ip), false, never, now);
                    let before = own(n, &runs);
                    if let Some(got) = choice(&standing) {
                        prop_assert!(pool.contains(got) && got != reserved);
                        let other = runs.get(&got).is_some_and(|(has, _)| *has != n);
                        prop_assert!(!other, "{got} runs as another's");
                        prop_assert!(!is_kept(&kept, got), "{got} is in quarantine");
                        if let Some(before) = before.filter(|own| !is_kept(&kept, *own)) {
                            prop_assert_eq!(got, before);
                        }
                        if table.offer(got, mac(n), now) {
                            offered.insert(got, (n, now));
                        }
                    } else {
                        let free = (10..=14).map(ip).find(|address| {
                            *address != reserved
                                && !runs.contains_key(address)
                                && !is_kept(&kept, *address)
                                && offered.get(address).is_none_or(|(_, at)| now.since(*at) >= OFFER_HOLD)
                        });
                        prop_assert_eq!(free, None, "there was a free one");
                    }
                }
                Do::Take(n, asked) => {
                    let wanted = asked.map(ip).or_else(|| own(n, &runs));
                    let standing = table.standing(pool, mac(n), wanted, true, never, now);
                    let found = standing
                        .own
                        .filter(|own| own.usable && Some(own.ip) == wanted)
                        .map(|own| (own.ip, own.version))
                        .or_else(|| standing.asked.map(|free| (free.ip, free.version)));
                    // As decided: a machine whose own runs is refused another one.
                    let runs_elsewhere = own(n, &runs).is_some_and(|own| Some(own) != wanted);
                    if let Some((got, version)) = found.filter(|_| !runs_elsewhere) {
                        prop_assert!(pool.contains(got) && got != reserved);
                        prop_assert!(runs.get(&got).is_none_or(|(has, _)| *has == n));
                        prop_assert!(!is_kept(&kept, got));
                        let stored = versions.entry(got).or_insert(0);
                        prop_assert_eq!(*stored, version, "the version of {}", got);
                        *stored += 1;
                        let lease = bound(got, mac(n), now, 500);
                        runs.insert(got, (n, lease.until));
                        offered.remove(&got);
                        table.put(*stored, lease);
                    }
                }
                Do::Release(n) | Do::Decline(n) => {
                    if let Some(got) = own(n, &runs) {
                        let version = versions.entry(got).or_insert(0);
                        *version += 1;
                        runs.remove(&got);
                        offered.remove(&got);
                        let lease = bound(got, mac(n), now, 0);
                        table.put(*version, if matches!(deed, Do::Release(_)) {
                            Lease { state: LeaseState::Released, ..lease }
                        } else {
                            kept.insert((got, false), now.plus(QUARANTINE));
                            Lease { state: LeaseState::Declined, until: now.plus(QUARANTINE), ..lease }
                        });
                    }
                }
                Do::Blocked(last) => {
                    table.block(ip(last), now);
                    offered.remove(&ip(last));
                    if pool.contains(ip(last)) {
                        kept.insert((ip(last), true), now.plus(QUARANTINE));
                    }
                }
                Do::Restart => {
                    let stored: Vec<_> = table
                        .all()
                        .into_iter()
                        .map(|lease| (versions.get(&lease.ip).copied().unwrap_or(0), lease))
                        .collect();
                    table = LeaseTable::load(stored);
                    table.set_pools([pool]);
                    offered.clear();
                    kept.retain(|(_, seen), _| !seen);
                }
            }
            for (address, (n, _)) in runs.iter().filter(|(_, (_, until))| *until > now) {
                prop_assert_eq!(table.holder(*address, now), Some(mac(*n)));
            }
        }
    }
}
