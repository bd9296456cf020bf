/* unit_policy.c - what a probe has seen, made up here, and the policy that comes out: single pages,
 * blocks, streams, and what tells nothing; at the edges of windows, of parts and of the vectors. */
#include "../bigmaac.c"
#include "check.h"

enum { SUBJECT = SUBJECT_LARGE, KEEP = POLICY_COUNT };
static const char *const names[] = {"normal", "huge", "random", "blocks", "watched", "what it was"};
static unsigned char *after; /* of each window, one behind the other */
static uint8_t piece;        /* that was decided last */

/* `windows` windows of a mapping, nothing resident, nothing seen. */
static void begin(unsigned windows, size_t bytes, size_t apart)
{
    size_t pages = to_pages(window_bytes);
    memset(pager.vector, 0, (2 * WINDOW_MAX + 1) * pages);
    memset(after, 0, WINDOW_MAX * pages);
    memset(pager.part, 0, sizeof pager.part);
    memset(pager.open, 0, sizeof pager.open);
    memset(pager.flow, 0, sizeof pager.flow);
    pager.range[0] = (struct range){.offset = gib, .bytes = bytes, .subject = SUBJECT};
    pager.ranges = 1;
    pager.windows = windows;
    for (unsigned w = 0; w < windows; w++) {
        pager.window[w].offset = gib + w * apart;
        pager.window[w].bytes = window_bytes;
        pager.window[w].range = pager.range;
    }
}

/* Pages that came during the probe, of which the first `early` were there halfway. */
static void run(unsigned w, size_t first, size_t pages, size_t early)
{
    size_t each = to_pages(window_bytes);
    memset(after + w * each + first, 1, pages);
    memset(pager.vector + (WINDOW_MAX + w) * each + first, 1, early);
}

/* Pages that were there before the probe, and at its end. */
static void there(unsigned w, size_t first, size_t pages)
{
    size_t each = to_pages(window_bytes);
    memset(after + w * each + first, 1, pages);
    memset(pager.vector + w * each + first, 1, pages);
    memset(pager.vector + (WINDOW_MAX + w) * each + first, 1, pages);
}

static size_t evaluate(size_t faults)
{
    size_t misses = 0, each = to_pages(window_bytes);
    unsigned char *last = pager.vector + 2 * WINDOW_MAX * each;
    for (unsigned w = 0; w < pager.windows; w++) {
        memcpy(last, after + w * each, each);
        window_forget_large(w, last, faults);
        misses += window_evaluate(w, last);
    }
    evidence_flow();
    evidence_add_open(faults);
    return misses;
}

/* What is chosen where it was `from`, for all parts. */
static enum policy chosen(enum policy from)
{
    uint8_t policy[BIG_PARTS];
    memset(policy, (int)from, sizeof policy);
    unsigned changed = policy_decide(pager.part[SUBJECT], policy, &piece);
    CHECK(changed == (policy[0] == from ? 0 : BIG_PARTS));
    for (int i = 1; i < BIG_PARTS; i++)
        CHECK(policy[i] == policy[0]);
    return policy[0];
}

/* Whatever it was, it becomes `want`; but what is `near` stays, as there is little to gain. */
static void expect(const char *what, int want, int near)
{
    for (int from = 0; from < POLICY_COUNT; from++) {
        int to = chosen((enum policy)from), right = want == KEEP || from == near ? from : want;
        if (to != right)
            fprintf(stderr, "%s: %s becomes %s, not %s\n", what, names[from], names[to], names[right]);
        CHECK(to == right);
    }
}

/* `runs` runs of so many pages, 3 in a window, each in its 2 MiB. */
static size_t blocks(unsigned runs, size_t pages, size_t early, size_t faults)
{
    begin((runs + 2) / 3, 4 * gib, window_bytes);
    for (unsigned i = 0; i < runs; i++)
        run(i / 3, 100 + i % 3 * 2048, pages, early);
    size_t misses = evaluate(faults);
    CHECK(misses == runs * pages);
    return misses;
}

