#!/bin/sh
# What the Ubuntu installer runs for raid:
#
#   early       early-commands: reports the start and finds the disk; ends only when there is one to install on
#   late        late-commands: network, password, keys, users and snippets, the report of the first start
#   error       error-commands: reports what went wrong
#   which-disk  by hand: says which disk would be taken, or why none

umask 022
root=${BOOTWRIGHT_ROOT:-}                # another root folder, for tests
target=$root/target
patience=${BOOTWRIGHT_PATIENCE:-20}      # seconds that disks may take to appear
failed=$root/run/bootwright.failed
logs=$root/var/log/installer

# The installer's proxy is not for reports and answers: the server knows the machine by its own address.
no_proxy=${no_proxy:+$no_proxy,}10.99.0.2
NO_PROXY=$no_proxy
export no_proxy NO_PROXY

# --- reports -------------------------------------------------------------------------------------

# report EVENT MESSAGE
report() {
    case $1 in
    started) url=http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/started ;;
    progress) url=http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/progress ;;
    installed) url=http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/installed ;;
    failed) url=http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/failed ;;
    *) return 1 ;;
    esac
    message=$(printf '%s' "$2" | tr '\n\t' '  ' | tr -cd ' -~' | cut -c1-700)
    for try in 1 2 3; do
        curl -fsS -m 20 -o /dev/null --data-urlencode "message=$message" "$url" </dev/null >/dev/null 2>&1 && return 0
        sleep $((try * 2))
    done
    return 1
}

# send_log FILE NAME: its last 4 MB
send_log() {
    if [ ! -s "$1" ]; then return 0; fi
    tail -c 4000000 "$1" >"$root/tmp/bootwright.log"
    curl -fsS -m 60 -o /dev/null -H 'Content-Type: text/plain' --data-binary "@$root/tmp/bootwright.log" \
        http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/logs"/$2" </dev/null >/dev/null 2>&1
    rm -f "$root/tmp/bootwright.log"
}

# On every console, and in the log.
say() {
    logger -t bootwright "$1" 2>/dev/null
    cut -d ' ' -f 1 "$root/proc/consoles" 2>/dev/null | while read -r console; do
        printf '\r\n*** Bootwright: %s\r\n' "$1" >"$root/dev/$console" 2>/dev/null
    done
}

send_logs() {
    send_log "$logs/subiquity-server-debug.log" subiquity-server-debug.log
    send_log "$logs/curtin-install.log" curtin-install.log
}

# Nothing more is done on this machine until somebody comes or it is started again.
stop() {
    : >"$failed"
    say "$1"
    report failed "$1"
    send_logs
    while sleep 60; do say "$1"; done
}

# fetch NAME FILE: one more of the answers; it may hold secrets
fetch() {
    for try in 1 2 3 4 5; do
        (umask 077 && curl -fsS -m 60 -o "$2" http://10.99.0.2:8080/answers/abcdefghijklmnopqrstuvwxyz/"$1" </dev/null) && return 0
        rm -f "$2"
        sleep "$try"
    done
    return 1
}

# The installer's own reports go by the proxy, and may not arrive. A sign of life as long as its logs grow.
watch_logs() {
    size=0
    while sleep 300; do
        if [ -e "$failed" ]; then return; fi
        now=$(cat "$logs"/*.log 2>/dev/null | wc -c)
        if [ "$now" != "$size" ]; then
            size=$now
            report progress "the installer is at work"
        fi
    done
}

# --- the disk ------------------------------------------------------------------------------------
# Names are those under /sys/block, where `!` stands for a slash.

value() { cat "$root/sys/block/$1" 2>/dev/null; }

# Whether it is a disk with something on it: no loop device, RAM disk, array, CD or empty reader.
is_disk() {
    if [ ! -e "$root/sys/block/$1/device" ]; then return 1; fi
    case $1 in
    sr* | fd* | st* | nbd* | mmcblk*boot* | mmcblk*rpmb) return 1 ;;
    esac
    case $(value "$1/device/type") in
    1 | 5 | 7) return 1 ;;               # SCSI: tape, CD, optical memory
    esac
    if [ "$(value "$1/hidden")" = 1 ]; then return 1; fi
    [ "$(value "$1/size")" -gt 0 ] 2>/dev/null
}

# Why a disk is not taken by itself; nothing for a fixed, writable one.
drawback() {
    if [ "$(value "$1/ro")" = 1 ]; then echo 'read-only'; return; fi
    if [ "$(value "$1/removable")" = 1 ]; then echo 'removable'; return; fi
    if [ "$(value "$1/device/type")" = SD ]; then echo 'SD card'; return; fi
    case $(readlink -f "$root/sys/block/$1") in
    */usb[0-9]*) echo 'USB'; return ;;
    esac
    case $(readlink -f "$root/sys/block/$1/device") in
    */usb[0-9]*) echo 'USB' ;;
    esac
}

