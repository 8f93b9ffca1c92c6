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
