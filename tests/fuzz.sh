#!/bin/sh
# fuzz.sh: inputs that nobody thought of, for everything that takes bytes from
# outside: libFuzzer with the address and undefined-behaviour sanitizers.
# tests/fuzz.c holds the targets and says what each of them must never see.
# Usage:   sh tests/fuzz.sh [TARGET...]       all of them by default
#          SC_FUZZ_SECONDS=N  for each target: 60 by default, 600 with SC_FULL=1
#          SC_JOBS=N           targets at a time; by default one a processor
#          SC_FUZZ_CORPUS=DIR  keep the inputs there, and go on from them
#          SC_SEED=N           libFuzzer's seed: by default 1, so that a run can
#                              be repeated; with SC_FULL=1 a new one
#          SC_FUZZ_KEEP=DIR    where inputs that fail are kept; else they are
#                              only printed, in base64
# Cases:   each target runs and finds nothing; and each, given a library or demo
#          in which one line has been damaged, finds it in the same time.
# Debian: clang libclang-rt-14-dev lld binutils
# Needs:   clang with libFuzzer, on Linux

name=fuzz.sh
cd "$(dirname "$0")/.." || exit 1
. tests/lib.sh

targets="client server handshake records life blocking files key line
    known_hosts authorized_keys cipher numbers"
if [ $# -gt 0 ]; then
    targets=$*
fi
seconds=${SC_FUZZ_SECONDS:-60}
if [ -n "${SC_FULL:-}" ]; then
    seconds=${SC_FUZZ_SECONDS:-600}
    SC_SEED=${SC_SEED:-$(od -An -N 3 -t u4 /dev/urandom | tr -d ' ')}
fi
jobs=${SC_JOBS:-$(nproc 2> /dev/null || echo 1)}
seed=${SC_SEED:-1}
corpus=${SC_FUZZ_CORPUS:-$scratch/corpus}
keep=${SC_FUZZ_KEEP:-}
cc=clang

# about TARGET: what it is, for the page of results.
about() {
    case $1 in
    client) echo "client: any frames in any state, tags bad and good" ;;
    server) echo "server: any frames in any state, tags bad and good" ;;
    handshake) echo "handshake: both ends, somebody in between" ;;
    records) echo "records: both ends, frames spoiled, moved, forged" ;;
    life) echo "life: clients while the short-lived key is replaced" ;;
    blocking) echo "blocking: pieces, errors, time-outs, sockets" ;;
    files) echo "files: names and contents sent to demo_server" ;;
    key) echo "key: private keys in three formats, read and written" ;;
    line) echo "line: public keys, read and written" ;;
    cipher) echo "cipher: fast, plain, 32-bit: one result" ;;
    numbers) echo "numbers: fast, plain, 32-bit: one result" ;;
    *) echo "$1: whole files, and line by line" ;;
    esac
}

# evidence WHAT RESULT FIGURES
evidence() {
    echo "evidence: $1 | $2 | $3"
}

# ---- 1. building ------------------------------------------------------------

base="-O2 -g1 -std=c99 -D_POSIX_C_SOURCE=200809L
    -fsanitize=address,undefined -fno-sanitize-recover=all"

# No branch in these depends on what they are given, or it is fuzz.c that
# compares: to trace them would only take time.  bignum.c is all like that.
untraced="sha256_* mgf1_xor chacha20_* poly1305_* base64_value
    sc_base64_write all_zero hear say_piece said_byte skip_heard stream_bytes
    next* hash_file touch act_seal hex"
for function in $untraced; do
    echo "fun:$function"
done > "$scratch/untraced"
traced="-fsanitize=fuzzer-no-link
    -fsanitize-coverage-ignorelist=$scratch/untraced"

# secchan.c asks fuzz.c instead of the system.
pretended=
for call in getrandom recv send poll shutdown setsockopt close fcntl \
    clock_gettime; do
    pretended="$pretended -D$call=fuzz_$call"
done

# object FILE FOLDER [FLAG...]: FILE.c there, as it is fuzzed.
object() {
    file=$1
    folder=$2
    shift 2
    flags=$base
    case $file in
    bignum) ;;
    secchan) flags="$flags $traced $pretended" ;;
    *) flags="$flags $traced" ;;
    esac
    $cc $flags -Wall -Wextra -I"$folder" -I. "$@" -c \
        -o "$folder/$(basename "$file").o" \
        "$(test -f "$folder/$file.c" && echo "$folder/")$file.c"
}

