//! The life of an installation (design section 4): a record, what may happen to it, what becomes of it.
//!
//! **Invariant:** [`step`](super::step()) is the only place where a record changes. It takes values and
//! returns a value. Only [`Input::Install`] leads to [`InstallState::Armed`], at once or, from
//! [`InstallState::Waiting`], when the event that it named has come; no other input, in whatever order,
//! arms a host.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{
    After, AfterEvent, HardwareAddr, HostName, Lifecycle, ProfileName, Timestamp, Token,
};
use crate::journal::event::{Kind, Reason};

/// Where a machine stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "lowercase")]
pub enum InstallState {
    /// Nothing is asked for: never armed, cancelled, or lapsed. It boots its disk.
    #[default]
    Local,
    /// Armed as soon as the event named in `after` comes. It boots its disk.
    Waiting,
    /// Somebody asked for an installation; the machine has not come yet.
    Armed,
    /// The boot script was served.
    Booting,
    /// An answer file was served, or `started` was reported.
    Installing,
    /// The installer has finished. It boots its disk.
    Installed,
    /// Attempts used, stalled, or reported by the installer. It boots its disk.
    Failed,
}

impl InstallState {
    /// The name in files, messages and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Waiting => "waiting",
            Self::Armed => "armed",
            Self::Booting => "booting",
            Self::Installing => "installing",
            Self::Installed => "installed",
            Self::Failed => "failed",
        }
    }

    /// Whether a network boot gets the installer.
    pub const fn boots_installer(self) -> bool {
        matches!(self, Self::Armed | Self::Booting | Self::Installing)
    }
}

impl std::fmt::Display for InstallState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is remembered of one host.
///
/// The token and the `as armed` fields are those of the last arming; they stay after it so that a
/// late report still finds its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The host.
    pub host: HostName,
    /// Where it stands.
    pub state: InstallState,
    /// The profile it was armed with.
    pub profile: Option<ProfileName>,
    /// The profile that the file had for it then; another one when the order named its own.
    pub file_profile: Option<ProfileName>,
    /// The hardware addresses it was armed for.
    pub macs: Vec<HardwareAddr>,
    /// The address it was armed for.
    pub ip: Option<Ipv4Addr>,
    /// The capability of its answers and reports.
    pub token: Option<Token>,
    /// What it waits for, or waited for before it was armed.
    pub after: Option<After>,
    /// How long the arming holds once what it waits for has come.
    pub armed_for: Option<Duration>,
    /// The boot of the installer that is under way, from 1; 0 before the first.
    pub attempt: u32,
    /// When it was armed.
    pub armed_at: Option<Timestamp>,
    /// When the arming lapses if no script is served by then.
    pub armed_until: Option<Timestamp>,
    /// When the last boot script with an installer was served.
    pub script_at: Option<Timestamp>,
    /// When the kernel was fetched whole in this attempt; where it came from elsewhere, when the installer was
    /// first heard of.
    pub kernel_at: Option<Timestamp>,
    /// When it became `installing`.
    pub started_at: Option<Timestamp>,
    /// When `installed` was reported.
    pub installed_at: Option<Timestamp>,
    /// When the installed system reported `up`.
    pub up_at: Option<Timestamp>,
    /// When it failed.
    pub failed_at: Option<Timestamp>,
    /// The last asset, answer or report.
    pub seen_at: Option<Timestamp>,
    /// Percent done, as the installer last reported.
    pub percent: Option<u8>,
    /// The last message: of the installer, or why it failed.
    pub message: Option<String>,
    /// The secrets marked `once` that this attempt has been given, by name.
    pub secrets: Vec<String>,
    /// Who asked for the last change that an operator made.
    pub by: Option<String>,
    /// When the state last changed.
    pub changed_at: Option<Timestamp>,
}

impl Record {
    /// The record of a host of which nothing is known.
    pub fn new(host: HostName) -> Self {
        Self {
            host,
            state: InstallState::Local,
            profile: None,
            file_profile: None,
            macs: Vec::new(),
            ip: None,
            token: None,
            after: None,
            armed_for: None,
            attempt: 0,
            armed_at: None,
            armed_until: None,
            script_at: None,
            kernel_at: None,
            started_at: None,
            installed_at: None,
            up_at: None,
            failed_at: None,
            seen_at: None,
            percent: None,
            message: None,
            secrets: Vec::new(),
            by: None,
            changed_at: None,
        }
    }
}

