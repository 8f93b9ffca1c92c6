//! The journal: what happened, to whom, and why.
//!
//! [`event`] and [`reason`] (L2) are the vocabulary; [`log`] (L4) keeps the events within a bound and hands them to
//! the log, to `events`, to the diagnosis.

pub mod event;
pub mod log;
pub mod reason;

pub use event::{Event, Kind, Reason};
pub use log::{Filter, Journal, Page};
