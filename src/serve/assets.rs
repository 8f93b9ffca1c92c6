//! Boot files: the folder `boot_assets`, opened beneath its root.
//!
//! **Invariant:** no path and no link leads out of the folder. Each component is opened in the
//! descriptor of the one before it with `O_NOFOLLOW`; names that begin with a dot, and anything that
//! is no regular file, are refused. Nothing is remembered between requests: what is on the disk is
//! what the next request gets.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

/// Longest path of a boot file, in bytes.
const MAX_PATH: usize = 1_024;

/// Folders below the root beyond this depth are not listed.
const MAX_DEPTH: usize = 32;

/// A folder of boot files; cheap to clone.
#[derive(Debug, Clone)]
pub struct AssetTree {
    root: Arc<RwLock<Arc<Path>>>,
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
        }
    }

    /// The folder.
    pub fn root(&self) -> Arc<Path> {
        Arc::clone(&self.root.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another folder, from the next request on.
    pub fn set_root(&self, root: impl Into<PathBuf>) {
        *self.root.write().unwrap_or_else(PoisonError::into_inner) = root.into().into();
    }

    /// Opens a file by its path under the root. Doubled slashes and a leading one count for nothing.
    pub fn open(&self, path: &str) -> Result<Asset, AssetError> {
        let parts = components(path)?;
        let (file, stat) = self.open_parts(path, &parts)?;
        let len = u64::try_from(stat.st_size).unwrap_or_default();
        Ok(Asset {
            file: file.into(),
            len,
            modified: modified(&stat),
            etag: etag(&stat),
        })
    }

    /// The length of a file that may be served, in bytes.
    pub fn size(&self, path: &str) -> Result<u64, AssetError> {
        self.open(path).map(|asset| asset.len)
    }

    /// Whether there is a file of this path that may be served.
    pub fn is_there(&self, path: &str) -> bool {
        self.open(path).is_ok()
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
                if name.starts_with('.') {
                    continue;
                }
                // The entry's own type: a link is neither file nor folder here.
                let kind = entry.file_type()?;
                let path = format!("{prefix}{name}");
                if kind.is_dir() && depth < MAX_DEPTH {
                    folders.push((entry.path(), format!("{path}/"), depth + 1));
                } else if kind.is_file()
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
            // A link (O_NOFOLLOW).
            Errno::ELOOP | Errno::ENAMETOOLONG => AssetError::BadName(path.to_owned()),
            // A socket, or a device without a driver behind it.
            Errno::ENXIO => AssetError::NotAFile(path.to_owned()),
            errno => AssetError::Read {
                path: path.to_owned(),
                error: errno.into(),
            },
        };
        let folder_flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        // The root itself may be a link: the operator chose it.
        let mut folder = nix::fcntl::open(&*root, folder_flags, Mode::empty()).map_err(failed)?;
        let (name, folders) = parts
            .split_last()
            .ok_or_else(|| AssetError::BadName(path.to_owned()))?;
        for part in folders {
            folder = openat(
                folder.as_fd(),
                *part,
                folder_flags | OFlag::O_NOFOLLOW,
                Mode::empty(),
            )
            .map_err(failed)?;
        }
        // O_NONBLOCK: opening a pipe for reading would wait for a writer.
        let file = openat(
            folder.as_fd(),
            *name,
            OFlag::O_RDONLY
                | OFlag::O_NOFOLLOW
                | OFlag::O_NONBLOCK
                | OFlag::O_NOCTTY
                | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .map_err(failed)?;
        let stat = fstat(file.as_fd()).map_err(failed)?;
        if SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFREG {
            Ok((file, stat))
        } else {
            Err(AssetError::NotAFile(path.to_owned()))
        }
    }
}

/// The components of a path as machines write it.
fn components(path: &str) -> Result<Vec<&str>, AssetError> {
    let bad = || AssetError::BadName(path.chars().take(200).collect());
    if path.len() > MAX_PATH || path.contains('\0') {
        return Err(bad());
    }
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    // `..` begins with a dot as well.
    if parts.is_empty() || path.ends_with('/') || parts.iter().any(|part| part.starts_with('.')) {
        return Err(bad());
    }
    Ok(parts)
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
