/* calls.c - libFuzzer target for sequences of calls. Four bytes choose the settings, then each
 * step is four bytes: a call, one of 64 slots, a size. A model knows what every block contains and
 * which calls must fail with which errno; the checkers walk all structures after every 16 steps.
 * Steps also fork (the handlers run, the child is left out), bring blocks home, close descriptors
 * of ours as programs do, let time pass, and make system calls of ours fail. At the end of an
 * input everything is freed, and nothing may be left: no file, mapping, block on disk or record. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char *fuzz_getenv(const char *name) { return (void)name, NULL; }
static long fuzz_sys(long number, long a, long b, long c, long d, long e, long f);
#define secure_getenv fuzz_getenv
#define BIGMAAC_SYS fuzz_sys
/* No second thread: what happens depends on the input alone. */
#define pthread_create(...) EAGAIN
#include "../../bigmaac.c"

enum { SLOTS = 64, SENTINEL = 12345, CHECK_EVERY = 16 };
static const size_t live_max = 32 << 20, real_max = (size_t)1 << 46; /* more than there are addresses */

static struct slot {
    unsigned char *p;
    size_t size;
    uint64_t seed;
} slot[SLOTS];

static size_t live;          /* bytes in all slots */
static uint64_t seeds;       /* given out */
static unsigned step_number;
static uint64_t clock_ms;

#define MUST(condition) ((condition) ? (void)0 : wrong(#condition, __LINE__))

static void wrong(const char *what, int line)
{
    fprintf(stderr, "calls.c:%d: step %u: %s (errno %d)\n", line, step_number, what, errno);
    abort();
}

static void must_be_right(const char *why)
{
    if (why)
        wrong(why, __LINE__);
}

/* --- system calls that fail, and time ---------------------------------------------------------- */

static bool closed_ours; /* in this input the program has closed a descriptor of ours */

static struct {
    unsigned after, times; /* that many calls succeed, then so many fail */
    unsigned kind;         /* which: 0 blocks on disk, 1 mappings, 2 descriptors, 3 any of these */
    bool fired;            /* in this step */
    bool unmapping;        /* in this input: what should have been unmapped was not */
    uint64_t felt_ms;      /* until then a disk that was full is not asked again */
} fault;

static bool fails(unsigned kind)
{
    if (!fault.times || (fault.kind != kind && fault.kind != 3))
        return false;
    if (fault.after) {
        fault.after--;
        return false;
    }
    fault.times--;
    fault.fired = true;
    fault.felt_ms = clock_ms + 150;
    return true;
}

static long fuzz_sys(long number, long a, long b, long c, long d, long e, long f)
{
    bool takes_blocks = (number == SYS_fallocate && !(b & FALLOC_FL_PUNCH_HOLE)) || number == SYS_pwrite64;
    bool maps = number == SYS_mmap || number == SYS_mremap || number == SYS_mprotect;
    if (number == SYS_write && a == STDERR_FILENO)
        return c; /* what a fork can't isolate is told: not of interest */
    if (number == SYS_clock_gettime) {
        *(struct timespec *)b = (struct timespec){.tv_sec = (time_t)(clock_ms / 1000), .tv_nsec = (long)(clock_ms % 1000) * 1000000};
        return 0;
    }
    if (takes_blocks && fails(0))
        return errno = ENOSPC, -1;
    if (maps && fails(1)) {
        fault.unmapping |= number == SYS_mmap && c == PROT_NONE;
        return errno = ENOMEM, -1;
    }
    if (number == SYS_openat && fails(2))
        return errno = EMFILE, -1;
    return syscall(number, a, b, c, d, e, f);
}

/* --- contents: all of what is small; of large blocks the ends and a byte of every page ---------- */

static size_t step_from(size_t at, size_t bytes)
{
    if (bytes <= 8192 || at < 64 || bytes - at <= 64)
        return 1;
    size_t step = bytes <= 128 << 10 ? 61 : 4093;
    return bytes - at - 64 < step ? bytes - at - 64 : step;
}

