//! dnsmasq's configuration (dnsmasq(8)): ranges, options by tags, `dhcp-host`.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::{Entry, HEADLINE, Left, entries, options_of, seconds, without_dhcp, word};
use crate::base::HardwareAddr;
use crate::config::Snapshot;
use crate::config::option_value::OptionValue;
use crate::config::options::ConfiguredOption;
use crate::config::snapshot::Subnet;

pub(super) fn write(snapshot: &Snapshot, left: &mut Vec<Left>) -> String {
    let mut text =
        format!("# {HEADLINE}\n# What machines boot: `bootwright router-config dnsmasq`.\n");
    let tags = tags(snapshot);
    for (subnet, tag) in snapshot.subnets.iter().zip(&tags) {
        range(&mut text, subnet, tag, left);
    }
    let entries = entries(snapshot);
    let sets = Sets::of(&entries);
    if !sets.all.is_empty() {
        text.push_str("\n# Options of groups and hosts\n");
    }
    for (number, options) in sets.all.iter().enumerate() {
        for one in *options {
            option(
                &mut text,
                &set_tag(number),
                one,
                "options of groups and hosts",
                left,
            );
        }
    }
    text.push_str("\n# Hosts\n");
    for entry in &entries {
        if entry.is_first || entry.ip.is_some() {
            host(&mut text, entry, &sets, left);
        }
    }
    text
}

/// A tag for each subnet: its name, as far as a tag can be it.
fn tags(snapshot: &Snapshot) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for subnet in &snapshot.subnets {
        let mut tag = word(subnet.name.as_str());
        while tags.contains(&tag) {
            tag.push('-');
        }
        tags.push(tag);
    }
    tags
}

fn range(text: &mut String, subnet: &Subnet, tag: &str, left: &mut Vec<Left>) {
    let network = subnet.network;
    let (mask, time) = (network.netmask(), seconds(subnet.lease_time));
    let _ = writeln!(text, "\n# Subnet {}: {network}", subnet.name);
    let _ = match subnet.leases() {
        Some(pool) => writeln!(
            text,
            "dhcp-range=set:{tag},{},{},{mask},{time}",
            pool.first, pool.last
        ),
        None => writeln!(
            text,
            "dhcp-range=set:{tag},{},static,{mask},{time}",
            network.network()
        ),
    };
    if let Some(domain) = &subnet.domain {
        let _ = writeln!(text, "domain={domain},{network}");
    }
    for one in options_of(subnet) {
        option(text, tag, &one, &format!("subnet {}", subnet.name), left);
    }
}

/// The different sets of options that hosts have, in the order of the hosts, and the number of each.
#[derive(Default)]
struct Sets<'a> {
    all: Vec<&'a [ConfiguredOption]>,
    numbers: HashMap<&'a [ConfiguredOption], usize>,
}

impl<'a> Sets<'a> {
    fn of(entries: &[Entry<'a>]) -> Self {
        let mut sets = Self::default();
        for entry in entries {
            let options: &[ConfiguredOption] = &entry.host.options;
            let next = sets.all.len();
            if !options.is_empty() && *sets.numbers.entry(options).or_insert(next) == next {
                sets.all.push(options);
            }
        }
        sets
    }
}

fn set_tag(number: usize) -> String {
    format!("options{}", number + 1)
}

fn host(text: &mut String, entry: &Entry<'_>, sets: &Sets<'_>, left: &mut Vec<Left>) {
    if without_dhcp(entry, left) {
        return;
    }
    let Some(ip) = entry.ip else { return };
    let own = entry.host.domain.as_ref().filter(|_| entry.is_first);
    if let Some(domain) = own.filter(|own| {
        entry
            .subnet
            .is_some_and(|of| of.domain.as_ref() != Some(own))
    }) {
        left.push(Left {
            what: entry.told(),
            why: format!("its domain {domain}: dnsmasq has one for each network"),
        });
    }
    let macs: Vec<String> = entry.macs.iter().map(mac).collect();
    let set = sets.numbers.get(&*entry.host.options);
    let set = set.map_or_else(String::new, |number| format!("set:{},", set_tag(*number)));
    let _ = writeln!(
        text,
        "dhcp-host={},{set}{ip},{}",
        macs.join(","),
        entry.label
    );
}

/// With the hardware type before it where that is not Ethernet.
fn mac(mac: &HardwareAddr) -> String {
    match mac.octets() {
        Some(_) => mac.to_string(),
        None => format!("{:02x}-{mac}", mac.htype()),
    }
}

fn option(
    text: &mut String,
    tag: &str,
    option: &ConfiguredOption,
    whose: &str,
    left: &mut Vec<Left>,
) {
    let ConfiguredOption { code, data, force } = option;
    let Some(value) = value(*code, data) else {
        left.push(Left {
            what: whose.to_owned(),
            why: format!("option {code} has a text that dnsmasq cannot be told"),
        });
        return;
    };
    let key = if *force {
        "dhcp-option-force"
    } else {
        "dhcp-option"
    };
    let _ = writeln!(text, "{key}=tag:{tag},{code},{value}");
}

fn value(code: u8, data: &[u8]) -> Option<String> {
    let value = OptionValue::of(code, data);
    Some(match &value {
        OptionValue::Number(..) => value.to_string(),
        OptionValue::Bool(value) => u8::from(*value).to_string(),
        OptionValue::Addresses(_) | OptionValue::Domains(_) => value.to_string().replace(", ", ","),
        OptionValue::Routes(routes) => {
            let routes: Vec<String> = routes
                .iter()
                .map(|route| format!("{}/{},{}", route.network, route.prefix, route.router))
                .collect();
            routes.join(",")
        }
        // Quotation marks keep commas and `#`; a backslash keeps both of its kinds.
        OptionValue::Text(text) => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        // One byte alone would be read as a number.
        OptionValue::Bytes(bytes) => match bytes.as_slice() {
            [byte] => byte.to_string(),
            bytes => OptionValue::hex(bytes, ":"),
        },
    })
    .filter(|value| value.len() < 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_dnsmasq_has_them() {
        for (code, data, shown) in [
            (26, &[5, 120][..], "1400"),
            (19, &[1], "1"),
            (6, &[10, 0, 0, 1, 10, 0, 0, 2], "10.0.0.1,10.0.0.2"),
            (121, &[24, 10, 1, 0, 10, 99, 0, 1], "10.1.0.0/24,10.99.0.1"),
            (17, b"it's \"a\\b\", #1", "\"it's \\\"a\\\\b\\\", #1\""),
            (224, &[1, 2, 255], "01:02:ff"),
            (224, &[7], "7"),
        ] {
            assert_eq!(value(code, data).as_deref(), Some(shown), "{code}");
        }
    }
}
