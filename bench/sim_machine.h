/* sim_machine.h - a program, a page cache of limited size and a disk, in simulated time: no clock, no file, no
 * thread, so a run gives the same figures every time. Included by sim.c and tests/unit_sim.c after bigmaac.c, whose
 * paging engine works on it through the calls of sim_ops.h.
 * SPDX-License-Identifier: MIT
 *
 * The cache is that of Linux 6.x without MGLRU: folios of one page or of 2 MiB on an inactive and an active list;
 * the second reference that reclaim sees activates, but none is seen where advice says RANDOM or SEQUENTIAL; a page
 * that comes back soon enough is activated at once; a large folio is evicted and written whole. Reclaim writes nothing
 * itself, it wakes a flusher that goes through everything that is changed, and waits for it where nothing is clean.
 *
 * The disk has a pipe of so many bytes and requests a second, a latency that requests share as far as its queue is
 * deep, and, where it seeks, a latency that they do not share.
 */
#ifndef SIM_MACHINE_H
#define SIM_MACHINE_H

#include "sim_trace.h"

enum {
    SIM_LARGE = 512,    /* pages of a large folio */
    SIM_PIECE = 64,     /* pages of a request at most */
    SIM_AROUND = 16,    /* pages that a minor fault maps */
    SIM_CORES = 2,
    SIM_FLUSHING = 2048, /* pages that the flusher has under way at a time */
    SIM_MISSES = 100    /* the kernel's own: after so many NORMAL reads nothing around */
};
static const uint32_t sim_none = UINT32_MAX;

/* What things cost the program's thread, in ns; measured on Linux 6.18 (DESIGN.md, PITFALLS.md). */
static const uint64_t cost_minor = 700, cost_major = 4000, cost_alloc = 500, cost_large = 90000, cost_mkwrite = 2000,
                      cost_fill = 12000, cost_fill_large = 250000, cost_evict = 200, watch_late = 50000,
                      flush_every = 30000000000;

struct sim_disk {
    const char *name;
    double read_mb, write_mb;         /* a second */
    unsigned iops;                    /* 0: no limit */
    unsigned latency_us, depth;
    unsigned readahead;               /* pages */
    bool seeks;                       /* the latency is that of moving to another place */
    double seconds;                   /* that a run lasts at most */
};

enum {
    PG_LARGE = 1, PG_ACTIVE = 2, PG_DIRTY = 4, PG_WRITEBACK = 8, PG_REFERENCED = 16, PG_RECLAIM = 32, /* the folio's */
    PG_MAPPED = 64, PG_YOUNG = 128, PG_WRITABLE = 256, /* the page's; of a large folio its first one's */
    PG_AHEAD = 512,  /* whoever touches it has more read */
    PG_FILLED = 1024 /* it was touched once: what is not in memory is on the disk */
};

struct sim_page {
    uint32_t next, prev; /* of a folio's first page: on its list */
    uint32_t head;       /* the folio's first page; sim_none: not in memory */
    uint32_t shadow;     /* `evictions` when it was evicted; 0: never */
    uint64_t ready;      /* when it has been read */
    uint16_t flags;
};

struct sim_thread {
    const struct trace *trace;
    size_t at;
    uint64_t begin, clock;
    unsigned cpu_ns;                 /* of its own work for each reference; more where threads share a core */
    uint64_t marked[SIM_MARKS];
    unsigned passed;
};

struct sim_block {
    uint32_t first, pages;
    size_t offset;
    struct big *record;
    unsigned misses; /* of NORMAL, less what it saved */
};

static struct sim {
    const struct sim_disk *disk;
    struct sim_page *page;
    uint32_t pages, limit, resident, evictions, dirty;
    uint32_t held;                  /* a folio that stays, as somebody is about to use it */
    struct { uint32_t first, last, pages, folios; } list[2]; /* inactive, active */
    struct sim_block block[SIM_BLOCKS];
    unsigned blocks;
    uint8_t *block_of_chunk;        /* of the reservation */
    uint64_t pipe_free, ring[1024]; /* disk: when the last requests end */
    size_t submitted;
    uint32_t disk_at;
    struct { uint64_t time; uint32_t head; } *writes; /* under way, the oldest first; a ring */
    size_t write_first, write_count, write_room, writing;
    bool flushing;
    uint32_t flush_at, flush_left;
    uint64_t flush_next;            /* when it begins by itself */
    struct sim_thread thread[SIM_THREADS];
    unsigned threads;
    uint64_t now;                   /* the engine's time */
    size_t majflt, minflt, read, written, wrote, cpu_ns; /* pages; what was changed, and what went to the disk */
    bool adaptive, watching;
} sim;

