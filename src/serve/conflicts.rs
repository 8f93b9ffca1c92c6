//! Reserved addresses that somebody else has: found when a reservation comes, before it is ever offered, and told
//! again when it is offered (`serve::dhcp`).
//!
//! At a start and after a reload the links are asked, a few addresses a second, about reservations that were not asked
//! about so far. Who has a reserved address is an event with the other's hardware address, and stands beside the
//! host until its address is found free.
//!
//! **Invariant:** no more than [`MAX`] hosts are remembered or asked about for one configuration; no machine waits
//! for it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::arp;
use super::context::Context;
use crate::base::{HardwareAddr, HostName, Timestamp};
use crate::config::Snapshot;
use crate::config::snapshot::Host;
use crate::host::links::{Interface, LinkTable};
use crate::journal::event::{Event, Kind, Reason};

/// Hosts remembered, and asked about for one configuration.
const MAX: usize = 4_096;

/// Addresses that are asked about at once, and the pause after it: a start makes no storm of broadcasts.
const AT_ONCE: usize = 16;
const PAUSE: Duration = Duration::from_millis(400);

/// How often it is looked whether another configuration is in force.
const LOOK: Duration = Duration::from_secs(1);

/// How long a host's conflict stands when nobody asks again.
const STANDS: Duration = Duration::from_secs(86_400);

/// Somebody else has a host's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The address.
    pub ip: Ipv4Addr,
    /// Who answers for it.
    pub holder: HardwareAddr,
    /// When that was seen last.
    pub at: Timestamp,
}

/// Which hosts' addresses somebody else has; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Conflicts {
    hosts: Arc<Mutex<HashMap<HostName, Conflict>>>,
}

impl Conflicts {
    /// Takes note of what was found at a host's address: another machine, or none.
    pub fn note(&self, host: &HostName, ip: Ipv4Addr, holder: Option<HardwareAddr>, at: Timestamp) {
        let mut hosts = self.lock();
        match holder {
            Some(holder) => {
                if hosts.len() < MAX || hosts.contains_key(host) {
                    hosts.insert(host.clone(), Conflict { ip, holder, at });
                }
            }
            None => {
                if hosts.get(host).is_some_and(|known| known.ip == ip) {
                    hosts.remove(host);
                }
            }
        }
    }

