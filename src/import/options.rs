//! DHCP options of other servers' files, as `options` of the configuration writes them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use toml::{Table, Value as Toml};

use super::SubnetDraft;
use super::place::Place;
use crate::config::options::{self, Form, MAX_VALUE};
use crate::config::values;
use crate::wire::dhcp::options::domain_search;

/// A value, as far as the text says what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Bytes(Vec<u8>),
    Text(String),
    Ips(Vec<Ipv4Addr>),
    Number(i64),
    Flag(bool),
    /// Domains, as option 119 has them (RFC 3397).
    Names(Vec<String>),
}

/// One option as set somewhere.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Set {
    pub value: Value,
    /// Sent whether it is asked for or not.
    pub force: bool,
    pub at: Place,
    /// The statement.
    pub what: String,
}

/// Options by code; of one code the last counts.
pub(crate) type Sets = BTreeMap<u8, Set>;

/// What is known of a code: its value's form; [`Form::Any`] where nothing is.
pub(crate) fn form(code: u8) -> Form {
    options::by_code(code).map_or(Form::Any, |(_, form)| form)
}

/// Writes an option into a table of options, or says why it cannot be written.
pub(crate) fn write(table: &mut Table, code: u8, set: &Set) -> Result<(), String> {
    if let Some(why) = options::reserved(code) {
        return Err(format!("option {code} cannot be configured: {why}"));
    }
    let form = form(code);
    let (key, value) = written(code, form, &set.value)?;
    let mut entry = Table::new();
    entry.insert(key.to_owned(), value);
    if set.force {
        entry.insert("force".to_owned(), Toml::Boolean(true));
    }
    let name = match options::by_code(code) {
        Some((name, _)) => name.to_owned(),
        None => code.to_string(),
    };
    table.insert(name, Toml::Table(entry));
    Ok(())
}

fn written(code: u8, form: Form, value: &Value) -> Result<(&'static str, Toml), String> {
    if let Some(typed) = typed(form, value) {
        let pairs = matches!(code, 21 | 33);
        return match &typed {
            Toml::Array(list) if list.is_empty() => Err("it is empty".to_owned()),
            Toml::Array(list) if pairs && list.len() % 2 == 1 => {
                Err("it is made of pairs of addresses".to_owned())
            }
            Toml::Array(list) if list.len() * 4 > MAX_VALUE => Err(too_long()),
            Toml::String(text) if text.is_empty() => Err("it is empty".to_owned()),
            Toml::String(text) if text.len() > MAX_VALUE => Err(too_long()),
            _ => Ok((form_key(form, value), typed)),
        };
    }
    let bytes = match value {
        Value::Bytes(bytes) => bytes.clone(),
        Value::Text(text) => text.clone().into_bytes(),
        Value::Names(names) => domain_search(names.iter().map(String::as_str)),
        Value::Ips(ips) => ips.iter().flat_map(Ipv4Addr::octets).collect(),
        Value::Number(_) | Value::Flag(_) => {
            return Err(match form {
                Form::Any | Form::Hex => {
                    "how wide the number is is not known: write its bytes as `hex`".to_owned()
                }
                _ => format!("it is of the type `{}`", form.key()),
            });
        }
    };
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    if bytes.len() > MAX_VALUE {
        return Err(too_long());
    }
    if code == 121 && !options::are_routes(&bytes) {
        return Err("its bytes are no routes (RFC 3442)".to_owned());
    }
    Ok(("hex", Toml::String(hex(&bytes))))
}

fn too_long() -> String {
    format!("it finds no room in a reply: at most {MAX_VALUE} bytes")
}

const fn form_key(form: Form, value: &Value) -> &'static str {
    match (form, value) {
        (Form::Any, Value::Ips(_)) => "ip",
        (Form::Any, _) => "text",
        _ => form.key(),
    }
}

