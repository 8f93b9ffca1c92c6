#!/bin/sh
# What the Debian installer runs for raid:
#
#   early       preseed/early_command: reports the start, and watches the installer from then on
#   disk        partman/early_command: finds the disk; ends only when there is one to install on
#   late        preseed/late_command: static addresses, keys, users and snippets, the report of the first start
#   which-disk  by hand: says which disk would be taken, or why none
#
# Made for busybox ash and the GNU wget of Debian's netboot images; an older wget without POST is told
# by its help and reports by GET.

root=${BOOTWRIGHT_ROOT:-}                # another root folder, for tests
target=$root/target
syslog=$root/var/log/syslog
patience=${BOOTWRIGHT_PATIENCE:-20}      # seconds that disks may take to appear
stopped=$root/tmp/bootwright.stopped

# --- reports -------------------------------------------------------------------------------------

# A busybox that does not know -T falls over it.
post='' limit='' log_limit=''
if wget --help 2>&1 | grep -q -e --post-data; then post=yes; fi
if wget --help 2>&1 | grep -q -e '-T[ ,]'; then limit='-T 20 -t 1' log_limit='-T 60 -t 1'; fi

# Percent-encodes one line of printable ASCII; anything else is left out.
encode() {
    printf '%s' "$1" | tr '\n\t' '  ' | tr -cd ' -~' | cut -c1-700 | sed \
        -e 's/%/%25/g' -e 's/ /%20/g' -e 's/"/%22/g' -e 's/#/%23/g' -e 's/&/%26/g' -e "s/'/%27/g" \
        -e 's/+/%2B/g' -e 's/;/%3B/g' -e 's/</%3C/g' -e 's/=/%3D/g' -e 's/>/%3E/g' -e 's/?/%3F/g' \
        -e 's/\[/%5B/g' -e 's/\\/%5C/g' -e 's/\]/%5D/g' -e 's/\^/%5E/g' -e 's/`/%60/g' -e 's/{/%7B/g' \
        -e 's/|/%7C/g' -e 's/}/%7D/g'
}

# report EVENT MESSAGE
report() {
    case $1 in
    started) url=http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/started ;;
    progress) url=http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/progress ;;
    installed) url=http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/installed ;;
    failed) url=http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/failed ;;
    *) return 1 ;;
    esac
    # Nobody waits for it where the answers were put into the initial RAM disk.
    if [ -z "$url" ]; then return 0; fi
    message=$(encode "$2")
    for try in 1 2 3; do
        if [ -n "$post" ]; then
            wget -q $limit -O /dev/null --post-data="message=$message" "$url" </dev/null >/dev/null 2>&1 && return 0
        else
            wget -q -O /dev/null "$url?message=$message" </dev/null >/dev/null 2>&1 && return 0
        fi
        sleep "$try"
    done
    return 1
}

# send_log FILE NAME: its last 4 MB, where this wget can post a file
send_log() {
    if [ -z "$post" ] || [ ! -s "$1" ]; then return 0; fi
    tail -c 4000000 "$1" >"$root/tmp/bootwright.log"
    wget -q $log_limit -O /dev/null --header='Content-Type: text/plain' \
        --post-file="$root/tmp/bootwright.log" http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/logs"/$2" </dev/null >/dev/null 2>&1
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
    send_log "$syslog" syslog
    while sleep 60; do say "$1"; done
}

# --- the watch -----------------------------------------------------------------------------------
# The installer has no hook for failures: it shows a dialog and waits. main-menu writes a line to the
# log for most of them; for the rest the log stops growing.

watch_log() {
    failures="main-menu\[[0-9]*\]: .*(Configuring '.*' failed with error code|Menu item '.*' failed)|anna\[[0-9]*\]: .*package retrieval failed"
    seen=0 step='' size=0 quiet=0 beat=0
    while sleep 10; do
        if [ -e "$stopped" ]; then return; fi
        count=$(grep -c -E "$failures" "$syslog" 2>/dev/null)
        if [ "${count:-0}" -gt "$seen" ]; then
            seen=$count
            report failed "$(grep -E "$failures" "$syslog" | tail -n 2 | sed -e 's/.*main-menu\[[0-9]*\]: //' -e 's/.*anna\[[0-9]*\]: /a component of the installer: /' -e 's/WARNING \*\*: //')"
            send_log "$syslog" syslog
        fi
        now=$(sed -n "s/.*main-menu\[[0-9]*\]: .*Menu item '\([^']*\)' selected.*/\1/p" "$syslog" 2>/dev/null | tail -n 1)
        beat=$((beat + 1))
        if [ "$now" != "$step" ]; then
            step=$now beat=0
            report progress "$step"
        fi
        before=$size size=$(wc -c <"$syslog" 2>/dev/null)
        if [ "$size" != "$before" ]; then
            quiet=0
            # a sign of life every ten minutes within a long step
            if [ "$beat" -ge 60 ]; then beat=0; report progress "$step"; fi
        else
            quiet=$((quiet + 1))
            if [ "$quiet" = 120 ]; then
                report failed "the installer has written nothing to its log for 20 minutes; it may be asking a question. Last: $(tail -n 1 "$syslog" | cut -c1-200)"
                send_log "$syslog" syslog
            fi
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

# --- the installed system ------------------------------------------------------------------------

# The interfaces with the host's MAC addresses get the reserved addresses for good. Without one another
# server gives the address, and the system asks for it by DHCP as the installer did.
# Sets `card` to the name of the interface with a MAC address, of a real card.
card_of() {
    card=
    for path in "$root"/sys/class/net/*; do
        if [ -e "$path/device" ] && [ "$(cat "$path/address" 2>/dev/null)" = "$1" ]; then
            card=${path##*/}
            return 0
        fi
    done
    return 1
}

