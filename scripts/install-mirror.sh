#!/usr/bin/env bash
# Makes the package mirror of `make install-test`, for the machine that is installed there:
#
#   scripts/install-mirror.sh FOLDER LINUX
#
# FOLDER/boot-assets/debian-mirror is the mirror: Debian's packages that the machine installs by itself, a base system made
# of Debian's packages, and the installer's components (tests/install/components). LINUX is the kernel of
# Debian's installer, whose version the kernel modules must have. What was made before is kept as long as
# nothing that it was made of has changed.
#
# INSTALL_TEST_MIRROR names the mirror that Debian's packages come from; by default it is the one that apt
# on this machine uses for bookworm, else deb.debian.org.
set -euo pipefail
folder=$(realpath "$1")
linux=$(realpath "$2")
cd "$(dirname "$0")/.."

SUITE=bookworm
ARCH=amd64
COMPONENTS=tests/install/components
SERVED=boot-assets/debian-mirror         # below FOLDER, which is where the daemon serves from
# The installed system before apt has run in it: what boots, logs in, and has an address.
BASE=systemd-sysv,debconf-i18n,udev,kmod,ifupdown,iproute2,netbase,e2fsprogs,fdisk,initramfs-tools,linux-image-cloud-$ARCH
# What the machine installs by apt, as Debian's installer would: the boot loader, what the shipped preseed
# and the test's host name, and what Debian's installer adds in a virtual machine.
PACKAGES=(grub2-common grub-pc-bin openssh-server wget hello qemu-guest-agent)

say() { echo "mirror: $*"; }

fail() {
    echo "mirror: $*" >&2
    exit 1
}

# The version is a text that the header of a bzImage points to (Linux: Documentation/x86/boot.rst).
kernel_version() {
    local offset
    offset=$(($(od -An -tu2 -j 526 -N 2 "$1") + 512))
    dd if="$1" bs=1 skip="$offset" count=100 status=none | tr '\0 ' '\n\n' | sed -n 1p
}

used_mirror() {
    # apt-get would say so if it had no lists; a fresh machine has none.
    apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        sed -n "s/^$SUITE main \(http.*\)/\1/p" | head -n 1
}

# made NAME KEY: whether FOLDER/NAME is there and was made of what KEY says.
made() { [ -e "$folder/$1" ] && [ "$(cat "$folder/$1.key" 2>/dev/null)" = "$2" ]; }

# --- the base system, the packages, the kernel modules ---------------------------------------------

