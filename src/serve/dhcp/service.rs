//! From a datagram to a reply and an event.
//!
//! **Invariant:** every datagram ends in one event (an unknown machine is announced besides, once in a
//! while), and no error of a datagram ends the service.

use std::future::{poll_fn, ready};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, ReusableBoxFuture};
use tokio_util::task::TaskTracker;

use super::drops::{self, Drops};
use super::holder::holder_of;
use super::looked_at::{LookedAt, Remembered, Routes};
use super::probe::Prober;
use super::socket::{Buffer, Datagram, DhcpSocket, Door, Place};
use crate::base::{HardwareAddr, Timestamp};
use crate::config::Snapshot;
use crate::config::snapshot::Host;
use crate::decide::delivery::Delivery;
use crate::decide::dhcp::pool::asking_pool;
use crate::decide::dhcp::{
    Decision, Outcome, asking_host, decide, decide_at_proxy_port, unknown_relay,
};
use crate::decide::loops::LoopGuard;
use crate::decide::{Arrival, Destination, Facts, Known, Stage};
use crate::journal::event::{Event, Kind, Reason};
use crate::journal::log::Header;
use crate::render::load::InForce;
use crate::serve::context::{Context, DiskBootFiles};
use crate::serve::foreign;
use crate::serve::memory::Sighting;
use crate::wire::dhcp::relay::port_id;
use crate::wire::dhcp::request::BOOTREQUEST;
use crate::wire::dhcp::{MessageType, Request};

/// Datagrams that may wait for something (the disk, an answer by ARP); further ones wait in the socket's
/// buffer.
const CONCURRENT: usize = 256;

/// Datagrams after which other tasks have their turn.
const TURN: usize = 64;

/// Pause after an error of the socket itself.
const PAUSE: Duration = Duration::from_millis(100);

/// The port of DHCP servers; clients listen on the next one (RFC 2131 section 4.1).
const SERVER_PORT: u16 = 67;

/// Answers on one socket.
pub(super) struct Service {
    pub(super) ctx: Context,
    pub(super) socket: DhcpSocket,
    routes: Routes,
    looked_at: LookedAt,
    /// One question at a time: a flood of DECLINEs is not to hold up everybody else.
    asking: Semaphore,
    pub(super) prober: Arc<Prober>,
}

impl Service {
    pub(super) fn new(ctx: Context, socket: DhcpSocket) -> Self {
        Self {
            ctx,
            socket,
            routes: Routes::default(),
            looked_at: LookedAt::default(),
            asking: Semaphore::new(1),
            prober: Arc::default(),
        }
    }

