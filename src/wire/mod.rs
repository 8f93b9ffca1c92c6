//! L1, bytes ↔ values, over `dhcproto`.
//!
//! **Invariant:** no IO, and total functions: any bytes give a value or a typed error; nothing here
//! panics, and no allocation is larger than the input calls for.

pub mod dhcp;
