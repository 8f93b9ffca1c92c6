//! DHCP messages (RFC 2131, RFC 2132).

pub mod reply;
pub mod request;

pub use reply::Reply;
pub use request::{Malformed, Request};
