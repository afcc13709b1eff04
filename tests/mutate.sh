#!/bin/sh
# mutate.sh: would the tests notice?  Mutation testing of the library: mutate.py
# spoils it in one place at a time, and a test of test.c has to fail.
# Usage:   sh tests/mutate.sh              a sample of 60, the one of SC_SEED
#          SC_FULL=1 sh tests/mutate.sh    all of some 10,000: hours; with
#                                          SC_RESULTS=FILE it can be stopped and
#                                          gone on with
# SC_JOBS: how many at a time; 1 if not set.  SC_MINUTES: no new one after that.
# Says:    per file: tried; killed; same code (gcc -O2 makes the same of it); no
#          code (does not compile); explained (survives, and mutants.txt says
#          why that is no fault); left (survives), each in a line of its own.
#          It fails if one is left.
# Needs:   python3, gcc, gcov, objcopy, Linux on x86-64
# Debian: gcc binutils python3

name=mutate.sh
cd "$(dirname "$0")/.." || exit 1
. tests/lib.sh

for tool in gcc gcov objcopy python3; do
    if ! has $tool; then
        skipped "mutation testing: no $tool, install gcc binutils python3"
        finish
    fi
done

seed=${SC_SEED:-1}
set -- --jobs "${SC_JOBS:-1}" --seed "$seed" --minutes "${SC_MINUTES:-1e9}"
if [ "${SC_FULL:-}" = 1 ]; then
    echo "all mutants"
    [ -n "${SC_RESULTS:-}" ] && set -- "$@" --results "$SC_RESULTS"
else
    echo "a sample of 60, SC_SEED=$seed"
    set -- "$@" --sample 60
fi

python3 tests/mutate.py "$@" > "$scratch/log" 2>&1
result=$?
cat "$scratch/log"
while read -r word rest; do
    case $word in
    ok:) ok "$rest" > "$scratch/said" ;;
    FAILED:) failed "$rest" > "$scratch/said" ;;
    esac
done < "$scratch/log"
[ "$result" -le 1 ] || failed "mutate.py ended with $result"
finish
