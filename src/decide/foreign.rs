//! Whose a DHCP reply is that was overheard on a link, and whether it is to be told.
//!
//! **Invariant:** what this server says itself, also through a relay or by another of its interfaces, is
//! never another server's; and where the configuration expects another server, its addresses are no news.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::config::Snapshot;
use crate::config::snapshot::Mode;
use crate::wire::dhcp::overheard::{Overheard, Said};

/// Where a reply was overheard.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// The hardware addresses of all interfaces of this machine.
    pub own_macs: &'a [[u8; 6]],
    /// The addresses of all interfaces of this machine.
    pub own_addresses: &'a [Ipv4Addr],
    /// The addresses of the interface that it was overheard on, with their networks.
    pub networks: &'a [Ipv4Net],
}

/// Whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// This server's.
    Own,
    /// Another server's that is expected (`mode = "proxy"` or `"off"`).
    Expected,
    /// Another server's.
    Foreign,
}

/// Judges a reply.
pub fn judge(heard: &Overheard, place: &Place<'_>) -> Whose {
    let is_own_address = place.own_addresses.contains(&heard.server)
        || place
            .snapshot
            .subnets
            .iter()
            .any(|subnet| subnet.server == Some(heard.server));
    if place.own_macs.contains(&heard.mac) || is_own_address {
        return Whose::Own;
    }
    let mode = mode(place.snapshot, place.networks, heard.address);
    match (mode, heard.said) {
        (Mode::Authoritative, _) | (Mode::Proxy, Said::BootFile) => Whose::Foreign,
        (Mode::Proxy | Mode::Off, _) => Whose::Expected,
    }
}

/// The mode of the subnet that an address is of; where it is of none (another server may give anything), the
/// strictest of those on the link.
pub fn mode(snapshot: &Snapshot, networks: &[Ipv4Net], address: Option<Ipv4Addr>) -> Mode {
    if let Some(subnet) = address.and_then(|address| snapshot.subnet_containing(address)) {
        return subnet.mode;
    }
    let modes: Vec<Mode> = snapshot
        .subnets
        .iter()
        .filter(|subnet| {
            networks
                .iter()
                .any(|net| subnet.network.contains(&net.addr()))
        })
        .map(|subnet| subnet.mode)
        .collect();
    [Mode::Authoritative, Mode::Proxy, Mode::Off]
        .into_iter()
        .find(|mode| modes.contains(mode))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::HardwareAddr;
    use crate::decide::testing::snapshot;

    const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 5];

    fn heard(said: Said, server: [u8; 4], address: Option<[u8; 4]>) -> Overheard {
        Overheard {
            mac: OTHER,
            server: server.into(),
            said,
            client: HardwareAddr::ethernet([0x52, 0x54, 0, 0x47, 0x86, 0x8e]),
            xid: 1,
            address: address.map(Ipv4Addr::from),
        }
    }

    fn whose(snapshot: &Snapshot, heard: &Overheard) -> Whose {
        let networks = ["10.99.0.2/24".parse().unwrap()];
        judge(
            heard,
            &Place {
                snapshot,
                own_macs: &[OWN],
                own_addresses: &[Ipv4Addr::new(10, 99, 0, 2)],
                networks: &networks,
            },
        )
    }

    #[test]
    fn another_server_is_told_from_this_one() {
        let snapshot = snapshot();
        let inside = Some([10, 99, 0, 77]);
        let offer = heard(Said::Offer, [10, 99, 0, 5], inside);
        assert_eq!(whose(&snapshot, &offer), Whose::Foreign);
        // A home router with a network of its own.
        let router = heard(Said::Ack, [192, 168, 1, 1], Some([192, 168, 1, 7]));
        assert_eq!(whose(&snapshot, &router), Whose::Foreign);
        // Our own, through a relay on the same link.
        let relayed = heard(Said::Offer, [10, 99, 0, 2], inside);
        assert_eq!(whose(&snapshot, &relayed), Whose::Own);
        // Our own, by another interface.
        let own = Overheard { mac: OWN, ..offer };
        assert_eq!(whose(&snapshot, &own), Whose::Own);
    }

    #[test]
    fn where_another_server_is_expected_its_addresses_are_no_news() {
        let mut snapshot = snapshot();
        let offer = heard(Said::Offer, [10, 99, 0, 5], Some([10, 99, 0, 77]));
        let boot = heard(Said::BootFile, [10, 99, 0, 5], None);
        let elsewhere = heard(Said::Offer, [10, 99, 0, 5], Some([172, 16, 0, 9]));
        for (mode, of_offer, of_boot) in [
            (Mode::Authoritative, Whose::Foreign, Whose::Foreign),
            // Two that name boot files are one too many.
            (Mode::Proxy, Whose::Expected, Whose::Foreign),
            (Mode::Off, Whose::Expected, Whose::Expected),
        ] {
            for subnet in &mut snapshot.subnets {
                subnet.mode = mode;
            }
            assert_eq!(whose(&snapshot, &offer), of_offer, "{mode:?}");
            assert_eq!(whose(&snapshot, &elsewhere), of_offer, "{mode:?}");
            assert_eq!(whose(&snapshot, &boot), of_boot, "{mode:?}");
        }
    }

    #[test]
    fn a_link_of_several_subnets_is_as_strict_as_the_strictest() {
        let mut snapshot = snapshot();
        let nets: Vec<Ipv4Net> = snapshot
            .subnets
            .iter()
            .map(|subnet| subnet.network)
            .collect();
        let hosts: Vec<Ipv4Net> = nets
            .iter()
            .map(|net| Ipv4Net::new(net.hosts().nth(1).unwrap(), net.prefix_len()).unwrap())
            .collect();
        for subnet in &mut snapshot.subnets {
            subnet.mode = Mode::Proxy;
        }
        assert_eq!(mode(&snapshot, &hosts, None), Mode::Proxy);
        snapshot.subnets[0].mode = Mode::Authoritative;
        assert_eq!(mode(&snapshot, &hosts, None), Mode::Authoritative);
        assert_eq!(mode(&snapshot, &[], None), Mode::Authoritative);
    }
}
