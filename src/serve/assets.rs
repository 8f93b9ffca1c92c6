//! Boot files: the folder `boot_assets`, opened beneath its root.
//!
//! **Invariant:** no path and no link leads out of the folder: the kernel resolves the name beneath it
//! (`openat2`, `RESOLVE_BENEATH`); where it cannot, each component is opened in the descriptor of the
//! one before it and no link is followed. Names that begin with a dot, and anything that is no regular
//! file, are refused. Each request asks the system: what is on the disk is what the next request gets. What
//! files hold may lie in memory ([`FileCache`]).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

use super::file_cache::{FileCache, Version};
use super::index::{Index, Stamp};
use super::mirror::Mirrors;
use crate::wire::names::{clean_path, is_hidden};

/// Folders below the root beyond this depth are not listed.
const MAX_DEPTH: usize = 32;

/// A folder of boot files; cheap to clone.
#[derive(Debug, Clone)]
pub struct AssetTree {
    root: Arc<RwLock<Arc<Path>>>,
    cache: FileCache,
    mirrors: Mirrors,
    index: Index,
}

/// A boot file, opened. The descriptor stays with the bytes it was opened on: a file put in its place
/// by renaming does not disturb a transfer.
#[derive(Debug)]
pub struct Asset {
    /// The file, at its beginning.
    pub file: std::fs::File,
    /// Its length when it was opened, in bytes.
    pub len: u64,
    /// When it was last changed.
    pub modified: Option<SystemTime>,
    /// A strong validator with its quotes: another one whenever the file is another.
    pub etag: String,
    /// What tells its content from another.
    pub version: Version,
}

/// Why a boot file cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AssetError {
    /// There is none.
    #[error("there is no boot file {0}")]
    NotFound(String),
    /// It leads out of the folder, is hidden, or is no path at all.
    #[error("{0:?} is no name of a boot file")]
    BadName(String),
    /// A folder, a device, a pipe.
    #[error("{0} is no regular file")]
    NotAFile(String),
    /// The system refuses.
    #[error("{path} cannot be read: {error}")]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
}

impl AssetError {
    /// The reason for its event.
    pub fn reason(&self) -> crate::journal::event::Reason {
        use crate::journal::event::Reason;
        match self {
            Self::NotFound(_) | Self::NotAFile(_) => Reason::NotFound,
            Self::BadName(_) => Reason::BadName,
            Self::Read { .. } => Reason::ReadFailed,
        }
    }

    /// What its event says beyond the reason and the name that was asked for.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::NotFound(_) | Self::BadName(_) => None,
            Self::NotAFile(_) | Self::Read { .. } => Some(self.to_string()),
        }
    }
}

/// One line of [`AssetTree::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Path under the root.
    pub path: String,
    /// Bytes.
    pub len: u64,
}

