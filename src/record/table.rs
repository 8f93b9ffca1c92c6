//! The table of the installation's life (design section 4): which input moves which state where.
//!
//! **Invariant:** total and deterministic: every input has an outcome in every state, and the same
//! record, input, policy and time give the same outcome. Nothing here arms a host but
//! [`Input::Install`], and [`Input::Released`] one that an earlier `Install` made wait.
//!
//! Time is judged first, whatever the input: a record whose arming has lapsed or whose installation
//! has fallen silent is taken for what it has become. A report of the end that comes late is thereby
//! still made good (`failed` → `installed`), and a script asked for late is not.
//!
//! A clock that was set back neither ends an arming or an installation nor lets it live on until the
//! clock has caught up, nor a token longer than it is due: what lies in the future is taken to have happened now.

use std::time::Duration;

use super::state::{
    Armament, Input, InstallState, Policy, Record, Refusal, ReportKind, Step, Transition, reached,
};
use crate::base::{AfterEvent, HardwareAddr, Lifecycle, ProfileName, Timestamp};
use crate::journal::event::{Kind, Reason};

#[cfg(test)]
mod tests;

/// Characters of a message that are kept; installers print whole screens.
const MAX_MESSAGE: usize = 2_000;

/// Signs of life closer together than this are not written down one by one: an installer fetches
/// dozens of boot files in a row, and each note is a write to the disk.
const NOTE_EVERY: Duration = Duration::from_secs(5);

/// Advances a record.
///
/// When only the passing of time changes it (the input itself has no effect), the change is that of
/// time. Callers that want each change told by an event of its own step with [`Input::Look`] first.
pub fn step(record: &Record, input: &Input, policy: Policy, now: Timestamp) -> Step {
    let judged = judge(record, policy, now);
    let current = judged.as_ref().map_or(record, |judged| &judged.next);
    let outcome = match input {
        Input::Look => Step::Same(Reason::NoChange),
        Input::Install { with, force, by } => install(current, with, *force, by, now),
        Input::Cancel { force, by } => cancel(current, *force, by, now),
        Input::Local { force, by } => local(current, *force, by, now),
        Input::Script { further_boot } => script(current, *further_boot, policy, now),
        Input::Asset { kernel } => asset(current, *kernel, policy, now),
        Input::Answer => answer(current, now),
        Input::Secret { name } => secret(current, name, now),
        Input::Released => released(current, now),
        Input::Report {
            kind,
            message,
            percent,
        } => report(current, *kind, message.as_deref(), *percent, policy, now),
        Input::Reload { macs, ip, profile } => reload(current, macs, *ip, profile.as_ref(), now),
    };
    match (outcome, judged) {
        (Step::Same(_), Some(judged)) => Step::Change(judged),
        (outcome, _) => outcome,
    }
}

/// The last thing that was heard of an installation under way.
fn last_sign(record: &Record) -> Option<Timestamp> {
    [record.script_at, record.started_at, record.seen_at]
        .into_iter()
        .flatten()
        .max()
}

/// What the passing of time makes of a record; `None`: nothing.
fn judge(record: &Record, policy: Policy, now: Timestamp) -> Option<Box<Transition>> {
    if let Some(next) = set_back(record, now) {
        return Some(Box::new(Transition { next, event: None }));
    }
    match record.state {
        InstallState::Armed => {
            let until = record.armed_until?;
            if now <= until {
                return None;
            }
            let mut next = disarmed(record, now);
            next.message = Some(format!("armed until {until}, and no machine came"));
            Some(told(next, Kind::InstallLapsed, Reason::Lapsed))
        }
        // A live system may be silent for as long as it runs; its arming ends it.
        InstallState::Booting | InstallState::Installing if policy.lifecycle == Lifecycle::Live => {
            let until = record.armed_until?;
            if now <= until {
                return None;
            }
            let mut next = disarmed(record, now);
            next.message = Some(format!("armed until {until}"));
            Some(told(next, Kind::InstallLapsed, Reason::Lapsed))
        }
        InstallState::Booting | InstallState::Installing => {
            if now.since(last_sign(record)?) < policy.stalled_after {
                return None;
            }
            let silence = format!("no sign of life for {}", span(policy.stalled_after));
            let next = failed(record, with_last(silence, record), now);
            Some(told(next, Kind::InstallStalled, Reason::Stalled))
        }
        InstallState::Local
        | InstallState::Waiting
        | InstallState::Installed
        | InstallState::Failed => None,
    }
}

