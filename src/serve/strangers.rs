//! Machines without a reservation that were seen: who they are, where they are, since when.
//!
//! Who was seen once is on probation; who was seen again, a while later, is known. A flood of made-up addresses
//! is seen once each: it pushes out what is on probation, of the place that most of them come from first, and
//! nobody who is known. Of the known ones those go first that were seen the fewest times.
//!
//! The known ones are kept in `state_dir/unknown.json` ([`save`], [`load`]), so that a restart forgets none.
//!
//! **Invariant:** never more than [`MAX_KNOWN`] and [`MAX_NEW`] of them, whatever is sent; nothing here decides
//! what a machine gets.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{Architecture, FastHash, FastMap, HardwareAddr, Timestamp, Uuid};
use crate::config::Snapshot;
use crate::decide::{Arrival, Stage};
use crate::wire::dhcp::Request;
use crate::wire::dhcp::relay::port_of;

/// Name of the file in the state folder.
pub const FILE: &str = "unknown.json";

/// Machines that are known.
const MAX_KNOWN: usize = 4_096;

/// Machines that were seen once.
const MAX_NEW: usize = 16_384;

/// Of those that were seen once, so many are told of: a flood is no list of machines.
const NEW_TOLD: usize = 256;

/// How many known ones go at once when there are too many.
const GO_AT_ONCE: usize = 64;

/// Parts among which the places are spread that machines on probation came from.
const PARTS: usize = 64;

/// Seen again after this long, a machine is known: firmware that is not answered asks again within 1 to 4 s.
const AGAIN: Duration = Duration::from_millis(900);

/// A silence after which the next packet is another time: a boot's packets are one.
const APART: Duration = Duration::from_secs(60);

/// What was not seen for this long is forgotten.
const FORGET: Duration = Duration::from_secs(90 * 86_400);

/// Times from which on a machine is no better known than others.
const WELL_KNOWN: u32 = 8;

/// Longest text kept that a machine has sent, in characters.
const LONGEST: usize = 128;

/// Largest file that is read, in bytes.
const LARGEST: u64 = 32 << 20;

/// How often a machine's particulars are read again from its packets.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Where a machine was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The interface of this machine.
    pub iface: Arc<str>,
    /// The relay (`giaddr`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Ipv4Addr>,
    /// The link that the relay names, where it is another than its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Ipv4Addr>,
    /// The port that the relay names (option 82.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit: Option<String>,
    /// The switch that the relay names (option 82.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// The VLAN that the port's name tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// The number of relay, port and switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u64>,
}

/// A machine without a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// Its hardware address.
    pub mac: HardwareAddr,
    /// When it was first seen.
    pub first: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
    /// How many times: silences of a minute between them.
    pub times: u32,
    /// How many packets.
    pub packets: u64,
    /// Where it was last seen.
    pub place: Place,
    /// What it was when it was last seen to boot; else `os`.
    pub stage: String,
    /// Its firmware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// What it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<Architecture>,
    /// Its UUID (option 97), unless it is a placeholder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Its serial number, which only its loader tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// What it calls itself (options 81, 12).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address that it has or asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks_for: Option<Ipv4Addr>,
}

impl Stranger {
    /// How readily it is forgotten: the smallest first.
    fn standing(&self) -> (u32, Timestamp) {
        (self.times.min(WELL_KNOWN), self.last)
    }

    /// The subnet that it is in, as an index: of the link that its relay names, else its relay's, else the one that
    /// holds one of these addresses of its interface.
    pub fn subnet(&self, snapshot: &Snapshot, own: &[ipnet::Ipv4Net]) -> Option<usize> {
        let holding = |address: Ipv4Addr| {
            let mut subnets = snapshot.subnets.iter();
            subnets.position(|subnet| subnet.network.contains(&address))
        };
        if let Some(link) = self.place.link.or(self.place.relay) {
            return holding(link);
        }
        let is_here = |index: &usize| {
            let subnet = snapshot.subnets.get(*index);
            subnet.is_some_and(|subnet| own.iter().any(|own| subnet.network.contains(&own.addr())))
        };
        let asked = self.asks_for.and_then(holding).filter(is_here);
        asked.or_else(|| own.iter().find_map(|own| holding(own.addr())))
    }
}

/// The memory of them; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Strangers {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    known: FastMap<HardwareAddr, Stranger>,
    new: HashMap<HardwareAddr, (usize, Stranger)>,
    /// Who is on probation, by part and age. Who is no more is passed over.
    queues: Vec<VecDeque<HardwareAddr>>,
    /// How many of each part are on probation.
    counts: Vec<usize>,
    random: FastHash,
    /// Whether something is to be saved.
    changed: bool,
}

impl Strangers {
    /// Takes note of a packet of a machine without a reservation.
    pub fn note(&self, request: &Request, arrival: &Arrival, stage: Stage) {
        let mut table = self.lock();
        table.note(request.mac, arrival.at, || seen(request, arrival, stage));
    }

