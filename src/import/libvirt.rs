//! libvirt: what `virsh dumpxml` and `virsh net-dumpxml` print, any number of them in a file.
//!
//! A domain becomes a host: its name, UUID, architecture and network cards, the one that boots first before the
//! others. Addresses come from the `<host>` lines of networks, which also become subnets. Hardware that has nothing
//! to do with booting from the network (disks' files, graphics, controllers) is neither carried over nor told.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use roxmltree::{Document, Node, ParsingOptions};

use super::machines::{Lines, Machines, Named, Vm, name_cards, named};
use super::ready::{self, System};
use super::{ImportError, Imported, Source, SubnetDraft};
use crate::base::HardwareAddr;
use crate::config::draft::{HostDraft, NicDraft};
use crate::config::values;

/// What is put around a text, so that several documents in it are one. It has no line break: lines keep their
/// numbers.
const AROUND: (&str, &str) = ("<all>", "</all>");

/// The most elements of one file: some hundred thousand domains.
const MOST_NODES: u32 = 20_000_000;

/// Reads domains and networks. Networks may stand before or after the domains that they give addresses to.
pub fn read(sources: &[Source]) -> Result<Imported, ImportError> {
    let mut texts = Vec::with_capacity(sources.len());
    for source in sources {
        texts.push(format!(
            "{}{}{}",
            AROUND.0,
            without_declarations(&source.text),
            AROUND.1
        ));
    }
    let mut documents = Vec::with_capacity(sources.len());
    for (source, text) in sources.iter().zip(&texts) {
        let options = ParsingOptions {
            nodes_limit: MOST_NODES,
            ..ParsingOptions::default()
        };
        let document = Document::parse_with_options(text, options)
            .map_err(|error| no_xml(source, text, &error))?;
        documents.push((source, document, Lines::of(text)));
    }
    let mut reader = Reader::default();
    for (source, document, lines) in &documents {
        reader.machines.begin(&source.name);
        for network in all(document, "network") {
            reader.network(network, lines);
        }
    }
    for (source, document, lines) in &documents {
        reader.machines.begin(&source.name);
        let mut found = false;
        for element in document.root_element().children().filter(Node::is_element) {
            found = true;
            if !matches!(
                element.tag_name().name(),
                "domain" | "network" | "domains" | "networks" | "domstatus" | "networkstatus"
            ) {
                reader.machines.left(
                    lines.at(element.range().start),
                    format!("<{}>", element.tag_name().name()),
                    "only domains and networks say who boots here: leave it out",
                );
            }
        }
        if !found {
            return Err(ImportError {
                file: source.name.clone(),
                line: 1,
                what: "there is nothing in it: give it what `virsh dumpxml NAME` prints".to_owned(),
            });
        }
        for domain in all(document, "domain") {
            reader.domain(domain, lines);
        }
    }
    Ok(reader.finish())
}

/// The elements of this name that describe something that is: not those inside of snapshots, and not the DNS domain of
/// a network.
fn all<'a, 'i>(document: &'a Document<'i>, name: &'static str) -> Vec<Node<'a, 'i>> {
    let top = document.root_element();
    let mut found = Vec::new();
    for node in top.children().filter(Node::is_element) {
        if node.has_tag_name(name) {
            found.push(node);
        } else if matches!(
            node.tag_name().name(),
            "domains" | "networks" | "domstatus" | "networkstatus"
        ) {
            found.extend(node.children().filter(|node| node.has_tag_name(name)));
        }
    }
    found
}

/// The text with blanks in place of its XML declarations, which may stand only at the beginning of a document. A
/// declaration of another document in the same file is one too many.
fn without_declarations(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("<?xml") {
        let (before, declaration) = rest.split_at(start);
        out.push_str(before);
        let end = declaration
            .find("?>")
            .map_or(declaration.len(), |end| end + 2);
        let (declaration, after) = declaration.split_at(end);
        out.extend(
            declaration
                .chars()
                .map(|c| if c == '\n' { '\n' } else { ' ' }),
        );
        rest = after;
    }
    out.push_str(rest);
    out
}

fn no_xml(source: &Source, text: &str, error: &roxmltree::Error) -> ImportError {
    let line = usize::try_from(error.pos().row).unwrap_or(0);
    // At the end of the file it is the element around everything that is found to be open.
    let last = text.lines().count().max(1);
    ImportError {
        file: source.name.clone(),
        line: line.min(last),
        what: format!(
            "this is no XML as libvirt writes it: {error}; give it what `virsh dumpxml NAME` or `virsh net-dumpxml NAME` prints"
        ),
    }
}

