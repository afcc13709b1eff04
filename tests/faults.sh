#!/bin/sh
# faults.sh: faults inside.  Every system call that the library and the demos
# make fails, in every way it can, at some of its occurrences; a private
# operation goes wrong in every limb; processes are killed at many moments.
# Nothing may be lost, leaked, half there, or wrongly calculated and used; and
# there are words for it.
# Usage:   sh tests/faults.sh         SC_FULL=1: at every one (of a call
#                                     made over 150 times in a run: at 100)
#          SC_SEED=N repeats a run (what is sampled, and all random bytes)
# Needs:   Linux with glibc (64 bits), a C compiler (CC, CFLAGS) that has the
#          address sanitizer, python3
# Debian: python3 binutils
# Parts:   faults.c        between a program and the C library: makes calls fail
#          faults_calls.c  each function of the library that uses the system
#          faults_key.c    wrong limbs in keys and in the private operation
#          faults.py       the demos

cd "$(dirname "$0")/.." || exit 1
name=faults.sh
. tests/lib.sh
exec < /dev/null

seed=${SC_SEED:-$(od -An -N2 -t u2 /dev/urandom | tr -d ' ')}
echo "seed: SC_SEED=$seed"
SC_SEED=$seed
FAULTS_SEED=$seed
export SC_SEED FAULTS_SEED
all=
[ "${SC_FULL:-0}" = 1 ] && all=all
flags="-U_FORTIFY_SOURCE -I."
asan="-fsanitize=address -fno-omit-frame-pointer -g"

case $(uname -s) in
Linux) ;;
*)  echo "skipped: faults.sh: it needs Linux and glibc, use such a machine"
    echo "0 passed, 0 failed"
    exit 0 ;;
esac
has python3 || {
    echo "skipped: faults.sh: python3 is not there, install python3"
    echo "0 passed, 0 failed"
    exit 0
}

# row WHAT COMMAND...: a case, and its line of evidence: what it prints last.
row() {
    claim=$1
    shift
    if "$@" > "$scratch/row.log" 2>&1; then
        ok "$claim"
        verdict=passed
    else
        failed "$claim" "$scratch/row.log"
        grep FAILED "$scratch/row.log" | head -n 15 | cut -c 1-400
        verdict=FAILED
    fi
    echo "evidence: $claim | $verdict | $(tail -n 1 "$scratch/row.log" \
        | tr '|' '/')"
}

# ---- 1. building ------------------------------------------------------------

# build_all FROM TO [FLAG...]: the sources in FROM; TO gets programs.
build_all() {
    from=$1
    to=$2
    shift 2
    mkdir -p "$to" || return
    for file in secchan rsa_mini bignum; do
        $CC $CFLAGS $flags "$@" -c -o "$to/$file.o" "$from/$file.c" || return
    done
    built="$to/secchan.o $to/rsa_mini.o $to/bignum.o"
    for demo in demo_client demo_server; do
        $CC $CFLAGS $flags "$@" $link -o "$to/$demo" "$from/$demo.c" $built \
            || return
    done
    $CC $CFLAGS $flags -c -o "$to/faults.o" tests/faults.c || return
    $CC $CFLAGS $flags "$@" -o "$to/faults_calls" tests/faults_calls.c \
        "$to/faults.o" $built -ldl || return
    $CC $CFLAGS $flags -DFAULTS_MALLOC -fPIC -shared -o "$to/faults.so" \
        tests/faults.c -ldl
}

# build_key FROM TO [FLAG...]: faults_key includes FROM's rsa_mini.c.
build_key() {
    from=$1
    to=$2
    shift 2
    $CC $CFLAGS -iquote "$from" -I. "$@" -o "$to" tests/faults_key.c \
        "$from/secchan.c" "$from/bignum.c"
}

# LD_PRELOAD wants the sanitizer inside the program, which clang does anyway.
sanitized() {
    link=
    $CC --version | grep -qi clang || link=-static-libasan
    build_all . "$scratch/asan" $asan
}

