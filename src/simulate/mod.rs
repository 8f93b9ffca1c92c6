//! L3, what a machine would get: each packet and file of its boot and why, from the files alone.
//!
//! The machine's messages are made as its firmware makes them ([`Machine`]), and answered by the functions that the
//! daemon answers by: [`decide::dhcp`](crate::decide::dhcp), [`decide::tftp`](crate::decide::tftp),
//! [`decide::configs`](crate::decide::configs), [`decide::http`](crate::decide::http), the renderings of
//! [`render`](crate::render), and [`record::step`](crate::record::step()) for what an installation makes of its record.
//!
//! **Invariant:** pure, but for looking through [`Files`] which boot files are there. The same files give the same
//! report: no times, no random tokens (they are examples), no secrets.

mod drive;
mod exchange;
mod files;
mod loading;
mod machine;
mod packet;

use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

pub use self::machine::Machine;
pub use self::packet::OptionShown;

use self::drive::Drive;
use self::files::Looked;
use crate::base::{HardwareAddr, HostName, ProfileName, SubnetName, Token, Uuid};
use crate::config::snapshot::{Host, InstallPolicy};
use crate::config::{Files, Snapshot};
use crate::journal::event::Reason;
use crate::record::{InstallState, Record};
use crate::render::load::InForce;
use crate::render::{Renderer, check};

/// The version of the report as JSON: it counts up when a key goes or changes its meaning.
pub const VERSION: u32 = 1;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The machine.
    pub machine: Machine,
    /// Its hardware address; the host's first one when only that is named.
    pub mac: Option<HardwareAddr>,
    /// The host that it is taken for: with an address that is nobody's, as if that were the host's.
    pub host: Option<HostName>,
    /// The subnet that it is plugged into; else the host's, else that of the relay, else the first one.
    pub subnet: Option<SubnetName>,
    /// The relay that passes its messages on.
    pub relay: Option<Ipv4Addr>,
    /// The interface that they come in on.
    pub interface: Option<String>,
    /// Where its installation stands; else it is shown both unarmed and armed.
    pub state: Option<InstallState>,
    /// What it is armed with, if not with the file's profile.
    pub profile: Option<ProfileName>,
    /// Its firmware runs signed programs only.
    pub secure_boot: bool,
    /// What its firmware tells.
    pub uuid: Option<Uuid>,
    /// What its firmware tells; else what the host names.
    pub serial: Option<String>,
    /// Take every boot file for there: for checks where there are none.
    pub assume_files: bool,
}

impl Ask {
    /// A machine, and nothing else.
    pub fn new(machine: Machine) -> Self {
        Self {
            machine,
            mac: None,
            host: None,
            subnet: None,
            relay: None,
            interface: None,
            state: None,
            profile: None,
            secure_boot: false,
            uuid: None,
            serial: None,
            assume_files: false,
        }
    }
}

/// What makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Neither address nor host.
    #[error("name the machine: --mac, --host, or both")]
    NoMachine,
    /// Only Ethernet is simulated.
    #[error("{0} is no Ethernet address, and others are not simulated")]
    NotEthernet(HardwareAddr),
    /// No such host.
    #[error("there is no host {0}")]
    NoHost(HostName),
    /// It is only held.
    #[error("{0} has no MAC address yet: give the machine's by --mac")]
    NoMac(HostName),
    /// It is another host's.
    #[error("{mac} is the MAC address of {other}, not of {host}")]
    AnothersMac {
        /// The address.
        mac: HardwareAddr,
        /// The host named.
        host: HostName,
        /// Whose it is.
        other: HostName,
    },
    /// No such subnet.
    #[error("there is no subnet {asked}; there are {known}")]
    NoSubnet {
        /// What was asked for.
        asked: String,
        /// Those that there are.
        known: String,
    },
    /// There is no subnet at all.
    #[error("there is no [[subnet]] in the configuration: nobody is answered")]
    NoSubnets,
    /// Not served there.
    #[error("machines are served on {known}, not on {asked} ([server] interfaces)")]
    NoInterface {
        /// What was asked for.
        asked: String,
        /// Those that there are.
        known: String,
    },
    /// No such profile.
    #[error("there is no profile {0}")]
    NoProfile(ProfileName),
    /// A state without a host.
    #[error(
        "{0} is no host's MAC address, and only hosts are installed: leave --state and --profile out"
    )]
    StateOfStranger(HardwareAddr),
    /// A host that is never armed.
    #[error("{host} is {state} never: it has install = \"{policy}\"")]
    NeverArmed {
        /// The host.
        host: HostName,
        /// The state asked for.
        state: InstallState,
        /// Its policy.
        policy: &'static str,
    },
    /// Armed with nothing.
    #[error("{0} has no profile to be installed with: give it one, or --profile")]
    NothingToInstall(HostName),
}