/// A record whose times lie in the future, brought to a clock that was set back. An arming keeps the time
/// that it was given.
fn set_back(record: &Record, now: Timestamp) -> Option<Record> {
    let ahead = |at: Option<Timestamp>| at.filter(|at| *at > now);
    match record.state {
        InstallState::Armed => {
            let by = ahead(record.armed_at)?.since(now);
            Some(Record {
                armed_at: Some(now),
                armed_until: record.armed_until.map(|until| until.minus(by)),
                ..record.clone()
            })
        }
        InstallState::Booting | InstallState::Installing => {
            ahead(last_sign(record))?;
            let bring = |at: Option<Timestamp>| at.map(|at| at.min(now));
            Some(Record {
                script_at: bring(record.script_at),
                kernel_at: bring(record.kernel_at),
                started_at: bring(record.started_at),
                seen_at: bring(record.seen_at),
                ..record.clone()
            })
        }
        // The token's last days are counted from here.
        InstallState::Installed | InstallState::Failed => {
            ahead(record.installed_at.max(record.failed_at))?;
            let bring = |at: Option<Timestamp>| at.map(|at| at.min(now));
            Some(Record {
                installed_at: bring(record.installed_at),
                failed_at: bring(record.failed_at),
                ..record.clone()
            })
        }
        InstallState::Local | InstallState::Waiting => None,
    }
}

fn install(record: &Record, with: &Armament, force: bool, by: &str, now: Timestamp) -> Step {
    if under_way(record.state) && !force {
        return refuse_under_way(record);
    }
    let next = Record {
        state: InstallState::Waiting,
        profile: Some(with.profile.clone()),
        file_profile: with.file_profile.clone(),
        macs: with.macs.clone(),
        ip: with.ip,
        token: Some(with.token.clone()),
        after: with.after.clone(),
        armed_for: Some(with.armed_for),
        by: Some(by.to_owned()),
        changed_at: Some(now),
        ..Record::new(record.host.clone())
    };
    if with.after.is_some() {
        change(next, Kind::InstallWaiting, Reason::Operator)
    } else {
        change(armed(next, now), Kind::InstallArmed, Reason::Operator)
    }
}

fn armed(record: Record, now: Timestamp) -> Record {
    Record {
        state: InstallState::Armed,
        armed_at: Some(now),
        armed_until: record.armed_for.map(|time| now.plus(time)),
        changed_at: Some(now),
        ..record
    }
}

fn released(record: &Record, now: Timestamp) -> Step {
    if record.state != InstallState::Waiting {
        return Step::Same(Reason::NoChange);
    }
    change(
        armed(record.clone(), now),
        Kind::InstallArmed,
        Reason::AfterCame,
    )
}

fn secret(record: &Record, name: &str, now: Timestamp) -> Step {
    if !record.state.boots_installer() {
        return Step::Same(Reason::NoChange);
    }
    if record.secrets.iter().any(|given| given == name) {
        return Step::Same(Reason::SecretGiven);
    }
    let mut next = record.clone();
    next.secrets.push(name.to_owned());
    next.seen_at = Some(now);
    change(next, Kind::SecretServed, Reason::Done)
}

fn cancel(record: &Record, force: bool, by: &str, now: Timestamp) -> Step {
    match record.state {
        InstallState::Waiting | InstallState::Armed => {}
        InstallState::Booting | InstallState::Installing => {
            if record.kernel_at.is_some() && !force {
                return refuse_under_way(record);
            }
        }
        InstallState::Local | InstallState::Installed | InstallState::Failed => {
            return Step::Refused(Refusal::NothingToCancel {
                host: record.host.clone(),
                state: record.state,
            });
        }
    }
    taken_back(record, by, now)
}

