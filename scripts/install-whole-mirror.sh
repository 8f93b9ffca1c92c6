#!/usr/bin/env bash
# Makes the package mirror of `make install-whole`, and the installer's boot files, for one release of Debian:
#
#   scripts/install-whole-mirror.sh FOLDER SUITE RELEASE
#
# FOLDER/boot-assets/SUITE/debian and …/debian-security become a part of Debian's archive as it is: the signed
# Release files and the whole indices, and in the pool the components of the installer and the packages
# that the machines of the test need. All of it is verified by Debian's signature. The installer's boot files
# of RELEASE are there too. A component that the mirror does not give (many leave out a part of the .udeb files) is put together
# of Debian's package of the same program and comes into FOLDER/SUITE.added,
# which is for the end of the initial RAM disk; each is told.
# What was fetched before is kept.
#
# INSTALL_TEST_MIRROR names the mirror; by default it is http://deb.debian.org/debian, and debian-security beside it.
# Exit status 3: what the mirror does not give cannot be put together here.
set -euo pipefail
folder=$(realpath "$1")
suite=$2
release=$3
cd "$(dirname "$0")/.."

ARCH=amd64
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=${INSTALL_TEST_MIRROR:-http://deb.debian.org/debian}
served=$folder/boot-assets/$suite
work=$folder/work/$suite
main=$served/debian

# What the installer installs beside the base system (all packages of priority required and important): the
# kernel, the boot loaders of both firmwares, what layouts need, what the shipped preseed and the test's hosts name,
# what it adds in a virtual machine and by itself.
PACKAGES=("linux-image-$ARCH" initramfs-tools busybox zstd console-setup keyboard-configuration locales eject
    lvm2 mdadm dosfstools e2fsprogs efibootmgr os-prober mokutil
    openssh-server wget hello qemu-guest-agent tasksel tasksel-data task-ssh-server task-english
    discover laptop-detect installation-report popularity-contest sudo systemd-timesyncd)
LOADERS_BIOS=(grub-pc)
LOADERS_UEFI=("grub-efi-$ARCH" "grub-efi-$ARCH-signed" shim-signed)
# Drivers of what the virtual machine has, file systems, volumes, arrays.
MODULES=(virtio_blk virtio_scsi sd_mod ext4 crc32c_generic dm_mod raid1 md_mod vfat nls_cp437 nls_ascii
    nls_iso8859_1 nls_utf8 efivarfs loop isofs)

say() { echo "mirror: $*"; }

fail() {
    echo "mirror: $*" >&2
    exit 1
}

# fetch URL FILE: status 1 when it is not there.
fetch() {
    mkdir -p "$(dirname "$2")"
    local code
    code=$(curl --silent --show-error --location --retry 3 --output "$2.part" --write-out '%{http_code}' "$1") ||
        fail "$1 cannot be fetched"
    if [ "$code" != 200 ]; then
        rm -f "$2.part"
        return 1
    fi
    mv "$2.part" "$2"
}

# --- the indices ---------------------------------------------------------------------------------

# indices BASE SUITE INTO INDEX…: the signed Release, and of the indices that it vouches for these.
indices() {
    local base=$1 name=$2 into=$3 index sum by
    shift 3
    local dists=$into/dists/$name
    fetch "$base/dists/$name/InRelease" "$dists/InRelease.new" || return 1
    rm -f "$dists/Release.new"
    gpgv --quiet --keyring "$KEYRING" --output "$dists/Release.new" "$dists/InRelease.new" 2>/dev/null ||
        fail "the signature of $base/dists/$name/InRelease is not Debian's"
    for index in "$@"; do
        sum=$(sed -n '/^SHA256:/,/^[^ ]/s/^ \([0-9a-f]*\) *[0-9]* '"${index//\//\\/}"'$/\1/p' "$dists/Release.new")
        [ -n "$sum" ] || continue
        if [ "$(sha256sum "$dists/$index" 2>/dev/null | cut -d' ' -f1)" != "$sum" ]; then
            fetch "$base/dists/$name/$index" "$dists/$index" || fail "$base/dists/$name/$index is not there"
            [ "$(sha256sum "$dists/$index" | cut -d' ' -f1)" = "$sum" ] ||
                fail "$base/dists/$name/$index is not what its Release says: try again, it may be changing now"
        fi
        # What apt asks for first.
        by=$dists/$(dirname "$index")/by-hash/SHA256
        mkdir -p "$by" && ln -f "$dists/$index" "$by/$sum"
    done
    for index in Release InRelease; do
        mv "$dists/$index.new" "$dists/$index"
    done
}

# The installer wants the signature apart from what is signed.
apart() {
    local dists=$main/dists/$suite
    fetch "$mirror/dists/$suite/Release" "$dists/Release" && fetch "$mirror/dists/$suite/Release.gpg" "$dists/Release.gpg" ||
        fail "$mirror has no Release.gpg of $suite"
    gpgv --quiet --keyring "$KEYRING" "$dists/Release.gpg" "$dists/Release" 2>/dev/null ||
        fail "the signature of $mirror/dists/$suite/Release is not Debian's"
    # By its other name the installer sees whether there are updates for it: "stable" has them, a bare code name has not.
    local name
    name=$main/dists/$(sed -n 's/^Suite: //p' "$dists/Release")
    mkdir -p "$name"
    ln -f "$dists/Release" "$dists/Release.gpg" "$dists/InRelease" "$name/"
}

# --- the pool --------------------------------------------------------------------------------------

# stanzas: one line of an index each: package, version, sum, file, priority, kernel, provides, depends; by `|`.
stanzas() {
    xz -dc "$1" | awk -v RS= -F '\n' '{
        split("", f)
        for (i = 1; i <= NF; i++) if (match($i, /^[A-Za-z0-9-]+: /)) f[substr($i, 1, RLENGTH - 2)] = substr($i, RLENGTH + 1)
        gsub(/ *\| */, "/", f["Depends"])
        print f["Package"] "|" f["Version"] "|" f["SHA256"] "|" f["Filename"] "|" f["Priority"] "|" f["Kernel-Version"] "|" f["Provides"] "|" f["Depends"]
    }'
}

