//! Whose a hardware address is: the vendor that the IEEE has given its first digits to, the hypervisor that makes
//! up such addresses, or whoever set it by software.
//!
//! The listing is embedded: `data/oui.tsv`, made by `scripts/oui-table.py` from the public listing of the IEEE. It is
//! sorted, and looked into as it stands: nothing is read in at a start. A newer listing of the machine
//! ([`Listing::newer`]) comes before it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use super::HardwareAddr;

/// A first line with the day, then `PREFIX<TAB>NAME` in the order of the prefixes.
static EMBEDDED: &str = include_str!("../../data/oui.tsv");

/// Digits of the three sizes of prefix (MA-S, MA-M, MA-L), longest first.
const LENGTHS: [usize; 3] = [9, 7, 6];

/// Prefixes from which hypervisors and container engines make up addresses, as they document them.
const VIRTUAL: &[(&str, &str)] = &[
    ("000569", "VMware"),
    ("000C29", "VMware"),
    ("00155D", "Hyper-V"),
    ("00163E", "Xen"),
    ("001851", "Virtuozzo"),
    ("001A4A", "oVirt"),
    ("001C14", "VMware"),
    ("001C42", "Parallels"),
    ("005056", "VMware"),
    ("0242", "Docker"),
    ("080027", "VirtualBox"),
    ("0A0027", "VirtualBox"),
    ("10666A", "Incus"),
    ("506B8D", "Nutanix"),
    ("525400", "QEMU/KVM"),
    ("566F", "oVirt"),
    ("589CFC", "bhyve"),
    ("BC2411", "Proxmox"),
    ("FA163E", "OpenStack"),
];

/// Whose a hardware address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A hypervisor or container engine of this name made it up for a virtual machine.
    Virtual(&'static str),
    /// A vendor of network cards.
    Vendor(Cow<'static, str>),
    /// Its second lowest bit says that software has set it (IEEE 802, "locally administered"): no vendor's.
    Local,
    /// Nobody whom the listing names, or no Ethernet.
    Unknown,
}

impl Owner {
    /// The name, where somebody has one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Virtual(name) => Some(name),
            Self::Vendor(name) => Some(name),
            Self::Local | Self::Unknown => None,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Virtual(name) => write!(f, "{name} (virtual)"),
            Self::Vendor(name) => f.write_str(name),
            Self::Local => f.write_str("locally administered"),
            Self::Unknown => f.write_str("unknown vendor"),
        }
    }
}

/// The embedded listing, and a newer one where there is one.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    newer: Option<BTreeMap<String, String>>,
}

impl Listing {
    /// The embedded one alone.
    pub const fn embedded() -> Self {
        Self { newer: None }
    }

    /// With a newer one before it: names by prefix, of 6, 7 or 9 digits in upper case.
    pub fn newer(names: impl IntoIterator<Item = (String, String)>) -> Self {
        let names: BTreeMap<_, _> = names.into_iter().collect();
        Self {
            newer: (!names.is_empty()).then_some(names),
        }
    }

    /// The day of the embedded listing, as year, month and day.
    pub fn embedded_day() -> Option<(i16, i8, i8)> {
        let day = EMBEDDED.lines().next()?.strip_prefix("# ")?;
        let mut parts = day.splitn(3, '-');
        Some((
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
        ))
    }

    /// Whose an address is.
    pub fn owner(&self, mac: HardwareAddr) -> Owner {
        let Some(octets) = mac.octets() else {
            return Owner::Unknown;
        };
        let digits = digits(octets);
        let virtual_one = VIRTUAL
            .iter()
            .find(|(prefix, _)| digits.starts_with(prefix));
        if let Some((_, name)) = virtual_one {
            return Owner::Virtual(name);
        }
        if octets.first().is_some_and(|first| first & 2 != 0) {
            return Owner::Local;
        }
        let prefixes = || LENGTHS.iter().filter_map(|length| digits.get(..*length));
        let of_newer = self
            .newer
            .as_ref()
            .and_then(|names| prefixes().find_map(|prefix| names.get(prefix)));
        match of_newer {
            Some(name) => Owner::Vendor(Cow::Owned(name.clone())),
            None => prefixes()
                .find_map(|prefix| find(EMBEDDED, prefix))
                .map_or(Owner::Unknown, |name| Owner::Vendor(Cow::Borrowed(name))),
        }
    }
}

