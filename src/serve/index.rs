//! What is known of boot files beside their bytes: lengths, times and sums.
//!
//! A task looks through the folder from time to time and reads what is new or has changed, beside the work. What a sum
//! was made of is known by device, inode, length and both times: when one of them changes the sum is gone. It is kept in
//! the state folder, so that a restart reads nothing again.
//!
//! **Invariant:** a sum is of exactly the file that is there now, as far as the system's word goes. Nothing is served
//! from here: what is on the disk is what the next request gets.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::mirror;
use crate::base::{Timestamp, pace};
use crate::config::brought::{self, Brought};
use crate::journal::event::{Event, Kind, Reason};
use crate::wire::names::is_hidden;

/// The file in the state folder.
const FILE: &str = "boot-files.json";
/// How often it is looked whether anything has changed.
const EVERY: Duration = Duration::from_secs(30);
/// A file is read when it has been left alone for so long: it may still be coming.
const SETTLED: Duration = Duration::from_secs(2);

/// What is known of boot files; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Index(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    files: BTreeMap<String, Known>,
    brought: Option<(Stamp, Arc<Brought>)>,
}

/// What tells one content of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    dev: u64,
    ino: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What is known of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    stamp: Stamp,
    sha256: String,
}

/// One file, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileView {
    /// Its path under `boot_assets`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was last changed, in seconds since 1970.
    pub modified: i64,
    /// Its SHA-256 in hexadecimal; none while it is not made yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Why it is not what was brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amiss: Option<String>,
}

