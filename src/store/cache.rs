//! The records in memory, and the rule by which they change.
//!
//! **Invariant:** [`Cache::check`] is the only judge of a compare-and-set; a set of changes passes as
//! a whole or not at all.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Change, CommitError, LeaseChange, LeaseError, Remembered, Stored, Versioned};
use crate::base::{FastMap, FastSet, HardwareAddr, HostName, Token};
use crate::record::{InstallState, Lease};

/// All records, by host, all hosts that were ever remembered, and all leases, by address.
#[derive(Debug, Clone, Default)]
pub(super) struct Cache {
    records: FastMap<HostName, Stored>,
    /// Whose token it is. SipHash under a key of this process: neither the place that is looked at nor how many are
    /// compared tells how much of a guess was right.
    tokens: HashMap<Token, HostName>,
    /// Those that wait for another host.
    waiting: BTreeSet<HostName>,
    known: FastSet<Mark>,
    leases: BTreeMap<Ipv4Addr, Versioned<Lease>>,
}

/// What is remembered of a host for good.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Mark {
    /// Its name.
    Name(HostName),
    /// One of its hardware addresses.
    Mac(HardwareAddr),
}

impl Mark {
    fn of(host: &Remembered) -> impl Iterator<Item = Self> + '_ {
        let macs = host.macs.iter().copied().map(Self::Mac);
        std::iter::once(Self::Name(host.host.clone())).chain(macs)
    }
}

impl Cache {
    pub(super) fn get(&self, host: &HostName) -> Option<Stored> {
        self.records.get(host).cloned()
    }

    pub(super) fn version_of(&self, host: &HostName) -> Option<u64> {
        self.records.get(host).map(|record| record.version)
    }

    pub(super) fn all(&self) -> Vec<Stored> {
        let mut all: Vec<_> = self.records.values().cloned().collect();
        all.sort_by(|a, b| a.value.host.cmp(&b.value.host));
        all
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Finds a token; what it is compared with is compared in constant time ([`Token`]).
    pub(super) fn by_token(&self, token: &Token) -> Option<Stored> {
        let record = self.records.get(self.tokens.get(token)?)?;
        (record.value.token.as_ref() == Some(token)).then(|| record.clone())
    }

    /// The hosts that wait for another one, by name.
    pub(super) fn waiting(&self) -> Vec<HostName> {
        self.waiting.iter().cloned().collect()
    }

    /// For each host, whether neither its name nor any of its hardware addresses was ever remembered or
    /// recorded; and what there is to be written down.
    pub(super) fn unknown(&self, hosts: &[Remembered]) -> (Vec<bool>, Vec<Mark>) {
        // Only for hosts that are not remembered, of which there are none at most reloads.
        let recorded = LazyCell::new(|| -> HashSet<HardwareAddr> {
            let records = self.records.values();
            records
                .flat_map(|record| record.value.macs.iter().copied())
                .collect()
        });
        let is_known = |mark: &Mark| {
            self.known.contains(mark)
                || match mark {
                    Mark::Name(name) => self.records.contains_key(name),
                    Mark::Mac(mac) => recorded.contains(mac),
                }
        };
        let new = hosts
            .iter()
            .map(|host| !Mark::of(host).any(|mark| is_known(&mark)))
            .collect();
        let marks = hosts
            .iter()
            .flat_map(Mark::of)
            .filter(|mark| !self.known.contains(mark))
            .collect();
        (new, marks)
    }

    pub(super) fn remember(&mut self, marks: impl IntoIterator<Item = Mark>) {
        self.known.extend(marks);
    }

    /// Everything that is remembered.
    pub(super) fn known(&self) -> &FastSet<Mark> {
        &self.known
    }

    fn version(&self, host: &HostName) -> u64 {
        self.records.get(host).map_or(0, |record| record.version)
    }

    /// What the changes make of the records, without making them. The same host twice is a conflict
    /// unless the second change was made from the first.
    pub(super) fn check(&self, changes: &[Change]) -> Result<Vec<Stored>, CommitError> {
        self.check_after(&FastMap::default(), changes)
    }

    /// The same, after other changes that passed but were not made yet: the versions that they lead to.
    pub(super) fn check_after(
        &self,
        staged: &FastMap<HostName, u64>,
        changes: &[Change],
    ) -> Result<Vec<Stored>, CommitError> {
        let mut next: Vec<Stored> = Vec::with_capacity(changes.len());
        let mut own: FastMap<&HostName, u64> = FastMap::default();
        for change in changes {
            let host = &change.next.host;
            let earlier = own.get(host).or_else(|| staged.get(host)).copied();
            let version = earlier.unwrap_or_else(|| self.version(host));
            if version != change.expect {
                return Err(CommitError::Conflict(host.clone()));
            }
            own.insert(host, version.saturating_add(1));
            next.push(Versioned {
                version: version.saturating_add(1),
                value: Arc::clone(&change.next),
            });
        }
        Ok(next)
    }

    pub(super) fn lease(&self, ip: Ipv4Addr) -> Option<Versioned<Lease>> {
        self.leases.get(&ip).cloned()
    }

    pub(super) fn leases(&self) -> Vec<Versioned<Lease>> {
        self.leases.values().cloned().collect()
    }

    /// What a change makes of a lease, without making it, after others that passed but were not made
    /// yet.
    pub(super) fn check_lease(
        &self,
        staged: &[Versioned<Lease>],
        change: &LeaseChange,
    ) -> Result<Versioned<Lease>, LeaseError> {
        let ip = change.next.ip;
        let version = staged
            .iter()
            .rev()
            .find(|earlier| earlier.value.ip == ip)
            .or_else(|| self.leases.get(&ip))
            .map_or(0, |lease| lease.version);
        if version != change.expect {
            return Err(LeaseError::Conflict(ip));
        }
        Ok(Versioned {
            version: version.saturating_add(1),
            value: change.next.clone(),
        })
    }

    pub(super) fn put_lease(&mut self, lease: Versioned<Lease>) {
        self.leases.insert(lease.value.ip, lease);
    }

    pub(super) fn put(&mut self, record: Stored) {
        let value = &record.value;
        let host = value.host.clone();
        let old = self.records.get(&host);
        if let Some(token) = old.and_then(|old| old.value.token.as_ref())
            && value.token.as_ref() != Some(token)
        {
            self.tokens.remove(token);
        }
        if let Some(token) = &value.token {
            self.tokens.insert(token.clone(), host.clone());
        }
        if value.state == InstallState::Waiting {
            self.waiting.insert(host.clone());
        } else {
            self.waiting.remove(&host);
        }
        self.records.insert(host, record);
    }
}

impl FromIterator<Stored> for Cache {
    fn from_iter<I: IntoIterator<Item = Stored>>(records: I) -> Self {
        let mut cache = Self::default();
        for record in records {
            cache.put(record);
        }
        cache
    }
}
