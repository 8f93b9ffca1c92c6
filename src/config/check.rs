//! What is written → what is meant: looks up every name, merges the layers, compares every address.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;

use super::merge::{Groups, Merged};
use super::problem::Problem;
use super::snapshot::{Answer, Boot, Host, Profile, Server, Snapshot, Subnet, Template};
use super::source::Span;
use super::written::Written;
use super::written::hosts::{HostEntry, Layer, ReservationsFile};
use super::written::profile::ProfileFile;
use super::written::server::{ServerFile, SubnetEntry};
use crate::base::{ProfileName, SubnetName, suggest};

/// Everything that was read.
pub(crate) struct Input {
    /// `bootwright.toml`.
    pub main: PathBuf,
    /// An empty place at its beginning.
    pub main_span: Span,
    pub server: ServerFile,
    /// Something in it could not be read: what seems to be missing may be there.
    pub server_unsure: bool,
    pub reservations: Vec<ReservationsFile>,
    /// A file of reservations could not be read.
    pub reservations_unsure: bool,
    pub profiles: Vec<ProfileFile>,
    /// Names of profiles of which not even the file could be read.
    pub unreadable_profiles: Vec<ProfileName>,
    pub templates: BTreeMap<String, Template>,
    /// A template could not be read.
    pub templates_unsure: bool,
}

/// The folder that relative paths of a file begin at.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or_else(|| Path::new(""))
}

/// Checks everything and puts together what is good.
pub(crate) fn check(input: Input, problems: &mut Vec<Problem>) -> Snapshot {
    let server = server(&input, problems);
    let profile_names: Vec<&ProfileName> = input
        .profiles
        .iter()
        .map(|profile| &profile.name)
        .chain(&input.unreadable_profiles)
        .collect();
    let lookups = Lookups {
        profile_names: &profile_names,
        profiles_folder: &server.profiles,
        groups_unsure: input.reservations_unsure
            || input.reservations.iter().any(|file| file.groups_unsure),
    };
    let networks = networks(&input, problems);
    let defaults = defaults(&input.reservations, problems);
    let groups = groups(&input.reservations, &defaults, &lookups, problems);
    if let Some(defaults) = input
        .reservations
        .iter()
        .find_map(|file| file.defaults.as_ref())
    {
        lookups.profile(&defaults.value, problems);
    }
    let entries: Vec<&HostEntry> = input
        .reservations
        .iter()
        .flat_map(|file| &file.hosts)
        .collect();
    duplicates(&entries, problems);
    let runs_on = RunsOn::new(&input.profiles);
    let mut hosts = Vec::new();
    for entry in &entries {
        lookups.profile(&entry.layer, problems);
        let mut merged = match &entry.group {
            None => defaults.clone(),
            Some(group) => {
                lookups.group(&groups, group, problems);
                groups.merged(&group.value).cloned().unwrap_or_default()
            }
        };
        merged.cover(&entry.layer, problems);
        runs_on.check(entry, &merged, problems);
        let place = place(entry, &networks, &input, problems);
        if let (true, Some(subnet)) = (merged.ok, place) {
            hosts.push((*entry, merged, subnet));
        }
    }
    let subnets = subnets(&networks, &entries, &server);
    let hosts = first_of_each(hosts)
        .into_iter()
        .filter_map(|(entry, merged, subnet)| host(entry, merged, subnet, &subnets))
        .collect::<Vec<_>>();
    full_names(&hosts, &entries, problems);
    let profiles = profiles(&input, problems);
    let hosts = hosts
        .into_iter()
        .map(|mut host| {
            // A profile that could not be read has its own problem: what it would render has none.
            let known = |name: &ProfileName| profiles.iter().any(|profile| profile.name == *name);
            host.profile = host.profile.filter(known);
            host
        })
        .collect();
    Snapshot::new(server, subnets, hosts, profiles, input.templates)
}

