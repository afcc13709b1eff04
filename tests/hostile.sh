#!/bin/sh
# hostile.sh: an attacker (hostile.c) against demo_server, a server on the
# blocking layer, and demo_client, through real sockets: frames and records out
# of turn, altered, replayed, cut; spoilt keys and ciphertexts; crowds, slow
# bytes, resets.  Each case says what the attacker saw, what the victim made of
# it, and that nothing was released; each group, that the victim still serves
# and holds no more memory or descriptors than before.
# Before that, deliberate faults in copies of the sources must be found.
# Usage:   sh tests/hostile.sh [GROUP...]   (groups: the end of hostile.c)
#          SC_FULL=1: every bit and byte that the usual run samples, and more
#          lengths; all 65,536 are tried in memory, always.
# Needs:   a C compiler (CC, CFLAGS); 2,300 descriptors (ulimit -n), else the
#          crowd is skipped; Linux's /proc for memory
# Debian: gcc libc6-dev

cd "$(dirname "$0")/.." || exit 1
name=hostile.sh
. tests/lib.sh
ulimit -n 4096 2> /dev/null             # if it may be raised

top=$PWD
programs="demo_server demo_client small_server hostile"

# ---- 1. building ------------------------------------------------------------

compile() {
    build_library || return
    for demo in demo_server demo_client; do
        $CC $CFLAGS -I. -c -o "$scratch/$demo.o" "$demo.c" || return
    done
    $CC $CFLAGS -I. -DDEMO_FILE_MAX=100000 -c -o "$scratch/small_server.o" \
        demo_server.c || return
    $CC $CFLAGS -I. -c -o "$scratch/hostile.o" tests/hostile.c || return
    link_in "$scratch" "$scratch"
}

# link_in FOLDER INSTEAD: the programs, into FOLDER; objects that are in INSTEAD
# take the place of the usual ones.
link_in() {
    for program in $programs; do
        set -- "$1" "$2" "$scratch/$program.o"
        for object in $program secchan rsa_mini bignum; do
            from=$scratch
            [ -f "$2/$object.o" ] && from=$2
            set -- "$@" "$from/$object.o"
        done
        folder=$1
        instead=$2
        shift 3
        $CC $CFLAGS -o "$folder/$program" "$@" || return
        set -- "$folder" "$instead"
    done
}

check "the attacker and its victims are built" compile
[ "$n_failed" -eq 0 ] || finish

# ---- 2. controls ------------------------------------------------------------

# control NAME GROUP FILE EXPRESSION: sed's EXPRESSION puts a fault into FILE;
# the group must find it.  The attacker itself is made of the good sources, but
# where it is the victim, too.
n_controls=0
n_found=0
control() {
    folder=$scratch/$1
    n_controls=$((n_controls + 1))
    mkdir "$folder" || exit 1
    sed "$4" "$3" > "$folder/$3"
    if cmp -s "$3" "$folder/$3"; then
        failed "control $1: there is nothing to change in $3"
        return
    fi
    build_faulty "$2" "$folder" "$3" > "$folder/log" 2>&1 || {
        failed "control $1: it is not built" "$folder/log"
        return
    }
    (cd "$folder" && SC_CONTROL=1 ./hostile "$2" > out 2> err) &
    attacker=$!
    end_later "$attacker"
    wait "$attacker"
    status=$?
    if [ "$status" -eq 3 ] && grep -q '^FAILED' "$folder/out"; then
        n_found=$((n_found + 1))
        ok "control $1 is found: $(sed -n 's/^FAILED: //p' "$folder/out" \
            | head -n 1 | tr '|' '/' | cut -c 1-150)"
    else
        failed "control $1 is not found by $2 (status $status)" "$folder/out"
    fi
    rm -rf "$folder"
}

# build_faulty GROUP FOLDER FILE
build_faulty() {
    all=$programs
    $CC $CFLAGS -O0 -I. -c -o "$2/${3%.c}.o" "$2/$3" || return
    if [ "$3" = demo_server.c ]; then
        $CC $CFLAGS -O0 -I. -DDEMO_FILE_MAX=100000 -c \
            -o "$2/small_server.o" "$2/$3" || return
    fi
    if [ "$1" = headers-memory ] || [ "$1" = whole ]; then
        link_in "$2" "$2"
        return
    fi
    programs="demo_server demo_client small_server"
    link_in "$2" "$2"
    result=$?
    programs=$all
    cp "$scratch/hostile" "$2/hostile" && return "$result"
}

# in_function FUNCTION CHANGE: sed's expression for one function.
in_function() {
    printf '%s\n' "/^[a-z].*[ *]$1(/,/^}/$2"
}

