//! Options of dhcpd.conf: those that dhcpd knows by name, those that the file defines (`option NAME code N = TYPE`), and
//! the values of both (dhcp-options(5)).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::text::{Statement, Token, is_definition};
use crate::config::options::{self as known, Form};
use crate::import::Bring;
use crate::import::options::{self, Value};
use crate::import::place::Place;

/// What one field of a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Flag,
    Integer(usize),
    Ip,
    Text,
    Bytes,
    Domains,
    /// Sub-options of a space.
    Encapsulates(String),
    /// Nothing that can be carried over, by its name.
    Other(String),
}

/// An option that the file defines.
#[derive(Debug)]
pub(super) struct Definition {
    /// Its code in its space.
    pub code: u8,
    kinds: Vec<Kind>,
    array: bool,
    /// Where it is defined.
    pub at: Place,
    /// The definition.
    pub what: String,
    /// Whether some value of it was read.
    pub used: bool,
}

/// The file's own options, by name in lower case.
#[derive(Debug, Default)]
pub(super) struct Definitions(BTreeMap<String, Definition>);

/// Where an option's value goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// An option of DHCP.
    Option(u8),
    /// A sub-option of a space.
    Sub(String, u8),
}

impl Definitions {
    /// Reads a definition; why not, where it cannot be read.
    pub(super) fn add(&mut self, statement: &Statement) -> Result<(), String> {
        let tokens = &statement.tokens;
        debug_assert!(is_definition(tokens));
        let name = tokens
            .get(1)
            .and_then(Token::keyword)
            .ok_or("a name is expected after `option`")?;
        let code = tokens
            .get(3)
            .and_then(number)
            .and_then(|code| u8::try_from(code).ok());
        let code =
            code.ok_or("its code is no number from 0 to 255: it is none of DHCP for IPv4")?;
        let mut rest = tokens
            .get(5..)
            .unwrap_or_default()
            .iter()
            .filter_map(Token::keyword);
        let mut words: Vec<String> = Vec::new();
        for word in rest.by_ref() {
            words.push(word);
        }
        let array = words.first().map(String::as_str) == Some("array");
        let kinds = kinds(&words);
        if kinds.is_empty() {
            return Err("its type is missing".to_owned());
        }
        self.0.insert(
            plain(&name).to_owned(),
            Definition {
                code,
                kinds,
                array,
                at: statement.at.clone(),
                what: statement.shown(),
                used: false,
            },
        );
        Ok(())
    }

    /// Whether the option of this name has this code, by the file's definition.
    pub(super) fn is(&self, name: &str, code: u8) -> bool {
        self.0
            .get(plain(name))
            .is_some_and(|found| found.code == code)
    }

    /// Marks an option that a condition asks for as used.
    pub(super) fn touch(&mut self, name: &str) {
        if let Some(found) = self.0.get_mut(plain(name)) {
            found.used = true;
        }
    }

    /// The code of the option that a space's options are put into.
    pub(super) fn encapsulator(&mut self, space: &str) -> Option<u8> {
        let wanted = Kind::Encapsulates(space.to_owned());
        let found = self
            .0
            .iter_mut()
            .find(|(name, found)| !name.contains('.') && found.kinds.first() == Some(&wanted))?;
        found.1.used = true;
        Some(found.1.code)
    }

    /// Definitions whose options are set nowhere.
    pub(super) fn unused(&self) -> impl Iterator<Item = &Definition> {
        self.0.values().filter(|found| !found.used)
    }

    /// The option of this name and its value.
    pub(super) fn value(
        &mut self,
        name: &str,
        tokens: &[Token],
        bring: &dyn Bring,
    ) -> Result<(Target, Value), String> {
        let name = plain(name);
        let tokens = match tokens {
            // A constant as an expression.
            [Token::Mark('='), rest @ ..] => {
                let constant = match rest {
                    [Token::Text(_)] => true,
                    _ => colon_bytes(rest).is_some() && rest.len() > 1,
                };
                if !constant {
                    return Err("its value is computed, and Bootwright computes none: write the value, or a template variable".to_owned());
                }
                rest
            }
            _ => tokens,
        };
        if tokens.is_empty() {
            return Err("it has no value".to_owned());
        }
        if let Some(found) = self.0.get_mut(name) {
            found.used = true;
            let value = found.value(tokens, bring)?;
            return Ok(match name.split_once('.') {
                Some((space, _)) => (Target::Sub(space.to_owned(), found.code), value),
                None => (Target::Option(found.code), value),
            });
        }
        if let Some((space, _)) = name.split_once('.') {
            return Err(format!(
                "options of the space `{space}` are not carried over: write the bytes of the whole option as `hex`"
            ));
        }
        let code = known::by_name(name)
            .ok_or("no option of this name is known: write it by `code` into `options`")?;
        Ok((Target::Option(code), standard(code, tokens, bring)?))
    }
}

