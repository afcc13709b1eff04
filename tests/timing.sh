#!/bin/sh
# timing.sh: does the time until an M3 is refused say why it was?  Welch's t, in
# the way of dudect, for each kind of bad M3 against one whose blocks are both
# well-formed: in one process, and through a demo_server on this machine.
# The figures are measured and shown, and fail nothing: another program on the
# same machine can spoil any of them.  t, without its sign, above 4.5 deserves a
# second look, above 10 a third.  Beside them are those of two leaks that were
# put into copies of the library: half of the work left out, which must give
# more than 10 or nothing is proved by a small t, and a few microseconds, which
# say how fine this clock is.
# Usage:   sh tests/timing.sh            a sample
#          SC_FULL=1 sh tests/timing.sh  ten times as many
#          SC_SEED=... chooses the order and what is enciphered
# Debian: gcc

cd "$(dirname "$0")/.." || exit 1
name=timing.sh
. tests/lib.sh

began=$(date +%s)
seed=${SC_SEED:-$(od -An -N6 -t x1 /dev/urandom | tr -d ' \n')}
echo "SC_SEED=$seed"
more=${SC_FULL:+0}                      # a digit more
umask 077

row_of_evidence() {                     # WHAT RESULT FIGURES
    echo "evidence: $1 | $2 | $3"
}

# build NAME SOURCES: $scratch/NAME
build() {
    $CC $CFLAGS -w -I"$2" -o "$scratch/$1" tests/timing.c "$2/secchan.c" \
        "$2/rsa_mini.c" "$2/bignum.c" -lm
}

# in_words FIGURES: a line a kind, times in microseconds.
in_words() {
    awk -F '\t' '{ printf "%-36s median %8.1f us, %+7.1f; t %6.2f," \
        " 4.5 from %.1f us on\n", $1, $2 / 1e3, $3 / 1e3, $5, $4 / 1e3 }' "$1"
}

# largest FIGURES: over all kinds but the first two, in one line.
largest() {
    awk -F '\t' 'NR == 1 { median = $2 }
        NR > 2 { if ($5 > t) { t = $5; kind = $1 }
                 far = $3 < 0 ? -$3 : $3; if (far > most) most = far
                 if ($4 > seen) seen = $4 }
        END { printf "largest t %.2f (%s); medians %.1f us apart at most" \
              " of %.0f us; t is 4.5 from %.1f us on\n", t, kind, most / 1e3, \
              median / 1e3, seen / 1e3 }' "$1"
}

# ---- 1. leaks that must show ------------------------------------------------

# leak CLAIM LEAST ROUNDS FILE SED: with this change, kind 3 (C1's first byte is
# 01) takes another time; LEAST: what t has to be, 0: it is only measured.
leak() {
    rm -rf "$scratch/changed" && mkdir "$scratch/changed" \
        && cp secchan.h secchan.c rsa_mini.c bignum.c "$scratch/changed" \
        && sed "$5" "$4" > "$scratch/changed/$4"
    if cmp -s "$4" "$scratch/changed/$4" \
        || ! build leaking "$scratch/changed" > "$scratch/check.log" 2>&1; then
        failed "$1: the change no longer fits $4" "$scratch/check.log"
        return
    fi
    "$scratch/leaking" "$3" "$seed" 3 > "$scratch/figures" || {
        failed "$1: cannot be measured"
        return
    }
    in_words "$scratch/figures"
    figures=$(awk -F '\t' 'NR == 3 { printf "t %.1f, medians %.1f us apart" \
        " of %.0f us", $5, ($3 < 0 ? -$3 : $3) / 1e3, $2 / 1e3 }' \
        "$scratch/figures")
    if [ "$2" = 0 ]; then
        echo "measured: put in on purpose: $1: $figures"
        row_of_evidence "put in on purpose: $1" measured "$figures"
    elif awk -F '\t' 'NR == 3 { exit !($5 > least) }' least="$2" \
        "$scratch/figures"; then
        ok "put in on purpose: $1: $figures"
        row_of_evidence "put in on purpose: $1" passed "$figures"
    else
        failed "put in on purpose: $1: does not show: $figures"
        row_of_evidence "put in on purpose: $1" FAILED "$figures"
    fi
}

leak "C2 is not opened if C1 is bad" 10 200 secchan.c \
    's/e2 = open_secret(/e2 = !ok1 ? 0 : open_secret(/'
leak "OAEP ends at a first byte that is not 0" 0 5000 rsa_mini.c \
    '/^int sc_oaep_decrypt/,/^}/ s/^ *mgf1_xor(/        if (em[0] == 0) &/'

# ---- 2. the library ---------------------------------------------------------

# figures WHAT FILE
figures() {
    in_words "$2"
    row_of_evidence "time to refuse an M3, $1, all kinds" measured \
        "$(largest "$2")"
}

rounds=1500$more
check "the timing program is built" build timing .
check "in one process: $rounds M3s of each kind, all refused" \
    sh -c '"$1" "$2" "$3" 0 > "$4"' sh "$scratch/timing" $rounds "$seed" \
    "$scratch/figures"
if [ -s "$scratch/figures" ]; then
    figures "in process" "$scratch/figures"
    awk -F '\t' '{ printf "evidence: M3 with %s, %s times | measured |" \
        " median %.1f us; t %.2f\n", $1, rounds, $2 / 1e3, $5 }' \
        rounds=$rounds "$scratch/figures"
fi

served() {
    build_library \
        && $CC $CFLAGS -I. -o "$scratch/demo_server" demo_server.c $objects \
        && "$scratch/demo_server" --make-key "$scratch/key" || return
    "$scratch/demo_server" -q -l 127.0.0.1:0 -k "$scratch/key" \
        > "$scratch/server.log" 2>&1 &
    end_later $!
    for i in 1 2 3 4 5 6 7 8 9 10; do
        port=$(sed -n 's/^listening on .* port //p' "$scratch/server.log")
        [ -z "$port" ] || break
        sleep 1
    done
    [ -n "$port" ] && "$scratch/timing" $rounds "$seed" 0 127.0.0.1 "$port" \
        > "$scratch/figures"
}
rounds=300$more
check "over loopback: $rounds M3s of each kind, all refused" served
[ ! -s "$scratch/figures" ] || figures "through demo_server" "$scratch/figures"

echo "$(($(date +%s) - began)) seconds"
finish
