//! What the benchmarks share: the network, the processes, the clients, the figures.

pub mod figures;
pub mod http;
pub mod ours;
pub mod packet;
pub mod process;
pub mod random;
pub mod setup;
pub mod tftp;
