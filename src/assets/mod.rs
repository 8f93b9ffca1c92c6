//! L5, boot files: which ones there are to be had, and how they come into `boot_assets`.
//!
//! A [`Collection`] is what `bootwright assets fetch NAME` brings: a few files of one Debian package.
//! The package's installed files are used where they are; otherwise the package is downloaded and
//! unpacked into a folder of its own, which needs no root and installs nothing ([`origin`]).
//!
//! **Invariant:** a file under `boot_assets` is whole or not there: it is written beside its place and
//! renamed ([`place`]). No file gets another file's name: each must look like what it is to be.

pub mod origin;
pub mod place;

use std::path::PathBuf;

/// What `assets fetch` brings in one go.
#[derive(Debug)]
pub struct Collection {
    /// The name on the command line.
    pub name: &'static str,
    /// One line for people.
    pub title: &'static str,
    /// The Debian package that has the files.
    pub package: &'static str,
    /// The files.
    pub files: &'static [BootFile],
}

/// One boot file of a collection.
#[derive(Debug)]
pub struct BootFile {
    /// Where it belongs, under `boot_assets`.
    pub path: &'static str,
    /// Where its package has it, without the leading slash.
    pub in_package: &'static str,
    /// Other places within a folder of the operator's, beside `path`, `in_package` and the bare name.
    pub elsewhere: &'static [&'static str],
    /// What it looks like.
    pub looks: Looks,
    /// Whether the collection is of use without it.
    pub optional: bool,
}

/// How the bytes of a boot file begin: enough to see that a file is not something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looks {
    /// A PXE network boot program: 16-bit code, no known beginning; anything but the other kinds.
    Pxe,
    /// A program for UEFI: `MZ`.
    Efi,
    /// A Linux kernel image: `HdrS` at 0x202 (Documentation/arch/x86/boot.rst).
    LinuxKernel,
    /// A compressed cpio archive: gzip, xz, zstd or lz4.
    Initrd,
}

impl Looks {
    /// Whether a file may be of this kind, by its first bytes (0x206 at least, unless it is shorter).
    pub fn fits(self, head: &[u8]) -> bool {
        let efi = head.starts_with(b"MZ");
        let kernel = head.get(0x202..0x206) == Some(b"HdrS");
        let packed = [
            &[0x1f, 0x8b][..],
            b"\xfd7zXZ\0",
            &[0x28, 0xb5, 0x2f, 0xfd],
            &[0x02, 0x21, 0x4c, 0x18],
        ]
        .iter()
        .any(|magic| head.starts_with(magic));
        match self {
            Self::Pxe => head.len() >= 512 && !efi && !kernel && !packed,
            Self::Efi => efi,
            Self::LinuxKernel => kernel,
            Self::Initrd => packed || head.starts_with(b"070701"),
        }
    }

    /// For messages: what is expected.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Pxe => "a PXE boot program",
            Self::Efi => "a UEFI program",
            Self::LinuxKernel => "a Linux kernel image for x86",
            Self::Initrd => "a compressed initial RAM disk",
        }
    }
}

/// All collections, in the order in which messages list them.
pub const COLLECTIONS: &[Collection] = &[
    Collection {
        name: "ipxe",
        title: "the network boot loader for BIOS and 64-bit UEFI machines",
        package: "ipxe",
        files: &[
            BootFile {
                path: "ipxe/undionly.kpxe",
                in_package: "usr/lib/ipxe/undionly.kpxe",
                elsewhere: &[],
                looks: Looks::Pxe,
                optional: false,
            },
            BootFile {
                path: "ipxe/snponly.efi",
                in_package: "usr/lib/ipxe/snponly.efi",
                elsewhere: &["bin-x86_64-efi/snponly.efi"],
                looks: Looks::Efi,
                optional: false,
            },
            BootFile {
                path: "ipxe/ipxe.efi",
                in_package: "boot/ipxe.efi",
                elsewhere: &["bin-x86_64-efi/ipxe.efi"],
                looks: Looks::Efi,
                optional: true,
            },
            BootFile {
                path: "ipxe/ipxe.pxe",
                in_package: "usr/lib/ipxe/ipxe.pxe",
                elsewhere: &[],
                looks: Looks::Pxe,
                optional: true,
            },
            BootFile {
                path: "ipxe/ipxe.lkrn",
                in_package: "boot/ipxe.lkrn",
                elsewhere: &[],
                looks: Looks::LinuxKernel,
                optional: true,
            },
        ],
    },
    Collection {
        name: "debian-12",
        title: "the installer of Debian 12 (bookworm) for x86_64",
        package: "debian-installer-12-netboot-amd64",
        files: &[
            BootFile {
                path: "debian/12/x86_64/linux",
                in_package: "usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/linux",
                elsewhere: &["debian-installer/amd64/linux"],
                looks: Looks::LinuxKernel,
                optional: false,
            },
            BootFile {
                path: "debian/12/x86_64/initrd.gz",
                in_package: "usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/initrd.gz",
                elsewhere: &["debian-installer/amd64/initrd.gz"],
                looks: Looks::Initrd,
                optional: false,
            },
        ],
    },
];

