#!/bin/sh
# compare.sh: the library beside OpenSSL, libsodium, BearSSL, Mbed TLS, wolfSSL
# and OpenSSH: time, memory, size.  Writes docs/speed.md, docs/speed.svg and
# docs/growth.svg.
# Usage:   sh bench/compare.sh [-k KEYS] [-r ROUNDS] [-s SECONDS] [-m MIB]
#                              [-c CLIENTS] [-o FOLDER]
#          from the repository's root, on an otherwise idle machine.
#          KEYS: RSA keys made by each library (200).  ROUNDS: of everything
#          else in bench.c (15).  SECONDS: of handshakes with each server (5).
#          MIB: size of the file that is sent (1024).  CLIENTS: the most that
#          are connected at one time (1000).  FOLDER: for the results (docs).
# Needs:   Debian on x86-64.  Peers that are missing are installed by apt-get.
# Steps:   1 peers   2 building   3 in one process   4 servers   5 handshakes
#          6 one large file   7 memory, many clients   8 size   9 goals
#          10 the pictures   11 the page
#
# Every step leaves tab-separated lines in $scratch; the last two steps read
# nothing else.  What is not measured is not written: the script stops instead.

name=compare.sh
. tests/lib.sh

n_keys=200
n_rounds=15
seconds=5
mib=1024
n_clients=1000
folder=docs
command="sh bench/compare.sh${*:+ $*}"
while getopts k:r:s:m:c:o: option; do
    case $option in
    k) n_keys=$OPTARG ;;
    r) n_rounds=$OPTARG ;;
    s) seconds=$OPTARG ;;
    m) mib=$OPTARG ;;
    c) n_clients=$OPTARG ;;
    o) folder=$OPTARG ;;
    *) echo "$name: see the top of bench/compare.sh" >&2; exit 2 ;;
    esac
done

die() {
    echo "$name: $1" >&2
    tail -n 15 "$scratch/log" >&2
    exit 1
}

say() {
    echo "$name: $1"
}

: > "$scratch/log"
mkdir -p "$folder" || die "no folder $folder"
[ -f secchan.c ] || die "this is not the repository's root"

# ---- 1. peers ---------------------------------------------------------------

peers="libssl-dev libsodium-dev libbearssl-dev libmbedtls-dev libwolfssl-dev
    openssl openssh-client openssh-server gnuplot-nox gcc-arm-none-eabi
    libnewlib-arm-none-eabi"

is_installed() {
    dpkg-query -W -f '${Status}' "$1" 2> "$scratch/log" \
        | grep -q '^install ok installed'
}

missing=
for peer in $peers; do
    is_installed "$peer" || missing="$missing $peer"
done
if [ -n "$missing" ]; then
    say "installing$missing"
    DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends $missing > "$scratch/log" 2>&1 \
        || die "apt-get install$missing (perhaps apt-get update first)"
fi

# ---- 2. building ------------------------------------------------------------

# Twice: as it is, and without what is written for this processor (SC_NO_SIMD).
build() {
    for file in secchan rsa_mini bignum; do
        $CC $CFLAGS $2 -c -o "$scratch/$1-$file.o" $file.c || return
    done
    library="$scratch/$1-secchan.o $scratch/$1-rsa_mini.o $scratch/$1-bignum.o"
    $CC $CFLAGS $2 -I. -DBENCH_COMPARE -o "$scratch/bench-$1" bench/bench.c \
        $library -lcrypto -lsodium -lbearssl -lmbedtls -lmbedx509 \
        -lmbedcrypto -lwolfssl -lm || return
    for demo in demo_client demo_server; do
        $CC $CFLAGS $2 -o "$scratch/$demo-$1" $demo.c $library || return
    done
}
say "building"
build fast "" > "$scratch/log" 2>&1 || die "the build fails"
build portable -DSC_NO_SIMD > "$scratch/log" 2>&1 \
    || die "the SC_NO_SIMD build fails"

root=$(pwd)
cd "$scratch" || exit 1

# One core for what is measured, another for who asks it, if there is another.
on_server=
on_client=
if [ "$(nproc)" -gt 1 ]; then
    on_server="taskset -c 1"
    on_client="taskset -c 0"
fi

# ---- 3. in one process ------------------------------------------------------

# OpenSSL is measured twice: as it is, and, where the processor has AVX-512,
# with its code for that switched off (AVX-512 F, DQ, IFMA, CD, BW, VL: bits of
# CPUID 7 EBX), which is what most other processors would run.
no_avx512=:~0xD0230000

# measure BUILD PEER KEYS: lines of: build, peer, id, library, ns, speed.
measure() {
    $on_server ./bench-"$1" -t -r "$n_rounds" -k "$3" > lines 2> log \
        || die "bench-$1 fails"
    sed "s/^/$1	$2	/" lines >> side-by-side
}

say "in one process: four runs; the first one makes $n_keys keys a library"
some_keys=$(((n_keys + 3) / 4))
measure fast as-is "$n_keys"
measure portable as-is "$some_keys"
OPENSSL_ia32cap=$no_avx512
export OPENSSL_ia32cap
openssl version -c > ia32cap
measure fast no-avx512 "$some_keys"
measure portable no-avx512 0
unset OPENSSL_ia32cap
$on_server ./bench-fast -g -t -r "$n_rounds" > growth 2> log \
    || die "bench-fast -g fails"

