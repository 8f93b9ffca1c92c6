//! The answer to one DHCP message.
//!
//! A host is known by its hardware address alone: firmware, iPXE, installer and system send different
//! client identifiers for the same machine, and all get the same address. A reservation needs no lease; it can be
//! granted at any time, after a restart too. Leases are for machines without one ([`pool`]). A UUID (option 97) is a
//! second key in two ways, and gives nothing by itself: a host that names one is not installed on a machine
//! with another (`decide::http`), and a stranger that shows one is told to be that host's machine.
//!
//! **Invariant:** a hardware address that is not reserved is answered nothing where there is no pool for
//! it, whatever it sends.

mod boot;
pub mod destination;
mod options;
pub mod pool;
mod proxy;

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::sync::Arc;

use smallvec::SmallVec;

use self::options::Lease;
use self::pool::LeaseAction;
pub use self::proxy::decide_at_proxy_port;
use super::cards::{self, Held, Holding};
use super::delivery::{Delivery, Heard};
use super::loops::LoopGuard;
use super::{Arrival, Destination, Facts, Known, Stage};
use crate::base::{HardwareAddr, HostName};
use crate::config::Snapshot;
use crate::config::options::ConfiguredOption;
use crate::config::snapshot::{Card, Host, Subnet};
use crate::journal::event::{Kind, Reason};
use crate::record::InstallState;
use crate::wire::dhcp::request::BOOTREQUEST;
use crate::wire::dhcp::{BootFile, Encoded, MessageType, OptionCode, Reply, Request, Written};
use crate::wire::pxe;

/// The particulars of an event. Most are the same from packet to packet, and of a flood they are thrown away.
pub type Words = Cow<'static, str>;

/// What is done with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Answer it.
    Send {
        /// What.
        reply: Box<Reply>,
        /// The same as bytes.
        payload: Vec<u8>,
        /// Where to.
        to: Destination,
        /// The address that it leaves from: the server identifier, where it is one of the interface's.
        from: Ipv4Addr,
    },
    /// Say nothing.
    Ignore,
}

/// What was decided, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is done.
    pub outcome: Outcome,
    /// The event's kind.
    pub kind: Kind,
    /// The event's reason.
    pub reason: Reason,
    /// The host that asked, when one is known.
    pub host: Option<HostName>,
    /// How far the machine is.
    pub stage: Stage,
    /// The boot file in the reply.
    pub boot_file: Option<Arc<str>>,
    /// The particulars, for the event.
    pub detail: Option<Words>,
    /// The loader that firmware is named, as a path under `boot_assets`.
    pub loader: Option<Arc<str>>,
    /// Why a loop is told, in an event of its own.
    pub looped: Option<Reason>,
    /// What is done about a machine that fetches its loader again and again.
    pub guard: LoopGuard,
    /// What becomes of a lease, before the reply leaves.
    pub lease: Option<LeaseAction>,
    /// What becomes of an address that several ports may have.
    pub holding: Option<Holding>,
    /// How offers to the machine have fared, when that has changed.
    pub delivery: Option<Delivery>,
}

/// The reserved host that a message is from, for gathering its facts.
pub fn asking_host<'a>(request: &Request, snapshot: &'a Snapshot) -> Option<&'a Arc<Host>> {
    snapshot.host_by_mac(request.mac)
}

