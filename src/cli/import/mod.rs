//! `bootwright import`: hosts, groups and subnets out of what other servers and tools have.
//!
//! What is read is printed as TOML, or merged into the reservations as one edit that is checked as a whole. What could
//! not be carried over goes to standard error, with its place and the remedy.

mod find;
mod merge;
mod show;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::Usage;
use super::output::Format;
use crate::base::{GroupName, ProfileName, SubnetName};
use crate::config::draft::GroupDraft;
use crate::edits;
use crate::import::{self, Bring, ImportError, Imported, Left, Source};

/// `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bootwright import dhcpd /etc/dhcp/dhcpd.conf
  bootwright import libvirt --into auto --dry-run
  bootwright import kvm-mgr manifest.json --into reservations.toml --profile debian-12
  bootwright import csv inventory.csv --into auto --group racks

Exit status: 0 done, also when something is left over (it is told); 1 nothing was done.")]
pub struct Import {
    /// What the files are
    #[arg(value_enum, value_name = "FORMAT")]
    pub from: Origin,
    /// Files, folders of such files, or - for standard input; of libvirt none: the domains that it has
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The libvirt that is asked when no file is given, such as qemu+ssh://root@hv-042/system
    #[arg(long, value_name = "URI", conflicts_with = "files")]
    pub connect: Option<String>,
    /// Merge into this file of the reservations, instead of printing; `auto`: where each host belongs
    #[arg(long, value_name = "FILE")]
    pub into: Option<PathBuf>,
    /// Also add the subnets that the configuration lacks to bootwright.toml
    #[arg(long, requires = "into")]
    pub with_subnets: bool,
    /// Only show the difference that it would make
    #[arg(long, requires = "into")]
    pub dry_run: bool,
    /// What the reservations say already stays, also where the files say otherwise
    #[arg(long, requires = "into")]
    pub keep: bool,
    /// For hosts that have none
    #[arg(long, value_name = "GROUP")]
    pub group: Option<GroupName>,
    /// For hosts that have neither profile nor group
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<ProfileName>,
    /// For hosts without an address: its next free ones where this server gives addresses there
    #[arg(long, value_name = "SUBNET")]
    pub subnet: Option<SubnetName>,
    /// How what is left over is told on standard error
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub report: Format,
}

/// What files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Origin {
    /// Told by what stands in them
    Auto,
    /// ISC DHCP: dhcpd.conf
    Dhcpd,
    /// dnsmasq: dnsmasq.conf, hosts directories, /etc/hosts, /etc/ethers
    Dnsmasq,
    /// Kea: kea-dhcp4.conf
    Kea,
    /// Cobbler's collections: systems, profiles and distros
    Cobbler,
    /// A kvm-mgr manifest
    KvmMgr,
    /// What virsh dumpxml and virsh net-dumpxml print
    Libvirt,
    /// Proxmox VE: /etc/pve/qemu-server/NUMBER.conf
    Proxmox,
    /// A table with separators
    Csv,
}

impl Origin {
    /// As it is typed.
    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Dhcpd => "dhcpd",
            Self::Dnsmasq => "dnsmasq",
            Self::Kea => "kea",
            Self::Cobbler => "cobbler",
            Self::KvmMgr => "kvm-mgr",
            Self::Libvirt => "libvirt",
            Self::Proxmox => "proxmox",
            Self::Csv => "csv",
        }
    }

    fn read(self, sources: &[Source], bring: &dyn Bring) -> Result<Imported, ImportError> {
        match self {
            Self::Dhcpd => import::dhcpd::read(sources, bring),
            Self::Dnsmasq => import::dnsmasq::read(sources, bring),
            Self::Kea => import::kea::read(sources, bring),
            Self::Cobbler => import::cobbler::read(sources),
            Self::KvmMgr => import::kvm_mgr::read(sources),
            Self::Libvirt => import::libvirt::read(sources),
            Self::Proxmox => import::proxmox::read(sources),
            Self::Csv | Self::Auto => import::csv::read(sources),
        }
    }
}

/// Reads, and prints or merges. The result is the exit status.
pub fn run(
    config: impl FnOnce() -> anyhow::Result<PathBuf>,
    asked: &Import,
    format: Format,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> anyhow::Result<u8> {
    let found = match (asked.files.as_slice(), asked.from) {
        ([], Origin::Libvirt) => find::running(asked.connect.as_deref())?,
        ([], _) => {
            let what = "name the files that are to be read, or - for standard input";
            return Err(Usage(what.to_owned()).into());
        }
        (files, from) => find::files(files, from)?,
    };
    let from = match asked.from {
        Origin::Auto => find::guess(&found.sources)?,
        from => from,
    };
    let mut imported = from.read(&found.sources, &found.bring)?;
    imported.left.extend(found.left);
    default(&mut imported, from, asked);
    let told = match &asked.into {
        None => show::Done::Printed,
        Some(into) => {
            let config = config()?;
            match merge::merge(&config, into, asked, &mut imported) {
                Ok(applied) => {
                    let daemon = applied.written.then(|| super::edit::take_up(&config));
                    show::Done::Merged(Box::new(applied), daemon)
                }
                Err(edits::Error::Problems(refusal)) => show::Done::Refused(refusal),
                Err(error) => return Err(error.into()),
            }
        }
    };
    imported
        .left
        .sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    show::show(from, &imported, &told, asked, format, out, errors)?;
    Ok(u8::from(matches!(told, show::Done::Refused(_))))
}

/// Group, profile and subnet of those that have none.
fn default(imported: &mut Imported, from: Origin, asked: &Import) {
    if let Some(group) = &asked.group {
        let mut used = false;
        for host in imported
            .hosts
            .iter_mut()
            .filter(|host| host.group.is_none())
        {
            host.group = Some(group.clone());
            used = true;
        }
        if used && !imported.groups.iter().any(|draft| draft.name == *group) {
            imported.groups.push(GroupDraft::new(group.clone()));
        }
    }
    if let Some(profile) = &asked.profile {
        let named = asked.group.as_ref();
        for host in &mut imported.hosts {
            if host.profile.is_none() && (host.group.is_none() || host.group.as_ref() == named) {
                host.profile = Some(profile.clone());
            }
        }
    }
    if let (Some(subnet), None) = (&asked.subnet, &asked.into) {
        for host in &mut imported.hosts {
            if host.ip.is_none() && host.subnet.is_none() {
                host.subnet = Some(subnet.clone());
            }
        }
    }
    // Readers of servers' files tell it themselves.
    let told = matches!(from, Origin::Dhcpd | Origin::Dnsmasq | Origin::Kea);
    for host in imported.hosts.iter().filter(|_| !told) {
        if host.ip.is_none() && host.subnet.is_none() && asked.into.is_none() {
            imported.left.push(Left {
                file: host.name.to_string(),
                line: 0,
                what: "no address".to_owned(),
                why: "its address is not known: write `ip`, or `subnet` where another server gives the addresses (--subnet NAME does so for all of them)"
                    .to_owned(),
            });
        }
    }
}

/// A path as reports show it.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
