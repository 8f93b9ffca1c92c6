//! Router solicitations and advertisements (RFC 4861 sections 4.1 and 4.2) as Ethernet frames.
//!
//! The one advertisement that is written says that here is no router: lifetime 0, no prefix, no flags.
//!
//! **Invariant:** what [`read`] gives is valid by RFC 4861 sections 6.1.1 and 6.1.2: hop limit 255, a right
//! checksum, options of a length that fits, and an advertisement's source is link-local.

use std::net::Ipv6Addr;

use etherparse::{LinkSlice, NetSlice, PacketBuilder, SlicedPacket, TransportSlice};

/// ICMPv6 type of a router solicitation.
pub const SOLICITATION: u8 = 133;
/// ICMPv6 type of a router advertisement.
pub const ADVERTISEMENT: u8 = 134;

/// All routers of a link (RFC 4291 section 2.7.1).
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// What says that no router has forwarded the packet.
const HOP_LIMIT: u8 = 255;

/// Where an advertisement's router lifetime stands after type, code and checksum: two bytes.
const LIFETIME: std::ops::Range<usize> = 2..4;
/// Bytes before an advertisement's options, after type, code, checksum and the first four of its own:
/// reachable time and retransmission timer.
const ADVERTISEMENT_REST: usize = 8;

/// Option: the sender's address on the link (RFC 4861 section 4.6.1).
const SOURCE_LINK_LAYER: u8 = 1;

/// Why a frame is none of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotNdp {
    /// Something else altogether, or cut short.
    #[error("no router solicitation or advertisement over IPv6 and Ethernet")]
    Other,
    /// A router has forwarded it, so that it comes from elsewhere.
    #[error("the hop limit is {0} instead of 255")]
    HopLimit(u8),
    /// The checksum is wrong.
    #[error("the checksum is wrong")]
    Checksum,
    /// The code is not 0.
    #[error("the code is {0} instead of 0")]
    Code(u8),
    /// An option has length 0, or goes beyond the end.
    #[error("an option does not fit")]
    Option,
    /// The source does not fit the message.
    #[error("{0} cannot be the source")]
    Source(Ipv6Addr),
}

/// A machine that asks for routers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solicitation {
    /// The frame's source.
    pub mac: [u8; 6],
    /// The packet's source; unspecified while the machine has no address.
    pub source: Ipv6Addr,
    /// The sender's address on the link, as it says itself.
    pub link_layer: Option<[u8; 6]>,
}

/// A router that tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advertisement {
    /// The frame's source.
    pub mac: [u8; 6],
    /// The router, link-local.
    pub source: Ipv6Addr,
    /// For how many seconds it is a default router; 0: it is none.
    pub lifetime: u16,
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// A solicitation.
    Solicitation(Solicitation),
    /// An advertisement.
    Advertisement(Advertisement),
}

impl Message {
    /// The frame's source.
    pub const fn mac(&self) -> [u8; 6] {
        match self {
            Self::Solicitation(asked) => asked.mac,
            Self::Advertisement(told) => told.mac,
        }
    }
}

/// Reads an Ethernet frame.
pub fn read(frame: &[u8]) -> Result<Message, NotNdp> {
    let packet = SlicedPacket::from_ethernet(frame).map_err(|_| NotNdp::Other)?;
    let (
        Some(LinkSlice::Ethernet2(ethernet)),
        Some(NetSlice::Ipv6(ip)),
        Some(TransportSlice::Icmpv6(icmp)),
    ) = (packet.link, packet.net, packet.transport)
    else {
        return Err(NotNdp::Other);
    };
    let kind = icmp.type_u8();
    if !matches!(kind, SOLICITATION | ADVERTISEMENT) {
        return Err(NotNdp::Other);
    }
    let header = ip.header();
    if header.hop_limit() != HOP_LIMIT {
        return Err(NotNdp::HopLimit(header.hop_limit()));
    }
    if !icmp.is_checksum_valid(header.source(), header.destination()) {
        return Err(NotNdp::Checksum);
    }
    if icmp.code_u8() != 0 {
        return Err(NotNdp::Code(icmp.code_u8()));
    }
    let source = header.source_addr();
    // Type, code, checksum, and four bytes that differ.
    let own = icmp.bytes5to8();
    let rest = icmp.payload();
    if kind == SOLICITATION {
        if source.is_multicast() {
            return Err(NotNdp::Source(source));
        }
        let link_layer = link_layer(rest)?;
        if source.is_unspecified() && link_layer.is_some() {
            return Err(NotNdp::Source(source));
        }
        return Ok(Message::Solicitation(Solicitation {
            mac: ethernet.source(),
            source,
            link_layer,
        }));
    }
    if !source.is_unicast_link_local() {
        return Err(NotNdp::Source(source));
    }
    link_layer(rest.get(ADVERTISEMENT_REST..).ok_or(NotNdp::Other)?)?;
    let lifetime = own
        .get(LIFETIME)
        .and_then(|bytes| <[u8; 2]>::try_from(bytes).ok())
        .ok_or(NotNdp::Other)?;
    Ok(Message::Advertisement(Advertisement {
        mac: ethernet.source(),
        source,
        lifetime: u16::from_be_bytes(lifetime),
    }))
}

