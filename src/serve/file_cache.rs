//! Boot files in memory: each once, whole, for all who fetch it.
//!
//! They lie in files of their own without a name, which nobody else can change and from which the system sends
//! without a copy (`sendfile`): in large pages where the process could make a file system for them ([`MemoryFs`]),
//! else in what `memfd_create` gives.
//!
//! A file is read once, however many ask for it at the same time: who comes while it is read gets its pieces as
//! they come. It is known by what the system says of it ([`Version`]), asked at each request, so that a changed
//! file is read anew. Within the bound the most used stay; a file that finds no room is streamed by whoever
//! asks for it.
//!
//! **Invariant:** a piece is handed out only when the file was unchanged after it was read. What is held, together
//! with what is still on its way of files that were let go, is never more than the bound, but for what was
//! held when the bound was lowered.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::sys::stat::FileStat;
use rustix::fs::{MemfdFlags, SealFlags};

use crate::base::{Clock as _, SystemClock, Timestamp};
use crate::host::memory_fs::MemoryFs;

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// A file that was changed so shortly before it was read may have been changed again without a new time: clocks
/// of file systems tick some hundred times in a second. It is kept for no longer than this.
const UNSETTLED: Duration = Duration::from_secs(1);

/// A use counts half after this long, a quarter after twice as long.
const HALVED: Duration = Duration::from_secs(600);

/// Files without a place of which it is known how often they were asked for.
const REMEMBERED: usize = 1_024;

/// What tells one content of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    id: Id,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Device and inode.
type Id = (u64, u64);

impl Version {
    /// As the system says.
    pub fn of(stat: &FileStat) -> Self {
        Self {
            id: (stat.st_dev, stat.st_ino),
            len: u64::try_from(stat.st_size).unwrap_or_default(),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Bytes.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether an open file still has this content, as far as its length and time tell. Its inode's own time
    /// does not count: it changes as well when another file takes its name.
    pub fn is_still(&self, file: &File) -> Result<(), Trouble> {
        let now = nix::sys::stat::fstat(file).map_err(|errno| Trouble::Read(errno.to_string()))?;
        let now = Self::of(&now);
        if (now.len, now.modified) == (self.len, self.modified) {
            Ok(())
        } else {
            Err(Trouble::Changed)
        }
    }

    /// Whether it was changed so long ago that another change shows.
    pub(super) fn is_settled(&self, now: Timestamp) -> bool {
        let since = now.since(Timestamp::from_micros(0));
        let (secs, nanos) = self.changed.max(self.modified);
        let changed = Duration::new(
            u64::try_from(secs).unwrap_or_default(),
            u32::try_from(nanos).unwrap_or_default(),
        );
        since.saturating_sub(changed) > UNSETTLED
    }
}

/// Why no more of a file can be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It is no longer what it was.
    #[error("the file was changed while it was sent; put a new file in its place by renaming it")]
    Changed,
    /// The system refuses.
    #[error("{0}")]
    Read(String),
}

/// Files in memory; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct FileCache {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    limit: AtomicU64,
    held: Arc<AtomicU64>,
    state: Mutex<State>,
    place: OnceLock<MemoryFs>,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<Id, (Arc<KeptFile>, Uses)>,
    /// Of files that have no place.
    others: HashMap<Id, Uses>,
}

/// How often a file was asked for.
#[derive(Debug, Clone, Copy)]
struct Uses {
    count: u32,
    last: Instant,
}

impl Uses {
    fn at(&self, now: Instant) -> u32 {
        let halvings = now.saturating_duration_since(self.last).as_secs() / HALVED.as_secs();
        self.count
            .checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX))
            .unwrap_or(0)
    }

    fn once_more(before: Option<Self>, now: Instant) -> Self {
        let count = before.map_or(0, |uses| uses.at(now));
        Self {
            count: count.saturating_add(1),
            last: now,
        }
    }
}

