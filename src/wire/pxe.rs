//! How PXE and UEFI HTTP Boot firmware names itself in option 60 (PXE 2.1 section 2.2.4; UEFI 2.10
//! section 24.7).

use crate::base::ClientSystemArchitecture;
use crate::wire::dhcp::options::encapsulated;

/// The vendor class of UEFI HTTP Boot; a reply to it must carry the same.
pub const HTTP_CLIENT: &str = "HTTPClient";
/// The vendor class of PXE; a reply from beside another DHCP server carries it.
pub const PXE_CLIENT: &str = "PXEClient";

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
        if let Some(rest) = raw.strip_prefix(PXE_CLIENT.as_bytes()) {
            Self::Pxe { arch: arch(rest) }
        } else if let Some(rest) = raw.strip_prefix(HTTP_CLIENT.as_bytes()) {
            Self::Http { arch: arch(rest) }
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

/// The number after `:Arch:` in what comes after the name, where it stands first as a rule.
fn arch(rest: &[u8]) -> Option<ClientSystemArchitecture> {
    const ARCH: &[u8] = b":Arch:";
    let digits = rest.strip_prefix(ARCH).or_else(|| {
        let at = rest.windows(ARCH.len()).position(|part| part == ARCH)?;
        rest.get(at + ARCH.len()..)
    })?;
    let len = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let digits = digits.get(..len).filter(|digits| !digits.is_empty())?;
    let number = digits.iter().try_fold(0_u16, |number, digit| {
        number.checked_mul(10)?.checked_add(u16::from(digit - b'0'))
    });
    number.map(ClientSystemArchitecture)
}

/// Option 43 for a BIOS that is to boot the file which the same message names: discovery of boot servers
/// is off (`PXE_DISCOVERY_CONTROL`, bit 3). `asked` is option 43 of its request: the boot item that it
/// chose of a menu (`PXE_BOOT_ITEM`) is told back to it (PXE 2.1 section 2.2.3.1).
pub fn boot_this_file(asked: &[u8]) -> Vec<u8> {
    const DISCOVERY_CONTROL: u8 = 6;
    const BOOT_ITEM: u8 = 71;
    const END: u8 = 255;
    let mut vendor = vec![DISCOVERY_CONTROL, 1, 8];
    let chosen = encapsulated(asked).find(|(code, data)| *code == BOOT_ITEM && data.len() == 4);
    if let Some((_, item)) = chosen {
        vendor.extend_from_slice(&[BOOT_ITEM, 4]);
        vendor.extend_from_slice(item);
    }
    vendor.push(END);
    vendor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bios_boots_what_it_is_named_and_hears_its_choice_again() {
        assert_eq!(boot_this_file(&[]), [6, 1, 8, 255]);
        let asked = [71, 4, 0, 1, 0, 0, 255];
        assert_eq!(boot_this_file(&asked), [6, 1, 8, 71, 4, 0, 1, 0, 0, 255]);
        // Too short to be one.
        assert_eq!(boot_this_file(&[71, 2, 0, 1]), [6, 1, 8, 255]);
    }

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
        assert_eq!(
            read("PXEClient:Arch::UNDI"),
            VendorClass::Pxe { arch: None }
        );
        assert_eq!(
            VendorClass::read(Some(b"PXEClient\xff:Arch:65535\xff")),
            VendorClass::Pxe { arch: arch(65_535) }
        );
        assert_eq!(read("udhcp 1.35.0"), VendorClass::Other);
        assert_eq!(read("d-i:Arch:00007").arch(), None);
        assert_eq!(VendorClass::read(None), VendorClass::Other);
    }
}
