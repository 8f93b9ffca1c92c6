//! The sockets of the boot plane: one for each IPv4 address of the configured interfaces.
//!
//! They follow addresses that come and go and a configuration that names other interfaces or another
//! port. An address that cannot be listened on (yet) is tried again; until then the daemon is
//! degraded.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{BootPlane, Front, logs};
use crate::config::Snapshot;
use crate::host::links::LinkTable;
use crate::host::preflight::{CannotListen, Transport};
use crate::journal::event::{Event, Kind, Reason};
use crate::serve::context::Context;
use crate::serve::health::HTTP;
use crate::serve::listener::{Gate, bind_tcp, serve_tcp};

/// How often the sockets are compared with what there should be.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often what hosts have left that are gone is looked through.
const PRUNED: Duration = Duration::from_secs(86_400);

/// Sockets that are open and not yet served.
#[derive(Debug, Default)]
pub struct Sockets {
    opened: BTreeMap<SocketAddrV4, std::net::TcpListener>,
}

impl Sockets {
    /// Opens one for each address of the configured interfaces.
    pub fn open(snapshot: &Snapshot, links: &LinkTable) -> Result<Self, CannotListen> {
        let mut opened = BTreeMap::new();
        for address in wanted(snapshot, links) {
            opened.insert(address, open(address)?);
        }
        Ok(Self { opened })
    }

    /// The addresses that are open.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddrV4> + '_ {
        self.opened.keys().copied()
    }
}

fn open(address: SocketAddrV4) -> Result<std::net::TcpListener, CannotListen> {
    bind_tcp(address).map_err(|error| {
        let place = address.ip().to_string();
        CannotListen::new("HTTP", place, Transport::Tcp, address.port(), error)
    })
}

/// Where the boot plane should listen.
fn wanted(snapshot: &Snapshot, links: &LinkTable) -> BTreeSet<SocketAddrV4> {
    snapshot
        .server
        .interfaces
        .iter()
        .filter_map(|name| links.interface(name))
        .flat_map(|link| link.addresses.iter())
        .map(|net| SocketAddrV4::new(net.addr(), snapshot.server.http_port))
        .collect()
}

/// Serves until cancelled, and then until what is under way has ended or was cut.
pub async fn run(plane: BootPlane, sockets: Sockets, cancel: CancellationToken) {
    let ctx = plane.ctx.clone();
    let front = Front::new(plane.clone());
    let gate = Gate::default();
    let tasks = TaskTracker::new();
    let mut listening: BTreeMap<SocketAddrV4, CancellationToken> = BTreeMap::new();
    let mut failing: BTreeMap<SocketAddrV4, String> = BTreeMap::new();
    let mut opened = sockets.opened;
    let mut links = ctx.links.watch();
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut prunes = tokio::time::interval(PRUNED);
    let mut first = true;
    loop {
        let in_force = ctx.config();
        let wanted = wanted(&in_force.snapshot, &ctx.links.current());
        listening.retain(|address, stop| {
            let stays = wanted.contains(address);
            if !stays {
                stop.cancel();
                told(&ctx, &format!("the boot plane has left {address}"));
            }
            stays
        });
        failing.retain(|address, _| wanted.contains(address));
        for address in wanted {
            if listening.contains_key(&address) {
                continue;
            }
            let listener = match opened.remove(&address) {
                Some(listener) => Ok(listener),
                None => open(address).map_err(|error| error.in_one_line()),
            };
            match listener.and_then(|listener| {
                TcpListener::from_std(listener).map_err(|error| error.to_string())
            }) {
                Ok(listener) => {
                    let stop = cancel.child_token();
                    tasks.spawn(serve_tcp(
                        listener,
                        front.clone(),
                        gate.clone(),
                        stop.clone(),
                        tasks.clone(),
                    ));
                    listening.insert(address, stop);
                    failing.remove(&address);
                    if !first {
                        told(&ctx, &format!("the boot plane answers on {address}"));
                    }
                }
                Err(error) => {
                    if failing.insert(address, error.clone()).as_ref() != Some(&error) {
                        ctx.journal.append(
                            Event::new(ctx.now(), Kind::ServerTrouble, Reason::LinkChange)
                                .ip(*address.ip())
                                .detail(error),
                        );
                    }
                }
            }
        }
        // Sockets of addresses that were gone before serving began.
        opened.clear();
        first = false;
        report(&plane, &listening, &failing);
        tokio::select! {
            () = cancel.cancelled() => break,
            _ = ticks.tick() => front.tidy(),
            _ = prunes.tick() => {
                let plane = plane.clone();
                tasks.spawn(async move { logs::prune(&plane).await });
            }
            changed = links.changed() => {
                if changed.is_err() {
                    // Nobody reads the interfaces any more; the timer goes on.
                    links = ctx.links.watch();
                }
            }
        }
    }
    tasks.close();
    tasks.wait().await;
    front.end();
}

fn report(
    plane: &BootPlane,
    listening: &BTreeMap<SocketAddrV4, CancellationToken>,
    failing: &BTreeMap<SocketAddrV4, String>,
) {
    let closed = failing.values().next().cloned().or_else(|| {
        listening
            .is_empty()
            .then(|| "no configured interface has an IPv4 address".to_owned())
    });
    plane.health.sockets(HTTP, closed);
}

fn told(ctx: &Context, what: &str) {
    ctx.journal.append(
        Event::new(ctx.now(), Kind::ServerLinks, Reason::LinkChange).detail(what.to_owned()),
    );
}
