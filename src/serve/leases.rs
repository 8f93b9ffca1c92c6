//! The leases of machines without a reservation: the table in memory over the store.
//!
//! Offers are in memory only. A lease is in the table when it is in the store; when the disk refuses, the
//! decision asks for short leases that only the table has: the store is this daemon's alone, so nobody
//! else gives the address meanwhile, and after a restart the link is asked before it is offered again.
//!
//! **Invariant:** the table follows the store. Nothing is given before the store was read once.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::base::{HardwareAddr, HostName, SubnetName, Timestamp};
use crate::config::Snapshot;
use crate::config::snapshot::{Pool, Subnet};
use crate::decide::dhcp::pool::{PoolFacts, SHORT_LEASE, asked_address, takes_offer};
use crate::record::lease::{Lease, LeaseState, LeaseTable};
use crate::store::{AnyStore, LeaseChange, LeaseError, StoreError};
use crate::wire::dhcp::Request;

/// A pool without a free address is told again after this long.
const EXHAUSTED_AGAIN: Duration = Duration::from_secs(600);

/// Leases over a store; cheap to clone.
#[derive(Clone)]
pub struct Leases {
    store: Arc<AnyStore>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// `None`: the store could not be read so far.
    table: Option<LeaseTable>,
    /// The configuration whose pools the table has.
    generation: Option<u64>,
    told: HashMap<Pool, Timestamp>,
}

/// A lease as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseView {
    /// The address.
    pub ip: Ipv4Addr,
    /// The machine that has or had it.
    pub mac: HardwareAddr,
    /// The subnet whose network holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<SubnetName>,
    /// `bound`, `expired`, `released`, or `declined`: kept from everybody until `until`.
    pub state: String,
    /// When it was last granted, given back or declined.
    pub since: Timestamp,
    /// When it ends or ended.
    pub until: Timestamp,
    /// What the machine calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The host that has the machine's hardware address by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
}

impl Leases {
    /// Over this store.
    pub fn new(store: Arc<AnyStore>) -> Self {
        Self {
            store,
            state: Arc::default(),
        }
    }

    /// What a machine without a reservation has and may have of a pool; `None`: the store was never
    /// readable. `own` are this server's addresses on the link.
    pub async fn facts(
        &self,
        snapshot: &Snapshot,
        (subnet, pool): (usize, Pool),
        own: &[Ipv4Net],
        request: &Request,
        now: Timestamp,
    ) -> Option<PoolFacts> {
        self.read().await.ok()?;
        let subnet = snapshot.subnets.get(subnet)?;
        let mut state = self.lock();
        let state = &mut *state;
        let table = state.table.as_mut()?;
        if state.generation != Some(snapshot.generation) {
            table.set_pools(snapshot.subnets.iter().filter_map(Subnet::leases));
            state.generation = Some(snapshot.generation);
        }
        let never = |ip: Ipv4Addr| {
            snapshot.host_by_ip(ip).is_some()
                || subnet.server == Some(ip)
                || subnet.router == Some(ip)
                || own.iter().any(|own| own.addr() == ip)
        };
        let standing = table.standing(
            pool,
            request.mac,
            asked_address(request),
            takes_offer(request),
            never,
            now,
        );
        Some(PoolFacts {
            standing,
            recordable: self.store.trouble().is_none(),
        })
    }

    /// Holds an address for a machine for a short time. Whether that is possible still.
    pub fn offer(&self, ip: Ipv4Addr, mac: HardwareAddr, now: Timestamp) -> bool {
        let mut state = self.lock();
        let Some(table) = &mut state.table else {
            return false;
        };
        table.offer(ip, mac, now)
    }

