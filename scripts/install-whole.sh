#!/usr/bin/env bash
# Whole installations of Debian 13 by Debian's own installer, a virtual machine each: those of
# tests/install/whole/reservations.toml, or the ones that are named.
#
#   scripts/install-whole.sh [HOST…]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/steps.sh
folder=target/install-test
suite=trixie
release=13
hosts=("$@")
if [ ${#hosts[@]} = 0 ]; then
    mapfile -t hosts < <(sed -n 's/^\[hosts\.\(.*\)\]$/\1/p' tests/install/whole/reservations.toml)
fi
STEPS=$((4 + ${#hosts[@]}))
bootwright() { target/debug/bootwright --config tests/install/whole/bootwright.toml "$@"; }

# The installer, by the signature of the mirror; to its initial RAM disk is added what the mirror lacks.
fetch_boot_files() {
    local initrd=$folder/boot-assets/debian/$release/x86_64/initrd.gz
    bootwright assets fetch ipxe
    bootwright assets fetch debian-$release --from "$folder/boot-assets/$suite/debian"
    cat "$initrd" "$folder/$suite.added" >"$initrd.new"
    mv "$initrd.new" "$initrd"
}

step "install what is missing" scripts/setup.sh install
step "build" cargo test --locked --test install --no-run
step "make the mirror" scripts/install-whole-mirror.sh "$folder" $suite $release
step "fetch the boot files" fetch_boot_files
for host in "${hosts[@]}"; do
    step "install $host" in_networks env INSTALL_TEST_HOST="$host" cargo test --locked --test install
done
finished install-whole
