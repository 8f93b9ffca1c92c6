//! What this server sends: order, size, boot file (RFC 2131 section 4.3.1, table 3).
//!
//! Order on the wire: 53, 54, 51, the mask, the rest in the order in which the client asked (option
//! 55), what it did not ask for, 61, and 82 last. `dhcproto`'s own list of options is in ascending order and knows no
//! size.
//!
//! **Invariant:** the datagram is never larger than the client takes (option 57), `hops` and `secs`
//! are 0, option 82 stands in it once, byte for byte, and `file` never holds options when it holds
//! the boot file.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::Arc;

use dhcproto::v4::{MessageType, OptionCode};
use smallvec::SmallVec;

use super::written::{Written, write_parts};
use super::{BOOTP_MESSAGE, HEADER, MIN_MESSAGE, Request};
use crate::base::HardwareAddr;
use crate::wire::pxe::VendorClass;

/// A reply, before it is bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// By which of the two protocols the client asked.
    pub protocol: Protocol,
    /// The transaction, as asked.
    pub xid: u32,
    /// The broadcast flag.
    pub broadcast: bool,
    /// `ciaddr`.
    pub ciaddr: Ipv4Addr,
    /// The client's address; unspecified in a NAK and in the answer to an INFORM.
    pub yiaddr: Ipv4Addr,
    /// The server of the boot file; unspecified without one.
    pub siaddr: Ipv4Addr,
    /// The relay, as asked.
    pub giaddr: Ipv4Addr,
    /// The client, as asked.
    pub mac: HardwareAddr,
    /// The boot file; goes into `file` and option 67.
    pub boot_file: Option<BootFile>,
    /// All other options but 53, 61, 67 and 82, in any order.
    pub options: Written,
    /// Options by code, as bytes; each in the place of one of the same code among the others, but for
    /// those that the protocol is carried by (53, 54, 61 and 82).
    pub configured: Vec<(u8, Arc<[u8]>)>,
    /// Option 61, echoed (RFC 6842), in a NAK as well.
    pub client_identifier: Option<Vec<u8>>,
    /// Option 82, echoed byte for byte.
    pub relay_agent_information: Option<Vec<u8>>,
    /// Option 55 of the request.
    pub requested: Vec<u8>,
    /// Option 57 of the request.
    pub max_message_size: Option<u16>,
    /// Whether the client boots from what `file` holds, whatever option 52 says of it, as EDK2 does.
    pub boots_from_file: bool,
}

/// The protocol of an exchange (RFC 1534): what a reply may hold, and how large it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// DHCP, with option 53.
    Dhcp(MessageType),
    /// BOOTP: no option of RFC 2132 section 9, no overload.
    Bootp {
        /// The largest payload: what BOOTP has, or what the client itself sent.
        size: usize,
        /// Whether the client's `vend` has the magic cookie, and so options may stand in the reply's.
        cookie: bool,
    },
}

/// A boot file, by name or URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFile {
    /// The name or URL.
    pub name: Arc<str>,
    /// Whether option 67 ends with a NUL. ROMs that read it as a C string ask for `file\xff` without;
    /// UEFI HTTP Boot takes it as part of the URL.
    pub terminated: bool,
}

/// IP and UDP headers, which option 57 counts in.
const IP_UDP: usize = 28;
/// What every client takes, in bytes of the whole datagram (RFC 2132 section 9.10).
const SMALLEST_MAX: u16 = 576;
/// More is not sent even where a client takes it: it would be fragmented on Ethernet.
const LARGEST_MAX: u16 = 1_500;

const FILE: Range<usize> = 108..236;
const SNAME: Range<usize> = 44..108;
const END: u8 = 255;

/// Bytes of option 52 itself.
const OPTION_52: usize = 3;

/// One option, and where it stands among the others.
struct Item<'a> {
    code: u8,
    rank: u16,
    data: Data<'a>,
}

