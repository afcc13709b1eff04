#!/bin/sh
# proof.sh: the symbolic model of the protocol is proved again by ProVerif, if
# that is there; in any case, the recorded results belong to today's claims.
# Usage:   sh tests/proof.sh          from the repository's root, or: make proof
#          PROVERIF names the program; JOBS, how many run at once (2)

name=proof.sh
. tests/lib.sh

# ---- 1. the record ----------------------------------------------------------

# What run.sh asks: it runs with a ProVerif that knows nothing, so that each
# line has the claim, the expected answer and the setting, and "none" was got.
printf '#!/bin/sh\n' > "$scratch/no-proverif"
chmod +x "$scratch/no-proverif"
PROVERIF=$scratch/no-proverif sh docs/model/run.sh > "$scratch/asked.log"

questions() {
    grep '^[0-9][0-9][0-9] ' "$1" \
        | awk '{ sub(/ \[[0-9]*s\]$/, ""); $2 = ""; $4 = ""; print }' | sort
}
questions "$scratch/asked.log" > "$scratch/asked"
questions docs/model/results.txt > "$scratch/recorded"
n_asked=$(wc -l < "$scratch/asked")

check "without answers, not one of $n_asked claims counts as proved" \
    grep -q "^0 of $n_asked as expected" "$scratch/asked.log"
check "docs/model/results.txt has just these $n_asked claims and settings" \
    cmp "$scratch/asked" "$scratch/recorded"
all_right() {
    ! grep '^[0-9]' docs/model/results.txt \
        | grep -v '^[0-9]* ok \|^[0-9]* of ' \
        && grep -q "^$n_asked of $n_asked as expected" docs/model/results.txt
}
check "all of them came out as expected when it was written" all_right
# Whoever changes the model has to prove it again, and to record both.
check "docs/model/secchan.pv is what it was then" \
    [ "$(cksum < docs/model/secchan.pv)" = "2400731596 16974" ]
echo "evidence: recorded answers belong to today's questions |" \
    "$([ "$n_failed" -eq 0 ] && echo passed || echo FAILED) |" \
    "$n_asked questions"

# ---- 2. the proof -----------------------------------------------------------

if has "${PROVERIF:-proverif}"; then
    sh docs/model/run.sh > "$scratch/proof.log" 2>&1
    last=$(tail -n 1 "$scratch/proof.log")
    check "ProVerif: $last" \
        grep -q "^$n_asked of $n_asked as expected" "$scratch/proof.log"
    grep -v ' ok \| as expected$' "$scratch/proof.log" | sed 's/^/    /'
    echo "evidence: ProVerif | $([ "$last" = \
        "$n_asked of $n_asked as expected" ] && echo passed || echo FAILED) |" \
        "$last"
else
    skipped "the proof itself: ProVerif is not here; opam install proverif"
fi
finish
