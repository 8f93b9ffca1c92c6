//! The rules: from the step that did not come to its likely causes, the likeliest first, each with what
//! was seen and what tells or mends it.
//!
//! They come from the behaviour of real firmware and from what operators report; where one names a
//! number (seconds, fetches), the number is what was measured there. Those of single steps are in [`missing`], those of a
//! machine of which nothing came in [`nothing`].

mod missing;
mod nothing;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attempts::{Attempt, Remark};
use super::steps::{Sent, StepKind};
use super::why::Subject;
use crate::base::Timestamp;
use crate::config::snapshot::InstallPolicy;
use crate::journal::event::{Event, Kind, Reason};
use crate::record::InstallState;

pub use self::missing::of_missing;
pub use self::nothing::nothing_seen;

/// Pauses of firmware and switches that come from the link, not from a fault further on.
const LINK_RESET_MS: u64 = 25_000;

/// One likely cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// A stable name.
    pub code: String,
    /// What it is.
    pub what: String,
    /// What was seen that speaks for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// What to do, or the command that tells.
    pub remedy: String,
}

fn cause(code: &str, what: impl Into<String>, remedy: impl Into<String>) -> Cause {
    Cause {
        code: code.to_owned(),
        what: what.into(),
        evidence: Vec::new(),
        remedy: remedy.into(),
    }
}

impl Cause {
    fn seen(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }
}

/// What stands behind a reason, in the reason's own words.
pub(super) fn of_reason(subject: &Subject<'_>, reason: Reason, evidence: Option<String>) -> Cause {
    let remedy = match reason {
        // Their usual remedy is to ask here.
        Reason::DiskFailed
        | Reason::AttemptsUsed
        | Reason::Stalled
        | Reason::FailedWhileBooting
        | Reason::Reported => {
            "mend what the message or the machine's console says, then bootwright install HOST"
        }
        Reason::DiskLocal if subject.install == InstallPolicy::Never => {
            "take install = \"never\" out of the reservation or group of HOST to have it installed"
        }
        _ => reason
            .remedy()
            .unwrap_or("bootwright events --host HOST shows what came before"),
    };
    cause(
        reason.code(),
        reason.sentence(),
        remedy.replace("HOST", subject.host.as_str()),
    )
    .seen(evidence)
}

/// What was remarked on the way and has a remedy, in the order of its time.
fn of_remarks(subject: &Subject<'_>, attempt: &Attempt, kinds: &[Kind]) -> Vec<Cause> {
    let mut causes: Vec<Cause> = Vec::new();
    for remark in attempt.remarks.iter().filter(|r| kinds.contains(&r.kind)) {
        let mut found = of_reason(subject, remark.reason, Some(remark.what.clone()));
        if is_reported_failure(remark) {
            "the installer reported a failure".clone_into(&mut found.what);
        }
        if remark.kind == Kind::InstallProgress {
            found = cause(
                "ipxe-error",
                "iPXE could not load the installer, and reported it",
                "the address in its message tells what the error is and what helps",
            )
            .seen([remark.what.clone()]);
        }
        match causes.iter_mut().find(|had| had.code == found.code) {
            Some(had) => had.evidence.extend(found.evidence),
            None => causes.push(found),
        }
    }
    causes
}

fn is_reported_failure(remark: &Remark) -> bool {
    remark.kind == Kind::InstallFailed && remark.reason == Reason::Reported
}

/// What went wrong so far in a boot that is under way: no guesses yet.
pub fn so_far(subject: &Subject<'_>, attempt: &Attempt) -> Vec<Cause> {
    of_remarks(subject, attempt, Kind::ALL)
}

/// `12 s ago`: how long ago something was.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", span(now.since(at)))
}

/// A length of time in its largest unit.
pub(super) fn span(length: Duration) -> String {
    match length.as_secs() {
        secs @ ..120 => format!("{secs} s"),
        secs @ ..7_200 => format!("{} min", secs / 60),
        secs @ ..172_800 => format!("{} h", secs / 3_600),
        secs => format!("{} days", secs / 86_400),
    }
}

/// How the host stands that this one waits for, and what brings it on.
pub fn of_waiting(subject: &Subject<'_>) -> Option<Cause> {
    let record = subject
        .record
        .filter(|record| record.state == InstallState::Waiting)?;
    let (after, host) = (record.after.as_ref()?, subject.host);
    let other = &after.host;
    let (what, remedy) = match subject.awaited {
        None => (
            format!("it waits for {after}, and no reservation has {other}"),
            format!(
                "bootwright install {host} --after OTHER:EVENT, or --after none to wait for nothing"
            ),
        ),
        Some(InstallState::Local | InstallState::Failed | InstallState::Installed) => (
            format!(
                "it waits for {after}, and {other} is {}: nothing is under way that leads there",
                subject.awaited.unwrap_or_default()
            ),
            format!("bootwright install {other}, or bootwright cancel {host}"),
        ),
        Some(state) => (
            format!("it waits for {after}, and {other} is {state}"),
            format!("bootwright why {other} shows how far that one is"),
        ),
    };
    Some(cause(Reason::DiskWaiting.code(), what, remedy))
}

/// Why a machine that was sent to its disk was.
pub fn of_disk(subject: &Subject<'_>, attempt: &Attempt) -> Vec<Cause> {
    match attempt.sent {
        Sent::Disk(reason) => {
            // The particulars of the script, or of the offer where it did not come to one.
            let evidence = attempt
                .step(StepKind::Script)
                .or_else(|| attempt.step(StepKind::FirmwareOffer))
                .map(|step| step.what.clone())
                .filter(|what| {
                    let told = what.split_once(reason.sentence());
                    told.is_some_and(|(_, more)| more.starts_with([',', ' ']))
                });
            let found = of_waiting(subject).filter(|_| reason == Reason::DiskWaiting);
            vec![found.unwrap_or_else(|| of_reason(subject, reason, evidence))]
        }
        Sent::Undecided | Sent::Installer => Vec::new(),
    }
}

/// What of this server's own was in trouble during a boot.
pub fn of_server(others: &[Event], attempt: &Attempt) -> Vec<Cause> {
    let mut causes: Vec<Cause> = Vec::new();
    let during = others.iter().filter(|event| {
        event.kind == Kind::ServerTrouble && event.at >= attempt.began && event.at <= attempt.ended
    });
    for event in during {
        let code = format!("server/{}", event.reason.code());
        if causes.iter().any(|had| had.code == code) {
            continue;
        }
        let remedy = event
            .reason
            .remedy()
            .unwrap_or("bootwright events tells more");
        causes.push(
            cause(
                &code,
                format!("this server was in trouble: {}", event.reason.sentence()),
                remedy,
            )
            .seen(event.detail.clone()),
        );
    }
    causes
}

/// A pause between loader and iPXE that a switch makes, although the boot went on.
pub fn slow_link(attempt: &Attempt) -> Option<Cause> {
    let loader = attempt.step(StepKind::Loader)?;
    let ipxe = attempt.step(StepKind::IpxeAddress)?;
    let pause = ipxe.after_ms.checked_sub(loader.after_ms)?;
    (pause >= LINK_RESET_MS).then(|| {
        cause(
            "slow-link",
            "iPXE waited long for its address: the switch port learns anew when iPXE takes the link",
            "make it an edge port (portfast), or take a loader that keeps the firmware's link",
        )
        .seen([format!("{} s between loader and address", pause / 1_000)])
    })
}
