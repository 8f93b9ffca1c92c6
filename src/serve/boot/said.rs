//! What a report says, in any of the usual ways to say it: query, urlencoded, JSON, multipart or text. Pure.
//!
//! **Invariant:** nothing in a report is an error: it counts however it is spelt. Everything is bounded.

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::route;
use crate::base::without_tokens;

/// Longest message kept, in characters.
const MAX_MESSAGE: usize = 2_000;
/// A text with more lines, or more characters, is the tail of a log.
const TAIL_LINES: usize = 4;
const TAIL_CHARS: usize = 500;
/// The fields that are read, whatever form they come in.
const FIELDS: [&str; 3] = ["message", "percent", "log"];
/// Parts of a form that are read.
const MAX_PARTS: usize = 16;

/// What a report says beside its kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The message: one line.
    pub message: Option<String>,
    /// Percent done.
    pub percent: Option<u8>,
    /// The tail of a log.
    pub log: Option<Bytes>,
}

/// Reads `message`, `percent` and `log` from the query, and from a body that is JSON, urlencoded, multipart
/// or text. The body wins. A text that is too long for a message is a log; then the message is that of the
/// query, else the text's last line.
pub fn said(query: Option<&str>, content_type: Option<&str>, body: &[u8]) -> Said {
    let said = of_pairs(&route::pairs(query.unwrap_or_default()));
    let content_type = content_type.unwrap_or_default();
    let kind = content_type.to_ascii_lowercase();
    if kind.contains("multipart/form-data")
        && let Some(in_body) = of_multipart(content_type, body)
    {
        return over(in_body, said);
    }
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() {
        return said;
    }
    let in_body = if kind.contains("json") || text.starts_with('{') {
        of_json(text)
    } else if kind.contains("x-www-form-urlencoded") && !text.contains('\n') {
        // `curl -d 'no disk'` and `wget --post-file` say urlencoded whatever they send.
        Some(of_pairs(&route::pairs(text))).filter(|said| *said != Said::default())
    } else {
        None
    };
    match in_body {
        Some(in_body) => over(in_body, said),
        None if is_tail(text) => Said {
            message: said
                .message
                .or_else(|| text.lines().rev().find_map(message)),
            percent: said.percent,
            log: Some(Bytes::copy_from_slice(body)),
        },
        None => {
            let in_body = Said {
                message: message(text),
                ..Said::default()
            };
            over(in_body, said)
        }
    }
}

fn is_tail(text: &str) -> bool {
    text.lines().count() > TAIL_LINES || text.chars().count() > TAIL_CHARS
}

/// What the body says, over what the query says.
fn over(body: Said, query: Said) -> Said {
    Said {
        message: body.message.or(query.message),
        percent: body.percent.or(query.percent),
        log: body.log.or(query.log),
    }
}

fn of_fields(field: impl Fn(&str) -> Option<String>) -> Said {
    Said {
        message: field("message").as_deref().and_then(message),
        percent: field("percent").as_deref().and_then(percent),
        log: field("log")
            .filter(|log| !log.trim().is_empty())
            .map(Bytes::from),
    }
}

fn of_pairs(pairs: &[(String, String)]) -> Said {
    of_fields(|name| {
        pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    })
}

fn of_json(text: &str) -> Option<Said> {
    let Fields(fields) = serde_json::from_str(text).ok()?;
    Some(of_pairs(&fields))
}

/// The fields of a JSON object that are read. All others, and what is neither text nor number, are passed
/// over without being kept: a log's worth of brackets would take 16 times its size in memory.
struct Fields(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields: Vec<(String, String)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if !FIELDS.contains(&key.as_str()) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let Scalar(value) = map.next_value()?;
            fields.retain(|(other, _)| *other != key);
            fields.extend(value.map(|value| (key, value)));
        }
        Ok(Fields(fields))
    }
}