/// The bytes of an option.
#[derive(Clone, Copy)]
enum Data<'a> {
    /// As they stand on the wire.
    Written(&'a [u8]),
    /// Without code and length, to be divided where they are longer than one part holds (RFC 3396), and whether a NUL
    /// comes behind them.
    Raw(&'a [u8], bool),
    /// The message type.
    Byte(u8),
}

impl Item<'_> {
    /// Its length on the wire.
    fn len(&self) -> usize {
        match self.data {
            Data::Written(bytes) => bytes.len(),
            Data::Byte(_) => 3,
            Data::Raw(data, nul) => {
                let len = data.len() + usize::from(nul);
                // Without any bytes it is one part all the same.
                len + 2 * len.div_ceil(255).max(1)
            }
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        match self.data {
            Data::Written(written) => bytes.extend_from_slice(written),
            Data::Byte(byte) => bytes.extend_from_slice(&[self.code, 1, byte]),
            Data::Raw([], false) => bytes.extend_from_slice(&[self.code, 0]),
            Data::Raw(data, false) => write_parts(self.code, data, bytes),
            Data::Raw(data, true) => match u8::try_from(data.len() + 1) {
                Ok(len) => {
                    bytes.extend_from_slice(&[self.code, len]);
                    bytes.extend_from_slice(data);
                    bytes.push(0);
                }
                Err(_) => write_parts(self.code, &[data, &[0]].concat(), bytes),
            },
        }
    }
}

/// All options of a reply, in the order in which they stand on the wire.
type Items<'a> = SmallVec<[Item<'a>; 24]>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Area {
    Options,
    File,
    Sname,
    Nowhere,
}

/// A reply as it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The datagram's payload.
    pub bytes: Vec<u8>,
    /// The codes of options that found no room in the size that the client takes.
    pub left_out: Vec<u8>,
}

impl Reply {
    /// A reply to this request, with everything that is copied from it and nothing else. `None` as
    /// message type: by BOOTP.
    pub fn to(request: &Request, message_type: impl Into<Option<MessageType>>) -> Self {
        let protocol = match message_type.into() {
            Some(message_type) => Protocol::Dhcp(message_type),
            None => Protocol::Bootp {
                size: request
                    .len
                    .clamp(BOOTP_MESSAGE, usize::from(SMALLEST_MAX) - IP_UDP),
                cookie: request.cookie,
            },
        };
        Self {
            protocol,
            xid: request.xid,
            broadcast: request.broadcast,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: request.giaddr,
            mac: request.mac,
            boot_file: None,
            options: Written::default(),
            configured: Vec::new(),
            client_identifier: request.client_identifier().map(<[u8]>::to_vec),
            relay_agent_information: request.relay_agent_information().map(<[u8]>::to_vec),
            requested: request
                .parameter_request_list()
                .unwrap_or_default()
                .to_vec(),
            max_message_size: request.max_message_size(),
            boots_from_file: request
                .options
                .contains(OptionCode::ClientSystemArchitecture)
                || VendorClass::read(request.vendor_class()) != VendorClass::Other,
        }
    }

    /// Option 53; `None` in a reply by BOOTP.
    pub const fn message_type(&self) -> Option<MessageType> {
        match self.protocol {
            Protocol::Dhcp(message_type) => Some(message_type),
            Protocol::Bootp { .. } => None,
        }
    }

    /// The datagram's payload.
    pub fn encode(&self) -> Vec<u8> {
        self.assemble().bytes
    }

    /// The codes of options that found no room in the size that the client takes.
    pub fn left_out(&self) -> Vec<u8> {
        self.assemble().left_out
    }

    /// The largest payload for this client, in bytes.
    fn budget(&self) -> usize {
        if let Protocol::Bootp { size, .. } = self.protocol {
            return size;
        }
        let max = self
            .max_message_size
            .unwrap_or(SMALLEST_MAX)
            .clamp(SMALLEST_MAX, LARGEST_MAX);
        usize::from(max) - IP_UDP
    }

    /// The boot file's name when it fits `file` with its NUL.
    fn in_file(&self) -> Option<&BootFile> {
        self.boot_file
            .as_ref()
            .filter(|boot| boot.name.len() < FILE.len())
    }

    /// Whether UEFI HTTP Boot has its URL by `file`, perhaps by option 67 as well.
    fn has_url_in_file(&self) -> bool {
        self.in_file().is_some_and(|boot| !boot.terminated)
    }

    /// [`Reply::encode`] and [`Reply::left_out`] in one.
    pub fn assemble(&self) -> Encoded {
        let mut left_out = self.options.refused().to_vec();
        let items = self.items();
        let boot_file = self.in_file().map_or("", |boot| &boot.name);
        let room = self.budget().saturating_sub(HEADER + 1);
        let length = items.iter().map(Item::len).sum();
        let bytes = if length <= room {
            let mut bytes = self.header(length, &[], boot_file.as_bytes());
            for item in &items {
                item.write(&mut bytes);
            }
            bytes
        } else {
            self.squeezed(&items, room, &mut left_out)
        };
        let bytes = self.closed(bytes);
        left_out.sort_unstable();
        Encoded { bytes, left_out }
    }

