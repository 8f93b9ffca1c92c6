//! What runs below a boot packet: option 93 where it can be trusted, other evidence where it cannot.
//!
//! Firmware tells its architecture in two places, a list of numbers (option 93, RFC 4578 section 2.1)
//! and a text (`Arch:` in option 60), and both are known to be wrong: boards that are made from PC
//! firmware keep its text, a Raspberry Pi calls itself a PC with a BIOS. A wrong loader hangs a
//! machine without a word, so what does not agree is decided by what else the packet holds, and told.
//!
//! **Invariant:** from one packet alone; what agrees is never doubted.

use crate::base::{ClientSystemArchitecture, Firmware};
use crate::wire::dhcp::Request;
use crate::wire::pxe::VendorClass;

/// What a packet tells of the firmware.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// The firmware; `None` when no number is known.
    pub firmware: Option<Firmware>,
    /// The number that decided, else the first one.
    pub code: Option<ClientSystemArchitecture>,
    /// What did not agree, and what it was taken for.
    pub doubt: Option<String>,
}

/// The first three bytes of the hardware addresses of Raspberry Pi boards (IEEE registry).
const RASPBERRY_PI: [[u8; 3]; 7] = [
    [0x28, 0xcd, 0xc1],
    [0x2c, 0xcf, 0x67],
    [0x88, 0xa2, 0x9e],
    [0xb8, 0x27, 0xeb],
    [0xd8, 0x3a, 0xdd],
    [0xdc, 0xa6, 0x32],
    [0xe4, 0x5f, 0x01],
];

/// How a Raspberry Pi of the fourth and later generations begins its machine identifier (option 97,
/// after the type): `RPi4`, `RPi5`.
const RASPBERRY_PI_UUID: &[u8] = b"\0RPi";

/// Reads what a packet tells.
pub fn told(request: &Request) -> Told {
    let class = VendorClass::read(request.vendor_class());
    let told = by_numbers(request, class);
    let is_bios = told.firmware == Some(Firmware::Bios);
    match raspberry_pi(request) {
        Some(evidence) if is_bios => Told {
            firmware: Some(Firmware::UefiArm64),
            doubt: Some(format!(
                "it says that it is a PC with a BIOS, but {evidence}: taken for {}",
                Firmware::UefiArm64
            )),
            ..told
        },
        _ => told,
    }
}

fn by_numbers(request: &Request, class: VendorClass) -> Told {
    let numbers = request.architectures();
    let known = |code: ClientSystemArchitecture| Some((code.firmware()?, code));
    let mut in_93 = numbers.clone().filter_map(known);
    let in_60 = class.arch().and_then(known);
    let of = |(firmware, code)| Told {
        firmware: Some(firmware),
        code: Some(code),
        doubt: None,
    };
    match (in_93.clone().next(), in_60) {
        (Some(first), None) => of(first),
        (Some(first), Some(text)) => {
            // Of a list the one that the text confirms.
            if let Some(agreed) = in_93.find(|(firmware, _)| *firmware == text.0) {
                return of(agreed);
            }
            let (chosen, why) = match (is_uefi(request), first.0.is_uefi(), text.0.is_uefi()) {
                (Some((uefi, why)), listed, texted) if listed != texted => {
                    (if uefi == listed { first } else { text }, why)
                }
                _ => (first, "option 93 has more weight"),
            };
            Told {
                doubt: Some(format!(
                    "option 93 says {} ({}), option 60 says {} ({}): taken for {}, because {why}",
                    first.1.0, first.0, text.1.0, text.0, chosen.0
                )),
                ..of(chosen)
            }
        }
        (None, Some(text)) => Told {
            doubt: numbers.clone().next().map(|code| {
                format!(
                    "option 93 says {}, which is not known; taken for {} by the {} in option 60",
                    code.0, text.0, text.1.0
                )
            }),
            ..of(text)
        },
        (None, None) => {
            let code = numbers.clone().next().or_else(|| class.arch());
            let is_silent_rom = code.is_none() && matches!(class, VendorClass::Pxe { .. });
            let uefi = is_uefi(request).filter(|(uefi, _)| *uefi);
            match (is_silent_rom, uefi) {
                (false, _) => Told {
                    code,
                    ..Told::default()
                },
                // Of the UEFI architectures the one that firmware has which knows no option 93.
                (true, Some((_, why))) => Told {
                    firmware: Some(Firmware::UefiX64),
                    code,
                    doubt: Some(format!(
                        "it tells no architecture: taken for {}, because {why}",
                        Firmware::UefiX64
                    )),
                },
                (true, None) => Told {
                    firmware: Some(Firmware::Bios),
                    code,
                    doubt: None,
                },
            }
        }
    }
}

