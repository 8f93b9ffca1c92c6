//! What a configuration means: checked, merged, indexed, never changed.
//!
//! A reload builds a new snapshot beside the old one and swaps them; a request reads one snapshot
//! from beginning to end.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv4Net;

pub use super::hook::{Hook, HookTarget};
use super::index::{Hosts, Index};
use super::mirror::Mirror;
use super::options::ConfiguredOption;
pub use super::profile::{
    Answer, Arguments, Boot, Chap, ImageKind, Profile, ProfileOption, ProfileValue, San, SanTarget,
    SignedLoaders, Snippet, Template, TemplateText, list_key,
};
use super::secrets::Secrets;
use super::source::Span;
use crate::base::{
    After, Architecture, BootLoader, FastHash, FastMap, Firmware, GroupName, HardwareAddr,
    HostName, Macs, ProfileName, SubnetName, Timestamp, Uuid, pace,
};

/// A whole configuration in force.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Counts up with each configuration that takes effect.
    pub generation: u64,
    /// When this configuration took effect before, where a daemon was started on what is kept of it because its files
    /// have errors; then no host is armed. `None`: it was read from the files.
    pub last_good: Option<Timestamp>,
    /// The daemon's own settings.
    pub server: Server,
    /// The subnets, in the order of the file.
    pub subnets: Vec<Subnet>,
    /// What `secrets.toml` holds.
    pub secrets: Secrets,
    /// Who is told of events.
    pub hooks: Vec<Hook>,
    /// Folders of boot files that are brought from elsewhere.
    pub mirrors: Vec<Mirror>,
    /// Snippets that hosts may name: `templates/snippets/NAME.sh.j2`.
    pub snippets: BTreeMap<String, Snippet>,
    hosts: Hosts,
    profiles: BTreeMap<ProfileName, Arc<Profile>>,
    templates: BTreeMap<String, Template>,
    by_mac: Index,
    /// `None`: several hosts name it.
    by_uuid: HashMap<Uuid, Option<u32>>,
    by_ip: FastMap<Ipv4Addr, u32>,
    by_name: Index,
}

/// `bootwright.toml` but for the subnets. Paths are absolute or relative to the working directory.
#[derive(Debug, Clone)]
pub struct Server {
    /// The file itself.
    pub file: PathBuf,
    /// Interfaces on which machines are served.
    pub interfaces: Vec<String>,
    /// Domain of hosts that name none.
    pub domain: Option<String>,
    /// Records, journal and the operators' socket.
    pub state_dir: PathBuf,
    /// Boot files.
    pub boot_assets: PathBuf,
    /// Folder of the profiles.
    pub profiles: PathBuf,
    /// Folder of the templates.
    pub templates: PathBuf,
    /// Files or folders of reservations.
    pub reservations: Vec<PathBuf>,
    /// What a start as root becomes; `None` is the account `bootwright` if there is one.
    pub user: Option<String>,
    /// UDP port of DHCP (67).
    pub dhcp_port: u16,
    /// UDP port at which PXE firmware asks for its boot file when it has its address (4011).
    pub proxy_port: u16,
    /// Length of leases where a subnet does not say otherwise.
    pub lease_time: Duration,
    /// What machines without a reservation boot from the network where they are discovered.
    pub discovery_profile: Option<ProfileName>,
    /// Whether an address is looked for on its link before it is first offered.
    pub conflict_probe: bool,
    /// Boot loader by firmware: a path under `boot_assets` or a whole URL.
    pub loaders: BTreeMap<Firmware, String>,
    /// Boot loader by the number in option 93; wins over [`Server::loaders`].
    pub loaders_by_code: BTreeMap<u16, String>,
    /// Shim by firmware, for machines with Secure Boot whose profile brings none: a path under `boot_assets`.
    pub secure: BTreeMap<Firmware, String>,
    /// Whether `[boot] secure` names any of them; the others are the usual ones, which need not be there.
    pub secure_named: bool,
    /// Whether iPXE is told at once that there is no IPv6 router (`router_advertisement = "ipxe"`).
    pub advertise_to_ipxe: bool,
    /// UDP port of TFTP (69).
    pub tftp_port: u16,
    /// Largest `blksize` granted (RFC 2348), in bytes.
    pub tftp_max_blksize: u16,
    /// Largest `windowsize` granted (RFC 7440), in blocks.
    pub tftp_max_windowsize: u16,
    /// What serves TFTP.
    pub tftp_engine: TftpEngine,
    /// TCP port of the boot plane.
    pub http_port: u16,
    /// How long an arming holds.
    pub armed_for: Duration,
    /// Boots of the installer per arming.
    pub max_attempts: u32,
    /// Silence after which an installation has failed.
    pub stalled_after: Duration,
    /// Bytes of journal kept.
    pub journal_keep: u64,
    /// Bytes of boot files kept in memory; 0: none is kept.
    pub asset_cache: u64,
    /// Whether hosts that a reload adds are armed (`when_new = "install"`).
    pub install_new: bool,
    /// The file of secrets.
    pub secrets: Option<PathBuf>,
    /// The codes of warnings that are not told.
    pub allow: Vec<&'static str>,
}

