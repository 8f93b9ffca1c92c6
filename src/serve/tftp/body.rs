//! What one transfer sends: read as its engine asks for it, told of when its engine drops it.
//!
//! How it ended is what the engine has said ([`Body::ended`]); of an engine that says nothing it is
//! judged by what was read ([`outcome::judge`]).
//!
//! **Invariant:** one body ends in exactly one event. The engine's thread never waits for a disk or
//! the store: both are asked on the runtime's threads, unless the bytes lie in memory.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::{Instant, SystemTime};

use futures_lite::AsyncRead;
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::limits::Permit;
use super::outcome::{self, Ended, Outcome};
use super::tap;
use super::whole::Wholes;
use crate::base::{BootLoader, HardwareAddr, HostName};
use crate::journal::event::{Event, Kind, Reason};
use crate::serve::assets::Asset;
use crate::serve::context::Context;
use crate::serve::file_cache::Version;
use crate::serve::pulse::Pulse;
use crate::serve::script::{ScriptAnswer, ScriptAsk, serve_script};
use crate::serve::transfers::{Begun, By, Listing};

/// Bytes read from a file at once.
const CHUNK: u64 = 64 * 1_024;

/// The same where an engine holds a window ready besides, so that a thousand transfers fit into 64 MiB.
const SMALL_CHUNK: u64 = 32 * 1_024;

/// Bytes by which a configuration may be longer than its preview: the number of an attempt.
const ROOM: usize = 16;

/// Whose transfer, for the event.
pub(super) struct About {
    pub(super) ctx: Arc<Context>,
    pub(super) runtime: Handle,
    pub(super) peer: SocketAddr,
    pub(super) iface: Arc<str>,
    /// The name as the machine wrote it, made fit for the journal.
    pub(super) file: String,
    pub(super) host: Option<HostName>,
    pub(super) mac: Option<HardwareAddr>,
    pub(super) began: Instant,
    /// What is to be said besides.
    pub(super) hint: Option<String>,
}

impl About {
    /// The peer's address.
    pub(super) fn ip(&self) -> Option<Ipv4Addr> {
        match self.peer {
            SocketAddr::V4(peer) => Some(*peer.ip()),
            SocketAddr::V6(_) => None,
        }
    }

    /// Takes note of bytes that were sent to a host.
    fn note(&self, host: HostName, path: String, whole: bool) {
        let ctx = self.ctx.clone();
        let (mac, ip) = (self.mac, self.ip());
        self.runtime.spawn(async move {
            ctx.note_asset(&host, &path, whole, mac, ip).await;
        });
    }

    /// Writes the transfer's event.
    pub(super) fn tell(&self, kind: Kind, reason: Reason, bytes: u64, detail: Option<String>) {
        let mut event = Event::new(self.ctx.now(), kind, reason)
            .host(self.host.clone())
            .mac(self.mac)
            .ip(self.ip())
            .file(self.file.as_str());
        event.iface = Some(Arc::clone(&self.iface));
        event.bytes = Some(bytes);
        event.took_us = u64::try_from(self.began.elapsed().as_micros()).ok();
        event.generation = self.ctx.config().snapshot.generation;
        event.detail = match (detail, &self.hint) {
            (Some(detail), Some(hint)) => Some(format!("{detail}; {hint}")),
            (detail, hint) => detail.or_else(|| hint.clone()),
        };
        self.ctx.journal.append(event);
    }
}

/// One transfer's bytes.
pub(super) struct Body {
    about: About,
    source: Source,
    /// Bytes of the block that is read first: the transfer's block size.
    block: u64,
    read: u64,
    eof: bool,
    last_read: Instant,
    failure: Option<(Reason, String)>,
    /// The size that the client was told of a text which is rendered later.
    promised: Option<u64>,
    /// `None`: nobody's transfer.
    pulse: Option<Pulse>,
    listing: Listing,
    /// What an engine says that knows; `None`: it is judged.
    said: Option<Outcome>,
    permit: Permit,
}

enum Source {
    File(Box<FileSource>),
    /// The engine has all of it.
    Whole {
        path: String,
    },
    /// Asked for with the first read: it may advance a record.
    Script(Box<ScriptAsk>),
    Rendering(JoinHandle<ScriptAnswer>),
    Text {
        text: Vec<u8>,
        at: usize,
        /// What the script was; `None` for the one that any machine may have.
        answer: Option<(Reason, Option<String>)>,
    },
}

impl Source {
    /// Which file's bytes they are.
    fn path(&self) -> Option<&str> {
        match self {
            Self::File(file) => Some(&file.path),
            Self::Whole { path } => Some(path),
            Self::Script(_) | Self::Rendering(_) | Self::Text { .. } => None,
        }
    }
}

