//! `options` as written: DHCP options by code or name, with a typed value.

use std::net::Ipv4Addr;

use toml::de::{DeTable, DeValue};

use super::Written;
use crate::base::suggest;
use crate::config::options::{self, ConfiguredOption, Form, MAX_VALUE};
use crate::config::problem::Problem;
use crate::config::snapshot::{ProfileOption, ProfileValue, TemplateText};
use crate::config::source::Span;
use crate::config::table::{Context, Keys, Reader, list_words};
use crate::config::values::{self, Bad};

pub(crate) const OPTION: Keys = Keys {
    known: &[
        "code", "name", "u8", "u16", "u32", "bool", "text", "ip", "hex", "force",
    ],
    later: &[],
    hints: &[
        (
            "value",
            "the value's key is its type, such as text = \"…\" or u16 = 1500",
        ),
        ("data", "bytes are written as hex = \"01 02 …\""),
        ("string", "did you mean `text`?"),
        ("ips", "`ip` takes a list as well"),
        ("always", "did you mean `force`?"),
    ],
};

/// The keys that hold a value.
pub(crate) const VALUES: [&str; 7] = ["u8", "u16", "u32", "bool", "text", "ip", "hex"];

/// Classless static routes (RFC 3442).
const CLASSLESS_ROUTES: u8 = 121;

/// One option as written.
struct One {
    option: ConfiguredOption,
    /// Its value where it is written as `text`.
    text: Option<Written<String>>,
}

/// Reads `options`; what cannot be read is reported and left out.
pub(crate) fn read(
    cx: &mut Context<'_>,
    reader: &mut Reader<'_, '_>,
) -> Vec<Written<ConfiguredOption>> {
    all(cx, reader)
        .into_iter()
        .map(|written| Written {
            value: written.value.option,
            span: written.span,
        })
        .collect()
}

/// Reads the `options` of a profile, whose texts are templates.
pub(crate) fn read_of_profile(
    cx: &mut Context<'_>,
    reader: &mut Reader<'_, '_>,
) -> Vec<Written<ProfileOption>> {
    all(cx, reader)
        .into_iter()
        .map(|Written { value, span }| {
            let ConfiguredOption { code, data, force } = value.option;
            let value = match value.text {
                Some(text) => ProfileValue::Text(TemplateText {
                    text: text.value,
                    span: Some(text.span),
                }),
                None => ProfileValue::Bytes(data),
            };
            let value = ProfileOption { code, value, force };
            Written { value, span }
        })
        .collect()
}

fn all(cx: &mut Context<'_>, reader: &mut Reader<'_, '_>) -> Vec<Written<One>> {
    let Some(value) = reader.value("options") else {
        return Vec::new();
    };
    let help = || Some("write options = [{ code = 26, u16 = 1500 }, …]".to_owned());
    let DeValue::Array(elements) = value.get_ref() else {
        reader.wrong_type(cx, "options", value, "a list of tables", help());
        return Vec::new();
    };
    let mut found: Vec<Written<One>> = Vec::new();
    for element in elements {
        let span = cx.span(element.span());
        let DeValue::Table(table) = element.get_ref() else {
            reader.wrong_type(cx, "options", element, "a list of tables", help());
            continue;
        };
        let Some(one) = one(cx, reader, table, span) else {
            continue;
        };
        let code = one.option.code;
        if let Some(first) = found.iter().find(|first| first.value.option.code == code) {
            let problem = Problem::error(
                "written-twice",
                format!("{} is written twice", called(code)),
            )
            .at(span, "the second time")
            .at(first.span, "first written here")
            .help("keep one of the two; several addresses stand in one list");
            reader.report(cx, problem);
        } else {
            found.push(Written { value: one, span });
        }
    }
    found
}

fn one(
    cx: &mut Context<'_>,
    outer: &mut Reader<'_, '_>,
    table: &DeTable<'_>,
    place: Span,
) -> Option<One> {
    let mut option = Reader::open(cx, table, "`options`", place, &OPTION);
    let code = code(cx, &mut option, place);
    let data = code.and_then(|code| value(cx, &mut option, code, place));
    let force = option.flag(cx, "force").is_some_and(|force| force.value);
    let text = (data.is_some() && option.has("text"))
        .then(|| option.parsed(cx, "text", plain_text))
        .flatten();
    outer.ok &= option.ok;
    Some(One {
        option: ConfiguredOption {
            code: code?,
            data: data?.into(),
            force,
        },
        text,
    })
}

