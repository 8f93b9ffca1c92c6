//! Requests that wait for a place: when more machines ask at once than are served at once.
//!
//! **Invariant:** a client port waits once, with its latest request, and in the order in which the ports came.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// Requests that wait: each machine of a storm, and no more memory than eight megabytes.
const MOST: usize = 16_384;

/// The longest request that waits.
const LONGEST: usize = 512;

/// How long one waits. Its client asks again every second or few, and whoever has given up is not served any more.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A request, when it came last, and when it came first.
#[derive(Debug)]
struct Request {
    bytes: Box<[u8]>,
    came: Instant,
    since: Instant,
}

/// Those that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    order: VecDeque<SocketAddrV4>,
    requests: HashMap<SocketAddrV4, Request>,
}

/// The next one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Its turn has come.
    Serve(SocketAddrV4, Box<[u8]>),
    /// Its turn came too late.
    Expired(SocketAddrV4, Box<[u8]>),
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Has a request wait; `false`: there is no room for it.
    pub(super) fn push(&mut self, from: SocketAddrV4, bytes: &[u8], now: Instant) -> bool {
        if let Some(earlier) = self.requests.get_mut(&from) {
            earlier.bytes = bytes.into();
            earlier.came = now;
            return true;
        }
        if self.order.len() >= MOST || bytes.len() > LONGEST {
            return false;
        }
        let request = Request {
            bytes: bytes.into(),
            came: now,
            since: now,
        };
        self.requests.insert(from, request);
        self.order.push_back(from);
        true
    }

    /// How long the one has waited whose turn is next.
    pub(super) fn waited(&self, now: Instant) -> Option<Duration> {
        let next = self.requests.get(self.order.front()?)?;
        Some(now.saturating_duration_since(next.since))
    }

    /// Takes the one that has waited longest.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Next> {
        let from = self.order.pop_front()?;
        let Request { bytes, came, .. } = self.requests.remove(&from)?;
        Some(if now.saturating_duration_since(came) > PATIENCE {
            Next::Expired(from, bytes)
        } else {
            Next::Serve(from, bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new([10, 0, 0, 1].into(), port)
    }

    #[test]
    fn in_the_order_of_ports_with_the_latest_request() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        assert!(waiting.push(client(1), b"one", now));
        assert!(waiting.push(client(2), b"two", now));
        let later = now + Duration::from_secs(1);
        assert!(waiting.push(client(1), b"one again", later));
        assert_eq!(waiting.waited(later), Some(Duration::from_secs(1)));
        assert_eq!(
            waiting.pop(now),
            Some(Next::Serve(client(1), b"one again"[..].into()))
        );
        assert_eq!(
            waiting.pop(now),
            Some(Next::Serve(client(2), b"two"[..].into()))
        );
        assert_eq!((waiting.pop(now), waiting.waited(now)), (None, None));
        assert!(waiting.is_empty());
    }

    #[test]
    fn who_asks_again_is_served_and_who_does_not_is_not() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let later = now + PATIENCE + Duration::from_millis(1);
        waiting.push(client(1), b"one", now);
        waiting.push(client(2), b"two", now);
        waiting.push(client(2), b"two", later);
        assert_eq!(
            waiting.pop(later),
            Some(Next::Expired(client(1), b"one"[..].into()))
        );
        assert_eq!(
            waiting.pop(later),
            Some(Next::Serve(client(2), b"two"[..].into()))
        );
    }

    #[test]
    fn there_is_a_bound() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        assert!(!waiting.push(client(1), &[0; LONGEST + 1], now));
        for port in 0..u16::try_from(MOST).unwrap() {
            assert!(waiting.push(client(port), b"one", now));
        }
        assert!(!waiting.push(client(60_000), b"one more", now));
        assert!(waiting.push(client(7), b"again", now));
    }
}
