//! A store that forgets: for tests, and for servers that must leave nothing behind.

use std::net::Ipv4Addr;
use std::sync::{PoisonError, RwLock};

use super::cache::Cache;
use super::{Change, CommitError, LeaseChange, LeaseError, Remembered, Stored, Versioned};
use crate::base::{HostName, Token};
use crate::record::Lease;

/// Records in memory.
#[derive(Debug, Default)]
pub struct Memory {
    cache: RwLock<Cache>,
}

impl Memory {
    /// The record of a host.
    pub fn record(&self, host: &HostName) -> Option<Stored> {
        self.read(|cache| cache.get(host))
    }

    /// The record with this token; compared in constant time.
    pub fn by_token(&self, token: &Token) -> Option<Stored> {
        self.read(|cache| cache.by_token(token))
    }

    /// All records, by host name.
    pub fn records(&self) -> Vec<Stored> {
        self.read(Cache::all)
    }

    /// The hosts that wait for another one, by name.
    pub fn waiting(&self) -> Vec<HostName> {
        self.read(Cache::waiting)
    }

    /// Makes all changes or none.
    pub fn commit(&self, changes: &[Change]) -> Result<(), CommitError> {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        for record in cache.check(changes)? {
            cache.put(record);
        }
        Ok(())
    }

    /// Remembers hosts for good; for each, whether nothing of it was known before.
    pub fn remember(&self, hosts: &[Remembered]) -> Vec<bool> {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        let (new, marks) = cache.unknown(hosts);
        cache.remember(marks);
        new
    }

    /// The lease of an address.
    pub fn lease(&self, ip: Ipv4Addr) -> Option<Versioned<Lease>> {
        self.read(|cache| cache.lease(ip))
    }

    /// All leases, by address.
    pub fn leases(&self) -> Vec<Versioned<Lease>> {
        self.read(Cache::leases)
    }

    /// Changes a lease; the version that it has then.
    pub fn commit_lease(&self, change: &LeaseChange) -> Result<u64, LeaseError> {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        let next = cache.check_lease(&[], change)?;
        let version = next.version;
        cache.put_lease(next);
        Ok(version)
    }

    fn read<T>(&self, look: impl FnOnce(&Cache) -> T) -> T {
        look(&self.cache.read().unwrap_or_else(PoisonError::into_inner))
    }
}