static unsigned char byte_of(size_t at, uint64_t seed)
{
    return (unsigned char)((at * 0x9e3779b97f4a7c15u ^ seed * 0xbf58476d1ce4e5b9u) >> 53);
}

static void stamp(struct slot *s)
{
    s->seed = ++seeds;
    for (size_t at = 0; at < s->size; at += step_from(at, s->size))
        s->p[at] = byte_of(at, s->seed);
}

/* The first `kept` bytes are those of the slot, but for [from, to), which must be zero. */
static bool holds(const struct slot *s, size_t kept, size_t from, size_t to)
{
    for (size_t at = 0; at < kept; at += step_from(at, s->size))
        if (s->p[at] != (at >= from && at < to ? 0 : byte_of(at, s->seed)))
            return false;
    return true;
}

/* --- what a call must do -------------------------------------------------------------------------- */

static int kind_for(size_t size)
{
    return size > cfg.min_bigmaac ? BIGMAAC_KIND_BIGMAAC
           : cfg.min_fry && size > cfg.min_fry ? BIGMAAC_KIND_FRY : BIGMAAC_KIND_NONE;
}

/* Room beyond the request: a size class, or the rest of a page. */
static void check_usable(const struct slot *s, int kind)
{
    size_t usable = bigmaac_malloc_usable_size(s->p), most = SIZE_MAX;
    if (kind == BIGMAAC_KIND_FRY)
        most = s->size <= 64 << 10 ? s->size + s->size / 8 + 16 : s->size + 4095;
    else if (kind == BIGMAAC_KIND_BIGMAAC)
        most = (s->size + 4095) / 4096 * 4096;
    MUST(usable >= s->size && (s->p == NULL || usable <= most));
}

/* After a call that allocates: NULL only when a system call of ours has failed. */
static void took(struct slot *s, void *p, size_t size, size_t align)
{
    if (!p) {
        MUST(fault.fired && errno == ENOMEM);
        return;
    }
    int kind = bigmaac_kind(p);
    MUST(errno == SENTINEL);
    MUST(((uintptr_t)p & (align - 1)) == 0);
    MUST(fault.fired || kind == kind_for(size) || ((clock_ms < fault.felt_ms || align > route.align_max) && kind == BIGMAAC_KIND_NONE));
    *s = (struct slot){.p = p, .size = size};
    live += size;
    if (align <= 16 && clock_ms >= fault.felt_ms)
        check_usable(s, kind);
}

static void drop(struct slot *s)
{
    MUST(holds(s, s->size, 0, 0));
    live -= s->size;
    errno = SENTINEL;
    bigmaac_free(s->p);
    MUST(errno == SENTINEL);
    *s = (struct slot){0};
}

static void do_calloc(struct slot *s, size_t size, bool array)
{
    size_t each = size % 7 + 1;
    void *p = array ? bigmaac_reallocarray(NULL, size / each, each) : bigmaac_calloc(size / each, each);
    took(s, p, size / each * each, 1);
    for (size_t at = 0; s->p && !array && at < s->size; at += step_from(at, s->size))
        MUST(s->p[at] == 0);
}

static void do_aligned(struct slot *s, size_t size, unsigned how)
{
    size_t align = (size_t)8 << (how % 4 ? how / 4 % 11 : how / 4 % 20);
    void *p = NULL;
    int err = 0;
    if (how & 64)
        p = bigmaac_memalign(align - (align > 16 && how & 32), size); /* is rounded up again */
    else if (how & 128)
        p = bigmaac_aligned_alloc(align, size);
    else if ((err = bigmaac_posix_memalign(&p, align, size)))
        errno = errno == SENTINEL ? err : 0;
    MUST(p || fault.fired || align > 4096);
    if (p || errno != ENOMEM || fault.fired)
        took(s, p, size, align);
}

