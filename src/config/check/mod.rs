//! What is written → what is meant: looks up every name, merges the layers, compares every address.

mod cards;
mod declared;
pub(super) mod hooks;
mod hosts;
mod networks;
mod pools;
mod profiles;
mod secrets;
mod secure;
mod suspicious;
mod variables;
mod waits;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use self::hosts::{
    Lookups, Maker, Place, RunsOn, defaults, duplicates, first_of_each, full_names, groups,
};
use self::networks::{networks, place, subnets};
use self::profiles::{profiles, snippets};
use super::problem::Problem;
use super::snapshot::{Server, Snapshot, Template, Unknown};
use super::source::Span;
use super::written::Written;
use super::written::declared::{DeclarationsFile, SnippetFile};
use super::written::hosts::{HostEntry, ReservationsFile};
use super::written::profile::ProfileFile;
use super::written::secrets::SecretsFile;
use super::written::server::ServerFile;
use crate::base::{HostName, ProfileName, pace};

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
    /// Files of declared variables, by path under `templates`.
    pub declarations: BTreeMap<String, DeclarationsFile>,
    /// Snippets by name, and what stands beside them.
    pub snippets: BTreeMap<String, Option<SnippetFile>>,
    pub secrets: SecretsFile,
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
    let before = problems.len();
    duplicates(&entries, problems);
    let has_duplicates = problems.len() > before;
    // What could not be read may be any host; and nobody asks where no host has secrets.
    let is_asked = !input.reservations_unsure && !input.secrets.hosts.is_empty();
    let host_names: Option<Vec<HostName>> = is_asked.then(|| {
        let names = entries.iter().map(|entry| entry.name.value.clone());
        names.collect()
    });
    let hosts_unsure =
        input.reservations_unsure || input.reservations.iter().any(|file| file.hosts_unsure);
    waits::waits(&entries, hosts_unsure, problems);
    suspicious::macs(&entries, problems);
    suspicious::empty_groups(&input, problems);
    let defaults = Rc::new(defaults);
    let mut runs_on = RunsOn::new(&input.profiles);
    let mut secure = secure::Checks::new(&input);
    let mut placed = Vec::with_capacity(entries.len());
    for (count, entry) in entries.iter().enumerate() {
        pace::give_way(count);
        lookups.profile(&entry.layer, problems);
        let mut merged = match &entry.group {
            None => Rc::clone(&defaults),
            Some(group) => {
                lookups.group(&groups, group, problems);
                groups.merged(&group.value).cloned().unwrap_or_default()
            }
        };
        if !(entry.layer.ok && entry.layer.is_empty()) {
            Rc::make_mut(&mut merged).cover(&entry.layer, problems);
        }
        networks::own_options(entry, &networks, problems);
        runs_on.check(entry, &merged, problems);
        runs_on.check_always(entry, &merged, problems);
        runs_on.check_local_boot(entry, &merged, problems);
        let place = place(entry, &networks, &input, problems);
        secure.host(
            entry,
            &merged,
            place.and_then(|index| networks.get(index)),
            problems,
        );
        let nics = cards::nics(entry, place, &networks, &input, problems);
        if let (true, Some(subnet), Some(nics)) = (merged.ok, place, nics) {
            placed.push((*entry, merged, Place { subnet, nics }));
        }
    }
    if has_duplicates {
        placed = first_of_each(placed);
    }
    let unknown = input.server.unknown.as_ref();
    let subnets = subnets(
        &networks,
        &entries,
        &server,
        unknown.map_or_else(Unknown::default, |unknown| unknown.value),
    );
    pools::pools(&networks, &subnets, &entries, &input.server, problems);
    pools::discovery(&input, &subnets, &lookups, problems);
    secure.discovery(&input, &subnets, problems);
    let profiles = profiles(&input, problems);
    let snippets = snippets(&input.snippets);
    if !input.templates_unsure {
        declared::unknown_snippets(&input.reservations, &snippets, problems);
        suspicious::unused_snippets(&input, &snippets, problems);
    }
    declared::of_profiles(&input.profiles, &profiles, problems);
    declared::of_hosts(&placed, &profiles, &snippets, problems);
    if profiles.len() == profile_names.len() {
        declared::inheriting_nothing(&input.reservations, &profiles, &snippets, problems);
    }
    let mut maker = Maker::new(
        &subnets,
        &runs_on,
        profiles.iter().map(|profile| &profile.name),
    );
    let mut hosts = Vec::with_capacity(placed.len());
    for (count, placed) in placed.iter().enumerate() {
        pace::give_way(count);
        hosts.extend(maker.host(placed));
    }
    drop(placed);
    full_names(&hosts, &entries, problems);
    // What could not be read may read any variable.
    if !input.templates_unsure && profiles.len() == profile_names.len() {
        variables::unread(&input, &profiles, &snippets, problems);
    }
    // The indexes take their room in place of what was read.
    drop(entries);
    drop(input.reservations);
    let secrets = secrets::secrets(input.secrets, host_names.as_deref(), problems);
    let mut snapshot = Snapshot::new(server, subnets, hosts, profiles, input.templates);
    snapshot.secrets = secrets;
    snapshot.snippets = snippets;
    snapshot.hooks = input
        .server
        .hooks
        .into_iter()
        .map(|hook| hook.value)
        .collect();
    snapshot.mirrors = input.server.mirrors;
    snapshot
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
    let mut secure = usual.secure;
    for (firmware, shim) in &written.secure {
        secure.insert(*firmware, shim.value.clone());
    }
    let server = Server {
        secure,
        secure_named: !written.secure.is_empty(),
        install_new: value(written.install_new.as_ref(), usual.install_new),
        secrets: written
            .secrets
            .as_ref()
            .map(|file| folder.join(&file.value)),
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
        proxy_port: value(written.proxy_port.as_ref(), usual.proxy_port),
        lease_time: value(written.lease_time.as_ref(), usual.lease_time),
        discovery_profile: pools::discovery_profile(written),
        conflict_probe: value(written.conflict_probe.as_ref(), usual.conflict_probe),
        loaders,
        loaders_by_code: written
            .loaders_by_code
            .iter()
            .map(|(code, loader)| (*code, loader.value.clone()))
            .collect(),
        advertise_to_ipxe: value(written.advertise_to_ipxe.as_ref(), usual.advertise_to_ipxe),
        tftp_port: value(written.tftp_port.as_ref(), usual.tftp_port),
        tftp_max_blksize: value(written.max_blksize.as_ref(), usual.tftp_max_blksize),
        tftp_max_windowsize: value(written.max_windowsize.as_ref(), usual.tftp_max_windowsize),
        tftp_engine: value(written.tftp_engine.as_ref(), usual.tftp_engine),
        http_port: value(written.http_port.as_ref(), usual.http_port),
        armed_for: value(written.armed_for.as_ref(), usual.armed_for),
        max_attempts: value(written.max_attempts.as_ref(), usual.max_attempts),
        stalled_after: value(written.stalled_after.as_ref(), usual.stalled_after),
        journal_keep: value(written.journal_keep.as_ref(), usual.journal_keep),
        asset_cache: value(written.asset_cache.as_ref(), usual.asset_cache),
        allow: written.allow.clone(),
    };
    same_port(
        [("DHCP", server.dhcp_port), ("TFTP", server.tftp_port)],
        [&written.tftp_port, &written.dhcp_port],
        problems,
    );
    let proxy = ("`proxy_port`", server.proxy_port);
    same_port(
        [("DHCP", server.dhcp_port), proxy],
        [&written.proxy_port, &written.dhcp_port],
        problems,
    );
    same_port(
        [("TFTP", server.tftp_port), proxy],
        [&written.proxy_port, &written.tftp_port],
        problems,
    );
    server
}

/// Two services cannot have one UDP port.
fn same_port(
    [first, second]: [(&str, u16); 2],
    places: [&Option<Written<u16>>; 2],
    problems: &mut Vec<Problem>,
) {
    if first.1 != second.1 {
        return;
    }
    let mut problem = Problem::error(
        "port-clash",
        format!(
            "{} and {} have the same UDP port, {}",
            first.0, second.0, first.1
        ),
    )
    .help("machines ask port 67 for DHCP, port 69 for TFTP and port 4011 for PXE beside another DHCP server");
    let mut labels = ["this port", "the same port"].into_iter();
    for place in places.into_iter().flatten() {
        problem = problem.at(place.span, labels.next().unwrap_or_default());
    }
    problems.push(problem);
}
