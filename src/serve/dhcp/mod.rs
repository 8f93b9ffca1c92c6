//! DHCP (RFC 2131): one socket for each interface, one decision and one event for each datagram.
//!
//! [`socket`] and [`link`] carry bytes, [`holder`] asks who has an address, [`service`] takes a datagram to its reply; here is what keeps
//! the sockets in line with the configuration and the interfaces.

mod holder;
mod link;
mod looked_at;
mod service;
mod socket;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::service::Service;
use self::socket::{DhcpSocket, Opened, Place};
use super::context::Context;
use super::health::{DHCP, Health};
use crate::config::Snapshot;
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
    /// Opens one socket for each interface of the configuration. An interface that is not there is
    /// passed over: [`crate::host::preflight::interfaces`] has told.
    pub fn open(snapshot: &Snapshot, links: &Links) -> Result<Self, CannotListen> {
        let opened = wanted(snapshot, &links.current())
            .into_values()
            .map(|(interface, port)| socket::open(&interface, port))
            .collect::<Result<_, _>>()?;
        Ok(Self { opened })
    }
}

/// The interfaces to answer on, by name, and the port.
fn wanted(snapshot: &Snapshot, links: &LinkTable) -> BTreeMap<Arc<str>, (Interface, u16)> {
    snapshot
        .server
        .interfaces
        .iter()
        .filter_map(|name| links.interface(name))
        .map(|interface| {
            (
                Arc::clone(&interface.name),
                (interface.clone(), snapshot.server.dhcp_port),
            )
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
    let names: Vec<_> = supervisor.running.keys().cloned().collect();
    for name in names {
        supervisor.stop(&name).await;
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
    running: BTreeMap<Arc<str>, Running>,
    /// What was told of interfaces that cannot be listened on.
    trouble: BTreeMap<Arc<str>, String>,
    started: bool,
}

impl Supervisor {
    async fn reconcile(&mut self) {
        let config = self.ctx.config();
        let links = self.ctx.links.current();
        let wanted = wanted(&config.snapshot, &links);

        let current: Vec<Arc<str>> = self.running.keys().cloned().collect();
        for name in current {
            let Some(running) = self.running.get(&name) else {
                continue;
            };
            let keep = wanted.get(&name).is_some_and(|(interface, port)| {
                (interface.index, *port) == (running.place.index, running.place.port)
            });
            if running.task.is_finished() {
                let why = self.stop(&name).await;
                if keep {
                    self.tell(
                        Kind::ServerTrouble,
                        Reason::TaskFailed,
                        &name,
                        format!("DHCP on {name} ended and is started again: {why}"),
                    );
                }
            } else if !keep {
                self.stop(&name).await;
            }
            if !wanted.contains_key(&name) {
                self.tell(
                    Kind::ServerLinks,
                    Reason::LinkChange,
                    &name,
                    format!("DHCP no longer listens on {name}"),
                );
            }
        }
        self.trouble.retain(|name, _| wanted.contains_key(name));

        for (name, (interface, port)) in wanted {
            if !self.running.contains_key(&name) {
                self.start(&interface, port);
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
        let closed = self.trouble.values().next().cloned().or(missing);
        self.health.sockets(DHCP, closed);
    }

    fn start(&mut self, interface: &Interface, port: u16) {
        let at_hand = self.opened.iter().position(|opened| {
            (&opened.place.iface, opened.place.index, opened.place.port)
                == (&interface.name, interface.index, port)
        });
        let opened = match at_hand {
            Some(index) => Ok(self.opened.swap_remove(index)),
            None => socket::open(interface, port).map_err(|error| error.in_one_line()),
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
                        format!("DHCP listens on {name}"),
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
                if let Err(why) = &socket.link {
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
                self.running.insert(Arc::clone(name), running);
                self.trouble.remove(name);
            }
            Err(why) => {
                // Tried again each second, told once.
                if self.trouble.get(name) != Some(&why) {
                    self.tell(Kind::ServerTrouble, Reason::LinkChange, name, why.clone());
                    self.trouble.insert(Arc::clone(name), why);
                }
            }
        }
    }

    /// Ends one service; why it had ended, when it had.
    async fn stop(&mut self, name: &Arc<str>) -> String {
        let Some(running) = self.running.remove(name) else {
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
