#!/bin/sh
# demos.sh: demo_server and demo_client as a stranger uses them: what they
# print, what they leave on the disk, their exit status, and their one line
# about everything that goes wrong.
# Usage:   sh tests/demos.sh          from the repository's root
# Needs:   a C compiler (CC, CFLAGS), sha256sum or shasum; bash, for a client
#          that says nothing; python3, for strange servers and a terminal
# Cases:   1 building   2 words of help   3 keys   4 the host key   5 messages
#          6 who may come in   7 files   8 many clients   9 the end   10 IPv6
#          11 strange servers   12 a terminal   13 patience

name=demos.sh
. tests/lib.sh
exec < /dev/null                # nobody is at the keyboard

# ---- 1. building, and the words this page is written in ---------------------

build() {
    build_library || return
    for demo in demo_server demo_client; do
        $CC $CFLAGS -o "$scratch/$demo" $demo.c $objects || return
    done
    $CC $CFLAGS -DDEMO_FILE_MAX=100000 -o "$scratch/small_server" \
        demo_server.c $objects
}
check "the demos are built" build
[ "$n_failed" -eq 0 ] || finish
cd "$scratch" || exit 1
mkdir home
HOME=$scratch/home
export HOME
umask 022

limit=
has timeout && limit="timeout 100"

client() {
    $limit ./demo_client "$@"
}

# run COMMAND...: what it prints goes to out and err, its status to $status.
run() {
    "$@" > out 2> err
    status=$?
}

# why WORDS: what was expected; and what happened.
why() {
    {
        echo "$1; status $status, output:"
        head -c 600 out
        echo "error output:"
        head -c 600 err
    } > why.log
}

# served CLAIM FILE COMMAND...: it prints what FILE holds and no complaint.
served() {
    claim=$1
    wanted=$2
    shift 2
    run "$@"
    if [ "$status" -eq 0 ] && [ ! -s err ] && cmp out "$wanted" > cmp.log 2>&1
    then
        ok "$claim"
    else
        why "wanted: status 0, the output of $wanted; $(cat cmp.log)"
        failed "$claim" why.log
    fi
}

# complains CLAIM STATUS WORDS COMMAND...: one line says what went wrong, and in
# it are WORDS (a regular expression).  The client prints nothing else, and the
# server perhaps its fingerprint, but not that it is listening.
complains() {
    claim=$1
    wanted=$2
    words=$3
    shift 3
    run "$@"
    case $1 in
    ./demo_server) grep '^listening' out > unwanted ;;
    *) cp out unwanted ;;
    esac
    if [ "$status" -eq "$wanted" ] && [ ! -s unwanted ] \
        && [ "$(wc -l < err)" -eq 1 ] \
        && grep -q "^demo_[a-z]*: .*$words" err; then
        ok "$claim"
    else
        why "wanted: status $wanted, one line with: $words"
        failed "$claim" why.log
    fi
}

pause() {
    sleep 0.1 2> pause.log || sleep 1
}

# soon COMMAND...: it succeeds, if not now then within 20 seconds.
soon() {
    tries=0
    until "$@" > soon.log 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || return 1
        pause
    done
}

# start LOG COMMAND...: in the background, as process $started.
start() {
    log=$1
    shift
    rm -f "$log"                # what is read from it is not of an earlier one
    "$@" > "$log" 2> "$log.err" &
    started=$!
    end_later "$started"
}

# start_server ARGUMENT...: on a free port of 127.0.0.1, unless -l is given.
start_server() {
    start server.log ./demo_server -l 0 -k host_key "$@"
    server=$started
    find_port server.log || {
        failed "a server starts" server.log.err
        finish
    }
}

# find_port LOG: where the server that was just started can be reached.
find_port() {
    soon grep '^listening on .* port [0-9]*$' "$1" || return
    port=$(sed -n 's/^listening on .* port //p' "$1")
    address=127.0.0.1:$port
}