static inline uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }
static inline uint32_t fewer(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* --- the disk ------------------------------------------------------------------------------------ */

/* Returns when it is done. */
static uint64_t disk_submit(uint64_t now, uint32_t first, uint32_t pages, bool write)
{
    const struct sim_disk *d = sim.disk;
    double ns = pages * 4096.0 / (write ? d->write_mb : d->read_mb) * 1000;
    double least = d->iops ? (double)((pages + SIM_PIECE - 1) / SIM_PIECE) * 1e9 / d->iops : 0;
    uint64_t begin = later(later(now, sim.pipe_free), sim.ring[sim.submitted % d->depth]);
    uint64_t latency = (uint64_t)d->latency_us * 1000;
    sim.pipe_free = begin + (uint64_t)(ns > least ? ns : least) + (d->seeks && first != sim.disk_at ? latency : 0);
    sim.disk_at = first + pages;
    uint64_t done = sim.pipe_free + (d->seeks ? 0 : latency);
    sim.ring[sim.submitted++ % d->depth] = done;
    return done;
}

/* --- lists of folios ----------------------------------------------------------------------------- */

static uint32_t folio_pages(uint32_t head) { return sim.page[head].flags & PG_LARGE ? SIM_LARGE : 1; }
static bool folio_busy(uint32_t head, uint64_t now) { return sim.page[head].ready > now || head == sim.held; }

static void list_remove(uint32_t head)
{
    struct sim_page *p = &sim.page[head];
    unsigned l = (p->flags & PG_ACTIVE) != 0;
    *(p->prev == sim_none ? &sim.list[l].first : &sim.page[p->prev].next) = p->next;
    *(p->next == sim_none ? &sim.list[l].last : &sim.page[p->next].prev) = p->prev;
    sim.list[l].pages -= folio_pages(head);
    sim.list[l].folios--;
}

/* At the young end, or at the old one. */
static void list_add(uint32_t head, bool active, bool old)
{
    struct sim_page *p = &sim.page[head];
    p->flags = (uint16_t)(active ? p->flags | PG_ACTIVE : p->flags & ~PG_ACTIVE);
    uint32_t *end = old ? &sim.list[active].last : &sim.list[active].first;
    uint32_t *other = old ? &sim.list[active].first : &sim.list[active].last;
    *(old ? &p->next : &p->prev) = sim_none;
    *(old ? &p->prev : &p->next) = *end;
    if (*end == sim_none)
        *other = head;
    else
        *(old ? &sim.page[*end].next : &sim.page[*end].prev) = head;
    *end = head;
    sim.list[active].pages += folio_pages(head);
    sim.list[active].folios++;
}

static void list_move(uint32_t head, bool active, bool old)
{
    list_remove(head);
    list_add(head, active, old);
}

/* --- policies ------------------------------------------------------------------------------------ */

static struct sim_block *block_of(uint32_t page)
{
    unsigned low = 0, high = sim.blocks;
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        *(sim.block[middle].first <= page ? &low : &high) = middle;
    }
    return &sim.block[low];
}

static enum policy sim_policy(const struct sim_block *b, uint32_t page)
{
    if (atomic_load(&forking.probing))
        return POLICY_RANDOM;
    return b->record->policy[(size_t)(page - b->first) * page_size / big_part_bytes(b->record->mapped)];
}

/* --- writing ------------------------------------------------------------------------------------- */

static void folio_clean(uint32_t head)
{
    struct sim_page *p = &sim.page[head];
    uint32_t n = folio_pages(head);
    sim.dirty -= n;
    p->flags = (uint16_t)((p->flags & ~PG_DIRTY) | PG_WRITEBACK);
    for (uint32_t i = head; i < head + n; i++)
        sim.page[i].flags &= (uint16_t)~PG_WRITABLE;
    sim.writing += n;
    sim.wrote += n;
}