# ---- 4. servers -------------------------------------------------------------

is_listening() {
    grep -qi ":$(printf %04x "$1") [0-9a-f:]* 0a" /proc/net/tcp
}

port=21000                      # below the ports that clients get
free_port() {
    port=$((port + 1))
    while is_listening "$port"; do
        port=$((port + 1))
    done
}

# until_listening PROCESS: its port is $port; at most 20 seconds.
until_listening() {
    tries=0
    until is_listening "$port"; do
        tries=$((tries + 1))
        kill -0 "$1" 2> log && [ "$tries" -lt 200 ] \
            || die "a server does not start"
        sleep 0.1
    done
}

# forget PROCESS: it has ended; its number may soon be another's.
forget() {
    processes=$(echo "$processes " | sed "s/ $1 / /")
}

stop() {
    kill "$1" 2> log
    wait "$1" 2> log
    forget "$1"
}

# serve COMMAND...: in the background, on $port; its process is $server.
serve() {
    "$@" > server.out 2> log < /dev/null &
    server=$!
    end_later "$server"
    until_listening "$server"
}

start_demo() {
    free_port
    serve $on_server ./demo_server-fast -q -l "127.0.0.1:$port" -k host "$@"
}

openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost \
    -keyout tls.key -out tls.pem > log 2>&1 || die "no certificate"
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=client \
    -keyout tls-client.key -out tls-client.pem > log 2>&1 \
    || die "no client certificate"
for key in host client; do
    ssh-keygen -q -t rsa -b 2048 -N '' -C '' -f $key > log || die "no $key key"
done
cp client.pub clients

# ---- 5. handshakes ----------------------------------------------------------

