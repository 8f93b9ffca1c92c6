//! Proxmox VE: the configuration of a virtual machine, as `/etc/pve/qemu-server/100.conf` has it and `qm config 100`
//! prints it.
//!
//! The number of the machine is the file's name. What stands in a section (`[snapshot]`, `[PENDING]`) is another state
//! of the machine and is not read; containers (`/etc/pve/lxc`) have no firmware and are told as such. Hardware that has
//! nothing to do with booting from the network is neither carried over nor told.

use std::net::Ipv4Addr;

use data_encoding::BASE64;
use ipnet::Ipv4Net;
use percent_encoding::percent_decode_str;

use super::machines::{Machines, Vm, name_cards};
use super::{ImportError, Imported, Source};
use crate::base::{HardwareAddr, counted};
use crate::config::draft::{HostDraft, NicDraft};

/// Models that stand as a key before the MAC address: `virtio=BC:24:11:…`.
const MODELS: [&str; 19] = [
    "virtio",
    "e1000",
    "e1000e",
    "rtl8139",
    "vmxnet3",
    "ne2k_pci",
    "ne2k_isa",
    "pcnet",
    "i82551",
    "i82557b",
    "i82559er",
    "e1000-82540em",
    "e1000-82544gc",
    "e1000-82545em",
    "igb",
    "i82551er",
    "i82801",
    "usb-net",
    "tulip",
];

/// Reads configurations, one machine each.
pub fn read(sources: &[Source]) -> Result<Imported, ImportError> {
    let mut machines = Machines::default();
    for source in sources {
        machines.begin(&source.name);
        let machine = Machine::read(source, &mut machines)?;
        machine.into_host(source, &mut machines);
    }
    Ok(machines.finish())
}

/// A value and the line that it stands on.
type Line<'a> = (usize, &'a str);

/// One network card.
#[derive(Debug)]
struct Card {
    /// Its number: `net0` is 0.
    number: u32,
    mac: HardwareAddr,
    bridge: Option<String>,
}

/// The keys that matter, as they stand in one file.
#[derive(Debug, Default)]
struct Machine<'a> {
    name: Option<Line<'a>>,
    arch: Option<Line<'a>>,
    boot: Option<Line<'a>>,
    smbios: Option<Line<'a>>,
    efi_disk: Option<Line<'a>>,
    template: bool,
    container: Option<usize>,
    uefi: bool,
    cards: Vec<Card>,
    /// Addresses that cloud-init gives, by the number of the card.
    addresses: Vec<(u32, usize, &'a str)>,
    nameserver: Option<Line<'a>>,
    search_domain: Option<Line<'a>>,
    disks: Vec<&'a str>,
    second_disk: usize,
    cores: u64,
    sockets: u64,
    memory: Option<u64>,
    tags: Option<&'a str>,
    notes: Vec<String>,
}

impl<'a> Machine<'a> {
    fn read(source: &'a Source, machines: &mut Machines) -> Result<Self, ImportError> {
        let mut machine = Self {
            cores: 1,
            sockets: 1,
            ..Self::default()
        };
        let mut snapshots = 0_usize;
        let mut first_section = 0;
        let mut inside = false;
        let mut keys = 0;
        for (index, text) in source.text.lines().enumerate() {
            let line = index + 1;
            let text = text.trim_start_matches('\u{feff}').trim();
            if let Some(section) = text.strip_prefix('[') {
                inside = true;
                match section.trim_end_matches(']') {
                    "PENDING" => machines.left(
                        line,
                        text,
                        "changes that wait for the next start of the machine are not read",
                    ),
                    name if name.starts_with("special:") => {}
                    _ => {
                        snapshots += 1;
                        if first_section == 0 {
                            first_section = line;
                        }
                    }
                }
                continue;
            }
            if inside || text.is_empty() {
                continue;
            }
            if let Some(note) = text.strip_prefix('#') {
                let note = percent_decode_str(note).decode_utf8_lossy();
                machine.notes.push(note.into_owned());
                continue;
            }
            let Some((key, value)) = text.split_once(':') else {
                return Err(ImportError {
                    file: source.name.clone(),
                    line,
                    what: format!(
                        "`{}` is no `key: value`; give it a file of /etc/pve/qemu-server, or what `qm config NUMBER` prints",
                        super::place::shortened(text)
                    ),
                });
            };
            keys += 1;
            machine.key(machines, key.trim(), value.trim(), line);
        }
        if keys == 0 {
            return Err(ImportError {
                file: source.name.clone(),
                line: 1,
                what: "there is no `key: value` in it; give it a file of /etc/pve/qemu-server, or what `qm config NUMBER` prints"
                    .to_owned(),
            });
        }
        if snapshots > 0 {
            machines.left(
                first_section,
                counted(snapshots, "snapshot"),
                "another state of the same machine is not read",
            );
        }
        Ok(machine)
    }