# ended PROCESS STATUS: it ends by itself within 20 seconds, with this status.
ended() {
    (
        for second in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            sleep 1
        done
        kill -9 "$1"
    ) &
    watchdog=$!
    wait "$1"
    status=$?
    kill_now "$watchdog"
    [ "$status" -eq "$2" ] || { echo "status $status, not $2"; return 1; }
}

stop_server() {
    kill "$server"
    ended "$server" 0
}

mode() {
    ls -ld "$1" | cut -c 1-10
}

has_mode() {
    [ "$(mode "$2")" = "$1" ] || { mode "$2"; return 1; }
}

fails() {
    ! "$@"
}

# only FOLDER NAME...: these names are in it, and no others.
only() {
    folder=$1
    shift
    ls -A "$folder" | sort > have
    printf '%s\n' "$@" | sed '/^$/d' | sort > want
    diff have want
}

random_file() {
    head -c "$2" /dev/urandom > "$1"
}

echo hello > hello

# ---- 2. words of help -------------------------------------------------------

explains() {
    run "$@"
    [ "$status" -eq 0 ] && [ ! -s err ] && grep "^usage: " out \
        && grep -e ' -t ' out && ! grep '.\{81\}' out
}

version() {
    run "./$1" --version
    [ "$status" -eq 0 ] && [ ! -s err ] && [ "$(wc -l < out)" -eq 1 ] \
        && grep "^$1 .*[0-9]\.[0-9]" out
}

for demo in demo_server demo_client; do
    for option in --help -h; do
        check "$demo $option explains" explains "./$demo" "$option"
    done
    check "$demo --version" version "$demo"
    complains "$demo: an option that does not exist" 2 "no .*option" \
        "./$demo" -x
    complains "$demo: a long one that does not exist" 2 "no .*option" \
        "./$demo" --nonsense
    complains "$demo --make-key without a file" 2 "missing" "./$demo" --make-key
done
complains "demo_server: -k without a file" 2 "-k.*missing" ./demo_server -k
complains "demo_server: an argument too many" 2 "extra" ./demo_server extra
for bad in 65536 -1 x 127.0.0.1: ::1:4422 :4422 ''; do
    complains "demo_server: -l '$bad'" 2 "-l wants" ./demo_server -l "$bad"
done
complains "demo_client: -m without a text" 2 "-m" client -m
complains "demo_client: two servers" 2 "one server" client one two
complains "demo_client: -p and -H" 2 "exclude" client -p x -H y
complains "demo_client: -m and -f" 2 "exclude" client -m x -f y
for bad in host:0 host:65536 host:x host: :4422 '[::1' '[::1]4422' ''; do
    complains "demo_client: the address '$bad'" 2 "\"" client "$bad"
done

# ---- 3. keys ----------------------------------------------------------------

# makes DEMO FILE: a key, as ssh keeps them, and nothing else.
makes() {
    run "./$1" --make-key "$2"
    [ "$status" -eq 0 ] && [ ! -s err ] || { cat err; return 1; }
    grep "SHA256:" out && [ "$(grep -c '^[+|]' out)" -eq 11 ] || return
    has_mode -rw------- "$2" && has_mode -rw-r--r-- "$2.pub" \
        && grep '^-----BEGIN RSA PRIVATE KEY-----$' "$2" \
        && grep '^ssh-rsa AAAA' "$2.pub" && [ "$(wc -l < "$2.pub")" -eq 1 ]
}

check "demo_server --make-key" makes demo_server host_key
pin=$(sed -n 's/.*\(SHA256:[A-Za-z0-9+/]*\).*/\1/p' out)
check "demo_client --make-key" makes demo_client listed_key
makes demo_client other_key > log 2>&1
makes demo_server strange_key > log 2>&1

