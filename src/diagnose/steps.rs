//! One event → the step of a boot that it shows, or that it is worth a remark.
//!
//! Everything that tells a boot step by step reads its events here: the diagnosis, which groups them into
//! boots, and a rehearsal, which follows one.
//!
//! What an event means depends on what came before it (a file sent after the script may be the kernel) and
//! on what the boot is expected to load. Where that is not known, or is not what this boot loads (its
//! configuration may have changed since), files are told apart by their names and order.
//!
//! **Invariant:** pure. The same boot so far and event give the same sighting.

use serde::{Deserialize, Serialize};

use crate::base::{BootLoader, Lifecycle};
use crate::config::signed::{self, is_grub, is_mok_manager};
use crate::decide::configs::ConfigName;
use crate::decide::delivery::BOTH_WAYS;
use crate::journal::event::{Event, Kind, Reason};
use crate::render::scripts::IPXE_FAILED_AT;
use crate::render::{AssetRef, RenderedBoot, RenderedTarget};
use crate::wire::names::clean_path;

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
    /// With Secure Boot: shim, which that loader is, has fetched GRUB.
    Grub,
    /// iPXE has its address.
    IpxeAddress,
    /// The boot script was served.
    Script,
    /// The kernel was fetched.
    Kernel,
    /// The initial RAM disks were fetched; one of them, where it is not known how many there are.
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
    pub const ALL: [Self; 13] = [
        Self::FirmwareOffer,
        Self::FirmwareAddress,
        Self::Loader,
        Self::Grub,
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
            Self::Grub => "shim fetching GRUB",
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

    /// The same in a boot by this loader: `GRUB fetching its configuration`.
    pub fn describe_by(self, loader: BootLoader) -> String {
        let words = self.describe();
        match loader {
            BootLoader::Ipxe => words.to_owned(),
            BootLoader::Grub | BootLoader::Pxelinux => words
                .replace("iPXE", loader.title())
                .replace("boot script", "configuration"),
        }
    }
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

/// What the first step says where this server gives no addresses.
pub(super) const ANOTHER_SERVER: &str = "another server gives its address";

/// What the installer's boot script loads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Loads {
    /// It is not known.
    #[default]
    Unknown,
    /// A Linux kernel, or something else with files beside it.
    Linux {
        /// The kernel.
        kernel: AssetRef,
        /// Its initial RAM disks.
        initrd: Vec<AssetRef>,
    },
    /// What a script of the profile's own says, or another one that is chained to.
    Script(Option<AssetRef>),
    /// A disk: by HTTP the one of this image, which is read in pieces.
    Disk(Option<AssetRef>),
}

impl From<&RenderedBoot> for Loads {
    fn from(boot: &RenderedBoot) -> Self {
        match boot {
            RenderedBoot::Linux { kernel, initrd, .. } => Self::Linux {
                kernel: kernel.clone(),
                initrd: initrd.clone(),
            },
            RenderedBoot::Image { image, files, .. } => Self::Linux {
                kernel: image.clone(),
                initrd: files.iter().map(|(file, _)| file.clone()).collect(),
            },
            RenderedBoot::San(san) => Self::Disk(match &san.target {
                RenderedTarget::Image(image) => Some(image.clone()),
                RenderedTarget::Iscsi(_) => None,
            }),
            RenderedBoot::Local { .. } => Self::Disk(None),
            RenderedBoot::Chain { script, .. } => Self::Script(Some(script.clone())),
            RenderedBoot::Script(_) => Self::Script(None),
        }
    }
}

/// What the boot of an installer is expected to be, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// The boot loader, by path or URL. The one that was named to the firmware counts before it.
    pub loader: Option<String>,
    /// What the boot script loads.
    pub loads: Loads,
    /// Whether there are answers to fetch.
    pub answers: bool,
    /// What the profile does with the machine.
    pub lifecycle: Lifecycle,
    /// With Secure Boot: shim and GRUB lead to its script, and no iPXE.
    pub shim: bool,
}

impl Expected {
    /// The boot loader; iPXE where nothing else is known.
    pub fn boot_loader(&self) -> BootLoader {
        self.loader
            .as_deref()
            .map(BootLoader::of_file)
            .unwrap_or_default()
    }

