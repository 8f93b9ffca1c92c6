//! Events as curtin and subiquity post them (`reporting: … type: webhook`), and what they mean.
//!
//! Both post one JSON object per event: `name`, `event_type` (`start`, `finish`; newer ones also `info`,
//! `warning`, `error`), `description`, `origin`, `timestamp`, at a finish `result` (`SUCCESS`, `WARN`,
//! `FAIL`), and `files` with their content in base64. Names are paths of nested steps; most finishes are
//! those of inner steps and end nothing.
//!
//! | event | meaning |
//! | --- | --- |
//! | any, while the machine is booting | its installer runs: `started` |
//! | start of `subiquity/Shutdown/shutdown` | `installed`: packages, late-commands and the copy of the logs are done, and it is about to reboot. An unattended subiquity gets there in no other case |
//! | finish of `cmd-install`, `SUCCESS` or `WARN` | `installed`, where curtin runs by itself. Below subiquity it has a longer name |
//! | finish, `FAIL`, of `cmd-install`, `subiquity/Install/install`, `subiquity/Early/run`, `subiquity/Late/run` | `failed` |
//! | start of `subiquity/Error/run` | `failed`: error-commands run because something did |
//! | `WARN` and `FAIL` of other steps, and the start of outer steps | a message |
//! | everything else | a sign of life |
//!
//! **Invariant:** a host that has failed is never made `installed` by an event: at the console a failed
//! installer may be told to reboot. cloud-init's events, of the same form, are signs of life.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::{Request, StatusCode};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::logs::{keep_along, sign_of_life};
use super::report::{apply, record_for};
use super::{Visit, plain, read_body, said};
use crate::base::Token;
use crate::journal::event::{Kind, Reason};
use crate::record::{Input, InstallState, Record, ReportKind};
use crate::serve::logs::name_of;

/// Largest event, in bytes: one log of the largest size, in base64.
const MAX_EVENT: usize = 12 << 20;
/// Files of one event that are kept.
const MAX_FILES: usize = 16;
/// Steps nested deeper tell nothing to people.
const OUTER: usize = 4;

/// What an event means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The installer goes on.
    SignOfLife,
    /// It says something that people want to read.
    Note,
    /// It has finished.
    Installed,
    /// It has failed.
    Failed,
}

/// An event that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// What it means.
    pub meaning: Meaning,
    /// What it says: one line.
    pub message: Option<String>,
    /// The files that came along, by the name under which they are kept.
    pub files: Vec<(String, Bytes)>,
}

#[derive(Deserialize)]
struct Raw {
    name: String,
    event_type: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    origin: Option<String>,
    #[serde(default)]
    level: Option<String>,
    #[serde(default)]
    result: Option<String>,
    #[serde(default, deserialize_with = "first_files")]
    files: Vec<RawFile>,
}

/// No more of them than are kept: a list of millions of empty ones would take the memory.
fn first_files<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RawFile>, D::Error> {
    struct Files;
    impl<'de> Visitor<'de> for Files {
        type Value = Vec<RawFile>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of files")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut files = Vec::new();
            while files.len() < MAX_FILES {
                match list.next_element()? {
                    Some(file) => files.push(file),
                    None => return Ok(files),
                }
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(files)
        }
    }
    deserializer.deserialize_any(Files)
}

#[derive(Deserialize)]
struct RawFile {
    #[serde(default)]
    path: String,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    encoding: Option<String>,
}

/// Reads an event. The error is a sentence.
pub fn read(body: &[u8]) -> Result<Posted, String> {
    let raw: Raw = serde_json::from_slice(body)
        .map_err(|error| format!("the body is no event of curtin or subiquity: {error}"))?;
    let meaning = meaning(&raw);
    let description = raw.description.as_deref().unwrap_or_default();
    let result = raw.result.as_deref().filter(|result| *result != "SUCCESS");
    let text = match (result, raw.event_type.as_str()) {
        (Some(result), _) => format!("{}: {result}: {description}", raw.name),
        (None, "warning" | "error") => format!("{}: {}: {description}", raw.name, raw.event_type),
        _ => format!("{}: {description}", raw.name),
    };
    let files = raw
        .files
        .into_iter()
        .filter_map(|file| Some((name_of(&file.path)?, content(&file)?)))
        .collect();
    Ok(Posted {
        meaning,
        message: said::message(text.trim_end_matches(": ")),
        files,
    })
}

