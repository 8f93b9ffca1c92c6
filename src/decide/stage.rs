//! How far a machine is, told from one packet (design section 3).

use crate::base::{Architecture, ClientSystemArchitecture, Firmware};
use crate::wire::dhcp::Request;

/// How far a machine is on its way from power-on to its operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// PXE firmware asks for its boot loader over TFTP.
    Pxe {
        /// Which firmware; `None` when option 93 names none that is known.
        firmware: Option<Firmware>,
        /// The number in option 93 that decided.
        code: Option<ClientSystemArchitecture>,
    },
    /// UEFI HTTP Boot asks for its boot loader's URL.
    HttpBoot {
        /// Which firmware.
        firmware: Option<Firmware>,
        /// The number in option 93 that decided.
        code: Option<ClientSystemArchitecture>,
    },
    /// iPXE asks for its script.
    Ipxe {
        /// The firmware under it.
        firmware: Option<Firmware>,
        /// Whether it can fetch by HTTP.
        http: bool,
        /// Whether it can boot a Linux kernel.
        linux: bool,
    },
    /// An installer, an operating system, or anything else.
    Os,
}

impl Stage {
    /// The stage of whoever sent this.
    pub fn of(request: &Request) -> Self {
        let _ = request;
        Self::Os
    }

    /// The word for events: `bios`, `uefi-x64`, `httpboot`, `ipxe`, `os`, …
    pub fn as_str(self) -> &'static str {
        "os"
    }

    /// The firmware, where the packet tells.
    pub fn firmware(self) -> Option<Firmware> {
        match self {
            Self::Pxe { firmware, .. }
            | Self::HttpBoot { firmware, .. }
            | Self::Ipxe { firmware, .. } => firmware,
            Self::Os => None,
        }
    }

    /// What the machine runs, where the packet tells.
    pub fn architecture(self) -> Option<Architecture> {
        self.firmware().map(Firmware::architecture)
    }

    /// Whether this is firmware or iPXE: a packet that belongs to a boot.
    pub fn is_boot(self) -> bool {
        !matches!(self, Self::Os)
    }
}