struct FileSource {
    file: Arc<std::fs::File>,
    path: String,
    version: Version,
    len: u64,
    modified: Option<SystemTime>,
    /// Where the next chunk begins.
    next: u64,
    /// Most bytes of one chunk.
    chunk: u64,
    /// Bytes that lie in memory are read at once, and not by another thread.
    at_once: bool,
    buffer: Vec<u8>,
    at: usize,
    job: Option<JoinHandle<Result<Vec<u8>, Trouble>>>,
}

/// Why a file cannot be read on.
enum Trouble {
    /// What the script has become.
    Script(&'static str),
    Changed,
    Read(io::Error),
}

impl Body {
    /// A boot file.
    pub(super) fn file(about: About, permit: Permit, path: String, asset: Asset) -> Self {
        Self::new(
            about,
            permit,
            Source::File(Box::new(FileSource {
                file: Arc::new(asset.file),
                path,
                version: asset.version,
                len: asset.len,
                modified: asset.modified,
                next: 0,
                chunk: CHUNK,
                at_once: false,
                buffer: Vec::new(),
                at: 0,
                job: None,
            })),
        )
    }

    /// A machine's script.
    pub(super) fn script(about: About, permit: Permit, ask: ScriptAsk) -> Self {
        Self::new(about, permit, Source::Script(Box::new(ask)))
    }

    /// A text that is there already.
    pub(super) fn text(about: About, permit: Permit, text: String, reason: Reason) -> Self {
        Self::new(
            about,
            permit,
            Source::Text {
                text: text.into_bytes(),
                at: 0,
                answer: Some((reason, None)),
            },
        )
    }

    fn new(about: About, permit: Permit, source: Source) -> Self {
        let size = match &source {
            Source::File(file) => Some(file.len),
            Source::Text { text, .. } => u64::try_from(text.len()).ok(),
            Source::Whole { .. } | Source::Script(_) | Source::Rendering(_) => None,
        };
        let listing = about.ctx.memory.transfers().begin(Begun {
            by: By::Tftp,
            peer: about.peer,
            host: about.host.clone(),
            mac: about.mac,
            file: about.file.clone(),
            size,
            since: about.ctx.now(),
        });
        Self {
            listing,
            source,
            block: 0,
            read: 0,
            eof: false,
            last_read: about.began,
            failure: None,
            promised: None,
            said: None,
            pulse: about
                .host
                .as_ref()
                .map(|_| Pulse::new(about.ctx.note_every(), about.ctx.now())),
            about,
            permit,
        }
    }

    /// For an engine that says itself how it has ended ([`Self::ended`]) and that bytes flow ([`Self::note_progress`]).
    pub(super) fn told(mut self) -> Self {
        self.said = Some(outcome::failed(
            Reason::Incomplete,
            "the server stopped".to_owned(),
        ));
        if let Source::File(file) = &mut self.source {
            file.chunk = SMALL_CHUNK;
            file.at_once = true;
        }
        self
    }

    /// All of the file, where it can lie in memory for all who are sent it. There is nothing to be read then.
    pub(super) fn take_whole(&mut self, wholes: &Wholes) -> Option<Arc<Box<[u8]>>> {
        let Source::File(file) = &mut self.source else {
            return None;
        };
        let bytes = wholes.get(&file.file, file.version, self.about.ctx.now())?;
        let path = std::mem::take(&mut file.path);
        self.source = Source::Whole { path };
        self.permit.reads_nothing();
        Some(bytes)
    }

    /// The size to tell of a configuration, which GRUB and PXELINUX have to know before it is sent: that of
    /// a preview, with room for what may be longer in the real one. `None` for iPXE, which needs none.
    pub(super) async fn promised_size(&mut self) -> Option<u64> {
        let Source::Script(ask) = &self.source else {
            return None;
        };
        if ask.loader == BootLoader::Ipxe {
            return None;
        }
        let ctx = self.about.ctx.clone();
        let ask = ScriptAsk {
            preview: true,
            ..(**ask).clone()
        };
        // On the daemon's threads: an engine has one of its own.
        let preview = self
            .about
            .runtime
            .spawn(async move { serve_script(&ctx, ask).await });
        let text = preview.await.ok()?.text;
        self.promised = u64::try_from(text.len() + ROOM).ok();
        self.promised
    }

    /// How the transfer has ended, unless the server itself could not go on.
    pub(super) fn ended(&mut self, outcome: Outcome) {
        self.said = Some(outcome);
    }

    /// Whether reading changes nothing but what is in memory: bytes may be read before the client has agreed to anything.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.source, Source::File(_))
    }

