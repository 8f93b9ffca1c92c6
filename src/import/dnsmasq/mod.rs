//! The configuration of dnsmasq: `dnsmasq.conf`, what it includes, hosts and ethers files, or its command line.
//!
//! A network is a `[[subnet]]`, as its `dhcp-range` tells it; a tag that hosts set becomes a group; what a tag of a
//! network's range asks for belongs to that subnet.

mod boot;
mod hosts;
mod lines;
mod networks;
mod refused;
mod tags;
mod values;

use std::collections::BTreeMap;

use super::gather::Gather;
use super::options::{Set, Sets};
use super::place::Place;
use super::{Bring, ImportError, Imported, Source};
use crate::base::{GroupName, counted};
use crate::config::draft::{GroupDraft, HostDraft};
use crate::import::boot::{CHAINLOADING, NEXT_SERVER, is_of_pxe};
use hosts::{HostLine, Names, ethers, host_line};
use lines::Directive;
use tags::{Tag, Tags, Whom, condition};

/// How many files may be read besides those given.
const MOST_FILES: usize = 4_096;
/// How deep files may include each other.
const DEEPEST_INCLUDE: usize = 16;

/// Reads `dnsmasq.conf`. The files that it names are brought by `bring`, and so are `/etc/hosts` and, where
/// `read-ethers` stands, `/etc/ethers`.
#[allow(
    clippy::unnecessary_wraps,
    reason = "each format is read by a function of this shape"
)]
pub fn read(files: &[Source], bring: &dyn Bring) -> Result<Imported, ImportError> {
    let mut reader = Reader {
        bring,
        gather: Gather::default(),
        names: Names::default(),
        tags: Tags::default(),
        files: 0,
        hosts: Vec::new(),
        options: Vec::new(),
        groups: BTreeMap::new(),
        known_only: false,
    };
    let mut directives = Vec::new();
    for file in files {
        reader.collect(file, 0, &mut directives);
    }
    reader.all(&directives);
    Ok(reader.gather.finish())
}

/// What is known while the lines are gone through.
struct Reader<'a> {
    bring: &'a dyn Bring,
    gather: Gather,
    names: Names,
    tags: Tags,
    files: usize,
    /// Reservations, with their places.
    hosts: Vec<(HostLine, Place, String)>,
    /// Values of `dhcp-option`, with their places.
    options: Vec<Directive>,
    /// What belongs to the hosts of a tag.
    groups: BTreeMap<String, Group>,
    /// Whether only machines with a reservation are served.
    known_only: bool,
}

/// What belongs to the hosts of a tag.
#[derive(Debug, Default)]
struct Group {
    sets: Sets,
    loader: Option<String>,
}