# other_build PREFIX FLAG: the library again, its names with a prefix.
other_build() {
    mkdir -p "$scratch/$1" || return
    for file in secchan rsa_mini bignum; do
        $cc $base $pretended "$2" -c -o "$scratch/$1/$file.o" $file.c || return
    done
    ld -r -o "$scratch/$1.o" "$scratch/$1/secchan.o" "$scratch/$1/rsa_mini.o" \
        "$scratch/$1/bignum.o" || return
    nm -g --defined-only "$scratch/$1.o" \
        | awk -v p="$1_" '$3 ~ /^sc_/ { print $3, p $3 }' > "$scratch/names"
    objcopy --redefine-syms="$scratch/names" "$scratch/$1.o"
}

# link_all FOLDER: from the objects in FOLDER, else from those of the sources.
link_all() {
    objects=
    for file in fuzz secchan rsa_mini bignum; do
        if [ -f "$1/$file.o" ]; then
            objects="$objects $1/$file.o"
        else
            objects="$objects $scratch/$file.o"
        fi
    done
    $cc -fsanitize=fuzzer,address,undefined \
        -Wl,--wrap=sc_oaep_decrypt,--wrap=sc_keygen_step -o "$1/fuzz" \
        $objects "$scratch/p64.o" "$scratch/p32.o"
}

build() {
    other_build p64 -DSC_NO_SIMD && other_build p32 -DSC_WORD32 || return
    for file in secchan rsa_mini bignum tests/fuzz; do
        object $file "$scratch" || return
    done
    link_all "$scratch"
}

# ---- 2. running a target ----------------------------------------------------

# Inputs are about as long as a target can use.
longest() {
    case $1 in
    client | server) echo 3000 ;;
    key) echo 4000 ;;
    line | known_hosts | authorized_keys) echo 1500 ;;
    *) echo 300 ;;
    esac
}

# fuzz PROGRAM TARGET FOLDER SECONDS: FOLDER has its inputs, its log and what
# failed.  A machine that stood still is no slow input: what seems to hang is
# tried again.
fuzz() {
    mkdir -p "$3/$2" || return
    "$1" --target="$2" --seeds="$3/$2" > "$3/$2.log" 2>&1 || return
    until=$(($(date +%s) + $4))
    left=$4
    for again in '' 2 3; do
        "$1" --target="$2" -max_total_time="$left" -seed="$seed" \
            -max_len="$(longest "$2")" -timeout=20 -report_slow_units=20 \
            -rss_limit_mb=2000 -print_final_stats=1 \
            -artifact_prefix="$3/$2-" "$3/$2" > "$3/$2.log" 2>&1 && return
        for bad in "$3/$2-timeout-"*; do
            [ -f "$bad" ] || return 1
            "$1" --target="$2" -timeout=20 "$bad" > "$3/$2.log$again" 2>&1 \
                || return 1
            rm "$bad"
        done
        left=$((until - $(date +%s)))
        [ "$left" -gt 5 ] || left=5
    done
    return 1
}

# why LOG: what was wrong, in one line.
why() {
    grep -a -h -m 1 -E 'not so|runtime error|^SUMMARY' "$1" \
        | sed 's/^.*\(not so\|runtime error\|SUMMARY\)/\1/; s/ (.*//' \
        | tr '|' ' ' | cut -c 1-120
}

# figures LOG: what libFuzzer says of a run.
figures() {
    awk '/^#[0-9]+[ \t]+DONE/ {
             for (i = 1; i < NF; i++) {
                 if ($i == "cov:") edges = $(i + 1)
                 if ($i == "ft:") features = $(i + 1)
             }
         }
         /^Done / { runs = $2; time = $5 }
         /slowest_unit_time_sec/ { slowest = $2 }
         END { printf "%d executions in %d s, %d edges, %d features", runs,
                   time, edges, features
               printf ", slowest %d s", slowest }' "$1"
}

# run TARGET...: at the same time.
run() {
    for target in "$@"; do
        fuzz "$scratch/fuzz" "$target" "$corpus" "$seconds" &
        eval "fuzzer_$target=$!"
        end_later $!
    done
    for target in "$@"; do
        eval "wait \$fuzzer_$target"
        judge $? "$target"
    done
}

# judge STATUS TARGET: STATUS is fuzz's.
judge() {
    if [ "$1" -eq 0 ]; then
        ok "$2: $(figures "$corpus/$2.log")"
        evidence "$(about "$2")" passed "$(figures "$corpus/$2.log")"
        return
    fi
    failed "$2: $(why "$corpus/$2.log")" "$corpus/$2.log"
    for bad in "$corpus/$2-"*; do
        if [ -f "$bad" ] && [ -n "$keep" ]; then
            cp "$bad" "$keep/" && echo "    kept: $keep/$(basename "$bad")"
        fi
    done
    evidence "$(about "$2")" FAILED "$(why "$corpus/$2.log")"
}