# The server's processor time in hundredths (getconf CLK_TCK) of a second.
cpu_ticks() {
    sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

# Of several clients at once, so that the server is not left waiting for one.
n_loaders=4
secchan_load() {
    $on_client ./bench-fast -l "$port" -c $n_loaders -s "$seconds" "$@" \
        2> log | awk '{ print $1, $4 }'
}

tls_load() {
    loaders=
    i=0
    while [ $i -lt $n_loaders ]; do
        $on_client openssl s_time -connect "127.0.0.1:$port" -new \
            -time "$seconds" "$@" > "time.$i" 2>&1 &
        loaders="$loaders $!"
        i=$((i + 1))
    done
    wait $loaders
    cat time.? > log
    awk '/real seconds/ { n += $1; if ($4 > s) s = $4 }
         END { if (n > 0) print n, s }' time.?
}

# handshakes ID LOAD...: a line of: id, handshakes, seconds, the server's ticks.
handshakes() {
    id=$1
    shift
    ticks=$(cpu_ticks "$server")
    counted=$("$@")
    [ -n "$counted" ] || die "$id: no handshakes"
    ticks=$(($(cpu_ticks "$server") - ticks))
    echo "$id $counted $ticks" >> handshakes
    stop "$server"
}

start_tls() {
    free_port
    serve $on_server openssl s_server -accept "127.0.0.1:$port" -www -quiet \
        -cert tls.pem -key tls.key -no_ticket -no_cache "$@"
}

say "handshakes: $seconds seconds each"
start_demo
handshakes secchan secchan_load
start_demo -a clients
handshakes secchan-key secchan_load -i client
chacha=TLS_CHACHA20_POLY1305_SHA256
for run in as-is no-avx512; do
    [ $run = as-is ] || export OPENSSL_ia32cap=$no_avx512
    start_tls -tls1_2 -cipher AES128-GCM-SHA256
    handshakes "tls12-$run" tls_load -tls1_2 -cipher AES128-GCM-SHA256
    start_tls -tls1_2 -cipher AES128-GCM-SHA256 -Verify 1 \
        -CAfile tls-client.pem
    handshakes "tls12-key-$run" tls_load -tls1_2 -cipher AES128-GCM-SHA256 \
        -cert tls-client.pem -key tls-client.key
    start_tls -tls1_3 -ciphersuites $chacha
    handshakes "tls13-$run" tls_load -tls1_3 -ciphersuites $chacha
    start_tls -tls1_3 -ciphersuites $chacha -Verify 1 -CAfile tls-client.pem
    handshakes "tls13-key-$run" tls_load -tls1_3 -ciphersuites $chacha \
        -cert tls-client.pem -key tls-client.key
    unset OPENSSL_ia32cap
done

# ---- 6. one large file ------------------------------------------------------

now() {
    date +%s.%N
}

# stored SENT RECEIVED: what the demos do while they send, done afterwards: the
# file is on the disk, and both ends know its hash.
stored() {
    sync "$2" || die "sync fails"
    sha256sum < "$1" > sent.sum &
    sha256sum < "$2" > received.sum || die "nothing was received"
    wait $!
    cmp sent.sum received.sum > log || die "another file was received"
}

# sent ID BEGIN END: a line of: id, seconds until the file was there, seconds
# until it was stored and hashed.
sent() {
    stored big received
    finished=$(now)
    [ "$1" != secchan ] || finished=$3
    echo "$1 $2 $3 $finished" \
        | awk '{ print $1, $3 - $2, $4 - $2 }' >> files
    rm -f received
}

send_secchan() {
    free_port
    serve ./demo_server-fast -q -l "127.0.0.1:$port" -k host -r in
    begin=$(now)
    ./demo_client-fast -y -H known -f big "127.0.0.1:$port" > log 2>&1 \
        || die "demo_client fails"
    end=$(now)
    stop "$server"
    mv in/big received || die "demo_server has no file"
    sent secchan "$begin" "$end"
}

start_sshd() {
    free_port
    cat > sshd_config <<END
Port $port
ListenAddress 127.0.0.1
HostKey $scratch/host
AuthorizedKeysFile $scratch/clients
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
END
    if [ "$(id -u)" -eq 0 ] && [ ! -d /run/sshd ]; then
        mkdir -p /run/sshd              # sshd wants it, and an empty one
    fi
    serve "$(command -v sshd || echo /usr/sbin/sshd)" -D -f sshd_config
}

send_scp() {
    start_sshd
    begin=$(now)
    scp -q -F none -P "$port" -i client -o IdentitiesOnly=yes \
        -o BatchMode=yes -o StrictHostKeyChecking=no \
        -o UserKnownHostsFile=/dev/null -c chacha20-poly1305@openssh.com \
        big "127.0.0.1:$scratch/received" > log 2>&1 || die "scp fails"
    end=$(now)
    stop "$server"
    sent scp "$begin" "$end"
}

# s_server has no end of input while something holds the pipe open.
send_tls() {
    free_port
    rm -f silence
    mkfifo silence
    openssl s_server -accept "127.0.0.1:$port" -naccept 1 -quiet -tls1_3 \
        -ciphersuites $chacha -cert tls.pem -key tls.key \
        < silence > received 2> log &
    server=$!
    end_later "$server"
    exec 8> silence
    until_listening "$server"
    begin=$(now)
    openssl s_client -connect "127.0.0.1:$port" -quiet -nocommands \
        -no_ign_eof -tls1_3 < big > log 2>&1 || die "s_client fails"
    wait "$server"
    end=$(now)
    forget "$server"
    exec 8>&-
    sent tls "$begin" "$end"
}

say "one file of $mib MiB, three times each"
mkdir in
head -c "$((mib * 1048576))" /dev/urandom > big || die "no file"
sync big
for run in 1 2 3; do
    send_secchan
    send_scp
    send_tls
done
rm -f big

# ---- 7. memory, many clients ------------------------------------------------

resident_kib() {
    awk '/^VmRSS/ { print $2 }' "/proc/$1/status"
}

# clients N: N clients of a new server, of which one talks; a line of: N, the
# server's memory before and after.  The echo times join the growth lines.
clients() {
    start_demo
    before=$(resident_kib "$server")
    rm -f hold
    mkfifo hold
    $on_client ./bench-fast -e "$port" -c "$1" -t < hold > echo.out 2> log &
    holder=$!
    end_later "$holder"
    exec 9> hold
    until [ "$(wc -l < echo.out)" -eq 2 ]; do
        kill -0 "$holder" 2> /dev/null || die "$1 clients: bench fails"
        sleep 0.1
    done
    cat echo.out >> growth
    echo "$1 $before $(resident_kib "$server")" >> memory
    exec 9>&-
    stop "$server"
    wait "$holder" 2> log
    forget "$holder"
}

say "1 to $n_clients clients"
for n in 1 3 10 30 100 300 1000; do
    [ "$n" -gt "$n_clients" ] || clients $n
done

# ---- 8. size ----------------------------------------------------------------

# A client of each library, all I/O left out, linked with what it needs of the
# library and nothing of the C library.  The client of secchan judges its host
# by a pin; SIZE_KEYGEN: and makes itself a key.
cat > client-secchan.c <<'END'
#include "secchan.h"
int client(void);
int sc_os_random(void *ctx, uint8_t *out, size_t len);
static sc_channel ch;
static uint8_t frame[SC_FRAME_MAX], out[SC_FRAME_MAX];
int sc_os_random(void *ctx, uint8_t *bytes, size_t len)
{
    (void)ctx;
    (void)bytes;
    return len == 0 ? SC_OK : SC_ERR_RANDOM;
}
int client(void)
{
    static sc_client_options options;
    sc_event event;
    size_t len;
    int e = 0;
#ifdef SIZE_KEYGEN
    static sc_private_key key;
    e |= sc_key_generate(&key, 2048, 0, 0);
    options.identity = &key;
#endif
    options.pin = "SHA256:";
    e |= sc_client_init(&ch, &options, out, &len);
    e |= sc_frame_len(&ch, frame, &len);
    e |= sc_input(&ch, frame, len, &event, out, &len);
    e |= sc_seal(&ch, 0, frame, 1, out, &len);
    e |= sc_shut(&ch, out, &len);
    e |= sc_eof(&ch);
    sc_end(&ch);
    return e;
}
END

# TLS 1.2 only, ECDHE-RSA with ChaCha20-Poly1305 only, one hash, and the
# certificate check.
cat > client-bearssl.c <<'END'
#include <bearssl.h>
int client(void);
static br_ssl_client_context cc;
static br_x509_minimal_context xc;
static br_x509_trust_anchor anchor;
static unsigned char io[BR_SSL_BUFSIZE_MONO];
int client(void)
{
    static const uint16_t suites[] = {
        BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    };
    br_ssl_engine_context *eng = &cc.eng;
    size_t len;
    br_ssl_client_zero(&cc);
    br_ssl_engine_set_versions(eng, BR_TLS12, BR_TLS12);
    br_ssl_engine_set_suites(eng, suites, 1);
    br_ssl_engine_set_ec(eng, &br_ec_c25519_i31);
    br_ssl_engine_set_rsavrfy(eng, br_rsa_i31_pkcs1_vrfy);
    br_ssl_engine_set_hash(eng, br_sha256_ID, &br_sha256_vtable);
    br_ssl_engine_set_prf_sha256(eng, br_tls12_sha256_prf);
    br_ssl_engine_set_chapol(eng, &br_sslrec_in_chapol_vtable,
                             &br_sslrec_out_chapol_vtable);
    br_ssl_engine_set_chacha20(eng, br_chacha20_ct_run);
    br_ssl_engine_set_poly1305(eng, br_poly1305_ctmul_run);
    br_x509_minimal_init(&xc, &br_sha256_vtable, &anchor, 1);
    br_x509_minimal_set_rsa(&xc, br_rsa_i31_pkcs1_vrfy);
    br_x509_minimal_set_hash(&xc, br_sha256_ID, &br_sha256_vtable);
    br_ssl_engine_set_x509(eng, &xc.vtable);
    br_ssl_engine_set_buffer(eng, io, sizeof io, 0);
    br_ssl_engine_inject_entropy(eng, io, 32);
    br_ssl_client_reset(&cc, "localhost", 0);
    br_ssl_engine_recvrec_buf(eng, &len);
    br_ssl_engine_recvrec_ack(eng, len);
    br_ssl_engine_sendrec_buf(eng, &len);
    br_ssl_engine_sendrec_ack(eng, len);
    br_ssl_engine_sendapp_buf(eng, &len);
    br_ssl_engine_sendapp_ack(eng, len);
    br_ssl_engine_recvapp_buf(eng, &len);
    br_ssl_engine_recvapp_ack(eng, len);
    br_ssl_engine_close(eng);
    return br_ssl_engine_last_error(eng);
}
END

# As Debian configured it: every version, suite and curve.
cat > client-mbedtls.c <<'END'
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/ssl.h>
int client(void);
static mbedtls_ssl_context ssl;
static mbedtls_ssl_config conf;
static mbedtls_x509_crt anchor;
static mbedtls_ctr_drbg_context drbg;
static mbedtls_entropy_context entropy;
static unsigned char bytes[64];
int client(void)
{
    int e = 0;
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&drbg);
    e |= mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy, 0, 0);
    mbedtls_ssl_init(&ssl);
    mbedtls_ssl_config_init(&conf);
    e |= mbedtls_ssl_config_defaults(&conf, MBEDTLS_SSL_IS_CLIENT,
                                     MBEDTLS_SSL_TRANSPORT_STREAM,
                                     MBEDTLS_SSL_PRESET_DEFAULT);
    mbedtls_ssl_conf_rng(&conf, mbedtls_ctr_drbg_random, &drbg);
    e |= mbedtls_x509_crt_parse_der(&anchor, bytes, sizeof bytes);
    mbedtls_ssl_conf_ca_chain(&conf, &anchor, 0);
    e |= mbedtls_ssl_setup(&ssl, &conf);
    e |= mbedtls_ssl_set_hostname(&ssl, "localhost");
    mbedtls_ssl_set_bio(&ssl, 0, 0, 0, 0);
    e |= mbedtls_ssl_handshake(&ssl);
    e |= mbedtls_ssl_write(&ssl, bytes, 1);
    e |= mbedtls_ssl_read(&ssl, bytes, 1);
    e |= mbedtls_ssl_close_notify(&ssl);
    mbedtls_ssl_free(&ssl);
    return e;
}
END

