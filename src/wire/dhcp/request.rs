//! What clients send.

use std::net::Ipv4Addr;

use crate::base::{ClientSystemArchitecture, HardwareAddr, Uuid};

/// Why bytes are no DHCP message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than a BOOTP header.
    #[error("{0} bytes are too few for a DHCP message")]
    Short(usize),
}

/// A message of a client, read once at the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The transaction (`xid`).
    pub xid: u32,
    /// Seconds since the client began (`secs`).
    pub secs: u16,
    /// Hops (`hops`).
    pub hops: u8,
    /// `op`: 1 is a request.
    pub op: u8,
    /// The broadcast flag.
    pub broadcast: bool,
    /// The address that the client has and may be reached at (`ciaddr`).
    pub ciaddr: Ipv4Addr,
    /// The relay agent (`giaddr`); unspecified without one.
    pub giaddr: Ipv4Addr,
    /// The client (`htype`, `hlen`, `chaddr`).
    pub mac: HardwareAddr,
    // helper B: the options
}

impl Request {
    /// Reads a datagram.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        Err(Malformed::Short(bytes.len()))
    }

    /// Option 93, all values in order.
    pub fn architectures(&self) -> Vec<ClientSystemArchitecture> {
        Vec::new()
    }

    /// Option 97.
    pub fn uuid(&self) -> Option<Uuid> {
        None
    }
}