# "vda (21 GB, QEMU HARDDISK)"
describe() {
    bytes=$(($(value "$1/size") * 512))
    if [ "$bytes" -ge 1000000000 ]; then
        text="$((bytes / 1000000000)) GB"
    else
        text="$((bytes / 1000000)) MB"
    fi
    model=$(value "$1/device/model")
    if [ -z "$model" ]; then model=$(value "$1/device/name"); fi
    model=$(printf '%s' "$model" | sed -e 's/  */ /g' -e 's/ $//')
    but=$(drawback "$1")
    printf '%s' "$(printf '%s' "$1" | tr '!' /) ($text${model:+, $model}${but:+, $but})"
}

seen_disks() {
    all=
    for path in "$root"/sys/block/*; do
        if is_disk "${path##*/}"; then all="$all${all:+; }$(describe "${path##*/}")"; fi
    done
    echo "${all:-none}"
}

# Resolves what the operator wrote to a name under /sys/block. Sets `disk`, or `trouble`.
named_disk() {
    case $1 in
    /dev/*) path=$1 ;;
    disk/*) path=/dev/$1 ;;
    by-*/*) path=/dev/disk/$1 ;;
    *)
        path=/dev/$1
        if [ ! -e "$root$path" ] && [ -e "$root/dev/disk/by-id/$1" ]; then path=/dev/disk/by-id/$1; fi
        ;;
    esac
    real=$(readlink -f "$root$path")
    if [ -z "$real" ] || [ ! -e "$real" ]; then trouble="there is no $path"; return 1; fi
    name=$(printf '%s' "${real#"$root"/dev/}" | tr / '!')
    if [ ! -d "$root/sys/block/$name" ]; then
        trouble="$path is a partition or no disk at all; name the whole disk"
        return 1
    fi
    if ! is_disk "$name"; then trouble="$path is no disk that can be installed on"; return 1; fi
    if [ "$(value "$name/ro")" = 1 ]; then trouble="$path is read-only"; return 1; fi
    disk=$name
}

# Fixed, writable disks, the smallest first: a line with its size and its name for each.
fixed_disks() {
    for path in "$root"/sys/block/*; do
        name=${path##*/}
        if is_disk "$name" && [ -z "$(drawback "$name")" ]; then
            echo "$(value "$name/size") $name"
        fi
    done | sort -n
}

# extreme_disks COUNT smallest|largest: so many of them. Sets `disk`, or `trouble`.
extreme_disks() {
    disk=
    if [ "$(fixed_disks | grep -c .)" -lt "$1" ]; then
        trouble="there is no fixed, writable disk"
        if [ "$1" != 1 ]; then trouble="there are not $1 fixed, writable disks"; fi
        return 1
    fi
    case $2 in
    smallest) disk=$(fixed_disks | head -n "$1") ;;
    *) disk=$(fixed_disks | tail -n "$1") ;;
    esac
    disk=$(printf '%s\n' "$disk" | cut -d ' ' -f 2)
}

# The disks of the RAID1. Sets `disk` to their names, or `trouble`.
find_disks() {
    if [ "$#" -ge 2 ]; then
        found=
        for one in "$@"; do
            named_disk "$one" || { disk=; return 1; }
            case " $found " in
            *" $disk "*) trouble="$one is a disk that is named twice"; disk=; return 1 ;;
            esac
            found="$found${found:+ }$disk"
        done
        disk=$found
        return 0
    fi
    case ${1:-} in
    smallest | largest) extreme_disks 2 "$1" && return 0 || return 1 ;;
    '') ;;
    *) trouble="a RAID1 needs two disks, and only $1 is named"; return 1 ;;
    esac
    disk=
    count=$(fixed_disks | grep -c .)
    if [ "$count" != 2 ]; then
        trouble="a RAID1 needs two disks, there are $count, and vars.disks does not say which"
        return 1
    fi
    disk=$(fixed_disks | cut -d ' ' -f 2)
}

# Sets `disk` to the path of the disk to install on (of a RAID1 to those of both, with a space between), or
# `trouble`. Drivers may still be at work.
choose_disk() {
    waited=0
    disk=
    while :; do
        find_disks "$@"
        if [ -n "$disk" ]; then
            disk=$(for name in $disk; do printf '/dev/%s ' "$name" | tr '!' /; done)
            disk=${disk% }
            return 0
        fi
        # Waiting brings further disks, not fewer.
        case $trouble in
        'there are '[2-9]* | 'there are '[1-9][0-9]*) break ;;
        esac
        if [ "$waited" -ge "$patience" ]; then break; fi
        sleep 2
        waited=$((waited + 2))
    done
    trouble="$trouble. Disks: $(seen_disks)"
    return 1
}

