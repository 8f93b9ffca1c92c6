//! The last configuration that took effect, kept in `state_dir/last-good`, so that a start with broken files has
//! something to start on, and `check --diff` something to compare with.
//!
//! Kept are the very texts that were proven, never what may stand in the files by now: `files/` has those below the
//! folder of `bootwright.toml` under their own names, `outside/` the others by their whole paths, and
//! `manifest.json` says what is what, with a sum of each. They are put back by copying `files/` over the folder.
//!
//! **Invariant:** no file of secrets is among them; folders are of mode 0700 and files 0600. What is kept is written
//! beside, synced and then renamed: whenever the daemon or the machine stops, `last-good` or `last-good.before` is
//! whole. What is not whole is never started on.
//!
//! A candidate is written while its texts are at hand ([`Keeper::stage`]), and waits for no disk: it is synced when it
//! has taken effect ([`Keeper::commit`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::ops::Bound;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::base::{Timestamp, pace};
use crate::config::SourceMap;
use crate::config::snapshot::Server;
use crate::config::source::{DiskFiles, Files};

/// Its name in the state folder.
pub const FOLDER: &str = "last-good";
/// The one before, for the moment in which the new one takes its place.
const BEFORE: &str = "last-good.before";
/// How those that are being written begin.
const NEXT: &str = "last-good.next";
const MANIFEST: &str = "manifest.json";
/// The form of the manifest.
const VERSION: u32 = 1;
/// Most bytes that are kept.
const MOST: usize = 256 << 20;
/// What is read, written or summed at a time.
const CHUNK: usize = 64 << 10;

/// What is kept, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    version: u32,
    /// When this configuration took effect.
    pub kept_at: Timestamp,
    /// The version of the program that it was good for.
    pub program: String,
    /// `bootwright.toml`, as a whole path.
    pub main: PathBuf,
    /// Folders that are read file by file, which may be empty; paths as in [`KeptFile::path`].
    pub folders: Vec<PathBuf>,
    /// The files.
    pub files: Vec<KeptFile>,
}

/// A file that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// Where it was read: relative to the folder of `bootwright.toml` when it was named so.
    pub path: PathBuf,
    /// Where it is kept, below `last-good`.
    pub kept_as: PathBuf,
    /// Its SHA-256.
    pub sha256: String,
}

/// Why nothing can be started on. `Display` is a sentence without an end.
#[derive(Debug, thiserror::Error)]
pub enum NoLastGood {
    /// Nothing was ever kept there.
    #[error("there is no last good configuration in {}", .0.display())]
    Nothing(PathBuf),
    /// It is another daemon's.
    #[error("the last good configuration in {} is of {}", .folder.display(), .main.display())]
    Other {
        /// Where it lies.
        folder: PathBuf,
        /// The `bootwright.toml` that it was of.
        main: PathBuf,
    },
    /// A file of it is not what was kept.
    #[error("the last good configuration is damaged: {}: {why}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// The folder of a file, as the loader joins names to it.
fn folder_of(main: &Path) -> &Path {
    main.parent().unwrap_or_else(|| Path::new(""))
}

/// A whole path, without asking the disk.
fn whole(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            component => clean.push(component),
        }
    }
    clean
}

fn sum_of(text: &[u8]) -> String {
    let mut sum = Sha256::new();
    for part in text.chunks(CHUNK) {
        sum.update(part);
        pace::give_way_now();
    }
    HEXLOWER.encode(&sum.finalize())
}

/// How a path stands in the manifest.
fn as_named(main: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix(folder_of(main)) {
        Ok(below) if !path.is_absolute() || main.is_absolute() => below.to_owned(),
        _ => whole(path),
    }
}

/// Where a file is kept, below `last-good`.
fn place_of(main: &Path, path: &Path) -> PathBuf {
    let (whole_main, path) = (whole(main), whole(path));
    match path.strip_prefix(folder_of(&whole_main)) {
        Ok(below) => Path::new("files").join(below),
        Err(_) => Path::new("outside").join(path.strip_prefix("/").unwrap_or(&path)),
    }
}

/// Keeps configurations; cheap to clone.
#[derive(Debug, Clone)]
pub struct Keeper {
    state_dir: PathBuf,
    main: PathBuf,
    /// How many were written so far.
    written: Arc<AtomicU64>,
    /// The last one that is in its place. A disk may take its time, and another may be written meanwhile.
    in_place: Arc<Mutex<u64>>,
}

