//! What `secrets.toml` holds: values that never appear in a log, an event, a preview or an error.
//!
//! **Invariant:** a [`Secret`] shows its value only through [`Secret::reveal`]; `Debug` and every
//! message have its name alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::HostName;

/// All secrets: those of every host, and those of one. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets(Arc<Inner>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Inner {
    shared: BTreeMap<String, Secret>,
    hosts: BTreeMap<HostName, BTreeMap<String, Secret>>,
    not_all_read: bool,
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
        host.and_then(|host| self.0.hosts.get(host)?.get(name))
            .or_else(|| self.0.shared.get(name))
    }

    /// Whether there surely is no secret of this name: not where the file could not be read.
    pub fn lacks(&self, host: Option<&HostName>, name: &str) -> bool {
        !self.0.not_all_read && self.get(host, name).is_none()
    }

    /// Whether a host has secrets of its own.
    pub fn has_own(&self, host: &HostName) -> bool {
        self.0.hosts.contains_key(host)
    }

    /// Puts down a secret, of one host or of all.
    pub fn insert(&mut self, host: Option<&HostName>, name: impl Into<String>, secret: Secret) {
        let inner = Arc::make_mut(&mut self.0);
        let of = match host {
            Some(host) => inner.hosts.entry(host.clone()).or_default(),
            None => &mut inner.shared,
        };
        of.insert(name.into(), secret);
    }

    /// Puts down that some could not be read.
    pub(super) fn not_all_read(&mut self) {
        Arc::make_mut(&mut self.0).not_all_read = true;
    }

    /// Every secret with whose it is, the shared ones first.
    fn all(&self) -> impl Iterator<Item = (Option<&HostName>, &String, &Secret)> {
        let shared = self.0.shared.iter();
        let hosts = self.0.hosts.iter();
        shared
            .map(|(name, secret)| (None, name, secret))
            .chain(hosts.flat_map(|(host, own)| {
                own.iter()
                    .map(move |(name, secret)| (Some(host), name, secret))
            }))
    }

    /// The names of those that are new, gone or different: `name`, or `name (host)`.
    pub fn differing(&self, new: &Self) -> Vec<String> {
        let own = |secrets: &Self, host: Option<&HostName>, name: &str| match host {
            None => secrets.0.shared.get(name).cloned(),
            Some(host) => secrets
                .0
                .hosts
                .get(host)
                .and_then(|own| own.get(name))
                .cloned(),
        };
        let keys: BTreeSet<(Option<&HostName>, &String)> = self
            .all()
            .chain(new.all())
            .map(|(host, name, _)| (host, name))
            .collect();
        keys.into_iter()
            .filter(|(host, name)| own(self, *host, name) != own(new, *host, name))
            .map(|(host, name)| match host {
                None => name.clone(),
                Some(host) => format!("{name} ({host})"),
            })
            .collect()
    }
}

/// Whether a text can be the name of a secret, which also stands in URLs: letters, digits, `-`, `_` and
/// `.`, at most 64 of them, no dot first.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && !text.starts_with('.')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_own_secret_wins_and_none_is_shown() {
        let (web01, web02): (HostName, HostName) =
            ("web01".parse().unwrap(), "web02".parse().unwrap());
        let mut secrets = Secrets::default();
        secrets.insert(None, "root", Secret::new("shared-value", false));
        secrets.insert(Some(&web01), "root", Secret::new("own-value", true));
        let value = |host| secrets.get(host, "root").map(Secret::reveal);
        assert_eq!(value(Some(&web01)), Some("own-value"));
        assert_eq!(value(Some(&web02)), Some("shared-value"));
        assert_eq!(value(None), Some("shared-value"));
        assert!(secrets.lacks(None, "other"));
        let debug = format!("{secrets:?}");
        assert!(
            debug.contains("root") && !debug.contains("-value"),
            "{debug}"
        );

        let mut other = secrets.clone();
        assert_eq!(secrets.differing(&other), [""; 0]);
        other.insert(None, "root", Secret::new("changed", false));
        other.insert(Some(&web02), "disk.key", Secret::new("new", true));
        assert_eq!(secrets.differing(&other), ["root", "disk.key (web02)"]);
        other.not_all_read();
        assert!(!other.lacks(None, "other"));
    }

    #[test]
    fn names_are_what_a_url_can_hold() {
        for good in ["root-password", "a", "disk.key", "A_1"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a b", "a/b", "..", ".x", "ä", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
