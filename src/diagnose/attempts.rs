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

use crate::base::{HardwareAddr, HostName, Timestamp};
use crate::journal::event::{Event, Kind, Reason};

/// Silence after which firmware or iPXE that asks again is another boot: longer than the longest pause
/// between two tries of one boot (EDK2 waits 4, 8, 16 and 32 s; STP takes 30 to 50 s).
const SILENCE: Duration = Duration::from_secs(120);

/// Remarks kept for one attempt: the first ones tell most.
const REMARKS: usize = 12;

/// A step of a boot, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// The firmware asked and was offered its address.
    FirmwareOffer,
    /// The firmware has taken its address.
    FirmwareAddress,
    /// The boot loader was fetched.
    Loader,
    /// iPXE has its address.
    IpxeAddress,
    /// The boot script was served.
    Script,
    /// The kernel was fetched.
    Kernel,
    /// An initial RAM disk was fetched.
    Initrd,
    /// The installer has its address.
    InstallerAddress,
    /// The installer has fetched answers.
    Answers,
    /// The installer has reported that it has begun.
    Started,
    /// The installer has reported its end.
    Installed,
    /// The installed system has reported that it is up.
    Up,
}

impl StepKind {
    /// All of them, in order.
    pub const ALL: [Self; 12] = [
        Self::FirmwareOffer,
        Self::FirmwareAddress,
        Self::Loader,
        Self::IpxeAddress,
        Self::Script,
        Self::Kernel,
        Self::Initrd,
        Self::InstallerAddress,
        Self::Answers,
        Self::Started,
        Self::Installed,
        Self::Up,
    ];

    /// The step as a noun: `the last step was …`, `… did not come`.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::FirmwareOffer => "the firmware asking for an address",
            Self::FirmwareAddress => "the firmware taking its address",
            Self::Loader => "the firmware fetching its boot loader",
            Self::IpxeAddress => "iPXE taking its address",
            Self::Script => "iPXE fetching its boot script",
            Self::Kernel => "iPXE fetching the kernel",
            Self::Initrd => "iPXE fetching the initial RAM disk",
            Self::InstallerAddress => "the installer taking its address",
            Self::Answers => "the installer fetching its answers",
            Self::Started => "the installer reporting that it has begun",
            Self::Installed => "the installer reporting its end",
            Self::Up => "the installed system reporting that it is up",
        }
    }
}

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

/// Where a boot was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "to", content = "reason")]
pub enum Sent {
    /// Nothing was decided yet.
    Undecided,
    /// To the installer.
    Installer,
    /// To the disk, for this reason.
    Disk(Reason),
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
    /// Where it was sent.
    pub sent: Sent,
    /// The steps, in the order of their time.
    pub steps: Vec<Step>,
    /// What went otherwise than it should.
    pub remarks: Vec<Remark>,
    /// Offers made to the firmware, or to iPXE in its place.
    pub offers: u32,
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
            sent: Sent::Undecided,
            steps: Vec::new(),
            remarks: Vec::new(),
            offers: 0,
            loader_fetches: 0,
            system_seen: false,
        }
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
        // An offer and the acknowledgement after it tell the same.
        let words = event.in_words();
        let what = format!("{}: {words}", event.kind);
        if self.remarks.len() < REMARKS
            && !self.remarks.iter().any(|had| had.what.ends_with(&words))
        {
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

/// Groups the events of one host (oldest first) into its boots, oldest first.
pub fn attempts<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Attempt> {
    let mut grouping = Grouping::default();
    for event in events {
        grouping.take(event);
    }
    grouping.done
}

/// How far a machine is, as an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage<'a> {
    Firmware(&'a str),
    Ipxe,
    System,
}

fn stage(event: &Event) -> Stage<'_> {
    match event.stage.as_deref() {
        Some("ipxe") => Stage::Ipxe,
        Some("os") | None => Stage::System,
        Some(firmware) => Stage::Firmware(firmware),
    }
}

#[derive(Debug, Default)]
struct Grouping {
    done: Vec<Attempt>,
    /// The boot file named to the firmware in the attempt under way.
    loader: Option<String>,
}

