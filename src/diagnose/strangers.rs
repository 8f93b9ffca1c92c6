//! Whose machine one without a reservation may be: the reservation that is a slip of the pen away, and the host whose
//! network card was perhaps replaced.
//!
//! **Invariant:** what is found here is told and gives nothing: a hardware address is adopted by an operator.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::oui::Owner;
use crate::base::{HardwareAddr, HostName, Timestamp, Uuid};
use crate::config::Snapshot;
use crate::config::snapshot::Host;

/// More hosts than this that are alike by their vendor alone tell nothing.
const FEW: usize = 3;

/// How a machine resembles a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Its UUID is the one that the reservation names.
    Uuid,
    /// Its serial number is the one that the reservation names.
    Serial,
    /// The host has shown the same UUID.
    UuidSeen,
    /// One digit of the hardware address is another one, or two neighbours are in the other order.
    OneDigit,
    /// It is at the port of a switch where the host was seen before.
    Port,
    /// Its card is of the vendor of the host's, which was not seen since.
    Vendor,
}

/// A host that a machine may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Likeness {
    /// How it resembles it.
    pub how: How,
    /// The host.
    pub host: HostName,
    /// The hardware address of the host that it would take the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<HardwareAddr>,
    /// When the host was last seen; nothing when that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
}

impl Likeness {
    /// One sentence without its end.
    pub fn in_words(&self) -> String {
        let host = &self.host;
        let mac = self.mac.map_or_else(String::new, |mac| format!(" ({mac})"));
        match self.how {
            How::Uuid => format!(
                "its UUID is that of the reservation {host}: its network card was replaced, or is a further one"
            ),
            How::Serial => format!(
                "its serial number is that of the reservation {host}: its network card was replaced, or is a further one"
            ),
            How::UuidSeen => format!(
                "{host}{mac} has shown the same UUID: a further network card of it, or a new one"
            ),
            How::OneDigit => format!(
                "{host}{mac} is one slip of the pen away: a typing error in the reservation?"
            ),
            How::Port => format!(
                "{host}{mac} was at the same port of the switch before, and was not seen since: a new network card?"
            ),
            How::Vendor => format!(
                "{host}{mac} has a card of the same vendor and was not seen since: a new network card?"
            ),
        }
    }
}

/// What is known of a machine without a reservation.
#[derive(Debug, Clone)]
pub struct Unknown<'a> {
    /// Its hardware address.
    pub mac: HardwareAddr,
    /// Its UUID.
    pub uuid: Option<Uuid>,
    /// Its serial number.
    pub serial: Option<&'a str>,
    /// The number of the port that it is at.
    pub port: Option<u64>,
    /// The subnet that it is in, as an index.
    pub subnet: Option<usize>,
    /// When it was first seen.
    pub first: Timestamp,
    /// Whose its hardware address is.
    pub owner: &'a Owner,
}

/// What was seen of one hardware address of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostSeen {
    /// When it was last seen.
    pub last: Option<Timestamp>,
    /// The UUID that it has shown.
    pub uuid: Option<Uuid>,
    /// The number of the port that it was at.
    pub port: Option<u64>,
}

/// A hardware address of a host, and when it was last seen.
#[derive(Debug, Clone, Copy)]
struct Card<'a> {
    host: &'a Arc<Host>,
    mac: HardwareAddr,
    last: Option<Timestamp>,
}

/// The reservations, by what machines are compared with.
#[derive(Debug)]
pub struct Reserved<'a> {
    snapshot: &'a Snapshot,
    by_uuid: HashMap<Uuid, Vec<Card<'a>>>,
    /// Those who were silent for longest first.
    by_port: HashMap<u64, Vec<Card<'a>>>,
    by_serial: HashMap<&'a str, Vec<&'a Arc<Host>>>,
    /// Of vendors only: what hypervisors make up says nothing. Those who were silent for longest first.
    by_vendor: HashMap<(usize, String), Vec<Card<'a>>>,
}

