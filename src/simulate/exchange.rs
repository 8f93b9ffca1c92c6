//! The DHCP of a simulated machine: what it sends, what this server answers, and what the machine makes of it.

use std::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;

use super::drive::{Drive, NOW};
use super::machine::{Client, Message};
use super::packet;
use super::{Got, Sent, Step};
use crate::base::BootLoader;
use crate::config::signed::{self, Signed};
use crate::config::snapshot::Mode;
use crate::decide::delivery::Delivery;
use crate::decide::dhcp::pool::{LeaseAction, PoolFacts, asked_address, asking_pool, takes_offer};
use crate::decide::dhcp::{Decision, Outcome, decide, decide_at_proxy_port};
use crate::decide::{Arrival, BootFiles as _, Destination, Facts, Known, Stage};
use crate::journal::event::Reason;
use crate::render::base_url;
use crate::wire::dhcp::{MessageType, OptionCode, Reply, Request};

/// What a machine has after its DHCP.
pub(super) struct Lease {
    /// Its address.
    pub(super) ip: Ipv4Addr,
    /// The server of its boot file.
    pub(super) next_server: Ipv4Addr,
    /// Its boot file: a name or a URL.
    pub(super) file: Option<String>,
}

/// At which port this server is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Dhcp,
    Proxy,
}

/// The reply that a decision has led to.
struct Answer {
    kind: MessageType,
    reply: Reply,
}

