//! L3, why a machine is not booting: pure readers of events.
//!
//! [`attempts`] groups a host's events into boots and their steps; [`causes`] holds the rules that lead
//! from the step that did not come to its likely causes; [`why`] puts both together.
//!
//! **Invariant:** no clock, no IO: the same record, events and time give the same diagnosis.

pub mod attempts;
pub mod causes;
pub mod why;

pub use attempts::{Attempt, StepKind, attempts};
pub use causes::Cause;
pub use why::{Diagnosis, Subject, diagnose};
