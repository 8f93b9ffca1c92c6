//! Events → the lines of a rehearsal: how far the machine came, and which step did not come.
//!
//! What an event shows of a boot is read by [`crate::diagnose::steps`]; what is a rehearsal's own is here:
//! its milestones, the way it is expected to take, the disk's sign on the console, and whether a host that
//! is installed was given its installer.
//!
//! **Invariant:** pure. Steps are told once each, in the order in which they happened.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::base::{HardwareAddr, HostName, Timestamp};
use crate::diagnose::attempts::is_about;
use crate::diagnose::steps::{self, Progress, Sent};
use crate::diagnose::{self, StepKind};
use crate::journal::event::{Event, Kind, Reason};

/// How far a rehearsal is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Milestone {
    /// The boot script was served.
    Script,
    /// The kernel was fetched.
    Kernel,
    /// The installer has fetched its answers.
    Answers,
    /// The disk was booted: the milestone of a host that is installed.
    Disk,
}

impl Milestone {
    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Kernel => "kernel",
            Self::Answers => "answers",
            Self::Disk => "disk",
        }
    }

    /// The step that reaches it.
    const fn step(self) -> Step {
        match self {
            Self::Script => Step::Boot(StepKind::Script),
            Self::Kernel => Step::Boot(StepKind::Kernel),
            Self::Answers => Step::Boot(StepKind::Answers),
            Self::Disk => Step::Disk,
        }
    }
}

/// One step of a rehearsal, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A step that the journal tells.
    Boot(StepKind),
    /// The disk was booted: the console tells.
    Disk,
}

impl Step {
    /// The step as a noun, for the message that names the one that did not come.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Boot(step) => step.describe(),
            Self::Disk => "the machine booting its disk",
        }
    }
}

impl Serialize for Step {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Boot(step) => step.serialize(serializer),
            Self::Disk => serializer.serialize_str("disk"),
        }
    }
}

/// A line to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The time since the machine was switched on.
    #[serde(rename = "ms", serialize_with = "millis")]
    pub after: Duration,
    /// The step that was reached; `None` for a remark on the way.
    pub step: Option<Step>,
    /// What happened.
    pub text: String,
}

/// A file that the machine has fetched whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// The time since the machine was switched on.
    #[serde(rename = "ms", serialize_with = "millis")]
    pub after: Duration,
    /// How: by TFTP, or as a script, boot file or answer by HTTP.
    pub by: Kind,
    /// The file as it was asked for.
    pub file: String,
    /// Its bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

fn millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.step.is_some() { "" } else { "! " };
        write!(f, "{:6.1}s  {mark}{}", self.after.as_secs_f64(), self.text)
    }
}

/// What the boot of one host is expected to be.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The host.
    pub host: HostName,
    /// The address of its card.
    pub mac: HardwareAddr,
    /// The boot of its installer.
    pub boot: diagnose::Expected,
    /// Whether the host is installed, so that it has to boot its disk.
    pub installed: bool,
    /// Whether the disk is reached by way of a boot loader and its script (UEFI), or at once (BIOS).
    pub disk_by_script: bool,
}

/// The boot as far as it came.
#[derive(Debug)]
pub struct Story {
    expected: Expected,
    power_on: Timestamp,
    progress: Progress,
    lines: Vec<Line>,
    offered_installer: bool,
}

impl Story {
    /// Nothing has happened yet.
    pub fn new(expected: Expected, power_on: Timestamp) -> Self {
        Self {
            progress: Progress::new(expected.boot.clone()),
            expected,
            power_on,
            lines: Vec::new(),
            offered_installer: false,
        }
    }

    /// All lines so far.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Whether a step was reached.
    pub fn has(&self, step: Step) -> bool {
        self.lines.iter().any(|line| line.step == Some(step))
    }

    /// The last step that was reached.
    pub fn last(&self) -> Option<Step> {
        self.lines.iter().filter_map(|line| line.step).max()
    }

    /// Whether a host that is installed was given its installer: the worst that can happen.
    pub fn offered_installer(&self) -> bool {
        self.expected.installed && self.offered_installer
    }

    /// Whether the milestone is reached.
    pub fn reached(&self, milestone: Milestone) -> bool {
        self.has(milestone.step())
    }

    /// The first step on the way that was not reached, given the last one that was.
    pub fn missing(&self) -> Option<Step> {
        let last = self.last();
        self.way().into_iter().find(|step| Some(*step) > last)
    }