fn local(record: &Record, force: bool, by: &str, now: Timestamp) -> Step {
    match record.state {
        InstallState::Local => Step::Same(Reason::NoChange),
        InstallState::Booting | InstallState::Installing
            if record.kernel_at.is_some() && !force =>
        {
            refuse_under_way(record)
        }
        _ => taken_back(record, by, now),
    }
}

fn taken_back(record: &Record, by: &str, now: Timestamp) -> Step {
    let mut next = disarmed(record, now);
    next.by = Some(by.to_owned());
    change(next, Kind::InstallCancelled, Reason::Operator)
}

fn script(record: &Record, further_boot: bool, policy: Policy, now: Timestamp) -> Step {
    match record.state {
        InstallState::Armed => {
            let next = Record {
                state: InstallState::Booting,
                attempt: 1,
                secrets: Vec::new(),
                script_at: Some(now),
                changed_at: Some(now),
                ..record.clone()
            };
            change(next, Kind::InstallBooting, Reason::ScriptServed)
        }
        InstallState::Booting | InstallState::Installing => {
            if !further_boot {
                return Step::Same(Reason::SameBoot);
            }
            if policy.lifecycle == Lifecycle::Once && !policy.kernel_is_known {
                return once_served(record, "its one boot is over", now);
            }
            let bounded = policy.lifecycle != Lifecycle::Live;
            if bounded && record.attempt >= policy.max_attempts {
                let used = format!(
                    "{} of {} attempts used, and the installer was asked for once more",
                    record.attempt, policy.max_attempts
                );
                let next = failed(record, with_last(used, record), now);
                return change(next, Kind::InstallFailed, Reason::AttemptsUsed);
            }
            let next = Record {
                attempt: record.attempt.saturating_add(1),
                script_at: Some(now),
                kernel_at: None,
                percent: None,
                secrets: Vec::new(),
                changed_at: Some(now),
                ..record.clone()
            };
            change(next, Kind::InstallBooting, Reason::FurtherBoot)
        }
        InstallState::Local
        | InstallState::Waiting
        | InstallState::Installed
        | InstallState::Failed => Step::Same(Reason::NoChange),
    }
}

fn asset(record: &Record, kernel: bool, policy: Policy, now: Timestamp) -> Step {
    if !under_way(record.state) {
        return Step::Same(Reason::NoChange);
    }
    if kernel && policy.lifecycle == Lifecycle::Once {
        return once_served(record, "its kernel was sent", now);
    }
    let first_kernel = kernel && record.kernel_at.is_none();
    // Never so coarse that what is not noted could make an installation look silent.
    let coarse = NOTE_EVERY.min(policy.stalled_after / 8);
    let lately = last_sign(record).is_some_and(|at| now.since(at) < coarse);
    if lately && !first_kernel {
        return Step::Same(Reason::SignOfLife);
    }
    let next = Record {
        seen_at: Some(now),
        kernel_at: if first_kernel {
            Some(now)
        } else {
            record.kernel_at
        },
        ..record.clone()
    };
    noted(next)
}

/// A tool has had its boot: the next one is from the disk.
fn once_served(record: &Record, what: &str, now: Timestamp) -> Step {
    let mut next = disarmed(record, now);
    next.kernel_at = Some(now);
    next.message = Some(what.to_owned());
    change(next, Kind::InstallLapsed, Reason::OnceServed)
}

fn answer(record: &Record, now: Timestamp) -> Step {
    match record.state {
        InstallState::Booting => {
            let next = begun(record, now);
            change(next, Kind::InstallStarted, Reason::AnswerServed)
        }
        // An installer may ask for each answer many times; each note is a write to the disk.
        InstallState::Installing if was_seen_just_now(record, now) => Step::Same(Reason::NoChange),
        InstallState::Installing => noted(Record {
            seen_at: Some(now),
            ..running(record, now)
        }),
        _ => Step::Same(Reason::NoChange),
    }
}

/// How long a sign of life stands for those that follow it at once.
const ONE_SIGN: Duration = Duration::from_secs(1);

fn was_seen_just_now(record: &Record, now: Timestamp) -> bool {
    let just_now = |at| now >= at && now.since(at) < ONE_SIGN;
    record.kernel_at.is_some() && record.seen_at.is_some_and(just_now)
}

