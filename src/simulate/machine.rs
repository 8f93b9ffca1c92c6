//! The machines that are simulated: what their firmware, loaders and systems send, byte for byte.
//!
//! The options, their order and the broadcast flag are those of captures: SeaBIOS' and Intel's PXE 2.1 ROMs, OVMF
//! (EDK2), iPXE 1.0.0+git-20190125 as ROM, `undionly.kpxe` and `snponly.efi`, udhcpc 1.35 as the Debian installer has it.
//!
//! **Invariant:** the same machine sends the same bytes; there is no clock and no randomness.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::base::{Architecture, ClientSystemArchitecture, Firmware, HardwareAddr, Uuid};
use crate::wire::dhcp::{HEADER, MessageType};
use crate::wire::pxe;

/// What boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// PXE firmware.
    Pxe(Firmware),
    /// UEFI HTTP Boot, of the host's architecture.
    HttpBoot,
    /// iPXE in the ROM of the network card or of a hypervisor.
    Ipxe,
    /// GRUB that was started from elsewhere and asks for its configuration.
    Grub,
    /// An installed system, or an installer: it wants its address.
    Os,
}

impl Machine {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 9] = [
        Self::Pxe(Firmware::Bios),
        Self::Pxe(Firmware::UefiX64),
        Self::Pxe(Firmware::UefiIa32),
        Self::Pxe(Firmware::UefiArm32),
        Self::Pxe(Firmware::UefiArm64),
        Self::HttpBoot,
        Self::Ipxe,
        Self::Grub,
        Self::Os,
    ];

    /// As it is written after `--firmware`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pxe(firmware) => firmware.as_str(),
            Self::HttpBoot => "httpboot",
            Self::Ipxe => "ipxe",
            Self::Grub => "grub",
            Self::Os => "os",
        }
    }

    /// The firmware of this machine, where its architecture is `arch` (of the host, when it names one).
    pub fn firmware(self, arch: Option<Architecture>) -> Firmware {
        match (self, arch) {
            (Self::Pxe(firmware), _) => firmware,
            // There is no HTTP Boot on a BIOS.
            (Self::HttpBoot, None | Some(Architecture::X86_64)) => Firmware::UefiX64,
            (Self::HttpBoot, Some(Architecture::I386)) => Firmware::UefiIa32,
            (_, Some(arch)) => Firmware::usual_for(arch),
            (_, None) => Firmware::Bios,
        }
    }

    /// The client that speaks first.
    pub(super) fn first(self, arch: Option<Architecture>) -> Client {
        let firmware = self.firmware(arch);
        match self {
            Self::Pxe(firmware) => Client::Pxe(firmware),
            Self::HttpBoot => Client::HttpBoot(firmware),
            Self::Ipxe => Client::Ipxe(firmware),
            Self::Grub => Client::Grub,
            Self::Os => Client::Os,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Machine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|machine| machine.as_str() == text)
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::as_str).join(", ");
                format!("`{text}` is no firmware that can be simulated; there are {names}")
            })
    }
}

/// What in a machine asks for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// Its firmware, by PXE.
    Pxe(Firmware),
    /// Its firmware, by HTTP Boot.
    HttpBoot(Firmware),
    /// iPXE on that firmware.
    Ipxe(Firmware),
    /// GRUB, which was loaded from elsewhere.
    Grub,
    /// The installer or the system.
    Os,
}

/// A message that is to be sent.
pub(super) struct Message {
    pub(super) kind: MessageType,
    pub(super) mac: [u8; 6],
    pub(super) uuid: Uuid,
    /// The relay that passes it on.
    pub(super) giaddr: Ipv4Addr,
    /// The address that the client has.
    pub(super) ciaddr: Ipv4Addr,
    /// Options 54 and 50.
    pub(super) chosen: Option<(Ipv4Addr, Ipv4Addr)>,
}

/// The transaction of every simulated message.
const XID: [u8; 4] = [0, 0, 0, 1];
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Where options end and padding up to the smallest datagram begins.
const SMALLEST: usize = 300;
const END: u8 = 255;
/// The largest datagram of PXE firmware and iPXE: 1,472 bytes.
const MAX_SIZE: [u8; 2] = 1_472_u16.to_be_bytes();

/// What EDK2 asks for (option 55); HTTP Boot has 235 in the place of 66, and nothing above 97.
const EDK2: [u8; 27] = [
    1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66,
    67, 97,
];
/// What PXE 2.1 has for its own use.
const OF_PXE: [u8; 8] = [128, 129, 130, 131, 132, 133, 134, 135];
/// What iPXE asks for.
const OF_IPXE: [u8; 23] = [
    1, 3, 6, 7, 12, 15, 17, 26, 43, 60, 66, 67, 119, 128, 129, 130, 131, 132, 133, 134, 135, 175,
    203,
];
/// What the Debian installer asks for, and most systems.
const OF_SYSTEMS: [u8; 9] = [1, 3, 6, 12, 15, 26, 28, 42, 119];

