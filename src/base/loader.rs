//! The boot loaders whose configuration is rendered.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Firmware;

/// A boot loader that asks for a text of its own, which says what it loads.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum BootLoader {
    /// iPXE, with `boot.ipxe`.
    #[default]
    Ipxe,
    /// GRUB 2, with `grub.cfg`.
    Grub,
    /// PXELINUX and its relatives of SYSLINUX for UEFI, with a file of the folder `pxelinux.cfg`.
    Pxelinux,
}

impl BootLoader {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 3] = [Self::Ipxe, Self::Grub, Self::Pxelinux];

    /// The word for it in `loader` of a host and after `--stage`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipxe => "ipxe",
            Self::Grub => "grub",
            Self::Pxelinux => "pxelinux",
        }
    }

    /// Its own name.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Ipxe => "iPXE",
            Self::Grub => "GRUB",
            Self::Pxelinux => "PXELINUX",
        }
    }

    /// The name by which its text is shown.
    pub const fn text_name(self) -> &'static str {
        match self {
            Self::Ipxe => "boot.ipxe",
            Self::Grub => "grub.cfg",
            Self::Pxelinux => "pxelinux.cfg",
        }
    }

    /// Which one a file is, as its name tells: `grubnetx64.efi`, `shimx64.efi` (which loads GRUB),
    /// `lpxelinux.0`, `syslinux.efi`. Anything else is taken for iPXE.
    pub fn of_file(path: &str) -> Self {
        let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = name.to_ascii_lowercase();
        let has = |part: &str| name.contains(part);
        // The shim of iPXE's own makers is `ipxe-shimx64.efi`.
        if has("ipxe") || has("snponly") || has("undionly") {
            Self::Ipxe
        } else if has("pxelinux") || has("syslinux") {
            Self::Pxelinux
        } else if has("grub") || has("shim") || has("bootnetx64") || has("bootnetaa64") {
            Self::Grub
        } else if name == "core.0" || name == "core.efi" {
            // What grub-mknetdir makes.
            Self::Grub
        } else {
            Self::Ipxe
        }
    }

    /// Where the one for this firmware lies under `boot_assets` when nothing else is written; `None`: there
    /// is none.
    pub const fn usual_file(self, firmware: Firmware) -> Option<&'static str> {
        Some(match (self, firmware) {
            (Self::Ipxe, Firmware::Bios) => "ipxe/undionly.kpxe",
            (Self::Ipxe, Firmware::UefiX64) => "ipxe/snponly.efi",
            (Self::Ipxe, Firmware::UefiIa32) => "ipxe/snponly-ia32.efi",
            (Self::Ipxe, Firmware::UefiArm32) => "ipxe/snponly-arm32.efi",
            (Self::Ipxe, Firmware::UefiArm64) => "ipxe/snponly-arm64.efi",
            (Self::Grub, Firmware::Bios) => "grub/i386-pc/core.0",
            (Self::Grub, Firmware::UefiX64) => "grub/grubx64.efi",
            (Self::Grub, Firmware::UefiIa32) => "grub/grubia32.efi",
            (Self::Grub, Firmware::UefiArm64) => "grub/grubaa64.efi",
            (Self::Pxelinux, Firmware::Bios) => "pxelinux/pxelinux.0",
            (Self::Pxelinux, Firmware::UefiX64) => "pxelinux/efi64/syslinux.efi",
            (Self::Pxelinux, Firmware::UefiIa32) => "pxelinux/efi32/syslinux.efi",
            (Self::Grub, Firmware::UefiArm32)
            | (Self::Pxelinux, Firmware::UefiArm32 | Firmware::UefiArm64) => return None,
        })
    }
}

impl fmt::Display for BootLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for BootLoader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|loader| loader.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no boot loader"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_tell_their_loader() {
        for (path, loader) in [
            ("ipxe/undionly.kpxe", BootLoader::Ipxe),
            ("ipxe/snponly.efi", BootLoader::Ipxe),
            ("shim/ipxe-shimx64.efi", BootLoader::Ipxe),
            ("own/loader.efi", BootLoader::Ipxe),
            ("shim/shimx64.efi", BootLoader::Grub),
            ("grub/grubnetx64.efi.signed", BootLoader::Grub),
            ("EFI\\BOOT\\GRUBAA64.EFI", BootLoader::Grub),
            ("boot/grub/i386-pc/core.0", BootLoader::Grub),
            ("debian-installer/arm64/bootnetaa64.efi", BootLoader::Grub),
            ("pxelinux.0", BootLoader::Pxelinux),
            ("http://10.0.0.2/assets/lpxelinux.0", BootLoader::Pxelinux),
            ("pxelinux/efi64/syslinux.efi", BootLoader::Pxelinux),
        ] {
            assert_eq!(BootLoader::of_file(path), loader, "{path}");
        }
        for loader in BootLoader::ALL {
            assert_eq!(loader.as_str().parse(), Ok(loader));
            for firmware in Firmware::ALL {
                if let Some(file) = loader.usual_file(firmware) {
                    assert_eq!(BootLoader::of_file(file), loader, "{file}");
                }
            }
        }
    }
}
