//! An Ansible inventory in YAML: groups with their hosts, and what is known of a host's place; no variables, which may
//! be passwords.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use super::{HEADLINE, Left};
use crate::base::GroupName;
use crate::config::Snapshot;
use crate::config::snapshot::Host;

/// A group and what lies in it.
#[derive(Default)]
struct Group<'a> {
    hosts: Vec<&'a Arc<Host>>,
    children: BTreeSet<&'a GroupName>,
}

pub(super) fn write(snapshot: &Snapshot, left: &mut Vec<Left>) -> String {
    let mut groups: BTreeMap<&GroupName, Group<'_>> = BTreeMap::new();
    let mut roots: BTreeSet<&GroupName> = BTreeSet::new();
    let mut alone: Vec<&Arc<Host>> = Vec::new();
    for host in snapshot.hosts() {
        match host.groups.first() {
            Some(group) => groups.entry(group).or_default().hosts.push(host),
            None => alone.push(host),
        }
        for pair in host.groups.windows(2) {
            if let [inner, outer] = pair {
                groups.entry(inner).or_default();
                groups.entry(outer).or_default().children.insert(inner);
            }
        }
        roots.extend(host.groups.last());
    }
    let names = names(snapshot, groups.keys().copied(), left);
    let mut text = format!("# {HEADLINE}\nall:\n");
    if !alone.is_empty() {
        text.push_str("  hosts:\n");
        for host in alone {
            one(&mut text, snapshot, host, 4, left);
        }
    }
    if !roots.is_empty() {
        text.push_str("  children:\n");
        let mut tree = Tree {
            groups: &groups,
            names: &names,
            snapshot,
            left,
        };
        for root in roots {
            tree.group(&mut text, root, 4);
        }
    }
    if snapshot.hosts().is_empty() {
        text.push_str("  hosts: {}\n");
    }
    text
}

struct Tree<'a, 'l> {
    groups: &'l BTreeMap<&'a GroupName, Group<'a>>,
    names: &'l BTreeMap<&'a GroupName, String>,
    snapshot: &'a Snapshot,
    left: &'l mut Vec<Left>,
}

impl Tree<'_, '_> {
    fn group(&mut self, text: &mut String, name: &GroupName, indent: usize) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        let shown = self.names.get(name).map_or("", String::as_str);
        let _ = writeln!(text, "{:indent$}{}:", "", key(shown));
        if !group.hosts.is_empty() {
            let _ = writeln!(text, "{:indent$}  hosts:", "");
            for host in &group.hosts {
                one(text, self.snapshot, host, indent + 4, self.left);
            }
        }
        if !group.children.is_empty() {
            let _ = writeln!(text, "{:indent$}  children:", "");
            for child in &group.children {
                self.group(text, child, indent + 4);
            }
        }
    }
}

/// Names that Ansible takes for groups: letters, digits and `_`; none that it has itself, none of a host.
fn names<'a>(
    snapshot: &Snapshot,
    groups: impl Iterator<Item = &'a GroupName>,
    left: &mut Vec<Left>,
) -> BTreeMap<&'a GroupName, String> {
    let mut taken: BTreeSet<String> = ["all", "ungrouped"].map(str::to_owned).into();
    let mut names = BTreeMap::new();
    for group in groups {
        let mut name: String = group
            .as_str()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            name.insert(0, '_');
        }
        let is_host = |name: &str| {
            name.parse()
                .is_ok_and(|name| snapshot.host(&name).is_some())
        };
        while taken.contains(&name) || is_host(&name) {
            name.push('_');
        }
        if name != group.as_str() {
            left.push(Left {
                what: format!("group {group}"),
                why: format!(
                    "it is called {name}: Ansible takes letters, digits and `_`, and no name twice"
                ),
            });
        }
        taken.insert(name.clone());
        names.insert(group, name);
    }
    names
}

fn one(text: &mut String, snapshot: &Snapshot, host: &Host, indent: usize, left: &mut Vec<Left>) {
    let mut vars: Vec<(&str, String)> = Vec::new();
    match host.ip {
        Some(ip) => vars.push(("ansible_host", quoted(&ip.to_string()))),
        None => left.push(Left {
            what: format!("host {}", host.name),
            why: "it has no address: it gets no ansible_host, and is looked for by its name"
                .to_owned(),
        }),
    }
    if let Some(fqdn) = host.fqdn() {
        vars.push(("fqdn", quoted(&fqdn)));
    }
    let macs: Vec<String> = host
        .macs
        .iter()
        .map(|mac| quoted(&mac.to_string()))
        .collect();
    match macs.as_slice() {
        [] => {}
        [mac] => vars.push(("mac", mac.clone())),
        macs => {
            vars.push(("mac", macs.first().cloned().unwrap_or_default()));
            vars.push(("macs", format!("[{}]", macs.join(", "))));
        }
    }
    if let Some(subnet) = snapshot.subnet_of(host) {
        vars.push(("bootwright_subnet", quoted(subnet.name.as_str())));
    }
    if let Some(profile) = &host.profile {
        vars.push(("bootwright_profile", quoted(profile.as_str())));
    }
    if let Some(arch) = host.arch {
        vars.push(("bootwright_arch", quoted(arch.as_str())));
    }
    let nics: Vec<String> = host
        .nics
        .iter()
        .map(|nic| {
            let mut parts = Vec::new();
            let name = nic.name.as_ref().map(|name| ("name", name.clone()));
            let ip = nic.ip.map(|ip| ("ip", ip.to_string()));
            let mac = nic.macs.first().map(|mac| ("mac", mac.to_string()));
            for (key, value) in [name, mac, ip].into_iter().flatten() {
                parts.push(format!("{key}: {}", quoted(&value)));
            }
            format!("{{{}}}", parts.join(", "))
        })
        .collect();
    if !nics.is_empty() {
        vars.push(("bootwright_nics", format!("[{}]", nics.join(", "))));
    }
    if vars.is_empty() {
        let _ = writeln!(text, "{:indent$}{}: {{}}", "", key(host.name.as_str()));
        return;
    }
    let _ = writeln!(text, "{:indent$}{}:", "", key(host.name.as_str()));
    for (name, value) in vars {
        let _ = writeln!(text, "{:indent$}  {name}: {value}", "");
    }
}

/// A text as YAML reads it: JSON is YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A key: as it is, where YAML takes it for a text.
fn key(text: &str) -> String {
    const WORDS: [&str; 10] = [
        "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan",
    ];
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if is_plain {
        text.to_owned()
    } else {
        quoted(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_texts() {
        assert_eq!(key("web01"), "web01");
        for odd in ["no", "NULL", "0x10", "1e3", "12"] {
            assert_eq!(key(odd), format!("\"{odd}\""));
        }
    }
}
