//! Packets that the kernel has dropped at a socket because its buffer was full: nobody else tells of them.
//!
//! **Invariant:** of a flood it is told once in a while, with how many there were since.

use std::time::{Duration, Instant};

/// How long nothing is told after something was.
const AGAIN: Duration = Duration::from_secs(60);

/// What was told of one socket.
#[derive(Debug, Default)]
pub(super) struct Drops {
    told: u32,
    told_at: Option<Instant>,
}

impl Drops {
    /// Takes the kernel's count (`SO_RXQ_OVFL`), which begins anew after the largest number. How many packets are to be
    /// told of now.
    pub(super) fn note(&mut self, count: u32, now: Instant) -> Option<u32> {
        let more = count.wrapping_sub(self.told);
        let is_soon = |at: Instant| now.saturating_duration_since(at) < AGAIN;
        if more == 0 || self.told_at.is_some_and(is_soon) {
            return None;
        }
        self.told = count;
        self.told_at = Some(now);
        Some(more)
    }
}

/// The event's particulars.
pub(super) fn in_words(count: u32, iface: &str, port: u16) -> String {
    let packets = if count == 1 { "packet" } else { "packets" };
    format!(
        "the kernel has dropped {count} {packets} at UDP port {port} of {iface}: more came at once than its buffer holds"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_of_once_in_a_while_and_none_is_left_out() {
        let begun = Instant::now();
        let at = |secs| begun + Duration::from_secs(secs);
        let mut drops = Drops::default();
        assert_eq!(drops.note(0, at(0)), None);
        assert_eq!(drops.note(3, at(1)), Some(3));
        assert_eq!(drops.note(3, at(2)), None);
        assert_eq!(drops.note(900, at(60)), None);
        assert_eq!(drops.note(1_000, at(61)), Some(997));
        // After a quiet hour nothing is new.
        assert_eq!(drops.note(1_000, at(3_661)), None);
        assert_eq!(drops.note(1_001, at(3_662)), Some(1));
        let mut full = Drops {
            told: u32::MAX,
            told_at: None,
        };
        assert_eq!(full.note(1, at(0)), Some(2));
    }
}
