//! Options of Kea: its names, definitions (`option-def`) and data (`option-data`).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::config::options::{self as known, Form};
use crate::config::values as checked;
use crate::import::json::{Json, Node};
use crate::import::options::{self, Value, from_hex, route};

/// Kea's names that IANA's list has otherwise.
const NAMES: &[(&str, u8)] = &[
    ("name-servers", 5),
    ("www-server", 72),
    ("client-system", 93),
    ("client-ndi", 94),
    ("uuid-guid", 97),
    ("netinfo-server-address", 112),
    ("netinfo-server-tag", 113),
    ("sip-servers", 120),
    ("vivco-suboptions", 124),
    ("vivso-suboptions", 125),
    ("access-network-domain-name", 213),
    ("option-6rd", 212),
    ("v4-portparams", 159),
];

/// An option that the file defines.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub code: u8,
    kinds: Vec<String>,
    array: bool,
    /// The space whose options it holds.
    pub encapsulates: Option<String>,
}

/// Definitions by space and name, and by space and code.
#[derive(Debug, Default)]
pub(super) struct Definitions(BTreeMap<(String, String), Definition>);

/// The space of DHCP's own options.
pub(super) const DHCP4: &str = "dhcp4";

impl Definitions {
    /// Takes up an `option-def`.
    pub(super) fn add(&mut self, node: &Node) -> Result<(), String> {
        let text = |key: &str| node.get(key).and_then(Node::text);
        let name = text("name").ok_or("a `name` is expected")?;
        let code = node
            .get("code")
            .and_then(whole)
            .and_then(|code| u8::try_from(code).ok());
        let code = code.ok_or("its `code` is no number from 0 to 255")?;
        let kind = text("type").ok_or("a `type` is expected")?;
        let kinds = match (kind, text("record-types")) {
            ("record", Some(kinds)) => kinds
                .split(',')
                .map(|kind| kind.trim().to_owned())
                .collect(),
            _ => vec![kind.to_owned()],
        };
        let array = matches!(
            node.get("array").map(|node| &node.value),
            Some(Json::Bool(true))
        );
        let space = text("space").unwrap_or(DHCP4);
        let encapsulates = text("encapsulate")
            .filter(|space| !space.is_empty())
            .map(str::to_owned);
        self.0.insert(
            (space.to_owned(), name.to_owned()),
            Definition {
                code,
                kinds,
                array,
                encapsulates,
            },
        );
        Ok(())
    }

    /// The code of the option that holds the options of a space.
    pub(super) fn encapsulator(&self, space: &str) -> Option<u8> {
        if space == "vendor-encapsulated-options-space" {
            return Some(43);
        }
        let of_dhcp = self.0.iter().filter(|((of, _), _)| of == DHCP4);
        of_dhcp
            .map(|(_, found)| found)
            .find(|found| found.encapsulates.as_deref() == Some(space))
            .map(|found| found.code)
    }

    /// The code and the definition of an `option-data`.
    pub(super) fn find(&self, space: &str, node: &Node) -> Option<(u8, Option<&Definition>)> {
        let name = node.get("name").and_then(Node::text);
        let code = node
            .get("code")
            .and_then(whole)
            .and_then(|code| u8::try_from(code).ok());
        if let Some(name) = name
            && let Some(found) = self.0.get(&(space.to_owned(), name.to_owned()))
        {
            return Some((found.code, Some(found)));
        }
        if let Some(code) = code {
            let mut own = self.0.iter().filter(|((of, _), _)| of == space);
            let found = own
                .find(|(_, found)| found.code == code)
                .map(|(_, found)| found);
            return Some((code, found));
        }
        if space != DHCP4 {
            return None;
        }
        let name = name?.to_ascii_lowercase();
        let own = NAMES
            .iter()
            .find(|(own, _)| *own == name)
            .map(|(_, code)| *code);
        own.or_else(|| known::by_name(&name))
            .map(|code| (code, None))
    }
}

/// A whole number.
pub(super) fn whole(node: &Node) -> Option<i64> {
    match &node.value {
        Json::Number(text) => text.parse().ok(),
        _ => None,
    }
}

