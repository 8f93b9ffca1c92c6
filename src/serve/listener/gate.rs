//! Who may be connected: bounds, deadlines, and who has to go when there is no room.
//!
//! A connection costs memory and a descriptor for as long as its client likes, so that each wait has a
//! deadline ([`Limits`]), kept by a look at all of them now and then: no request pays for a timer. When all
//! places are taken, somebody who waits idly gives up his: strangers before machines of the configuration,
//! the longest idle first. So neither a thousand connections that ask nothing nor a thousand that read
//! nothing keep a machine out.
//!
//! Requests are answered in turn: [`Limits::turns`] at once, the others wait in their sockets, which cost this process
//! nothing. What takes longer than [`TURN`] (a mirror that has to be asked, a client that sends its report slowly)
//! lets the next one begin; of strangers that have to wait few stand in the queue with machines.
//!
//! **Invariant:** there are never more connections than [`Limits::total`], and of one address never more than
//! [`Limits::per_peer`], but for those that are just being cut.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Bounds on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub total: usize,
    /// Of these, from one address. Several hundred machines may stand behind one translated address,
    /// each with one or two.
    pub per_peer: usize,
    /// From the connection to the first byte of a request.
    pub first_byte: Duration,
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// How long a client may take for [`Self::least`] bytes of a reply that waits for it.
    pub stalled: Duration,
    /// See [`Self::stalled`].
    pub least: u64,
    /// Requests that are answered at once; also connections that keep their buffers while they wait for the next
    /// request.
    pub turns: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Ten thousand machines that are switched on together wait for their scripts at the same time.
            total: 12_288,
            per_peer: 512,
            first_byte: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            stalled: Duration::from_secs(60),
            least: 64 << 10,
            // Enough for the disk to write many changes at once, and few enough to be done within TURN.
            turns: 192,
        }
    }
}

impl Limits {
    /// How often the deadlines are looked at.
    pub fn tick(&self) -> Duration {
        let shortest = [self.first_byte, self.head, self.idle, self.stalled]
            .into_iter()
            .min()
            .unwrap_or_default();
        (shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
    }
}

/// How long a request has its turn for itself.
pub(super) const TURN: Duration = Duration::from_millis(500);

/// Strangers that stand in the queue for a turn, where there is one.
const STRANGERS: usize = 32;

/// An idle machine of the configuration gives way to a stranger only after this long.
const SETTLED: Duration = Duration::from_secs(5);

/// The connections that there are; cheap to clone.
#[derive(Debug, Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    limits: Limits,
    places: Mutex<Places>,
    turns: Arc<Semaphore>,
    strangers: Semaphore,
    /// Connections that have buffers.
    live: AtomicUsize,
}

/// The turn to be answered; given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

/// That a connection has buffers.
#[derive(Debug)]
pub(super) struct Live(Arc<Inner>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    all: HashMap<u64, Watch>,
    per_peer: HashMap<Ipv4Addr, usize>,
}

/// A connection's place under the bound; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    gate: Gate,
    number: u64,
    pub(super) watch: Watch,
}

impl Place {
    /// The gate that it was let in by.
    pub(super) fn gate(&self) -> Gate {
        self.gate.clone()
    }
}

/// What is seen of a connection; cheap to clone.
#[derive(Debug, Clone)]
pub struct Watch {
    seen: Arc<Seen>,
}

/// How a reply has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The system has taken all of it.
    Whole,
    /// The connection has ended before that.
    Cut,
}

/// What is to be done when a reply has ended.
pub type Ending = Box<dyn FnOnce(Sent) + Send>;

struct Seen {
    peer: Ipv4Addr,
    /// Ends the connection.
    end: CancellationToken,
    /// Whether it is to end at once, without what is under way.
    cut: AtomicBool,
    /// Whether a machine of the configuration is at its end.
    known: AtomicBool,
    /// Whether a request has come.
    has_asked: AtomicBool,
    /// Requests that no reply has been found for yet.
    answering: AtomicU32,
    /// Times below are milliseconds of [`millis`]; 0: never. When it was accepted, or a byte last moved.
    moved: AtomicU64,
    /// Since when a head has begun and not ended.
    head: AtomicU64,
    /// Since when the reply has waited for its client.
    blocked: AtomicU64,
    /// Bytes that the system has taken.
    written: AtomicU64,
    /// The same at the beginning of the present stretch of [`Limits::stalled`], and when that was.
    mark: AtomicU64,
    marked: AtomicU64,
    /// `None`: it is over.
    endings: Mutex<Option<Vec<Ending>>>,
    has_endings: AtomicBool,
    /// What the marks stand for that were handed over and not written yet, in their order.
    instead: Mutex<VecDeque<Part>>,
    /// The turn of the request that is about to be read.
    turn: Mutex<Option<Turn>>,
}

