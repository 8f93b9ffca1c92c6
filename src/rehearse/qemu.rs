//! The virtual machine: what it needs on this machine, and QEMU's arguments as a pure function.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::base::{Architecture, HardwareAddr, Uuid};
use crate::diagnose::steps;

/// The firmware of the virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestFirmware {
    /// SeaBIOS with a PXE ROM.
    Bios,
    /// OVMF's PXE client.
    UefiX64,
    /// AAVMF's PXE client.
    UefiArm64,
    /// OVMF's HTTP Boot client.
    HttpBoot,
    /// AAVMF's HTTP Boot client: what `httpboot` means for a host of that architecture.
    HttpBootArm64,
}

impl GuestFirmware {
    /// Those that are asked for by name, in the order in which messages list them.
    pub const ALL: [Self; 4] = [Self::Bios, Self::UefiX64, Self::UefiArm64, Self::HttpBoot];

    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::UefiX64 => "uefi-x64",
            Self::UefiArm64 => "uefi-arm64",
            Self::HttpBoot | Self::HttpBootArm64 => "httpboot",
        }
    }

    /// For people.
    pub fn describe(self) -> &'static str {
        steps::firmware(self.as_str())
    }

    /// Whether it is UEFI.
    pub const fn is_uefi(self) -> bool {
        !matches!(self, Self::Bios)
    }

    /// What a host of this architecture is rehearsed with when nothing else is asked for; `None`:
    /// there is no virtual firmware for it here.
    pub const fn usual_for(arch: Architecture) -> Option<Self> {
        match arch {
            Architecture::X86_64 | Architecture::I386 => Some(Self::Bios),
            Architecture::Aarch64 => Some(Self::UefiArm64),
            Architecture::Arm => None,
        }
    }

    /// The same on a machine of this architecture.
    #[must_use]
    pub const fn on(self, arch: Architecture) -> Self {
        match (self, arch) {
            (Self::HttpBoot, Architecture::Aarch64) => Self::HttpBootArm64,
            _ => self,
        }
    }

    /// Whether it can boot what this architecture runs.
    pub const fn runs(self, arch: Architecture) -> bool {
        match self {
            Self::Bios => matches!(arch, Architecture::X86_64 | Architecture::I386),
            Self::UefiX64 | Self::HttpBoot => matches!(arch, Architecture::X86_64),
            Self::UefiArm64 | Self::HttpBootArm64 => matches!(arch, Architecture::Aarch64),
        }
    }

    const fn binary(self) -> &'static str {
        match self {
            Self::Bios | Self::UefiX64 | Self::HttpBoot => "qemu-system-x86_64",
            Self::UefiArm64 | Self::HttpBootArm64 => "qemu-system-aarch64",
        }
    }

    const fn package(self) -> &'static str {
        match self {
            Self::Bios | Self::UefiX64 | Self::HttpBoot => "qemu-system-x86",
            Self::UefiArm64 | Self::HttpBootArm64 => "qemu-system-arm",
        }
    }
}

impl std::str::FromStr for GuestFirmware {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|firmware| firmware.as_str() == text)
            .ok_or_else(|| {
                format!(
                    "`{text}` cannot be rehearsed; write one of {}",
                    Self::ALL.map(Self::as_str).join(", ")
                )
            })
    }
}

/// What is missing on this machine, and the command that brings it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not there; install it: apt-get install {package}")]
pub struct Missing {
    /// What.
    pub what: String,
    /// The Debian package that has it.
    pub package: &'static str,
}

/// The programs and firmware images of a rehearsal, as they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// QEMU.
    pub qemu: PathBuf,
    /// `setpriv`, by which QEMU ends with this process whatever becomes of it.
    pub setpriv: PathBuf,
    /// `ip`.
    pub ip: PathBuf,
    /// The firmware.
    pub image: Image,
}

/// The firmware image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// SeaBIOS comes with QEMU; the PXE ROM is iPXE in the guise of a plain PXE client.
    Bios {
        /// `ipxe.lkrn`.
        rom: PathBuf,
    },
    /// UEFI.
    Uefi {
        /// The code, read-only.
        code: PathBuf,
        /// The template of the variables, copied for each rehearsal.
        vars: PathBuf,
    },
}

/// Where distributions keep OVMF: code, variables.
const OVMF: [(&str, &str); 5] = [
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    (
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/OVMF/OVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
    ),
    (
        "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd",
        "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd",
    ),
];

/// Where distributions keep AAVMF.
const AAVMF: [(&str, &str); 2] = [
    (
        "/usr/share/AAVMF/AAVMF_CODE.fd",
        "/usr/share/AAVMF/AAVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw",
        "/usr/share/edk2/aarch64/vars-template-pflash.raw",
    ),
];

