//! The records in memory, and the rule by which they change.
//!
//! **Invariant:** [`Cache::check`] is the only judge of a compare-and-set; a set of changes passes as
//! a whole or not at all.

use std::collections::BTreeMap;

use subtle::{Choice, ConstantTimeEq as _};

use super::{Change, CommitError, Versioned};
use crate::base::{HostName, Token};
use crate::record::Record;

/// All records, by host.
#[derive(Debug, Clone, Default)]
pub(super) struct Cache {
    records: BTreeMap<HostName, Versioned<Record>>,
}

impl Cache {
    pub(super) fn get(&self, host: &HostName) -> Option<Versioned<Record>> {
        self.records.get(host).cloned()
    }

    pub(super) fn all(&self) -> Vec<Versioned<Record>> {
        self.records.values().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Finds a token. Every record is compared, each in constant time, so that the time taken tells
    /// nothing about how much of a guess was right.
    pub(super) fn by_token(&self, token: &Token) -> Option<Versioned<Record>> {
        let asked = token.reveal().as_bytes();
        let mut found = None;
        for record in self.records.values() {
            let same = record.value.token.as_ref().map_or_else(
                || Choice::from(0),
                |own| own.reveal().as_bytes().ct_eq(asked),
            );
            if bool::from(same) {
                found = Some(record);
            }
        }
        found.cloned()
    }

    fn version(&self, host: &HostName) -> u64 {
        self.records.get(host).map_or(0, |record| record.version)
    }

    /// What the changes make of the records, without making them. The same host twice is a conflict
    /// unless the second change was made from the first.
    pub(super) fn check(&self, changes: &[Change]) -> Result<Vec<Versioned<Record>>, CommitError> {
        self.check_after(&[], changes)
    }

    /// The same, after other changes that passed but were not made yet.
    pub(super) fn check_after(
        &self,
        staged: &[Versioned<Record>],
        changes: &[Change],
    ) -> Result<Vec<Versioned<Record>>, CommitError> {
        let mut next: Vec<Versioned<Record>> = Vec::with_capacity(changes.len());
        for change in changes {
            let host = &change.next.host;
            let version = staged
                .iter()
                .chain(&next)
                .rev()
                .find(|earlier| earlier.value.host == *host)
                .map_or_else(|| self.version(host), |earlier| earlier.version);
            if version != change.expect {
                return Err(CommitError::Conflict(host.clone()));
            }
            next.push(Versioned {
                version: version.saturating_add(1),
                value: change.next.clone(),
            });
        }
        Ok(next)
    }

    pub(super) fn put(&mut self, record: Versioned<Record>) {
        self.records.insert(record.value.host.clone(), record);
    }
}

impl FromIterator<Versioned<Record>> for Cache {
    fn from_iter<I: IntoIterator<Item = Versioned<Record>>>(records: I) -> Self {
        let mut cache = Self::default();
        for record in records {
            cache.put(record);
        }
        cache
    }
}
