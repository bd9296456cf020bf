/* unit_limit.c - what the reservation gives back when the program limits its address space: nothing that is in use; and what
 * others have there afterwards is theirs. */
#include "../bigmaac.c"
#include <sys/resource.h>
#include <sys/wait.h>
#include "kinds.h"

enum { BLOCKS = 40 };
static void *freed;
static void free_seen(void *p) { freed = p; }

static size_t address_space(void)
{
    char text[64];
    return read_text("/proc/self/statm", text, sizeof text) ? text_number(text, NULL) * sys_page() : 0;
}

static void limit_to(size_t more)
{
    struct rlimit to = {.rlim_cur = address_space() - mem.reserved + more, .rlim_max = RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_AS, &to) == 0);
    mem_shrink();
}

/* A page of somebody else's there; false: the place is taken. */
static bool others_page(size_t offset)
{
    char *p = mem_at(offset);
    if (sys_mmap(p, sys_page(), PROT_READ | PROT_WRITE, anon_flags | MAP_FIXED_NOREPLACE, -1, 0) != p)
        return false;
    *p = 1;
    CHECK(!mem_owns(p) && mem_covers(p) && !memory_is_ours(p) && !bus_owns(p) && bigmaac_kind(p) == BIGMAAC_KIND_NONE);
    void (*real)(void *) = next.free;
    next.free = free_seen;
    bigmaac_free(p);
    CHECK(freed == p);
    next.free = real;
    sys_munmap(p, sys_page());
    return true;
}

static bool hole_exists(const struct vma *v, void *at)
{
    *(uintptr_t *)at = v->from <= *(uintptr_t *)at ? v->to : *(uintptr_t *)at;
    return true;
}

/* In a child, what its parent keeps back of a block is no hole; what was given back stays one. */
static void fork_holes(unsigned char *p, size_t bytes)
{
    int status = -1;
    CHECK(madvise_own(p, bytes, MADV_DONTFORK) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        uintptr_t from = (uintptr_t)p, end = from;
        CHECK(vmas_walk(from, from + bytes, hole_exists, &end) && end == from + bytes);
        CHECK(others_page(boot_bytes) && others_page(mem.fry_to));
        _exit(check_result());
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

static void check_spaces(void)
{
    lock_take(&fry.lock);
    lock_take(&big.lock);
    CHECK(!extent_check(&fry.space) && !extent_check(&big.space) && !big_check() && !fry_check());
    lock_drop(&big.lock);
    lock_drop(&fry.lock);
}

int main(void)
{
    setenv("BIGMAAC_MIN_FRY_SIZE", "64", 1);
    config_load();
    route_set_limit();
    unsigned char *block[BLOCKS];
    size_t size[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        size[i] = i % 4 == 0 ? (11 + i) << 20 : 100 << i % 12;
        block[i] = bigmaac_malloc(size[i]);
        CHECK(block[i] && mem_owns(block[i]));
        stamp(block[i], size[i], i);
    }
    size_t fries = fry.space.pages, all = mem.size;
    CHECK(!others_page(boot_bytes) && !others_page(mem.fry_end - page_size) && address_space() > mem.reserved);
    limit_to((size_t)8 << 30);
    CHECK(fry.space.pages < fries && mem.size < all && mem.reserved <= (size_t)4 << 30);
    CHECK(others_page(boot_bytes) && others_page(mem.fry_from - sys_page()) && others_page(mem.fry_end - sys_page()) && others_page(mem.fry_to));
    CHECK(!others_page(mem.fry_to - page_size) && !others_page(mem.size - page_size) && !others_page(mem.fry_end));
    check_spaces();
    fork_holes(block[0], round_down(size[0], page_size));
    fries = fry.space.pages, all = mem.reserved;
    limit_to((size_t)8 << 30); /* nothing more to give */
    CHECK(fry.space.pages == fries && mem.reserved == all);
    limit_to((size_t)1 << 30);
    CHECK(fry.space.pages < fries && mem.reserved < all && mem.reserved >= count.bigmaac_bytes);
    limit_to(1); /* no more than is in use stays */
    check_spaces();
    struct rlimit to = {RLIM_INFINITY, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_AS, &to) == 0);
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK(is_stamped(block[i], size[i], size[i], i));
        unsigned char *p = bigmaac_realloc(block[i], size[i] * 3);
        CHECK(p && is_stamped(p, size[i], size[i], i));
        bigmaac_free(p);
    }
    check_spaces();
    return check_result();
}
