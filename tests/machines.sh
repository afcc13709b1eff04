#!/bin/sh
# machines.sh: "make test" on other machines: 32 and 64 bits, both byte orders,
# char with and without a sign, other compilers and C libraries, as C++, on an
# x86-64 with and without AVX2, in WebAssembly, and on a Cortex-M3 with nothing
# around it, where a handshake of two ends in 64 KiB of RAM is measured, too.
# Usage:   sh tests/machines.sh              from anywhere
#          SC_FULL=1 sh tests/machines.sh    every test on every machine: hours
#          SC_ONLY="s390x Cortex" ...        only the machines so named
# Sample:  each machine tries all but the slowest tests, or a choice of them (in
#          section 2); its row says how many of how many.
# Needs:   a compiler and an emulator for each machine; one that is not here is
#          said and skipped.  Vectors made by others: SC_VECTORS, or
#          ../shared/vectors.
# Debian: qemu-user qemu-system-arm gcc-i686-linux-gnu gcc-arm-linux-gnueabihf
# Debian: gcc-aarch64-linux-gnu gcc-riscv64-linux-gnu gcc-mips-linux-gnu
# Debian: gcc-s390x-linux-gnu gcc-powerpc64-linux-gnu libc6-dev-i386-cross
# Debian: libc6-dev-armhf-cross libc6-dev-arm64-cross libc6-dev-riscv64-cross
# Debian: libc6-dev-mips-cross libc6-dev-s390x-cross libc6-dev-ppc64-cross
# Debian: musl-tools tcc g++ clang lld wasi-libc libclang-rt-14-dev-wasm32
# Debian: nodejs gcc-arm-none-eabi libnewlib-arm-none-eabi

cd "$(dirname "$0")/.." || exit 1
name=machines.sh
. tests/lib.sh

# ---- 1. how a machine is tried ----------------------------------------------

# Programs run in folders of $scratch from where tests and ../shared/vectors are
# as at home: some machines have no environment to name another folder in.
root=$PWD
vectors=${SC_VECTORS:-../shared/vectors}
unset SC_VECTORS
if [ -d "$vectors" ]; then
    SC_VECTORS=$(cd "$vectors" && pwd)
    export SC_VECTORS
    mkdir "$scratch/shared" && ln -s "$SC_VECTORS" "$scratch/shared/vectors"
else
    skipped "vectors made by others: they are not in $vectors"
fi

# What the machine says of itself, in words for the table.
cat > "$scratch/what.c" <<'END'
#define SECCHAN_INTERNAL
#include "secchan.h"
#include <limits.h>
#include <stdio.h>
int main(void)
{
    const unsigned one = 1;
    printf("%u bits, %s-endian, char %s, words of %d bits",
           (unsigned)(CHAR_BIT * sizeof(void *)),
           *(const unsigned char *)&one == 1 ? "little" : "big",
           CHAR_MIN < 0 ? "signed" : "unsigned", SC_WORD_BITS);
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    printf(", AVX2 %s", __builtin_cpu_supports("avx2") ? "there" : "not there");
#endif
    puts("");
    return 0;
}
END

# row WHAT RESULT FIGURES
row() {
    echo "evidence: $1 | $2 | $3"
}

# is_wanted MACHINE: is it named in SC_ONLY, if that says anything?
is_wanted() {
    [ -z "${SC_ONLY:-}" ] && return 0
    for word in $SC_ONLY; do
        case $1 in *"$word"*) return 0 ;; esac
    done
    return 1
}

# is_here MACHINE PACKAGES COMMAND...: or it is skipped.
is_here() {
    machine=$1
    packages=$2
    shift 2
    for command in "$@"; do
        has "$command" && continue
        skipped "$machine: no $command, install $packages"
        return 1
    done
}

