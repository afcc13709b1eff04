#!/bin/sh
# strict.sh: the sources compile without a warning, as C99 and as C++, with gcc
# and clang, in every configuration; and the library's objects keep what its
# header promises about names, memory and the operating system.  No line is
# longer than 80 columns.
# Usage:   sh tests/strict.sh         from the repository's root
# Needs:   gcc, g++, clang, clang++, nm, objdump

name=strict.sh
. tests/lib.sh

library="secchan.c rsa_mini.c bignum.c"
programs="demo_client.c demo_server.c test.c"
warnings="-pedantic -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow
    -Wundef -Wvla -Werror -O2"
c99="-std=c99 $warnings -Wmissing-prototypes"
posix="-D_POSIX_C_SOURCE=200809L"

# ---- 1. warnings ------------------------------------------------------------

# compile FOLDER COMMAND FILE...: the objects go to $scratch/FOLDER.
compile() {
    folder=$scratch/$1
    command=$2
    shift 2
    mkdir "$folder" || return 1
    result=0
    for file in "$@"; do
        object=$folder/$(basename "$file" .c).o
        $command -I. -c -o "$object" "$file" || result=1
    done
    return "$result"
}

# The header must need nothing before it, on either side of the fence.
echo '#include "secchan.h"' > "$scratch/public.c"
printf '%s\n' '#define SECCHAN_INTERNAL' '#include "secchan.h"' \
    > "$scratch/internal.c"
headers="$scratch/public.c $scratch/internal.c"

for cc in gcc clang; do
    check "$cc, C99 and POSIX" compile "$cc" "$cc $c99 $posix" \
        $library $programs tests/oaep.c $headers
    check "$cc, C99, no feature macro given" compile "$cc-plain" "$cc $c99" \
        $library $programs
    for macro in SC_WORD32 SC_NO_SIMD SC_DEBUG; do
        check "$cc, $macro" compile "$cc-$macro" "$cc $c99 $posix -D$macro" \
            $library $programs
    done
    check "$cc, SC_NO_OS, freestanding" compile "$cc-SC_NO_OS" \
        "$cc $c99 -DSC_NO_OS -ffreestanding" $library $headers
done
check "g++, C++" compile g++ "g++ -xc++ $warnings" $library $headers
check "clang++, C++" compile clang++ "clang++ -xc++ -Wno-deprecated $warnings" \
    $library $headers
check "gcc, programs of the checks" compile gcc-checks "gcc $c99 $posix" \
    bench/bench.c tests/faults.c tests/faults_calls.c tests/faults_key.c \
    tests/fuzz.c tests/hostile.c tests/known.c tests/soak.c tests/timing.c
check "cc, no standard named" compile cc "cc -O2 -Wall -Wextra -Werror" \
    $library $programs

short_lines() {
    ! awk 'length > 80 { print FILENAME ":" FNR }' *.[ch] bench/* tests/*.[ch] \
        tests/*.sh tests/*.py Makefile .ci/run | grep .
}
check "no line is longer than 80 columns" short_lines

# ---- 2. what the objects say ------------------------------------------------

library_objects() {
    echo "$scratch/$1/secchan.o $scratch/$1/rsa_mini.o $scratch/$1/bignum.o"
}

# names_fit FOLDER: every symbol that others can see begins with sc_.
names_fit() {
    nm -g --defined-only $(library_objects "$1") > "$scratch/symbols" || return
    awk 'NF == 3 { n++; if ($3 !~ /^_?sc_/) { print "named", $3; bad = 1 } }
         END { if (n == 0) print "no symbol at all"; exit bad || n == 0 }' \
        "$scratch/symbols"
}

# What the three objects want from elsewhere.  Names beginning with __ are the
# compiler's own helpers, and _GLOBAL_OFFSET_TABLE_ is made by the linker.
wanted() {
    nm -g $(library_objects "$1") > "$scratch/symbols" || return
    awk 'NF == 3 { is_there[$3] = 1 }
         NF == 2 && $1 == "U" { is_wanted[$2] = 1 }
         END { for (s in is_wanted)
                   if (!(s in is_there) && s !~ /^(__|_GLOBAL_OFFSET_TABLE_$)/)
                       print s }' "$scratch/symbols"
}

# only FOLDER WORD...: of all names, the library wants no others than these.
only() {
    wanted "$1" > "$scratch/wanted" || return
    shift
    [ -s "$scratch/wanted" ] || return
    printf '%s\n' "$@" > "$scratch/allowed"
    ! grep -vxFf "$scratch/allowed" "$scratch/wanted"
}

# none FOLDER WORD...: the library wants none of these names.
none() {
    wanted "$1" > "$scratch/wanted" || return
    shift
    [ -s "$scratch/wanted" ] || return
    printf '%s\n' "$@" > "$scratch/forbidden"
    ! grep -xFf "$scratch/forbidden" "$scratch/wanted"
}

# stateless FOLDER: no variable but in read-only sections (.data.rel.ro is one).
# wipe_memset is const, but volatile as well, which gcc does not call read-only.
stateless() {
    objdump -t $(library_objects "$1") > "$scratch/symbols" || return
    awk -F '[ \t]+' '$3 == "O" { n++ }
         $3 == "O" && $4 ~ /^\.t?(data|bss)/ && $4 !~ /^\.data\.rel\.ro/ \
             && $NF != "wipe_memset" { print $NF, "in", $4; bad = 1 }
         END { exit bad || n == 0 }' "$scratch/symbols"
}

for build in gcc clang gcc-SC_NO_OS clang-SC_NO_OS gcc-SC_WORD32; do
    check "$build: external symbols begin with sc_" names_fit "$build"
    check "$build: no variable that could be written to" stateless "$build"
done
for build in gcc clang; do
    check "$build: no memory is allocated" none "$build" \
        malloc calloc realloc strdup alloca free
    check "$build: SC_NO_OS wants sc_os_random and a few of string.h" \
        only "$build-SC_NO_OS" sc_os_random memcpy memset memmove memcmp \
        strlen strchr strcmp
done

# Macros: those of the two standard headers that secchan.h includes, and SC_.
macros_fit() {
    printf '%s\n' '#include <stddef.h>' '#include <stdint.h>' \
        > "$scratch/standard.c"
    gcc -dM -E "$scratch/standard.c" | sort > "$scratch/macros.standard"
    gcc -I. -dM -E "$scratch/public.c" | sort > "$scratch/macros.public"
    comm -13 "$scratch/macros.standard" "$scratch/macros.public" \
        > "$scratch/macros"
    grep -q '^#define SC_VERSION ' "$scratch/macros" || return
    ! grep -v '^#define SC_' "$scratch/macros"
}
check "secchan.h: macros begin with SC_" macros_fit

# ---- 3. C++ calls C ---------------------------------------------------------

cat > "$scratch/caller.cc" <<'END'
#include "secchan.h"
int main()
{
    return sc_strerror(SC_OK)[0] == '\0';
}
END
cpp_calls_c() {
    g++ -I. -o "$scratch/caller" "$scratch/caller.cc" $(library_objects gcc) \
        && "$scratch/caller"
}
check "a C++ program uses the library compiled as C" cpp_calls_c

finish
