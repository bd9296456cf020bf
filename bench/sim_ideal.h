/* sim_ideal.h - a pager that knows the future as sim.c's head says. SPDX-License-Identifier: MIT */
#ifndef SIM_IDEAL_H
#define SIM_IDEAL_H

enum {
    IDEAL_PIECE = 512, IDEAL_PIECE_MOST = 4096, /* pages of a piece; where the disk seeks */
    IDEAL_NEXT = 16384, IDEAL_NEAR = 64         /* references between two of them; where others lie between, for each page */
};

struct ideal_page {
    uint32_t next;   /* reference at which it is needed; sim_none: never again */
    bool in, dirty, filled;
    uint32_t begins; /* a piece: its last page, behind which it may go on; sim_none: it does not */
    uint64_t ready;
};

/* Pages in memory by when they are needed; the last one on top. What has changed since is passed over. */
struct ideal_heap {
    struct { uint32_t next, page; } *at;
    size_t count;
};

static void heap_push(struct ideal_heap *h, uint32_t next, uint32_t page)
{
    size_t i = h->count++;
    for (; i && h->at[(i - 1) / 2].next < next; i = (i - 1) / 2)
        h->at[i] = h->at[(i - 1) / 2];
    h->at[i].next = next;
    h->at[i].page = page;
}

static void heap_pop(struct ideal_heap *h)
{
    size_t i = 0, n = --h->count;
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && h->at[child + 1].next > h->at[child].next;
        if (h->at[child].next <= h->at[n].next)
            break;
        h->at[i] = h->at[child];
    }
    h->at[i] = h->at[n];
}

struct ideal {
    uint32_t *refs, *next;          /* of all threads, each one's as far as its part of all; next: to the same page */
    uint32_t *turn[SIM_THREADS];    /* each thread's own of these */
    size_t count;
    struct ideal_page *page;
    struct ideal_heap heap;
    uint32_t pages, room, in, bridge; /* bridge: pages between two that are read rather than asked for twice */
    uint32_t piece, write;            /* at most so many pages are read, or written, together */
    uint64_t evicted_dirty;
};

static void ideal_order(struct ideal *d, const struct trace *t, unsigned threads)
{
    size_t at[SIM_THREADS] = {0}, all = 0;
    for (unsigned i = 0; i < threads; i++) {
        all += t[i].count;
        d->turn[i] = sim_memory((t[i].count + 1) * sizeof *d->turn[i]);
    }
    d->refs = sim_memory((all + 1) * sizeof *d->refs);
    d->next = sim_memory((all + 1) * sizeof *d->next);
    for (d->count = 0; d->count < all; d->count++) {
        unsigned behind = 0;
        for (unsigned i = 1; i < threads; i++)
            if (at[i] * t[behind].count < at[behind] * t[i].count)
                behind = i;
        d->turn[behind][at[behind]] = (uint32_t)d->count;
        d->refs[d->count] = t[behind].refs[at[behind]++];
    }
    for (size_t i = 0; i < d->pages; i++)
        d->page[i].next = sim_none;
    for (size_t i = d->count; i-- > 0;) {
        uint32_t page = d->refs[i] & ~ref_write;
        d->next[i] = d->page[page].next;
        d->page[page].next = (uint32_t)i;
    }
}

static void ideal_evict(struct ideal *d)
{
    while (d->in >= d->room) {
        uint32_t page = d->heap.at[0].page;
        struct ideal_page *p = &d->page[page];
        bool last = p->in && p->next == d->heap.at[0].next;
        heap_pop(&d->heap);
        if (!last)
            continue;
        d->evicted_dirty += p->dirty;
        if (d->evicted_dirty >= d->write) {
            disk_submit(sim.pipe_free, sim.disk_at, d->write, true);
            d->evicted_dirty = 0;
        }
        p->in = p->dirty = false;
        d->in--;
    }
}

static void ideal_take(struct ideal *d, uint32_t page, uint64_t ready)
{
    ideal_evict(d);
    d->page[page].in = true;
    d->page[page].ready = ready;
    d->in++;
    heap_push(&d->heap, d->page[page].next, page);
}

/* Is the page missing, and needed within so many references of that one? */
static bool ideal_needs(const struct ideal *d, uint32_t page, size_t when, uint32_t within)
{
    const struct ideal_page *p = &d->page[page];
    return page < d->pages && !p->in && p->next != sim_none && when + within >= p->next && p->next + within >= when;
}

/* The next page of a piece, no farther than the bridge; sim_none: it ends there. */
static uint32_t ideal_following(const struct ideal *d, uint32_t page, uint32_t step)
{
    size_t when = d->page[page].next;
    for (uint32_t distance = 1; distance <= d->bridge + 1; distance++)
        if (ideal_needs(d, page + distance * step, when, distance == 1 ? IDEAL_NEXT : IDEAL_NEAR * distance))
            return page + distance * step;
    return sim_none;
}