impl Server {
    /// The boot loader of a host with this firmware: its own one, or that of its firmware. One that is a
    /// loader's name alone (`loader = "pxelinux"`) stands for the file of that loader which fits.
    pub fn loader_of<'a>(&'a self, host: &'a Host, firmware: Firmware) -> Option<&'a str> {
        match (host.loader.as_deref(), host.named_loader()) {
            (_, Some(named)) => self.loader_by_name(named, firmware),
            (Some(own), None) => Some(own),
            (None, None) => self.loaders.get(&firmware).map(String::as_str),
        }
    }

    /// Which boot loaders a host may meet: of every firmware that its architecture may have; where it names
    /// none, as far as that is known.
    pub fn boot_loaders(&self, host: &Host) -> Vec<BootLoader> {
        let mut loaders: Vec<BootLoader> = Firmware::ALL
            .into_iter()
            .filter(|firmware| {
                host.arch.is_none_or(|arch| {
                    arch == firmware.architecture() || Firmware::usual_for(arch) == *firmware
                })
            })
            .filter_map(|firmware| self.loader_of(host, firmware))
            .map(BootLoader::of_file)
            .collect();
        loaders.sort_unstable();
        loaders.dedup();
        if loaders.is_empty() {
            loaders.push(BootLoader::Ipxe);
        }
        loaders
    }

    /// The file of a boot loader: that of `[boot] loaders` where it is one of this loader's, else where
    /// `assets fetch` puts it. `None`: there is none for this firmware.
    pub fn loader_by_name(&self, loader: BootLoader, firmware: Firmware) -> Option<&str> {
        let configured = self.loaders.get(&firmware).map(String::as_str);
        configured
            .filter(|file| BootLoader::of_file(file) == loader)
            .or_else(|| loader.usual_file(firmware))
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            file: PathBuf::from("config/bootwright.toml"),
            interfaces: Vec::new(),
            domain: None,
            state_dir: PathBuf::from("/var/lib/bootwright"),
            boot_assets: PathBuf::from("boot-assets"),
            profiles: PathBuf::from("config/profiles"),
            templates: PathBuf::from("config/templates"),
            reservations: vec![PathBuf::from("config/reservations.toml")],
            user: None,
            dhcp_port: 67,
            proxy_port: 4_011,
            lease_time: Duration::from_secs(3_600),
            discovery_profile: None,
            conflict_probe: true,
            loaders: [
                (Firmware::Bios, "ipxe/undionly.kpxe"),
                (Firmware::UefiX64, "ipxe/snponly.efi"),
                (Firmware::UefiIa32, "ipxe/snponly-ia32.efi"),
                (Firmware::UefiArm32, "ipxe/snponly-arm32.efi"),
                (Firmware::UefiArm64, "ipxe/snponly-arm64.efi"),
            ]
            .map(|(firmware, path)| (firmware, path.to_owned()))
            .into(),
            loaders_by_code: BTreeMap::new(),
            secure: [
                (Firmware::UefiX64, "shim/shimx64.efi"),
                (Firmware::UefiArm64, "shim/shimaa64.efi"),
            ]
            .map(|(firmware, path)| (firmware, path.to_owned()))
            .into(),
            secure_named: false,
            advertise_to_ipxe: false,
            tftp_port: 69,
            tftp_max_blksize: 1_468,
            tftp_max_windowsize: 64,
            tftp_engine: TftpEngine::default(),
            http_port: 8_080,
            armed_for: Duration::from_secs(86_400),
            max_attempts: 3,
            stalled_after: Duration::from_secs(2_700),
            journal_keep: 256 << 20,
            asset_cache: 512 << 20,
            install_new: false,
            secrets: None,
            allow: Vec::new(),
        }
    }
}

