//! The one door to the records: read, judge, step, commit, tell.

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::base::{Clock, HardwareAddr, HostName, Token};
use crate::config::Snapshot;
use crate::journal::Journal;
use crate::journal::event::Reason;
use crate::record::{Input, Policy, Record, Refusal};
use crate::store::{AnyStore, StoreError};

/// Reads and changes records; cheap to clone.
#[derive(Clone)]
pub struct Installs {
    store: Arc<AnyStore>,
    journal: Journal,
    clock: Arc<dyn Clock>,
}

/// Who a change is about and where it came from, for its event.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The machine.
    pub mac: Option<HardwareAddr>,
    /// The peer.
    pub ip: Option<Ipv4Addr>,
    /// The configuration in force.
    pub generation: u64,
    /// The file, for scripts, answers and boot files.
    pub file: Option<String>,
}

/// What became of an input.
#[derive(Debug, Clone)]
pub enum Applied {
    /// The record was changed and is on disk; its event is in the journal.
    Changed(Box<Record>),
    /// It stays as it was, for this reason. No event was written.
    Same(Box<Record>, Reason),
}

impl Applied {
    /// The record as it is now.
    pub fn record(&self) -> &Record {
        match self {
            Self::Changed(record) | Self::Same(record, _) => record,
        }
    }
}

/// Why an input could not be applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApplyError {
    /// The command is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Installs {
    /// Over this store.
    pub fn new(store: Arc<AnyStore>, journal: Journal, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            journal,
            clock,
        }
    }

    /// The limits for a host: of the profile it is armed with, else of the server.
    pub fn policy(snapshot: &Snapshot, record: Option<&Record>) -> Policy {
        Policy {
            max_attempts: snapshot.server.max_attempts,
            stalled_after: snapshot
                .stalled_after(record.and_then(|record| record.profile.as_ref())),
        }
    }

    /// The record of a host, judged at the present time; `None`: nothing is known of it. A stall or a
    /// lapse found here is stored and told.
    pub async fn known(
        &self,
        snapshot: &Snapshot,
        host: &HostName,
    ) -> Result<Option<Record>, StoreError> {
        let _ = (snapshot, host, &self.store, &self.journal, &self.clock);
        Ok(None)
    }

    /// All records, judged at the present time.
    pub async fn all(&self, snapshot: &Snapshot) -> Result<Vec<Record>, StoreError> {
        let _ = snapshot;
        Ok(Vec::new())
    }

    /// The record whose token this is, judged at the present time.
    pub async fn by_token(
        &self,
        snapshot: &Snapshot,
        token: &Token,
    ) -> Result<Option<Record>, StoreError> {
        let _ = (snapshot, token);
        Ok(None)
    }

    /// Applies one input to one host. When this returns `Changed`, the change is on disk.
    pub async fn apply(
        &self,
        snapshot: &Snapshot,
        host: &HostName,
        input: &Input,
        context: &Context,
    ) -> Result<Applied, ApplyError> {
        let _ = (snapshot, host, input, context);
        Err(ApplyError::Store(StoreError::Unavailable(String::new())))
    }

    /// Applies inputs to several hosts in one change of the store: all of them or none.
    pub async fn apply_all(
        &self,
        snapshot: &Snapshot,
        inputs: &[(HostName, Input)],
        context: &Context,
    ) -> Result<Vec<Applied>, ApplyError> {
        let _ = (snapshot, inputs, context);
        Err(ApplyError::Store(StoreError::Unavailable(String::new())))
    }

    /// Brings the records in line with a configuration that has taken effect: armings that no longer
    /// fit go back to `local`. Arms nothing.
    pub async fn reload(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let _ = snapshot;
        Ok(())
    }
}
