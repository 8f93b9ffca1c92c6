//! Boot files of other servers by HTTP (`[[mirror]]`): from what is kept, or as they come.
//!
//! **Invariant:** the last byte of a file that comes is held back until all of it is there and good, so that no
//! machine takes a part, or a damaged file, for the whole. One request is one event.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use tokio::sync::watch;

use super::{BootPlane, Visit, asset, refusal};
use crate::config::mirror::Mirror;
use crate::journal::event::{Kind, Reason};
use crate::serve::context::Context;
use crate::serve::mirror::upstream::{Coming, Failure};
use crate::serve::mirror::{Ask, Progress, Wanted, root};
use crate::serve::pulse::Pulse;
use crate::serve::transfers::Listing;
use crate::wire::names::clean_path;

/// Bytes read at once.
const CHUNK: u64 = 256 << 10;

/// The mirror that brings a file, if one does, and the clean path that is asked for.
pub(crate) fn wanted(visit: &Visit, path: &str) -> Option<Wanted> {
    let clean = clean_path(path.as_bytes()).ok()?;
    let host = visit.peer_host().map(|host| host.name.clone());
    let (mirror, below): (&Mirror, &str) = visit.in_force.snapshot.mirror_of(&clean)?;
    Some(Wanted::new(mirror, &clean, below, host))
}

/// Serves one file of a mirror.
pub(crate) async fn serve(
    visit: Visit,
    wanted: Wanted,
    method: &Method,
    asked: &HeaderMap,
) -> Response {
    let path = wanted.path.clone();
    let ctx = visit.plane.ctx.clone();
    let known = visit.peer_host().is_some();
    let mut progress = match ctx.assets.mirrors().ask(&ctx, wanted, known).await {
        Ask::Kept => return kept(visit, &path, method, asked).await,
        Ask::Coming(progress) => progress,
        Ask::NotForYou => {
            let why =
                "it is not kept, and only for machines with a reservation anything is brought";
            return visit.refuse(
                StatusCode::NOT_FOUND,
                Reason::NotThisMachine,
                why.to_owned(),
            );
        }
    };
    // A part is given only of what is there.
    let whole_only = asked.contains_key(header::RANGE);
    let found = progress
        .wait_for(|progress| match progress {
            Progress::Asking => false,
            Progress::Coming(_) => !whole_only,
            Progress::Whole { kept, .. } => !whole_only || kept.is_some(),
            Progress::Kept | Progress::Failed(_) => true,
        })
        .await
        .map_or(Progress::Failed(Failure::Stopped), |found| found.clone());
    match found {
        Progress::Kept
        | Progress::Whole {
            kept: Some(true), ..
        } => kept(visit, &path, method, asked).await,
        Progress::Failed(failure) => failed(&visit, &failure),
        Progress::Asking => failed(&visit, &Failure::Stopped),
        Progress::Coming(coming) => stream(visit, path, method, coming, progress),
        Progress::Whole { coming, .. } => {
            let total = Some(coming.have);
            stream(visit, path, method, Coming { total, ..coming }, progress)
        }
    }
}

/// A kept file is a boot file like others, in another folder.
async fn kept(mut visit: Visit, path: &str, method: &Method, asked: &HeaderMap) -> Response {
    let plane = BootPlane::clone(&visit.plane);
    let assets = plane.ctx.assets.with_root(root(&plane.ctx));
    visit.plane = Arc::new(BootPlane {
        ctx: Context {
            assets,
            ..plane.ctx
        },
        ..plane
    });
    asset::serve(visit, path, method, asked).await
}

fn failed(visit: &Visit, failure: &Failure) -> Response {
    let (status, reason) = match failure {
        Failure::NotThere(_) => (StatusCode::NOT_FOUND, Reason::NotFound),
        Failure::TooLate(_) => (StatusCode::GATEWAY_TIMEOUT, Reason::Upstream),
        Failure::Refused(_) | Failure::Changed(_) => (StatusCode::BAD_GATEWAY, Reason::Upstream),
        Failure::Disk(_) => (StatusCode::SERVICE_UNAVAILABLE, Reason::DiskFull),
        Failure::Stopped => (StatusCode::SERVICE_UNAVAILABLE, Reason::Incomplete),
    };
    visit.refuse(status, reason, failure.to_string())
}