/// A network whose machines this server answers.
#[derive(Debug, Clone)]
pub struct Subnet {
    /// Its name; the network as written when the file gives none.
    pub name: SubnetName,
    /// The network.
    pub network: Ipv4Net,
    /// This server as the subnet's machines see it, when the file says.
    pub server: Option<Ipv4Addr>,
    /// The address that offline commands show and `rehearse` gives to its bridge: `server`, else the
    /// first free address of the network.
    pub example_server: Ipv4Addr,
    /// Default router (option 3).
    pub router: Option<Ipv4Addr>,
    /// Name servers (option 6).
    pub dns: Vec<Ipv4Addr>,
    /// Time servers (option 42).
    pub ntp: Vec<Ipv4Addr>,
    /// Domain (option 15), with the server's as default.
    pub domain: Option<String>,
    /// Length of leases here.
    pub lease_time: Duration,
    /// Addresses behind which this subnet's machines may appear.
    pub nat: Vec<Ipv4Addr>,
    /// Domains in which machines look for short names (option 119).
    pub dns_search: Vec<String>,
    /// What DHCP does here.
    pub mode: Mode,
    /// What machines without a reservation get here.
    pub unknown: Unknown,
    /// Addresses for machines without a reservation.
    pub pool: Option<Pool>,
    /// Further options, one of each code.
    pub options: Vec<ConfiguredOption>,
    /// Whether its machines have Secure Boot switched on, where neither host, group nor profile says.
    pub secure_boot: Option<bool>,
    /// Where it stands.
    pub span: Option<Span>,
}

impl Subnet {
    /// The pool from which machines without a reservation get an address here; `None`: they get none.
    pub fn leases(&self) -> Option<Pool> {
        self.pool
            .filter(|_| self.mode == Mode::Authoritative && self.unknown != Unknown::Ignore)
    }

    /// Whether machines without a reservation that boot from the network get the discovery profile.
    pub fn discovers(&self) -> bool {
        self.unknown == Unknown::Discover
            && match self.mode {
                Mode::Authoritative => self.pool.is_some(),
                Mode::Proxy => true,
                Mode::Off => false,
            }
    }
}

/// What DHCP does in a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It gives addresses.
    #[default]
    Authoritative,
    /// Another server gives addresses; this one tells machines that boot from the network what to boot
    /// (PXE specification 2.1, "proxyDHCP").
    Proxy,
    /// It says nothing; scripts and files are served.
    Off,
}

impl Mode {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authoritative => "authoritative",
            Self::Proxy => "proxy",
            Self::Off => "off",
        }
    }

    /// Whether this server gives the addresses.
    pub const fn gives_addresses(self) -> bool {
        matches!(self, Self::Authoritative)
    }
}

/// What serves TFTP (`engine` in `[tftp]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TftpEngine {
    /// The engine of our own.
    #[default]
    Native,
    /// The crate `async-tftp`.
    AsyncTftp,
}

/// What a machine without a reservation gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unknown {
    /// Nothing.
    #[default]
    Ignore,
    /// An address of the pool and no boot file.
    Lease,
    /// An address of the pool; those that boot from the network get the discovery profile.
    Discover,
}

/// Addresses for machines without a reservation: from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pool {
    /// The first one.
    pub first: Ipv4Addr,
    /// The last one, not before the first.
    pub last: Ipv4Addr,
}

impl Pool {
    /// Whether an address is one of the pool's.
    pub fn contains(&self, ip: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&ip)
    }
}

impl std::fmt::Display for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// A network card of a host besides its first one (`[[hosts.NAME.nic]]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Its hardware addresses: several for the ports of a bond, none while it is only held.
    pub macs: Box<[HardwareAddr]>,
    /// Its address; without one it is never answered.
    pub ip: Option<Ipv4Addr>,
    /// Index into [`Snapshot::subnets`] of the subnet that holds the address.
    pub subnet: Option<usize>,
    /// What templates call it.
    pub name: Option<String>,
    /// Whether it may boot the host; otherwise it gets an address and no boot file.
    pub boot: bool,
}

/// How a host boots its disk (design section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LocalBoot {
    /// What the firmware does best with.
    #[default]
    Auto,
    /// An address and no boot file.
    NoFile,
    /// A script that ends with `exit 1`.
    Exit,
    /// A script that boots the first BIOS disk.
    Sanboot,
}

