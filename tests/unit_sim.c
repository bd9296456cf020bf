/* unit_sim.c - the simulator of the paging benchmark: its disk keeps to its figures, its cache evicts as Linux's does,
 * every policy reads what it should, the ideal pager is ahead of all; and what the engine, driven by it, chooses for
 * what is picked, streamed and read in blocks, without a clock or a disk that could be slow today. */
#define BIGMAAC_OPERATIONS "bench/sim_ops.h"
#include "../bigmaac.c"
#include "../bench/sim_machine.h"
#include "../bench/sim_patterns.h"
#include "../bench/sim_ideal.h"
#include "check.h"
#include <sys/wait.h>

enum { DATA = 40960, MEMORY = 16384 }; /* pages: 160 MiB in 64 */
static struct sim_disk disk = {"test", 1000, 500, 0, 50, 4, 32, false, 4};
static struct trace traces[SIM_THREADS];

static struct trace *trace_new(unsigned cpu_ns)
{
    if (!traces[0].refs)
        traces[0].refs = sim_memory(REFS_MAX * sizeof *traces[0].refs);
    traces[0].count = traces[0].marks = 0;
    traces[0].cpu_ns = cpu_ns;
    return &traces[0];
}

static void go(unsigned threads)
{
    threads_begin(traces, threads);
    sim_go(sim.now + 100000000000);
}

/* A block of which all was written once and nothing is in memory, at that policy. */
static void begin(enum policy policy)
{
    sim_add_block(DATA);
    memset(sim.block[0].record->policy, (int)policy, BIG_PARTS);
    sim.block[0].record->piece = 4;
    sim_begin(&disk, MEMORY);
    sim.watching = policy == POLICY_WATCHED;
    for (uint32_t i = 0; i < DATA; i++)
        sim.page[i].flags = PG_FILLED;
}

static void test_disk(void)
{
    sim.disk = &disk;
    CHECK(disk_submit(0, 0, 1, false) == 4096 + 50000);
    CHECK(disk_submit(0, 9, 1, false) == 2 * 4096 + 50000); /* one behind the other, the latency at the same time */
    CHECK(disk_submit(0, 0, 1, true) == 4 * 4096 + 50000);
    for (int i = 0; i < 2; i++)
        disk_submit(0, 0, 1, false);
    CHECK(sim.pipe_free == 4096 + 50000 + 4096); /* the fifth waited for the first: four at a time */
    static const struct sim_disk seeks = {"seeks", 100, 100, 0, 8000, 1, 32, true, 4}, slow = {"slow", 1000, 1000, 100, 0, 4, 32, false, 4};
    memset(&sim, 0, sizeof sim);
    sim.disk = &seeks;
    CHECK(disk_submit(0, 5, 1, false) == 8000000 + 40960 && disk_submit(0, 6, 1, false) == 8000000 + 2 * 40960);
    memset(&sim, 0, sizeof sim);
    sim.disk = &slow;
    CHECK(disk_submit(0, 0, 1, false) == 10000000 && disk_submit(0, 1, 2 * SIM_PIECE, false) == 30000000);
}

