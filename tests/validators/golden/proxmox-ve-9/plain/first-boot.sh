#!/bin/sh
# What plain does at its first start, when the network is up: packages' repositories, users, snippets, the report.
# The installer has fetched it, since the answers are given to nobody once the system is installed.

umask 022
rm -f /etc/apt/sources.list.d/pve-enterprise.list /etc/apt/sources.list.d/pve-enterprise.sources \
    /etc/apt/sources.list.d/ceph.list /etc/apt/sources.list.d/ceph.sources
keyring=/usr/share/keyrings/proxmox-archive-keyring.gpg
if [ -e "$keyring" ]; then
    cat >/etc/apt/sources.list.d/pve-no-subscription.sources <<'LIST'
Types: deb
URIs: http://download.proxmox.com/debian/pve
Suites: trixie
Components: pve-no-subscription
Signed-By: /usr/share/keyrings/proxmox-archive-keyring.gpg
LIST
else
    echo 'deb http://download.proxmox.com/debian/pve trixie pve-no-subscription' \
        >/etc/apt/sources.list.d/pve-no-subscription.list
fi
apt-get -q update
(umask 077 && cat >/root/bootwright-postinstall.sh) <<'BOOTWRIGHT_POSTINSTALL'
#!/bin/sh
# shellcheck disable=SC2034,SC2317
# What is done inside the new system of plain, by its installer and before its first start:
# the users, the snippets, the report of the first start.
#
# It ends with status 0. Each snippet runs by itself, under `set -e`, with a log in /var/log/bootwright;
# those that fail are listed in /var/log/bootwright/failed, a line each, for the installer's last report.

PATH=${BOOTWRIGHT_PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
LC_ALL=C
DEBIAN_FRONTEND=noninteractive
export PATH LC_ALL DEBIAN_FRONTEND
# Of Debian's installer, whose debconf is not this system's.
unset DEBIAN_HAS_FRONTEND DEBCONF_REDIR DEBCONF_OLD_FD_BASE
umask 022

root=${BOOTWRIGHT_ROOT:-}                # another root folder, as above another PATH, for tests
target=$root
logs=$root/var/log/bootwright
mkdir -p "$logs"
: >"$logs/failed"

# --- the library ---------------------------------------------------------------------------------

# What snippets may call; each works with apt, dnf, zypper, apk and pacman. A snippet runs inside the installed
# system, as root, before its first start: services are enabled, not started.

# has COMMAND
has() { command -v "$1" >/dev/null 2>&1; }

# fail MESSAGE: ends the snippet; the message is reported with its name
fail() {
    printf '%s\n' "$1"
    exit 1
}

# pkg_refresh: after a repository was added
pkg_refresh() {
    if has apt-get; then
        apt-get -q update
    elif has dnf; then
        dnf -q -y makecache
    elif has zypper; then
        zypper --non-interactive --gpg-auto-import-keys refresh
    elif has apk; then
        apk update
    elif has pacman; then
        pacman -Sy
    fi
}

# pkg_install NAME…: all of them
pkg_install() {
    if has apt-get; then
        apt-get -q -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install "$@"
    elif has dnf; then
        dnf -y install "$@"
    elif has zypper; then
        zypper --non-interactive install --auto-agree-with-licenses "$@"
    elif has yum; then
        yum -y install "$@"
    elif has apk; then
        apk add "$@"
    elif has pacman; then
        pacman -S --noconfirm --needed "$@"
    else
        echo 'no package manager that is known here'
        return 1
    fi
}

# pkg_first NAME…: the first one that there is
pkg_first() {
    for package in "$@"; do
        if pkg_install "$package"; then return 0; fi
    done
    return 1
}

# service_enable NAME: from the next start on
service_enable() {
    if has systemctl; then
        systemctl enable "$1"
    elif has rc-update; then
        rc-update add "$1" default
    else
        echo 'no service manager that is known here'
        return 1
    fi
}

# labels PATH…: as SELinux wants them, where there is SELinux
labels() {
    if has restorecon; then restorecon -R "$@" || :; fi
}

# write_file MODE PATH: standard input becomes the file
write_file() {
    mkdir -p "$(dirname "$root$2")" || return 1
    (umask 077 && cat >"$root$2.new") || return 1
    chmod "$1" "$root$2.new" || return 1
    mv -f "$root$2.new" "$root$2" || return 1
    labels "$root$2"
}

# comment_out FILE PATTERN: puts a # before the lines that match
comment_out() {
    if [ -f "$root$1" ]; then sed -i "s/^\\($2\\)/# \\1/" "$root$1"; fi
}

# at_first_boot NAME: standard input is a script for the first start, when the network is there; it is run
# once, and what comes of it goes with the report that the system is up
at_first_boot() {
    write_file 700 "/usr/local/lib/bootwright/first-boot.d/$1"
}

# home_of USER
home_of() {
    grep "^$1:" "$root/etc/passwd" | cut -d : -f 6
}

# add_keys USER: each line of standard input may log in as this user
add_keys() {
    home=$(home_of "$1")
    if [ -z "$home" ]; then echo "there is no user $1"; return 1; fi
    keys=$root$home/.ssh/authorized_keys
    mkdir -p "$root$home/.ssh" || return 1
    chmod 700 "$root$home/.ssh" || return 1
    touch "$keys" || return 1
    chmod 600 "$keys" || return 1
    while IFS= read -r key; do
        if [ -z "$key" ] || grep -qxF -e "$key" "$keys"; then continue; fi
        printf '%s\n' "$key" >>"$keys" || return 1
    done
    chown -R "$1:" "$root$home/.ssh" || return 1
    labels "$root$home/.ssh"
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

# run NAME FUNCTION
run() {
    (
        # What the installer holds open would keep it waiting for whoever is started here.
        exec </dev/null >"$logs/$1.log" 2>&1 3>&- 4>&- 5>&- 6>&-
        set -e
        "$2"
    )
    status=$?
    if [ "$status" != 0 ]; then
        printf '%s: status %s: %s\n' "$1" "$status" "$(tail -n 1 "$logs/$1.log" | cut -c 1-200)" >>"$logs/failed"
    fi
}

# --- the snippets --------------------------------------------------------------------------------

run first-boot write_up
exit 0
BOOTWRIGHT_POSTINSTALL
sh /root/bootwright-postinstall.sh
rm -f /root/bootwright-postinstall.sh
# Snippets that failed are told with the report.
mkdir -p /usr/local/lib/bootwright/first-boot.d
echo '[ ! -s /var/log/bootwright/failed ]' >/usr/local/lib/bootwright/first-boot.d/zz-snippets
systemctl daemon-reload
systemctl start --no-block bootwright-up.service
exit 0
