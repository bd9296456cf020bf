/* block.c - large blocks: what one costs to get, to fill, to grow.
 * SPDX-License-Identifier: MIT
 *
 *     block cycle MIB COUNT     malloc + touch one page + free; prints the median microseconds
 *     block fill MIB            malloc + first fill; prints seconds
 *     block sparse KIB COUNT STEP
 *                               COUNT blocks of KIB, of which a word in STEP KiB is used, from the end on; prints seconds
 *     block rewrite MIB PASSES  changes all of a block so often; prints the median seconds of the later half of the passes
 *     block sizes LOW HIGH THREADS WAY
 *                               20 live blocks a thread of random sizes, LOW to HIGH MiB, each of which is replaced
 *                               by another, filled: by malloc or calloc, WAY; prints seconds and the peak in MiB
 *     block grow FROM TO WAY    WAY realloc, or copy: malloc + memcpy + free; from FROM to TO MiB
 *                               in steps of 1.5; prints the seconds that the growing took. What
 *                               each step adds is filled between the steps; at the end the
 *                               first word of every page is checked.
 */
#include "bench.h"
#include <pthread.h>
#include <sys/resource.h>

enum { PAGE = 4096 };

static char *block_get(size_t bytes)
{
    char *p = malloc(bytes);
    if (!p)
        die("malloc");
    return p;
}

static double cycle(size_t mib, size_t count)
{
    double *us = own_memory(count * sizeof *us);
    size_t bytes = mib << 20;
    for (size_t i = 0; i < count; i++) {
        uint64_t begin = now_ns();
        volatile char *p = block_get(bytes);
        p[bytes / 2] = 1;
        free((void *)p);
        us[i] = (double)(now_ns() - begin) / 1e3;
    }
    return median(us, count);
}

static double fill(size_t mib)
{
    uint64_t begin = now_ns();
    char *p = block_get(mib << 20);
    memset(p, 7, mib << 20);
    double seconds = (double)(now_ns() - begin) / 1e9;
    if (p[(mib << 20) - 1] != 7)
        die("a wrong byte");
    free(p);
    return seconds;
}

static double sparse(size_t kib, size_t count, size_t step)
{
    uint64_t begin = now_ns();
    for (size_t i = 0; i < count; i++) {
        char *p = block_get(kib << 10);
        for (size_t at = kib << 10; at >= step << 10; at -= step << 10)
            p[at - 1] = 1;
    }
    return (double)(now_ns() - begin) / 1e9;
}

static double rewrite(size_t mib, size_t passes)
{
    double *seconds = own_memory(passes * sizeof *seconds);
    char *p = block_get(mib << 20);
    for (size_t i = 0; i < passes; i++) {
        uint64_t begin = now_ns();
        memset(p, (int)i + 1, mib << 20);
        seconds[i] = (double)(now_ns() - begin) / 1e9;
    }
    if (p[(mib << 20) - 1] != (char)passes)
        die("a wrong byte");
    return median(seconds + passes / 2, passes - passes / 2);
}

static void fill_pages(char *p, size_t from, size_t to)
{
    for (size_t at = from; at < to; at += PAGE) {
        memset(p + at, (int)(at >> 12), PAGE);
        *(size_t *)(void *)(p + at) = at;
    }
}

static char *copy(char *p, size_t from, size_t to)
{
    char *q = block_get(to);
    memcpy(q, p, from);
    free(p);
    return q;
}

static double grow(size_t from, size_t last, int by_copy)
{
    uint64_t spent = 0;
    char *p = block_get(from);
    fill_pages(p, 0, from);
    for (size_t to; from < last; from = to) {
        to = from + from / 2 < last ? (from + from / 2) / PAGE * PAGE : last;
        uint64_t begin = now_ns();
        p = by_copy ? copy(p, from, to) : realloc(p, to);
        spent += now_ns() - begin;
        if (!p)
            die("realloc");
        fill_pages(p, from, to);
    }
    for (size_t at = 0; at < last; at += PAGE)
        if (*(size_t *)(void *)(p + at) != at) {
            fprintf(stderr, "block: a wrong word at %zu\n", at);
            exit(1);
        }
    free(p);
    return (double)spent / 1e9;
}

enum { LIVE = 20, STEPS = 1000 };
static size_t low, high;
static int zeroed;

static void *replace(void *seed)
{
    char *live[LIVE] = {NULL};
    uint64_t state = 88172645463325252u + (uintptr_t)seed;
    for (size_t i = 0; i < STEPS; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        size_t bytes = low + (state >> 33) % (high - low), at = (state >> 20) % LIVE;
        char *p = zeroed ? calloc(1, bytes) : malloc(bytes);
        if (!p)
            die("malloc");
        memset(p, 0, bytes);
        free(live[at]);
        live[at] = p;
    }
    for (size_t i = 0; i < LIVE; i++)
        free(live[i]);
    return NULL;
}

/* Prints the seconds and the peak. */
static void sizes(size_t threads)
{
    pthread_t thread[64];
    uint64_t begin = now_ns();
    for (size_t i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, replace, (void *)i) != 0)
            die("pthread_create");
    for (size_t i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    double seconds = (double)(now_ns() - begin) / 1e9;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%.3f %ld\n", seconds, usage.ru_maxrss >> 10);
}

int main(int argc, char **argv)
{
    size_t mib = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    if (argc == 4 && strcmp(argv[1], "cycle") == 0)
        printf("%.3f\n", cycle(mib, strtoul(argv[3], NULL, 10)));
    else if (argc == 3 && strcmp(argv[1], "fill") == 0)
        printf("%.4f\n", fill(mib));
    else if (argc == 5 && strcmp(argv[1], "sparse") == 0)
        printf("%.4f\n", sparse(mib, strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10)));
    else if (argc == 4 && strcmp(argv[1], "rewrite") == 0)
        printf("%.4f\n", rewrite(mib, strtoul(argv[3], NULL, 10)));
    else if (argc == 6 && strcmp(argv[1], "sizes") == 0) {
        low = mib << 20, high = strtoul(argv[3], NULL, 10) << 20;
        zeroed = strcmp(argv[5], "calloc") == 0;
        sizes(strtoul(argv[4], NULL, 10));
    } else if (argc == 5 && strcmp(argv[1], "grow") == 0)
        printf("%.4f\n", grow(mib << 20, strtoul(argv[3], NULL, 10) << 20, strcmp(argv[4], "copy") == 0));
    else {
        fprintf(stderr, "usage: block cycle MIB COUNT | fill MIB | sparse KIB COUNT STEP | rewrite MIB PASSES |\n"
                        "sizes LOW HIGH THREADS malloc|calloc | grow FROM TO realloc|copy\n");
        return 2;
    }
    return 0;
}