/// Decides the answer to one message.
pub fn decide(
    request: &Request,
    arrival: &Arrival,
    snapshot: &Snapshot,
    facts: &Facts<'_>,
) -> Decision {
    let stage = Stage::of(request);
    let nobody = |reason, detail| ignored(stage, None, reason, detail);
    if request.op != BOOTREQUEST {
        return nobody(Reason::NotARequest, Some(format!("op {}", request.op)));
    }
    let Some(host) = asking_host(request, snapshot) else {
        return pool::decide(request, arrival, snapshot, facts, stage);
    };
    let name = host.name.clone();
    let silent = |reason, detail| ignored(stage, Some(name.clone()), reason, detail);
    let message_type = match (
        request.message_type(),
        request.options.contains(OptionCode::MessageType),
    ) {
        (Some(message_type), _) => Some(message_type),
        (None, true) => return silent(Reason::MessageType, Some("option 53 is empty".to_owned())),
        (None, false) => None,
    };
    let index = match destination::subnet_of(request, arrival, snapshot, host) {
        Ok(index) => index,
        Err(reason) => return silent(reason, Some(no_subnet(reason, request, arrival))),
    };
    let Some(subnet) = snapshot.subnets.get(index) else {
        return silent(Reason::NoSubnet, None);
    };
    let Some(card) = cards::card_of(host, request.mac, index).filter(|card| card.subnet.is_some())
    else {
        return silent(Reason::NicWithoutAddress, None);
    };
    if !subnet.mode.gives_addresses() {
        let meeting = proxy::Meeting {
            request,
            arrival,
            snapshot,
            facts,
            stage,
            host,
            card,
            subnet,
            at_home: card.subnet == Some(index),
        };
        return meeting.on_dhcp_port(message_type);
    }
    let Some(ip) = card.ip else {
        return silent(
            Reason::WrongSubnet,
            Some(elsewhere(snapshot, host, &card, subnet)),
        );
    };
    let Some(server) =
        destination::server_address(subnet, &arrival.addresses, arrival.to, facts.route_source)
    else {
        return silent(
            Reason::NoSubnet,
            Some(format!(
                "{} has no address towards {}; say `server` in its [[subnet]]",
                arrival.iface, subnet.network
            )),
        );
    };
    let case = Case {
        request,
        arrival,
        snapshot,
        facts,
        stage,
        host,
        card,
        ip,
        subnet,
        server,
        identifier: request.server_identifier_override().unwrap_or(server),
        at_home: card.subnet == Some(index),
    };
    let mut decision = match message_type {
        None => case.bootp(),
        Some(MessageType::Discover) => case.discover(),
        Some(MessageType::Request) => case.request(),
        Some(MessageType::Decline) => case.declined(),
        Some(MessageType::Release) => case.released(),
        Some(MessageType::Inform) => case.inform(),
        Some(other) => silent(
            Reason::MessageType,
            Some(format!("message type {}", u8::from(other))),
        ),
    };
    decision.delivery = case.delivery_after(&decision);
    decision
}

fn ignored(
    stage: Stage,
    host: Option<HostName>,
    reason: Reason,
    detail: Option<String>,
) -> Decision {
    Decision {
        outcome: Outcome::Ignore,
        kind: Kind::DhcpIgnored,
        reason,
        host,
        stage,
        boot_file: None,
        detail: detail.map(Words::Owned),
        loader: None,
        looped: None,
        guard: LoopGuard::Pass,
        lease: None,
        holding: None,
        delivery: None,
    }
}

/// What an unknown machine calls itself, for whoever is to adopt it.
fn who(request: &Request, snapshot: &Snapshot) -> Option<String> {
    let name = request.client_fqdn().or_else(|| request.host_name());
    let name = name.map(|name| format!("it calls itself {name}"));
    let host = request
        .uuid()
        .filter(|uuid| !uuid.is_placeholder())
        .and_then(|uuid| snapshot.host_by_uuid(uuid));
    // Another port or adapter of that machine, or a board with the same UUID: who knows is the operator.
    let machine = host.map(|host| {
        let mac = request.mac;
        format!(
            "its UUID is that of {0}; if it is that machine, add {mac} to mac of {0}",
            host.name
        )
    });
    joined(name.map(Words::Owned), machine.map(Words::Owned)).map(Words::into_owned)
}

/// What there is to say of the relay that a message came through, when nobody configured it.
pub fn unknown_relay(request: &Request, arrival: &Arrival, snapshot: &Snapshot) -> Option<String> {
    if request.giaddr.is_unspecified() {
        return None;
    }
    let link = request.selected_link().unwrap_or(request.giaddr);
    match snapshot.subnet_containing(link) {
        Some(_) => None,
        None => Some(no_subnet(Reason::UnknownRelay, request, arrival)),
    }
}