    /// The steps that this boot is expected to take.
    fn way(&self) -> Vec<Step> {
        let Expected {
            boot,
            installed,
            disk_by_script,
            ..
        } = &self.expected;
        let end = match (installed, disk_by_script) {
            (true, true) => StepKind::Script,
            (true, false) => StepKind::FirmwareAddress,
            (false, _) if boot.answers => StepKind::Answers,
            (false, _) => StepKind::Initrd,
        };
        StepKind::ALL
            .into_iter()
            .filter(|step| *step <= end && boot.is_on_the_way(*step))
            .map(Step::Boot)
            .chain(installed.then_some(Step::Disk))
            .collect()
    }

    /// Takes in that the disk's sign is on the console.
    pub fn console_shows_disk(&mut self, at: Timestamp) -> Option<Line> {
        self.step(at, Step::Disk, "the disk was booted".to_owned())
    }

    /// Takes in an event; gives the lines that it is worth.
    pub fn take(&mut self, event: &Event) -> Vec<Line> {
        let Expected { host, mac, .. } = &self.expected;
        if event.at < self.power_on {
            // Arming the host is no part of the boot.
            return Vec::new();
        }
        if !is_about(event, host, &[*mac]) {
            let trouble = (event.kind == Kind::ServerTrouble).then(|| self.remark(event));
            return trouble.flatten().into_iter().collect();
        }
        let seen = self.progress.read(event);
        let sent = self.progress.sent();
        let step = seen.step.and_then(|(step, what)| {
            self.offered_installer |= match step {
                StepKind::Script => sent == Sent::Installer,
                StepKind::Kernel | StepKind::Answers => true,
                _ => false,
            };
            if step == StepKind::Script && sent != Sent::Installer && !self.expected.installed {
                return self.aside(event.at, what);
            }
            self.step(event.at, Step::Boot(step), what)
        });
        let remark = seen.is_remark.then(|| self.remark(event)).flatten();
        step.into_iter().chain(remark).collect()
    }

    /// The file that an event tells this machine to have fetched whole.
    pub fn fetched(&self, event: &Event) -> Option<Fetched> {
        let Expected { host, mac, .. } = &self.expected;
        let is_file = matches!(
            event.kind,
            Kind::TftpSent | Kind::HttpScript | Kind::HttpAsset | Kind::HttpAnswer
        );
        // Only the length was asked for, or the transfer broke off.
        let is_whole =
            !matches!(event.reason, Reason::Aborted | Reason::Incomplete) && event.bytes != Some(0);
        if !is_file || !is_whole || event.at < self.power_on || !is_about(event, host, &[*mac]) {
            return None;
        }
        Some(Fetched {
            after: event.at.since(self.power_on),
            by: event.kind,
            file: event.file.clone().unwrap_or_default(),
            bytes: event.bytes,
        })
    }

    fn remark(&mut self, event: &Event) -> Option<Line> {
        let told = self.lines.iter().filter(|line| line.step.is_none());
        let text = steps::remark(event, told.map(|line| line.text.as_str()))?;
        Some(self.line(event.at, None, text))
    }

    /// What is no step of this rehearsal; told once.
    fn aside(&mut self, at: Timestamp, text: String) -> Option<Line> {
        let is_told = self.lines.iter().any(|line| line.text == text);
        (!is_told).then(|| self.line(at, None, text))
    }

    fn step(&mut self, at: Timestamp, step: Step, text: String) -> Option<Line> {
        (!self.has(step)).then(|| self.line(at, Some(step), text))
    }

    fn line(&mut self, at: Timestamp, step: Option<Step>, text: String) -> Line {
        let line = Line {
            after: at.since(self.power_on),
            step,
            text,
        };
        self.lines.push(line.clone());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::Loads;
    use crate::render::AssetRef;
    use StepKind::*;

    const MAC: &str = "52:54:00:47:86:8e";

    fn expected() -> Expected {
        Expected {
            host: "web01".parse().unwrap(),
            mac: MAC.parse().unwrap(),
            boot: diagnose::Expected {
                loader: Some("ipxe/undionly.kpxe".into()),
                loads: Loads::Linux {
                    kernel: AssetRef::Path("debian/12/x86_64/linux".into()),
                    initrd: vec![AssetRef::Path("debian/12/x86_64/initrd.gz".into())],
                },
                answers: true,
                lifecycle: crate::base::Lifecycle::Install,
                shim: false,
            },
            installed: false,
            disk_by_script: false,
        }
    }

    fn story() -> Story {
        Story::new(expected(), Timestamp::from_secs(100))
    }

    fn event(at: i64, kind: Kind, reason: Reason, stage: &str, file: &str) -> Event {
        let mut event = Event::new(Timestamp::from_secs(at), kind, reason)
            .mac(MAC.parse::<HardwareAddr>().unwrap())
            .ip("10.99.0.11".parse::<std::net::Ipv4Addr>().unwrap());
        event.stage = (!stage.is_empty()).then(|| stage.into());
        event.file = (!file.is_empty()).then(|| file.to_owned());
        event
    }

    fn one(lines: &[Line]) -> String {
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].to_string()
    }

