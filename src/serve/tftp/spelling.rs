//! Boot files whose name is asked for in other letters: firmware that keeps its files on FAT writes
//! `\EFI\BOOT\GRUBX64.EFI` for what is called `grubx64.efi` here.
//!
//! **Invariant:** what is found is only a name; it is opened like any other, beneath the root.

use std::path::Path;

/// Entries of one folder that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// Folders deep.
const MAX_DEPTH: usize = 16;

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

/// Looks for a path below `root` that differs from `clean` in upper and lower case only.
pub(super) fn find(root: &Path, clean: &str) -> Found {
    let mut paths = vec![String::new()];
    for (depth, part) in clean.split('/').enumerate() {
        if depth >= MAX_DEPTH {
            return Found::Nothing;
        }
        paths = paths
            .iter()
            .flat_map(|path| same_letters(root, path, part))
            .take(MAX_DEPTH)
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
fn same_letters(root: &Path, folder: &str, part: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else {
        return Vec::new();
    };
    entries
        .take(MAX_ENTRIES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.eq_ignore_ascii_case(part))
        .map(|name| match folder {
            "" => name,
            _ => format!("{folder}/{name}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_letters() {
        let root = tempfile::tempdir().unwrap();
        for file in ["EFI/boot/grubx64.efi", "a/X", "a/x", "B/one", "b/two"] {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        let find = |clean: &str| find(root.path(), clean);
        let grub = Found::One("EFI/boot/grubx64.efi".to_owned());
        assert_eq!(find("EFI/BOOT/GRUBX64.EFI"), grub);
        assert_eq!(find("efi/boot/grubx64.efi"), grub);
        assert_eq!(find("A/X"), Found::Several);
        // Two folders of these letters, and one of them has the file.
        assert_eq!(find("B/TWO"), Found::One("b/two".to_owned()));
        assert_eq!(find("efi/boot/grubia32.efi"), Found::Nothing);
        assert_eq!(find(&"a/".repeat(40)), Found::Nothing);
    }
}
