/* unit_map.c [SEED [CALLS]] - what a program maps itself behaves like anonymous memory, whatever of it was moved
 * out: the same random calls go to an arena of the library's and to one of the kernel's, and results, errno,
 * protections and content must agree after each of them. */
#define MAP_UNIT (16 * 1024)
#define MAP_MOVED_MAX 256
#define MAP_FILE_MAX 40
#include "../bigmaac.c"
#include "check.h"

#include <sys/wait.h>

enum { PAGES = 1024 };
static const size_t page = 4096, arena_bytes = PAGES * 4096;
#ifdef __SANITIZE_THREAD__ /* addresses that nobody else uses: ours, the kernel's */
static char *const arena[2] = {(char *)0x4000000000, (char *)0x5000000000};
#else
static char *const arena[2] = {(char *)0x500000000000, (char *)0x510000000000};
#endif
static uint64_t state;
static size_t moved_out, frozen, calls, joined_otherwise;
static char what[160]; /* the call */

static size_t any(size_t below)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (state >> 11) % below;
}

struct answer {
    long value; /* addresses: within the arena */
    int err;
};

static struct answer answer_of(int side, long value)
{
    bool address = value > 4096 && (char *)value >= arena[side] && (char *)value < arena[side] + arena_bytes;
    return (struct answer){address ? value - (long)arena[side] : value, value == -1 ? errno : 0};
}

/* Protections of the pages of an arena: -1 is not mapped. */
static void protections(int side, signed char *page_protection)
{
    char line[512];
    FILE *f = fopen("/proc/self/maps", "r");
    memset(page_protection, -1, PAGES);
    while (f && fgets(line, sizeof line, f)) {
        unsigned long from, to;
        char p[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, p) != 3)
            continue;
        for (size_t i = 0; i < PAGES; i++) {
            unsigned long at = (unsigned long)arena[side] + i * page;
            if (at >= from && at < to)
                page_protection[i] = (signed char)((p[0] == 'r') | (p[1] == 'w') << 1 | (p[2] == 'x') << 2);
        }
    }
    fclose(f);
}

static bool agree(void)
{
    static signed char protection[2][PAGES];
    for (int side = 0; side < 2; side++)
        protections(side, protection[side]);
    for (size_t i = 0; i < PAGES; i++) {
        if (protection[0][i] != protection[1][i]) {
            fprintf(stderr, "call %zu, %s: page %zu has protection %d, not %d\n", calls, what, i, protection[0][i],
                    protection[1][i]);
            return false;
        }
        if (protection[0][i] >= 0 && protection[0][i] & 1 &&
            memcmp(arena[0] + i * page, arena[1] + i * page, page) != 0) {
            fprintf(stderr, "call %zu, %s: page %zu has other content\n", calls, what, i);
            return false;
        }
    }
    return true;
}

/* Writes the same to what can be written of a range of both. */
static void write_both(size_t from, size_t pages)
{
    static signed char protection[PAGES];
    protections(1, protection);
    for (size_t i = from; i < from + pages && i < PAGES; i++)
        if (protection[i] > 0 && (protection[i] & 3) == 3)
            for (int side = 0; side < 2; side++)
                fill(arena[side] + i * page, page, calls * PAGES + i);
}

static long call_mmap(int side, size_t at, size_t bytes, int protection, int flags)
{
    char *p = arena[side] + at;
    return (long)(side ? mmap(p, bytes, protection, flags, -1, 0) : map_mmap(p, bytes, protection, flags, -1, 0));
}

static long call_mremap(int side, size_t at, size_t old, size_t bytes, int flags, size_t to)
{
    char *p = arena[side] + at, *q = arena[side] + to;
    return (long)(side ? mremap(p, old, bytes, flags, q) : map_mremap(p, old, bytes, flags, q));
}

static long call_leave(int side, long number, size_t at, size_t bytes)
{
    char *p = arena[side] + at;
    return side ? syscall(number, p, bytes, 0) : map_leave(number, p, bytes, 0, 0);
}

static const int advices[] = {MADV_DONTNEED, MADV_DONTNEED, MADV_DONTNEED, MADV_FREE, MADV_NORMAL, MADV_RANDOM, MADV_WILLNEED,
                              MADV_COLD, MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_REMOVE,
                              MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_POPULATE_READ,
                              MADV_POPULATE_WRITE, MADV_DONTDUMP, 102, 103, 999};

