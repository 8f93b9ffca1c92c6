//! What was seen of machines since the start: in memory, bounded, never an authority.
//!
//! It tells a further boot from a script asked for twice, fills in what a script request does not
//! tell (architecture, UUID), counts the loaders that a machine fetches in vain, and keeps a stranger from being announced with each packet. What a MAC
//! did before never decides what a DHCP packet is taken for.
//!
//! **Invariant:** reserved machines are never pushed out by strangers, and neither map grows beyond
//! its bound.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::{Architecture, Firmware, HardwareAddr, Timestamp, Uuid, has_extension};
use crate::config::snapshot::Host;
use crate::decide::Stage;
use crate::decide::cards::{Held, Holding};
use crate::decide::delivery::Delivery;
use crate::decide::loops::{Fetches, LoopGuard};
use crate::record::Record;
use crate::serve::bounded::Bounded;
use crate::serve::conflicts::Conflicts;
use crate::serve::heard::Watch;
use crate::serve::strangers::Strangers;
use crate::serve::transfers::Transfers;

/// Reserved machines remembered.
const MAX_HOSTS: usize = 200_000;

/// Strangers remembered.
const MAX_STRANGERS: usize = 4_096;

/// Relays that nobody configured told of within [`UNKNOWN_AGAIN`].
const MAX_RELAYS: usize = 64;

/// A stranger is announced again after this long.
const UNKNOWN_AGAIN: Duration = Duration::from_secs(600);

/// How long an address is believed to be that of the machine which last said so. Whoever is given it
/// next says so too; this is for one that was not heard.
const ADDRESS_KNOWN: Duration = Duration::from_secs(12 * 3_600);

/// What was seen of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When its last DHCP packet came.
    pub dhcp_at: Timestamp,
    /// When its last DHCP packet of firmware or iPXE came.
    pub boot_dhcp_at: Option<Timestamp>,
    /// When its last DHCP packet of iPXE came, whatever that one posed as.
    pub ipxe_at: Option<Timestamp>,
    /// What it was when it last said so.
    pub stage: Stage,
    /// Its firmware, as its boot packets tell.
    pub firmware: Option<Firmware>,
    /// What it runs, as its boot packets tell.
    pub architecture: Option<Architecture>,
    /// Its UUID, of option 97.
    pub uuid: Option<Uuid>,
    /// How offers to it have fared.
    pub delivery: Delivery,
    /// The number of the switch port that it was last seen at, where a relay told (option 82); of hosts only.
    pub port: Option<NonZeroU64>,
}

/// One DHCP packet, as far as it is remembered.
#[derive(Debug, Clone, Copy)]
pub struct Sighting {
    /// Who.
    pub mac: HardwareAddr,
    /// Whether a reservation has this MAC.
    pub reserved: bool,
    /// When.
    pub at: Timestamp,
    /// How far it is.
    pub stage: Stage,
    /// Whether iPXE sent it, even one that poses as firmware.
    pub is_ipxe: bool,
    /// Option 97.
    pub uuid: Option<Uuid>,
    /// How offers to it have fared, when that has changed.
    pub delivery: Option<Delivery>,
    /// The number of the switch port that its relay names, of a host.
    pub port: Option<u64>,
}

/// The memory; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    inner: Arc<Mutex<Inner>>,
    others: Watch,
    transfers: Transfers,
    strangers: Strangers,
    conflicts: Conflicts,
}

#[derive(Debug, Default)]
struct Inner {
    hosts: Bounded<Machine>,
    strangers: Bounded<Machine>,
    announced: Bounded<Timestamp>,
    /// Relays that nobody configured, and when each was told of.
    relays: HashMap<Ipv4Addr, Timestamp>,
    /// Which port holds an address that several of its host may have, and until when at most.
    holders: HashMap<Ipv4Addr, (HardwareAddr, Timestamp)>,
    /// The address that each machine says is its own, and back, with the time at which it last did.
    addresses: Bounded<Ipv4Addr>,
    by_address: HashMap<Ipv4Addr, (HardwareAddr, Timestamp)>,
    /// The loader that was named last, to any machine: most of them are named the same.
    last_named: Option<Arc<str>>,
}

