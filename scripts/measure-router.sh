#!/usr/bin/env bash
# How long a network boot takes with and without `[boot] router_advertisement = "ipxe"`: virtual machines on the shipped
# configuration until their kernel is sent, both ways in turn, medians of ROUNDS (3).
#
#   scripts/measure-router.sh [bios] [uefi-x64]     both when none is named
#
# Needs the boot files
# (`bootwright assets fetch ipxe debian-12`) and what `make demo` needs; changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/steps.sh
bootwright=${BOOTWRIGHT:-target/debug/bootwright}
rounds=${ROUNDS:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/on" "$work/off"
for way in on off; do
    cp -r config "$work/$way/config"
    ln -s "$PWD/boot-assets" "$work/$way/boot-assets"
done
config=config/bootwright.toml
grep -q '^router_advertisement = "ipxe"' "$work/on/$config"
sed -i '/^router_advertisement = /d' "$work/off/$config"

# What is looked for among the steps that a rehearsal tells, and what the table calls it.
STEPS_SEEN=(
    'boot loader .* sent=boot loader sent'
    'iPXE has its address=iPXE has its address'
    'boot script with=boot script served'
    'kernel sent=kernel sent'
)

SCRIPT='boot script served'
WAITED='of it from the address to the script'

# boot WAY HOST FIRMWARE ROUND: one boot; the times of its steps go to files by step.
boot() {
    local way=$1 host=$2 firmware=$3 round=$4 out="$work/$1/$3.$4.out" at=0 before seen
    printf '%s, %s, round %d: ' "$firmware" "$way" "$round" >&2
    in_networks "$bootwright" --config "$work/$way/$config" rehearse "$host" --firmware "$firmware" \
        --until kernel --timeout 180s >"$out" 2>&1 || {
        cat "$out" >&2
        return 1
    }
    for seen in "${STEPS_SEEN[@]}"; do
        # The first such step after the one before.
        before=$at
        at=$(awk -v from="$at" -v words="${seen%%=*}" \
            '$1 ~ /^[0-9.]+s$/ && $1 + 0 >= from && $0 ~ words { print $1 + 0; exit }' "$out")
        echo "$at" >>"$work/$way/$firmware.${seen#*=}"
        # A busy machine makes firmware slow, and with it all that comes later: this it does not touch.
        [ "${seen#*=}" != "$SCRIPT" ] ||
            awk "BEGIN { print $at - $before }" >>"$work/$way/$firmware.$WAITED"
    done
    printf '%s s\n' "$at" >&2
}

median() {
    sort -n "$1" | awk '{ all[NR] = $1 } END { print NR % 2 ? all[(NR + 1) / 2] : (all[NR / 2] + all[NR / 2 + 1]) / 2 }'
}

# table HOST FIRMWARE: all rounds of one firmware, and what they come to.
table() {
    local host=$1 firmware=$2 round way seen name off on
    for round in $(seq "$rounds"); do
        for way in off on; do boot "$way" "$host" "$firmware" "$round"; done
    done
    printf '\n| `rehearse %s --firmware %s`, s since power-on | off | ipxe | saved |\n| --- | --- | --- | --- |\n' \
        "$host" "$firmware"
    for seen in "${STEPS_SEEN[@]}" "=$WAITED"; do
        name=${seen#*=}
        off=$(median "$work/off/$firmware.$name")
        on=$(median "$work/on/$firmware.$name")
        printf '| %s | %.1f | %.1f | %.1f |\n' "$name" "$off" "$on" "$(awk "BEGIN { print $off - $on }")"
    done
}

[ $# -gt 0 ] || set -- bios uefi-x64
for firmware; do
    case $firmware in
    bios) table web01 bios ;;
    uefi-x64) table web02 uefi-x64 ;;
    *)
        echo "measure-router: $firmware is neither bios nor uefi-x64" >&2
        exit 2
        ;;
    esac
done