    /// Whether a boot that does not take this step has stopped before it.
    pub fn is_on_the_way(&self, step: StepKind) -> bool {
        match step {
            // What comes from another server is not seen.
            StepKind::Kernel => match &self.loads {
                Loads::Unknown => true,
                Loads::Linux { kernel, .. } => kernel.path().is_some(),
                Loads::Disk(image) => image.as_ref().is_some_and(|image| image.path().is_some()),
                Loads::Script(_) => false,
            },
            StepKind::Initrd => self.initrd().any(|file| file.path().is_some()),
            // The others go on with the address of their firmware.
            StepKind::IpxeAddress => !self.shim && self.boot_loader() == BootLoader::Ipxe,
            StepKind::Answers => self.answers,
            StepKind::Grub => self.shim,
            // What runs from memory does not end by a report.
            StepKind::Installed => self.lifecycle == Lifecycle::Install,
            // Not every installer tells that it has begun, nor every system that it is up.
            StepKind::Started | StepKind::Up => false,
            _ => true,
        }
    }

    fn initrd(&self) -> impl Iterator<Item = &AssetRef> {
        match &self.loads {
            Loads::Linux { initrd, .. } => initrd.as_slice(),
            Loads::Unknown | Loads::Script(_) | Loads::Disk(_) => &[],
        }
        .iter()
    }
}

/// How far a machine is, as an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage<'a> {
    /// Firmware of this name.
    Firmware(&'a str),
    /// iPXE.
    Ipxe,
    /// An installer, a system, or nothing was told.
    System,
}

impl<'a> Stage<'a> {
    /// The stage of whoever stands behind an event.
    pub fn of(event: &'a Event) -> Self {
        match event.stage.as_deref() {
            Some("ipxe") => Self::Ipxe,
            Some("os") | None => Self::System,
            Some(firmware) => Self::Firmware(firmware),
        }
    }
}

/// What one event shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sighting {
    /// A step, and what happened in words.
    pub step: Option<(StepKind, String)>,
    /// Whether something went otherwise than it should, and not as it does at every boot.
    pub is_remark: bool,
}

impl Sighting {
    fn step(step: StepKind, what: impl Into<String>) -> Self {
        Self {
            step: Some((step, what.into())),
            is_remark: false,
        }
    }

    fn remark_if(is_remark: bool) -> Self {
        Self {
            step: None,
            is_remark,
        }
    }
}

/// One boot as far as events have told it.
#[derive(Debug, Clone)]
pub struct Progress {
    expected: Expected,
    sent: Sent,
    /// The loader that was named to the firmware.
    named: Option<String>,
    has_script: bool,
    has_kernel: bool,
    /// The kernel that was fetched is the expected one: nothing of this boot needs to be guessed.
    is_as_expected: bool,
    /// Initial RAM disks that this server has and that were not sent yet.
    initrd_left: Vec<AssetRef>,
}

/// What an event says of a reply that went both ways.
pub(super) fn both_ways(event: &Event) -> Option<&str> {
    event
        .detail
        .as_deref()?
        .split("; ")
        .find(|part| part.starts_with(BOTH_WAYS))
}

impl Progress {
    /// A boot of which nothing was seen.
    pub fn new(expected: Expected) -> Self {
        Self {
            initrd_left: expected
                .initrd()
                .filter(|file| file.path().is_some())
                .cloned()
                .collect(),
            expected,
            sent: Sent::Undecided,
            named: None,
            has_script: false,
            has_kernel: false,
            is_as_expected: false,
        }
    }

    /// The boot loader that was named to the firmware.
    pub fn named(&self) -> Option<&str> {
        self.named.as_deref()
    }

    /// Where it was sent so far.
    pub const fn sent(&self) -> Sent {
        self.sent
    }

