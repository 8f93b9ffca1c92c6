//! Boot files whose name is asked for in other letters: firmware that keeps its files on FAT writes
//! `\EFI\BOOT\GRUBX64.EFI` for what is called `grubx64.efi` here.
//!
//! **Invariant:** what is found is only a name; it is opened like any other, beneath the root. Whatever names are asked
//! for, no folder is read more than once in [`FRESH`], and no more than [`MAX_READ`] entries of all folders together: the
//! thread that reads them serves others meanwhile.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::base::locked;

/// How long it is remembered what is in a folder. A name that is written as the file's is always looked for on the disk.
const FRESH: Duration = Duration::from_secs(1);

/// Entries of one folder that are looked at.
const MAX_ENTRIES: usize = 2_048;

/// Entries that are read within [`FRESH`]; in folders that come after them nothing is found.
const MAX_READ: usize = 8_192;

/// Folders deep.
const MAX_DEPTH: usize = 8;

/// Paths followed that differ in upper and lower case only.
const MAX_PATHS: usize = 8;

/// What is there under a clean path, but for upper and lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// One path.
    One(String),
    /// More than one: whichever was taken, it might be the wrong one.
    Several,
}

/// The names in a folder, by their lower-case letters.
type Names = HashMap<String, Vec<String>>;

/// Finds names in other letters, and remembers for a moment what is in the folders.
#[derive(Debug, Default)]
pub(super) struct Spellings {
    listed: Mutex<Listed>,
}

#[derive(Debug, Default)]
struct Listed {
    /// When the first of these was read; all are forgotten at once.
    since: Option<Instant>,
    folders: HashMap<PathBuf, Arc<Names>>,
    read: usize,
}

impl Spellings {
    /// Looks for a path below `root` that differs from `clean` in upper and lower case only.
    pub(super) fn find(&self, root: &Path, clean: &str, now: Instant) -> Found {
        let mut paths = vec![String::new()];
        for (depth, part) in clean.split('/').enumerate() {
            if depth >= MAX_DEPTH {
                return Found::Nothing;
            }
            let part = part.to_ascii_lowercase();
            paths = paths
                .iter()
                .flat_map(|path| self.same_letters(root, path, &part, now))
                .take(MAX_PATHS)
                .collect();
        }
        let mut files = paths.into_iter();
        match (files.next(), files.next()) {
            (Some(one), None) => Found::One(one),
            (Some(_), Some(_)) => Found::Several,
            _ => Found::Nothing,
        }
    }

    /// The entries of a folder below the root that have these letters.
    fn same_letters(&self, root: &Path, folder: &str, part: &str, now: Instant) -> Vec<String> {
        let names = self.names(root.join(folder), now);
        let names = names.get(part).into_iter().flatten();
        names
            .map(|name| match folder {
                "" => name.clone(),
                _ => format!("{folder}/{name}"),
            })
            .collect()
    }

    fn names(&self, folder: PathBuf, now: Instant) -> Arc<Names> {
        let mut listed = locked(&self.listed);
        let is_fresh = |since: Instant| now.saturating_duration_since(since) < FRESH;
        if !listed.since.is_some_and(is_fresh) {
            *listed = Listed {
                since: Some(now),
                ..Listed::default()
            };
        }
        if let Some(names) = listed.folders.get(&folder) {
            return Arc::clone(names);
        }
        let most = MAX_ENTRIES.min(MAX_READ.saturating_sub(listed.read));
        let (names, read) = read(&folder, most);
        // Asking for a folder costs something as well, also for one that is none.
        listed.read += read + 1;
        let names = Arc::new(names);
        if most > 0 {
            listed.folders.insert(folder, Arc::clone(&names));
        }
        names
    }
}

/// The names of so many entries of a folder, and how many were read.
fn read(folder: &Path, most: usize) -> (Names, usize) {
    let mut names = Names::new();
    let mut read = 0;
    if most == 0 {
        return (names, read);
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().take(most) {
        read += 1;
        if let Some(name) = entry
            .ok()
            .and_then(|entry| entry.file_name().into_string().ok())
        {
            names
                .entry(name.to_ascii_lowercase())
                .or_default()
                .push(name);
        }
    }
    (names, read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            write(root.path(), file);
        }
        root
    }

    fn write(root: &Path, file: &str) {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"").unwrap();
    }

    #[test]
    fn other_letters() {
        let root = site(&["EFI/boot/grubx64.efi", "a/X", "a/x", "B/one", "b/two"]);
        let spellings = Spellings::default();
        let now = Instant::now();
        let find = |clean: &str| spellings.find(root.path(), clean, now);
        let grub = Found::One("EFI/boot/grubx64.efi".to_owned());
        assert_eq!(find("EFI/BOOT/GRUBX64.EFI"), grub);
        assert_eq!(find("efi/boot/grubx64.efi"), grub);
        assert_eq!(find("A/X"), Found::Several);
        // Two folders of these letters, and one of them has the file.
        assert_eq!(find("B/TWO"), Found::One("b/two".to_owned()));
        assert_eq!(find("efi/boot/grubia32.efi"), Found::Nothing);
        assert_eq!(find("efi/nothing/grubx64.efi"), Found::Nothing);
        assert_eq!(find(&"a/".repeat(40)), Found::Nothing);
    }

    #[test]
    fn a_folder_is_read_once_in_a_second_whatever_is_asked_for() {
        let root = site(&["EFI/boot/grubx64.efi"]);
        let spellings = Spellings::default();
        let now = Instant::now();
        let find = |clean: &str, ms| {
            let now = now + Duration::from_millis(ms);
            spellings.find(root.path(), clean, now)
        };
        for n in 0..1_000 {
            assert_eq!(find(&format!("efi/boot/{n}"), n), Found::Nothing);
            assert_eq!(find(&format!("efi/{n}/x"), n), Found::Nothing);
        }
        // Three folders with an entry each.
        assert_eq!(spellings.listed.lock().unwrap().read, 6);
        write(root.path(), "EFI/boot/new.efi");
        assert_eq!(find("efi/boot/NEW.EFI", 999), Found::Nothing);
        let new = Found::One("EFI/boot/new.efi".to_owned());
        assert_eq!(find("efi/boot/NEW.EFI", 1_000), new);
    }

    #[test]
    fn many_folders_are_not_read_all_at_once() {
        let root = site(&["other/file"]);
        let large = |n| format!("large-{n}");
        for n in 0..4 {
            for entry in 0..MAX_ENTRIES {
                write(root.path(), &format!("{}/{entry}", large(n)));
            }
        }
        let spellings = Spellings::default();
        let now = Instant::now();
        let find = |clean: &str, now| spellings.find(root.path(), clean, now);
        for n in 0..4 {
            let found = find(&format!("{}/0", large(n).to_uppercase()), now);
            let expected = Found::One(format!("{}/0", large(n)));
            // Of the last one there is a part, whichever.
            assert!(n == 3 || found == expected, "{n}: {found:?}");
        }
        let read = spellings.listed.lock().unwrap().read;
        assert!((MAX_READ..MAX_READ + 6).contains(&read), "{read}");
        assert_eq!(find("OTHER/file", now), Found::Nothing);
        let later = now + FRESH;
        let other = Found::One("other/file".to_owned());
        assert_eq!(find("OTHER/file", later), other);
    }
}
