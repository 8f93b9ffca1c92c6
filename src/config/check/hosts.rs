//! Hosts: what must be theirs alone, what they name, and what comes out when their layers are merged.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::cards::{Taken, are_new};
use super::profiles::lifecycle_of;
use crate::base::{After, Architecture, GroupName, Lifecycle, ProfileName, pace, suggest};
use crate::config::merge::{Groups, Merged};
use crate::config::problem::Problem;
use crate::config::snapshot::{Host, InstallPolicy, LocalBoot, Nic, Own, Settings, Subnet};
use crate::config::source::Span;
use crate::config::table::list_words;
use crate::config::vars;
use crate::config::written::Written;
use crate::config::written::hosts::{HostEntry, Layer, ReservationsFile};
use crate::config::written::profile::ProfileFile;

/// Where names are looked up.
pub(super) struct Lookups<'a> {
    pub(super) profile_names: &'a [&'a ProfileName],
    pub(super) profiles_folder: &'a Path,
    /// A group may stand where nothing could be read: do not call it unknown.
    pub(super) groups_unsure: bool,
}

impl Lookups<'_> {
    pub(super) fn profile(&self, layer: &Layer, problems: &mut Vec<Problem>) {
        let Some(profile) = &layer.profile else {
            return;
        };
        if self.profile_names.contains(&&profile.value) {
            return;
        }
        let names = self.profile_names.iter().map(|name| name.as_str());
        let folder = self.profiles_folder.display();
        let nearest = suggest::nearest(profile.value.as_str(), names);
        let help = if let Some(nearest) = nearest {
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
            let which = if names.len() == 1 {
                "the only profile"
            } else {
                "the profiles"
            };
            format!("{which} in {folder}: {}", list_words(names, "and"))
        };
        problems.push(
            Problem::error(
                "unknown-profile",
                format!("there is no profile `{}`", profile.value),
            )
            .at(profile.span, "unknown profile")
            .suggest_text(profile.span, nearest)
            .help(help),
        );
    }

    pub(super) fn group(
        &self,
        groups: &Groups<'_>,
        group: &Written<GroupName>,
        problems: &mut Vec<Problem>,
    ) {
        if self.groups_unsure || groups.contains(&group.value) {
            return;
        }
        let nearest = suggest::nearest(group.value.as_str(), groups.names());
        let help = match nearest {
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
            .suggest_text(group.span, nearest)
            .help(help),
        );
    }
}

pub(super) fn defaults(files: &[ReservationsFile], problems: &mut Vec<Problem>) -> Merged {
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

pub(super) fn groups<'a>(
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

/// A name of which upper and lower case do not count.
struct AnyCase<'a>(&'a str);

impl PartialEq for AnyCase<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(other.0)
    }
}

impl Eq for AnyCase<'_> {}

impl Hash for AnyCase<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.0.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

/// Names, MAC addresses and addresses that two hosts have.
pub(super) fn duplicates(hosts: &[&HostEntry], problems: &mut Vec<Problem>) {
    let mut names: HashMap<AnyCase<'_>, &HostEntry> = HashMap::with_capacity(hosts.len());
    let mut taken = Taken::default();
    for (count, host) in hosts.iter().enumerate() {
        pace::give_way(count);
        // DNS does not tell upper from lower case.
        let key = AnyCase(host.name.value.as_str());
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
        names.insert(key, *host);
        taken.take(host, problems);
    }
}

/// What the profiles run on.
pub(super) struct RunsOn<'a> {
    profiles: HashMap<&'a ProfileName, &'a ProfileFile>,
    /// Where the architecture and the profile of a problem stand that was told.
    told: HashSet<(Span, Span)>,
}

impl<'a> RunsOn<'a> {
    pub(super) fn new(profiles: &'a [ProfileFile]) -> Self {
        Self {
            profiles: profiles
                .iter()
                .map(|profile| (&profile.name, profile))
                .collect(),
            told: HashSet::new(),
        }
    }

    /// The life of the profile of this name.
    pub(super) fn lifecycle(&self, name: Option<&ProfileName>) -> Lifecycle {
        name.and_then(|name| self.profiles.get(name))
            .map_or(Lifecycle::Install, |profile| lifecycle_of(profile))
    }

