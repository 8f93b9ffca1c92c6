//! Other DHCP servers: their replies to machines are overheard on each served interface, and looked for by
//! a DISCOVER of this server's own, at the start and on request.
//!
//! A switch passes on only what is broadcast or for this machine: most OFFERs and ACKs to machines without
//! an address are broadcast, and so is the REQUEST by which a machine chooses its server, which comes to
//! the DHCP service ([`note_choice`]). What is unicast between two others is not heard.
//!
//! **Invariant:** nothing is sent but that DISCOVER, of a machine that does not exist and never requests what it is
//! offered. What is told keeps to the bounds of [`super::heard`].

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv4Net;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::heard::{Answer, Found, Probed, Subject};
use super::packet::{Frames, MAX_FRAME, Opened, Wanted};
use super::per_link::{self, Listener};
use crate::base::{HardwareAddr, HostName};
use crate::config::Snapshot;
use crate::config::snapshot::Mode;
use crate::decide::foreign::{Place, Whose, judge, mode};
use crate::host::links::{Interface, Links};
use crate::journal::event::{Event, Foreign, Kind, Reason};
use crate::wire::dhcp::overheard::{self, Overheard, Posing, Said};
use crate::wire::dhcp::{MessageType, Request};

/// How long answers to a DISCOVER of our own are listened for: dnsmasq looks 3 s whether an address is free
/// before it offers it, ISC dhcpd 1 s.
pub const LISTEN: Duration = Duration::from_secs(5);

/// So often it is sent, a second apart: the first one may find a bridge or switch port still learning.
const ROUNDS: u32 = 2;
const ROUND_EVERY: Duration = Duration::from_secs(1);

/// How often a search goes on.
const INTERVAL: Duration = Duration::from_millis(250);

/// Replies looked at in a second.
const PER_SECOND: u32 = 500;

/// Servers told of in one search.
const MAX_FOUND: usize = 32;

/// Requests for a search that may wait.
const WAITING: usize = 16;

/// The sockets that were opened before the privileges were dropped.
#[derive(Debug, Default)]
pub struct Sockets {
    opened: Vec<Opened>,
}

impl Sockets {
    /// Opens those that can be opened; [`run`] tells and tries again.
    pub fn open(snapshot: &Snapshot, links: &Links) -> Self {
        Self {
            opened: per_link::open(Wanted::DhcpReplies, snapshot, &links.current(), |_| true),
        }
    }
}

/// Listens until cancelled; follows the configuration and interfaces that come and go.
pub async fn run(ctx: Context, sockets: Sockets, cancel: CancellationToken) {
    per_link::run(ctx.clone(), Ears { ctx }, sockets.opened, cancel).await;
}

struct Ears {
    ctx: Context,
}

impl Listener for Ears {
    const WANTED: Wanted = Wanted::DhcpReplies;

    fn is_on(&self, _: &Snapshot, _: &Interface) -> bool {
        true
    }

    fn in_vain(&self, iface: &str) -> String {
        format!("other DHCP servers on {iface} are not noticed")
    }

    fn start(
        &self,
        interface: &Interface,
        opened: Opened,
        stop: CancellationToken,
    ) -> Result<JoinHandle<()>, String> {
        let hardware = opened.hardware;
        let socket = Frames::new(opened, PER_SECOND)?;
        let (asks, asked) = mpsc::channel(WAITING);
        self.ctx.memory.others().register(&interface.name, asks);
        let ear = Ear {
            ctx: self.ctx.clone(),
            iface: Arc::clone(&interface.name),
            hardware,
            socket,
            asked,
            search: None,
            is_start: true,
        };
        Ok(tokio::spawn(ear.run(stop)))
    }
}

/// A machine has said that it chose another server.
pub(super) fn note_choice(
    ctx: &Context,
    snapshot: &Snapshot,
    iface: &Arc<str>,
    networks: &[Ipv4Net],
    host: Option<&HostName>,
    request: &Request,
) {
    let (Some(server), Some(MessageType::Request)) =
        (request.server_identifier(), request.message_type())
    else {
        return;
    };
    let address = request.requested_address();
    let relay = Some(request.giaddr).filter(|relay| !relay.is_unspecified());
    if mode(snapshot, networks, relay.or(address)) != Mode::Authoritative {
        return;
    }
    let foreign = Foreign {
        ip: server,
        mac: ctx.memory.others().card(server),
        address,
        chosen: true,
    };
    tell_machine(
        ctx,
        snapshot,
        iface,
        &Case {
            host,
            mac: request.mac,
            xid: request.xid,
            reason: Reason::ForeignChosen,
            foreign,
        },
    );
}

/// What another server has to do with a reserved machine.
struct Case<'a> {
    host: Option<&'a HostName>,
    mac: HardwareAddr,
    xid: u32,
    reason: Reason,
    foreign: Foreign,
}

