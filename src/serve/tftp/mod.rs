//! TFTP (RFC 1350, 2347-2349, 7440): one engine for each local address of `interfaces`.
//!
//! There are two engines behind one seam, chosen by `engine` in `[tftp]`: [`native`] over the transfers of
//! [`crate::decide::transfer`], and `async-tftp`, whose gaps are stood around here and pinned by
//! `tests/async_tftp_contract.rs`. What a request gets is decided by [`crate::decide::tftp`] and the shared script
//! function; [`body`] gives its bytes and tells how it ended.
//!
//! **Invariant:** every request ends in one event, `tftp.sent` or `tftp.failed`. Nothing can be
//! written.

mod body;
mod engine;
mod handler;
mod limits;
mod native;
mod outcome;
mod spelling;
mod tap;
mod whole;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio_util::sync::CancellationToken;

pub use tap::install_tap;

use self::engine::{Engine, Spec};
use self::limits::Limits;
use self::whole::Wholes;
use super::context::Context;
use super::health::{Health, TFTP};
use crate::config::Snapshot;
use crate::host::links::{LinkTable, Links};
use crate::host::preflight::{self, CannotListen, Transport};
use crate::journal::event::{Event, Kind, Reason};

/// How often sockets are compared with the configuration and the interfaces.
const INTERVAL: Duration = Duration::from_secs(1);

/// Receive buffer of a listening socket, in bytes: a rack of machines asks at once.
const RECEIVE_BUFFER: usize = 1 << 20;

/// The sockets that were opened before the privileges were dropped.
#[derive(Debug, Default)]
pub struct Sockets {
    opened: BTreeMap<SocketAddrV4, UdpSocket>,
}

impl Sockets {
    /// Opens one socket for each IPv4 address of the configured interfaces.
    pub fn open(snapshot: &Snapshot, links: &Links) -> Result<Self, CannotListen> {
        // Here and not later: it is the service with the most descriptors, and this runs once.
        preflight::raise_descriptor_limit();
        let mut sockets = Self::default();
        for spec in wanted(snapshot, &links.current()).into_values() {
            let address = SocketAddrV4::new(spec.address, spec.port);
            sockets.opened.insert(address, open(address)?);
        }
        Ok(sockets)
    }

    /// The addresses listened on, with the ports that the system gave where port 0 was asked for.
    pub fn addresses(&self) -> Vec<std::net::SocketAddr> {
        self.opened
            .values()
            .filter_map(|socket| socket.local_addr().ok())
            .collect()
    }
}

/// The engines that the configuration and the interfaces call for.
fn wanted(snapshot: &Snapshot, links: &LinkTable) -> BTreeMap<Ipv4Addr, Spec> {
    let server = &snapshot.server;
    let mut specs = BTreeMap::new();
    for name in &server.interfaces {
        let Some(interface) = links.interface(name).filter(|interface| interface.up) else {
            continue;
        };
        let mtu = interface.mtu();
        for net in interface.addresses.iter() {
            specs.entry(net.addr()).or_insert_with(|| Spec {
                address: net.addr(),
                port: server.tftp_port,
                iface: Arc::clone(&interface.name),
                blksize: Spec::blksize(server.tftp_max_blksize, mtu),
                windowsize: server.tftp_max_windowsize,
                engine: server.tftp_engine,
            });
        }
    }
    specs
}

fn open(address: SocketAddrV4) -> Result<UdpSocket, CannotListen> {
    let open = || -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    open().map_err(|error| {
        let place = address.ip().to_string();
        CannotListen::new("TFTP", place, Transport::Udp, address.port(), error)
    })
}

