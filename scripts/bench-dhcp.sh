#!/usr/bin/env bash
# DHCP side by side with Kea, ISC dhcpd and dnsmasq, in network namespaces: as root, about half an hour.
# Arguments go to the benchmark: --quick (three minutes), --help.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/steps.sh
STEPS=3

if [ "$(id -u)" != 0 ]; then
    echo "bench-dhcp: it makes network namespaces and needs root: sudo make bench-dhcp" >&2
    exit 1
fi
# The servers write their files and journals to a real disk; however it ends, nothing stays.
folder=$(mktemp -d /var/tmp/bootwright-bench-XXXXXX)
# The daemon gives up its privileges and has to get in.
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

step "install what is missing" scripts/setup.sh bench
step "build" cargo build --locked --release --bench dhcp
step "measure" cargo bench --locked --bench dhcp -- --folder "$folder" "$@"
finished bench-dhcp