/// A name without the space that all options of DHCP are in.
fn plain(name: &str) -> &str {
    name.strip_prefix("dhcp.").unwrap_or(name)
}

fn kinds(words: &[String]) -> Vec<Kind> {
    let mut found = Vec::new();
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        found.push(match word {
            "array" | "of" | "signed" | "unsigned" | "compressed" => continue,
            "boolean" => Kind::Flag,
            "integer" => {
                let bits = words.next().and_then(|bits| bits.parse::<usize>().ok());
                match bits {
                    Some(bits @ (8 | 16 | 32)) => Kind::Integer(bits / 8),
                    _ => Kind::Other("integer".to_owned()),
                }
            }
            "ip-address" => Kind::Ip,
            "text" => Kind::Text,
            "string" => Kind::Bytes,
            "domain-list" | "domain-name" => Kind::Domains,
            "encapsulate" => Kind::Encapsulates(words.next().unwrap_or_default().to_owned()),
            other => Kind::Other(other.to_owned()),
        });
    }
    found
}

impl Definition {
    fn value(&self, tokens: &[Token], bring: &dyn Bring) -> Result<Value, String> {
        match self.kinds.as_slice() {
            [Kind::Domains] => return domains(tokens),
            [Kind::Text] if !self.array => return text(tokens),
            [Kind::Bytes] => return bytes(tokens),
            [Kind::Ip] => return addresses(tokens, bring).map(Value::Ips),
            _ => {}
        }
        let mut left: Vec<&Token> = tokens
            .iter()
            .filter(|token| **token != Token::Mark(','))
            .collect();
        left.reverse();
        let mut bytes = Vec::new();
        loop {
            for kind in &self.kinds {
                let token = left.pop().ok_or("a part of its value is missing")?;
                field(kind, token, bring, &mut bytes)?;
            }
            if left.is_empty() {
                return Ok(Value::Bytes(bytes));
            }
            if !self.array {
                return Err("its value has more parts than its type".to_owned());
            }
        }
    }
}

fn field(kind: &Kind, token: &Token, bring: &dyn Bring, bytes: &mut Vec<u8>) -> Result<(), String> {
    match kind {
        Kind::Flag => bytes.push(u8::from(flag(token).ok_or("on or off is expected")?)),
        Kind::Integer(wide) => {
            let number = number(token).ok_or("a number is expected")?;
            let all = number.to_be_bytes();
            let bits = u32::try_from(wide * 8).unwrap_or(32);
            if number < -(1_i64 << (bits - 1)) || number >= 1_i64 << bits {
                return Err(format!("{number} does not fit into {bits} bits"));
            }
            bytes.extend(all.get(8 - wide..).unwrap_or_default());
        }
        Kind::Ip => {
            for ip in addresses(std::slice::from_ref(token), bring)? {
                bytes.extend(ip.octets());
            }
        }
        Kind::Text | Kind::Bytes => match token {
            Token::Text(text) => bytes.extend(text),
            other => bytes.extend(other.text().ok_or("a text is expected")?.into_bytes()),
        },
        Kind::Domains => {
            return Err(
                "a list of domains among other parts is not carried over: write its bytes as `hex`"
                    .to_owned(),
            );
        }
        Kind::Encapsulates(space) => {
            return Err(format!(
                "it holds the options of the space `{space}`: set those"
            ));
        }
        Kind::Other(name) => {
            return Err(format!("values of the type `{name}` are not carried over"));
        }
    }
    Ok(())
}

/// The value of an option that dhcpd knows.
fn standard(code: u8, tokens: &[Token], bring: &dyn Bring) -> Result<Value, String> {
    let one = match tokens {
        [one] => Some(one),
        _ => None,
    };
    let layout = |kinds: &[Kind], array| Definition {
        code,
        kinds: kinds.to_vec(),
        array,
        at: Place::new(&"".into(), 0),
        what: String::new(),
        used: true,
    };
    match (code, options::form(code)) {
        (119, _) => domains(tokens),
        (25, _) => layout(&[Kind::Integer(2)], true).value(tokens, bring),
        (78, _) => {
            let on = tokens
                .first()
                .and_then(flag)
                .ok_or("on or off is expected")?;
            let mut bytes = vec![u8::from(on)];
            for ip in addresses(tokens.get(1..).unwrap_or_default(), bring)? {
                bytes.extend(ip.octets());
            }
            Ok(Value::Bytes(bytes))
        }
        (79, _) => layout(&[Kind::Flag, Kind::Text], false).value(tokens, bring),
        (_, Form::Ip | Form::Ips) => addresses(tokens, bring).map(Value::Ips),
        (_, Form::U8 | Form::U16 | Form::U32) => one
            .and_then(number)
            .map(Value::Number)
            .ok_or_else(|| "a number is expected".to_owned()),
        (_, Form::Bool) => one
            .and_then(flag)
            .map(Value::Flag)
            .ok_or_else(|| "on or off is expected".to_owned()),
        (_, Form::Text) => text(tokens),
        (_, Form::Hex | Form::Any) => bytes(tokens),
    }
}