/// The daemon's settings: what is written over the defaults.
fn server(input: &Input, problems: &mut Vec<Problem>) -> Server {
    fn value<T: Clone>(written: Option<&Written<T>>, default: T) -> T {
        written.map_or(default, |written| written.value.clone())
    }
    let written = &input.server;
    let folder = folder_of(&input.main);
    let path = |written: Option<&Written<String>>, default: &str| {
        folder.join(written.map_or(default, |written| written.value.as_str()))
    };
    let usual = Server::default();
    let mut loaders = usual.loaders;
    for (firmware, loader) in &written.loaders {
        loaders.insert(*firmware, loader.value.clone());
    }
    let server = Server {
        file: input.main.clone(),
        interfaces: written
            .interfaces
            .iter()
            .flatten()
            .map(|name| name.value.clone())
            .collect(),
        domain: written.domain.as_ref().map(|domain| domain.value.clone()),
        state_dir: written
            .state_dir
            .as_ref()
            .map_or(usual.state_dir, |dir| folder.join(&dir.value)),
        boot_assets: path(written.boot_assets.as_ref(), "../boot-assets"),
        profiles: path(written.profiles.as_ref(), "profiles"),
        templates: path(written.templates.as_ref(), "templates"),
        reservations: match &written.reservations {
            None => vec![folder.join("reservations.toml")],
            Some(list) => list.iter().map(|file| folder.join(&file.value)).collect(),
        },
        user: written.user.as_ref().map(|user| user.value.clone()),
        dhcp_port: value(written.dhcp_port.as_ref(), usual.dhcp_port),
        lease_time: value(written.lease_time.as_ref(), usual.lease_time),
        loaders,
        loaders_by_code: written
            .loaders_by_code
            .iter()
            .map(|(code, loader)| (*code, loader.value.clone()))
            .collect(),
        tftp_port: value(written.tftp_port.as_ref(), usual.tftp_port),
        tftp_max_blksize: value(written.max_blksize.as_ref(), usual.tftp_max_blksize),
        tftp_max_windowsize: value(written.max_windowsize.as_ref(), usual.tftp_max_windowsize),
        http_port: value(written.http_port.as_ref(), usual.http_port),
        armed_for: value(written.armed_for.as_ref(), usual.armed_for),
        max_attempts: value(written.max_attempts.as_ref(), usual.max_attempts),
        stalled_after: value(written.stalled_after.as_ref(), usual.stalled_after),
        journal_keep: value(written.journal_keep.as_ref(), usual.journal_keep),
    };
    if server.dhcp_port == server.tftp_port {
        let mut places = [&written.tftp_port, &written.dhcp_port]
            .into_iter()
            .flatten();
        let mut problem = Problem::error(
            "port-clash",
            format!("DHCP and TFTP have the same UDP port, {}", server.dhcp_port),
        )
        .help("machines ask port 67 for DHCP and port 69 for TFTP");
        if let Some(first) = places.next() {
            problem = problem.at(first.span, "this port");
        }
        if let Some(second) = places.next() {
            problem = problem.at(second.span, "the same port");
        }
        problems.push(problem);
    }
    server
}

/// A subnet whose network is known.
struct Network<'a> {
    entry: &'a SubnetEntry,
    net: Ipv4Net,
    name: SubnetName,
}

impl Network<'_> {
    fn span(&self) -> Span {
        self.entry
            .network
            .as_ref()
            .map_or(self.entry.header, |network| network.span)
    }

    /// Whether the address is the network's own or its broadcast address. Networks of one or two
    /// addresses have neither (RFC 3021).
    fn is_edge(&self, ip: Ipv4Addr) -> bool {
        self.net.prefix_len() < 31 && (ip == self.net.network() || ip == self.net.broadcast())
    }

    fn edge_name(&self, ip: Ipv4Addr) -> &'static str {
        if ip == self.net.network() {
            "network address"
        } else {
            "broadcast address"
        }
    }
}

