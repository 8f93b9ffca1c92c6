//! L6, `bootwright rehearse`: a virtual machine boots through the operator's configuration in a network
//! namespace of its own, and each step is told.
//!
//! In order: [`plan`] decides what is rehearsed and checks that all of it is there; [`run`] enters the
//! namespace ([`netns`]), runs the daemon in this process on a store, journal and socket of the
//! rehearsal's own ([`scratch`]), arms the host there, starts the virtual machine ([`qemu`], [`disk`])
//! and turns the journal into steps ([`story`]).
//!
//! **Invariant:** nothing that a rehearsal does changes what is recorded of the real host, nothing of it
//! is seen on the real network, and nothing of it is left when it has ended, however it ended.

pub mod beside;
pub mod console;
pub mod disk;
pub mod netns;
pub mod plan;
pub mod qemu;
pub mod run;
pub mod scratch;
pub mod story;

pub use plan::{Ask, Plan, PlanError};
pub use run::{End, Outcome, RehearseError, Told, rehearse};
pub use story::Milestone;
