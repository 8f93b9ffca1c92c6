//! Editing the reservations of a configuration: find the file, edit its text, check the whole, write.
//!
//! An edit is a function over all files of `[server] reservations` as they are. What it makes of them is checked in
//! memory, with all the rest of the configuration, as `check` and a reload do; new errors refuse it. Then the files are
//! read once more: what somebody has changed meanwhile is edited anew. Commands keep out of each other's way by a lock on
//! the folders.
//!
//! **Invariant:** a file is replaced only when its content is what the edit began with ([`write`]); with several files
//! either all are replaced or none. Nothing is written for an edit that is refused.

mod problems;
mod reservations;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use similar::TextDiff;

pub use self::problems::Refusal;
pub use self::reservations::{Reservations, Touched, What};

use crate::config::edit::{EditError, Entry};
use crate::config::source::{DiskFiles, Files, Overlay};
use crate::config::{Problem, Severity, SourceMap};
use crate::render::load::{self, Loaded};

/// How often an edit is made anew because files were changed meanwhile.
const TRIES: u32 = 5;

/// How long a command waits for another one that edits.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest search for the shortest difference.
const DIFF_TIME: Duration = Duration::from_secs(2);

/// What is done with an edit that is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    DryRun,
    /// It is written.
    Write,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text of a file stands against the edit.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: EditError,
    },
    /// No file has this host or group.
    #[error("no reservations file has {entry}{}", hint(nearest.as_deref()))]
    NoEntry {
        /// What was looked for.
        entry: Entry,
        /// A name that is like it.
        nearest: Option<String>,
    },
    /// The host or group is there already.
    #[error("{entry} is there already: {}:{line}", path.display())]
    There {
        /// What was to be added.
        entry: Entry,
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
    },
    /// The file that was named is none of the reservations.
    #[error(
        "{} is none of this configuration's reservations, which are {}: name one of them, or add it to `reservations` of [server]",
        path.display(),
        list(known)
    )]
    NotOurs {
        /// As it was named.
        path: PathBuf,
        /// Those that are.
        known: Vec<PathBuf>,
    },
    /// Whoever edits refuses, for a reason of his own.
    #[error("{0}")]
    Refused(String),
    /// The configuration cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration would have errors that it has not now.
    #[error("{0}")]
    Problems(Box<Refusal>),
    /// Another command edits.
    #[error(
        "another bootwright command has been editing in {} for {} s: try again when it has ended",
        path.display(),
        PATIENCE.as_secs()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// Somebody changes the file all the time.
    #[error("{} is being changed by somebody else: nothing was written; try again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("{} cannot be written: {source}{}", path.display(), remedy(path, source))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Of several files some were written and could not be taken back.
    #[error(
        "{} cannot be written ({source}), and {} could not be put back as it was: look at both",
        path.display(),
        list(written)
    )]
    Half {
        /// The file that failed.
        path: PathBuf,
        /// Those that were written before it.
        written: Vec<PathBuf>,
        /// Why it failed.
        source: io::Error,
    },
}

impl From<EditError> for Error {
    fn from(error: EditError) -> Self {
        Self::Refused(error.to_string())
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(": did you mean {name}?"))
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(", ")
}

fn remedy(path: &Path, error: &io::Error) -> String {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "\n  it is replaced as a whole, which needs the right to write in {}: use sudo",
            folder.display()
        ),
        io::ErrorKind::ResourceBusy => format!(
            "\n  it is mounted by itself and cannot be replaced: mount its folder {} instead",
            folder.display()
        ),
        _ => String::new(),
    }
}

/// What became of an edit.
#[derive(Debug)]
pub struct Applied<T> {
    /// What the edit gave.
    pub value: T,
    /// The files that differ, in the order in which they are read; none when the edit changes nothing.
    pub files: Vec<Change>,
    /// The hosts and groups that it was about, in its order, with their places in the new texts.
    pub touched: Vec<Touched>,
    /// Warnings that were not there before.
    pub warnings: Vec<Problem>,
    /// Errors that were there before and still are: no daemon takes the files up.
    pub errors_before: Vec<Problem>,
    /// The new texts, for showing problems.
    pub sources: SourceMap,
    /// What else should be known of the writing.
    pub notes: Vec<String>,
    /// Whether it was written.
    pub written: bool,
}

/// One file that an edit changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its path, as messages show it.
    pub path: PathBuf,
    /// Whether it was not there.
    pub created: bool,
    /// The difference, as `diff -u` writes it.
    pub diff: String,
}

