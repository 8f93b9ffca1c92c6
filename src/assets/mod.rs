//! L5, boot files: where they come from, and how they come into `boot_assets`.
//!
//! What a profile needs it declares itself (`[fetch]`, [`Fetch`]); [`builtin`] has the boot loaders, and
//! Debian's installer for configurations that do not declare it; [`choice`] says for which values of variables. [`fetch`] takes the files from a mirror,
//! a folder, an image ([`source`]) or a Debian package ([`origin`]), checks them by the distribution's sums
//! ([`sums`]) and signatures ([`signature`]), and [`place`] puts them where they belong. [`image`] takes
//! an installation image apart ([`iso`]) and [`recognise`] tells what it is. What came is in the
//! [`manifest`], by which [`keep`] verifies and prunes.
//!
//! **Invariant:** a file under `boot_assets` is whole or not there, and what is fetched together comes
//! together. No file gets another file's name: each must look like what it is to be. What was not
//! checked is called so.

pub mod choice;
pub mod download;
pub mod fetch;
pub mod http;
pub mod image;
pub mod iso;
pub mod keep;
pub mod manifest;
pub mod origin;
pub mod place;
pub mod proxy;
pub mod recognise;
pub mod signature;
pub mod source;
pub mod sums;

use std::path::PathBuf;

use crate::config::fetch::{Fetch, FetchFile};
use crate::wire::looks::Looks;

/// What is being done, while it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A sentence.
    Said(String),
    /// A file begins to come.
    Begins {
        /// Its name.
        name: String,
        /// Bytes that are there already.
        have: u64,
        /// Bytes in all, where that is known.
        total: Option<u64>,
    },
    /// More of it has come.
    Bytes {
        /// Its name.
        name: String,
        /// Bytes that are there.
        have: u64,
        /// Bytes in all, where that is known.
        total: Option<u64>,
    },
}

/// Who is told.
pub type Tell<'a> = &'a mut dyn FnMut(Step);

/// One file of a package.
const fn of_package(
    path: &'static str,
    in_package: &'static str,
    elsewhere: Option<&'static str>,
    looks: Looks,
    optional: bool,
) -> Builtin {
    Builtin {
        path,
        in_package,
        package: None,
        elsewhere,
        looks,
        optional,
    }
}

/// The same of another package.
const fn of_other_package(
    path: &'static str,
    package: &'static str,
    in_package: &'static str,
    optional: bool,
) -> Builtin {
    Builtin {
        path,
        in_package,
        package: Some(package),
        elsewhere: None,
        looks: Looks::Efi,
        optional,
    }
}

struct Builtin {
    path: &'static str,
    in_package: &'static str,
    /// The package, where it is another one than that of the other files.
    package: Option<&'static str>,
    /// Where a build of its own has it.
    elsewhere: Option<&'static str>,
    looks: Looks,
    optional: bool,
}

const IPXE: &[Builtin] = &[
    of_package(
        "ipxe/undionly.kpxe",
        "usr/lib/ipxe/undionly.kpxe",
        None,
        Looks::Pxe,
        false,
    ),
    of_package(
        "ipxe/snponly.efi",
        "usr/lib/ipxe/snponly.efi",
        Some("bin-x86_64-efi/snponly.efi"),
        Looks::Efi,
        false,
    ),
    of_package(
        "ipxe/ipxe.efi",
        "boot/ipxe.efi",
        Some("bin-x86_64-efi/ipxe.efi"),
        Looks::Efi,
        true,
    ),
    of_package(
        "ipxe/ipxe.pxe",
        "usr/lib/ipxe/ipxe.pxe",
        None,
        Looks::Pxe,
        true,
    ),
    of_package(
        "ipxe/ipxe.lkrn",
        "boot/ipxe.lkrn",
        None,
        Looks::LinuxKernel,
        true,
    ),
];