impl Grouping {
    fn take(&mut self, event: &Event) {
        match event.kind {
            Kind::DhcpOffer
            | Kind::DhcpAck
            | Kind::DhcpNak
            | Kind::DhcpIgnored
            | Kind::DhcpFailed => self.dhcp(event),
            Kind::TftpSent | Kind::HttpScript if is_script(event) => self.script(event),
            Kind::TftpSent | Kind::HttpAsset => self.file(event),
            Kind::HttpAnswer => {
                if event.bytes != Some(0) {
                    let name = base_name(event);
                    self.reach(event, StepKind::Answers, format!("{name} fetched"));
                }
            }
            Kind::TftpFailed | Kind::HttpRefused => {
                // Firmware, iPXE and installers try names that need not be there.
                let needed = event.reason != Reason::NotFound || self.is_needed(event);
                if needed && event.reason != Reason::Aborted {
                    self.remark(event);
                }
            }
            Kind::ReportIgnored => {
                if event.reason == Reason::SignOfLife {
                    self.reach(
                        event,
                        StepKind::Started,
                        "the installer has begun".to_owned(),
                    );
                } else if event.reason != Reason::NoChange {
                    self.remark(event);
                }
            }
            Kind::InstallStarted if event.reason == Reason::Reported => {
                self.reach(
                    event,
                    StepKind::Started,
                    "the installer has begun".to_owned(),
                );
            }
            Kind::InstallProgress => {
                let what = event.detail.clone().unwrap_or_default();
                self.reach(
                    event,
                    StepKind::Started,
                    format!("the installer reports: {what}"),
                );
            }
            Kind::InstallInstalled => {
                self.reach(
                    event,
                    StepKind::Installed,
                    "the installer has finished".to_owned(),
                );
            }
            Kind::InstallUp => {
                self.reach(event, StepKind::Up, "the installed system is up".to_owned());
            }
            Kind::InstallFailed | Kind::InstallStalled | Kind::InstallNote => self.remark(event),
            Kind::DhcpMalformed
            | Kind::HttpScript
            | Kind::ReportLog
            | Kind::InstallArmed
            | Kind::InstallBooting
            | Kind::InstallStarted
            | Kind::InstallLapsed
            | Kind::InstallCancelled
            | Kind::HostUnknown
            | Kind::ConfigReloaded
            | Kind::ConfigRejected
            | Kind::ServerStarted
            | Kind::ServerStopped
            | Kind::ServerLinks
            | Kind::ServerTrouble
            | Kind::JournalSummary => {}
        }
    }

    fn dhcp(&mut self, event: &Event) {
        let stage = stage(event);
        if stage != Stage::System && self.begins(event, stage) {
            self.begin(event);
        }
        let Some(attempt) = self.done.last_mut() else {
            return;
        };
        if let Stage::Firmware(firmware) = stage {
            attempt.firmware.get_or_insert_with(|| firmware.to_owned());
            if event.file.is_some() {
                self.loader.clone_from(&event.file);
            }
        }
        // An operating system that renews its lease says nothing about the boot, and lasts for years.
        if stage != Stage::System {
            attempt.ended = event.at;
        }
        if matches!(event.reason, Reason::NoLoader | Reason::UnknownArchitecture) {
            attempt.remark(event);
        }
        if let Some(reason) = disk_reason(event.reason) {
            attempt.sent = Sent::Disk(reason);
        }
        let address = event
            .ip
            .map_or_else(|| "no address".to_owned(), |ip| ip.to_string());
        let boot_file = event.file.as_ref().map_or_else(
            || "no boot file".to_owned(),
            |file| format!("boot file {file}"),
        );
        match (event.kind, stage) {
            (Kind::DhcpOffer, Stage::Firmware(firmware)) => {
                attempt.offers += 1;
                let what = format!("{firmware} was offered {address}, {boot_file}");
                attempt.reach(StepKind::FirmwareOffer, event.at, what);
            }
            (Kind::DhcpAck, Stage::Firmware(firmware)) => {
                let what = format!("{firmware} has taken {address}, {boot_file}");
                attempt.reach(StepKind::FirmwareAddress, event.at, what);
            }
            (Kind::DhcpAck, Stage::Ipxe) => {
                let what = format!("iPXE has taken {address}, {boot_file}");
                attempt.reach(StepKind::IpxeAddress, event.at, what);
            }
            (Kind::DhcpAck, Stage::System) => {
                if attempt.has(StepKind::Script)
                    && attempt.sent == Sent::Installer
                    && !attempt.has(StepKind::InstallerAddress)
                {
                    let what = format!("the installer has taken {address}");
                    attempt.ended = event.at;
                    attempt.reach(StepKind::InstallerAddress, event.at, what);
                }
                attempt.system_seen = true;
            }
            (Kind::DhcpOffer, Stage::Ipxe) if attempt.firmware.is_none() => attempt.offers += 1,
            (Kind::DhcpOffer, _) => {}
            _ => {
                if event.reason != Reason::Released {
                    attempt.remark(event);
                }
            }
        }
    }

    /// Whether a packet of firmware or iPXE is another boot.
    fn begins(&self, event: &Event, stage: Stage<'_>) -> bool {
        let Some(attempt) = self.done.last() else {
            return true;
        };
        if event.at.since(attempt.ended) >= SILENCE {
            return true;
        }
        let furthest = attempt.furthest();
        match stage {
            Stage::Firmware(firmware) => {
                furthest >= Some(StepKind::Loader)
                    || attempt.system_seen
                    || attempt
                        .firmware
                        .as_deref()
                        .is_some_and(|had| had != firmware)
                    || attempt.firmware.is_none() && furthest.is_some()
            }
            Stage::Ipxe => furthest >= Some(StepKind::Script),
            Stage::System => false,
        }
    }

    fn begin(&mut self, event: &Event) {
        self.done.push(Attempt::new(event.at));
        self.loader = None;
    }