/* A block resized keeps its kind where the old one has the room, else it has that of its size. */
static void do_realloc(struct slot *s, size_t size)
{
    struct slot old = *s;
    int kind = bigmaac_kind(s->p);
    MUST(holds(s, s->size, 0, 0));
    void *p = bigmaac_realloc(s->p, size);
    if (size == 0) {
        MUST(!p && errno == SENTINEL);
        live -= old.size;
        *s = (struct slot){0};
        return;
    }
    if (!p) {
        MUST(fault.fired && errno == ENOMEM && size > old.size);
        MUST(holds(s, s->size, 0, 0)); /* unharmed */
        return;
    }
    MUST(errno == SENTINEL);
    s->p = p;
    MUST(holds(s, min_size(size, old.size), 0, 0));
    s->size = size;
    live += size - old.size;
    MUST(fault.fired || bigmaac_kind(p) == kind || bigmaac_kind(p) == kind_for(size) ||
         (clock_ms < fault.felt_ms && bigmaac_kind(p) == BIGMAAC_KIND_NONE));
    MUST(bigmaac_malloc_usable_size(p) >= size);
    stamp(s);
}

static bool is_kept(const void *p)
{
    const struct big *r = big_containing(mem_offset(p));
    return r && r->advice == BIGMAAC_KEEP;
}

/* Whole pages inside the block; what is kept stays, what is dropped reads zero. */
static void do_madvise(struct slot *s, size_t size, unsigned how)
{
    static const int keeps[] = {MADV_FREE, MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED,
                                MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLD, MADV_DONTDUMP};
    bool drops = how & 1;
    int advice = drops ? MADV_DONTNEED : keeps[how / 2 % (sizeof keeps / sizeof keeps[0])];
    uintptr_t first = ((uintptr_t)s->p + 4095) & ~4095ul, end = ((uintptr_t)s->p + s->size) & ~4095ul;
    if (!mem_owns(s->p) || first >= end)
        return;
    MUST(madvise_own((char *)first + 1, 4096, advice) == -1 && errno == EINVAL);
    MUST(madvise_own((char *)first, SIZE_MAX, advice) == -1 && errno == EINVAL);
    errno = SENTINEL;
    first += size * 4096 % (end - first);
    size_t bytes = 1 + size * 577 % (end - first), from = first - (uintptr_t)s->p;
    int answer = madvise_own((char *)first, bytes, advice);
    bool locked = answer && advice == MADV_COLD && errno == EINVAL; /* BIGMAAC_KEEP: the kernel refuses that there */
    MUST(locked ? bigmaac_kind(s->p) == BIGMAAC_KIND_BIGMAAC && is_kept(s->p) : answer == 0 && errno == SENTINEL);
    MUST(holds(s, s->size, from, drops ? from + round_up(bytes, 4096) : from));
    stamp(s);
}

static void do_advise(struct slot *s, unsigned how)
{
    int advice = (int)(how % 7) - 1, kind = bigmaac_kind(s->p);
    bool right = kind == BIGMAAC_KIND_BIGMAAC && advice >= 0 && advice <= BIGMAAC_OPT_OUT;
    int err = bigmaac_advise(s->p, advice);
    bool may_fail = fault.fired || (advice == BIGMAAC_OPT_OUT && closed_ours && err == EAGAIN);
    MUST(right ? err == 0 || ((err == ENOMEM || err == EAGAIN) && may_fail) || advice == BIGMAAC_KEEP : err == EINVAL);
    MUST(bigmaac_advise(s->p ? s->p + 1 : NULL, BIGMAAC_RANDOM) == EINVAL && errno == SENTINEL);
    MUST(!s->p || holds(s, s->size, 0, 0));
}

