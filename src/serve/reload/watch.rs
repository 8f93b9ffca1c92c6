//! Noticing that files of the configuration may have changed.
//!
//! Watched are the *folders* of all configuration files: editors and configuration management write
//! a new file and rename it, which a watch on the file itself does not survive. Watched as well are the folders of
//! what a reading looked for in vain: a configuration that was rejected may be made good there.
//!
//! A whole folder may be swapped, by a rename or by a link that leads elsewhere, and a watch stays with the old one. So
//! the folders on the way to the configuration are watched for the one name that leads there ([`Way`]); what else
//! happens in them is nothing to us.
//!
//! **Invariant:** a folder that is watched for the first time is looked at once more afterwards: nothing comes
//! unnoticed between the reading and the watch.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::LastRead;
use crate::render::load::InForce;
use crate::serve::health::Health;

/// The part's name in `/healthz`.
const PART: &str = "watching files";

/// The watch on the folders of the configuration.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// Those that are watched, each as it was then.
    folders: BTreeMap<PathBuf, Identity>,
    ways: Ways,
    changed: mpsc::Sender<()>,
    health: Health,
}

impl Watch {
    pub(super) fn new(wanted: bool, changed: mpsc::Sender<()>, health: Health) -> Self {
        let tell = changed.clone();
        let ways = Ways::default();
        let followed = ways.clone();
        let watcher = wanted.then(|| {
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // An error (a lost event, too) is reason enough to look.
                if event.map_or(true, |event| matters(&event, &followed)) {
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
            ways,
            changed,
            health,
        }
    }

    /// Whether anything can be watched.
    pub(super) const fn is_on(&self) -> bool {
        self.watcher.is_some()
    }

    /// Watches these folders; leaves others.
    pub(super) fn follow(&mut self, folders: Folders) {
        let Some(watcher) = self.watcher.as_mut() else {
            return;
        };
        let Folders { whole, on_the_way } = folders;
        let wanted: BTreeMap<&PathBuf, Identity> = on_the_way
            .iter()
            .map(|(folder, way)| (folder, way.folder))
            .chain(whole.iter().map(|(folder, seen)| (folder, *seen)))
            .collect();
        // Before anything is watched: until then their events would count as another folder's.
        let mut is_new = self.ways.put(
            on_the_way
                .iter()
                .filter(|(folder, _)| !whole.contains_key(*folder))
                .map(|(folder, way)| (folder.clone(), way.names.clone()))
                .collect(),
        );
        // Also one that was put in the place of another: the watch stays with the old one.
        let is_gone = |path: &PathBuf, seen: &Identity| wanted.get(&path) != Some(seen);
        for (gone, _) in self
            .folders
            .extract_if(.., |path, seen| is_gone(path, seen))
        {
            let _ = watcher.unwatch(&gone);
        }
        let mut failed = None;
        for (folder, seen) in wanted {
            if self.folders.contains_key(folder) {
                continue;
            }
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.folders.insert(folder.clone(), seen);
                    is_new = true;
                }
                // On the way there may be folders that may be passed and not read.
                Err(_) if !whole.contains_key(folder) => {}
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
fn matters(event: &notify::Event, ways: &Ways) -> bool {
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
    let is_nothing = |path: &PathBuf| match ways.leads_on(path) {
        Some(leads) => !leads,
        None => of_an_editor(path),
    };
    changes && (event.paths.is_empty() || !event.paths.iter().all(is_nothing))
}

/// Folders in which one or two names lead to the configuration; shared with whoever hears of events.
#[derive(Debug, Clone, Default)]
struct Ways(Arc<Mutex<BTreeMap<PathBuf, BTreeSet<OsString>>>>);

impl Ways {
    /// Whether they are others than before: what became of them meanwhile was nobody's concern then.
    fn put(&self, ways: BTreeMap<PathBuf, BTreeSet<OsString>>) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let are_others = *held != ways;
        *held = ways;
        are_others
    }

    /// Whether something in such a folder leads on; `None`: it is in no such folder.
    fn leads_on(&self, path: &Path) -> Option<bool> {
        let ways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let names = ways.get(path.parent()?)?;
        Some(path.file_name().is_some_and(|name| names.contains(name)))
    }
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

/// A folder on the way to the configuration.
#[derive(Debug)]
struct Way {
    folder: Identity,
    /// The names in it that lead there.
    names: BTreeSet<OsString>,
}

/// The folders of all files that were read or looked for, of what they are links to, those that are listed, and those on
/// the way to all of them: of what was read last and of the configuration in force. Asks the disk of each file.
pub(super) fn folders(in_force: &InForce, main: &Path, last: &LastRead) -> Folders {
    let server = &in_force.snapshot.server;
    let mut found = Folders::default();
    let mut roots: BTreeSet<&Path> = BTreeSet::new();
    // Thousands of files may lie in one folder.
    let mut within: BTreeSet<&Path> = BTreeSet::new();
    for path in last
        .texts
        .iter()
        .map(|(path, _)| path.as_path())
        .chain([main, &server.file])
        .chain(server.secrets.as_deref())
    {
        within.extend(path.parent());
        if path.is_symlink() {
            found.around(path);
            roots.insert(path);
        }
    }
    for folder in within {
        found.within(folder);
        roots.insert(folder);
    }
    for path in [&server.profiles, &server.templates]
        .into_iter()
        .chain(&server.reservations)
        .chain(&last.looked_for)
    {
        found.around(path);
        found.beneath(path);
        roots.insert(path);
    }
    for root in roots {
        found.way_to(root);
    }
    found
}

/// Links that are followed on one way, at most.
const MOST_LINKS: usize = 40;

/// Any user may write here, and others do: only a link in it is worth being watched.
const STICKY: u32 = 0o1000;

/// What is to be watched.
#[derive(Debug, Default)]
pub(super) struct Folders {
    /// In which everything may matter.
    whole: BTreeMap<PathBuf, Identity>,
    /// In which a name leads on.
    on_the_way: BTreeMap<PathBuf, Way>,
}

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
                self.whole.insert(folder, Identity::of(&meta));
                true
            }
            _ => false,
        }
    }