/// An address that a network gives.
#[derive(Debug)]
struct Reserved {
    file: String,
    line: usize,
    mac: Option<HardwareAddr>,
    name: Option<Named>,
    ip: Ipv4Addr,
    /// Whether a domain has it.
    taken: bool,
}

/// What the domains and networks read so far say.
#[derive(Debug, Default)]
struct Reader {
    machines: Machines,
    reserved: Vec<Reserved>,
    /// Subnets by the name of libvirt's network.
    networks: BTreeMap<String, String>,
    /// Where each UUID stands: a domain may be there twice, as it runs and as it is defined.
    uuids: BTreeMap<String, String>,
}

impl Reader {
    /// What is left: addresses of machines that are no domain here.
    fn finish(mut self) -> Imported {
        for reserved in std::mem::take(&mut self.reserved) {
            if reserved.taken {
                continue;
            }
            self.machines.begin(&reserved.file);
            let name = match (reserved.name, reserved.mac) {
                (Some(named), _) => Some(named),
                (None, Some(mac)) => named(&format!("host-{}", mac.dashed().replace('-', ""))),
                (None, None) => None,
            };
            let Some(named) = name else { continue };
            let mut host = HostDraft::new(named.name);
            host.fqdn = named.fqdn;
            host.macs.extend(reserved.mac);
            host.ip = Some(reserved.ip);
            self.machines.host(reserved.line, host);
        }
        self.machines.finish()
    }

    fn network(&mut self, network: Node<'_, '_>, lines: &Lines) {
        let name = text_of(network, "name").unwrap_or_default().to_owned();
        let at = |node: Node<'_, '_>| lines.at(node.range().start);
        let domain = child(network, "domain").and_then(|domain| domain.attribute("name"));
        let forward = child(network, "forward").map(|node| node.attribute("mode").unwrap_or("nat"));
        let mut file = String::new();
        self.machines.file().clone_into(&mut file);
        for ip in children(network, "ip") {
            if ip.attribute("family") == Some("ipv6") {
                self.machines.left(
                    at(ip),
                    format!("<ip family='ipv6' address='{}'>", attribute(ip, "address")),
                    "machines are booted over IPv4",
                );
                continue;
            }
            let Some((router, net)) = network_of(ip) else {
                self.machines.left(
                    at(ip),
                    format!("<ip address='{}'>", attribute(ip, "address")),
                    "this is no address with a netmask or prefix",
                );
                continue;
            };
            let subnet_name = if name.is_empty() || self.networks.contains_key(&name) {
                net.to_string()
            } else {
                name.clone()
            };
            let Ok(subnet_name) = subnet_name.parse().or_else(|_| net.to_string().parse()) else {
                continue;
            };
            let mut subnet = SubnetDraft::new(subnet_name, net);
            // An isolated network leads nowhere.
            subnet.router = forward.map(|_| router);
            subnet.dns = if network
                .children()
                .any(|node| node.has_tag_name("dns") && node.attribute("enable") == Some("no"))
            {
                Vec::new()
            } else {
                vec![router]
            };
            subnet.domain = domain
                .filter(|domain| values::domain(domain).is_ok())
                .map(str::to_owned);
            self.networks.insert(name.clone(), subnet.name.to_string());
            for dhcp in children(ip, "dhcp") {
                self.machines.left(
                    at(dhcp),
                    format!("<dhcp> of network {name}"),
                    format!(
                        "libvirt gives the addresses there: take <dhcp> out (`virsh net-edit {name}`), or write mode = \"proxy\" for the subnet"
                    ),
                );
                for range in children(dhcp, "range") {
                    self.pool(net, range, at(range));
                }
                for host in children(dhcp, "host") {
                    self.reserve(host, at(host), &file);
                }
                for bootp in children(dhcp, "bootp") {
                    self.machines.left(
                        at(bootp),
                        format!("<bootp file='{}'>", attribute(bootp, "file")),
                        "the boot loader of each firmware is told by itself; another one is `loader` of a host or group",
                    );
                }
            }
            self.machines.imported().subnets.push(subnet);
        }
        if let Some(dns) = child(network, "dns") {
            self.machines
                .told_of_dns(children(dns, "host").map(|host| (at(host), attribute(host, "ip"))));
        }
    }

    fn pool(&mut self, network: Ipv4Net, range: Node<'_, '_>, line: usize) {
        let (start, end) = (attribute(range, "start"), attribute(range, "end"));
        let first = self.machines.address(line, start);
        let last = self.machines.address(line, end);
        if let Some(range) = first.zip(last) {
            let what = format!("<range start='{start}' end='{end}'>");
            self.machines.range(line, &what, network, range);
        }
    }

