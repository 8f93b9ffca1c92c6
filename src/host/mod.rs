//! L5, the machine this runs on: its interfaces, its privileges, what stands in the way of a start.
//!
//! **Invariant:** nothing here knows what is served; errors name what was found and the remedy.

pub mod links;
pub mod memory_fs;
pub mod neighbours;
pub mod oui;
pub mod ports;
pub mod preflight;
pub mod privilege;
pub mod surroundings;
pub mod thread_time;
pub mod trust;

/// The name of this machine, as `hostname` tells it.
pub fn name() -> String {
    nix::unistd::gethostname().map_or_else(
        |_| "localhost".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}
