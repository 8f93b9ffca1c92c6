//! `bootwright host add`.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;

use super::{Assignment, How, finish, mode};
use crate::base::{GroupName, HardwareAddr, HostName, ProfileName, SubnetName};
use crate::cli::output::Format;
use crate::config::draft::HostDraft;
use crate::config::edit::Entry;
use crate::edits::apply;

/// `host add`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bootwright host add web09 --mac 52:54:00:47:86:99 --ip 10.99.0.19 --group web
  bootwright host add db01 --ip 10.99.0.20 --set vars.disk=/dev/sda --set 'vars.packages=[\"...\", \"postgresql\"]'
  bootwright host add web09 --mac 52:54:00:47:86:99 --ip 10.99.0.19 --dry-run

It goes below the last host of its group, in that file and in the form of its neighbours. Without --mac name and
address are held until `bootwright bind`.")]
pub struct Add {
    /// Its name
    pub name: HostName,
    /// Its MAC address, in any usual spelling; again for further ports of the same machine
    #[arg(long = "mac", value_name = "MAC")]
    pub macs: Vec<HardwareAddr>,
    /// Its address
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<Ipv4Addr>,
    /// Its subnet, where another server gives the addresses
    #[arg(long, value_name = "SUBNET")]
    pub subnet: Option<SubnetName>,
    /// Its group
    #[arg(long, value_name = "GROUP")]
    pub group: Option<GroupName>,
    /// Its profile, where it is not the group's
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<ProfileName>,
    /// Any other key of it, such as arch=aarch64 or vars.disk=/dev/sda; the value is TOML, or a text
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<Assignment>,
    /// Only show what would be written
    #[arg(long)]
    pub dry_run: bool,
}

/// Adds a host.
pub fn add(config: &Path, asked: &Add, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut draft = HostDraft::new(asked.name.clone());
    draft.macs.clone_from(&asked.macs);
    draft.ip = asked.ip;
    draft.subnet.clone_from(&asked.subnet);
    draft.group.clone_from(&asked.group);
    draft.profile.clone_from(&asked.profile);
    // Plain variables are written with the rest, in one piece.
    let mut others = Vec::new();
    for assignment in &asked.set {
        let parts: Vec<&str> = assignment.key.parts().collect();
        match parts.as_slice() {
            ["vars", name] if assignment.how == How::Set => {
                draft
                    .vars
                    .insert((*name).to_owned(), assignment.value.clone());
            }
            _ => others.push(assignment),
        }
    }
    let entry = Entry::Host(asked.name.clone());
    let applied = apply(config, mode(asked.dry_run), &mut |reservations| {
        reservations.add_host(&draft)?;
        for assignment in &others {
            assignment.make(reservations, &entry)?;
        }
        Ok(())
    });
    finish(config, applied, asked.dry_run, format, out)
}
