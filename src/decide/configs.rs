//! The names under which GRUB and PXELINUX ask for their configuration, and whose it is (design
//! section 3).
//!
//! PXELINUX tries, in the folder `pxelinux.cfg` beside itself, the machine's UUID (where option 97 came
//! back), its hardware address with the type before it, its address in hexadecimal and that shortened
//! digit by digit, and `default`. GRUB tries the same after `grub.cfg-`, and `grub.cfg`, in the folder
//! that it was built for; GRUB as distributions sign it asks for `grub.cfg` alone. Any folder will do.
//!
//! **Invariant:** pure. What a name says never makes anybody another machine: it can only narrow down
//! which cards of the asking machine are meant, or be for somebody else.

use std::net::Ipv4Addr;

use super::http::{Peer, host_of};
use crate::base::{BootLoader, HardwareAddr, Timestamp, Uuid};
use crate::config::Snapshot;

/// A configuration that a boot loader asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigName {
    /// Which loader's.
    pub loader: BootLoader,
    /// Whose.
    pub whose: Whose,
}

/// Whose configuration a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// The machine with this hardware address.
    Mac(HardwareAddr),
    /// The machine with this UUID, in the order of bytes in which the loader writes it.
    Uuid(Uuid),
    /// The machines whose address in hexadecimal begins with these digits.
    Address(String),
    /// Whoever asks.
    Asker,
}

impl ConfigName {
    /// Reads a clean path; `None`: it is no such name.
    pub fn read(path: &str) -> Option<Self> {
        let (folder, file) = match path.rsplit_once('/') {
            Some((folders, file)) => (folders.rsplit('/').next().unwrap_or_default(), file),
            None => ("", path),
        };
        let (loader, suffix) = if folder.eq_ignore_ascii_case("pxelinux.cfg") {
            (BootLoader::Pxelinux, file)
        } else {
            // Firmware's own drivers write names in capital letters.
            let (name, rest) = file.split_at_checked("grub.cfg".len())?;
            if !name.eq_ignore_ascii_case("grub.cfg") {
                return None;
            }
            match rest.strip_prefix('-') {
                Some(suffix) => (BootLoader::Grub, suffix),
                None if rest.is_empty() => (BootLoader::Grub, ""),
                None => return None,
            }
        };
        let whose = match (loader, suffix) {
            (BootLoader::Grub, "") => Whose::Asker,
            (BootLoader::Pxelinux, name) if name.eq_ignore_ascii_case("default") => Whose::Asker,
            (_, suffix) => whose(suffix)?,
        };
        Some(Self { loader, whose })
    }
}

/// What a name says after its fixed part.
fn whose(text: &str) -> Option<Whose> {
    // With the hardware type before it: 01 is Ethernet (RFC 1700).
    if let Some(mac) = text.strip_prefix("01-").and_then(|mac| mac.parse().ok()) {
        return Some(Whose::Mac(mac));
    }
    if text.len() == 36
        && let Ok(uuid) = text.parse()
    {
        return Some(Whose::Uuid(uuid));
    }
    if (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(Whose::Address(text.to_ascii_uppercase()));
    }
    text.parse().ok().map(Whose::Mac)
}

/// The machine that a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// The one with this hardware address; that it is the one that asks is not said.
    Mac(HardwareAddr),
    /// One that is known by nothing.
    Stranger,
    /// There is nothing under this name: the loader goes on with its next one.
    None,
}

/// Finds the machine. `booted_at` is when a card was last heard from as firmware: of several cards with
/// one address it is the one that boots.
pub fn machine(
    name: &ConfigName,
    snapshot: &Snapshot,
    peer: Peer,
    booted_at: &dyn Fn(HardwareAddr) -> Option<Timestamp>,
) -> Machine {
    let by_address = || of_peer(snapshot, peer, booted_at);
    match &name.whose {
        Whose::Mac(mac) => Machine::Mac(*mac),
        Whose::Asker => by_address().map_or(Machine::Stranger, Machine::Mac),
        Whose::Address(digits) if !in_hexadecimal(peer.ip).starts_with(digits.as_str()) => {
            Machine::None
        }
        Whose::Address(_) | Whose::Uuid(_) => by_address().map_or(Machine::None, Machine::Mac),
    }
}