/// The value under the form's own key, where it is one of that form.
fn typed(form: Form, value: &Value) -> Option<Toml> {
    let number = |most: i64| match value {
        Value::Number(number) => (0..=most).contains(number).then_some(*number),
        Value::Bytes(bytes) => {
            let wide = match most {
                0xff => 1,
                0xffff => 2,
                _ => 4,
            };
            (bytes.len() == wide).then(|| {
                bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | i64::from(*byte))
            })
        }
        _ => None,
    };
    let addresses = || match value {
        Value::Ips(ips) => Some(ips.clone()),
        Value::Bytes(bytes) if bytes.len() % 4 == 0 => Some(
            bytes
                .chunks_exact(4)
                .filter_map(|four| <[u8; 4]>::try_from(four).ok())
                .map(Ipv4Addr::from)
                .collect(),
        ),
        _ => None,
    };
    match form {
        Form::U8 => number(0xff).map(Toml::Integer),
        Form::U16 => number(0xffff).map(Toml::Integer),
        Form::U32 => match value {
            // The offset of a time zone is signed (RFC 2132 section 3.4); its bytes are the same.
            Value::Number(below @ -0x8000_0000..=-1) => Some(Toml::Integer(below + (1 << 32))),
            _ => number(0xffff_ffff).map(Toml::Integer),
        },
        Form::Bool => match value {
            Value::Flag(flag) => Some(Toml::Boolean(*flag)),
            Value::Number(bit @ 0..=1) => Some(Toml::Boolean(*bit == 1)),
            Value::Bytes(bytes) if matches!(bytes.as_slice(), [0 | 1]) => {
                Some(Toml::Boolean(bytes.as_slice() == [1]))
            }
            _ => None,
        },
        Form::Text => text(value),
        Form::Any => match value {
            Value::Ips(ips) => Some(ip_list(ips)),
            Value::Text(_) => text(value),
            _ => None,
        },
        Form::Ip => match addresses()?.as_slice() {
            [one] => Some(Toml::String(one.to_string())),
            _ => None,
        },
        Form::Ips => Some(ip_list(&addresses()?)),
        Form::Hex => None,
    }
}

fn ip_list(ips: &[Ipv4Addr]) -> Toml {
    Toml::Array(ips.iter().map(|ip| Toml::String(ip.to_string())).collect())
}

fn text(value: &Value) -> Option<Toml> {
    let text = match value {
        Value::Text(text) => text.clone(),
        // Some servers end texts with a zero.
        Value::Bytes(bytes) => String::from_utf8(bytes.clone()).ok()?,
        _ => return None,
    };
    (!text.chars().any(char::is_control)).then_some(Toml::String(text))
}

/// `0102ff`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Bytes of `01:02:ff`, `01 02 ff`, `0x0102ff` or `0102ff`.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let text = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .unwrap_or(text);
    let mut bytes = Vec::new();
    if text.contains([':', ' ', '-']) {
        for part in text.split([':', ' ', '-']).filter(|part| !part.is_empty()) {
            if part.len() > 2 {
                return None;
            }
            bytes.push(byte(part)?);
        }
    } else {
        if text.len() % 2 == 1 {
            return None;
        }
        for pair in text.as_bytes().chunks(2) {
            bytes.push(byte(std::str::from_utf8(pair).ok()?)?);
        }
    }
    (!bytes.is_empty()).then_some(bytes)
}

fn byte(digits: &str) -> Option<u8> {
    let good = digits.bytes().all(|c| c.is_ascii_hexdigit());
    good.then(|| u8::from_str_radix(digits, 16).ok())?
}

/// The bytes of one route of option 121 (RFC 3442).
pub(crate) fn route(network: ipnet::Ipv4Net, router: Ipv4Addr) -> Vec<u8> {
    let prefix = network.prefix_len();
    let covered = usize::from(prefix.div_ceil(8));
    let mut bytes = vec![prefix];
    bytes.extend(network.network().octets().iter().take(covered));
    bytes.extend(router.octets());
    bytes
}

/// Addresses, where a value is some.
fn ips(value: &Value) -> Option<Vec<Ipv4Addr>> {
    match value {
        Value::Ips(ips) if !ips.is_empty() => Some(ips.clone()),
        _ => None,
    }
}

/// Puts options into a subnet: into its keys where it has one, else into its `options`. What cannot be carried is given
/// back with the reason.
pub(crate) fn into_subnet(subnet: &mut SubnetDraft, sets: &Sets) -> Vec<(Set, String)> {
    let mut left = Vec::new();
    for (code, set) in sets {
        if let Err(why) = one_into_subnet(subnet, *code, set) {
            left.push((set.clone(), why));
        }
    }
    left
}

