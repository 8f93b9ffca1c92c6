//! Boot files by HTTP: validators, ranges, memory or a bounded stream, and an event when it has ended.
//!
//! **Invariant:** a reply has the length it announced and the bytes of one version of the file, or its
//! connection is cut. One transfer is one `http.asset` event, written when the system has taken the last byte or the
//! connection has ended; further pieces of one file are counted ([`super::pieces`]).

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::SystemTime;

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};

use super::ranges::{Selection, Validators, select};
use super::source::Source;
use super::{Visit, refusal};
use crate::journal::event::{Kind, Reason};
use crate::serve::assets::{Asset, AssetError};
use crate::serve::file_cache::Trouble;
use crate::serve::listener::{Sent, Watch};
use crate::serve::pulse::Pulse;
use crate::serve::transfers::Listing;

/// After so many bytes others have their turn: a client on a fast link takes them as fast as they are given.
const TURN: u64 = 1 << 20;

/// Serves one boot file.
pub(crate) async fn serve(
    visit: Visit,
    path: &str,
    method: &Method,
    asked: &HeaderMap,
) -> Response {
    let asset = match open(&visit, path).await {
        Ok(asset) => asset,
        Err(error) => {
            let reason = error.reason();
            let status = if reason == Reason::ReadFailed {
                StatusCode::INTERNAL_SERVER_ERROR
            } else {
                StatusCode::NOT_FOUND
            };
            return visit.refuse(status, reason, error.detail());
        }
    };
    let modified = asset.modified.unwrap_or(SystemTime::UNIX_EPOCH);
    let selection = select(
        asked,
        Validators {
            len: asset.len,
            etag: &asset.etag,
            modified,
        },
    );
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        headers.insert(header::ETAG, etag);
    }
    if let Some(modified) = asset.modified
        && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(modified))
    {
        headers.insert(header::LAST_MODIFIED, date);
    }
    let content_type = content_type(path);
    let (status, content) = match selection {
        Selection::Whole => (StatusCode::OK, Content::of(0, asset.len)),
        Selection::Part { start, end } => {
            insert(
                &mut headers,
                header::CONTENT_RANGE,
                &format_args!("bytes {start}-{}/{}", end - 1, asset.len),
            );
            (StatusCode::PARTIAL_CONTENT, Content::of(start, end))
        }
        Selection::Parts(parts) => {
            let content = Content::of_parts(&parts, content_type, asset.len);
            (StatusCode::PARTIAL_CONTENT, content)
        }
        Selection::NotModified => {
            return bodiless(&visit, StatusCode::NOT_MODIFIED, headers, "not modified");
        }
        Selection::PreconditionFailed => {
            let response = visit.refuse(
                StatusCode::PRECONDITION_FAILED,
                Reason::BadRequest,
                "the condition of the request does not hold".to_owned(),
            );
            return response;
        }
        Selection::Unsatisfiable => {
            let mut response = visit.refuse(
                StatusCode::RANGE_NOT_SATISFIABLE,
                Reason::BadRequest,
                format!("the range lies outside the {} bytes", asset.len),
            );
            insert(
                response.headers_mut(),
                header::CONTENT_RANGE,
                &format_args!("bytes */{}", asset.len),
            );
            return response;
        }
    };
    let content_type = match &content.boundary {
        Some(boundary) => {
            HeaderValue::try_from(format!("multipart/byteranges; boundary={boundary}")).ok()
        }
        None => Some(HeaderValue::from_static(content_type)),
    };
    headers.extend(content_type.map(|value| (header::CONTENT_TYPE, value)));
    headers.insert(header::CONTENT_LENGTH, content.total.into());
    if *method == Method::HEAD {
        return bodiless(
            &visit,
            status,
            headers,
            "HEAD: only the length was asked for",
        );
    }
    let body = AssetBody::new(visit, path, asset, content, head_len(&headers));
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Opens a file at once where the system has at hand what that needs, else on a thread that may wait.
async fn open(visit: &Visit, path: &str) -> Result<Asset, AssetError> {
    let assets = &visit.plane.ctx.assets;
    if let Some(asset) = assets.open_at_once(path) {
        return Ok(asset);
    }
    let (assets, name) = (assets.clone(), path.to_owned());
    let opened = tokio::task::spawn_blocking(move || assets.open(&name)).await;
    opened.unwrap_or_else(|error| {
        Err(AssetError::Read {
            path: path.to_owned(),
            error: io::Error::other(error),
        })
    })
}

/// Bytes of a reply's head on the wire: of a transfer that breaks off it is told how much of the file had left.
fn head_len(headers: &HeaderMap) -> u64 {
    const STATUS_AND_DATE: usize =
        "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n".len();
    let fields = headers.iter();
    let fields: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    u64::try_from(STATUS_AND_DATE + fields).unwrap_or_default()
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &dyn std::fmt::Display) {
    if let Ok(value) = HeaderValue::try_from(value.to_string()) {
        headers.insert(name, value);
    }
}