/// Whether the last arming of a host has come to this.
pub fn reached(record: &Record, event: AfterEvent) -> bool {
    match event {
        AfterEvent::Booting => record.script_at.is_some(),
        AfterEvent::Started => record.started_at.is_some(),
        AfterEvent::Installed => record.installed_at.is_some(),
        AfterEvent::Up => record.up_at.is_some(),
        AfterEvent::Failed => record.state == InstallState::Failed,
    }
}

/// What a host is armed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Armament {
    /// The profile.
    pub profile: ProfileName,
    /// The profile that the file has for it, when the order names another.
    pub file_profile: Option<ProfileName>,
    /// Its hardware addresses as the file has them now.
    pub macs: Vec<HardwareAddr>,
    /// Its address as the file has it now.
    pub ip: Option<Ipv4Addr>,
    /// A new token.
    pub token: Token,
    /// How long the arming holds without a machine.
    pub armed_for: Duration,
    /// What it waits for; `None`: it is armed at once.
    pub after: Option<After>,
}

/// What an installer or a started system reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportKind {
    /// The installer has begun.
    Started,
    /// It goes on.
    Progress,
    /// It has finished.
    Installed,
    /// It has failed.
    Failed,
    /// The installed system has started.
    Up,
}

/// What may happen to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// An operator arms the host.
    Install {
        /// With what.
        with: Armament,
        /// Also from `booting` and `installing`.
        force: bool,
        /// Who.
        by: String,
    },
    /// An operator takes an arming back.
    Cancel {
        /// Also once the kernel has been fetched.
        force: bool,
        /// Who.
        by: String,
    },
    /// An operator wants the disk booted.
    Local {
        /// Also while an installation is under way and its kernel has been fetched.
        force: bool,
        /// Who.
        by: String,
    },
    /// A boot script with the installer is about to be served.
    Script {
        /// A DHCP packet of firmware or iPXE has come since the last script: another boot.
        further_boot: bool,
    },
    /// A boot file of the installer was sent.
    Asset {
        /// It was the kernel, and it was sent whole.
        kernel: bool,
    },
    /// An answer file is about to be served.
    Answer,
    /// A secret marked `once` is about to be served.
    Secret {
        /// Its name.
        name: String,
    },
    /// What the host waits for has come.
    Released,
    /// A report has come.
    Report {
        /// Which.
        kind: ReportKind,
        /// What it says.
        message: Option<String>,
        /// How far it is.
        percent: Option<u8>,
    },
    /// The record is read, or a timer has come round.
    Look,
    /// A configuration has taken effect in which this is the host; `None`: it is gone.
    Reload {
        /// Its hardware addresses now.
        macs: Vec<HardwareAddr>,
        /// Its address now.
        ip: Option<Ipv4Addr>,
        /// Its profile now.
        profile: Option<ProfileName>,
    },
}

/// The limits that a step is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Boots of the installer per arming.
    pub max_attempts: u32,
    /// Silence after which an installation has failed.
    pub stalled_after: Duration,
    /// What the profile does with the machine.
    pub lifecycle: Lifecycle,
    /// Whether it can be told that the machine has its kernel: not where the whole script is the
    /// operator's, nor where the kernel comes from elsewhere.
    pub kernel_is_known: bool,
}

impl Default for Policy {
    /// The limits where nobody sets others.
    fn default() -> Self {
        Self {
            max_attempts: 3,
            stalled_after: Duration::from_secs(2_700),
            lifecycle: Lifecycle::Install,
            kernel_is_known: true,
        }
    }
}

/// A change of a record and the event that tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The record as it is to be stored.
    pub next: Record,
    /// The event; `None` when only times are noted.
    pub event: Option<(Kind, Reason)>,
}

/// Why an operator's command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An installation is under way.
    #[error("{host} is {state} (attempt {attempt}{})", last_message(.message.as_ref()))]
    UnderWay {
        /// The host.
        host: HostName,
        /// Its state.
        state: InstallState,
        /// Its attempt.
        attempt: u32,
        /// What it last said.
        message: Option<String>,
    },
    /// There is nothing to cancel.
    #[error("{host} is {state}: there is nothing to cancel")]
    NothingToCancel {
        /// The host.
        host: HostName,
        /// Its state.
        state: InstallState,
    },
}

fn last_message(message: Option<&String>) -> String {
    message.map_or_else(String::new, |text| format!(", last message: {text}"))
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It changes; store it before the answer that depends on it leaves.
    Change(Box<Transition>),
    /// It stays as it is, for this reason (an event, `report.ignored` for a report).
    Same(Reason),
    /// The command is refused.
    Refused(Refusal),
}
