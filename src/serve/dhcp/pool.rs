//! Machines without a reservation: gather, decide, hold or write down, ask the link, and again when
//! something has changed meanwhile. And whether a reserved address is in use by somebody else.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::probe::{Found, ask};
use super::service::Service;
use crate::base::HardwareAddr;
use crate::decide::delivery::Delivery;
use crate::decide::dhcp::pool::{LeaseAction, PoolFacts, asking_pool};
use crate::decide::dhcp::{Decision, Outcome, asking_host, decide};
use crate::decide::{Arrival, Facts, Known};
use crate::journal::event::{Event, Kind, Reason};
use crate::render::load::InForce;
use crate::serve::conflicts;
use crate::wire::dhcp::Request;

/// How often a decision is made anew because a lease has changed meanwhile or an address is taken.
/// Somebody who holds an address answers within milliseconds; the machine that waits notices nothing.
const TRIES: usize = 8;

impl Service {
    /// The decision for a machine without a reservation, with its lease on disk where it gets one.
    pub(super) async fn decide_for_stranger(
        &self,
        in_force: &InForce,
        request: &Request,
        arrival: &Arrival,
        route_source: Option<Ipv4Addr>,
    ) -> Decision {
        let snapshot = &in_force.snapshot;
        let leases = self.ctx.leases();
        let decide = |pool: Option<PoolFacts>| {
            let facts = Facts {
                known: Known::Nothing,
                files: &self.files(in_force),
                fetches: None,
                held: &[],
                delivery: Delivery::default(),
                route_source,
                pool,
            };
            decide(request, arrival, snapshot, &facts)
        };
        let Some(pool) = asking_pool(request, arrival, snapshot) else {
            return decide(None);
        };
        let mut trouble = Reason::StoreUnavailable;
        for _ in 0..TRIES {
            let facts = leases
                .facts(snapshot, pool, &arrival.addresses, request, arrival.at)
                .await;
            let decision = decide(facts);
            match &decision.lease {
                None => {
                    if decision.reason == Reason::PoolExhausted
                        && leases.tell_exhausted(pool.1, arrival.at)
                    {
                        let event =
                            Event::new(arrival.at, Kind::PoolExhausted, Reason::PoolExhausted);
                        self.tell(
                            in_force,
                            event,
                            decision.detail.as_deref().map(str::to_owned),
                        );
                    }
                    return decision;
                }
                Some(LeaseAction::Change {
                    expect,
                    lease,
                    durable,
                }) => {
                    let Ok(_place) = self.prober.writing.try_acquire() else {
                        trouble = Reason::Overload;
                        break;
                    };
                    let ip = lease.ip;
                    let lease = lease.clone();
                    if leases.change(*expect, lease, *durable, arrival.at).await {
                        if decision.reason == Reason::Declined {
                            self.prober.forget(ip);
                        }
                        return decision;
                    }
                }
                Some(LeaseAction::Offer { ip, probe }) => {
                    if !leases.offer(*ip, request.mac, arrival.at) {
                        continue;
                    }
                    if !*probe || !snapshot.server.conflict_probe {
                        return decision;
                    }
                    match self.look(request, *ip).await {
                        // Where too many ask at once, an offer that was not made sure of is better than
                        // silence: a flood would keep everybody else waiting.
                        Found::Free | Found::Busy => return decision,
                        Found::Taken(holder) => {
                            leases.block(*ip, self.ctx.now());
                            let mut event = Event::new(
                                arrival.at,
                                Kind::DhcpConflict,
                                Reason::PoolAddressTaken,
                            )
                            .ip(*ip);
                            event.holder = holder.map(Box::new);
                            let detail = format!(
                                "{}; nobody is given it for 10 minutes",
                                held_by(in_force, *ip, holder)
                            );
                            self.tell(in_force, event, Some(detail));
                        }
                    }
                }
            }
        }
        Decision {
            outcome: Outcome::Ignore,
            kind: Kind::DhcpIgnored,
            reason: trouble,
            lease: None,
            boot_file: None,
            detail: Some(
                match trouble {
                    Reason::Overload => {
                        "too many machines without a reservation ask at once; it asks again"
                    }
                    _ => "its lease could not be written down",
                }
                .into(),
            ),
            // For all else that a decision says: the stage, and that it is no host's.
            ..decide(None)
        }
    }

    async fn look(&self, request: &Request, ip: Ipv4Addr) -> Found {
        let links = self.ctx.links.current();
        let Some(interface) = links.interface(&self.socket.place.iface) else {
            return Found::Free;
        };
        let is_relayed = !request.giaddr.is_unspecified();
        self.prober
            .ask_for_pool(interface, ip, request.mac, is_relayed)
            .await
    }

    /// Asks the link who has a reserved address that is offered for the first time in a while. The offer
    /// does not wait for it: there is no other address to give, and whoever is to mend it needs to know.
    pub(super) fn probe_reserved(
        &self,
        in_force: &Arc<InForce>,
        request: &Request,
        decision: &Decision,
    ) {
        let snapshot = &in_force.snapshot;
        if decision.kind != Kind::DhcpOffer
            || !snapshot.server.conflict_probe
            || !request.giaddr.is_unspecified()
        {
            return;
        }
        let (Outcome::Send { reply, .. }, Some(host)) =
            (&decision.outcome, asking_host(request, snapshot))
        else {
            return;
        };
        let ip = reply.yiaddr;
        if ip.is_unspecified() {
            return;
        }
        let Some(permit) = self.prober.room_for_reserved(ip) else {
            return;
        };
        let links = self.ctx.links.current();
        let Some(interface) = links.interface(&self.socket.place.iface).cloned() else {
            return;
        };
        let (host, mac) = (Arc::clone(host), request.mac);
        let (ctx, in_force) = (self.ctx.clone(), Arc::clone(in_force));
        tokio::spawn(async move {
            let found = ask(&interface, ip, mac, false).await;
            drop(permit);
            let now = ctx.now();
            let snapshot = &in_force.snapshot;
            let found = match found {
                Found::Taken(holder) => holder.filter(|holder| !conflicts::is_own(&host, *holder)),
                Found::Free => None,
                Found::Busy => return,
            };
            ctx.memory.conflicts().note(&host.name, ip, found, now);
            let Some(holder) = found else {
                return;
            };
            let then = "it is offered all the same";
            let mut event = conflicts::event(snapshot, &host, ip, holder, then, now).mac(mac);
            event.iface = Some(Arc::clone(&interface.name));
            ctx.journal.append(event);
        });
    }

    fn tell(&self, in_force: &InForce, mut event: Event, detail: Option<String>) {
        event.iface = Some(Arc::clone(&self.socket.place.iface));
        event.generation = in_force.snapshot.generation;
        event.detail = detail;
        self.ctx.journal.append(event);
    }
}

fn held_by(in_force: &InForce, ip: Ipv4Addr, holder: Option<HardwareAddr>) -> String {
    match holder {
        Some(mac) => conflicts::held_by(&in_force.snapshot, ip, mac),
        None => format!("somebody answers at {ip}"),
    }
}
