//! Machines without a reservation: addresses of a subnet's pool (RFC 2131 sections 4.3.1 and 4.3.2).
//!
//! **Invariant:** a machine of which nothing is known here is never refused: what it asks for is
//! granted, when it is free, or met with silence. An address is granted only as far as the table of
//! leases (in `Facts`) calls it the machine's own or free.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::{Case, Decision, Outcome, Words, destination, ignored, proxy, who};
use crate::base::Timestamp;
use crate::config::snapshot::{Card, Pool, Subnet, Unknown};
use crate::config::{Snapshot, stranger};
use crate::decide::{Arrival, Facts, Stage};
use crate::journal::event::Reason;
use crate::record::lease::{Candidate, Lease, LeaseState, QUARANTINE, Standing};
use crate::wire::dhcp::{MessageType, OptionCode, Request};

/// The longest lease of firmware and iPXE, and of machines whose lease cannot be written down. A boot
/// goes from one stage to the next within a minute or two, each asks anew and gets the same address; a
/// machine that was only switched on once is not to hold an address for an hour. Who goes on using it
/// (a long download) answers the question on the link before it is offered to anybody else.
pub const SHORT_LEASE: Duration = Duration::from_secs(300);

/// What is kept of the name that a machine tells, in characters: no host name is longer (RFC 1035
/// section 2.3.4), an option may be.
const LONGEST_NAME: usize = 255;

/// What was found out for a machine without a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolFacts {
    /// What it has and may have.
    pub standing: Standing,
    /// Whether a lease can be written down.
    pub recordable: bool,
}

/// What is done with a lease before the reply leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseAction {
    /// The address is held for the machine for a short time, in memory.
    Offer {
        /// The address.
        ip: Ipv4Addr,
        /// Whether the link is to be asked first who has it: the machine itself does not hold it by a
        /// lease that runs.
        probe: bool,
    },
    /// The lease is changed by compare-and-set.
    Change {
        /// The version that it was made from.
        expect: u64,
        /// The lease as it is to be.
        lease: Lease,
        /// Whether it is to be on disk before the reply leaves; otherwise the disk refuses.
        durable: bool,
    },
}

/// The subnet of a machine without a reservation, as an index, and its pool, when it has one: for
/// gathering its facts.
///
/// A relayed message is of the subnet that holds the link which the relay names, else the relay. A
/// direct one is of the local subnet that holds the address which the machine has or asks for, with a
/// pool or without; else of the first one with a pool.
pub fn asking_pool(
    request: &Request,
    arrival: &Arrival,
    snapshot: &Snapshot,
) -> Option<(usize, Pool)> {
    let leases = |index: usize| Some((index, snapshot.subnets.get(index)?.leases()?));
    let holding = |address: Ipv4Addr| {
        snapshot
            .subnets
            .iter()
            .position(|subnet| subnet.network.contains(&address))
    };
    if !request.giaddr.is_unspecified() {
        return leases(holding(request.selected_link().unwrap_or(request.giaddr))?);
    }
    let is_local = |subnet: &Subnet| {
        let mut own = arrival.addresses.iter();
        own.any(|own| subnet.network.contains(&own.addr()))
    };
    if let Some(address) = asked_address(request)
        && let Some(index) = holding(address)
    {
        let renews = !arrival.to.is_broadcast() && !request.ciaddr.is_unspecified();
        if renews || snapshot.subnets.get(index).is_some_and(is_local) {
            let found = leases(index);
            // What it has, or has chosen, may be another server's: another subnet's pool is not for it. A
            // DISCOVER only wishes.
            if found.is_some() || request.message_type() != Some(MessageType::Discover) {
                return found;
            }
        }
    }
    (0..snapshot.subnets.len())
        .filter(|index| snapshot.subnets.get(*index).is_some_and(is_local))
        .find_map(leases)
}

