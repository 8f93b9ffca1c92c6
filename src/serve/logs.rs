//! Logs of installers on the disk: `state_dir/logs/HOST/ARMED-ATTEMPT/NAME`, where ARMED is the time of the
//! arming: a later arming never writes over what an earlier one left.
//!
//! **Invariant:** at most [`MAX_LOG`] bytes each, [`MAX_LOGS`] files and [`MAX_TOTAL`] bytes for an
//! attempt, [`MAX_ATTEMPTS`] attempts for a host; a log that breaks off leaves nothing behind; a name never
//! leads out of its folder. Uploads under way count among the files; those of the same moment, [`MAX_LOGS`]
//! at most, may pass the bound in bytes by as much as they hold themselves. No log takes the last
//! [`RESERVE`] of the disk: there the records and the journal are written as well.
//!
//! The oldest attempts of a host go when a further one begins. What hosts have left that are gone from the
//! reservations goes [`KEPT_OF_GONE`] after its last change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;

use crate::base::{HostName, Timestamp};
use crate::record::Record;

/// Largest log, in bytes.
pub const MAX_LOG: usize = 8 << 20;
/// Logs kept of one attempt.
pub const MAX_LOGS: usize = 32;
/// Bytes kept of one attempt.
pub const MAX_TOTAL: u64 = 64 << 20;
/// Attempts of which a host's logs are kept.
pub const MAX_ATTEMPTS: usize = 10;
/// How long logs are kept of hosts that are gone.
pub const KEPT_OF_GONE: Duration = Duration::from_secs(90 * 86_400);
/// Bytes of the disk that logs leave free; of a small one an eighth.
pub const RESERVE: u64 = 64 << 20;
/// How often it is looked how much of the disk is free, in bytes of a log.
const LOOK_EVERY: usize = 1 << 20;
/// What an upload that was cut off has left behind goes after this time. One that is under way writes
/// at least each [`FRAME_TIME`].
const LEFT_BEHIND: Duration = Duration::from_secs(600);
/// How long a log that is sent may stand still.
const FRAME_TIME: Duration = Duration::from_secs(30);
/// Longest name, in characters.
const MAX_NAME: usize = 100;
/// Uploads begun since the start.
static UPLOADS: AtomicU64 = AtomicU64::new(0);

/// Why a log was not kept.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It is larger than [`MAX_LOG`].
    #[error("a log has at most {} MiB", MAX_LOG >> 20)]
    TooLarge,
    /// The connection ended before its end.
    #[error("the log ended early: {0}")]
    Broken(String),
    /// It came too slowly.
    #[error("the log stood still for {} s", FRAME_TIME.as_secs())]
    Slow,
    /// As many as allowed are there.
    #[error("{} logs of this attempt are kept already in {}", MAX_LOGS, .0.display())]
    TooMany(PathBuf),
    /// As many bytes as allowed are there.
    #[error("the logs of this attempt in {} would be larger than {} MiB", .0.display(), MAX_TOTAL >> 20)]
    Full(PathBuf),
    /// What is left of the disk is for other things.
    #[error("{} has too little room left for logs", .0.display())]
    NoRoom(PathBuf),
    /// The disk refused.
    #[error("{} cannot be written: {}", .0.display(), .1)]
    Disk(PathBuf, #[source] io::Error),
}

/// The logs of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its name in commands and URLs: when it was armed, and the boot of the installer.
    pub id: String,
    /// The boot of the installer, from 1; 0: before the first.
    pub attempt: u32,
    /// The logs, by name.
    pub logs: Vec<LogFile>,
}

/// One log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// When it was written.
    pub at: Timestamp,
}

/// Whether a log may have this name.
pub fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// The name under which a path is kept: its last part, with a hyphen for what a name cannot hold.
pub fn name_of(path: &str) -> Option<String> {
    let last = path.rsplit('/').find(|part| !part.is_empty())?;
    let name: String = last
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
                c
            } else {
                '-'
            }
        })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(MAX_NAME)
        .collect();
    is_name(&name).then_some(name)
}

/// The attempt's number in the name of its folder.
fn attempt_of(id: &str) -> Option<u32> {
    let (armed, attempt) = id.rsplit_once('-')?;
    let sound = !armed.is_empty() && armed.chars().all(|c| c.is_ascii_alphanumeric());
    attempt.parse().ok().filter(|_| sound)
}

