#!/usr/bin/env bash
# A heap as OCaml 5's: minor heaps in a reservation that is committed and given back by MAP_FIXED, and thousands of pools of
# 32 KiB, each a mapping of its own, linked by pointers, many of which go and come again. On half of what it needs it ends as
# without the library; without it the kernel kills it.
# timeout: 300
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
cat >"$TMP/pools.c" <<'C'
#include "check.h"
#include <sys/mman.h>
enum { POOLS = 8000, POOL = 32 << 10, WORDS = POOL / 8, MINOR = 256 << 10, ROUNDS = 6 };
struct pool { struct pool *next; uint64_t number, word[WORDS - 2]; };
static char *minors; /* 128 domains' */
static uint64_t state = 1;

static uint64_t any(uint64_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}

static void *map_at(void *at, size_t bytes, int protection)
{
    void *p = mmap(at, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);
    CHECK(p != MAP_FAILED && (!at || p == at));
    return p;
}

/* A minor collection: what is there is new, is used, and goes. */
static void minor(unsigned domain)
{
    uint64_t *p = map_at(minors + domain * 2 * MINOR, MINOR, PROT_READ | PROT_WRITE);
    for (size_t i = 0; i < MINOR / 8; i++) {
        CHECK(p[i] == 0);
        p[i] = i;
    }
    map_at(p, MINOR, PROT_NONE);
}

static struct pool *pool_new(struct pool *next, uint64_t number)
{
    struct pool *p = map_at(NULL, POOL, PROT_READ | PROT_WRITE);
    p->next = next;
    p->number = number;
    for (size_t i = 0; i < WORDS - 2; i++)
        p->word[i] = number * WORDS + i;
    return p;
}

static int pool_intact(const struct pool *p)
{
    for (size_t i = 0; i < WORDS - 2; i++)
        if (p->word[i] != p->number * WORDS + i)
            return 0;
    return 1;
}

int main(void)
{
    struct pool *heap = NULL;
    size_t count = 0, damaged = 0;
    minors = map_at(NULL, 256 << 20, PROT_NONE);
    for (uint64_t i = 0; i < POOLS; i++) {
        heap = pool_new(heap, i);
        if (i % 16 == 0)
            minor((unsigned)any(128));
    }
    for (int round = 0; round < ROUNDS; round++) /* sweeps: one of eight goes, and another comes */
        for (struct pool **at = &heap; *at; at = &(*at)->next) {
            struct pool *p = *at;
            damaged += round % 3 == 0 && !pool_intact(p);
            if (any(8) == 0) {
                *at = pool_new(p->next, p->number + POOLS);
                CHECK(munmap(p, POOL) == 0);
            }
        }
    for (struct pool *p = heap; p; p = p->next) {
        damaged += !pool_intact(p);
        count++;
    }
    CHECK(damaged == 0 && count == POOLS);
    return check_result();
}
C
compile_c "$TMP/pools" "$TMP/pools.c"
"$TMP/pools" || fail "without the library: status $?"
with BIGMAAC_MIN_MMAP_SIZE=32K "$TMP/pools" || fail "where memory suffices: status $?"
limited $((125 << 20)) "$TMP/pools" >"$TMP/out" 2>&1 && fail "it fits without the library: the test shows nothing"
limited $((125 << 20)) env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_MMAP_SIZE=32K BIGMAAC_STATS=1 "$TMP/pools" 2>"$TMP/err" || fail "status $?: $(cat "$TMP/err")"
[ "$(stat_of map_moved "$TMP/err")" -ge $((80 << 20)) ] || fail "moved out: $(stat_of map_moved "$TMP/err") bytes"
