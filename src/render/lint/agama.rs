//! Agama's profile (agama-project.github.io): what its schemas demand of all releases.
//!
//! A key that is not known here may be one of a newer release, and is doubtful; what refers to nothing, or has no
//! value that any release takes, is wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::json::read_object;
use super::tree::{self, Node};
use super::{Finding, shortened};
use crate::base::suggest;

/// The keys of Agama's profiles, of all its releases.
const AGAMA: &[&str] = &[
    "$schema",
    "access",
    "bootloader",
    "dasd",
    "files",
    "hostname",
    "iscsi",
    "l10n",
    "legacyAutoyastStorage",
    "localization",
    "network",
    "ntp",
    "product",
    "proxy",
    "questions",
    "root",
    "scripts",
    "security",
    "software",
    "storage",
    "user",
    "zfcp",
];

/// Further keys of some of these, of all releases.
const WITHIN: &[(&str, &[&str])] = &[
    (
        "bootloader",
        &[
            "stopOnBootMenu",
            "timeout",
            "extraKernelParams",
            "updateNvram",
        ],
    ),
    ("hostname", &["static", "transient"]),
    (
        "product",
        &[
            "id",
            "mode",
            "registrationCode",
            "registrationEmail",
            "registrationUrl",
            "addons",
        ],
    ),
    ("questions", &["policy", "answers"]),
    (
        "root",
        &[
            "password",
            "hashedPassword",
            "sshPublicKey",
            "sshPublicKeys",
        ],
    ),
    ("scripts", &["pre", "post", "postPartitioning", "init"]),
    (
        "software",
        &["patterns", "packages", "extraRepositories", "onlyRequired"],
    ),
    (
        "storage",
        &[
            "boot",
            "drives",
            "volumeGroups",
            "mdRaids",
            "btrfsRaids",
            "nfsMounts",
            "guided",
            "$schema",
        ],
    ),
];

/// What partitions may be marked as.
const PARTITION_IDS: &[&str] = &["linux", "swap", "lvm", "raid", "esp", "prep", "bios_boot"];

/// Kinds of tables of partitions.
const TABLES: &[&str] = &["gpt", "msdos", "dasd"];

/// An Agama profile.
pub(super) fn agama(text: &str) -> Vec<Finding> {
    let node = match read_object(text, "an Agama profile") {
        Ok(Some(node)) => node,
        Ok(None) => return Vec::new(),
        Err(findings) => return findings,
    };
    let mut findings = tree::twice(&node);
    for (key, value) in node.entries() {
        let Some(name) = key.text() else { continue };
        unknown(key, AGAMA, "an Agama profile", &mut findings);
        let within = WITHIN.iter().find(|(section, _)| *section == name);
        if let Some((section, known)) = within {
            for (key, _) in value.entries() {
                unknown(key, known, &format!("`{section}`"), &mut findings);
            }
        }
        if name == "product" && value.get("id").is_none() && value.entries().next().is_some() {
            findings.push(Finding::doubtful(value.line, "`product` has no `id`"));
        }
    }
    if let Some(user) = node.get("user") {
        for key in ["fullName", "userName", "password"] {
            if user.get(key).is_none() && user.entries().next().is_some() {
                findings.push(Finding::wrong(user.line, format!("`user` has no `{key}`")));
            }
        }
    }
    let scripts = node.get("scripts").into_iter().flat_map(Node::entries);
    for script in scripts.flat_map(|(_, list)| list.elements()) {
        let has_text = ["content", "body", "url"]
            .iter()
            .any(|key| script.get(key).is_some());
        if script.entries().next().is_some() && !(script.get("name").is_some() && has_text) {
            findings.push(Finding::wrong(
                script.line,
                "a script needs a `name`, and `content` or `url`",
            ));
        }
    }
    let repositories = node
        .get("software")
        .and_then(|software| software.get("extraRepositories"));
    for repository in repositories.into_iter().flat_map(Node::elements) {
        for key in ["alias", "url"] {
            if repository.get(key).is_none() {
                findings.push(Finding::wrong(
                    repository.line,
                    format!("a repository has no `{key}`"),
                ));
            }
        }
    }
    if let Some(storage) = node.get("storage") {
        storage_section(storage, &mut findings);
    }
    findings.sort_by_key(|finding| finding.line);
    findings
}

