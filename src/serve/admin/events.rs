//! The journal for operators: one JSON object a line, those that were kept and, on request, those that come.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use futures_util::stream;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::error::ApiError;
use super::hosts::find;
use super::{Admin, Streamed};
use crate::base::{HardwareAddr, HostName};
use crate::diagnose::attempts::is_about;
use crate::host;
use crate::journal::{Event, Filter, Journal};

/// Events when nothing else is asked for.
const DEFAULT_LIMIT: usize = 200;
/// Most events of one request.
const MAX_LIMIT: usize = 100_000;

/// What is asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    /// A name, MAC or address.
    host: Option<String>,
    /// Only after this id.
    after: Option<u64>,
    /// At most so many, the newest.
    limit: Option<usize>,
    /// `1`: go on with what comes.
    follow: Option<String>,
}

pub(super) async fn list(
    State(admin): State<Admin>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Streamed, ApiError> {
    let Query(asked) = asked.map_err(|error| {
        ApiError::bad_request(
            error.body_text(),
            "the query knows host, after, limit and follow=1",
        )
    })?;
    let in_force = admin.ctx.config();
    let wanted = match asked.host.as_deref() {
        None => Wanted::All,
        Some(text) => match find(&in_force.snapshot, text) {
            Ok(host) => Wanted::Host(host.name.clone(), host.all_macs()),
            // A machine that nobody reserved has events as well, and a host that is gone.
            Err(unknown) => match text.trim().parse() {
                Ok(mac) => Wanted::Stranger(mac),
                Err(_) => gone(&admin.ctx.journal, text).await.ok_or(unknown)?,
            },
        },
    };
    let follow = match asked.follow.as_deref() {
        None | Some("0" | "false") => false,
        Some("1" | "true" | "") => true,
        Some(other) => {
            return Err(ApiError::bad_request(
                format!("{other:?} is no value of follow"),
                "say follow=1",
            ));
        }
    };
    let limit = asked.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let journal = admin.ctx.journal.clone();
    // Before the kept ones are read: what comes in between is seen twice and told once.
    let live = follow.then(|| journal.follow());
    let kept = wanted.kept(&journal, asked.after, limit).await;
    let state = Following {
        last: kept.back().map(|event| event.id).or(asked.after),
        waiting: kept,
        wanted,
        journal,
        live,
        ending: admin.ending,
    };
    let lines = stream::unfold(state, |mut state| async move {
        let lines = state.next().await?;
        Some((Ok::<_, Infallible>(lines), state))
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    Ok(response)
}

/// Events on their way to one client.
struct Following {
    waiting: VecDeque<Event>,
    last: Option<u64>,
    wanted: Wanted,
    journal: Journal,
    live: Option<Receiver<Arc<Event>>>,
    ending: CancellationToken,
}

/// A host of which the journal still tells, although no reservation has it.
async fn gone(journal: &Journal, text: &str) -> Option<Wanted> {
    let wanted = Wanted::Host(text.trim().parse().ok()?, Vec::new());
    let told = wanted.kept(journal, None, 1).await;
    (!told.is_empty()).then_some(wanted)
}

/// Whose events are asked for.
enum Wanted {
    All,
    Host(HostName, Vec<HardwareAddr>),
    Stranger(HardwareAddr),
}

impl Following {
    /// The next lines; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.waiting.is_empty() {
            let mut lines = Vec::new();
            for event in self.waiting.drain(..self.waiting.len().min(500)) {
                line(&mut lines, &event);
            }
            return Some(lines.into());
        }
        let live = self.live.as_mut()?;
        loop {
            match self.ending.run_until_cancelled(live.recv()).await? {
                Ok(event) => {
                    if self.last.is_some_and(|last| event.id <= last)
                        || !self.wanted.includes(&event)
                    {
                        continue;
                    }
                    self.last = Some(event.id);
                    let mut lines = Vec::new();
                    line(&mut lines, &event);
                    return Some(lines.into());
                }
                // A client that reads too slowly: what it missed is in the journal.
                Err(RecvError::Lagged(_)) => {
                    let missed = self.wanted.kept(&self.journal, self.last, MAX_LIMIT).await;
                    let mut lines = Vec::new();
                    for event in &missed {
                        self.last = Some(event.id);
                        line(&mut lines, event);
                    }
                    if !lines.is_empty() {
                        return Some(lines.into());
                    }
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl Wanted {
    /// Events that were kept, oldest first.
    async fn kept(&self, journal: &Journal, after: Option<u64>, limit: usize) -> VecDeque<Event> {
        let (host, asked) = match self {
            Self::All => (None, limit),
            Self::Host(name, _) => (Some(name.clone()), limit),
            // The journal knows hosts only; the newest are looked through.
            Self::Stranger(_) => (None, MAX_LIMIT),
        };
        let filter = Filter {
            host,
            after,
            limit: Some(asked),
        };
        let mut kept: VecDeque<Event> = journal.query(&filter).await.into();
        if let Self::Stranger(mac) = self {
            kept.retain(|event| event.mac == Some(*mac));
            kept.drain(..kept.len().saturating_sub(limit));
        }
        kept
    }

    /// Whether an event that has come is asked for.
    fn includes(&self, event: &Event) -> bool {
        match self {
            Self::All => true,
            Self::Host(name, macs) => is_about(event, name, macs),
            Self::Stranger(mac) => event.mac == Some(*mac),
        }
    }
}

fn line(lines: &mut Vec<u8>, event: &Event) {
    lines.extend(event.to_json_of(&host::name()).to_string().into_bytes());
    lines.push(b'\n');
}