/// `option 26 (mtu-interface)`.
fn called(code: u8) -> String {
    match options::by_code(code) {
        Some((name, _)) => format!("option {code} ({name})"),
        None => format!("option {code}"),
    }
}

/// The code, of `code` or of `name`.
fn code(cx: &mut Context<'_>, option: &mut Reader<'_, '_>, place: Span) -> Option<u8> {
    let number = option.integer(
        cx,
        "code",
        1..=254,
        "DHCP options have numbers from 1 to 254",
    );
    let name = option.parsed(cx, "name", |text| {
        options::by_name(text).ok_or_else(|| {
            let bad = Bad::new(
                "unknown-option",
                format!("`{text}` is no name of a DHCP option"),
                "unknown option",
            );
            match suggest::nearest(text, options::names()) {
                Some(nearest) => bad
                    .help(format!("did you mean \"{nearest}\"?"))
                    .meant(nearest),
                None => {
                    bad.help("write its number as `code`, or IANA's name, such as \"root-path\"")
                }
            }
        })
    });
    let (code, span) = match (number, name) {
        (Some(number), Some(name)) => {
            if i64::from(name.value) != number.value {
                let bad = Bad::new(
                    "two-options",
                    format!(
                        "`code` is {}, but the name is that of {}",
                        number.value,
                        called(name.value)
                    ),
                    "another option",
                );
                option.bad(cx, name.span, bad.help("keep one of `code` and `name`"));
                return None;
            }
            (name.value, name.span)
        }
        (Some(number), None) => (u8::try_from(number.value).ok()?, number.span),
        (None, Some(name)) => (name.value, name.span),
        (None, None) => {
            if option.ok && !option.has("code") && !option.has("name") {
                let bad = Bad::new(
                    "missing-key",
                    "an option needs `code` or `name`",
                    "which option?",
                );
                option.bad(
                    cx,
                    place,
                    bad.help("write code = 26, or name = \"mtu-interface\""),
                );
            }
            return None;
        }
    };
    if let Some(why) = options::reserved(code) {
        let bad = Bad::new(
            "reserved-option",
            format!("{} cannot be configured", called(code)),
            "not the configuration's to choose",
        );
        option.bad(cx, span, bad.help(why));
        return None;
    }
    Some(code)
}

/// The bytes of the one value.
fn value(
    cx: &mut Context<'_>,
    option: &mut Reader<'_, '_>,
    code: u8,
    place: Span,
) -> Option<Vec<u8>> {
    let form = options::by_code(code).map_or(Form::Any, |(_, form)| form);
    let mut given = VALUES.into_iter().filter(|key| option.has(key));
    let Some(key) = given.next() else {
        if option.ok {
            let bad = Bad::new(
                "missing-key",
                format!("{} has no value", called(code)),
                "no value",
            );
            let help = match form {
                Form::Any => format!("give it one of {}", list_words(VALUES, "and")),
                _ => format!("give it as `{}`", form.key()),
            };
            option.bad(cx, place, bad.help(help));
        }
        return None;
    };
    if let Some(second) = given.next() {
        let span = option.key_span(cx, second).unwrap_or(place);
        let bad = Bad::new(
            "two-values",
            format!("{} has two values", called(code)),
            "the second one",
        );
        option.bad(
            cx,
            span,
            bad.help(format!("keep one of `{key}` and `{second}`")),
        );
        return None;
    }
    let span = option
        .value(key)
        .map_or(place, |value| cx.span(value.span()));
    if !form.takes(key) {
        let what = match form {
            Form::Hex => "is laid out in a way of its own".to_owned(),
            _ => format!("is of the type `{}`", form.key()),
        };
        let bad = Bad::new(
            "wrong-option-type",
            format!("{} {what}", called(code)),
            format!("this is `{key}`"),
        );
        let help = match (code, form) {
            (119, _) => "write `dns_search` in the [[subnet]], or its bytes as `hex`".to_owned(),
            (_, Form::Hex) => "write its bytes as `hex`".to_owned(),
            _ => format!("write it as `{}`, or its bytes as `hex`", form.key()),
        };
        option.bad(cx, span, bad.help(help));
        return None;
    }
    let bytes = bytes(cx, option, key)?;
    let pairs = matches!(code, 21 | 33) && bytes.len() % 8 != 0 && key == "ip";
    let single = form == Form::Ip && key == "ip" && bytes.len() != 4;
    let (message, help) = if bytes.is_empty() {
        ("is empty", "leave it out, or give it a value")
    } else if bytes.len() > MAX_VALUE {
        ("finds no room in a reply", "write no more than 1024 bytes")
    } else if pairs {
        (
            "is made of pairs of addresses",
            "write destination and mask or router by turns",
        )
    } else if single {
        ("is one address", "write it without the list")
    } else if code == CLASSLESS_ROUTES && !options::are_routes(&bytes) {
        // A client takes these in place of its router (RFC 3442): broken ones leave it without a way out.
        (
            "holds no routes",
            "write for each route the length of its prefix, the bytes of its network that the prefix covers, and the router: the default by 10.0.0.1 is \"00 0a000001\"",
        )
    } else {
        return Some(bytes);
    };
    let label = format!("{} bytes", bytes.len());
    let bad = Bad::new(
        "bad-option-value",
        format!("{} {message}", called(code)),
        label,
    );
    option.bad(cx, span, bad.help(help));
    None
}