link=
check "it is built" build_all . "$scratch/plain"
check "it is built with the address sanitizer" sanitized
link=
check "wrong limbs: built" build_key . "$scratch/key"
check "wrong limbs: built without vectors" build_key . "$scratch/key_plain" \
    -DSC_NO_SIMD
[ "$n_failed" -eq 0 ] || finish

# ---- 2. nothing is forgotten ------------------------------------------------

# What the demos want from the C library is made to fail, or cannot fail, or
# says so by something that is; what is new is to be added to faults.c, or here.
# (sigaction, with what the demos give it, cannot fail.)
harmless="__errno_location __libc_start_main __sysv_signal __posix_getopt abort
    exit fclose fflush fgets fprintf fputc fputs free freeaddrinfo fwrite getenv
    getopt isatty memchr memcmp memcpy memmove memset optarg optind opterr
    optopt perror printf putc putchar puts setvbuf sigaction sigemptyset signal
    snprintf stderr stdin stdout strchr strcmp strcpy strerror strlen
    strncmp strrchr strspn strtoul vfprintf vprintf ferror bsd_signal
    __stack_chk_fail"
names() {
    nm -D "$1" | awk -v kind="$2" '$(NF - 1) == kind {
        sub(/@.*/, "", $NF); print $NF }' | sort -u
}
none_forgotten() {
    names "$scratch/plain/faults.so" T > "$scratch/known"
    printf '%s\n' $harmless >> "$scratch/known"
    cat /dev/null > "$scratch/wanted"
    for demo in demo_client demo_server; do
        names "$scratch/plain/$demo" U >> "$scratch/wanted"
    done
    sort -u "$scratch/wanted" > "$scratch/all"
    [ -s "$scratch/all" ] || return
    grep -vxFf "$scratch/known" "$scratch/all" && return 1
    echo "$(names "$scratch/plain/faults.so" T | grep -cxFf "$scratch/all")" \
        "of $(grep -c . "$scratch/all") functions of the C library fail," \
        "the others cannot, or show it through these"
}
row "every call of the demos is made to fail, or cannot fail" none_forgotten

# ---- 3. wrong limbs ---------------------------------------------------------

vectors=no
grep -qw avx2 /proc/cpuinfo 2> /dev/null && vectors=yes
if [ "$vectors" = yes ]; then
    row "wrong limbs of keys and CRT halves, AVX2" "$scratch/key" $all
else
    skipped "wrong limbs with AVX2: this processor has none, install another"
fi
row "wrong limbs of keys and CRT halves, portable" "$scratch/key_plain" $all
if [ -n "$all" ]; then
    row "wrong limbs, words of 32 bits: built" build_key . "$scratch/key_32" \
        -DSC_WORD32
    row "wrong limbs of keys and CRT halves, words of 32 bits" "$scratch/key_32"
fi

# ---- 4. the library's calls -------------------------------------------------

"$scratch/plain/demo_server" --make-key "$scratch/a_key" > "$scratch/log" || {
    failed "a key is made" "$scratch/log"
    finish
}

# calls BUILD [all | TRIAL]
calls() {
    rm -rf "$scratch/files"
    mkdir "$scratch/files"
    "$scratch/$1/faults_calls" "$scratch/a_key" "$scratch/files" $2
}
row "library: each system call fails (files: in twos); memory searched" \
    calls plain $all
row "library: the same, address and leak sanitizers" calls asan $all

# ---- 5. the demos -----------------------------------------------------------

demos() {
    build=$1
    shift
    python3 tests/faults.py "$scratch/$build" "$@"
}
for scenario in "demo_client messages" "demo_client lines" "demo_client file" \
    "demo_client key" "demo_server key" "demo_server echo" \
    "demo_server receive"; do
    row "each system call fails: $scenario" demos plain "$scenario"
    [ -z "$all" ] || row "the same, sanitizers: $scenario" \
        demos asan "$scenario"
done
[ -n "$all" ] || row "recv fails, sanitizers: demo_server receive" \
    demos asan "demo_server receive" recv
row "a stored file: on disk, then named, then reported" demos plain \
    "demo_server order"
row "kill -9 of a receiving server, before and after its calls" demos plain \
    "demo_server killed"