# needed KERNEL <STANZAS: of the components those that the installer takes for this kernel: of priority standard
# or above, what it asks for where it needs it, and what these need.
needed() {
    awk -F '|' -v kernel="$1" '
    function take(name,   i, n, parts, first) {
        if (name in taken || !(name in line) && !(name in giver)) return
        if (!(name in line)) { take(giver[name]); return }
        taken[name] = 1
        n = split(depends[name], parts, / *, */)
        for (i = 1; i <= n; i++) {
            first = parts[i]
            sub(/\/.*/, "", first); sub(/[ :(].*/, "", first)
            if (first != "") take(first)
        }
    }
    $6 == "" || $6 == kernel {
        line[$1] = $0; depends[$1] = $8
        n = split($7, p, / *, */)
        for (i = 1; i <= n; i++) { sub(/ .*/, "", p[i]); if (p[i] != "" && !(p[i] in giver)) giver[p[i]] = $1 }
        if ($5 ~ /^(required|important|standard)$/) want[$1] = 1
    }
    END {
        split("partman-auto-lvm partman-auto-raid partman-lvm lvm2-udeb mdadm-udeb partman-md partman-auto-crypto apt-mirror-setup eject-udeb efi-reader hdparm-udeb", more, " ")
        for (i in more) want[more[i]] = 1
        for (name in want) take(name)
        for (name in taken) print line[name]
    }'
}

# in_pool BASE INTO FILE SUM: the file is there, and is what the index says. Status 1: the mirror has it not.
in_pool() {
    [ ! -e "$2/$3" ] || return 0
    fetch "$1/$3" "$2/$3" || return 1
    if [ "$(sha256sum "$2/$3" | cut -d' ' -f1)" != "$4" ]; then
        rm -f "$2/$3"
        fail "$1/$3 is not what the index says"
    fi
}

# An apt of its own, on the indices that were verified, with nothing installed.
own_apt() {
    local root=$work/apt
    mkdir -p "$root/etc/preferences.d" "$root/state/lists/partial" "$root/cache/archives/partial" "$root/none"
    : >"$root/status"
    # Read before this machine's own settings, which are left out.
    cat >"$root/apt.conf" <<CONFIG
Dir::Etc "$root/etc";
Dir::Etc::parts "$root/none";
Dir::Etc::sourceparts "$root/none";
Dir::State "$root/state";
Dir::State::status "$root/status";
Dir::Cache "$root/cache";
APT::Architecture "$ARCH";
APT::Architectures "$ARCH";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::ForceHash "SHA256";
Debug::NoLocking "true";
CONFIG
    APT_CONFIG=$root/apt.conf "$1" -o Dir::Etc::sourcelist="$2" "${@:3}"
}

# packages SOURCES ROOT NAME…: where the packages lie that these come to: "FILE SUM", the file below `served`.
packages() {
    own_apt apt-get "$1" -qq --yes --print-uris install "${@:2}" |
        sed -n "s|^'copy:$served/\([^']*\)' .* SHA256:\([0-9a-f]*\)$|\1 \2|p" | sed 's|%2b|+|g; s|%3a|:|g; s|%7e|~|g'
}

# --- what the mirror lacks ---------------------------------------------------------------------------

# A module as the kernel has it.
plain() {
    case $1 in
    *.xz) xz -dc "$1" ;;
    *) cat "$1" ;;
    esac
}