fn tell_machine(ctx: &Context, snapshot: &Snapshot, iface: &Arc<str>, case: &Case<'_>) {
    let subject = Subject::Machine(case.mac, case.foreign.ip, case.reason);
    let Some(count) = ctx.memory.others().tell(subject, ctx.now()) else {
        return;
    };
    let mut event = event_of(ctx, snapshot, iface, case.reason, &case.foreign, count)
        .host(case.host.cloned())
        .mac(case.mac);
    event.xid = Some(case.xid);
    ctx.journal.append(event);
}

fn event_of(
    ctx: &Context,
    snapshot: &Snapshot,
    iface: &Arc<str>,
    reason: Reason,
    foreign: &Foreign,
    count: u64,
) -> Event {
    let address = match (foreign.address, reason) {
        (_, Reason::ForeignNak) | (None, Reason::ForeignChosen) => String::new(),
        (Some(address), _) => format!(", address {address}"),
        (None, _) => ", a boot file and no address".to_owned(),
    };
    let mut event = Event::new(ctx.now(), Kind::DhcpForeign, reason)
        .ip(foreign.ip)
        .mac(foreign.mac)
        .detail(format!("{foreign}{address}"));
    event.iface = Some(Arc::clone(iface));
    event.generation = snapshot.generation;
    event.count = (count > 1).then_some(count);
    event.foreign = Some(Box::new(foreign.clone()));
    event
}

/// What listens on one link.
struct Ear {
    ctx: Context,
    iface: Arc<str>,
    hardware: [u8; 6],
    socket: Frames,
    asked: mpsc::Receiver<Answer>,
    search: Option<Search>,
    /// Whether the search of the start is still to be made.
    is_start: bool,
}

/// A search under way.
struct Search {
    /// The machine that does not exist.
    client: [u8; 6],
    /// The first transaction; each posing has its own.
    xid: u32,
    began: Instant,
    rounds: u32,
    found: BTreeMap<(Ipv4Addr, [u8; 6]), Found>,
    answers: Vec<Answer>,
}

const POSINGS: [Posing; 2] = [Posing::Plain, Posing::Firmware];

impl Search {
    fn new() -> Result<Self, String> {
        let failed = |error| format!("the system gives no random numbers: {error}");
        let mut client = [0; 6];
        getrandom::fill(&mut client).map_err(failed)?;
        // Locally administered, of one machine (IEEE 802).
        let [first, ..] = &mut client;
        *first = 2;
        Ok(Self {
            client,
            xid: getrandom::u32().map_err(failed)? & !1,
            began: Instant::now(),
            rounds: 0,
            found: BTreeMap::new(),
            answers: Vec::new(),
        })
    }

    fn is_of(&self, heard: &Overheard) -> bool {
        heard.client == HardwareAddr::ethernet(self.client) && heard.xid & !1 == self.xid
    }
}