row "kill -9, TERM, INT, HUP of a receiving server at any moment" demos plain \
    "demo_server signals"
row "kill -9, TERM, INT, HUP of a sending client at any moment" demos plain \
    "demo_client signals"

# ---- 6. it bites ------------------------------------------------------------

# bad FILE EDIT: $scratch/bad has the sources, with this sed EDIT in FILE.
bad() {
    rm -rf "$scratch/bad"
    mkdir "$scratch/bad" && cp ./*.c ./*.h "$scratch/bad" \
        && sed "$2" "$1" > "$scratch/bad/$1" \
        && ! cmp -s "$1" "$scratch/bad/$1" || {
            echo "the edit of $1 no longer fits"
            return 1
        }
}

# found WORDS COMMAND...: it fails, and says so.
found() {
    words=$1
    shift
    "$@" > "$scratch/found.log" 2>&1 && { echo "not noticed"; return 1; }
    grep -q "FAILED.*$words" "$scratch/found.log" || {
        cat "$scratch/found.log"
        return 1
    }
    grep "FAILED.*$words" "$scratch/found.log" | head -n 1 | cut -c 1-150 \
        | sed 's/FAILED/noticed/'
}

bad_key() {
    bad "$1" "$2" && build_key "$scratch/bad" "$scratch/bad/key" || return
    found "wrong numbers got out" "$scratch/bad/key"
}

# bad_calls FILE EDIT TRIAL WORDS
bad_calls() {
    bad "$1" "$2" && build_all "$scratch/bad" "$scratch/bad.built" || return
    found "$4" calls bad.built "$3"
}

# bad_demos EDIT WORDS SCENARIO [ONLY]: of demo_server.c.
bad_demos() {
    bad demo_server.c "$1" && build_all "$scratch/bad" "$scratch/bad.built" \
        || return
    words=$2
    shift 2
    found "$words" demos bad.built "$@"
}

row "control: without the check m^e = c" bad_key rsa_mini.c \
    '/^int sc_rsa_private/,/^}/s/\*ok = sc_bytes_equal(.*/*ok = ~(sc_word)0;/'
row "control: half a line of known_hosts is left" bad_calls secchan.c \
    's/os_truncate(fd, end) != 0/0/' sc_known_hosts_remember "not as before"
row "control: a key file's text is not wiped" bad_calls secchan.c \
    's/sc_wipe(text, sizeof text);/(void)text;/' sc_key_load "secret"
row "control: a descriptor is not closed after an error" bad_calls secchan.c \
    '/^static int os_read_private/,/^}/ {
        s/(void)os_close_file(fd);/if (e == SC_OK) &/
    }' \
    sc_key_load "descriptor"
row "control: a read error ends the list, as if it were whole" bad_calls \
    secchan.c 's/    if (n < 0)$/    if (n < -1)/;
        s/if (fd < 0)$/if (fd < 0 \&\& errno != ENOENT)/' \
    "sc_judge_known_hosts, changed" "believed"
row "control: EINTR is an error" bad_calls secchan.c \
    's/    while (n < 0 \&\& errno == EINTR);/    while (0);/' \
    "a client" "tried again"
row "control: a write error is not looked at" bad_demos \
    '/^static int upload_write/,/^}/s/return -1;/return 0;/' \
    "not whole\|is not there" "demo_server receive" write
row "control: no fsync" bad_demos 's/r = fsync(f->fd);/r = 0;/' "on the disk" \
    "demo_server order"
row "control: written under its own name from the start" bad_demos \
    '/^static int upload_open/,/^}/s/folder_fd, f->temporary/folder_fd, f->name/
     s/linkat(folder, temporary, folder, name, 0) != 0/0/' \
    "not whole" "demo_server killed" write
row "control: temporary files stay" bad_demos \
    's/folder_remove(c->server->folder_fd, f->temporary);/(void)0;/' \
    "temporary file" "demo_client signals"
row "control: a complaint does not say what to do" bad_demos \
    's/; choose another address with "/ "/' "what to do" "demo_server echo" bind

echo "$n_passed passed, $n_failed failed"
[ "$n_failed" -eq 0 ] && [ "$n_passed" -gt 0 ]
