#!/bin/sh
# known.sh: known answers made by others.  Random and extreme cases are worked
# out by the library and by OpenSSL's library, by Python's numbers and hashes,
# and from key files that openssl, ssh-keygen and tests/known.py make.
# interop.sh is the light one of the two, with plain tools only.
# Usage:   sh tests/known.sh          two or three minutes of one core
#          SC_FULL=1 sh tests/known.sh        many more cases, and sanitizers
#          SC_SEED=N                  as a run before, but for its RSA keys
# Needs:   a C compiler (CC, CFLAGS); clang for a build of its own
# Debian: libssl-dev openssl openssh-client python3 clang
# Vectors: from SC_VECTORS, or ../shared/vectors, if they are there.
# A wrong answer: a failure shows the numbers it was found with.  That one wrong
# bit would be found is tried first, for each section of each build.

cd "$(dirname "$0")/.." || exit 1
name=known.sh
. tests/lib.sh

seed=${SC_SEED:-$(od -An -N4 -t u4 /dev/urandom | tr -d ' ')}
echo "$name: SC_SEED=$seed"

# row WHAT RESULT FIGURES
row() {
    echo "evidence: $1 | $2 | $3"
}

# row_of WHAT PASSED FAILED WORDS
row_of() {
    if [ "$3" -eq 0 ] && [ "$2" -gt 0 ]; then
        row "$1" passed "$2 $4"
    else
        row "$1" FAILED "$3 of $(($2 + $3)) $4"
    fi
}

finish_known() {
    echo "$n_passed passed, $n_failed failed, SC_SEED=$seed"
    [ "$n_failed" -eq 0 ] && [ "$n_passed" -gt 0 ]
    exit
}

# ---- 1. what is there -------------------------------------------------------

n_missing=0
missing() {
    skipped "known answers: no $1, install $2"
    n_missing=$((n_missing + 1))
}
has openssl || missing openssl openssl
has ssh-keygen || missing ssh-keygen openssh-client
has python3 || missing python3 python3
echo '#include <openssl/evp.h>' > "$scratch/peer.c"
$CC -c -o "$scratch/peer.o" "$scratch/peer.c" 2> "$scratch/log" \
    || missing "openssl/evp.h" libssl-dev
if [ "$n_missing" -gt 0 ]; then
    echo "0 passed, 0 failed, all skipped"
    exit 0
fi

# build NAME COMPILER FLAG...: known-NAME, oaep-NAME, and test-NAME for two.
build() {
    program=$1
    compiler=$2
    shift 2
    given=$CC
    CC=$compiler
    build_library "$@"
    built=$?
    for file in tests/oaep tests/known test; do
        case $program/$file in
        cc/test | word32/test | */tests/*) ;;
        *) continue ;;
        esac
        [ "$built" -eq 0 ] && $CC $CFLAGS "$@" -I. \
            -o "$scratch/${file#*/}-$program" "$file.c" $objects -lcrypto \
            || built=1
    done
    CC=$given
    return "$built"
}

# must COMMAND...: or there is nothing to go on with.
must() {
    "$@" > "$scratch/log" 2>&1 && return
    failed "$*" "$scratch/log"
    finish_known
}

sanitize="-g -fsanitize=address,undefined -fno-sanitize-recover=all"
builds="cc no-simd word32"
must build cc "$CC"
must build no-simd "$CC" -DSC_NO_SIMD
must build word32 "$CC" -DSC_WORD32
if has clang; then
    builds="$builds clang"
    must build clang clang
else
    skipped "a build with clang: it is not there, install clang"
fi
if [ -n "${SC_FULL:-}" ]; then
    builds="$builds sanitized"
    must build sanitized "$CC" $sanitize -DSC_DEBUG
fi

# ---- 2. keys of every maker -------------------------------------------------

