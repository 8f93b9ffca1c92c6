//! Frames built here: a reply to a client that has no address yet (RFC 2131 section 4.1), and the
//! question who holds an address.
//!
//! Built whole, with both checksums: behind a bridge or tap a checksum left to the hardware is never
//! filled in, and PXE ROMs check it.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::PacketBuilder;

/// UDP port of DHCP servers.
pub const SERVER_PORT: u16 = 67;
/// UDP port of DHCP clients.
pub const CLIENT_PORT: u16 = 68;
const TTL: u8 = 64;

/// Ethernet, IPv4 and UDP around a DHCP message from port 67 to port 68.
///
/// Empty when the payload is longer than a UDP datagram holds, which no reply of this server is.
pub fn dhcp_frame(
    src_mac: [u8; 6],
    dst_mac: [u8; 6],
    src_ip: Ipv4Addr,
    dst_ip: Ipv4Addr,
    payload: &[u8],
) -> Vec<u8> {
    udp_frame(
        src_mac,
        dst_mac,
        SocketAddrV4::new(src_ip, SERVER_PORT),
        SocketAddrV4::new(dst_ip, CLIENT_PORT),
        payload,
    )
}

/// Ethernet, IPv4 and UDP around a payload; empty when it is longer than a UDP datagram holds.
pub fn udp_frame(
    src_mac: [u8; 6],
    dst_mac: [u8; 6],
    from: SocketAddrV4,
    to: SocketAddrV4,
    payload: &[u8],
) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(src_mac, dst_mac)
        .ipv4(from.ip().octets(), to.ip().octets(), TTL)
        .udp(from.port(), to.port());
    let mut frame = Vec::with_capacity(builder.size(payload.len()));
    match builder.write(&mut frame, payload) {
        Ok(()) => frame,
        Err(_) => Vec::new(),
    }
}

/// EtherType of ARP.
pub const ARP: u16 = 0x0806;

/// Ethernet and IPv4 in ARP (RFC 826): hardware and protocol with their lengths.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// Shortest frame on Ethernet, without its checksum.
const MIN_FRAME: usize = 60;

/// Asks a link who holds an address, as an ARP probe: without an address of the sender, so that no
/// cache is changed by it (RFC 5227 section 2.1.1).
pub fn arp_probe(src_mac: [u8; 6], target: Ipv4Addr) -> Vec<u8> {
    const REQUEST: [u8; 2] = [0, 1];
    let parts: [&[u8]; 9] = [
        &[0xff; 6],
        &src_mac,
        &ARP.to_be_bytes(),
        &ETHERNET_IPV4,
        &REQUEST,
        &src_mac,
        &[0; 4],
        &[0; 6],
        &target.octets(),
    ];
    let mut frame = parts.concat();
    frame.resize(MIN_FRAME, 0);
    frame
}

/// Who says in an ARP frame that it holds this address; `None` for any other frame. A probe for it
/// holds no address of its sender and says nothing.
pub fn arp_holder(frame: &[u8], address: Ipv4Addr) -> Option<[u8; 6]> {
    let is_arp = frame.get(12..14)? == ARP.to_be_bytes() && frame.get(14..20)? == ETHERNET_IPV4;
    let holds = frame.get(28..32)? == address.octets();
    let mac = <[u8; 6]>::try_from(frame.get(22..28)?).ok()?;
    (is_arp && holds).then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_reads_back_with_right_checksums() {
        let payload = [7; 301];
        let frame = dhcp_frame(
            [2; 6],
            [4; 6],
            Ipv4Addr::new(10, 99, 0, 2),
            Ipv4Addr::new(10, 99, 0, 11),
            &payload,
        );
        let read = etherparse::SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(etherparse::NetSlice::Ipv4(ip)) = &read.net else {
            panic!("no IPv4: {read:?}");
        };
        let header = ip.header().to_header();
        assert_eq!(header.calc_header_checksum(), header.header_checksum);
        assert_eq!(header.source, [10, 99, 0, 2]);
        let Some(etherparse::TransportSlice::Udp(udp)) = &read.transport else {
            panic!("no UDP: {read:?}");
        };
        assert_eq!((udp.source_port(), udp.destination_port()), (67, 68));
        assert_eq!(udp.payload(), payload);
        assert_ne!(udp.checksum(), 0);
        assert_eq!(
            udp.to_header()
                .calc_checksum_ipv4(&header, udp.payload())
                .unwrap(),
            udp.checksum()
        );
    }

    #[test]
    fn an_arp_probe_and_who_answers_it() {
        let address = Ipv4Addr::new(10, 99, 0, 11);
        let probe = arp_probe([2; 6], address);
        assert_eq!(probe.len(), 60);
        let read = etherparse::SlicedPacket::from_ethernet(&probe).unwrap();
        let Some(etherparse::NetSlice::Arp(arp)) = &read.net else {
            panic!("no ARP: {read:?}");
        };
        assert_eq!(arp.operation(), etherparse::ArpOperation::REQUEST);
        assert_eq!(arp.sender_protocol_addr(), [0; 4]);
        assert_eq!(arp.target_protocol_addr(), address.octets());
        assert_eq!(arp.sender_hw_addr(), [2; 6]);
        assert_eq!(arp_holder(&probe, address), None);
        let reply = etherparse::ArpPacket::new(
            etherparse::ArpHardwareId::ETHERNET,
            etherparse::EtherType::IPV4,
            etherparse::ArpOperation::REPLY,
            &[4; 6],
            &address.octets(),
            &[2; 6],
            &[0; 4],
        )
        .unwrap();
        let ethernet = [[2; 6], [4; 6]].concat();
        let frame = [ethernet.as_slice(), &ARP.to_be_bytes(), &reply.to_bytes()].concat();
        assert_eq!(arp_holder(&frame, address), Some([4; 6]));
        assert_eq!(arp_holder(&frame, Ipv4Addr::new(10, 99, 0, 12)), None);
        for len in 0..frame.len() {
            let whole = len >= 32;
            assert_eq!(arp_holder(&frame[..len], address).is_some(), whole);
        }
    }

    #[test]
    fn too_long_is_no_frame() {
        let frame = dhcp_frame(
            [2; 6],
            [4; 6],
            Ipv4Addr::LOCALHOST,
            Ipv4Addr::LOCALHOST,
            &vec![0; 70_000],
        );
        assert!(frame.is_empty());
    }
}
