/* sim.c - what a paging policy, the adaptive engine and an ideal pager get from a pattern on a disk, simulated.
 * SPDX-License-Identifier: MIT
 *
 *     sim [DISK | PATTERN]...      all of them by default; see sim_disks below and sim_patterns.h
 *
 * From the environment: SEED=1, of what is at random; WATCH=0 where perf_event_open is denied, as in most containers.
 *
 * Deterministic: the same code gives the same figures, on any machine. A row is a pattern, over 1,280 MiB in a memory
 * of 512; figures are references to pages in a millisecond, in the geometric mean of threads and phases:
 *   - each policy fixed: normal, huge (2 MiB), random, blocks, watched (blocks of 64 KiB);
 *   - adaptive: the engine itself (OPERATIONS, PAGING and STREAM of bigmaac.c), which learns what the real one can
 *     learn, and whose looks take no time but what it waits;
 *   - ideal: what it can't beat. It knows the future, but not at once: it evicts what is needed last (Belady); at a
 *     miss it knows which pages near by will be needed soon, up or down from there, and reads these with one request,
 *     what lies between them too where that takes less time than another request; where such a piece goes on it has
 *     asked for the next one before. The first page of a piece must be waited for, as nobody knows where a program
 *     picks next. What it evicts is written beside, 256 KiB at a time. Where the disk seeks, a piece is as long as eight
 *     seeks take, without a gap, and so is what it writes.
 */
#define BIGMAAC_PREFIX
#define BIGMAAC_OPERATIONS "bench/sim_ops.h"
#include "../bigmaac.c"
#include "sim_machine.h"
#include "sim_patterns.h"
#include <math.h>
#include <sys/wait.h>
#include "sim_ideal.h"

static const struct sim_disk sim_disks[] = {
    {"local", 1700, 1200, 0, 60, 64, 32, false, 10},
    {"local8m", 1700, 1200, 0, 60, 64, 2048, false, 10},
    {"cloud", 125, 125, 3000, 500, 64, 32, false, 40},
    {"slow", 60, 60, 500, 1000, 32, 32, false, 100},
    {"disk8ms", 150, 150, 0, 8000, 1, 32, true, 200},
};
enum { DISKS = sizeof sim_disks / sizeof *sim_disks };
enum { DATA = 327680, MEMORY = 131072 }; /* pages */
enum { ADAPTIVE = POLICY_COUNT, IDEAL, WAYS };
static const char *const way_names[WAYS] = {"normal", "huge", "random", "blocks", "watched", "adaptive", "ideal"};

static struct trace traces[SIM_THREADS];

/* Fills the data in order, as a program would, and then does as the pattern says. How long filling took, and what it left
 * to be written, counts for no policy: large pages fill six times as fast, and so leave more of it. */
static double simulate(const struct pattern *p, const struct sim_disk *disk, int way)
{
    uint32_t each = DATA / p->blocks;
    for (unsigned i = 0; i < p->blocks; i++) {
        sim_add_block(each);
        if (way < ADAPTIVE)
            memset(sim.block[i].record->policy, way, BIG_PARTS);
        sim.block[i].record->piece = 4;
    }
    sim_begin(disk, MEMORY);
    sim.watching = way == POLICY_WATCHED;
    sim.adaptive = way == ADAPTIVE;
    struct trace fill = {.refs = sim_memory(DATA * sizeof(uint32_t)), .cpu_ns = 250};
    run_of(&fill, 0, sim.pages, true);
    threads_begin(&fill, 1);
    sim_go(UINT64_MAX);
    sim_sync();
    threads_begin(traces, p->threads);
    sim_go(sim.now + (uint64_t)(disk->seconds * 1e9));
    return threads_score();
}

/* A way in a process of its own: the engine's state is global. Returns where its figure comes out. */
static int way_start(const struct pattern *p, const struct sim_disk *disk, int way)
{
    int ends[2];
    if (pipe(ends) != 0)
        fatal("no pipe");
    pid_t pid = fork();
    if (pid == 0) {
        double score = way == IDEAL ? ideal_run(traces, p->threads, DATA, MEMORY, disk) : simulate(p, disk, way);
        _exit(write(ends[1], &score, sizeof score) != sizeof score);
    }
    close(ends[1]);
    return ends[0];
}

