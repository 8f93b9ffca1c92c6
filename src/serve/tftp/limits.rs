//! How many transfers run at once: in all, and to one address; and who gives way when there is no place left.
//!
//! **Invariant:** a place is given over at once and as a whole: whoever gets that of a transfer whose client has never
//! answered holds it from then on, whenever the other one's task ends. So who forges requests takes no places, neither
//! from others nor, by its address, from the machine that has it.
//!
//! Before that an engine that can have a request wait looks at [`Limits::must_wait`]: of a thousand machines that ask at
//! once all have not answered for a moment, and none shall lose its place to the next thousand.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::base::locked;

/// Transfers at once that read their file as they send it. Each holds two descriptors and a window of its file, 25 to
/// 95 kB.
pub(super) const MAX_TRANSFERS: usize = 1_000;

/// Transfers at once, those included whose file lies in memory whole: they hold a descriptor and three kilobytes. As many
/// as there may be connections: a machine that waits for a place hears nothing, and where there are few of them the last
/// of ten thousand waits for longer than firmware does.
pub(super) const MAX_IN_ALL: usize = 12_288;

/// Transfers to one address at once: many, because the engine holds one that a client has given up for
/// five seconds, and because several machines may stand behind one address.
pub(super) const MAX_PER_CLIENT: usize = 128;

/// How long a transfer has before its place is given to a request that can wait. Longer than any machine takes for its
/// first answer; whether that has come and lies unread because this server is busy, only the transfer knows
/// ([`Holder::note_silent`]).
pub(super) const UNHEARD: Duration = Duration::from_millis(500);

/// Why a transfer is stopped from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The same port asks anew for the same file.
    AskedAnew,
    /// The same port asks for another file.
    AskedForAnother,
    /// Another request needs the place, and this client has never answered.
    Evicted,
}

/// A transfer as others see it that may stop it.
#[derive(Debug)]
pub(super) struct Holder {
    /// Set when it is to end.
    pub(super) stop: CancellationToken,
    /// Why it is stopped; nothing: the server stops.
    why: OnceLock<Stop>,
    /// The client has answered.
    heard: AtomicBool,
    /// It had not, [`UNHEARD`] after it was asked.
    silent: AtomicBool,
}

impl Holder {
    /// One that nobody has heard of yet, stopped by this token.
    pub(super) const fn new(stop: CancellationToken) -> Self {
        Self {
            stop,
            why: OnceLock::new(),
            heard: AtomicBool::new(false),
            silent: AtomicBool::new(false),
        }
    }

    pub(super) fn stop(&self, why: Stop) {
        let _ = self.why.set(why);
        self.stop.cancel();
    }

    pub(super) fn why(&self) -> Option<Stop> {
        self.why.get().copied()
    }

    pub(super) fn is_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Nothing has come from its client in [`UNHEARD`], and nothing lies there unread.
    pub(super) fn note_silent(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed) && !self.is_heard()
    }

    /// Its client has answered: its place is its own.
    pub(super) fn note_heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }
}

/// Counts running transfers, for all engines together.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    running: Arc<Mutex<Running>>,
    /// Those of one engine.
    own: TaskTracker,
}

#[derive(Debug)]
struct Running {
    by_client: HashMap<IpAddr, usize>,
    /// The places that are taken, those first that were taken first.
    places: BTreeMap<u64, Place>,
    /// Of these the ones that read.
    reading: usize,
    /// How many there may be in all.
    in_all: usize,
    last: u64,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            by_client: HashMap::new(),
            places: BTreeMap::new(),
            reading: 0,
            in_all: MAX_IN_ALL,
            last: 0,
        }
    }
}

#[derive(Debug)]
struct Place {
    client: IpAddr,
    /// Who gives way to others while its client has not answered; nobody: it is held to the end.
    gives_way: Option<Arc<Holder>>,
    /// It reads its file, as far as is known.
    reads: bool,
}