fn bytes(cx: &mut Context<'_>, option: &mut Reader<'_, '_>, key: &str) -> Option<Vec<u8>> {
    let mut number = |option: &mut Reader<'_, '_>, most: i64, len: usize| {
        let help = "write a whole number that fits the type";
        let number = option.integer(cx, key, 0..=most, help)?.value.to_be_bytes();
        number.get(8 - len..).map(<[u8]>::to_vec)
    };
    match key {
        "u8" => number(option, i64::from(u8::MAX), 1),
        "u16" => number(option, i64::from(u16::MAX), 2),
        "u32" => number(option, i64::from(u32::MAX), 4),
        "bool" => Some(vec![u8::from(option.flag(cx, key)?.value)]),
        "text" => option
            .parsed(cx, key, plain_text)
            .map(|text| text.value.into_bytes()),
        "ip" => {
            let before = option.ok;
            let list = option.list(cx, key, true, values::address)?;
            // An address that cannot be read must not shorten the list.
            (option.ok || !before).then(|| {
                let addresses = list.value.iter().map(|address| address.value);
                addresses
                    .flat_map(|address: Ipv4Addr| address.octets())
                    .collect()
            })
        }
        _ => option.parsed(cx, key, hex).map(|bytes| bytes.value),
    }
}

fn plain_text(text: &str) -> Result<String, Bad> {
    match text.chars().find(|c| c.is_control()) {
        None => Ok(text.to_owned()),
        Some(c) => Err(Bad::new(
            "bad-value",
            format!(
                "`{}` must not stand in the text of an option",
                c.escape_default()
            ),
            "a control character",
        )
        .help("write the bytes as `hex` if the machine wants it so")),
    }
}

/// Bytes as `0102ff`, `01 02 ff` or `01:02:ff`.
fn hex(text: &str) -> Result<Vec<u8>, Bad> {
    let bad = |label: &str| {
        Bad::new(
            "bad-value",
            format!("`{text}` is no hexadecimal text"),
            label,
        )
        .help("write two digits for each byte, such as \"01:02:ff\" or \"0102ff\"")
    };
    let mut bytes = Vec::new();
    for part in text.split([':', ' ', '-']).filter(|part| !part.is_empty()) {
        if let Some(c) = part.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(bad(&format!("`{}` is no digit", c.escape_default())));
        }
        if part.len() % 2 == 1 {
            return Err(bad("a digit is missing"));
        }
        for pair in part.as_bytes().chunks_exact(2) {
            let pair = std::str::from_utf8(pair).unwrap_or_default();
            bytes.push(u8::from_str_radix(pair, 16).map_err(|_| bad("no digits"))?);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_in_its_spellings() {
        for text in ["0102ff", "01 02 FF", "01:02:ff", "01-02-ff", "0102 ff"] {
            assert_eq!(hex(text).unwrap(), [1, 2, 255], "{text}");
        }
        assert_eq!(hex("").unwrap(), [0; 0]);
        for bad in ["1", "1:2", "0x01", "gg", "01 2", "é1"] {
            assert!(hex(bad).is_err(), "{bad}");
        }
    }
}