    /// Reads the next event of this boot: what it shows. A step may be shown more than once.
    pub fn read(&mut self, event: &Event) -> Sighting {
        match event.kind {
            Kind::DhcpOffer
            | Kind::DhcpAck
            | Kind::DhcpNak
            | Kind::DhcpIgnored
            | Kind::DhcpFailed => self.dhcp(event),
            // Only the length was asked for.
            Kind::TftpSent | Kind::HttpScript | Kind::HttpAsset | Kind::HttpAnswer
                if event.reason == Reason::Aborted || event.bytes == Some(0) =>
            {
                Sighting::default()
            }
            Kind::TftpSent | Kind::HttpScript if is_script(event) => self.script(event),
            // Pieces of a file whose first one was told; another boot may have begun since.
            Kind::HttpAsset if event.count.is_some() => Sighting::default(),
            Kind::TftpSent | Kind::HttpAsset => self.file(event),
            Kind::HttpAnswer => {
                let what = format!("answers sent: {}{}", base_name(event), size(event));
                Sighting::step(StepKind::Answers, what)
            }
            // The tool that shim starts when it refuses what it was to start.
            Kind::TftpFailed | Kind::HttpRefused
                if event.reason == Reason::NotFound && asks_for_mok_manager(event) =>
            {
                Sighting::remark_if(true)
            }
            Kind::TftpFailed | Kind::HttpRefused | Kind::MirrorFailed => {
                Sighting::remark_if(match event.reason {
                    Reason::Aborted => event.kind == Kind::TftpFailed && self.is_needed(event),
                    // Firmware, iPXE and installers try names that need not be there.
                    // A URL that the server named to break a loop, taken for a name.
                    Reason::NotFound if event.kind == Kind::TftpFailed && is_url(event) => false,
                    Reason::NotFound => self.is_needed(event),
                    Reason::UnknownAnswer => !is_tried(event),
                    _ => true,
                })
            }
            Kind::ReportIgnored if event.reason == Reason::SignOfLife => begun(event),
            Kind::ReportIgnored => Sighting::remark_if(event.reason != Reason::NoChange),
            Kind::InstallStarted if event.reason == Reason::Reported => begun(event),
            // The boot script's own report; the installer was not even started.
            Kind::InstallProgress if ipxe_failure(event).is_some() => Sighting::remark_if(true),
            Kind::InstallProgress => {
                let said = event.detail.as_deref().unwrap_or_default();
                Sighting::step(StepKind::Started, format!("the installer reports: {said}"))
            }
            Kind::InstallInstalled => {
                Sighting::step(StepKind::Installed, "the installer has finished")
            }
            Kind::InstallUp => Sighting::step(StepKind::Up, "the installed system is up"),
            Kind::InstallFailed
            | Kind::InstallStalled
            | Kind::InstallNote
            | Kind::SecretAgain
            | Kind::DhcpConflict
            | Kind::DhcpForeign
            | Kind::BootLoop => Sighting::remark_if(true),
            Kind::DhcpMalformed
            | Kind::DhcpProbed
            | Kind::NdpAdvertised
            | Kind::NdpRouter
            | Kind::HttpScript
            | Kind::ReportLog
            | Kind::SecretServed
            | Kind::HookFailed
            | Kind::MirrorFetched
            | Kind::InstallWaiting
            | Kind::InstallArmed
            | Kind::InstallBooting
            | Kind::InstallStarted
            | Kind::InstallLapsed
            | Kind::InstallCancelled
            | Kind::PoolExhausted
            | Kind::HostUnknown
            | Kind::ConfigReloaded
            | Kind::ConfigRejected
            | Kind::ServerStarted
            | Kind::ServerStopped
            | Kind::ServerLinks
            | Kind::ServerTrouble
            | Kind::JournalSummary => Sighting::default(),
        }
    }