impl FileCache {
    /// Has files kept there from now on; the first to be named stays.
    pub fn keep_in(&self, place: MemoryFs) {
        let _ = self.inner.place.set(place);
    }

    /// Keeps at most so many bytes from now on.
    pub fn set_limit(&self, bytes: u64) {
        if self.inner.limit.swap(bytes, Ordering::Relaxed) > bytes {
            self.lock().make_room(&self.inner.held, 0, bytes, u32::MAX);
        }
    }

    /// Bytes that are held.
    pub fn held(&self) -> u64 {
        self.inner.held.load(Ordering::Relaxed)
    }

    /// A file from memory; read from now on, when it is not there yet. `None`: there is no room for it. To be
    /// called on a runtime.
    pub fn get(&self, file: &Arc<File>, version: Version) -> Option<Arc<KeptFile>> {
        let now = Instant::now();
        let mut state = self.lock();
        let mut before = None;
        if let Some((kept, uses)) = state.files.get_mut(&version.id) {
            if kept.version == version && kept.is_good(now) {
                *uses = Uses::once_more(Some(*uses), now);
                return Some(Arc::clone(kept));
            }
            before = Some(*uses);
            state.files.remove(&version.id);
        }
        let uses = Uses::once_more(before.or_else(|| state.others.remove(&version.id)), now);
        let limit = self.inner.limit.load(Ordering::Relaxed);
        let held = &self.inner.held;
        if version.is_empty()
            || version.len > limit
            || !state.make_room(held, version.len, limit, uses.at(now))
        {
            state.remember(version.id, uses, now);
            return None;
        }
        let Some((filled, memory)) = self.in_memory(version.len) else {
            state.remember(version.id, uses, now);
            return None;
        };
        held.fetch_add(version.len, Ordering::Relaxed);
        let kept = Arc::new(KeptFile::new(version, memory, Arc::clone(held), now));
        state.files.insert(version.id, (Arc::clone(&kept), uses));
        drop(state);
        let reader = Reader {
            kept: Arc::clone(&kept),
            file: Arc::clone(file),
            memory: filled,
        };
        tokio::task::spawn_blocking(move || reader.run());
        Some(kept)
    }