/// An installer that asks or begins runs: its kernel has come, also where it was seen to come from nowhere, as
/// from another server.
fn running(record: &Record, now: Timestamp) -> Record {
    Record {
        kernel_at: record.kernel_at.or(Some(now)),
        ..record.clone()
    }
}

fn report(
    record: &Record,
    kind: ReportKind,
    message: Option<&str>,
    percent: Option<u8>,
    policy: Policy,
    now: Timestamp,
) -> Step {
    let live = policy.lifecycle == Lifecycle::Live;
    // What every report that is taken leaves behind.
    let heard = |record: &Record| Record {
        seen_at: Some(now),
        message: message.and_then(tidy).or_else(|| record.message.clone()),
        percent: percent.map(|p| p.min(100)).or(record.percent),
        ..record.clone()
    };
    match (kind, record.state) {
        (ReportKind::Started, InstallState::Booting) => {
            let next = begun(&heard(record), now);
            change(next, Kind::InstallStarted, Reason::Reported)
        }
        // It moves no state, but it is a sign of life.
        (ReportKind::Started, InstallState::Installing) => {
            let next = running(&heard(record), now);
            change(next, Kind::ReportIgnored, Reason::SignOfLife)
        }
        (ReportKind::Progress, InstallState::Booting | InstallState::Installing) => {
            change(heard(record), Kind::InstallProgress, Reason::Reported)
        }
        // A live system goes on being served: nothing was written that could be booted instead.
        (ReportKind::Up, InstallState::Booting | InstallState::Installing) if live => {
            let mut next = heard(record);
            next.up_at = Some(now);
            change(next, Kind::InstallUp, Reason::Live)
        }
        (ReportKind::Installed, InstallState::Booting | InstallState::Installing) if live => {
            Step::Same(Reason::Live)
        }
        (
            ReportKind::Installed,
            InstallState::Booting | InstallState::Installing | InstallState::Failed,
        ) => change(
            finished(record, heard(record).message, now),
            Kind::InstallInstalled,
            Reason::Reported,
        ),
        (
            ReportKind::Up,
            InstallState::Booting | InstallState::Installing | InstallState::Failed,
        ) => {
            let mut next = finished(record, heard(record).message, now);
            next.up_at = Some(now);
            change(next, Kind::InstallUp, Reason::Reported)
        }
        (ReportKind::Up, InstallState::Installed) if record.up_at.is_none() => {
            let mut next = heard(record);
            next.up_at = Some(now);
            change(next, Kind::InstallUp, Reason::Reported)
        }
        (ReportKind::Failed, InstallState::Installing) => {
            let why = message
                .and_then(tidy)
                .unwrap_or_else(|| "the installer reported a failure".to_owned());
            let next = Record {
                seen_at: Some(now),
                ..failed(record, why, now)
            };
            change(next, Kind::InstallFailed, Reason::Reported)
        }
        (ReportKind::Failed, InstallState::Booting) => {
            change(heard(record), Kind::InstallNote, Reason::FailedWhileBooting)
        }
        _ => Step::Same(Reason::NoChange),
    }
}

fn reload(
    record: &Record,
    macs: &[HardwareAddr],
    ip: Option<std::net::Ipv4Addr>,
    profile: Option<&ProfileName>,
    now: Timestamp,
) -> Step {
    if is_gone(macs, ip) {
        return gone(record, now);
    }
    if !matches!(record.state, InstallState::Armed | InstallState::Waiting) {
        return Step::Same(Reason::NoChange);
    }
    let Some(what) = misfit(record, macs, ip, profile) else {
        return Step::Same(Reason::NoChange);
    };
    let mut next = disarmed(record, now);
    next.message = Some(format!(
        "{what}; `bootwright install {}` arms it again",
        record.host
    ));
    change(next, Kind::InstallCancelled, Reason::NoLongerFits)
}

/// Whether any event that another host can wait for has come in the last arming.
pub fn has_come_to_something(record: &Record) -> bool {
    AfterEvent::ALL
        .into_iter()
        .any(|event| reached(record, event))
}

/// Whether the reservations have nothing of a host. One without an address has a hardware address: another
/// server gives it its address.
fn is_gone(macs: &[HardwareAddr], ip: Option<std::net::Ipv4Addr>) -> bool {
    ip.is_none() && macs.is_empty()
}

