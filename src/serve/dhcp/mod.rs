//! DHCP (RFC 2131): a socket for DHCP and one for port 4011 on each interface, one decision and one event for each datagram.
//!
//! [`socket`] and [`link`] carry bytes, [`holder`] asks who has an address, [`probe`] whether one is in use, [`pool`] has the leases of machines
//! without a reservation, [`service`] takes a datagram to its reply; here is what keeps
//! the sockets in line with the configuration and the interfaces.

mod drops;
mod holder;
mod link;
mod looked_at;
mod pool;
mod probe;
mod service;
mod socket;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::service::Service;
use self::socket::{DhcpSocket, Door, Opened, Place};
use super::context::Context;
use super::health::{DHCP, Health};
use crate::config::Snapshot;
use crate::config::snapshot::Mode;
use crate::host::links::{Interface, LinkTable, Links};
use crate::host::preflight::CannotListen;
use crate::journal::event::{Event, Kind, Reason};

/// How often sockets are compared with the configuration and the interfaces.
const INTERVAL: Duration = Duration::from_secs(1);

/// The sockets that were opened before the privileges were dropped.
#[derive(Debug, Default)]
pub struct Sockets {
    opened: Vec<Opened>,
}

impl Sockets {
    /// Opens the sockets of each interface of the configuration. An interface that is not there is
    /// passed over: [`crate::host::preflight::interfaces`] has told. So is a proxy port that somebody
    /// else has, where no subnet depends on it: it is tried again, and told, later.
    pub fn open(snapshot: &Snapshot, links: &Links) -> Result<Self, CannotListen> {
        let has_proxies = snapshot
            .subnets
            .iter()
            .any(|subnet| subnet.mode == Mode::Proxy);
        let mut opened = Vec::new();
        for ((_, door), (interface, port)) in wanted(snapshot, &links.current()) {
            match socket::open(&interface, door, port) {
                Ok(socket) => opened.push(socket),
                Err(_) if door == Door::Proxy && !has_proxies => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { opened })
    }
}

/// An interface, by name, and what is asked there.
type Key = (Arc<str>, Door);

/// The interfaces to answer on, and the ports.
fn wanted(snapshot: &Snapshot, links: &LinkTable) -> BTreeMap<Key, (Interface, u16)> {
    let server = &snapshot.server;
    let doors = [
        (Door::Dhcp, server.dhcp_port),
        (Door::Proxy, server.proxy_port),
    ];
    server
        .interfaces
        .iter()
        .filter_map(|name| links.interface(name))
        .flat_map(|interface| {
            doors.map(|(door, port)| {
                let key = (Arc::clone(&interface.name), door);
                (key, (interface.clone(), port))
            })
        })
        .collect()
}

/// Answers until cancelled; follows interfaces that come and go, and a configuration that names other
/// interfaces or another port.
pub async fn run(ctx: Context, health: Health, sockets: Sockets, cancel: CancellationToken) {
    let mut supervisor = Supervisor {
        ctx,
        health,
        opened: sockets.opened,
        running: BTreeMap::new(),
        trouble: BTreeMap::new(),
        started: false,
    };
    let mut links = supervisor.ctx.links.watch();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            _ = ticks.tick() => {}
            changed = links.changed() => if changed.is_err() { break },
        }
        supervisor.reconcile().await;
    }
    cancel.cancelled().await;
    let keys: Vec<_> = supervisor.running.keys().cloned().collect();
    for key in keys {
        supervisor.stop(&key).await;
    }
}

