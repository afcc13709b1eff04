#!/bin/sh
# ct.sh: does time depend on a secret?  Runs the table in ct.c under valgrind,
# on builds by gcc and clang, in two ways:
#     marked    the library is compiled with ct.h: SC_SECRET and SC_PUBLIC are
#               marks.  Nothing may be reported.
#     shipped   the library is compiled as everybody gets it, and only ct.c
#               marks secrets.  What is reported must be a VERDICT, and in the
#               place where the table expects it.
# Before that, leaks are put into copies of the library, and must be seen; and
# last, since valgrind takes a division for harmless, each division instruction
# of the library is looked up in its source.
# Usage:   sh tests/ct.sh             a sample
#          SC_FULL=1 sh tests/ct.sh   every compiler, level and build
#          SC_SEED=... chooses the keys and what is enciphered
# Needs:   x86-64 for the divisions; openssl and ssh-keygen for key files in
#          their formats
# Debian: gcc clang valgrind binutils openssl openssh-client

cd "$(dirname "$0")/.." || exit 1
name=ct.sh
. tests/lib.sh

began=$(date +%s)
seed=${SC_SEED:-$(od -An -N6 -t x1 /dev/urandom | tr -d ' \n')}
echo "SC_SEED=$seed"
umask 077
debug="-g -gdwarf-4"                    # valgrind 3.19 cannot read clang's 5
source=$PWD

row_of_evidence() {                     # WHAT RESULT FIGURES
    echo "evidence: $1 | $2 | $3"
}

if ! has valgrind; then
    skipped "constant time: valgrind is not there, install valgrind"
    row_of_evidence "constant time under valgrind" skipped "no valgrind"
    echo "$name: 0 passed, 0 failed"
    exit 0
fi

compilers=
for cc in gcc clang; do
    if has $cc; then
        compilers="$compilers $cc"
    else
        skipped "$cc: not there, install $cc"
    fi
done

version() {                             # gcc -> gcc 12.2.0
    echo "$1 $($1 --version | sed -n '1s/.* \([0-9][0-9.]*[0-9]\).*/\1/p')"
}

# ---- 1. building and running ------------------------------------------------

flags_of() {                            # BUILD
    case $1 in
    plain) ;;
    portable) echo -DSC_NO_SIMD ;;
    word32) echo -DSC_WORD32 ;;
    one-file) echo "-std=gnu99 -DSC_NO_SIMD" ;;
    v3) echo -march=x86-64-v3 ;;
    esac
}

describe() {                            # BUILD
    case $1 in
    plain) echo "$plain_path" ;;
    portable) echo "portable (SC_NO_SIMD)" ;;
    word32) echo "32-bit limbs (SC_WORD32)" ;;
    one-file) echo "portable, three files as one" ;;
    v3) echo "$plain_path, all for x86-64-v3" ;;
    esac
}

# build FOLDER HOW CC LEVEL BUILD [SOURCES]: $scratch/FOLDER/ct.
build() {
    folder=$scratch/$1
    how=$2
    cc=$3
    level=$4
    flags="-w $(flags_of "$5")"
    from=${6:-$source}
    marks=
    [ "$how" = shipped ] || marks="-include $source/tests/ct.h"
    files="secchan.c rsa_mini.c bignum.c"
    rm -rf "$folder"
    mkdir "$folder" || return
    if [ "$5" = one-file ]; then
        for file in $files; do
            echo "#include \"$from/$file\""
        done > "$folder/library.c"
        $cc $flags $level $debug $marks -I"$source" -c \
            -o "$folder/library.o" "$folder/library.c" || return
    else
        for file in $files; do
            $cc $flags $level $debug $marks -I"$source" -c \
                -o "$folder/${file%.c}.o" "$from/$file" || return
        done
    fi
    $cc $flags -O1 $debug -include "$source/tests/ct.h" -I"$source" \
        -o "$folder/ct" "$source/tests/ct.c" "$folder"/*.o
}

# run FOLDER HOW [ROW]: the rows to FOLDER/table, the reports to FOLDER/log.
run() {
    valgrind -q --error-limit=no --log-file="$scratch/$1/log" \
        "$scratch/$1/ct" run "$scratch/keys" "$seed" "$2" "${3:-}" \
        > "$scratch/$1/table"
}

# places TABLE LOG HOW: row and function (tab between) of each report that lies
# elsewhere than the table says.  The innermost function in the library's files
# counts.  With marks there is no right place.
places() {
    awk '
        FNR == NR {
            n = split($0, column, "\t")
            if (n == 6) {
                verdict[column[2]] = column[4]
                places[column[2]] = " " column[6] " "
            }
            next
        }
        / row / { row = $0; sub(/.* row /, "", row) }
        /(Conditional jump|Use of uninit|Invalid|Syscall param)/ {
            where = "outside the library"
            is_open = 1
        }
        is_open && where ~ /^outside/ \
            && /(secchan|rsa_mini|bignum|library)\.c:[0-9]/ {
            where = $4
            sub(/\..*/, "", where)
        }
        is_open && /^==[0-9]+== *$/ {
            is_open = 0
            if (verdict[row] != "LEAK" && verdict[row] != "BARE" \
                && (how == "marked" \
                    || index(places[row], " " where " ") == 0))
                print row "\t" where
        }' how="$3" "$1" "$2"
}

