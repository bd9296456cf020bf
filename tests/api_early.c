/* api_early.c - allocation where a program has hardly begun or has nearly ended: constructors,
 * threads started by one, dlsym's own needs, atexit handlers, destructors, and threads that
 * still run when the process exits. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>
#include "kinds.h"

enum { BLOCKS = 7, STARTERS = 8 };
static const size_t sizes[BLOCKS] = {10, 100, 5000, 70000, 600000, 3 << 20, 12 << 20};
static unsigned char *early[BLOCKS], *late[BLOCKS], *threads_own[STARTERS][BLOCKS];
static pthread_t starters[STARTERS];
static pthread_barrier_t barrier;
static atomic_int wrong;

static void allocate(unsigned char **blocks, uint64_t seed)
{
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = i % 2 ? malloc(sizes[i]) : calloc(1, sizes[i]);
        if (!blocks[i] || !is_kind(blocks[i], sizes[i]) || (i % 2 == 0 && !is_zero(blocks[i], sizes[i])))
            wrong++;
        else
            stamp(blocks[i], sizes[i], seed + (uint64_t)i);
    }
}

static void release(unsigned char **blocks, uint64_t seed)
{
    for (int i = 0; i < BLOCKS; i++) {
        if (!is_stamped(blocks[i], sizes[i], sizes[i], seed + (uint64_t)i))
            wrong++;
        blocks[i] = i % 3 ? realloc(blocks[i], sizes[i] * 2) : blocks[i];
        if (!is_stamped(blocks[i], sizes[i], sizes[i], seed + (uint64_t)i))
            wrong++;
        free(blocks[i]);
    }
}

/* dlsym and dlopen allocate for their error texts, per thread. */
static void fail_to_find(void)
{
    if (dlsym(RTLD_DEFAULT, "no_such_function_anywhere") || !dlerror())
        wrong++;
    if (dlopen("/no/such/library.so", RTLD_NOW) || !dlerror())
        wrong++;
}

static void *starter(void *number)
{
    size_t i = (size_t)(uintptr_t)number;
    pthread_barrier_wait(&barrier);
    allocate(threads_own[i], 1000 + i * 10);
    fail_to_find();
    return NULL;
}

__attribute__((constructor(101))) static void first(void)
{
    pthread_barrier_init(&barrier, NULL, STARTERS);
    for (size_t i = 0; i < STARTERS; i++)
        if (pthread_create(&starters[i], NULL, starter, (void *)(uintptr_t)i) != 0)
            wrong++;
}

__attribute__((constructor)) static void second(void)
{
    allocate(early, 1);
    fail_to_find();
}

/* --- the end --------------------------------------------------------------------------------- */

static void finish(const char *where)
{
    if (wrong) {
        fprintf(stderr, "%d wrong in %s\n", wrong, where);
        _exit(1);
    }
}

static void at_exit(void)
{
    unsigned char *blocks[BLOCKS];
    allocate(blocks, 50);
    release(blocks, 50);
    release(late, 70);
    allocate(late, 90);
    finish("an atexit handler");
}

__attribute__((destructor(101))) static void very_last(void)
{
    unsigned char *blocks[BLOCKS];
    release(late, 90);
    allocate(blocks, 30);
    release(blocks, 30);
    finish("a destructor");
}

/* Runs while the process ends. */
static void *busy(void *unused)
{
    unsigned char *blocks[BLOCKS];
    (void)unused;
    pthread_barrier_wait(&barrier);
    for (;;) {
        allocate(blocks, 7);
        release(blocks, 7);
    }
    return NULL;
}

/* --- data that a thread leaves to its destructor ----------------------------------------------- */

static pthread_key_t key;

/* Runs when the library may have ended its own business with the thread. */
static void leave(void *data)
{
    unsigned char **blocks = data;
    release(blocks, 200);
    allocate(blocks, 300);
    release(blocks, 300);
    free(data);
    static __thread int again;
    if (again++ < 2) {
        blocks = malloc(BLOCKS * sizeof *blocks);
        allocate(blocks, 200);
        pthread_setspecific(key, blocks);
    }
}

static void *with_data(void *unused)
{
    (void)unused;
    unsigned char **blocks = malloc(BLOCKS * sizeof *blocks);
    allocate(blocks, 200);
    pthread_setspecific(key, blocks);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    for (size_t i = 0; i < STARTERS; i++) {
        pthread_join(starters[i], NULL);
        release(threads_own[i], 1000 + i * 10);
    }
    release(early, 1);
    finish("the start");
    pthread_key_create(&key, leave);
    for (int i = 0; i < 20; i++) {
        CHECK(pthread_create(&thread, NULL, with_data, NULL) == 0);
        pthread_join(thread, NULL);
    }
    finish("thread data");
    allocate(late, 70);
    atexit(at_exit);
    pthread_barrier_init(&barrier, NULL, 3);
    CHECK(pthread_create(&thread, NULL, busy, NULL) == 0);
    CHECK(pthread_create(&thread, NULL, busy, NULL) == 0);
    pthread_barrier_wait(&barrier);
    return check_result();
}
