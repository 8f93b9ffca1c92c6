//! Replies of other DHCP servers, as frames that pass on a link, and the DISCOVER that calls such servers
//! forth.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{LinkSlice, NetSlice, SlicedPacket, TransportSlice};

use super::{MessageType, Request};
use crate::base::HardwareAddr;
use crate::wire::frame::{CLIENT_PORT, SERVER_PORT, udp_frame};

/// `op` of a server's message (RFC 2131 section 2).
const BOOTREPLY: u8 = 2;

/// What a server said to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It offers an address.
    Offer,
    /// It grants an address.
    Ack,
    /// It refuses an address.
    Nak,
    /// It names something to boot and gives no address (PXE specification 2.1, "proxyDHCP").
    BootFile,
}

/// A reply on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overheard {
    /// The card that sent the frame: the server's, or that of a relay or router before it.
    pub mac: [u8; 6],
    /// The server: option 54, else the packet's source.
    pub server: Ipv4Addr,
    /// What it says.
    pub said: Said,
    /// To whom (`chaddr`).
    pub client: HardwareAddr,
    /// The transaction.
    pub xid: u32,
    /// The address that it offers or grants (`yiaddr`).
    pub address: Option<Ipv4Addr>,
}

/// Reads an Ethernet frame; `None` when it is no reply of a DHCP server that gives or refuses something.
pub fn read(frame: &[u8]) -> Option<Overheard> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (
        Some(LinkSlice::Ethernet2(ethernet)),
        Some(NetSlice::Ipv4(ip)),
        Some(TransportSlice::Udp(udp)),
    ) = (packet.link, packet.net, packet.transport)
    else {
        return None;
    };
    if (udp.source_port(), udp.destination_port()) != (SERVER_PORT, CLIENT_PORT) {
        return None;
    }
    let payload = udp.payload();
    let message = Request::parse(payload).ok()?;
    if message.op != BOOTREPLY {
        return None;
    }
    let yiaddr: [u8; 4] = payload.get(16..20)?.try_into().ok()?;
    let address = Some(Ipv4Addr::from(yiaddr)).filter(|address| !address.is_unspecified());
    let said = match (message.message_type()?, address) {
        (MessageType::Offer, Some(_)) => Said::Offer,
        (MessageType::Ack, Some(_)) => Said::Ack,
        (MessageType::Nak, _) => Said::Nak,
        // An answer to an INFORM gives no address either (RFC 2131 section 4.3.5).
        (MessageType::Offer | MessageType::Ack, None) if is_pxe(&message) => Said::BootFile,
        _ => return None,
    };
    Some(Overheard {
        mac: ethernet.source(),
        server: message
            .server_identifier()
            .filter(|server| !server.is_unspecified())
            .unwrap_or_else(|| ip.header().source_addr()),
        said,
        client: message.mac,
        xid: message.xid,
        address,
    })
}

/// A proxyDHCP server says that it is one in option 60.
fn is_pxe(message: &Request) -> bool {
    message
        .vendor_class()
        .is_some_and(|class| class.starts_with(b"PXEClient"))
}

/// As whom other servers are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posing {
    /// A machine that wants an address.
    Plain,
    /// PXE firmware of a PC, for servers that answer nobody else.
    Firmware,
}

