/* extent.c - the extent allocator alone: random extents given back and taken, no system calls.
 * SPDX-License-Identifier: MIT
 *
 *     extent LIVE PAIRS
 *
 * LIVE extents of 1 to 64 pages in a space of the library's usual size. One pair gives a random
 * one back and takes another of a random size. Prints the nanoseconds of a pair: the median of
 * five rounds. The structures are checked afterwards, and that the pools have not grown meanwhile,
 * which is what would take a system call.
 */
#include "../bigmaac.c" /* with -DBIGMAAC_PREFIX */
#define now_ns bench_now_ns /* bigmaac.c has one of its own */
#include "bench.h"

enum { ROUNDS = 5, PAGES = 64 };

static uint32_t *live;
static size_t live_count;
static uint64_t state = 88172645463325252;

static uint32_t take(void)
{
    uint32_t e = extent_alloc(&big.space, KIND_CLEAN, 1 + (uint32_t)dice_below(&state, PAGES), 1);
    if (!e) {
        fprintf(stderr, "extent: the space is full\n");
        exit(1);
    }
    return e;
}

static void replace(size_t pairs)
{
    for (size_t i = 0; i < pairs; i++) {
        size_t at = dice_below(&state, live_count);
        extent_free(&big.space, live[at], KIND_CLEAN);
        live[at] = take();
    }
}

int main(int argc, char **argv)
{
    live_count = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    size_t pairs = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    if (!live_count || !pairs) {
        fprintf(stderr, "usage: extent LIVE PAIRS\n");
        return 2;
    }
    if (!mem_reserve() || !space_open(&big.space, big.space.start, to_bytes(big.space.pages)))
        die("extent: no address space");
    live = own_memory(live_count * sizeof *live);
    for (size_t i = 0; i < live_count; i++)
        live[i] = take();
    replace(10 * live_count); /* until the free space is as scattered as it will be */
    size_t grown = big.space.map.committed + big.space.extents.committed;
    double results[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t begin = now_ns();
        replace(pairs / ROUNDS);
        results[i] = (double)(now_ns() - begin) / (double)(pairs / ROUNDS);
    }
    if (big.space.map.committed + big.space.extents.committed != grown)
        fprintf(stderr, "extent: the pools grew meanwhile: some system calls are included\n");
    const char *wrong = extent_check(&big.space);
    if (wrong) {
        fprintf(stderr, "extent: %s\n", wrong);
        return 1;
    }
    printf("%.1f\n", median(results, ROUNDS));
    return 0;
}
