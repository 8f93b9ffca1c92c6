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
    Kickstart(&'static str),
    /// `xmllint`, the structure of the profile, and its scripts.
    AutoYast,
    /// The structure of the profile, and its scripts.
    Agama,
    /// `xmllint`.
    Xml,
    /// Python's own parser.
    Toml,
    /// The scripts of its sections, which busybox runs.
    EsxiKickstart,
    /// cloud-init's schema; that of subiquity's autoinstall as far as it is known here; its commands.
    UserData,
    /// `ignition-validate`, and the scripts among its files.
    Ignition,
    /// Python's own parser.
    Json,
    /// PyYAML, which cloud-init and others read by.
    Yaml,
    /// A script for any POSIX shell: `dash -n`, `busybox ash -n`, `shellcheck`.
    Sh,
    /// Nothing that could be checked: free text.
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

/// The answers of a profile, each with its check.
type Answers = &'static [(&'static str, Check)];

const DEBIAN: Answers = &[
    ("preseed.cfg", Check::Preseed),
    ("install.sh", Check::Sh),
    ("postinstall.sh", Check::Sh),
];

const UBUNTU_LEGACY: Answers = &[
    ("preseed.cfg", Check::Preseed),
    ("install.sh", Check::Sh),
    ("netplan.yaml", Check::Yaml),
    ("postinstall.sh", Check::Sh),
];

const UBUNTU: Answers = &[
    ("user-data", Check::UserData),
    ("meta-data", Check::Yaml),
    ("vendor-data", Check::UserData),
    ("install.sh", Check::Sh),
    ("storage.yaml", Check::Yaml),
    ("netplan.yaml", Check::Yaml),
    ("postinstall.sh", Check::Sh),
];

const EL8: Answers = &[
    ("ks.cfg", Check::Kickstart("RHEL8")),
    ("install.sh", Check::Sh),
    ("postinstall.sh", Check::Sh),
];

const EL9: Answers = &[
    ("ks.cfg", Check::Kickstart("RHEL9")),
    ("install.sh", Check::Sh),
    ("postinstall.sh", Check::Sh),
];

const EL10: Answers = &[
    ("ks.cfg", Check::Kickstart("RHEL10")),
    ("install.sh", Check::Sh),
    ("postinstall.sh", Check::Sh),
];

const FEDORA_43: Answers = &[
    ("ks.cfg", Check::Kickstart("F43")),
    ("install.sh", Check::Sh),
    ("postinstall.sh", Check::Sh),
];

const AUTOYAST: Answers = &[
    ("autoinst.xml", Check::AutoYast),
    ("install.sh", Check::Sh),
    ("postinstall.sh", Check::Sh),
];

const AGAMA: Answers = &[
    ("install.sh", Check::Sh),
    ("agama.json", Check::Agama),
    ("postinstall.sh", Check::Sh),
];

const ESXI: Answers = &[("boot.cfg", Check::Text), ("ks.cfg", Check::EsxiKickstart)];

/// What ESXi cannot be installed without.
const ESXI_VARS: &str = "esxi_modules = \"b.b00 --- jumpstrt.gz\"\nroot_password_hash = \"$6$salt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/\"";

/// What Proxmox VE cannot be installed without.
const PROXMOX_VARS: &str = "disk = \"/dev/sda\"\nroot_password_hash = \"$6$salt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/\"";

const PROXMOX: Answers = &[("answer.toml", Check::Toml), ("first-boot.sh", Check::Sh)];

const ALPINE: Answers = &[("install.sh", Check::Sh), ("postinstall.sh", Check::Sh)];

const IGNITION: Answers = &[
    ("live.ign", Check::Ignition),
    ("target.ign", Check::Ignition),
];

const WINDOWS: Answers = &[
    ("autounattend.xml", Check::Xml),
    ("winpeshl.ini", Check::Text),
    ("install.bat", Check::Text),
    ("up.cmd", Check::Text),
];

/// What Windows cannot be installed without.
const WINDOWS_VARS: &str = "root_password_secret = \"nasty\"";

