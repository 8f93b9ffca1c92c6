//! L3, the core: what a machine gets, and why.
//!
//! **Invariant:** no `async`, clock, randomness, log or socket. What was read from outside (the
//! record, the addresses of the interface, which boot files are there) is handed in; the same
//! inputs give the same answer, so that real packets can be replayed in a test.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::panic,
        clippy::unreachable
    )
)]

pub mod cards;
pub mod configs;
pub mod delivery;
pub mod dhcp;
pub mod firmware;
pub mod foreign;
pub mod free;
pub mod http;
pub mod loops;
pub mod ndp;
pub mod plan;
pub mod stage;
pub mod tftp;
pub mod transfer;

#[cfg(test)]
pub(crate) mod testing;

pub use dhcp::destination::server_address;
pub use stage::Stage;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use ipnet::Ipv4Net;

use crate::base::{Architecture, HardwareAddr, Timestamp, Token};
use crate::config::options::ConfiguredOption;
use crate::config::snapshot::{Host, Profile};
use crate::record::Record;

/// Where and when a datagram or connection came in.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The interface.
    pub iface: Arc<str>,
    /// The addresses of that interface, its first one first.
    pub addresses: Arc<[Ipv4Net]>,
    /// The address it was sent to (of `IP_PKTINFO`; 255.255.255.255 for a broadcast).
    pub to: Ipv4Addr,
    /// The peer.
    pub source: SocketAddrV4,
    /// When.
    pub at: Timestamp,
}

/// Which boot files are there, and which secrets.
pub trait BootFiles {
    /// Whether there is a file of this path under `boot_assets` that may be served.
    fn is_there(&self, path: &str) -> bool;
    /// The first boot file that this host's profile loads on this architecture and that is not
    /// there; `None` when all are. A boot text that cannot be rendered is named as missing.
    fn missing_for(&self, host: &Host, profile: &Profile, arch: Architecture) -> Option<String>;
    /// The DHCP options that this profile has for the system that installs, with the URLs of this token.
    fn options_of(
        &self,
        _host: &Host,
        _profile: &Profile,
        _token: &Token,
        _server: Ipv4Addr,
    ) -> Vec<ConfiguredOption> {
        Vec::new()
    }
    /// The first secret that this profile's answers need for the host and that is not there, by name;
    /// `None` when all are.
    fn missing_secret(
        &self,
        _host: &Host,
        _profile: &Profile,
        _arch: Architecture,
    ) -> Option<String> {
        None
    }
}

/// What was remembered of a host when a decision is made.
#[derive(Debug, Clone, Copy)]
pub enum Known<'a> {
    /// The store has this record, already judged at the present time (`record::step` with `Look`).
    Record(&'a Record),
    /// The store has none: the host is `local`.
    Nothing,
    /// The store could not be read: addresses are given and disks booted, nothing is installed.
    Unavailable,
}

/// All that was read from outside for one DHCP decision.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// What is remembered of the host that asks.
    pub known: Known<'a>,
    /// Which boot files are there.
    pub files: &'a dyn BootFiles,
    /// The local address from which the kernel would answer the relay, for relayed requests.
    pub route_source: Option<Ipv4Addr>,
    /// What is remembered of the machine's fetches of its loader; `None`: nothing.
    pub fetches: Option<&'a loops::Fetches>,
    /// What a machine without a reservation has and may have of its subnet's pool; `None`: it has no
    /// pool, or the leases cannot be read.
    pub pool: Option<dhcp::pool::PoolFacts>,
    /// Which ports hold addresses of the host that several may have.
    pub held: &'a [cards::Held],
    /// How offers to the machine have fared.
    pub delivery: delivery::Delivery,
}

/// Where a reply goes (RFC 2131 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To the relay agent, port 67.
    Relay(Ipv4Addr),
    /// To a client that has this address, port 68.
    Client(Ipv4Addr),
    /// A frame to a client that does not have its address yet.
    Link {
        /// The address it will have.
        yiaddr: Ipv4Addr,
        /// Its hardware address.
        chaddr: HardwareAddr,
    },
    /// To 255.255.255.255, port 68.
    Broadcast,
    /// Both as a frame and by broadcast, because one of them alone has not been heard.
    Both {
        /// The address it will have.
        yiaddr: Ipv4Addr,
        /// Its hardware address.
        chaddr: HardwareAddr,
    },
    /// To whoever asked, at the port that it asked from (PXE 2.1 section 2.2.2, port 4011).
    Peer(SocketAddrV4),
}
