//! Who is given a script, an answer, or has a report taken (design sections 3.1 and 3.2).

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::plan::{self, Plan};
use super::{BootFiles, Known};
use crate::base::{Architecture, HardwareAddr, Timestamp, Uuid};
use crate::config::snapshot::{Host, Profile};
use crate::config::{Snapshot, stranger};
use crate::journal::event::Reason;
use crate::record::{InstallState, Record, ReportKind};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// From which address.
    pub ip: Ipv4Addr,
    /// The hardware address that was found at it: where another server gives the addresses, in the
    /// neighbour table, or behind a relay in the machine's own DHCP packets; else that of the machine
    /// without a reservation to which the address is leased.
    pub mac: Option<HardwareAddr>,
}

impl From<Ipv4Addr> for Peer {
    fn from(ip: Ipv4Addr) -> Self {
        Self { ip, mac: None }
    }
}

/// Whether the hardware address at a peer's address tells who it is: only where this server gives no
/// addresses, because those that it gives tell it.
pub fn is_known_by_mac(snapshot: &Snapshot, ip: Ipv4Addr) -> bool {
    snapshot
        .subnet_containing(ip)
        .is_some_and(|subnet| !subnet.mode.gives_addresses())
}

/// The host that a peer is taken for, for events and signs of life; who is given something is
/// [`is_this_machine`]'s.
pub fn host_of(snapshot: &Snapshot, peer: Peer) -> Option<&Arc<Host>> {
    let by_mac = peer
        .mac
        .and_then(|mac| snapshot.host_by_mac(mac))
        .filter(|host| is_found(snapshot, host, peer));
    by_mac.or_else(|| {
        let by_ip = snapshot.host_by_ip(peer.ip);
        by_ip.filter(|host| may_be(host, peer))
    })
}

/// Whether nothing speaks against a peer being this host: the hardware address that was found at its
/// address, where one was, is the host's.
fn may_be(host: &Host, peer: Peer) -> bool {
    let mut macs = host.cards().flat_map(|card| card.macs).peekable();
    // A host that is held by name and address only has none so far.
    macs.peek().is_none() || peer.mac.is_none_or(|mac| macs.any(|own| *own == mac))
}

/// Whether one of a host's hardware addresses was found at the peer's address, in the subnet of that
/// network card (the host's own, for one without an address), where another server gives the addresses.
fn is_found(snapshot: &Snapshot, host: &Host, peer: Peer) -> bool {
    let Some(mac) = peer.mac else {
        return false;
    };
    host.cards()
        .filter(|card| card.macs.contains(&mac))
        .filter_map(|card| snapshot.subnets.get(card.subnet.unwrap_or(host.subnet)))
        .any(|subnet| !subnet.mode.gives_addresses() && subnet.network.contains(&peer.ip))
}

/// A request for a machine's boot script, by HTTP or TFTP.
#[derive(Debug, Clone)]
pub struct ScriptRequest {
    /// Whose script, as the path says.
    pub mac: HardwareAddr,
    /// Who asks.
    pub peer: Peer,
    /// The UUID that the machine tells: of its query, else of option 97 of its last DHCP packet.
    pub uuid: Option<Uuid>,
    /// The serial number that the machine tells in its query.
    pub serial: Option<String>,
    /// Whether the query told `uuid` and `serial` (they may be empty).
    pub identified: bool,
    /// The architecture seen in its DHCP packets.
    pub seen: Option<Architecture>,
    /// Whether the machine waits to be adopted, as its query tells: it would rather ask again than boot its
    /// disk because nobody has armed it yet.
    pub waiting: bool,
}

/// What is served for it.
#[derive(Debug, Clone)]
pub enum ScriptDecision {
    /// The script of this plan.
    Host {
        /// The host.
        host: Arc<Host>,
        /// Its plan.
        plan: Plan,
    },
    /// A script that asks again and tells UUID and serial number, because the host names one.
    Identify {
        /// The host.
        host: Arc<Host>,
    },
    /// A script that asks again later: the machine waits to be adopted, and was not armed yet.
    Wait {
        /// The host.
        host: Arc<Host>,
    },
    /// The discovery profile, for a machine without a reservation.
    Discover {
        /// The machine, as a host that nobody wrote down.
        host: Arc<Host>,
        /// The profile.
        profile: Arc<Profile>,
        /// The architecture it is booted for.
        arch: Architecture,
    },
    /// A script that says "not this machine".
    NotThisMachine,
    /// A script that tells how to adopt the machine.
    Unknown,
}

