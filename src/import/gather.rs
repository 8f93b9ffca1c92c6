//! What a reader of a format collects, and how it becomes an [`Imported`] that the configuration would take:
//! names made fit and unique, a MAC and an address for one host each, pools without reserved addresses.
//!
//! **Invariant:** whatever is changed or left out on the way stands in [`Imported::left`].

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::boot;
use super::options::{self, Sets};
use super::place::{Place, shortened};
use super::pools::{self, Range};
use super::{Imported, Left, SubnetDraft};
use crate::base::{Firmware, GroupName, HardwareAddr, HostName, SubnetName};
use crate::config::draft::{GroupDraft, HostDraft, NicDraft};
use crate::config::values;

/// A host as read, with where it stands.
#[derive(Debug)]
struct Read {
    draft: HostDraft,
    at: Place,
    what: String,
    /// That it has no address is told already.
    told: bool,
}

/// What has been read so far.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    groups: Vec<GroupDraft>,
    hosts: Vec<Read>,
    subnets: Vec<(SubnetDraft, Place, Vec<Range>)>,
    loaders: BTreeMap<Firmware, String>,
    left: Vec<Left>,
    names: Unique,
    group_names: Unique,
    subnet_names: Unique,
}

/// Names that are taken, without regard to case, and the next number to try after each.
#[derive(Debug, Default)]
struct Unique(HashMap<String, u32>);

impl Unique {
    /// The name, or the name with the first free number after it; `longest` bytes at most.
    fn take(&mut self, name: &str, longest: usize) -> String {
        let mut candidate = name.to_owned();
        loop {
            if let Entry::Vacant(free) = self.0.entry(candidate.to_ascii_lowercase()) {
                free.insert(1);
                return candidate;
            }
            let next = self.0.entry(name.to_ascii_lowercase()).or_insert(1);
            *next += 1;
            let tail = format!("-{next}");
            let room = longest.saturating_sub(tail.len());
            let head: String = name.chars().take(room).collect();
            candidate = format!("{}{tail}", head.trim_end_matches('-'));
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(&name.to_ascii_lowercase())
    }
}

impl Gather {
    /// Reports a statement.
    pub(crate) fn left(&mut self, at: &Place, what: &str, why: impl Into<String>) {
        self.left.push(Left {
            file: at.file.to_string(),
            line: at.line,
            what: shortened(what),
            why: why.into(),
        });
    }

    /// A host's name as ours may be: one label of letters, digits and hyphens, used once. A domain after it is given
    /// back as the full name.
    pub(crate) fn host_name(
        &mut self,
        at: &Place,
        wanted: &str,
    ) -> (Option<HostName>, Option<String>) {
        let wanted = wanted.trim().trim_end_matches('.');
        let (label, domain) = wanted.split_once('.').unwrap_or((wanted, ""));
        // An address as a name has no domain.
        let is_address = wanted.parse::<Ipv4Addr>().is_ok();
        let (label, domain) = if is_address {
            (wanted, "")
        } else {
            (label, domain)
        };
        let fit = fit(label, 63, |c| c.is_ascii_alphanumeric() || c == '-');
        let name = self.names.take(&fit, 63);
        if name != label {
            let why = if fit == label {
                format!("the name is there already: this host is called `{name}`")
            } else {
                format!(
                    "a host's name has letters, digits and hyphens, no more than 63, and stands once: this host is called `{name}`"
                )
            };
            self.left(at, &format!("host {wanted}"), why);
        }
        let fqdn = (!domain.is_empty()).then(|| format!("{name}.{domain}"));
        let fqdn = fqdn.and_then(|fqdn| match values::fqdn(&fqdn) {
            Ok(fqdn) => Some(fqdn),
            Err(bad) => {
                let why = format!("its domain is left out: {}", bad.label);
                self.left(at, &format!("host {wanted}"), why);
                None
            }
        });
        (name.parse().ok(), fqdn)
    }

    /// Whether a host of this name was named already.
    pub(crate) fn has_host(&self, name: &str) -> bool {
        self.names.has(name)
    }