# judge FOLDER HOW: rows all run and as expected, and reports where they may be.
judge() {
    folder=$scratch/$1
    grep -q '^done' "$folder/table" || {
        tail -n 3 "$folder/table"
        tail -n 5 "$folder/log"
        return 1
    }
    grep -E '^(FAILED|wrong)' "$folder/table" && return 1
    places "$folder/table" "$folder/log" "$2" | sort | uniq -c \
        > "$folder/elsewhere"
    [ ! -s "$folder/elsewhere" ] && return
    cat "$folder/elsewhere"
    return 1
}

# takes_path FOLDER BUILD: the code that was meant is the one that ran.
takes_path() {
    path=$(sed -n 's/^path	//p' "$scratch/$1/table")
    case $2 in
    plain | v3) [ "$path" = "$plain_path" ] ;;
    *) [ "$path" = portable ] ;;
    esac && return
    echo "the path is $path"
    return 1
}

one_way() {                             # HOW AMOUNT CC LEVEL BUILD
    build here "$1" "$3" "$4" "$5" || return
    run here "$1-$2"                    # judge knows how it went
    judge here "$1" && takes_path here "$5" || return
    n_runs=$((n_runs + 1))
}
n_runs=0

# ---- 2. keys, and which path there is ---------------------------------------

prepare() {
    mkdir "$scratch/keys" && build plain shipped "${CC:-cc}" -O2 plain \
        && "$scratch/plain/ct" keys "$scratch/keys" "$seed" || return
    plain_path=$("$scratch/plain/ct" path)
    valgrind -q "$scratch/plain/ct" path > "$scratch/path"
    [ "$plain_path" = "$(cat "$scratch/path")" ] || {
        echo "this processor: $plain_path; valgrind: $(cat "$scratch/path")"
        return 1
    }
}
check "keys are made; valgrind takes the same path as the processor" prepare
[ "$n_failed" -eq 0 ] || finish
echo "the build without options runs: $plain_path"

if has openssl && has ssh-keygen; then
    for bits in 2048 2056 3072 4096; do
        key=$scratch/keys/$bits
        openssl pkcs8 -topk8 -nocrypt -in "$key.pem" -out "$key.p8"
        cp "$key.pem" "$key.own"
        ssh-keygen -q -p -P '' -N '' -f "$key.own" > "$scratch/log" 2>&1
    done
    forms="PKCS#1, PKCS#8, OpenSSH"
else
    skipped "PKCS#8 and OpenSSH keys: install openssl and openssh-client"
    forms="PKCS#1"
fi

# ---- 3. leaks that must be seen ---------------------------------------------

# made CLAIM FILE SED: a copy of the library with one change in it.
made() {
    rm -rf "$scratch/changed" && mkdir "$scratch/changed" \
        && cp secchan.h secchan.c rsa_mini.c bignum.c "$scratch/changed" \
        && sed "$3" "$2" > "$scratch/changed/$2" || return
    ! cmp -s "$2" "$scratch/changed/$2" && return
    failed "$1: the change no longer fits $2"
    return 1
}

# leak CLAIM BUILD ROW FILE SED: it is seen, in that row.
leak() {
    made "$1" "$4" "$5" || return
    if build here marked "${compilers##* }" -O2 "$2" "$scratch/changed" \
        > "$scratch/check.log" 2>&1; then
        run here marked-few "$3"
        reports=$(awk -F '\t' '$1 == "FAILED" { n += $5 } END { print n + 0 }' \
            "$scratch/here/table")
        seen=$(places "$scratch/here/table" "$scratch/here/log" marked \
            | cut -f 2 | sort -u | tr '\n' ' ' | sed 's/ $//')
        if [ "$reports" -gt 0 ] && [ -n "$seen" ]; then
            ok "$1: seen in $seen"
            row_of_evidence "put in on purpose: $1" passed \
                "seen, in $seen"
            return
        fi
        cp "$scratch/here/table" "$scratch/check.log"
    fi
    failed "$1: not seen" "$scratch/check.log"
    row_of_evidence "put in on purpose: $1" FAILED "not seen"
}