/// Decides about a script.
///
/// Anybody may ask; only the machine itself is given one that installs, and asking changes nothing.
pub fn script(
    request: &ScriptRequest,
    snapshot: &Snapshot,
    known: Known<'_>,
    files: &dyn BootFiles,
) -> ScriptDecision {
    let Some(host) = snapshot.host_by_mac(request.mac) else {
        return discovery(request, snapshot, files).unwrap_or(ScriptDecision::Unknown);
    };
    if !is_this_machine(snapshot, host, request.peer) {
        return ScriptDecision::NotThisMachine;
    }
    let host = Arc::clone(host);
    let plan = plan::plan(snapshot, &host, request.mac, known, request.seen, files);
    if !matches!(plan, Plan::Install { .. }) {
        let unarmed = matches!(
            plan,
            Plan::Disk {
                reason: Reason::DiskLocal | Reason::DiskWaiting,
                ..
            }
        );
        return if request.waiting && unarmed {
            ScriptDecision::Wait { host }
        } else {
            ScriptDecision::Host { host, plan }
        };
    }
    match identity(&host, request) {
        Identity::Same => ScriptDecision::Host { host, plan },
        Identity::Untold => ScriptDecision::Identify { host },
        Identity::Other(detail) => ScriptDecision::Host {
            host,
            plan: Plan::Disk {
                reason: Reason::DiskIdentity,
                detail: Some(detail),
            },
        },
    }
}

/// What a machine without a reservation boots in a subnet that discovers, which is the one that holds its
/// address. Whoever asks may have it: there is nothing of anybody's in it.
fn discovery(
    request: &ScriptRequest,
    snapshot: &Snapshot,
    files: &dyn BootFiles,
) -> Option<ScriptDecision> {
    let subnet = snapshot
        .subnets
        .iter()
        .position(|subnet| subnet.network.contains(&request.peer.ip))?;
    let host = stranger::host(snapshot, subnet, request.mac, Some(request.peer.ip))?;
    let known = Known::Nothing;
    match plan::plan(snapshot, &host, request.mac, known, request.seen, files) {
        Plan::Install { profile, arch, .. } => Some(ScriptDecision::Discover {
            host: Arc::new(host),
            profile,
            arch,
        }),
        Plan::Disk { .. } => None,
    }
}

enum Identity {
    /// The host names neither, or the machine told the same.
    Same,
    /// The machine has not been asked yet.
    Untold,
    /// The machine told another one, or none.
    Other(String),
}

/// Holds a machine's UUID and serial number against those that its host names.
///
/// What was told by DHCP is believed when it agrees. When it differs the machine is asked all the
/// same: old firmware sends option 97 in another byte order than it shows.
fn identity(host: &Host, request: &ScriptRequest) -> Identity {
    let uuid_agrees = host.uuid.is_none() || host.uuid == request.uuid;
    let told = request.serial.as_deref().unwrap_or_default().trim();
    let serial_agrees = host
        .serial
        .as_ref()
        .is_none_or(|serial| serial.trim() == told);
    if uuid_agrees && serial_agrees {
        return Identity::Same;
    }
    if !request.identified {
        return Identity::Untold;
    }
    let or_none = |told: String| {
        if told.is_empty() {
            "none".to_owned()
        } else {
            told
        }
    };
    let told_uuid = request
        .uuid
        .map(|uuid| uuid.to_string())
        .unwrap_or_default();
    let mut differences = Vec::new();
    if let Some(uuid) = host.uuid.filter(|_| !uuid_agrees) {
        differences.push(format!(
            "its UUID is {}, the reservation says {uuid}",
            or_none(told_uuid)
        ));
    }
    if let Some(serial) = host.serial.as_ref().filter(|_| !serial_agrees) {
        differences.push(format!(
            "its serial number is {}, the reservation says {serial}",
            or_none(told.to_owned())
        ));
    }
    Identity::Other(differences.join("; "))
}

