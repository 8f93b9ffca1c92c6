//! The configuration of Kea's DHCP server for IPv4: JSON with comments, and the files that it includes.
//!
//! What is set globally or in a shared network is inherited by the subnets; a class that reservations name becomes a
//! group. Not told, because nothing depends on them: the numbers of subnets (`id`) and keys that say nothing.

mod classes;
mod networks;
mod refused;
mod reservations;
mod splice;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use super::boot::{self, CHAINLOADING, NEXT_SERVER};
use super::gather::Gather;
use super::json::{self, Entry, Json, Node};
use super::options::{Set, Sets, Value};
use super::place::Place;
use super::{Bring, ImportError, Imported, Source};
use crate::base::{Firmware, GroupName};
use crate::config::draft::GroupDraft;
use classes::Test;
use splice::Spliced;
use values::{DHCP4, Definitions};

/// Reads Kea's configuration: an object with `Dhcp4`.
pub fn read(files: &[Source], bring: &dyn Bring) -> Result<Imported, ImportError> {
    let mut reader = Reader {
        gather: Gather::default(),
        text: Spliced::default(),
        definitions: Definitions::default(),
        classes: BTreeMap::new(),
    };
    for file in files {
        reader.file(file, bring)?;
    }
    Ok(reader.gather.finish())
}

/// What is known while the keys are gone through.
struct Reader {
    gather: Gather,
    text: Spliced,
    definitions: Definitions,
    /// Classes that reservations name.
    classes: BTreeMap<String, Class>,
}

/// A class that reservations name.
#[derive(Debug, Clone, Default)]
struct Class {
    group: Option<GroupName>,
    sets: Sets,
    loader: Option<String>,
}

/// What holds in a part of the configuration.
#[derive(Debug, Clone, Default)]
struct Scope {
    /// What is set here or further out.
    all: Sets,
    /// `valid-lifetime`.
    lease: Option<u32>,
}

/// What holds for whom a boot file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boot<'a> {
    /// All machines of a network.
    Network,
    /// iPXE itself.
    Ipxe,
    /// Firmware of these numbers; none: whatever boots.
    Firmware(&'a [u16]),
}

impl Reader {
    fn file(&mut self, file: &Source, bring: &dyn Bring) -> Result<(), ImportError> {
        self.text = Spliced::of(file, bring);
        for left in std::mem::take(&mut self.text.left) {
            let place = Place::new(&left.file.as_str().into(), left.line);
            self.gather.left(&place, &left.what, left.why);
        }
        let read = json::read(&file.name, &self.text.text);
        let error = |place: Place, what: String| ImportError {
            file: place.file.to_string(),
            line: place.line,
            what,
        };
        let root = read.map_err(|bad| error(self.text.place(bad.line), bad.what))?;
        let Some(dhcp4) = root.get("Dhcp4") else {
            return Err(error(
                self.text.place(root.line),
                "no configuration of Kea's DHCP server for IPv4: an object with `Dhcp4` is expected".to_owned(),
            ));
        };
        let last = root
            .entries()
            .iter()
            .rposition(|entry| entry.key == "Dhcp4");
        for (index, entry) in root.entries().iter().enumerate() {
            if Some(index) != last {
                let why = match entry.key.as_str() {
                    "Dhcp6" => "machines are booted over IPv4: DHCP for IPv6 stays where it is",
                    "Dhcp4" => "a later `Dhcp4` takes its place",
                    _ => "another program of Kea: nothing to do",
                };
                self.tell(entry, why);
            }
        }
        self.dhcp4(dhcp4);
        Ok(())
    }

    fn place(&self, line: usize) -> Place {
        self.text.place(line)
    }

    /// Tells a key and its value.
    fn tell(&mut self, entry: &Entry, why: impl Into<String>) {
        let secret = entry.key == "user"
            || ["password", "secret"]
                .iter()
                .any(|word| entry.key.contains(word));
        let what = if secret {
            format!("{}: …", entry.key)
        } else {
            format!("{}: {}", entry.key, entry.node.shown())
        };
        self.gather.left(&self.text.place(entry.line), &what, why);
    }

    /// Tells a key that is nothing for us, unless it says nothing.
    fn refuse(&mut self, entry: &Entry) {
        if !entry.node.is_empty() {
            self.tell(entry, refused::why(&entry.key));
        }
    }