    fn key(&mut self, machines: &mut Machines, key: &str, value: &'a str, line: usize) {
        let (word, number) = numbered(key);
        match (word, number) {
            ("name", None) => self.name = Some((line, value)),
            // A container's; a virtual machine says `name`.
            ("hostname" | "rootfs", None) => {
                self.container.get_or_insert(line);
            }
            ("arch", None) => self.arch = Some((line, value)),
            ("boot", None) => self.boot = Some((line, value)),
            ("smbios", Some(1)) => self.smbios = Some((line, value)),
            ("bios", None) => self.uefi = value == "ovmf",
            ("efidisk", Some(_)) => self.efi_disk = Some((line, value)),
            ("template", None) => self.template = value == "1",
            ("cores", None) => self.cores = value.parse().unwrap_or(1),
            ("sockets", None) => self.sockets = value.parse().unwrap_or(1),
            ("memory", None) => {
                let current = value.split(',').next().unwrap_or_default();
                self.memory = current.trim_start_matches("current=").parse().ok();
            }
            ("tags", None) => self.tags = Some(value).filter(|tags| !tags.is_empty()),
            ("description", None) => {
                self.notes
                    .push(percent_decode_str(value).decode_utf8_lossy().into_owned());
            }
            ("nameserver", None) => self.nameserver = Some((line, value)),
            ("searchdomain", None) => self.search_domain = Some((line, value)),
            ("net", Some(number)) => self.card(machines, number, value, line),
            ("ipconfig", Some(number)) => self.addresses.push((number, line, value)),
            ("scsi" | "virtio" | "sata" | "ide", Some(_)) => {
                let no_disk = value.contains("media=cdrom") || value.starts_with("none");
                if !no_disk && !value.contains("cloudinit") {
                    if self.disks.len() == 1 {
                        self.second_disk = line;
                    }
                    self.disks.push(value);
                }
            }
            ("args", None) if value.contains("-kernel") => machines.left(
                line,
                format!("args: {value}"),
                "the machine boots this kernel without asking the network",
            ),
            ("ciuser" | "sshkeys" | "cipassword" | "cicustom" | "ciupgrade", None) => machines
                .left(
                    line,
                    key,
                    "cloud-init's user data: users and keys are variables here (docs/profiles.md)",
                ),
            _ => {}
        }
    }

    /// `virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=20`.
    fn card(&mut self, machines: &mut Machines, number: u32, value: &str, line: usize) {
        let mut mac = None;
        let mut bridge = None;
        for part in value.split(',') {
            let Some((key, value)) = part.split_once('=') else {
                continue;
            };
            match key.trim() {
                "macaddr" | "hwaddr" => mac = Some(value),
                "model" => {}
                "bridge" => bridge = Some(value.to_owned()),
                "tag" => machines.left(
                    line,
                    format!("net{number}: tag={value}"),
                    "Proxmox's switch tags it: nothing is to be written here",
                ),
                "link_down" if value == "1" => machines.left(
                    line,
                    format!("net{number}: link_down=1"),
                    "this card's cable is pulled: it boots nothing until it is plugged in",
                ),
                // A container's card.
                "type" if value == "veth" => {
                    self.container.get_or_insert(line);
                }
                model if MODELS.contains(&model) => mac = Some(value),
                _ => {}
            }
        }
        let Some(mac) = mac else {
            machines.left(
                line,
                format!("net{number}: {value}"),
                "it has no MAC address: start the machine once, Proxmox gives it one",
            );
            return;
        };
        if let Some(mac) = machines.mac(line, mac) {
            self.cards.push(Card {
                number,
                mac,
                bridge,
            });
        }
    }