/* Writes a folio, and what is changed behind it, as one request. Returns the page behind. */
static uint32_t folios_write(uint64_t now, uint32_t head)
{
    uint32_t to = head;
    size_t first = sim.write_count;
    while (to < sim.pages && sim.page[to].head == to && (sim.page[to].flags & (PG_DIRTY | PG_WRITEBACK)) == PG_DIRTY &&
           (to == head || to + folio_pages(to) - head <= SIM_PIECE)) {
        sim.writes[(sim.write_first + sim.write_count++) % sim.write_room].head = to;
        folio_clean(to);
        to += folio_pages(to);
    }
    uint64_t done = disk_submit(now, head, to - head, true);
    for (size_t i = first; i < sim.write_count; i++)
        sim.writes[(sim.write_first + i) % sim.write_room].time = done;
    return to;
}

static void flush_on(uint64_t now)
{
    while (sim.flushing && sim.writing < SIM_FLUSHING) {
        uint32_t at = sim.flush_at, head = sim.page[at].head;
        bool write = head == at && (sim.page[at].flags & (PG_DIRTY | PG_WRITEBACK)) == PG_DIRTY;
        uint32_t to = write ? folios_write(now, at) : at + 1;
        sim.flush_left -= fewer(sim.flush_left, to - at);
        sim.flush_at = to >= sim.pages ? 0 : to;
        sim.flushing = sim.flush_left && sim.dirty;
    }
}

static void flush_begin(uint64_t now)
{
    if (!sim.flushing && sim.dirty)
        sim.flushing = true, sim.flush_left = sim.pages;
    flush_on(now);
}

/* What has been changed for long is written anyway. What has been written by then is clean; what reclaim waits for is the next to go. */
static void writes_end(uint64_t now)
{
    while (sim.write_count && sim.writes[sim.write_first].time <= now) {
        uint32_t head = sim.writes[sim.write_first].head;
        struct sim_page *p = &sim.page[head];
        sim.write_first = (sim.write_first + 1) % sim.write_room;
        sim.write_count--;
        sim.writing -= folio_pages(head);
        p->flags &= (uint16_t)~PG_WRITEBACK;
        if (p->flags & PG_RECLAIM && !(p->flags & PG_DIRTY))
            list_move(head, false, true);
        p->flags &= (uint16_t)~PG_RECLAIM;
    }
    if (now >= sim.flush_next) {
        sim.flush_next = now + flush_every;
        flush_begin(now);
    }
    flush_on(now);
}

/* --- reclaim ------------------------------------------------------------------------------------- */

static void folio_evict(uint32_t head)
{
    uint32_t n = folio_pages(head);
    list_remove(head);
    for (uint32_t i = head; i < head + n; i++) {
        sim.page[i].head = sim_none;
        sim.page[i].flags &= PG_FILLED;
        sim.page[i].shadow = ++sim.evictions;
    }
    sim.resident -= n;
}

/* Looks at the oldest inactive folio. True: it went. */
static bool reclaim_one(uint64_t now)
{
    uint32_t head = sim.list[0].last;
    struct sim_page *p = &sim.page[head];
    bool referenced = p->flags & PG_YOUNG && sim_policy(block_of(head), head) == POLICY_NORMAL;
    bool again = referenced && p->flags & PG_REFERENCED;
    if (folio_busy(head, now) || p->flags & PG_WRITEBACK || (referenced && !again)) {
        p->flags |= referenced ? PG_REFERENCED : 0;
        p->flags |= p->flags & PG_WRITEBACK ? PG_RECLAIM : 0;
        p->flags &= (uint16_t)~PG_YOUNG;
        list_move(head, false, false);
        return false;
    }
    if (again || p->flags & PG_DIRTY) {
        p->flags |= p->flags & PG_DIRTY ? PG_RECLAIM : 0;
        p->flags &= (uint16_t)~PG_YOUNG;
        list_move(head, true, false);
        return false;
    }
    folio_evict(head);
    return true;
}

/* Makes room for so many pages, in the time of who needs them. */
static void reclaim(uint64_t *clock, uint32_t need)
{
    while (sim.resident + need > sim.limit) {
        while (sim.list[1].folios && sim.list[0].pages < sim.list[1].pages)
            list_move(sim.list[1].last, false, false);
        bool freed = false;
        uint32_t before = sim.resident;
        for (uint32_t looks = sim.list[0].folios; looks && !freed; looks--)
            freed = reclaim_one(*clock);
        *clock += cost_evict * (before - sim.resident);
        if (freed)
            continue;
        flush_begin(*clock);
        for (int i = 0; i < 32 && sim.list[1].folios; i++)
            list_move(sim.list[1].last, false, false);
        *clock = sim.write_count ? later(*clock, sim.writes[sim.write_first].time) : *clock + 100000;
        writes_end(*clock);
    }
}

