//! How the bytes of boot files begin: enough to see that a file is not something else.

/// What a boot file is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Looks {
    /// Anything but nothing and a web page.
    #[default]
    Any,
    /// A PXE network boot program: 16-bit code, no known beginning; anything but the other kinds.
    Pxe,
    /// A program for UEFI: `MZ`.
    Efi,
    /// A Linux kernel image: `HdrS` at 0x202 (Documentation/arch/x86/boot.rst), `ARM\x64` at 0x38
    /// (Documentation/arch/arm64/booting.rst), or compressed for the EFI stub: `zimg` at 4.
    LinuxKernel,
    /// A cpio archive, as a rule compressed, with gzip, xz, zstd, lz4, bzip2 or lzma.
    Initrd,
    /// An ISO 9660 image: `CD001` in its first volume descriptor (ECMA-119 section 8.1).
    Iso,
    /// A squashfs file system.
    Squashfs,
    /// An ELF program, as multiboot kernels are.
    Elf,
    /// An archive of Windows images.
    Wim,
    /// A tar archive, plain or compressed.
    Tar,
}

/// So much of a file has to be at hand to tell all kinds apart.
pub const HEAD: usize = 0x8006;

/// How a compressed stream begins: gzip, xz, zstd, lz4 (frames, and the legacy format of kernels), bzip2, lzma.
const PACKED: [&[u8]; 7] = [
    &[0x1f, 0x8b],
    b"\xfd7zXZ\0",
    &[0x28, 0xb5, 0x2f, 0xfd],
    &[0x04, 0x22, 0x4d, 0x18],
    &[0x02, 0x21, 0x4c, 0x18],
    b"BZh",
    &[0x5d, 0x00, 0x00],
];

impl Looks {
    /// The words for it in files of configuration.
    pub const WORDS: [(&'static str, Self); 10] = [
        ("any", Self::Any),
        ("pxe", Self::Pxe),
        ("efi", Self::Efi),
        ("kernel", Self::LinuxKernel),
        ("initrd", Self::Initrd),
        ("iso", Self::Iso),
        ("squashfs", Self::Squashfs),
        ("elf", Self::Elf),
        ("wim", Self::Wim),
        ("tar", Self::Tar),
    ];

    /// Whether a file may be of this kind, by its first [`HEAD`] bytes, or all it has.
    pub fn fits(self, head: &[u8]) -> bool {
        let efi = head.starts_with(b"MZ");
        let bz_image = head.get(0x202..0x206) == Some(b"HdrS");
        let arm_image = head.get(0x38..0x3c) == Some(b"ARM\x64");
        let kernel = bz_image || arm_image || (efi && head.get(4..8) == Some(b"zimg"));
        let packed = PACKED.iter().any(|magic| head.starts_with(magic));
        match self {
            Self::Any => !head.is_empty() && !is_page(head),
            Self::Pxe => head.len() >= 512 && !efi && !kernel && !packed && !is_page(head),
            Self::Efi => efi,
            Self::LinuxKernel => kernel,
            Self::Initrd => packed || head.starts_with(b"07070"),
            Self::Iso => head.get(0x8001..0x8006) == Some(b"CD001"),
            Self::Squashfs => head.starts_with(b"hsqs"),
            Self::Elf => head.starts_with(b"\x7fELF"),
            Self::Wim => head.starts_with(b"MSWIM\0\0\0"),
            Self::Tar => packed || head.get(257..262) == Some(b"ustar"),
        }
    }

    /// For messages: what is expected.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Any => "a file with something in it that is no web page",
            Self::Pxe => "a PXE boot program",
            Self::Efi => "a UEFI program",
            Self::LinuxKernel => "a Linux kernel image",
            Self::Initrd => "a compressed initial RAM disk",
            Self::Iso => "an ISO 9660 image",
            Self::Squashfs => "a squashfs image",
            Self::Elf => "an ELF program",
            Self::Wim => "an archive of Windows images (WIM)",
            Self::Tar => "a tar archive",
        }
    }
}