/// An address as PXELINUX and GRUB write it: `10.88.0.25` is `0A580019`.
pub fn in_hexadecimal(ip: Ipv4Addr) -> String {
    format!("{:08X}", u32::from(ip))
}

fn of_peer(
    snapshot: &Snapshot,
    peer: Peer,
    booted_at: &dyn Fn(HardwareAddr) -> Option<Timestamp>,
) -> Option<HardwareAddr> {
    let Some(host) = host_of(snapshot, peer) else {
        return peer.mac;
    };
    if let Some(mac) = peer.mac.filter(|mac| snapshot.host_by_mac(*mac).is_some()) {
        return Some(mac);
    }
    // The first one of those that were never heard.
    host.cards()
        .filter(|card| card.ip == Some(peer.ip))
        .flat_map(|card| card.macs.iter().copied())
        .rev_max(booted_at)
        .or_else(|| host.mac())
}

/// The first of the greatest.
trait FirstGreatest: Iterator<Item = HardwareAddr> + Sized {
    fn rev_max(self, key: &dyn Fn(HardwareAddr) -> Option<Timestamp>) -> Option<HardwareAddr> {
        self.fold(
            None,
            |best: Option<(HardwareAddr, Option<Timestamp>)>, mac| {
                let at = key(mac);
                match best {
                    Some((_, had)) if had >= at => best,
                    _ => Some((mac, at)),
                }
            },
        )
        .map(|(mac, _)| mac)
    }
}