/// An entry without peculiarities.
const fn profile(name: &'static str, answers: Answers) -> Profile {
    Profile {
        name,
        vars: "",
        answers,
        without: &[],
    }
}

/// The profiles, by their families.
pub(crate) const PROFILES: &[Profile] = &[
    profile("debian-12", DEBIAN),
    profile("debian-13", DEBIAN),
    profile("ubuntu-18.04-legacy", UBUNTU_LEGACY),
    profile("ubuntu-20.04-legacy", UBUNTU_LEGACY),
    profile("ubuntu-22.04", UBUNTU),
    profile("ubuntu-24.04", UBUNTU),
    profile("ubuntu-26.04", UBUNTU),
    profile("rhel-8", EL8),
    profile("rhel-9", EL9),
    profile("rhel-10", EL10),
    profile("alma-8", EL8),
    profile("alma-9", EL9),
    profile("alma-10", EL10),
    profile("rocky-8", EL8),
    profile("rocky-9", EL9),
    profile("rocky-10", EL10),
    profile("centos-stream-8", EL8),
    profile("centos-stream-9", EL9),
    profile("centos-stream-10", EL10),
    profile("fedora-43", FEDORA_43),
    profile("leap-15", AUTOYAST),
    profile("sles-15", AUTOYAST),
    profile("leap-16", AGAMA),
    profile("sles-16", AGAMA),
    Profile {
        vars: ESXI_VARS,
        ..profile("esxi-7", ESXI)
    },
    Profile {
        vars: ESXI_VARS,
        ..profile("esxi-8", ESXI)
    },
    Profile {
        vars: "platform = \"20260416T000037Z\"",
        ..profile("smartos", &[])
    },
    Profile {
        vars: "platform = \"20260416T000037Z\"\nroot_password_secret = \"nasty\"",
        ..profile("smartos-setup", &[("answers.json", Check::Json)])
    },
    // Its installer has one name for the volume group.
    Profile {
        without: &["lvm"],
        ..profile("alpine-3.21", ALPINE)
    },
    Profile {
        without: &["lvm"],
        ..profile("alpine-3.22", ALPINE)
    },
    // Images that are written as they are.
    Profile {
        without: &["lvm", "largest"],
        ..profile("fedora-coreos", IGNITION)
    },
    Profile {
        without: &["lvm", "largest", "raid", "raid-any"],
        ..profile("flatcar", IGNITION)
    },
    // Its installer has one name for the volume group, needs a full name of the host, and is told its disks.
    Profile {
        vars: PROXMOX_VARS,
        without: &["lvm", "raid-any", "bare", "guest"],
        ..profile("proxmox-ve-8", PROXMOX)
    },
    Profile {
        vars: PROXMOX_VARS,
        without: &["lvm", "raid-any", "bare", "guest"],
        ..profile("proxmox-ve-9", PROXMOX)
    },
    // Its installer asks for the disk, and knows one.
    Profile {
        vars: "disk = \"/dev/sda\"\ncluster = \"lab\"\nendpoint = \"https://10.99.0.9:6443\"",
        ..profile("talos", &[("machine.yaml", Check::Yaml)])
    },
    Profile {
        vars: "image = \"rescue\"",
        ..profile("ramdisk", &[])
    },
    Profile {
        vars: WINDOWS_VARS,
        ..profile("windows-11", WINDOWS)
    },
    Profile {
        vars: WINDOWS_VARS,
        ..profile("windows-server-2022", WINDOWS)
    },
    Profile {
        vars: WINDOWS_VARS,
        ..profile("windows-server-2025", WINDOWS)
    },
    profile("memtest", &[]),
    profile(
        "rescue",
        &[
            ("preseed.cfg", Check::Preseed),
            ("authorized_keys", Check::Text),
        ],
    ),
    profile("rescue-live", &[("autorun", Check::Sh)]),
    profile("menu", &[]),
    // A script for strangers.
    profile("discovery", &[]),
];
