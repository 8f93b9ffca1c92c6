//! Logs of installers: kept under `state_dir/logs/HOST/ARMED-ATTEMPT/NAME`, where ARMED is the time of the
//! arming: a later arming never writes over what an earlier one left.
//!
//! **Invariant:** at most [`MAX_LOG`] bytes each and [`MAX_LOGS`] files for an attempt; a log that breaks
//! off leaves nothing behind; a name never leads out of its folder.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{Request, StatusCode};
use tokio::io::AsyncWriteExt as _;

use super::report::record_for;
use super::{BodyError, Visit, plain};
use crate::base::{Timestamp, Token};
use crate::journal::event::{Kind, Reason};
use crate::record::{Input, Record};
use crate::serve::installs;

/// Largest log, in bytes.
pub const MAX_LOG: usize = 8 << 20;
/// Logs kept of one attempt.
pub const MAX_LOGS: usize = 32;
/// How long a log that is sent may stand still.
const FRAME_TIME: Duration = Duration::from_secs(30);
/// Uploads begun since the start.
static UPLOADS: AtomicU64 = AtomicU64::new(0);
/// Longest name, in characters.
const MAX_NAME: usize = 100;

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
    let folder = folder_of(&visit.plane.logs, &record);
    match store(&folder, &name, request.into_body()).await {
        Ok(bytes) => {
            let mut event = visit
                .event(Kind::ReportLog, Reason::Reported)
                .host(record.host.clone())
                .mac(record.macs.first().copied());
            event.bytes = Some(bytes);
            event.detail = Some(format!("kept as {}", folder.join(&name).display()));
            visit.tell(event);
            sign_of_life(&visit, &record, &token).await;
            plain(StatusCode::OK, "ok\n".to_owned())
        }
        Err(LogError::Body(error)) => visit.bad_body(&error),
        Err(error @ LogError::TooMany(_)) => visit.refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            Reason::TooLarge,
            error.to_string(),
        ),
        Err(error @ LogError::Disk(..)) => visit.refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            Reason::DiskFull,
            error.to_string(),
        ),
    }
}

fn folder_of(logs: &Path, record: &Record) -> PathBuf {
    let armed = record.armed_at.map(Timestamp::compact).unwrap_or_default();
    logs.join(record.host.as_str())
        .join(format!("{armed}-{}", record.attempt))
}

/// Keeps what a machine tells of itself when it asks for its answers (a POSTed body, as Proxmox's installer
/// sends it) beside the logs of the attempt, as `facts`. What became of it is for the event: a
/// machine gets its answers whether or not its facts can be kept.
pub(crate) async fn keep_facts(visit: &Visit, record: &Record, facts: Bytes) -> Option<String> {
    if facts.is_empty() {
        return None;
    }
    let folder = folder_of(&visit.plane.logs, record);
    Some(match store(&folder, "facts", Body::from(facts)).await {
        Ok(_) => format!("its facts are kept as {}", folder.join("facts").display()),
        Err(error) => format!("its facts could not be kept: {error}"),
    })
}

/// An installer that sends its log is not silent. The log is kept whether or not this can be noted.
async fn sign_of_life(visit: &Visit, record: &Record, token: &Token) {
    let input = Input::Asset { kernel: false };
    let _ = visit
        .plane
        .ctx
        .installs
        .apply_under(
            &visit.in_force.snapshot,
            token,
            &record.host,
            |_| input.clone(),
            &installs::Context::default(),
        )
        .await;
}

#[derive(Debug, thiserror::Error)]
enum LogError {
    #[error(transparent)]
    Body(BodyError),
    #[error("{} logs of this attempt are kept already in {}", MAX_LOGS, .0.display())]
    TooMany(PathBuf),
    #[error("{} cannot be written: {}", .0.display(), .1)]
    Disk(PathBuf, #[source] io::Error),
}

fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Writes beside and renames: a log of the same name is replaced as a whole or stays.
async fn store(folder: &Path, name: &str, body: Body) -> Result<u64, LogError> {
    let disk = |error| LogError::Disk(folder.to_owned(), error);
    // Logs may hold what an installer was told: as closed as the state folder.
    tokio::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(folder)
        .await
        .map_err(disk)?;
    let target = folder.join(name);
    if !tokio::fs::try_exists(&target).await.map_err(disk)? && count(folder).await? >= MAX_LOGS {
        return Err(LogError::TooMany(folder.to_owned()));
    }
    // Two uploads of one name at once write to a file each.
    let number = UPLOADS.fetch_add(1, Ordering::Relaxed);
    let part = folder.join(format!(".{name}.{number}.part"));
    let written = write(&part, body).await;
    let renamed = match written {
        Ok(bytes) => tokio::fs::rename(&part, &target)
            .await
            .map(|()| bytes)
            .map_err(disk),
        Err(error) => Err(error),
    };
    if renamed.is_err() {
        let _ = tokio::fs::remove_file(&part).await;
    }
    renamed
}

async fn count(folder: &Path) -> Result<usize, LogError> {
    let disk = |error| LogError::Disk(folder.to_owned(), error);
    let mut entries = tokio::fs::read_dir(folder).await.map_err(disk)?;
    let mut count = 0;
    while let Some(entry) = entries.next_entry().await.map_err(disk)? {
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            count += 1;
        }
    }
    Ok(count)
}

async fn write(part: &Path, mut body: Body) -> Result<u64, LogError> {
    let disk = |error| LogError::Disk(part.to_owned(), error);
    let mut file = tokio::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .open(part)
        .await
        .map_err(disk)?;
    let mut total = 0;
    loop {
        let frame = tokio::time::timeout(FRAME_TIME, body.frame());
        let frame = frame.await.map_err(|_| LogError::Body(BodyError::Slow))?;
        let Some(frame) = frame else {
            break;
        };
        let frame = frame.map_err(|error| LogError::Body(BodyError::Broken(error.to_string())))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        total += data.len();
        if total > MAX_LOG {
            return Err(LogError::Body(BodyError::TooLarge(MAX_LOG)));
        }
        file.write_all(&data).await.map_err(disk)?;
    }
    file.flush().await.map_err(disk)?;
    Ok(u64::try_from(total).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["syslog", "d-i.log", "curtin_2.tar.gz"] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".hidden",
            "-x",
            "a/b",
            "a\0b",
            "ä",
            &"x".repeat(101),
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn logs_are_replaced_whole_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("web01/1");
        assert_eq!(
            store(&folder, "syslog", Body::from("one")).await.unwrap(),
            3
        );
        assert_eq!(
            store(&folder, "syslog", Body::from("second"))
                .await
                .unwrap(),
            6
        );
        assert_eq!(std::fs::read(folder.join("syslog")).unwrap(), b"second");
        let large = Body::from(vec![b'x'; MAX_LOG + 1]);
        assert!(matches!(
            store(&folder, "syslog", large).await,
            Err(LogError::Body(BodyError::TooLarge(_)))
        ));
        assert_eq!(std::fs::read(folder.join("syslog")).unwrap(), b"second");
        for i in 1..MAX_LOGS {
            store(&folder, &format!("l{i}"), Body::empty())
                .await
                .unwrap();
        }
        assert!(matches!(
            store(&folder, "further", Body::empty()).await,
            Err(LogError::TooMany(_))
        ));
        assert!(store(&folder, "l1", Body::from("again")).await.is_ok());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), MAX_LOGS);
    }
}
