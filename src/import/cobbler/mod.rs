//! Cobbler: its collections (`/var/lib/cobbler/collections/{systems,profiles,distros}/*.json`, and those of older
//! versions in `systems.d` and the like).
//!
//! A profile becomes a group of the same name with the ready-made profile that installs its distribution; a profile
//! below another one becomes a group nested in it. A system becomes a host: its network cards, where bonds and bridges
//! are one card with the addresses of their ports, its kernel options and its template variables. Which machines
//! Cobbler would install at their next boot is told, never carried over: a machine is armed by its operator.

mod cards;
mod item;

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use self::item::{Item, Kind};
use super::json::{self, Json, Node};
use super::machines::{Machines, group_name, variable};
use super::ready::{self, System};
use super::{ImportError, Imported, Source};
use crate::base::{Architecture, GroupName};
use crate::config::draft::{GroupDraft, HostDraft};

/// Kernel arguments that belong to Cobbler's own way of starting an installer. The profiles bring their own.
const OWN_ARGUMENTS: [&str; 22] = [
    "ks",
    "inst.ks",
    "ksdevice",
    "kssendmac",
    "inst.ks.sendmac",
    "inst.ks.sendsn",
    "inst.repo",
    "inst.stage2",
    "repo",
    "method",
    "bootdev",
    "autoyast",
    "autoyast2",
    "install",
    "auto",
    "auto-install/enable",
    "url",
    "priority",
    "interface",
    "hostname",
    "domain",
    "suite",
];

/// Keys of systems and profiles that say something about booting, and what is to be done about each.
const TOLD: [(&str, &str); 12] = [
    (
        "next_server",
        "boot files come from this server itself: nothing is to be written",
    ),
    (
        "next_server_v4",
        "boot files come from this server itself: nothing is to be written",
    ),
    (
        "filename",
        "the boot loader of each firmware is told by itself; another one is `loader`",
    ),
    (
        "boot_files",
        "put the files below boot_assets; a template of your own can name them by asset(path)",
    ),
    (
        "fetchable_files",
        "put the files below boot_assets; a template of your own can name them by asset(path)",
    ),
    (
        "template_files",
        "write them as further [[answers]] of a profile (docs/profiles.md)",
    ),
    (
        "mgmt_classes",
        "a snippet joins the machine to its configuration management (docs/profiles.md)",
    ),
    (
        "repos",
        "write `mirror`, or a snippet that adds the repositories (docs/profiles.md)",
    ),
    (
        "redhat_management_key",
        "the snippet katello-register registers a machine; the key belongs into secrets.toml",
    ),
    (
        "kernel_options_post",
        "`kernel_args` go to the installer and to the installed system",
    ),
    ("ipv6_default_device", "machines are booted over IPv4"),
    (
        "name_servers_search",
        "write dns_search into the [[subnet]] of bootwright.toml",
    ),
];

/// Reads collections: systems with the profiles and distributions that they name, in any order.
pub fn read(sources: &[Source]) -> Result<Imported, ImportError> {
    let mut documents = Vec::with_capacity(sources.len());
    for source in sources {
        documents.push((source, json::read(&source.name, &source.text)?));
    }
    let mut items = Vec::new();
    for (source, top) in &documents {
        let before = items.len();
        item::collect(&source.name, top, &mut items);
        if items.len() == before {
            return Err(ImportError {
                file: source.name.clone(),
                line: top.line,
                what: "there is no item of Cobbler's in it; give it files of /var/lib/cobbler/collections/systems, profiles and distros"
                    .to_owned(),
            });
        }
    }
    let mut reader = Reader {
        machines: Machines::default(),
        items: &items,
        groups: BTreeMap::new(),
    };
    reader.profiles();
    for item in &items {
        reader.machines.begin(item.file);
        match item.kind {
            Kind::System => reader.system(item),
            Kind::Distro | Kind::Profile | Kind::Interface => {}
            Kind::Other => reader.machines.left(
                item.node.line,
                item.name,
                "only systems, profiles and distributions are carried over",
            ),
        }
    }
    Ok(reader.machines.finish())
}

struct Reader<'a> {
    machines: Machines,
    items: &'a [Item<'a>],
    /// The group of each profile, by the profile's place.
    groups: BTreeMap<usize, GroupName>,
}