/// Bytes of a file that are sent from there.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) file: Arc<File>,
    pub(super) at: u64,
    pub(super) left: u64,
}

/// What stands for bytes of a file on their way through `hyper`: never written itself.
static MARK: [u8; MARKED] = [0; MARKED];

/// Bytes that one stands for at most: each is sent by one call.
pub const MARKED: usize = 1 << 20;

/// Whether these are bytes of [`MARK`], by where they lie.
pub(super) fn is_mark(bytes: &[u8]) -> bool {
    let at = bytes.as_ptr().addr();
    MARK.as_ptr_range().start.addr() <= at && at < MARK.as_ptr_range().end.addr()
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen")
            .field("peer", &self.peer)
            .field("moved", &self.moved)
            .finish_non_exhaustive()
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Gate {
    /// With these bounds.
    pub fn new(limits: Limits) -> Self {
        Self {
            inner: Arc::new(Inner {
                limits,
                places: Mutex::default(),
                turns: Arc::new(Semaphore::new(limits.turns)),
                strangers: Semaphore::new(STRANGERS),
                live: AtomicUsize::new(0),
            }),
        }
    }

    /// The bounds.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Connections that there are.
    pub fn count(&self) -> usize {
        self.places().all.len()
    }

    /// A place for one more, which ends with `end`; `None`: there is none.
    pub(super) fn admit(
        &self,
        peer: Ipv4Addr,
        end: CancellationToken,
        known: bool,
    ) -> Option<Place> {
        let limits = &self.inner.limits;
        let now = millis();
        let mut places = self.places();
        if places.per_peer.get(&peer).copied().unwrap_or_default() >= limits.per_peer {
            let of_peer = |watch: &Watch| watch.seen.peer == peer;
            places.give_way(|watch| of_peer(watch).then(|| watch.idle_since()).flatten())?;
        }
        if places.all.len() >= limits.total {
            places.make_room(known, now)?;
        }
        let number = places.next;
        places.next += 1;
        let watch = Watch::new(peer, end);
        watch.seen.known.store(known, Ordering::Relaxed);
        *places.per_peer.entry(peer).or_insert(0) += 1;
        places.all.insert(number, watch.clone());
        drop(places);
        Some(Place {
            gate: self.clone(),
            number,
            watch,
        })
    }

    /// The turn to be answered, at once or after those who have waited longer. A machine of the configuration (`known`)
    /// never waits for more than a few strangers.
    pub(super) async fn turn(&self, known: bool) -> Turn {
        let turns = &self.inner.turns;
        let mut permit = Arc::clone(turns).try_acquire_owned().ok();
        if permit.is_none() {
            let last = if known {
                None
            } else {
                self.inner.strangers.acquire().await.ok()
            };
            permit = Arc::clone(turns).acquire_owned().await.ok();
            drop(last);
        }
        Turn { _permit: permit }
    }

    /// One more connection has buffers, for as long as what this gives lives.
    pub(super) fn live(&self) -> Live {
        self.inner.live.fetch_add(1, Ordering::Relaxed);
        Live(Arc::clone(&self.inner))
    }

    /// Whether connections that wait for their next request should do so without buffers.
    pub(super) fn is_crowded(&self) -> bool {
        self.inner.live.load(Ordering::Relaxed) > self.inner.limits.turns
            || self.inner.turns.available_permits() == 0
    }

    /// Cuts whoever has let a deadline pass.
    pub fn sweep(&self) {
        let now = millis();
        let places = self.places();
        for watch in places.all.values() {
            if watch.is_overdue(&self.inner.limits, now) {
                watch.cut();
            }
        }
    }

    /// Cuts one that waits idly: the system has no room for more. Whether there was one.
    pub(super) fn relieve(&self) -> bool {
        let now = millis();
        self.places().make_room(true, now).is_some()
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        let places = &self.inner.places;
        places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds of a clock that only goes forward, never 0. It is the system's coarse one, which costs a few
/// nanoseconds and is some milliseconds late; no deadline is that close.
fn millis() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    let (secs, nanos) = (
        u64::try_from(now.tv_sec).unwrap_or_default(),
        u64::try_from(now.tv_nsec).unwrap_or_default(),
    );
    secs.saturating_mul(1_000)
        .saturating_add(nanos / 1_000_000)
        .saturating_add(1)
}

fn in_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Places {
    /// Makes room for one more, who is a machine of the configuration or not.
    fn make_room(&mut self, known: bool, now: u64) -> Option<()> {
        let strangers = |watch: &Watch| (!watch.is_known()).then(|| watch.idle_since()).flatten();
        let settled = now.saturating_sub(in_millis(SETTLED));
        let idle = |watch: &Watch| {
            watch
                .idle_since()
                .filter(|since| known || *since <= settled)
        };
        let readers = |watch: &Watch| {
            let blocked = watch.seen.blocked.load(Ordering::Relaxed);
            (known && !watch.is_known() && blocked != 0).then_some(blocked)
        };
        self.give_way(strangers)
            .or_else(|| self.give_way(idle))
            .or_else(|| self.give_way(readers))
    }

    /// Cuts the one for which this gives the earliest time.
    fn give_way(&mut self, since: impl Fn(&Watch) -> Option<u64>) -> Option<()> {
        let (number, _) = self
            .all
            .iter()
            .filter_map(|(number, watch)| Some((*number, since(watch)?)))
            .min_by_key(|(_, since)| *since)?;
        self.leave(number)?.cut();
        Some(())
    }

    fn leave(&mut self, number: u64) -> Option<Watch> {
        let watch = self.all.remove(&number)?;
        let peer = watch.seen.peer;
        if let Some(count) = self.per_peer.get_mut(&peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_peer.remove(&peer);
            }
        }
        Some(watch)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.places().leave(self.number);
    }
}

impl Watch {
    fn new(peer: Ipv4Addr, end: CancellationToken) -> Self {
        Self {
            seen: Arc::new(Seen {
                peer,
                end,
                cut: AtomicBool::new(false),
                known: AtomicBool::new(false),
                has_asked: AtomicBool::new(false),
                answering: AtomicU32::new(0),
                moved: AtomicU64::new(millis()),
                head: AtomicU64::new(0),
                blocked: AtomicU64::new(0),
                written: AtomicU64::new(0),
                mark: AtomicU64::new(0),
                marked: AtomicU64::new(0),
                endings: Mutex::new(Some(Vec::new())),
                has_endings: AtomicBool::new(false),
                instead: Mutex::default(),
                turn: Mutex::default(),
            }),
        }
    }

    /// A machine of the configuration asks.
    pub fn note_known(&self) {
        self.seen.known.store(true, Ordering::Relaxed);
    }

    /// Bytes that the system has taken of all replies so far, with their heads.
    pub fn written(&self) -> u64 {
        self.seen.written.load(Ordering::Relaxed)
    }

    /// What stands for so many bytes of a file ([`MARKED`] at most), to be handed to the connection at once: when
    /// it is written, the system sends them from the file itself. The file has to have them, and never to change.
    pub fn instead(&self, file: &Arc<File>, at: u64, count: u64) -> Bytes {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(MARK.len());
        self.parts().push_back(Part {
            file: Arc::clone(file),
            at,
            left: u64::try_from(count).unwrap_or_default(),
        });
        Bytes::from_static(MARK.get(..count).unwrap_or_default())
    }

    /// What the next mark stands for.
    pub(super) fn part(&self) -> Option<Part> {
        self.parts().front().cloned()
    }

    /// So many bytes of it were sent.
    pub(super) fn part_went(&self, count: u64) {
        let mut parts = self.parts();
        if let Some(part) = parts.front_mut() {
            part.at = part.at.saturating_add(count);
            part.left = part.left.saturating_sub(count);
            if part.left == 0 {
                parts.pop_front();
            }
        }
    }

    fn parts(&self) -> MutexGuard<'_, VecDeque<Part>> {
        let parts = &self.seen.instead;
        parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has this done when everything that was handed to the connection so far has been taken by the system,
    /// or the connection has ended.
    pub fn when_sent(&self, ending: Ending) {
        let mut endings = self.endings();
        if let Some(endings) = endings.as_mut() {
            endings.push(ending);
            self.seen.has_endings.store(true, Ordering::Release);
        } else {
            drop(endings);
            ending(Sent::Cut);
        }
    }

    /// Ends with the connection.
    pub(super) fn end(&self) -> &CancellationToken {
        &self.seen.end
    }

    /// Whether it is to end at once.
    pub(super) fn is_cut(&self) -> bool {
        self.seen.cut.load(Ordering::Relaxed)
    }

    fn cut(&self) {
        self.seen.cut.store(true, Ordering::Relaxed);
        self.seen.end.cancel();
    }

    /// A request has come and is being answered, for as long as what this gives lives.
    pub(super) fn begin(&self) -> Answering {
        self.seen.has_asked.store(true, Ordering::Relaxed);
        self.wait_for_turn()
    }

    /// A request has come and was answered within the same moment.
    pub(super) fn answered(&self) {
        self.seen.has_asked.store(true, Ordering::Relaxed);
    }

    /// Something has come and is not read yet because it is not its turn, for as long as what this gives lives.
    pub(super) fn wait_for_turn(&self) -> Answering {
        self.seen.answering.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }

    /// Keeps the turn for the request that is about to be read, or gives it back with `None`.
    pub(super) fn keep_turn(&self, turn: Option<Turn>) -> Option<Turn> {
        let kept = &self.seen.turn;
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut kept, turn)
    }

    /// Whether a request is being answered.
    pub(super) fn is_answering(&self) -> bool {
        self.seen.answering.load(Ordering::Relaxed) != 0
    }

    /// Whether it waits for a request of which nothing has come, and nothing is left to be sent.
    pub(super) fn is_at_rest(&self) -> bool {
        self.idle_since().is_some() && self.seen.head.load(Ordering::Relaxed) == 0
    }

    /// Bytes have come, with which a head is under way or not.
    pub(super) fn came(&self, is_in_head: bool) {
        let seen = &self.seen;
        let now = millis();
        seen.moved.store(now, Ordering::Relaxed);
        if !is_in_head {
            seen.head.store(0, Ordering::Relaxed);
        } else if seen.head.load(Ordering::Relaxed) == 0 {
            seen.head.store(now, Ordering::Relaxed);
        }
    }

    /// The system has taken so many bytes.
    pub(super) fn went(&self, bytes: usize) {
        let seen = &self.seen;
        seen.moved.store(millis(), Ordering::Relaxed);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        seen.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The system takes no more at present.
    pub(super) fn waits(&self) {
        let seen = &self.seen;
        if seen.blocked.load(Ordering::Relaxed) == 0 {
            let now = millis();
            seen.marked.store(now, Ordering::Relaxed);
            let written = seen.written.load(Ordering::Relaxed);
            seen.mark.store(written, Ordering::Relaxed);
            seen.blocked.store(now, Ordering::Relaxed);
        }
    }

    /// The system has taken all that there was.
    pub(super) fn flushed(&self) {
        self.seen.blocked.store(0, Ordering::Relaxed);
        if self.seen.has_endings.load(Ordering::Acquire) {
            let endings = self.endings().as_mut().map(std::mem::take);
            self.seen.has_endings.store(false, Ordering::Release);
            for ending in endings.into_iter().flatten() {
                ending(Sent::Whole);
            }
        }
    }

    /// The connection has ended.
    pub(super) fn closed(&self) {
        self.keep_turn(None);
        let endings = self.endings().take();
        for ending in endings.into_iter().flatten() {
            ending(Sent::Cut);
        }
    }

    fn endings(&self) -> MutexGuard<'_, Option<Vec<Ending>>> {
        let endings = &self.seen.endings;
        endings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a machine of the configuration is at its end.
    pub(super) fn is_known(&self) -> bool {
        self.seen.known.load(Ordering::Relaxed)
    }

    /// Since when it has waited for a request, or for the rest of one; `None`: it is being answered.
    fn idle_since(&self) -> Option<u64> {
        let seen = &self.seen;
        let is_busy = seen.answering.load(Ordering::Relaxed) != 0
            || seen.blocked.load(Ordering::Relaxed) != 0
            || seen.has_endings.load(Ordering::Relaxed);
        (!is_busy).then(|| {
            let head = seen.head.load(Ordering::Relaxed);
            let moved = seen.moved.load(Ordering::Relaxed);
            if head == 0 { moved } else { head }
        })
    }

    fn is_overdue(&self, limits: &Limits, now: u64) -> bool {
        let seen = &self.seen;
        let over = |since: u64, limit| now.saturating_sub(since) > in_millis(limit);
        if seen.blocked.load(Ordering::Relaxed) != 0 {
            let written = seen.written.load(Ordering::Relaxed);
            if written.saturating_sub(seen.mark.load(Ordering::Relaxed)) >= limits.least {
                seen.mark.store(written, Ordering::Relaxed);
                seen.marked.store(now, Ordering::Relaxed);
                return false;
            }
            return over(seen.marked.load(Ordering::Relaxed), limits.stalled);
        }
        let Some(since) = self.idle_since() else {
            return false;
        };
        let limit = if seen.head.load(Ordering::Relaxed) != 0 {
            limits.head
        } else if seen.has_asked.load(Ordering::Relaxed) {
            limits.idle
        } else {
            limits.first_byte
        };
        over(since, limit)
    }
}

/// A request that is being answered.
pub(super) struct Answering(Watch);

impl Drop for Answering {
    fn drop(&mut self) {
        let seen = &self.0.seen;
        seen.answering.fetch_sub(1, Ordering::Relaxed);
        seen.moved.store(millis(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);
    const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    fn gate(total: usize, per_peer: usize) -> Gate {
        Gate::new(Limits {
            total,
            per_peer,
            ..Limits::default()
        })
    }

    fn enter(gate: &Gate, peer: Ipv4Addr, known: bool) -> Option<Place> {
        let place = gate.admit(peer, CancellationToken::new(), known)?;
        if known {
            place.watch.note_known();
        }
        Some(place)
    }

    fn since(place: &Place, at: u64) {
        place.watch.seen.moved.store(at, Ordering::Relaxed);
    }

    #[test]
    fn the_longest_idle_stranger_gives_way_and_no_machine() {
        let gate = gate(3, 3);
        let host = enter(&gate, HOST, true).unwrap();
        since(&host, 1);
        let first = enter(&gate, STRANGER, false).unwrap();
        let second = enter(&gate, STRANGER, false).unwrap();
        since(&second, 5);
        since(&first, 9);
        let third = enter(&gate, Ipv4Addr::new(10, 0, 0, 78), false).unwrap();
        assert!(second.watch.is_cut() && !first.watch.is_cut() && !host.watch.is_cut());
        assert_eq!(gate.count(), 3);
        drop(second);
        assert_eq!(gate.count(), 3);
        drop((first, third, host));
        assert_eq!(gate.count(), 0);
        assert!(gate.places().per_peer.is_empty());
    }

    #[test]
    fn who_is_answered_stays_but_a_slow_stranger_gives_way_to_a_machine() {
        let gate = gate(2, 2);
        let answered = enter(&gate, STRANGER, false).unwrap();
        let busy = answered.watch.begin();
        let reader = enter(&gate, STRANGER, false).unwrap();
        reader.watch.waits();
        assert!(enter(&gate, Ipv4Addr::new(10, 0, 0, 78), false).is_none());
        let host = enter(&gate, HOST, true);
        assert!(host.is_some() && reader.watch.is_cut() && !answered.watch.is_cut());
        drop(busy);
        assert!(enter(&gate, HOST, true).is_some());
        assert!(answered.watch.is_cut());
    }

    #[test]
    fn of_one_address_its_own_idle_one_gives_way() {
        let gate = gate(9, 1);
        let first = enter(&gate, HOST, false).unwrap();
        let busy = first.watch.begin();
        assert!(enter(&gate, HOST, false).is_none());
        assert!(enter(&gate, STRANGER, false).is_some());
        drop(busy);
        assert!(enter(&gate, HOST, false).is_some());
        assert!(first.watch.is_cut());
    }

    #[test]
    fn each_wait_has_its_deadline() {
        let gate = gate(9, 9);
        let limits = *gate.limits();
        let place = enter(&gate, HOST, false).unwrap();
        let watch = &place.watch;
        let over = |secs: u64| watch.is_overdue(&limits, secs * 1_000);
        since(&place, 1);
        assert!(!over(10) && over(11));
        watch.came(true);
        watch.seen.head.store(5_000, Ordering::Relaxed);
        since(&place, 14_000);
        assert!(!over(15) && over(16));
        let answering = watch.begin();
        watch.came(false);
        assert!(!over(1_000));
        drop(answering);
        since(&place, 20_000);
        assert!(!over(80) && over(81));
        // A reply that its client does not take, or byte by byte.
        watch.waits();
        watch.seen.marked.store(100_000, Ordering::Relaxed);
        watch.went(1_000);
        assert!(!over(160) && over(161));
        watch.went(64 << 10);
        assert!(!over(161) && !over(221) && over(222));
        watch.flushed();
        since(&place, 222_000);
        assert!(!over(222));
    }

    #[test]
    fn what_was_handed_over_ends_with_the_flush_or_the_connection() {
        let gate = gate(1, 1);
        let place = enter(&gate, HOST, false).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let note = || -> Ending {
            let told = Arc::clone(&told);
            Box::new(move |sent| told.lock().unwrap().push(sent))
        };
        place.watch.when_sent(note());
        assert!(told.lock().unwrap().is_empty());
        place.watch.flushed();
        place.watch.flushed();
        place.watch.when_sent(note());
        place.watch.closed();
        place.watch.when_sent(note());
        assert_eq!(*told.lock().unwrap(), [Sent::Whole, Sent::Cut, Sent::Cut]);
    }
}
