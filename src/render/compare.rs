//! Which rendered files a change of the configuration changes, and for which hosts.
//!
//! Nothing is kept of what was rendered before: the configuration in force and its templates are at hand, and both
//! sides are rendered. Only hosts of which something went into a text that is another now are looked at, and of
//! those that differ in the same way and render alike on both sides ([`super::kinds`]) only the first and the last
//! are rendered. A changed template of a hundred thousand hosts thus costs as little as its proof did.
//!
//! **Invariant:** pure; both sides are rendered with secrets masked, so that another value of a secret is no other
//! text here (it is told by its name).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

use super::check::architectures;
use super::kinds::{Key, key};
use super::load::InForce;
use super::uses::Uses;
use super::{RenderedAnswer, RenderedBoot, View};
use crate::base::{BootLoader, HostName, ProfileName, pace};
use crate::config::SnapshotDiff;
use crate::config::diff::{FileChange, FileFate, same_profile};
use crate::config::options::ConfiguredOption;
use crate::config::snapshot::{Boot, Host, Own, Profile, Subnet};

/// What the DHCP options of a profile are called among the files.
const OPTIONS: &str = "DHCP options";

/// The whole difference of two configurations, their rendered files among it.
pub fn difference(old: &InForce, new: &InForce) -> SnapshotDiff {
    let mut diff = SnapshotDiff::between(&old.snapshot, &new.snapshot);
    diff.files = files(old, new, &diff);
    diff
}

/// Hosts that differ in the same way, and render alike on both sides.
struct Class<'a> {
    first: (&'a Host, &'a Host),
    last: (&'a Host, &'a Host),
    /// Their places among the new hosts.
    hosts: Vec<u32>,
}

/// What decides about a class.
#[derive(PartialEq, Eq, Hash)]
struct ClassKey<'a> {
    old: Option<Key>,
    new: Option<Key>,
    /// Domains are not each host's own, as what else is printed is: of two hosts both may have that of a text.
    domains: [Option<&'a str>; 2],
    /// Which of its own values differ.
    differs: [bool; 5],
}

fn files(old: &InForce, new: &InForce, diff: &SnapshotDiff) -> Vec<FileChange> {
    let hosts = new.snapshot.hosts();
    let sides = Sides::new(old, new, diff);
    let mut classes: HashMap<ClassKey<'_>, Class<'_>> = HashMap::new();
    let mut dirty = Dirty::default();
    for (count, host) in hosts.iter().enumerate() {
        pace::give_way(count);
        let Some(before) = old.snapshot.host(&host.name) else {
            continue;
        };
        if !dirty.is(&sides, before, host) {
            continue;
        }
        let of = |in_force: &InForce, uses: &BTreeMap<&ProfileName, Uses>, host: &Host| {
            let uses = uses.get(host.profile.as_ref()?)?;
            Some(key(&in_force.snapshot, host, uses))
        };
        let class = ClassKey {
            old: of(old, &sides.old_uses, before),
            new: of(new, &sides.new_uses, host),
            domains: [before.domain.as_deref(), host.domain.as_deref()],
            differs: [
                before.macs != host.macs,
                before.ip != host.ip,
                before.fqdn() != host.fqdn(),
                before.uuid != host.uuid,
                before.serial != host.serial,
            ],
        };
        let pair: (&Host, &Host) = (before, host);
        let class = classes.entry(class).or_insert(Class {
            first: pair,
            last: pair,
            hosts: Vec::new(),
        });
        class.last = pair;
        class.hosts.extend(u32::try_from(count));
    }
    let mut found: BTreeMap<(String, FileFate), Vec<u32>> = BTreeMap::new();
    for class in classes.into_values() {
        pace::give_way_now();
        let first = changes(old, new, class.first);
        if class.hosts.len() == 1 || first == changes(old, new, class.last) {
            for change in first {
                found.entry(change).or_default().extend(&class.hosts);
            }
            continue;
        }
        // A text that was put in the place of a value, and happens to be that of one of them.
        for place in class.hosts {
            pace::give_way_now();
            let host = hosts.get(usize::try_from(place).unwrap_or(usize::MAX));
            let pair = host.and_then(|host| Some((old.snapshot.host(&host.name)?, host)));
            let Some((before, host)) = pair else {
                continue;
            };
            for change in changes(old, new, (before, host)) {
                found.entry(change).or_default().push(place);
            }
        }
    }
    let change = |((name, what), mut places): ((String, FileFate), Vec<u32>)| {
        places.sort_unstable();
        let host = |place: u32| hosts.get(usize::try_from(place).ok()?);
        let names = places.into_iter().filter_map(host);
        FileChange {
            name,
            what,
            hosts: names
                .map(|host| host.name.clone())
                .collect::<Vec<HostName>>(),
        }
    };
    found.into_iter().map(change).collect()
}