    fn closed(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.has_options() {
            bytes.push(END);
        }
        if bytes.len() < MIN_MESSAGE {
            bytes.resize(MIN_MESSAGE, 0);
        }
        bytes
    }

    /// The same where the options area has no room for all: some go into `file` and `sname` (option 52),
    /// some are left out.
    fn squeezed(&self, items: &[Item<'_>], room: usize, left_out: &mut Vec<u8>) -> Vec<u8> {
        let areas = self.place(items, room);
        let mut overload = 0;
        let (mut file, mut sname) = (Vec::new(), Vec::new());
        let mut options = Vec::new();
        for (item, area) in items.iter().zip(&areas) {
            match area {
                Area::Options => item.write(&mut options),
                Area::File => {
                    overload |= 1;
                    item.write(&mut file);
                }
                Area::Sname => {
                    overload |= 2;
                    item.write(&mut sname);
                }
                Area::Nowhere => left_out.push(item.code),
            }
        }
        if overload != 0 {
            // Before the options it concerns; after the message type, which some ROMs want first.
            let at = items.first().map_or(0, Item::len);
            let code = u8::from(OptionCode::OptionOverload);
            options.splice(at..at, [code, 1, overload]);
            for area in [&mut file, &mut sname] {
                if !area.is_empty() {
                    area.push(END);
                }
            }
        }
        if let Some(boot) = self.in_file() {
            file = boot.name.as_bytes().to_vec();
        }
        let mut bytes = self.header(options.len(), &sname, &file);
        if self.has_options() {
            bytes.append(&mut options);
        }
        bytes
    }

    /// All options.
    fn items<'a>(&'a self) -> Items<'a> {
        let mut items = Items::new();
        let order = Order::of(&self.requested);
        let replaced = |code: u8| {
            self.configured.iter().any(|(other, _)| *other == code)
                && !is_protocols_own(OptionCode::from(code))
        };
        let mut add = |code: u8, data: Data<'a>| {
            if !replaced(code) && self.may_hold(code) {
                let rank = order.rank(code);
                items.push(Item { code, rank, data });
            }
        };
        if let Some(message_type) = self.message_type() {
            let code = u8::from(OptionCode::MessageType);
            add(code, Data::Byte(u8::from(message_type)));
        }
        for (code, written) in self.options.iter() {
            add(code, Data::Written(written));
        }
        if let Some(boot) = &self.boot_file
            && (self.in_file().is_none() || self.requested.contains(&BOOT_FILE))
            && (boot.terminated || !boot.name.is_empty())
        {
            add(BOOT_FILE, Data::Raw(boot.name.as_bytes(), boot.terminated));
        }
        if let Some(id) = self.client_identifier.as_deref()
            && !id.is_empty()
        {
            let code = u8::from(OptionCode::ClientIdentifier);
            add(code, Data::Raw(id, false));
        }
        for (code, data) in &self.configured {
            let option = OptionCode::from(*code);
            if !data.is_empty() && !is_protocols_own(option) && self.may_hold(*code) {
                items.push(Item {
                    code: *code,
                    rank: order.rank(*code),
                    data: Data::Raw(data, false),
                });
            }
        }
        items.sort_by_key(|item| item.rank);
        if let Some(raw) = self
            .relay_agent_information
            .as_deref()
            .filter(|_| self.has_options())
        {
            items.push(Item {
                code: u8::from(OptionCode::RelayAgentInformation),
                rank: u16::MAX,
                data: Data::Raw(raw, false),
            });
        }
        items
    }

    /// Whether the reply has options at all.
    const fn has_options(&self) -> bool {
        !matches!(self.protocol, Protocol::Bootp { cookie: false, .. })
    }

    /// Whether the client's protocol knows the option: BOOTP none of DHCP's own (RFC 1534 section 2).
    const fn may_hold(&self, code: u8) -> bool {
        match self.protocol {
            Protocol::Dhcp(_) => true,
            Protocol::Bootp { cookie, .. } => cookie && !matches!(code, 50..=61 | 66 | 67),
        }
    }

    /// Which option goes where, when there are more than the options area has room for, in bytes: into
    /// `file` and `sname` as well (option 52), what matters most first.
    fn place(&self, items: &[Item<'_>], room: usize) -> Vec<Area> {
        let mut free = if self.message_type().is_none() || self.has_url_in_file() {
            // BOOTP has no option 52, and HTTP Boot takes no URL from `file` beside one.
            [(Area::Options, room), (Area::File, 0), (Area::Sname, 0)]
        } else if self.boots_from_file || self.in_file().is_some() {
            [
                (Area::Options, room.saturating_sub(OPTION_52)),
                (Area::File, 0),
                (Area::Sname, SNAME.len() - 1),
            ]
        } else {
            [
                (Area::Options, room.saturating_sub(OPTION_52)),
                (Area::File, FILE.len() - 1),
                (Area::Sname, SNAME.len() - 1),
            ]
        };
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by_key(|index| items.get(*index).map(|item| importance(item.code)));
        let mut areas = vec![Area::Nowhere; items.len()];
        for index in order {
            let (Some(item), Some(slot)) = (items.get(index), areas.get_mut(index)) else {
                continue;
            };
            let fits = |(_, left): &&mut (Area, usize)| *left >= item.len();
            if let Some((area, left)) = free.iter_mut().find(fits) {
                *left -= item.len();
                *slot = *area;
            }
        }
        areas
    }

    /// The header of a message with so many bytes of options.
    fn header(&self, options: usize, sname: &[u8], file: &[u8]) -> Vec<u8> {
        const BOOTREPLY: u8 = 2;
        const BROADCAST: u16 = 0x8000;
        let mut bytes = Vec::with_capacity((HEADER + options + 1).max(MIN_MESSAGE));
        let hlen = u8::try_from(self.mac.as_bytes().len()).unwrap_or_default();
        bytes.extend_from_slice(&[BOOTREPLY, self.mac.htype(), hlen, 0]);
        bytes.extend_from_slice(&self.xid.to_be_bytes());
        let flags = if self.broadcast { BROADCAST } else { 0 };
        bytes.extend_from_slice(&0_u16.to_be_bytes());
        bytes.extend_from_slice(&flags.to_be_bytes());
        for address in [self.ciaddr, self.yiaddr, self.siaddr, self.giaddr] {
            bytes.extend_from_slice(&address.octets());
        }
        bytes.extend_from_slice(self.mac.as_bytes());
        bytes.resize(SNAME.start, 0);
        bytes.extend_from_slice(sname.get(..SNAME.len()).unwrap_or(sname));
        bytes.resize(FILE.start, 0);
        bytes.extend_from_slice(file.get(..FILE.len()).unwrap_or(file));
        bytes.resize(FILE.end, 0);
        if self.has_options() {
            bytes.extend_from_slice(&dhcproto::v4::MAGIC);
        }
        bytes
    }
}

