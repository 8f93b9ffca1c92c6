//! The Ethernet frame of a reply to a client that has no address yet (RFC 2131 section 4.1).
//!
//! Built whole, with both checksums: behind a bridge or tap a checksum left to the hardware is never
//! filled in, and PXE ROMs check it.

use std::net::Ipv4Addr;

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
    let builder = PacketBuilder::ethernet2(src_mac, dst_mac)
        .ipv4(src_ip.octets(), dst_ip.octets(), TTL)
        .udp(SERVER_PORT, CLIENT_PORT);
    let mut frame = Vec::with_capacity(builder.size(payload.len()));
    match builder.write(&mut frame, payload) {
        Ok(()) => frame,
        Err(_) => Vec::new(),
    }
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
