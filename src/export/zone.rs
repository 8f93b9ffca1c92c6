//! Zone files (RFC 1035 section 5): one for each domain, and for the networks the reverse ones.
//!
//! Networks that do not end at an octet's boundary have a reverse zone for each octet that addresses lie in; those
//! smaller than a /24 have one by RFC 2317, whose CNAME records belong into the zone above it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{Entry, HEADLINE, Left, Text, ZoneSettings, entries, seconds};
use crate::config::Snapshot;

/// Records by owner within a zone, in their order: the rest of each line.
type Records = Vec<(String, String)>;

pub(super) fn write(
    snapshot: &Snapshot,
    settings: &ZoneSettings,
    left: &mut Vec<Left>,
) -> Vec<Text> {
    let mut forward: BTreeMap<String, Records> = BTreeMap::new();
    let mut reverse: BTreeMap<(u32, String), (Records, Vec<String>)> = BTreeMap::new();
    for entry in entries(snapshot) {
        let Some(ip) = entry.ip else {
            if entry.is_first {
                left.push(Left {
                    what: entry.told(),
                    why: "it has no address, which another server gives it".to_owned(),
                });
            }
            continue;
        };
        let Some((label, domain)) = name(&entry, left) else {
            continue;
        };
        forward
            .entry(domain.clone())
            .or_default()
            .push((label.clone(), format!("A     {ip}")));
        let Some(subnet) = entry.subnet else { continue };
        let place = place(subnet.network, ip);
        let (records, above) = reverse
            .entry((u32::from(place.first), place.zone.clone()))
            .or_default();
        records.push((place.owner.clone(), format!("PTR   {label}.{domain}.")));
        if place.is_classless {
            above.push(place.owner);
        }
    }
    let mut texts = Vec::new();
    let mut servers: BTreeMap<String, (Vec<String>, Option<Ipv4Addr>)> = BTreeMap::new();
    for (domain, records) in &forward {
        let (names, address) = name_servers(snapshot, settings, domain, records);
        if settings.name_servers.is_empty() {
            left.push(Left {
                what: format!("zone {domain}"),
                why: format!(
                    "its name server is made up ({}): --ns names it",
                    names.join(", ")
                ),
            });
        }
        texts.push(zone(domain, settings, &names, address, records, &[]));
        servers.insert(domain.clone(), (names, address));
    }
    for ((_, name), (records, above)) in &reverse {
        // The name servers of the domain that most of it is of: the first one's.
        let domain = records
            .first()
            .and_then(|(_, data)| data.split_whitespace().nth(1))
            .and_then(|target| target.split_once('.'))
            .map(|(_, domain)| domain.trim_end_matches('.'));
        let names = domain
            .and_then(|domain| servers.get(domain))
            .map(|(names, _)| names.clone())
            .unwrap_or_default();
        texts.push(zone(name, settings, &names, None, records, above));
    }
    texts
}

/// Label and domain of a card.
fn name(entry: &Entry<'_>, left: &mut Vec<Left>) -> Option<(String, String)> {
    let Some(fqdn) = entry.fqdn() else {
        left.push(Left {
            what: entry.told(),
            why: "it has no domain: give `domain` to its [[subnet]] or to [server]".to_owned(),
        });
        return None;
    };
    let (label, domain) = fqdn.trim_end_matches('.').split_once('.')?;
    Some((label.to_owned(), domain.to_owned()))
}

/// Where an address has its PTR record.
struct Place {
    /// The first address that the zone is for.
    first: Ipv4Addr,
    zone: String,
    owner: String,
    /// By RFC 2317.
    is_classless: bool,
}

fn place(network: Ipv4Net, ip: Ipv4Addr) -> Place {
    let [a, b, c, d] = ip.octets();
    match network.prefix_len() {
        25..=32 => {
            let [.., last] = network.network().octets();
            Place {
                first: network.network(),
                zone: format!("{last}-{}.{c}.{b}.{a}.in-addr.arpa", network.prefix_len()),
                owner: d.to_string(),
                is_classless: true,
            }
        }
        17..=24 => Place {
            first: Ipv4Addr::new(a, b, c, 0),
            zone: format!("{c}.{b}.{a}.in-addr.arpa"),
            owner: d.to_string(),
            is_classless: false,
        },
        9..=16 => Place {
            first: Ipv4Addr::new(a, b, 0, 0),
            zone: format!("{b}.{a}.in-addr.arpa"),
            owner: format!("{d}.{c}"),
            is_classless: false,
        },
        _ => Place {
            first: Ipv4Addr::new(a, 0, 0, 0),
            zone: format!("{a}.in-addr.arpa"),
            owner: format!("{d}.{c}.{b}"),
            is_classless: false,
        },
    }
}

