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
    let host = asked
        .host
        .as_deref()
        .map(|text| find(&in_force.snapshot, text))
        .transpose()?;
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
    let filter = Filter {
        host: host.as_ref().map(|host| host.name.clone()),
        after: asked.after,
        limit: Some(asked.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT)),
    };
    let journal = admin.ctx.journal.clone();
    // Before the kept ones are read: what comes in between is seen twice and told once.
    let live = follow.then(|| journal.follow());
    let kept: VecDeque<Event> = journal.query(&filter).await.into();
    let state = Following {
        last: kept.back().map(|event| event.id).or(asked.after),
        waiting: kept,
        wanted: Wanted {
            host: host.as_ref().map(|host| host.name.clone()),
            macs: host
                .as_ref()
                .map_or_else(Vec::new, |host| host.macs.clone()),
        },
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

/// Which of the events that come are asked for.
struct Wanted {
    host: Option<HostName>,
    macs: Vec<HardwareAddr>,
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
                    let filter = Filter {
                        host: self.wanted.host.clone(),
                        after: self.last,
                        limit: Some(MAX_LIMIT),
                    };
                    let missed = self.journal.query(&filter).await;
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
    fn includes(&self, event: &Event) -> bool {
        match &self.host {
            None => true,
            Some(host) => {
                event.host.as_ref() == Some(host)
                    || (event.host.is_none()
                        && event.mac.is_some_and(|mac| self.macs.contains(&mac)))
            }
        }
    }
}

fn line(lines: &mut Vec<u8>, event: &Event) {
    lines.extend(event.to_json().to_string().into_bytes());
    lines.push(b'\n');
}
