//! Opening a redb file so that nothing is lost and nothing panics: shared by the store and the journal.
//!
//! redb verifies its pages only when it repairs. [`open`] has it verify all of them, catches a panic
//! that a mangled page may still cause, and tells a damaged file from a disk that refuses: the first is
//! set aside, the second is tried again.
//!
//! **Invariant:** a file is renamed, never deleted or overwritten.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, StorageError};

use super::OpenError;
use crate::base::Timestamp;

/// Pages of one file kept in memory, in bytes.
const CACHE: usize = 4 << 20;

/// What stands in the way of using a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is no such file, of another version, or mangled.
    Damaged(String),
    /// The disk is full, read-only or failing.
    Disk(String),
    /// Nothing that waiting or renaming would mend.
    Hopeless(OpenError),
}

impl Trouble {
    /// One sentence.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Damaged(text) | Self::Disk(text) => text.clone(),
            Self::Hopeless(error) => error.to_string(),
        }
    }

    fn io(path: &Path, error: &std::io::Error) -> Self {
        let why = error.to_string();
        match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData => Self::Damaged(why),
            ErrorKind::NotFound => {
                let folder = path.parent().unwrap_or(path).to_owned();
                Self::Hopeless(OpenError::NoFolder(folder))
            }
            ErrorKind::PermissionDenied => Self::Hopeless(OpenError::Denied {
                path: path.to_owned(),
                why,
            }),
            ErrorKind::WouldBlock => Self::Hopeless(OpenError::Locked(path.to_owned())),
            ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::FileTooLarge => Self::Disk(why),
            _ if error.raw_os_error() == Some(nix::libc::EIO) => Self::Disk(why),
            _ => Self::Hopeless(OpenError::System {
                path: path.to_owned(),
                why,
            }),
        }
    }

    /// What an error of redb's means for this file.
    pub(crate) fn of(path: &Path, error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => Self::Hopeless(OpenError::Locked(path.to_owned())),
            redb::Error::Io(error) => Self::io(path, &error),
            redb::Error::PreviousIo => Self::Disk("an earlier write failed".to_owned()),
            redb::Error::UpgradeRequired(version) => {
                Self::Damaged(format!("written in file format {version}"))
            }
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// Runs what may panic on a mangled file.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        Err(Trouble::Damaged(format!("reading it failed: {text}")))
    })
}

/// Opens a file that is there and verifies every page of it.
pub(crate) fn open(path: &Path) -> Result<Database, Trouble> {
    let mut database = open_unverified(path)?;
    guarded(|| match database.check_integrity() {
        // `false`: the notes about free pages were made anew; the data itself was verified.
        Ok(_) => Ok(()),
        Err(DatabaseError::Storage(StorageError::Corrupted(text))) => Err(Trouble::Damaged(text)),
        Err(error) => Err(Trouble::of(path, error)),
    })?;
    Ok(database)
}

/// Opens a file that is there. Its pages are verified only when it was not closed well.
pub(crate) fn open_unverified(path: &Path) -> Result<Database, Trouble> {
    guarded(|| {
        let size = std::fs::metadata(path)
            .map_err(|error| Trouble::io(path, &error))?
            .len();
        if size == 0 {
            return Err(Trouble::Damaged("it is empty".to_owned()));
        }
        builder()
            .open(path)
            .map_err(|error| Trouble::of(path, error))
    })
}

/// The system keeps a file's pages in memory as well; redb's own bound, a gigabyte, would be the whole journal.
fn builder() -> redb::Builder {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(CACHE);
    builder
}

/// Makes a new file, readable by its owner only (tokens are in it). It appears under its name once it
/// is whole, and only if there is none.
pub(crate) fn create(
    path: &Path,
    fill: impl FnOnce(&Database) -> Result<(), Trouble>,
) -> Result<Database, Trouble> {
    let io = |error: std::io::Error| Trouble::io(path, &error);
    let unfinished = beside(path, "new");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(io)?;
    let database = guarded(|| {
        let database = builder()
            .create_file(file)
            .map_err(|error| Trouble::of(path, error))?;
        fill(&database)?;
        Ok(database)
    });
    let done = database.and_then(|database| {
        std::fs::hard_link(&unfinished, path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Trouble::Hopeless(OpenError::Locked(path.to_owned())),
            _ => Trouble::io(path, &error),
        })?;
        Ok(database)
    });
    let _ = std::fs::remove_file(&unfinished);
    let database = done?;
    if let Some(Ok(folder)) = path.parent().map(File::open) {
        // The name has to be on disk as well as what it names.
        folder
            .sync_all()
            .map_err(|error| Trouble::io(path, &error))?;
    }
    Ok(database)
}

/// Renames a damaged file to `NAME.damaged-TIME` and tells its new name.
pub(crate) fn set_aside(path: &Path, damage: &str, now: Timestamp) -> Result<PathBuf, OpenError> {
    let stamp = jiff::Timestamp::from_microsecond(now.as_micros()).map_or_else(
        |_| now.as_micros().to_string(),
        |time| time.strftime("%Y%m%dT%H%M%SZ").to_string(),
    );
    let mut kept_as = beside(path, &format!("damaged-{stamp}"));
    let mut further = 2;
    while kept_as.symlink_metadata().is_ok() {
        kept_as = beside(path, &format!("damaged-{stamp}-{further}"));
        further += 1;
    }
    std::fs::rename(path, &kept_as).map_err(|error| OpenError::CannotSetAside {
        path: path.to_owned(),
        damage: damage.to_owned(),
        why: error.to_string(),
    })?;
    Ok(kept_as)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}