/// Whether a peer is the machine itself (design section 3.1): its address is the host's and at no other
/// machine, or was found at one of its hardware addresses where another server gives the addresses, or is
/// one behind which machines of its subnet may appear.
pub fn is_this_machine(snapshot: &Snapshot, host: &Host, peer: Peer) -> bool {
    host.addresses().any(|own| own == peer.ip) && may_be(host, peer)
        || is_found(snapshot, host, peer)
        || snapshot
            .subnet_of(host)
            .is_some_and(|subnet| subnet.nat.contains(&peer.ip))
}

/// Whether a peer is the machine that is being installed. It keeps the address with which it was armed
/// until it is through, also when a reload has given its host another one, unless that is somebody
/// else's by now.
fn is_installed_machine(record: &Record, snapshot: &Snapshot, host: &Host, peer: Peer) -> bool {
    is_this_machine(snapshot, host, peer)
        || (record.ip == Some(peer.ip)
            && snapshot.host_by_ip(peer.ip).is_none()
            && may_be(host, peer))
}

/// Whether an answer may be served to this peer under this record's token.
///
/// The error is for the journal; outside it is 404 whatever it is.
pub fn answer(record: &Record, snapshot: &Snapshot, peer: Peer) -> Result<Arc<Host>, Reason> {
    let host = holder(record, snapshot)?;
    if !record.state.boots_installer() {
        return Err(Reason::VoidToken);
    }
    if !is_installed_machine(record, snapshot, host, peer) {
        return Err(Reason::NotThisMachine);
    }
    Ok(Arc::clone(host))
}

/// How long reports and logs are taken after an installation has ended.
const AFTER_THE_END: Duration = Duration::from_secs(7 * 86_400);

/// Whether a report (or a log, for which `kind` is `None`) may be taken from this peer.
///
/// All kinds alike: which of them changes a record in which state is [`crate::record::step`]'s. The
/// error is for the journal; outside it is 404 whatever it is.
pub fn report(
    record: &Record,
    snapshot: &Snapshot,
    peer: Peer,
    kind: Option<ReportKind>,
    now: Timestamp,
) -> Result<(), Reason> {
    let _ = kind;
    let host = holder(record, snapshot)?;
    let ended = match record.state {
        InstallState::Armed | InstallState::Booting | InstallState::Installing => {
            return if is_installed_machine(record, snapshot, host, peer) {
                Ok(())
            } else {
                Err(Reason::NotThisMachine)
            };
        }
        // From any address: the system may have moved to its production network.
        InstallState::Installed => record.installed_at.or(record.up_at),
        InstallState::Failed => record.failed_at,
        InstallState::Local | InstallState::Waiting => return Err(Reason::VoidToken),
    };
    match ended.or(record.changed_at) {
        Some(ended) if now.since(ended) <= AFTER_THE_END => Ok(()),
        _ => Err(Reason::VoidToken),
    }
}

