//! What a file name means over TFTP.

use super::configs::ConfigName;
use crate::base::HardwareAddr;
use crate::wire::names::{self, BadName};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileRequest {
    /// A boot file, by its clean path under `boot_assets`.
    Asset(String),
    /// The boot script of the machine with this hardware address: `{mac}/boot.ipxe`.
    Script(HardwareAddr),
    /// The script that any iPXE may have: `boot.ipxe`, `boot/boot.ipxe` as by HTTP, and
    /// `autoexec.ipxe` in any folder: an EFI build of iPXE looks for it beside the file it was itself
    /// loaded from.
    ChainScript,
    /// A configuration of GRUB's or PXELINUX's, and its clean path: where the machine that asks has none, a
    /// boot file of that name is meant.
    Config(ConfigName, String),
}

/// Reads a file name. Rendered names win over a boot file of the same name.
pub fn file_request(raw: &[u8]) -> Result<FileRequest, BadName> {
    let path = names::clean_path(raw)?;
    // Firmware that takes a URL for a name: it is told that there is no such file. The script in its
    // place would count as a boot of the installer.
    if raw.windows(3).any(|part| part == b"://") {
        return Ok(FileRequest::Asset(path));
    }
    let mut parts = path.rsplit('/');
    let file = parts.next().unwrap_or_default();
    let folder = parts.next().map(str::parse);
    Ok(match (file, folder) {
        ("autoexec.ipxe", _) | ("boot.ipxe", None) => FileRequest::ChainScript,
        ("boot.ipxe", Some(Ok(mac))) => FileRequest::Script(mac),
        _ if path == "boot/boot.ipxe" => FileRequest::ChainScript,
        _ => match ConfigName::read(&path) {
            Some(name) => FileRequest::Config(name, path),
            None => FileRequest::Asset(path),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_they_mean() {
        let mac = "52:54:00:47:86:8e".parse().unwrap();
        for (name, expected) in [
            ("52-54-00-47-86-8e/boot.ipxe", FileRequest::Script(mac)),
            ("//52-54-00-47-86-8E//boot.ipxe", FileRequest::Script(mac)),
            ("ipxe/52-54-00-47-86-8e/boot.ipxe", FileRequest::Script(mac)),
            ("boot.ipxe", FileRequest::ChainScript),
            ("/boot/boot.ipxe", FileRequest::ChainScript),
            (
                "/ipxe/boot.ipxe",
                FileRequest::Asset("ipxe/boot.ipxe".to_owned()),
            ),
            (
                "debian\\12\\.\\linux",
                FileRequest::Asset("debian/12/linux".to_owned()),
            ),
            ("\\52-54-00-47-86-8e\\boot.ipxe", FileRequest::Script(mac)),
            ("autoexec.ipxe", FileRequest::ChainScript),
            (
                "http://10.0.0.2/boot/52-54-00-47-86-8e/boot.ipxe",
                FileRequest::Asset("http:/10.0.0.2/boot/52-54-00-47-86-8e/boot.ipxe".to_owned()),
            ),
            ("ipxe/x/autoexec.ipxe", FileRequest::ChainScript),
            (
                "\\ipxe\\snponly.efi",
                FileRequest::Asset("ipxe/snponly.efi".to_owned()),
            ),
        ] {
            assert_eq!(file_request(name.as_bytes()), Ok(expected), "{name}");
        }
        assert_eq!(file_request(b"../../boot.ipxe"), Err(BadName::Parent));
    }
}