# add_link NAME BOND VLAN ADDRESS ROUTER MAC…: one connection, `-` for what it does not have
add_link() {
    link=$1 bond=$2 vlan=$3 address=$4 router=$5
    shift 5
    cards='' missing='' up=
    for mac in "$@"; do
        if card_of "$mac"; then
            cards="$cards${cards:+ }$card"
            if [ -z "$up" ] && [ "$(cat "$root/sys/class/net/$card/carrier" 2>/dev/null)" = 1 ]; then up=$card; fi
        else
            missing="$missing $mac"
        fi
    done
    if [ -z "$cards" ]; then
        report progress "$link: no interface has the MAC address$missing: it is not configured"
        return 0
    fi
    if [ "$bond" = - ]; then
        # Of several ports the one with a cable.
        interface=${up:-${cards%% *}}
        wired=$interface
    else
        # The same ports again are another VLAN of the same bond.
        wired=
        number=0
        for known in $bonds; do
            if [ "${known#*=}" = "$(echo "$cards" | tr ' ' ,)" ]; then wired=${known%%=*}; fi
            number=$((number + 1))
        done
        if [ -z "$wired" ]; then
            wired=bond$number
            bonds="$bonds $wired=$(echo "$cards" | tr ' ' ,)"
            fresh=yes
        else
            fresh=
        fi
        interface=$wired
    fi
    if [ "$vlan" != - ]; then interface=$wired.$vlan; fi
    case " $done " in
    *" $interface "*)
        report progress "$link: $interface is configured already; a VLAN of it needs its number in vars.vlans"
        return 0
        ;;
    esac
    done="$done $interface"
    if [ "$bond" != - ] && [ "$vlan" != - ] && [ -n "$fresh" ]; then
        printf '\nauto %s\niface %s inet manual\n' "$wired" "$wired"
        bond_lines
    fi
    echo
    echo "auto $interface"
    if [ "$address" = - ]; then
        echo "iface $interface inet dhcp"
    else
        echo "iface $interface inet static"
        echo "    address $address"
    fi
    if [ "$router" != - ]; then echo "    gateway $router"; fi
    if [ "$bond" != - ] && [ "$vlan" = - ]; then bond_lines; fi
    any=yes
}

bond_lines() {
    echo "    bond-slaves $cards"
    echo "    bond-mode $bond"
    echo "    bond-miimon 100"
}

write_network() {
    done='' bonds='' any=
    {
        echo '# Written when Bootwright installed this machine.'
        echo 'source /etc/network/interfaces.d/*'
        echo
        echo 'auto lo'
        echo 'iface lo inet loopback'
        add_link main - - 10.99.0.13/24 10.99.0.1 52:54:00:00:00:03
    } >"$root/tmp/bootwright.interfaces" || return 1
    # Better what the installer has found than nothing at all.
    if [ -z "$any" ]; then return 0; fi
    cat "$root/tmp/bootwright.interfaces" >"$target/etc/network/interfaces" || return 1
    # The installed system may have a link here, to a file that only a running system has.
    rm -f "$target/etc/resolv.conf"
    {
        printf 'search %s\n' lab.example
        echo 'nameserver 10.99.0.1'
        echo 'nameserver 10.99.0.3'
    } >"$target/etc/resolv.conf" || return 1
    # Else a system with NetworkManager would get what the installer itself had, by DHCP.
    debconf-set netcfg/target_network_config ifupdown 2>/dev/null
    return 0
}

write_keys() {
    : # none are given
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

# With UEFI the other disk gets the same EFI partition: the firmware starts the machine from either.
mirror_efi() {
    partition=$(sed -n "s,^\([^ ]*\) $target/boot/efi .*,\1,p" "$root/proc/mounts")
    if [ -z "$partition" ]; then return 0; fi
    wanted_disk || return 1
    for one in $disk; do
        number=${partition#"$one"}
        if [ "$number" = "$partition" ]; then other=$one; else part=$number; fi
    done
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

# -------------------------------------------------------------------------------------------------

case ${1:-} in
early)
    report started "the Debian installer has its answers"
    # No descriptor may be kept open: the installer waits until all are closed. busybox's shell keeps a
    # copy of what a redirection puts aside; only `exec` closes for good.
    (
        exec </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&-
        watch_log
    ) &
    ;;
disk)
    if wanted_disk; then
        debconf-set partman-auto/disk "$disk" || stop "the disk $disk could not be handed to the partitioner"
        debconf-set grub-installer/bootdev "$disk" || stop "the disk $disk could not be handed to the boot loader"
        report progress "installing on $disk"
    else
        stop "nothing was written to any disk: $trouble"
    fi
    ;;
late)
    failures=
    write_network || failures="$failures the static address could not be written;"
    write_keys || failures="$failures the SSH keys could not be written;"
    run_snippets || failures="$failures the snippets could not be run;"
    if [ -n "$snippets_failed" ]; then failures="$failures $snippets_failed;"; fi
    write_up || failures="$failures the report of the first start could not be set up;"
    mirror_efi || failures="$failures the EFI partition could not be copied to the other disk;"
    send_log "$syslog" syslog
    : >"$stopped"
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
    echo "usage: sh $0 early|disk|late|which-disk" >&2
    exit 2
    ;;
esac
exit 0