/// Option 175 of an iPXE for BIOS: HTTP, bzImage, multiboot, PXE, menus, …
const BIOS_FEATURES: [u8; 48] = [
    0xb1, 5, 1, 0x1a, 0xf4, 0x10, 0x00, 0xeb, 3, 1, 0, 0, 0x17, 1, 1, 0x22, 1, 1, 0x13, 1, 1, 0x11,
    1, 1, 0x27, 1, 1, 0x19, 1, 1, 0x29, 1, 1, 0x10, 1, 2, 0x21, 1, 1, 0x15, 1, 1, 0x18, 1, 1, 0x12,
    1, 1,
];
/// Option 175 of an iPXE for UEFI: HTTP, EFI, menus, …
const EFI_FEATURES: [u8; 39] = [
    0xb1, 5, 1, 0x1a, 0xf4, 0x10, 0x00, 0xeb, 3, 1, 0, 0, 0x17, 1, 1, 0x24, 1, 1, 0x13, 1, 1, 0x11,
    1, 1, 0x27, 1, 1, 0x29, 1, 1, 0x15, 1, 1, 0x1b, 1, 1, 0x12, 1, 1,
];

impl Client {
    /// The word for the stage.
    pub(super) const fn stage(self) -> &'static str {
        match self {
            Self::Pxe(firmware) => firmware.as_str(),
            Self::HttpBoot(_) => "httpboot",
            Self::Ipxe(_) => "ipxe",
            Self::Grub => "grub",
            Self::Os => "os",
        }
    }

    /// The number of option 93.
    fn code(self) -> Option<u16> {
        match self {
            Self::Pxe(firmware) | Self::Ipxe(firmware) => Some(pxe_code(firmware)),
            Self::HttpBoot(firmware) => Some(http_code(firmware)),
            Self::Grub | Self::Os => None,
        }
    }

    /// Whether it asks for the reply by broadcast: PXE ROMs and EDK2 do.
    fn broadcast(self) -> bool {
        matches!(self, Self::Pxe(_) | Self::HttpBoot(_))
    }

    /// The datagram's payload.
    pub(super) fn message(self, message: &Message) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        let relayed = u8::from(!message.giaddr.is_unspecified());
        put(&mut bytes, 0, &[1, 1, 6, relayed]);
        put(&mut bytes, 4, &XID);
        put(&mut bytes, 10, &[u8::from(self.broadcast()) << 7]);
        put(&mut bytes, 12, &message.ciaddr.octets());
        put(&mut bytes, 24, &message.giaddr.octets());
        put(&mut bytes, 28, &message.mac);
        put(&mut bytes, 236, &COOKIE);
        let mut option = |code: u8, data: &[u8]| {
            bytes.push(code);
            // Those below have fewer than 256 bytes each.
            bytes.push(u8::try_from(data.len()).unwrap_or_default());
            bytes.extend_from_slice(data);
        };
        option(53, &[u8::from(message.kind)]);
        if let Some((server, address)) = message.chosen {
            option(54, &server.octets());
            option(50, &address.octets());
        }
        let mut identifier = vec![0];
        identifier.extend_from_slice(&message.uuid.to_smbios());
        let identified = [&[1], message.mac.as_slice()].concat();
        match self {
            Self::Pxe(firmware) | Self::HttpBoot(firmware) => {
                let is_http = matches!(self, Self::HttpBoot(_));
                let code = self.code().unwrap_or_default();
                option(57, &MAX_SIZE);
                if is_http {
                    option(55, &EDK2.map(|code| if code == 66 { 235 } else { code }));
                } else {
                    option(55, &[EDK2.as_slice(), &OF_PXE].concat());
                }
                option(97, &identifier);
                option(
                    94,
                    if firmware.is_uefi() {
                        &[1, 3, 0]
                    } else {
                        &[1, 2, 1]
                    },
                );
                option(93, &code.to_be_bytes());
                let class = if is_http {
                    pxe::HTTP_CLIENT
                } else {
                    pxe::PXE_CLIENT
                };
                option(60, class_of(class, code, firmware).as_bytes());
            }
            Self::Ipxe(firmware) => {
                let code = self.code().unwrap_or_default();
                option(57, &MAX_SIZE);
                option(93, &code.to_be_bytes());
                option(
                    94,
                    if firmware.is_uefi() {
                        &[1, 3, 16]
                    } else {
                        &[1, 2, 1]
                    },
                );
                option(60, class_of(pxe::PXE_CLIENT, code, firmware).as_bytes());
                option(77, b"iPXE");
                option(55, &OF_IPXE);
                option(
                    175,
                    if firmware.is_uefi() {
                        &EFI_FEATURES
                    } else {
                        &BIOS_FEATURES
                    },
                );
                option(61, &identified);
                option(97, &identifier);
            }
            Self::Grub => option(55, &[1, 3, 6, 12, 15, 66, 67]),
            Self::Os => {
                option(57, &576_u16.to_be_bytes());
                option(55, &OF_SYSTEMS);
                option(61, &identified);
            }
        }
        bytes.push(END);
        if bytes.len() < SMALLEST {
            bytes.resize(SMALLEST, 0);
        }
        bytes
    }
}

