//! JSON with the line of each value.
//!
//! Read as people write it: comments (`//`, `/* … */` and, at the beginning of a word, `#`) and a comma behind the last
//! element are taken, as Kea takes them. Numbers are kept as they are written.

use super::ImportError;
use super::machines::Lines;

/// Deepest nesting that is read.
const DEPTH: usize = 100;

/// A value and the line that it begins on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// From 1.
    pub line: usize,
    /// The value.
    pub value: Json,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// As it is written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// In the order of the text.
    Object(Vec<Entry>),
}

/// A name in an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The line of the name.
    pub line: usize,
    /// The name.
    pub key: String,
    /// What it stands for.
    pub node: Node,
}

impl Node {
    /// The value of a key, when this is an object that has it. Of several the last one counts.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .rev()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.node)
    }

    /// The entries of an object; of anything else none.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Json::Object(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list; of anything else none.
    pub(super) fn elements(&self) -> &[Self] {
        match &self.value {
            Json::List(elements) => elements,
            _ => &[],
        }
    }

    /// The text of a text.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number, also one in quotation marks.
    pub(super) fn number(&self) -> Option<f64> {
        match &self.value {
            Json::Number(text) | Json::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
        .filter(|number: &f64| number.is_finite())
    }

    /// Whether it says nothing: null, an empty text, list or object.
    pub(super) fn is_empty(&self) -> bool {
        match &self.value {
            Json::Null => true,
            Json::Text(text) => text.trim().is_empty(),
            Json::List(elements) => elements.is_empty(),
            Json::Object(entries) => entries.is_empty(),
            Json::Bool(_) | Json::Number(_) => false,
        }
    }

    /// On one line, for reports.
    pub(super) fn shown(&self) -> String {
        match &self.value {
            Json::Null => "null".to_owned(),
            Json::Bool(is) => is.to_string(),
            Json::Number(text) | Json::Text(text) => text.clone(),
            Json::List(elements) => {
                let elements: Vec<String> = elements.iter().take(8).map(Self::shown).collect();
                format!("[{}]", elements.join(", "))
            }
            Json::Object(entries) => {
                let keys: Vec<&str> = entries
                    .iter()
                    .take(8)
                    .map(|entry| entry.key.as_str())
                    .collect();
                format!("{{{}}}", keys.join(", "))
            }
        }
    }
}

/// Reads a text.
pub(super) fn read(file: &str, text: &str) -> Result<Node, ImportError> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = Reader {
        text,
        at: 0,
        lines: Lines::of(text),
    };
    let read = reader.document();
    read.map_err(|what| ImportError {
        file: file.to_owned(),
        line: reader.lines.at(reader.at.min(text.len())),
        what,
    })
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    lines: Lines,
}

impl<'t> Reader<'t> {
    fn document(&mut self) -> Result<Node, String> {
        self.blanks()?;
        let node = self.node(0)?;
        self.blanks()?;
        match self.peek() {
            None => Ok(node),
            Some(c) => Err(format!("`{c}` stands behind the end of the JSON")),
        }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, c: char) -> bool {
        let is = self.peek() == Some(c);
        if is {
            self.at += c.len_utf8();
        }
        is
    }

    /// Goes over blanks and comments.
    fn blanks(&mut self) -> Result<(), String> {
        loop {
            let rest = self.rest();
            let text = rest.trim_start();
            self.at += rest.len() - text.len();
            if text.starts_with("//") || text.starts_with('#') {
                self.at += text.find('\n').unwrap_or(text.len());
            } else if text.starts_with("/*") {
                match text.find("*/") {
                    Some(end) => self.at += end + 2,
                    None => return Err("a comment is opened here and never closed".to_owned()),
                }
            } else {
                return Ok(());
            }
        }
    }

