/* sim_patterns.h - what programs do with data larger than the memory, as traces of the pages that they touch.
 * Included by sim.c, replay.c and tests/unit_sim.c, behind sim_memory. SPDX-License-Identifier: MIT
 *
 * The data is P pages. A pattern fills in one trace for each of its threads; what it does in parts (phases) it
 * marks, and each part counts for itself. References to the page that was touched last are left out but for the
 * time that they take.
 */
#ifndef SIM_PATTERNS_H
#define SIM_PATTERNS_H

#include "sim_trace.h"

static uint64_t pattern_state, pattern_seed = 1;

static uint64_t pattern_random(void)
{
    uint64_t z = pattern_state += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

static uint32_t below(uint32_t n) { return (uint32_t)(((pattern_random() >> 32) * n) >> 32); }

static bool room_in(const struct trace *t, size_t more) { return t->count + more <= REFS_MAX; }
static void rd(struct trace *t, uint32_t page) { if (room_in(t, 1)) t->refs[t->count++] = page; }
static void wr(struct trace *t, uint32_t page) { if (room_in(t, 1)) t->refs[t->count++] = page | ref_write; }
static void touch(struct trace *t, uint32_t page, bool change) { change ? wr(t, page) : rd(t, page); }
static void mark(struct trace *t) { if (t->marks < SIM_MARKS) t->mark[t->marks++] = t->count; }

static void run_of(struct trace *t, uint32_t from, uint32_t pages, bool change)
{
    for (uint32_t i = 0; i < pages; i++)
        touch(t, from + i, change);
}

static void passes(struct trace *t, uint32_t from, uint32_t pages, bool change)
{
    while (room_in(t, pages))
        run_of(t, from, pages, change);
}

static void picks(struct trace *t, uint32_t from, uint32_t pages, uint32_t each, size_t n, bool change)
{
    for (size_t i = 0; i < n && room_in(t, each); i++)
        run_of(t, from + below(pages / each) * each, each, change);
}

enum { WORD = 150, PAGE = 600, PAGE_RMW = 900 }; /* ns that a word, or all of a page, takes a program */

/* --- as in bench/paging.c ------------------------------------------------------------------------ */

static void seqread(struct trace *t, uint32_t p) { t->cpu_ns = PAGE; passes(t, 0, p, false); }
static void seqrmw(struct trace *t, uint32_t p) { t->cpu_ns = PAGE_RMW; passes(t, 0, p, true); }
static void rand8r(struct trace *t, uint32_t p) { t->cpu_ns = WORD; picks(t, 0, p, 1, 250000, false); }
static void rand8w(struct trace *t, uint32_t p) { t->cpu_ns = WORD; picks(t, 0, p, 1, 250000, true); }
static void rand16k(struct trace *t, uint32_t p) { t->cpu_ns = PAGE; picks(t, 0, p, 4, 200000, false); }
static void rand64k(struct trace *t, uint32_t p) { t->cpu_ns = PAGE; picks(t, 0, p, 16, 60000, false); }
static void rand256k(struct trace *t, uint32_t p) { t->cpu_ns = PAGE; picks(t, 0, p, 64, 20000, false); }
static void rand1m(struct trace *t, uint32_t p) { t->cpu_ns = PAGE; picks(t, 0, p, 256, 5000, false); }
static void rand4m(struct trace *t, uint32_t p) { t->cpu_ns = PAGE; picks(t, 0, p, 1024, 1400, false); }

static void stride16k(struct trace *t, uint32_t p)
{
    t->cpu_ns = WORD;
    for (uint32_t pass = 0; room_in(t, p / 4); pass++)
        for (uint32_t i = pass % 4; i < p; i += 4)
            rd(t, i);
}

/* The ranks of 1/rank^0.99 by halving: as near as a sum of steps is to the curve. */
static uint32_t zipf_rank(uint32_t n)
{
    double u = (double)(pattern_random() >> 11) * 0x1p-53;
    double rank = __builtin_exp2(u * __builtin_log2((double)n + 1)) - 1;
    return rank < n ? (uint32_t)rank : n - 1;
}
static uint32_t scattered(uint32_t i, uint32_t n) { return (uint32_t)((uint64_t)i * 2654435761u % n); }

static void zipf(struct trace *t, uint32_t p)
{
    t->cpu_ns = WORD;
    while (room_in(t, 1))
        rd(t, scattered(zipf_rank(p), p));
}

static void two(struct trace *t, uint32_t p)
{
    t[0].cpu_ns = PAGE, t[1].cpu_ns = WORD;
    passes(&t[0], 0, p / 2, false);
    picks(&t[1], p / 2, p / 2, 1, 250000, false);
}

static void phases(struct trace *t, uint32_t p)
{
    t->cpu_ns = PAGE;
    for (int i = 0; i < 2; i++) {
        run_of(t, 0, p, false), mark(t);
        picks(t, 0, p, 1, 40000, false), mark(t);
        picks(t, 0, p, 16, 20000, false), mark(t);
    }
}

/* --- streams ------------------------------------------------------------------------------------- */

static void reversed(struct trace *t, uint32_t p)
{
    t->cpu_ns = PAGE;
    while (room_in(t, p))
        for (uint32_t i = p; i-- > 0;)
            rd(t, i);
}

static void sawtooth(struct trace *t, uint32_t p)
{
    t->cpu_ns = PAGE;
    while (room_in(t, 2 * p)) {
        run_of(t, 0, p, false);
        for (uint32_t i = p; i-- > 0;)
            rd(t, i);
    }
}

static void bothends(struct trace *t, uint32_t p)
{
    t->cpu_ns = PAGE;
    while (room_in(t, p))
        for (uint32_t i = 0; i < p / 2; i += 16) {
            run_of(t, i, 16, false);
            run_of(t, p - i - 16, 16, false);
        }
}

static void merge(struct trace *t, uint32_t p, uint32_t ways)
{
    t->cpu_ns = PAGE;
    uint32_t each = p / 2 / ways, at[256];
    while (room_in(t, 2 * ways * each)) {
        memset(at, 0, sizeof at);
        for (uint32_t out = 0; out < ways * each; out++) {
            uint32_t way = below(ways);
            while (at[way] == each)
                way = (way + 1) % ways;
            rd(t, way * each + at[way]++);
            wr(t, p / 2 + out);
        }
    }
}
static void merge8(struct trace *t, uint32_t p) { merge(t, p, 8); }
static void merge64(struct trace *t, uint32_t p) { merge(t, p, 64); }
static void merge200(struct trace *t, uint32_t p) { merge(t, p, 200); }

static void triad(struct trace *t, uint32_t p) /* B[i] += A[i] */
{
    t->cpu_ns = PAGE;
    while (room_in(t, p))
        for (uint32_t i = 0; i < p / 2; i++)
            rd(t, i), wr(t, p / 2 + i);
}

static void triadstride(struct trace *t, uint32_t p) /* the same, every eighth page */
{
    t->cpu_ns = WORD;
    for (uint32_t pass = 0; room_in(t, p / 8); pass++)
        for (uint32_t i = pass % 8; i < p / 2; i += 8)
            rd(t, i), wr(t, p / 2 + i);
}

static void stencil(struct trace *t, uint32_t p) /* rows of 64 pages; the two next to it are read, too */
{
    t->cpu_ns = PAGE;
    while (room_in(t, 2 * p))
        for (uint32_t i = 64; i < p / 2 - 64; i++)
            rd(t, i - 64), rd(t, i), rd(t, i + 64), wr(t, p / 2 + i);
}

static void skip(struct trace *t, uint32_t p) /* every other 2 MiB */
{
    t->cpu_ns = PAGE;
    for (uint32_t pass = 0; room_in(t, p / 2); pass++)
        for (uint32_t i = pass % 2 * 512; i < p; i += 1024)
            run_of(t, i, p - i < 512 ? p - i : 512, false);
}

static void appendread(struct trace *t, uint32_t p) /* a log is written, records of the rest are read */
{
    t->cpu_ns = WORD;
    for (uint32_t i = 0; room_in(t, 4); i++) {
        wr(t, i % (p / 4));
        picks(t, p / 4, p / 4 * 3, 1, 1, false);
    }
}

/* --- matrices ------------------------------------------------------------------------------------ */

enum { ROW = 16 }; /* pages; 8192 doubles */

static void transpose64(struct trace *t, uint32_t p) /* by tiles of 64 rows and a page's columns */
{
    t->cpu_ns = PAGE;
    uint32_t rows = p / 2 / ROW;
    for (uint32_t i = 0; i + 64 <= rows; i += 64)
        for (uint32_t j = 0; j < ROW; j++) {
            for (uint32_t k = 0; k < 64; k++)
                rd(t, (i + k) * ROW + j);
            for (uint32_t k = 0; k < 512; k++)
                wr(t, p / 2 + (j * 512 + k) % rows * ROW + i / 512);
        }
}

static void transpose(struct trace *t, uint32_t p) /* a row is read and written as a column */
{
    t->cpu_ns = WORD;
    uint32_t rows = p / 2 / ROW;
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < ROW; j++) {
            rd(t, i * ROW + j);
            for (uint32_t k = 0; k < 512 && room_in(t, 1); k++)
                wr(t, p / 2 + (j * 512 + k) % rows * ROW + i / 512);
        }
}

