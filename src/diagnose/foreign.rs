//! Other DHCP servers as a cause: what was overheard of them while the machine booted, and what is known of
//! servers on its network.

use std::time::Duration;

use super::attempts::Attempt;
use super::causes::{Cause, ago};
use super::steps::StepKind;
use crate::base::Timestamp;
use crate::journal::event::{Event, Foreign, Kind, Reason};

/// The other server's offer may be overheard before this server's own is written down.
const BEFORE: Duration = Duration::from_secs(10);

/// A machine that chose another server speaks of it after the last that was seen of its boot here.
const AFTER: Duration = Duration::from_secs(120);

/// For how long it is evidence that a server was on the network.
const LATELY: Duration = Duration::from_secs(86_400);

/// Names of the causes that guess at another server.
const GUESSES: [&str; 3] = [
    "other-dhcp-server",
    "other-boot-server",
    // What the machine itself said, in the words of the reason.
    Reason::OtherServer.code(),
];

/// Steps that do not come when a machine goes by another server's answer.
const fn is_led_astray(missing: StepKind) -> bool {
    matches!(
        missing,
        StepKind::FirmwareOffer
            | StepKind::FirmwareAddress
            | StepKind::Loader
            | StepKind::IpxeAddress
            | StepKind::Script
            | StepKind::InstallerAddress
    )
}

/// Puts first what is known of other servers, in place of guesses. `own` are the host's events, `others`
/// those of nobody; `boot` is the boot that did not come to `missing`, or none was seen since `since`.
pub(super) fn put_first(
    causes: &mut Vec<Cause>,
    own: &[Event],
    others: &[Event],
    (boot, missing): (Option<&Attempt>, Option<StepKind>),
    since: Option<Timestamp>,
    now: Timestamp,
) {
    if !missing.is_none_or(is_led_astray) {
        return;
    }
    let (from, to) = match boot {
        Some(boot) => (Some(boot.began.minus(BEFORE)), boot.ended.plus(AFTER)),
        None => (since, now),
    };
    let seen: Vec<(&Event, &Foreign)> = own
        .iter()
        .filter(|event| event.at <= to && from.is_none_or(|from| event.at >= from))
        .filter_map(overheard)
        .collect();
    let guess = causes
        .iter()
        .position(|cause| GUESSES.contains(&cause.code.as_str()));
    if let Some(found) = of_machine(&seen, now) {
        causes.retain(|cause| !GUESSES.contains(&cause.code.as_str()));
        causes.insert(0, found);
    } else if let Some(guess) = guess {
        let iface = own.iter().rev().find_map(|event| event.iface.as_ref());
        let around: Vec<String> = others
            .iter()
            .rev()
            .filter(|event| event.reason == Reason::ForeignServer)
            .filter(|event| now.since(event.at) < LATELY)
            .filter(|event| iface.is_none() || event.iface.as_ref() == iface)
            .filter_map(overheard)
            .take(3)
            .map(|(event, foreign)| {
                format!(
                    "{foreign} serves this network, heard {}",
                    ago(event.at, now)
                )
            })
            .collect();
        if !around.is_empty() && guess < causes.len() {
            let mut known = causes.remove(guess);
            known.evidence.extend(around);
            causes.insert(0, known);
        }
    }
}

fn overheard(event: &Event) -> Option<(&Event, &Foreign)> {
    let foreign = event.foreign.as_deref()?;
    (event.kind == Kind::DhcpForeign).then_some((event, foreign))
}