/// The sender's address on an Ethernet among the options, all of which have to fit.
fn link_layer(mut options: &[u8]) -> Result<Option<[u8; 6]>, NotNdp> {
    let mut found = None;
    while let [code, eights, ..] = options {
        let length = usize::from(*eights) * 8;
        if length == 0 {
            return Err(NotNdp::Option);
        }
        let (option, next) = options.split_at_checked(length).ok_or(NotNdp::Option)?;
        if *code == SOURCE_LINK_LAYER && found.is_none() {
            found = option
                .get(2..)
                .and_then(|address| <[u8; 6]>::try_from(address).ok());
        }
        options = next;
    }
    if options.is_empty() {
        Ok(found)
    } else {
        Err(NotNdp::Option)
    }
}

/// An advertisement that offers nothing: no default router (lifetime 0), no prefix, no DHCPv6 (flags M and
/// O are 0). It ends a machine's waiting for a router and configures nothing.
pub fn empty_advertisement(
    from_mac: [u8; 6],
    from: Ipv6Addr,
    to_mac: [u8; 6],
    to: Ipv6Addr,
) -> Vec<u8> {
    // Hop limit unspecified, no flags, lifetime 0; reachable time and retransmission timer unspecified.
    let mut rest = vec![0; ADVERTISEMENT_REST];
    rest.extend(source_link_layer(from_mac));
    frame(ADVERTISEMENT, from_mac, from, to_mac, to, &rest)
}

/// A solicitation to all routers.
pub fn solicitation(from_mac: [u8; 6], from: Ipv6Addr) -> Vec<u8> {
    // RFC 2464 section 7.
    let to_mac = [0x33, 0x33, 0, 0, 0, 2];
    let option = source_link_layer(from_mac);
    frame(SOLICITATION, from_mac, from, to_mac, ALL_ROUTERS, &option)
}

fn source_link_layer(mac: [u8; 6]) -> Vec<u8> {
    [[SOURCE_LINK_LAYER, 1].as_slice(), &mac].concat()
}

