//! L4, the journal: a ring in memory that never blocks an answer, and a writer behind it.
//!
//! - *Taking in.* [`Journal::append`] gives the event its id, puts it into the ring, hands it to whoever
//!   follows and queues it for the writer. It waits for nothing but a short lock.
//! - *Writing.* A thread behind it writes the log lines and commits what has gathered to
//!   `state_dir/journal.redb`, at the latest every 50 ms, less often where the disk is slow. What the
//!   disk or the queue cannot take is dropped and counted; it stays in the ring as long as that holds it.
//! - *Crash.* What was committed survives. Ids begin at each start with the time in microseconds and count
//!   up from there: they never come again, neither those of events that a kill has lost nor those of a file
//!   that was damaged and set aside. Whoever keeps the id of the last event it has seen finds its place.
//! - *Bounds.* The ring holds [`RING`] events and the queue [`WAITING`], the file `journal.keep` bytes; oldest
//!   events go first. Floods are counted instead of kept ([`flood`]).
//!
//! **Invariant:** no token is in the journal or the log in full.

mod disk;
mod flood;
mod writer;

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{broadcast, oneshot, watch};

use self::disk::{Disk, Reader};
use self::flood::Flood;
pub use self::flood::Header;
use self::writer::{HURRY, Message, Writer, write_behind, write_in_a_hurry};
use super::event::{Event, Kind, Reason};
use crate::base::{Clock as _, HardwareAddr, HostName, SystemClock, Timestamp, Token};
use crate::store::OpenOutcome;

/// Events held in memory, some 350 bytes each; older ones are read from the file.
const RING: usize = 16_384;

/// Events that may wait for the writer.
const WAITING: usize = 65_536;

/// Events that a follower may lag behind before it loses some.
const LAG: usize = 4_096;

/// Events of a host that are looked at for its hardware addresses.
const LEARN_FROM: usize = 64;

/// The journal; cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    queue: Option<Sender<Message>>,
    /// The one that stands back, and the one that helps it.
    writers: Vec<JoinHandle<()>>,
}

/// What the journal and its writer have in common.
#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    live: broadcast::Sender<Arc<Event>>,
    /// Events in the queue.
    waiting: AtomicUsize,
    /// Whoever waits until all is written.
    pressing: AtomicUsize,
    is_closing: AtomicBool,
    /// Events that will never be on disk.
    dropped: AtomicU64,
    /// Of these, the ones that the queue had no room for and that were not told yet.
    overrun: AtomicU64,
    /// Why the disk refuses at present.
    refused: Mutex<Option<String>>,
    reader: Reader,
    /// Whether there is a file at all.
    has_file: bool,
    /// The first id of this run.
    begins_at: u64,
    /// Everything up to this id is on disk, or will never be.
    settled: watch::Sender<u64>,
}

/// A stretch of the journal.
#[derive(Debug, Default)]
pub struct Page {
    /// The events, oldest first.
    pub events: Vec<Arc<Event>>,
    /// There is none but these up to this id.
    pub through: u64,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    next_id: u64,
    flood: Flood,
}

/// Which events are asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this host (also events that name only one of its hardware addresses).
    pub host: Option<HostName>,
    /// Only after this id.
    pub after: Option<u64>,
    /// At most so many, the newest.
    pub limit: Option<usize>,
}

impl Journal {
    /// A journal in memory only.
    pub fn in_memory() -> Self {
        Self::start(None, 1)
    }

    /// A journal in this file, of which about `keep` bytes are kept. It always opens: what cannot be
    /// read is set aside, and while the disk refuses, events are kept in memory only. Blocks for as long
    /// as the disk takes.
    pub fn open(path: &Path, keep: u64) -> (Self, OpenOutcome) {
        let now = u64::try_from(SystemClock.now().as_micros()).unwrap_or(0);
        Self::open_from(path, keep, now)
    }

    /// The same, with ids of this run that begin at `first` at the earliest.
    fn open_from(path: &Path, keep: u64, first: u64) -> (Self, OpenOutcome) {
        let (disk, next_id, outcome) = Disk::open(path, keep);
        (Self::start(Some(disk), next_id.max(first)), outcome)
    }