/* Requests that can't be met, whatever the state. */
static void do_impossible(struct slot *s, size_t size, unsigned how)
{
    static void *const untouched = &slot;
    void *p = untouched;
    size_t huge = how & 1 ? SIZE_MAX - size : how & 2 ? (size_t)PTRDIFF_MAX + 1 + size : real_max + size;
    size_t wraps = ((size_t)1 << 60) + how / 64; /* times 16 or more it is small, modulo 2^64 */
    int want = ENOMEM;
    switch (how / 4 % 8) {
    case 0: p = bigmaac_malloc(huge); break;
    case 1: p = bigmaac_calloc(wraps, 16 + 16 * (size % 4096)); break;
    case 2: p = bigmaac_realloc(s->p, huge); break;
    case 3: p = bigmaac_reallocarray(s->p, wraps, 16 + 16 * (size % 4096)); break;
    case 4: p = bigmaac_memalign(SIZE_MAX - size % 4096, size), want = EINVAL; break;
    case 5: bigmaac_free(bigmaac_aligned_alloc(48 + size % 8, size % 4096)); return; /* as the C library has it */
    case 6: MUST(bigmaac_posix_memalign(&p, 4 + size % 4, size) == EINVAL); break;
    case 7: MUST(bigmaac_posix_memalign(&p, 64, huge) == ENOMEM); break;
    }
    if (how / 4 % 8 < 6)
        MUST(!p && errno == want);
    else
        MUST(p == untouched && errno == (how / 4 % 8 == 7 ? ENOMEM : SENTINEL)); /* as glibc sets it */
    MUST(!s->p || holds(s, s->size, 0, 0));
}

/* The program closes a descriptor that it does not know. */
static void close_ours(const struct slot *s)
{
    int kind = bigmaac_kind(s->p);
    closed_ours = true;
    if (kind == BIGMAAC_KIND_FRY)
        close(fry.file.fd);
    else if (kind == BIGMAAC_KIND_BIGMAAC)
        close(big_at(extent_at(&big.space, extent_lookup(&big.space, mem_offset(s->p)))->aux)->file.fd);
}

static void do_event(struct slot *s, size_t size, unsigned how)
{
    switch (how % 8) {
    case 0: case 1:
        fork_prepare();
        fork_parent();
        break;
    case 2:
        home_lock();
        for (size_t moved = 1; moved;) {
            home_look(true, UINT64_MAX);
            moved = home_move(&(struct coming){0});
        }
        home_unlock();
        break;
    case 3: close_ours(s); break;
    case 4: clock_ms += size; break;
    case 5:
        disk_give_back();
        break;
    default:
        fault.after = how / 8 % 8;
        fault.times = 1 + how / 64;
        fault.kind = size % 4;
    }
}

/* --- one input -------------------------------------------------------------------------------------- */

static void check_all(void)
{
    lock_take(&fry.lock);
    lock_take(&big.lock);
    must_be_right(extent_check(&big.space));
    must_be_right(extent_check(&fry.space));
    must_be_right(big_check());
    must_be_right(fry_check());
    lock_drop(&big.lock);
    lock_drop(&fry.lock);
    size_t bytes = 0;
    for (int i = 0; i < SLOTS; i++) {
        MUST(!slot[i].p || holds(&slot[i], slot[i].size, 0, 0));
        bytes += slot[i].size;
    }
    MUST(bytes == live);
}

static void choose(const uint8_t *d)
{
    static const size_t fries[] = {0, 1, 64, 128, 1000, 5000, 4096, 16};
    static const size_t bigs[] = {5000, 16384, 65536, 200 << 10, 1 << 20, 70000, 4 << 20, 32768};
    static const size_t recycle[] = {SIZE_MAX, 0, 1 << 20, 20 << 20};
    cfg.min_fry = fries[d[0] % 8];
    cfg.min_bigmaac = bigs[d[0] / 8 % 8];
    cfg.recycle = recycle[d[1] % 4];
    cfg.reserve = !(d[1] & 4);
    cfg.paging = d[1] / 8 % 4;
    cfg.fork_mode = d[1] / 32 % 2;
    big.space.quick_from = d[1] & 64 ? 1 : QUICK_FROM;
    route.fry_low = cfg.min_fry + 1;
    size_t top = min_size(cfg.min_bigmaac, SLAB_MAX);
    route.fry_span = cfg.min_fry && top >= route.fry_low ? top - route.fry_low + 1 : 0;
    route_set_limit();
}

