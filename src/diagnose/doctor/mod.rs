//! Whether the machine that this runs on lets others boot from it: its interfaces, ports, firewall, disk and clock, held
//! against the configuration.
//!
//! **Invariant:** judged is what [`Facts`] say and nothing else. What could not be looked at is told as such, never as
//! good; and of what cannot be judged for certain nothing bad is told.

pub mod firewall;
mod interfaces;
mod ports;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use self::firewall::Rules;
use crate::base::Transport;
use crate::config::Snapshot;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The configuration, and the boot files that it needs.
    Files,
    /// As whom the daemon runs, and what that account may read.
    Privileges,
    /// The interfaces, their addresses and subnets, bridges, sizes of packets.
    Interfaces,
    /// Who holds the ports.
    Ports,
    /// Rules that close the ports.
    Firewall,
    /// Room for records and journal.
    Disk,
    /// Whether the clock is kept right.
    Clock,
    /// Whether the running daemon answers at its addresses.
    Answers,
    /// Other DHCP servers.
    Dhcp,
}

impl Check {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 9] = [
        Self::Files,
        Self::Privileges,
        Self::Interfaces,
        Self::Ports,
        Self::Firewall,
        Self::Disk,
        Self::Clock,
        Self::Answers,
        Self::Dhcp,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Privileges => "privileges",
            Self::Interfaces => "interfaces",
            Self::Ports => "ports",
            Self::Firewall => "firewall",
            Self::Disk => "disk",
            Self::Clock => "clock",
            Self::Answers => "answers",
            Self::Dhcp => "dhcp",
        }
    }
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It could not be looked at.
    Unseen,
    /// It may keep machines from booting.
    Warning,
    /// It keeps machines from booting.
    Error,
}

impl Level {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unseen => "unseen",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// How it is.
    pub level: Level,
    /// One sentence without its end.
    pub what: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: Check, what: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Ok,
            what: what.into(),
            remedy: None,
        }
    }

    /// It is not, or cannot be seen; with what to do about it.
    pub fn new(
        check: Check,
        level: Level,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            check,
            level,
            what: what.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// What was seen of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// All interfaces.
    pub links: Vec<Link>,
    /// Sockets at the ports of [`services`].
    pub held: Vec<Held>,
    /// Whether the daemon of this configuration runs.
    pub daemon: Daemon,
    /// The rules of the firewall.
    pub rules: Rules,
    /// Whether packets that pass a bridge are filtered by iptables (`bridge-nf-call-iptables`).
    pub filters_bridges: bool,
    /// The account that the daemon becomes.
    pub account: Account,
    /// Where the state folder is, or would be.
    pub state: Option<Room>,
    /// The folder of boot files; `None`: it is not there.
    pub assets: Option<Owned>,
    /// Whether the clock is synchronised; `None`: nobody tells.
    pub synchronised: Option<bool>,
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether there is somebody at its other end; `None`: it does not tell.
    pub carrier: Option<bool>,
    /// Its IPv4 addresses.
    pub addresses: Vec<Ipv4Net>,
    /// Largest IP datagram, in bytes.
    pub mtu: Option<u32>,
    /// Whether it drops what comes from where it would not send to (`rp_filter = 1`).
    pub strict_paths: bool,
    /// The bridge that it is a port of.
    pub bridge: Option<String>,
    /// When it is a bridge itself.
    pub is_bridge: Option<Bridge>,
}

/// A bridge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bridge {
    /// For how long a new port forwards nothing, where it runs spanning tree.
    pub waits: Option<Duration>,
    /// Ports that forward nothing now, although they are up.
    pub silent: Vec<String>,
}

/// A socket at a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// UDP or TCP.
    pub transport: Transport,
    /// The port.
    pub port: u16,
    /// Its address; `None`: all.
    pub address: Option<Ipv4Addr>,
    /// Its process, where that can be seen: name and number.
    pub by: Option<(String, u32)>,
}

