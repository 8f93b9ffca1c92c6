//! The options of a reply as they stand on the wire, all in one run of bytes: as values each would be an allocation
//! or two of its own, in every packet.

use std::net::Ipv4Addr;
use std::ops::Range;

use dhcproto::v4::{DhcpOption, Encodable as _, OptionCode};
use smallvec::SmallVec;

/// Options, written one after the other in any order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    bytes: Vec<u8>,
    /// The code of each option, and where it ends.
    ends: SmallVec<[(u8, u32); FEW]>,
    refused: Vec<u8>,
}

/// More options than most replies have.
const FEW: usize = 16;

/// Room for them, in bytes.
const ROOM: usize = 256;

/// What one part of an option holds (RFC 3396).
const PART: usize = 255;

impl Written {
    /// None, with room for those of a reply.
    pub fn with_room() -> Self {
        Self {
            bytes: Vec::with_capacity(ROOM),
            ..Self::default()
        }
    }

    /// Puts in an option by its bytes, in as many parts as its length needs (RFC 3396). One that has none is not
    /// sent.
    pub fn put(&mut self, code: OptionCode, data: &[u8]) {
        let code = u8::from(code);
        write_parts(code, data, &mut self.bytes);
        self.end(code);
    }

    /// Puts in one that holds an address.
    pub fn put_address(&mut self, code: OptionCode, address: Ipv4Addr) {
        self.put(code, &address.octets());
    }

    /// Puts in one that holds a list of addresses; parts divide no address.
    pub fn put_addresses(&mut self, code: OptionCode, addresses: &[Ipv4Addr]) {
        const SIZE: usize = 4;
        let code = u8::from(code);
        for part in addresses.chunks(PART / SIZE) {
            self.bytes.push(code);
            self.bytes
                .push(u8::try_from(part.len() * SIZE).unwrap_or(u8::MAX));
            self.bytes.extend(part.iter().flat_map(Ipv4Addr::octets));
        }
        self.end(code);
    }

    /// Puts in one that holds a number of 32 bits.
    pub fn put_u32(&mut self, code: OptionCode, number: u32) {
        self.put(code, &number.to_be_bytes());
    }

    /// Puts in an option as `dhcproto` writes it.
    pub fn push(&mut self, option: &DhcpOption) {
        let code = u8::from(OptionCode::from(option));
        match option.to_vec() {
            Ok(bytes) => {
                self.bytes.extend_from_slice(&bytes);
                self.end(code);
            }
            Err(_) => self.refused.push(code),
        }
    }

    fn end(&mut self, code: u8) {
        let before = self.ends.last().map_or(0, |(_, end)| *end);
        let end = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        if end > before {
            self.ends.push((code, end));
        }
    }

    /// The code of each option and its bytes on the wire, in the order in which they were put in.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |(code, end)| {
            let end = usize::try_from(*end).unwrap_or(usize::MAX);
            let range: Range<usize> = start..end;
            start = end;
            (*code, self.bytes.get(range).unwrap_or_default())
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of an option, where it is written in one part.
    pub fn get(&self, code: OptionCode) -> Option<&[u8]> {
        let code = u8::from(code);
        let (_, bytes) = self.iter().find(|(other, _)| *other == code)?;
        match bytes {
            [_, len, data @ ..] if data.len() == usize::from(*len) => Some(data),
            _ => None,
        }
    }

    /// Takes an option out.
    pub fn remove(&mut self, code: OptionCode) {
        let code = u8::from(code);
        let mut rest = Self::with_room();
        for (other, bytes) in self.iter().filter(|(other, _)| *other != code) {
            rest.bytes.extend_from_slice(bytes);
            rest.end(other);
        }
        rest.refused = std::mem::take(&mut self.refused);
        *self = rest;
    }

    /// The codes of options that cannot be written.
    pub fn refused(&self) -> &[u8] {
        &self.refused
    }
}

impl FromIterator<DhcpOption> for Written {
    fn from_iter<I: IntoIterator<Item = DhcpOption>>(options: I) -> Self {
        let mut written = Self::with_room();
        for option in options {
            written.push(&option);
        }
        written
    }
}

/// An option in as many parts as its length needs (RFC 3396); none when it is empty.
pub(super) fn write_parts(code: u8, data: &[u8], bytes: &mut Vec<u8>) {
    for part in data.chunks(PART) {
        bytes.extend_from_slice(&[code, u8::try_from(part.len()).unwrap_or(u8::MAX)]);
        bytes.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_written_as_the_codec_writes_them() {
        let ip = Ipv4Addr::new(10, 0, 0, 1);
        let written = |put: &dyn Fn(&mut Written)| {
            let mut written = Written::with_room();
            put(&mut written);
            written
        };
        let same = |option: DhcpOption, put: &dyn Fn(&mut Written, OptionCode)| {
            let code = OptionCode::from(&option);
            let expected: Written = [option].into_iter().collect();
            assert_eq!(written(&|written| put(written, code)), expected);
        };
        same(DhcpOption::SubnetMask(ip), &|written, code| {
            written.put_address(code, ip);
        });
        same(DhcpOption::Rebinding(u32::MAX), &|written, code| {
            written.put_u32(code, u32::MAX);
        });
        for count in [0, 1, 63, 64, 200] {
            let addresses = vec![ip; count];
            same(
                DhcpOption::DomainNameServer(addresses.clone()),
                &|written, code| {
                    written.put_addresses(code, &addresses);
                },
            );
            let text = "d".repeat(count * 4);
            same(DhcpOption::DomainName(text.clone()), &|written, code| {
                written.put(code, text.as_bytes());
            });
        }
    }

    #[test]
    fn each_is_found_and_an_empty_one_is_none() {
        let mut written = Written::with_room();
        assert!(written.is_empty());
        written.put(OptionCode::Hostname, b"web01");
        written.put(OptionCode::DomainName, b"");
        written.put_addresses(OptionCode::Router, &[]);
        written.put_u32(OptionCode::AddressLeaseTime, 60);
        written.put(OptionCode::VendorExtensions, &[7; 256]);
        let codes: Vec<u8> = written.iter().map(|(code, _)| code).collect();
        assert_eq!((codes, written.len()), (vec![12, 51, 43], 3));
        assert_eq!(written.get(OptionCode::Hostname), Some(b"web01".as_slice()));
        assert_eq!(
            written.get(OptionCode::AddressLeaseTime),
            Some([0, 0, 0, 60].as_slice())
        );
        assert_eq!(written.get(OptionCode::DomainName), None);
        assert_eq!(
            written.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(),
            7 + 6 + 260
        );
    }
}
