//! What every service holds: the configuration in force, the records, the journal, the boot files.
//!
//! A service takes one [`Context::config`] for each datagram or request and reads it from beginning
//! to end.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::assets::AssetTree;
use super::installs::{self, Installs};
use super::leases::Leases;
use super::memory::Memory;
use crate::base::{Architecture, Clock, HardwareAddr, HostName, Timestamp, Token};
use crate::config::Snapshot;
use crate::config::options::ConfiguredOption;
use crate::config::snapshot::{Host, Profile};
use crate::decide::http::{Peer, is_known_by_mac};
use crate::decide::plan::architecture;
use crate::decide::{BootFiles, Known};
use crate::host::links::Links;
use crate::host::neighbours::neighbour;
use crate::journal::Journal;
use crate::record::{Input, InstallState, Record};
use crate::render::files::usual_architecture;
use crate::render::load::InForce;
use crate::render::{RenderError, RenderedBoot, View};

/// How often at most a file under way, or one that is no part of the boot itself, is noted as a sign of
/// life: each note is a write to the disk.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// The part of `stalled_after` that may pass without a note.
const NOTES_IN_STALLED: u32 = 8;

/// What every service holds; cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The configuration in force.
    pub in_force: Arc<ArcSwap<InForce>>,
    /// The records.
    pub installs: Installs,
    /// The journal.
    pub journal: Journal,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The boot files.
    pub assets: AssetTree,
    /// What was seen of machines.
    pub memory: Memory,
    /// The interfaces.
    pub links: Links,
}

impl Context {
    /// The configuration in force now; taken once for each request.
    pub fn config(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The leases of machines without a reservation.
    pub fn leases(&self) -> &Leases {
        self.installs.leases()
    }

    /// Who asks, as [`Self::peer`], with the leases read.
    pub async fn who(&self, snapshot: &Snapshot, ip: Ipv4Addr) -> Peer {
        // A store that cannot be read tells so itself.
        let _ = self.leases().read().await;
        self.peer(snapshot, ip)
    }

    /// Which boot files are there, for a decision under this configuration.
    pub fn boot_files<'a>(&'a self, in_force: &'a InForce) -> DiskBootFiles<'a> {
        DiskBootFiles {
            in_force,
            assets: &self.assets,
        }
    }

    /// Who asks. Where another server gives the addresses, the hardware address behind this one is looked
    /// up: on a link of this machine in the neighbour table, behind a relay in what machines told by DHCP.
    /// Elsewhere a machine that has a lease of the pool is known by it: by the address of its host, when it
    /// has become one by now; else it is nobody, whosever the address is to be.
    pub fn peer(&self, snapshot: &Snapshot, ip: Ipv4Addr) -> Peer {
        self.peer_at(snapshot, ip, self.now())
    }

    /// The same, for whoever knows the time already.
    pub fn peer_at(&self, snapshot: &Snapshot, ip: Ipv4Addr, now: Timestamp) -> Peer {
        if !is_known_by_mac(snapshot, ip) {
            let Some(mac) = self.leases().holder(ip, now) else {
                return ip.into();
            };
            return match snapshot.host_by_mac(mac) {
                Some(host) if host.addresses().all(|own| own != ip) => host.ip.unwrap_or(ip).into(),
                Some(_) => ip.into(),
                None => Peer { ip, mac: Some(mac) },
            };
        }
        let mac = match self.links.on_link(ip) {
            Some(interface) => neighbour(ip, &interface.name).unwrap_or_else(|error| {
                tracing::warn!(%error, "the neighbour table cannot be read");
                None
            }),
            None => self.memory.mac_of(ip, now),
        };
        Peer { ip, mac }
    }

    /// What is remembered of a host, judged at the present time.
    pub async fn known(&self, in_force: &InForce, host: &HostName) -> KnownOwned {
        if self.installs.surely_lacks(host) {
            return KnownOwned::Nothing;
        }
        // Boxed, because it holds a whole change of the store, and whoever waits for it holds it.
        match Box::pin(self.installs.known(&in_force.snapshot, host)).await {
            Ok(Some(record)) => KnownOwned::Record(record),
            Ok(None) => KnownOwned::Nothing,
            Err(_) => KnownOwned::Unavailable,
        }
    }

    /// The architecture that a host's own packets told.
    pub fn architecture_seen(&self, host: &Host) -> Option<Architecture> {
        host.boot_macs()
            .into_iter()
            .find_map(|mac| self.memory.get(mac)?.architecture)
    }

    /// What a host loads to boot its installer, for the architecture that was last seen of it.
    pub fn boot(
        &self,
        in_force: &InForce,
        host: &Host,
        profile: &Profile,
    ) -> Result<RenderedBoot, RenderError> {
        let snapshot = &in_force.snapshot;
        let seen = self.architecture_seen(host);
        in_force.renderer.boot(&View {
            snapshot,
            host,
            profile,
            arch: architecture(host, Some(profile), seen),
            server: snapshot
                .subnet_of(host)
                .map_or(Ipv4Addr::LOCALHOST, |subnet| {
                    subnet.server.unwrap_or(subnet.example_server)
                }),
            token: None,
        })
    }

    /// How often a transfer to a host is noted while it is under way: a large file over a slow link
    /// must not look like silence.
    pub fn note_every(&self) -> Duration {
        let in_force = self.config();
        let snapshot = &in_force.snapshot;
        let least = snapshot
            .profiles()
            .values()
            .filter_map(|profile| profile.stalled_after)
            .chain([snapshot.server.stalled_after])
            .min()
            .unwrap_or(NOTE_EVERY);
        NOTE_EVERY.min(least / NOTES_IN_STALLED)
    }

    /// Takes note that a host was sent a file from beginning to end: of a machine that fetches its
    /// loader again and again, this is what is counted.
    pub fn note_whole(&self, host: &HostName, path: &str) {
        let in_force = self.config();
        if let Some(host) = in_force.snapshot.host(host) {
            self.memory.note_sent(&host.boot_macs(), path, self.now());
        }
    }

    /// Takes note that a boot file was sent to a host, whole or in part: a sign of life while its
    /// installer is booted, and the moment its kernel has arrived. Until the installer runs, files that
    /// its script does not name (its boot loader) are no sign of it; afterwards any file is, noted now
    /// and then only, because an installer fetches hundreds and each note is a write to the disk.
    pub async fn note_asset(
        &self,
        host: &HostName,
        path: &str,
        whole: bool,
        mac: Option<HardwareAddr>,
        ip: Option<Ipv4Addr>,
    ) {
        let in_force = self.config();
        let snapshot = &in_force.snapshot;
        let (Some(host), KnownOwned::Record(record)) =
            (snapshot.host(host), self.known(&in_force, host).await)
        else {
            return;
        };
        let Some(token) = record
            .token
            .as_ref()
            .filter(|_| record.state.boots_installer())
        else {
            return;
        };
        let Some(profile) = record
            .profile
            .as_ref()
            .and_then(|name| snapshot.profile(name))
        else {
            return;
        };
        // For the architecture that was last seen of it.
        let seen = self.architecture_seen(host);
        let arch = architecture(host, Some(profile), seen);
        let needs = in_force.needs(host, profile, arch);
        let Some(paths) = needs.as_ref().and_then(|needs| needs.paths.as_ref().ok()) else {
            return;
        };
        let place = paths.iter().position(|loaded| *loaded == path);
        let due = || {
            let noted = |at| self.now().since(at) < self.note_every();
            record.state == InstallState::Installing && !record.seen_at.is_some_and(noted)
        };
        if place.is_none() && !due() {
            return;
        }
        let kernel = whole && place == Some(0);
        let about = installs::Context {
            mac,
            ip,
            generation: snapshot.generation,
            file: Some(path.to_owned()),
            because: None,
        };
        // A store that cannot be written has told so itself; the file is sent in any case.
        let _ = self
            .installs
            .apply_under(
                snapshot,
                token,
                &host.name,
                |_| Input::Asset { kernel },
                &about,
            )
            .await;
    }
}

/// What was remembered of a host; lends itself as [`Known`].
#[derive(Debug, Clone)]
pub enum KnownOwned {
    /// The store has this record.
    Record(Arc<Record>),
    /// The store has none.
    Nothing,
    /// The store could not be read.
    Unavailable,
}

impl KnownOwned {
    /// For a decision.
    pub fn as_known(&self) -> Known<'_> {
        match self {
            Self::Record(record) => Known::Record(record),
            Self::Nothing => Known::Nothing,
            Self::Unavailable => Known::Unavailable,
        }
    }

