//! Floods: more events than anybody can read become counts with examples.
//!
//! Within one second, [`PER_SECOND`] events of one kind are kept, and as many of machines that nobody
//! reserved, whatever their kind; a stranger's flood thereby takes no room from the hosts'. What hosts leave of it
//! is kept for them, up to [`BURST`]: ten thousand of them that are switched on together have every step of their
//! boots told. Of what a machine is given again at once, [`AGAIN_PER_SECOND`] are kept. The rest is counted and told as one `journal.summary` when the second is over.
//!
//! **Invariant:** changes of state, reports and what concerns the server itself are always kept.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::base::{HardwareAddr, HostName, Timestamp};
use crate::journal::event::{Event, Kind, Reason};

/// Events of one class that are kept in one second.
pub(super) const PER_SECOND: u64 = 2_000;

/// Events of one kind that are kept at once after a quiet time. Ten thousand hosts that are switched on in the same second,
/// the first of which ask by DHCP as iPXE before it is over, need this and [`PER_SECOND`]; what waits to be written
/// takes about a kilobyte each.
pub(super) const BURST: u64 = 12_288;

/// The same of files: each of ten thousand hosts fetches two, most of them within the same few seconds.
const BURST_OF_FILES: u64 = 20_480;

/// Events of what was given again at once that are kept in one second: they tell nothing that the first did not.
pub(super) const AGAIN_PER_SECOND: u64 = 100;

/// Examples named in a summary.
const EXAMPLES: usize = 3;

/// Among how many of what is over the bound examples are looked for: a flood of one machine gives one.
const LOOKED_AT: u64 = 64;

/// How long a second may stay open when no later event closes it.
const OPEN: Duration = Duration::from_secs(1);

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Events of one kind.
    Kind(Kind),
    /// Events of machines that nobody reserved.
    Strangers,
    /// Events of one kind, of what was given again at once.
    Again(Kind),
}

/// What decides whether an event is kept.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    pub(super) at: Timestamp,
    pub(super) kind: Kind,
    pub(super) host: Option<&'a HostName>,
    pub(super) mac: Option<HardwareAddr>,
    /// It was given a moment ago, and is given again.
    again: bool,
}

impl<'a> Header<'a> {
    /// Of an event with these.
    pub const fn of(
        at: Timestamp,
        kind: Kind,
        host: Option<&'a HostName>,
        mac: HardwareAddr,
    ) -> Self {
        Self {
            at,
            kind,
            host,
            mac: Some(mac),
            again: false,
        }
    }

    /// The same of what a machine was given a moment ago and is given again: of this few are kept, so that who asks
    /// over and over takes no room from others and costs nothing.
    #[must_use]
    pub const fn again(self) -> Self {
        Self {
            again: true,
            ..self
        }
    }
}

impl<'a> From<&'a Event> for Header<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            at: event.at,
            kind: event.kind,
            host: event.host.as_ref(),
            mac: event.mac,
            again: false,
        }
    }
}

impl Class {
    /// Events that are kept at once.
    const fn burst(self) -> u64 {
        match self {
            Self::Kind(Kind::HttpAsset) => BURST_OF_FILES,
            Self::Kind(_) => BURST,
            Self::Strangers => PER_SECOND,
            Self::Again(_) => AGAIN_PER_SECOND,
        }
    }

    /// How many more are kept with each second.
    const fn per_second(self) -> u64 {
        match self {
            Self::Kind(_) | Self::Strangers => PER_SECOND,
            Self::Again(_) => AGAIN_PER_SECOND,
        }
    }
}

/// What may still be kept of a class.
#[derive(Debug)]
struct Spare {
    left: u64,
    /// The second for which it was made more.
    second: i64,
}

impl Spare {
    /// Whether one more may be kept in this second.
    fn take(&mut self, class: Class, second: i64) -> bool {
        if self.second != second {
            // A clock that was set back counts as one second.
            let passed = u64::try_from(second.saturating_sub(self.second)).unwrap_or(1);
            let more = passed.max(1).saturating_mul(class.per_second());
            self.left = self.left.saturating_add(more).min(class.burst());
            self.second = second;
        }
        let is_some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_some
    }
}

#[derive(Debug, Default)]
struct Count {
    held: u64,
    examples: Vec<String>,
    last: Option<Timestamp>,
}