/// The address that a machine has or asks for.
pub fn asked_address(request: &Request) -> Option<Ipv4Addr> {
    Some(request.ciaddr)
        .filter(|address| !address.is_unspecified())
        .or_else(|| request.requested_address())
        .filter(|address| !address.is_unspecified())
}

/// Whether a message takes up an offer: then an offer of the same address to another machine, not taken
/// up so far, does not hinder it.
pub fn takes_offer(request: &Request) -> bool {
    request.message_type() == Some(MessageType::Request) && request.server_identifier().is_some()
}

/// Decides about a message of a machine without a reservation.
pub(super) fn decide(
    request: &Request,
    arrival: &Arrival,
    snapshot: &Snapshot,
    facts: &Facts<'_>,
    stage: Stage,
) -> Decision {
    let nobody = |reason, detail| ignored(stage, None, reason, detail);
    let Some((index, _)) = asking_pool(request, arrival, snapshot) else {
        return proxy::stranger_on_dhcp_port(request, arrival, snapshot, facts, stage)
            .unwrap_or_else(|| nobody(Reason::UnknownHost, who(request, snapshot)));
    };
    let Some(message_type) = request.message_type() else {
        let reason = if request.options.contains(OptionCode::MessageType) {
            Reason::MessageType
        } else {
            Reason::Bootp
        };
        return nobody(reason, None);
    };
    let Some(pool) = &facts.pool else {
        return nobody(
            Reason::StoreUnavailable,
            Some("which addresses are leased is not known".to_owned()),
        );
    };
    let (Some(subnet), Some(host)) = (
        snapshot.subnets.get(index),
        stranger::host(snapshot, index, request.mac, None),
    ) else {
        return nobody(Reason::NoSubnet, None);
    };
    let Some(server) =
        destination::server_address(subnet, &arrival.addresses, arrival.to, facts.route_source)
    else {
        return nobody(
            Reason::NoSubnet,
            Some(format!(
                "{} has no address towards {}; say `server` in its [[subnet]]",
                arrival.iface, subnet.network
            )),
        );
    };
    let case = |ip, subnet| Case {
        request,
        arrival,
        snapshot,
        facts,
        stage,
        host: &host,
        card: Card {
            macs: &host.macs,
            ip: None,
            subnet: Some(index),
            boot: true,
            name: None,
        },
        ip,
        subnet,
        server,
        identifier: request.server_identifier_override().unwrap_or(server),
        at_home: true,
    };
    let asks = Asks {
        request,
        now: arrival.at,
        stage,
        subnet,
        pool,
        plain: case(Ipv4Addr::UNSPECIFIED, subnet),
    };
    let mut decision = match asks.outcome(message_type) {
        Answer::Grant { ip, time, action } => {
            let subnet = Subnet {
                lease_time: time,
                ..subnet.clone()
            };
            let message_type = match message_type {
                MessageType::Discover => MessageType::Offer,
                _ => MessageType::Ack,
            };
            let mut decision = case(ip, &subnet).grant(Some(message_type));
            decision.lease = action;
            asks.told(&mut decision);
            decision
        }
        Answer::Whole(decision) => *decision,
    };
    decision.host = None;
    // Nothing is counted of strangers: their number has no bound.
    decision.loader = None;
    decision.looped = None;
    decision.holding = None;
    decision.delivery = None;
    if let Outcome::Send { reply, payload, .. } = &mut decision.outcome {
        // It has no name here.
        reply.options.remove(OptionCode::Hostname);
        *payload = reply.encode();
    }
    decision
}

enum Answer {
    Grant {
        ip: Ipv4Addr,
        time: Duration,
        action: Option<LeaseAction>,
    },
    Whole(Box<Decision>),
}

struct Asks<'a> {
    request: &'a Request,
    now: Timestamp,
    stage: Stage,
    subnet: &'a Subnet,
    pool: &'a PoolFacts,
    /// For what grants no address.
    plain: Case<'a>,
}

