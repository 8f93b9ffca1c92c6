//! L5, sockets and tasks.
//!
//! **Invariant:** a service never decides: it gathers facts, asks `decide`, commits, sends, and
//! records one event for each datagram or request.

pub mod installs;