in_function() {                         # LINE OF ITS HEAD, COMMAND OF SED
    echo "/^$1/,/^}/ $2"
}

leak "OAEP looks at lHash only if the first byte is 0" portable \
    sc_oaep_decrypt rsa_mini.c \
    's/\*ok &= sc_mask_is_zero(em\[0\]) &/if (em[0] == 0) *ok \&=/'
leak "M3's second block is not opened if the first is bad" portable \
    "M3 at the server, blocks" secchan.c \
    's/e2 = open_secret(/e2 = !ok1 ? 0 : open_secret(/'
leak "a tag is compared up to the first difference" portable \
    sc_bytes_equal bignum.c \
    "$(in_function 'sc_word sc_bytes_equal' \
        's/difference |= .*/if (x[i] != y[i]) return 0;/')"
leak "the table of powers is read up to the wanted row" portable \
    "sc_mont_pow" bignum.c \
    "$(in_function 'static void table_read' 's/row < 16/row <= index/')"
leak "m is subtracted only where it must be" portable \
    sc_bn_sub_mod bignum.c \
    "$(in_function 'void sc_bn_sub_mod' \
        's/(void)sc_bn_add(again/if (borrow) &/')"
if [ "$plain_path" = AVX2 ]; then
    leak "AVX2: the table of powers is read up to the wanted rows" plain \
        "sc_mont_pow_pair" bignum.c \
        "$(in_function 'AVX2 static void vec_table_read' \
            's/row < 16; row++, at/row <= (p | q); row++, at/')"
    leak "AVX2: a branch on the key in the cipher" plain \
        sc_aead secchan.c \
        "$(in_function 'static void chacha20_by_8' \
            's/size_t due = 0;/size_t due = state[4] \& 1;/')"
else
    skipped "AVX2: this processor has none, or the compiler cannot use it"
fi

# Without the value barrier, a compiler may make branches of masks.  That it
# does is no failure; it shows what the barrier is for.
figures=
made "no value barrier" secchan.h \
    '/^static inline sc_word sc_barrier/,/^}/ { /__asm__/d; }' \
    && for cc in $compilers; do
        build here marked $cc -O2 portable "$scratch/changed" \
            > "$scratch/check.log" 2>&1 || continue
        run here marked-few sc_m
        n=$(awk -F '\t' '{ n += $5 } END { print n + 0 }' \
            "$scratch/here/table")
        figures="$figures; $(version $cc) -O2: $n reports"
    done
echo "without the value barrier, in powers alone: ${figures#; }"
row_of_evidence "the value barrier taken out (to see what it is for)" measured \
    "in powers alone: ${figures#; }"

# ---- 4. the table -----------------------------------------------------------