impl Drive<'_> {
    /// From DISCOVER to ACK; `None`: the machine has no address after it.
    pub(super) fn exchange(&mut self, client: Client) -> Option<Lease> {
        let offered = self.say(client, MessageType::Discover, None, None, Door::Dhcp);
        match self.mode() {
            Mode::Authoritative => self.accept(client, &offered?),
            Mode::Proxy => Some(self.beside(client, offered)),
            Mode::Off => Some(self.sent_here(client)),
        }
    }

    fn accept(&mut self, client: Client, offered: &Answer) -> Option<Lease> {
        if offered.kind != MessageType::Offer {
            return None;
        }
        let server = identifier(&offered.reply)?;
        let chosen = Some((server, offered.reply.yiaddr));
        let granted = self.say(client, MessageType::Request, chosen, None, Door::Dhcp)?;
        (granted.kind == MessageType::Ack).then(|| lease(&granted.reply, granted.reply.yiaddr))
    }

    /// Beside another server: the address is that one's, and what to boot this one's, of its offer or of port 4011.
    fn beside(&mut self, client: Client, offered: Option<Answer>) -> Lease {
        let ip = self.address_elsewhere();
        let other = self.other_server();
        // What it asks of the other server comes here too, by broadcast.
        self.say(
            client,
            MessageType::Request,
            Some((other, ip)),
            None,
            Door::Dhcp,
        );
        let nothing = Lease {
            ip,
            next_server: Ipv4Addr::UNSPECIFIED,
            file: None,
        };
        let Some(offered) = offered else {
            return nothing;
        };
        let takes_offer = offered
            .reply
            .options
            .get(OptionCode::VendorExtensions)
            .is_some()
            || !matches!(client, Client::Pxe(_));
        if takes_offer {
            return lease(&offered.reply, ip);
        }
        match self.say(client, MessageType::Request, None, Some(ip), Door::Proxy) {
            Some(told) => lease(&told.reply, ip),
            None => nothing,
        }
    }

    /// Where this server says nothing by DHCP: what the other one is to say, so that machines come here.
    fn sent_here(&mut self, client: Client) -> Lease {
        let ip = self.address_elsewhere();
        let file = match client {
            Client::Pxe(_) | Client::HttpBoot(_) => self.loader_elsewhere(client),
            Client::Ipxe(_) => Some(format!("{}/boot/boot.ipxe", self.base())),
            Client::Grub | Client::Os => None,
        };
        if matches!(client, Client::Grub | Client::Os) {
            return Lease {
                ip,
                next_server: Ipv4Addr::UNSPECIFIED,
                file,
            };
        }
        let got = Got {
            delivery: Some("as it chooses".to_owned()),
            address: Some(ip),
            next_server: file.is_some().then_some(self.site.server),
            file: file.clone(),
            ..Got::new("the other server's reply")
        };
        self.push(Step {
            stage: client.stage(),
            sends: Sent {
                what: "DHCP",
                to: "the other DHCP server".to_owned(),
                file: None,
                options: Vec::new(),
            },
            gets: Some(got),
            reason: Reason::ModeOff,
            why: Reason::ModeOff.sentence(),
            detail: Some(
                "it is taken to send its machines here, by the lines of `bootwright router-config`"
                    .to_owned(),
            ),
            remedy: None,
        });
        Lease {
            ip,
            next_server: self.site.server,
            file,
        }
    }

    /// The loader that the other server is to name.
    fn loader_elsewhere(&self, client: Client) -> Option<String> {
        let (Client::Pxe(firmware) | Client::HttpBoot(firmware)) = client else {
            return None;
        };
        let snapshot = &self.site.in_force.snapshot;
        let by_http = matches!(client, Client::HttpBoot(_));
        let host = self.site.host.as_deref();
        let signed = host.filter(|host| snapshot.boots_signed(host) && firmware.is_uefi());
        let loader = match (signed, host) {
            (Some(host), _) => {
                let profile = host
                    .profile
                    .as_ref()
                    .and_then(|name| snapshot.profile(name));
                let is_there = |path: &str| self.site.files.is_there(path);
                let profile = profile.map(AsRef::as_ref);
                match signed::loader(snapshot, profile, firmware, by_http, &is_there) {
                    Signed::Loader(loader) => loader,
                    Signed::Missing(_) => return None,
                }
            }
            (None, Some(host)) => snapshot.server.loader_of(host, firmware)?.to_owned(),
            (None, None) => snapshot.server.loaders.get(&firmware)?.clone(),
        };
        if by_http && !loader.contains("://") {
            Some(format!("{}/assets/{loader}", self.base()))
        } else {
            Some(loader)
        }
    }

    pub(super) fn base(&self) -> String {
        base_url(
            self.site.server,
            self.site.in_force.snapshot.server.http_port,
        )
    }

    fn mode(&self) -> Mode {
        let subnets = &self.site.in_force.snapshot.subnets;
        subnets
            .get(self.site.subnet)
            .map(|subnet| subnet.mode)
            .unwrap_or_default()
    }

    /// The address that another server gives the machine: the host's, else the last one of the network.
    fn address_elsewhere(&self) -> Ipv4Addr {
        let reserved = self.site.host.as_deref().and_then(|host| {
            let mut cards = host
                .cards()
                .filter(|card| card.macs.contains(&self.site.mac));
            cards.find_map(|card| card.ip.filter(|_| card.subnet == Some(self.site.subnet)))
        });
        reserved.unwrap_or_else(|| {
            let network = self.network();
            Ipv4Addr::from(u32::from(network.broadcast()).saturating_sub(1))
        })
    }

    /// The other server: the router, as in most networks that have one.
    fn other_server(&self) -> Ipv4Addr {
        let subnets = &self.site.in_force.snapshot.subnets;
        let router = subnets
            .get(self.site.subnet)
            .and_then(|subnet| subnet.router);
        router.unwrap_or_else(|| Ipv4Addr::from(u32::from(self.network().network()) + 1))
    }

    fn network(&self) -> Ipv4Net {
        let subnets = &self.site.in_force.snapshot.subnets;
        subnets
            .get(self.site.subnet)
            .map(|subnet| subnet.network)
            .unwrap_or_default()
    }

    /// Sends a message, and writes down what becomes of it.
    fn say(
        &mut self,
        client: Client,
        kind: MessageType,
        chosen: Option<(Ipv4Addr, Ipv4Addr)>,
        has: Option<Ipv4Addr>,
        door: Door,
    ) -> Option<Answer> {
        let site = self.site.clone();
        let snapshot = &site.in_force.snapshot;
        let bytes = client.message(&Message {
            kind,
            mac: site.octets,
            uuid: self.uuid,
            giaddr: match (door, site.ask.relay) {
                (Door::Dhcp, Some(relay)) => relay,
                _ => Ipv4Addr::UNSPECIFIED,
            },
            ciaddr: has.unwrap_or(Ipv4Addr::UNSPECIFIED),
            chosen,
        });
        let request = Request::parse(&bytes).ok()?;
        let arrival = self.arrival(door, has);
        let pool = self.pool_facts(&request, &arrival);
        let facts = Facts {
            known: self.known(),
            files: site.files,
            route_source: site.ask.relay.map(|_| site.server),
            fetches: None,
            pool,
            held: &[],
            delivery: Delivery::default(),
        };
        let decision = match door {
            Door::Dhcp => decide(&request, &arrival, snapshot, &facts),
            Door::Proxy => decide_at_proxy_port(&request, &arrival, snapshot, &facts),
        };
        if decision.stage.is_boot() {
            self.seen = decision.stage.architecture();
        }
        self.note_lease(&decision);
        let to = match (door, site.ask.relay) {
            (Door::Proxy, _) => format!("{}, port {}", site.server, snapshot.server.proxy_port),
            (Door::Dhcp, Some(relay)) => format!("everybody; the relay {relay} passes it on"),
            (Door::Dhcp, None) => "everybody, port 67".to_owned(),
        };
        self.push(Step {
            stage: match (client, decision.stage) {
                (Client::Os, _) if self.installing => "installer",
                (_, Stage::Os) => client.stage(),
                (_, told) => told.as_str(),
            },
            sends: Sent {
                what: packet::message(Some(u8::from(kind))),
                to,
                file: None,
                options: packet::shown(&request.options),
            },
            gets: got(&decision),
            reason: decision.reason,
            why: decision.reason.sentence(),
            detail: decision.detail.as_deref().map(str::to_owned),
            remedy: decision.reason.remedy(),
        });
        self.reason = decision.reason;
        self.detail = decision.detail.as_deref().map(str::to_owned);
        match decision.outcome {
            Outcome::Ignore => None,
            Outcome::Send { reply, .. } => Some(Answer {
                kind: reply.message_type()?,
                reply: *reply,
            }),
        }
    }

    fn arrival(&self, door: Door, has: Option<Ipv4Addr>) -> Arrival {
        let site = &self.site;
        let network = self.network();
        // One that stands before this server (`server` may be an address that is forwarded here) is none of its own.
        let own = if network.contains(&site.server) {
            site.server
        } else {
            Ipv4Addr::from(u32::from(network.network()) + 2)
        };
        let own = Ipv4Net::new(own, network.prefix_len()).ok();
        let (to, source) = match (door, site.ask.relay) {
            (Door::Proxy, _) => (
                site.server,
                SocketAddrV4::new(has.unwrap_or(Ipv4Addr::UNSPECIFIED), 68),
            ),
            (Door::Dhcp, Some(relay)) => (site.server, SocketAddrV4::new(relay, 67)),
            (Door::Dhcp, None) => (
                Ipv4Addr::BROADCAST,
                SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68),
            ),
        };
        let is_local = site.ask.relay.is_none();
        Arrival {
            iface: site.interface.into(),
            addresses: own.filter(|_| is_local).into_iter().collect(),
            to,
            source,
            at: NOW,
        }
    }

    pub(super) fn known(&self) -> Known<'_> {
        match &self.record {
            Some(record) => Known::Record(record),
            None => Known::Nothing,
        }
    }

    fn pool_facts(&mut self, request: &Request, arrival: &Arrival) -> Option<PoolFacts> {
        let snapshot = &self.site.in_force.snapshot;
        let (_, pool) = asking_pool(request, arrival, snapshot)?;
        let server = self.site.server;
        let never = |ip: Ipv4Addr| ip == server || snapshot.host_by_ip(ip).is_some();
        self.leases.set_pools([pool]);
        let standing = self.leases.standing(
            pool,
            self.site.mac,
            asked_address(request),
            takes_offer(request),
            never,
            NOW,
        );
        Some(PoolFacts {
            standing,
            recordable: true,
        })
    }

    fn note_lease(&mut self, decision: &Decision) {
        match &decision.lease {
            Some(LeaseAction::Offer { ip, .. }) => {
                self.leases.offer(*ip, self.site.mac, NOW);
            }
            Some(LeaseAction::Change { expect, lease, .. }) => {
                self.leases.put(expect + 1, lease.clone());
            }
            None => {}
        }
    }

    /// Whether the firmware, which runs signed programs only, runs this file.
    pub(super) fn runs(&self, path: &str) -> bool {
        let told = self
            .site
            .files
            .head(path)
            .and_then(|head| crate::wire::looks::is_signed(&head));
        told.unwrap_or_else(|| {
            // What is not there to be looked at: loaders that are chosen for Secure Boot are signed.
            BootLoader::of_file(path) != BootLoader::Ipxe || signed::is_signed_ipxe(path)
        })
    }
}

