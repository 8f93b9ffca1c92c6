//! What is well and what is not: the parts of the daemon as they last told, for `/healthz`, `status`
//! and the service manager.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The state of the daemon's parts; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health {
    troubles: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Health {
    /// Nothing is wrong with this part.
    pub fn well(&self, part: &str) {
        self.lock().remove(part);
    }

    /// Something is wrong with this part: one lower-case sentence.
    pub fn trouble(&self, part: &str, what: impl Into<String>) {
        self.lock().insert(part.to_owned(), what.into());
    }

    /// What is wrong, by part.
    pub fn troubles(&self) -> Vec<(String, String)> {
        self.lock()
            .iter()
            .map(|(part, what)| (part.clone(), what.clone()))
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

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
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
        health.trouble("http", "10.0.0.1:80 is taken");
        assert_eq!(health.text(), "degraded\nhttp: 10.0.0.1:80 is taken\n");
        health.well("http");
        assert_eq!(health.text(), "ok\n");
    }
}
