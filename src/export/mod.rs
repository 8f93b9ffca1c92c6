//! L3, what other programs are told: hosts, groups and subnets as files of other servers and tools.
//!
//! Each format is a function from a [`Snapshot`] to texts. What a format cannot say is not dropped but named
//! ([`Left`]). What machines boot is not in here: [`router`] writes the lines that send another server's machines here.
//!
//! **Invariant:** pure; no secret and no variable stands in any export. Any configuration gives texts that the other
//! program reads: whatever stands in names, notes and options is quoted as that program has it.

mod ansible;
mod csv;
mod dhcpd;
mod dnsmasq;
mod hosts;
mod kea;
pub mod router;
mod zone;

use std::collections::HashSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

use crate::base::HardwareAddr;
use crate::config::Snapshot;
use crate::config::options::ConfiguredOption;
use crate::config::snapshot::{Host, Subnet};

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A hosts file.
    Hosts,
    /// dnsmasq's configuration.
    Dnsmasq,
    /// ISC dhcpd's configuration.
    Dhcpd,
    /// Kea's configuration (JSON).
    Kea,
    /// Zone files, forward and reverse.
    Zone,
    /// An Ansible inventory (YAML).
    Ansible,
    /// A table that `import csv` reads.
    Csv,
}

impl Format {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 7] = [
        Self::Hosts,
        Self::Dnsmasq,
        Self::Dhcpd,
        Self::Kea,
        Self::Zone,
        Self::Ansible,
        Self::Csv,
    ];

    /// As it is typed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Dnsmasq => "dnsmasq",
            Self::Dhcpd => "dhcpd",
            Self::Kea => "kea",
            Self::Zone => "zone",
            Self::Ansible => "ansible",
            Self::Csv => "csv",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::as_str).join(", ");
                format!("`{text}` is no format; there are {names}")
            })
    }
}

/// What zone files need beside the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneSettings {
    /// The serial number of the SOA record.
    pub serial: u32,
    /// The name servers; when there are none, one is made up.
    pub name_servers: Vec<String>,
    /// The mailbox of whoever is responsible; else `hostmaster` of the zone.
    pub contact: Option<String>,
    /// How long records may be kept.
    pub ttl: Duration,
}

impl Default for ZoneSettings {
    fn default() -> Self {
        Self {
            serial: 1,
            name_servers: Vec::new(),
            contact: None,
            ttl: Duration::from_secs(3_600),
        }
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exported {
    /// The texts: one, but for zones.
    pub texts: Vec<Text>,
    /// What the format cannot say.
    pub left: Vec<Left>,
}

/// One text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The usual name of such a file.
    pub name: String,
    /// The text.
    pub text: String,
}

/// What a format cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Of whom: `host web01`, `subnet lab`.
    pub what: String,
    /// What is left out, and why.
    pub why: String,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// Writes a configuration in another program's format.
pub fn export(snapshot: &Snapshot, format: Format, zone: &ZoneSettings) -> Exported {
    let mut left = Vec::new();
    let texts = match format {
        Format::Hosts => one("hosts", hosts::write(snapshot, &mut left)),
        Format::Dnsmasq => one("dnsmasq.conf", dnsmasq::write(snapshot, &mut left)),
        Format::Dhcpd => one("dhcpd.conf", dhcpd::write(snapshot, &mut left)),
        Format::Kea => one("kea-dhcp4.conf", kea::write(snapshot, &mut left)),
        Format::Zone => zone::write(snapshot, zone, &mut left),
        Format::Ansible => one("inventory.yml", ansible::write(snapshot, &mut left)),
        Format::Csv => one("hosts.csv", csv::write(snapshot, &mut left)),
    };
    let why = match format {
        Format::Dnsmasq | Format::Kea | Format::Dhcpd => Some(
            "what they boot and are installed with (profiles, loaders, snippets, variables) is this server's alone, and groups only hold options there",
        ),
        Format::Ansible | Format::Csv => {
            Some("snippets and variables are left out, because they may hold passwords")
        }
        Format::Hosts | Format::Zone => None,
    };
    left.extend(why.map(|why| Left {
        what: "all hosts".to_owned(),
        why: why.to_owned(),
    }));
    left.dedup();
    Exported { texts, left }
}

fn one(name: &str, text: String) -> Vec<Text> {
    vec![Text {
        name: name.to_owned(),
        text,
    }]
}

/// The first line of every text, after its format's own sign of a comment.
const HEADLINE: &str = "Written by `bootwright export`: changed in reservations.toml, not here.";

/// A network card that has a name and perhaps an address.
struct Entry<'a> {
    host: &'a Host,
    macs: &'a [HardwareAddr],
    ip: Option<Ipv4Addr>,
    subnet: Option<&'a Subnet>,
    /// A DNS label: the host's name, with the card's behind it for further cards.
    label: String,
    /// Whether it is the host's first one.
    is_first: bool,
}

