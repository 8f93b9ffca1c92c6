//! Where configuration text comes from, and positions in it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Read as _};
use std::num::NonZeroU32;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::pace;

/// Reads configuration files: the disk, or a map in memory in tests and for edits not yet written.
pub trait Files {
    /// The text of one file. A file that is no UTF-8 is an error of kind `InvalidData`.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// The first bytes of one file, at most so many.
    fn head(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = self.read(path)?.into_bytes();
        bytes.truncate(most);
        Ok(bytes)
    }
    /// The text of one file and its permission bits (`st_mode`), both of the very file that was opened.
    /// Where files have none they are private.
    fn read_private(&self, path: &Path) -> io::Result<(String, u32)> {
        Ok((self.read(path)?, 0o600))
    }
    /// The regular files below a folder, at any depth, as paths that begin with `folder`, sorted.
    /// Names that begin with a dot are left out.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
    /// The names in a folder, of files and folders, in no order.
    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let below = self.list(folder)?;
        let names: BTreeSet<String> = below
            .iter()
            .filter_map(|path| path.strip_prefix(folder).ok()?.components().next())
            .map(|name| name.as_os_str().to_string_lossy().into_owned())
            .collect();
        Ok(names.into_iter().collect())
    }
    /// Whether there is a regular file of this name.
    fn is_file(&self, path: &Path) -> bool;
    /// The length of a regular file in bytes; `None`: there is none.
    fn size(&self, path: &Path) -> Option<u64>;
    /// Whether there is a folder of this name.
    fn is_dir(&self, path: &Path) -> bool;
    /// Whether there is a regular file of this name that somebody may run. In memory every file is.
    fn is_executable(&self, path: &Path) -> bool {
        self.is_file(path)
    }
}

/// One file of a [`SourceMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(
    /// One more than its place in the map, so that a place that may be missing takes no more room.
    NonZeroU32,
);

/// A run of bytes in one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The file.
    pub source: SourceId,
    start: u32,
    end: u32,
}

impl Span {
    /// These bytes of a file; no place in a file is beyond 4 GiB.
    pub fn new(source: SourceId, range: Range<usize>) -> Self {
        let narrow = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            source,
            start: narrow(range.start),
            end: narrow(range.end),
        }
    }

    /// First byte.
    pub fn start(&self) -> usize {
        usize::try_from(self.start).unwrap_or(usize::MAX)
    }

    /// One past the last byte.
    pub fn end(&self) -> usize {
        usize::try_from(self.end).unwrap_or(usize::MAX)
    }

    /// Its bytes.
    pub fn range(&self) -> Range<usize> {
        self.start()..self.end()
    }
}

/// One configuration file as it was read.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its path as messages show it.
    pub path: PathBuf,
    /// Its text; of a file with secrets only what may be shown, and blanks for the rest.
    pub text: Arc<str>,
    /// What tells two texts of a file with secrets apart.
    pub fingerprint: Option<u64>,
}

/// Something that tells two texts apart, for as long as this program runs. It gives way to others.
pub fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in text.as_bytes().chunks(64 << 10) {
        hasher.write(part);
        pace::give_way_now();
    }
    hasher.finish()
}

/// Every file that a configuration was read from.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    sources: Vec<Source>,
}

impl SourceMap {
    /// Adds a file.
    pub fn add(&mut self, path: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> SourceId {
        self.push(Source {
            path: path.into(),
            text: text.into(),
            fingerprint: None,
        })
    }

    /// Adds a file with secrets. Its text is not kept: every byte outside of `visible` becomes a blank,
    /// so that nothing that shows a source, whatever it is, can show a secret. Lines and bytes keep
    /// their places.
    pub fn add_secret(
        &mut self,
        path: impl Into<PathBuf>,
        text: &str,
        visible: &[Range<usize>],
    ) -> SourceId {
        let mut shown = String::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            if matches!(c, '\n' | '\r') || visible.iter().any(|range| range.contains(&at)) {
                shown.push(c);
            } else {
                shown.extend(std::iter::repeat_n(' ', c.len_utf8()));
            }
        }
        self.push(Source {
            path: path.into(),
            text: shown.into(),
            fingerprint: Some(fingerprint(text)),
        })
    }

    fn push(&mut self, source: Source) -> SourceId {
        self.sources.push(source);
        let count = u32::try_from(self.sources.len()).ok();
        SourceId(count.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX))
    }

    /// The file of this id; `None` only for an id of another map.
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.sources.get(usize::try_from(id.0.get() - 1).ok()?)
    }

    /// All files, in the order in which they were read.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter()
    }

    /// Line and column, both from 1, the column in characters.
    pub fn line_column(&self, span: Span) -> Option<(usize, usize)> {
        let text = &self.get(span.source)?.text;
        let before = text.get(..span.start().min(text.len()))?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Some((
            before.matches('\n').count() + 1,
            before.get(line_start..)?.chars().count() + 1,
        ))
    }
}