fn no_subnet(reason: Reason, request: &Request, arrival: &Arrival) -> String {
    if reason == Reason::UnknownRelay {
        let relay = request.giaddr;
        return match request.selected_link() {
            Some(link) => format!(
                "relay {relay} names the link {link}; add a [[subnet]] whose network holds {link}"
            ),
            None => format!("relay {relay}; add a [[subnet]] whose network holds {relay}"),
        };
    }
    let addresses: Vec<_> = arrival.addresses.iter().map(ToString::to_string).collect();
    if addresses.is_empty() {
        format!("{} has no IPv4 address", arrival.iface)
    } else {
        format!(
            "{} has {}, and no [[subnet]] holds one of them",
            arrival.iface,
            addresses.join(", ")
        )
    }
}

/// Where a network card belongs, and where its message came from.
fn elsewhere(snapshot: &Snapshot, host: &Host, card: &Card<'_>, from: &Subnet) -> String {
    let reserved = card
        .subnet
        .and_then(|index| snapshot.subnets.get(index))
        .map_or("another subnet", |subnet| subnet.name.as_str());
    let name = card.name.map(|name| format!(" ({name})"));
    format!(
        "{}{} is reserved in {reserved}, this came from {}",
        host.name,
        name.unwrap_or_default(),
        from.name
    )
}

/// A message of a reserved host, and what it meets.
struct Case<'a> {
    request: &'a Request,
    arrival: &'a Arrival,
    snapshot: &'a Snapshot,
    facts: &'a Facts<'a>,
    stage: Stage,
    host: &'a Host,
    /// The network card that asks.
    card: Card<'a>,
    /// The address that is granted.
    ip: Ipv4Addr,
    /// The subnet that the message is of.
    subnet: &'a Subnet,
    /// This server as that subnet's machines see it.
    server: Ipv4Addr,
    /// Option 54: this server, unless the relay stands in for it (RFC 5107).
    identifier: Ipv4Addr,
    /// Whether that is the network card's own subnet.
    at_home: bool,
}