    /// Takes note of what a machine's loader tells of it.
    pub fn note_identity(&self, mac: HardwareAddr, uuid: Option<Uuid>, serial: Option<&str>) {
        let mut table = self.lock();
        let Table {
            known,
            new,
            changed,
            ..
        } = &mut *table;
        let found = known
            .get_mut(&mac)
            .or_else(|| new.get_mut(&mac).map(|(_, stranger)| stranger));
        let Some(stranger) = found else {
            return;
        };
        *changed = true;
        if let Some(uuid) = uuid.filter(|uuid| !uuid.is_placeholder()) {
            stranger.uuid = Some(uuid);
        }
        let serial = serial.map(str::trim).filter(|serial| !serial.is_empty());
        if let Some(serial) = serial {
            stranger.serial = Some(cut(serial));
        }
    }

    /// The known ones and those that have just come, whoever was seen last first. Those that have a reservation by now are forgotten.
    pub fn all(&self, is_reserved: impl Fn(HardwareAddr) -> bool, now: Timestamp) -> Vec<Stranger> {
        let mut table = self.lock();
        table.forget(is_reserved, now);
        let mut new: Vec<&Stranger> = table.new.values().map(|(_, stranger)| stranger).collect();
        new.sort_by_key(|stranger| std::cmp::Reverse(stranger.last));
        new.truncate(NEW_TOLD);
        let mut all: Vec<Stranger> = table.known.values().chain(new).cloned().collect();
        all.sort_by_key(|stranger| (std::cmp::Reverse(stranger.last), stranger.mac));
        all
    }

    /// Those that are to be saved, when something has changed since they were last asked for.
    pub fn unsaved(
        &self,
        is_reserved: impl Fn(HardwareAddr) -> bool,
        now: Timestamp,
    ) -> Option<Vec<Stranger>> {
        let mut table = self.lock();
        if !std::mem::take(&mut table.changed) {
            return None;
        }
        table.forget(is_reserved, now);
        let mut known: Vec<Stranger> = table.known.values().cloned().collect();
        known.sort_by_key(|stranger| stranger.mac);
        Some(known)
    }

    /// Saves them once more: the last time has failed.
    pub fn unsave(&self) {
        self.lock().changed = true;
    }