    /// `install = "always"` is for profiles that write no disk: any other one would write it at every boot.
    pub(super) fn check_always(
        &mut self,
        host: &HostEntry,
        merged: &Merged,
        problems: &mut Vec<Problem>,
    ) {
        let Some(install) = merged
            .install
            .as_ref()
            .filter(|install| install.value == InstallPolicy::Always)
        else {
            return;
        };
        let name = &host.name.value;
        let problem = match &merged.profile {
            None => Problem::error(
                "always-without-profile",
                format!("`{name}` has install = \"always\" and no profile to be served"),
            )
            .at(install.span, format!("`{name}` gets it here"))
            .help("give the host a live profile, or take `install` out"),
            Some(used) => {
                let Some(profile) = self.profiles.get(&used.value) else {
                    return;
                };
                if lifecycle_of(profile) == Lifecycle::Live
                    || !profile.ok
                    || !self.told.insert((install.span, used.span))
                {
                    return;
                }
                Problem::error(
                    "always-installs",
                    format!(
                        "`{name}` would be installed at every boot: profile `{}` is not live",
                        used.value
                    ),
                )
                .at(install.span, format!("`{name}` gets its `install` here"))
                .at(used.span, "and its profile here")
                .help(
                    "install = \"always\" is for profiles with lifecycle = \"live\"; others are installed when `bootwright install` asks for it",
                )
            }
        };
        problems.push(problem);
    }

    /// What a machine that is UEFI for certain does with a form that is forced, where it is not the best:
    /// told once for each pair of places.
    pub(super) fn check_local_boot(
        &mut self,
        host: &HostEntry,
        merged: &Merged,
        problems: &mut Vec<Problem>,
    ) {
        let (Some(form), Some(arch)) = (&merged.local_boot, &merged.arch) else {
            return;
        };
        if !matches!(arch.value, Architecture::Aarch64 | Architecture::Arm) {
            return;
        }
        let what = match form.value {
            LocalBoot::NoFile => {
                "UEFI loses a minute and more for each of its network entries when it gets no boot file"
            }
            LocalBoot::Sanboot => {
                "iPXE has no BIOS disk under UEFI: `sanboot` fails there, and the firmware goes on"
            }
            LocalBoot::Auto | LocalBoot::Exit => return,
        };
        if self.told.insert((form.span, arch.span)) {
            problems.push(
                Problem::warning("local-boot-uefi", format!("`{}`: {what}", host.name.value))
                    .at(
                        form.span,
                        format!("`{}` gets its `local_boot` here", host.name.value),
                    )
                    .at(arch.span, "this architecture is always UEFI")
                    .help("leave `local_boot` out: \"auto\" does what each firmware does best"),
            );
        }
    }

    /// A profile that cannot run on a host is told once for each pair of places, not for each host of a group.
    pub(super) fn check(&mut self, host: &HostEntry, merged: &Merged, problems: &mut Vec<Problem>) {
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
        if !self.told.insert((arch.span, used.span)) {
            return;
        }
        let able = list_words(list.value.iter().map(|able| able.value.as_str()), "and");
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

/// Where a host is.
pub(super) struct Place {
    /// The subnet of its first network card.
    pub(super) subnet: usize,
    /// Its further network cards.
    pub(super) nics: Box<[Nic]>,
}

/// A host, its layers, and where it is.
pub(super) type Placed<'a> = (&'a HostEntry, Rc<Merged>, Place);

/// Leaves out hosts whose name, MAC address or address an earlier one has.
pub(super) fn first_of_each(hosts: Vec<Placed<'_>>) -> Vec<Placed<'_>> {
    let (mut names, mut macs, mut addresses) = (HashSet::new(), HashSet::new(), HashSet::new());
    hosts
        .into_iter()
        .filter(|(host, ..)| {
            names.insert(host.name.value.as_str().to_ascii_lowercase())
                && are_new(host, &mut macs, &mut addresses)
        })
        .collect()
}

/// Whether a host may be installed, when nothing says so: live systems are served at every boot.
const fn usual_install(lifecycle: Lifecycle) -> InstallPolicy {
    match lifecycle {
        Lifecycle::Live => InstallPolicy::Always,
        Lifecycle::Install | Lifecycle::Once => InstallPolicy::Once,
    }
}

/// Makes hosts, and holds once what several of them have in common.
pub(super) struct Maker<'a> {
    subnets: &'a [Subnet],
    runs_on: &'a RunsOn<'a>,
    profiles: HashSet<&'a ProfileName>,
    /// By the layers that they come from, which live as long as this.
    settings: HashMap<*const Merged, Arc<Settings>>,
    /// By what they hold.
    alike: HashMap<u64, Arc<Settings>>,
    /// Of hosts that have nothing of their own, by layers and subnet.
    plain: HashMap<(*const Merged, usize), Arc<Own>>,
}

impl<'a> Maker<'a> {
    /// For hosts in these subnets. A profile that could not be read has its own problem: what it would
    /// render has none.
    pub(super) fn new(
        subnets: &'a [Subnet],
        runs_on: &'a RunsOn<'a>,
        profiles: impl Iterator<Item = &'a ProfileName>,
    ) -> Self {
        Self {
            subnets,
            runs_on,
            profiles: profiles.collect(),
            settings: HashMap::new(),
            alike: HashMap::new(),
            plain: HashMap::new(),
        }
    }

