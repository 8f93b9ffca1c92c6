//! L0, vocabulary: addresses, architectures, names, time.
//!
//! **Invariant:** total functions over values. Nothing here reads a file, a socket or a clock
//! (the one exception is [`time::SystemClock`], which is handed in from outside), and any input
//! gives a value or a typed error.

pub mod arch;
pub mod glob;
pub mod lifecycle;
pub mod loader;
pub mod lock;
pub mod mac;
pub mod macs;
pub mod map;
pub mod names;
pub mod oui;
pub mod pace;
pub mod range;
pub mod suggest;
pub mod time;
pub mod transport;
pub mod words;

pub use arch::{Architecture, ClientSystemArchitecture, Firmware};
pub use lifecycle::{After, AfterEvent, Lifecycle};
pub use loader::BootLoader;
pub use lock::locked;
pub use mac::HardwareAddr;
pub use macs::Macs;
pub use map::{FastHash, FastMap, FastSet};
pub use names::{
    GroupName, HostName, ProfileName, SubnetName, Token, Uuid, has_extension, without_tokens,
};
pub use range::AddrRange;
pub use time::{Clock, SystemClock, TestClock, Timestamp};
pub use transport::Transport;
pub use words::counted;
