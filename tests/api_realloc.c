/* api_realloc.c - realloc keeps contents, from every size to every other one across all
 * thresholds, in chains, in place or moved, among many live blocks; and leaves the block alone
 * when it fails. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>
#include "kinds.h"

static const size_t mib = 1 << 20;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static const size_t sizes[] = {
    1, 16, 64, 65, 129, 1000, 4096, 4097, 20000, 65536, 65537, 300000, 1 << 20, (1 << 20) + 1,
    2 << 20, (2 << 20) + 4097, 5 << 20, 10 << 20, (10 << 20) + 1, 13 << 20,
};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

/* Resizes a stamped block, checks it, stamps it anew. */
static void *resize(void *p, size_t from, size_t to, uint64_t seed)
{
    errno = SENTINEL;
    void *q = realloc(p, to);
    CHECK(q != NULL && errno == SENTINEL);
    if (!q)
        return p;
    CHECK(((uintptr_t)q & 15) == 0);
    CHECK(malloc_usable_size(q) >= to);
    if (!is_stamped(q, least(from, to), from, seed))
        fprintf(stderr, "realloc from %zu to %zu bytes changed the content\n", from, to), checks_failed++;
    if (!is_kind(q, to) && to > from)
        fprintf(stderr, "realloc from %zu to %zu: kind %d\n", from, to, bigmaac_kind(q)), checks_failed++;
    stamp(q, to, seed + 1);
    return q;
}

/* Each way there and back, which also meets what the way there left behind. */
static void test_pairs(void)
{
    for (int i = 0; i < SIZES; i++)
        for (int j = 0; j < SIZES; j++) {
            void *p = malloc(sizes[i]);
            CHECK(p != NULL);
            stamp(p, sizes[i], 1);
            p = resize(p, sizes[i], sizes[j], 1);
            p = resize(p, sizes[j], sizes[i], 2);
            free(p);
        }
}

/* Shrinking must not keep a block of a kind that its size does not have. */
static void test_kinds_after_shrink(void)
{
    for (int i = 0; i < SIZES; i++)
        for (int j = 0; j < i; j++) {
            void *p = realloc(malloc(sizes[i]), sizes[j]);
            CHECK(p != NULL && is_kind(p, sizes[j]));
            free(p);
        }
}

/* Grows by a factor and by small steps, like vectors and strings do, and shrinks again. */
static void test_chains(void)
{
    char *p = NULL, *behind = NULL;
    size_t size = 0;
    uint64_t seed = 1;
    while (size < 40 * mib) {
        size_t to = size + size / 3 + 7;
        p = resize(p, size, to, seed++);
        size = to;
        free(behind); /* something in the way, so that some steps move and some don't */
        behind = size & 1 ? malloc(size) : NULL;
    }
    free(behind);
    while (size > 10) {
        size_t to = size / 5 * 3;
        p = resize(p, size, to, seed++);
        size = to;
    }
    free(p);
    size = 10 * mib - 9 * 4096;
    p = malloc(size);
    stamp(p, size, 1);
    for (uint64_t step = 1; step < 40; step++) { /* page by page across a threshold, and back */
        size_t to = step < 20 ? size + 4096 : size - 4095;
        p = resize(p, size, to, step);
        size = to;
    }
    free(p);
}

/* Every byte, where the other tests check samples. */
static void test_every_byte(void)
{
    const size_t steps[] = {3 * mib + 5, 7 * mib + 1, 12 * mib + 123, 30 * mib + 4095, 11 * mib, 100000, 8 * mib};
    size_t size = 1000;
    unsigned char *p = malloc(size);
    fill(p, size, 1);
    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        p = realloc(p, steps[i]);
        CHECK(p && is_filled(p, least(size, steps[i]), i + 1));
        size = steps[i];
        fill(p, size, i + 2);
    }
    free(p);
}

/* Memory that realloc adds after a shrink is whatever it is, but it must be there. */
static void test_aligned_blocks(void)
{
    for (size_t align = 64; align <= 4 * mib; align *= 8)
        for (int i = 0; i < SIZES; i += 3) {
            void *p = NULL;
            CHECK(posix_memalign(&p, align, sizes[i]) == 0);
            stamp(p, sizes[i], 5);
            p = resize(p, sizes[i], sizes[(i + 7) % SIZES], 5);
            free(p);
        }
}