fn networks<'a>(input: &'a Input, problems: &mut Vec<Problem>) -> Vec<Network<'a>> {
    if !input.server.has_subnets && !input.server_unsure {
        problems.push(
            Problem::error("no-subnet", "there is no [[subnet]]: no machine would be answered")
                .at(input.main_span, "")
                .help("add [[subnet]] with `network = \"10.99.0.0/24\"`: the network that the machines are in"),
        );
    }
    let mut networks: Vec<Network<'_>> = Vec::new();
    for entry in &input.server.subnets {
        let Some(network) = &entry.network else {
            continue;
        };
        let net = network.value;
        let name = match &entry.name {
            Some(name) => name.value.clone(),
            None => match net.to_string().parse() {
                Ok(name) => name,
                Err(_) => continue,
            },
        };
        let subnet = Network { entry, net, name };
        for first in &networks {
            if first.name == subnet.name && first.net != net {
                let place = |network: &Network<'_>| {
                    network
                        .entry
                        .name
                        .as_ref()
                        .map_or_else(|| network.span(), |name| name.span)
                };
                problems.push(
                    Problem::error(
                        "duplicate-subnet",
                        format!("two subnets have the name `{}`", first.name),
                    )
                    .at(place(&subnet), "the second one")
                    .at(place(first), "the first one")
                    .help("give each subnet a name of its own"),
                );
            }
            if first.net.contains(&net) || net.contains(&first.net) {
                let (message, help) = if first.net == net {
                    (
                        format!("the network {net} stands in two subnets"),
                        "keep one of the two",
                    )
                } else {
                    (
                        format!("the networks {net} and {} overlap", first.net),
                        "an address must belong to one subnet: correct one of the prefix lengths",
                    )
                };
                problems.push(
                    Problem::error("overlapping-subnets", message)
                        .at(subnet.span(), "this network")
                        .at(first.span(), "overlaps with this one")
                        .help(help),
                );
            }
        }
        own_addresses(&subnet, problems);
        networks.push(subnet);
    }
    networks
}

/// The router lies in the network; neither it nor the server has the network's own address.
fn own_addresses(subnet: &Network<'_>, problems: &mut Vec<Problem>) {
    if let Some(router) = &subnet.entry.router
        && !subnet.net.contains(&router.value)
    {
        problems.push(
            Problem::error(
                "router-outside",
                format!(
                    "the router {} is outside of its network {}",
                    router.value, subnet.net
                ),
            )
            .at(router.span, "outside")
            .at(subnet.span(), "the network")
            .help("machines reach only a router of their own network: write its address there"),
        );
    }
    for (what, address) in [
        ("router", &subnet.entry.router),
        ("server", &subnet.entry.server),
    ] {
        if let Some(address) = address
            && subnet.net.contains(&address.value)
            && subnet.is_edge(address.value)
        {
            problems.push(
                Problem::error(
                    "reserved-address",
                    format!(
                        "`{what}` is the {} of {}",
                        subnet.edge_name(address.value),
                        subnet.net
                    ),
                )
                .at(address.span, "no machine can have this address")
                .help(format!(
                    "the addresses of machines are {}",
                    usable(subnet.net)
                )),
            );
        }
    }
}

/// `10.99.0.1 to 10.99.0.254`.
fn usable(net: Ipv4Net) -> String {
    let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
    let edge = u32::from(net.prefix_len() < 31);
    format!(
        "{} to {}",
        Ipv4Addr::from(first + edge),
        Ipv4Addr::from(last - edge)
    )
}

fn subnets(networks: &[Network<'_>], hosts: &[&HostEntry], server: &Server) -> Vec<Subnet> {
    let mut taken: HashSet<Ipv4Addr> = hosts
        .iter()
        .filter_map(|host| host.ip.as_ref())
        .map(|ip| ip.value)
        .collect();
    for subnet in networks {
        taken.extend(subnet.entry.router.iter().map(|router| router.value));
        taken.extend(&subnet.entry.dns);
        taken.extend(&subnet.entry.ntp);
        taken.extend(&subnet.entry.nat);
    }
    networks
        .iter()
        .map(|subnet| {
            let entry = subnet.entry;
            let written = entry.server.as_ref().map(|server| server.value);
            Subnet {
                name: subnet.name.clone(),
                network: subnet.net,
                server: written,
                example_server: written.unwrap_or_else(|| {
                    // `hosts` leaves out the network's own and its broadcast address.
                    let mut hosts = subnet.net.hosts();
                    hosts
                        .find(|ip| !taken.contains(ip))
                        .unwrap_or_else(|| subnet.net.addr())
                }),
                router: entry.router.as_ref().map(|router| router.value),
                dns: entry.dns.clone(),
                ntp: entry.ntp.clone(),
                domain: entry
                    .domain
                    .as_ref()
                    .map(|domain| domain.value.clone())
                    .or_else(|| server.domain.clone()),
                lease_time: entry
                    .lease_time
                    .as_ref()
                    .map_or(server.lease_time, |time| time.value),
                nat: entry.nat.clone(),
                span: Some(entry.header),
            }
        })
        .collect()
}

/// Where names are looked up.
struct Lookups<'a> {
    profile_names: &'a [&'a ProfileName],
    profiles_folder: &'a Path,
    /// A group may stand where nothing could be read: do not call it unknown.
    groups_unsure: bool,
}