/// Where the logs of a record's attempt are kept.
pub fn folder_of(logs: &Path, record: &Record) -> PathBuf {
    // A live system that is never armed: when its boot began.
    let armed = record.armed_at.or(record.script_at).or(record.changed_at);
    let armed = armed.unwrap_or(Timestamp::from_secs(0)).compact();
    logs.join(record.host.as_str())
        .join(format!("{armed}-{}", record.attempt))
}

/// Keeps a log of a record's attempt under a name that [`is_name`] allows. Writes beside and renames: a log
/// of the same name is replaced as a whole or stays. Gives its place and size.
pub async fn keep(
    logs: &Path,
    record: &Record,
    name: &str,
    body: Body,
) -> Result<(PathBuf, u64), LogError> {
    let folder = folder_of(logs, record);
    let disk = |error| LogError::Disk(folder.clone(), error);
    let new = !tokio::fs::try_exists(&folder).await.map_err(disk)?;
    // Logs may hold what an installer was told: as closed as the state folder.
    tokio::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(&folder)
        .await
        .map_err(disk)?;
    if new {
        prune_attempts(&logs.join(record.host.as_str()), &folder).await;
    }
    leave_reserve(&folder).await?;
    let target = folder.join(name);
    // Two uploads of one name at once write to a file each.
    let number = UPLOADS.fetch_add(1, Ordering::Relaxed);
    let part = Part(folder.join(format!(".{name}{PART}{number}")));
    let file = tokio::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .open(&part.0)
        .await
        .map_err(disk)?;
    // Counted when its own file is there: of many at once none is overlooked.
    let (count, total) = others(&folder, name, &part.0).await.map_err(disk)?;
    if count >= MAX_LOGS {
        return Err(LogError::TooMany(folder));
    }
    let room = MAX_TOTAL.saturating_sub(total);
    if room == 0 {
        return Err(LogError::Full(folder));
    }
    let bytes = match write(file, &folder, body, room).await {
        Ok(bytes) => bytes,
        Err(Stop::Room) => return Err(LogError::Full(folder)),
        Err(Stop::Other(error)) => return Err(error),
    };
    tokio::fs::rename(&part.0, &target).await.map_err(disk)?;
    Ok((target, bytes))
}

/// What stands in the name of a file under way behind the log's.
const PART: &str = ".part-";

/// A file under way: removed when dropped, also when its request is given up. Once it is renamed there is
/// none of this name.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// How many logs an attempt has beside the one of this name, those under way but `own` among them, and how
/// many bytes they have together. Takes away what uploads have left behind that a kill has cut off.
async fn others(folder: &Path, name: &str, own: &Path) -> io::Result<(usize, u64)> {
    let mut entries = tokio::fs::read_dir(folder).await?;
    let (mut count, mut total) = (0, 0_u64);
    while let Some(entry) = entries.next_entry().await? {
        let found = entry.file_name();
        let path = entry.path();
        if found == name || path == own {
            continue;
        }
        // One that has gone meanwhile takes no room.
        let Ok(meta) = entry.metadata().await else {
            continue;
        };
        let is_part = found.as_encoded_bytes().starts_with(b".");
        let idle = meta.modified().ok().and_then(|at| at.elapsed().ok());
        if is_part && idle.is_some_and(|idle| idle > LEFT_BEHIND) {
            let _ = tokio::fs::remove_file(path).await;
            continue;
        }
        count += 1;
        total = total.saturating_add(meta.len());
    }
    Ok((count, total))
}

/// Refuses what would take the last of the disk.
async fn leave_reserve(folder: &Path) -> Result<(), LogError> {
    let path = folder.to_owned();
    let disk = |error| LogError::Disk(folder.to_owned(), error);
    let disk_room = tokio::task::spawn_blocking(move || nix::sys::statvfs::statvfs(&path));
    let room = disk_room
        .await
        .map_err(|error| disk(io::Error::other(error)))?
        .map_err(|errno| disk(errno.into()))?;
    let free = room.blocks_available().saturating_mul(room.fragment_size());
    let whole = room.blocks().saturating_mul(room.fragment_size());
    if leaves_reserve(free, whole) {
        Ok(())
    } else {
        Err(LogError::NoRoom(folder.to_owned()))
    }
}

