#!/bin/sh
# Makes the overlay that Alpine's live system is started with when it is to install itself: one small archive for all
# machines and releases, with nothing in it that belongs to one of them. At its start it fetches what the kernel's
# argument `bootwright=URL` names, and runs it.
#
#   sh scripts/alpine-overlay.sh [boot-assets/alpine/bootwright.apkovl.tar.gz]

set -eu
out=${1:-boot-assets/alpine/bootwright.apkovl.tar.gz}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/etc/local.d" "$work/etc/runlevels/default" "$(dirname "$out")"
# The usual services of a live system are started beside the one below.
: >"$work/etc/.default_boot_services"
ln -s /etc/init.d/local "$work/etc/runlevels/default/local"
cat >"$work/etc/local.d/bootwright.start" <<'START'
#!/bin/sh
for word in $(cat /proc/cmdline); do
    case $word in
    bootwright=*) url=${word#bootwright=} ;;
    esac
done
if [ -z "${url:-}" ]; then exit 0; fi
umask 077
for try in 1 2 3 4 5 6 7 8 9 10; do
    if wget -q -O /run/bootwright.sh "$url"; then
        # In the background: the consoles are to ask for a login meanwhile.
        sh /run/bootwright.sh install &
        exit 0
    fi
    sleep "$try"
done
echo "bootwright: $url could not be fetched" >/dev/console
START
chmod 755 "$work/etc/local.d/bootwright.start"
# The same bytes each time.
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - etc | gzip -9n >"$out.new"
mv "$out.new" "$out"
echo "$out"
