//! Merging what was read into the reservations: one edit, checked as a whole.
//!
//! Hosts that are not named in the files are not touched. A host that is there gets the keys that it lacks and those that
//! differ; a group that is there stays as it is, for other hosts are in it too.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::Ipv4Addr;
use std::path::Path;

use toml::Value;

use super::Import;
use crate::base::{BootLoader, GroupName, HardwareAddr, HostName, ProfileName};
use crate::config::draft::HostDraft;
use crate::config::edit::{Entry, Kept, Key};
use crate::config::signed;
use crate::config::snapshot::{Mode, Subnet};
use crate::edits::{self, Applied, Error, Reservations};
use crate::import::{Imported, Left, write};

/// What became of the merge beside the edit itself.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// Subnets that the configuration lacks and that were not added to it.
    pub subnets: String,
    /// Hosts that say already what the files say.
    pub same: usize,
}

/// Merges, or looks what a merge would do. What stays out is added to what is left.
pub(super) fn merge(
    config: &Path,
    into: &Path,
    asked: &Import,
    imported: &mut Imported,
) -> Result<Applied<Merged>, Error> {
    let mode = if asked.dry_run {
        edits::Mode::DryRun
    } else {
        edits::Mode::Write
    };
    let read = std::mem::take(&mut imported.left);
    let mut left = Vec::new();
    let applied = edits::apply(config, mode, &mut |reservations| {
        // It may be called again, with the files as they are then.
        left.clear();
        Merge {
            reservations,
            asked,
            left: &mut left,
        }
        .run(into, imported)
    });
    imported.left = read;
    imported.left.append(&mut left);
    applied
}

struct Merge<'a> {
    reservations: &'a mut Reservations,
    asked: &'a Import,
    left: &'a mut Vec<Left>,
}

