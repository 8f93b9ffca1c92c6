//! One boot from power-on to its end: who asks after whom, and what ends it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::exchange::Lease;
use super::files::Looked;
use super::machine::{Client, uuid_of};
use super::{Ask, Boot, End, Got, Machine, Sent, Step};
use crate::base::{Architecture, BootLoader, Firmware, HardwareAddr, Timestamp, Uuid};
use crate::config::signed::{companions, is_signed_ipxe};
use crate::config::snapshot::{Host, InstallPolicy};
use crate::decide::BootFiles as _;
use crate::decide::configs::{self, ConfigName};
use crate::decide::http::Peer;
use crate::decide::tftp::{FileRequest, file_request};
use crate::journal::event::Reason;
use crate::record::lease::LeaseTable;
use crate::record::{InstallState, Record};
use crate::render::files::fetched_by;
use crate::render::load::InForce;
use crate::render::loaders::{Texts, Transport};
use crate::render::scripts;

/// When everything happens: any time will do.
pub(super) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Where a machine boots.
#[derive(Clone)]
pub(super) struct Site<'a> {
    pub(super) in_force: &'a InForce,
    pub(super) files: &'a Looked<'a>,
    pub(super) ask: &'a Ask,
    pub(super) host: Option<Arc<Host>>,
    pub(super) mac: HardwareAddr,
    pub(super) octets: [u8; 6],
    /// The subnet that it is plugged into, as an index.
    pub(super) subnet: usize,
    /// This server, as it sees it.
    pub(super) server: Ipv4Addr,
    pub(super) interface: &'a str,
}

/// A boot under way.
pub(super) struct Drive<'a> {
    pub(super) site: Site<'a>,
    /// What is remembered of the host by now.
    pub(super) record: Option<Record>,
    pub(super) leases: LeaseTable,
    pub(super) uuid: Uuid,
    /// The architecture that its packets have told.
    pub(super) seen: Option<Architecture>,
    /// The reason of the last decision, and its particulars.
    pub(super) reason: Reason,
    pub(super) detail: Option<String>,
    /// The installer's system asks by now.
    pub(super) installing: bool,
    /// A file was not there, or a text could not be made.
    pub(super) failed: bool,
    steps: Vec<Step>,
}

/// Where a boot has come, in a sentence.
pub(super) type Ended = (End, String);

/// By which protocol a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    Tftp,
    Http,
}

impl Via {
    const fn what(self) -> &'static str {
        match self {
            Self::Tftp => "TFTP read",
            Self::Http => "HTTP GET",
        }
    }

    pub(super) const fn transport(self) -> Transport {
        match self {
            Self::Tftp => Transport::Tftp,
            Self::Http => Transport::Http,
        }
    }
}

/// A file that was asked for.
pub(super) struct Fetched {
    /// Its path under `boot_assets`.
    pub(super) path: String,
    pub(super) there: bool,
}

impl<'a> Drive<'a> {
    pub(super) fn new(site: Site<'a>, record: Option<Record>) -> Self {
        let own = site.host.as_deref().and_then(|host| host.uuid);
        Self {
            uuid: site
                .ask
                .uuid
                .or(own)
                .unwrap_or_else(|| uuid_of(site.octets)),
            site,
            record,
            leases: LeaseTable::load([]),
            seen: None,
            reason: Reason::Done,
            detail: None,
            installing: false,
            failed: false,
            steps: Vec::new(),
        }
    }

    /// From the machine's first message to the end.
    pub(super) fn run(mut self) -> Boot {
        let state = self.record.as_ref().map(|record| record.state);
        let is_armed = state.is_some_and(InstallState::boots_installer);
        let runs = self
            .record
            .as_ref()
            .and_then(|record| record.profile.clone());
        let profile = match &self.site.host {
            Some(host) if host.install == InstallPolicy::Always => host.profile.clone(),
            Some(_) => runs.filter(|_| is_armed),
            None => None,
        };
        let machine = self.site.ask.machine;
        let arch = self.site.host.as_deref().and_then(|host| host.arch);
        let client = machine.first(arch);
        let (end, summary) = match client {
            Client::Pxe(firmware) | Client::HttpBoot(firmware) => self.firmware(client, firmware),
            Client::Ipxe(firmware) => self.ipxe(firmware),
            Client::Grub => self.grub_from_elsewhere(),
            Client::Os => match self.exchange(client) {
                Some(lease) => (End::Address, format!("it has its address, {}", lease.ip)),
                None => self.silence(client),
            },
        };
        let is_live = self
            .site
            .host
            .as_deref()
            .is_some_and(|host| host.install == InstallPolicy::Always);
        let expected = match end {
            End::Installer | End::Live | End::Tool | End::Elsewhere => true,
            End::Disk => !is_armed && !is_live,
            End::Address => machine == Machine::Os,
            End::Discovery => self.site.host.is_none(),
            End::Unknown | End::Stuck => false,
        };
        Boot {
            state,
            profile,
            steps: self.steps,
            end,
            summary,
            ok: expected && !self.failed,
        }
    }

