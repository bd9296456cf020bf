/* api_family.c - each function of the malloc family behaves as glibc's does: results, contents,
 * alignment, errno; at sizes around every threshold of the library. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
#include "kinds.h"

static const size_t mib = 1 << 20;
static size_t sizes[160];
static unsigned size_count;

static void add_size(size_t size)
{
    for (int d = -1; d <= 1; d++)
        sizes[size_count++] = size + (size_t)d;
}

/* Every power of 2 has a size class or a threshold at it; the others are thresholds in use. */
static void find_sizes(void)
{
    for (size_t size = 16; size <= 16 * mib; size *= 2)
        add_size(size);
    add_size(144);
    add_size(10 * mib);
    add_size(40 * mib);
    add_size(setting("BIGMAAC_MIN_BIGMAAC_SIZE", 3 * mib) < 64 * mib
                 ? setting("BIGMAAC_MIN_BIGMAAC_SIZE", 3 * mib) : 5 * mib);
}

static int is_aligned(const void *p, size_t align) { return ((uintptr_t)p & (align - 1)) == 0; }

/* What every successful allocation must fulfil. Fills the block, slack included; frees it. */
static void check_block(void *p, size_t size, size_t align, size_t routed)
{
    CHECK(errno == SENTINEL);
    CHECK(p != NULL);
    if (!p)
        return;
    CHECK(is_aligned(p, align));
    if (!is_kind(p, routed))
        fprintf(stderr, "%p of %zu bytes is of kind %d, not %d\n", p, routed, bigmaac_kind(p),
                kind_wanted(routed)), checks_failed++;
    size_t usable = malloc_usable_size(p);
    CHECK(usable >= size);
    CHECK(usable == malloc_usable_size(p));
    stamp(p, usable, size);
    CHECK(is_stamped(p, usable, usable, size));
    free(p);
    CHECK(errno == SENTINEL);
}

static void test_sizes(void)
{
    for (unsigned i = 0; i < size_count; i++) {
        size_t n = sizes[i];
        errno = SENTINEL;
        check_block(malloc(n), n, 16, n);
        check_block(realloc(NULL, n), n, 16, n);
        check_block(reallocarray(NULL, n, 1), n, 16, n);
        check_block(valloc(n), n, 4096, n);
        size_t whole = (n + 4095) / 4096 * 4096;
        check_block(pvalloc(n), whole, 4096, whole);
        check_block(memalign(64, n), n, 64, n);
    }
}

static void check_zero(void *p, size_t bytes, size_t routed)
{
    CHECK(p != NULL);
    if (p) {
        CHECK(is_kind(p, routed));
        CHECK(is_zero(p, bytes));
        memset(p, 0xff, malloc_usable_size(p)); /* dirt for the next one */
        free(p);
    }
    CHECK(errno == SENTINEL);
}

/* calloc is routed by the product, and zeroes memory that was used before. */
static void test_calloc(void)
{
    for (unsigned i = 0; i < size_count; i++) {
        size_t n = sizes[i];
        errno = SENTINEL;
        for (int round = 0; round < (n < mib ? 4 : 2); round++) {
            check_zero(calloc(n, 1), n, n);
            check_zero(calloc(1, n), n, n);
        }
        check_zero(calloc(8, n / 8), n / 8 * 8, n / 8 * 8);
        void *dirty = malloc(n);
        CHECK(dirty != NULL);
        memset(dirty, 0xff, n);
        free(dirty);
        check_zero(calloc(n / 2, 2), n / 2 * 2, n / 2 * 2);
    }
    /* Many at once: blocks of one slab, of several, and blocks that were freed in between. */
    static unsigned char *blocks[4000];
    enum { COUNT = 4000 };
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            blocks[i] = calloc(1, 40 + (size_t)i % 300);
            CHECK(blocks[i] && is_zero(blocks[i], 40 + (size_t)i % 300));
            memset(blocks[i], 0xff, 40 + (size_t)i % 300);
        }
        for (int i = 0; i < COUNT; i++)
            free(blocks[i]);
    }
}

