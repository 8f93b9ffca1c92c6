//! Reading the configuration: of one moment, with a note of what was looked for.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::pace;
use crate::config::SourceMap;
use crate::config::source::{DiskFiles, Files, Source, fingerprint as fingerprint_of};
use crate::render::load::{InForce, Loaded, load};
use crate::serve::standing::ShownProblem;

/// How often files are read again that were changed while they were read. Whoever goes on changing them brings about
/// the next reload.
const AGAIN: u32 = 5;
/// What is compared at a time.
const CHUNK: usize = 64 << 10;

/// Files on the disk, and a note of those that were not to be read and of the folders that were listed.
#[derive(Debug, Default)]
pub struct NotedFiles {
    looked_for: RefCell<BTreeSet<PathBuf>>,
}

impl NotedFiles {
    /// What was noted.
    pub fn looked_for(self) -> BTreeSet<PathBuf> {
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

/// The files of a loaded configuration, for [`Settings::texts`].
pub fn texts(sources: &SourceMap) -> Vec<(PathBuf, u64)> {
    sources
        .iter()
        .map(|source| {
            let fingerprint = source.fingerprint;
            let fingerprint = fingerprint.unwrap_or_else(|| fingerprint_of(&source.text));
            (source.path.clone(), fingerprint)
        })
        .collect()
}

/// Whether the files of the configuration in force still are what is on the disk, and no other one has come that
/// belongs to it: then there is nothing to be read and proven. Says nothing of a configuration that was rejected,
/// which may be made good by what it was not read from.
pub(super) fn is_on_disk(in_force: &InForce, known: &[(PathBuf, u64)]) -> bool {
    let same = |(path, fingerprint): &(PathBuf, u64)| {
        let text = DiskFiles.read(path);
        text.is_ok_and(|text| fingerprint_of(&text) == *fingerprint)
    };
    let server = &in_force.snapshot.server;
    // Thousands of files may be named and listed.
    let paths: HashSet<&Path> = known.iter().map(|(path, _)| path.as_path()).collect();
    let is_known = |file: &PathBuf| paths.contains(file.as_path());
    let mut named = server.reservations.iter().chain(&server.secrets);
    if !named.all(|file| is_known(file) || DiskFiles.is_dir(file)) {
        return false;
    }
    let folders = [&server.profiles, &server.templates];
    let folders = folders.into_iter().chain(&server.reservations);
    let mut listed = folders
        .filter(|folder| DiskFiles.is_dir(folder))
        .map(|folder| DiskFiles.list(folder));
    listed.all(|files| files.is_ok_and(|files| files.iter().all(is_known)))
        && known.iter().all(same)
}

/// What was read.
pub(super) struct Read {
    pub(super) config: Option<Arc<InForce>>,
    pub(super) texts: Vec<(PathBuf, u64)>,
    pub(super) looked_for: BTreeSet<PathBuf>,
    pub(super) problems: Vec<ShownProblem>,
    pub(super) warnings: usize,
    /// What it was read from: nobody else has the texts that were proven, and they are kept should it take effect.
    pub(super) sources: SourceMap,
}

impl Read {
    /// Reads and proves. Files that were changed meanwhile are read again: what is in force is never half of one
    /// state and half of another.
    pub(super) fn now(main: &Path, generation: u64) -> Self {
        for _ in 1..AGAIN {
            let files = NotedFiles::default();
            let loaded = load(&files, main, generation);
            if loaded.sources.iter().all(is_still) {
                return Self::of(loaded, files.looked_for());
            }
        }
        let files = NotedFiles::default();
        let loaded = load(&files, main, generation);
        Self::of(loaded, files.looked_for())
    }

    fn of(loaded: Loaded, looked_for: BTreeSet<PathBuf>) -> Self {
        let (_, warnings) = loaded.counts();
        let shown = |problem| ShownProblem::of(problem, &loaded.sources);
        Self {
            texts: texts(&loaded.sources),
            looked_for,
            problems: loaded.problems.iter().map(shown).collect(),
            config: loaded.config,
            warnings,
            sources: loaded.sources,
        }
    }
}

/// Whether a file is what was read of it, compared piece by piece: it may be large.
fn is_still(source: &Source) -> bool {
    if let Some(fingerprint) = source.fingerprint {
        let text = DiskFiles.read(&source.path);
        return text.is_ok_and(|text| fingerprint_of(&text) == fingerprint);
    }
    has_text(&source.path, source.text.as_bytes()).unwrap_or(false)
}

fn has_text(path: &Path, text: &[u8]) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; CHUNK];
    let mut rest = text;
    loop {
        pace::give_way_now();
        let read = file.read(&mut chunk)?;
        match rest.split_at_checked(read) {
            _ if read == 0 => return Ok(rest.is_empty()),
            Some((head, tail)) if chunk.get(..read) == Some(head) => rest = tail,
            _ => return Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_changed_while_it_is_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        let text = "x = 1\n".repeat(20_000);
        std::fs::write(&path, &text).unwrap();
        assert!(has_text(&path, text.as_bytes()).unwrap());
        assert!(!has_text(&path, &text.as_bytes()[..text.len() - 1]).unwrap());
        std::fs::write(&path, text.replacen("x = 1", "x = 2", 1)).unwrap();
        assert!(!has_text(&path, text.as_bytes()).unwrap());
        std::fs::write(&path, &text[1..]).unwrap();
        assert!(!has_text(&path, text.as_bytes()).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(has_text(&path, text.as_bytes()).is_err());
    }
}