    fn dhcp4(&mut self, dhcp4: &Node) {
        for def in dhcp4
            .get("option-def")
            .map(Node::elements)
            .unwrap_or_default()
        {
            if let Err(why) = self.definitions.add(def) {
                self.gather.left(
                    &self.text.place(def.line),
                    &format!("option-def {}", def.shown()),
                    why,
                );
            }
        }
        let named = named_classes(dhcp4);
        let mut scope = Scope::default();
        self.common(dhcp4, &mut scope);
        for class in dhcp4
            .get("client-classes")
            .map(Node::elements)
            .unwrap_or_default()
        {
            self.class(class, &named);
        }
        for entry in dhcp4.entries() {
            match entry.key.as_str() {
                "shared-networks" => {
                    for network in entry.node.elements() {
                        self.shared_network(network, &scope);
                    }
                }
                "subnet4" => {
                    for subnet in entry.node.elements() {
                        self.subnet(subnet, &scope);
                    }
                }
                "reservations" | "option-def" | "client-classes" => {}
                key if is_common(key) => {}
                _ => self.refuse(entry),
            }
        }
        for reservation in dhcp4
            .get("reservations")
            .map(Node::elements)
            .unwrap_or_default()
        {
            self.reservation(reservation);
        }
        if self.gather.subnets() == 0 {
            for set in scope.all.values() {
                self.gather.left(
                    &set.at,
                    &set.what,
                    "there is no subnet in the file to carry it: write it into the [[subnet]] of the hosts, or into `options` of [defaults]",
                );
            }
        }
    }

    /// What the file, a shared network and a subnet have in common.
    fn common(&mut self, node: &Node, scope: &mut Scope) {
        for entry in node.entries() {
            match entry.key.as_str() {
                "option-data" => {
                    let sets = self.options(&entry.node);
                    scope.all.extend(sets);
                }
                "valid-lifetime" => match values::whole(&entry.node)
                    .and_then(|secs| u32::try_from(secs).ok())
                {
                    Some(secs) if secs > 0 && secs < u32::MAX => scope.lease = Some(secs),
                    _ => self.tell(entry, "a number of seconds is expected: write `lease_time`"),
                },
                "renew-timer" | "rebind-timer" => {
                    let code = if entry.key == "renew-timer" { 58 } else { 59 };
                    match values::whole(&entry.node) {
                        Some(secs) if secs > 0 => {
                            let set = Set {
                                value: Value::Number(secs),
                                force: false,
                                at: self.place(entry.line),
                                what: format!("{}: {secs}", entry.key),
                            };
                            scope.all.insert(code, set);
                        }
                        _ => self.refuse(entry),
                    }
                }
                "next-server" | "server-hostname" => self.server(entry),
                "boot-file-name" => self.boot_file(entry, Boot::Network),
                _ => {}
            }
        }
    }

    /// The address or name of the old server of boot files.
    fn server(&mut self, entry: &Entry) {
        let text = entry.node.text().unwrap_or_default();
        if !text.is_empty() && text != "0.0.0.0" {
            self.tell(entry, NEXT_SERVER);
        }
    }

    /// A boot file for many.
    fn boot_file(&mut self, entry: &Entry, whom: Boot<'_>) {
        let file = entry.node.text().unwrap_or_default();
        if file.is_empty() {
            return;
        }
        let numbers = match whom {
            Boot::Ipxe => {
                self.tell(entry, CHAINLOADING);
                return;
            }
            Boot::Firmware(numbers) => numbers,
            Boot::Network => &[],
        };
        let mut firmware: Vec<Firmware> = numbers
            .iter()
            .filter_map(|number| boot::firmware(*number))
            .collect();
        firmware.sort_unstable();
        firmware.dedup();
        if numbers.is_empty() {
            firmware.extend(boot::firmware_of_file(file));
        }
        let (at, what) = (self.place(entry.line), format!("boot-file-name: {file}"));
        for firmware in &firmware {
            self.gather.loader(*firmware, file, &at, &what);
        }
        if firmware.is_empty() {
            let why = match boot::kind(file) {
                boot::Kind::Ipxe | boot::Kind::Script => CHAINLOADING,
                boot::Kind::Other => {
                    "a network has no boot file of its own: machines get iPXE and go on to their profile; a host, a group or [defaults] may name another `loader`"
                }
            };
            self.gather.left(&at, &what, why);
        }
    }