/// Whether a host may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InstallPolicy {
    /// Only when armed, once per arming.
    #[default]
    Once,
    /// It cannot be armed.
    Never,
    /// Its live profile is served at every boot; it is never armed.
    Always,
}

/// One machine.
///
/// A site may have a hundred thousand of them, and a reload has them twice: what they nearly all have
/// in common is held once for all of them, in [`Own`] and [`Settings`], and read as if it were the host's.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name.
    pub name: HostName,
    /// The hardware addresses of its first network card: several for the ports of a bond, or for ports of
    /// which any may boot; empty while the name and address are only held.
    pub macs: Macs,
    /// Its reserved address; `None` only where another server gives addresses ([`Mode::Proxy`],
    /// [`Mode::Off`]).
    pub ip: Option<Ipv4Addr>,
    /// Index into [`Snapshot::subnets`].
    pub subnet: usize,
    /// Its name in the file.
    pub span: Option<Span>,
    /// What few hosts have of their own, and the settings of its layers.
    pub own: Arc<Own>,
}

/// What few hosts have; those that have nothing of it, and are alike otherwise, share one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Own {
    /// Its full name, where the file gives one; else see [`Host::fqdn`].
    pub written_fqdn: Option<String>,
    /// The domain part: of the full name as written, else the subnet's, else the server's.
    pub domain: Option<String>,
    /// Its further network cards.
    pub nics: Box<[Nic]>,
    /// What another host has to come to before an order to install this one arms it.
    pub after: Option<After>,
    /// The UUID that it must show before it is installed.
    pub uuid: Option<Uuid>,
    /// The serial number that it must show before it is installed.
    pub serial: Option<String>,
    /// Free text.
    pub notes: Option<String>,
    /// What its layers give it.
    pub settings: Arc<Settings>,
}

/// What `[defaults]`, groups and the host give, merged; hosts that write none of it share that of their
/// group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    /// Its groups, nearest first.
    pub groups: Vec<GroupName>,
    /// What it is installed with; `None`: it only gets its address.
    pub profile: Option<ProfileName>,
    /// What its processor runs, when the file says.
    pub arch: Option<Architecture>,
    /// Boot loader of this host, whatever its firmware: path or URL.
    pub loader: Option<String>,
    /// How it boots its disk.
    pub local_boot: LocalBoot,
    /// Whether it may be installed.
    pub install: InstallPolicy,
    /// Whether its firmware has Secure Boot switched on, as far as these layers say; what holds is
    /// [`Snapshot::secure_boot`].
    pub secure_boot: Option<bool>,
    /// DHCP options of its own, its groups' and the defaults', one of each code; they win over those of
    /// the subnet.
    pub options: Box<[ConfiguredOption]>,
    /// The snippets that are run in the installed system, in order, each once.
    pub snippets: Vec<String>,
    /// Merged variables of these layers, without the profile's ([`super::variables::effective`]); dates are kept
    /// as text.
    pub vars: toml::Table,
}

impl Deref for Host {
    type Target = Own;

    fn deref(&self) -> &Own {
        &self.own
    }
}

/// Changes this host alone, whoever shares with it.
impl DerefMut for Host {
    fn deref_mut(&mut self) -> &mut Own {
        Arc::make_mut(&mut self.own)
    }
}

impl Deref for Own {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

impl DerefMut for Own {
    fn deref_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }
}

impl Host {
    /// The boot loader that `loader` names by its name alone, such as `pxelinux`.
    pub fn named_loader(&self) -> Option<BootLoader> {
        self.loader.as_deref()?.parse().ok()
    }

    /// A host with nothing but its name, in the subnet of this index.
    pub fn new(name: HostName, subnet: usize) -> Self {
        Self {
            name,
            macs: Macs::default(),
            ip: None,
            subnet,
            span: None,
            own: Arc::default(),
        }
    }

