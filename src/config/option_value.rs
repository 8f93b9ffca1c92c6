//! What the bytes of a DHCP option mean, by the form that IANA gives it.
//!
//! **Invariant:** any bytes have a value: those that do not fit the option's form are themselves.

use std::fmt;
use std::net::Ipv4Addr;

use super::options::{Form, by_code};

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// A whole number, of this many bytes.
    Number(u32, u8),
    /// Yes or no.
    Bool(bool),
    /// Text of printable ASCII.
    Text(String),
    /// One address or several.
    Addresses(Vec<Ipv4Addr>),
    /// Domains (RFC 3397).
    Domains(Vec<String>),
    /// Routes (RFC 3442).
    Routes(Vec<Route>),
    /// Anything else.
    Bytes(Vec<u8>),
}

/// A route of option 121.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub network: Ipv4Addr,
    /// The length of its prefix.
    pub prefix: u8,
    /// By which router.
    pub router: Ipv4Addr,
}

impl OptionValue {
    /// Reads the bytes of an option.
    pub fn of(code: u8, data: &[u8]) -> Self {
        Self::read(code, data).unwrap_or_else(|| Self::Bytes(data.to_vec()))
    }

    fn read(code: u8, data: &[u8]) -> Option<Self> {
        let form = by_code(code).map_or(Form::Any, |(_, form)| form);
        let number = || {
            data.iter()
                .fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
        };
        Some(match (form, data.len()) {
            _ if code == 119 => Self::Domains(domains(data)?),
            _ if code == 121 => Self::Routes(routes(data)?),
            (Form::U8, 1) => Self::Number(number(), 1),
            (Form::U16, 2) => Self::Number(number(), 2),
            (Form::U32, 4) => Self::Number(number(), 4),
            (Form::Bool, 1) => Self::Bool(number() != 0),
            (Form::Text | Form::Any, _) => Self::Text(printable(data)?),
            (Form::Ip | Form::Ips, _) => Self::Addresses(addresses(data)?),
            _ => return None,
        })
    }

    /// The bytes as they are written in hexadecimal, with this between them.
    pub fn hex(data: &[u8], between: &str) -> String {
        let bytes: Vec<String> = data.iter().map(|byte| format!("{byte:02x}")).collect();
        bytes.join(between)
    }
}

impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number, _) => write!(f, "{number}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(text),
            Self::Addresses(addresses) => f.write_str(&joined(addresses)),
            Self::Domains(domains) => f.write_str(&domains.join(", ")),
            Self::Routes(routes) => f.write_str(&joined(routes)),
            Self::Bytes(bytes) => f.write_str(&Self::hex(bytes, " ")),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} via {}", self.network, self.prefix, self.router)
    }
}

fn joined<T: ToString>(items: &[T]) -> String {
    items
        .iter()
        .map(T::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Text without its closing NUL.
fn printable(data: &[u8]) -> Option<String> {
    let data = data.strip_suffix(&[0]).unwrap_or(data);
    let is_text = !data.is_empty() && data.iter().all(|byte| (32..127).contains(byte));
    is_text.then(|| data.iter().map(|byte| char::from(*byte)).collect())
}

fn addresses(data: &[u8]) -> Option<Vec<Ipv4Addr>> {
    if data.is_empty() || !data.len().is_multiple_of(4) {
        return None;
    }
    data.chunks_exact(4)
        .map(|chunk| <[u8; 4]>::try_from(chunk).ok().map(Ipv4Addr::from))
        .collect()
}

/// The list of RFC 3397, its pointers followed; `None`: it is no such list.
fn domains(data: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let (name, next) = domain(data, at)?;
        names.push(name);
        at = next;
    }
    Some(names)
}

fn domain(data: &[u8], start: usize) -> Option<(String, usize)> {
    const POINTER: u8 = 0xc0;
    /// More than a name of 255 bytes can have.
    const MOST: usize = 128;
    let (mut labels, mut at, mut end) = (Vec::new(), start, None);
    for _ in 0..MOST {
        let len = *data.get(at)?;
        if len == 0 {
            return Some((labels.join("."), end.unwrap_or(at + 1)));
        }
        if len & POINTER == POINTER {
            let low = *data.get(at + 1)?;
            end = end.or(Some(at + 2));
            at = usize::from(len & !POINTER) << 8 | usize::from(low);
            continue;
        }
        labels.push(printable(data.get(at + 1..at + 1 + usize::from(len))?)?);
        at += 1 + usize::from(len);
    }
    None
}

/// The routes of RFC 3442.
fn routes(data: &[u8]) -> Option<Vec<Route>> {
    let mut routes = Vec::new();
    let mut rest = data;
    while let Some((&prefix, tail)) = rest.split_first() {
        let covered = usize::from(prefix.div_ceil(8));
        let (network, tail) = tail.split_at_checked(covered)?;
        let (router, tail) = tail.split_at_checked(4)?;
        let mut octets = [0; 4];
        octets.get_mut(..covered)?.copy_from_slice(network);
        routes.push(Route {
            network: octets.into(),
            prefix: Some(prefix).filter(|prefix| *prefix <= 32)?,
            router: <[u8; 4]>::try_from(router).ok()?.into(),
        });
        rest = tail;
    }
    (!routes.is_empty()).then_some(routes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::dhcp::options::domain_search;

    #[test]
    fn values_in_their_own_forms() {
        for (code, data, shown) in [
            (3, &[10, 99, 0, 1, 10, 99, 0, 3][..], "10.99.0.1, 10.99.0.3"),
            (3, &[10, 99, 0], "0a 63 00"),
            (51, &[0, 0, 14, 16], "3600"),
            (51, &[1, 2], "01 02"),
            (19, &[1], "true"),
            (17, b"nfs:/srv\0", "nfs:/srv"),
            (17, b"caf\xc3\xa9", "63 61 66 c3 a9"),
            (43, &[6, 1, 8, 255], "06 01 08 ff"),
            (
                121,
                &[24, 10, 1, 0, 10, 99, 0, 1],
                "10.1.0.0/24 via 10.99.0.1",
            ),
            (
                121,
                &[33, 10, 1, 0, 7, 1, 10, 99, 0, 1],
                "21 0a 01 00 07 01 0a 63 00 01",
            ),
            (224, b"free text", "free text"),
        ] {
            assert_eq!(
                OptionValue::of(code, data).to_string(),
                shown,
                "option {code}"
            );
        }
        let list = domain_search(["lab.example", "example", "a.lab.example"]);
        let value = OptionValue::of(119, &list);
        assert_eq!(value.to_string(), "lab.example, example, a.lab.example");
    }

    #[test]
    fn any_bytes_have_a_value() {
        // Pointers that lead round and round, ends that are missing.
        for data in [&[0xc0, 0][..], &[3, b'a'], &[0xff; 40], &[24, 1], &[]] {
            for code in 0..=255 {
                let _ = OptionValue::of(code, data).to_string();
            }
        }
    }
}