/// A configuration that is written and not yet in its place; it goes when it is dropped.
#[derive(Debug)]
pub struct Staged {
    folder: PathBuf,
    manifest: Manifest,
    number: u64,
    is_in_place: bool,
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_in_place {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

impl Keeper {
    /// For the daemon with this state folder and this `bootwright.toml`.
    pub fn new(state_dir: impl Into<PathBuf>, main: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            main: main.into(),
            written: Arc::default(),
            in_place: Arc::default(),
        }
    }

    /// Writes a configuration beside what is kept. `sources` are what it was read from, `server` names its folders.
    pub fn stage(
        &self,
        sources: &SourceMap,
        server: &Server,
        now: Timestamp,
    ) -> io::Result<Staged> {
        let texts = || sources.iter().filter(|source| source.fingerprint.is_none());
        let bytes: usize = texts().map(|source| source.text.len()).sum();
        if bytes > MOST {
            return Err(io::Error::other(format!(
                "it has {} MiB, and at most {} MiB are kept",
                bytes >> 20,
                MOST >> 20
            )));
        }
        let listed = [&server.profiles, &server.templates]
            .into_iter()
            .chain(&server.reservations)
            .filter(|folder| folder.is_dir());
        let manifest = Manifest {
            version: VERSION,
            kept_at: now,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            main: whole(&self.main),
            folders: listed.map(|folder| as_named(&self.main, folder)).collect(),
            files: texts()
                .map(|source| KeptFile {
                    path: as_named(&self.main, &source.path),
                    kept_as: place_of(&self.main, &source.path),
                    sha256: sum_of(source.text.as_bytes()),
                })
                .collect(),
        };
        // Whoever opened the store made the folder; nobody else is to.
        fs::metadata(&self.state_dir)?;
        let number = self.written.fetch_add(1, Ordering::Relaxed) + 1;
        let next = self.state_dir.join(format!("{NEXT}-{number}"));
        if number == 1 {
            self.clear()?;
        }
        remove(&next)?;
        make(&next)?;
        let staged = Staged {
            folder: next,
            manifest,
            number,
            is_in_place: false,
        };
        for (source, file) in texts().zip(&staged.manifest.files) {
            let path = staged.folder.join(&file.kept_as);
            make(folder_of(&path))?;
            write(&path, source.text.as_bytes())?;
        }
        let manifest = serde_json::to_vec_pretty(&staged.manifest)?;
        write(&staged.folder.join(MANIFEST), &manifest)?;
        Ok(staged)
    }

    /// Takes away what a daemon that was killed has left half written.
    fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.state_dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(NEXT) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Puts what was written in the place of what is kept, unless that is the same. Waits for the disk.
    pub fn commit(&self, mut staged: Staged) -> io::Result<()> {
        let mut in_place = self.in_place.lock().unwrap_or_else(PoisonError::into_inner);
        if staged.number <= *in_place {
            return Ok(());
        }
        let (kept, before) = (self.state_dir.join(FOLDER), self.state_dir.join(BEFORE));
        let whole = LastGood::in_folder(&kept).and_then(|kept| kept.is_whole().map(|()| kept));
        if let Ok(kept) = &whole
            && kept.manifest.is_as(&staged.manifest)
        {
            *in_place = staged.number;
            return Ok(());
        }
        sync(&staged.folder)?;
        match whole {
            Ok(_) => {
                remove(&before)?;
                fs::rename(&kept, &before)?;
            }
            // The one before may be all there is.
            Err(_) => remove(&kept)?,
        }
        // Should it fail, a start finds the one before.
        fs::rename(&staged.folder, &kept)?;
        staged.is_in_place = true;
        *in_place = staged.number;
        File::open(&self.state_dir)?.sync_all()?;
        remove(&before)
    }
}

/// Has the disk hold a folder and all in it.
fn sync(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A folder and those above it, for the daemon alone.
fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    for part in text.chunks(CHUNK) {
        file.write_all(part)?;
        pace::give_way_now();
    }
    Ok(())
}

impl Manifest {
    /// Whether the same is kept; when it was first does not count.
    fn is_as(&self, other: &Self) -> bool {
        (&self.main, &self.folders, &self.files) == (&other.main, &other.folders, &other.files)
    }
}

/// A configuration that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastGood {
    root: PathBuf,
    /// What it is made of.
    pub manifest: Manifest,
}

