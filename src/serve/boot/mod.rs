//! The boot plane: what machines fetch by HTTP (design section 3).
//!
//! **Invariant:** one request is one event, but for `/healthz`, which is polled (an installation's own
//! change is a second one, written where the record is changed). No event and no refusal holds a whole token. HEAD changes nothing.
//! Unknown, void and foreign tokens look alike from outside: 404.

pub mod answer;
pub mod asset;
pub mod exercise;
pub mod logs;
pub mod plane;
pub mod ranges;
pub mod report;
pub mod route;
pub mod said;
pub mod secret;
pub mod webhook;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};

use self::route::Route;
use super::context::Context;
use super::health::Health;
use super::listener::Connection;
use super::script::{ScriptAsk, Via, chain_script, serve_script};
use crate::config::snapshot::Host;
use crate::journal::event::{Event, Kind, Reason};
use crate::record::Record;
use crate::render::load::InForce;

/// Largest body of a report or a POSTed answer request, in bytes.
pub const MAX_BODY: usize = 64 << 10;

/// How long the body of a report may take to come.
const BODY_TIME: Duration = Duration::from_secs(30);

/// What the boot plane stands on; cheap to clone.
#[derive(Clone)]
pub struct BootPlane {
    /// What every service holds.
    pub ctx: Context,
    /// What is well.
    pub health: Health,
    /// Where logs of installers are kept.
    pub logs: PathBuf,
}

/// The boot plane as a service. Every request needs a [`Connection`] among its extensions.
pub fn router(plane: BootPlane) -> Router {
    Router::new().fallback(dispatch).with_state(plane)
}

/// One request under way: who asks for what, and the configuration it is answered from.
pub(crate) struct Visit {
    pub(crate) plane: BootPlane,
    pub(crate) in_force: Arc<InForce>,
    pub(crate) peer: Ipv4Addr,
    pub(crate) local: Ipv4Addr,
    /// The path as the journal may show it.
    pub(crate) shown: String,
    started: Instant,
}

impl Visit {
    /// An event of this request, with everything that every one has.
    pub(crate) fn event(&self, kind: Kind, reason: Reason) -> Event {
        let ctx = &self.plane.ctx;
        let mut event = Event::new(ctx.now(), kind, reason)
            .ip(self.peer)
            .file(self.shown.clone());
        if let Some(host) = self.peer_host() {
            event = event.host(host.name.clone()).mac(host.mac());
        }
        event.iface = ctx.links.owner_of(self.local).map(|link| link.name);
        event.generation = self.in_force.snapshot.generation;
        event.took_us = Some(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX));
        event
    }

    /// The host whose address asks.
    pub(crate) fn peer_host(&self) -> Option<&Arc<Host>> {
        self.in_force.snapshot.host_by_ip(self.peer)
    }

    /// Writes the event of this request.
    pub(crate) fn tell(&self, event: Event) {
        self.plane.ctx.journal.append(event);
    }

    /// Refuses, with the true reason in the journal only.
    pub(crate) fn refuse(
        &self,
        status: StatusCode,
        reason: Reason,
        detail: impl Into<Option<String>>,
    ) -> Response {
        let mut event = self.event(Kind::HttpRefused, reason);
        event.detail = detail.into();
        self.tell(event);
        refusal(status)
    }

    /// Refuses what is this record's: whoever asks why its host does not boot has to find it.
    pub(crate) fn refuse_token(&self, record: &Record, reason: Reason) -> Response {
        let mac = self
            .in_force
            .snapshot
            .host(&record.host)
            .and_then(|host| host.mac());
        let event = self
            .event(Kind::HttpRefused, reason)
            .host(record.host.clone())
            .mac(mac)
            .detail(format!(
                "{} asked; the token is of {}, which is {}",
                self.peer, record.host, record.state
            ));
        self.tell(event);
        refusal(StatusCode::NOT_FOUND)
    }

    /// Refuses because a record could not be read or written: a machine tries again.
    pub(crate) fn store_trouble(&self, error: &dyn std::fmt::Display) -> Response {
        self.refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            Reason::StoreUnavailable,
            error.to_string(),
        )
    }

    /// Refuses a body.
    pub(crate) fn bad_body(&self, error: &BodyError) -> Response {
        match error {
            BodyError::TooLarge(_) => self.refuse(
                StatusCode::PAYLOAD_TOO_LARGE,
                Reason::TooLarge,
                error.to_string(),
            ),
            BodyError::Slow => self.refuse(
                StatusCode::REQUEST_TIMEOUT,
                Reason::Incomplete,
                error.to_string(),
            ),
            BodyError::Broken(_) => self.refuse(
                StatusCode::BAD_REQUEST,
                Reason::Incomplete,
                error.to_string(),
            ),
        }
    }
}