/* --- reading ------------------------------------------------------------------------------------- */

/* Puts a folio into memory. What was evicted not long ago belongs to the active ones. */
static void folio_add(uint32_t head, uint32_t n, uint64_t ready)
{
    struct sim_page *p = &sim.page[head];
    bool active = p->shadow && sim.evictions - p->shadow < sim.list[1].pages;
    for (uint32_t i = head; i < head + n; i++)
        sim.page[i].head = head;
    p->flags = (uint16_t)((p->flags & PG_FILLED) | (n > 1 ? PG_LARGE : 0) | (active ? PG_REFERENCED : 0));
    p->ready = ready;
    sim.resident += n;
    list_add(head, active, false);
}

/* Reads what is missing of [from, to), in requests as the kernel makes them. */
static void pages_read(uint64_t *clock, uint32_t from, uint32_t to)
{
    while (from < to) {
        if (sim.page[from].head != sim_none) {
            from++;
            continue;
        }
        uint32_t end = from;
        while (end < to && end - from < SIM_PIECE && sim.page[end].head == sim_none)
            end++;
        reclaim(clock, end - from);
        *clock += cost_alloc * (end - from);
        uint64_t ready = disk_submit(*clock, from, end - from, false);
        sim.read += end - from;
        for (; from < end; from++)
            folio_add(from, 1, ready);
    }
}

/* Reads 2 MiB as one folio, if none of it is in memory and the block has all of it. Its requests follow each other. */
static bool large_read(uint64_t *clock, const struct sim_block *b, uint32_t page)
{
    uint32_t from = b->first + (page - b->first) / SIM_LARGE * SIM_LARGE;
    if (from + SIM_LARGE > b->first + b->pages)
        return false;
    bool filled = sim.page[page].flags & PG_FILLED;
    for (uint32_t i = from; i < from + SIM_LARGE; i++)
        if (sim.page[i].head != sim_none || (!filled && sim.page[i].flags & PG_FILLED))
            return false;
    reclaim(clock, SIM_LARGE);
    *clock += filled ? cost_large : cost_fill_large;
    uint64_t ready = filled ? disk_submit(*clock, from, SIM_LARGE, false) : *clock;
    sim.read += filled ? SIM_LARGE : 0;
    folio_add(from, SIM_LARGE, ready);
    for (uint32_t i = from; i < from + SIM_LARGE; i++)
        sim.page[i].flags |= PG_FILLED;
    return true;
}

/* The window that NORMAL reads around a miss, and what follows when its last quarter is reached. */
static void read_around(uint64_t *clock, struct sim_block *b, uint32_t page, bool ahead)
{
    uint32_t reach = sim.disk->readahead, end = b->first + b->pages;
    uint32_t from = ahead ? page + reach / 4 : page - fewer(page - b->first, reach / 2);
    uint32_t to = fewer(from + reach, end), marker = to - fewer(to - from, reach / 4);
    from = fewer(from, end);
    pages_read(clock, from, to);
    if (marker < to && sim.page[marker].head == marker)
        sim.page[marker].flags |= PG_AHEAD;
}

/* WATCH has seen the fault, and asks for the rest of the block while its first page is read. */
static void read_watched(uint64_t clock, const struct sim_block *b, uint32_t page)
{
    uint64_t late = clock + watch_late;
    if (sim.watching || atomic_load(&watch.order) == WATCH_ON)
        pages_read(&late, page + 1, fewer(page + ((uint32_t)1 << b->record->piece), b->first + b->pages));
}