/// The value of an `option-data`.
pub(super) fn value(
    code: u8,
    definition: Option<&Definition>,
    data: &str,
    csv: bool,
) -> Result<Value, String> {
    if !csv {
        return hexadecimal(data).map(Value::Bytes);
    }
    let fields = fields(data);
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    if let Some(definition) = definition {
        return defined(definition, data, &fields);
    }
    let one = match fields.as_slice() {
        [one] => Some(*one),
        _ => None,
    };
    match (code, options::form(code)) {
        (119, _) => domains(&fields),
        (121, _) => routes(&fields)
            .or_else(|why| hexadecimal(data).map_err(|_| why))
            .map(Value::Bytes),
        (25, _) => sized(&fields, 2),
        (_, Form::Ip | Form::Ips) => addresses(&fields).map(Value::Ips),
        (_, Form::U8 | Form::U16 | Form::U32) => one
            .and_then(number)
            .map(Value::Number)
            .ok_or_else(|| format!("a number is expected, this is `{data}`")),
        (_, Form::Bool) => one
            .and_then(flag)
            .map(Value::Flag)
            .ok_or_else(|| "true or false is expected".to_owned()),
        (_, Form::Text) => Ok(Value::Text(plain(data))),
        (_, Form::Hex | Form::Any) => Ok(match hexadecimal(data) {
            Ok(bytes) => Value::Bytes(bytes),
            Err(_) => Value::Text(plain(data)),
        }),
    }
}

/// A value as its definition has it.
fn defined(definition: &Definition, data: &str, fields: &[&str]) -> Result<Value, String> {
    match definition.kinds.as_slice() {
        [kind] => match (kind.as_str(), definition.array) {
            ("string", false) => return Ok(Value::Text(plain(data))),
            ("ipv4-address", _) => return addresses(fields).map(Value::Ips),
            ("fqdn", _) => return domains(fields),
            ("binary" | "empty", _) => return hexadecimal(data).map(Value::Bytes),
            _ => {}
        },
        [] => return Err("its definition has no type".to_owned()),
        _ => {}
    }
    let mut bytes = Vec::new();
    let mut kinds = definition.kinds.iter();
    let last = definition.kinds.last();
    for field in fields {
        let kind = match (kinds.next(), definition.array) {
            (Some(kind), _) => kind,
            // Of a list that ends in an array the last type is repeated.
            (None, true) => last.ok_or("its definition has no type")?,
            (None, false) => return Err("its data has more parts than its definition".to_owned()),
        };
        one(kind, field, &mut bytes)?;
    }
    if kinds.next().is_some() {
        return Err("a part of its data is missing".to_owned());
    }
    Ok(Value::Bytes(bytes))
}

fn one(kind: &str, field: &str, bytes: &mut Vec<u8>) -> Result<(), String> {
    let wide = match kind {
        "uint8" | "int8" => 1,
        "uint16" | "int16" => 2,
        "uint32" | "int32" => 4,
        "boolean" => {
            bytes.push(u8::from(flag(field).ok_or("true or false is expected")?));
            return Ok(());
        }
        "ipv4-address" => {
            let ip: Ipv4Addr = field
                .parse()
                .map_err(|_| format!("`{field}` is no address"))?;
            bytes.extend(ip.octets());
            return Ok(());
        }
        "string" => {
            bytes.extend(field.bytes());
            return Ok(());
        }
        "binary" => {
            bytes.extend(hexadecimal(field)?);
            return Ok(());
        }
        other => {
            return Err(format!(
                "values of the type `{other}` are not carried over: write the bytes as `hex`"
            ));
        }
    };
    let number = number(field).ok_or_else(|| format!("`{field}` is no number"))?;
    let bits = wide * 8;
    let least = if kind.starts_with('u') {
        0
    } else {
        -(1_i64 << (bits - 1))
    };
    let most = if kind.starts_with('u') {
        1_i64 << bits
    } else {
        1_i64 << (bits - 1)
    };
    if number < least || number >= most {
        return Err(format!("{number} is no {kind}"));
    }
    bytes.extend(number.to_be_bytes().get(8 - wide..).unwrap_or_default());
    Ok(())
}

fn sized(fields: &[&str], wide: usize) -> Result<Value, String> {
    let mut bytes = Vec::new();
    for field in fields {
        one(
            if wide == 2 { "uint16" } else { "uint8" },
            field,
            &mut bytes,
        )?;
    }
    Ok(Value::Bytes(bytes))
}

