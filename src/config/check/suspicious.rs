//! What is legal and probably not meant: addresses that look mistyped or made up, groups that nobody is in, snippets
//! that nobody names.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Input;
use crate::base::{HardwareAddr, HostName, pace};
use crate::config::problem::Problem;
use crate::config::shipped::is_shipped;
use crate::config::snapshot::{Snippet, Template};
use crate::config::source::Span;
use crate::config::written::hosts::{HostEntry, ReservationsFile};

/// Locally administered prefixes that virtual machines have from their hypervisors.
const VIRTUAL: &[&[u8]] = &[
    &[0x52, 0x54, 0x00], // QEMU and KVM
    &[0xfa, 0x16, 0x3e], // OpenStack
    &[0x56, 0x6f],       // oVirt
    &[0x02, 0x08, 0x20], // illumos and SmartOS
    &[0x42, 0x01],       // Google Compute Engine
    &[0x02, 0x42],       // Docker
    &[0x0a, 0x00, 0x27], // VirtualBox, host-only
];

/// A prefix that so many machines have is somebody's scheme.
const SCHEME: usize = 3;

/// Of a manufacturer of whom there are more addresses here, some are one digit apart by chance.
const MANY: usize = 256;

/// More pairs of one manufacturer are how it counts, not slips.
const MOST_PAIRS: usize = 3;

/// Addresses with the same last three bytes: more are a scheme.
const MOST_ALIKE: usize = 16;

/// More addresses that nobody gave are told in one warning.
const MOST_TOLD: usize = 5;

/// A MAC address of a host.
#[derive(Debug, Clone, Copy)]
struct Mac<'a> {
    /// Its 48 bits.
    bits: u64,
    address: HardwareAddr,
    host: &'a HostName,
    span: Span,
}

impl Mac<'_> {
    /// Its first three bytes.
    const fn vendor(self) -> u64 {
        self.bits >> 24
    }

    /// Whether somebody else than a manufacturer has chosen it (IEEE 802 section 8.2.2).
    const fn is_local(self) -> bool {
        self.bits >> 40 & 0x02 != 0
    }

    fn is_virtual(self) -> bool {
        let bytes = self.address.as_bytes();
        VIRTUAL.iter().any(|prefix| bytes.starts_with(prefix))
    }
}

/// Whether two numbers differ in one hexadecimal digit.
const fn one_digit_apart(a: u64, b: u64) -> bool {
    let differ = a ^ b;
    if differ == 0 {
        return false;
    }
    let lowest = differ.trailing_zeros() / 4 * 4;
    differ >> lowest <= 0xf
}

/// Addresses of network cards that are probably not what somebody meant to write.
pub(super) fn macs(hosts: &[&HostEntry], problems: &mut Vec<Problem>) {
    let mut macs: Vec<Mac<'_>> = hosts
        .iter()
        .flat_map(|host| {
            let further = host.nics.iter().flat_map(|nic| &nic.macs);
            host.macs.iter().chain(further).filter_map(|mac| {
                let octets = mac.value.octets()?;
                let bits = octets
                    .iter()
                    .fold(0, |bits, octet| bits << 8 | u64::from(*octet));
                Some(Mac {
                    bits,
                    address: mac.value,
                    host: &host.name.value,
                    span: mac.span,
                })
            })
        })
        .collect();
    let mut found = Vec::new();
    mistyped_vendors(&mut macs, &mut found);
    mistyped_numbers(&mut macs, &mut found);
    problems.extend(found.into_iter().map(one_digit));
    made_up(&macs, problems);
}

/// The same last three bytes below two manufacturers that differ in one digit.
fn mistyped_vendors<'a>(macs: &mut [Mac<'a>], found: &mut Vec<[Mac<'a>; 2]>) {
    const NUMBER: u64 = 0x00ff_ffff;
    macs.sort_unstable_by_key(|mac| (mac.bits & NUMBER, mac.span));
    let alike = macs.chunk_by(|a, b| a.bits & NUMBER == b.bits & NUMBER);
    for (count, alike) in alike.enumerate() {
        pace::give_way(count);
        if (2..=MOST_ALIKE).contains(&alike.len()) {
            pairs(alike, found, |a, b| {
                let given = |mac: &Mac<'_>| !mac.is_local() || mac.is_virtual();
                one_digit_apart(a.vendor(), b.vendor()) && (given(a) || given(b))
            });
        }
    }
}

