//! Which of a host's network cards a message is about, and which port holds an address that several may
//! have.
//!
//! Ports that share an address (a bond, or ports of which any may boot) get it one at a time once a system
//! runs: two ports with one address disturb each other. Firmware, iPXE and installers use one port, and
//! which one is theirs to choose; that one of them asks also tells that no system runs any more.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::{Known, Stage};
use crate::base::HardwareAddr;
use crate::config::snapshot::{Card, Host};
use crate::record::InstallState;
use crate::wire::dhcp::Request;

/// Which port holds an address that several may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The address.
    pub ip: Ipv4Addr,
    /// The port.
    pub mac: HardwareAddr,
}

/// What becomes of an address that several ports may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// A port has it from now on.
    Taken {
        /// The address and the port.
        held: Held,
        /// For so long at most.
        lease: Duration,
    },
    /// No port has it any more.
    Left(Ipv4Addr),
}

/// The network card that a message from this subnet is about: among those with the hardware address that
/// asks the one in the subnet, else the first one that has an address, else any.
pub(super) fn card_of(host: &Host, mac: HardwareAddr, subnet: usize) -> Option<Card<'_>> {
    let own = || host.cards().filter(|card| card.macs.contains(&mac));
    own()
        .find(|card| card.subnet == Some(subnet))
        .or_else(|| own().find(|card| card.ip.is_some()))
        .or_else(|| own().next())
}

/// Of several subnets that this hardware address of the host may be in, the one that a direct message is
/// from: all of them are on the wire that it came by, so that only an address that the machine names tells
/// them apart.
pub(super) fn subnet_on_wire(
    request: &Request,
    host: &Host,
    is_on_wire: impl Fn(usize) -> bool,
) -> Option<usize> {
    let named = [Some(request.ciaddr), request.requested_address()];
    let own = || {
        host.cards()
            .filter(|card| card.macs.contains(&request.mac))
            .filter_map(|card| Some((card.ip, card.subnet?)))
            .filter(|(_, subnet)| is_on_wire(*subnet))
    };
    own()
        .find(|(ip, _)| ip.is_some() && named.contains(ip))
        .or_else(|| own().next())
        .map(|(_, subnet)| subnet)
}

/// Whether a message is of firmware, iPXE or an installer.
pub(super) fn is_booting(stage: Stage, known: Known<'_>) -> bool {
    let installs = match known {
        Known::Record(record) => matches!(
            record.state,
            InstallState::Booting | InstallState::Installing
        ),
        Known::Nothing | Known::Unavailable => false,
    };
    stage.is_boot() || installs
}

/// The other port that holds the address of a card, when there is one.
pub(super) fn other_holder(
    card: &Card<'_>,
    ip: Ipv4Addr,
    mac: HardwareAddr,
    held: &[Held],
) -> Option<HardwareAddr> {
    held.iter()
        .find(|held| held.ip == ip && held.mac != mac && card.macs.contains(&held.mac))
        .map(|held| held.mac)
}
