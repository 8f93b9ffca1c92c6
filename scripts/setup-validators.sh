#!/usr/bin/env bash
# Brings what tests/validators needs beside Debian's packages into target/validators: Python tools in a
# virtual environment, and the schemas of Debian's cloud-init package, which is unpacked and not installed
# (it would configure this machine at its next start). Does nothing when everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."

place=target/validators
wanted=tests/validators/requirements.txt
mkdir -p "$place"

if ! cmp -s "$wanted" "$place/requirements.txt"; then
    echo "setup: the validators' Python tools, into $place/venv"
    rm -rf "$place/venv" "$place/requirements.txt"
    python3 -m venv "$place/venv"
    "$place/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" "$place/requirements.txt"
fi

schemas=usr/lib/python3/dist-packages/cloudinit/config/schemas
if [ ! -e "$place/cloud-init/schema-cloud-config-v1.json" ]; then
    echo "setup: the schemas of Debian's cloud-init, into $place/cloud-init"
    unpacked=$(mktemp -d "$PWD/$place/unpack.XXXXXX")
    trap 'rm -rf "$unpacked"' EXIT
    if ! (cd "$unpacked" && apt-get download --quiet cloud-init >/dev/null 2>&1); then
        if [ "$(id -u)" = 0 ]; then apt-get update --quiet; else sudo apt-get update --quiet; fi
        (cd "$unpacked" && apt-get download --quiet cloud-init)
    fi
    dpkg-deb --extract "$unpacked"/cloud-init_*.deb "$unpacked"
    mkdir -p "$place/cloud-init"
    cp "$unpacked/$schemas"/*.json "$place/cloud-init/"
fi
echo "setup: the validators are there"