/// What is remembered of one machine: in one place, for each packet asks for it.
#[derive(Debug, Clone, Default)]
struct Machine {
    seen: Option<Seen>,
    loading: Option<Loading>,
}

/// What firmware was named to load, and how that went.
#[derive(Debug, Clone)]
struct Loading {
    /// The loader, as a path under `boot_assets`.
    named: Arc<str>,
    /// When it was named last.
    named_at: Timestamp,
    /// Of the few machines that have fetched it since they last asked for their script.
    fetches: Option<Box<Fetches>>,
}

impl Memory {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was heard of other DHCP servers.
    pub const fn others(&self) -> &Watch {
        &self.others
    }

    /// Machines without a reservation that were seen.
    pub const fn strangers(&self) -> &Strangers {
        &self.strangers
    }

    /// Reserved addresses that somebody else has.
    pub const fn conflicts(&self) -> &Conflicts {
        &self.conflicts
    }

    /// The transfers that are under way.
    pub const fn transfers(&self) -> &Transfers {
        &self.transfers
    }

    /// Takes note of a DHCP packet.
    pub fn note_dhcp(&self, sighting: Sighting) {
        let Sighting {
            mac,
            reserved,
            at,
            stage,
            is_ipxe,
            uuid,
            delivery,
            port,
        } = sighting;
        let mut inner = self.lock();
        let Inner {
            hosts, strangers, ..
        } = &mut *inner;
        let (machine, otherwise) = if reserved {
            (hosts.entry(mac, MAX_HOSTS), strangers)
        } else {
            (strangers.entry(mac, MAX_STRANGERS), hosts)
        };
        let Some(machine) = machine else {
            return;
        };
        // A stranger becomes a host, or the other way round: nothing old stays behind that would be found first.
        if machine.seen.is_none()
            && let Some(earlier) = otherwise.get_mut(mac)
            && !earlier.is_empty()
        {
            *machine = std::mem::take(earlier);
        }
        let before = machine.seen;
        let boot = stage.is_boot();
        machine.seen = Some(Seen {
            dhcp_at: at,
            boot_dhcp_at: if boot {
                Some(at)
            } else {
                before.and_then(|seen| seen.boot_dhcp_at)
            },
            ipxe_at: if is_ipxe {
                Some(at)
            } else {
                before.and_then(|seen| seen.ipxe_at)
            },
            stage,
            firmware: stage
                .firmware()
                .or_else(|| before.and_then(|seen| seen.firmware)),
            architecture: stage
                .architecture()
                .or_else(|| before.and_then(|seen| seen.architecture)),
            uuid: uuid
                .filter(|uuid| !uuid.is_placeholder())
                .or_else(|| before.and_then(|seen| seen.uuid)),
            delivery: delivery
                .or_else(|| before.map(|seen| seen.delivery))
                .unwrap_or_default(),
            port: port
                .and_then(NonZeroU64::new)
                .or_else(|| before.and_then(|seen| seen.port)),
        });
        if matches!(stage, Stage::Ipxe { .. })
            && let Some(loading) = &mut machine.loading
        {
            loading.fetches.get_or_insert_default().ran = true;
        }
    }

    /// Takes note of the address that a machine says is its own; the last one who says so has it. Only
    /// where `learn` is set may it get one: whatever else is said can take an address away, and show that
    /// its machine has it still.
    pub fn note_address(&self, mac: HardwareAddr, address: Ipv4Addr, learn: bool, now: Timestamp) {
        let mut inner = self.lock();
        if !learn {
            match inner.by_address.get_mut(&address) {
                Some((holder, at)) if *holder == mac => *at = now,
                Some(_) => {
                    inner.by_address.remove(&address);
                }
                None => {}
            }
            return;
        }
        let before = inner.addresses.get(mac).copied();
        if let Some(before) = before.filter(|before| *before != address)
            && inner
                .by_address
                .get(&before)
                .is_some_and(|(holder, _)| *holder == mac)
        {
            inner.by_address.remove(&before);
        }
        match inner.addresses.get_mut(mac) {
            Some(known) => *known = address,
            None => inner.addresses.insert(mac, address, MAX_HOSTS),
        }
        inner.by_address.insert(address, (mac, now));
        if inner.by_address.len() > MAX_HOSTS {
            let Inner {
                addresses,
                by_address,
                ..
            } = &mut *inner;
            by_address.retain(|address, (mac, at)| {
                addresses.get(*mac) == Some(address) && now.since(*at) < ADDRESS_KNOWN
            });
        }
    }