/// The order of a client's options.
struct Order {
    /// The place of each code in its list (option 55), from 1. A list names 255 codes at most, each once.
    places: [u8; 256],
}

impl Order {
    fn of(requested: &[u8]) -> Self {
        let mut places = [0; 256];
        let mut next = 1_u8;
        for code in requested {
            if let Some(slot @ 0) = places.get_mut(usize::from(*code)) {
                *slot = next;
                next = next.saturating_add(1);
            }
        }
        Self { places }
    }

    /// Where an option stands among the others.
    fn rank(&self, code: u8) -> u16 {
        const ASKED: u16 = 0x100;
        const OTHERS: u16 = 0x200;
        match code {
            MESSAGE_TYPE => 0,
            SERVER_IDENTIFIER => 1,
            LEASE_TIME => 2,
            // RFC 2132 section 3.3: before the router.
            SUBNET_MASK => 3,
            CLIENT_IDENTIFIER => u16::MAX - 1,
            _ => match self.places.get(usize::from(code)) {
                Some(place @ 1..) => ASKED + u16::from(*place),
                _ => OTHERS + u16::from(code),
            },
        }
    }
}

// As `dhcproto` numbers them, whose names cost a search for each.
const SUBNET_MASK: u8 = 1;
const LEASE_TIME: u8 = 51;
const MESSAGE_TYPE: u8 = 53;
const SERVER_IDENTIFIER: u8 = 54;
const CLIENT_IDENTIFIER: u8 = 61;

const BOOT_FILE: u8 = 67;