impl Ear {
    async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut frame = vec![0; MAX_FRAME];
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.tick(),
                Some(answer) = self.asked.recv() => self.begin(Some(answer)),
                received = self.socket.next(&mut frame) => {
                    let Some(received) = received else { return };
                    self.take(frame.get(..received.length).unwrap_or_default());
                }
            }
        }
    }

    /// Begins a search, or joins the one under way.
    fn begin(&mut self, answer: Option<Answer>) {
        if self.search.is_none() {
            match Search::new() {
                Ok(search) => self.search = Some(search),
                Err(why) => {
                    let probed = self.probed(Vec::new(), Some(why));
                    self.finish(&probed, answer.into_iter().collect());
                    return;
                }
            }
        }
        if let Some(search) = &mut self.search {
            search.answers.extend(answer);
        }
        self.tick();
    }

    fn tick(&mut self) {
        let Some(search) = &mut self.search else {
            let links = self.ctx.links.current();
            if self.is_start && links.interface(&self.iface).is_some_and(|link| link.up) {
                self.is_start = false;
                self.begin(None);
            }
            return;
        };
        let passed = search.began.elapsed();
        let mut trouble = None;
        if search.rounds < ROUNDS && passed >= ROUND_EVERY * search.rounds {
            search.rounds += 1;
            for (posing, number) in POSINGS.into_iter().zip(0..) {
                let frame =
                    overheard::discover(self.hardware, search.client, search.xid | number, posing);
                if let Err(error) = self.socket.send(&frame) {
                    trouble = Some(format!("nothing can be sent on {}: {error}", self.iface));
                }
            }
        }
        if (trouble.is_some() || passed >= LISTEN)
            && let Some(search) = self.search.take()
        {
            let servers = search.found.into_values().collect();
            let probed = self.probed(servers, trouble);
            self.finish(&probed, search.answers);
        }
    }

    fn probed(&self, servers: Vec<Found>, trouble: Option<String>) -> Probed {
        Probed {
            interface: Arc::clone(&self.iface),
            servers,
            trouble,
        }
    }

    /// Tells what a search has come to.
    fn finish(&self, probed: &Probed, answers: Vec<Answer>) {
        let (servers, trouble) = (&probed.servers, &probed.trouble);
        let in_force = self.ctx.config();
        let snapshot = &in_force.snapshot;
        for found in servers.iter().filter(|found| !found.expected) {
            let foreign = Foreign {
                ip: found.ip,
                mac: Some(found.mac),
                address: found.address,
                chosen: false,
            };
            // Told by the event below in any case; here once in a while.
            let subject = Subject::Server(found.ip, found.mac);
            let reason = Reason::ForeignServer;
            if let Some(count) = self.ctx.memory.others().tell(subject, self.ctx.now()) {
                let event = event_of(&self.ctx, snapshot, &self.iface, reason, &foreign, count);
                self.ctx.journal.append(event);
            }
        }
        let is_foreign = servers.iter().any(|found| !found.expected);
        let reason = match (trouble, is_foreign) {
            (Some(_), _) => Reason::SendFailed,
            (None, true) => Reason::ForeignServer,
            (None, false) => Reason::NoForeignServer,
        };
        let found: Vec<String> = servers
            .iter()
            .map(|found| {
                let note = if found.expected { ", as expected" } else { "" };
                format!("{} ({}){note}", found.ip, found.mac)
            })
            .collect();
        let mut event = Event::new(self.ctx.now(), Kind::DhcpProbed, reason);
        event.detail = trouble
            .clone()
            .or_else(|| (!found.is_empty()).then(|| format!("answered: {}", found.join("; "))));
        event.iface = Some(Arc::clone(&self.iface));
        event.generation = snapshot.generation;
        event.took_us = u64::try_from(LISTEN.as_micros())
            .ok()
            .filter(|_| trouble.is_none());
        self.ctx.journal.append(event);
        for answer in answers {
            // Who asked may have gone.
            let _ = answer.send(probed.clone());
        }
    }

    /// Takes a frame.
    fn take(&mut self, frame: &[u8]) {
        let Some(heard) = overheard::read(frame) else {
            return;
        };
        let in_force = self.ctx.config();
        let snapshot = &in_force.snapshot;
        let links = self.ctx.links.current();
        let own_macs: Vec<[u8; 6]> = links.iter().filter_map(Interface::ethernet).collect();
        let own_addresses: Vec<Ipv4Addr> = links
            .iter()
            .flat_map(|link| link.addresses.iter().map(Ipv4Net::addr))
            .collect();
        let networks = links
            .interface(&self.iface)
            .map(|link| Arc::clone(&link.addresses))
            .unwrap_or_default();
        let place = Place {
            snapshot,
            own_macs: &own_macs,
            own_addresses: &own_addresses,
            networks: &networks,
        };
        let whose = judge(&heard, &place);
        if whose == Whose::Own {
            return;
        }
        let card = HardwareAddr::ethernet(heard.mac);
        if let Some(search) = &mut self.search
            && search.is_of(&heard)
        {
            if search.found.len() < MAX_FOUND && matches!(heard.said, Said::Offer | Said::BootFile)
            {
                search
                    .found
                    .entry((heard.server, heard.mac))
                    .or_insert(Found {
                        ip: heard.server,
                        mac: card,
                        address: heard.address,
                        expected: whose == Whose::Expected,
                    });
            }
            return;
        }
        if whose == Whose::Expected {
            return;
        }
        self.ctx.memory.others().note_card(heard.server, card);
        let foreign = Foreign {
            ip: heard.server,
            mac: Some(card),
            address: heard.address,
            chosen: heard.said == Said::Ack,
        };
        let reason = match heard.said {
            Said::Offer => Reason::ForeignOffer,
            Said::Ack => Reason::ForeignChosen,
            Said::Nak => Reason::ForeignNak,
            Said::BootFile => Reason::ForeignBootFile,
        };
        if let Some(host) = snapshot.host_by_mac(heard.client) {
            tell_machine(
                &self.ctx,
                snapshot,
                &self.iface,
                &Case {
                    host: Some(&host.name),
                    mac: heard.client,
                    xid: heard.xid,
                    reason,
                    foreign,
                },
            );
            return;
        }
        let subject = Subject::Server(heard.server, card);
        if let Some(count) = self.ctx.memory.others().tell(subject, self.ctx.now()) {
            let reason = Reason::ForeignServer;
            let event = event_of(&self.ctx, snapshot, &self.iface, reason, &foreign, count);
            self.ctx.journal.append(event);
        }
    }
}