static void columns(struct trace *t, uint32_t p) /* sums of columns */
{
    t->cpu_ns = WORD;
    uint32_t rows = p / ROW;
    for (uint32_t c = 0; room_in(t, rows); c++)
        for (uint32_t i = 0; i < rows; i++)
            rd(t, i * ROW + c / 4 % ROW);
}

static void matmul(struct trace *t, uint32_t p) /* blocks of 256 rows of A, and all of B for each */
{
    t->cpu_ns = PAGE;
    for (uint32_t i = 0; room_in(t, p / 2); i++) {
        run_of(t, i * 256 * ROW % (p / 4), 256 * ROW, false);
        run_of(t, p / 4, p / 4, false);
        run_of(t, p / 2 + i * 256 * ROW % (p / 4), 256 * ROW, true);
    }
}

static void fft(struct trace *t, uint32_t p) /* butterflies: pairs that are farther apart in each pass */
{
    t->cpu_ns = PAGE_RMW;
    for (uint32_t span = p / 2; room_in(t, p); span = span > 32 ? span / 4 : p / 2)
        for (uint32_t i = 0; i + 2 * span <= p; i += 2 * span)
            for (uint32_t k = 0; k < span; k++)
                wr(t, i + k), wr(t, i + k + span);
}

/* --- sorting, searching -------------------------------------------------------------------------- */