# ---- 3. does it bite? -------------------------------------------------------

# damage FILE SCRIPT: a copy of FILE.c with one line spoiled by sed, and a
# program with it.
damage() {
    rm -rf "$scratch/bad" && mkdir "$scratch/bad" || return
    sed "$2" "$1.c" > "$scratch/bad/$1.c" || return
    if cmp -s "$1.c" "$scratch/bad/$1.c"; then
        echo "the line to be spoiled is not in $1.c any more"
        return 1
    fi
    if [ "$1" = demo_server ]; then
        object tests/fuzz "$scratch/bad"
    else
        object "$1" "$scratch/bad"
    fi && link_all "$scratch/bad"
}

# bites TARGET FILE SCRIPT WHAT
bites() {
    case " $(echo $targets) " in
    *" $1 "*) ;;
    *) return ;;
    esac
    if ! damage "$2" "$3" > "$scratch/check.log" 2>&1; then
        failed "$1, control: cannot build without: $4" "$scratch/check.log"
        return
    fi
    began=$(date +%s)
    if fuzz "$scratch/bad/fuzz" "$1" "$scratch/bad" "$seconds"; then
        failed "$1, control: not found: $4"
        evidence "control, $1: $4" FAILED "not found in $seconds s"
        return
    fi
    took=$(($(date +%s) - began))
    if ! ls "$scratch/bad/$1-crash-"* > /dev/null 2>&1; then
        failed "$1, control: failed otherwise: $4" "$scratch/bad/$1.log"
        return
    fi
    ok "$1, control: found in $took s: $4 ($(why "$scratch/bad/$1.log"))"
    evidence "control, $1: $4" passed "found in $took s"
}

controls() {
    bites client secchan \
        's/&& len <= RANDOM_LEN + KE_LEN + SC_MODULUS_MAX;/;/' \
        "no upper bound for the length of M2"
    bites server secchan \
        's/|| (len >= m3 + SC_MODULUS_MIN/|| (len >= m3/' \
        "no lower bound for the client's key in M3"
    bites handshake secchan \
        '/^static int server_take_m5/,/^}/s/if (!ok) /if (0) /' \
        "the proof in M5 is not looked at"
    bites records secchan 's/ || (reason == CLOSE_DONE .*))$/)/' \
        "CLOSE 0 inside a message is taken"
    bites life secchan 's/^    k->in_flight--;/    ;/' \
        "finished handshakes are not counted"
    bites blocking secchan \
        's/n = c->data_len < buf_max ? .*;/n = c->data_len;/' \
        "sc_recv forgets how large the buffer is"
    bites files demo_server "s/if (byte == '\/' || /if (/" \
        "a file name may have slashes"
    bites key rsa_mini 's/if (c->bad || len > (size_t).*{$/if (c->bad) {/' \
        "fields of a key may be longer than the key"
    bites line rsa_mini 's/&& len >= 4 + type_len && /\&\& /' \
        "a key type may be longer than its blob"
    bites known_hosts secchan \
        '/^static int matches/,/^}/s/if (p < pattern.len && /if (/' \
        "a pattern is read beyond its end"
    bites authorized_keys secchan \
        's/return sc_public_equal(&listed, key) ? .*;/return SC_OK;/' \
        "any listed key will do"
    bites cipher secchan \
        's/poly1305_padded(&mac, in + n \/ 16 \* 16, n % 16);/;/' \
        "the last piece of a long record is not in the tag when opening"
    bites numbers bignum 's/low + (uint32_t)(v >> 32) + 65537/low + 65537/' \
        "one digit of one number in the inverse of 65537 is forgotten"
}

# ---- 4. all of it -----------------------------------------------------------

echo 'int LLVMFuzzerTestOneInput(const char *p, unsigned long n);
int LLVMFuzzerTestOneInput(const char *p, unsigned long n)
{ return p == 0 && n > 0; }' > "$scratch/try.c"
if ! has objcopy || ! has $cc || ! $cc -fsanitize=fuzzer,address,undefined \
    -o "$scratch/try" "$scratch/try.c" > /dev/null 2>&1; then
    skipped "fuzzing: no libFuzzer, install clang libclang-rt-14-dev binutils"
    echo "$name: 0 passed, 0 failed, all skipped"
    exit 0
fi

echo "$name: SC_SEED=$seed, $seconds s for each target, $jobs at a time"
check "the library three times, and the targets, are built" build
[ "$n_failed" -eq 0 ] || finish
set --
for target in $targets; do
    set -- "$@" "$target"
    if [ $# -ge "$jobs" ]; then
        run "$@"
        set --
    fi
done
run "$@"
controls
finish
