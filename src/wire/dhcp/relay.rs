//! Where a relay says that a message came from (option 82, RFC 3046): the port of a switch, as text for people, and as
//! a number by which two messages are known to be of the same port.

use std::fmt::Write as _;

use super::Request;
use super::options::{relay_sub_options, text};

/// Sub-option 1: the port.
const CIRCUIT: u8 = 1;
/// Sub-option 2: the switch.
const REMOTE: u8 = 2;

/// The longest text that is made of a sub-option, in characters.
const LONGEST: usize = 64;

/// A port of a relay's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The port (agent circuit id).
    pub circuit: String,
    /// The switch (agent remote id), where it is told.
    pub remote: Option<String>,
    /// The VLAN, where the circuit tells it.
    pub vlan: Option<u16>,
    /// A number that relay, port and switch have in common with nobody else but by chance: the same in each run.
    pub id: u64,
}

/// The port that a relayed message came from, where its relay tells.
pub fn port_of(request: &Request) -> Option<Port> {
    let (circuit, remote) = told(request)?;
    Some(Port {
        circuit: readable_circuit(circuit),
        remote: remote.map(readable_remote),
        vlan: numbered(circuit).map(|(vlan, ..)| vlan),
        id: number(request, circuit, remote),
    })
}

/// The number of that port alone ([`Port::id`]): for each packet of a host, so nothing is allocated for it.
pub fn port_id(request: &Request) -> Option<u64> {
    let (circuit, remote) = told(request)?;
    Some(number(request, circuit, remote))
}

/// Port and switch as the relay wrote them.
fn told(request: &Request) -> Option<(&[u8], Option<&[u8]>)> {
    if request.giaddr.is_unspecified() {
        return None;
    }
    let area = request.relay_agent_information()?;
    let find = |wanted: u8| {
        relay_sub_options(area)
            .find(|(code, _)| *code == wanted)
            .map(|(_, data)| data)
            .filter(|data| !data.is_empty())
    };
    Some((find(CIRCUIT)?, find(REMOTE)))
}

fn number(request: &Request, circuit: &[u8], remote: Option<&[u8]>) -> u64 {
    let mut id = Fnv::default();
    id.add(&request.giaddr.octets());
    id.add(circuit);
    id.add(remote.unwrap_or_default());
    id.0
}

/// VLAN, module and port, as Cisco's switches and those that follow them write a circuit: type 0, length 4.
fn numbered(data: &[u8]) -> Option<(u16, u8, u8)> {
    match data {
        [0, 4, high, low, module, port] => {
            Some((u16::from_be_bytes([*high, *low]), *module, *port))
        }
        _ => None,
    }
}

fn readable_circuit(data: &[u8]) -> String {
    match numbered(data) {
        Some((vlan, module, port)) => format!("vlan {vlan} port {module}/{port}"),
        None => readable(data),
    }
}

/// A hardware address, as Cisco's switches write a remote id: type 0, length 6.
fn readable_remote(data: &[u8]) -> String {
    match data {
        [0, 6, mac @ ..] if mac.len() == 6 => joined(mac),
        _ => readable(data),
    }
}

/// Text where it is one, behind a type and length of its own (Cisco's type 1) or without; else digits.
fn readable(data: &[u8]) -> String {
    let is_text = |data: &[u8]| data.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let inner = match data {
        [1, length, rest @ ..] if rest.len() == usize::from(*length) => rest,
        whole => whole,
    };
    let shown = if is_text(inner) { text(inner) } else { None };
    let shown = shown.unwrap_or_else(|| joined(data));
    shown.chars().take(LONGEST).collect()
}

fn joined(data: &[u8]) -> String {
    let mut text = String::with_capacity(data.len() * 3);
    for (place, byte) in data.iter().enumerate() {
        if place > 0 {
            text.push(':');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// FNV-1a: small, and the same everywhere.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// With its length before it, so that nothing runs into what comes next.
    fn add(&mut self, data: &[u8]) {
        let length = u8::try_from(data.len()).unwrap_or(u8::MAX);
        for byte in std::iter::once(&length).chain(data) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(relayed: bool, area: &[u8]) -> Request {
        let mut bytes = vec![0; super::super::HEADER];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        if relayed {
            bytes[24..28].copy_from_slice(&[10, 20, 0, 1]);
        }
        bytes[236..].copy_from_slice(&dhcproto::v4::MAGIC);
        bytes.extend_from_slice(&[82, u8::try_from(area.len()).unwrap()]);
        bytes.extend_from_slice(area);
        bytes.push(255);
        Request::parse(&bytes).unwrap()
    }

    fn port(area: &[u8]) -> Option<Port> {
        let request = request(true, area);
        let port = port_of(&request);
        assert_eq!(port_id(&request), port.as_ref().map(|port| port.id));
        port
    }

    #[test]
    fn ports_as_switches_write_them() {
        let cisco = port(&[1, 6, 0, 4, 0, 12, 1, 7, 2, 8, 0, 6, 0, 0x1b, 0x54, 1, 2, 3]).unwrap();
        assert_eq!(cisco.circuit, "vlan 12 port 1/7");
        assert_eq!(cisco.vlan, Some(12));
        assert_eq!(cisco.remote.as_deref(), Some("00:1b:54:01:02:03"));
        let named = port(b"\x01\x0age-0/0/1.0").unwrap();
        assert_eq!((named.circuit.as_str(), named.vlan), ("ge-0/0/1.0", None));
        assert_eq!(named.remote, None);
        let typed = port(b"\x01\x05\x01\x03Et7").unwrap();
        assert_eq!(typed.circuit, "Et7");
        assert_eq!(port(&[1, 2, 0, 9]).unwrap().circuit, "00:09");
        assert_eq!(port(&[2, 1, b'x']), None);
        assert_eq!(port(&[1, 0]), None);
        assert_eq!(port_of(&request(false, &[1, 1, b'x'])), None);
    }

    #[test]
    fn the_number_is_that_of_the_port() {
        let id = |area: &[u8]| port(area).unwrap().id;
        assert_eq!(id(b"\x01\x02ab"), id(b"\x01\x02ab"));
        // The same in each run: it is kept on disk.
        assert_eq!(id(b"\x01\x02ab"), 0xb8c0_6042_7b9d_4649);
        let different = [
            id(b"\x01\x02ab"),
            id(b"\x01\x01a\x02\x01b"),
            id(b"\x01\x01b\x02\x01a"),
            id(b"\x01\x03abc"),
        ];
        for (place, one) in different.iter().enumerate() {
            assert!(!different[..place].contains(one));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_shown_without_control(area in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(port) = port(&area) {
                let texts = [Some(port.circuit), port.remote];
                for text in texts.into_iter().flatten() {
                    prop_assert!(text.chars().count() <= LONGEST);
                    prop_assert!(!text.chars().any(char::is_control));
                }
            }
        }
    }
}
