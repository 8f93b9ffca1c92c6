#!/usr/bin/env bash
# TFTP side by side with dnsmasq and tftpd-hpa, both engines of ours, in network namespaces: as root, about half an hour.
# Arguments go to the benchmark: --quick (two minutes), --help.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/steps.sh
STEPS=3

if [ "$(id -u)" != 0 ]; then
    echo "bench-tftp: it makes network namespaces and needs root: sudo make bench-tftp" >&2
    exit 1
fi
# The servers write their files and journals to a real disk; however it ends, nothing stays.
folder=$(mktemp -d /var/tmp/bootwright-bench-XXXXXX)
# The daemon gives up its privileges and has to get in.
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

step "install what is missing" scripts/setup.sh bench
step "build" cargo build --locked --release --bench tftp
step "measure" cargo bench --locked --bench tftp -- --folder "$folder" "$@"
finished bench-tftp
