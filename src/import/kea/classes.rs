//! Tests of Kea's client classes, as far as they are idioms of network boot.

use crate::import::boot::arch_of_class;

/// What a class asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    /// Whether iPXE or gPXE asks.
    Ipxe,
    /// Whether firmware of one of these numbers asks; none: whatever boots from the network.
    Firmware(Vec<u16>),
    /// Something else.
    Unknown,
}

/// What an expression asks.
pub(super) fn recognise(test: &str) -> Test {
    let lower = test.to_ascii_lowercase();
    let has = |part: &str| lower.contains(part);
    let arch = has("option[93]") || has("option[client-system]") || has("pxe-client-arch");
    let class = has("option[60]") || has("option[vendor-class-identifier]") || has("vendor_class");
    let mut numbers = Vec::new();
    if arch {
        numbers.extend(numbers_in(&lower));
    }
    if class {
        numbers.extend(texts(test).filter_map(arch_of_class));
        let five = |text: &&str| text.len() == 5 && text.bytes().all(|c| c.is_ascii_digit());
        numbers.extend(
            texts(test)
                .filter(five)
                .filter_map(|text| text.parse::<u16>().ok()),
        );
    }
    let user = has("option[77]") || has("option[user-class]");
    let ipxe =
        has("option[175]") || (user || class || has("member(")) && (has("ipxe") || has("gpxe"));
    let negated = has("not ") || has("not(");
    numbers.sort_unstable();
    numbers.dedup();
    if ipxe && !negated {
        Test::Ipxe
    } else if !numbers.is_empty() || ipxe || arch {
        Test::Firmware(numbers)
    } else if class && (has("pxeclient") || has("httpclient") || has("etherboot")) {
        Test::Firmware(Vec::new())
    } else {
        Test::Unknown
    }
}

/// The texts between single quotation marks.
fn texts(test: &str) -> impl Iterator<Item = &str> {
    test.split('\'').skip(1).step_by(2)
}

/// Numbers as `0x0007`; those that substrings are cut by are decimal.
fn numbers_in(test: &str) -> impl Iterator<Item = u16> {
    test.split("0x").skip(1).filter_map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
        u16::from_str_radix(&digits, 16).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idioms_of_network_boot() {
        let firmware = |numbers: &[u16]| Test::Firmware(numbers.to_vec());
        for (test, want) in [
            ("substring(option[77].hex,0,4) == 'iPXE'", Test::Ipxe),
            ("option[77].text == 'iPXE'", Test::Ipxe),
            ("option[175].exists", Test::Ipxe),
            (
                "option[user-class].hex == 'iPXE' and option[93].hex == 0x0007",
                Test::Ipxe,
            ),
            ("option[93].hex == 0x0007", firmware(&[7])),
            (
                "option[93].hex == 0x0007 or option[93].hex == 0x0009",
                firmware(&[7, 9]),
            ),
            (
                "option[93].hex == 0x0000 and not (option[77].hex == 'iPXE')",
                firmware(&[0]),
            ),
            (
                "not member('ipxe') and option[client-system].hex == 0x000b",
                firmware(&[11]),
            ),
            (
                "substring(option[60].hex,0,9) == 'PXEClient'",
                firmware(&[]),
            ),
            (
                "substring(option[60].hex,0,20) == 'PXEClient:Arch:00007'",
                firmware(&[7]),
            ),
            ("substring(option[60].hex,15,5) == '00006'", firmware(&[6])),
            (
                "substring(option[60].hex,0,10) == 'HTTPClient'",
                firmware(&[]),
            ),
            ("option[60].hex == 'docsis3.0'", Test::Unknown),
            ("member('KNOWN')", Test::Unknown),
            (
                "hexstring(pkt4.mac, ':') == '00:0c:01:02:03:04'",
                Test::Unknown,
            ),
        ] {
            assert_eq!(recognise(test), want, "{test}");
        }
    }
}
