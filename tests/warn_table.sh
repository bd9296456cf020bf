#!/usr/bin/env bash
# A table just above the size of a bigmaac is picked from at random while small blocks, which malloc passes on, fill the rest
# of the limit, as a redis-server's do. The process is killed in the end, as it is without the library, and is told before;
# it doesn't live on, reading 2 MiB for a word (18 GiB in 38 s, without a thread of ours).
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
cat >"$TMP/mix.c" <<'C'
#include "sys_blocks.h"
int main(void)
{
    size_t bytes = 12 << 20, count = 0;
    unsigned char *table = malloc(bytes);
    CHECK(table && bigmaac_try_kind(table) == BIGMAAC_KIND_BIGMAAC);
    memset(table, 1, bytes);
    for (int mib = 0; mib < 400; mib++) {
        for (int i = 0; i < 1024; i++, count += 2) {
            memset(opaque(malloc(1000)), 1, 1000);
            table[random_word() % bytes]++;
            table[random_word() % bytes]++;
        }
        if (process_io("read_bytes") > 2ull << 30) {
            printf("read %llu MiB for %zu picks and %d MiB of small blocks\n", process_io("read_bytes") >> 20, count, mib);
            return 3;
        }
    }
    return check_result();
}
C
compile_c "$TMP/mix" "$TMP/mix.c"
limited $((100 << 20)) env LD_PRELOAD="$LIB" "$TMP/mix" >"$TMP/out" 2>"$TMP/err"
status=$?
[ $status != 77 ] || { cat "$TMP/out"; exit 77; }
[ $status = 137 ] || fail "status $status, not killed: $(cat "$TMP/out" "$TMP/err")"
[ "$(grep -c 'memory is running out.* 12M of bigmaacs' "$TMP/err")" = 1 ] || fail "not told: $(cat "$TMP/err")"
exit 0