for demo in demo_server demo_client; do
    cp listed_key before
    cp listed_key.pub before.pub
    complains "$demo --make-key: a file of this name is there" 1 "listed_key" \
        "./$demo" --make-key listed_key
    check "$demo --make-key: that file is as it was" cmp listed_key before
    : > lonely.pub
    complains "$demo --make-key: a .pub of this name is there" 1 "lonely" \
        "./$demo" --make-key lonely
    check "$demo --make-key: no half of a pair is made" \
        fails ls lonely
    complains "$demo --make-key: no such folder" 1 "nowhere/key" \
        "./$demo" --make-key nowhere/key
done

cp host_key open_key
chmod 644 open_key
complains "demo_server: a key that others can read" 1 "open_key.*chmod 600" \
    ./demo_server -l 0 -k open_key
complains "demo_client: a key that others can read" 1 "open_key.*chmod 600" \
    client -i open_key -p "$pin" -m hello

printf '%s\n' '-----BEGIN RSA PRIVATE KEY-----' 'Proc-Type: 4,ENCRYPTED' \
    'DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF' '' AAAA \
    '-----END RSA PRIVATE KEY-----' > locked_pkcs1
printf '%s\n' '-----BEGIN ENCRYPTED PRIVATE KEY-----' AAAA \
    '-----END ENCRYPTED PRIVATE KEY-----' > locked_pkcs8
echo "not a key" > no_key
chmod 600 locked_* no_key
for key in locked_pkcs1 locked_pkcs8; do
    complains "demo_server: an encrypted key, $key" 1 "$key.*passphrase" \
        ./demo_server -l 0 -k "$key"
    complains "demo_client: an encrypted key, $key" 1 "$key.*passphrase" \
        client -i "$key" -p "$pin" -m hello
done
complains "demo_server: not a key" 1 "no_key" ./demo_server -l 0 -k no_key
complains "demo_client: not a key" 1 "no_key" \
    client -i no_key -p "$pin" -m hello
complains "demo_client: no such key" 1 "nokey.*--make-key" \
    client -i nokey -p "$pin" -m hello

# The first start: no key is named, and none is there.
first_start() {
    start first.log ./demo_server -l 0
    find_port first.log || { cat first.log.err; return 1; }
    kill "$started"
    ended "$started" 0 && has_mode drwx------ "$HOME/.secchan" \
        && has_mode -rw------- "$HOME/.secchan/host_key" \
        && grep '^key fingerprint SHA256:' first.log
}
check "demo_server: the first start makes ~/.secchan/host_key" first_start
first=$(grep -o 'SHA256:.*' first.log)
check "demo_server: the second start" first_start
check "demo_server: the second start uses the same key" \
    grep -F "$first" first.log

# ---- 4. the host key --------------------------------------------------------

start_server
complains "demo_server: the port is in use" 1 "port $port: .*in use" \
    ./demo_server -l "$port" -k host_key

served "the right pin" hello client -p "$pin" -m hello "$address"
complains "a wrong pin" 1 "another host key.*nothing was sent" \
    client -p "SHA256:$(printf %043d 0 | tr 0 A)" -m hello "$address"
for bad in nonsense SHA256: "${pin}A" "${pin#SHA256:}" "MD5:aa:bb" ''; do
    complains "a malformed pin: '$bad'" 2 "no fingerprint" \
        client -p "$bad" -m hello "$address"
done

complains "an unknown host, and nobody to ask" 1 "$pin.*-y" \
    client -H known -m hello "$address"
check "an unknown host: nothing is remembered" fails test -e known

first_use() {
    run client -y -H known -m hello "$address"
    [ "$status" -eq 0 ] && cmp out hello && [ "$(wc -l < err)" -eq 1 ] \
        && grep -F "$pin" err && has_mode -rw------- known \
        && [ "$(wc -l < known)" -eq 1 ] \
        && [ "$(cut -d ' ' -f 1-3 known)" = \
            "[127.0.0.1]:$port $(cut -d ' ' -f 1,2 host_key.pub)" ]
}
check "first use with -y: remembered in known_hosts, 0600" first_use
cp known before
served "a known host" hello client -H known -m hello "$address"
served "a known host, again with -y" hello \
    client -y -H known -m hello "$address"
