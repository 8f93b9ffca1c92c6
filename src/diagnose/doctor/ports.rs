//! Who holds the ports that machines ask.

use std::net::Ipv4Addr;

use super::{Check, Daemon, Facts, Finding, Held, Level, Service, services};
use crate::config::Snapshot;

pub(super) fn judge(snapshot: &Snapshot, facts: &Facts) -> Vec<Finding> {
    let served = |name: &String| {
        let link = facts.links.iter().find(|link| link.name == *name);
        link.into_iter().flat_map(|link| link.addresses.iter())
    };
    let own: Vec<Ipv4Addr> = snapshot
        .server
        .interfaces
        .iter()
        .flat_map(served)
        .map(ipnet::Ipv4Net::addr)
        .collect();
    let services = services(snapshot);
    services
        .iter()
        .map(|service| one(snapshot, facts, *service, &own))
        .collect()
}

fn one(snapshot: &Snapshot, facts: &Facts, service: Service, own: &[Ipv4Addr]) -> Finding {
    let port = format!("{} port {}", service.transport.as_str(), service.port);
    let here = facts.held.iter().filter(|held| {
        (held.transport, held.port) == (service.transport, service.port)
            && held.address.is_none_or(|address| own.contains(&address))
    });
    let daemon = match facts.daemon {
        Daemon::Runs(pid) => Some(pid),
        Daemon::Off | Daemon::Unseen(_) => None,
    };
    let is_daemon = |held: &Held| {
        held.by
            .as_ref()
            .is_some_and(|(_, pid)| Some(*pid) == daemon)
    };
    let (ours, others): (Vec<&Held>, Vec<&Held>) = here.partition(|held| is_daemon(held));
    // Whose a socket is only root sees. The daemon has its ports, or would not run.
    let others: Vec<&Held> = others
        .into_iter()
        .filter(|held| held.by.is_some() || facts.daemon == Daemon::Off)
        .collect();
    let Some(other) = others.first() else {
        let what = match (&facts.daemon, ours.is_empty()) {
            (Daemon::Runs(_), false) => format!("the daemon has {port} ({})", service.name),
            (Daemon::Off, _) => format!("nobody holds {port} ({})", service.name),
            _ => {
                return Finding::new(
                    Check::Ports,
                    Level::Unseen,
                    format!("who holds {port} ({}) cannot be seen", service.name),
                    "run it with sudo",
                );
            }
        };
        return Finding::ok(Check::Ports, what);
    };
    let who = other.by.as_ref().map_or_else(
        || "another process".to_owned(),
        |(name, pid)| format!("{name} (pid {pid})"),
    );
    let place = other
        .address
        .map_or_else(String::new, |address| format!(" of {address}"));
    let interfaces = snapshot.server.interfaces.join(", ");
    if matches!(service.name, "DHCP" | "PXE") && other.address.is_none() {
        // DHCP servers share the port, each with interfaces of its own.
        return Finding::new(
            Check::Ports,
            Level::Warning,
            format!(
                "{who} has {port} ({}) as well: does it answer the same machines?",
                service.name
            ),
            format!(
                "keep it off {interfaces} (dnsmasq: except-interface, bind-dynamic), or stop it"
            ),
        );
    }
    Finding::new(
        Check::Ports,
        Level::Error,
        format!("{who} holds {port}{place} ({})", service.name),
        match service.name {
            // Machines ask these ports and no others.
            "DHCP" | "PXE" => format!("stop it, or keep it off {interfaces}"),
            _ => format!("stop it, or set another {}", service.key),
        },
    )
}