/// Data between commas; `\,` is a comma.
fn fields(data: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut chars = data.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ',' => found.push(String::new()),
            '\\' if chars.peek() == Some(&',') => {}
            c => {
                if let Some(last) = found.last_mut() {
                    last.push(c);
                }
                continue;
            }
        }
        if c == '\\'
            && let Some(last) = found.last_mut()
        {
            last.extend(chars.next());
        }
    }
    found
        .into_iter()
        .map(|field| field.trim().to_owned())
        .collect()
}

fn plain(data: &str) -> String {
    data.trim().replace("\\,", ",")
}

/// `0x01ff`, `01ff`, `01:ff`, `01 ff`, or a text in single quotation marks.
fn hexadecimal(data: &str) -> Result<Vec<u8>, String> {
    let data = data.trim();
    if let Some(text) = data
        .strip_prefix('\'')
        .and_then(|data| data.strip_suffix('\''))
    {
        return Ok(text.as_bytes().to_vec());
    }
    from_hex(data).ok_or_else(|| format!("bytes are expected, this is `{data}`"))
}

fn addresses(fields: &[&str]) -> Result<Vec<Ipv4Addr>, String> {
    fields
        .iter()
        .map(|field| {
            field
                .parse()
                .map_err(|_| format!("addresses are expected, this is `{field}`"))
        })
        .collect()
}

fn domains(fields: &[&str]) -> Result<Value, String> {
    for field in fields {
        checked::domain(field.trim_end_matches('.'))
            .map_err(|bad| format!("{}: {}", bad.message, bad.label))?;
    }
    Ok(Value::Names(
        fields.iter().map(|field| (*field).to_owned()).collect(),
    ))
}

/// `10.0.0.0/8 - 10.1.1.1`, with commas between.
fn routes(fields: &[&str]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for field in fields {
        let (network, router) = field
            .split_once('-')
            .ok_or("NETWORK - ROUTER is expected")?;
        let network: Ipv4Net = network
            .trim()
            .parse()
            .map_err(|_| format!("`{field}` is no route"))?;
        let router: Ipv4Addr = router
            .trim()
            .parse()
            .map_err(|_| format!("`{field}` is no route"))?;
        bytes.extend(route(network, router));
    }
    Ok(bytes)
}

fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok().map(i64::from),
        None => text.parse().ok(),
    }
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u8, data: &str) -> Result<Value, String> {
        value(code, None, data, true)
    }

    #[test]
    fn data_of_known_options() {
        assert_eq!(of(26, "1500"), Ok(Value::Number(1_500)));
        assert_eq!(of(19, "true"), Ok(Value::Flag(true)));
        assert_eq!(of(17, "a\\,b"), Ok(Value::Text("a,b".to_owned())));
        assert_eq!(of(43, "01 04"), Ok(Value::Bytes(vec![1, 4])));
        assert_eq!(
            of(121, "10.1.0.0/16 - 10.0.0.1"),
            Ok(Value::Bytes(vec![16, 10, 1, 10, 0, 0, 1]))
        );
        assert_eq!(
            value(224, None, "'ab'", false),
            Ok(Value::Bytes(b"ab".to_vec()))
        );
        for (code, bad) in [(3, "router"), (26, "x"), (121, "10.1.0.0/16"), (119, "a b")] {
            assert!(of(code, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn data_of_defined_options() {
        let record = Definition {
            code: 200,
            kinds: vec!["uint16".into(), "ipv4-address".into(), "string".into()],
            array: false,
            encapsulates: None,
        };
        assert_eq!(
            value(200, Some(&record), "1, 10.0.0.1, a", true),
            Ok(Value::Bytes(vec![0, 1, 10, 0, 0, 1, b'a']))
        );
        assert!(value(200, Some(&record), "1, 10.0.0.1", true).is_err());
        let array = Definition {
            code: 201,
            kinds: vec!["uint8".into()],
            array: true,
            encapsulates: None,
        };
        assert_eq!(
            value(201, Some(&array), "1,2,3", true),
            Ok(Value::Bytes(vec![1, 2, 3]))
        );
        assert!(value(201, Some(&array), "1,256", true).is_err());
    }
}