    /// Reads the next bytes straight into this, when they lie in memory and are a file's; none: it is at its end. `None`:
    /// [`Self::poll_part`] gives them.
    pub(super) fn read_now(&mut self, to: &mut [u8]) -> Option<io::Result<usize>> {
        let Source::File(file) = &mut self.source else {
            return None;
        };
        let read = file.read_now(to)?;
        Some(read.map_err(|trouble| self.note_trouble(trouble)))
    }

    /// Puts down why the file cannot be read on. The engine makes ERROR 0 of it; the peer is told nothing of the server's
    /// paths.
    fn note_trouble(&mut self, trouble: Trouble) -> io::Error {
        let path = self.source.path().unwrap_or("the script");
        self.failure = Some(match trouble {
            Trouble::Script(text) => (Reason::Changed, text.to_owned()),
            Trouble::Changed => (
                Reason::Changed,
                format!("{path} was changed while it was sent"),
            ),
            Trouble::Read(error) => (Reason::ReadFailed, format!("{path}: {error}")),
        });
        io::Error::other("transfer failed")
    }

    /// So many bytes were acknowledged: they flow.
    pub(super) fn note_progress(&mut self, bytes: u64) {
        self.listing.arrived(bytes);
        if let (Some(path), Some(host), Some(pulse)) =
            (self.source.path(), &self.about.host, &mut self.pulse)
            && pulse.beat(self.about.ctx.now())
        {
            let (host, path) = (host.clone(), path.to_owned());
            self.about.note(host, path, false);
        }
    }

    /// The next bytes, `most` of them at most; none: it is at its end.
    pub(super) fn poll_part(
        &mut self,
        cx: &mut TaskContext<'_>,
        most: usize,
    ) -> Poll<io::Result<&[u8]>> {
        // Made ready first and given out after: what is given is borrowed from `self`.
        if let Err(trouble) = ready!(self.poll_ready(cx)) {
            return Poll::Ready(Err(self.note_trouble(trouble)));
        }
        Poll::Ready(Ok(match &mut self.source {
            Source::File(file) => take(&file.buffer, &mut file.at, most),
            Source::Text { text, at, .. } => take(text, at, most),
            Source::Script(_) | Source::Rendering(_) | Source::Whole { .. } => &[],
        }))
    }

    /// Makes bytes ready, unless it is at its end.
    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Trouble>> {
        loop {
            match &mut self.source {
                Source::File(file) => return file.poll(&self.about.runtime, cx),
                Source::Script(ask) => {
                    let (ctx, ask) = (self.about.ctx.clone(), (**ask).clone());
                    self.source = Source::Rendering(
                        self.about
                            .runtime
                            .spawn(async move { serve_script(&ctx, ask).await }),
                    );
                }
                Source::Rendering(job) => match ready!(Pin::new(job).poll(cx)) {
                    Ok(answer) => {
                        self.about.host = answer.host;
                        let mut text = answer.text.into_bytes();
                        if let Some(promised) = self.promised {
                            let promised = usize::try_from(promised).unwrap_or_default();
                            if text.len() > promised {
                                let text = "what the machine is to boot was changed while it asked";
                                return Poll::Ready(Err(Trouble::Script(text)));
                            }
                            // Empty lines mean nothing to either.
                            text.resize(promised, b'\n');
                        }
                        self.source = Source::Text {
                            text,
                            at: 0,
                            answer: Some((answer.reason, answer.detail)),
                        };
                    }
                    Err(error) => {
                        return Poll::Ready(Err(Trouble::Read(io::Error::other(error))));
                    }
                },
                Source::Text { .. } | Source::Whole { .. } => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// What is left, `most` bytes of it at most.
fn take<'a>(from: &'a [u8], at: &mut usize, most: usize) -> &'a [u8] {
    let left = from.get(*at..).unwrap_or_default();
    let part = left.get(..most).unwrap_or(left);
    *at += part.len();
    part
}

impl FileSource {
    /// Makes bytes ready, unless it is at its end.
    fn poll(&mut self, runtime: &Handle, cx: &mut TaskContext<'_>) -> Poll<Result<(), Trouble>> {
        loop {
            if self.at < self.buffer.len() || self.next >= self.len {
                return Poll::Ready(Ok(()));
            }
            if self.at_once && self.job.is_none() {
                self.read_from_memory()?;
                if self.at < self.buffer.len() {
                    return Poll::Ready(Ok(()));
                }
            }
            let job = self.job.get_or_insert_with(|| {
                let file = Arc::clone(&self.file);
                let (offset, len, modified) = (self.next, self.len, self.modified);
                let buffer = std::mem::take(&mut self.buffer);
                let chunk = self.chunk;
                runtime
                    .spawn_blocking(move || read_chunk(&file, offset, chunk, len, modified, buffer))
            });
            let read = ready!(Pin::new(job).poll(cx));
            self.job = None;
            self.buffer = match read {
                Ok(read) => read?,
                Err(error) => return Poll::Ready(Err(Trouble::Read(io::Error::other(error)))),
            };
            self.at = 0;
            self.next += u64::try_from(self.buffer.len()).unwrap_or_default();
        }
    }

    /// Reads what the system has in memory, without waiting for a disk; `None`: it has nothing, or bytes that were read
    /// from the disk come first.
    fn read_now(&mut self, to: &mut [u8]) -> Option<Result<usize, Trouble>> {
        if self.at < self.buffer.len() || self.job.is_some() {
            return None;
        }
        let left = usize::try_from(self.len.saturating_sub(self.next)).unwrap_or(usize::MAX);
        let want = left.min(to.len());
        if want == 0 {
            return Some(Ok(0));
        }
        let mut slices = [io::IoSliceMut::new(to.get_mut(..want)?)];
        let count = preadv2(&*self.file, &mut slices, self.next, ReadWriteFlags::NOWAIT);
        // What cannot be read that way is read the other way, which tells why.
        let count = count.ok().filter(|count| *count > 0)?;
        if let Err(trouble) = unchanged(&self.file, self.len, self.modified) {
            return Some(Err(trouble));
        }
        self.next += u64::try_from(count).unwrap_or_default();
        // Not needed again soon, and a thousand transfers have one each.
        self.buffer = Vec::new();
        self.at = 0;
        Some(Ok(count))
    }

    /// The same, into what [`Self::poll`] gives out.
    fn read_from_memory(&mut self) -> Result<(), Trouble> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(usize::try_from(self.chunk).unwrap_or_default(), 0);
        self.at = 0;
        let read = self.read_now(&mut buffer).transpose()?;
        buffer.truncate(read.unwrap_or_default());
        self.buffer = buffer;
        Ok(())
    }
}

fn read_chunk(
    file: &std::fs::File,
    offset: u64,
    chunk: u64,
    len: u64,
    modified: Option<SystemTime>,
    mut buffer: Vec<u8>,
) -> Result<Vec<u8>, Trouble> {
    let want = usize::try_from(chunk.min(len.saturating_sub(offset))).unwrap_or_default();
    buffer.resize(want, 0);
    match file.read_exact_at(&mut buffer, offset) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(Trouble::Changed);
        }
        Err(error) => return Err(Trouble::Read(error)),
    }
    unchanged(file, len, modified)?;
    Ok(buffer)
}