impl Asks<'_> {
    fn outcome(&self, message_type: MessageType) -> Answer {
        let plain = &self.plain;
        Answer::Whole(Box::new(match message_type {
            MessageType::Discover => return self.discover(),
            MessageType::Request => return self.request(),
            MessageType::Decline => self.declined(),
            MessageType::Release => self.released(),
            MessageType::Inform => plain.inform(),
            other => plain.silent(
                Reason::MessageType,
                format!("message type {}", u8::from(other)),
            ),
        }))
    }

    /// RFC 2131 section 4.3.1: its address of now or of another time, else the one that it asks for, else
    /// any that is free.
    fn discover(&self) -> Answer {
        let standing = &self.pool.standing;
        let own = standing.own.filter(|own| own.usable).map(|own| own.ip);
        let others = standing.asked.or(standing.fresh).map(|free| free.ip);
        let Some(ip) = own.or(others) else {
            return self.silent(
                Reason::PoolExhausted,
                format!(
                    "no address of {} is free",
                    self.subnet
                        .pool
                        .map_or_else(String::new, |pool| pool.to_string())
                ),
            );
        };
        let action = LeaseAction::Offer {
            ip,
            probe: standing
                .own
                .is_none_or(|own| own.ip != ip || own.until.is_none()),
        };
        Answer::Grant {
            ip,
            time: self.longest(),
            action: Some(action),
        }
    }

    fn request(&self) -> Answer {
        let standing = &self.pool.standing;
        let own = standing.own.filter(|own| own.usable);
        let asked = asked_address(self.request);
        let is_own = |ip: Ipv4Addr| own.filter(|own| own.ip == ip);
        let free = |ip: Ipv4Addr| standing.asked.filter(|free| free.ip == ip);
        if let Some(chosen) = self.request.server_identifier() {
            // SELECTING. It speaks to this server: a refusal is no surprise to it.
            if !self.plain.is_own(chosen) {
                return self.silent(Reason::OtherServer, format!("it chose {chosen}"));
            }
            let Some(ip) = self
                .request
                .requested_address()
                .or(asked)
                .or_else(|| own.map(|own| own.ip))
            else {
                return self.silent(Reason::BadRequest, "it names no address".to_owned());
            };
            let candidate = is_own(ip).map(|own| (own.version, own.until));
            let candidate = candidate.or_else(|| free(ip).map(|free| (free.version, None)));
            return match candidate {
                Some((version, until)) => self.bind(ip, version, until),
                None => self.refuse(ip),
            };
        }
        // INIT-REBOOT by option 50, RENEWING and REBINDING by `ciaddr`.
        let Some(ip) = asked else {
            return self.silent(
                Reason::BadRequest,
                "it names no server and no address".to_owned(),
            );
        };
        if let Some(own) = is_own(ip) {
            return self.bind(ip, own.version, own.until);
        }
        if standing.own.is_some_and(|own| own.granted) {
            return self.refuse(ip);
        }
        match free(ip) {
            // What was written down of it was lost, or this server took another one's place.
            Some(Candidate { version, .. }) => self.bind(ip, version, None),
            None => self.silent(
                Reason::NoLease,
                format!("it asks for {ip}, which it was never given here"),
            ),
        }
    }

    /// Grants an address, until its lease ends already or longer.
    fn bind(&self, ip: Ipv4Addr, version: u64, until: Option<Timestamp>) -> Answer {
        let wanted = self.longest();
        let left = until.map_or(Duration::ZERO, |until| until.since(self.now));
        // A machine that asks again and again is not to cause a write each time.
        if left.saturating_add(wanted / 16) >= wanted {
            return Answer::Grant {
                ip,
                time: left.min(wanted),
                action: None,
            };
        }
        let lease = self.lease(ip, LeaseState::Bound, self.now.plus(wanted));
        Answer::Grant {
            ip,
            time: wanted,
            action: Some(self.change(version, lease)),
        }
    }

    /// How long a lease is given.
    fn longest(&self) -> Duration {
        let whole = self.subnet.lease_time;
        if self.stage.is_boot() || !self.pool.recordable {
            whole.min(SHORT_LEASE)
        } else {
            whole
        }
    }

    fn declined(&self) -> Decision {
        if let Some(other) = self.plain.spoken_to_another() {
            return other;
        }
        let ip = self.request.requested_address();
        // Of what runs as its own only: a stranger is not to close the pool for the others.
        match self.running(ip) {
            Some((ip, version)) => {
                let mut decision = self.plain.silent(
                    Reason::Declined,
                    format!(
                        "{ip}; nobody is given it for {} minutes",
                        QUARANTINE.as_secs() / 60
                    ),
                );
                let until = self.now.plus(QUARANTINE);
                let lease = self.lease(ip, LeaseState::Declined, until);
                decision.lease = Some(self.change(version, lease));
                decision
            }
            None => self.plain.silent(Reason::NoLease, no_lease(ip, "declines")),
        }
    }

    fn released(&self) -> Decision {
        if let Some(other) = self.plain.spoken_to_another() {
            return other;
        }
        let ip = Some(self.request.ciaddr).filter(|ip| !ip.is_unspecified());
        match self.running(ip) {
            Some((ip, version)) => {
                let mut decision = self.plain.silent(Reason::Released, ip.to_string());
                let lease = self.lease(ip, LeaseState::Released, self.now);
                decision.lease = Some(self.change(version, lease));
                decision
            }
            None => self
                .plain
                .silent(Reason::NoLease, no_lease(ip, "gives back")),
        }
    }

    /// This address and its version, when it runs as the machine's lease.
    fn running(&self, ip: Option<Ipv4Addr>) -> Option<(Ipv4Addr, u64)> {
        let own = self.pool.standing.own?;
        (own.until.is_some() && Some(own.ip) == ip).then_some((own.ip, own.version))
    }

    fn lease(&self, ip: Ipv4Addr, state: LeaseState, until: Timestamp) -> Lease {
        Lease {
            ip,
            mac: self.request.mac,
            state,
            since: self.now,
            until,
            name: self
                .request
                .client_fqdn()
                .or_else(|| self.request.host_name())
                .map(|name| name.chars().take(LONGEST_NAME).collect()),
        }
    }

    fn change(&self, expect: u64, lease: Lease) -> LeaseAction {
        LeaseAction::Change {
            expect,
            lease,
            durable: self.pool.recordable,
        }
    }

    fn refuse(&self, asked: Ipv4Addr) -> Answer {
        let own = self.pool.standing.own.filter(|own| own.usable);
        let detail = match own {
            Some(own) => format!("it asks for {asked}, its lease is of {}", own.ip),
            None => format!("it asks for {asked}, which is not free for it"),
        };
        Answer::Whole(Box::new(self.plain.refuse(Reason::WrongAddress, detail)))
    }

    fn silent(&self, reason: Reason, detail: String) -> Answer {
        Answer::Whole(Box::new(self.plain.silent(reason, detail)))
    }

    /// Puts in the place of what a host is told why a machine gets what it gets.
    fn told(&self, decision: &mut Decision) {
        let boots = self.subnet.unknown == Unknown::Discover && self.stage.is_boot();
        if boots && decision.boot_file.is_some() {
            decision.detail = Some("then the discovery profile".into());
        } else if !boots {
            decision.reason = Reason::PoolLease;
            decision.detail = who(self.request, self.plain.snapshot).map(Words::Owned);
        }
        if !self.pool.recordable {
            let short = "a short lease, for it cannot be written down";
            decision.detail = Some(match decision.detail.take() {
                Some(detail) => format!("{detail}; {short}").into(),
                None => short.into(),
            });
        }
    }
}

fn no_lease(ip: Option<Ipv4Addr>, does: &str) -> String {
    match ip {
        Some(ip) => format!("it {does} {ip}, which it was not given here"),
        None => format!("it {does} no address"),
    }
}
