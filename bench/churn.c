/* churn.c - one thread that replaces random blocks of random sizes.
 * SPDX-License-Identifier: MIT
 *
 *     churn MIN MAX LIVE SECONDS
 *
 * LIVE blocks of MIN ... MAX bytes. One operation frees a random one of them, mallocs a new one
 * and touches its first and last byte. Prints the nanoseconds of an operation: the median of
 * five rounds, after each block was replaced once on average. Behind it those of processor time,
 * for machines that are not idle.
 */
#include "bench.h"

enum { ROUNDS = 5, BATCH = 1000 };

static void **blocks;
static size_t live, least, range;
static uint64_t state = 88172645463325252;

static void *block_new(void)
{
    size_t size = least + dice_below(&state, range);
    void *p = malloc(size);
    if (!p)
        die("malloc");
    touch_ends(p, size);
    return p;
}

static void replace(size_t operations)
{
    for (size_t i = 0; i < operations; i++) {
        size_t at = dice_below(&state, live);
        free(blocks[at]);
        blocks[at] = block_new();
    }
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void round_ns(double seconds, double *wall, double *cpu)
{
    uint64_t begin = now_ns(), end = begin, cpu_begin = cpu_ns(), operations = 0;
    for (; (double)(end - begin) < seconds * 1e9; end = now_ns(), operations += BATCH)
        replace(BATCH);
    *wall = (double)(end - begin) / (double)operations;
    *cpu = (double)(cpu_ns() - cpu_begin) / (double)operations;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: churn MIN MAX LIVE SECONDS\n");
        return 2;
    }
    least = strtoul(argv[1], NULL, 10);
    range = strtoul(argv[2], NULL, 10) - least + 1;
    live = strtoul(argv[3], NULL, 10);
    blocks = own_memory(live * sizeof *blocks);
    for (size_t i = 0; i < live; i++)
        blocks[i] = block_new();
    replace(live);
    double wall[ROUNDS], cpu[ROUNDS];
    for (int i = 0; i < ROUNDS; i++)
        round_ns(strtod(argv[4], NULL) / ROUNDS, &wall[i], &cpu[i]);
    printf("%.2f %.2f\n", median(wall, ROUNDS), median(cpu, ROUNDS));
    return 0;
}
