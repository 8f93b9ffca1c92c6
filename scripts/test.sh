#!/usr/bin/env bash
# Every test: units and contracts, real DHCP, TFTP and HTTP clients in network namespaces, real boots, a whole
# installation.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/steps.sh
STEPS=9
bootwright=target/debug/bootwright

# Cargo leaves out targets with `test = false` unless they are named, and takes names only by themselves.
build() {
    cargo test --locked --all-targets --no-run &&
        cargo test --locked --test boot --test netns_clients --test install --test validators --test boot_matrix --no-run
}

step "install what is missing" scripts/setup.sh
step "build the tests" build
# The properties are held against the same inputs each time: what fails here was broken by a change. To look
# further: PROPTEST_RNG_SEED=NUMBER, and fuzz/README.md.
step "units, properties, contracts" \
    env PROPTEST_RNG_SEED="${PROPTEST_RNG_SEED:-1}" cargo test --locked --quiet
step "validators over every profile" cargo test --locked --test validators
step "real clients in network namespaces" \
    in_networks cargo test --locked --test netns_clients -- --test-threads=2
step "fetch the boot files" "$bootwright" assets fetch ipxe debian-12
step "real boots, one machine at a time" \
    in_networks cargo test --locked --test boot -- --test-threads=1 --nocapture
# One of each way by which installers find their answers; `make boot-matrix` boots all.
step "installers of other systems, by a Linux in their places" \
    in_networks env BOOT_MATRIX_INSTALLERS="$PWD/boot-assets" cargo test --locked --test boot_matrix -- \
    alma-9 ubuntu-24.04 leap-15 flatcar bios
step "a whole installation" scripts/install-test.sh
finished test