/// What of both sides goes into texts.
struct Sides<'a> {
    old: &'a InForce,
    new: &'a InForce,
    old_uses: BTreeMap<&'a ProfileName, Uses>,
    new_uses: BTreeMap<&'a ProfileName, Uses>,
    /// Profiles whose texts may come out differently for any host.
    changed_profiles: BTreeSet<&'a ProfileName>,
    /// The port of the URLs is another one.
    all: bool,
}

impl<'a> Sides<'a> {
    fn new(old: &'a InForce, new: &'a InForce, diff: &SnapshotDiff) -> Self {
        let uses = |in_force: &'a InForce| -> BTreeMap<&'a ProfileName, Uses> {
            let snapshot = &in_force.snapshot;
            let of = |profile: &Profile| Uses::of_profile(profile, snapshot.templates());
            let profiles = snapshot.profiles().iter();
            profiles
                .map(|(name, profile)| (name, of(profile)))
                .collect()
        };
        let (old_uses, new_uses) = (uses(old), uses(new));
        // What a snippet says of itself decides where it is run.
        let same_snippets = old.snapshot.snippets == new.snapshot.snippets;
        let is_changed = |name: &&'a ProfileName| {
            let (Some(before), Some(after)) =
                (old.snapshot.profile(name), new.snapshot.profile(name))
            else {
                return true;
            };
            let has_part = |uses: Option<&Uses>| {
                uses.is_some_and(|uses| {
                    let mut templates = diff.templates.iter();
                    uses.snippets && !same_snippets
                        || templates.any(|name| uses.templates.contains(name))
                })
            };
            !same_profile(before, after)
                || has_part(old_uses.get(name))
                || has_part(new_uses.get(name))
        };
        Self {
            changed_profiles: new.snapshot.profiles().keys().filter(is_changed).collect(),
            all: old.snapshot.server.http_port != new.snapshot.server.http_port,
            old,
            new,
            old_uses,
            new_uses,
        }
    }
}

/// Whether texts of a host may differ; what was found out for all that share it is kept.
#[derive(Default)]
struct Dirty<'a> {
    own: Option<(&'a Own, &'a Own, bool)>,
    subnet: Option<(usize, usize, bool)>,
}

impl<'a> Dirty<'a> {
    fn is(&mut self, sides: &Sides<'a>, old: &'a Host, new: &'a Host) -> bool {
        let profile = new.profile.as_ref();
        if old.profile.is_none() && profile.is_none() {
            return false;
        }
        sides.all
            || old.ip != new.ip
            || old.macs != new.macs
            || profile.is_none_or(|name| sides.changed_profiles.contains(name))
            || self.other_own(&old.own, &new.own)
            || self.other_subnet(sides, old.subnet, new.subnet)
    }

    fn other_own(&mut self, old: &'a Own, new: &'a Own) -> bool {
        match self.own {
            Some((last_old, last_new, other))
                if std::ptr::eq(last_old, old) && std::ptr::eq(last_new, new) =>
            {
                other
            }
            _ => {
                let other = old != new;
                self.own = Some((old, new, other));
                other
            }
        }
    }