/// Two addresses of one manufacturer that differ in one digit of their fourth or fifth byte. Those of one batch
/// differ in their last byte, so nothing can be told of it.
fn mistyped_numbers<'a>(macs: &mut [Mac<'a>], found: &mut Vec<[Mac<'a>; 2]>) {
    macs.sort_unstable_by_key(|mac| (mac.vendor(), mac.span));
    for (count, vendor) in macs.chunk_by(|a, b| a.vendor() == b.vendor()).enumerate() {
        pace::give_way(count);
        let is_local = vendor.first().is_some_and(|mac| mac.is_local());
        if is_local || !(2..=MANY).contains(&vendor.len()) {
            continue;
        }
        let mut of_vendor = Vec::new();
        pairs(vendor, &mut of_vendor, |a, b| {
            a.bits & 0xff == b.bits & 0xff && one_digit_apart(a.bits, b.bits)
        });
        if of_vendor.len() <= MOST_PAIRS {
            found.append(&mut of_vendor);
        }
    }
}

/// The pairs of different hosts for which `is_so`, in the order of the file.
fn pairs<'a>(
    macs: &[Mac<'a>],
    found: &mut Vec<[Mac<'a>; 2]>,
    is_so: impl Fn(&Mac<'a>, &Mac<'a>) -> bool,
) {
    for (index, first) in macs.iter().enumerate() {
        let later = macs.iter().skip(index + 1);
        found.extend(
            later
                .filter(|second| first.host != second.host && is_so(first, second))
                .map(|second| [*first, *second]),
        );
    }
}

fn one_digit([first, second]: [Mac<'_>; 2]) -> Problem {
    Problem::warning(
        "mac-one-digit-apart",
        format!(
            "the MAC addresses of `{}` and `{}` differ in one digit only",
            second.host, first.host
        ),
    )
    .at(second.span, format!("`{}`", second.host))
    .at(first.span, format!("`{}` was first given this one", first.host))
    .help("compare both with what the machines' labels or firmware show; if both are right, `[check] allow = [\"mac-one-digit-apart\"]` in bootwright.toml")
}

/// Addresses that no manufacturer gave and no hypervisor that is known, where few are alike.
fn made_up(macs: &[Mac<'_>], problems: &mut Vec<Problem>) {
    let mut alike: HashMap<u64, usize> = HashMap::new();
    let local = || {
        macs.iter()
            .filter(|mac| mac.is_local() && !mac.is_virtual())
    };
    for mac in local() {
        *alike.entry(mac.vendor()).or_default() += 1;
    }
    let mut odd: Vec<&Mac<'_>> = local()
        .filter(|mac| {
            alike
                .get(&mac.vendor())
                .is_some_and(|count| *count < SCHEME)
        })
        .collect();
    odd.sort_unstable_by_key(|mac| mac.span);
    let help = "network cards have an address of their manufacturer's, on their label: take that one, unless this is a virtual machine's (then `[check] allow = [\"mac-locally-administered\"]` in bootwright.toml)";
    let label = "its first byte says that it was made up";
    if let (Some(first), true) = (odd.first(), odd.len() > MOST_TOLD) {
        problems.push(
            Problem::warning(
                "mac-locally-administered",
                format!(
                    "{} MAC addresses, that of `{}` among them, are locally administered: no manufacturer gave them",
                    odd.len(),
                    first.host
                ),
            )
            .at(first.span, label)
            .help(help),
        );
        return;
    }
    problems.extend(odd.into_iter().map(|mac| {
        Problem::warning(
            "mac-locally-administered",
            format!(
                "the MAC address {} of `{}` is locally administered: no manufacturer gave it",
                mac.address, mac.host
            ),
        )
        .at(mac.span, label)
        .help(help)
    }));
}

/// Groups that no host is in, not by groups nested in them either.
pub(super) fn empty_groups(input: &Input, problems: &mut Vec<Problem>) {
    let files = &input.reservations;
    let unsure = |file: &ReservationsFile| file.hosts_unsure || file.groups_unsure;
    if input.reservations_unsure
        || files.iter().any(unsure)
        || files.iter().all(|file| file.hosts.is_empty())
    {
        return;
    }
    let groups = || files.iter().flat_map(|file| &file.groups);
    let known: HashSet<&str> = groups().map(|group| group.name.value.as_str()).collect();
    let mut used: HashSet<&str> = HashSet::new();
    for host in files.iter().flat_map(|file| &file.hosts) {
        // Its group may be the one: what is wrong with it is told already.
        if !host.layer.ok {
            return;
        }
        if let Some(group) = &host.group {
            if !known.contains(group.value.as_str()) {
                return;
            }
            used.insert(group.value.as_str());
        }
    }
    let parents: HashMap<&str, &str> = groups()
        .filter_map(|group| {
            let parent = group.group.as_ref()?;
            Some((group.name.value.as_str(), parent.value.as_str()))
        })
        .collect();
    let mut waiting: Vec<&str> = used.iter().copied().collect();
    while let Some(name) = waiting.pop() {
        if let Some(parent) = parents.get(name)
            && used.insert(parent)
        {
            waiting.push(parent);
        }
    }
    for group in groups() {
        let name = &group.name.value;
        // Of two groups of one name the second is told already.
        if used.insert(name.as_str()) && group.layer.ok {
            problems.push(
                Problem::warning(
                    "group-without-hosts",
                    format!("no host is in the group `{name}`"),
                )
                .at(group.name.span, "has no effect")
                .help(format!(
                    "write `group = \"{name}\"` in [hosts.NAME], or take the group out"
                )),
            );
        }
    }
}

/// Snippets of the operator's own that no layer names and no template brings in.
pub(super) fn unused_snippets(
    input: &Input,
    snippets: &BTreeMap<String, Snippet>,
    problems: &mut Vec<Problem>,
) {
    if input.reservations_unsure || input.reservations.iter().any(|file| file.hosts_unsure) {
        return;
    }
    let own: Vec<&str> = snippets
        .keys()
        .map(String::as_str)
        .filter(|name| !is_shipped(&format!("snippets/{name}.sh.j2")))
        .collect();
    if own.is_empty() {
        return;
    }
    let mut named: HashSet<&str> = HashSet::new();
    for file in &input.reservations {
        let defaults = file.defaults.iter().map(|defaults| &defaults.value);
        let groups = file.groups.iter().map(|group| &group.layer);
        let hosts = file.hosts.iter().map(|host| &*host.layer);
        for layer in defaults.chain(groups).chain(hosts) {
            let names = layer.snippets.iter().flatten();
            named.extend(names.filter_map(|name| name.value.as_deref()));
        }
    }
    for name in own {
        let path = format!("snippets/{name}.sh.j2");
        let brought_in = |template: &Template| template.text.contains(&path);
        if named.contains(name) || input.templates.values().any(brought_in) {
            continue;
        }
        let Some(span) = input
            .templates
            .get(&path)
            .and_then(|template| template.span)
        else {
            continue;
        };
        problems.push(
            Problem::warning("unused-template", format!("no host uses the snippet `{name}`"))
                .at(span, "is never run")
                .help(format!(
                    "write `snippets = [\"{name}\"]` in [defaults], a group or a host, or take the file away"
                )),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits() {
        assert!(one_digit_apart(0x52_5400, 0x52_5410));
        assert!(one_digit_apart(0x52_5400, 0x52_540f));
        assert!(!one_digit_apart(0x52_5400, 0x52_5411));
        assert!(!one_digit_apart(0x52_5400, 0x52_5400));
        assert!(!one_digit_apart(0x0f, 0x10));
    }
}
