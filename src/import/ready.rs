//! Which ready-made profile installs the system that another tool's file names.
//!
//! **Invariant:** a profile is named only when the text says distribution and version; anything else is the
//! operator's to choose.

use crate::base::ProfileName;

/// A system as other tools name it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct System<'a> {
    /// The distribution or its family: Cobbler's `breed`, libosinfo's first word.
    pub breed: &'a str,
    /// Its version or code name: `bookworm`, `rhel9`, `9.4`.
    pub version: &'a str,
    /// What people call it, which tells Rocky from Alma where `breed` does not.
    pub name: &'a str,
}

/// Words of a name that tell rebuilds of Red Hat's system apart, and the profiles' own word for each.
const REBUILDS: [(&str, &str); 5] = [
    ("alma", "alma"),
    ("rocky", "rocky"),
    ("stream", "centos-stream"),
    ("centos", "centos-stream"),
    ("fedora", "fedora"),
];

/// The code names of Debian and Ubuntu.
const CODE_NAMES: [(&str, &str); 7] = [
    ("bookworm", "debian-12"),
    ("trixie", "debian-13"),
    ("bionic", "ubuntu-18.04-legacy"),
    ("focal", "ubuntu-20.04-legacy"),
    ("jammy", "ubuntu-22.04"),
    ("noble", "ubuntu-24.04"),
    ("resolute", "ubuntu-26.04"),
];

/// The ready-made profile of a system; `None`: there is none, or the text does not say enough.
pub(super) fn profile(system: System<'_>) -> Option<ProfileName> {
    let breed = system.breed.to_ascii_lowercase();
    let version = system.version.to_ascii_lowercase();
    let name = system.name.to_ascii_lowercase();
    let found = match breed.as_str() {
        "debian" | "ubuntu" => deb(&breed, &version),
        "redhat" | "rhel" | "centos" | "centos-stream" | "almalinux" | "rocky" | "rockylinux"
        | "fedora" => red_hat(&breed, &version, &name),
        "suse" | "opensuse" | "sle" | "sles" => suse(&breed, &version),
        "vmware" | "esxi" => match major(&version) {
            Some((7 | 70..=79, _)) => Some("esxi-7".to_owned()),
            Some((8 | 80..=89, _)) => Some("esxi-8".to_owned()),
            _ => None,
        },
        "windows" | "microsoft" | "win" => windows(&version),
        _ => None,
    };
    found?.parse().ok()
}

fn deb(breed: &str, version: &str) -> Option<String> {
    let by_code = CODE_NAMES.iter().find(|(code, _)| version == *code);
    if let Some((_, profile)) = by_code {
        return Some((*profile).to_owned());
    }
    match (breed, major(version)?) {
        ("debian", (number @ (12 | 13), _)) => Some(format!("debian-{number}")),
        ("ubuntu", (year @ (18 | 20), Some(4))) => Some(format!("ubuntu-{year}.04-legacy")),
        ("ubuntu", (year @ (22 | 24 | 26), Some(4))) => Some(format!("ubuntu-{year}.04")),
        _ => None,
    }
}

fn red_hat(breed: &str, version: &str, name: &str) -> Option<String> {
    let (number, _) = major(version)?;
    let told = |text: &str| REBUILDS.iter().find(|(word, _)| text.contains(word));
    // `fedora43` and `rocky9` say it in the version, Cobbler's `rhel9` stands for every rebuild: its name tells.
    let which = told(breed)
        .or_else(|| told(version))
        .or_else(|| told(name))
        .map_or("rhel", |(_, profile)| profile);
    match (which, number) {
        ("fedora", 43) => Some("fedora-43".to_owned()),
        ("fedora", _) => None,
        // CentOS Linux 8, which was no Stream, is another system.
        ("centos-stream", 8)
            if ![breed, version, name]
                .iter()
                .any(|text| text.contains("stream")) =>
        {
            None
        }
        (which, 8..=10) => Some(format!("{which}-{number}")),
        _ => None,
    }
}