/// The right to one transfer; given back when dropped, unless it was given to another one.
#[derive(Debug)]
pub(super) struct Permit {
    running: Arc<Mutex<Running>>,
    place: u64,
    _own: TaskTrackerToken,
}

impl Limits {
    /// Where this process may open so many descriptors: half of them are for others.
    pub(super) fn within(descriptors: u64) -> Self {
        let limits = Self::default();
        let some = usize::try_from(descriptors / 2).unwrap_or(usize::MAX);
        locked(&limits.running).in_all = some.clamp(MAX_TRANSFERS, MAX_IN_ALL);
        limits
    }

    /// The same count for all, and another one's own transfers.
    pub(super) fn for_engine(&self) -> Self {
        Self {
            running: Arc::clone(&self.running),
            own: TaskTracker::new(),
        }
    }

    /// Waits until none of its own transfers runs. No more are begun meanwhile.
    pub(super) async fn idle(&self) {
        self.own.close();
        self.own.wait().await;
    }

    /// Whether a request had better wait: all places are taken, by clients that answer or may still.
    pub(super) fn must_wait(&self) -> bool {
        let running = locked(&self.running);
        running.is_full() && running.oldest_of_all(Holder::is_silent).is_none()
    }

    /// One more transfer to this client; the error says why not. Where there is no place left it gets that of the
    /// oldest transfer whose client has not answered, and so may lose its own to others until its client has.
    pub(super) fn take(
        &self,
        client: IpAddr,
        holder: Option<Arc<Holder>>,
    ) -> Result<Permit, String> {
        let mut running = locked(&self.running);
        let mut evicted = None;
        if running.count(client) >= MAX_PER_CLIENT {
            let place = running.oldest(|place| place.client == client, |holder| !holder.is_heard());
            evicted = place.and_then(|place| running.evict(place));
            if evicted.is_none() {
                return Err(format!(
                    "{MAX_PER_CLIENT} transfers to {client} are running"
                ));
            }
        }
        if running.is_full() {
            let place = running
                .oldest_of_all(Holder::is_silent)
                .or_else(|| running.oldest_of_all(|holder| !holder.is_heard()));
            evicted = place.and_then(|place| running.evict(place));
            if evicted.is_none() {
                return Err(format!("{} transfers are running", running.places.len()));
            }
        }
        running.last += 1;
        let place = running.last;
        *running.by_client.entry(client).or_default() += 1;
        let gives_way = holder;
        running.reading += 1;
        let held = Place {
            client,
            gives_way,
            reads: true,
        };
        running.places.insert(place, held);
        drop(running);
        if let Some(evicted) = evicted {
            evicted.stop(Stop::Evicted);
        }
        Ok(Permit {
            running: Arc::clone(&self.running),
            place,
            _own: self.own.token(),
        })
    }
}

impl Running {
    fn is_full(&self) -> bool {
        self.reading >= MAX_TRANSFERS || self.places.len() >= self.in_all
    }

    fn count(&self, client: IpAddr) -> usize {
        self.by_client.get(&client).copied().unwrap_or_default()
    }

    /// Takes a transfer's place. It is still to be stopped.
    fn evict(&mut self, place: u64) -> Option<Arc<Holder>> {
        let holder = self.places.get(&place)?.gives_way.clone()?;
        self.give_back(place);
        Some(holder)
    }

    /// Of such transfers the one that has held such a place the longest, and may lose it.
    fn oldest(&self, of: impl Fn(&Place) -> bool, which: impl Fn(&Holder) -> bool) -> Option<u64> {
        let mut places = self.places.iter();
        let found =
            places.find(|(_, place)| of(place) && place.gives_way.as_deref().is_some_and(&which));
        found.map(|(id, _)| *id)
    }

    /// The same among all whose place would be of use: where too many read, that of one that reads.
    fn oldest_of_all(&self, which: impl Fn(&Holder) -> bool) -> Option<u64> {
        let must_read = self.reading >= MAX_TRANSFERS;
        self.oldest(|place| place.reads || !must_read, which)
    }