static void fault_major(uint64_t *clock, uint32_t page)
{
    struct sim_block *b = block_of(page);
    enum policy policy = sim_policy(b, page);
    if (policy == POLICY_HUGE && large_read(clock, b, page)) {
        sim.majflt += sim.page[sim.page[page].head].ready > *clock;
    } else if (!(sim.page[page].flags & PG_FILLED)) {
        reclaim(clock, 1);
        *clock += cost_fill;
        folio_add(page, 1, *clock);
    } else {
        sim.majflt++;
        *clock += cost_major;
        uint32_t reach = policy == POLICY_HUGE ? SIM_LARGE : policy == POLICY_BLOCKS ? sim.disk->readahead : 1;
        uint32_t from = policy == POLICY_HUGE ? b->first + (page - b->first) / SIM_LARGE * SIM_LARGE : page;
        uint64_t at = *clock;
        if (policy == POLICY_NORMAL && b->misses++ < SIM_MISSES)
            read_around(clock, b, page, false);
        else
            pages_read(clock, from, fewer(from + reach, b->first + b->pages));
        if (policy == POLICY_WATCHED)
            read_watched(at, b, page);
    }
    if (sim.page[page].head == sim_none) /* what was read with it took its place: a very small memory */
        pages_read(clock, page, page + 1);
}

/* --- the program --------------------------------------------------------------------------------- */

static struct sim_page *mapping_of(uint32_t page)
{
    uint32_t head = sim.page[page].head;
    return sim.page[head].flags & PG_LARGE ? &sim.page[head] : &sim.page[page];
}

static void fault_minor(uint64_t *clock, uint32_t page)
{
    struct sim_block *b = block_of(page);
    uint32_t from = page / SIM_AROUND * SIM_AROUND, mapped = 0;
    *clock += cost_minor;
    sim.minflt++;
    for (uint32_t i = later(from, b->first); i < fewer(from + SIM_AROUND, b->first + b->pages); i++) {
        struct sim_page *p = sim.page[i].head == sim_none ? NULL : mapping_of(i);
        if (!p || p->ready > *clock || p->flags & PG_MAPPED)
            continue;
        p->flags |= PG_MAPPED;
        mapped++;
    }
    mapping_of(page)->flags |= PG_MAPPED;
    b->misses -= fewer(b->misses, mapped);
}

static void page_change(uint64_t *clock, struct sim_page *p)
{
    struct sim_page *folio = &sim.page[p->head];
    if (!(p->flags & PG_WRITABLE))
        *clock += cost_mkwrite;
    p->flags |= PG_WRITABLE;
    if (folio->flags & PG_DIRTY)
        return;
    folio->flags |= PG_DIRTY;
    sim.dirty += folio_pages(p->head);
    sim.written += folio_pages(p->head);
}

static void page_touch(struct sim_thread *t, uint32_t page, bool change)
{
    t->clock += t->cpu_ns;
    sim.cpu_ns += t->cpu_ns;
    writes_end(t->clock);
    if (sim.page[page].head == sim_none)
        fault_major(&t->clock, page);
    sim.page[page].flags |= PG_FILLED;
    struct sim_page *p = mapping_of(page);
    t->clock = later(t->clock, p->ready);
    sim.held = sim.page[page].head;
    if (sim.page[page].flags & PG_AHEAD && sim_policy(block_of(page), page) == POLICY_NORMAL) {
        sim.page[page].flags &= (uint16_t)~PG_AHEAD;
        read_around(&t->clock, block_of(page), page, true);
    }
    if (!(p->flags & PG_MAPPED))
        fault_minor(&t->clock, page);
    p->flags |= PG_YOUNG;
    if (change)
        page_change(&t->clock, p);
    sim.held = sim_none;
}

/* Notes the parts of its trace that have just ended. */
static void thread_mark(struct sim_thread *t)
{
    while (t->passed < t->trace->marks && t->at >= t->trace->mark[t->passed])
        t->marked[t->passed++] = t->clock;
}

static void threads_begin(const struct trace *traces, unsigned threads)
{
    sim.threads = threads;
    for (unsigned i = 0; i < threads; i++) {
        unsigned share = threads > SIM_CORES ? threads / SIM_CORES : 1;
        sim.thread[i] = (struct sim_thread){.trace = &traces[i], .begin = sim.now, .clock = sim.now,
                                            .cpu_ns = traces[i].cpu_ns * share};
    }
}

static double threads_score(void)
{
    struct progress all[SIM_THREADS];
    for (unsigned i = 0; i < sim.threads; i++) {
        const struct sim_thread *t = &sim.thread[i];
        all[i] = (struct progress){.trace = t->trace, .at = t->at, .begin = t->begin, .end = t->clock,
                                   .marked = t->marked, .passed = t->passed};
    }
    return progress_score(all, sim.threads);
}

