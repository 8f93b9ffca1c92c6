#!/usr/bin/env bash
# A whole installation of a virtual machine: from its first network boot to the login of the system on its disk.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/steps.sh
STEPS=5
folder=target/install-test

step "install what is missing" scripts/setup.sh install
step "build" cargo test --locked --test install --no-run
step "fetch the boot files" \
    target/debug/bootwright --config tests/install/config/bootwright.toml assets fetch ipxe debian-12
step "make the mirror" scripts/install-mirror.sh "$folder" "$folder/boot-assets/debian/12/x86_64/linux"
step "install a virtual machine" in_networks cargo test --locked --test install
finished install-test