fn identifier(reply: &Reply) -> Option<Ipv4Addr> {
    let data = reply.options.get(OptionCode::ServerIdentifier)?;
    <[u8; 4]>::try_from(data).ok().map(Ipv4Addr::from)
}

fn lease(reply: &Reply, ip: Ipv4Addr) -> Lease {
    Lease {
        ip,
        next_server: reply.siaddr,
        file: reply.boot_file.as_ref().map(|file| file.name.to_string()),
    }
}

/// A reply as it is shown: by the bytes that leave.
fn got(decision: &Decision) -> Option<Got> {
    let Outcome::Send {
        reply, payload, to, ..
    } = &decision.outcome
    else {
        return None;
    };
    let options = packet::options(payload);
    let kind = options
        .get(OptionCode::MessageType)
        .and_then(|data| data.first().copied());
    let known = |ip: Ipv4Addr| Some(ip).filter(|ip| !ip.is_unspecified());
    Some(Got {
        delivery: Some(delivery(*to)),
        address: known(reply.yiaddr),
        next_server: known(reply.siaddr),
        file: reply.boot_file.as_ref().map(|file| file.name.to_string()),
        options: packet::shown(&options),
        ..Got::new(packet::message(kind))
    })
}

fn delivery(to: Destination) -> String {
    match to {
        Destination::Relay(relay) => format!("to the relay {relay}, port 67"),
        Destination::Client(ip) => format!("to {ip}, port 68"),
        Destination::Link { yiaddr, chaddr } => format!("as a frame to {chaddr} for {yiaddr}"),
        Destination::Broadcast => "by broadcast, port 68".to_owned(),
        Destination::Both { yiaddr, chaddr } => {
            format!("as a frame to {chaddr} for {yiaddr}, and by broadcast")
        }
        Destination::Peer(peer) => format!("to {}, port {}", peer.ip(), peer.port()),
    }
}