sections="-ffunction-sections -fdata-sections"
alone="-nostdlib -static -Wl,--gc-sections,-e,client
    -Wl,--unresolved-symbols=ignore-all"
m4="arm-none-eabi-gcc -mthumb -mcpu=cortex-m4"

# weigh ID SIZE FILE...: a line of: id, bytes of .text, of .rodata.
weigh() {
    id=$1
    tool=$2
    shift 2
    $tool -A "$@" 2> log | awk -v id="$id" '
        $1 ~ /^\.text/ { text += $2 }
        $1 ~ /^\.rodata/ { rodata += $2 }
        END { if (text == 0) exit 1; print id, text, rodata + 0 }' \
        >> sizes || die "$id cannot be weighed"
}

# weigh_secchan ID COMPILER SIZE: all of it; a client; the same with key
# generation.
weigh_secchan() {
    objects=
    for file in secchan rsa_mini bignum; do
        $2 $sections -DSC_NO_OS -I"$root" -c -o "size-$file.o" \
            "$root/$file.c" > log 2>&1 || die "$1: $file.c is not built"
        objects="$objects size-$file.o"
    done
    weigh "$1-all" "$3" $objects
    $2 $sections $alone -DSC_NO_OS -I"$root" -o size-client client-secchan.c \
        $objects > log 2>&1 || die "$1: the client is not linked"
    weigh "$1-client" "$3" size-client
    $2 $sections $alone -DSC_NO_OS -DSIZE_KEYGEN -I"$root" -o size-client \
        client-secchan.c $objects > log 2>&1 \
        || die "$1: the client with keys is not linked"
    weigh "$1-keygen" "$3" size-client
}