impl<'a> Reserved<'a> {
    /// All hosts of a configuration, with what was `seen` of them and whose their addresses are.
    pub fn new(
        snapshot: &'a Snapshot,
        seen: impl Fn(HardwareAddr) -> HostSeen,
        owner: impl Fn(HardwareAddr) -> Owner,
    ) -> Self {
        let mut reserved = Self {
            snapshot,
            by_uuid: HashMap::new(),
            by_port: HashMap::new(),
            by_serial: HashMap::new(),
            by_vendor: HashMap::new(),
        };
        // Whole sites have cards of a few prefixes; the longest has 36 bits.
        let mut owners: HashMap<[u8; 6], Option<String>> = HashMap::new();
        for host in snapshot.hosts() {
            if let Some(serial) = host.serial.as_deref().map(str::trim) {
                reserved.by_serial.entry(serial).or_default().push(host);
            }
            for mac in host.all_macs() {
                let HostSeen { last, uuid, port } = seen(mac);
                let card = Card { host, mac, last };
                if let Some(uuid) = uuid {
                    reserved.by_uuid.entry(uuid).or_default().push(card);
                }
                if let Some(port) = port {
                    reserved.by_port.entry(port).or_default().push(card);
                }
                let Some(mut prefix) = mac.octets() else {
                    continue;
                };
                let [.., fifth, sixth] = &mut prefix;
                (*fifth, *sixth) = (*fifth & 0xf0, 0);
                let vendor = owners.entry(prefix).or_insert_with(|| match owner(mac) {
                    Owner::Vendor(name) => Some(name.into_owned()),
                    _ => None,
                });
                if let Some(vendor) = vendor {
                    let key = (host.subnet, vendor.clone());
                    reserved.by_vendor.entry(key).or_default().push(card);
                }
            }
        }
        // Those who were silent for longest come first: nobody needs to look at all cards of a large site.
        for cards in reserved.by_port.values_mut() {
            cards.sort_by_key(|card| card.last);
        }
        for cards in reserved.by_vendor.values_mut() {
            cards.sort_by_key(|card| card.last);
        }
        reserved
    }

    /// The hosts that a machine may be, the likeliest first, each once.
    pub fn like(&self, unknown: &Unknown<'_>) -> Vec<Likeness> {
        let mut found: Vec<Likeness> = Vec::new();
        let mut add = |how, host: &Host, mac, last_seen| {
            if found.iter().all(|known| known.host != host.name) {
                found.push(Likeness {
                    how,
                    host: host.name.clone(),
                    mac,
                    last_seen,
                });
            }
        };
        let silent = |card: &&Card<'_>| card.last.is_none_or(|last| last < unknown.first);
        if let Some(host) = unknown
            .uuid
            .and_then(|uuid| self.snapshot.host_by_uuid(uuid))
        {
            add(How::Uuid, host, host.mac(), None);
        }
        let of_serial = unknown
            .serial
            .and_then(|serial| self.by_serial.get(serial.trim()));
        if let Some([host]) = of_serial.map(Vec::as_slice) {
            add(How::Serial, host, host.mac(), None);
        }
        let of_uuid = unknown.uuid.and_then(|uuid| self.by_uuid.get(&uuid));
        for card in of_uuid.into_iter().flatten().take(FEW) {
            add(How::UuidSeen, card.host, Some(card.mac), card.last);
        }
        for near in slips(unknown.mac) {
            if let Some(host) = self.snapshot.host_by_mac(near) {
                add(How::OneDigit, host, Some(near), None);
            }
        }
        let of_port = unknown.port.and_then(|port| self.by_port.get(&port));
        for card in of_port.into_iter().flatten().take_while(silent).take(FEW) {
            add(How::Port, card.host, Some(card.mac), card.last);
        }
        if let (Some(subnet), Owner::Vendor(vendor)) = (unknown.subnet, unknown.owner) {
            let cards = self.by_vendor.get(&(subnet, vendor.clone().into_owned()));
            let silent: Vec<_> = cards
                .into_iter()
                .flatten()
                .take_while(silent)
                .take(FEW + 1)
                .collect();
            if silent.len() <= FEW {
                for card in silent {
                    add(How::Vendor, card.host, Some(card.mac), card.last);
                }
            }
        }
        found
    }
}

