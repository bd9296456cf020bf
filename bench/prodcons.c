/* prodcons.c - one thread allocates, another one frees.
 * SPDX-License-Identifier: MIT
 *
 *     prodcons PAIRS SECONDS MIN MAX
 *
 * Each pair is a producer that mallocs blocks, touches them and puts them into a ring buffer,
 * and a consumer that takes them out and frees them. PAIRS 0: one thread does both in turn, a
 * batch at a time through the same ring. Prints operations (malloc + free) a second.
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

static void *both(void *argument)
{
    struct ring *r = argument;
    for (size_t at = 0; !atomic_load_explicit(&stop, memory_order_relaxed); at += RING) {
        for (size_t i = 0; i < RING; i += BATCH)
            put_batch(r, at + i);
        for (size_t i = 0; i < RING; i += BATCH)
            take_batch(r, at + i);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 5 || strtoul(argv[1], NULL, 10) > MOST) {
        fprintf(stderr, "usage: prodcons PAIRS SECONDS MIN MAX\n");
        return 2;
    }
    size_t pairs = strtoul(argv[1], NULL, 10), rings = pairs ? pairs : 1, threads = 0;
    double seconds = strtod(argv[2], NULL);
    least = strtoul(argv[3], NULL, 10);
    range = strtoul(argv[4], NULL, 10) - least + 1;
    struct ring *ring = own_memory(rings * sizeof *ring);
    pthread_t thread[2 * MOST];
    uint64_t begin = now_ns();
    for (size_t i = 0; i < rings; i++) {
        ring[i].state = 88172645463325252 + i * 7919;
        if ((errno = pthread_create(&thread[threads++], NULL, pairs ? produce : both, &ring[i])) != 0 ||
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