static void test_blocks(void)
{
    blocks(30, 1, 0, 30);
    expect("single pages", POLICY_RANDOM, -1);
    blocks(30, 16, 16, 480);
    expect("16 pages", POLICY_BLOCKS, -1);
    blocks(30, 16, 0, 480); /* short ones count even if nobody knows whether they ended */
    expect("16 pages, late", POLICY_BLOCKS, -1);
    blocks(15, 64, 64, 960);
    expect("64 pages that ended", POLICY_BLOCKS, POLICY_NORMAL);
    CHECK(pager.open[SUBJECT][0].misses == 0 && pager.part[SUBJECT][0].runs == 15);
    folder.readahead = 2048;
    blocks(30, 16, 16, 480);
    for (int from = 0; from < POLICY_COUNT; from++)
        CHECK(chosen((enum policy)from) != POLICY_BLOCKS);
    folder.readahead = 32;
}

static void test_streams(void)
{
    blocks(1, 500, 250, 500);
    expect("one run that grows", POLICY_HUGE, -1);
    CHECK(pager.part[SUBJECT][0].runs == 1 && pager.part[SUBJECT][0].misses == 500);
    blocks(1, 500, 500, 500); /* the same, but it ended */
    CHECK(pager.open[SUBJECT][0].misses == 0 && pager.part[SUBJECT][0].misses == 500);
    blocks(1, 60, 30, 2000);
    expect("a run that grows, of few of many faults", KEEP, -1);
    CHECK(pager.part[SUBJECT][0].misses == 0 && pager.open[SUBJECT][0].misses == 60);
    blocks(4, 60, 30, 4000); /* of many streams four are followed */
    expect("four runs that grow", POLICY_HUGE, -1);
    blocks(1, 60, 30, 240); /* a quarter is enough */
    CHECK(pager.part[SUBJECT][0].misses == 60);
}

/* Which run grew: one that goes down, and only that, though another follows in its window. */
static void test_growth(void)
{
    begin(1, gib, window_bytes);
    run(0, 100, 200, 0);
    run(0, 300, 200, 200);
    run(0, 2000, 100, 100);
    CHECK(evaluate(500) == 500);
    CHECK(pager.open[SUBJECT][0].misses == 400 && pager.open[SUBJECT][0].runs == 1);
    CHECK(pager.part[SUBJECT][0].misses == 500 && pager.part[SUBJECT][0].runs == 2);
}

static void test_nothing(void)
{
    begin(WINDOW_MAX, gib, window_bytes);
    CHECK(evaluate(100) == 0);
    expect("nothing", KEEP, -1);
    blocks(2, 3, 3, 6);
    expect("6 pages", KEEP, -1);
    blocks(2, 11, 11, 22);
    expect("22 pages in 2 runs", KEEP, -1);
    begin(2, gib, window_bytes); /* what was there before the probe, or is gone, is no miss */
    run(0, 100, 500, 500);
    memset(pager.vector + 100, 1, 500);
    memset(pager.vector + to_pages(window_bytes), 1, to_pages(window_bytes));
    CHECK(evaluate(500) == 0);
}

/* Gaps of run_gap pages don't end a run, a page more does. */
static void test_gaps(void)
{
    begin(1, gib, window_bytes);
    run(0, 0, 30, 30);
    run(0, 30 + run_gap, 30, 30);
    CHECK(evaluate(60) == 60 && pager.part[SUBJECT][0].runs == 1);
    begin(1, gib, window_bytes);
    run(0, 0, 30, 30);
    run(0, 30 + run_gap + 1, 30, 30);
    CHECK(evaluate(60) == 60 && pager.part[SUBJECT][0].runs == 2);
}

