//! `dhcp-host`, `/etc/ethers` and the names of `/etc/hosts`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::lines::{Directive, fields, seconds};
use crate::base::HardwareAddr;
use crate::import::Source;
use crate::import::place::Place;

/// One `dhcp-host`, its fields told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostLine {
    pub macs: Vec<HardwareAddr>,
    pub ip: Option<Ipv4Addr>,
    pub name: Option<String>,
    /// Tags that it sets.
    pub tags: Vec<String>,
    /// It is never to be served.
    pub ignore: bool,
    /// Fields that have no place here, with the reason.
    pub left: Vec<(String, String)>,
}

/// Reads the fields of a `dhcp-host`.
pub(super) fn host_line(value: &str) -> HostLine {
    let mut line = HostLine::default();
    for field in fields(value) {
        if field.is_empty() {
            continue;
        }
        let mut leave = |why: &str| line.left.push((field.clone(), why.to_owned()));
        if field == "id:*" {
            // MAC addresses are all that is looked at here, too.
        } else if field.starts_with("id:") {
            leave("a machine is known by its MAC addresses, not by an identifier that it chooses");
        } else if let Some(tag) = field
            .strip_prefix("set:")
            .or_else(|| field.strip_prefix("net:"))
        {
            line.tags.push(tag.to_owned());
        } else if field.starts_with("tag:") {
            leave("a reservation holds under every condition");
        } else if field.starts_with('[') || field.parse::<Ipv6Addr>().is_ok() {
            leave("an address of IPv6: machines are booted over IPv4");
        } else if field == "ignore" {
            line.ignore = true;
        } else if let Ok(ip) = field.parse::<Ipv4Addr>() {
            match line.ip {
                None => line.ip = Some(ip),
                Some(_) => leave("a second address"),
            }
        } else if is_pattern(&field) {
            leave(
                "a pattern of MAC addresses: each machine has a reservation of its own, with its whole address",
            );
        } else if let Some(mac) = mac(&field) {
            match mac {
                Ok(mac) => line.macs.push(mac),
                Err(why) => leave(&why),
            }
        } else if seconds(&field).is_some() {
            leave("the length of leases is a subnet's: `lease_time`");
        } else if line.name.is_none() {
            line.name = Some(field);
        } else {
            leave("a second name");
        }
    }
    line
}

/// Whether this is a MAC address some of whose bytes are `*`.
fn is_pattern(field: &str) -> bool {
    field.contains('*')
        && field
            .split([':', '-'])
            .all(|part| part == "*" || is_byte(part))
}

fn is_byte(part: &str) -> bool {
    (1..=2).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_hexdigit())
}

/// A MAC address, with a hardware type before it or not; `None` where the field is none.
fn mac(field: &str) -> Option<Result<HardwareAddr, String>> {
    let (kind, address) = match field.split_once('-') {
        Some((kind, address)) if is_byte(kind) && address.contains(':') => (Some(kind), address),
        _ => (None, field),
    };
    let parts: Vec<&str> = address.split([':', '-']).collect();
    if parts.len() < 3 || !parts.iter().all(|part| is_byte(part)) {
        return None;
    }
    if kind.is_some_and(|kind| u8::from_str_radix(kind, 16) != Ok(1)) {
        return Some(Err("only Ethernet boots here".to_owned()));
    }
    let bytes: Option<Vec<u8>> = parts
        .iter()
        .map(|part| u8::from_str_radix(part, 16).ok())
        .collect();
    let octets = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
    Some(
        octets
            .map(HardwareAddr::ethernet)
            .ok_or_else(|| "a MAC address has six bytes".to_owned()),
    )
}

/// Addresses of names, from hosts files and records, with the file each is from.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_name: BTreeMap<String, (Ipv4Addr, String)>,
    by_ip: BTreeMap<Ipv4Addr, String>,
}