const DEBIAN_12: &[Builtin] = &[
    of_package(
        "debian/12/{{ arch }}/linux",
        "usr/lib/debian-installer/images/12/{{ debian_arch }}/text/debian-installer/{{ debian_arch }}/linux",
        Some("debian-installer/{{ debian_arch }}/linux"),
        Looks::LinuxKernel,
        false,
    ),
    of_package(
        "debian/12/{{ arch }}/initrd.gz",
        "usr/lib/debian-installer/images/12/{{ debian_arch }}/text/debian-installer/{{ debian_arch }}/initrd.gz",
        Some("debian-installer/{{ debian_arch }}/initrd.gz"),
        Looks::Initrd,
        false,
    ),
    of_package(
        "debian/12/{{ arch }}/shim{{ efi_arch }}.efi",
        "usr/lib/debian-installer/images/12/{{ debian_arch }}/text/debian-installer/{{ debian_arch }}/bootnet{{ efi_arch }}.efi",
        Some("debian-installer/{{ debian_arch }}/bootnet{{ efi_arch }}.efi"),
        Looks::Efi,
        true,
    ),
    of_package(
        "debian/12/{{ arch }}/grub{{ efi_arch }}.efi",
        "usr/lib/debian-installer/images/12/{{ debian_arch }}/text/debian-installer/{{ debian_arch }}/grub{{ efi_arch }}.efi",
        Some("debian-installer/{{ debian_arch }}/grub{{ efi_arch }}.efi"),
        Looks::Efi,
        true,
    ),
];

/// Debian's shim and what it loads, as its packages for installed systems have them: where `[boot] secure` looks.
const SHIM: &[Builtin] = &[
    of_other_package(
        "shim/shim{{ efi_arch }}.efi",
        "shim-signed",
        "usr/lib/shim/shim{{ efi_arch }}.efi.signed",
        false,
    ),
    of_other_package(
        "shim/grub{{ efi_arch }}.efi",
        "grub-efi-{{ debian_arch }}-signed",
        "usr/lib/grub/{{ grub_arch }}-efi-signed/grubnet{{ efi_arch }}.efi.signed",
        false,
    ),
    of_other_package(
        "shim/mm{{ efi_arch }}.efi",
        "shim-helpers-{{ debian_arch }}-signed",
        "usr/lib/shim/mm{{ efi_arch }}.efi.signed",
        true,
    ),
];

/// PXELINUX, its kin for UEFI, and those of their modules that its configurations name.
const PXELINUX: &[Builtin] = &[
    of_package(
        "pxelinux/pxelinux.0",
        "usr/lib/PXELINUX/pxelinux.0",
        None,
        Looks::Pxe,
        false,
    ),
    of_package(
        "pxelinux/lpxelinux.0",
        "usr/lib/PXELINUX/lpxelinux.0",
        None,
        Looks::Pxe,
        false,
    ),
    module(
        "pxelinux/ldlinux.c32",
        "usr/lib/syslinux/modules/bios/ldlinux.c32",
    ),
    module(
        "pxelinux/libcom32.c32",
        "usr/lib/syslinux/modules/bios/libcom32.c32",
    ),
    module(
        "pxelinux/libutil.c32",
        "usr/lib/syslinux/modules/bios/libutil.c32",
    ),
    module(
        "pxelinux/mboot.c32",
        "usr/lib/syslinux/modules/bios/mboot.c32",
    ),
    module(
        "pxelinux/linux.c32",
        "usr/lib/syslinux/modules/bios/linux.c32",
    ),
    module(
        "pxelinux/chain.c32",
        "usr/lib/syslinux/modules/bios/chain.c32",
    ),
    of_syslinux_efi(
        "pxelinux/efi64/syslinux.efi",
        "usr/lib/SYSLINUX.EFI/efi64/syslinux.efi",
    ),
    module(
        "pxelinux/efi64/ldlinux.e64",
        "usr/lib/syslinux/modules/efi64/ldlinux.e64",
    ),
    of_syslinux_efi(
        "pxelinux/efi32/syslinux.efi",
        "usr/lib/SYSLINUX.EFI/efi32/syslinux.efi",
    ),
    module(
        "pxelinux/efi32/ldlinux.e32",
        "usr/lib/syslinux/modules/efi32/ldlinux.e32",
    ),
];

/// A module of SYSLINUX, as the package for all firmware has it.
const fn module(path: &'static str, name: &'static str) -> Builtin {
    Builtin {
        path,
        in_package: name,
        package: Some("syslinux-common"),
        elsewhere: None,
        looks: Looks::Any,
        optional: false,
    }
}

const fn of_syslinux_efi(path: &'static str, name: &'static str) -> Builtin {
    Builtin {
        path,
        in_package: name,
        package: Some("syslinux-efi"),
        elsewhere: None,
        looks: Looks::Efi,
        // Of use on UEFI only.
        optional: true,
    }
}