static void radix(struct trace *t, uint32_t p) /* read in order, written to 256 places */
{
    t->cpu_ns = WORD;
    static uint32_t at[256];
    uint32_t each = p / 2 / 256;
    while (room_in(t, 9 * p / 2))
        for (uint32_t i = 0; i < p / 2; i++) {
            rd(t, i);
            for (int k = 0; k < 8; k++) {
                uint32_t bucket = below(256);
                wr(t, p / 2 + bucket * each + at[bucket]++ / 8 % each);
            }
        }
}

static void quicksort_part(struct trace *t, uint32_t from, uint32_t to)
{
    if (to - from < 4096 || !room_in(t, to - from))
        return;
    for (uint32_t i = from, j = to - 1; i < j; i++, j--)
        wr(t, i), wr(t, j);
    uint32_t middle = from + (to - from) / 4 + below((to - from) / 2);
    quicksort_part(t, from, middle);
    quicksort_part(t, middle, to);
}
static void quicksort(struct trace *t, uint32_t p) { t->cpu_ns = PAGE_RMW; quicksort_part(t, 0, p); }

static void runs(struct trace *t, uint32_t p) /* sorted runs of 128 MiB are made, each in memory */
{
    t->cpu_ns = PAGE;
    for (uint32_t from = 0; room_in(t, 98304); from = (from + 32768) % (p / 32768 * 32768)) {
        run_of(t, from, 32768, false);
        picks(t, from, 32768, 1, 65536, true);
    }
}

static void bisect(struct trace *t, uint32_t p)
{
    t->cpu_ns = WORD;
    for (int i = 0; i < 60000; i++)
        for (uint32_t low = 0, high = p, want = below(p); high - low > 1;) {
            uint32_t middle = (low + high) / 2;
            rd(t, middle);
            *(middle <= want ? &low : &high) = middle;
        }
}

static void heap(struct trace *t, uint32_t p) /* from a leaf of 512 entries a page up to the root */
{
    t->cpu_ns = WORD;
    uint64_t n = (uint64_t)p * 512;
    while (room_in(t, 28))
        for (uint64_t i = n / 2 + pattern_random() % (n / 2); i; i /= 2)
            wr(t, (uint32_t)(i / 512));
}