check "a known host is not written twice" cmp known before

default_file() {
    rm -rf "$HOME/.secchan"
    run client -y -m hello "$address"
    [ "$status" -eq 0 ] && has_mode drwx------ "$HOME/.secchan" \
        && has_mode -rw------- "$HOME/.secchan/known_hosts" \
        && cmp "$HOME/.secchan/known_hosts" known
}
check "first use: ~/.secchan/known_hosts is made, 0700 and 0600" default_file

key=$(cut -d ' ' -f 1,2 host_key.pub)
other=$(cut -d ' ' -f 1,2 strange_key.pub)
hash="|1|$(printf %027d= 0 | tr 0 A)|$(printf %027d= 0 | tr 0 B)"
ed25519="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERIT"
ed25519=${ed25519}FBUWFxgZGhscHR4f

# knows CLAIM LINE...: with these lines in known_hosts, the host is believed.
knows() {
    claim=$1
    shift
    printf '%s\n' "$@" > lines
    served "$claim" hello client -H lines -m hello "$address"
}

# doubts CLAIM WORDS LINE...: with these lines it is not, even with -y.
doubts() {
    claim=$1
    words=$2
    shift 2
    printf '%s\n' "$@" > lines
    cp lines before
    complains "$claim" 1 "$words" client -y -H lines -m hello "$address"
    check "$claim: the file stays as it was" cmp lines before
}

here="[127.0.0.1]:$port"
knows "a line for every port" "127.0.0.1 $key"
knows "a line with several names" "a.example,$here,b.example $key comment"
knows "comments, empty lines and other key types" "# ours" "" \
    "$here $ed25519" "$here $key"
doubts "a changed key" "line 3 of lines" "# ours" "else.example $key" \
    "$here $other"
doubts "a changed key, for every port" "line 1 of lines" "127.0.0.1 $other"
doubts "a hashed line" "line 2 of lines.*hashed" "else.example $other" \
    "$hash $key"
doubts "a pattern" "line 1 of lines.*pattern" "127.0.0.* $other"
doubts "a damaged line" "line 1 of lines.*damaged" "$here ssh-rsa AAAA"
doubts "a revoked key" "line 1 of lines.*revoked" "@revoked $here $key"
doubts "a revoked key that is known, too" "line 2 of lines.*revoked" \
    "$here $key" "@revoked * $key"
mkdir folder
complains "known_hosts cannot be read" 1 "cannot read folder" \
    client -y -H folder -m hello "$address"

# ---- 5. messages ------------------------------------------------------------

talk() {
    client -p "$pin" "$@" "$address"
}

# echoed CLAIM FILE [EXPECTED]: the lines of FILE come back as they are.
echoed() {
    claim=$1
    wanted=${3:-$2}
    served "$claim" "$wanted" talk < "$2"
}

printf '%s\n' one "two words" "" four > four
served "four messages from the command line" four \
    talk -m one -m "two words" -m "" -m four
printf '%s\n' first "" "  spaces  " "$(printf 'tab\there')" "" last > lines
echoed "lines of standard input, empty ones too" lines
: > nothing
echoed "no line at all" nothing
printf 'one\ntwo' > unfinished
printf 'one\ntwo\n' > finished
echoed "a last line without a newline" unfinished finished
random_file binary 300000
echo >> binary
echoed "300 kB of all bytes" binary
for len in 16383 16384 16385 3000000; do
    random_file bytes "$len"
    tr '\n\0' 'xy' < bytes > long
    echo >> long
    echoed "a line of $len bytes" long
done

# shows TEXT LINE
shows() {
    run talk -m "$1"
    [ "$status" -eq 0 ] && soon grep "client [0-9]*: message of $2\$" \
        server.log && return
    tail -n 3 server.log
    return 1
}
check "the server prints a line a message" shows hello '5 bytes: "hello"'
check "the server sends no control bytes to its terminal" \
    shows "$(printf 'a\033[2Jb\r"c')" '9 bytes: "a\\x1b\[2Jb\\x0d\\"c"'
