/* unit_extent.c - the extent allocator against a page map: random takes, frees, growing, trimming,
 * checked as a whole again and again. The seed is printed; unit_extent SEED replays it. */
#include "../bigmaac.c"
#include "check.h"

enum { PAGES = 4096, LIVE = 300, STEPS = 40000, CHECK_EVERY = 64 };

static struct space *space = &big.space;
static uint32_t live[LIVE];
static unsigned char owner[PAGES]; /* 0: free */
static uint64_t state;

static uint32_t dice(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 20) % below);
}

/* Notes pages as taken or free; they must have been the opposite. */
static void mark(uint32_t page, uint32_t pages, int taken)
{
    for (uint32_t p = page; p < page + pages; p++) {
        CHECK(owner[p] == !taken);
        owner[p] = (unsigned char)taken;
    }
}

static void step_take(uint32_t *slot)
{
    uint32_t pages = 1 + dice(dice(8) ? 20 : 400), align = 1u << dice(6);
    uint32_t e = extent_alloc(space, KIND_CLEAN, pages, align);
    if (!e)
        return;
    const struct extent *x = extent_at(space, e);
    CHECK(x->pages == pages && x->page % align == 0 && x->state == EXTENT_BUSY);
    CHECK(extent_lookup(space, extent_offset(space, x)) == e);
    mark(x->page, pages, 1);
    *slot = e;
}

static void step_change(uint32_t *slot)
{
    struct extent *x = extent_at(space, *slot);
    uint32_t page = x->page, before = x->pages, to = 1 + dice(60);
    if (to > before && extent_grow(space, *slot, to))
        mark(page + before, to - before, 1);
    else if (to < before && extent_trim(space, *slot, to, KIND_CLEAN))
        mark(page + to, before - to, 0);
    x = extent_at(space, *slot);
    CHECK(x->page == page && extent_lookup(space, extent_offset(space, x)) == *slot);
}

static void step_free(uint32_t *slot)
{
    struct extent *x = extent_at(space, *slot);
    size_t offset = extent_offset(space, x);
    mark(x->page, x->pages, 0);
    extent_free(space, *slot, KIND_CLEAN);
    CHECK(extent_lookup(space, offset) == 0);
    *slot = 0;
}

/* What contains a page is the same however the search came there: from the last find, or from far. */
static void step_find(void)
{
    uint32_t page = dice(PAGES);
    uint32_t e = extent_containing(space, space->start + to_bytes(page) + dice(4096));
    CHECK(!e == !owner[page]);
    const struct extent *x = extent_at(space, e);
    CHECK(!e || (page - x->page < x->pages && extent_lookup(space, extent_offset(space, x)) == e));
    space->found = dice(8) ? space->found : 1 + dice(space->extent_count);
}

static void run(uint32_t quick_from)
{
    space->quick_from = quick_from;
    for (int i = 0; i < STEPS && !checks_failed; i++) {
        uint32_t *slot = &live[dice(LIVE)];
        if (!*slot)
            step_take(slot);
        else if (dice(3))
            step_free(slot);
        else
            step_change(slot);
        step_find();
        const char *wrong = i % CHECK_EVERY ? NULL : extent_check(space);
        if (wrong)
            fprintf(stderr, "step %d: %s\n", i, wrong);
        CHECK(!wrong);
    }
    for (int i = 0; i < LIVE; i++)
        if (live[i])
            step_free(&live[i]);
    CHECK(!extent_check(space));
    uint32_t all = extent_alloc(space, KIND_CLEAN, PAGES, 1); /* everything was merged again */
    CHECK(all && extent_at(space, all)->page == 0);
    CHECK(!extent_alloc(space, KIND_CLEAN, 1, 1));
    extent_free(space, all, KIND_CLEAN);
}

int main(int argc, char **argv)
{
    state = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL) * 2654435761u + 1;
    printf("seed %llu\n", (unsigned long long)state);
    CHECK(mem_reserve() && space_open(space, big.space.start, to_bytes(PAGES)));
    run(QUICK_FROM); /* merged at once */
    run(1);          /* with quick lists */
    return check_result();
}