/// The same length with other bytes would be two halves of different files.
fn unchanged(file: &std::fs::File, len: u64, modified: Option<SystemTime>) -> Result<(), Trouble> {
    let now = file.metadata().map_err(Trouble::Read)?;
    if now.len() != len || now.modified().ok() != modified {
        return Err(Trouble::Changed);
    }
    Ok(())
}

impl AsyncRead for Body {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let body = self.get_mut();
        if body.block == 0 {
            // The engine asks for a whole block, and for the rest of it until it is full.
            body.block = u64::try_from(buf.len()).unwrap_or_default();
        }
        let result = ready!(body.poll_part(cx, buf.len())).map(|part| {
            if let Some(target) = buf.get_mut(..part.len()) {
                target.copy_from_slice(part);
            }
            part.len()
        });
        body.last_read = Instant::now();
        if let Ok(count) = result {
            body.read += u64::try_from(count).unwrap_or_default();
            body.eof = count == 0;
            if count > 0 {
                body.note_progress(body.read);
            }
        }
        Poll::Ready(result)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let failure = self.failure.take();
        let outcome = match (failure, self.said.take()) {
            (Some((reason, text)), Some(_)) => outcome::failed(reason, text),
            (None, Some(said)) => said,
            (failure, None) => outcome::judge(&Ended {
                failure,
                note: tap::take(self.about.peer),
                read: self.read,
                block: self.block,
                eof: self.eof,
                since_read: self.last_read.elapsed(),
            }),
        };
        let whole = outcome.kind == Kind::TftpSent && outcome.reason == Reason::Done;
        let (mut reason, mut detail) = (outcome.reason, outcome.detail);
        if whole
            && let Source::Text { answer, .. } = &mut self.source
            && let Some((of_script, words)) = answer.take()
        {
            reason = of_script;
            detail = words.or(detail);
        }
        if whole && let (Some(path), Some(host)) = (self.source.path(), &self.about.host) {
            // At once: the machine may ask for its address again in a moment.
            self.about.ctx.note_whole(host, path);
            self.about.note(host.clone(), path.to_owned(), true);
        }
        self.about.tell(outcome.kind, reason, outcome.bytes, detail);
    }
}
