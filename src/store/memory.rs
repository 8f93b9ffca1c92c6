//! A store that forgets: for tests, and for servers that must leave nothing behind.

use std::sync::{PoisonError, RwLock};

use super::cache::Cache;
use super::{Change, CommitError, Remembered, Versioned};
use crate::base::{HostName, Token};
use crate::record::Record;

/// Records in memory.
#[derive(Debug, Default)]
pub struct Memory {
    cache: RwLock<Cache>,
}

impl Memory {
    /// The record of a host.
    pub fn record(&self, host: &HostName) -> Option<Versioned<Record>> {
        self.read(|cache| cache.get(host))
    }

    /// The record with this token; compared in constant time.
    pub fn by_token(&self, token: &Token) -> Option<Versioned<Record>> {
        self.read(|cache| cache.by_token(token))
    }

    /// All records, by host name.
    pub fn records(&self) -> Vec<Versioned<Record>> {
        self.read(Cache::all)
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

    fn read<T>(&self, look: impl FnOnce(&Cache) -> T) -> T {
        look(&self.cache.read().unwrap_or_else(PoisonError::into_inner))
    }
}
