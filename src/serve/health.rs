//! What is well and what is not: the parts of the daemon as they last told, for `/healthz`, `status`
//! and the service manager.
//!
//! **Invariant:** [`Health::is_open`] only once each service has told that all of its sockets are open;
//! any other trouble leaves the daemon open, and degraded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::standing::Standing;

/// DHCP's sockets.
pub const DHCP: &str = "dhcp";
/// TFTP's sockets.
pub const TFTP: &str = "tftp";
/// The boot plane's sockets.
pub const HTTP: &str = "http";

/// The state of the daemon's parts; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health {
    troubles: Arc<Mutex<BTreeMap<String, Trouble>>>,
    standing: Standing,
}

#[derive(Debug)]
struct Trouble {
    what: String,
    /// Machines find nobody at some address where they should.
    closed: bool,
}

impl Health {
    /// Of a daemon that begins: none of its services has told of its sockets yet.
    pub fn beginning() -> Self {
        let health = Self::default();
        for service in [DHCP, TFTP, HTTP] {
            health.closed(service, "its sockets are being opened");
        }
        health
    }

    /// How the configuration in force stands to the files.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Nothing is wrong with this part.
    pub fn well(&self, part: &str) {
        self.lock().remove(part);
    }

    /// Something is wrong with this part: one lower-case sentence.
    pub fn trouble(&self, part: &str, what: impl Into<String>) {
        self.put(part, what.into(), false);
    }

    /// A socket of this service is not open: one lower-case sentence.
    pub fn closed(&self, service: &str, what: impl Into<String>) {
        self.put(service, what.into(), true);
    }

    /// Tells of a service's sockets: what keeps one of them closed, when something does.
    pub fn sockets(&self, service: &str, closed: Option<String>) {
        match closed {
            Some(what) => self.closed(service, what),
            None => self.well(service),
        }
    }

    /// Whether every socket is open.
    pub fn is_open(&self) -> bool {
        !self.lock().values().any(|trouble| trouble.closed)
    }

    /// What is wrong, by part.
    pub fn troubles(&self) -> Vec<(String, String)> {
        self.lock()
            .iter()
            .map(|(part, trouble)| (part.clone(), trouble.what.clone()))
            .collect()
    }

    /// `ok`, or `degraded` and a line for each trouble.
    pub fn text(&self) -> String {
        let troubles = self.troubles();
        if troubles.is_empty() {
            return "ok\n".to_owned();
        }
        let mut text = "degraded\n".to_owned();
        for (part, what) in troubles {
            text.push_str(&part);
            text.push_str(": ");
            text.push_str(&what);
            text.push('\n');
        }
        text
    }

    fn put(&self, part: &str, what: String, closed: bool) {
        self.lock()
            .insert(part.to_owned(), Trouble { what, closed });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Trouble>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_come_and_go() {
        let health = Health::default();
        assert_eq!(health.text(), "ok\n");
        health.trouble("journal", "the disk is full");
        assert_eq!(health.text(), "degraded\njournal: the disk is full\n");
        assert!(health.is_open(), "machines are served all the same");
        health.well("journal");
        assert_eq!(health.text(), "ok\n");
    }

    #[test]
    fn it_is_open_once_every_service_has_said_so() {
        let health = Health::beginning();
        for service in [DHCP, TFTP, HTTP] {
            assert!(!health.is_open());
            assert!(health.text().contains(&format!("{service}: ")));
            health.sockets(service, None);
        }
        assert!(health.is_open());
        assert_eq!(health.text(), "ok\n");
        health.sockets(TFTP, Some("10.0.0.1:69 is taken".to_owned()));
        assert!(!health.is_open());
        assert_eq!(health.text(), "degraded\ntftp: 10.0.0.1:69 is taken\n");
    }
}