/// Serves until cancelled; follows addresses that come and go, and a configuration that names other
/// interfaces, another port or other limits. Ends within two seconds and a half.
pub async fn run(ctx: Context, health: Health, sockets: Sockets, cancel: CancellationToken) {
    let mut supervisor = Supervisor {
        ctx,
        health,
        cancel: cancel.clone(),
        limits: Limits::within(preflight::raise_descriptor_limit()),
        wholes: Wholes::default(),
        opened: sockets.opened,
        engines: BTreeMap::new(),
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
    supervisor.stop_all().await;
}

struct Supervisor {
    ctx: Context,
    health: Health,
    cancel: CancellationToken,
    limits: Limits,
    wholes: Wholes,
    /// Opened before the start and not yet used.
    opened: BTreeMap<SocketAddrV4, UdpSocket>,
    engines: BTreeMap<Ipv4Addr, Engine>,
    /// What was told of addresses that cannot be listened on.
    trouble: BTreeMap<Ipv4Addr, String>,
    started: bool,
}

impl Supervisor {
    /// Starts what is called for and stops what is not.
    async fn reconcile(&mut self) {
        let config = self.ctx.config();
        let wanted = wanted(&config.snapshot, &self.ctx.links.current());

        let failed: Vec<(Ipv4Addr, String)> = self
            .engines
            .iter_mut()
            .filter_map(|(address, engine)| Some((*address, engine.failed()?)))
            .collect();
        for (address, why) in failed {
            self.engines.remove(&address);
            self.tell(
                Kind::ServerTrouble,
                Reason::TaskFailed,
                format!("TFTP on {address} ended and is started again: {why}"),
            );
        }

        let unwanted: Vec<Ipv4Addr> = self
            .engines
            .iter()
            .filter(|(address, engine)| wanted.get(address) != Some(&engine.spec))
            .map(|(address, _)| *address)
            .collect();
        for address in unwanted {
            if let Some(engine) = self.engines.remove(&address) {
                engine.stop().await;
                if !wanted.contains_key(&address) {
                    self.tell(
                        Kind::ServerLinks,
                        Reason::LinkChange,
                        format!("TFTP no longer listens on {address}"),
                    );
                }
            }
        }
        self.trouble
            .retain(|address, _| wanted.contains_key(address));

        for (address, spec) in wanted {
            if !self.engines.contains_key(&address) {
                self.start(spec);
            }
        }
        // Whatever was opened at the start and is not called for any more is closed.
        self.opened.clear();
        self.started = true;
        let closed = self.trouble.values().next().cloned().or_else(|| {
            let none = self.engines.is_empty();
            none.then(|| "no configured interface is up and has an IPv4 address".to_owned())
        });
        self.health.sockets(TFTP, closed);
    }

    fn start(&mut self, spec: Spec) {
        let at = SocketAddrV4::new(spec.address, spec.port);
        let socket = match self.opened.remove(&at) {
            Some(socket) => Ok(socket),
            None => open(at).map_err(|error| error.in_one_line()),
        };
        let (address, iface) = (spec.address, Arc::clone(&spec.iface));
        let engine = socket.and_then(|socket| {
            let (ctx, limits, wholes) = (&self.ctx, &self.limits, &self.wholes);
            Engine::start(ctx, limits, wholes, spec, socket, &self.cancel)
                .map_err(|error| error.to_string())
        });
        match engine {
            Ok(engine) => {
                self.engines.insert(address, engine);
                self.trouble.remove(&address);
                if self.started {
                    self.tell(
                        Kind::ServerLinks,
                        Reason::LinkChange,
                        format!("TFTP listens on {address} ({iface})"),
                    );
                }
            }
            Err(why) => {
                // Tried again each second, told once.
                if self.trouble.get(&address) != Some(&why) {
                    self.tell(Kind::ServerTrouble, Reason::LinkChange, why.clone());
                    self.trouble.insert(address, why);
                }
            }
        }
    }

    fn tell(&self, kind: Kind, reason: Reason, detail: String) {
        let mut event = Event::new(self.ctx.now(), kind, reason).detail(detail);
        event.generation = self.ctx.config().snapshot.generation;
        self.ctx.journal.append(event);
    }

    async fn stop_all(self) {
        let stops = self.engines.into_values().map(Engine::stop);
        futures_util::future::join_all(stops).await;
    }
}