impl Stamp {
    /// As the system says.
    pub fn of(meta: &Metadata) -> Self {
        Self {
            dev: meta.dev(),
            ino: meta.ino(),
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl Index {
    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sum of a file that is this one.
    pub fn sum(&self, path: &str, stamp: Stamp) -> Option<String> {
        let inner = self.locked();
        let known = inner.files.get(path)?;
        (known.stamp == stamp).then(|| known.sha256.clone())
    }

    /// What was brought into a folder, as its manifest says now.
    pub fn brought(&self, root: &Path) -> Arc<Brought> {
        let path = root.join(brought::NAME);
        let Ok(meta) = fs::metadata(&path) else {
            return Arc::default();
        };
        let stamp = Stamp::of(&meta);
        if let Some((of, brought)) = &self.locked().brought
            && *of == stamp
        {
            return Arc::clone(brought);
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let brought = Arc::new(Brought::parse(&text));
        self.locked().brought = Some((stamp, Arc::clone(&brought)));
        brought
    }

    /// Why a file is not what was brought: a part of it, or one with another sum. To stand after "the boot file X is".
    pub fn amiss(&self, root: &Path, path: &str, stamp: Stamp) -> Option<String> {
        let brought = self.brought(root);
        if let Some(part) = brought.part(path, stamp.size) {
            return Some(part);
        }
        let wanted = brought.of(path)?;
        let is = self.sum(path, stamp)?;
        // Of another length it is the operator's own, put in its place.
        (stamp.size == wanted.size && is != wanted.sha256).then(|| {
            format!(
                "damaged: its SHA-256 is {is}, and {} was brought",
                wanted.sha256
            )
        })
    }

    /// Reads what an earlier process knew.
    fn load(&self, file: &Path) {
        let found: Option<BTreeMap<String, Known>> = fs::read(file)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        self.locked().files = found.unwrap_or_default();
    }

    fn save(&self, file: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(&self.locked().files)?;
        let beside = file.with_extension("json.new");
        fs::write(&beside, text)?;
        fs::rename(&beside, file)
    }

    /// Looks through a folder: forgets what is gone, and reads what is new until `ending`. Files that are not what was
    /// brought and were so far, and whether anything is known anew.
    pub fn look(
        &self,
        root: &Path,
        now: Timestamp,
        ending: &dyn Fn() -> bool,
    ) -> (Vec<String>, bool) {
        let there = walk(root);
        let mut changed = {
            let mut inner = self.locked();
            let before = inner.files.len();
            inner
                .files
                .retain(|path, known| there.get(path) == Some(&known.stamp));
            inner.files.len() != before
        };
        let mut amiss = Vec::new();
        for (path, stamp) in there {
            if ending() {
                break;
            }
            if self.sum(&path, stamp).is_some() || !is_settled(stamp, now) {
                continue;
            }
            let Ok(Some(sha256)) = sum(&root.join(&path), stamp, ending) else {
                continue;
            };
            self.locked()
                .files
                .insert(path.clone(), Known { stamp, sha256 });
            changed = true;
            if let Some(why) = self.amiss(root, &path, stamp) {
                amiss.push(format!("the boot file {path} is {why}"));
            }
        }
        (amiss, changed)
    }

    /// All files of a folder, by path.
    pub fn views(&self, root: &Path) -> Vec<FileView> {
        let there = walk(root);
        let view = |(path, stamp): (String, Stamp)| FileView {
            sha256: self.sum(&path, stamp),
            amiss: self.amiss(root, &path, stamp),
            size: stamp.size,
            modified: stamp.modified.0,
            path,
        };
        there.into_iter().map(view).collect()
    }
}

/// Whether a file was left alone for long enough before `now`.
fn is_settled(stamp: Stamp, now: Timestamp) -> bool {
    now.since(Timestamp::from_secs(stamp.changed.0)) >= SETTLED
}

/// The files that may be served, by path. Folders behind links are not gone into.
fn walk(root: &Path) -> BTreeMap<String, Stamp> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(root.to_path_buf(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if is_hidden(&name) || kind.is_symlink() {
                continue;
            }
            let path = format!("{prefix}{name}");
            if kind.is_dir() {
                folders.push((entry.path(), format!("{path}/")));
            } else if let Ok(meta) = entry.metadata()
                && meta.is_file()
            {
                found.insert(path, Stamp::of(&meta));
            }
        }
    }
    found
}

/// The sum of a file; `None` when it is not this one any more, or when there is no more time.
fn sum(path: &Path, stamp: Stamp, ending: &dyn Fn() -> bool) -> io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = file.read(&mut buffer)?;
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else {
            break;
        };
        if ending() {
            return Ok(None);
        }
        sha256.update(part);
    }
    let is_same = Stamp::of(&file.metadata()?) == stamp;
    Ok(is_same.then(|| HEXLOWER.encode(&sha256.finalize())))
}

/// Runs long work on a thread of its own that stands back; `None`: there was no thread, or it has failed.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("boot-files".to_owned())
        .spawn(move || {
            pace::stand_back();
            // Nobody may be waiting any more.
            let _ = sender.send(work());
        })
        .ok()?;
    receiver.await.ok()
}

