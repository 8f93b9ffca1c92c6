//! What readers of every format do with what they find: names made fit for a host, addresses checked, hosts
//! kept apart, and the rest told with its place.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use toml::{Table, Value};

use super::place::shortened;
use super::pools::{self, Range};
use super::{Imported, Left, SubnetDraft};
use crate::base::{Architecture, GroupName, HardwareAddr, HostName, Uuid};
use crate::config::draft::{HostDraft, NicDraft};
use crate::config::values;

/// A machine's name as a reservation has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// One label.
    pub name: HostName,
    /// The whole name, where the text has a domain.
    pub fqdn: Option<String>,
    /// Whether letters had to be exchanged.
    pub changed: bool,
}

/// Reads a machine's name: `web01`, `web01.lab.example`, `Web Server_1`. `None`: nothing in it can stand in a name.
pub(super) fn named(text: &str) -> Option<Named> {
    let text = text.trim().trim_end_matches('.');
    if text.parse::<Ipv4Addr>().is_ok() {
        return None;
    }
    if let Ok(name) = text.parse::<HostName>() {
        return Some(Named {
            name,
            fqdn: None,
            changed: false,
        });
    }
    if let Ok(fqdn) = values::fqdn(text)
        && let Some(Ok(name)) = fqdn.split('.').next().map(str::parse)
    {
        return Some(Named {
            name,
            fqdn: Some(fqdn),
            changed: false,
        });
    }
    // What follows the first dot is a domain only when it looks like one.
    let label = match text.split_once('.') {
        Some((label, domain)) if values::domain(domain).is_ok() => label,
        _ => text,
    };
    let plain: String = label
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let mut short = String::new();
    for c in plain.trim_matches('-').chars().take(63) {
        if c != '-' || !short.ends_with('-') {
            short.push(c);
        }
    }
    let name: HostName = short.trim_end_matches('-').parse().ok()?;
    let fqdn = text
        .split_once('.')
        .filter(|(before, _)| *before == label)
        .and_then(|(_, domain)| values::fqdn(&format!("{name}.{domain}")).ok());
    Some(Named {
        name,
        fqdn,
        changed: true,
    })
}

/// A text as the name of a variable: letters, digits and `_`, as templates can write it.
pub(super) fn variable(text: &str) -> Option<String> {
    let mut name = String::new();
    for c in text.trim().chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let name = name.trim_end_matches('_');
    if name.is_empty() {
        return None;
    }
    Some(if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name.to_owned()
    })
}

/// A text as the name of a group.
pub(super) fn group_name(text: &str) -> Option<GroupName> {
    let plain: String = text
        .trim()
        .chars()
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') => c,
            _ => '-',
        })
        .take(64)
        .collect();
    plain.trim_start_matches('.').parse().ok()
}

/// What is known of a virtual machine beside its addresses: `[hosts.NAME.vars.vm]`. Templates may use it; nothing
/// here depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Vm {
    /// The machine that it runs on.
    pub hypervisor: Option<String>,
    /// What its hypervisor calls it.
    pub domain: Option<String>,
    /// Proxmox's number of it.
    pub vmid: Option<u32>,
    /// Its virtual processors.
    pub vcpus: Option<u64>,
    /// Its memory.
    pub memory_mib: Option<u64>,
    /// What its memory may grow to.
    pub max_memory_mib: Option<u64>,
    /// How many disks it has.
    pub disks: Option<u64>,
    /// The size of each disk.
    pub disk_gib: Option<u64>,
    /// Networks or bridges that its cards are plugged into, the first card's first.
    pub networks: Vec<String>,
}