impl Entry<'_> {
    /// The name in DNS, when a domain is known.
    fn fqdn(&self) -> Option<String> {
        if self.is_first {
            return self.host.fqdn().map(|name| name.to_ascii_lowercase());
        }
        let domain = self.host.domain.as_ref()?;
        Some(format!("{}.{domain}", self.label).to_ascii_lowercase())
    }

    fn told(&self) -> String {
        format!("host {}", self.label)
    }
}

/// All network cards, in the order of the file.
fn entries(snapshot: &Snapshot) -> Vec<Entry<'_>> {
    let mut entries = Vec::with_capacity(snapshot.hosts().len());
    // A further card may be called as another host is.
    let names = snapshot.hosts().iter().map(|host| host.name.as_str());
    let mut taken: HashSet<String> = names.map(str::to_ascii_lowercase).collect();
    for host in snapshot.hosts() {
        for (index, card) in host.cards().enumerate() {
            let name = host.name.as_str();
            let mut label = match (index, card.name) {
                (0, _) => name.to_owned(),
                (_, Some(nic)) => format!("{name}-{}", dns_label(nic)),
                (_, None) => format!("{name}-nic{}", index + 1),
            };
            let mut number = index + 1;
            while index > 0 && !taken.insert(label.to_ascii_lowercase()) {
                label = format!("{name}-nic{number}");
                number += 1;
            }
            entries.push(Entry {
                host,
                macs: card.macs,
                ip: card.ip,
                subnet: card.subnet.and_then(|index| snapshot.subnets.get(index)),
                label,
                is_first: index == 0,
            });
        }
    }
    entries
}

/// Free text as (a part of) a DNS label.
fn dns_label(text: &str) -> String {
    let label: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let label = label.trim_matches('-');
    if label.is_empty() {
        "nic".to_owned()
    } else {
        label.to_owned()
    }
}

/// A word that may stand for a name in other programs: letters, digits, `_` and `-`.
fn word(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        })
        .collect()
}

/// Seconds that fit other programs' 32 bits.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

/// The options of a subnet that have keys of their own, and its further ones; the latter win.
fn options_of(subnet: &Subnet) -> Vec<ConfiguredOption> {
    use crate::wire::dhcp::options::domain_search;
    let addresses =
        |list: &[Ipv4Addr]| -> Vec<u8> { list.iter().flat_map(Ipv4Addr::octets).collect() };
    let router: Vec<Ipv4Addr> = subnet.router.into_iter().collect();
    let search = domain_search(subnet.dns_search.iter().map(String::as_str));
    let domain = subnet.domain.clone().unwrap_or_default().into_bytes();
    let own = [
        (3, addresses(&router)),
        (6, addresses(&subnet.dns)),
        (15, domain),
        (42, addresses(&subnet.ntp)),
        (119, search),
    ];
    let mut options: Vec<ConfiguredOption> = own
        .into_iter()
        .filter(|(code, data)| {
            !data.is_empty() && subnet.options.iter().all(|option| option.code != *code)
        })
        .map(|(code, data)| ConfiguredOption {
            code,
            data: data.into(),
            force: false,
        })
        .collect();
    options.extend(subnet.options.iter().cloned());
    options.sort_by_key(|option| option.code);
    options
}

/// Tells of hosts that no DHCP server can be told of: without an address, or without a hardware address.
fn without_dhcp(entry: &Entry<'_>, left: &mut Vec<Left>) -> bool {
    let why = match (entry.ip, entry.macs.is_empty()) {
        (None, _) => "it has no address, which another server gives it",
        (Some(_), true) => "it has no MAC address yet (`bootwright bind`)",
        (Some(_), false) => return false,
    };
    left.push(Left {
        what: entry.told(),
        why: why.to_owned(),
    });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_other_programs() {
        assert_eq!(dns_label("Storage Net/2"), "storage-net-2");
        assert_eq!(dns_label("***"), "nic");
        assert_eq!(word("10.0.0.0/24"), "10-0-0-0-24");
        for format in Format::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
        assert!("json".parse::<Format>().unwrap_err().contains("dnsmasq"));
    }
}