say "size"
weigh_secchan x86-Os "$CC -Os" size
weigh_secchan x86-Os-nosimd "$CC -Os -DSC_NO_SIMD" size
weigh_secchan x86-O2 "$CC -O2" size
weigh_secchan m4-Os "$m4 -Os" arm-none-eabi-size
$CC -Os $sections $alone -o size-client client-bearssl.c -lbearssl \
    > log 2>&1 || die "BearSSL's client is not linked"
weigh bearssl-client size size-client
$CC -Os $sections $alone -o size-client client-mbedtls.c -lmbedtls \
    -lmbedx509 -lmbedcrypto > log 2>&1 || die "Mbed TLS's is not linked"
weigh mbedtls-client size size-client

# ---- 9. goals ---------------------------------------------------------------

# work; id of bench.c; build; beside; "time" (at most) or "speed" (at least) and
# the goal.  "the best": of all others.  Speed is their time over ours.
cat > goals <<'END'
RSA-2048 private;private-2048;fast;OpenSSL;time;0.75
RSA-2048 private, portable;private-2048;portable;OpenSSL;time;1.5
RSA-3072 private;private-3072;fast;OpenSSL;time;0.80
RSA-4096 private;private-4096;fast;OpenSSL;time;0.80
RSA-2048 public;public-2048;fast;OpenSSL;time;0.75
RSA-2048 key generation;keygen-2048;fast;OpenSSL;time;0.20
RSA-2048 key generation;keygen-2048;fast;the best;time;0.333
AEAD seal, 16 KiB;seal-16k;fast;OpenSSL;speed;1.10
AEAD open, 16 KiB;open-16k;fast;OpenSSL;speed;1.10
AEAD seal, 16 KiB;seal-16k;fast;libsodium;speed;1.50
AEAD open, 16 KiB;open-16k;fast;libsodium;speed;1.50
AEAD seal, 16 KiB, no intrinsics;seal-16k;fast;libsodium;speed;1.00
AEAD open, 16 KiB, no intrinsics;open-16k;fast;libsodium;speed;1.00
AEAD seal, 64 B;seal-64;fast;the best;speed;1.00
AEAD open, 64 B;open-64;fast;the best;speed;1.00
AEAD seal, 1 KiB;seal-1k;fast;the best;speed;1.00
AEAD open, 1 KiB;open-1k;fast;the best;speed;1.00
SHA-256, 16 KiB;sha256-16k;fast;libsodium;speed;1.00
END

goal_table() {
    awk -F '[\t;]' '
    function shown(peer,    s) {
        s = speed[$3, peer, $2, $4]
        if (s == 0) {
            print "no measurement of " $2 " beside " $4 > "/dev/stderr"
            exit 1
        }
        if ($5 == "time")
            return sprintf("%.2f | %s", 1 / s,
                           1 / s <= $6 ? "met" : "**not met**")
        return sprintf("%.2f | %s", s, s >= $6 ? "met" : "**not met**")
    }
    FILENAME == "side-by-side" {
        if ($4 == "secchan")
            next
        speed[$1, $2, $3, $4] = $6
        best = speed[$1, $2, $3, "the best"]
        if (best == 0 || $6 < best)
            speed[$1, $2, $3, "the best"] = $6
        next
    }
    {
        print "| " $1 " | " $4 " | " $5 ($5 == "time" ? " at most " : \
              " at least ") $6 " | " shown("as-is") " | " \
              shown("no-avx512") " |"
    }' side-by-side goals
}

# ---- 10. the pictures -------------------------------------------------------

# bars: height, log2 of the ratio, label; groups: height, name.
draw_speed() {
    rm -f bars groups
    awk -F '\t' '
    function bar(label, ratio) {
        y--
        print y "\t" log(ratio) / log(2) "\t" label "  " \
            sprintf("%.2f", ratio) > "bars"
    }
    function group(id, words,    i, top, r) {
        top = y - 1
        for (i = 1; i <= n_names; i++) {
            r = ratio["fast", "as-is", id, name[i]]
            if (r > 0)
                bar(name[i], r)
            if (name[i] == "OpenSSL")
                bar("OpenSSL, no AVX-512", \
                    ratio["fast", "no-avx512", id, name[i]])
        }
        if (ns["portable", id] > 0)
            bar("secchan, portable", ns["portable", id] / ns["fast", id])
        print (top + y) / 2 "\t" words > "groups"
        y--
    }
    $4 == "secchan" && $2 == "as-is" { ns[$1, $3] = $5 }
    $4 != "secchan" { ratio[$1, $2, $3, $4] = $6 }
    END {
        n_names = split("OpenSSL;libsodium;BearSSL;Mbed TLS;wolfSSL", name, ";")
        group("private-2048", "RSA-2048 private")
        group("private-3072", "RSA-3072 private")
        group("private-4096", "RSA-4096 private")
        group("public-2048", "RSA-2048 public")
        group("keygen-2048", "RSA-2048 key, mean")
        group("seal-64", "AEAD seal, 64 B")
        group("seal-1k", "AEAD seal, 1 KiB")
        group("seal-16k", "AEAD seal, 16 KiB")
        group("open-16k", "AEAD open, 16 KiB")
        group("sha256-16k", "SHA-256, 16 KiB")
        print y
    }' side-by-side > lowest
    gnuplot > log 2>&1 <<END || die "gnuplot fails"
set terminal svg size 860,1180 background "white" font "sans-serif,12"
set output "speed.svg"
set title "Time of others, in units of secchan's time (log axis; one process)"
set datafile separator tab
set xlabel "< they are faster     1 = secchan     they are slower >"
set xrange [-5:6]
set yrange [$(cat lowest):1]
set xtics ("1/16" -4, "1/8" -3, "1/4" -2, "1/2" -1, "1" 0, "2" 1, "4" 2, \
    "8" 3, "16" 4)
set grid xtics lc "#bbbbbb"
set style fill solid 0.45 border lc "black"
unset key
set arrow from 0, graph 0 to 0, graph 1 nohead lc "black" lw 2 front
plot "bars" using (\$2/2):1:(\$2 < 0 ? \$2 : 0):(\$2 < 0 ? 0 : \$2): \
    (\$1-0.4):(\$1+0.4) with boxxyerror lc "#555555", \
    "bars" using (\$2 < 0 ? 0.08 : \$2+0.08):1:3 with labels left font ",10", \
    "groups" using (0):1:ytic(2) with dots lc "white"
END
}

