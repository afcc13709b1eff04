# lib.sh: what the checks in this folder share.  Sourced, after name=..., by sh
# scripts that run from the repository's root.
# Gives:  $scratch, a folder that is gone at the end, and with it every process
#         that was handed to end_later; a line a case: ok, failed, skipped,
#         check; finish, the last line; build_library, for programs' sake.
# From outside: CC and CFLAGS, for programs that are built to be run.

CC=${CC:-cc}
CFLAGS=${CFLAGS:--O2}
n_passed=0
n_failed=0
n_skipped=0
scratch=
processes=

# kill_now PROCESS: and nothing is said of it, not even by bash.
kill_now() {
    kill -9 "$1" 2>/dev/null && wait "$1" 2>/dev/null
}

clean_up() {
    for process in $processes; do
        kill_now "$process"
    done
    if [ -n "$scratch" ]; then
        rm -rf "$scratch"
    fi
}

trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

scratch=$(mktemp -d "${TMPDIR:-/tmp}/secchan.XXXXXX") || exit 1

end_later() {
    processes="$processes $1"
}

ok() {
    n_passed=$((n_passed + 1))
    echo "ok: $1"
}

# failed CLAIM [FILE]: FILE says more.
failed() {
    n_failed=$((n_failed + 1))
    echo "FAILED: $1"
    if [ -s "${2:-}" ]; then
        tail -n 15 "$2" | cut -c 1-300 | sed 's/^/    /'
    fi
}

skipped() {
    n_skipped=$((n_skipped + 1))
    echo "skipped: $1"
}

# check CLAIM COMMAND...: the claim holds if the command succeeds.
check() {
    claim=$1
    shift
    if "$@" > "$scratch/check.log" 2>&1; then
        ok "$claim"
    else
        failed "$claim" "$scratch/check.log"
    fi
}

# build_library [FLAG...]: from the sources in this folder, into $objects.
objects="$scratch/secchan.o $scratch/rsa_mini.o $scratch/bignum.o"
build_library() {
    for file in secchan rsa_mini bignum; do
        $CC $CFLAGS "$@" -c -o "$scratch/$file.o" "$file.c" || return
    done
}

has() {
    command -v "$1" > /dev/null 2>&1
}

finish() {
    if [ "$n_skipped" -gt 0 ]; then
        echo "$name: $n_skipped skipped"
    fi
    echo "$name: $n_passed passed, $n_failed failed"
    [ "$n_failed" -eq 0 ] && [ "$n_passed" -gt 0 ]
    exit
}
