/* replay.c - a pattern of the simulator's on real memory: does the machine agree with the simulator?
 * SPDX-License-Identifier: MIT
 *
 *     replay PATTERN MIB SECONDS       prints references to pages in a millisecond, as sim.c's columns have them
 *
 * The data comes from plain malloc, in as many blocks as the pattern has, and is filled in order first. A reference
 * looks at a word of its page, or, where the pattern works on whole pages, at every word; each page keeps its number
 * and is checked at each reference. Exit status: 0, 1 a wrong word, 2 could not run.
 */
#include "sim_trace.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

enum { PAGE_BYTES = 4096, WORDS = PAGE_BYTES / 8 };

static void *sim_memory(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("replay: mmap");
        exit(2);
    }
    return p;
}

#include "sim_patterns.h"

static uint64_t *blocks[SIM_BLOCKS];
static uint32_t block_pages;
static atomic_bool stop, wrong;

struct player {
    pthread_t thread;
    const struct trace *trace;
    size_t at;
    uint64_t begin, end, marked[SIM_MARKS];
    unsigned passed;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t *page_of(uint32_t page)
{
    return blocks[page / block_pages] + (size_t)(page % block_pages) * WORDS;
}

/* The first word of a page is its number, the rest is 0 but for the second, which is changed. */
static void refer(uint32_t page, bool change, bool whole)
{
    uint64_t *p = page_of(page), sum = 0;
    for (unsigned i = 2; whole && i < WORDS; i++)
        sum |= p[i];
    if (p[0] != page || sum)
        atomic_store(&wrong, true), atomic_store(&stop, true);
    if (change)
        __atomic_fetch_add(&p[1], 1, __ATOMIC_RELAXED);
}

static void *play(void *argument)
{
    struct player *me = argument;
    const struct trace *t = me->trace;
    me->begin = now_ns();
    while (me->at < t->count && !atomic_load_explicit(&stop, memory_order_relaxed)) {
        uint32_t ref = t->refs[me->at++];
        refer(ref & ~ref_write, ref & ref_write, t->cpu_ns >= PAGE);
        while (me->passed < t->marks && me->at >= t->mark[me->passed])
            me->marked[me->passed++] = now_ns();
    }
    me->end = now_ns();
    return NULL;
}

static double score(const struct player *players, unsigned threads)
{
    struct progress all[SIM_THREADS];
    for (unsigned i = 0; i < threads; i++)
        all[i] = (struct progress){.trace = players[i].trace, .at = players[i].at, .begin = players[i].begin,
                                   .end = players[i].end, .marked = players[i].marked, .passed = players[i].passed};
    return progress_score(all, threads);
}

int main(int argc, char **argv)
{
    static struct trace traces[SIM_THREADS];
    static struct player players[SIM_THREADS];
    const struct pattern *p = patterns;
    while (argc == 4 && p < patterns + PATTERNS && strcmp(p->name, argv[1]) != 0)
        p++;
    if (argc != 4 || p == patterns + PATTERNS || atoi(argv[2]) < 64 || atof(argv[3]) <= 0) {
        fprintf(stderr, "usage: replay PATTERN MIB SECONDS, with at least 64 MiB; patterns: see sim_patterns.h\n");
        return 2;
    }
    block_pages = (uint32_t)atoi(argv[2]) * 256 / p->blocks;
    pattern_make(p, traces, block_pages * p->blocks);
    for (unsigned b = 0; b < p->blocks; b++)
        if (!(blocks[b] = malloc((size_t)block_pages * PAGE_BYTES))) {
            perror("replay: malloc");
            return 2;
        }
    for (uint32_t i = 0; i < block_pages * p->blocks; i++) {
        memset(page_of(i), 0, PAGE_BYTES);
        page_of(i)[0] = i;
    }
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (unsigned i = 0; i < p->threads; i++) {
        players[i].trace = &traces[i];
        if ((errno = pthread_create(&players[i].thread, NULL, play, &players[i]))) {
            perror("replay: pthread_create");
            return 2;
        }
    }
    uint64_t end = now_ns() + (uint64_t)(atof(argv[3]) * 1e9);
    for (bool all = false; !all && now_ns() < end && !atomic_load(&stop);) {
        struct timespec t = {.tv_nsec = 10000000};
        nanosleep(&t, NULL);
        all = true;
        for (unsigned i = 0; i < p->threads; i++)
            all &= __atomic_load_n(&players[i].at, __ATOMIC_RELAXED) == traces[i].count;
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < p->threads; i++)
        pthread_join(players[i].thread, NULL);
    getrusage(RUSAGE_SELF, &after);
    printf("%s %.4g refs/ms %ld MiB read %ld MiB written %ld major faults%s\n", p->name, score(players, p->threads),
           (after.ru_inblock - before.ru_inblock) / 2048, (after.ru_oublock - before.ru_oublock) / 2048,
           after.ru_majflt - before.ru_majflt, atomic_load(&wrong) ? " WRONG" : "");
    return atomic_load(&wrong);
}
