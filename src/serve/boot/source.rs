//! Where the bytes of a boot file come from: memory, or the disk in large reads.
//!
//! **Invariant:** bytes are given only of a file that was unchanged after they were read. No worker of the
//! runtime waits for a disk.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use bytes::BytesMut;
use rustix::fs::Advice;
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

use crate::serve::file_cache::{FileCache, KeptFile, Trouble, Version, read_at};
use crate::serve::listener::Watch;

/// Bytes read and handed to the connection at once: what is written stays in the processor's cache.
const GIVEN: u64 = 256 << 10;

/// Bytes read at once from a disk that has to be waited for.
const READ: usize = 512 << 10;

/// One file's bytes.
pub(super) enum Source {
    /// Held once for everybody.
    Kept(Kept),
    /// Read for this transfer alone.
    Disk(Disk),
}

/// A file in memory, which the system sends from there.
pub(super) struct Kept {
    held: Arc<KeptFile>,
    file: Arc<File>,
    version: Version,
    /// `None`: there is no connection beneath, and the bytes are copied.
    watch: Option<Watch>,
}

/// A file that is read as it is sent.
pub(super) struct Disk {
    file: Arc<File>,
    version: Version,
    reading: Option<JoinHandle<Result<Bytes, Trouble>>>,
    /// What was read and not given yet.
    rest: Bytes,
    /// The bytes given last: the same memory takes the next ones, when the connection has let go of it.
    given: Bytes,
}

impl Source {
    /// From memory, where there is room for it.
    pub(super) fn new(
        cache: &FileCache,
        file: File,
        version: Version,
        watch: Option<Watch>,
    ) -> Self {
        let file = Arc::new(file);
        match cache.get(&file, version) {
            Some(kept) => Self::Kept(Kept {
                held: kept,
                file,
                version,
                watch,
            }),
            None => Self::Disk(Disk::new(file, version)),
        }
    }

    /// Some bytes from `offset` on, not beyond `end`; or what stands for them until the connection writes
    /// them ([`Watch::instead`]).
    pub(super) fn poll_at(
        &mut self,
        cx: &mut Context<'_>,
        offset: u64,
        end: u64,
    ) -> Poll<Result<Bytes, Trouble>> {
        if let Self::Kept(kept) = self {
            match ready!(kept.poll_at(cx, offset, end)) {
                // There was no memory for it after all.
                Err(Trouble::Read(_)) => {
                    *self = Self::Disk(Disk::new(Arc::clone(&kept.file), kept.version));
                }
                result => return Poll::Ready(result),
            }
        }
        match self {
            Self::Disk(disk) => disk.poll_at(cx, offset, end),
            Self::Kept(_) => Poll::Pending,
        }
    }
}

impl Kept {
    fn poll_at(&self, cx: &mut Context<'_>, offset: u64, end: u64) -> Poll<Result<Bytes, Trouble>> {
        let ready = ready!(self.held.poll_ready(cx, offset))?;
        let count = ready.min(end.saturating_sub(offset));
        Poll::Ready(if let Some(watch) = &self.watch {
            Ok(watch.instead(self.held.memory(), offset, count))
        } else {
            let count = usize::try_from(count.min(GIVEN)).unwrap_or_default();
            self.held.copy(offset, count)
        })
    }
}

impl Disk {
    fn new(file: Arc<File>, version: Version) -> Self {
        // The system reads ahead twice as far; where it does not, nothing is lost.
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::Sequential);
        Self {
            file,
            version,
            reading: None,
            rest: Bytes::new(),
            given: Bytes::new(),
        }
    }

    fn poll_at(
        &mut self,
        cx: &mut Context<'_>,
        offset: u64,
        end: u64,
    ) -> Poll<Result<Bytes, Trouble>> {
        if self.rest.is_empty() {
            if self.reading.is_none() {
                match self.at_once(offset, end) {
                    Ok(Some(bytes)) => return Poll::Ready(Ok(bytes)),
                    Ok(None) => self.begin(offset, end),
                    Err(trouble) => return Poll::Ready(Err(trouble)),
                }
            }
            let Some(reading) = &mut self.reading else {
                return Poll::Pending;
            };
            let read = ready!(std::pin::Pin::new(reading).poll(cx));
            self.reading = None;
            self.rest = match read {
                Ok(Ok(bytes)) if bytes.is_empty() => return Poll::Ready(Err(Trouble::Changed)),
                Ok(Ok(bytes)) => bytes,
                Ok(Err(trouble)) => return Poll::Ready(Err(trouble)),
                Err(error) => return Poll::Ready(Err(Trouble::Read(error.to_string()))),
            };
        }
        let count = usize::try_from(GIVEN)
            .unwrap_or(usize::MAX)
            .min(self.rest.len());
        Poll::Ready(Ok(self.rest.split_to(count)))
    }

    /// What the system has at hand of the next bytes; `None`: the disk has to be waited for.
    fn at_once(&mut self, offset: u64, end: u64) -> Result<Option<Bytes>, Trouble> {
        let want = GIVEN.min(end.saturating_sub(offset));
        let want = usize::try_from(want).unwrap_or_default();
        let mut buffer = std::mem::take(&mut self.given)
            .try_into_mut()
            .unwrap_or_else(|_| BytesMut::new());
        buffer.resize(want, 0);
        let mut slices = [io::IoSliceMut::new(&mut buffer)];
        // What cannot be read that way is read the other way, which tells why.
        let count = preadv2(&*self.file, &mut slices, offset, ReadWriteFlags::NOWAIT).unwrap_or(0);
        if count == 0 {
            return Ok(None);
        }
        self.version.is_still(&self.file)?;
        buffer.truncate(count);
        let bytes = buffer.freeze();
        self.given = bytes.clone();
        Ok(Some(bytes))
    }

    fn begin(&mut self, offset: u64, end: u64) {
        let (file, version) = (Arc::clone(&self.file), self.version);
        let want = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = want.min(READ);
        self.reading = Some(tokio::task::spawn_blocking(move || {
            read_at(&file, version, offset, want)
        }));
    }
}
