//! Secure Boot: which signed loader a machine is named, and where what that one loads next lies.
//!
//! Firmware with Secure Boot runs shim, which Microsoft has signed; shim runs the GRUB of its own distribution,
//! and that GRUB its distribution's kernels. So the loader goes with the profile. Signed iPXE (a shim of the
//! iPXE project's beside an iPXE that it has signed) goes with any profile, and is taken where it is there.
//!
//! shim looks for GRUB beside itself, in its own spelling: it cuts the name that the firmware was told at the last
//! slash, of either kind, or knows no folder at all where the firmware kept none. Some versions ask for it in
//! capitals. Whatever the folder, the names are always the same few ([`is_companion`]).
//!
//! **Invariant:** pure. What is proposed in place of a name is a path below `boot_assets` like any other.

use super::snapshot::{Host, Profile, SignedLoaders, Snapshot};
use crate::base::{Architecture, Firmware, has_extension};

/// Tells whether there is a file of a path under `boot_assets`.
pub type IsThere<'a> = &'a dyn Fn(&str) -> bool;

/// Where signed iPXE is looked for: its shim, and the iPXE that shim loads. The first folder is the one that
/// `ipxeboot.tar.gz` of the iPXE project has; the other names are those of its shim's own releases.
const SIGNED_IPXE: [(Firmware, &str, &str); 6] = [
    (
        Firmware::UefiX64,
        "ipxeboot/x86_64-sb/snponly-shim.efi",
        "ipxeboot/x86_64-sb/snponly.efi",
    ),
    (
        Firmware::UefiX64,
        "ipxeboot/x86_64-sb/ipxe-shim.efi",
        "ipxeboot/x86_64-sb/ipxe.efi",
    ),
    (
        Firmware::UefiX64,
        "ipxeboot/x86_64-sb/ipxe-shimx64.efi",
        "ipxeboot/x86_64-sb/ipxe.efi",
    ),
    (
        Firmware::UefiArm64,
        "ipxeboot/arm64-sb/snponly-shim.efi",
        "ipxeboot/arm64-sb/snponly.efi",
    ),
    (
        Firmware::UefiArm64,
        "ipxeboot/arm64-sb/ipxe-shim.efi",
        "ipxeboot/arm64-sb/ipxe.efi",
    ),
    (
        Firmware::UefiArm64,
        "ipxeboot/arm64-sb/ipxe-shimaa64.efi",
        "ipxeboot/arm64-sb/ipxe.efi",
    ),
];

/// The shim of a signed iPXE, where it and its iPXE are there.
pub fn signed_ipxe(firmware: Firmware, is_there: IsThere<'_>) -> Option<&'static str> {
    SIGNED_IPXE
        .iter()
        .find(|(of, shim, ipxe)| *of == firmware && is_there(shim) && is_there(ipxe))
        .map(|(_, shim, _)| *shim)
}

/// Whether a loader is the shim of a signed iPXE, which leads to a script as any iPXE does.
pub fn is_signed_ipxe(loader: &str) -> bool {
    SIGNED_IPXE.iter().any(|(_, shim, _)| *shim == loader)
}

/// Whether a profile has a signed loader: its own, or one that `[boot] secure` names. The usual one need not be there.
pub(crate) fn has_loader(own: Option<&SignedLoaders>, secure_named: bool) -> bool {
    own.is_some() || secure_named
}

/// The signed loader for firmware that is UEFI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    /// This one: a path under `boot_assets`, or a URL of the operator's.
    Loader(String),
    /// None: why.
    Missing(String),
}

/// Chooses the signed loader of a machine that boots this profile, or its disk. `by_http`: its firmware loads it
/// by HTTP Boot.
pub fn loader(
    snapshot: &Snapshot,
    profile: Option<&Profile>,
    firmware: Firmware,
    by_http: bool,
    is_there: IsThere<'_>,
) -> Signed {
    let arch = match firmware {
        Firmware::UefiX64 => Architecture::X86_64,
        Firmware::UefiArm64 => Architecture::Aarch64,
        Firmware::Bios | Firmware::UefiIa32 | Firmware::UefiArm32 => {
            return Signed::Missing(format!("no loader for {firmware} is signed"));
        }
    };
    if let Some(shim) = signed_ipxe(firmware, is_there) {
        return Signed::Loader(shim.to_owned());
    }
    match profile.and_then(|profile| Some((profile, profile.signed.as_ref()?))) {
        Some((profile, signed)) if by_http && !signed.http => Signed::Missing(format!(
            "the GRUB of {} has no network after UEFI HTTP Boot: have the firmware boot by PXE",
            profile.name
        )),
        Some((_, signed)) => Signed::Loader(signed.shim(arch)),
        None => match snapshot.server.secure.get(&firmware) {
            Some(shim) => Signed::Loader(shim.clone()),
            None => Signed::Missing(format!("[boot] secure has none for {firmware}")),
        },
    }
}