    /// A file without a name: to be filled, and to be sent. `None`: the system gives none.
    fn in_memory(&self, len: u64) -> Option<(File, Arc<File>)> {
        let place = self.inner.place.get();
        let made = match place.and_then(|place| place.file(len).ok()) {
            Some(made) => Ok(made),
            None => sealable(),
        };
        match made {
            Ok((filled, sent)) => Some((filled, Arc::new(sent))),
            Err(error) => {
                tracing::debug!(%error, "no boot file can be kept in memory");
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = &self.inner.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets files go that nobody is being sent and that are used no more than this, the least used first,
    /// until so many bytes find room. Nothing is let go in vain.
    fn make_room(&mut self, held: &AtomicU64, bytes: u64, limit: u64, uses: u32) -> bool {
        let held = held.load(Ordering::Relaxed);
        let Some(mut excess) = held.saturating_add(bytes).checked_sub(limit) else {
            return true;
        };
        let now = Instant::now();
        let mut idle: Vec<(u32, Instant, Id, u64)> = self
            .files
            .iter()
            .filter(|(_, (kept, of))| Arc::strong_count(kept) == 1 && of.at(now) <= uses)
            .map(|(id, (kept, of))| (of.at(now), of.last, *id, kept.version.len))
            .collect();
        let all: u64 = idle.iter().map(|(.., len)| len).sum();
        if bytes > 0 && all < excess {
            return false;
        }
        idle.sort_unstable();
        for (_, _, id, len) in idle {
            if excess == 0 {
                break;
            }
            if let Some((_, of)) = self.files.remove(&id) {
                self.remember(id, of, now);
            }
            excess = excess.saturating_sub(len);
        }
        excess == 0
    }

    fn remember(&mut self, id: Id, uses: Uses, now: Instant) {
        if self.others.len() >= REMEMBERED {
            self.others.retain(|_, of| of.at(now) > 1);
            if self.others.len() >= REMEMBERED {
                self.others.clear();
            }
        }
        self.others.insert(id, uses);
    }
}

/// A file without a name that can be sealed.
fn sealable() -> io::Result<(File, File)> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(rustix::fs::memfd_create("boot file", flags)?);
    Ok((file.try_clone()?, file))
}

/// A file in memory, or on its way there.
#[derive(Debug)]
pub struct KeptFile {
    version: Version,
    memory: Arc<File>,
    /// Bytes that are there, from the beginning.
    ready: AtomicU64,
    waiting: Mutex<Waiting>,
    /// Whether it was settled when it was opened.
    settled: bool,
    since: Instant,
    held: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Waiting {
    trouble: Option<Trouble>,
    wakers: Vec<Waker>,
}

impl KeptFile {
    fn new(version: Version, memory: Arc<File>, held: Arc<AtomicU64>, since: Instant) -> Self {
        Self {
            version,
            memory,
            ready: AtomicU64::new(0),
            waiting: Mutex::default(),
            settled: version.is_settled(SystemClock.now()),
            since,
            held,
        }
    }

    /// Where its bytes lie, at their own offsets.
    pub const fn memory(&self) -> &Arc<File> {
        &self.memory
    }

    /// How many bytes there are from `offset` on, as soon as there is one.
    pub fn poll_ready(&self, cx: &mut Context<'_>, offset: u64) -> Poll<Result<u64, Trouble>> {
        let there = || {
            let ready = self.ready.load(Ordering::Acquire);
            ready.checked_sub(offset).filter(|count| *count > 0)
        };
        if let Some(count) = there() {
            return Poll::Ready(Ok(count));
        }
        let mut waiting = self.waiting();
        if let Some(count) = there() {
            return Poll::Ready(Ok(count));
        }
        if let Some(trouble) = &waiting.trouble {
            return Poll::Ready(Err(trouble.clone()));
        }
        if offset >= self.version.len {
            return Poll::Ready(Err(Trouble::Changed));
        }
        if !waiting
            .wakers
            .iter()
            .any(|waker| waker.will_wake(cx.waker()))
        {
            waiting.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// A copy of bytes that are there.
    pub fn copy(&self, offset: u64, count: usize) -> Result<Bytes, Trouble> {
        let mut buffer = vec![0; count];
        self.memory
            .read_exact_at(&mut buffer, offset)
            .map_err(|error| Trouble::Read(error.to_string()))?;
        Ok(buffer.into())
    }

    fn is_good(&self, now: Instant) -> bool {
        (self.settled || now.saturating_duration_since(self.since) < UNSETTLED)
            && self.waiting().trouble.is_none()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits.
    fn tell(&self, trouble: Option<Trouble>) {
        let mut waiting = self.waiting();
        if waiting.trouble.is_none() {
            waiting.trouble = trouble;
        }
        let wakers = std::mem::take(&mut waiting.wakers);
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        self.held.fetch_sub(self.version.len, Ordering::Relaxed);
    }
}

/// Reads a file into its place.
struct Reader {
    kept: Arc<KeptFile>,
    file: Arc<File>,
    /// Where it is written to; nobody else can.
    memory: File,
}

impl Reader {
    fn run(&self) {
        if let Err(trouble) = self.read() {
            self.kept.tell(Some(trouble));
        }
    }

    fn read(&self) -> Result<(), Trouble> {
        let kept = &self.kept;
        let mut offset = 0;
        while offset < kept.version.len {
            let bytes = read_at(&self.file, kept.version, offset, PIECE)?;
            self.memory
                .write_all_at(&bytes, offset)
                .map_err(|error| Trouble::Read(error.to_string()))?;
            offset += u64::try_from(bytes.len()).unwrap_or_default();
            if offset == kept.version.len {
                // Whole from now on, and never another. Where there are no seals, nobody has it open to write.
                let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW;
                let _ = rustix::fs::fcntl_add_seals(&self.memory, seals);
            }
            kept.ready.store(offset, Ordering::Release);
            kept.tell(None);
        }
        Ok(())
    }
}

impl Drop for Reader {
    /// Nobody waits for a reader that has ended in the middle.
    fn drop(&mut self) {
        if self.kept.ready.load(Ordering::Relaxed) < self.kept.version.len {
            let text = "reading it was given up".to_owned();
            self.kept.tell(Some(Trouble::Read(text)));
        }
    }
}

/// Reads `count` bytes, fewer at the file's end only, which are those of this version. Blocks.
pub fn read_at(file: &File, version: Version, offset: u64, count: usize) -> Result<Bytes, Trouble> {
    let left = version.len.saturating_sub(offset);
    let count = usize::try_from(left).unwrap_or(usize::MAX).min(count);
    let mut buffer = vec![0; count];
    match file.read_exact_at(&mut buffer, offset) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Trouble::Changed),
        Err(error) => return Err(Trouble::Read(error.to_string())),
    }
    version.is_still(file)?;
    Ok(buffer.into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    struct Folder {
        folder: tempfile::TempDir,
    }

    impl Folder {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
            }
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, bytes: &[u8]) -> (Arc<File>, Version) {
            std::fs::write(self.path(name), bytes).unwrap();
            open(&self.path(name))
        }
    }

    fn open(path: &Path) -> (Arc<File>, Version) {
        let file = File::open(path).unwrap();
        let version = Version::of(&nix::sys::stat::fstat(&file).unwrap());
        (Arc::new(file), version)
    }

    fn cache(limit: u64) -> FileCache {
        let cache = FileCache::default();
        cache.set_limit(limit);
        cache
    }

    async fn whole(kept: &KeptFile) -> Result<Vec<u8>, Trouble> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < kept.version.len {
            let next = bytes.len() as u64;
            let there = std::future::poll_fn(|cx| kept.poll_ready(cx, next)).await?;
            let piece = kept.copy(next, usize::try_from(there).unwrap())?;
            assert!(!piece.is_empty());
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    fn some_bytes(count: usize) -> Vec<u8> {
        (0..count)
            .map(|at| u8::try_from(at % 251).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn a_file_is_read_once_for_all_who_ask() {
        let folder = Folder::new();
        let bytes = some_bytes(3 * PIECE + 17);
        let (file, version) = folder.write("a", &bytes);
        let cache = cache(64 << 20);
        let kept: Vec<_> = (0..64)
            .map(|_| cache.get(&file, version).unwrap())
            .collect();
        assert!(kept.iter().all(|other| Arc::ptr_eq(other, &kept[0])));
        for one in &kept {
            assert_eq!(whole(one).await.unwrap(), bytes);
        }
        assert_eq!(cache.held(), bytes.len() as u64);
        assert_eq!(
            kept[0].copy(PIECE as u64 - 5, 9).unwrap(),
            bytes[PIECE - 5..PIECE + 4]
        );
        // Nobody changes it any more.
        assert!(kept[0].memory().write_all_at(b"x", 0).is_err());
        assert!(kept[0].memory().set_len(1).is_err());
    }

    #[tokio::test]
    async fn in_a_file_system_of_its_own_it_is_the_same() {
        // Only root may make one.
        let Ok(place) = MemoryFs::new() else {
            return;
        };
        let folder = Folder::new();
        let bytes = some_bytes(3 * PIECE + 17);
        let (file, version) = folder.write("a", &bytes);
        let cache = cache(64 << 20);
        cache.keep_in(place);
        let kept = cache.get(&file, version).unwrap();
        assert_eq!(whole(&kept).await.unwrap(), bytes);
        assert!(kept.memory().write_all_at(b"x", 0).is_err());
        assert!(kept.memory().set_len(1).is_err());
    }

    #[tokio::test]
    async fn a_changed_file_is_another() {
        let folder = Folder::new();
        let (file, version) = folder.write("a", b"one");
        let cache = cache(1 << 20);
        let first = cache.get(&file, version).unwrap();
        assert_eq!(whole(&first).await.unwrap(), b"one");
        let (file, version) = folder.write("a", b"other");
        let second = cache.get(&file, version).unwrap();
        assert_eq!(whole(&second).await.unwrap(), b"other");
        assert_eq!(whole(&first).await.unwrap(), b"one");
        assert_eq!(cache.held(), 8);
        drop(first);
        // Whoever read it into memory lets go of it a moment after its last byte is there.
        let begun = Instant::now();
        while cache.held() > 5 && begun.elapsed() < Duration::from_secs(10) {
            tokio::task::yield_now().await;
        }
        assert_eq!(cache.held(), 5);
    }

    #[tokio::test]
    async fn a_file_that_shrinks_while_it_is_read_is_not_mixed() {
        let folder = Folder::new();
        let (file, version) = folder.write("a", &some_bytes(4 * PIECE));
        File::options()
            .write(true)
            .open(folder.path("a"))
            .unwrap()
            .set_len(PIECE as u64)
            .unwrap();
        let cache = cache(64 << 20);
        let kept = cache.get(&file, version).unwrap();
        assert_eq!(whole(&kept).await, Err(Trouble::Changed));
        drop(kept);
        // The next one reads what is there now.
        let (file, version) = open(&folder.path("a"));
        let kept = cache.get(&file, version).unwrap();
        assert_eq!(whole(&kept).await.unwrap().len(), PIECE);
    }

    #[tokio::test]
    async fn the_most_used_stay_and_what_is_being_sent_is_not_let_go() {
        let folder = Folder::new();
        let cache = cache(10);
        let (hot, hot_version) = folder.write("hot", b"12345");
        for _ in 0..3 {
            let kept = cache.get(&hot, hot_version).unwrap();
            whole(&kept).await.unwrap();
        }
        let (cold, cold_version) = folder.write("cold", b"1234");
        let sending = cache.get(&cold, cold_version).unwrap();
        whole(&sending).await.unwrap();
        let (new, new_version) = folder.write("new", b"123");
        // Each place is taken by what is more used, or on its way.
        assert!(cache.get(&new, new_version).is_none());
        // The reader may still hold it for a moment; asking meanwhile would count as uses.
        let held = Arc::downgrade(&sending);
        drop(sending);
        tokio::time::timeout(Duration::from_secs(20), async {
            while held.strong_count() > 1 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        assert!(cache.get(&new, new_version).is_some());
        assert!(cache.held() <= 10);
        assert!(cache.lock().files.contains_key(&hot_version.id));
        assert!(!cache.lock().files.contains_key(&cold_version.id));
        cache.set_limit(0);
        assert!(cache.get(&hot, hot_version).is_none());
        // Larger than everything there is.
        let (large, version) = folder.write("large", &some_bytes(11));
        cache.set_limit(10);
        assert!(cache.get(&large, version).is_none());
    }

    #[test]
    fn uses_fade() {
        let now = Instant::now();
        let uses = Uses {
            count: 8,
            last: now,
        };
        assert_eq!(uses.at(now), 8);
        assert_eq!(uses.at(now + HALVED), 4);
        assert_eq!(uses.at(now + 4 * HALVED), 0);
        assert_eq!(uses.at(now + 400 * HALVED), 0);
    }

    #[tokio::test]
    async fn a_file_just_changed_is_kept_for_a_moment_only() {
        let folder = Folder::new();
        let (file, version) = folder.write("a", b"new");
        let cache = cache(100);
        let kept = cache.get(&file, version).unwrap();
        assert!(!kept.settled);
        assert!(kept.is_good(kept.since) && !kept.is_good(kept.since + UNSETTLED));
        assert!(version.is_settled(SystemClock.now().plus(2 * UNSETTLED)));
    }
}
