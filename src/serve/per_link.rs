//! One listener for each interface, on a packet socket: started and ended as configuration and interfaces
//! come and go.
//!
//! **Invariant:** an interface has at most one listener; what cannot be opened is tried again each second and
//! told once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::packet::{Opened, Wanted};
use crate::config::Snapshot;
use crate::host::links::{Interface, LinkTable};
use crate::journal::event::{Event, Kind, Reason};

/// How often listeners are compared with the configuration and the interfaces.
const INTERVAL: Duration = Duration::from_secs(1);

/// What listens.
pub(super) trait Listener {
    /// What its socket receives.
    const WANTED: Wanted;

    /// Whether this interface of the configuration is to be listened on.
    fn is_on(&self, snapshot: &Snapshot, interface: &Interface) -> bool;

    /// What it means that it cannot be: the beginning of a sentence that the error ends.
    fn in_vain(&self, iface: &str) -> String;

    /// Starts to listen. The task ends when told to, when the interface is gone, or when it has nothing to do any
    /// more (then [`Self::is_on`] says so).
    fn start(
        &self,
        interface: &Interface,
        opened: Opened,
        stop: CancellationToken,
    ) -> Result<JoinHandle<()>, String>;
}

/// The interfaces of the configuration that this machine has, by name.
fn configured<'a>(
    snapshot: &'a Snapshot,
    links: &'a LinkTable,
) -> impl Iterator<Item = &'a Interface> {
    snapshot
        .server
        .interfaces
        .iter()
        .filter_map(|name| links.interface(name))
}

/// Opens the sockets that can be opened, before the privileges are dropped. What cannot is told by
/// [`run`], which tries again.
pub(super) fn open(
    wanted: Wanted,
    snapshot: &Snapshot,
    links: &LinkTable,
    is_on: impl Fn(&Interface) -> bool,
) -> Vec<Opened> {
    configured(snapshot, links)
        .filter(|interface| is_on(interface))
        .filter_map(|interface| Opened::open(interface, wanted).ok())
        .collect()
}

/// Listens until cancelled.
pub(super) async fn run<L: Listener>(
    ctx: Context,
    listener: L,
    opened: Vec<Opened>,
    cancel: CancellationToken,
) {
    let mut listeners = Listeners {
        ctx,
        listener,
        opened,
        running: BTreeMap::new(),
        trouble: BTreeMap::new(),
    };
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            _ = ticks.tick() => listeners.reconcile().await,
        }
    }
    let names: Vec<_> = listeners.running.keys().cloned().collect();
    for name in names {
        listeners.stop(&name).await;
    }
}

struct Running {
    index: u32,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Listeners<L> {
    ctx: Context,
    listener: L,
    opened: Vec<Opened>,
    running: BTreeMap<Arc<str>, Running>,
    /// What was told of interfaces that cannot be listened on.
    trouble: BTreeMap<Arc<str>, String>,
}

impl<L: Listener> Listeners<L> {
    async fn reconcile(&mut self) {
        let config = self.ctx.config();
        let snapshot = &config.snapshot;
        let links = self.ctx.links.current();
        let wanted: BTreeMap<Arc<str>, &Interface> = configured(snapshot, &links)
            .filter(|interface| self.listener.is_on(snapshot, interface))
            .map(|interface| (Arc::clone(&interface.name), interface))
            .collect();
        let current: Vec<Arc<str>> = self.running.keys().cloned().collect();
        for name in current {
            let is_kept = self.running.get(&name).is_some_and(|running| {
                !running.task.is_finished()
                    && wanted
                        .get(&name)
                        .is_some_and(|interface| interface.index == running.index)
            });
            if !is_kept {
                self.stop(&name).await;
            }
        }
        self.trouble.retain(|name, _| wanted.contains_key(name));
        for (name, interface) in wanted {
            // What has just ended may have found that there is nothing to do.
            if !self.running.contains_key(&name) && self.listener.is_on(snapshot, interface) {
                self.start(interface);
            }
        }
        self.opened.clear();
    }

    fn start(&mut self, interface: &Interface) {
        let name = Arc::clone(&interface.name);
        let at_hand = self
            .opened
            .iter()
            .position(|opened| (&opened.iface, opened.index) == (&name, interface.index));
        let opened = match at_hand {
            Some(at) => Ok(self.opened.swap_remove(at)),
            None => Opened::open(interface, L::WANTED),
        };
        let stop = CancellationToken::new();
        let started =
            opened.and_then(|opened| self.listener.start(interface, opened, stop.clone()));
        match started {
            Ok(task) => {
                let index = interface.index;
                self.running
                    .insert(Arc::clone(&name), Running { index, stop, task });
                self.trouble.remove(&name);
            }
            Err(why) => {
                if self.trouble.get(&name) != Some(&why) {
                    let detail = format!("{}: {why}", self.listener.in_vain(&name));
                    tell_trouble(&self.ctx, &name, detail);
                    self.trouble.insert(name, why);
                }
            }
        }
    }

    async fn stop(&mut self, name: &Arc<str>) {
        let Some(running) = self.running.remove(name) else {
            return;
        };
        running.stop.cancel();
        if let Err(error) = running.task.await {
            tracing::warn!(iface = %name, %error, "a listener ended");
        }
    }
}

/// Tells of trouble on an interface.
pub(super) fn tell_trouble(ctx: &Context, iface: &Arc<str>, detail: String) {
    let mut event = Event::new(ctx.now(), Kind::ServerTrouble, Reason::LinkChange).detail(detail);
    event.iface = Some(Arc::clone(iface));
    event.generation = ctx.config().snapshot.generation;
    ctx.journal.append(event);
}
