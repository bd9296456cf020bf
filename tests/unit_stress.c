/* unit_stress.c - the whole library inside the test program: threads, random calls over all kinds
 * of block, every block's content known; ASan, UBSan and TSan look on. unit_stress SEED STEPS. */
#define secure_getenv test_getenv
static char *test_getenv(const char *name);
#include "../bigmaac.c"
#include "check.h"

enum { THREADS = 3, BLOCKS = 200 };

static char *test_getenv(const char *name)
{
    return strcmp(name, "BIGMAAC_MIN_FRY_SIZE") == 0        ? (char *)"64"
           : strcmp(name, "BIGMAAC_MIN_BIGMAAC_SIZE") == 0  ? (char *)"200K"
           : strcmp(name, "BIGMAAC_TEMPLATE") == 0          ? (char *)"/var/tmp/bigmaac.XXXXXXXX"
                                                            : NULL;
}

struct block {
    unsigned char *p;
    size_t size;
    uint64_t seed;
};

static uint64_t first_seed;
static int steps = 3000;
static _Atomic(unsigned char *) passed_on; /* a block for another thread to free; first byte says */

/* Only the ends are stamped: large blocks would take all the time otherwise. */
static void stamp(const struct block *b)
{
    size_t n = min_size(b->size, 512);
    fill(b->p, n, b->seed);
    if (b->size >= 2 * n)
        fill(b->p + b->size - n, n, b->seed);
}

static void verify(const struct block *b, size_t size)
{
    CHECK(is_filled(b->p, min_size(min_size(b->size, 512), size), b->seed));
    CHECK(bigmaac_malloc_usable_size(b->p) >= size);
}

static size_t random_size(uint64_t r)
{
    static const size_t scale[] = {100, 1000, 10000, 60000, 150000, 3000000};
    return 1 + (r >> 32) % scale[r % 6];
}

static void step(struct block *b, uint64_t r)
{
    if (!b->p) {
        b->size = random_size(r);
        b->p = r & 256   ? bigmaac_calloc(1, b->size)
               : r & 512 ? bigmaac_memalign((size_t)16 << (r >> 10 & 7), b->size)
                         : bigmaac_malloc(b->size);
        CHECK(b->p && (!(r & 256) || is_zero(b->p, min_size(b->size, 4096))));
    } else if (r & 256) {
        size_t size = random_size(r);
        verify(b, b->size);
        b->p = bigmaac_realloc(b->p, size);
        CHECK(b->p && is_filled(b->p, min_size(min_size(b->size, 512), size), b->seed));
        b->size = size;
    } else {
        verify(b, b->size);
        unsigned char *other = atomic_exchange(&passed_on, b->p);
        bigmaac_free(other);
        b->p = NULL;
        return;
    }
    b->seed = r;
    stamp(b);
}

static void *run(void *number)
{
    struct block blocks[BLOCKS] = {{0}};
    uint64_t r = first_seed + (uint64_t)(uintptr_t)number * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < steps; i++) {
        r ^= r << 13;
        r ^= r >> 7;
        r ^= r << 17;
        step(&blocks[r % BLOCKS], r);
    }
    for (int i = 0; i < BLOCKS; i++)
        bigmaac_free(blocks[i].p);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread[THREADS];
    first_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL) * 2654435761u + 1;
    steps = argc > 2 ? atoi(argv[2]) : steps;
    printf("seed %llu steps %d\n", (unsigned long long)first_seed, steps);
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, run, (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    bigmaac_free(atomic_load(&passed_on));
    pthread_mutex_lock(&fry.lock); /* the monitor may be tidying up */
    pthread_mutex_lock(&big.lock);
    CHECK(!extent_check(&big.space));
    CHECK(!extent_check(&fry.space));
    CHECK(count.bigmaacs > 0 && count.bigmaac_bytes == 0 && fry_live_bytes() == 0);
    pthread_mutex_unlock(&big.lock);
    pthread_mutex_unlock(&fry.lock);
    return check_result();
}
