//! Which hosts an order means: names, MACs, addresses, globs, and groups with all that is nested in them.

use std::collections::HashMap;
use std::sync::Arc;

use hyper::StatusCode;

use super::error::ApiError;
use super::hosts::find;
use crate::base::suggest::nearest;
use crate::base::{GroupName, HostName, glob};
use crate::config::Snapshot;
use crate::config::snapshot::Host;

/// A host that an order means.
#[derive(Debug, Clone)]
pub(super) struct Selected {
    /// The host.
    pub(super) host: Arc<Host>,
    /// It was named itself, not by a glob or a group.
    pub(super) named: bool,
}

/// The hosts, each once, in the order in which they were named. Everything that means none is told.
pub(super) fn select(
    snapshot: &Snapshot,
    names: &[String],
    group: Option<&str>,
) -> Result<Vec<Selected>, ApiError> {
    let mut selected: Vec<Selected> = Vec::new();
    let mut places: HashMap<HostName, usize> = HashMap::new();
    let mut add = |host: &Arc<Host>, named: bool| {
        // Two names of one machine are one machine.
        let place = *places.entry(host.name.clone()).or_insert(selected.len());
        match selected.get_mut(place) {
            Some(again) => again.named |= named,
            None => selected.push(Selected {
                host: Arc::clone(host),
                named,
            }),
        }
    };
    let mut wrong = Vec::new();
    for name in names {
        if !glob::is_glob(name) {
            match find(snapshot, name) {
                Ok(host) => add(&host, true),
                Err(error) => wrong.push((name.clone(), error)),
            }
            continue;
        }
        let before = snapshot
            .hosts()
            .iter()
            .filter(|host| glob::fits(name, host.name.as_str()))
            .map(|host| add(host, false))
            .count();
        if before == 0 {
            let error = unknown(
                format!("no host fits {name:?}"),
                "`bootwright hosts` lists them",
            );
            wrong.push((name.clone(), error));
        }
    }
    if let Some(group) = group {
        let members = snapshot
            .hosts()
            .iter()
            .filter(|host| host.groups.iter().any(|own| own.as_str() == group))
            .map(|host| add(host, false))
            .count();
        if members == 0 {
            let all = snapshot.hosts().iter().flat_map(|host| &host.groups);
            let near = nearest(group, all.map(GroupName::as_str));
            let error = unknown(
                format!("no host is in a group {group:?}"),
                &near.map_or_else(
                    || "`bootwright host show HOST` tells a host's groups".to_owned(),
                    |near| format!("did you mean {near}?"),
                ),
            );
            wrong.push((group.to_owned(), error));
        }
    }
    match ApiError::several(wrong) {
        Some(error) => Err(error),
        None if selected.is_empty() => Err(ApiError::bad_request(
            "no host is named",
            "name at least one in `hosts`, or a `group`",
        )),
        None => Ok(selected),
    }
}

fn unknown(message: String, remedy: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "unknown-host", message, remedy)
}
