//! What is in force and how it stands to the files, for listings; and the files it was read from, for comparing others
//! with it before they are saved.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::error::ApiError;
use super::{Admin, Streamed};
use crate::base::Timestamp;
use crate::serve::last_good::{KeptFile, LastGood};
use crate::serve::standing::{Kept, Rejected, Stands};

/// The header of every reply while the files are not what is in force: [`Configuration::sentence`], each byte that
/// is not printable ASCII as `%XX`.
pub const STANDING: &str = "bootwright-configuration";

/// What is not sent as it is, besides bytes beyond ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// Longest sentence in the header, in characters.
const LONGEST: usize = 2_000;

/// How often, and for how long each time, it is waited until what took effect is on the disk.
const WAITS: u32 = 200;
const EACH: Duration = Duration::from_millis(50);

/// Files on their way at most: the next are read when these were taken.
const AHEAD: usize = 4;

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Counts up with each configuration that takes effect.
    pub generation: u64,
    /// How it stands to the files; nothing: it is what they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands: Option<Stands>,
    /// When the last good configuration took effect on which the daemon was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<Timestamp>,
    /// Why the files are not in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejected>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentence: Option<String>,
    /// Whether it is kept for a start with broken files.
    pub kept: bool,
}

pub(super) async fn show(State(admin): State<Admin>) -> Json<Configuration> {
    let in_force = admin.ctx.config();
    let snapshot = &in_force.snapshot;
    let standing = admin.health.standing();
    Json(Configuration {
        generation: snapshot.generation,
        stands: standing.stands(snapshot),
        last_good: snapshot.last_good,
        rejected: standing.rejected().map(|rejected| (*rejected).clone()),
        sentence: standing.sentence(snapshot),
        kept: standing.kept() == Kept::Generation(snapshot.generation),
    })
}

/// Says with every reply that the files are not what is in force.
pub(super) async fn tell(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let in_force = admin.ctx.config();
    if let Some(sentence) = admin.health.standing().sentence(&in_force.snapshot) {
        let sentence: String = sentence.chars().take(LONGEST).collect();
        let encoded = utf8_percent_encode(&sentence, ENCODED).to_string();
        if let Ok(value) = HeaderValue::from_str(&encoded) {
            response.headers_mut().insert(STANDING, value);
        }
    }
    response
}

/// The first line of the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesHead {
    /// Of which configuration they are.
    pub generation: u64,
    /// Folders that are read file by file, relative to that of `bootwright.toml`.
    pub folders: Vec<std::path::PathBuf>,
    /// How many files follow.
    pub files: usize,
}

/// Each further line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLine {
    /// Relative to the folder of `bootwright.toml`, or a whole path.
    pub path: std::path::PathBuf,
    /// Its text.
    pub text: String,
}

/// The files of the configuration in force as lines of JSON, without those of secrets.
pub(super) async fn files(State(admin): State<Admin>) -> Result<Streamed, ApiError> {
    let in_force = admin.ctx.config();
    let generation = in_force.snapshot.generation;
    let not_kept = |why: String| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-kept",
            format!("the files of the configuration in force are not at hand: {why}"),
            "see `bootwright events`; the next reload that takes effect keeps them",
        )
    };
    for wait in 0.. {
        match admin.health.standing().kept() {
            Kept::Generation(kept) if kept == generation => break,
            Kept::Failed(why) => return Err(not_kept(why)),
            Kept::No => return Err(not_kept("this daemon keeps none".to_owned())),
            Kept::Generation(_) | Kept::Soon if wait < WAITS => tokio::time::sleep(EACH).await,
            Kept::Generation(_) | Kept::Soon => {
                return Err(not_kept("the disk takes its time".to_owned()));
            }
        }
    }
    let (state_dir, main) = (
        in_force.snapshot.server.state_dir.clone(),
        admin.config.clone(),
    );
    let kept = tokio::task::spawn_blocking(move || LastGood::open(&state_dir, &main))
        .await
        .map_err(|error| not_kept(error.to_string()))?
        .map_err(|error| not_kept(error.to_string()))?;
    let (lines, taken) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let head = FilesHead {
            generation,
            folders: kept.manifest.folders.clone(),
            files: kept.manifest.files.len(),
        };
        let file = |file: &KeptFile| {
            let text = kept.text(file)?;
            line(&FileLine {
                path: file.path.clone(),
                text,
            })
        };
        let all = std::iter::once_with(|| line(&head)).chain(kept.manifest.files.iter().map(file));
        for line in all {
            let failed = line.is_err();
            // One that cannot be read breaks the reply off: another configuration has taken effect meanwhile.
            if lines.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(taken)));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    Ok(response)
}

fn line(value: &impl Serialize) -> std::io::Result<Bytes> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line.into())
}
