/* fork_threads.c - fork in one of many running threads that allocate, resize and free all the time.
 * The child uses the allocator at once and finds every block that nobody was writing as it was;
 * of counters that a thread writes in order, it sees a state that existed.
 *
 *     fork_threads [FORKS]
 */
#include "fork_common.h"

#include <pthread.h>

enum { THREADS = 4, STILL = 12, OWN = 8, CHILD_BLOCKS = 20 };

static const size_t still_sizes[] = {REAL_SIZE, FRY_SMALL, FRY_LARGE, BIG_SMALL};
static unsigned char *still[STILL]; /* written before the threads start, never again */

/* Counted up in this order by one thread; each lives in a block, and so in a mapping, of its own. */
struct ordered {
    atomic_ulong *first, *second;
};

static struct ordered ordered[THREADS];
static atomic_bool stop;
static atomic_ulong thread_steps;

static size_t still_size(int i)
{
    return still_sizes[i % 4] + (size_t)i * 16;
}

/* Any size of any kind; BIG_LARGE is left out for speed. */
static size_t some_size(uint64_t *rng)
{
    static const size_t limits[] = {REAL_SIZE, FRY_SMALL, FRY_LARGE, 2 * BIG_SMALL};
    size_t limit = limits[rng_below(rng, 8) < 5 ? rng_below(rng, 2) : rng_below(rng, 4)];
    return 1 + rng_below(rng, limit);
}

/* One more step of a thread that owns the blocks of OWN slots. */
static void churn(unsigned char **blocks, size_t *sizes, uint64_t *rng)
{
    size_t i = rng_below(rng, OWN), size = some_size(rng);
    if (blocks[i] == NULL) {
        blocks[i] = malloc(size);
    } else if (rng_below(rng, 2) == 0) {
        size_t kept = size < sizes[i] ? size : sizes[i];
        blocks[i] = realloc(blocks[i], size);
        REQUIRE(blocks[i] != NULL);
        content_require(blocks[i], kept, sizes[i], "thread, realloc");
    } else {
        content_require(blocks[i], sizes[i], sizes[i], "thread, free");
        free(blocks[i]);
        blocks[i] = NULL;
        return;
    }
    REQUIRE(blocks[i] != NULL);
    sizes[i] = size;
    content_fill(blocks[i], size, size); /* the size is the seed: it is known again later */
}

static void *thread_main(void *argument)
{
    struct ordered *mine = argument;
    unsigned char *blocks[OWN] = {NULL};
    size_t sizes[OWN];
    uint64_t rng = (uintptr_t)argument;
    while (!atomic_load(&stop)) {
        churn(blocks, sizes, &rng);
        for (int i = 0; i < 50; i++) {
            atomic_fetch_add(mine->first, 1);
            atomic_fetch_add(mine->second, 1);
        }
        if (atomic_fetch_add_explicit(&thread_steps, 1, memory_order_relaxed) % 64 == 0)
            usleep(200); /* few cores: let the child have one */
    }
    for (int i = 0; i < OWN; i++)
        free(blocks[i]);
    return NULL;
}

static void require_state(const char *who)
{
    for (int i = 0; i < STILL; i++)
        content_require(still[i], still_size(i), (uint64_t)i + 1, who);
}

/* In the child no thread runs but this one, so first and second are one moment's. */
static void require_ordered(void)
{
    for (int i = 0; i < THREADS; i++) {
        unsigned long first = *ordered[i].first, second = *ordered[i].second;
        if (first != second && first != second + 1)
            fail("child sees a state that never was: %lu before %lu", first, second);
    }
}

static void *child_thread(void *argument)
{
    uint64_t rng = (uintptr_t)argument;
    unsigned char *blocks[OWN] = {NULL};
    size_t sizes[OWN];
    for (int i = 0; i < 30; i++)
        churn(blocks, sizes, &rng);
    return NULL; /* what it holds is left to the exit */
}

static void child_main(long number)
{
    alarm(600);
    unsigned char *blocks[CHILD_BLOCKS];
    uint64_t rng = (uint64_t)number;
    size_t sizes[CHILD_BLOCKS];
    for (int i = 0; i < CHILD_BLOCKS; i++) {
        sizes[i] = some_size(&rng);
        blocks[i] = malloc(sizes[i]);
        REQUIRE(blocks[i] != NULL);
        content_fill(blocks[i], sizes[i], 5);
    }
    require_ordered();
    require_state("child");
    for (int i = 0; i < STILL; i++) {
        still[i] = realloc(still[i], still_size(i) * 2);
        REQUIRE(still[i] != NULL);
        content_require(still[i], still_size(i), (uint64_t)i + 1, "child, realloc");
        memset(still[i], 0xcc, still_size(i) * 2);
    }
    for (int i = 0; i < THREADS; i++)
        *ordered[i].first = *ordered[i].second = 0;
    for (int i = 0; i < CHILD_BLOCKS; i++) {
        content_require(blocks[i], sizes[i], 5, "child, own");
        free(blocks[i]);
    }
    for (int i = 0; i < STILL; i += 2)
        free(still[i]);
    pthread_t thread; /* the child may have threads again */
    if (number % 4 == 0) {
        REQUIRE(pthread_create(&thread, NULL, child_thread, &rng) == 0);
        REQUIRE(pthread_join(thread, NULL) == 0);
    }
    _exit(0);
}

static void *forker_main(void *argument)
{
    long forks = *(long *)argument;
    for (long i = 0; i < forks; i++) {
        pid_t child = fork(); /* no stdio flush: other threads run */
        REQUIRE(child >= 0);
        if (child == 0)
            child_main(i);
        alarm(600);
        require_exit_0(child, "fork beside threads");
        require_state("parent");
    }
    return NULL;
}

int main(int argc, char **argv)
{
    fork_test_begin(argv);
    long forks = argc > 1 ? atol(argv[1]) : forks_copy() ? 100 : 200;
    for (int i = 0; i < STILL; i++) {
        still[i] = malloc(still_size(i));
        REQUIRE(still[i] != NULL);
        content_fill(still[i], still_size(i), (uint64_t)i + 1);
    }
    require_kind(still[1], BIGMAAC_KIND_FRY);
    require_kind(still[3], BIGMAAC_KIND_BIGMAAC);
    pthread_t threads[THREADS], forker;
    for (int i = 0; i < THREADS; i++) { /* one pair across the kinds, one within each */
        ordered[i].first = calloc(1, i % 2 == 0 ? BIG_SMALL : FRY_LARGE);
        ordered[i].second = calloc(1, i < 2 ? BIG_SMALL : FRY_SMALL);
        REQUIRE(ordered[i].first != NULL && ordered[i].second != NULL);
        REQUIRE(pthread_create(&threads[i], NULL, thread_main, &ordered[i]) == 0);
    }
    REQUIRE(pthread_create(&forker, NULL, forker_main, &forks) == 0);
    REQUIRE(pthread_join(forker, NULL) == 0);
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++) {
        REQUIRE(pthread_join(threads[i], NULL) == 0);
        REQUIRE(*ordered[i].first == *ordered[i].second); /* no count lost to a fork */
    }
    printf("ok: %ld forks beside %d threads that made %lu steps, mode %s\n", forks, THREADS,
           atomic_load(&thread_steps), fork_mode());
    return 0;
}
