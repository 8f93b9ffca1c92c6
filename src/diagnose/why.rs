//! `bootwright why HOST`: where a machine stands, its last boot step by step, the step that did not come,
//! and the likely causes.

use serde::{Deserialize, Serialize};

use super::attempts::{Attempt, attempts, is_about};
use super::causes::{self, Cause};
use super::foreign;
use super::loops;
use super::steps::{Expected, Sent, StepKind};
use crate::base::{HardwareAddr, HostName, Timestamp};
use crate::config::snapshot::InstallPolicy;
use crate::journal::event::{Event, Kind, Reason};
use crate::record::{InstallState, Policy, Record};

/// Whom it is about, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The host.
    pub host: &'a HostName,
    /// Its hardware addresses as the file has them.
    pub macs: &'a [HardwareAddr],
    /// What is remembered of it, judged at the present time; `None`: nothing.
    pub record: Option<&'a Record>,
    /// The limits it is judged by.
    pub policy: Policy,
    /// Whether the file has it installed when asked for, never, or its live system at every boot.
    pub install: InstallPolicy,
    /// Where the host stands that it waits for; `None`: no reservation has it, or it waits for none.
    pub awaited: Option<InstallState>,
    /// What a boot of its installer is expected to be.
    pub expected: &'a Expected,
    /// Whether it is switched off: nothing is under way, whatever came a moment ago.
    pub is_off: bool,
}

/// The step that did not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Which.
    pub step: StepKind,
    /// In words.
    pub what: String,
    /// It may still come: the machine was heard of a moment ago.
    pub under_way: bool,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The host.
    pub host: HostName,
    /// When it was made.
    pub at: Timestamp,
    /// Where it stands.
    pub state: InstallState,
    /// The same in one sentence.
    pub standing: String,
    /// The last boot that was seen; `None`: none.
    pub boot: Option<Attempt>,
    /// How many boots the journal knows.
    pub boots_seen: usize,
    /// The last step that was reached, in words.
    pub last_step: Option<String>,
    /// The step that did not come; `None` when nothing is missing.
    pub missing: Option<Missing>,
    /// What it comes to, in one sentence.
    pub verdict: String,
    /// Likely causes, the likeliest first.
    pub causes: Vec<Cause>,
}

/// How long a step may take before it counts as missing, in seconds.
const fn patience(step: StepKind) -> u64 {
    match step {
        // EDK2 asks again after 4, 8, 16 and 32 s.
        StepKind::FirmwareOffer | StepKind::FirmwareAddress => 40,
        // A ROM fetches at once, at 512 bytes a block on a slow link.
        StepKind::Loader | StepKind::Grub | StepKind::Kernel | StepKind::Initrd => 60,
        // Spanning tree takes up to 50 s, iPXE with IPv6 waits 13 s.
        StepKind::IpxeAddress | StepKind::Script => 70,
        StepKind::InstallerAddress | StepKind::Answers => 180,
        StepKind::Started | StepKind::Installed | StepKind::Up => 1_200,
    }
}

