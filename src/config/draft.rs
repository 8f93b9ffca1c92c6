//! What is to be written into a reservations file: hosts and groups as a command or an import makes them,
//! before they are text.
//!
//! **Invariant:** a draft says only what its maker knows; a key that nobody gave is not written.

use std::net::Ipv4Addr;

use toml::Table;

use crate::base::{GroupName, HardwareAddr, HostName, ProfileName, SubnetName, Uuid};

/// One `[hosts.NAME]` to be written. Keys and meanings are those of the reservations file.
#[derive(Debug, Clone, PartialEq)]
pub struct HostDraft {
    /// `[hosts.NAME]`.
    pub name: HostName,
    /// `mac`: one as a text, several as a list; without any the name is held until `bind`.
    pub macs: Vec<HardwareAddr>,
    /// `ip`.
    pub ip: Option<Ipv4Addr>,
    /// `subnet`, where no address says it.
    pub subnet: Option<SubnetName>,
    /// `group`.
    pub group: Option<GroupName>,
    /// `profile`.
    pub profile: Option<ProfileName>,
    /// `fqdn`, where it is not the name and the domain.
    pub fqdn: Option<String>,
    /// `arch`, as the file spells it.
    pub arch: Option<String>,
    /// `secure_boot`.
    pub secure_boot: Option<bool>,
    /// `uuid` (SMBIOS).
    pub uuid: Option<Uuid>,
    /// `serial` (SMBIOS).
    pub serial: Option<String>,
    /// `loader`: path or URL.
    pub loader: Option<String>,
    /// `notes`.
    pub notes: Option<String>,
    /// `options`: each key is an option's name or its code as a text, each value a table of what the file writes beside
    /// it, such as `{ u16 = 1500 }` or `{ ip = ["10.0.0.1"], force = true }`.
    pub options: Table,
    /// `[hosts.NAME.vars]`.
    pub vars: Table,
    /// `[[hosts.NAME.nic]]`.
    pub nics: Vec<NicDraft>,
}

impl HostDraft {
    /// A host of which only the name is known.
    pub fn new(name: HostName) -> Self {
        Self {
            name,
            macs: Vec::new(),
            ip: None,
            subnet: None,
            group: None,
            profile: None,
            fqdn: None,
            arch: None,
            secure_boot: None,
            uuid: None,
            serial: None,
            loader: None,
            notes: None,
            options: Table::new(),
            vars: Table::new(),
            nics: Vec::new(),
        }
    }
}

/// One `[[hosts.NAME.nic]]` to be written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NicDraft {
    /// `mac`.
    pub macs: Vec<HardwareAddr>,
    /// `ip`.
    pub ip: Option<Ipv4Addr>,
    /// `name`, as templates see it.
    pub name: Option<String>,
}

/// One `[groups.NAME]` to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupDraft {
    /// `[groups.NAME]`.
    pub name: GroupName,
    /// `group`: the one that it is nested in.
    pub group: Option<GroupName>,
    /// `profile`.
    pub profile: Option<ProfileName>,
    /// `loader`: path or URL.
    pub loader: Option<String>,
    /// `options`.
    pub options: Table,
    /// `[groups.NAME.vars]`.
    pub vars: Table,
}

impl GroupDraft {
    /// A group of which only the name is known.
    pub fn new(name: GroupName) -> Self {
        Self {
            name,
            group: None,
            profile: None,
            loader: None,
            options: Table::new(),
            vars: Table::new(),
        }
    }
}