/// GRUB for UEFI as Debian signs it, made for the network. One for BIOS is made by grub-mknetdir.
const GRUB: &[Builtin] = &[of_package(
    "grub/grub{{ efi_arch }}.efi",
    "usr/lib/grub/{{ grub_arch }}-efi-signed/grubnet{{ efi_arch }}.efi.signed",
    None,
    Looks::Efi,
    false,
)];

/// The names of [`builtin`].
pub const BUILTIN: [&str; 5] = ["ipxe", "debian-12", "grub", "pxelinux", "shim"];

/// What can be fetched without a declaration: the network boot loaders, Debian 12's installer, and Debian's signed loaders.
pub fn builtin(name: &str) -> Option<Fetch> {
    let (package, files) = match name {
        "ipxe" => ("ipxe", IPXE),
        "debian-12" => ("debian-installer-12-netboot-{{ debian_arch }}", DEBIAN_12),
        "shim" => ("shim-signed", SHIM),
        "grub" => ("grub-efi-{{ debian_arch }}-signed", GRUB),
        "pxelinux" => ("pxelinux", PXELINUX),
        _ => return None,
    };
    Some(Fetch {
        package: Some(package.to_owned()),
        files: files
            .iter()
            .map(|file| FetchFile {
                path: file.path.to_owned(),
                from: file.elsewhere.map(str::to_owned),
                in_package: Some(file.in_package.to_owned()),
                package: file.package.map(str::to_owned),
                looks: file.looks,
                optional: file.optional,
                ..FetchFile::default()
            })
            .collect(),
        ..Fetch::default()
    })
}

