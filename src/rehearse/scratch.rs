//! The folder of one rehearsal: state, disk, console. It goes when the rehearsal ends.
//!
//! A rehearsal that is killed cannot tidy up, so the next one does: each folder holds a lock that its
//! process keeps as long as it lives. A folder whose lock is free belongs to nobody any more.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

const PREFIX: &str = "bootwright-rehearse-";
const LOCK: &str = "lock";

/// The folder; removed when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// Locked for as long as the rehearsal lasts.
    _lock: File,
}

impl Scratch {
    /// Makes one in `parent` that only this user can enter, and removes what killed rehearsals of this
    /// user have left there.
    pub fn new(parent: &Path) -> io::Result<Self> {
        remove_leftovers(parent);
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let path = parent.join(format!("{PREFIX}{:016x}", u64::from_ne_bytes(random)));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let lock = File::create(path.join(LOCK))?;
        lock.try_lock().map_err(io::Error::from)?;
        Ok(Self { path, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes folders of this user whose process is gone. What cannot be removed stays: it is in nobody's way.
fn remove_leftovers(parent: &Path) {
    let own = nix::unistd::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && fs::symlink_metadata(entry.path())
                .is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == own);
        if is_ours && is_abandoned(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether nobody holds the lock. A folder without a lock file is one that is being made or removed just
/// now; it is taken for abandoned only when it is a minute old.
fn is_abandoned(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        Err(_) => fs::metadata(folder)
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age.as_secs() > 60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_and_takes_abandoned_ones_with_it() {
        let parent = tempfile::tempdir().unwrap();
        let abandoned = parent.path().join(format!("{PREFIX}0123"));
        fs::create_dir(&abandoned).unwrap();
        fs::write(abandoned.join(LOCK), "").unwrap();
        let young = parent.path().join(format!("{PREFIX}4567"));
        fs::create_dir(&young).unwrap();
        let other = parent.path().join("something-else");
        fs::create_dir(&other).unwrap();

        let first = Scratch::new(parent.path()).unwrap();
        assert!(!abandoned.exists());
        assert!(young.exists() && other.exists());
        // One that lives is left alone.
        let second = Scratch::new(parent.path()).unwrap();
        assert!(first.path().is_dir());
        let path = second.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        drop(second);
        assert!(!path.exists());
    }
}
