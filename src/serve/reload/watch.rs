//! Noticing that files of the configuration may have changed.
//!
//! Watched are the *folders* of all configuration files: editors and configuration management write
//! a new file and rename it, which a watch on the file itself does not survive. Watched as well are the folders of
//! what a reading looked for in vain: a configuration that was rejected may be made good there.
//!
//! **Invariant:** a folder that is watched for the first time is looked at once more afterwards: nothing comes
//! unnoticed between the reading and the watch.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::LastRead;
use crate::config::source::{DiskFiles, Files};
use crate::render::load::InForce;
use crate::serve::health::Health;

/// The part's name in `/healthz`.
const PART: &str = "watching files";

/// Files on the disk, and a note of those that were not to be read and of the folders that were listed.
#[derive(Debug, Default)]
pub(super) struct NotedFiles {
    looked_for: RefCell<BTreeSet<PathBuf>>,
}

impl NotedFiles {
    /// What was noted.
    pub(super) fn looked_for(self) -> BTreeSet<PathBuf> {
        self.looked_for.into_inner()
    }

    fn note(&self, path: &Path) {
        self.looked_for.borrow_mut().insert(path.to_owned());
    }
}

impl Files for NotedFiles {
    fn read(&self, path: &Path) -> io::Result<String> {
        DiskFiles.read(path).inspect_err(|_| self.note(path))
    }

    fn read_private(&self, path: &Path) -> io::Result<(String, u32)> {
        // It may have been read and be refused for its mode.
        self.note(path);
        DiskFiles.read_private(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.note(folder);
        DiskFiles.list(folder)
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        DiskFiles.names(folder)
    }

    fn is_file(&self, path: &Path) -> bool {
        DiskFiles.is_file(path)
    }

    fn size(&self, path: &Path) -> Option<u64> {
        DiskFiles.size(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        DiskFiles.is_dir(path)
    }

    fn is_executable(&self, path: &Path) -> bool {
        DiskFiles.is_executable(path)
    }
}

/// The watch on the folders of the configuration.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// Those that are watched, each as it was then.
    folders: BTreeMap<PathBuf, Identity>,
    changed: mpsc::Sender<()>,
    health: Health,
}

impl Watch {
    pub(super) fn new(wanted: bool, changed: mpsc::Sender<()>, health: Health) -> Self {
        let tell = changed.clone();
        let watcher = wanted.then(|| {
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // An error (a lost event, too) is reason enough to look.
                if event.map_or(true, |event| matters(&event)) {
                    let _ = tell.try_send(());
                }
            })
        });
        let watcher = match watcher {
            None => None,
            Some(Ok(watcher)) => Some(watcher),
            Some(Err(error)) => {
                health.trouble(PART, cannot_watch(&error));
                None
            }
        };
        Self {
            watcher,
            folders: BTreeMap::new(),
            changed,
            health,
        }
    }

    /// Watches the folders of what was read last and of the configuration in force; leaves others.
    pub(super) fn follow(&mut self, in_force: &InForce, main: &Path, last: &LastRead) {
        let Some(watcher) = self.watcher.as_mut() else {
            return;
        };
        let wanted = folders(in_force, main, last);
        // Also one that was put in the place of another: the watch stays with the old one.
        let is_gone = |path: &PathBuf, seen: &Identity| wanted.get(path) != Some(seen);
        for (gone, _) in self
            .folders
            .extract_if(.., |path, seen| is_gone(path, seen))
        {
            let _ = watcher.unwatch(&gone);
        }
        let mut failed = None;
        let mut is_new = false;
        for (folder, seen) in wanted {
            if self.folders.contains_key(&folder) {
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.folders.insert(folder, seen);
                    is_new = true;
                }
                Err(error) => failed = Some(cannot_watch(&error)),
            }
        }
        if is_new {
            let _ = self.changed.try_send(());
        }
        match failed {
            None => self.health.well(PART),
            Some(error) => self.health.trouble(PART, error),
        }
    }
}

fn cannot_watch(error: &notify::Error) -> String {
    format!(
        "changed files are not taken up by themselves ({error}); run `bootwright reload` after a change"
    )
}

