//! `bootwright adopt`: makes a machine without a reservation a host, or the new network card of one.

use std::collections::HashMap;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Context as _;
use toml::Value;

use super::client::Client;
use super::edit::finish;
use super::ip::{Address, look, next_free, snapshot_of, subnet_for};
use super::output::Format;
use super::show_events::one_line;
use super::unknown::seen;
use super::{render, runtime};
use crate::base::{Architecture, GroupName, HardwareAddr, HostName, ProfileName, SubnetName, Uuid};
use crate::config::draft::HostDraft;
use crate::config::edit::{Entry, Key};
use crate::config::snapshot::{Host, Subnet};
use crate::config::source::DiskFiles;
use crate::config::{Snapshot, load};
use crate::decide::free::Test;
use crate::edits::{Applied, Error, Mode, Reservations, apply};
use crate::host::links::LinkTable;
use crate::serve::free::{Suggestion, Wanted};
use crate::serve::strangers;

/// `adopt`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --ip the host gets the next free address of the subnet where the machine was seen, or the address that it
has leased, where that is not of the pool; without a daemon, name --ip or --subnet. The UUID goes into the
reservation where other hosts name theirs.

Examples:
  bootwright adopt 52:54:00:12:34:56 --name web09 --group web
  bootwright adopt 52:54:00:12:34:56 --name web09 --ip 10.99.0.19 --dry-run
  bootwright adopt 52:54:00:12:34:56 --replace web01            the network card of web01 was replaced
  bootwright adopt 52:54:00:12:34:56 --replace web01 --add      it is a further one, with the same address")]
