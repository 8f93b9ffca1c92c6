//! Validated names. A value of these types has been checked; nothing downstream checks it again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use subtle::ConstantTimeEq as _;

/// Whether the name of a file ends in a dot and this, in upper or lower case.
pub fn has_extension(path: &str, extension: &str) -> bool {
    let found = std::path::Path::new(path).extension();
    found.is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a name must not be empty")]
    Empty,
    /// More characters than the name may have.
    #[error("a name has at most {max} characters, this has {len}")]
    TooLong {
        /// The bound.
        max: usize,
        /// What was found.
        len: usize,
    },
    /// A character that such a name must not hold.
    #[error("`{0}` must not stand in it; {1}")]
    Character(char, &'static str),
    /// A hyphen or dot at the beginning or end.
    #[error("it must not begin or end with `{0}`")]
    Edge(char),
}

// Names of up to 23 bytes lie in the value itself: each packet looks at one, of a hundred thousand.
macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(SmolStr);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

text_name!(
    /// A host's name: one label of a DNS name (RFC 1123 section 2.1), in lower or upper case.
    HostName,
    check_label
);
text_name!(
    /// A group of hosts.
    GroupName,
    check_word
);
text_name!(
    /// A profile: the name of its file without `.toml`.
    ProfileName,
    check_word
);
text_name!(
    /// A subnet: its `name`, or the network as written.
    SubnetName,
    check_subnet
);

fn check_label(text: &str) -> Result<(), NameError> {
    const MAX: usize = 63;
    check_characters(
        text,
        MAX,
        |c| c.is_ascii_alphanumeric() || c == '-',
        "a host name has letters, digits and hyphens; the domain stands in `domain` or `fqdn`",
    )?;
    for edge in [text.chars().next(), text.chars().next_back()] {
        if edge == Some('-') {
            return Err(NameError::Edge('-'));
        }
    }
    Ok(())
}

fn check_word(text: &str) -> Result<(), NameError> {
    check_characters(
        text,
        64,
        |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'),
        "letters, digits, `-`, `_` and `.` may",
    )?;
    if text.starts_with('.') {
        return Err(NameError::Edge('.'));
    }
    Ok(())
}

fn check_subnet(text: &str) -> Result<(), NameError> {
    check_characters(
        text,
        64,
        |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'),
        "letters, digits, `-`, `_`, `.` and `/` may",
    )
}

fn check_characters(
    text: &str,
    max: usize,
    allowed: impl Fn(char) -> bool,
    hint: &'static str,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if let Some(c) = text.chars().find(|c| !allowed(*c)) {
        return Err(NameError::Character(c, hint));
    }
    if text.len() > max {
        return Err(NameError::TooLong {
            max,
            len: text.len(),
        });
    }
    Ok(())
}

/// The capability that opens one arming's answers and reports: 128 random bits as 26 characters of
/// lower-case base32 (RFC 4648 alphabet).
///
/// `Debug` and `Display` show only its first four characters; [`Token::reveal`] is for URLs that go
/// to the machine itself. Two are compared in constant time, wherever that is.
#[derive(Clone, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

/// For tables whose hash has a key that nobody knows: what they compare then tells nothing about a guess.
impl std::hash::Hash for Token {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

impl Token {
    /// Length of the text form.
    pub const LEN: usize = 26;

    /// A token from 16 random bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let mut bits = u128::from_be_bytes(bytes);
        // 26 characters carry 130 bits: the last one holds the three remaining.
        let mut text = [0_u8; Self::LEN];
        let low = (bits & 0b111) as usize;
        bits >>= 3;
        for (i, slot) in text.iter_mut().enumerate().rev() {
            let index = if i == Self::LEN - 1 {
                low << 2
            } else {
                let five = (bits & 0b1_1111) as usize;
                bits >>= 5;
                five
            };
            *slot = BASE32.get(index).copied().unwrap_or(b'a');
        }
        Self(text.iter().map(|&b| char::from(b)).collect())
    }

    /// Reads a token from a URL; `None` when it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == Self::LEN && text.bytes().all(|b| BASE32.contains(&b)))
            .then(|| Self(text.to_owned()))
    }

    /// The whole token, for the URLs of the machine it was made for. Never for a log or a message.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The beginning, by which people tell tokens apart in logs.
    pub fn hint(&self) -> &str {
        self.0.get(..4).unwrap_or_default()
    }
}

