#!/bin/sh
# readme.sh: the two programs printed in README.md, a client and a server,
# compile as they stand there and understand each other.
# Usage:   sh tests/readme.sh         from the repository's root
# Needs:   a C compiler (CC, CFLAGS); gcc or clang, for the warnings

name=readme.sh
. tests/lib.sh

strict="-std=c99 -pedantic -Wall -Wextra -Wconversion -Wsign-conversion
    -Wshadow -Wundef -Wvla -Wmissing-prototypes -Werror"

# ---- 1. compiling -----------------------------------------------------------

# block N: the Nth piece of C in README.md.
block() {
    awk -v wanted="$1" '/^```/ { is_c = /^```c$/; n += is_c; next }
                        is_c && n == wanted' README.md
}

block 1 > "$scratch/client.c"
block 2 > "$scratch/server.c"

# A user has the four files, and nothing else of ours.
for file in secchan.h secchan.c rsa_mini.c bignum.c; do
    cp "$file" "$scratch/$file"
done

build_four_files() {
    (cd "$scratch" && build_library $strict)
}

build_program() {
    $CC $CFLAGS $strict -o "$scratch/$1" "$scratch/$1.c" $objects
}

build_demo_server() {
    $CC $CFLAGS -I. -o "$scratch/demo_server" demo_server.c $objects
}

check "the four files compile on their own" build_four_files
check "README.md: the client compiles" build_program client
check "README.md: the server compiles" build_program server
check "demo_server, which makes the key, compiles" build_demo_server
[ "$n_failed" -eq 0 ] || finish
cd "$scratch" || exit 1

# ---- 2. running -------------------------------------------------------------

./demo_server --make-key host.key > said || exit 1
pin=$(sed -n 's/.*\(SHA256:[A-Za-z0-9+/]*\).*/\1/p' said)

# free_port PORT: PORT if it is free, or else another one (0: any).
free_port() {
    ./demo_server -l "localhost:$1" -k host.key > listening 2> log &
    listener=$!
    until grep -q '^listening' listening || ! kill -0 "$listener" 2> log; do
        sleep 0.1
    done
    kill "$listener" 2> log
    wait "$listener"
    sed -n 's/^listening on .* port //p' listening
}

port=$(free_port 4422)
if [ -z "$port" ]; then
    port=$(free_port 0)
    echo "port 4422 is in use here: the programs are tried with port $port"
    for program in client server; do
        sed "s/4422/$port/" "$program.c" > other.c && mv other.c "$program.c"
        check "the $program compiles with another port" \
            build_program "$program"
    done
fi

./server 2> server.log &
end_later $!
server=$!

# answered ARGUMENT...: the client, as soon as the server is there.
answered() {
    tries=0
    while ./client "$@" > reply 2> log; status=$?; grep -q '^nobody' log; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] && kill -0 "$server" || break
        sleep 0.2
    done
    cat log server.log
    return "$status"
}

says_hello() {
    answered "$pin" && echo hello > expected && cmp expected reply
}

# believes_nobody WORDS ARGUMENT...
believes_nobody() {
    words=$1
    shift
    answered "$@" && { echo "it was believed"; return 1; }
    [ "$status" -eq 1 ] && [ ! -s reply ] && grep "$words" log
}

other_pin=SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
check "the client hears hello from the server" says_hello
check "the client believes no other key" believes_nobody "pinned" "$other_pin"
check "the client believes nobody without a fingerprint" \
    believes_nobody "say which host key to believe"
check "the server is still there for the next client" says_hello

finish