impl<'a> Reader<'a> {
    /// The item of this kind that a text names, by name or, as Cobbler 3.4 does, by its uid.
    fn find(&self, kind: Kind, named: &str) -> Option<usize> {
        let of = |item: &&Item<'_>| item.kind == kind;
        let by_name = self
            .items
            .iter()
            .position(|item| of(&item) && item.name == named);
        by_name.or_else(|| {
            self.items
                .iter()
                .position(|item| of(&item) && item.text("uid") == Some(named))
        })
    }

    /// Makes the groups, outer ones first.
    fn profiles(&mut self) {
        let items = self.items;
        for (index, item) in items.iter().enumerate() {
            if item.kind == Kind::Profile {
                self.profile(index, &mut BTreeSet::new());
            }
        }
    }

    fn profile(&mut self, index: usize, above: &mut BTreeSet<usize>) -> Option<GroupName> {
        if let Some(group) = self.groups.get(&index) {
            return Some(group.clone());
        }
        let item = self.items.get(index)?;
        if !above.insert(index) {
            self.machines.begin(item.file);
            self.machines.left(
                item.line("parent"),
                item.name,
                "the profiles are each other's parent: it becomes a group of its own",
            );
            return None;
        }
        let outer = item
            .text("parent")
            .and_then(|parent| self.find(Kind::Profile, parent))
            .and_then(|parent| self.profile(parent, above));
        self.machines.begin(item.file);
        let Some(name) = group_name(item.name) else {
            self.machines.left(
                item.node.line,
                item.name,
                "no name of a group can be made of it",
            );
            return None;
        };
        let mut group = GroupDraft::new(name.clone());
        let nested = outer.is_some();
        group.group = outer;
        let distro = item
            .text("distro")
            .filter(|_| !nested || item.is_own("distro"));
        if let Some(named) = distro {
            match self.find(Kind::Distro, named) {
                Some(found) => {
                    if let Some(distro) = self.items.get(found) {
                        self.distro(distro, item, &mut group);
                    }
                }
                None => self.machines.left(
                    item.line("distro"),
                    format!("distro {named}"),
                    format!(
                        "which system it installs is not known: give its file (collections/distros/{named}.json) too, or write `profile` for the group {name}"
                    ),
                ),
            }
        }
        self.machines.begin(item.file);
        self.common(item, &mut group.vars);
        let taken = {
            let groups = &self.machines.imported().groups;
            groups.iter().any(|other| other.name == name)
        };
        if taken {
            self.machines.left(
                item.node.line,
                item.name,
                format!("a group {name} is there already: its machines are put into that one"),
            );
        } else {
            self.machines.imported().groups.push(group);
        }
        self.groups.insert(index, name.clone());
        Some(name)
    }

    /// What a distribution gives to the group of a profile.
    fn distro(&mut self, distro: &Item<'_>, profile: &Item<'_>, group: &mut GroupDraft) {
        let (breed, version) = (
            distro.text("breed").unwrap_or_default(),
            distro.text("os_version").unwrap_or_default(),
        );
        group.profile = ready::profile(System {
            breed,
            version,
            name: distro.name,
        });
        match &group.profile {
            Some(found) => self.machines.left(
                profile.line("distro"),
                format!("distro {} ({breed} {version})", distro.name),
                format!("the ready-made profile {found} installs it, with answers of its own"),
            ),
            None => self.machines.left(
                profile.line("distro"),
                format!("distro {} ({breed} {version})", distro.name),
                format!(
                    "no ready-made profile installs it: write `profile` for the group {}, or a profile of your own (docs/profiles.md)",
                    group.name
                ),
            ),
        }
        self.machines.begin(distro.file);
        self.common(distro, &mut group.vars);
    }

    /// What distributions, profiles and systems have in common.
    fn common(&mut self, item: &Item<'_>, vars: &mut Table) {
        for key in ["kernel_options", "kopts"] {
            if let Some(node) = item.own(key) {
                self.arguments(node, vars);
            }
        }
        for key in ["autoinstall_meta", "ks_meta"] {
            if let Some(node) = item.own(key) {
                self.variables(node, vars);
            }
        }
        for key in ["autoinstall", "kickstart"] {
            if let Some(node) = item.own(key).filter(|_| item.kind != Kind::Distro) {
                self.machines.left(
                    node.line,
                    format!("{key} {}", node.shown()),
                    "the ready-made profiles have answers of their own: what this file does beyond them becomes variables, snippets or a template (docs/profiles.md)",
                );
            }
        }
        if let Some(node) = item.own("proxy")
            && let Some(proxy) = node.text()
        {
            vars.insert("proxy".to_owned(), Value::String(proxy.to_owned()));
        }
        for (key, why) in TOLD {
            if item.kind == Kind::Distro {
                break;
            }
            if let Some(node) = item.own(key) {
                // A key that registers machines is nobody's to read here.
                let shown = if key == "redhat_management_key" {
                    key.to_owned()
                } else {
                    format!("{key} {}", node.shown())
                };
                self.machines.left(node.line, shown, why);
            }
        }
    }

