//! Kickstart files (pykickstart.readthedocs.io): commands, and sections that `%end` closes.

use std::collections::BTreeMap;

use super::{Finding, shortened};
use crate::base::suggest;

/// Sections whose lines are a script's, up to `%end` whatever they say.
const SCRIPTS: &[&str] = &[
    "%pre",
    "%pre-install",
    "%post",
    "%onerror",
    "%traceback",
    "%certificate",
    "%addon",
    "%anaconda",
];

const PACKAGES: &str = "%packages";

/// The commands of Red Hat Enterprise Linux 7 to 10 and of Fedora of those years.
const COMMANDS: &[&str] = &[
    "auth",
    "authconfig",
    "authselect",
    "autopart",
    "autostep",
    "bootc",
    "bootloader",
    "btrfs",
    "cdrom",
    "clearpart",
    "cmdline",
    "device",
    "deviceprobe",
    "dmraid",
    "driverdisk",
    "eula",
    "fcoe",
    "firewall",
    "firstboot",
    "graphical",
    "group",
    "halt",
    "harddrive",
    "hmc",
    "ignoredisk",
    "install",
    "interactive",
    "iscsi",
    "iscsiname",
    "keyboard",
    "lang",
    "liveimg",
    "logging",
    "logvol",
    "mediacheck",
    "method",
    "module",
    "mount",
    "multipath",
    "network",
    "nfs",
    "nvdimm",
    "ostreecontainer",
    "ostreesetup",
    "part",
    "partition",
    "poweroff",
    "raid",
    "rdp",
    "realm",
    "reboot",
    "repo",
    "reqpart",
    "rescue",
    "rhsm",
    "rootpw",
    "selinux",
    "services",
    "shutdown",
    "skipx",
    "snapshot",
    "sshkey",
    "sshpw",
    "stratisfs",
    "stratispool",
    "syspurpose",
    "text",
    "timesource",
    "timezone",
    "unsupported_hardware",
    "updates",
    "upgrade",
    "url",
    "user",
    "vnc",
    "volgroup",
    "xconfig",
    "zerombr",
    "zfcp",
    "zipl",
];

/// Commands of which the last one silently wins.
const ONCE: &[&str] = &[
    "autopart",
    "bootloader",
    "clearpart",
    "keyboard",
    "lang",
    "rootpw",
    "selinux",
    "timezone",
    "url",
];

/// What Anaconda asks for when none of these is there, and what it asks.
const NEEDED: &[(&[&str], &str)] = &[
    (
        &[
            "autopart",
            "part",
            "partition",
            "raid",
            "volgroup",
            "logvol",
            "btrfs",
            "mount",
            "bootc",
        ],
        "how the disk is partitioned (`autopart`, `part`)",
    ),
    (
        &["rootpw", "user", "sshkey"],
        "who may log in (`rootpw`, `user`)",
    ),
    (&["timezone"], "the time zone (`timezone`)"),
];

pub(super) fn check(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut keys: BTreeMap<String, usize> = BTreeMap::new();
    // The section that is open, and its line.
    let mut open: Option<(&str, usize)> = None;
    let mut includes = false;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let Some(word) = line.split_whitespace().next() else {
            continue;
        };
        if let Some((section, since)) = open {
            if word == "%end" {
                open = None;
            } else if section == PACKAGES && (word == PACKAGES || SCRIPTS.contains(&word)) {
                findings.push(not_closed(section, since));
                open = Some((word, number));
            }
            continue;
        }
        if word.starts_with('#') {
            continue;
        }
        match word {
            "%include" | "%ksappend" => includes = true,
            "%end" => findings.push(
                Finding::wrong(number, "`%end` closes a section, and none is open")
                    .help("take the line away, or see whether a section was closed before it was meant to be"),
            ),
            section if section.starts_with('%') => {
                if section != PACKAGES && !SCRIPTS.contains(&section) {
                    let known = SCRIPTS.iter().copied().chain([PACKAGES]);
                    let near = suggest::nearest(section, known)
                        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                    findings.push(Finding::wrong(
                        number,
                        format!("there is no section `{}`{near}", shortened(section)),
                    ));
                }
                open = Some((section, number));
            }
            command => {
                if !COMMANDS.contains(&command) {
                    let near = suggest::nearest(command, COMMANDS.iter().copied())
                        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                    findings.push(Finding::doubtful(
                        number,
                        format!("kickstart knows no command `{}`{near}", shortened(command)),
                    ));
                }
                if let Some(first) = seen.get(command).filter(|_| ONCE.contains(&command)) {
                    findings.push(
                        Finding::doubtful(
                            number,
                            format!("`{command}` stands in line {first} too, and this one wins"),
                        )
                        .help("take one of the two away"),
                    );
                }
                seen.entry(command).or_insert(number);
                if command == "sshkey"
                    && let Some(user) = user_of(line)
                    && let Some(first) = keys.insert(user, number)
                {
                    findings.push(
                        Finding::wrong(
                            number,
                            format!("`sshkey` for the same user stands in line {first}, and one is the most"),
                        )
                        .help("write further keys into authorized_keys in %post"),
                    );
                }
            }
        }
    }
    if let Some((section, since)) = open {
        findings.push(not_closed(section, since));
    }
    // What is included may hold what seems to be missing.
    if !includes && !text.trim().is_empty() {
        for (commands, what) in NEEDED {
            if !commands.iter().any(|command| seen.contains_key(command)) {
                findings.push(Finding::doubtful(
                    1,
                    format!("nothing says {what}, and the installer waits for an answer"),
                ));
            }
        }
    }
    findings
}

fn not_closed(section: &str, since: usize) -> Finding {
    Finding::wrong(
        since,
        format!("the section `{}` has no `%end`", shortened(section)),
    )
    .help("close it with a line `%end`")
}

/// The user of `sshkey --username=NAME KEY` or `--username NAME`.
fn user_of(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let word = words.find(|word| word.starts_with("--username"))?;
    let name = match word.split_once('=') {
        Some((_, name)) => name,
        None => words.next()?,
    };
    Some(name.trim_matches(['"', '\'']).to_owned())
}