/// Where distributions keep OVMF with Secure Boot switched on and Microsoft's keys in it.
const OVMF_SECURE: [(&str, &str); 3] = [
    (
        "/usr/share/OVMF/OVMF_CODE_4M.ms.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
    ),
    (
        "/usr/share/OVMF/OVMF_CODE.ms.fd",
        "/usr/share/OVMF/OVMF_VARS.ms.fd",
    ),
    (
        "/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd",
        "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd",
    ),
];

/// The same of AAVMF.
const AAVMF_SECURE: [(&str, &str); 1] = [(
    "/usr/share/AAVMF/AAVMF_CODE.ms.fd",
    "/usr/share/AAVMF/AAVMF_VARS.ms.fd",
)];

/// Where the PXE ROM of a BIOS machine is looked for, after `boot_assets`.
const LKRN: [&str; 3] = [
    "/boot/ipxe.lkrn",
    "/usr/lib/ipxe/ipxe.lkrn",
    "/usr/share/ipxe/ipxe.lkrn",
];

/// A program in the folders of `path` (the value of `PATH`), or where the system's own are.
pub fn program_in(path: &std::ffi::OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

impl Tools {
    /// Finds what a rehearsal needs; with `secure_boot` firmware that has it switched on. `path` is the value of `PATH`; everything that is missing is told
    /// at once.
    pub fn find(
        firmware: GuestFirmware,
        secure_boot: bool,
        path: &std::ffi::OsStr,
        boot_assets: &Path,
    ) -> Result<Self, Vec<Missing>> {
        let mut missing = Vec::new();
        let mut program = |name: &str, package: &'static str| {
            let found = program_in(path, name);
            if found.is_none() {
                missing.push(Missing {
                    what: name.to_owned(),
                    package,
                });
            }
            found.unwrap_or_default()
        };
        let qemu = program(firmware.binary(), firmware.package());
        let setpriv = program("setpriv", "util-linux");
        let ip = program("ip", "iproute2");
        let pair = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(code, vars)| (PathBuf::from(code), PathBuf::from(vars)))
                .find(|(code, vars)| code.is_file() && vars.is_file())
                .map(|(code, vars)| Image::Uefi { code, vars })
        };
        let (image, what, package) = match firmware {
            GuestFirmware::Bios => (
                std::iter::once(boot_assets.join("ipxe/ipxe.lkrn"))
                    .chain(LKRN.map(PathBuf::from))
                    .find(|path| path.is_file())
                    .map(|rom| Image::Bios { rom }),
                "ipxe.lkrn, the PXE ROM of the virtual BIOS machine,",
                "ipxe",
            ),
            GuestFirmware::UefiX64 | GuestFirmware::HttpBoot if secure_boot => (
                pair(&OVMF_SECURE),
                "OVMF with Secure Boot, the virtual UEFI firmware,",
                "ovmf",
            ),
            GuestFirmware::UefiX64 | GuestFirmware::HttpBoot => {
                (pair(&OVMF), "OVMF, the virtual UEFI firmware,", "ovmf")
            }
            GuestFirmware::UefiArm64 | GuestFirmware::HttpBootArm64 if secure_boot => (
                pair(&AAVMF_SECURE),
                "AAVMF with Secure Boot, the virtual UEFI firmware for ARM,",
                "qemu-efi-aarch64",
            ),
            GuestFirmware::UefiArm64 | GuestFirmware::HttpBootArm64 => (
                pair(&AAVMF),
                "AAVMF, the virtual UEFI firmware for ARM,",
                "qemu-efi-aarch64",
            ),
        };
        match image {
            Some(image) if missing.is_empty() => Ok(Self {
                qemu,
                setpriv,
                ip,
                image,
            }),
            Some(_) => Err(missing),
            None => {
                missing.push(Missing {
                    what: what.to_owned(),
                    package,
                });
                Err(missing)
            }
        }
    }
}

/// The virtual machine's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disk {
    /// A raw image.
    Raw(PathBuf),
    /// A folder shown as a read-only FAT disk.
    Folder(PathBuf),
}

/// One virtual machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Its firmware.
    pub firmware: GuestFirmware,
    /// Whether that runs signed programs only.
    pub secure_boot: bool,
    /// The firmware's image; of UEFI with the copy of the variables that it may write.
    pub image: Image,
    /// The hardware address of its only network card.
    pub mac: HardwareAddr,
    /// The tap interface of that card.
    pub tap: String,
    /// What its firmware gives as UUID, when the host has one.
    pub uuid: Option<Uuid>,
    /// What its firmware gives as serial number, when the host has one.
    pub serial: Option<String>,
    /// Its only disk.
    pub disk: Disk,
    /// Where what it writes to its serial console goes.
    pub console: PathBuf,
    /// The script of the PXE ROM, for a BIOS machine.
    pub rom_script: PathBuf,
    /// Memory in MiB. The Debian installer's initial RAM disk is 40 MB packed: it needs 1 GiB.
    pub memory: u32,
}

