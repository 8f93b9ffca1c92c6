//! What was read, as text for snapshots: a line for each thing.

use std::fmt::{Display, Write as _};

use bootwright::config::draft::{GroupDraft, HostDraft};
use bootwright::import::{Imported, SubnetDraft};
use toml::Table;

/// All of it.
pub(crate) fn shown(imported: &Imported) -> String {
    let mut text = String::new();
    for subnet in &imported.subnets {
        line(&mut text, &of_subnet(subnet));
    }
    for group in &imported.groups {
        line(&mut text, &of_group(group));
    }
    for host in &imported.hosts {
        line(&mut text, &of_host(host));
    }
    for (firmware, file) in &imported.loaders {
        line(&mut text, &format!("loader {firmware} {file}"));
    }
    for left in &imported.left {
        line(
            &mut text,
            &format!(
                "{}:{} {}\n    {}",
                left.file, left.line, left.what, left.why
            ),
        );
    }
    text
}

fn line(text: &mut String, line: &str) {
    let _ = writeln!(text, "{line}");
}

/// `key=value`, where there is one.
fn say(text: &mut String, key: &str, value: Option<impl Display>) {
    if let Some(value) = value {
        let _ = write!(text, " {key}={value}");
    }
}

fn list<T: Display>(items: &[T]) -> Option<String> {
    (!items.is_empty()).then(|| items.iter().map(T::to_string).collect::<Vec<_>>().join(","))
}

fn options(text: &mut String, options: &Table) {
    for (name, value) in options {
        let _ = write!(text, "\n    {name} {value}");
    }
}

fn of_subnet(subnet: &SubnetDraft) -> String {
    let mut text = format!("subnet {} {}", subnet.name, subnet.network);
    say(&mut text, "router", subnet.router);
    say(&mut text, "dns", list(&subnet.dns));
    say(&mut text, "ntp", list(&subnet.ntp));
    say(&mut text, "domain", subnet.domain.as_ref());
    say(&mut text, "search", list(&subnet.dns_search));
    say(&mut text, "lease", subnet.lease_time);
    for (first, last) in &subnet.pools {
        say(&mut text, "pool", Some(format!("{first}-{last}")));
    }
    say(
        &mut text,
        "unknown",
        subnet.lease_unknown.then_some("lease"),
    );
    say(&mut text, "mode", subnet.proxy.then_some("proxy"));
    options(&mut text, &subnet.options);
    text
}

fn of_group(group: &GroupDraft) -> String {
    let mut text = format!("group {}", group.name);
    say(&mut text, "in", group.group.as_ref());
    say(&mut text, "profile", group.profile.as_ref());
    say(&mut text, "loader", group.loader.as_ref());
    options(&mut text, &group.options);
    options(&mut text, &group.vars);
    text
}

fn of_host(host: &HostDraft) -> String {
    let mut text = format!("host {}", host.name);
    say(&mut text, "mac", list(&host.macs));
    say(&mut text, "ip", host.ip);
    say(&mut text, "subnet", host.subnet.as_ref());
    say(&mut text, "group", host.group.as_ref());
    say(&mut text, "profile", host.profile.as_ref());
    say(&mut text, "fqdn", host.fqdn.as_ref());
    say(&mut text, "arch", host.arch.as_ref());
    say(&mut text, "uuid", host.uuid.as_ref());
    say(&mut text, "serial", host.serial.as_ref());
    say(&mut text, "loader", host.loader.as_ref());
    say(&mut text, "notes", host.notes.as_ref());
    for nic in &host.nics {
        let _ = write!(text, "\n    nic");
        say(&mut text, "mac", list(&nic.macs));
        say(&mut text, "ip", nic.ip);
        say(&mut text, "name", nic.name.as_ref());
    }
    options(&mut text, &host.options);
    options(&mut text, &host.vars);
    text
}