fn bodiless(visit: &Visit, status: StatusCode, headers: HeaderMap, why: &str) -> Response {
    let mut event = visit.event(Kind::HttpAsset, Reason::Done).detail(why);
    event.bytes = Some(0);
    visit.tell(event);
    let mut response = refusal(status);
    *response.body_mut() = Body::empty();
    *response.headers_mut() = headers;
    response
}

/// UEFI HTTP Boot takes a file for what its type says (UEFI 2.10 section 24.7.3.5).
fn content_type(path: &str) -> &'static str {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension);
    match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("efi") => "application/efi",
        Some("iso") => "application/vnd.efi-iso",
        Some("img") => "application/vnd.efi-img",
        _ => "application/octet-stream",
    }
}

/// What a reply holds.
struct Content {
    pieces: VecDeque<Piece>,
    /// Bytes in all.
    total: u64,
    /// From the first byte of the file to one past the last, when it is one stretch.
    stretch: Option<(u64, u64)>,
    /// What stands between its parts, when there are several.
    boundary: Option<String>,
}

enum Piece {
    Text(Bytes),
    File { next: u64, end: u64 },
}

impl Content {
    fn of(start: u64, end: u64) -> Self {
        Self {
            pieces: [Piece::File { next: start, end }].into(),
            total: end - start,
            stretch: Some((start, end)),
            boundary: None,
        }
    }

    /// `multipart/byteranges` (RFC 9110 section 14.6).
    fn of_parts(parts: &[(u64, u64)], content_type: &str, len: u64) -> Self {
        // Nobody who wrote the file could know it.
        let random = getrandom::u64().unwrap_or_default();
        let boundary = format!("bootwright-{random:016x}");
        let mut pieces = VecDeque::with_capacity(2 * parts.len() + 1);
        let mut total = 0;
        let mut before = "";
        for (start, end) in parts {
            let text = format!(
                "{before}--{boundary}\r\ncontent-type: {content_type}\r\ncontent-range: bytes {start}-{}/{len}\r\n\r\n",
                end.saturating_sub(1)
            );
            total += u64::try_from(text.len()).unwrap_or_default() + (end - start);
            pieces.push_back(Piece::Text(text.into()));
            pieces.push_back(Piece::File {
                next: *start,
                end: *end,
            });
            before = "\r\n";
        }
        let text = format!("\r\n--{boundary}--\r\n");
        total += u64::try_from(text.len()).unwrap_or_default();
        pieces.push_back(Piece::Text(text.into()));
        Self {
            pieces,
            total,
            stretch: None,
            boundary: Some(boundary),
        }
    }
}

/// A reply on its way. Whatever becomes of it, dropping it has the event written.
struct AssetBody {
    source: Source,
    pieces: VecDeque<Piece>,
    /// Bytes handed to the connection.
    sent: u64,
    /// Of these, since others had their turn.
    turn: u64,
    trouble: Option<(Reason, String)>,
    /// `None`: nobody's transfer.
    pulse: Option<Pulse>,
    transfer: Option<Transfer>,
}

/// What the end of a transfer is told from.
struct Transfer {
    visit: Visit,
    path: String,
    /// Bytes of the file, and of the reply.
    len: u64,
    total: u64,
    stretch: Option<(u64, u64)>,
    /// What the system had taken of the connection's bytes when the reply began, with its head.
    before: u64,
    listing: Listing,
}

impl AssetBody {
    fn new(visit: Visit, path: &str, asset: Asset, content: Content, head: u64) -> Self {
        let ctx = &visit.plane.ctx;
        let pulse = visit
            .peer_host()
            .map(|_| Pulse::new(ctx.note_every(), ctx.now()));
        let cache = ctx.assets.cache();
        cache.set_limit(visit.in_force.snapshot.server.asset_cache);
        let source = Source::new(cache, asset.file, asset.version, visit.watch.clone());
        let written = visit.watch.as_ref().map_or(0, Watch::written);
        let (before, total) = (written + head, content.total);
        let left = visit.watch.clone().map(|watch| {
            let left = move || left(&watch, before, total);
            Box::new(left) as Box<dyn Fn() -> u64 + Send + Sync>
        });
        let listing = visit.listed(Some(total), left);
        Self {
            source,
            pieces: content.pieces,
            sent: 0,
            turn: 0,
            trouble: None,
            pulse,
            transfer: Some(Transfer {
                visit,
                path: path.to_owned(),
                len: asset.len,
                total,
                stretch: content.stretch,
                before,
                listing,
            }),
        }
    }

    fn remaining(&self) -> u64 {
        let total = self.transfer.as_ref().map_or(0, |transfer| transfer.total);
        total.saturating_sub(self.sent)
    }

