//! Machines that fetch their boot loader again and again and never ask for their script (design
//! section 3): when one reply names the script instead, and when there is no boot file for a while.
//!
//! Two kinds of machine do this. An iPXE that tells neither by option 77 nor by option 175 what it is
//! is taken for firmware at each of its rounds; it follows the script's URL. Firmware that refuses the
//! loader (Secure Boot), or cannot start it, makes nothing of that URL; without a boot file it goes on
//! to its next boot device. UEFI HTTP Boot is never told the script's URL: it would fetch the text, be
//! taken for the iPXE that asked for its script, and use up an attempt of its installation.
//!
//! **Invariant:** pure. Only complete fetches of the loader that would be named now count; another
//! loader, a script asked for, and a new arming each begin from nothing.

use std::time::Duration;

use crate::base::Timestamp;

/// Complete fetches of a loader without a script after which the loop is broken.
pub const FETCHES: usize = 3;

/// The time in which they count, and for which there is no boot file afterwards.
pub const WINDOW: Duration = Duration::from_secs(600);

/// A reply that names the script is repeated for this long to a machine that does not take it: longer
/// than EDK2's four tries (4, 8, 16 and 32 s).
const INSTEAD: Duration = Duration::from_secs(120);

/// What is remembered of one machine's fetches of its loader since it last asked for its script.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fetches {
    /// The loader, as a path under `boot_assets`.
    pub loader: String,
    /// When it was fetched whole: the last [`FETCHES`] times.
    pub last: [Option<Timestamp>; FETCHES],
    /// How often it was fetched whole.
    pub count: u32,
    /// iPXE has asked for its address since: the loader runs.
    pub ran: bool,
    /// When a reply first named the script instead, and when it was acknowledged.
    pub instead: Option<(Timestamp, Option<Timestamp>)>,
    /// Since when there is no boot file.
    pub stopped: Option<Timestamp>,
}

impl Fetches {
    /// The same after one more complete fetch.
    pub fn note(&mut self, loader: &str, at: Timestamp) {
        let is_another = self.loader != loader || self.count == 0;
        let is_over = self
            .stopped
            .is_some_and(|stopped| at.since(stopped) >= WINDOW);
        if is_another || is_over {
            *self = Self {
                loader: loader.to_owned(),
                ..Self::default()
            };
        }
        self.last.rotate_left(1);
        if let Some(last) = self.last.last_mut() {
            *last = Some(at);
        }
        self.count = self.count.saturating_add(1);
    }

    /// The same after a reply that broke the loop. Whether it was the first of its kind: an event.
    pub fn answered(&mut self, guard: LoopGuard, is_ack: bool, at: Timestamp) -> bool {
        match guard {
            LoopGuard::Pass => false,
            LoopGuard::ScriptInstead { .. } => {
                let is_first = self.instead.is_none();
                let (_, acked) = self.instead.get_or_insert((at, None));
                if is_ack {
                    acked.get_or_insert(at);
                }
                is_first
            }
            LoopGuard::NoBootFile { .. } => {
                let is_first = self
                    .stopped
                    .is_none_or(|stopped| at.since(stopped) >= WINDOW);
                if is_first {
                    self.stopped = Some(at);
                }
                is_first
            }
        }
    }
}

/// What is done about a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoopGuard {
    /// Nothing: there is none.
    #[default]
    Pass,
    /// This reply names the script instead of the loader.
    ScriptInstead {
        /// How often the loader was fetched whole.
        fetches: u32,
        /// The loader ran: iPXE asked for its address.
        ran: bool,
    },
    /// This reply names no boot file.
    NoBootFile {
        /// How often the loader was fetched whole.
        fetches: u32,
        /// The loader ran: iPXE asked for its address.
        ran: bool,
    },
}

impl LoopGuard {
    /// Whether the firmware itself seems to refuse the loader: fetched again and again, never run.
    pub const fn never_ran(self) -> bool {
        matches!(
            self,
            Self::ScriptInstead { ran: false, .. } | Self::NoBootFile { ran: false, .. }
        )
    }

    /// How often the loader was fetched whole; 0 where nothing is done.
    pub const fn fetches(self) -> u32 {
        match self {
            Self::Pass => 0,
            Self::ScriptInstead { fetches, .. } | Self::NoBootFile { fetches, .. } => fetches,
        }
    }
}

