//! An answer file, for the machine that is being installed, under its token, and for nobody else.
//!
//! Order: token → record → may this peer have it → render → record the step, on disk → send. A
//! template that fails leaves the record as it was.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};

use super::{MAX_BODY, Visit, logs, plain, read_body};
use crate::base::Token;
use crate::decide;
use crate::decide::plan::architecture;
use crate::journal::event::{Kind, Reason};
use crate::record::Input;
use crate::render::View;
use crate::serve::installs::{Applied, ApplyError, Context as Change};

/// Serves one answer file.
pub(crate) async fn serve(
    visit: Visit,
    token: Option<Token>,
    name: String,
    request: Request<Body>,
) -> Response {
    let ctx = visit.plane.ctx.clone();
    let in_force = visit.in_force.clone();
    let snapshot = &in_force.snapshot;
    let head = request.method() == Method::HEAD;
    let Some(token) = token else {
        return visit.refuse(StatusCode::NOT_FOUND, Reason::UnknownToken, None);
    };
    let record = match ctx.installs.by_token(snapshot, &token).await {
        Ok(Some(record)) => record,
        Ok(None) => return visit.refuse(StatusCode::NOT_FOUND, Reason::UnknownToken, None),
        Err(error) => return visit.store_trouble(&error),
    };
    let host = match decide::http::answer(&record, snapshot, visit.who) {
        Ok(host) => host,
        Err(reason) => return visit.refuse_token(&record, reason),
    };
    // Only now: nobody without the token makes this server wait for a body.
    let facts = if request.method() == Method::POST {
        match read_body(&mut request.into_body(), MAX_BODY).await {
            Ok(body) => body.bytes,
            Err(error) => return visit.bad_body(&error),
        }
    } else {
        Bytes::new()
    };
    let Some(profile) = record
        .profile
        .as_ref()
        .and_then(|name| snapshot.profile(name))
        .cloned()
    else {
        return visit.refuse(
            StatusCode::NOT_FOUND,
            Reason::DiskProfileGone,
            format!("the profile that {} was armed with is gone", host.name),
        );
    };
    let seen = host
        .macs
        .iter()
        .find_map(|mac| ctx.memory.get(*mac)?.architecture);
    let server = snapshot
        .subnet_of(&host)
        .and_then(|subnet| subnet.server)
        .unwrap_or(visit.local);

    // Off the workers of the runtime: hashing a password takes its time.
    let rendered = tokio::task::spawn_blocking({
        let (in_force, host, token, name) =
            (in_force.clone(), host.clone(), token.clone(), name.clone());
        move || {
            let view = View {
                snapshot: &in_force.snapshot,
                host: &host,
                profile: &profile,
                arch: architecture(&host, Some(&profile), seen),
                server,
                token: Some(&token),
            };
            in_force.renderer.answer_for_machine(&view, &name)
        }
    })
    .await;
    let answer = match rendered {
        Ok(Some(Ok(answer))) => answer,
        Ok(None) => {
            return visit.refuse(
                StatusCode::NOT_FOUND,
                Reason::UnknownAnswer,
                format!("{}'s profile has no answer file {name:?}", host.name),
            );
        }
        Ok(Some(Err(error))) => {
            let reason = if error.code == "secret-missing" {
                Reason::NoSecret
            } else {
                Reason::RenderFailed
            };
            return failed(&visit, reason, &error.to_string());
        }
        // Its own text would be that of a panic, whatever that quotes.
        Err(_) => return failed(&visit, Reason::TaskFailed, "its task has failed"),
    };

    let mut kept = None;
    if !head {
        let change = Change {
            mac: host.mac(),
            ip: Some(visit.peer),
            generation: snapshot.generation,
            file: Some(visit.shown.clone()),
            because: None,
        };
        match ctx
            .installs
            .apply_under(snapshot, &token, &record.host, |_| Input::Answer, &change)
            .await
        {
            // Somebody may have cancelled or armed anew since the token was looked up.
            Ok(applied) if still_good(&applied, &token) => {
                kept = logs::keep_facts(&visit, applied.record(), facts).await;
            }
            Ok(_) | Err(ApplyError::Refused(_)) => {
                return visit.refuse(StatusCode::NOT_FOUND, Reason::VoidToken, None);
            }
            Err(ApplyError::Store(error)) => return visit.store_trouble(&error),
        }
    }
    let mut event = visit
        .event(Kind::HttpAnswer, Reason::Done)
        .host(host.name.clone())
        .mac(host.mac());
    event.bytes = Some(if head {
        0
    } else {
        u64::try_from(answer.text.len()).unwrap_or(u64::MAX)
    });
    event.detail = if head {
        Some("HEAD: nothing was sent and nothing is changed".to_owned())
    } else {
        kept
    };
    visit.tell(event);

    let mut response = Response::new(Body::from(answer.text));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::try_from(answer.content_type)
            .unwrap_or(HeaderValue::from_static("text/plain; charset=utf-8")),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn still_good(applied: &Applied, token: &Token) -> bool {
    let record = applied.record();
    record.state.boots_installer() && record.token.as_ref() == Some(token)
}

/// 500 with one line that an installer prints.
fn failed(visit: &Visit, reason: Reason, error: &str) -> Response {
    let line: String = error
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect();
    visit.refuse(StatusCode::INTERNAL_SERVER_ERROR, reason, line.clone());
    plain(
        StatusCode::INTERNAL_SERVER_ERROR,
        format!("the answer file could not be rendered: {line}\n"),
    )
}
