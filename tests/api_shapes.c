/* api_shapes.c [SEED] - what other allocators' suites ask of malloc beyond the single call: all that lives at a time lies apart,
 * at every alignment; cycles of growing and shrinking give back what they took; zeroes after another thread's dirt; blocks that
 * pass through generations of threads; threads nobody joins, that return, exit or are cancelled while others free what they
 * leave. Prints the seed when something fails. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>
#include "kinds.h"

struct block {
    unsigned char *p;
    size_t size;
    uint64_t seed;
};

static uint64_t seed_of_run;
static atomic_int failures; /* CHECK counts for one thread only */

static void failed(const char *what, size_t size)
{
    if (atomic_fetch_add(&failures, 1) < 10)
        fprintf(stderr, "%s: block of %zu bytes\n", what, size);
}

/* One in 50 is large: up to 1 MiB. */
static size_t some_size(uint64_t *random) { return random_size(random, random_next(random) % 50 ? 13 : 20); }

static void block_set(struct block *b, void *p, size_t size, uint64_t *random)
{
    *b = (struct block){.p = p, .size = size, .seed = random_next(random)};
    if (p)
        stamp(p, size, b->seed);
    else
        failed("no memory", size);
}

static void block_free(struct block *b)
{
    if (b->p && !is_stamped(b->p, b->size, b->size, b->seed))
        failed("changed before free", b->size);
    free(b->p);
    b->p = NULL;
}

static void block_resize(struct block *b, size_t size, uint64_t *random)
{
    unsigned char *p = realloc(b->p, size);
    if (p && b->p && !is_stamped(p, size < b->size ? size : b->size, b->size, b->seed))
        failed("changed by realloc", b->size);
    block_set(b, p, size, random);
}

static void start(pthread_t *thread, void *(*function)(void *), void *argument)
{
    if (pthread_create(thread, NULL, function, argument) != 0) {
        perror("pthread_create");
        exit(1);
    }
}

/* --- apart ------------------------------------------------------------------------------------ */

enum { APART = 3000 };

static int by_address(const void *a, const void *b)
{
    const struct block *x = a, *y = b;
    return (x->p > y->p) - (x->p < y->p);
}

static void check_apart(struct block *blocks)
{
    qsort(blocks, APART, sizeof *blocks, by_address);
    for (size_t i = 1; i < APART; i++)
        if (blocks[i - 1].p + malloc_usable_size(blocks[i - 1].p) > blocks[i].p)
            failed("overlaps the next one", blocks[i - 1].size);
}

/* With every other one freed and asked for again at another alignment, twice. */
static void test_apart(void)
{
    static struct block blocks[APART];
    uint64_t random = seed_of_run;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < APART; i++) {
            size_t align = sizeof(void *) << random_next(&random) % 11, size = some_size(&random);
            void *p = NULL;
            if (round && i % 2)
                continue;
            block_free(&blocks[i]);
            CHECK(posix_memalign(&p, align, size) == 0 && ((uintptr_t)p & (align - 1)) == 0);
            block_set(&blocks[i], p, size, &random);
        }
        check_apart(blocks);
    }
    for (size_t i = 0; i < APART; i++)
        block_free(&blocks[i]);
}

/* --- cycles ----------------------------------------------------------------------------------- */

/* Growing into what is usable anyway is no more than that, and a block that shrinks to nothing is small again. */
static void test_cycles(void)
{
    enum { STEPS = 13 };
    for (int cycle = 0; cycle < 4; cycle++) {
        void *p = malloc(1);
        for (int step = 0; step < STEPS; step++) {
            size_t size = (size_t)3 << (2 * step); /* 3 bytes ... 48 MiB */
            p = realloc(p, size);
            CHECK(p && malloc_usable_size(p) >= size);
            size_t usable = malloc_usable_size(p);
            CHECK(usable < size + size / 2 + 4096);
            void *same = realloc(p, usable);
            CHECK(same && malloc_usable_size(same) >= usable);
            p = same;
        }
        for (int step = STEPS - 1; step >= 0; step--) {
            size_t size = (size_t)3 << (2 * step);
            p = realloc(p, size);
            CHECK(p && malloc_usable_size(p) >= size);
        }
        CHECK(malloc_usable_size(p) < 4096); /* back where it began */
        free(p);
    }
}

/* --- zeroes ----------------------------------------------------------------------------------- */

enum { DIRTY = 400 };
static struct block dirty[DIRTY];

static void *free_dirty(void *first)
{
    for (size_t i = (size_t)(uintptr_t)first; i < DIRTY; i += 2)
        free(dirty[i].p);
    return NULL;
}

static void *make_dirty(void *first)
{
    for (size_t i = (size_t)(uintptr_t)first; i < DIRTY; i += 2) {
        dirty[i].p = malloc(dirty[i].size);
        if (dirty[i].p)
            memset(dirty[i].p, 0xff, malloc_usable_size(dirty[i].p));
    }
    return NULL;
}