impl Vm {
    /// Writes it into a host's variables; nothing known, nothing written.
    pub(super) fn write(self, vars: &mut Table) {
        let number = |number: Option<u64>| {
            number.map(|number| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX)))
        };
        let networks: Vec<Value> = self.networks.into_iter().map(Value::String).collect();
        let keys = [
            ("hypervisor", self.hypervisor.map(Value::String)),
            ("domain", self.domain.map(Value::String)),
            ("vmid", number(self.vmid.map(u64::from))),
            ("vcpus", number(self.vcpus)),
            ("memory_mib", number(self.memory_mib)),
            ("max_memory_mib", number(self.max_memory_mib)),
            ("disks", number(self.disks)),
            ("disk_gib", number(self.disk_gib)),
            (
                "networks",
                (!networks.is_empty()).then_some(Value::Array(networks)),
            ),
        ];
        let vm: Table = keys
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect();
        if !vm.is_empty() {
            vars.insert("vm".to_owned(), Value::Table(vm));
        }
    }
}

/// What has been read so far, and the file that is being read.
#[derive(Debug, Default)]
pub(super) struct Machines {
    file: String,
    imported: Imported,
    /// Where each host's name stands, by its name in small letters.
    names: HashMap<String, (String, usize)>,
    /// Addresses for machines without a reservation.
    ranges: Vec<(Ipv4Net, Range)>,
}

impl Machines {
    /// What follows stands in this file.
    pub(super) fn begin(&mut self, file: &str) {
        file.clone_into(&mut self.file);
    }

    /// The file that is being read.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// What was read; what is left in the order of files and lines.
    pub(super) fn finish(mut self) -> Imported {
        self.fit_hosts();
        self.fit_ranges();
        self.imported
            .left
            .sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        self.imported
    }

    /// Addresses that a network gives to anybody: a pool, without those that are reserved.
    pub(super) fn range(
        &mut self,
        line: usize,
        what: &str,
        network: Ipv4Net,
        (first, last): (Ipv4Addr, Ipv4Addr),
    ) {
        let range = Range::new(first, last, &self.file, line, what);
        self.ranges.push((network, range));
    }

    fn fit_ranges(&mut self) {
        let Imported {
            hosts,
            subnets,
            left,
            ..
        } = &mut self.imported;
        let reserved = pools::reserved(&*hosts, &*subnets);
        for (network, range) in self.ranges.drain(..) {
            let subnet = subnets.iter_mut().find(|subnet| subnet.network == network);
            let Some(subnet) = subnet else {
                continue;
            };
            if network.contains(&range.first) && network.contains(&range.last) {
                range.fit(subnet, &reserved, left);
                subnet.lease_unknown = !subnet.pools.is_empty();
            } else {
                left.push(range.told(format!("this is no range of addresses in {network}")));
            }
        }
    }

    /// A hardware address and an address are one host's: the first one's, which is told of the others.
    fn fit_hosts(&mut self) {
        let Self {
            imported, names, ..
        } = self;
        let mut macs: HashMap<HardwareAddr, HostName> = HashMap::new();
        let mut ips: HashMap<Ipv4Addr, HostName> = HashMap::new();
        for host in &mut imported.hosts {
            let name = host.name.clone();
            let (file, line) = names
                .get(&name.as_str().to_ascii_lowercase())
                .cloned()
                .unwrap_or_default();
            let mut told = |what: String, other: &HostName, remedy: &str| {
                imported.left.push(Left {
                    file: file.clone(),
                    line,
                    what: shortened(&what),
                    why: format!("it is {other}'s already: {name} is without it here; {remedy}"),
                });
            };
            let mut is_free_mac = |mac: &HardwareAddr| {
                let owner = macs.entry(*mac).or_insert_with(|| name.clone());
                if *owner != name {
                    let remedy = "`bootwright bind` gives it its own";
                    told(mac.to_string(), owner, remedy);
                }
                *owner == name
            };
            let had_card = !host.macs.is_empty() || host.ip.is_some();
            host.macs.retain(&mut is_free_mac);
            for nic in &mut host.nics {
                nic.macs.retain(&mut is_free_mac);
            }
            let mut fit_ip = |ip: &mut Option<Ipv4Addr>| {
                let Some(address) = *ip else { return };
                let owner = ips.entry(address).or_insert_with(|| name.clone());
                if *owner != name {
                    let remedy = "`bootwright ip suggest` finds a free one";
                    told(address.to_string(), owner, remedy);
                    *ip = None;
                }
            };
            fit_ip(&mut host.ip);
            host.nics.iter_mut().for_each(|nic| fit_ip(&mut nic.ip));
            host.nics
                .retain(|nic| !nic.macs.is_empty() || nic.ip.is_some());
            // Another one's first card leaves the place to the next one.
            if had_card && host.macs.is_empty() && host.ip.is_none() && !host.nics.is_empty() {
                let first = host.nics.remove(0);
                host.macs = first.macs;
                host.ip = first.ip;
            }
        }
    }