impl Lookups<'_> {
    fn profile(&self, layer: &Layer, problems: &mut Vec<Problem>) {
        let Some(profile) = &layer.profile else {
            return;
        };
        if self.profile_names.contains(&&profile.value) {
            return;
        }
        let names = self.profile_names.iter().map(|name| name.as_str());
        let folder = self.profiles_folder.display();
        let help = if let Some(nearest) = suggest::nearest(profile.value.as_str(), names) {
            format!("did you mean \"{nearest}\"?")
        } else if self.profile_names.is_empty() {
            format!("a profile is a file {folder}/NAME.toml; there is none")
        } else {
            let mut names: Vec<&str> = self
                .profile_names
                .iter()
                .map(|name| name.as_str())
                .collect();
            names.sort_unstable();
            format!(
                "the profiles in {folder} are {}",
                super::table::list_words(names, "and")
            )
        };
        problems.push(
            Problem::error(
                "unknown-profile",
                format!("there is no profile `{}`", profile.value),
            )
            .at(profile.span, "unknown profile")
            .help(help),
        );
    }

    fn group(
        &self,
        groups: &Groups<'_>,
        group: &Written<crate::base::GroupName>,
        problems: &mut Vec<Problem>,
    ) {
        if self.groups_unsure || groups.contains(&group.value) {
            return;
        }
        let help = match suggest::nearest(group.value.as_str(), groups.names()) {
            Some(nearest) => format!("did you mean \"{nearest}\"?"),
            None => format!(
                "add [groups.{}], or name a group that there is",
                group.value
            ),
        };
        problems.push(
            Problem::error(
                "unknown-group",
                format!("there is no group `{}`", group.value),
            )
            .at(group.span, "unknown group")
            .help(help),
        );
    }
}

fn defaults(files: &[ReservationsFile], problems: &mut Vec<Problem>) -> Merged {
    let mut all = files.iter().filter_map(|file| file.defaults.as_ref());
    let first = all.next();
    if let Some(first) = first {
        for second in all {
            problems.push(
                Problem::error("two-defaults", "[defaults] stands in two files")
                    .at(second.span, "the second one")
                    .at(first.span, "the first one")
                    .help("it holds for all hosts of all files: keep it in one of them"),
            );
        }
    }
    Merged::from_defaults(first.map(|defaults| &defaults.value), problems)
}

fn groups<'a>(
    files: &'a [ReservationsFile],
    defaults: &Merged,
    lookups: &Lookups<'_>,
    problems: &mut Vec<Problem>,
) -> Groups<'a> {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for group in files.iter().flat_map(|file| &file.groups) {
        if let Some(first) = seen.get(group.name.value.as_str()) {
            problems.push(
                Problem::error(
                    "duplicate-name",
                    format!("two groups have the name `{}`", group.name.value),
                )
                .at(group.name.span, "the second one")
                .at(*first, "the first one")
                .help("put them together, or give one of them another name"),
            );
        } else {
            seen.insert(group.name.value.as_str(), group.name.span);
        }
    }
    let groups = Groups::new(
        files.iter().flat_map(|file| &file.groups),
        defaults,
        problems,
    );
    for group in files.iter().flat_map(|file| &file.groups) {
        lookups.profile(&group.layer, problems);
        if let Some(parent) = &group.group {
            lookups.group(&groups, parent, problems);
        }
    }
    groups
}