fn leaves_reserve(free: u64, whole: u64) -> bool {
    free > RESERVE.min(whole / 8)
}

enum Stop {
    Room,
    Other(LogError),
}

async fn write(
    mut file: tokio::fs::File,
    folder: &Path,
    mut body: Body,
    room: u64,
) -> Result<u64, Stop> {
    let disk = |error| Stop::Other(LogError::Disk(folder.to_owned(), error));
    let (mut total, mut looked) = (0, 0);
    loop {
        let frame = tokio::time::timeout(FRAME_TIME, body.frame());
        let frame = frame.await.map_err(|_| Stop::Other(LogError::Slow))?;
        let Some(frame) = frame else {
            break;
        };
        let frame = frame.map_err(|error| Stop::Other(LogError::Broken(error.to_string())))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        total += data.len();
        if total > MAX_LOG {
            return Err(Stop::Other(LogError::TooLarge));
        }
        if u64::try_from(total).unwrap_or(u64::MAX) > room {
            return Err(Stop::Room);
        }
        if total >= looked + LOOK_EVERY {
            looked = total;
            leave_reserve(folder).await.map_err(Stop::Other)?;
        }
        file.write_all(&data).await.map_err(disk)?;
    }
    file.flush().await.map_err(disk)?;
    Ok(u64::try_from(total).unwrap_or(u64::MAX))
}

/// The folders of a host's attempts, newest first.
async fn folders(host: &Path) -> io::Result<Vec<(String, SystemTime)>> {
    let mut entries = match tokio::fs::read_dir(host).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        let Ok(id) = entry.file_name().into_string() else {
            continue;
        };
        let Ok(meta) = entry.metadata().await else {
            continue;
        };
        if attempt_of(&id).is_some() && meta.is_dir() {
            found.push((id, meta.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
        }
    }
    // By arming, then by attempt as a number.
    let key = |id: &str| {
        let armed = id.rsplit_once('-').map_or("", |(armed, _)| armed);
        (armed.to_owned(), attempt_of(id))
    };
    found.sort_by_cached_key(|(id, _)| std::cmp::Reverse(key(id)));
    Ok(found)
}

/// Takes the oldest attempts away, but never the one that has just begun. What cannot be taken away stays.
async fn prune_attempts(host: &Path, begun: &Path) {
    for (id, _) in folders(host)
        .await
        .unwrap_or_default()
        .into_iter()
        .skip(MAX_ATTEMPTS)
    {
        let old = host.join(id);
        if old != begun {
            let _ = tokio::fs::remove_dir_all(old).await;
        }
    }
}

/// Takes away what hosts have left that are gone, [`KEPT_OF_GONE`] after its last change. Gives their names.
pub async fn prune_gone(
    logs: &Path,
    is_host: impl Fn(&str) -> bool,
    now: Timestamp,
) -> io::Result<Vec<String>> {
    let mut entries = match tokio::fs::read_dir(logs).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut gone = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if is_host(&name) || name.parse::<HostName>().is_err() {
            continue;
        }
        let kept = folders(&entry.path()).await?;
        let own = entry.metadata().await.and_then(|meta| meta.modified()).ok();
        let last = kept.into_iter().map(|(_, at)| at).chain(own).max();
        let old = last.is_some_and(|last| now.since(timestamp(last)) > KEPT_OF_GONE);
        if old && tokio::fs::remove_dir_all(entry.path()).await.is_ok() {
            gone.push(name);
        }
    }
    Ok(gone)
}

