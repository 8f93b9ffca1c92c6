//! Pieces of one file that one machine reads one after the other, as a disk over HTTP is read: the first is told at
//! once, those that follow are counted and told together.
//!
//! **Invariant:** each piece is told once, by itself or in a count. What is kept is bounded; beyond that pieces are
//! told one by one.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::Timestamp;
use crate::journal::event::Event;

/// A piece this long after the one before it is told by itself again.
const QUIET: Duration = Duration::from_secs(10);

/// A machine that goes on reading is told of so often.
const AGAIN: Duration = Duration::from_secs(60);

/// Files that are read in pieces at once.
const MOST: usize = 1_024;

/// All files that are read in pieces.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    runs: Mutex<HashMap<(Ipv4Addr, String), Run>>,
}

/// One machine that reads one file.
#[derive(Debug)]
struct Run {
    /// The event of the last piece: the others were like it.
    like: Event,
    /// Bytes of the file.
    len: u64,
    /// Of the first piece that is counted here.
    since: Timestamp,
    count: u64,
    bytes: u64,
}

impl Run {
    /// What was counted, as one event; none where nothing was.
    fn told(&mut self, now: Timestamp) -> Option<Event> {
        let (count, bytes) = (
            std::mem::take(&mut self.count),
            std::mem::take(&mut self.bytes),
        );
        if count == 0 {
            return None;
        }
        let took = self.like.at.since(self.since).as_micros();
        let mut event = Event {
            at: now,
            bytes: Some(bytes),
            took_us: Some(u64::try_from(took).unwrap_or(u64::MAX)),
            count: Some(count),
            ..self.like.clone()
        };
        event.detail = Some(format!("pieces of {} bytes", self.len));
        Some(event)
    }
}

impl Pieces {
    /// Takes the event of one more piece of a file of `len` bytes, and gives what is to be told now.
    pub(super) fn take(&self, event: Event, len: u64) -> Vec<Event> {
        let (Some(ip), Some(file)) = (event.ip, event.file.clone()) else {
            return vec![event];
        };
        let mut runs = self.runs();
        let is_full = runs.len() >= MOST;
        let Some(run) = runs.get_mut(&(ip, file)) else {
            if let Some(file) = event.file.clone().filter(|_| !is_full) {
                let run = Run {
                    like: event.clone(),
                    len,
                    since: event.at,
                    count: 0,
                    bytes: 0,
                };
                runs.insert((ip, file), run);
            }
            return vec![event];
        };
        if event.at.since(run.like.at) >= QUIET {
            let told = run.told(event.at);
            run.like = event.clone();
            run.len = len;
            return told.into_iter().chain([event]).collect();
        }
        if run.count == 0 {
            run.since = event.at;
        }
        run.count += 1;
        run.bytes += event.bytes.unwrap_or_default();
        let now = event.at;
        run.like = event;
        run.len = len;
        if now.since(run.since) < AGAIN {
            return Vec::new();
        }
        run.told(now).into_iter().collect()
    }

    /// What is to be told of those who read no more.
    pub(super) fn due(&self, now: Timestamp) -> Vec<Event> {
        let mut told = Vec::new();
        self.runs().retain(|_, run| {
            let goes_on = now.since(run.like.at) < QUIET;
            if !goes_on {
                told.extend(run.told(now));
            }
            goes_on
        });
        told
    }

    /// What is left to be told at the end.
    pub(super) fn rest(&self, now: Timestamp) -> Vec<Event> {
        let mut runs = std::mem::take(&mut *self.runs());
        runs.values_mut().filter_map(|run| run.told(now)).collect()
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<(Ipv4Addr, String), Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::event::{Kind, Reason};

    const LEN: u64 = 81_920;

    fn piece(at_ms: i64, machine: u8, file: &str) -> Event {
        let at = Timestamp::from_micros(at_ms * 1_000);
        let mut event = Event::new(at, Kind::HttpAsset, Reason::Done)
            .ip(Ipv4Addr::new(10, 99, 0, machine))
            .file(file.to_owned())
            .detail("bytes 0-2047 of 81920");
        event.bytes = Some(2_048);
        event
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn the_first_is_told_and_the_others_are_counted() {
        let pieces = Pieces::default();
        let first = piece(1_000, 11, "/assets/cd.iso");
        assert_eq!(pieces.take(first.clone(), LEN), [first]);
        for ms in 0..500 {
            assert_eq!(
                pieces.take(piece(2_000 + ms, 11, "/assets/cd.iso"), LEN),
                []
            );
        }
        // Another file, another machine: each by itself.
        for other in [
            piece(2_000, 11, "/assets/b.iso"),
            piece(2_000, 12, "/assets/cd.iso"),
        ] {
            assert_eq!(pieces.take(other.clone(), LEN), [other]);
        }
        assert_eq!(pieces.due(at(5)), []);
        let told = pieces.due(at(13));
        let [one] = told.as_slice() else {
            panic!("{told:#?}");
        };
        assert_eq!((one.count, one.bytes), (Some(500), Some(500 * 2_048)));
        assert_eq!((one.took_us, one.at), (Some(499_000), at(13)));
        assert_eq!(one.detail.as_deref(), Some("pieces of 81920 bytes"));
        assert_eq!(one.file.as_deref(), Some("/assets/cd.iso"));
        assert_eq!(pieces.due(at(100)), []);
        assert_eq!(pieces.rest(at(100)), []);
    }

    #[test]
    fn whoever_reads_on_is_told_of_again_and_after_a_pause_at_once() {
        let pieces = Pieces::default();
        let mut told = Vec::new();
        for second in 0..=130 {
            told.extend(pieces.take(piece(second * 1_000, 11, "/assets/cd.iso"), LEN));
        }
        let counts: Vec<_> = told.iter().map(|event| event.count).collect();
        assert_eq!(counts, [None, Some(61), Some(61)]);
        // Nobody has looked in between: what was counted comes before the piece.
        let after = pieces.take(piece(150_000, 11, "/assets/cd.iso"), LEN);
        let counts: Vec<_> = after.iter().map(|event| event.count).collect();
        assert_eq!(counts, [Some(8), None]);
        pieces.take(piece(151_000, 11, "/assets/cd.iso"), LEN);
        let rest = pieces.rest(at(152));
        assert_eq!(rest.len(), 1);
        assert_eq!((rest[0].count, rest[0].at), (Some(1), at(152)));
    }

    #[test]
    fn beyond_the_bound_each_is_told() {
        let pieces = Pieces::default();
        for number in 0..MOST + 10 {
            pieces.take(piece(1_000, 11, &format!("/assets/{number}")), LEN);
        }
        assert_eq!(pieces.runs().len(), MOST);
        let over = format!("/assets/{}", MOST + 1);
        assert_eq!(pieces.take(piece(1_001, 11, &over), LEN).len(), 1);
        assert_eq!(pieces.take(piece(1_001, 11, "/assets/0"), LEN), []);
    }
}