/// Bytes into a header, which is long enough.
fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + what.len()) {
        place.copy_from_slice(what);
    }
}

/// Option 60 as firmware writes it: the network interface is version 2.1 for a BIOS, 3.0 for UEFI.
fn class_of(class: &str, code: u16, firmware: Firmware) -> String {
    let undi = if firmware.is_uefi() {
        "003000"
    } else {
        "002001"
    };
    format!("{class}:Arch:{code:05}:UNDI:{undi}")
}

/// The number by which PXE firmware tells its architecture; of the two for x64 the one that firmware sends.
const fn pxe_code(firmware: Firmware) -> u16 {
    match firmware {
        Firmware::Bios => 0,
        Firmware::UefiIa32 => 6,
        Firmware::UefiX64 => 7,
        Firmware::UefiArm32 => 10,
        Firmware::UefiArm64 => 11,
    }
}

/// The same of HTTP Boot.
const fn http_code(firmware: Firmware) -> u16 {
    match firmware {
        Firmware::UefiIa32 => 15,
        Firmware::Bios | Firmware::UefiX64 => 16,
        Firmware::UefiArm32 => 18,
        Firmware::UefiArm64 => 19,
    }
}

/// What a number of option 93 stands for, in words.
pub(super) fn told_by(code: u16) -> String {
    let code = ClientSystemArchitecture(code);
    match code.firmware() {
        Some(firmware) if code.is_http() => format!("{firmware}, by HTTP Boot"),
        Some(firmware) => firmware.to_string(),
        None => "not known here".to_owned(),
    }
}

/// The UUID of a machine whose reservation names none: made of its hardware address, as the firmware of small
/// boards makes it.
pub(super) fn uuid_of(mac: [u8; 6]) -> Uuid {
    let mut uuid = [0; 16];
    put(&mut uuid, 10, &mac);
    Uuid::from_smbios(uuid)
}

/// The octets of an Ethernet address; other links are not simulated.
pub(super) fn octets(mac: HardwareAddr) -> Option<[u8; 6]> {
    mac.octets()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Stage;
    use crate::wire::dhcp::Request;

    fn sent(client: Client) -> Request {
        let mac = [0x52, 0x54, 0, 0x47, 0x86, 0x8e];
        let bytes = client.message(&Message {
            kind: MessageType::Discover,
            mac,
            uuid: uuid_of(mac),
            giaddr: Ipv4Addr::UNSPECIFIED,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            chosen: None,
        });
        Request::parse(&bytes).unwrap()
    }

    #[test]
    fn each_is_taken_for_what_it_is() {
        for firmware in Firmware::ALL {
            let stage = Stage::of(&sent(Client::Pxe(firmware)));
            assert_eq!(stage.as_str(), firmware.as_str());
            let stage = Stage::of(&sent(Client::Ipxe(firmware)));
            assert!(
                matches!(
                    stage,
                    Stage::Ipxe {
                        http: true,
                        linux: true,
                        ..
                    }
                ),
                "{stage:?}"
            );
            assert_eq!(stage.firmware(), Some(firmware));
            if firmware.is_uefi() {
                let stage = Stage::of(&sent(Client::HttpBoot(firmware)));
                assert_eq!(
                    (stage.as_str(), stage.firmware()),
                    ("httpboot", Some(firmware))
                );
            }
        }
        assert_eq!(Stage::of(&sent(Client::Grub)), Stage::Os);
        assert_eq!(Stage::of(&sent(Client::Os)), Stage::Os);
    }

    #[test]
    fn names_read_back() {
        for machine in Machine::ALL {
            assert_eq!(machine.as_str().parse(), Ok(machine));
        }
        let error = "uefi".parse::<Machine>().unwrap_err();
        assert!(error.contains("uefi-x64, "), "{error}");
    }

    #[test]
    fn the_uuid_comes_through() {
        let uuid: Uuid = "e2e00000-0000-0000-0000-000000000001".parse().unwrap();
        assert_eq!(Uuid::from_smbios(uuid.to_smbios()), uuid);
        let request = sent(Client::Pxe(Firmware::UefiX64));
        assert_eq!(
            request.uuid(),
            Some(uuid_of([0x52, 0x54, 0, 0x47, 0x86, 0x8e]))
        );
    }
}
