//! DHCP messages as text: options by their names, values in their own forms.

use serde::Serialize;

use super::machine::told_by;
use crate::base::Uuid;
use crate::config::option_value::OptionValue;
use crate::config::options as known;
use crate::wire::dhcp::options::encapsulated;
use crate::wire::dhcp::{HEADER, Options};

/// One option as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OptionShown {
    /// Its code.
    pub code: u8,
    /// IANA's name for it, in lower case with hyphens; empty where there is none.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

/// Names of options that nobody configures.
const NAMES: [(u8, &str); 6] = [
    (93, "client-system"),
    (94, "client-ndi"),
    (97, "uuid-guid"),
    (175, "ipxe-encap"),
    (203, "ipxe-biosdrive"),
    (235, "vendor-private"),
];

/// The message types of RFC 2131.
const MESSAGES: [&str; 9] = [
    "",
    "DHCPDISCOVER",
    "DHCPOFFER",
    "DHCPREQUEST",
    "DHCPDECLINE",
    "DHCPACK",
    "DHCPNAK",
    "DHCPRELEASE",
    "DHCPINFORM",
];

/// What a message of this type is called.
pub(super) fn message(code: Option<u8>) -> &'static str {
    let name = code.and_then(|code| MESSAGES.get(usize::from(code)));
    name.copied()
        .filter(|name| !name.is_empty())
        .unwrap_or("BOOTP")
}

/// All options of a datagram, by code.
pub(super) fn options(payload: &[u8]) -> Options {
    let area = |range: std::ops::Range<usize>| payload.get(range).unwrap_or_default();
    let options = payload.get(HEADER..).unwrap_or_default();
    Options::read(options, area(108..236), area(44..108))
}

/// The same as they are shown.
pub(super) fn shown(options: &Options) -> Vec<OptionShown> {
    let shown = |(code, data): (_, &[u8])| {
        let code = u8::from(code);
        OptionShown {
            code,
            name: name(code),
            value: value(code, data),
        }
    };
    options.iter().map(shown).collect()
}

fn name(code: u8) -> &'static str {
    let other = NAMES.iter().find(|(other, _)| *other == code);
    match (known::by_code(code), other) {
        (Some((name, _)), _) => name,
        (None, Some((_, name))) => name,
        (None, None) => "",
    }
}

fn value(code: u8, data: &[u8]) -> String {
    match code {
        53 => message(data.first().copied()).to_owned(),
        55 => {
            let codes: Vec<String> = data.iter().map(ToString::to_string).collect();
            codes.join(" ")
        }
        93 => {
            let codes = data.chunks_exact(2).filter_map(|pair| match pair {
                [high, low] => Some(u16::from_be_bytes([*high, *low])),
                _ => None,
            });
            let codes: Vec<String> = codes
                .map(|code| format!("{code} ({})", told_by(code)))
                .collect();
            codes.join(", ")
        }
        94 => match data {
            [1, major, minor] => format!("UNDI {major}.{minor}"),
            _ => hex(data),
        },
        97 => match data {
            [0, uuid @ ..] => <[u8; 16]>::try_from(uuid)
                .map_or_else(|_| hex(data), |uuid| Uuid::from_smbios(uuid).to_string()),
            _ => hex(data),
        },
        60 | 66 | 67 | 77 => text(data),
        175 => features(data),
        _ => OptionValue::of(code, data).to_string(),
    }
}

fn text(data: &[u8]) -> String {
    let end = data
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let text = String::from_utf8_lossy(data.get(..end).unwrap_or_default());
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn hex(data: &[u8]) -> String {
    OptionValue::hex(data, " ")
}

/// The flags by which an iPXE tells what it can, as far as decisions are made by them.
fn features(data: &[u8]) -> String {
    const NAMES: [(u8, &str); 9] = [
        (19, "http"),
        (20, "https"),
        (17, "iscsi"),
        (24, "bzimage"),
        (25, "multiboot"),
        (33, "pxe"),
        (36, "efi"),
        (39, "menu"),
        (21, "dns"),
    ];
    let has = |code: u8| {
        encapsulated(data)
            .any(|(other, value)| other == code && value.iter().any(|byte| *byte != 0))
    };
    let names: Vec<&str> = NAMES
        .iter()
        .filter(|(code, _)| has(*code))
        .map(|(_, name)| *name)
        .collect();
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::dhcp::options::domain_search;

    #[test]
    fn values_in_their_own_forms() {
        for (code, data, shown) in [
            (53, &[1][..], "DHCPDISCOVER"),
            (3, &[10, 99, 0, 1, 10, 99, 0, 3], "10.99.0.1, 10.99.0.3"),
            (51, &[0, 0, 14, 16], "3600"),
            (51, &[1, 2], "01 02"),
            (67, b"ipxe/undionly.kpxe\0", "ipxe/undionly.kpxe"),
            (
                93,
                &[0, 7, 0, 16],
                "7 (uefi-x64), 16 (uefi-x64, by HTTP Boot)",
            ),
            (93, &[0, 33], "33 (not known here)"),
            (
                121,
                &[24, 10, 1, 0, 10, 99, 0, 1],
                "10.1.0.0/24 via 10.99.0.1",
            ),
            (43, &[6, 1, 8, 255], "06 01 08 ff"),
            (224, b"free text", "free text"),
            (175, &[19, 1, 1, 24, 1, 0, 36, 1, 1], "http efi"),
        ] {
            assert_eq!(value(code, data), shown, "option {code}");
        }
        let list = domain_search(["lab.example", "example", "a.lab.example"]);
        assert_eq!(value(119, &list), "lab.example, example, a.lab.example");
    }

    #[test]
    fn any_bytes_are_shown() {
        // Pointers that lead round and round, ends that are missing.
        for data in [&[0xc0, 0][..], &[3, b'a'], &[0xff; 40], &[24, 1], &[]] {
            for code in 0..=255 {
                let _ = value(code, data);
            }
        }
    }
}
