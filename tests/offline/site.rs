//! A configuration with something of everything.

use std::path::Path;
use std::sync::Arc;

use bootwright::config::show;
use bootwright::config::source::MemoryFiles;
use bootwright::render::load::{InForce, load};

pub(crate) const MAIN: &str = "config/bootwright.toml";
pub(crate) const HOSTS: &str = "config/reservations.toml";

const SERVER: &str = r#"
[server]
interfaces  = ["br0", "br1"]
domain      = "lab.example"
state_dir   = "state"
boot_assets = "/boot-assets"

[dhcp]
discovery_profile = "who"

[[subnet]]
name    = "lab"
network = "10.99.0.0/24"
server  = "10.99.0.2"
router  = "10.99.0.1"
dns     = ["10.99.0.1", "10.99.0.3"]
ntp     = ["10.99.0.1"]
dns_search = ["lab.example", "example"]
options = [{ code = 26, u16 = 1400 }, { code = 121, hex = "18 0a 01 00 0a 63 00 01" }]

[[subnet]]
name    = "pool"
network = "10.98.0.0/23"
server  = "10.98.0.2"
router  = "10.98.0.1"
domain  = "pool.example"
pool    = "10.98.1.10-10.98.1.200"
unknown = "discover"
lease_time = "2h"

[[subnet]]
name    = "beside"
network = "192.168.7.128/25"
server  = "192.168.7.130"
mode    = "proxy"

[[subnet]]
name    = "silent"
network = "172.16.0.0/16"
server  = "172.16.0.2"
mode    = "off"

[[subnet]]
name    = "far"
network = "10.50.0.0/24"
server  = "10.99.0.2"
router  = "10.50.0.1"
"#;

const RESERVATIONS: &str = r#"
[defaults]
profile = "linux"

[groups.web]
options = [{ code = 17, text = "nfs:/srv/it's \"here\"", force = true }]
[groups.web-blue]
group = "web"
[groups.signed]
secure_boot = true

[hosts.web01]
mac   = "52:54:00:47:86:8e"
ip    = "10.99.0.11"
group = "web"
notes = "the first, with \"quotes\", a comma\nand a second line"
[[hosts.web01.nic]]
mac  = "52:54:00:47:86:8f"
ip   = "10.98.0.11"
name = "storage"

[hosts.web02]
mac   = ["52:54:00:47:86:90", "52:54:00:47:86:91"]
ip    = "10.99.0.12"
group = "web-blue"
arch  = "x86_64"
fqdn  = "www.example.org"
uuid  = "e2e00000-0000-0000-0000-000000000002"
serial = "SN-2"

[hosts.arm01]
mac  = "52:54:00:47:86:a1"
ip   = "10.99.0.21"
arch = "aarch64"

[hosts.sb01]
mac   = "52:54:00:47:86:b1"
ip    = "10.99.0.31"
group = "signed"
arch  = "x86_64"

[hosts.live01]
mac     = "52:54:00:47:86:c1"
ip      = "10.99.0.41"
profile = "live"

[hosts.never01]
mac     = "52:54:00:47:86:c2"
ip      = "10.99.0.42"
install = "never"

[hosts.pxe01]
mac     = "52:54:00:47:86:c3"
ip      = "10.99.0.43"
loader  = "pxelinux"

[hosts.wide01]
mac     = "52:54:00:47:86:c4"
ip      = "10.98.1.5"

[hosts.held01]
ip      = "10.99.0.51"

[hosts.proxy01]
mac     = "52:54:00:47:86:d1"
subnet  = "beside"

[hosts.proxy02]
mac     = "52:54:00:47:86:d3"
ip      = "192.168.7.140"

[hosts.silent01]
mac     = "52:54:00:47:86:d2"
ip      = "172.16.3.4"

[hosts.far01]
mac     = "52:54:00:47:86:e1"
ip      = "10.50.0.11"
"#;

const LINUX: &str = r#"
title  = "A Linux"
family = "debian"
[boot]
kind    = "linux"
kernel  = "linux/{{ arch }}/linux"
initrd  = ["linux/{{ arch }}/initrd.gz"]
shim    = "linux/{{ arch }}/shim{{ efi_arch }}.efi"
grub    = "linux/{{ arch }}/grub{{ efi_arch }}.efi"
grub_http = false
cmdline = "auto url={{ answers.url }} hostname={{ host.name }}"
[[answers]]
name         = "answer.txt"
template     = "answer.j2"
content_type = "text/plain"
"#;

const LIVE: &str = r#"
title     = "A live system"
family    = "other"
lifecycle = "live"
[boot]
kind    = "linux"
kernel  = "live/linux"
initrd  = ["live/initrd"]
cmdline = "quiet"
"#;

const WHO: &str = r#"
title     = "Who is this?"
family    = "tool"
lifecycle = "live"
[boot]
kind     = "script"
template = "who.j2"
"#;

const BOOT_FILES: [&str; 14] = [
    "ipxe/undionly.kpxe",
    "ipxe/snponly.efi",
    "ipxe/snponly-arm64.efi",
    "pxelinux/pxelinux.0",
    "pxelinux/efi64/syslinux.efi",
    "linux/x86_64/linux",
    "linux/x86_64/initrd.gz",
    "linux/aarch64/linux",
    "linux/aarch64/initrd.gz",
    "linux/x86_64/shimx64.efi",
    "linux/x86_64/grubx64.efi",
    "live/linux",
    "live/initrd",
    "boot.txt",
];

/// The files; `more` are added or replaced.
pub(crate) fn files(more: &[(&str, &str)]) -> MemoryFiles {
    let mut files: MemoryFiles = [
        (MAIN, SERVER),
        (HOSTS, RESERVATIONS),
        ("config/profiles/linux.toml", LINUX),
        ("config/profiles/live.toml", LIVE),
        ("config/profiles/who.toml", WHO),
        (
            "config/templates/answer.j2",
            "{{ host.name }} {{ install.installed }}\n",
        ),
        (
            "config/templates/who.j2",
            "#!ipxe\necho {{ host.mac }}\nexit 1\n",
        ),
    ]
    .into_iter()
    .collect();
    for path in BOOT_FILES {
        files.insert(format!("/boot-assets/{path}"), "a boot file");
    }
    for (path, text) in more {
        files.insert(*path, *text);
    }
    files
}

/// The configuration of these files.
pub(crate) fn in_force(files: &MemoryFiles) -> Arc<InForce> {
    let loaded = load(files, Path::new(MAIN), 1);
    loaded.config.unwrap_or_else(|| {
        panic!(
            "{}",
            show::text(&loaded.problems, &loaded.sources, false, false)
        )
    })
}