/// What a client without room for all must have first. The first ranks always find room in the options
/// area, where ROMs that follow no option 52, and relays, look for them.
fn importance(code: u8) -> (u8, u8) {
    let rank = match OptionCode::from(code) {
        OptionCode::MessageType | OptionCode::ServerIdentifier | OptionCode::AddressLeaseTime => 0,
        // Without its class HTTP Boot is no offer.
        OptionCode::RelayAgentInformation
        | OptionCode::SubnetMask
        | OptionCode::ClassIdentifier => 1,
        OptionCode::ClientIdentifier => 2,
        OptionCode::Router => 3,
        OptionCode::BootfileName => 4,
        OptionCode::DomainNameServer | OptionCode::TFTPServerName => 5,
        _ => 6,
    };
    (rank, code)
}

/// Options that a reply always has in its own way, or never.
fn is_protocols_own(code: OptionCode) -> bool {
    matches!(
        code,
        OptionCode::Pad
            | OptionCode::OptionOverload
            | OptionCode::MessageType
            | OptionCode::ServerIdentifier
            | OptionCode::ClientIdentifier
            | OptionCode::RelayAgentInformation
            | OptionCode::End
    )
}

#[cfg(test)]
mod tests {
    use dhcproto::v4::DhcpOption;

    use super::*;

    fn request(options: &[u8]) -> Request {
        let mut bytes = vec![0; HEADER];
        bytes[..4].copy_from_slice(&[1, 1, 6, 3]);
        bytes[8..10].copy_from_slice(&[0, 9]);
        bytes[28..34].copy_from_slice(&[0x52, 0x54, 0, 0, 0, 1]);
        bytes[236..].copy_from_slice(&dhcproto::v4::MAGIC);
        bytes.extend_from_slice(options);
        Request::parse(&bytes).unwrap()
    }

    /// Codes in the options area, in order.
    fn codes(bytes: &[u8]) -> Vec<u8> {
        super::super::options::encapsulated(&bytes[HEADER..])
            .map(|(code, _)| code)
            .collect()
    }

    fn offer(asked: &[u8]) -> Reply {
        let mut reply = Reply::to(&request(asked), MessageType::Offer);
        reply.options = [
            DhcpOption::Router(vec![Ipv4Addr::new(10, 0, 0, 1)]),
            DhcpOption::DomainNameServer(vec![Ipv4Addr::new(10, 0, 0, 1)]),
            DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
            DhcpOption::AddressLeaseTime(3_600),
            DhcpOption::Hostname("web01".to_owned()),
            DhcpOption::ServerIdentifier(Ipv4Addr::new(10, 0, 0, 2)),
        ]
        .into_iter()
        .collect();
        reply
    }

    #[test]
    fn order_is_the_clients() {
        let reply = offer(&[
            82, 3, 1, 1, 9, 61, 2, 0, 7, 55, 6, 12, 3, 1, 6, 54, 99, 53, 1, 1, 255,
        ]);
        let bytes = reply.encode();
        assert_eq!(codes(&bytes), [53, 54, 51, 1, 12, 3, 6, 61, 82]);
        assert_eq!(bytes.len(), MIN_MESSAGE);
        assert_eq!(&bytes[3..4], [0], "hops");
        assert_eq!(&bytes[8..10], [0, 0], "secs");
        assert!(reply.left_out().is_empty());
    }

    #[test]
    fn relay_information_is_untouched() {
        // Out of order, a sub-option twice, a truncated one at the end.
        let raw = [9, 1, 1, 1, 2, 3, 4, 1, 1, 5, 7, 200];
        let mut options = vec![82, u8::try_from(raw.len()).unwrap()];
        options.extend_from_slice(&raw);
        let bytes = offer(&options).encode();
        let back = Request::parse(&bytes).unwrap();
        assert_eq!(back.relay_agent_information(), Some(raw.as_slice()));
        let once = codes(&bytes).into_iter().filter(|code| *code == 82);
        assert_eq!(once.collect::<Vec<_>>(), [82]);
        assert_eq!(codes(&offer(&[82, 0]).encode()).last(), Some(&82));
    }

