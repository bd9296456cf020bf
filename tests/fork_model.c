/* fork_model.c - randomized model test: a tree of forking processes, each of which knows, word by
 * word, what its memory must hold, whatever the others do to theirs.
 *
 *     fork_model [quick|long|FORKS [SEED]]        quick: 500 forks; long: 10,000
 *
 * Every process owns up to SLOTS blocks, each cut into segments; a segment's content is a function
 * of one number, so the shadow copy is those numbers, in .bss, that fork copies along. Which
 * operations a process makes depends on the seed and on its place in the tree alone: a failure
 * prints both, and the same seed replays them. A process has at most CHILDREN_AT_ONCE children that it
 * has not waited for, and the tree at most DEPTH levels, which bounds the processes alive.
 */
#include "fork_common.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/prctl.h>

enum {
    SLOTS = 40,
    SEGMENT = PAGE,
    BLOCK_MAX = 4 << 20,
    BYTES_MAX = 10 << 20,  /* of live blocks in one process */
    SEGMENTS_MAX = BLOCK_MAX / SEGMENT,
    DEPTH = 5,
    CHILDREN_AT_ONCE = 2,
    STEPS_BETWEEN_FORKS = 12,
    HANG_SECONDS = 300
};

struct slot {
    unsigned char *block; /* NULL: free */
    size_t size;
    bool page_aligned;
    size_t read_only;     /* number of the protected segment, from 1; 0: none */
    uint64_t seeds[SEGMENTS_MAX]; /* of each segment; 0: it is all zeroes */
};

/* Common to all processes of one run. */
struct tally {
    atomic_long forks, steps, verified_bytes, alive, alive_peak, kills_planned, kills_seen, failures;
    atomic_long fork_count_of_depth[DEPTH + 1];
    atomic_long blocks_of_kind[BIGMAAC_KIND_FRY + 1];
};

static struct slot slots[SLOTS];
static struct tally *tally;
static uint64_t rng;      /* this process's */
static uint64_t run_seed;
static char path[256];    /* place in the tree, as 0.3.1 */
static long step_count;   /* of this process */
static int depth;
static size_t live_bytes; /* requested, of this process */

__attribute__((format(printf, 1, 2), noreturn)) static void differ(const char *text, ...)
{
    char what[256];
    va_list args;
    va_start(args, text);
    vsnprintf(what, sizeof what, text, args);
    va_end(args);
    atomic_fetch_add(&tally->failures, 1);
    fail("seed %llu, process %s, step %ld: %s", (unsigned long long)run_seed, path, step_count, what);
}

static size_t segment_bytes(const struct slot *s, size_t segment)
{
    size_t left = s->size - segment * SEGMENT;
    return left < SEGMENT ? left : SEGMENT;
}

static size_t segments_of(const struct slot *s)
{
    return (s->size + SEGMENT - 1) / SEGMENT;
}

static void segment_write(struct slot *s, size_t segment, uint64_t seed)
{
    s->seeds[segment] = seed;
    content_fill(s->block + segment * SEGMENT, segment_bytes(s, segment), seed);
}

/* Requires the first BYTES bytes of the block to be what the shadow says. */
static void slot_verify(const struct slot *s, size_t bytes, const char *when)
{
    for (size_t i = 0; i * SEGMENT < bytes; i++) {
        size_t n = bytes - i * SEGMENT < SEGMENT ? bytes - i * SEGMENT : SEGMENT;
        size_t at = content_wrong(s->block + i * SEGMENT, n, s->seeds[i]);
        if (at != n)
            differ("%s: block %p of %zu bytes, kind %d, wrong at offset %zu", when,
                   (void *)s->block, s->size, bigmaac_try_kind(s->block), i * SEGMENT + at);
    }
    atomic_fetch_add(&tally->verified_bytes, (long)bytes);
}

static void verify_all(const char *when)
{
    for (int i = 0; i < SLOTS; i++) {
        const struct slot *s = &slots[i];
        if (s->block != NULL)
            slot_verify(s, s->size, when);
        if (s->block != NULL && s->read_only && access_of(s->block + (s->read_only - 1) * SEGMENT) != 'r')
            differ("%s: block %p of %zu bytes: segment %zu is not read-only", when, (void *)s->block, s->size, s->read_only - 1);
    }
}