check "the server cuts what is long" \
    shows "$(printf %080d 0)" "80 bytes: \"$(printf %060d 0)\"\.\.\."

# A conversation: the answer is there while standard input is still open.
converses() {
    mkfifo line || return
    ./demo_client -p "$pin" "$address" < line > out 2> err &
    process=$!
    end_later "$process"
    exec 3> line
    for word in hello again; do
        echo "$word" >&3
        soon grep -x "$word" out || return
    done
    exec 3>&-
    ended "$process" 0 && [ ! -s err ]
}
check "an answer comes while standard input is quiet" converses

full() {
    talk -m hello > /dev/full 2> err
    [ $? -eq 1 ] && [ "$(wc -l < err)" -eq 1 ] && grep "cannot write" err
}
if [ -c /dev/full ]; then
    check "standard output is full: said, status 1" full
else
    skipped "standard output is full: there is no /dev/full"
fi

# What each side says it derived is the same, and there is a warning.
traced() {
    run talk -t -m hello
    [ "$status" -eq 0 ] && cmp out hello && grep WARNING err \
        && grep WARNING server.log || return
    for value in session_id k_client k_server; do
        sed -n "/^  $value /{n;p;q;}" err > ours
        sed -n "/^  $value /{n;p;q;}" server.log > theirs
        [ -s ours ] && cmp ours theirs || return
    done
}
check "the server stops on SIGTERM, status 0" stop_server
start_server -t
check "-t: a warning, and the same values on both sides" traced
stop_server
start_server -q
silent() {
    run talk -m hello && [ "$status" -eq 0 ] \
        && soon grep 'has finished' server.log && ! grep 'message of' server.log
}
check "-q: no line a message" silent
kill -INT "$server"
check "SIGINT ends the server, status 0" ended "$server" 0
complains "nobody listens there" 1 "$address: .*is the server running" \
    talk -m hello
complains "no such host" 1 "a..b:4422: .*spelling" \
    client -p "$pin" -m hello a..b

# ---- 6. who may come in -----------------------------------------------------

{
    echo "# who may come in"
    echo "$ed25519 somebody"
    cat listed_key.pub
    sed 's/^/command="x" /' other_key.pub
} > authorized
start_server -a authorized
served "a listed key" hello talk -i listed_key -m hello
complains "a key on a line with options is not on the list" 1 \
    "refused.*our key is not on its list" talk -i other_key -m hello
check "the server names that line" grep "authorized, line 4" server.log.err
complains "a key that is not listed" 1 "refused.*our key is not on its list" \
    talk -i strange_key -m hello
complains "no key at all" 1 "refused.*name yours with -i" talk -m hello
complains "no key at all, lines from standard input" 1 "refused" talk < four
who=$(./demo_client --make-key third_key | grep -o 'SHA256:.*')
complains "a key made just now" 1 "refused" talk -i third_key -m hello
check "the server says who was refused" grep "refused $who" server.log
cat third_key.pub >> authorized
served "a key added while the server runs" hello talk -i third_key -m hello
stop_server
start_server
served "a server without a list does not ask for keys" hello talk -m hello
complains "a server without a list lets no key in" 1 "refused" \
    talk -i listed_key -m hello
stop_server
complains "-a: no such file" 1 "nolist" ./demo_server -l 0 -k host_key -a nolist

# ---- 7. files ---------------------------------------------------------------

complains "-r: no such folder" 1 "nowhere" ./demo_server -l 0 -k host_key \
    -r nowhere
complains "-r: not a folder" 1 "hello" ./demo_server -l 0 -k host_key -r hello

sum() {
    if has sha256sum; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}

