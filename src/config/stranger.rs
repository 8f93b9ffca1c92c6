//! A machine without a reservation, as decisions and templates take it: a host that nobody wrote down.
//!
//! **Invariant:** such a host has no record and no token. The only profile that it ever has is the
//! discovery profile, which `config::check` has made sure writes no disk and has no answers.

use std::net::Ipv4Addr;

use super::snapshot::{Host, InstallPolicy, LocalBoot, Snapshot};
use crate::base::HardwareAddr;

/// What such a host is called where a name has to stand, in templates and on screens. No event and no
/// reply tells it.
pub const NAME: &str = "unknown";

/// The host for a machine in the subnet of this index. Where that subnet discovers, its profile is the
/// discovery profile, served at every boot; elsewhere it has none and boots its disk.
pub fn host(
    snapshot: &Snapshot,
    subnet: usize,
    mac: HardwareAddr,
    ip: Option<Ipv4Addr>,
) -> Option<Host> {
    let of = snapshot.subnets.get(subnet)?;
    let discovers = of.discovers();
    let mut host = Host::new(NAME.parse().ok()?, subnet);
    host.macs = mac.into();
    host.ip = ip;
    host.domain.clone_from(&of.domain);
    if discovers {
        host.profile.clone_from(&snapshot.server.discovery_profile);
        host.install = InstallPolicy::Always;
    } else {
        host.local_boot = LocalBoot::NoFile;
        host.install = InstallPolicy::Never;
    }
    Some(host)
}