impl Merge<'_> {
    fn run(mut self, into: &Path, imported: &Imported) -> Result<Merged, Error> {
        if into.as_os_str() != "auto" {
            self.reservations.put_new_into(into)?;
        }
        let mut merged = Merged::default();
        self.subnets(imported, &mut merged)?;
        let profiles = self.profiles();
        for group in &imported.groups {
            let entry = Entry::Group(group.name.clone());
            if self.reservations.has(&entry) {
                continue;
            }
            let mut group = group.clone();
            self.known_profile(profiles.as_ref(), &mut group.profile, &entry);
            self.reservations.add_group(&group)?;
        }
        let names: HashMap<String, HostName> = self
            .reservations
            .hosts()?
            .into_iter()
            .map(|name| (name.as_str().to_ascii_lowercase(), name))
            .collect();
        let mut free = self.free_addresses(imported);
        for host in &imported.hosts {
            let mut host = host.clone();
            let there = names.get(&host.name.as_str().to_ascii_lowercase());
            let entry = Entry::Host(there.unwrap_or(&host.name).clone());
            self.known_profile(profiles.as_ref(), &mut host.profile, &entry);
            self.signed_loader(&mut host, &entry)?;
            if let Some(name) = there {
                host.name = name.clone();
                merged.same += usize::from(!self.update(&entry, &host)?);
                continue;
            }
            if host.ip.is_none() && host.subnet.is_none() {
                match (&self.asked.subnet, &mut free) {
                    (Some(subnet), None) => host.subnet = Some(subnet.clone()),
                    (Some(_), Some(free)) => host.ip = free.next(),
                    (None, _) => {}
                }
            }
            if host.ip.is_none() && host.subnet.is_none() {
                let why = match &self.asked.subnet {
                    Some(subnet) => format!("there is no free address left in {subnet}"),
                    None => "no address of it is known, so it is not added: --subnet NAME gives it the next free one there (`bootwright ip suggest NAME`)".to_owned(),
                };
                self.tell(&entry, why);
                continue;
            }
            self.reservations.add_host(&host)?;
        }
        Ok(merged)
    }

    fn tell(&mut self, entry: &Entry, why: String) {
        self.left.push(Left {
            file: entry.name().to_owned(),
            line: 0,
            what: entry.to_string(),
            why,
        });
    }

    /// The profiles that the configuration has; `None`: it cannot be told.
    fn profiles(&self) -> Option<HashSet<ProfileName>> {
        let config = self.reservations.before().config.as_ref()?;
        Some(config.snapshot.profiles().keys().cloned().collect())
    }

    /// Leaves out a profile that the configuration has not: it would refuse all the rest.
    fn known_profile(
        &mut self,
        profiles: Option<&HashSet<ProfileName>>,
        profile: &mut Option<ProfileName>,
        entry: &Entry,
    ) {
        let Some(name) = profile.as_ref() else { return };
        let asked = self.asked.profile.as_ref() == Some(name);
        if asked || profiles.is_none_or(|known| known.contains(name)) {
            return;
        }
        let why = format!(
            "profile {name} would install it, but there is no such profile here: bring profiles/{name}.toml and write `profile`"
        );
        self.tell(entry, why);
        *profile = None;
    }

    /// Leaves out Secure Boot where nothing that is signed could be booted: the check refuses that, and with it all the
    /// rest.
    fn signed_loader(&mut self, host: &mut HostDraft, entry: &Entry) -> Result<(), Error> {
        let config = self.reservations.before().config.clone();
        let Some(config) = config.filter(|_| host.secure_boot == Some(true)) else {
            return Ok(());
        };
        let loader = self.layered(host, entry, "loader", host.loader.clone())?;
        let install = self.layered(host, entry, "install", None)?;
        // A loader of its own may be signed; what is never installed needs none. The check warns, at most.
        if loader.is_some_and(|loader| loader != BootLoader::Grub.as_str())
            || install.is_some_and(|install| install == "never")
        {
            return Ok(());
        }
        let profile = host.profile.as_ref().map(ToString::to_string);
        let profile = self.layered(host, entry, "profile", profile)?;
        let profile = profile.and_then(|name| config.snapshot.profile(&name.parse().ok()?));
        let Some(profile) = profile.filter(|profile| {
            !signed::has_loader(profile.signed.as_ref(), config.snapshot.server.secure_named)
        }) else {
            return Ok(());
        };
        let why = format!(
            "it has Secure Boot, but its profile {0} has no signed loader here: name one (`shim` in [boot] of profiles/{0}.toml, or [boot] secure in bootwright.toml), then write `secure_boot = true`",
            profile.name
        );
        self.tell(entry, why);
        host.secure_boot = None;
        Ok(())
    }

    /// What a host's layers will give it for a key, the nearest first: itself, its groups, `[defaults]`.
    fn layered(
        &mut self,
        host: &HostDraft,
        entry: &Entry,
        key: &str,
        offered: Option<String>,
    ) -> Result<Option<String>, Error> {
        let own = self.nearer(entry, key, offered)?;
        if own.is_some() {
            return Ok(own);
        }
        let group = host.group.as_ref().map(ToString::to_string);
        let mut group = self.nearer(entry, "group", group)?;
        let mut seen = HashSet::new();
        while let Some(name) = group.and_then(|name| name.parse::<GroupName>().ok()) {
            let entry = Entry::Group(name.clone());
            // A circle is the check's to tell.
            if !seen.insert(name) {
                break;
            }
            let given = self.text(&entry, key)?;
            if given.is_some() {
                return Ok(given);
            }
            group = self.text(&entry, "group")?;
        }
        let given = self.reservations.default_value(key);
        Ok(given.as_ref().and_then(Value::as_str).map(str::to_owned))
    }

    /// What an entry will have at a key when it is offered this.
    fn nearer(
        &mut self,
        entry: &Entry,
        key: &str,
        offered: Option<String>,
    ) -> Result<Option<String>, Error> {
        let written = self.text(entry, key)?;
        Ok(if self.asked.keep {
            written.or(offered)
        } else {
            offered.or(written)
        })
    }

    fn text(&mut self, entry: &Entry, key: &str) -> Result<Option<String>, Error> {
        if !self.reservations.has(entry) {
            return Ok(None);
        }
        let value = self.reservations.value(entry, &Key::of([key]))?;
        Ok(value.as_ref().and_then(Value::as_str).map(str::to_owned))
    }

    /// Gives a host that is there what differs; whether anything does.
    fn update(&mut self, entry: &Entry, host: &HostDraft) -> Result<bool, Error> {
        let mut host = host.clone();
        // Where it is known already that another address holds, `subnet` says nothing more.
        if host.ip.is_none() && self.has(entry, "ip")? {
            host.subnet = None;
        }
        if self.has_all_macs(entry, &host)? {
            host.macs.clear();
        }
        // What somebody has written about a machine is not for a program to replace.
        let keep = self.asked.keep;
        let replaces = |kept: &Kept| !keep && kept.key != "notes" && kept.is_value;
        let merged = self.reservations.merge_host(&host, replaces)?;
        for kept in merged.kept {
            let why = format!(
                "`{}` is {} there and stays; the file that was read says {}",
                kept.key, kept.written, kept.offered
            );
            self.tell(entry, why);
        }
        Ok(!merged.added.is_empty() || !merged.replaced.is_empty())
    }

    fn has(&mut self, entry: &Entry, key: &str) -> Result<bool, Error> {
        let key = Key::of([key]);
        Ok(self.reservations.value(entry, &key)?.is_some())
    }

    /// Whether the host has these hardware addresses, and maybe further ones of its own.
    fn has_all_macs(&mut self, entry: &Entry, host: &HostDraft) -> Result<bool, Error> {
        let written = match self.reservations.value(entry, &Key::of(["mac"]))? {
            Some(Value::String(mac)) => vec![mac],
            Some(Value::Array(macs)) => macs
                .into_iter()
                .filter_map(|mac| mac.as_str().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        };
        let written: BTreeSet<HardwareAddr> =
            written.iter().filter_map(|mac| mac.parse().ok()).collect();
        Ok(host.macs.iter().all(|mac| written.contains(mac)))
    }

    /// Subnets that the configuration lacks: added where that was asked for, else to be shown.
    fn subnets(&mut self, imported: &Imported, merged: &mut Merged) -> Result<(), Error> {
        let there: Vec<ipnet::Ipv4Net> = match &self.reservations.before().config {
            Some(config) => config
                .snapshot
                .subnets
                .iter()
                .map(|subnet| subnet.network)
                .collect(),
            None => networks(self.reservations)?,
        };
        let mut new = Vec::new();
        for subnet in &imported.subnets {
            let overlaps = |net: &&ipnet::Ipv4Net| {
                net.contains(&subnet.network) || subnet.network.contains(*net)
            };
            match there.iter().find(overlaps) {
                None => new.push(subnet),
                Some(net) if *net == subnet.network => {}
                Some(net) => self.left.push(Left {
                    file: subnet.name.to_string(),
                    line: 0,
                    what: format!("subnet {}", subnet.network),
                    why: format!("the configuration has {net}, which overlaps it, and keeps it"),
                }),
            }
        }
        let text = write::subnets(new);
        if text.is_empty() {
            return Ok(());
        }
        if self.asked.with_subnets {
            self.reservations.add_to_server(&text)
        } else {
            merged.subnets = text;
            Ok(())
        }
    }

    /// Free addresses of the subnet that was named, where this server gives the addresses.
    fn free_addresses(&self, imported: &Imported) -> Option<Free> {
        let named = self.asked.subnet.as_ref()?;
        let config = self.reservations.before().config.as_ref()?;
        let snapshot = &config.snapshot;
        let subnet = snapshot
            .subnets
            .iter()
            .find(|subnet| subnet.name == *named)?;
        if subnet.mode != Mode::Authoritative {
            return None;
        }
        let mut taken: HashSet<Ipv4Addr> = snapshot
            .hosts()
            .iter()
            .flat_map(|host| {
                let nics = host.nics.iter().filter_map(|nic| nic.ip);
                host.ip.into_iter().chain(nics)
            })
            .collect();
        for host in &imported.hosts {
            taken.extend(host.ip);
            taken.extend(host.nics.iter().filter_map(|nic| nic.ip));
        }
        Some(Free::of(subnet, taken))
    }
}