# sends FILE: it arrives whole, and both sides name its SHA-256.
sends() {
    sum "$1" > sum
    served "a file of $(($(wc -c < "$1"))) bytes: $1" sum talk -f "$1"
    check "$1 is stored, byte for byte, 0600" stored "$1"
}

stored() {
    cmp "$1" "received/$1" && has_mode -rw------- "received/$1" \
        && grep -F "$(cut -d ' ' -f 1 sum)" server.log
}

mkdir received
start_server -r received
for len in 0 1 16384 16385 5000000; do
    random_file "bytes$len" "$len"
    sends "bytes$len"
done
random_file "with spaces and é" 100
sends "with spaces and é"
run talk -f "$scratch/hello"
check "a file in another folder goes by its last name" \
    cmp hello received/hello
complains "the same name again" 1 "refused hello: .*exists" talk -f hello
echo other > bytes1
complains "the same name, other contents" 1 "refused bytes1: .*exists" \
    talk -f bytes1
check "nothing was overwritten" fails cmp bytes1 received/bytes1
ln -s "$scratch/bytes0" received/link
cp hello link
complains "the name of a symbolic link" 1 "refused link: .*exists" talk -f link
check "what the link points to stays as it was" fails test -s bytes0
rm received/link

for bad in .hidden ... 'a..b' 'back\slash' "$(printf 'tab\there')"; do
    cp hello "$bad"
    complains "a bad name: $bad" 1 "not stored: a name has no\|does not begin" \
        talk -f "./$bad"
done
complains "no such file" 1 "cannot open nothere" talk -f nothere
complains "a folder" 1 "folder" talk -f folder
misunderstood() {
    run talk -m hello -m again
    [ "$status" -eq 1 ] && grep '^error: ' out && [ "$(wc -l < err)" -eq 1 ]
}
check "messages to a server that wants files" misunderstood
check "only whole files are there, under their names" only received \
    bytes0 bytes1 bytes16384 bytes16385 bytes5000000 hello "with spaces and é"
stop_server

# start_upload: a file that goes on for as long as descriptor 3 is open.
start_upload() {
    [ -p endless ] || mkfifo endless || return
    ./demo_client -p "$pin" -f endless "$address" > out 2> err &
    upload=$!
    end_later "$upload"
    exec 3> endless
    head -c 1000000 /dev/urandom >&3
    soon half_there
}

half_there() {
    [ -n "$(find received -name '.part-*' -size +1000)" ]
}

whole=$(ls -A received | wc -l)
tidy() {
    ls -A received
    [ "$(ls -A received | wc -l)" -eq "$whole" ]
}

killed_client() {
    start_upload || return
    kill_now "$upload"
    exec 3>&-
    soon grep 'cut off' server.log && tidy
}

stopped_server() {
    start_upload || return
    kill "$server"
    ended "$server" 0 && tidy || return
    exec 3>&-
    ended "$upload" 1 && [ ! -s out ] && [ "$(wc -l < err)" -eq 1 ] \
        && grep "^demo_client: $address: " err
}

start_server -r received
check "a client killed in the middle of a file leaves nothing" killed_client
check "SIGTERM in the middle of a file: nothing left, and the client knows" \
    stopped_server
exec 3>&-

start_server
complains "a file to a server that wants messages" 1 "-r" talk -f bytes16385
stop_server

mv demo_server full_server
mv small_server demo_server
mkdir small
start_server -r small
random_file limit 100000
random_file above 100001
run talk -f limit
check "a file as large as the server takes" cmp limit small/limit
complains "a file larger than that" 1 "above: .*more than 100000 bytes" \
    talk -f above
check "nothing is left of it" only small limit
stop_server
mv full_server demo_server

# A limit on the size of files stands in for a full disk.
mkdir full
start server.log sh -c "trap '' XFSZ; ulimit -f 2000; exec \"\$@\"" sh \
    ./demo_server -l 0 -k host_key -r full
server=$started
find_port server.log
complains "the system does not store it all" 1 \
    "refused bytes5000000: not stored: " \
    talk -f bytes5000000
