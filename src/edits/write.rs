//! Replacing files, all or none, and never over somebody else's change.
//!
//! A new text goes into a file of its own beside the old one, on disk, with the old one's mode and owner. Then the two
//! exchange their names in one step (`renameat2` with `RENAME_EXCHANGE`), and only then the old one is read: if it is not what
//! the edit began with, they change back. So no moment is left in which somebody's save could be lost. Where the file
//! system knows no exchange the content is compared right before the renaming.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, XattrFlags};
use rustix::io::Errno;

use super::{Changed, Error};

/// How often a lock is asked for.
const LOCK_EVERY: Duration = Duration::from_millis(20);

/// How many temporary files that were left behind are passed over.
const MOST_LEFT: u32 = 10_000;

/// Steps between which somebody else may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<'p> {
    /// The edit is good, nothing is written yet.
    Checked,
    /// This file is replaced next.
    Replace(&'p Path),
    /// This file was replaced, and the old one not looked at yet.
    Replaced(&'p Path),
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Written {
    /// All files are replaced; what should be known of it.
    All(Vec<String>),
    /// None is: somebody else has changed this one.
    Changed(PathBuf),
}

/// Keeps other commands out while an edit is made.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held")] File);

impl Lock {
    /// Takes the lock of a configuration: on the folder itself, so that no file of it is left behind.
    pub(super) fn take(config: &Path, patience: Duration) -> Result<Self, Error> {
        let folder = match config.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        let file = File::open(&folder).map_err(|source| Error::Unreadable {
            path: folder.clone(),
            source,
        })?;
        let until = Instant::now() + patience;
        loop {
            match file.try_lock() {
                // A file system without locks: changes are still seen when it comes to writing.
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(LOCK_EVERY);
                }
                Err(TryLockError::WouldBlock) => return Err(Error::Locked { path: folder }),
            }
        }
    }
}

/// A new text on disk, not yet in its place.
struct Staged<'c> {
    changed: &'c Changed,
    /// The file itself, behind links.
    real: PathBuf,
    temporary: PathBuf,
    /// Whether the name in its place is the new text's.
    placed: bool,
    /// Whether the old text has the temporary name.
    exchanged: bool,
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // The new text that found no place, or the old one that was read and is no longer wanted.
        if !self.placed || self.exchanged {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Replaces files.
pub(super) fn all(changes: &[Changed], watch: &mut dyn FnMut(Step<'_>)) -> Result<Written, Error> {
    let mut notes = Vec::new();
    let mut staged = Vec::new();
    for changed in changes {
        staged.push(stage(changed, &mut notes).map_err(|source| Error::Write {
            path: changed.path.clone(),
            source,
        })?);
    }
    for one in &staged {
        if !is_as_read(one).map_err(|source| failed(one, source))? {
            return Ok(Written::Changed(one.changed.path.clone()));
        }
    }
    for at in 0..staged.len() {
        let result = match staged.get_mut(at) {
            Some(one) => place(one, watch),
            None => break,
        };
        match result {
            Ok(true) => {}
            Ok(false) => {
                let path = changes
                    .get(at)
                    .map(|one| one.path.clone())
                    .unwrap_or_default();
                take_back(&mut staged, at, || Error::Changed { path: path.clone() })?;
                return Ok(Written::Changed(path));
            }
            Err(source) => {
                let path = changes
                    .get(at)
                    .map(|one| one.path.clone())
                    .unwrap_or_default();
                let kind = source.kind();
                take_back(&mut staged, at, || Error::Write {
                    path: path.clone(),
                    source: kind.into(),
                })?;
                return Err(Error::Write { path, source });
            }
        }
    }
    for one in &staged {
        if let Some(folder) = one.real.parent() {
            // A file system that cannot sync a folder has said all it can.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
    }
    Ok(Written::All(notes))
}

fn failed(one: &Staged<'_>, source: io::Error) -> Error {
    Error::Write {
        path: one.changed.path.clone(),
        source,
    }
}

/// Puts the files before this one back.
fn take_back(
    staged: &mut [Staged<'_>],
    before: usize,
    why: impl Fn() -> Error,
) -> Result<(), Error> {
    let mut left = Vec::new();
    for one in staged.iter_mut().take(before) {
        let undone = if one.changed.before.is_none() {
            std::fs::remove_file(&one.real)
        } else if one.exchanged {
            exchange(&one.temporary, &one.real)
        } else {
            // Its old text has no name any more: it is written again.
            let text = one.changed.before.as_deref().unwrap_or_default();
            std::fs::write(&one.temporary, text)
                .and_then(|()| std::fs::rename(&one.temporary, &one.real))
        };
        match undone {
            Ok(()) => one.placed = false,
            Err(_) => left.push(one.changed.path.clone()),
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    let (path, source) = match why() {
        Error::Write { path, source } => (path, source),
        Error::Changed { path } => (
            path,
            io::Error::other("somebody else has changed it meanwhile"),
        ),
        other => return Err(other),
    };
    Err(Error::Half {
        path,
        written: left,
        source,
    })
}

/// Writes a new text beside the file that it is to replace.
fn stage<'c>(changed: &'c Changed, notes: &mut Vec<String>) -> io::Result<Staged<'c>> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let real = real_path(&changed.path)?;
    let folder = real.parent().unwrap_or_else(|| Path::new("."));
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    let mut left = 0;
    let (temporary, mut file) = loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // Names with a dot are no configuration.
        let temporary = folder.join(format!(".{name}.bootwright-{}-{count}", std::process::id()));
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary);
        match opened {
            Ok(file) => break (temporary, file),
            // Left by a command that was killed; in a container the next one has its number again.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && left < MOST_LEFT => {
                left += 1;
            }
            Err(error) => return Err(error),
        }
    };
    let staged = Staged {
        changed,
        real,
        temporary,
        placed: false,
        exchanged: false,
    };
    file.write_all(changed.after.as_bytes())?;
    match std::fs::metadata(&staged.real) {
        Ok(old) => {
            let new = file.metadata()?;
            if (new.uid(), new.gid()) != (old.uid(), old.gid())
                && std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid())).is_err()
            {
                let _ = std::os::unix::fs::fchown(&file, None, Some(old.gid()));
                let now = file.metadata()?;
                notes.push(format!(
                    "{} belonged to user {} and group {} and now belongs to user {} and group {}: giving files away is root's",
                    changed.path.display(),
                    old.uid(),
                    old.gid(),
                    now.uid(),
                    now.gid()
                ));
            }
            file.set_permissions(std::fs::Permissions::from_mode(old.mode() & 0o7777))?;
            if !copy_attributes(&staged.real, &file) {
                notes.push(format!(
                    "not all access rules and attributes of {} could be kept: `getfacl` shows those that it has now",
                    changed.path.display()
                ));
            }
            if old.nlink() > 1 {
                notes.push(format!(
                    "{} had {} names (hard links): it is a file of its own now, and the other names keep the old text; `ln -s` makes links that last",
                    changed.path.display(),
                    old.nlink()
                ));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        Err(error) => return Err(error),
    }
    file.sync_all()?;
    Ok(staged)
}

/// Gives a new file the extended attributes of the old one, access lists (`setfacl`) among them; whether it got all that
/// rule access. A file system without attributes has none to lose.
fn copy_attributes(old: &Path, new: &File) -> bool {
    const ACCESS: &[u8] = b"system.posix_acl_access";
    let Ok(old) = File::open(old) else {
        return true;
    };
    let mut names = vec![0; rustix::fs::flistxattr_query(&old).unwrap_or_default()];
    let length = rustix::fs::flistxattr(&old, &mut names).unwrap_or_default();
    names.truncate(length);
    let mut all = true;
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let copy = || -> rustix::io::Result<()> {
            let mut value = vec![0; rustix::fs::fgetxattr_query(&old, name)?];
            let length = rustix::fs::fgetxattr(&old, name, &mut value)?;
            value.truncate(length);
            rustix::fs::fsetxattr(new, name, &value, XattrFlags::empty())
        };
        // Labels of the system's (`security.…`) are the folder's to give.
        all &= copy().is_ok() || name != ACCESS;
    }
    all
}

/// The file behind links; a link that leads nowhere leads to where the file is to be.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    match std::fs::canonicalize(path) {
        Ok(real) => Ok(real),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let target = match std::fs::read_link(path) {
                Ok(target) => path.parent().unwrap_or_else(|| Path::new(".")).join(target),
                Err(_) => path.to_owned(),
            };
            let folder = match target.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            let name = target.file_name().ok_or(error)?;
            Ok(std::fs::canonicalize(folder)?.join(name))
        }
        Err(error) => Err(error),
    }
}

