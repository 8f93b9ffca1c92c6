//! Hosts that render alike, so that one of them proves the others.
//!
//! A rack of machines differs in names and addresses, which templates print and do not look at. Whether
//! a text renders depends on everything else: the profile, the merged variables, the subnet, the
//! architecture, which optional fields are there, and the values of fields that some template looks at
//! ([`Uses`]). Hosts that agree in all of this are of one kind.
//!
//! Of a profile with a text that does look at what is each host's own ([`Parts`]), the other texts are proven in the same way;
//! that one is rendered for each host.
//!
//! What is proven for a kind is a host with the longest of each value that any of them has, because
//! lengths are checked (of a kernel's command line). Whoever finds something wrong renders each host of the
//! kind, and tells of those that it is wrong for.
//!
//! **Invariant:** when the shared texts of a kind's example render without a complaint, so do those of each of its hosts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::uses::{Parts, Uses};
use crate::base::{FastMap, ProfileName, pace};
use crate::config::Snapshot;
use crate::config::snapshot::{Host, Profile, Subnet};

/// Hosts that render alike.
#[derive(Debug)]
pub(super) struct Kind<'a> {
    /// Their profile.
    pub(super) profile: &'a Profile,
    /// Their subnet.
    pub(super) subnet: &'a Subnet,
    /// In the order of the file.
    pub(super) hosts: Vec<&'a Host>,
    /// Stands for all of them; the host itself where it is the only one.
    pub(super) example: Host,
    /// Which of their texts the example stands for, and whether they name boot files.
    pub(super) parts: Arc<Parts>,
}

/// Which of a host's texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Texts {
    /// All of them.
    All,
    /// Those that one host proves for all of its kind.
    Shared,
    /// The others.
    Own,
}

impl Texts {
    /// Whether texts that look at what is each host's own, or the ones that do not, are among them.
    pub(super) fn has(self, is_own: bool) -> bool {
        match self {
            Self::All => true,
            Self::Shared => !is_own,
            Self::Own => is_own,
        }
    }
}

/// Values of which the presence matters.
type Presence = [bool; 6];

/// What hosts of a kind have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    settings: *const crate::config::snapshot::Settings,
    subnet: usize,
    presence: Presence,
    values: Vec<Option<String>>,
}

/// The kinds of all hosts that have a profile. To be found out once for all that is checked: of a hundred thousand hosts
/// it takes as long as everything else about them.
pub(super) fn kinds(snapshot: &Snapshot) -> Vec<Kind<'_>> {
    let mut parts: BTreeMap<&ProfileName, Arc<Parts>> = BTreeMap::new();
    let mut by_key: FastMap<Key, usize> = FastMap::default();
    let mut kinds: Vec<Kind<'_>> = Vec::new();
    // Hosts that share their settings share their profile, and mostly stand side by side.
    let mut of_settings = None;
    for (count, host) in snapshot.hosts().iter().enumerate() {
        pace::give_way(count);
        let settings = Arc::as_ptr(&host.settings);
        if of_settings
            .as_ref()
            .is_none_or(|(last, _)| *last != settings)
        {
            let profile = host
                .profile
                .as_ref()
                .and_then(|name| snapshot.profile(name));
            let found = profile.map(|profile| {
                let parts = parts
                    .entry(&profile.name)
                    .or_insert_with(|| Arc::new(Parts::of(profile, snapshot.templates())));
                (profile, Arc::clone(parts))
            });
            of_settings = Some((settings, found));
        }
        let Some((_, Some((profile, parts)))) = &of_settings else {
            continue;
        };
        let Some(subnet) = snapshot.subnet_of(host) else {
            continue;
        };
        let index = *by_key
            .entry(key(snapshot, host, &parts.shared))
            .or_insert(kinds.len());
        match kinds.get_mut(index) {
            Some(kind) => kind.hosts.push(host),
            None => kinds.push(Kind {
                profile,
                subnet,
                hosts: vec![host],
                example: (**host).clone(),
                parts: Arc::clone(parts),
            }),
        }
    }
    for kind in &mut kinds {
        if kind.hosts.len() > 1 {
            kind.example = longest(&kind.example, &kind.hosts, &kind.parts.shared);
        }
    }
    kinds
}

/// What decides about the kind of a host.
pub(super) fn key(snapshot: &Snapshot, host: &Host, uses: &Uses) -> Key {
    let alone = uses.whole
        || snapshot.secrets.has_own(&host.name)
        || !host.nics.is_empty()
        || host.macs.len() > 1
        // The one name that a kernel's command line must not begin a word with.
        || host.name.as_str().eq_ignore_ascii_case("initrd");
    let mut values = Vec::new();
    if alone {
        values.push(Some(host.name.to_string()));
    }
    for field in &uses.read {
        values.push(match field.as_str() {
            "name" => Some(host.name.to_string()),
            "fqdn" => host.fqdn().map(Cow::into_owned),
            "domain" => host.domain.clone(),
            "mac" | "macs" => host.mac().map(|mac| mac.to_string()),
            "ip" => host.ip.map(|ip| ip.to_string()),
            "uuid" => host.uuid.map(|uuid| uuid.to_string()),
            // What the layers give is the same, and what there is not is the same for all.
            _ => None,
        });
    }
    // Free text of the operator's, not checked as names are.
    if let Some(serial) = &host.serial {
        values.push(Some(serial.clone()));
    }
    Key {
        settings: Arc::as_ptr(&host.settings),
        subnet: host.subnet,
        presence: [
            host.fqdn_len().is_some(),
            host.domain.is_some(),
            host.mac().is_some(),
            host.ip.is_some(),
            host.uuid.is_some(),
            host.serial.is_some(),
        ],
        values,
    }
}

/// A host with the longest of each value that these have, where its length can differ. The letters are
/// those that no checker of texts takes for a word of its own. What some template looks at is the same for all of them,
/// and stays.
fn longest(first: &Host, hosts: &[&Host], uses: &Uses) -> Host {
    let letters = |len: usize| "x".repeat(len);
    let most = |len: &dyn Fn(&Host) -> usize| hosts.iter().map(|host| len(host)).max();
    let is_read = |field: &str| uses.read.contains(field);
    let mut example = first.clone();
    let name = most(&|host| host.name.as_str().len()).map(letters);
    if let Some(name) = name.and_then(|name| name.parse().ok()) {
        example.name = name;
    }
    if !is_read("fqdn") {
        example.written_fqdn = first
            .fqdn()
            .and_then(|_| most(&|host| host.fqdn_len().unwrap_or(0)))
            .map(letters);
    }
    if first.domain.is_some() && !is_read("domain") {
        example.domain = most(&|host| host.domain.as_ref().map_or(0, String::len)).map(letters);
    }
    let digits = |octet: u8| 1 + usize::from(octet > 9) + usize::from(octet > 99);
    let length = |ip: &Ipv4Addr| ip.octets().into_iter().map(digits).sum::<usize>();
    example.ip = hosts.iter().filter_map(|host| host.ip).max_by_key(length);
    example
}