    fn dhcp(&mut self, event: &Event) -> Sighting {
        let stage = Stage::of(event);
        if let (Stage::Firmware(_), Some(file)) = (stage, &event.file) {
            self.named = Some(file.clone());
        }
        if let Some(reason) = disk_reason(event.reason) {
            self.sent = Sent::Disk(reason);
        }
        let address = event
            .ip
            .map_or_else(|| "no address".to_owned(), |ip| ip.to_string());
        let boot_file = event.file.as_ref().map_or_else(
            || ", no boot file".to_owned(),
            |file| format!(", boot file {file}"),
        );
        // The acknowledgement tells the name; that there is none may be why it does not come to that.
        let none = match (&event.file, disk_reason(event.reason)) {
            (Some(_), _) => String::new(),
            (None, None) => boot_file.clone(),
            (None, Some(_)) => format!("{boot_file} ({})", event.in_words()),
        };
        // Beside another DHCP server: its offers are not seen, what machines take of them is.
        let is_beside = event.reason == Reason::ProxyOnly;
        // It tells what has helped a machine that did not hear its offers.
        let way = both_ways(event)
            .map(|note| format!(", {note}"))
            .unwrap_or_default();
        let step = match (event.kind, stage) {
            (Kind::DhcpOffer, Stage::Firmware(name)) if event.ip.is_none() => Some((
                StepKind::FirmwareOffer,
                format!(
                    "the firmware ({}) told what to boot; {ANOTHER_SERVER}",
                    firmware(name)
                ),
            )),
            (Kind::DhcpIgnored, Stage::Firmware(_)) if is_beside && event.ip.is_some() => Some((
                StepKind::FirmwareAddress,
                format!("the firmware takes {address} from another server"),
            )),
            (Kind::DhcpIgnored, Stage::Firmware(name)) if disk_reason(event.reason).is_some() => {
                Some((
                    StepKind::FirmwareOffer,
                    format!(
                        "the firmware ({}) told nothing to boot ({})",
                        firmware(name),
                        event.in_words()
                    ),
                ))
            }
            (Kind::DhcpIgnored, Stage::Ipxe) if is_beside && event.ip.is_some() => Some((
                StepKind::IpxeAddress,
                format!("iPXE takes {address} from another server"),
            )),
            (Kind::DhcpIgnored, Stage::System)
                if is_beside
                    && event.ip.is_some()
                    && self.has_script
                    && self.sent == Sent::Installer =>
            {
                Some((
                    StepKind::InstallerAddress,
                    format!("the installer takes {address} from another server"),
                ))
            }
            (Kind::DhcpOffer, Stage::Firmware(name)) => Some((
                StepKind::FirmwareOffer,
                format!(
                    "address {address} offered to the firmware ({}){none}",
                    firmware(name)
                ),
            )),
            (Kind::DhcpAck, Stage::Firmware(_)) => Some((
                StepKind::FirmwareAddress,
                format!("the firmware has taken {address}{boot_file}{way}"),
            )),
            (Kind::DhcpAck, Stage::Ipxe) => Some((
                StepKind::IpxeAddress,
                format!("iPXE has its address {address}{none}{way}"),
            )),
            // A system that was booted from the disk asks as well.
            (Kind::DhcpAck, Stage::System) if self.has_script && self.sent == Sent::Installer => {
                Some((
                    StepKind::InstallerAddress,
                    format!("the installer has its address {address}"),
                ))
            }
            _ => None,
        };
        Sighting {
            step,
            is_remark: match event.kind {
                Kind::DhcpOffer | Kind::DhcpAck => {
                    matches!(
                        event.reason,
                        Reason::NoLoader | Reason::UnknownArchitecture | Reason::NicDoesNotBoot
                    )
                }
                _ => {
                    !matches!(
                        event.reason,
                        Reason::Released | Reason::ProxyOnly | Reason::ModeOff
                    ) && disk_reason(event.reason).is_none()
                }
            },
        }
    }

    fn script(&mut self, event: &Event) -> Sighting {
        let detail = match &event.detail {
            Some(detail) => format!(" ({detail})"),
            None => String::new(),
        };
        let what = match event.reason {
            // Each leads to the one that decides.
            Reason::ChainScript | Reason::Script => return Sighting::default(),
            _ if is_preview(event) => return Sighting::default(),
            Reason::Installer | Reason::Live => {
                self.sent = Sent::Installer;
                let size = size(event);
                let what = match event.reason {
                    Reason::Live => "its live system",
                    _ => "the installer",
                };
                format!("boot script with {what} served{size}{detail}")
            }
            reason => {
                let Some(reason) = disk_reason(reason) else {
                    return Sighting::remark_if(true);
                };
                // A further script of an installation under way may turn into one for the disk.
                self.sent = Sent::Disk(reason);
                let why = reason.sentence();
                format!("boot script for the disk served: {why}{detail}")
            }
        };
        self.has_script = true;
        Sighting::step(StepKind::Script, what)
    }

