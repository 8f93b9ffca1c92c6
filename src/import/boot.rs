//! Boot files of other servers: which are chainloading, that is, what Bootwright does by itself.

use crate::base::{BootLoader, ClientSystemArchitecture, Firmware};
use crate::config::values;
use crate::import::options::Value;

/// Why an idiom is not carried over.
pub(crate) const CHAINLOADING: &str =
    "chainloading: Bootwright does this itself, for every architecture; nothing to do";

/// Why the address of a TFTP server is not carried over.
pub(crate) const NEXT_SERVER: &str =
    "machines fetch their boot files from Bootwright: put what they need into its boot_assets";

/// What a boot file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A binary of iPXE or gPXE.
    Ipxe,
    /// A script of iPXE, or a URL that gives one.
    Script,
    /// Anything else: another loader, a kernel, a phone's firmware.
    Other,
}

/// What a file is, as its name tells.
pub(crate) fn kind(file: &str) -> Kind {
    let path = file.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    let binary = [
        ".efi", ".kpxe", ".kkpxe", ".pxe", ".0", ".lkrn", ".wim", ".n12", ".com", ".img", ".iso",
        ".bin",
    ];
    if lower.ends_with(".ipxe") || lower.ends_with(".gpxe") {
        Kind::Script
    } else if values::is_url(file) && !binary.iter().any(|ending| lower.ends_with(ending)) {
        Kind::Script
    } else if ["ipxe", "gpxe", "undionly", "snponly"]
        .iter()
        .any(|part| lower.contains(part))
    {
        Kind::Ipxe
    } else {
        Kind::Other
    }
}

/// The file as `loader` of a host or group takes it: below boot_assets, or a whole URL.
pub(crate) fn loader(file: &str) -> Result<String, String> {
    let file = file.trim();
    let path = if values::is_url(file) {
        file.to_owned()
    } else {
        file.replace('\\', "/")
            .trim_start_matches("./")
            .trim_start_matches('/')
            .to_owned()
    };
    values::loader(&path).map_err(|bad| format!("{}: {}", bad.message, bad.label))
}

/// What to do with a loader that was carried over.
pub(crate) fn where_it_belongs(loader: &str) -> String {
    if values::is_url(loader) {
        return format!(
            "carried over as `loader`: {loader} is fetched from there, in place of Bootwright's own loader"
        );
    }
    let text = match BootLoader::of_file(loader) {
        BootLoader::Pxelinux => "; its configuration is rendered from the profile",
        BootLoader::Grub => {
            "; its configuration is rendered from the profile, with Secure Boot write `secure_boot = true` instead"
        }
        BootLoader::Ipxe => ", and leave `loader` out where Bootwright's own chainloading will do",
    };
    format!("carried over as `loader`: put the file at boot_assets/{loader}{text}")
}

/// The firmware that announces itself by this number (option 93).
pub(crate) fn firmware(number: u16) -> Option<Firmware> {
    ClientSystemArchitecture(number).firmware()
}

/// The number in `PXEClient:Arch:00007:UNDI:003016`, or in the beginning of it.
pub(crate) fn arch_of_class(class: &str) -> Option<u16> {
    let (_, rest) = class.split_once("Arch:")?;
    let number = rest.split(':').next()?;
    // Five digits (RFC 4578 section 2.1 and the PXE specification); fewer are the beginning of several numbers.
    (number.len() == 5).then(|| number.parse().ok())?
}

/// Whether an option is one by which a server of PXE announces itself: Bootwright gives its own, and another's would stop
/// machines from booting.
pub(crate) fn is_of_pxe(code: u8, value: &Value) -> bool {
    match (code, value) {
        (60, Value::Text(text)) => text.starts_with("PXEClient") || text.starts_with("HTTPClient"),
        // PXE_DISCOVERY_CONTROL, somewhere in the list.
        (43, Value::Bytes(bytes)) => {
            let mut rest = bytes.as_slice();
            while let [tag, len, tail @ ..] = rest {
                if (*tag, *len) == (6, 1) {
                    return true;
                }
                rest = tail.get(usize::from(*len)..).unwrap_or_default();
            }
            false
        }
        _ => false,
    }
}

/// The firmware that a file is for when nothing else tells.
pub(crate) fn firmware_of_file(file: &str) -> Option<Firmware> {
    let lower = file.to_ascii_lowercase();
    let has = |part: &str| lower.contains(part);
    if has("aa64") || has("arm64") {
        Some(Firmware::UefiArm64)
    } else if has("ia32") || has("efi32") {
        Some(Firmware::UefiIa32)
    } else if lower.ends_with(".efi") {
        Some(Firmware::UefiX64)
    } else if [".0", ".kpxe", ".kkpxe", ".pxe", ".n12", ".com"]
        .iter()
        .any(|ending| lower.ends_with(ending))
    {
        Some(Firmware::Bios)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_scripts() {
        for (file, want) in [
            ("undionly.kpxe", Kind::Ipxe),
            ("/tftpboot/ipxe.efi", Kind::Ipxe),
            ("ipxe/snponly.efi", Kind::Ipxe),
            ("boot.ipxe", Kind::Script),
            ("http://boot.example/ipxe?mac=1", Kind::Script),
            ("http://boot.example/boot.php", Kind::Script),
            ("http://boot.example/shim/bootx64.efi", Kind::Other),
            ("pxelinux.0", Kind::Other),
            ("SEP001122334455.cnf.xml", Kind::Other),
        ] {
            assert_eq!(kind(file), want, "{file}");
        }
        assert_eq!(loader("/pxelinux.0").as_deref(), Ok("pxelinux.0"));
        assert_eq!(
            loader("boot\\x64\\wdsnbp.com").as_deref(),
            Ok("boot/x64/wdsnbp.com")
        );
        assert!(loader("../x").is_err());
        assert_eq!(arch_of_class("PXEClient:Arch:00007:UNDI:003016"), Some(7));
        assert_eq!(arch_of_class("PXEClient"), None);
        assert_eq!(arch_of_class("HTTPClient:Arch:0001"), None);
        assert!(is_of_pxe(60, &Value::Text("PXEClient".to_owned())));
        assert!(is_of_pxe(43, &Value::Bytes(vec![1, 2, 0, 0, 6, 1, 8, 255])));
        assert!(!is_of_pxe(43, &Value::Bytes(vec![1, 9, 6, 1])));
    }
}
