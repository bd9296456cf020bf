/* unit_pages.c - pages of ours that are larger than the kernel's, as on aarch64: what is in memory is
 * counted in ours, and faults are seen. */
#define PAGE_SHIFT 16
#include "../bigmaac.c"
#include "check.h"
#include "watch.h"

/* The kernel's pages of one of ours. */
static void touch(char *at, size_t page, size_t from)
{
    for (size_t i = from; i < page_size; i += sys_page())
        at[page * page_size + i] = 1;
}

/* Touches ordinary memory; returns how many faults WATCH has seen, or none if that can't be done here. */
static size_t faults_seen(size_t none)
{
    const size_t bytes = 100 * sys_page();
    watch_begin();
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, anon_flags, -1, 0);
    for (size_t at = 0; at < bytes; at += sys_page())
        p[at] = 1;
    sleep_ms(100);
    bool able = watch_able();
    CHECK(watch_end());
    atomic_store(&mon.running, false);
    munmap(p, bytes);
    return able ? watcher.faults : none;
}

int main(void)
{
    const size_t bytes = 64 << 20;
    CHECK(faults_seen(100) >= 100);
    cfg.reserve = 0; /* holes, page by page: what is touched is in memory, and nothing else */
    cfg.paging = PAGING_RANDOM;
    char *p = bigmaac_malloc(bytes);
    CHECK(p && bigmaac_kind(p) == BIGMAAC_KIND_BIGMAAC);
    size_t offset = mem_offset(p);
    CHECK(!is_resident(offset, 8));
    touch(p, 3, 0);
    CHECK(is_resident(offset, 8) && !is_resident(offset, 2));
    touch(p, 1000, page_size - sys_page()); /* its last part alone */
    CHECK(pager_open());
    ranges_find();
    CHECK(pager.ranges == 1 && pager.total_pages == bytes / page_size);
    window_add(pager.range, 0, window_bytes);
    window_add(pager.range, window_bytes, window_bytes);
    CHECK(pager.windows == 2);
    CHECK(windows_snapshot(false) == 2);
    CHECK(pager.vector[3] == 1 && pager.vector[to_pages(window_bytes) + 1000 - 512] == 1);
    const struct usage many = {.majflt = 1000};
    CHECK(paging_is_ours(&many)); /* most of it is missing */
    if (room_bytes() > 5 * bytes) {
        atomic_store(&map.moved_bytes, 5 * bytes); /* and so may be what the faults are for */
        CHECK(!paging_is_ours(&many));
        atomic_store(&map.moved_bytes, 0);
    }
    CHECK(madvise_own(p, bytes, MADV_DONTNEED) == 0 && is_zero(p, bytes));
    CHECK(!extent_check(&big.space) && !big_check() && !fry_check());
    bigmaac_free(p);
    return check_result();
}
