#!/usr/bin/env bash
# Side by side with other servers, in network namespaces: as root. The first argument says what: dhcp (half an hour),
# files (an hour), storm (an hour). The others go to the benchmark: --quick (a few minutes), --help.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/steps.sh
STEPS=3
what=$1
shift

if [ "$(id -u)" != 0 ]; then
    echo "bench-$what: it makes network namespaces and needs root: sudo make bench-$what" >&2
    exit 1
fi
# The servers write their files and journals to a real disk; however it ends, nothing stays.
folder=$(mktemp -d /var/tmp/bootwright-bench-XXXXXX)
# The daemon gives up its privileges and has to get in.
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

step "install what is missing" scripts/setup.sh bench
step "build" cargo build --locked --release --bench "$what"
step "measure" cargo bench --locked --bench "$what" -- --folder "$folder" "$@"
finished "bench-$what"