    /// Kernel arguments: a serial console becomes `console`, the others `kernel_args`.
    fn arguments(&mut self, node: &Node, vars: &mut Table) {
        let mut consoles = Vec::new();
        let mut others = Vec::new();
        for (line, key, value) in pairs(node) {
            let argument = match &value {
                Some(value) => format!("{key}={value}"),
                None => key.clone(),
            };
            if OWN_ARGUMENTS.contains(&key.as_str()) || key.starts_with("netcfg/") {
                self.machines.left(
                    line,
                    argument,
                    "the profile says itself how its installer starts",
                );
            } else if key.starts_with('!') {
                self.machines.left(
                    line,
                    argument,
                    "it takes an inherited argument away: write the whole list of `kernel_args` there",
                );
            } else if key == "console" && value.as_deref().is_some_and(|to| to.starts_with("tty")) {
                consoles.push(value.unwrap_or_default());
            } else {
                others.push(argument);
            }
        }
        // `console=tty0` is the screen, which every profile has beside a serial one.
        consoles.retain(|console| console != "tty0");
        if let [console] = consoles.as_slice() {
            vars.insert("console".to_owned(), Value::String(console.clone()));
        } else {
            others.extend(consoles.iter().map(|console| format!("console={console}")));
        }
        if others.is_empty() {
            return;
        }
        let list = vars
            .entry("kernel_args".to_owned())
            // Cobbler adds a system's arguments to its profile's.
            .or_insert_with(|| Value::Array(vec![Value::String("...".to_owned())]));
        if let Value::Array(list) = list {
            for argument in others.into_iter().map(Value::String) {
                if !list.contains(&argument) {
                    list.push(argument);
                }
            }
        }
    }

    /// Template variables.
    fn variables(&mut self, node: &Node, vars: &mut Table) {
        for (line, key, value) in pairs(node) {
            let secret = ["passw", "secret", "token", "crypted", "_key"]
                .iter()
                .any(|word| key.to_ascii_lowercase().contains(word));
            if secret {
                self.machines.left(
                    line,
                    key,
                    "it looks like a secret: put it into secrets.toml, where templates get it by secret(name)",
                );
                continue;
            }
            let text = value.unwrap_or_default();
            if key == "tree" || text.contains("@@") {
                self.machines.left(
                    line,
                    format!("{key}={text}"),
                    "this is a place on Cobbler's own server: packages come from the distribution, or from `mirror`",
                );
                continue;
            }
            match variable(&key) {
                Some(name) => {
                    if name != key {
                        self.machines.left(
                            line,
                            format!("{key}={text}"),
                            format!("templates can write it as vars.{name}: it is called so here"),
                        );
                    }
                    vars.insert(name, Value::String(text));
                }
                None => self.machines.left(
                    line,
                    format!("{key}={text}"),
                    "no name of a variable can be made of it",
                ),
            }
        }
    }

