/* unit_stress.c - the model stress: random calls of all kinds by several threads over all sizes, the
 * content of every block known and verified, blocks resized and freed by other threads, threads that
 * come and go, forks. All structures are checked again and again while everybody waits.
 *
 *     unit_stress [SEED [OPERATIONS [THREADS]]]
 *
 * Without arguments it runs itself with several seeds. The seed chooses the settings and what each
 * thread does; with one thread a run replays exactly. It stops at the first difference. */
#define secure_getenv test_getenv
static char *test_getenv(const char *name);
#include "../bigmaac.c"
#include "check.h"
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROUNDS = 4, OPERATIONS = 400000 };
#else
enum { ROUNDS = 5, OPERATIONS = 2000000 };
#endif
enum { THREADS_MAX = 16, SMALL = 8192, LARGE = 64, MAIL = 256, PHASES = 4 };

struct block {
    unsigned char *p;
    size_t size;
    uint64_t seed;
};

static struct worker {
    pthread_t thread;
    uint64_t state;              /* of its dice */
    uint64_t operation;          /* done, for the message */
    struct block small[SMALL];   /* whole contents are always verified */
    struct block large[LARGE];   /* of every eighth */
} worker[THREADS_MAX];

static struct mail {             /* blocks that change hands */
    atomic_flag busy;
    struct block block;
} mail[MAIL];

static uint64_t seed, operations = OPERATIONS, per_phase;
static unsigned threads = 3;
static pthread_barrier_t barrier;
static uint64_t forks, checks;

/* --- dice, and settings by the seed ----------------------------------------------------------------- */

