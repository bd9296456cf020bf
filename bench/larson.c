/* larson.c - a server under load: memory outlives the thread that allocated it.
 * SPDX-License-Identifier: MIT
 *
 *     larson THREADS SECONDS MIN MAX BLOCKS
 *
 * Each thread owns an array of BLOCKS blocks and replaces random ones. After ROUNDS times as
 * many operations as it has blocks it starts a new thread, hands its array on and ends, so that
 * most blocks are freed by another thread than the one that allocated them, as in the pattern
 * that Larson and Krishnan described in 1998. Prints operations (free + malloc) a second.
 */
#include "bench.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { ROUNDS = 100, MOST = 64 };

struct line {
    void **blocks;
    uint64_t state;
    uint64_t operations;
    atomic_bool ended;
    char pad[64];
};

static struct line lines[MOST];
static size_t block_count, least, range;
static atomic_bool stop;

static void *block_new(uint64_t *state)
{
    size_t size = least + dice_below(state, range);
    void *p = malloc(size);
    if (!p)
        die("malloc");
    touch_ends(p, size);
    return p;
}

static void *serve(void *argument);

static void start(struct line *line)
{
    pthread_t thread;
    if ((errno = pthread_create(&thread, NULL, serve, line)) != 0)
        die("pthread_create");
    pthread_detach(thread);
}

static void *serve(void *argument)
{
    struct line *line = argument;
    uint64_t state = line->state, operations = 0;
    while (operations < ROUNDS * block_count && !atomic_load_explicit(&stop, memory_order_relaxed)) {
        for (int i = 0; i < 100; i++) {
            size_t at = dice_below(&state, block_count);
            free(line->blocks[at]);
            line->blocks[at] = block_new(&state);
        }
        operations += 100;
    }
    line->state = state;
    line->operations += operations;
    if (atomic_load(&stop))
        atomic_store(&line->ended, true);
    else
        start(line);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 6 || strtoul(argv[1], NULL, 10) > MOST) {
        fprintf(stderr, "usage: larson THREADS SECONDS MIN MAX BLOCKS\n");
        return 2;
    }
    size_t threads = strtoul(argv[1], NULL, 10);
    least = strtoul(argv[3], NULL, 10);
    range = strtoul(argv[4], NULL, 10) - least + 1;
    block_count = strtoul(argv[5], NULL, 10);
    for (size_t i = 0; i < threads; i++) {
        lines[i].blocks = own_memory(block_count * sizeof(void *));
        lines[i].state = 88172645463325252 + i * 7919;
        for (size_t b = 0; b < block_count; b++)
            lines[i].blocks[b] = block_new(&lines[i].state);
    }
    double seconds = strtod(argv[2], NULL);
    uint64_t begin = now_ns(), operations = 0;
    for (size_t i = 0; i < threads; i++)
        start(&lines[i]);
    nanosleep(&(struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)},
              NULL);
    atomic_store(&stop, true);
    for (size_t i = 0; i < threads; i++)
        while (!atomic_load(&lines[i].ended))
            nanosleep(&(struct timespec){0, 20000}, NULL);
    uint64_t end = now_ns();
    for (size_t i = 0; i < threads; i++)
        operations += lines[i].operations;
    printf("%.0f\n", (double)operations * 1e9 / (double)(end - begin));
    return 0;
}
