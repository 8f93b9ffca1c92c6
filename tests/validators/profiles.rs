//! Which validators look at which answers of which profile.
//!
//! A further profile is an entry of [`PROFILES`]: its name, what it needs in `vars`, and the checks of each of
//! its answers. The hosts are the same for all (`hosts.rs`); one that a family cannot make, for a reason that
//! its `check` tells an operator too, is named in `without`.

/// A check of one answer. Each answer is looked at by the built-in linter besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// `debconf-set-selections --checkonly`; its commands are scripts of `sh`.
    Preseed,
    /// `ksvalidator` for this version, and the scripts of its sections.
    #[allow(dead_code, reason = "for the families that have it")]
    Kickstart(&'static str),
    /// `xmllint`, the structure of the profile, and its scripts.
    #[allow(dead_code, reason = "for the families that have it")]
    AutoYast,
    /// The structure of the profile, and its scripts.
    #[allow(dead_code, reason = "for the families that have it")]
    Agama,
    /// cloud-init's schema; that of subiquity's autoinstall as far as it is known here; its commands.
    #[allow(dead_code, reason = "for the families that have it")]
    UserData,
    /// `ignition-validate`, and the scripts among its files.
    #[allow(dead_code, reason = "for the families that have it")]
    Ignition,
    /// `xmllint`.
    #[allow(dead_code, reason = "for the families that have it")]
    Xml,
    /// Python's own parser.
    #[allow(dead_code, reason = "for the families that have it")]
    Json,
    /// PyYAML, which cloud-init and others read by.
    #[allow(dead_code, reason = "for the families that have it")]
    Yaml,
    /// Python's own parser.
    #[allow(dead_code, reason = "for the families that have it")]
    Toml,
    /// A script for any POSIX shell: `dash -n`, `busybox ash -n`, `shellcheck`.
    Sh,
    /// A script for bash: `bash -n`, `shellcheck`.
    #[allow(dead_code, reason = "for the families that have it")]
    Bash,
    /// Nothing that could be checked: free text.
    #[allow(dead_code, reason = "for the families that have it")]
    Text,
}

/// An entry.
#[derive(Debug)]
pub(crate) struct Profile {
    /// config/profiles/NAME.toml.
    pub(crate) name: &'static str,
    /// Lines of [defaults.vars] that it needs, in TOML.
    pub(crate) vars: &'static str,
    /// Every answer that it has, and its check.
    pub(crate) answers: &'static [(&'static str, Check)],
    /// Hosts of the range that it does not have.
    pub(crate) without: &'static [&'static str],
}

const DEBIAN: &[(&str, Check)] = &[
    ("preseed.cfg", Check::Preseed),
    ("install.sh", Check::Sh),
    ("postinstall.sh", Check::Sh),
];

pub(crate) const PROFILES: &[Profile] = &[
    Profile {
        name: "debian-12",
        vars: "",
        answers: DEBIAN,
        without: &[],
    },
    Profile {
        name: "debian-13",
        vars: "",
        answers: DEBIAN,
        without: &[],
    },
    // A script for strangers; it has no answers.
    Profile {
        name: "discovery",
        vars: "",
        answers: &[],
        without: &[],
    },
];
