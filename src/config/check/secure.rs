//! Secure Boot: whether what is asked for can work.
//!
//! A firmware that has it switched on runs signed programs only: the distribution's shim, by it the
//! distribution's GRUB, by that the distribution's kernel. Whether it is on cannot be seen in DHCP.

use std::collections::{HashMap, HashSet};

use super::Input;
use super::networks::Network;
use crate::base::{Architecture, BootLoader, ProfileName};
use crate::config::merge::Merged;
use crate::config::problem::Problem;
use crate::config::signed;
use crate::config::snapshot::{Boot, InstallPolicy, Subnet};
use crate::config::source::Span;
use crate::config::written::Written;
use crate::config::written::hosts::HostEntry;
use crate::config::written::profile::ProfileFile;

/// What is told of hosts, each pair of places once.
pub(super) struct Checks<'a> {
    profiles: HashMap<&'a ProfileName, &'a ProfileFile>,
    /// `[boot] secure` names a shim for profiles that bring none.
    has_default: bool,
    told: HashSet<(Span, Span)>,
}

impl<'a> Checks<'a> {
    pub(super) fn new(input: &'a Input) -> Self {
        Self {
            profiles: input
                .profiles
                .iter()
                .map(|profile| (&profile.name, profile))
                .collect(),
            has_default: !input.server.secure.is_empty(),
            told: HashSet::new(),
        }
    }

    /// A host whose layers, profile or subnet say that it has Secure Boot.
    pub(super) fn host(
        &mut self,
        host: &HostEntry,
        merged: &Merged,
        network: Option<&Network<'_>>,
        problems: &mut Vec<Problem>,
    ) {
        let profile = merged
            .profile
            .as_ref()
            .and_then(|used| self.profiles.get(&used.value).copied());
        let said = merged
            .secure_boot
            .as_ref()
            .or_else(|| profile?.secure_boot.as_ref())
            .or_else(|| network?.entry.secure_boot.as_ref());
        let Some(said) = said.filter(|said| said.value) else {
            return;
        };
        let name = &host.name.value;
        let place = format!("`{name}` has Secure Boot by this");
        if let Some(arch) = &merged.arch
            && !matches!(arch.value, Architecture::X86_64 | Architecture::Aarch64)
        {
            if self.told.insert((said.span, arch.span)) {
                problems.push(
                    Problem::warning(
                        "secure-boot-architecture",
                        format!(
                            "`{name}` is {}, for which no signed loader exists: its firmware has no Secure Boot",
                            arch.value
                        ),
                    )
                    .at(said.span, place)
                    .at(arch.span, "and its architecture here")
                    .help("write `secure_boot = false` for it, or correct `arch`"),
                );
            }
            return;
        }
        let own = merged.loader.as_ref();
        if let Some(loader) = own.filter(|own| own.value != BootLoader::Grub.as_str()) {
            if self.told.insert((said.span, loader.span)) {
                problems.push(
                    Problem::warning(
                        "secure-boot-loader",
                        format!(
                            "`{name}` has Secure Boot and a `loader` of its own: the firmware refuses it unless it is signed by a key that the firmware knows"
                        ),
                    )
                    .at(loader.span, format!("`{name}` gets this loader"))
                    .at(said.span, place)
                    .help("leave `loader` out: the shim of its profile is taken then"),
                );
            }
            return;
        }
        let never = merged
            .install
            .as_ref()
            .is_some_and(|install| install.value == InstallPolicy::Never);
        if let (Some(used), Some(profile), false) = (&merged.profile, profile, never) {
            self.without_shim(name.as_str(), said, used, profile, problems);
        }
    }

    fn without_shim(
        &mut self,
        host: &str,
        said: &Written<bool>,
        used: &Written<ProfileName>,
        profile: &ProfileFile,
        problems: &mut Vec<Problem>,
    ) {
        // One that cannot be read has problems of its own.
        let Some(boot) = profile.boot.as_ref().filter(|_| profile.ok) else {
            return;
        };
        if signed::has_loader(boot.signed.as_ref(), self.has_default)
            || !self.told.insert((said.span, used.span))
        {
            return;
        }
        let help = match &boot.boot {
            Boot::Image { kind, .. } if kind.needs_bios() => format!(
                "{} boots on BIOS only, which has no Secure Boot: write `secure_boot = false` for the host",
                kind.as_str()
            ),
            Boot::Linux { .. } | Boot::Image { .. } => "name the distribution's shim and GRUB in [boot] of the profile (`shim`, `grub`), or write `secure_boot = false` and switch it off in the firmware's setup".to_owned(),
            Boot::San(_) | Boot::Local { .. } | Boot::Chain { .. } | Boot::Script { .. } => "only iPXE runs it: put a signed iPXE under boot_assets and name its shim in [boot] secure of bootwright.toml, or write `secure_boot = false` and switch it off in the firmware's setup".to_owned(),
        };
        problems.push(
            Problem::error(
                "no-shim",
                format!(
                    "`{host}` has Secure Boot, and its profile `{}` has no signed loader: the firmware would refuse whatever it is given",
                    used.value
                ),
            )
            .at(said.span, format!("`{host}` has Secure Boot by this"))
            .at(used.span, "and its profile here")
            .help(help),
        );
    }

    /// Machines that nobody knows, in a subnet that says so of all its machines.
    pub(super) fn discovery(&self, input: &Input, subnets: &[Subnet], problems: &mut Vec<Problem>) {
        let Some(name) = super::pools::discovery_profile(&input.server) else {
            return;
        };
        let Some(profile) = self.profiles.get(&name) else {
            return;
        };
        let is_signed = profile
            .boot
            .as_ref()
            .is_none_or(|boot| signed::has_loader(boot.signed.as_ref(), self.has_default));
        if is_signed || !subnets.iter().any(Subnet::discovers) {
            return;
        }
        let said = input.server.subnets.iter().filter_map(|entry| {
            let subnet = subnets
                .iter()
                .find(|subnet| subnet.span == Some(entry.header))?;
            entry
                .secure_boot
                .as_ref()
                .filter(|said| said.value && subnet.discovers())
        });
        for said in said {
            problems.push(
                Problem::warning(
                    "secure-boot-discovery",
                    format!(
                        "the profile `{name}` for machines that are discovered has no signed loader: those with Secure Boot get an address and nothing to boot"
                    ),
                )
                .at(said.span, "machines here have Secure Boot")
                .help("put a signed iPXE under boot_assets (its README says where), and name its shim in [boot] secure"),
            );
        }
    }
}
