//! Beside another DHCP server (`mode = "proxy"`), and at port 4011.
//!
//! In a proxy subnet a machine that boots from the network is told what to boot in an offer without an
//! address; its address, lease and network options are the other server's. What firmware makes of that:
//!
//! - A BIOS boots the file of the offer when option 43 forbids it to look for boot servers (sub-option 6
//!   = 8, PXE 2.1 section 2.2.3.1).
//! - UEFI is given no option 43: EDK2 drops the first proxy offer that has one. Without it the offer is
//!   "BINL" to it: it asks for its boot file at port 4011 of `siaddr` when it has its address.
//! - iPXE takes `siaddr` and boot file of the offer, which both have to be there; else it would ask at
//!   port 4011 too.
//! - UEFI HTTP Boot takes the URL of a proxy offer that carries its class.
//!
//! Port 4011 is answered where this server gives the addresses as well: a further server's option 60
//! sends UEFI there.
//!
//! **Invariant:** nothing here grants an address or refuses one. A subnet that is `off` is told nothing.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use super::boot::{self, BootAnswer};
use super::{Decision, Outcome, destination, ignored, no_subnet, put_as_text, who};
use crate::base::Firmware;
use crate::config::snapshot::{Card, Host, Mode, Subnet};
use crate::config::{self, Snapshot};
use crate::decide::{Arrival, Destination, Facts, Stage, cards};
use crate::journal::event::{Kind, Reason};
use crate::wire::dhcp::request::BOOTREQUEST;
use crate::wire::dhcp::{BootFile, MessageType, OptionCode, Reply, Request};
use crate::wire::pxe;

/// A message of a host, and what it meets.
pub(super) struct Meeting<'a> {
    pub(super) request: &'a Request,
    pub(super) arrival: &'a Arrival,
    pub(super) snapshot: &'a Snapshot,
    pub(super) facts: &'a Facts<'a>,
    pub(super) stage: Stage,
    pub(super) host: &'a Host,
    /// The network card that asks.
    pub(super) card: Card<'a>,
    /// The subnet that the message is of.
    pub(super) subnet: &'a Subnet,
    /// Whether that is the network card's own subnet.
    pub(super) at_home: bool,
}

/// By which message a machine is told, and where to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    /// An offer beside the other server's.
    Offer,
    /// An acknowledgement to whoever asked at port 4011.
    Port4011,
}

