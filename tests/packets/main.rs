//! Real packets through the decisions, and what holds for all packets.
//!
//! `captures/` holds UDP payloads as text: lines that begin with `#` say where they came from, the
//! rest are bytes in hexadecimal. `snapshots/` holds what this server answers; review with
//! `cargo insta review`.

mod capture;
mod corpus;
mod edits;
mod families;
mod fuzz;
mod oracle;
mod properties;
mod replay;
mod site;