# folder_begin: a copy of what is built, in $there.
there=
folder_begin() {
    there=$(mktemp -d "$scratch/XXXXXX") && cp ./*.c ./*.h Makefile \
        "$scratch/what.c" "$there" && ln -s "$root/tests" "$there/tests"
}

# made COMMAND...: in $there, or $machine has failed.
made() {
    (cd "$there" && "$@") > "$there/log" 2>&1 && return
    failed "$machine: it is not built" "$there/log"
    row "$machine" FAILED "it is not built"
    return 1
}

# try PART...: the tests so named, on the machine that "$on program" runs on.
# They must be as many as there should be, and pass.  One that two PARTs name
# counts once; one that the programs do not get to makes them too few.
try() {
    : > log
    result=0
    for part in "$@"; do
        grep -q -F -e "$part" list || continue          # not without a system
        timeout 20000 $on ./test "$part" >> log 2>&1 || result=1
    done
    due=$(printf '%s\n' "$@" | grep -c -F -f - list)
    set -- $(awk '/^(ok|FAILED|skipped) +[a-z0-9_]+\r?$/ { verdict[$2] = $1 }
                  END { for (t in verdict) n[verdict[t]]++
                        print n["ok"] + 0, n["FAILED"] + 0, n["skipped"] + 0
                  }' log)
    figures="$1 passed, $2 failed, $3 skipped, of $(grep -c . list)"
    [ "$result" -eq 0 ] && [ "$2" -eq 0 ] && [ $(($1 + $3)) -eq "$due" ]
}

# test_it PARTS: what was built in $there is tried, and $machine has its row.
# PARTS: names of tests, or one of the words all and most.
test_it() {
    cd "$there" || exit 1
    if ! $on ./test -l > list 2> log || ! $on ./what > said 2> log; then
        failed "$machine: programs do not run" log
        row "$machine" FAILED "programs do not run"
    else
        [ "${SC_FULL:-}" = 1 ] && parts=all || parts=$1
        case $parts in
        all) parts=_ ;;                     # it is in every name
        most) parts="$quick $(grep -E '^(bn|rsa|server|handshake)_' list \
            | grep -v -F -e "$slow")" ;;
        esac
        machine="$machine: $(tail -n 1 said)"
        if try $parts; then
            ok "$machine: $figures"
            row "$machine" passed "$figures"
        else
            grep -v '^ok' log > bad
            failed "$machine: $figures; $due were to be tried" bad
            row "$machine" FAILED "$figures"
        fi
        sed -n 's/^ *skipped: /    skipped there: /p' log | sort -u
    fi
    cd "$root" || exit 1
}

# by_make PARTS COMPILER [FLAG]: $machine, on which "$on program" runs.
by_make() {
    folder_begin
    made make test_program what CC="$2" CFLAGS="-O2 -std=c99 ${3:-}" \
        && test_it "$1"
}

# ---- 2. which tests ---------------------------------------------------------

# Left out by "most": each takes seconds on a fast machine.
slow="bn_fast_powers
bn_powers_agree
handshake_flipped_bit_anywhere
rsa_public_and_private_op
rsa_oaep_goes_both_ways
rsa_oaep_refuses_every
rsa_private_gives_nothing
rsa_keygen_makes
rsa_keygen_ends"
quick="hash_ cipher_ keyfile_ hosts_ records_ blocking_"

# Some of every room: what could differ with word size, byte order, the sign of
# char, alignment, files and sockets; and what needs no system.
few_bare="hash_ cipher_chacha20_rfc cipher_poly1305_rfc cipher_aead_rfc
    bn_decode bn_add rsa_oaep_opens rsa_public_check keyfile_base64
    handshake_says handshake_is records_close_means blocking_recv_hands"
few="$few_bare bn_montgomery keyfile_reads keyfile_writes_pkcs1 keyfile_save
    hosts_ server_key_in_flight blocking_signals blocking_connect"

# ---- 3. other processors ----------------------------------------------------

# cross MACHINE TRIPLET QEMU PARTS PACKAGES
cross() {
    is_wanted "$1" && is_here "$1" "$5" "$2-gcc" "qemu-$3" || return 0
    machine="$1, gcc, qemu-$3"
    on="qemu-$3 -L /usr/$2"
    by_make "$4" "$2-gcc"
}

# Where the kernel runs 32-bit programs, i386 is this very processor.
i386() {
    i386_packages="gcc-i686-linux-gnu libc6-dev-i386-cross"
    is_wanted i386 && is_here i386 "$i386_packages" i686-linux-gnu-gcc \
        || return 0
    machine="i386, gcc, this processor"
    on="/usr/i686-linux-gnu/lib/ld-linux.so.2
        --library-path /usr/i686-linux-gnu/lib"
    echo 'int main(void) { return 0; }' > "$scratch/true.c"
    i686-linux-gnu-gcc -o "$scratch/true" "$scratch/true.c"
    if $on "$scratch/true" 2> /dev/null; then
        by_make most i686-linux-gnu-gcc
    else
        cross i386 i686-linux-gnu i386 "$few" "qemu-user $i386_packages"
    fi
}

i386
cross armhf arm-linux-gnueabihf arm most \
    "qemu-user gcc-arm-linux-gnueabihf libc6-dev-armhf-cross"
cross aarch64 aarch64-linux-gnu aarch64 "$few" \
    "qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
cross riscv64 riscv64-linux-gnu riscv64 "$few" \
    "qemu-user gcc-riscv64-linux-gnu libc6-dev-riscv64-cross"
cross mips mips-linux-gnu mips "$few" \
    "qemu-user gcc-mips-linux-gnu libc6-dev-mips-cross"
cross powerpc64 powerpc64-linux-gnu ppc64 "$few" \
    "qemu-user gcc-powerpc64-linux-gnu libc6-dev-ppc64-cross"
cross s390x s390x-linux-gnu s390x most \
    "qemu-user gcc-s390x-linux-gnu libc6-dev-s390x-cross"

# Would a mistake about byte order be seen?  One that a little-endian machine
# cannot notice: bytes of ChaCha20 and Poly1305 taken as they lie in memory.
byte_order_control() {
    control="s390x, control: cipher reads bytes in the machine's own order"
    is_wanted s390x && has s390x-linux-gnu-gcc && has qemu-s390x || return 0
    folder_begin
    cd "$there" || exit 1
    sed '/^SC_INLINE uint32_t get_le32(/,/^}/c\
SC_INLINE uint32_t get_le32(const uint8_t *p)\
{ uint32_t x; memcpy(\&x, p, 4); return x; }' "$root/secchan.c" > secchan.c
    files="test.c secchan.c rsa_mini.c bignum.c"
    if ! cmp -s secchan.c "$root/secchan.c" && $CC -O1 -o here $files \
        && s390x-linux-gnu-gcc -O1 -o there $files && ./here cipher_ > log \
        && ! qemu-s390x -L /usr/s390x-linux-gnu ./there cipher_ > log \
        && grep -q '^FAILED' log; then
        ok "$control: found there, not here"
        row "$control" passed \
            "$(grep -c '^FAILED' log) tests fail there, none here"
    else
        failed "$control: not found" log
        row "$control" FAILED "not found"
    fi
    cd "$root" || exit 1
}
byte_order_control

# ---- 4. this processor: libraries, compilers, languages ---------------------

# here MACHINE PACKAGE PARTS COMPILER [FLAG]
here() {
    is_wanted "$1" && is_here "$1" "$2" "$4" || return 0
    on=
    by_make "$3" "$4" "${5:-}"
}

# Not by make, which links with the flags that it compiles with: -x c++ would
# make sources of objects.
here_as_cpp() {
    is_wanted "$1" && is_here "$1" "$2" "$4" || return 0
    on=
    folder_begin
    for program in test what; do
        made "$4" -O2 -x c++ -Wno-deprecated -o "$program" "$program.c" \
            secchan.c rsa_mini.c bignum.c || return
    done
    test_it "$3"
}

here "musl, musl-gcc" musl-tools most musl-gcc
here "tcc" tcc most tcc
here "char unsigned, gcc" gcc most gcc -funsigned-char
here_as_cpp "C++, g++" g++ most g++
here_as_cpp "C++, clang++" clang most clang++

# x86_64 PROCESSOR: one program, which takes its fast paths if it may.
x86_64() {
    is_wanted "x86-64 $1" && is_here "x86-64 $1" "qemu-user gcc" qemu-x86_64 \
        gcc || return 0
    machine="x86-64, gcc, qemu-x86_64 -cpu $1"
    on="qemu-x86_64 -cpu $1"
    by_make "$few" gcc
}

case $(uname -m) in
x86_64)
    x86_64 qemu64
    x86_64 Haswell
    ;;
esac

# Would AVX2 on a processor without it be seen?
avx2_control() {
    control="x86-64 qemu64, control: AVX2 code not asked for at run time"
    is_wanted "x86-64 qemu64" && has qemu-x86_64 && [ "$(uname -m)" = x86_64 ] \
        || return 0
    folder_begin
    gcc -O2 -mavx2 -o "$there/test" test.c secchan.c rsa_mini.c bignum.c
    if ! qemu-x86_64 -cpu qemu64 "$there/test" cipher_ > "$there/log" 2>&1 \
        && qemu-x86_64 -cpu Haswell "$there/test" cipher_chacha20_rfc \
            > "$there/log" 2>&1; then
        ok "$control: dies on qemu64, runs on Haswell"
        row "$control" passed "it dies there, and runs on Haswell"
    else
        failed "$control: not found" "$there/log"
        row "$control" FAILED "not found"
    fi
}
avx2_control

# ---- 5. WebAssembly ---------------------------------------------------------

# The stack lies first, so that it cannot grow into the variables unnoticed; the
# tests want more of it than the library.
webassembly() {
    machine=WebAssembly
    is_wanted "$machine" && is_here "$machine" \
        "clang lld wasi-libc libclang-rt-14-dev-wasm32 nodejs" \
        clang wasm-ld node || return 0
    machine="WebAssembly, clang, SC_NO_OS, Node.js"
    on="node --no-warnings tests/wasi.mjs"
    folder_begin
    for program in test what; do
        made clang --target=wasm32-wasi -O2 -std=c99 -D_GNU_SOURCE -DSC_NO_OS \
            -I. -Wl,--stack-first,-z,stack-size=1048576 -o "$program" \
            "$program.c" tests/no_os.c secchan.c rsa_mini.c bignum.c || return
    done
    test_it most
}
webassembly

# ---- 6. Cortex-M3, with nothing around it -----------------------------------

for_m3() {
    arm-none-eabi-gcc -mcpu=cortex-m3 -mthumb -std=c99 -DSC_NO_OS -I. \
        -T tests/cortex_m3.ld "$@" tests/no_os.c secchan.c rsa_mini.c bignum.c
}

# on_m3 PROGRAM ARGUMENT...: on a board with memory enough for test.c.
cat > "$scratch/on_m3" <<'END'
#!/bin/sh
config=enable=on,target=native,arg=test
program=$1
shift
for argument in "$@"; do
    config=$config,arg=$argument
done
exec qemu-system-arm -M mps2-an385 -display none -semihosting-config "$config" \
    -kernel "$program"
END
chmod +x "$scratch/on_m3"

# alone FILE [FLAG...]: on a board with 64 KiB of RAM; FILE is what is said.
alone() {
    file=$1
    shift
    qemu-system-arm -M lm3s6965evb -display none -semihosting "$@" \
        -kernel "$there/alone" > "$file" 2>&1
}

# m3_alone OPTIMISATION ROWS: those that contain ROWS are shown.
m3_alone() {
    machine="Cortex-M3, 64 KiB of RAM, gcc $1"
    made for_m3 "$1" -nostartfiles -Wl,--defsym=code_len=0x40000 \
        -Wl,--defsym=ram_at=0x20000000,--defsym=ram_len=0x10000 \
        -o alone tests/cortex_m3.c || return
    if alone "$there/log" -icount shift=0; then
        ok "$machine: two ends shake hands and talk"
        row "$machine" passed "two ends make keys, shake hands and talk"
        sed -n "s/^.* | measured | /evidence: Cortex-M3 $1: &/p" "$there/log" \
            | grep -e "$2"
    else
        failed "$machine" "$there/log"
        row "$machine" FAILED "see above"
    fi
}

cortex_m3() {
    machine=Cortex-M3
    is_wanted "$machine" && is_here "$machine" \
        "qemu-system-arm gcc-arm-none-eabi libnewlib-arm-none-eabi" \
        arm-none-eabi-gcc qemu-system-arm || return 0
    machine="Cortex-M3, gcc, SC_NO_OS, no system, qemu-system-arm"
    on=$scratch/on_m3
    folder_begin
    for program in test what; do
        made for_m3 -O2 --specs=rdimon.specs -Wl,--defsym=code_len=0x400000 \
            -Wl,--defsym=ram_at=0x21000000,--defsym=ram_len=0x1000000 \
            -Wl,-u,abort,--defsym=on_fault=abort -o "$program" "$program.c" \
            || return
    done
    test_it "$few_bare"
    m3_alone -Os 'private\|memory'
    m3_alone -O2 ''
    check "Cortex-M3, control: without -icount nothing is counted" \
        refuses_to_count
}

refuses_to_count() {
    ! alone "$there/log" && grep 'same time' "$there/log" \
        && ! grep measured "$there/log"
}
cortex_m3

finish
