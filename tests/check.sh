#!/bin/sh
# check.sh: every extended check of this folder, one after the other, and a page
# of what came out: docs/evidence.md.
# Usage:   sh tests/check.sh            from the repository's root: make check
#          sh tests/check.sh NAME...    some of them: ct, known, hostile, ...
#          SC_FULL=1 ...                the full runs, which take hours
#          The page keeps what it says of those that are not run.
# Needs:   what the checks need: the "# Debian:" line of each.  Missing packages
#          are installed where that is possible (Debian, as root).
# Rows:    a check prints "evidence: WHAT | RESULT | FIGURES" for a row of its
#          table; one that prints none gets one row, with its last line.

page=docs/evidence.md
commit=$(git describe --always --exclude '*' 2> /dev/null)
git diff --quiet HEAD -- . ":!$page" 2> /dev/null || commit=$commit-dirty
settings=$(env | sed -n '/^SC_JOBS=\|^SC_VECTORS=/d
    s/^\(SC_RESULTS\)=.*/\1=... /p; t
    s/^SC_[A-Z_]*=[A-Za-z0-9]*$/& /p' | sort | tr -d '\n')
n_passed=0
n_failed=0

titles() {
    cat <<'END'
strict Warnings, names, memory
interop Key files and OAEP beside openssl and ssh-keygen
demos The two programs
readme The programs in README.md
ct Constant time
timing Constant time, by the clock
known Known answers made by others
hostile Hostile peers
faults Faults inside
fuzz Fuzzing
coverage Coverage of make test
mutate Tests that bite
machines Every machine
windows Windows
hygiene Hygiene
soak A long soak
proof The proof
END
}

[ -f secchan.c ] || {
    echo "check.sh: this is not the repository's root" >&2
    exit 2
}
for check in "$@"; do
    titles | grep -q "^$check " && [ -f "tests/$check.sh" ] || {
        echo "check.sh: there is no check \"$check\"; there are:" \
            $(titles | sed 's/ .*//') >&2
        exit 2
    }
done

scratch=$(mktemp -d "${TMPDIR:-/tmp}/secchan.XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

is_installed() {
    dpkg-query -W -f '${Status}' "$1" 2> /dev/null \
        | grep -q '^install ok installed'
}

install_for() {
    command -v apt-get > /dev/null && [ "$(id -u)" -eq 0 ] || return
    missing=
    for package in $(sed -n 's/^# Debian: *//p' "tests/$1.sh"); do
        is_installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return
    echo "installing:$missing"
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
        --no-install-recommends $missing > "$scratch/apt" 2>&1 \
        || tail -n 3 "$scratch/apt"
}

# section CHECK TITLE STATUS SECONDS: what the page says of a check.
section() {
    echo "## $2"
    echo
    echo "$(date -u +%Y-%m-%d), commit $commit, $4 s:" \
        "\`${settings}sh tests/$1.sh\`"
    echo
    echo "| what | result | figures |"
    echo "| --- | --- | --- |"
    if grep -q '^evidence: ' "$scratch/log"; then
        sed -n 's/^evidence: \(.*\)/| \1 |/p' "$scratch/log"
    else
        echo "| the whole | $3 | $(tail -n 1 "$scratch/log") |"
    fi
    sed -n 's/^ *skipped: \([^|]*\)$/| \1 | skipped | |/p' "$scratch/log"
    echo
}

run() {
    echo "== $1: $2"
    install_for "$1"
    began=$(date +%s)
    if sh "tests/$1.sh" > "$scratch/log" 2>&1; then
        verdict=passed
        n_passed=$((n_passed + 1))
    else
        verdict=FAILED
        n_failed=$((n_failed + 1))
        grep -v '^ok' "$scratch/log" | tail -n 40 | sed 's/^/    | /'
    fi
    took=$(($(date +%s) - began))
    echo "$verdict, $took s: $(tail -n 1 "$scratch/log")"
    section "$1" "$2" "$verdict" "$took" > "$scratch/$1.md"
}

# kept TITLE: the section that the page has now.
kept() {
    [ -f "$page" ] || return
    awk -v title="## $1" '/^## / { inside = $0 == title } inside' "$page"
}

titles > "$scratch/titles"
while read -r check title; do
    case " $* " in
    "  " | *" $check "*)
        [ -f "tests/$check.sh" ] && run "$check" "$title" < /dev/null ;;
    esac
    [ -f "$scratch/$check.md" ] || kept "$title" > "$scratch/$check.md"
done < "$scratch/titles"

{
    cat <<'END'
# Evidence

Written by `make check` (`sh tests/check.sh`), which runs every check below and
replaces what is said of it; one alone: `sh tests/check.sh ct`. With `SC_FULL=1`
a check does not stop at the sample that fits a quarter of an hour. Nothing here
was typed by hand; [limits.md](limits.md) says what is not claimed, and
[speed.md](speed.md) has the times.

END
    echo "Last run on: $(uname -srm), $(sed -n 's/^model name[^:]*: //p' \
        /proc/cpuinfo | head -n 1), $(nproc) cores;"
    for tool in gcc clang valgrind python3; do
        command -v $tool > /dev/null && $tool --version | head -n 1
    done | sed -e 's/$/;/' -e '$s/;$/./'
    echo
    while read -r check title; do
        cat "$scratch/$check.md"
    done < "$scratch/titles"
} > "$scratch/page"
sed -e :a -e '/^\n*$/{$d;N;ba' -e '}' "$scratch/page" > "$page"

echo "$page is written"
echo "$n_passed passed, $n_failed failed"
[ "$n_failed" -eq 0 ]
