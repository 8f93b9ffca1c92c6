//! Which boot files a host needs, and which of them are not there.

use std::collections::BTreeMap;

use super::load::InForce;
use super::{AssetRef, View, check};
use crate::base::{Architecture, Firmware};
use crate::config::Problem;
use crate::config::snapshot::{Host, Profile};

/// The architecture that a host's boot files are for when none was seen: its own, else the profile's
/// first one, else x86_64.
pub fn usual_architecture(host: &Host, profile: Option<&Profile>) -> Architecture {
    host.arch
        .or_else(|| profile.and_then(|profile| profile.arch.first().copied()))
        .unwrap_or(Architecture::X86_64)
}

/// The firmware that machines of an architecture usually have. 32-bit UEFI is rare, and its loader is
/// in no distribution: it is told when such a machine comes.
fn usual_firmware(arch: Architecture) -> &'static [Firmware] {
    match arch {
        Architecture::X86_64 => &[Firmware::Bios, Firmware::UefiX64],
        Architecture::I386 => &[Firmware::Bios],
        Architecture::Aarch64 => &[Firmware::UefiArm64],
        Architecture::Arm => &[Firmware::UefiArm32],
    }
}

/// The boot files of a host: its loaders, then what its profile loads, with the architecture they are
/// for. A boot text that cannot be rendered gives nothing here; `check` reports it.
pub fn needed(config: &InForce, host: &Host) -> Vec<(AssetRef, Architecture)> {
    let snapshot = &config.snapshot;
    let profile = host
        .profile
        .as_ref()
        .and_then(|name| snapshot.profile(name));
    let arch = usual_architecture(host, profile.map(AsRef::as_ref));
    let mut assets = Vec::new();
    match &host.loader {
        Some(loader) => assets.extend(AssetRef::parse(loader)),
        None => {
            for firmware in usual_firmware(arch) {
                let loader = snapshot.server.loaders.get(firmware);
                assets.extend(loader.and_then(|loader| AssetRef::parse(loader).ok()));
            }
        }
    }
    if let (Some(profile), Some(subnet)) = (profile, snapshot.subnet_of(host)) {
        let view = View {
            snapshot,
            host,
            profile,
            arch,
            server: subnet.example_server,
            token: None,
        };
        if let Ok(boot) = config.renderer.boot(&view) {
            assets.extend(boot.assets().into_iter().cloned());
        }
    }
    assets.into_iter().map(|asset| (asset, arch)).collect()
}

/// A warning for each boot file that some host with a profile needs and that is not there.
/// `is_there` is asked with paths under `boot_assets`.
pub fn missing(config: &InForce, is_there: &dyn Fn(&str) -> bool) -> Vec<Problem> {
    let mut hosts_by_path: BTreeMap<String, Vec<&Host>> = BTreeMap::new();
    let mut seen: BTreeMap<String, bool> = BTreeMap::new();
    for host in config.snapshot.hosts() {
        // Without a profile a host boots nothing over the network but what somebody arms it with.
        if host.profile.is_none() {
            continue;
        }
        for (asset, _) in needed(config, host) {
            let AssetRef::Path(path) = asset else {
                continue;
            };
            let there = *seen.entry(path.clone()).or_insert_with(|| is_there(&path));
            if !there {
                hosts_by_path.entry(path).or_default().push(host);
            }
        }
    }
    hosts_by_path
        .into_iter()
        .map(|(path, hosts)| {
            let folder = config.snapshot.server.boot_assets.display();
            let problem = Problem::warning(
                "boot-file-missing",
                format!(
                    "the boot file `{path}` is not there, and {} cannot be installed without it",
                    check::host_names(&hosts)
                ),
            )
            .help(match fetched_by(&path) {
                Some(command) => format!("`{command}` brings it, or put it at {folder}/{path}"),
                None => format!("put it at {folder}/{path}"),
            });
            check::at_host(problem, &hosts)
        })
        .collect()
}

/// The command that brings a boot file, for those that the product knows where to find.
pub fn fetched_by(path: &str) -> Option<&'static str> {
    if path.starts_with("ipxe/") {
        Some("bootwright assets fetch ipxe")
    } else if path.starts_with("debian/12/") {
        Some("bootwright assets fetch debian-12")
    } else {
        None
    }
}
