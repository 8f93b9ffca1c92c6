//! Files in the places of those that cannot be had here: kernels that tell on the serial port how they were
//! started and what they were given (`machine/`), and files with a mark by which they are found in memory.

use std::fs;
use std::path::Path;
use std::process::Command;

use bootwright::config::snapshot::ImageKind;
use bootwright::render::RenderedBoot;
use tempfile::TempDir;

use crate::archive::Archive;
use crate::site::Site;

/// The kernels, built by the compiler that Rust links with.
struct Kernels {
    /// A bzImage and EFI application in one.
    linux: Vec<u8>,
    multiboot: Vec<u8>,
}

impl Kernels {
    fn build() -> Self {
        let folder = TempDir::new().unwrap();
        let place = folder.path();
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boot_matrix/machine");
        let free = "-Os -ffreestanding -fno-builtin -fno-stack-protector -fno-asynchronous-unwind-tables \
                    -fno-tree-loop-distribute-patterns -fcf-protection=none -nostdlib -Wall -Wextra -Werror";
        let on_bios = "-m32 -march=i686 -fno-pic";
        let on_uefi = "-m64 -fpie -fvisibility=hidden -mno-red-zone -mno-sse -fshort-wchar";
        let link = |emulation: &str, base: &str, name: &str| {
            let script = sources.join("flat.ld").display().to_string();
            run(
                place,
                &format!(
                    "ld -m {emulation} --defsym BASE={base} -T {script} --oformat binary -o {name}.bin {name}.o"
                ),
            );
        };
        for (name, flags, emulation, base) in [
            ("bios", on_bios, "elf_i386", "0x100000"),
            ("multiboot", on_bios, "elf_i386", "0x100000"),
            ("efi", on_uefi, "elf_x86_64", "0"),
        ] {
            let source = sources.join(name).with_extension("c");
            let source = source.display();
            run(
                place,
                &format!("gcc {flags} {free} -c {source} -o {name}.o"),
            );
            link(emulation, base, name);
        }
        let source = sources.join("kernel.S");
        run(
            place,
            &format!("gcc -m32 -Wa,-I. -c {} -o kernel.o", source.display()),
        );
        run(
            place,
            "ld -m elf_i386 -Ttext 0 -e 0 --oformat binary -o kernel.bin kernel.o",
        );
        let read = |name: &str| fs::read(place.join(name)).unwrap();
        Self {
            linux: read("kernel.bin"),
            multiboot: read("multiboot.bin"),
        }
    }
}

fn run(place: &Path, line: &str) {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().unwrap())
        .args(words)
        .current_dir(place)
        .output()
        .unwrap_or_else(|error| panic!("{line}: {error}; apt-get install gcc binutils"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}:\n{said}");
}

/// A file with a mark: an archive as kernels unpack it, with one file that holds the mark.
fn marked(path: &str) -> Vec<u8> {
    let mut archive = Archive::default();
    let mark = format!("<<stand-in:{path}>>\n");
    archive.file("stand-in", 0o644, mark.as_bytes());
    archive.ended()
}

/// Puts a stand-in in each place from which some host loads a file.
pub(crate) fn place(site: &Site) {
    let kernels = Kernels::build();
    for (host, profile) in site.hosts() {
        let boot = site.boot(host, profile);
        let paths = crate::expected::paths(&boot);
        for (index, path) in paths.iter().enumerate() {
            let kernel = match &boot {
                RenderedBoot::Image {
                    kind: ImageKind::Multiboot,
                    ..
                } => &kernels.multiboot,
                _ => &kernels.linux,
            };
            let file = site.boot_assets().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            let bytes = if index == 0 {
                kernel.clone()
            } else {
                marked(path)
            };
            fs::write(file, bytes).unwrap();
        }
    }
}
