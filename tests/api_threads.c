/* api_threads.c [SEED [ALIGNED_FROM]] - many threads allocate, resize and free at random, blocks of their own
 * and of others, each checked against what it must contain; threads that come and go; and the
 * memory that they leave behind comes back. Prints the seed when something fails. Smaller blocks than ALIGNED_FROM bytes
 * are asked for without an alignment (0: all may have one). */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>
#include "kinds.h"

enum { THREADS = 8, OPERATIONS = 5000, OWN = 64, SHARED = 256 };

/* The shadow of a block, in memory that the functions under test never see. */
struct block {
    unsigned char *p;
    size_t size;
    uint64_t seed;
};

static struct block own[THREADS][OWN];
static struct block records[THREADS * (OWN + SHARED)];
static _Atomic(struct block *) shared[SHARED];
static atomic_int failures;
static uint64_t seed_of_run;
static size_t aligned_from;
static const size_t mib = 1 << 20;

static struct bigmaac_stats now(void)
{
    struct bigmaac_stats s = {.size = sizeof s};
    CHECK(bigmaac_try_stats(&s) == 0 || !has_library());
    return s;
}

static void failed(const char *what, size_t size)
{
    if (atomic_fetch_add(&failures, 1) < 10)
        fprintf(stderr, "%s, block of %zu bytes\n", what, size);
}

static void check_content(const struct block *b, size_t kept, const char *what)
{
    if (!is_stamped(b->p, kept, b->size, b->seed))
        failed(what, b->size);
}

static void block_free(struct block *b)
{
    if (b->p) {
        check_content(b, b->size, "content before free");
        free(b->p);
    }
    b->p = NULL;
    b->size = 0;
}

static void block_new(struct block *b, uint64_t *random)
{
    size_t n = random_size(random, random_next(random) % 64 ? 16 : 23), align = 1;
    switch (random_next(random) % 4) {
    case 0:
        b->p = calloc(n % 7 + 1, n / (n % 7 + 1) + 1);
        if (b->p && !is_zero(b->p, n))
            failed("calloc is not zero", n);
        break;
    case 1:
        if (n >= aligned_from)
            align = (size_t)16 << random_next(random) % 10;
        b->p = memalign(align, n);
        break;
    default:
        b->p = malloc(n);
    }
    if (!b->p || ((uintptr_t)b->p & (align - 1)) || malloc_usable_size(b->p) < n) {
        failed("bad allocation", n);
        b->p = NULL;
        n = 0;
    }
    b->size = n;
    b->seed = random_next(random);
    stamp(b->p, n, b->seed);
}

static void block_resize(struct block *b, uint64_t *random)
{
    size_t n = random_size(random, random_next(random) % 64 ? 16 : 23);
    unsigned char *p = realloc(b->p, n);
    if (!p) {
        failed("realloc", n);
        return;
    }
    b->p = p;
    check_content(b, n < b->size ? n : b->size, "content after realloc");
    b->size = n;
    b->seed = random_next(random);
    stamp(p, n, b->seed);
}

/* Puts a block where others find it, and takes what was there: mostly somebody else's. */
static void block_pass_on(struct block *b, struct block **spare, uint64_t *random)
{
    struct block *give = *spare;
    *give = *b;
    struct block *got = atomic_exchange(&shared[random_next(random) % SHARED], give);
    *b = (struct block){0};
    *spare = got;
    if (got && random_next(random) % 2)
        block_resize(got, random);
    if (got)
        block_free(got);
}

static void *worker(void *number)
{
    size_t me = (size_t)(uintptr_t)number;
    uint64_t random = seed_of_run * 1000 + me;
    struct block *mine = own[me], *record = &records[me * (OWN + SHARED)], *spare = NULL;
    struct block *end = record + OWN + SHARED;
    for (int i = 0; i < OPERATIONS; i++) {
        struct block *b = &mine[random_next(&random) % OWN];
        unsigned what = (unsigned)(random_next(&random) % 8);
        if (!b->p)
            block_new(b, &random);
        else if (what < 3)
            block_resize(b, &random);
        else if (what < 6)
            block_free(b);
        else if (spare || record < end) {
            spare = spare ? spare : record++;
            block_pass_on(b, &spare, &random);
        }
    }
    for (int i = 0; i < OWN; i++)
        if (me % 2) /* the others' are left for the main thread: their heaps are orphans then */
            block_free(&mine[i]);
    return NULL;
}