/// Whether a name, without its folder and in lower case, is one of those that shim loads or looks for beside
/// itself: GRUB, MokManager and the fallback of each distribution's build, and lists of what is revoked.
pub fn is_companion(name: &str) -> bool {
    is_grub(name)
        || is_mok_manager(name)
        || ["fbx64.efi", "fbaa64.efi", "fallback.efi"].contains(&name)
        || ((name.starts_with("revocations") || name.starts_with("shim_certificate"))
            && has_extension(name, "efi"))
}

/// Whether it is what shim starts: GRUB, by the name that distributions build into their shim.
pub fn is_grub(name: &str) -> bool {
    ["grubx64.efi", "grubaa64.efi", "grub.efi"].contains(&name)
}

/// Whether it is the tool that shim starts when it has refused what it should have started.
pub fn is_mok_manager(name: &str) -> bool {
    ["mmx64.efi", "mmaa64.efi", "mokmanager.efi"].contains(&name)
}

/// The last part of a path, in lower case.
pub fn base_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase()
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The loaders that a machine with Secure Boot needs, as paths below `boot_assets`: shim, and the GRUB that it loads.
pub fn needed(
    snapshot: &Snapshot,
    profile: Option<&Profile>,
    firmware: Firmware,
    is_there: IsThere<'_>,
) -> Vec<String> {
    let Signed::Loader(shim) = loader(snapshot, profile, firmware, false, is_there) else {
        return Vec::new();
    };
    if is_signed_ipxe(&shim) || shim.contains("://") {
        return vec![shim];
    }
    let (arch, usual) = match firmware {
        Firmware::UefiArm64 => (Architecture::Aarch64, "grubaa64.efi"),
        _ => (Architecture::X86_64, "grubx64.efi"),
    };
    let named = profile
        .and_then(|profile| profile.signed.as_ref())
        .and_then(|signed| signed.grub(arch));
    let grub = named.unwrap_or_else(|| beside(&shim, usual));
    vec![shim, grub]
}

/// Where a file that shim asks for may lie: of the profiles whose shim lies in the folder that was asked in, then of the
/// host that asks. `path` is clean; empty for any other file.
pub fn companions(snapshot: &Snapshot, host: Option<&Host>, path: &str) -> Vec<String> {
    let name = base_name(path);
    if !is_companion(&name) {
        return Vec::new();
    }
    let arch = if name.contains("aa64") {
        Architecture::Aarch64
    } else {
        Architecture::X86_64
    };
    let of = |signed: &SignedLoaders, arch: Architecture| match signed.grub(arch) {
        Some(grub) if is_grub(&name) => grub,
        _ => beside(&signed.shim(arch), &name),
    };
    let asked_in = folder(path);
    let all = snapshot.profiles().values();
    let mut found: Vec<String> = all
        .filter_map(|profile| profile.signed.as_ref())
        .flat_map(|signed| [Architecture::X86_64, Architecture::Aarch64].map(|arch| (signed, arch)))
        .filter(|(signed, arch)| folder(&signed.shim(*arch)).eq_ignore_ascii_case(asked_in))
        .map(|(signed, arch)| of(signed, arch))
        .collect();
    if let Some(host) = host.filter(|host| snapshot.secure_boot(host)) {
        let profile = host
            .profile
            .as_ref()
            .and_then(|name| snapshot.profile(name));
        let signed = profile.and_then(|profile| profile.signed.as_ref());
        // `grub.efi` tells no architecture; the host may.
        let arch = host.arch.filter(|_| name == "grub.efi").unwrap_or(arch);
        let firmware = match arch {
            Architecture::Aarch64 => Firmware::UefiArm64,
            _ => Firmware::UefiX64,
        };
        found.extend(signed.map(|signed| of(signed, arch)).or_else(|| {
            let shim = snapshot.server.secure.get(&firmware)?;
            Some(beside(shim, &name))
        }));
    }
    found.dedup();
    found
}

/// The path of a file in the folder of another one.
fn beside(path: &str, name: &str) -> String {
    match folder(path) {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}
