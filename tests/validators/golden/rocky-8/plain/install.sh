#!/bin/sh
# What anaconda runs for plain:
#
#   pre         %pre: reports the start, finds the disk and writes the storage commands for it; ends only when
#               there is a disk to install on
#   packages    %pre-install: the file systems are made
#   late        last %post: static addresses, keys, users and snippets, the report of the first start
#   failed      %onerror
#   which-disk  by hand: says which disk would be taken, or why none

root=${BOOTWRIGHT_ROOT:-}                # another root folder, for tests
patience=${BOOTWRIGHT_PATIENCE:-20}      # seconds that disks may take to appear
storage=$root/tmp/bootwright-storage.ks

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
    for log in anaconda program storage packaging dnf.librepo bootwright-pre bootwright-post; do
        send_log "$root/tmp/$log.log" "$log.log"
    done
}

# Nothing more is done on this machine until somebody comes or it is started again.
stop() {
    say "$1"
    report failed "$1"
    send_logs
    while sleep 60; do say "$1"; done
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

# The only fixed, writable disk. Sets `disk`, or `trouble`.
only_disk() {
    disk=
    count=$(fixed_disks | grep -c .)
    if [ "$count" = 1 ]; then
        disk=$(fixed_disks | cut -d ' ' -f 2)
        return 0
    fi
    if [ "$count" = 0 ]; then
        trouble='there is no fixed, writable disk'
    else
        trouble="there are $count disks, and vars.disk does not say which"
    fi
    return 1
}

# Sets `disk`, or `trouble`.
find_disks() {
    case ${1:-} in
    '') only_disk ;;
    smallest | largest) extreme_disks 1 "$1" ;;
    *) named_disk "$1" ;;
    esac
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
wanted_disk() { choose_disk ''; }

# --- the layout ----------------------------------------------------------------------------------
# Sizes are in MiB. A disk gets a GPT, with what this machine's firmware starts from.

write_storage() {
    drives=
    for one in $disk; do
        drives=$drives${drives:+,}${one#/dev/}
    done
    first=${drives%%,*}
    {
        echo 'zerombr'
        echo "ignoredisk --only-use=$drives"
        echo "clearpart --all --initlabel --disklabel=gpt --drives=$drives"
        printf '%s\n' "bootloader --location=mbr --boot-drive=$first"
        if [ -d "$root/sys/firmware/efi" ]; then
            echo "part /boot/efi --fstype=efi --size=600 --ondisk=$first"
        else
            echo "part biosboot --fstype=biosboot --size=1 --ondisk=$first"
        fi
        echo "part /boot --fstype=xfs --size=1024 --ondisk=$first"
        echo "part swap --fstype=swap --recommended --ondisk=$first"
        echo "part / --fstype=xfs --size=4096 --grow --ondisk=$first"
    } >"$storage"
}

# --- the installed system ------------------------------------------------------------------------

# Where anaconda has mounted it; RHEL 8 knows only the second one.
find_target() {
    for target in "$root/mnt/sysroot" "$root/mnt/sysimage"; do
        if [ -d "$target/etc" ]; then return 0; fi
    done
    return 1
}

# connection NAME: standard input is a connection of NetworkManager
connection() {
    file=$fresh/$1.nmconnection
    (umask 077 && cat >"$file") || return 1
    chmod 600 "$file"
}

# Whether this machine has a card with one of the host's MAC addresses.
have_card() {
    for card in "$root"/sys/class/net/*; do
        case $(cat "$card/address" 2>/dev/null) in
        52:54:00:00:00:01) return 0 ;;
        esac
    done
    return 1
}

# The cards with the host's MAC addresses get the reserved addresses for good.
write_network() {
    if ! have_card; then
        report progress 'no interface has the MAC address of the reservation: the network stays as the installer has it'
        return 0
    fi
    folder=$target/etc/NetworkManager/system-connections
    fresh=$root/tmp/bootwright-connections
    mkdir -p "$folder" "$fresh" || return 1
    connection card0 <<'CONNECTION' || return 1
[connection]
id=card0
type=ethernet

[ethernet]
mac-address=52:54:00:00:00:01

[ipv4]
method=manual
address1=10.99.0.11/24,10.99.0.1
dns=10.99.0.1;10.99.0.3;
dns-search=lab.example;

[ipv6]
method=auto
CONNECTION


    # What the installer had for itself would win over these.
    rm -f "$folder"/*.nmconnection
    for file in "$target"/etc/sysconfig/network-scripts/ifcfg-*; do
        case ${file##*/} in
        ifcfg-lo | 'ifcfg-*') ;;
        *) rm -f "$file" ;;
        esac
    done
    cp -f "$fresh"/*.nmconnection "$folder/" && chmod 600 "$folder"/*.nmconnection
}

write_keys() {
    : # none are given
}

# Where the installed system has its packages from.
write_repositories() {
    :
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

# Users and snippets, inside the new system. What went wrong there is in `snippets_failed`.
run_snippets() {
    snippets_failed=
    : # none are given
}

# -------------------------------------------------------------------------------------------------

case ${1:-} in
pre)
    report started "the installer has its kickstart file"
    if wanted_disk; then
        write_storage || stop "nothing was written to any disk: the storage commands could not be written"
        report progress "installing on $disk"
    else
        stop "nothing was written to any disk: $trouble"
    fi
    ;;
packages)
    report progress "the file systems are made; the packages come now"
    ;;
late)
    find_target || stop "the installed system is not where anaconda mounts it"
    report progress "the packages are installed"
    failures=
    write_network || failures="$failures the static address could not be written;"
    write_keys || failures="$failures the SSH keys could not be written;"
    write_repositories || failures="$failures the repositories could not be written;"
    run_snippets || failures="$failures the snippets could not be run;"
    if [ -n "$snippets_failed" ]; then failures="$failures $snippets_failed;"; fi
    write_up || failures="$failures the report of the first start could not be set up;"
    # What was written from outside has no labels of SELinux.
    chroot "$target" restorecon -RF /etc/NetworkManager /etc/dnf /etc/systemd/system /etc/yum.repos.d /root \
        /usr/local /var/log >/dev/null 2>&1
    send_logs
    if [ -n "$failures" ]; then
        report installed "installed, but:$failures"
    else
        report installed "installed"
    fi
    ;;
failed)
    why=$(grep -h -E ' (CRT|ERR|CRITICAL|ERROR)[ :]' "$root/tmp/anaconda.log" "$root/tmp/packaging.log" "$root/tmp/storage.log" 2>/dev/null | tail -n 1)
    report failed "anaconda has failed${why:+: $why}"
    send_logs
    for log in "$root"/tmp/anaconda-tb-*; do
        send_log "$log" anaconda-traceback.log
    done
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
    echo "usage: sh $0 pre|packages|late|failed|which-disk" >&2
    exit 2
    ;;
esac
exit 0