check "nothing is left of it" only full
sum bytes16385 > sum
served "a file that fits still goes" sum talk -f bytes16385
stop_server

# ---- 8. many clients --------------------------------------------------------

start_server

# Three that stall: one is quiet, one does not read, one stops in its handshake.
mkfifo quiet
./demo_client -p "$pin" "$address" < quiet > quiet.out 2> quiet.err &
quiet=$!
end_later "$quiet"
exec 4> quiet
soon grep 'client 1: handshake finished' server.log
head -c 20000000 /dev/zero > zeros
echo >> zeros
mkfifo slow                     # nobody takes what this client prints
./demo_client -p "$pin" "$address" < zeros > slow 2> zeros.err &
stalled=$!
end_later "$stalled"
exec 5< slow
soon grep 'client 2: handshake finished' server.log
if has bash; then
    date +%s > half.began
    start half.out bash -c "exec 3<> /dev/tcp/127.0.0.1/$port && printf '\1' >&3
        cat <&3
        date +%s > half.ended"
    soon grep 'client 3: connected' server.log
else
    skipped "a client that stops in its handshake: there is no bash"
fi

crowd() {
    members=
    for i in 1 2 3 4 5 6 7 8; do
        random_file "bytes" 100000
        tr '\n' x < bytes > "crowd$i"
        echo >> "crowd$i"
        ./demo_client -p "$pin" "$address" < "crowd$i" > "crowd$i.out" &
        members="$members $!"
    done
    for member in $members; do
        ended "$member" 0 || return
    done
    for i in 1 2 3 4 5 6 7 8; do
        cmp "crowd$i" "crowd$i.out" || return
    done
}
check "eight at once, beside those that stall" crowd
check "the one that does not read is still there" \
    fails grep 'client 2: ended' server.log
cat <&5 > zeros.out &
end_later $!
check "it gets everything, once it reads" ended "$stalled" 0
check "byte for byte" soon cmp zeros zeros.out
exec 5<&-
echo hello >&4
check "the quiet one is heard when it speaks" soon cmp quiet.out hello

# ---- 9. the end -------------------------------------------------------------

# -1: the first client to finish its handshake is the only one.
once() {
    start once.log ./demo_server -1 -l 0 -k host_key
    once=$started
    find_port once.log || return
}

serves_one() {
    once || return
    run talk -m hello
    [ "$status" -eq 0 ] && cmp out hello && ended "$once" 0
}
check "-1: one client, then the end, status 0" serves_one

serves_a_killed_one() {
    once || return
    mkfifo one
    ./demo_client -p "$pin" "$address" < one > out 2> err &
    process=$!
    end_later "$process"
    exec 3> one
    soon grep 'handshake finished' once.log || return
    kill_now "$process"
    exec 3>&-
    ended "$once" 1
}
check "-1: a client that was killed, status 1" serves_a_killed_one

serves_after_a_stranger() {
    once || return
    run client -p "SHA256:$(printf %043d 0 | tr 0 A)" -m hello "$address"
    [ "$status" -eq 1 ] || return
    run talk -m hello
    [ "$status" -eq 0 ] && ended "$once" 0
}
check "-1: a handshake that failed does not count" serves_after_a_stranger

# ---- 10. IPv6 ---------------------------------------------------------------

start six.log ./demo_server -l '[::1]:0' -k host_key
if soon grep -q '^listening on ::1 ' six.log; then
    port=$(sed -n 's/^listening on .* port //p' six.log)
    six="[::1]:$port"
    served "IPv6" hello client -p "$pin" -m hello "$six"
    run client -y -H known6 -m hello "$six"
    check "IPv6: the form in known_hosts" grep -F "[::1]:$port ssh-rsa" known6
    served "IPv6, a known host" hello client -H known6 -m hello "$six"
    kill "$started"
    check "IPv6: the server ends" ended "$started" 0
else
    skipped "IPv6: ::1 is not there"
