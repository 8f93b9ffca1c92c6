//! What a rehearsal of a host is: decided and checked before anything is started.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::beside::Beside;
use super::netns::Wiring;
use super::qemu::{GuestFirmware, Missing, Tools, program_in};
use super::story::{Expected, Milestone};
use crate::base::{Architecture, Firmware, HardwareAddr, HostName, ProfileName, SubnetName};
use crate::config::Snapshot;
use crate::config::signed::{self, Signed, is_signed_ipxe};
use crate::config::snapshot::{Host, InstallPolicy, Mode, Profile, Subnet};
use crate::diagnose::{self, Loads};
use crate::render::files::{fetched_by, usual_architecture};
use crate::render::load::InForce;
use crate::render::{RenderedBoot, View};

/// The interface of the virtual machine within the namespace.
const TAP: &str = "bwtap0";

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The firmware; by the host's architecture when not given.
    pub firmware: Option<GuestFirmware>,
    /// Firmware with Secure Boot switched on, whatever the host says.
    pub secure_boot: bool,
    /// How far; [`Milestone::Disk`] stands for a host that is installed.
    pub until: Milestone,
    /// How long at most.
    pub timeout: Duration,
}

/// Why a host cannot be rehearsed.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It has no hardware address.
    #[error("{0} has no MAC address yet: there is no machine to rehearse")]
    NoMac(HostName),
    /// It has nothing to boot.
    #[error("{0} has no profile: it only gets its address; add profile = \"…\" to [hosts.{0}]")]
    NoProfile(HostName),
    /// Its profile is not in the configuration.
    #[error("{host} has the profile {profile}, which is not there")]
    ProfileGone {
        /// The host.
        host: HostName,
        /// The profile.
        profile: ProfileName,
    },
    /// It is never installed.
    #[error(
        "{0} has install = \"never\": it always boots its disk; `bootwright rehearse {0} --installed` rehearses that"
    )]
    NeverInstalled(HostName),
    /// It never boots its disk.
    #[error(
        "{0} has install = \"always\": its live system is served at every boot, and its disk at none; rehearse it without --installed"
    )]
    AlwaysLive(HostName),
    /// Its profile has nothing to answer.
    #[error("the profile {profile} has no answers: rehearse {host} --until kernel")]
    NoAnswers {
        /// The host.
        host: HostName,
        /// The profile.
        profile: ProfileName,
    },
    /// Its profile's script decides what is loaded.
    #[error(
        "the profile {profile} boots a script of its own, whose kernel is not known: rehearse {host} --until script"
    )]
    NoKernel {
        /// The host.
        host: HostName,
        /// The profile.
        profile: ProfileName,
    },
    /// The firmware does not fit.
    #[error("{host} is {arch}, which --firmware {firmware} does not run", firmware = .firmware.as_str())]
    Firmware {
        /// The host.
        host: HostName,
        /// Its architecture.
        arch: Architecture,
        /// The firmware asked for.
        firmware: GuestFirmware,
    },
    /// A BIOS has no Secure Boot.
    #[error("--firmware {firmware} has no Secure Boot: leave --secure-boot out, or --firmware", firmware = .0.as_str())]
    NoSecureBoot(GuestFirmware),
    /// No signed loader.
    #[error("{host} has Secure Boot, and there is no loader for it: {why}")]
    NotSigned {
        /// The host.
        host: HostName,
        /// Why.
        why: String,
    },
    /// There is no virtual machine for its architecture.
    #[error("{host} is {arch}: rehearsing that is not available in this version")]
    Architecture {
        /// The host.
        host: HostName,
        /// Its architecture.
        arch: Architecture,
    },
    /// An installed ARM machine.
    #[error("rehearsing an installed machine of arm64 is not available in this version")]
    InstalledArm,
    /// Nothing is configured to be served on.
    #[error("[server] interfaces names no interface")]
    NoInterface,
    /// The boot files of the profile cannot be told.
    #[error("what {host} boots cannot be rendered: {message}")]
    Render {
        /// The host.
        host: HostName,
        /// Why.
        message: String,
    },
    /// Boot files are not there.
    #[error("boot files are missing:\n{}", .0.join("\n"))]
    BootFiles(Vec<String>),
    /// Another server alone tells it what to boot.
    #[error(
        "{host} is in the subnet {subnet} with mode = \"off\": another server tells it what to boot, and there is nothing of this one to rehearse; mode = \"proxy\" has this one tell it"
    )]
    Off {
        /// The host.
        host: HostName,
        /// Its subnet.
        subnet: SubnetName,
    },
    /// The network has no room for a second server and the machine.
    #[error("the subnet {0} has too few addresses for another DHCP server and the machine")]
    NoRoom(SubnetName),
    /// Programs are not there.
    #[error("{}", list(.0))]
    Tools(Vec<Missing>),
}