/// A text, a number or a truth value as text; anything else is nothing.
struct Scalar(Option<String>);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(Some(text.to_owned())))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar(Some(value.to_string())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar(Some(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar(Some(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar(Some(number.to_string())))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar(None))
    }
}

/// A form as `curl -F` sends it (RFC 7578). `None`: it is none.
fn of_multipart(content_type: &str, body: &[u8]) -> Option<Said> {
    let boundary = content_type.split(';').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary")
            .then(|| value.trim_matches('"'))
    })?;
    if boundary.is_empty() || boundary.len() > 70 {
        return None;
    }
    let delimiter = format!("\r\n--{boundary}");
    // The first one stands at the beginning of the body.
    let mut rest = body.strip_prefix(delimiter.get(2..)?.as_bytes())?;
    let mut fields: Vec<(String, &[u8])> = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let end = find(part, delimiter.as_bytes())?;
        let (part, after) = part.split_at_checked(end)?;
        rest = after.get(delimiter.len()..)?;
        if fields.len() < MAX_PARTS
            && let Some(head) = find(part, b"\r\n\r\n")
            && let (Some(headers), Some(content)) = (part.get(..head), part.get(head + 4..))
            && let Some(name) = field_name(&String::from_utf8_lossy(headers))
        {
            fields.push((name, content));
        }
    }
    let field = |name: &str| fields.iter().find(|(key, _)| key == name);
    let text =
        |name: &str| field(name).map(|(_, content)| String::from_utf8_lossy(content).into_owned());
    Some(Said {
        message: text("message").as_deref().and_then(message),
        percent: text("percent").as_deref().and_then(percent),
        log: field("log")
            .filter(|(_, content)| !content.is_empty())
            .map(|(_, content)| Bytes::copy_from_slice(content)),
    })
}

