//! A machine's network card: DHCP messages written by hand, and whatever frames come back.

#![allow(
    dead_code,
    reason = "each test program uses its own part of what is shared"
)]

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

use bootwright::host::links::Links;

/// A frame that came in.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) source_mac: [u8; 6],
    pub(crate) target_mac: [u8; 6],
    pub(crate) source: SocketAddrV4,
    pub(crate) target: SocketAddrV4,
    pub(crate) checksum_is_right: bool,
    pub(crate) payload: Vec<u8>,
}

/// The card.
pub(crate) struct Card {
    frames: OwnedFd,
    udp: UdpSocket,
}

impl Card {
    /// On this interface, which need not have an address. To be called inside the namespace.
    pub(crate) fn open(iface: &str) -> Self {
        let link = Links::read()
            .expect("interfaces")
            .for_interface(iface)
            .expect("the interface");
        let frames = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        )
        .expect("a packet socket");
        bind(frames.as_raw_fd(), &link.link.expect("an address")).expect("bound");
        setsockopt(
            &frames,
            sockopt::ReceiveTimeout,
            &TimeVal::milliseconds(100),
        )
        .expect("patience");
        let udp = socket2::Socket::new(
            socket2::Domain::IPV4,
            socket2::Type::DGRAM,
            Some(socket2::Protocol::UDP),
        )
        .expect("a socket");
        udp.set_broadcast(true).expect("broadcast");
        udp.set_reuse_address(true).expect("reuse");
        udp.bind_device(Some(iface.as_bytes())).expect("the device");
        udp.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68).into())
            .expect("port 68");
        Self {
            frames,
            udp: udp.into(),
        }
    }

    /// Broadcasts a message.
    pub(crate) fn broadcast(&self, message: &[u8]) {
        self.udp
            .send_to(message, (Ipv4Addr::BROADCAST, 67))
            .expect("sent");
    }

    /// Sends a frame as it is.
    pub(crate) fn send(&self, frame: &[u8]) {
        send(self.frames.as_raw_fd(), frame, MsgFlags::empty()).expect("sent");
    }

    /// The next frame in which this finds something, within this time; also of those that this side sends.
    pub(crate) fn find<T>(
        &self,
        within: Duration,
        mut find: impl FnMut(&[u8]) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + within;
        let mut buf = [0; 2_048];
        while Instant::now() < deadline {
            if let Ok(len) = recv(self.frames.as_raw_fd(), &mut buf, MsgFlags::empty())
                && let Some(found) = find(&buf[..len])
            {
                return Some(found);
            }
        }
        None
    }

    /// Broadcasts a message as a machine does that has no address, also where this namespace has one that
    /// the system would send from.
    pub(crate) fn broadcast_frame(&self, mac: [u8; 6], message: &[u8]) {
        let frame = etherparse::PacketBuilder::ethernet2(mac, [0xff; 6])
            .ipv4([0; 4], [255; 4], 64)
            .udp(68, 67);
        let mut bytes = Vec::new();
        frame.write(&mut bytes, message).expect("a frame");
        self.send(&bytes);
    }

    /// The next DHCP frame that is not our own, within this time.
    pub(crate) fn next(&self, within: Duration) -> Option<Frame> {
        self.find(within, |bytes| {
            read(bytes).filter(|frame| frame.source.port() == 67)
        })
    }
}

/// An IPv4 datagram of UDP, in its frame.
pub(crate) fn read(bytes: &[u8]) -> Option<Frame> {
    use etherparse::{LinkSlice, NetSlice, SlicedPacket, TransportSlice};
    let packet = SlicedPacket::from_ethernet(bytes).ok()?;
    let Some(LinkSlice::Ethernet2(ethernet)) = packet.link else {
        return None;
    };
    let Some(NetSlice::Ipv4(ip)) = packet.net else {
        return None;
    };
    let Some(TransportSlice::Udp(udp)) = packet.transport else {
        return None;
    };
    let header = ip.header().to_header();
    let sum = udp
        .to_header()
        .calc_checksum_ipv4(&header, udp.payload())
        .ok()?;
    Some(Frame {
        source_mac: ethernet.source(),
        target_mac: ethernet.destination(),
        source: SocketAddrV4::new(header.source.into(), udp.source_port()),
        target: SocketAddrV4::new(header.destination.into(), udp.destination_port()),
        checksum_is_right: sum == udp.checksum(),
        payload: udp.payload().to_vec(),
    })
}

/// The message types of RFC 2132 section 9.6.
pub(crate) const DISCOVER: u8 = 1;
pub(crate) const OFFER: u8 = 2;
pub(crate) const REQUEST: u8 = 3;
pub(crate) const DECLINE: u8 = 4;

/// A message of a PXE ROM on a PC BIOS.
pub(crate) fn message(
    mac: [u8; 6],
    xid: u32,
    kind: u8,
    broadcast: bool,
    giaddr: Ipv4Addr,
) -> Vec<u8> {
    let mut bytes = vec![1, 1, 6, 0];
    bytes.extend(xid.to_be_bytes());
    bytes.extend([0, 0, if broadcast { 0x80 } else { 0 }, 0]);
    bytes.extend([0; 12]);
    bytes.extend(giaddr.octets());
    bytes.extend(mac);
    bytes.extend([0; 10 + 64 + 128]);
    bytes.extend([99, 130, 83, 99]);
    bytes.extend([53, 1, kind]);
    if kind == REQUEST {
        // SELECTING: the address and the server of the offers here.
        bytes.extend([50, 4, 10, 99, 0, 11, 54, 4, 10, 99, 0, 1]);
    }
    bytes.extend([55, 4, 1, 3, 66, 67]);
    bytes.extend([60, 9]);
    bytes.extend(b"PXEClient");
    bytes.extend([93, 2, 0, 0, 255]);
    bytes
}

/// What a reply says: xid, yiaddr, message type, and the server identifier.
pub(crate) fn reply(payload: &[u8]) -> (u32, Ipv4Addr, u8, Option<Ipv4Addr>) {
    let four = |at: usize| <[u8; 4]>::try_from(&payload[at..at + 4]).expect("four bytes");
    let mut options = &payload[240..];
    let (mut kind, mut server) = (0, None);
    while let [code, len, rest @ ..] = options {
        if *code == 255 {
            break;
        }
        let (value, next) = rest.split_at(usize::from(*len));
        match code {
            53 => kind = value[0],
            54 => server = Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).expect("four"))),
            _ => {}
        }
        options = next;
    }
    (u32::from_be_bytes(four(4)), four(16).into(), kind, server)
}
