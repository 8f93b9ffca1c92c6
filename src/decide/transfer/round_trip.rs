//! How long to wait for an acknowledgement (RFC 6298).

use std::time::Duration;

/// Before anything was measured. A loader that is slow to read its first packet must not get it twice: some cannot
/// bear it.
const FIRST: Duration = Duration::from_millis(500);

/// The least: firmware under load, and clocks that tick in milliseconds.
pub const LEAST: Duration = Duration::from_millis(50);

/// The least beyond the round trip, for one that has not varied yet.
const MARGIN: Duration = Duration::from_millis(20);

/// The most, after doubling.
pub const MOST: Duration = Duration::from_secs(2);

/// What takes longer is counted as this.
const MEASURABLE: Duration = Duration::from_secs(60);

/// What was measured of one path.
#[derive(Debug, Clone)]
pub struct RoundTrip {
    /// Smoothed round trip and its variation, once measured.
    smooth: Option<(Duration, Duration)>,
    least: Duration,
    /// Doublings since something new was heard.
    doubled: u32,
    /// The client's own time-out, which is kept to.
    fixed: Option<Duration>,
}

impl RoundTrip {
    /// Of a client that asked for this time-out, in seconds, or none.
    pub fn new(timeout: Option<u8>) -> Self {
        Self {
            smooth: None,
            least: Duration::ZERO,
            doubled: 0,
            fixed: timeout.map(|secs| Duration::from_secs(secs.into())),
        }
    }

    /// A round trip of something that was sent once.
    pub fn measured(&mut self, took: Duration) {
        let took = took.min(MEASURABLE);
        self.least = match self.smooth {
            Some(_) => self.least.min(took),
            None => took,
        };
        self.smooth = Some(match self.smooth {
            None => (took, took / 2),
            Some((smooth, varies)) => (
                (smooth * 7 + took) / 8,
                (varies * 3 + smooth.abs_diff(took)) / 4,
            ),
        });
    }

    /// Something new was acknowledged.
    pub fn moved(&mut self) {
        self.doubled = 0;
    }

    /// Something is repeated.
    pub fn back_off(&mut self) {
        self.doubled = self.doubled.saturating_add(1).min(16);
    }

    /// The shortest round trip; nothing before one was measured.
    pub fn least(&self) -> Duration {
        self.least
    }

    /// How long to wait now.
    pub fn before_repeating(&self) -> Duration {
        // Not before the client has answered: whoever forges requests would choose how long they are kept.
        if let (Some(fixed), Some(_)) = (self.fixed, self.smooth) {
            return fixed;
        }
        let once = self.smooth.map_or(FIRST, |(smooth, varies)| {
            (smooth + (varies * 4).max(MARGIN)).max(LEAST)
        });
        once.saturating_mul(2_u32.saturating_pow(self.doubled))
            .min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_follows_what_is_measured_and_backs_off() {
        let mut path = RoundTrip::new(None);
        assert_eq!(path.before_repeating(), FIRST);
        path.back_off();
        assert_eq!(path.before_repeating(), FIRST * 2);
        path.measured(ms(40));
        path.moved();
        assert_eq!(path.before_repeating(), ms(120));
        for _ in 0..40 {
            path.measured(ms(1));
        }
        assert_eq!((path.before_repeating(), path.least()), (LEAST, ms(1)));
        for _ in 0..40 {
            path.back_off();
        }
        assert_eq!(path.before_repeating(), MOST);
        path.measured(Duration::MAX);
        assert_eq!(path.before_repeating(), MOST);
    }

    #[test]
    fn a_clients_own_time_is_kept_to() {
        let mut path = RoundTrip::new(Some(3));
        assert_eq!(path.before_repeating(), FIRST);
        path.measured(ms(1));
        path.back_off();
        assert_eq!(path.before_repeating(), Duration::from_secs(3));
    }
}