static uint64_t mixed(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t dice(struct worker *w)
{
    w->state ^= w->state << 13;
    w->state ^= w->state >> 7;
    w->state ^= w->state << 17;
    return w->state * 0x2545f4914f6cdd1du;
}

static const struct choice {
    const char *name;
    const char *values[4];
} choices[] = {
    {"BIGMAAC_MIN_FRY_SIZE", {"1", "15", "64", "128"}},
    {"BIGMAAC_MIN_BIGMAAC_SIZE", {"20K", "64K", "200K", "1M"}},
    {"BIGMAAC_RECYCLE", {"auto", "0", "4M", "64M"}},
    {"BIGMAAC_RESERVE", {"1", "1", "0", "1"}},
    {"BIGMAAC_FORK", {"private", "copy", "private", "copy"}},
    {"BIGMAAC_PAGING", {"adaptive", "sequential", "normal", "random"}},
};
enum { CHOICES = sizeof choices / sizeof choices[0] };

static char *test_getenv(const char *name)
{
    if (strcmp(name, "BIGMAAC_TEMPLATE") == 0)
        return getenv(name) ? getenv(name) : (char *)"/var/tmp/bigmaac.XXXXXXXX";
    for (unsigned i = 0; seed && i < CHOICES; i++)
        if (strcmp(name, choices[i].name) == 0)
            return (char *)choices[i].values[mixed(seed + i) % 4];
    return strncmp(name, "SIZE_", 5) == 0 ? getenv(name) : NULL; /* small guests have small address spaces */
}

/* Small ones are most of the work, larger ones the rarer the larger. */
static size_t small_size(uint64_t r)
{
    unsigned kind = r % 4096;
    r >>= 12;
    return kind < 3964 ? 16 + r % 497 : kind < 4080 ? 1 + r % 4096 : 1 + r % 65536;
}

static size_t large_size(uint64_t r)
{
    return r % 16 ? 1 + (r >> 4) % (1 << 20) : 1 + (r >> 4) % (12 << 20);
}

/* --- contents ----------------------------------------------------------------------------------------- */

static const uint64_t word_step = 0x9e3779b97f4a7c15u;

static COLD __attribute__((noreturn)) void differs(const struct worker *w, const struct block *b, const char *what)
{
    fprintf(stderr, "%s: block %p of %zu bytes, thread %ld, operation %llu\nreplay: unit_stress %llu %llu %u\n",
            what, (void *)b->p, b->size, w ? (long)(w - worker) : -1L, (unsigned long long)(w ? w->operation : 0),
            (unsigned long long)seed, (unsigned long long)operations, threads);
    _exit(1);
}

static void write_words(unsigned char *p, size_t from, size_t bytes, uint64_t of)
{
    uint64_t x = of + from * word_step;
    size_t at = 0;
    for (; at + 8 <= bytes; at += 8, x += 8 * word_step)
        memcpy(p + from + at, &x, 8);
    memcpy(p + from + at, &x, bytes - at);
}

static bool has_words(const unsigned char *p, size_t from, size_t bytes, uint64_t of)
{
    uint64_t x = of + from * word_step, there, wrong = 0;
    size_t at = 0;
    for (; at + 8 <= bytes; at += 8, x += 8 * word_step) {
        memcpy(&there, p + from + at, 8);
        wrong |= there ^ x;
    }
    return !wrong && memcmp(p + from + at, &x, bytes - at) == 0;
}

/* Of most large blocks: both ends, and a word of every page. All begin at multiples of 8, so that
 * where they overlap they agree. */
static size_t tail_of(size_t bytes) { return round_down(bytes - 512, 8); }
static bool is_whole(const struct block *b) { return b->size <= 65536 || b->seed % 8 == 0; }

static void stamp(struct block *b, uint64_t of)
{
    b->seed = of;
    if (is_whole(b)) {
        write_words(b->p, 0, b->size, of);
        return;
    }
    for (size_t at = 0; at < b->size; at += 4096)
        write_words(b->p, at, min_size(at ? 8 : 512, b->size - at), of);
    write_words(b->p, tail_of(b->size), b->size - tail_of(b->size), of);
}

/* The first `kept` bytes are as stamped. */
static bool is_stamped(const struct block *b, size_t kept)
{
    if (is_whole(b))
        return has_words(b->p, 0, kept, b->seed);
    for (size_t at = 0; at < kept; at += 4096)
        if (!has_words(b->p, at, min_size(at ? 8 : 512, kept - at), b->seed))
            return false;
    return kept < b->size || has_words(b->p, tail_of(b->size), b->size - tail_of(b->size), b->seed);
}

/* --- the operations ------------------------------------------------------------------------------------ */

static void take(struct worker *w, struct block *b, size_t size, uint64_t r)
{
    size_t align = (size_t)16 << (r >> 4 & 7);
    unsigned how = r % 16;
    b->size = size;
    b->p = how == 0 ? bigmaac_memalign(align, size) : how < 3 ? bigmaac_calloc(1, size) : bigmaac_malloc(size);
    if (!b->p)
        differs(w, b, "no memory");
    if (how == 0 && (uintptr_t)b->p % align)
        differs(w, b, "not aligned");
    if ((how == 1 || how == 2) && !is_zero(b->p, min_size(size, 65536)))
        differs(w, b, "calloc: not zero");
    stamp(b, r);
}

static void verify(struct worker *w, const struct block *b)
{
    if (!is_stamped(b, b->size))
        differs(w, b, "the content differs");
}

static void resize(struct worker *w, struct block *b, size_t size, uint64_t r)
{
    b->p = bigmaac_realloc(b->p, size);
    if (!b->p || !is_stamped(b, min_size(size, b->size)))
        differs(w, b, "realloc: the content differs");
    b->size = size;
    stamp(b, r);
}

/* Another thread's block against ours. */
static void swap(struct block *b, struct mail *m)
{
    if (atomic_flag_test_and_set_explicit(&m->busy, memory_order_acquire))
        return;
    struct block other = m->block;
    m->block = *b;
    *b = other;
    atomic_flag_clear_explicit(&m->busy, memory_order_release);
}

static void step(struct worker *w)
{
    uint64_t r = dice(w), how = r >> 32 & 31, detail = dice(w);
    bool large = (r >> 37 & 1023) == 0;
    struct block *b = large ? &w->large[r % LARGE] : &w->small[r % SMALL];
    if (!b->p) {
        take(w, b, large ? large_size(detail >> 8) : small_size(detail >> 8), detail);
    } else if (how < 22) {
        verify(w, b);
        bigmaac_free(b->p);
        b->p = NULL;
    } else if (how < 25) {
        resize(w, b, large ? large_size(detail >> 8) : small_size(detail >> 8), detail);
    } else if (how < 28) {
        size_t usable = bigmaac_malloc_usable_size(b->p);
        if (usable < b->size)
            differs(w, b, "malloc_usable_size: too small");
    } else if (how < 31 && !large) {
        swap(b, &mail[detail % MAIL]);
    } else {
        verify(w, b);
        stamp(b, detail);
    }
}

/* --- checks, while everybody waits ------------------------------------------------------------------ */

static void check_structures(void)
{
    home_lock(); /* the monitor may be tidying up */
    const char *wrong[] = {extent_check(&big.space), extent_check(&fry.space), big_check(), fry_check()};
    home_unlock();
    for (unsigned i = 0; i < 4; i++)
        if (wrong[i])
            differs(NULL, &(struct block){0}, wrong[i]);
    checks++;
}

static void check_blocks(void)
{
    for (unsigned t = 0; t < threads; t++) {
        for (unsigned i = 0; i < SMALL; i++)
            if (worker[t].small[i].p)
                verify(&worker[t], &worker[t].small[i]);
        for (unsigned i = 0; i < LARGE; i++)
            if (worker[t].large[i].p)
                verify(&worker[t], &worker[t].large[i]);
    }
}

/* The child finds everything, changes everything, and works on; nothing of that is in the parent. */
static void check_fork(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        alarm(600);
        check_blocks();
#ifdef __SANITIZE_THREAD__ /* it does not know that the locks of a child are new ones */
        _exit(0);
#endif
        check_structures();
        for (unsigned i = 0; i < LARGE; i++)
            if (worker[0].large[i].p)
                stamp(&worker[0].large[i], i);
        for (unsigned i = 0; i < 3000; i++)
            step(&worker[0]);
        check_structures();
        _exit(0);
    }
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        fprintf(stderr, "the child: status %d\n", status);
        differs(NULL, &(struct block){0}, "fork");
    }
    forks++;
}