    /// A folder, or the nearest above it that is there.
    fn within(&mut self, folder: &Path) {
        let _ = folder.ancestors().any(|folder| self.add(folder));
    }

    /// The folder that a file is in or would come into, and the one of what it is a link to.
    fn around(&mut self, path: &Path) {
        if let Some(folder) = path.parent() {
            self.within(folder);
        }
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

    /// The folders through which a path leads, and those of the links in it.
    fn way_to(&mut self, path: &Path) {
        let Ok(path) = std::path::absolute(path) else {
            return;
        };
        let mut here = PathBuf::from("/");
        let mut rest: Vec<OsString> = names_of(&path);
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                here.pop();
                continue;
            }
            let next = here.join(&name);
            let link = std::fs::read_link(&next).ok();
            self.note(&here, name, link.is_some());
            match link {
                Some(target) if links < MOST_LINKS => {
                    links += 1;
                    if target.is_absolute() {
                        here = PathBuf::from("/");
                    }
                    rest.extend(names_of(&target));
                }
                None if next.is_dir() => here = next,
                _ => return,
            }
        }
    }

    fn note(&mut self, folder: &Path, name: OsString, is_link: bool) {
        let Ok(meta) = std::fs::metadata(folder) else {
            return;
        };
        let is_everybodys = folder == Path::new("/") || meta.mode() & STICKY != 0;
        if is_everybodys && !is_link {
            return;
        }
        let way = self
            .on_the_way
            .entry(folder.to_owned())
            .or_insert_with(|| Way {
                folder: Identity::of(&meta),
                names: BTreeSet::new(),
            });
        way.names.insert(name);
    }
}

/// The names in a path, the last one first.
fn names_of(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, AccessMode, CreateKind, DataChange, ModifyKind};

    use super::*;

    #[test]
    fn reading_and_editors_leavings_are_no_change() {
        let event = |kind, path: &str| notify::Event::new(kind).add_path(path.into());
        let matters = |event: &notify::Event| matters(event, &Ways::default());
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

    #[test]
    fn on_the_way_only_the_name_that_leads_on_counts() {
        let ways = Ways::default();
        ways.put([("/etc".into(), ["b".into()].into())].into());
        let moved = EventKind::Modify(ModifyKind::Name(notify::event::RenameMode::From));
        let event = |path: &str| notify::Event::new(moved).add_path(path.into());
        assert!(matters(&event("/etc/b"), &ways));
        assert!(!matters(&event("/etc/passwd"), &ways));
        assert!(matters(&event("/etc/b/x.toml"), &ways));
        // The folder itself was moved.
        assert!(matters(&event("/etc"), &ways));
    }

    #[test]
    fn the_way_goes_through_links() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("releases/7/conf")).unwrap();
        std::os::unix::fs::symlink("releases/7", root.join("now")).unwrap();
        std::os::unix::fs::symlink(root.join("now"), root.join("site")).unwrap();
        let mut folders = Folders::default();
        folders.way_to(&root.join("site/conf/none"));
        let way = |path: PathBuf| -> Vec<String> {
            let way = folders.on_the_way.get(&path);
            let names = way.into_iter().flat_map(|way| &way.names);
            names
                .map(|name| name.to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(way(root.clone()), ["now", "releases", "site"]);
        assert_eq!(way(root.join("releases")), ["7"]);
        assert_eq!(way(root.join("releases/7")), ["conf"]);
        // What is not there yet may come.
        assert_eq!(way(root.join("releases/7/conf")), ["none"]);
        // Others' comings and goings in /tmp are nothing to us.
        assert!(!folders.on_the_way.contains_key(Path::new("/")));
    }
}
