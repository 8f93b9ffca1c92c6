//! L2, what is remembered of a machine. Pure: see [`state`].

pub mod state;

pub use state::{
    Armament, Input, InstallState, Policy, Record, Refusal, ReportKind, Step, Transition, step,
};