/// Keeps the index until cancelled.
pub async fn run(ctx: Context, cancel: CancellationToken) {
    let file: PathBuf = ctx.config().snapshot.server.state_dir.join(FILE);
    let index = ctx.assets.index().clone();
    let mut first = true;
    let mut generation = None;
    loop {
        let config = ctx.config();
        let mirrors = (generation != Some(config.snapshot.generation))
            .then(|| config.snapshot.mirrors.clone());
        generation = Some(config.snapshot.generation);
        let state_dir = config.snapshot.server.state_dir.clone();
        // A configuration that is out of force is not held while it is slept.
        drop(config);
        let (index, root, file, cancel_look) = (
            index.clone(),
            ctx.assets.root(),
            file.clone(),
            cancel.clone(),
        );
        let load = std::mem::take(&mut first);
        let now = ctx.now();
        let looked = beside(move || {
            if load {
                index.load(&file);
            }
            if let Some(mirrors) = mirrors {
                mirror::forget_others(&state_dir, &mirrors);
            }
            let (amiss, changed) = index.look(&root, now, &|| cancel_look.is_cancelled());
            let saved = if changed { index.save(&file) } else { Ok(()) };
            (amiss, saved)
        })
        .await;
        let (amiss, saved) = looked.unwrap_or((Vec::new(), Ok(())));
        if let Err(error) = saved {
            tracing::warn!(%error, "what is known of boot files could not be put down; they are read again after a restart");
        }
        for detail in amiss {
            let event = Event::new(ctx.now(), Kind::ServerTrouble, Reason::Changed);
            ctx.journal.append(event.detail(detail));
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Clock as _, SystemClock};

    /// A folder with one file that was brought, and is settled.
    fn folder(bytes: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/abc"), bytes).unwrap();
        fs::write(folder.path().join("a/.hidden"), bytes).unwrap();
        let manifest = format!(
            "{{\"version\": 1, \"files\": {{\"a/abc\": {{\"size\": 3, \"sha256\": \"{sha256}\"}}}}}}"
        );
        fs::write(folder.path().join(brought::NAME), manifest).unwrap();
        folder
    }

    /// When all that was written is settled.
    fn later() -> Timestamp {
        SystemClock.now().plus(2 * SETTLED)
    }

    fn look(index: &Index, root: &Path) -> Vec<String> {
        // What is still warm is left alone.
        assert_eq!(
            index.look(root, Timestamp::from_secs(0), &|| false).0,
            Vec::<String>::new()
        );
        index.look(root, later(), &|| false).0
    }

    #[test]
    fn sums_are_of_what_is_there_and_outlive_a_restart() {
        let folder = folder(b"abc");
        let root = folder.path();
        let index = Index::default();
        assert_eq!(look(&index, root), Vec::<String>::new());
        let [view] = index.views(root).try_into().unwrap();
        assert_eq!(
            (view.path.as_str(), view.size, &view.amiss),
            ("a/abc", 3, &None)
        );
        assert!(view.sha256.unwrap().starts_with("ba7816bf"));

        let kept = folder.path().join(".index.json");
        index.save(&kept).unwrap();
        let next = Index::default();
        next.load(&kept);
        // Nothing is read: there would be no time for it.
        assert_eq!(next.look(root, later(), &|| true), (Vec::new(), false));
        assert!(next.views(root)[0].sha256.is_some());

        // The same name, another file: the sum is gone at once.
        fs::write(root.join("a/new"), b"xyz").unwrap();
        fs::rename(root.join("a/new"), root.join("a/abc")).unwrap();
        assert_eq!(next.views(root)[0].sha256, None);
        let told = look(&next, root);
        assert!(
            told[0].starts_with("the boot file a/abc is damaged: its SHA-256 is 3608bca1"),
            "{told:?}"
        );
        assert!(next.views(root)[0].amiss.is_some());
        fs::remove_file(root.join("a/abc")).unwrap();
        assert_eq!(next.look(root, later(), &|| false), (Vec::new(), true));
    }

    #[test]
    fn what_describes_a_tree_is_looked_at_too() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".treeinfo", ".discinfo", ".hidden", "a"] {
            fs::write(folder.path().join(name), b"abc").unwrap();
        }
        let paths: Vec<String> = walk(folder.path()).into_keys().collect();
        assert_eq!(paths, [".discinfo", ".treeinfo", "a"]);
    }

    #[test]
    fn a_part_is_told_before_it_was_read() {
        let folder = folder(b"ab");
        let index = Index::default();
        let view = &index.views(folder.path())[0];
        let part = "there only in part: 2 of 3 bytes";
        assert_eq!((view.amiss.as_deref(), &view.sha256), (Some(part), &None));
        // The operator's own, longer one.
        fs::write(folder.path().join("a/abc"), b"abcdef").unwrap();
        assert_eq!(index.views(folder.path())[0].amiss, None);
        // The manifest is read again when it has changed.
        fs::remove_file(folder.path().join(brought::NAME)).unwrap();
        assert_eq!(*index.brought(folder.path()), Brought::default());
    }
}