/// What the message is that is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asking<'a> {
    /// The loader that it would be told, as a path under `boot_assets`.
    pub loader: &'a str,
    /// A DISCOVER: with it a machine begins anew.
    pub is_discover: bool,
    /// It can follow a URL that is named by TFTP's means: not HTTP Boot.
    pub takes_script: bool,
    /// When the host was last armed.
    pub armed_at: Option<Timestamp>,
}

/// Decides about a loop.
pub fn loop_guard(fetches: &Fetches, asking: Asking<'_>, now: Timestamp) -> LoopGuard {
    let within = |at: Timestamp| now.since(at) < WINDOW;
    // Whoever arms it again has mended something, or wants to see it once more.
    let is_older = |at: Timestamp| asking.armed_at.is_some_and(|armed| at < armed);
    if fetches.loader != asking.loader || fetches.last.into_iter().flatten().any(is_older) {
        return LoopGuard::Pass;
    }
    let stopped = fetches.stopped.filter(|at| !is_older(*at));
    let instead = fetches.instead.filter(|(at, _)| !is_older(*at));
    let (count, ran) = (fetches.count, fetches.ran);
    let no_boot_file = LoopGuard::NoBootFile {
        fetches: count,
        ran,
    };
    if let Some(stopped) = stopped {
        return if within(stopped) {
            no_boot_file
        } else {
            LoopGuard::Pass
        };
    }
    if let Some((first, acked)) = instead.filter(|_| asking.takes_script) {
        // It has had the URL and begins anew, or never takes such an offer: that was in vain.
        let in_vain = (asking.is_discover && acked.is_some()) || now.since(first) >= INSTEAD;
        if in_vain && !within(first) {
            // It was switched off meanwhile.
            return LoopGuard::Pass;
        }
        return if in_vain {
            no_boot_file
        } else {
            LoopGuard::ScriptInstead {
                fetches: count,
                ran,
            }
        };
    }
    if !fetches.last.iter().all(|at| at.is_some_and(within)) {
        LoopGuard::Pass
    } else if asking.takes_script {
        LoopGuard::ScriptInstead {
            fetches: count,
            ran,
        }
    } else {
        no_boot_file
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOADER: &str = "ipxe/undionly.kpxe";

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(10_000 + secs)
    }

    fn fetched(times: &[i64]) -> Fetches {
        let mut fetches = Fetches::default();
        for secs in times {
            fetches.note(LOADER, at(*secs));
        }
        fetches
    }

    const DISCOVER: Asking<'static> = Asking {
        loader: LOADER,
        is_discover: true,
        takes_script: true,
        armed_at: None,
    };
    const REQUEST: Asking<'static> = Asking {
        is_discover: false,
        ..DISCOVER
    };

    fn instead(fetches: u32) -> LoopGuard {
        LoopGuard::ScriptInstead {
            fetches,
            ran: false,
        }
    }

    fn nothing(fetches: u32) -> LoopGuard {
        LoopGuard::NoBootFile {
            fetches,
            ran: false,
        }
    }

    #[test]
    fn three_fetches_in_ten_minutes_and_no_fewer() {
        let of = |times: &[i64], now| loop_guard(&fetched(times), DISCOVER, at(now));
        assert_eq!(of(&[], 0), LoopGuard::Pass);
        assert_eq!(of(&[0, 30], 60), LoopGuard::Pass);
        assert_eq!(of(&[0, 30, 60], 90), instead(3));
        assert_eq!(of(&[0, 30, 60], 599), instead(3));
        assert_eq!(of(&[0, 30, 60], 600), LoopGuard::Pass);
        assert_eq!(of(&[0, 500, 700], 710), LoopGuard::Pass);
        assert_eq!(of(&[0, 500, 700, 720], 730), instead(4));
    }

    #[test]
    fn the_script_once_then_nothing_for_ten_minutes_then_anew() {
        let mut fetches = fetched(&[0, 30, 60]);
        // One exchange: both replies and a repeated DISCOVER say the same; one event.
        assert!(fetches.answered(
            loop_guard(&fetches.clone(), DISCOVER, at(90)),
            false,
            at(90)
        ));
        assert_eq!(loop_guard(&fetches, DISCOVER, at(94)), instead(3));
        assert!(!fetches.answered(instead(3), false, at(94)));
        assert_eq!(loop_guard(&fetches, REQUEST, at(95)), instead(3));
        assert!(!fetches.answered(instead(3), true, at(95)));
        assert_eq!(loop_guard(&fetches, REQUEST, at(96)), instead(3));
        // It begins anew: in vain.
        assert_eq!(loop_guard(&fetches, DISCOVER, at(100)), nothing(3));
        assert!(fetches.answered(nothing(3), false, at(100)));
        assert!(!fetches.answered(nothing(3), true, at(101)));
        assert_eq!(loop_guard(&fetches, REQUEST, at(101)), nothing(3));
        assert_eq!(loop_guard(&fetches, DISCOVER, at(699)), nothing(3));
        // Ten minutes later it may try again, three times.
        assert_eq!(loop_guard(&fetches, DISCOVER, at(700)), LoopGuard::Pass);
        fetches.note(LOADER, at(705));
        assert_eq!(fetches, fetched(&[705]));
    }

    #[test]
    fn an_offer_that_is_never_taken_is_in_vain_too() {
        let mut fetches = fetched(&[0, 30, 60]);
        fetches.answered(instead(3), false, at(90));
        assert_eq!(loop_guard(&fetches, DISCOVER, at(209)), instead(3));
        assert_eq!(loop_guard(&fetches, DISCOVER, at(210)), nothing(3));
        // Next day.
        assert_eq!(loop_guard(&fetches, DISCOVER, at(90_000)), LoopGuard::Pass);
    }

    #[test]
    fn http_boot_is_never_sent_to_a_script() {
        let fetches = fetched(&[0, 30, 60]);
        let http = Asking {
            takes_script: false,
            ..DISCOVER
        };
        assert_eq!(loop_guard(&fetches, http, at(90)), nothing(3));
    }

    #[test]
    fn another_loader_and_a_new_arming_begin_from_nothing() {
        let mut fetches = fetched(&[0, 30, 60]);
        fetches.answered(nothing(3), true, at(70));
        let other = Asking {
            loader: "ipxe/ipxe.pxe",
            ..DISCOVER
        };
        assert_eq!(loop_guard(&fetches, other, at(90)), LoopGuard::Pass);
        let armed = |secs| Asking {
            armed_at: Some(at(secs)),
            ..DISCOVER
        };
        assert_eq!(loop_guard(&fetches, armed(-1), at(90)), nothing(3));
        assert_eq!(loop_guard(&fetches, armed(80), at(90)), LoopGuard::Pass);
        fetches.note("ipxe/ipxe.pxe", at(91));
        assert_eq!((fetches.count, fetches.stopped), (1, None));
    }

    #[test]
    fn what_ran_is_not_refused_by_the_firmware() {
        let mut fetches = fetched(&[0, 30, 60]);
        assert!(loop_guard(&fetches, DISCOVER, at(90)).never_ran());
        fetches.ran = true;
        assert!(!loop_guard(&fetches, DISCOVER, at(90)).never_ran());
        assert!(!LoopGuard::Pass.never_ran());
    }

    proptest! {
        /// However a machine behaves: never a boot file while it is stopped, at most one spell of each
        /// kind in ten minutes, and never anything but the loader before three fetches.
        #[test]
        fn in_whatever_order(steps in prop::collection::vec((0..4_u8, 0..200_i64), 0..200)) {
            let mut fetches = Fetches::default();
            let mut now = 0;
            let mut told: Vec<i64> = Vec::new();
            for (what, pause) in steps {
                now += pause;
                if what == 0 {
                    fetches.note(LOADER, at(now));
                    continue;
                }
                let asking = if what == 1 { REQUEST } else { DISCOVER };
                let guard = loop_guard(&fetches, asking, at(now));
                if fetches.count < 3 {
                    prop_assert_eq!(guard, LoopGuard::Pass);
                }
                if fetches.answered(guard, what == 1, at(now))
                    && matches!(guard, LoopGuard::NoBootFile { .. })
                {
                    prop_assert!(told.last().is_none_or(|last| now - last >= 600));
                    told.push(now);
                }
                if told.last().is_some_and(|last| now - last < 600) {
                    let is_stopped = matches!(guard, LoopGuard::NoBootFile { .. });
                    prop_assert!(is_stopped, "{:?}", guard);
                }
            }
        }
    }
}