/// The host is gone from the reservations: should it come back, nothing of before counts.
fn gone(record: &Record, now: Timestamp) -> Step {
    let kind = match record.state {
        // What it has come to under an earlier arming, which another host may wait for.
        InstallState::Local if has_come_to_something(record) => {
            return noted(Record {
                macs: record.macs.clone(),
                changed_at: record.changed_at,
                ..Record::new(record.host.clone())
            });
        }
        InstallState::Local => return Step::Same(Reason::NoChange),
        InstallState::Installed | InstallState::Failed => Kind::InstallNote,
        _ => Kind::InstallCancelled,
    };
    let next = Record {
        macs: record.macs.clone(),
        message: misfit(record, &[], None, None),
        changed_at: Some(now),
        ..Record::new(record.host.clone())
    };
    change(next, kind, Reason::NoLongerFits)
}

/// What of an arming the configuration no longer has, as a sentence; `None`: all of it is there. An
/// `ip` of `None` means that the host is gone.
pub fn misfit(
    record: &Record,
    macs: &[HardwareAddr],
    ip: Option<std::net::Ipv4Addr>,
    profile: Option<&ProfileName>,
) -> Option<String> {
    if is_gone(macs, ip) {
        return Some("the host is gone from the reservations".to_owned());
    }
    if !record.macs.iter().any(|mac| macs.contains(mac)) {
        let was: Vec<String> = record.macs.iter().map(ToString::to_string).collect();
        return Some(format!(
            "none of the hardware addresses it was armed for is left ({})",
            was.join(", ")
        ));
    }
    if record.ip != ip {
        let or_none = |ip: Option<std::net::Ipv4Addr>| {
            ip.map_or_else(|| "none".to_owned(), |ip| ip.to_string())
        };
        return Some(format!(
            "its address changed from {} to {}",
            or_none(record.ip),
            or_none(ip)
        ));
    }
    if record.file_profile.as_ref() != profile {
        let name = |profile: Option<&ProfileName>| {
            profile.map_or_else(|| "none".to_owned(), ToString::to_string)
        };
        return Some(format!(
            "its profile changed from {} to {}",
            name(record.file_profile.as_ref()),
            name(profile)
        ));
    }
    None
}

const fn under_way(state: InstallState) -> bool {
    matches!(state, InstallState::Booting | InstallState::Installing)
}

fn refuse_under_way(record: &Record) -> Step {
    Step::Refused(Refusal::UnderWay {
        host: record.host.clone(),
        state: record.state,
        attempt: record.attempt,
        message: record.message.clone(),
    })
}

/// Back to `local`: the token opens nothing any more.
fn disarmed(record: &Record, now: Timestamp) -> Record {
    Record {
        state: InstallState::Local,
        token: None,
        after: None,
        message: None,
        percent: None,
        secrets: Vec::new(),
        changed_at: Some(now),
        ..record.clone()
    }
}

fn begun(record: &Record, now: Timestamp) -> Record {
    Record {
        state: InstallState::Installing,
        started_at: Some(now),
        seen_at: Some(now),
        changed_at: Some(now),
        ..running(record, now)
    }
}

fn failed(record: &Record, message: String, now: Timestamp) -> Record {
    Record {
        state: InstallState::Failed,
        failed_at: Some(now),
        message: Some(message),
        changed_at: Some(now),
        ..record.clone()
    }
}

fn finished(record: &Record, message: Option<String>, now: Timestamp) -> Record {
    Record {
        state: InstallState::Installed,
        installed_at: Some(now),
        failed_at: None,
        seen_at: Some(now),
        percent: None,
        // What had gone wrong before is no longer so.
        message: if record.state == InstallState::Failed && message == record.message {
            None
        } else {
            message
        },
        changed_at: Some(now),
        ..record.clone()
    }
}

fn told(next: Record, kind: Kind, reason: Reason) -> Box<Transition> {
    Box::new(Transition {
        next,
        event: Some((kind, reason)),
    })
}

fn change(next: Record, kind: Kind, reason: Reason) -> Step {
    Step::Change(told(next, kind, reason))
}

