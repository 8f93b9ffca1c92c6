//! The boot plane: what machines fetch by HTTP (design section 3).
//!
//! **Invariant:** one request is one event, but for `/healthz`, which is polled, and for the pieces of a file, which are
//! counted (an installation's own change is a second one, written where the record is changed). No event and no refusal holds a whole token. HEAD changes nothing.
//! Unknown, void and foreign tokens look alike from outside: 404.

pub mod answer;
pub mod asset;
pub mod exercise;
mod kept;
pub mod logs;
mod mirrored;
mod pieces;
pub mod plane;
pub mod ranges;
pub mod report;
pub mod route;
pub mod said;
pub mod secret;
mod source;
pub mod webhook;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinError;

use self::kept::KeptAnswers;
use self::pieces::Pieces;
use self::route::Route;
use super::companion;
use super::context::Context;
use super::health::Health;
use super::listener::{Connection, Handler, Reply, Turned, Watch};
use super::script::{Configuration, ScriptAsk, Via, chain_script, configuration, serve_script};
use super::transfers::{Begun, By, Listing};
use crate::base::{BootLoader, HardwareAddr};
use crate::config::snapshot::Host;
use crate::decide::http::{Peer, host_of};
use crate::journal::event::{Event, Kind, Reason};
use crate::record::Record;
use crate::render::load::InForce;

/// Largest body of a report or a POSTed answer request, in bytes.
pub const MAX_BODY: usize = 64 << 10;

/// Room for what all bodies under way hold together beyond [`MAX_BODY`] each, in KiB: logs that come along
/// with reports, of as many machines as like to send them, never take the memory.
const LARGE_BODIES: usize = 128 << 10;
static LARGE: Semaphore = Semaphore::const_new(LARGE_BODIES);

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

/// The boot plane as it answers requests; cheap to clone.
#[derive(Clone)]
pub struct Front {
    plane: Arc<BootPlane>,
    answers: Arc<KeptAnswers>,
    pieces: Arc<Pieces>,
}

impl Front {
    /// Of this boot plane.
    pub fn new(plane: BootPlane) -> Self {
        Self {
            plane: Arc::new(plane),
            answers: Arc::default(),
            pieces: Arc::default(),
        }
    }

    /// Forgets answers that nobody has asked for lately, and tells of files that were read in pieces. To be called
    /// now and then.
    pub fn tidy(&self) {
        let now = self.plane.ctx.now();
        self.answers.tidy(now);
        self.tell(self.pieces.due(now));
    }

    /// Tells what is left to be told, when nothing more is served.
    pub fn end(&self) {
        self.tell(self.pieces.rest(self.plane.ctx.now()));
    }

    fn tell(&self, events: Vec<Event>) {
        for event in events {
            self.plane.ctx.journal.append(event);
        }
    }
}

/// The boot plane as a service. Every request needs a [`Connection`] among its extensions.
pub fn router(plane: BootPlane) -> Router {
    routed(Front::new(plane))
}

/// The same, with what it has kept of earlier requests.
pub fn routed(front: Front) -> Router {
    let dispatched = |State(front): State<Front>, request: Request<Body>| async move {
        match request.extensions().get::<Connection>().copied() {
            Some(connection) => match front.answers.again(&front.plane.ctx, connection, &request) {
                Some(text) => text.response(),
                None => dispatch(front, connection, None, request).await,
            },
            None => refusal(StatusCode::NOT_FOUND),
        }
    };
    Router::new().fallback(dispatched).with_state(front)
}

impl Handler for Front {
    fn at_once(
        &self,
        request: &Request<Incoming>,
        connection: Connection,
    ) -> Option<hyper::Response<Reply>> {
        let text = self.answers.again(&self.plane.ctx, connection, request)?;
        Some(text.reply())
    }

    async fn handle(
        self,
        request: Request<Incoming>,
        connection: Connection,
        watch: Watch,
    ) -> Response {
        let request = request.map(Body::new);
        // Boxed: each request moves what this holds, and that is a lot.
        Box::pin(dispatch(self, connection, Some(watch), request)).await
    }

    fn knows(&self, peer: Ipv4Addr) -> bool {
        let ctx = &self.plane.ctx;
        let in_force = ctx.config();
        let snapshot = &in_force.snapshot;
        snapshot
            .subnets
            .iter()
            .any(|subnet| subnet.nat.contains(&peer))
            || host_of(snapshot, ctx.peer(snapshot, peer)).is_some()
    }

    fn turned_away(&self, connection: Connection, why: Turned) {
        let ctx = &self.plane.ctx;
        let reason = match why {
            Turned::Full => Reason::Overload,
            Turned::Malformed(_) => Reason::BadRequest,
        };
        let in_force = ctx.config();
        let mut event = Event::new(ctx.now(), Kind::HttpRefused, reason)
            .ip(*connection.peer.ip())
            .detail(format!("{why}, to {}", connection.local));
        let who = ctx.peer(&in_force.snapshot, *connection.peer.ip());
        if let Some(host) = host_of(&in_force.snapshot, who) {
            event = event
                .host(host.name.clone())
                .mac(who.mac.or_else(|| host.mac()));
        }
        event.generation = in_force.snapshot.generation;
        ctx.journal.append(event);
    }
}

