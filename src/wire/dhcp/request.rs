//! What clients send.

use std::net::Ipv4Addr;

use dhcproto::v4::{MessageType, OptionCode, borrowed};

use super::options::{self, Options};
use super::{BOOTP_MESSAGE, HEADER};
use crate::base::{ClientSystemArchitecture, HardwareAddr, Uuid};
use crate::wire::ipxe;

/// Why bytes are no DHCP message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than a BOOTP header and the cookie.
    #[error("{0} bytes are too few for a DHCP message (at least {HEADER})")]
    Short(usize),
    /// The magic cookie is not there (RFC 2131 section 3), and it is too short for BOOTP without one.
    #[error(
        "the magic cookie of DHCP is missing after the header, and BOOTP has {BOOTP_MESSAGE} bytes"
    )]
    NoCookie,
    /// A hardware address longer than its field.
    #[error("a hardware address of {0} bytes (`hlen`) does not fit the 16 of `chaddr`")]
    HardwareLength(u8),
    /// None at all (RFC 4390 allows it on InfiniBand).
    #[error("it tells no hardware address (`hlen` 0), by which machines are known here")]
    NoHardwareAddress,
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
    /// All options, raw.
    pub options: Options,
    /// Whether the magic cookie was there. Only BOOTP does without (RFC 951): its `vend` then tells nothing.
    pub cookie: bool,
    /// Bytes of the datagram's payload.
    pub len: usize,
}

/// `op` of a client's message (RFC 2131 section 2).
pub const BOOTREQUEST: u8 = 1;

