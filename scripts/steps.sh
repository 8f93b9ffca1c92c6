# Numbered steps with their times, for the scripts beside this file. To be sourced.

STEP=0
STARTED=$SECONDS

# step TITLE COMMAND…: says what is done, does it, says how long it took; ends the script when it fails.
step() {
    local title=$1 began=$SECONDS status=0
    shift
    STEP=$((STEP + 1))
    printf '\n[%d/%d] %s\n' "$STEP" "$STEPS" "$title"
    "$@" || status=$?
    if [ "$status" -ne 0 ]; then
        printf '\n[%d/%d] %s: FAILED after %d s (exit status %d)\n' \
            "$STEP" "$STEPS" "$title" "$((SECONDS - began))" "$status" >&2
        exit "$status"
    fi
    printf '[%d/%d] %s: ok, %d s\n' "$STEP" "$STEPS" "$title" "$((SECONDS - began))"
}

# finished WHAT: the last line.
finished() {
    printf '\n%s: ok, %d s in all\n' "$1" "$((SECONDS - STARTED))"
}

# in_networks COMMAND…: where it may make networks of its own: as root, or as root of a user namespace. Virtual
# machines need /dev/net/tun as well.
in_networks() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif [ -w /dev/net/tun ] && unshare --user --map-root-user --net true 2>/dev/null; then
        unshare --user --map-root-user "$@"
    elif command -v sudo >/dev/null; then
        echo "(by sudo: this user may not make networks here)"
        sudo --preserve-env=PATH,CARGO_HOME,RUSTUP_HOME,HOME "$@"
    else
        echo "this user may not make networks here: run this as root" >&2
        return 1
    fi
}
