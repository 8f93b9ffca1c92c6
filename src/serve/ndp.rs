//! Tells iPXE that there is no IPv6 router (`[boot] router_advertisement = "ipxe"`, design section 3.4).
//!
//! On each link it first asks for routers itself, and stays silent until one has had the time to answer. What
//! is answered is decided by [`crate::decide::ndp`]; each answer is one event.
//!
//! **Invariant:** nothing is sent but solicitations of our own and answers to single machines. Where a router
//! was seen nothing more is sent for as long as the daemon runs, whatever becomes of interface and configuration.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv6Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::packet::{Frames, MAX_FRAME, Opened, Wanted};
use super::per_link::{self, Listener, tell_trouble};
use crate::base::HardwareAddr;
use crate::config::Snapshot;
use crate::decide::ndp::{Link, Outcome, decide};
use crate::host::links::{Interface, Links};
use crate::journal::event::{Event, Kind, Reason};
use crate::wire::ndp::{self, ALL_ROUTERS};

/// How often a link's own duties are looked at.
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

/// The shortest time between two answers to one machine; iPXE asks again after two seconds or more.
const ANSWER_AGAIN: Duration = Duration::from_secs(1);

/// Machines whose last answer is remembered for that.
const MAX_ANSWERED: usize = 4_096;

/// The links on which a router was seen, by the names of their interfaces; for as long as the daemon runs.
#[derive(Debug, Clone, Default)]
struct Routers(Arc<Mutex<BTreeSet<Arc<str>>>>);

impl Routers {
    fn has(&self, iface: &str) -> bool {
        let routers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        routers.contains(iface)
    }

    fn add(&self, iface: &Arc<str>) {
        let mut routers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        routers.insert(Arc::clone(iface));
    }
}

/// The sockets that were opened before the privileges were dropped, and what is known of routers.
#[derive(Debug, Default)]
pub struct Sockets {
    opened: Vec<Opened>,
    routers: Routers,
}

impl Sockets {
    /// Opens those that can be opened: without them machines boot all the same, so that [`run`] tells and
    /// tries again.
    pub fn open(snapshot: &Snapshot, links: &Links) -> Self {
        Self {
            opened: per_link::open(Wanted::Ndp, snapshot, &links.current(), |_| is_on(snapshot)),
            routers: Routers::default(),
        }
    }

    /// Takes the sockets; what is known of routers stays, also for a service that is started again.
    #[must_use]
    pub fn take(&mut self) -> Self {
        Self {
            opened: std::mem::take(&mut self.opened),
            routers: self.routers.clone(),
        }
    }
}

/// Answers until cancelled; follows the configuration and interfaces that come and go.
pub async fn run(ctx: Context, sockets: Sockets, cancel: CancellationToken) {
    let advertiser = Advertiser {
        ctx: ctx.clone(),
        routers: sockets.routers,
    };
    per_link::run(ctx, advertiser, sockets.opened, cancel).await;
}

fn is_on(snapshot: &Snapshot) -> bool {
    snapshot.server.advertise_to_ipxe
}

struct Advertiser {
    ctx: Context,
    routers: Routers,
}

impl Listener for Advertiser {
    const WANTED: Wanted = Wanted::Ndp;

    fn is_on(&self, snapshot: &Snapshot, interface: &Interface) -> bool {
        is_on(snapshot) && !self.routers.has(&interface.name)
    }

    fn in_vain(&self, iface: &str) -> String {
        format!("iPXE waits for an IPv6 router on {iface}")
    }

    fn start(
        &self,
        interface: &Interface,
        opened: Opened,
        stop: CancellationToken,
    ) -> Result<JoinHandle<()>, String> {
        let service = LinkService::new(self.ctx.clone(), self.routers.clone(), interface, opened)?;
        Ok(tokio::spawn(service.run(stop)))
    }
}

/// What answers on one link.
struct LinkService {
    ctx: Context,
    routers: Routers,
    iface: Arc<str>,
    socket: Frames,
    /// A member of the group of all routers, so that cards and switches let its packets through; nothing is
    /// received by it.
    _member: Socket,
    opened: Instant,
    /// When the first solicitation of our own was sent.
    asked: Option<Instant>,
    solicitations: u32,
    has_told_no_address: bool,
    /// When machines were last answered.
    answered: HashMap<[u8; 6], Instant>,
}

impl LinkService {
    fn new(
        ctx: Context,
        routers: Routers,
        interface: &Interface,
        opened: Opened,
    ) -> Result<Self, String> {
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
            routers,
            iface: Arc::clone(&interface.name),
            socket: Frames::new(opened, PER_SECOND)?,
            _member: member,
            opened: Instant::now(),
            asked: None,
            solicitations: 0,
            has_told_no_address: false,
            answered: HashMap::new(),
        })
    }

    async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut frame = vec![0; MAX_FRAME];
        while !self.routers.has(&self.iface) {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.ask(),
                received = self.socket.next(&mut frame) => {
                    let (began, Some(received)) = (Instant::now(), received) else {
                        return;
                    };
                    let frame = frame.get(..received.length).unwrap_or_default();
                    self.take(frame, received.is_sent_here, began);
                }
            }
        }
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
    fn take(&mut self, frame: &[u8], is_sent_here: bool, began: Instant) {
        let (Ok(message), Some((own, link_local))) = (ndp::read(frame), self.own()) else {
            return;
        };
        let link = Link {
            own,
            link_local,
            has_router: self.routers.has(&self.iface),
            is_settled: self
                .asked
                .is_some_and(|first| first.elapsed() >= SETTLED_AFTER),
        };
        let sender = HardwareAddr::ethernet(message.mac());
        let ipxe_at = self.ctx.memory.get(sender).and_then(|seen| seen.ipxe_at);
        match decide(&message, is_sent_here, &link, ipxe_at, self.ctx.now()) {
            Outcome::Advertise { from, mac, to } => {
                if self.may_answer(mac) {
                    let frame = ndp::empty_advertisement(link.own, from, mac, to);
                    let sent = self.socket.send(&frame);
                    self.tell_answer(sender, to, frame.len(), sent.err(), began);
                }
            }
            Outcome::Router { source, mac } => {
                self.routers.add(&self.iface);
                self.tell_router(source, HardwareAddr::ethernet(mac), is_sent_here);
            }
            Outcome::Silent(why) => {
                tracing::trace!(iface = %self.iface, %sender, ?why, "not answered");
            }
        }
    }

    /// Whether a machine may be answered again: who forges its questions gets no more than it would.
    fn may_answer(&mut self, mac: [u8; 6]) -> bool {
        let is_recent = |at: &Instant| at.elapsed() < ANSWER_AGAIN;
        if self.answered.len() >= MAX_ANSWERED {
            self.answered.retain(|_, at| is_recent(at));
        }
        if self.answered.len() >= MAX_ANSWERED || self.answered.get(&mac).is_some_and(is_recent) {
            return false;
        }
        self.answered.insert(mac, Instant::now());
        true
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

    fn tell_router(&self, source: Ipv6Addr, mac: HardwareAddr, is_sent_here: bool) {
        let detail = if is_sent_here {
            format!("{source}, a program on this machine")
        } else {
            format!("{source}, {mac}")
        };
        let mut event = Event::new(self.ctx.now(), Kind::NdpRouter, Reason::OtherRouter)
            .mac(mac)
            .detail(detail);
        event.iface = Some(Arc::clone(&self.iface));
        event.generation = self.ctx.config().snapshot.generation;
        self.ctx.journal.append(event);
    }
}