/// The collection of this name.
pub fn collection(name: &str) -> Option<&'static Collection> {
    COLLECTIONS
        .iter()
        .find(|collection| collection.name == name)
}

/// The collection that brings the file at this path under `boot_assets`.
pub fn brought_by(path: &str) -> Option<&'static Collection> {
    COLLECTIONS
        .iter()
        .find(|collection| collection.files.iter().any(|file| file.path == path))
}

impl BootFile {
    /// The places of this file within a folder, likeliest first.
    pub fn candidates(&self) -> Vec<PathBuf> {
        let bare = self.path.rsplit('/').next().unwrap_or(self.path);
        [self.path, self.in_package]
            .into_iter()
            .chain(self.elsewhere.iter().copied())
            .chain([bare])
            .map(PathBuf::from)
            .collect()
    }
}

/// Why boot files could not be brought.
#[derive(Debug, thiserror::Error)]
pub enum AssetError {
    /// The operator's folder lacks a file.
    #[error("{folder} has no {file} (looked for {looked_for})", folder = .folder.display())]
    NotInFolder {
        /// The folder.
        folder: PathBuf,
        /// The file's path under `boot_assets`.
        file: &'static str,
        /// The places looked at.
        looked_for: String,
    },
    /// The package has no such file.
    #[error("the package {package} has no {file}")]
    NotInPackage {
        /// The package.
        package: &'static str,
        /// The file within it.
        file: &'static str,
    },
    /// A file is something else than its name says.
    #[error("{path} is not {expected}", path = .path.display())]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// The machine has no tool to get packages with.
    #[error(
        "{package} is not installed and `{tool}` is not there to download it: install the package, or name a folder that has the files with --from"
    )]
    NoTool {
        /// The package.
        package: &'static str,
        /// The tool.
        tool: &'static str,
    },
    /// A tool failed.
    #[error("`{command}` failed: {message}")]
    Tool {
        /// The command.
        command: String,
        /// The end of what it said.
        message: String,
    },
    /// A file could not be read or written.
    #[error("{action} {path}: {source}", path = .path.display())]
    Io {
        /// What was being done: `cannot read`, `cannot write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_brought_by_one_collection() {
        for collection in COLLECTIONS {
            for file in collection.files {
                assert_eq!(brought_by(file.path).unwrap().name, collection.name);
                assert!(!file.path.starts_with('/') && !file.in_package.starts_with('/'));
            }
        }
        assert!(brought_by("nothing").is_none());
        assert!(collection("debian-12").is_some());
        assert!(collection("debian-99").is_none());
    }

    #[test]
    fn the_default_loaders_of_pcs_are_in_a_collection() {
        let loaders = crate::config::snapshot::Server::default().loaders;
        for firmware in [crate::base::Firmware::Bios, crate::base::Firmware::UefiX64] {
            assert_eq!(brought_by(&loaders[&firmware]).unwrap().name, "ipxe");
        }
    }

    #[test]
    fn kinds_are_told_apart() {
        let mut kernel = vec![0; 0x300];
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        // A kernel with an EFI stub is a UEFI program as well.
        let mut stub = kernel.clone();
        stub[..2].copy_from_slice(b"MZ");
        let initrd = [&[0x1f, 0x8b, 8][..], &[0; 600]].concat();
        let pxe = vec![0xea; 600];
        assert!(Looks::LinuxKernel.fits(&kernel) && Looks::LinuxKernel.fits(&stub));
        assert!(!Looks::Efi.fits(&kernel) && Looks::Efi.fits(&stub));
        assert!(Looks::Initrd.fits(&initrd) && !Looks::Initrd.fits(&pxe));
        assert!(Looks::Pxe.fits(&pxe));
        for other in [&kernel, &stub, &initrd] {
            assert!(!Looks::Pxe.fits(other));
        }
        for looks in [Looks::Pxe, Looks::Efi, Looks::LinuxKernel, Looks::Initrd] {
            assert!(!looks.fits(b""), "{looks:?}");
            assert!(!looks.fits(b"<html>404 not found</html>"), "{looks:?}");
        }
    }
}