/// Names, MAC addresses and addresses that two hosts have.
fn duplicates(hosts: &[&HostEntry], problems: &mut Vec<Problem>) {
    let mut names: HashMap<String, &HostEntry> = HashMap::new();
    let mut macs: HashMap<_, &HostEntry> = HashMap::new();
    let mut addresses: HashMap<_, &HostEntry> = HashMap::new();
    for host in hosts {
        // DNS does not tell upper from lower case.
        let key = host.name.value.as_str().to_ascii_lowercase();
        if let Some(first) = names.get(&key) {
            problems.push(
                Problem::error(
                    "duplicate-name",
                    format!("two hosts have the name `{}`", host.name.value),
                )
                .at(host.name.span, "the second one")
                .at(first.name.span, "the first one")
                .help("give each host a name of its own; upper and lower case do not count"),
            );
            continue;
        }
        names.insert(key, host);
        if let Some(mac) = &host.mac {
            if let Some(first) = macs.get(&mac.value) {
                let mut problem = Problem::error(
                    "duplicate-mac",
                    format!(
                        "`{}` and `{}` have the same MAC address {}",
                        host.name.value, first.name.value, mac.value
                    ),
                )
                .at(mac.span, format!("`{}`", host.name.value));
                if let Some(first_mac) = &first.mac {
                    problem = problem.at(
                        first_mac.span,
                        format!("`{}` has it already", first.name.value),
                    );
                }
                problems.push(problem.help("write each machine's own address"));
            } else {
                macs.insert(mac.value, host);
            }
        }
        if let Some(ip) = &host.ip {
            if let Some(first) = addresses.get(&ip.value) {
                let mut problem = Problem::error(
                    "duplicate-address",
                    format!(
                        "`{}` and `{}` have the same address {}",
                        host.name.value, first.name.value, ip.value
                    ),
                )
                .at(ip.span, format!("`{}`", host.name.value));
                if let Some(first_ip) = &first.ip {
                    problem = problem.at(
                        first_ip.span,
                        format!("`{}` has it already", first.name.value),
                    );
                }
                problems.push(problem.help("give each host an address of its own"));
            } else {
                addresses.insert(ip.value, host);
            }
        }
    }
}

/// The subnet of a host: index into the networks.
fn place(
    host: &HostEntry,
    networks: &[Network<'_>],
    input: &Input,
    problems: &mut Vec<Problem>,
) -> Option<usize> {
    let ip = host.ip.as_ref()?;
    let name = &host.name.value;
    let found = networks
        .iter()
        .position(|subnet| subnet.net.contains(&ip.value));
    let Some(index) = found else {
        let sure = input.server.has_subnets
            && !input.server_unsure
            && networks.len() == input.server.subnets.len();
        if sure {
            let known = networks
                .iter()
                .take(8)
                .map(|subnet| subnet.net.to_string())
                .collect::<Vec<_>>()
                .join(", ");
            problems.push(
                Problem::error(
                    "outside-subnets",
                    format!(
                        "the address {} of `{name}` is outside of every subnet",
                        ip.value
                    ),
                )
                .at(ip.span, "in no [[subnet]]")
                .help(format!(
                    "the networks are {known}; correct the address, or add a [[subnet]] to {}",
                    input.main.display()
                )),
            );
        }
        return None;
    };
    let subnet = networks.get(index)?;
    if subnet.is_edge(ip.value) {
        problems.push(
            Problem::error(
                "reserved-address",
                format!(
                    "the address {} of `{name}` is the {} of {}",
                    ip.value,
                    subnet.edge_name(ip.value),
                    subnet.net
                ),
            )
            .at(ip.span, "no machine can have this address")
            .help(format!(
                "the addresses of machines are {}",
                usable(subnet.net)
            )),
        );
        return None;
    }
    for other in networks {
        for (whose, address) in [
            ("server", &other.entry.server),
            ("router", &other.entry.router),
        ] {
            if let Some(address) = address
                && address.value == ip.value
            {
                problems.push(
                    Problem::error(
                        "reserved-address",
                        format!("the address {} of `{name}` is the {whose}'s", ip.value),
                    )
                    .at(ip.span, format!("the address of the {whose}"))
                    .at(
                        address.span,
                        format!("the {whose} of subnet `{}`", other.name),
                    )
                    .help(format!(
                        "give `{name}` another address, or leave the {whose} out of the hosts"
                    )),
                );
                return None;
            }
        }
    }
    Some(index)
}

/// What the profiles run on.
struct RunsOn<'a> {
    profiles: HashMap<&'a ProfileName, &'a ProfileFile>,
}