/* The last page of the last window; the parts of 16 GiB; a piece of a page at the end. */
static void test_edges(void)
{
    size_t pages = to_pages(window_bytes), most = 16 * gib;
    begin(WINDOW_MAX, most, (most - window_bytes) / (WINDOW_MAX - 1));
    for (unsigned w = 0; w < WINDOW_MAX; w++)
        run(w, pages - 100, 100, 100);
    CHECK(evaluate(1200) == 1200); /* all reach the end of what is looked at: open */
    size_t runs = 0;
    for (int i = 0; i < BIG_PARTS; i++) {
        CHECK(pager.open[SUBJECT][i].runs >= 1 && pager.part[SUBJECT][i].runs == pager.open[SUBJECT][i].runs);
        runs += pager.part[SUBJECT][i].runs;
    }
    CHECK(runs == WINDOW_MAX);
    expect("ends of windows", POLICY_HUGE, -1);
    begin(1, 64 * mib + page_size, 0); /* a second part of one page, and a window of it alone */
    pager.window[0].offset += 64 * mib;
    pager.window[0].bytes = page_size;
    run(0, 0, 1, 0);
    CHECK(evaluate(1) == 1 && pager.part[SUBJECT][1].misses == 1);
    begin(1, gib, window_bytes);
    pager.range[0].subject = SUBJECT_MAX - 1;
    run(0, 0, pages, pages);
    CHECK(evaluate(pages) == pages && pager.part[SUBJECT_MAX - 1][0].misses == pages);
}

/* Streams in one half of a mapping and single pages in the other: a policy for each. The last part shows
 * too little, and the others don't agree: it stays. */
static void test_parts(void)
{
    uint8_t policy[BIG_PARTS] = {0};
    begin(10, 512 * mib, 48 * mib);
    for (unsigned w = 0; w < 10; w++)
        for (unsigned i = 0; i < 60; i++)
            if (pager.window[w].offset - gib >= 256 * mib)
                run(w, 100 + i * 100, 1, 0);
            else if (i == 0)
                run(w, 100, 700, 350);
    evaluate(4500);
    CHECK(policy_decide(pager.part[SUBJECT], policy, &piece) == 7);
    CHECK(pager.part[SUBJECT][7].misses > 0 && policy[7] == POLICY_NORMAL);
    for (int i = 0; i < 7; i++)
        CHECK(policy[i] == (i < 4 ? POLICY_HUGE : POLICY_RANDOM));
}

/* What is picked from at random is left to the kernel where all of it fits; streams are what they are. */
static void test_fit(void)
{
    atomic_store(&room.busy, true); /* nobody reads it anew */
    size_t bytes = atomic_exchange(&room.bytes, 8 * gib);
    blocks(30, 1, 0, 30);
    pager.fits = 5 * gib;
    CHECK(!picks_fit());
    expect("single pages of more than fits", POLICY_RANDOM, -1);
    pager.fits = 6 * gib;
    pager.picks_fit = picks_fit();
    CHECK(pager.picks_fit);
    expect("single pages that fit", POLICY_NORMAL, -1);
    blocks(1, 500, 250, 500);
    expect("a stream beside picks that fit", POLICY_HUGE, -1);
    pager.picks_fit = false;
    pager.fits = SIZE_MAX;
    atomic_store(&room.bytes, bytes);
    atomic_store(&room.busy, false);
}

/* Of eight mappings picked from at random each shows a few pages. Nothing is said of one that shows none. */
static void test_together(void)
{
    blocks(6, 1, 0, 6);
    expect("six pages", KEEP, -1);
    for (unsigned i = SUBJECT + 1; i < SUBJECT + 8; i++)
        memcpy(pager.part[i], pager.part[SUBJECT], sizeof pager.part[i]);
    pager.subjects = SUBJECT + 8;
    evidence_few();
    expect("six pages in each of eight", POLICY_RANDOM, -1);
    memset(pager.part[SUBJECT], 0, sizeof pager.part[SUBJECT]);
    expect("none where others show six", KEEP, -1);
    pager.subjects = 0;
    evidence_few();
}