    pub(super) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// What the machine is called in sentences.
    pub(super) fn name(&self) -> String {
        match &self.site.host {
            Some(host) => host.name.to_string(),
            None => self.site.mac.to_string(),
        }
    }

    /// Why the last decision was made.
    fn why(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{} ({detail})", self.reason.sentence()),
            None => self.reason.sentence().to_owned(),
        }
    }

    /// Nobody answers.
    fn silence(&self, client: Client) -> Ended {
        let why = self.why();
        let then = match client {
            Client::Pxe(_) | Client::HttpBoot(_) | Client::Ipxe(_) => {
                "; its firmware goes on with its next boot device when it has waited long enough"
            }
            Client::Grub | Client::Os => "",
        };
        (
            End::Stuck,
            format!("{} has no address from here: {why}{then}", self.name()),
        )
    }

    fn firmware(&mut self, client: Client, firmware: Firmware) -> Ended {
        let Some(lease) = self.exchange(client) else {
            return self.silence(client);
        };
        let Some(file) = lease.file.clone() else {
            let how = if firmware.is_uefi() {
                "UEFI without a boot file tries its network entries for a minute and more each, then its next boot device"
            } else {
                "a BIOS without a boot file goes on with its next boot device at once"
            };
            let why = self.why();
            return (End::Disk, format!("{}: {why}; {how}", self.name()));
        };
        let via = match client {
            Client::HttpBoot(_) => Via::Http,
            _ => Via::Tftp,
        };
        let Some(fetched) = self.fetch(client.stage(), via, &file, lease.next_server) else {
            return (
                End::Elsewhere,
                format!(
                    "{} goes on with {file}, which is another server's",
                    self.name()
                ),
            );
        };
        if !fetched.there {
            return (
                End::Stuck,
                format!(
                    "{} gets no boot loader: {} is not there",
                    self.name(),
                    fetched.path
                ),
            );
        }
        if self.site.ask.secure_boot && firmware.is_uefi() && !self.runs(&fetched.path) {
            return (
                End::Stuck,
                format!(
                    "{}'s firmware refuses {}: it is not signed; write secure_boot = true for the host, so that it gets its distribution's signed shim",
                    self.name(),
                    fetched.path
                ),
            );
        }
        match BootLoader::of_file(&fetched.path) {
            BootLoader::Ipxe if is_signed_ipxe(&fetched.path) => {
                let (folder, _) = fetched.path.rsplit_once('/').unwrap_or_default();
                let name = if fetched.path.contains("snponly") {
                    "snponly.efi"
                } else {
                    "ipxe.efi"
                };
                let next = format!("{folder}/{name}");
                self.fetch_beside(via, &next, lease.next_server);
                self.ipxe(firmware)
            }
            BootLoader::Ipxe => self.ipxe(firmware),
            BootLoader::Grub => self.shim_and_grub(firmware, via, &fetched.path, &lease),
            BootLoader::Pxelinux => {
                let folder = match fetched.path.rsplit_once('/') {
                    Some((folder, _)) => format!("{folder}/"),
                    None => String::new(),
                };
                let is_lpxelinux = fetched.path.ends_with("lpxelinux.0");
                let via = if is_lpxelinux { Via::Http } else { via };
                let name = format!("{folder}pxelinux.cfg/{}", self.uuid);
                self.configuration(BootLoader::Pxelinux, via, &name, lease.ip)
            }
        }
    }

    fn fetch_beside(&mut self, via: Via, path: &str, server: Ipv4Addr) -> Option<Fetched> {
        let name = match via {
            Via::Tftp => path.to_owned(),
            Via::Http => format!("{}/assets/{path}", self.base()),
        };
        self.fetch("shim", via, &name, server)
    }

    /// shim loads the GRUB beside it, and that asks for its configuration.
    fn shim_and_grub(&mut self, firmware: Firmware, via: Via, path: &str, lease: &Lease) -> Ended {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        if file.to_ascii_lowercase().contains("shim")
            || file.to_ascii_lowercase().contains("bootnet")
        {
            let name = match firmware {
                Firmware::UefiArm64 => "grubaa64.efi",
                _ => "grubx64.efi",
            };
            let beside = if folder.is_empty() {
                name.to_owned()
            } else {
                format!("{folder}/{name}")
            };
            match self.fetch_beside(via, &beside, lease.next_server) {
                Some(grub) if grub.there => {}
                _ => {
                    return (
                        End::Stuck,
                        format!("{}: shim finds no GRUB beside itself", self.name()),
                    );
                }
            }
        }
        self.configuration(BootLoader::Grub, via, "grub/grub.cfg", lease.ip)
    }

    fn grub_from_elsewhere(&mut self) -> Ended {
        let Some(lease) = self.exchange(Client::Grub) else {
            return self.silence(Client::Grub);
        };
        let name = format!("grub/grub.cfg-01-{}", self.site.mac.dashed());
        self.configuration(BootLoader::Grub, Via::Tftp, &name, lease.ip)
    }

    fn ipxe(&mut self, firmware: Firmware) -> Ended {
        let client = Client::Ipxe(firmware);
        let Some(lease) = self.exchange(client) else {
            return self.silence(client);
        };
        let Some(file) = &lease.file else {
            let why = self.why();
            return (
                End::Disk,
                format!(
                    "{}: {why}; iPXE without a script goes on with the next boot device",
                    self.name()
                ),
            );
        };
        let base = self.base();
        let Some(path) = file.strip_prefix(&base) else {
            return match file_request(file.as_bytes()) {
                Ok(FileRequest::Script(_)) => {
                    self.script("ipxe", BootLoader::Ipxe, Via::Tftp, file, lease.ip)
                }
                _ => (
                    End::Elsewhere,
                    format!(
                        "{} goes on with {file}, which is another server's",
                        self.name()
                    ),
                ),
            };
        };
        let own = format!("/boot/{}/boot.ipxe", self.site.mac.dashed());
        if path == "/boot/boot.ipxe" {
            self.push(Step {
                stage: "ipxe",
                sends: sent(Via::Http, file, self.site.server),
                gets: Some(Got::text("script", scripts::chain(&base))),
                reason: Reason::ChainScript,
                why: Reason::ChainScript.sentence(),
                detail: None,
                remedy: None,
            });
        }
        self.script(
            "ipxe",
            BootLoader::Ipxe,
            Via::Http,
            &format!("{base}{own}"),
            lease.ip,
        )
    }

    /// The configuration of GRUB's or PXELINUX's under this name.
    fn configuration(&mut self, loader: BootLoader, via: Via, path: &str, ip: Ipv4Addr) -> Ended {
        let stage = loader.as_str();
        let name = match via {
            Via::Tftp => path.to_owned(),
            Via::Http => format!("{}/assets/{path}", self.base()),
        };
        let Some(config) = ConfigName::read(path) else {
            return (
                End::Stuck,
                format!("{path} is the name of no configuration"),
            );
        };
        let snapshot = &self.site.in_force.snapshot;
        let (own, peer) = (self.site.mac, self.peer(ip));
        let booted = |mac: HardwareAddr| (mac == own).then_some(NOW);
        match configs::machine(&config, snapshot, peer, &booted) {
            configs::Machine::Mac(mac)
                if snapshot.host_by_mac(mac).is_some() || !self.site.files.is_there(path) =>
            {
                self.script(stage, loader, via, &name, ip)
            }
            configs::Machine::Stranger if !self.site.files.is_there(path) => {
                let texts = Texts {
                    loader,
                    transport: via.transport(),
                };
                self.push(Step {
                    stage,
                    sends: sent(via, &name, self.site.server),
                    gets: Some(Got::text("script", texts.stranger(ip))),
                    reason: Reason::UnknownHost,
                    why: Reason::UnknownHost.sentence(),
                    detail: None,
                    remedy: Reason::UnknownHost.remedy(),
                });
                (
                    End::Unknown,
                    format!("{} is told that nobody knows it", self.name()),
                )
            }
            _ => match self.fetch(stage, via, &name, self.site.server) {
                Some(fetched) if fetched.there => (
                    End::Elsewhere,
                    format!(
                        "{} goes on with {}, the operator's own file",
                        self.name(),
                        fetched.path
                    ),
                ),
                _ => (End::Stuck, format!("{}: there is no {path}", self.name())),
            },
        }
    }

    /// Who asks by this address.
    pub(super) fn peer(&self, ip: Ipv4Addr) -> Peer {
        let subnet = self.site.in_force.snapshot.subnets.get(self.site.subnet);
        let by_mac = subnet.is_some_and(|subnet| !subnet.mode.gives_addresses());
        Peer {
            ip,
            mac: Some(self.site.mac).filter(|_| by_mac || self.site.host.is_none()),
        }
    }

    /// Asks for a file by its name or URL; `None`: it is another server's.
    pub(super) fn fetch(
        &mut self,
        stage: &'static str,
        via: Via,
        name: &str,
        server: Ipv4Addr,
    ) -> Option<Fetched> {
        let assets = format!("{}/assets/", self.base());
        let path = match via {
            Via::Http => name.strip_prefix(&assets).map(|path| {
                let path = path.split(['?', '#']).next().unwrap_or_default();
                percent_encoding::percent_decode_str(path)
                    .decode_utf8_lossy()
                    .into_owned()
            }),
            Via::Tftp if server != self.site.server => None,
            Via::Tftp => match file_request(name.as_bytes()) {
                Ok(FileRequest::Asset(path) | FileRequest::Config(_, path)) => Some(path),
                Ok(FileRequest::Script(_) | FileRequest::ChainScript) | Err(_) => {
                    Some(name.to_owned())
                }
            },
        };
        let Some(path) = path else {
            self.push(Step {
                stage,
                sends: sent(via, name, server),
                gets: None,
                reason: Reason::Done,
                why: "another server is asked",
                detail: Some("whether it is there cannot be seen from here".to_owned()),
                remedy: None,
            });
            return None;
        };
        let snapshot = &self.site.in_force.snapshot;
        let host = self.site.host.as_deref();
        let mut places = std::iter::once(path.clone()).chain(companions(snapshot, host, &path));
        let place = places.find(|place| self.site.files.is_there(place));
        let there = place.is_some();
        let detail = match &place {
            Some(place) if *place != path => Some(format!("the file is {place}")),
            Some(place) => snapshot
                .mirror_of(place)
                .map(|(mirror, _)| format!("by the mirror of {}", mirror.url)),
            None => Some(match fetched_by(snapshot, &path) {
                Some(command) => format!("{path}: `{command}` brings it"),
                None => path.clone(),
            }),
        };
        let reason = if there {
            Reason::Done
        } else {
            Reason::NotFound
        };
        self.failed |= !there;
        let gets = match &place {
            Some(place) => Got::file("boot file", place.as_str()),
            None => Got::new("no such file"),
        };
        self.push(Step {
            stage,
            sends: sent(via, name, server),
            gets: Some(gets),
            reason,
            why: match (there, self.site.files.assume) {
                (true, true) => "the boot file is taken for there",
                (true, false) => "the boot file is there",
                (false, _) => reason.sentence(),
            },
            detail,
            remedy: reason.remedy(),
        });
        Some(Fetched {
            path: place.unwrap_or(path),
            there,
        })
    }
}

/// A request for a file.
pub(super) fn sent(via: Via, name: &str, server: Ipv4Addr) -> Sent {
    let to = match via {
        Via::Tftp => server.to_string(),
        Via::Http => name
            .split_once("://")
            .and_then(|(_, rest)| rest.split('/').next())
            .unwrap_or_default()
            .to_owned(),
    };
    Sent {
        what: via.what(),
        to,
        file: Some(name.to_owned()),
        options: Vec::new(),
    }
}