fn suse(breed: &str, version: &str) -> Option<String> {
    let (number, _) = major(version)?;
    let leap = breed == "opensuse" || version.contains("opensuse") || version.contains("leap");
    match (leap, number) {
        (true, 15 | 16) => Some(format!("leap-{number}")),
        (false, 15 | 16) => Some(format!("sles-{number}")),
        _ => None,
    }
}

fn windows(version: &str) -> Option<String> {
    let has = |text: &str| version.contains(text);
    if has("2025") || has("2k25") {
        Some("windows-server-2025".to_owned())
    } else if has("2022") || has("2k22") {
        Some("windows-server-2022".to_owned())
    } else if version == "11" || has("win11") {
        Some("windows-11".to_owned())
    } else {
        None
    }
}

/// The first number of a version, and the one after a dot: `rhel9`, `22.04`, `opensuse15.6`.
fn major(version: &str) -> Option<(u32, Option<u32>)> {
    let from = version.find(|c: char| c.is_ascii_digit())?;
    let rest = version.get(from..)?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (number, after) = rest.split_at(end);
    let minor = after.strip_prefix('.').map(|after| {
        let end = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        after.get(..end).unwrap_or_default().parse().ok()
    });
    Some((number.parse().ok()?, minor.flatten()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(breed: &str, version: &str, name: &str) -> Option<String> {
        profile(System {
            breed,
            version,
            name,
        })
        .map(|profile| profile.to_string())
    }

    #[test]
    fn systems_are_known_by_other_tools_names() {
        for (breed, version, name, expected) in [
            ("debian", "bookworm", "debian12-x86_64", "debian-12"),
            ("debian", "13", "", "debian-13"),
            ("ubuntu", "jammy", "", "ubuntu-22.04"),
            ("ubuntu", "20.04", "", "ubuntu-20.04-legacy"),
            ("redhat", "rhel9", "Rocky-9.4-x86_64", "rocky-9"),
            ("redhat", "rhel9", "AlmaLinux-9", "alma-9"),
            ("redhat", "rhel8", "centos8-stream", "centos-stream-8"),
            ("redhat", "rhel9", "prod", "rhel-9"),
            ("redhat", "fedora43", "", "fedora-43"),
            ("rocky", "10", "", "rocky-10"),
            ("suse", "sles15generic", "", "sles-15"),
            ("suse", "opensuse15.6", "", "leap-15"),
            ("vmware", "esxi70", "", "esxi-7"),
            ("vmware", "esxi8", "", "esxi-8"),
            ("microsoft", "win/2k22", "", "windows-server-2022"),
            ("windows", "11", "", "windows-11"),
        ] {
            assert_eq!(
                of(breed, version, name).as_deref(),
                Some(expected),
                "{breed} {version} {name}"
            );
        }
        for (breed, version) in [
            ("debian", "buster"),
            ("debian", ""),
            ("ubuntu", "22.10"),
            ("redhat", "rhel6"),
            ("fedora", "41"),
            ("suse", "sles12"),
            ("vmware", "esxi67"),
            ("generic", "generic26"),
            ("windows", "xp"),
        ] {
            assert_eq!(of(breed, version, ""), None, "{breed} {version}");
        }
    }

    #[test]
    fn every_profile_named_here_is_ready_made() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/profiles");
        let there = |name: &str| std::path::Path::new(&format!("{folder}/{name}.toml")).exists();
        for (_, profile) in CODE_NAMES {
            assert!(there(profile), "{profile}");
        }
        for (breed, versions) in [
            ("rhel", 8..=10),
            ("almalinux", 8..=10),
            ("rocky", 8..=10),
            ("centos-stream", 8..=10),
            ("fedora", 43..=43),
            ("sles", 15..=16),
            ("opensuse", 15..=16),
            ("esxi", 7..=8),
            ("windows", 11..=11),
            ("windows", 2022..=2022),
            ("windows", 2025..=2025),
        ] {
            for version in versions {
                let profile = of(breed, &version.to_string(), "").unwrap();
                assert!(there(&profile), "{profile}");
            }
        }
    }
}
