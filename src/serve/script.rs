//! Serving a machine's boot script, by HTTP and by TFTP alike.
//!
//! **Invariant:** the record is advanced, and is on disk, before the text is handed back; a script
//! that cannot be rendered, or an advance that cannot be recorded, never starts an installer.

use std::net::Ipv4Addr;

use crate::base::{HardwareAddr, HostName, Uuid};
use crate::journal::event::Reason;

use super::context::Context;

/// Who asks for whose script, and how.
#[derive(Debug, Clone)]
pub struct ScriptAsk {
    /// Whose script.
    pub mac: HardwareAddr,
    /// Who asks.
    pub peer: Ipv4Addr,
    /// This server's address that was asked.
    pub local: Ipv4Addr,
    /// The UUID in the query; else that of option 97 is used.
    pub uuid: Option<Uuid>,
    /// The serial number in the query.
    pub serial: Option<String>,
    /// Whether the query told `uuid` and `serial` (they may be empty).
    pub identified: bool,
    /// How it is asked for.
    pub via: Via,
    /// The file as named by the machine, for the event.
    pub file: String,
    /// Nothing is changed: a HEAD request. The event says so.
    pub preview: bool,
}

/// By which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// HTTP: `http.script` is written here.
    Http,
    /// TFTP: the transfer's own event tells; none is written here.
    Tftp,
}

/// The script to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptAnswer {
    /// Its text.
    pub text: String,
    /// Why it is this one.
    pub reason: Reason,
    /// The host, when the MAC is reserved.
    pub host: Option<HostName>,
    /// The particulars, for the event.
    pub detail: Option<String>,
}

/// The script for a machine. Always gives one: trouble of the server's own is shown on the machine's
/// screen.
pub async fn serve_script(ctx: &Context, ask: ScriptAsk) -> ScriptAnswer {
    let _ = (ctx, ask);
    ScriptAnswer {
        text: crate::render::scripts::trouble(""),
        reason: Reason::StoreUnavailable,
        host: None,
        detail: None,
    }
}

/// The script for any machine (`/boot/boot.ipxe`, by TFTP `boot.ipxe` and `autoexec.ipxe`): chains to
/// the machine's own. `local` is the address that was asked.
pub fn chain_script(ctx: &Context, peer: Ipv4Addr, local: Ipv4Addr) -> String {
    let in_force = ctx.config();
    let snapshot = &in_force.snapshot;
    let server = snapshot
        .subnet_containing(peer)
        .and_then(|subnet| subnet.server)
        .unwrap_or(local);
    crate::render::scripts::chain(&crate::render::base_url(server, snapshot.server.http_port))
}