impl Case<'_> {
    fn discover(&self) -> Decision {
        if !self.at_home {
            return self.silent(Reason::WrongSubnet, self.elsewhere());
        }
        match self.held_by_another() {
            Some(other) => self.silent(Reason::AddressHeld, self.held_words(other)),
            None => self.grant(Some(MessageType::Offer)),
        }
    }

    /// RFC 1534: the address for good, in the terms of BOOTP, which has no lease and no refusal.
    fn bootp(&self) -> Decision {
        let ciaddr = self.request.ciaddr;
        if !self.at_home {
            return self.silent(Reason::WrongSubnet, self.elsewhere());
        }
        if !ciaddr.is_unspecified() && ciaddr != self.ip {
            return self.silent(
                Reason::WrongAddress,
                format!(
                    "it has {ciaddr}, reserved is {}; BOOTP knows no refusal",
                    self.ip
                ),
            );
        }
        if let Some(other) = self.held_by_another() {
            return self.silent(Reason::AddressHeld, self.held_words(other));
        }
        let mut decision = self.grant(None);
        if decision.reason == Reason::NetworkOnly {
            decision.reason = Reason::Bootp;
        }
        decision
    }

    /// RFC 2131 section 4.3.2. What tells the states apart is 54 first, then `ciaddr`: a client that
    /// renews fills in `ciaddr` and neither 50 nor 54.
    fn request(&self) -> Decision {
        let request = self.request;
        let ciaddr = Some(request.ciaddr).filter(|address| !address.is_unspecified());
        if let Some(chosen) = request.server_identifier() {
            // SELECTING.
            if !self.is_own(chosen) {
                return self.silent(Reason::OtherServer, format!("it chose {chosen}"));
            }
            if !self.at_home {
                return self.silent(Reason::WrongSubnet, self.elsewhere());
            }
            return match request.requested_address().or(ciaddr) {
                Some(asked) if asked != self.ip => self.refuse_address(asked),
                _ => self.grant_unless_held(),
            };
        }
        // RENEWING and REBINDING by `ciaddr`, INIT-REBOOT by option 50.
        let Some(asked) = ciaddr.or_else(|| request.requested_address()) else {
            return self.silent(
                Reason::BadRequest,
                "it names no server and no address".to_owned(),
            );
        };
        if !self.at_home {
            return self.refuse(Reason::WrongSubnet, self.elsewhere());
        }
        if asked != self.ip {
            return self.refuse_address(asked);
        }
        // One that renews has the address: a bond whose hardware address has changed with its active port.
        match ciaddr {
            Some(_) => self.grant(Some(MessageType::Ack)),
            None => self.grant_unless_held(),
        }
    }

    fn grant_unless_held(&self) -> Decision {
        match self.held_by_another() {
            Some(other) => self.refuse(Reason::AddressHeld, self.held_words(other)),
            None => self.grant(Some(MessageType::Ack)),
        }
    }

    /// The port that keeps this one from the address that they share.
    fn held_by_another(&self) -> Option<HardwareAddr> {
        if cards::is_booting(self.stage, self.facts.known) {
            return None;
        }
        cards::other_holder(&self.card, self.ip, self.request.mac, self.facts.held)
    }

    fn held_words(&self, other: HardwareAddr) -> String {
        format!("{} is held by {other}", self.ip)
    }

    /// What a grant makes of an address that several ports may have.
    fn holding_after_grant(&self, message_type: Option<MessageType>) -> Option<Holding> {
        if self.card.macs.len() < 2 {
            return None;
        }
        if cards::is_booting(self.stage, self.facts.known) {
            return Some(Holding::Left(self.ip));
        }
        let held = Held {
            ip: self.ip,
            mac: self.request.mac,
        };
        (message_type != Some(MessageType::Offer)).then_some(Holding::Taken {
            held,
            lease: self.subnet.lease_time,
        })
    }

    /// What a port that gives the address back makes of it.
    fn holding_after_end(&self) -> Option<Holding> {
        let holds = self
            .facts
            .held
            .iter()
            .any(|held| (held.ip, held.mac) == (self.ip, self.request.mac));
        holds.then_some(Holding::Left(self.ip))
    }

    /// How offers to the machine have fared after this message.
    fn delivery_after(&self, decision: &Decision) -> Option<Delivery> {
        let mut delivery = self.delivery()?;
        if decision.kind == Kind::DhcpOffer {
            delivery = delivery.offered(self.arrival.at);
        }
        (delivery != self.facts.delivery).then_some(delivery)
    }

    /// How they have fared with this message; `None` for one that tells nothing about it.
    fn delivery(&self) -> Option<Delivery> {
        let heard = match self.request.message_type()? {
            MessageType::Discover => Heard::Discover,
            MessageType::Request => Heard::Request {
                ours: self
                    .request
                    .server_identifier()
                    .is_some_and(|chosen| self.is_own(chosen)),
            },
            _ => return None,
        };
        Some(self.facts.delivery.heard(heard, self.arrival.at))
    }

    /// Where a grant goes, and why when it is not as the machine asks.
    fn destination(&self, reply: &Reply) -> (Destination, Option<Words>) {
        let to = destination::destination(self.request, reply);
        let may_be_unheard = matches!(to, Destination::Link { .. } | Destination::Broadcast)
            && self.request.mac.octets().is_some()
            && !reply.yiaddr.is_unspecified();
        let both = self
            .delivery()
            .filter(|_| may_be_unheard)
            .and_then(|delivery| delivery.both(self.arrival.at));
        match both {
            None => (to, None),
            Some(both) => {
                let to = Destination::Both {
                    yiaddr: reply.yiaddr,
                    chaddr: self.request.mac,
                };
                (to, Some(both.note().into()))
            }
        }
    }

    fn declined(&self) -> Decision {
        if let Some(other) = self.spoken_to_another() {
            return other;
        }
        let ip = self.request.requested_address().unwrap_or(self.ip);
        let mut decision = self.silent(
            Reason::Declined,
            format!("{ip}; it is offered again, for this host has no other"),
        );
        decision.holding = self.holding_after_end();
        decision
    }

    fn released(&self) -> Decision {
        if let Some(other) = self.spoken_to_another() {
            return other;
        }
        let mut decision = self.silent(Reason::Released, self.request.ciaddr.to_string());
        decision.holding = self.holding_after_end();
        decision
    }

    fn inform(&self) -> Decision {
        if !self.at_home {
            return self.silent(Reason::WrongSubnet, self.elsewhere());
        }
        let mut reply = Reply::to(self.request, MessageType::Ack);
        reply.ciaddr = self.request.ciaddr;
        reply.options = options::network(
            self.request,
            self.host,
            self.subnet,
            self.identifier,
            Lease::None,
        );
        reply.configured = self.configured(Lease::None);
        let to = destination::inform_destination(self.request, self.arrival);
        if matches!(to, Destination::Relay(_)) {
            reply.broadcast = true;
        }
        self.send(reply, to, Kind::DhcpAck, Reason::NetworkOnly, None)
    }

    /// A message to another server that came here because it was broadcast.
    fn spoken_to_another(&self) -> Option<Decision> {
        let chosen = self
            .request
            .server_identifier()
            .filter(|chosen| !self.is_own(*chosen))?;
        Some(self.silent(Reason::OtherServer, format!("it speaks to {chosen}")))
    }

    /// Whether a server identifier is this server's: what it tells this subnet, or an address of
    /// the interface that the message came in on.
    fn is_own(&self, identifier: Ipv4Addr) -> bool {
        identifier == self.server
            || identifier == self.identifier
            || self
                .arrival
                .addresses
                .iter()
                .any(|own| own.addr() == identifier)
    }

    fn elsewhere(&self) -> String {
        elsewhere(self.snapshot, self.host, &self.card, self.subnet)
    }

    /// The address, and what to boot; `None` as message type: by BOOTP.
    fn grant(&self, message_type: Option<MessageType>) -> Decision {
        let (request, host) = (self.request, self.host);
        let lease = match message_type {
            Some(_) => Lease::Granted,
            None => Lease::None,
        };
        let mut reply = Reply::to(request, message_type);
        reply.yiaddr = self.ip;
        if message_type != Some(MessageType::Offer) {
            reply.ciaddr = request.ciaddr;
        }
        reply.options = options::network(request, host, self.subnet, self.identifier, lease);
        reply.configured = self.configured(lease);
        if self.stage.is_boot()
            && let Some(identifier) = request.machine_identifier()
        {
            // RFC 4578 section 2.3 has it in all packets of PXE, both ways; PXELINUX asks for the
            // configuration of its UUID only when it comes back.
            reply
                .options
                .put(OptionCode::ClientMachineIdentifier, identifier);
        }
        let answer = if self.card.boot || self.stage == Stage::Os {
            boot::boot(
                request,
                self.stage,
                self.snapshot,
                self.facts,
                host,
                self.server,
                self.arrival.at,
            )
            .with_doubt(request, self.stage)
        } else {
            boot::BootAnswer::none(Reason::NicDoesNotBoot, None)
        };
        if let Some(file) = &answer.file {
            let tftp = answer.server.unwrap_or(self.server);
            reply.siaddr = tftp;
            put_as_text(&mut reply.options, OptionCode::TFTPServerName, tftp);
            let http_boot = matches!(self.stage, Stage::HttpBoot { .. });
            reply.boot_file = Some(BootFile {
                name: Arc::clone(file),
                terminated: !http_boot,
            });
            if http_boot {
                // EDK2 takes an offer for HTTP Boot by this option alone. A PXEClient never gets its
                // own back: it would then ask port 4011.
                reply
                    .options
                    .put(OptionCode::ClassIdentifier, pxe::HTTP_CLIENT.as_bytes());
            }
        }
        let kind = match message_type {
            Some(MessageType::Offer) => Kind::DhcpOffer,
            _ => Kind::DhcpAck,
        };
        let (to, both) = self.destination(&reply);
        let note = joined(answer.note, both);
        let mut decision = self.send(reply, to, kind, answer.reason, note);
        decision.holding = self.holding_after_grant(message_type);
        decision.boot_file = answer.file;
        decision.loader = answer.loader;
        decision.looped = answer.looped;
        decision.guard = answer.guard;
        decision
    }

    fn configured(&self, lease: Lease) -> Vec<(u8, Arc<[u8]>)> {
        let of_profile = self.of_profile();
        options::configured(
            self.request,
            self.stage,
            &of_profile,
            self.host,
            self.subnet,
            lease,
        )
    }

    /// What its profile has for the system that is installing this host: for the card that was armed, from the
    /// script to the report of the end. They may hold the token of the arming.
    fn of_profile(&self) -> Vec<ConfiguredOption> {
        let Known::Record(record) = self.facts.known else {
            return Vec::new();
        };
        let is_installing = matches!(
            record.state,
            InstallState::Booting | InstallState::Installing
        );
        if self.stage != Stage::Os || !is_installing || !record.macs.contains(&self.request.mac) {
            return Vec::new();
        }
        let profile = record.profile.as_ref();
        match (
            profile.and_then(|name| self.snapshot.profile(name)),
            &record.token,
        ) {
            (Some(profile), Some(token)) if !profile.options.is_empty() => self
                .facts
                .files
                .options_of(self.host, profile, token, self.server),
            _ => Vec::new(),
        }
    }

    fn refuse_address(&self, asked: Ipv4Addr) -> Decision {
        self.refuse(
            Reason::WrongAddress,
            format!("it asks for {asked}, reserved is {}", self.ip),
        )
    }

    fn refuse(&self, reason: Reason, detail: String) -> Decision {
        let mut reply = Reply::to(self.request, MessageType::Nak);
        // RFC 2131 section 4.3.2: through a relay it must reach a client that has no address there.
        reply.broadcast |= !self.request.giaddr.is_unspecified();
        reply
            .options
            .put_address(OptionCode::ServerIdentifier, self.identifier);
        reply
            .options
            .put(OptionCode::Message, reason.sentence().as_bytes());
        let to = destination::destination(self.request, &reply);
        self.send(reply, to, Kind::DhcpNak, reason, Some(detail.into()))
    }

    fn silent(&self, reason: Reason, detail: String) -> Decision {
        ignored(
            self.stage,
            Some(self.host.name.clone()),
            reason,
            Some(detail),
        )
    }

    fn send(
        &self,
        reply: Reply,
        to: Destination,
        kind: Kind,
        reason: Reason,
        mut detail: Option<Words>,
    ) -> Decision {
        let Encoded {
            bytes: payload,
            left_out,
        } = reply.assemble();
        if !left_out.is_empty() {
            let codes: Vec<_> = left_out.iter().map(ToString::to_string).collect();
            let no_room = format!(
                "no room for option {} in what the client takes",
                codes.join(", ")
            );
            detail = joined(detail, Some(no_room.into()));
        }
        let from = destination::source_address(
            self.server,
            self.subnet,
            self.arrival,
            self.facts.route_source,
        );
        Decision {
            outcome: Outcome::Send {
                reply: Box::new(reply),
                payload,
                to,
                from,
            },
            kind,
            reason,
            host: Some(self.host.name.clone()),
            stage: self.stage,
            boot_file: None,
            detail,
            loader: None,
            looped: None,
            guard: LoopGuard::Pass,
            lease: None,
            holding: None,
            delivery: None,
        }
    }
}

/// Two particulars of one event.
fn joined(first: Option<Words>, second: Option<Words>) -> Option<Words> {
    match (first, second) {
        (Some(first), Some(second)) => Some(format!("{first}; {second}").into()),
        (first, second) => first.or(second),
    }
}

/// Puts in an address as text.
fn put_as_text(options: &mut Written, code: OptionCode, address: Ipv4Addr) {
    let mut text = SmallVec::<[u8; 15]>::new();
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push(b'.');
        }
        for unit in [100, 10, 1] {
            if octet >= unit || unit == 1 {
                text.push(b'0' + octet / unit % 10);
            }
        }
    }
    options.put(code, &text);
}

#[cfg(test)]
mod tests;
