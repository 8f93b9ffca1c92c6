//! Who is given a script, an answer, or has a report taken (design sections 3.1 and 3.2).

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::plan::Plan;
use super::{BootFiles, Known};
use crate::base::{Architecture, HardwareAddr, Uuid};
use crate::config::Snapshot;
use crate::config::snapshot::Host;
use crate::journal::event::Reason;
use crate::record::{Record, ReportKind};

/// A request for a machine's boot script, by HTTP or TFTP.
#[derive(Debug, Clone)]
pub struct ScriptRequest {
    /// Whose script, as the path says.
    pub mac: HardwareAddr,
    /// Who asks.
    pub peer: Ipv4Addr,
    /// The UUID that the machine tells: of its query, else of option 97 of its last DHCP packet.
    pub uuid: Option<Uuid>,
    /// The serial number that the machine tells in its query.
    pub serial: Option<String>,
    /// Whether the query told `uuid` and `serial` (they may be empty).
    pub identified: bool,
    /// The architecture seen in its DHCP packets.
    pub seen: Option<Architecture>,
}

/// What is served for it.
#[derive(Debug, Clone)]
pub enum ScriptDecision {
    /// The script of this plan.
    Host {
        /// The host.
        host: Arc<Host>,
        /// Its plan.
        plan: Plan,
    },
    /// A script that asks again and tells UUID and serial number, because the host names one.
    Identify {
        /// The host.
        host: Arc<Host>,
    },
    /// A script that says "not this machine".
    NotThisMachine,
    /// A script that tells how to adopt the machine.
    Unknown,
}

/// Decides about a script.
pub fn script(
    request: &ScriptRequest,
    snapshot: &Snapshot,
    known: Known<'_>,
    files: &dyn BootFiles,
) -> ScriptDecision {
    let _ = (request, snapshot, known, files);
    ScriptDecision::Unknown
}

/// Whether a peer is the machine itself (design section 3.1): its address is the host's, or is one
/// behind which machines of its subnet may appear.
pub fn is_this_machine(snapshot: &Snapshot, host: &Host, peer: Ipv4Addr) -> bool {
    let _ = snapshot;
    host.ip == peer
}

/// Whether an answer may be served to this peer under this record's token.
pub fn answer(record: &Record, snapshot: &Snapshot, peer: Ipv4Addr) -> Result<Arc<Host>, Reason> {
    let _ = (record, snapshot, peer);
    Err(Reason::UnknownToken)
}

/// Whether a report (or a log, for which `kind` is `None`) may be taken from this peer.
pub fn report(
    record: &Record,
    snapshot: &Snapshot,
    peer: Ipv4Addr,
    kind: Option<ReportKind>,
    now: crate::base::Timestamp,
) -> Result<(), Reason> {
    let _ = (record, snapshot, peer, kind, now);
    Err(Reason::UnknownToken)
}