    fn into_host(mut self, source: &Source, machines: &mut Machines) {
        let vmid = vmid(&source.name);
        if let Some(line) = self.container {
            machines.left(
                line,
                source.name.clone(),
                "a container has no firmware: it does not boot from the network",
            );
            return;
        }
        if self.template {
            machines.left(
                1,
                source.name.clone(),
                "a template is never started: its clones have MAC addresses of their own",
            );
            return;
        }
        let unnamed = vmid.map_or_else(|| "vm".to_owned(), |vmid| format!("vm{vmid}"));
        let (line, name) = self.name.unwrap_or((1, &unnamed));
        let Some(named) = machines.name(line, name) else {
            return;
        };
        let mut host = HostDraft::new(named.name);
        host.fqdn = named.fqdn;
        // Processors of the machine itself where nothing is written.
        host.arch = self.arch.and_then(|(line, arch)| machines.arch(line, arch));
        self.smbios(machines, &mut host);
        // Its firmware has Microsoft's keys in it, and runs signed programs only.
        let has_keys = self
            .efi_disk
            .is_some_and(|(_, value)| value.contains("pre-enrolled-keys=1"));
        host.secure_boot = (self.uefi && has_keys).then_some(true);
        let mut vm = Vm {
            hypervisor: node(&source.name),
            vmid,
            vcpus: self.cores.checked_mul(self.sockets),
            memory_mib: self.memory,
            disks: u64::try_from(self.disks.len())
                .ok()
                .filter(|count| *count > 0),
            ..Vm::default()
        };
        if self.disks.len() > 1 {
            machines.left(
                self.second_disk,
                format!("{} disks of {}", self.disks.len(), host.name),
                format!(
                    "an installer is to be told which one is the system's: write [hosts.{}.vars] disk = \"/dev/sda\", or \"/dev/vda\"",
                    host.name
                ),
            );
        }
        self.order(machines, &host);
        let addresses = self.subnets(machines);
        let mut cards = self.cards.iter();
        let address = |card: &Card| {
            addresses
                .iter()
                .find(|(number, _)| *number == card.number)
                .map(|(_, address)| *address)
        };
        if let Some(first) = cards.next() {
            host.macs = vec![first.mac];
            host.ip = address(first);
        }
        host.nics = cards
            .map(|card| NicDraft {
                macs: vec![card.mac],
                ip: address(card),
                name: card.bridge.clone(),
            })
            .collect();
        name_cards(&mut host.nics);
        vm.networks = self
            .cards
            .iter()
            .filter_map(|card| card.bridge.clone())
            .collect();
        for (number, address) in &addresses {
            if !self.cards.iter().any(|card| card.number == *number) {
                machines.left(
                    line,
                    format!("ipconfig{number}: {address}"),
                    format!("there is no net{number} that it belongs to"),
                );
            }
        }
        if host.macs.is_empty() {
            machines.left(
                line,
                host.name.as_str(),
                "it has no network card: it cannot boot from the network",
            );
            return;
        }
        if let Some(tags) = self.tags {
            self.notes
                .push(format!("tags: {}", tags.replace(';', ", ")));
        }
        let notes = self.notes.join("\n");
        host.notes = Some(notes.trim().to_owned()).filter(|notes| !notes.is_empty());
        vm.write(&mut host.vars);
        machines.host(line, host);
    }

    /// `smbios1: uuid=…,serial=…`, its texts in base64 where it says so.
    fn smbios(&self, machines: &mut Machines, host: &mut HostDraft) {
        let Some((line, value)) = self.smbios else {
            return;
        };
        let coded = value.split(',').any(|part| part.trim() == "base64=1");
        for part in value.split(',') {
            match part.trim().split_once('=') {
                Some(("uuid", uuid)) => host.uuid = machines.uuid(line, uuid),
                Some(("serial", serial)) => {
                    let text = if coded {
                        BASE64
                            .decode(serial.as_bytes())
                            .ok()
                            .and_then(|bytes| String::from_utf8(bytes).ok())
                    } else {
                        Some(serial.to_owned())
                    };
                    match text {
                        Some(text) => host.serial = machines.line(line, &text),
                        None => machines.left(
                            line,
                            format!("serial={serial}"),
                            "it says base64=1 and is no base64: write `serial` for this host",
                        ),
                    }
                }
                _ => {}
            }
        }
    }

