/* sizes.c - large blocks whose sizes change.
 * SPDX-License-Identifier: MIT
 *
 *     sizes calloc|malloc THREADS REPLACED
 *
 * Each thread holds 20 blocks of 5 ... 25 MiB and replaces a random one of them REPLACED times: the new block
 * is allocated and zeroed, by calloc or by memset, before the old one is freed. Prints the seconds.
 */
#include "bench.h"
#include <pthread.h>

enum { LIVE = 20 };
static const size_t least = 5 << 20, range = 20 << 20;
static size_t replaced;
static int by_calloc;

static void *block_new(size_t size)
{
    void *p = by_calloc ? calloc(1, size) : malloc(size);
    if (!p)
        die("allocating");
    if (!by_calloc)
        memset(p, 0, size);
    __asm__ volatile("" : : "r"(p) : "memory"); /* or no memset would be needed */
    return p;
}

static void *replace(void *seed)
{
    uint64_t state = (uintptr_t)seed * 88172645463325252;
    void *blocks[LIVE] = {0};
    for (size_t i = 0; i < replaced; i++) {
        size_t at = dice_below(&state, LIVE);
        void *p = block_new(least + dice_below(&state, range));
        free(blocks[at]);
        blocks[at] = p;
    }
    for (int i = 0; i < LIVE; i++)
        free(blocks[i]);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 4 || atoi(argv[2]) < 1 || atoi(argv[2]) > 64) {
        fprintf(stderr, "usage: sizes calloc|malloc THREADS REPLACED\n");
        return 2;
    }
    by_calloc = strcmp(argv[1], "calloc") == 0;
    replaced = strtoul(argv[3], NULL, 10);
    pthread_t threads[64];
    uint64_t begin = now_ns();
    for (uintptr_t i = 1; i < strtoul(argv[2], NULL, 10); i++)
        if (pthread_create(&threads[i], NULL, replace, (void *)(i + 1)) != 0)
            die("pthread_create");
    replace((void *)1);
    for (unsigned long i = 1; i < strtoul(argv[2], NULL, 10); i++)
        pthread_join(threads[i], NULL);
    printf("%.3f\n", (double)(now_ns() - begin) / 1e9);
    return 0;
}
