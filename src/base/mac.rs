//! Hardware addresses as DHCP carries them (RFC 2131 `htype`, `hlen`, `chaddr`).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The hardware type of Ethernet (RFC 1700, "Number Hardware Type").
pub const ETHERNET: u8 = 1;

/// A client's hardware address: the identity of a machine on the wire.
///
/// Holds `htype` and at most 16 bytes of `chaddr`; the bytes past the length are always zero, so
/// that two equal addresses compare equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HardwareAddr {
    htype: u8,
    len: u8,
    bytes: [u8; 16],
}

/// Why a text is no hardware address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseMacError {
    /// Another character than a hexadecimal digit or a separator.
    #[error("`{0}` is no hexadecimal digit and no separator (`:`, `-` or `.`)")]
    Character(char),
    /// Not twelve hexadecimal digits.
    #[error("a MAC address has 12 hexadecimal digits, this has {0}")]
    Digits(usize),
    /// Separators in unusual places, such as `52:5400:12:34:56`.
    #[error("the separators are not where any usual spelling has them")]
    Separators,
}

impl HardwareAddr {
    /// An Ethernet address.
    pub const fn ethernet(octets: [u8; 6]) -> Self {
        let mut bytes = [0; 16];
        let mut i = 0;
        while i < 6 {
            bytes[i] = octets[i];
            i += 1;
        }
        Self {
            htype: ETHERNET,
            len: 6,
            bytes,
        }
    }

    /// An address as a DHCP header gives it; `None` when `chaddr` is longer than 16 bytes.
    pub fn new(htype: u8, chaddr: &[u8]) -> Option<Self> {
        let mut bytes = [0; 16];
        bytes.get_mut(..chaddr.len())?.copy_from_slice(chaddr);
        Some(Self {
            htype,
            len: u8::try_from(chaddr.len()).ok()?,
            bytes,
        })
    }

    /// The hardware type (`htype`); 1 is Ethernet.
    pub const fn htype(&self) -> u8 {
        self.htype
    }

    /// The address itself, `hlen` bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The six octets, when this is an Ethernet address.
    pub fn octets(&self) -> Option<[u8; 6]> {
        if self.htype != ETHERNET {
            return None;
        }
        self.as_bytes().try_into().ok()
    }

    /// The form that file names and URLs use: `52-54-00-47-86-8e`, as iPXE's `${net0/mac:hexhyp}`.
    pub fn dashed(&self) -> String {
        self.joined('-')
    }

    fn joined(&self, separator: char) -> String {
        use fmt::Write as _;
        let mut text = String::with_capacity(usize::from(self.len) * 3);
        for (i, byte) in self.as_bytes().iter().enumerate() {
            if i > 0 {
                text.push(separator);
            }
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

/// Two whole numbers: each packet is looked up by it several times.
impl Hash for HardwareAddr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_ne_bytes(self.bytes));
        state.write_u16(u16::from_ne_bytes([self.htype, self.len]));
    }
}

impl FromStr for HardwareAddr {
    type Err = ParseMacError;

    /// Reads every usual spelling: `52:54:00:47:86:8e`, `52-54-…`, `5254.0047.868e`, `52540047868e`,
    /// in upper or lower case; also `01-52-54-…` without the type byte is *not* accepted, because
    /// it is ambiguous.
    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        let text = text.trim();
        if let Some(octets) = usual(text.as_bytes()) {
            return Ok(Self::ethernet(octets));
        }
        let mut digits = Vec::with_capacity(12);
        let mut groups = vec![0_usize];
        let mut separator = None;
        for c in text.chars() {
            if let Some(digit) = c.to_digit(16) {
                digits.push(u8::try_from(digit).unwrap_or_default());
                if let Some(last) = groups.last_mut() {
                    *last += 1;
                }
            } else if matches!(c, ':' | '-' | '.') {
                if *separator.get_or_insert(c) != c {
                    return Err(ParseMacError::Separators);
                }
                groups.push(0);
            } else {
                return Err(ParseMacError::Character(c));
            }
        }
        if digits.len() != 12 {
            return Err(ParseMacError::Digits(digits.len()));
        }
        if !matches!(
            groups.as_slice(),
            [12] | [4, 4, 4] | [2, 2, 2, 2, 2, 2] | [6, 6]
        ) {
            return Err(ParseMacError::Separators);
        }
        let mut octets = [0; 6];
        for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
            *octet = pair.iter().fold(0, |acc, digit| acc << 4 | digit);
        }
        Ok(Self::ethernet(octets))
    }
}