    /// Who has an address of this host's, as far as it still is one.
    pub fn of(&self, host: &Host, now: Timestamp) -> Option<Conflict> {
        let hosts = self.lock();
        let known = hosts.get(&host.name)?;
        let stands = now.since(known.at) < STANDS
            && host.addresses().any(|own| own == known.ip)
            && !is_own(host, known.holder);
        stands.then_some(*known)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HostName, Conflict>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a hardware address is one of the host's own.
pub(super) fn is_own(host: &Host, mac: HardwareAddr) -> bool {
    host.macs.contains(&mac) || host.nics.iter().any(|nic| nic.macs.contains(&mac))
}

/// The event that tells of it; `then` is what is done about it.
pub(super) fn event(
    snapshot: &Snapshot,
    host: &Host,
    ip: Ipv4Addr,
    holder: HardwareAddr,
    then: &str,
    at: Timestamp,
) -> Event {
    let mut event = Event::new(at, Kind::DhcpConflict, Reason::ReservedAddressTaken)
        .host(host.name.clone())
        .ip(ip)
        .detail(format!("{}; {then}", held_by(snapshot, ip, holder)));
    event.holder = Some(Box::new(holder));
    event.generation = snapshot.generation;
    event
}

/// Who holds an address, as a sentence.
pub(super) fn held_by(snapshot: &Snapshot, ip: Ipv4Addr, holder: HardwareAddr) -> String {
    match snapshot.host_by_mac(holder) {
        Some(host) => format!("{holder} ({}) holds {ip}", host.name),
        None => format!("{holder} holds {ip}"),
    }
}

/// Asks about what is reserved until cancelled.
pub async fn run(ctx: Context, cancel: CancellationToken) {
    let mut asked = Asked::default();
    let mut generation = None;
    loop {
        let in_force = ctx.config();
        let snapshot = &in_force.snapshot;
        if generation != Some(snapshot.generation) && snapshot.server.conflict_probe {
            let look = {
                let (in_force, links) = (Arc::clone(&in_force), ctx.links.current());
                let mut asked = std::mem::take(&mut asked);
                // A site has a hundred thousand hosts.
                move || {
                    let waiting = unasked(&in_force.snapshot, &links, &mut asked);
                    (asked, waiting)
                }
            };
            let Ok(looked) = tokio::task::spawn_blocking(look).await else {
                return;
            };
            let waiting;
            (asked, waiting) = looked;
            let mut is_superseded = false;
            for (interface, part) in parts(waiting) {
                if is_superseded {
                    // What is new by now does not wait for the rest of what was.
                    for (ip, _) in part {
                        asked.remove(&ip);
                    }
                    continue;
                }
                if cancel
                    .run_until_cancelled(ask(&ctx, snapshot, &interface, &part))
                    .await
                    .is_none()
                {
                    return;
                }
                is_superseded = ctx.config().snapshot.generation != snapshot.generation;
                if cancel
                    .run_until_cancelled(tokio::time::sleep(PAUSE))
                    .await
                    .is_none()
                {
                    return;
                }
            }
            if !is_superseded {
                generation = Some(snapshot.generation);
            }
        }
        if cancel
            .run_until_cancelled(tokio::time::sleep(LOOK))
            .await
            .is_none()
        {
            return;
        }
    }
}

/// A reserved address and its host, on the link of an interface.
type Waiting = (Interface, Vec<(Ipv4Addr, Arc<Host>)>);

/// Addresses that were asked about, or were too many, each with a number for the name of its host.
type Asked = HashMap<Ipv4Addr, u64>;

fn number(name: &HostName) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.as_str().hash(&mut hasher);
    hasher.finish()
}

/// What was not asked about so far, by link; what is no more reserved is forgotten. Only where this server gives the
/// addresses: elsewhere another one asks.
fn unasked(snapshot: &Snapshot, links: &LinkTable, asked: &mut Asked) -> Vec<Waiting> {
    asked.retain(|ip, host| {
        snapshot
            .host_by_ip(*ip)
            .is_some_and(|found| number(&found.name) == *host)
    });
    let mut room = MAX;
    let mut waiting: Vec<Waiting> = Vec::new();
    for name in &snapshot.server.interfaces {
        let Some(interface) = links
            .interface(name)
            .filter(|interface| interface.ethernet().is_some())
        else {
            continue;
        };
        let is_here = |ip: Ipv4Addr| {
            let gives = snapshot
                .subnet_containing(ip)
                .is_some_and(|subnet| subnet.mode.gives_addresses());
            gives && interface.addresses.iter().any(|own| own.contains(&ip))
        };
        let mut here = Vec::new();
        for host in snapshot.hosts() {
            for ip in host.addresses().filter(|ip| is_here(*ip)) {
                // What finds no room is asked about when it is offered.
                if asked.insert(ip, number(&host.name)).is_none() && room > 0 {
                    room -= 1;
                    here.push((ip, Arc::clone(host)));
                }
            }
        }
        if !here.is_empty() {
            waiting.push((interface.clone(), here));
        }
    }
    waiting
}

/// The same in parts that are asked about at once.
fn parts(waiting: Vec<Waiting>) -> Vec<Waiting> {
    waiting
        .into_iter()
        .flat_map(|(interface, all)| {
            all.chunks(AT_ONCE)
                .map(|part| (interface.clone(), part.to_vec()))
                .collect::<Vec<_>>()
        })
        .collect()
}

async fn ask(
    ctx: &Context,
    snapshot: &Snapshot,
    interface: &Interface,
    part: &[(Ipv4Addr, Arc<Host>)],
) {
    let addresses: Vec<Ipv4Addr> = part.iter().map(|(ip, _)| *ip).collect();
    let found = match arp::holders(interface, &addresses).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(iface = %interface.name, %error, "ARP probes of reserved addresses");
            return;
        }
    };
    for (ip, host) in part {
        let holder = found.get(ip).copied().filter(|mac| !is_own(host, *mac));
        let now = ctx.now();
        ctx.memory.conflicts().note(&host.name, *ip, holder, now);
        if let Some(holder) = holder {
            let then = "it will be offered all the same";
            let mut event = event(snapshot, host, *ip, holder, then, now);
            event.iface = Some(Arc::clone(&interface.name));
            ctx.journal.append(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::testing;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn it_stands_until_the_address_is_free_or_another() {
        let conflicts = Conflicts::default();
        let mut host = (*testing::host(&testing::snapshot(), "web01")).clone();
        let ip = host.ip.unwrap();
        let other = HardwareAddr::ethernet([2, 0, 0, 0, 0, 9]);
        assert_eq!(conflicts.of(&host, at(0)), None);
        conflicts.note(&host.name, ip, Some(other), at(10));
        let known = conflicts.of(&host, at(20)).unwrap();
        assert_eq!((known.ip, known.holder, known.at), (ip, other, at(10)));
        assert_eq!(conflicts.of(&host, at(10).plus(STANDS)), None);
        // Another address of the host was found free.
        conflicts.note(&host.name, Ipv4Addr::new(10, 99, 0, 99), None, at(30));
        assert!(conflicts.of(&host, at(30)).is_some());
        // The other one is its new card.
        let own = host.clone();
        host.macs = other.into();
        assert_eq!(conflicts.of(&host, at(30)), None);
        conflicts.note(&own.name, ip, None, at(40));
        assert_eq!(conflicts.of(&own, at(40)), None);
        for n in 0..MAX + 100 {
            let name = format!("h{n}").parse().unwrap();
            conflicts.note(&name, ip, Some(other), at(50));
        }
        assert_eq!(conflicts.lock().len(), MAX);
    }

    #[test]
    fn each_reservation_of_a_link_is_asked_about_once() {
        let mut snapshot = testing::snapshot();
        snapshot.server.interfaces = vec!["br0".into(), "gone".into()];
        let web01 = testing::host(&snapshot, "web01").ip.unwrap();
        let interface = |net: &str| Interface {
            name: "br0".into(),
            index: 1,
            up: true,
            hardware: Some(HardwareAddr::ethernet([2, 0, 0, 0, 0, 1])),
            addresses: vec![net.parse().unwrap()].into(),
            link_local: None,
            link: None,
        };
        let links = |net| [interface(net)].into_iter().collect::<LinkTable>();
        let mut asked = Asked::default();
        let elsewhere = unasked(&snapshot, &links("203.0.113.1/24"), &mut asked);
        assert!(elsewhere.is_empty());
        let here = links("10.99.0.2/24");
        let waiting = parts(unasked(&snapshot, &here, &mut asked));
        let addresses: Vec<Ipv4Addr> = waiting
            .iter()
            .flat_map(|(_, part)| part.iter().map(|(ip, _)| *ip))
            .collect();
        assert_eq!(addresses, [web01], "far01 is on no link of this machine");
        assert!(unasked(&snapshot, &here, &mut asked).is_empty());
        // Another host has the address by now.
        let renamed = testing::changed(|hosts| hosts[0].name = "web09".parse().unwrap());
        let mut renamed = renamed;
        renamed.server.interfaces = vec!["br0".into()];
        assert_eq!(unasked(&renamed, &here, &mut asked).len(), 1);
    }
}