    fn file(&mut self, event: &Event) -> Sighting {
        if event.reason != Reason::Done {
            return Sighting::remark_if(true);
        }
        if asks_for_mok_manager(event) {
            return Sighting::remark_if(true);
        }
        let file = event.file.as_deref().unwrap_or_default();
        let (name, size) = (base_name(event), size(event));
        if let Loads::Linux { kernel, initrd } = &self.expected.loads {
            if is_same_file(file, text(kernel)) {
                self.has_kernel = true;
                self.is_as_expected = true;
                return Sighting::step(StepKind::Kernel, format!("kernel sent{size}"));
            }
            if initrd.iter().any(|it| is_same_file(file, text(it))) {
                self.initrd_left
                    .retain(|left| !is_same_file(file, text(left)));
                return if self.initrd_left.is_empty() {
                    Sighting::step(StepKind::Initrd, format!("initial RAM disk sent{size}"))
                } else {
                    Sighting::default()
                };
            }
        }
        if let Loads::Disk(Some(image)) = &self.expected.loads
            && is_same_file(file, text(image))
        {
            self.has_kernel = true;
            self.is_as_expected = true;
            return Sighting::step(StepKind::Kernel, format!("{name} is read as a disk"));
        }
        if !self.has_script && !self.is_loader(file) && is_grub(&signed::base_name(file)) {
            return Sighting::step(StepKind::Grub, format!("GRUB {name} sent{size}"));
        }
        if !self.has_script && self.is_loader(file) {
            let what = format!("boot loader {name} sent{size}");
            return Sighting::step(StepKind::Loader, what);
        }
        if !self.may_guess() || self.is_further_script(file) || is_module(name) {
            return Sighting::default();
        }
        if is_initrd(name) {
            let what = format!("initial RAM disk {name} sent{size}");
            Sighting::step(StepKind::Initrd, what)
        } else if self.has_kernel {
            Sighting::default()
        } else {
            self.has_kernel = true;
            Sighting::step(StepKind::Kernel, format!("kernel {name} sent{size}"))
        }
    }

    /// Whether what is fetched now belongs to an installer of which it is not known what it loads.
    fn may_guess(&self) -> bool {
        self.has_script && self.sent == Sent::Installer && !self.is_as_expected
    }

    fn is_further_script(&self, file: &str) -> bool {
        match &self.expected.loads {
            Loads::Script(Some(script)) if is_same_file(file, text(script)) => true,
            _ => file.rsplit('.').next() == Some("ipxe"),
        }
    }

    fn loader(&self) -> Option<&str> {
        self.named.as_deref().or(self.expected.loader.as_deref())
    }

    fn is_loader(&self, file: &str) -> bool {
        match self.loader() {
            Some(loader) => is_same_file(file, loader),
            None => [".kpxe", ".efi", ".pxe", ".0"]
                .iter()
                .any(|ending| file.ends_with(ending)),
        }
    }

    /// Whether a file that is not there is one that the boot needs.
    fn is_needed(&self, event: &Event) -> bool {
        let file = event.file.as_deref().unwrap_or_default();
        let loads = match &self.expected.loads {
            Loads::Unknown => Vec::new(),
            Loads::Linux { kernel, initrd } => std::iter::once(kernel).chain(initrd).collect(),
            Loads::Script(file) | Loads::Disk(file) => file.iter().collect(),
        };
        self.loader()
            .into_iter()
            .chain(loads.into_iter().map(text))
            .any(|needed| is_same_file(file, needed))
            || is_core_module(file)
            || event.kind == Kind::HttpRefused && self.may_guess()
    }
}

/// What a remark says: the event's kind and words. `None` when one of those `told` says the same, as an
/// acknowledgement does after its offer.
pub fn remark<'a>(event: &Event, told: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let words = match ipxe_failure(event) {
        Some(message) => message.to_owned(),
        None => event.in_words(),
    };
    let is_new = !told.into_iter().any(|had| had.ends_with(&words));
    is_new.then(|| format!("{}: {words}", event.kind))
}