impl AssetTree {
    /// Over this folder, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: Arc::new(RwLock::new(root.into().into())),
            cache: FileCache::default(),
            mirrors: Mirrors::default(),
            index: Index::default(),
        }
    }

    /// The folder.
    pub fn root(&self) -> Arc<Path> {
        Arc::clone(&self.root.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is brought from elsewhere when it is asked for.
    pub const fn mirrors(&self) -> &Mirrors {
        &self.mirrors
    }

    /// What is known of the files.
    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// Why a file that is there is not what was brought. To stand after "the boot file X is".
    pub fn amiss(&self, path: &str) -> Option<String> {
        let asset = self.open(path).ok()?;
        let stamp = Stamp::of(&asset.file.metadata().ok()?);
        self.index.amiss(&self.root(), path, stamp)
    }

    /// The same over another folder.
    #[must_use]
    pub fn with_root(&self, root: impl Into<PathBuf>) -> Self {
        Self {
            root: Arc::new(RwLock::new(root.into().into())),
            ..self.clone()
        }
    }

    /// Another folder, from the next request on.
    pub fn set_root(&self, root: impl Into<PathBuf>) {
        *self.root.write().unwrap_or_else(PoisonError::into_inner) = root.into().into();
    }

    /// The files that lie in memory.
    pub const fn cache(&self) -> &FileCache {
        &self.cache
    }

    /// Opens a file by its path under the root, in any spelling that [`clean_path`] reads.
    pub fn open(&self, path: &str) -> Result<Asset, AssetError> {
        let clean = clean_path(path.as_bytes())
            .map_err(|_| AssetError::BadName(path.chars().take(200).collect()))?;
        let parts: Vec<&str> = clean.split('/').collect();
        let (file, stat) = self.open_parts(path, &parts)?;
        Ok(asset(file, &stat))
    }

    /// The same when the system can tell without asking a disk or another machine (`RESOLVE_CACHED`, since
    /// Linux 5.12). `None`: it is to be opened in the usual way, which also tells what is wrong.
    pub fn open_at_once(&self, path: &str) -> Option<Asset> {
        use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
        let clean = clean_path(path.as_bytes()).ok()?;
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let at_once = ResolveFlags::CACHED;
        let root = openat2(CWD, &*self.root(), folder, Mode::empty(), at_once).ok()?;
        let file = openat2(
            root,
            clean.as_str(),
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
            at_once | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        )
        .ok()?;
        let stat = fstat(file.as_fd()).ok()?;
        is_file(&stat).then(|| asset(file, &stat))
    }

    /// The length of a file that may be served, in bytes.
    pub fn size(&self, path: &str) -> Result<u64, AssetError> {
        self.open(path).map(|asset| asset.len)
    }

    /// Whether there is a file of this path that may be served, and all of it as far as is known.
    pub fn is_there(&self, path: &str) -> bool {
        let Ok(asset) = self.open(path) else {
            return false;
        };
        asset.file.metadata().is_ok_and(|meta| {
            let stamp = Stamp::of(&meta);
            self.index.amiss(&self.root(), path, stamp).is_none()
        })
    }

    /// Whether there is a folder of this path, files of which may be served.
    pub fn is_folder(&self, path: &str) -> bool {
        matches!(self.open(path), Err(AssetError::NotAFile(_)))
    }

    /// All files that may be served, by path.
    pub fn list(&self) -> io::Result<Vec<Listed>> {
        let root = self.root();
        let mut found = Vec::new();
        let mut folders = vec![(root.to_path_buf(), String::new(), 0_usize)];
        while let Some((folder, prefix, depth)) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                if is_hidden(&name) {
                    continue;
                }
                // The entry's own type: folders behind links are not gone into.
                let kind = entry.file_type()?;
                let path = format!("{prefix}{name}");
                if kind.is_dir() && depth < MAX_DEPTH {
                    folders.push((entry.path(), format!("{path}/"), depth + 1));
                } else if !kind.is_dir()
                    && let Ok(len) = self.size(&path)
                {
                    found.push(Listed { path, len });
                }
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn open_parts(&self, path: &str, parts: &[&str]) -> Result<(OwnedFd, FileStat), AssetError> {
        let root = self.root();
        let failed = |errno: Errno| match errno {
            Errno::ENOENT | Errno::ENOTDIR => AssetError::NotFound(path.to_owned()),
            // A link out of the folder, or one that is not followed.
            Errno::EXDEV | Errno::ELOOP | Errno::ENAMETOOLONG => {
                AssetError::BadName(path.to_owned())
            }
            // A socket, or a device without a driver behind it.
            Errno::ENXIO => AssetError::NotAFile(path.to_owned()),
            errno => AssetError::Read {
                path: path.to_owned(),
                error: errno.into(),
            },
        };
        // The root itself may be a link: the operator chose it.
        let folder = nix::fcntl::open(&*root, FOLDER, Mode::empty()).map_err(failed)?;
        let how = OpenHow::new()
            .flags(FILE)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let file = match openat2(folder.as_fd(), parts.join("/").as_str(), how) {
            // Before Linux 5.6, or a container's filter that does not know it; EAGAIN is a rename
            // going on beside it.
            Err(Errno::ENOSYS | Errno::EPERM | Errno::EAGAIN) => open_by_steps(folder, parts),
            other => other,
        }
        .map_err(failed)?;
        let stat = fstat(file.as_fd()).map_err(failed)?;
        if is_file(&stat) {
            Ok((file, stat))
        } else {
            Err(AssetError::NotAFile(path.to_owned()))
        }
    }
}

const FOLDER: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

// O_NONBLOCK: opening a pipe for reading would wait for a writer.
const FILE: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY)
    .union(OFlag::O_CLOEXEC);

/// Opens without following any link.
fn open_by_steps(mut folder: OwnedFd, parts: &[&str]) -> Result<OwnedFd, Errno> {
    let (name, folders) = parts.split_last().ok_or(Errno::ENOENT)?;
    for part in folders {
        folder = openat(
            folder.as_fd(),
            *part,
            FOLDER | OFlag::O_NOFOLLOW,
            Mode::empty(),
        )?;
    }
    openat(
        folder.as_fd(),
        *name,
        FILE | OFlag::O_NOFOLLOW,
        Mode::empty(),
    )
}

fn is_file(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFREG
}

fn asset(file: OwnedFd, stat: &FileStat) -> Asset {
    let version = Version::of(stat);
    Asset {
        file: file.into(),
        len: version.len(),
        modified: modified(stat),
        etag: etag(stat),
        version,
    }
}

fn modified(stat: &FileStat) -> Option<SystemTime> {
    let secs = u64::try_from(stat.st_mtime).ok()?;
    let nanos = u32::try_from(stat.st_mtime_nsec).ok()?;
    UNIX_EPOCH.checked_add(Duration::new(secs, nanos))
}

fn etag(stat: &FileStat) -> String {
    format!(
        "\"{:x}-{:x}-{:x}.{:x}\"",
        stat.st_ino, stat.st_size, stat.st_mtime, stat.st_mtime_nsec
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::event::Reason;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, AssetTree) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("boot-assets");
        std::fs::create_dir_all(root.join("debian/12")).unwrap();
        std::fs::create_dir_all(root.join(".git")).unwrap();
        std::fs::write(root.join("debian/12/linux"), b"kernel").unwrap();
        std::fs::write(root.join(".git/config"), b"hidden").unwrap();
        std::fs::write(folder.path().join("secret"), b"outside").unwrap();
        let tree = AssetTree::new(root);
        (folder, tree)
    }

    fn reason(tree: &AssetTree, path: &str) -> Reason {
        tree.open(path).unwrap_err().reason()
    }

    #[test]
    fn serves_what_is_there() {
        let (_folder, tree) = tree();
        for path in [
            "debian/12/linux",
            "/debian//12/./linux",
            "//debian/12/linux",
        ] {
            let mut asset = tree.open(path).unwrap();
            let mut text = String::new();
            asset.file.read_to_string(&mut text).unwrap();
            assert_eq!((text.as_str(), asset.len), ("kernel", 6), "{path}");
            assert!(asset.modified.is_some());
        }
        assert_eq!(
            tree.list().unwrap(),
            [Listed {
                path: "debian/12/linux".into(),
                len: 6
            }]
        );
    }

    #[test]
    fn nothing_outside_and_nothing_hidden() {
        let (folder, tree) = tree();
        let root = tree.root();
        symlink("../secret", root.join("link")).unwrap();
        symlink(folder.path(), root.join("out")).unwrap();
        symlink("debian", root.join("inside")).unwrap();
        symlink("12/linux", root.join("debian/newest")).unwrap();
        symlink("/etc/hostname", root.join("absolute")).unwrap();
        symlink("/proc/self/exe", root.join("magic")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for path in [
            "../secret",
            "debian/../../secret",
            "debian/12/../../../secret",
            ".git/config",
            "debian/.hidden",
            "",
            "/",
            "..",
            "a\0b",
            "debian\\..\\..\\secret",
            &"x/".repeat(2_000),
            &"y".repeat(300),
            "link",
            "out/secret",
            "absolute",
            "magic",
            "loop",
        ] {
            assert_eq!(reason(&tree, path), Reason::BadName, "{path:?}");
        }
        for path in ["nothing", "debian/12/linux/x", "debian", "debian/12/"] {
            assert_eq!(reason(&tree, path), Reason::NotFound, "{path:?}");
        }
        // Links within the folder are followed, as in the Debian installer's own archive.
        for path in ["inside/12/linux", "debian/newest"] {
            assert_eq!(tree.size(path).unwrap(), 6, "{path:?}");
        }
        let listed: Vec<_> = tree.list().unwrap().into_iter().map(|l| l.path).collect();
        assert_eq!(listed, ["debian/12/linux", "debian/newest"]);
    }

    #[test]
    fn without_openat2_no_link_is_followed() {
        let (folder, tree) = tree();
        let root = tree.root();
        symlink("../secret", root.join("link")).unwrap();
        symlink(folder.path(), root.join("out")).unwrap();
        let open = |parts: &[&str]| {
            let folder = nix::fcntl::open(&*root, FOLDER, Mode::empty()).unwrap();
            open_by_steps(folder, parts).map(drop)
        };
        assert_eq!(open(&["debian", "12", "linux"]), Ok(()));
        assert_eq!(open(&["link"]), Err(Errno::ELOOP));
        assert_eq!(open(&["out", "secret"]), Err(Errno::ENOTDIR));
    }

    #[test]
    fn what_the_system_has_at_hand_is_opened_at_once_and_nothing_else() {
        let (folder, tree) = tree();
        symlink("../secret", tree.root().join("link")).unwrap();
        nix::unistd::mkfifo(&tree.root().join("pipe"), Mode::S_IRWXU).unwrap();
        let usual = tree.open("debian/12/linux").unwrap();
        // Kernels before 5.12 always take the usual way.
        if let Some(asset) = tree.open_at_once("/debian//12/linux") {
            assert_eq!((asset.etag, asset.version), (usual.etag, usual.version));
        }
        for path in [
            "link",
            "pipe",
            "debian",
            "nothing",
            ".git/config",
            "../secret",
            "a\0b",
        ] {
            assert!(tree.open_at_once(path).is_none(), "{path:?}");
        }
        drop(folder);
    }

    #[test]
    fn a_pipe_is_refused_at_once() {
        let (_folder, tree) = tree();
        nix::unistd::mkfifo(&tree.root().join("pipe"), Mode::S_IRWXU).unwrap();
        assert!(matches!(
            tree.open("pipe"),
            Err(AssetError::NotAFile(path)) if path == "pipe"
        ));
    }

    #[test]
    fn changes_are_seen_by_the_next_request() {
        let (folder, tree) = tree();
        let file = tree.root().join("debian/12/linux");
        let before = tree.open("debian/12/linux").unwrap();
        std::fs::write(folder.path().join("new"), b"another kernel").unwrap();
        std::fs::rename(folder.path().join("new"), &file).unwrap();
        let after = tree.open("debian/12/linux").unwrap();
        assert_ne!(before.etag, after.etag);
        assert_eq!((before.len, after.len), (6, 14));
        // A transfer under way still has the old bytes.
        let mut text = String::new();
        (&before.file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "kernel");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(reason(&tree, "debian/12/linux"), Reason::NotFound);
        tree.set_root(folder.path());
        assert!(tree.is_there("secret"));
    }

    #[test]
    fn a_root_that_is_not_there_yet_has_no_files() {
        let folder = tempfile::tempdir().unwrap();
        let tree = AssetTree::new(folder.path().join("later"));
        assert_eq!(reason(&tree, "linux"), Reason::NotFound);
        assert!(tree.list().is_err());
    }
}