    fn script(&mut self, event: &Event) {
        if event
            .detail
            .as_deref()
            .is_some_and(|text| text.contains("preview"))
        {
            return;
        }
        let is_first = self
            .done
            .last()
            .is_none_or(|attempt| event.at.since(attempt.ended) >= SILENCE);
        if is_first {
            if event.reason == Reason::ChainScript {
                // Anybody may have it; the machine's own script tells.
                return;
            }
            // Another server gives the addresses.
            self.begin(event);
        }
        let Some(attempt) = self.done.last_mut() else {
            return;
        };
        attempt.ended = event.at;
        match event.reason {
            Reason::Installer => {
                attempt.sent = Sent::Installer;
                let what = match &event.detail {
                    Some(detail) => format!("script with the installer served ({detail})"),
                    None => "script with the installer served".to_owned(),
                };
                attempt.reach(StepKind::Script, event.at, what);
            }
            reason => {
                if let Some(reason) = disk_reason(reason) {
                    // A further script of an installation under way may turn into one for the disk.
                    attempt.sent = Sent::Disk(reason);
                    let mut what = format!("script served: {}", reason.sentence());
                    if let Some(detail) = &event.detail {
                        what = format!("{what} ({detail})");
                    }
                    attempt.reach(StepKind::Script, event.at, what);
                } else if reason != Reason::ChainScript {
                    attempt.remark(event);
                }
            }
        }
    }

    fn file(&mut self, event: &Event) {
        if event.bytes == Some(0) || event.reason == Reason::Aborted {
            // Only the length was asked for.
            return;
        }
        if event.reason != Reason::Done {
            self.remark(event);
            return;
        }
        let file = event.file.as_deref().unwrap_or_default();
        let is_loader = self.is_loader(file);
        let Some(attempt) = self.done.last_mut() else {
            return;
        };
        let mut what = base_name(event).to_owned();
        if let Some(size) = event.transferred() {
            what = format!("{what}, {size}");
        }
        let kind = if is_loader && !attempt.has(StepKind::Script) {
            attempt.loader_fetches += 1;
            StepKind::Loader
        } else if !attempt.has(StepKind::Script) {
            return;
        } else if is_initrd(file) {
            StepKind::Initrd
        } else if !attempt.has(StepKind::Kernel) {
            StepKind::Kernel
        } else {
            return;
        };
        attempt.ended = event.at;
        attempt.reach(kind, event.at, what);
    }

    fn is_loader(&self, file: &str) -> bool {
        match &self.loader {
            Some(loader) => is_same_file(file, loader),
            None => [".kpxe", ".efi", ".pxe", ".0"]
                .iter()
                .any(|ending| file.ends_with(ending)),
        }
    }

    /// Whether a file that is not there is one that the boot needs.
    fn is_needed(&self, event: &Event) -> bool {
        let file = event.file.as_deref().unwrap_or_default();
        self.loader
            .as_ref()
            .is_some_and(|loader| is_same_file(file, loader))
            || self.done.last().is_some_and(|attempt| {
                attempt.sent == Sent::Installer && event.kind == Kind::HttpRefused
            })
    }

    fn reach(&mut self, event: &Event, step: StepKind, what: String) {
        if let Some(attempt) = self.done.last_mut() {
            attempt.ended = event.at;
            attempt.reach(step, event.at, what);
        }
    }

    fn remark(&mut self, event: &Event) {
        if let Some(attempt) = self.done.last_mut() {
            attempt.remark(event);
        }
    }
}

/// The reasons for which a machine boots its disk.
const fn disk_reason(reason: Reason) -> Option<Reason> {
    match reason {
        Reason::DiskLocal
        | Reason::DiskInstalled
        | Reason::DiskFailed
        | Reason::DiskWaiting
        | Reason::DiskFileMissing
        | Reason::DiskStoreUnavailable
        | Reason::DiskIdentity
        | Reason::DiskArchitecture
        | Reason::DiskProfileGone => Some(reason),
        _ => None,
    }
}

fn is_script(event: &Event) -> bool {
    event.kind == Kind::HttpScript
        || event.file.as_deref().is_some_and(|file| {
            ["boot.ipxe", "autoexec.ipxe"]
                .iter()
                .any(|name| file.ends_with(name))
        })
}

fn is_initrd(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.contains("initr")
        || [".img", ".gz", ".cpio", ".xz"]
            .iter()
            .any(|end| name.ends_with(end))
}

/// Whether a name in an event is this boot file, which may be a URL or a path of another root.
fn is_same_file(shown: &str, file: &str) -> bool {
    let short = |text: &str| {
        let path = text.split_once("://").map_or(text, |(_, rest)| {
            rest.split_once('/').map_or(rest, |(_, path)| path)
        });
        let path = path.trim_start_matches('/');
        path.strip_prefix("assets/").unwrap_or(path).to_owned()
    };
    short(shown) == short(file)
}

fn base_name(event: &Event) -> &str {
    let file = event.file.as_deref().unwrap_or("a file");
    file.rsplit('/')
        .find(|part| !part.is_empty())
        .unwrap_or(file)
}

#[cfg(test)]
pub(crate) mod tests;