draw_growth() {
    for what in message private public echo-16 echo-16k; do
        awk -F '\t' -v what=$what '$1 == what { print $2, $3 / 1000 }' \
            growth > "growth.$what"
    done
    gnuplot > log 2>&1 <<'END' || die "gnuplot fails"
set terminal svg size 860,1100 background "white" font "sans-serif,12"
set output "growth.svg"
set multiplot layout 3,1
set logscale xy
set grid lc "#bbbbbb"
set key left top
set ylabel "microseconds"
set title "A message, sealed and opened: time against its size"
set xlabel "bytes"
set format x "2^{%L}"
set logscale x 2
set format y "10^{%T}"
slope = system("tail -n 1 growth.message | awk '{ print $2 / $1 }'") + 0
plot "growth.message" with linespoints lc "black" pt 7 ps 0.6 \
    title "measured", \
    slope * x with lines lc "black" dt 2 title "in proportion to the size"
set title "RSA: time against the size of the key"
set xlabel "bits of the modulus"
set format x "%g"
set xrange [2000:4200]
set xtics (2048, 2560, 3072, 3584, 4096)
first = system("head -n 1 growth.private | awk '{ print $2 }'") + 0
once = system("head -n 1 growth.public | awk '{ print $2 }'") + 0
plot "growth.private" with linespoints lc "black" pt 7 ps 0.6 \
    title "private operation", \
    first * (x / 2048) ** 3 with lines lc "black" dt 2 title "cube", \
    "growth.public" with linespoints lc "black" pt 4 ps 0.6 \
    title "public operation", \
    once * (x / 2048) ** 2 with lines lc "black" dt 3 title "square"
set title "demo_server: a message and its echo, all other clients idle" \
    noenhanced
set xlabel "clients connected"
set xrange [*:*]
set logscale x 10
set xtics auto
set key right bottom
plot "growth.echo-16" with linespoints lc "black" pt 7 ps 0.6 \
    title "16 bytes", \
    "growth.echo-16k" with linespoints lc "black" pt 4 ps 0.6 dt 2 \
    title "16 KiB"
unset multiplot
END
}

draw_speed
draw_growth

# ---- 11. the page -----------------------------------------------------------

version_of() {
    dpkg-query -W -f '${Version}' "$1"
}

machine() {
    sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1
}

has_avx() {
    grep -o -w -E 'avx2|avx512f|avx512ifma|sha_ni|aes' /proc/cpuinfo \
        | sort -u | tr '\n' ' ' | sed 's/ $//'
}

# side_table BUILD: our time, and everyone's time in units of it.
side_table() {
    awk -F '\t' -v build="$1" '
    function cell(peer, id, name,    s) {
        s = speed[peer, id, name]
        return s > 0 ? sprintf(" | %.2f", s) : " | "
    }
    $1 == build && $4 == "secchan" && $3 !~ /channel|error/ {
        if (!($3 in ns))
            id[++n] = $3
        if ($2 == "as-is" || !($3 in ns))
            ns[$3] = $5
    }
    $1 == build { speed[$2, $3, $4] = $6 }
    END {
        print "| work | secchan, us | OpenSSL | no AVX-512 | libsodium " \
            "| BearSSL | Mbed TLS | wolfSSL |"
        print "| --- | --- | --- | --- | --- | --- | --- | --- |"
        for (i = 1; i <= n; i++)
            print "| " id[i] " | " sprintf("%.2f", ns[id[i]] / 1000) \
                cell("as-is", id[i], "OpenSSL") \
                cell("no-avx512", id[i], "OpenSSL") \
                cell("as-is", id[i], "libsodium") \
                cell("as-is", id[i], "BearSSL") \
                cell("as-is", id[i], "Mbed TLS") \
                cell("as-is", id[i], "wolfSSL") " |"
    }' side-by-side
}

keygen_errors() {
    awk -F '\t' '$1 == "fast" && $2 == "as-is" && $3 == "keygen-2048" {
        mean[$4] = $5 }
    $1 == "fast" && $2 == "as-is" && $3 == "keygen-2048-error" {
        printf "%s%s %.0f +- %.0f ms", comma, $4, mean[$4] / 1e6, $5 / 1e6
        comma = ", " }' side-by-side
}