    /// Name and domain, when it has one.
    pub fn fqdn(&self) -> Option<Cow<'_, str>> {
        match (&self.written_fqdn, &self.domain) {
            (Some(written), _) => Some(Cow::Borrowed(written)),
            (None, Some(domain)) => Some(Cow::Owned(format!("{}.{domain}", self.name))),
            (None, None) => None,
        }
    }

    /// The length of [`Self::fqdn`] in bytes, without making it.
    pub fn fqdn_len(&self) -> Option<usize> {
        match (&self.written_fqdn, &self.domain) {
            (Some(written), _) => Some(written.len()),
            (None, Some(domain)) => Some(self.name.as_str().len() + 1 + domain.len()),
            (None, None) => None,
        }
    }

    /// The address by which messages name the machine.
    pub fn mac(&self) -> Option<HardwareAddr> {
        self.macs.first().copied()
    }

    /// All its network cards: the first one, which always may boot it, then those of `[[hosts.NAME.nic]]`.
    pub fn cards(&self) -> impl Iterator<Item = Card<'_>> {
        let first = Card {
            macs: &self.macs,
            ip: self.ip,
            subnet: Some(self.subnet),
            boot: true,
            name: None,
        };
        std::iter::once(first).chain(self.nics.iter().map(|nic| Card {
            macs: &nic.macs,
            ip: nic.ip,
            subnet: nic.subnet,
            boot: nic.boot,
            name: nic.name.as_deref(),
        }))
    }

    /// Every hardware address of its network cards, each once, in the order of the file.
    pub fn all_macs(&self) -> Vec<HardwareAddr> {
        macs_of(self.cards())
    }

    /// The hardware addresses that may boot it, each once: those that an arming holds for.
    pub fn boot_macs(&self) -> Vec<HardwareAddr> {
        macs_of(self.cards().filter(|card| card.boot))
    }

    /// Whether a hardware address is one that may boot it.
    pub fn boots_by(&self, mac: HardwareAddr) -> bool {
        self.cards()
            .any(|card| card.boot && card.macs.contains(&mac))
    }

    /// Every address reserved for it, that of its first network card first.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.ip
            .into_iter()
            .chain(self.nics.iter().filter_map(|nic| nic.ip))
    }
}

fn macs_of<'a>(cards: impl Iterator<Item = Card<'a>>) -> Vec<HardwareAddr> {
    let mut macs = Vec::new();
    for mac in cards.flat_map(|card| card.macs) {
        if !macs.contains(mac) {
            macs.push(*mac);
        }
    }
    macs
}

/// One network card of a host, the first one or a further one, as decisions see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Card<'a> {
    /// Its hardware addresses: several for ports that share the address.
    pub macs: &'a [HardwareAddr],
    /// Its address.
    pub ip: Option<Ipv4Addr>,
    /// Index into [`Snapshot::subnets`] of the subnet that it is in.
    pub subnet: Option<usize>,
    /// Whether it may boot the host.
    pub boot: bool,
    /// What the file calls it.
    pub name: Option<&'a str>,
}

impl Snapshot {
    /// Whether a file comes from a mirror, or a folder (its path may end with `/`) is one or lies in one.
    pub fn is_mirrored(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let is_folder = |mirror: &Mirror| mirror.path == path;
        self.mirrors.iter().any(is_folder) || self.mirror_of(path).is_some()
    }