fn one_into_subnet(subnet: &mut SubnetDraft, code: u8, set: &Set) -> Result<(), String> {
    let net = subnet.network;
    match (code, &set.value) {
        (1, value) if ips(value).is_some_and(|ips| ips == [net.netmask()]) => return Ok(()),
        (28, value) if ips(value).is_some_and(|ips| ips == [net.broadcast()]) => return Ok(()),
        (3, value) => {
            if let Some([first, rest @ ..]) = ips(value).as_deref()
                && net.contains(first)
                && *first != net.network()
                && *first != net.broadcast()
            {
                subnet.router = Some(*first);
                if rest.is_empty() && !set.force {
                    return Ok(());
                }
            }
        }
        (6, value) => {
            if let Some(ips) = ips(value)
                && !set.force
            {
                subnet.dns = ips;
                return Ok(());
            }
        }
        (42, value) => {
            if let Some(ips) = ips(value)
                && !set.force
            {
                subnet.ntp = ips;
                return Ok(());
            }
        }
        (15, Value::Text(text)) => {
            if let Ok(domain) = values::domain(text.trim_end_matches('.'))
                && !set.force
            {
                subnet.domain = Some(domain);
                return Ok(());
            }
        }
        (119, Value::Names(names)) => {
            let domains: Option<Vec<String>> = names
                .iter()
                .map(|name| values::domain(name.trim_end_matches('.')).ok())
                .collect();
            if let Some(domains) = domains
                && !set.force
            {
                subnet.dns_search = domains;
                return Ok(());
            }
        }
        _ => {}
    }
    write(&mut subnet.options, code, set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(value: Value) -> Set {
        Set {
            value,
            force: false,
            at: Place::new(&"f".into(), 1),
            what: String::new(),
        }
    }

    fn shown(code: u8, value: Value) -> String {
        let mut table = Table::new();
        match write(&mut table, code, &set(value)) {
            Ok(()) => table.to_string().replace('\n', " ").trim().to_owned(),
            Err(why) => why,
        }
    }

    #[test]
    fn values_take_the_form_of_their_option() {
        let ip = Ipv4Addr::new(10, 0, 0, 1);
        for (code, value, want) in [
            (26, Value::Number(9000), "u16 = 9000"),
            (26, Value::Bytes(vec![0x23, 0x28]), "u16 = 9000"),
            (2, Value::Number(-3600), "u32 = 4294963696"),
            (7, Value::Ips(vec![ip]), "ip = [\"10.0.0.1\"]"),
            (7, Value::Bytes(vec![10, 0, 0, 1]), "ip = [\"10.0.0.1\"]"),
            (16, Value::Ips(vec![ip]), "ip = \"10.0.0.1\""),
            (17, Value::Text("/srv".into()), "text = \"/srv\""),
            (17, Value::Bytes(b"/srv".to_vec()), "text = \"/srv\""),
            (19, Value::Flag(true), "bool = true"),
            (43, Value::Bytes(vec![1, 4]), "hex = \"0104\""),
            (224, Value::Text("abc".into()), "text = \"abc\""),
            (
                119,
                Value::Names(vec!["a.b".into()]),
                "hex = \"0161016200\"",
            ),
            (
                121,
                Value::Bytes(route("10.1.0.0/16".parse().unwrap(), ip)),
                "hex = \"100a010a000001\"",
            ),
        ] {
            let text = shown(code, value);
            assert!(text.contains(want), "{code}: {text}");
        }
    }

    #[test]
    fn what_the_configuration_would_refuse_is_refused() {
        for (code, value) in [
            (51, Value::Number(1)),
            (26, Value::Number(70_000)),
            (17, Value::Text(String::new())),
            (33, Value::Ips(vec![Ipv4Addr::LOCALHOST])),
            (121, Value::Bytes(vec![24, 1])),
            (224, Value::Number(1)),
            (43, Value::Bytes(vec![0; 2_000])),
        ] {
            let mut table = Table::new();
            assert!(write(&mut table, code, &set(value)).is_err(), "{code}");
            assert!(table.is_empty());
        }
    }

    #[test]
    fn bytes_in_their_spellings() {
        for text in ["0102ff", "01:02:ff", "1:2:ff", "0x0102FF", "01 02 ff"] {
            assert_eq!(from_hex(text).as_deref(), Some(&[1, 2, 255][..]), "{text}");
        }
        for bad in ["", "1", "123:4", "gg", "é1", "+1"] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }
}
