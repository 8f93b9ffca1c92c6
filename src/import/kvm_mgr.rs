//! A kvm-mgr manifest: hypervisors with the virtual machines that each is to run.
//!
//! It has no hardware addresses: a machine is held by name and address until `bootwright bind` gives it one. What it
//! is made of (processors, memory, disks) and where it runs become the variable `vm`.

use super::json::{self, Json, Node};
use super::machines::{Machines, Vm};
use super::{ImportError, Imported, Source};
use crate::config::draft::HostDraft;

/// What a manifest looks like, for errors.
const FORM: &str = "a manifest is `[{\"host\": …, \"vmspecs\": [{\"name\": …, \"hostname\": …, \"ipaddress\": …}]}]`";

/// Reads manifests.
pub fn read(sources: &[Source]) -> Result<Imported, ImportError> {
    let mut machines = Machines::default();
    for source in sources {
        machines.begin(&source.name);
        let top = json::read(&source.name, &source.text)?;
        let refuse = |line: usize, what: &str| ImportError {
            file: source.name.clone(),
            line,
            what: format!("{what}; {FORM}"),
        };
        let single = std::slice::from_ref(&top);
        let hypervisors = match &top.value {
            Json::List(elements) => elements.as_slice(),
            // One hypervisor without the list around it.
            Json::Object(_) if top.get("vmspecs").is_some() => single,
            _ => return Err(refuse(top.line, "this is no kvm-mgr manifest")),
        };
        for node in hypervisors {
            if !matches!(node.value, Json::Object(_)) {
                return Err(refuse(node.line, "a hypervisor is to stand here"));
            }
            hypervisor(&mut machines, node);
        }
    }
    Ok(machines.finish())
}

fn hypervisor(machines: &mut Machines, node: &Node) {
    let name = node.get("host").and_then(Node::text).map(str::trim);
    let name = name.filter(|name| !name.is_empty());
    let title = name.unwrap_or("a hypervisor without a name").to_owned();
    if name.is_none() {
        machines.left(
            node.line,
            "vmspecs without `host`",
            "where these machines run is not known: write \"host\"",
        );
    }
    for entry in node.entries() {
        match entry.key.as_str() {
            "host" => {}
            "vmspecs" => {
                if !matches!(entry.node.value, Json::List(_) | Json::Null) {
                    machines.left(
                        entry.line,
                        format!("vmspecs of {title}: {}", entry.node.shown()),
                        "this is no list of machines",
                    );
                }
                for spec in entry.node.elements() {
                    machine(machines, name, spec);
                }
            }
            other => machines.left(
                entry.line,
                format!("{other}: {}", entry.node.shown()),
                format!(
                    "{title} itself is not installed from here: give it a reservation of its own"
                ),
            ),
        }
    }
}

fn machine(machines: &mut Machines, hypervisor: Option<&str>, spec: &Node) {
    let text = |key: &str| {
        spec.get(key)
            .and_then(Node::text)
            .map(str::trim)
            .filter(|text| !text.is_empty())
    };
    let (domain, hostname) = (text("name"), text("hostname"));
    let Some(wanted) = hostname.or(domain) else {
        machines.left(
            spec.line,
            format!("vmspec {}", spec.shown()),
            "it has neither `hostname` nor `name`: write whose it is",
        );
        return;
    };
    let Some(named) = machines.name(spec.line, wanted) else {
        return;
    };
    let mut host = HostDraft::new(named.name);
    host.fqdn = named.fqdn;
    let mut vm = Vm {
        hypervisor: hypervisor.map(str::to_owned),
        domain: domain
            .filter(|domain| *domain != host.name.as_str())
            .map(str::to_owned),
        ..Vm::default()
    };
    for entry in spec.entries() {
        let (line, node) = (entry.line, &entry.node);
        let number = |machines: &mut Machines, factor: f64| {
            let found = node.number().and_then(|number| whole(number * factor));
            if found.is_none() && !node.is_empty() {
                machines.left(
                    line,
                    format!("{}: {}", entry.key, node.shown()),
                    "this is no number that a machine can have",
                );
            }
            found
        };
        match entry.key.as_str() {
            "name" | "hostname" => {}
            "ipaddress" => {
                if let Some(text) = node.text().filter(|text| !text.trim().is_empty()) {
                    // Some write the length of the network's prefix behind it.
                    let address = text.split('/').next().unwrap_or_default();
                    host.ip = machines.address(line, address);
                }
            }
            "vcpus" => vm.vcpus = number(machines, 1.0),
            "memoryGb" => vm.memory_mib = number(machines, 1024.0),
            "maxMemoryGb" => vm.max_memory_mib = number(machines, 1024.0),
            "numDisks" => vm.disks = number(machines, 1.0),
            "diskSize" => vm.disk_gib = number(machines, 1.0),
            // Newer manifests may know it.
            "macaddress" | "mac" => {
                if let Some(text) = node.text().filter(|text| !text.trim().is_empty()) {
                    host.macs.extend(machines.mac(line, text));
                }
            }
            other => machines.left(
                line,
                format!("{other}: {}", node.shown()),
                format!(
                    "nothing is known of it here: where a template needs it, write it into [hosts.{}.vars]",
                    host.name
                ),
            ),
        }
    }
    if vm.max_memory_mib == vm.memory_mib {
        vm.max_memory_mib = None;
    }
    if let Some(disks) = vm.disks.filter(|disks| *disks > 1) {
        machines.left(
            spec.line,
            format!("{disks} disks of {}", host.name),
            format!(
                "an installer is to be told which one is the system's: write [hosts.{}.vars] disk = \"/dev/vda\"",
                host.name
            ),
        );
    }
    vm.write(&mut host.vars);
    machines.host(spec.line, host);
}

/// A number of something, not below zero and not beyond any machine.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is checked before"
)]
fn whole(number: f64) -> Option<u64> {
    (0.0..1e12).contains(&number).then(|| number.round() as u64)
}
