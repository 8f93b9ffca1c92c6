//! Small files that are being sent, each once in memory for all transfers of it: loaders, which thousands of machines ask for
//! at once.
//!
//! **Invariant:** what is given out is the file as it was at one moment; it stays that whatever becomes of the file. Files
//! are held for no longer than they are being sent, [`MOST`] bytes of them in all, by all engines together.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, Weak};

use rustix::io::{ReadWriteFlags, preadv2};

use crate::base::{Timestamp, locked};
use crate::serve::file_cache::Version;

/// Bytes of the largest file that is held.
const LONGEST: u64 = 4 << 20;

/// Bytes of all that are held.
const MOST: u64 = 16 << 20;

/// The files that are being sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Wholes {
    held: Arc<Mutex<Vec<Held>>>,
}

/// In a box, because what is weak keeps the place of what it points to.
type Held = (Version, Weak<Box<[u8]>>);

impl Wholes {
    /// All bytes of a file, when they can be had without waiting for a disk. `None`: it is to be read piece by piece.
    pub(super) fn get(
        &self,
        file: &File,
        version: Version,
        now: Timestamp,
    ) -> Option<Arc<Box<[u8]>>> {
        let mut held = locked(&self.held);
        let there = held.iter().find(|(other, _)| *other == version);
        if let Some(bytes) = there.and_then(|(_, bytes)| bytes.upgrade()) {
            return Some(bytes);
        }
        // One that may be changed without a new time would be taken for what it was.
        if version.is_empty() || version.len() > LONGEST || !version.is_settled(now) {
            return None;
        }
        held.retain(|(_, bytes)| bytes.strong_count() > 0);
        let all: u64 = held.iter().map(|(version, _)| version.len()).sum();
        if all.saturating_add(version.len()) > MOST {
            return None;
        }
        let bytes = Arc::new(read(file, version)?.into_boxed_slice());
        held.push((version, Arc::downgrade(&bytes)));
        Some(bytes)
    }
}

/// What the system has in memory, if that is all.
fn read(file: &File, version: Version) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(version.len()).ok()?];
    let mut at = 0;
    while at < bytes.len() {
        let mut rest = [io::IoSliceMut::new(bytes.get_mut(at..)?)];
        let offset = u64::try_from(at).ok()?;
        let count = preadv2(file, &mut rest, offset, ReadWriteFlags::NOWAIT).ok()?;
        if count == 0 {
            return None;
        }
        at += count;
    }
    version.is_still(file).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{Clock as _, SystemClock};
    use crate::serve::assets::{Asset, AssetTree};

    impl Wholes {
        fn of(&self, asset: &Asset, now: Timestamp) -> Option<Arc<Box<[u8]>>> {
            self.get(&asset.file, asset.version, now)
        }
    }

    /// Some time after all that the test has written.
    fn later() -> Timestamp {
        SystemClock.now().plus(Duration::from_secs(5))
    }

    #[test]
    fn all_transfers_of_a_file_have_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, wholes) = (AssetTree::new(folder.path()), Wholes::default());
        let (path, old) = (folder.path().join("loader"), vec![7; 100_000]);
        std::fs::write(&path, &old).unwrap();
        let open = || tree.open("loader").unwrap();
        let one = wholes.of(&open(), later()).unwrap();
        let asset = open();
        let other = wholes.of(&asset, later()).unwrap();
        assert_eq!(**one, *old);
        assert!(Arc::ptr_eq(&one, &other));
        // Another one in its place is another one.
        let new = folder.path().join("new");
        std::fs::write(&new, b"new").unwrap();
        std::fs::rename(&new, &path).unwrap();
        assert_eq!(**wholes.of(&open(), later()).unwrap(), *b"new");
        assert_eq!(**one, *old);
        // Nothing is held that is not being sent.
        drop((one, other));
        let again = wholes.of(&open(), later()).unwrap();
        assert_eq!(wholes.held.lock().unwrap().len(), 1);
        drop(again);
        // The file that was opened before is still the old one.
        assert_eq!(**wholes.of(&asset, later()).unwrap(), *old);
    }

    #[test]
    fn a_file_that_was_just_changed_is_not_held() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, wholes) = (AssetTree::new(folder.path()), Wholes::default());
        let path = folder.path().join("loader");
        std::fs::write(&path, b"one").unwrap();
        let asset = tree.open("loader").unwrap();
        assert!(wholes.of(&asset, SystemClock.now()).is_none());
        // Cut short behind the opening.
        std::fs::write(&path, b"x").unwrap();
        assert!(wholes.of(&asset, later()).is_none());
        std::fs::write(&path, b"").unwrap();
        assert!(wholes.of(&tree.open("loader").unwrap(), later()).is_none());
    }

    #[test]
    fn there_are_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, wholes) = (AssetTree::new(folder.path()), Wholes::default());
        let open = |name: &str, len: u64| {
            let bytes = vec![1; usize::try_from(len).unwrap()];
            std::fs::write(folder.path().join(name), bytes).unwrap();
            tree.open(name).unwrap()
        };
        assert!(wholes.of(&open("large", LONGEST + 1), later()).is_none());
        let held: Vec<_> = ["a", "b", "c", "d"]
            .map(|name| wholes.of(&open(name, LONGEST), later()).unwrap())
            .into();
        assert!(wholes.of(&open("one more", 1), later()).is_none());
        drop(held);
        assert!(wholes.of(&open("one more", 1), later()).is_some());
    }
}