    /// The options of an `option-data`; what cannot be carried over is told.
    fn options(&mut self, data: &Node) -> Sets {
        let mut sets = Sets::new();
        let mut spaces: BTreeMap<String, (Vec<u8>, Set)> = BTreeMap::new();
        for option in data.elements() {
            let at = self.place(option.line);
            let name = option.get("name").and_then(Node::text).map(str::to_owned);
            let name = name
                .or_else(|| option.get("code").map(Node::shown))
                .unwrap_or_default();
            let text = option.get("data").map(Node::shown).unwrap_or_default();
            let what = format!("option-data {name}: {text}");
            let space = option.get("space").and_then(Node::text).unwrap_or(DHCP4);
            match self.option(option, space, &text) {
                Err(why) => self.gather.left(&at, &what, why),
                Ok(None) => {}
                Ok(Some((code, value))) => {
                    let force = is_true(option, "always-send");
                    let set = Set {
                        value,
                        force,
                        at,
                        what,
                    };
                    for key in ["client-classes", "never-send"] {
                        let Some(entry) = option.entries().iter().find(|entry| entry.key == key)
                        else {
                            continue;
                        };
                        if !entry.node.is_empty() && entry.node.value != Json::Bool(false) {
                            self.tell(
                                entry,
                                "an option is given to all machines of its subnet, group or host",
                            );
                        }
                    }
                    if space != DHCP4 {
                        self.sub_option(space, code, set, &mut spaces);
                    } else if boot::is_of_pxe(code, &set.value) {
                        self.gather.left(&set.at, &set.what, CHAINLOADING);
                    } else if code == 12 || code == 67 {
                        let why = if code == 12 {
                            "a machine always gets its host's name"
                        } else {
                            "boot files are given by Bootwright: `loader` of a host or group, where it needs one"
                        };
                        self.gather.left(&set.at, &set.what, why);
                    } else {
                        if code == 66 || code == 150 {
                            self.gather.left(
                                &set.at,
                                &set.what,
                                "carried over, for telephones and their like; take it out where it was for booting: machines boot from Bootwright",
                            );
                        }
                        if let Some(old) = sets.insert(code, set) {
                            self.gather.left(
                                &old.at,
                                &old.what,
                                "the list has it again, and the last one counts",
                            );
                        }
                    }
                }
            }
        }
        for (space, (bytes, first)) in spaces {
            if let Some(code) = self.definitions.encapsulator(&space) {
                let set = Set {
                    value: Value::Bytes(bytes),
                    ..first
                };
                sets.insert(code, set);
            }
        }
        sets
    }

    /// Code and value of one option; `None`: it only says that options of its space are to be sent.
    fn option(
        &self,
        option: &Node,
        space: &str,
        text: &str,
    ) -> Result<Option<(u8, Value)>, String> {
        let (code, definition) = self
            .definitions
            .find(space, option)
            .ok_or("no option of this name is known: write it by `code` into `options`")?;
        if space == DHCP4 && code == 175 || space.to_ascii_lowercase().contains("pxe") {
            return Err(CHAINLOADING.to_owned());
        }
        let csv = match option.get("csv-format").map(|node| &node.value) {
            Some(Json::Bool(csv)) => *csv,
            // Where nothing is known of an option its data is bytes.
            _ => definition.is_some() || crate::config::options::by_code(code).is_some(),
        };
        if text.is_empty() {
            let holds = definition.is_some_and(|found| found.encapsulates.is_some()) || code == 43;
            return if holds {
                Ok(None)
            } else {
                Err("it has no data".to_owned())
            };
        }
        values::value(code, definition, text, csv).map(|value| Some((code, value)))
    }

    fn sub_option(
        &mut self,
        space: &str,
        code: u8,
        set: Set,
        spaces: &mut BTreeMap<String, (Vec<u8>, Set)>,
    ) {
        if self.definitions.encapsulator(space).is_none() {
            self.gather.left(
                &set.at,
                &set.what,
                "no option holds the options of this space: write the bytes of the whole option as `hex` into `options`",
            );
            return;
        }
        let value = match &set.value {
            Value::Bytes(bytes) => bytes.clone(),
            Value::Text(text) => text.clone().into_bytes(),
            Value::Ips(ips) => ips.iter().flat_map(std::net::Ipv4Addr::octets).collect(),
            Value::Flag(flag) => vec![u8::from(*flag)],
            Value::Names(names) => {
                crate::wire::dhcp::options::domain_search(names.iter().map(String::as_str))
            }
            Value::Number(_) => Vec::new(),
        };
        match u8::try_from(value.len()) {
            Ok(len) if len > 0 => {
                let (bytes, _) = spaces
                    .entry(space.to_owned())
                    .or_insert_with(|| (Vec::new(), set));
                bytes.extend([code, len]);
                bytes.extend(value);
            }
            _ => self.gather.left(
                &set.at,
                &set.what,
                "empty, or longer than a sub-option may be",
            ),
        }
    }

