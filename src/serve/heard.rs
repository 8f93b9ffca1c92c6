//! What was heard of other DHCP servers since the start: what is told of them again and what is only
//! counted, and the ways to the listeners that can look for them.
//!
//! **Invariant:** nothing here grows beyond its bound, whatever forged replies come; a machine or server is
//! told of again only after a pause, and never more in a minute than there are places for.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::base::{HardwareAddr, Timestamp};
use crate::journal::event::Reason;

/// What a reserved machine is told by another server is an event again after this long: at its next boot.
const MACHINE_AGAIN: Duration = Duration::from_secs(30);

/// A server that speaks to strangers is an event again after this long.
const SERVER_AGAIN: Duration = Duration::from_secs(3_600);

/// A minute, in which so many events of reserved machines and so many of servers are told at most.
const MINUTE: Duration = Duration::from_secs(60);
const MACHINES_A_MINUTE: u32 = 2_000;
const SERVERS_A_MINUTE: u32 = 20;

/// Subjects and servers remembered.
const MAX: usize = 4_096;

/// What an event is about: it is told once in a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A server that speaks to machines which nobody reserved, or to a question of this server's own.
    Server(Ipv4Addr, HardwareAddr),
    /// A server that speaks to a reserved machine, and what comes of it.
    Machine(HardwareAddr, Ipv4Addr, Reason),
}

#[derive(Debug)]
struct Told {
    at: Timestamp,
    /// How many came since that were not told.
    held: u64,
}

/// Counts what is told within a minute.
#[derive(Debug, Default)]
struct Minute {
    began: Option<Timestamp>,
    told: u32,
}

impl Minute {
    fn has_room(&mut self, most: u32, now: Timestamp) -> bool {
        if self.began.is_none_or(|began| now.since(began) >= MINUTE) {
            self.began = Some(now);
            self.told = 0;
        }
        let has_room = self.told < most;
        self.told += u32::from(has_room);
        has_room
    }
}

/// The memory behind [`Watch`].
#[derive(Debug, Default)]
struct Table {
    told: HashMap<Subject, Told>,
    machines: Minute,
    servers: Minute,
    /// The cards of servers, by the address that they bear.
    cards: HashMap<Ipv4Addr, HardwareAddr>,
}

impl Table {
    fn tell(&mut self, subject: Subject, now: Timestamp) -> Option<u64> {
        let again = match subject {
            Subject::Server(..) => SERVER_AGAIN,
            Subject::Machine(..) => MACHINE_AGAIN,
        };
        if let Some(told) = self.told.get_mut(&subject)
            && now.since(told.at) < again
        {
            told.held = told.held.saturating_add(1);
            return None;
        }
        let has_room = match subject {
            Subject::Server(..) => self.servers.has_room(SERVERS_A_MINUTE, now),
            Subject::Machine(..) => self.machines.has_room(MACHINES_A_MINUTE, now),
        };
        if !has_room {
            return None;
        }
        if self.told.len() >= MAX && !self.told.contains_key(&subject) {
            self.told
                .retain(|_, told| now.since(told.at) < MACHINE_AGAIN);
            if self.told.len() >= MAX {
                return None;
            }
        }
        let before = self.told.insert(subject, Told { at: now, held: 0 });
        Some(before.map_or(1, |told| told.held.saturating_add(1)))
    }
}

/// What was found out about a server when it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its address: the server identifier that it bears.
    pub ip: Ipv4Addr,
    /// The card that its answer came from.
    pub mac: HardwareAddr,
    /// The address that it offers; `None`: it names only something to boot.
    pub address: Option<Ipv4Addr>,
    /// Whether the configuration expects it (`mode = "proxy"` or `"off"`).
    pub expected: bool,
}

/// What a search on one interface has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// The interface.
    pub interface: Arc<str>,
    /// The other servers that answered.
    pub servers: Vec<Found>,
    /// Why there was no search; `None`: there was one.
    pub trouble: Option<String>,
}

/// Where the result of a search is to go.
pub type Answer = oneshot::Sender<Probed>;

/// What was heard of other servers; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    table: Arc<Mutex<Table>>,
    listeners: Arc<Mutex<BTreeMap<Arc<str>, mpsc::Sender<Answer>>>>,
}

