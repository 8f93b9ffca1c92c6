//! Who asks (firmware), what it can run (architecture).
//!
//! The two are kept apart: firmware decides which boot loader fits, the architecture which kernel.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a machine's processor runs: the `arch` of hosts, profiles and templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Architecture {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 32-bit x86.
    #[serde(rename = "i386")]
    I386,
    /// 64-bit ARM.
    #[serde(rename = "aarch64")]
    Aarch64,
    /// 32-bit ARM.
    #[serde(rename = "arm")]
    Arm,
}

impl Architecture {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 4] = [Self::X86_64, Self::I386, Self::Aarch64, Self::Arm];

    /// The name in files and templates.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::I386 => "i386",
            Self::Aarch64 => "aarch64",
            Self::Arm => "arm",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Architecture {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|arch| arch.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no architecture"))
    }
}

/// What asks for a boot loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// A PXE ROM on a PC BIOS.
    Bios,
    /// 64-bit x86 UEFI.
    UefiX64,
    /// 32-bit x86 UEFI.
    UefiIa32,
    /// 32-bit ARM UEFI.
    UefiArm32,
    /// 64-bit ARM UEFI.
    UefiArm64,
}

impl Firmware {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 5] = [
        Self::Bios,
        Self::UefiX64,
        Self::UefiIa32,
        Self::UefiArm32,
        Self::UefiArm64,
    ];

    /// The name in `[boot] loaders` and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::UefiX64 => "uefi-x64",
            Self::UefiIa32 => "uefi-ia32",
            Self::UefiArm32 => "uefi-arm32",
            Self::UefiArm64 => "uefi-arm64",
        }
    }

    /// Whether this is UEFI of any kind.
    pub const fn is_uefi(self) -> bool {
        !matches!(self, Self::Bios)
    }

    /// What the machine can be taken to run. A BIOS machine is taken to be 64-bit: the 32-bit ones
    /// are named in the reservations (`arch = "i386"`), because DHCP does not tell.
    pub const fn architecture(self) -> Architecture {
        match self {
            Self::Bios | Self::UefiX64 => Architecture::X86_64,
            Self::UefiIa32 => Architecture::I386,
            Self::UefiArm32 => Architecture::Arm,
            Self::UefiArm64 => Architecture::Aarch64,
        }
    }

    /// The firmware that a machine of this architecture has when nothing else is known.
    pub const fn usual_for(arch: Architecture) -> Self {
        match arch {
            Architecture::X86_64 | Architecture::I386 => Self::Bios,
            Architecture::Aarch64 => Self::UefiArm64,
            Architecture::Arm => Self::UefiArm32,
        }
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Firmware {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|firmware| firmware.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no firmware"))
    }
}

/// A value of option 93, Client System Architecture Type (RFC 4578 section 2.1; IANA, "Processor
/// Architecture Types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientSystemArchitecture(pub u16);

impl ClientSystemArchitecture {
    /// The firmware that announces itself this way; `None` for a number this server has no loader for.
    ///
    /// 7 *and* 9 are x64: RFC 4578 and its erratum swapped x64 and EBC, and firmware sends both.
    pub const fn firmware(self) -> Option<Firmware> {
        match self.0 {
            0 => Some(Firmware::Bios),
            6 | 15 => Some(Firmware::UefiIa32),
            7 | 9 | 16 => Some(Firmware::UefiX64),
            10 | 18 => Some(Firmware::UefiArm32),
            11 | 19 => Some(Firmware::UefiArm64),
            _ => None,
        }
    }

    /// Whether the number is one of UEFI HTTP Boot (15 and up name the transport as well).
    pub const fn is_http(self) -> bool {
        matches!(self.0, 15 | 16 | 18 | 19)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_option_93() {
        let firmware = |code| ClientSystemArchitecture(code).firmware();
        assert_eq!(firmware(0), Some(Firmware::Bios));
        assert_eq!(firmware(7), firmware(9));
        assert_eq!(firmware(16), Some(Firmware::UefiX64));
        assert_eq!(firmware(19), Some(Firmware::UefiArm64));
        assert_eq!(firmware(2), None);
        assert!(ClientSystemArchitecture(16).is_http());
        assert!(!ClientSystemArchitecture(7).is_http());
    }

    #[test]
    fn names_read_back() {
        for firmware in Firmware::ALL {
            assert_eq!(firmware.as_str().parse(), Ok(firmware));
        }
        for arch in Architecture::ALL {
            assert_eq!(arch.as_str().parse(), Ok(arch));
        }
    }
}
