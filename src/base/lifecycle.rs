//! How installations are ordered: what a profile does with a machine, and what one waits for.

use serde::{Deserialize, Serialize};

use super::HostName;

/// What a profile does with a machine (design section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lifecycle {
    /// It writes a disk, and is served until that is done.
    #[default]
    Install,
    /// It runs from memory, and is served at every boot.
    Live,
    /// It is a tool, served for one boot.
    Once,
}

impl Lifecycle {
    /// The name in files, messages and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Live => "live",
            Self::Once => "once",
        }
    }
}

/// What another host has to come to before a host is armed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// The other host.
    pub host: HostName,
    /// What it has to come to.
    pub event: AfterEvent,
}

impl std::fmt::Display for After {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.event)
    }
}

/// The events of an installation that leave a mark in the record, named as in `install.NAME`: whoever
/// waits for one finds it after a restart too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AfterEvent {
    /// Its boot script was served.
    Booting,
    /// Its installer has begun.
    Started,
    /// Its installer has finished.
    Installed,
    /// The installed system has started.
    Up,
    /// Its installation has failed.
    Failed,
}

impl AfterEvent {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Booting,
        Self::Started,
        Self::Installed,
        Self::Up,
        Self::Failed,
    ];

    /// The name in files, messages and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Booting => "booting",
            Self::Started => "started",
            Self::Installed => "installed",
            Self::Up => "up",
            Self::Failed => "failed",
        }
    }

    /// Reads the name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }
}

impl std::fmt::Display for AfterEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
