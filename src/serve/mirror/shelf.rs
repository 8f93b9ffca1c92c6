//! What is kept of other servers' files: `mirror/` in the state folder.
//!
//! A file lies under the path that machines ask for. What is known of it is in `.meta/PATH.json`, what is coming is
//! in `.part/`; both begin with a dot and are never served. All of it may be removed at any time by hand.
//!
//! **Invariant:** a file is at its place only when it is whole and checked, by one rename; without what is known of
//! it, or with another length, it counts as not there. Everything here waits for the disk.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::base::Timestamp;

/// The folder in the state folder.
pub const FOLDER: &str = "mirror";
/// Where it is put down what is known of files.
const META: &str = ".meta";
/// Where files are while they come.
const PARTS: &str = ".part";
/// Use is put down so often at most, in seconds: each time is a write.
const USE_EVERY: u64 = 3_600;

/// What is known of a kept file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Where it came from.
    pub url: String,
    /// Bytes.
    pub size: u64,
    /// In hexadecimal.
    pub sha256: String,
    /// The server's validators, as it wrote them.
    pub etag: Option<String>,
    /// The same.
    pub last_modified: Option<String>,
    /// When it came.
    pub fetched_at: Timestamp,
    /// When its server last said that it is still the same.
    pub checked_at: Timestamp,
    /// When it was last asked for, to the hour.
    pub used_at: Timestamp,
}

/// The folder.
#[derive(Debug, Clone)]
pub struct Shelf {
    root: PathBuf,
}

/// One kept file, for finding out which is to go.
#[derive(Debug)]
struct Kept {
    path: String,
    size: u64,
    used_at: Option<Timestamp>,
}

impl Shelf {
    /// In this state folder.
    pub fn in_state(state_dir: &Path) -> Self {
        Self {
            root: state_dir.join(FOLDER),
        }
    }

