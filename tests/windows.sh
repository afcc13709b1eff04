#!/bin/sh
# windows.sh: the library, the demos and the tests as Windows programs: built by
# mingw-w64 without a warning, for 64 and 32 bits; run by wine; and talking with
# the demos of this system.
# Usage:   sh tests/windows.sh        SC_FULL=1: the tests that are slow, too
# Needs:   mingw-w64, wine; 32-bit programs are run only if wine can do that
#          (Debian: dpkg --add-architecture i386, then wine32:i386).
# Debian: gcc-mingw-w64-x86-64 g++-mingw-w64-x86-64 gcc-mingw-w64-i686
# Debian: wine64 wine

cd "$(dirname "$0")/.." || exit 1
name=windows.sh
. tests/lib.sh

library="secchan.c rsa_mini.c bignum.c"
programs="demo_client.c demo_server.c test.c"
warnings="-pedantic -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow
    -Wundef -Wvla -Werror -O2"
strict="-std=c99 $warnings -Wmissing-prototypes"
export WINEPREFIX="$scratch/wine" WINEDEBUG=-all
export WINEDLLOVERRIDES="mscoree=;mshtml=;winemenubuilder.exe="
unset DISPLAY

evidence() {                            # WHAT RESULT FIGURES
    echo "evidence: $1 | $2 | $3"
}

# row WHAT FIGURES COMMAND...: a check that is a row of evidence, too.
row() {
    what=$1
    figures=$2
    shift 2
    before=$n_failed
    check "$what" "$@"
    if [ "$n_failed" -eq "$before" ]; then
        evidence "Windows: $what" passed "$figures"
    else
        evidence "Windows: $what" FAILED "$figures"
    fi
}

# At the end no process of wine may still use the folder that is removed.
stop_wine() {
    if has wineserver; then
        wineserver -k
        wineserver -w
    fi 2> /dev/null
    clean_up
}
trap stop_wine EXIT

# ---- 1. built ---------------------------------------------------------------

# compile FOLDER COMMAND FILE...: the objects go to $scratch/FOLDER.
compile() {
    folder=$scratch/$1
    command=$2
    shift 2
    mkdir -p "$folder" || return 1
    result=0
    for file in "$@"; do
        $command -I. -c -o "$folder/$(basename "$file" .c).o" "$file" \
            || result=1
    done
    return "$result"
}

# link FOLDER COMMAND PROGRAM...
link() {
    at=$scratch/$1
    command=$2
    shift 2
    for program in "$@"; do
        $command -o "$at/$program.exe" "$at/$program.o" "$at/secchan.o" \
            "$at/rsa_mini.o" "$at/bignum.o" -lws2_32 || return
    done
}

build() {
    compile "$1" "$2 $strict" $library $programs \
        && link "$1" "$2" demo_client demo_server test
}

# A compiler that is given something to warn of must refuse it.
refuses_carelessness() {
    { cat secchan.c; echo 'int sc_careless(double x);'
      echo 'int sc_careless(double x) { return x; }'; } > "$scratch/careless.c"
    ! compile careless "$1 $strict" "$scratch/careless.c"
}

# Which libraries the programs ask the system for.
asks_only_for() {
    folder=$1
    shift
    x86_64-w64-mingw32-objdump -p "$scratch/$folder/demo_client.exe" \
        "$scratch/$folder/demo_server.exe" "$scratch/$folder/test.exe" \
        | sed -n 's/.*DLL Name: //p' | tr '[:upper:]' '[:lower:]' \
        | sort -u > "$scratch/dlls"
    grep -q ws2_32 "$scratch/dlls" && printf '%s\n' "$@" > "$scratch/allowed" \
        && ! grep -vxFf "$scratch/allowed" "$scratch/dlls"
}