# It is made where nobody else works, and takes its place when it is whole.
make_base() {
    local new=$folder/base.new module
    rm -rf "$folder/base" "$new"
    mkdir -p "$new/pool" "$new/kernel"
    # In the new system: apt with the system's own lists, in the folder of its downloads.
    local apt='cd "$1/var/cache/apt/archives" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -qq -o APT::Sandbox::User=root'
    # Documentation and translations would double the number of files to be unpacked.
    mmdebstrap --quiet --variant=minbase --architectures=$ARCH --include=$BASE \
        --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='force-unsafe-io' \
        --customize-hook='rm -f "$1"/var/cache/apt/archives/*.deb' \
        --customize-hook="$apt --yes --download-only install ${PACKAGES[*]}" \
        --customize-hook="copy-out /var/cache/apt/archives $new" \
        --customize-hook='rm -f "$1"/var/cache/apt/archives/*.deb' \
        --customize-hook="$apt download linux-image-$version" \
        --customize-hook="copy-out /var/cache/apt/archives $new/kernel" \
        --customize-hook='rm -f "$1"/etc/resolv.conf "$1"/etc/hostname "$1"/var/lib/dpkg/*-old' \
        $SUITE "$new/base.tar" "deb $mirror $SUITE main" ||
        fail "the base system could not be made of the packages of $mirror" \
            "(linux-image-$version must be among them: it is the kernel of the installer in $linux;" \
            "when it is not, bring the package debian-installer-12-netboot-$ARCH up to date)"
    mv "$new"/archives/*.deb "$new/pool/"
    dpkg-deb --extract "$new"/kernel/archives/linux-image-"$version"_*.deb "$new/kernel"
    # The drivers of the disk and of its file system, which the installer does not bring along.
    for module in virtio_blk ext4 crc32c_generic; do
        copy_module "$module" "$new/kernel/lib/modules/$version" "$new/modules"
    done
    rm -rf "$new/archives" "$new/kernel"
    mv "$new" "$folder/base"
}

# copy_module NAME FROM TO: the module, and those that it needs.
copy_module() {
    local file needed
    file=$(cd "$2" && find kernel -name "${1//_/[-_]}.ko")
    # What is not there is built into the kernel.
    [ -n "$file" ] || return 0
    install -D -m 644 "$2/$file" "$3/$file"
    for needed in $(tr '\0' '\n' <"$2/$file" | sed -n 's/^depends=//p' | tr , ' '); do
        copy_module "$needed" "$2" "$3"
    done
}

# --- the installer's components ------------------------------------------------------------------

# Puts a component together from the tree in FOLDER/components.new/NAME.
pack() {
    local tree=$work/$1
    chmod -R u=rwX,go=rX "$tree"
    chmod 755 "$tree"/DEBIAN/*
    dpkg-deb --root-owner-group --nocheck -Zxz --build "$tree" \
        "$udebs/$1_1_$ARCH.udeb" >/dev/null
}

# The drivers of the disk and its file system; what partitions and formats it.
make_modules_component() {
    local name=install-test-modules tree=$work/install-test-modules
    local libraries=usr/lib/x86_64-linux-gnu
    mkdir -p "$tree/DEBIAN" "$tree/lib/modules/$version"
    cat >"$tree/DEBIAN/control" <<CONTROL
Package: $name
Version: 1
Architecture: $ARCH
Maintainer: Bootwright
Section: debian-installer
Priority: standard
Kernel-Version: $version
Description: Disk drivers, file system and tools for the installation test
CONTROL
    printf '#!/bin/sh\nset -e\ndepmod -a\n' >"$tree/DEBIAN/postinst"
    cp -r "$folder/base/modules/kernel" "$tree/lib/modules/$version/"
    # The installer has the other libraries that these need.
    tar -x -C "$tree" -f "$folder/base/base.tar" --wildcards ./usr/sbin/sfdisk ./usr/sbin/mke2fs ./etc/mke2fs.conf \
        "./$libraries/libfdisk.so.*" "./$libraries/libsmartcols.so.*" "./$libraries/libext2fs.so.*" \
        "./$libraries/libe2p.so.*" "./$libraries/libcom_err.so.*"
    pack $name
}

# A menu item of the installer: its folder in tests/install/components has control, templates, postinst.
make_component() {
    local name=install-test-$1
    mkdir -p "$work/$name/DEBIAN"
    cp "$COMPONENTS/$1"/* "$work/$name/DEBIAN/"
    pack "$name"
}

# --- the mirror ----------------------------------------------------------------------------------

# The index of all packages of a kind below the current folder.
index() {
    local package
    find pool -name "*.$1" | LC_ALL=C sort | while read -r package; do
        dpkg-deb --field "$package"
        echo "Filename: $package"
        echo "Size: $(stat -c %s "$package")"
        echo "SHA256: $(sha256sum "$package" | cut -d' ' -f1)"
        echo
    done
}

make_mirror() {
    local work=$folder/components.new new=$folder/mirror.new component package name
    local udebs=$new/pool/components
    rm -rf "$folder/$SERVED" "$work" "$new"
    mkdir -p "$work" "$udebs" "$new/pool/main"
    make_modules_component
    for component in "$COMPONENTS"/*/; do
        make_component "$(basename "$component")"
    done
    # apt writes an epoch into the file's name; mirrors do not.
    for package in "$folder"/base/pool/*.deb; do
        name=$(basename "$package" | sed 's/_[0-9]*%3a/_/')
        ln "$package" "$new/pool/main/$name"
    done
    ln "$folder/base/base.tar" "$new/base.tar"
    mkdir -p "$folder/boot-assets"
    (cd "$new" && make_indices)
    mv "$new" "$folder/$SERVED"
    rm -rf "$work"
}

# In the mirror's folder.
make_indices() {
    local file
    mkdir -p dists/$SUITE/main/binary-$ARCH dists/$SUITE/main/debian-installer/binary-$ARCH
    index deb >dists/$SUITE/main/binary-$ARCH/Packages
    index udeb >dists/$SUITE/main/debian-installer/binary-$ARCH/Packages
    cd dists/$SUITE
    gzip -9nk main/binary-$ARCH/Packages main/debian-installer/binary-$ARCH/Packages
    {
        echo "Origin: Bootwright"
        echo "Label: Packages of the installation test"
        echo "Suite: oldstable"
        echo "Codename: $SUITE"
        echo "Date: $(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S UTC')"
        echo "Architectures: $ARCH"
        echo "Components: main"
        echo "SHA256:"
        find main -type f | LC_ALL=C sort | while read -r file; do
            echo " $(sha256sum "$file" | cut -d' ' -f1) $(stat -c %s "$file") $file"
        done
    } >Release
    # By its own Release file the installer sees that the mirror has the architecture.
    printf "Archive: oldstable\nCodename: $SUITE\nComponent: main\nArchitecture: $ARCH\n" \
        >main/binary-$ARCH/Release
}

# -------------------------------------------------------------------------------------------------

mkdir -p "$folder"
version=$(kernel_version "$linux")
case $version in
[0-9]*.*-amd64) ;;
*) fail "$linux does not look like the kernel of Debian's installer: its version is '$version'" ;;
esac
mirror=${INSTALL_TEST_MIRROR:-$(used_mirror)}
mirror=${mirror:-http://deb.debian.org/debian}

key=$(
    declare -f make_base copy_module | sha256sum
    sha256sum <"$linux"
    echo "$SUITE $ARCH $BASE ${PACKAGES[*]} $mirror"
)
if made base "$key"; then
    say "the base system is there ($(du -m "$folder/base/base.tar" | cut -f1) MB unpacked)"
else
    began=$SECONDS
    say "making the base system of the packages of $mirror; the installer's kernel is $version"
    rm -f "$folder/base.key"
    make_base
    echo "$key" >"$folder/base.key"
    say "the base system is made: $(du -m "$folder/base/base.tar" | cut -f1) MB unpacked, $((SECONDS - began)) s"
fi
key=$(
    stat -c %Y "$folder/base.key"
    sha256sum "$0"
    find "$COMPONENTS" -type f -exec sha256sum {} + | LC_ALL=C sort
)
if made $SERVED "$key"; then
    say "the mirror is there"
else
    began=$SECONDS
    say "making the installer's components and the mirror's indices"
    rm -f "$folder/$SERVED.key"
    make_mirror
    echo "$key" >"$folder/$SERVED.key"
    say "the mirror is made: $(find "$folder/$SERVED/pool/main" -name '*.deb' | wc -l) packages," \
        "$(find "$folder/$SERVED/pool/components" -name '*.udeb' | wc -l) components, $((SECONDS - began)) s"
fi
