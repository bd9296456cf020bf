/* unit_probe.c - what the program does in the middle of a probe, when everything is at RANDOM: a fork's
 * child gets the policies back, a block that went or that the program gives advice for is left alone. A program
 * whose faults are held up is waited for. What is picked from at random is read where memory is free, and split. */
#include "../bigmaac.c"
#include "evict.h"
#include "sys_blocks.h"
#include <sys/wait.h>

/* The flags of the mapping that holds an address, such as "rr" or "hg". */
static bool has_flag(const void *p, const char *flag)
{
    char line[1024], word[8];
    unsigned long from, to;
    bool inside = false, has = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    snprintf(word, sizeof word, " %s ", flag);
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = from <= (uintptr_t)p && (uintptr_t)p < to;
        if (inside && strncmp(line, "VmFlags:", 8) == 0)
            has |= strstr(line, word) != NULL;
    }
    fclose(f);
    return has;
}

static void probe_begins(void)
{
    ranges_find();
    atomic_store(&forking.probing, true);
    for (unsigned i = 0; i < pager.ranges; i++)
        CHECK(range_advise(&pager.range[i], true));
}

static unsigned probe_ends(void)
{
    unsigned done = 0;
    for (unsigned i = 0; i < pager.ranges; i++)
        done += range_advise(&pager.range[i], false);
    atomic_store(&forking.probing, false);
    return done;
}

static struct big *record_of(void *p)
{
    return big_at(extent_at(&big.space, extent_lookup(&big.space, mem_offset(p)))->aux);
}