/// The host that a token was made for; void with a host that is gone from the configuration.
fn holder<'a>(record: &Record, snapshot: &'a Snapshot) -> Result<&'a Arc<Host>, Reason> {
    if record.token.is_none() {
        return Err(Reason::VoidToken);
    }
    snapshot.host(&record.host).ok_or(Reason::VoidToken)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, AllThere};
    use super::*;
    use crate::config::snapshot::Mode;

    const WEB01: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 11);
    const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 77);

    fn ask(mac: &str, peer: Ipv4Addr) -> ScriptRequest {
        ScriptRequest {
            mac: mac.parse().unwrap(),
            peer: peer.into(),
            uuid: None,
            serial: None,
            identified: false,
            waiting: false,
            seen: None,
        }
    }

    #[test]
    fn only_the_machine_itself_is_given_its_script() {
        let snapshot = testing::snapshot();
        let record = testing::record("web01", InstallState::Armed);
        let decide =
            |request: &ScriptRequest| script(request, &snapshot, Known::Record(&record), &AllThere);
        assert!(matches!(
            decide(&ask(testing::WEB01, WEB01)),
            ScriptDecision::Host {
                plan: Plan::Install { .. },
                ..
            }
        ));
        assert!(matches!(
            decide(&ask(testing::WEB01, STRANGER)),
            ScriptDecision::NotThisMachine
        ));
        assert!(matches!(
            decide(&ask("52:54:00:ff:ff:ff", WEB01)),
            ScriptDecision::Unknown
        ));
    }

    #[test]
    fn machines_behind_nat_are_known_by_its_address() {
        let mut snapshot = testing::snapshot();
        snapshot.subnets[0].nat = vec![STRANGER];
        let host = testing::host(&snapshot, "web01");
        assert!(is_this_machine(&snapshot, &host, STRANGER.into()));
        let other = testing::host(&snapshot, "far01");
        assert!(!is_this_machine(&snapshot, &other, STRANGER.into()));
    }

    #[test]
    fn where_another_server_gives_addresses_the_hardware_address_tells() {
        let mut snapshot = testing::snapshot();
        let host = testing::host(&snapshot, "web01");
        let mac = host.mac();
        let other: HardwareAddr = "52:54:00:ff:ff:ff".parse().unwrap();
        let at = |ip: Ipv4Addr, mac| Peer { ip, mac };
        // This server gives the addresses: who has another one is somebody else.
        assert!(!is_this_machine(&snapshot, &host, at(STRANGER, mac)));
        assert!(!is_known_by_mac(&snapshot, STRANGER));
        assert!(host_of(&snapshot, at(STRANGER, mac)).is_none());
        for mode in [Mode::Proxy, Mode::Off] {
            snapshot.subnets[0].mode = mode;
            assert!(is_known_by_mac(&snapshot, STRANGER));
            assert!(is_this_machine(&snapshot, &host, at(STRANGER, mac)));
            assert!(!is_this_machine(
                &snapshot,
                &host,
                at(STRANGER, Some(other))
            ));
            assert!(!is_this_machine(&snapshot, &host, STRANGER.into()));
            let found = host_of(&snapshot, at(STRANGER, mac)).map(|host| &host.name);
            assert_eq!(found, Some(&host.name));
            // In its own subnet only.
            let elsewhere = Ipv4Addr::new(10, 50, 0, 77);
            assert!(!is_this_machine(&snapshot, &host, at(elsewhere, mac)));
            assert!(host_of(&snapshot, at(elsewhere, mac)).is_none());
        }
    }

    #[test]
    fn an_address_at_another_machine_tells_nothing() {
        let snapshot = testing::changed(|hosts| hosts[1].macs = Vec::new().into());
        let (host, unbound) = (
            testing::host(&snapshot, "web01"),
            Arc::clone(&snapshot.hosts()[1]),
        );
        let other: HardwareAddr = "52:54:00:ff:ff:ff".parse().unwrap();
        let record = testing::record("web01", InstallState::Installing);
        for (mac, is_it) in [(None, true), (host.mac(), true), (Some(other), false)] {
            let peer = Peer { ip: WEB01, mac };
            assert_eq!(is_this_machine(&snapshot, &host, peer), is_it, "{mac:?}");
            assert_eq!(host_of(&snapshot, peer).is_some(), is_it, "{mac:?}");
            assert_eq!(answer(&record, &snapshot, peer).is_ok(), is_it, "{mac:?}");
        }
        // The address that it was armed with.
        let moved = testing::changed(|hosts| hosts[0].ip = "10.99.0.12".parse().ok());
        for (mac, is_it) in [(None, true), (host.mac(), true), (Some(other), false)] {
            let peer = Peer { ip: WEB01, mac };
            assert_eq!(answer(&record, &moved, peer).is_ok(), is_it, "{mac:?}");
        }
        // Held by name and address: there is no hardware address to differ from.
        let at_its = Peer {
            ip: unbound.ip.unwrap(),
            mac: Some(other),
        };
        assert!(is_this_machine(&snapshot, &unbound, at_its));
    }

    #[test]
    fn a_named_machine_has_to_be_that_machine() {
        let uuid: Uuid = "e2e00000-0000-0000-0000-000000000001".parse().unwrap();
        let snapshot = testing::changed(|hosts| {
            hosts[0].uuid = Some(uuid);
            hosts[0].serial = Some("SN-1".to_owned());
        });
        let record = testing::record("web01", InstallState::Armed);
        let decide =
            |request: &ScriptRequest| script(request, &snapshot, Known::Record(&record), &AllThere);
        let mut request = ask(testing::WEB01, WEB01);
        assert!(matches!(decide(&request), ScriptDecision::Identify { .. }));
        request.identified = true;
        request.uuid = Some(uuid);
        request.serial = Some("SN-2".to_owned());
        let ScriptDecision::Host {
            plan: Plan::Disk { reason, detail },
            ..
        } = decide(&request)
        else {
            panic!("another machine was let in");
        };
        assert_eq!(reason, Reason::DiskIdentity);
        assert_eq!(
            detail.as_deref(),
            Some("its serial number is SN-2, the reservation says SN-1")
        );
        request.serial = Some(String::new());
        assert!(matches!(
            decide(&request),
            ScriptDecision::Host {
                plan: Plan::Disk { .. },
                ..
            }
        ));
        request.serial = Some("SN-1 ".to_owned());
        assert!(matches!(
            decide(&request),
            ScriptDecision::Host {
                plan: Plan::Install { .. },
                ..
            }
        ));
        // Nothing is asked of a machine that boots its disk anyway.
        let done = testing::record("web01", InstallState::Installed);
        assert!(matches!(
            script(
                &ask(testing::WEB01, WEB01),
                &snapshot,
                Known::Record(&done),
                &AllThere
            ),
            ScriptDecision::Host {
                plan: Plan::Disk { .. },
                ..
            }
        ));
    }

    #[test]
    fn what_a_token_opens_in_each_state() {
        let snapshot = testing::snapshot();
        let end = Timestamp::from_secs(1_000);
        let day = Duration::from_secs(86_400);
        for state in [
            InstallState::Local,
            InstallState::Waiting,
            InstallState::Armed,
            InstallState::Booting,
            InstallState::Installing,
            InstallState::Installed,
            InstallState::Failed,
        ] {
            let mut record = testing::record("web01", state);
            record.changed_at = Some(end);
            let answers = |peer: Ipv4Addr| {
                answer(&record, &snapshot, peer.into()).map(|host| host.ip.unwrap())
            };
            let reports = |peer: Ipv4Addr, after: Duration| {
                report(&record, &snapshot, peer.into(), None, end.plus(after))
            };
            let running = state.boots_installer();
            let ended = matches!(state, InstallState::Installed | InstallState::Failed);
            assert_eq!(
                answers(WEB01),
                running.then_some(WEB01).ok_or(Reason::VoidToken),
                "{state}"
            );
            assert!(answers(STRANGER).is_err(), "{state}");
            assert_eq!(reports(WEB01, day).is_ok(), running || ended, "{state}");
            assert_eq!(reports(STRANGER, day).is_ok(), ended, "{state}");
            assert_eq!(reports(WEB01, 7 * day).is_ok(), running || ended, "{state}");
            assert_eq!(reports(WEB01, 8 * day).is_ok(), running, "{state}");
        }
    }

    #[test]
    fn a_machine_under_installation_keeps_its_address_until_somebody_else_has_it() {
        let moved = |to: &'static str, other: &'static str| {
            testing::changed(move |hosts| {
                hosts[0].ip = to.parse().ok();
                hosts[1].ip = other.parse().ok();
            })
        };
        let record = testing::record("web01", InstallState::Installing);
        let now = Timestamp::from_secs(0);
        let taken = |snapshot: &Snapshot| {
            let reported = report(
                &record,
                snapshot,
                WEB01.into(),
                Some(ReportKind::Installed),
                now,
            );
            assert_eq!(
                reported.is_ok(),
                answer(&record, snapshot, WEB01.into()).is_ok()
            );
            reported
        };
        assert_eq!(taken(&moved("10.99.0.12", "10.50.0.11")), Ok(()));
        assert_eq!(
            taken(&moved("10.99.0.12", "10.99.0.11")),
            Err(Reason::NotThisMachine)
        );
    }

    #[test]
    fn a_host_that_is_gone_takes_its_token_along() {
        let snapshot = testing::changed(|hosts| {
            hosts.remove(0);
        });
        let record = testing::record("web01", InstallState::Installing);
        assert_eq!(
            answer(&record, &snapshot, WEB01.into()).map(|host| host.ip),
            Err(Reason::VoidToken)
        );
        let now = Timestamp::from_secs(0);
        assert_eq!(
            report(
                &record,
                &snapshot,
                WEB01.into(),
                Some(ReportKind::Started),
                now
            ),
            Err(Reason::VoidToken)
        );
    }
}