    /// A BIOS boot up to the answers, as the journal tells it.
    fn whole() -> Vec<Event> {
        vec![
            event(
                103,
                Kind::DhcpOffer,
                Reason::Loader,
                "bios",
                "ipxe/undionly.kpxe",
            ),
            event(
                106,
                Kind::DhcpAck,
                Reason::Loader,
                "bios",
                "ipxe/undionly.kpxe",
            ),
            event(
                107,
                Kind::TftpSent,
                Reason::Aborted,
                "",
                "ipxe/undionly.kpxe",
            ),
            event(107, Kind::TftpSent, Reason::Done, "", "ipxe/undionly.kpxe"),
            event(109, Kind::DhcpOffer, Reason::Script, "ipxe", ""),
            event(
                112,
                Kind::DhcpAck,
                Reason::Script,
                "ipxe",
                "http://10.99.0.2/boot/x",
            ),
            event(
                113,
                Kind::HttpScript,
                Reason::Installer,
                "",
                "/boot/x/boot.ipxe",
            ),
            event(
                114,
                Kind::HttpAsset,
                Reason::Done,
                "",
                "/assets/debian/12/x86_64/linux",
            ),
            event(
                115,
                Kind::HttpAsset,
                Reason::Done,
                "",
                "/assets/debian/12/x86_64/initrd.gz",
            ),
            event(140, Kind::DhcpAck, Reason::NetworkOnly, "os", ""),
            event(
                150,
                Kind::HttpAnswer,
                Reason::Done,
                "",
                "/answers/abcd…/preseed.cfg",
            ),
            event(151, Kind::InstallStarted, Reason::Reported, "", ""),
        ]
    }

    #[test]
    fn what_is_fetched_whole_is_listed() {
        let story = story();
        let fetched: Vec<_> = whole()
            .iter()
            .filter_map(|event| story.fetched(event))
            .collect();
        let told: Vec<_> = fetched
            .iter()
            .map(|file| (file.after.as_secs(), file.by, file.file.as_str()))
            .collect();
        // Not the probe of its size, nor DHCP and reports.
        assert_eq!(
            told,
            [
                (7, Kind::TftpSent, "ipxe/undionly.kpxe"),
                (13, Kind::HttpScript, "/boot/x/boot.ipxe"),
                (14, Kind::HttpAsset, "/assets/debian/12/x86_64/linux"),
                (15, Kind::HttpAsset, "/assets/debian/12/x86_64/initrd.gz"),
                (50, Kind::HttpAnswer, "/answers/abcd…/preseed.cfg"),
            ]
        );
        let mut other = event(115, Kind::HttpAsset, Reason::Done, "", "/assets/x");
        other.host = Some("web02".parse().unwrap());
        assert_eq!(story.fetched(&other), None);
    }

    #[test]
    fn a_whole_boot_is_told_step_by_step() {
        let mut story = story();
        let lines: Vec<String> = whole()
            .iter()
            .flat_map(|event| story.take(event))
            .map(|line| line.to_string())
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @"
         3.0s  address 10.99.0.11 offered to the firmware (BIOS)
         6.0s  the firmware has taken 10.99.0.11, boot file ipxe/undionly.kpxe
         7.0s  boot loader undionly.kpxe sent
        12.0s  iPXE has its address 10.99.0.11
        13.0s  boot script with the installer served
        14.0s  kernel sent
        15.0s  initial RAM disk sent
        40.0s  the installer has its address 10.99.0.11
        50.0s  answers sent: preseed.cfg
        51.0s  the installer has begun
        ");
        assert!(story.reached(Milestone::Answers));
        assert_eq!(story.missing(), None);
        assert!(!story.offered_installer());
    }

