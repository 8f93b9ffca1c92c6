//! A hosts file (hosts(5)): for dnsmasq's `addn-hosts` and `hostsdir`, for resolvers and single machines.

use std::fmt::Write as _;

use super::{HEADLINE, Left, entries};
use crate::config::Snapshot;

pub(super) fn write(snapshot: &Snapshot, left: &mut Vec<Left>) -> String {
    let mut text = format!("# {HEADLINE}\n");
    for entry in entries(snapshot) {
        let Some(ip) = entry.ip else {
            // A further card without an address has nothing to be named for.
            if entry.is_first {
                left.push(Left {
                    what: entry.told(),
                    why: "it has no address, which another server gives it".to_owned(),
                });
            }
            continue;
        };
        let names = match entry.fqdn() {
            Some(fqdn) => format!("{fqdn} {}", entry.label),
            None => entry.label.clone(),
        };
        let _ = writeln!(text, "{:<15} {names}", ip.to_string());
    }
    text
}