# copy_module NAME FROM TO: the module, and those that it needs.
copy_module() {
    local file module
    file=$(cd "$2" && find kernel -name "${1//_/[-_]}.ko" -o -name "${1//_/[-_]}.ko.xz" | head -n 1)
    # What is not there is built into the kernel.
    [ -n "$file" ] || return 0
    install -D -m 644 "$2/$file" "$3/$file"
    for module in $(plain "$3/$file" | tr '\0' '\n' | sed -n 's/^depends=//p' | tr , ' '); do
        copy_module "$module" "$2" "$3"
    done
}

# The programs and libraries of a package, below the folder of the initial RAM disk.
take_package() {
    local deb
    deb=$(of_archive "$1") || fail "the package $1, which stands in for a component, is not there"
    rm -rf "$work/one" && mkdir -p "$work/one"
    dpkg-deb --extract "$deb" "$work/one"
    (cd "$work/one" && find . \( -path './usr/sbin/*' -o -path './sbin/*' -o -path './usr/bin/*' -o -path './bin/*' -o -path '*/lib/*.so.*' -o -path './etc/mke2fs.conf' \) \
        ! -type d -print0 | cpio --quiet --null -pdm "$work/added") 2>/dev/null
}

# of_archive PACKAGE: its file, fetched.
of_archive() {
    local line
    line=$(grep "^$1|" "$work/debs" | head -n 1) || return 1
    in_pool "$mirror" "$main" "$(cut -d'|' -f4 <<<"$line")" "$(cut -d'|' -f3 <<<"$line")" || return 1
    echo "$main/$(cut -d'|' -f4 <<<"$line")"
}

# stand_in COMPONENT: puts it among what is added to the initial RAM disk. Status 1: it cannot be.
stand_in() {
    case $1 in
    *-modules-*-di | kernel-image-*-di) : ;; # all that is needed, at once
    e2fsprogs-udeb)
        for package in e2fsprogs libext2fs2t64 libext2fs2 libss2 libcom-err2; do
            # Debian 12 has the library by its shorter name.
            if grep -q "^$package|" "$work/debs"; then take_package "$package"; fi
        done
        ;;
    libmount1-udeb | libuuid1-udeb | libblkid1-udeb | eject-udeb) take_package "${1%-udeb}" ;;
    libcap2-udeb) take_package libcap2 ;;
    # File systems that the test has not.
    ntfs-3g-udeb | xfsprogs-udeb | btrfs-progs-udeb | jfsutils-udeb) : ;;
    *) return 1 ;;
    esac
}

# The modules of the installer's kernel, of Debian's package of that kernel.
add_modules() {
    local deb module modules=$work/added/usr/lib/modules/$kernel
    deb=$(of_archive "linux-image-$kernel") || fail "there is no package linux-image-$kernel"
    rm -rf "$work/kernel"
    dpkg-deb --extract "$deb" "$work/kernel"
    local from=$work/kernel/usr/lib/modules/$kernel
    [ -d "$from" ] || from=$work/kernel/lib/modules/$kernel
    mkdir -p "$modules"
    cp -r "$work/initrd/usr/lib/modules/$kernel/kernel" "$modules/"
    for module in "${MODULES[@]}"; do copy_module "$module" "$from" "$modules"; done
    cp "$from"/modules.builtin* "$from"/modules.order "$modules/"
    ln -sfn usr/lib "$work/added/lib"
    /sbin/depmod --basedir "$work/added" "$kernel"
    rm "$work/added/lib"
    # What the initial RAM disk has itself was only there to be counted.
    (cd "$work/initrd/usr/lib/modules/$kernel" && find kernel -type f) | (cd "$modules" && xargs rm -f)
}

# -------------------------------------------------------------------------------------------------

began=$SECONDS
mkdir -p "$work"
say "the indices of $suite, from $mirror"
# The installer looks into all components, and the installed system gets two of them.
more=() installers=()
for component in main contrib non-free non-free-firmware; do
    more+=("$component/binary-$ARCH/Packages.xz" "$component/i18n/Translation-en.xz")
    installers+=("$component/debian-installer/binary-$ARCH/Packages.xz")
