/* unit_punch.c - what is freed of mapped memory's file, page by page: how many calls give its blocks back, how many blocks wait
 * for that, and that nobody sees what they held. Calls are counted as the library makes them. */
static long counted(long number, long a, long b, long c, long d, long e, long f);
#define BIGMAAC_SYS counted
#include "../bigmaac.c"
#include "check.h"

#include <sys/wait.h>

enum { PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, ZERO = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE };
static size_t punches, zeroes, joins, advices, fails; /* joins: zeroes of a unit or more; fails: reservations that find no room */
static bool full;                                     /* the disk has no block left, as statfs tells */
static size_t page;

static long counted(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_fallocate && b == 0 && fails) {
        fails--;
        errno = ENOSPC;
        return -1;
    }
    punches += number == SYS_fallocate && b == PUNCH;
    zeroes += number == SYS_fallocate && b == ZERO;
    joins += number == SYS_fallocate && b == ZERO && (size_t)d >= map_unit;
    advices += number == SYS_fadvise64;
    long result = syscall(number, a, b, c, d, e, f);
    if (number == SYS_fstatfs && result == 0)
        ((struct statfs *)b)->f_bavail = full ? 0 : 1 << 30;
    return result;
}

static char *moved_region(size_t bytes, uint64_t seed)
{
    char *place = mmap(NULL, bytes + huge_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *p = (char *)round_up((uintptr_t)place, huge_size);
    CHECK(map_mmap(p, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
    fill(p, bytes, seed);
    for (int i = 0; i < 20 && spans_bytes(&map.live, (uintptr_t)p, (uintptr_t)p + bytes) < bytes; i++)
        map_move(bytes, bytes, true);
    CHECK(spans_bytes(&map.live, (uintptr_t)p, (uintptr_t)p + bytes) == bytes);
    punches = zeroes = joins = advices = 0;
    return p;
}

static void drop(char *p)
{
    CHECK(map_madvise(p, page, MADV_DONTNEED) == 0);
}

/* Page i of a region that was filled whole. */
static bool page_is(const char *p, size_t i, uint64_t seed)
{
    return is_filled(p + i * page, page, seed + i * page * 0x9e3779b97f4a7c15u);
}

static size_t file_bytes(void)
{
    struct stat st;
    CHECK(fsync(map.file.fd) == 0 && fstat(map.file.fd, &st) == 0);
    return (size_t)st.st_blocks * 512;
}

static bool nothing_kept(void) { return !map.kept.count && !map.kept_bytes && !map.used_bytes; }

/* Every other page: no call for each, neither when it is dropped nor when all of them are unmapped. */
static void alternates(void)
{
    const size_t pages = 2 * (MAP_MOVED_MAX / 2 + 1000), bytes = round_up(pages * page, huge_size);
    char *p = moved_region(bytes, 1);
    for (size_t i = 0; i < pages; i += 2)
        drop(p + i * page);
    CHECK(punches == 0 && map.kept_bytes <= map.used_bytes);
    CHECK(zeroes <= pages / 2 - MAP_MOVED_MAX / 2 + 1); /* where ranges are many */
    bool right = true;
    for (size_t i = 0; i < pages; i++)
        right &= i % 2 ? page_is(p, i, 1) : is_zero(p + i * page, page);
    CHECK(right);
    map_munmap(p, bytes);
    CHECK(punches == 1 && joins == 1);
    CHECK(nothing_kept() && file_bytes() == 0);
}

/* One after the other: as soon as a unit is free, it goes back; the last one by halves, as no more is kept than is used. */
static void in_order(void)
{
    const size_t bytes = 32 * map_unit;
    char *p = moved_region(bytes, 2);
    for (size_t i = 0; i < bytes; i += page) {
        drop(p + i);
        CHECK(map.kept_bytes < map_unit);
    }
    CHECK(punches <= 40 && nothing_kept() && file_bytes() == 0);
    map_munmap(p, bytes);
    p = moved_region(bytes, 2); /* large pieces at once */
    for (size_t i = 0; i < bytes; i += 2 * map_unit)
        CHECK(map_madvise(p + i, map_unit, MADV_DONTNEED) == 0);
    CHECK(punches == 16 && !map.kept_bytes && file_bytes() <= bytes / 2 + 64 * kib);
    map_munmap(p, bytes);
    CHECK(punches <= 16 + bytes / huge_size && nothing_kept());
}

/* What is kept is bounded by what is used. */
static void bounded(void)
{
    const size_t bytes = 32 * map_unit;
    char *p = moved_region(bytes, 3);
    for (size_t i = 0; i < bytes / page; i++) {
        if (i % 8 == 0)
            continue;
        drop(p + i * page);
        CHECK(map.kept_bytes <= map.used_bytes);
    }
    CHECK(file_bytes() <= 2 * map.used_bytes + 256 * kib && punches > 0);
    for (size_t i = 0; i < bytes / page; i += 8)
        CHECK(page_is(p, i, 3) && is_zero(p + (i + 1) * page, 7 * page));
    map_munmap(p, bytes);
    char *q = moved_region(bytes, 4);
    p = moved_region(bytes, 5);
    for (size_t i = 0; i < bytes; i += 8 * page)
        for (size_t k = page; k < 8 * page; k += page)
            drop(q + i + k);
    map_munmap(p, bytes);
    for (size_t i = 0; i < bytes / page && map.kept_bytes > map.used_bytes; i++)
        map_purge_some(); /* by and by */
    CHECK(map.kept_bytes <= map.used_bytes && map.kept_bytes > 0);
    map_munmap(q, bytes);
    CHECK(nothing_kept() && file_bytes() == 0);
}

/* A full disk gets all blocks, from the call itself, the monitor, or who needs some. */
static void disk_full(void)
{
    const size_t bytes = max_size(8 * map_unit, 96 * page);
    char *p = moved_region(bytes, 6);
    full = true;
    drop(p + page);
    CHECK(punches == 1 && !map.kept_bytes);
    full = false;
    for (size_t i = 3; i < 60; i += 2)
        drop(p + i * page);
    CHECK(punches == 1 && map.kept.count == 29);
    full = true;
    for (int i = 0; i < 29 && map.kept_bytes; i++)
        map_purge_some();
    CHECK(punches == 30 && !map.kept_bytes);
    full = false;
    drop(p + 71 * page);
    CHECK(map.kept_bytes == page);
    fails = 1;
    char *q = moved_region(map_unit, 7);
    CHECK(!map.kept_bytes && fails == 0 && is_filled(q, map_unit, 7));
    drop(p + 81 * page);
    fails = 1;
    void *block = bigmaac_malloc(16 * mib);
    CHECK(block && bigmaac_kind(block) != 0 && !map.kept_bytes && fails == 0);
    bigmaac_free(block);
    drop(p + 91 * page);
    CHECK(map.kept_bytes == page);
    fails = 1;
    block = bigmaac_malloc(4000);
    CHECK(block && bigmaac_kind(block) != 0 && !map.kept_bytes && fails == 0);
    bigmaac_free(block);
    map_munmap(q, map_unit);
    map_munmap(p, bytes);
    CHECK(nothing_kept());
}

/* What was dropped is filled again, and moved to the blocks that it had; the old content is gone. */
static void used_again(void)
{
    const size_t bytes = 4 * map_unit, pages = bytes / page;
    char *p = moved_region(bytes, 8);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < pages; i += 2)
            drop(p + i * page);
        CHECK(map.kept_bytes == bytes / 2);
        for (size_t i = 0; i < pages; i += 2)
            p[i * page] = (char)(i + (size_t)round);
        for (int i = 0; i < 50 && map.kept_bytes; i++)
            map_move(bytes, bytes, true);
        CHECK(!map.kept_bytes && map.used_bytes == bytes && file_bytes() <= bytes + 64 * kib);
        for (size_t i = 0; i < pages; i += 2)
            CHECK(p[i * page] == (char)(i + (size_t)round) && is_zero(p + i * page + 1, page - 1) && page_is(p, i + 1, 8));
    }
    map_munmap(p, bytes);
    CHECK(nothing_kept() && file_bytes() == 0);
}

/* The file that has kept blocks is a fork's, or closed by the program: none of it is touched. */
static void left(void)
{
    const size_t bytes = 2 * map_unit;
    size_t before = atomic_load(&folder.bytes);
    char *p = moved_region(bytes, 9);
    drop(p + page);
    CHECK(map.kept_bytes == page && atomic_load(&folder.bytes) == before + bytes);
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(!(is_zero(p + page, page) && page_is(p, 2, 9) && nothing_kept()));
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 && nothing_kept());
    CHECK(is_zero(p + page, page) && page_is(p, 2, 9) && atomic_load(&folder.bytes) == before);
    map_munmap(p, bytes);
    p = moved_region(bytes, 9);
    drop(p + page);
    CHECK(map.kept_bytes == page && close(map.file.fd) == 0);
    punches = advices = 0;
    drop(p + 3 * page);
    CHECK(!map.kept_bytes && punches == 0 && advices == 0);
    map_munmap(p, bytes);
    CHECK(punches == 0 && nothing_kept() && atomic_load(&folder.bytes) == before);
}

__attribute__((constructor(101))) static void set(void)
{
    setenv("BIGMAAC_MIN_MMAP_SIZE", "64K", 1);
    setenv("BIGMAAC_MIN_BIGMAAC_SIZE", "64K", 1);
    setenv("BIGMAAC_MIN_FRY_SIZE", "1K", 1);
    page = getauxval(AT_PAGESZ);
}

int main(void)
{
#ifdef __SANITIZE_THREAD__ /* without STOP nothing can be moved */
    return 0;
#endif
    CHECK(init_done() && map_on());
    threads_keep();
    alternates();
    in_order();
    bounded();
    used_again();
    left();
    disk_full();
    return check_result();
}