# What the operator wrote, as arguments of choose_disk.
wanted_disk() { choose_disk /dev/sda /dev/disk/by-id/ata-ACME_SSD_2; }

# The installer reads its answers again after this: they get the storage section for this firmware and disk.
set_storage() {
    if [ -d "$root/sys/firmware/efi" ]; then firmware=uefi; else firmware=bios; fi
    fetch storage.yaml "$root/run/bootwright-storage.yaml" || return 1
    # shellcheck disable=SC2086
    env -u LD_LIBRARY_PATH /usr/bin/python3 -I - "$root/autoinstall.yaml" "$root/run/bootwright-storage.yaml" \
        "$firmware" $disk <<'SCRIPT'
import os, sys, yaml

answers, actions, firmware, *disks = sys.argv[1:]
with open(actions) as file:
    storage = yaml.safe_load(file)[firmware]
paths = {"bootwright-disk-%d" % number: path for number, path in enumerate(disks, 1)}
for action in storage["config"]:
    if action["type"] == "disk":
        action["path"] = paths[action["path"]]
with open(answers) as file:
    config = yaml.safe_load(file)
config.get("autoinstall", config)["storage"] = storage
with open(answers + ".new", "w") as file:
    os.chmod(file.fileno(), 0o600)
    yaml.safe_dump(config, file)
os.rename(answers + ".new", answers)
SCRIPT
}

# --- the installed system ------------------------------------------------------------------------

write_names() {
    echo raid >"$target/etc/hostname" || return 1
    {
        echo '127.0.0.1 localhost'
        echo '127.0.1.1 raid.lab.example raid'
        echo '::1 ip6-localhost ip6-loopback'
        echo 'fe00::0 ip6-localnet'
        echo 'ff00::0 ip6-mcastprefix'
        echo 'ff02::1 ip6-allnodes'
        echo 'ff02::2 ip6-allrouters'
    } >"$target/etc/hosts"
}

write_timezone() {
    zone=Etc/UTC
    if [ ! -f "$target/usr/share/zoneinfo/$zone" ]; then return 1; fi
    ln -sf "/usr/share/zoneinfo/$zone" "$target/etc/localtime" && echo "$zone" >"$target/etc/timezone"
}

write_ntp() {
    mkdir -p "$target/etc/systemd/timesyncd.conf.d" || return 1
    cat >"$target/etc/systemd/timesyncd.conf.d/bootwright.conf" <<'CONF'
[Time]
NTP=ntp1.lab.example ntp2.lab.example
CONF
}

# prefer MAC…: of several ports that are no bond the one with a cable has the address
prefer() {
    if [ "$#" -lt 2 ]; then return; fi
    for mac in "$@"; do
        for path in "$root"/sys/class/net/*; do
            if [ -e "$path/device" ] && [ "$(cat "$path/address" 2>/dev/null)" = "$mac" ] &&
                [ "$(cat "$path/carrier" 2>/dev/null)" = 1 ]; then
                sed -i "s/\"$1\"/\"$mac\"/" "$target/etc/netplan/01-bootwright.yaml"
                return
            fi
        done
    done
}

# The reserved addresses, in place of what the installer itself was given.
write_network() {
    mkdir -p "$target/etc/netplan" || return 1
    fetch netplan.yaml "$target/etc/netplan/01-bootwright.yaml" || return 1
    prefer 52:54:00:00:00:03
    for file in "$target"/etc/netplan/*.yaml; do
        if [ "${file##*/}" != 01-bootwright.yaml ]; then rm -f "$file"; fi
    done
    rm -f "$target/etc/cloud/cloud.cfg.d/90-installer-network.cfg"
}

# The first start makes neither a network of its own nor a user of the distribution's.
write_cloud_config() {
    mkdir -p "$target/etc/cloud/cloud.cfg.d" || return 1
    printf 'network: {config: disabled}\nusers: []\n' >"$target/etc/cloud/cloud.cfg.d/99-bootwright.cfg"
}

# At its first start the system does what is left for then (common/library.sh.j2, at_first_boot) and says that
# it is up; the unit takes itself away afterwards. `$target` is the folder of the installed system.
write_up() {
    # It holds the token of this installation.
    mkdir -p "$target/usr/local/sbin" || return 1
    (umask 077 && cat >"$target/usr/local/sbin/bootwright-up") <<'SCRIPT' || return 1
url=http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/up
steps=/usr/local/lib/bootwright/first-boot.d
logs=/var/log/bootwright
mkdir -p "$logs"
left=
for step in "$steps"/*; do
    [ -f "$step" ] || continue
    name=${step##*/}
    if sh "$step" >>"$logs/first-boot-$name.log" 2>&1; then
        rm -f "$step"
    else
        left="$left+$name"
    fi