    /// Changes a lease, on disk when this returns, but for a disk that refuses (`durable` is false then).
    /// `false`: something has changed meanwhile, and what was decided may hold no longer.
    pub async fn change(&self, expect: u64, lease: Lease, durable: bool, now: Timestamp) -> bool {
        if !durable {
            let mut state = self.lock();
            return state
                .table
                .as_mut()
                .is_some_and(|table| table.put_unrecorded(expect, lease, now));
        }
        let ip = lease.ip;
        let change = LeaseChange {
            expect,
            next: lease,
        };
        match self.store.commit_lease(&change).await {
            Ok(version) => {
                if let Some(table) = &mut self.lock().table {
                    table.put(version, change.next);
                }
                true
            }
            Err(LeaseError::Conflict(_)) => {
                // Another server's, or of a moment ago: the store has the truth.
                if let Ok(Some(stored)) = self.store.lease(ip).await
                    && let Some(table) = &mut self.lock().table
                {
                    table.put(stored.version, stored.value);
                }
                false
            }
            Err(LeaseError::Store(_)) => false,
        }
    }

    /// Keeps an address from everybody for a while: it was seen at somebody else.
    pub fn block(&self, ip: Ipv4Addr, now: Timestamp) {
        if let Some(table) = &mut self.lock().table {
            table.block(ip, now);
        }
    }

    /// Whether a pool without a free address is to be told now: the first time, and again after ten
    /// minutes.
    pub fn tell_exhausted(&self, pool: Pool, now: Timestamp) -> bool {
        let mut state = self.lock();
        let again = state
            .told
            .get(&pool)
            .is_none_or(|last| now.since(*last) >= EXHAUSTED_AGAIN);
        if again {
            state.told.insert(pool, now);
        }
        again
    }

    /// The machine that has an address by a lease that runs or an offer that is out, as far as the leases
    /// were read.
    pub fn holder(&self, ip: Ipv4Addr, now: Timestamp) -> Option<HardwareAddr> {
        self.lock().table.as_ref()?.holder(ip, now)
    }

    /// Whether an address that a host was granted may be leased to another machine still (it was of the
    /// pool before), so that [`Self::end`] has something to do.
    pub fn may_be_anothers(&self, ip: Ipv4Addr, mac: HardwareAddr, now: Timestamp) -> bool {
        let state = self.lock();
        state.table.as_ref().is_none_or(|table| {
            let holder = table.holder(ip, now);
            holder.is_some_and(|holder| holder != mac)
        })
    }

    /// Ends the lease of an address that has become a host's.
    pub async fn end(&self, ip: Ipv4Addr, now: Timestamp) {
        if self.store.trouble().is_none() {
            // A store that cannot be read tells so itself.
            let _ = self.read().await;
        }
        let found = {
            let state = self.lock();
            let table = state.table.as_ref();
            table.and_then(|table| table.lease(ip)).cloned()
        };
        let Some((version, lease)) = found.filter(|(_, lease)| lease.runs(now)) else {
            return;
        };
        let ended = Lease {
            state: LeaseState::Released,
            since: now,
            ..lease
        };
        if !self.change(version, ended.clone(), true, now).await {
            // The disk refuses: the table at least knows. Else somebody was faster.
            self.change(version, ended, false, now).await;
        }
    }

    /// Takes note that a machine which does not renew its lease is there all the same (iPXE in a menu):
    /// what ends soon is made longer.
    pub async fn touch(&self, mac: HardwareAddr, ip: Ipv4Addr, now: Timestamp) {
        let found = {
            let state = self.lock();
            let table = state.table.as_ref();
            table.and_then(|table| table.lease(ip)).cloned()
        };
        let Some((version, lease)) = found else {
            return;
        };
        if lease.mac != mac || !lease.runs(now) || lease.until.since(now) > SHORT_LEASE / 2 {
            return;
        }
        let lease = Lease {
            until: now.plus(SHORT_LEASE),
            ..lease
        };
        // At worst the lease ends, and the machine answers when the link is asked.
        let _ = self.change(version, lease, true, now).await;
    }