/// Whether UEFI is below it, as far as something else than the two numbers says so; and what. The
/// version of UNDI in option 60 stands in the text that is doubted, and has no weight.
fn is_uefi(request: &Request) -> Option<(bool, &'static str)> {
    /// The first version of UNDI that UEFI defines; PC ROMs have 2.x.
    const UNDI_OF_UEFI: u8 = 3;
    if request
        .ipxe_features()
        .is_some_and(|features| features.efi())
    {
        return Some((true, "its iPXE is one for EFI (option 175)"));
    }
    match request.network_interface()? {
        (1, UNDI_OF_UEFI.., _) => Some((true, "its UNDI is that of UEFI (option 94)")),
        (1, 2, _) => Some((false, "its UNDI is that of a PC ROM (option 94)")),
        _ => None,
    }
}

fn raspberry_pi(request: &Request) -> Option<&'static str> {
    let vendor = request
        .mac
        .octets()
        .and_then(|octets| octets.first_chunk::<3>().copied());
    if vendor.is_some_and(|vendor| RASPBERRY_PI.contains(&vendor)) {
        return Some("its hardware address is a Raspberry Pi's");
    }
    request
        .machine_identifier()
        .is_some_and(|raw| raw.starts_with(RASPBERRY_PI_UUID))
        .then_some("its identifier (option 97) is a Raspberry Pi's")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mac: [u8; 3], options: &[(u8, &[u8])]) -> Told {
        let mut bytes = vec![0; 240];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[28..31].copy_from_slice(&mac);
        bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
        for (code, data) in options {
            bytes.extend_from_slice(&[*code, u8::try_from(data.len()).unwrap()]);
            bytes.extend_from_slice(data);
        }
        told(&Request::parse(&bytes).unwrap())
    }

    fn pc(options: &[(u8, &[u8])]) -> (Option<Firmware>, Option<u16>, String) {
        let told = of([0x52, 0x54, 0], options);
        let code = told.code.map(|code| code.0);
        (told.firmware, code, told.doubt.unwrap_or_default())
    }

    const BIOS: Option<Firmware> = Some(Firmware::Bios);
    const X64: Option<Firmware> = Some(Firmware::UefiX64);
    const ARM64: Option<Firmware> = Some(Firmware::UefiArm64);
    const CLASS_0: (u8, &[u8]) = (60, b"PXEClient:Arch:00000:UNDI:002001");
    const CLASS_7: (u8, &[u8]) = (60, b"PXEClient:Arch:00007:UNDI:003010");
    const CLASS_11: (u8, &[u8]) = (60, b"PXEClient:Arch:00011:UNDI:003000");

    #[test]
    fn what_agrees_is_not_doubted() {
        let sure = |firmware, code| (firmware, Some(code), String::new());
        assert_eq!(pc(&[CLASS_0, (93, &[0, 0])]), sure(BIOS, 0));
        // x64 has two numbers, and HTTP Boot further ones.
        assert_eq!(pc(&[CLASS_7, (93, &[0, 9])]), sure(X64, 9));
        assert_eq!(
            pc(&[(60, b"HTTPClient:Arch:00016"), (93, &[0, 7])]),
            sure(X64, 7)
        );
        assert_eq!(pc(&[(60, b"PXEClient"), (93, &[0, 11])]), sure(ARM64, 11));
        assert_eq!(pc(&[CLASS_7]), sure(X64, 7));
        // A PC ROM that says 0 and has another UNDI: nothing contradicts.
        assert_eq!(pc(&[(93, &[0, 0]), (94, &[1, 3, 16])]), sure(BIOS, 0));
    }

    #[test]
    fn a_list_is_read_with_the_text() {
        let list = (93, &[0, 33, 0, 7, 0, 11][..]);
        assert_eq!(pc(&[(60, b"PXEClient"), list]).1, Some(7));
        assert_eq!(pc(&[CLASS_11, list]), (ARM64, Some(11), String::new()));
        assert_eq!(pc(&[CLASS_7, list]), (X64, Some(7), String::new()));
        // Half a number at the end is none.
        assert_eq!(pc(&[CLASS_7, (93, &[0, 7, 0])]).0, X64);
    }

    #[test]
    fn bios_against_uefi_is_decided_by_the_undi() {
        let (firmware, code, doubt) = pc(&[CLASS_7, (93, &[0, 0]), (94, &[1, 3, 16])]);
        assert_eq!((firmware, code), (X64, Some(7)));
        assert_eq!(
            doubt,
            "option 93 says 0 (bios), option 60 says 7 (uefi-x64): taken for uefi-x64, because its UNDI is that of UEFI (option 94)"
        );
        let (firmware, _, doubt) = pc(&[CLASS_7, (93, &[0, 0]), (94, &[1, 2, 1])]);
        assert_eq!(firmware, BIOS);
        assert!(doubt.ends_with("a PC ROM (option 94)"), "{doubt}");
        // Without further evidence the number.
        assert_eq!(pc(&[CLASS_7, (93, &[0, 0])]).0, BIOS);
        assert_eq!(pc(&[CLASS_0, (93, &[0, 7])]).0, X64);
        // An iPXE knows what it was built for.
        let efi = (175, &[36, 1, 1][..]);
        assert_eq!(pc(&[CLASS_7, (93, &[0, 0]), efi]).0, X64);
    }

    #[test]
    fn two_of_uefi_are_decided_by_the_number() {
        let (firmware, code, doubt) = pc(&[CLASS_7, (93, &[0, 11])]);
        assert_eq!((firmware, code), (ARM64, Some(11)));
        assert!(doubt.ends_with("option 93 has more weight"), "{doubt}");
    }

    #[test]
    fn a_number_that_is_not_known() {
        let (firmware, code, doubt) = pc(&[CLASS_11, (93, &[0, 33])]);
        assert_eq!((firmware, code), (ARM64, Some(11)));
        assert!(doubt.contains("33"), "{doubt}");
        assert_eq!(
            pc(&[(60, b"PXEClient:Arch:00033"), (93, &[0, 41])]),
            (None, Some(41), String::new())
        );
        assert_eq!(pc(&[(60, b"d-i")]), (None, None, String::new()));
    }

    #[test]
    fn a_rom_that_tells_no_number() {
        assert_eq!(pc(&[(60, b"PXEClient")]), (BIOS, None, String::new()));
        assert_eq!(pc(&[(60, b"PXEClient"), (93, &[7])]).0, BIOS);
        let (firmware, _, doubt) = pc(&[(60, b"PXEClient"), (94, &[1, 3, 0])]);
        assert_eq!(firmware, X64);
        assert!(doubt.starts_with("it tells no architecture"), "{doubt}");
    }

    #[test]
    fn a_raspberry_pi_is_no_pc() {
        let zero = [CLASS_0, (93, &[0, 0][..]), (94, &[1, 2, 1])];
        for vendor in RASPBERRY_PI {
            let pi = of(vendor, &zero);
            assert_eq!(pi.firmware, ARM64);
            assert_eq!(pi.code, Some(ClientSystemArchitecture(0)));
            assert!(pi.doubt.unwrap().contains("Raspberry Pi"));
        }
        let mut by_uuid = zero.to_vec();
        let uuid = [b"\0RPi4\x11\x31\xc0\0".as_slice(), &[7; 8]].concat();
        by_uuid.push((97, &uuid));
        assert_eq!(pc(&by_uuid).0, ARM64);
        // With UEFI of its own it says 11, and is believed.
        let uefi = of(RASPBERRY_PI[0], &[CLASS_11, (93, &[0, 11])]);
        assert_eq!((uefi.firmware, uefi.doubt), (ARM64, None));
    }
}