done
message=up
if [ -n "$left" ]; then message="up,+but+not+all+of+the+first+start+went+well:$left"; fi
if command -v curl >/dev/null 2>&1; then
    curl -fsS -m 20 -o /dev/null --data "message=$message" "$url" || exit 1
else
    wget -q -T 20 -O /dev/null "$url?message=$message" || exit 1
fi
rm -f /etc/systemd/system/bootwright-up.service /usr/local/sbin/bootwright-up \
    /etc/systemd/system/multi-user.target.wants/bootwright-up.service /etc/local.d/bootwright-up.start
SCRIPT
    if [ -d "$target/etc/runlevels" ]; then
        # OpenRC: what lies in local.d runs at each start, until it is gone.
        mkdir -p "$target/etc/local.d" || return 1
        printf '#!/bin/sh\nfor try in 1 2 3 4 5 6 7 8 9 10; do sh /usr/local/sbin/bootwright-up && break; sleep 30; done\n' \
            >"$target/etc/local.d/bootwright-up.start" || return 1
        chmod 755 "$target/etc/local.d/bootwright-up.start" || return 1
        ln -sf /etc/init.d/local "$target/etc/runlevels/default/local"
        return
    fi
    units=$target/etc/systemd/system
    mkdir -p "$units/multi-user.target.wants" || return 1
    cat >"$units/bootwright-up.service" <<'UNIT' || return 1
[Unit]
Description=Tell the boot server that this machine is up
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=1d
StartLimitBurst=200

[Service]
Type=oneshot
ExecStart=/bin/sh /usr/local/sbin/bootwright-up
TimeoutStartSec=1h
Restart=on-failure
RestartSec=30

[Install]
WantedBy=multi-user.target
UNIT
    ln -sf ../bootwright-up.service "$units/multi-user.target.wants/bootwright-up.service"
}

# With UEFI the other disk's EFI partition gets the same files: the firmware starts the machine from either.
mirror_efi() {
    if [ ! -d "$root/sys/firmware/efi" ]; then return 0; fi
    one=$(findmnt -n -o SOURCE "$target/boot/efi") || return 1
    wanted_disk || return 1
    for other in $disk; do
        part=$(lsblk -n -r -p -o NAME,FSTYPE "$other" | sed -n 's/ vfat$//p' | head -n 1)
        if [ -z "$part" ] || [ "$part" = "$one" ]; then continue; fi
        mkdir -p "$root/run/bootwright-efi" && mount "$part" "$root/run/bootwright-efi" || return 1
        cp -R "$target/boot/efi/." "$root/run/bootwright-efi/"
        status=$?
        umount "$root/run/bootwright-efi"
        return "$status"
    done
    return 1
}

# -------------------------------------------------------------------------------------------------

case ${1:-} in
early)
    report started "the Ubuntu installer has its answers"
    wanted_disk || stop "nothing was written to any disk: $trouble"
    set_storage || stop "nothing was written to any disk: the answers could not be given the disk $disk"
    report progress "installing on $disk"
    (
        exec </dev/null >/dev/null 2>&1
        watch_logs
    ) &
    ;;
late)
    failures=
    write_names || failures="$failures the host name could not be written;"
    write_timezone || failures="$failures there is no time zone $zone;"
    write_ntp || failures="$failures the time servers could not be written;"
    write_network || failures="$failures the static address could not be written;"
    write_cloud_config || failures="$failures the first start could not be configured;"
    write_up || failures="$failures the report of the first start could not be set up;"
    mirror_efi || failures="$failures the EFI partition could not be copied to the other disk;"
    send_logs
    report installed "installed${failures:+, but:$failures}"
    ;;
error)
    if [ -e "$failed" ]; then exit 0; fi
    : >"$failed"
    reason=$(grep -h -E 'ERROR|CRITICAL' "$logs/subiquity-server-debug.log" 2>/dev/null | tail -n 1 | cut -c 1-300)
    say "the installation has failed${reason:+: $reason}"
    report failed "the installation has failed${reason:+: $reason}"
    send_logs
    journalctl -b --no-pager -n 5000 >"$root/run/bootwright-journal.log" 2>/dev/null
    send_log "$root/run/bootwright-journal.log" journal.log
    ;;
which-disk)
    if wanted_disk; then
        echo "$disk"
    else
        echo "$trouble" >&2
        exit 1
    fi
    ;;
*)
    echo "usage: sh $0 early|late|error|which-disk" >&2
    exit 2
    ;;
esac
exit 0