    /// The machine that last said that this address is its own, for as long as that is to be believed.
    pub fn mac_of(&self, address: Ipv4Addr, now: Timestamp) -> Option<HardwareAddr> {
        let (mac, at) = *self.lock().by_address.get(&address)?;
        (now.since(at) < ADDRESS_KNOWN).then_some(mac)
    }

    /// What was seen of a machine.
    pub fn get(&self, mac: HardwareAddr) -> Option<Seen> {
        self.lock().get(mac)
    }

    /// How offers to a machine have fared.
    pub fn delivery(&self, mac: HardwareAddr) -> Delivery {
        self.get(mac).map(|seen| seen.delivery).unwrap_or_default()
    }

    /// Takes note of what becomes of an address that several ports of a host may have.
    pub fn note_holding(&self, holding: Holding, now: Timestamp) {
        let mut inner = self.lock();
        match holding {
            Holding::Left(ip) => {
                inner.holders.remove(&ip);
            }
            Holding::Taken { held, lease } => {
                if inner.holders.len() >= MAX_HOSTS {
                    inner.holders.retain(|_, (_, until)| *until > now);
                }
                if inner.holders.len() < MAX_HOSTS {
                    inner.holders.insert(held.ip, (held.mac, now.plus(lease)));
                }
            }
        }
    }

    /// Which ports hold addresses of a host that several of them may have.
    pub fn held(&self, host: &Host, now: Timestamp) -> Vec<Held> {
        let mut shared = host
            .cards()
            .filter(|card| card.macs.len() > 1)
            .filter_map(|card| card.ip)
            .peekable();
        // Nearly all hosts have none.
        if shared.peek().is_none() {
            return Vec::new();
        }
        let inner = self.lock();
        shared
            .filter_map(|ip| {
                let (mac, until) = *inner.holders.get(&ip)?;
                (until > now).then_some(Held { ip, mac })
            })
            .collect()
    }

    /// Whether one of these MACs has sent a DHCP packet of firmware or iPXE since the record's last
    /// script was served: the machine was started again.
    pub fn further_boot(&self, record: &Record, macs: &[HardwareAddr]) -> bool {
        let Some(script_at) = record.script_at else {
            return false;
        };
        let inner = self.lock();
        macs.iter()
            .filter_map(|mac| inner.get(*mac)?.boot_dhcp_at)
            .any(|at| at > script_at)
    }

    /// Takes note that a reserved machine's firmware was named this loader, or that it was not because
    /// of a loop. Whether that is worth an event: with the first reply of its kind.
    pub fn note_loader(
        &self,
        mac: HardwareAddr,
        loader: &str,
        guard: LoopGuard,
        is_ack: bool,
        at: Timestamp,
    ) -> bool {
        let mut inner = self.lock();
        let named = match &inner.last_named {
            Some(last) if **last == *loader => Arc::clone(last),
            _ => Arc::clone(inner.last_named.insert(loader.into())),
        };
        let Inner {
            hosts, strangers, ..
        } = &mut *inner;
        let host = hosts.get_mut(mac).filter(|machine| !machine.is_empty());
        let Some(machine) = host.or_else(|| strangers.entry(mac, MAX_STRANGERS)) else {
            return false;
        };
        let Some(loading) = &mut machine.loading else {
            let mut fetches = Fetches::default();
            let is_news = fetches.answered(guard, is_ack, at);
            machine.loading = Some(Loading {
                named,
                named_at: at,
                fetches: (guard != LoopGuard::Pass).then(|| Box::new(fetches)),
            });
            return is_news;
        };
        loading.named = named;
        loading.named_at = at;
        match guard {
            // Changes nothing.
            LoopGuard::Pass => false,
            guard => {
                let fetches = loading.fetches.get_or_insert_default();
                fetches.answered(guard, is_ack, at)
            }
        }
    }