fn of_machine(seen: &[(&Event, &Foreign)], now: Timestamp) -> Option<Cause> {
    let strongest = |reasons: &[Reason]| {
        seen.iter()
            .rev()
            .find(|(event, _)| reasons.contains(&event.reason))
    };
    let found = strongest(&[Reason::ForeignChosen])
        .or_else(|| strongest(&[Reason::ForeignNak]))
        .or_else(|| strongest(&[Reason::ForeignOffer, Reason::ForeignBootFile]));
    let (event, foreign) = found?;
    let what = match event.reason {
        Reason::ForeignChosen => {
            format!("the machine took its address from another DHCP server, {foreign}")
        }
        Reason::ForeignNak => {
            format!("another DHCP server, {foreign}, refused the machine its address")
        }
        Reason::ForeignBootFile => {
            format!("another server, {foreign}, tells the machine what to boot")
        }
        _ => format!(
            "another DHCP server, {foreign}, offered the machine an address, and the machine may have taken it"
        ),
    };
    let mut evidence: Vec<String> = Vec::new();
    for (event, _) in seen {
        let said = format!("{}: {}", event.in_words(), ago(event.at, now));
        if evidence.len() < 4 && !evidence.contains(&said) {
            evidence.push(said);
        }
    }
    let remedy = event.reason.remedy().unwrap_or_default();
    Some(Cause {
        code: "other-dhcp-server".to_owned(),
        what,
        evidence,
        remedy: format!("{remedy}; bootwright doctor dhcp looks for it"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::attempts::tests::{at, event, host, mac, whole_boot};
    use super::super::steps::Expected;
    use super::super::why::{Diagnosis, Subject, diagnose};
    use super::*;
    use crate::base::{HardwareAddr, Lifecycle};
    use crate::config::snapshot::InstallPolicy;
    use crate::record::{InstallState, Policy, Record};
    use std::net::Ipv4Addr;

    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 5);

    /// An event of the other server: of web01, or of nobody.
    fn foreign(ms: i64, reason: Reason) -> Event {
        let mut event = event(ms, Kind::DhcpForeign, reason, "", "");
        if reason == Reason::ForeignServer {
            event.host = None;
        }
        event.ip = Some(OTHER);
        event.foreign = Some(Box::new(Foreign {
            ip: OTHER,
            mac: Some(HardwareAddr::ethernet([2, 0, 0, 0, 0, 5])),
            address: Some(Ipv4Addr::new(10, 99, 0, 77)),
            chosen: reason == Reason::ForeignChosen,
        }));
        event
    }

    fn about(state: InstallState, events: &[Event], others: &[Event], now_ms: i64) -> Diagnosis {
        let record = Record {
            state,
            profile: Some("debian-12".parse().unwrap()),
            armed_at: Some(at(-60_000)),
            armed_until: Some(at(86_400_000)),
            ..Record::new(host())
        };
        let subject = Subject {
            host: &host(),
            macs: &[mac()],
            record: Some(&record),
            policy: Policy {
                max_attempts: 3,
                stalled_after: Duration::from_secs(2_700),
                lifecycle: Lifecycle::Install,
                kernel_is_known: true,
            },
            install: InstallPolicy::Once,
            awaited: None,
            expected: &Expected {
                answers: true,
                ..Expected::default()
            },
            is_off: false,
        };
        diagnose(&subject, events, others, at(now_ms))
    }

    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_machine_that_chose_another_server_is_told_with_the_server() {
        // Overheard before the own offer is written down, too.
        let mut events = vec![foreign(-20, Reason::ForeignOffer)];
        events.extend(whole_boot(0).into_iter().take(1));
        let offered = about(InstallState::Armed, &events, &[], HOUR);
        let cause = &offered.causes[0];
        assert_eq!(cause.code, "other-dhcp-server");
        assert!(
            cause.what.contains("10.99.0.5 (02:00:00:00:00:05)"),
            "{}",
            cause.what
        );
        assert!(cause.what.contains("may have taken it"), "{}", cause.what);

        let mut ignored = event(900, Kind::DhcpIgnored, Reason::OtherServer, "bios", "");
        ignored.detail = Some("it chose 10.99.0.5".to_owned());
        events.extend([ignored, foreign(900, Reason::ForeignChosen)]);
        let chosen = about(InstallState::Armed, &events, &[], HOUR);
        let cause = &chosen.causes[0];
        assert!(
            cause.what.starts_with("the machine took its address from"),
            "{}",
            cause.what
        );
        assert_eq!(cause.evidence.len(), 2, "{:?}", cause.evidence);
        assert!(cause.remedy.contains("doctor dhcp"));
        // It says what others only guess.
        let of_others = chosen
            .causes
            .iter()
            .filter(|cause| GUESSES.contains(&cause.code.as_str()));
        assert_eq!(of_others.count(), 1, "{:?}", chosen.causes);
    }

    #[test]
    fn a_machine_of_which_nothing_is_seen_here_may_be_the_other_servers() {
        let seen = about(
            InstallState::Armed,
            &[foreign(0, Reason::ForeignChosen)],
            &[],
            HOUR,
        );
        assert_eq!(seen.causes[0].code, "other-dhcp-server");
        // From before it was armed: of no meaning.
        let old = foreign(-HOUR, Reason::ForeignChosen);
        let seen = about(InstallState::Armed, &[old], &[], HOUR);
        assert!(
            seen.causes
                .iter()
                .all(|cause| cause.code != "other-dhcp-server")
        );
    }

    #[test]
    fn a_server_known_on_the_network_makes_the_guess_the_first() {
        let events: Vec<Event> = whole_boot(0).into_iter().take(1).collect();
        let alone = about(InstallState::Armed, &events, &[], HOUR);
        assert_ne!(alone.causes[0].code, "other-dhcp-server");
        let known = foreign(-HOUR, Reason::ForeignServer);
        let told = about(InstallState::Armed, &events, &[known], HOUR);
        assert_eq!(told.causes[0].code, "other-dhcp-server");
        let evidence = &told.causes[0].evidence;
        assert!(
            evidence[0].ends_with("serves this network, heard 2 h ago"),
            "{evidence:?}"
        );
        assert_eq!(told.causes.len(), alone.causes.len());
        // A day later it may be gone.
        let old = foreign(-24 * HOUR, Reason::ForeignServer);
        assert_eq!(
            about(InstallState::Armed, &events, &[old], HOUR).causes,
            alone.causes
        );
    }

    #[test]
    fn what_came_far_enough_was_not_led_astray() {
        let mut events = vec![foreign(100, Reason::ForeignOffer)];
        events.extend(whole_boot(0).into_iter().take(11));
        let told = about(InstallState::Booting, &events, &[], HOUR);
        assert!(
            told.causes
                .iter()
                .all(|cause| cause.code != "other-dhcp-server"),
            "{:?}",
            told.causes
        );
    }
}