    #[test]
    fn the_step_that_did_not_come_is_named() {
        let boot = whole();
        for (events, last, missing) in [
            (0, None, FirmwareOffer),
            (1, Some(FirmwareOffer), FirmwareAddress),
            (3, Some(FirmwareAddress), Loader),
            (4, Some(Loader), IpxeAddress),
            (6, Some(IpxeAddress), Script),
            (7, Some(Script), Kernel),
            (8, Some(Kernel), Initrd),
            (9, Some(Initrd), InstallerAddress),
            (10, Some(InstallerAddress), Answers),
        ] {
            let mut story = story();
            for event in boot.iter().take(events) {
                story.take(event);
            }
            assert_eq!(story.last(), last.map(Step::Boot));
            assert_eq!(story.missing(), Some(Step::Boot(missing)));
        }
    }

    #[test]
    fn what_goes_wrong_is_remarked_but_not_what_goes_so_at_every_boot() {
        let mut story = story();
        let refused = event(
            105,
            Kind::TftpFailed,
            Reason::NotFound,
            "",
            "ipxe/undionly.kpxe",
        );
        assert!(one(&story.take(&refused)).contains("! tftp.failed"));
        assert_eq!(story.take(&refused), [], "told once");
        let tried = event(105, Kind::TftpFailed, Reason::NotFound, "", "autoexec.ipxe");
        assert_eq!(story.take(&tried), []);
        let probe = event(
            105,
            Kind::TftpSent,
            Reason::Aborted,
            "",
            "ipxe/undionly.kpxe",
        );
        assert_eq!(story.take(&probe), []);
        assert_eq!(story.last(), None);
    }

    #[test]
    fn other_machines_are_not_in_the_story() {
        let mut story = story();
        let mut other = event(103, Kind::DhcpOffer, Reason::Loader, "bios", "");
        other.mac = Some("52:54:00:00:00:01".parse().unwrap());
        assert_eq!(story.take(&other), []);
    }

    #[test]
    fn an_installed_host_boots_its_disk() {
        let mut story = Story::new(
            Expected {
                installed: true,
                ..expected()
            },
            Timestamp::from_secs(100),
        );
        story.take(&event(
            103,
            Kind::DhcpOffer,
            Reason::DiskInstalled,
            "bios",
            "",
        ));
        assert_eq!(story.missing(), Some(Step::Boot(FirmwareAddress)));
        let line = one(&story.take(&event(
            103,
            Kind::DhcpAck,
            Reason::DiskInstalled,
            "bios",
            "",
        )));
        assert!(line.ends_with("no boot file"), "{line}");
        assert_eq!(story.missing(), Some(Step::Disk));
        assert!(
            story
                .console_shows_disk(Timestamp::from_secs(110))
                .is_some()
        );
        assert!(story.reached(Milestone::Disk) && !story.offered_installer());
    }

    #[test]
    fn an_installed_host_that_gets_its_installer_is_seen() {
        for (index, event) in whole().iter().enumerate() {
            let mut story = Story::new(
                Expected {
                    installed: true,
                    disk_by_script: true,
                    ..expected()
                },
                Timestamp::from_secs(100),
            );
            story.take(event);
            assert_eq!(story.offered_installer(), [6, 7, 10].contains(&index));
        }
    }

    #[test]
    fn a_script_for_the_disk_is_no_step_of_an_installation() {
        let mut story = story();
        let disk = event(
            113,
            Kind::HttpScript,
            Reason::DiskFailed,
            "",
            "/boot/x/boot.ipxe",
        );
        assert!(one(&story.take(&disk)).contains("! boot script for the disk"));
        assert!(!story.reached(Milestone::Script));
    }

    #[test]
    fn what_was_done_before_it_is_switched_on_is_no_part_of_it() {
        let mut story = story();
        assert_eq!(
            story.take(&event(99, Kind::InstallInstalled, Reason::Reported, "", "")),
            []
        );
    }

    #[test]
    fn a_machine_without_a_loader_is_told_why() {
        let mut story = story();
        let none = |at, kind| {
            event(at, kind, Reason::NoLoader, "bios", "").detail("ipxe/undionly.kpxe is not there")
        };
        let lines = story.take(&none(103, Kind::DhcpOffer));
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].text.ends_with("(BIOS), no boot file"), "{lines:?}");
        assert!(lines[1].text.contains("is not there"), "{lines:?}");
        assert_eq!(story.take(&none(104, Kind::DhcpAck)).len(), 1, "told once");
    }
}