    /// Takes note that a file was sent whole to the machine of these MACs: whether it is the loader
    /// that its firmware was named. Of several MACs it is the one whose firmware asked last.
    pub fn note_sent(&self, macs: &[HardwareAddr], path: &str, at: Timestamp) {
        let mut inner = self.lock();
        let asked_last = macs
            .iter()
            .filter_map(|mac| {
                let loading = inner.find(*mac)?.loading.as_ref()?;
                (*loading.named == *path).then_some((loading.named_at, *mac))
            })
            .max();
        if asked_last.is_none() && is_program(path) {
            // Whoever fetches a further program was started itself.
            for mac in macs {
                let fetches = inner
                    .loading(*mac)
                    .and_then(|loading| loading.fetches.as_mut());
                if let Some(fetches) = fetches {
                    fetches.ran = true;
                }
            }
        }
        if let Some((_, mac)) = asked_last
            && let Some(loading) = inner.loading(mac)
        {
            loading.fetches.get_or_insert_default().note(path, at);
        }
    }

    /// Takes note that the machine of these MACs has asked for its script: its loader does what it should.
    pub fn note_script(&self, macs: &[HardwareAddr]) {
        let mut inner = self.lock();
        for mac in macs {
            if let Some(loading) = inner.loading(*mac) {
                loading.fetches = None;
            }
        }
    }

    /// What is remembered of a machine's fetches of its loader.
    pub fn fetches(&self, mac: HardwareAddr) -> Option<Fetches> {
        self.lock().find(mac)?.fetches()
    }

    /// How offers to a machine have fared, and its fetches of its loader: [`Self::delivery`] and
    /// [`Self::fetches`] at once.
    pub fn before(&self, mac: HardwareAddr) -> (Delivery, Option<Fetches>) {
        let inner = self.lock();
        let Some(machine) = inner.find(mac) else {
            return (Delivery::default(), None);
        };
        let delivery = machine.seen.map(|seen| seen.delivery);
        (delivery.unwrap_or_default(), machine.fetches())
    }

    /// Whether a stranger is to be announced now: the first time, and again after ten minutes.
    pub fn announce_unknown(&self, mac: HardwareAddr, now: Timestamp) -> bool {
        let announced = &mut self.lock().announced;
        match announced.get_mut(mac) {
            Some(last) if now.since(*last) < UNKNOWN_AGAIN => return false,
            Some(last) => *last = now,
            None => announced.insert(mac, now, MAX_STRANGERS),
        }
        true
    }