/* The pages of a piece behind that one; returns how many. */
static uint32_t ideal_chain(const struct ideal *d, uint32_t page, uint32_t step, uint32_t *chain, uint32_t most)
{
    uint32_t n = 0;
    while (n < most && (page = ideal_following(d, page, step)) != sim_none)
        chain[n++] = page;
    return n;
}

/* Reads pages in their order, `step` apart: a request each for those that are near. Where the disk seeks each request
 * begins where the last one ended. */
static void ideal_request(struct ideal *d, uint64_t clock, const uint32_t *piece, uint32_t n, uint32_t step)
{
    for (uint32_t i = 0, to; i < n; i = to) {
        for (to = i + 1; to < n && (piece[to] - piece[i]) * step < SIM_PIECE;)
            to++;
        uint32_t low = step == 1 ? piece[i] : piece[to - 1];
        uint32_t last = to < n && sim.disk->seeks ? piece[to] - 1 : piece[to - 1];
        uint64_t ready = disk_submit(clock, low, (last - piece[i]) * step + 1, false);
        for (uint32_t k = i; k < to; k++)
            ideal_take(d, piece[k], ready);
    }
}

/* Reads a piece: what is needed together with that page, from it on or down from it, with what lies between. Where the
 * disk seeks, both, from the lowest page on. */
static void ideal_read(struct ideal *d, uint64_t clock, uint32_t page)
{
    static uint32_t piece[2 * IDEAL_PIECE_MOST + 1], down[IDEAL_PIECE_MOST];
    uint32_t most = fewer(d->piece, d->room / 16) - 1, *up = piece + IDEAL_PIECE_MOST;
    uint32_t ups = ideal_chain(d, page, 1, up + 1, most);
    uint32_t downs = ups && !sim.disk->seeks ? 0 : ideal_chain(d, page, sim_none, down, most);
    up[0] = page;
    d->page[page].begins = downs > ups ? down[downs - 1] : up[ups];
    if (sim.disk->seeks) {
        for (uint32_t i = 0; i < downs; i++)
            up[-(ptrdiff_t)i - 1] = down[i];
        ideal_request(d, clock, up - downs, downs + 1 + ups, 1);
        return;
    }
    memcpy(up + 1, downs ? down : up + 1, (downs ? downs : ups) * sizeof *up);
    ideal_request(d, clock, up, 1 + ups + downs, downs ? sim_none : 1);
}

/* Where a piece goes on, who reaches its first page asks for the next one. */
static void ideal_ahead(struct ideal *d, uint64_t clock, uint32_t page)
{
    uint32_t last = d->page[page].begins;
    d->page[page].begins = sim_none;
    uint32_t next = last == page ? sim_none : ideal_following(d, last, last > page ? 1 : sim_none);
    if (next != sim_none)
        ideal_read(d, clock, next);
}

/* A thread's next reference. */
static void ideal_step(struct ideal *d, struct sim_thread *t, size_t i)
{
    uint32_t page = d->refs[i] & ~ref_write;
    struct ideal_page *p = &d->page[page];
    if (!p->in) {
        p->next = (uint32_t)i;
        ideal_read(d, t->clock, page);
    }
    if (p->begins != sim_none)
        ideal_ahead(d, t->clock, page);
    t->clock = later(t->clock + t->cpu_ns, p->ready);
    p->dirty |= d->refs[i] & ref_write;
    p->next = d->next[i];
    if (p->in)
        heap_push(&d->heap, p->next, page);
    t->at++;
    thread_mark(t);
}

/* Goes through all references, up to the time that the disk has. The memory begins with the end of the data. */
static double ideal_run(const struct trace *t, unsigned threads, uint32_t pages, uint32_t room, const struct sim_disk *disk)
{
    struct ideal d = {.pages = pages, .room = room};
    uint64_t limit = (uint64_t)(disk->seconds * 1e9);
    sim.disk = disk;
    d.bridge = (uint32_t)(disk->latency_us * disk->read_mb / 4096); /* as long as a request takes */
    d.piece = disk->seeks ? fewer(8 * d.bridge, IDEAL_PIECE_MOST) : IDEAL_PIECE; /* a seek is an eighth of it, or less */
    d.write = disk->seeks ? d.piece : SIM_PIECE;
    d.page = sim_memory((pages + 1) * sizeof *d.page);
    ideal_order(&d, t, threads);
    d.heap.at = sim_memory((2 * d.count + 2 * (size_t)pages) * sizeof *d.heap.at);
    threads_begin(t, threads);
    for (uint32_t i = 0; i < pages; i++)
        d.page[i].begins = sim_none;
    for (uint32_t i = pages - room; i < pages; i++)
        ideal_take(&d, i, 0);
    for (;;) {
        struct sim_thread *first = NULL;
        for (struct sim_thread *s = sim.thread; s < sim.thread + threads; s++)
            if (s->at < s->trace->count && (!first || s->clock < first->clock))
                first = s;
        if (!first || first->clock > limit)
            return threads_score();
        ideal_step(&d, first, d.turn[first - sim.thread][first->at]);
    }
}

#endif