    /// Takes over what was saved.
    pub fn restore(&self, saved: Vec<Stranger>) {
        let mut table = self.lock();
        for stranger in saved.into_iter().take(MAX_KNOWN) {
            table.known.entry(stranger.mac).or_insert(stranger);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn note(&mut self, mac: HardwareAddr, at: Timestamp, look: impl FnOnce() -> Stranger) {
        if let Some(stranger) = self.known.get_mut(&mac) {
            refresh(stranger, at, look);
            self.changed = true;
            return;
        }
        if let Some((_, stranger)) = self.new.get_mut(&mac) {
            refresh(stranger, at, look);
            if stranger.last.since(stranger.first) >= AGAIN
                && let Some((part, stranger)) = self.new.remove(&mac)
            {
                self.uncount(part);
                self.make_room();
                self.known.insert(mac, stranger);
                self.changed = true;
            }
            return;
        }
        let stranger = look();
        let part = self.part(&stranger.place);
        if self.queues.is_empty() {
            self.queues.resize_with(PARTS, VecDeque::new);
            self.counts.resize(PARTS, 0);
        }
        while self.new.len() >= MAX_NEW && self.push_out() {}
        if let (Some(queue), Some(count)) = (self.queues.get_mut(part), self.counts.get_mut(part)) {
            // Those that are known by now, or forgotten, take no room for good.
            if queue.len() > *count * 2 + PARTS {
                let new = &self.new;
                queue.retain(|mac| new.contains_key(mac));
            }
            queue.push_back(mac);
            *count += 1;
            self.new.insert(mac, (part, stranger));
        }
    }

    fn part(&self, place: &Place) -> usize {
        let hash = self
            .random
            .hash_one((&place.iface, place.relay, place.port));
        let parts = u64::try_from(PARTS).unwrap_or(1);
        usize::try_from(hash % parts).unwrap_or_default()
    }

    fn uncount(&mut self, part: usize) {
        if let Some(count) = self.counts.get_mut(part) {
            *count = count.saturating_sub(1);
        }
    }

    /// Pushes out who has been on probation longest, of the part that has most. Whether somebody went.
    fn push_out(&mut self) -> bool {
        let fullest = self
            .counts
            .iter()
            .enumerate()
            .max_by_key(|(_, count)| **count);
        let Some((part, _)) = fullest else {
            return false;
        };
        while let Some(mac) = self.queues.get_mut(part).and_then(VecDeque::pop_front) {
            if self.new.get(&mac).is_some_and(|(of, _)| *of == part) {
                self.new.remove(&mac);
                self.uncount(part);
                return true;
            }
        }
        // Its count is wrong; nothing else is lost by that.
        if let Some(count) = self.counts.get_mut(part) {
            *count = 0;
        }
        false
    }

    /// Makes room for one more among the known.
    fn make_room(&mut self) {
        if self.known.len() < MAX_KNOWN {
            return;
        }
        let mut all: Vec<_> = self
            .known
            .values()
            .map(|stranger| (stranger.standing(), stranger.mac))
            .collect();
        let last = GO_AT_ONCE.min(all.len()).saturating_sub(1);
        all.select_nth_unstable(last);
        for (_, mac) in all.into_iter().take(last + 1) {
            self.known.remove(&mac);
        }
    }

    fn forget(&mut self, is_reserved: impl Fn(HardwareAddr) -> bool, now: Timestamp) {
        let stays =
            |stranger: &Stranger| !is_reserved(stranger.mac) && now.since(stranger.last) < FORGET;
        let before = self.known.len();
        self.known.retain(|_, stranger| stays(stranger));
        self.changed |= self.known.len() != before;
        let gone: Vec<(HardwareAddr, usize)> = self
            .new
            .iter()
            .filter(|(_, (_, stranger))| !stays(stranger))
            .map(|(mac, (part, _))| (*mac, *part))
            .collect();
        for (mac, part) in gone {
            self.new.remove(&mac);
            self.uncount(part);
        }
    }
}

/// Takes note that a machine was seen again.
fn refresh(stranger: &mut Stranger, at: Timestamp, look: impl FnOnce() -> Stranger) {
    let silence = at.since(stranger.last);
    stranger.packets = stranger.packets.saturating_add(1);
    if silence >= APART {
        stranger.times = stranger.times.saturating_add(1);
    }
    // A flood of one machine's packets tells the same each time. Firmware, iPXE and system come seconds apart.
    let is_early = stranger.packets > 16 && silence < LOOK_AGAIN;
    stranger.last = stranger.last.max(at);
    if is_early {
        return;
    }
    let now = look();
    stranger.place = now.place;
    if now.stage != OS || stranger.stage == OS {
        stranger.stage = now.stage;
    }
    let take = |old: &mut Option<String>, new: Option<String>| {
        if new.is_some() {
            *old = new;
        }
    };
    take(&mut stranger.firmware, now.firmware);
    take(&mut stranger.name, now.name);
    stranger.arch = now.arch.or(stranger.arch);
    stranger.uuid = now.uuid.or(stranger.uuid);
    stranger.asks_for = now.asks_for.or(stranger.asks_for);
}

const OS: &str = "os";

/// What one packet tells of its machine.
fn seen(request: &Request, arrival: &Arrival, stage: Stage) -> Stranger {
    let set = |address: Ipv4Addr| (!address.is_unspecified()).then_some(address);
    let relay = set(request.giaddr);
    let port = port_of(request);
    let (circuit, remote, vlan, id) = match port {
        Some(port) => (Some(port.circuit), port.remote, port.vlan, Some(port.id)),
        None => (None, None, None, None),
    };
    Stranger {
        mac: request.mac,
        first: arrival.at,
        last: arrival.at,
        times: 1,
        packets: 1,
        place: Place {
            iface: Arc::clone(&arrival.iface),
            relay,
            link: relay.and_then(|_| request.selected_link()),
            circuit,
            remote,
            vlan,
            port: id,
        },
        stage: stage.as_str().to_owned(),
        firmware: stage
            .firmware()
            .map(|firmware| firmware.as_str().to_owned()),
        arch: stage.architecture(),
        uuid: request.uuid().filter(|uuid| !uuid.is_placeholder()),
        serial: None,
        name: request
            .client_fqdn()
            .or_else(|| request.host_name())
            .map(|name| cut(&name)),
        asks_for: set(request.ciaddr).or_else(|| request.requested_address().and_then(set)),
    }
}

fn cut(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(LONGEST)
        .collect()
}

/// What is in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Saved<T> {
    format: u32,
    machines: T,
}

/// The form of the file.
const FORMAT: u32 = 1;

/// Writes them down: whole, or not at all.
pub fn save(path: &Path, strangers: &[Stranger]) -> io::Result<()> {
    let unfinished = path.with_extension("json.new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .open(&unfinished)?;
    let saved = Saved {
        format: FORMAT,
        machines: strangers,
    };
    file.write_all(&serde_json::to_vec(&saved)?)?;
    file.sync_data()?;
    std::fs::rename(&unfinished, path)
}

/// Reads them; none when there is no file.
pub fn load(path: &Path) -> io::Result<Vec<Stranger>> {
    let length = match std::fs::metadata(path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    if length > LARGEST {
        return Err(io::Error::other("it is too large to be what was written"));
    }
    let saved: Saved<Vec<Stranger>> = serde_json::from_slice(&std::fs::read(path)?)?;
    if saved.format != FORMAT {
        return Err(io::Error::other(format!(
            "it is of format {}, this version knows {FORMAT}",
            saved.format
        )));
    }
    Ok(saved.machines)
}

#[cfg(test)]
mod tests;
