//! What a boot of a host needs: the files that it loads, and the secrets that its answers ask for and nobody has.
//!
//! It takes the rendering of all of a host's texts, and is asked for with each packet and file of a machine that boots.
//! A configuration does not change: what was found out holds as long as its renderer does.
//!
//! **Invariant:** no more than [`MOST`] hosts are remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::View;
use super::load::InForce;
use super::secrets::missing_for;
use crate::base::{Architecture, HostName, ProfileName};
use crate::config::snapshot::{Host, Profile};

/// Hosts that are remembered; most of them share what they need.
const MOST: usize = 32_768;

/// What a boot needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// The paths under `boot_assets` that it loads, the kernel first; else why they cannot be told.
    pub paths: Result<Vec<String>, String>,
    /// A secret that is not there.
    pub lacks_secret: Option<String>,
}

impl Needs {
    /// The first path that is not there, or why its paths cannot be told.
    pub fn missing(&self, is_there: impl Fn(&str) -> bool) -> Option<String> {
        match &self.paths {
            Ok(paths) => paths.iter().find(|path| !is_there(path)).cloned(),
            Err(error) => Some(error.clone()),
        }
    }
}

/// What was found out under one configuration. A clone of it remembers nothing: it may come to another one.
#[derive(Debug, Default)]
pub(super) struct Found(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    of: HashMap<Key, Arc<Needs>>,
    /// What was found last: hosts of a kind need the same.
    last: Option<Arc<Needs>>,
}

/// Machines without a reservation have one name, and boot the same in the same subnet.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    host: HostName,
    subnet: usize,
    profile: ProfileName,
    arch: Architecture,
}

impl Clone for Found {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl InForce {
    /// What a boot of this host needs; `None`: it is in no subnet.
    pub fn needs(&self, host: &Host, profile: &Profile, arch: Architecture) -> Option<Arc<Needs>> {
        let subnet = self.snapshot.subnet_of(host)?;
        let lock = || {
            let found = &self.renderer.found.0;
            found.lock().unwrap_or_else(PoisonError::into_inner)
        };
        let key = Key {
            host: host.name.clone(),
            subnet: host.subnet,
            profile: profile.name.clone(),
            arch,
        };
        if let Some(needs) = lock().of.get(&key) {
            return Some(Arc::clone(needs));
        }
        let rendered = self.renderer.boot(&View {
            snapshot: &self.snapshot,
            host,
            profile,
            arch,
            server: subnet.server.unwrap_or(subnet.example_server),
            token: None,
        });
        let needs = Needs {
            paths: rendered
                .map(|boot| boot.paths().into_iter().map(str::to_owned).collect())
                .map_err(|error| error.to_string()),
            lacks_secret: missing_for(self, host, profile, arch).pop_first(),
        };
        let mut inner = lock();
        let needs = match &inner.last {
            Some(last) if **last == needs => Arc::clone(last),
            _ => Arc::new(needs),
        };
        inner.last = Some(Arc::clone(&needs));
        if inner.of.len() >= MOST {
            inner.of.clear();
        }
        inner.of.insert(key, Arc::clone(&needs));
        Some(needs)
    }
}
