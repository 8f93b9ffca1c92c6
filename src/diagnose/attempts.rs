//! Events → boot attempts: which steps a machine took at each boot, and when.
//!
//! A boot begins with a DHCP packet of firmware, or of an iPXE that no firmware packet came before (iPXE
//! in ROM), or with a script where another server gives the addresses. What follows belongs to it until
//! the next beginning: firmware that asks again after it was given its loader, iPXE that asks again after
//! it was given its script, either one after a long silence, or another kind of firmware (a UEFI machine
//! that gave up on PXE tries HTTP Boot).
//!
//! **Invariant:** steps are in the order of their time, each kind at most once in an attempt.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::steps::{self, Expected, Progress, Sent, Stage, StepKind, is_preview, is_script};
use crate::base::{BootLoader, HardwareAddr, HostName, Timestamp};
use crate::journal::event::{Event, Kind, Reason};

/// Silence after which firmware or iPXE that asks again is another boot: longer than the longest pause
/// between two tries of one boot (EDK2 waits 4, 8, 16 and 32 s; STP takes 30 to 50 s).
const SILENCE: Duration = Duration::from_secs(120);

/// Remarks kept for one attempt: the first ones tell most.
const REMARKS: usize = 12;

/// A step that was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which.
    pub step: StepKind,
    /// When.
    pub at: Timestamp,
    /// Milliseconds since the attempt began.
    pub after_ms: u64,
    /// What happened, in words.
    pub what: String,
}

/// Something on the way that went otherwise than it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// When.
    pub at: Timestamp,
    /// Milliseconds since the attempt began.
    pub after_ms: u64,
    /// What kind of event it was.
    pub kind: Kind,
    /// Its reason.
    pub reason: Reason,
    /// What happened, in words.
    pub what: String,
}

/// One boot of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The first event.
    pub began: Timestamp,
    /// The last event.
    pub ended: Timestamp,
    /// The firmware, as events name it; `None` when it was not seen.
    pub firmware: Option<String>,
    /// The boot loader that was named to the firmware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loader: Option<String>,
    /// Where it was sent.
    pub sent: Sent,
    /// The steps, in the order of their time.
    pub steps: Vec<Step>,
    /// What went otherwise than it should.
    pub remarks: Vec<Remark>,
    /// Offers made to the firmware, or to iPXE in its place.
    pub offers: u32,
    /// Whether an offer went both as a frame and by broadcast, because earlier ones were not answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub both_ways: bool,
    /// Complete fetches of the boot loader.
    pub loader_fetches: u32,
    /// Whether the last thing that came was a request of an operating system.
    pub system_seen: bool,
}

impl Attempt {
    fn new(at: Timestamp) -> Self {
        Self {
            began: at,
            ended: at,
            firmware: None,
            loader: None,
            sent: Sent::Undecided,
            steps: Vec::new(),
            remarks: Vec::new(),
            offers: 0,
            both_ways: false,
            loader_fetches: 0,
            system_seen: false,
        }
    }

    /// Which boot loader it was to be: the one that was named, else the expected one.
    pub fn boot_loader(&self, expected: &Expected) -> BootLoader {
        let named = self.loader.as_deref().map(BootLoader::of_file);
        named.unwrap_or_else(|| expected.boot_loader())
    }

    /// Whether a step was reached.
    pub fn has(&self, step: StepKind) -> bool {
        self.step(step).is_some()
    }

    /// A step that was reached.
    pub fn step(&self, step: StepKind) -> Option<&Step> {
        self.steps.iter().find(|reached| reached.step == step)
    }

    /// The furthest step that was reached.
    pub fn furthest(&self) -> Option<StepKind> {
        self.steps.iter().map(|step| step.step).max()
    }

    /// Whether any remark has this reason.
    pub fn remarked(&self, reason: Reason) -> Option<&Remark> {
        self.remarks.iter().find(|remark| remark.reason == reason)
    }

    /// Whether this is UEFI of any kind.
    pub fn is_uefi(&self) -> bool {
        self.firmware
            .as_deref()
            .is_some_and(|firmware| firmware.starts_with("uefi") || firmware == "httpboot")
    }

    fn reach(&mut self, step: StepKind, at: Timestamp, what: String) {
        if !self.has(step) {
            self.steps.push(Step {
                step,
                at,
                after_ms: millis(at.since(self.began)),
                what,
            });
        }
    }

