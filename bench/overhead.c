/* overhead.c - ordinary memory that fries cost beside their file, and what the first one costs.
 * SPDX-License-Identifier: MIT
 *
 *     overhead MIN MAX MIB THREADS    fills MIB with blocks, replaces each of them once on
 *                                     average; prints: private bytes, live bytes
 *     overhead first                  prints the milliseconds of the process's first malloc,
 *                                     and with its first touch
 *
 * Private bytes are what smaps calls Anonymous. Those of the process before its first block
 * (the C library's data, stacks) are subtracted.
 */
#include "../bigmaac.h"
#include "bench.h"
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

enum { MOST = 64 };

struct share {
    void **blocks;
    uint32_t *sizes;
    size_t count, live;
    uint64_t state;
};

static size_t least, range;
static pthread_barrier_t filled, measured;

/* Sum of the lines "Anonymous: N kB", read without stdio: that would allocate. */
static size_t private_bytes(void)
{
    static char text[1 << 16]; /* far more than the process has mappings for */
    size_t total = 0, used = 0;
    int fd = open("/proc/self/smaps_rollup", O_RDONLY);
    for (ssize_t n = 1; fd >= 0 && n > 0 && used < sizeof text - 1; used += n > 0 ? (size_t)n : 0)
        n = read(fd, text + used, sizeof text - 1 - used);
    close(fd);
    const char *at = strstr(text, "\nAnonymous:");
    if (!at)
        die("/proc/self/smaps_rollup");
    total += strtoul(at + strlen("\nAnonymous:"), NULL, 10) * 1024;
    return total;
}

static void block_new(struct share *s, size_t i)
{
    size_t size = least + dice_below(&s->state, range);
    s->blocks[i] = malloc(size);
    if (!s->blocks[i])
        die("malloc");
    memset(s->blocks[i], 1, size);
    s->sizes[i] = (uint32_t)size;
    s->live += size;
}

static void *fill(void *argument)
{
    struct share *s = argument;
    for (size_t i = 0; i < s->count; i++)
        block_new(s, i);
    for (size_t i = 0; i < s->count; i++) {
        size_t at = dice_below(&s->state, s->count);
        free(s->blocks[at]);
        s->live -= s->sizes[at];
        block_new(s, at);
    }
    pthread_barrier_wait(&filled);
    pthread_barrier_wait(&measured);
    return NULL;
}

static int first(void)
{
    uint64_t begin = now_ns();
    char *p = malloc(100);
    uint64_t allocated = now_ns();
    if (!p)
        die("malloc");
    *(volatile char *)p = 1;
    uint64_t touched = now_ns();
    struct bigmaac_stats stats = {.size = sizeof stats};
    if (bigmaac_try_stats(&stats) == 0 && stats.fries != 1) {
        fprintf(stderr, "overhead: that was fry number %lu\n", (unsigned long)stats.fries);
        return 1;
    }
    printf("%.4f %.4f\n", (double)(allocated - begin) / 1e6, (double)(touched - begin) / 1e6);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "first") == 0)
        return first();
    if (argc != 5 || strtoul(argv[4], NULL, 10) > MOST) {
        fprintf(stderr, "usage: overhead MIN MAX MIB THREADS | overhead first\n");
        return 2;
    }
    least = strtoul(argv[1], NULL, 10);
    range = strtoul(argv[2], NULL, 10) - least + 1;
    size_t threads = strtoul(argv[4], NULL, 10), live = 0;
    size_t count = (strtoul(argv[3], NULL, 10) << 20) / (least + range / 2) / threads;
    struct share *shares = own_memory(threads * sizeof *shares);
    pthread_t thread[MOST];
    pthread_barrier_init(&filled, NULL, (unsigned)threads + 1);
    pthread_barrier_init(&measured, NULL, (unsigned)threads + 1);
    private_bytes(); /* its buffer is touched now */
    size_t before = private_bytes();
    for (size_t i = 0; i < threads; i++) {
        shares[i] = (struct share){own_memory(count * sizeof(void *)),
                                   own_memory(count * sizeof(uint32_t)), count, 0, 88172645463325252 + i};
        if ((errno = pthread_create(&thread[i], NULL, fill, &shares[i])) != 0)
            die("pthread_create");
    }
    pthread_barrier_wait(&filled);
    size_t after = private_bytes();
    pthread_barrier_wait(&measured);
    for (size_t i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
        live += shares[i].live;
    }
    printf("%zu %zu\n", after > before ? after - before : 0, live);
    return 0;
}
