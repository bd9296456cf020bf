/* prodcons.c - one thread allocates, another one frees.
 * SPDX-License-Identifier: MIT
 *
 *     prodcons pairs|circle N SECONDS MIN MAX
 *
 * Blocks are malloced, touched, put into a ring buffer, taken out of it and freed, a batch at a
 * time. pairs: N times one thread that puts and another one that takes. circle: N threads, each
 * puts into its own ring and takes from that of its neighbour, so that all do the same whatever
 * N is, and with N = 1 nobody frees what another one has allocated. Prints operations (malloc +
 * free) a second.
 */
#include "bench.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Positions are published a batch at a time: this is about allocators, not about rings. */
enum { RING = 4096, BATCH = 64, MOST = 32 };

struct ring {
    void *blocks[RING];
    _Alignas(64) atomic_size_t written;
    _Alignas(64) atomic_size_t read;
    _Alignas(64) uint64_t state;
    struct ring *neighbour; /* circle: whose blocks the thread of this ring frees */
};

static size_t least, range;
static atomic_bool stop;

static void put_batch(struct ring *r, size_t at)
{
    for (size_t i = 0; i < BATCH; i++) {
        size_t size = least + dice_below(&r->state, range);
        void *p = malloc(size);
        if (!p)
            die("malloc");
        touch_ends(p, size);
        r->blocks[(at + i) % RING] = p;
    }
    atomic_store_explicit(&r->written, at + BATCH, memory_order_release);
}

static void take_batch(struct ring *r, size_t at)
{
    for (size_t i = 0; i < BATCH; i++)
        free(r->blocks[(at + i) % RING]);
    atomic_store_explicit(&r->read, at + BATCH, memory_order_release);
}

/* Tells the processor that this is a loop that waits. */
static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* Waits a little, then lets somebody else have the processor. */
static void wait_a_little(unsigned *waits)
{
    if (++*waits % 256)
        relax();
    else
        sched_yield();
}

static void *produce(void *argument)
{
    struct ring *r = argument;
    for (size_t at = 0; !atomic_load_explicit(&stop, memory_order_relaxed); at += BATCH) {
        unsigned waits = 0;
        while (at + BATCH - atomic_load_explicit(&r->read, memory_order_acquire) > RING) {
            if (atomic_load_explicit(&stop, memory_order_relaxed))
                return NULL; /* the consumer may have ended already */
            wait_a_little(&waits);
        }
        put_batch(r, at);
    }
    return NULL;
}

static void *consume(void *argument)
{
    struct ring *r = argument;
    for (size_t at = 0;; at += BATCH) {
        unsigned waits = 0;
        while (atomic_load_explicit(&r->written, memory_order_acquire) == at) {
            if (atomic_load_explicit(&stop, memory_order_relaxed))
                return NULL;
            wait_a_little(&waits);
        }
        take_batch(r, at);
    }
}

static void *exchange(void *argument)
{
    struct ring *mine = argument, *other = mine->neighbour;
    size_t put = 0, taken = 0;
    for (unsigned waits = 0; !atomic_load_explicit(&stop, memory_order_relaxed);) {
        bool waiting = true;
        if (put + BATCH - atomic_load_explicit(&mine->read, memory_order_acquire) <= RING) {
            put_batch(mine, put);
            put += BATCH;
            waiting = false;
        }
        if (atomic_load_explicit(&other->written, memory_order_acquire) - taken >= BATCH) {
            take_batch(other, taken);
            taken += BATCH;
            waiting = false;
        }
        if (waiting)
            wait_a_little(&waits);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    bool pairs = argc > 1 && !strcmp(argv[1], "pairs");
    size_t rings = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, threads = 0;
    if (argc != 6 || (!pairs && strcmp(argv[1], "circle") != 0) || rings < 1 || rings > MOST) {
        fprintf(stderr, "usage: prodcons pairs|circle N SECONDS MIN MAX\n");
        return 2;
    }
    double seconds = strtod(argv[3], NULL);
    least = strtoul(argv[4], NULL, 10);
    range = strtoul(argv[5], NULL, 10) - least + 1;
    struct ring *ring = own_memory(rings * sizeof *ring);
    pthread_t thread[2 * MOST];
    uint64_t begin = now_ns();
    for (size_t i = 0; i < rings; i++) {
        ring[i].state = 88172645463325252 + i * 7919;
        ring[i].neighbour = &ring[(i + 1) % rings];
        if ((errno = pthread_create(&thread[threads++], NULL, pairs ? produce : exchange, &ring[i])) != 0 ||
            (pairs && (errno = pthread_create(&thread[threads++], NULL, consume, &ring[i])) != 0))
            die("pthread_create");
    }
    nanosleep(&(struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)},
              NULL);
    uint64_t operations = 0, end = now_ns();
    for (size_t i = 0; i < rings; i++)
        operations += atomic_load(&ring[i].read);
    atomic_store(&stop, true);
    for (size_t i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    printf("%.0f\n", (double)operations * 1e9 / (double)(end - begin));
    return 0;
}