    /// The record, when there is one.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Nothing | Self::Unavailable => None,
        }
    }
}

/// The boot files on the disk, as decisions ask for them.
#[derive(Clone, Copy)]
pub struct DiskBootFiles<'a> {
    in_force: &'a InForce,
    assets: &'a AssetTree,
}

impl DiskBootFiles<'_> {
    /// The first file that an installation needs and `is_there` says is not.
    pub fn missing_by(
        &self,
        host: &Host,
        profile: &Profile,
        arch: Architecture,
        is_there: &dyn Fn(&str) -> bool,
    ) -> Option<String> {
        let needs = self.in_force.needs(host, profile, arch)?;
        needs.missing(is_there)
    }
}

impl BootFiles for DiskBootFiles<'_> {
    fn is_there(&self, path: &str) -> bool {
        // What is mirrored comes when it is asked for.
        self.in_force.snapshot.is_mirrored(path) || self.assets.is_there(path)
    }

    fn missing_for(&self, host: &Host, profile: &Profile, arch: Architecture) -> Option<String> {
        self.missing_by(host, profile, arch, &|path| self.is_there(path))
    }

    fn options_of(
        &self,
        host: &Host,
        profile: &Profile,
        token: &Token,
        server: Ipv4Addr,
    ) -> Vec<ConfiguredOption> {
        let view = View {
            snapshot: &self.in_force.snapshot,
            host,
            profile,
            arch: usual_architecture(host, Some(profile)),
            server,
            token: Some(token),
        };
        // That they render was proven when the configuration was loaded.
        self.in_force.renderer.options(&view).unwrap_or_default()
    }

    fn missing_secret(&self, host: &Host, profile: &Profile, arch: Architecture) -> Option<String> {
        let needs = self.in_force.needs(host, profile, arch)?;
        needs.lacks_secret.clone()
    }
}
