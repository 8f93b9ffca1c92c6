//! What the unit tests of decisions share: one small site.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::BootFiles;
use crate::base::{Architecture, Lifecycle, Token};
use crate::config::Snapshot;
use crate::config::snapshot::{Boot, Host, Mode, Profile, Server, Subnet, TemplateText, Unknown};
use crate::record::{InstallState, Record};

/// A machine's address as the tests write it.
pub(crate) const WEB01: &str = "52:54:00:47:86:8e";

pub(crate) struct AllThere;

impl BootFiles for AllThere {
    fn is_there(&self, _path: &str) -> bool {
        true
    }
    fn missing_for(&self, _: &Host, _: &Profile, _: Architecture) -> Option<String> {
        None
    }
}

/// One file is missing.
pub(crate) struct Missing(pub(crate) &'static str);

impl BootFiles for Missing {
    fn is_there(&self, path: &str) -> bool {
        path != self.0
    }
    fn missing_for(&self, _: &Host, _: &Profile, _: Architecture) -> Option<String> {
        Some(self.0.to_owned())
    }
}

/// One secret is missing.
pub(crate) struct NoSecret(pub(crate) &'static str);

impl BootFiles for NoSecret {
    fn is_there(&self, _path: &str) -> bool {
        true
    }
    fn missing_for(&self, _: &Host, _: &Profile, _: Architecture) -> Option<String> {
        None
    }
    fn missing_secret(&self, _: &Host, _: &Profile, _: Architecture) -> Option<String> {
        Some(self.0.to_owned())
    }
}

fn subnet(name: &str, network: &str) -> Subnet {
    let network: ipnet::Ipv4Net = network.parse().unwrap();
    let base = u32::from(network.network());
    Subnet {
        name: name.parse().unwrap(),
        network,
        server: None,
        example_server: Ipv4Addr::from(base + 2),
        router: Some(Ipv4Addr::from(base + 1)),
        dns: vec![Ipv4Addr::from(base + 1)],
        ntp: vec![Ipv4Addr::from(base + 3)],
        domain: Some("lab.example".to_owned()),
        lease_time: Duration::from_secs(3_600),
        nat: Vec::new(),
        dns_search: Vec::new(),
        mode: Mode::Authoritative,
        unknown: Unknown::Ignore,
        pool: None,
        options: Vec::new(),
        secure_boot: None,
        span: None,
    }
}

fn reserved(name: &str, mac: &str, ip: &str, subnet: usize) -> Host {
    let mut host = Host::new(name.parse().unwrap(), subnet);
    host.domain = Some("lab.example".to_owned());
    host.macs = vec![mac.parse().unwrap()].into();
    host.ip = ip.parse().ok();
    host.profile = "debian-12".parse().ok();
    host
}

fn text(text: &str) -> TemplateText {
    TemplateText {
        text: text.to_owned(),
        span: None,
    }
}

/// `web01` in the local subnet 10.99.0.0/24, `far01` in the relayed 10.50.0.0/24.
pub(crate) fn snapshot() -> Snapshot {
    changed(|_| {})
}

/// The same after a change of its hosts.
pub(crate) fn changed(change: impl FnOnce(&mut Vec<Host>)) -> Snapshot {
    site(change, |_| {})
}

/// The same after a change of its profile.
pub(crate) fn with_profile(change: impl FnOnce(&mut Profile)) -> Snapshot {
    site(|_| {}, change)
}

/// The same after a change of both.
pub(crate) fn site(
    change: impl FnOnce(&mut Vec<Host>),
    change_profile: impl FnOnce(&mut Profile),
) -> Snapshot {
    let mut hosts = vec![
        reserved("web01", WEB01, "10.99.0.11", 0),
        reserved("far01", "52:54:00:00:50:01", "10.50.0.11", 1),
    ];
    change(&mut hosts);
    let mut profile = Profile {
        name: "debian-12".parse().unwrap(),
        title: "Debian 12".to_owned(),
        family: "debian".to_owned(),
        arch: vec![Architecture::X86_64],
        lifecycle: Lifecycle::Install,
        boot: Boot::Linux {
            kernel: text("debian/linux"),
            initrd: vec![text("debian/initrd.gz")],
            cmdline: text("auto").into(),
        },
        answers: Vec::new(),
        stalled_after: None,
        variables: BTreeMap::new(),
        vars: toml::Table::new(),
        options: Vec::new(),
        secure_boot: None,
        signed: None,
        fetch: None,
        span: None,
    };
    change_profile(&mut profile);
    Snapshot::new(
        Server::default(),
        vec![subnet("lab", "10.99.0.0/24"), subnet("far", "10.50.0.0/24")],
        hosts,
        vec![profile],
        BTreeMap::new(),
    )
}

pub(crate) fn host(snapshot: &Snapshot, name: &str) -> Arc<Host> {
    Arc::clone(snapshot.host(&name.parse().unwrap()).unwrap())
}

/// A record of a host in a state, as armed from [`snapshot`].
pub(crate) fn record(name: &str, state: InstallState) -> Record {
    let host = host(&snapshot(), name);
    Record {
        state,
        profile: host.profile.clone(),
        file_profile: host.profile.clone(),
        macs: host.macs.to_vec(),
        ip: host.ip,
        token: Some(Token::from_bytes([7; 16])),
        ..Record::new(host.name.clone())
    }
}
