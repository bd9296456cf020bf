/* shapes [SEED] - what test suites of other allocators put an allocator through, written anew: alignments, sizes around each
 * power of 2, what can't be met, zeroes after dirt, huge blocks that grow and shrink, slack that is used, threads that leave
 * their blocks behind, blocks that wander from thread to thread, children of threaded programs. Any malloc has to pass. */
#include "check.h"
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, TRANSFERS = 512, KEPT = 300, HELD = 8 };
static const size_t mib = 1 << 20;
static uint64_t seed_of_run = 1;

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
    return *state;
}

/* Both ends and a word of each page: that is enough to see a block that overlaps another, or was lost. */
static void mark(unsigned char *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i += i < 64 || i + 64 >= n ? 1 : i + 4096 + 64 < n ? 4096 : n - 64 - i)
        p[i] = (unsigned char)((seed + i) * 0x9e3779b97f4a7c15u >> 56);
}

static int marked(const unsigned char *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i += i < 64 || i + 64 >= n ? 1 : i + 4096 + 64 < n ? 4096 : n - 64 - i)
        if (p[i] != (unsigned char)((seed + i) * 0x9e3779b97f4a7c15u >> 56))
            return 0;
    return 1;
}

static void *aligned(int how, size_t align, size_t n)
{
    void *p = NULL;
    if (how == 0)
        return aligned_alloc(align, n);
    if (how == 1)
        return memalign(align, n);
    CHECK(align < sizeof p || posix_memalign(&p, align, n) == 0);
    return align < sizeof p ? aligned_alloc(align, n) : p;
}

static void alignments(void)
{
    unsigned char *p[HELD];
    size_t size[HELD];
    for (size_t align = 8; align <= 32 * mib; align *= 2)
        for (int way = 0; way < 12; way++) {
            for (int i = 0; i < HELD; i++) { /* below, at and above the alignment, and little */
                size[i] = way < 3 ? (size_t)i * 7 + 1 : way < 6 ? align - 3 + (size_t)i : way < 9 ? align + align / 2 + (size_t)i * 100 : 3 * mib + (size_t)i;
                p[i] = aligned(way % 3, align, size[i]);
                CHECK(p[i] && (uintptr_t)p[i] % align == 0 && malloc_usable_size(p[i]) >= size[i]);
                if (align <= mib || size[i] < mib)
                    mark(p[i], size[i], align + (uint64_t)i);
            }
            for (int i = HELD - 1; i >= 0; i--) {
                CHECK((align > mib && size[i] >= mib) || marked(p[i], size[i], align + (uint64_t)i));
                free(p[i]);
            }
        }
}

/* What can't be met fails, changes nothing, and the old block stays. */
static void impossible(void)
{
    static const size_t much[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 4096, (size_t)PTRDIFF_MAX + 1, SIZE_MAX / 2 + 4097};
    for (size_t i = 0; i < sizeof much / sizeof much[0]; i++)
        for (size_t old = 10; old < 40 * mib; old *= 60) {
            unsigned char *p = malloc(old);
            void *out = &out;
            size_t n = (size_t)opaque((void *)much[i]);
            mark(p, old, i);
            errno = 0;
            CHECK(!malloc(n) && errno == ENOMEM);
            CHECK(!realloc(p, n) && errno == ENOMEM && marked(p, old, i));
            CHECK(!calloc(n / 2, 4) && !calloc(4, n / 2) && !reallocarray(p, n / 2, 4) && marked(p, old, i));
            CHECK(!aligned_alloc(4096, n) && !memalign(64, n));
            CHECK(posix_memalign(&out, 64, n) == ENOMEM);
            free(p);
        }
    void *out = NULL;
    CHECK(posix_memalign(&out, 3, 100) == EINVAL && posix_memalign(&out, 0, 100) == EINVAL && posix_memalign(&out, 48, 100) == EINVAL);
}