fn meaning(raw: &Raw) -> Meaning {
    let result = raw.result.as_deref().unwrap_or_default();
    if raw.origin.as_deref() == Some("cloudinit") {
        return Meaning::SignOfLife;
    }
    match (raw.name.as_str(), raw.event_type.as_str(), result) {
        ("subiquity/Shutdown/shutdown", "start", _)
        | ("cmd-install", "finish", "SUCCESS" | "WARN") => Meaning::Installed,
        ("subiquity/Error/run", "start", _)
        | (
            "cmd-install"
            | "subiquity/Install/install"
            | "subiquity/Early/run"
            | "subiquity/Late/run",
            "finish",
            "FAIL",
        ) => Meaning::Failed,
        (_, "warning" | "error", _) | (_, "finish", "WARN" | "FAIL") => Meaning::Note,
        (name, "start" | "info", _)
            if name.split('/').count() <= OUTER && raw.level.as_deref() != Some("DEBUG") =>
        {
            Meaning::Note
        }
        _ => Meaning::SignOfLife,
    }
}

fn content(file: &RawFile) -> Option<Bytes> {
    let content = file.content.as_deref()?;
    match file.encoding.as_deref() {
        None | Some("base64") => from_base64(content).map(Bytes::from),
        Some(_) => Some(Bytes::copy_from_slice(content.as_bytes())),
    }
}

/// RFC 4648 section 4; line breaks are passed over. `None`: it is no base64.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    let mut padding = 0;
    for c in text.bytes().filter(|c| !c.is_ascii_whitespace()) {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding += 1;
                continue;
            }
            _ => return None,
        };
        if padding > 0 {
            return None;
        }
        bits = (bits << 6) | u32::from(value);
        count += 1;
        if count == 4 {
            bytes.extend_from_slice(bits.to_be_bytes().get(1..)?);
            (bits, count) = (0, 0);
        }
    }
    match count {
        0 => {}
        2 => bytes.extend_from_slice((bits << 12).to_be_bytes().get(1..2)?),
        3 => bytes.extend_from_slice((bits << 6).to_be_bytes().get(1..3)?),
        _ => return None,
    }
    (padding <= 2).then_some(bytes)
}

/// What an event does to a record.
fn input(posted: &Posted, record: &Record) -> Input {
    let kind = match posted.meaning {
        Meaning::Installed
            if matches!(
                record.state,
                InstallState::Booting | InstallState::Installing
            ) =>
        {
            ReportKind::Installed
        }
        Meaning::Failed => ReportKind::Failed,
        _ if record.state == InstallState::Booting => ReportKind::Started,
        _ => ReportKind::Progress,
    };
    Input::Report {
        kind,
        message: posted.message.clone(),
        percent: None,
    }
}