# Two of 2048 bits first; then the sizes where something is odd: 2056 and 4088
# have primes of an odd number of half bytes, 2688 and 3104 fill no whole limbs.
mkdir "$scratch/keys"
key() {
    echo "$scratch/keys/$1"
}
by_openssl() {
    must openssl genpkey -quiet -algorithm RSA \
        -pkeyopt "rsa_keygen_bits:$1" -out "$(key "$2")"
}
by_ssh_keygen() {
    must ssh-keygen -q -t rsa -b "$1" -m PEM -N '' -f "$(key "$2")"
    rm -f "$(key "$2").pub"
}
by_us() {
    (umask 077 && "$scratch/oaep-cc" make "$1" > "$(key "$2")") \
        || must false "no key of $1 bits"
}
swapped() {
    (umask 077 && python3 tests/known.py swap "$(key "$1")" \
        > "$(key "$2")") || must false "no primes in the other order"
}

by_openssl 2048 1-openssl-2048
by_ssh_keygen 2048 2-ssh-keygen-2048
by_ssh_keygen 2056 3-ssh-keygen-2056
by_openssl 2688 4-openssl-2688
by_us 3072 5-ours-3072
by_ssh_keygen 3104 6-ssh-keygen-3104
by_us 4088 7-ours-4088
by_openssl 4096 8-openssl-4096
by_us $((2048 + 8 * (seed % 257))) 9-ours-any
by_openssl $((2048 + 8 * (seed / 257 % 257))) a-openssl-any
swapped 1-openssl-2048 b-swapped-2048
swapped 3-ssh-keygen-2056 c-swapped-2056
swapped 8-openssl-4096 d-swapped-4096
keys=$(echo "$scratch"/keys/*)

# ---- 3. the comparisons -----------------------------------------------------

# known_py NAME ARGUMENT...: its counts, under this name; what it complains of
# is shown.
known_py() {
    section=$1
    shift
    python3 tests/known.py "$@" > "$scratch/log" 2>&1
    if tail -n 1 "$scratch/log" | grep -q '^[0-9]* passed, [0-9]* failed$'; then
        echo "$section: $(tail -n 1 "$scratch/log")"
        sed '$d' "$scratch/log" | cut -c 1-1500 >&2
    else
        echo "$section: 0 passed, 1 failed"
        cut -c 1-1500 "$scratch/log" >&2
    fi >> "$scratch/sections"
}

# against_openssl BUILD AMOUNT SEED
against_openssl() {
    "$scratch/known-$1" check "$3" "$2" $keys > "$scratch/log" 2>&1
    status=$?
    sed -n "s/^kernel: /$1: /p" "$scratch/log" >> "$scratch/kernels"
    grep '^[^ ].* passed, [0-9]* failed$' "$scratch/log" \
        >> "$scratch/sections"
    grep -v -e '^kernel' -e ' passed, [0-9]* failed$' "$scratch/log" \
        | cut -c 1-1500
    [ "$status" -eq 0 ] || echo "$1: FAILED, exit status $status"
    if [ "$status" -gt 1 ] || ! grep -q '^control: ' "$scratch/log"; then
        echo "control: 0 passed, 1 failed" >> "$scratch/sections"
    fi
}

# against_python BUILD AMOUNT SEED
against_python() {
    "$scratch/known-$1" numbers "$3" "$2" > "$scratch/lines"
    known_py "Python's numbers" numbers "$3" < "$scratch/lines"
    "$scratch/known-$1" sessions "$3" $((8 * $2)) $keys > "$scratch/lines" \
        || echo "broken off" >> "$scratch/lines"
    known_py "whole conversations" sessions "$3" < "$scratch/lines"
}

: > "$scratch/kernels"
: > "$scratch/sections"
number=0
for build in $builds; do
    number=$((number + 1))
    amount=${SC_FULL:+15}
    amount=${amount:-1}
    case $build in
    cc) amount=$((2 * amount)) ;;
    sanitized) amount=2 ;;
    esac
    against_openssl "$build" "$amount" $((seed + number))
    against_python "$build" "$(((amount + 1) / 2))" $((seed + number))
    case $build in
    cc | word32 | sanitized)
        known_py "key files" keys $((seed + number)) $(((amount + 1) / 2)) \
            "$scratch/oaep-$build" $keys ;;
    esac
done

# ---- 4. vectors that are there already --------------------------------------

# The test program reads them; it says "skipped" where a file is missing.
# vectors_of WHAT NAME FILE...: the tests with NAME in theirs, in two builds.
export SC_VECTORS=${SC_VECTORS:-$PWD/../shared/vectors}
vectors_of() {
    what=$1
    part=$2
    shift 2
    n_values=0
    for file in "$@"; do
        if ! [ -f "$SC_VECTORS/$file" ]; then
            skipped "$what: $file is not in $SC_VECTORS, set SC_VECTORS"
            return
        fi
        n_values=$((n_values + $(grep -vc '^#' "$SC_VECTORS/$file")))
    done
    verdict=passed
    n_builds=0
    for build in cc word32; do
        n_builds=$((n_builds + 1))
        n_passed=$((n_passed + n_values))
        "$scratch/test-$build" "$part" > "$scratch/log" 2>&1 \
            && tail -n 1 "$scratch/log" | grep -q '^[1-9][0-9]* passed, 0 ' \
            && ! grep -q '^skipped' "$scratch/log" && continue
        failed "$what, $build" "$scratch/log"
        n_passed=$((n_passed - n_values))
        verdict=FAILED
    done
    row "$what" "$verdict" "$n_values values in $# files, $n_builds builds"
}

# ---- 5. what was seen -------------------------------------------------------

# claim SECTION: in words for people.
claim() {
    case $1 in
    SHA-256) echo "SHA-256, every length 0..4096, whole and in pieces" ;;
    HMAC) echo "HMAC-SHA-256, every length 0..4096 of text and of key" ;;
    HKDF) echo "HKDF, extract 1..4096 bytes, expand 1..8160" ;;
    ChaCha20) echo "ChaCha20, every length 0..4096, any counter" ;;
    Poly1305) echo "Poly1305, every length 0..4096, extreme keys and texts" ;;
    AEAD) echo "AEAD, every length 0..4096, sealed, opened, one bit wrong" ;;
    sums*) echo "sums, products, remainders, inverses, extreme operands" ;;
    powers) echo "powers modulo extreme moduli, two at once and one by one" ;;
    "powers of 65537") echo "x^65537, every size of modulus, extreme ones" ;;
    RSA*) echo "RSA without padding, both operations, out of range too" ;;
    OAEP*) echo "$1, 13 keys of 2048 to 4096 bits" ;;
    control) echo "control: one wrong bit in OpenSSL's answer is found" ;;
    Python*) echo "powers, products, inverses beside Python's numbers" ;;
    whole*) echo "whole conversations, every byte derived anew in Python" ;;
    key\ files) echo "key files of every form, taken and refused" ;;
    *) echo "$1" ;;
    esac
}

unit() {
    case $1 in
    "key files") echo "files" ;;
    whole*) echo "frames, secrets and keys" ;;
    Python*) echo "results" ;;
    control) echo "times" ;;
    *) echo "comparisons with OpenSSL" ;;
    esac
}

row "kernels compared" measured "$(paste -s -d ';' "$scratch/kernels" \
    | sed 's/;/; /g')"
grep -q AVX2 "$scratch/kernels" \
    || skipped "the AVX2 kernels: this processor or build has none"
cut -d : -f 1 "$scratch/sections" | awk '!seen[$0]++' > "$scratch/names"
while read -r section; do
    sums=$(awk -F ': | passed, | failed' -v name="$section" '
        $1 == name { p += $2; f += $3; n++ } END { print p, f, n }' \
        "$scratch/sections")
    set -- $sums
    n_passed=$((n_passed + $1))
    n_failed=$((n_failed + $2))
    row_of "$(claim "$section")" "$1" "$2" "$(unit "$section"), $3 builds"
done < "$scratch/names"
vectors_of "vectors of Project Wycheproof: HMAC, HKDF, AEAD, OAEP" wycheproof \
    hmac_sha256.txt hkdf_sha256.txt chacha20_poly1305.txt \
    rsa_oaep_2048_sha256.txt
vectors_of "conversations by another implementation, byte for byte" txt_byte \
    session.txt session-odd-sizes.txt
finish_known
