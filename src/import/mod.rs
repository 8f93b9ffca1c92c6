//! What other servers' files and machines' descriptions say, as hosts, groups and subnets of our own.
//!
//! Each format is a function from text to [`Imported`]: no file, no network, no clock. What cannot be carried over is
//! not dropped but named, with the line that it stands on.
//!
//! **Invariant:** any text gives a value or an error that names a line; nothing panics, and each statement of the
//! text either shows in the result or in [`Imported::left`].

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use toml::Table;

use crate::base::SubnetName;
use crate::config::draft::{GroupDraft, HostDraft};

/// What was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Imported {
    /// Groups, outer ones before those nested in them.
    pub groups: Vec<GroupDraft>,
    /// Hosts, in the order of the text.
    pub hosts: Vec<HostDraft>,
    /// Subnets, which belong into `bootwright.toml`.
    pub subnets: Vec<SubnetDraft>,
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
    /// `pool`: the first range; others are told in [`Imported::left`] where the server has room for one only.
    pub pools: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// `lease_time`, in seconds.
    pub lease_time: Option<u32>,
    /// `options`.
    pub options: Table,
}

/// A statement that was not carried over, or only in part.
#[derive(Debug, Clone, PartialEq, Eq)]
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
