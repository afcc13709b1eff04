#!/bin/sh
# hygiene.sh: make test under MemorySanitizer, AddressSanitizer and
# UndefinedBehaviorSanitizer; four static analyzers; depth of the stack, sizes.
# Usage:   sh tests/hygiene.sh        from the repository's root
# Debian: clang libclang-rt-14-dev clang-tidy cppcheck python3
#
# Analyzers run on the library and the demos with everything of theirs switched
# on that finds bugs, less what follows, each with what it had found here:
#   gcc     use-of-uninitialized-value: gcc 12 loses track of arrays filled in
#           loops (ChaCha20's state, SHA-256's schedule); MemorySanitizer knows.
#   clang-tidy
#           easily-swappable-parameters, macro-parentheses: opinions; a macro's
#           argument here may be a declaration or a statement.
#           implicit-widening-of-multiplication-result: products of an index
#           below 128 and a small constant.
#           narrowing-conversions: characters from a table of ASCII.
#           not-null-terminated-result: bytes with a length, not strings.
#           reserved-identifier: the feature macros of POSIX and the C library.
#           signal-handler: see demo_server.c: the handlers set one variable.
#           err33-c: printf and the like: whether standard output took all is
#           asked once, at the end; a complaint that cannot be told has no one
#           left to be told to.  snprintf is given room enough.
#   cppcheck
#           uninitvar, ctuuninitvar: &a[0] of an array not yet written, and
#           memcpy of 0 bytes, are not uses; MemorySanitizer knows.
#           It does not know AVX2's functions, and looks past where they are.

name=hygiene.sh
. tests/lib.sh
flags="-std=c99 -D_POSIX_C_SOURCE=200809L"
library="secchan.c rsa_mini.c bignum.c"
sources="$library demo_client.c demo_server.c"

# claim TITLE COMMAND...: a case and a row; the figure is the last line it says.
claim() {
    title=$1
    shift
    if "$@" > "$scratch/log" 2>&1; then
        ok "$title: $(tail -n 1 "$scratch/log")"
        result=passed
    else
        failed "$title" "$scratch/log"
        result=FAILED
    fi
    echo "evidence: $title | $result | $(tail -n 1 "$scratch/log" | tr '|' ' ')"
}

# ---- 1. sanitizers ----------------------------------------------------------

# suite SANITIZERS: make test's program, built here with them and run.
suite() {
    clang $flags -O1 -g -fsanitize="$1" -fno-sanitize-recover=all \
        -o "$scratch/test" test.c $library && (cd "$scratch" && ./test)
}

# caught SANITIZER STATEMENT: a program with that fault must not end well.
caught() {
    printf '#include <stdlib.h>\nint main(int argc, char **argv) {
        volatile int *p = (int *)malloc(16); (void)argv; %s; }\n' "$2" \
        > "$scratch/fault.c"
    clang -g -fsanitize="$1" -fno-sanitize-recover=all -o "$scratch/fault" \
        "$scratch/fault.c" || return
    ! "$scratch/fault" && echo "caught"
}

if caught memory 'return p[0] == 7'  > "$scratch/log" 2>&1; then
    claim "MemorySanitizer catches a planted fault" \
        caught memory 'return p[1] == 7'
    claim "make test under MemorySanitizer" suite memory
    claim "AddressSanitizer catches a planted fault" \
        caught address 'return p[argc + 3]'
    claim "UndefinedBehaviorSanitizer catches a planted fault" \
        caught undefined 'return 2147483647 + argc + p[0] * 0'
    claim "a conversion that changes a value is caught" \
        caught implicit-conversion 'unsigned char c; c = 255 + argc; return c'
    claim "make test under both; no conversion changes a value unasked" \
        suite address,undefined,implicit-conversion
else
    skipped "sanitizers: clang has none here; libclang-rt-14-dev"
fi

# ---- 2. analyzers -----------------------------------------------------------

gcc_analyzer() {
    for file in $sources; do
        gcc $flags -fanalyzer -Wno-analyzer-use-of-uninitialized-value \
            -Werror -c -o "$scratch/o" "$file" || return
    done
    echo "no findings"
}

clang_analyzer() {
    for file in $sources; do
        clang --analyze $flags -Xclang -analyzer-output=text -Xclang \
            -analyzer-werror -o "$scratch/o" "$file" || return
    done
    echo "no findings"
}

run_cppcheck() {
    cppcheck -q --std=c99 --enable=warning,portability,performance \
        --suppress=uninitvar --suppress=ctuuninitvar --error-exitcode=1 \
        -D__linux__=1 -D__unix__=1 -D__x86_64__=1 -D__GNUC__=12 \
        -D__GNUC_MINOR__=2 -D__STDC_VERSION__=199901L $sources \
        && echo "no findings"
}

tidy="-*,bugprone-*,cert-*,clang-analyzer-*,portability-*,performance-*"
for unwanted in bugprone-easily-swappable-parameters \
    bugprone-macro-parentheses bugprone-narrowing-conversions \
    bugprone-implicit-widening-of-multiplication-result \
    bugprone-not-null-terminated-result bugprone-reserved-identifier \
    cert-dcl37-c cert-dcl51-cpp bugprone-signal-handler cert-sig30-c \
    cert-err33-c; do
    tidy="$tidy,-$unwanted"
done
# File by file: clang-tidy 14 forgets between two files what va_start does.
run_tidy() {
    for file in $sources; do
        clang-tidy --quiet --warnings-as-errors='*' -checks="$tidy" "$file" \
            -- $flags 2> /dev/null || return
    done
    echo "no findings"
}

# The same fault for all four, in a function that needs the operating system:
# what is only compiled there must be looked at, too.
mkdir "$scratch/planted"
cp secchan.h "$scratch/planted"
sed '/^static int os_append_line(/,/^{/ s/^{/{ int *nowhere = NULL;\
    *nowhere = 1;/' secchan.c > "$scratch/planted/secchan.c"
finds_planted() {
    cmp -s secchan.c "$scratch/planted/secchan.c" && return 1
    (cd "$scratch/planted" && sources=secchan.c && "$1") \
        > "$scratch/found" 2>&1 && return 1
    grep -q nowhere "$scratch/found" && echo "found"
}

# analyzer TITLE PROGRAM COMMAND
analyzer() {
    if has "$2"; then
        claim "$1 finds a planted fault" finds_planted "$3"
        claim "$1" "$3"
    else
        skipped "$1: $2 is not here"
    fi
}
analyzer "gcc -fanalyzer" gcc gcc_analyzer
analyzer "clang --analyze" clang clang_analyzer
analyzer "cppcheck" cppcheck run_cppcheck
analyzer "clang-tidy" clang-tidy run_tidy

# ---- 3. depth and sizes -----------------------------------------------------

for build in "" -DSC_WORD32 -DSC_NO_SIMD; do
    claim "depth of the stack${build:+, $build}" python3 tests/stack.py $build
done

cat > "$scratch/sizes.c" <<'END'
#include "secchan.h"
#include <stdio.h>
#define SIZE(type) printf("%s %zu, ", #type, sizeof(type))
int main(void)
{
    SIZE(sc_channel);
    SIZE(sc_conn);
    SIZE(sc_server);
    SIZE(sc_private_key);
    printf("sc_public_key %zu bytes\n", sizeof(sc_public_key));
    return 0;
}
END
sizes() {
    $CC $1 -I. -o "$scratch/sizes" "$scratch/sizes.c" && "$scratch/sizes"
}
claim "sizes of objects" sizes ""
finish
