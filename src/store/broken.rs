//! A store that fails on demand: how everything above behaves without one is tested against it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::{
    Change, CommitError, LeaseChange, LeaseError, Memory, Remembered, StoreError, Stored, Versioned,
};
use crate::base::{HostName, Token};
use crate::record::Lease;

/// What fails; shared with the store it came with.
#[derive(Debug, Clone, Default)]
pub struct Switches {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    reads: AtomicBool,
    commits: AtomicBool,
    conflicts: AtomicU32,
}

impl Switches {
    /// Whether reads fail from now on.
    pub fn fail_reads(&self, fail: bool) {
        self.inner.reads.store(fail, Ordering::SeqCst);
    }

    /// Whether commits fail from now on.
    pub fn fail_commits(&self, fail: bool) {
        self.inner.commits.store(fail, Ordering::SeqCst);
    }

    /// The next so many commits meet somebody else's change.
    pub fn conflict(&self, times: u32) {
        self.inner.conflicts.store(times, Ordering::SeqCst);
    }
}

/// Memory behind switches.
#[derive(Debug, Default)]
pub struct Broken {
    memory: Memory,
    switches: Switches,
}

impl Broken {
    /// A store that works until a switch is thrown.
    pub fn new() -> (Self, Switches) {
        let store = Self::default();
        let switches = store.switches.clone();
        (store, switches)
    }

    fn readable(&self) -> Result<(), StoreError> {
        if self.switches.inner.reads.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("reads fail by order".to_owned()));
        }
        Ok(())
    }

    /// The record of a host.
    pub fn record(&self, host: &HostName) -> Result<Option<Stored>, StoreError> {
        self.readable()?;
        Ok(self.memory.record(host))
    }

    /// The record with this token.
    pub fn by_token(&self, token: &Token) -> Result<Option<Stored>, StoreError> {
        self.readable()?;
        Ok(self.memory.by_token(token))
    }

    /// All records, by host name.
    pub fn records(&self) -> Result<Vec<Stored>, StoreError> {
        self.readable()?;
        Ok(self.memory.records())
    }

    /// The hosts that wait for another one, by name.
    pub fn waiting(&self) -> Result<Vec<HostName>, StoreError> {
        self.readable()?;
        Ok(self.memory.waiting())
    }

    /// Why nothing can be written at present.
    pub fn trouble(&self) -> Option<String> {
        let StoreError::Unavailable(why) = self.writable().err()?;
        Some(why)
    }

    fn writable(&self) -> Result<(), StoreError> {
        if self.switches.inner.commits.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("commits fail by order".to_owned()));
        }
        Ok(())
    }

    /// Remembers hosts for good; for each, whether nothing of it was known before.
    pub fn remember(&self, hosts: &[Remembered]) -> Result<Vec<bool>, StoreError> {
        self.readable()?;
        self.writable()?;
        Ok(self.memory.remember(hosts))
    }

    /// Makes all changes or none.
    pub fn commit(&self, changes: &[Change]) -> Result<(), CommitError> {
        self.writable()?;
        if let (true, Some(change)) = (self.meets_a_change(), changes.first()) {
            return Err(CommitError::Conflict(change.next.host.clone()));
        }
        self.memory.commit(changes)
    }

    /// The lease of an address.
    pub fn lease(&self, ip: Ipv4Addr) -> Result<Option<Versioned<Lease>>, StoreError> {
        self.readable()?;
        Ok(self.memory.lease(ip))
    }

    /// All leases, by address.
    pub fn leases(&self) -> Result<Vec<Versioned<Lease>>, StoreError> {
        self.readable()?;
        Ok(self.memory.leases())
    }

    /// Changes a lease; the version that it has then.
    pub fn commit_lease(&self, change: &LeaseChange) -> Result<u64, LeaseError> {
        self.writable()?;
        if self.meets_a_change() {
            return Err(LeaseError::Conflict(change.next.ip));
        }
        self.memory.commit_lease(change)
    }

    fn meets_a_change(&self) -> bool {
        let left = &self.switches.inner.conflicts;
        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        })
        .is_ok()
    }
}
