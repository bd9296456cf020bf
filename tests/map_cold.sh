#!/usr/bin/env bash
# What the program touched once and not again is moved out while it reads the rest of its memory from disk again and again; its
# content is as before.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
[ -w /proc/self/clear_refs ] || skip "this machine can't tell what a program touches"
cat >"$TMP/job.c" <<'C'
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include "check.h"
#include "bigmaac.h"
static char *filled(size_t bytes, uint64_t seed)
{
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    fill(p, bytes, seed);
    return p;
}

int main(void)
{
    const size_t cold = 40 << 20, used = 160 << 20, pages = used / 4096;
    struct bigmaac_stats s = {.size = sizeof s};
    char *picked = filled(used, 2), *used_once = filled(cold, 1); /* what was filled last is ordinary yet */
    uint64_t state = 1, sum = 0;
    for (time_t end = time(NULL) + 200; s.map_cold < cold / 2 && time(NULL) < end;) {
        for (int i = 0; i < 100; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            sum += ((volatile char *)picked)[(state >> 33) % pages * 4096];
        }
        CHECK(bigmaac_try_stats(&s) == 0);
    }
    printf("%lu MiB were cold (sum %lu)\n", s.map_cold >> 20, sum);
    CHECK(s.map_cold >= cold / 2 && is_filled(used_once, cold, 1) && is_filled(picked, used, 2));
    return 0;
}
C
compile_c "$TMP/job" "$TMP/job.c" -I"$TOP" -I"$TOP/tests" -ldl
limited 104857600 env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_MMAP_SIZE=1M BIGMAAC_STATS=1 "$TMP/job" 2>"$TMP/err" || fail "status $?: $(cat "$TMP/err")"
[ "$(stat_of map_cold "$TMP/err")" -ge 20971520 ] || fail "$(cat "$TMP/err")"