by_make() {
    mkdir "$scratch/tree" && cp -R Makefile ./*.c ./*.h "$scratch/tree" \
        && make -C "$scratch/tree" CC=x86_64-w64-mingw32-gcc LDLIBS=-lws2_32 \
            CFLAGS='-O2 -std=c99 -Wall -Wextra -pedantic -Werror' \
        && for program in demo_client demo_server test; do
            [ -s "$scratch/tree/$program.exe" ] || return 1
        done
}

for target in x86_64 i686; do
    cc=$target-w64-mingw32-gcc
    if ! has "$cc"; then
        skipped "building for $target: no $cc, install mingw-w64"
        evidence "Windows: built for $target" skipped "no $cc"
        continue
    fi
    version=$("$cc" -dumpfullversion 2> /dev/null || "$cc" -dumpversion)
    row "library, demos and tests built for $target without a warning" \
        "mingw-w64 gcc $version, C99 with the strict set of warnings" \
        build "$target" "$cc"
    check "$target: a careless line is refused" refuses_carelessness "$cc"
    for macro in SC_WORD32 SC_DEBUG; do
        check "$target, $macro" compile "$target-$macro" \
            "$cc $strict -D$macro" $library
    done
    check "$target, SC_NO_OS" compile "$target-no-os" \
        "$cc $strict -DSC_NO_OS -ffreestanding" $library
done
if ! has x86_64-w64-mingw32-gcc; then
    finish
fi
if has x86_64-w64-mingw32-g++; then
    check "x86_64, as C++" compile x86_64-c++ \
        "x86_64-w64-mingw32-g++ -xc++ $warnings" $library
else
    skipped "x86_64, as C++: no compiler, install g++-mingw-w64-x86-64"
fi
row "a copied project links ws2_32 and nothing unusual" \
    "the programs ask for advapi32, kernel32, msvcrt, ws2_32" \
    asks_only_for x86_64 advapi32.dll kernel32.dll msvcrt.dll ws2_32.dll
row "make CC=x86_64-w64-mingw32-gcc LDLIBS=-lws2_32" \
    "three .exe files, no warning" by_make

# ---- 2. the tests -----------------------------------------------------------

if ! has wine || ! wine wineboot -i > "$scratch/wineboot.log" 2>&1; then
    skipped "running anything: no wine that starts, install wine64 and wine"
    evidence "Windows: programs run" skipped "no wine"
    finish
fi
wine_version=$(wine --version)
if [ -n "${SC_FULL:-}" ]; then
    export SC_SLOW=1
fi
export SC_VECTORS="${SC_VECTORS:-../shared/vectors}"

# suite FOLDER [NAME]: the test program, or the tests with NAME in their names.
suite() {
    (cd "$scratch/run" && wine "$scratch/$1/test.exe" ${2:+"$2"}) \
        > "$scratch/suite.$1" 2>&1
    tail -n 1 "$scratch/suite.$1" | tr -d '\r' > "$scratch/suite.last"
    tail -n 15 "$scratch/suite.$1"
    grep -q '^[1-9][0-9]* passed, 0 failed$' "$scratch/suite.last"
}

# spoil WORDS NAME: with these words taken out of the library, tests of that
# name must fail.
spoil() {
    mkdir -p "$scratch/spoilt" || return
    cp "$scratch"/x86_64/*.o "$scratch/spoilt" || return
    sed "s/$1//" secchan.c > "$scratch/spoilt/secchan.c"
    cmp -s secchan.c "$scratch/spoilt/secchan.c" && return 1
    compile spoilt "x86_64-w64-mingw32-gcc -std=c99 -O2" \
        "$scratch/spoilt/secchan.c" \
        && link spoilt x86_64-w64-mingw32-gcc test || return
    if suite spoilt "$2"; then
        return 1
    fi
    grep -q 'FAILED' "$scratch/suite.spoilt"
}

# the tests read tests/session.txt and the vectors beside the tree
case $SC_VECTORS in
/*) ;;
*) SC_VECTORS=$PWD/$SC_VECTORS ;;
esac
mkdir "$scratch/run" && mkdir "$scratch/run/tests" \
    && cp tests/session.txt "$scratch/run/tests"

for target in x86_64 i686; do
    if [ ! -s "$scratch/$target/test.exe" ]; then
        continue
    elif ! wine "$scratch/$target/test.exe" -l 2>&1 \
            | grep '^blocking_' > "$scratch/list"; then
        skipped "running $target: this wine cannot, install wine32:i386"
        evidence "Windows: make test, $target" skipped "wine runs no $target"
        continue
    fi
    check "$target: the tests pass" suite "$target"
    figures="$(cat "$scratch/suite.last"), $(grep -c '^skipped' \
        "$scratch/suite.$target") skipped; $wine_version"
    grep '^ *skipped: ' "$scratch/suite.$target" | sort | uniq -c \
        | sed 's/^ *\([0-9]*\) *skipped:/    \1 test(s) skipped:/'
    if grep -q ', 0 failed$' "$scratch/suite.last"; then
        evidence "Windows: the tests, $target" passed "$figures"
    else
        evidence "Windows: the tests, $target" FAILED "$figures"
    fi
done
row "a door that mistakes \"not now\" for an error fails the tests" \
    "put in on purpose" \
    spoil '{ WSAEWOULDBLOCK, EAGAIN }, ' blocking_both_sides
row "a door that lets the system change line ends fails the tests" \
    "put in on purpose" spoil '_O_BINARY |' keyfile_save

# ---- 3. the demos -----------------------------------------------------------

win=$scratch/windows
here=$scratch/here
mkdir "$win" "$here"
for program in demo_client demo_server; do
    printf '#!/bin/sh\nexec wine "%s" "$@"\n' \
        "$scratch/x86_64/$program.exe" > "$win/$program"
    chmod +x "$win/$program"
done
build_here() {
    build_library -D_POSIX_C_SOURCE=200809L || return
    for program in demo_client demo_server; do
        $CC $CFLAGS -D_POSIX_C_SOURCE=200809L -o "$here/$program" \
            "$program.c" $objects || return
    done
}
check "the demos of this system" build_here

row "make demo, both ends Windows programs" \
    "keys, handshake, messages, 3 MB file, stranger refused" \
    sh tests/demo.sh "$win"

# serve FOLDER OPTION...: its demo_server, on a free port; $server, $port.
serve() {
    bin=$1
    shift
    : > "$scratch/server.log"
    "$bin/demo_server" -l 0 -k "$scratch/host_key" "$@" \
        >> "$scratch/server.log" 2>&1 &
    server=$!
    end_later "$server"
    tries=0
    until grep -q '^listening on ' "$scratch/server.log"; do
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] || return 1
        sleep 0.1
    done
    port=$(sed -n 's/^listening on .* port \([0-9]*\).*/\1/p' \
        "$scratch/server.log")
}

