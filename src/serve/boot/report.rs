//! What installers and started systems report: any of the usual ways to say it, bounded.

use axum::body::Body;
use axum::response::Response;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};

use super::{MAX_BODY, Visit, plain, read_body, route};
use crate::base::Token;
use crate::decide;
use crate::journal::event::{Kind, Reason};
use crate::record::{Input, Record, ReportKind};
use crate::serve::installs::{Applied, ApplyError, Context as Change};

/// Longest message kept, in characters.
const MAX_MESSAGE: usize = 2_000;

/// What a report says beside its kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The message: one line.
    pub message: Option<String>,
    /// Percent done.
    pub percent: Option<u8>,
}

/// Takes a report in.
pub(crate) async fn take(
    visit: Visit,
    token: Option<Token>,
    kind: ReportKind,
    request: Request<Body>,
) -> Response {
    let query = request.uri().query().map(ToOwned::to_owned);
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(ToOwned::to_owned);
    // First the token: nobody without one makes this server wait for a body.
    let (record, token) = match record_for(&visit, token, Some(kind)).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let body = match read_body(request.into_body(), MAX_BODY).await {
        Ok(body) => body,
        Err(error) => return visit.bad_body(&error),
    };
    let said = said(query.as_deref(), content_type.as_deref(), &body);
    let in_force = visit.in_force.clone();
    let snapshot = &in_force.snapshot;
    let mac = snapshot
        .host(&record.host)
        .and_then(|host| host.mac())
        .or_else(|| record.macs.first().copied());
    let change = Change {
        mac,
        ip: Some(visit.peer),
        generation: snapshot.generation,
        file: Some(visit.shown.clone()),
    };
    let input = Input::Report {
        kind,
        message: said.message.clone(),
        percent: said.percent,
    };
    let ignored = match visit
        .plane
        .ctx
        .installs
        .apply_under(snapshot, &token, &record.host, |_| input.clone(), &change)
        .await
    {
        Ok(Applied::Changed(_)) => None,
        // Armed anew, or taken back, since the token was looked up.
        Ok(Applied::Same(_, Reason::VoidToken)) => {
            return visit.refuse(StatusCode::NOT_FOUND, Reason::VoidToken, None);
        }
        Ok(Applied::Same(_, reason)) => Some((reason, said.message)),
        Err(ApplyError::Refused(refusal)) => Some((Reason::NoChange, Some(refusal.to_string()))),
        Err(ApplyError::Store(error)) => return visit.store_trouble(&error),
    };
    if let Some((reason, detail)) = ignored {
        let mut event = visit
            .event(Kind::ReportIgnored, reason)
            .host(record.host)
            .mac(mac);
        event.detail = detail;
        visit.tell(event);
    }
    plain(StatusCode::OK, "ok\n".to_owned())
}

/// The record whose token it is, and the token, when this peer may report under it now.
pub(crate) async fn record_for(
    visit: &Visit,
    token: Option<Token>,
    kind: Option<ReportKind>,
) -> Result<(Record, Token), Response> {
    let ctx = &visit.plane.ctx;
    let snapshot = &visit.in_force.snapshot;
    let Some(token) = token else {
        return Err(visit.refuse(StatusCode::NOT_FOUND, Reason::UnknownToken, None));
    };
    let record = match ctx.installs.by_token(snapshot, &token).await {
        Ok(Some(record)) => record,
        Ok(None) => {
            return Err(visit.refuse(StatusCode::NOT_FOUND, Reason::UnknownToken, None));
        }
        Err(error) => return Err(visit.store_trouble(&error)),
    };
    match decide::http::report(&record, snapshot, visit.peer, kind, ctx.now()) {
        Ok(()) => Ok((record, token)),
        Err(reason) => Err(visit.refuse_token(&record, reason)),
    }
}

/// Reads `message` and `percent` from the query, and from a body that is JSON, urlencoded or text.
/// The body wins. Nothing in it is an error: a report counts however it is spelt.
pub fn said(query: Option<&str>, content_type: Option<&str>, body: &[u8]) -> Said {
    let mut said = of_pairs(&route::pairs(query.unwrap_or_default()));
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() {
        return said;
    }
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    let in_body = if content_type.contains("json") || text.starts_with('{') {
        of_json(text)
    } else if content_type.contains("x-www-form-urlencoded") {
        // `curl -d 'no disk'` says urlencoded whatever it sends.
        Some(of_pairs(&route::pairs(text))).filter(|said| *said != Said::default())
    } else {
        None
    };
    let in_body = in_body.unwrap_or_else(|| Said {
        message: message(text),
        percent: None,
    });
    said.message = in_body.message.or(said.message);
    said.percent = in_body.percent.or(said.percent);
    said
}

fn of_pairs(pairs: &[(String, String)]) -> Said {
    let field = |name: &str| {
        pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    Said {
        message: field("message").and_then(message),
        percent: field("percent").and_then(percent),
    }
}

fn of_json(text: &str) -> Option<Said> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let object = value.as_object()?;
    let field = |name: &str| {
        object.get(name).and_then(|value| match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        })
    };
    Some(Said {
        message: field("message").as_deref().and_then(message),
        percent: field("percent").as_deref().and_then(percent),
    })
}

/// One line without control characters.
fn message(text: &str) -> Option<String> {
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
    let line: String = line.chars().take(MAX_MESSAGE).collect();
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

    proptest! {
        #[test]
        fn anything_is_taken_and_bounded(
            query in "\\PC{0,60}",
            content_type in prop_oneof![Just("application/json"), Just("text/plain"), Just("application/x-www-form-urlencoded")],
            body in proptest::collection::vec(any::<u8>(), 0..3_000),
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