/// The daemon of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Daemon {
    /// Nobody answers on its socket.
    #[default]
    Off,
    /// It runs, as this process.
    Runs(u32),
    /// Its socket may not be opened: why.
    Unseen(String),
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// User and group; `None`: there is no such account.
    pub ids: Option<(u32, u32)>,
}

/// Room on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// The folder.
    pub folder: PathBuf,
    /// Bytes that are free there for those who may not have all.
    pub free: u64,
}

/// Whose a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its mode.
    pub mode: u32,
}

impl Owned {
    /// Whether an account may list and read it, as far as its own group tells.
    const fn is_readable(self, uid: u32, gid: u32) -> bool {
        let bits = if uid == self.uid {
            self.mode >> 6
        } else if gid == self.gid {
            self.mode >> 3
        } else {
            self.mode
        };
        uid == 0 || bits & 0o5 == 0o5
    }
}

/// A port that machines ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// `DHCP`, `TFTP`, `HTTP`, `PXE`.
    pub name: &'static str,
    /// UDP or TCP.
    pub transport: Transport,
    /// The port.
    pub port: u16,
    /// The key that says so.
    pub key: &'static str,
}

/// The ports that machines ask.
pub fn services(snapshot: &Snapshot) -> Vec<Service> {
    use crate::config::snapshot::Mode;
    let server = &snapshot.server;
    let service = |name, transport, port, key| Service {
        name,
        transport,
        port,
        key,
    };
    let mut services = Vec::new();
    let mut modes = snapshot.subnets.iter().map(|subnet| subnet.mode);
    if modes.any(|mode| mode != Mode::Off) {
        services.push(service(
            "DHCP",
            Transport::Udp,
            server.dhcp_port,
            "[dhcp] port",
        ));
        let (port, key) = (server.proxy_port, "[dhcp] proxy_port");
        services.push(service("PXE", Transport::Udp, port, key));
    }
    services.push(service(
        "TFTP",
        Transport::Udp,
        server.tftp_port,
        "[tftp] port",
    ));
    services.push(service(
        "HTTP",
        Transport::Tcp,
        server.http_port,
        "[http] port",
    ));
    services.retain(|service| service.port != 0);
    services
}

/// So many bytes are to be free beside the journal's own.
const SPARE: u64 = 64 << 20;
/// With fewer, records cannot be written for long.
const FEWEST: u64 = 16 << 20;

/// What is found of a machine, in the order of [`Check::ALL`].
pub fn judge(snapshot: &Snapshot, facts: &Facts) -> Vec<Finding> {
    let mut found = privileges(snapshot, facts);
    found.extend(interfaces::judge(snapshot, facts));
    found.extend(ports::judge(snapshot, facts));
    found.extend(firewall(snapshot, facts));
    found.extend(disk(snapshot, facts));
    found.push(clock(facts));
    found
}

fn privileges(snapshot: &Snapshot, facts: &Facts) -> Vec<Finding> {
    let finding =
        |level, what, remedy: String| Finding::new(Check::Privileges, level, what, remedy);
    let mut found = Vec::new();
    match &facts.daemon {
        Daemon::Runs(pid) => {
            let what = format!("the daemon runs (pid {pid})");
            found.push(Finding::ok(Check::Privileges, what));
        }
        Daemon::Off => {}
        Daemon::Unseen(why) => found.push(finding(
            Level::Unseen,
            format!("whether the daemon runs cannot be told: {why}"),
            "run it with sudo".to_owned(),
        )),
    }
    let name = &facts.account.name;
    let Some((uid, gid)) = facts.account.ids else {
        let (level, what) = if snapshot.server.user.is_some() {
            let what = format!("there is no account {name}, which [server] user names");
            (Level::Error, what)
        } else {
            let what =
                format!("there is no account {name}: a daemon that is started as root stays root");
            (Level::Warning, what)
        };
        found.push(finding(
            level,
            what,
            format!("make it: useradd --system {name}"),
        ));
        return found;
    };
    let folder = snapshot.server.boot_assets.display();
    match facts.assets {
        None => found.push(finding(
            Level::Error,
            format!("the folder of boot files, {folder}, is not there"),
            "make it and bring the boot files: bootwright assets fetch".to_owned(),
        )),
        Some(owned) if !owned.is_readable(uid, gid) => found.push(finding(
            Level::Warning,
            format!("the account {name} may perhaps not read the boot files in {folder}"),
            format!("chmod -R a+rX {folder}"),
        )),
        Some(_) => found.push(Finding::ok(
            Check::Privileges,
            format!("the account {name} may read the boot files in {folder}"),
        )),
    }
    found
}

