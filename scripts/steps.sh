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