static void test_nothing(void)
{
    errno = SENTINEL;
    void *a = malloc(0), *b = malloc(0), *c = calloc(0, 7), *d = calloc(7, 0), *e = valloc(0);
    void *f = realloc(NULL, 0), *g = memalign(4096, 0), *h = NULL, *i = aligned_alloc(64, 0);
    CHECK(posix_memalign(&h, 4096, 0) == 0);
    CHECK(a && b && c && d && e && f && g && h && i);
    CHECK(a != b && is_aligned(a, 16) && is_aligned(g, 4096) && is_aligned(h, 4096));
    void *all[] = {a, b, c, d, e, f, g, h, i, pvalloc(0), reallocarray(NULL, 0, 9)};
    for (unsigned k = 0; k < sizeof all / sizeof all[0]; k++)
        free(all[k]);
    free(NULL);
    CHECK(malloc_usable_size(NULL) == 0);
    CHECK(errno == SENTINEL);
    for (unsigned k = 0; k < size_count; k++) { /* realloc to nothing frees */
        CHECK(realloc(malloc(sizes[k]), 0) == NULL);
        CHECK(reallocarray(malloc(sizes[k]), sizes[k], 0) == NULL);
    }
    CHECK(errno == SENTINEL);
}

#define CHECK_NO_MEMORY(call)                                                                 \
    do {                                                                                      \
        errno = SENTINEL;                                                                     \
        CHECK(opaque(call) == NULL);                                                          \
        CHECK(errno == ENOMEM);                                                               \
    } while (0)

static void test_too_large(void)
{
    const size_t large[] = {PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 1, SIZE_MAX,
                            SIZE_MAX - 15, SIZE_MAX - 4095, SIZE_MAX - 4096, PTRDIFF_MAX - 4096,
                            SIZE_MAX - (2 << 20), (size_t)1 << 62, (size_t)1 << ADDRESS_BITS};
    for (unsigned i = 0; i < sizeof large / sizeof large[0]; i++) {
        size_t n = large[i];
        CHECK_NO_MEMORY(malloc(n));
        CHECK_NO_MEMORY(calloc(1, n));
        CHECK_NO_MEMORY(calloc(n, 1));
        CHECK_NO_MEMORY(calloc(n / 2, 2));
        CHECK_NO_MEMORY(realloc(NULL, n));
        CHECK_NO_MEMORY(reallocarray(NULL, n, 1));
        CHECK_NO_MEMORY(memalign(64, n));
        CHECK_NO_MEMORY(aligned_alloc(4096, n));
        CHECK_NO_MEMORY(memalign((size_t)1 << 30, n));
        CHECK_NO_MEMORY(valloc(n));
        CHECK_NO_MEMORY(pvalloc(n));
        void *out = &out;
        CHECK_NO_MEMORY(posix_memalign(&out, 64, n) == ENOMEM ? NULL : opaque(out));
        CHECK(out == &out);
    }
}

/* Products that wrap: to 0, to something small, to something large. */
static void test_overflow(void)
{
    const size_t factors[][2] = {
        {SIZE_MAX, 2}, {2, SIZE_MAX}, {SIZE_MAX, SIZE_MAX}, {(size_t)1 << 32, (size_t)1 << 32},
        {((size_t)1 << 32) + 1, (size_t)1 << 32}, {SIZE_MAX / 2 + 2, 2}, {SIZE_MAX / 16 + 2, 16},
        {SIZE_MAX / 2 + 8 * ((size_t)1 << 20), 2}, {PTRDIFF_MAX, 2},
    };
    for (unsigned i = 0; i < sizeof factors / sizeof factors[0]; i++) {
        size_t a = factors[i][0], b = factors[i][1];
        char *p = malloc(100);
        stamp(p, 100, i);
        CHECK_NO_MEMORY(calloc(a, b));
        CHECK_NO_MEMORY(reallocarray(NULL, a, b));
        CHECK_NO_MEMORY(reallocarray(p, a, b));
        CHECK(is_stamped(p, 100, 100, i));
        free(p);
    }
}

static void check_aligned(size_t align, size_t n)
{
    errno = SENTINEL;
    check_block(memalign(align, n), n, align, n);
    check_block(aligned_alloc(align, n), n, align, n);
    void *out = NULL;
    if (align >= sizeof(void *)) {
        CHECK(posix_memalign(&out, align, n) == 0);
        check_block(out, n, align, n);
    }
    void *a = memalign(align, n), *b = memalign(align, n); /* two at once, grown afterwards */
    CHECK(a && b && a != b && is_aligned(a, align) && is_aligned(b, align));
    stamp(a, n, 1);
    stamp(b, n, 2);
    a = realloc(a, n + n / 2 + 1);
    CHECK(a && is_stamped(a, n, n, 1) && is_stamped(b, n, n, 2));
    free(b);
    CHECK(is_stamped(a, n, n, 1));
    free(a);
    CHECK(errno == SENTINEL);
}