fn firewall(snapshot: &Snapshot, facts: &Facts) -> Vec<Finding> {
    let services = services(snapshot);
    let asked: Vec<(Transport, u16)> = services
        .iter()
        .map(|service| (service.transport, service.port))
        .collect();
    let interfaces = &snapshot.server.interfaces;
    let closed = match facts.rules.closed(&asked, interfaces) {
        Ok(closed) => closed,
        Err(why) => {
            return vec![Finding::new(
                Check::Firewall,
                Level::Unseen,
                format!("the rules of the firewall cannot be seen: {why}"),
                "run it with sudo, where nft or iptables is installed",
            )];
        }
    };
    if closed.is_empty() {
        let ports: Vec<String> = services
            .iter()
            .map(|service| format!("{} {}", service.transport.as_str(), service.port))
            .collect();
        let what = format!("no rule closes {}", ports.join(", "));
        return vec![Finding::ok(Check::Firewall, what)];
    }
    closed
        .into_iter()
        .map(|closed| {
            let (transport, port) = (closed.transport.as_str(), closed.port);
            Finding::new(
                Check::Firewall,
                Level::Error,
                format!("{transport} {port} is closed by {}", closed.by),
                format!(
                    "let {transport} {port} in on {}, and TFTP's further ports: nft add rule … {} dport {port} accept",
                    interfaces.join(", "),
                    transport.to_lowercase()
                ),
            )
        })
        .collect()
}

fn disk(snapshot: &Snapshot, facts: &Facts) -> Vec<Finding> {
    let server = &snapshot.server;
    let Some(Room { folder, free }) = &facts.state else {
        return vec![Finding::new(
            Check::Disk,
            Level::Unseen,
            format!(
                "the disk of {} cannot be looked at",
                server.state_dir.display()
            ),
            "run it with sudo",
        )];
    };
    let wanted = server.journal_keep.saturating_add(SPARE);
    let mib = |bytes: u64| bytes >> 20;
    let what = format!("{} MiB are free in {}", mib(*free), folder.display());
    if *free >= wanted {
        return vec![Finding::ok(Check::Disk, what)];
    }
    let level = if *free < FEWEST {
        Level::Error
    } else {
        Level::Warning
    };
    vec![Finding::new(
        Check::Disk,
        level,
        what,
        format!(
            "make room: the journal may become {} MiB ([journal] keep), and nothing is installed that cannot be recorded",
            mib(server.journal_keep)
        ),
    )]
}

fn clock(facts: &Facts) -> Finding {
    match facts.synchronised {
        Some(true) => Finding::ok(Check::Clock, "the clock is synchronised"),
        Some(false) => Finding::new(
            Check::Clock,
            Level::Warning,
            "the clock is not synchronised: armings lapse and certificates are judged by it",
            "timedatectl set-ntp true, or install chrony",
        ),
        None => Finding::new(
            Check::Clock,
            Level::Unseen,
            "nobody tells whether the clock is synchronised",
            "compare `date` with another machine's",
        ),
    }
}

#[cfg(test)]
pub(crate) mod tests;
