#!/bin/sh
# coverage.sh: how much of the library "make test" executes: lines, and ways out
# of branches, of each of its four files.  A figure and no proof: a line may run
# without anybody looking at what it did.  That is what mutate.sh asks.
# Usage:   sh tests/coverage.sh            figures
#          sh tests/coverage.sh lines      and each line or branch that is left
# Needs:   gcc, gcov
# Debian: gcc

name=coverage.sh
cd "$(dirname "$0")/.." || exit 1
. tests/lib.sh

if ! has gcov || ! has gcc; then
    skipped "coverage: no gcov, install gcc"
    finish
fi

# Children of the tests end by _exit, which would drop what they counted.
# bignum.c's vectors take a minute unless they are optimized a little.
build() {
    for file in secchan rsa_mini bignum test; do
        level=-O0
        [ "$file" = bignum ] && level=-O1
        gcc -std=c99 $level --coverage -D_exit=exit -c -o "$scratch/$file.o" \
            "$file.c" || return
    done
    gcc --coverage -o "$scratch/test" "$scratch/test.o" $objects
}

# measure TEST: its figures go to $scratch/figures.
measure() {
    rm -f "$scratch"/*.gcda
    "$scratch/test" "$1" > "$scratch/log" 2>&1 || return
    gcov -n -b "$scratch/secchan.gcda" "$scratch/rsa_mini.gcda" \
        "$scratch/bignum.gcda" > "$scratch/figures" 2>&1
}

# figure FILE WHAT: "96.50% of 1234", or nothing.
figure() {
    awk -v file="File '$1'" -v what="$2:" '
        /^File / { here = $0 == file }
        here && index($0, what) == 1 {
            print substr($0, length(what) + 1)
            exit
        }' "$scratch/figures"
}

# A control: a test of SHA-256 leaves most of rsa_mini.c alone.
little() {
    measure hash_sha256_fips_180_vectors || return
    figure rsa_mini.c "Lines executed" | awk -F '[%]' '
        { print } { n++ } END { exit !(n == 1 && $1 > 0 && $1 < 30) }'
}

check "the program is built for coverage" build
check "control: one test alone executes little" little
check "all tests pass, built for coverage" measure ""
tail -n 1 "$scratch/log"
for file in secchan.c rsa_mini.c bignum.c secchan.h; do
    lines=$(figure $file "Lines executed")
    branches=$(figure $file "Taken at least once")
    if [ -n "$lines" ]; then
        ok "$file: lines executed: $lines"
        echo "evidence: coverage of $file by make test | measured |" \
            "lines $lines; ways out of branches taken ${branches:-none there}"
    else
        failed "$file: no figures" "$scratch/figures"
    fi
done

if [ "${1:-}" = lines ]; then
    gcov -b -t "$scratch/secchan.gcda" "$scratch/rsa_mini.gcda" \
            "$scratch/bignum.gcda" 2>/dev/null | awk -F : '
        $2 ~ /^ *0$/ && $3 == "Source" { file = $4 }
        $2 + 0 > 0 && file !~ /^\// {
            line = $2 + 0
            text = $0
            sub(/^[^:]*:[^:]*:/, "", text)
            sub(/^ +/, "", text)
            if ($1 ~ /#####/)
                print file ":" line ": never executed: " text
        }
        /^branch/ && file !~ /^\// && $0 ~ /taken 0%/ {
            split($0, b, " ")
            print file ":" line ": way out " b[2] " never taken: " text
        }'
fi
finish