async fn dispatch(State(plane): State<BootPlane>, request: Request<Body>) -> Response {
    let Some(connection) = request.extensions().get::<Connection>().copied() else {
        return refusal(StatusCode::NOT_FOUND);
    };
    let in_force = plane.ctx.config();
    let visit = Visit {
        in_force,
        peer: *connection.peer.ip(),
        local: connection.local,
        shown: route::shown(request.uri().path()),
        started: Instant::now(),
        plane,
    };
    let route = Route::of(request.uri().path());
    let methods = route.methods();
    if !methods.contains(request.method()) && route != Route::NotFound {
        let mut response = visit.refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            Reason::BadRequest,
            format!("{} is not for this URL", request.method()),
        );
        let allow = methods
            .iter()
            .map(Method::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        if let Ok(allow) = HeaderValue::try_from(allow) {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        return response;
    }
    match route {
        Route::Chain => chain(&visit, request.method() == Method::HEAD),
        Route::Script(mac) => {
            let identity = route::identity(request.uri().query());
            let ask = ScriptAsk {
                mac,
                peer: visit.peer,
                local: visit.local,
                uuid: identity.uuid,
                serial: identity.serial,
                identified: identity.told,
                via: Via::Http,
                file: visit.shown.clone(),
                preview: request.method() == Method::HEAD,
            };
            // In a task of its own: a client that hangs up while the record is being written must
            // not leave the event unwritten.
            let ctx = visit.plane.ctx.clone();
            match tokio::spawn(async move { serve_script(&ctx, ask).await }).await {
                Ok(answer) => script(answer.text),
                Err(error) => visit.refuse(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    Reason::TaskFailed,
                    error.to_string(),
                ),
            }
        }
        Route::Asset(path) => {
            let (head, _body) = request.into_parts();
            asset::serve(visit, &path, &head.method, &head.headers).await
        }
        Route::Answer { token, name } => whole(answer::serve(visit, token, name, request)).await,
        Route::Secret { token, name } => {
            let head = request.method() == Method::HEAD;
            whole(secret::serve(visit, token, name, head)).await
        }
        Route::Report { token, kind } => whole(report::take(visit, token, kind, request)).await,
        Route::Webhook { token } => whole(webhook::take(visit, token, request)).await,
        Route::Unattended(kind) => {
            let token = route::token_of(request.uri().query());
            whole(report::take(visit, token, kind, request)).await
        }
        Route::Log { token, name } => whole(logs::take(visit, token, name, request)).await,
        Route::Health => {
            let health = &visit.plane.health;
            let status = if health.is_open() {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            plain(status, health.text())
        }
        Route::NoAnswer => visit.refuse(StatusCode::NOT_FOUND, Reason::UnknownAnswer, None),
        Route::NotFound => visit.refuse(StatusCode::NOT_FOUND, Reason::NotFound, None),
    }
}

/// Runs a request that changes a record to its end, also when the client hangs up meanwhile.
async fn whole(work: impl Future<Output = Response> + Send + 'static) -> Response {
    tokio::spawn(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request ended unexpectedly");
        refusal(StatusCode::INTERNAL_SERVER_ERROR)
    })
}

fn chain(visit: &Visit, head: bool) -> Response {
    let text = chain_script(&visit.plane.ctx, visit.peer, visit.local);
    let mut event = visit.event(Kind::HttpScript, Reason::ChainScript);
    if head {
        event.detail = Some("HEAD: nothing was sent".to_owned());
    }
    event.bytes = Some(u64::try_from(if head { 0 } else { text.len() }).unwrap_or(u64::MAX));
    visit.tell(event);
    script(text)
}

fn script(text: String) -> Response {
    let mut response = plain(StatusCode::OK, text);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A short text.
pub(crate) fn plain(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// A refusal that tells nothing but its status.
fn refusal(status: StatusCode) -> Response {
    let text = status.canonical_reason().unwrap_or("refused");
    let mut response = plain(status, format!("{}\n", text.to_lowercase()));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is larger than allowed.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection ended before its end.
    #[error("the body ended early: {0}")]
    Broken(String),
    /// It came too slowly.
    #[error("the body did not come in time")]
    Slow,
}

/// Reads a body of at most `max` bytes, for at most [`BODY_TIME`].
pub(crate) async fn read_body(body: Body, max: usize) -> Result<Bytes, BodyError> {
    read_within(BODY_TIME, body, max).await
}

async fn read_within(time: Duration, body: Body, max: usize) -> Result<Bytes, BodyError> {
    let whole = http_body_util::Limited::new(body, max).collect();
    match tokio::time::timeout(time, whole).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(BodyError::TooLarge(max))
        }
        Ok(Err(error)) => Err(BodyError::Broken(error.to_string())),
        Err(_) => Err(BodyError::Slow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, BodyError>>());
        let read = read_within(Duration::from_millis(1), body, 10).await;
        assert!(matches!(read, Err(BodyError::Slow)));
        assert!(matches!(
            read_body(Body::from("12345678901"), 10).await,
            Err(BodyError::TooLarge(10))
        ));
        assert_eq!(
            read_body(Body::from("1234567890"), 10).await.unwrap().len(),
            10
        );
    }
}