/* One miss brings in what the policy says. */
static void test_reach(void)
{
    static const uint32_t reach[POLICY_COUNT] = {32, 512, 1, 32, 16};
    static const uint32_t first[POLICY_COUNT] = {1000 - 16, 512, 1000, 1000, 1000};
    for (int policy = 0; policy < POLICY_COUNT; policy++) {
        pid_t pid = fork();
        int status = -1;
        if (pid == 0) {
            begin((enum policy)policy);
            rd(trace_new(100), 1000);
            go(1);
            CHECK(sim.majflt == 1 && sim.read == reach[policy] && sim.resident == reach[policy]);
            CHECK(sim.page[first[policy]].head != sim_none && sim.page[first[policy] + reach[policy] - 1].head != sim_none);
            _exit(check_result());
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
}

/* What is referenced again stays where recency counts; with RANDOM the oldest goes, whatever was done with it. */
static void test_recency(void)
{
    for (int policy = 0; policy <= POLICY_RANDOM; policy += POLICY_RANDOM) {
        pid_t pid = fork();
        int status = -1;
        if (pid == 0) {
            begin((enum policy)policy);
            struct trace *t = trace_new(100);
            for (uint32_t i = 0; i < 800; i++) {
                run_of(t, 0, 1000, false);
                run_of(t, 1024 + i * 100 % 20000, 100, false);
            }
            run_of(t, 22000, MEMORY, false);
            go(1);
            size_t before = sim.read;
            run_of(trace_new(100), 0, 1000, false);
            go(1);
            CHECK((sim.read == before) == (policy == POLICY_NORMAL));
            CHECK(sim.resident <= MEMORY && sim.list[0].pages + sim.list[1].pages == sim.resident);
            _exit(check_result());
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
}

/* A word that is changed in a large folio has all of it written; changed pages are written before they go, once. */
static void test_writes(void)
{
    for (int policy = POLICY_HUGE; policy <= POLICY_RANDOM; policy++) {
        pid_t pid = fork();
        int status = -1;
        if (pid == 0) {
            begin((enum policy)policy);
            size_t much = policy == POLICY_HUGE ? 5120 : 10;
            struct trace *t = trace_new(1000000);
            for (uint32_t i = 0; i < 10; i++)
                wr(t, i * 512);
            go(1);
            CHECK(sim.dirty == much && sim.wrote == 0);
            run_of(trace_new(1000000), 8192, 32768, false); /* half a minute */
            go(1);
            CHECK(sim.dirty == 0 && sim.wrote == much);
            _exit(check_result());
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
}

static double pattern_run(const char *name, int way, enum policy *policy)
{
    const struct pattern *p = patterns;
    while (strcmp(p->name, name) != 0)
        p++;
    pattern_make(p, traces, DATA);
    traces[0].count = min_size(traces[0].count, 250000);
    if (way == POLICY_COUNT + 1)
        return ideal_run(traces, p->threads, DATA, MEMORY, &disk);
    begin(way < POLICY_COUNT ? (enum policy)way : POLICY_HUGE);
    sim.adaptive = way == POLICY_COUNT;
    go(p->threads);
    *policy = sim.block[0].record->policy[0];
    return threads_score();
}

/* The same figures again, a right choice, and never ahead of who knows the future. `wanted`: a bit for each policy;
 * `least`: of the best one. */
static void test_pattern(const char *name, int wanted, double least)
{
    double score[POLICY_COUNT + 2], best = 0;
    enum policy chosen = POLICY_COUNT;
    for (int way = 0; way < POLICY_COUNT + 2; way++) {
        double two[2] = {0};
        for (int again = way != POLICY_COUNT; again < 2; again++) {
            struct { double score; enum policy policy; } got = {0};
            int ends[2];
            CHECK(pipe(ends) == 0);
            pid_t pid = fork();
            if (pid == 0) {
                got.score = pattern_run(name, way, &got.policy);
                _exit(write(ends[1], &got, sizeof got) != sizeof got);
            }
            CHECK(read(ends[0], &got, sizeof got) == sizeof got && wait(NULL) == pid);
            close(ends[0]);
            close(ends[1]);
            two[again] = got.score;
            chosen = way == POLICY_COUNT ? got.policy : chosen;
        }
        CHECK(two[1] > 0 && (way != POLICY_COUNT || two[0] == two[1]));
        score[way] = two[1];
        best = way < POLICY_COUNT && two[1] > best ? two[1] : best;
    }
    fprintf(stderr, "%s: adaptive %.4g (%s), best fixed %.4g, ideal %.4g\n", name, score[POLICY_COUNT],
            policy_names[chosen], best, score[POLICY_COUNT + 1]);
    CHECK(wanted >> chosen & 1);
    CHECK(score[POLICY_COUNT + 1] > best && score[POLICY_COUNT] > least * best);
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    puts("one thread: nothing for TSan to see");
    return 0;
#endif
    setenv("BIGMAAC_RESERVE", "0", 1);
    config_load();
    pid_t pid = fork();
    int status = -1;
    if (pid == 0) {
        test_disk();
        _exit(check_result());
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    test_reach();
    test_recency();
    test_writes();
    test_pattern("rand8r", 1 << POLICY_RANDOM, 0.85);
    test_pattern("seqread", 1 << POLICY_HUGE, 0.85);
    test_pattern("rand64k", 1 << POLICY_BLOCKS | 1 << POLICY_WATCHED, 0.85);
    test_pattern("columns", 1 << POLICY_RANDOM | 1 << POLICY_WATCHED, 0.85); /* a page each */
    disk = (struct sim_disk){"slow", 60, 60, 500, 1000, 32, 32, false, 60}; /* few faults in a probe: what they show adds up */
    test_pattern("rand64k", 1 << POLICY_BLOCKS | 1 << POLICY_WATCHED, 0.3);
    return check_result();
}