    /// All leases, by address.
    pub async fn views(
        &self,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Vec<LeaseView>, StoreError> {
        self.read().await?;
        let all = self
            .lock()
            .table
            .as_ref()
            .map(LeaseTable::all)
            .unwrap_or_default();
        let view = |lease: Lease| LeaseView {
            state: match lease.state {
                LeaseState::Bound if lease.runs(now) => "bound",
                LeaseState::Declined if lease.until > now => "declined",
                LeaseState::Released => "released",
                LeaseState::Bound | LeaseState::Declined => "expired",
            }
            .to_owned(),
            subnet: snapshot
                .subnet_containing(lease.ip)
                .map(|subnet| subnet.name.clone()),
            host: snapshot
                .host_by_mac(lease.mac)
                .map(|host| host.name.clone()),
            ip: lease.ip,
            mac: lease.mac,
            since: lease.since,
            until: lease.until,
            name: lease.name,
        };
        // A pool that was made smaller, or is no more, gives nobody its addresses again: who has one is refused it at
        // the next renewal, and what has ended there means nothing any more. What was declined is somebody's still.
        let is_of_a_pool = |ip: Ipv4Addr| {
            let mut subnets = snapshot.subnets.iter();
            subnets.any(|subnet| subnet.leases().is_some_and(|pool| pool.contains(ip)))
        };
        let counts = |lease: &Lease| {
            let holds = lease.state != LeaseState::Released && lease.until > now;
            holds || is_of_a_pool(lease.ip)
        };
        Ok(all.into_iter().filter(counts).map(view).collect())
    }

    /// Reads the store when that was not done or not possible before.
    pub async fn read(&self) -> Result<(), StoreError> {
        if self.lock().table.is_some() {
            return Ok(());
        }
        let leases = self.store.leases().await?;
        let mut state = self.lock();
        if state.table.is_none() {
            let stored = leases.into_iter().map(|lease| (lease.version, lease.value));
            state.table = Some(LeaseTable::load(stored));
            state.generation = None;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000);
    const IP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 200);

    fn lease(mac: u8, secs: i64) -> Lease {
        Lease {
            ip: IP,
            mac: HardwareAddr::ethernet([2, 0, 0, 0, 0, mac]),
            state: LeaseState::Bound,
            since: NOW,
            until: NOW.plus(Duration::from_secs(secs.unsigned_abs())),
            name: None,
        }
    }

    #[tokio::test]
    async fn of_an_address_that_is_of_no_pool_any_more_only_what_still_holds_is_told() {
        let leases = Leases::new(Arc::new(AnyStore::in_memory()));
        leases.read().await.unwrap();
        assert!(leases.change(0, lease(1, 60), true, NOW).await);
        let mut snapshot = crate::decide::testing::snapshot();
        let told = async |snapshot: &Snapshot, secs: u64| {
            let now = NOW.plus(Duration::from_secs(secs));
            let views = leases.views(snapshot, now).await.unwrap();
            views.into_iter().map(|view| view.state).collect::<Vec<_>>()
        };
        let subnet = &mut snapshot.subnets[0];
        subnet.unknown = crate::config::snapshot::Unknown::Lease;
        let pool = |first, last| {
            let ip = |last| Ipv4Addr::new(10, 99, 0, last);
            Some(Pool {
                first: ip(first),
                last: ip(last),
            })
        };
        subnet.pool = pool(190, 210);
        assert_eq!(told(&snapshot, 1).await, ["bound"]);
        assert_eq!(told(&snapshot, 61).await, ["expired"]);
        snapshot.subnets[0].pool = pool(190, 199);
        assert_eq!(told(&snapshot, 1).await, ["bound"]);
        assert_eq!(told(&snapshot, 61).await, [""; 0]);
        snapshot.subnets[0].pool = None;
        assert_eq!(told(&snapshot, 61).await, [""; 0]);
        // Somebody has it: it is not free.
        let declined = |state| Lease {
            state,
            ..lease(1, 60)
        };
        assert!(
            leases
                .change(1, declined(LeaseState::Declined), true, NOW)
                .await
        );
        assert_eq!(told(&snapshot, 1).await, ["declined"]);
        assert_eq!(told(&snapshot, 61).await, [""; 0]);
        assert!(
            leases
                .change(2, declined(LeaseState::Released), true, NOW)
                .await
        );
        assert_eq!(told(&snapshot, 1).await, [""; 0]);
    }

    #[tokio::test]
    async fn what_another_server_has_granted_is_found_out_and_kept() {
        let store = Arc::new(AnyStore::in_memory());
        let (here, there) = (Leases::new(Arc::clone(&store)), Leases::new(store));
        for leases in [&here, &there] {
            leases.read().await.unwrap();
            assert_eq!(leases.holder(IP, NOW), None);
        }
        assert!(there.change(0, lease(1, 60), true, NOW).await);
        assert!(!here.change(0, lease(2, 60), true, NOW).await);
        assert_eq!(here.holder(IP, NOW), Some(lease(1, 60).mac));
        assert!(!here.offer(IP, lease(2, 60).mac, NOW));
    }

    #[tokio::test]
    async fn a_disk_that_refuses_leaves_the_table() {
        let (store, switches) = AnyStore::broken();
        let leases = Leases::new(Arc::new(store));
        switches.fail_reads(true);
        assert!(leases.read().await.is_err());
        assert!(!leases.offer(IP, lease(1, 60).mac, NOW), "nothing is known");
        switches.fail_reads(false);
        leases.read().await.unwrap();
        switches.fail_commits(true);
        assert!(!leases.change(0, lease(1, 60), true, NOW).await);
        assert!(leases.change(0, lease(1, 60), false, NOW).await);
        assert!(
            !leases.change(0, lease(2, 60), false, NOW).await,
            "it is another's"
        );
        assert_eq!(leases.holder(IP, NOW), Some(lease(1, 60).mac));
        // The disk is well again: the next grant is written down.
        switches.fail_commits(false);
        assert!(leases.change(0, lease(1, 90), true, NOW).await);
        let views = leases.views(&Snapshot::default(), NOW).await.unwrap();
        assert_eq!((views.len(), views[0].state.as_str()), (1, "bound"));
    }

    #[tokio::test]
    async fn a_lease_of_what_has_become_a_hosts_address_ends() {
        let (store, switches) = AnyStore::broken();
        let leases = Leases::new(Arc::new(store));
        leases.read().await.unwrap();
        let (stranger, host) = (lease(1, 0).mac, lease(2, 0).mac);
        for refuses in [false, true] {
            switches.fail_commits(false);
            let at = |secs| NOW.plus(Duration::from_secs(secs));
            let now = at(if refuses { 100 } else { 0 });
            let expect = u64::from(refuses) * 2;
            assert!(leases.change(expect, lease(1, 1_000), true, now).await);
            let is_left = |mac| leases.may_be_anothers(IP, mac, now);
            assert!(is_left(host) && !is_left(stranger));
            switches.fail_commits(refuses);
            leases.end(IP, now).await;
            assert!(!is_left(host), "{refuses}");
        }
    }

    #[tokio::test]
    async fn a_machine_in_a_menu_keeps_its_lease() {
        let store = Arc::new(AnyStore::in_memory());
        let leases = Leases::new(Arc::clone(&store));
        leases.read().await.unwrap();
        assert!(leases.change(0, lease(1, 100), true, NOW).await);
        leases.touch(lease(2, 0).mac, IP, NOW).await;
        assert_eq!(store.lease(IP).await.unwrap().unwrap().version, 1);
        leases.touch(lease(1, 0).mac, IP, NOW).await;
        let longer = store.lease(IP).await.unwrap().unwrap();
        assert_eq!(longer.value.until, NOW.plus(SHORT_LEASE));
        leases.touch(lease(1, 0).mac, IP, NOW).await;
        assert_eq!(
            store.lease(IP).await.unwrap().unwrap().version,
            2,
            "not each time"
        );
    }

    #[test]
    fn an_exhausted_pool_is_told_once_in_ten_minutes() {
        let leases = Leases::new(Arc::new(AnyStore::in_memory()));
        let pool = Pool {
            first: IP,
            last: IP,
        };
        assert!(leases.tell_exhausted(pool, NOW));
        assert!(!leases.tell_exhausted(pool, NOW.plus(Duration::from_secs(599))));
        assert!(leases.tell_exhausted(pool, NOW.plus(EXHAUSTED_AGAIN)));
    }
}
