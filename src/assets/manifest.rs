//! `.manifest.json` in `boot_assets`: what `fetch` and `add-iso` brought, with its sums and where it came from.
//!
//! A file that is not in it, or that has another sum by now, is the operator's own. The name begins with a
//! dot, so it is never served.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::AssetError;
use super::place::make_folders;

/// The manifest's name.
pub const NAME: &str = ".manifest.json";
/// The folder in which files are collected before they are put in their places.
pub const STAGING: &str = ".fetch";
/// The version of its form.
const VERSION: u32 = 1;

/// How a file's bytes were checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checked {
    /// By a signature of the distribution.
    Signature,
    /// By the sums that the distribution publishes.
    Sum,
    /// By a sum in the profile.
    Profile,
    /// It is of an installed package, or of one that apt downloaded and checked.
    Package,
    /// Not at all, but for what it looks like.
    Nothing,
}

impl Checked {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Sum => "published sum",
            Self::Profile => "profile's sum",
            Self::Package => "package",
            Self::Nothing => "not checked",
        }
    }
}

/// One file that was brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Bytes.
    pub size: u64,
    /// In hexadecimal.
    pub sha256: String,
    /// Where it came from: a URL, a package, an image.
    pub origin: String,
    /// The name it was fetched by: a profile's as a rule.
    pub name: String,
    /// How it was checked.
    pub checked: Checked,
    /// When it came (UTC).
    pub at: String,
}

/// What was brought, by path under `boot_assets`.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    version: u32,
    /// The files.
    pub files: BTreeMap<String, Entry>,
}

impl Manifest {
    /// Reads it; empty where there is none.
    pub fn read(boot_assets: &Path) -> Result<Self, AssetError> {
        let path = boot_assets.join(NAME);
        let io = |source| AssetError::Io {
            action: "cannot read",
            path: path.clone(),
            source,
        };
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(io(error)),
        };
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| io(error.into()))?;
        if manifest.version > VERSION {
            return Err(io(io::Error::other("it was written by a newer version")));
        }
        let mut manifest = manifest;
        // By these paths files are removed.
        manifest
            .files
            .retain(|path, _| path.split('/').all(|part| !matches!(part, "" | "." | "..")));
        Ok(manifest)
    }

    /// Writes it: whole, or not at all.
    pub fn write(&self, _lock: &Lock, boot_assets: &Path) -> Result<(), AssetError> {
        let path = boot_assets.join(NAME);
        let io = |source| AssetError::Io {
            action: "cannot write",
            path: path.clone(),
            source,
        };
        let written = Self {
            version: VERSION,
            files: self.files.clone(),
        };
        let text = serde_json::to_vec_pretty(&written).map_err(|error| io(error.into()))?;
        let beside = boot_assets.join(".manifest.json.new");
        fs::File::create(&beside)
            .and_then(|mut file| {
                file.write_all(&text)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&beside, &path))
            .map_err(io)
    }
}

/// The right to change what was brought: one process at a time has it.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<fs::File>,
    staging: PathBuf,
}

impl Lock {
    /// Takes it, or says who is in the way.
    pub fn take(boot_assets: &Path) -> Result<Self, AssetError> {
        let staging = boot_assets.join(STAGING);
        let io = |source| AssetError::Io {
            action: "cannot write",
            path: staging.clone(),
            source,
        };
        make_folders(boot_assets).map_err(io)?;
        fs::create_dir_all(&staging).map_err(io)?;
        let file = fs::File::create(staging.join("lock")).map_err(io)?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| {
            if error == nix::errno::Errno::EWOULDBLOCK {
                AssetError::Busy(boot_assets.to_owned())
            } else {
                io(error.into())
            }
        })?;
        Ok(Self {
            _file: file,
            staging,
        })
    }

    /// The folder in which files are collected.
    pub fn staging(&self) -> &Path {
        &self.staging
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), Manifest::default());
        let lock = Lock::take(folder.path()).unwrap();
        assert!(matches!(
            Lock::take(folder.path()),
            Err(AssetError::Busy(_))
        ));
        let mut manifest = Manifest::default();
        manifest.files.insert(
            "a/b".to_owned(),
            Entry {
                size: 3,
                sha256: "00".to_owned(),
                origin: "http://x/y".to_owned(),
                name: "debian-13".to_owned(),
                checked: Checked::Signature,
                at: "2026-11-21T00:00:00Z".to_owned(),
            },
        );
        manifest.write(&lock, folder.path()).unwrap();
        let read = Manifest::read(folder.path()).unwrap();
        assert_eq!(read.files, manifest.files);
        drop(lock);
        Lock::take(folder.path()).unwrap();

        fs::write(folder.path().join(NAME), "{\"version\": 9, \"files\": {}}").unwrap();
        assert!(Manifest::read(folder.path()).is_err());
        fs::write(folder.path().join(NAME), "half").unwrap();
        assert!(Manifest::read(folder.path()).is_err());
    }
}