static void check_fails(void *p, size_t size, size_t to)
{
    errno = SENTINEL;
    CHECK(opaque(realloc(p, to)) == NULL);
    CHECK(errno == ENOMEM);
    CHECK(is_stamped(p, size, size, 9));
}

static void test_failing(void)
{
    const size_t large[] = {SIZE_MAX, SIZE_MAX - 4096, (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX,
                            PTRDIFF_MAX - 65536, (size_t)1 << 62, (size_t)1 << ADDRESS_BITS};
    for (int i = 0; i < SIZES; i++) {
        void *p = malloc(sizes[i]);
        stamp(p, sizes[i], 9);
        for (unsigned k = 0; k < sizeof large / sizeof large[0]; k++)
            check_fails(p, sizes[i], large[k]);
        errno = SENTINEL;
        CHECK(opaque(reallocarray(p, (size_t)1 << 33, (size_t)1 << 33)) == NULL && errno == ENOMEM);
        CHECK(malloc_usable_size(p) >= sizes[i]);
        p = resize(p, sizes[i], sizes[i] + 100, 9);
        free(p);
    }
}

/* Files may not grow beyond a limit: no signal; the block is unharmed, and usable on. */
static void test_file_size_limit(void)
{
    struct rlimit limit, saved;
    getrlimit(RLIMIT_FSIZE, &saved);
    limit = saved;
    limit.rlim_cur = 24 * mib;
    char *p = malloc(20 * mib), *small = malloc(3000);
    CHECK(p && small);
    stamp(p, 20 * mib, 9);
    stamp(small, 3000, 8);
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    errno = SENTINEL;
    char *q = realloc(p, 60 * mib);
    if (q) {
        p = q;
        stamp(p, 60 * mib, 3);
        CHECK(is_stamped(p, 60 * mib, 60 * mib, 3));
        CHECK(!has_library() || bigmaac_kind(p) != BIGMAAC_KIND_BIGMAAC);
    } else {
        CHECK(errno == ENOMEM && is_stamped(p, 20 * mib, 20 * mib, 9));
        p = resize(p, 20 * mib, 22 * mib, 9);
    }
    q = realloc(small, 60 * mib);
    CHECK(is_stamped(q ? q : small, 3000, 3000, 8));
    free(q ? q : small);
    CHECK(setrlimit(RLIMIT_FSIZE, &saved) == 0);
    p = realloc(p, 70 * mib);
    CHECK(p != NULL);
    free(p);
}

/* Hundreds of live blocks, resized in random order: neighbours must not be touched. */
static void test_interleaved(void)
{
    enum { BLOCKS = 300 };
    static struct { char *p; size_t size; uint64_t seed; } blocks[BLOCKS];
    uint64_t random = 42;
    for (int step = 0; step < 6000; step++) {
        unsigned i = (unsigned)(random_next(&random) % BLOCKS);
        size_t to = random_size(&random, step % 50 ? 17 : 24);
        if (step % 7 == 0) {
            CHECK(is_stamped(blocks[i].p, blocks[i].size, blocks[i].size, blocks[i].seed));
            free(blocks[i].p);
            blocks[i].p = NULL;
            blocks[i].size = 0;
            continue;
        }
        char *p = realloc(blocks[i].p, to);
        CHECK(p != NULL);
        if (!p)
            continue;
        CHECK(is_stamped(p, least(to, blocks[i].size), blocks[i].size, blocks[i].seed));
        blocks[i].p = p;
        blocks[i].size = to;
        blocks[i].seed = (uint64_t)step;
        stamp(p, to, (uint64_t)step);
    }
    for (int i = 0; i < BLOCKS; i++) {
        CHECK(is_stamped(blocks[i].p, blocks[i].size, blocks[i].size, blocks[i].seed));
        free(blocks[i].p);
    }
}

int main(void)
{
    test_pairs();
    test_kinds_after_shrink();
    test_chains();
    test_every_byte();
    test_aligned_blocks();
    test_failing();
    test_file_size_limit();
    test_interleaved();
    return check_result();
}
