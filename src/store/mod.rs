//! L4, durable state: the installation records, and the leases of machines without a reservation.
//!
//! [`Embedded`] is one file of this machine, [`Memory`] is for tests and for what must leave nothing
//! behind, [`Broken`] fails on demand.
//!
//! **Invariant:** every change is a compare-and-set and is on disk when `commit` returns; a failed
//! write means that no answer which depends on it leaves. A store that is new, lost or was damaged
//! knows no host: all of them are `local`.

mod broken;
mod cache;
mod embedded;
pub(crate) mod file;
mod memory;
mod upgrade;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use broken::{Broken, Switches};
pub use embedded::Embedded;
pub use memory::Memory;

use crate::base::{HardwareAddr, HostName, Token};
use crate::record::{Lease, Record};

/// A value and the version by which a change of it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// Counts up with each change; a record that is not there has version 0.
    pub version: u64,
    /// The value.
    pub value: T,
}

/// A record as it is stored: one value for the store and whoever has read it.
pub type Stored = Versioned<Arc<Record>>;

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
    pub next: Arc<Record>,
}

/// One change of one lease: of the address that it is for, whoever had it before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseChange {
    /// The version that it was made from.
    pub expect: u64,
    /// The lease as it is to be.
    pub next: Lease,
}

/// Why a lease was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else changed the lease of this address meanwhile; read again.
    #[error("the lease of {0} was changed meanwhile")]
    Conflict(Ipv4Addr),
    /// Nothing was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A host as a configuration has it, to be remembered for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Its name.
    pub host: HostName,
    /// Its hardware addresses.
    pub macs: Vec<HardwareAddr>,
}

/// What was found where the store was to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenOutcome {
    /// A store that could be read.
    Existing {
        /// The number of records in it.
        records: usize,
    },
    /// Nothing: a new one was made.
    New,
    /// Something that cannot be read as a store: it was set aside and a new one was made.
    Damaged {
        /// Where it lies now.
        kept_as: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The disk refuses (full, read-only, failing). Reads and commits fail until it recovers, which is
    /// tried again by itself.
    Unavailable {
        /// What the system says.
        why: String,
    },
}

/// Why a store cannot be opened at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another daemon has it.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The file or its folder may not be used by this user.
    #[error("{} cannot be opened: {why}", .path.display())]
    Denied {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The folder is not there.
    #[error("the folder {} is not there", .0.display())]
    NoFolder(PathBuf),
    /// A damaged file could not be renamed.
    #[error("{} is damaged ({damage}) and cannot be set aside: {why}", .path.display())]
    CannotSetAside {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: String,
        /// What the system says about the renaming.
        why: String,
    },
    /// Something else that the system refuses.
    #[error("{} cannot be opened: {why}", .path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
}

impl OpenError {
    /// What to do about it.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Locked(_) => {
                "stop the other bootwright on this folder, or set another [server] state_dir"
                    .to_owned()
            }
            Self::Denied { .. } => {
                "its folder and itself have to belong to the user that bootwright runs as"
                    .to_owned()
            }
            Self::NoFolder(_) => "make it, or set another [server] state_dir".to_owned(),
            Self::CannotSetAside { path, .. } => format!(
                "move {} away by hand; every host is `local` then, until it is armed anew",
                path.display()
            ),
            Self::System { .. } => return None,
        })
    }
}

/// Whichever store is configured.
#[derive(Debug)]
pub enum AnyStore {
    /// A file of this machine.
    Embedded(Embedded),
    /// Memory only.
    Memory(Memory),
    /// Memory that fails on demand.
    Broken(Broken),
}

#[expect(
    clippy::unused_async,
    reason = "reading is asynchronous where the store is a server"
)]
impl AnyStore {
    /// Opens the embedded store in this file, making it if there is none. What cannot be read is set
    /// aside, never deleted. Blocks for as long as the disk takes.
    pub fn open(path: &Path) -> Result<(Self, OpenOutcome), OpenError> {
        let (store, outcome) = Embedded::open(path)?;
        Ok((Self::Embedded(store), outcome))
    }

    /// A store that forgets.
    pub fn in_memory() -> Self {
        Self::Memory(Memory::default())
    }

