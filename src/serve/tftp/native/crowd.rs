//! When a request had better wait though there is a place for it: while this thread has all that it can do.
//!
//! Ten thousand transfers that go on together make the thread go round ten thousand sockets, whose memory is in no
//! cache, and all of them end late. A few at a time end one after the other: more of them in all, and the machines
//! go on with the next step of their boots while others load.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::waiting;

/// So many go on together in any case: they keep the thread and the clients busy at the same time.
const ENOUGH: usize = 64;

/// Transfers that last longer are of large files, or to slow clients: nobody waits for their end.
const SHORT: Duration = Duration::from_secs(1);

/// How long a request waits for others to end. Firmware asks again after one to four seconds, and gives up after
/// eight at the earliest. No request is too old by then, also if it was not asked again.
const PATIENCE: Duration = Duration::from_millis(4_500);
const _: () = assert!(PATIENCE.as_millis() + 500 <= waiting::PATIENCE.as_millis());

/// Over how long the thread's work is measured at least.
const WINDOW: Duration = Duration::from_millis(20);

/// How much of the time the thread has been at work lately, and what that allows.
#[derive(Debug)]
pub(super) struct Crowd {
    since: Instant,
    worked: Duration,
    /// So many may go on together.
    allowed: usize,
    /// When those began that have gone on for less than [`SHORT`], in that order.
    young: BTreeMap<u64, Instant>,
    last: u64,
}

impl Crowd {
    /// Nothing has been done yet.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            worked: Duration::ZERO,
            allowed: ENOUGH,
            young: BTreeMap::new(),
            last: 0,
        }
    }

    /// A transfer begins; its number.
    pub(super) fn began(&mut self, now: Instant) -> u64 {
        self.last += 1;
        self.young.insert(self.last, now);
        self.last
    }

    /// It has ended.
    pub(super) fn ended(&mut self, number: u64) {
        self.young.remove(&number);
    }

    /// Whether a request that has waited for so long waits on, where so much work has been done since the beginning.
    pub(super) fn must_wait(
        &mut self,
        now: Instant,
        worked: impl FnOnce() -> Duration,
        waited: Duration,
    ) -> bool {
        while let Some(first) = self.young.first_entry()
            && now.saturating_duration_since(*first.get()) >= SHORT
        {
            first.remove();
        }
        let running = self.young.len();
        let passed = now.saturating_duration_since(self.since);
        if passed >= WINDOW {
            let worked = worked();
            let work = worked.saturating_sub(self.worked);
            let is_busy = work * 3 >= passed * 2;
            // Slow clients leave it idle, however many they are. Not all at once: a moment's pause says little.
            let more = if is_busy { 0 } else { running * 2 };
            self.allowed = more.max(ENOUGH);
            self.since = now;
            self.worked = worked;
        }
        running >= self.allowed && waited < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn crowd(begun: Instant, count: usize) -> Crowd {
        let mut crowd = Crowd::new(begun);
        for _ in 0..count {
            crowd.began(begun);
        }
        crowd
    }

    #[test]
    fn who_asks_a_busy_thread_waits_for_a_while() {
        let begun = Instant::now();
        let mut crowd = crowd(begun, ENOUGH);
        let must_wait = |crowd: &mut Crowd, at: u32, worked: u32, waited| {
            crowd.must_wait(begun + MS * at, || MS * worked, waited)
        };
        assert!(must_wait(&mut crowd, 10, 10, MS), "nothing is known yet");
        assert!(must_wait(&mut crowd, 30, 28, MS));
        assert!(!must_wait(&mut crowd, 33, 31, PATIENCE), "long enough");
        crowd.ended(7);
        crowd.ended(7);
        assert!(!must_wait(&mut crowd, 34, 32, MS), "one has ended");
        crowd.began(begun + MS * 35);
        assert!(must_wait(&mut crowd, 60, 55, MS));
        assert!(!must_wait(&mut crowd, 90, 60, MS), "not busy any more");
        assert!(must_wait(&mut crowd, 120, 90, MS));
    }

    #[test]
    fn nobody_waits_for_the_end_of_a_long_transfer() {
        let begun = Instant::now();
        let mut crowd = crowd(begun, 5_000);
        let later = begun + SHORT;
        assert!(crowd.must_wait(begun + MS * 999, || SHORT, MS));
        assert!(!crowd.must_wait(later, || SHORT, MS));
        for _ in 0..ENOUGH {
            assert!(!crowd.must_wait(later, || SHORT, MS));
            crowd.began(later);
        }
        assert!(crowd.must_wait(later, || SHORT, MS));
    }

    #[test]
    fn slow_clients_are_served_together() {
        let begun = Instant::now();
        let mut crowd = crowd(begun, ENOUGH);
        let mut worked = Duration::ZERO;
        for window in 1..=8 {
            worked += WINDOW / 2;
            let now = begun + WINDOW * window;
            while !crowd.must_wait(now, || worked, MS) {
                crowd.began(now);
            }
        }
        assert_eq!(crowd.young.len(), ENOUGH << 8);
        // Once it is busy no more are begun until most of them have ended, or go on for long.
        worked += WINDOW;
        assert!(crowd.must_wait(begun + WINDOW * 9, || worked, MS));
    }

    #[test]
    fn clocks_may_go_wrong() {
        let begun = Instant::now();
        let mut crowd = Crowd::new(begun);
        let later = begun + MS * 5_000;
        for _ in 0..ENOUGH {
            crowd.began(later);
        }
        assert!(!crowd.must_wait(later, || MS, MS), "a pause is no work");
        assert!(!crowd.must_wait(later + WINDOW, || Duration::ZERO, MS));
        assert!(!crowd.must_wait(begun, || MS * 50, MS));
    }
}
