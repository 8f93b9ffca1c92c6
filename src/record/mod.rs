//! L2, what is remembered of a machine. Pure: [`state`] holds the values, [`table`] what becomes of them.

pub mod state;
pub mod table;

pub use state::{
    Armament, Input, InstallState, Policy, Record, Refusal, ReportKind, Step, Transition, reached,
};
pub use table::{describe, has_come_to_something, misfit, step};