    /// A store that fails on demand, and the switches that make it.
    pub fn broken() -> (Self, Switches) {
        let (store, switches) = Broken::new();
        (Self::Broken(store), switches)
    }

    /// Why nothing can be written at present; `None`: as far as is known, everything can.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Embedded(store) => store.trouble(),
            Self::Memory(_) => None,
            Self::Broken(store) => store.trouble(),
        }
    }

    /// The record of a host.
    pub async fn record(&self, host: &HostName) -> Result<Option<Stored>, StoreError> {
        match self {
            Self::Embedded(store) => store.record(host),
            Self::Memory(store) => Ok(store.record(host)),
            Self::Broken(store) => store.record(host),
        }
    }

    /// Whether there is no record of a host, where that can be told without waiting.
    pub fn surely_lacks(&self, host: &HostName) -> bool {
        match self {
            Self::Embedded(store) => matches!(store.record(host), Ok(None)),
            Self::Memory(store) => store.record(host).is_none(),
            Self::Broken(_) => false,
        }
    }

    /// The version of a host's record, where that can be told without waiting; `None`: there is none, or it
    /// cannot be read.
    pub fn version(&self, host: &HostName) -> Option<u64> {
        match self {
            Self::Embedded(store) => store.version(host),
            Self::Memory(store) => store.record(host).map(|record| record.version),
            Self::Broken(store) => store.record(host).ok()?.map(|record| record.version),
        }
    }

    /// The record with this token; compared in constant time.
    pub async fn by_token(&self, token: &Token) -> Result<Option<Stored>, StoreError> {
        match self {
            Self::Embedded(store) => store.by_token(token),
            Self::Memory(store) => Ok(store.by_token(token)),
            Self::Broken(store) => store.by_token(token),
        }
    }

    /// All records, by host name.
    pub async fn records(&self) -> Result<Vec<Stored>, StoreError> {
        match self {
            Self::Embedded(store) => store.records(),
            Self::Memory(store) => Ok(store.records()),
            Self::Broken(store) => store.records(),
        }
    }

    /// The hosts that wait for another one, by name.
    pub async fn waiting(&self) -> Result<Vec<HostName>, StoreError> {
        match self {
            Self::Embedded(store) => store.waiting(),
            Self::Memory(store) => Ok(store.waiting()),
            Self::Broken(store) => store.waiting(),
        }
    }

    /// Remembers the names and hardware addresses of hosts for good, on disk when this returns. For each
    /// host: whether neither its name nor any of its addresses was ever remembered or recorded.
    pub async fn remember(&self, hosts: &[Remembered]) -> Result<Vec<bool>, StoreError> {
        match self {
            Self::Embedded(store) => store.remember(hosts).await,
            Self::Memory(store) => Ok(store.remember(hosts)),
            Self::Broken(store) => store.remember(hosts),
        }
    }

    /// Makes all changes or none; they are on disk when this returns.
    pub async fn commit(&self, changes: &[Change]) -> Result<(), CommitError> {
        match self {
            Self::Embedded(store) => store.commit(changes).await,
            Self::Memory(store) => store.commit(changes),
            Self::Broken(store) => store.commit(changes),
        }
    }

    /// The lease of an address.
    pub async fn lease(&self, ip: Ipv4Addr) -> Result<Option<Versioned<Lease>>, StoreError> {
        match self {
            Self::Embedded(store) => store.lease(ip),
            Self::Memory(store) => Ok(store.lease(ip)),
            Self::Broken(store) => store.lease(ip),
        }
    }

    /// All leases, by address.
    pub async fn leases(&self) -> Result<Vec<Versioned<Lease>>, StoreError> {
        match self {
            Self::Embedded(store) => store.leases(),
            Self::Memory(store) => Ok(store.leases()),
            Self::Broken(store) => store.leases(),
        }
    }

    /// Changes a lease; it is on disk when this returns. The version that it has then.
    pub async fn commit_lease(&self, change: &LeaseChange) -> Result<u64, LeaseError> {
        match self {
            Self::Embedded(store) => store.commit_lease(change).await,
            Self::Memory(store) => store.commit_lease(change),
            Self::Broken(store) => store.commit_lease(change),
        }
    }
}