    /// What was read so far, to be added to.
    pub(super) fn imported(&mut self) -> &mut Imported {
        &mut self.imported
    }

    /// Tells what is not carried over.
    pub(super) fn left(&mut self, line: usize, what: impl AsRef<str>, why: impl Into<String>) {
        self.imported.left.push(Left {
            file: self.file.clone(),
            line,
            what: shortened(what.as_ref()),
            why: why.into(),
        });
    }

    /// A machine's name; one that had to be changed is told.
    pub(super) fn name(&mut self, line: usize, text: &str) -> Option<Named> {
        let found = named(text);
        match &found {
            None => self.left(
                line,
                text,
                "no name of a host can be made of it: give the machine a name of letters, digits and hyphens",
            ),
            Some(named) if named.changed => self.left(
                line,
                text,
                format!(
                    "a host's name has letters, digits and hyphens: it is `{}` here",
                    named.name
                ),
            ),
            Some(_) => {}
        }
        found
    }

    /// The hardware address of a card; what is none is told.
    pub(super) fn mac(&mut self, line: usize, text: &str) -> Option<HardwareAddr> {
        self.checked(line, text, values::mac)
    }

    /// The address of a machine; what is none is told.
    pub(super) fn address(&mut self, line: usize, text: &str) -> Option<Ipv4Addr> {
        self.checked(line, text.trim(), values::machine_address)
    }

    /// A UUID; what is none is told.
    pub(super) fn uuid(&mut self, line: usize, text: &str) -> Option<Uuid> {
        self.checked(line, text.trim(), values::uuid)
    }

    /// An architecture, by any of its usual names; what is none is told.
    pub(super) fn arch(&mut self, line: usize, text: &str) -> Option<String> {
        let found = architecture(text).map(|arch| arch.as_str().to_owned());
        let why = "no such architecture: x86_64, i386, aarch64 and arm can be booted";
        self.understood(line, text, found, why)
    }

    /// What a text was understood as; one that was not is told.
    pub(super) fn understood<T>(
        &mut self,
        line: usize,
        text: &str,
        found: Option<T>,
        why: &str,
    ) -> Option<T> {
        if found.is_none() {
            self.left(line, text, why);
        }
        found
    }

    /// A text of one line, such as a serial number; what is none is told.
    pub(super) fn line(&mut self, line: usize, text: &str) -> Option<String> {
        self.checked(line, text.trim(), values::line)
    }

    fn checked<T>(
        &mut self,
        line: usize,
        text: &str,
        check: fn(&str) -> Result<T, values::Bad>,
    ) -> Option<T> {
        match check(text) {
            Ok(value) => Some(value),
            Err(bad) => {
                let help = bad
                    .help
                    .map_or_else(String::new, |help| format!("; {help}"));
                self.left(line, text, format!("{} ({}){help}", bad.message, bad.label));
                None
            }
        }
    }