    /// The folder that files are served from.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn meta_of(&self, path: &str) -> PathBuf {
        self.root.join(META).join(format!("{path}.json"))
    }

    /// What is known of a file that is there and came from this URL.
    pub fn read(&self, path: &str, url: &str) -> Option<Meta> {
        let meta: Meta = serde_json::from_slice(&fs::read(self.meta_of(path)).ok()?).ok()?;
        let found = fs::symlink_metadata(self.root.join(path)).ok()?;
        (meta.url == url && found.is_file() && found.len() == meta.size).then_some(meta)
    }

    /// Puts down what is known of a file.
    pub fn note(&self, path: &str, meta: &Meta) -> io::Result<()> {
        let target = self.meta_of(path);
        let folder = target.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        let mut beside = target.clone().into_os_string();
        beside.push(".new");
        fs::write(&beside, serde_json::to_vec(meta)?)?;
        fs::rename(&beside, &target)
    }

    /// Puts down that a file is used, when that was not done lately.
    pub fn used(&self, path: &str, meta: &Meta, now: Timestamp) {
        if now.since(meta.used_at).as_secs() >= USE_EVERY {
            let meta = Meta {
                used_at: now,
                ..meta.clone()
            };
            // It only decides what goes first.
            let _ = self.note(path, &meta);
        }
    }

    /// Takes away what an earlier process left of files that were coming, and files of which nothing is known.
    pub fn sweep(&self) {
        let _ = fs::remove_dir_all(self.root.join(PARTS));
        for path in below(&self.root, &self.root) {
            if !path.starts_with('.') && !self.meta_of(&path).exists() {
                self.remove(&path);
            }
        }
    }

    /// A new file to write to and to read from, and its path. `name` is nobody else's.
    pub fn part(&self, name: &str) -> io::Result<(PathBuf, File)> {
        let folder = self.root.join(PARTS);
        fs::create_dir_all(&folder)?;
        let path = folder.join(name);
        let _ = fs::remove_file(&path);
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok((path, file))
    }

    /// Puts a whole file in its place. `modified` is when its server says that it was last changed.
    pub fn place(
        &self,
        part: &Path,
        path: &str,
        meta: &Meta,
        modified: Option<SystemTime>,
    ) -> io::Result<()> {
        let target = self.root.join(path);
        fs::create_dir_all(target.parent().unwrap_or(&self.root))?;
        let file = File::options().write(true).open(part)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        if let Some(modified) = modified {
            file.set_modified(modified)?;
        }
        file.sync_all()?;
        // In between there is what is known of the old one, of another length as a rule: then it counts as not there.
        let _ = fs::remove_file(self.meta_of(path));
        fs::rename(part, &target)?;
        self.note(path, meta)
    }

    /// Takes a file away.
    pub fn remove(&self, path: &str) {
        let _ = fs::remove_file(self.meta_of(path));
        let _ = fs::remove_file(self.root.join(path));
        for base in [self.root.clone(), self.root.join(META)] {
            let file = base.join(path);
            let mut folder = file.parent();
            // Only empty ones go.
            while let Some(empty) = folder.filter(|folder| *folder != base) {
                if fs::remove_dir(empty).is_err() {
                    break;
                }
                folder = empty.parent();
            }
        }
    }

    /// Bytes that are kept below this folder.
    pub fn held(&self, folder: &str) -> u64 {
        self.kept(folder).iter().map(|kept| kept.size).sum()
    }

    /// Makes room for `incoming` bytes below this folder: what was not used for longest goes until all of it is not
    /// more than `keep`, and until `reserve` bytes are left free on the disk. What is held then, or the error that
    /// there is no room.
    pub fn make_room(
        &self,
        folder: &str,
        keep: u64,
        incoming: u64,
        reserve: u64,
    ) -> io::Result<u64> {
        let mut kept = self.kept(folder);
        kept.sort_by_key(|kept| std::cmp::Reverse(kept.used_at));
        let mut held: u64 = kept.iter().map(|kept| kept.size).sum();
        loop {
            let is_full = self.free()? < incoming.saturating_add(reserve);
            if held.saturating_add(incoming) <= keep && !is_full {
                return Ok(held);
            }
            let Some(oldest) = kept.pop() else {
                if is_full {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                return Ok(held);
            };
            self.remove(&oldest.path);
            held = held.saturating_sub(oldest.size);
        }
    }

    /// Bytes that are free on the disk, for those who may not have all of it.
    pub fn free(&self) -> io::Result<u64> {
        fs::create_dir_all(&self.root)?;
        let found = rustix::fs::statvfs(&self.root)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Takes away what belongs to none of these folders; whether anything did.
    pub fn forget_others(&self, folders: &[String]) -> bool {
        let mut any = false;
        for kept in self.kept("") {
            let is_below = |folder: &String| {
                kept.path
                    .strip_prefix(folder.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
            };
            if !folders.iter().any(is_below) {
                self.remove(&kept.path);
                any = true;
            }
        }
        any
    }

    /// All files below a folder.
    fn kept(&self, folder: &str) -> Vec<Kept> {
        let base = self.root.join(META);
        let metas = below(&base, &base.join(folder));
        metas
            .iter()
            .filter_map(|meta| self.one_kept(meta))
            .collect()
    }

    fn one_kept(&self, meta: &str) -> Option<Kept> {
        let path = meta.strip_suffix(".json")?.to_owned();
        let known: Option<Meta> = fs::read(self.meta_of(&path))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        let size = fs::symlink_metadata(self.root.join(&path)).map_or(0, |found| found.len());
        Some(Kept {
            path,
            size,
            used_at: known.map(|known| known.used_at),
        })
    }
}

/// The files below a folder, by their paths below `base`.
fn below(base: &Path, folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() => {
                    let path = path.strip_prefix(base).ok().and_then(Path::to_str);
                    found.extend(path.map(str::to_owned));
                }
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn meta(url: &str, size: u64, used: i64) -> Meta {
        Meta {
            url: url.to_owned(),
            size,
            sha256: "00".to_owned(),
            etag: None,
            last_modified: None,
            fetched_at: Timestamp::from_secs(1),
            checked_at: Timestamp::from_secs(1),
            used_at: Timestamp::from_secs(used),
        }
    }

    fn put(shelf: &Shelf, path: &str, bytes: &[u8], used: i64) {
        let (part, mut file) = shelf.part("x").unwrap();
        file.write_all(bytes).unwrap();
        let meta = meta("http://a/x", bytes.len() as u64, used);
        shelf.place(&part, path, &meta, None).unwrap();
    }

    #[test]
    fn a_file_counts_only_as_it_came() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::in_state(folder.path());
        put(&shelf, "deb/a/b", b"abc", 1);
        let read = |url: &str| shelf.read("deb/a/b", url);
        assert_eq!(read("http://a/x").unwrap().size, 3);
        assert_eq!(read("http://other/x"), None);
        fs::write(shelf.root().join("deb/a/b"), b"abcd").unwrap();
        assert_eq!(read("http://a/x"), None);
        fs::remove_file(shelf.root().join("deb/a/b")).unwrap();
        assert_eq!(read("http://a/x"), None);
        shelf.remove("deb/a/b");
        assert!(!shelf.root().join("deb").exists());
        assert!(!shelf.root().join(".meta/deb").exists());
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::in_state(folder.path());
        for (path, used) in [
            ("deb/old", 1),
            ("deb/new", 30),
            ("deb/mid", 20),
            ("rpm/oldest", 0),
        ] {
            put(&shelf, path, &[0; 10], used);
        }
        assert_eq!(shelf.held("deb"), 30);
        assert_eq!(shelf.make_room("deb", 30, 0, 0).unwrap(), 30);
        assert_eq!(shelf.make_room("deb", 35, 15, 0).unwrap(), 20);
        let there = |path: &str| shelf.read(path, "http://a/x").is_some();
        assert!(!there("deb/old") && there("deb/mid") && there("deb/new"));
        assert!(there("rpm/oldest"), "another mirror's");
        // No disk has so much room: everything goes, and then it is told.
        let error = shelf.make_room("deb", 100, 1, u64::MAX / 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(shelf.held("deb"), 0);
        assert!(shelf.forget_others(&["deb".to_owned()]));
        assert!(!there("rpm/oldest"));
    }

    #[test]
    fn use_is_put_down_once_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::in_state(folder.path());
        put(&shelf, "deb/a", b"a", 1_000);
        let used = |now: i64| {
            let known = shelf.read("deb/a", "http://a/x").unwrap();
            shelf.used("deb/a", &known, Timestamp::from_secs(now));
            shelf.read("deb/a", "http://a/x").unwrap().used_at
        };
        assert_eq!(used(1_500), Timestamp::from_secs(1_000));
        assert_eq!(used(5_000), Timestamp::from_secs(5_000));
    }
}
