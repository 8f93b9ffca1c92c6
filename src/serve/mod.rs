//! L5, sockets and tasks.
//!
//! **Invariant:** a service never decides: it gathers facts, asks `decide`, commits, sends, and
//! records one event for each datagram or request.

pub mod assets;
pub mod context;
pub mod dhcp;
pub mod installs;
pub mod memory;
pub mod script;
pub mod tftp;