/* Runs the threads up to that time, whoever is behind first. */
static void sim_run(uint64_t until)
{
    for (;;) {
        struct sim_thread *t = NULL;
        uint64_t next = until;
        for (unsigned i = 0; i < sim.threads; i++) {
            struct sim_thread *other = &sim.thread[i];
            if (other->at == other->trace->count)
                continue;
            if (!t || other->clock < t->clock) {
                next = t && t->clock < next ? t->clock : next;
                t = other;
            } else if (other->clock < next) {
                next = other->clock;
            }
        }
        if (!t || t->clock >= until)
            return;
        do {
            uint32_t ref = t->trace->refs[t->at++];
            page_touch(t, ref & ~ref_write, ref & ref_write);
            thread_mark(t);
        } while (t->at < t->trace->count && t->clock <= next);
    }
}

/* Have all threads gone through their references? Then that was when the last one did. */
static bool sim_ended(void)
{
    uint64_t last = 0;
    for (unsigned i = 0; i < sim.threads; i++) {
        if (sim.thread[i].at < sim.thread[i].trace->count)
            return false;
        last = later(last, sim.thread[i].clock);
    }
    sim.now = last;
    return true;
}

/* --- what the engine sees and does --------------------------------------------------------------- */

static uint32_t page_at(size_t offset)
{
    const struct sim_block *b = &sim.block[sim.block_of_chunk[offset / huge_size]];
    return b->first + (uint32_t)((offset - b->offset) / page_size);
}

static uint64_t op_now(void) { return 1000000 + sim.now / 1000000; }

static void op_sleep(uint64_t ms)
{
    uint64_t until = sim.now + ms * 1000000;
    sim_run(until);
    sim.now = until;
}

static bool op_wanted(void) { return false; }

static void op_yield(void)
{
    sim_run(sim.now + 100000);
    sim.now += 100000;
}

static bool op_resident(size_t offset, size_t bytes, unsigned char *vector)
{
    uint32_t from = page_at(offset);
    for (uint32_t i = 0; i < bytes / page_size; i++) {
        uint32_t head = sim.page[from + i].head;
        vector[i] = head != sim_none && sim.page[head].ready <= sim.now;
    }
    return true;
}

static void op_usage(struct usage *u)
{
    *u = (struct usage){.ms = op_now(), .majflt = sim.majflt, .minflt = sim.minflt + sim.majflt, .blocks = sim.read * 8,
                        .written = sim.written * 8, .cpu_us = sim.cpu_ns / 1000};
}

static bool op_is_mapped(size_t offset)
{
    uint32_t from = page_at(offset), end = block_of(from)->first + block_of(from)->pages;
    for (uint32_t i = from; i < fewer(from + 8, end); i++)
        if (sim.page[i].head != sim_none && mapping_of(i)->flags & PG_MAPPED)
            return true;
    return false;
}

static void op_write(const struct range *g, size_t at, size_t bytes)
{
    uint32_t from = page_at(g->offset + at), to = from + (uint32_t)(bytes / page_size);
    while (from < to) {
        bool write = sim.page[from].head == from && (sim.page[from].flags & (PG_DIRTY | PG_WRITEBACK)) == PG_DIRTY;
        from = write ? folios_write(sim.now, from) : from + 1;
    }
}

static bool op_read(const struct range *g, size_t from, size_t bytes)
{
    uint32_t first = page_at(g->offset + from);
    for (uint32_t at = 0; at < bytes / page_size; at += SIM_LARGE) {
        uint64_t clock = sim.now;
        const struct sim_block *b = block_of(first + at);
        if (sim.page[first + at].head == sim_none && !large_read(&clock, b, first + at))
            pages_read(&clock, first + at, fewer(first + at + SIM_LARGE, b->first + b->pages));
        uint64_t until = sim.page[first + at].head == sim_none ? clock : later(clock, mapping_of(first + at)->ready);
        sim_run(until);
        sim.now = until;
    }
    return true;
}

static size_t op_read_one(const struct range *g, size_t at, size_t pages)
{
    uint32_t from = page_at(g->offset + at), n = fewer((uint32_t)pages, sim.disk->readahead);
    uint64_t clock = sim.now;
    pages_read(&clock, from, from + n);
    return n;
}