/// One request under way: who asks for what, and the configuration it is answered from.
pub(crate) struct Visit {
    pub(crate) plane: Arc<BootPlane>,
    pub(crate) answers: Arc<KeptAnswers>,
    pub(crate) pieces: Arc<Pieces>,
    /// `None`: there is no connection beneath.
    pub(crate) watch: Option<Watch>,
    pub(crate) in_force: Arc<InForce>,
    pub(crate) peer: Ipv4Addr,
    /// The same with its port.
    pub(crate) from: SocketAddrV4,
    /// Who that is.
    pub(crate) who: Peer,
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
            event = event
                .host(host.name.clone())
                .mac(self.who.mac.or_else(|| host.mac()));
        }
        event.iface = ctx.links.owner_of(self.local).map(|link| link.name);
        event.generation = self.in_force.snapshot.generation;
        event.took_us = Some(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX));
        event
    }

    /// The host that asks.
    pub(crate) fn peer_host(&self) -> Option<&Arc<Host>> {
        host_of(&self.in_force.snapshot, self.who)
    }

    /// Lists a file that is on its way to whoever asks; `count` tells how much of it has left.
    pub(crate) fn listed(
        &self,
        size: Option<u64>,
        count: Option<Box<dyn Fn() -> u64 + Send + Sync>>,
    ) -> Listing {
        let ctx = &self.plane.ctx;
        let host = self.peer_host();
        let begun = Begun {
            by: By::Http,
            peer: self.from.into(),
            host: host.map(|host| host.name.clone()),
            mac: self.who.mac.or_else(|| host.and_then(|host| host.mac())),
            file: self.shown.clone(),
            size,
            since: ctx.now(),
        };
        match count {
            Some(count) => ctx.memory.transfers().begin_counted(begun, count),
            None => ctx.memory.transfers().begin(begun),
        }
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

    /// Refuses a body whose reader has failed. Its own text would be that of a panic, whatever that quotes.
    pub(crate) fn unread(&self) -> Response {
        let detail = "its reader has failed".to_owned();
        self.refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            Reason::TaskFailed,
            detail,
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
            BodyError::Busy => self.refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                Reason::Overload,
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

async fn dispatch(
    front: Front,
    connection: Connection,
    watch: Option<Watch>,
    request: Request<Body>,
) -> Response {
    let Front {
        plane,
        answers,
        pieces,
    } = front;
    let started = Instant::now();
    let in_force = plane.ctx.config();
    let peer = *connection.peer.ip();
    let visit = Visit {
        who: plane.ctx.who(&in_force.snapshot, peer).await,
        in_force,
        peer,
        from: connection.peer,
        local: connection.local,
        shown: route::shown(request.uri().path()),
        started,
        plane,
        answers,
        pieces,
        watch,
    };
    if let Some(watch) = &visit.watch
        && visit.peer_host().is_some()
    {
        watch.note_known();
    }
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
                uuid: identity.uuid,
                serial: identity.serial,
                identified: identity.told,
                waiting: identity.waiting,
                ..ask(&visit, mac, BootLoader::Ipxe, request.method())
            };
            machine_script(&visit, ask).await
        }
        Route::Config(name, path) => {
            let snapshot = &visit.in_force.snapshot;
            let (ctx, head) = (&visit.plane.ctx, request.method() == Method::HEAD);
            match configuration(ctx, snapshot, visit.who, &name, path.as_deref(), Via::Http) {
                Configuration::Machine(mac, uuid) => {
                    let ask = ScriptAsk {
                        uuid,
                        ..ask(&visit, mac, name.loader, request.method())
                    };
                    machine_script(&visit, ask).await
                }
                Configuration::Stranger(text) => {
                    told_script(&visit, Reason::UnknownHost, text, head)
                }
                Configuration::File => match path {
                    Some(path) => {
                        let (head, _body) = request.into_parts();
                        asset::serve(visit, &path, &head.method, &head.headers).await
                    }
                    None => visit.refuse(StatusCode::NOT_FOUND, Reason::NotFound, None),
                },
            }
        }
        Route::Asset(path) => {
            let path = companion::place(&visit.plane.ctx, visit.peer_host(), path).await;
            let (head, _body) = request.into_parts();
            if let Some(wanted) = mirrored::wanted(&visit, &path) {
                return mirrored::serve(visit, wanted, &head.method, &head.headers).await;
            }
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

/// The request for a machine's script, in the language of this loader.
fn ask(visit: &Visit, mac: HardwareAddr, loader: BootLoader, method: &Method) -> ScriptAsk {
    ScriptAsk {
        mac,
        loader,
        peer: visit.peer,
        local: visit.local,
        uuid: None,
        serial: None,
        identified: false,
        waiting: false,
        via: Via::Http,
        file: visit.shown.clone(),
        preview: method == Method::HEAD,
    }
}

/// A machine's own script. In a task of its own: a client that hangs up while the record is being written
/// must not leave the event unwritten.
async fn machine_script(visit: &Visit, ask: ScriptAsk) -> Response {
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

fn chain(visit: &Visit, head: bool) -> Response {
    let text = chain_script(&visit.plane.ctx, visit.peer, visit.local);
    told_script(visit, Reason::ChainScript, text, head)
}

/// A script that is nobody's own, and its event.
fn told_script(visit: &Visit, reason: Reason, text: String, head: bool) -> Response {
    let mut event = visit.event(Kind::HttpScript, reason);
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
    /// Other large ones are under way.
    #[error("there is no room for a further large body at present")]
    Busy,
}

/// A body that was read, with the room that it takes.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    _room: Option<SemaphorePermit<'static>>,
}

impl Whole {
    /// Reads it by `reader`: off the workers of the runtime, which answer DHCP as well, when it is large.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        reader: impl FnOnce(&[u8]) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        if self.bytes.len() <= MAX_BODY {
            return Ok(reader(&self.bytes));
        }
        let bytes = self.bytes.clone();
        tokio::task::spawn_blocking(move || reader(&bytes)).await
    }
}

