//! Events → the steps of a boot: how far the machine came, and which step did not come.
//!
//! **Invariant:** pure. Steps are told once each, in the order in which they happened.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::qemu::GuestFirmware;
use crate::base::{HardwareAddr, HostName, Timestamp};
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
}

/// One step of a boot, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The firmware was offered its address.
    Offer,
    /// The firmware has taken its address.
    Address,
    /// The boot loader was sent.
    Loader,
    /// The boot loader has its address.
    IpxeAddress,
    /// The boot script was served.
    Script,
    /// The kernel was sent.
    Kernel,
    /// All initial RAM disks were sent.
    Initrd,
    /// The installer has its address.
    InstallerAddress,
    /// The answer file was sent.
    Answers,
    /// The installer has reported that it has begun.
    Started,
    /// The disk was booted.
    Disk,
}

impl Step {
    /// For the message that names the step that did not come.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Offer => "the firmware's request for an address",
            Self::Address => "the firmware taking its address",
            Self::Loader => "the boot loader being fetched whole",
            Self::IpxeAddress => "iPXE asking for its address",
            Self::Script => "iPXE fetching its boot script",
            Self::Kernel => "the kernel being fetched whole",
            Self::Initrd => "the initial RAM disk being fetched whole",
            Self::InstallerAddress => "the installer asking for its address",
            Self::Answers => "the installer fetching its answers",
            Self::Started => "the installer reporting that it has begun",
            Self::Disk => "the machine booting its disk",
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
    /// Its firmware.
    pub firmware: GuestFirmware,
    /// The boot loader: its path or URL.
    pub loader: Option<String>,
    /// The kernel: its path or URL; `None` when the profile's script decides.
    pub kernel: Option<String>,
    /// The initial RAM disks.
    pub initrd: Vec<String>,
    /// Whether the profile has answers.
    pub answers: bool,
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
    lines: Vec<Line>,
    initrds_left: Vec<String>,
    offered_installer: bool,
}