fn field_name(headers: &str) -> Option<String> {
    headers.lines().find_map(|line| {
        let (header, value) = line.split_once(':')?;
        if !header.trim().eq_ignore_ascii_case("content-disposition") {
            return None;
        }
        value.split(';').find_map(|parameter| {
            let (name, value) = parameter.trim().split_once('=')?;
            name.eq_ignore_ascii_case("name")
                .then(|| value.trim_matches('"').to_owned())
        })
    })
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// One line without control characters, and without a token: installers print the URLs that they could
/// not fetch.
pub(super) fn message(text: &str) -> Option<String> {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let line: String = without_tokens(&line).chars().take(MAX_MESSAGE).collect();
    (!line.is_empty()).then_some(line)
}

fn percent(text: &str) -> Option<u8> {
    let number: f64 = text.trim().trim_end_matches('%').trim().parse().ok()?;
    if !number.is_finite() {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it lies between 0 and 100"
    )]
    Some(number.clamp(0.0, 100.0) as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expect(message: &str, percent: Option<u8>) -> Said {
        Said {
            message: (!message.is_empty()).then(|| message.to_owned()),
            percent,
            log: None,
        }
    }

    #[test]
    fn every_usual_way_to_say_it() {
        const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
        let cases: &[(Option<&str>, Option<&str>, &str, Said)] = &[
            (None, None, "", Said::default()),
            (
                Some("message=disk+full&percent=40"),
                None,
                "",
                expect("disk full", Some(40)),
            ),
            (
                None,
                FORM,
                "message=no%20disk&percent=12.9",
                expect("no disk", Some(12)),
            ),
            (None, FORM, "no disk found", expect("no disk found", None)),
            (None, FORM, "/dev/sda=8G", expect("/dev/sda=8G", None)),
            (
                None,
                Some("application/json"),
                r#"{"message":"x","percent":"7%"}"#,
                expect("x", Some(7)),
            ),
            (None, None, r#"{"percent":100}"#, expect("", Some(100))),
            (None, None, "{broken", expect("{broken", None)),
            (
                None,
                Some("text/plain"),
                "two\nlines\u{7}here\n",
                expect("two lines here", None),
            ),
            (
                Some("percent=5&message=old"),
                Some("text/plain"),
                "new",
                expect("new", Some(5)),
            ),
            (Some("percent=900"), None, "", expect("", Some(100))),
            (Some("percent=NaN"), None, "", Said::default()),
        ];
        for (query, content_type, body, said_here) in cases {
            assert_eq!(
                said(*query, *content_type, body.as_bytes()),
                *said_here,
                "{query:?} {body:?}"
            );
        }
    }

    #[test]
    fn the_tail_of_a_log() {
        let tail = "one\ntwo\nthree\nfour\nthe last: no space left\n\n";
        let form = Some("application/x-www-form-urlencoded");
        for content_type in [None, Some("text/plain"), form] {
            let found = said(None, content_type, tail.as_bytes());
            assert_eq!(found.message.as_deref(), Some("the last: no space left"));
            assert_eq!(found.log.as_deref(), Some(tail.as_bytes()));
        }
        let named = said(Some("message=late%20command"), None, tail.as_bytes());
        assert_eq!(named.message.as_deref(), Some("late command"));
        assert!(named.log.is_some());
        let found = said(None, form, b"message=no+disk&log=a%0Ab%0A");
        assert_eq!(found.message.as_deref(), Some("no disk"));
        assert_eq!(found.log.as_deref(), Some(b"a\nb\n".as_slice()));
        let found = said(None, None, br#"{"message": "x", "log": "a\nb"}"#);
        assert_eq!(found.log.as_deref(), Some(b"a\nb".as_slice()));
        // A log of bytes that are no text is kept as it came.
        let bytes = b"\xff\xfe\n\n\n\n\nend";
        let found = said(None, None, bytes);
        assert_eq!(found.log.as_deref(), Some(bytes.as_slice()));
    }

    #[test]
    fn a_form_of_several_parts() {
        let body = "--XyZ\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\nno disk\r\n\
            --XyZ\r\nContent-Disposition: form-data; name=\"log\"; filename=\"sys;log\"\r\n\
            Content-Type: application/octet-stream\r\n\r\na\r\n--Xy\r\nb\r\n--XyZ--\r\n";
        let content_type = "multipart/form-data; boundary=XyZ";
        let found = said(Some("percent=3"), Some(content_type), body.as_bytes());
        assert_eq!(found.message.as_deref(), Some("no disk"));
        assert_eq!(found.log.as_deref(), Some(b"a\r\n--Xy\r\nb".as_slice()));
        assert_eq!(found.percent, Some(3));
        // Cut off: what there is counts, as a text.
        let cut = said(None, Some(content_type), &body.as_bytes()[..40]);
        assert!(cut.message.is_some() && cut.log.is_none());
    }

    #[test]
    fn a_log_of_brackets_is_passed_over() {
        let deep = "[".repeat(1 << 20);
        assert_eq!(
            said(None, None, format!("{{\"a\":{deep}").as_bytes()).percent,
            None
        );
        let wide = format!(
            r#"{{"a":[{}0],"message":{{"nested":[1]}},"percent":null,"percent":-3,"message":"x"}}"#,
            "[],".repeat(100_000)
        );
        assert_eq!(said(None, None, wide.as_bytes()), expect("x", Some(0)));
        let nested = br#"{"message":{"a":[true]},"percent":[1]}"#;
        assert_eq!(said(None, None, nested), Said::default());
    }

    proptest! {
        #[test]
        fn anything_is_taken_and_bounded(
            query in "\\PC{0,60}",
            content_type in prop_oneof![Just("application/json"), Just("text/plain"), Just("multipart/form-data; boundary=a"), Just("application/x-www-form-urlencoded")],
            body in prop_oneof![proptest::collection::vec(any::<u8>(), 0..3_000), "(--a|--|\\r\\n|name=|message|Content-Disposition: ;|[a-z]){0,40}".prop_map(String::into_bytes)],
        ) {
            let said = said(Some(&query), Some(content_type), &body);
            if let Some(message) = said.message {
                prop_assert!(message.chars().count() <= MAX_MESSAGE);
                prop_assert!(!message.chars().any(char::is_control));
            }
            prop_assert!(said.percent.unwrap_or(0) <= 100);
        }
    }
}
