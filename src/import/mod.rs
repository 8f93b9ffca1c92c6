//! What other servers' files and machines' descriptions say, as hosts, groups and subnets of our own.
//!
//! Each format is a function from text to [`Imported`]: no file, no network, no clock. What cannot be carried over is
//! not dropped but named, with the line that it stands on.
//!
//! **Invariant:** any text gives a value or an error that names a line; nothing panics, and each statement of the
//! text either shows in the result or in [`Imported::left`].

mod boot;
pub mod cobbler;
pub mod csv;
pub mod dhcpd;
pub mod dnsmasq;
mod gather;
mod json;
pub mod kea;
pub mod kvm_mgr;
pub mod libvirt;
mod machines;
mod options;
mod place;
mod pools;
pub mod proxmox;
mod ready;
pub mod write;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use toml::Table;

use crate::base::{Firmware, SubnetName};
use crate::config::draft::{GroupDraft, HostDraft};

/// A text to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file, as it was given: what [`Left`] and [`ImportError`] call it.
    pub name: String,
    /// What stands in it.
    pub text: String,
}

/// Brings what a text names: further files, folders, addresses of names. The one who calls looks there; nothing here
/// touches disk or network.
pub trait Bring {
    /// The text of a file, by the path as it was written; the one who brings it decides where a relative path begins
    /// (the folder of the file that was given). `None` when it cannot be read.
    fn text(&self, path: &str) -> Option<String>;
    /// The names of the files in a folder, without the folder, sorted. `None` when it cannot be read.
    fn list(&self, folder: &str) -> Option<Vec<String>>;
    /// The address of a name.
    fn resolve(&self, name: &str) -> Option<Ipv4Addr>;
}

/// Brings nothing: each file that a text names is told as missing, and no name has an address.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

impl Bring for Nothing {
    fn text(&self, _: &str) -> Option<String> {
        None
    }

    fn list(&self, _: &str) -> Option<Vec<String>> {
        None
    }

    fn resolve(&self, _: &str) -> Option<Ipv4Addr> {
        None
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Imported {
    /// Groups, outer ones before those nested in them.
    pub groups: Vec<GroupDraft>,
    /// Hosts, in the order of the text.
    pub hosts: Vec<HostDraft>,
    /// Subnets, which belong into `bootwright.toml`.
    pub subnets: Vec<SubnetDraft>,
    /// Boot files that the text gives by firmware. They are told in [`Imported::left`] as well; whoever wants to keep
    /// one writes it into `loaders` of `[boot]`.
    pub loaders: BTreeMap<Firmware, String>,
    /// What was not carried over, and what should be looked at.
    pub left: Vec<Left>,
}

/// One `[[subnet]]` of `bootwright.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct SubnetDraft {
    /// `name`.
    pub name: SubnetName,
    /// `network`.
    pub network: Ipv4Net,
    /// `router`.
    pub router: Option<Ipv4Addr>,
    /// `dns`.
    pub dns: Vec<Ipv4Addr>,
    /// `ntp`.
    pub ntp: Vec<Ipv4Addr>,
    /// `domain`.
    pub domain: Option<String>,
    /// `dns_search`.
    pub dns_search: Vec<String>,
    /// `mode = "proxy"`: another server gives the addresses.
    pub proxy: bool,
    /// `unknown = "lease"`: machines without a reservation get an address from the pool.
    pub lease_unknown: bool,
    /// `pool`: the first range; others are told in [`Imported::left`] where the server has room for one only.
    pub pools: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// `lease_time`, in seconds.
    pub lease_time: Option<u32>,
    /// `options`, as those of a [`HostDraft`].
    pub options: Table,
}

impl SubnetDraft {
    /// A subnet of which only the network is known, and its name.
    pub fn new(name: SubnetName, network: Ipv4Net) -> Self {
        Self {
            name,
            network,
            router: None,
            dns: Vec::new(),
            ntp: Vec::new(),
            domain: None,
            dns_search: Vec::new(),
            proxy: false,
            lease_unknown: false,
            pools: Vec::new(),
            lease_time: None,
            options: Table::new(),
        }
    }
}

/// A statement that was not carried over, or only in part.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Left {
    /// The file, as it was given.
    pub file: String,
    /// Its line, from 1; 0 where the format has none.
    pub line: usize,
    /// The statement, shortened.
    pub what: String,
    /// Why, and what to do instead.
    pub why: String,
}

/// A text that cannot be read as what it was said to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {what}")]
pub struct ImportError {
    /// The file, as it was given.
    pub file: String,
    /// Its line, from 1; 0 where the format has none.
    pub line: usize,
    /// What is wrong, and what was expected.
    pub what: String,
}
