//! Scratch disks of the virtual machine: an empty one to install on, and one that looks installed.
//!
//! The second kind says [`SIGN`] on the console when it is booted and then stands still: that the disk
//! was booted is seen, not concluded from silence.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What a scratch disk prints when it is booted.
pub const SIGN: &str = "bootwright rehearsal: this is the disk";

/// Size of the empty disk; it is sparse, so it takes only what an installer writes.
const EMPTY_DISK: u64 = 16 << 30;

/// Makes an empty sparse disk.
pub fn empty(path: &Path) -> io::Result<()> {
    File::create(path)?.set_len(EMPTY_DISK)
}

/// Makes a disk that a BIOS boots: a master boot record with [`SIGN`].
pub fn installed_bios(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&boot_sector())?;
    file.set_len(EMPTY_DISK)
}

/// Makes the folder that QEMU shows as a FAT disk (`fat:`), with the boot loader that UEFI looks for
/// on a disk without boot entries (UEFI 2.10 section 3.5.1.1).
pub fn installed_uefi(folder: &Path) -> io::Result<PathBuf> {
    let boot = folder.join("EFI").join("BOOT");
    std::fs::create_dir_all(&boot)?;
    std::fs::write(boot.join("BOOTX64.EFI"), efi_application())?;
    Ok(folder.to_owned())
}

/// 512 bytes of 16-bit code that write [`SIGN`] to the first serial port and halt.
fn boot_sector() -> Vec<u8> {
    let mut sector = vec![
        0xfa, // cli
        0x31, 0xc0, // xor ax, ax
        0x8e, 0xd8, // mov ds, ax
        0xfc, // cld
        0xbe, 0x23, 0x7c, // mov si, message (0x7c00 + 35)
        0xac, // next: lodsb
        0x84, 0xc0, // test al, al
        0x74, 0x12, // jz halt
        0x88, 0xc4, // mov ah, al
        0xba, 0xfd, 0x03, // mov dx, 0x3fd (line status)
        0xec, // wait: in al, dx
        0xa8, 0x20, // test al, 0x20 (transmitter empty)
        0x74, 0xfb, // jz wait
        0xba, 0xf8, 0x03, // mov dx, 0x3f8
        0x88, 0xe0, // mov al, ah
        0xee, // out dx, al
        0xeb, 0xe9, // jmp next
        0xf4, // halt: hlt
        0xeb, 0xfd, // jmp halt
    ];
    sector.extend(format!("\r\n{SIGN}\r\n\0").bytes());
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    sector
}

/// A UEFI application for x86_64 that writes [`SIGN`] to the console and waits for ever: a PE32+ image
/// (PE format specification, sections 2 to 4) of one section.
fn efi_application() -> Vec<u8> {
    const HEADERS: usize = 0x200;
    const SECTION_AT: u32 = 0x1000;
    let mut code = vec![
        0x48, 0x83, 0xec, 0x28, // sub rsp, 40
        0x48, 0x8b, 0x4a, 0x40, // mov rcx, [rdx + 64]: SystemTable->ConOut
        0x48, 0x8d, 0x15, 0x05, 0, 0, 0, // lea rdx, [rip + 5]: the message
        0xff, 0x51, 0x08, // call [rcx + 8]: OutputString
        0xeb, 0xfe, // jmp $
    ];
    code.extend(
        format!("\r\n{SIGN}\r\n\0")
            .encode_utf16()
            .flat_map(u16::to_le_bytes),
    );
    code.resize(0x200, 0);

    let mut image = Vec::with_capacity(HEADERS + code.len());
    image.extend(b"MZ");
    image.resize(0x3c, 0);
    put32(&mut image, 0x40); // where the PE header is
    image.extend(b"PE\0\0");
    put16(&mut image, 0x8664); // machine: x86_64
    put16(&mut image, 1); // sections
    image.extend([0; 12]); // time, symbols
    put16(&mut image, 0xf0); // size of the optional header
    put16(&mut image, 0x0022); // executable, large addresses; not "relocations stripped"
    put16(&mut image, 0x020b); // PE32+
    put16(&mut image, 0); // linker
    put32(&mut image, 0x200); // code
    put32(&mut image, 0); // data
    put32(&mut image, 0); // zeroed data
    put32(&mut image, SECTION_AT); // entry point
    put32(&mut image, SECTION_AT); // base of code
    image.extend(0x40_0000_u64.to_le_bytes()); // image base: any will do
    put32(&mut image, 0x1000); // alignment in memory
    put32(&mut image, 0x200); // alignment in the file
    image.extend([0; 16]); // versions, reserved
    put32(&mut image, 0x2000); // size in memory
    put32(&mut image, 0x200); // size of the headers
    put32(&mut image, 0); // checksum
    put16(&mut image, 10); // subsystem: EFI application
    put16(&mut image, 0);
    image.extend([0; 32]); // stack and heap
    put32(&mut image, 0);
    put32(&mut image, 16); // data directories
    image.extend([0; 128]); // none
    image.extend(b".text\0\0\0");
    put32(&mut image, 0x200); // size in memory
    put32(&mut image, SECTION_AT);
    put32(&mut image, 0x200); // size in the file
    put32(&mut image, 0x200); // place in the file
    image.extend([0; 12]);
    put32(&mut image, 0x6000_0020); // code, executable, readable
    image.resize(HEADERS, 0);
    image.extend(code);
    image
}

fn put16(bytes: &mut Vec<u8>, value: u16) {
    bytes.extend(value.to_le_bytes());
}

fn put32(bytes: &mut Vec<u8>, value: u32) {
    bytes.extend(value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_sector_is_one() {
        let sector = boot_sector();
        assert_eq!(sector.len(), 512);
        assert_eq!(sector[510..], [0x55, 0xaa]);
        // The address in `mov si` is where the message begins.
        let message = usize::from(u16::from_le_bytes([sector[7], sector[8]])) - 0x7c00;
        assert!(sector[message..].starts_with(format!("\r\n{SIGN}").as_bytes()));
    }

    #[test]
    fn the_application_is_a_pe_image_whose_code_points_at_its_message() {
        let image = efi_application();
        assert_eq!(image.len(), 0x400);
        assert_eq!(&image[0x40..0x44], b"PE\0\0");
        // COFF header 20 bytes, optional header 0xf0 bytes, then the section.
        assert_eq!(&image[0x44 + 20 + 0xf0..][..5], b".text");
        let text: Vec<u8> = SIGN.encode_utf16().flat_map(u16::to_le_bytes).collect();
        // lea ends at 15 and adds 5; two characters precede the sign.
        assert!(image[0x200 + 20 + 4..].starts_with(&text));
    }

    #[test]
    fn the_empty_disk_takes_no_space() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        empty(&path).unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(metadata.len(), EMPTY_DISK);
        assert!(metadata.blocks() < 100);
    }
}
