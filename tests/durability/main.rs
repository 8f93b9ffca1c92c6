//! What was acknowledged is there after every kill, and nobody is armed whom nobody ordered: the real
//! daemon, killed at random moments under load, with its store cut short, on a disk that is full or
//! read-only.
//!
//! `BOOTWRIGHT_KILLS=300` kills that many times; `BOOTWRIGHT_SEED` repeats a run.

mod api;
#[path = "../support/daemon.rs"]
mod daemon;
mod disk;
mod kills;
mod load;
mod machine;
mod random;
#[path = "../netns/wire.rs"]
mod wire;