    /// The connection takes more when it has sent what it had: bytes flow.
    fn note_progress(&mut self) {
        if let (Some(transfer), Some(pulse)) = (&self.transfer, &mut self.pulse)
            && pulse.beat(transfer.visit.plane.ctx.now())
        {
            note(&transfer.visit, transfer.path.clone(), false);
        }
    }

    fn poll_piece(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Bytes, Trouble>>> {
        loop {
            let bytes = match self.pieces.front_mut() {
                None => return Poll::Ready(None),
                Some(Piece::Text(text)) => std::mem::take(text),
                Some(Piece::File { next, end }) if *next < *end => {
                    let bytes = match ready!(self.source.poll_at(cx, *next, *end)) {
                        Ok(bytes) => bytes,
                        Err(trouble) => return Poll::Ready(Some(Err(trouble))),
                    };
                    *next += u64::try_from(bytes.len()).unwrap_or_default();
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Some(Piece::File { .. }) => Bytes::new(),
            };
            self.pieces.pop_front();
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(bytes)));
            }
        }
    }
}

impl hyper::body::Body for AssetBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.turn >= TURN {
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(match ready!(self.poll_piece(cx)) {
            None => None,
            Some(Ok(bytes)) => {
                let count = u64::try_from(bytes.len()).unwrap_or_default();
                self.sent += count;
                self.turn += count;
                if let Some(transfer) = &self.transfer {
                    transfer.listing.arrived(self.sent);
                }
                self.note_progress();
                Some(Ok(Frame::data(bytes)))
            }
            Some(Err(trouble)) => {
                self.pieces.clear();
                let reason = match trouble {
                    Trouble::Changed => Reason::Changed,
                    Trouble::Read(_) => Reason::ReadFailed,
                };
                self.trouble = Some((reason, trouble.to_string()));
                Some(Err(io::Error::other(trouble)))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining())
    }
}

impl Drop for AssetBody {
    fn drop(&mut self) {
        let complete = self.remaining() == 0;
        let Some(transfer) = self.transfer.take() else {
            return;
        };
        let (sent, trouble) = (self.sent, self.trouble.take());
        match transfer.visit.watch.clone() {
            // What was handed over is on its way still.
            Some(watch) if complete => {
                let at_end = watch.clone();
                watch.when_sent(Box::new(move |how| {
                    let left = left(&at_end, transfer.before, sent);
                    transfer.end(left, how == Sent::Whole, None);
                }));
            }
            Some(watch) => {
                let left = left(&watch, transfer.before, sent);
                transfer.end(left, false, trouble);
            }
            None => transfer.end(sent, complete, trouble),
        }
    }
}

/// How much has left since the connection had sent so much, of so many bytes.
fn left(watch: &Watch, before: u64, of: u64) -> u64 {
    watch.written().saturating_sub(before).min(of)
}

impl Transfer {
    fn end(self, sent: u64, complete: bool, trouble: Option<(Reason, String)>) {
        let Self {
            visit,
            path,
            len,
            listing,
            ..
        } = self;
        drop(listing);
        let sent = if complete { self.total } else { sent };
        let (reason, detail) = match (trouble, self.stretch) {
            (Some((reason, detail)), _) => (reason, Some(detail)),
            (None, _) if !complete => (
                Reason::Incomplete,
                Some(format!("{} bytes were asked for", self.total)),
            ),
            (None, Some((start, end))) if end - start < len => (
                Reason::Done,
                Some(format!("bytes {start}-{} of {len}", end.saturating_sub(1))),
            ),
            (None, None) => (Reason::Done, Some(format!("several parts of {len} bytes"))),
            (None, Some(_)) => (Reason::Done, None),
        };
        let mut event = visit.event(Kind::HttpAsset, reason);
        event.bytes = Some(sent);
        event.detail = detail;
        let is_piece = |(start, end): (u64, u64)| end - start < len;
        if complete && self.stretch.is_some_and(is_piece) {
            for event in visit.pieces.take(event, len) {
                visit.tell(event);
            }
        } else {
            visit.tell(event);
        }
        if !complete {
            return;
        }
        // A range that reaches the end counts as well: an interrupted fetch that was taken up again.
        let whole = self.stretch.is_some_and(|(_, end)| end == len);
        let from_start = self.stretch.is_some_and(|(start, _)| start == 0);
        if let Some(host) = visit.peer_host().filter(|_| whole && from_start) {
            visit.plane.ctx.note_whole(&host.name, &path);
        }
        note(&visit, path, whole);
    }
}

/// Takes note of bytes that were sent to a host.
pub(super) fn note(visit: &Visit, path: String, whole: bool) {
    let (Some(host), Ok(runtime)) = (visit.peer_host(), tokio::runtime::Handle::try_current())
    else {
        return;
    };
    let (name, mac, ip) = (host.name.clone(), host.mac(), Some(visit.peer));
    let ctx = visit.plane.ctx.clone();
    runtime.spawn(async move {
        ctx.note_asset(&name, &path, whole, mac, ip).await;
    });
}
