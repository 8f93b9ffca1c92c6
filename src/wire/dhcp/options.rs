//! The options of a received message, as raw bytes by code.
//!
//! Read over the raw bytes, not through a typed list: a Latin-1 host name or a user class that is no
//! RFC 3004 list is one odd option, and the message type behind it still counts.
//!
//! **Invariant:** an option that cannot be read never costs another one. What is kept is never more
//! bytes than the message had.

use std::net::Ipv4Addr;
use std::ops::Range;

use dhcproto::v4::OptionCode;
use smallvec::SmallVec;

/// Options by code, parts of one code joined in the order in which they came (RFC 3396). All of them
/// lie in one run of bytes: a packet has a dozen, and each would cost an allocation of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    bytes: Vec<u8>,
    /// In ascending order of code, each code once.
    index: SmallVec<[Place; FEW]>,
}

/// More options than firmware sends.
const FEW: usize = 24;

/// Where the bytes of an option are. A datagram has no more than a 16-bit number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    code: u8,
    start: u16,
    end: u16,
}

impl Place {
    fn range(self) -> Range<usize> {
        usize::from(self.start)..usize::from(self.end)
    }
}

const PAD: u8 = 0;
const END: u8 = 255;

/// `file` holds options (RFC 2132 section 9.3).
const OVERLOAD_FILE: u8 = 1;
/// `sname` holds options.
const OVERLOAD_SNAME: u8 = 2;

impl Options {
    /// Reads the three areas that may hold options: the one after the cookie and, when option 52 in
    /// it says so, `file` and `sname`; in the order of RFC 3396 section 5.
    ///
    /// An option that runs over the end of its area ends the area; what came before it counts.
    pub fn read(area: &[u8], file: &[u8], sname: &[u8]) -> Self {
        let mut options = Self {
            bytes: Vec::with_capacity(area.len()),
            index: SmallVec::new(),
        };
        options.take(area);
        let overload = options
            .index
            .iter()
            .filter(|place| place.code == u8::from(OptionCode::OptionOverload))
            .find_map(|place| options.bytes.get(place.range())?.first().copied())
            .filter(|value| (OVERLOAD_FILE..=OVERLOAD_FILE | OVERLOAD_SNAME).contains(value))
            .unwrap_or_default();
        if overload & OVERLOAD_FILE != 0 {
            options.take(file);
        }
        if overload & OVERLOAD_SNAME != 0 {
            options.take(sname);
        }
        // Parts of one code stay in their order.
        options
            .index
            .sort_unstable_by_key(|place| (place.code, place.start, place.end));
        let is_in_parts = options
            .index
            .windows(2)
            .any(|pair| matches!(pair, [first, second] if first.code == second.code));
        if is_in_parts {
            options.join();
        }
        options
    }

    /// Takes in the options of an area, in its order.
    fn take(&mut self, area: &[u8]) {
        for (code, data) in encapsulated(area) {
            let (start, end) = (self.bytes.len(), self.bytes.len() + data.len());
            let (Ok(start), Ok(end)) = (u16::try_from(start), u16::try_from(end)) else {
                return;
            };
            self.bytes.extend_from_slice(data);
            self.index.push(Place { code, start, end });
        }
    }

    /// Joins the parts of options that came in several.
    fn join(&mut self) {
        let parts = std::mem::take(self);
        self.bytes.reserve_exact(parts.bytes.len());
        for place in parts.index {
            let Ok(start) = u16::try_from(self.bytes.len()) else {
                return;
            };
            let data = parts.bytes.get(place.range()).unwrap_or_default();
            self.bytes.extend_from_slice(data);
            // No more than before in all.
            let end = u16::try_from(self.bytes.len()).unwrap_or(u16::MAX);
            match self.index.last_mut() {
                Some(last) if last.code == place.code => last.end = end,
                _ => self.index.push(Place {
                    code: place.code,
                    start,
                    end,
                }),
            }
        }
    }

    fn place(&self, code: OptionCode) -> Option<Place> {
        let code = u8::from(code);
        let place = self.index.iter().find(|place| place.code >= code)?;
        (place.code == code).then_some(*place)
    }

    /// The bytes of an option; empty when it was there without any.
    pub fn get(&self, code: OptionCode) -> Option<&[u8]> {
        self.bytes.get(self.place(code)?.range())
    }

    /// Whether an option was there at all.
    pub fn contains(&self, code: OptionCode) -> bool {
        self.place(code).is_some()
    }

    /// All of them, by code.
    pub fn iter(&self) -> impl Iterator<Item = (OptionCode, &[u8])> {
        self.index.iter().filter_map(|place| {
            Some((OptionCode::from(place.code), self.bytes.get(place.range())?))
        })
    }
}

/// The options in an area that is laid out as DHCP's own: code, length, data, with pad and end. So
/// are options 43 (RFC 2132 section 8.4) and 175 (iPXE).
pub fn encapsulated(area: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = area;
    std::iter::from_fn(move || {
        loop {
            let (&code, tail) = rest.split_first()?;
            match code {
                PAD => rest = tail,
                END => return None,
                _ => return next_option(code, tail, &mut rest),
            }
        }
    })
}

/// The sub-options of option 82 (RFC 3046 section 2.0): neither pad nor end.
pub fn relay_sub_options(area: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = area;
    std::iter::from_fn(move || {
        let (&code, tail) = rest.split_first()?;
        next_option(code, tail, &mut rest)
    })
}

fn next_option<'a>(code: u8, tail: &'a [u8], rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&len, tail) = tail.split_first()?;
    let (data, tail) = tail.split_at_checked(usize::from(len))?;
    *rest = tail;
    Some((code, data))
}