/* Protects a whole segment, for as long as only verifying concerns the block: over forks and coming home. */
static void step_protect(struct slot *s)
{
    size_t whole = s->size / SEGMENT;
    if (!s->page_aligned || whole == 0)
        return;
    s->read_only = 1 + rng_below(&rng, whole);
    if (mprotect(s->block + (s->read_only - 1) * SEGMENT, SEGMENT, PROT_READ) != 0)
        differ("mprotect: errno %d", errno);
}

static void unprotect(struct slot *s)
{
    if (s->read_only && mprotect(s->block + (s->read_only - 1) * SEGMENT, SEGMENT, PROT_READ | PROT_WRITE) != 0)
        differ("mprotect: errno %d", errno);
    s->read_only = 0;
}

/* Sizes spread evenly over the powers of two from 64 B on; the largest are rarer. */
static size_t random_size(void)
{
    size_t room = BYTES_MAX - live_bytes;
    unsigned bits = 6 + (unsigned)rng_below(&rng, rng_below(&rng, 4) == 0 ? 17 : 14);
    size_t size = ((size_t)1 << bits) - rng_below(&rng, (size_t)1 << (bits - 1));
    return size < room ? size : 1 + rng_below(&rng, 4096);
}

static void fill_random(struct slot *s, size_t from_segment)
{
    for (size_t i = from_segment; i < segments_of(s); i++)
        segment_write(s, i, rng_next(&rng) | 1);
}

static void *allocate(size_t size, unsigned how, bool *zeroed, bool *page_aligned)
{
    void *p = NULL;
    *zeroed = how == 1;
    *page_aligned = how == 2 || how == 4;
    if (how == 1)
        return calloc(size, 1);
    if (*page_aligned)
        return posix_memalign(&p, SEGMENT, size) == 0 ? p : NULL;
    if (how == 3)
        return aligned_alloc((size_t)16 << rng_below(&rng, 6), size);
    return malloc(size);
}

static void step_allocate(struct slot *s)
{
    bool zeroed;
    s->size = random_size();
    s->block = allocate(s->size, (unsigned)rng_below(&rng, 6), &zeroed, &s->page_aligned);
    if (s->block == NULL)
        differ("no memory for %zu bytes", s->size);
    live_bytes += s->size;
    atomic_fetch_add(&tally->blocks_of_kind[bigmaac_try_kind(s->block)], 1);
    if (zeroed) {
        memset(s->seeds, 0, segments_of(s) * sizeof s->seeds[0]);
        slot_verify(s, s->size, "calloc");
    }
    if (!zeroed || rng_below(&rng, 2) == 0)
        fill_random(s, 0);
}

static void step_free(struct slot *s)
{
    slot_verify(s, s->size, "before free");
    free(s->block);
    live_bytes -= s->size;
    s->block = NULL;
}

static void step_resize(struct slot *s)
{
    size_t old_size = s->size;
    live_bytes -= old_size;
    size_t size = rng_below(&rng, 3) == 0 ? old_size + rng_below(&rng, 5000) : random_size();
    size = size <= BLOCK_MAX ? size : BLOCK_MAX;
    unsigned char *p = realloc(s->block, size);
    if (p == NULL)
        differ("no memory to resize %zu to %zu", old_size, size);
    s->block = p;
    s->size = size;
    s->page_aligned = false;
    live_bytes += size;
    size_t kept = size < old_size ? size : old_size;
    slot_verify(s, kept, "after realloc");
    fill_random(s, kept / SEGMENT); /* the cut segment's numbers hold for its start only */
}

static void step_write(struct slot *s)
{
    size_t n = segments_of(s), first = rng_below(&rng, n);
    size_t end = first + 1 + rng_below(&rng, n - first);
    size_t stride = 1 + rng_below(&rng, 9);
    for (size_t i = first; i < end; i += stride)
        segment_write(s, i, rng_next(&rng) | 1);
}

static void step_drop(struct slot *s)
{
    size_t whole = s->size / SEGMENT;
    if (!s->page_aligned || whole == 0) {
        step_write(s);
        return;
    }
    size_t first = rng_below(&rng, whole), n = 1 + rng_below(&rng, whole - first);
    if (madvise(s->block + first * SEGMENT, n * SEGMENT, MADV_DONTNEED) != 0)
        differ("MADV_DONTNEED: errno %d", errno);
    memset(s->seeds + first, 0, n * sizeof s->seeds[0]);
    slot_verify(s, s->size, "after MADV_DONTNEED");
}