/// The spelling that nearly all of a hundred thousand have: `52:54:00:47:86:8e`.
fn usual(text: &[u8]) -> Option<[u8; 6]> {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16)?).ok();
    let mut octets = [0; 6];
    if text.len() != 17 {
        return None;
    }
    for (octet, group) in octets.iter_mut().zip(text.chunks(3)) {
        *octet = match *group {
            [high, low, b':'] | [high, low] => digit(high)? << 4 | digit(low)?,
            _ => return None,
        };
    }
    Some(octets)
}

impl fmt::Display for HardwareAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.joined(':'))
    }
}

impl fmt::Debug for HardwareAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Ethernet addresses in the colon form; others, which nobody writes but any packet may carry, with their
/// hardware type before: `32/80:00:…`.
impl Serialize for HardwareAddr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.octets().is_some() {
            serializer.collect_str(self)
        } else {
            serializer.collect_str(&format_args!("{}/{self}", self.htype))
        }
    }
}

impl<'de> Deserialize<'de> for HardwareAddr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.split_once('/') {
            None => text.parse().map_err(serde::de::Error::custom),
            Some((htype, bytes)) => Self::parse_other(htype, bytes).ok_or_else(|| {
                serde::de::Error::custom(format!("`{text}` is no hardware address"))
            }),
        }
    }
}

impl HardwareAddr {
    fn parse_other(htype: &str, bytes: &str) -> Option<Self> {
        let chaddr = bytes
            .split(':')
            .filter(|byte| !byte.is_empty())
            .map(|byte| u8::from_str_radix(byte, 16).ok())
            .collect::<Option<Vec<u8>>>()?;
        Self::new(htype.parse().ok()?, &chaddr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_spelling_is_one_address() {
        let expected = HardwareAddr::ethernet([0x52, 0x54, 0, 0x47, 0x86, 0x8e]);
        for text in [
            "52:54:00:47:86:8e",
            "52-54-00-47-86-8E",
            "5254.0047.868e",
            "52540047868E",
            "525400-47868e",
            " 52:54:00:47:86:8e ",
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        assert_eq!(expected.to_string(), "52:54:00:47:86:8e");
        assert_eq!(expected.dashed(), "52-54-00-47-86-8e");
    }

    #[test]
    fn what_is_no_address_says_why() {
        let parse = |text: &str| text.parse::<HardwareAddr>().unwrap_err();
        assert_eq!(parse("52:54:00:47:86"), ParseMacError::Digits(10));
        assert_eq!(parse("52:54:00:47:86:8g"), ParseMacError::Character('g'));
        assert_eq!(parse("52:54-00:47:86:8e"), ParseMacError::Separators);
        assert_eq!(parse("52:5400:47:86:8e"), ParseMacError::Separators);
        assert_eq!(parse(""), ParseMacError::Digits(0));
    }

    #[test]
    fn chaddr_longer_than_sixteen_is_refused() {
        assert_eq!(HardwareAddr::new(1, &[0; 17]), None);
        assert_eq!(
            HardwareAddr::new(32, &[7; 16]).map(|a| a.as_bytes().len()),
            Some(16)
        );
    }

    #[test]
    fn any_address_of_a_packet_is_written_and_read_back() {
        for (htype, len) in [(1, 6), (32, 16), (1, 0), (6, 6), (1, 7), (255, 1)] {
            let bytes: Vec<u8> = (0..len).map(|n| 0x80 + n).collect();
            let addr = HardwareAddr::new(htype, &bytes).unwrap();
            let json = serde_json::to_string(&addr).unwrap();
            assert_eq!(
                serde_json::from_str::<HardwareAddr>(&json).unwrap(),
                addr,
                "{json}"
            );
        }
        for bad in ["\"32/xx\"", "\"999/80\"", "\"/\"", "\"52:54\""] {
            assert!(serde_json::from_str::<HardwareAddr>(bad).is_err(), "{bad}");
        }
    }
}