/// The name servers of a domain; one that is made up has an address: the first DNS server that machines are told.
fn name_servers(
    snapshot: &Snapshot,
    settings: &ZoneSettings,
    domain: &str,
    records: &Records,
) -> (Vec<String>, Option<Ipv4Addr>) {
    if !settings.name_servers.is_empty() {
        let absolute = |name: &String| {
            let name = name.trim_end_matches('.');
            if name.contains('.') {
                format!("{name}.")
            } else {
                format!("{name}.{domain}.")
            }
        };
        return (settings.name_servers.iter().map(absolute).collect(), None);
    }
    let of_domain = snapshot
        .subnets
        .iter()
        .find(|subnet| subnet.domain.as_deref() == Some(domain))
        .or_else(|| snapshot.subnets.first());
    let address = of_domain.map_or(Ipv4Addr::LOCALHOST, |subnet| {
        subnet.dns.first().copied().unwrap_or(subnet.example_server)
    });
    // A machine that is written down has a name.
    let own = format!("A     {address}");
    if let Some((label, _)) = records.iter().find(|(_, data)| *data == own) {
        return (vec![format!("{label}.{domain}.")], None);
    }
    (vec![format!("ns.{domain}.")], Some(address))
}

fn zone(
    name: &str,
    settings: &ZoneSettings,
    name_servers: &[String],
    address: Option<Ipv4Addr>,
    records: &Records,
    above: &[String],
) -> Text {
    let primary = name_servers
        .first()
        .cloned()
        .unwrap_or_else(|| format!("ns.{name}."));
    let contact = if let Some(contact) = &settings.contact {
        mailbox(contact)
    } else {
        let domain = primary.split_once('.').map_or(name, |(_, domain)| domain);
        format!("hostmaster.{}.", domain.trim_end_matches('.'))
    };
    let mut text = format!(
        "; {HEADLINE}\n$ORIGIN {name}.\n$TTL {}\n@ IN SOA {primary} {contact} (\n    {} ; serial\n    3600 900 1209600 300 )\n",
        seconds(settings.ttl),
        settings.serial
    );
    for server in name_servers {
        let _ = writeln!(text, "@ IN NS    {server}");
    }
    if let Some(address) = address {
        let _ = writeln!(text, "ns IN A     {address}");
    }
    for (owner, data) in records {
        let _ = writeln!(text, "{owner:<24} IN {data}");
    }
    if !above.is_empty() {
        let parent = name.split_once('.').map_or(name, |(_, parent)| parent);
        let _ = writeln!(text, "\n; RFC 2317: into the zone {parent}:");
        for server in name_servers {
            let label = name.split('.').next().unwrap_or_default();
            let _ = writeln!(text, "; {label:<22} IN NS    {server}");
        }
        for owner in above {
            let _ = writeln!(text, "; {owner:<22} IN CNAME {owner}.{name}.");
        }
    }
    Text {
        name: format!("db.{name}"),
        text,
    }
}

/// `ops@lab.example` as SOA records have it: a dot within the local part is escaped.
fn mailbox(contact: &str) -> String {
    match contact.trim_end_matches('.').split_once('@') {
        Some((local, domain)) => format!("{}.{domain}.", local.replace('.', "\\.")),
        None => format!("{}.", contact.trim_end_matches('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_its_zones() {
        let of = |network: &str, ip: &str| {
            let place = place(network.parse().unwrap(), ip.parse().unwrap());
            (place.zone, place.owner, place.is_classless)
        };
        let is =
            |zone: &str, owner: &str, classless| (zone.to_owned(), owner.to_owned(), classless);
        assert_eq!(
            of("10.99.0.0/24", "10.99.0.11"),
            is("0.99.10.in-addr.arpa", "11", false)
        );
        assert_eq!(
            of("10.98.0.0/23", "10.98.1.5"),
            is("1.98.10.in-addr.arpa", "5", false)
        );
        assert_eq!(
            of("172.16.0.0/16", "172.16.3.4"),
            is("16.172.in-addr.arpa", "4.3", false)
        );
        assert_eq!(
            of("10.0.0.0/8", "10.1.2.3"),
            is("10.in-addr.arpa", "3.2.1", false)
        );
        assert_eq!(
            of("10.16.0.0/12", "10.17.2.3"),
            is("17.10.in-addr.arpa", "3.2", false)
        );
        assert_eq!(
            of("192.168.7.128/25", "192.168.7.130"),
            is("128-25.7.168.192.in-addr.arpa", "130", true)
        );
    }

    #[test]
    fn mailboxes() {
        assert_eq!(mailbox("net.ops@lab.example"), "net\\.ops.lab.example.");
        assert_eq!(
            mailbox("hostmaster.lab.example."),
            "hostmaster.lab.example."
        );
    }
}