    fn reserve(&mut self, host: Node<'_, '_>, line: usize, file: &str) {
        let Some(ip) = self.machines.address(line, attribute(host, "ip")) else {
            return;
        };
        let mac = host
            .attribute("mac")
            .and_then(|mac| self.machines.mac(line, mac));
        let name = host
            .attribute("name")
            .and_then(|name| self.machines.name(line, name));
        if mac.is_none() && name.is_none() {
            self.machines.left(
                line,
                format!("<host ip='{ip}'>"),
                "it says neither `mac` nor `name`, so it is nobody's",
            );
            return;
        }
        self.reserved.push(Reserved {
            file: file.to_owned(),
            line,
            mac,
            name,
            ip,
            taken: false,
        });
    }

    fn domain(&mut self, domain: Node<'_, '_>, lines: &Lines) {
        let at = |node: Node<'_, '_>| lines.at(node.range().start);
        let line = at(domain);
        let Some(libvirt_name) = text_of(domain, "name") else {
            self.machines
                .left(line, "<domain>", "it has no <name>: give it one");
            return;
        };
        let os = child(domain, "os");
        let os_type = os.and_then(|os| child(os, "type"));
        let kind = os_type
            .and_then(|node| node.text())
            .map_or("hvm", str::trim);
        if !matches!(kind, "hvm" | "xenpvh") {
            self.machines.left(
                line,
                format!("<domain> {libvirt_name}"),
                format!("<type>{kind}</type> is no machine with firmware: it cannot boot from the network"),
            );
            return;
        }
        let Some(named) = self.machines.name(line, libvirt_name) else {
            return;
        };
        let mut host = HostDraft::new(named.name);
        host.fqdn = named.fqdn;
        if let Some(node) = child(domain, "uuid") {
            host.uuid = self
                .machines
                .uuid(at(node), node.text().unwrap_or_default());
        }
        let mut seen = None;
        if let Some(uuid) = host.uuid {
            let place = format!("{}, line {line}", self.machines.file());
            if let Some(first) = self.uuids.get(&uuid.to_string()) {
                let why = format!(
                    "the domain of this UUID stands there already ({first}): the first one is taken"
                );
                self.machines
                    .left(line, format!("<domain> {libvirt_name}"), why);
                return;
            }
            seen = Some((uuid.to_string(), place));
        }
        if let Some(arch) = os_type.and_then(|node| node.attribute("arch")) {
            host.arch = self.machines.arch(os_type.map_or(line, at), arch);
        }
        host.serial = self.serial(domain, lines);
        host.profile = libosinfo(domain);
        host.notes = notes(domain);
        if let Some(os) = os {
            self.firmware(os, &mut host, lines);
        }
        let mut vm = Vm {
            domain: (libvirt_name != host.name.as_str()).then(|| libvirt_name.to_owned()),
            vcpus: text_of(domain, "vcpu").and_then(|text| text.parse().ok()),
            memory_mib: child(domain, "currentMemory")
                .or_else(|| child(domain, "memory"))
                .and_then(mebibytes),
            max_memory_mib: child(domain, "memory").and_then(mebibytes),
            ..Vm::default()
        };
        if vm.max_memory_mib == vm.memory_mib {
            vm.max_memory_mib = None;
        }
        if let Some(devices) = child(domain, "devices") {
            vm.disks = self.disks(devices, host.name.as_str(), lines);
            self.cards(devices, &mut host, &mut vm, lines);
        }
        if host.macs.is_empty() && host.ip.is_none() {
            self.machines.left(
                line,
                format!("<domain> {libvirt_name}"),
                "no card of it has a MAC address and no network names it: it cannot boot from the network",
            );
            return;
        }
        vm.write(&mut host.vars);
        self.uuids.extend(seen);
        self.machines.host(line, host);
    }

    /// The serial number that the machine itself shows.
    fn serial(&mut self, domain: Node<'_, '_>, lines: &Lines) -> Option<String> {
        let shown = child(domain, "os")
            .and_then(|os| child(os, "smbios"))
            .and_then(|smbios| smbios.attribute("mode"));
        if shown != Some("sysinfo") {
            return None;
        }
        let system = child(child(domain, "sysinfo")?, "system")?;
        let entry =
            children(system, "entry").find(|entry| entry.attribute("name") == Some("serial"))?;
        let text = entry.text().unwrap_or_default();
        self.machines.line(lines.at(entry.range().start), text)
    }