impl LastGood {
    /// What is kept in this state folder of this `bootwright.toml`, when all of it is whole.
    pub fn open(state_dir: &Path, main: &Path) -> Result<Self, NoLastGood> {
        let mut why = NoLastGood::Nothing(state_dir.to_owned());
        for name in [FOLDER, BEFORE] {
            let folder = state_dir.join(name);
            if !folder.is_dir() {
                continue;
            }
            let found = Self::in_folder(&folder).and_then(|kept| {
                kept.is_of(main)?;
                kept.is_whole()?;
                Ok(kept)
            });
            match found {
                Ok(kept) => return Ok(kept),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    fn in_folder(folder: &Path) -> Result<Self, NoLastGood> {
        let file = folder.join(MANIFEST);
        let damaged = |why: String| NoLastGood::Damaged {
            file: file.clone(),
            why,
        };
        let text = fs::read(&file).map_err(|error| damaged(error.to_string()))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if manifest.version != VERSION {
            return Err(damaged(format!(
                "it is of form {}, which this version does not know",
                manifest.version
            )));
        }
        Ok(Self {
            root: folder.to_owned(),
            manifest,
        })
    }

    fn is_of(&self, main: &Path) -> Result<(), NoLastGood> {
        let kept = &self.manifest.main;
        let is_same = || Some(kept.canonicalize().ok()? == main.canonicalize().ok()?);
        if *kept == whole(main) || is_same() == Some(true) {
            return Ok(());
        }
        Err(NoLastGood::Other {
            folder: self.root.clone(),
            main: kept.clone(),
        })
    }

    /// Whether each file is what was kept.
    fn is_whole(&self) -> Result<(), NoLastGood> {
        for file in &self.manifest.files {
            let path = self.root.join(&file.kept_as);
            let damaged = |why: String| NoLastGood::Damaged {
                file: path.clone(),
                why,
            };
            let sum = sum_of_file(&path).map_err(|error| damaged(error.to_string()))?;
            if sum != file.sha256 {
                return Err(damaged("its text is another one".to_owned()));
            }
        }
        Ok(())
    }

    /// The text of a kept file, as it was kept.
    pub fn text(&self, file: &KeptFile) -> io::Result<String> {
        let text = fs::read_to_string(self.root.join(&file.kept_as))?;
        if sum_of(text.as_bytes()) != file.sha256 {
            return Err(io::Error::other("its text is another one by now"));
        }
        Ok(text)
    }

    /// The files as the loader of `main` asks for them.
    pub fn files(&self, main: &Path) -> KeptFiles {
        let mut files = KeptFiles::new(main, &self.manifest.folders);
        for file in &self.manifest.files {
            let kept = Text::At(self.root.join(&file.kept_as));
            files.insert(main, &file.path, kept);
        }
        files
    }
}

fn sum_of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut sum = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(HEXLOWER.encode(&sum.finalize())),
            read => sum.update(chunk.get(..read).unwrap_or_default()),
        }
    }
}

#[derive(Debug, Clone)]
enum Text {
    At(PathBuf),
    Of(Arc<str>),
}

/// Kept files in the places where they were read. Boot files and secrets are those on the disk.
#[derive(Debug, Clone)]
pub struct KeptFiles {
    texts: BTreeMap<PathBuf, Text>,
    folders: BTreeSet<PathBuf>,
    without_secrets: bool,
}

impl KeptFiles {
    /// No file yet; the folders are as a manifest names them.
    pub fn new(main: &Path, folders: &[PathBuf]) -> Self {
        Self {
            texts: BTreeMap::new(),
            folders: folders
                .iter()
                .map(|folder| folder_of(main).join(folder))
                .collect(),
            without_secrets: false,
        }
    }

    fn insert(&mut self, main: &Path, path: &Path, text: Text) {
        self.texts.insert(folder_of(main).join(path), text);
    }

    /// Adds a text, at a path as a manifest names it.
    pub fn add(&mut self, main: &Path, path: &Path, text: &str) {
        self.insert(main, path, Text::Of(text.into()));
    }

    /// The same with an empty file of secrets: where the one on the disk is no good.
    #[must_use]
    pub fn without_secrets(mut self) -> Self {
        self.without_secrets = true;
        self
    }

    fn beneath(&self, folder: &Path) -> impl Iterator<Item = &PathBuf> {
        // What lies below a folder follows it: paths are compared part by part.
        let after = (Bound::Excluded(folder), Bound::Unbounded);
        self.texts
            .range::<Path, _>(after)
            .map(|(path, _)| path)
            .take_while(move |path| path.starts_with(folder))
    }
}

impl Files for KeptFiles {
    fn read(&self, path: &Path) -> io::Result<String> {
        match self.texts.get(path) {
            Some(Text::At(kept)) => DiskFiles.read(kept),
            Some(Text::Of(text)) => Ok(text.to_string()),
            None => DiskFiles.read(path),
        }
    }

    fn head(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        DiskFiles.head(path, most)
    }

    fn read_private(&self, path: &Path) -> io::Result<(String, u32)> {
        if self.without_secrets {
            return Ok((String::new(), 0o600));
        }
        DiskFiles.read_private(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        if !self.is_dir(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(self.beneath(folder).cloned().collect())
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        DiskFiles.names(folder)
    }

    fn is_file(&self, path: &Path) -> bool {
        self.texts.contains_key(path) || DiskFiles.is_file(path)
    }

    fn size(&self, path: &Path) -> Option<u64> {
        DiskFiles.size(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        !self.texts.contains_key(path)
            && (self.folders.contains(path)
                || self.beneath(path).next().is_some()
                || DiskFiles.is_dir(path))
    }

    fn is_executable(&self, path: &Path) -> bool {
        DiskFiles.is_executable(path)
    }
}

#[cfg(test)]
mod tests;