static void test_alignment(void)
{
    const size_t some[] = {1, 24, 100, 3000, 5000, 65536, 70000, 2 * mib - 1, 2 * mib + 1, 11 * mib};
    for (size_t align = 1; align <= (size_t)1 << 30; align *= 2)
        for (unsigned i = 0; i < sizeof some / sizeof some[0]; i++)
            if (some[i] < mib || align >= 4096)
                check_aligned(align, some[i]);
}

static void test_bad_alignment(void)
{
    const size_t bad[] = {0, 1, 2, 4, 3, 7, 12, 24, 48, 4095, 4097, SIZE_MAX, (size_t)3 << 20};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        void *out = &out;
        CHECK(posix_memalign(&out, bad[i], 100) == EINVAL && out == &out);
        CHECK(posix_memalign(&out, bad[i], 20 * mib) == EINVAL && out == &out);
    }
    const size_t beyond[] = {((size_t)1 << 63) + 1, SIZE_MAX};
    for (unsigned i = 0; i < 2; i++) {
        errno = SENTINEL;
        CHECK(memalign(beyond[i], 100) == NULL && errno == EINVAL);
        errno = SENTINEL;
        CHECK(aligned_alloc(beyond[i], 100) == NULL && errno == EINVAL);
        errno = SENTINEL;
        CHECK(aligned_alloc(beyond[i], 20 * mib) == NULL && errno == EINVAL);
    }
    CHECK_NO_MEMORY(memalign((size_t)1 << 62, 20 * mib));
    CHECK_NO_MEMORY(memalign((size_t)1 << 62, 3000));
    /* Not a power of 2: glibc's memalign rounds up; its aligned_alloc did until 2.38. */
    for (size_t align = 3; align < 100000; align = align * 3 + 2) {
        size_t n = 11 * mib;
        errno = SENTINEL;
        char *p = memalign(align, 500), *q = memalign(align, n);
        CHECK(p && q && errno == SENTINEL);
        while (align & (align - 1))
            align += align & -align;
        CHECK(is_aligned(p, align) && is_aligned(q, align));
        free(p);
        free(q);
        void *r = aligned_alloc(align + align / 2, n);
        CHECK(r ? is_aligned(r, align * 2) : errno == EINVAL);
        free(r);
    }
}

/* C23's, which this glibc may not have; the library does. */
static void test_free_sized(void)
{
    void (*sized)(void *, size_t) = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
    void (*aligned)(void *, size_t, size_t) =
        (void (*)(void *, size_t, size_t))dlsym(RTLD_DEFAULT, "free_aligned_sized");
    CHECK(!has_library() || (sized && aligned));
    if (!sized || !aligned)
        return;
    errno = SENTINEL;
    for (unsigned i = 0; i < size_count; i++) {
        sized(malloc(sizes[i]), sizes[i]);
        aligned(aligned_alloc(128, sizes[i]), 128, sizes[i]);
    }
    sized(NULL, 0);
    aligned(NULL, 16, 0);
    CHECK(errno == SENTINEL);
}

/* The slack belongs to the program: neighbours must not see what is written there. */
static void test_slack(void)
{
    enum { COUNT = 64 };
    unsigned char *blocks[COUNT];
    for (unsigned k = 0; k < size_count && sizes[k] <= mib; k++) {
        for (int i = 0; i < COUNT; i++) {
            blocks[i] = malloc(sizes[k]);
            CHECK(blocks[i] != NULL);
            stamp(blocks[i], malloc_usable_size(blocks[i]), (uint64_t)i);
        }
        for (int i = 0; i < COUNT; i++) {
            size_t usable = malloc_usable_size(blocks[i]);
            CHECK(is_stamped(blocks[i], usable, usable, (uint64_t)i));
            free(blocks[i]);
        }
    }
}

int main(void)
{
    find_sizes();
    test_sizes();
    test_calloc();
    test_nothing();
    test_too_large();
    test_overflow();
    test_alignment();
    test_bad_alignment();
    test_free_sized();
    test_slack();
    return check_result();
}