impl Story {
    /// Nothing has happened yet.
    pub fn new(expected: Expected, power_on: Timestamp) -> Self {
        Self {
            initrds_left: expected.initrd.clone(),
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
        self.has(match milestone {
            Milestone::Script => Step::Script,
            Milestone::Kernel => Step::Kernel,
            Milestone::Answers => Step::Answers,
            Milestone::Disk => Step::Disk,
        })
    }

    /// The first step on the way that was not reached, given the last one that was.
    pub fn missing(&self) -> Option<Step> {
        let last = self.last();
        self.way()
            .into_iter()
            .find(|step| Some(*step) > last && !self.has(*step))
    }

    /// The steps that this boot is expected to take.
    fn way(&self) -> Vec<Step> {
        let expected = &self.expected;
        let mut way = vec![Step::Offer, Step::Address];
        if expected.installed && !expected.disk_by_script {
            way.push(Step::Disk);
            return way;
        }
        way.extend([Step::Loader, Step::IpxeAddress, Step::Script]);
        if expected.installed {
            way.push(Step::Disk);
            return way;
        }
        if expected.kernel.is_some() {
            way.push(Step::Kernel);
        }
        if !expected.initrd.is_empty() {
            way.push(Step::Initrd);
        }
        if expected.answers {
            way.extend([Step::InstallerAddress, Step::Answers]);
        }
        way
    }

    /// Takes in what the console shows: `true` when the disk's sign is on it.
    pub fn console_shows_disk(&mut self, at: Timestamp) -> Option<Line> {
        self.step(at, Step::Disk, "the disk was booted".to_owned())
    }

    /// Takes in an event; gives the line that it is worth, if any.
    pub fn take(&mut self, event: &Event) -> Option<Line> {
        let own = event.mac == Some(self.expected.mac)
            || event.host.as_ref() == Some(&self.expected.host);
        if !own {
            return (event.kind == Kind::ServerTrouble).then(|| self.remark(event));
        }
        let stage = event.stage.as_deref().unwrap_or_default();
        let file = event.file.as_deref().unwrap_or_default();
        match event.kind {
            Kind::DhcpOffer if is_firmware(stage) => {
                let text = format!(
                    "address {} offered to the firmware ({})",
                    address(event),
                    self.expected.firmware.describe()
                );
                self.step(event.at, Step::Offer, text)
            }
            Kind::DhcpAck => match stage {
                "ipxe" => {
                    let text = format!("iPXE has its address {}", address(event));
                    self.step(event.at, Step::IpxeAddress, text)
                }
                // A machine that boots its disk and asks for an address there is past the rehearsal.
                "os" if self.has(Step::Script) => {
                    let text = format!("the installer has its address {}", address(event));
                    self.step(event.at, Step::InstallerAddress, text)
                }
                stage if is_firmware(stage) => {
                    let boot_file = match file {
                        "" => "no boot file".to_owned(),
                        file => format!("boot file {file}"),
                    };
                    let text = format!("the firmware has taken {}: {boot_file}", address(event));
                    self.step(event.at, Step::Address, text)
                }
                _ => None,
            },
            Kind::TftpSent | Kind::HttpAsset | Kind::HttpScript
                if event.reason == Reason::Aborted =>
            {
                // A size probe.
                None
            }
            Kind::HttpScript => self.script(event),
            Kind::TftpSent if file.ends_with("boot.ipxe") => self.script(event),
            Kind::TftpSent | Kind::HttpAsset if event.reason == Reason::Done => {
                self.file(event, file)
            }
            Kind::HttpAnswer if event.reason == Reason::Done => {
                self.offered_installer = true;
                let name = file.rsplit('/').next().unwrap_or(file);
                let text = format!("answers sent: {name}{}", size(event));
                self.step(event.at, Step::Answers, text)
            }
            Kind::InstallStarted => {
                let text = match &event.detail {
                    Some(detail) => format!("the installer has begun: {detail}"),
                    None => "the installer has begun".to_owned(),
                };
                (event.reason == Reason::Reported)
                    .then(|| self.step(event.at, Step::Started, text))
                    .flatten()
            }
            Kind::DhcpNak
            | Kind::DhcpIgnored
            | Kind::DhcpFailed
            | Kind::TftpFailed
            | Kind::TftpSent
            | Kind::HttpAsset
            | Kind::HttpRefused
            | Kind::ReportIgnored
            | Kind::InstallFailed
            | Kind::InstallStalled
            | Kind::InstallNote => self.is_remarkable(event).then(|| self.remark(event)),
            _ => None,
        }
    }

    /// What went otherwise than it should, and not what goes so at every boot.
    fn is_remarkable(&self, event: &Event) -> bool {
        match event.reason {
            Reason::Aborted
            | Reason::OtherServer
            | Reason::Released
            | Reason::SignOfLife
            | Reason::NoChange
            | Reason::SameBoot => false,
            // iPXE and GRUB try names that need not be there.
            Reason::NotFound => event
                .file
                .as_deref()
                .is_some_and(|file| self.is_needed(file)),
            _ => true,
        }
    }

    fn is_needed(&self, file: &str) -> bool {
        let expected = &self.expected;
        expected
            .loader
            .iter()
            .chain(&expected.kernel)
            .chain(&expected.initrd)
            .any(|needed| is_file(file, needed))
    }

    fn script(&mut self, event: &Event) -> Option<Line> {
        match event.reason {
            Reason::ChainScript => None,
            Reason::Installer => {
                self.offered_installer = true;
                self.step(
                    event.at,
                    Step::Script,
                    format!("boot script with the installer served{}", size(event)),
                )
            }
            reason => {
                let why = event.detail.as_deref().unwrap_or_else(|| reason.as_str());
                let text = format!("boot script for the disk served ({why})");
                if self.expected.installed {
                    self.step(event.at, Step::Script, text)
                } else {
                    Some(self.line(event.at, None, text))
                }
            }
        }
    }

    fn file(&mut self, event: &Event, file: &str) -> Option<Line> {
        if event.bytes == Some(0) {
            // The answer to HEAD.
            return None;
        }
        let expected = &self.expected;
        let is = |needed: &Option<String>| needed.as_deref().is_some_and(|it| is_file(file, it));
        let sent = format!("sent{}", size(event));
        if is(&expected.kernel) {
            self.offered_installer = true;
            return self.step(event.at, Step::Kernel, format!("kernel {sent}"));
        }
        if is(&expected.loader) {
            let name = file.rsplit('/').next().unwrap_or(file);
            let text = format!("boot loader {name} {sent}");
            return self.step(event.at, Step::Loader, text);
        }
        let before = self.initrds_left.len();
        self.initrds_left.retain(|needed| !is_file(file, needed));
        if before > 0 && self.initrds_left.is_empty() {
            let text = format!("initial RAM disk {sent}");
            return self.step(event.at, Step::Initrd, text);
        }
        None
    }

    fn remark(&mut self, event: &Event) -> Line {
        let mut text = format!("{}: {}", event.kind, event.reason);
        for part in [&event.file, &event.detail].into_iter().flatten() {
            text.push_str(", ");
            text.push_str(part);
        }
        self.line(event.at, None, text)
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

/// Whether an event's stage is firmware's.
fn is_firmware(stage: &str) -> bool {
    !matches!(stage, "ipxe" | "os" | "")
}

/// Whether a name in an event (a path with or without the folder it is served from, a URL) is this file.
fn is_file(shown: &str, needed: &str) -> bool {
    shown == needed
        || shown
            .strip_suffix(needed)
            .is_some_and(|before| before.ends_with('/'))
        || needed.ends_with(shown) && shown.starts_with('/') && needed.contains("://")
}

fn address(event: &Event) -> String {
    event.ip.map_or_else(String::new, |ip| ip.to_string())
}

/// `, 8.2 MB in 0.4s`, as far as it is known.
fn size(event: &Event) -> String {
    let Some(bytes) = event.bytes else {
        return String::new();
    };
    let size = match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    };
    match event.took_us {
        Some(micros) if micros >= 100_000 => {
            format!(
                ", {size} in {}.{}s",
                micros / 1_000_000,
                micros / 100_000 % 10
            )
        }
        _ => format!(", {size}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: &str = "52:54:00:47:86:8e";

    fn expected() -> Expected {
        Expected {
            host: "web01".parse().unwrap(),
            mac: MAC.parse().unwrap(),
            firmware: GuestFirmware::Bios,
            loader: Some("ipxe/undionly.kpxe".into()),
            kernel: Some("debian/12/x86_64/linux".into()),
            initrd: vec!["debian/12/x86_64/initrd.gz".into()],
            answers: true,
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

    /// A BIOS boot up to the answers, as the journal tells it.
    fn whole() -> Vec<Event> {
        vec![
            event(103, Kind::DhcpOffer, Reason::Loader, "bios", ""),
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
    fn a_whole_boot_is_told_step_by_step() {
        let mut story = story();
        let lines: Vec<String> = whole()
            .iter()
            .filter_map(|event| story.take(event))
            .map(|line| line.to_string())
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @"
         3.0s  address 10.99.0.11 offered to the firmware (BIOS)
         6.0s  the firmware has taken 10.99.0.11: boot file ipxe/undionly.kpxe
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
            (0, None, Step::Offer),
            (1, Some(Step::Offer), Step::Address),
            (3, Some(Step::Address), Step::Loader),
            (4, Some(Step::Loader), Step::IpxeAddress),
            (6, Some(Step::IpxeAddress), Step::Script),
            (7, Some(Step::Script), Step::Kernel),
            (8, Some(Step::Kernel), Step::Initrd),
            (9, Some(Step::Initrd), Step::InstallerAddress),
            (10, Some(Step::InstallerAddress), Step::Answers),
        ] {
            let mut story = story();
            for event in boot.iter().take(events) {
                story.take(event);
            }
            assert_eq!(story.last(), last);
            assert_eq!(story.missing(), Some(missing));
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
        assert!(
            story
                .take(&refused)
                .unwrap()
                .to_string()
                .contains("! tftp.failed")
        );
        let tried = event(105, Kind::TftpFailed, Reason::NotFound, "", "autoexec.ipxe");
        assert_eq!(story.take(&tried), None);
        let probe = event(
            105,
            Kind::TftpSent,
            Reason::Aborted,
            "",
            "ipxe/undionly.kpxe",
        );
        assert_eq!(story.take(&probe), None);
        assert_eq!(story.last(), None);
    }

    #[test]
    fn other_machines_are_not_in_the_story() {
        let mut story = story();
        let mut other = event(103, Kind::DhcpOffer, Reason::Loader, "bios", "");
        other.mac = Some("52:54:00:00:00:01".parse().unwrap());
        assert_eq!(story.take(&other), None);
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
        assert_eq!(story.missing(), Some(Step::Address));
        let line = story
            .take(&event(
                103,
                Kind::DhcpAck,
                Reason::DiskInstalled,
                "bios",
                "",
            ))
            .unwrap();
        assert!(line.text.ends_with("no boot file"), "{line}");
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
        assert!(
            story
                .take(&disk)
                .unwrap()
                .to_string()
                .contains("! boot script for the disk")
        );
        assert!(!story.reached(Milestone::Script));
    }

    #[test]
    fn files_are_known_by_path_and_by_url() {
        assert!(is_file("/assets/a/linux", "a/linux"));
        assert!(is_file("a/linux", "a/linux"));
        assert!(!is_file("/assets/ba/linux", "a/linux"));
        assert!(is_file("/assets/a/linux", "http://10.0.0.1/assets/a/linux"));
    }
}