/// A message of one of the two types, with a right checksum, whatever its body.
pub(super) fn frame(
    kind: u8,
    from_mac: [u8; 6],
    from: Ipv6Addr,
    to_mac: [u8; 6],
    to: Ipv6Addr,
    rest: &[u8],
) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(from_mac, to_mac)
        .ipv6(from.octets(), to.octets(), HOP_LIMIT)
        .icmpv6_raw(kind, 0, [0; 4]);
    let mut bytes = Vec::with_capacity(builder.size(rest.len()));
    match builder.write(&mut bytes, rest) {
        Ok(()) => bytes,
        // Only for a payload longer than an IPv6 packet holds.
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SERVER: [u8; 6] = [0x9a, 0x48, 0x47, 0x98, 0x58, 0x1f];
    const CLIENT: [u8; 6] = [0x52, 0x54, 0, 0x47, 0x86, 0x8e];

    fn ip(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    /// The solicitation of iPXE 1.0.0+git-20190125 (QEMU's ROM of Debian 12), as captured.
    const IPXE: [u8; 70] = [
        0x33, 0x33, 0x00, 0x00, 0x00, 0x02, 0x52, 0x54, 0x00, 0x47, 0x86, 0x8e, 0x86, 0xdd, //
        0x60, 0x00, 0x00, 0x00, 0x00, 0x10, 0x3a, 0xff, 0xfe, 0x80, 0x00, 0x00, 0x00, 0x00, //
        0x00, 0x00, 0x50, 0x54, 0x00, 0xff, 0xfe, 0x47, 0x86, 0x8e, 0xff, 0x02, 0x00, 0x00, //
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x85, 0x00, //
        0xcc, 0xda, 0x00, 0x00, 0x00, 0x00, 0x01, 0x01, 0x52, 0x54, 0x00, 0x47, 0x86, 0x8e, //
    ];

    #[test]
    fn ipxe_asks_from_its_own_address_and_names_its_card() {
        assert_eq!(
            read(&IPXE),
            Ok(Message::Solicitation(Solicitation {
                mac: CLIENT,
                source: ip("fe80::5054:ff:fe47:868e"),
                link_layer: Some(CLIENT),
            }))
        );
    }

    #[test]
    fn an_advertisement_offers_nothing() {
        let from = ip("fe80::9848:47ff:fe98:581f");
        let to = ip("fe80::5054:ff:fe47:868e");
        let frame = empty_advertisement(SERVER, from, CLIENT, to);
        assert_eq!(frame[..6], CLIENT);
        assert_eq!(frame[38..54], to.octets());
        assert_eq!(
            read(&frame),
            Ok(Message::Advertisement(Advertisement {
                mac: SERVER,
                source: from,
                lifetime: 0
            }))
        );
        // Hop limit, flags, lifetime, timers: nothing; then our address on the link and no more.
        let mut body = vec![0; 12];
        body.extend([1, 1]);
        body.extend(SERVER);
        assert_eq!(frame[58..], body);
    }

    #[test]
    fn what_has_crossed_a_router_or_was_damaged_is_refused() {
        let mut far = IPXE;
        far[21] = 254;
        assert_eq!(read(&far), Err(NotNdp::HopLimit(254)));
        let mut damaged = IPXE;
        damaged[69] ^= 1;
        assert_eq!(read(&damaged), Err(NotNdp::Checksum));
        assert_eq!(read(&IPXE[..60]), Err(NotNdp::Other));
        assert_eq!(read(&[]), Err(NotNdp::Other));
        assert_eq!(
            read(&frame(
                SOLICITATION,
                CLIENT,
                Ipv6Addr::UNSPECIFIED,
                SERVER,
                ALL_ROUTERS,
                &source_link_layer(CLIENT)
            )),
            Err(NotNdp::Source(Ipv6Addr::UNSPECIFIED))
        );
        let global = ip("2001:db8::1");
        assert_eq!(
            read(&empty_advertisement(SERVER, global, CLIENT, global)),
            Err(NotNdp::Source(global))
        );
        let with = |option: &[u8]| {
            let from = ip("fe80::1");
            read(&frame(
                SOLICITATION,
                CLIENT,
                from,
                SERVER,
                ALL_ROUTERS,
                option,
            ))
        };
        assert_eq!(with(&[1, 0, 0, 0, 0, 0, 0, 0]), Err(NotNdp::Option));
        assert_eq!(with(&[1, 2, 0, 0, 0, 0, 0, 0]), Err(NotNdp::Option));
        assert_eq!(with(&[1]), Err(NotNdp::Option));
        // A nonce (RFC 3971) before, an InfiniBand address instead.
        let both = [&[14, 1, 0, 0, 0, 0, 0, 0], &source_link_layer(CLIENT)[..]].concat();
        assert!(
            matches!(with(&both), Ok(Message::Solicitation(s)) if s.link_layer == Some(CLIENT))
        );
        let long = [vec![1, 3], vec![7; 22]].concat();
        assert!(matches!(with(&long), Ok(Message::Solicitation(s)) if s.link_layer.is_none()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_damaged_solicitation_never_reads_as_another(at in 0..IPXE.len(), flip in 1..=255_u8) {
            let mut bytes = IPXE;
            bytes[at] ^= flip;
            // What comes before the packet's addresses has no checksum.
            if at >= 22 {
                prop_assert!(read(&bytes).is_err());
            }
        }

        #[test]
        fn what_is_written_is_read(
            from_mac: [u8; 6], to_mac: [u8; 6], from in any::<u64>(), to in any::<u128>(),
        ) {
            let from = Ipv6Addr::from((0xfe80_u128 << 112) | u128::from(from));
            let to = Ipv6Addr::from(to);
            let told = read(&empty_advertisement(from_mac, from, to_mac, to));
            prop_assert_eq!(told, Ok(Message::Advertisement(Advertisement {
                mac: from_mac, source: from, lifetime: 0,
            })));
            let asked = read(&solicitation(from_mac, from));
            prop_assert_eq!(asked, Ok(Message::Solicitation(Solicitation {
                mac: from_mac, source: from, link_layer: Some(from_mac),
            })));
        }

        #[test]
        fn any_options_are_read_or_refused(options in prop::collection::vec(any::<u8>(), 0..64)) {
            let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
            let _ = read(&frame(SOLICITATION, CLIENT, from, SERVER, ALL_ROUTERS, &options));
            let _ = read(&frame(ADVERTISEMENT, CLIENT, from, SERVER, ALL_ROUTERS, &options));
        }
    }
}
