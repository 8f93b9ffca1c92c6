//! The journal: what happened, to whom, and why.
//!
//! [`event`] (L2) is the vocabulary; [`log`] (L4) keeps the events within a bound and hands them to
//! the log, to `events`, to the diagnosis.

pub mod event;
pub mod log;

pub use event::{Event, Kind, Reason};
pub use log::{Filter, Journal};
