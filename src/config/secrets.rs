//! What `secrets.toml` holds: values that never appear in a log, an event, a preview or an error.
//!
//! **Invariant:** a [`Secret`] shows its value only through [`Secret::reveal`]; `Debug` and every
//! message have its name alone.

use std::collections::BTreeMap;

use crate::base::HostName;

/// All secrets: those of every host, and those of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    shared: BTreeMap<String, Secret>,
    hosts: BTreeMap<HostName, BTreeMap<String, Secret>>,
}

/// One secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    value: String,
    /// It is never written into an answer: `secret_url` gives a URL that answers once per attempt.
    pub once: bool,
}

impl Secret {
    /// With this value.
    pub fn new(value: impl Into<String>, once: bool) -> Self {
        Self {
            value: value.into(),
            once,
        }
    }

    /// The value: for answers to the machine itself, and signatures.
    pub fn reveal(&self) -> &str {
        &self.value
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("once", &self.once)
            .finish_non_exhaustive()
    }
}

impl Secrets {
    /// The secret of this name: the host's own, else the shared one.
    pub fn get(&self, host: Option<&HostName>, name: &str) -> Option<&Secret> {
        host.and_then(|host| self.hosts.get(host)?.get(name))
            .or_else(|| self.shared.get(name))
    }

    /// Puts down a secret, of one host or of all.
    pub fn insert(&mut self, host: Option<&HostName>, name: impl Into<String>, secret: Secret) {
        let of = match host {
            Some(host) => self.hosts.entry(host.clone()).or_default(),
            None => &mut self.shared,
        };
        of.insert(name.into(), secret);
    }
}