    fn start(disk: Option<Disk>, next_id: u64) -> Self {
        let shared = Arc::new(Shared::new(disk.as_ref(), next_id));
        let (queue, taken) = channel();
        let writer = Arc::new(Mutex::new(Writer::new(Arc::clone(&shared), disk, taken)));
        let start = |name: &str, run: fn(&Mutex<Writer>, &Shared)| {
            let (writer, shared) = (Arc::clone(&writer), Arc::clone(&shared));
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || run(&writer, &shared))
        };
        // Without the one that helps more is dropped; without both the ring and the followers still work.
        let mut writers: Vec<_> = start("journal", write_behind).into_iter().collect();
        if !writers.is_empty() {
            writers.extend(start("journal hurry", write_in_a_hurry));
        }
        Self {
            inner: Arc::new(Inner {
                shared,
                queue: (!writers.is_empty()).then_some(queue),
                writers,
            }),
        }
    }

    /// Takes an event in: gives it an id, logs it, hands it to whoever follows, writes it down soon.
    /// Never blocks.
    pub fn append(&self, event: Event) {
        let event = without_tokens(event);
        let mut ring = self.inner.shared.ring();
        let (kept, summaries) = ring.flood.admit((&event).into());
        self.inner.take(&mut ring, summaries, kept.then_some(event));
    }

    /// The same for an event that is made only when it is kept, and not when it is one of a flood and
    /// only counted. What is made has to have the time, kind, host and hardware address of the header.
    pub fn append_with(&self, header: Header<'_>, make: impl FnOnce() -> Event) {
        let (kept, summaries) = self.inner.shared.ring().flood.admit(header);
        if kept || !summaries.is_empty() {
            let event = kept.then(|| without_tokens(make()));
            let mut ring = self.inner.shared.ring();
            self.inner.take(&mut ring, summaries, event);
        }
    }

    /// Follows what comes from now on.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Event>> {
        self.inner.shared.live.subscribe()
    }

    /// How far everything that was taken in is on disk, or was dropped because the disk refuses: an id,
    /// told whenever it grows.
    pub fn settled(&self) -> watch::Receiver<u64> {
        self.inner.shared.settled.subscribe()
    }

    /// The first id that this run of the program gives.
    pub fn begins_at(&self) -> u64 {
        self.inner.shared.begins_at
    }

    /// The oldest events after one id and up to another, at most `limit` of them. `None`: some of them
    /// are in the file, which cannot be read now.
    pub async fn page(&self, after: u64, through: u64, limit: usize) -> Option<Page> {
        let shared = Arc::clone(&self.inner.shared);
        let (recent, first) = shared.recent(after, through, limit);
        let kept = if shared.has_file && after.saturating_add(1) < first {
            let before = first.min(through.saturating_add(1));
            let read = move || shared.reader.oldest(after, before, limit);
            let (kept, cut) = tokio::task::spawn_blocking(read).await.ok()??;
            let kept: Vec<_> = kept.into_iter().map(Arc::new).collect();
            if let Some(through) = cut {
                return Some(Page {
                    events: kept,
                    through,
                });
            }
            kept
        } else {
            Vec::new()
        };
        let is_cut = recent.len() == limit;
        let mut events = kept;
        events.extend(recent);
        Some(Page {
            through: match events.last() {
                Some(last) if is_cut => last.id,
                _ => through,
            },
            events,
        })
    }

    /// When the last event came that an earlier run of the program has left in the file; where there is
    /// none, when the file was made. `None`: it cannot be read.
    pub async fn earlier_end(&self) -> Option<Timestamp> {
        let shared = Arc::clone(&self.inner.shared);
        let read = move || {
            let last = shared.reader.newest(0, shared.begins_at, 1).pop();
            last.map(|event| event.at).or_else(|| shared.reader.begun())
        };
        tokio::task::spawn_blocking(read).await.ok()?
    }

    /// How many events were dropped since the start: they came faster than they could be written, or the
    /// disk refused.
    pub fn dropped(&self) -> u64 {
        self.inner.shared.dropped.load(Ordering::Relaxed)
    }

    /// Why nothing can be written down at present; `None`: as far as is known, everything can.
    pub fn refused(&self) -> Option<String> {
        self.inner.shared.refused().clone()
    }

    /// Events that were kept, oldest first.
    pub async fn query(&self, filter: &Filter) -> Vec<Event> {
        let shared = Arc::clone(&self.inner.shared);
        let filter = filter.clone();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime
                .spawn_blocking(move || shared.query(&filter))
                .await
                .unwrap_or_default(),
            Err(_) => shared.query(&filter),
        }
    }

    /// Writes down all that was taken in so far. Returns when it is on disk, or was dropped because the
    /// disk refuses.
    pub async fn flush(&self) {
        self.inner.shared.close_flood(&self.inner);
        let (reply, done) = oneshot::channel();
        self.inner.shared.pressing.fetch_add(1, Ordering::SeqCst);
        let sent = self
            .inner
            .queue
            .as_ref()
            .is_some_and(|queue| queue.send(Message::Flush(reply)).is_ok());
        if sent {
            self.inner.wake_writer();
            let _ = done.await;
        } else {
            self.inner.shared.pressing.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Inner {
    fn take(&self, ring: &mut Ring, summaries: Vec<Event>, event: Option<Event>) {
        for event in summaries.into_iter().chain(event) {
            let event = ring.push(event);
            let _ = self.shared.live.send(Arc::clone(&event));
            self.enqueue(event);
        }
    }

    fn enqueue(&self, event: Arc<Event>) {
        let shared = &self.shared;
        if shared.waiting.load(Ordering::Relaxed) >= WAITING {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            shared.overrun.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = shared.waiting.fetch_add(1, Ordering::Relaxed);
        let taken = self
            .queue
            .as_ref()
            .is_some_and(|queue| queue.send(Message::Event(event)).is_ok());
        if !taken {
            shared.waiting.fetch_sub(1, Ordering::Relaxed);
        } else if before == 0 {
            self.wake_writer();
        } else if before + 1 == HURRY
            && let Some(helper) = self.writers.get(1)
        {
            helper.thread().unpark();
        }
    }
}

impl Inner {
    /// Ends the writer's sleep, or its gathering.
    fn wake_writer(&self) {
        if let Some(writer) = self.writers.first() {
            writer.thread().unpark();
        }
    }
}

impl Drop for Inner {
    /// Waits until everything is written and the file is closed.
    fn drop(&mut self) {
        self.queue = None;
        self.shared.is_closing.store(true, Ordering::SeqCst);
        for writer in &self.writers {
            writer.thread().unpark();
        }
        for writer in self.writers.drain(..) {
            let _ = writer.join();
        }
    }
}

impl Ring {
    fn push(&mut self, mut event: Event) -> Arc<Event> {
        event.id = self.next_id;
        self.next_id = self.next_id.saturating_add(1);
        if self.events.len() >= RING {
            self.events.pop_front();
        }
        let event = Arc::new(event);
        self.events.push_back(Arc::clone(&event));
        event
    }
}

impl Shared {
    fn new(disk: Option<&Disk>, next_id: u64) -> Self {
        Self {
            ring: Mutex::new(Ring {
                events: VecDeque::new(),
                next_id,
                flood: Flood::default(),
            }),
            live: broadcast::channel(LAG).0,
            waiting: AtomicUsize::new(0),
            pressing: AtomicUsize::new(0),
            is_closing: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            overrun: AtomicU64::new(0),
            refused: Mutex::new(disk.and_then(Disk::refused)),
            reader: disk.map(Disk::reader).unwrap_or_default(),
            has_file: disk.is_some(),
            begins_at: next_id,
            settled: watch::channel(next_id.saturating_sub(1)).0,
        }
    }

    /// Whether somebody waits for what is written.
    fn is_pressed(&self) -> bool {
        self.pressing.load(Ordering::SeqCst) > 0 || self.is_closing.load(Ordering::SeqCst)
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events of the ring after one id and up to another, and the first id that the ring still has.
    fn recent(&self, after: u64, through: u64, limit: usize) -> (Vec<Arc<Event>>, u64) {
        let ring = self.ring();
        let first = ring.events.front().map_or(ring.next_id, |event| event.id);
        let later = ring.events.partition_point(|event| event.id <= after);
        let recent = ring
            .events
            .range(later..)
            .take_while(|event| event.id <= through)
            .take(limit)
            .cloned()
            .collect();
        (recent, first)
    }

    fn refused(&self) -> MutexGuard<'_, Option<String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event of the writer's own: into the ring and to the followers; the writer writes it itself.
    fn tell(&self, event: Event) -> Arc<Event> {
        let event = self.ring().push(event);
        let _ = self.live.send(Arc::clone(&event));
        event
    }

    /// Ends the counting of a flood that may have ended long ago, for want of a later event.
    fn close_flood(&self, inner: &Inner) {
        let mut ring = self.ring();
        for event in ring.flood.close() {
            let event = ring.push(event);
            let _ = self.live.send(Arc::clone(&event));
            inner.enqueue(event);
        }
    }

    fn query(&self, filter: &Filter) -> Vec<Event> {
        let limit = filter.limit.unwrap_or(usize::MAX);
        let after = filter.after.unwrap_or(0);
        let (recent, first, mut macs) = {
            let ring = self.ring();
            let first = ring.events.front().map_or(ring.next_id, |event| event.id);
            let later = ring.events.partition_point(|event| event.id <= after);
            let recent: Vec<Arc<Event>> = ring.events.range(later..).cloned().collect();
            let own = |event: &&Arc<Event>| filter.host.is_some() && event.host == filter.host;
            let macs: BTreeSet<HardwareAddr> = ring
                .events
                .iter()
                .filter(own)
                .filter_map(|event| event.mac)
                .collect();
            (recent, first, macs)
        };
        let Some(host) = &filter.host else {
            let skip = recent.len().saturating_sub(limit);
            let mut found = Vec::new();
            let wanted = limit.saturating_sub(recent.len());
            if wanted > 0 && after.saturating_add(1) < first {
                found = self.reader.newest(after, first, wanted);
            }
            found.extend(recent.iter().skip(skip).map(|event| Event::clone(event)));
            return found;
        };
        // Which hardware addresses are the host's is known from its own events.
        let known = self.reader.newest_of(host.as_str(), 0, first, LEARN_FROM);
        macs.extend(known.iter().filter_map(|event| event.mac));
        let mut found: Vec<Event> = Vec::new();
        if after.saturating_add(1) < first {
            found = self.reader.newest_of(host.as_str(), after, first, limit);
            for mac in &macs {
                found.extend(self.reader.newest_of(&mac.to_string(), after, first, limit));
            }
            found.sort_by_key(|event| event.id);
        }
        found.extend(
            recent
                .iter()
                .filter(|event| is_of(event, host, &macs))
                .map(|event| Event::clone(event)),
        );
        let skip = found.len().saturating_sub(limit);
        found.split_off(skip)
    }
}

fn is_of(event: &Event, host: &HostName, macs: &BTreeSet<HardwareAddr>) -> bool {
    match (&event.host, event.mac) {
        (Some(own), _) => own == host,
        (None, Some(mac)) => macs.contains(&mac),
        (None, None) => false,
    }
}

/// Cuts tokens in the texts of an event to their hints. Whoever makes an event does so already; this is
/// the last door.
fn without_tokens(mut event: Event) -> Event {
    let message = event.install.as_mut().map(|standing| &mut standing.message);
    let texts = [Some(&mut event.file), Some(&mut event.detail), message];
    for text in texts.into_iter().flatten().flatten() {
        if let Cow::Owned(cut) = cut_tokens(text) {
            *text = cut;
        }
    }
    event
}

/// A token stands after a slash, as in the URLs of answers and reports.
fn cut_tokens(text: &str) -> Cow<'_, str> {
    let ends = |c: char| !c.is_ascii_alphanumeric();
    let mut cut = String::new();
    let mut rest = text;
    while let Some(slash) = rest.find('/') {
        let (head, tail) = rest.split_at(slash + 1);
        let end = tail.find(ends).unwrap_or(tail.len());
        let (word, after) = tail.split_at(end);
        cut.push_str(head);
        match Token::parse(word) {
            Some(token) => cut.push_str(&token.to_string()),
            None => cut.push_str(word),
        }
        rest = after;
    }
    if cut.is_empty() {
        return Cow::Borrowed(text);
    }
    cut.push_str(rest);
    if cut == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(cut)
    }
}

/// The one place where events become log lines.
fn write_log(event: &Event) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: "bootwright::journal",
                reason = event.reason.code(),
                host = event.host.as_ref().map(tracing::field::display),
                mac = event.mac.map(tracing::field::display),
                ip = event.ip.map(tracing::field::display),
                iface = event.iface.as_deref(),
                stage = event.stage.as_deref(),
                xid = event.xid.map(|xid| tracing::field::display(format!("{xid:08x}"))),
                file = event.file.as_deref(),
                bytes = event.bytes,
                took_us = event.took_us,
                count = event.count,
                detail = event.detail.as_deref(),
                "{}", event.kind
            )
        };
    }
    match level(event.kind, event.reason) {
        Level::Warn => line!(warn),
        Level::Info => line!(info),
        Level::Debug => line!(debug),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Level {
    Warn,
    Info,
    Debug,
}

/// What people have to see, what they like to see, and what only a search needs.
const fn level(kind: Kind, reason: Reason) -> Level {
    match kind {
        Kind::DhcpFailed
        | Kind::DhcpConflict
        | Kind::PoolExhausted
        | Kind::DhcpForeign
        | Kind::InstallFailed
        | Kind::InstallStalled
        | Kind::InstallLapsed
        | Kind::ConfigRejected
        | Kind::MirrorFailed
        | Kind::ServerTrouble
        | Kind::JournalSummary => Level::Warn,
        Kind::DhcpIgnored => match reason {
            Reason::UnknownHost | Reason::OtherServer | Reason::NotARequest => Level::Debug,
            _ => Level::Info,
        },
        Kind::TftpFailed => match reason {
            // Firmware and loaders try names that need not be there.
            Reason::NotFound => Level::Info,
            _ => Level::Warn,
        },
        Kind::DhcpMalformed => Level::Debug,
        _ => Level::Info,
    }
}

/// What stands for events that could not be written.
fn lost(at: Timestamp, reason: Reason, count: u64, why: &str) -> Event {
    let mut event = Event::new(at, Kind::JournalSummary, reason)
        .detail(format!("{count} events are not in the journal: {why}"));
    event.count = Some(count);
    event
}

#[cfg(test)]
mod tests;