/// Reading a file is an event as well; only what may have changed a text matters. A file that is written to is
/// looked at when whoever writes has closed it: a log beside the configuration never is.
fn matters(event: &notify::Event) -> bool {
    use notify::event::{AccessKind, AccessMode, ModifyKind};
    let changes = match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        EventKind::Modify(ModifyKind::Data(_)) => false,
        EventKind::Any
        | EventKind::Other
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_) => true,
    };
    // Editors' swap and backup files; `..data` is how a ConfigMap is swapped.
    let of_an_editor = |path: &PathBuf| {
        path.file_name().is_some_and(|name| {
            let name = name.to_string_lossy();
            name.ends_with('~')
                || name.ends_with(".swp")
                || name.ends_with(".swx")
                || (name.starts_with('.') && !name.starts_with("..data"))
        })
    };
    changes && (event.paths.is_empty() || !event.paths.iter().all(of_an_editor))
}

/// What tells a folder from another one that was put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    /// Inodes are given away again; `None`: this file system does not say.
    created: Option<SystemTime>,
}

impl Identity {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            created: meta.created().ok(),
        }
    }
}

/// The folders of all files that were read or looked for, of what they are links to, and those that are listed.
fn folders(in_force: &InForce, main: &Path, last: &LastRead) -> BTreeMap<PathBuf, Identity> {
    let server = &in_force.snapshot.server;
    let mut found = Folders::default();
    for path in last
        .texts
        .iter()
        .map(|(path, _)| path.as_path())
        .chain([main, &server.file])
        .chain(server.secrets.as_deref())
    {
        found.around(path);
    }
    for path in [&server.profiles, &server.templates]
        .into_iter()
        .chain(&server.reservations)
        .chain(&last.looked_for)
    {
        found.around(path);
        found.beneath(path);
    }
    found.0
}

#[derive(Debug, Default)]
struct Folders(BTreeMap<PathBuf, Identity>);

impl Folders {
    /// Whether it is a folder, which then is among these.
    fn add(&mut self, folder: &Path) -> bool {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let Ok(folder) = folder.canonicalize() else {
            return false;
        };
        match std::fs::metadata(&folder) {
            Ok(meta) if meta.is_dir() => {
                self.0.insert(folder, Identity::of(&meta));
                true
            }
            _ => false,
        }
    }

    /// The folder that a file is in or would come into, and the one of what it is a link to.
    fn around(&mut self, path: &Path) {
        let mut folders = path.ancestors().skip(1);
        let _ = folders.any(|folder| self.add(folder));
        if let Some(folder) = path.canonicalize().ok().as_deref().and_then(Path::parent) {
            self.add(folder);
        }
    }

    /// A folder and all below it.
    fn beneath(&mut self, root: &Path) {
        let mut open = vec![root.to_owned()];
        while let Some(folder) = open.pop() {
            if !self.add(&folder) {
                continue;
            }
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            open.extend(
                entries
                    .filter_map(Result::ok)
                    .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                    .map(|entry| entry.path()),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, AccessMode, CreateKind, DataChange, ModifyKind};

    use super::*;

    #[test]
    fn reading_and_editors_leavings_are_no_change() {
        let event = |kind, path: &str| notify::Event::new(kind).add_path(path.into());
        let modify = EventKind::Modify(ModifyKind::Any);
        // Whoever writes is not done yet.
        assert!(!matters(&event(
            EventKind::Modify(ModifyKind::Data(DataChange::Any)),
            "/etc/b/log"
        )));
        assert!(matters(&event(modify, "/etc/b/reservations.toml")));
        assert!(matters(&event(
            EventKind::Create(CreateKind::Folder),
            "/etc/b/..data"
        )));
        assert!(matters(&event(
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            "/etc/b/x.toml"
        )));
        assert!(!matters(&event(
            EventKind::Access(AccessKind::Open(AccessMode::Read)),
            "/etc/b/x.toml"
        )));
        for name in ["x.toml~", ".x.toml.swp", ".#x.toml"] {
            assert!(
                !matters(&event(modify, &format!("/etc/b/{name}"))),
                "{name}"
            );
        }
    }
}
