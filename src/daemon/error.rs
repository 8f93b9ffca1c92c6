//! Why the daemon does not start: what is in the way, and the remedy.
//!
//! `Display` is one sentence with everything in it, so nothing is chained as a source; what to do about
//! it is [`StartError::remedy`]'s.

use std::io;
use std::path::PathBuf;

use crate::host::preflight::{CannotListen, NoInterface};
use crate::host::privilege::PrivilegeError;
use crate::serve::reload::{ShownProblem, first_errors};
use crate::store;

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has errors.
    #[error("the configuration {} is not used: {}", .file.display(), first_errors(.problems))]
    Config {
        /// `bootwright.toml`.
        file: PathBuf,
        /// All that is wrong.
        problems: Vec<ShownProblem>,
        /// Why it is not started on the last good one.
        instead: String,
    },
    /// The network interfaces cannot be read.
    #[error("the network interfaces cannot be read: {0}")]
    Links(io::Error),
    /// An interface is missing.
    #[error(transparent)]
    Interface(#[from] NoInterface),
    /// The privileges are not right.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// The state folder cannot be made or written.
    #[error("the state folder {} cannot be written: {error}", .path.display())]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The operators' socket cannot be opened.
    #[error("the operators' socket {} cannot be opened: {error}", .path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another daemon answers on the socket.
    #[error("bootwright is already running: somebody answers on {}", .0.display())]
    Running(PathBuf),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// A socket that machines are answered on.
    #[error(transparent)]
    Listen(#[from] CannotListen),
    /// The runtime cannot be started.
    #[error("the runtime cannot be started: {0}")]
    Runtime(io::Error),
}

impl StartError {
    /// What to do about it: one line.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Config { .. } => Some("see `bootwright check`".to_owned()),
            Self::Interface(_) => {
                Some("correct [server] interfaces, or bring the interface up first".to_owned())
            }
            Self::Privileges(error) => error.remedy(),
            Self::StateDir { .. } => {
                Some("run it as root or as its owner, or set another [server] state_dir".to_owned())
            }
            Self::Socket { .. } => Some("remove it if no bootwright is running".to_owned()),
            Self::Running(_) => Some("stop it first, or set another [server] state_dir".to_owned()),
            Self::Store(error) => error.remedy(),
            Self::Listen(error) => Some(error.remedy()),
            Self::Links(_) | Self::Runtime(_) => None,
        }
    }
}
