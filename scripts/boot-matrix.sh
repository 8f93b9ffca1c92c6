#!/usr/bin/env bash
# Boots every ready-made profile on a virtual machine, with BIOS and with UEFI: real iPXE has to ask for its script
# and for each file of the profile, in order, and to start what it has loaded with the right command line. In the
# places of Linux systems stands one that does what their installers do until the first write to a disk; in those
# of all others stand-ins that tell how they were started. Where a system's own files can be had here, these are
# booted as well.
#
#   scripts/boot-matrix.sh [PROFILE…] [bios] [uefi-x64]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/steps.sh
STEPS=4
[ $# -gt 0 ] || STEPS=8
folder=$PWD/target/boot-matrix
installers=$folder/installers
bootwright=target/debug/bootwright

# A configuration for fetching alone.
configuration() {
    mkdir -p "$folder"
    : >"$folder/reservations.toml"
    cat >"$folder/bootwright.toml" <<CONF
[server]
interfaces   = ["lo"]
boot_assets  = "$installers"
profiles     = "$PWD/config/profiles"
templates    = "$PWD/config/templates"
reservations = ["reservations.toml"]
[[subnet]]
network = "10.99.0.0/24"
CONF
}

# Debian 13's installer from the package of that release, for mirrors without the folder of installers. It is taken
# with lists of packages of its own: nothing of this machine's changes.
debian_13_package() {
    local apt=$folder/apt place=usr/lib/debian-installer/images/13/amd64/text/debian-installer/amd64
    mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,unpacked}
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" \
        >"$apt/sources.list"
    local options=(-q -o Dir::State="$apt/state" -o Dir::Cache="$apt/cache" -o Dir::Etc::sourcelist="$apt/sources.list"
        -o Dir::Etc::sourceparts=- -o Dir::State::status=/var/lib/dpkg/status)
    [ "$(id -u)" != 0 ] || options+=(-o APT::Sandbox::User=root)
    apt-get "${options[@]}" update &&
        (cd "$apt" && apt-get "${options[@]}" download debian-installer-13-netboot-amd64) &&
        dpkg-deb --fsys-tarfile "$apt"/debian-installer-13-netboot-amd64_*.deb |
        tar -C "$apt/unpacked" -x "./$place/linux" "./$place/initrd.gz" &&
        install -D -m 644 -t "$installers/debian/13/x86_64" "$apt/unpacked/$place"/{linux,initrd.gz} &&
        rm -rf "$apt"
}

fetch() {
    configuration
    local fetch=("$bootwright" --config "$folder/bootwright.toml" assets fetch)
    "${fetch[@]}" ipxe
    "${fetch[@]}" debian-12 || echo "Debian 12's installer cannot be had: only stand-ins are booted"
    "${fetch[@]}" memtest || echo "the memory test cannot be had: only its stand-in is booted"
    [ -e "$installers/debian/13/x86_64/linux" ] || "${fetch[@]}" debian-13 || debian_13_package ||
        echo "Debian 13's installer cannot be had: only its stand-in is booted"
}

step "install what is missing" scripts/setup.sh matrix
step "build" cargo test --locked --test boot_matrix --no-run
step "fetch the systems that can be had" fetch
step "boot every profile, one machine at a time" \
    in_networks env BOOT_MATRIX_INSTALLERS="$installers" cargo test --locked --test boot_matrix -- "$@"
# Minutes of emulation: not among the boots of `make test`.
if [ $# = 0 ]; then
    step "install what other loaders need" scripts/setup.sh loaders
    step "PXELINUX and GRUB in iPXE's place" \
        in_networks cargo test --locked --test boot -- --ignored --test-threads=1 loaders::
    step "install what 64-bit ARM needs" scripts/setup.sh arm
    step "64-bit ARM by shim and GRUB" \
        in_networks cargo test --locked --test boot -- --ignored --test-threads=1 secure::an_arm
fi
finished boot-matrix