# try AMOUNT CC BUILD LEVEL...: both ways at each level.
try() {
    amount=$1
    cc=$2
    build=$3
    shift 3
    has $cc || return
    before=$n_failed
    reports=0
    for level in "$@"; do
        what="$cc $level, $(describe "$build")"
        check "$what, marked" one_way marked "$amount" $cc $level "$build"
        rows=$(grep -c '^ok' "$scratch/here/table")
        check "$what, shipped" one_way shipped few $cc $level "$build"
        reports=$((reports + $(awk -F '\t' '$4 == "VERDICT" { n += $5 }
                                            END { print n + 0 }' \
            "$scratch/here/table")))
    done
    result=passed
    [ "$n_failed" -eq "$before" ] || result=FAILED
    row_of_evidence "$(version $cc) $*, $(describe "$build")" $result \
        "$rows rows; as shipped $reports reports, all at verdicts"
}

if [ -n "${SC_FULL:-}" ]; then
    try all gcc portable -O2
    for cc in $compilers; do
        try few $cc plain -O1 -O2 -O3 -Os
        try most $cc portable -O1 -O2 -O3 -Os
        try few $cc word32 -O1 -O2 -O3 -Os
        try few $cc one-file -O1 -O2 -O3 -Os
        [ "$plain_path" != AVX2 ] || try few $cc v3 -O2 -O3
    done
else
    try few gcc plain -O2
    try few clang plain -O2
    try most gcc portable -O3
    try few clang portable -Os
    try few clang word32 -O1
fi
row_of_evidence "put in on purpose: branch, index, early exit, in ct.c" \
    "$([ $n_runs -gt 0 ] && echo passed || echo FAILED)" \
    "seen in each of $n_runs runs; a division is not, hence the last rows"
row_of_evidence "key files read" measured "$forms"

# ---- 5. divisions -----------------------------------------------------------

# Where the library divides, by nothing that is secret: function, tab, and what
# the line of source holds.
cat > "$scratch/divisions" <<'END'
prime_divides	((uint64_t)1 << 32) / r
sc_key_write_pem	(der_len + 47) / 48
sc_public_write_line	(blob_len + 2) / 3
sc_base64_write	(len + 2) / 3
sc_randomart	10
sc_modulus_init	e / bit
digit_modulus_init	/ bits
power_one	mod->shift
vec_modulus_shape	/ (parts * w)
vec_set_bit	mod->
vec_pow_pair	(by vec_set_bit, which was put into it)
vec_pow_65537	(the same)
bn_two_to_vartime	/ (high + 1)
sc_dial	/ n_left
sc_now_ms	/ 1000000
END

# divisions OBJECT: function and file:line of each division instruction, and of
# each call of the compiler's functions for it; the innermost place.
divisions() {
    objdump -dr --no-show-raw-insn "$1" | awk '
        /[ \t](i?div|v?div[sp][sd]|v?sqrt)[a-z]*[ \t]/ { print "0x" $1 }
        /__u?(div|mod|divmod)[a-z]*[0-9]/ { print "0x" $1 }' | tr -d : \
        | addr2line -a -i -f -s -e "$1" \
        | awk '/^0x/ { getline name; getline; sub(/\..*/, "", name)
                       print name, $1 }'
}

# divisions_fit LEVEL [SOURCES]: of what was built into $scratch/here.  Only at
# -O0 do the lines mean much; at other levels the function has to do.
divisions_fit() {
    for object in "$scratch"/here/*.o; do
        divisions "$object"
    done > "$scratch/found"
    n_divisions=$(wc -l < "$scratch/found")
    n_strange=0
    while read -r function place; do
        line=$(sed -n "${place#*:}p" "${2:-$source}/${place%%:*}")
        [ "$1" = -O0 ] || line=
        awk -F '\t' '$1 == f && (l == "" || index(l, $2)) { ok = 1 }
                     END { exit !ok }' f="$function" l="$line" \
            "$scratch/divisions" && continue
        n_strange=$((n_strange + 1))
        echo "$function, $place: $line"
    done < "$scratch/found"
    [ "$n_strange" -eq 0 ] && [ "$n_divisions" -gt 0 ]
}

check_divisions() {                     # CC LEVEL BUILD
    n_divisions=no
    what="$1 $2, $(describe "$3"): divisions"
    check "$what: it is built" build here shipped "$@"
    check "$what are where nothing is secret" divisions_fit "$2"
    found="$found; $1 $2: $n_divisions"
}

# A division put in where primes are looked for must be found.
divide_by_secret() {
    n_strange=0
    made "a division by a secret" rsa_mini.c \
        "$(in_function 'static sc_word prime_divides' \
            's/rest = v - .*/rest = v % r;/')" \
        && build here shipped gcc -O0 plain "$scratch/changed" || return
    divisions_fit -O0 "$scratch/changed" > "$scratch/strange"
    cat "$scratch/strange"
    [ "$n_strange" -eq 1 ] && grep -q 'v % r' "$scratch/strange"
}

if [ "$(uname -m)" = x86_64 ] && has objdump && has addr2line && has gcc; then
    before=$n_failed
    check "trial division by dividing, put in on purpose: found" \
        divide_by_secret
    [ "$n_failed" -gt "$before" ] || row_of_evidence \
        "put in on purpose: trial division by dividing" passed \
        "not seen by valgrind; found among the instructions"
    found=
    check_divisions gcc -O0 plain
    for cc in $compilers; do
        for level in ${SC_FULL:+-O1 -O3} -O2 -Os; do
            check_divisions $cc $level plain
        done
        check_divisions $cc -O2 word32
    done
    result=passed
    [ "$n_failed" -eq "$before" ] || result=FAILED
    row_of_evidence "division instructions, by compiler and level" $result \
        "each of public numbers$found"
else
    skipped "divisions: not x86-64, or install gcc and binutils"
    row_of_evidence "division instructions" skipped "not x86-64, or no objdump"
fi

echo "$(($(date +%s) - began)) seconds"
finish