/// The addresses that a slip of the pen makes of one: with another digit in one place, or with two neighbouring
/// digits or bytes in the other order.
pub fn slips(mac: HardwareAddr) -> Vec<HardwareAddr> {
    let Some(octets) = mac.octets() else {
        return Vec::new();
    };
    let number = octets
        .iter()
        .fold(0_u64, |number, octet| number << 8 | u64::from(*octet));
    let digit = |place: u32| number >> (place * 4) & 0xf;
    let mut slips = Vec::with_capacity(200);
    let mut add = |changed: u64| {
        let bytes = changed.to_be_bytes();
        let Some(octets) = bytes.last_chunk::<6>() else {
            return;
        };
        let near = HardwareAddr::ethernet(*octets);
        // None comes twice: a slip in one place changes one digit, the others two of them or four.
        if near != mac {
            slips.push(near);
        }
    };
    for place in 0..12 {
        for other in 0..16 {
            add(number ^ (digit(place) ^ other) << (place * 4));
        }
    }
    for place in 0..11 {
        let difference = digit(place) ^ digit(place + 1);
        add(number ^ (difference << (place * 4)) ^ (difference << (place * 4 + 4)));
    }
    for place in 0..5 {
        let byte = |place: u32| number >> (place * 8) & 0xff;
        let difference = byte(place) ^ byte(place + 1);
        add(number ^ (difference << (place * 8)) ^ (difference << (place * 8 + 8)));
    }
    slips
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::oui::Listing;

    fn snapshot() -> Snapshot {
        let host = |name: &str, mac: &str| {
            let mut host = Host::new(name.parse().unwrap(), 0);
            host.macs = mac.parse::<HardwareAddr>().unwrap().into();
            host
        };
        let mut hosts = vec![
            host("typo", "3c:ec:ef:00:00:01"),
            host("silent", "3c:ec:ef:aa:bb:cc"),
            host("active", "3c:ec:ef:dd:ee:ff"),
            host("moved", "00:1b:21:00:00:01"),
            host("virtual", "52:54:00:11:22:33"),
        ];
        hosts[3].uuid = Some(Uuid::from_smbios([9; 16]));
        hosts[1].serial = Some("SN-1".to_owned());
        crate::decide::testing::changed(|all| *all = hosts)
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn like(mac: &str, change: impl FnOnce(&mut Unknown<'_>)) -> Vec<(How, String)> {
        let snapshot = snapshot();
        let mac: HardwareAddr = mac.parse().unwrap();
        let listing = Listing::embedded();
        let seen = |mac: HardwareAddr| match mac.to_string().as_str() {
            "3c:ec:ef:dd:ee:ff" => HostSeen {
                last: Some(at(900)),
                uuid: Some(Uuid::from_smbios([5; 16])),
                port: Some(7),
            },
            "3c:ec:ef:aa:bb:cc" => HostSeen {
                last: Some(at(10)),
                port: Some(7),
                ..HostSeen::default()
            },
            _ => HostSeen::default(),
        };
        let reserved = Reserved::new(&snapshot, seen, |mac| listing.owner(mac));
        let owner = listing.owner(mac);
        let mut unknown = Unknown {
            mac,
            uuid: None,
            serial: None,
            port: None,
            subnet: None,
            first: at(100),
            owner: &owner,
        };
        change(&mut unknown);
        let found = reserved.like(&unknown);
        for one in &found {
            assert!(one.in_words().contains(one.host.as_str()));
        }
        found
            .into_iter()
            .map(|one| (one.how, one.host.to_string()))
            .collect()
    }

    #[test]
    fn who_it_may_be_and_how_that_is_known() {
        let one = |how, host: &str| vec![(how, host.to_owned())];
        assert_eq!(like("02:11:22:33:44:55", |_| ()), []);
        assert_eq!(
            like("3c:ec:ef:00:00:02", |_| ()),
            one(How::OneDigit, "typo")
        );
        assert_eq!(
            like("3c:ec:ef:00:01:00", |_| ()),
            one(How::OneDigit, "typo")
        );
        assert_eq!(
            like("3c:ec:fe:aa:bb:cc", |_| ()),
            one(How::OneDigit, "silent")
        );
        let uuid =
            |n| move |unknown: &mut Unknown<'_>| unknown.uuid = Some(Uuid::from_smbios([n; 16]));
        assert_eq!(like("02:11:22:33:44:55", uuid(9)), one(How::Uuid, "moved"));
        assert_eq!(
            like("02:11:22:33:44:55", uuid(5)),
            one(How::UuidSeen, "active")
        );
        assert_eq!(like("02:11:22:33:44:55", uuid(4)), []);
        let serial = |unknown: &mut Unknown<'_>| unknown.serial = Some("SN-1 ");
        assert_eq!(
            like("02:11:22:33:44:55", serial),
            one(How::Serial, "silent")
        );
        // Who is seen at the port still is not the one that was replaced.
        let port = |unknown: &mut Unknown<'_>| unknown.port = Some(7);
        assert_eq!(like("02:11:22:33:44:55", port), one(How::Port, "silent"));
        let here = |unknown: &mut Unknown<'_>| unknown.subnet = Some(0);
        let mut alike = like("3c:ec:ef:99:88:77", here);
        alike.sort();
        assert_eq!(
            alike,
            [
                (How::Vendor, "silent".to_owned()),
                (How::Vendor, "typo".to_owned())
            ]
        );
        assert_eq!(
            like("3c:ec:ef:99:88:77", |_| ()),
            [],
            "its subnet is not known"
        );
        // Virtual machines are all of one vendor.
        assert_eq!(like("52:54:00:99:88:77", here), []);
    }

    proptest! {
        #[test]
        fn a_slip_goes_both_ways(octets in any::<[u8; 6]>()) {
            let mac = HardwareAddr::ethernet(octets);
            let near = slips(mac);
            prop_assert!(near.len() >= 180 && !near.contains(&mac));
            for other in near.iter().step_by(17) {
                prop_assert!(slips(*other).contains(&mac), "{mac} {other}");
            }
        }
    }
}
