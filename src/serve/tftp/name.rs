//! What a file name asks for, as firmware writes it: with `/`, `//`, `./` or `\` before and between.

use crate::base::HardwareAddr;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The script of this machine: `52-54-00-47-86-8e/boot.ipxe`.
    Script(HardwareAddr),
    /// The script for any machine: `boot.ipxe`; also `autoexec.ipxe` in whatever folder, because an
    /// EFI build of iPXE asks for it beside the file it was started from.
    Chain,
    /// A boot file, by path under `boot_assets`.
    File(String),
}

/// Reads a name. Total: what is no name of anything becomes a path that the boot files refuse.
pub(super) fn wanted(name: &str) -> Wanted {
    let path = name.replace('\\', "/");
    let mut parts = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .rev();
    let last = parts.next();
    let before = parts.next();
    match (before, last) {
        (_, Some("autoexec.ipxe")) | (None, Some("boot.ipxe")) => Wanted::Chain,
        (Some(folder), Some("boot.ipxe")) => match folder.parse() {
            Ok(mac) => Wanted::Script(mac),
            Err(_) => Wanted::File(path),
        },
        _ => Wanted::File(path),
    }
}

/// A name as it is written into the journal: without control characters, cut to a sane length.
pub(super) fn shown(name: &str) -> String {
    name.chars()
        .take(200)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_told_from_files() {
        let mac: HardwareAddr = "52:54:00:47:86:8e".parse().unwrap();
        for name in [
            "52-54-00-47-86-8e/boot.ipxe",
            "/52-54-00-47-86-8E/boot.ipxe",
            "//boot/52-54-00-47-86-8e//./boot.ipxe",
            "\\52-54-00-47-86-8e\\boot.ipxe",
        ] {
            assert_eq!(wanted(name), Wanted::Script(mac), "{name}");
        }
        for name in [
            "boot.ipxe",
            "/boot.ipxe",
            "autoexec.ipxe",
            "ipxe/autoexec.ipxe",
        ] {
            assert_eq!(wanted(name), Wanted::Chain, "{name}");
        }
        for (name, path) in [
            ("ipxe/undionly.kpxe", "ipxe/undionly.kpxe"),
            ("debian\\12\\linux", "debian/12/linux"),
            ("web01/boot.ipxe", "web01/boot.ipxe"),
            ("../boot.ipxe", "../boot.ipxe"),
            ("", ""),
        ] {
            assert_eq!(wanted(name), Wanted::File(path.into()), "{name}");
        }
    }

    #[test]
    fn the_journal_gets_no_control_characters() {
        assert_eq!(shown("a\nb\u{1b}[2J"), "a\u{fffd}b\u{fffd}[2J");
        assert_eq!(shown(&"x".repeat(5_000)).len(), 200);
    }
}