    /// Takes a network in that machines' addresses lie in, or adds to it what is not known yet.
    pub(super) fn subnet(
        &mut self,
        network: Ipv4Net,
        router: Option<Ipv4Addr>,
        dns: &[Ipv4Addr],
        domain: Option<&str>,
    ) {
        let subnets = &mut self.imported.subnets;
        let index = subnets.iter().position(|subnet| subnet.network == network);
        let index = index.or_else(|| {
            let name = network.to_string().parse().ok()?;
            subnets.push(SubnetDraft::new(name, network));
            subnets.len().checked_sub(1)
        });
        let Some(subnet) = index.and_then(|index| subnets.get_mut(index)) else {
            return;
        };
        subnet.router = subnet.router.or(router);
        if subnet.dns.is_empty() {
            subnet.dns = dns.to_vec();
        }
        if subnet.domain.is_none() {
            subnet.domain = domain.map(str::to_owned);
        }
    }

    /// Takes a host in, unless one of its name is there already, which is told.
    pub(super) fn host(&mut self, line: usize, host: HostDraft) -> bool {
        let key = host.name.as_str().to_ascii_lowercase();
        if let Some((file, first)) = self.names.get(&key) {
            let place = if *file == self.file {
                format!("line {first}")
            } else {
                format!("{file}, line {first}")
            };
            let why =
                format!("there is a host of this name already ({place}): give one another name");
            self.left(line, host.name.as_str(), why);
            return false;
        }
        self.names.insert(key, (self.file.clone(), line));
        self.imported.hosts.push(host);
        true
    }
}

/// Takes names from network cards that are not theirs alone, and those that no card can have.
pub(super) fn name_cards(nics: &mut [NicDraft]) {
    let mut count: HashMap<String, usize> = HashMap::new();
    for name in nics.iter().filter_map(|nic| nic.name.clone()) {
        *count.entry(name).or_default() += 1;
    }
    for nic in nics {
        nic.name = nic
            .name
            .take()
            .filter(|name| count.get(name) == Some(&1) && values::line(name).is_ok());
    }
}

/// An architecture by any of its usual names.
pub(super) fn architecture(text: &str) -> Option<Architecture> {
    match text.trim().to_ascii_lowercase().as_str() {
        "x86_64" | "amd64" | "x64" | "x86-64" | "em64t" => Some(Architecture::X86_64),
        "i386" | "i486" | "i586" | "i686" | "x86" | "ia32" => Some(Architecture::I386),
        "aarch64" | "arm64" => Some(Architecture::Aarch64),
        "arm" | "arm32" | "armhf" | "armv6l" | "armv7" | "armv7l" => Some(Architecture::Arm),
        _ => None,
    }
}

/// The line of each byte of a text.
#[derive(Debug)]
pub(super) struct Lines(Vec<usize>);

