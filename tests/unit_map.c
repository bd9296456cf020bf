/* unit_map.c [SEED [CALLS]] - what a program maps itself behaves like anonymous memory, whatever of it was moved
 * out: the same random calls go to an arena of the library's and to one of the kernel's, and results, errno,
 * protections and content must agree after each of them. */
#ifdef __aarch64__ /* the library's pages are of 64 KiB there */
#define MAP_UNIT (64 * 1024)
#else
#define MAP_UNIT (16 * 1024)
#endif
#define MAP_MOVED_MAX 24
#define MAP_SPANS_MAX 2048
#define MAP_FILE_MAX 6
static long refuses_mappings(long number, long a, long b, long c, long d, long e, long f);
#define BIGMAAC_SYS refuses_mappings
#include "../bigmaac.c"
#include "check.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { PAGES = 1024 };
static int refused; /* 1: no file can be mapped; 2: and what was there is unmapped before that is told; */
static bool refuses_memory; /* no memory, in its place */
static unsigned looked_up;  /* fstat of a descriptor */
static unsigned opened;     /* openat */
static unsigned named;      /* readlinkat */
static bool no_kinds;       /* the kernel has no statx */
static bool no_files;       /* nothing can be opened */

static long refuses_mappings(long number, long a, long b, long c, long d, long e, long f)
{
    looked_up += number == SYS_fstat;
    opened += number == SYS_openat;
    named += number == SYS_readlinkat;
    if (number == SYS_statx && no_kinds) {
        errno = ENOSYS;
        return -1;
    }
    if (number == SYS_openat && no_files) {
        errno = ENFILE;
        return -1;
    }
    if (number != SYS_mmap || !refused || (e < 0) != refuses_memory || !(d & MAP_FIXED))
        return syscall(number, a, b, c, d, e, f);
    if (refused == 2)
        munmap((void *)a, (size_t)b);
    errno = ENOMEM;
    return -1;
}

static size_t page, arena_bytes; /* the kernel's page */
#ifdef __SANITIZE_THREAD__ /* addresses that nobody else uses: ours, the kernel's */
static char *const arena[2] = {(char *)0x4000000000, (char *)0x5000000000};
#else
static char *const arena[2] = {(char *)0x500000000000, (char *)0x510000000000};
#endif
static uint64_t state;
static size_t moved_cold, moved_out, frozen, calls, joined_otherwise;
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
    bool address = value > (long)page && (char *)value >= arena[side] && (char *)value < arena[side] + arena_bytes;
    return (struct answer){address ? value - (long)arena[side] : value, value == -1 ? errno : 0};
}

static signed char protection_of[2][PAGES]; /* of the arenas' pages; -1: not mapped */

static void protections_read(void)
{
    char line[512];
    FILE *f = fopen("/proc/self/maps", "r");
    memset(protection_of, -1, sizeof protection_of);
    while (f && fgets(line, sizeof line, f)) {
        char *p;
        uintptr_t from = strtoul(line, &p, 16), to = strtoul(p + 1, &p, 16);
        for (int side = 0; side < 2; side++) {
            uintptr_t start = (uintptr_t)arena[side];
            for (uintptr_t at = max_size(from, start); at < min_size(to, start + arena_bytes); at += page)
                protection_of[side][(at - start) / page] = (signed char)((p[1] == 'r') | (p[2] == 'w') << 1 | (p[3] == 'x') << 2);
        }
    }
    fclose(f);
}

/* The sets, what is counted of them, and what the kernel shows agree. */
static bool is_consistent(void)
{
    for (int i = 0; i < 1000 && map.kept_bytes > map.used_bytes; i++)
        map_purge_some(); /* by and by */
    struct vma_scan scan = {0};
    struct span p;
    struct vma v;
    size_t used = spans_bytes(&map.used, 0, UINTPTR_MAX);
    if (atomic_load(&map.moved_bytes) != spans_bytes(&map.moved, 0, UINTPTR_MAX) || used != map.used_bytes ||
        map.kept_bytes != spans_bytes(&map.kept, 0, UINTPTR_MAX) || map.kept_bytes > used)
        return false;
    for (size_t i = 0; i < map.kept.count; i++) { /* small, and beside something that is used; or of what came home */
        const struct span *k = span_at(&map.kept, i);
        size_t pages[] = {round_down(k->from, map_write_bytes), round_up(k->to, map_write_bytes)}; /* of the cache, which share it */
        bool whole = round_up(k->from, map_write_bytes) < round_down(k->to, map_write_bytes);
        bool small = (k->to - k->from < map_unit || !whole) && spans_touch(&map.used, pages[0] - 1, pages[1] + 1);
        if (spans_touch(&map.used, k->from, k->to) || !(small || atomic_load(&map.home_bytes)))
            return false;
    }
    for (uintptr_t at = 0; spans_part(&map.live, at, UINTPTR_MAX, &p); at = p.to) {
        if (spans_bytes(&map.moved, p.from, p.to) != p.to - p.from)
            return false;
        if (spans_bytes(&map.used, p.from + p.marks, p.to + p.marks) != p.to - p.from)
            return false;
        used -= p.to - p.from;
        for (size_t i = 0; i < map.live.count; i++) { /* no byte of the file is two ranges' */
            const struct span *q = span_at(&map.live, i);
            if (q->from != p.from && q->from + q->marks < p.to + p.marks && p.from + p.marks < q->to + q->marks)
                return false;
        }
        for (uintptr_t in = p.from; vma_part(&scan, &in, p.to, &v);)
            if (v.offset - v.from != p.marks || v.inode != map.file.ino)
                return false;
    }
    return used == 0;
}

static bool agree(void)
{
    const signed char *of = protection_of[0], *wanted = protection_of[1];
    protections_read();
    if (!is_consistent()) {
        fprintf(stderr, "call %zu, %s: what is kept of moved memory is wrong\n", calls, what);
        return false;
    }
    for (size_t i = 0; i < PAGES; i++) {
        if (of[i] != wanted[i]) {
            fprintf(stderr, "call %zu, %s: page %zu has protection %d, not %d\n", calls, what, i, of[i], wanted[i]);
            return false;
        }
        if (of[i] >= 0 && of[i] & 1 && memcmp(arena[0] + i * page, arena[1] + i * page, page) != 0) {
            fprintf(stderr, "call %zu, %s: page %zu has other content\n", calls, what, i);
            return false;
        }
    }
    return true;
}

