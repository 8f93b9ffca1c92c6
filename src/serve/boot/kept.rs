//! Answers that were served a moment ago, for machines that ask again at once.
//!
//! An installer fetches its answers several times within a second (for each question that it has, or to see
//! whether they are there). The first time, all is done in order: may it have them, render, record, on disk.
//! For [`GOOD_FOR`] after that (twice that while one more of its requests does it again) the same machine is given the same text, as long as nothing has changed by
//! which it could be another or none: configuration, record, address. Rendering the same once more is
//! spared for longer; a password's hash alone takes milliseconds.
//!
//! **Invariant:** what is given here is what [`super::answer`] would give now, but for what the passing of
//! [`GOOD_FOR`] changes. Each is an event like any other.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request};

use crate::base::{Architecture, HardwareAddr, HostName, ProfileName, Timestamp};
use crate::decide::http::Peer;
use crate::journal::event::{Event, Kind, Reason};
use crate::journal::log::Header;
use crate::render::load::InForce;
use crate::serve::context::Context;
use crate::serve::listener::{Connection, Reply};

/// How long after an answer was recorded it is given again without that.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// How long its text is kept. It may hold secrets.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// Answers that are kept at once, and how long one may be.
const MOST: usize = 1_024;
const LONGEST: usize = 256 << 10;

/// Answers, by the path of their URL: the token in it is as good as secret, and found by a keyed hash.
#[derive(Default)]
pub(crate) struct KeptAnswers {
    kept: RwLock<HashMap<String, Arc<Kept>>>,
}

/// What an answer was rendered from. The configuration is told apart by where it lies, and not held.
#[derive(Clone)]
pub(crate) struct From {
    pub(crate) in_force: Weak<InForce>,
    pub(crate) host: HostName,
    pub(crate) profile: ProfileName,
    pub(crate) server: Ipv4Addr,
    pub(crate) arch: Architecture,
}

impl PartialEq for From {
    fn eq(&self, other: &Self) -> bool {
        self.in_force.ptr_eq(&other.in_force)
            && self.host == other.host
            && self.profile == other.profile
            && (self.server, self.arch) == (other.server, other.arch)
    }
}

/// A text and its media type.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) bytes: Bytes,
    pub(crate) content_type: HeaderValue,
}

impl Text {
    /// The reply that it is.
    pub(crate) fn response(self) -> Response {
        self.reply().map(|reply| match reply {
            Reply::Whole(bytes) => Body::from(bytes),
            Reply::Streamed(body) => body,
        })
    }

    /// The same, as the connection takes it.
    pub(crate) fn reply(self) -> hyper::Response<Reply> {
        let mut response = hyper::Response::new(Reply::Whole(self.bytes));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, self.content_type);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Who was given it under which record.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) who: Peer,
    pub(crate) peer: Ipv4Addr,
    pub(crate) local: Ipv4Addr,
    pub(crate) mac: HardwareAddr,
    /// The version of its host's record then.
    pub(crate) version: u64,
    pub(crate) at: Timestamp,
    /// The path as the journal may show it.
    pub(crate) shown: String,
}

struct Kept {
    from: From,
    text: Text,
    since: Timestamp,
    given: Option<Given>,
    /// Whether somebody has it recorded anew.
    renewed: AtomicBool,
}

impl Kept {
    /// Whether it is given without being recorded anew: of those that ask after [`GOOD_FOR`] one is not.
    fn is_good(&self, given: &Given, now: Timestamp) -> bool {
        if now < given.at {
            return false;
        }
        let age = now.since(given.at);
        age < GOOD_FOR || (age < 2 * GOOD_FOR && self.renewed.swap(true, Ordering::Relaxed))
    }
}

impl KeptAnswers {
    /// An answer that was given to the same machine a moment ago, with its event written.
    pub(crate) fn again<B>(
        &self,
        ctx: &Context,
        connection: Connection,
        request: &Request<B>,
    ) -> Option<Text> {
        let path = request.uri().path();
        if request.method() != Method::GET || !path.starts_with("/answers/") {
            return None;
        }
        let kept = self.find(path)?;
        let given = kept.given.as_ref()?;
        let now = ctx.now();
        let in_force = ctx.in_force.load();
        let is_good = std::ptr::eq(kept.from.in_force.as_ptr(), Arc::as_ptr(&in_force))
            && (given.peer, given.local) == (*connection.peer.ip(), connection.local)
            && ctx.installs.version(&kept.from.host) == Some(given.version)
            && ctx.peer_at(&in_force.snapshot, given.peer, now) == given.who
            && kept.is_good(given, now);
        if !is_good {
            return None;
        }
        let host = &kept.from.host;
        let header = Header::of(now, Kind::HttpAnswer, Some(host), given.mac);
        ctx.journal.append_with(header.again(), || {
            let mut event = Event::new(now, Kind::HttpAnswer, Reason::Done)
                .host(host.clone())
                .mac(given.mac)
                .ip(given.peer)
                .file(given.shown.clone());
            event.iface = ctx.links.owner_of(given.local).map(|link| link.name);
            event.generation = in_force.snapshot.generation;
            event.bytes = u64::try_from(kept.text.bytes.len()).ok();
            event.took_us = u64::try_from(ctx.now().since(now).as_micros()).ok();
            event
        });
        Some(kept.text.clone())
    }

    /// The text that was rendered from the same before.
    pub(crate) fn rendered(&self, path: &str, from: &From) -> Option<Text> {
        let kept = self.find(path)?;
        (kept.from == *from).then(|| kept.text.clone())
    }

    /// Takes note of an answer that was just served.
    pub(crate) fn keep(
        &self,
        path: &str,
        from: From,
        text: Text,
        given: Option<Given>,
        now: Timestamp,
    ) {
        if text.bytes.len() > LONGEST {
            return;
        }
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST && !kept.contains_key(path) {
            kept.clear();
        }
        let since = match kept.get(path) {
            Some(before) if before.from == from => before.since,
            _ => now,
        };
        let entry = Kept {
            from,
            text,
            since,
            given,
            renewed: AtomicBool::new(false),
        };
        kept.insert(path.to_owned(), Arc::new(entry));
    }

    /// Forgets what is too old, or of a configuration that is no longer in force.
    pub(crate) fn tidy(&self, now: Timestamp) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, kept| {
            kept.from.in_force.strong_count() > 0
                && now >= kept.since
                && now.since(kept.since) < KEPT_FOR
        });
    }

    fn find(&self, path: &str) -> Option<Arc<Kept>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(path).cloned()
    }
}
