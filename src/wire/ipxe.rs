//! How iPXE names itself: its user class (option 77) and its features (option 175, iPXE's
//! `DHCP_EB_ENCAP`; numbers of its `features.h`).

use std::collections::BTreeSet;

use super::dhcp::options::encapsulated;

/// The option in which iPXE and its relatives tell their features.
pub const OPTION: u8 = 175;

/// What an iPXE was built with, as far as decisions need it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Features(BTreeSet<u8>);

impl Features {
    const HTTP: u8 = 19;
    const BZIMAGE: u8 = 24;
    const EFI: u8 = 36;

    /// Reads option 175. A flag that is there with the value 0 is off.
    pub fn read(raw: &[u8]) -> Self {
        Self(
            encapsulated(raw)
                .filter(|(_, value)| value.iter().any(|byte| *byte != 0))
                .map(|(code, _)| code)
                .collect(),
        )
    }

    /// Whether this sub-option is set.
    pub fn has(&self, code: u8) -> bool {
        self.0.contains(&code)
    }

    /// Fetches by HTTP.
    pub fn http(&self) -> bool {
        self.has(Self::HTTP)
    }

    /// Boots a Linux kernel: as a bzImage, or as an EFI program (EFI builds tell no bzImage).
    pub fn linux(&self) -> bool {
        self.has(Self::BZIMAGE) || self.efi()
    }

    /// Built for EFI.
    pub fn efi(&self) -> bool {
        self.has(Self::EFI)
    }
}

/// Whether a user class (option 77) names iPXE: bare, as iPXE itself sends it, or as one of the
/// classes of a list (RFC 3004 section 4).
pub fn is_user_class(raw: &[u8]) -> bool {
    const NAME: &[u8] = b"iPXE";
    let bare = raw
        .iter()
        .rposition(|byte| *byte != 0)
        .and_then(|last| raw.get(..=last));
    bare == Some(NAME) || classes(raw).any(|class| class == NAME)
}

fn classes(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        let (&len, tail) = rest.split_first()?;
        let (class, tail) = tail.split_at_checked(usize::from(len))?;
        rest = tail;
        Some(class)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_class_in_both_spellings() {
        for raw in [
            b"iPXE".as_slice(),
            b"iPXE\0",
            b"\x04iPXE",
            b"\x03foo\x04iPXE",
            b"\x04iPXE\x03foo",
        ] {
            assert!(is_user_class(raw), "{raw:?}");
        }
        for raw in [
            b"".as_slice(),
            b"\0",
            b"PXEClient",
            b"ipxe",
            b"iPXE-like",
            b"\x05iPXE",
            b"\x04iPX",
        ] {
            assert!(!is_user_class(raw), "{raw:?}");
        }
    }

    #[test]
    fn features_of_a_bios_and_of_an_efi_build() {
        let bios = Features::read(&[
            177, 5, 1, 0x1a, 0xf4, 0x10, 0, 235, 3, 1, 0, 0, 19, 1, 1, 24, 1, 1,
        ]);
        assert!(bios.http() && bios.linux());
        let efi = Features::read(&[19, 1, 1, 36, 1, 1, 255, 24, 1, 1]);
        assert!(efi.http() && efi.linux() && !efi.has(24));
        let bare = Features::read(&[33, 1, 1, 19, 1, 0]);
        assert!(!bare.http() && !bare.linux() && bare.has(33));
        assert_eq!(Features::read(&[19, 9, 1]), Features::default());
    }
}
