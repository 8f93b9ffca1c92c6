//! L5, sockets and tasks.
//!
//! **Invariant:** a service never decides: it gathers facts, asks `decide`, commits, sends, and
//! records one event for each datagram or request.

pub mod admin;
pub mod arming;
mod arp;
pub mod assets;
pub mod boot;
mod bounded;
mod companion;
pub mod conflicts;
pub mod context;
pub mod dhcp;
pub mod file_cache;
pub mod foreign;
pub mod free;
pub mod health;
pub mod heard;
pub mod hooks;
pub mod index;
pub mod installs;
pub mod last_good;
pub mod leases;
pub mod listener;
mod live;
pub mod logs;
pub mod memory;
pub mod mirror;
pub mod ndp;
pub mod newcomers;
mod packet;
mod per_link;
pub mod pulse;
pub mod reload;
pub mod script;
pub mod standing;
pub mod strangers;
pub mod tftp;
pub mod transfers;
pub mod why;