/// All attempts of a host with their logs, newest first.
pub async fn list(logs: &Path, host: &HostName) -> io::Result<Vec<Attempt>> {
    let host = logs.join(host.as_str());
    let mut attempts = Vec::new();
    for (id, _) in folders(&host).await? {
        let mut files = Vec::new();
        let mut entries = tokio::fs::read_dir(host.join(&id)).await?;
        while let Some(entry) = entries.next_entry().await? {
            let (Ok(name), Ok(meta)) = (entry.file_name().into_string(), entry.metadata().await)
            else {
                continue;
            };
            if is_name(&name) && meta.is_file() {
                files.push(LogFile {
                    name,
                    bytes: meta.len(),
                    at: meta.modified().map_or(Timestamp::from_secs(0), timestamp),
                });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        attempts.push(Attempt {
            attempt: attempt_of(&id).unwrap_or_default(),
            id,
            logs: files,
        });
    }
    Ok(attempts)
}

fn timestamp(at: SystemTime) -> Timestamp {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Opens one log, with its size; `None`: it is not there.
pub async fn open(
    logs: &Path,
    host: &HostName,
    id: &str,
    name: &str,
) -> io::Result<Option<(tokio::fs::File, u64)>> {
    if attempt_of(id).is_none() || !is_name(name) {
        return Ok(None);
    }
    let path = logs.join(host.as_str()).join(id).join(name);
    match tokio::fs::File::open(path).await {
        Ok(file) => {
            let meta = file.metadata().await?;
            Ok(meta.is_file().then_some((file, meta.len())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(armed: i64, attempt: u32) -> Record {
        Record {
            armed_at: Some(Timestamp::from_secs(armed)),
            attempt,
            ..Record::new("web01".parse().unwrap())
        }
    }

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
        assert_eq!(
            name_of("/var/log/installer/a b.log").as_deref(),
            Some("a-b.log")
        );
        assert_eq!(name_of("/root/.hidden").as_deref(), Some("hidden"));
        for none in ["", "/", "..", "/…"] {
            assert_eq!(name_of(none), None, "{none}");
        }
        assert_eq!(attempt_of("20261121T085238Z-12"), Some(12));
        for bad in ["..", "x", "-1", "a/b-1", "../../x-1", "20261121T085238Z-x"] {
            assert_eq!(attempt_of(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn logs_are_replaced_whole_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (logs, record) = (folder.path(), record(1_800_000_000, 1));
        let store = async |name: &str, body: Body| keep(logs, &record, name, body).await;
        let (place, bytes) = store("syslog", Body::from("one")).await.unwrap();
        assert_eq!(bytes, 3);
        store("syslog", Body::from("second")).await.unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"second");
        let large = || Body::from(vec![b'x'; MAX_LOG + 1]);
        assert!(matches!(
            store("syslog", large()).await,
            Err(LogError::TooLarge)
        ));
        assert_eq!(std::fs::read(&place).unwrap(), b"second");
        for i in 1..MAX_LOGS {
            store(&format!("l{i}"), Body::empty()).await.unwrap();
        }
        assert!(matches!(
            store("further", Body::empty()).await,
            Err(LogError::TooMany(_))
        ));
        assert!(store("l1", Body::from("again")).await.is_ok());
        let folder = place.parent().unwrap();
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), MAX_LOGS);
    }

    #[tokio::test]
    async fn an_attempt_has_a_bound_in_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (logs, record) = (folder.path(), record(1_800_000_000, 1));
        let (first, _) = keep(logs, &record, "l0", Body::from("x")).await.unwrap();
        // Sparse: as large as all but a little of the bound.
        let file = std::fs::File::options().write(true).open(&first).unwrap();
        file.set_len(MAX_TOTAL - 10).unwrap();
        assert!(
            keep(logs, &record, "l1", Body::from("0123456789"))
                .await
                .is_ok()
        );
        assert!(matches!(
            keep(logs, &record, "l2", Body::from("x")).await,
            Err(LogError::Full(_))
        ));
        assert!(matches!(
            keep(logs, &record, "l1", Body::from("0123456789a")).await,
            Err(LogError::Full(_))
        ));
        // What takes the place of a larger one has room.
        assert!(keep(logs, &record, "l0", Body::from("small")).await.is_ok());
        assert_eq!(list(logs, &record.host).await.unwrap()[0].logs.len(), 2);
    }

    #[tokio::test]
    async fn uploads_under_way_count_and_what_a_kill_has_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (logs, record) = (folder.path(), record(1_800_000_000, 1));
        let (send, gates): (Vec<_>, Vec<_>) = (0..MAX_LOGS)
            .map(|_| tokio::sync::oneshot::channel::<()>())
            .unzip();
        let (counted, mut let_in) = tokio::sync::mpsc::unbounded_channel();
        let uploads: Vec<_> = gates
            .into_iter()
            .enumerate()
            .map(|(i, gate)| {
                let (logs, record) = (logs.to_owned(), record.clone());
                let counted = counted.clone();
                let chunk = async move {
                    // Its body is asked for: it has been let in.
                    counted.send(()).unwrap();
                    let _ = gate.await;
                    Ok::<_, io::Error>(bytes::Bytes::from_static(b"x"))
                };
                let body = Body::from_stream(futures_util::stream::once(chunk));
                tokio::spawn(async move { keep(&logs, &record, &format!("l{i}"), body).await })
            })
            .collect();
        let own = folder_of(logs, &record);
        let parts = || std::fs::read_dir(&own).map_or(0, Iterator::count);
        for _ in 0..MAX_LOGS {
            let_in.recv().await.unwrap();
        }
        assert_eq!(parts(), MAX_LOGS);
        let further = keep(logs, &record, "further", Body::from("x")).await;
        assert!(matches!(further, Err(LogError::TooMany(_))), "{further:?}");
        // The client of one of them has hung up: nothing stays.
        let mut uploads = uploads.into_iter();
        uploads.next().unwrap().abort();
        while parts() == MAX_LOGS {
            tokio::task::yield_now().await;
        }
        drop(send);
        for upload in uploads {
            upload.await.unwrap().unwrap();
        }
        assert_eq!(parts(), MAX_LOGS - 1);
        // The daemon was killed while one came.
        let left = own.join(".syslog.part-7");
        std::fs::write(&left, b"half").unwrap();
        let full = keep(logs, &record, "further", Body::from("x")).await;
        assert!(matches!(full, Err(LogError::TooMany(_))), "{full:?}");
        let file = std::fs::File::options().write(true).open(&left).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        keep(logs, &record, "further", Body::from("x"))
            .await
            .unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn logs_leave_room_for_the_rest() {
        assert!(leaves_reserve(RESERVE + 1, u64::MAX));
        assert!(!leaves_reserve(RESERVE, u64::MAX));
        assert!(leaves_reserve(3 << 20, 16 << 20));
        assert!(!leaves_reserve(2 << 20, 16 << 20));
    }

    #[tokio::test]
    async fn old_attempts_go_and_the_list_is_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path();
        for attempt in 1..=12 {
            let record = record(1_800_000_000, attempt);
            keep(logs, &record, "syslog", Body::from("x"))
                .await
                .unwrap();
        }
        let later = record(1_800_009_999, 1);
        keep(logs, &later, "curtin.log", Body::from("abc"))
            .await
            .unwrap();
        let kept = list(logs, &later.host).await.unwrap();
        assert_eq!(kept.len(), MAX_ATTEMPTS);
        assert_eq!(kept[0].attempt, 1);
        assert_eq!(
            (kept[0].logs[0].name.as_str(), kept[0].logs[0].bytes),
            ("curtin.log", 3)
        );
        let numbers: Vec<u32> = kept.iter().skip(1).map(|a| a.attempt).collect();
        assert_eq!(numbers, [12, 11, 10, 9, 8, 7, 6, 5, 4]);
        assert!(
            open(logs, &later.host, &kept[0].id, "curtin.log")
                .await
                .unwrap()
                .is_some()
        );
        for (id, name) in [
            (kept[0].id.as_str(), "none"),
            ("..", "curtin.log"),
            (kept[0].id.as_str(), "../syslog"),
        ] {
            assert!(open(logs, &later.host, id, name).await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn what_gone_hosts_left_goes_later() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path();
        let record = record(1_800_000_000, 1);
        keep(logs, &record, "syslog", Body::from("x"))
            .await
            .unwrap();
        let kept = std::fs::metadata(logs.join("web01")).unwrap();
        let now = timestamp(kept.modified().unwrap()).plus(Duration::from_secs(60));
        let later = now.plus(KEPT_OF_GONE);
        let none = |_: &str| false;
        assert!(prune_gone(logs, none, now).await.unwrap().is_empty());
        assert!(prune_gone(logs, |_| true, later).await.unwrap().is_empty());
        assert_eq!(prune_gone(logs, none, later).await.unwrap(), ["web01"]);
        assert!(list(logs, &record.host).await.unwrap().is_empty());
        let missing = logs.join("none");
        assert!(prune_gone(&missing, none, later).await.unwrap().is_empty());
    }
}