done
indices "$mirror" "$suite" "$main" "${more[@]}" "${installers[@]}" main/binary-$ARCH/Release || fail "$mirror has no $suite"
apart
indices "$mirror" "$suite-updates" "$main" "${more[@]}" || fail "$mirror has no $suite-updates"
security=${mirror%/*}/debian-security
indices "$security" "$suite-security" "$served/debian-security" "${more[@]}" ||
    fail "$security has no $suite-security"
index=$main/dists/$suite/main/binary-$ARCH/Packages.xz
stanzas "$index" >"$work/debs"

say "the installer"
image=$(of_archive "debian-installer-$release-netboot-$ARCH") || fail "$mirror does not give the installer's package"
if [ "$(cat "$work/image.key" 2>/dev/null)" != "$image" ]; then
    rm -rf "$work/image" "$work/initrd"
    mkdir -p "$work/initrd"
    dpkg-deb --extract "$image" "$work/image"
    gzip -dc "$work"/image/usr/lib/debian-installer/images/"$release"/$ARCH/text/debian-installer/$ARCH/initrd.gz |
        (cd "$work/initrd" && cpio -id --quiet 2>/dev/null) || [ -d "$work/initrd/var" ]
    echo "$image" >"$work/image.key"
fi
kernel=$(ls "$work"/initrd/lib/modules)

stanzas "$main/dists/$suite/main/debian-installer/binary-$ARCH/Packages.xz" | needed "$kernel" | LC_ALL=C sort >"$work/components"
status=$work/initrd/var/lib/dpkg/status
count=0 lacking=()
while IFS='|' read -r name version sum file _; do
    # The initial RAM disk has it, and the installer leaves it at that.
    if grep -qx "Package: $name" "$status"; then continue; fi
    count=$((count + 1))
    in_pool "$mirror" "$main" "$file" "$sum" || lacking+=("$name|$version")
done <"$work/components"
say "components of the installer for Linux $kernel: $count, of which the mirror gives $((count - ${#lacking[@]}))"

rm -rf "$work/added"
mkdir -p "$work/added/var/lib/dpkg"
cp "$status" "$work/added/var/lib/dpkg/status"
impossible=() modules=
for one in ${lacking[@]+"${lacking[@]}"}; do
    name=${one%%|*}
    if ! stand_in "$name"; then
        impossible+=("$name")
        continue
    fi
    case $name in
    *-modules-*-di) modules=yes ;;
    *) say "put together of Debian's package, or left out where no layout of the test has it: $name" ;;
    esac
    printf 'Package: %s\nStatus: install ok installed\nVersion: %s\nArchitecture: %s\nDescription: put together for the installation test\n\n' \
        "$name" "${one#*|}" $ARCH >>"$work/added/var/lib/dpkg/status"
done
if [ ${#impossible[@]} -gt 0 ]; then
    say "the mirror does not give ${#impossible[@]} components that cannot be put together here:" "${impossible[@]}" >&2
    exit 3
fi
if [ -n "$modules" ]; then
    say "put together of Debian's package linux-image-$kernel: the components with modules of the kernel"
    add_modules
fi

say "packages"
sources=$work/apt-main.list all=$work/apt-all.list
echo "deb [signed-by=$KEYRING] copy:$main $suite main" >"$sources"
{
    cat "$sources"
    echo "deb [signed-by=$KEYRING] copy:$main $suite-updates main"
    echo "deb [signed-by=$KEYRING] copy:$served/debian-security $suite-security main"
} >"$all"
mapfile -t base < <(awk -F '|' '$5 ~ /^(required|important)$/ { print $1 }' "$work/debs" | sort -u)
{
    for list in "$sources" "$all"; do
        own_apt apt-get "$list" -qq update
        packages "$list" --no-install-recommends "${base[@]}"
        packages "$list" "${base[@]}" "${PACKAGES[@]}" "${LOADERS_BIOS[@]}"
        packages "$list" "${base[@]}" "${PACKAGES[@]}" "${LOADERS_UEFI[@]}"
    done
} | LC_ALL=C sort -u >"$work/packages"
[ "$(wc -l <"$work/packages")" -gt 150 ] || fail "apt does not tell what the packages come to"
while read -r file sum; do
    archive=${file%%/*}
    case $archive in
    debian) from=$mirror ;;
    *) from=$security ;;
    esac
    in_pool "$from" "$served/$archive" "${file#*/}" "$sum" || fail "the mirror does not give $file"
done <"$work/packages"

# The installer's boot files where Debian's mirror has them, with the list of sums that the archive's signature vouches for:
# `bootwright assets fetch` takes them from here as from any mirror.
images=dists/$suite/main/installer-$ARCH/current/images
fetch "$mirror/$images/SHA256SUMS" "$main/$images/SHA256SUMS" || fail "$mirror has no $images/SHA256SUMS"
netboot=$work/image/usr/lib/debian-installer/images/$release/$ARCH/text/debian-installer
rm -rf "$main/$images/netboot" && mkdir -p "$main/$images/netboot"
cp -r "$netboot" "$main/$images/netboot/"
: >"$folder/$suite.added"
if [ ${#lacking[@]} -gt 0 ]; then
    (cd "$work/added" && find . | LC_ALL=C sort | cpio --quiet -o -H newc --owner 0:0 | gzip -1n) >"$folder/$suite.added"
fi
say "the mirror is made: $(wc -l <"$work/packages") packages, $count components," \
    "$(du -sm "$served" | cut -f1) MB, $((SECONDS - began)) s"