/// Whether a program for UEFI, a Linux kernel among them, bears a signature (PE format, "Attribute Certificate
/// Table"): whose it is, is not looked at. `None`: the bytes are no such program's beginning, or too few.
pub fn is_signed(head: &[u8]) -> Option<bool> {
    let number = |at: usize, len: usize| -> Option<usize> {
        let bytes = head.get(at..at.checked_add(len)?)?;
        let value = bytes
            .iter()
            .rev()
            .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        usize::try_from(value).ok()
    };
    if !head.starts_with(b"MZ") {
        return None;
    }
    let pe = number(0x3c, 4)?;
    if head.get(pe..pe.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let optional = pe + 24;
    // The directories follow fields of which some are wider in 64-bit programs.
    let (count, directories) = match number(optional, 2)? {
        0x10b => (optional + 92, optional + 96),
        0x20b => (optional + 108, optional + 112),
        _ => return None,
    };
    if number(count, 4)? <= CERTIFICATES {
        return Some(false);
    }
    Some(number(directories + 8 * CERTIFICATES + 4, 4)? > 0)
}

/// The place of the certificates among a program's directories.
const CERTIFICATES: usize = 4;

/// Whether these bytes are a page of HTML: what a captive portal or a server's error gives in place of a file.
pub fn is_page(head: &[u8]) -> bool {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = text.trim_ascii_start();
    let begins = |tag: &[u8]| {
        text.get(..tag.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(tag))
    };
    let is_xhtml = || {
        text.windows(5)
            .take(512)
            .any(|window| window.eq_ignore_ascii_case(b"<html"))
    };
    begins(b"<!doctype html")
        || begins(b"<html")
        || begins(b"<head")
        || (begins(b"<?xml") && is_xhtml())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        let mut kernel = vec![0; 0x300];
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        // A kernel with an EFI stub is a UEFI program as well.
        let mut stub = kernel.clone();
        stub[..2].copy_from_slice(b"MZ");
        let mut arm = vec![0; 0x300];
        arm[0x38..0x3c].copy_from_slice(b"ARM\x64");
        let initrd = [&[0x1f, 0x8b, 8][..], &[0; 600]].concat();
        let pxe = vec![0xea; 600];
        let mut iso = vec![0; HEAD];
        iso[0x8001..].copy_from_slice(b"CD001");
        assert!(Looks::LinuxKernel.fits(&kernel) && Looks::LinuxKernel.fits(&stub));
        assert!(Looks::LinuxKernel.fits(&arm) && !Looks::Pxe.fits(&arm));
        assert!(Looks::LinuxKernel.fits(b"MZ\0\0zimg"));
        assert!(!Looks::Efi.fits(&kernel) && Looks::Efi.fits(&stub));
        assert!(Looks::Initrd.fits(&initrd) && !Looks::Initrd.fits(&pxe));
        assert!(Looks::Pxe.fits(&pxe));
        assert!(Looks::Iso.fits(&iso) && !Looks::Iso.fits(&kernel));
        assert!(Looks::Any.fits(b"<?xml version='1.0'?><domain/>"));
        assert!(Looks::Squashfs.fits(b"hsqs...") && Looks::Wim.fits(b"MSWIM\0\0\0"));
        for other in [&kernel, &stub, &initrd] {
            assert!(!Looks::Pxe.fits(other));
        }
        for (word, looks) in Looks::WORDS {
            assert!(!looks.fits(b""), "{word}");
            for page in [
                &b"<html>404 not found</html>"[..],
                b"\n <!DOCTYPE HTML PUBLIC>",
                b"\xef\xbb\xbf<?xml version='1.0'?><html>",
            ] {
                let page = [page, &[b' '; 600]].concat();
                assert!(!looks.fits(&page), "{word}");
            }
        }
    }

    /// The headers of a 64-bit program, with so many directories and such a size of certificates.
    fn program(directories: u32, certificates: u32) -> Vec<u8> {
        let mut head = vec![0; 0x200];
        head[..2].copy_from_slice(b"MZ");
        head[0x3c] = 0x40;
        head[0x40..0x44].copy_from_slice(b"PE\0\0");
        let optional = 0x40 + 24;
        head[optional..optional + 2].copy_from_slice(&[0x0b, 0x02]);
        head[optional + 108..optional + 112].copy_from_slice(&directories.to_le_bytes());
        head[optional + 148..optional + 152].copy_from_slice(&certificates.to_le_bytes());
        head
    }

    #[test]
    fn a_signature_is_told_by_its_directory() {
        assert_eq!(is_signed(&program(16, 0x1234)), Some(true));
        assert_eq!(is_signed(&program(16, 0)), Some(false));
        assert_eq!(is_signed(&program(4, 0x1234)), Some(false));
        assert_eq!(is_signed(&program(16, 1)[..0xd0]), None);
        let mut elsewhere = program(16, 1);
        elsewhere[0x3c..0x40].copy_from_slice(&u32::MAX.to_le_bytes());
        for other in [&b"MZ"[..], b"", b"\x7fELF", &[0x1f, 0x8b, 8], &elsewhere] {
            assert_eq!(is_signed(other), None);
        }
    }
}