fn unknown(key: &Node, known: &[&str], of: &str, findings: &mut Vec<Finding>) {
    let Some(name) = key.text().filter(|name| !known.contains(name)) else {
        return;
    };
    let near = suggest::nearest(name, known.iter().copied());
    let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    let message = format!("{of} knows no `{}`{near}", shortened(name));
    findings.push(Finding::doubtful(key.line, message));
}

fn list<'n>(of: &'n Node, key: &str) -> &'n [Node] {
    of.get(key).map_or(&[], Node::elements)
}

/// Which devices there are by `alias`, and that whatever names one names one of these.
fn storage_section(storage: &Node, findings: &mut Vec<Finding>) {
    let (drives, raids) = (list(storage, "drives"), list(storage, "mdRaids"));
    let mut devices: Vec<&Node> = drives.iter().chain(raids).collect();
    for drive in drives.iter().chain(raids) {
        if let Some(table) = drive.get("ptableType") {
            word(table, TABLES, "a table of partitions", findings);
        }
        for partition in list(drive, "partitions") {
            if let Some(id) = partition.get("id") {
                word(id, PARTITION_IDS, "a partition", findings);
            }
            for key in ["delete", "deleteIfNeeded"] {
                if partition.get(key).is_some() && partition.get("search").is_none() {
                    findings.push(Finding::wrong(
                        partition.line,
                        format!("`{key}` of a partition needs a `search`"),
                    ));
                }
            }
            devices.push(partition);
        }
    }
    let groups = list(storage, "volumeGroups");
    for group in groups {
        devices.extend(list(group, "logicalVolumes"));
    }
    // Several devices may bear one: whatever names it means all of them.
    let aliases: BTreeSet<&str> = devices
        .iter()
        .filter_map(|device| device.get("alias")?.text())
        .collect();
    let mut named: Vec<&Node> = raids
        .iter()
        .flat_map(|raid| list(raid, "devices"))
        .collect();
    named.extend(
        groups
            .iter()
            .flat_map(|group| list(group, "physicalVolumes")),
    );
    if let Some(boot) = storage.get("boot") {
        if boot.get("configure").is_none() {
            findings.push(Finding::wrong(boot.line, "`boot` has no `configure`"));
        }
        named.extend(boot.get("device"));
    }
    for name in named {
        // Earlier releases took the names of devices there.
        if let Some(alias) = name.text().filter(|name| !name.starts_with('/'))
            && !aliases.contains(alias)
        {
            findings.push(Finding::wrong(
                name.line,
                format!("no device has the alias `{}`", shortened(alias)),
            ));
        }
    }
    let mut mounted: BTreeMap<String, usize> = BTreeMap::new();
    for device in devices {
        sizes(device, findings);
        let path = device
            .get("filesystem")
            .and_then(|system| system.get("path"));
        if let Some((path, text)) = path.and_then(|path| Some((path, path.text()?)))
            && text != "swap"
            && mounted.insert(text.to_owned(), path.line).is_some()
        {
            findings.push(Finding::wrong(
                path.line,
                format!("two file systems are mounted at `{}`", shortened(text)),
            ));
        }
    }
}

fn word(value: &Node, words: &[&str], what: &str, findings: &mut Vec<Finding>) {
    if let Some(text) = value.text().filter(|text| !words.contains(text)) {
        let message = format!(
            "`{}` is no kind of {what}: there are {}",
            shortened(text),
            words.join(", ")
        );
        findings.push(Finding::wrong(value.line, message));
    }
}

/// A size, or its least and most.
fn sizes(device: &Node, findings: &mut Vec<Finding>) {
    let Some(size) = device.get("size") else {
        return;
    };
    let limits = ["min", "max"].into_iter().filter_map(|key| size.get(key));
    for value in limits.chain(size.elements()).chain([size]) {
        if let Some(text) = value.text().filter(|text| !is_size(text)) {
            findings.push(Finding::wrong(
                value.line,
                format!("`{}` is no size, such as `8 GiB`", shortened(text)),
            ));
        }
    }
}

/// A number with or without a unit, or the device's present size.
fn is_size(text: &str) -> bool {
    if text == "current" {
        return true;
    }
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = text.get(..text.len() - digits.len()).unwrap_or_default();
    let mut unit = digits.trim_start().to_ascii_lowercase();
    if unit.ends_with('b') {
        unit.pop();
        if unit.ends_with('i') {
            unit.pop();
        }
    } else if !unit.is_empty() {
        return false;
    }
    number.parse::<f64>().is_ok()
        && (unit.is_empty() || unit.len() == 1 && "kmgtpezy".contains(unit.as_str()))
}