static void step(const uint8_t *d)
{
    struct slot *s = &slot[d[1] % SLOTS];
    unsigned how = d[0] / 16 + (d[1] & 0xc0u) / 4 + (d[3] & 0xc0u); /* bits that choose the details */
    size_t size = (size_t)d[2] << (d[3] & 63) % 15;
    size += (d[3] & 7) * 3;
    if (live + size > live_max)
        size %= 4096;
    errno = SENTINEL;
    fault.fired = false;
    unsigned what = d[0] % 16;
    if (what <= 6 && what != 2 && what != 3 && s->p)
        drop(s);
    errno = SENTINEL;
    switch (what) {
    case 0: case 1: took(s, bigmaac_malloc(size), size, 1); break;
    case 2: case 3: case 7:
        if (s->p)
            do_realloc(s, size);
        else if (size)
            took(s, bigmaac_realloc(NULL, size), size, 1);
        break;
    case 4: do_calloc(s, size, how & 1); break;
    case 5: case 6: do_aligned(s, size, how); break;
    case 8: case 9: if (s->p) drop(s); break;
    case 10: if (s->p) do_madvise(s, size, how); break;
    case 11: do_advise(s, how); break;
    case 12: do_impossible(s, size, how); break;
    default: do_event(s, size, how);
    }
    if (s->p && what <= 7)
        stamp(s);
    clock_ms += 20;
}

/* Everything is free: files, mappings, blocks and records are gone, but for slabs kept for reuse. */
static void end(void)
{
    fault.times = 0;
    clock_ms += 1000;
    for (int i = 0; i < SLOTS; i++)
        if (slot[i].p)
            drop(&slot[i]);
    disk_give_back();
    check_all();
    MUST(live == 0 && big.records_in_use == 0 && fry_live_bytes() == 0 && fry.run_bytes == 0);
    MUST(extent_at(&big.space, extent_first(&big.space))->pages == big.space.pages || big.space.quick_from == 1);
    MUST(folder.files == (fry.file.fd >= 0) && folder.bytes == fry.backed_bytes);
    if (heap_self)
        heap_leave(heap_self); /* its last slabs go as well */
    disk_give_back();
    check_all();
    MUST(fry.slab_bytes == 0 && fry.dirty_pages == 0 && fry.backed_bytes == 0);
    if (fault.unmapping) /* what such a failure leaves is unmapped when it is used again */
        mem_unmap(big.space.start, mem.size - big.space.start);
    fault.unmapping = false;
    big.space.quick_from = QUICK_FROM;
    quick_flush(&big.space, 1, BIN_EXACT);
}

/* Files of ours that are still mapped or open: some system call was forgotten. */
static void check_leaks(void)
{
    static char text[1 << 20];
    size_t used = read_text("/proc/self/maps", text, sizeof text);
    MUST(used < sizeof text - 1 && used > 0);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        bool is_big = mem_offset((void *)strtoul(line, NULL, 16)) - big.space.start < mem.size - big.space.start;
        MUST(!is_big || strstr(line, "---p"));
    }
    size_t open = 0;
    for (int fd = (int)limit_of(RLIMIT_NOFILE) - 1, low = fd - 600; fd > low && fd > 100; fd--)
        open += fcntl(fd, F_GETFD) >= 0;
    static size_t usual;
    usual = usual ? usual : open + 1;
    MUST(open <= usual);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 4)
        return 0;
    static bool begun;
    if (!begun) {
        snprintf(cfg.template, sizeof cfg.template, "/var/tmp/bigmaac.XXXXXXXX");
        cfg.size_bigmaac = cfg.size_fries = (size_t)1 << 30; /* small, so that it is checked fast */
        clock_ms = 1000000;
        begun = regions_open();
        MUST(begun);
    }
    choose(data);
    closed_ours = false;
    step_number = 0;
    for (size_t at = 4; at + 4 <= bytes; at += 4, step_number++) {
        step(data + at);
        if (step_number % CHECK_EVERY == CHECK_EVERY - 1)
            check_all();
    }
    end();
    static unsigned inputs;
    if (inputs++ % 16 == 0)
        check_leaks();
    return 0;
}
