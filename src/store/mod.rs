//! L4, durable state: the installation records.
//!
//! **Invariant:** every change is a compare-and-set and is on disk when `commit` returns; a failed
//! write means that no answer which depends on it leaves.

use crate::base::{HostName, Token};
use crate::record::Record;

/// A value and the version by which a change of it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// Counts up with each change; a record that is not there has version 0.
    pub version: u64,
    /// The value.
    pub value: T,
}

/// Why the store cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or read.
    #[error("the store cannot be used: {0}")]
    Unavailable(String),
}

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Somebody else changed one of the records meanwhile; read again.
    #[error("{0} was changed meanwhile")]
    Conflict(HostName),
    /// Nothing was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One change of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The version that it was made from.
    pub expect: u64,
    /// The record as it is to be.
    pub next: Record,
}

/// Whichever store is configured.
#[derive(Debug)]
pub enum AnyStore {
    // helper C
}

impl AnyStore {
    /// The record of a host.
    pub async fn record(&self, host: &HostName) -> Result<Option<Versioned<Record>>, StoreError> {
        let _ = host;
        Err(StoreError::Unavailable(String::new()))
    }

    /// The record with this token; compared in constant time.
    pub async fn by_token(&self, token: &Token) -> Result<Option<Versioned<Record>>, StoreError> {
        let _ = token;
        Err(StoreError::Unavailable(String::new()))
    }

    /// All records.
    pub async fn records(&self) -> Result<Vec<Versioned<Record>>, StoreError> {
        Err(StoreError::Unavailable(String::new()))
    }

    /// Makes all changes or none; they are on disk when this returns.
    pub async fn commit(&self, changes: &[Change]) -> Result<(), CommitError> {
        let _ = changes;
        Err(CommitError::Store(StoreError::Unavailable(String::new())))
    }
}
