//! Which subnet a message is of, from which address it is answered, and where the answer goes.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::config::Snapshot;
use crate::config::snapshot::{Host, Subnet};
use crate::decide::{Arrival, Destination};
use crate::journal::event::Reason;
use crate::wire::dhcp::{MessageType, Reply, Request};

/// This server's address as the machines of a subnet see it: in URLs, as server identifier, as the
/// TFTP server.
///
/// The subnet's `server`; else the address that the request was sent to, when that is one of the
/// interface's; else the interface's first address inside the subnet; else `route_source`, from which
/// the kernel would answer the relay or the peer. `None` when nothing fits.
pub fn server_address(
    subnet: &Subnet,
    arrival_addresses: &[Ipv4Net],
    to: Ipv4Addr,
    route_source: Option<Ipv4Addr>,
) -> Option<Ipv4Addr> {
    let asked = arrival_addresses
        .iter()
        .map(Ipv4Net::addr)
        .find(|address| *address == to);
    let inside = || {
        arrival_addresses
            .iter()
            .map(Ipv4Net::addr)
            .find(|address| subnet.network.contains(address))
    };
    subnet
        .server
        .or(asked)
        .or_else(inside)
        .or_else(|| route_source.filter(|address| !address.is_unspecified()))
}

/// The address that a reply leaves from: the server identifier, where it is one of the interface's
/// (it need not be: `server` may be an address that something else forwards here).
pub(super) fn source_address(
    identifier: Ipv4Addr,
    subnet: &Subnet,
    arrival: &Arrival,
    route_source: Option<Ipv4Addr>,
) -> Ipv4Addr {
    if arrival.addresses.iter().any(|own| own.addr() == identifier) {
        return identifier;
    }
    let plain = Subnet {
        server: None,
        ..subnet.clone()
    };
    server_address(&plain, &arrival.addresses, arrival.to, route_source).unwrap_or(identifier)
}

/// Where a message came from, as an index into [`Snapshot::subnets`].
///
/// A relayed one: the subnet that holds the link which the relay names, else the relay itself. A
/// direct one: the host's own subnet, when the interface has an address in it (several subnets may
/// share a wire); one sent to this server by unicast: the subnet of the address that the client has
/// (it renews through a router); else the first subnet of the interface.
pub(super) fn subnet_of(
    request: &Request,
    arrival: &Arrival,
    snapshot: &Snapshot,
    host: &Host,
) -> Result<usize, Reason> {
    let holding = |address: Ipv4Addr| {
        snapshot
            .subnets
            .iter()
            .position(|subnet| subnet.network.contains(&address))
    };
    if !request.giaddr.is_unspecified() {
        let link = request.selected_link().unwrap_or(request.giaddr);
        return holding(link).ok_or(Reason::UnknownRelay);
    }
    let local = |index: &usize| {
        snapshot.subnets.get(*index).is_some_and(|subnet| {
            arrival
                .addresses
                .iter()
                .any(|own| subnet.network.contains(&own.addr()))
        })
    };
    if local(&host.subnet) {
        return Ok(host.subnet);
    }
    if !arrival.to.is_broadcast()
        && !request.ciaddr.is_unspecified()
        && let Some(index) = holding(request.ciaddr)
    {
        return Ok(index);
    }
    (0..snapshot.subnets.len())
        .find(local)
        .ok_or(Reason::NoSubnet)
}

/// Where a reply goes (RFC 2131 section 4.1). Always to the client's port or the relay's, whatever
/// port the request came from.
pub(super) fn destination(request: &Request, reply: &Reply) -> Destination {
    // BOOTP looks for an address of the client's first (RFC 1542 section 5.4).
    if reply.message_type().is_none() && !request.ciaddr.is_unspecified() {
        return Destination::Client(request.ciaddr);
    }
    if !request.giaddr.is_unspecified() {
        return Destination::Relay(request.giaddr);
    }
    if reply.message_type() == Some(MessageType::Nak) {
        return Destination::Broadcast;
    }
    if !request.ciaddr.is_unspecified() {
        return Destination::Client(request.ciaddr);
    }
    // Other links than Ethernet: no frame can be built for them here.
    if request.broadcast || request.mac.octets().is_none() {
        return Destination::Broadcast;
    }
    Destination::Link {
        yiaddr: reply.yiaddr,
        chaddr: request.mac,
    }
}

/// Where the answer to an INFORM goes: to the client directly (RFC 2131 section 4.3.5), because a
/// relay would look for it at `yiaddr`, which stays empty.
pub(super) fn inform_destination(request: &Request, arrival: &Arrival) -> Destination {
    if !request.ciaddr.is_unspecified() {
        return Destination::Client(request.ciaddr);
    }
    if !request.giaddr.is_unspecified() {
        return Destination::Relay(request.giaddr);
    }
    match *arrival.source.ip() {
        Ipv4Addr::UNSPECIFIED => Destination::Broadcast,
        source => Destination::Client(source),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing;
    use super::*;

    fn nets(addresses: &[&str]) -> Vec<Ipv4Net> {
        addresses.iter().map(|net| net.parse().unwrap()).collect()
    }

    #[test]
    fn server_address_in_order_of_preference() {
        let snapshot = testing::snapshot();
        let mut lab = snapshot.subnets[0].clone();
        let own = nets(&["192.0.2.1/24", "10.99.0.2/24", "10.99.0.3/24"]);
        let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        let route = Some(ip("192.0.2.9"));
        let of =
            |subnet: &Subnet, own: &[Ipv4Net], to: &str| server_address(subnet, own, ip(to), route);
        assert_eq!(of(&lab, &own, "255.255.255.255"), Some(ip("10.99.0.2")));
        assert_eq!(of(&lab, &own, "10.99.0.3"), Some(ip("10.99.0.3")));
        assert_eq!(of(&lab, &own, "192.0.2.1"), Some(ip("192.0.2.1")));
        // Sent to somebody else's address: not this server's.
        assert_eq!(of(&lab, &own, "10.99.0.77"), Some(ip("10.99.0.2")));
        assert_eq!(of(&lab, &nets(&["192.0.2.1/24"]), "255.255.255.255"), route);
        assert_eq!(server_address(&lab, &[], Ipv4Addr::BROADCAST, None), None);
        lab.server = Some(ip("10.99.0.200"));
        assert_eq!(of(&lab, &own, "10.99.0.3"), Some(ip("10.99.0.200")));
    }
}