/// A machine's boot, or its boots in several states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Of this form: [`VERSION`].
    pub version: u32,
    /// Its hardware address.
    #[serde(serialize_with = "as_text")]
    pub mac: HardwareAddr,
    /// What it is.
    #[serde(serialize_with = "as_text")]
    pub firmware: Machine,
    /// The host; `None`: it has no reservation.
    pub host: Option<HostName>,
    /// The subnet that it is plugged into.
    pub subnet: SubnetName,
    /// The relay between.
    pub relay: Option<Ipv4Addr>,
    /// The interface that its messages come in on.
    pub interface: String,
    /// This server, as the machine sees it.
    pub server: Ipv4Addr,
    /// What was made up, and what else there is to know.
    pub notes: Vec<String>,
    /// One for each state.
    pub boots: Vec<Boot>,
    /// Whether each comes where it is to come.
    pub ok: bool,
}

/// One boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Boot {
    /// Where the installation stands; `None`: it has none, as machines without a reservation and those that always run a
    /// live system.
    pub state: Option<InstallState>,
    /// What it is armed with, or runs.
    pub profile: Option<ProfileName>,
    /// In order.
    pub steps: Vec<Step>,
    /// Where it comes.
    pub end: End,
    /// The same in a sentence.
    pub summary: String,
    /// Whether it is to come there.
    pub ok: bool,
}

/// Where a boot comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The installer runs and has its answers.
    Installer,
    /// A live system runs.
    Live,
    /// A tool runs, this once.
    Tool,
    /// A machine without a reservation runs the discovery profile.
    Discovery,
    /// It boots its disk, or whatever its firmware has next.
    Disk,
    /// A system that is there already has its address.
    Address,
    /// What comes next is another server's, or a script's that is not followed.
    Elsewhere,
    /// It is told that nobody knows it.
    Unknown,
    /// It gets stuck.
    Stuck,
}

/// One message or file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Who asks: `bios`, `uefi-x64`, `httpboot`, `ipxe`, `shim`, `grub`, `pxelinux`, `installer`, `os`.
    pub stage: &'static str,
    /// What.
    pub sends: Sent,
    /// What comes back; `None`: nothing does.
    pub gets: Option<Got>,
    /// Why, as events have it.
    #[serde(serialize_with = "as_text")]
    pub reason: Reason,
    /// The same in words.
    pub why: &'static str,
    /// The particulars.
    pub detail: Option<String>,
    /// What can be done.
    pub remedy: Option<&'static str>,
}

/// What a machine sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// A DHCP message by its type, `TFTP read` or `HTTP GET`.
    pub what: &'static str,
    /// Where to.
    pub to: String,
    /// The file's name or URL.
    pub file: Option<String>,
    /// The options of a DHCP message.
    pub options: Vec<OptionShown>,
}

/// What a machine gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Got {
    /// A DHCP message by its type, `boot file`, `script`, `answer`, `no such file`, …
    pub what: &'static str,
    /// How a DHCP message is delivered.
    pub delivery: Option<String>,
    /// The address that it gives.
    pub address: Option<Ipv4Addr>,
    /// The server of the boot file (`siaddr`).
    pub next_server: Option<Ipv4Addr>,
    /// The boot file that it names, or the place of a file under `boot_assets`.
    pub file: Option<String>,
    /// The options of a DHCP message.
    pub options: Vec<OptionShown>,
    /// A text that is rendered: scripts and boot loaders' configurations.
    pub text: Option<String>,
}

impl Got {
    fn new(what: &'static str) -> Self {
        Self {
            what,
            delivery: None,
            address: None,
            next_server: None,
            file: None,
            options: Vec::new(),
            text: None,
        }
    }

    fn file(what: &'static str, file: impl Into<String>) -> Self {
        Self {
            file: Some(file.into()),
            ..Self::new(what)
        }
    }

    fn text(what: &'static str, text: String) -> Self {
        Self {
            text: Some(text),
            ..Self::new(what)
        }
    }
}