fi

# ---- 11. strange servers ----------------------------------------------------

# strange.py MODE: one connection; prints its port first.
cat > strange.py <<'END'
import socket, sys
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(1)
print(listener.getsockname()[1], flush=True)
peer, _ = listener.accept()
if sys.argv[1] == "http":
    peer.recv(100)
    peer.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
if sys.argv[1] == "silent":
    while peer.recv(100):
        pass
END

strange() {
    start "strange.$1" python3 strange.py "$1"
    soon test -s "strange.$1"
    address=127.0.0.1:$(cat "strange.$1")
}

if has python3; then
    strange http
    complains "a server of another protocol" 1 "not secchan/1" talk -m hello
    strange close
    complains "a server that hangs up" 1 "the server ended the handshake" \
        talk -m hello
    strange silent
    date +%s > patient.began
    start patient.out sh -c './demo_client -p "$0" -m hello "$1"
        date +%s > patient.ended' "$pin" "$address"
else
    skipped "strange servers: there is no python3"
fi

# ---- 12. a terminal ---------------------------------------------------------

# terminal.py ANSWER COMMAND...: runs it on a terminal and answers its question.
cat > terminal.py <<'END'
import os, pty, sys
answer = sys.argv[1]
process, terminal = pty.fork()
if process == 0:
    os.execv(sys.argv[2], sys.argv[2:])
seen = b""
while True:
    try:
        piece = os.read(terminal, 4096)
    except OSError:
        break
    if not piece:
        break
    seen += piece
    if answer is not None and b"believe it: " in seen:
        os.write(terminal, answer.encode() + b"\n")
        answer = None
sys.stdout.buffer.write(seen)
sys.exit(os.WEXITSTATUS(os.waitpid(process, 0)[1]))
END

on_terminal() {
    $limit python3 terminal.py "$@"
}

asked() {
    run on_terminal "$1" ./demo_client -H asked -m hello "$address"
    [ "$status" -eq "$2" ] && grep "$pin" out \
        && [ "$(tr -d '\r' < out | grep -c '^[+|]')" -eq 11 ]
}

says_yes() {
    asked yes 0 && tr -d '\r' < out | grep -x hello \
        && grep "^\[127" asked && has_mode -rw------- asked
}

says_no() {
    asked no 1 && ! test -e asked
}

shows_progress() {
    run on_terminal '' ./demo_client -p "$pin" -f zeros "$address"
    [ "$status" -eq 0 ] && grep '100%.*20.0 MB.*left' out
}

find_port server.log
if has python3; then
    check "the first-use question, answered no" says_no
    check "the first-use question, answered yes" says_yes
    start files.log ./demo_server -l 0 -k host_key -r received
    find_port files.log
    check "a progress bar for a file" shows_progress
    kill "$started"
else
    skipped "a terminal: there is no python3"
fi

# ---- 13. patience -----------------------------------------------------------

# took_30 WHAT: from WHAT.began to WHAT.ended it is 30 seconds, or a bit more.
took_30() {
    soon test -s "$1.ended" || soon test -s "$1.ended" || return
    seconds=$(($(cat "$1.ended") - $(cat "$1.began")))
    echo "$seconds seconds"
    [ "$seconds" -ge 29 ] && [ "$seconds" -le 40 ]
}

if [ -f half.began ]; then
    check "a handshake that stalls is ended after 30 seconds" took_30 half
    check "the server says why" \
        grep 'client 3: ended in the handshake: not finished' server.log
    check "and has sent nothing" fails test -s half.out
fi
if [ -f patient.began ]; then
    check "the client waits 30 seconds for a silent server" took_30 patient
    check "and says so" grep "^demo_client: .*it took too long" patient.out.err
fi

# A server that is stopped lets its clients go: that is no failure of theirs.
kill "$server"
check "the server ends although a client is connected" ended "$server" 0
check "that client answers the CLOSE and ends, status 0" ended "$quiet" 0

finish