    /// Receives until cancelled, then finishes what has begun. The error is that of a socket which
    /// cannot be used any more (its interface is gone).
    pub(super) async fn run(self, cancel: CancellationToken) -> io::Result<()> {
        let service = Arc::new(self);
        let permits = Arc::new(Semaphore::new(CONCURRENT));
        let tasks = TaskTracker::new();
        let mut buffer = Buffer::default();
        // Nearly every answer is ready when it is first asked for: only one that has to wait becomes a
        // task. The box is used again for the next one.
        let mut rest = ReusableBoxFuture::new(ready(()));
        let mut turn = 0;
        let mut drops = Drops::default();
        let ended = loop {
            match service.socket.try_recv(&mut buffer) {
                Ok(datagram) => {
                    let began = Instant::now();
                    if datagram.dropped != 0
                        && let Some(count) = drops.note(datagram.dropped, began)
                    {
                        service.tell_of_dropped(count);
                    }
                    let is_done = poll_fn(|cx| {
                        // Whatever a packet brings about in an operator's template, the next one is answered.
                        let polled = catch_unwind(AssertUnwindSafe(|| {
                            match service.answer(datagram, began) {
                                Some(later) => {
                                    rest.set(Arc::clone(&service).answer_later(later));
                                    rest.poll(cx).is_ready()
                                }
                                None => true,
                            }
                        }));
                        Poll::Ready(polled)
                    });
                    let is_done = is_done.await.unwrap_or_else(|_| {
                        tracing::error!(iface = %service.socket.place.iface, "a DHCP message could not be dealt with: this is a fault of the daemon");
                        rest.set(ready(()));
                        true
                    });
                    if !is_done {
                        let waiting =
                            std::mem::replace(&mut rest, ReusableBoxFuture::new(ready(())));
                        let permit = tokio::select! {
                            () = cancel.cancelled() => break Ok(()),
                            permit = Arc::clone(&permits).acquire_owned() => permit,
                        };
                        tasks.spawn(async move {
                            waiting.await;
                            drop(permit);
                        });
                    }
                    turn += 1;
                    if turn < TURN {
                        continue;
                    }
                    turn = 0;
                    tokio::task::yield_now().await;
                    if cancel.is_cancelled() {
                        break Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    turn = 0;
                    let readable = tokio::select! {
                        () = cancel.cancelled() => break Ok(()),
                        readable = service.socket.readable() => readable,
                    };
                    if let Err(error) = readable {
                        break Err(error);
                    }
                }
                Err(error) if gone(&error) => break Err(error),
                Err(error) => {
                    // ENETDOWN while the interface is off, ENOBUFS: told by the supervisor if it lasts.
                    tracing::debug!(iface = %service.socket.place.iface, %error, "DHCP receive");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        tasks.close();
        tasks.wait().await;
        ended
    }

    /// Tells of packets that the kernel has dropped before they could be received.
    fn tell_of_dropped(&self, count: u32) {
        let Place { iface, port, .. } = &self.socket.place;
        let mut event = Event::new(self.ctx.now(), Kind::ServerTrouble, Reason::Overload)
            .detail(drops::in_words(count, iface, *port));
        event.iface = Some(Arc::clone(iface));
        event.generation = self.ctx.config().snapshot.generation;
        self.ctx.journal.append(event);
    }

    /// Answers a datagram, as far as nothing has to be waited for.
    fn answer(&self, datagram: Datagram<'_>, began: Instant) -> Option<Later> {
        let in_force = self.ctx.config();
        let arrival = self.arrival(&datagram);
        let request = match Request::parse(datagram.bytes) {
            Ok(request) => request,
            Err(malformed) => {
                let mut event = begin_event(
                    &in_force,
                    &arrival,
                    began,
                    Kind::DhcpMalformed,
                    Reason::Malformed,
                )
                .detail(format!("from {}: {malformed}", arrival.source));
                event.ip = known_address(*arrival.source.ip());
                self.ctx.journal.append(event);
                return None;
            }
        };
        let asked = Asked {
            in_force,
            request,
            arrival,
            began,
        };
        let Some(decision) = self.decide_now(&asked) else {
            return Some(Later::Decide(Box::new(asked)));
        };
        let sent = self.carry_out(&asked, &decision);
        if asks_who_holds(&decision) {
            return Some(Later::Tell(Box::new((asked, decision, sent))));
        }
        let ended = self.tell_of(&asked, &decision, sent, None)?;
        Some(Later::EndLease(ended, asked.arrival.at))
    }

    /// What is left of an answer, and may have to wait: for the disk, for an answer by ARP.
    async fn answer_later(self: Arc<Self>, later: Later) {
        let (asked, decision, sent) = match later {
            Later::EndLease(ip, at) => {
                self.ctx.leases().end(ip, at).await;
                return;
            }
            Later::Tell(waiting) => *waiting,
            Later::Decide(asked) => {
                let decision = self.decide(&asked).await;
                let sent = self.carry_out(&asked, &decision);
                (*asked, decision, sent)
            }
        };
        let holder = if asks_who_holds(&decision) {
            self.who_holds(&asked.in_force, &asked.request).await
        } else {
            None
        };
        if let Some(ip) = self.tell_of(&asked, &decision, sent, holder) {
            self.ctx.leases().end(ip, asked.arrival.at).await;
        }
    }

    /// Does what was decided: takes note of it and sends the reply.
    fn carry_out(&self, asked: &Asked, decision: &Decision) -> Option<Sent> {
        let Asked {
            in_force,
            request,
            arrival,
            ..
        } = asked;
        let reserved = in_force.snapshot.host_by_mac(request.mac).is_some();
        let is_request = request.op == BOOTREQUEST;
        self.ctx.memory.note_dhcp(Sighting {
            mac: request.mac,
            reserved,
            at: arrival.at,
            stage: decision.stage,
            is_ipxe: matches!(decision.stage, Stage::Ipxe { .. })
                || request.ipxe_features().is_some(),
            uuid: request.uuid(),
            delivery: decision.delivery,
            port: if reserved && is_request {
                port_id(request)
            } else {
                None
            },
        });
        if !reserved && is_request {
            let strangers = self.ctx.memory.strangers();
            strangers.note(request, arrival, decision.stage);
        }
        if let Some(holding) = decision.holding {
            self.ctx.memory.note_holding(holding, arrival.at);
        }
        let gives = matches!(&decision.outcome, Outcome::Send { reply, .. } if !reply.yiaddr.is_unspecified());
        if !gives {
            self.note_address(in_force, request, arrival.at);
        }
        match &decision.outcome {
            Outcome::Ignore => None,
            Outcome::Send {
                reply,
                payload,
                to,
                from,
            } => Some(Sent {
                len: payload.len(),
                ip: known_address(reply.yiaddr).or_else(|| known_address(reply.ciaddr)),
                how: self.send(payload, *to, *from),
            }),
        }
    }

    /// Tells what was done, in an event; `holder`: who has the address that was declined. What comes back is an
    /// address that a host was granted and that may be leased to another machine still.
    fn tell_of(
        &self,
        asked: &Asked,
        decision: &Decision,
        sent: Option<Sent>,
        holder: Option<String>,
    ) -> Option<Ipv4Addr> {
        let Asked {
            in_force,
            request,
            arrival,
            began,
        } = asked;
        let (mut kind, mut reason) = (decision.kind, decision.reason);
        // What there is to say beside the decision's own words, before and after them.
        let (mut before, mut after) = (None, holder);
        // Of a relay that nobody configured, strangers tell once in a while: a rack may be behind it.
        if reason == Reason::UnknownHost
            && let Some(relay) = unknown_relay(request, arrival, &in_force.snapshot)
            && self.ctx.memory.announce_relay(request.giaddr, arrival.at)
        {
            reason = Reason::UnknownRelay;
            before = Some(relay);
        }
        let (bytes, ip) = match sent {
            // Where another server gives the addresses, this is how one is seen to be taken.
            None => (None, taken_address(request)),
            Some(Sent { len, ip, how }) => {
                match how {
                    Ok(instead) => after = instead,
                    Err(error) => {
                        (kind, reason) = (Kind::DhcpFailed, Reason::SendFailed);
                        after = Some(error.to_string());
                    }
                }
                (u64::try_from(len).ok(), ip)
            }
        };
        let host = decision.host.as_ref();
        let header = Header::of(arrival.at, kind, host, request.mac);
        self.ctx.journal.append_with(header, || {
            let mut event = begin_event(in_force, arrival, *began, kind, reason);
            event.host.clone_from(&decision.host);
            event.mac = Some(request.mac);
            event.xid = Some(request.xid);
            event.stage = Some(decision.stage.as_str().into());
            event.file = decision.boot_file.as_deref().map(str::to_owned);
            event.ip = ip;
            event.bytes = bytes;
            let details = [
                before.as_deref(),
                decision.detail.as_deref(),
                after.as_deref(),
            ];
            let details: Vec<&str> = details.into_iter().flatten().collect();
            event.detail = (!details.is_empty()).then(|| details.join("; "));
            event
        });
        self.note_loader(in_force, request, arrival, decision);
        if decision.reason == Reason::OtherServer {
            foreign::note_choice(
                &self.ctx,
                &in_force.snapshot,
                &arrival.iface,
                &arrival.addresses,
                host,
                request,
            );
        }
        self.probe_reserved(in_force, request, decision);
        let is_shown = host.is_none() && decision.boot_file.is_some();
        if decision.reason == Reason::UnknownHost || decision.lease.is_some() || is_shown {
            self.announce(in_force, request, arrival, decision);
        }
        ip.filter(|ip| {
            decision.kind == Kind::DhcpAck
                && host.is_some()
                && self
                    .ctx
                    .leases()
                    .may_be_anothers(*ip, request.mac, arrival.at)
        })
    }

    /// The boot files on the disk, as far as they were looked for a moment ago.
    pub(super) fn files<'a>(&'a self, in_force: &'a InForce) -> Remembered<'a, DiskBootFiles<'a>> {
        let files = self.ctx.boot_files(in_force);
        self.looked_at.over(files, in_force.snapshot.generation)
    }

    /// Takes note of the address that a machine behind a relay says is its own, where another server gives
    /// the addresses. Of a machine on this link the neighbour table tells more.
    ///
    /// Only what a relay has brought teaches an address, and only one that its server has offered or granted:
    /// a remembered one (INIT-REBOOT, RFC 2131 section 4.3.2) may be refused yet.
    fn note_address(&self, in_force: &InForce, request: &Request, now: Timestamp) {
        let snapshot = &in_force.snapshot;
        let Some(address) = taken_address(request) else {
            return;
        };
        let anothers = snapshot.subnet_containing(address);
        if anothers.is_none_or(|subnet| subnet.mode.gives_addresses())
            || self.ctx.links.on_link(address).is_some()
        {
            return;
        }
        let is_its_own = request.message_type() == Some(MessageType::Request)
            && (request.server_identifier().is_some() || known_address(request.ciaddr).is_some());
        let learn = is_its_own
            && !request.giaddr.is_unspecified()
            && snapshot.host_by_mac(request.mac).is_some();
        let memory = &self.ctx.memory;
        memory.note_address(request.mac, address, learn, now);
    }

    fn arrival(&self, datagram: &Datagram<'_>) -> Arrival {
        let iface = &self.socket.place.iface;
        let addresses = self
            .ctx
            .links
            .current()
            .interface(iface)
            .map(|interface| Arc::clone(&interface.addresses))
            .unwrap_or_default();
        Arrival {
            iface: Arc::clone(iface),
            addresses,
            to: datagram.to,
            source: datagram.source,
            at: self.ctx.now(),
        }
    }

    /// The decision about a message that can be made without waiting: about a host of which nothing is
    /// recorded, as of most machines that ask for their address, and about a stranger that there is no pool for.
    fn decide_now(&self, asked: &Asked) -> Option<Decision> {
        let Asked {
            in_force,
            request,
            arrival,
            ..
        } = asked;
        let snapshot = &in_force.snapshot;
        let route_source = self.route_source(request);
        let Some(host) = asking_host(request, snapshot) else {
            let is_proxy = self.socket.place.door == Door::Proxy;
            if !is_proxy && asking_pool(request, arrival, snapshot).is_some() {
                return None;
            }
            let facts = Facts {
                known: Known::Nothing,
                files: &self.files(in_force),
                fetches: None,
                held: &[],
                delivery: Delivery::default(),
                route_source,
                pool: None,
            };
            return Some(self.decide_with(request, arrival, snapshot, &facts));
        };
        self.ctx
            .installs
            .surely_lacks(&host.name)
            .then(|| self.decide_for_host(asked, host, Known::Nothing, route_source))
    }

    /// The decision about a message, with what has to be waited for.
    async fn decide(&self, asked: &Asked) -> Decision {
        let Asked {
            in_force,
            request,
            arrival,
            ..
        } = asked;
        let route_source = self.route_source(request);
        let Some(host) = asking_host(request, &in_force.snapshot) else {
            return self
                .decide_for_stranger(in_force, request, arrival, route_source)
                .await;
        };
        let known = self.ctx.known(in_force, &host.name).await;
        self.decide_for_host(asked, host, known.as_known(), route_source)
    }

    fn decide_for_host(
        &self,
        asked: &Asked,
        host: &Host,
        known: Known<'_>,
        route_source: Option<Ipv4Addr>,
    ) -> Decision {
        let Asked {
            in_force,
            request,
            arrival,
            ..
        } = asked;
        let held = self.ctx.memory.held(host, arrival.at);
        let (delivery, fetches) = self.ctx.memory.before(request.mac);
        let facts = Facts {
            known,
            files: &self.files(in_force),
            fetches: fetches.as_ref(),
            held: &held,
            delivery,
            route_source,
            pool: None,
        };
        self.decide_with(request, arrival, &in_force.snapshot, &facts)
    }

    fn decide_with(
        &self,
        request: &Request,
        arrival: &Arrival,
        snapshot: &Snapshot,
        facts: &Facts<'_>,
    ) -> Decision {
        match self.socket.place.door {
            Door::Dhcp => decide(request, arrival, snapshot, facts),
            Door::Proxy => decide_at_proxy_port(request, arrival, snapshot, facts),
        }
    }

    fn route_source(&self, request: &Request) -> Option<Ipv4Addr> {
        if request.giaddr.is_unspecified() {
            None
        } else {
            self.routes.source_for(request.giaddr)
        }
    }

    /// Who has the address that was declined, in words. Through a relay nobody here can be asked.
    async fn who_holds(&self, in_force: &InForce, request: &Request) -> Option<String> {
        let address = request.requested_address()?;
        if !request.giaddr.is_unspecified() {
            return None;
        }
        let _one = self.asking.try_acquire().ok()?;
        let links = self.ctx.links.current();
        let interface = links.interface(&self.socket.place.iface)?;
        let found = holder_of(interface, address, request.mac).await;
        Some(match found {
            Ok(Some(mac)) => match in_force.snapshot.host_by_mac(mac) {
                Some(host) => format!("{mac} ({}) holds it", host.name),
                None => format!("{mac} holds it"),
            },
            Ok(None) => "nobody answers for it by ARP now".to_owned(),
            Err(error) => format!("who holds it could not be asked: {error}"),
        })
    }

    /// Sends a reply. `Ok(Some(_))` says how it was sent instead of as decided.
    fn send(&self, payload: &[u8], to: Destination, from: Ipv4Addr) -> io::Result<Option<String>> {
        let server_port = self.socket.place.port;
        let client_port = server_port.wrapping_add(1);
        match to {
            Destination::Relay(relay) => {
                let relay = SocketAddrV4::new(relay, server_port);
                self.socket.send(payload, from, relay)?;
                Ok(None)
            }
            Destination::Client(client) => {
                let client = SocketAddrV4::new(client, client_port);
                self.socket.send(payload, from, client)?;
                Ok(None)
            }
            Destination::Peer(peer) => {
                self.socket.send(payload, from, peer)?;
                Ok(None)
            }
            Destination::Broadcast => {
                self.broadcast(payload, from)?;
                Ok(None)
            }
            Destination::Link { yiaddr, chaddr } => {
                match self.send_frame(payload, from, yiaddr, chaddr) {
                    Ok(()) => Ok(None),
                    Err(why) => {
                        self.broadcast(payload, from)?;
                        Ok(Some(format!("sent by broadcast: {why}")))
                    }
                }
            }
            Destination::Both { yiaddr, chaddr } => {
                let framed = self.send_frame(payload, from, yiaddr, chaddr);
                let broadcast = self.broadcast(payload, from);
                match (framed, broadcast) {
                    (Ok(()), Ok(())) => Ok(None),
                    (Err(why), Ok(())) => Ok(Some(format!("by broadcast only: {why}"))),
                    (Ok(()), Err(error)) => Ok(Some(format!("as a frame only: {error}"))),
                    (Err(_), Err(error)) => Err(error),
                }
            }
        }
    }

    /// Sends a reply to everybody on the link: in a frame of its own too, for a checksum that is left to a
    /// virtual link's hardware is never filled in, and ROMs check it. Without a packet socket the system
    /// sends it.
    fn broadcast(&self, payload: &[u8], from: Ipv4Addr) -> io::Result<()> {
        let all = HardwareAddr::ethernet([0xff; 6]);
        if self
            .send_frame(payload, from, Ipv4Addr::BROADCAST, all)
            .is_ok()
        {
            return Ok(());
        }
        let client_port = self.socket.place.port.wrapping_add(1);
        let everybody = SocketAddrV4::new(Ipv4Addr::BROADCAST, client_port);
        self.socket.send(payload, from, everybody)
    }

    fn send_frame(
        &self,
        payload: &[u8],
        from: Ipv4Addr,
        yiaddr: Ipv4Addr,
        chaddr: HardwareAddr,
    ) -> Result<(), String> {
        if self.socket.place.port != SERVER_PORT {
            return Err(format!("port {SERVER_PORT} is not used"));
        }
        let link = self.socket.link.as_ref().map_err(Clone::clone)?;
        let chaddr = chaddr
            .octets()
            .ok_or_else(|| "the client is on no Ethernet".to_owned())?;
        link.send(payload, from, yiaddr, chaddr)
            .map_err(|error| error.to_string())
    }

    /// Counts the loader that firmware was named, and tells of a loop once.
    fn note_loader(
        &self,
        in_force: &InForce,
        request: &Request,
        arrival: &Arrival,
        decision: &Decision,
    ) {
        let Some(loader) = &decision.loader else {
            return;
        };
        let is_ack = decision.kind == Kind::DhcpAck;
        let is_new =
            self.ctx
                .memory
                .note_loader(request.mac, loader, decision.guard, is_ack, arrival.at);
        let Some(reason) = decision.looped.filter(|_| is_new) else {
            return;
        };
        let mut event = Event::new(arrival.at, Kind::BootLoop, reason)
            .host(decision.host.clone())
            .mac(request.mac);
        event.iface = Some(Arc::clone(&arrival.iface));
        event.stage = Some(decision.stage.as_str().into());
        event.xid = Some(request.xid);
        event.file = Some(loader.to_string());
        event.generation = in_force.snapshot.generation;
        // The other reasons say in their own words what is done.
        let done = match (reason, decision.guard) {
            (Reason::RefusedByFirmware, LoopGuard::ScriptInstead { .. }) => {
                "; this once the reply names its script instead"
            }
            (Reason::RefusedByFirmware | Reason::RefusedByShim, LoopGuard::NoBootFile { .. }) => {
                "; it gets no boot file for 10 minutes"
            }
            _ => "",
        };
        event.detail = decision
            .detail
            .as_ref()
            .map(|detail| format!("{detail}{done}"));
        self.ctx.journal.append(event);
    }

    fn announce(
        &self,
        in_force: &InForce,
        request: &Request,
        arrival: &Arrival,
        decision: &Decision,
    ) {
        if !self.ctx.memory.announce_unknown(request.mac, arrival.at) {
            return;
        }
        let mut event =
            Event::new(arrival.at, Kind::HostUnknown, Reason::UnknownHost).mac(request.mac);
        event.iface = Some(Arc::clone(&arrival.iface));
        event.stage = Some(decision.stage.as_str().into());
        event.xid = Some(request.xid);
        event.generation = in_force.snapshot.generation;
        let uuid = request
            .uuid()
            .filter(|uuid| !uuid.is_placeholder())
            .map(|uuid| format!("UUID {uuid}"));
        event.detail = match (uuid, &decision.detail) {
            (Some(uuid), Some(detail)) => Some(format!("{uuid}; {detail}")),
            (uuid, detail) => uuid.or_else(|| detail.as_deref().map(str::to_owned)),
        };
        self.ctx.journal.append(event);
    }
}

/// A message, and what it meets.
struct Asked {
    in_force: Arc<InForce>,
    request: Request,
    arrival: Arrival,
    began: Instant,
}

/// A reply that was sent.
struct Sent {
    /// Its length, in bytes.
    len: usize,
    /// The address that it is about.
    ip: Option<Ipv4Addr>,
    /// How it went, where that was not as decided.
    how: io::Result<Option<String>>,
}

/// What is left of an answer.
enum Later {
    /// All of it.
    Decide(Box<Asked>),
    /// Who has the address that was declined, and the event.
    Tell(Box<(Asked, Decision, Option<Sent>)>),
    /// The end of a lease of an address that has become a host's.
    EndLease(Ipv4Addr, Timestamp),
}

/// Whether the event tells who has the address.
fn asks_who_holds(decision: &Decision) -> bool {
    decision.reason == Reason::Declined
}

fn begin_event(
    in_force: &InForce,
    arrival: &Arrival,
    began: Instant,
    kind: Kind,
    reason: Reason,
) -> Event {
    let mut event = Event::new(arrival.at, kind, reason);
    event.iface = Some(Arc::clone(&arrival.iface));
    event.generation = in_force.snapshot.generation;
    event.took_us = u64::try_from(began.elapsed().as_micros()).ok();
    event
}

/// Whether a socket is of no more use: its interface was taken away.
fn gone(error: &io::Error) -> bool {
    use nix::libc::{EBADF, ENODEV, ENXIO};
    matches!(error.raw_os_error(), Some(ENODEV | ENXIO | EBADF))
}

/// The address that a client has (`ciaddr`), or chooses in a REQUEST.
fn taken_address(request: &Request) -> Option<Ipv4Addr> {
    let chosen = || match request.message_type() {
        Some(MessageType::Request) => request.requested_address(),
        _ => None,
    };
    known_address(request.ciaddr).or_else(chosen)
}

fn known_address(ip: Ipv4Addr) -> Option<Ipv4Addr> {
    (!ip.is_unspecified()).then_some(ip)
}
