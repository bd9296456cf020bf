#!/usr/bin/env bash
# A heap that reserves much and fills it by small mappings in place of what it has reserved, side by side or apart, is moved out as one
# that is mapped at once; what is not ordinary memory by its protection is left alone.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/job.c" <<'C'
#include "sys_blocks.h"
#include <sys/mman.h>
#include <unistd.h>
enum { PIECES = 2400, PIECE = 64 << 10, SEM = 8 /* PROT_SEM, which changes nothing */ };

static char *commit(char *at)
{
    CHECK(mmap(at, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
    return at;
}

int main(int argc, char **argv)
{
    size_t apart = argc > 1 ? PIECE + PIECE : PIECE;
    char *heap = mmap(NULL, PIECES * apart, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    (void)argv;
    CHECK(heap != MAP_FAILED);
    for (size_t i = 0; i < PIECES; i++) {
        memset(commit(heap + i * apart), (int)(i % 250 + 1), PIECE);
        if (i % 16 == 0)
            usleep(2000);
    }
    for (size_t i = 0; i < PIECES; i++)
        for (size_t at = 0; at < PIECE; at += 512)
            CHECK(heap[i * apart + at] == (char)(i % 250 + 1));
    CHECK(is_zero(commit(heap), PIECE));
    char *other = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE | SEM, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(other == MAP_FAILED || bigmaac_try_kind(other) == BIGMAAC_KIND_NONE);
    CHECK(mprotect(heap, 4 * PIECE, PROT_READ | PROT_WRITE | SEM) != 0 || bigmaac_try_kind(heap) == BIGMAAC_KIND_NONE);
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
for kind in "" apart; do
    limited $((100 << 20)) env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_MMAP_SIZE=256K BIGMAAC_STATS=1 "$TMP/job" $kind 2>"$TMP/err" ||
        fail "$kind: exit status $? with: $(head -n 5 "$TMP/err")"
    [ "$(stat_of map_moved "$TMP/err")" -gt $((40 << 20)) ] || fail "$kind: little was moved out: $(cat "$TMP/err")"
done