pub struct Adopt {
    /// The machine, as `bootwright unknown` lists it
    #[arg(value_name = "MAC")]
    pub mac: HardwareAddr,
    /// The name of the new host
    #[arg(long, value_name = "NAME", required_unless_present = "replace")]
    pub name: Option<HostName>,
    /// Its address [default: auto, the next free one]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "replace")]
    pub ip: Option<Address>,
    /// Its subnet: a name, a network or an address in it [default: where the machine was seen]
    #[arg(long, value_name = "SUBNET", conflicts_with_all = ["replace", "ip"])]
    pub subnet: Option<String>,
    /// Its group
    #[arg(long, value_name = "GROUP", conflicts_with = "replace")]
    pub group: Option<GroupName>,
    /// Its profile
    #[arg(long, value_name = "PROFILE", conflicts_with = "replace")]
    pub profile: Option<ProfileName>,
    /// No new host: the machine is this one, with another network card
    #[arg(long, value_name = "HOST", conflicts_with = "name")]
    pub replace: Option<String>,
    /// With --replace: the MAC that it takes the place of, where the host has several
    #[arg(long, value_name = "MAC", requires = "replace")]
    pub old: Option<HardwareAddr>,
    /// With --replace: add the MAC, and keep those that there are
    #[arg(long, requires = "replace", conflicts_with = "old")]
    pub add: bool,
    /// Show the difference and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What is known of the machine that is adopted.
#[derive(Debug, Clone, Default)]
struct Machine {
    subnet: Option<SubnetName>,
    leased: Option<Ipv4Addr>,
    arch: Option<Architecture>,
    uuid: Option<Uuid>,
    /// Which address of a host it is likely to take the place of.
    instead_of: HashMap<HostName, HardwareAddr>,
}

/// Adopts a machine. The result is the exit status.
pub fn run(
    config: &Path,
    asked: &Adopt,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let mac = asked.mac;
    let loaded = load(&DiskFiles, config);
    let snapshot = snapshot_of(config, &loaded)?;
    if let Some(host) = snapshot.host_by_mac(mac) {
        anyhow::bail!("{mac} is {}'s already", host.name);
    }
    let runtime = runtime()?;
    let machine = runtime.block_on(known(config, snapshot, mac));
    let mode = if asked.dry_run {
        Mode::DryRun
    } else {
        Mode::Write
    };
    let (applied, notes) = if let Some(host) = &asked.replace {
        let host = render::find(snapshot, host)?;
        let old = replaced(host, &machine, asked)?;
        let applied = apply(config, mode, &mut |reservations| {
            replace(reservations, &host.name, old, mac)
        });
        let notes = old.map(|old| format!("{mac} takes the place of {old}"));
        (applied, notes.into_iter().collect())
    } else {
        let (draft, notes) = runtime.block_on(draft(config, snapshot, &machine, mac, asked))?;
        let applied = apply(config, mode, &mut |reservations| {
            reservations.add_host(&draft)
        });
        (applied, notes)
    };
    let applied = applied.map(|applied| Applied {
        notes: [notes, applied.notes].concat(),
        ..applied
    });
    finish(config, applied, asked.dry_run, format, out)
}

/// What the daemon has seen of a machine; without one, what it has written down, as far as that may be read.
async fn known(config: &Path, snapshot: &Snapshot, mac: HardwareAddr) -> Machine {
    let of_daemon = match Client::of(config) {
        Ok(client) => seen(&client).await.ok(),
        Err(_) => None,
    };
    if let Some(all) = of_daemon {
        let found = all.into_iter().find(|machine| machine.mac == mac);
        return found.map_or_else(Machine::default, |found| Machine {
            subnet: found.subnet,
            leased: found.ip,
            arch: found.arch,
            uuid: found.uuid,
            instead_of: found
                .like
                .into_iter()
                .filter_map(|like| Some((like.likeness.host, like.likeness.mac?)))
                .collect(),
        });
    }
    let saved = strangers::load(&snapshot.server.state_dir.join(strangers::FILE));
    let saved = saved.unwrap_or_default();
    let Some(found) = saved.iter().find(|stranger| stranger.mac == mac) else {
        return Machine::default();
    };
    let links = LinkTable::read().unwrap_or_default();
    let interface = links.interface(&found.place.iface);
    let own = interface.map(|interface| &*interface.addresses);
    let subnet = found.subnet(snapshot, own.unwrap_or_default());
    Machine {
        subnet: subnet
            .and_then(|index| snapshot.subnets.get(index))
            .map(|subnet| subnet.name.clone()),
        arch: found.arch,
        uuid: found.uuid,
        ..Machine::default()
    }
}

/// The host that is to be, and what is worth saying about it.
async fn draft(
    config: &Path,
    snapshot: &Snapshot,
    machine: &Machine,
    mac: HardwareAddr,
    asked: &Adopt,
) -> anyhow::Result<(HostDraft, Vec<String>)> {
    let name = asked
        .name
        .clone()
        .context("name the new host with --name")?;
    let mut draft = HostDraft::new(name);
    draft.macs = vec![mac];
    draft.group.clone_from(&asked.group);
    draft.profile.clone_from(&asked.profile);
    // What a check of the files alone takes every machine for.
    draft.arch = machine
        .arch
        .filter(|arch| *arch != Architecture::X86_64)
        .map(|arch| arch.to_string());
    let names_uuids = snapshot.hosts().iter().any(|host| host.uuid.is_some());
    let is_new = |uuid: &Uuid| snapshot.hosts().iter().all(|host| host.uuid != Some(*uuid));
    draft.uuid = machine.uuid.filter(|uuid| names_uuids && is_new(uuid));
    let mut notes = Vec::new();
    match asked.ip {
        Some(Address::This(ip)) => {
            if snapshot.subnet_containing(ip).is_some() {
                let found = look(config, &ip.to_string(), Wanted::This(ip)).await?;
                notes.extend(who_has(&found, mac));
            }
            draft.ip = Some(ip);
        }
        Some(Address::Auto) | None => {
            let seen = machine.subnet.as_ref().map(SubnetName::as_str);
            let named = asked.subnet.as_deref().or(seen);
            let unknown = format!("where {mac} was seen is not known");
            let subnet = subnet_for(snapshot, named, &unknown)?;
            if subnet.mode.gives_addresses() {
                draft.ip = Some(address(config, snapshot, subnet, machine, &mut notes).await?);
            } else {
                draft.subnet = Some(subnet.name.clone());
                notes.push(format!(
                    "another DHCP server gives the addresses of {} (mode = {:?}): the host has none here",
                    subnet.name,
                    subnet.mode.as_str()
                ));
            }
        }
    }
    Ok((draft, notes))
}

/// The address of the new host: the one that it has leased outside of the pool, else the next free one.
async fn address(
    config: &Path,
    snapshot: &Snapshot,
    subnet: &Subnet,
    machine: &Machine,
    notes: &mut Vec<String>,
) -> anyhow::Result<Ipv4Addr> {
    let in_pool = |ip: Ipv4Addr| subnet.pool.is_some_and(|pool| pool.contains(ip));
    if let Some(ip) = machine.leased {
        if subnet.network.contains(&ip) && !in_pool(ip) && snapshot.host_by_ip(ip).is_none() {
            notes.push(format!("it keeps {ip}, which it has leased"));
            return Ok(ip);
        }
        notes.push(format!(
            "it has leased {ip} of the pool, and gets its new address when it asks the next time"
        ));
    }
    let (ip, told) = next_free(config, subnet).await?;
    notes.extend(told);
    Ok(ip)
}

/// What speaks against an address that was named; what the machine itself does is no news.
fn who_has(found: &Suggestion, mac: HardwareAddr) -> Vec<String> {
    let own = format!("{mac} ");
    let is_itself = found
        .ruled_out
        .iter()
        .any(|out| matches!(out.by, Test::Arp | Test::Lease) && out.what.contains(own.trim_end()));
    found
        .ruled_out
        .iter()
        // The check of the files tells the others.
        .filter(|out| Test::ASKED.contains(&out.by))
        .filter(|out| !is_itself || out.by == Test::Ptr)
        .map(|out| {
            format!(
                "{} may be in use: {} ({})",
                out.first,
                one_line(&out.what),
                out.by.as_str()
            )
        })
        .collect()
}

/// Which of the host's addresses gives way; `None`: none does.
fn replaced(host: &Host, machine: &Machine, asked: &Adopt) -> anyhow::Result<Option<HardwareAddr>> {
    let macs = host.all_macs();
    if asked.add || macs.is_empty() {
        return Ok(None);
    }
    let list = || {
        let macs: Vec<String> = macs.iter().map(ToString::to_string).collect();
        macs.join(", ")
    };
    if let Some(old) = asked.old {
        if !macs.contains(&old) {
            anyhow::bail!("{old} is no MAC of {}: it has {}", host.name, list());
        }
        return Ok(Some(old));
    }
    let likely = machine.instead_of.get(&host.name);
    match (macs.as_slice(), likely) {
        (several, Some(likely)) if several.contains(likely) => Ok(Some(*likely)),
        // The first card is held: the address is for that one.
        _ if host.macs.is_empty() => Ok(None),
        ([only], _) => Ok(Some(*only)),
        _ => anyhow::bail!(
            "{} has several MACs: {}\n  name the one that gives way with --old, or --add to keep all",
            host.name,
            list()
        ),
    }
}

/// Writes a host's new hardware address.
fn replace(
    reservations: &mut Reservations,
    host: &HostName,
    old: Option<HardwareAddr>,
    new: HardwareAddr,
) -> Result<(), Error> {
    let entry = Entry::Host(host.clone());
    if let Some(old) = old {
        return if reservations.replace_mac(&entry, old, new)? {
            Ok(())
        } else {
            Err(gone(host, old))
        };
    }
    let key = Key::of(["mac"]);
    let new = Value::String(new.to_string());
    match reservations.value(&entry, &key)? {
        Some(_) => reservations.push(&entry, &key, &new),
        None => reservations.set(&entry, &key, &new),
    }
}

fn gone(host: &HostName, old: HardwareAddr) -> Error {
    Error::Refused(format!(
        "{host} has {old} no more: the file was changed meanwhile; look at it, then try again"
    ))
}

#[cfg(test)]
mod tests;