    /// Whether a relay that nobody configured is to be told of now: the first time, and again after ten
    /// minutes. While many are told of, which is no network but a forger, further ones are not.
    pub fn announce_relay(&self, relay: Ipv4Addr, now: Timestamp) -> bool {
        let relays = &mut self.lock().relays;
        relays.retain(|_, at| now.since(*at) < UNKNOWN_AGAIN);
        if relays.contains_key(&relay) || relays.len() >= MAX_RELAYS {
            return false;
        }
        relays.insert(relay, now);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a file is a program for UEFI, by its name.
fn is_program(path: &str) -> bool {
    let name = path.to_ascii_lowercase();
    has_extension(name.strip_suffix(".signed").unwrap_or(&name), "efi")
}

impl Machine {
    /// Nothing is known of it, any more or yet.
    const fn is_empty(&self) -> bool {
        self.seen.is_none() && self.loading.is_none()
    }

    fn fetches(&self) -> Option<Fetches> {
        let loading = self.loading.as_ref()?;
        Some(loading.fetches.as_deref().cloned().unwrap_or_default())
    }
}

impl Inner {
    fn find(&self, mac: HardwareAddr) -> Option<&Machine> {
        let host = self.hosts.get(mac).filter(|machine| !machine.is_empty());
        host.or_else(|| self.strangers.get(mac))
    }

    fn loading(&mut self, mac: HardwareAddr) -> Option<&mut Loading> {
        let host = self.hosts.get_mut(mac);
        let host = host.filter(|machine| !machine.is_empty());
        let machine = host.or_else(|| self.strangers.get_mut(mac))?;
        machine.loading.as_mut()
    }

    fn get(&self, mac: HardwareAddr) -> Option<Seen> {
        self.find(mac)?.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::testing;

    const WEB01: HardwareAddr = HardwareAddr::ethernet([0x52, 0x54, 0, 0x47, 0x86, 0x8e]);

    fn sighting(mac: HardwareAddr, secs: i64, stage: Stage) -> Sighting {
        Sighting {
            mac,
            reserved: true,
            at: Timestamp::from_secs(secs),
            stage,
            is_ipxe: matches!(stage, Stage::Ipxe { .. }),
            uuid: None,
            delivery: None,
            port: None,
        }
    }

    const ROM: Stage = Stage::Pxe {
        firmware: Some(Firmware::UefiX64),
        code: None,
    };

    fn record(script_at: Option<i64>) -> Record {
        Record {
            script_at: script_at.map(Timestamp::from_secs),
            ..Record::new("web01".parse().unwrap())
        }
    }

    #[test]
    fn another_boot_begins_with_firmware_not_with_the_installer() {
        let memory = Memory::new();
        memory.note_dhcp(sighting(WEB01, 10, ROM));
        assert!(!memory.further_boot(&record(None), &[WEB01]));
        assert!(!memory.further_boot(&record(Some(12)), &[WEB01]));
        memory.note_dhcp(sighting(WEB01, 60, Stage::Os));
        assert!(!memory.further_boot(&record(Some(12)), &[WEB01]));
        memory.note_dhcp(sighting(WEB01, 90, ROM));
        assert!(memory.further_boot(&record(Some(12)), &[WEB01]));
        assert!(!memory.further_boot(&record(Some(12)), &[]));
    }

    #[test]
    fn what_a_packet_does_not_tell_is_kept() {
        let memory = Memory::new();
        let uuid = Uuid::from_smbios([7; 16]);
        memory.note_dhcp(Sighting {
            uuid: Some(uuid),
            ..sighting(WEB01, 10, ROM)
        });
        memory.note_dhcp(Sighting {
            uuid: Some(Uuid::from_smbios([0xff; 16])),
            ..sighting(WEB01, 20, Stage::Os)
        });
        let seen = memory.get(WEB01).unwrap();
        assert_eq!(seen.uuid, Some(uuid));
        assert_eq!(seen.architecture, Some(Architecture::X86_64));
        assert_eq!(seen.stage, Stage::Os);
        assert_eq!(seen.boot_dhcp_at, Some(Timestamp::from_secs(10)));
        assert_eq!(seen.ipxe_at, None);
    }

    #[test]
    fn an_ipxe_in_disguise_is_remembered_as_ipxe() {
        let memory = Memory::new();
        memory.note_dhcp(Sighting {
            is_ipxe: true,
            ..sighting(WEB01, 10, ROM)
        });
        memory.note_dhcp(sighting(WEB01, 20, Stage::Os));
        let seen = memory.get(WEB01).unwrap();
        assert_eq!(seen.ipxe_at, Some(Timestamp::from_secs(10)));
        assert_eq!(seen.stage, Stage::Os);
    }

    #[test]
    fn what_a_host_was_seen_as_does_not_hide_the_stranger_it_has_become() {
        let memory = Memory::new();
        let ipxe = Stage::Ipxe {
            firmware: None,
            http: true,
            linux: true,
        };
        let at = |secs| Some(Timestamp::from_secs(secs));
        let see = |reserved, secs, stage| {
            memory.note_dhcp(Sighting {
                reserved,
                ..sighting(WEB01, secs, stage)
            });
            memory.get(WEB01).unwrap()
        };
        let note = |named, secs| {
            let secs = Timestamp::from_secs(secs);
            memory.note_loader(WEB01, named, LoopGuard::Pass, true, secs);
            memory.note_sent(&[WEB01], named, secs);
            memory.fetches(WEB01).map(|fetches| fetches.count)
        };
        assert_eq!(see(true, 10, ipxe).ipxe_at, at(10));
        assert_eq!(note("ipxe/snponly.efi", 11), Some(1));
        // A reload takes the host away.
        assert_eq!(see(false, 20, ipxe).ipxe_at, at(20));
        assert_eq!(see(false, 30, ipxe).ipxe_at, at(30));
        assert_eq!(note("ipxe/snponly.efi", 31), Some(2));
        memory.note_script(&[WEB01]);
        assert_eq!(memory.fetches(WEB01), Some(Fetches::default()));
        // And another one brings it back, twice.
        for secs in [40, 50] {
            let seen = see(true, secs, ROM);
            assert_eq!(
                (seen.dhcp_at, seen.ipxe_at),
                (Timestamp::from_secs(secs), at(30))
            );
        }
        assert_eq!(see(false, 60, ipxe).ipxe_at, at(60));
    }

    #[test]
    fn strangers_push_out_strangers_only() {
        let memory = Memory::new();
        memory.note_dhcp(sighting(WEB01, 1, ROM));
        let stranger =
            |n: u16| HardwareAddr::ethernet([2, 0, 0, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]]);
        for n in 0..5_000 {
            memory.note_dhcp(Sighting {
                reserved: false,
                ..sighting(stranger(n), 2, ROM)
            });
        }
        assert!(memory.get(WEB01).is_some());
        assert!(memory.get(stranger(0)).is_none());
        assert!(memory.get(stranger(4_999)).is_some());
        let inner = memory.lock();
        assert_eq!(inner.strangers.len(), MAX_STRANGERS);
    }

    #[test]
    fn fetches_of_the_loader_that_was_named_count_until_the_script() {
        let memory = Memory::new();
        let other: HardwareAddr = "52:54:00:47:86:90".parse().unwrap();
        let at = Timestamp::from_secs;
        let loader = "ipxe/snponly.efi";
        let count = |mac| memory.fetches(mac).map(|fetches| fetches.count);
        // Nothing was named: a file, and no loader.
        memory.note_sent(&[WEB01], loader, at(1));
        assert_eq!(count(WEB01), None);
        memory.note_loader(WEB01, loader, LoopGuard::Pass, false, at(2));
        memory.note_loader(other, loader, LoopGuard::Pass, true, at(3));
        memory.note_sent(&[WEB01, other], loader, at(4));
        memory.note_sent(&[WEB01, other], "debian/linux", at(5));
        assert_eq!((count(WEB01), count(other)), (Some(0), Some(1)));
        assert!(!memory.fetches(other).unwrap().ran);
        memory.note_dhcp(sighting(
            other,
            6,
            Stage::Ipxe {
                firmware: None,
                http: true,
                linux: true,
            },
        ));
        assert!(memory.fetches(other).unwrap().ran);
        memory.note_script(&[WEB01, other]);
        assert_eq!(memory.fetches(other), Some(Fetches::default()));
        // Shim, which the firmware refuses or runs: then it fetches GRUB.
        let shim = "debian/12/x86_64/shimx64.efi";
        memory.note_loader(other, shim, LoopGuard::Pass, true, at(7));
        memory.note_sent(&[other], shim, at(8));
        memory.note_sent(&[other], "debian/12/x86_64/linux", at(9));
        assert!(!memory.fetches(other).unwrap().ran);
        memory.note_sent(&[other], "debian/12/x86_64/grubx64.efi", at(9));
        assert!(memory.fetches(other).unwrap().ran);
        assert_eq!(count(other), Some(1));
    }

    #[test]
    fn a_stranger_is_announced_once_in_ten_minutes() {
        let memory = Memory::new();
        let at = Timestamp::from_secs;
        assert!(memory.announce_unknown(WEB01, at(0)));
        assert!(!memory.announce_unknown(WEB01, at(599)));
        assert!(memory.announce_unknown(WEB01, at(600)));
        assert!(!memory.announce_unknown(WEB01, at(601)));
    }

    #[test]
    fn a_relay_that_nobody_configured_is_told_of_once_in_ten_minutes() {
        let memory = Memory::new();
        let at = Timestamp::from_secs;
        let relay = |n: usize| Ipv4Addr::from(0x0a00_0000 + u32::try_from(n).unwrap());
        assert!(memory.announce_relay(relay(0), at(0)));
        assert!(!memory.announce_relay(relay(0), at(599)));
        assert!(memory.announce_relay(relay(0), at(600)));
        // A forger is not followed through all addresses.
        let told = (1..5_000).filter(|n| memory.announce_relay(relay(*n), at(601)));
        assert_eq!(told.count(), MAX_RELAYS - 1);
        assert_eq!(memory.lock().relays.len(), MAX_RELAYS);
        assert!(memory.announce_relay(relay(9_999), at(1_201)));
    }

    #[test]
    fn who_holds_a_shared_address_is_known_for_a_lease() {
        let memory = Memory::new();
        let at = Timestamp::from_secs;
        let (ip, other) = (Ipv4Addr::new(10, 99, 0, 11), "52:54:00:47:86:8f");
        let web01 = testing::host(&testing::snapshot(), "web01");
        let host = |macs: Vec<HardwareAddr>| Host {
            macs: macs.into(),
            ..(*web01).clone()
        };
        let shared = host(vec![WEB01, other.parse().unwrap()]);
        let taken = Holding::Taken {
            held: Held { ip, mac: WEB01 },
            lease: Duration::from_secs(3_600),
        };
        assert_eq!(memory.held(&shared, at(0)), []);
        memory.note_holding(taken, at(0));
        assert_eq!(memory.held(&shared, at(3_599)), [Held { ip, mac: WEB01 }]);
        assert_eq!(memory.held(&shared, at(3_600)), []);
        assert_eq!(memory.held(&host(vec![WEB01]), at(1)), []);
        memory.note_holding(Holding::Left(ip), at(1));
        assert_eq!(memory.held(&shared, at(2)), []);
    }

    #[test]
    fn how_offers_fared_is_kept_until_it_changes() {
        let memory = Memory::new();
        let fared = Delivery::default().offered(Timestamp::from_secs(1));
        memory.note_dhcp(Sighting {
            delivery: Some(fared),
            ..sighting(WEB01, 1, ROM)
        });
        memory.note_dhcp(sighting(WEB01, 2, ROM));
        assert_eq!(memory.delivery(WEB01), fared);
        let other: HardwareAddr = "52:54:00:47:86:8f".parse().unwrap();
        assert_eq!(memory.delivery(other), Delivery::default());
    }

    #[test]
    fn an_address_belongs_to_who_said_so_last() {
        let memory = Memory::new();
        let mac = |last: u8| HardwareAddr::ethernet([2, 0, 0, 0, 0, last]);
        let ip = |last: u8| Ipv4Addr::new(10, 50, 0, last);
        let now = Timestamp::from_secs(1_000);
        let note = |of: u8, at: u8| memory.note_address(mac(of), ip(at), true, now);
        let mac_of = |at: u8| memory.mac_of(ip(at), now);
        assert_eq!(mac_of(1), None);
        note(1, 1);
        note(1, 1);
        assert_eq!(mac_of(1), Some(mac(1)));
        // It moves, and its old address goes to another machine.
        note(1, 2);
        assert_eq!(mac_of(1), None);
        note(2, 1);
        note(1, 3);
        assert_eq!(mac_of(1), Some(mac(2)));
        assert_eq!(mac_of(2), None);
        // Taken over: the first one's further move takes nothing from the second.
        note(2, 3);
        note(1, 4);
        assert_eq!(mac_of(3), Some(mac(2)));
        assert_eq!(mac_of(4), Some(mac(1)));
    }

    #[test]
    fn an_address_is_learnt_from_what_may_teach_it_and_lost_to_anybody() {
        let memory = Memory::new();
        let other: HardwareAddr = "52:54:00:47:86:90".parse().unwrap();
        let ip = Ipv4Addr::new(10, 50, 0, 1);
        let at = |hours: i64| Timestamp::from_secs(hours * 3_600);
        memory.note_address(WEB01, ip, false, at(0));
        assert_eq!(memory.mac_of(ip, at(0)), None);
        memory.note_address(WEB01, ip, true, at(0));
        memory.note_address(WEB01, ip, false, at(10));
        assert_eq!(memory.mac_of(ip, at(21)), Some(WEB01));
        assert_eq!(memory.mac_of(ip, at(22)), None);
        assert_eq!(memory.mac_of(ip, at(11)), Some(WEB01));
        memory.note_address(other, ip, false, at(11));
        assert_eq!(memory.mac_of(ip, at(11)), None);
    }
}
