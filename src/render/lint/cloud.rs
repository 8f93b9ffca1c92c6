//! cloud-init's user data and meta data, and in it subiquity's autoinstall
//! (canonical-subiquity.readthedocs-hosted.com, "Autoinstall configuration reference manual").

use super::tree::{Node, parse, twice};
use super::{Finding, shortened};
use crate::base::suggest;

/// The keys of `autoinstall`, over all releases.
const KEYS: &[&str] = &[
    "active-directory",
    "apt",
    "codecs",
    "debconf-selections",
    "drivers",
    "early-commands",
    "error-commands",
    "identity",
    "interactive-sections",
    "kernel",
    "kernel-crash-dumps",
    "keyboard",
    "late-commands",
    "locale",
    "network",
    "oem",
    "packages",
    "proxy",
    "refresh-installer",
    "reporting",
    "shutdown",
    "snaps",
    "source",
    "ssh",
    "storage",
    "timezone",
    "ubuntu-advantage",
    "ubuntu-pro",
    "updates",
    "user-data",
    "version",
    "zdevs",
];

/// What user data of other kinds begin with.
const OTHERS: &[&str] = &[
    "#!",
    "#include",
    "#cloud-boothook",
    "#cloud-config-archive",
    "#cloud-config-jsonp",
    "#part-handler",
    "## template:",
    "Content-Type:",
    "MIME-Version:",
    "From ",
];

/// User data: cloud-config, with an autoinstall or without one.
pub(super) fn user_data(text: &str) -> Vec<Finding> {
    if OTHERS.iter().any(|sign| text.starts_with(sign)) {
        return Vec::new();
    }
    let node = match parse(text) {
        Ok(Some(node)) => node,
        Ok(None) => return Vec::new(),
        Err(finding) => return vec![finding],
    };
    let mut findings = twice(&node);
    if node.is_no_map() {
        findings.push(Finding::wrong(
            node.line,
            "user data in YAML are a mapping, and this is none",
        ));
        return findings;
    }
    if let Some(autoinstall) = node.get("autoinstall") {
        if !text.starts_with("#cloud-config") {
            findings.push(
                Finding::doubtful(
                    1,
                    "it does not begin with `#cloud-config`, without which cloud-init takes no user data",
                )
                .help("make `#cloud-config` the first line"),
            );
        }
        check_autoinstall(autoinstall, &mut findings);
    }
    findings
}

fn check_autoinstall(autoinstall: &Node, findings: &mut Vec<Finding>) {
    if autoinstall.is_no_map() {
        findings.push(Finding::wrong(
            autoinstall.line,
            "`autoinstall` is a mapping, and this is none",
        ));
        return;
    }
    match autoinstall.get("version") {
        None => findings.push(
            Finding::wrong(autoinstall.line, "`autoinstall` has no `version`")
                .help("write `version: 1`"),
        ),
        Some(version) if version.text().is_some_and(|text| text != "1") => findings.push(
            Finding::wrong(
                version.line,
                "the `version` of `autoinstall` is 1, there is no other",
            )
            .help("write `version: 1`"),
        ),
        Some(_) => {}
    }
    for (key, value) in autoinstall.entries() {
        let Some(name) = key.text() else { continue };
        if !KEYS.contains(&name) {
            let near = suggest::nearest(name, KEYS.iter().copied());
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            findings.push(Finding::doubtful(
                key.line,
                format!("`autoinstall` knows no key `{}`{near}", shortened(name)),
            ));
        }
        if name.ends_with("-commands") && value.is_no_list() && !value.is_null() {
            findings.push(Finding::wrong(
                value.line,
                format!("`{name}` is a list of commands, and this is none"),
            ));
        }
    }
    let asks = autoinstall.get("interactive-sections").is_some();
    match autoinstall.get("identity") {
        Some(identity) => {
            for key in ["hostname", "username", "password"] {
                if identity.entries().next().is_some() && identity.get(key).is_none() {
                    findings.push(Finding::wrong(
                        identity.line,
                        format!("`identity` has no `{key}`"),
                    ));
                }
            }
        }
        None if autoinstall.get("user-data").is_none() && !asks => findings.push(
            Finding::doubtful(
                autoinstall.line,
                "`autoinstall` has neither `identity` nor `user-data`, and the installer asks for a user",
            )
            .help("give `identity` a host name, user name and password hash, or make users in `user-data`"),
        ),
        None => {}
    }
}

/// Meta data: a mapping with `instance-id`.
pub(super) fn meta_data(text: &str) -> Vec<Finding> {
    let node = match parse(text) {
        Ok(Some(node)) => node,
        // Nothing is written, which cloud-init takes.
        Ok(None) => return Vec::new(),
        Err(finding) => return vec![finding],
    };
    let mut findings = twice(&node);
    if node.is_no_map() && !node.is_null() {
        findings.push(Finding::wrong(
            node.line,
            "meta data are a mapping, and this is none",
        ));
    } else if node.get("instance-id").is_none() && node.entries().next().is_some() {
        findings.push(
            Finding::doubtful(
                node.line,
                "without `instance-id` cloud-init takes every start for one of the same instance",
            )
            .help("give `instance-id` the host's name"),
        );
    }
    findings
}