# keys WINDOWS-OR-HERE: a pair each for server and client; files made by wine
# are for everybody to read, which only Windows programs put up with.
make_keys() {
    rm -f "$scratch"/*_key* "$scratch/known_hosts"
    "$1/demo_server" --make-key "$scratch/host_key" \
        && "$1/demo_client" --make-key "$scratch/client_key" \
        && chmod 600 "$scratch/host_key" "$scratch/client_key"
}

talk() {
    "$1/demo_client" -H "$scratch/known_hosts" -y -i "$scratch/client_key" \
        "127.0.0.1:$port" < "$2"
}

# Bytes of every value, in lines that end in LF, CR LF and not at all.
awkward_lines() {
    awk 'BEGIN { for (i = 1; i < 256; i++) printf "%c%s", i, i % 9 ? "" : "\n"
                 printf "cr\r\nend" }' > "$scratch/lines"
    { cat "$scratch/lines"; echo; } > "$scratch/wanted"
}

lines_come_back() {
    awkward_lines
    talk "$1" "$scratch/lines" > "$scratch/replies" \
        && cmp "$scratch/wanted" "$scratch/replies"
}

# A reply must come while standard input is still open: the client waits for
# both at once.
replies_at_once() {
    rm -f "$scratch/fifo"
    mkfifo "$scratch/fifo" || return
    talk "$1" "$scratch/fifo" > "$scratch/replies" &
    client=$!
    exec 3> "$scratch/fifo"
    echo first >&3
    tries=0
    until grep -q first "$scratch/replies" || [ "$tries" -ge 300 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    grep -q first "$scratch/replies"
    result=$?
    echo second >&3
    exec 3>&-
    wait "$client" && grep -q second "$scratch/replies" && [ "$result" -eq 0 ]
}

send() {
    "$1/demo_client" -H "$scratch/known_hosts" -y -i "$scratch/client_key" \
        -f "$2" "127.0.0.1:$port"
}

file_arrives() {
    head -c 5000001 /dev/urandom > "$scratch/picture.jpg"
    send "$1" "$scratch/picture.jpg" > "$scratch/said" || return
    sum=$(sha256sum < "$scratch/picture.jpg" | cut -c 1-64)
    grep "^$sum  picture.jpg" "$scratch/said" \
        && cmp "$scratch/picture.jpg" "$scratch/received/picture.jpg"
}

# between SERVER CLIENT WORDS
between() {
    check "$3: keys" make_keys "$2"
    check "$3: the server starts" serve "$1" -a "$scratch/client_key.pub"
    row "$3: lines of every byte come back as they were" \
        "255 byte values, CR LF, no newline at the end" lines_come_back "$2"
    row "$3: replies come while standard input is open" "through a pipe" \
        replies_at_once "$2"
    kill_now "$server"
    mkdir "$scratch/received"
    check "$3: the server of -r starts" serve "$1" -r "$scratch/received" \
        -a "$scratch/client_key.pub"
    row "$3: a file arrives whole" "5,000,001 bytes, SHA-256 compared" \
        file_arrives "$2"
}

between "$here" "$win" "Windows client, server of this system"
kill_now "$server"
rm -r "$scratch/received"
between "$win" "$here" "client of this system, Windows server"

# ---- 4. what only Windows does ----------------------------------------------

# The folder must hold what it held, and no more.
refused() {
    ls "$scratch/received" > "$scratch/before"
    for file in NUL con.txt COM1 Lpt9.x 'a:b' 'what?' 'end.' 'end '; do
        cp "$scratch/picture.jpg" "$scratch/names/$file" || return
        send "$here" "$scratch/names/$file" 2> "$scratch/complaint" && return 1
        grep 'not stored' "$scratch/complaint" || return
    done
    ls "$scratch/received" | cmp - "$scratch/before"
}
mkdir "$scratch/names"
row "names that are devices, streams or change are refused" \
    "NUL con.txt COM1 Lpt9.x a:b what? end. 'end '" refused

not_overwritten() {
    echo other > "$scratch/names/PICTURE.JPG"
    send "$here" "$scratch/names/PICTURE.JPG" 2> "$scratch/complaint" \
        && return 1
    grep 'not overwritten' "$scratch/complaint" \
        && cmp "$scratch/picture.jpg" "$scratch/received/picture.jpg"
}
row "a file is not overwritten, in capitals neither" \
    "picture.jpg, PICTURE.JPG" not_overwritten

second_is_refused() {
    "$win/demo_server" -k "$scratch/host_key" -l "$port" -1 \
        > "$scratch/second" 2>&1
    [ $? -eq 1 ] && grep 'address is in use' "$scratch/second"
}
row "a port that is taken is not shared" "second server: exit status 1" \
    second_is_refused

# Ctrl-C, which wine makes of SIGINT, while a client is there.
stops_well() {
    rm -f "$scratch/fifo"
    mkfifo "$scratch/fifo" || return
    talk "$here" "$scratch/fifo" > "$scratch/replies" 2> "$scratch/complaint" &
    client=$!
    exec 3> "$scratch/fifo"
    tries=0
    until grep 'handshake finished' "$scratch/server.log" > "$scratch/ready"
    do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || return
        sleep 0.1
    done
    kill -INT "$server"
    wait "$server"
    result=$?
    exec 3>&-
    wait "$client" && [ "$result" -eq 0 ] \
        && grep 'the server was stopped' "$scratch/server.log"
}
kill_now "$server"
check "a server to be stopped" serve "$win" -a "$scratch/client_key.pub"
row "Ctrl-C ends the server in order" \
    "exit status 0, the client is told by CLOSE" stops_well

evidence "Windows itself, Microsoft's compiler, a console" skipped \
    "not tried: there was only wine, and mingw-w64"
finish