fn list(missing: &[Missing]) -> String {
    let lines: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let mut packages: Vec<&str> = missing.iter().map(|missing| missing.package).collect();
    packages.dedup();
    if packages.len() < 2 {
        return lines.join("\n");
    }
    format!(
        "{}\nall at once: apt-get install {}",
        lines.join("\n"),
        packages.join(" ")
    )
}

/// A rehearsal that can begin.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The configuration.
    pub in_force: Arc<InForce>,
    /// The host.
    pub host: Arc<Host>,
    /// The address of its card.
    pub mac: HardwareAddr,
    /// The profile it is armed with; `None`: it only boots its disk.
    pub profile: Option<ProfileName>,
    /// The virtual machine's firmware.
    pub firmware: GuestFirmware,
    /// Whether that runs signed programs only.
    pub secure_boot: bool,
    /// The network.
    pub wiring: Wiring,
    /// The server that gives the addresses, where this one does not.
    pub beside: Option<Beside>,
    /// Programs and firmware images.
    pub tools: Tools,
    /// The boot as it should be.
    pub expected: Expected,
    /// How far.
    pub until: Milestone,
    /// A text that ends the rehearsal well when the serial console shows it, in place of the milestone.
    pub until_shown: Option<String>,
    /// How long at most.
    pub timeout: Duration,
}

impl Plan {
    /// Plans the rehearsal of a host: finds its firmware, its boot files, and the programs, which are
    /// looked for in the folders of `path` (the value of `PATH`).
    pub fn make(
        in_force: Arc<InForce>,
        host: Arc<Host>,
        ask: &Ask,
        path: &OsStr,
    ) -> Result<Self, PlanError> {
        let snapshot = &in_force.snapshot;
        let name = host.name.clone();
        let installed = ask.until == Milestone::Disk;
        let mac = host.mac().ok_or_else(|| PlanError::NoMac(name.clone()))?;
        let profile =
            match &host.profile {
                Some(wanted) => Some(snapshot.profile(wanted).cloned().ok_or_else(|| {
                    PlanError::ProfileGone {
                        host: name.clone(),
                        profile: wanted.clone(),
                    }
                })?),
                None => None,
            };
        if !installed && host.install == InstallPolicy::Never {
            return Err(PlanError::NeverInstalled(name));
        }
        if installed && host.install == InstallPolicy::Always {
            return Err(PlanError::AlwaysLive(name));
        }
        let arch = usual_architecture(&host, profile.as_deref());
        let has_secure_boot = snapshot.secure_boot(&host);
        let wants_uefi = (ask.secure_boot || has_secure_boot) && arch == Architecture::X86_64;
        let asked = ask
            .firmware
            .or_else(|| wants_uefi.then_some(GuestFirmware::UefiX64));
        let firmware = firmware(&name, arch, asked)?;
        if ask.secure_boot && !firmware.is_uefi() {
            return Err(PlanError::NoSecureBoot(firmware));
        }
        // The disk of a rehearsal is not signed.
        let secure_boot = (ask.secure_boot || has_secure_boot) && firmware.is_uefi() && !installed;
        if installed
            && matches!(
                firmware,
                GuestFirmware::UefiArm64 | GuestFirmware::HttpBootArm64
            )
        {
            return Err(PlanError::InstalledArm);
        }
        let boot = match &profile {
            Some(profile) => Some(boot(&in_force, &host, profile, arch)?),
            None if installed => None,
            None => return Err(PlanError::NoProfile(name)),
        };
        let is_signed = snapshot.boots_signed(&host) && firmware.is_uefi();
        let (loader, further) = if is_signed {
            signed_loaders(snapshot, &name, profile.as_deref(), firmware)?
        } else {
            let usual = snapshot.server.loader_of(&host, loaded_by(firmware));
            (usual.map(str::to_owned), Vec::new())
        };
        let expected = Expected {
            host: name.clone(),
            mac,
            boot: diagnose::Expected {
                loader: loader.clone(),
                loads: boot.as_ref().map_or(Loads::Unknown, Loads::from),
                answers: profile
                    .as_ref()
                    .is_some_and(|profile| !profile.answers.is_empty()),
                lifecycle: profile
                    .as_ref()
                    .map(|profile| profile.lifecycle)
                    .unwrap_or_default(),
                shim: is_signed && !loader.as_deref().is_some_and(is_signed_ipxe),
            },
            installed,
            disk_by_script: firmware != GuestFirmware::Bios,
        };
        if let Some(profile) = &profile {
            can_reach(&name, profile, &expected.boot, ask.until)?;
        }
        let loads = (!installed).then_some(&boot).and_then(Option::as_ref);
        let loaders: Vec<&str> = loader.iter().chain(&further).map(String::as_str).collect();
        boot_files(&in_force, &loaders, loads)?;
        let subnet = snapshot.subnet_of(&host);
        let (server, prefix) = subnet.map_or((Ipv4Addr::LOCALHOST, 24), |subnet| {
            (subnet.example_server, subnet.network.prefix_len())
        });
        let wiring = Wiring {
            bridge: bridge(&snapshot.server.interfaces)?,
            server,
            prefix,
            tap: TAP.to_owned(),
        };
        let beside = subnet
            .map(|subnet| beside(snapshot, subnet, &host, mac, path))
            .transpose();
        let tools = Tools::find(firmware, secure_boot, path, &snapshot.server.boot_assets);
        let (beside, tools) = match (beside, tools) {
            (Err(PlanError::Tools(mut first)), Err(more)) => {
                first.extend(more);
                return Err(PlanError::Tools(first));
            }
            (beside, tools) => (beside?.flatten(), tools.map_err(PlanError::Tools)?),
        };
        Ok(Self {
            profile: profile.map(|profile| profile.name.clone()),
            mac,
            firmware,
            secure_boot,
            wiring,
            beside,
            tools,
            expected,
            until: ask.until,
            until_shown: None,
            timeout: ask.timeout,
            host,
            in_force,
        })
    }