    fn remark(&mut self, event: &Event) {
        let told = self.remarks.iter().map(|remark| remark.what.as_str());
        let Some(what) = steps::remark(event, told) else {
            return;
        };
        if self.remarks.len() < REMARKS {
            self.remarks.push(Remark {
                at: event.at,
                after_ms: millis(event.at.since(self.began)),
                kind: event.kind,
                reason: event.reason,
                what,
            });
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whether an event is about this host.
pub fn is_about(event: &Event, host: &HostName, macs: &[HardwareAddr]) -> bool {
    match &event.host {
        Some(own) => own == host,
        None => event.mac.is_some_and(|mac| macs.contains(&mac)),
    }
}

/// Groups the events of one host (oldest first) into its boots, oldest first. `expected` is what a boot
/// of its installer loads, as far as it is known.
pub fn attempts<'a>(
    events: impl IntoIterator<Item = &'a Event>,
    expected: &Expected,
) -> Vec<Attempt> {
    let mut grouping = Grouping {
        done: Vec::new(),
        progress: Progress::new(expected.clone()),
        expected,
    };
    for event in events {
        grouping.take(event);
    }
    grouping.done
}

#[derive(Debug)]
struct Grouping<'a> {
    done: Vec<Attempt>,
    /// The attempt under way.
    progress: Progress,
    expected: &'a Expected,
}

impl Grouping<'_> {
    fn take(&mut self, event: &Event) {
        if self.begins(event) {
            self.done.push(Attempt::new(event.at));
            self.progress = Progress::new(self.expected.clone());
        }
        let Some(attempt) = self.done.last_mut() else {
            return;
        };
        let seen = self.progress.read(event);
        attempt.sent = self.progress.sent();
        if let (None, Some(named)) = (&attempt.loader, self.progress.named()) {
            attempt.loader = Some(named.to_owned());
        }
        if is_dhcp(event) {
            match Stage::of(event) {
                Stage::Firmware(firmware) => {
                    attempt.ended = event.at;
                    attempt.firmware.get_or_insert_with(|| firmware.to_owned());
                }
                Stage::Ipxe => attempt.ended = event.at,
                Stage::System => attempt.system_seen |= event.kind == Kind::DhcpAck,
            }
        }
        if seen.is_remark {
            attempt.remark(event);
        }
        attempt.both_ways |= event.kind == Kind::DhcpOffer && steps::both_ways(event).is_some();
        // An iPXE in ROM has no firmware before it that was offered the address.
        let in_rom = attempt.firmware.is_none() && Stage::of(event) == Stage::Ipxe;
        if event.kind == Kind::DhcpOffer && in_rom {
            attempt.offers += 1;
        }
        let Some((step, what)) = seen.step else {
            return;
        };
        match step {
            StepKind::FirmwareOffer => attempt.offers += 1,
            StepKind::Loader => attempt.loader_fetches += 1,
            // A system that renews its lease says nothing about the boot, and lasts for years.
            StepKind::InstallerAddress if attempt.has(step) => return,
            _ => {}
        }
        attempt.ended = event.at;
        attempt.reach(step, event.at, what);
    }

    /// Whether an event is the first one of another boot.
    fn begins(&self, event: &Event) -> bool {
        let last = self.done.last();
        let is_silent = last.is_none_or(|attempt| event.at.since(attempt.ended) >= SILENCE);
        if is_script(event) {
            // Where no other event begins it, another server gives the addresses.
            // The script for any machine is anybody's; the machine's own script tells.
            return is_silent && !is_preview(event) && event.reason != Reason::ChainScript;
        }
        if !is_dhcp(event) {
            return false;
        }
        let furthest = last.and_then(Attempt::furthest);
        match Stage::of(event) {
            Stage::Firmware(firmware) => {
                is_silent
                    || furthest >= Some(StepKind::Loader)
                    || last.is_some_and(|attempt| {
                        attempt.system_seen
                            || match &attempt.firmware {
                                Some(had) => had != firmware,
                                None => furthest.is_some(),
                            }
                    })
            }
            Stage::Ipxe => is_silent || furthest >= Some(StepKind::Script),
            Stage::System => false,
        }
    }
}

const fn is_dhcp(event: &Event) -> bool {
    matches!(
        event.kind,
        Kind::DhcpOffer | Kind::DhcpAck | Kind::DhcpNak | Kind::DhcpIgnored | Kind::DhcpFailed
    )
}

#[cfg(test)]
pub(crate) mod tests;
