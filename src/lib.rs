//! Bootwright, a network boot appliance.
//!
//! The layers, lowest first; a module imports only from those below it (`tests/layering.rs`):
//!
//! | layer | modules | what it is |
//! | --- | --- | --- |
//! | L0 | [`base`] | vocabulary: addresses, names, time |
//! | L1 | [`wire`] | bytes ↔ values |
//! | L2 | [`config`], [`record`], [`journal::event`], [`journal::reason`] | what was written, what is remembered, what happened |
//! | L3 | [`decide`], [`render`], [`diagnose`], [`import`] | what a machine gets and why; what other servers' files say; pure |
//! | L4 | [`store`], [`journal::log`] | durable state |
//! | L5 | [`serve`], [`host`], [`assets`], [`edits`] | sockets and tasks; the machine we run on; bringing boot files; editing reservations |
//! | L6 | [`daemon`], [`rehearse`] | the wiring |
//! | L7 | [`cli`] | what people type |

pub mod assets;
pub mod base;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod decide;
pub mod diagnose;
pub mod edits;
pub mod host;
pub mod import;
pub mod journal;
pub mod record;
pub mod rehearse;
pub mod render;
pub mod serve;
pub mod store;
pub mod wire;