fn digits(octets: [u8; 6]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(12);
    for octet in octets {
        let _ = write!(text, "{octet:02X}");
    }
    text
}

/// The name that a sorted table has for a prefix.
fn find<'a>(table: &'a str, prefix: &str) -> Option<&'a str> {
    // Places between which the line has to begin, each at the beginning of one.
    let (mut low, mut high) = (0, table.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let begin = table
            .get(low..middle)
            .and_then(|before| before.rfind('\n'))
            .map_or(low, |end| low + end + 1);
        let line = table.get(begin..).unwrap_or_default();
        let line = line.split('\n').next().unwrap_or_default();
        let (key, name) = line.split_once('\t').unwrap_or((line, ""));
        match key.cmp(prefix) {
            std::cmp::Ordering::Equal => return Some(name),
            std::cmp::Ordering::Less => low = (begin + line.len() + 1).min(table.len()),
            std::cmp::Ordering::Greater => high = begin,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(mac: &str) -> Owner {
        Listing::embedded().owner(mac.parse().unwrap())
    }

    #[test]
    fn vendors_hypervisors_and_what_software_has_set() {
        for (mac, shown) in [
            ("00:00:0c:01:02:03", "Cisco Systems"),
            ("d4:f5:ef:01:02:03", "Hewlett Packard Enterprise"),
            ("3c:ec:ef:00:00:01", "Super Micro Computer"),
            // The IEEE gives these on in small pieces: of 28 and of 36 bits.
            ("00:1b:c5:00:10:01", "OpenRB.com, Direct SIA"),
            ("52:54:00:47:86:8e", "QEMU/KVM (virtual)"),
            ("bc:24:11:00:00:01", "Proxmox (virtual)"),
            ("00:50:56:00:00:01", "VMware (virtual)"),
            ("00:15:5d:00:00:01", "Hyper-V (virtual)"),
            ("00:16:3e:00:00:01", "Xen (virtual)"),
            ("08:00:27:00:00:01", "VirtualBox (virtual)"),
            ("02:42:ac:11:00:02", "Docker (virtual)"),
            ("5e:11:22:33:44:55", "locally administered"),
        ] {
            assert_eq!(owner(mac).to_string(), shown, "{mac}");
        }
        assert_eq!(owner("00:1b:c5:ff:f0:01"), Owner::Unknown);
        let infiniband = HardwareAddr::new(32, &[0; 16]).unwrap();
        assert_eq!(Listing::embedded().owner(infiniband), Owner::Unknown);
    }

    #[test]
    fn every_line_of_the_table_is_found_by_halving_it() {
        let (year, month, day) = Listing::embedded_day().unwrap();
        assert!(year >= 2026 && (1..=12).contains(&month) && (1..=31).contains(&day));
        let mut last = "";
        let mut count = 0;
        for line in EMBEDDED.lines().skip(1) {
            let (prefix, name) = line.split_once('\t').unwrap();
            assert!(last < prefix, "{last} {prefix}");
            assert!(LENGTHS.contains(&prefix.len()), "{line}");
            assert!(prefix.bytes().all(|b| b"0123456789ABCDEF".contains(&b)));
            assert!(!name.is_empty() && name.chars().count() <= 40, "{line}");
            last = prefix;
            count += 1;
            if count % 97 == 0 {
                assert_eq!(find(EMBEDDED, prefix), Some(name));
            }
        }
        assert!(count > 50_000);
        assert_eq!(find(EMBEDDED, "000000"), Some("XEROX"));
        assert!(find(EMBEDDED, last).is_some());
        for none in ["", "FFFFFFFFF", "0000", "#"] {
            assert_eq!(find(EMBEDDED, none), None, "{none}");
        }
        assert_eq!(find("", "000000"), None);
    }

    #[test]
    fn a_newer_listing_comes_first_and_takes_nothing_away() {
        let newer = Listing::newer([("00000C".to_owned(), "Others".to_owned())]);
        let owner = |mac: &str| newer.owner(mac.parse().unwrap()).to_string();
        assert_eq!(owner("00:00:0c:01:02:03"), "Others");
        assert_eq!(owner("3c:ec:ef:00:00:01"), "Super Micro Computer");
        assert_eq!(owner("52:54:00:00:00:01"), "QEMU/KVM (virtual)");
    }
}