impl Names {
    /// Takes up a hosts file.
    pub(super) fn hosts_file(&mut self, source: &Source) {
        for line in source.text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(ip) = words.next().and_then(|ip| ip.parse::<Ipv4Addr>().ok()) else {
                continue;
            };
            for name in words {
                self.add(name, ip, &source.name);
            }
        }
    }

    /// Takes up a record: `host-record=name,…,address` or `address=/name/address`.
    pub(super) fn record(&mut self, directive: &Directive) {
        let from = format!("{}, line {}", directive.at.file, directive.at.line);
        if directive.key == "address" {
            let parts: Vec<&str> = directive.value.split('/').collect();
            if let [_, names @ .., ip] = parts.as_slice()
                && let Ok(ip) = ip.trim().parse()
            {
                for name in names {
                    self.add(name, ip, &from);
                }
            }
            return;
        }
        let fields = directive.fields();
        if let Some(ip) = fields
            .iter()
            .find_map(|field| field.parse::<Ipv4Addr>().ok())
        {
            for name in fields
                .iter()
                .filter(|field| field.parse::<std::net::IpAddr>().is_err())
            {
                self.add(name, ip, &from);
            }
        }
    }

    fn add(&mut self, name: &str, ip: Ipv4Addr, from: &str) {
        if ip.is_loopback() || name.is_empty() {
            return;
        }
        let key = name.to_ascii_lowercase();
        self.by_name
            .entry(key.clone())
            .or_insert_with(|| (ip, from.to_owned()));
        if let Some((label, _)) = key.split_once('.') {
            self.by_name
                .entry(label.to_owned())
                .or_insert_with(|| (ip, from.to_owned()));
        }
        self.by_ip.entry(ip).or_insert_with(|| name.to_owned());
    }

    /// The address of a name, and where that stands.
    pub(super) fn address(&self, name: &str) -> Option<(Ipv4Addr, &str)> {
        let key = name.to_ascii_lowercase();
        let label = key.split('.').next().unwrap_or_default();
        let found = self.by_name.get(&key).or_else(|| self.by_name.get(label))?;
        Some((found.0, &found.1))
    }

    /// The name of an address.
    pub(super) fn name(&self, ip: Ipv4Addr) -> Option<&str> {
        self.by_ip.get(&ip).map(String::as_str)
    }
}

/// A line of `/etc/ethers`: a MAC address, and a name or an address; or the line, where it is another.
pub(super) type Ether = Result<(HardwareAddr, String), String>;

/// The lines of `/etc/ethers`.
pub(super) fn ethers(source: &Source) -> Vec<(Place, Ether)> {
    let file: std::sync::Arc<str> = source.name.as_str().into();
    let mut found = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let read = match words.as_slice() {
            [] => continue,
            [address, name] => match mac(address) {
                Some(Ok(mac)) => Ok((mac, (*name).to_owned())),
                _ => Err(line.trim().to_owned()),
            },
            _ => Err(line.trim().to_owned()),
        };
        found.push((Place::new(&file, index + 1), read));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_in_any_order() {
        let one = host_line("52:54:00:00:00:01,web,10.0.0.5,infinite");
        let two = host_line("10.0.0.5, web, 12h, 52-54-00-00-00-01");
        assert_eq!(
            (&one.macs, one.ip, &one.name),
            (&two.macs, two.ip, &two.name)
        );
        assert_eq!(one.name.as_deref(), Some("web"));
        assert_eq!(one.left.len(), 1);
        let many =
            host_line("11:22:33:44:55:66,12:34:56:78:90:12,set:a,net:b,192.168.0.2,[::5],id:01:02");
        assert_eq!(many.macs.len(), 2);
        assert_eq!(many.tags, ["a", "b"]);
        assert_eq!(many.left.len(), 2);
        assert!(host_line("00:20:e0:3b:13:*,ignore").ignore);
        assert!(host_line("00:20:e0:3b:13:*,ignore").macs.is_empty());
        assert_eq!(host_line("06-00:20:e0:3b:13:af,1.2.3.4").left.len(), 1);
        assert_eq!(host_line("01-00:20:e0:3b:13:af,1.2.3.4").macs.len(), 1);
        assert_eq!(host_line("id:*,host,60").name.as_deref(), Some("host"));
        assert_eq!(host_line("cafe-babe").name.as_deref(), Some("cafe-babe"));
    }
}