    fn give_back(&mut self, place: u64) {
        let Some(Place { client, reads, .. }) = self.places.remove(&place) else {
            return;
        };
        self.reading -= usize::from(reads);
        if let Some(count) = self.by_client.get_mut(&client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_client.remove(&client);
            }
        }
    }
}

impl Permit {
    /// The file lies in memory: its place is a small one.
    pub(super) fn reads_nothing(&self) {
        let mut running = locked(&self.running);
        if let Some(place) = running.places.get_mut(&self.place)
            && std::mem::take(&mut place.reads)
        {
            running.reading -= 1;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        locked(&self.running).give_back(self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    fn holder() -> Arc<Holder> {
        Arc::new(Holder::new(CancellationToken::new()))
    }

    #[tokio::test]
    async fn an_engine_waits_for_its_own_transfers_only() {
        let limits = Limits::default();
        let (one, other) = (limits.for_engine(), limits.for_engine());
        let held = one.take(client(1), None).unwrap();
        other.idle().await;
        let waiting = one.idle();
        tokio::pin!(waiting);
        assert!(
            futures_lite::future::poll_once(&mut waiting)
                .await
                .is_none()
        );
        drop(held);
        waiting.await;
    }

    #[test]
    fn one_client_cannot_take_all_and_gives_back() {
        let limits = Limits::default();
        let take = |n| limits.take(client(n), None);
        let mut held: Vec<_> = (0..MAX_PER_CLIENT).map(|_| take(1).unwrap()).collect();
        assert!(take(1).is_err());
        assert!(take(2).is_ok());
        held.pop();
        assert!(take(1).is_ok());
        drop(held);
        assert!(locked(&limits.running).places.is_empty());
        assert!(locked(&limits.running).by_client.is_empty());
        let all: Vec<_> = (0..MAX_TRANSFERS)
            .map(|n| take(u8::try_from(n % 250).unwrap()).unwrap())
            .collect();
        assert!(take(251).is_err());
        drop(all);
        assert!(take(251).is_ok());
    }

    #[test]
    fn who_forges_a_clients_address_takes_no_place_from_it() {
        let limits = Limits::default();
        let (other, holders) = (holder(), [(); MAX_PER_CLIENT].map(|()| holder()));
        let of_other = limits.take(client(2), Some(Arc::clone(&other))).unwrap();
        let forged: Vec<_> = holders
            .iter()
            .map(|holder| limits.take(client(1), Some(Arc::clone(holder))).unwrap())
            .collect();
        // The first one has answered; the second is the oldest that has not.
        holders[0].note_heard();
        let own = limits.take(client(1), Some(holder())).unwrap();
        assert_eq!(holders[1].why(), Some(Stop::Evicted));
        assert!(holders[1].stop.is_cancelled());
        let stopped = holders.iter().filter(|holder| holder.stop.is_cancelled());
        assert_eq!(stopped.count(), 1);
        assert_eq!(other.why(), None, "another client's");
        // Its place was given over already: it gives none back when its task ends.
        drop(forged);
        assert_eq!(locked(&limits.running).count(client(1)), 1);
        drop((own, of_other));
        assert!(locked(&limits.running).by_client.is_empty());
    }

    #[test]
    fn who_has_answered_keeps_its_place() {
        let limits = Limits::default();
        let holders: Vec<_> = (0..MAX_PER_CLIENT).map(|_| holder()).collect();
        let take = |holder: &Arc<Holder>| limits.take(client(1), Some(Arc::clone(holder)));
        let held: Vec<_> = holders.iter().map(|holder| take(holder).unwrap()).collect();
        for holder in &holders {
            holder.note_heard();
        }
        assert!(take(&holder()).is_err());
        assert!(holders.iter().all(|holder| holder.why().is_none()));
        drop(held);
    }

    #[test]
    fn there_are_more_places_for_what_lies_in_memory() {
        let limits = Limits::default();
        let take = |n: usize| {
            let (a, b) = (n / 250, n % 250);
            let client = IpAddr::from([10, 0, u8::try_from(a).unwrap(), u8::try_from(b).unwrap()]);
            limits.take(client, None)
        };
        let mut held = Vec::new();
        for n in 0..MAX_IN_ALL - 1 {
            assert!(!limits.must_wait());
            let permit = take(n).unwrap();
            permit.reads_nothing();
            permit.reads_nothing();
            held.push(permit);
        }
        held.push(take(0).unwrap());
        assert!(limits.must_wait());
        assert!(take(1).is_err());
        held.clear();
        assert_eq!(locked(&limits.running).reading, 0);
        // Those that read do not have so many.
        held.extend((0..MAX_TRANSFERS).map(|n| take(n).unwrap()));
        assert!(limits.must_wait());
        held[0].reads_nothing();
        assert!(!limits.must_wait());
        drop(held);
        assert_eq!(locked(&limits.running).reading, 0);
        for (descriptors, in_all) in [(1_024, 1_000), (15_000, 7_500), (u64::MAX, MAX_IN_ALL)] {
            assert_eq!(locked(&Limits::within(descriptors).running).in_all, in_all);
        }
    }

    #[test]
    fn who_reads_takes_no_place_of_one_that_does_not() {
        let limits = Limits::default();
        let take = |n: usize| {
            let holder = holder();
            let from = client(u8::try_from(n % 250).unwrap());
            let permit = limits.take(from, Some(Arc::clone(&holder))).unwrap();
            (holder, permit)
        };
        let small = take(0);
        small.1.reads_nothing();
        small.0.note_silent();
        let reading: Vec<_> = (0..MAX_TRANSFERS).map(take).collect();
        assert!(limits.must_wait());
        // Without waiting it is one that reads which gives way, though it may still answer.
        let _one_more = take(1);
        assert_eq!(reading[0].0.why(), Some(Stop::Evicted));
        assert_eq!(small.0.why(), None);
        assert_eq!(locked(&limits.running).reading, MAX_TRANSFERS);
        reading[7].0.note_silent();
        assert!(!limits.must_wait());
    }

    #[test]
    fn a_request_waits_until_somebody_is_known_to_be_silent() {
        let limits = Limits::default();
        let held: Vec<_> = (0..MAX_TRANSFERS)
            .map(|n| {
                let (holder, from) = (holder(), client(u8::try_from(n % 250).unwrap()));
                let permit = limits.take(from, Some(Arc::clone(&holder))).unwrap();
                (holder, permit)
            })
            .collect();
        // However long ago they were asked: their answers may lie unread.
        assert!(limits.must_wait());
        held[7].0.note_silent();
        held[9].0.note_silent();
        held[7].0.note_heard();
        assert!(!limits.must_wait());
        let _own = limits.take(client(251), Some(holder())).unwrap();
        assert_eq!(held[9].0.why(), Some(Stop::Evicted));
        assert!(limits.must_wait());
    }

    #[test]
    fn a_flood_at_one_local_address_takes_no_place_from_the_others() {
        let limits = Limits::default();
        let (flooded, other) = (limits.for_engine(), limits.for_engine());
        let forged: Vec<_> = (0..MAX_TRANSFERS)
            .map(|n| {
                let (holder, from) = (holder(), client(u8::try_from(n % 250).unwrap()));
                let permit = flooded.take(from, Some(Arc::clone(&holder))).unwrap();
                (holder, permit)
            })
            .collect();
        // However many ask there, and though no task of the other engine has ended by then.
        let asked: Vec<_> = (0..100)
            .map(|_| other.take(client(251), Some(holder())).unwrap())
            .collect();
        let evicted = |(holder, _): &(Arc<Holder>, Permit)| holder.why() == Some(Stop::Evicted);
        assert!(forged[..100].iter().all(evicted));
        assert!(!forged[100..].iter().any(evicted));
        assert_eq!(locked(&limits.running).places.len(), MAX_TRANSFERS);
        drop(forged);
        assert_eq!(locked(&limits.running).places.len(), 100);
        drop(asked);
    }
}
