/* unit_fresh.c - memory of which little is used is not brought in whole: blocks with a stack at their end, slabs of a few small
 * blocks, tables with a word here and there. What is filled whole is read ahead as before. */
#include "../bigmaac.c"
#include "check.h"

enum { MANY = 16 };

/* Bytes of the range that are in memory. */
static size_t resident(const void *p, size_t bytes)
{
    unsigned char in[1024];
    size_t pages = 0;
    for (size_t at = 0, step = sizeof in * sys_page(); at < bytes; at += step) {
        size_t n = min_size(step, bytes - at);
        CHECK(sys_mincore((const char *)p + at, n, in) == 0);
        for (size_t i = 0; i < n / sys_page(); i++)
            pages += in[i] & 1;
    }
    return pages * sys_page();
}

/* The last two pages of each of many blocks. */
static void test_stacks(void)
{
    size_t bytes = 512 * sys_page(), last = 0;
    char *block[MANY];
    for (int i = 0; i < MANY; i++) {
        block[i] = bigmaac_malloc(bytes);
        CHECK(block[i] && mem_owns(block[i]));
        block[i][bytes - 1] = block[i][bytes - 1 - sys_page()] = 1;
        last = resident(block[i], bytes);
    }
    CHECK(last <= 8 * sys_page());
    for (int i = 0; i < MANY; i++)
        bigmaac_free(block[i]);
    struct fresh *k = &big.fresh[log2_floor(bytes)];
    atomic_store(&k->alone, true);
    for (int i = 0; i < 4 * MANY; i++) {
        char *p = bigmaac_malloc(bytes + sys_page());
        CHECK(p != NULL);
        memset(p, 1, bytes);
    }
    CHECK(!atomic_load(&k->alone));
}

/* One small block of each size; then many. */
static void test_slabs(void)
{
    size_t bytes = 0;
    char *at[CLASS_COUNT];
    for (unsigned c = 0; c < CLASS_COUNT; c++) {
        at[c] = bigmaac_malloc(class_size(c));
        *at[c] = 1;
    }
    for (const char *from = mem_at(fry.space.start), *p = from; p < from + fry.file_bytes; p += sys_page())
        bytes += resident(p, sys_page());
    CHECK(fry.file_bytes >= fry.look_bytes / 2 && !fry.whole && bytes <= fry.file_bytes / 4);
    for (size_t filled = 0; filled < 8 * fry.file_bytes && !fry.whole; filled += SLAB_MAX)
        memset(bigmaac_malloc(SLAB_MAX), 1, SLAB_MAX);
    CHECK(fry.whole);
}

/* The monitor's looks, until nothing is in doubt, or is. */
static void look_until(bool doubted)
{
    for (int tries = 0; tries < 100 && (fresh.doubted.bytes != 0) != doubted; tries++)
        sleep_ms(min_size(fresh_tick(), 20));
    CHECK((fresh.doubted.bytes != 0) == doubted);
}

/* `chunks` of a block from there on: filled, or a word of each. */
static void use(char *p, size_t from, size_t chunks, bool whole)
{
    for (size_t at = from * huge_size; at < (from + chunks) * huge_size; at += whole ? sys_page() : huge_size)
        p[at] = 1;
}

static void test_large(bool whole)
{
    size_t bytes = (whole ? 64 : 128) * max_size(huge_size, 2 * mib);
    char *p = bigmaac_malloc(bytes);
    CHECK(p && mem_owns(p) && atomic_load(&big.young));
    fresh_tick();
    look_until(false);
    use(p, 0, fresh_chunks, whole);
    look_until(true);
    use(p, fresh_chunks, fresh_seen, whole);
    look_until(false);
    char *next = bigmaac_malloc(bytes);
    CHECK(next && big.fresh[log2_floor(bytes)].alone == !whole);
    *next = 1;
    if (!whole)
        CHECK(resident(p, bytes) <= 2 * fresh_chunks * huge_size && resident(next, bytes) == sys_page());
    ranges_find();
    for (unsigned i = 0; i < pager.ranges; i++)
        if (pager.range[i].bytes == bytes)
            CHECK(range_policy(&pager.range[i], 0) == (whole ? POLICY_HUGE : POLICY_RANDOM));
    bigmaac_free(p);
    bigmaac_free(next);
}

/* All of a block has come before anybody looks; a block that is freed in doubt. */
static void test_late(void)
{
    size_t bytes = 80 * max_size(huge_size, 2 * mib);
    big.fresh[log2_floor(bytes)].made = 0;
    char *p = bigmaac_malloc(bytes);
    use(p, 0, bytes / huge_size, false);
    fresh_tick();
    sleep_ms(fresh_ms + 1);
    fresh_tick();
    CHECK(!fresh.doubted.bytes && !fresh.pause_ms && !big.fresh[log2_floor(bytes)].alone);
    bigmaac_free(p);
    big.fresh[log2_floor(bytes)].made = 0;
    p = bigmaac_malloc(bytes);
    use(p, 0, fresh_chunks, false);
    look_until(true);
    bigmaac_free(p);
    big.fresh[log2_floor(bytes)].made = 0;
    CHECK(bigmaac_malloc(bytes) != NULL);
    look_until(false);
}

int main(void)
{
    setenv("BIGMAAC_MIN_FRY_SIZE", "1", 1);
    setenv("BIGMAAC_MIN_BIGMAAC_SIZE", "256K", 1);
    setenv("BIGMAAC_RECYCLE", "0", 1); /* each block is new */
    config_load();
    route_set_limit();
    atomic_store(&mon.running, true); /* the looks are ours */
    pager.quiet = 1; /* nothing is paged */
    test_slabs();
    test_stacks();
    test_large(true);
    test_large(false);
    test_late();
    CHECK(!extent_check(&big.space) && !big_check() && !fry_check());
    return check_result();
}