/// Firmware as events name it → in words.
pub fn firmware(stage: &str) -> &str {
    match stage {
        "bios" => "BIOS",
        "uefi-x64" => "UEFI",
        "uefi-ia32" => "32-bit UEFI",
        "uefi-arm64" => "UEFI on ARM",
        "uefi-arm32" => "UEFI on 32-bit ARM",
        "httpboot" => "UEFI HTTP Boot",
        other => other,
    }
}

/// Whether a boot script was served.
pub fn is_script(event: &Event) -> bool {
    event.kind == Kind::HttpScript
        || event.kind == Kind::TftpSent
            && event.file.as_deref().is_some_and(|file| {
                ["boot.ipxe", "autoexec.ipxe"]
                    .iter()
                    .any(|name| file.ends_with(name))
                    // With this reason it was a file of the operator's.
                    || event.reason != Reason::Done && is_configuration(file)
            })
}

/// Whether this is a name of GRUB's or PXELINUX's configuration.
fn is_configuration(file: &str) -> bool {
    clean_path(file.as_bytes()).is_ok_and(|path| ConfigName::read(&path).is_some())
}

/// Whether an answer that the profile does not have is one that systems ask for whether it is there or not:
/// cloud-init's seed (NoCloud), and the further scripts of SystemRescue (`autorun0` …).
fn is_tried(event: &Event) -> bool {
    let name = base_name(event);
    matches!(name, "network-config" | "vendor-data")
        || name
            .strip_prefix("autorun")
            .is_some_and(|suffix| suffix.len() == 1)
}

/// Whether this is the module without which PXELINUX does nothing.
fn is_core_module(file: &str) -> bool {
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default();
    matches!(name, "ldlinux.c32" | "ldlinux.e64" | "ldlinux.e32")
}

/// Whether this is a part of GRUB or PXELINUX themselves, which they fetch when they have their configuration.
fn is_module(name: &str) -> bool {
    [".mod", ".lst", ".pf2", ".c32"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Whether a boot script was only looked at.
pub fn is_preview(event: &Event) -> bool {
    let detail = event.detail.as_deref();
    detail.is_some_and(|text| text.contains("preview"))
}

/// The message of an iPXE that could not load the installer.
fn ipxe_failure(event: &Event) -> Option<&str> {
    let detail = event.detail.as_deref()?;
    detail.get(detail.find(IPXE_FAILED_AT)?..)
}

fn begun(event: &Event) -> Sighting {
    Sighting::step(
        StepKind::Started,
        match &event.detail {
            Some(detail) => format!("the installer has begun: {detail}"),
            None => "the installer has begun".to_owned(),
        },
    )
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
        | Reason::DiskProfileGone
        | Reason::NoSecret => Some(reason),
        _ => None,
    }
}

/// Whether shim asks for the tool by which a person may allow what it has refused.
pub(super) fn asks_for_mok_manager(event: &Event) -> bool {
    let file = event.file.as_deref().unwrap_or_default();
    is_mok_manager(&signed::base_name(file))
}

fn is_url(event: &Event) -> bool {
    let file = event.file.as_deref();
    file.is_some_and(|file| file.contains("://"))
}

fn is_initrd(name: &str) -> bool {
    name.contains("initr")
        || [".img", ".gz", ".cpio", ".xz"]
            .iter()
            .any(|end| name.ends_with(end))
}

/// Whether a name in an event is this boot file: each may be a URL, a path with a leading slash, or a path
/// of the boot plane.
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

fn text(asset: &AssetRef) -> &str {
    match asset {
        AssetRef::Path(text) | AssetRef::Url(text) => text,
    }
}

fn base_name(event: &Event) -> &str {
    let file = event.file.as_deref().unwrap_or("a file");
    file.rsplit('/')
        .find(|part| !part.is_empty())
        .unwrap_or(file)
}

/// `, 8.2 MB in 0.4 s`, as far as it is known.
fn size(event: &Event) -> String {
    event
        .transferred()
        .map_or_else(String::new, |size| format!(", {size}"))
}

#[cfg(test)]
mod tests;