/// Makes an edit of a configuration's reservations. `config` is `bootwright.toml`. `edit` may be called several times,
/// always with the files as they are.
pub fn apply<T>(
    config: &Path,
    mode: Mode,
    edit: &mut dyn FnMut(&mut Reservations) -> Result<T, Error>,
) -> Result<Applied<T>, Error> {
    apply_watched(config, mode, edit, &mut |_| {})
}

/// As [`apply`]; `watch` is told before each step that somebody else may come in between.
pub(crate) fn apply_watched<T>(
    config: &Path,
    mode: Mode,
    edit: &mut dyn FnMut(&mut Reservations) -> Result<T, Error>,
    watch: &mut dyn FnMut(write::Step<'_>),
) -> Result<Applied<T>, Error> {
    let _lock = match mode {
        Mode::Write => Some(write::Lock::take(config, PATIENCE)?),
        Mode::DryRun => None,
    };
    let mut tries = 0;
    loop {
        tries += 1;
        let mut reservations = Reservations::read(Arc::new(DiskFiles), config)?;
        let value = edit(&mut reservations)?;
        let mut applied = checked(&mut reservations, value)?;
        if mode == Mode::DryRun || applied.files.is_empty() {
            return Ok(applied);
        }
        watch(write::Step::Checked);
        match write::all(&reservations.changed()?, watch)? {
            write::Written::All(notes) => {
                applied.notes = notes;
                applied.written = true;
                return Ok(applied);
            }
            // Whatever it was, it is edited as it is now.
            write::Written::Changed(path) if tries >= TRIES => {
                return Err(Error::Changed { path });
            }
            write::Written::Changed(_) => {}
        }
    }
}

/// Checks what an edit has made, with the rest of the configuration.
fn checked<T>(reservations: &mut Reservations, value: T) -> Result<Applied<T>, Error> {
    let changed = reservations.changed()?;
    let touched = reservations.touched()?;
    if changed.is_empty() {
        return Ok(Applied {
            value,
            files: Vec::new(),
            touched,
            warnings: Vec::new(),
            errors_before: Vec::new(),
            sources: SourceMap::default(),
            notes: Vec::new(),
            written: false,
        });
    }
    let files: Vec<Change> = changed.iter().map(Change::of).collect();
    let disk = reservations.disk();
    let mut candidate = Overlay::new(&*disk);
    reservations.put_into(&mut candidate, true)?;
    let after = load::load(&candidate, reservations.config(), 0);
    let (new, old) = if after.problems.is_empty() {
        (Vec::new(), Vec::new())
    } else {
        problems::told_apart(reservations.before(), &after)
    };
    if new
        .iter()
        .any(|problem| problem.severity == Severity::Error)
    {
        return Err(Error::Problems(Box::new(Refusal {
            new,
            old,
            sources: after.sources,
            files,
        })));
    }
    let errors_before = old
        .into_iter()
        .filter(|problem| problem.severity == Severity::Error)
        .collect();
    Ok(Applied {
        value,
        files,
        touched,
        warnings: new,
        errors_before,
        sources: after.sources,
        notes: Vec::new(),
        written: false,
    })
}

/// One file's text before and after an edit.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    pub(crate) path: PathBuf,
    /// `None`: it was not there.
    pub(crate) before: Option<Arc<str>>,
    pub(crate) after: Arc<str>,
}

impl Change {
    fn of(changed: &Changed) -> Self {
        let path = changed.path.display().to_string();
        let before = changed.before.as_deref().unwrap_or_default();
        let diff = TextDiff::configure()
            .timeout(DIFF_TIME)
            .diff_lines(before, &*changed.after);
        let from = match changed.before {
            Some(_) => path.as_str(),
            None => "/dev/null",
        };
        let diff = diff
            .unified_diff()
            .context_radius(3)
            .header(from, &path)
            .to_string();
        Self {
            path: changed.path.clone(),
            created: changed.before.is_none(),
            diff,
        }
    }
}

/// Loads a configuration with the reservations as an edit found them.
fn load_before(disk: &dyn Files, config: &Path, texts: &[(PathBuf, Arc<str>)]) -> Loaded {
    let mut files = Overlay::new(disk);
    for (path, text) in texts {
        files.put(path.clone(), Arc::clone(text));
    }
    load::load(&files, config, 0)
}