/// What the PXE ROM of the virtual BIOS machine does: what every ROM does, in iPXE's language. It calls
/// itself `PXEClient`, not iPXE, so that the server meets a plain ROM. The names are cleared before the
/// loader starts, because undionly.kpxe takes them over with the DHCP answer. A proxy's boot file comes
/// from the proxy, whatever the DHCP server says of a boot server. Without a boot file
/// (`PXE-E53` on a real machine) it gives the next boot device its turn.
pub const ROM_SCRIPT: &str = "#!ipxe
set user-class PXEClient
set net0/user-class PXEClient
dhcp net0 || exit 1
clear user-class
clear net0/user-class
isset ${proxydhcp/filename} || goto own
chain tftp://${proxydhcp/next-server}/${proxydhcp/filename} || goto next
:own
isset ${filename} || goto next
chain tftp://${next-server}/${filename} || goto next
:next
echo No boot file, or it came back: the next boot device
exit 0
";

/// QEMU's arguments. Pure: nothing is looked at.
pub fn arguments(guest: &Guest) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
    let machine = match guest.firmware {
        // SeaBIOS copies its text console to the serial port when there is no graphics.
        GuestFirmware::Bios => "pc,graphics=off",
        // The keys lie where only the firmware's own code, in system management mode, may write.
        GuestFirmware::UefiX64 | GuestFirmware::HttpBoot if guest.secure_boot => "q35,smm=on",
        GuestFirmware::UefiX64 | GuestFirmware::HttpBoot => "q35",
        GuestFirmware::UefiArm64 | GuestFirmware::HttpBootArm64 => "virt",
    };
    add(&["-name", "bootwright-rehearsal", "-machine", machine]);
    // One processor: with two, Debian 12's kernel was once seen to stop for good early in its start under
    // emulation, both of them busy; a boot to its answers takes no longer with one.
    add(&["-accel", "tcg,thread=multi", "-smp", "1"]);
    add(&["-m", &guest.memory.to_string()]);
    add(&["-nodefaults", "-no-user-config", "-no-reboot"]);
    add(&["-display", "none", "-monitor", "none"]);
    match guest.firmware {
        GuestFirmware::Bios | GuestFirmware::UefiX64 | GuestFirmware::HttpBoot => {
            add(&["-device", "VGA"]);
        }
        GuestFirmware::UefiArm64 | GuestFirmware::HttpBootArm64 => add(&["-cpu", "cortex-a57"]),
    }
    if machine.ends_with("smm=on") {
        add(&["-global", "driver=cfi.pflash01,property=secure,value=on"]);
        add(&["-global", "ICH9-LPC.disable_s3=1"]);
    }
    match &guest.image {
        Image::Bios { rom } => {
            add(&["-kernel", &rom.to_string_lossy()]);
            add(&["-initrd", &guest.rom_script.to_string_lossy()]);
        }
        Image::Uefi { code, vars } => {
            let code = escape(code);
            add(&[
                "-drive",
                &format!("if=pflash,format=raw,readonly=on,file={code}"),
            ]);
            let vars = escape(vars);
            add(&["-drive", &format!("if=pflash,format=raw,file={vars}")]);
        }
    }
    let without: &[&str] = match guest.firmware {
        GuestFirmware::Bios => &[],
        // Network boot over IPv6 is not served: its entry would only be waited for.
        GuestFirmware::UefiX64 | GuestFirmware::UefiArm64 => &["IPv6PXESupport"],
        // UEFI lists PXE before HTTP for the same card, and a boot index cannot tell them apart.
        GuestFirmware::HttpBoot | GuestFirmware::HttpBootArm64 => {
            &["IPv4PXESupport", "IPv6PXESupport"]
        }
    };
    for name in without {
        let option = format!("name=opt/org.tianocore/{name},string=no");
        add(&["-fw_cfg", &option]);
    }
    add(&[
        "-netdev",
        &format!("tap,id=net0,ifname={},script=no,downscript=no", guest.tap),
    ]);
    add(&[
        "-device",
        // An empty ROM: else the firmware runs QEMU's own iPXE in place of its PXE client.
        &format!(
            "virtio-net-pci,netdev=net0,mac={},romfile=,bootindex=1",
            guest.mac
        ),
    ]);
    add(&["-device", "virtio-rng-pci"]);
    let drive = match &guest.disk {
        Disk::Raw(path) => format!(
            "if=none,id=disk0,format=raw,cache=unsafe,file={}",
            escape(path)
        ),
        Disk::Folder(folder) => format!(
            "if=none,id=disk0,format=raw,readonly=on,file=fat:{}",
            escape(folder)
        ),
    };
    add(&["-drive", &drive]);
    add(&["-device", "virtio-blk-pci,drive=disk0,bootindex=2"]);
    if let Some(uuid) = &guest.uuid {
        add(&["-uuid", &uuid.to_string()]);
    }
    if let Some(serial) = &guest.serial {
        let serial = serial.replace(',', ",,");
        add(&["-smbios", &format!("type=1,serial={serial}")]);
    }
    add(&[
        "-chardev",
        &format!("file,id=console,path={}", escape(&guest.console)),
    ]);
    add(&["-serial", "chardev:console"]);
    arguments
}

