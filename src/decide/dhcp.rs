//! The answer to one DHCP message.

use std::net::Ipv4Addr;

use super::{Arrival, Destination, Facts, Stage};
use crate::base::HostName;
use crate::config::Snapshot;
use crate::journal::event::{Kind, Reason};
use crate::wire::dhcp::{Reply, Request};

/// What is done with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Answer it.
    Send {
        /// What.
        reply: Box<Reply>,
        /// Where to.
        to: Destination,
        /// The address that it leaves from: the server identifier, where it is one of the interface's.
        from: Ipv4Addr,
    },
    /// Say nothing.
    Ignore,
}

/// What was decided, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is done.
    pub outcome: Outcome,
    /// The event's kind.
    pub kind: Kind,
    /// The event's reason.
    pub reason: Reason,
    /// The host that asked, when one is known.
    pub host: Option<HostName>,
    /// How far the machine is.
    pub stage: Stage,
    /// The boot file in the reply.
    pub boot_file: Option<String>,
    /// The particulars, for the event.
    pub detail: Option<String>,
}

/// The reserved host that a message is from, for gathering its facts.
pub fn asking_host<'a>(
    request: &Request,
    snapshot: &'a Snapshot,
) -> Option<&'a std::sync::Arc<crate::config::snapshot::Host>> {
    snapshot.host_by_mac(request.mac)
}

/// Decides the answer to one message.
pub fn decide(
    request: &Request,
    arrival: &Arrival,
    snapshot: &Snapshot,
    facts: &Facts<'_>,
) -> Decision {
    let _ = (arrival, snapshot, facts);
    Decision {
        outcome: Outcome::Ignore,
        kind: Kind::DhcpIgnored,
        reason: Reason::UnknownHost,
        host: None,
        stage: Stage::of(request),
        boot_file: None,
        detail: None,
    }
}
