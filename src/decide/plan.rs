//! Whether a host boots its installer or its disk, and why.

use std::sync::Arc;

use super::{BootFiles, Known};
use crate::base::Architecture;
use crate::config::Snapshot;
use crate::config::snapshot::{Host, Profile};
use crate::journal::event::Reason;

/// What a network boot of a host leads to.
#[derive(Debug, Clone)]
pub enum Plan {
    /// Its installer.
    Install {
        /// The profile it was armed with.
        profile: Arc<Profile>,
        /// The architecture it is booted for.
        arch: Architecture,
    },
    /// Its disk.
    Disk {
        /// Why.
        reason: Reason,
        /// The particulars, for the screen and the event.
        detail: Option<String>,
    },
}

/// The architecture that a host is booted for: its own `arch`, else what its firmware runs, else the
/// first of its profile, else x86_64.
pub fn architecture(
    host: &Host,
    profile: Option<&Profile>,
    seen: Option<Architecture>,
) -> Architecture {
    host.arch
        .or(seen)
        .or_else(|| profile.and_then(|profile| profile.arch.first().copied()))
        .unwrap_or(Architecture::X86_64)
}

/// Decides between installer and disk.
pub fn plan(
    snapshot: &Snapshot,
    host: &Host,
    known: Known<'_>,
    seen: Option<Architecture>,
    files: &dyn BootFiles,
) -> Plan {
    let _ = (snapshot, host, known, seen, files);
    Plan::Disk {
        reason: Reason::DiskLocal,
        detail: None,
    }
}