static void split_large(uint32_t head)
{
    uint16_t flags = (uint16_t)(sim.page[head].flags & ~PG_LARGE);
    uint64_t ready = sim.page[head].ready;
    list_remove(head);
    for (uint32_t i = head; i < head + SIM_LARGE; i++) {
        sim.page[i].head = i;
        sim.page[i].flags = flags;
        sim.page[i].ready = ready;
        list_add(i, flags & PG_ACTIVE, false);
    }
}

static void page_advise(uint32_t page, int advice)
{
    uint32_t head = sim.page[page].head;
    if (head == sim_none)
        return;
    struct sim_page *p = &sim.page[head];
    bool still = !(p->flags & (PG_DIRTY | PG_WRITEBACK)) && !folio_busy(head, sim.now);
    if (advice == MADV_DONTNEED)
        mapping_of(page)->flags &= (uint16_t)~PG_MAPPED;
    else if (advice == MADV_PAGEOUT && still)
        folio_evict(head);
    else if (advice == MADV_COLD && still && p->flags & PG_LARGE)
        split_large(head);
}

static void op_advise(size_t offset, size_t bytes, int advice)
{
    uint32_t from = page_at(offset), to = from + (uint32_t)(bytes / page_size);
    uint64_t clock = sim.now;
    if (advice == MADV_WILLNEED) {
        pages_read(&clock, from, fewer(to, from + (uint32_t)later(sim.disk->readahead, SIM_PIECE)));
        return;
    }
    for (; from < to; from++)
        page_advise(from, advice);
}

/* --- beginning, and going through ---------------------------------------------------------------- */

static void *sim_memory(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, anon_flags, -1, 0);
    if (p == MAP_FAILED)
        fatal("the simulator has no memory");
    return p;
}

/* A block of the library's, of which nothing but its address, its record and its policy are used. */
static void sim_add_block(uint32_t pages)
{
    struct sim_block *b = &sim.block[sim.blocks];
    atomic_store(&room.busy, true);   /* nobody reads it anew */
    atomic_store(&mon.running, true); /* nor starts a thread */
    atomic_store(&watch.running, true);
    char *p = API(malloc)(pages * page_size);
    if (!p)
        fatal("the simulator's blocks can't be made");
    b->offset = mem_offset(p);
    b->record = big_at(extent_at(&big.space, extent_lookup(&big.space, b->offset))->aux);
    b->first = sim.pages;
    b->pages = pages;
    if (!sim.block_of_chunk)
        sim.block_of_chunk = sim_memory(mem.size / huge_size + 1);
    memset(sim.block_of_chunk + b->offset / huge_size, (int)sim.blocks, (pages + SIM_LARGE - 1) / SIM_LARGE);
    sim.pages += pages;
    sim.blocks++;
}

/* Requires that its blocks have been added. */
static void sim_begin(const struct sim_disk *disk, uint32_t limit)
{
    sim.disk = disk;
    sim.limit = limit;
    sim.held = sim_none;
    sim.page = sim_memory(sim.pages * sizeof *sim.page);
    sim.write_room = sim.pages + 1;
    sim.writes = sim_memory(sim.write_room * sizeof *sim.writes);
    for (uint32_t i = 0; i < sim.pages; i++)
        sim.page[i].head = sim_none;
    for (int l = 0; l < 2; l++)
        sim.list[l].first = sim.list[l].last = sim_none;
    atomic_store(&room.bytes, limit * page_size);
    folder.readahead = disk->readahead;
    folder.readahead_known = true;
    atomic_store(&folder.probed, true);
}

/* Until all that is changed has been written. */
static void sim_sync(void)
{
    for (; sim.dirty || sim.write_count; sim.now += 1000000) {
        writes_end(sim.now);
        flush_begin(sim.now);
    }
}

/* Until all threads have ended, or that time. */
static void sim_go(uint64_t until)
{
    static uint64_t tick_at;
    while (!sim_ended() && sim.now < until) {
        uint64_t to = sim.adaptive && tick_at < until ? later(tick_at, sim.now) : until;
        sim_run(to);
        sim.now = to;
        if (!sim_ended() && sim.adaptive && sim.now < until) {
            uint64_t ms = paging_tick(); /* in which time passes, too */
            tick_at = sim.now + ms * 1000000;
        }
    }
}

#endif
