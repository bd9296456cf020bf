#!/usr/bin/env bash
# A stream through more than the memory holds, time and again: the kernel alone keeps nothing that
# the next pass needs, and reads all of it each time. Under adaptive paging a part stays, whether the
# stream only reads or writes as well; under a fixed policy it does not. The contents are right.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
cat >"$TMP/stream.c" <<'END'
#include "check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* stream MIB PASSES WRITES: prints what each pass read, in percent of the data. */
int main(int argc, char **argv)
{
    size_t words = strtoul(argv[1], NULL, 10) << 17, passes = strtoul(argv[2], NULL, 10), writes = argc > 3 && argv[3][0] == '1';
    uint64_t *p = malloc(words * 8);
    CHECK(p);
    for (size_t i = 0; i < words; i++)
        p[i] = i * 0x9E3779B97F4A7C15;
    unsigned long long before = 0;
    for (size_t pass = 0; pass < passes; pass++) {
        if (pass == 4) /* by then it must be known */
            before = process_io("read_bytes");
        uint64_t wrong = 0;
        for (size_t i = 0; i < words; i++) {
            wrong |= p[i] ^ (i * 0x9E3779B97F4A7C15 + pass * writes);
            if (writes)
                p[i]++;
        }
        CHECK(wrong == 0);
    }
    printf("%llu\n", (process_io("read_bytes") - before) * 100 / ((passes - 4) * words * 8));
    return check_result();
}
END
compile_c "$TMP/stream" "$TMP/stream.c"
percent() { # PAGING WRITES: what a pass reads
    limited $((256 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_PAGING="$1" "$TMP/stream" 640 12 "$2" >"$TMP/out" || fail "$1, writes $2: status $?"
    echo "paging=$1 writes=$2: a pass reads $(cat "$TMP/out") % of the data" >&2
    cat "$TMP/out"
}
fixed=$(percent sequential 0) || exit $?
[ "$fixed" -ge 90 ] || fail "the kernel alone reads $fixed %: this proves nothing"
# The thread that looks may come late on a loaded machine: of three runs one must do.
keeps() { # WRITES MOST
    local part
    for _ in 1 2 3; do
        part=$(percent adaptive "$1") || exit $?
        [ "$part" -gt "$2" ] || return 0
    done
    fail "a stream, writes $1: $part %"
}
keeps 0 90
keeps 1 95
exit 0
