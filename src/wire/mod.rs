//! L1, bytes ↔ values, over `dhcproto` and `etherparse`.
//!
//! **Invariant:** no IO, and total functions: any bytes give a value or a typed error; nothing here
//! panics, and no allocation is larger than the input calls for.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::panic,
        clippy::unreachable
    )
)]

pub mod dhcp;
pub mod dns;
pub mod exercise;
pub mod frame;
pub mod framing;
pub mod icmp;
pub mod ipxe;
pub mod iscsi;
pub mod iso;
pub mod looks;
pub mod names;
pub mod ndp;
pub mod pxe;
pub mod tftp;