/// Reads a body of at most `max` bytes, for at most [`BODY_TIME`].
pub(crate) async fn read_body(body: &mut Body, max: usize) -> Result<Whole, BodyError> {
    read_within(BODY_TIME, body, max).await
}

/// Takes the rest of a body and throws it away, for at most [`BODY_TIME`]. wget reads no answer before it
/// has sent everything: one that is cut off holds its report for lost.
pub(crate) async fn drain(body: &mut Body) {
    let rest = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(BODY_TIME, rest).await;
}

async fn read_within(time: Duration, body: &mut Body, max: usize) -> Result<Whole, BodyError> {
    tokio::time::timeout(time, collect(&LARGE, body, max))
        .await
        .unwrap_or(Err(BodyError::Slow))
}

async fn collect(
    large: &'static Semaphore,
    body: &mut Body,
    max: usize,
) -> Result<Whole, BodyError> {
    let mut bytes = BytesMut::new();
    let mut room: Option<SemaphorePermit<'static>> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.len() > max.saturating_sub(bytes.len()) {
            return Err(BodyError::TooLarge(max));
        }
        bytes.extend_from_slice(&data);
        let wanted = bytes.len().saturating_sub(MAX_BODY).div_ceil(1 << 10);
        let held = room.as_ref().map_or(0, SemaphorePermit::num_permits);
        if wanted > held {
            let more = u32::try_from(wanted - held).unwrap_or(u32::MAX);
            let more = large.try_acquire_many(more).map_err(|_| BodyError::Busy)?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
        }
    }
    Ok(Whole {
        bytes: bytes.freeze(),
        _room: room,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::logs::MAX_LOG;

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let pending = futures_util::stream::pending::<Result<Bytes, BodyError>>();
        let read = read_within(
            Duration::from_millis(1),
            &mut Body::from_stream(pending),
            10,
        )
        .await;
        assert!(matches!(read, Err(BodyError::Slow)));
        assert!(matches!(
            read_body(&mut Body::from("12345678901"), 10).await,
            Err(BodyError::TooLarge(10))
        ));
        let read = read_body(&mut Body::from("1234567890"), 10).await.unwrap();
        assert_eq!(read.bytes.len(), 10);
    }

    #[tokio::test]
    async fn large_bodies_share_a_bound_and_small_ones_need_none() {
        static ROOM: Semaphore = Semaphore::const_new(100);
        let body = async |size: usize| {
            let chunks = vec![b'x'; size];
            let chunks: Vec<Bytes> = chunks.chunks(4_000).map(Bytes::copy_from_slice).collect();
            let chunks = chunks.into_iter().map(Ok::<_, BodyError>);
            let mut body = Body::from_stream(futures_util::stream::iter(chunks));
            collect(&ROOM, &mut body, MAX_LOG).await
        };
        let one = body(MAX_BODY + (60 << 10)).await.unwrap();
        assert_eq!(ROOM.available_permits(), 40);
        assert!(matches!(
            body(MAX_BODY + (41 << 10)).await,
            Err(BodyError::Busy)
        ));
        let small = body(MAX_BODY).await.unwrap();
        assert_eq!(
            (small.bytes.len(), ROOM.available_permits()),
            (MAX_BODY, 40)
        );
        drop(one);
        assert!(body(MAX_BODY + (100 << 10)).await.is_ok());
        assert_eq!(ROOM.available_permits(), 100);
    }
}