impl Request {
    /// Reads a datagram.
    ///
    /// Any options are taken as they are; only a header that cannot be trusted is an error. `op` is
    /// not judged here.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let short = Malformed::Short(bytes.len());
        let Ok(message) = borrowed::Message::new(bytes) else {
            return Err(if bytes.len() >= HEADER - 4 {
                Malformed::NoCookie
            } else {
                short
            });
        };
        // `dhcproto` slices `chaddr` by `hlen` unchecked: both guards stand before any use of it.
        if message.hlen() > 16 {
            return Err(Malformed::HardwareLength(message.hlen()));
        }
        if message.hlen() == 0 {
            return Err(Malformed::NoHardwareAddress);
        }
        let field = |range| bytes.get(range).ok_or_else(|| short.clone());
        let cookie = field(236..HEADER)? == dhcproto::v4::MAGIC;
        if !cookie && bytes.len() < BOOTP_MESSAGE {
            return Err(Malformed::NoCookie);
        }
        let mac = HardwareAddr::new(bytes.get(1).copied().unwrap_or_default(), message.chaddr())
            .ok_or_else(|| Malformed::HardwareLength(message.hlen()))?;
        let options = if cookie {
            let area = bytes.get(HEADER..).unwrap_or_default();
            Options::read(area, field(108..236)?, field(44..108)?)
        } else {
            Options::default()
        };
        Ok(Self {
            xid: message.xid(),
            secs: message.secs(),
            hops: message.hops(),
            op: bytes.first().copied().unwrap_or_default(),
            broadcast: message.flags().broadcast(),
            ciaddr: message.ciaddr(),
            giaddr: message.giaddr(),
            mac,
            options,
            cookie,
            len: bytes.len(),
        })
    }

    /// Option 53; `None` when it is absent or empty.
    pub fn message_type(&self) -> Option<MessageType> {
        let data = self.options.get(OptionCode::MessageType)?;
        data.first().copied().map(MessageType::from)
    }

    fn address(&self, code: OptionCode) -> Option<Ipv4Addr> {
        options::address(self.options.get(code)?)
    }

    /// Option 12, as text for people.
    pub fn host_name(&self) -> Option<String> {
        options::text(self.options.get(OptionCode::Hostname)?)
    }

    /// Option 50: the address that the client would like.
    pub fn requested_address(&self) -> Option<Ipv4Addr> {
        self.address(OptionCode::RequestedIpAddress)
    }

    /// Option 51: the length of lease that the client would like, in seconds.
    pub fn lease_time(&self) -> Option<u32> {
        let data = self.options.get(OptionCode::AddressLeaseTime)?;
        <[u8; 4]>::try_from(data).ok().map(u32::from_be_bytes)
    }

    /// Option 54: the server that the client speaks to.
    pub fn server_identifier(&self) -> Option<Ipv4Addr> {
        self.address(OptionCode::ServerIdentifier)
    }

    /// Option 55: the options that the client asks for, in its order; `None` when it names none.
    pub fn parameter_request_list(&self) -> Option<&[u8]> {
        self.options
            .get(OptionCode::ParameterRequestList)
            .filter(|list| !list.is_empty())
    }

    /// Whether option 55 names this option.
    pub fn asks_for(&self, code: OptionCode) -> bool {
        self.parameter_request_list()
            .is_some_and(|list| list.contains(&u8::from(code)))
    }

    /// Option 57: the largest message that the client takes, in bytes of the whole datagram.
    pub fn max_message_size(&self) -> Option<u16> {
        let data = self.options.get(OptionCode::MaxMessageSize)?;
        <[u8; 2]>::try_from(data).ok().map(u16::from_be_bytes)
    }

    /// Option 60.
    pub fn vendor_class(&self) -> Option<&[u8]> {
        self.options.get(OptionCode::ClassIdentifier)
    }

    /// Option 61, to be echoed; never the identity of a machine.
    pub fn client_identifier(&self) -> Option<&[u8]> {
        self.options.get(OptionCode::ClientIdentifier)
    }

    /// Option 77.
    pub fn user_class(&self) -> Option<&[u8]> {
        self.options.get(OptionCode::UserClass)
    }

    /// Option 81: the client's own full name, as text for people.
    pub fn client_fqdn(&self) -> Option<String> {
        options::fqdn(self.options.get(OptionCode::ClientFQDN)?)
    }

    /// Option 82 as the relay wrote it, to be echoed byte for byte (RFC 3046 section 2.2).
    pub fn relay_agent_information(&self) -> Option<&[u8]> {
        self.options.get(OptionCode::RelayAgentInformation)
    }

    /// The link that a relay names (sub-option 5 of option 82, RFC 3527), else the subnet that the
    /// client selects (option 118, RFC 3011).
    pub fn selected_link(&self) -> Option<Ipv4Addr> {
        const LINK_SELECTION: u8 = 5;
        self.relay_address(LINK_SELECTION)
            .or_else(|| self.subnet_selection())
    }

    /// Option 118 (RFC 3011): the subnet that the client, or its relay, asks for an address of.
    pub fn subnet_selection(&self) -> Option<Ipv4Addr> {
        self.address(OptionCode::SubnetSelection)
            .filter(|address| !address.is_unspecified())
    }

    /// The address that the relay wants to be taken for the server by its clients (sub-option 11 of option
    /// 82, RFC 5107): renewals come through the relay then.
    pub fn server_identifier_override(&self) -> Option<Ipv4Addr> {
        const SERVER_IDENTIFIER_OVERRIDE: u8 = 11;
        self.relay_address(SERVER_IDENTIFIER_OVERRIDE)
            .filter(|_| !self.giaddr.is_unspecified())
    }

    /// A sub-option of option 82 that holds an address.
    fn relay_address(&self, wanted: u8) -> Option<Ipv4Addr> {
        options::relay_sub_options(self.relay_agent_information()?)
            .find(|(code, _)| *code == wanted)
            .and_then(|(_, data)| options::address(data))
            .filter(|address| !address.is_unspecified())
    }

    /// Option 93, all values in order.
    pub fn architectures(&self) -> impl Iterator<Item = ClientSystemArchitecture> + Clone + '_ {
        self.options
            .get(OptionCode::ClientSystemArchitecture)
            .unwrap_or_default()
            .chunks_exact(2)
            .filter_map(|pair| <[u8; 2]>::try_from(pair).ok())
            .map(|pair| ClientSystemArchitecture(u16::from_be_bytes(pair)))
    }

    /// Option 94: type, major and minor version of the network interface's firmware interface (UNDI).
    pub fn network_interface(&self) -> Option<(u8, u8, u8)> {
        match self.options.get(OptionCode::ClientNetworkInterface)? {
            [kind, major, minor, ..] => Some((*kind, *major, *minor)),
            _ => None,
        }
    }

    /// Option 97, when it is of the one type that is defined (0, a UUID).
    pub fn uuid(&self) -> Option<Uuid> {
        match self.machine_identifier()? {
            [0, uuid @ ..] => <[u8; 16]>::try_from(uuid).ok().map(Uuid::from_smbios),
            _ => None,
        }
    }

    /// Option 97 with its type, as the machine sends it.
    pub fn machine_identifier(&self) -> Option<&[u8]> {
        self.options.get(OptionCode::ClientMachineIdentifier)
    }

    /// Option 175: what an iPXE tells of itself.
    pub fn ipxe_features(&self) -> Option<ipxe::Features> {
        self.options
            .get(OptionCode::from(ipxe::OPTION))
            .map(ipxe::Features::read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A DISCOVER of 52:54:00:00:00:01 with these options.
    fn message(options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
        bytes[4..8].copy_from_slice(&[0xde, 0xad, 0xbe, 0xef]);
        bytes[10] = 0x80;
        bytes[28..34].copy_from_slice(&[0x52, 0x54, 0, 0, 0, 1]);
        bytes[236..].copy_from_slice(&dhcproto::v4::MAGIC);
        bytes.extend_from_slice(options);
        bytes
    }

    #[test]
    fn reads_the_header() {
        let request = Request::parse(&message(&[53, 1, 1, 255])).unwrap();
        assert_eq!(request.xid, 0xdead_beef);
        assert!(request.broadcast);
        assert_eq!(request.op, BOOTREQUEST);
        assert_eq!(request.mac.to_string(), "52:54:00:00:00:01");
        assert_eq!(request.message_type(), Some(MessageType::Discover));
    }

    #[test]
    fn guards_stand_before_the_codec() {
        assert_eq!(Request::parse(&[]), Err(Malformed::Short(0)));
        assert_eq!(Request::parse(&[1; 235]), Err(Malformed::Short(235)));
        assert_eq!(Request::parse(&[1; 236]), Err(Malformed::NoCookie));
        let mut bytes = message(&[53, 1, 1]);
        bytes[2] = 17;
        assert_eq!(Request::parse(&bytes), Err(Malformed::HardwareLength(17)));
        bytes[2] = 255;
        assert_eq!(Request::parse(&bytes), Err(Malformed::HardwareLength(255)));
        bytes[2] = 0;
        assert_eq!(Request::parse(&bytes), Err(Malformed::NoHardwareAddress));
        bytes[2] = 16;
        assert_eq!(Request::parse(&bytes).unwrap().mac.as_bytes().len(), 16);
        bytes[236] = 0;
        assert_eq!(Request::parse(&bytes), Err(Malformed::NoCookie));
        // As long as BOOTP it is BOOTP, and what stands behind the header tells nothing.
        bytes.resize(299, 0);
        assert_eq!(Request::parse(&bytes), Err(Malformed::NoCookie));
        bytes.push(0);
        let bootp = Request::parse(&bytes).unwrap();
        assert!(!bootp.cookie && bootp.message_type().is_none());
        assert_eq!((bootp.len, bootp.options.iter().count()), (300, 0));
    }

    #[test]
    fn an_odd_option_costs_no_other() {
        // A Latin-1 host name, an ASCII FQDN, a list in 150: each ends dhcproto's own list.
        let request = Request::parse(&message(&[
            12, 4, b'b', 0xfc, b'r', b'o', 81, 6, 0, 0, 0, b'a', b'.', b'b', 150, 8, 1, 1, 1, 1, 2,
            2, 2, 2, 50, 3, 1, 2, 3, 80, 1, 9, 94, 1, 1, 53, 1, 3, 93, 5, 0, 7, 0, 16, 9, 255,
        ]))
        .unwrap();
        assert_eq!(request.message_type(), Some(MessageType::Request));
        assert_eq!(request.host_name().as_deref(), Some("b\u{fffd}ro"));
        assert_eq!(request.client_fqdn().as_deref(), Some("a.b"));
        assert_eq!(request.requested_address(), None);
        assert_eq!(request.network_interface(), None);
        assert!(
            request
                .architectures()
                .eq([ClientSystemArchitecture(7), ClientSystemArchitecture(16)])
        );
    }

    #[test]
    fn fixed_options_are_typed() {
        let request = Request::parse(&message(&[
            50, 4, 10, 0, 0, 9, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 14, 16, 57, 2, 5, 192, 118, 4, 10,
            9, 0, 0, 55, 3, 6, 3, 1, 94, 3, 1, 2, 1, 97, 17, 0, 0, 0, 0xe0, 0xe2, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 1, 82, 8, 5, 4, 10, 8, 0, 1, 1, 0, 255,
        ]))
        .unwrap();
        assert_eq!(
            request.requested_address(),
            Some(Ipv4Addr::new(10, 0, 0, 9))
        );
        assert_eq!(
            request.server_identifier(),
            Some(Ipv4Addr::new(10, 0, 0, 1))
        );
        assert_eq!(request.lease_time(), Some(3_600));
        assert_eq!(request.max_message_size(), Some(1_472));
        assert_eq!(request.parameter_request_list(), Some([6, 3, 1].as_slice()));
        assert!(request.asks_for(OptionCode::Router) && !request.asks_for(OptionCode::Hostname));
        assert_eq!(request.network_interface(), Some((1, 2, 1)));
        assert_eq!(
            request.uuid().map(|uuid| uuid.to_string()).as_deref(),
            Some("e2e00000-0000-0000-0000-000000000001")
        );
        // The relay's link selection wins over the client's subnet selection.
        assert_eq!(request.selected_link(), Some(Ipv4Addr::new(10, 8, 0, 1)));
    }
}