/// Takes an event in.
pub(crate) async fn take(visit: Visit, token: Option<Token>, request: Request<Body>) -> Response {
    let (record, token) = match record_for(&visit, token, None).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let body = match read_body(&mut request.into_body(), MAX_EVENT).await {
        Ok(body) => body,
        Err(error) => return visit.bad_body(&error),
    };
    let posted = match body.read(read).await {
        Ok(Ok(posted)) => posted,
        Ok(Err(error)) => return visit.refuse(StatusCode::BAD_REQUEST, Reason::BadRequest, error),
        Err(_) => return visit.unread(),
    };
    let record = if posted.meaning == Meaning::SignOfLife && record.state != InstallState::Booting {
        sign_of_life(&visit, &record, &token).await;
        let mut event = visit
            .event(Kind::ReportIgnored, Reason::SignOfLife)
            .host(record.host.clone())
            .mac(record.macs.first().copied());
        event.detail.clone_from(&posted.message);
        visit.tell(event);
        record
    } else {
        match apply(&visit, &token, &record, |record| input(&posted, record)).await {
            Ok(record) => record,
            Err(response) => return response,
        }
    };
    for (name, log) in posted.files {
        keep_along(&visit, &record, &name, log).await;
    }
    plain(StatusCode::OK, "ok\n".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn meaning_of(name: &str, event_type: &str, result: Option<&str>) -> Meaning {
        let event = json!({
            "name": name, "event_type": event_type, "description": "d", "origin": "curtin",
            "timestamp": 1_700_000_000.5, "level": "INFO", "result": result,
        });
        read(event.to_string().as_bytes()).unwrap().meaning
    }

    #[test]
    fn only_the_outermost_end_is_the_end() {
        let install = "subiquity/Install/install";
        for (name, event_type, result, expected) in [
            (
                "subiquity/Shutdown/shutdown",
                "start",
                None,
                Meaning::Installed,
            ),
            ("cmd-install", "finish", Some("SUCCESS"), Meaning::Installed),
            ("cmd-install", "finish", Some("WARN"), Meaning::Installed),
            ("cmd-install", "finish", Some("FAIL"), Meaning::Failed),
            ("cmd-install", "start", None, Meaning::Note),
            (install, "finish", Some("FAIL"), Meaning::Failed),
            (
                "subiquity/Late/run",
                "finish",
                Some("FAIL"),
                Meaning::Failed,
            ),
            ("subiquity/Error/run", "start", None, Meaning::Failed),
            // The late-commands are still to come, or the copy of the logs.
            (install, "finish", Some("SUCCESS"), Meaning::SignOfLife),
            (
                "subiquity/Late/run",
                "finish",
                Some("SUCCESS"),
                Meaning::SignOfLife,
            ),
            (
                "subiquity/Shutdown/shutdown",
                "finish",
                Some("SUCCESS"),
                Meaning::SignOfLife,
            ),
            (
                "cmd-install/stage-late",
                "finish",
                Some("SUCCESS"),
                Meaning::SignOfLife,
            ),
            (
                "cmd-install/stage-extract",
                "finish",
                Some("FAIL"),
                Meaning::Note,
            ),
            (
                "subiquity/Install/install/curtin_install/cmd-install",
                "finish",
                Some("SUCCESS"),
                Meaning::SignOfLife,
            ),
            (
                "subiquity/Install/install/curtin_install/cmd-install",
                "finish",
                Some("FAIL"),
                Meaning::Note,
            ),
            (
                "subiquity/Network/apply",
                "finish",
                Some("WARN"),
                Meaning::Note,
            ),
            (install, "start", None, Meaning::Note),
            ("a/b/c/d/e", "start", None, Meaning::SignOfLife),
            ("subiquity/x", "error", None, Meaning::Note),
        ] {
            assert_eq!(
                meaning_of(name, event_type, result),
                expected,
                "{event_type} {name} {result:?}"
            );
        }
        let cloud = json!({"name": "cmd-install", "event_type": "finish", "result": "SUCCESS", "origin": "cloudinit"});
        assert_eq!(
            read(cloud.to_string().as_bytes()).unwrap().meaning,
            Meaning::SignOfLife
        );
    }

    #[test]
    fn what_it_says_and_the_files_that_come_along() {
        let event = json!({
            "name": "cmd-install", "event_type": "finish", "result": "FAIL",
            "description": "curtin command install", "origin": "curtin",
            "files": [
                {"path": "/tmp/install.log", "content": "bm8gc3BhY2U=", "encoding": "base64"},
                {"path": "/tmp/none", "content": null, "encoding": "base64"},
                {"path": "/tmp/bad", "content": "!", "encoding": "base64"},
            ],
        });
        let posted = read(event.to_string().as_bytes()).unwrap();
        assert_eq!(
            posted.message.as_deref(),
            Some("cmd-install: FAIL: curtin command install")
        );
        assert_eq!(
            posted.files,
            [("install.log".to_owned(), Bytes::from_static(b"no space"))]
        );
        for bad in ["", "[]", "{}", "{\"name\": 1}", "text"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn base64_is_what_the_filter_writes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let mut text = String::new();
            for chunk in bytes.chunks(3) {
                let mut group = [0_u8; 4];
                group[1..=chunk.len()].copy_from_slice(chunk);
                let group = u32::from_be_bytes(group);
                for i in 0..4 {
                    let index = usize::try_from(group >> (18 - 6 * i) & 63).unwrap();
                    text.push(if i <= chunk.len() { char::from(ALPHABET[index]) } else { '=' });
                }
            }
            prop_assert_eq!(from_base64(&text), Some(bytes));
        }

        #[test]
        fn any_body_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,80}") {
            let _ = read(&body);
            let _ = from_base64(&text);
        }
    }
}
