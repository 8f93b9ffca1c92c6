//! DHCP messages (RFC 2131, RFC 2132).
//!
//! `dhcproto` is the codec of the header and of single options; what a message is made of (joined
//! and overloaded options, order, size) is decided here, because one odd option of a client must not
//! cost the others. `tests/dhcproto_contract.rs` pins the limits of the crate that this stands around.

pub mod exercise;
pub mod options;
pub mod overheard;
pub mod relay;
pub mod reply;
pub mod request;
pub mod written;

pub use dhcproto::v4::{DhcpOption, MessageType, OptionCode};
pub use options::Options;
pub use reply::{BootFile, Encoded, Protocol, Reply};
pub use request::{Malformed, Request};
pub use written::Written;

/// Bytes of a message before its options: the BOOTP header and the magic cookie (RFC 2131 section 2).
pub const HEADER: usize = 240;

/// Bytes of a BOOTP message (RFC 951 section 3): what its clients send, and what they take.
pub const BOOTP_MESSAGE: usize = 300;

/// Smallest message that is sent: older relays and ROMs drop what is shorter than BOOTP's 300 bytes
/// (RFC 1542 section 2.1).
pub const MIN_MESSAGE: usize = BOOTP_MESSAGE;
