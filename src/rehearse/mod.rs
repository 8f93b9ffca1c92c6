//! L6, `bootwright rehearse`: a virtual machine boots through the operator's configuration in a network
//! namespace of its own, and each step is told.

pub mod disk;
pub mod netns;
pub mod qemu;
pub mod scratch;
pub mod story;
