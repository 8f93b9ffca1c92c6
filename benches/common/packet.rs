//! The DHCP packets of the load: a UEFI machine's and its iPXE's, as a relay agent passes them on or from the wire
//! itself; and the checking of replies.

use std::net::Ipv4Addr;

use super::setup::{RELAY, SERVER};
/// The network of both and of all reservations: 100,000 addresses do not fit a /16.
pub const NETWORK: &str = "10.76.0.0";
/// Its mask.
pub const MASK: Ipv4Addr = Ipv4Addr::new(255, 254, 0, 0);
/// Its default router, which nobody is.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 76, 0, 3);
/// The boot file of every machine.
pub const BOOT_FILE: &str = "ipxe/snponly.efi";
/// What the first reservation becomes when a reload is measured.
pub const MOVED: Ipv4Addr = Ipv4Addr::new(10, 77, 200, 1);

/// How the machines reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Through a relay agent.
    Relay,
    /// On the wire, with the broadcast flag: that is how the replies to so many can be heard on one interface.
    Direct,
}

impl Way {
    const fn giaddr(self) -> Ipv4Addr {
        match self {
            Self::Relay => RELAY,
            Self::Direct => Ipv4Addr::UNSPECIFIED,
        }
    }
}

/// What in a machine asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// Its firmware.
    Firmware,
    /// The iPXE that it has loaded.
    Ipxe,
}

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const XID: std::ops::Range<usize> = 4..8;
const CHADDR: std::ops::Range<usize> = 28..34;
const OPTIONS: usize = 240;

/// DHCPDISCOVER.
pub const DISCOVER: u8 = 1;
/// DHCPOFFER.
pub const OFFER: u8 = 2;
/// DHCPREQUEST.
pub const REQUEST: u8 = 3;
/// DHCPACK.
pub const ACK: u8 = 5;

/// The hardware address of a reservation.
pub fn mac(host: u32) -> [u8; 6] {
    let [a, b, c, d] = host.to_be_bytes();
    [0x52, 0x54, a, b, c, d]
}

/// The reserved address.
pub fn address(host: u32) -> Ipv4Addr {
    super::setup::machine(host)
}

/// A hardware address as files have it.
pub fn colons(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// A packet, ready but for xid, machine and, in a REQUEST, the address.
pub struct Template {
    bytes: Vec<u8>,
    uuid: usize,
    requested: Option<usize>,
}

impl Template {
    /// Of a DISCOVER or a REQUEST (RFC 2131 SELECTING) of a UEFI x64 network boot.
    pub fn new(message_type: u8, way: Way, asking: Asking) -> Self {
        let mut bytes = vec![0; OPTIONS];
        bytes[..4].copy_from_slice(&[1, 1, 6, u8::from(way == Way::Relay)]);
        if way == Way::Direct {
            bytes[10] = 0x80;
        }
        bytes[24..28].copy_from_slice(&way.giaddr().octets());
        bytes[236..240].copy_from_slice(&COOKIE);
        let mut put = |code: u8, value: &[u8]| {
            bytes.push(code);
            bytes.push(u8::try_from(value.len()).expect("a short option"));
            bytes.extend_from_slice(value);
            bytes.len() - value.len()
        };
        put(53, &[message_type]);
        let mut requested = None;
        if message_type == REQUEST {
            put(54, &SERVER.octets());
            requested = Some(put(50, &[0; 4]));
        }
        put(57, &1_472_u16.to_be_bytes());
        put(
            55,
            &[
                1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58,
                59, 60, 66, 67, 97, 128, 129, 130, 131, 132, 133, 134, 135,
            ],
        );
        let uuid = put(97, &[0; 17]);
        put(94, &[1, 3, 16]);
        put(93, &[0, 7]);
        put(60, b"PXEClient:Arch:00007:UNDI:003016");
        if asking == Asking::Ipxe {
            put(77, b"iPXE");
            // HTTP, an EFI program, EFI itself.
            put(175, &[19, 1, 1, 33, 1, 1, 36, 1, 1]);
        }
        bytes.push(255);
        bytes.resize(bytes.len().max(300), 0);
        Self {
            bytes,
            uuid,
            requested,
        }
    }

    /// Fills it in for one machine.
    pub fn fill(&mut self, xid: u32, host: u32) -> &[u8] {
        self.bytes[XID].copy_from_slice(&xid.to_be_bytes());
        self.bytes[CHADDR].copy_from_slice(&mac(host));
        self.bytes[self.uuid + 11..self.uuid + 17].copy_from_slice(&mac(host));
        if let Some(at) = self.requested {
            self.bytes[at..at + 4].copy_from_slice(&address(host).octets());
        }
        &self.bytes
    }
}

/// What a reply says, as far as it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// Option 53.
    pub message_type: u8,
    /// Transaction.
    pub xid: u32,
    /// The address given.
    pub yiaddr: Ipv4Addr,
    /// Whether it is for this machine, of this server, with everything that it was asked for.
    pub chaddr: [u8; 6],
}

/// Reads a reply to firmware and checks what must be the same in each: the error says what is wrong with it.
pub fn read(bytes: &[u8], way: Way) -> Result<Reply, &'static str> {
    let (reply, boot_file) = read_any(bytes, way)?;
    if boot_file == BOOT_FILE.as_bytes() {
        Ok(reply)
    } else {
        Err("another boot file")
    }
}

/// The same of a reply to anybody; with its boot file, whichever.
pub fn read_any(bytes: &[u8], way: Way) -> Result<(Reply, &[u8]), &'static str> {
    let head = bytes.get(..OPTIONS).ok_or("it is too short")?;
    if head[0] != 2 || head[236..240] != COOKIE {
        return Err("it is no reply");
    }
    let address = |at: usize| Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]);
    if address(24) != way.giaddr() {
        return Err("another giaddr");
    }
    let mut rest = &bytes[OPTIONS..];
    let (mut message_type, mut server, mut lease, mut mask, mut router) =
        (None, None, false, None, None);
    let mut boot_file = head[108..236]
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    loop {
        match rest {
            [] => return Err("no option 255"),
            [255, ..] => break,
            [0, more @ ..] => rest = more,
            [code, len, more @ ..] => {
                let (value, after) = more
                    .split_at_checked(usize::from(*len))
                    .ok_or("an option is cut short")?;
                match (code, value) {
                    (53, [kind]) => message_type = Some(*kind),
                    (54, &[a, b, c, d]) => server = Some(Ipv4Addr::new(a, b, c, d)),
                    (51, value) => lease = value.len() == 4 && value != [0; 4],
                    (1, &[a, b, c, d]) => mask = Some(Ipv4Addr::new(a, b, c, d)),
                    (3, &[a, b, c, d]) => router = Some(Ipv4Addr::new(a, b, c, d)),
                    (67, name) => boot_file = name.strip_suffix(&[0]).unwrap_or(name),
                    _ => {}
                }
                rest = after;
            }
            [_] => return Err("an option is cut short"),
        }
    }
    let wrong = match () {
        () if server != Some(SERVER) => "another server identifier",
        () if !lease => "no lease time",
        () if mask != Some(MASK) => "another subnet mask",
        () if router != Some(ROUTER) => "another router",
        () => {
            let reply = Reply {
                message_type: message_type.ok_or("no message type")?,
                xid: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
                yiaddr: address(16),
                chaddr: [head[28], head[29], head[30], head[31], head[32], head[33]],
            };
            return Ok((reply, boot_file));
        }
    };
    Err(wrong)
}
