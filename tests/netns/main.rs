//! Services on real interfaces: two namespaces joined by a cable, the server in one, a machine in the
//! other. Needs the right to make network namespaces (root); without it the tests say so and pass.

mod flood;
mod foreign;
mod ndp;
mod net;
mod nics;
mod services;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tftp.rs"]
mod tftp;
mod wire;