static void btree(struct trace *t, uint32_t p) /* four levels of pages, then a record of two pages */
{
    t->cpu_ns = WORD;
    while (room_in(t, 5)) {
        uint32_t leaf = below(p * 3 / 4);
        rd(t, 0), rd(t, 1 + leaf / 16384), rd(t, 64 + leaf / 128);
        run_of(t, p / 4 + leaf / 2 * 2, 2, false);
    }
}

/* --- tables -------------------------------------------------------------------------------------- */

static void gups(struct trace *t, uint32_t p) { t->cpu_ns = WORD / 2; picks(t, p / 4, p / 2, 1, 300000, true); }

static void csr(struct trace *t, uint32_t p) /* a sparse matrix in order, and a vector of 1/4 the data gathered */
{
    t->cpu_ns = WORD;
    for (uint32_t i = 0; room_in(t, 3); i = (i + 1) % (p * 3 / 4)) {
        rd(t, i);
        picks(t, p * 3 / 4, p / 4, 1, 2, false);
    }
}

static void hashjoin(struct trace *t, uint32_t p) /* build, then probe */
{
    t->cpu_ns = WORD;
    for (uint32_t i = 0; i < p / 4; i++)
        rd(t, i), picks(t, p / 2, p / 2, 1, 1, true);
    mark(t);
    for (uint32_t i = p / 4; i < p / 2; i++)
        rd(t, i), picks(t, p / 2, p / 2, 1, 1, false);
    mark(t);
}

static void hot90(struct trace *t, uint32_t p) /* nine of ten in a fifth of it, one piece */
{
    t->cpu_ns = WORD;
    while (room_in(t, 1))
        rd(t, below(10) ? p / 3 + below(p / 5) : below(p));
}

static void hotmoves(struct trace *t, uint32_t p)
{
    t->cpu_ns = WORD;
    for (size_t i = 0; room_in(t, 1); i++) {
        uint32_t hot = (uint32_t)(i / 200000 * (p / 5) % (p / 5 * 4));
        touch(t, below(10) ? hot + below(p / 5) : below(p), i % 8 == 0);
    }
}

static void window(struct trace *t, uint32_t p) /* picks in 64 MiB that move on */
{
    t->cpu_ns = WORD;
    for (size_t i = 0; room_in(t, 1); i++)
        rd(t, ((uint32_t)(i / 4) % p + below(16384)) % p);
}

static void shuffled(struct trace *t, uint32_t p) /* every block of 128 KiB once, in any order, again and again */
{
    t->cpu_ns = PAGE;
    for (uint32_t pass = 1; room_in(t, p); pass++)
        for (uint32_t i = 0; i < p / 32; i++)
            run_of(t, scattered(i * (2 * pass + 1), p / 32) * 32, 32, false);
}

static void graph(struct trace *t, uint32_t p) /* a vertex here, its edges there: some pages in a row */
{
    t->cpu_ns = WORD;
    for (int i = 0; i < 120000; i++) {
        rd(t, below(p / 8));
        run_of(t, p / 8 + below(p / 8 * 7 - 8), 1 + below(8), false);
    }
}

/* --- many blocks --------------------------------------------------------------------------------- */

enum { MIDDLE = 24 }; /* blocks */

static void sidebyside(struct trace *t, uint32_t p)
{
    t->cpu_ns = PAGE;
    uint32_t each = p / MIDDLE;
    while (room_in(t, p))
        for (uint32_t i = 0; i + 16 <= each; i += 16)
            for (uint32_t b = 0; b < MIDDLE; b++)
                run_of(t, b * each + i, 16, false);
}

static void inturn(struct trace *t, uint32_t p) { sidebyside(t, p), t->count = 0, passes(t, 0, p, false); }
static void middlepicks(struct trace *t, uint32_t p) { t->cpu_ns = WORD; picks(t, 0, p, 1, 250000, false); }

static void halfpicks(struct trace *t, uint32_t p) /* every other block is read in order, the rest here and there */
{
    t->cpu_ns = PAGE;
    uint32_t each = p / MIDDLE;
    for (uint32_t i = 0; room_in(t, 24); i = (i + 16) % (MIDDLE / 2 * (each / 16 * 16))) {
        uint32_t rows = each / 16 * 16;
        run_of(t, i / rows * 2 * each + i % rows, 16, false);
        for (int k = 0; k < 8; k++)
            rd(t, (2 * below(MIDDLE / 2) + 1) * each + below(each));
    }
}