/// A path within a QEMU option: a comma is written twice.
fn escape(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(firmware: GuestFirmware) -> Guest {
        Guest {
            firmware,
            secure_boot: false,
            image: match firmware {
                GuestFirmware::Bios => Image::Bios {
                    rom: "/boot/ipxe.lkrn".into(),
                },
                _ => Image::Uefi {
                    code: "/fw/code.fd".into(),
                    vars: "/tmp/a,b/vars.fd".into(),
                },
            },
            mac: "52:54:00:47:86:8e".parse().unwrap(),
            tap: "bwtap0".into(),
            uuid: Some("e2e00000-0000-4000-8000-000000000001".parse().unwrap()),
            serial: Some("SN 1,2".into()),
            disk: Disk::Raw("/tmp/disk".into()),
            console: "/tmp/console".into(),
            rom_script: "/tmp/rom.ipxe".into(),
            memory: 1_024,
        }
    }

    fn line(guest: &Guest) -> String {
        arguments(guest)
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_bios_machine_has_a_rom_of_its_own() {
        let line = line(&guest(GuestFirmware::Bios));
        assert!(line.contains("-machine pc,graphics=off "), "{line}");
        assert!(line.contains("-kernel /boot/ipxe.lkrn -initrd /tmp/rom.ipxe"));
        assert!(line.contains("mac=52:54:00:47:86:8e,romfile=,bootindex=1"));
        assert!(line.contains("drive=disk0,bootindex=2"));
        assert!(!line.contains("pflash"));
    }

    #[test]
    fn a_uefi_machine_has_flash_and_commas_are_doubled() {
        let line = line(&guest(GuestFirmware::UefiX64));
        assert!(line.contains("readonly=on,file=/fw/code.fd"), "{line}");
        assert!(line.contains("format=raw,file=/tmp/a,,b/vars.fd"));
        assert!(line.contains("type=1,serial=SN 1,,2"));
        assert!(line.contains("-uuid e2e00000-0000-4000-8000-000000000001"));
        assert!(!line.contains("-kernel") && !line.contains("IPv4PXESupport"));
    }

    #[test]
    fn with_secure_boot_only_the_firmware_writes_its_keys() {
        let secure = |firmware| {
            line(&Guest {
                secure_boot: true,
                ..guest(firmware)
            })
        };
        let pc = secure(GuestFirmware::UefiX64);
        assert!(pc.contains("-machine q35,smm=on "), "{pc}");
        assert!(pc.contains("property=secure,value=on"));
        let arm = secure(GuestFirmware::UefiArm64);
        assert!(
            arm.contains("-machine virt ") && !arm.contains("pflash01"),
            "{arm}"
        );
    }

    #[test]
    fn http_boot_takes_pxe_away_and_arm_is_another_machine() {
        assert!(line(&guest(GuestFirmware::HttpBoot)).contains("IPv4PXESupport,string=no"));
        let arm = line(&guest(GuestFirmware::UefiArm64));
        assert!(arm.contains("-machine virt") && arm.contains("-cpu cortex-a57"));
        assert!(!arm.contains("VGA"));
    }

    #[test]
    fn an_installed_uefi_disk_is_a_folder() {
        let guest = Guest {
            disk: Disk::Folder("/tmp/esp".into()),
            ..guest(GuestFirmware::UefiX64)
        };
        assert!(line(&guest).contains("readonly=on,file=fat:/tmp/esp"));
    }

    #[test]
    fn all_that_is_missing_is_told_with_its_package() {
        let nowhere = Path::new("/nonexistent");
        let missing =
            Tools::find(GuestFirmware::UefiArm64, true, nowhere.as_os_str(), nowhere).unwrap_err();
        assert!(missing.iter().any(|missing| missing.to_string()
            == "qemu-system-aarch64 is not there; install it: apt-get install qemu-system-arm"));
    }

    #[test]
    fn firmware_fits_architectures() {
        for arch in Architecture::ALL {
            if let Some(firmware) = GuestFirmware::usual_for(arch) {
                assert!(firmware.runs(arch));
                assert_eq!(firmware.as_str().parse(), Ok(firmware));
            }
        }
        assert!(!GuestFirmware::UefiX64.runs(Architecture::Aarch64));
        assert!(
            "bois"
                .parse::<GuestFirmware>()
                .unwrap_err()
                .contains("bios")
        );
    }
}