# Ratios: of the server's processor time, to that of the same kind of handshake.
handshake_table() {
    awk -v ticks="$(getconf CLK_TCK)" '
    function row(id, words, base) {
        printf "| %s | %.0f | %.2f | %.0f | %.2f |\n", words, n[id] / s[id],
            1000 * cpu[id], 1 / cpu[id], cpu[id] / cpu[base]
    }
    { n[$1] = $2; s[$1] = $3; cpu[$1] = $4 / ticks / $2 }
    END {
        row("secchan", "secchan, anonymous", "secchan")
        row("tls12-as-is", "TLS 1.2, RSA key exchange", "secchan")
        row("tls12-no-avx512", "the same, no AVX-512", "secchan")
        row("tls13-as-is", "TLS 1.3, RSA certificate", "secchan")
        row("tls13-no-avx512", "the same, no AVX-512", "secchan")
        k = "secchan-key"
        row(k, "secchan, client key", k)
        row("tls12-key-as-is", "TLS 1.2, client certificate", k)
        row("tls12-key-no-avx512", "the same, no AVX-512", k)
        row("tls13-key-as-is", "TLS 1.3, client certificate", k)
        row("tls13-key-no-avx512", "the same, no AVX-512", k)
    }' handshakes
}

median_of() {
    awk -v id="$1" -v column="$2" '$1 == id { print $column }' files \
        | sort -n | sed -n 2p
}

file_table() {
    ours=$(median_of secchan 3)
    for way in "secchan demo_client to demo_server" "scp scp" \
        "tls s_client into s_server"; do
        echo "${way#* } $(median_of "${way%% *}" 2) \
            $(median_of "${way%% *}" 3)"
    done | awk -v ours="$ours" '{
        stored = $NF
        sent = $(NF - 1)
        words = $1
        for (i = 2; i < NF - 1; i++)
            words = words " " $i
        printf "| %s | %.2f | %.2f | %.2f |\n", words, sent, stored,
            stored / ours
    }'
    median_of scp 3 | awk -v ours="$ours" '{
        print "\nGoal: ahead of scp: " \
            (ours < $1 ? "met." : "**not met**.") }'
}

memory_list() {
    awk -F '\t' '$3 == "channel" && !done++ {
        print "- `sc_channel`: " $5 + 0 " bytes." }' side-by-side
    awk '{ n[NR] = $1; before[NR] = $2; after[NR] = $3 }
    END {
        print "- `demo_server`, nobody connected: " before[1] " KiB resident."
        print "- With 1 idle client: " after[1] " KiB, with " n[NR] ": " \
            after[NR] " KiB."
        if (NR > 1)
            printf "- Each more idle client: %.2f KiB.\n",
                (after[NR] - after[1]) / (n[NR] - n[1])
    }' memory
}

size_table() {
    awk '
    function row(id, words,    what, i, line) {
        line = "| " words
        split("all client keygen", what, " ")
        for (i = 1; i <= 3; i++)
            line = line " | " size[id "-" what[i]]
        print line " |"
    }
    { size[$1] = $2 " + " $3 }
    END {
        row("x86-Os", "secchan, x86-64, -Os")
        row("x86-Os-nosimd", "secchan, x86-64, -Os, SC_NO_SIMD")
        row("x86-O2", "secchan, x86-64, -O2")
        row("m4-Os", "secchan, Cortex-M4, -Os")
        row("bearssl", "BearSSL, x86-64, as Debian built it")
        row("mbedtls", "Mbed TLS, x86-64, as Debian built it")
    }' sizes
}

# How straight: the cost of a byte in messages of 16 KiB and more; the powers
# between the smallest and the largest key; the echo with few and many clients.
growth_list() {
    awk -F '\t' '
    $1 == "message" && $2 >= 16384 {
        each = $3 / $2
        if (least == 0 || each < least)
            least = each
        if (each > most)
            most = each
    }
    $1 == "private" || $1 == "public" || $1 ~ /^echo/ {
        if (!($1 in first)) {
            first[$1] = $3
            from[$1] = $2
        }
        last[$1] = $3
        to[$1] = $2
    }
    function power(what) {
        return log(last[what] / first[what]) / log(to[what] / from[what])
    }
    END {
        printf "- Messages from 16 KiB to 16 MiB, sealed and opened: %.2f ", \
            least
        printf "to %.2f ns a byte: straight within %.0f %%.\n", most,
            100 * (most / least - 1)
        printf "- Keys from 2048 to 4096 bits: the private operation grows "
        printf "with power %.2f of the size, the public one with power ", \
            power("private")
        printf "%.2f (schoolbook multiplication: 3 and 2).\n", power("public")
        printf "- Echo of 16 bytes: %.0f us with one client, %.0f us with ", \
            first["echo-16"] / 1000, last["echo-16"] / 1000
        printf "%d; poll() looks at every client each time.\n", to["echo-16"]
    }' growth
}

# table FUNCTION [ARGUMENT]: a part of the page, in table.FUNCTION.
table() {
    "$@" > "table.$1$2" || die "$1 $2: something was not measured"
    [ -s "table.$1$2" ] || die "$1 $2: nothing was measured"
}
for part in goal_table keygen_errors handshake_table file_table memory_list \
    size_table growth_list; do
    table $part
done
table side_table fast
table side_table portable