/* calloc gets what one thread dirtied and another one freed; both are gone, or one of them is this one. */
static void test_zeroes(void)
{
    uint64_t random = seed_of_run;
    for (int round = 0; round < 6; round++) {
        pthread_t thread;
        for (size_t i = 0; i < DIRTY; i++)
            dirty[i].size = some_size(&random);
        start(&thread, make_dirty, (void *)0);
        make_dirty((void *)1);
        pthread_join(thread, NULL);
        start(&thread, free_dirty, (void *)(uintptr_t)(round % 2));
        free_dirty((void *)(uintptr_t)(1 - round % 2));
        pthread_join(thread, NULL);
        for (size_t i = 0; i < DIRTY; i++) {
            dirty[i].p = calloc(1, dirty[i].size);
            CHECK(dirty[i].p && is_zero(dirty[i].p, dirty[i].size));
        }
        free_dirty((void *)0);
        free_dirty((void *)1);
    }
}

/* --- generations ------------------------------------------------------------------------------ */

enum { GENERATIONS = 12, WORKERS = 6, HEIRLOOMS = 300, STEPS_OF_LIFE = 400 };
static struct block heirlooms[HEIRLOOMS]; /* each has one owner at a time: whoever took it out of its place */
static _Atomic(struct block *) place[HEIRLOOMS];

struct life {
    size_t generation, worker;
};

/* Takes what earlier generations left, resizes some, puts it back elsewhere; ends with all of it in place. */
static void *live(void *argument)
{
    const struct life *life = argument;
    uint64_t random = seed_of_run * 7919 + life->generation * 31 + life->worker;
    for (int step = 0; step < STEPS_OF_LIFE; step++) {
        struct block *b = atomic_exchange(&place[random_next(&random) % HEIRLOOMS], NULL);
        if (!b)
            continue;
        switch (random_next(&random) % 4) {
        case 0:
            block_resize(b, some_size(&random), &random);
            break;
        case 1: {
            size_t size = some_size(&random);
            block_free(b);
            block_set(b, malloc(size), size, &random);
            break;
        }
        default:
            if (b->p && !is_stamped(b->p, b->size, b->size, b->seed))
                failed("changed while it lay there", b->size);
        }
        for (size_t at = random_next(&random) % HEIRLOOMS;; at = (at + 1) % HEIRLOOMS) {
            struct block *none = NULL;
            if (atomic_compare_exchange_strong(&place[at], &none, b))
                break;
        }
    }
    return NULL;
}

static void test_generations(void)
{
    for (size_t i = 0; i < HEIRLOOMS; i++)
        atomic_store(&place[i], &heirlooms[i]);
    for (size_t g = 0; g < GENERATIONS; g++) {
        pthread_t threads[WORKERS];
        struct life lives[WORKERS];
        for (size_t i = 0; i < WORKERS; i++) {
            lives[i] = (struct life){.generation = g, .worker = i};
            start(&threads[i], live, &lives[i]);
        }
        for (size_t i = 0; i < WORKERS; i++)
            pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; i < HEIRLOOMS; i++)
        block_free(&heirlooms[i]);
}

/* --- ends ------------------------------------------------------------------------------------- */

/* Three ways to end, none of which anybody joins: return, pthread_exit, and cancellation in a sleep. */
enum { ENDINGS = 300, LEFT = 8 };
static struct block left[ENDINGS][LEFT];
static atomic_int left_by; /* how many threads have left their blocks */

static void *end(void *argument)
{
    size_t me = (size_t)(uintptr_t)argument;
    uint64_t random = seed_of_run + me;
    for (size_t i = 0; i < LEFT; i++) {
        size_t size = some_size(&random);
        block_set(&left[me][i], malloc(size), size, &random);
    }
    atomic_fetch_add(&left_by, 1);
    if (me % 3 == 1)
        pthread_exit(NULL);
    while (me % 3 == 2)
        pause(); /* until it is cancelled here */
    return NULL;
}

/* Half of what a thread leaves is resized, and all of it freed, while it ends and later. */
static void test_ends(void)
{
    uint64_t random = seed_of_run;
    for (size_t me = 0; me < ENDINGS; me++) {
        pthread_t thread;
        start(&thread, end, (void *)(uintptr_t)me);
        while ((size_t)atomic_load(&left_by) <= me)
            sched_yield();
        if (me % 3 == 2)
            pthread_cancel(thread);
        pthread_detach(thread);
        for (size_t i = 0; i < LEFT / 2; i++)
            block_resize(&left[me][i], some_size(&random), &random);
        for (size_t i = 0; i < LEFT; i++)
            block_free(&left[i % 2 ? me : me / 2][i]);
    }
    for (size_t me = 0; me < ENDINGS; me++)
        for (size_t i = 0; i < LEFT; i++)
            block_free(&left[me][i]);
}

int main(int argc, char **argv)
{
    seed_of_run = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 20;
    printf("seed %lu\n", seed_of_run);
    fflush(stdout);
    test_apart();
    test_cycles();
    test_zeroes();
    test_generations();
    test_ends();
    CHECK(failures == 0);
    return check_result();
}
