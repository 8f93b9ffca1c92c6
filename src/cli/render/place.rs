//! Rendered texts into files.
//!
//! **Invariant:** a file with secrets is the user's and of mode 0600 from its first byte on, and takes its name only when it
//! is whole. Nothing is written through a link, into a pipe or onto a device.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::items::Rendered;

/// How many files that were left behind are passed over.
const MOST_LEFT: u32 = 1_000;

/// Who may read what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Mode {
    /// As the umask says.
    Usual,
    /// Only the user: it holds secrets.
    Private,
}

impl Mode {
    /// With secrets, or without.
    pub(in crate::cli) fn of(secrets: bool) -> Self {
        if secrets { Self::Private } else { Self::Usual }
    }

    /// What is said behind the name of a file that was written.
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Usual => "",
            Self::Private => " (mode 0600, with secrets in clear)",
        }
    }

    fn bits(self) -> (u32, u32) {
        match self {
            Self::Usual => (0o777, 0o666),
            Self::Private => (0o700, 0o600),
        }
    }
}

/// Writes one text to the file `into`, or several into the folder `into`, which is made. One text goes into
/// a folder too, when there is one of this name or the name ends in a slash. The result is what was written.
pub(super) fn write(into: &Path, texts: &[Rendered], mode: Mode) -> anyhow::Result<Vec<PathBuf>> {
    let named_as_folder = into.as_os_str().as_encoded_bytes().ends_with(b"/");
    let files: Vec<(PathBuf, &Rendered)> = match texts {
        [only] if !named_as_folder && !into.is_dir() => vec![(into.to_owned(), only)],
        _ => {
            make_folder(into, mode)?;
            texts
                .iter()
                .map(|text| (into.join(&text.name), text))
                .collect()
        }
    };
    // Nothing is written when something cannot be.
    for (path, _) in &files {
        writable(path)?;
    }
    for (path, text) in &files {
        replace(path, &text.text, mode)?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// Makes a folder and those above it.
pub(super) fn make_folder(path: &Path, mode: Mode) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode.bits().0)
        .create(path)
        .with_context(|| format!("the folder {} cannot be made", path.display()))
}

/// Refuses what is there and no plain file.
pub(in crate::cli) fn writable(path: &Path) -> anyhow::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be looked at", path.display()));
        }
    };
    let kind = found.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_symlink() {
        "a link"
    } else if kind.is_dir() {
        "a folder"
    } else {
        "a device, pipe or socket"
    };
    bail!(
        "{} is {what}, and only plain files are written; name another one",
        path.display()
    );
}

/// Writes a file beside its place and moves it there. Where no secrets come into it, one that has been there passes its
/// owner, group and mode on.
pub(in crate::cli) fn replace(path: &Path, text: &str, mode: Mode) -> anyhow::Result<()> {
    let name = path
        .file_name()
        .with_context(|| format!("{} names no file", path.display()))?;
    let written = beside(path, name, mode).and_then(|(beside, file)| {
        let written = fill(file, path, text, mode).and_then(|()| fs::rename(&beside, path));
        if written.is_err() {
            // What happened is told; that this could not be taken away is of no further use.
            let _ = fs::remove_file(&beside);
        }
        written
    });
    written.with_context(|| format!("{} cannot be written", path.display()))
}

/// A new file beside this one.
fn beside(path: &Path, name: &OsStr, mode: Mode) -> io::Result<(PathBuf, File)> {
    let mut number = 0;
    loop {
        let mut new = OsString::from(".");
        new.push(name);
        new.push(format!(".{}-{number}.new", std::process::id()));
        let new = path.with_file_name(new);
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode.bits().1)
            .open(&new);
        match opened {
            Ok(file) => return Ok((new, file)),
            // Left by a command that was killed; in a container the next one has its number again.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < MOST_LEFT => {
                number += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn fill(mut file: File, path: &Path, text: &str, mode: Mode) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    if mode == Mode::Usual
        && let Ok(old) = fs::metadata(path)
    {
        // Giving files away is root's, but for a group of one's own; whoever else replaces a file owns it then.
        let group = fchown(&file, None, Some(old.gid()));
        let owner = fchown(&file, Some(old.uid()), None);
        // The old mode was meant for the old owner and group: without both it might shut everybody out.
        let least = if group.is_ok() || owner.is_ok() {
            0
        } else {
            file.metadata()?.mode()
        };
        let bits = (old.mode() | least) & 0o777;
        file.set_permissions(fs::Permissions::from_mode(bits))?;
    }
    // Or the name may stand for nothing after a loss of power.
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use nix::unistd::{Gid, Uid, chown, setfsgid, setfsuid};

    use super::*;

    /// A file of this owner, group and mode, in a folder that everybody may write to and whose files have another group.
    fn old(owner: u32, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        chown(folder.path(), None, Some(Gid::from_raw(60_003))).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o2777)).unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        let (owner, group) = (Uid::from_raw(owner), Gid::from_raw(60_002));
        chown(&path, Some(owner), Some(group)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    /// Owner, group and mode of the file after it was replaced by a user in this group.
    fn replaced(path: &Path, user: u32, group: u32) -> (u32, u32, u32) {
        std::thread::scope(|scope| {
            // These two are of the thread alone.
            let written = scope.spawn(|| {
                setfsgid(Gid::from_raw(group));
                setfsuid(Uid::from_raw(user));
                replace(path, "new", Mode::Usual)
            });
            written.join().unwrap().unwrap();
        });
        let found = fs::metadata(path).unwrap();
        (found.uid(), found.gid(), found.mode() & 0o7777)
    }

    #[test]
    fn a_file_passes_on_what_it_can_and_is_never_narrowed_without() {
        if !Uid::effective().is_root() {
            return;
        }
        let (_folder, path) = old(60_000, 0o640);
        assert_eq!(replaced(&path, 0, 0), (60_000, 60_002, 0o640));
        // Another user of its group.
        assert_eq!(replaced(&path, 60_001, 60_002), (60_001, 60_002, 0o640));
        // Its owner, who is not of its group.
        assert_eq!(replaced(&path, 60_001, 60_001), (60_001, 60_003, 0o640));
        // Somebody else: whoever reads it may go on.
        let (folder, path) = old(60_000, 0o640);
        let usual = folder.path().join("usual");
        fs::write(&usual, "").unwrap();
        let usual = fs::metadata(usual).unwrap().mode() & 0o777;
        assert_eq!(
            replaced(&path, 60_001, 60_001),
            (60_001, 60_003, 0o640 | usual)
        );
    }

    #[test]
    fn a_file_with_secrets_is_given_to_nobody() {
        if !Uid::effective().is_root() {
            return;
        }
        let (_folder, path) = old(60_000, 0o644);
        replace(&path, "secret", Mode::Private).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o7777), (0, 0o600));
    }
}
