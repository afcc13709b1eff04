#!/bin/sh
# soak.sh: conversations of very many messages and several rekeys, whose memory
# may not grow; alone, and in threads that share keys, with ThreadSanitizer.
# Usage:   sh tests/soak.sh           from the repository's root
# Debian: clang libclang-rt-14-dev

name=soak.sh
. tests/lib.sh
flags="-std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -pedantic -pthread -I."
sources="tests/soak.c secchan.c rsa_mini.c bignum.c"

# soak CLAIM MESSAGES THREADS COMMAND...: COMMAND builds; each way MESSAGES.
soak() {
    claim=$1
    n=$2
    threads=$3
    shift 3
    if "$@" $flags -o "$scratch/soak" $sources > "$scratch/log" 2>&1 \
        && "$scratch/soak" "$n" "$threads" > "$scratch/log" 2>&1; then
        ok "$claim: $(cat "$scratch/log")"
        result=passed
    else
        failed "$claim" "$scratch/log"
        result=FAILED
    fi
    echo "evidence: $claim | $result | $(tail -n 1 "$scratch/log" | tr '|' ' ')"
}

n=5000000                               # and as many answers
soak "one conversation" $n 1 $CC -O2
echo 'int main(void) { return 0; }' > "$scratch/empty.c"
if clang -fsanitize=thread -o "$scratch/empty" "$scratch/empty.c" \
    > /dev/null 2>&1; then
    echo '#include <pthread.h>
static int n;
static void *more(void *p) { n++; return p; }
int main(void) { pthread_t t; pthread_create(&t, 0, more, 0); n++;
    return pthread_join(t, 0); }' > "$scratch/race.c"
    check "ThreadSanitizer's race is built" clang -g -fsanitize=thread \
        -o "$scratch/race" "$scratch/race.c"
    check "ThreadSanitizer finds it" sh -c '! "$1"' sh "$scratch/race"
    soak "eight at once in threads, ThreadSanitizer" $((n / 50)) 8 \
        clang -O1 -g -fsanitize=thread
else
    skipped "threads with ThreadSanitizer: clang cannot; libclang-rt-14-dev"
fi
finish
