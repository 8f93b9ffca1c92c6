//! Tells iPXE that there is no IPv6 router (`[boot] router_advertisement = "ipxe"`, design section 3.4).
//!
//! On each link it first asks for routers itself, and stays silent until one has had the time to answer. What
//! is answered is decided by [`crate::decide::ndp`]; each answer is one event.
//!
//! **Invariant:** nothing is sent but solicitations of our own and answers to single machines. Where a router
//! was seen nothing more is sent for as long as the daemon runs, whatever becomes of interface and configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::packet::{Budget, MAX_FRAME, PacketSocket, Wanted, is_gone};
use crate::base::HardwareAddr;
use crate::decide::ndp::{Link, Outcome, decide};
use crate::host::links::Interface;
use crate::journal::event::{Event, Kind, Reason};
use crate::wire::ndp::{self, ALL_ROUTERS};

/// How often links are compared with the configuration, and a link's own duties looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Own solicitations on a link, and the time between them (RFC 4861 section 10).
const SOLICITATIONS: u32 = 3;
const SOLICITATION_EVERY: Duration = Duration::from_secs(4);

/// A router answers within 0.5 s (`MAX_RA_DELAY_TIME`).
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// How long a link-local address may be late (the system looks for duplicates first).
const ADDRESS_AFTER: Duration = Duration::from_secs(5);

/// Solicitations and advertisements of a link that are looked at in a second.
const PER_SECOND: u32 = 500;

/// Pause after an error of the socket itself.
const PAUSE: Duration = Duration::from_millis(200);

/// Answers until cancelled; follows the configuration and interfaces that come and go.
pub async fn run(ctx: Context, cancel: CancellationToken) {
    let mut supervisor = Supervisor {
        ctx,
        running: BTreeMap::new(),
        with_router: BTreeSet::new(),
        trouble: BTreeMap::new(),
    };
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            _ = ticks.tick() => supervisor.reconcile().await,
        }
    }
    let names: Vec<_> = supervisor.running.keys().cloned().collect();
    for name in names {
        supervisor.stop(&name).await;
    }
}

/// Why the service of a link has ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It was told to, or its interface is gone.
    Stopped,
    /// There is a router.
    Router,
}

struct Running {
    index: u32,
    stop: CancellationToken,
    task: JoinHandle<End>,
}

struct Supervisor {
    ctx: Context,
    running: BTreeMap<Arc<str>, Running>,
    /// The links on which a router was seen.
    with_router: BTreeSet<Arc<str>>,
    /// What was told of links that cannot be served.
    trouble: BTreeMap<Arc<str>, String>,
}

