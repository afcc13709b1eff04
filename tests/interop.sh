#!/bin/sh
# interop.sh: the library beside openssl and ssh-keygen: each reads what the
# others write (key files, public lines, fingerprints, pictures, OAEP), and
# keys that are not for secchan are refused with the right words.
# Usage:   sh tests/interop.sh        from the repository's root
# Needs:   a C compiler (CC, CFLAGS), openssl 3, ssh-keygen
# Sizes:   2048 is the smallest key, 4096 the largest; 2056 has primes of an odd
#          number of bytes, and numbers that begin inside a machine word.

name=interop.sh
. tests/lib.sh

sizes="2048 2056 3072 4096"

has openssl && has ssh-keygen || {
    echo "$name: openssl or ssh-keygen is not there" >&2
    exit 1
}

# ---- 1. building ------------------------------------------------------------

build() {
    build_library || return
    for program in tests/oaep demo_client demo_server; do
        $CC $CFLAGS -I. -o "$scratch/$(basename $program)" $program.c \
            $objects || return
    done
}
check "the library, its demos and tests/oaep.c are built" build
[ "$n_failed" -eq 0 ] || finish
cd "$scratch" || exit 1

# ---- 2. key files -----------------------------------------------------------

# The numbers of a key but for d, which has no single value: some take it mod
# (p - 1) (q - 1), some mod half of that.  openssl rsa -check says if d will do.
numbers() {
    openssl rsa -noout -text -in "$1" | awk '/^[a-z]/ { is_d = /^privateEx/ }
                                             !is_d'
}

accepted() {
    openssl rsa -check -noout -in "$1" > log 2>&1 && grep -q 'key ok' log \
        || { cat log; return 1; }
}

same_numbers() {
    ./oaep pem "$1" > ours.pem && accepted ours.pem || return
    numbers ours.pem > ours
    numbers "$2" > theirs
    [ "$(grep -c '^[a-z]' ours)" -eq 7 ] && cmp ours theirs
}

# show's lines: 1 the public line, 2 the fingerprint, 3 to 13 the picture.
same_names() {
    ./oaep show "$1" > ours || return
    ssh-keygen -y -f "$1" > theirs.pub || return
    [ "$(cut -d ' ' -f 1,2 theirs.pub)" = "$(cut -d ' ' -f 1,2 ours | sed 1q)" \
        ] || { echo "another public line"; return 1; }
    ssh-keygen -lvf theirs.pub > theirs || return
    [ "$(sed 1q theirs | cut -d ' ' -f 2)" = "$(sed -n 2p ours)" ] \
        || { echo "another fingerprint"; return 1; }
    sed 1d theirs > theirs.picture
    sed 1,2d ours > ours.picture
    [ "$(wc -l < ours.picture)" -eq 11 ] && cmp theirs.picture ours.picture
}

# A public line read by us, and by us written again.
same_line() {
    ./oaep show "$1" > again && ./oaep show "$2" > once && cmp once again
}

by_openssl() {
    openssl genpkey -quiet -algorithm RSA -pkeyopt "rsa_keygen_bits:$1" \
        -out "openssl$1.p8" 2> log || cat log
    openssl rsa -traditional -in "openssl$1.p8" -out "openssl$1.p1"
    chmod 600 "openssl$1".*
}