/// Decides the answer to a message that came in at port 4011 ([`crate::config::snapshot::Server::proxy_port`]).
pub fn decide_at_proxy_port(
    request: &Request,
    arrival: &Arrival,
    snapshot: &Snapshot,
    facts: &Facts<'_>,
) -> Decision {
    let stage = Stage::of(request);
    if request.op != BOOTREQUEST {
        let detail = Some(format!("op {}", request.op));
        return ignored(stage, None, Reason::NotARequest, detail);
    }
    let Some(host) = super::asking_host(request, snapshot) else {
        return discovering(request, arrival, snapshot, stage, |_| true)
            .and_then(|index| {
                stranger(request, arrival, snapshot, facts, stage, index, |meeting| {
                    meeting.at_proxy_port()
                })
            })
            .unwrap_or_else(|| ignored(stage, None, Reason::UnknownHost, who(request, snapshot)));
    };
    let silent = |reason, detail| ignored(stage, Some(host.name.clone()), reason, detail);
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
    let meeting = Meeting {
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
    meeting.at_proxy_port()
}

/// Decides about a machine without a reservation at DHCP's own port, where another server gives the
/// addresses; `None`: nothing is for it here.
pub(super) fn stranger_on_dhcp_port(
    request: &Request,
    arrival: &Arrival,
    snapshot: &Snapshot,
    facts: &Facts<'_>,
    stage: Stage,
) -> Option<Decision> {
    let is_proxy = |subnet: &Subnet| subnet.mode == Mode::Proxy;
    let index = discovering(request, arrival, snapshot, stage, is_proxy)?;
    let message_type = request.message_type();
    stranger(request, arrival, snapshot, facts, stage, index, |meeting| {
        meeting.on_dhcp_port(message_type)
    })
}

/// The subnet in which a machine without a reservation that boots from the network is shown the
/// discovery profile, as an index.
fn discovering(
    request: &Request,
    arrival: &Arrival,
    snapshot: &Snapshot,
    stage: Stage,
    fits: impl Fn(&Subnet) -> bool,
) -> Option<usize> {
    if !stage.is_boot() {
        return None;
    }
    let is_its = |subnet: &Subnet| {
        if !request.giaddr.is_unspecified() {
            let link = request.selected_link().unwrap_or(request.giaddr);
            subnet.network.contains(&link)
        } else if request.ciaddr.is_unspecified() {
            let mut own = arrival.addresses.iter();
            own.any(|own| subnet.network.contains(&own.addr()))
        } else {
            // It asks by unicast, through a router perhaps.
            subnet.network.contains(&request.ciaddr)
        }
    };
    let found = |subnet: &Subnet| is_its(subnet) && subnet.discovers() && fits(subnet);
    snapshot.subnets.iter().position(found)
}

/// A decision for the host that nobody wrote down. Nothing is counted of it: the number of strangers
/// has no bound.
fn stranger(
    request: &Request,
    arrival: &Arrival,
    snapshot: &Snapshot,
    facts: &Facts<'_>,
    stage: Stage,
    index: usize,
    told: impl FnOnce(&Meeting<'_>) -> Decision,
) -> Option<Decision> {
    let host = config::stranger::host(snapshot, index, request.mac, None)?;
    let meeting = Meeting {
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
        subnet: snapshot.subnets.get(index)?,
        at_home: true,
    };
    let mut decision = told(&meeting);
    decision.host = None;
    decision.loader = None;
    decision.looped = None;
    if decision.boot_file.is_some() {
        decision.detail = Some("then the discovery profile".into());
    }
    Some(decision)
}

impl Meeting<'_> {
    /// The answer to a message on DHCP's own port, in a subnet where this server gives no addresses.
    pub(super) fn on_dhcp_port(&self, message_type: Option<MessageType>) -> Decision {
        if self.subnet.mode == Mode::Off {
            return self.off();
        }
        if message_type == Some(MessageType::Discover) && self.stage.is_boot() {
            return self.told(Door::Offer);
        }
        let chosen = self.request.server_identifier();
        self.silent(
            Reason::ProxyOnly,
            chosen.map(|server| format!("its address is of {server}")),
        )
    }

    fn at_proxy_port(&self) -> Decision {
        if self.subnet.mode == Mode::Off {
            return self.off();
        }
        match self.request.message_type() {
            // Boot servers were asked by INFORM before PXE 2.1.
            Some(MessageType::Request | MessageType::Inform) if self.stage.is_boot() => {
                self.told(Door::Port4011)
            }
            Some(MessageType::Request | MessageType::Inform) => self.silent(
                Reason::MessageType,
                Some(
                    "only firmware that boots from the network is answered at this port".to_owned(),
                ),
            ),
            other => self.silent(
                Reason::MessageType,
                Some(match other {
                    Some(other) => format!("message type {} at the proxy port", u8::from(other)),
                    None => "no message type, at the proxy port".to_owned(),
                }),
            ),
        }
    }

    fn off(&self) -> Decision {
        self.silent(Reason::ModeOff, None)
    }

    fn silent(&self, reason: Reason, detail: Option<String>) -> Decision {
        ignored(self.stage, Some(self.host.name.clone()), reason, detail)
    }

    /// Tells the machine what to boot. One that boots nothing from here is told nothing: an offer
    /// without a boot file would only keep its firmware waiting.
    fn told(&self, door: Door) -> Decision {
        if !self.at_home {
            let detail = super::elsewhere(self.snapshot, self.host, &self.card, self.subnet);
            return self.silent(Reason::WrongSubnet, Some(detail));
        }
        if !self.card.boot {
            return self.silent(Reason::NicDoesNotBoot, None);
        }
        let Some(server) = destination::server_address(
            self.subnet,
            &self.arrival.addresses,
            self.arrival.to,
            self.facts.route_source,
        ) else {
            let detail = format!(
                "{} has no address towards {}; say `server` in its [[subnet]]",
                self.arrival.iface, self.subnet.network
            );
            return self.silent(Reason::NoSubnet, Some(detail));
        };
        let answer = boot::boot(
            self.request,
            self.stage,
            self.snapshot,
            self.facts,
            self.host,
            server,
            self.arrival.at,
        )
        .with_doubt(self.request, self.stage);
        let outcome = match &answer.file {
            None => Outcome::Ignore,
            Some(file) => {
                let reply = self.reply(door, &answer, file, server);
                Outcome::Send {
                    payload: reply.encode(),
                    reply: Box::new(reply),
                    to: self.destination(door),
                    from: destination::source_address(
                        server,
                        self.subnet,
                        self.arrival,
                        self.facts.route_source,
                    ),
                }
            }
        };
        Decision {
            kind: match (&outcome, door) {
                (Outcome::Ignore, _) => Kind::DhcpIgnored,
                (_, Door::Offer) => Kind::DhcpOffer,
                (_, Door::Port4011) => Kind::DhcpAck,
            },
            outcome,
            reason: answer.reason,
            host: Some(self.host.name.clone()),
            stage: self.stage,
            boot_file: answer.file,
            detail: answer.note,
            loader: answer.loader,
            looped: answer.looped,
            guard: answer.guard,
            lease: None,
            holding: None,
            delivery: None,
        }
    }

    fn reply(&self, door: Door, answer: &BootAnswer, file: &Arc<str>, server: Ipv4Addr) -> Reply {
        let request = self.request;
        let mut reply = Reply::to(
            request,
            if door == Door::Offer {
                MessageType::Offer
            } else {
                MessageType::Ack
            },
        );
        if door == Door::Port4011 {
            reply.ciaddr = request.ciaddr;
        } else {
            // There is no address that a relay could send it to.
            reply.broadcast |= !request.giaddr.is_unspecified();
        }
        let tftp = answer.server.unwrap_or(server);
        reply.siaddr = tftp;
        let is_http = matches!(self.stage, Stage::HttpBoot { .. });
        reply.boot_file = Some(BootFile {
            name: Arc::clone(file),
            terminated: !is_http,
        });
        let class = if is_http {
            pxe::HTTP_CLIENT
        } else {
            pxe::PXE_CLIENT
        };
        let options = &mut reply.options;
        options.put_address(OptionCode::ServerIdentifier, server);
        options.put(OptionCode::ClassIdentifier, class.as_bytes());
        put_as_text(options, OptionCode::TFTPServerName, tftp);
        // PXE 2.1 section 2.2.3: the client finds its own UUID in what is meant for it.
        if let Some(raw) = request.machine_identifier() {
            options.put(OptionCode::ClientMachineIdentifier, raw);
        }
        let is_bios_pxe = matches!(
            self.stage,
            Stage::Pxe {
                firmware: Some(Firmware::Bios),
                ..
            }
        );
        if is_bios_pxe {
            let asked = request.options.get(OptionCode::VendorExtensions);
            let vendor = pxe::boot_this_file(asked.unwrap_or_default());
            options.put(OptionCode::VendorExtensions, &vendor);
        }
        reply
    }

    /// An offer without an address reaches its machine by broadcast only; port 4011 answers whoever
    /// asked, at the port that it asked from.
    fn destination(&self, door: Door) -> Destination {
        let source = self.arrival.source;
        match door {
            Door::Offer if !self.request.giaddr.is_unspecified() => {
                Destination::Relay(self.request.giaddr)
            }
            Door::Offer => Destination::Broadcast,
            Door::Port4011 if source.ip().is_unspecified() => {
                let ip = match self.request.ciaddr {
                    Ipv4Addr::UNSPECIFIED => Ipv4Addr::BROADCAST,
                    address => address,
                };
                Destination::Peer(SocketAddrV4::new(ip, source.port()))
            }
            Door::Port4011 => Destination::Peer(source),
        }
    }
}