/// The second that is being counted.
#[derive(Debug, Default)]
pub(super) struct Flood {
    second: i64,
    opened: Option<Instant>,
    counts: BTreeMap<Class, Count>,
    spare: BTreeMap<Class, Spare>,
}

impl Flood {
    /// Whether an event is kept; if not, it is counted. Also gives the summaries of the second before,
    /// when this event is the first of a new one.
    pub(super) fn admit(&mut self, header: Header<'_>) -> (bool, Vec<Event>) {
        let Some(class) = class(header) else {
            return (true, Vec::new());
        };
        let second = header.at.as_micros().div_euclid(1_000_000);
        let summaries = if second == self.second {
            Vec::new()
        } else {
            self.close()
        };
        if self.opened.is_none() {
            self.second = second;
            self.opened = Some(Instant::now());
        }
        let spare = self.spare.entry(class).or_insert_with(|| Spare {
            left: class.burst(),
            second,
        });
        if spare.take(class, second) {
            return (true, summaries);
        }
        let count = self.counts.entry(class).or_default();
        count.held += 1;
        count.last = Some(header.at);
        if count.examples.len() < EXAMPLES && count.held <= LOOKED_AT {
            let who = match (header.host, header.mac) {
                (Some(host), _) => host.to_string(),
                (None, Some(mac)) => mac.to_string(),
                (None, None) => "nobody".to_owned(),
            };
            let example = format!("{who} ({})", header.kind);
            if !count.examples.contains(&example) {
                count.examples.push(example);
            }
        }
        (false, summaries)
    }

    /// Ends the second and gives its summaries.
    pub(super) fn close(&mut self) -> Vec<Event> {
        self.opened = None;
        self.second = i64::MIN;
        std::mem::take(&mut self.counts)
            .into_iter()
            .filter_map(|(class, count)| {
                let at = count.last?;
                let what = match class {
                    Class::Kind(kind) => format!("{kind} events"),
                    Class::Again(kind) => format!("{kind} events of what was given again at once"),
                    Class::Strangers => "events of machines without a reservation".to_owned(),
                };
                let mut event =
                    Event::new(at, Kind::JournalSummary, Reason::Flood).detail(format!(
                        "{} more {what} within one second, among them {}",
                        count.held,
                        count.examples.join(", ")
                    ));
                event.count = Some(count.held);
                Some(event)
            })
            .collect()
    }

    /// Whether the second is over although no later event has closed it.
    pub(super) fn is_over(&self) -> bool {
        self.opened.is_some_and(|opened| opened.elapsed() >= OPEN)
    }
}