/* Where faults can be seen: blocks that readahead is too short or too long for. Pieces are as long as these. */
static void test_watched(void)
{
    atomic_store(&watch.unable_until, 0);
    folder.readahead = 2048;
    blocks(30, 1, 0, 30);
    expect("single pages", POLICY_RANDOM, -1);
    blocks(30, 16, 16, 480);
    expect("16 pages", POLICY_WATCHED, -1);
    CHECK(piece == 4);
    blocks(15, 64, 64, 960);
    expect("64 pages", POLICY_WATCHED, -1);
    CHECK(piece == 6);
    blocks(3, 2000, 2000, 6000);
    for (int from = 0; from < POLICY_COUNT; from++)
        CHECK(chosen((enum policy)from) != POLICY_RANDOM);
    blocks(1, 500, 250, 500);
    expect("a stream", POLICY_HUGE, POLICY_NORMAL);
    folder.readahead = 32;
    blocks(30, 4, 4, 120);
    expect("4 pages", POLICY_WATCHED, -1);
    CHECK(piece == 2);
    blocks(30, 16, 16, 480);
    expect("16 pages, as readahead has them", POLICY_BLOCKS, POLICY_WATCHED);
    begin(2, gib, window_bytes); /* many single pages, and a few blocks: these are not worth reading 16 for each */
    for (unsigned i = 0; i < 60; i++)
        run(0, 100 + i * 100 + i * i % 37, 1, 0);
    for (unsigned i = 0; i < 6; i++)
        run(1, 100 + i * 200, 4, 4);
    evaluate(84);
    expect("single pages above all", POLICY_RANDOM, -1);
    atomic_store(&watch.unable_until, UINT64_MAX);
}

/* Pieces in equal strides, of which some were there: WATCH asks for the next ones in advance. */
static void test_strides(void)
{
    atomic_store(&watch.unable_until, 0);
    for (size_t stride = 15; stride <= 400; stride += stride < 17 ? 1 : 191)
        for (size_t length = 1; length <= 3; length++) {
            begin(1, gib, window_bytes);
            for (unsigned i = 0; i < 20; i++)
                if (i % 5 != 2)
                    run(0, i * stride + i / 7, length, 0); /* not a multiple of the page size: it shifts */
            evaluate(16 * length);
            CHECK(pager.part[SUBJECT][0].strided == (stride < stride_least ? 0 : 16));
            if (stride < 200) /* a large page has as many of these as make it worth while */
                continue;
            expect("strides", POLICY_WATCHED, -1);
            CHECK(piece == (length == 1 ? 0 : length == 2 ? 1 : 2));
        }
    begin(1, gib, window_bytes); /* records of 16 pages, picked at random: every gap is a multiple */
    for (unsigned i = 0, at = 0; i < 60; i++, at += 1 + i * i % 15)
        run(0, at * 16, 1, 0);
    evaluate(60);
    CHECK(pager.part[SUBJECT][0].strided == 0);
    expect("single pages of records", POLICY_RANDOM, -1);
    atomic_store(&watch.unable_until, UINT64_MAX);
    begin(1, gib, window_bytes); /* where it can't, it is as it was */
    for (unsigned i = 0; i < 20; i++)
        run(0, i * 100, 1, 0);
    evaluate(20);
    expect("strides", POLICY_RANDOM, -1);
}

/* Wide strides: a large page brings much more than is asked for. What has come in order, or near by, are none. */
static void test_doubt(void)
{
    for (size_t stride = 2; stride <= 32; stride *= 2) {
        begin(1, gib, window_bytes);
        for (unsigned i = 0; i < 100; i++)
            run(0, i * stride, 1, 0);
        evaluate(100);
        CHECK(evidence_strides(pager.part[SUBJECT]) == (stride >= 16));
    }
    blocks(1, 500, 250, 500);
    CHECK(!evidence_strides(pager.part[SUBJECT]));
    blocks(30, 1, 0, 30);
    CHECK(!evidence_strides(pager.part[SUBJECT]));
}

/* What a request takes, and each page, is learned; where it takes long to get anywhere, longer reads cost little. */
static void test_costs(void)
{
    blocks(30, 1, 0, 30);
    CHECK(chosen(POLICY_NORMAL) == POLICY_RANDOM);
    request_learn(80, 10);
    CHECK(disk_us.request == 8000);
    page_learn(100, 10, 1000);
    CHECK(disk_us.page > 1.13 && disk_us.page < 20);
    blocks(30, 1, 0, 30);
    CHECK(chosen(POLICY_NORMAL) == POLICY_NORMAL);
    disk_us.request = 70;
    pager.dirtying = true; /* a stall tells little */
    request_learn(80, 10);
    CHECK(disk_us.request == 140);
    pager.dirtying = false;
    request_learn(1, 10);
    CHECK(disk_us.request == 100);
    disk_us.request = 70, disk_us.page = 1.13;
}