/* The second fork finds everything private already. */
static void test_fork(char *large, char *fry)
{
    for (int i = 0; i < 2; i++) {
        int status = -1;
        probe_begins();
        op_usage(&pager.last);
        pager.last.majflt += 1000;
        pager.last.blocks += 100000;
        CHECK(has_flag(large, "rr") && (i || has_flag(fry, "rr"))); /* frozen fries are not looked at */
        pid_t pid = fork();
        if (pid == 0) {
            CHECK(has_flag(large, "hg"));
            CHECK(!has_flag(fry, "rr") && !atomic_load(&forking.probing));
            CHECK(is_filled(large, 1 << 20, 1) && is_filled(fry, 1000, 2));
            struct usage since; /* what its parent had read, and waited for, is not less than nothing */
            CHECK(!usage_since(&since) && pager.faults < 1000 && pager.read < mib);
            _exit(check_result());
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        CHECK(probe_ends() == pager.ranges);
        CHECK(has_flag(large, "hg") && !has_flag(fry, "rr"));
    }
}

/* All faults of a large block in a growing run: it would be HUGE. */
static void see_stream(void)
{
    memset(pager.part, 0, sizeof pager.part);
    evidence_add_run(&pager.part[SUBJECT_LARGE][0], &(struct run){.end = 500, .misses = 500, .pieces = 1, .open = true});
}

static void test_advice(void)
{
    char *p = bigmaac_malloc(70 << 20);
    probe_begins();
    CHECK(pager.ranges == 2 && bigmaac_advise(p, BIGMAAC_RANDOM) == 0);
    see_stream();
    policies_decide();
    CHECK(record_of(p)->policy[0] == POLICY_RANDOM);
    CHECK(probe_ends() == 1 && has_flag(p, "rr") && !has_flag(p, "hg"));
    bigmaac_free(p);
}

/* One that was freed meanwhile is warm, and its next owner gets it as it should be. One that is gone stays so. */
static void test_freed(void)
{
    char *p = bigmaac_malloc(70 << 20);
    probe_begins();
    CHECK(pager.ranges == 2 && has_flag(p, "rr"));
    bigmaac_free(p);
    see_stream();
    policies_decide();
    CHECK(probe_ends() == 2);
    CHECK(bigmaac_malloc(70 << 20) == p && has_flag(p, "hg"));
    probe_begins();
    bigmaac_free(p);
    warm_expire(UINT64_MAX);
    see_stream();
    policies_decide();
    CHECK(probe_ends() == 1 && !has_flag(p, "hg"));
}

/* A block of which nothing is in memory. NULL: its file is where nothing can be paged out. */
static char *paged_out(size_t size)
{
    char *p = bigmaac_malloc(size);
    memset(p, 1, size);
    if (evict(p, size) < to_pages(size) / 8)
        return p;
    bigmaac_free(p);
    return NULL;
}

static _Atomic(char *) slow_block; /* NULL: the thread ends */
enum { SLOW_BYTES = 70 << 20 };

static void *touch_slowly(void *still_us)
{
    uint64_t place = 1;
    while (!atomic_load(&forking.probing))
        usleep(100);
    usleep(*(useconds_t *)still_us);
    for (char *p; (p = atomic_load(&slow_block));) {
        place = place * 6364136223846793005 + 1442695040888963407;
        CHECK(*(volatile char *)(p + place % SLOW_BYTES) == 1);
        usleep(9000);
    }
    return NULL;
}

/* A page in 9 ms, as it is while reclaim writes out what a fill has left: too few in probe_held_ms. Or none at all for
 * longer than any probe lasts. */
static void test_stalled(useconds_t still_us)
{
    pthread_t thread;
    unsigned decided = 0;
    for (int tries = 0; tries < 3 && !decided; tries++) {
        char *p = paged_out(SLOW_BYTES);
        if (!p)
            return;
        atomic_store(&slow_block, p);
        pager.dirtying = true;
        pager.blind = 0;
        pager.fits = SLOW_BYTES; /* not with what else there is */
        CHECK(pager_open() && pthread_create(&thread, NULL, touch_slowly, &still_us) == 0);
        probe();
        decided = pager.misses >= evidence_least && record_of(p)->policy[0] == POLICY_RANDOM;
        atomic_store(&slow_block, NULL);
        pthread_join(thread, NULL);
        bigmaac_free(p);
        warm_expire(UINT64_MAX);
    }
    CHECK(decided);
}

static void test_refill(void)
{
    char *p = paged_out(SLOW_BYTES);
    if (!p)
        return;
    memset(record_of(p)->policy, POLICY_RANDOM, sizeof record_of(p)->policy);
    ranges_find();
    for (int i = 0; i < 30; i++)
        refill_look();
    size_t resident = 0;
    for (int tries = 0; tries < 100 && resident < SLOW_BYTES / 2; tries++, usleep(10000))
        for (unsigned i = 0; i < pager.ranges; i++)
            resident = pager.range[i].offset == mem_offset(p) ? range_resident(&pager.range[i]) : resident;
    CHECK(resident >= SLOW_BYTES / 2);
    bigmaac_free(p);
    warm_expire(UINT64_MAX);
}

/* Blocks just filled, now at random: all of each is split, the first large page, too. */
static void test_split(void)
{
    enum { COUNT = 4, BYTES = 16 << 20 };
    static const char rollup[] = "/proc/self/smaps_rollup", large[] = "FilePmdMapped:";
    char *p[COUNT];
    for (int i = 0; i < COUNT; i++) {
        p[i] = bigmaac_malloc(BYTES);
        mem_set_policy(mem_offset(p[i]), BYTES, POLICY_HUGE, 0);
        fill(p[i], BYTES, 1);
    }
    bool had = value_in(rollup, large) > 0; /* not every file system has large pages */
    fprintf(stderr, "large pages: %s\n", had ? "split" : "none here");
    for (int i = 0; i < COUNT; i++) {
        memset(record_of(p[i])->policy, POLICY_RANDOM, sizeof record_of(p[i])->policy);
        mem_set_policy(mem_offset(p[i]), BYTES, POLICY_RANDOM, 0);
    }
    ranges_find();
    split_begin();
    for (; pager.split; usleep(5000))
        large_pages_split();
    CHECK(!had || value_in(rollup, large) == 0);
    for (int i = 0; i < COUNT; i++) {
        CHECK(is_filled(p[i], BYTES, 1));
        bigmaac_free(p[i]);
    }
    warm_expire(UINT64_MAX);
}

/* Requires that no trial goes on. Single pages are tried for the block, and the time for it is over at once. */
static void try_pages(struct big *r, double before)
{
    memset(r->policy, POLICY_HUGE, sizeof r->policy);
    trial.next = 0;
    op_usage(&trial.probed);
    CHECK(!trial_begin(r)); /* nobody knows yet how fast the program is without */
    trial.probed.ms -= probe_gap_ms;
    lock_take(&big.lock);
    CHECK(trial_begin(r) && r->policy[0] == POLICY_RANDOM && r->policy[BIG_PARTS - 1] == POLICY_RANDOM);
    CHECK(trial_goes_on() && !trial_begin(r)); /* one at a time */
    lock_drop(&big.lock);
    trial.begin.ms -= trial_most_ms;
    trial.begin.cpu_us = 0;
    trial.before = before;
}

/* What is walked through in strides is tried page by page: it stays so if the program got on faster, else it is left
 * alone for long; a block that is gone meanwhile is, and so is what a child has of a trial of its parent's. */
static void test_trial(void)
{
    char *p = bigmaac_malloc(70 << 20);
    struct big *r = record_of(p);
    for (struct usage now = {0}; now.cpu_us < 2 * trial_cpu_us; op_usage(&now))
        fill(p, 1 << 20, 1);
    try_pages(r, 0);
    CHECK(!trial_goes_on() && r->by_page && r->policy[0] == POLICY_RANDOM && has_flag(p, "rr"));
    see_stream();
    CHECK(large_decide(r, SUBJECT_LARGE) == BIG_PARTS && r->policy[0] == POLICY_HUGE && !r->by_page);
    try_pages(r, 1e9);
    CHECK(!trial_goes_on() && !r->by_page && r->policy[0] == POLICY_HUGE && has_flag(p, "hg"));
    trial.probed.ms -= probe_gap_ms;
    CHECK(trial.next > now_ms() + trial_most_ms && !trial_begin(r));
    try_pages(r, 0);
    trial.begin.cpu_us = trial.begin.majflt = SIZE_MAX / 2;
    CHECK(!trial_goes_on() && !r->by_page && r->policy[0] == POLICY_HUGE);
    try_pages(r, 0);
    bigmaac_free(p);
    warm_expire(UINT64_MAX);
    CHECK(!trial_goes_on() && !trial.record);
}

/* The monitor waits for faults, while the program changes what a fork has frozen: that comes home meanwhile. */
__attribute__((unused)) static void test_home(char *large)
{
    size_t frozen = atomic_load(&home.frozen_bytes);
    fill(large, 32 << 20, 3);
    mon_open();
    for (int tries = 0; tries < 100 && atomic_load(&home.frozen_bytes) > frozen - (16 << 20); tries++) {
        atomic_store(&room.bytes, 0);
        atomic_store(&room.read_ms, now_ms());
        op_sleep(home_look_ms);
    }
    CHECK(frozen >= 96 << 20 && atomic_load(&home.frozen_bytes) <= frozen - (16 << 20));
    CHECK(is_filled(large, 32 << 20, 3));
}

int main(void)
{
    setenv("BIGMAAC_MIN_FRY_SIZE", "128", 1);
    setenv("BIGMAAC_RESERVE", "0", 1);
    config_load();
    route_set_limit();
    atomic_store(&mon.running, true); /* this thread does the monitor's work, and nobody else */
    char *fry = bigmaac_malloc(1000);
    CHECK(bigmaac_kind(fry) == BIGMAAC_KIND_FRY);
    fill(fry, 1000, 2);
    test_advice();
    test_freed();
    test_stalled(0);
    test_stalled(700000);
    test_trial();
    test_refill();
    test_split();
    char *large = bigmaac_malloc(96 << 20);
    fill(large, 1 << 20, 1);
    test_fork(large, fry);
    CHECK(is_filled(large, 1 << 20, 1) && is_filled(fry, 1000, 2));
#ifndef __SANITIZE_THREAD__ /* without STOP nothing comes home */
    test_home(large);
#endif
    CHECK(!extent_check(&big.space) && !big_check() && !fry_check());
    bigmaac_free(large);
    bigmaac_free(fry);
    return check_result();
}
