#!/usr/bin/env bash
# From a fresh Debian machine to a virtual machine whose installer has fetched its own answers.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/steps.sh
STEPS=5

# A build without the release profile's optimisation over the whole program is made in a third of the time.
bootwright=target/debug/bootwright

rehearse() {
    # As an ordinary user where that is allowed (user namespaces and /dev/net/tun), else as root.
    if [ "$(id -u)" = 0 ] || { [ -w /dev/net/tun ] && unshare --user --net true 2>/dev/null; }; then
        "$bootwright" rehearse web01
    elif command -v sudo >/dev/null; then
        echo "         (by sudo: this user may not make networks here)"
        sudo "$bootwright" rehearse web01
    else
        "$bootwright" rehearse web01
    fi
}

step "install what is missing" scripts/setup.sh demo
step "build" cargo build --locked
step "fetch the boot files" "$bootwright" assets fetch ipxe debian-12
step "check the example configuration" "$bootwright" check
step "boot a virtual machine as web01 until its installer has fetched its answers" rehearse
finished demo
