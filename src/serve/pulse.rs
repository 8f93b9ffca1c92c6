//! A transfer that goes on for long is a sign of life while its bytes flow, not only at its end.
//!
//! **Invariant:** a beat is at most one note in its interval, and only when bytes have moved.

use std::time::Duration;

use crate::base::Timestamp;

/// When a transfer was last noted.
#[derive(Debug)]
pub struct Pulse {
    every: Duration,
    last: Timestamp,
}

impl Pulse {
    /// Of a transfer that begins now.
    pub fn new(every: Duration, now: Timestamp) -> Self {
        Self { every, last: now }
    }

    /// Bytes have moved: whether that is to be noted.
    pub fn beat(&mut self, now: Timestamp) -> bool {
        let is_due = now.since(self.last) >= self.every;
        if is_due {
            self.last = now;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_beats_once_in_its_interval() {
        let at = Timestamp::from_secs;
        let mut pulse = Pulse::new(Duration::from_secs(60), at(0));
        let beats: Vec<i64> = (0..200).filter(|secs| pulse.beat(at(*secs))).collect();
        assert_eq!(beats, [60, 120, 180]);
        // After a silence it does not make up for what was left out.
        assert!(pulse.beat(at(1_000)));
        assert!(!pulse.beat(at(1_001)));
    }
}