impl<'a> RunsOn<'a> {
    fn new(profiles: &'a [ProfileFile]) -> Self {
        Self {
            profiles: profiles
                .iter()
                .map(|profile| (&profile.name, profile))
                .collect(),
        }
    }

    /// A profile that cannot run on a host is told once for each pair of places, not for each host of a group.
    fn check(&self, host: &HostEntry, merged: &Merged, problems: &mut Vec<Problem>) {
        let (Some(arch), Some(used)) = (&merged.arch, &merged.profile) else {
            return;
        };
        let Some(list) = self
            .profiles
            .get(&used.value)
            .and_then(|profile| profile.arch.as_ref())
        else {
            return;
        };
        if list.value.is_empty() || list.value.iter().any(|able| able.value == arch.value) {
            return;
        }
        let told = problems.iter().any(|problem| {
            problem.code == "arch-mismatch"
                && problem
                    .labels
                    .iter()
                    .zip([arch.span, used.span])
                    .all(|(label, span)| label.span == span)
        });
        if told {
            return;
        }
        let able =
            super::table::list_words(list.value.iter().map(|able| able.value.as_str()), "and");
        problems.push(
            Problem::error(
                "arch-mismatch",
                format!("`{}` is {}, but profile `{}` runs on {able} only", host.name.value, arch.value, used.value),
            )
            .at(arch.span, format!("`{}` gets its `arch` here", host.name.value))
            .at(used.span, "and its profile here")
            .at(list.span, "what the profile runs on")
            .help("give the host a profile for its architecture, or add the architecture to the profile"),
        );
    }
}

/// Leaves out hosts whose name, MAC address or address an earlier one has.
fn first_of_each(hosts: Vec<(&HostEntry, Merged, usize)>) -> Vec<(&HostEntry, Merged, usize)> {
    let (mut names, mut macs, mut addresses) = (HashSet::new(), HashSet::new(), HashSet::new());
    hosts
        .into_iter()
        .filter(|(host, ..)| {
            names.insert(host.name.value.as_str().to_ascii_lowercase())
                && host.mac.as_ref().is_none_or(|mac| macs.insert(mac.value))
                && host.ip.as_ref().is_none_or(|ip| addresses.insert(ip.value))
        })
        .collect()
}

fn host(entry: &HostEntry, merged: Merged, subnet: usize, subnets: &[Subnet]) -> Option<Host> {
    let place = subnets.get(subnet)?;
    let name = &entry.name.value;
    let (fqdn, domain) = match &entry.fqdn {
        Some(fqdn) => {
            let domain = fqdn
                .value
                .split_once('.')
                .map(|(_, domain)| domain.to_owned());
            (Some(fqdn.value.clone()), domain)
        }
        None => (
            place
                .domain
                .as_ref()
                .map(|domain| format!("{name}.{domain}")),
            place.domain.clone(),
        ),
    };
    Some(Host {
        name: name.clone(),
        fqdn,
        domain,
        macs: entry.mac.iter().map(|mac| mac.value).collect(),
        ip: entry.ip.as_ref()?.value,
        subnet,
        groups: merged.groups,
        profile: merged.profile.map(|profile| profile.value),
        arch: merged.arch.map(|arch| arch.value),
        loader: merged.loader.map(|loader| loader.value),
        local_boot: merged.local_boot.map(|boot| boot.value).unwrap_or_default(),
        install: merged
            .install
            .map(|install| install.value)
            .unwrap_or_default(),
        uuid: entry.uuid.as_ref().map(|uuid| uuid.value),
        serial: entry.serial.as_ref().map(|serial| serial.value.clone()),
        vars: super::vars::into_table(merged.vars),
        notes: entry.notes.as_ref().map(|notes| notes.value.clone()),
        span: Some(entry.name.span),
    })
}

