//! Whether a machine hears what it is offered, and what is done when it does not.
//!
//! A reply reaches a machine without an address in one of two ways: a frame to its hardware address, or a
//! broadcast; its broadcast flag says which one it wants (RFC 2131 section 4.1). Some firmware asks for the
//! one and hears only the other, and some switches and bridges let only one of them through. An offer
//! counts as unanswered when the machine asks anew [`UNANSWERED_AFTER`] or later and has requested nothing
//! in between: iPXE asks twice within a second, and EDK2 gathers offers for 4 s, and both are well. After
//! [`ENOUGH`] such offers both ways are used for the machine, and for a day when that has helped.
//!
//! **Invariant:** a machine that requests what it is offered is never answered otherwise than it asks for,
//! and what it did in one conversation is forgotten in the next, unless it has helped.

use std::time::Duration;

use crate::base::Timestamp;

/// An offer is unanswered when the machine asks anew this long after it.
pub const UNANSWERED_AFTER: Duration = Duration::from_secs(6);

/// After so many unanswered offers both ways are used.
pub const ENOUGH: u8 = 2;

/// A machine that is silent for longer than this begins anew. Firmware waits 32 s at most between two
/// DISCOVERs, systems a few minutes.
const CONVERSATION: Duration = Duration::from_secs(600);

/// How long it is remembered that both ways have helped.
const REMEMBERED: Duration = Duration::from_secs(86_400);

/// How every note of both ways begins in an event's detail.
pub const BOTH_WAYS: &str = "sent as a frame and by broadcast";

/// What the machine sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A DISCOVER.
    Discover,
    /// A REQUEST; whether it chooses this server's offer.
    Request {
        /// Whether it names this server.
        ours: bool,
    },
}

/// How the offers to one machine have fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivery {
    /// The first offer of those that still wait for a request.
    waiting_since: Option<Timestamp>,
    /// When the machine was heard last, while an offer waits or went unanswered.
    heard_at: Option<Timestamp>,
    /// Offers that went unanswered in this conversation.
    unanswered: u8,
    /// When it last requested what went both ways.
    helped_at: Option<Timestamp>,
}

/// Why both ways are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Both {
    /// So many offers went unanswered.
    Unanswered(u8),
    /// It has helped, now or lately.
    Helped,
}

impl Both {
    /// In words, for the event.
    pub fn note(self) -> String {
        match self {
            Self::Unanswered(offers) => format!("{BOTH_WAYS}: {offers} offers went unanswered"),
            Self::Helped => {
                format!("{BOTH_WAYS}: it has requested nothing before it was offered so")
            }
        }
    }
}

impl Delivery {
    /// After a message of the machine.
    #[must_use]
    pub fn heard(self, heard: Heard, at: Timestamp) -> Self {
        let mut next = self.judged(at);
        match heard {
            Heard::Discover => {
                if let Some(offered) = next.waiting_since
                    && at.since(offered) >= UNANSWERED_AFTER
                {
                    next.unanswered = next.unanswered.saturating_add(1);
                    next.waiting_since = None;
                }
                if next.waiting_since.is_some() || next.unanswered > 0 {
                    next.heard_at = Some(at);
                }
            }
            Heard::Request { ours } => {
                let went_both_ways = next.waiting_since.is_some() && next.both(at).is_some();
                next.waiting_since = None;
                next.heard_at = None;
                next.unanswered = 0;
                if ours && went_both_ways {
                    next.helped_at = Some(at);
                }
            }
        }
        next
    }

    /// After an offer to the machine. Of several the first one counts, until it is answered or not.
    #[must_use]
    pub fn offered(mut self, at: Timestamp) -> Self {
        self.waiting_since.get_or_insert(at);
        self.heard_at = Some(at);
        self
    }

    /// Whether both ways are used now, and why.
    pub fn both(&self, at: Timestamp) -> Option<Both> {
        let now = self.judged(at);
        if now.unanswered >= ENOUGH {
            Some(Both::Unanswered(now.unanswered))
        } else {
            now.helped_at.map(|_| Both::Helped)
        }
    }