    fn other_subnet(&mut self, sides: &Sides<'a>, old: usize, new: usize) -> bool {
        if let Some((last_old, last_new, other)) = self.subnet
            && (last_old, last_new) == (old, new)
        {
            return other;
        }
        let of = |in_force: &'a InForce, index: usize| in_force.snapshot.subnets.get(index);
        let other = match (of(sides.old, old), of(sides.new, new)) {
            (Some(old), Some(new)) => seen_by_templates(old) != seen_by_templates(new),
            _ => true,
        };
        self.subnet = Some((old, new, other));
        other
    }
}

/// What templates see of a subnet.
#[expect(
    clippy::type_complexity,
    reason = "made to be compared and for nothing else"
)]
fn seen_by_templates(
    subnet: &Subnet,
) -> (
    (&str, &ipnet::Ipv4Net, Ipv4Addr, Option<Ipv4Addr>),
    (&[Ipv4Addr], &[Ipv4Addr], Option<&str>),
) {
    (
        (
            subnet.name.as_str(),
            &subnet.network,
            subnet.example_server,
            subnet.router,
        ),
        (&subnet.dns, &subnet.ntp, subnet.domain.as_deref()),
    )
}

/// What differs for one host.
fn changes(
    old: &InForce,
    new: &InForce,
    (before, after): (&Host, &Host),
) -> BTreeSet<(String, FileFate)> {
    let (old, new) = (texts(old, before), texts(new, after));
    let mut changes = BTreeSet::new();
    for (name, text) in &new {
        match old.get(name) {
            None => changes.insert((name.clone(), FileFate::New)),
            Some(before) if before != text => changes.insert((name.clone(), FileFate::Changed)),
            Some(_) => false,
        };
    }
    let gone = old.into_keys().filter(|name| !new.contains_key(name));
    changes.extend(gone.map(|name| (name, FileFate::Gone)));
    changes
}

/// A rendered file, to be compared with another one.
#[derive(PartialEq)]
enum Text {
    Answer(RenderedAnswer),
    Boot(RenderedBoot),
    Options(Vec<ConfiguredOption>),
    /// It does not render, which a configuration in force never has.
    Failed(String),
}

/// Every file of a host by its name, for each architecture that it may have.
fn texts(in_force: &InForce, host: &Host) -> BTreeMap<String, Vec<Text>> {
    let snapshot = &in_force.snapshot;
    let mut texts: BTreeMap<String, Vec<Text>> = BTreeMap::new();
    let profile = host
        .profile
        .as_ref()
        .and_then(|name| snapshot.profile(name));
    let (Some(profile), Some(subnet)) = (profile, snapshot.subnet_of(host)) else {
        return texts;
    };
    // An iPXE script can be run by nothing else.
    let loader = if matches!(profile.boot, Boot::Script { .. }) {
        BootLoader::Ipxe
    } else {
        let loaders = snapshot.server.boot_loaders(host);
        loaders.first().copied().unwrap_or(BootLoader::Ipxe)
    };
    for arch in architectures(host, profile) {
        let view = View {
            snapshot,
            host,
            profile,
            arch,
            server: subnet.example_server,
            token: None,
        };
        let prepared = in_force.renderer.prepare(&view);
        let mut add = |name: &str, text| texts.entry(name.to_owned()).or_default().push(text);
        let boot = in_force.renderer.prepared_boot(&prepared);
        add(
            loader.text_name(),
            boot.map_or_else(|error| Text::Failed(error.to_string()), Text::Boot),
        );
        let options = in_force.renderer.prepared_options(&prepared);
        match options {
            Ok(options) if options.is_empty() => {}
            Ok(options) => add(OPTIONS, Text::Options(options)),
            Err(error) => add(OPTIONS, Text::Failed(error.to_string())),
        }
        for answer in &profile.answers {
            let text = in_force.renderer.prepared_answer(&prepared, &answer.name);
            let text = text.map(|text| {
                text.map_or_else(|error| Text::Failed(error.to_string()), Text::Answer)
            });
            texts.entry(answer.name.clone()).or_default().extend(text);
        }
    }
    texts
}