    #[test]
    fn boot_file_in_file_and_when_asked_in_67() {
        let boot = |asked: &[u8], name: &str, terminated| {
            let mut reply = offer(asked);
            reply.boot_file = Some(BootFile {
                name: name.into(),
                terminated,
            });
            let bytes = reply.encode();
            let back = Request::parse(&bytes).unwrap();
            let option = back
                .options
                .get(OptionCode::BootfileName)
                .map(<[u8]>::to_vec);
            (bytes[FILE].to_vec(), option)
        };
        let (file, option) = boot(&[55, 1, 3], "undionly.kpxe", true);
        assert!(file.starts_with(b"undionly.kpxe\0"));
        assert_eq!(option, None);
        let (_, option) = boot(&[55, 1, 67], "undionly.kpxe", true);
        assert_eq!(option.as_deref(), Some(b"undionly.kpxe\0".as_slice()));
        let (_, option) = boot(&[55, 1, 67], "http://10.0.0.2/x", false);
        assert_eq!(option.as_deref(), Some(b"http://10.0.0.2/x".as_slice()));
        // 127 bytes and the NUL fill `file`; one more goes to 67 alone, asked for or not.
        let (file, _) = boot(&[55, 1, 3], &"x".repeat(127), true);
        assert_eq!(file, [&[b'x'; 127][..], &[0]].concat());
        let (file, option) = boot(&[55, 1, 3], &"x".repeat(128), true);
        assert_eq!(file, [0; 128]);
        assert_eq!(option.map(|name| name.len()), Some(129));
    }

    #[test]
    fn size_is_what_the_client_takes() {
        let long = |max: &[u8], boot: Option<usize>| {
            let mut reply = offer(max);
            reply.boot_file = boot.map(|len| BootFile {
                name: "x".repeat(len).into(),
                terminated: true,
            });
            reply
                .options
                .push(&DhcpOption::NtpServers(vec![Ipv4Addr::LOCALHOST; 25]));
            reply.options.push(&DhcpOption::DomainName("d".repeat(200)));
            reply.options.push(&DhcpOption::NisDomain("n".repeat(50)));
            reply
        };
        // It fits 1,500 (and more is not sent), but not the 576 of a client that says nothing.
        for max in [[57, 2, 5, 0xdc], [57, 2, 0xff, 0]] {
            let reply = long(&max, None);
            let bytes = reply.encode();
            assert!(bytes.len() > 548 && bytes.len() <= 1_472, "{}", bytes.len());
            assert!(!codes(&bytes).contains(&52));
        }
        for max in [[57, 2, 0, 1].as_slice(), &[57, 2, 2, 0x40], &[]] {
            let reply = long(max, None);
            let bytes = reply.encode();
            assert!(bytes.len() <= 548, "{}", bytes.len());
            let back = Request::parse(&bytes).unwrap();
            assert_eq!(codes(&bytes)[..2], [53, 52]);
            assert!(reply.left_out().is_empty(), "{:?}", reply.left_out());
            assert_eq!(
                back.options.get(OptionCode::NisDomain).map(<[u8]>::len),
                Some(50)
            );
            assert_eq!(
                back.options.get(OptionCode::NtpServers).map(<[u8]>::len),
                Some(100)
            );
        }
        // With the boot file in `file` there is less room: what matters least is left out.
        let reply = long(&[], Some(30));
        let bytes = reply.encode();
        assert!(bytes[FILE].starts_with(&[b'x'; 30]));
        assert!(bytes.len() <= 548);
        assert_eq!(reply.left_out(), [42]);
    }

    #[test]
    fn no_length_of_an_option_breaks_the_bound() {
        // Forced into overload, with the options area filled to each last byte.
        for len in 1..400 {
            let mut reply = offer(&[]);
            reply.options.push(&DhcpOption::NisDomain("n".repeat(110)));
            reply.options.push(&DhcpOption::DomainName("d".repeat(len)));
            let bytes = reply.encode();
            assert!(bytes.len() <= 548, "{len}: {}", bytes.len());
            let back = Request::parse(&bytes).unwrap();
            let there = back.options.contains(OptionCode::DomainName);
            assert_eq!(there, !reply.left_out().contains(&15), "{len}");
            assert!(there || len > 250, "{len}");
        }
    }

    #[test]
    fn a_nak_is_small_and_carries_what_is_echoed() {
        let mut nak = Reply::to(&request(&[61, 2, 0, 7, 82, 3, 1, 1, 9]), MessageType::Nak);
        nak.broadcast = true;
        nak.options = [
            DhcpOption::ServerIdentifier(Ipv4Addr::new(10, 0, 0, 2)),
            DhcpOption::Message("no".to_owned()),
        ]
        .into_iter()
        .collect();
        let bytes = nak.encode();
        assert_eq!(codes(&bytes), [53, 54, 56, 61, 82]);
        assert_eq!(bytes[10], 0x80);
    }
}