/// Explains. `events` holds the host's own events, `others` those of machines nobody reserved and of the
/// server itself; both oldest first, and what does not belong there does no harm.
pub fn diagnose(
    subject: &Subject<'_>,
    events: &[Event],
    others: &[Event],
    now: Timestamp,
) -> Diagnosis {
    let own: Vec<Event> = events
        .iter()
        .filter(|event| is_about(event, subject.host, subject.macs))
        .cloned()
        .collect();
    let mut boots = attempts(&own, subject.expected);
    let boots_seen = boots.len();
    let state = subject
        .record
        .map_or(InstallState::Local, |record| record.state);
    let armed_at = subject
        .record
        .filter(|_| state == InstallState::Armed)
        .and_then(|record| record.armed_at);
    let boot = boots.pop();
    // Boots from before the arming explain nothing about it.
    let current = boot
        .as_ref()
        .filter(|boot| armed_at.is_none_or(|armed| boot.ended >= armed));
    let mut diagnosis = Diagnosis {
        host: subject.host.clone(),
        at: now,
        state,
        standing: standing(subject, state, now),
        boot: boot.clone(),
        boots_seen,
        last_step: boot
            .as_ref()
            .and_then(Attempt::furthest)
            .map(|step| step.describe().to_owned()),
        missing: None,
        verdict: String::new(),
        causes: Vec::new(),
    };
    let Some(boot) = current else {
        diagnosis.verdict = match (&diagnosis.boot, state) {
            (Some(_), _) => "no network boot of it was seen since it was armed".to_owned(),
            (None, InstallState::Local) if subject.install != InstallPolicy::Always => {
                "no network boot of it was ever seen, and none is needed: nothing is asked for"
                    .to_owned()
            }
            (None, _) => "no network boot of it was ever seen".to_owned(),
        };
        diagnosis.causes = causes::of_waiting(subject).into_iter().collect();
        let mut unseen = causes::nothing_seen(subject, &own, others, armed_at, now);
        foreign::put_first(&mut unseen, &own, others, (None, None), armed_at, now);
        diagnosis.causes.extend(unseen);
        return diagnosis;
    };
    if let Sent::Disk(reason) = boot.sent {
        let verdict = match reason {
            Reason::DiskLocal | Reason::DiskInstalled | Reason::DiskWaiting => {
                "nothing is missing: it was sent to its disk"
            }
            _ => "it was sent to its disk and not to its installer",
        };
        verdict.clone_into(&mut diagnosis.verdict);
        diagnosis.causes = causes::of_disk(subject, boot);
        if reason == Reason::DiskFailed {
            diagnosis.add_failed_boot(subject, &boots);
        }
    } else if state == InstallState::Installed || boot.has(StepKind::Installed) {
        "nothing is missing: it is installed".clone_into(&mut diagnosis.verdict);
    } else if let Some(step) = missing(subject, boot) {
        let under_way = !subject.is_off
            && now.since(boot.ended).as_secs() < patience(step)
            && state != InstallState::Failed;
        diagnosis.causes = if under_way {
            causes::so_far(subject, boot)
        } else {
            let mut causes = causes::of_missing(subject, boot, &boots, step);
            let missing = (Some(boot), Some(step));
            foreign::put_first(&mut causes, &own, others, missing, None, now);
            causes
        };
        diagnosis.verdict = match (under_way, diagnosis.causes.is_empty()) {
            (true, true) => format!("it is under way; next comes {}", step.describe()),
            (true, false) => format!(
                "it is under way, but not all went well; next comes {}",
                step.describe()
            ),
            (false, _) => format!("the step that did not come: {}", step.describe()),
        };
        diagnosis.missing = Some(Missing {
            step,
            what: step.describe().to_owned(),
            under_way,
        });
    } else {
        "nothing is missing: it has all that it boots".clone_into(&mut diagnosis.verdict);
        diagnosis.causes = causes::so_far(subject, boot);
    }
    if let Some(broken) = loops::of_loop(subject, boot, &boots)
        && diagnosis
            .causes
            .iter()
            .all(|cause| cause.code != broken.code)
    {
        diagnosis.causes.insert(0, broken);
    }
    diagnosis.causes.extend(causes::slow_link(boot));
    let server = causes::of_server(others, boot);
    diagnosis.causes.splice(0..0, server);
    diagnosis
}

impl Diagnosis {
    /// Adds what failed: the last boot of the installer, which came before the one that was sent to
    /// the disk for it.
    fn add_failed_boot(&mut self, subject: &Subject<'_>, boots: &[Attempt]) {
        let Some(at) = boots.iter().rposition(|boot| boot.sent == Sent::Installer) else {
            return;
        };
        let (before, rest) = boots.split_at(at);
        let Some((boot, step)) = rest
            .first()
            .and_then(|boot| Some((boot, missing(subject, boot)?)))
        else {
            return;
        };
        self.verdict = format!(
            "{}; in its last boot of the installer, the step that did not come: {}",
            self.verdict,
            step.describe()
        );
        self.missing = Some(Missing {
            step,
            what: step.describe().to_owned(),
            under_way: false,
        });
        for cause in causes::of_missing(subject, boot, before, step) {
            if self.causes.iter().all(|had| had.code != cause.code) {
                self.causes.push(cause);
            }
        }
    }
}

