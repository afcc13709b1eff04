#!/bin/sh
# demo.sh: secchan/1 at work, in five scenes: keys, the handshake, messages, a
# file, and a stranger at the server's address.  Everything shown is checked;
# the exit status is 0 only if all of it went as it should.
# Usage:   sh tests/demo.sh [FOLDER]     FOLDER has the demos (default: here)
# Leaves nothing behind, also when it is interrupted.

bin=${1:-.}
scratch=
server=

# Stop the server, if one is running, and wait until it has gone.
stop_server() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null
        wait "$server" 2>/dev/null
        server=
    fi
}

clean_up() {
    stop_server
    if [ -n "$scratch" ]; then
        rm -rf "$scratch"
    fi
}

trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    echo "demo.sh: $*" >&2
    if [ -s "$scratch/server.log" ]; then
        echo "demo.sh: the server's last words:" >&2
        tail -n 5 "$scratch/server.log" >&2
    fi
    exit 1
}

title() {
    printf '\n== %s\n' "$*"
}

# What the file $1 holds must be exactly the text $2.
expect() {
    printf '%s\n' "$2" > "$scratch/expected"
    cmp -s "$1" "$scratch/expected" \
        || fail "not the expected answer: $(cat "$1")"
}

# start_server HOST_KEY PORT OPTION...: start it, and find out its port.
start_server() {
    key=$1
    port=$2
    shift 2
    : > "$scratch/server.log"   # now, or the last server's words are believed
    "$bin/demo_server" -l "$port" -k "$key" "$@" >> "$scratch/server.log" 2>&1 &
    server=$!
    tries=0
    until grep '^listening on ' "$scratch/server.log" > "$scratch/ready"; do
        kill -0 "$server" 2>/dev/null || fail "the server did not start"
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || fail "the server is not ready after 20 seconds"
        sleep 0.1 2>/dev/null || sleep 1
    done
    port=$(sed -n 's/^listening on .* port \([0-9][0-9]*\).*/\1/p' \
        "$scratch/ready")
    [ -n "$port" ] || fail "the server did not say its port"
    address=127.0.0.1:$port
}

client() {
    "$bin/demo_client" -H "$scratch/known_hosts" -i "$scratch/client_key" "$@"
}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/secchan.XXXXXX") || exit 1

title "1. Two key pairs: the server's host key, and the client's own"
"$bin/demo_server" --make-key "$scratch/host_key" > "$scratch/host" \
    || fail "no host key"
"$bin/demo_client" --make-key "$scratch/client_key" > "$scratch/own" \
    || fail "no client key"
cp "$scratch/client_key.pub" "$scratch/authorized_keys"
echo "The host key's fingerprint, and its picture, are what people compare:"
grep SHA256: "$scratch/host" || fail "no fingerprint shown"
grep '^[+|]' "$scratch/host" || fail "no picture shown"

title "2. The handshake: five frames, and the channel is open"
start_server "$scratch/host_key" 0 -a "$scratch/authorized_keys"
client -y -t -m "Is anybody there?" "$address" \
    > "$scratch/replies" 2> "$scratch/trace" || fail "no handshake"
expect "$scratch/replies" "Is anybody there?"
awk '
    BEGIN {
        why["KEY_REQUEST"] = "\"Your keys, please.\""
        why["PUBLIC_KEYS"] = "\"My host key, and one for the next hour.\""
        why["SESSION_KEY"] = "\"A secret for each; and, sealed, my key.\""
        why["CONFIRM"] = "\"Opened both!  A secret for your key.\""
        why["CLIENT_CONFIRM"] = "\"Opened, too!\""
    }
    /^\| / && $7 in why {
        printf "%s %s %s  %-14s %4d bytes  %s\n", $2, $3, $4, $7, $8 + $10,
            why[$7]
        steps++
    }
    END { exit steps != 5 }
' "$scratch/trace" || fail "these are not the five frames of a handshake"

title "3. Messages, each of which the server sends back"
printf '%s\n' "Good morning." "Nobody else can read this," \
    "or change it, or say it again." > "$scratch/lines"
client "$address" < "$scratch/lines" > "$scratch/replies" || fail "no replies"
cmp -s "$scratch/lines" "$scratch/replies" || fail "the replies differ"
sed 's/^/sent:      /' "$scratch/lines"
sed 's/^/came back: /' "$scratch/replies"
stop_server

title "4. A file of 3 MB, and the SHA-256 of what the server has stored"
dd if=/dev/urandom of="$scratch/holiday.jpg" bs=1024 count=3000 2>/dev/null
mkdir "$scratch/received"
start_server "$scratch/host_key" "$port" -a "$scratch/authorized_keys" \
    -r "$scratch/received"
client -f "$scratch/holiday.jpg" "$address" || fail "the file was not sent"
cmp "$scratch/holiday.jpg" "$scratch/received/holiday.jpg" \
    || fail "the file arrived altered"
echo "The same as ours, and the two files are the same, byte for byte."
stop_server

title "5. A stranger with a key of its own, at the address we know"
"$bin/demo_server" --make-key "$scratch/strange_key" > /dev/null \
    || fail "no stranger's key"
start_server "$scratch/strange_key" "$port" -a "$scratch/authorized_keys"
client -y -m "Here is the plan." "$address" \
    > "$scratch/replies" 2> "$scratch/complaint"
status=$?
[ "$status" -eq 1 ] || fail "exit status $status, where 1 was expected"
[ ! -s "$scratch/replies" ] || fail "the stranger was believed"
grep 'line 1 of .*known_hosts' "$scratch/complaint" > /dev/null \
    || fail "not the expected complaint: $(cat "$scratch/complaint")"
fold -s -w 78 "$scratch/complaint" 2>/dev/null || cat "$scratch/complaint"

title "All five went as they should."