/* One thread's life; in the middle of it all wait, with live heaps, while one checks. */
static void *life(void *argument)
{
    struct worker *w = argument;
    for (unsigned phase = 0; phase < PHASES; phase++) {
        for (uint64_t i = 0; i < per_phase; i++, w->operation++)
            step(w);
        pthread_barrier_wait(&barrier);
        if (w == worker)
            check_structures();
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void free_all(void)
{
    for (unsigned t = 0; t < threads; t++) {
        for (unsigned i = 0; i < SMALL; i++)
            bigmaac_free(worker[t].small[i].p);
        for (unsigned i = 0; i < LARGE; i++)
            bigmaac_free(worker[t].large[i].p);
    }
    for (unsigned i = 0; i < MAIL; i++)
        bigmaac_free(mail[i].block.p);
    if (heap_self)
        heap_flush(heap_self);
    check_structures();
    CHECK(count.bigmaacs + count.fries > 0 && count.bigmaac_bytes == 0 && fry_live_bytes() == 0);
}

static int run(void)
{
    config_load();
    route_set_limit();
    printf("seed %llu, %llu operations, %u threads:", (unsigned long long)seed, (unsigned long long)operations, threads);
    for (unsigned i = 0; i < CHOICES; i++)
        printf(" %s=%s", choices[i].name, test_getenv(choices[i].name));
    printf("\n");
    fflush(stdout);
    uint64_t lives = 1 + operations / threads / (PHASES * 500000);
    per_phase = operations / threads / PHASES / lives;
    for (unsigned t = 0; t < threads; t++)
        worker[t].state = mixed(seed * THREADS_MAX + t) | 1;
    pthread_barrier_init(&barrier, NULL, threads);
    for (uint64_t i = 0; i < lives; i++) {
        for (unsigned t = 1; t < threads; t++)
            CHECK(pthread_create(&worker[t].thread, NULL, life, &worker[t]) == 0);
        life(&worker[0]);
        for (unsigned t = 1; t < threads; t++)
            pthread_join(worker[t].thread, NULL);
        check_structures();
        check_blocks();
        check_fork();
        check_blocks();
    }
    free_all();
    printf("    %zu bigmaacs, %zu recycled, %zu grown, %zu moved, %zu page runs; %llu checks, %llu forks\n",
           count.bigmaacs, count.recycled, count.grown, count.moved, count.fries, (unsigned long long)checks,
           (unsigned long long)forks);
    return check_result();
}

int main(int argc, char **argv)
{
    uint64_t first = (uint64_t)time(NULL) * 1000 + (uint64_t)getpid() % 1000;
    if (argc > 1) {
        seed = strtoull(argv[1], NULL, 10);
        operations = argc > 2 ? strtoull(argv[2], NULL, 10) : operations;
        threads = argc > 3 ? (unsigned)min_size(strtoul(argv[3], NULL, 10), THREADS_MAX) : threads;
        return run();
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        char text[32], count_of[32];
        snprintf(text, sizeof text, "%llu", (unsigned long long)first + i);
        snprintf(count_of, sizeof count_of, "%llu", (unsigned long long)operations);
        pid_t pid = fork();
        if (pid == 0) {
            execl("/proc/self/exe", argv[0], text, count_of, i == 0 ? "1" : "3", (char *)NULL);
            _exit(127);
        }
        int status = -1;
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    }
    return check_result();
}
