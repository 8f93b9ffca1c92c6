//! Logs of installers, taken in under a token and kept with the attempt ([`crate::serve::logs`]).

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::{Request, StatusCode};

use super::report::record_for;
use super::{Visit, plain};
use crate::base::Token;
use crate::journal::event::{Kind, Reason};
use crate::record::{Input, Record};
use crate::serve::installs;
use crate::serve::logs::{self, LogError, is_name};

/// Takes a log in.
pub(crate) async fn take(
    visit: Visit,
    token: Option<Token>,
    name: String,
    request: Request<Body>,
) -> Response {
    let (record, token) = match record_for(&visit, token, None).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    if !is_name(&name) {
        return visit.refuse(
            StatusCode::BAD_REQUEST,
            Reason::BadName,
            "a log's name begins with a letter or digit and has letters, digits, `-`, `_` and `.`"
                .to_owned(),
        );
    }
    match keep(&visit, &record, &name, request.into_body()).await {
        Ok(()) => {
            sign_of_life(&visit, &record, &token).await;
            plain(StatusCode::OK, "ok\n".to_owned())
        }
        Err(error) => {
            let (status, reason) = match &error {
                LogError::TooLarge | LogError::TooMany(_) | LogError::Full(_) => {
                    (StatusCode::PAYLOAD_TOO_LARGE, Reason::TooLarge)
                }
                LogError::Broken(_) => (StatusCode::BAD_REQUEST, Reason::Incomplete),
                LogError::Slow => (StatusCode::REQUEST_TIMEOUT, Reason::Incomplete),
                LogError::NoRoom(_) | LogError::Disk(..) => {
                    (StatusCode::SERVICE_UNAVAILABLE, Reason::DiskFull)
                }
            };
            visit.refuse(status, reason, error.to_string())
        }
    }
}

/// Keeps a log with the attempt, and tells so.
pub(crate) async fn keep(
    visit: &Visit,
    record: &Record,
    name: &str,
    body: Body,
) -> Result<(), LogError> {
    let (place, bytes) = logs::keep(&visit.plane.logs, record, name, body).await?;
    let mut event = visit
        .event(Kind::ReportLog, Reason::Reported)
        .host(record.host.clone())
        .mac(record.macs.first().copied());
    event.bytes = Some(bytes);
    event.detail = Some(format!("kept as {}", place.display()));
    visit.tell(event);
    Ok(())
}

/// Keeps a log that came along with a report. That it could not be kept is told; the report counts all the
/// same.
pub(crate) async fn keep_along(visit: &Visit, record: &Record, name: &str, log: Bytes) {
    if let Err(error) = keep(visit, record, name, Body::from(log)).await {
        let event = visit
            .event(Kind::ReportIgnored, Reason::DiskFull)
            .host(record.host.clone())
            .mac(record.macs.first().copied())
            .detail(format!("the log {name} was not kept: {error}"));
        visit.tell(event);
    }
}

/// Keeps what a machine tells of itself when it asks for its answers (a POSTed body, as Proxmox's installer
/// sends it) beside the logs of the attempt, as `facts`. What became of it is for the event: a
/// machine gets its answers whether or not its facts can be kept.
pub(crate) async fn keep_facts(visit: &Visit, record: &Record, facts: Bytes) -> Option<String> {
    if facts.is_empty() {
        return None;
    }
    let kept = logs::keep(&visit.plane.logs, record, "facts", Body::from(facts)).await;
    Some(match kept {
        Ok((place, _)) => format!("its facts are kept as {}", place.display()),
        Err(error) => format!("its facts could not be kept: {error}"),
    })
}

/// Takes away what hosts have left that have been gone for long.
pub async fn prune(plane: &super::BootPlane) {
    let in_force = plane.ctx.config();
    let is_host = |name: &str| {
        let name = name.parse();
        name.is_ok_and(|name| in_force.snapshot.host(&name).is_some())
    };
    // What cannot be read now is read at the next start.
    let _ = logs::prune_gone(&plane.logs, is_host, plane.ctx.now()).await;
}

/// An installer that sends its log is not silent. The log is kept whether or not this can be noted.
pub(crate) async fn sign_of_life(visit: &Visit, record: &Record, token: &Token) {
    let input = Input::Asset { kernel: false };
    let _ = visit
        .plane
        .ctx
        .installs
        .apply_under(
            &visit.plane.ctx.config().snapshot,
            token,
            &record.host,
            |_| input.clone(),
            &installs::Context::default(),
        )
        .await;
}