fn content(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match File::open(path) {
        Ok(mut file) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the file still holds what the edit began with.
fn is_as_read(one: &Staged<'_>) -> io::Result<bool> {
    let before: Option<&Arc<str>> = one.changed.before.as_ref();
    // By its name: a link may lead elsewhere now.
    let found = content(&one.changed.path)?;
    let same_place = real_path(&one.changed.path).is_ok_and(|real| real == one.real);
    Ok(same_place && found.as_deref() == before.map(|text| text.as_bytes()))
}

/// Puts one text in its place; false: somebody else has changed the file, which stays as he left it.
fn place(one: &mut Staged<'_>, watch: &mut dyn FnMut(Step<'_>)) -> io::Result<bool> {
    watch(Step::Replace(&one.changed.path));
    let Some(before) = one.changed.before.clone() else {
        // A name that somebody else took meanwhile is not taken from him.
        return match std::fs::hard_link(&one.temporary, &one.real) {
            Ok(()) => {
                one.placed = true;
                one.exchanged = true;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        };
    };
    match exchange(&one.temporary, &one.real) {
        Ok(()) => {}
        // The file is gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) if Errno::from_io_error(&error).is_some_and(is_unknown) => {
            if !is_as_read(one)? {
                return Ok(false);
            }
            std::fs::rename(&one.temporary, &one.real)?;
            one.placed = true;
            return Ok(true);
        }
        Err(error) => return Err(error),
    }
    // The old text is thrown away once it is known to be what the edit began with, not before.
    one.placed = true;
    watch(Step::Replaced(&one.changed.path));
    if content(&one.temporary)?.as_deref() == Some(before.as_bytes()) {
        one.exchanged = true;
        return Ok(true);
    }
    // It was changed between the reading and now. What stands under the name goes back only while it is ours.
    for _ in 0..3 {
        exchange(&one.temporary, &one.real)?;
        if content(&one.temporary)?.as_deref() == Some(one.changed.after.as_bytes()) {
            one.placed = false;
            return Ok(false);
        }
    }
    // Saved again and again in this very moment.
    Err(io::Error::other(format!(
        "somebody else saves it at this moment; a version of it is in {}",
        one.temporary.display()
    )))
}

fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(Into::into)
}

/// Whether the file system or the kernel knows no exchange.
fn is_unknown(error: Errno) -> bool {
    error == Errno::INVAL || error == Errno::NOSYS || error == Errno::NOTSUP
}