/// Files on the disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(folder)?;
        entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn head(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut bytes = Vec::new();
        let limit = u64::try_from(most).unwrap_or(u64::MAX);
        std::fs::File::open(path)?
            .take(limit)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn read_private(&self, path: &Path) -> io::Result<(String, u32)> {
        // Opening a pipe would wait for its writer.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut file = std::fs::File::open(path)?;
        let mode = file.metadata()?.mode();
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok((text, mode))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(&next)? {
                let entry = entry?;
                if entry.file_name().as_encoded_bytes().starts_with(b".") {
                    continue;
                }
                let path = entry.path();
                match std::fs::metadata(&path) {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    Ok(kind) if kind.is_file() => found.push(path),
                    Ok(_) => {}
                    // A link that leads nowhere: who reads it tells its name and why.
                    Err(_) => found.push(path),
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn size(&self, path: &Path) -> Option<u64> {
        let found = std::fs::metadata(path).ok()?;
        found.is_file().then_some(found.len())
    }

    fn is_executable(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0)
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }
}

/// Files in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles(BTreeMap<PathBuf, String>);

impl MemoryFiles {
    /// Adds or replaces a file.
    pub fn insert(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) {
        self.0.insert(path.into(), text.into());
    }
}

impl<P: Into<PathBuf>, T: Into<String>> FromIterator<(P, T)> for MemoryFiles {
    fn from_iter<I: IntoIterator<Item = (P, T)>>(files: I) -> Self {
        Self(
            files
                .into_iter()
                .map(|(path, text)| (path.into(), text.into()))
                .collect(),
        )
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.0
            .get(path)
            .cloned()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        if !self.is_dir(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(self
            .0
            .keys()
            .filter(|path| path.starts_with(folder))
            .cloned()
            .collect())
    }

    fn is_file(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    fn size(&self, path: &Path) -> Option<u64> {
        u64::try_from(self.0.get(path)?.len()).ok()
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.0
            .keys()
            .any(|file| file != path && file.starts_with(path))
    }
}

/// Other files with some texts put over them: a configuration as it would be after an edit.
pub struct Overlay<'f> {
    below: &'f dyn Files,
    texts: BTreeMap<PathBuf, Arc<str>>,
}

impl<'f> Overlay<'f> {
    /// These files, so far as they are.
    pub fn new(below: &'f dyn Files) -> Self {
        Self {
            below,
            texts: BTreeMap::new(),
        }
    }

    /// Puts a text in a file's place; the file need not be there.
    pub fn put(&mut self, path: impl Into<PathBuf>, text: impl Into<Arc<str>>) {
        self.texts.insert(path.into(), text.into());
    }
}

impl Files for Overlay<'_> {
    fn read(&self, path: &Path) -> io::Result<String> {
        match self.texts.get(path) {
            Some(text) => Ok(text.to_string()),
            None => self.below.read(path),
        }
    }

    fn head(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        match self.texts.get(path) {
            Some(text) => Ok(text.bytes().take(most).collect()),
            None => self.below.head(path, most),
        }
    }

    fn read_private(&self, path: &Path) -> io::Result<(String, u32)> {
        self.below.read_private(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let added = self.texts.keys().filter(|path| path.starts_with(folder));
        let mut all: BTreeSet<PathBuf> = added.cloned().collect();
        match self.below.list(folder) {
            Ok(list) => all.extend(list),
            Err(error) if all.is_empty() => return Err(error),
            Err(_) => {}
        }
        let mut all: Vec<PathBuf> = all.into_iter().collect();
        all.sort();
        Ok(all)
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.below.names(folder)
    }

    fn is_file(&self, path: &Path) -> bool {
        self.texts.contains_key(path) || self.below.is_file(path)
    }

    fn size(&self, path: &Path) -> Option<u64> {
        match self.texts.get(path) {
            Some(text) => u64::try_from(text.len()).ok(),
            None => self.below.size(path),
        }
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.below.is_dir(path)
    }

    fn is_executable(&self, path: &Path) -> bool {
        self.below.is_executable(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_lie_over_files() {
        let below: MemoryFiles = [("a/x.toml", "x"), ("a/y.toml", "y")].into_iter().collect();
        let mut over = Overlay::new(&below);
        over.put("a/y.toml", "new");
        over.put("a/z.toml", "z");
        let read = |path: &str| over.read(path.as_ref()).unwrap();
        assert_eq!(
            (read("a/x.toml"), read("a/y.toml")),
            ("x".into(), "new".into())
        );
        let list = over.list("a".as_ref()).unwrap();
        assert_eq!(list.len(), 3);
        assert!(over.is_file("a/z.toml".as_ref()) && !over.is_file("a/w.toml".as_ref()));
        assert_eq!(over.size("a/y.toml".as_ref()), Some(3));
        assert!(over.list("b".as_ref()).is_err());
    }

    #[test]
    fn a_file_with_secrets_is_blanks_but_for_what_may_be_shown() {
        let mut map = SourceMap::default();
        let text = "root = \"hünter2\"\nb = 1\n";
        let one = map.add_secret("s.toml", text, &[0..4, 18..19]);
        let other = map.add_secret("s.toml", &text.replace("hün", "mün"), &[]);
        let one = map.get(one).unwrap();
        assert_eq!(one.text.trim_end(), "root             \nb");
        assert_eq!(one.text.len(), text.len());
        assert_ne!(one.fingerprint, map.get(other).unwrap().fingerprint);
        assert!(!format!("{map:?}").contains("nter2"));
    }

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let mut map = SourceMap::default();
        let source = map.add("a.toml", "ä = 1\nfoo = 2\n");
        let at = |start| map.line_column(Span::new(source, start..start));
        assert_eq!(at(0), Some((1, 1)));
        assert_eq!(at(2), Some((1, 2)));
        assert_eq!(at(7), Some((2, 1)));
        assert_eq!(at(900), Some((3, 1)));
    }
}