fn as_text<T: std::fmt::Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Simulates a machine.
pub fn simulate(in_force: &InForce, files: &dyn Files, ask: &Ask) -> Result<Report, AskError> {
    let snapshot = &in_force.snapshot;
    let (mac, host) = machine_of(snapshot, ask)?;
    let octets = machine::octets(mac).ok_or(AskError::NotEthernet(mac))?;
    let mut notes = Vec::new();
    // As if the address were the host's.
    let bound;
    let in_force = match &host {
        Some(host) if snapshot.host_by_mac(mac).is_none() => {
            notes.push(format!(
                "{mac} is taken for {}'s: `bootwright bind {0} {mac}` makes it so",
                host.name
            ));
            bound = with_mac(in_force, host, mac);
            &bound
        }
        _ => in_force,
    };
    let snapshot = &in_force.snapshot;
    let host = snapshot.host_by_mac(mac).map(Arc::clone);
    let subnet = subnet_of(snapshot, host.as_deref(), mac, ask, &mut notes)?;
    let of = snapshot.subnets.get(subnet).ok_or(AskError::NoSubnets)?;
    let server = of.server.unwrap_or(of.example_server);
    if let Some(note) = check::offline_note(
        snapshot,
        Some(&Host::new(example_name(host.as_deref())?, subnet)),
    ) {
        notes.push(note);
    }
    if !of.mode.gives_addresses() {
        notes.push(format!(
            "another DHCP server gives the addresses of {}: which one, and which addresses, is made up here where no reservation says it",
            of.name
        ));
    }
    if ask.assume_files {
        notes.push("every boot file is taken for there (--assume-files)".to_owned());
    }
    let interface = interface_of(snapshot, ask)?;
    let looked = Looked {
        in_force,
        files,
        assume: ask.assume_files,
    };
    let mut boots = Vec::new();
    for record in records(snapshot, host.as_deref(), mac, ask)? {
        let drive = Drive::new(
            drive::Site {
                in_force,
                files: &looked,
                ask,
                host: host.clone(),
                mac,
                octets,
                subnet,
                server,
                interface: &interface,
            },
            record,
        );
        boots.push(drive.run());
    }
    let ok = boots.iter().all(|boot| boot.ok);
    Ok(Report {
        version: VERSION,
        mac,
        firmware: ask.machine,
        host: host.map(|host| host.name.clone()),
        subnet: of.name.clone(),
        relay: ask.relay,
        interface,
        server,
        notes,
        boots,
        ok,
    })
}

fn example_name(host: Option<&Host>) -> Result<HostName, AskError> {
    match host {
        Some(host) => Ok(host.name.clone()),
        None => crate::config::stranger::NAME
            .parse()
            .map_err(|_| AskError::NoMachine),
    }
}

/// The hardware address and the host.
fn machine_of(
    snapshot: &Snapshot,
    ask: &Ask,
) -> Result<(HardwareAddr, Option<Arc<Host>>), AskError> {
    let named = match &ask.host {
        Some(name) => Some(
            snapshot
                .host(name)
                .ok_or_else(|| AskError::NoHost(name.clone()))?,
        ),
        None => None,
    };
    match (ask.mac, named) {
        (None, None) => Err(AskError::NoMachine),
        (None, Some(host)) => match host.boot_macs().first() {
            Some(mac) => Ok((*mac, Some(Arc::clone(host)))),
            None => Err(AskError::NoMac(host.name.clone())),
        },
        (Some(mac), None) => Ok((mac, snapshot.host_by_mac(mac).cloned())),
        (Some(mac), Some(host)) => match snapshot.host_by_mac(mac) {
            Some(other) if other.name != host.name => Err(AskError::AnothersMac {
                mac,
                host: host.name.clone(),
                other: other.name.clone(),
            }),
            _ => Ok((mac, Some(Arc::clone(host)))),
        },
    }
}

/// The configuration in which the address is this host's, before its others.
fn with_mac(in_force: &InForce, host: &Host, mac: HardwareAddr) -> InForce {
    let old = &in_force.snapshot;
    let hosts: Vec<Arc<Host>> = old
        .hosts()
        .iter()
        .map(|other| {
            if other.name != host.name {
                return Arc::clone(other);
            }
            let mut changed = (**other).clone();
            let macs: Vec<HardwareAddr> = std::iter::once(mac)
                .chain(other.macs.iter().copied())
                .collect();
            changed.macs = macs.into();
            Arc::new(changed)
        })
        .collect();
    let profiles = old
        .profiles()
        .values()
        .map(|profile| (**profile).clone())
        .collect();
    let mut snapshot = Snapshot::new(
        old.server.clone(),
        old.subnets.clone(),
        hosts,
        profiles,
        old.templates().clone(),
    );
    snapshot.generation = old.generation;
    snapshot.secrets = old.secrets.clone();
    snapshot.hooks.clone_from(&old.hooks);
    snapshot.mirrors.clone_from(&old.mirrors);
    snapshot.snippets.clone_from(&old.snippets);
    let renderer = Renderer::new(&snapshot);
    InForce { snapshot, renderer }
}