/* Sizes around each power of 2: the whole of a block is the program's, its slack too, and follows it. */
static void sizes(void)
{
    for (size_t power = 8; power <= 32 * mib; power *= 2)
        for (size_t n = power - power / 8; n <= power + power / 8; n += power / 8 < 9 ? 1 : power / 24) {
            unsigned char *p = malloc(n), *q = calloc(1, n);
            size_t all = malloc_usable_size(p);
            CHECK(p && q && all >= n && q[0] == 0 && q[n - 1] == 0 && q[n / 2] == 0);
            mark(p, all, n);
            mark(q, n, n + 1);
            p = realloc(p, all); /* where it is, or elsewhere: nothing is lost */
            CHECK(marked(p, all, n));
            p = realloc(p, all + all / 3 + 1);
            CHECK(malloc_usable_size(p) > all && marked(p, all < 64 ? all : 64, n) && marked(q, n, n + 1));
            free(p), free(q);
        }
    free(NULL);
    CHECK(malloc_usable_size(NULL) == 0);
    void *none[3] = {malloc(0), calloc(0, 8), realloc(NULL, 0)};
    CHECK(none[0] && none[1] && none[2] && none[0] != none[1] && none[1] != none[2]);
    for (int i = 0; i < 3; i++)
        free(none[i]);
    char *path = realpath("/", NULL), *copy = strdup("of libc's own");
    CHECK(strcmp(path, "/") == 0 && strlen(copy) == 13);
    free(path), free(copy);
}

/* Zeroes, whatever was there: blocks of one size are filled, freed and asked for again, grown ones are dirty behind. */
static void zeroes(void)
{
    for (size_t n = 1; n <= 40 * mib; n = n * 3 + 5)
        for (int round = 0; round < 4; round++) {
            unsigned char *p[HELD];
            for (int i = 0; i < HELD; i++) {
                p[i] = round % 2 ? calloc(n, 1) : malloc(n);
                for (size_t at = 0; round % 2 && at < n; at += n / 1000 + 1)
                    CHECK(p[i][at] == 0);
                CHECK(p[i] && (round % 2 == 0 || p[i][n - 1] == 0));
                memset(p[i], 0xa5, n > mib && i ? mib : n);
            }
            for (int i = 0; i < HELD; i++)
                free(p[i]);
        }
}

/* A block that doubles to 200 MiB and shrinks to a word, by steps of all kinds, beside another one that does the same. */
static void huge(uint64_t state)
{
    unsigned char *p[2] = {malloc(8), malloc(8)};
    uint64_t *word[2];
    size_t n[2] = {8, 8};
    memset(p[0], 0, 8), memset(p[1], 0, 8);
    for (int turn = 0; turn < 400; turn++) {
        int k = turn % 2, grows = turn / 40 % 2 == 0;
        size_t old = n[k], by = (size_t)(next(&state) % (old / 2 + 4096));
        n[k] = grows ? old + by : old > by + 8 ? old - by : 8;
        n[k] = n[k] > 200 * mib ? 8 : n[k];
        p[k] = realloc(p[k], n[k]);
        CHECK(p[k] != NULL);
        word[k] = (uint64_t *)p[k];
        size_t both = old < n[k] ? old : n[k];
        for (size_t i = 0; i + 8 <= both; i += 4096) /* words at each page say where they are */
            CHECK(word[k][i / 8] == i * (size_t)(k + 1));
        for (size_t i = old <= 8 ? 0 : (old - 8) / 4096 * 4096; i + 8 <= n[k]; i += 4096)
            word[k][i / 8] = i * (size_t)(k + 1);
    }
    free(p[0]), free(p[1]);
}

/* --- threads --- */
struct wandering { size_t bytes; uint64_t seed; };
static _Atomic(struct wandering *) transfer[TRANSFERS];

static void thing_free(struct wandering *w)
{
    if (!w)
        return;
    CHECK(marked((unsigned char *)(w + 1), w->bytes, w->seed));
    free(w);
}