/* Writes the same to what can be written of a range of both. */
static void write_both(size_t from, size_t pages)
{
    protections_read();
    for (size_t i = from; i < from + pages && i < PAGES; i++)
        if (protection_of[1][i] > 0 && (protection_of[1][i] & 3) == 3)
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

static long call_leave(int side, long number, size_t at, size_t bytes, long third, long fourth)
{
    char *p = arena[side] + at;
    return side ? syscall(number, p, bytes, third, fourth) : map_leave(number, p, bytes, third, fourth);
}

static long key; /* of memory protection; 0 where there are none */

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
    size_t kind = any(18), locks = any(4), odd = any(50) ? 0 : 1 + any(4095);
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
    long any_key = any(3) ? 0 : key;
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
        } else if (kind < 16) {
            snprintf(what, sizeof what, "pkey_mprotect page %zu, %zu pages, protection %d", at, pages, protection);
            raw[side] = call_leave(side, SYS_pkey_mprotect, at * page, pages * page, protection, any_key);
        } else {
            snprintf(what, sizeof what, "mlock %zu page %zu, %zu pages", locks, at, pages);
            raw[side] = locks < 2 ? call_leave(side, SYS_mlock, at * page, pages * page, 0, 0)
                                  : call_leave(side, SYS_mlock2, at * page, pages * page, locks == 3 ? MLOCK_ONFAULT : 0, 0);
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
    if (kind > 15)
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
            map_move((1 + any(64)) * MAP_UNIT, 1 + any(2) * 3 * MAP_UNIT, any(2));
        }
        _exit(0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* --- single cases ------------------------------------------------------------------------------------- */

enum { CASE_BYTES = 4 << 20 };

static size_t in_file(const char *p, size_t bytes) { return spans_bytes(&map.live, (uintptr_t)p, (uintptr_t)p + bytes); }

static void move_out(const char *p, size_t bytes)
{
    for (int i = 0; i < 20 && in_file(p, bytes) < bytes; i++)
        map_move(bytes, bytes, true);
    CHECK(in_file(p, bytes) == bytes);
}

/* Memory of the library's that begins where a large page of the file may. */
static char *new_region(size_t bytes)
{
    size_t most = file_page_most();
    char *place = mmap(NULL, bytes + most, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *p = (char *)round_up((uintptr_t)place, most);
    munmap(place, bytes + most);
    CHECK(map_mmap(p, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
    return p;
}

/* `bytes` that are filled and moved out. */
static char *moved_region(size_t bytes)
{
    char *p = new_region(bytes);
    fill(p, bytes, 5);
    move_out(p, bytes);
    return p;
}

/* What was only read is the kernel's page of zeroes: it takes no memory, and stays. What was written is moved, zeroes, too, and with a
 * child that has it as well. */
static void only_read(void)
{
    char *p = new_region(CASE_BYTES);
    volatile char sum = 0;
    for (size_t i = 0; i < CASE_BYTES; i += page)
        sum += p[i];
    CHECK(map_move(CASE_BYTES, CASE_BYTES, true) == 0 && in_file(p, CASE_BYTES) == 0 && sum == 0);
    memset(p, 0, MAP_UNIT);
    fill(p + MAP_UNIT, MAP_UNIT, 3);
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork(); /* by libc: it has the same pages */
    if (child == 0) {
        close(ends[1]);
        _exit((int)read(ends[0], &page, 1));
    }
    close(ends[0]);
    for (int i = 0; i < 20 && in_file(p, 2 * MAP_UNIT) < MAP_UNIT; i++)
        map_move(CASE_BYTES, MAP_UNIT, true);
    CHECK(in_file(p + MAP_UNIT, MAP_UNIT) == MAP_UNIT);
    close(ends[1]);
    CHECK(waitpid(child, NULL, 0) == child);
    memset(p, 0, MAP_UNIT);
    move_out(p, 2 * MAP_UNIT);
    CHECK(in_file(p, CASE_BYTES) == 2 * MAP_UNIT && is_filled(p + MAP_UNIT, MAP_UNIT, 3) && is_zero(p, MAP_UNIT));
    map_munmap(p, CASE_BYTES);
}

static size_t resident_bytes(const char *p, size_t bytes)
{
    static unsigned char vector[CASE_BYTES / 4096]; /* at least */
    size_t n = 0;
    CHECK(syscall(SYS_mincore, p, bytes, vector) == 0);
    for (size_t i = 0; i < bytes / page; i++)
        n += vector[i] & 1;
    return n * page;
}

/* It is in the file alone from then on. */
static void drop_cached(char *p, size_t bytes)
{
    sys_madvise(p, bytes, MADV_DONTNEED);
    CHECK(fdatasync(map.file.fd) == 0 && posix_fadvise(map.file.fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
}

static bool resident_soon(const char *p, size_t bytes)
{
    for (int i = 0; i < 5000 && resident_bytes(p, bytes) < bytes; i++)
        sleep_ms(1);
    return resident_bytes(p, bytes) == bytes;
}

static size_t mappings(void)
{
    size_t n = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    for (int c; (c = getc(f)) != EOF;)
        n += c == '\n';
    fclose(f);
    return n;
}

/* What is moved stays in the file, wherever mremap puts it. */
static void remaps_moved(void)
{
    const size_t half = CASE_BYTES / 2;
    size_t restored = atomic_load(&map.restored_bytes);
    char *place = mmap(NULL, 4 * CASE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *p = moved_region(CASE_BYTES);
    char *q = map_mremap(p, CASE_BYTES, CASE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, place);
    CHECK(q == place && is_filled(q, CASE_BYTES, 5) && in_file(q, CASE_BYTES) == CASE_BYTES && is_consistent());
    fill(q, CASE_BYTES, 6);
    errno = 0;
    CHECK(map_mremap(q, CASE_BYTES, 2 * CASE_BYTES, 0, NULL) == MAP_FAILED && errno == ENOMEM); /* no room behind it */
    errno = 0;
    CHECK(map_mremap(q, 0, CASE_BYTES, MREMAP_MAYMOVE, NULL) == MAP_FAILED && errno == EINVAL); /* a second mapping */
    munmap(q + CASE_BYTES, CASE_BYTES);
    CHECK(map_mremap(q, CASE_BYTES, CASE_BYTES + half, 0, NULL) == q);
    CHECK(is_filled(q, CASE_BYTES, 6) && is_zero(q + CASE_BYTES, half) && in_file(q, 2 * CASE_BYTES) == CASE_BYTES);
    fill(q + CASE_BYTES, half, 7);
    p = map_mremap(q, CASE_BYTES + half, 3 * CASE_BYTES, MREMAP_MAYMOVE, NULL); /* PROT_NONE is in the way */
    CHECK(p != MAP_FAILED && p != q && is_filled(p, CASE_BYTES, 6) && is_filled(p + CASE_BYTES, half, 7));
    CHECK(is_zero(p + CASE_BYTES + half, CASE_BYTES + half) && in_file(p, 3 * CASE_BYTES) == CASE_BYTES);
    CHECK(map_mremap(p, 3 * CASE_BYTES, half, 0, NULL) == p && in_file(p, CASE_BYTES) == half && is_consistent());
    q = map_mremap(p, half, half, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    CHECK(q != MAP_FAILED && is_zero(p, half) && is_filled(q, half, 6) && in_file(q, half) == half);
    p[0] = 1;
    CHECK(is_filled(q, half, 6) && !in_file(p, half) && is_consistent());
    CHECK(atomic_load(&map.restored_bytes) == restored);
    map_munmap(p, half);
    map_munmap(q, half);
    munmap(place, 4 * CASE_BYTES);
}

/* What can't be one mapping is refused, as the kernel does, and nothing is made for that. */
static void refuses(void)
{
    size_t restored = atomic_load(&map.restored_bytes);
    char *p = new_region(CASE_BYTES);
    for (int moved = 0; moved < 2; moved++) {
        CHECK(map_mprotect(p + CASE_BYTES / 2, CASE_BYTES / 2, PROT_READ) == 0);
        errno = 0;
        CHECK(map_mremap(p, CASE_BYTES, 2 * CASE_BYTES, MREMAP_MAYMOVE, NULL) == MAP_FAILED && errno == EFAULT);
        CHECK(resident_bytes(p, CASE_BYTES) == (moved ? MAP_UNIT : 0));
        CHECK(map_mprotect(p + CASE_BYTES / 2, CASE_BYTES / 2, PROT_READ | PROT_WRITE) == 0);
        fill(p, MAP_UNIT, 3);
        move_out(p, MAP_UNIT);
    }
    errno = 0;
    CHECK(map_madvise(p, MAP_UNIT, MADV_REMOVE) == -1 && errno == EINVAL && is_filled(p, MAP_UNIT, 3));
    for (size_t half = MAP_UNIT / 2, past = 0 - sys_page(), i = 0; i < 3; i++) { /* past the end of the addresses */
        const int advice[] = {MADV_DONTNEED, MADV_FREE, MADV_WIPEONFORK};
        errno = 0;
        CHECK(map_madvise(p + half, past, advice[i]) == -1 && errno == EINVAL && map_munmap(p + half, past) == -1);
        CHECK(is_filled(p, MAP_UNIT, 3) && is_consistent());
    }
    CHECK(atomic_load(&map.restored_bytes) == restored);
    map_munmap(p, CASE_BYTES);
}

/* Every other page of moved memory is dropped. */
static void drops(void)
{
    char *p = moved_region(CASE_BYTES);
    size_t before = mappings(), blocks = 0;
    struct stat st;
    CHECK(fdatasync(map.file.fd) == 0); /* a page of the cache that is larger, and still to be written, stays whole */
    for (size_t i = 0; i < CASE_BYTES; i += 2 * page) {
        CHECK(map_madvise(p + i, page, MADV_DONTNEED) == 0);
        blocks += i > CASE_BYTES / 2 && resident_bytes(p + i, page);
    }
    CHECK(blocks == 0); /* memory is free */
    CHECK(mappings() <= before + 2 * MAP_MOVED_MAX + 2);
    for (size_t i = 0; i < CASE_BYTES; i += page) {
        static unsigned char was[64 * 1024];
        unsigned char *page_at = (unsigned char *)p + i;
        for (size_t k = 0; k < page; k++)
            was[k] = i / page % 2 ? (unsigned char)((5 + (i + k) * 0x9e3779b97f4a7c15u) >> 56) : 0;
        CHECK(memcmp(page_at, was, page) == 0);
    }
    fill(p, CASE_BYTES, 9);
    move_out(p, CASE_BYTES); /* where ranges are many, what lies between them is moved yet */
    CHECK(is_filled(p, CASE_BYTES, 9) && is_consistent());
    CHECK(mappings() <= before + 2);
    map_munmap(p, CASE_BYTES);
    CHECK(is_consistent());
    CHECK(fstat(map.file.fd, &st) == 0 && st.st_blocks == 0);
}

/* One GiB of addresses after the other: what is moved now is counted, and the file's parts are used again. */
static void windows(void)
{
    size_t moved_before = atomic_load(&map.moved_bytes), left = map_bytes_left();
    for (size_t i = 1; i <= 3 * MAP_FILE_MAX; i++) {
        char *at = arena[0] + i * 4 * gib;
        CHECK(map_mmap(at, 2 * MAP_UNIT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
        fill(at, 2 * MAP_UNIT, i);
        CHECK(map_bytes_left() == left + 2 * MAP_UNIT);
        move_out(at, 2 * MAP_UNIT);
        CHECK(map_bytes_left() == left && is_filled(at, 2 * MAP_UNIT, i));
        map_munmap(at, 2 * MAP_UNIT);
    }
    CHECK(atomic_load(&map.moved_bytes) == moved_before && map_bytes_left() == left && is_consistent());
    char *both[2] = {(char *)(gib / 2), arena[0] + gib / 2}; /* the lowest GiB, too, loses its part to another */
    for (int i = 0; i < 3; i++) {
        char *at = both[i % 2];
        CHECK(map_mmap(at, MAP_UNIT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == at);
        fill(at, MAP_UNIT, i);
        move_out(at, MAP_UNIT);
        if (i == 0)
            map_munmap(at, MAP_UNIT);
    }
    CHECK(is_filled(both[0], MAP_UNIT, 2) && is_filled(both[1], MAP_UNIT, 1) && is_consistent());
    map_munmap(both[0], MAP_UNIT);
    map_munmap(both[1], MAP_UNIT);
}

/* Moved memory goes from place to place, as a collector's does: what comes after it is moved, too, however small the file may be. */
static void carried(void)
{
    struct rlimit limit, was;
    char *at = arena[0] + 2 * gib + gib / 4, *kept[3 * MAP_FILE_MAX];
    getrlimit(RLIMIT_FSIZE, &was);
    for (size_t least = 0; least < 2; least++) {
        for (size_t i = 0; i < 3 * MAP_FILE_MAX; i++) {
            size_t bytes = (1 + i % 5) * MAP_UNIT + i % 3 * page;
            kept[i] = at + (1 + i) * gib / 16 + i % 2 * page;
            CHECK(map_mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
            fill(at, bytes, i);
            move_out(at, bytes);
            CHECK(map_mremap(at, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, kept[i]) == kept[i] && is_consistent());
        }
        for (size_t i = 0; i < 3 * MAP_FILE_MAX; i++) {
            size_t bytes = (1 + i % 5) * MAP_UNIT + i % 3 * page;
            CHECK(is_filled(kept[i], bytes, i) && in_file(kept[i], bytes) == bytes);
            map_munmap(kept[i], bytes);
        }
        CHECK(map.used.count == 0 && is_consistent());
        limit = (struct rlimit){256 * MAP_UNIT, was.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    setrlimit(RLIMIT_FSIZE, &was);
    /* A block that grows and moves stays one mapping. */
    char *p = moved_region(MAP_UNIT), *place = mmap(NULL, CASE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t ranges = map.live.count;
    for (size_t bytes = MAP_UNIT; bytes < CASE_BYTES / 8; bytes += MAP_UNIT) {
        char *q = map_mremap(p, bytes, bytes + MAP_UNIT, MREMAP_MAYMOVE | MREMAP_FIXED, place + (p == place ? CASE_BYTES / 2 : 0));
        CHECK(q != MAP_FAILED);
        p = q;
        fill(p, bytes + MAP_UNIT, bytes);
        move_out(p, bytes + MAP_UNIT);
        CHECK(map.live.count == ranges && is_consistent());
    }
    map_munmap(place, CASE_BYTES);
}

/* What was moved and carried elsewhere has more behind it than a run: that goes on in the file, together. */
static void grows(void)
{
    size_t ranges = map.live.count, bytes = 3 * huge_size;
    char *p = new_region(bytes), *q = moved_region(MAP_UNIT);
    CHECK(map_mremap(q, MAP_UNIT, MAP_UNIT, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p && map.live.count == ranges + 1);
    fill(p + MAP_UNIT, bytes - MAP_UNIT, 8);
    move_out(p, bytes);
    CHECK(is_filled(p, MAP_UNIT, 5) && is_filled(p + MAP_UNIT, bytes - MAP_UNIT, 8));
    CHECK(map.live.count == ranges + 1 && is_consistent());
    map_munmap(p, bytes);
}

static size_t file_bytes(void)
{
    struct stat st;
    CHECK(fsync(map.file.fd) == 0 && fstat(map.file.fd, &st) == 0);
    return (size_t)st.st_blocks * 512;
}

/* Where the kernel caches a file in large pages, a store to one gets blocks for the holes in it: they go back with what is
 * moved beside them. */
static void large_pages(void)
{
    const size_t most = file_page_most(), bytes = 2 * most, step = most / 4, last = bytes - MAP_UNIT, before = file_bytes();
    char *p = new_region(bytes);
    for (size_t i = step / 2; i < bytes; i += step) {
        fill(p + i, MAP_UNIT, i);
        move_out(p + i, MAP_UNIT);
    }
    fill(p + last, MAP_UNIT, last); /* the file ends behind the holes */
    move_out(p + last, MAP_UNIT);
    size_t tight = file_bytes();
    syscall(SYS_madvise, p, bytes, MADV_DONTNEED); /* of what is moved, the file's pages stay; */
    CHECK(posix_fadvise(map.file.fd, 0, 0, POSIX_FADV_DONTNEED) == 0); /* now they are read again */
    syscall(SYS_madvise, p, bytes, MADV_NORMAL);
    syscall(SYS_madvise, p, bytes, MADV_HUGEPAGE);
    for (size_t i = step / 2; i < bytes; i += step) {
        CHECK(is_filled(p + i, MAP_UNIT, i));
        fill(p + i, MAP_UNIT, i + 1);
    }
    size_t loose = file_bytes();
    fprintf(stderr, "large pages: %zu KiB in the file, %zu KiB once they were written to\n", tight >> 10, loose >> 10);
    map_munmap(p, most);
    CHECK(file_bytes() <= before + most + 16 * kib); /* a list of extents may have a block */
    for (size_t i = most + step / 2; i < bytes; i += step) /* one after the other */
        map_munmap(p + i, MAP_UNIT);
    map_munmap(p, bytes);
    CHECK(file_bytes() == before && is_consistent());
}

/* Has the mapping at p that flag, as smaps has it? */
static bool is_flagged(const char *p, const char *flag)
{
    char line[512];
    bool found = false, flagged = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    for (unsigned long from, to; fgets(line, sizeof line, f);) {
        char dash;
        if (sscanf(line, "%lx%c%lx ", &from, &dash, &to) == 3 && dash == '-')
            found = from <= (unsigned long)p && to > (unsigned long)p;
        if (found && strncmp(line, "VmFlags:", 8) == 0)
            flagged = strstr(line, flag) != NULL;
    }
    fclose(f);
    return flagged;
}

static bool stays_here(const char *p) { return is_flagged(p, " dc"); }

/* A fault brings in what the device reads around it, where that is little. */
static void faults(void)
{
    static const struct { size_t readahead; bool known, single; } cases[] = {
        {128 * kib / page_size, true, false}, {128 * kib / page_size, false, true}, {8192 * kib / page_size, true, true}};
    size_t readahead = folder.readahead;
    bool known = folder.readahead_known;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        folder.readahead = cases[i].readahead;
        folder.readahead_known = cases[i].known;
        char *p = moved_region(MAP_UNIT);
        CHECK(is_flagged(p, " rr") == cases[i].single);
        map_munmap(p, MAP_UNIT);
    }
    folder.readahead = readahead;
    folder.readahead_known = known;
}

enum { STREAM_CHUNKS = 8 };
static struct chunk looks[2][LOOK_CHUNKS + 2];

/* Touches pages of each of `count` chunks, a look after each. Returns the last one's. */
static const struct chunk *stream_goes(char *p, int from, int step, int count)
{
    const struct chunk *now = looks[0];
    map.streams = false;
    lock_take(&map.lock);
    CHECK(is_filled(p, STREAM_CHUNKS * huge_size, 3)); /* nothing is on its way any more */
    drop_cached(p, STREAM_CHUNKS * huge_size);
    map_look(looks[1], looks[0]);
    for (int i = 0; i < count; i++, from += step, map.looks++) {
        for (size_t at = 0; at < huge_size / 2; at += page) /* enough of the largest pages, too */
            CHECK(p[(size_t)from * huge_size + at] != 0 || at);
        map_look(looks[i % 2], looks[(i + 1) % 2]);
        now = looks[i % 2];
    }
    lock_drop(&map.lock);
    return now + 1;
}

/* The way it goes shows where pages came before; else where they were asked for last, whatever was asked for earlier. */
static void directions(void)
{
    static const struct {
        struct chunk below, low, above;
        int ahead;
    } cases[] = {
        {{.trace = 90}, {.came = 60, .trace = 60}, {.trace = 0}, 1},
        {{.trace = 0}, {.came = 60, .trace = 60}, {.trace = 90}, -1},
        {{.trace = 90}, {.came = 60, .trace = 60}, {.ahead = -16, .marked = 5}, 1},
        {{.ahead = 4, .marked = 9}, {.came = 60, .trace = 60}, {.ahead = -16, .marked = 5}, 8},
        {{.ahead = 4, .marked = 5}, {.came = 60, .trace = 60}, {.ahead = -16, .marked = 9}, -16},
        {{.trace = 10}, {.came = 60, .trace = 60, .ahead = 2, .marked = 9}, {.ahead = -1, .marked = 5}, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chunk c[] = {cases[i].below, cases[i].low, cases[i].above};
        for (size_t k = 0; k < 3; k++)
            c[k].at = (8 + k) * huge_size;
        CHECK(run_ahead(&c[1], &c[1]) == cases[i].ahead);
    }
}

/* Who goes through memory chunk by chunk has those in front of it read, whichever way it goes: the kernel places one
 * mapping below the other. */
static void streams(void)
{
    size_t bytes = (STREAM_CHUNKS + 1) * huge_size;
    char *place = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *p = (char *)round_up((uintptr_t)place, huge_size);
    CHECK(map_mmap(p, STREAM_CHUNKS * huge_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
    fill(p, STREAM_CHUNKS * huge_size, 3);
    for (int i = 0; i < 20 && in_file(p, STREAM_CHUNKS * huge_size) < STREAM_CHUNKS * huge_size; i++)
        map_move(STREAM_CHUNKS * huge_size, STREAM_CHUNKS * huge_size, true);
    CHECK(in_file(p, STREAM_CHUNKS * huge_size) == STREAM_CHUNKS * huge_size);
    for (int down = 0; down < 2; down++) {
        int step = down ? -1 : 1;
        memset(looks, 0, sizeof looks);
        map.looks = 1;
        const struct chunk *now = stream_goes(p, down ? 6 : 1, step, 1);
        CHECK(!now[1].asked && !now[6].asked); /* it may be picks */
        memset(looks, 0, sizeof looks);
        now = stream_goes(p, down ? 6 : 1, step, 2);
        int at = down ? 5 : 2;
        CHECK(now[at].asked && now[at + step].asked && !now[at - step].asked && !now[at + 2 * step].asked);
        CHECK(now[at].ahead == step && now[at + step].ahead == step);
        memset(looks, 0, sizeof looks);
        now = stream_goes(p, down ? 6 : 1, step, 4); /* it comes to what was not asked for */
        at += 2 * step;
        CHECK(now[at].asked && now[at].ahead == 2 * step && now[at + 2 * step].asked);
    }
    CHECK(is_filled(p, STREAM_CHUNKS * huge_size, 3));
    map_munmap(p, STREAM_CHUNKS * huge_size);
    munmap(place, bytes);
}

static char *_Atomic touched; /* NULL: nobody touches it any more */

static void *touches(void *faulting)
{
    for (char *p; (p = touched);) {
        if (faulting)
            madvise(faulting, huge_size, MADV_DONTNEED);
        for (size_t at = 0; at < huge_size; at += page) {
            ((volatile char *)p)[at] = ((volatile char *)p)[at];
            if (faulting)
                ((volatile char *)faulting)[at] = 1;
        }
    }
    return NULL;
}

/* The number of the chunk that is hot, of those that are judged; -1: none, or several are. */
static int hot_number(const char *p)
{
    lock_take(&map.lock);
    size_t found = hot_judge();
    lock_drop(&map.lock);
    return found == 1 ? (int)((hot.chunk[0].from - (uintptr_t)p) / huge_size) : -1;
}

static atomic_int deaf_state; /* 1: it takes no signal; 2: it is to end */

static void *deaf(void *unused)
{
    uint64_t all = UINT64_MAX;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
    for (atomic_store(&deaf_state, 1); atomic_load(&deaf_state) == 1;)
        usleep(1000);
    return unused;
}

/* What can't become ordinary, since another process runs in it, is still given back as memory is. */
static void shared_with_another(void)
{
    char *p = moved_region(4 * MAP_UNIT);
    size_t least = map.least;
    mem.shared = true;
    if (madvise(p, 0, MADV_DONTNEED_LOCKED) == 0)
        CHECK(map_madvise(p, MAP_UNIT, MADV_DONTNEED_LOCKED) == 0 && is_zero(p, MAP_UNIT));
    else
        CHECK(map_madvise(p, MAP_UNIT, MADV_DONTNEED_LOCKED) == -1 && errno == EINVAL && is_filled(p, 4 * MAP_UNIT, 5));
    map_move(MAP_UNIT, MAP_UNIT, true);
    CHECK(in_file(p + 2 * MAP_UNIT, 2 * MAP_UNIT) == 2 * MAP_UNIT && is_consistent());
#ifndef __SANITIZE_ADDRESS__ /* which has terabytes */
    if (map_mlockall(MCL_CURRENT | MCL_ONFAULT) == 0) {
        CHECK(map_on() && spans_bytes(&map.ours, 0, UINTPTR_MAX) == spans_bytes(&map.moved, 0, UINTPTR_MAX));
        CHECK(map_madvise(p + 2 * MAP_UNIT, MAP_UNIT, MADV_DONTNEED) == 0 && is_zero(p + 2 * MAP_UNIT, MAP_UNIT));
        munlockall();
    }
#endif
    pid_t pid = fork(); /* a copy of it is its own */
    if (pid == 0)
        _exit(memory_is_shared());
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    mem.shared = false;
    map.least = least;
    map_munmap(p, 4 * MAP_UNIT);
}

/* What locks all there is makes it ordinary; the refusal changes nothing. */
static void locked_all(void)
{
#ifndef __SANITIZE_ADDRESS__ /* which has terabytes */
    char *p = moved_region(4 * MAP_UNIT);
    size_t least = map.least, before = map.ours.count;
    map_sets_hide(true); /* who looks just then may have been told of more ranges than there are by now */
    map.ours.count = MAP_SPANS_MAX;
    map_touches(p, 1);
    map.ours.count = before;
    map_sets_hide(false);
    map_mprotect(p + MAP_UNIT, page, PROT_NONE);
    errno = 0;
    CHECK(map_mlockall(MCL_ONFAULT) == -1 && errno == EINVAL);
    bool locked = map_mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
    CHECK(locked || errno == ENOMEM || errno == EPERM);
    CHECK(locked == (map.least == SIZE_MAX) && locked == (in_file(p, 4 * MAP_UNIT) == 0));
    CHECK(!locked || spans_bytes(&map.ours, 0, UINTPTR_MAX) == 0);
    CHECK(munlockall() == 0 && map_mprotect(p + MAP_UNIT, page, PROT_READ | PROT_WRITE) == 0 && is_filled(p, 4 * MAP_UNIT, 5));
    map.least = least;
    map_munmap(p, 4 * MAP_UNIT);
#endif
}

/* What is open tells whether memory may be written to by others than threads. */
static void writers(void)
{
    static const char *const do_write[] = {"/dev/nvidia0", "/dev/nvidia-uvm", "/dev/infiniband/uverbs0", "/dev/vfio/12", "/dev/vhost-net",
                                           "/host/dev/vfio/vfio", "/dev/dri/renderD128", "/dev/dxg", "/dev/mali0", "/dev/kgsl-3d0", "/dev/nvmap",
                                           "/dev/hl0", "/dev/sg0", "/dev/cxi0", "/dev/uio3", "anon_inode:[io_uring]"};
    static const char *const do_not[] = {"/dev/null", "/dev/pts/0", "anon_inode:[eventpoll]", "socket:[1]", "/dev/dri/card0",
                                         "/dev/snd/pcmC0D0p", "/dev/kvm", "/dev/fuse", "/dev/tty0", "/dev/urandom", "/dev/hpet", "/dev/shm/x", "/dev/input/event0", ""};
    for (size_t i = 0; i < sizeof do_write / sizeof do_write[0]; i++)
        CHECK(link_writes(do_write[i]));
    for (size_t i = 0; i < sizeof do_not / sizeof do_not[0]; i++)
        CHECK(!link_writes(do_not[i]));
    struct vma v;
    CHECK(vma_parse("7f0000-7f1000 rw-s 00000000 00:05 123                 /dev/dri/renderD128", &v) && v.ring);
    CHECK(vma_parse("7f0000-7f1000 rw-s 00000000 00:05 123                 /srv/dev/dri/renderer.so", &v) && !v.ring);
    char name[] = "/tmp/dev/nvidia.XXXXXX"; /* a file of such a name is none */
    mkdir("/tmp/dev", 0700);
    int file = mkstemp(name);
    CHECK(!home_is_unsafe() && !atomic_load(&map.faults_elsewhere));
    no_kinds = true; /* as under a system call filter, where statx might kill */
    looked_up = 0;
    CHECK(!home_is_unsafe() && !atomic_load(&map.faults_elsewhere));
    CHECK(looked_up == (file >= 0)); /* others may be served by a thread of the program's, which stands (FUSE) */
    no_kinds = false;
    close(file);
    unlink(name);
    rmdir("/tmp/dev");
}

/* Where much is open, the name of few is asked for; what writes is found wherever it is. */
static void many_are_open(void)
{
    enum { MANY = 3000 };
    const struct rlimit more = {2 * MANY, 2 * MANY};
    struct rlimit before;
    static int open_now[MANY];
    char name[] = "/tmp/dev/nvidia0"; /* another device's */
    getrlimit(RLIMIT_NOFILE, &before);
    if (before.rlim_cur < more.rlim_cur && setrlimit(RLIMIT_NOFILE, &more) != 0)
        return;
    for (int i = 0; i < MANY; i++)
        open_now[i] = socket(AF_UNIX, SOCK_STREAM, 0);
    mkdir("/tmp/dev", 0700);
    bool made = mknod(name, S_IFCHR | 0600, makedev(1, 3)) == 0;
    for (no_kinds = false;; no_kinds = true) {
        named = 0;
        CHECK(!home_is_unsafe() && named < (no_kinds || !fds.kinds ? 2 * MANY : MANY / 2));
        int writer = made ? open(name, O_RDWR) : -1;
        CHECK(home_is_unsafe() == (writer >= 0));
        close(writer);
        close(open_now[MANY / 2]); /* a gap, which that takes */
        writer = made ? open(name, O_RDWR) : -1;
        CHECK(home_is_unsafe() == (writer >= 0));
        close(writer);
        if (no_kinds)
            break;
        open_now[MANY / 2] = socket(AF_UNIX, SOCK_STREAM, 0);
    }
    no_kinds = false;
    for (int i = 0; i < MANY; i++)
        close(open_now[i]);
    unlink(name);
    rmdir("/tmp/dev");
}

/* Where moved memory is cut in more pieces than can be described, the next cut is refused: none is forgotten, whose part of the file
 * would be another's, too. */
static void cut_in_pieces(void)
{
    size_t bytes = 2 * (MAP_SPANS_MAX + 64) * page, pieces = 0, refused_cuts = 0;
    if (bytes > (size_t)100 << 20)
        return;
    char *p = moved_region(bytes), *want = malloc(bytes);
    memcpy(want, p, bytes);
    for (size_t at = page; at < bytes; at += 2 * page)
        if (map_munmap(p + at, page) == 0)
            pieces++;
        else
            refused_cuts += errno == ENOMEM;
    CHECK(pieces > MAP_SPANS_MAX / 2 && refused_cuts > 0 && pieces + refused_cuts == bytes / page / 2 && is_consistent());
    char *other = new_region(4 * MAP_UNIT);
    fill(other, 4 * MAP_UNIT, 6);
    map_move(4 * MAP_UNIT, 1, true);
    CHECK(is_filled(other, 4 * MAP_UNIT, 6) && is_consistent());
    for (size_t at = 0; at < bytes; at += 2 * page)
        CHECK(memcmp(p + at, want + at, page) == 0);
    map_munmap(other, 4 * MAP_UNIT);
    CHECK(map_munmap(p, bytes) == 0 && is_consistent());
    free(want);
}

/* What is refused for another reason than too many mappings does not have all of them counted each time. */
static void refusals_are_cheap(void)
{
    char *p = moved_region(MAP_UNIT);
    opened = 0;
    for (int i = 0; i < 1000; i++)
        CHECK(!map_yield());
    CHECK(opened < 500);
    map_munmap(p, MAP_UNIT);
}

static bool undumped_see(const struct vma *v, void *undumped)
{
    *(bool *)undumped = v->undumped;
    return false;
}

static bool is_undumped(const char *p)
{
    bool undumped = false;
    vma_details = true;
    vmas_walk((uintptr_t)p, (uintptr_t)p + page, undumped_see, &undumped);
    vma_details = false;
    return undumped;
}

/* What the kernel does not map stays what it was, out of core dumps, too. */
static void can_not_be_mapped(void)
{
    char *p = new_region(MAP_UNIT);
    fill(p, MAP_UNIT, 5);
    CHECK(map_madvise(p, MAP_UNIT, MADV_DONTDUMP) == 0);
    for (refused = 2; refused; refused--) {
        map_move(MAP_UNIT, MAP_UNIT, true);
        CHECK(in_file(p, MAP_UNIT) == 0 && is_filled(p, MAP_UNIT, 5) && is_consistent() && is_undumped(p));
    }
    move_out(p, MAP_UNIT);
    CHECK(is_filled(p, MAP_UNIT, 5) && is_undumped(p));
    map_munmap(p, MAP_UNIT);
}

/* What is dropped reads zero, though ordinary memory is refused, as with vm.overcommit_memory=2. */
static void no_memory_to_drop(void)
{
    char *p = moved_region(4 * MAP_UNIT), *at = p + MAP_UNIT;
    refuses_memory = true;
    for (refused = 2; refused; refused--, at += MAP_UNIT) {
        CHECK(map_madvise(at, MAP_UNIT, refused == 2 ? MADV_DONTNEED : MADV_FREE) == 0 && is_zero(at, MAP_UNIT) && stays_here(at));
        CHECK(at[-1] != 0 && in_file(p, 4 * MAP_UNIT) == 4 * MAP_UNIT && is_consistent());
        fill(at, MAP_UNIT, 6);
    }
    refuses_memory = false;
    CHECK(is_filled(p + MAP_UNIT, MAP_UNIT, 6));
    map_munmap(p, 4 * MAP_UNIT);
}

/* What can't become ordinary memory, as a thread can't be stopped, stays moved, and known as such. */
static void can_not_leave(void)
{
    const size_t bytes = max_size(MAP_UNIT, 2 * page);
    char *p = moved_region(bytes), was = p[page];
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, deaf, NULL) == 0);
    while (atomic_load(&deaf_state) != 1)
        usleep(1000);
    CHECK(map_mprotect(p, page, PROT_READ | PROT_WRITE | PROT_EXEC) == 0 && in_file(p, page) == page);
    CHECK(map_mprotect(p, page, PROT_READ | PROT_WRITE) == 0);
    CHECK(map_madvise(p, page, MADV_DONTNEED) == 0 && p[0] == 0 && p[page - 1] == 0 && p[page] == was);
    errno = 0;
    CHECK(map_madvise(p + page, page, MADV_WIPEONFORK) == -1 && errno == ENOMEM && p[page] == was && is_consistent());
    atomic_store(&deaf_state, 2);
    pthread_join(thread, NULL);
    CHECK(map_madvise(p + page, page, MADV_WIPEONFORK) == 0 && !in_file(p + page, page) && p[page] == was);
    map_munmap(p, bytes);
}

/* mremap of moved memory and what lies beside it, which the kernel takes for one mapping; and of what was too small to be
 * recorded. */
static void grows_beside(void)
{
    const size_t more = 4 * page, unit = max_size(MAP_UNIT, 8 * page);
    char *place = mmap(NULL, 4 * unit, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *p = (char *)round_up((uintptr_t)place, unit);
    CHECK(map_mmap(p, unit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
    fill(p, unit, 5);
    move_out(p, unit);
    CHECK(mmap(p + unit, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + unit);
    char *grown = map_mremap(p, unit + more, 2 * unit, MREMAP_MAYMOVE, NULL);
    CHECK(grown != MAP_FAILED && is_filled(grown, unit, 5) && is_consistent());
    map_munmap(grown, 2 * unit);
    size_t least = map.least;
    map.least = 8 * page;
    atomic_store(&map.decorated, false);
    char *small = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fill(small, 4 * page, 6);
    small = map_mremap(small, 4 * page, 2 * unit, MREMAP_MAYMOVE, NULL);
    CHECK(small != MAP_FAILED && spans_bytes(&map.ours, (uintptr_t)small, (uintptr_t)small + 2 * unit) == 2 * unit);
    CHECK(is_filled(small, 4 * page, 6));
    char *locked = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); /* stays in memory */
    if (sys_mlock(locked, 4 * page) == 0 && (locked = map_mremap(locked, 4 * page, 2 * unit, MREMAP_MAYMOVE, NULL)) != MAP_FAILED)
        CHECK(!spans_touch(&map.ours, (uintptr_t)locked, (uintptr_t)locked + 2 * unit) && munmap(locked, 2 * unit) == 0);
    char *wiped = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); /* as it is, in children */
    CHECK(map_madvise(wiped, 4 * page, MADV_WIPEONFORK) == 0);
    wiped = map_mremap(wiped, 4 * page, 2 * unit, MREMAP_MAYMOVE, NULL);
    CHECK(wiped != MAP_FAILED && !spans_touch(&map.ours, (uintptr_t)wiped, (uintptr_t)wiped + 2 * unit));
    munmap(wiped, 2 * unit);
    atomic_store(&map.decorated, false);
    map.least = least;
    map_munmap(small, 2 * unit);
    munmap(place, 4 * unit);
}

/* Nothing of it is in memory any more, but in the file. */
static void evict(char *p, size_t bytes)
{
    CHECK(is_filled(p, bytes, 5)); /* nothing is on its way any more */
    drop_cached(p, bytes);
    sys_madvise(p, bytes, MADV_RANDOM);
    CHECK(resident_bytes(p, bytes) == 0);
}

/* Where faults in moved memory are watched, what lies around them is read, and what lies in front of a stream; nothing where
 * that is not used, for a while. */
static void faults_are_watched(void)
{
    const size_t bytes = 32 * watch_piece;
    char *p = moved_region(bytes);
    struct watched w = {0};
    CHECK(watch_moved_fault(&w, (uintptr_t)p) && !watch_moved_fault(&w, (uintptr_t)&w));
    evict(p, bytes);
    memset(&watch_moved, 0, sizeof watch_moved);
    w = (struct watched){0};
    CHECK(watch_moved_fault(&w, (uintptr_t)p + 5 * watch_piece - page) && watch_moved.asked == 1);
    CHECK(resident_soon(p + 4 * watch_piece, watch_piece) && resident_bytes(p, bytes) == watch_piece);
    CHECK(watch_moved_fault(&w, (uintptr_t)p + 4 * watch_piece) && watch_moved.asked == 1 && watch_moved.used == 1);
    for (size_t i = 5; i < 8; i++) /* upwards */
        watch_moved_fault(&w, (uintptr_t)p + i * watch_piece);
    CHECK(w.pieces == 4 && watch_moved.asked == 8 && resident_soon(p + 4 * watch_piece, 8 * watch_piece));
    for (size_t i = 31; i > 29; i--) /* and down */
        watch_moved_fault(&w, (uintptr_t)p + i * watch_piece);
    CHECK(w.pieces == 1 && resident_soon(p + 29 * watch_piece, 3 * watch_piece));
    CHECK(resident_bytes(p, bytes) == 11 * watch_piece);
    /* Picks. */
    evict(p, bytes);
    memset(&watch_moved, 0, sizeof watch_moved);
    for (size_t i = 0; i < 3 * moved_trial && !watch_moved.rest_ms; i++) {
        watch_moved_piece((uintptr_t)p + i * 7 % 32 * watch_piece)->at = 0; /* it was asked for long ago */
        watch_moved_fault(&w, (uintptr_t)p + i * 7 % 32 * watch_piece);
    }
    CHECK(watch_moved.until_ms && watch_moved.rest_ms == moved_rest_ms && watch_moved.asked == 0);
    watch_moved.until_ms = now_ms() + 60000;
    watch_moved_piece((uintptr_t)p)->at = 0;
    CHECK(watch_moved_fault(&w, (uintptr_t)p) && watch_moved.asked == 0);
    watch_moved.until_ms = 0;
    for (size_t i = 0; i < moved_trial; i++) {
        watch_moved_piece((uintptr_t)p + i * 7 % 32 * watch_piece)->at = 0;
        watch_moved_fault(&w, (uintptr_t)p + i * 7 % 32 * watch_piece);
    }
    CHECK(watch_moved.rest_ms == 2 * moved_rest_ms);
    watch_moved.until_ms = 0; /* a stream uses them */
    for (size_t i = 0; i < 64 * moved_trial && watch_moved.rest_ms; i++)
        watch_moved_fault(&w, (uintptr_t)p + i % (bytes / page) * page);
    CHECK(watch_moved.rest_ms == 0 && watch_moved.until_ms <= now_ms());
    CHECK(is_filled(p, bytes, 5) && is_consistent());
    map_munmap(p, bytes);
}

/* A trial of faults each of which begins a piece; with `again`, another part of it faults, too. */
static void pieces_are_tried(char *p, bool again)
{
    struct watched w = {0};
    watch_moved.until_ms = watch_moved.asked = watch_moved.used = watch_moved.around = watch_moved.wide = 0;
    for (size_t i = 0; i < moved_trial; i++) {
        char *at = p + i * 7 % 32 * watch_piece;
        watch_moved_piece((uintptr_t)at)->at = 0;
        watch_moved_fault(&w, (uintptr_t)at);
        if (again && watch_moved.asked)
            watch_moved_fault(&w, (uintptr_t)at + watch_piece - 1);
    }
    watch_moved.until_ms = 0;
}

/* Around a fault only a part is read where little else of what was read is used. */
static void pieces_become_narrow(void)
{
    const size_t bytes = 32 * watch_piece, part = watch_part_bytes();
    char *p = moved_region(bytes), *at = p + 4 * watch_piece;
    struct watched w = {0};
    pieces_are_tried(p, false);
    CHECK(watch_moved.narrow);
    evict(p, bytes);
    memset(watch_moved.piece, 0, sizeof watch_moved.piece);
    watch_moved_fault(&w, (uintptr_t)at + part);
    CHECK(resident_soon(at + part, part) && resident_bytes(p, bytes) == part);
    watch_moved_fault(&w, (uintptr_t)at + watch_piece - 1);
    CHECK(part == watch_piece || (resident_soon(at + watch_piece - part, part) && resident_bytes(p, bytes) == 2 * part));
    pieces_are_tried(p, true);
    CHECK(watch_moved.narrow == (part == watch_piece));
    at = p + (moved_trial - 2) * 7 % 32 * watch_piece; /* it may fault as often as it has pages */
    CHECK(watch_moved_piece((uintptr_t)at)->at == (sys_page() == watch_piece ? 0 : (uintptr_t)at));
    CHECK(is_filled(p, bytes, 5));
    map_munmap(p, bytes);
}

/* Reclaim learns of a page that faulted, so it is mapped, once it has been read; not where the program's own thread may have to
 * bring it. */
static void faults_are_told(void)
{
    const size_t bytes = max_size(MAP_UNIT, 4 * sys_page());
    char *p = moved_region(bytes), *at = p + 3 * sys_page();
    struct watched w = {0};
    memset(&watch_moved, 0, sizeof watch_moved);
    watch_faulted.count = 0;
    evict(p, bytes);
    watch_moved.until_ms = now_ms() + 60000; /* nothing is read ahead */
    watch_moved_fault(&w, (uintptr_t)at + 5);
    for (uintptr_t i = 0; i < watch_read_naps; i++) {
        CHECK(watch_faulted.count == 1);
        watch_activate();
    }
    CHECK(watch_faulted.count == 1 && resident_bytes(p, bytes) == 0);
    watch_activate();
    CHECK(watch_faulted.count == 0);
    for (int elsewhere = 1; elsewhere >= 0; elsewhere--) {
        *(volatile char *)at; /* it is read */
        sys_madvise(at, sys_page(), MADV_DONTNEED);
        CHECK(!hot_mapped((uintptr_t)at, 1));
        watch_moved_fault(&w, (uintptr_t)at + 5);
        atomic_store(&map.faults_elsewhere, elsewhere);
        watch_activate();
        CHECK(watch_faulted.count == 0 && hot_mapped((uintptr_t)at, 1) == !elsewhere);
    }
    for (size_t i = 0; i < 2000; i++)
        watch_moved_fault(&w, (uintptr_t)p);
    CHECK(watch_faulted.count == sizeof watch_faulted.page / sizeof watch_faulted.page[0]);
    memset(&watch_moved, 0, sizeof watch_moved);
    watch_faulted.count = 0;
    CHECK(is_filled(p, bytes, 5));
    map_munmap(p, bytes);
}

/* Who is left alone by the watching thread is so for longer each time. */
static void watching_rests(void)
{
    uint64_t before = 0;
    memset(&watcher, 0, sizeof watcher);
    for (int i = 0; i < 3; i++, before = watcher.rest_ms) {
        watcher.faults = watch_busy + 1;
        watch_rest();
        CHECK(watcher.rest_ms > before && watcher.faults == 0);
    }
    watcher.faults = watch_busy + 1;
    watcher.asked = watch_busy;
    watch_rest();
    CHECK(watcher.rest_ms == 0);
}

/* A stream that finds all there does not fault: that it has come to what was asked for is seen all the same. */
static void streams_are_followed(void)
{
    const size_t bytes = STREAM_CHUNKS * huge_size;
    char *p = new_region(bytes);
    fill(p, bytes, 3);
    move_out(p, bytes);
    memset(looks, 0, sizeof looks);
    map.looks = 1;
    const struct chunk *now = stream_goes(p, 1, 1, 2); /* 2 and 3 are asked for */
    CHECK(now[3].due && !now[4].asked && map.due_looks == due_most);
    lock_take(&map.lock);
    uintptr_t probe = (uintptr_t)p + 3 * huge_size + now[3].probe * sys_page();
    *(volatile char *)probe; /* a pick */
    map_look(looks[0], looks[1]);
    now = looks[0] + 1;
    CHECK(now[3].due && !now[4].asked);
    for (size_t at = 0; at < huge_size; at += page)
        ((volatile char *)p)[3 * huge_size + at];
    chunks_follow(looks[0], 1); /* does not wait for the next look */
    CHECK(!now[3].due && now[4].asked && now[4].due && now[5].asked && !now[6].asked && now[4].missing == 0);
    for (size_t at = 0; at < huge_size; at += page)
        ((volatile char *)p)[4 * huge_size + at];
    map_look(looks[1], looks[0]);
    lock_drop(&map.lock);
    now = looks[1] + 1;
    CHECK(!now[4].due && now[5].due && now[6].asked);
    /* Another page shows it, where the middle one was mapped when it was asked for. */
    struct chunk c[5] = {{0}};
    CHECK(is_filled(p, bytes, 3));
    drop_cached(p, bytes);
    ((volatile char *)p)[2 * huge_size + huge_size / 2];
    lock_take(&map.lock);
    for (size_t i = 1; i <= 3; i++)
        chunk_look(&c[i], (uintptr_t)p + i * huge_size);
    c[1].came = c[1].trace = 60;
    c[0].at = (uintptr_t)p;
    c[0].ahead = 1;
    run_ask(&c[1], &c[1], run_ahead(&c[1], &c[1]), bytes);
    CHECK(c[2].asked && c[2].due && c[3].asked && c[3].due && !chunk_reached(&c[2]) && !chunk_reached(&c[3]));
    CHECK(c[2].probe * sys_page() != huge_size / 2 && c[3].probe * sys_page() == huge_size / 2);
    lock_drop(&map.lock);
    CHECK(is_filled(p, bytes, 3));
    map_munmap(p, bytes);
}

/* While PAGING waits for faults, up to seconds, the program may fill its memory: the mover's look is not put off by that. */
static void looks_come_between(void)
{
    void *p = map_mmap(NULL, huge_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    map.tick_ms = now_ms() + 60000; /* not due */
    unsigned seen = atomic_load(&map.seen);
    op_sleep(1);
    op_yield();
    CHECK(atomic_load(&map.seen) == seen);
    map.tick_ms = 1;
    op_sleep(1);
    CHECK(atomic_load(&map.seen) == seen + 1 && map.tick_ms > 1);
    map.tick_ms = 1;
    op_yield();
    CHECK(atomic_load(&map.seen) == seen + 2);
    map_munmap(p, huge_size);
}

/* hot_stop, again where on a loaded machine a thread did not stop in time. */
static int hot_stopped(size_t found)
{
    int came = -1;
    for (int tries = 0; tries < 500 && (came = hot_stop(found)) < 0; tries++)
        sleep_ms(10);
    return came;
}

/* Of what was moved, the chunk that a thread uses all the time comes home, as it is; nothing else does, nor where most of it is on
 * disk alone. */
static void hot_comes_home(void)
{
    const size_t bytes = STREAM_CHUNKS * huge_size;
    size_t home = atomic_load(&map.home_bytes), kept = map.kept_bytes;
    char *p = moved_region(bytes);
    pthread_t thread;
    CHECK((uintptr_t)p % huge_size == 0);
    hot.hand = 0;
    size_t armed = 0;
    for (int i = 0; i < 1000 && armed < STREAM_CHUNKS; i++, armed += hot.count) /* a slow machine needs several series */
        CHECK(hot_stopped(0) == 0 && hot_number(p) == -1); /* nobody touches anything */
    CHECK(armed >= STREAM_CHUNKS);
    touched = p + 3 * huge_size;
    CHECK(pthread_create(&thread, NULL, touches, NULL) == 0);
    int number = -1;
    for (int i = 0; i < 100 && number == -1; i++) {
        hot.hand = 0;
        CHECK(hot_stopped(0) == 0);
        sleep_ms(hot_wait_ms);
        number = hot_number(p);
    }
    CHECK(number == 3 && hot_stopped(1) == 1);
    CHECK(!in_file(p + 3 * huge_size, huge_size) && in_file(p, bytes) == bytes - huge_size);
    CHECK(atomic_load(&map.home_bytes) == home + huge_size && map.kept_bytes == kept + huge_size);
    CHECK(is_filled(p, bytes, 5) && is_consistent());
    touched = NULL;
    pthread_join(thread, NULL);
    move_out(p, bytes); /* to where it was */
    CHECK(is_filled(p, bytes, 5) && map.kept_bytes == kept);
    /* The monitor finds it, where the program faults often. */
    void *faulting = mmap(NULL, huge_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(faulting, huge_size, MADV_NOHUGEPAGE);
    touched = p + 5 * huge_size;
    CHECK(pthread_create(&thread, NULL, touches, faulting) == 0);
    hot.hand = 0;
    for (int i = 0; i < 2000 && in_file(p + 5 * huge_size, huge_size); i++)
        sleep_ms(min_size(hot_tick(), 50));
    CHECK(!in_file(p + 5 * huge_size, huge_size) && in_file(p, bytes) == bytes - huge_size);
    touched = NULL;
    pthread_join(thread, NULL);
    CHECK(is_filled(p, bytes, 5) && is_consistent());
    munmap(faulting, huge_size);
    map_munmap(p, bytes);
}

/* Is any of it advised (MADV_RANDOM), so that it is no longer one mapping with what is beside it? */
static bool is_split(const char *p, size_t bytes)
{
    struct vma_scan scan = {0};
    struct vma v;
    uintptr_t at = (uintptr_t)p;
    return !vma_part(&scan, &at, (uintptr_t)p + bytes, &v) || v.to - v.from < bytes;
}

/* The processor marks a page as touched when it looks up its table, not while it knows what that says (TLB): clear_refs leaves it what
 * it knows, a change of the protection does not. */
static void translations_forgotten(char *p, size_t bytes)
{
    mprotect(p, bytes, PROT_READ);
    mprotect(p, bytes, PROT_READ | PROT_WRITE);
}

/* Of what is ordinary, what is not touched goes, and nothing else does; its mappings are as before. */
static void cold_goes(void)
{
    const size_t bytes = STREAM_CHUNKS * huge_size;
    char *place = mmap(NULL, bytes + huge_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *p = (char *)round_up((uintptr_t)place, huge_size);
    CHECK(map_mmap(p, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
    fill(p, bytes, 4);
    CHECK(!is_split(p, bytes));
    cold.cleared = false;
    CHECK(cold_stop() == 0 && in_file(p, bytes) == 0);
    size_t moved = 0;
    for (int i = 0; i < 100 && cold.cleared && moved < bytes - 2 * huge_size; i++) { /* else the kernel counts nothing */
        translations_forgotten(p, bytes);
        for (size_t at = 0; at < huge_size; at += page) {
            ((volatile char *)p)[3 * huge_size + at] = ((volatile char *)p)[3 * huge_size + at]; /* written to */
            (void)((volatile char *)p)[4 * huge_size + at];                                    /* read */
            if (at < huge_size / 8)
                (void)((volatile char *)p)[6 * huge_size + at];
        }
        cold.hand = (uintptr_t)p; /* a slow machine needs several tries */
        moved += cold_stop();
        CHECK(in_file(p, bytes) == moved && !in_file(p + 3 * huge_size, 2 * huge_size));
    }
    CHECK(!cold.cleared || moved == bytes - 2 * huge_size);
    CHECK(!is_split(p + 3 * huge_size, 2 * huge_size) && is_consistent());
    for (int i = 0; i < 100 && cold.cleared && moved < bytes; i++) {
        cold.hand = (uintptr_t)p;
        moved += cold_stop();
    }
    CHECK(!cold.cleared || (moved == bytes && in_file(p, bytes) == bytes));
    CHECK(is_filled(p, bytes, 4) && is_consistent());
    map_munmap(p, bytes);
    munmap(place, bytes + huge_size);
}

/* The next look of cold_tick finds that the process has read much. */
static void cold_look_due(void)
{
    cold.due_ms = 0;
    for (int i = 0; i < 1000 && !cold.due_ms; i++) { /* whoever waits for the monitor goes first */
        cold.since_ms = now_ms() - 2 * cold_least_ms;
        cold.read = cold_read() - SIZE_MAX / 2;
        cold.filled = SIZE_MAX;
        cold_tick();
    }
}

/* Where the kernel does not count what is touched, and where nothing is cold, the program is stopped less and less often; but not so
 * seldom that what was counted is too old. */
static void cold_rests(void)
{
    char *p = moved_region(2 * MAP_UNIT);
    cold.cleared = false;
    cold.rest_ms = 0;
    no_files = true; /* clear_refs neither */
    for (uint64_t last = 0, i = 0; i < 3; i++, last = cold.rest_ms) {
        cold_look_due();
        CHECK(!cold.cleared && cold.rest_ms > last);
    }
    cold.cleared = true;
    cold.rest_ms = cold_most_ms;
    cold_look_due();
    no_files = false;
    CHECK(cold.rest_ms && cold.rest_ms < cold_most_ms);
    cold.cleared = false;
    cold.rest_ms = 0;
    map_munmap(p, 2 * MAP_UNIT);
}

/* What is unmapped for what is hot is nothing that only memory has: what passed us by, and what a fork has turned private. */
static void hot_loses_nothing(void)
{
    char *p = moved_region(8 * MAP_UNIT);
    struct vma_scan scan = {0};
    struct vma v;
    uintptr_t from = (uintptr_t)p + 4 * MAP_UNIT;
    CHECK(vma_part(&scan, &from, from + MAP_UNIT, &v));
    void *anonymous = mmap(p, 2 * MAP_UNIT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
    void *frozen_part = mmap(p + 4 * MAP_UNIT, MAP_UNIT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
                             map.file.fd, (off_t)v.offset);
    CHECK(anonymous == p && frozen_part == p + 4 * MAP_UNIT);
    fill(p, 8 * MAP_UNIT, 6);
    for (int i = 0; i < 20; i++) {
        hot.hand = 0;
        CHECK(hot_stopped(0) == 0 && is_filled(p, 8 * MAP_UNIT, 6));
    }
    hot_stopped(hot.count);
    CHECK(is_filled(p, 8 * MAP_UNIT, 6));
    map_munmap(p, 8 * MAP_UNIT);
}

/* A fork could not turn all of it private: what is may go to children, what is shared may not. */
static void half_frozen(void)
{
    char *p = moved_region(2 * MAP_UNIT);
    struct vma_scan scan = {0};
    struct vma v;
    uintptr_t from = (uintptr_t)p;
    home_lock();
    lock_take(&map.lock);
    CHECK(vma_part(&scan, &from, from + MAP_UNIT, &v));
    void *half = mmap(p, MAP_UNIT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, map.file.fd, (off_t)v.offset);
    lock_drop(&map.lock);
    home_unlock();
    CHECK(half == p && is_filled(p, 2 * MAP_UNIT, 5));
    CHECK(map_madvise(p, 2 * MAP_UNIT, MADV_DONTFORK) == 0 && stays_here(p) && stays_here(p + MAP_UNIT));
    CHECK(map_madvise(p, 2 * MAP_UNIT, MADV_DOFORK) == 0 && !stays_here(p) && stays_here(p + MAP_UNIT));
    fill(p, 2 * MAP_UNIT, 8);
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(!is_filled(p, 2 * MAP_UNIT, 8));
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    map_munmap(p, 2 * MAP_UNIT);
}

/* As many ranges as may be moved, and a fork: what it froze comes home all the same. */
static void frozen_full(void)
{
    enum { RANGES = MAP_MOVED_MAX + 2, BYTES = 2 * RANGES * MAP_UNIT };
    char *place = mmap(NULL, BYTES + MAP_UNIT, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *p = (char *)round_up((uintptr_t)place, MAP_UNIT);
    int status = -1;
    for (size_t i = 0; i < BYTES; i += 2 * MAP_UNIT) {
        CHECK(map_mmap(p + i, MAP_UNIT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + i);
        fill(p + i, MAP_UNIT, i);
    }
    for (int i = 0; i < 20; i++)
        map_move(BYTES, BYTES, true);
    CHECK(map.moved.count >= MAP_MOVED_MAX && in_file(p, BYTES) >= MAP_MOVED_MAX * MAP_UNIT);
    cfg.fork_mode = FORK_PRIVATE;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 && in_file(p, BYTES) == 0);
    size_t moved = spans_bytes(&map.moved, (uintptr_t)p, (uintptr_t)p + BYTES);
    for (int i = 0; i < 20; i++)
        map_move(BYTES, BYTES, true);
    CHECK(in_file(p, BYTES) == moved && is_consistent());
    for (size_t i = 0; i < BYTES; i += 2 * MAP_UNIT)
        CHECK(is_filled(p + i, MAP_UNIT, i));
    map_munmap(p, BYTES);
    munmap(place, BYTES + MAP_UNIT);
}

/* The program has closed the file: what is unmapped is no file's any more. */
static void closed(void)
{
    size_t before = atomic_load(&folder.bytes);
    char *p = moved_region(2 * MAP_UNIT);
    CHECK(atomic_load(&folder.bytes) == before + 2 * MAP_UNIT && close(map.file.fd) == 0);
    map_munmap(p, MAP_UNIT);
    CHECK(atomic_load(&folder.bytes) == before + MAP_UNIT);
    map_munmap(p + MAP_UNIT, MAP_UNIT);
    CHECK(atomic_load(&folder.bytes) == before && is_consistent());
    p = moved_region(MAP_UNIT); /* in a new one */
    map_munmap(p, MAP_UNIT);
}

static atomic_int deep_state; /* 1: it runs; 2: its stack was moved */

/* Deep in a stack of its own, that was moved: what lies in the middle becomes ordinary, but not what lies around its thread pointer,
 * at the stack's other end. */
static void *deep_main(void *stack)
{
    volatile char far[3 << 20];
    char *middle = (char *)stack + CASE_BYTES / 2;
    struct map_op m;
    for (size_t i = 0; i < sizeof far; i += page)
        far[i] = 3;
    atomic_store(&deep_state, 1);
    while (atomic_load(&deep_state) == 1)
        usleep(1000);
    map_begin(&m);
    map_settle(&m, (uintptr_t)middle, (uintptr_t)middle + MAP_UNIT);
    map_settle(&m, (uintptr_t)middle + MAP_UNIT, (uintptr_t)stack + CASE_BYTES);
    map_end(&m, false);
    CHECK(in_file(middle, MAP_UNIT) == 0 && in_file(stack, CASE_BYTES) == CASE_BYTES - MAP_UNIT && far[0] == 3);
    return NULL;
}

static void deep(void)
{
    pthread_t thread;
    pthread_attr_t attributes;
    char *stack = new_region(CASE_BYTES);
    fill(stack, CASE_BYTES, 1);
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstack(&attributes, stack, CASE_BYTES) == 0 && pthread_create(&thread, &attributes, deep_main, stack) == 0);
    while (!atomic_load(&deep_state))
        usleep(1000);
    move_out(stack, CASE_BYTES);
    atomic_store(&deep_state, 2);
    pthread_join(thread, NULL);
    map_munmap(stack, CASE_BYTES);
}

static atomic_int blocked; /* 1: it blocks all signals; 2: it shall end */

static void *blocks(void *unused)
{
    const unsigned long all = ~0ul;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
    blocked = 1;
    while (blocked == 1)
        usleep(1000);
    return unused;
}

/* A thread can't be stopped, for a moment as a rule: the next try comes soon, and later each time. */
static void unstoppable(void)
{
    pthread_t thread;
    char *p = new_region(CASE_BYTES);
    fill(p, CASE_BYTES, 2);
    CHECK(pthread_create(&thread, NULL, blocks, NULL) == 0);
    while (!blocked)
        usleep(1000);
    uint64_t last = map.retry_ms = 0;
    for (int i = 0; i < 10; i++, last = map.retry_ms) {
        CHECK(map_move(CASE_BYTES, CASE_BYTES, false) == 0);
        CHECK(i ? map.retry_ms > last || last == map_pause_ms : map.retry_ms == map_least_ms);
    }
    CHECK(last == map_pause_ms);
    blocked = 2;
    pthread_join(thread, NULL);
    for (int i = 0; i < 10000 && thread_count() > 1; i++) /* the kernel may not be through with it */
        usleep(1000);
    move_out(p, CASE_BYTES);
    CHECK(map.retry_ms == 0 && is_filled(p, CASE_BYTES, 2));
    map_munmap(p, CASE_BYTES);
}

/* While nothing can be moved, there are pauses; not once the program has more memory than at the last try, or has given some back and
 * has more again. */
static void pause_ends(void)
{
    const size_t bytes = 2 * map_batch_bytes;
    char *p = NULL;
    for (int before = 0; before < 2; before++) {
        if (before) {
            p = new_region(bytes);
            fill(p, bytes, 1);
        }
        map.next_ms = now_ms() + 600 * 1000;
        map.tried = SIZE_MAX;
        CHECK(map_put_off() > 0);
        if (before)
            map_munmap(p, bytes);
        CHECK(map_put_off() > 0);
        p = new_region(bytes);
        fill(p, bytes, 1);
        CHECK(map_put_off() == 0 && map.next_ms == 0);
        map_munmap(p, bytes);
    }
}

__attribute__((constructor(101))) static void set(void)
{
    setenv("BIGMAAC_MIN_MMAP_SIZE", "16K", 1);
    page = getauxval(AT_PAGESZ);
    arena_bytes = PAGES * page;
}

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
    key = syscall(SYS_pkey_alloc, 0, 0);
    key = key < 0 ? 0 : key;
    for (int side = 0; side < 2; side++)
        CHECK(call_mmap(side, 0, arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) == (long)arena[side]);
    bool right = true;
    for (calls = 0; calls < most && right; calls++) {
        size_t at = any(PAGES);
        write_both(at, any_pages(at));
        bool moves = any(3) == 0;
        if (moves)
            moved_out += map_move((1 + any(64)) * MAP_UNIT, 1 + any(2) * 3 * MAP_UNIT, any(2));
        if (calls > most / 2 && moves && any(2) && hot_stopped(0) == 0) /* whatever it is: it comes home as if it were hot */
            hot_stopped(min_size(hot.count, any(5)));
        if (moves && any(4) == 0) /* what nobody has touched since the first of them is cold */
            for (int i = 0; i < 2; i++)
                moved_cold += cold_stop();
        if (any(60) == 0) {
            frozen += spans_bytes(&map.live, 0, UINTPTR_MAX);
            right = a_child();
        }
        if (any(200) == 0) /* begin again */
            for (int side = 0; side < 2; side++)
                call_mmap(side, 0, arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
        strcpy(what, "a move");
        right = right && (!moves || agree()) && one_call() && agree();
    }
    CHECK(right);
    fprintf(stderr, "seed %lu: %zu calls, %zu MiB moved out, %zu MiB frozen, %zu MiB restored, %zu hot, %zu cold, %zu ranges moved now\n", seed, calls,
            moved_out >> 20, frozen >> 20, atomic_load(&map.restored_bytes) >> 20, atomic_load(&map.home_bytes) >> 20, moved_cold >> 20, map.moved.count);
    CHECK(joined_otherwise * 300 <= most);
    map_munmap(arena[0], arena_bytes);
    remaps_moved();
    refuses();
    drops();
    windows();
    carried();
    grows();
    large_pages();
    half_frozen();
    frozen_full();
    closed();
    only_read();
    deep();
    unstoppable();
    faults();
    directions();
    streams();
    hot_comes_home();
    hot_loses_nothing();
    cold_goes();
    cold_rests();
    pause_ends();
    faults_are_watched();
    streams_are_followed();
    pieces_become_narrow();
    faults_are_told();
    watching_rests();
    looks_come_between();
    can_not_leave();
    refusals_are_cheap();
    can_not_be_mapped();
    no_memory_to_drop();
    writers();
    many_are_open();
    cut_in_pieces();
    grows_beside();
    locked_all();
    shared_with_another();
    CHECK(moved_out > 0 && (frozen > 0 || most < 1000) && atomic_load(&map.restored_bytes) > 0);
    return check_result();
}