/// Domains as option 119 holds them (RFC 3397 section 2): DNS names, the ends that they share written
/// once (RFC 1035 section 4.1.4). Pointers count from the first byte of the option, parts joined.
pub fn domain_search<'a>(domains: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    const POINTER: u16 = 0xc000;
    let mut bytes: Vec<u8> = Vec::new();
    let mut written: Vec<(&str, u16)> = Vec::new();
    for domain in domains {
        let mut rest = domain.trim_end_matches('.');
        loop {
            if rest.is_empty() {
                bytes.push(0);
                break;
            }
            if let Some((_, at)) = written
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(rest))
            {
                bytes.extend_from_slice(&(POINTER | at).to_be_bytes());
                break;
            }
            if let Ok(at) = u16::try_from(bytes.len())
                && at < POINTER >> 2
            {
                written.push((rest, at));
            }
            let (label, tail) = rest.split_once('.').unwrap_or((rest, ""));
            // A label has no more than 63 bytes, which the configuration has checked.
            let label = label.as_bytes();
            let label = label.get(..63).unwrap_or(label);
            bytes.push(u8::try_from(label.len()).unwrap_or_default());
            bytes.extend_from_slice(label);
            rest = tail;
        }
    }
    bytes
}

/// An address of four bytes.
pub(super) fn address(data: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(data).ok().map(Ipv4Addr::from)
}

/// A text as clients write it: without the NUL that some put at its end, and without what would
/// disturb a terminal. Bytes that are no UTF-8 are shown as such. `None` when nothing is left.
pub(super) fn text(data: &[u8]) -> Option<String> {
    let text: String = String::from_utf8_lossy(data)
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    (!text.is_empty()).then_some(text)
}

/// The name in option 81 (RFC 4702 section 2): in DNS wire form when its E bit is set, else ASCII.
pub(super) fn fqdn(data: &[u8]) -> Option<String> {
    const CANONICAL: u8 = 0x04;
    let (&flags, rest) = data.split_first()?;
    let name = rest.get(2..)?;
    if flags & CANONICAL == 0 {
        return text(name);
    }
    let mut labels = Vec::new();
    let mut rest = name;
    while let Some((&len, tail)) = rest.split_first() {
        // No compression pointer may stand here (RFC 4702 section 2.3.1); a partial name has no root.
        if len == 0 {
            break;
        }
        let (label, tail) = tail.split_at_checked(usize::from(len))?;
        labels.push(text(label)?);
        rest = tail;
    }
    (!labels.is_empty()).then(|| labels.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(area: &[u8]) -> Options {
        Options::read(area, &[], &[])
    }

    #[test]
    fn parts_that_are_not_adjacent_are_joined() {
        let options = read(&[77, 2, b'i', b'P', 53, 1, 1, 77, 2, b'X', b'E', 255]);
        assert_eq!(options.get(OptionCode::UserClass), Some(b"iPXE".as_slice()));
        assert_eq!(options.get(OptionCode::MessageType), Some([1].as_slice()));
    }

    #[test]
    fn overloaded_fields_are_read_in_order() {
        let area = [52, 1, 3, 61, 1, 1, 255];
        let file = [61, 1, 2, 255, 53, 1, 9];
        let sname = [53, 1, 1, 61, 1, 3, 255];
        let options = Options::read(&area, &file, &sname);
        assert_eq!(
            options.get(OptionCode::ClientIdentifier),
            Some([1, 2, 3].as_slice())
        );
        assert_eq!(options.get(OptionCode::MessageType), Some([1].as_slice()));
        let only_sname = Options::read(&[52, 1, 2, 255], &file, &sname);
        assert_eq!(
            only_sname.get(OptionCode::ClientIdentifier),
            Some([3].as_slice())
        );
        let nonsense = Options::read(&[52, 1, 7, 255], &file, &sname);
        assert!(!nonsense.contains(OptionCode::ClientIdentifier));
    }

    #[test]
    fn a_truncated_option_ends_its_area_only() {
        let options = read(&[53, 1, 1, 12, 200, b'x']);
        assert!(options.contains(OptionCode::MessageType));
        assert!(!options.contains(OptionCode::Hostname));
        let options = Options::read(&[52, 1, 1, 12, 9, b'x'], &[53, 1, 3], &[]);
        assert_eq!(options.get(OptionCode::MessageType), Some([3].as_slice()));
    }

    #[test]
    fn names_of_option_81_in_both_forms() {
        assert_eq!(fqdn(b"\x00\x00\x00web01.lab").as_deref(), Some("web01.lab"));
        assert_eq!(
            fqdn(b"\x05\x00\x00\x05web01\x03lab\x00").as_deref(),
            Some("web01.lab")
        );
        assert_eq!(fqdn(b"\x05\x00\x00\x05web01").as_deref(), Some("web01"));
        assert_eq!(fqdn(b"\x05\x00\x00\x3fweb01"), None);
        assert_eq!(fqdn(b"\x00"), None);
    }

    #[test]
    fn domains_share_their_ends() {
        // RFC 3397 section 4.
        assert_eq!(
            domain_search(["eng.apple.com", "marketing.apple.com"]),
            b"\x03eng\x05apple\x03com\0\x09marketing\xc0\x04"
        );
        assert_eq!(
            domain_search(["lab.example", "example.", "LAB.example"]),
            b"\x03lab\x07example\0\xc0\x04\xc0\0"
        );
        assert_eq!(domain_search([]), b"");
        assert_eq!(domain_search(["lan"]), b"\x03lan\0");
    }

    #[test]
    fn relay_sub_options_know_no_pad() {
        let subs: Vec<_> = relay_sub_options(&[0, 1, 7, 5, 4, 10, 0, 0, 1, 9, 9]).collect();
        assert_eq!(subs, [(0, [7].as_slice()), (5, [10, 0, 0, 1].as_slice())]);
    }
}