    /// The mirror that a boot file is brought by, and what it is called there. `path` is a clean one.
    pub fn mirror_of<'s>(&'s self, path: &'s str) -> Option<(&'s Mirror, &'s str)> {
        self.mirrors
            .iter()
            .find_map(|mirror| Some((mirror, mirror.below(path)?)))
    }

    /// Puts a checked configuration together. The caller (`config::check`) has refused what is used
    /// twice; should two hosts share an address here, the first one keeps it.
    pub fn new(
        server: Server,
        subnets: Vec<Subnet>,
        hosts: Vec<impl Into<Arc<Host>>>,
        profiles: Vec<Profile>,
        templates: BTreeMap<String, Template>,
    ) -> Self {
        let count = hosts.len();
        let mut snapshot = Self {
            generation: 0,
            last_good: None,
            server,
            subnets,
            secrets: Secrets::default(),
            hooks: Vec::new(),
            mirrors: Vec::new(),
            snippets: BTreeMap::new(),
            hosts: Hosts::new(hosts),
            profiles: profiles
                .into_iter()
                .map(|profile| (profile.name.clone(), Arc::new(profile)))
                .collect(),
            templates,
            by_mac: Index::with_capacity(count),
            by_uuid: HashMap::new(),
            by_ip: FastMap::with_capacity_and_hasher(count, FastHash::default()),
            by_name: Index::with_capacity(count),
        };
        let hosts = &snapshot.hosts;
        let has_mac = |mac| move |index| hosts.has_mac(index, mac);
        for (index, host) in (0..).zip(hosts.all()) {
            pace::give_way(count - snapshot.by_name.len());
            for mac in &host.macs {
                snapshot.by_mac.insert(mac, index, has_mac(*mac));
            }
            if let Some(uuid) = host.uuid {
                snapshot
                    .by_uuid
                    .entry(uuid)
                    .and_modify(|index| *index = None)
                    .or_insert(Some(index));
            }
            if let Some(ip) = host.ip {
                snapshot.by_ip.entry(ip).or_insert(index);
            }
            for nic in &host.nics {
                for mac in &nic.macs {
                    snapshot.by_mac.insert(mac, index, has_mac(*mac));
                }
                if let Some(ip) = nic.ip {
                    snapshot.by_ip.entry(ip).or_insert(index);
                }
            }
            let is_it = |index| hosts.is_called(index, &host.name);
            snapshot.by_name.insert(&host.name, index, is_it);
        }
        snapshot
    }

    /// All hosts, in the order of the file.
    pub fn hosts(&self) -> &[Arc<Host>] {
        self.hosts.all()
    }

    /// The host with this hardware address, whichever of its network cards has it.
    pub fn host_by_mac(&self, mac: HardwareAddr) -> Option<&Arc<Host>> {
        let has_it = |index| self.hosts.has_mac(index, mac);
        self.hosts.at(self.by_mac.get(&mac, has_it)?)
    }

    /// The one host that names this UUID. It tells whose machine a stranger may be; it gives no address,
    /// because boards with the same UUID exist.
    pub fn host_by_uuid(&self, uuid: Uuid) -> Option<&Arc<Host>> {
        self.hosts.at((*self.by_uuid.get(&uuid)?)?)
    }

    /// The host with this reserved address, whichever of its network cards has it.
    pub fn host_by_ip(&self, ip: Ipv4Addr) -> Option<&Arc<Host>> {
        self.hosts.at(*self.by_ip.get(&ip)?)
    }

    /// The host of this name.
    pub fn host(&self, name: &HostName) -> Option<&Arc<Host>> {
        let is_it = |index| self.hosts.is_called(index, name);
        self.hosts.at(self.by_name.get(name, is_it)?)
    }

    /// The subnet that a host belongs to; `None` never happens for a host of this snapshot.
    pub fn subnet_of(&self, host: &Host) -> Option<&Subnet> {
        self.subnets.get(host.subnet)
    }

    /// The subnet in which a peer is one of a host's network cards; that of its first one for any other peer.
    pub fn subnet_towards(&self, host: &Host, peer: Ipv4Addr) -> Option<&Subnet> {
        host.cards()
            .find(|card| card.ip == Some(peer))
            .and_then(|card| self.subnets.get(card.subnet?))
            .or_else(|| self.subnet_of(host))
    }

    /// The subnet that holds an address.
    pub fn subnet_containing(&self, ip: Ipv4Addr) -> Option<&Subnet> {
        self.subnets
            .iter()
            .find(|subnet| subnet.network.contains(&ip))
    }

    /// All profiles, by name.
    pub fn profiles(&self) -> &BTreeMap<ProfileName, Arc<Profile>> {
        &self.profiles
    }

    /// The profile of this name.
    pub fn profile(&self, name: &ProfileName) -> Option<&Arc<Profile>> {
        self.profiles.get(name)
    }

    /// All templates, by path under `templates`.
    pub fn templates(&self) -> &BTreeMap<String, Template> {
        &self.templates
    }

    /// Whether a host's firmware runs signed programs only: what its own layers say, else its profile, else
    /// its subnet. It cannot be seen in DHCP.
    pub fn secure_boot(&self, host: &Host) -> bool {
        let of_profile = || self.profile(host.profile.as_ref()?)?.secure_boot;
        let of_subnet = || self.subnet_of(host)?.secure_boot;
        host.secure_boot
            .or_else(of_profile)
            .or_else(of_subnet)
            .unwrap_or(false)
    }

    /// Whether a host gets a signed loader where its firmware is UEFI: it has Secure Boot, and names no other loader than
    /// GRUB, which shim leads to.
    pub fn boots_signed(&self, host: &Host) -> bool {
        let names_another = host.loader.is_some() && host.named_loader() != Some(BootLoader::Grub);
        !names_another && self.secure_boot(host)
    }

    /// The silence after which an installation with this profile has failed.
    pub fn stalled_after(&self, profile: Option<&ProfileName>) -> Duration {
        profile
            .and_then(|name| self.profile(name))
            .and_then(|profile| profile.stalled_after)
            .unwrap_or(self.server.stalled_after)
    }
}