/// What an event is counted with; `None`: it is always kept.
fn class(event: Header<'_>) -> Option<Class> {
    match event.kind {
        Kind::DhcpOffer
        | Kind::DhcpAck
        | Kind::DhcpNak
        | Kind::DhcpIgnored
        | Kind::DhcpMalformed
        | Kind::DhcpFailed
        | Kind::DhcpConflict
        | Kind::DhcpForeign
        | Kind::NdpAdvertised
        | Kind::NdpRouter
        | Kind::TftpSent
        | Kind::TftpFailed
        | Kind::HttpScript
        | Kind::HttpAsset
        | Kind::HttpAnswer
        | Kind::HttpRefused
        | Kind::MirrorFetched
        | Kind::MirrorFailed
        | Kind::HostUnknown => {
            if event.host.is_none() && event.mac.is_some() {
                Some(Class::Strangers)
            } else if event.again {
                Some(Class::Again(event.kind))
            } else {
                Some(Class::Kind(event.kind))
            }
        }
        Kind::ReportIgnored
        | Kind::ReportLog
        | Kind::SecretServed
        | Kind::PoolExhausted
        | Kind::SecretAgain
        | Kind::BootLoop
        | Kind::HookFailed
        | Kind::InstallWaiting
        | Kind::InstallArmed
        | Kind::InstallBooting
        | Kind::InstallStarted
        | Kind::InstallProgress
        | Kind::InstallInstalled
        | Kind::InstallUp
        | Kind::InstallFailed
        | Kind::InstallStalled
        | Kind::InstallLapsed
        | Kind::InstallCancelled
        | Kind::InstallNote
        | Kind::DhcpProbed
        | Kind::ConfigReloaded
        | Kind::ConfigRejected
        | Kind::ServerStarted
        | Kind::ServerStopped
        | Kind::ServerLinks
        | Kind::ServerTrouble
        | Kind::JournalSummary => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(second: i64, kind: Kind) -> Event {
        Event::new(Timestamp::from_secs(second), kind, Reason::Done)
    }

    #[test]
    fn what_is_over_the_bound_is_counted_with_examples() {
        let mut flood = Flood::default();
        let mut kept = 0;
        for _ in 0..BURST + 500 {
            kept += u64::from(flood.admit((&event(7, Kind::TftpFailed)).into()).0);
        }
        assert_eq!(kept, BURST);
        // Another kind has room of its own.
        assert!(flood.admit((&event(7, Kind::HttpAsset)).into()).0);
        let (kept, summaries) = flood.admit((&event(8, Kind::TftpFailed)).into());
        assert!(kept);
        assert_eq!(summaries.len(), 1);
        assert_eq!(summaries[0].count, Some(500));
        assert_eq!(summaries[0].kind, Kind::JournalSummary);
        assert!(
            summaries[0]
                .detail
                .as_ref()
                .unwrap()
                .contains("tftp.failed")
        );
        assert!(flood.close().is_empty());
    }

    #[test]
    fn a_flood_that_lasts_is_kept_at_its_rate_and_a_quiet_time_makes_room() {
        let mut flood = Flood::default();
        let mut kept_in = |second, count| {
            (0..count)
                .filter(|_| flood.admit((&event(second, Kind::DhcpOffer)).into()).0)
                .count() as u64
        };
        assert_eq!(kept_in(100, BURST * 2), BURST);
        for second in 101..110 {
            assert_eq!(kept_in(second, BURST), PER_SECOND);
        }
        assert_eq!(kept_in(112, BURST), PER_SECOND * 3);
        assert_eq!(kept_in(10_000, BURST * 2), BURST);
        // The clock was set back.
        assert_eq!(kept_in(50, BURST), PER_SECOND);
        assert_eq!(kept_in(51, BURST), PER_SECOND);
    }

    #[test]
    fn what_is_given_again_takes_no_room_from_what_is_given() {
        let mut flood = Flood::default();
        let mac = HardwareAddr::ethernet([2, 0, 0, 0, 0, 1]);
        let host: HostName = "web01".parse().unwrap();
        let mut kept_in = |second, count| {
            let header = Header::of(
                Timestamp::from_secs(second),
                Kind::HttpAnswer,
                Some(&host),
                mac,
            );
            let again = (0..count).filter(|_| flood.admit(header.again()).0).count() as u64;
            (again, flood.admit(header).0)
        };
        assert_eq!(kept_in(7, 50_000), (AGAIN_PER_SECOND, true));
        assert_eq!(kept_in(8, 50_000), (AGAIN_PER_SECOND, true));
        let summaries = flood.close();
        assert_eq!(summaries.len(), 1);
        assert_eq!(summaries[0].count, Some(50_000 - AGAIN_PER_SECOND));
        let detail = summaries[0].detail.as_ref().unwrap();
        assert!(
            detail.contains("http.answer events of what was given again"),
            "{detail}"
        );
    }

    #[test]
    fn strangers_take_no_room_from_hosts_and_changes_are_never_counted() {
        let mut flood = Flood::default();
        let mac = HardwareAddr::ethernet([2, 0, 0, 0, 0, 1]);
        for _ in 0..PER_SECOND * 2 {
            let _ = flood.admit((&event(7, Kind::DhcpIgnored).mac(mac)).into());
            let _ = flood.admit((&event(7, Kind::DhcpOffer).mac(mac)).into());
        }
        let host: HostName = "web01".parse().unwrap();
        assert!(
            flood
                .admit((&event(7, Kind::DhcpIgnored).mac(mac).host(host)).into())
                .0
        );
        for _ in 0..PER_SECOND * 2 {
            assert!(flood.admit((&event(7, Kind::InstallProgress)).into()).0);
            assert!(flood.admit((&event(7, Kind::ReportIgnored)).into()).0);
        }
        let summaries = flood.close();
        assert_eq!(summaries.len(), 1, "{summaries:?}");
        assert_eq!(summaries[0].count, Some(PER_SECOND * 3));
    }
}