    /// A class: a group where reservations name it, chainloading where its test is one of the idioms.
    fn class(&mut self, class: &Node, named: &BTreeSet<String>) {
        let name = class
            .get("name")
            .and_then(Node::text)
            .unwrap_or_default()
            .to_owned();
        let at = self.place(class.line);
        let what = format!("client-class {name}");
        if named.contains(&name) {
            self.group(class, &name, &at, &what);
            return;
        }
        let test = class
            .get("test")
            .and_then(Node::text)
            .map_or(Test::Unknown, classes::recognise);
        let whom = match &test {
            Test::Ipxe => Boot::Ipxe,
            Test::Firmware(numbers) => Boot::Firmware(numbers),
            Test::Unknown => {
                self.gather.left(&at, &what, refused::why("test"));
                for entry in class.entries().iter().filter(|entry| entry.key != "name") {
                    if entry.node.is_empty() {
                        continue;
                    }
                    self.tell(entry, refused::why("test"));
                    for option in entry.node.elements() {
                        let place = self.place(option.line);
                        self.gather.left(
                            &place,
                            &format!("option-data {}", inner(option)),
                            refused::why("test"),
                        );
                    }
                }
                return;
            }
        };
        self.gather.left(&at, &what, CHAINLOADING);
        for entry in class.entries() {
            match entry.key.as_str() {
                "name" => {}
                "test" => self.tell(entry, CHAINLOADING),
                "boot-file-name" => self.boot_file(entry, whom),
                "next-server" | "server-hostname" => self.server(entry),
                "option-data" => {
                    for option in entry.node.elements() {
                        let code = self.definitions.find(DHCP4, option).map(|(code, _)| code);
                        let boots = matches!(code, Some(43 | 60 | 66 | 67 | 175))
                            || option
                                .get("space")
                                .and_then(Node::text)
                                .is_some_and(|space| space != DHCP4);
                        let why = if boots {
                            CHAINLOADING
                        } else {
                            refused::why("test")
                        };
                        let place = self.place(option.line);
                        self.gather
                            .left(&place, &format!("option-data {}", inner(option)), why);
                    }
                }
                _ => self.refuse(entry),
            }
        }
    }

    fn group(&mut self, class: &Node, name: &str, at: &Place, what: &str) {
        let Some(group) = self.gather.group_name(name) else {
            self.gather
                .left(at, what, "its name cannot be made one of ours");
            return;
        };
        if group.as_str() != name {
            self.gather
                .left(at, what, format!("the group is called `{group}`"));
        }
        let mut draft = GroupDraft::new(group.clone());
        let mut kept = Class {
            group: Some(group),
            ..Class::default()
        };
        for entry in class.entries() {
            match entry.key.as_str() {
                "name" => {}
                "option-data" => kept.sets = self.options(&entry.node),
                "boot-file-name" => {
                    let file = entry.node.text().unwrap_or_default().to_owned();
                    if !file.is_empty() {
                        let place = self.place(entry.line);
                        kept.loader = self.gather.own_loader(
                            &file,
                            &place,
                            &format!("boot-file-name: {file}"),
                        );
                    }
                }
                "next-server" | "server-hostname" => self.server(entry),
                _ => self.refuse(entry),
            }
        }
        draft.loader.clone_from(&kept.loader);
        let sets = kept.sets.clone();
        self.gather.options(&mut draft.options, &sets);
        self.gather.group(draft);
        self.classes.insert(name.to_owned(), kept);
    }
}

/// Keys that [`Reader::common`] reads.
fn is_common(key: &str) -> bool {
    matches!(
        key,
        "option-data"
            | "valid-lifetime"
            | "renew-timer"
            | "rebind-timer"
            | "next-server"
            | "server-hostname"
            | "boot-file-name"
    )
}

fn is_true(node: &Node, key: &str) -> bool {
    node.get(key)
        .is_some_and(|node| node.value == Json::Bool(true))
}

/// An object's values, for reports.
fn inner(node: &Node) -> String {
    let parts: Vec<String> = node
        .entries()
        .iter()
        .map(|entry| format!("{}: {}", entry.key, entry.node.shown()))
        .collect();
    parts.join(", ")
}

/// The names of the classes that reservations name, wherever those stand.
fn named_classes(dhcp4: &Node) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut all = vec![dhcp4];
    while let Some(node) = all.pop() {
        for reservation in node
            .get("reservations")
            .map(Node::elements)
            .unwrap_or_default()
        {
            let classes = reservation
                .get("client-classes")
                .map(Node::elements)
                .unwrap_or_default();
            named.extend(classes.iter().filter_map(Node::text).map(str::to_owned));
        }
        for key in ["subnet4", "shared-networks"] {
            all.extend(node.get(key).map(Node::elements).unwrap_or_default());
        }
    }
    named
}