static void start(pthread_t *thread, void *(*function)(void *), size_t number)
{
    if (pthread_create(thread, NULL, function, (void *)(uintptr_t)number) != 0) {
        perror("pthread_create");
        exit(1);
    }
}

static void test_random(void)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        start(&threads[i], worker, i);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < THREADS; i++)
        for (int k = 0; k < OWN; k++)
            block_free(&own[i][k]);
    for (int i = 0; i < SHARED; i++)
        if (shared[i])
            block_free(shared[i]);
}

/* --- threads that each allocate once --------------------------------------------------------- */

enum { CROWD = 1000, AT_ONCE = 50 };
static const size_t crowd_sizes[] = {50, 2000, 30000, 90000, 300000};
static unsigned char *crowd[CROWD];
static pthread_barrier_t barrier;

static size_t crowd_size(size_t i) { return crowd_sizes[i % 5]; }

static void *allocate_once(void *number)
{
    size_t i = (size_t)(uintptr_t)number;
    pthread_barrier_wait(&barrier); /* a whole group does it at the same time */
    crowd[i] = malloc(crowd_size(i));
    if (crowd[i])
        stamp(crowd[i], crowd_size(i), i);
    return NULL;
}

static void crowd_run(void)
{
    pthread_t threads[AT_ONCE];
    pthread_barrier_init(&barrier, NULL, AT_ONCE);
    for (size_t i = 0; i < CROWD; i += AT_ONCE) {
        for (size_t k = 0; k < AT_ONCE; k++)
            start(&threads[k], allocate_once, i + k);
        for (size_t k = 0; k < AT_ONCE; k++)
            pthread_join(threads[k], NULL);
    }
    for (size_t i = 0; i < CROWD; i++) {
        CHECK(crowd[i] && is_stamped(crowd[i], crowd_size(i), crowd_size(i), i));
        free(crowd[i]);
    }
}

/* What dead threads left is used again, and in the end given back. */
static void test_crowd(void)
{
    crowd_run();
    if (!has_library()) {
        crowd_run();
        return;
    }
    struct bigmaac_stats before = now();
    for (int round = 0; round < 5; round++)
        crowd_run();
    struct bigmaac_stats after = now();
    CHECK(after.fry_bytes <= before.fry_bytes + mib);
    CHECK(after.bigmaac_bytes <= before.bigmaac_bytes + mib);
    CHECK(after.file_peak <= before.file_peak + before.file_peak / 2 + 16 * mib);
    if (kind_wanted(crowd_size(4)) != BIGMAAC_KIND_NONE)
        CHECK(after.fries + after.bigmaacs >= before.fries + before.bigmaacs + 5 * CROWD / 5);
    /* Pages age before they go. A heap keeps one empty slab of each class: 16 MiB at most. */
    for (int i = 0; i < 200 && now().file_bytes > 32 * mib; i++) {
        usleep(50000);
        free(malloc(70000));
    }
    CHECK(now().file_bytes <= 32 * mib);
}

/* --- one thread allocates, another frees, all the time --------------------------------------- */

enum { QUEUE = 64, MESSAGES = 20000 };
static _Atomic(struct block *) queue[QUEUE];

static void *consumer(void *unused)
{
    (void)unused;
    for (int i = 0; i < MESSAGES; i++) {
        struct block *b;
        while (!(b = atomic_exchange(&queue[i % QUEUE], NULL)))
            sched_yield();
        check_content(b, b->size, "message");
        free(b->p);
        free(b);
    }
    return NULL;
}

static void test_messages(void)
{
    pthread_t thread;
    uint64_t random = seed_of_run;
    start(&thread, consumer, 0);
    for (int i = 0; i < MESSAGES; i++) {
        struct block *b = malloc(sizeof *b), *none = NULL;
        b->size = random_size(&random, 12);
        b->seed = (uint64_t)i;
        b->p = malloc(b->size);
        stamp(b->p, b->size, b->seed);
        while (!atomic_compare_exchange_weak(&queue[i % QUEUE], &none, b)) {
            none = NULL;
            sched_yield();
        }
    }
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    aligned_from = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    seed_of_run = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 20;
    printf("seed %lu\n", seed_of_run);
    fflush(stdout);
    struct bigmaac_stats before = now();
    test_random();
    test_messages();
    CHECK(now().fry_bytes <= before.fry_bytes + mib); /* every free was counted, whoever did it */
    CHECK(now().bigmaac_bytes <= before.bigmaac_bytes + mib);
    test_crowd();
    CHECK(failures == 0);
    return check_result();
}