struct Running {
    place: Place,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

struct Supervisor {
    ctx: Context,
    health: Health,
    opened: Vec<Opened>,
    running: BTreeMap<Key, Running>,
    /// What was told of interfaces that cannot be listened on.
    trouble: BTreeMap<Key, String>,
    started: bool,
}

impl Supervisor {
    async fn reconcile(&mut self) {
        let config = self.ctx.config();
        let links = self.ctx.links.current();
        let wanted = wanted(&config.snapshot, &links);

        let current: Vec<Key> = self.running.keys().cloned().collect();
        for key in current {
            let Some(running) = self.running.get(&key) else {
                continue;
            };
            let (name, service) = (&key.0, key.1.name());
            let keep = wanted.get(&key).is_some_and(|(interface, port)| {
                (interface.index, *port) == (running.place.index, running.place.port)
            });
            if running.task.is_finished() {
                let why = self.stop(&key).await;
                if keep {
                    self.tell(
                        Kind::ServerTrouble,
                        Reason::TaskFailed,
                        name,
                        format!("{service} on {name} ended and is started again: {why}"),
                    );
                }
            } else if !keep {
                self.stop(&key).await;
            }
            if !wanted.contains_key(&key) {
                self.tell(
                    Kind::ServerLinks,
                    Reason::LinkChange,
                    name,
                    format!("{service} no longer listens on {name}"),
                );
            }
        }
        self.trouble.retain(|key, _| wanted.contains_key(key));

        for (key, (interface, port)) in wanted {
            if !self.running.contains_key(&key) {
                self.start(key, &interface, port);
            }
        }
        self.opened.clear();
        self.started = true;
        let missing = config
            .snapshot
            .server
            .interfaces
            .iter()
            .find(|name| links.interface(name).is_none())
            .map(|name| format!("there is no interface {name}"));
        let depends_on = |door| {
            let mut subnets = config.snapshot.subnets.iter();
            door == Door::Dhcp || subnets.any(|subnet| subnet.mode == Mode::Proxy)
        };
        let closed = self
            .trouble
            .iter()
            .find(|((_, door), _)| depends_on(*door))
            .map(|(_, why)| why.clone())
            .or(missing);
        self.health.sockets(DHCP, closed);
    }

    fn start(&mut self, key: Key, interface: &Interface, port: u16) {
        let door = key.1;
        let wanted = Place {
            iface: Arc::clone(&interface.name),
            index: interface.index,
            door,
            port,
        };
        let at_hand = self.opened.iter().position(|opened| opened.place == wanted);
        let opened = match at_hand {
            Some(index) => Ok(self.opened.swap_remove(index)),
            None => socket::open(interface, door, port).map_err(|error| error.in_one_line()),
        };
        let socket =
            opened.and_then(|opened| DhcpSocket::new(opened).map_err(|error| error.to_string()));
        let name = &interface.name;
        match socket {
            Ok(socket) => {
                if self.started {
                    self.tell(
                        Kind::ServerLinks,
                        Reason::LinkChange,
                        name,
                        format!("{} listens on {name}", door.name()),
                    );
                }
                if let Some(other) = &socket.shared_with {
                    self.tell(
                        Kind::ServerTrouble,
                        Reason::LinkChange,
                        name,
                        format!(
                            "{other} listens on UDP port {port} as well; unless it serves other \
                             interfaces only, machines on {name} are answered twice"
                        ),
                    );
                }
                if let (Door::Dhcp, Err(why)) = (door, &socket.link) {
                    self.tell(
                        Kind::ServerTrouble,
                        Reason::NoRawSocket,
                        name,
                        format!("replies to machines without an address go by broadcast: {why}"),
                    );
                }
                let stop = CancellationToken::new();
                let running = Running {
                    place: socket.place.clone(),
                    stop: stop.clone(),
                    task: tokio::spawn(Service::new(self.ctx.clone(), socket).run(stop)),
                };
                self.trouble.remove(&key);
                self.running.insert(key, running);
            }
            Err(why) => {
                // Tried again each second, told once.
                if self.trouble.get(&key) != Some(&why) {
                    self.tell(Kind::ServerTrouble, Reason::LinkChange, name, why.clone());
                    self.trouble.insert(key, why);
                }
            }
        }
    }

    /// Ends one service; why it had ended, when it had.
    async fn stop(&mut self, key: &Key) -> String {
        let Some(running) = self.running.remove(key) else {
            return String::new();
        };
        running.stop.cancel();
        match running.task.await {
            Ok(Ok(())) => String::new(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        }
    }

    fn tell(&self, kind: Kind, reason: Reason, iface: &Arc<str>, detail: String) {
        let mut event = Event::new(self.ctx.now(), kind, reason).detail(detail);
        event.iface = Some(Arc::clone(iface));
        event.generation = self.ctx.config().snapshot.generation;
        self.ctx.journal.append(event);
    }
}
