//! Boot files by HTTP: validators, ranges, a bounded stream, and an event when it has ended.
//!
//! **Invariant:** a reply has the length it announced and the bytes of one version of the file, or its
//! connection is cut. One transfer is one `http.asset` event, written when it ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::SystemTime;

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use tokio::task::JoinHandle;

use super::ranges::{Selection, Validators, select};
use super::{Visit, refusal};
use crate::journal::event::{Kind, Reason};
use crate::serve::assets::Asset;
use crate::serve::pulse::Pulse;

/// Bytes read at once. One read goes on while the one before it is sent.
const CHUNK: u64 = 256 << 10;

/// Serves one boot file.
pub(crate) async fn serve(
    visit: Visit,
    path: &str,
    method: &Method,
    asked: &HeaderMap,
) -> Response {
    let assets = visit.plane.ctx.assets.clone();
    let opened = tokio::task::spawn_blocking({
        let path = path.to_owned();
        move || assets.open(&path)
    })
    .await;
    let asset = match opened {
        Ok(Ok(asset)) => asset,
        Ok(Err(error)) => {
            let reason = error.reason();
            let status = if reason == Reason::ReadFailed {
                StatusCode::INTERNAL_SERVER_ERROR
            } else {
                StatusCode::NOT_FOUND
            };
            return visit.refuse(status, reason, error.detail());
        }
        Err(error) => {
            return visit.refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                Reason::ReadFailed,
                error.to_string(),
            );
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
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        headers.insert(header::ETAG, etag);
    }
    if let Some(modified) = asset.modified
        && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(modified))
    {
        headers.insert(header::LAST_MODIFIED, date);
    }
    let (status, start, end) = match selection {
        Selection::Whole => (StatusCode::OK, 0, asset.len),
        Selection::Part { start, end } => (StatusCode::PARTIAL_CONTENT, start, end),
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
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(content_type(path)),
    );
    insert(&mut headers, header::CONTENT_LENGTH, &(end - start));
    if status == StatusCode::PARTIAL_CONTENT {
        insert(
            &mut headers,
            header::CONTENT_RANGE,
            &format_args!("bytes {start}-{}/{}", end - 1, asset.len),
        );
    }
    if *method == Method::HEAD {
        return bodiless(
            &visit,
            status,
            headers,
            "HEAD: only the length was asked for",
        );
    }
    let body = AssetBody::new(visit, path, asset, start, end);
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
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

/// A part of a file on its way. Whatever becomes of it, dropping it writes the event.
struct AssetBody {
    visit: Option<Visit>,
    path: String,
    file: Arc<File>,
    /// The file as it was when it was opened.
    len: u64,
    modified: Option<SystemTime>,
    start: u64,
    end: u64,
    /// Next byte to read.
    next: u64,
    /// Bytes handed to the connection.
    sent: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    trouble: Option<(Reason, String)>,
    /// `None`: nobody's transfer.
    pulse: Option<Pulse>,
}

impl AssetBody {
    fn new(visit: Visit, path: &str, asset: Asset, start: u64, end: u64) -> Self {
        let pulse = visit.peer_host().map(|_| {
            let ctx = &visit.plane.ctx;
            Pulse::new(ctx.note_every(), ctx.now())
        });
        Self {
            pulse,
            visit: Some(visit),
            path: path.to_owned(),
            file: Arc::new(asset.file),
            len: asset.len,
            modified: asset.modified,
            start,
            end,
            next: start,
            sent: 0,
            reading: None,
            trouble: None,
        }
    }

    fn remaining(&self) -> u64 {
        (self.end - self.start).saturating_sub(self.sent)
    }

    /// The connection takes more when it has sent what it had: bytes flow.
    fn note_progress(&mut self) {
        let Some(visit) = self.visit.as_ref() else {
            return;
        };
        if let Some(pulse) = &mut self.pulse
            && pulse.beat(visit.plane.ctx.now())
        {
            note(visit, self.path.clone(), false);
        }
    }

    /// Begins to read the next bytes, unless that is under way or nothing is left.
    fn read_on(&mut self) {
        if self.reading.is_some() || self.next >= self.end {
            return;
        }
        let (file, from, len, modified) =
            (Arc::clone(&self.file), self.next, self.len, self.modified);
        let count = CHUNK.min(self.end - from);
        let last = from + count == self.end;
        self.next = from + count;
        self.reading = Some(tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; usize::try_from(count).unwrap_or_default()];
            file.read_exact_at(&mut buffer, from)?;
            if last {
                let now = file.metadata()?;
                if now.len() != len || now.modified().ok() != modified {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Ok(buffer.into())
        }));
    }
}

impl hyper::body::Body for AssetBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.read_on();
        let Some(reading) = self.reading.as_mut() else {
            return Poll::Ready(None);
        };
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        match read.map_err(io::Error::other).flatten() {
            Ok(bytes) => {
                self.sent += u64::try_from(bytes.len()).unwrap_or_default();
                self.note_progress();
                self.read_on();
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Err(error) => {
                self.next = self.end;
                self.trouble = Some(if error.kind() == io::ErrorKind::UnexpectedEof {
                    let text = "the file was changed while it was sent; put a new file in its \
                                place by renaming it";
                    (Reason::Changed, text.to_owned())
                } else {
                    (Reason::ReadFailed, error.to_string())
                });
                Poll::Ready(Some(Err(error)))
            }
        }
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
        let Some(visit) = self.visit.take() else {
            return;
        };
        let complete = self.remaining() == 0;
        let (reason, detail) = match self.trouble.take() {
            Some((reason, detail)) => (reason, Some(detail)),
            None if !complete => (
                Reason::Incomplete,
                Some(format!("{} bytes were asked for", self.end - self.start)),
            ),
            None if self.sent < self.len => (
                Reason::Done,
                Some(format!(
                    "bytes {}-{} of {}",
                    self.start,
                    self.end.saturating_sub(1),
                    self.len
                )),
            ),
            None => (Reason::Done, None),
        };
        let mut event = visit.event(Kind::HttpAsset, reason);
        event.bytes = Some(self.sent);
        event.detail = detail;
        visit.tell(event);
        // A range that reaches the end counts as well: an interrupted fetch that was taken up again.
        let whole = complete && self.end == self.len;
        if !complete {
            return;
        }
        if let Some(host) = visit.peer_host().filter(|_| whole && self.start == 0) {
            visit.plane.ctx.note_whole(&host.name, &self.path);
        }
        note(&visit, std::mem::take(&mut self.path), whole);
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
