//! `after`: the other host must be there, and nobody may wait for himself, by whatever detour.

use std::collections::{HashMap, HashSet};

use crate::base::{HostName, suggest};
use crate::config::problem::Problem;
use crate::config::written::hosts::HostEntry;

/// Labels of one circle that are shown; the rest of it is in the message.
const SHOWN: usize = 6;

/// Reports what hosts cannot wait for. With `unsure`, a host that seems to be missing may stand where
/// nothing could be read.
pub(super) fn waits(hosts: &[&HostEntry], unsure: bool, problems: &mut Vec<Problem>) {
    if hosts.iter().all(|host| host.after.is_none()) {
        return;
    }
    let mut entries: HashMap<&HostName, &HostEntry> = HashMap::new();
    for host in hosts {
        entries.entry(&host.name.value).or_insert(host);
    }
    for host in hosts {
        let Some(after) = &host.after else { continue };
        let name = &host.name.value;
        if after.host.value == *name {
            problems.push(
                Problem::error("after-itself", format!("`{name}` waits for itself"))
                    .at(after.host.span, "the host itself")
                    .help("name the host that has to come first, or leave `after` out"),
            );
        } else if !entries.contains_key(&after.host.value) && !unsure {
            let names = hosts.iter().map(|host| host.name.value.as_str());
            let nearest = suggest::nearest(after.host.value.as_str(), names);
            let help = match nearest {
                Some(nearest) => format!("did you mean \"{nearest}\"?"),
                None => format!(
                    "`after` names another host of the reservations: add [hosts.{}], or name one that there is",
                    after.host.value
                ),
            };
            problems.push(
                Problem::error(
                    "after-unknown",
                    format!("there is no host `{}`", after.host.value),
                )
                .at(after.host.span, "unknown host")
                .suggest_text(after.host.span, nearest)
                .help(help),
            );
        }
    }
    circles(hosts, &entries, problems);
}

/// Circles of two and more hosts, each told once.
fn circles(
    hosts: &[&HostEntry],
    entries: &HashMap<&HostName, &HostEntry>,
    problems: &mut Vec<Problem>,
) {
    let mut done: HashSet<&HostName> = HashSet::new();
    for host in hosts {
        let mut way: Vec<&HostEntry> = Vec::new();
        let mut next = entries.get(&host.name.value).copied();
        while let Some(here) = next {
            if let Some(start) = way
                .iter()
                .position(|entry| entry.name.value == here.name.value)
            {
                // One that waits for itself has been told.
                if way.len() > start + 1 {
                    problems.push(circle(way.get(start..).unwrap_or_default()));
                }
                break;
            }
            if !done.insert(&here.name.value) {
                break;
            }
            way.push(here);
            next = here
                .after
                .as_ref()
                .and_then(|after| entries.get(&after.host.value).copied());
        }
    }
}

fn circle(hosts: &[&HostEntry]) -> Problem {
    let names: Vec<&str> = hosts
        .iter()
        .chain(hosts.first())
        .map(|host| host.name.value.as_str())
        .collect();
    let mut problem = Problem::error(
        "after-circle",
        format!(
            "these hosts wait for one another: {}; none of them could ever be installed",
            names.join(" → ")
        ),
    );
    for host in hosts.iter().take(SHOWN) {
        if let Some(after) = &host.after {
            problem = problem.at(
                after.host.span,
                format!("`{}` waits for `{}`", host.name.value, after.host.value),
            );
        }
    }
    problem.help("take one of these `after` keys away: that host comes first")
}
