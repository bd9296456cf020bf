#!/usr/bin/env bash
# Corruption with page runs: fries of more than 64 KiB, which the settings of abort_*.c don't make.
. "$TOP/tests/lib.sh"
cat >"$TMP/runs.c" <<'C'
#include <malloc.h>
#include <unistd.h>
#include "check.h"
enum { RUN = 300000 };

int main(int argc, char **argv)
{
    char *before = malloc(RUN), *p = malloc(RUN), *after = malloc(RUN);
    int what = argc > 1 ? atoi(argv[1]) : 0;
    memset(p, 1, RUN);
    if (what < 6)
        free(p);
    switch (what) {
    case 1: free(opaque(p)); break;
    case 2: usleep(1200000), free(malloc(RUN / 2)), usleep(600000), free(malloc(RUN / 2)), free(opaque(p)); break;
    case 3: p = realloc(opaque(p), 2 * RUN); break;
    case 4: p = realloc(opaque(p), 0); break;
    case 5: printf("%zu\n", malloc_usable_size(opaque(p))); break;
    case 6: free(opaque(p + 8192)); break;
    case 7: free(opaque(p + 1)); break;
    case 8: p = realloc(opaque(p + 4096), RUN); break;
    case 9: free(before), free(p), free(after), free(opaque(p)); break; /* merged with both */
    case 10: p = realloc(p, RUN / 2), free(opaque(p + RUN / 4 * 3 / 4096 * 4096)); break;
    }
    return 0;
}
C
"$CC" -std=gnu11 -O1 -w -fno-builtin -I"$TOP/tests" -o "$TMP/runs" "$TMP/runs.c" || fail "compile"
settings="BIGMAAC_MIN_BIGMAAC_SIZE=1G BIGMAAC_MIN_FRY_SIZE=64"

expect() { # CASE PATTERN
    local out status
    # shellcheck disable=SC2086
    out=$(with $settings "$TMP/runs" "$1" 2>&1 >/dev/null)
    status=$?
    [ $status = 134 ] || fail "case $1: status $status instead of a SIGABRT: $out"
    # shellcheck disable=SC2053
    [[ $out == bigmaac\[*\]:\ $2 ]] || fail "case $1: \"$out\" instead of \"$2\""
}

# shellcheck disable=SC2086
with $settings "$TMP/runs" 0 || fail "the program without corruption"
expect 1 "free(): double free of 0x*"
expect 3 "realloc(): double free of 0x*"
expect 4 "realloc(): double free of 0x*"
expect 5 "malloc_usable_size(): double free of 0x*"
expect 6 "free(): pointer 0x* inside a block"
expect 7 "free(): pointer 0x* inside a block"
expect 8 "realloc(): pointer 0x* inside a block"
expect 9 "free(): double free of 0x*"
expect 10 "free(): pointer 0x* never allocated" # the tail that a shrink has given back
# Case 2: half of the size was at the same place since, and freed again.
expect 2 "free(): double free of 0x*"
