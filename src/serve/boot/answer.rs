//! An answer file, for the machine that is being installed, under its token, and for nobody else.
//!
//! Order: token → record → may this peer have it → render → record the step, on disk → send. A
//! template that fails leaves the record as it was.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::{Method, Request, StatusCode};
use tokio::task::JoinError;

use super::kept::{From, Given, Text};
use super::{MAX_BODY, Visit, logs, plain, read_body};
use crate::base::Token;
use crate::config::snapshot::{Host, Profile};
use crate::decide;
use crate::decide::plan::architecture;
use crate::journal::event::{Kind, Reason};
use crate::record::{Input, InstallState};
use crate::render::load::InForce;
use crate::render::{RenderError, View};
use crate::serve::installs::{Applied, ApplyError, Context as Change};
use crate::serve::script::server_for;

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
    let method = request.method().clone();
    let head = method == Method::HEAD;
    let path = request.uri().path().to_owned();
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
    let facts = if method == Method::POST {
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
    let seen = ctx.architecture_seen(&host);
    let server = server_for(snapshot, &host, visit.peer, visit.local);
    let from = From {
        in_force: Arc::downgrade(&in_force),
        host: host.name.clone(),
        profile: profile.name.clone(),
        server,
        arch: architecture(&host, Some(&profile), seen),
    };

    let rendered = match visit.answers.rendered(&path, &from) {
        Some(text) => Ok(Some(Ok(text))),
        None => render(&in_force, &from, &host, profile, &token, &name).await,
    };
    let text = match rendered {
        Ok(Some(Ok(text))) => text,
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
        u64::try_from(text.bytes.len()).unwrap_or(u64::MAX)
    });
    event.detail = if head {
        Some("HEAD: nothing was sent and nothing is changed".to_owned())
    } else {
        kept
    };
    visit.tell(event);
    if method == Method::GET {
        let given = given(&visit, &token, &host).await;
        let now = ctx.now();
        visit.answers.keep(&path, from, text.clone(), given, now);
    }
    text.response()
}

/// Renders off the workers of the runtime: hashing a password takes its time.
async fn render(
    in_force: &Arc<InForce>,
    from: &From,
    host: &Arc<Host>,
    profile: Arc<Profile>,
    token: &Token,
    name: &str,
) -> Result<Option<Result<Text, RenderError>>, JoinError> {
    let (in_force, host) = (Arc::clone(in_force), Arc::clone(host));
    let (server, arch) = (from.server, from.arch);
    let (token, name) = (token.clone(), name.to_owned());
    tokio::task::spawn_blocking(move || {
        let view = View {
            snapshot: &in_force.snapshot,
            host: &host,
            profile: &profile,
            arch,
            server,
            token: Some(&token),
        };
        let answer = in_force.renderer.answer_for_machine(&view, &name)?;
        Some(answer.map(|answer| {
            Text {
                content_type: HeaderValue::try_from(answer.content_type)
                    .unwrap_or(HeaderValue::from_static("text/plain; charset=utf-8")),
                bytes: answer.text.into(),
            }
        }))
    })
    .await
}

/// Under what the machine was given its answer; `None`: it would not be given it again. The record is read
/// anew together with its version: it may have changed since.
async fn given(visit: &Visit, token: &Token, host: &Host) -> Option<Given> {
    let ctx = &visit.plane.ctx;
    let stored = ctx.installs.stored(&host.name).await?;
    let record = &stored.value;
    if record.token.as_ref() != Some(token) || record.state != InstallState::Installing {
        return None;
    }
    decide::http::answer(record, &visit.in_force.snapshot, visit.who).ok()?;
    Some(Given {
        who: visit.who,
        peer: visit.peer,
        local: visit.local,
        mac: host.mac()?,
        version: stored.version,
        at: ctx.now(),
        shown: visit.shown.clone(),
    })
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
