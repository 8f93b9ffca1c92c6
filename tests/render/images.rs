//! What is booted that is no Linux kernel, from the profile to the script.

use bootwright::base::Architecture;
use bootwright::config::source::MemoryFiles;
use bootwright::render::{View, load, scripts};

use crate::ipxe::check;

const MAIN: &str = r#"
[server]
interfaces = ["br0"]
state_dir = "/var/lib/bootwright"
boot_assets = "boot-assets"
profiles = "profiles"
templates = "templates"
reservations = ["reservations.toml"]
[[subnet]]
name = "lab"
network = "10.99.0.0/24"
server = "10.99.0.2"
"#;

const HOSTS: &str = r#"
[hosts.web01]
mac = "52:54:00:47:86:8e"
ip = "10.99.0.11"
profile = "it"
[hosts.web01.vars]
build = "20260101T000000Z"
console = "ttyb,ttyb-mode=\"115200,8,n,1,-\""
"#;

/// The script that boots a profile with this `[boot]`.
fn script(boot: &str) -> String {
    let profile = format!("title = \"It\"\nfamily = \"other\"\n{boot}");
    let files: MemoryFiles = [
        ("/c/bootwright.toml", MAIN),
        ("/c/reservations.toml", HOSTS),
        ("/c/profiles/it.toml", profile.as_str()),
        ("/c/templates/unattend.j2", "<unattend/>"),
    ]
    .into_iter()
    .collect();
    let loaded = load::load(&files, "/c/bootwright.toml".as_ref(), 1);
    let told = &loaded.problems;
    let in_force = loaded.config.unwrap_or_else(|| panic!("{told:?}"));
    let snapshot = &in_force.snapshot;
    let host = &snapshot.hosts()[0];
    let view = View {
        snapshot,
        host,
        profile: snapshot.profile(host.profile.as_ref().unwrap()).unwrap(),
        arch: Architecture::X86_64,
        server: [10, 99, 0, 2].into(),
        token: None,
    };
    let boot = in_force.renderer.boot(&view).unwrap();
    let script = scripts::install(&view, &boot, 1, 3);
    check(&script);
    check(&scripts::install_by_tftp(&view, &boot, 1, 3));
    script
}

#[test]
fn a_multiboot_kernel_and_its_modules() {
    insta::assert_snapshot!(script(
        r#"
[boot]
kind = "multiboot"
kernel = "smartos/{{ vars.build }}/platform/i86pc/kernel/amd64/unix"
modules = [
    "smartos/{{ vars.build }}/platform/i86pc/amd64/boot_archive type=rootfs name=ramdisk",
    "smartos/{{ vars.build }}/platform/i86pc/amd64/boot_archive.hash type=hash name=ramdisk",
]
cmdline = ["-B", "smartos=true,console=text,hostname={{ host.name }}"]
"#
    ));
}

#[test]
fn an_efi_binary() {
    insta::assert_snapshot!(script(
        "[boot]\nkind = \"efi\"\nfile = \"memtest/memtest.efi\"\ncmdline = \"console=ttyS0,115200\""
    ));
}

#[test]
fn windows_out_of_files_and_answers() {
    insta::assert_snapshot!(script(
        r#"
[boot]
kind = "wimboot"
files = [
    "windows/11/boot/bcd", "windows/11/boot/boot.sdi", "windows/11/sources/boot.wim",
    "{{ answers.folder }}unattend.xml",
]
[[answers]]
name = "unattend.xml"
template = "unattend.j2"
"#
    ));
}

#[test]
fn images_of_disks_and_of_cds() {
    let disk = "[boot]\nkind = \"memdisk\"\nimage = \"tools/freedos.img\"";
    insta::assert_snapshot!(script(disk));
    let kernel = |boot: &str| {
        let script = script(boot);
        let line = script.lines().find(|line| line.starts_with("kernel "));
        line.unwrap().to_owned()
    };
    assert!(
        kernel(&disk.replace(".img", ".ISO")).ends_with("/memdisk/memdisk iso raw || goto again")
    );
    let own = format!("{disk}\nkernel = \"syslinux/memdisk\"\ncmdline = \"harddisk c=80\"");
    assert!(kernel(&own).ends_with("/syslinux/memdisk harddisk c=80 || goto again"));
}
