#!/usr/bin/env bash
# Installs, with apt-get, what a fresh Debian machine lacks to run `make demo`, `make test`,
# `make install-test` and `make install-whole`. Does nothing when everything is there.
#
#   scripts/setup.sh           all of it
#   scripts/setup.sh build     only what building needs
#   scripts/setup.sh demo      what `make demo` needs
#   scripts/setup.sh arm       what virtual machines of 64-bit ARM need
#   scripts/setup.sh matrix    what `make boot-matrix` needs
#   scripts/setup.sh loaders   what virtual machines with other boot loaders than iPXE need
#   scripts/setup.sh install   what `make install-test` and `make install-whole` need
#   scripts/setup.sh validators  what the validators of the ready-made profiles need
#   scripts/setup.sh bench     what `make bench-…` need: other servers, which are not started
set -euo pipefail
cd "$(dirname "$0")/.."

RUST=1.95
BUILD=(gcc libc6-dev make)
# The virtual machine: QEMU, its UEFI firmware, iPXE, the installer it boots; the tools of its network.
BOOT=(qemu-system-x86 ovmf ipxe debian-installer-12-netboot-amd64 iproute2 util-linux)
# A virtual machine of 64-bit ARM: its firmware, and a kernel that it can load.
ARM=(qemu-system-arm qemu-efi-aarch64 debian-installer-12-netboot-arm64)
# What is in the initial RAM disk of the systems that take the places of those that cannot be had.
MATRIX=(busybox curl)
# Other boot loaders than iPXE.
LOADERS=(pxelinux syslinux-common syslinux-efi grub-efi-amd64-signed grub-common grub-pc-bin)
# The clients and the relay that the tests run against the daemon, and another DHCP server beside it.
CLIENTS=(busybox tftp-hpa isc-dhcp-client isc-dhcp-relay curl debconf dnsmasq-base)
# A server of disks over the network (iSCSI).
DISKS=(tgt)
# What makes images and signatures for the tests of boot files.
FILES=(xorriso genisoimage gnupg gpgv openssl tar)
# The packages' mirrors of the installation tests; a look into the installed disk and the installed system.
MIRROR=(mmdebstrap uidmap xz-utils e2fsprogs debian-archive-keyring cpio curl gpgv kmod openssh-client)

# The validators of the answers' formats; scripts/setup-validators.sh brings the rest of them.
VALIDATORS=(busybox dash debconf grub-common ignition libxml2-utils python3-venv shellcheck)
# The programs that exports are written for; the servers are not started.
VALIDATORS+=(bind9-utils dnsmasq-base isc-dhcp-server kea-dhcp4-server)

# The servers beside which DHCP, TFTP, HTTP and whole boots are measured; taskset, chrt, unshare.
PEERS=(kea-dhcp4-server isc-dhcp-server dnsmasq-base tftpd-hpa nginx-light iproute2 util-linux)

case ${1:-all} in
build) packages=("${BUILD[@]}") ;;
demo) packages=("${BUILD[@]}" "${BOOT[@]}") ;;
arm) packages=("${BUILD[@]}" "${BOOT[@]}" "${ARM[@]}") ;;
matrix) packages=("${BUILD[@]}" "${BOOT[@]}" "${MATRIX[@]}") ;;
loaders) packages=("${BUILD[@]}" "${BOOT[@]}" "${LOADERS[@]}") ;;
install) packages=("${BUILD[@]}" "${BOOT[@]}" "${MIRROR[@]}") ;;
bench) packages=("${BUILD[@]}" "${PEERS[@]}") ;;
validators) packages=("${BUILD[@]}" "${VALIDATORS[@]}") ;;
*) packages=("${BUILD[@]}" "${BOOT[@]}" "${ARM[@]}" "${LOADERS[@]}" "${CLIENTS[@]}" "${DISKS[@]}" "${FILES[@]}" "${MIRROR[@]}" "${VALIDATORS[@]}") ;;
esac

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# busybox-static is as good as busybox, and the two exclude each other.
is_there() {
    installed "$1" || { [ "$1" = busybox ] && installed busybox-static; }
}

if ! command -v dpkg-query >/dev/null; then
    echo "setup: this is no Debian: what is needed, by the names of Debian's packages: ${packages[*]}" >&2
    exit 1
fi

missing=()
for package in "${packages[@]}"; do
    is_there "$package" || missing+=("$package")
done

if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: missing: ${missing[*]}"
    if [ "$(id -u)" = 0 ]; then
        as_root=(env)
    elif command -v sudo >/dev/null; then
        as_root=(sudo)
    else
        echo "setup: this needs root; run: apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
    install() {
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet \
            --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "${missing[@]}"
    }
    # A server that starts by being installed would answer this network: invoke-rc.d asks this file
    # first. One that is there already stays as it is.
    policy=/usr/sbin/policy-rc.d
    services=()
    for package in "${missing[@]}"; do
        case $package in kea-dhcp4-server | isc-dhcp-server | tftpd-hpa | tgt) services+=("$package") ;;
        nginx-light) services+=(nginx) ;;
        esac
    done
    if [ ${#services[@]} -gt 0 ] && [ ! -e "$policy" ]; then
        trap '"${as_root[@]}" rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
    fi
    # The lists of a fresh machine are empty or old; they are brought up to date only when it is needed.
    if ! install; then
        echo "setup: once more, with the lists of packages brought up to date"
        "${as_root[@]}" apt-get update --quiet
        install
    fi
    # Nor at the next start of the machine.
    for service in "${services[@]}"; do
        if [ -d /run/systemd/system ]; then
            "${as_root[@]}" systemctl disable --quiet --now "$service"
        fi
    done
else
    echo "setup: all ${#packages[@]} packages are there"
fi

# atftpd and tftpd-hpa exclude each other as packages; it runs from a folder just as well.
if [ "${1:-all}" = bench ] && [ ! -x target/bench-peers/usr/sbin/atftpd ]; then
    echo "setup: atftpd, unpacked into target/bench-peers"
    mkdir -p target/bench-peers
    (
        cd target/bench-peers
        rm -f atftpd_*.deb
        apt-get download --quiet atftpd
        dpkg-deb --extract atftpd_*.deb .
        rm -f atftpd_*.deb
    )
fi

if ! command -v cargo >/dev/null; then
    echo "setup: there is no Rust: install Rust $RUST or newer from https://rustup.rs (Debian 12's own is too old)" >&2
    exit 1
fi
version=$(rustc --version | cut -d' ' -f2)
if [ "$(printf '%s\n' "$RUST" "$version" | sort -V | head -n1)" != "$RUST" ]; then
    echo "setup: Rust $version is too old: $RUST or newer is needed (rustup update)" >&2
    exit 1
fi
echo "setup: Rust $version"

case ${1:-all} in
all | validators) scripts/setup-validators.sh ;;
esac