/// Full names that two hosts have: at least one of them was written as `fqdn`.
fn full_names(hosts: &[Host], entries: &[&HostEntry], problems: &mut Vec<Problem>) {
    let place = |host: &Host| {
        let entry = entries.iter().find(|entry| entry.name.value == host.name)?;
        Some(
            entry
                .fqdn
                .as_ref()
                .map_or(entry.name.span, |fqdn| fqdn.span),
        )
    };
    let mut seen: HashMap<String, &Host> = HashMap::new();
    for host in hosts {
        let Some(fqdn) = &host.fqdn else { continue };
        if let Some(first) = seen.get(&fqdn.to_ascii_lowercase())
            && let (Some(second_place), Some(first_place)) = (place(host), place(first))
        {
            problems.push(
                Problem::error(
                    "duplicate-name",
                    format!(
                        "`{}` and `{}` have the same full name {fqdn}",
                        host.name, first.name
                    ),
                )
                .at(second_place, format!("`{}`", host.name))
                .at(first_place, format!("`{}` has it already", first.name))
                .help("correct one of the `fqdn` keys"),
            );
        } else {
            seen.insert(fqdn.to_ascii_lowercase(), host);
        }
    }
}

/// The profiles that could be read whole and whose templates are there.
fn profiles(input: &Input, problems: &mut Vec<Problem>) -> Vec<Profile> {
    let mut good = Vec::new();
    let known = |template: &Written<String>, problems: &mut Vec<Problem>| {
        if input.templates.contains_key(&template.value) {
            return true;
        }
        if !input.templates_unsure {
            let nearest = nearest_template(&template.value, &input.templates);
            problems.push(
                Problem::error(
                    "unknown-template",
                    format!("there is no template `{}`", template.value),
                )
                .at(template.span, "unknown template")
                .help(match nearest {
                    Some(nearest) => format!("did you mean \"{nearest}\"?"),
                    None => {
                        "templates are named by their path under the folder `templates`".to_owned()
                    }
                }),
            );
        }
        false
    };
    for profile in &input.profiles {
        let mut ok = profile.ok;
        if let Some(template) = profile
            .boot
            .as_ref()
            .and_then(|boot| boot.template.as_ref())
        {
            ok &= known(template, problems);
        }
        for answer in &profile.answers {
            ok &= known(&answer.template, problems);
        }
        let (true, Some(boot)) = (ok, &profile.boot) else {
            continue;
        };
        good.push(Profile {
            name: profile.name.clone(),
            title: profile
                .title
                .as_ref()
                .map_or_else(|| profile.name.to_string(), |title| title.value.clone()),
            family: profile
                .family
                .as_ref()
                .map_or("other", |family| family.value)
                .to_owned(),
            arch: profile
                .arch
                .iter()
                .flat_map(|list| &list.value)
                .map(|arch| arch.value)
                .collect(),
            boot: Boot::clone(&boot.boot),
            answers: profile
                .answers
                .iter()
                .map(|answer| Answer {
                    name: answer.name.value.clone(),
                    template: answer.template.value.clone(),
                    content_type: answer
                        .content_type
                        .as_ref()
                        .map_or_else(|| "text/plain".to_owned(), |kind| kind.value.clone()),
                    span: Some(answer.template.span),
                })
                .collect(),
            stalled_after: profile.stalled_after.as_ref().map(|time| time.value),
            span: Some(profile.span),
        });
    }
    good
}

/// By the whole path, or by the file's name alone when the folder was forgotten.
fn nearest_template<'a>(name: &str, templates: &'a BTreeMap<String, Template>) -> Option<&'a str> {
    let names = || templates.keys().map(String::as_str);
    suggest::nearest(name, names()).or_else(|| {
        let file = name.rsplit('/').next().unwrap_or(name);
        let stem = |path: &str| {
            let file = path.rsplit('/').next().unwrap_or(path).to_owned();
            file.strip_suffix(".j2").map(str::to_owned).unwrap_or(file)
        };
        let wanted = stem(file);
        names().find(|path| stem(path) == wanted)
    })
}
