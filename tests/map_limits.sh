#!/usr/bin/env bash
# A program that maps nearly as much as it may, by vm.max_map_count or by RLIMIT_AS, is not refused what it would have without us:
# nothing that is moved splits its mappings then, what was moved before comes home, and what we have reserved gives way.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
most=$(cat /proc/sys/vm/max_map_count)
[ "$most" -lt 100000 ] || skip "this machine can't come near its limit of mappings: vm.max_map_count is $most"
cat >"$TMP/job.c" <<'C'
/* job MAPPINGS WHEN: fills every second unit of a region, and makes so many mappings before or after that. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>
#include "check.h"
static const size_t unit = 256 << 10, units = 300, big = 2 << 20;
static size_t page;
static char *many, *filled;

static char *map(size_t size, int protection)
{
    char *p = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

static void fill_all(void)
{
    for (size_t i = 0; i < units; i++) {
        memset(filled + 2 * i * unit, (int)i + 1, unit);
        usleep(10000);
    }
}

static int splits(size_t mappings)
{
    for (size_t i = 1; i < mappings; i += 2)
        if (mprotect(many + i * page, page, PROT_READ) != 0)
            return 0;
    return 1;
}

int main(int argc, char **argv)
{
    size_t mappings = strtoul(argv[1], NULL, 10);
    page = (size_t)getpagesize();
    many = map((mappings + 2) * page, PROT_NONE);
    filled = map(2 * units * unit, PROT_READ | PROT_WRITE);
    if (argc > 2 && argv[2][0] == 'b')
        CHECK(splits(mappings));
    fill_all();
    if (argc > 2 && argv[2][0] == 'a')
        CHECK(splits(mappings));
    for (int i = 0; i < 40; i++) { /* each kind of call that may need one more */
        char *p = map(big, PROT_READ | PROT_WRITE);
        p[0] = 1;
        CHECK(munmap(p + big / 2, page) == 0 && mprotect(p + page, page, PROT_READ) == 0);
        char *grown = mremap(p, page, 3 * page, MREMAP_MAYMOVE);
        CHECK(grown != MAP_FAILED && grown[0] == 1 && munmap(grown, 3 * page) == 0 && munmap(p, big) == 0);
    }
    for (size_t i = 0; i < units; i++)
        for (size_t at = 0; at < unit; at += page)
            CHECK(filled[2 * i * unit + at] == (char)(i + 1));
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
run() { # MAPPINGS WHEN
    limited $((110 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_MIN_MMAP_SIZE=256K BIGMAAC_STATS=1 "$TMP/job" "$@" 2>"$TMP/err" ||
        fail "$*: $(head -n 5 "$TMP/err")"
    moved=$(stat_of map_moved "$TMP/err")
}
run 0 before
[ "$moved" -gt 0 ] || fail "few mappings: nothing is moved: $(cat "$TMP/err")"
run $((most - 500)) before
[ "$moved" = 0 ] || fail "many mappings: $moved bytes are moved"
run $((most - 150)) after

cat >"$TMP/space.c" <<'C'
#include <sys/mman.h>
#include "check.h"
int main(void)
{
    char *volatile block = malloc(20 << 20); /* our regions are reserved */
    int n = 0;
    memset(block, 3, 20 << 20);
    while (mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        n++;
    CHECK(block[0] == 3 && block[(20 << 20) - 1] == 3);
    printf("%d\n", n);
    return check_result();
}
C
compile_c "$TMP/space" "$TMP/space.c"
plain=$(ulimit -v 1100000 && "$TMP/space")
for least in 0 256K; do
    with=$(ulimit -v 1100000 && env LD_PRELOAD="$LIB" BIGMAAC_MIN_MMAP_SIZE=$least "$TMP/space") || fail "space $least"
    [ "$with" -gt $((plain - 60)) ] || fail "$with of $plain MiB can be mapped (BIGMAAC_MIN_MMAP_SIZE=$least)"
done
