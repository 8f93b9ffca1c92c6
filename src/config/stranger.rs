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
    Some(Host {
        name: NAME.parse().ok()?,
        fqdn: None,
        domain: of.domain.clone(),
        macs: vec![mac],
        ip,
        subnet,
        nics: Box::default(),
        groups: Vec::new(),
        profile: snapshot
            .server
            .discovery_profile
            .clone()
            .filter(|_| discovers),
        arch: None,
        loader: None,
        local_boot: if discovers {
            LocalBoot::Auto
        } else {
            LocalBoot::NoFile
        },
        install: if discovers {
            InstallPolicy::Always
        } else {
            InstallPolicy::Never
        },
        after: None,
        uuid: None,
        serial: None,
        options: Box::default(),
        vars: toml::Table::new(),
        notes: None,
        span: None,
    })
}