    /// Where the virtual machine's serial console is written, state and disk lie: in the rehearsal's folder.
    pub fn state_dir(folder: &Path) -> PathBuf {
        folder.join("state")
    }
}

/// Shim and what it loads, for a host with Secure Boot.
fn signed_loaders(
    snapshot: &Snapshot,
    host: &HostName,
    profile: Option<&Profile>,
    firmware: GuestFirmware,
) -> Result<(Option<String>, Vec<String>), PlanError> {
    let by_http = matches!(
        firmware,
        GuestFirmware::HttpBoot | GuestFirmware::HttpBootArm64
    );
    let firmware = loaded_by(firmware);
    let is_there = |path: &str| snapshot.server.boot_assets.join(path).is_file();
    match signed::loader(snapshot, profile, firmware, by_http, &is_there) {
        Signed::Loader(shim) => {
            let needed = signed::needed(snapshot, profile, firmware, &is_there);
            let further = needed.into_iter().filter(|path| *path != shim).collect();
            Ok((Some(shim), further))
        }
        Signed::Missing(why) => Err(PlanError::NotSigned {
            host: host.clone(),
            why,
        }),
    }
}

/// The other DHCP server, where there is to be one.
fn beside(
    snapshot: &Snapshot,
    subnet: &Subnet,
    host: &Host,
    mac: HardwareAddr,
    path: &OsStr,
) -> Result<Option<Beside>, PlanError> {
    match subnet.mode {
        Mode::Authoritative => return Ok(None),
        Mode::Proxy => {}
        Mode::Off => {
            return Err(PlanError::Off {
                host: host.name.clone(),
                subnet: subnet.name.clone(),
            });
        }
    }
    let program = program_in(path, "dnsmasq").ok_or_else(|| {
        PlanError::Tools(vec![Missing {
            what: "dnsmasq, the other DHCP server,".to_owned(),
            package: "dnsmasq-base",
        }])
    })?;
    Beside::plan(program, snapshot, subnet, host, mac)
        .map(Some)
        .ok_or_else(|| PlanError::NoRoom(subnet.name.clone()))
}

fn firmware(
    host: &HostName,
    arch: Architecture,
    asked: Option<GuestFirmware>,
) -> Result<GuestFirmware, PlanError> {
    match asked.map(|firmware| firmware.on(arch)) {
        Some(firmware) if firmware.runs(arch) => Ok(firmware),
        Some(firmware) => Err(PlanError::Firmware {
            host: host.clone(),
            arch,
            firmware,
        }),
        None => GuestFirmware::usual_for(arch).ok_or_else(|| PlanError::Architecture {
            host: host.clone(),
            arch,
        }),
    }
}