/// Addresses of a subnet that nobody has, the lowest first.
struct Free {
    at: u32,
    end: u32,
    pool: Option<(Ipv4Addr, Ipv4Addr)>,
    taken: HashSet<Ipv4Addr>,
}

impl Free {
    fn of(subnet: &Subnet, mut taken: HashSet<Ipv4Addr>) -> Self {
        taken.extend(subnet.router);
        taken.extend(subnet.server);
        taken.insert(subnet.example_server);
        taken.extend(subnet.dns.iter().copied());
        taken.extend(subnet.ntp.iter().copied());
        taken.insert(subnet.network.network());
        taken.insert(subnet.network.broadcast());
        Self {
            at: subnet.network.network().into(),
            end: subnet.network.broadcast().into(),
            pool: subnet.pool.as_ref().map(|pool| (pool.first, pool.last)),
            taken,
        }
    }

    fn next(&mut self) -> Option<Ipv4Addr> {
        while self.at <= self.end {
            let ip = Ipv4Addr::from(self.at);
            self.at = self.at.checked_add(1)?;
            let in_pool = self
                .pool
                .is_some_and(|(first, last)| (first..=last).contains(&ip));
            if !in_pool && self.taken.insert(ip) {
                return Some(ip);
            }
        }
        None
    }
}

/// The networks that `bootwright.toml` names, where the configuration has errors.
fn networks(reservations: &Reservations) -> Result<Vec<ipnet::Ipv4Net>, Error> {
    let path = reservations.config();
    let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let table: toml::Table = toml::from_str(&text).unwrap_or_default();
    let subnets = table.get("subnet").and_then(Value::as_array);
    Ok(subnets
        .into_iter()
        .flatten()
        .filter_map(|subnet| subnet.get("network")?.as_str()?.parse().ok())
        .collect())
}