/// The first step on the way that was not reached, after the furthest one that was.
fn missing(subject: &Subject<'_>, boot: &Attempt) -> Option<StepKind> {
    let furthest = boot.furthest();
    // Nothing is known of addresses where another server gives them, nor of firmware that is iPXE.
    let script_only = boot.steps.is_empty()
        && boot
            .remarks
            .iter()
            .any(|remark| matches!(remark.kind, Kind::HttpScript | Kind::TftpSent));
    StepKind::ALL.into_iter().find(|step| {
        let is_seen = match step {
            StepKind::FirmwareOffer | StepKind::FirmwareAddress | StepKind::Loader => {
                boot.firmware.is_some()
            }
            StepKind::IpxeAddress => !script_only,
            StepKind::InstallerAddress => {
                boot.firmware.is_some() || boot.has(StepKind::IpxeAddress)
            }
            _ => true,
        };
        is_seen && subject.expected.is_on_the_way(*step) && Some(*step) > furthest
    })
}

/// Where a host stands, in one sentence.
fn standing(subject: &Subject<'_>, state: InstallState, now: Timestamp) -> String {
    let host = subject.host;
    match subject.install {
        InstallPolicy::Never => {
            return format!("{host} is never installed (install = \"never\"): it boots its disk");
        }
        InstallPolicy::Always if !state.boots_installer() => {
            return format!(
                "{host} is served its live system at every boot (install = \"always\"): nothing has to be asked for"
            );
        }
        InstallPolicy::Always | InstallPolicy::Once => {}
    }
    let Some(record) = subject.record else {
        return format!("{host} is local: it was never armed and boots its disk");
    };
    let profile = record
        .profile
        .as_ref()
        .map_or_else(String::new, |profile| format!(" {profile}"));
    let attempt = format!(
        "attempt {} of {}",
        record.attempt, subject.policy.max_attempts
    );
    let said = record
        .message
        .as_ref()
        .map_or_else(String::new, |message| format!(": {message}"));
    let at = |time: Option<Timestamp>| {
        time.map_or_else(String::new, |at| format!(" {}", causes::ago(at, now)))
    };
    match state {
        InstallState::Local => format!(
            "{host} is local: it boots its disk{}",
            match &record.message {
                Some(message) => format!(" ({message})"),
                None => String::new(),
            }
        ),
        InstallState::Waiting => {
            let after = record.after.as_ref().map(ToString::to_string);
            let after = after.as_deref().unwrap_or("another host");
            format!(
                "{host} waits for {after} and is armed with{profile} then; until then it boots its disk"
            )
        }
        InstallState::Armed => format!(
            "{host} is armed with{profile}{}; its boot script was not asked for yet",
            record.armed_until.map_or_else(String::new, |until| {
                format!(" for another {}", causes::span(until.since(now)))
            })
        ),
        InstallState::Booting => {
            format!("{host} is booting its installer,{profile}, {attempt}{said}")
        }
        InstallState::Installing => {
            let percent = record
                .percent
                .map_or_else(String::new, |percent| format!(", {percent} %"));
            format!("{host} is installing{profile}, {attempt}{percent}{said}")
        }
        InstallState::Installed => {
            let up = match record.up_at {
                Some(up) => format!(", its system came up {}", causes::ago(up, now)),
                None => String::new(),
            };
            format!(
                "{host} was installed with{profile}{}{up}; it boots its disk",
                at(record.installed_at)
            )
        }
        InstallState::Failed => format!(
            "{host} failed{} in {attempt}{said}; it boots its disk",
            at(record.failed_at)
        ),
    }
}

#[cfg(test)]
mod tests;