    fn node(&mut self, depth: usize) -> Result<Node, String> {
        if depth > DEPTH {
            return Err(format!("more than {DEPTH} lists and objects in each other"));
        }
        let line = self.lines.at(self.at);
        let value = match self.peek() {
            Some('{') => self.object(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => Json::Text(self.string()?),
            Some(c) if c == '-' || c.is_ascii_digit() => self.number()?,
            Some(_) => self.word()?,
            None => return Err("the text ends where a value was expected".to_owned()),
        };
        Ok(Node { line, value })
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        self.take('{');
        let mut entries = Vec::new();
        loop {
            self.blanks()?;
            if self.take('}') {
                return Ok(Json::Object(entries));
            }
            if self.peek() != Some('"') {
                return Err(self.expected("a name in quotation marks, or `}`"));
            }
            let line = self.lines.at(self.at);
            let key = self.string()?;
            self.blanks()?;
            if !self.take(':') {
                return Err(self.expected(&format!("`:` behind \"{key}\"")));
            }
            self.blanks()?;
            let node = self.node(depth + 1)?;
            entries.push(Entry { line, key, node });
            self.blanks()?;
            if !self.take(',') && self.peek() != Some('}') {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, String> {
        self.take('[');
        let mut elements = Vec::new();
        loop {
            self.blanks()?;
            if self.take(']') {
                return Ok(Json::List(elements));
            }
            elements.push(self.node(depth + 1)?);
            self.blanks()?;
            if !self.take(',') && self.peek() != Some(']') {
                return Err(self.expected("`,` or `]`"));
            }
        }
    }

    fn number(&mut self) -> Result<Json, String> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && !matches!(c, '-' | '+' | '.' | 'e' | 'E'))
            .unwrap_or(rest.len());
        let text = rest.get(..end).unwrap_or_default();
        if text.parse::<f64>().is_err() {
            return Err(format!("`{text}` is no number"));
        }
        self.at += end;
        Ok(Json::Number(text.to_owned()))
    }

    fn word(&mut self) -> Result<Json, String> {
        let rest = self.rest();
        for (word, value) in [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
        ] {
            if let Some(behind) = rest.strip_prefix(word)
                && !behind.starts_with(|c: char| c.is_ascii_alphanumeric())
            {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.expected("a value"))
    }

    fn string(&mut self) -> Result<String, String> {
        let start = self.at;
        self.take('"');
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(['"', '\\', '\n']) else {
                self.at = start;
                return Err("a quotation mark is opened here and never closed".to_owned());
            };
            text.push_str(rest.get(..end).unwrap_or_default());
            self.at += end;
            match self.peek() {
                Some('"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some('\\') => {
                    self.at += 1;
                    text.push(self.escaped()?);
                }
                _ => {
                    self.at = start;
                    return Err(
                        "a quotation mark is opened here and not closed on its line".to_owned()
                    );
                }
            }
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        let c = self.peek().ok_or("the text ends behind `\\`")?;
        self.at += c.len_utf8();
        Ok(match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            '"' | '\\' | '/' => c,
            'u' => {
                let first = self.four()?;
                let code = if (0xd800..0xdc00).contains(&first) && self.rest().starts_with("\\u") {
                    self.at += 2;
                    let second = self.four()?;
                    0x1_0000 + ((first - 0xd800) << 10) + (second.wrapping_sub(0xdc00) & 0x3ff)
                } else {
                    first
                };
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => return Err(format!("`\\{other}` stands for nothing")),
        })
    }

    fn four(&mut self) -> Result<u32, String> {
        let digits = self
            .rest()
            .get(..4)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .ok_or("`\\u` is followed by four hexadecimal digits")?;
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|error| error.to_string())
    }

    fn expected(&self, what: &str) -> String {
        match self.peek() {
            Some(c) => format!("`{c}` stands where {what} was expected"),
            None => format!("the text ends where {what} was expected"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_know_their_lines() {
        let node = read(
            "f",
            "// Kea writes\n{ # so\n \"a\": [1,\n 2.5, /* and\n so */ true,],\n \"b\": {\"c\": \"\\u00e4\\n\\ud83d\\ude00\"},\n}\n",
        )
        .unwrap();
        let a = node.get("a").unwrap();
        assert_eq!(a.line, 3);
        let lines: Vec<usize> = a.elements().iter().map(|node| node.line).collect();
        assert_eq!(lines, [3, 4, 5]);
        assert_eq!(a.elements()[1].number(), Some(2.5));
        let c = node.get("b").unwrap().get("c").unwrap();
        assert_eq!((c.line, c.text()), (6, Some("ä\n😀")));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, line, what) in [
            ("", 1, "ends where a value"),
            ("{\n\"a\" 1}", 2, "`:` behind \"a\""),
            ("[1\n2]", 2, "`,` or `]`"),
            ("{\"a\": \"x\n\"}", 1, "not closed on its line"),
            ("[1] 2", 1, "behind the end"),
            ("[\n/* ", 2, "never closed"),
            ("[nul]", 1, "a value"),
            ("[1-2]", 1, "no number"),
            ("\"\\q\"", 1, "stands for nothing"),
        ] {
            let error = read("f", text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
            assert!(error.what.contains(what), "{text:?}: {error}");
        }
        assert!(read("f", &"[".repeat(100_000)).is_err());
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".*".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map(".*", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn plain(node: &Node) -> serde_json::Value {
        match &node.value {
            Json::Null => serde_json::Value::Null,
            Json::Bool(is) => (*is).into(),
            Json::Number(text) => text.parse::<i64>().unwrap().into(),
            Json::Text(text) => text.clone().into(),
            Json::List(elements) => elements.iter().map(plain).collect(),
            Json::Object(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), plain(&entry.node)))
                .collect(),
        }
    }

    proptest! {
        #[test]
        fn what_others_write_is_read(value in value()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                prop_assert_eq!(plain(&read("f", &text).unwrap()), value.clone());
            }
        }

        #[test]
        fn nothing_panics(text in r#"[\[\]{}",:\\/*#a-z0-9\n é-]{0,40}"#) {
            let _ = read("f", &text);
        }
    }
}