/// Why boot files could not be brought.
#[derive(Debug, thiserror::Error)]
pub enum AssetError {
    /// The operator's folder or image lacks a file.
    #[error("{place} has no {file} (looked for {looked_for})", place = .place.display())]
    NotInPlace {
        /// The folder or image.
        place: PathBuf,
        /// The file's path under `boot_assets`.
        file: String,
        /// The places looked at.
        looked_for: String,
    },
    /// The package has no such file.
    #[error("the package {package} has no {file}")]
    NotInPackage {
        /// The package.
        package: String,
        /// The file within it.
        file: String,
    },
    /// A file is something else than its name says.
    #[error("{name} is not {expected}")]
    OtherKind {
        /// The file.
        name: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The machine has no tool to get packages with.
    #[error(
        "{package} is not installed and `{tool}` is not there to download it: install the package, or name a folder that has the files with --from"
    )]
    NoTool {
        /// The package.
        package: String,
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
    /// The server, or the way to it.
    #[error(transparent)]
    Http(#[from] http::HttpError),
    /// Another length than the server told.
    #[error("{url}: {size} bytes came, {expected} were announced")]
    Length {
        /// The URL.
        url: String,
        /// What came.
        size: u64,
        /// What should have come.
        expected: u64,
    },
    /// The image cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    Iso {
        /// The image.
        path: PathBuf,
        /// Why.
        source: iso::IsoError,
    },
    /// Other bytes than the distribution publishes.
    #[error(
        "{file} has another SHA sum than {list} says: it was changed or damaged on the way, or the mirror is between two versions; try again later or with another --mirror"
    )]
    OtherSum {
        /// The file.
        file: String,
        /// What says so.
        list: String,
    },
    /// No list has the file.
    #[error(
        "{lists} says nothing of {file}: correct `from` or `sums` in the profile's [fetch], or give the file a `sha256` of its own"
    )]
    NoSum {
        /// The file.
        file: String,
        /// The lists.
        lists: String,
    },
    /// A list has nothing in it.
    #[error("{list} holds no SHA sum")]
    NoSums {
        /// The list.
        list: String,
    },
    /// A signature that does not count.
    #[error("{file}: {why}{}", .package.as_ref().map_or_else(String::new, |package| format!(" (keys of the package {package}; a newer one may know more keys; --no-signature goes without)")))]
    Signature {
        /// The file.
        file: String,
        /// Why.
        why: String,
        /// The package of the keys.
        package: Option<String>,
    },
    /// A keyring that cannot be read.
    #[error("{} holds no keys that can be read", .0.display())]
    Keyring(PathBuf),
    /// The profile does not say from where.
    #[error("{name} names no mirror: add `mirror` to its [fetch], or give --mirror URL or --from")]
    NoMirror {
        /// The profile.
        name: String,
    },
    /// Nothing is listed that could be brought.
    #[error("the boot files of {name} are put in their places by hand: {by_hand}")]
    OnlyByHand {
        /// The profile.
        name: String,
        /// How to come by them.
        by_hand: String,
    },
    /// No mirror gives it to everybody.
    #[error(
        "{by_hand}; with it: `bootwright assets fetch {name} --from FILE`, FILE being the image or a folder with what is in it"
    )]
    ByHand {
        /// The profile.
        name: String,
        /// How to come by it.
        by_hand: String,
    },
    /// The document of addresses does not tell of a file.
    #[error("{stream} tells no address at {pointer}")]
    NotInStream {
        /// The document.
        stream: String,
        /// Where in it.
        pointer: String,
    },
    /// A variable was named that the files do not depend on.
    #[error("the boot files of {name} do not depend on a variable `{variable}`")]
    NoVariable {
        /// The profile, or what is built in.
        name: String,
        /// The variable.
        variable: String,
    },
    /// Nobody says for which value of a variable.
    #[error(
        "which `{variable}` of {name}? {}: give it with `--var {variable}=…`, or to {}",
        .host.as_ref().map_or_else(
            || "No host with this profile has a text or number for it".to_owned(),
            |host| format!("Some hosts with this profile have no text or number for it, such as {host}"),
        ),
        if .host.is_some() { "them" } else { "a host" },
    )]
    NoValue {
        /// The profile.
        name: String,
        /// The variable.
        variable: String,
        /// A host that lacks it, where others have it.
        host: Option<String>,
    },
    /// A value that would lead elsewhere.
    #[error(
        "{value:?} cannot stand in the paths of {name}: {whose} has it as `{variable}`, and only letters, digits and . _ + - may stand in it; give it another value there, or name one with `--var {variable}=…`"
    )]
    BadValue {
        /// The profile.
        name: String,
        /// The variable.
        variable: String,
        /// Its value.
        value: String,
        /// Who has it: `the host web01`.
        whose: String,
    },
    /// Files of one value are there for several.
    #[error(
        "which `{variable}` of {name}? It is {first} and {second}, and an image or a folder has the files of one: give it with `--var {variable}=…`"
    )]
    SeveralValues {
        /// The profile.
        name: String,
        /// The variable.
        variable: String,
        /// A value, with the host that has it.
        first: String,
        /// Another one.
        second: String,
    },
    /// What a profile's `[fetch]` comes to with the values of its variables cannot be used.
    #[error(
        "the boot files of {name}: {message}; name other values with --var, or correct its [fetch]"
    )]
    Unusable {
        /// The profile.
        name: String,
        /// What cannot be used.
        message: String,
    },
    /// Another process is at it.
    #[error("another `bootwright assets` is changing {}; wait until it is done", .0.display())]
    Busy(PathBuf),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Architecture;

    #[test]
    fn the_default_loaders_of_pcs_are_built_in() {
        let loaders = crate::config::snapshot::Server::default().loaders;
        let ipxe = builtin("ipxe").unwrap();
        for firmware in [crate::base::Firmware::Bios, crate::base::Firmware::UefiX64] {
            assert!(ipxe.brings(&loaders[&firmware]).is_some());
        }
        assert!(!ipxe.is_per_arch());
    }

    #[test]
    fn what_is_built_in_has_its_name() {
        for name in BUILTIN {
            let fetch = builtin(name).unwrap();
            let files = fetch.for_arch(Architecture::X86_64).files;
            assert!(files.iter().any(|file| !file.optional));
            assert!(files.iter().all(|file| !file.path.contains('{')));
        }
        let shim = builtin("shim").unwrap().for_arch(Architecture::X86_64);
        let places: Vec<_> = shim.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            places,
            ["shim/shimx64.efi", "shim/grubx64.efi", "shim/mmx64.efi"]
        );
        let secure = crate::config::snapshot::Server::default().secure;
        assert_eq!(secure[&crate::base::Firmware::UefiX64], places[0]);
        assert!(builtin("debian-99").is_none());
        let arm = builtin("debian-12")
            .unwrap()
            .for_arch(Architecture::Aarch64);
        assert_eq!(arm.package.unwrap(), "debian-installer-12-netboot-arm64");
    }
}