impl Watch {
    /// Whether this is to be told, and then for how many the event stands.
    pub fn tell(&self, subject: Subject, now: Timestamp) -> Option<u64> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.tell(subject, now)
    }

    /// Takes note of a server's card.
    pub fn note_card(&self, server: Ipv4Addr, card: HardwareAddr) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.cards.len() < MAX || table.cards.contains_key(&server) {
            table.cards.insert(server, card);
        }
    }

    /// The card of a server, as it was last heard.
    pub fn card(&self, server: Ipv4Addr) -> Option<HardwareAddr> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.cards.get(&server).copied()
    }

    /// Takes the way to the listener of an interface.
    pub fn register(&self, iface: &Arc<str>, listener: mpsc::Sender<Answer>) {
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.insert(Arc::clone(iface), listener);
    }

    /// Looks for other servers on an interface; takes some seconds.
    pub async fn probe(&self, iface: &str) -> Probed {
        let listener = {
            let listeners = self
                .listeners
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            listeners.get(iface).cloned()
        };
        let (answer, result) = oneshot::channel();
        let asked = match listener {
            Some(listener) => listener.send(answer).await.is_ok(),
            None => false,
        };
        let probed = if asked { result.await.ok() } else { None };
        probed.unwrap_or_else(|| Probed {
            interface: iface.into(),
            servers: Vec::new(),
            trouble: Some(format!(
                "nobody listens on {iface} now: it is no Ethernet, is gone, or the daemon may open no \
                 packet socket there (bootwright events)"
            )),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CARD: HardwareAddr = HardwareAddr::ethernet([2, 0, 0, 0, 0, 5]);
    const WEB01: HardwareAddr = HardwareAddr::ethernet([0x52, 0x54, 0, 0x47, 0x86, 0x8e]);
    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 5);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_machine_is_told_of_at_each_boot_and_a_server_each_hour() {
        let watch = Watch::default();
        let offer = Subject::Machine(WEB01, SERVER, Reason::ForeignOffer);
        let chosen = Subject::Machine(WEB01, SERVER, Reason::ForeignChosen);
        assert_eq!(watch.tell(offer, at(0)), Some(1));
        assert_eq!(watch.tell(offer, at(1)), None);
        assert_eq!(watch.tell(chosen, at(1)), Some(1), "another thing");
        assert_eq!(watch.tell(offer, at(29)), None);
        assert_eq!(watch.tell(offer, at(30)), Some(3));
        let server = Subject::Server(SERVER, CARD);
        assert_eq!(watch.tell(server, at(0)), Some(1));
        for secs in 1..3_600 {
            assert_eq!(watch.tell(server, at(secs)), None);
        }
        assert_eq!(watch.tell(server, at(3_600)), Some(3_600));
    }

    #[test]
    fn forged_servers_are_told_to_a_bound_and_take_nothing_from_machines() {
        let watch = Watch::default();
        let forged = |n: u32| Subject::Server(Ipv4Addr::from(n), CARD);
        let told = (0..10_000).filter(|n| watch.tell(forged(*n), at(0)).is_some());
        assert_eq!(told.count(), 20);
        let offer = Subject::Machine(WEB01, SERVER, Reason::ForeignOffer);
        assert_eq!(watch.tell(offer, at(0)), Some(1));
        assert!(
            watch.tell(forged(99_999), at(60)).is_some(),
            "the next minute"
        );
    }

    #[test]
    fn cards_are_remembered_to_a_bound() {
        let watch = Watch::default();
        watch.note_card(SERVER, CARD);
        for n in 0..10_000 {
            watch.note_card(Ipv4Addr::from(n), CARD);
        }
        watch.note_card(SERVER, WEB01);
        assert_eq!(watch.card(SERVER), Some(WEB01));
        assert_eq!(watch.table.lock().unwrap().cards.len(), MAX);
    }

    #[tokio::test]
    async fn where_nobody_listens_is_told() {
        let watch = Watch::default();
        let probed = watch.probe("br9").await;
        assert!(probed.trouble.unwrap().contains("on br9 now"));
        let (sender, receiver) = mpsc::channel(1);
        watch.register(&"br9".into(), sender);
        drop(receiver);
        assert!(watch.probe("br9").await.trouble.is_some());
    }

    proptest! {
        #[test]
        fn the_table_keeps_to_its_bounds(
            told in prop::collection::vec((any::<bool>(), any::<u16>(), 0..100_i64), 0..6_000)
        ) {
            let watch = Watch::default();
            let mut now = 0;
            for (is_server, n, later) in told {
                now += later / 99;
                let ip = Ipv4Addr::from(u32::from(n));
                let subject = if is_server {
                    Subject::Server(ip, CARD)
                } else {
                    Subject::Machine(WEB01, ip, Reason::ForeignNak)
                };
                let _ = watch.tell(subject, at(now));
            }
            prop_assert!(watch.table.lock().unwrap().told.len() <= MAX);
        }
    }
}