/// A text without any token that it may hold: every run of characters that is long enough for one is cut
/// to its first four.
pub fn without_tokens(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let run = rest
            .find(|c: char| !u8::try_from(c).is_ok_and(|b| BASE32.contains(&b)))
            .unwrap_or(rest.len());
        let (head, tail) = rest.split_at(run);
        if run < Token::LEN {
            shown.push_str(head);
        } else {
            shown.extend(head.chars().take(4));
            shown.push('…');
        }
        let mut others = tail.chars();
        shown.extend(others.next());
        rest = others.as_str();
    }
    shown
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.hint())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

/// A machine's UUID (SMBIOS, option 97 of RFC 4578, iPXE's `${uuid}`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// From the 16 bytes of option 97 after its type byte: SMBIOS order, the first three fields
    /// little-endian (a machine with UUID `e2e00000-…` sends `00 00 e0 e2`).
    pub fn from_smbios(mut bytes: [u8; 16]) -> Self {
        bytes[0..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        Self(bytes)
    }

    /// The 16 bytes of option 97 after its type byte, as [`Uuid::from_smbios`] reads them.
    pub fn to_smbios(self) -> [u8; 16] {
        // Turning three fields about twice leaves them as they were.
        Self::from_smbios(self.0).0
    }

    /// Whether this is one of the values that firmware sends when it has none (all zeros or ones).
    pub fn is_placeholder(&self) -> bool {
        self.0 == [0; 16] || self.0 == [0xff; 16]
    }
}

impl FromStr for Uuid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits: Vec<u8> = text
            .chars()
            .filter(|c| *c != '-')
            .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect::<Option<_>>()
            .ok_or_else(|| {
                format!("`{text}` holds something else than hexadecimal digits and `-`")
            })?;
        if digits.len() != 32 {
            return Err(format!(
                "a UUID has 32 hexadecimal digits, this has {}",
                digits.len()
            ));
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().fold(0, |acc, digit| acc << 4 | digit);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Uuid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_dns_labels() {
        assert!("web01".parse::<HostName>().is_ok());
        assert!("WEB-01".parse::<HostName>().is_ok());
        for bad in ["", "-web", "web-", "web.lab", "wéb", "a_b", &"x".repeat(64)] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn tokens_are_26_characters_and_hide_themselves() {
        let token = Token::from_bytes([0xff; 16]);
        assert_eq!(token.reveal().len(), Token::LEN);
        assert_eq!(Token::parse(token.reveal()), Some(token.clone()));
        assert!(!format!("{token} {token:?}").contains(token.reveal()));
        assert_ne!(
            Token::from_bytes([0; 16]),
            Token::from_bytes({
                let mut bytes = [0; 16];
                bytes[15] = 1;
                bytes
            })
        );
        assert_eq!(Token::parse("short"), None);
        assert_eq!(Token::parse(&"A".repeat(26)), None);
    }

    #[test]
    fn no_text_is_shown_with_a_token() {
        let token = Token::from_bytes(*b"0123456789abcdef");
        let whole = token.reveal();
        assert_eq!(
            without_tokens(&format!(
                "wget http://10.99.0.2/answers/{whole}/preseed.cfg: 404"
            )),
            format!("wget http://10.99.0.2/answers/{token}/preseed.cfg: 404")
        );
        for around in ["xyz", "/", "ä", "Z", "=", ""] {
            let text = without_tokens(&format!("{around}{whole}{around}"));
            assert!(!text.contains(whole), "{text}");
        }
        let plain = "No space left on device (sd-a2, 7f3e9c0b1d)\n\tat line 26";
        assert_eq!(without_tokens(plain), plain);
    }

    #[test]
    fn uuid_of_option_97_reads_as_dmidecode_prints_it() {
        let uuid = Uuid::from_smbios([0x00, 0x00, 0xe0, 0xe2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(uuid.to_string(), "e2e00000-0000-0000-0000-000000000001");
        assert_eq!("E2E00000-0000-0000-0000-000000000001".parse(), Ok(uuid));
    }
}