/// A DISCOVER in a frame of its own. The frame bears `card`, a card that the network knows (a switch that
/// guards its ports may close one on which a new address appears); `client` is who seems to ask. The reply
/// is wanted by broadcast.
pub fn discover(card: [u8; 6], client: [u8; 6], xid: u32, posing: Posing) -> Vec<u8> {
    const FIXED: usize = 44;
    const BROADCAST: [u8; 2] = [0x80, 0];
    let mut message = vec![1, 1, 6, 0];
    message.extend(xid.to_be_bytes());
    message.extend([0, 0]);
    message.extend(BROADCAST);
    message.extend([0; 16]);
    message.extend(client);
    message.resize(FIXED + 64 + 128, 0);
    message.extend(dhcproto::v4::MAGIC);
    // Message type, the usual parameters, the largest message.
    message.extend([53, 1, 1, 55, 7, 1, 3, 6, 43, 60, 66, 67, 57, 2, 5, 0xc0]);
    if posing == Posing::Firmware {
        let class = b"PXEClient:Arch:00000:UNDI:002001";
        message.extend([60, 32]);
        message.extend(class);
        message.extend([93, 2, 0, 0, 94, 3, 1, 2, 1]);
        // Type 0 and a UUID: some servers want one, which one does not matter.
        message.extend([97, 17, 0]);
        message.extend([client; 3].concat().get(..16).unwrap_or_default());
    }
    message.push(255);
    if message.len() < super::MIN_MESSAGE {
        message.resize(super::MIN_MESSAGE, 0);
    }
    udp_frame(
        card,
        [0xff; 6],
        SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT),
        SocketAddrV4::new(Ipv4Addr::BROADCAST, SERVER_PORT),
        &message,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::dhcp::Reply;
    use crate::wire::frame::dhcp_frame;
    use proptest::prelude::*;

    const CARD: [u8; 6] = [2, 0, 0, 0, 0, 5];
    const CLIENT: [u8; 6] = [0x52, 0x54, 0, 0x47, 0x86, 0x8e];
    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 5);

    fn asked(posing: Posing) -> Request {
        let frame = discover(CARD, CLIENT, 7, posing);
        assert_eq!(frame[6..12], CARD);
        let packet = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(TransportSlice::Udp(udp)) = packet.transport else {
            panic!("no UDP");
        };
        assert_eq!((udp.source_port(), udp.destination_port()), (68, 67));
        Request::parse(udp.payload()).unwrap()
    }

    fn reply(kind: MessageType, change: impl FnOnce(&mut Reply)) -> Vec<u8> {
        let mut reply = Reply::to(&asked(Posing::Plain), kind);
        change(&mut reply);
        dhcp_frame(CARD, CLIENT, SERVER, Ipv4Addr::BROADCAST, &reply.encode())
    }

    #[test]
    fn the_question_is_a_discover() {
        for posing in [Posing::Plain, Posing::Firmware] {
            let request = asked(posing);
            assert_eq!(request.message_type(), Some(MessageType::Discover));
            assert_eq!(request.mac, HardwareAddr::ethernet(CLIENT));
            assert_eq!((request.xid, request.broadcast), (7, true));
            let is_firmware = posing == Posing::Firmware;
            assert_eq!(request.vendor_class().is_some(), is_firmware);
            assert_eq!(request.uuid().is_some(), is_firmware);
            assert_eq!(request.architectures().count(), usize::from(is_firmware));
            // Not a reply.
            assert_eq!(read(&discover(CARD, CLIENT, 7, posing)), None);
        }
    }

    #[test]
    fn what_servers_say() {
        let address = Ipv4Addr::new(10, 99, 0, 77);
        let heard = read(&reply(MessageType::Offer, |reply| reply.yiaddr = address)).unwrap();
        assert_eq!(
            heard,
            Overheard {
                mac: CARD,
                server: SERVER,
                said: Said::Offer,
                client: HardwareAddr::ethernet(CLIENT),
                xid: 7,
                address: Some(address),
            }
        );
        let said = |kind, yiaddr: Ipv4Addr| {
            read(&reply(kind, |reply| reply.yiaddr = yiaddr)).map(|heard| heard.said)
        };
        assert_eq!(said(MessageType::Ack, address), Some(Said::Ack));
        assert_eq!(
            said(MessageType::Nak, Ipv4Addr::UNSPECIFIED),
            Some(Said::Nak)
        );
        // To an INFORM, and what no server says.
        assert_eq!(said(MessageType::Ack, Ipv4Addr::UNSPECIFIED), None);
        assert_eq!(said(MessageType::Discover, address), None);
    }

    proptest! {
        #[test]
        fn any_frame_is_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_damaged_reply_is_read_or_not(at in 0..300_usize, byte: u8, cut in 0..400_usize) {
            let mut frame = reply(MessageType::Offer, |reply| reply.yiaddr = SERVER);
            frame[at] = byte;
            let _ = read(&frame);
            let _ = read(frame.get(..cut).unwrap_or_default());
        }
    }
}