impl Reader<'_> {
    /// The options of a file and of those that it includes.
    fn collect(&mut self, source: &Source, depth: usize, into: &mut Vec<Directive>) {
        for directive in lines::directives(source) {
            match directive.key.as_str() {
                "conf-file" | "conf-dir" if !directive.value.is_empty() => {
                    for file in self.included(&directive, depth) {
                        self.collect(&file, depth + 1, into);
                    }
                }
                _ => into.push(directive),
            }
        }
    }

    /// The files of a `conf-file` or a `conf-dir`.
    fn included(&mut self, directive: &Directive, depth: usize) -> Vec<Source> {
        if depth >= DEEPEST_INCLUDE {
            self.gather.left(
                &directive.at,
                &directive.shown(),
                "too many files include each other",
            );
            return Vec::new();
        }
        if directive.key == "conf-file" {
            let path = directive.value.trim_matches('"').to_owned();
            return self.file(&path, directive).into_iter().collect();
        }
        let fields = directive.fields();
        let (folder, endings) = fields
            .split_first()
            .map_or(("", &[][..]), |(folder, endings)| (folder, endings));
        let wanted: Vec<&str> = endings
            .iter()
            .filter_map(|ending| ending.strip_prefix('*'))
            .collect();
        let unwanted: Vec<&str> = endings
            .iter()
            .filter(|ending| !ending.starts_with('*'))
            .map(String::as_str)
            .collect();
        self.folder(folder, directive, |name| {
            (wanted.is_empty() || wanted.iter().any(|ending| name.ends_with(ending)))
                && !unwanted
                    .iter()
                    .any(|ending| !ending.is_empty() && name.ends_with(ending))
        })
    }

    fn file(&mut self, path: &str, directive: &Directive) -> Option<Source> {
        self.files += 1;
        let text = (self.files <= MOST_FILES)
            .then(|| self.bring.text(path))
            .flatten();
        if text.is_none() {
            let why = if self.files > MOST_FILES {
                "too many files".to_owned()
            } else {
                format!("`{path}` cannot be read here: give the file together with this one")
            };
            self.gather.left(&directive.at, &directive.shown(), why);
        }
        Some(Source {
            name: path.to_owned(),
            text: text?,
        })
    }

    fn folder(
        &mut self,
        folder: &str,
        directive: &Directive,
        may: impl Fn(&str) -> bool,
    ) -> Vec<Source> {
        let Some(names) = self.bring.list(folder) else {
            let why = format!(
                "the folder `{folder}` cannot be read here: give its files together with this one"
            );
            self.gather.left(&directive.at, &directive.shown(), why);
            return Vec::new();
        };
        let hidden = |name: &str| {
            name.starts_with('.')
                || name.ends_with('~')
                || name.starts_with('#') && name.ends_with('#')
        };
        let folder = folder.trim_end_matches('/');
        let names: Vec<String> = names
            .into_iter()
            .filter(|name| !hidden(name) && may(name))
            .collect();
        names
            .iter()
            .filter_map(|name| self.file(&format!("{folder}/{name}"), directive))
            .collect()
    }

    /// A path that is a file, or a folder of files.
    fn file_or_folder(&mut self, directive: &Directive) -> Vec<Source> {
        let path = directive.value.trim_matches('"').to_owned();
        if self.bring.text(&path).is_none() && self.bring.list(&path).is_some() {
            return self.folder(&path, directive, |_| true);
        }
        self.file(&path, directive).into_iter().collect()
    }

    /// The options in the order in which they need each other.
    fn all(&mut self, directives: &[Directive]) {
        self.names(directives);
        self.known_only = directives.iter().any(|one| {
            one.key == "dhcp-ignore"
                && matches!(
                    one.value.trim(),
                    "tag:!known" | "net:!known" | "#known" | "tag:#known"
                )
        });
        self.tags.set("known", Tag::Known);
        self.networks(directives);
        for directive in directives {
            self.take(directive);
        }
        for (line, ..) in &self.hosts {
            for tag in &line.tags {
                if self.tags.get(tag).is_none() {
                    self.tags.set(tag, Tag::Host);
                }
            }
        }
        // Twice, for tags that are made of such that are made later.
        for _ in 0..2 {
            for directive in directives.iter().filter(|one| one.key == "tag-if") {
                self.tags.by_tags(directive);
            }
        }
        for directive in directives.iter().filter(|one| one.key == "tag-if") {
            let why = if self.tags.by_tags(directive) {
                CHAINLOADING
            } else {
                refused::why("tag-if")
            };
            self.gather.left(&directive.at, &directive.shown(), why);
        }
        self.boot_files(directives);
        self.take_options();
        self.take_hosts();
        self.dns(directives);
    }

    /// Names that have addresses.
    fn names(&mut self, directives: &[Directive]) {
        if !directives.iter().any(|one| one.key == "no-hosts")
            && let Some(text) = self.bring.text("/etc/hosts")
        {
            self.names.hosts_file(&Source {
                name: "/etc/hosts".to_owned(),
                text,
            });
        }
        for directive in directives {
            match directive.key.as_str() {
                "addn-hosts" | "hostsdir" => {
                    for file in self.file_or_folder(directive) {
                        self.names.hosts_file(&file);
                    }
                }
                "host-record" | "address" => self.names.record(directive),
                _ => {}
            }
        }
    }

    fn take(&mut self, directive: &Directive) {
        match directive.key.as_str() {
            "dhcp-host" => self.host_line(directive),
            "dhcp-hostsfile" | "dhcp-hostsdir" => {
                for file in self.file_or_folder(directive) {
                    for line in lines::values(&file, "dhcp-host") {
                        self.host_line(&line);
                    }
                }
            }
            "dhcp-option" | "dhcp-option-force" => self.options.push(directive.clone()),
            "dhcp-optsfile" | "dhcp-optsdir" => {
                for file in self.file_or_folder(directive) {
                    self.options.extend(lines::values(&file, "dhcp-option"));
                }
            }
            "read-ethers" => match self.bring.text("/etc/ethers") {
                Some(text) => self.ethers(&Source { name: "/etc/ethers".to_owned(), text }),
                None => self.gather.left(
                    &directive.at,
                    "read-ethers",
                    "`/etc/ethers` cannot be read here: give the file together with this one",
                ),
            },
            "dhcp-match" | "dhcp-userclass" | "dhcp-vendorclass" => {
                let why = if self.tags.by_request(directive) { CHAINLOADING } else { refused::why(&directive.key) };
                self.gather.left(&directive.at, &directive.shown(), why);
            }
            "dhcp-ignore" if self.known_only && directive.value.ends_with("known") => self.gather.left(
                &directive.at,
                &directive.shown(),
                "machines without a reservation meet silence unless `unknown` says otherwise: nothing to do",
            ),
            // Those that are looked at as a whole.
            "dhcp-range" | "domain" | "dhcp-boot" | "pxe-service" | "tag-if" => {}
            key if refused::is_dns(key) => {}
            key => self.gather.left(&directive.at, &directive.shown(), refused::why(key)),
        }
    }

    fn host_line(&mut self, directive: &Directive) {
        let line = host_line(&directive.value);
        let shown = directive.shown();
        if line.ignore {
            self.gather.left(
                &directive.at,
                &shown,
                "a machine that is to be left alone: without a reservation it is, where `unknown` is \"ignore\"",
            );
            return;
        }
        for (field, why) in &line.left {
            self.gather
                .left(&directive.at, &format!("{field} in {shown}"), why.as_str());
        }
        if line.macs.is_empty() && line.name.is_none() && line.ip.is_none() {
            if line.left.is_empty() {
                self.gather
                    .left(&directive.at, &shown, "neither a MAC address nor a name");
            }
            return;
        }
        if line.macs.is_empty() && !line.left.is_empty() && line.name.is_none() {
            self.gather.left(
                &directive.at,
                &shown,
                "no MAC address and no name is left: not carried over",
            );
            return;
        }
        self.hosts.push((line, directive.at.clone(), shown));
    }

    fn ethers(&mut self, source: &Source) {
        for (at, read) in ethers(source) {
            match read {
                Ok((mac, name)) => {
                    let ip = name.parse().ok();
                    let line = HostLine {
                        macs: vec![mac],
                        ip,
                        name: ip.is_none().then(|| name.clone()),
                        ..HostLine::default()
                    };
                    self.hosts.push((line, at, format!("{mac} {name}")));
                }
                Err(line) => self.gather.left(
                    &at,
                    &line,
                    "a MAC address and a name or an address are expected",
                ),
            }
        }
    }

    /// Options, each to whom its condition leaves.
    fn take_options(&mut self) {
        let mut everybody = Sets::new();
        let mut of_subnets: BTreeMap<usize, Sets> = BTreeMap::new();
        for directive in std::mem::take(&mut self.options) {
            let shown = directive.shown();
            let (condition, rest) = condition(&directive.fields());
            let (first, given) = match rest.split_first() {
                Some((first, given)) => (first.as_str(), given),
                None => ("", &[][..]),
            };
            if let Some(why) = elsewhere(first) {
                self.gather.left(&directive.at, &shown, why);
                continue;
            }
            let Some(code) = values::code(first) else {
                self.gather.left(
                    &directive.at,
                    &shown,
                    "no option of this name or number is known: write it by `code` into `options`",
                );
                continue;
            };
            let value = match values::value(code, given) {
                Ok(value) => value,
                Err(why) => {
                    self.gather.left(&directive.at, &shown, why);
                    continue;
                }
            };
            let set = Set {
                value,
                force: directive.key == "dhcp-option-force",
                at: directive.at.clone(),
                what: shown,
            };
            let whom = self.tags.whom(&condition);
            if matches!(code, 60 | 66 | 67 | 43) && matches!(whom, Whom::Ipxe | Whom::Firmware(_))
                || code == 175
                || is_of_pxe(code, &set.value)
            {
                self.gather.left(&set.at, &set.what, CHAINLOADING);
                continue;
            }
            if code == 66 || code == 150 {
                self.gather.left(
                    &set.at,
                    &set.what,
                    "carried over, for telephones and their like; take it out where it was for booting: machines boot from Bootwright",
                );
            }
            let sets = match whom {
                Whom::All => &mut everybody,
                Whom::Subnet(index) => of_subnets.entry(index).or_default(),
                Whom::Hosts(tag) => &mut self.groups.entry(tag).or_default().sets,
                Whom::Ipxe | Whom::Firmware(_) | Whom::Unknown => {
                    self.gather.left(
                        &set.at,
                        &set.what,
                        "under a condition that no subnet and no host of the file fulfils by itself: write it into `options` of those that it is for",
                    );
                    continue;
                }
            };
            if let Some(old) = sets.insert(code, set) {
                self.gather.left(
                    &old.at,
                    &old.what,
                    "a later line sets it again, and the last one counts here",
                );
            }
        }
        for index in 0..self.gather.subnets() {
            let mut sets = everybody.clone();
            sets.extend(of_subnets.remove(&index).unwrap_or_default());
            self.own_addresses(index, &sets);
            self.gather.subnet_options(index, &sets);
        }
        if self.gather.subnets() == 0 {
            for set in everybody.values() {
                self.gather.left(
                    &set.at,
                    &set.what,
                    "there is no subnet in the file to carry it: write it into the [[subnet]] of the hosts, or into `options` of [defaults]",
                );
            }
        }
    }

    fn take_hosts(&mut self) {
        let hosts = std::mem::take(&mut self.hosts);
        let mut names: BTreeMap<String, GroupName> = BTreeMap::new();
        let tags: Vec<&String> = hosts.iter().flat_map(|(line, ..)| &line.tags).collect();
        for tag in tags {
            if names.contains_key(tag) || self.tags.get(tag) != Some(&Tag::Host) {
                continue;
            }
            let Some(name) = self.gather.group_name(tag) else {
                continue;
            };
            let mut draft = GroupDraft::new(name.clone());
            if let Some(group) = self.groups.get(tag) {
                draft.loader.clone_from(&group.loader);
                let sets = group.sets.clone();
                self.gather.options(&mut draft.options, &sets);
            }
            self.gather.group(draft);
            names.insert(tag.clone(), name);
        }
        for (line, at, shown) in hosts {
            self.host(line, at, shown, &names);
        }
    }

    fn host(
        &mut self,
        line: HostLine,
        at: Place,
        shown: String,
        groups: &BTreeMap<String, GroupName>,
    ) {
        let mut ip = line.ip;
        if ip.is_none()
            && let Some(name) = &line.name
            && let Some((address, from)) = self.names.address(name)
        {
            ip = Some(address);
            let why = format!("its address {address} is that of its name in {from}");
            self.gather.left(&at, &shown, why);
        }
        let wanted = match (&line.name, ip, line.macs.first()) {
            (Some(name), ..) => name.clone(),
            (None, Some(ip), _) => match self.names.name(ip) {
                Some(name) => name.to_owned(),
                None => format!("host-{}", ip.to_string().replace('.', "-")),
            },
            (None, None, Some(mac)) => format!("host-{}", mac.dashed()),
            (None, None, None) => return,
        };
        let (name, fqdn) = self.gather.host_name(&at, &wanted);
        let Some(name) = name else {
            self.gather
                .left(&at, &shown, "its name cannot be made one of ours");
            return;
        };
        if line.name.is_none() {
            self.gather.left(
                &at,
                &shown,
                format!("without a name: it is called `{name}`"),
            );
        }
        let mut draft = HostDraft::new(name);
        draft.fqdn = fqdn;
        draft.ip = ip;
        draft.macs = line.macs;
        let mut tags = line.tags.iter().filter(|tag| groups.contains_key(*tag));
        draft.group = tags.next().and_then(|tag| groups.get(tag)).cloned();
        for tag in tags {
            let (sets, loader) = match self.groups.get(tag) {
                Some(group) => (group.sets.clone(), group.loader.clone()),
                None => (Sets::new(), None),
            };
            self.gather.options(&mut draft.options, &sets);
            let nothing = sets.is_empty() && loader.is_none();
            draft.loader = draft.loader.take().or(loader);
            let why = format!(
                "a host is in one group: what the tag `{tag}` gives is in the host itself{}",
                if nothing {
                    ", and it gives nothing"
                } else {
                    ""
                }
            );
            self.gather.left(&at, &shown, why);
        }
        if draft.macs.is_empty() {
            let why = format!(
                "without a MAC address: the name is held, and `bootwright bind {} MAC` gives it one",
                draft.name
            );
            self.gather.left(&at, &shown, why);
        }
        self.gather.host(draft, at, shown);
    }

    /// The options of the resolver, file by file.
    fn dns(&mut self, directives: &[Directive]) {
        let mut files: BTreeMap<&str, Vec<&Directive>> = BTreeMap::new();
        for directive in directives.iter().filter(|one| refused::is_dns(&one.key)) {
            files.entry(&directive.at.file).or_default().push(directive);
        }
        for found in files.values() {
            let Some(first) = found.first() else {
                continue;
            };
            let mut keys: Vec<&str> = found.iter().map(|one| one.key.as_str()).collect();
            keys.sort_unstable();
            keys.dedup();
            let lines: Vec<String> = found
                .iter()
                .take(50)
                .map(|one| one.at.line.to_string())
                .collect();
            let more = if found.len() > 50 { " and further" } else { "" };
            let why = format!(
                "{} of the resolver, in line{} {}{more}: dnsmasq may go on to resolve names; `bootwright export hosts --follow FILE` keeps its hosts file up to date",
                counted(found.len(), "option"),
                if found.len() == 1 { "" } else { "s" },
                lines.join(", "),
            );
            self.gather.left(&first.at, &keys.join(", "), why);
        }
    }
}

/// Why an option that is not one of DHCP for IPv4 as a whole is not carried over.
fn elsewhere(first: &str) -> Option<&'static str> {
    if first.starts_with("option6:") {
        return Some("machines are booted over IPv4: DHCP for IPv6 stays where it is");
    }
    if first == "encap:175"
        || first.starts_with("vendor:PXEClient")
        || first.starts_with("vendor:HTTPClient")
    {
        return Some(CHAINLOADING);
    }
    if first.starts_with("encap:")
        || first.starts_with("vi-encap:")
        || first.starts_with("vi-vendor:")
    {
        return Some(
            "a part of an option: write the bytes of the whole option as `hex` into `options`",
        );
    }
    if first.starts_with("vendor:") {
        return Some(
            "for machines of one vendor class: write option 43 as `hex` into `options` of their hosts or group",
        );
    }
    (first == "option:server-ip-address" || first == "255").then_some(NEXT_SERVER)
}
