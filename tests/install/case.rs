//! Which machine is installed: the short test's, or one of those that Debian's own installer installs.

use std::net::Ipv4Addr;

use bootwright::rehearse::qemu::GuestFirmware;

/// Names the machine of tests/install/whole that is installed; without it the short test's is.
const WHICH: &str = "INSTALL_TEST_HOST";

/// One installation.
#[derive(Debug)]
pub(crate) struct Case {
    /// The host's name.
    pub(crate) host: String,
    /// Its address.
    pub(crate) ip: Ipv4Addr,
    /// The hardware address of its card.
    pub(crate) mac: String,
    /// Its firmware.
    pub(crate) firmware: GuestFirmware,
    /// How many empty disks it has, and of how many bytes each; the files have holes.
    pub(crate) disks: (usize, u64),
    /// Its memory in MiB.
    pub(crate) memory: u32,
    /// Whether all components are the installer's own.
    pub(crate) is_whole: bool,
    /// The folder of its configuration, below tests/install.
    pub(crate) config: &'static str,
    /// What has to be among the boot files.
    pub(crate) mirror: &'static str,
}

impl Case {
    /// The one that the environment asks for.
    pub(crate) fn wanted() -> Self {
        std::env::var(WHICH).map_or_else(|_| Self::short(), |name| Self::whole(&name))
    }

    fn short() -> Self {
        Self {
            host: "box01".to_owned(),
            ip: Ipv4Addr::new(10, 99, 0, 11),
            mac: "52:54:00:47:86:8e".to_owned(),
            firmware: GuestFirmware::Bios,
            disks: (1, 2 << 30),
            memory: 1_024,
            is_whole: false,
            config: "config",
            mirror: "debian-mirror/base.tar",
        }
    }

    /// A machine of tests/install/whole/reservations.toml, by its name: KIND-FIRMWARE.
    fn whole(name: &str) -> Self {
        let text = include_str!("whole/reservations.toml");
        let all: toml::Table = text.parse().unwrap();
        let hosts = all["hosts"].as_table().unwrap();
        let Some(host) = hosts.get(name) else {
            let names: Vec<&str> = hosts.keys().map(String::as_str).collect();
            panic!("{WHICH}={name}: write one of {}", names.join(", "))
        };
        let (kind, firmware) = name.split_once('-').unwrap();
        Self {
            host: name.to_owned(),
            ip: host["ip"].as_str().unwrap().parse().unwrap(),
            mac: host["mac"].as_str().unwrap().to_owned(),
            firmware: if firmware == "uefi" {
                GuestFirmware::UefiX64
            } else {
                GuestFirmware::Bios
            },
            disks: (if kind == "raid1" { 2 } else { 1 }, 6 << 30),
            memory: 1_536,
            is_whole: true,
            config: "whole",
            mirror: "trixie/debian/dists/trixie/InRelease",
        }
    }

    /// What its firmware is called in events.
    pub(crate) fn stage(&self) -> &'static str {
        if self.firmware.is_uefi() {
            "uefi-x64"
        } else {
            "bios"
        }
    }
}