page() {
    cat <<END
# Speed, memory, size

Written by \`$command\`;
run it again to replace it.  All of it was measured in that run.

- Machine: $(machine), $(nproc) cores; of its instructions matter here:
  $(has_avx).
- $(. /etc/os-release && echo "$PRETTY_NAME"), Linux $(uname -r).
- Compiler: $($CC --version | head -n 1), \`$CFLAGS\`.
  Cortex-M4: $(arm-none-eabi-gcc --version | head -n 1).
- Peers, from Debian: OpenSSL $(version_of libssl-dev), libsodium
  $(version_of libsodium-dev), BearSSL $(version_of libbearssl-dev), Mbed TLS
  $(version_of libmbedtls-dev), wolfSSL $(version_of libwolfssl-dev), OpenSSH
  $(version_of openssh-client).

*Fast* is the library as \`cc -O2\` builds it, *portable* the same with
\`-DSC_NO_SIMD\`.  *No AVX-512*: OpenSSL with its AVX-512 code switched off
(\`OPENSSL_ia32cap=$no_avx512\`); that is measured too, since AVX-512 IFMA,
which its RSA-2048 and its AEAD use, is not in every processor.

## Goals

Time: ours over theirs, less is better.  Speed: their time over ours, more is
better.  "The best" is the fastest of all the others.

| work | beside | goal | as it is | | no AVX-512 | |
| --- | --- | --- | --- | --- | --- | --- |
$(cat table.goal_table)

![Times of others in units of ours](speed.svg)

## Side by side, in one process

Medians of $n_rounds rounds in which the libraries take turns; processor time;
results compared byte by byte before.  Our time in microseconds, then everyone's
in units of it: above 1 is slower than secchan.  Private operations of OpenSSL
and Mbed TLS are blinded and checked (m^e = c), as ours; wolfSSL's are blinded,
BearSSL's neither.  OpenSSL keeps one EVP context and sets a nonce for each
message.  Keys are means of $n_keys ($some_keys without AVX-512 and in the
portable build), with their standard errors:
$(cat table.keygen_errors).

### Fast

$(cat table.side_tablefast)

### Portable

$(cat table.side_tableportable)

"handshake" is both ends of secchan in one process, without a network.

## Handshakes with a server

Full handshakes over loopback, RSA-2048 everywhere, the server on a core of its
own, $n_loaders clients at once for $seconds seconds.  The rate is what the
clients counted; \`s_server\` serves one client after the other and waits for
each, so that the fair figure is the server's processor time for a handshake.
TCP is in it.  TLS 1.2: AES128-GCM-SHA256 (there is no ChaCha20 suite with RSA
key exchange); TLS 1.3: CHACHA20-POLY1305.

| server | per second | CPU ms each | per CPU second | CPU time, secchan = 1 |
| --- | --- | --- | --- | --- |
$(cat table.handshake_table)

RSA and X25519 operations of a handshake, by the protocols; first the three
columns of the server, then those of the client:

| | private | public | X25519 | private | public | X25519 | forward secrecy |
| --- | --- | --- | --- | --- | --- | --- | --- |
| secchan, anonymous | 2 | 0 | 0 | 0 | 2 | 0 | yes |
| secchan, client key | 2 | 1 | 0 | 1 | 2 | 0 | yes |
| TLS 1.2, RSA key exchange | 1 | 0 | 0 | 0 | 1 | 0 | no |
| TLS 1.2, client certificate | 1 | 1 | 0 | 1 | 1 | 0 | no |
| TLS 1.3, RSA certificate | 1 | 0 | 2 | 0 | 1 | 2 | yes |
| TLS 1.3, client certificate | 1 | 1 | 2 | 1 | 1 | 2 | yes |

Verifying certificates adds a public operation each.  secchan's second
private operation (the short-lived key) buys what TLS 1.3 buys with X25519; it
is why a secchan server does twice the RSA work of either.

## One file of $mib MiB over loopback

Random bytes, medians of three interleaved runs, ChaCha20-Poly1305 everywhere.
*Sent*: until the sending program ended (for TLS, until the receiver had ended,
too).  *Stored and hashed*: until the file was synced to the disk and both ends
knew its SHA-256.  The demos do all of that while they send, and the client ends
only when the server has answered with its hash; after the other two, \`sync\`
and two \`sha256sum\` (one for each end, at the same time) run and are counted.

| way | sent, s | stored and hashed, s | secchan = 1 |
| --- | --- | --- | --- |
$(cat table.file_table)

## Memory

$(cat table.memory_list)

## Size

Bytes of \`.text\` + \`.rodata\`.  *All*: the objects, nothing left out.
*Client*: linked with \`--gc-sections\` against a program of the client's calls
and nothing of the C library (bench/compare.sh has the programs); since
\`sc_input\` is both ends' work, the server's half of the handshake stays in.
*And keys*: the client also makes itself an RSA key.  All secchan rows with
\`SC_NO_OS\`.  BearSSL: TLS 1.2 with ECDHE-RSA-CHACHA20-POLY1305 alone, X25519,
the minimal X.509 check, 32-bit portable code.  Mbed TLS: the default client.
Both are archives that Debian built with -O2, from which unneeded members, but
not always unneeded functions, are left out; compare them with our -O2 row.

| build | all | client | client and keys |
| --- | --- | --- | --- |
$(cat table.size_table)

## Growth

$(cat table.growth_list)

![Time against message size, key size, clients](growth.svg)
END
}

page > speed.md || die "the page is not written"
cd "$root" || exit 1
cp "$scratch/speed.md" "$scratch/speed.svg" "$scratch/growth.svg" "$folder" \
    || die "the results are not copied to $folder"
say "written: $folder/speed.md, speed.svg, growth.svg"