some_controls() {
    control record-tag records secchan.c \
        "$(in_function take_record 's/if (!ok) {/if (0) {/')"
    control m3-first-secret m3 secchan.c 's/ok = ok1 & ok2/ok = ok2/'
    control m3-answered m3 secchan.c "$(in_function server_open_m3 \
        's/if (!ok) /if (!ok1) ch->state = OPEN; if (!ok) /')"
    control m5-unproved handshake secchan.c \
        "$(in_function server_take_m5 's/if (!ok) /if (0) /')"
    control lengths headers-memory secchan.c \
        's/len <= m3 + SC_MODULUS_MAX/len <= 800 + SC_MODULUS_MAX/'
    control close-inside close secchan.c \
        's/ || (reason == CLOSE_DONE && ch->getting_part)//'
    control half-file files demo_server.c \
        "$(in_function upload_forget 's/folder_remove(.*);/;/')"
    control sockets-kept cuts demo_server.c \
        "$(in_function drop 's/ close_socket(c->fd);/& (void)dup(2);/')"
    control m4-unproved client-handshake secchan.c \
        "$(in_function client_take_m4 's/if (e == SC_OK && !ok)/if (0)/')"
    control kept-per-record endless demo_server.c \
        "$(in_function queue_record \
            's/^{/{ (void)memset(malloc(64), 1, 64);/')"
    control too-long whole secchan.c \
        's/buf_max = SC_MESSAGE_MAX;/;/'
    control client-record-tag client-records secchan.c \
        "$(in_function take_record 's/if (!ok) {/if (0) {/')"
    control wrong-hash client-files demo_client.c \
        's/memcmp(own, t->text, 64) != 0/0/'
    control host-changed client-hosts secchan.c \
        's/sc_public_equal(&key, shown) ? SC_OK : SC_ERR_HOST_CHANGED/SC_OK/'
}

more_controls() {
    control no-rekey records secchan.c \
        "$(in_function count_record 's/< RECORDS_PER_KEY/< 1u << 30/')"
    control m3-unopened m3 secchan.c \
        "$(in_function server_open_m3 's/if (!ok) /if (0) /')"
    control m3-second-secret m3 secchan.c 's/ok = ok1 & ok2/ok = ok1/'
    control m3-not-below-n m3 rsa_mini.c "$(in_function sc_rsa_private \
        's/= sc_bytes_equal(again, c, k)/= ~(sc_word)0/')"
    control kc-unchecked m3 secchan.c \
        's/ch->peer.n_len > 0 && sc_public_check/0 \&\& sc_public_check/'
    control version headers secchan.c 's/header\[1\] != WIRE_VERSION || //'
    control m3-length headers secchan.c \
        's/len <= m3 + SC_MODULUS_MAX/len <= 1000 + SC_MODULUS_MAX/'
    control close-reason close secchan.c \
        's/reason > CLOSE_INTERNAL/reason > 200/'
    control cut-is-close cuts secchan.c \
        "$(in_function sc_eof 's/if (ch->got_close)/if (ch->state == OPEN)/')"
    control buffers-kept close demo_server.c \
        "$(in_function give_back_buffers 's/ free(c->io);/ ;/')"
    control no-room crowd demo_server.c \
        's/^    if (is_full(s) && !make_room(s)) {/    if (is_full(s)) {/'
    control m2-even client-handshake rsa_mini.c \
        "$(in_function sc_public_check 's/% 2 == 0/% 2 > 1/')"
    control m2-same client-handshake secchan.c 's/return SC_ERR_SAME_KEYS;/;/'
    control m4-secret client-handshake secchan.c 's/ok &= ok3;/;/'
    control no-patience patience demo_server.c \
        's/s->now_ms + SC_HANDSHAKE_MS/s->now_ms + 10000/'
}

if [ $# -eq 0 ]; then
    some_controls
    [ "${SC_FULL:-0}" != 1 ] || more_controls
    echo "evidence: controls: deliberate faults in copies of the sources," \
        "each to be found by its group | $([ "$n_found" -eq "$n_controls" ] \
        && echo passed || echo FAILED) | $n_found of $n_controls found"
fi

# ---- 3. the attack ----------------------------------------------------------

cd "$scratch" || exit 1
./hostile "$@" 2> timing &
attacker=$!
end_later "$attacker"
wait "$attacker"
status=$?
cd "$top" || exit 1
if [ -s "$scratch/counts" ]; then
    read -r good bad < "$scratch/counts"
    n_passed=$((n_passed + good))
    n_failed=$((n_failed + bad))
    sed 's/^/seconds of /' "$scratch/timing"
else
    failed "hostile came to its end (status $status)" "$scratch/timing"
fi
finish