static void row(const struct pattern *p, const struct sim_disk *disk, double *score)
{
    int out[WAYS];
    pattern_make(p, traces, DATA / p->blocks * p->blocks);
    for (int way = 0; way < WAYS; way++)
        out[way] = way_start(p, disk, way);
    for (int way = 0; way < WAYS; way++) {
        if (read(out[way], &score[way], sizeof *score) != sizeof *score)
            fatal("%s on %s, %s: the simulation ended early", p->name, disk->name, way_names[way]);
        close(out[way]);
        wait(NULL);
    }
}

static bool wanted(char **names, const char *name, bool *any)
{
    bool found = false;
    for (char **n = names; *n; n++)
        found |= strcmp(*n, name) == 0;
    *any |= found;
    return found;
}

static void table(const struct sim_disk *disk, const bool *chosen)
{
    double log_fixed = 0, log_ideal = 0, least = 1e9;
    unsigned rows = 0, short_of = 0;
    printf("%s: %.0f MB/s, %u us, readahead %zu KiB\n%-12s", disk->name, disk->read_mb, disk->latency_us,
           disk->readahead * page_size / kib, "pattern");
    for (int way = 0; way < WAYS; way++)
        printf(" %8s", way_names[way]);
    printf("  adaptive/best fixed  adaptive/ideal\n");
    for (int i = 0; i < PATTERNS; i++) {
        double score[WAYS], best = 0;
        int which = 0;
        if (!chosen[i])
            continue;
        row(&patterns[i], disk, score);
        for (int way = 0; way < ADAPTIVE; way++)
            if (score[way] > best)
                best = score[way], which = way;
        printf("%-12s", patterns[i].name);
        for (int way = 0; way < WAYS; way++)
            printf(" %8.*f", score[way] < 10 ? 2 : 0, score[way]);
        printf("  %8.2f (%-8s) %14.2f\n", score[ADAPTIVE] / best, way_names[which], score[ADAPTIVE] / score[IDEAL]);
        fflush(stdout);
        log_fixed += log(score[ADAPTIVE] / best);
        log_ideal += log(score[ADAPTIVE] / score[IDEAL]);
        least = fmin(least, score[ADAPTIVE] / best);
        short_of += score[ADAPTIVE] < 0.85 * best;
        rows++;
    }
    printf("%s: mean %.2f of the best fixed policy (least %.2f, %u of %u below 0.85), %.2f of the ideal pager\n\n",
           disk->name, exp(log_fixed / rows), least, short_of, rows, exp(log_ideal / rows));
}

int main(int argc, char **argv)
{
    bool any_disk = false, any_pattern = false, chosen[PATTERNS], on[DISKS];
    const char *seed = getenv("SEED"), *watched = getenv("WATCH");
    (void)argc;
    pattern_seed = seed ? strtoull(seed, NULL, 10) : pattern_seed;
    pager.random += pattern_seed - 1;
    if (watched && strcmp(watched, "0") == 0)
        atomic_store(&watch.unable_until, UINT64_MAX);
    for (int i = 0; i < PATTERNS; i++)
        chosen[i] = wanted(argv + 1, patterns[i].name, &any_pattern);
    for (int i = 0; i < DISKS; i++)
        on[i] = wanted(argv + 1, sim_disks[i].name, &any_disk);
    for (char **name = argv + 1; *name; name++) {
        bool known = false;
        for (int i = 0; i < PATTERNS; i++)
            known |= strcmp(*name, patterns[i].name) == 0;
        for (int i = 0; i < DISKS; i++)
            known |= strcmp(*name, sim_disks[i].name) == 0;
        if (!known) {
            fprintf(stderr, "sim: \"%s\" is neither a pattern nor a disk\n", *name);
            return 2;
        }
    }
    for (int i = 0; i < PATTERNS; i++)
        chosen[i] |= !any_pattern;
    for (int i = 0; i < DISKS; i++)
        if (on[i] || !any_disk)
            table(&sim_disks[i], chosen);
    return 0;
}
