//! How PXE and UEFI HTTP Boot firmware names itself in option 60 (PXE 2.1 section 2.2.4; UEFI 2.10
//! section 24.7).

use crate::base::ClientSystemArchitecture;

/// The vendor class of UEFI HTTP Boot; a reply to it must carry the same.
pub const HTTP_CLIENT: &str = "HTTPClient";
const PXE_CLIENT: &str = "PXEClient";

/// What option 60 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VendorClass {
    /// `PXEClient:Arch:00007:UNDI:003010` and the like.
    Pxe {
        /// The number after `Arch:`, where there is one.
        arch: Option<ClientSystemArchitecture>,
    },
    /// `HTTPClient:Arch:00016:…`.
    Http {
        /// The number after `Arch:`, where there is one.
        arch: Option<ClientSystemArchitecture>,
    },
    /// Anything else, or nothing.
    Other,
}

impl VendorClass {
    /// Reads option 60. Firmware compares the beginning only, and so does this.
    pub fn read(raw: Option<&[u8]>) -> Self {
        let raw = raw.unwrap_or_default();
        let arch = arch(raw);
        if raw.starts_with(PXE_CLIENT.as_bytes()) {
            Self::Pxe { arch }
        } else if raw.starts_with(HTTP_CLIENT.as_bytes()) {
            Self::Http { arch }
        } else {
            Self::Other
        }
    }

    /// The number after `Arch:`.
    pub const fn arch(self) -> Option<ClientSystemArchitecture> {
        match self {
            Self::Pxe { arch } | Self::Http { arch } => arch,
            Self::Other => None,
        }
    }
}

fn arch(raw: &[u8]) -> Option<ClientSystemArchitecture> {
    let text = String::from_utf8_lossy(raw);
    let (_, rest) = text.split_once(":Arch:")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().map(ClientSystemArchitecture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_firmware_sends() {
        let read = |text: &str| VendorClass::read(Some(text.as_bytes()));
        let arch = |number| Some(ClientSystemArchitecture(number));
        assert_eq!(
            read("PXEClient:Arch:00007:UNDI:003010"),
            VendorClass::Pxe { arch: arch(7) }
        );
        assert_eq!(
            read("HTTPClient:Arch:00016:UNDI:003000"),
            VendorClass::Http { arch: arch(16) }
        );
        assert_eq!(read("PXEClient"), VendorClass::Pxe { arch: None });
        assert_eq!(
            read("PXEClient:Arch:99999:"),
            VendorClass::Pxe { arch: None }
        );
        assert_eq!(read("udhcp 1.35.0"), VendorClass::Other);
        assert_eq!(read("d-i:Arch:00007").arch(), None);
        assert_eq!(VendorClass::read(None), VendorClass::Other);
    }
}