    /// The host that an entry means.
    pub(super) fn host(&mut self, (entry, merged, at): &Placed<'_>) -> Option<Arc<Host>> {
        let subnet = at.subnet;
        let place = self.subnets.get(subnet)?;
        let settings = self.settings(merged);
        let plain = (Rc::as_ptr(merged), subnet);
        let own = match self.plain.get(&plain) {
            Some(own) if entry.is_plain() => Arc::clone(own),
            _ => {
                let own = Arc::new(own(entry, place, &at.nics, settings));
                if entry.is_plain() {
                    self.plain.insert(plain, Arc::clone(&own));
                }
                own
            }
        };
        Some(Arc::new(Host {
            name: entry.name.value.clone(),
            macs: entry.macs.iter().map(|mac| mac.value).collect(),
            ip: entry.ip.as_ref().map(|ip| ip.value),
            subnet,
            span: Some(entry.name.span),
            own,
        }))
    }

    fn settings(&mut self, merged: &Rc<Merged>) -> Arc<Settings> {
        if let Some(settings) = self.settings.get(&Rc::as_ptr(merged)) {
            return Arc::clone(settings);
        }
        let profile = merged.profile.as_ref().map(|profile| &profile.value);
        let lifecycle = self.runs_on.lifecycle(profile);
        let made = Settings {
            groups: merged.groups.clone(),
            profile: profile
                .filter(|name| self.profiles.contains(*name))
                .cloned(),
            arch: merged.arch.as_ref().map(|arch| arch.value),
            loader: merged.loader.as_ref().map(|loader| loader.value.clone()),
            local_boot: merged
                .local_boot
                .as_ref()
                .map(|boot| boot.value)
                .unwrap_or_default(),
            install: merged
                .install
                .as_ref()
                .map_or_else(|| usual_install(lifecycle), |install| install.value),
            secure_boot: merged.secure_boot.as_ref().map(|flag| flag.value),
            options: merged.options.values().cloned().collect(),
            snippets: merged
                .snippets
                .iter()
                .map(|snippet| snippet.value.clone())
                .collect(),
            vars: vars::into_table(&merged.vars),
        };
        let mut hasher = DefaultHasher::new();
        format!("{made:?}").hash(&mut hasher);
        let settings = match self.alike.entry(hasher.finish()) {
            Entry::Occupied(alike) if **alike.get() == made => Arc::clone(alike.get()),
            Entry::Occupied(_) => Arc::new(made),
            Entry::Vacant(place) => Arc::clone(place.insert(Arc::new(made))),
        };
        self.settings
            .insert(Rc::as_ptr(merged), Arc::clone(&settings));
        settings
    }
}

fn own(entry: &HostEntry, place: &Subnet, nics: &[Nic], settings: Arc<Settings>) -> Own {
    Own {
        domain: match &entry.fqdn {
            Some(fqdn) => fqdn
                .value
                .split_once('.')
                .map(|(_, domain)| domain.to_owned()),
            None => place.domain.clone(),
        },
        written_fqdn: entry.fqdn.as_ref().map(|fqdn| fqdn.value.clone()),
        nics: nics.into(),
        after: entry.after.as_ref().map(|after| After {
            host: after.host.value.clone(),
            event: after.event.value,
        }),
        uuid: entry.uuid.as_ref().map(|uuid| uuid.value),
        serial: entry.serial.as_ref().map(|serial| serial.value.clone()),
        notes: entry.notes.as_ref().map(|notes| notes.value.clone()),
        settings,
    }
}

/// Full names that two hosts have: at least one of them was written as `fqdn`.
pub(super) fn full_names(hosts: &[Arc<Host>], entries: &[&HostEntry], problems: &mut Vec<Problem>) {
    if entries.iter().all(|entry| entry.fqdn.is_none()) {
        return;
    }
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
        let Some(fqdn) = host.fqdn() else { continue };
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
