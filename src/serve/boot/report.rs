//! What installers and started systems report under their token, read by [`super::said`].

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};

use super::logs::keep_along;
use super::said::said;
use super::{BodyError, MAX_BODY, Visit, Whole, drain, plain, read_body};
use crate::base::Token;
use crate::decide;
use crate::journal::event::{Kind, Reason};
use crate::record::{Input, Record, ReportKind};
use crate::serve::installs::{Applied, ApplyError, Context as Change};
use crate::serve::logs::MAX_LOG;

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
    // What ends an installation counts, however large the log is that comes along.
    let ends = matches!(kind, ReportKind::Installed | ReportKind::Failed);
    let limit = if ends { MAX_LOG } else { MAX_BODY };
    let mut coming = request.into_body();
    let (body, dropped) = match read_body(&mut coming, limit).await {
        Ok(body) => (body, None),
        Err(BodyError::TooLarge(_)) if ends => (Whole::default(), Some("a log of more than 8 MiB")),
        Err(BodyError::Busy) if ends => (Whole::default(), Some("its log, one of many at once,")),
        Err(error) => return visit.bad_body(&error),
    };
    let read = body.read(move |body| said(query.as_deref(), content_type.as_deref(), body));
    let Ok(mut said) = read.await else {
        return visit.unread();
    };
    if let Some(what) = dropped {
        let text = said.message.unwrap_or_else(|| "it sent a log".to_owned());
        said.message = Some(format!("{text} ({what} was not kept)"));
    }
    let log = said.log.take();
    let input = Input::Report {
        kind,
        message: said.message,
        percent: said.percent,
    };
    let record = match apply(&visit, &token, &record, |_| input.clone()).await {
        Ok(record) => record,
        Err(response) => return response,
    };
    if let Some(log) = log {
        keep_along(&visit, &record, log_of(kind), log).await;
    }
    if dropped.is_some() {
        drain(&mut coming).await;
    }
    plain(StatusCode::OK, "ok\n".to_owned())
}

/// The name under which the log is kept that came with a report.
const fn log_of(kind: ReportKind) -> &'static str {
    match kind {
        ReportKind::Started => "started.log",
        ReportKind::Progress => "progress.log",
        ReportKind::Installed => "installed.log",
        ReportKind::Failed => "failed.log",
        ReportKind::Up => "up.log",
    }
}

/// Applies what came under a token. One that changes nothing is told and is `ok` all the same: installers
/// repeat themselves.
pub(crate) async fn apply(
    visit: &Visit,
    token: &Token,
    record: &Record,
    input: impl Fn(&Record) -> Input + Sync,
) -> Result<Arc<Record>, Response> {
    // A body may have taken its time: what waits for this is judged by what is in force now.
    let in_force = visit.plane.ctx.config();
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
        because: None,
    };
    let said = |record: &Record| match input(record) {
        Input::Report { message, .. } => message,
        _ => None,
    };
    let installs = &visit.plane.ctx.installs;
    let (record, reason, detail) = match installs
        .apply_under(snapshot, token, &record.host, &input, &change)
        .await
    {
        Ok(Applied::Changed(record)) => return Ok(record),
        // Armed anew, or taken back, since the token was looked up.
        Ok(Applied::Same(_, Reason::VoidToken)) => {
            return Err(visit.refuse(StatusCode::NOT_FOUND, Reason::VoidToken, None));
        }
        Ok(Applied::Same(record, reason)) => {
            let detail = said(&record);
            (record, reason, detail)
        }
        Err(ApplyError::Refused(refusal)) => {
            let record = Arc::new(record.clone());
            (record, Reason::NoChange, Some(refusal.to_string()))
        }
        Err(ApplyError::Store(error)) => return Err(visit.store_trouble(&error)),
    };
    let mut event = visit
        .event(Kind::ReportIgnored, reason)
        .host(record.host.clone())
        .mac(mac);
    event.detail = detail;
    visit.tell(event);
    Ok(record)
}

/// The record whose token it is, and the token, when this peer may report under it now.
pub(crate) async fn record_for(
    visit: &Visit,
    token: Option<Token>,
    kind: Option<ReportKind>,
) -> Result<(Arc<Record>, Token), Response> {
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
    match decide::http::report(&record, snapshot, visit.who, kind, ctx.now()) {
        Ok(()) => Ok((record, token)),
        Err(reason) => Err(visit.refuse_token(&record, reason)),
    }
}
