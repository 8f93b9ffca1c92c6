//! What a condition of dhcpd.conf asks, as far as it is one of the idioms of network boot.

use super::text::Token;
use crate::import::boot::arch_of_class;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    /// Whether iPXE or gPXE asks.
    Ipxe,
    /// Whether a ROM asks, or anything but iPXE.
    Pxe,
    /// Whether the firmware announces itself by one of these numbers.
    Arch(Vec<u16>),
    /// Whether UEFI asks by HTTP.
    Http,
    /// Something else.
    Unknown,
}

/// What a condition asks; `is_arch` tells whether an option's name is that of option 93.
pub(super) fn recognise(tokens: &[Token], is_arch: impl Fn(&str) -> bool) -> Test {
    let words: Vec<String> = tokens.iter().filter_map(Token::keyword).collect();
    let texts: Vec<String> = tokens
        .iter()
        .filter_map(|token| match token {
            Token::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        })
        .collect();
    let has = |word: &str| words.iter().any(|found| found == word);
    let negated = has("not") || tokens.contains(&Token::Mark('!'));
    let says = |part: &str| {
        texts
            .iter()
            .any(|text| text.to_ascii_lowercase().contains(part))
    };
    let of_ipxe = words
        .iter()
        .any(|word| word.starts_with("ipxe.") || word.starts_with("gpxe."));
    let class = has("user-class") || has("vendor-class-identifier") || has("dhcp.user-class");
    if of_ipxe || (class && (says("ipxe") || says("gpxe"))) {
        return if negated { Test::Pxe } else { Test::Ipxe };
    }
    if words.iter().any(|word| is_arch(word)) {
        let numbers = numbers(tokens, &texts);
        return match (numbers.is_empty(), negated) {
            // `exists arch`, or all but one: something that boots.
            (true, _) | (false, true) => Test::Pxe,
            (false, false) => Test::Arch(numbers),
        };
    }
    if has("vendor-class-identifier") {
        let mut numbers: Vec<u16> = texts
            .iter()
            .filter_map(|text| arch_of_class(text))
            .collect();
        let five = |text: &&String| text.len() == 5 && text.bytes().all(|c| c.is_ascii_digit());
        numbers.extend(
            texts
                .iter()
                .filter(five)
                .filter_map(|text| text.parse::<u16>().ok()),
        );
        if says("httpclient") {
            return Test::Http;
        }
        if !numbers.is_empty() && !negated {
            return Test::Arch(numbers);
        }
        if says("pxeclient") || says("etherboot") {
            return Test::Pxe;
        }
    }
    Test::Unknown
}

/// Numbers of option 93: `00:07`, `"00:07"`, `encode-int(7, 16)`, `7`.
fn numbers(tokens: &[Token], texts: &[String]) -> Vec<u16> {
    let mut found = Vec::new();
    let byte = |text: &str| (text.len() <= 2).then(|| u16::from_str_radix(text, 16).ok())?;
    let pair = |high: &str, low: &str| Some(byte(high)? << 8 | byte(low)?);
    let mut add = |number: u16| {
        if !found.contains(&number) {
            found.push(number);
        }
    };
    let mut rest = tokens;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (Token::Word(high), [Token::Mark(':'), Token::Word(low), tail @ ..]) => {
                if let Some(number) = pair(high, low) {
                    add(number);
                    rest = tail;
                }
            }
            (Token::Word(name), [Token::Mark('('), Token::Word(number), ..])
                if name.eq_ignore_ascii_case("encode-int") =>
            {
                if let Ok(number) = number.parse() {
                    add(number);
                }
            }
            (Token::Mark('='), [Token::Word(number), tail @ ..])
                if tail.first() != Some(&Token::Mark(':')) =>
            {
                if let Ok(number) = number.parse() {
                    add(number);
                }
            }
            _ => {}
        }
    }
    for text in texts {
        match text.split_once(':') {
            Some((high, low)) => pair(high, low).into_iter().for_each(&mut add),
            None => text.parse().into_iter().for_each(&mut add),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::text::parse;
    use super::*;
    use crate::import::Source;

    fn test(condition: &str) -> Test {
        let source = Source {
            name: "f".to_owned(),
            text: format!("if {condition} {{ }}"),
        };
        let found = parse(&source).unwrap();
        recognise(found[0].rest(), |name| {
            ["arch", "pxe-system-type", "client-arch"].contains(&name)
        })
    }

    #[test]
    fn idioms_of_network_boot() {
        for (condition, want) in [
            (
                "exists user-class and option user-class = \"iPXE\"",
                Test::Ipxe,
            ),
            (
                "exists user-class and option user-class = \"gPXE\"",
                Test::Ipxe,
            ),
            ("substring (option user-class, 1, 4) = \"iPXE\"", Test::Ipxe),
            ("exists ipxe.http and exists ipxe.menu", Test::Ipxe),
            ("not exists ipxe.bus-id", Test::Pxe),
            ("option user-class != \"iPXE\"", Test::Pxe),
            ("option arch = 00:07", Test::Arch(vec![7])),
            (
                "option arch = 00:07 or option arch = 00:09",
                Test::Arch(vec![7, 9]),
            ),
            ("option pxe-system-type = 00:0b", Test::Arch(vec![11])),
            (
                "option client-arch = encode-int(6, 16)",
                Test::Arch(vec![6]),
            ),
            ("exists client-arch", Test::Pxe),
            (
                "substring(option vendor-class-identifier, 0, 20) = \"PXEClient:Arch:00007\"",
                Test::Arch(vec![7]),
            ),
            (
                "substring(option vendor-class-identifier, 15, 5) = \"00000\"",
                Test::Arch(vec![0]),
            ),
            (
                "substring(option vendor-class-identifier, 0, 9) = \"PXEClient\"",
                Test::Pxe,
            ),
            (
                "substring(option vendor-class-identifier, 0, 10) = \"HTTPClient\"",
                Test::Http,
            ),
            ("known", Test::Unknown),
            ("substring(hardware, 1, 3) = 00:15:65", Test::Unknown),
            (
                "option vendor-class-identifier = \"MSFT 5.0\"",
                Test::Unknown,
            ),
        ] {
            assert_eq!(test(condition), want, "{condition}");
        }
    }
}