    /// A name for a group.
    pub(crate) fn group_name(&mut self, wanted: &str) -> Option<GroupName> {
        let fit = fit(wanted, 64, |c| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
        });
        self.group_names
            .take(fit.trim_start_matches('.'), 64)
            .parse()
            .ok()
    }

    /// A name for a subnet: the network itself where no other is wanted.
    pub(crate) fn subnet_name(
        &mut self,
        wanted: Option<&str>,
        network: Ipv4Net,
    ) -> Option<SubnetName> {
        let wanted = wanted.map_or_else(|| network.to_string(), str::to_owned);
        let fit = fit(&wanted, 64, |c| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/')
        });
        self.subnet_names.take(&fit, 64).parse().ok()
    }

    /// Adds a group; outer ones come first.
    pub(crate) fn group(&mut self, group: GroupDraft) {
        self.groups.push(group);
    }

    /// Adds a host.
    pub(crate) fn host(&mut self, draft: HostDraft, at: Place, what: String) {
        self.hosts.push(Read {
            draft,
            at,
            what,
            told: false,
        });
    }

    /// Adds a subnet, unless its network is there already or overlaps another: then the number of that one, and it is
    /// told. The number is for [`Gather::range`] and [`Gather::subnet_mut`].
    pub(crate) fn subnet(&mut self, draft: SubnetDraft, at: &Place, what: &str) -> Option<usize> {
        let overlaps =
            |other: &Ipv4Net| other.contains(&draft.network) || draft.network.contains(other);
        if let Some(index) = self
            .subnets
            .iter()
            .position(|(other, ..)| overlaps(&other.network))
        {
            let first = self
                .subnets
                .get(index)
                .map(|(other, place, _)| (other.network, place.clone()));
            if let Some((network, place)) = first {
                let why = format!(
                    "overlaps with the subnet {network} of {}, line {}, which is carried over in its place",
                    place.file, place.line
                );
                self.left(at, what, why);
                return (network == draft.network).then_some(index);
            }
        }
        self.subnets.push((draft, at.clone(), Vec::new()));
        Some(self.subnets.len() - 1)
    }

    /// A subnet that was added.
    pub(crate) fn subnet_mut(&mut self, index: usize) -> Option<&mut SubnetDraft> {
        self.subnets.get_mut(index).map(|(draft, ..)| draft)
    }

    /// The subnet that holds an address.
    pub(crate) fn subnet_of(&self, ip: Ipv4Addr) -> Option<usize> {
        self.subnets
            .iter()
            .position(|(draft, ..)| draft.network.contains(&ip))
    }

    /// Where a subnet that was added stands.
    pub(crate) fn subnet_place(&self, index: usize) -> Option<Place> {
        self.subnets.get(index).map(|(_, place, _)| place.clone())
    }

    /// How many subnets there are.
    pub(crate) fn subnets(&self) -> usize {
        self.subnets.len()
    }

    /// Adds a range of addresses for machines without a reservation to the subnet that holds it.
    pub(crate) fn range(&mut self, first: Ipv4Addr, last: Ipv4Addr, at: &Place, what: &str) {
        let range = Range::new(first, last, &at.file, at.line, what);
        let held = self
            .subnets
            .iter_mut()
            .find(|(draft, ..)| draft.network.contains(&first) && draft.network.contains(&last));
        match held {
            Some((_, _, ranges)) => ranges.push(range),
            None => self.left.push(range.told(
                "no subnet of the file holds this range: write `pool` into the [[subnet]] it is for",
            )),
        }
    }

    /// Puts the options into a subnet and tells what does not go.
    pub(crate) fn subnet_options(&mut self, index: usize, sets: &Sets) {
        let Some((draft, ..)) = self.subnets.get_mut(index) else {
            return;
        };
        for (set, why) in options::into_subnet(draft, sets) {
            self.left(&set.at, &set.what, why);
        }
    }

    /// Writes options of a host or a group, and tells what does not go.
    pub(crate) fn options(&mut self, table: &mut toml::Table, sets: &Sets) {
        for (code, set) in sets {
            if let Err(why) = options::write(table, *code, set) {
                self.left(&set.at, &set.what, why);
            }
        }
    }

    /// A boot file for all machines of some firmware.
    pub(crate) fn loader(&mut self, firmware: Firmware, file: &str, at: &Place, what: &str) {
        match boot::kind(file) {
            boot::Kind::Ipxe | boot::Kind::Script => self.left(at, what, boot::CHAINLOADING),
            boot::Kind::Other => match boot::loader(file) {
                Ok(loader) => {
                    let why = format!(
                        "Bootwright gives {firmware} its own iPXE and goes on from there; to keep this one, write loaders = {{ {firmware} = \"{loader}\" }} into [boot] and put it into boot_assets"
                    );
                    self.loaders.entry(firmware).or_insert(loader);
                    self.left(at, what, why);
                }
                Err(why) => self.left(at, what, format!("no boot file for {firmware}: {why}")),
            },
        }
    }

    /// The boot file of one host or one group: `loader`, where it is no iPXE. What it is taken for is told.
    pub(crate) fn own_loader(&mut self, file: &str, at: &Place, what: &str) -> Option<String> {
        match boot::kind(file) {
            boot::Kind::Ipxe => {
                self.left(at, what, boot::CHAINLOADING);
                None
            }
            boot::Kind::Script => {
                self.left(
                    at,
                    what,
                    "iPXE's script is rendered from the profile: name a `profile`, or write one with [boot] kind = \"chain\" and this URL",
                );
                None
            }
            boot::Kind::Other => match boot::loader(file) {
                Ok(loader) => {
                    self.left(at, what, boot::where_it_belongs(&loader));
                    Some(loader)
                }
                Err(why) => {
                    self.left(at, what, format!("not carried over as `loader`: {why}"));
                    None
                }
            },
        }
    }

    /// All of it, fit together.
    pub(crate) fn finish(mut self) -> Imported {
        self.fit_hosts();
        self.tell_hosts_without_address();
        self.fit_pools();
        let Self {
            groups,
            hosts,
            subnets,
            loaders,
            mut left,
            ..
        } = self;
        left.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Imported {
            groups,
            hosts: hosts.into_iter().map(|read| read.draft).collect(),
            subnets: subnets.into_iter().map(|(draft, ..)| draft).collect(),
            loaders,
            left,
        }
    }

    /// A MAC and an address are one host's; a host lies in a subnet, and on none of its special addresses.
    fn fit_hosts(&mut self) {
        let hosts = std::mem::take(&mut self.hosts);
        let mut kept: Vec<Read> = Vec::with_capacity(hosts.len());
        let mut by_mac: HashMap<HardwareAddr, usize> = HashMap::new();
        let mut by_ip: HashMap<Ipv4Addr, usize> = HashMap::new();
        for mut read in hosts {
            self.fit_address(&mut read);
            self.fit_cards(&mut read);
            let draft = &read.draft;
            let same_mac = draft.macs.iter().find_map(|mac| by_mac.get(mac)).copied();
            let same_ip = draft.ip.and_then(|ip| by_ip.get(&ip)).copied();
            let index = match (same_mac, same_ip) {
                (None, None) => {
                    kept.push(read);
                    kept.len() - 1
                }
                (Some(index), _) | (None, Some(index)) => {
                    let free =
                        |mac: &HardwareAddr| by_mac.get(mac).is_none_or(|other| *other == index);
                    let free_ip = |ip: &Ipv4Addr| by_ip.get(ip).is_none_or(|other| *other == index);
                    if let Some(first) = kept.get_mut(index) {
                        let why = self.merged(first, &read, free, free_ip);
                        self.left(&read.at, &read.what, why);
                    }
                    index
                }
            };
            if let Some(Read { draft, .. }) = kept.get(index) {
                let nics = draft.nics.iter();
                for mac in draft
                    .macs
                    .iter()
                    .chain(nics.clone().flat_map(|nic| &nic.macs))
                {
                    by_mac.entry(*mac).or_insert(index);
                }
                for ip in draft.ip.into_iter().chain(nics.filter_map(|nic| nic.ip)) {
                    by_ip.entry(ip).or_insert(index);
                }
            }
        }
        self.hosts = kept;
        self.take_addresses_once();
    }

    /// Hosts that got their addresses from a pool.
    fn tell_hosts_without_address(&mut self) {
        let proxies = self.subnets.iter().filter(|(draft, ..)| draft.proxy);
        let proxies: Vec<SubnetName> = proxies.map(|(draft, ..)| draft.name.clone()).collect();
        let mut told = Vec::new();
        for read in &mut self.hosts {
            if read.draft.ip.is_some() || read.told || read.draft.macs.is_empty() {
                continue;
            }
            if let [proxy] = proxies.as_slice() {
                read.draft.subnet = Some(proxy.clone());
                continue;
            }
            told.push((read.at.clone(), read.what.clone(), read.draft.name.clone()));
        }
        for (at, what, name) in told {
            let why = format!(
                "no address of its own, and reservations have one: `bootwright ip suggest` finds a free one; write it as `ip` of `{name}`"
            );
            self.left(&at, &what, why);
        }
    }

    /// Further addresses of cards that an earlier host had not when the card was read.
    fn take_addresses_once(&mut self) {
        let mut taken: HashSet<Ipv4Addr> =
            self.hosts.iter().filter_map(|read| read.draft.ip).collect();
        let mut told = Vec::new();
        for read in &mut self.hosts {
            read.draft.nics.retain(|nic| match nic.ip {
                Some(ip) if !taken.insert(ip) => {
                    told.push((read.at.clone(), read.what.clone(), ip));
                    false
                }
                _ => true,
            });
        }
        for (at, what, ip) in told {
            self.left(
                &at,
                &what,
                format!(
                    "{ip} is another host's already: this further address of `{what}` is left out"
                ),
            );
        }
    }

    /// Takes a host that has a MAC or the address of another one into that one, and says what was done.
    fn merged(
        &self,
        first: &mut Read,
        second: &Read,
        free: impl Fn(&HardwareAddr) -> bool,
        free_ip: impl Fn(&Ipv4Addr) -> bool,
    ) -> String {
        let (one, other) = (&mut first.draft, &second.draft);
        let place = format!("`{}` ({}, line {})", one.name, first.at.file, first.at.line);
        let rest = if other.options.is_empty() && other.loader.is_none() && other.nics.is_empty() {
            ""
        } else {
            "; its options, boot file and further cards are left out"
        };
        let new: Vec<HardwareAddr> = other
            .macs
            .iter()
            .filter(|mac| free(mac) && !one.macs.contains(mac))
            .copied()
            .collect();
        if other.ip.is_none() || other.ip == one.ip {
            one.macs.extend(new);
            return format!(
                "the same machine as {place}, by its MAC or its address: its MACs are taken for ports of that one{rest}"
            );
        }
        let Some(ip) = other.ip.filter(free_ip) else {
            return format!(
                "its MAC and its address are those of other hosts, one of them {place}: left out"
            );
        };
        if one.ip.is_none() && new.is_empty() {
            one.ip = Some(ip);
            return format!("the same MAC as {place}: its address is that one's{rest}");
        }
        let subnet = self.subnet_of(ip);
        let known = one
            .ip
            .into_iter()
            .chain(one.nics.iter().filter_map(|nic| nic.ip));
        let elsewhere =
            subnet.is_some() && known.into_iter().all(|ip| self.subnet_of(ip) != subnet);
        if elsewhere {
            one.nics.push(NicDraft {
                macs: other.macs.iter().filter(|mac| free(mac)).copied().collect(),
                ip: Some(ip),
                name: None,
            });
            return format!(
                "the same MAC as {place}: {ip} is a further network card of that host, in its other subnet{rest}"
            );
        }
        format!(
            "its MAC is that of {place} already, and both addresses lie in one subnet or in none of the file: left out; keep one of the two"
        )
    }

    /// Drops an address that no host can have.
    fn fit_address(&mut self, read: &mut Read) {
        let Some(ip) = read.draft.ip else {
            return;
        };
        let why = if let Err(bad) = values::machine_address(&ip.to_string()) {
            Some(format!("{ip} is no address of a machine: {}", bad.label))
        } else {
            self.special(ip)
        };
        if let Some(why) = why {
            read.draft.ip = None;
            read.told = true;
            self.left(
                &read.at,
                &read.what,
                format!("{why}; give `{}` another address", read.draft.name),
            );
        } else if self.subnet_of(ip).is_none() && !self.subnets.is_empty() {
            self.left(
                &read.at,
                &read.what,
                format!("no subnet of the file holds {ip}: write a [[subnet]] for it, or check the address"),
            );
        }
    }

    /// Whose address it is when a subnet has it for itself.
    fn special(&self, ip: Ipv4Addr) -> Option<String> {
        let (subnet, ..) = self.subnets.get(self.subnet_of(ip)?)?;
        let net = subnet.network;
        let edges = net.prefix_len() < 31;
        let whose = if edges && ip == net.network() {
            "the network's own"
        } else if edges && ip == net.broadcast() {
            "the broadcast address"
        } else if subnet.router == Some(ip) {
            "the router"
        } else {
            return None;
        };
        Some(format!("{ip} is {whose} of {net}"))
    }

    /// MACs that no card has, and cards whose address no host can have.
    fn fit_cards(&mut self, read: &mut Read) {
        let mut bad_macs = Vec::new();
        let mut seen = HashSet::new();
        let mut keep = |mac: &HardwareAddr| match values::mac(&mac.to_string()) {
            Ok(_) => seen.insert(*mac),
            Err(bad) => {
                bad_macs.push((*mac, bad.label));
                false
            }
        };
        read.draft.macs.retain(&mut keep);
        for (mac, label) in bad_macs {
            self.left(
                &read.at,
                &read.what,
                format!("{mac} is no usable MAC address: {label}"),
            );
        }
        let nics = std::mem::take(&mut read.draft.nics);
        let mut subnets: Vec<Option<usize>> = vec![read.draft.ip.and_then(|ip| self.subnet_of(ip))];
        for nic in nics {
            let subnet = nic.ip.and_then(|ip| self.subnet_of(ip));
            let why = match nic.ip {
                Some(ip) if self.special(ip).is_some() => self.special(ip),
                Some(ip) if subnet.is_none() => Some(format!("no subnet of the file holds {ip}")),
                Some(ip) if subnets.contains(&subnet) => {
                    Some(format!("{ip} is a second address in one subnet"))
                }
                _ => None,
            };
            match why {
                None => {
                    subnets.push(subnet);
                    read.draft.nics.push(nic);
                }
                Some(why) => self.left(
                    &read.at,
                    &read.what,
                    format!("{why}: `{}` is without it", read.draft.name),
                ),
            }
        }
    }

    /// Makes pools of the ranges.
    fn fit_pools(&mut self) {
        let reserved = pools::reserved(
            self.hosts.iter().map(|read| &read.draft),
            self.subnets.iter().map(|(draft, ..)| draft),
        );
        for (draft, _, ranges) in &mut self.subnets {
            for range in ranges.drain(..) {
                range.fit(draft, &reserved, &mut self.left);
            }
        }
    }
}

/// A text made of characters that may stand in a name; what may not becomes a hyphen.
fn fit(text: &str, longest: usize, may: impl Fn(char) -> bool) -> String {
    let mut name = String::new();
    for c in text.chars() {
        if name.len() >= longest {
            break;
        }
        if may(c) {
            name.push(c);
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_matches('-');
    if name.is_empty() {
        "host".to_owned()
    } else {
        name.to_owned()
    }
}
