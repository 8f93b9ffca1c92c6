//! How far a machine is, told from one packet (design section 3).

use super::firmware::{self, Told};
use crate::base::{Architecture, ClientSystemArchitecture, Firmware};
use crate::wire::dhcp::Request;
use crate::wire::ipxe::{self, Features};
use crate::wire::pxe::VendorClass;

/// How far a machine is on its way from power-on to its operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// PXE firmware asks for its boot loader over TFTP.
    Pxe {
        /// Which firmware; `None` when the packet names none that is known.
        firmware: Option<Firmware>,
        /// The number that decided, of option 93 or 60.
        code: Option<ClientSystemArchitecture>,
    },
    /// UEFI HTTP Boot asks for its boot loader's URL.
    HttpBoot {
        /// Which firmware.
        firmware: Option<Firmware>,
        /// The number that decided, of option 93 or 60.
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
    ///
    /// From this packet alone: what the machine did before never makes it iPXE, or its next cold boot
    /// would get the script.
    pub fn of(request: &Request) -> Self {
        Self::told(request).0
    }

    /// The same, and what is odd about the way in which it tells its architecture.
    pub fn told(request: &Request) -> (Self, Option<String>) {
        let told = firmware::told(request);
        (Self::with(request, &told), told.doubt)
    }

    fn with(request: &Request, told: &Told) -> Self {
        let class = VendorClass::read(request.vendor_class());
        let Told { firmware, code, .. } = *told;
        if is_ipxe(request) {
            // An iPXE that tells nothing is taken to have HTTP and whatever it needs for Linux.
            let features = request.ipxe_features();
            let has = |feature: fn(&Features) -> bool| features.as_ref().is_none_or(feature);
            return Self::Ipxe {
                firmware,
                http: has(Features::http),
                linux: has(Features::linux),
            };
        }
        match class {
            VendorClass::Pxe { .. } => Self::Pxe { firmware, code },
            VendorClass::Http { .. } => Self::HttpBoot { firmware, code },
            // UEFI PXE that does not name itself: no installer or system sends one of these numbers.
            VendorClass::Other if code.is_some_and(is_uefi_pxe) => Self::Pxe { firmware, code },
            VendorClass::Other => Self::Os,
        }
    }

    /// The word for events: `bios`, `uefi-x64`, `httpboot`, `ipxe`, `os`, …; `pxe` for firmware of an
    /// architecture that is not known here.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pxe {
                firmware: Some(firmware),
                ..
            } => firmware.as_str(),
            Self::Pxe { firmware: None, .. } => "pxe",
            Self::HttpBoot { .. } => "httpboot",
            Self::Ipxe { .. } => "ipxe",
            Self::Os => "os",
        }
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

/// The rule of design section 3, in its order: option 77 decides where it is there, else option 175.
/// FlexBoot and others send no 77; an iPXE told to pose as firmware sends another 77 and 175 all the
/// same.
fn is_ipxe(request: &Request) -> bool {
    match request.user_class() {
        Some(class) => ipxe::is_user_class(class),
        None => request.ipxe_features().is_some(),
    }
}