impl Supervisor {
    async fn reconcile(&mut self) {
        let config = self.ctx.config();
        let server = &config.snapshot.server;
        let links = self.ctx.links.current();
        let wanted: BTreeMap<Arc<str>, &Interface> = server
            .interfaces
            .iter()
            .filter(|_| server.advertise_to_ipxe)
            .filter_map(|name| links.interface(name))
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
            if !self.running.contains_key(&name) && !self.with_router.contains(&name) {
                self.start(interface);
            }
        }
    }

    fn start(&mut self, interface: &Interface) {
        let name = Arc::clone(&interface.name);
        match LinkService::open(self.ctx.clone(), interface) {
            Ok(service) => {
                let stop = CancellationToken::new();
                let running = Running {
                    index: interface.index,
                    stop: stop.clone(),
                    task: tokio::spawn(service.run(stop)),
                };
                self.running.insert(Arc::clone(&name), running);
                self.trouble.remove(&name);
            }
            Err(why) => {
                // Tried again each second, told once.
                if self.trouble.get(&name) != Some(&why) {
                    let detail = format!("iPXE waits for an IPv6 router on {name}: {why}");
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
        match running.task.await {
            Ok(End::Stopped) => {}
            Ok(End::Router) => {
                self.with_router.insert(Arc::clone(name));
            }
            Err(error) => tracing::warn!(iface = %name, %error, "router advertisements ended"),
        }
    }
}

fn tell_trouble(ctx: &Context, iface: &Arc<str>, detail: String) {
    let mut event = Event::new(ctx.now(), Kind::ServerTrouble, Reason::LinkChange).detail(detail);
    event.iface = Some(Arc::clone(iface));
    event.generation = ctx.config().snapshot.generation;
    ctx.journal.append(event);
}

/// What answers on one link.
struct LinkService {
    ctx: Context,
    iface: Arc<str>,
    socket: PacketSocket,
    /// A member of the group of all routers, so that cards and switches let its packets through; nothing is
    /// received by it.
    _member: Socket,
    opened: Instant,
    /// When the first solicitation of our own was sent.
    asked: Option<Instant>,
    solicitations: u32,
    has_told_no_address: bool,
}

impl LinkService {
    fn open(ctx: Context, interface: &Interface) -> Result<Self, String> {
        let socket = PacketSocket::open(interface, Wanted::Ndp)?;
        let join = || {
            let member = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
            member.join_multicast_v6(&ALL_ROUTERS, interface.index)?;
            Ok(member)
        };
        let member = join().map_err(|error: std::io::Error| {
            format!(
                "this machine has no IPv6 there ({error}); see the sysctl \
                 net.ipv6.conf.{}.disable_ipv6, or set router_advertisement = \"off\"",
                interface.name
            )
        })?;
        Ok(Self {
            ctx,
            iface: Arc::clone(&interface.name),
            socket,
            _member: member,
            opened: Instant::now(),
            asked: None,
            solicitations: 0,
            has_told_no_address: false,
        })
    }

    async fn run(mut self, stop: CancellationToken) -> End {
        let mut budget = Budget::new(PER_SECOND);
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut frame = vec![0; MAX_FRAME];
        loop {
            let received = tokio::select! {
                () = stop.cancelled() => return End::Stopped,
                _ = ticks.tick() => {
                    if self.forwards() {
                        self.tell_router("this machine forwards IPv6 there itself \
                            (sysctl net.ipv6.conf.*.forwarding)".to_owned(), None);
                        return End::Router;
                    }
                    self.ask();
                    continue;
                }
                received = self.socket.recv(&mut frame) => received,
            };
            match received {
                Ok(length) => {
                    let began = Instant::now();
                    if self.take(frame.get(..length).unwrap_or_default(), began)
                        == Some(End::Router)
                    {
                        return End::Router;
                    }
                    tokio::select! {
                        () = stop.cancelled() => return End::Stopped,
                        () = budget.take() => {}
                    }
                }
                Err(error) if is_gone(&error) => return End::Stopped,
                Err(error) => {
                    tracing::debug!(iface = %self.iface, %error, "router solicitations");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Whether the kernel is a router there: then some program on this machine may advertise it, and what is
    /// sent from here is not received here.
    fn forwards(&self) -> bool {
        std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{}/forwarding", self.iface))
            .is_ok_and(|text| !matches!(text.trim(), "0" | ""))
    }

    /// The interface's addresses as they are now: a bridge changes its own with its ports.
    fn own(&self) -> Option<([u8; 6], Option<Ipv6Addr>)> {
        let links = self.ctx.links.current();
        let interface = links.interface(&self.iface)?;
        Some((interface.ethernet()?, interface.link_local))
    }

    /// Asks for routers, a few times after the start.
    fn ask(&mut self) {
        let Some((own, Some(from))) = self.own() else {
            if self.opened.elapsed() >= ADDRESS_AFTER && !self.has_told_no_address {
                self.has_told_no_address = true;
                let detail = format!(
                    "iPXE waits for an IPv6 router on {0}: {0} has no link-local address to answer \
                     from; give it one, or set router_advertisement = \"off\"",
                    self.iface
                );
                tell_trouble(&self.ctx, &self.iface, detail);
            }
            return;
        };
        let is_due = self
            .asked
            .is_none_or(|first| first.elapsed() >= SOLICITATION_EVERY * self.solicitations);
        if self.solicitations >= SOLICITATIONS || !is_due {
            return;
        }
        match self.socket.send(&ndp::solicitation(own, from)) {
            Ok(()) => {
                self.solicitations += 1;
                self.asked.get_or_insert_with(Instant::now);
            }
            // The interface is off, or its queue is full: at the next tick.
            Err(error) => tracing::debug!(iface = %self.iface, %error, "no router was asked for"),
        }
    }

    /// Takes a frame.
    fn take(&self, frame: &[u8], began: Instant) -> Option<End> {
        let message = ndp::read(frame).ok()?;
        let (own, link_local) = self.own()?;
        let link = Link {
            own,
            link_local,
            // With a router this service has ended.
            has_router: false,
            is_settled: self
                .asked
                .is_some_and(|first| first.elapsed() >= SETTLED_AFTER),
        };
        let sender = match &message {
            ndp::Message::Solicitation(asked) => HardwareAddr::ethernet(asked.mac),
            ndp::Message::Advertisement(told) => HardwareAddr::ethernet(told.mac),
        };
        let now = self.ctx.now();
        let ipxe_at = self.ctx.memory.get(sender).and_then(|seen| seen.ipxe_at);
        match decide(&message, &link, ipxe_at, now) {
            Outcome::Advertise { from, mac, to } => {
                let frame = ndp::empty_advertisement(link.own, from, mac, to);
                let sent = self.socket.send(&frame);
                self.tell_answer(sender, to, frame.len(), sent.err(), began);
                None
            }
            Outcome::Router { source, mac } => {
                let mac = HardwareAddr::ethernet(mac);
                self.tell_router(format!("{source}, {mac}"), Some(mac));
                Some(End::Router)
            }
            Outcome::Silent(why) => {
                tracing::trace!(iface = %self.iface, %sender, ?why, "not answered");
                None
            }
        }
    }

    fn tell_answer(
        &self,
        mac: HardwareAddr,
        to: Ipv6Addr,
        bytes: usize,
        error: Option<std::io::Error>,
        began: Instant,
    ) {
        let in_force = self.ctx.config();
        let host = in_force.snapshot.host_by_mac(mac);
        let reason = match error {
            None => Reason::NoRouter,
            Some(_) => Reason::SendFailed,
        };
        let mut event = Event::new(self.ctx.now(), Kind::NdpAdvertised, reason)
            .host(host.map(|host| host.name.clone()))
            .mac(mac)
            .detail(match error {
                None => format!("to {to}"),
                Some(error) => format!("to {to}: {error}"),
            });
        event.iface = Some(Arc::clone(&self.iface));
        event.bytes = u64::try_from(bytes).ok();
        event.took_us = u64::try_from(began.elapsed().as_micros()).ok();
        event.generation = in_force.snapshot.generation;
        self.ctx.journal.append(event);
    }

    fn tell_router(&self, detail: String, mac: Option<HardwareAddr>) {
        let mut event = Event::new(self.ctx.now(), Kind::NdpRouter, Reason::OtherRouter)
            .mac(mac)
            .detail(detail);
        event.iface = Some(Arc::clone(&self.iface));
        event.generation = self.ctx.config().snapshot.generation;
        self.ctx.journal.append(event);
    }
}
