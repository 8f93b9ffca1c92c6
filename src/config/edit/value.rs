//! Values as text, and text as values.

use std::fmt::Write as _;

use toml::{Table, Value};

/// Keys of hosts and groups of which the value is a text (or, of `mac`, a list of texts).
const TEXTS: [&str; 14] = [
    "mac",
    "ip",
    "subnet",
    "group",
    "profile",
    "fqdn",
    "arch",
    "loader",
    "local_boot",
    "install",
    "uuid",
    "serial",
    "notes",
    "name",
];

/// In which order known keys stand in a table; others stand behind `others`.
const ORDER: [&str; 24] = [
    "mac",
    "ip",
    "code",
    "host",
    "name",
    "subnet",
    "group",
    "profile",
    "snippets",
    "fqdn",
    "arch",
    "loader",
    "local_boot",
    "install",
    "secure_boot",
    "after",
    "uuid",
    "serial",
    "options",
    "notes",
    "others",
    "force",
    "vars",
    "nic",
];

/// The place of a key among those of its table.
pub(super) fn rank(key: &str) -> usize {
    let place = |key: &str| ORDER.iter().position(|known| *known == key);
    place(key)
        .or_else(|| place("others"))
        .unwrap_or(ORDER.len())
}

/// The value that somebody typed for a key: TOML, or where it is none, the text itself. For a key of which the value is
/// a text, only quotes and brackets are taken for TOML: a serial number may consist of digits.
pub fn typed(key: &[impl AsRef<str>], text: &str) -> Value {
    let text = text.trim();
    let parsed = literal(text);
    let wants_text = match key {
        [one] => TEXTS.contains(&one.as_ref()),
        _ => false,
    };
    match parsed {
        Some(value @ (Value::String(_) | Value::Array(_) | Value::Table(_))) => value,
        Some(value) if !wants_text => value,
        _ => Value::String(text.to_owned()),
    }
}

/// A value as TOML writes it.
pub(super) fn literal(text: &str) -> Option<Value> {
    let mut table: Table = toml::from_str(&format!("v = {text}\n")).ok()?;
    let value = table.remove("v")?;
    table.is_empty().then_some(value)
}

/// A key as it is written: bare where it can be.
pub(super) fn key(name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if bare { name.to_owned() } else { basic(name) }
}

/// A dotted key.
pub(super) fn dotted<'k>(parts: impl IntoIterator<Item = &'k str>) -> String {
    let parts: Vec<String> = parts.into_iter().map(key).collect();
    parts.join(".")
}

/// A value on one line. `like`: what it replaces, of which a text keeps the kind of quotes.
pub(super) fn write(value: &Value, like: Option<&str>) -> String {
    let mut out = String::new();
    match (value, like) {
        (Value::String(text), Some(like))
            if like.starts_with('\'') && !like.starts_with("'''") && can_be_literal(text) =>
        {
            let _ = write!(out, "'{text}'");
        }
        _ => put(&mut out, value),
    }
    out
}

fn put(out: &mut String, value: &Value) {
    match value {
        Value::String(text) if text.contains(['"', '\\']) && can_be_literal(text) => {
            let _ = write!(out, "'{text}'");
        }
        Value::String(text) => out.push_str(&basic(text)),
        Value::Float(number) if number.is_finite() => {
            let _ = write!(out, "{number:?}");
        }
        Value::Float(number) if number.is_nan() => out.push_str("nan"),
        Value::Float(number) => out.push_str(if *number > 0.0 { "inf" } else { "-inf" }),
        Value::Integer(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Boolean(is) => {
            let _ = write!(out, "{is}");
        }
        Value::Datetime(time) => {
            let _ = write!(out, "{time}");
        }
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                put(out, element);
            }
            out.push(']');
        }
        Value::Table(table) if table.is_empty() => out.push_str("{}"),
        Value::Table(table) => {
            out.push_str("{ ");
            let mut pairs: Vec<(&String, &Value)> = table.iter().collect();
            pairs.sort_by_key(|(name, _)| rank(name));
            for (index, (name, value)) in pairs.into_iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                let _ = write!(out, "{} = ", key(name));
                put(out, value);
            }
            out.push_str(" }");
        }
    }
}

fn can_be_literal(text: &str) -> bool {
    !text.contains('\'') && !text.chars().any(|c| c.is_control() && c != '\t')
}

/// A text in double quotes, always on one line.
fn basic(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_typed_is_toml_or_text() {
        let typed_as = |key: &str, text: &str| {
            let key: Vec<&str> = key.split('.').collect();
            write(&typed(&key, text), None)
        };
        for (key, text, expected) in [
            ("ip", "10.0.0.9", "\"10.0.0.9\""),
            ("serial", "12345", "\"12345\""),
            ("serial", "\"12345\"", "\"12345\""),
            ("notes", "2024-01-01", "\"2024-01-01\""),
            ("notes", "= 3\nx = 1", "\"= 3\\nx = 1\""),
            ("mac", "[\"52:54:00:00:00:01\"]", "[\"52:54:00:00:00:01\"]"),
            ("secure_boot", "true", "true"),
            ("vars.disk", "/dev/vda", "\"/dev/vda\""),
            ("vars.serial", "12345", "12345"),
            ("vars.on", "yes", "\"yes\""),
            ("vars.path", r"C:\x", r"'C:\x'"),
            ("vars.list", "[1, 2]", "[1, 2]"),
            (
                "vars.of",
                "{ a = 1, 'b c' = 2.0 }",
                "{ a = 1, \"b c\" = 2.0 }",
            ),
            ("vars.x", "1\ny = 2", "\"1\\ny = 2\""),
            ("vars.empty", "", "\"\""),
        ] {
            assert_eq!(typed_as(key, text), expected, "{key} {text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in ".*", name in ".*") {
            let mut table = Table::new();
            table.insert(name, Value::String(text));
            let value = Value::Array(vec![Value::Table(table)]);
            let written = write(&value, None);
            prop_assert!(!written.contains('\n'));
            prop_assert_eq!(literal(&written), Some(value));
        }
    }
}
