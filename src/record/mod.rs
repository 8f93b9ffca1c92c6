//! L2, what is remembered of a machine. Pure: [`state`] holds the values of an installation, [`table`] what becomes of
//! them; [`lease`] has the addresses of machines without a reservation.

pub mod lease;
pub mod state;
pub mod table;

pub use lease::{Lease, LeaseState, LeaseTable};
pub use state::{
    Armament, Input, InstallState, Policy, Record, Refusal, ReportKind, Step, Transition, reached,
};
pub use table::{describe, has_come_to_something, misfit, step};
