//! The site that the captures were taken in: 10.99.0.0/24 behind `br0`, this server at 10.99.0.2, and
//! a relayed subnet.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use bootwright::base::{Architecture, Lifecycle, Timestamp, Token};
use bootwright::config::Snapshot;
use bootwright::config::snapshot::{
    Boot, Host, Mode, Profile, Server, Subnet, TemplateText, Unknown,
};
use bootwright::decide::dhcp::{Decision, decide, decide_at_proxy_port};
use bootwright::decide::{Arrival, BootFiles, Facts, Known};
use bootwright::record::{InstallState, Record};
use bootwright::wire::dhcp::Request;

/// The machine that QEMU was, at the address that it was leased.
pub(crate) const WEB01: &str = "52:54:00:47:86:8e";
/// The interface that the clients ran on.
pub(crate) const NODE11: &str = "52:54:00:00:00:11";

/// Every boot file is there.
pub(crate) struct AllThere;

impl BootFiles for AllThere {
    fn is_there(&self, _path: &str) -> bool {
        true
    }
    fn missing_for(&self, _: &Host, _: &Profile, _: Architecture) -> Option<String> {
        None
    }
}

fn subnet(name: &str, network: &str) -> Subnet {
    let network: ipnet::Ipv4Net = network.parse().expect("a network");
    let at = |last: u32| Ipv4Addr::from(u32::from(network.network()) + last);
    Subnet {
        name: name.parse().expect("a name"),
        network,
        server: None,
        example_server: at(2),
        router: Some(at(1)),
        dns: vec![at(1)],
        ntp: vec![at(1)],
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

fn host(name: &str, mac: &str, ip: &str, subnet: usize) -> Host {
    let mut host = Host::new(name.parse().expect("a name"), subnet);
    host.domain = Some("lab.example".to_owned());
    host.macs = vec![mac.parse().expect("a MAC")].into();
    host.ip = Some(ip.parse().expect("an address"));
    host.profile = "debian-12".parse().ok();
    host
}

/// The configuration.
pub(crate) fn snapshot() -> Snapshot {
    changed(|_| {})
}

/// The configuration with its hosts changed.
pub(crate) fn changed(change: impl FnOnce(&mut Vec<Host>)) -> Snapshot {
    let text = |text: &str| TemplateText {
        text: text.to_owned(),
        span: None,
    };
    let profile = Profile {
        name: "debian-12".parse().expect("a name"),
        title: "Debian 12".to_owned(),
        family: "debian".to_owned(),
        arch: Vec::new(),
        lifecycle: Lifecycle::Install,
        boot: Boot::Linux {
            kernel: text("debian/linux"),
            initrd: vec![text("debian/initrd.gz")],
            cmdline: text("auto=true").into(),
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
    let mut hosts = vec![
        host("web01", WEB01, "10.99.0.34", 0),
        host("node11", NODE11, "10.99.0.16", 0),
    ];
    change(&mut hosts);
    Snapshot::new(
        Server::default(),
        vec![subnet("lab", "10.99.0.0/24"), subnet("far", "10.50.0.0/24")],
        hosts,
        vec![profile],
        BTreeMap::new(),
    )
}

/// The same machines behind the relay 10.50.0.1.
pub(crate) fn behind_the_relay() -> Snapshot {
    changed(|hosts| {
        for host in hosts {
            host.subnet = 1;
            host.ip = host.ip.map(|ip| Ipv4Addr::from(u32::from(ip) - (49 << 16)));
        }
    })
}

/// What is remembered of `web01`.
pub(crate) fn record(state: InstallState) -> Record {
    let host = host("web01", WEB01, "10.99.0.34", 0);
    Record {
        state,
        profile: host.profile.clone(),
        file_profile: host.profile.clone(),
        macs: host.macs.to_vec(),
        ip: host.ip,
        token: Some(Token::from_bytes([7; 16])),
        ..Record::new(host.name)
    }
}

/// By which way a message comes in: a broadcast on `br0`.
pub(crate) fn arrival() -> Arrival {
    Arrival {
        iface: "br0".into(),
        addresses: ["10.99.0.2/24".parse().expect("a network")].into(),
        to: Ipv4Addr::BROADCAST,
        source: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68),
        at: Timestamp::from_secs(1_800_000_000),
    }
}

/// The answer to these bytes in this configuration.
pub(crate) fn answer(bytes: &[u8], snapshot: &Snapshot, known: Known<'_>) -> Decision {
    let request = Request::parse(bytes).expect("a DHCP message");
    let facts = Facts {
        known,
        files: &AllThere,
        fetches: None,
        held: &[],
        delivery: bootwright::decide::delivery::Delivery::default(),
        route_source: Some(Ipv4Addr::new(10, 99, 0, 2)),
        pool: None,
    };
    decide(&request, &arrival(), snapshot, &facts)
}

/// The configuration beside another DHCP server, which alone knows the machines' addresses.
pub(crate) fn beside() -> Snapshot {
    let mut snapshot = changed(|hosts| {
        for host in hosts {
            host.ip = None;
        }
    });
    snapshot.subnets[0].mode = Mode::Proxy;
    snapshot
}

/// The answer to a machine that asks at port 4011 from this address, and is to be installed.
pub(crate) fn answer_at_4011(bytes: &[u8], snapshot: &Snapshot, from: SocketAddrV4) -> Decision {
    let request = Request::parse(bytes).expect("a DHCP message");
    let record = Record {
        ip: snapshot.hosts()[0].ip,
        ..record(InstallState::Armed)
    };
    let facts = Facts {
        known: Known::Record(&record),
        files: &AllThere,
        fetches: None,
        pool: None,
        held: &[],
        delivery: bootwright::decide::delivery::Delivery::default(),
        route_source: None,
    };
    let arrival = Arrival {
        to: Ipv4Addr::new(10, 99, 0, 2),
        source: from,
        ..arrival()
    };
    decide_at_proxy_port(&request, &arrival, snapshot, &facts)
}

/// The answer to a machine that is to be installed.
pub(crate) fn answer_armed(bytes: &[u8]) -> Decision {
    let record = record(InstallState::Armed);
    answer(bytes, &snapshot(), Known::Record(&record))
}

/// The answer to a machine of which nothing is asked.
pub(crate) fn answer_local(bytes: &[u8]) -> Decision {
    answer(bytes, &snapshot(), Known::Nothing)
}