    /// Puts the cards in the order in which they boot, and tells when none does.
    fn order(&mut self, machines: &mut Machines, host: &HostDraft) {
        self.cards.sort_by_key(|card| card.number);
        let Some((line, value)) = self.boot else {
            return;
        };
        let Some(order) = value
            .split(',')
            .find_map(|part| part.trim().strip_prefix("order="))
        else {
            // `boot: cdn`, the older way: letters, `n` for the network.
            let letters = value.trim_start_matches("legacy=");
            if !letters.contains('n') {
                machines.left(
                    line,
                    format!("boot: {value}"),
                    format!("{} does not boot from the network: put it first", host.name),
                );
            }
            return;
        };
        let devices: Vec<&str> = order.split(';').map(str::trim).collect();
        let place = |card: &Card| {
            devices
                .iter()
                .position(|device| *device == format!("net{}", card.number))
                .unwrap_or(usize::MAX)
        };
        self.cards.sort_by_key(|card| (place(card), card.number));
        let first = self.cards.first();
        if first.is_some_and(|card| place(card) == usize::MAX) {
            machines.left(
                line,
                format!("boot: {value}"),
                format!(
                    "{} does not boot from the network: `qm set NUMBER --boot 'order=net0;…'`",
                    host.name
                ),
            );
        }
    }

    /// The addresses that cloud-init gives, and their networks.
    fn subnets(&self, machines: &mut Machines) -> Vec<(u32, Ipv4Addr)> {
        let mut found = Vec::new();
        for (number, line, value) in &self.addresses {
            let mut router = None;
            let mut address = None;
            for part in value.split(',') {
                match part.trim().split_once('=') {
                    Some(("ip", text)) if !matches!(text, "dhcp" | "manual") => {
                        let host = text.split('/').next().unwrap_or_default();
                        address = machines
                            .address(*line, host)
                            .map(|ip| (ip, text.parse::<Ipv4Net>().ok()));
                    }
                    Some(("gw", text)) => router = machines.address(*line, text),
                    Some(("ip6" | "gw6", text)) if !matches!(text, "auto" | "dhcp" | "manual") => {
                        machines.left(*line, part, "machines are booted over IPv4");
                    }
                    _ => {}
                }
            }
            let Some((ip, net)) = address else { continue };
            found.push((*number, ip));
            if let Some(net) = net.filter(|net| net.prefix_len() < 31) {
                self.subnet(machines, net.trunc(), router);
            }
        }
        found
    }

    fn subnet(&self, machines: &mut Machines, network: Ipv4Net, router: Option<Ipv4Addr>) {
        let servers: Vec<Ipv4Addr> = self
            .nameserver
            .map(|(_, list)| {
                list.split([' ', ',', ';'])
                    .filter_map(|text| text.parse().ok())
                    .collect()
            })
            .unwrap_or_default();
        let domain = self
            .search_domain
            .and_then(|(_, list)| list.split([' ', ',', ';']).next())
            .filter(|domain| crate::config::values::domain(domain).is_ok());
        let router = router.filter(|router| network.contains(router));
        machines.subnet(network, router, &servers, domain);
    }
}

/// `net0` as `net` and 0.
fn numbered(key: &str) -> (&str, Option<u32>) {
    let word = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = key.get(word.len()..).and_then(|number| number.parse().ok());
    (word, number)
}

/// The number of the machine: its file's name.
fn vmid(path: &str) -> Option<u32> {
    path.rsplit('/').next()?.strip_suffix(".conf")?.parse().ok()
}

/// The node that runs it: `/etc/pve/nodes/NODE/qemu-server/100.conf`.
fn node(path: &str) -> Option<String> {
    let mut parts = path.split('/').skip_while(|part| *part != "nodes");
    parts.next()?;
    parts
        .next()
        .filter(|node| !node.is_empty())
        .map(str::to_owned)
}