static struct wandering *thing_new(uint64_t *state)
{
    uint64_t kind = next(state) % 1000;
    size_t n = 1 + next(state) % (kind < 900 ? 200 : kind < 985 ? 20000 : kind < 999 ? 500000 : 12 * mib), all = n + sizeof(struct wandering);
    struct wandering *w = kind % 5 == 0 ? calloc(1, all) : kind % 7 == 0 ? aligned_alloc(256, all) : malloc(all);
    CHECK(w != NULL);
    if (kind % 5 == 0)
        CHECK(is_zero(w, all < 5000 ? all : 5000));
    *w = (struct wandering){n, next(state)};
    mark((unsigned char *)(w + 1), n, w->seed);
    return w;
}

static struct wandering *thing_resize(struct wandering *w, uint64_t *state)
{
    CHECK(marked((unsigned char *)(w + 1), w->bytes, w->seed));
    size_t n = w->bytes + next(state) % (w->bytes + 100);
    w = realloc(w, sizeof *w + n);
    CHECK(w != NULL && w->bytes <= n);
    w->bytes = n;
    mark((unsigned char *)(w + 1), n, w->seed);
    return w;
}

/* Has some for itself, leaves some to whoever comes, and ends with what it has in others' hands. */
static void *stress(void *argument)
{
    uint64_t state = (uint64_t)(uintptr_t)argument;
    struct wandering *own[KEPT] = {0};
    for (int i = 0; i < 6000; i++) {
        struct wandering **mine = &own[next(&state) % KEPT];
        uint64_t what = next(&state) % 16;
        if (what < 6)
            thing_free(*mine), *mine = thing_new(&state);
        else if (what < 8 && *mine)
            *mine = thing_resize(*mine, &state);
        else if (what < 9)
            thing_free(*mine), *mine = NULL;
        else
            *mine = atomic_exchange(&transfer[next(&state) % TRANSFERS], *mine);
    }
    for (int i = 0; i < KEPT; i++)
        if (i % 3)
            thing_free(own[i]);
        else
            thing_free(atomic_exchange(&transfer[next(&state) % TRANSFERS], own[i]));
    return NULL;
}

static void *small_left(void *argument) /* a thread that hardly lives: its heap stays with what it left */
{
    uint64_t state = (uint64_t)(uintptr_t)argument;
    for (int i = 0; i < 20; i++)
        thing_free(atomic_exchange(&transfer[next(&state) % TRANSFERS], thing_new(&state)));
    return NULL;
}

static void run(int threads, void *(*what)(void *), uint64_t seed)
{
    pthread_t thread[64];
    for (int i = 0; i < threads; i++)
        CHECK(pthread_create(&thread[i], NULL, what, (void *)(uintptr_t)(seed * 1000 + (uint64_t)i + 1)) == 0);
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
}

/* In a child of a process whose threads were in the middle of everything. */
static void *forks(void *argument)
{
    for (int i = 0; i < 5; i++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0) {
            uint64_t state = 77;
            alarm(60);
            checks_failed = 0;
            for (int k = 0; k < 500; k++)
                thing_free(thing_new(&state));
            pid_t deeper = fork();
            if (deeper == 0)
                _exit(0);
            CHECK(waitpid(deeper, &status, 0) == deeper && status == 0);
            _exit(check_result());
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        usleep(20000);
    }
    return argument;
}

int main(int argc, char **argv)
{
    pthread_t forker;
    seed_of_run = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    alignments();
    impossible();
    sizes();
    zeroes();
    huge(seed_of_run * 2654435761u + 1);
    CHECK(pthread_create(&forker, NULL, forks, NULL) == 0);
    for (uint64_t round = 0; round < 3; round++)
        run(THREADS, stress, seed_of_run + round);
    pthread_join(forker, NULL);
    for (uint64_t round = 0; round < 10; round++)
        run(16, small_left, seed_of_run + 50 + round);
    for (int i = 0; i < TRANSFERS; i++)
        thing_free(atomic_exchange(&transfer[i], NULL));
    return check_result();
}