    /// Without what has been too long ago.
    fn judged(mut self, at: Timestamp) -> Self {
        if self
            .heard_at
            .is_some_and(|heard| at.since(heard) > CONVERSATION)
        {
            self.waiting_since = None;
            self.heard_at = None;
            self.unanswered = 0;
        }
        self.helped_at = self
            .helped_at
            .filter(|helped| at.since(*helped) < REMEMBERED);
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    /// A DISCOVER that is answered at once: what is done with that offer.
    fn discover(delivery: &mut Delivery, secs: i64) -> Option<Both> {
        *delivery = delivery.heard(Heard::Discover, at(secs));
        let both = delivery.both(at(secs));
        *delivery = delivery.offered(at(secs));
        both
    }

    fn request(delivery: &mut Delivery, secs: i64, ours: bool) -> Option<Both> {
        *delivery = delivery.heard(Heard::Request { ours }, at(secs));
        delivery.both(at(secs))
    }

    /// The DISCOVERs of a machine that hears nothing, in seconds: when both ways are used first.
    fn first_both(seconds: &[i64]) -> Option<i64> {
        let mut delivery = Delivery::default();
        seconds
            .iter()
            .copied()
            .find(|secs| discover(&mut delivery, *secs).is_some())
    }

    #[test]
    fn two_unanswered_offers_are_enough() {
        assert_eq!(first_both(&[0, 6, 12]), Some(12));
        // EDK2 doubles from 4 s, iPXE from 1 s; dhclient asks about every 10 s.
        assert_eq!(first_both(&[0, 4, 12, 28]), Some(28));
        assert_eq!(first_both(&[0, 1, 3, 7, 15]), Some(15));
        assert_eq!(first_both(&[0, 9, 19]), Some(19));
        // One that asks every 5 s is heard out as well.
        assert_eq!(first_both(&[0, 5, 10, 15, 20]), Some(20));
    }

    #[test]
    fn what_is_well_is_left_alone() {
        // iPXE asks twice within a second, EDK2 gathers for 4 s.
        assert_eq!(first_both(&[0, 1]), None);
        assert_eq!(first_both(&[0, 4]), None);
        assert_eq!(first_both(&[0, 6]), None);
        let mut delivery = Delivery::default();
        // Each stage of a boot takes its address.
        for begin in [0, 8, 40, 50, 100] {
            assert_eq!(discover(&mut delivery, begin), None);
            assert_eq!(discover(&mut delivery, begin + 1), None);
            assert_eq!(request(&mut delivery, begin + 2, true), None);
        }
        assert_eq!(delivery, Delivery::default());
        // It takes another server's.
        for begin in [200, 300, 400] {
            assert_eq!(discover(&mut delivery, begin), None);
            assert_eq!(request(&mut delivery, begin + 5, false), None);
        }
        // Each day it is started and switched off again.
        assert_eq!(first_both(&[0, 86_400, 172_800, 259_200]), None);
    }

    #[test]
    fn what_has_helped_is_remembered_for_a_day() {
        let mut delivery = Delivery::default();
        for secs in [0, 6] {
            assert_eq!(discover(&mut delivery, secs), None);
        }
        assert_eq!(discover(&mut delivery, 12), Some(Both::Unanswered(2)));
        // The acknowledgement goes both ways too.
        assert_eq!(request(&mut delivery, 13, true), Some(Both::Helped));
        let later = 13 + 80_000;
        let mut again = delivery;
        assert_eq!(discover(&mut again, later), Some(Both::Helped));
        // And for another day from there.
        assert_eq!(request(&mut again, later + 1, true), Some(Both::Helped));
        assert_eq!(discover(&mut again, later + 80_000), Some(Both::Helped));
        assert_eq!(discover(&mut delivery, 13 + 86_400), None);
        // A system that renews its lease does not prove it.
        let mut renews = Delivery::default();
        for secs in [0, 6, 12] {
            discover(&mut renews, secs);
        }
        request(&mut renews, 13, true);
        assert_eq!(
            request(&mut renews, 80_000, true),
            Some(Both::Helped),
            "it still holds"
        );
        assert_eq!(discover(&mut renews, 13 + 86_400), None);
        // What another server's offer made of it proves nothing either.
        let mut other = Delivery::default();
        for secs in [0, 6, 12] {
            discover(&mut other, secs);
        }
        assert_eq!(request(&mut other, 13, false), None);
        assert_eq!(discover(&mut other, 14), None);
    }

    #[derive(Debug, Clone, Copy)]
    enum Act {
        Discover,
        Request { ours: bool },
    }

    fn acts() -> impl Strategy<Value = Vec<(i64, Act)>> {
        let act = prop_oneof![
            4 => Just(Act::Discover),
            1 => any::<bool>().prop_map(|ours| Act::Request { ours }),
        ];
        let pause = prop_oneof![4 => 0_i64..12, 1 => 500_i64..700, 1 => 80_000_i64..90_000];
        prop::collection::vec((pause, act), 0..40)
    }

    proptest! {
        /// Against the words of the rule, counted over the whole past.
        #[test]
        fn both_ways_only_after_two_unanswered_offers(acts in acts()) {
            let mut delivery = Delivery::default();
            let mut now = 0;
            // Offers since the last request or long silence, and whether both ways have helped.
            let mut offers: Vec<i64> = Vec::new();
            let mut last = None;
            let mut helped: Option<i64> = None;
            for (pause, act) in acts {
                now += pause;
                if last.is_some_and(|last| now - last > 600) {
                    offers.clear();
                }
                helped = helped.filter(|helped| now - helped < 86_400);
                let before = delivery;
                match act {
                    Act::Discover => {
                        delivery = delivery.heard(Heard::Discover, at(now));
                        let both = delivery.both(at(now));
                        let old = offers.iter().filter(|offer| now - **offer >= 6).count();
                        if let Some(Both::Unanswered(_)) = both {
                            prop_assert!(old >= 2, "{offers:?} at {now}");
                        }
                        // Six seconds between each two: certainly enough.
                        let mut apart = 0;
                        let mut mark = None;
                        for offer in offers.iter().copied().chain([now]) {
                            if mark.is_none_or(|mark| offer - mark >= 6) {
                                apart += 1;
                                mark = Some(offer);
                            }
                        }
                        if apart > 2 && offers.len() > 1 && last == offers.last().copied() {
                            prop_assert!(both.is_some(), "{offers:?} at {now}");
                        }
                        if both.is_some() && old < 2 {
                            prop_assert!(helped.is_some());
                        }
                        delivery = delivery.offered(at(now));
                        offers.push(now);
                        last = Some(now);
                    }
                    Act::Request { ours } => {
                        let both = before.both(at(now)).is_some();
                        delivery = delivery.heard(Heard::Request { ours }, at(now));
                        if ours && both && !offers.is_empty() {
                            helped = Some(now);
                        }
                        offers.clear();
                        last = None;
                        prop_assert_eq!(delivery.both(at(now)).is_some(), helped.is_some());
                    }
                }
            }
        }
    }
}
