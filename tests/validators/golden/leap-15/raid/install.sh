#!/bin/sh
# What AutoYaST runs for raid, in its installation system:
#
#   pre          before the profile is used: reports the start, finds the disk and the names of the network
#                cards, writes both into the profile, and watches the installer from then on; ends only when
#                there is a disk to install on
#   partitioned  the disk is divided
#   copy         the packages are there: copies itself into the new system, under /mnt
#   late         in the new system, when its boot loader is there: users, snippets, the report of the first start
#   which-disk   by hand: says which disk would be taken, or why none

root=${BOOTWRIGHT_ROOT:-}                # another root folder, for tests
target=$root/mnt
profile=$root/tmp/profile/autoinst.xml
modified=$root/tmp/profile/modified.xml
log=$root/var/log/YaST2/y2log
patience=${BOOTWRIGHT_PATIENCE:-20}      # seconds that disks may take to appear
stopped=$root/tmp/bootwright.stopped
wanted_log=/root/bootwright.log-wanted   # by what runs in the new system, which does not see the installer's log
resolver=$root/root/bootwright.resolv

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

# Nothing more is done on this machine until somebody comes or it is started again.
stop() {
    : >"$stopped"
    say "$1"
    report failed "$1"
    send_log "$log" y2log
    while sleep 60; do say "$1"; done
    exit 1
}

# --- the watch -----------------------------------------------------------------------------------
# The installer has no hook for failures: it shows a dialog and waits. Its log stops growing then.

watch_log() {
    size=0 quiet=0 beat=0
    while sleep 10; do
        if [ -e "$stopped" ]; then return; fi
        if [ -e "$target$wanted_log" ]; then
            send_log "$log" y2log
            rm -f "$target$wanted_log"
            return
        fi
        beat=$((beat + 1))
        before=$size size=$(cat "$log" "$target/var/log/zypp/history" 2>/dev/null | wc -c)
        if [ "$size" != "$before" ]; then
            quiet=0
        else
            quiet=$((quiet + 1))
        fi
        # a sign of life every five minutes
        if [ "$beat" -ge 30 ] && [ "$quiet" -lt 30 ]; then
            beat=0
            count=$(grep -c '|install|' "$target/var/log/zypp/history" 2>/dev/null)
            report progress "${count:-0} packages installed"
        fi
        if [ "$quiet" = 120 ]; then
            report failed "the installer has written nothing to its log for 20 minutes; it may be asking a question. Last: $(tail -n 1 "$log" | cut -c1-200)"
            send_log "$log" y2log
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

# --- the network cards ---------------------------------------------------------------------------
# The profile calls them net and their MAC address. They keep the names that they have here instead, each
# bound to its address by a udev rule.

# card NAME MAC…: of several the one with a cable
card() {
    name=$1
    first=$2
    shift
    found='' with='' up=
    for mac in "$@"; do
        for path in "$root"/sys/class/net/*; do
            if [ -e "$path/device" ] && [ "$(cat "$path/address" 2>/dev/null)" = "$mac" ]; then
                if [ -z "$found" ]; then found=${path##*/} with=$mac; fi
                if [ -z "$up" ] && [ "$(cat "$path/carrier" 2>/dev/null)" = 1 ]; then
                    up=yes found=${path##*/} with=$mac
                fi
            fi
        done
        shift
    done
    if [ -z "$found" ]; then
        report progress "no network card has the MAC address $first: it is configured as $name"
        return
    fi
    printf 's|%s|%s|g\n' "$name" "$found" >>"$root/tmp/bootwright.sed"
    if [ "$with" != "$first" ]; then
        printf 's|<value>%s</value>|<value>%s</value>|\n' "$first" "$with" >>"$root/tmp/bootwright.sed"
    fi
}

cards() {
    :
    card net525400000003 52:54:00:00:00:03
}

# --- the installed system ------------------------------------------------------------------------

# inside COMMAND…: in the new system
inside() {
    if [ -n "$target" ]; then chroot "$target" "$@"; else "$@"; fi
}

# Users and snippets, inside the new system. What went wrong there is in `snippets_failed`.
run_snippets() {
    snippets_failed=
    : # none are given
}

# services SERVICE…: from the first start on
services() {
    for service in "$@"; do
        inside systemctl enable "$service" >/dev/null 2>&1 || return 1
    done
}

# With UEFI the other disk gets the same EFI partition: the firmware starts the machine from either.
mirror_efi() {
    partition=$(sed -n "s,^\([^ ]*\) $target/boot/efi .*,\1,p" "$root/proc/mounts" | head -n 1)
    if [ -z "$partition" ]; then return 0; fi
    wanted_disk || return 1
    other='' part=''
    for one in $disk; do
        number=${partition#"$one"}
        if [ "$number" = "$partition" ]; then other=$one; else part=$number; fi
    done
    if [ -z "$other" ] || [ -z "$part" ]; then return 1; fi
    # "nvme0n1p2" has a letter before its number that "sda2" has not.
    part=${part#p}
    case $other in
    *[0-9]) other=${other}p$part ;;
    *) other=$other$part ;;
    esac
    if [ "$(cat "$root/sys/class/block/${partition##*/}/size")" != "$(cat "$root/sys/class/block/${other##*/}/size")" ]; then
        return 1
    fi
    sync
    cat "$partition" >"$other"
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

# All of it. Sets `failures`.
finish() {
    failures=
    services sshd || failures="$failures sshd could not be enabled;"
    run_snippets || failures="$failures the snippets could not be run;"
    if [ -n "$snippets_failed" ]; then failures="$failures $snippets_failed;"; fi
    write_up || failures="$failures the report of the first start could not be set up;"
    mirror_efi || failures="$failures the EFI partition could not be copied to the other disk;"
}

# -------------------------------------------------------------------------------------------------

case ${1:-} in
pre)
    report started "AutoYaST has its profile"
    if ! wanted_disk; then stop "nothing was written to any disk: $trouble"; fi
    : >"$root/tmp/bootwright.sed"
    number=0
    for one in $disk; do
        number=$((number + 1))
        printf 's|/dev/bootwright-disk-%s|%s|g\n' "$number" "$one" >>"$root/tmp/bootwright.sed"
    done
    cards
    if ! sed -f "$root/tmp/bootwright.sed" "$profile" >"$modified.new" || ! mv "$modified.new" "$modified"; then
        stop "nothing was written to any disk: the profile could not be changed"
    fi
    report progress "installing on $disk"
    # No descriptor may be kept open: the installer waits until all are closed.
    (
        exec </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&-
        watch_log
    ) &
    ;;
partitioned)
    report progress "the disk is divided"
    ;;
copy)
    (umask 077 && cp "$0" "$target/root/bootwright.sh") && cp /etc/resolv.conf "$target/root/bootwright.resolv"
    ;;
late)
    target=$root
    finish
    rm -f "$root/root/bootwright.sh" "$resolver"
    : >"$root$wanted_log"
    for try in 1 2 3 4 5 6 7 8 9 10 11 12; do
        if [ ! -e "$root$wanted_log" ]; then break; fi
        sleep "$((try * 2))"
    done
    rm -f "$root$wanted_log"
    if [ -n "$failures" ]; then
        report installed "installed, but:$failures"
    else
        report installed "installed"
    fi
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
    echo "usage: sh $0 pre|partitioned|copy|late|which-disk" >&2
    exit 2
    ;;
esac
exit 0