/* A large page that has come whole was asked for before; the single pages beside it count. */
static void test_whole(void)
{
    begin(2, gib, window_bytes);
    run(0, 512, 512, 0);
    run(0, 4096, 511, 511);
    for (unsigned i = 0; i < 30; i++)
        run(1, i * 100, 1, 0);
    CHECK(evaluate(511) == 541);
    run(1, 3072 + 256, 512, 0); /* two halves of two */
    CHECK(evaluate(511) == 1053);
    CHECK(evaluate(512) == 1053); /* what was forgotten stays so */
}

/* `count` runs of 16 pages, of which so many go on where memory ended, and so many end where it begins. */
static void side_by_side(unsigned count, unsigned onward, unsigned backward)
{
    begin(count, 4 * gib, window_bytes);
    for (unsigned w = 0; w < count; w++) {
        run(w, 500, 16, 8);
        if (w < onward)
            there(w, 200, 300);
        else if (w < onward + backward)
            there(w, 516, 300);
    }
    evaluate(count * 16);
}

/* Streams side by side: what the kernel reads ahead for each is more than 2 MiB of one after the other. */
static void test_side_by_side(void)
{
    side_by_side(8, 8, 0);
    expect("8 streams", POLICY_NORMAL, -1);
    side_by_side(8, 0, 8);
    expect("8 streams that go back", POLICY_NORMAL, -1);
    side_by_side(8, 6, 0);
    expect("8 runs, of which 6 go on", POLICY_NORMAL, -1);
    side_by_side(8, 2, 2);
    expect("8 blocks, some of them near others", POLICY_BLOCKS, -1);
    side_by_side(8, 4, 4);
    expect("8 blocks between others", POLICY_BLOCKS, -1);
    side_by_side(3, 3, 0);
    expect("3 streams", POLICY_NORMAL, -1);
    side_by_side(2, 2, 0);
    expect("2 runs that go on", KEEP, -1);
    side_by_side(3, 1, 0);
    expect("3 blocks", POLICY_BLOCKS, -1);
    begin(8, 4 * gib, window_bytes);
    for (unsigned w = 0; w < 8; w++) { /* in memory on both sides: picks where little is missing */
        run(w, 500, 1, 1);
        there(w, 200, 300);
        there(w, 501, 300);
    }
    evaluate(8);
    expect("single pages in what is there", POLICY_RANDOM, -1);
}

/* What is read ahead of so many of them is more than the memory holds: then little is read for each. */
static void test_crowd(void)
{
    pager.fits = 512 * mib;
    folder.readahead = 2048;
    pager.total_pages = to_pages(8 * gib);
    pager.window_pages = 12 * to_pages(window_bytes);
    side_by_side(12, 12, 0);
    expect("250 streams", POLICY_RANDOM, -1);
    atomic_store(&watch.unable_until, 0);
    expect("250 streams, seen by WATCH", POLICY_WATCHED, -1);
    CHECK(piece == flow_piece);
    folder.readahead = 32;
    side_by_side(12, 12, 0);
    expect("250 streams, with little read ahead", POLICY_NORMAL, -1);
    folder.readahead = 2048;
    pager.total_pages = 0;
    pager.fits = 2 * gib;
    side_by_side(12, 12, 0);
    expect("12 streams that have room", POLICY_NORMAL, -1);
    pager.fits = SIZE_MAX;
    atomic_store(&watch.unable_until, UINT64_MAX);
}

int main(void)
{
    atomic_store(&watch.unable_until, UINT64_MAX);
    size_t pages = to_pages(window_bytes);
    pager.vector = malloc((2 * WINDOW_MAX + 1) * pages);
    after = malloc(WINDOW_MAX * pages);
    CHECK(pager.vector && after);
    blocks(30, 16, 16, 480); /* where the folder could not be looked at, nothing is known of the device */
    CHECK(chosen(POLICY_HUGE) == POLICY_BLOCKS);
    folder.readahead = 32;
    test_blocks();
    test_streams();
    test_growth();
    test_nothing();
    test_gaps();
    test_edges();
    test_parts();
    test_fit();
    test_together();
    test_watched();
    test_strides();
    test_doubt();
    test_costs();
    test_whole();
    test_side_by_side();
    test_crowd();
    return check_result();
}