impl<I: Iterator<Item = HardwareAddr>> FirstGreatest for I {}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn read(path: &str) -> Option<(BootLoader, Whose)> {
        ConfigName::read(path).map(|name| (name.loader, name.whose))
    }

    #[test]
    fn every_name_that_they_ask_for() {
        let mac = Whose::Mac(testing::WEB01.parse().unwrap());
        let uuid: Uuid = "e2e00000-0000-0000-0000-000000000001".parse().unwrap();
        let digits = |text: &str| Whose::Address(text.to_owned());
        let grub = |whose| Some((BootLoader::Grub, whose));
        let pxelinux = |whose| Some((BootLoader::Pxelinux, whose));
        for folder in [
            "",
            "grub/",
            "boot/grub/",
            "boot/grub2/",
            "EFI/BOOT/",
            "EFI/debian/",
            "grub/x86_64-efi/",
            "debian-installer/arm64/grub/",
        ] {
            let of = |name: &str| read(&format!("{folder}{name}"));
            assert_eq!(of("grub.cfg"), grub(Whose::Asker), "{folder}");
            assert_eq!(of("GRUB.CFG"), grub(Whose::Asker), "{folder}");
            assert_eq!(of("grub.cfg-01-52-54-00-47-86-8e"), grub(mac.clone()));
            assert_eq!(of("grub.cfg-52:54:00:47:86:8e"), grub(mac.clone()));
            assert_eq!(of("grub.cfg-0A63000B"), grub(digits("0A63000B")));
            assert_eq!(of("grub.cfg-0a63"), grub(digits("0A63")));
            assert_eq!(of(&format!("grub.cfg-{uuid}")), grub(Whose::Uuid(uuid)));
        }
        for folder in [
            "pxelinux.cfg/",
            "pxelinux/pxelinux.cfg/",
            "a/b/PXELINUX.CFG/",
        ] {
            let of = |name: &str| read(&format!("{folder}{name}"));
            assert_eq!(of("01-52-54-00-47-86-8e"), pxelinux(mac.clone()));
            assert_eq!(of("01-52-54-00-47-86-8E"), pxelinux(mac.clone()));
            assert_eq!(of(&uuid.to_string()), pxelinux(Whose::Uuid(uuid)));
            for length in 1..=8 {
                let shortened = &"0A63000B"[..length];
                assert_eq!(of(shortened), pxelinux(digits(shortened)));
            }
            assert_eq!(of("default"), pxelinux(Whose::Asker));
        }
        for other in [
            "grub/grub.cfg.bak",
            "grub.cfg-",
            "grub.cfg-0A63000B9",
            "grub.cfg-web01",
            "my-grub.cfg",
            "grub/x86_64-efi/command.lst",
            "pxelinux.cfg",
            "pxelinux.cfg/menu",
            "pxelinux.cfg/01-52-54",
            "pxelinux.cfg/x/default",
            "default",
            "",
            "grüb.cfg",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_narrows_down_and_never_widens() {
        let snapshot = testing::snapshot();
        let host = testing::host(&snapshot, "web01");
        let own: HardwareAddr = testing::WEB01.parse().unwrap();
        let ip = host.ip.unwrap();
        let of = |path: &str, peer: Peer| {
            let name = ConfigName::read(path).unwrap();
            machine(&name, &snapshot, peer, &|_| None)
        };
        let digits = in_hexadecimal(ip);
        assert_eq!(of("grub/grub.cfg", ip.into()), Machine::Mac(own));
        for length in 1..=8 {
            let path = format!("pxelinux.cfg/{}", &digits[..length]);
            assert_eq!(of(&path, ip.into()), Machine::Mac(own), "{path}");
        }
        assert_eq!(of("pxelinux.cfg/F", ip.into()), Machine::None);
        // Whoever it is has no say in who it is.
        let uuid = "pxelinux.cfg/00000000-0000-0000-0000-000000000009";
        assert_eq!(of(uuid, ip.into()), Machine::Mac(own));
        let other = "52:54:00:00:00:99".parse().unwrap();
        assert_eq!(
            of("pxelinux.cfg/01-52-54-00-00-00-99", ip.into()),
            Machine::Mac(other)
        );
        // Of a stranger only the last name is answered, so that it tries them all.
        let stranger = Peer::from(Ipv4Addr::new(10, 99, 0, 250));
        let all = in_hexadecimal(stranger.ip);
        assert_eq!(of(&format!("pxelinux.cfg/{all}"), stranger), Machine::None);
        assert_eq!(of(uuid, stranger), Machine::None);
        assert_eq!(of("pxelinux.cfg/default", stranger), Machine::Stranger);
        assert_eq!(of("grub/grub.cfg", stranger), Machine::Stranger);
        let leased = Peer {
            mac: Some(other),
            ..stranger
        };
        assert_eq!(of("grub/grub.cfg", leased), Machine::Mac(other));
    }

    #[test]
    fn of_several_ports_the_one_that_boots() {
        let mut host = (*testing::host(&testing::snapshot(), "web01")).clone();
        let first = host.macs[0];
        let second: HardwareAddr = "52:54:00:47:86:91".parse().unwrap();
        host.macs = vec![first, second].into();
        let snapshot = testing::changed(|hosts| hosts[0] = host.clone());
        let name = ConfigName::read("grub/grub.cfg").unwrap();
        let peer = host.ip.unwrap().into();
        let of = |seen: &dyn Fn(HardwareAddr) -> Option<Timestamp>| {
            machine(&name, &snapshot, peer, seen)
        };
        assert_eq!(of(&|_| None), Machine::Mac(first));
        let later = |mac| Some(Timestamp::from_secs(if mac == second { 9 } else { 5 }));
        assert_eq!(of(&later), Machine::Mac(second));
        let earlier = |mac| Some(Timestamp::from_secs(if mac == second { 1 } else { 5 }));
        assert_eq!(of(&earlier), Machine::Mac(first));
    }
}
