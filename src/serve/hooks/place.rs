//! How far a hook has been told: a small file in `state_dir/hooks`, one for each receiver.
//!
//! The journal is the queue; what is kept here is the id of its last event that is done with. The file is
//! replaced by renaming a finished one that is on the disk, so that a kill or a power loss leaves the old
//! place or the new one. The old one costs a second delivery with the same id, never a lost one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::hex;
use crate::config::snapshot::{Hook, HookTarget};

/// Which receiver, for as long as it is the same one: a hook whose events, secret or time limit are
/// changed goes on where it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(String);

impl Key {
    /// Of a hook: 24 digits of a SHA-256 of its URL, or of its program and arguments.
    pub(super) fn of(hook: &Hook) -> Self {
        let mut hash = Sha256::new();
        match &hook.target {
            HookTarget::Url(url) => {
                hash.update(b"url\0");
                hash.update(url);
            }
            HookTarget::Exec(command) => {
                hash.update(b"exec\0");
                for word in command {
                    hash.update(word);
                    hash.update(b"\0");
                }
            }
        }
        Self(hex(&hash.finalize()).split_off(40))
    }

    fn file_name(&self) -> String {
        format!("{}.json", self.0)
    }
}

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// The receiver, short, for people who look into the folder.
    hook: String,
    /// The last event that is done with.
    after: u64,
}

/// The file of one hook.
#[derive(Debug, Clone)]
pub(super) struct Place {
    path: PathBuf,
    hook: String,
}

impl Place {
    /// In this folder, for this hook.
    pub(super) fn new(folder: &Path, key: &Key, hook: &Hook) -> Self {
        Self {
            path: folder.join(key.file_name()),
            hook: hook.to_string(),
        }
    }

    /// The id of the last event that is done with; `None`: there is no file.
    pub(super) fn read(&self) -> io::Result<Option<u64>> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let kept: Kept = serde_json::from_slice(&text)?;
        Ok(Some(kept.after))
    }

    /// Puts the place down; on disk when this returns.
    pub(super) fn write(&self, after: u64) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        let kept = Kept {
            hook: self.hook.clone(),
            after,
        };
        let new = self.path.with_extension("new");
        let written = || -> io::Result<()> {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o640)
                .open(&new)?;
            file.write_all(&serde_json::to_vec(&kept)?)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            File::open(folder)?.sync_all()
        };
        match written() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new().mode(0o750).create(folder)?;
                written()
            }
            other => other,
        }
    }
}

/// Removes the places of hooks that are no longer there, and what an interrupted writing has left.
pub(super) fn tidy(folder: &Path, keys: &[Key]) {
    let known: Vec<String> = keys.iter().map(Key::file_name).collect();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_known = known.iter().any(|name| path.ends_with(name));
        let is_ours = path
            .extension()
            .is_some_and(|extension| extension == "json" || extension == "new");
        if is_ours && !is_known {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hook(target: HookTarget) -> Hook {
        Hook {
            target,
            events: vec!["*".to_owned()],
            secret: None,
            timeout: Duration::from_secs(30),
            span: None,
        }
    }

    #[test]
    fn a_place_is_kept_replaced_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("hooks");
        let one = hook(HookTarget::Url("http://a.example/secret-path".to_owned()));
        let two = hook(HookTarget::Exec(vec!["/bin/a".to_owned(), "b".to_owned()]));
        let place = Place::new(&folder, &Key::of(&one), &one);
        assert_eq!(place.read().unwrap(), None);
        place.write(7).unwrap();
        place.write(u64::MAX).unwrap();
        assert_eq!(place.read().unwrap(), Some(u64::MAX));
        let text = fs::read_to_string(&place.path).unwrap();
        assert!(!text.contains("secret-path"), "{text}");

        let other = Place::new(&folder, &Key::of(&two), &two);
        other.write(9).unwrap();
        fs::write(folder.join("left.new"), b"").unwrap();
        tidy(&folder, &[Key::of(&one)]);
        assert_eq!(place.read().unwrap(), Some(u64::MAX));
        assert_eq!(other.read().unwrap(), None);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);

        fs::write(&place.path, b"{").unwrap();
        assert!(place.read().is_err());
    }

    #[test]
    fn a_receiver_is_the_same_whatever_else_is_changed() {
        let url = |url: &str| hook(HookTarget::Url(url.to_owned()));
        let mut changed = url("http://a.example/");
        changed.events = vec!["install.*".to_owned()];
        changed.secret = Some("key".to_owned());
        assert_eq!(Key::of(&changed), Key::of(&url("http://a.example/")));
        assert_ne!(Key::of(&changed), Key::of(&url("http://a.example/x")));
        let exec = |words: &[&str]| {
            let words = words.iter().map(|&word| word.to_owned()).collect();
            Key::of(&hook(HookTarget::Exec(words)))
        };
        assert_ne!(exec(&["/a", "b c"]), exec(&["/a", "b", "c"]));
    }
}
