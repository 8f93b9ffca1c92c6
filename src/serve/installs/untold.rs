//! What a kill has kept from being told.
//!
//! A change of a record is on disk before its event is in the journal, and the journal's file is a moment
//! behind that. A daemon killed in between knows that a host is `installed`, and nobody was told. At the
//! next start the records are compared with the journal, and what is missing is told then.

use std::time::Duration;

use super::standing;
use crate::base::Timestamp;
use crate::journal::event::{Event, Kind, Reason};
use crate::record::{InstallState, Record};

/// How far behind the records the journal may be: longer than the slowest disk takes.
pub(super) const BEHIND: Duration = Duration::from_secs(60);

/// Whether a record changed so late that the journal may have missed it, when this was its last event.
pub(super) fn may_be_untold(record: &Record, journal_ends: Timestamp) -> bool {
    last_change(record).is_some_and(|at| at >= journal_ends.minus(BEHIND))
}

/// The event that tells where a host stands, when the last one of its installation in the journal is of an
/// earlier change. `told`: the host's events, in any order.
pub(super) fn untold<'a>(
    record: &Record,
    told: impl IntoIterator<Item = &'a Event>,
    now: Timestamp,
) -> Option<Event> {
    let changed = last_change(record)?;
    let last = told
        .into_iter()
        .filter(|event| is_change(event.kind))
        .map(|event| event.at)
        .max();
    if last.is_some_and(|last| last >= changed) {
        return None;
    }
    let kind = kind_of(record);
    let mut event = Event::new(now.max(changed), kind, Reason::Done)
        .host(record.host.clone())
        .mac(record.macs.first().copied())
        .ip(record.ip);
    event.detail = Some(format!(
        "{} since {changed}; told only now, after a restart",
        record.state
    ));
    event.install = Some(Box::new(standing(record)));
    Some(event)
}

/// When the record last changed in a way that is told.
fn last_change(record: &Record) -> Option<Timestamp> {
    record.changed_at.max(record.up_at)
}

/// Whether such an event tells a change of state, an attempt, or `up`.
const fn is_change(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::InstallWaiting
            | Kind::InstallArmed
            | Kind::InstallBooting
            | Kind::InstallStarted
            | Kind::InstallInstalled
            | Kind::InstallUp
            | Kind::InstallFailed
            | Kind::InstallStalled
            | Kind::InstallLapsed
            | Kind::InstallCancelled
    )
}

fn kind_of(record: &Record) -> Kind {
    if record.up_at.is_some() && record.up_at >= record.changed_at {
        return Kind::InstallUp;
    }
    match record.state {
        InstallState::Waiting => Kind::InstallWaiting,
        InstallState::Armed => Kind::InstallArmed,
        InstallState::Booting => Kind::InstallBooting,
        InstallState::Installing => Kind::InstallStarted,
        InstallState::Installed => Kind::InstallInstalled,
        InstallState::Failed => Kind::InstallFailed,
        InstallState::Local => {
            let lapsed = |until| record.changed_at > Some(until);
            if record.armed_until.is_some_and(lapsed) {
                Kind::InstallLapsed
            } else {
                Kind::InstallCancelled
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_790_000_000 + secs)
    }

    fn record(state: InstallState, changed: i64) -> Record {
        Record {
            state,
            changed_at: Some(at(changed)),
            attempt: 2,
            ..Record::new("web01".parse().unwrap())
        }
    }

    fn told(kind: Kind, secs: i64) -> Event {
        Event::new(at(secs), kind, Reason::Reported)
    }

    #[test]
    fn a_change_without_its_event_is_told_and_only_that() {
        let installed = record(InstallState::Installed, 100);
        let earlier = [
            told(Kind::InstallStarted, 50),
            told(Kind::InstallProgress, 100),
        ];
        let event = untold(&installed, &earlier, at(500)).unwrap();
        assert_eq!((event.kind, event.at), (Kind::InstallInstalled, at(500)));
        assert_eq!(event.install.as_ref().unwrap().attempt, 2);
        assert!(event.detail.as_ref().unwrap().contains("after a restart"));
        // Told: by its own event, or by this one.
        let whole = [
            told(Kind::InstallStarted, 50),
            told(Kind::InstallInstalled, 100),
        ];
        assert_eq!(untold(&installed, &whole, at(500)), None);
        assert_eq!(untold(&installed, [&earlier[0], &event], at(900)), None);
        // Nothing ever happened to it.
        assert_eq!(
            untold(&Record::new("web02".parse().unwrap()), &[], at(1)),
            None
        );
    }

    #[test]
    fn each_state_has_its_event() {
        use InstallState::{Armed, Booting, Failed, Installed, Installing, Local, Waiting};
        for (state, kind) in [
            (Waiting, Kind::InstallWaiting),
            (Armed, Kind::InstallArmed),
            (Booting, Kind::InstallBooting),
            (Installing, Kind::InstallStarted),
            (Installed, Kind::InstallInstalled),
            (Failed, Kind::InstallFailed),
            (Local, Kind::InstallCancelled),
        ] {
            let event = untold(&record(state, 100), &[], at(200)).unwrap();
            assert_eq!(event.kind, kind);
            assert!(is_change(event.kind));
        }
        let mut up = record(Installed, 100);
        up.up_at = Some(at(130));
        let installed = [told(Kind::InstallInstalled, 100)];
        assert_eq!(
            untold(&up, &installed, at(200)).unwrap().kind,
            Kind::InstallUp
        );
        let mut lapsed = record(Local, 100);
        lapsed.armed_until = Some(at(99));
        assert_eq!(
            untold(&lapsed, &[], at(200)).unwrap().kind,
            Kind::InstallLapsed
        );
    }

    #[test]
    fn only_what_came_near_the_end_of_the_journal_can_be_missing() {
        let installed = record(InstallState::Installed, 100);
        assert!(may_be_untold(&installed, at(99)));
        assert!(may_be_untold(&installed, at(150)));
        // Its event may long have been dropped for want of room.
        assert!(!may_be_untold(&installed, at(161)));
    }
}