/* The program's own memory over whole segments of a block: private, fresh, the block's until it is freed. */
static void step_overlay(struct slot *s)
{
    size_t whole = s->size / SEGMENT;
    if (!s->page_aligned || whole == 0)
        return;
    size_t first = rng_below(&rng, whole), n = 1 + rng_below(&rng, whole - first < 8 ? whole - first : 8);
    unsigned char *at = s->block + first * SEGMENT;
    if (mmap(at, n * SEGMENT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at)
        differ("mmap over a block: errno %d", errno);
    memset(s->seeds + first, 0, n * sizeof s->seeds[0]);
    slot_verify(s, s->size, "after an overlay");
    for (size_t i = first; i < first + n; i += 2)
        segment_write(s, i, rng_next(&rng) | 1);
}

static void one_step(void)
{
    struct slot *s = &slots[rng_below(&rng, SLOTS)];
    step_count++;
    atomic_fetch_add(&tally->steps, 1);
    unsigned choice = (unsigned)rng_below(&rng, 15);
    if (s->block != NULL && (choice < 9 || choice == 14))
        unprotect(s);
    if (rng_below(&rng, 60) == 0)
        close_all();
    if (s->block == NULL)
        step_allocate(s);
    else if (choice < 2)
        step_free(s);
    else if (choice < 5)
        step_resize(s);
    else if (choice < 8)
        step_write(s);
    else if (choice < 9)
        step_drop(s);
    else if (choice < 13 && s->read_only == 0)
        step_protect(s);
    else if (choice == 14)
        step_overlay(s);
    else
        slot_verify(s, s->size, "verify");
}

/* A thread that sleeps, over forks, on a process-shared semaphore in a block. It wakes when it is told to, not before. */
static struct {
    sem_t *told; /* NULL: no thread */
    atomic_bool is_told;
    pthread_t thread;
} sleeper;

static void *sleep_until_told(void *unused)
{
    (void)unused;
    while (sem_wait(sleeper.told) != 0 && errno == EINTR)
        ;
    return atomic_load(&sleeper.is_told) ? NULL : &sleeper;
}

static void step_sleep(void)
{
    atomic_store(&sleeper.is_told, sleeper.told != NULL);
    if (sleeper.told == NULL) {
        sleeper.told = malloc(rng_below(&rng, 2) ? 1000 : 100000); /* a fry, a bigmaac */
        REQUIRE(sleeper.told != NULL && sem_init(sleeper.told, 1, 0) == 0);
        REQUIRE(pthread_create(&sleeper.thread, NULL, sleep_until_told, NULL) == 0);
        return;
    }
    void *early;
    REQUIRE(sem_post(sleeper.told) == 0 && pthread_join(sleeper.thread, &early) == 0);
    if (early)
        differ("the sleeper woke before it was told to");
    free(sleeper.told);
    sleeper.told = NULL;
}

/* A child's end: 0 is right; killed is right for those that said before that they would be. */
static void reap(pid_t child)
{
    int status;
    pid_t pid;
    alarm(0); /* those below have alarms of their own */
    while ((pid = waitpid(child, &status, 0)) < 0)
        if (errno != EINTR)
            differ("waitpid: errno %d", errno);
    alarm(HANG_SECONDS);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        atomic_fetch_add(&tally->kills_seen, 1);
    else if (WIFSIGNALED(status))
        differ("child ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        differ("child ended with status %d", WEXITSTATUS(status));
}

__attribute__((noreturn)) static void leave(void)
{
    verify_all("at the end");
    unsigned how = (unsigned)rng_below(&rng, 8);
    if (how < 3)
        for (int i = 0; i < SLOTS; i++)
            if (slots[i].block != NULL) {
                unprotect(&slots[i]);
                step_free(&slots[i]);
            }
    atomic_fetch_sub(&tally->alive, 1);
    if (how == 7) {
        atomic_fetch_add(&tally->kills_planned, 1);
        kill(getpid(), SIGKILL);
    }
    if (how == 6)
        exit(0); /* with everything that is registered to run then */
    _exit(0);
}

static void life(long forks_to_make);

__attribute__((noreturn)) static void child_life(long number, uint64_t seed, long forks_to_make)
{
    alarm(HANG_SECONDS);
    free(sleeper.told); /* the thread is its parent's */
    sleeper.told = NULL;
    rng = seed;
    step_count = 0;
    depth++;
    size_t used = strlen(path);
    snprintf(path + used, sizeof path - used, ".%ld", number);
    long alive = atomic_fetch_add(&tally->alive, 1) + 1;
    if (alive > atomic_load(&tally->alive_peak))
        atomic_store(&tally->alive_peak, alive); /* a lost update hides one process at most */
    atomic_fetch_add(&tally->fork_count_of_depth[depth], 1);
    if (rng_below(&rng, 2) == 0)
        verify_all("child, at once");
    life(forks_to_make);
    leave();
}

/* Steps of this process, with forks between: FORKS_TO_MAKE in it and all below it together. */
static void life(long forks_to_make)
{
    pid_t children[CHILDREN_AT_ONCE];
    int unreaped = 0;
    for (long number = 0;; number++) {
        for (long n = 1 + (long)rng_below(&rng, 2 * STEPS_BETWEEN_FORKS); n > 0; n--)
            one_step();
        if (rng_below(&rng, 4) == 0)
            step_sleep();
        if (forks_to_make == 0)
            break;
        uint64_t seed = rng_next(&rng);
        long share = 0; /* of what is left, for the child's subtree */
        if (depth + 1 < DEPTH)
            share = (long)rng_below(&rng, (uint64_t)(forks_to_make < 60 ? forks_to_make : 60));
        forks_to_make -= 1 + share;
        pid_t child = require_fork();
        if (child == 0)
            child_life(number, seed, share);
        atomic_fetch_add(&tally->forks, 1);
        alarm(HANG_SECONDS);
        children[unreaped++] = child;
        if (unreaped == CHILDREN_AT_ONCE) {
            reap(children[0]);
            children[0] = children[--unreaped];
        }
    }
    if (sleeper.told != NULL)
        step_sleep();
    /* Some children outlive us: then the first process, the subreaper, waits for them. */
    while (unreaped > 0 && (depth == 0 || rng_below(&rng, 4) != 0))
        reap(children[--unreaped]);
}

static int report_run(long forks)
{
    printf("forks=%ld steps=%ld verified_MiB=%ld alive_peak=%ld kills=%ld by_depth=",
           atomic_load(&tally->forks), atomic_load(&tally->steps),
           atomic_load(&tally->verified_bytes) >> 20, atomic_load(&tally->alive_peak),
           atomic_load(&tally->kills_seen));
    for (int i = 1; i <= DEPTH; i++)
        printf("%ld%s", atomic_load(&tally->fork_count_of_depth[i]), i < DEPTH ? "," : "");
    long fries = tally->blocks_of_kind[BIGMAAC_KIND_FRY];
    long bigmaacs = tally->blocks_of_kind[BIGMAAC_KIND_BIGMAAC];
    printf(" fries=%ld bigmaacs=%ld\n", fries, bigmaacs);
    if (preloaded() && (fries == 0 || bigmaacs == 0)) {
        printf("FAIL: no fries or no bigmaacs under the library\n");
        return 1;
    }
    if (tally->failures != 0 || tally->forks != forks || tally->alive != 1 ||
        tally->kills_seen != tally->kills_planned) {
        printf("FAIL: seed %llu: failures=%ld forks=%ld of %ld alive=%ld kills seen=%ld planned=%ld\n",
               (unsigned long long)run_seed, tally->failures, tally->forks, forks, tally->alive,
               tally->kills_seen, tally->kills_planned);
        return 1;
    }
    printf("ok: zero differences, seed %llu, mode %s\n", (unsigned long long)run_seed, fork_mode());
    return 0;
}

static long forks_asked(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "quick") == 0)
        return 500;
    return strcmp(argv[1], "long") == 0 ? 10000 : atol(argv[1]);
}

int main(int argc, char **argv)
{
    fork_test_begin(argv);
    long forks = forks_asked(argc, argv);
    run_seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL) * 1000 + (uint64_t)getpid();
    printf("fork_model: %ld forks, seed %llu (replay: fork_model %ld %llu)\n", forks,
           (unsigned long long)run_seed, forks, (unsigned long long)run_seed);
    fflush(stdout);
    tally = common_memory(sizeof *tally);
    tally->alive = 1;
    strcpy(path, "0");
    rng = run_seed;
    REQUIRE(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    alarm(HANG_SECONDS);
    life(forks);
    alarm(0);
    int status;
    while (waitpid(-1, &status, 0) > 0) { /* the orphans */
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
            atomic_fetch_add(&tally->kills_seen, 1);
        else if (status != 0)
            atomic_fetch_add(&tally->failures, 1);
    }
    verify_all("the first process, at the end");
    return report_run(forks);
}