/// The subnet that the machine is plugged into, as an index.
fn subnet_of(
    snapshot: &Snapshot,
    host: Option<&Host>,
    mac: HardwareAddr,
    ask: &Ask,
    notes: &mut Vec<String>,
) -> Result<usize, AskError> {
    let holding = |ip: Ipv4Addr| {
        let mut subnets = snapshot.subnets.iter();
        subnets.position(|subnet| subnet.network.contains(&ip))
    };
    if let Some(asked) = &ask.subnet {
        return snapshot
            .subnets
            .iter()
            .position(|subnet| {
                subnet.name == *asked || subnet.network.to_string() == asked.as_str()
            })
            .ok_or_else(|| AskError::NoSubnet {
                asked: asked.to_string(),
                known: snapshot
                    .subnets
                    .iter()
                    .map(|subnet| subnet.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            });
    }
    if let Some(index) = ask.relay.and_then(holding) {
        return Ok(index);
    }
    if let Some(host) = host {
        let own = host.cards().find(|card| card.macs.contains(&mac));
        return Ok(own.and_then(|card| card.subnet).unwrap_or(host.subnet));
    }
    let first = snapshot.subnets.first().ok_or(AskError::NoSubnets)?;
    if snapshot.subnets.len() > 1 {
        notes.push(format!(
            "the machine is taken to be in {}; --subnet names another one",
            first.name
        ));
    }
    Ok(0)
}

fn interface_of(snapshot: &Snapshot, ask: &Ask) -> Result<String, AskError> {
    let known = &snapshot.server.interfaces;
    match &ask.interface {
        Some(asked) if !known.contains(asked) => Err(AskError::NoInterface {
            asked: asked.clone(),
            known: known.join(", "),
        }),
        Some(asked) => Ok(asked.clone()),
        None => Ok(known.first().cloned().unwrap_or_default()),
    }
}

/// The states that are simulated: the one that was asked for; else unarmed and, where it can be, armed.
fn records(
    snapshot: &Snapshot,
    host: Option<&Host>,
    mac: HardwareAddr,
    ask: &Ask,
) -> Result<Vec<Option<Record>>, AskError> {
    let Some(host) = host else {
        return if ask.state.is_some() || ask.profile.is_some() {
            Err(AskError::StateOfStranger(mac))
        } else {
            Ok(vec![None])
        };
    };
    if let Some(profile) = &ask.profile
        && snapshot.profile(profile).is_none()
    {
        return Err(AskError::NoProfile(profile.clone()));
    }
    let profile = ask.profile.as_ref().or(host.profile.as_ref());
    let of = |state| record(host, profile, state);
    let refused = |state| {
        let policy = match host.install {
            InstallPolicy::Never => "never",
            InstallPolicy::Always => "always",
            InstallPolicy::Once => return None,
        };
        Some(AskError::NeverArmed {
            host: host.name.clone(),
            state,
            policy,
        })
    };
    match ask.state {
        Some(state) if state.boots_installer() => match (refused(state), profile) {
            (Some(refused), _) => Err(refused),
            (None, None) => Err(AskError::NothingToInstall(host.name.clone())),
            (None, Some(_)) => Ok(vec![Some(of(state))]),
        },
        Some(state) => Ok(vec![Some(of(state))]),
        None if host.install == InstallPolicy::Always => Ok(vec![None]),
        None if host.install == InstallPolicy::Never || profile.is_none() => {
            Ok(vec![Some(of(InstallState::Local))])
        }
        // Systems and installers get the same whatever the state.
        None if ask.machine == Machine::Os => Ok(vec![Some(of(InstallState::Local))]),
        None => Ok(vec![
            Some(of(InstallState::Local)),
            Some(of(InstallState::Armed)),
        ]),
    }
}

/// A record of the host as it is when it has come to a state by the usual way.
fn record(host: &Host, profile: Option<&ProfileName>, state: InstallState) -> Record {
    Record {
        state,
        profile: profile.cloned(),
        file_profile: host.profile.clone(),
        macs: host.boot_macs(),
        ip: host.ip,
        // Only texts that need one are made with it, and they are shown with examples.
        token: Some(Token::from_bytes([0; 16])),
        after: host
            .after
            .clone()
            .filter(|_| state == InstallState::Waiting),
        attempt: match state {
            InstallState::Local | InstallState::Waiting | InstallState::Armed => 0,
            _ => 1,
        },
        ..Record::new(host.name.clone())
    }
}