fn noted(next: Record) -> Step {
    Step::Change(Box::new(Transition { next, event: None }))
}

fn with_last(text: String, record: &Record) -> String {
    match &record.message {
        Some(message) => format!("{text}; last message: {message}"),
        None => text,
    }
}

/// A message as it is kept: without control characters but for line ends, and bounded.
fn tidy(message: &str) -> Option<String> {
    let text: String = message
        .trim()
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .take(MAX_MESSAGE)
        .collect();
    (!text.is_empty()).then_some(text)
}

/// A length of time for people.
fn span(duration: Duration) -> String {
    let secs = duration.as_secs();
    match secs {
        0 => format!("{} ms", duration.as_millis()),
        _ if secs.is_multiple_of(3_600) => format!("{} h", secs / 3_600),
        _ if secs.is_multiple_of(60) => format!("{} min", secs / 60),
        _ => format!("{secs} s"),
    }
}

/// The particulars of a change, for its event.
pub fn describe(before: &Record, transition: &Transition, policy: Policy) -> Option<String> {
    let (kind, reason) = transition.event?;
    let next = &transition.next;
    let attempt = || format!("attempt {} of {}", next.attempt, policy.max_attempts);
    let by = || next.by.as_deref().unwrap_or("somebody");
    let said = || {
        next.message
            .as_ref()
            .map_or_else(String::new, |message| format!(": {message}"))
    };
    let text = match kind {
        Kind::InstallWaiting => {
            let profile = next.profile.as_ref().map_or("", ProfileName::as_str);
            let after = next.after.as_ref().map(ToString::to_string);
            let after = after.as_deref().unwrap_or("nothing");
            format!("with {profile} after {after}, asked for by {}", by())
        }
        Kind::InstallArmed if reason == Reason::AfterCame => {
            let after = next.after.as_ref().map(ToString::to_string);
            let until = next
                .armed_until
                .map_or_else(String::new, |until| format!("; armed until {until}"));
            format!("{}{until}", after.as_deref().unwrap_or("it"))
        }
        Kind::SecretServed => {
            let name = next.secrets.last().map_or("", String::as_str);
            format!("{name}, {}", attempt())
        }
        Kind::InstallUp if reason == Reason::Live => "the live system has started".to_owned(),
        Kind::InstallArmed => {
            let profile = next.profile.as_ref().map_or("", ProfileName::as_str);
            let until = next
                .armed_until
                .map_or_else(String::new, |until| format!(" until {until}"));
            let before = if under_way(before.state) {
                format!("; it was {} (attempt {})", before.state, before.attempt)
            } else {
                String::new()
            };
            format!("armed with {profile} by {}{until}{before}", by())
        }
        Kind::InstallProgress => {
            let percent = next
                .percent
                .map_or_else(String::new, |percent| format!(", {percent} %"));
            format!("{}{percent}{}", attempt(), said())
        }
        Kind::InstallInstalled | Kind::InstallUp if before.state == InstallState::Failed => {
            format!("{}; it had been taken for failed", attempt())
        }
        Kind::InstallBooting | Kind::InstallStarted | Kind::InstallInstalled => attempt(),
        Kind::InstallUp if before.state == InstallState::Installed => {
            "the installed system has started".to_owned()
        }
        Kind::InstallUp => format!(
            "{}; the report of the installation's end had not come",
            attempt()
        ),
        Kind::InstallFailed if reason == Reason::AttemptsUsed => {
            next.message.clone().unwrap_or_else(attempt)
        }
        Kind::InstallNote if reason == Reason::NoLongerFits => next.message.clone()?,
        Kind::InstallFailed | Kind::InstallStalled | Kind::InstallNote => {
            format!("{}{}", attempt(), said())
        }
        // Says what no longer fits, or until when it was armed.
        _ if matches!(
            reason,
            Reason::Lapsed | Reason::NoLongerFits | Reason::OnceServed
        ) =>
        {
            next.message.clone()?
        }
        Kind::InstallCancelled => format!("was {}; by {}", before.state, by()),
        Kind::ReportIgnored => format!("`started` in {}{}", attempt(), said()),
        _ => return None,
    };
    Some(text)
}