/* A mapping that the kernel placed elsewhere: the content is compared, and it goes. */
static bool elsewhere(long p[2], size_t bytes)
{
    bool same = true;
    for (size_t i = 0; i < bytes; i += page) {
        unsigned char here[2];
        bool mapped[2];
        for (int side = 0; side < 2; side++)
            mapped[side] = syscall(SYS_mincore, p[side] + (long)i, page, &here[side]) == 0;
        same &= mapped[0] == mapped[1];
    }
    char *content[2] = {malloc(bytes), malloc(bytes)};
    for (int side = 0; side < 2; side++) {
        syscall(SYS_mprotect, p[side], bytes, PROT_READ);
        memcpy(content[side], (void *)p[side], bytes);
    }
    same &= memcmp(content[0], content[1], bytes) == 0;
    free(content[0]);
    free(content[1]);
    map_munmap((void *)p[0], bytes);
    munmap((void *)p[1], bytes);
    return same;
}

static size_t any_pages(size_t at) { return 1 + any(any(4) ? 24 : PAGES - at); }

/* One call on both sides. False: they disagree. */
static bool one_call(void)
{
    static const int protections_of[] = {PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE,
                                         PROT_READ | PROT_EXEC};
    static const int flags_of[] = {0, 0, MAP_NORESERVE, MAP_POPULATE, MAP_STACK};
    size_t at = any(PAGES), pages = any_pages(at), to = any(PAGES), more = any_pages(to), bytes;
    size_t kind = any(16), odd = any(50) ? 0 : 1 + any(4095);
    int protection = protections_of[any(5)], flags = flags_of[any(5)], advice = advices[any(sizeof advices / sizeof advices[0])];
    int move = (int[]){0, MREMAP_MAYMOVE, MREMAP_MAYMOVE | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_FIXED,
                       MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, MREMAP_FIXED}[any(6)];
    struct answer a[2];
    long raw[2];
    if (any(3) == 0)
        more = pages;
    pages = min_size(pages, PAGES - at);
    more = min_size(more, PAGES - to);
    bytes = pages * page + (any(40) ? 0 : any(page));
    int fixed = any(3) ? MAP_FIXED : MAP_FIXED_NOREPLACE;
    for (int side = 0; side < 2; side++) {
        errno = 0;
        if (kind < 3) {
            snprintf(what, sizeof what, "mmap page %zu, %zu bytes, protection %d, flags %x", at, bytes, protection, flags | fixed);
            raw[side] = call_mmap(side, at * page + odd, bytes, protection, flags | fixed | MAP_PRIVATE | MAP_ANONYMOUS);
        } else if (kind < 5) {
            snprintf(what, sizeof what, "munmap page %zu, %zu bytes", at, bytes);
            raw[side] = side ? munmap(arena[1] + at * page + odd, bytes) : map_munmap(arena[0] + at * page + odd, bytes);
        } else if (kind < 8) {
            snprintf(what, sizeof what, "mremap page %zu, %zu to %zu pages, flags %d, to page %zu", at, pages, more, move, to);
            raw[side] = call_mremap(side, at * page + odd, pages * page, more * page, move, to * page);
        } else if (kind < 10) {
            snprintf(what, sizeof what, "mprotect page %zu, %zu bytes, protection %d", at, bytes, protection);
            raw[side] = side ? mprotect(arena[1] + at * page + odd, bytes, protection)
                             : map_mprotect(arena[0] + at * page + odd, bytes, protection);
        } else if (kind < 15) {
            snprintf(what, sizeof what, "madvise page %zu, %zu bytes, advice %d", at, bytes, advice);
            raw[side] = side ? syscall(SYS_madvise, arena[1] + at * page + odd, bytes, advice)
                             : map_madvise(arena[0] + at * page + odd, bytes, advice);
        } else {
            snprintf(what, sizeof what, "mlock page %zu, %zu pages", at, pages);
            raw[side] = call_leave(side, SYS_mlock, at * page, pages * page);
        }
        a[side] = answer_of(side, raw[side]);
    }
    if (raw[0] > (long)arena_bytes && a[0].value == raw[0] && raw[1] == -1)
        map_munmap((void *)raw[0], more * page);
    bool placed = a[0].value > (long)arena_bytes || a[0].value < -1;
    if (placed && (a[1].value > (long)arena_bytes || a[1].value < -1)) {
        if (!elsewhere(raw, more * page)) {
            fprintf(stderr, "call %zu, %s: moved elsewhere, the content differs\n", calls, what);
            return false;
        }
        return true;
    }
    if (kind >= 10 && kind < 15 && advice == MADV_FREE) /* zero or not: both are right */
        for (int side = 0; side < 2; side++)
            side ? (int)syscall(SYS_madvise, arena[1] + at * page, bytes, MADV_DONTNEED)
                 : map_madvise(arena[0] + at * page, bytes, MADV_DONTNEED);
    if (kind >= 10 && kind < 15 && advice == 102) /* guards would end the test */
        for (int side = 0; side < 2; side++)
            syscall(SYS_madvise, arena[side] + at * page, (pages + 1) * page, 103);
    if (kind == 15)
        for (int side = 0; side < 2; side++)
            syscall(SYS_munlock, arena[side] + at * page, pages * page);
    if (kind >= 5 && kind < 8 && (a[0].err == EFAULT) != (a[1].err == EFAULT)) {
        joined_otherwise++; /* mappings that were made anew: begin again */
        for (int side = 0; side < 2; side++)
            call_mmap(side, 0, arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
        return true;
    }
    if (a[0].value != a[1].value || a[0].err != a[1].err) {
        fprintf(stderr, "call %zu, %s: %ld (%s), not %ld (%s)\n", calls, what, a[0].value, strerror(a[0].err), a[1].value,
                strerror(a[1].err));
        return false;
    }
    return true;
}

/* A child sees what the kernel's memory shows, and goes on; the parent sees nothing of that. */
static bool a_child(void)
{
    int status = -1;
    cfg.fork_mode = any(2) ? FORK_PRIVATE : FORK_COPY;
    snprintf(what, sizeof what, "a fork, mode %zu", cfg.fork_mode);
    pid_t pid = fork();
    if (pid == 0) {
        threads_keep();
        for (int i = 0; i < 8; i++) {
            bool same = agree() && one_call() && agree();
            if (!same)
                _exit(1);
            write_both(any(PAGES), 64);
            map_move((1 + any(64)) * MAP_UNIT, any(2) * 3 * MAP_UNIT);
        }
        _exit(0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

__attribute__((constructor(101))) static void set(void) { setenv("BIGMAAC_MIN_MMAP_SIZE", "16K", 1); }

int main(int argc, char **argv)
{
#ifdef __SANITIZE_THREAD__ /* without STOP nothing can be moved */
    return 0;
#endif
    uint64_t seed = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
    size_t most = argc > 2 ? strtoul(argv[2], NULL, 10) : 1500;
    state = seed * 0x9e3779b97f4a7c15u + 1;
    CHECK(init_done() && map_on());
    threads_keep();
    for (int side = 0; side < 2; side++)
        CHECK(call_mmap(side, 0, arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) == (long)arena[side]);
    bool right = true;
    for (calls = 0; calls < most && right; calls++) {
        size_t at = any(PAGES);
        write_both(at, any_pages(at));
        if (any(3) == 0)
            moved_out += map_move((1 + any(64)) * MAP_UNIT, any(2) * 3 * MAP_UNIT);
        if (any(60) == 0) {
            frozen += spans_bytes(&map.live, 0, UINTPTR_MAX);
            right = a_child();
        }
        if (any(200) == 0) /* begin again */
            for (int side = 0; side < 2; side++)
                call_mmap(side, 0, arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
        strcpy(what, "a move");
        right = right && agree() && one_call() && agree();
    }
    CHECK(right);
    fprintf(stderr, "seed %lu: %zu calls, %zu MiB moved out, %zu MiB frozen, %zu MiB restored, %zu ranges moved now\n", seed, calls,
            moved_out >> 20, frozen >> 20, atomic_load(&map.restored_bytes) >> 20, map.moved.count);
    CHECK(joined_otherwise * 300 <= most);
    CHECK(moved_out > 0 && (frozen > 0 || most < 1000) && atomic_load(&map.restored_bytes) > 0);
    return check_result();
}