fn is_uefi_pxe(code: ClientSystemArchitecture) -> bool {
    !code.is_http() && code.firmware().is_some_and(Firmware::is_uefi)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(options: &[(u8, &[u8])]) -> Stage {
        let mut bytes = vec![0; 240];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
        for (code, data) in options {
            bytes.extend_from_slice(&[*code, u8::try_from(data.len()).unwrap()]);
            bytes.extend_from_slice(data);
        }
        Stage::of(&Request::parse(&bytes).unwrap())
    }

    const PXE: (u8, &[u8]) = (60, b"PXEClient:Arch:00000:UNDI:002001");
    const BIOS: (u8, &[u8]) = (93, &[0, 0]);
    const X64: (u8, &[u8]) = (93, &[0, 7]);
    const FULL: (u8, &[u8]) = (175, &[19, 1, 1, 24, 1, 1]);

    fn pxe(firmware: Option<Firmware>, code: Option<u16>) -> Stage {
        Stage::Pxe {
            firmware,
            code: code.map(ClientSystemArchitecture),
        }
    }

    fn ipxe(firmware: Option<Firmware>, http: bool, linux: bool) -> Stage {
        Stage::Ipxe {
            firmware,
            http,
            linux,
        }
    }

    #[test]
    fn ipxe_or_not_in_the_order_of_the_rule() {
        let bios = Some(Firmware::Bios);
        // 1: named, bare or as a list of classes.
        assert_eq!(
            stage(&[PXE, BIOS, (77, b"iPXE"), FULL]),
            ipxe(bios, true, true)
        );
        assert_eq!(
            stage(&[PXE, BIOS, (77, b"\x04iPXE")]),
            ipxe(bios, true, true)
        );
        // 2: anything else in 77, even beside 175.
        assert_eq!(
            stage(&[PXE, BIOS, (77, b"PXEClient"), FULL]),
            pxe(bios, Some(0))
        );
        assert_eq!(stage(&[(77, b"debian"), FULL]), Stage::Os);
        // 3: no 77, but 175.
        assert_eq!(stage(&[PXE, BIOS, FULL]), ipxe(bios, true, true));
        // 4: neither.
        assert_eq!(stage(&[PXE, BIOS]), pxe(bios, Some(0)));
        assert_eq!(stage(&[(60, b"udhcp 1.35.0")]), Stage::Os);
        assert_eq!(stage(&[]), Stage::Os);
    }

    #[test]
    fn features_count_where_they_are_told() {
        let x64 = Some(Firmware::UefiX64);
        let named = (77, b"iPXE".as_slice());
        assert_eq!(
            stage(&[PXE, X64, named, (175, &[19, 1, 1, 36, 1, 1])]),
            ipxe(x64, true, true)
        );
        assert_eq!(
            stage(&[PXE, X64, named, (175, &[36, 1, 1])]),
            ipxe(x64, false, true)
        );
        assert_eq!(
            stage(&[PXE, X64, named, (175, &[19, 1, 1])]),
            ipxe(x64, true, false)
        );
        assert_eq!(stage(&[PXE, X64, named]), ipxe(x64, true, true));
    }

    #[test]
    fn architectures_in_all_the_ways_they_are_told() {
        let x64 = Some(Firmware::UefiX64);
        for code in [7, 9] {
            assert_eq!(
                stage(&[PXE, (93, &[0, code])]),
                pxe(x64, Some(u16::from(code)))
            );
        }
        // A list: the first that is known.
        assert_eq!(stage(&[PXE, (93, &[0, 33, 0, 6])]).as_str(), "uefi-ia32");
        // Unknown in 93, told in 60.
        assert_eq!(
            stage(&[(60, b"PXEClient:Arch:00011:UNDI:003000"), (93, &[0, 33])]),
            pxe(Some(Firmware::UefiArm64), Some(11))
        );
        assert_eq!(
            stage(&[(60, b"PXEClient:Arch:00033"), (93, &[0, 33])]),
            pxe(None, Some(33))
        );
        assert_eq!(stage(&[(60, b"PXEClient"), (93, &[0, 33])]).as_str(), "pxe");
        // A ROM that tells nothing is a BIOS.
        assert_eq!(
            stage(&[(60, b"PXEClient")]),
            pxe(Some(Firmware::Bios), None)
        );
        // UEFI by its number alone; a number of BIOS or HTTP says nothing without option 60.
        assert_eq!(stage(&[X64]), pxe(x64, Some(7)));
        assert_eq!(stage(&[BIOS]), Stage::Os);
        assert_eq!(stage(&[(93, &[0, 16])]), Stage::Os);
    }

    #[test]
    fn http_boot() {
        let told = stage(&[(60, b"HTTPClient:Arch:00016:UNDI:003001"), (93, &[0, 16])]);
        assert_eq!(told.as_str(), "httpboot");
        assert_eq!(told.firmware(), Some(Firmware::UefiX64));
        assert_eq!(stage(&[(60, b"HTTPClient")]).firmware(), None);
    }
}
