//! L3, why a machine is not booting: pure readers of events.
//!
//! [`steps`] tells which step of a boot an event shows; [`attempts`] groups a host's events into boots; [`causes`] holds the rules that lead
//! from the step that did not come to its likely causes; [`why`] puts both together. [`strangers`] tells whose
//! machine one without a reservation may be. [`doctor`] tells whether this machine lets others boot from it.
//!
//! **Invariant:** no clock, no IO: the same record, events and time give the same diagnosis.

pub mod attempts;
pub mod causes;
pub mod doctor;
mod foreign;
mod loops;
pub mod steps;
pub mod strangers;
pub mod why;

pub use attempts::{Attempt, attempts};
pub use causes::Cause;
pub use steps::{Expected, Loads, StepKind};
pub use why::{Diagnosis, Subject, diagnose};