# The same key three times: OpenSSH's own form, PKCS#1, PKCS#8.
by_ssh_keygen() {
    ssh-keygen -q -t rsa -b "$1" -N '' -C '' -f "ssh$1.own"
    for form in PEM.p1 PKCS8.p8; do
        file=ssh$1.${form#*.}
        cp "ssh$1.own" "$file"
        ssh-keygen -q -p -P '' -N '' -m "${form%.*}" -f "$file"
    done
}

for bits in $sizes; do
    by_openssl "$bits" > log 2>&1
    by_ssh_keygen "$bits" > log 2>&1
    for key in "openssl$bits.p1" "openssl$bits.p8" "ssh$bits.own" \
        "ssh$bits.p1" "ssh$bits.p8"; do
        check "$key is read, and written again with the same numbers" \
            same_numbers "$key" "${key%.*}.p1"
    done
    for key in "openssl$bits.p8" "ssh$bits.own"; do
        check "$key: same line, fingerprint, picture" same_names "$key"
    done
    check "ssh$bits.own.pub is read" same_line "ssh$bits.own.pub" \
        "ssh$bits.own"
done

# The forms are what they are called.
forms() {
    grep -q 'BEGIN RSA PRIVATE KEY' openssl2048.p1 ssh2048.p1 \
        && grep -q 'BEGIN PRIVATE KEY' openssl2048.p8 ssh2048.p8 \
        && grep -q 'BEGIN OPENSSH PRIVATE KEY' ssh2048.own
}
check "the keys above came in three different forms" forms

# PKCS#1 is DER: there is one way to write these numbers, d among them.
same_file() {
    accepted "$1" && openssl rsa -traditional -in "$1" -out theirs.pem \
        && cmp "$1" theirs.pem
}

for bits in $sizes; do
    (umask 077 && ./oaep make "$bits" > "ours$bits") 2> log
    check "our $bits-bit key: openssl accepts it, and writes the same" \
        same_file "ours$bits"
    check "our $bits-bit key: same line, fingerprint, picture" \
        same_names "ours$bits"
done

# What a demo prints of its new key is what ssh-keygen says of both files.
printed() {
    "./$1" --make-key "$1.key" > said || return
    same_names "$1.key" || return
    [ "$(cut -d ' ' -f 1,2 theirs.pub)" = "$(cut -d ' ' -f 1,2 "$1.key.pub")" \
        ] || { echo "another public line"; return 1; }
    ssh-keygen -lf "$1.key.pub" > theirs || return
    grep -qF "$(cut -d ' ' -f 2 theirs)" said || return
    grep '^[+|]' said | cmp - theirs.picture
}
for demo in demo_server demo_client; do
    check "$demo --make-key: fingerprint and picture are ssh-keygen's" \
        printed "$demo"
    check "$demo --make-key: openssl accepts it, and writes the same" \
        same_file "$demo.key"
done

# ---- 3. keys that are refused -----------------------------------------------

# refuses FILE WORDS
refuses() {
    ./oaep show "$1" > said 2> log && { echo "it was taken"; return 1; }
    [ ! -s said ] && grep "^oaep: $1: .*$2" log && return
    cat log
    return 1
}

# made COMMAND...: in silence, but for failures.
made() {
    "$@" > log 2>&1 || { failed "cannot make a key: $*" log; return 1; }
}

encrypted="the key has a passphrase"
made openssl rsa -traditional -aes128 -passout pass:word -in openssl2048.p8 \
    -out locked.p1 && check "PKCS#1, encrypted: refused by name" \
    refuses locked.p1 "$encrypted"
made openssl pkcs8 -topk8 -passout pass:word -in openssl2048.p8 \
    -out locked.p8 && check "PKCS#8, encrypted: refused by name" \
    refuses locked.p8 "$encrypted"
made cp ssh2048.own locked.own \
    && made ssh-keygen -q -p -P '' -N 'pass word' -f locked.own \
    && check "OpenSSH, encrypted: refused by name" \
        refuses locked.own "$encrypted"

made openssl genpkey -algorithm ED25519 -out ed.p8 \
    && check "Ed25519, PKCS#8: not RSA" refuses ed.p8 "not an RSA key"
made openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
    -out ec.p8 && check "EC, PKCS#8: not RSA" refuses ec.p8 "not an RSA key"
made openssl ec -in ec.p8 -no_public -out ec.pem \
    && check "EC, its own form: not RSA" refuses ec.pem "not an RSA key"
made openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 \
    -out pss.p8 && check "RSA-PSS, which is for signatures: refused" \
    refuses pss.p8 "not an RSA key"
for type in ed25519 ecdsa; do
    made ssh-keygen -q -t "$type" -N '' -f "$type.own" || continue
    check "$type, OpenSSH: not RSA" refuses "$type.own" "not an RSA key"
done

for bits in 1024 2052 4104; do
    made openssl genrsa -out "bits$bits" "$bits" \
        && check "RSA of $bits bits: refused" refuses "bits$bits" "2048 to 4096"
done
made openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
    -pkeyopt rsa_keygen_pubexp:3 -out e3.p8 \
    && check "RSA with exponent 3: refused" refuses e3.p8 "exponent 65537"
made openssl genrsa -traditional -primes 3 -out primes3 2048 \
    && check "RSA of three primes: refused" refuses primes3 "key file"
made openssl rsa -pubout -in openssl2048.p8 -out public.pem \
    && check "a public key as PEM: no private key" refuses public.pem "key file"

# ---- 4. OAEP ----------------------------------------------------------------

# openssl_oaep LABEL ARGUMENT...: LABEL is hex, perhaps "".
openssl_oaep() {
    label=$1
    shift
    openssl pkeyutl "$@" -pkeyopt rsa_padding_mode:oaep \
        -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256 \
        ${label:+-pkeyopt "rsa_oaep_label:$label"}
}

we_open() {
    openssl_oaep "$2" -encrypt -inkey "$1" -in message -out box \
        && ./oaep decrypt "$1" "$2" "$3" < box > opened && cmp message opened
}

they_open() {
    ./oaep encrypt "$1" "$2" < message > box \
        && openssl_oaep "$2" -decrypt -inkey "$1" -in box -out opened \
        && cmp message opened
}

# We know only the public line, and openssl what ssh-keygen made of it.
by_public_key() {
    ./oaep show "$1" | sed 1q > line || return
    ./oaep encrypt line "$2" < message > box \
        && openssl_oaep "$2" -decrypt -inkey "$1" -in box -out opened \
        && cmp message opened || return
    ssh-keygen -e -m PKCS8 -f line > line.pem || return
    openssl_oaep "$2" -encrypt -pubin -inkey line.pem -in message -out box \
        && ./oaep decrypt "$1" "$2" "$3" < box > opened && cmp message opened
}

# hex TEXT
hex() {
    printf '%s' "$1" | od -An -v -t x1 | tr -d ' \n'
}

label=$(hex "secchan/1 host key")
for bits in $sizes; do
    max=$((bits / 8 - 66))
    for len in 1 32 "$max"; do
        head -c "$len" /dev/urandom > message
        for key in "openssl$bits.p8" "ours$bits"; do
            check "OAEP, $key, $len bytes: theirs, opened by us" \
                we_open "$key" "$label" "$len"
            check "OAEP, $key, $len bytes: ours, opened by them" \
                they_open "$key" "$label"
        done
    done
    head -c 32 /dev/urandom > message
    check "OAEP, $bits bits, no label: theirs" we_open "ours$bits" "" 32
    check "OAEP, $bits bits, no label: ours" they_open "ours$bits" ""
    check "OAEP, $bits bits, both by the public key" \
        by_public_key "openssl$bits.p8" "$label" 32
done

# fails COMMAND...
fails() {
    ! "$@"
}

other=$(hex "secchan/1 client key")
we_open ours2048 "$label" 32 > log 2>&1
check "OAEP, another label: not opened by us" \
    fails ./oaep decrypt ours2048 "$other" 32 < box
check "OAEP, another length: not opened by us" \
    fails ./oaep decrypt ours2048 "$label" 31 < box
check "OAEP, the same once more: opened" \
    ./oaep decrypt ours2048 "$label" 32 < box
they_open ours2048 "$label" > log 2>&1
check "OAEP, another label: not opened by them" \
    fails openssl_oaep "$other" -decrypt -inkey ours2048 -in box -out opened

finish
