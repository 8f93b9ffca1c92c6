//! Tags of dnsmasq: what sets them, and what that makes of an option or a boot file under a condition.

use std::collections::BTreeMap;

use super::lines::Directive;
use crate::import::boot::arch_of_class;

/// What a tag stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tag {
    /// iPXE asks.
    Ipxe,
    /// The firmware announces itself by one of these numbers.
    Arch(Vec<u16>),
    /// Something that boots from the network.
    Pxe,
    /// It is set by a network's range.
    Subnet(usize),
    /// It is set by hosts.
    Host,
    /// The machine has a reservation.
    Known,
}

/// Tags by name.
#[derive(Debug, Default)]
pub(super) struct Tags(BTreeMap<String, Tag>);

/// A condition: tags, each with whether it must be set or must not.
pub(super) type Condition = Vec<(String, bool)>;

/// Whom a condition leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whom {
    All,
    /// iPXE itself.
    Ipxe,
    /// Firmware of these numbers; none: whatever boots from the network, but iPXE.
    Firmware(Vec<u16>),
    /// The machines of this subnet.
    Subnet(usize),
    /// Hosts with this tag.
    Hosts(String),
    /// Nobody that can be told.
    Unknown,
}

impl Tags {
    /// Sets what a tag stands for; numbers of firmware add up.
    pub(super) fn set(&mut self, name: &str, tag: Tag) {
        match (self.0.get_mut(name), tag) {
            (Some(Tag::Arch(known)), Tag::Arch(more)) => known.extend(more),
            (Some(Tag::Ipxe | Tag::Arch(_)), Tag::Pxe) => {}
            (_, tag) => {
                self.0.insert(name.to_owned(), tag);
            }
        }
    }

    /// What a tag stands for.
    pub(super) fn get(&self, name: &str) -> Option<&Tag> {
        self.0.get(name)
    }

    /// Takes up a directive that sets a tag by what a machine sends: whether it is one of network boot.
    pub(super) fn by_request(&mut self, directive: &Directive) -> bool {
        let fields = directive.fields();
        let Some((name, rest)) = fields.split_first() else {
            return false;
        };
        let Some(name) = name
            .strip_prefix("set:")
            .or_else(|| name.strip_prefix("net:"))
            .or(Some(name))
        else {
            return false;
        };
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        let tag = match (directive.key.as_str(), rest.as_slice()) {
            ("dhcp-match", ["175" | "option:ipxe" | "encap:175", ..]) => Some(Tag::Ipxe),
            ("dhcp-match", ["option:client-arch" | "93", numbers @ ..]) => {
                let numbers: Vec<u16> = numbers
                    .iter()
                    .filter_map(|number| number.parse().ok())
                    .collect();
                Some(if numbers.is_empty() {
                    Tag::Pxe
                } else {
                    Tag::Arch(numbers)
                })
            }
            ("dhcp-match", ["option:vendor-class" | "60", class, ..])
            | ("dhcp-vendorclass", [class, ..]) => by_class(class),
            ("dhcp-match", ["option:user-class" | "77", class, ..])
            | ("dhcp-userclass", [class, ..]) => by_user(class),
            _ => None,
        };
        match tag {
            Some(tag) => {
                self.set(name, tag);
                true
            }
            None => false,
        }
    }

    /// Takes up `tag-if`: a tag that others set. Whether it is one of network boot.
    pub(super) fn by_tags(&mut self, directive: &Directive) -> bool {
        let fields = directive.fields();
        let set: Vec<&str> = fields
            .iter()
            .filter_map(|field| field.strip_prefix("set:"))
            .collect();
        let (condition, _) = condition(&fields);
        let tag = match self.whom(&condition) {
            Whom::Ipxe => Tag::Ipxe,
            Whom::Firmware(numbers) if numbers.is_empty() => Tag::Pxe,
            Whom::Firmware(numbers) => Tag::Arch(numbers),
            _ => return false,
        };
        for name in &set {
            self.set(name, tag.clone());
        }
        !set.is_empty()
    }

    /// Whom a condition leaves. Conditions of network boot win over those of hosts: a boot file for some firmware of
    /// some hosts is told, not guessed.
    pub(super) fn whom(&self, condition: &Condition) -> Whom {
        let mut whom = Whom::All;
        for (name, set) in condition {
            let next = match (self.get(name), set) {
                (Some(Tag::Ipxe), true) => Whom::Ipxe,
                (Some(Tag::Arch(numbers)), true) => Whom::Firmware(numbers.clone()),
                (Some(Tag::Ipxe | Tag::Pxe | Tag::Arch(_)), _) => Whom::Firmware(Vec::new()),
                (Some(Tag::Subnet(index)), true) => Whom::Subnet(*index),
                (Some(Tag::Host), true) => Whom::Hosts(name.clone()),
                _ => return Whom::Unknown,
            };
            whom = match (whom, next) {
                (Whom::All, next) => next,
                (Whom::Ipxe, Whom::Firmware(_)) | (Whom::Firmware(_), Whom::Ipxe) => Whom::Ipxe,
                (Whom::Firmware(known), Whom::Firmware(more)) => {
                    Whom::Firmware(if more.is_empty() { known } else { more })
                }
                (whom, next) if whom == next => whom,
                _ => return Whom::Unknown,
            };
        }
        whom
    }
}

fn by_user(class: &str) -> Option<Tag> {
    let lower = class.to_ascii_lowercase();
    (lower.contains("ipxe") || lower.contains("gpxe")).then_some(Tag::Ipxe)
}

fn by_class(class: &str) -> Option<Tag> {
    if let Some(number) = arch_of_class(class) {
        return Some(Tag::Arch(vec![number]));
    }
    let boots = ["PXEClient", "HTTPClient", "Etherboot"];
    boots
        .iter()
        .any(|name| class.contains(name))
        .then_some(Tag::Pxe)
}

/// The conditions at the beginning of fields, and the other fields.
pub(super) fn condition(fields: &[String]) -> (Condition, Vec<String>) {
    let mut condition = Condition::new();
    let mut rest = Vec::new();
    for field in fields {
        let tag = field
            .strip_prefix("tag:")
            .or_else(|| field.strip_prefix("net:"));
        match tag {
            Some(tag) if rest.is_empty() => match tag.strip_prefix(['!', '#']) {
                Some(tag) => condition.push((tag.to_owned(), false)),
                None => condition.push((tag.to_owned(), true)),
            },
            _ if field.starts_with("set:") && rest.is_empty() => {}
            _ => rest.push(field.clone()),
        }
    }
    (condition, rest)
}
