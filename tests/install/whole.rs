//! What is asked of a system that Debian's own installer has installed: by SSH, while it runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bootwright::journal::event::Event;

use crate::case::Case;
use crate::lab::Site;

/// What is looked at, by a name of its own.
const QUESTIONS: [(&str, &str); 15] = [
    ("name", "hostname; cat /etc/debian_version; uname -r"),
    ("root", "findmnt -n -o SOURCE,FSTYPE /"),
    (
        "mounts",
        "findmnt -l -n -o TARGET,SOURCE,FSTYPE,OPTIONS -t ext4,vfat",
    ),
    (
        "disks",
        "lsblk -l -n -o NAME,TYPE,FSTYPE,PARTTYPENAME,SIZE,MOUNTPOINTS",
    ),
    ("arrays", "cat /proc/mdstat 2>/dev/null || true"),
    (
        "volumes",
        "vgs --noheadings -o vg_name,vg_free 2>/dev/null; lvs --noheadings -o lv_name 2>/dev/null || true",
    ),
    ("swap", "swapon --noheadings --show=NAME,SIZE"),
    (
        "interfaces",
        "cat /etc/network/interfaces; ip -4 -brief address show scope global",
    ),
    (
        "secrets",
        "cat /root/.ssh/authorized_keys; grep ^root: /etc/shadow",
    ),
    (
        "clock",
        "readlink -f /etc/localtime; echo \"$LANG\"; cat /etc/default/locale",
    ),
    ("console", "cat /proc/cmdline; cat /etc/default/grub"),
    (
        "sources",
        "cat /etc/apt/sources.list; cat /etc/apt/sources.list.d/* 2>/dev/null || true",
    ),
    (
        "failed",
        "systemctl list-units --failed --plain --no-legend",
    ),
    (
        "packages",
        "dpkg-query -W -f '${Package} ${db:Status-Status}\\n' hello openssh-server wget qemu-guest-agent; dpkg --audit",
    ),
    (
        "firmware",
        "if [ -d /sys/firmware/efi ]; then efibootmgr; find /boot/efi -type f; fi",
    ),
];

/// Asks everything, and puts it down beside the console's log.
pub(crate) fn look(site: &Site, case: &Case) -> BTreeMap<&'static str, String> {
    let answers: BTreeMap<&str, String> = QUESTIONS
        .into_iter()
        .map(|(name, question)| (name, site.on_system(case.ip, question)))
        .collect();
    let mut text = String::new();
    for (name, question) in QUESTIONS {
        writeln!(text, "--- {name}: {question}\n{}", answers[name]).unwrap();
    }
    std::fs::write(site.last.join("system.txt"), text).unwrap();
    answers
}

/// What the profile and the host's variables ask for is there.
pub(crate) fn judge(system: &BTreeMap<&'static str, String>, case: &Case) {
    let has = |name: &str, words: &str| {
        assert!(
            system[name].contains(words),
            "{name} lacks `{words}`:\n{}",
            system[name]
        );
    };
    let (kind, _) = case.host.split_once('-').unwrap();
    has("name", &case.host);
    has("root", " ext4");
    match kind {
        "lvm" => {
            has("root", "/dev/mapper/");
            has("swap", "/dev/dm-");
            has("mounts", "/boot ");
        }
        "raid1" => {
            has("root", "/dev/md");
            has("swap", "/dev/md");
            assert_eq!(system["arrays"].matches("[UU]").count(), 2, "{system:#?}");
            // Either disk starts the machine.
            has("disks", "vda");
            has("disks", "vdb");
        }
        _ => {
            has("root", "/dev/vda");
            has("swap", "/dev/vda");
        }
    }
    if case.firmware.is_uefi() {
        has("mounts", "/boot/efi");
        has("firmware", "/boot/efi/EFI/debian/");
        // Found by a firmware that has forgotten its entries.
        has("firmware", "/boot/efi/EFI/BOOT/BOOTX64.EFI");
    }
    has("interfaces", "inet static");
    has("interfaces", &format!("address {}/24", case.ip));
    assert!(
        !system["interfaces"].contains("dhcp"),
        "{}",
        system["interfaces"]
    );
    has("secrets", "root:$6$insttest$");
    has("clock", "Europe/Oslo");
    has("clock", "en_US.UTF-8");
    has("console", "console=ttyS0,115200n8");
    assert!(
        !system["console"].contains("answers/"),
        "{}",
        system["console"]
    );
    has("sources", "/assets/trixie/debian");
    has("sources", "trixie-security");
    has("sources", "trixie-updates");
    for package in ["hello", "openssh-server", "wget", "qemu-guest-agent"] {
        has("packages", &format!("{package} installed"));
    }
    assert_eq!(system["failed"].trim(), "", "units have failed");
}

/// The installer took its components and its packages of the mirror, by the signed indices.
pub(crate) fn judge_the_mirror(events: &[Event]) {
    let fetched = |words: &str| crate::fetched_of(events, words);
    for component in [
        "partman-auto_",
        "bootstrap-base_",
        "grub-installer_",
        "finish-install_",
    ] {
        assert_eq!(fetched(&format!("/{component}")), 1, "{component}");
    }
    assert!(fetched("dists/trixie/Release.gpg") >= 1);
    assert!(fetched(".udeb") >= 40, "{}", fetched(".udeb"));
    assert!(fetched(".deb") >= 150, "{}", fetched(".deb"));
}
