//! `shared-networks`, `subnet4` and `pools`.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::json::{Entry, Json, Node};
use super::{Reader, Scope, is_common, refused};
use crate::config::values;
use crate::import::SubnetDraft;

impl Reader {
    pub(super) fn shared_network(&mut self, network: &Node, scope: &Scope) {
        let name = network.get("name").and_then(Node::text).unwrap_or_default();
        let place = self.place(network.line);
        self.gather.left(
            &place,
            &format!("shared-network {name}"),
            "its subnets are carried over one by one: on one link, give this server an address in each of them, or `server` in each [[subnet]]",
        );
        let mut inner = scope.clone();
        self.common(network, &mut inner);
        for entry in network.entries() {
            match entry.key.as_str() {
                "name" => {}
                "subnet4" => {
                    for subnet in entry.node.elements() {
                        self.subnet(subnet, &inner);
                    }
                }
                "reservations" => {
                    for reservation in entry.node.elements() {
                        self.reservation(reservation);
                    }
                }
                "relay" => self.relay(entry),
                key if is_common(key) => {}
                _ => self.refuse(entry),
            }
        }
    }

    pub(super) fn subnet(&mut self, subnet: &Node, scope: &Scope) {
        let place = self.place(subnet.line);
        let written = subnet
            .get("subnet")
            .and_then(Node::text)
            .unwrap_or_default();
        let what = format!("subnet4 {written}");
        let mut inner = scope.clone();
        self.common(subnet, &mut inner);
        let network: Option<Ipv4Net> = written.parse().ok();
        let network = network
            .map(|net| net.trunc())
            .filter(|net| values::network(&net.to_string()).is_ok());
        let Some(network) = network else {
            self.gather.left(
                &place,
                &what,
                "a network of machines is expected, such as \"10.99.0.0/24\"",
            );
            self.whole(subnet, "its subnet is left out");
            return;
        };
        if network.to_string() != written {
            self.gather
                .left(&place, &what, format!("taken for {network}"));
        }
        let Some(name) = self.gather.subnet_name(None, network) else {
            self.gather
                .left(&place, &what, "its name cannot be made one of ours");
            return;
        };
        let draft = SubnetDraft {
            lease_time: inner.lease,
            ..SubnetDraft::new(name, network)
        };
        if let Some(index) = self.gather.subnet(draft, &place, &what) {
            self.gather.subnet_options(index, &inner.all);
        } else {
            let options = subnet
                .get("option-data")
                .map(Node::elements)
                .unwrap_or_default();
            for option in options {
                let place = self.place(option.line);
                self.gather.left(
                    &place,
                    &format!("option-data {}", super::inner(option)),
                    "its subnet is left out",
                );
            }
        }
        for entry in subnet.entries() {
            match entry.key.as_str() {
                "subnet" | "id" => {}
                "pools" => {
                    let guarded = subnet.entries().iter().any(|entry| {
                        matches!(entry.key.as_str(), "client-class" | "client-classes")
                            && !entry.node.is_empty()
                    });
                    for pool in entry.node.elements() {
                        self.pool(pool, guarded);
                    }
                }
                "reservations" => {
                    for reservation in entry.node.elements() {
                        self.reservation(reservation);
                    }
                }
                "relay" => self.relay(entry),
                key if is_common(key) => {}
                _ => self.refuse(entry),
            }
        }
    }

    fn relay(&mut self, entry: &Entry) {
        let addresses = entry
            .node
            .get("ip-addresses")
            .or_else(|| entry.node.get("ip-address"));
        if addresses.is_some_and(|addresses| !addresses.is_empty()) {
            let place = self.place(entry.line);
            let what = format!("relay: {}", super::inner(&entry.node));
            self.gather.left(&place, &what, refused::why("relay"));
        }
    }

    fn pool(&mut self, pool: &Node, guarded: bool) {
        let written = pool.get("pool").and_then(Node::text).unwrap_or_default();
        let what = format!("pool {written}");
        let place = self.place(pool.line);
        let mut some_only = guarded;
        for entry in pool.entries() {
            match entry.key.as_str() {
                "pool" | "pool-id" | "id" => {}
                "client-class" | "client-classes" => {
                    let names: Vec<&str> = match &entry.node.value {
                        Json::Text(name) => vec![name.as_str()],
                        _ => entry
                            .node
                            .elements()
                            .iter()
                            .filter_map(Node::text)
                            .collect(),
                    };
                    // Whoever is unknown is whom our pools are for.
                    some_only |= names
                        .iter()
                        .any(|name| !name.is_empty() && *name != "UNKNOWN");
                    self.refuse(entry);
                }
                "option-data" => {
                    for option in entry.node.elements() {
                        let place = self.place(option.line);
                        self.gather.left(
                            &place,
                            &format!("option-data {}", super::inner(option)),
                            "a pool has no options of its own: write it into `options` of the [[subnet]]",
                        );
                    }
                }
                _ => self.refuse(entry),
            }
        }
        let Some((first, last)) = range(written) else {
            self.gather.left(
                &place,
                &what,
                "a range is expected, such as \"10.99.0.200 - 10.99.0.250\"",
            );
            return;
        };
        if some_only {
            self.gather.left(
                &place,
                &what,
                "for some machines only, and a pool is for all without a reservation: no `pool`; give those machines addresses by reservations",
            );
            return;
        }
        if let Some(index) = self.gather.subnet_of(first)
            && let Some(draft) = self.gather.subnet_mut(index)
        {
            draft.lease_unknown = true;
        }
        self.gather.range(first, last, &place, &what);
    }

    /// Tells everything in an object, one line each.
    fn whole(&mut self, node: &Node, why: &str) {
        for entry in node.entries() {
            if !entry.node.is_empty() {
                self.tell(entry, why);
            }
            for element in entry.node.elements() {
                self.whole(element, why);
            }
        }
    }
}

/// `10.0.0.5 - 10.0.0.9` or `10.0.0.0/28`.
fn range(text: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    if let Some((first, last)) = text.split_once('-') {
        return Some((first.trim().parse().ok()?, last.trim().parse().ok()?));
    }
    let net: Ipv4Net = text.trim().parse().ok()?;
    Some((net.network(), net.broadcast()))
}
