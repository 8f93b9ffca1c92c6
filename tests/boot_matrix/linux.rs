//! A system of its own in the places of those that cannot be had here: Debian's kernel, with an initial RAM disk
//! (`linux/init`) that does what the installer does that a profile is for, up to the first write to a disk.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bootwright::config::snapshot::{Host, Profile};
use bootwright::render::RenderedBoot;

use crate::archive::Archive;
use crate::site::Site;

/// Where the kernel and its modules are, below the folder of installers.
const INSTALLER: &str = "debian/12/x86_64";

/// Of the modules of Debian's installer those by which a virtual machine has a network.
const MODULES: [&str; 10] = [
    "virtio.ko",
    "virtio_ring.ko",
    "virtio_pci_modern_dev.ko",
    "virtio_pci_legacy_dev.ko",
    "virtio_pci.ko",
    "virtio-rng.ko",
    "failover.ko",
    "net_failover.ko",
    "virtio_net.ko",
    "af_packet.ko",
];

/// Commands of busybox that the scripts of installers call.
const COMMANDS: &str = "awk base64 basename cat chmod chown chroot cp cut date dirname env find grep head hostname \
    insmod ip kill ln logger ls mkdir mknod mktemp mount mv printf ps pwd readlink rm rmdir sed seq sh sleep sort \
    stat sync tail tar tee test timeout touch tr true udhcpc umount uname uniq wc wget xargs";

/// Programs that installers have, and a stand-in that tells that it was run.
const PROGRAMS: [&str; 9] = [
    "bin/apk",
    "bin/blkid",
    "bin/coreos-installer",
    "bin/debconf-set",
    "bin/flatcar-install",
    "bin/mdadm",
    "bin/systemctl",
    "bin/wipefs",
    "usr/bin/python3",
];

/// Whether what it is made of is there.
pub(crate) fn can_be_had(installers: &Path) -> bool {
    let folder = installers.join(INSTALLER);
    folder.join("linux").is_file() && folder.join("initrd.gz").is_file()
}

/// Puts the kernel and the initial RAM disk in the places of each profile's, and files in the places of all others
/// that a system fetches.
pub(crate) fn place(site: &Site, installers: &Path) {
    // One copy of either for all places.
    let kernel = site.temporary().join("linux");
    fs::copy(installers.join(INSTALLER).join("linux"), &kernel).unwrap();
    let initrd = site.temporary().join("initrd.gz");
    fs::write(
        &initrd,
        archive(&installers.join(INSTALLER).join("initrd.gz")),
    )
    .unwrap();
    for (host, profile) in site.hosts() {
        let boot = site.boot(host, profile);
        if !is_linux(profile, &boot) {
            continue;
        }
        let paths = crate::expected::paths(&boot);
        for (index, path) in paths.iter().enumerate() {
            let file = site.boot_assets().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            // Hosts of several profiles may share their files.
            if file.exists() {
                continue;
            }
            match index {
                0 => fs::hard_link(&kernel, file).unwrap(),
                1 => fs::hard_link(&initrd, file).unwrap(),
                _ => fs::write(file, format!("<<stand-in:{path}>>\n")).unwrap(),
            }
        }
        for path in second_stage(site, host, profile) {
            let file = site.boot_assets().join(&path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            if path.ends_with(".apkovl.tar.gz") {
                let script =
                    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/alpine-overlay.sh");
                let made = Command::new("sh").arg(script).arg(file).output().unwrap();
                assert!(made.status.success(), "{made:?}");
            } else {
                fs::write(file, format!("<<stand-in:{path}>>\n")).unwrap();
            }
        }
    }
}

/// Whether a profile boots Linux with an initial RAM disk: not the memory test, nor a menu.
pub(crate) fn is_linux(profile: &Profile, boot: &RenderedBoot) -> bool {
    let loads_two = crate::expected::paths(boot).len() > 1;
    match boot {
        RenderedBoot::Linux { .. } => loads_two,
        RenderedBoot::Script(_) => loads_two && profile.name.as_str().starts_with("proxmox"),
        _ => false,
    }
}

/// What a system fetches after its kernel has started, in order, below the boot files: what the command line names,
/// of a folder the files that its installer asks for.
pub(crate) fn second_stage(site: &Site, host: &Host, profile: &Profile) -> Vec<String> {
    let boot = site.boot(host, profile);
    if matches!(boot, RenderedBoot::Script(_)) {
        return Vec::new();
    }
    let line = boot.command_line(host).unwrap_or_default();
    let named = line
        .split_whitespace()
        .filter_map(|word| word.split_once("/assets/"));
    named
        .flat_map(|(_, path)| {
            let names: &[&str] = match profile.family.as_str() {
                "redhat" => &["/images/install.img"],
                "suse" if path.ends_with("/tree") => {
                    &["/CHECKSUMS", "/boot/x86_64/common", "/boot/x86_64/root"]
                }
                // SystemRescue is given the folder above, with its slash.
                _ if path.ends_with('/') => &["sysresccd/x86_64/airootfs.sfs"],
                _ => &[""],
            };
            names.iter().map(move |name| format!("{path}{name}"))
        })
        .collect()
}

/// The initial RAM disk, packed.
fn archive(installer: &Path) -> Vec<u8> {
    let mut archive = Archive::default();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boot_matrix/linux");
    let script = |name: &str| fs::read(sources.join(name)).unwrap();
    for folder in ["dev", "proc", "sys", "run", "tmp", "root", "etc", "modules"] {
        archive.folder(folder);
    }
    // Where the kernel looks for its first output; the rest of /dev is mounted.
    archive.entry("dev/console", 0o020_600, (5, 1), &[]);
    archive.file("init", 0o755, &script("init"));
    archive.file("dhcp", 0o755, &script("dhcp"));
    for program in PROGRAMS {
        archive.file(program, 0o755, &script("program"));
    }
    archive.program("busybox");
    for command in COMMANDS.split_whitespace() {
        archive.entry(
            &format!("bin/{command}"),
            0o120_777,
            (0, 0),
            b"/bin/busybox",
        );
    }
    archive.program("curl");
    let modules = unpacked(installer);
    for (name, bytes) in &modules {
        archive.file(&format!("modules/{name}"), 0o644, bytes);
    }
    assert!(modules.len() > 5, "modules: {}", modules.len());
    packed(archive.ended())
}

/// The modules in the installer's own initial RAM disk.
fn unpacked(installer: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let unpacked = Command::new("gzip")
        .arg("-dc")
        .arg(installer)
        .output()
        .unwrap();
    assert!(unpacked.status.success(), "{}", installer.display());
    let all = unpacked.stdout;
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(header) = all
        .get(at..at + 110)
        .filter(|header| header.starts_with(b"070701"))
    {
        let field = |number: usize| {
            let digits = std::str::from_utf8(&header[6 + number * 8..14 + number * 8]).unwrap();
            usize::from_str_radix(digits, 16).unwrap()
        };
        let (size, name_size) = (field(6), field(11));
        let name = String::from_utf8_lossy(&all[at + 110..at + 109 + name_size]).into_owned();
        let body = (at + 110 + name_size).next_multiple_of(4);
        if let Some(wanted) = MODULES
            .into_iter()
            .find(|wanted| name.rsplit('/').next() == Some(wanted))
        {
            found.push((wanted, all[body..body + size].to_vec()));
        }
        at = (body + size).next_multiple_of(4);
    }
    found
}

fn packed(archive: Vec<u8>) -> Vec<u8> {
    let mut gzip = Command::new("gzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = gzip.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(&archive).unwrap());
    let output = gzip.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "gzip");
    output.stdout
}