/// Sends what comes while it comes.
fn stream(
    visit: Visit,
    path: String,
    method: &Method,
    coming: Coming,
    progress: watch::Receiver<Progress>,
) -> Response {
    let mut headers = HeaderMap::new();
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    if let Some(total) = coming.total {
        headers.insert(header::CONTENT_LENGTH, total.into());
    }
    if let Some(date) = &coming.last_modified
        && let Ok(date) = HeaderValue::from_str(date)
    {
        headers.insert(header::LAST_MODIFIED, date);
    }
    let body = if *method == Method::HEAD {
        let mut event = visit.event(Kind::HttpAsset, Reason::Done);
        event.bytes = Some(0);
        visit.tell(event.detail("HEAD: only the length was asked for"));
        Body::empty()
    } else {
        let ctx = &visit.plane.ctx;
        let listing = visit.listed(coming.total, None);
        let pulse = visit
            .peer_host()
            .map(|_| Pulse::new(ctx.note_every(), ctx.now()));
        let sending = Sending {
            file: coming.file,
            total: coming.total,
            at: 0,
            progress,
            pulse,
            end: End {
                listing: Some(listing),
                visit: Some(visit),
                path,
                sent: 0,
                whole: false,
                failure: None,
            },
        };
        Body::new(StreamBody::new(stream::try_unfold(sending, Sending::next)))
    };
    let mut response = refusal(StatusCode::OK);
    *response.body_mut() = body;
    *response.headers_mut() = headers;
    response
}

/// A file on its way to one machine.
struct Sending {
    file: Arc<File>,
    /// What was announced.
    total: Option<u64>,
    at: u64,
    progress: watch::Receiver<Progress>,
    pulse: Option<Pulse>,
    end: End,
}

impl Sending {
    async fn next(mut self) -> io::Result<Option<(Frame<Bytes>, Self)>> {
        match self.part().await {
            Ok(Some(bytes)) => {
                self.at += bytes.len() as u64;
                self.end.sent = self.at;
                if let Some(listing) = &self.end.listing {
                    listing.arrived(self.at);
                }
                self.end.beat(&mut self.pulse);
                // Told before it is handed over: with the last byte the connection has what it was promised, and asks
                // for no more.
                self.end.whole = self.total.is_some_and(|total| self.at >= total);
                Ok(Some((Frame::data(bytes), self)))
            }
            Ok(None) => {
                self.end.whole = true;
                Ok(None)
            }
            Err(failure) => {
                let error = io::Error::other(failure.to_string());
                self.end.failure = Some(failure);
                Err(error)
            }
        }
    }

    /// The next bytes; `None`: that was all.
    async fn part(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let now = self.progress.borrow_and_update().clone();
            let (until, is_end) = match now {
                Progress::Coming(coming) | Progress::Whole { coming, .. }
                    if !Arc::ptr_eq(&coming.file, &self.file) =>
                {
                    return Err(Failure::Changed(self.end.path.clone()));
                }
                // The last byte is the word that all is well.
                Progress::Coming(coming) => {
                    let before_last = self.total.map_or(u64::MAX, |total| total.saturating_sub(1));
                    (coming.have.min(before_last), false)
                }
                Progress::Whole { coming, .. } => (coming.have, true),
                Progress::Failed(failure) => return Err(failure),
                Progress::Asking | Progress::Kept => return Err(Failure::Stopped),
            };
            if self.at < until {
                return self.read(until).await.map(Some);
            }
            if is_end {
                return Ok(None);
            }
            if self.progress.changed().await.is_err() {
                return Err(Failure::Stopped);
            }
        }
    }

    async fn read(&self, until: u64) -> Result<Bytes, Failure> {
        let (file, at) = (Arc::clone(&self.file), self.at);
        let count = CHUNK.min(until - at);
        let read = tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; usize::try_from(count).unwrap_or_default()];
            file.read_exact_at(&mut buffer, at)?;
            Ok(Bytes::from(buffer))
        });
        read.await
            .map_err(io::Error::other)
            .flatten()
            .map_err(|error| Failure::Disk(error.to_string()))
    }
}

/// Writes the event when it is dropped.
struct End {
    listing: Option<Listing>,
    visit: Option<Visit>,
    path: String,
    sent: u64,
    whole: bool,
    failure: Option<Failure>,
}

impl End {
    /// Bytes flow: from time to time that is a sign of life.
    fn beat(&self, pulse: &mut Option<Pulse>) {
        if let (Some(visit), Some(pulse)) = (&self.visit, pulse)
            && pulse.beat(visit.plane.ctx.now())
        {
            asset::note(visit, self.path.clone(), false);
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let Some(visit) = self.visit.take() else {
            return;
        };
        self.listing = None;
        let (reason, detail) = match self.failure.take() {
            Some(failure @ Failure::Disk(_)) => (Reason::DiskFull, failure.to_string()),
            Some(failure) => (Reason::Upstream, failure.to_string()),
            None if self.whole => (Reason::Done, "while it was brought".to_owned()),
            None => (
                Reason::Incomplete,
                "the machine left while it was brought".to_owned(),
            ),
        };
        let mut event = visit.event(Kind::HttpAsset, reason).detail(detail);
        event.bytes = Some(self.sent);
        visit.tell(event);
        if !self.whole {
            return;
        }
        if let Some(host) = visit.peer_host() {
            visit.plane.ctx.note_whole(&host.name, &self.path);
        }
        asset::note(&visit, std::mem::take(&mut self.path), true);
    }
}
