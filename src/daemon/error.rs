//! Why the daemon does not start: what is in the way, and the remedy.

use std::io;
use std::path::PathBuf;

use crate::host::preflight::NoInterface;
use crate::host::privilege::PrivilegeError;
use crate::serve::reload::{ShownProblem, first_errors};
use crate::serve::{boot, dhcp, tftp};
use crate::store;

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has errors.
    #[error("the configuration {} is not used: {}; run `bootwright check`", .file.display(), first_errors(.problems))]
    Config {
        /// `bootwright.toml`.
        file: PathBuf,
        /// All that is wrong.
        problems: Vec<ShownProblem>,
    },
    /// The network interfaces cannot be read.
    #[error("the network interfaces cannot be read: {0}")]
    Links(#[source] io::Error),
    /// An interface is missing.
    #[error("{0}; correct [server] interfaces, or bring the interface up first")]
    Interface(#[from] NoInterface),
    /// The privileges are not right.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// The state folder cannot be made or written.
    #[error("the state folder {} cannot be written: {error}; run as root or as its owner, or set [server] state_dir", .path.display())]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The operators' socket cannot be opened.
    #[error("the operators' socket {} cannot be opened: {error}; remove it if no bootwright is running", .path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// Another daemon answers on the socket.
    #[error("bootwright is already running: somebody answers on {}; stop it first, or use another [server] state_dir", .0.display())]
    Running(PathBuf),
    /// The store or the journal cannot be opened.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// A DHCP socket.
    #[error("{0}; stop what holds the port, or change [dhcp] port")]
    Dhcp(#[from] dhcp::OpenError),
    /// A TFTP socket.
    #[error("{0}; stop what holds the port, or change [tftp] port")]
    Tftp(#[from] tftp::OpenError),
    /// A socket of the boot plane.
    #[error("{0}; stop what holds the port, or change [http] port")]
    Http(#[from] boot::plane::OpenError),
    /// The runtime cannot be started.
    #[error("the runtime cannot be started: {0}")]
    Runtime(#[source] io::Error),
}