fn text(tokens: &[Token]) -> Result<Value, String> {
    match tokens {
        [Token::Text(bytes)] => Ok(match String::from_utf8(bytes.clone()) {
            Ok(text) => Value::Text(text),
            Err(_) => Value::Bytes(bytes.clone()),
        }),
        [one] => one
            .text()
            .map(Value::Text)
            .ok_or_else(|| "a text is expected".to_owned()),
        _ => bytes(tokens),
    }
}

/// A text, or bytes with colons between them.
fn bytes(tokens: &[Token]) -> Result<Value, String> {
    match tokens {
        [Token::Text(bytes)] => Ok(match std::str::from_utf8(bytes) {
            Ok(text) if !text.chars().any(char::is_control) => Value::Text(text.to_owned()),
            _ => Value::Bytes(bytes.clone()),
        }),
        _ => colon_bytes(tokens)
            .map(Value::Bytes)
            .ok_or_else(|| "a text or bytes with colons between them are expected".to_owned()),
    }
}

/// `01:02:ff`.
pub(super) fn colon_bytes(tokens: &[Token]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark(':') if index % 2 == 1 => {}
            Token::Word(word) if index % 2 == 0 && word.len() <= 2 => {
                bytes.push(u8::from_str_radix(word, 16).ok()?);
            }
            _ => return None,
        }
    }
    (tokens.len() % 2 == 1).then_some(bytes)
}

fn domains(tokens: &[Token]) -> Result<Value, String> {
    let mut names = Vec::new();
    for token in tokens.iter().filter(|token| **token != Token::Mark(',')) {
        let text = token.text().ok_or("a list of domains is expected")?;
        for name in text.split([',', ' ']).filter(|name| !name.is_empty()) {
            crate::config::values::domain(name.trim_end_matches('.'))
                .map_err(|bad| format!("{}: {}", bad.message, bad.label))?;
            names.push(name.to_owned());
        }
    }
    Ok(Value::Names(names))
}

/// Addresses, or names that have some, with commas or blanks between them.
pub(super) fn addresses(tokens: &[Token], bring: &dyn Bring) -> Result<Vec<Ipv4Addr>, String> {
    let mut found = Vec::new();
    for token in tokens.iter().filter(|token| **token != Token::Mark(',')) {
        let text = match token {
            Token::Word(word) => word.as_str(),
            _ => return Err("addresses are expected".to_owned()),
        };
        found.push(address(text, bring)?);
    }
    if found.is_empty() {
        return Err("addresses are expected".to_owned());
    }
    Ok(found)
}

/// An address, or the one of a name.
pub(super) fn address(text: &str, bring: &dyn Bring) -> Result<Ipv4Addr, String> {
    if let Some(ip) = lenient(text) {
        return Ok(ip);
    }
    if text.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(format!("`{text}` is no address"));
    }
    bring
        .resolve(text)
        .ok_or_else(|| format!("the name `{text}` has no address here: write the address"))
}

/// An address whose numbers may begin with zeros, which dhcpd reads as decimal.
fn lenient(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.split('.').collect();
    let [a, b, c, d] = parts.as_slice() else {
        return None;
    };
    let part = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        digits.then(|| text.parse::<u8>().ok())?
    };
    Some(Ipv4Addr::new(part(a)?, part(b)?, part(c)?, part(d)?))
}

/// A number, decimal or as `0x1f`.
pub(super) fn number(token: &Token) -> Option<i64> {
    let Token::Word(word) = token else {
        return None;
    };
    match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok().map(i64::from),
        None => word.parse().ok(),
    }
}

/// `on`, `true` and their like.
pub(super) fn flag(token: &Token) -> Option<bool> {
    match token.keyword()?.as_str() {
        "on" | "true" | "1" => Some(true),
        "off" | "false" | "0" => Some(false),
        _ => None,
    }
}