/// The name under which `[boot] loaders` has the loader of a virtual machine.
const fn loaded_by(firmware: GuestFirmware) -> Firmware {
    match firmware {
        GuestFirmware::Bios => Firmware::Bios,
        GuestFirmware::UefiX64 | GuestFirmware::HttpBoot => Firmware::UefiX64,
        GuestFirmware::UefiArm64 | GuestFirmware::HttpBootArm64 => Firmware::UefiArm64,
    }
}

fn boot(
    in_force: &InForce,
    host: &Host,
    profile: &Profile,
    arch: Architecture,
) -> Result<RenderedBoot, PlanError> {
    let snapshot = &in_force.snapshot;
    let server = snapshot
        .subnet_of(host)
        .map_or(Ipv4Addr::LOCALHOST, |subnet| subnet.example_server);
    let view = View {
        snapshot,
        host,
        profile,
        arch,
        server,
        token: None,
    };
    in_force
        .renderer
        .boot(&view)
        .map_err(|error| PlanError::Render {
            host: host.name.clone(),
            message: error.to_string(),
        })
}

/// Whether the milestone lies on the way of this profile.
fn can_reach(
    host: &HostName,
    profile: &Profile,
    expected: &diagnose::Expected,
    until: Milestone,
) -> Result<(), PlanError> {
    let (host, profile) = (host.clone(), profile.name.clone());
    match until {
        Milestone::Kernel
            if !matches!(expected.loads, Loads::Linux { .. } | Loads::Disk(Some(_))) =>
        {
            Err(PlanError::NoKernel { host, profile })
        }
        Milestone::Answers if !expected.answers => Err(PlanError::NoAnswers { host, profile }),
        _ => Ok(()),
    }
}

/// Refuses to begin without the files that this boot needs.
fn boot_files(
    in_force: &InForce,
    loaders: &[&str],
    boot: Option<&RenderedBoot>,
) -> Result<(), PlanError> {
    let folder = &in_force.snapshot.server.boot_assets;
    let missing: Vec<String> = loaders
        .iter()
        .copied()
        .filter(|loader| !loader.contains("://"))
        .chain(boot.map(RenderedBoot::paths).unwrap_or_default())
        .filter(|path| in_force.snapshot.mirror_of(path).is_none())
        .filter(|path| !folder.join(path).is_file())
        .map(|path| match fetched_by(&in_force.snapshot, path) {
            Some(command) => format!("  {}: `{command}` brings it", folder.join(path).display()),
            None => format!("  {}: put it there", folder.join(path).display()),
        })
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(PlanError::BootFiles(missing))
    }
}

/// The bridge has the name of the first configured interface; the loopback interface is there already.
fn bridge(interfaces: &[String]) -> Result<String, PlanError> {
    match interfaces.first().map(String::as_str) {
        None => Err(PlanError::NoInterface),
        Some("lo" | TAP) => Ok("bwbridge0".to_owned()),
        Some(name) => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_firmware_follows_the_architecture() {
        let host: HostName = "web01".parse().unwrap();
        let arm = firmware(&host, Architecture::Aarch64, None).unwrap();
        assert_eq!(arm, GuestFirmware::UefiArm64);
        let http = |arch| firmware(&host, arch, Some(GuestFirmware::HttpBoot)).unwrap();
        assert_eq!(http(Architecture::X86_64), GuestFirmware::HttpBoot);
        assert_eq!(http(Architecture::Aarch64), GuestFirmware::HttpBootArm64);
        let error = firmware(&host, Architecture::Aarch64, Some(GuestFirmware::Bios)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "web01 is aarch64, which --firmware bios does not run"
        );
        let error = firmware(&host, Architecture::Arm, None).unwrap_err();
        assert!(error.to_string().contains("not available in this version"));
    }

    #[test]
    fn the_bridge_is_never_the_loopback() {
        assert_eq!(bridge(&["eth0".into(), "br1".into()]).unwrap(), "eth0");
        assert_eq!(bridge(&["lo".into()]).unwrap(), "bwbridge0");
        assert!(bridge(&[]).is_err());
    }

    #[test]
    fn packages_are_told_at_once() {
        let missing = |what: &str, package| Missing {
            what: what.into(),
            package,
        };
        let one = list(&[missing("ip", "iproute2")]);
        assert_eq!(one.lines().count(), 1);
        let two = list(&[missing("ip", "iproute2"), missing("setpriv", "util-linux")]);
        assert!(two.ends_with("all at once: apt-get install iproute2 util-linux"));
    }
}
