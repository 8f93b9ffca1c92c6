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