    /// What of the firmware matters to a boot from the network.
    fn firmware(&mut self, os: Node<'_, '_>, host: &mut HostDraft, lines: &Lines) {
        let name = host.name.clone();
        let at = |node: Node<'_, '_>| lines.at(node.range().start);
        for key in ["kernel", "initrd"] {
            if let Some(node) = child(os, key) {
                self.machines.left(
                    at(node),
                    format!("<{key}>{}</{key}>", node.text().unwrap_or_default().trim()),
                    format!("{name} boots this file without asking the network: take it out of the domain"),
                );
            }
        }
        let loader = child(os, "loader");
        let feature = |wanted: &str| {
            child(os, "firmware").is_some_and(|firmware| {
                children(firmware, "feature").any(|feature| {
                    feature.attribute("name") == Some(wanted)
                        && feature.attribute("enabled") == Some("yes")
                })
            })
        };
        let path = loader.and_then(|node| node.text()).unwrap_or_default();
        let keys_in =
            feature("enrolled-keys") || path.contains(".ms.") || path.contains(".secboot.");
        if keys_in
            && (feature("secure-boot")
                || loader.is_some_and(|node| node.attribute("secure") == Some("yes")))
        {
            host.secure_boot = Some(true);
        }
        if let Some(boot) = children(os, "boot").next()
            && !children(os, "boot").any(|boot| boot.attribute("dev") == Some("network"))
        {
            self.machines.left(
                at(boot),
                format!("<boot dev='{}'/>", attribute(boot, "dev")),
                format!("{name} does not boot from the network: put <boot dev='network'/> first"),
            );
        }
    }

    /// How many disks it has.
    fn disks(&mut self, devices: Node<'_, '_>, name: &str, lines: &Lines) -> Option<u64> {
        let disks: Vec<Node<'_, '_>> = children(devices, "disk")
            .filter(|disk| {
                disk.attribute("device")
                    .is_none_or(|device| device == "disk")
            })
            .collect();
        let targets: Vec<&str> = disks
            .iter()
            .filter_map(|disk| child(*disk, "target")?.attribute("dev"))
            .collect();
        if let ([_, second, ..], [first, ..]) = (disks.as_slice(), targets.as_slice()) {
            self.machines.left(
                lines.at(second.range().start),
                format!("disks {} of {name}", targets.join(", ")),
                format!(
                    "an installer is to be told which one is the system's: write [hosts.{name}.vars] disk = \"/dev/{first}\""
                ),
            );
        }
        u64::try_from(disks.len()).ok().filter(|count| *count > 0)
    }

    /// Its network cards, the one that boots first before the others.
    fn cards(&mut self, devices: Node<'_, '_>, host: &mut HostDraft, vm: &mut Vm, lines: &Lines) {
        let at = |node: Node<'_, '_>| lines.at(node.range().start);
        let mut cards: Vec<(u32, Node<'_, '_>)> = children(devices, "interface")
            .map(|card| {
                let order = child(card, "boot").and_then(|boot| boot.attribute("order"));
                (
                    order
                        .and_then(|order| order.parse().ok())
                        .unwrap_or(u32::MAX),
                    card,
                )
            })
            .collect();
        cards.sort_by_key(|(order, _)| *order);
        let mut found: Vec<(NicDraft, Option<Named>)> = Vec::new();
        for (_, card) in &cards {
            let Some(mac) = child(*card, "mac") else {
                self.machines.left(
                    at(*card),
                    format!(
                        "<interface type='{}'> of {}",
                        attribute(*card, "type"),
                        host.name
                    ),
                    "it has no <mac>: libvirt gives it one when the domain is defined",
                );
                continue;
            };
            let Some(mac) = self.machines.mac(at(mac), attribute(mac, "address")) else {
                continue;
            };
            let network = child(*card, "source").and_then(|source| {
                ["network", "bridge", "dev", "portgroup"]
                    .iter()
                    .find_map(|key| source.attribute(*key))
            });
            vm.networks.extend(network.map(str::to_owned));
            if child(*card, "rom").is_some_and(|rom| rom.attribute("enabled") == Some("no")) {
                self.machines.left(
                    at(*card),
                    format!("<rom enabled='no'/> of {}", host.name),
                    "this card has no boot ROM: take the element out where it is to boot the machine",
                );
            }
            if let Some(tag) = child(*card, "vlan").and_then(|vlan| child(vlan, "tag")) {
                self.machines.left(
                    at(tag),
                    format!("<vlan> {} of {}", attribute(tag, "id"), host.name),
                    "libvirt's switch tags it: nothing is to be written here",
                );
            }
            let (ip, name) = self.address_of(mac);
            found.push((
                NicDraft {
                    macs: vec![mac],
                    ip,
                    name: network.map(str::to_owned),
                },
                name,
            ));
        }
        // A network may name the machine without its MAC address.
        if found.iter().all(|(nic, _)| nic.ip.is_none()) {
            host.ip = self.address_by_name(host.name.as_str());
        }
        let mut found = found.into_iter();
        if let Some((first, name)) = found.next() {
            host.macs = first.macs;
            host.ip = host.ip.or(first.ip);
            if host.fqdn.is_none() {
                host.fqdn = name.and_then(|name| {
                    name.fqdn
                        .filter(|_| name.name.as_str().eq_ignore_ascii_case(host.name.as_str()))
                });
            }
        }
        host.nics = found.map(|(nic, _)| nic).collect();
        name_cards(&mut host.nics);
    }