impl Lines {
    /// Looks for the ends of its lines.
    pub(super) fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    /// The line of this byte, from 1.
    pub(super) fn at(&self, byte: usize) -> usize {
        self.0.partition_point(|end| *end < byte) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(text: &str) -> Option<(String, Option<String>, bool)> {
        named(text).map(|named| (named.name.to_string(), named.fqdn, named.changed))
    }

    #[test]
    fn names_are_made_fit_for_a_host() {
        let some = |name: &str, fqdn: Option<&str>, changed| {
            Some((name.to_owned(), fqdn.map(str::to_owned), changed))
        };
        assert_eq!(name_of("web01"), some("web01", None, false));
        assert_eq!(name_of(" web01. "), some("web01", None, false));
        assert_eq!(
            name_of("web01.lab.example."),
            some("web01", Some("web01.lab.example"), false)
        );
        assert_eq!(
            name_of("web_01.lab.example"),
            some("web-01", Some("web-01.lab.example"), true)
        );
        assert_eq!(
            name_of("Windows 11 (v2.0)"),
            some("Windows-11-v2-0", None, true)
        );
        assert_eq!(name_of("müller"), some("m-ller", None, true));
        for none in ["", "  ", "...", "__", "10.0.0.1", "日本"] {
            assert_eq!(name_of(none), None, "{none}");
        }
        assert_eq!(named(&"x".repeat(80)).unwrap().name.as_str().len(), 63);
    }

    #[test]
    fn variables_are_what_templates_can_write() {
        assert_eq!(variable("Rack Position"), Some("rack_position".to_owned()));
        assert_eq!(variable("asset-tag "), Some("asset_tag".to_owned()));
        assert_eq!(variable("(U)"), Some("u".to_owned()));
        assert_eq!(variable("2nd"), Some("_2nd".to_owned()));
        assert_eq!(variable("—"), None);
    }

    #[test]
    fn a_second_host_of_a_name_is_told_with_the_first_ones_place() {
        let mut gather = Machines::default();
        gather.begin("a");
        assert!(gather.host(3, HostDraft::new("web01".parse().unwrap())));
        gather.begin("b");
        assert!(!gather.host(9, HostDraft::new("WEB01".parse().unwrap())));
        let left = &gather.finish().left[0];
        assert_eq!((left.file.as_str(), left.line), ("b", 9));
        assert!(left.why.contains("a, line 3"), "{}", left.why);
    }

    #[test]
    fn an_address_is_the_first_ones_and_the_others_are_told() {
        let mut machines = Machines::default();
        let host = |name: &str, macs: &[&str], ip: &str| {
            let mut host = HostDraft::new(name.parse().unwrap());
            host.macs = macs.iter().map(|mac| mac.parse().unwrap()).collect();
            host.ip = Some(ip.parse().unwrap());
            host
        };
        let (one, two) = ("52:54:00:00:00:01", "52:54:00:00:00:02");
        machines.begin("f");
        machines.host(1, host("a", &[one], "10.0.0.1"));
        let mut b = host("b", &[one, two], "10.0.0.1");
        b.nics = vec![NicDraft {
            macs: vec![one.parse().unwrap()],
            ..NicDraft::default()
        }];
        machines.host(2, b);
        let found = machines.finish();
        let [a, b] = found.hosts.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!((a.macs.len(), a.ip.is_some()), (1, true));
        assert_eq!(
            (b.macs.as_slice(), b.ip),
            (&[two.parse().unwrap()][..], None)
        );
        assert!(b.nics.is_empty());
        let told: Vec<(usize, &str)> = found
            .left
            .iter()
            .map(|left| (left.line, left.what.as_str()))
            .collect();
        assert_eq!(told, [(2, one), (2, one), (2, "10.0.0.1")]);
        assert!(
            found.left[0].why.contains("a's already"),
            "{:?}",
            found.left
        );
    }

    #[test]
    fn a_host_that_loses_its_first_card_has_its_next_one_for_it() {
        let (one, two) = ("52:54:00:00:00:01", "52:54:00:00:00:05");
        let card = |mac: &str, ip: &str| NicDraft {
            macs: vec![mac.parse().unwrap()],
            ip: ip.parse().ok(),
            name: None,
        };
        let mut machines = Machines::default();
        machines.begin("f");
        for (line, name, second) in [(1, "a", None), (2, "b", Some(card(two, "10.99.0.35")))] {
            let mut host = HostDraft::new(name.parse().unwrap());
            host.macs = vec![one.parse().unwrap()];
            host.ip = "10.99.0.31".parse().ok();
            host.nics.extend(second);
            machines.host(line, host);
        }
        // One that has further cards only keeps them so.
        let mut held = HostDraft::new("held".parse().unwrap());
        held.nics = vec![card("52:54:00:00:00:06", "")];
        machines.host(3, held.clone());
        let found = machines.finish();
        let [_, b, c] = found.hosts.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(b.macs, [two.parse().unwrap()]);
        assert_eq!(b.ip, Some([10, 99, 0, 35].into()));
        assert_eq!(b.nics, []);
        assert_eq!(*c, held);
    }

    #[test]
    fn lines_count_from_one() {
        let lines = Lines::of("ab\n\nc");
        let at = [0, 1, 2, 3, 4].map(|byte| lines.at(byte));
        assert_eq!(at, [1, 1, 1, 2, 3]);
    }
}