    fn system(&mut self, item: &Item<'a>) {
        let line = item.node.line;
        let cards = cards::of(item, self.items, &mut self.machines);
        if cards.is_empty() {
            self.machines.left(
                line,
                item.name,
                "it has neither a hardware address nor an address: nothing is to be reserved for it",
            );
            return;
        }
        let hostname = item.text("hostname");
        let dns_name = cards.iter().find_map(|card| card.dns_name.as_deref());
        let Some(named) = self.machines.name(line, hostname.unwrap_or(item.name)) else {
            return;
        };
        let mut host = HostDraft::new(named.name);
        let same = |full: &&str| {
            full.split('.')
                .next()
                .is_some_and(|label| label.eq_ignore_ascii_case(host.name.as_str()))
        };
        host.fqdn = named.fqdn.or_else(|| {
            [dns_name, Some(item.name)]
                .into_iter()
                .flatten()
                .filter(same)
                .find_map(|full| crate::config::values::fqdn(full.trim_end_matches('.')).ok())
        });
        if hostname.is_some_and(|hostname| {
            hostname != item.name && !item.name.starts_with(host.name.as_str())
        }) {
            self.machines.left(
                line,
                item.name,
                format!("it is called by its hostname here: {}", host.name),
            );
        }
        host.group = self.group_of(item, &host);
        host.arch = self.arch_of(item);
        host.notes = item
            .text("comment")
            .map(str::to_owned)
            .filter(|comment| !comment.trim().is_empty());
        self.common(item, &mut host.vars);
        cards::subnets(item, &cards, &mut self.machines);
        let vlans: Table = cards
            .iter()
            .skip(1)
            .filter_map(|card| Some((card.nic.name.clone()?, i64::from(card.vlan?).into())))
            .collect();
        if !vlans.is_empty() {
            host.vars.insert("vlans".to_owned(), Value::Table(vlans));
        }
        let mut drafts = cards.into_iter().map(|card| card.nic);
        if let Some(first) = drafts.next() {
            host.macs = first.macs;
            host.ip = first.ip;
        }
        host.nics = drafts.collect();
        super::machines::name_cards(&mut host.nics);
        if item
            .own("netboot_enabled")
            .is_some_and(|node| node.value == Json::Bool(true))
        {
            self.machines.left(
                item.line("netboot_enabled"),
                format!("netboot_enabled of {}", host.name),
                format!(
                    "Cobbler would install it at its next boot; here that is asked for: bootwright install {}",
                    host.name
                ),
            );
        }
        if item.own("power_address").is_some() {
            self.machines.left(
                item.line("power_address"),
                format!("power_… of {}", host.name),
                "machines are not switched on or off from here: keep what you use for it",
            );
        }
        self.machines.host(line, host);
    }

    /// The group of the profile that a system names.
    fn group_of(&mut self, item: &Item<'_>, host: &HostDraft) -> Option<GroupName> {
        let Some(named) = item.text("profile") else {
            if let Some(image) = item.text("image") {
                self.machines.left(
                    item.line("image"),
                    format!("image {image}"),
                    format!("it is no installation: write `profile` for {}, such as one of kind \"memdisk\" or \"sanboot\"", host.name),
                );
            }
            return None;
        };
        if let Some(index) = self.find(Kind::Profile, named) {
            return self.groups.get(&index).cloned();
        }
        let group = group_name(named)?;
        let groups = &mut self.machines.imported().groups;
        if !groups.iter().any(|draft| draft.name == group) {
            groups.push(GroupDraft::new(group.clone()));
            self.machines.left(
                item.line("profile"),
                format!("profile {named}"),
                format!(
                    "it is a group here, but what it installs is not known: give its file (collections/profiles/{named}.json) too, or write `profile` for the group"
                ),
            );
        }
        Some(group)
    }

    /// The architecture of what it installs, where it is not the usual one.
    fn arch_of(&mut self, item: &Item<'_>) -> Option<String> {
        let mut profile = self
            .items
            .get(self.find(Kind::Profile, item.text("profile")?)?)?;
        for _ in 0..self.items.len() {
            if let Some(distro) = profile.text("distro") {
                let distro = self.items.get(self.find(Kind::Distro, distro)?)?;
                let arch = distro.text("arch")?;
                let found = super::machines::architecture(arch)?;
                return (found != Architecture::X86_64).then(|| found.as_str().to_owned());
            }
            profile = self
                .items
                .get(self.find(Kind::Profile, profile.text("parent")?)?)?;
        }
        None
    }
}

/// Options as an object, or as the text that is typed: `a=1 b c="x y"`.
fn pairs(node: &Node) -> Vec<(usize, String, Option<String>)> {
    match &node.value {
        Json::Object(entries) => entries
            .iter()
            .flat_map(|entry| {
                let one = |value: &Node| {
                    let text = (!value.is_empty()).then(|| value.shown());
                    // `~` stands for an argument without a value.
                    let text = text.filter(|text| text != "~");
                    (entry.line, entry.key.clone(), text)
                };
                match &entry.node.value {
                    Json::List(elements) if !elements.is_empty() => {
                        elements.iter().map(one).collect()
                    }
                    _ => vec![one(&entry.node)],
                }
            })
            .collect(),
        Json::Text(text) => words(text)
            .into_iter()
            .map(|word| match word.split_once('=') {
                Some((key, value)) => (node.line, key.to_owned(), Some(value.to_owned())),
                None => (node.line, word, None),
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Words of a text, where quotation marks hold blanks together.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = None;
    for c in text.chars() {
        match quoted {
            Some(mark) if c == mark => quoted = None,
            None if matches!(c, '"' | '\'') => quoted = Some(c),
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