    /// The address that a network gives this card, and the name that it gives it.
    fn address_of(&mut self, mac: HardwareAddr) -> (Option<Ipv4Addr>, Option<Named>) {
        let found = self
            .reserved
            .iter_mut()
            .find(|reserved| reserved.mac == Some(mac));
        match found {
            Some(reserved) => {
                reserved.taken = true;
                (Some(reserved.ip), reserved.name.clone())
            }
            None => (None, None),
        }
    }

    fn address_by_name(&mut self, name: &str) -> Option<Ipv4Addr> {
        let found = self.reserved.iter_mut().find(|reserved| {
            reserved.mac.is_none()
                && !reserved.taken
                && reserved
                    .name
                    .as_ref()
                    .is_some_and(|named| named.name.as_str().eq_ignore_ascii_case(name))
        })?;
        found.taken = true;
        Some(found.ip)
    }
}

impl Machines {
    /// libvirt's own DNS answers with names that nobody boots by.
    fn told_of_dns<'a>(&mut self, hosts: impl Iterator<Item = (usize, &'a str)>) {
        for (line, ip) in hosts {
            self.left(
                line,
                format!("<dns> <host ip='{ip}'>"),
                "names are the name server's: bootwright gives none",
            );
        }
    }
}

/// The network of an `<ip>`, and the address of the host's side in it.
fn network_of(ip: Node<'_, '_>) -> Option<(Ipv4Addr, Ipv4Net)> {
    let address: Ipv4Addr = ip.attribute("address")?.parse().ok()?;
    let net = match (ip.attribute("netmask"), ip.attribute("prefix")) {
        (Some(mask), _) => Ipv4Net::with_netmask(address, mask.parse().ok()?).ok()?,
        (None, Some(prefix)) => Ipv4Net::new(address, prefix.parse().ok()?).ok()?,
        (None, None) => {
            // The class of the address tells, as for libvirt.
            let prefix = match address.octets().first() {
                Some(0..=127) => 8,
                Some(128..=191) => 16,
                _ => 24,
            };
            Ipv4Net::new(address, prefix).ok()?
        }
    };
    Some((address, net.trunc()))
}

/// The ready-made profile of the system that libosinfo's metadata name.
fn libosinfo(domain: Node<'_, '_>) -> Option<crate::base::ProfileName> {
    let id = child(domain, "metadata")?
        .descendants()
        .filter(|node| node.is_element() && node.tag_name().name() == "os")
        .find_map(|node| node.attribute("id"))?;
    // http://debian.org/debian/12, http://redhat.com/rhel/9.4
    let (_, path) = id.split_once("://")?.1.split_once('/')?;
    let (breed, version) = path.split_once('/')?;
    ready::profile(System {
        breed,
        version,
        name: "",
    })
}

/// Its title and description.
fn notes(domain: Node<'_, '_>) -> Option<String> {
    let texts: Vec<&str> = ["title", "description"]
        .iter()
        .filter_map(|key| text_of(domain, key))
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// `<memory unit='KiB'>`: the unit is KiB where none is written.
fn mebibytes(node: Node<'_, '_>) -> Option<u64> {
    let number: u64 = node.text()?.trim().parse().ok()?;
    let bytes = match node.attribute("unit").unwrap_or("KiB") {
        "b" | "bytes" => 1,
        "KB" => 1_000,
        "k" | "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "M" | "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "G" | "GiB" => 1 << 30,
        "TB" => 1_000_000_000_000,
        "T" | "TiB" => 1 << 40,
        _ => return None,
    };
    Some(number.checked_mul(bytes)? >> 20)
}

fn children<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children()
        .filter(move |child| child.has_tag_name(name))
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> Option<Node<'a, 'i>> {
    children(node, name).next()
}

fn text_of<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.children()
        .find(|child| child.has_tag_name(name))?
        .text()
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

fn attribute<'a>(node: Node<'a, '_>, name: &str) -> &'a str {
    node.attribute(name).unwrap_or_default()
}