/* --- threads ------------------------------------------------------------------------------------- */

static void streams2(struct trace *t, uint32_t p)
{
    for (uint32_t i = 0; i < 2; i++)
        t[i].cpu_ns = PAGE, passes(&t[i], i * (p / 2), p / 2, false);
}

static void rmw2(struct trace *t, uint32_t p)
{
    for (uint32_t i = 0; i < 2; i++)
        t[i].cpu_ns = PAGE_RMW, passes(&t[i], i * (p / 2), p / 2, true);
}

static void picks8(struct trace *t, uint32_t p)
{
    for (uint32_t i = 0; i < 8; i++)
        t[i].cpu_ns = WORD, picks(&t[i], 0, p, 1, 100000, false);
}

static void mixed8(struct trace *t, uint32_t p) /* two read in order, two change, four pick */
{
    for (uint32_t i = 0; i < 8; i++) {
        t[i].cpu_ns = i < 4 ? PAGE : WORD;
        if (i < 4)
            passes(&t[i], i * (p / 8), p / 8, i >= 2);
        else
            picks(&t[i], p / 2, p / 2, 1, 60000, i >= 6);
    }
}

static void fits(struct trace *t, uint32_t p) { t->cpu_ns = PAGE; passes(t, 0, p / 4, false); }

static const struct pattern {
    const char *name;
    void (*make)(struct trace *, uint32_t);
    unsigned threads, blocks; /* the data is one block, or so many */
} patterns[] = {
    {"seqread", seqread, 1, 1}, {"seqrmw", seqrmw, 1, 1}, {"rand8r", rand8r, 1, 1}, {"rand8w", rand8w, 1, 1},
    {"rand64k", rand64k, 1, 1}, {"stride16k", stride16k, 1, 1}, {"zipf", zipf, 1, 1}, {"two", two, 2, 2},
    {"phases", phases, 1, 1}, {"rand16k", rand16k, 1, 1}, {"rand256k", rand256k, 1, 1}, {"rand1m", rand1m, 1, 1},
    {"rand4m", rand4m, 1, 1}, {"reversed", reversed, 1, 1}, {"sawtooth", sawtooth, 1, 1}, {"bothends", bothends, 1, 1},
    {"merge8", merge8, 1, 2}, {"merge64", merge64, 1, 2}, {"merge200", merge200, 1, 2}, {"triad", triad, 1, 2},
    {"triadstride", triadstride, 1, 2}, {"stencil", stencil, 1, 2}, {"skip", skip, 1, 1},
    {"appendread", appendread, 1, 4}, {"transpose64", transpose64, 1, 2}, {"transpose", transpose, 1, 2},
    {"columns", columns, 1, 1}, {"matmul", matmul, 1, 4}, {"fft", fft, 1, 1}, {"radix", radix, 1, 2},
    {"quicksort", quicksort, 1, 1}, {"runs", runs, 1, 1}, {"bisect", bisect, 1, 1}, {"heap", heap, 1, 1},
    {"btree", btree, 1, 1}, {"gups", gups, 1, 1}, {"csr", csr, 1, 4}, {"hashjoin", hashjoin, 1, 2},
    {"hot90", hot90, 1, 1}, {"hotmoves", hotmoves, 1, 1}, {"window", window, 1, 1}, {"shuffled", shuffled, 1, 1},
    {"graph", graph, 1, 8}, {"sidebyside", sidebyside, 1, MIDDLE}, {"inturn", inturn, 1, MIDDLE},
    {"middlepicks", middlepicks, 1, MIDDLE}, {"halfpicks", halfpicks, 1, MIDDLE}, {"streams2", streams2, 2, 2},
    {"rmw2", rmw2, 2, 2}, {"picks8", picks8, 8, 1}, {"mixed8", mixed8, 8, 8}, {"fits", fits, 1, 1},
};
enum { PATTERNS = sizeof patterns / sizeof *patterns };

static void pattern_make(const struct pattern *p, struct trace *traces, uint32_t pages)
{
    pattern_state = pattern_seed;
    for (unsigned i = 0; i < SIM_THREADS; i++) {
        if (!traces[i].refs)
            traces[i].refs = sim_memory(REFS_MAX * sizeof *traces[i].refs);
        traces[i].count = traces[i].marks = 0;
    }
    p->make(traces, pages);
}

#endif
