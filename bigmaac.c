/* bigmaac.c - selective user-space swap for Linux: an LD_PRELOAD malloc whose large blocks
 * live in disk-backed file mappings.
 * SPDX-License-Identifier: MIT
 *
 * === OVERVIEW
 *
 * The address space that is ours is one reservation:
 *
 *     base                                                                        base + size
 *     | boot | fries: small blocks, one shared file | bigmaacs: large blocks, a file each |
 *
 * Life of a request of SIZE bytes (thresholds: settings in README.md):
 *
 *     size > BIGMAAC_MIN_BIGMAAC_SIZE   BIG    own unlinked file, mapped MAP_SHARED
 *     size > BIGMAAC_MIN_FRY_SIZE       FRY    slab or page run in the shared fries file
 *     else                              REAL   the next malloc in line, by one indirect jump
 *
 * and of a pointer: (p - base) < size says "ours", (p - base) < boot + fries says "fry".
 *
 * LOCK ORDER (take from top to bottom; the fork handlers and HOME take all of them in this order)
 *
 *     gate            rwlock  every slow operation has it for reading, fork for writing: a
 *                             child never inherits a half-done operation
 *     fry.lock        mutex   fries space: page runs, birth and death of slabs, idle heaps
 *     big.lock        mutex   bigmaac space: extents, records, warm list
 *     mon.lock        mutex   the monitor thread's start and sleep
 *
 * System calls on files and mappings are made outside big.lock: the extent that they work on is
 * BUSY meanwhile, so nobody else touches it. The one exception is the monitor's advice about
 * paging (PAGING): it must not make a block BUSY that the program may free at any moment.
 *
 * HAZARDS that shape the code
 *   1. dlsym may allocate while we look up the next malloc: those calls get BOOT memory.
 *   2. malloc is called before any constructor: initialisation is on demand, not in one.
 *   3. A signal handler may interrupt us and call malloc or fork: slow operations block signals.
 *   4. glibc's open, close, fallocate are cancellation points: files go through syscall(2).
 *   5. The program may close our descriptors and reuse their numbers: checked before each use.
 *   6. errno survives every success and every free: slow operations save and restore it.
 *   7. Other threads write to a block while fork runs: only the kernel's copy-on-write keeps a
 *      snapshot, so mappings turn MAP_PRIVATE before the fork.
 *
 * SECTIONS (search for "=== TAG"): PLATFORM REPORT CONFIG MEMORY EXTENT FILE BUS LOCKS ROOM BIG
 * FRY ROUTE STATS PROFILE HOME FORK WATCH OPERATIONS PAGING STREAM MONITOR INIT API
 */

/* ============================================================================================
 * === PLATFORM  feature macros, includes, arithmetic that can't overflow
 * ========================================================================================= */
#define _GNU_SOURCE
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <linux/perf_event.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "bigmaac.h"

#define EXPORT __attribute__((visibility("default")))
#define COLD __attribute__((cold, noinline))
#define NOINLINE __attribute__((noinline))
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* For readers of what another thread may be changing at the moment, where a guess will do. */
#define GUESSES __attribute__((no_sanitize_thread))
GUESSES static inline uint32_t guess_32(const uint32_t *p) { return *p; }
GUESSES static inline uint64_t guess_64(const uint64_t *p) { return *p; }

/* Unit tests include this file and keep their own malloc: there the family has a prefix. */
#ifdef BIGMAAC_PREFIX
#define API(name) bigmaac_##name
#else
#define API(name) name
#endif

#if defined(PAGE_SHIFT) /* a test's */
#elif defined(__x86_64__)
#define PAGE_SHIFT 12
#else
#define PAGE_SHIFT 16 /* a multiple of every page size of the other 64-bit Linux platforms */
#endif

static const size_t page_size = (size_t)1 << PAGE_SHIFT;
static const size_t huge_size = (size_t)2 << 20;  /* a page middle directory entry's reach */
static const size_t align_max = (size_t)1 << 30;  /* of bigmaacs and page runs */
static const size_t request_max = PTRDIFF_MAX;    /* glibc's limit too */
static const size_t kib = 1024, mib = 1024 * 1024, gib = 1024 * 1024 * 1024;

static inline size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t max_size(size_t a, size_t b) { return a > b ? a : b; }
static inline size_t round_up(size_t n, size_t to) { return (n + to - 1) & ~(to - 1); }
static inline size_t round_down(size_t n, size_t to) { return n & ~(to - 1); }
static inline bool is_power_of_2(size_t n) { return n != 0 && (n & (n - 1)) == 0; }
static inline size_t to_pages(size_t bytes) { return bytes >> PAGE_SHIFT; }
static inline size_t to_bytes(size_t pages) { return pages << PAGE_SHIFT; }
static inline unsigned log2_floor(size_t n) { return 63u - (unsigned)__builtin_clzl(n); }

/* A word that is published once, read on every call. x86 orders loads and stores as written, and
 * a plain load can be the operand of a compare; elsewhere it takes an acquire. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define load_published(word) (*(word))
#else
#define load_published(word) __atomic_load_n(word, __ATOMIC_ACQUIRE)
#endif

/* The bare system call. The younger platforms, aarch64 and riscv64, have none for fork alone. */
static inline pid_t kernel_fork(void)
{
#ifdef SYS_fork
    return (pid_t)syscall(SYS_fork);
#else
    return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#endif
}

/* Monotonic milliseconds; from the vDSO, so no system call. */
static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ============================================================================================
 * === REPORT  messages: one line, one write(2), no allocation, errno kept
 *
 * "bigmaac[PID]: TEXT". A message is for the user of a program that we don't know, so it names
 * what is concerned and what happens next. Events that may repeat pass through report_once.
 * ========================================================================================= */
static void report_v(const char *text, va_list args)
{
    char line[640];
    int err = errno;
    int n = snprintf(line, sizeof line, "bigmaac[%d]: ", (int)getpid());
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, text, args);
    size_t used = min_size((size_t)n + (size_t)(m > 0 ? m : 0), sizeof line - 2);
    for (size_t i = 0; i < used; i++) /* values come from whoever set them */
        line[i] = iscntrl((unsigned char)line[i]) ? '?' : line[i];
    line[used++] = '\n';
    syscall(SYS_write, STDERR_FILENO, line, used); /* nothing to do if nobody reads it */
    errno = err;
}

COLD __attribute__((format(printf, 1, 2))) static void report(const char *text, ...)
{
    va_list args;
    va_start(args, text);
    report_v(text, args);
    va_end(args);
}

/* Corruption: the process can't be trusted any more. */
COLD __attribute__((format(printf, 1, 2), noreturn)) static void fatal(const char *text, ...)
{
    va_list args;
    va_start(args, text);
    report_v(text, args);
    va_end(args);
    abort();
}

/* True the first time for each flag: `if (first_time(&told)) report(...)`. */
static bool first_time(atomic_bool *flag)
{
    return !atomic_load_explicit(flag, memory_order_relaxed) && !atomic_exchange(flag, true);
}

/* ============================================================================================
 * === CONFIG  the environment variables: one table, one parser per kind, one message
 *
 * Written by config_load before any other thread can see it, read-only afterwards.
 * ========================================================================================= */
enum paging { PAGING_ADAPTIVE, PAGING_SEQUENTIAL, PAGING_NORMAL, PAGING_RANDOM };
enum fork_mode { FORK_PRIVATE, FORK_COPY };

static const size_t recycle_auto = SIZE_MAX;
static const size_t region_min = (size_t)1 << 20;
static const size_t region_max = (size_t)8 << 40;

static struct config {
    size_t min_bigmaac;  /* larger requests are bigmaacs */
    size_t min_fry;      /* larger ones, up to min_bigmaac, are fries; 0: none are */
    size_t size_bigmaac; /* bytes of address space for bigmaacs */
    size_t size_fries;   /* and for fries */
    size_t recycle;      /* bytes of freed bigmaacs kept warm, or recycle_auto */
    size_t reserve;      /* 1: files have all their blocks before memory is given out */
    size_t paging;       /* enum paging */
    size_t fork_mode;    /* enum fork_mode */
    size_t stats;        /* 1: summary at exit */
    size_t verbose;      /* 1: settings at start, events worth knowing */
    size_t strict;       /* 1: a bad setting ends the program */
    size_t profile;      /* 1: pass everything through, histogram of sizes at exit */
    bool template_set;   /* BIGMAAC_TEMPLATE came from the environment */
    bool off;            /* a setting was bad: pass everything through */
    char template[512];  /* absolute; ends in at least six X */
} cfg = {
    .min_bigmaac = 10 << 20,
    .size_bigmaac = (size_t)512 << 30,
    .size_fries = (size_t)512 << 30,
    .recycle = SIZE_MAX,
    .reserve = 1,
    .template = "/tmp/bigmaac.XXXXXXXX",
};

enum setting_kind { SETTING_SIZE, SETTING_REGION, SETTING_RECYCLE, SETTING_FLAG, SETTING_WORD };

static const char *const paging_words[] = {"adaptive", "sequential", "normal", "random", NULL};
static const char *const fork_words[] = {"private", "copy", NULL};

static const struct setting {
    const char *name;
    enum setting_kind kind;
    size_t *value;
    const char *const *words; /* of SETTING_WORD, NULL-terminated; the value is the index */
} settings[] = {
    {"BIGMAAC_STRICT", SETTING_FLAG, &cfg.strict, NULL}, /* first: it decides about the others */
    {"BIGMAAC_VERBOSE", SETTING_FLAG, &cfg.verbose, NULL},
    {"BIGMAAC_STATS", SETTING_FLAG, &cfg.stats, NULL},
    {"BIGMAAC_PROFILE", SETTING_FLAG, &cfg.profile, NULL},
    {"BIGMAAC_MIN_BIGMAAC_SIZE", SETTING_SIZE, &cfg.min_bigmaac, NULL},
    {"BIGMAAC_MIN_FRY_SIZE", SETTING_SIZE, &cfg.min_fry, NULL},
    {"SIZE_BIGMAAC", SETTING_REGION, &cfg.size_bigmaac, NULL},
    {"SIZE_FRIES", SETTING_REGION, &cfg.size_fries, NULL},
    {"BIGMAAC_RECYCLE", SETTING_RECYCLE, &cfg.recycle, NULL},
    {"BIGMAAC_RESERVE", SETTING_FLAG, &cfg.reserve, NULL},
    {"BIGMAAC_PAGING", SETTING_WORD, &cfg.paging, paging_words},
    {"BIGMAAC_FORK", SETTING_WORD, &cfg.fork_mode, fork_words},
};

/* The first bad setting is told, the rest would be noise. */
COLD static void config_reject(const char *name, const char *value, const char *why)
{
    if (cfg.off)
        return;
    cfg.off = true;
    report("%s=\"%.124s%s\": %s; %s", name, value, strlen(value) > 124 ? "..." : "", why,
           cfg.strict ? "exiting" : "passing all requests through");
    if (cfg.strict)
        _exit(2);
}

/* Parses digits [K|M|G|T] [iB|B], either case, nothing around it.
 * Returns NULL, or why the text is not a size. */
static const char *parse_size(const char *text, size_t *out)
{
    static const char bad[] = "not a size (such as 10485760, 10M or 1GiB)";
    size_t value = 0;
    const char *at = text;
    if (!isdigit((unsigned char)*at))
        return bad;
    for (; isdigit((unsigned char)*at); at++)
        if (__builtin_mul_overflow(value, (size_t)10, &value) ||
            __builtin_add_overflow(value, (size_t)(*at - '0'), &value))
            return "too large for a size";
    static const char units[] = "KMGT";
    const char *unit = *at ? strchr(units, toupper((unsigned char)*at)) : NULL;
    if (unit) {
        at++;
        for (const char *u = units; u <= unit; u++)
            if (__builtin_mul_overflow(value, (size_t)1024, &value))
                return "too large for a size";
        if (*at == 'i' && (at[1] == 'B' || at[1] == 'b'))
            at++;
    }
    if (*at == 'B' || *at == 'b')
        at++;
    if (*at)
        return bad;
    *out = value;
    return NULL;
}

static const char *parse_region(const char *text, size_t *out)
{
    size_t value = 0;
    const char *why = parse_size(text, &value);
    if (!why && value < region_min)
        why = "too small for a region (at least 1M)";
    if (!why && value > region_max)
        why = "too large for a region (at most 8T)";
    if (!why)
        *out = value;
    return why;
}

static const char *parse_word(const char *text, const char *const *words, size_t *out)
{
    for (size_t i = 0; words[i]; i++)
        if (strcmp(text, words[i]) == 0) {
            *out = i;
            return NULL;
        }
    return words == paging_words ? "not one of adaptive, sequential, normal, random"
                                 : "not one of private, copy";
}

static const char *parse_setting(const struct setting *s, const char *text)
{
    switch (s->kind) {
    case SETTING_SIZE:
        return parse_size(text, s->value);
    case SETTING_REGION:
        return parse_region(text, s->value);
    case SETTING_RECYCLE:
        if (strcmp(text, "auto") == 0) {
            *s->value = recycle_auto;
            return NULL;
        }
        return parse_size(text, s->value);
    case SETTING_FLAG:
        if ((text[0] != '0' && text[0] != '1') || text[1])
            return "not 0 or 1";
        *s->value = text[0] == '1';
        return NULL;
    case SETTING_WORD:
        return parse_word(text, s->words, s->value);
    }
    return NULL;
}

/* The folder part of the template, for messages and O_TMPFILE. */
static void template_folder(char *folder, size_t room)
{
    const char *slash = strrchr(cfg.template, '/');
    size_t n = slash == cfg.template ? 1 : (size_t)(slash - cfg.template);
    n = min_size(n, room - 1);
    memcpy(folder, cfg.template, n);
    folder[n] = 0;
}

static const char *parse_template(const char *text)
{
    size_t n = strlen(text);
    if (n < 6 || strcmp(text + n - 6, "XXXXXX") != 0)
        return "must end in six X or more";
    char cwd[sizeof cfg.template] = "";
    if (text[0] != '/' && syscall(SYS_getcwd, cwd, sizeof cwd) < 0)
        return "relative, and the current folder can't be read";
    char path[sizeof cfg.template];
    int used = snprintf(path, sizeof path, "%s%s%s", cwd, cwd[0] ? "/" : "", text);
    if (used < 0 || (size_t)used >= sizeof path)
        return "too long (at most 511 characters)";
    memcpy(cfg.template, path, (size_t)used + 1);
    cfg.template_set = true;
    return NULL;
}

static const char *check_folder(void)
{
    char folder[sizeof cfg.template];
    template_folder(folder, sizeof folder);
    if (access(folder, W_OK | X_OK) == 0)
        return NULL;
    switch (errno) {
    case ENOENT:
        return "the folder is missing";
    case ENOTDIR:
        return "its folder is not a folder";
    case EROFS:
        return "the folder is read-only";
    default:
        return "the folder is not writable";
    }
}

COLD static void config_tell(void)
{
    report("bigmaacs above %zu bytes, fries above %zu%s, swap files %s, regions %zu + %zu",
           cfg.min_bigmaac, cfg.min_fry, cfg.min_fry ? "" : " (none)", cfg.template,
           cfg.size_bigmaac, cfg.size_fries);
    report("reserve=%zu recycle=%zd paging=%s fork=%s stats=%zu", cfg.reserve,
           (ssize_t)cfg.recycle, paging_words[cfg.paging], fork_words[cfg.fork_mode], cfg.stats);
}

COLD static void config_load(void)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        const char *text = secure_getenv(settings[i].name);
        const char *why = text ? parse_setting(&settings[i], text) : NULL;
        if (why)
            config_reject(settings[i].name, text, why);
    }
    const char *template = secure_getenv("BIGMAAC_TEMPLATE");
    const char *why = template ? parse_template(template) : NULL;
    if (!why)
        why = check_folder();
    if (why)
        config_reject("BIGMAAC_TEMPLATE", template ? template : cfg.template, why);
    if (cfg.min_fry > cfg.min_bigmaac) {
        char text[32];
        snprintf(text, sizeof text, "%zu", cfg.min_fry);
        const char *given = secure_getenv("BIGMAAC_MIN_FRY_SIZE");
        config_reject("BIGMAAC_MIN_FRY_SIZE", given ? given : text,
                      "larger than BIGMAAC_MIN_BIGMAAC_SIZE");
    }
    if (cfg.verbose && !cfg.off)
        config_tell();
}

/* ============================================================================================
 * === MEMORY  the reservation, and anonymous memory for our own descriptors
 *
 * Only this section and FILE call mmap and friends. Descriptors live behind the reservation, so
 * that one system call, lazily made, is all that start-up costs:
 *
 *     | boot | fries | bigmaacs || maps and extents of both spaces | slab descriptors |
 *
 * Everything starts PROT_NONE; what is used becomes readable in steps, so that neither strict
 * overcommit nor mlockall pays for address space.
 * ========================================================================================= */
static const size_t boot_bytes = 256 * 1024;

static struct mem {
    /* Published last by mem_reserve; 2^63 belongs to no user pointer until then. */
    size_t base;           /* aligned to align_max */
    size_t size;           /* bytes of boot + fries + bigmaacs */
    size_t fry_end;        /* offset where the fries end and the bigmaacs begin */
    size_t boot_used;      /* guarded by init: one thread boots */
    bool boot_ready;       /* the boot pages are readable */
    bool failed;           /* no address space to be had: pass everything through */
} mem = {.base = (uintptr_t)1 << 63};

static const int anon_flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

/* Offset of p in the reservation; larger than any size for what isn't ours. */
static ALWAYS_INLINE size_t mem_offset(const void *p)
{
    return (uintptr_t)p - load_published(&mem.base);
}

static ALWAYS_INLINE bool mem_owns(const void *p)
{
    return mem_offset(p) < load_published(&mem.size);
}

static inline char *mem_at(size_t offset)
{
    return (char *)mem.base + offset;
}

/* A growing array in reserved address space. */
struct pool {
    char *start;      /* NULL until reserved */
    size_t committed; /* readable bytes */
    size_t limit;     /* reserved bytes */
};

/* Makes the first `bytes` of the pool readable; new memory is zero. False: out of memory. */
static bool pool_commit(struct pool *p, size_t bytes)
{
    if (likely(bytes <= p->committed))
        return true;
    if (bytes > p->limit)
        return false;
    size_t step = min_size(max_size(p->committed / 4, 64 * kib), 4 * mib);
    size_t to = min_size(round_up(bytes + step, page_size), p->limit);
    if (mprotect(p->start + p->committed, to - p->committed, PROT_READ | PROT_WRITE) != 0) {
        to = min_size(round_up(bytes, page_size), p->limit);
        if (mprotect(p->start + p->committed, to - p->committed, PROT_READ | PROT_WRITE) != 0)
            return false;
    }
    p->committed = to;
    return true;
}

/* Advice to the kernel about memory of ours; our own madvise is for the program. */
static bool mem_advise(size_t offset, size_t bytes, int advice)
{
    return syscall(SYS_madvise, mem_at(offset), bytes, advice) == 0;
}

/* What of a range is in memory: a byte for each of our pages, of which the kernel's may be parts. */
static bool mem_resident(size_t offset, size_t bytes, unsigned char *vector)
{
    unsigned char part[512];
    size_t each = page_size / (size_t)sysconf(_SC_PAGESIZE), step = sizeof part / each * page_size;
    if (each == 1)
        return mincore(mem_at(offset), bytes, vector) == 0;
    for (size_t at = 0; at < bytes; at += step) {
        size_t n = min_size(step, bytes - at);
        if (mincore(mem_at(offset + at), n, part) != 0)
            return false;
        for (size_t i = 0; i < n / page_size * each; i++) {
            unsigned char *page = &vector[at / page_size + i / each];
            *page = (unsigned char)((i % each ? *page : 0) | (part[i] & 1));
        }
    }
    return true;
}

/* What a fault on a page that is not in memory brings in. Huge wins on streams: one 2 MiB page,
 * mapped whole, where the kernel's own readahead follows with small ones. */
enum policy {
    POLICY_NORMAL, /* the readahead of the block device around it */
    POLICY_HUGE,   /* the 2 MiB around it, and no readahead beyond */
    POLICY_RANDOM, /* that page alone */
    POLICY_BLOCKS, /* as much as NORMAL, but from it on, and nothing behind that */
    POLICY_WATCHED, /* that page alone; then a thread of ours asks for the rest of its block (WATCH) */
    POLICY_COUNT
};

static const char *const policy_names[POLICY_COUNT] = {"normal", "sequential", "random", "blocks", "watched"};

/* Per 2 MiB of the reservation 1 + log2 of the pages of a block there; 0: WATCH leaves faults there alone.
 * The monitor makes it, once; everybody may clear pieces of it. NULL: nothing was ever WATCHED. */
static _Atomic(atomic_uchar *) mem_pieces;

static void mem_set_piece(size_t offset, size_t bytes, unsigned char piece)
{
    atomic_uchar *pieces = atomic_load(&mem_pieces);
    for (size_t chunk = offset / huge_size; pieces && chunk * huge_size < offset + bytes; chunk++)
        if (atomic_load_explicit(&pieces[chunk], memory_order_relaxed) != piece)
            atomic_store_explicit(&pieces[chunk], piece, memory_order_relaxed);
}

/* Tells the kernel, and WATCH: there a block has 2^log pages. What can't be done is slower, not wrong. Changes
 * nothing of the content. */
static void mem_set_policy(size_t offset, size_t bytes, enum policy policy, unsigned log)
{
    mem_set_piece(offset, bytes, policy == POLICY_WATCHED ? (unsigned char)(1 + log) : 0);
    static const int advice[POLICY_COUNT] = {MADV_NORMAL, MADV_RANDOM, MADV_RANDOM, MADV_SEQUENTIAL,
                                              MADV_RANDOM};
    mem_advise(offset, bytes, policy == POLICY_HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    mem_advise(offset, bytes, advice[policy]);
}

/* Turns [offset, offset + bytes) of the reservation back into unreadable address space. */
static bool mem_unmap(size_t offset, size_t bytes)
{
    mem_set_piece(offset, bytes, 0);
    return mmap(mem_at(offset), bytes, PROT_NONE, anon_flags | MAP_FIXED, -1, 0) != MAP_FAILED;
}

/* ============================================================================================
 * === EXTENT  runs of pages in a space: split, merge, find a fit in constant time
 *
 * Extents tile a space without gaps. Each is described out of band by 32 bytes, linked to its
 * neighbours by address. Free ones also hang in a bin of their size: one bin per page count
 * below 64, above that 16 bins per doubling; a bitmap tells the bins that hold something, so a
 * fit is found by scanning eight words. Free neighbours of the same kind and slot are merged at
 * once, while there are few extents. Among many, neighbours are not in the processor's cache, but
 * what was just freed is: then up to QUICK_MAX small ones of each size wait in a quick list for
 * the next request of that size, and are merged when space is short. map[page] is the extent that
 * starts at that page, 0 if none that is in use does.
 *
 * Everything here needs the lock of the space that it works on. Nothing makes system calls but
 * pool_commit, once per several thousand extents.
 * ========================================================================================= */
enum extent_state {
    EXTENT_UNUSED, /* the descriptor describes nothing */
    EXTENT_FREE,   /* in a bin of its kind */
    EXTENT_BUSY,   /* one thread works on it outside the lock */
    EXTENT_LIVE,   /* the program's */
    EXTENT_WARM,   /* freed, mapping and file kept for reuse */
    EXTENT_QUICK,  /* freed, in a quick list of its size, merged later */
};

enum extent_kind {
    KIND_CLEAN, /* free: no file blocks behind it */
    KIND_DIRTY, /* free: has blocks, and pages perhaps (fries only) */
    KIND_COUNT
};

struct extent {
    uint32_t page;      /* first page, counted from the start of the space */
    uint32_t pages;     /* > 0 */
    uint32_t prev;      /* neighbours by address; 0: none */
    uint32_t next;      /* also chains unused descriptors */
    uint32_t link_prev; /* in a bin or in a list of its owner's; 0: first */
    uint32_t link_next; /* 0: last */
    uint32_t aux;       /* in use: record of a bigmaac, or request's slack of a page run */
    uint8_t state;      /* enum extent_state */
    uint8_t kind;       /* enum extent_kind, of free ones */
    uint8_t slot;       /* fries: which mapping is behind it; only equals are merged */
    uint8_t flags;      /* its owner's */
};
_Static_assert(sizeof(struct extent) == 32, "two extents share a cache line");

enum { BIN_EXACT = 64, BIN_SUB = 16, BIN_COUNT = BIN_EXACT + (32 - 6) * BIN_SUB };
enum { BIN_WORDS = (BIN_COUNT + 63) / 64, BIN_PROBES = 8 };

enum { QUICK_MAX = 32, QUICK_FROM = 16384 }; /* extents in each list; how many extents are many */

struct bins {
    uint64_t filled[BIN_WORDS]; /* bit b: head[b] is not 0 */
    uint32_t head[BIN_COUNT];   /* extents, last in first out */
};

struct space {
    size_t start;             /* offset in the reservation, bytes */
    uint32_t pages;           /* in all */
    uint32_t extent_count;    /* descriptors ever used; number 0 is nobody */
    uint32_t extent_unused;   /* chain of descriptors to use again */
    uint32_t found;           /* what extent_containing found last; may be long gone */
    struct pool map;          /* uint32_t per page */
    struct pool extents;      /* struct extent */
    uint32_t quick_from;                  /* extents from which on it has quick lists; 0: never */
    uint8_t quick_count[BIN_EXACT];       /* by pages */
    uint32_t quick_head[BIN_EXACT];       /* last in first out, by link_next */
    struct bins free[KIND_COUNT];
};

static inline struct extent *extent_at(const struct space *s, uint32_t i)
{
    return (struct extent *)(void *)s->extents.start + i;
}

static inline size_t extent_offset(const struct space *s, const struct extent *e)
{
    return s->start + to_bytes(e->page);
}

static inline uint32_t extent_index(const struct space *s, const struct extent *e)
{
    return (uint32_t)(e - extent_at(s, 0));
}

/* The bin of extents with that many pages. */
static inline unsigned bin_of(uint32_t pages)
{
    if (pages < BIN_EXACT)
        return pages;
    unsigned log = log2_floor(pages);
    return BIN_EXACT + (log - 6) * BIN_SUB + ((pages >> (log - 4)) & (BIN_SUB - 1));
}

static void bins_insert(struct space *s, struct bins *b, uint32_t i)
{
    struct extent *e = extent_at(s, i);
    unsigned bin = bin_of(e->pages);
    uint32_t head = b->head[bin];
    e->link_prev = 0;
    e->link_next = head;
    if (head)
        extent_at(s, head)->link_prev = i;
    b->head[bin] = i;
    b->filled[bin / 64] |= (uint64_t)1 << (bin % 64);
}

static void bins_remove(struct space *s, struct bins *b, uint32_t i)
{
    struct extent *e = extent_at(s, i);
    unsigned bin = bin_of(e->pages);
    if (e->link_next)
        extent_at(s, e->link_next)->link_prev = e->link_prev;
    if (e->link_prev)
        extent_at(s, e->link_prev)->link_next = e->link_next;
    else if ((b->head[bin] = e->link_next) == 0)
        b->filled[bin / 64] &= ~((uint64_t)1 << (bin % 64));
}

/* The first bin from `bin` on that holds something; BIN_COUNT if none does. */
static unsigned bins_next(const struct bins *b, unsigned bin)
{
    if (bin >= BIN_COUNT)
        return BIN_COUNT;
    unsigned word = bin / 64;
    uint64_t bits = b->filled[word] & (~(uint64_t)0 << (bin % 64));
    while (!bits) {
        if (++word == BIN_WORDS)
            return BIN_COUNT;
        bits = b->filled[word];
    }
    return word * 64 + (unsigned)__builtin_ctzl(bits);
}

static inline bool extent_fits(const struct extent *e, uint32_t pages, uint32_t align)
{
    uint32_t head = (uint32_t)(-(uint64_t)e->page & (align - 1));
    return (uint64_t)head + pages <= e->pages;
}

/* The first of at most BIN_PROBES extents of one bin that fits; 0 if none does. */
static uint32_t bin_probe(const struct space *s, uint32_t i, uint32_t pages, uint32_t align)
{
    for (int probes = BIN_PROBES; i && probes; probes--, i = extent_at(s, i)->link_next)
        if (extent_fits(extent_at(s, i), pages, align))
            return i;
    return 0;
}

/* A good fit: some free extent of the smallest bins that has one. `align` is in pages, a power
 * of 2. 0: none found. Page numbers align like addresses, since spaces start at align_max. */
static uint32_t bins_find(const struct space *s, const struct bins *b, uint32_t pages,
                          uint32_t align)
{
    unsigned last = bin_of((uint32_t)min_size((size_t)pages + align - 1, UINT32_MAX)) + 1;
    unsigned bin = bins_next(b, bin_of(pages));
    while (bin < BIN_COUNT) {
        uint32_t found = bin_probe(s, b->head[bin], pages, align);
        if (found)
            return found;
        bin = bins_next(b, bin < last || align == 1 ? bin + 1 : BIN_COUNT);
    }
    return 0;
}

/* A descriptor that describes nothing yet; 0 when there is no more memory for one. */
static uint32_t extent_describe(struct space *s)
{
    uint32_t i = s->extent_unused;
    if (i) {
        s->extent_unused = extent_at(s, i)->next;
        return i;
    }
    if (!pool_commit(&s->extents, (s->extent_count + 2) * sizeof(struct extent)))
        return 0;
    return ++s->extent_count;
}

static void extent_forget(struct space *s, uint32_t i)
{
    struct extent *e = extent_at(s, i);
    e->state = EXTENT_UNUSED;
    e->next = s->extent_unused;
    s->extent_unused = i;
}

/* | e: pages ... | => | e: pages | rest: as e, in no bin |      Returns rest, 0: no memory. */
static uint32_t extent_split(struct space *s, uint32_t i, uint32_t pages)
{
    uint32_t r = extent_describe(s);
    if (!r)
        return 0;
    struct extent *e = extent_at(s, i), *rest = extent_at(s, r);
    *rest = *e;
    rest->page = e->page + pages;
    rest->pages = e->pages - pages;
    rest->prev = i;
    rest->aux = 0;
    if (rest->next)
        extent_at(s, rest->next)->prev = r;
    e->next = r;
    e->pages = pages;
    return r;
}

/* | e | next | => | e ............ | */
static void extent_absorb_next(struct space *s, uint32_t i)
{
    struct extent *e = extent_at(s, i);
    uint32_t n = e->next;
    struct extent *next = extent_at(s, n);
    e->pages += next->pages;
    e->next = next->next;
    if (e->next)
        extent_at(s, e->next)->prev = i;
    extent_forget(s, n);
}

static bool extent_mergeable(const struct space *s, uint32_t i, const struct extent *with)
{
    const struct extent *e = extent_at(s, i);
    return i && e->state == EXTENT_FREE && e->kind == with->kind && e->slot == with->slot &&
           (uint64_t)e->pages + with->pages < UINT32_MAX;
}

/* Puts an extent that is in no bin among the free ones, merged with its free neighbours.
 * Returns the free extent that it became part of. */
static uint32_t extent_release(struct space *s, uint32_t i, enum extent_kind kind)
{
    struct extent *e = extent_at(s, i);
    struct bins *b = &s->free[kind];
    e->state = EXTENT_FREE;
    e->kind = (uint8_t)kind;
    if (extent_mergeable(s, e->next, e)) { /* | e | free | => | free | */
        bins_remove(s, b, e->next);
        extent_absorb_next(s, i);
    }
    if (extent_mergeable(s, e->prev, e)) { /* | free | e | => | free | */
        i = e->prev;
        bins_remove(s, b, i);
        extent_absorb_next(s, i);
    }
    bins_insert(s, b, i);
    return i;
}

static const uint32_t map_freed = UINT32_MAX; /* an extent in use began here and was freed */
static const uint32_t map_slab = 1u << 31;    /* page of a slab; below it the unit (FRY) */

static inline uint32_t *map_entry(const struct space *s, uint32_t page)
{
    return (uint32_t *)(void *)s->map.start + page;
}

/* Takes a free extent out of its bin and cuts `pages` aligned pages out of it. What is left on
 * either side stays free. False: no descriptor to be had, nothing changed for the caller. */
static uint32_t extent_take(struct space *s, uint32_t i, uint32_t pages, uint32_t align)
{
    struct extent *e = extent_at(s, i);
    enum extent_kind kind = e->kind;
    uint32_t head = (uint32_t)(-(uint64_t)e->page & (align - 1));
    if (!pool_commit(&s->map, ((size_t)e->page + head + pages) * sizeof(uint32_t)))
        return 0;
    bins_remove(s, &s->free[kind], i);
    if (head) { /* | head | e ... | */
        uint32_t rest = extent_split(s, i, head);
        bins_insert(s, &s->free[kind], i);
        if (!rest)
            return 0;
        i = rest;
        e = extent_at(s, i);
    }
    if (e->pages > pages) { /* | e: pages | tail | */
        uint32_t tail = extent_split(s, i, pages);
        if (!tail) {
            extent_release(s, i, kind);
            return 0;
        }
        bins_insert(s, &s->free[kind], tail);
    }
    e->state = EXTENT_BUSY;
    *map_entry(s, e->page) = i;
    return i;
}

static uint32_t quick_pop(struct space *s, uint32_t pages)
{
    uint32_t i = s->quick_head[pages];
    struct extent *e = extent_at(s, i);
    s->quick_head[pages] = e->link_next;
    s->quick_count[pages]--;
    e->state = EXTENT_BUSY;
    return i;
}

static void quick_push(struct space *s, uint32_t i)
{
    struct extent *e = extent_at(s, i);
    e->state = EXTENT_QUICK;
    e->link_next = s->quick_head[e->pages];
    s->quick_head[e->pages] = i;
    s->quick_count[e->pages]++;
}

/* Merges what waits in the quick lists: sizes from `from` below `to` pages. */
static void quick_flush(struct space *s, uint32_t from, uint32_t to)
{
    for (uint32_t pages = from; pages < to; pages++)
        while (s->quick_head[pages])
            extent_release(s, quick_pop(s, pages), KIND_CLEAN);
    __asm__ volatile("" : : : "memory"); /* GCC 12 at -O1 for aarch64 believes that this writes nothing */
}

/* Allocates pages in the space, from free extents of that kind. Returns a BUSY extent in the
 * map, 0: none fits, or no memory for descriptors. */
static uint32_t extent_alloc(struct space *s, enum extent_kind kind, uint32_t pages, uint32_t align)
{
    if (kind == KIND_CLEAN && align == 1 && pages < BIN_EXACT && s->quick_head[pages]) {
        uint32_t quick = quick_pop(s, pages);
        *map_entry(s, extent_at(s, quick)->page) = quick;
        return quick;
    }
    uint32_t i = bins_find(s, &s->free[kind], pages, align);
    if (!i && s->quick_from) {
        quick_flush(s, 1, BIN_EXACT);
        i = bins_find(s, &s->free[kind], pages, align);
    }
    return i ? extent_take(s, i, pages, align) : 0;
}

/* Gives an extent in use back. Returns the free extent that it is part of now. */
static uint32_t extent_free(struct space *s, uint32_t i, enum extent_kind kind)
{
    struct extent *e = extent_at(s, i);
    *map_entry(s, e->page) = map_freed;
    bool many = s->quick_from && s->extent_count >= s->quick_from;
    if (!many || kind != KIND_CLEAN || e->pages >= BIN_EXACT || s->quick_count[e->pages] == QUICK_MAX)
        return extent_release(s, i, kind);
    quick_push(s, i);
    return i;
}

/* | e | free ... | => | e: pages | free |    False: the neighbour is in use or too small. */
static bool extent_grow(struct space *s, uint32_t i, uint32_t pages)
{
    struct extent *e = extent_at(s, i);
    uint32_t n = e->next, more = pages - e->pages;
    if (n && extent_at(s, n)->state == EXTENT_QUICK) {
        quick_flush(s, extent_at(s, n)->pages, extent_at(s, n)->pages + 1);
        n = e->next;
    }
    struct extent *next = extent_at(s, n);
    if (!n || next->state != EXTENT_FREE || next->pages < more || next->slot != e->slot)
        return false;
    if (!pool_commit(&s->map, ((size_t)e->page + pages) * sizeof(uint32_t)))
        return false;
    enum extent_kind kind = next->kind;
    bins_remove(s, &s->free[kind], n);
    if (next->pages > more) {
        next->page += more;
        next->pages -= more;
        e->pages = pages;
        bins_insert(s, &s->free[kind], n);
    } else {
        extent_absorb_next(s, i);
    }
    return true;
}

/* | e ........ | => | e: pages | free |      Keeps e as it is when there is no descriptor. */
static bool extent_trim(struct space *s, uint32_t i, uint32_t pages, enum extent_kind kind)
{
    if (pages == extent_at(s, i)->pages)
        return true;
    uint32_t tail = extent_split(s, i, pages);
    if (tail)
        extent_release(s, tail, kind);
    return tail != 0;
}

/* The extent that a pointer to its first byte names, 0: nothing in use starts there. */
static uint32_t extent_lookup(const struct space *s, size_t offset)
{
    size_t page = to_pages(offset - s->start);
    if (offset & (page_size - 1) || (page + 1) * sizeof(uint32_t) > s->map.committed)
        return 0;
    uint32_t i = *map_entry(s, (uint32_t)page);
    return i != map_freed ? i : 0;
}

/* Is i an extent in use, no slab's, that contains the page? */
static bool extent_contains(const struct space *s, uint32_t i, size_t page)
{
    const struct extent *e = extent_at(s, i);
    return i && page - e->page < e->pages && e->state != EXTENT_UNUSED && e->state != EXTENT_FREE &&
           ((size_t)e->page + 1) * sizeof(uint32_t) <= s->map.committed && *map_entry(s, e->page) == i;
}

/* The extent in use that contains the offset; 0: none does, or it is a slab's, which its pages
 * name themselves. The last one found is at hand, as programs give a large block back piece by piece;
 * else looks back for the first page. */
static uint32_t extent_containing(struct space *s, size_t offset)
{
    size_t page = to_pages(offset - s->start), known = s->map.committed / sizeof(uint32_t);
    if (extent_contains(s, s->found, page))
        return s->found;
    for (size_t at = min_size(page + 1, known); at-- > 0;) {
        uint32_t i = *map_entry(s, (uint32_t)at);
        if (i == 0 || i >= map_slab) /* what was freed, or pages of a slab */
            continue;
        return extent_contains(s, i, page) ? s->found = i : 0;
    }
    return 0;
}

/* The extent at page 0. */
static uint32_t extent_first(const struct space *s)
{
    for (uint32_t i = 1; i <= s->extent_count; i++)
        if (extent_at(s, i)->state != EXTENT_UNUSED && extent_at(s, i)->page == 0)
            return i;
    return 0;
}

/* One free extent that covers the whole space. The pools must be reserved. */
static bool space_open(struct space *s, size_t start, size_t bytes)
{
    s->start = start;
    s->pages = (uint32_t)to_pages(bytes);
    uint32_t i = extent_describe(s);
    if (!i)
        return false;
    *extent_at(s, i) = (struct extent){.pages = s->pages};
    extent_release(s, i, KIND_CLEAN);
    return true;
}

#ifdef BIGMAAC_PREFIX
/* Walks every structure of the space; returns what is wrong with it, NULL if nothing is. */
static const char *extent_check(const struct space *s)
{
    uint32_t seen = 0, free_seen = 0, unused = 0, quick_seen = 0;
    uint64_t page = 0;
    for (uint32_t i = extent_first(s), prev = 0; i; prev = i, i = extent_at(s, i)->next, seen++) {
        const struct extent *e = extent_at(s, i);
        if (e->page != page || e->prev != prev || e->pages == 0)
            return "extents don't tile the space";
        if (e->state == EXTENT_FREE) {
            free_seen++;
            if (prev && extent_mergeable(s, prev, e))
                return "free neighbours were not merged";
        } else if (e->state == EXTENT_QUICK) {
            quick_seen++;
            if (e->pages >= BIN_EXACT || *map_entry(s, e->page) != map_freed)
                return "an extent that can't be is in a quick list";
        } else if (*map_entry(s, e->page) != i && *map_entry(s, e->page) != (map_slab | e->aux)) {
            return "the map misses an extent in use";
        }
        page += e->pages;
    }
    for (size_t at = 0; at < s->map.committed / sizeof(uint32_t); at++) {
        uint32_t i = *map_entry(s, (uint32_t)at);
        const struct extent *e = extent_at(s, i);
        if (i && i < map_slab && (e->page != at || e->state == EXTENT_UNUSED || e->state == EXTENT_FREE))
            return "the map names an extent that is not in use";
    }
    for (uint32_t i = s->extent_unused; i; i = extent_at(s, i)->next)
        unused++;
    if (page != s->pages || seen + unused != s->extent_count)
        return "extents were lost";
    for (int kind = 0; kind < KIND_COUNT; kind++)
        for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
            bool filled = s->free[kind].filled[bin / 64] >> (bin % 64) & 1;
            if (filled != (s->free[kind].head[bin] != 0))
                return "a bin's bit is wrong";
            for (uint32_t i = s->free[kind].head[bin]; i; i = extent_at(s, i)->link_next) {
                const struct extent *e = extent_at(s, i);
                if (e->state != EXTENT_FREE || e->kind != kind || bin_of(e->pages) != bin)
                    return "an extent hangs in the wrong bin";
                free_seen--;
            }
        }
    for (uint32_t pages = 0; pages < BIN_EXACT; pages++)
        for (uint32_t i = s->quick_head[pages]; i; i = extent_at(s, i)->link_next)
            quick_seen -= extent_at(s, i)->pages == pages;
    return free_seen || quick_seen ? "a free extent hangs in no bin" : NULL;
}
#endif

/* ============================================================================================
 * === FILE  swap files: unlinked, close-on-exec, 0600, on a high descriptor
 *
 * Calls return a reason, REASON_NONE for success; it becomes an errno for the program and a
 * line of the statistics. No lock is needed: a file belongs to an extent that is BUSY, or to
 * the fries, whose lock its callers hold.
 * ========================================================================================= */
enum reason {
    REASON_NONE,
    REASON_DISK_FULL,
    REASON_NO_FOLDER,
    REASON_ADDRESS_SPACE,
    REASON_FILE_SIZE,
    REASON_DESCRIPTORS,
    REASON_MAPPINGS,
    REASON_MEMORY,
    REASON_FORK,
    REASON_COUNT
};

static const char *const reason_names[REASON_COUNT] = {
    "none", "disk-full", "no-folder", "address-space", "file-size-limit",
    "descriptors", "mappings", "memory", "fork",
};

enum { KEPT_MAX = 32 }; /* files of the kernel's that are kept open (ROOM) */

struct file {
    int fd; /* -1: none */
    dev_t dev;
    ino_t ino;
};

static struct folder {
    atomic_bool probed;       /* the fields below are right */
    bool memory;              /* tmpfs, ramfs: swapping there is no use */
    bool no_copy_on_write;    /* btrfs: ask for it, and leave a margin free (file_allocate) */
    atomic_bool no_tmpfile;   /* O_TMPFILE failed, or does harm (ZFS) */
    atomic_bool no_fallocate; /* reserve by looking at the free space */
    atomic_bool can_map;      /* a file of it has been mapped */
    atomic_bool told_memory, told_unusable;
    atomic_size_t readahead;  /* pages that the device reads around a fault */
    bool readahead_known;     /* the kernel said so, or PAGING has seen it */
    bool overlay;             /* writeback is asked for in another way there (range_write) */
    atomic_size_t files;      /* open now */
    atomic_size_t bytes;      /* of all of them, as allocated by us */
    atomic_size_t bytes_peak;
} folder = {.readahead = ((size_t)128 << 10) >> PAGE_SHIFT}; /* the kernel's default, until it was read */

static const long magic_zfs = 0x2fc12fc1, magic_btrfs = 0x9123683e;

/* Reads a small file of the kernel's whole. Returns its length; 0: not there. */
static size_t read_text(const char *path, char *text, size_t space)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    for (long n = 1; fd >= 0 && n > 0 && used < space - 1; used += n > 0 ? (size_t)n : 0)
        n = syscall(SYS_read, fd, text + used, space - 1 - used);
    text[used] = 0;
    if (fd >= 0)
        syscall(SYS_close, fd);
    return used;
}

/* The device's readahead, in pages; 0 where it can't be read: overlay and btrfs name no device. */
COLD static size_t folder_readahead(const char *path)
{
    char name[64], text[32];
    struct stat st;
    if (stat(path, &st) != 0)
        return 0;
    snprintf(name, sizeof name, "/sys/class/bdi/%u:%u/read_ahead_kb", major(st.st_dev), minor(st.st_dev));
    if (!read_text(name, text, sizeof text))
        return 0;
    return max_size(min_size(strtoul(text, NULL, 10), 64 * kib) * kib / page_size, 1);
}

static bool is_memory_fs(long magic) { return magic == TMPFS_MAGIC || magic == RAMFS_MAGIC; }

/* Looks at the swap folder once, when the first file is needed. */
COLD static void folder_probe(void)
{
    char path[sizeof cfg.template];
    struct statfs fs;
    template_folder(path, sizeof path);
    if (statfs(path, &fs) != 0)
        return;
    if (is_memory_fs((long)fs.f_type) && !cfg.template_set && access("/var/tmp", W_OK | X_OK) == 0) {
        struct statfs other;
        if (statfs("/var/tmp", &other) == 0 && !is_memory_fs((long)other.f_type)) {
            snprintf(cfg.template, sizeof cfg.template, "/var/tmp/bigmaac.XXXXXXXX");
            fs = other;
        }
    }
    template_folder(path, sizeof path);
    size_t readahead = folder_readahead(path);
    folder.readahead_known = readahead != 0;
    folder.readahead = readahead ? readahead : 128 * kib / page_size;
    folder.overlay = (long)fs.f_type == OVERLAYFS_SUPER_MAGIC;
    folder.memory = is_memory_fs((long)fs.f_type);
    folder.no_copy_on_write = (long)fs.f_type == magic_btrfs;
    if ((long)fs.f_type == magic_zfs)
        folder.no_tmpfile = true; /* it never writes dirty mapped pages of unnamed files back */
    atomic_store(&folder.probed, true);
    if (folder.memory && first_time(&folder.told_memory))
        report("%s is in memory (tmpfs): nothing is swapped there; set BIGMAAC_TEMPLATE to a "
               "folder on a disk", path);
}

static enum reason reason_of(int err)
{
    switch (err) {
    case 0:
        return REASON_NONE;
    case ENOSPC:
    case EDQUOT:
        return REASON_DISK_FULL;
    case EFBIG:
        return REASON_FILE_SIZE;
    case EMFILE:
    case ENFILE:
        return REASON_DESCRIPTORS;
    case ENOMEM:
        return REASON_MAPPINGS;
    case EAGAIN:
        return REASON_MEMORY;
    default:
        return REASON_NO_FOLDER;
    }
}

/* A folder that can't hold our files shows at the first use: told once. */
static enum reason file_failed(const char *call, int err)
{
    enum reason why = reason_of(err);
    if (why == REASON_NO_FOLDER && first_time(&folder.told_unusable))
        report("BIGMAAC_TEMPLATE=\"%s\": %s: %s; large requests fail with ENOMEM", cfg.template,
               call, strerrordesc_np(err) ? strerrordesc_np(err) : "unknown error");
    else if (cfg.verbose)
        report("%s in %s: %s", call, cfg.template, strerrordesc_np(err) ? strerrordesc_np(err) : "");
    return why;
}

static int file_open_unnamed(void)
{
    char path[sizeof cfg.template];
    template_folder(path, sizeof path);
    return (int)syscall(SYS_openat, AT_FDCWD, path, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
}

/* One name for each user, file system and run of the kernel; 0: not known. */
static uint64_t file_name_seed(void)
{
    char text[sizeof cfg.template];
    struct stat st;
    uint64_t hash = 14695981039346656037u;
    template_folder(text, sizeof text);
    if (stat(text, &st) != 0 || !read_text("/proc/sys/kernel/random/boot_id", text, sizeof text))
        return 0;
    for (const char *at = text; *at; at++)
        hash = (hash ^ (unsigned char)*at) * 1099511628211u;
    hash = (hash ^ (uint64_t)st.st_dev << 32 ^ geteuid()) * 1099511628211u;
    return hash ? hash : 1;
}

static void file_name_fill(char *xs, uint64_t seed)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    for (; *xs; xs++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        *xs = letters[(seed >> 33) % (sizeof letters - 1)];
    }
}

/* Takes a name away, in two tries. Somebody else may have done it. */
static bool file_unname(const char *path)
{
    for (int tries = 0; tries < 2; tries++)
        if (syscall(SYS_unlinkat, AT_FDCWD, path, 0) == 0 || errno == ENOENT)
            return true;
    return false;
}

/* mkostemp and unlink, without glibc's cancellation point. A process that is killed in between
 * leaves an empty file, so all of a user's go by the same name while they can: the next one finds
 * what is left and takes it away. Taking away what is not left, but another's that lives, does no
 * harm: it is the same file system of the same kernel, where he would do it at once. */
static int file_open_named(void)
{
    char path[sizeof cfg.template];
    size_t n = strlen(cfg.template), xs = n;
    memcpy(path, cfg.template, n + 1);
    while (xs && path[xs - 1] == 'X')
        xs--;
    uint64_t own = file_name_seed();
    for (int attempt = 0; attempt < 100; attempt++) {
        uint64_t seed = own;
        bool shared = own && attempt < 16;
        struct stat st;
        if (!shared && syscall(SYS_getrandom, &seed, sizeof seed, 0) != (long)sizeof seed)
            return -1;
        file_name_fill(path + xs, seed);
        int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
        if (fd >= 0 && file_unname(path))
            return fd;
        if (fd >= 0) { /* an empty file stays, not one with the program's data */
            int err = errno;
            syscall(SYS_close, fd);
            errno = err;
            return -1;
        }
        if (errno != EEXIST && errno != ENOENT)
            return -1;
        if (shared && lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0 &&
            st.st_uid == geteuid())
            file_unname(path);
    }
    return -1;
}

/* Moves a descriptor out of the way of the program: above what select() can hold if the limit
 * allows, never among the standard ones. */
static int file_raise(int fd, size_t limit)
{
    int want = limit > 4096 ? 2048 : (int)(limit / 2);
    int high = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, want);
    if (high < 0 && fd <= STDERR_FILENO)
        high = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (high < 0)
        return fd > STDERR_FILENO ? fd : -1;
    syscall(SYS_close, fd);
    return high;
}

static size_t limit_of(int resource)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    return limit.rlim_cur;
}

/* Some file systems refuse shared mappings. That must not show where we have reserved memory: there a
 * failed mmap leaves a gap, for anybody's next mapping. */
static enum reason folder_try_map(int fd)
{
    void *p = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return file_failed("mmap", errno);
    munmap(p, page_size);
    atomic_store(&folder.can_map, true);
    return REASON_NONE;
}

/* Makes an empty swap file. At most half of the descriptors are ours, the rest the program's; of
 * our half `spare` stay free, and some for what is kept open (ROOM). */
static enum reason file_create(struct file *f, size_t spare)
{
    f->fd = -1;
    size_t limit = limit_of(RLIMIT_NOFILE);
    if (atomic_load(&folder.files) + spare + min_size(limit / 8, KEPT_MAX) >= limit / 2)
        return REASON_DESCRIPTORS;
    if (!atomic_load_explicit(&folder.probed, memory_order_acquire))
        folder_probe();
    int fd = -1;
    if (!folder.no_tmpfile) {
        fd = file_open_unnamed();
        if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL))
            folder.no_tmpfile = true;
        else if (fd < 0)
            return file_failed("open", errno);
    }
    if (fd < 0 && (fd = file_open_named()) < 0)
        return file_failed("open", errno);
    int high = file_raise(fd, limit);
    struct stat st;
    if (high < 0 || fstat(high, &st) != 0) {
        syscall(SYS_close, high < 0 ? fd : high);
        return REASON_DESCRIPTORS;
    }
    enum reason why = atomic_load(&folder.can_map) ? REASON_NONE : folder_try_map(high);
    if (why) {
        syscall(SYS_close, high);
        return why;
    }
    if (folder.no_copy_on_write) {
        int flags = FS_NOCOW_FL;
        ioctl(high, FS_IOC_SETFLAGS, &flags); /* slower without, not wrong */
    }
    *f = (struct file){.fd = high, .dev = st.st_dev, .ino = st.st_ino};
    atomic_fetch_add(&folder.files, 1);
    return REASON_NONE;
}

/* The program may have closed our descriptor, and may use its number for a file of its own. */
static bool file_valid(const struct file *f)
{
    struct stat st;
    return f->fd >= 0 && fstat(f->fd, &st) == 0 && st.st_dev == f->dev && st.st_ino == f->ino;
}

static void file_close(struct file *f)
{
    if (f->fd < 0)
        return;
    if (file_valid(f))
        syscall(SYS_close, f->fd);
    f->fd = -1;
    atomic_fetch_sub(&folder.files, 1);
}

static void folder_count(size_t more, size_t less)
{
    size_t now = atomic_fetch_add(&folder.bytes, more - less) + more - less;
    size_t peak = atomic_load_explicit(&folder.bytes_peak, memory_order_relaxed);
    while (now > peak && more && !atomic_compare_exchange_weak(&folder.bytes_peak, &peak, now))
        ;
}

/* Is there room for that much and a margin? */
static int file_room(const struct file *f, size_t bytes, size_t margin)
{
    struct statfs fs;
    if (fstatfs(f->fd, &fs) != 0)
        return errno;
    size_t room = (size_t)fs.f_bavail * (size_t)fs.f_frsize;
    return room < margin || room - margin < bytes ? ENOSPC : 0;
}

static int file_fallocate(const struct file *f, int mode, size_t offset, size_t bytes)
{
    while (syscall(SYS_fallocate, f->fd, mode, offset, bytes) != 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

/* A request that can't be met must not fill the disk for others while it fails. On btrfs the first
 * store into each page asks for room again, though its block is reserved. Where there is none it
 * writes out every dirty page to find some, and a store across two pages never gets both of them
 * writable; older kernels may raise SIGBUS. So a margin stays free there: what is asked for must fit
 * beside it (statfs lags behind too far to tell). */
static int file_allocate(const struct file *f, size_t offset, size_t bytes)
{
    const size_t margin = 4 * mib;
    struct stat st;
    if (!cfg.reserve || folder.no_fallocate)
        return EOPNOTSUPP;
    if (bytes > 8 * mib && file_room(f, bytes, 0) == ENOSPC)
        return ENOSPC;
    if (!folder.no_copy_on_write || fstat(f->fd, &st) != 0)
        return file_fallocate(f, 0, offset, bytes);
    size_t end = max_size(round_up((size_t)st.st_size, page_size), offset + bytes);
    if (end + margin > limit_of(RLIMIT_FSIZE))
        return file_fallocate(f, 0, offset, bytes);
    int err = file_fallocate(f, FALLOC_FL_KEEP_SIZE, end, margin);
    if (!err)
        err = file_fallocate(f, 0, offset, bytes);
    file_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, end, margin);
    return err;
}

/* Makes [offset, offset + bytes) part of the file, with its disk blocks reserved unless the
 * user or the file system declines. The size limit is looked at first: going beyond it would
 * raise SIGXFSZ. */
static enum reason file_extend(const struct file *f, size_t offset, size_t bytes)
{
    if (offset + bytes > limit_of(RLIMIT_FSIZE))
        return REASON_FILE_SIZE;
    int err = file_allocate(f, offset, bytes);
    if (err == EOPNOTSUPP || err == ENOSYS || err == EINVAL) {
        err = 0;
        if (cfg.reserve) {
            folder.no_fallocate = true;
            err = file_room(f, bytes, 16 * mib); /* nobody guarantees it later */
        }
        struct stat st;
        if (!err && (fstat(f->fd, &st) != 0 || ((size_t)st.st_size < offset + bytes &&
                                                ftruncate(f->fd, (off_t)(offset + bytes)) != 0)))
            err = errno;
    }
    return err ? file_failed("reserving disk space", err) : REASON_NONE;
}

/* Gives the blocks of a range back; the range reads zero afterwards. */
static bool file_punch(const struct file *f, size_t offset, size_t bytes)
{
    return file_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes) == 0;
}

/* Makes a range read zero; its blocks stay reserved, or it stays sparse. */
static bool file_zero(const struct file *f, size_t offset, size_t bytes)
{
    int mode = cfg.reserve ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;
    return !folder.no_fallocate && file_fallocate(f, mode | FALLOC_FL_KEEP_SIZE, offset, bytes) == 0;
}

/* Maps [offset, offset + bytes) of the file at `at` of the reservation. `sharing` is MAP_SHARED
 * or, for what a fork has frozen, MAP_PRIVATE. */
static enum reason file_map(const struct file *f, size_t at, size_t bytes, size_t offset, int sharing)
{
    void *p = mmap(mem_at(at), bytes, PROT_READ | PROT_WRITE, sharing | MAP_FIXED | MAP_NORESERVE,
                   f->fd, (off_t)offset);
    if (p != MAP_FAILED)
        return REASON_NONE;
    int err = errno;
    void *gap = mmap(mem_at(at), bytes, PROT_NONE, anon_flags | MAP_FIXED_NOREPLACE, -1, 0);
    if (gap != MAP_FAILED && gap != mem_at(at))
        munmap(gap, bytes); /* a kernel that doesn't know the flag */
    return file_failed("mmap", err);
}

/* Writes memory to the file at the same distance from its start as from `from`. */
static enum reason file_write(const struct file *f, const char *from, size_t bytes, size_t offset)
{
    for (size_t done = 0; done < bytes;) {
        long n = syscall(SYS_pwrite64, f->fd, from + done, bytes - done, offset + done);
        if (n < 0 && errno != EINTR)
            return file_failed("write", errno);
        if (n > 0)
            done += (size_t)n;
    }
    return REASON_NONE;
}

/* ============================================================================================
 * === BUS  the last words of a program whose swapped memory can't be read or written
 *
 * The kernel raises SIGBUS for a page that the disk doesn't give back, or that needs a block where
 * the disk is full. The latter can be mended where only a hole beside a block of ours needs one. Else
 * the user is told why, and the default action ends the program, as it would without
 * us. Only where nobody else handles SIGBUS when the regions are opened; a program that sets a
 * handler of its own later replaces ours.
 * ========================================================================================= */
static atomic_bool bus_handled; /* our handler was set: slow operations leave SIGBUS to it */

/* The kernel caches files in large pages, which may span holes: a store to a block of ours that has
 * its disk blocks needs some for the hole beside it then, and may find the disk full. So the page is
 * written out and dropped, and comes back as a single one. A page that the disk did not give is not in
 * memory: that can't be mended. False: nor could this, or it was tried. */
static bool bus_mend(const void *p)
{
    static __thread uintptr_t last __attribute__((tls_model("initial-exec"))); /* each thread its own: two */
    static __thread unsigned tries __attribute__((tls_model("initial-exec"))); /* would begin anew for ever */
    uintptr_t page = round_down((uintptr_t)p, page_size), from = round_down(page, huge_size);
    tries = page == last ? tries + 1 : 0;
    last = page;
    unsigned char resident = 0;
    uintptr_t system_page = round_down((uintptr_t)p, (size_t)sysconf(_SC_PAGESIZE));
    if (tries >= 3 || syscall(SYS_mincore, system_page, (size_t)1, &resident) != 0 ||
        !(resident & 1) || syscall(SYS_msync, from, huge_size, MS_SYNC) != 0)
        return false;
    const int advice[] = {MADV_RANDOM, MADV_NOHUGEPAGE, MADV_POPULATE_READ, MADV_PAGEOUT};
    for (size_t i = 0; i < sizeof advice / sizeof advice[0]; i++)
        syscall(SYS_madvise, from, huge_size, advice[i]);
    return true;
}

/* Only async-signal-safe calls: report formats into its stack, without memory or locks. */
COLD static void bus_handler(int sig, siginfo_t *info, void *context)
{
    (void)context;
    int err = errno;
    struct sigaction die = {.sa_handler = SIG_DFL};
    if (info->si_code == BUS_ADRERR && mem_owns(info->si_addr) && bus_mend(info->si_addr)) {
        errno = err;
        return;
    }
    if (info->si_code > 0 && mem_owns(info->si_addr)) {
        char path[sizeof cfg.template];
        template_folder(path, sizeof path);
        report("can't read or write memory at %p that is swapped to %s (I/O error or disk full); "
               "ending the program with SIGBUS", info->si_addr, path);
    }
    sigaction(sig, &die, NULL);
    /* Again, with all that the kernel told: it comes when we return, where it came before. */
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), sig, info) != 0)
        raise(sig);
}

COLD static void bus_open(void)
{
    struct sigaction tell = {.sa_sigaction = bus_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK}, now;
    sigfillset(&tell.sa_mask);
    if (sigaction(SIGBUS, NULL, &now) == 0 && now.sa_handler == SIG_DFL && !(now.sa_flags & SA_SIGINFO))
        atomic_store(&bus_handled, sigaction(SIGBUS, &tell, NULL) == 0);
}

/* ============================================================================================
 * === LOCKS  the gate, and what every slow operation does first and last
 * ========================================================================================= */
static pthread_rwlock_t gate = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

static atomic_uint op_waiting; /* threads that can't go on before a lock of the monitor's: as good as
                                * stopped (MONITOR) */

struct op {
    sigset_t signals;
    int err;
};

/* No signal handler of this thread runs until pthread_sigmask sets what is saved here again. */
static void signals_hold(sigset_t *saved)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, saved);
}

/* Starts a slow operation: no signal handler of this thread runs until it ends (it could call
 * malloc or fork while we hold a lock), but BUS's; and no fork happens meanwhile. Not recursive. */
static void op_begin(struct op *op)
{
    sigset_t all;
    op->err = errno;
    sigfillset(&all);
    if (atomic_load_explicit(&bus_handled, memory_order_relaxed))
        sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, &op->signals);
    atomic_fetch_add(&op_waiting, 1);
    pthread_rwlock_rdlock(&gate);
    atomic_fetch_sub(&op_waiting, 1);
}

static void op_end(struct op *op)
{
    pthread_rwlock_unlock(&gate);
    pthread_sigmask(SIG_SETMASK, &op->signals, NULL);
    errno = op->err;
}

/* Counters for BIGMAAC_STATS and bigmaac_stats; each is atomic for itself. */
static struct counters {
    atomic_size_t bigmaacs, bigmaac_bytes, bigmaac_peak;
    atomic_size_t fries, fry_peak;
    atomic_size_t passed, grown, moved, recycled, brought_home, probes, changes;
    atomic_size_t fell_count[REASON_COUNT], fell_bytes[REASON_COUNT];
} count;

static void count_peak(atomic_size_t *now, atomic_size_t *peak, size_t more, size_t less)
{
    size_t value = atomic_fetch_add_explicit(now, more - less, memory_order_relaxed) + more - less;
    size_t high = atomic_load_explicit(peak, memory_order_relaxed);
    while (value > high && more > less && !atomic_compare_exchange_weak(peak, &high, value))
        ;
}

static inline void count_one(atomic_size_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* A request that was ours by size, and is served by the next malloc or not at all. */
COLD static void count_fell(enum reason why, size_t bytes)
{
    count_one(&count.fell_count[why]);
    atomic_fetch_add(&count.fell_bytes[why], bytes);
    static atomic_bool told[REASON_COUNT];
    if (cfg.verbose && first_time(&told[why]))
        report("a request of %zu bytes could not be served from disk: %s (told once per reason)",
               bytes, reason_names[why]);
}

/* ============================================================================================
 * === ROOM  how much memory the process may fill before the kernel has to page
 *
 * The smallest of the machine's available memory and what the memory cgroups (v1 or v2, all
 * levels) leave, in both cases with our own page cache counted as usable. Read at most every
 * 200 ms; the answer is a guide, so races between threads are harmless. What limits us may be out
 * of sight, in a container or a sandbox: then the answer is too large and `hidden` says so, and
 * only what the process suffers shows how much fits (PAGING).
 * ========================================================================================= */
static struct room {
    atomic_size_t bytes;    /* last answer */
    atomic_uint_fast64_t read_ms; /* when; 0: never */
    atomic_bool busy;       /* somebody is reading */
    atomic_bool found;      /* cgroup is right */
    atomic_bool hidden;     /* there may be a lower limit than the files say */
    bool v2;
    bool meminfo;           /* /proc/meminfo has been read once */
    char group[384];        /* our memory cgroup, as /proc/self/cgroup names it; "": there is none */
    char cgroup[384];       /* its folder; "": not to be seen */
    size_t top;             /* length of the mount point, with which the folder begins */
    char text[4096];        /* what is read; busy. A thread's stack may have 16 KiB in all */
} room = {.hidden = true};

static const uint64_t room_fresh_ms = 200;

/* The kernel's files that are read again and again stay open, on high descriptors: the monitor
 * must never take a low number, not for a moment, that the program counts on getting. */
static struct kept {
    char path[480];
    struct file file;
} kept[KEPT_MAX]; /* guarded by room.busy */

static __thread bool mon_self __attribute__((tls_model("initial-exec"))); /* the monitor's thread */
static __thread bool mon_starting __attribute__((tls_model("initial-exec"))); /* making it: what that
                                                              * allocates is nobody's data */

/* Requires room.busy. The text of such a file; 0: not there, or not open and not to be opened. */
static size_t read_kept(const char *path, char *text, size_t space, off_t from)
{
    struct kept *k = kept;
    while (k < kept + KEPT_MAX && k->path[0] && strcmp(k->path, path) != 0)
        k++;
    if (k == kept + KEPT_MAX || strlen(path) >= sizeof k->path)
        return mon_self ? 0 : read_text(path, text, space);
    if (!k->path[0] || !file_valid(&k->file)) {
        if (mon_self)
            return 0;
        struct stat st;
        int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        int high = fd < 0 ? -1 : file_raise(fd, limit_of(RLIMIT_NOFILE));
        if (high < 0 || high == fd || fstat(high, &st) != 0) {
            syscall(SYS_close, high < 0 ? fd : high); /* a low number is the program's */
            return read_text(path, text, space);
        }
        snprintf(k->path, sizeof k->path, "%s", path);
        k->file = (struct file){.fd = high, .dev = st.st_dev, .ino = st.st_ino};
    }
    long n = syscall(SYS_pread64, k->file.fd, text, space - 1, from);
    text[n > 0 ? n : 0] = 0;
    return n > 0 ? (size_t)n : 0;
}

/* In a child: /proc/self was its parent's. */
static void kept_forget(void)
{
    for (struct kept *k = kept; k < kept + KEPT_MAX && k->path[0]; k++) {
        if (file_valid(&k->file))
            syscall(SYS_close, k->file.fd);
        k->path[0] = 0;
    }
    atomic_store(&room.busy, false);
}

/* The number behind `name` at the start of a line; `missing` if there is no such line. */
static size_t text_value(const char *text, const char *name, size_t missing)
{
    size_t n = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, n) == 0)
            return strtoul(line + n, NULL, 10);
    }
    return missing;
}

static bool file_exists(const char *folder_path, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder_path, name);
    return access(path, F_OK) == 0;
}

/* Calls `see` with each line of a file of the kernel's until it returns true. False: there is no such file. */
COLD static bool room_lines(const char *path, bool (*see)(char *line))
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    size_t used = 0, space = sizeof room.text - 1;
    bool seen = false;
    for (long n = 1; fd >= 0 && n > 0 && !seen;) {
        n = syscall(SYS_read, fd, room.text + used, space - used);
        used += n > 0 ? (size_t)n : 0;
        room.text[used] = 0;
        char *line = room.text;
        for (char *end; !seen && (end = strchr(line, '\n')); line = end + 1) {
            *end = 0;
            seen = see(line);
        }
        used -= (size_t)(line - room.text);
        memmove(room.text, line, used);
        used = used == space ? 0 : used; /* longer than any that we understand */
    }
    if (fd >= 0)
        syscall(SYS_close, fd);
    return fd >= 0;
}

/* "4:memory:/PATH" of version 1, which has the controller if there is such a line; "0::/PATH" of version 2. */
COLD static bool room_see_group(char *line)
{
    char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
    bool v1 = path && (names = strstr(names, "memory")) && names < path;
    if (v1 || (path && strncmp(line, "0::", 3) == 0)) {
        snprintf(room.group, sizeof room.group, "%s", path + 1);
        room.v2 = !v1;
    }
    return v1;
}

/* Cuts the next word off a line; spaces in a path are written as \040. */
static char *next_word(char **line)
{
    char *word = *line + strspn(*line, " "), *to = word;
    size_t n = strcspn(word, " ");
    *line = word + n + (word[n] != 0);
    for (char *from = word; from < word + n; to++) {
        bool octal = from[0] == '\\' && isdigit((unsigned char)from[1]) && isdigit((unsigned char)from[2]) &&
                     isdigit((unsigned char)from[3]);
        *to = octal ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + from[3] - '0') : *from;
        from += octal ? 4 : 1;
    }
    *to = 0;
    return word;
}

/* "31 23 0:28 ROOT POINT OPTIONS [TAGS] - TYPE SOURCE OPTIONS" of /proc/self/mountinfo: does that show our group?
 * In a container its name may be the host's: then the top of such a mount is as much as can be told. */
COLD static bool room_see_mount(char *line)
{
    char *rest = strstr(line, " - ");
    if (!rest)
        return false;
    *rest = 0;
    rest += 3;
    for (int skipped = 0; skipped < 3; skipped++)
        next_word(&line);
    const char *root = next_word(&line), *point = next_word(&line), *type = next_word(&rest);
    next_word(&rest);
    if (strcmp(type, room.v2 ? "cgroup2" : "cgroup") != 0 || (!room.v2 && !strstr(next_word(&rest), "memory")))
        return false;
    size_t n = strcmp(root, "/") ? strlen(root) : 0;
    const char *below = room.group + n;
    bool inside = strncmp(room.group, root, n) == 0 && (*below == '/' || !*below);
    char folder_path[sizeof room.cgroup];
    snprintf(folder_path, sizeof folder_path, "%s%s", point, inside && strcmp(below, "/") ? below : "");
    inside = inside && file_exists(folder_path, "cgroup.procs");
    if (!inside && room.cgroup[0])
        return false;
    snprintf(room.cgroup, sizeof room.cgroup, "%s", inside ? folder_path : point);
    room.top = strlen(point);
    /* The first level of version 2 has no such file; where the top has one, levels above it are out of sight. */
    room.hidden = !inside || (room.v2 && file_exists(point, "cgroup.events"));
    return inside;
}

/* Finds the folder of our memory cgroup, wherever that file system is mounted. Nothing of it is certain if
 * /proc or the mounts can't be read: no descriptor at the moment, perhaps, so the next one tries again. */
COLD static void room_find_cgroup(void)
{
    room.group[0] = 0;
    if (!room_lines("/proc/self/cgroup", room_see_group))
        return;
    if (room.group[0]) {
        room.cgroup[0] = 0;
        if (!room_lines("/proc/self/mountinfo", room_see_mount))
            return;
    }
    room.hidden &= room.group[0] != 0;
    atomic_store(&room.found, true);
}

static size_t cgroup_number(const char *path, const char *name, size_t missing)
{
    char file[512], text[64];
    snprintf(file, sizeof file, "%s/%s", path, name);
    if (!read_kept(file, text, sizeof text, 0) || !isdigit((unsigned char)text[0]))
        return missing;
    return strtoul(text, NULL, 10);
}

/* What one level leaves: its limit less what is in use there and can't be dropped. In version 1 it knows its
 * parents' limits, too. SIZE_MAX: no limit. */
static size_t cgroup_room(const char *path)
{
    size_t limit = cgroup_number(path, room.v2 ? "memory.max" : "memory.limit_in_bytes", SIZE_MAX);
    if (room.v2)
        limit = min_size(limit, cgroup_number(path, "memory.high", SIZE_MAX));
    bool lowest = !room.v2 && strcmp(path, room.cgroup) == 0;
    if (limit >= (size_t)1 << 60 && !lowest)
        return SIZE_MAX;
    char file[512];
    snprintf(file, sizeof file, "%s/memory.stat", path);
    size_t n = read_kept(file, room.text, sizeof room.text, 0);
    limit = min_size(limit, n && lowest ? text_value(room.text, "hierarchical_memory_limit ", SIZE_MAX) : SIZE_MAX);
    if (limit >= (size_t)1 << 60 || !n)
        return limit;
    size_t cache = text_value(room.text, room.v2 ? "file " : "total_cache ", 0);
    size_t shmem = text_value(room.text, room.v2 ? "shmem " : "total_shmem ", 0);
    size_t used = cgroup_number(path, room.v2 ? "memory.current" : "memory.usage_in_bytes", 0);
    cache = cache > shmem ? cache - shmem : 0;
    used = used > cache ? used - cache : 0;
    return limit > used ? limit - used : 0;
}

/* Can the monitor read that level? What it can't, it leaves to the program's threads. */
static bool room_is_kept(const char *path)
{
    for (struct kept *k = kept; k < kept + KEPT_MAX && k->path[0]; k++)
        if (strncmp(k->path, path, strlen(path)) == 0 && strchr(k->path + strlen(path) + 1, '/') == NULL)
            return true;
    return false;
}

/* Where /proc shows processes only: what is free, and half of the rest, which may be the page cache's. */
static size_t room_by_sysinfo(void)
{
    struct sysinfo now;
    if (syscall(SYS_sysinfo, &now) != 0)
        return SIZE_MAX;
    size_t free = now.freeram + now.bufferram;
    return (free + (now.totalram - min_size(now.totalram, free)) / 2) * max_size(now.mem_unit, 1);
}

static size_t room_read(void)
{
    if (!atomic_load(&room.found) && !mon_self)
        room_find_cgroup();
    size_t least = 0;
    if (read_kept("/proc/meminfo", room.text, sizeof room.text, 0)) {
        least = text_value(room.text, "MemAvailable:", SIZE_MAX >> 10) << 10;
        room.meminfo = true;
    } else if (room.meminfo) {
        atomic_store(&room.read_ms, 0); /* as before, until a thread of the program can open it */
        return atomic_load(&room.bytes);
    } else {
        least = room_by_sysinfo();
    }
    char path[sizeof room.cgroup];
    snprintf(path, sizeof path, "%s", room.cgroup);
    while (path[0] && strlen(path) >= room.top && !(mon_self && !room_is_kept(path))) {
        least = min_size(least, cgroup_room(path)); /* every level up to the root may have one */
        *strrchr(path, '/') = 0;
    }
    return least;
}

/* Bytes that this process's data may take before paging begins. */
static size_t room_bytes(void)
{
    uint64_t now = now_ms();
    if (now - atomic_load(&room.read_ms) > room_fresh_ms || !atomic_load(&room.read_ms)) {
        if (atomic_exchange(&room.busy, true))
            return atomic_load(&room.bytes);
        int err = errno; /* files that a level of cgroup v2 has not are ENOENT */
        atomic_store(&room.read_ms, now);
        atomic_store(&room.bytes, room_read());
        errno = err;
        atomic_store(&room.busy, false);
    }
    return atomic_load(&room.bytes);
}

/* ============================================================================================
 * === BIG  bigmaacs: an extent, a file and a mapping each
 *
 * The record of a bigmaac is reached from its extent (aux). big.lock guards the space, the
 * records' chains and the warm list; a record whose extent is BUSY belongs to one thread.
 *
 *     FREE --alloc--> BUSY --publish--> LIVE --claim--> BUSY --destroy--> FREE
 *                      ^                                 |
 *                      +--------- take --- WARM <-- put -+
 *
 * From 2 MiB on, extents are whole multiples of 2 MiB: large pages and page-table moves need
 * it, and address space costs nothing. File and mapping cover only what was asked for.
 * ========================================================================================= */
enum { BIG_PARTS = 8 }; /* of a large bigmaac, each with a paging policy of its own */

struct big {
    size_t size;         /* bytes the program asked for */
    size_t mapped;       /* bytes of the file, all mapped; a multiple of the page size */
    struct file file;    /* mapped MAP_SHARED; once frozen, MAP_PRIVATE */
    struct file own;     /* frozen ones: where changed granules come home to; fd -1: none */
    uint64_t *home;      /* bit per granule: mapped MAP_SHARED from `own`; NULL: none is */
    uint32_t extent;     /* in big.space */
    uint32_t next;       /* chain of unused records */
    uint32_t warm_older; /* records freed before and after this one, while WARM; 0: none */
    uint32_t warm_newer;
    uint64_t freed_ms;   /* when it became WARM */
    bool in_use;         /* BUSY, LIVE or WARM: for those who walk the records */
    bool ordinary;       /* opted out: private anonymous memory at the same address */
    bool frozen;         /* a fork has shared `file` with another process: never write to it */
    bool own_frozen;     /* and `own` as well */
    bool stray;          /* `file` is still mapped where the block was before it moved */
    uint8_t advice;      /* enum bigmaac_advice of the program */
    uint8_t policy[BIG_PARTS];  /* enum policy of each part (PAGING); big.lock */
    uint8_t piece;              /* log2 of the pages of a block, where WATCHED; big.lock */
    uint16_t policy_changes;    /* how often the monitor changed its mind */
    uint32_t generation;        /* of the record: the monitor's copies may be stale */
};

static struct {
    pthread_mutex_t lock;
    struct space space;
    struct pool records;      /* struct big; number 0 is nobody */
    uint32_t record_count;    /* ever used */
    uint32_t record_unused;   /* chain */
    uint32_t records_in_use;
    uint32_t warm_oldest, warm_newest;
    size_t live_bytes;        /* mapped bytes of LIVE and BUSY records */
    size_t warm_bytes;        /* and of WARM ones */
    uint32_t generation;      /* of records, counted on */
    uint32_t map_limit;       /* records that vm.max_map_count leaves room for; 0: not known yet */
    uint32_t map_checked;     /* records in use when that was found */
    uint64_t map_checked_ms;  /* and when */
    struct bins warm;         /* WARM extents by their pages */
} big = {.space.quick_from = QUICK_FROM, .lock = PTHREAD_MUTEX_INITIALIZER};

static inline struct big *big_at(uint32_t i)
{
    return (struct big *)(void *)big.records.start + i;
}

static inline uint32_t big_index(const struct big *r) { return (uint32_t)(r - big_at(0)); }
static inline struct extent *big_extent(const struct big *r) { return extent_at(&big.space, r->extent); }
static inline size_t big_offset(const struct big *r) { return extent_offset(&big.space, big_extent(r)); }
static inline size_t big_capacity(const struct big *r) { return to_bytes(big_extent(r)->pages); }

/* Address space for that many bytes of file. */
static inline size_t big_span(size_t bytes)
{
    return bytes < huge_size ? bytes : round_up(bytes, huge_size);
}

/* Mappings of the process now: lines of /proc/self/maps. */
COLD static size_t mappings_count(void)
{
    char text[1024];
    size_t lines = 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
    for (long n; fd >= 0 && (n = syscall(SYS_read, fd, text, sizeof text)) > 0;)
        for (const char *at = text; (at = memchr(at, '\n', (size_t)(text + n - at))); at++)
            lines++;
    if (fd >= 0)
        syscall(SYS_close, fd);
    return lines;
}

/* Of the mappings that the program leaves, a quarter may be ours; a bigmaac is counted as two,
 * since there may be a gap beside it. */
COLD static void big_find_map_limit(void)
{
    char text[32];
    size_t most = read_text("/proc/sys/vm/max_map_count", text, sizeof text) ? strtoul(text, NULL, 10)
                                                                          : 65530;
    size_t used = guess_32(&big.records_in_use) ? mappings_count() : 0;
    pthread_mutex_lock(&big.lock);
    size_t ours = 2 * (size_t)big.records_in_use, others = used > ours ? used - ours : 0;
    big.map_limit = (uint32_t)max_size(min_size((most > others ? most - others : 0) / 8, 1 << 20), 1);
    big.map_checked = big.records_in_use;
    big.map_checked_ms = now_ms();
    pthread_mutex_unlock(&big.lock);
}

/* Looks at the limit again after every few hundred more bigmaacs, and while it is reached. */
GUESSES static void big_check_map_limit(void)
{
    bool reached = big.records_in_use >= big.map_limit && now_ms() - big.map_checked_ms > 1000;
    if (!big.map_limit || reached || big.records_in_use >= big.map_checked + 512)
        big_find_map_limit();
}

/* Requires big.lock. 0: no more records, or none that the kernel has mappings for. */
static uint32_t big_record_new(void)
{
    if (big.records_in_use >= big.map_limit)
        return 0;
    uint32_t i = big.record_unused;
    if (i)
        big.record_unused = big_at(i)->next;
    else if (pool_commit(&big.records, (big.record_count + 2) * sizeof(struct big)))
        i = ++big.record_count;
    if (i) {
        *big_at(i) = (struct big){.file.fd = -1, .own.fd = -1, .in_use = true,
                                  .generation = ++big.generation};
        big.records_in_use++;
    }
    return i;
}

/* Requires big.lock. */
static void big_record_forget(struct big *r)
{
    r->in_use = false;
    r->next = big.record_unused;
    big.record_unused = big_index(r);
    big.records_in_use--;
}

/* A BUSY extent with a record, for `bytes` of file. NULL: *why says what ran out. */
static struct big *big_reserve(size_t bytes, size_t align, enum reason *why)
{
    size_t span = big_span(bytes);
    align = max_size(align, bytes < huge_size ? page_size : huge_size);
    *why = REASON_ADDRESS_SPACE;
    if (span < bytes || to_pages(span) >= big.space.pages)
        return NULL;
    struct big *r = NULL;
    big_check_map_limit();
    pthread_mutex_lock(&big.lock);
    uint32_t i = big_record_new();
    if (!i)
        *why = REASON_MAPPINGS;
    uint32_t e = i ? extent_alloc(&big.space, KIND_CLEAN, (uint32_t)to_pages(span),
                                  (uint32_t)to_pages(align)) : 0;
    if (e) {
        r = big_at(i);
        r->extent = e;
        r->mapped = bytes;
        extent_at(&big.space, e)->aux = i;
        big.live_bytes += bytes;
        *why = REASON_NONE;
    } else if (i) {
        big_record_forget(big_at(i));
    }
    pthread_mutex_unlock(&big.lock);
    return r;
}

/* Undoes big_reserve. The range must be unmapped, the file closed. */
static void big_unreserve(struct big *r)
{
    pthread_mutex_lock(&big.lock);
    big.live_bytes -= r->mapped;
    extent_free(&big.space, r->extent, KIND_CLEAN);
    big_record_forget(r);
    pthread_mutex_unlock(&big.lock);
}

/* Memory for the granules' bits, straight from the kernel: blocks this large are few. */
static size_t home_bytes(const struct big *r)
{
    return round_up((r->mapped / huge_size + 64) / 8, page_size);
}

static void big_close_files(struct big *r)
{
    size_t bytes = r->file.fd >= 0 ? r->mapped : 0;
    for (size_t w = 0; r->home && w <= r->mapped / huge_size / 64; w++)
        bytes += (size_t)__builtin_popcountl(r->home[w]) * huge_size;
    folder_count(0, bytes);
    file_close(&r->file);
    file_close(&r->own);
    if (r->home)
        munmap(r->home, home_bytes(r));
    r->home = NULL;
    r->frozen = r->own_frozen = false;
}

/* The kernel is out of mappings: the range stays mapped until it is used again. Memory and disk
 * blocks go back all the same, where no other process has a share in them. */
COLD static void big_empty(struct big *r)
{
    mem_advise(big_offset(r), r->mapped, MADV_DONTNEED);
    const struct file *f = r->frozen ? &r->own : &r->file;
    if (!(r->frozen && r->own_frozen) && file_valid(f) && ftruncate(f->fd, 0) != 0)
        file_failed("giving disk space back", errno);
}

/* Gives a BUSY bigmaac's address space, memory, file and disk blocks back. Deleting a large
 * file takes long: no lock is held. */
static void big_destroy(struct big *r)
{
    if (!mem_unmap(big_offset(r), r->mapped) || r->stray)
        big_empty(r);
    big_close_files(r);
    big_unreserve(r);
}

/* Parts are a power of 2 of at least 64 MiB, at most BIG_PARTS of them. */
static size_t big_part_bytes(size_t mapped)
{
    size_t bytes = (size_t)64 << 20;
    while (bytes * BIG_PARTS < mapped)
        bytes *= 2;
    return bytes;
}

/* Tells the kernel about every part. `all`: also those that are as a new mapping is. */
static void big_apply_policy(const struct big *r, bool all)
{
    size_t part = big_part_bytes(r->mapped);
    for (size_t from = 0, to; from < r->mapped; from = to) {
        enum policy policy = r->policy[from / part];
        for (to = from; to < r->mapped && r->policy[to / part] == policy;)
            to = min_size(to + part, r->mapped);
        if (all || policy != POLICY_NORMAL)
            mem_set_policy(big_offset(r) + from, to - from, policy, r->piece);
    }
}

/* The policy before anything is known. Large pages fill faster where readahead is short. */
static enum policy policy_initial(size_t bytes)
{
    static const enum policy fixed[] = {POLICY_NORMAL, POLICY_HUGE, POLICY_NORMAL, POLICY_RANDOM};
    if (cfg.paging != PAGING_ADAPTIVE)
        return fixed[cfg.paging];
    return bytes >= 64 * mib ? POLICY_HUGE : POLICY_NORMAL;
}

static const size_t files_for_fries = 2; /* where large requests go when descriptors run out */

/* File and mapping for a fresh BUSY record. */
static enum reason big_back(struct big *r)
{
    enum reason why = file_create(&r->file, files_for_fries);
    if (why)
        return why;
    why = file_extend(&r->file, 0, r->mapped);
    if (!why)
        why = file_map(&r->file, big_offset(r), r->mapped, 0, MAP_SHARED);
    if (why)
        file_close(&r->file);
    else
        folder_count(r->mapped, 0);
    return why;
}

/* Publishes a BUSY record as the program's block of `size` bytes. */
static void *big_publish(struct big *r, size_t size)
{
    void *p = mem_at(big_offset(r));
    r->size = size;
    count_one(&count.bigmaacs);
    count_peak(&count.bigmaac_bytes, &count.bigmaac_peak, size, 0);
    pthread_mutex_lock(&big.lock);
    big_extent(r)->state = EXTENT_LIVE;
    pthread_mutex_unlock(&big.lock);
    return p;
}

/* Requires big.lock. Another thread works on the extent: lets it go on. The caller looks again. */
static void big_wait(void)
{
    pthread_mutex_unlock(&big.lock);
    sched_yield();
    pthread_mutex_lock(&big.lock);
}

/* Takes the live bigmaac that starts at p for one operation; NULL: none does. Several threads may ask
 * for its size, or zero parts of it, at the same time. */
static struct big *big_claim(const void *p)
{
    struct big *r = NULL;
    uint32_t i;
    pthread_mutex_lock(&big.lock);
    while ((i = extent_lookup(&big.space, mem_offset(p))) && extent_at(&big.space, i)->state == EXTENT_BUSY)
        big_wait();
    if (i && extent_at(&big.space, i)->state == EXTENT_LIVE) {
        extent_at(&big.space, i)->state = EXTENT_BUSY;
        r = big_at(extent_at(&big.space, i)->aux);
    }
    pthread_mutex_unlock(&big.lock);
    return r;
}

/* Ends an operation that big_claim began. */
static void big_unclaim(struct big *r)
{
    pthread_mutex_lock(&big.lock);
    big_extent(r)->state = EXTENT_LIVE;
    pthread_mutex_unlock(&big.lock);
}

/* --- warm bigmaacs: freed, but mapped and resident, for the next request of that size -------- */

static const uint64_t warm_keep_ms = 1000;  /* reuse is soon or never; writeback starts later */
static const size_t warm_clear_max = (size_t)256 << 20; /* above, calloc gets a fresh file */

/* Requires big.lock. */
static void warm_unlink(struct big *r)
{
    bins_remove(&big.space, &big.warm, r->extent);
    if (r->warm_older)
        big_at(r->warm_older)->warm_newer = r->warm_newer;
    else
        big.warm_oldest = r->warm_newer;
    if (r->warm_newer)
        big_at(r->warm_newer)->warm_older = r->warm_older;
    else
        big.warm_newest = r->warm_older;
    big.warm_bytes -= r->mapped;
    big.live_bytes += r->mapped;
    big_extent(r)->state = EXTENT_BUSY;
}

/* May that much more dead data stay in memory? Only where the live data leaves plenty. */
GUESSES static bool warm_allowed(size_t bytes)
{
    if (cfg.recycle != recycle_auto && big.warm_bytes + bytes > cfg.recycle)
        return false;
    size_t all = big.live_bytes + big.warm_bytes; /* `bytes` is part of the live ones */
    size_t usable = room_bytes() / 4 * 3;
    return all <= usable && big.warm_bytes + bytes <= usable / 2;
}

/* Keeps a freed BUSY bigmaac warm. False: the caller destroys it. So it does where the program has made a
 * hole; what it has protected is made writable again. */
static bool warm_put(struct big *r)
{
    if (cfg.recycle == 0 || r->ordinary || r->frozen || r->advice || !warm_allowed(r->mapped) ||
        mprotect(mem_at(big_offset(r)), r->mapped, PROT_READ | PROT_WRITE) != 0)
        return false;
    r->freed_ms = now_ms();
    pthread_mutex_lock(&big.lock);
    bins_insert(&big.space, &big.warm, r->extent);
    r->warm_newer = 0;
    r->warm_older = big.warm_newest;
    if (big.warm_newest)
        big_at(big.warm_newest)->warm_newer = big_index(r);
    else
        big.warm_oldest = big_index(r);
    big.warm_newest = big_index(r);
    big.warm_bytes += r->mapped;
    big.live_bytes -= r->mapped;
    big_extent(r)->state = EXTENT_WARM;
    pthread_mutex_unlock(&big.lock);
    return true;
}

/* A warm bigmaac for the request, BUSY; at most an eighth of it is waste. NULL: none fits. */
static struct big *warm_take(size_t bytes, size_t align)
{
    struct big *r = NULL;
    size_t span = big_span(bytes);
    align = max_size(align, page_size);
    pthread_mutex_lock(&big.lock);
    if (big.warm_bytes) {
        uint32_t i = bins_find(&big.space, &big.warm, (uint32_t)to_pages(span),
                               (uint32_t)to_pages(align));
        struct big *found = i ? big_at(extent_at(&big.space, i)->aux) : NULL;
        bool aligned = found && (big_offset(found) & (align - 1)) == 0;
        if (aligned && found->mapped >= bytes && found->mapped - bytes <= bytes / 8) {
            r = found;
            warm_unlink(r);
        }
    }
    pthread_mutex_unlock(&big.lock);
    if (r)
        count_one(&count.recycled);
    return r;
}

/* Drops the warm bigmaacs freed before `before` (now_ms). Returns whether others are left. */
static bool warm_expire(uint64_t before)
{
    for (;;) {
        struct big *r = NULL;
        pthread_mutex_lock(&big.lock);
        bool any = big.warm_oldest != 0;
        if (any && big_at(big.warm_oldest)->freed_ms < before) {
            r = big_at(big.warm_oldest);
            warm_unlink(r);
        }
        pthread_mutex_unlock(&big.lock);
        if (!r)
            return any;
        big_destroy(r);
    }
}

/* --- the operations ------------------------------------------------------------------------ */

static bool fry_give_back(void);

/* The disk is full: what is dead gives its blocks back. False: nothing was. */
static bool disk_give_back(void)
{
    bool warm = big.warm_bytes != 0;
    warm_expire(UINT64_MAX);
    return fry_give_back() || warm;
}

/* Is less than half of the block in memory? A few samples tell. */
static bool big_is_sparse(const struct big *r)
{
    enum { SAMPLES = 64 };
    unsigned resident = 0;
    for (size_t i = 0; i < SAMPLES; i++) {
        unsigned char in = 0;
        size_t at = round_down(r->mapped / SAMPLES * i, page_size);
        resident += mem_resident(big_offset(r) + at, page_size, &in) && in & 1;
    }
    return resident < SAMPLES / 2;
}

/* Zeroes what calloc gets from the warm list: by hand what is in memory, for the program will want it
 * there; else in the file, so that pages which nobody has touched are not brought in for it. False: a
 * fresh file is better. */
static bool big_clear(struct big *r, size_t bytes)
{
    bool large = bytes > warm_clear_max;
    if ((large || big_is_sparse(r)) && file_valid(&r->file) && file_zero(&r->file, 0, r->mapped))
        return true;
    if (!large)
        memset(mem_at(big_offset(r)), 0, bytes);
    return !large;
}

/* Allocates a bigmaac. `align` is a power of 2 up to align_max. Returns NULL and *why. */
static void *big_alloc(size_t size, size_t align, bool zero, enum reason *why)
{
    size_t bytes = round_up(size, page_size);
    struct big *r = warm_take(bytes, align);
    if (r && zero && !big_clear(r, bytes)) {
        big_destroy(r);
        r = NULL;
    }
    if (r)
        return big_publish(r, size);
    r = big_reserve(bytes, align, why);
    if (!r)
        return NULL;
    *why = big_back(r);
    if (*why == REASON_DISK_FULL && disk_give_back())
        *why = big_back(r);
    if (*why) {
        big_unreserve(r);
        return NULL;
    }
    memset(r->policy, policy_initial(r->mapped), sizeof r->policy);
    big_apply_policy(r, false);
    return big_publish(r, size);
}

/* Frees the bigmaac at p. False: p starts none. */
static bool big_free(void *p)
{
    struct big *r = big_claim(p);
    if (!r)
        return false;
    count_peak(&count.bigmaac_bytes, &count.bigmaac_peak, 0, r->size);
    if (guess_32(&big.warm_oldest))
        warm_expire(now_ms() - warm_keep_ms);
    if (!warm_put(r))
        big_destroy(r);
    return true;
}

/* A new file with the content of the block, mapped over it: for blocks whose descriptor the
 * program has closed, and for frozen ones. The kernel keeps the old file until nobody maps it. */
static enum reason big_refile(struct big *r)
{
    struct file fresh;
    enum reason why = file_create(&fresh, files_for_fries);
    if (why)
        return why;
    why = file_extend(&fresh, 0, r->mapped);
    if (!why)
        why = file_write(&fresh, mem_at(big_offset(r)), r->mapped, 0);
    if (!why)
        why = file_map(&fresh, big_offset(r), r->mapped, 0, MAP_SHARED);
    if (why) {
        file_close(&fresh);
        return why;
    }
    big_close_files(r);
    folder_count(r->mapped, 0);
    r->file = fresh;
    big_apply_policy(r, false);
    return REASON_NONE;
}

/* Moves the pages to a roomier extent and maps the file's new tail behind them, the tail first:
 * after a failure everything is where it was. Where mremap can't, mapping the file there does
 * the same, only that the pages are looked up again. Nothing is copied. */
static enum reason big_move(struct big *r, size_t bytes)
{
    uint32_t old = r->extent, roomy = 0;
    size_t from = big_offset(r);
    size_t spans[] = {big_span(bytes + bytes / 2), big_span(bytes)};
    pthread_mutex_lock(&big.lock);
    for (int i = 0; i < 2 && !roomy && to_pages(spans[i]) < big.space.pages; i++)
        roomy = extent_alloc(&big.space, KIND_CLEAN, (uint32_t)to_pages(spans[i]),
                             (uint32_t)to_pages(spans[i] < huge_size ? page_size : huge_size));
    if (roomy)
        extent_at(&big.space, roomy)->aux = big_index(r);
    pthread_mutex_unlock(&big.lock);
    if (!roomy)
        return REASON_ADDRESS_SPACE;
    size_t to = extent_offset(&big.space, extent_at(&big.space, roomy));
    enum reason why = file_map(&r->file, to + r->mapped, bytes - r->mapped, r->mapped, MAP_SHARED);
    mem_set_policy(from, r->mapped, POLICY_NORMAL, 0); /* makes it one mapping: older kernels move no two at once */
    if (!why && mremap(mem_at(from), r->mapped, r->mapped,
                       MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, mem_at(to)) == MAP_FAILED)
        why = file_map(&r->file, to, r->mapped, 0, MAP_SHARED);
    if (why)
        mem_unmap(to, bytes);
    else if (!mem_unmap(from, r->mapped))
        r->stray = true;
    pthread_mutex_lock(&big.lock);
    r->extent = why ? old : roomy;
    extent_free(&big.space, why ? roomy : old, KIND_CLEAN);
    pthread_mutex_unlock(&big.lock);
    if (!why)
        count_one(&count.moved);
    return why;
}

/* Address space for `bytes` of file, and the file's tail mapped there; in place or elsewhere. */
static enum reason big_map_tail(struct big *r, size_t bytes)
{
    bool fits = bytes <= big_capacity(r);
    if (!fits && (big_offset(r) & (huge_size - 1)) == 0 && to_pages(big_span(bytes)) < big.space.pages) {
        pthread_mutex_lock(&big.lock);
        fits = extent_grow(&big.space, r->extent, (uint32_t)to_pages(big_span(bytes)));
        pthread_mutex_unlock(&big.lock);
    }
    if (!fits)
        return big_move(r, bytes);
    return file_map(&r->file, big_offset(r) + r->mapped, bytes - r->mapped, r->mapped, MAP_SHARED);
}

static enum reason big_grow(struct big *r, size_t bytes)
{
    if (to_pages(big_span(bytes)) >= big.space.pages)
        return REASON_ADDRESS_SPACE; /* no file will ever be as large */
    enum reason why = !r->frozen && file_valid(&r->file) ? REASON_NONE : big_refile(r);
    if (why)
        return why;
    size_t more = bytes - r->mapped;
    why = file_extend(&r->file, r->mapped, more);
    if (why == REASON_DISK_FULL && disk_give_back())
        why = file_extend(&r->file, r->mapped, more);
    if (!why)
        why = big_map_tail(r, bytes);
    if (why) {
        if (ftruncate(r->file.fd, (off_t)r->mapped) != 0)
            file_failed("giving disk space back", errno);
        return why;
    }
    folder_count(more, 0);
    pthread_mutex_lock(&big.lock);
    if (big_part_bytes(bytes) != big_part_bytes(r->mapped)) /* parts have moved: begin anew */
        memset(r->policy, r->policy[0], sizeof r->policy);
    r->mapped = bytes;
    big.live_bytes += more;
    pthread_mutex_unlock(&big.lock);
    big_apply_policy(r, true);
    if (r->advice == BIGMAAC_KEEP)
        mlock(mem_at(big_offset(r)), r->mapped); /* as far as RLIMIT_MEMLOCK lets us */
    count_one(&count.grown);
    return REASON_NONE;
}

/* Gives the tail back: blocks, pages and address space. */
static void big_shrink(struct big *r, size_t bytes)
{
    if (r->home)
        return; /* parts have come home: the bits would not fit any more, so it stays larger */
    size_t tail = r->mapped - bytes, at = big_offset(r) + bytes;
    bool valid = file_valid(&r->file);
    if (!r->frozen && !valid)
        mem_advise(at, tail, MADV_REMOVE); /* needs no descriptor */
    if (!mem_unmap(at, tail))
        return; /* out of mappings: the block just stays larger */
    if (!r->frozen && valid && ftruncate(r->file.fd, (off_t)bytes) != 0)
        file_failed("giving disk space back", errno);
    folder_count(0, tail);
    pthread_mutex_lock(&big.lock);
    r->mapped = bytes;
    big.live_bytes -= tail;
    extent_trim(&big.space, r->extent, (uint32_t)to_pages(big_span(bytes)), KIND_CLEAN);
    pthread_mutex_unlock(&big.lock);
}

/* Resizes a claimed bigmaac. The block is unharmed when a reason comes back. */
static enum reason big_resize(struct big *r, size_t size)
{
    size_t bytes = round_up(size, page_size);
    enum reason why = REASON_NONE;
    if (bytes > r->mapped)
        why = big_grow(r, bytes);
    else if (bytes < r->mapped)
        big_shrink(r, bytes);
    if (!why) {
        count_peak(&count.bigmaac_bytes, &count.bigmaac_peak, size, r->size);
        r->size = size;
    }
    return why;
}

#ifdef BIGMAAC_PREFIX
/* Requires big.lock, and that nobody is in the middle of an operation. What is wrong with the
 * records and the warm list; NULL if nothing is. */
static const char *big_check(void)
{
    uint32_t in_use = 0, unused = 0, warm = 0;
    size_t live_bytes = 0, warm_bytes = 0, asked_bytes = 0;
    for (uint32_t i = 1; i <= big.record_count; i++) {
        const struct big *r = big_at(i);
        if (!r->in_use)
            continue;
        const struct extent *e = big_extent(r);
        in_use++;
        if ((e->state != EXTENT_LIVE && e->state != EXTENT_WARM) || e->aux != i)
            return "a record and its extent don't belong together";
        if (r->size > r->mapped || r->mapped > big_capacity(r) || r->mapped % page_size)
            return "a bigmaac is larger than its mapping, or that than its extent";
        if (r->home && (!r->frozen || r->own.fd < 0))
            return "a bigmaac that is not frozen has parts at home";
        warm += e->state == EXTENT_WARM;
        *(e->state == EXTENT_WARM ? &warm_bytes : &live_bytes) += r->mapped;
        asked_bytes += e->state == EXTENT_LIVE ? r->size : 0;
    }
    for (uint32_t i = big.record_unused; i; i = big_at(i)->next)
        unused++;
    for (uint32_t i = 1; i <= big.space.extent_count; i++) {
        const struct extent *e = extent_at(&big.space, i);
        bool taken = e->state == EXTENT_BUSY || e->state == EXTENT_LIVE || e->state == EXTENT_WARM;
        if (taken && (!big_at(e->aux)->in_use || big_at(e->aux)->extent != i))
            return "an extent in use is no bigmaac's";
    }
    if (in_use != big.records_in_use || in_use + unused != big.record_count)
        return "records were lost";
    if (live_bytes != big.live_bytes || warm_bytes != big.warm_bytes || asked_bytes != count.bigmaac_bytes)
        return "bytes of bigmaacs are miscounted";
    for (uint32_t i = big.warm_oldest, older = 0; i; older = i, i = big_at(i)->warm_newer, warm--)
        if (big_extent(big_at(i))->state != EXTENT_WARM || big_at(i)->warm_older != older ||
            (!big_at(i)->warm_newer && big.warm_newest != i))
            return "the warm list is broken";
    for (unsigned bin = 0; bin < BIN_COUNT; bin++)
        for (uint32_t i = big.warm.head[bin]; i; i = extent_at(&big.space, i)->link_next)
            if (extent_at(&big.space, i)->state != EXTENT_WARM)
                return "what hangs among the warm ones isn't";
    return warm ? "a warm bigmaac is not in the list" : NULL;
}
#endif

/* ============================================================================================
 * === FRY  small blocks: slabs and page runs in one shared file
 *
 * Requests up to 64 KiB come from slabs, one size class each; larger ones are page runs.
 *
 *     slab     | block | block | block | ... |     in the file, only the program's bytes
 *     struct   header, free bits, remote bits      in ordinary memory
 *
 * A slab belongs to one heap, a heap to one thread. The owner allocates and frees by plain bit
 * operations. Another thread frees by setting remote bits and then adding to the remote count;
 * the one that raises it from 0 pushes the slab on the owner's stack of visitors, where the owner
 * collects it. Small blocks wait in the freeing thread's own heap before that, up to a word of
 * bits for each class, so that caches are not passed to and fro for each. A slab dies only when
 * all its frees were counted, so nobody can still be about to push it. When a thread ends, its
 * heap becomes idle (fry.lock): the next thread takes it over whole, and until then any thread
 * in need of a slab may steal from it.
 *
 * Who may touch what: a heap and the plain fields of its slabs - the owner; idle heaps and
 * everything of theirs - whoever holds fry.lock; remote bits, count and visitors - anybody.
 * ========================================================================================= */
enum {
    CLASS_COUNT = 80,
    CLASS_LINEAR = 8,          /* 16, 32 ... 128, then eight classes per doubling */
    SLAB_MAX = 64 * 1024,      /* the largest class */
    SLAB_BYTES = 64 * 1024,    /* of slabs with small blocks */
    SLAB_WORDS = 64,           /* bitmap words at most: the summary has 64 bits */
    META_UNIT = 64,
    PENDING_CLASSES = CLASS_LINEAR + 8 * 4, /* up to 2 KiB */
};

struct slab {
    /* Everybody who frees a block reads this cache line; it changes seldom. */
    char *start;
    uint64_t reciprocal;          /* block index = (offset * reciprocal) >> 64 */
    _Atomic(struct heap *) owner;
    uint32_t size;                /* bytes of a block */
    uint16_t blocks;
    uint16_t words;
    uint32_t extent;
    atomic_uint remote;           /* frees by other threads, not yet collected */
    struct slab *visitor_next;    /* in the owner's stack; also chains unused descriptors */
    uint8_t class;
    /* This one is the owner's, */
    _Alignas(META_UNIT) uint64_t summary; /* bit w: free[w] is not 0 */
    uint32_t due;                 /* own frees until slab_settle has something to do */
    uint32_t rest;                /* blocks in use when nothing is due any more: slab_used */
    uint32_t ahead;               /* remote frees whose bit was collected and that are not counted yet */
    struct slab *next, *prev;     /* in the owner's list of its class, while listed */
    bool listed;                  /* may have free blocks */
    /* and so are the free bits. */
    uint64_t free[];              /* free bits [words], then remote bits [words] */
};

/* Blocks of another thread's slab that were freed here, and that the slab does not know of yet. */
struct pending {
    struct slab *slab;
    uint64_t bits;   /* of that word; 0: nothing waits */
    uint32_t word;
};

struct heap {
    struct slab *bin[CLASS_COUNT];    /* slabs that may have free blocks; &slab_none at the end */
    struct slab *spare[CLASS_COUNT];  /* the one that may stay though empty; NULL: none was yet */
    struct pending pending[PENDING_CLASSES];
    uint64_t pending_classes;         /* bit c: something waits in pending[c] */
    size_t taken;                     /* fries given out, for the statistics */
    _Alignas(META_UNIT) _Atomic(struct slab *) visitors; /* slabs with remote frees */
    struct heap *next_idle, *next_all;
    atomic_bool idle;
};

static struct class_info {
    uint32_t size;         /* bytes of a block */
    uint32_t pages;        /* of a slab */
    uint32_t blocks;       /* in a slab */
    uint32_t units;        /* of its descriptor */
    struct slab *unused;   /* descriptors to use again; fry.lock */
} classes[CLASS_COUNT];    /* all but `unused` are fixed once fry_open returns */

static struct {
    pthread_mutex_t lock;
    char *base;                /* where the space begins; NULL before that */
    struct pool meta;          /* descriptors of slabs and heaps, META_UNIT bytes each */
    struct space space;
    uint32_t meta_units;       /* used */
    struct file file;          /* what new blocks are made in; fd -1: none yet */
    size_t file_bytes;         /* its size */
    size_t backed_bytes;       /* of it, with blocks: for the statistics */
    uint32_t dirty_pages;      /* in free extents of KIND_DIRTY */
    uint64_t purged_ms;        /* when the last purge ran */
    uint64_t full_ms;          /* when the disk was found full (fry_note_full); 0: never */
    size_t full_bytes;         /* what all our files held then */
    uint32_t full_pages;       /* what was asked for then */
    uint8_t policy[BIG_PARTS]; /* enum policy of each part of the file (PAGING) */
    uint8_t piece;             /* log2 of the pages of a block, where WATCHED; the monitor's */
    size_t run_bytes;          /* in page runs now */
    size_t slab_bytes;         /* in slabs now */
    size_t sampled_bytes;      /* in both when fry_peak was last brought up to date */
    struct heap *idle, *all;   /* chains of heaps */
    pthread_key_t key;         /* its destructor makes a thread's heap idle */
    atomic_bool open;
} fry = {.lock = PTHREAD_MUTEX_INITIALIZER, .file.fd = -1};

/* Stands at the end of every bin, so that the fast path needs no test for NULL. */
static struct slab slab_none;

static __thread struct heap *heap_self __attribute__((tls_model("initial-exec")));
static __thread bool heap_ended __attribute__((tls_model("initial-exec"))); /* the thread is about to end */
static __thread struct {
    struct slab *slab;
    uint32_t blocks;
} remote_self __attribute__((tls_model("initial-exec"))); /* frees of this thread's under way, not counted yet */

/* For sizes from 1. */
static inline unsigned class_of(size_t size)
{
    if (size <= 16 * CLASS_LINEAR)
        return (unsigned)((size - 1) / 16);
    unsigned log = log2_floor(size - 1);
    return CLASS_LINEAR + (log - 7) * 8 + (unsigned)((size - 1) >> (log - 3) & 7);
}

static size_t class_size(unsigned c)
{
    if (c < CLASS_LINEAR)
        return (c + 1) * 16;
    return (size_t)(9 + (c - CLASS_LINEAR) % 8) << (4 + (c - CLASS_LINEAR) / 8);
}

/* The shortest slab from SLAB_BYTES or 16 blocks up that wastes at most a 64th at its end. */
COLD static void class_plan(struct class_info *k, size_t size)
{
    size_t least = round_up(max_size(SLAB_BYTES, 16 * size), page_size), best = least;
    for (size_t bytes = least; bytes < 2 * least; bytes += page_size) {
        if (bytes % size * best < best % size * bytes)
            best = bytes;
        if (best % size * 64 <= best)
            break;
    }
    size_t blocks = min_size(best / size, 64 * SLAB_WORDS);
    size_t words = (blocks + 63) / 64;
    size_t bytes = offsetof(struct slab, free) + 2 * words * sizeof(uint64_t);
    *k = (struct class_info){.size = (uint32_t)size, .pages = (uint32_t)to_pages(best),
                             .blocks = (uint32_t)blocks,
                             .units = (uint32_t)(round_up(bytes, META_UNIT) / META_UNIT)};
}

static inline _Atomic uint64_t *slab_remote(const struct slab *s)
{
    return (_Atomic uint64_t *)(uintptr_t)(s->free + s->words);
}

/* Blocks given out and not yet counted as free. */
static inline uint32_t slab_used(const struct slab *s) { return s->due + s->rest; }

static inline uint64_t slab_reciprocal(uint32_t size) { return UINT64_MAX / size + 1; }

static inline void slab_set_used(struct slab *s, uint32_t used) { s->due = used - s->rest; }

static inline void *meta_at(uint32_t unit) { return fry.meta.start + (size_t)unit * META_UNIT; }
static inline uint32_t meta_unit(const void *p)
{
    return (uint32_t)(((const char *)p - fry.meta.start) / META_UNIT);
}

/* Requires fry.lock. Zeroed memory for a descriptor; NULL: none left. */
static void *meta_new(uint32_t units)
{
    if (!pool_commit(&fry.meta, ((size_t)fry.meta_units + units) * META_UNIT))
        return NULL;
    void *p = meta_at(fry.meta_units);
    fry.meta_units += units;
    return p;
}

/* --- pages: the file grows with use, freed pages go back after a while ----------------------- */

static const uint64_t purge_ms = 500;   /* free pages are punched after one to two of these */
static const uint8_t flag_aged = 1;     /* extent flag: was free at the last purge */
static const uint8_t flag_slab = 2;     /* extent flag: aux is the unit of a slab */
static const size_t fry_chunk_max = (size_t)8 << 20;
/* Extent slots: which mapping is behind it. 0: none, or one that a fork has frozen. */
static const uint8_t slot_current = 1; /* fry.file's */
static const uint8_t slot_lost = 2;    /* that of a file whose descriptor the program has closed */
static const uint8_t slot_withheld = 3; /* none: a child did not get it (FORK) */

/* Requires fry.lock. Notes that [from, from + bytes) of the file has blocks now. */
static void fry_backed(size_t from, size_t bytes)
{
    fry.file_bytes = max_size(fry.file_bytes, from + bytes);
    fry.backed_bytes += bytes;
    folder_count(bytes, 0);
}

/* Requires fry.lock. The program has closed our descriptor: what is mapped stays as it is, what is
 * new goes to another file. */
static void fry_lose_file(void)
{
    for (uint32_t i = 1; i <= fry.space.extent_count; i++) {
        struct extent *x = extent_at(&fry.space, i);
        if (x->state == EXTENT_UNUSED || x->slot != slot_current)
            continue;
        x->slot = slot_lost;
        if (x->state != EXTENT_FREE)
            continue;
        bins_remove(&fry.space, &fry.space.free[x->kind], i); /* may merge with what was lost before */
        extent_release(&fry.space, i, x->kind);
    }
    file_close(&fry.file);
    folder_count(0, fry.backed_bytes);
    fry.backed_bytes = 0;
    fry.file_bytes = 0;
}

/* Requires fry.lock. A file for new pages. */
static enum reason fry_ready_file(void)
{
    if (fry.file.fd >= 0 && !file_valid(&fry.file))
        fry_lose_file();
    return fry.file.fd < 0 ? file_create(&fry.file, 0) : REASON_NONE;
}

/* Requires fry.lock. Disk blocks for pages that have none; pages that the current file is not
 * mapped at yet are mapped first. */
static enum reason fry_back(struct extent *x, uint32_t pages)
{
    enum reason why = fry_ready_file();
    size_t from = to_bytes(x->page), bytes = to_bytes(pages);
    if (!why && (why = file_extend(&fry.file, from, bytes)))
        file_punch(&fry.file, from, bytes); /* what it got before it failed */
    if (!why && x->slot != slot_current) {
        why = file_map(&fry.file, fry.space.start + from, bytes, from, MAP_SHARED);
        size_t part = from / big_part_bytes(max_size(fry.file_bytes, from + 1));
        if (!why && fry.policy[part] != POLICY_NORMAL)
            mem_set_policy(fry.space.start + from, bytes, fry.policy[part], fry.piece);
    }
    if (!why) {
        fry_backed(from, bytes);
        x->slot = slot_current;
    }
    return why;
}

/* Pages to back in one go: a sixteenth of what is there, so that the file follows the use. */
static uint32_t fry_chunk(uint32_t pages)
{
    size_t used = fry.run_bytes + fry.slab_bytes;
    size_t chunk = min_size(max_size(used / 16, 256 * kib), fry_chunk_max);
    return (uint32_t)max_size(pages, to_pages(chunk));
}

/* A full disk is not asked again for every small block: that costs a millisecond on btrfs. */
static const uint64_t full_retry_ms = 100;

/* Requires fry.lock. The disk had no room for as much a moment ago, and we have freed nothing since. */
static bool fry_is_full(uint32_t pages)
{
    return fry.full_ms && pages >= fry.full_pages && !big.warm_bytes &&
           atomic_load(&folder.bytes) >= fry.full_bytes && now_ms() - fry.full_ms < full_retry_ms;
}

/* Requires fry.lock. */
static void fry_note_full(uint32_t pages)
{
    fry.full_ms = now_ms();
    fry.full_bytes = atomic_load(&folder.bytes);
    fry.full_pages = pages;
}

/* Requires fry.lock. A BUSY extent with blocks behind it; *zeroed when it reads zero. */
static uint32_t fry_pages(uint32_t pages, uint32_t align, bool *zeroed, enum reason *why)
{
    struct space *s = &fry.space;
    uint32_t e = extent_alloc(s, KIND_DIRTY, pages, align);
    *zeroed = !e;
    *why = REASON_NONE;
    if (e) {
        fry.dirty_pages -= pages;
        return e;
    }
    if (fry_is_full(pages)) {
        *why = REASON_DISK_FULL;
        return 0;
    }
    uint32_t take = align == 1 ? fry_chunk(pages) : pages;
    e = extent_alloc(s, KIND_CLEAN, take, align);
    if (!e && take > pages)
        e = extent_alloc(s, KIND_CLEAN, take = pages, align);
    if (!e) {
        *why = REASON_ADDRESS_SPACE;
        return 0;
    }
    *why = fry_back(extent_at(s, e), take);
    if (*why == REASON_DISK_FULL && big.warm_bytes) {
        warm_expire(UINT64_MAX);
        *why = fry_back(extent_at(s, e), take);
    }
    if (*why && take > pages && extent_trim(s, e, pages, KIND_CLEAN))
        *why = fry_back(extent_at(s, e), take = pages);
    if (*why) {
        if (*why == REASON_DISK_FULL)
            fry_note_full(pages);
        extent_free(s, e, KIND_CLEAN);
        return 0;
    }
    if (take > pages && extent_trim(s, e, pages, KIND_DIRTY))
        fry.dirty_pages += take - pages;
    return e;
}

/* Requires fry.lock. A free neighbour that is older, and as large at least: what is merged with
 * it is as old, or a busy corner would keep a large extent young for ever. */
static bool extent_is_aged(uint32_t i, uint32_t pages)
{
    const struct extent *x = extent_at(&fry.space, i);
    return i && x->state == EXTENT_FREE && x->kind == KIND_DIRTY && x->flags & flag_aged &&
           x->pages >= pages;
}

/* Requires fry.lock. The pages keep their blocks for a while. */
static void fry_pages_free(uint32_t e)
{
    struct extent *x = extent_at(&fry.space, e);
    if (x->slot == slot_withheld) {
        x->flags = 0;
        extent_free(&fry.space, e, KIND_CLEAN);
        return;
    }
    bool aged = extent_is_aged(x->prev, x->pages) || extent_is_aged(x->next, x->pages);
    x->flags = 0;
    fry.dirty_pages += x->pages;
    e = extent_free(&fry.space, e, KIND_DIRTY);
    extent_at(&fry.space, e)->flags = aged ? flag_aged : 0;
}

static bool extent_is_clean(uint32_t i)
{
    const struct extent *x = extent_at(&fry.space, i);
    return i && x->state == EXTENT_FREE && x->kind == KIND_CLEAN && x->slot == 0;
}

/* Requires fry.lock. What a fork has frozen can't be punched, the file is another process's too: it
 * is unmapped, and so are free neighbours, or they would keep the file. */
static bool fry_unmap(const struct extent *x)
{
    size_t from = x->page, end = from + x->pages;
    if (extent_is_clean(x->prev))
        from = extent_at(&fry.space, x->prev)->page;
    if (extent_is_clean(x->next))
        end += extent_at(&fry.space, x->next)->pages;
    return mem_unmap(fry.space.start + to_bytes(from), to_bytes(end - from));
}

/* Requires fry.lock. Gives the blocks of one free extent back. */
static bool fry_punch(uint32_t e)
{
    struct extent *x = extent_at(&fry.space, e);
    if (x->slot == 0) {
        if (!fry_unmap(x))
            return false;
    } else if (x->slot != slot_current || !file_valid(&fry.file)) {
        if (!mem_advise(extent_offset(&fry.space, x), to_bytes(x->pages), MADV_REMOVE))
            return false;
    } else if (!file_punch(&fry.file, to_bytes(x->page), to_bytes(x->pages))) {
        return false;
    }
    if (x->slot == slot_current) {
        folder_count(0, to_bytes(x->pages));
        fry.backed_bytes -= to_bytes(x->pages);
    }
    fry.dirty_pages -= x->pages;
    bins_remove(&fry.space, &fry.space.free[KIND_DIRTY], e);
    x->flags = 0;
    extent_release(&fry.space, e, KIND_CLEAN);
    return true;
}

/* Requires fry.lock. Punches what was already free at the last purge; the rest ages. */
static void fry_purge(void)
{
    struct bins *b = &fry.space.free[KIND_DIRTY];
    for (unsigned bin = bins_next(b, 0); bin < BIN_COUNT; bin = bins_next(b, bin + 1))
        for (uint32_t e = b->head[bin], next; e; e = next) {
            next = extent_at(&fry.space, e)->link_next;
            if (!(extent_at(&fry.space, e)->flags & flag_aged))
                extent_at(&fry.space, e)->flags |= flag_aged;
            else if (!fry_punch(e))
                return;
        }
}

/* Every free page gives its blocks back now. False: there were none. */
static bool fry_give_back(void)
{
    pthread_mutex_lock(&fry.lock);
    bool any = fry.dirty_pages != 0;
    fry_purge(); /* once for those that have aged, */
    fry_purge(); /* once for those that did so now */
    pthread_mutex_unlock(&fry.lock);
    return any;
}

/* Requires fry.lock. */
static void fry_purge_if_due(void)
{
    if (!fry.dirty_pages)
        return;
    uint64_t now = now_ms();
    if (now - fry.purged_ms < purge_ms)
        return;
    fry.purged_ms = now;
    fry_purge();
}

/* --- slabs ----------------------------------------------------------------------------------- */

static void slab_list(struct heap *h, struct slab *s)
{
    struct slab *head = h->bin[s->class];
    s->prev = NULL;
    s->next = head;
    if (head != &slab_none)
        head->prev = s;
    h->bin[s->class] = s;
    s->listed = true;
    s->due = slab_used(s);
    s->rest = 0;
}

/* A full slab waits until a sixteenth of it is free: it would soon be full again. */
static inline uint32_t slab_worth_listing(const struct slab *s) { return s->blocks - (s->blocks + 15u) / 16; }

static void slab_unlist(struct heap *h, struct slab *s)
{
    if (s->next != &slab_none)
        s->next->prev = s->prev;
    if (s->prev)
        s->prev->next = s->next;
    else
        h->bin[s->class] = s->next;
    s->listed = false;
    s->rest = slab_worth_listing(s);
    s->due -= s->rest;
}

/* Requires fry.lock. Bytes in live fries, by class. */
GUESSES static size_t fry_live_bytes(void)
{
    size_t bytes = fry.run_bytes;
    for (uint32_t i = 1; i <= fry.space.extent_count; i++) {
        const struct extent *x = extent_at(&fry.space, i);
        if (x->state != EXTENT_LIVE || !(x->flags & flag_slab))
            continue;
        const struct slab *s = meta_at(x->aux);
        uint32_t remote = atomic_load_explicit(&s->remote, memory_order_relaxed);
        uint32_t used = guess_32(&s->due) + guess_32(&s->rest);
        bytes += (size_t)(used > remote ? used - remote : 0) * s->size;
    }
    return bytes;
}

/* Requires fry.lock. Brings the peak up to date once a sixteenth more is in use. */
static void fry_sample(void)
{
    size_t used = fry.run_bytes + fry.slab_bytes;
    if (used <= fry.sampled_bytes + fry.sampled_bytes / 16)
        return;
    fry.sampled_bytes = used;
    size_t bytes = fry_live_bytes();
    if (bytes > atomic_load(&count.fry_peak))
        atomic_store(&count.fry_peak, bytes);
}

/* Requires fry.lock. A new slab of h's, listed; NULL and *why when there are no pages. */
static struct slab *slab_new(struct heap *h, unsigned c, enum reason *why)
{
    struct class_info *k = &classes[c];
    bool zeroed;
    uint32_t e = fry_pages(k->pages, 1, &zeroed, why);
    if (!e)
        return NULL;
    struct slab *s = k->unused;
    if (s) {
        k->unused = s->visitor_next;
    } else if (!(s = meta_new(k->units))) {
        fry_pages_free(e);
        *why = REASON_MEMORY;
        return NULL;
    }
    struct extent *x = extent_at(&fry.space, e);
    x->state = EXTENT_LIVE;
    x->flags = flag_slab;
    x->aux = meta_unit(s);
    memset(s, 0, k->units * META_UNIT);
    s->start = mem_at(extent_offset(&fry.space, x));
    s->reciprocal = slab_reciprocal(k->size);
    s->size = k->size;
    s->blocks = (uint16_t)k->blocks;
    s->words = (uint16_t)((k->blocks + 63) / 64);
    s->class = (uint8_t)c;
    s->extent = e;
    for (unsigned w = 0; w < s->words; w++)
        s->free[w] = ~(uint64_t)0;
    if (k->blocks % 64)
        s->free[s->words - 1] = ((uint64_t)1 << (k->blocks % 64)) - 1;
    s->summary = s->words == 64 ? ~(uint64_t)0 : ((uint64_t)1 << s->words) - 1;
    atomic_store(&s->owner, h);
    for (uint32_t p = 0; p < k->pages; p++)
        *map_entry(&fry.space, x->page + p) = map_slab | x->aux;
    fry_sample(); /* before this one, all are about full */
    fry.slab_bytes += to_bytes(x->pages);
    slab_list(h, s);
    return s;
}

/* Requires fry.lock. The slab is empty and unlisted. */
static void slab_destroy(struct slab *s)
{
    struct extent *x = extent_at(&fry.space, s->extent);
    fry.slab_bytes -= to_bytes(x->pages);
    for (uint32_t p = 0; p < x->pages; p++)
        *map_entry(&fry.space, x->page + p) = map_freed;
    fry_pages_free(s->extent);
    s->visitor_next = classes[s->class].unused;
    classes[s->class].unused = s;
}

/* Takes the remote frees of a slab of h's that came off the stack of visitors. */
static void slab_collect(struct slab *s)
{
    uint32_t n = atomic_exchange_explicit(&s->remote, 0, memory_order_acq_rel);
    s->ahead -= n;
    for (unsigned w = 0; w < s->words; w++) {
        uint64_t bits = atomic_load_explicit(&slab_remote(s)[w], memory_order_relaxed);
        if (!bits)
            continue;
        bits = atomic_exchange_explicit(&slab_remote(s)[w], 0, memory_order_acquire);
        s->ahead += (uint32_t)__builtin_popcountl(bits);
        s->free[w] |= bits;
        s->summary |= (uint64_t)1 << w;
    }
    slab_set_used(s, slab_used(s) - n);
}

static void heap_push_visitor(struct heap *h, struct slab *s)
{
    struct slab *top = atomic_load_explicit(&h->visitors, memory_order_relaxed);
    do
        s->visitor_next = top;
    while (!atomic_compare_exchange_weak_explicit(&h->visitors, &top, s, memory_order_acq_rel,
                                                  memory_order_relaxed));
}

/* May the empty slab stay? One of each class may: where few blocks are live, slabs become empty all
 * the time, and a new one costs a lock and two system calls. */
static bool slab_is_spare(struct heap *h, struct slab *s)
{
    struct slab **spare = &h->spare[s->class];
    if (*spare && *spare != s && slab_used(*spare) == 0)
        return false;
    *spare = s;
    return true;
}

/* Requires fry.lock. The slab is empty. */
static void slab_retire(struct heap *h, struct slab *s)
{
    if (!atomic_load(&h->idle) && slab_is_spare(h, s))
        return;
    if (h->spare[s->class] == s)
        h->spare[s->class] = NULL;
    slab_unlist(h, s);
    slab_destroy(s);
}

/* Requires fry.lock. Collects all remote frees of h's slabs. A slab that was stolen meanwhile
 * goes on to its new owner, unless that has become idle: nobody would look there. */
static void heap_collect(struct heap *h)
{
    struct slab *s = atomic_exchange_explicit(&h->visitors, NULL, memory_order_acq_rel);
    for (struct slab *next; s; s = next) {
        next = s->visitor_next;
        struct heap *owner = atomic_load_explicit(&s->owner, memory_order_relaxed);
        if (owner != h && !atomic_load(&owner->idle)) {
            heap_push_visitor(owner, s);
            continue;
        }
        slab_collect(s);
        if (!s->listed && slab_used(s) <= slab_worth_listing(s))
            slab_list(owner, s);
        if (slab_used(s) == 0)
            slab_retire(owner, s);
    }
}

/* Drops the slabs at the head of the bin that turned out to be full. */
static inline bool bin_skip_full(struct heap *h, unsigned c)
{
    struct slab *s;
    while ((s = h->bin[c]) != &slab_none && !s->summary)
        slab_unlist(h, s);
    return s != &slab_none;
}

/* Requires fry.lock. A slab with free blocks from an idle heap. */
static struct slab *slab_steal(struct heap *h, unsigned c)
{
    for (struct heap *from = fry.idle; from; from = from->next_idle) {
        heap_collect(from);
        if (!bin_skip_full(from, c))
            continue;
        struct slab *s = from->bin[c];
        slab_unlist(from, s);
        atomic_store_explicit(&s->owner, h, memory_order_release);
        slab_list(h, s);
        return s;
    }
    return NULL;
}

/* The lowest free block: what is in use stays together. Without a branch on what is full. */
static inline void *slab_take(struct heap *h, struct slab *s)
{
    uint64_t summary = s->summary;
    unsigned w = (unsigned)__builtin_ctzl(summary);
    uint64_t bits = s->free[w];
    unsigned bit = (unsigned)__builtin_ctzl(bits);
    bits &= bits - 1;
    s->free[w] = bits;
    s->summary = summary ^ ((uint64_t)(bits == 0) << w);
    s->due++;
    h->taken++;
    return s->start + (size_t)(w * 64 + bit) * s->size;
}

static void heap_flush(struct heap *h);

/* Requires fry.lock, and that h is the calling thread's or idle. A block from one of its slabs, from
 * another heap's, or from a new one, in this order. */
static void *fry_take_locked(struct heap *h, unsigned c, enum reason *why)
{
    bool found = bin_skip_full(h, c) || slab_steal(h, c) || slab_new(h, c, why);
    return found && bin_skip_full(h, c) ? slab_take(h, h->bin[c]) : NULL;
}

/* The slow way to a block: remote frees come first. */
static NOINLINE void *fry_take_slow(struct heap *h, unsigned c, enum reason *why)
{
    if (bin_skip_full(h, c))
        return slab_take(h, h->bin[c]);
    struct op op;
    heap_flush(h);
    op_begin(&op);
    pthread_mutex_lock(&fry.lock);
    if (atomic_load_explicit(&h->visitors, memory_order_relaxed))
        heap_collect(h);
    fry_purge_if_due();
    void *p = fry_take_locked(h, c, why);
    pthread_mutex_unlock(&fry.lock);
    op_end(&op);
    return p;
}

/* A block of class c for a thread with a heap. */
static ALWAYS_INLINE void *fry_take(struct heap *h, unsigned c, enum reason *why)
{
    struct slab *s = h->bin[c];
    if (likely(s->summary))
        return slab_take(h, s);
    return fry_take_slow(h, c, why);
}

/* --- freeing --------------------------------------------------------------------------------- */

static const uint64_t no_block = UINT64_MAX;

/* The block of the slab that p starts; no_block: p is inside one, or behind the last. What is
 * below the point of offset / size is less than 1 / size only when nothing is left over. */
static ALWAYS_INLINE uint64_t slab_block(const struct slab *s, const void *p)
{
    unsigned __int128 quotient = (unsigned __int128)(uint64_t)((const char *)p - s->start) * s->reciprocal;
    uint64_t i = (uint64_t)(quotient >> 64);
    return likely((uint64_t)quotient < s->reciprocal && i < s->blocks) ? i : no_block;
}

static const uint32_t no_slab = UINT32_MAX;

/* The unit of the slab that p is in, for meta_at. */
static ALWAYS_INLINE uint32_t slab_unit(const void *p)
{
    size_t at = to_pages((size_t)((const char *)p - fry.base)) * sizeof(uint32_t);
    if (unlikely(at >= guess_64(&fry.space.map.committed))) /* it only grows */
        return no_slab;
    uint32_t unit = *(uint32_t *)(void *)(fry.space.map.start + at) - map_slab;
    return likely(unit < map_freed - map_slab) ? unit : no_slab;
}

/* The slab that contains the offset; NULL: none does. */
static ALWAYS_INLINE struct slab *slab_containing(size_t offset)
{
    uint32_t unit = slab_unit(mem_at(offset));
    return unit != no_slab ? meta_at(unit) : NULL;
}

static ALWAYS_INLINE uint64_t slab_bit(uint64_t i) { return (uint64_t)1 << (i % 64); }

/* True while block i of the slab is the program's, as far as one look can tell. */
static bool slab_is_taken(const struct slab *s, uint64_t i)
{
    uint64_t remote = atomic_load_explicit(&slab_remote(s)[i / 64], memory_order_relaxed);
    return !((guess_64(&s->free[i / 64]) | remote) & slab_bit(i)); /* the owner may change other bits */
}

static void mon_consider(void);

/* After an own free: the slab gets listed again, or it is empty. */
static NOINLINE void slab_settle(struct heap *h, struct slab *s)
{
    if (!s->listed && slab_used(s) <= slab_worth_listing(s))
        slab_list(h, s);
    if (slab_used(s) || slab_is_spare(h, s))
        return;
    struct op op;
    op_begin(&op);
    pthread_mutex_lock(&fry.lock);
    slab_retire(h, s);
    fry_purge_if_due();
    pthread_mutex_unlock(&fry.lock);
    op_end(&op);
    mon_consider();
}

/* The owner is idle, and this may have been the last block in use. */
static NOINLINE void heap_collect_idle(struct heap *h)
{
    struct op op;
    op_begin(&op);
    pthread_mutex_lock(&fry.lock);
    if (atomic_load(&h->idle))
        heap_collect(h);
    pthread_mutex_unlock(&fry.lock);
    op_end(&op);
    mon_consider();
}

/* Frees blocks of a word of a slab of another thread's. Returns those that were free already. */
static uint64_t slab_push_remote(struct slab *s, uint32_t word, uint64_t bits)
{
    uint32_t n = (uint32_t)__builtin_popcountl(bits);
    uint64_t twice = guess_64(&s->free[word]) & bits;
    remote_self.blocks = n;
    remote_self.slab = s; /* for a handler that forks */
    atomic_signal_fence(memory_order_seq_cst);
    twice |= atomic_fetch_or_explicit(&slab_remote(s)[word], bits, memory_order_release) & bits;
    if (twice)
        return twice;
    uint32_t used = guess_32(&s->due) + guess_32(&s->rest);
    uint32_t before = atomic_fetch_add_explicit(&s->remote, n, memory_order_acq_rel);
    atomic_signal_fence(memory_order_seq_cst);
    remote_self.slab = NULL;
    if (before && before + n != used)
        return 0; /* whoever raised it from 0 has told the owner; don't touch s any more */
    struct heap *owner = atomic_load_explicit(&s->owner, memory_order_acquire);
    if (before == 0)
        heap_push_visitor(owner, s);
    else if (!owner)
        return 0; /* it is empty, and about to become another slab */
    if (atomic_load_explicit(&owner->idle, memory_order_acquire))
        heap_collect_idle(owner);
    return 0;
}

COLD __attribute__((noreturn)) static void corrupt(const char *function, const void *p);

/* First nothing waits any more, then it is pushed: a child that is forked in between has lost a few
 * blocks, the other way round it would free some twice. */
static void pending_flush(struct pending *p)
{
    uint64_t bits = p->bits;
    p->bits = 0;
    uint64_t twice = bits ? slab_push_remote(p->slab, p->word, bits) : 0;
    if (unlikely(twice))
        corrupt("free", p->slab->start + (p->word * 64 + (size_t)__builtin_ctzl(twice)) * p->slab->size);
}

/* For the calling thread's heap, without locks. */
static void heap_flush(struct heap *h)
{
    uint64_t classes_left = h->pending_classes;
    h->pending_classes = 0;
    for (; classes_left; classes_left &= classes_left - 1)
        pending_flush(&h->pending[__builtin_ctzl(classes_left)]);
}

static struct heap *heap_get(void);

/* Frees a block of a slab of another thread's. False: it was free already. */
static NOINLINE bool slab_free_remote(struct slab *s, uint64_t i)
{
    uint64_t bit = slab_bit(i);
    uint32_t word = (uint32_t)(i / 64);
    struct heap *h = NULL;
    if (s->class < PENDING_CLASSES && !(h = heap_self) && !heap_ended)
        h = heap_get();
    if (!h)
        return !slab_push_remote(s, word, bit);
    struct pending *p = &h->pending[s->class];
    if (p->bits && p->slab == s && p->word == word) {
        bool twice = p->bits & bit;
        p->bits |= bit;
        return !twice;
    }
    if (!slab_is_taken(s, i))
        return false;
    while (p->bits) /* starting the monitor may free some as well */
        pending_flush(p);
    *p = (struct pending){.slab = s, .bits = bit, .word = word};
    h->pending_classes |= (uint64_t)1 << s->class;
    return true;
}

/* Frees block i of a slab of the calling thread's. False: it was free already. */
static ALWAYS_INLINE bool slab_free_own(struct slab *s, uint64_t i)
{
    uint64_t bit = slab_bit(i), free = s->free[i / 64];
    if (unlikely(free & bit))
        return false;
    if (unlikely(atomic_load_explicit(&s->remote, memory_order_relaxed)) && !slab_is_taken(s, i))
        return false;
    s->free[i / 64] = free | bit;
    s->summary |= slab_bit(i / 64);
    if (unlikely(--s->due == 0))
        slab_settle(heap_self, s);
    return true;
}

static inline bool slab_is_own(const struct slab *s)
{
    return atomic_load_explicit(&s->owner, memory_order_relaxed) == heap_self;
}

/* --- heaps ------------------------------------------------------------------------------------ */

/* Requires fry.lock. */
static struct heap *heap_new(void)
{
    struct heap *h = meta_new((uint32_t)(round_up(sizeof *h, META_UNIT) / META_UNIT));
    if (!h)
        return NULL;
    for (unsigned c = 0; c < CLASS_COUNT; c++)
        h->bin[c] = &slab_none;
    h->next_all = fry.all;
    fry.all = h;
    return h;
}

/* Gives the calling thread a heap: an idle one, or a new one. NULL: no memory for it. */
static NOINLINE struct heap *heap_get(void)
{
    struct op op;
    op_begin(&op);
    pthread_mutex_lock(&fry.lock);
    struct heap *h = fry.idle;
    if (h) {
        fry.idle = h->next_idle;
        atomic_store(&h->idle, false);
    } else {
        h = heap_new();
    }
    heap_self = h;
    pthread_mutex_unlock(&fry.lock);
    op_end(&op);
    if (h) {
        int err = errno;
        pthread_setspecific(fry.key, h); /* may call calloc, which finds heap_self */
        errno = err;
    }
    return h;
}

/* Requires fry.lock. Makes h idle: empty slabs go back, the others wait for the next thread. */
static void heap_retire(struct heap *h)
{
    atomic_store(&h->idle, true);
    memset(h->spare, 0, sizeof h->spare);
    heap_collect(h);
    for (unsigned c = 0; c < CLASS_COUNT; c++)
        for (struct slab *s = h->bin[c], *next; s != &slab_none; s = next) {
            next = s->next;
            if (slab_used(s) == 0)
                slab_retire(h, s);
        }
    h->next_idle = fry.idle;
    fry.idle = h;
}

/* Thread-specific data's destructor. Later ones may allocate, but no other heap is the thread's: after
 * the last round of destructors nobody would make that idle. */
static void heap_leave(void *heap)
{
    struct op op;
    heap_ended = true;
    heap_flush(heap);
    op_begin(&op);
    pthread_mutex_lock(&fry.lock);
    if (heap_self == heap)
        heap_self = NULL;
    heap_retire(heap);
    pthread_mutex_unlock(&fry.lock);
    op_end(&op);
    mon_consider();
}

/* A block for a thread that has left its heap, from an idle one. */
static NOINLINE void *fry_take_ended(unsigned c, enum reason *why)
{
    struct op op;
    op_begin(&op);
    pthread_mutex_lock(&fry.lock);
    struct heap *h = fry.idle ? fry.idle : heap_new();
    if (h && h != fry.idle)
        heap_retire(h);
    void *p = h ? fry_take_locked(h, c, why) : NULL;
    pthread_mutex_unlock(&fry.lock);
    op_end(&op);
    return p;
}

/* --- page runs, and the operations of this section -------------------------------------------- */

static void *run_alloc(size_t size, size_t align, bool zero, enum reason *why)
{
    struct op op;
    bool zeroed = true;
    size_t pages = to_pages(round_up(size, page_size));
    *why = REASON_ADDRESS_SPACE;
    if (pages >= fry.space.pages)
        return NULL;
    op_begin(&op);
    pthread_mutex_lock(&fry.lock);
    fry_purge_if_due();
    uint32_t e = fry_pages((uint32_t)pages, (uint32_t)to_pages(max_size(align, page_size)), &zeroed, why);
    char *p = NULL;
    if (e) {
        struct extent *x = extent_at(&fry.space, e);
        x->state = EXTENT_LIVE;
        x->flags = 0;
        fry.run_bytes += to_bytes(x->pages); /* more than asked for, if it could not be trimmed */
        fry_sample();
        p = mem_at(extent_offset(&fry.space, x));
    }
    pthread_mutex_unlock(&fry.lock);
    op_end(&op);
    if (p) {
        count_one(&count.fries);
        if (zero && !zeroed)
            memset(p, 0, size);
    }
    return p;
}

/* Requires fry.lock. The live page run that starts at the offset; NULL: none does. */
static struct extent *run_at(size_t offset)
{
    uint32_t i = extent_lookup(&fry.space, offset);
    if (!i || i & map_slab)
        return NULL;
    struct extent *x = extent_at(&fry.space, i);
    return x->state == EXTENT_LIVE ? x : NULL;
}

static const size_t glibc_maps = 32 * mib; /* what glibc maps and unmaps by itself, whatever a program does */

static bool run_free(size_t offset)
{
    struct op op;
    op_begin(&op);
    pthread_mutex_lock(&fry.lock);
    struct extent *x = run_at(offset);
    if (x) {
        fry.run_bytes -= to_bytes(x->pages);
        if (to_bytes(x->pages) >= glibc_maps) /* so it may have protected parts of this as well */
            mprotect(mem_at(offset), to_bytes(x->pages), PROT_READ | PROT_WRITE);
        fry_pages_free(extent_index(&fry.space, x));
        fry_purge_if_due();
    }
    pthread_mutex_unlock(&fry.lock);
    op_end(&op);
    return x != NULL;
}

static size_t run_bytes(size_t offset)
{
    struct op op;
    op_begin(&op);
    pthread_mutex_lock(&fry.lock);
    struct extent *x = run_at(offset);
    size_t bytes = x ? to_bytes(x->pages) : 0;
    pthread_mutex_unlock(&fry.lock);
    op_end(&op);
    return bytes;
}

/* Shrinks a page run in place. */
static void run_shrink(size_t offset, size_t size)
{
    struct op op;
    uint32_t pages = (uint32_t)to_pages(round_up(size, page_size));
    op_begin(&op);
    pthread_mutex_lock(&fry.lock);
    struct extent *x = run_at(offset);
    if (x && pages < x->pages && x->slot != slot_withheld) {
        uint32_t less = x->pages - pages;
        if (extent_trim(&fry.space, extent_index(&fry.space, x), pages, KIND_DIRTY)) {
            fry.run_bytes -= to_bytes(less);
            fry.dirty_pages += less;
        }
    }
    pthread_mutex_unlock(&fry.lock);
    op_end(&op);
}

/* The class for the request; CLASS_COUNT: it needs a page run. */
static unsigned class_for(size_t size, size_t align)
{
    if (likely(align <= 16 && size <= SLAB_MAX))
        return class_of(max_size(size, 1));
    if (size > SLAB_MAX || align > page_size)
        return CLASS_COUNT;
    unsigned c = class_of(max_size(size, align));
    while (c < CLASS_COUNT && classes[c].size & (align - 1))
        c++;
    return c;
}

/* Allocates a fry. Returns NULL and *why. */
static void *fry_alloc(size_t size, size_t align, bool zero, enum reason *why)
{
    unsigned c = class_for(size, align);
    if (c == CLASS_COUNT)
        return run_alloc(size, align, zero, why);
    struct heap *h = heap_self || heap_ended ? heap_self : heap_get();
    *why = REASON_MEMORY;
    void *p = h ? fry_take(h, c, why) : heap_ended ? fry_take_ended(c, why) : NULL;
    if (p && zero)
        memset(p, 0, size);
    return p;
}

/* Frees the fry at p. False: p starts none that is the program's. */
static ALWAYS_INLINE bool fry_free(void *p, size_t offset)
{
    struct slab *s = slab_containing(offset);
    if (unlikely(!s))
        return run_free(offset);
    uint64_t i = slab_block(s, p);
    return i != no_block && (slab_is_own(s) ? slab_free_own(s, i) : slab_free_remote(s, i));
}

/* Bytes usable at p; 0: p starts no fry. Reads nothing of the block itself. */
static size_t fry_usable(const void *p, size_t offset)
{
    struct slab *s = slab_containing(offset);
    if (!s)
        return run_bytes(offset);
    uint64_t i = slab_block(s, p);
    return i != no_block && slab_is_taken(s, i) ? s->size : 0;
}

/* True if the fry at p, with `usable` bytes, can stay where it is for `size`. */
static bool fry_resize(size_t offset, size_t usable, size_t size)
{
    if (size <= SLAB_MAX)
        return usable <= SLAB_MAX && size && class_size(class_of(size)) == usable;
    if (usable <= SLAB_MAX || round_up(size, page_size) > usable)
        return false;
    if (round_up(size, page_size) < usable)
        run_shrink(offset, size);
    return true;
}

#ifdef BIGMAAC_PREFIX
/* What is wrong with the bits, counts and pages of one slab. */
static const char *slab_check(const struct slab *s, uint32_t extent)
{
    const struct extent *x = extent_at(&fry.space, extent);
    const struct class_info *k = &classes[s->class];
    uint32_t free_blocks = 0, remote = 0;
    if (s->extent != extent || s->start != mem_at(extent_offset(&fry.space, x)) || x->pages != k->pages ||
        s->size != k->size || s->blocks != k->blocks || s->words != (k->blocks + 63) / 64)
        return "a slab is not what its class and extent say";
    for (uint32_t p = 0; p < x->pages; p++)
        if (*map_entry(&fry.space, x->page + p) != (map_slab | x->aux))
            return "the map misses a page of a slab";
    for (unsigned w = 0; w < s->words; w++) {
        uint64_t away = slab_remote(s)[w];
        bool last = w == s->words - 1u && s->blocks % 64;
        if ((s->free[w] & away) || (last && (s->free[w] | away) >> (s->blocks % 64)))
            return "a block is free twice, or behind the end of its slab";
        if ((s->summary >> w & 1) != (s->free[w] != 0))
            return "the summary of a slab is wrong";
        free_blocks += (uint32_t)__builtin_popcountl(s->free[w]);
        remote += (uint32_t)__builtin_popcountl(away);
    }
    /* A free whose bit was collected before it was counted is counted with the next. */
    if (slab_used(s) - s->remote != s->blocks - free_blocks - remote)
        return "a slab miscounts its blocks";
    if (s->listed ? s->rest != 0 : slab_used(s) <= slab_worth_listing(s))
        return "a slab with free blocks is not listed";
    return NULL;
}

/* What is wrong with the lists of one heap. Counts the slabs that are listed and those that visit,
 * which must be those with remote frees. */
static const char *heap_check(const struct heap *h, uint32_t *listed, uint32_t *visiting)
{
    for (unsigned c = 0; c < CLASS_COUNT; c++)
        for (struct slab *s = h->bin[c], *prev = NULL; s != &slab_none; prev = s, s = s->next, ++*listed)
            if (!s->listed || s->class != c || s->owner != h || s->prev != prev)
                return "a heap's list of slabs is broken";
    for (struct slab *s = h->visitors; s; s = s->visitor_next, ++*visiting)
        if (!s->remote)
            return "a slab without remote frees visits";
    return NULL;
}

/* Requires fry.lock, and that no thread is in the middle of an operation, the short ways without
 * locks included. What is wrong with the fries; NULL if nothing is. */
static const char *fry_check(void)
{
    uint32_t listed = 0, visiting = 0, units = 1, dirty = 0;
    size_t runs = 0, slabs = 0;
    const char *wrong = NULL;
    for (uint32_t i = 1; i <= fry.space.extent_count && !wrong; i++) {
        const struct extent *x = extent_at(&fry.space, i);
        dirty += x->state == EXTENT_FREE && x->kind == KIND_DIRTY ? x->pages : 0;
        if (x->state != EXTENT_LIVE)
            continue;
        *(x->flags & flag_slab ? &slabs : &runs) += to_bytes(x->pages);
        if (!(x->flags & flag_slab))
            continue;
        const struct slab *s = meta_at(x->aux);
        wrong = slab_check(s, i);
        listed -= s->listed;
        visiting -= s->remote != 0;
        units += classes[s->class].units;
    }
    for (struct heap *h = fry.all; h && !wrong; h = h->next_all) {
        wrong = heap_check(h, &listed, &visiting);
        units += (uint32_t)(round_up(sizeof *h, META_UNIT) / META_UNIT);
    }
    for (unsigned c = 0; c < CLASS_COUNT; c++)
        for (const struct slab *s = classes[c].unused; s; s = s->visitor_next)
            units += classes[c].units;
    for (size_t at = 0; at < fry.space.map.committed / sizeof(uint32_t) && !wrong; at++) {
        uint32_t unit = *map_entry(&fry.space, (uint32_t)at);
        const struct slab *s = unit > map_slab && unit != map_freed ? meta_at(unit - map_slab) : NULL;
        if (s && at - extent_at(&fry.space, s->extent)->page >= classes[s->class].pages)
            wrong = "the map names a slab that is not there";
    }
    if (wrong)
        return wrong;
    if (listed || visiting)
        return "a slab is in no list, or in two";
    if (units != fry.meta_units && fry.open)
        return "descriptors of slabs were lost";
    return runs != fry.run_bytes || slabs != fry.slab_bytes || dirty != fry.dirty_pages
               ? "pages of fries are miscounted" : NULL;
}
#endif

/* ============================================================================================
 * === ROUTE  the next malloc in line, the thresholds, and the opening of the regions
 *
 * `limit` is all that a small request compares with. It is 0 before initialisation, and while
 * somebody wants to see every request (statistics, profile): then all take the slow way.
 * ========================================================================================= */
static void early_free(void *p);
static size_t early_usable(void *p);

static struct route {
    size_t limit;        /* smaller requests go straight to next.malloc; published last */
    size_t fry_low;      /* sizes fry_low ... fry_low + fry_span - 1 come from slabs */
    size_t fry_span;     /* 0 until the regions are open */
    size_t align_max;    /* of our own blocks */
} route;

static struct next {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
    size_t (*usable)(void *);
    void *(*memalign)(size_t, size_t);
    pid_t (*fork)(void), (*fork_only)(void); /* fork and _Fork */
    char *single_threaded; /* glibc's own: 1 until the first thread is made */
} next = {.free = early_free, .usable = early_usable};

enum kind { KIND_REAL, KIND_FRY, KIND_BIG };

/* Where a request of that size belongs. */
static inline enum kind route_of(size_t size)
{
    if (cfg.off || cfg.profile)
        return KIND_REAL;
    if (size > cfg.min_bigmaac)
        return KIND_BIG;
    return cfg.min_fry && size > cfg.min_fry ? KIND_FRY : KIND_REAL;
}

/* Larger requests are seen also where they are passed on: it takes longer to fill such a block than to look how
 * full the memory is. */
static const size_t passed_seen = 128 * kib;

/* Below the limit nothing but one jump happens. */
static void route_set_limit(void)
{
    size_t limit = SIZE_MAX;
    if (cfg.stats || cfg.profile)
        limit = 0;
    else if (!cfg.off)
        limit = min_size(cfg.min_fry ? cfg.min_fry : cfg.min_bigmaac, passed_seen) + 1;
    __atomic_store_n(&route.limit, limit, __ATOMIC_RELEASE);
}

/* Address space that we may take: half of what RLIMIT_AS leaves, so that the program has room. */
static size_t reserve_budget(void)
{
    size_t limit = limit_of(RLIMIT_AS);
    char text[64];
    if (limit == SIZE_MAX || !read_text("/proc/self/statm", text, sizeof text))
        return SIZE_MAX;
    size_t used = strtoul(text, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
    return limit > used ? (limit - used) / 2 : 0;
}

struct layout {
    size_t align, fries, bigs; /* bytes */
    size_t map_fries, map_bigs, extents_fries, extents_bigs, meta, records;
    size_t owned, total;
};

/* An extent descriptor for eight pages, a 64th of the fries for slab descriptors. */
static struct layout layout_for(size_t fries, size_t bigs)
{
    struct layout l = {.fries = round_up(fries, page_size), .bigs = round_up(bigs, page_size)};
    l.align = l.fries + l.bigs >= 16 * gib ? align_max : huge_size;
    l.map_fries = round_up(to_pages(l.fries) * sizeof(uint32_t), page_size);
    l.map_bigs = round_up(to_pages(l.bigs) * sizeof(uint32_t), page_size);
    l.extents_fries = l.map_fries + 64 * kib;
    l.extents_bigs = l.map_bigs + 64 * kib;
    l.meta = round_up(l.fries / 48 + mib, page_size);
    l.records = round_up(((size_t)1 << 20) * sizeof(struct big), page_size);
    if (l.records > l.bigs / 64)
        l.records = round_up(l.bigs / 64, page_size);
    l.owned = l.align + round_up(l.fries, l.align) + l.bigs;
    l.total = l.align + l.owned + l.map_fries + l.map_bigs + l.extents_fries + l.extents_bigs +
              l.meta + l.records;
    return l;
}

static void pool_place(struct pool *p, char **at, size_t bytes)
{
    *p = (struct pool){.start = *at, .limit = bytes};
    *at += bytes;
}

/* Reserves address space, halved until it fits, and tells everybody where it is. */
COLD static bool mem_reserve(void)
{
    size_t fries = cfg.size_fries, bigs = cfg.size_bigmaac, budget = reserve_budget();
    struct layout l;
    char *p = MAP_FAILED;
    for (;;) {
        l = layout_for(fries, bigs);
        if (l.total <= budget)
            p = mmap(NULL, l.total, PROT_NONE, anon_flags, -1, 0);
        if (p != MAP_FAILED)
            break;
        if (fries <= region_min && bigs <= region_min)
            return false;
        fries = max_size(fries / 2, min_size(fries, region_min));
        bigs = max_size(bigs / 2, min_size(bigs, region_min));
    }
    if (cfg.verbose && bigs < cfg.size_bigmaac)
        report("address space is short: regions of %zu (fries) and %zu bytes", fries, bigs);
    uintptr_t base = round_up((uintptr_t)p, l.align);
    char *at = (char *)base + l.owned;
    pool_place(&fry.space.map, &at, l.map_fries);
    pool_place(&big.space.map, &at, l.map_bigs);
    pool_place(&fry.space.extents, &at, l.extents_fries);
    pool_place(&big.space.extents, &at, l.extents_bigs);
    pool_place(&fry.meta, &at, l.meta);
    pool_place(&big.records, &at, l.records);
    fry.space.start = l.align;
    fry.base = (char *)base + l.align;
    fry.space.pages = (uint32_t)to_pages(l.fries);
    big.space.start = l.align + round_up(l.fries, l.align);
    big.space.pages = (uint32_t)to_pages(l.bigs);
    mem.fry_end = big.space.start;
    route.align_max = l.align;
    mem.size = l.owned;
    __atomic_store_n(&mem.base, base, __ATOMIC_RELEASE);
    return true;
}

/* Requires fry.lock. */
COLD static bool regions_open_locked(void)
{
    bool reserved = mem_owns(mem_at(0)) || mem_reserve();
    if (!reserved || !space_open(&fry.space, fry.space.start, to_bytes(fry.space.pages)) ||
        !space_open(&big.space, big.space.start, to_bytes(big.space.pages)) ||
        pthread_key_create(&fry.key, heap_leave) != 0)
        return false;
    bus_open();
    memset(fry.policy, policy_initial(0), sizeof fry.policy);
    fry.meta_units = 1; /* unit 0 is nobody */
    for (unsigned c = 0; c < CLASS_COUNT; c++)
        class_plan(&classes[c], class_size(c));
    if (cfg.min_fry && !cfg.stats) {
        route.fry_low = cfg.min_fry + 1;
        size_t top = min_size(cfg.min_bigmaac, SLAB_MAX);
        route.fry_span = top >= route.fry_low ? top - route.fry_low + 1 : 0;
    }
    return true;
}

/* Makes the regions usable. False: there is no address space for them. */
static bool regions_open(void)
{
    if (likely(atomic_load_explicit(&fry.open, memory_order_acquire)))
        return true;
    if (mem.failed)
        return false;
    struct op op;
    op_begin(&op);
    pthread_mutex_lock(&fry.lock);
    if (!atomic_load(&fry.open) && !mem.failed) {
        if (regions_open_locked())
            atomic_store_explicit(&fry.open, true, memory_order_release);
        else
            mem.failed = true;
    }
    bool open = atomic_load(&fry.open);
    pthread_mutex_unlock(&fry.lock);
    op_end(&op);
    return open;
}

/* --- boot memory: for dlsym, while it looks the next malloc up for us ------------------------- */

static bool is_boot(const void *p) { return mem_offset(p) < boot_bytes; }

/* Zeroed, never freed; its size stands before it. NULL: used up. */
COLD static void *boot_alloc(size_t size, size_t align)
{
    if (!mem.boot_ready) {
        if (!mem_reserve() || mprotect(mem_at(0), boot_bytes, PROT_READ | PROT_WRITE) != 0)
            return NULL;
        mem.boot_ready = true;
    }
    size_t at = round_up(mem.boot_used + 16, max_size(align, 16));
    if (size > boot_bytes || at + size > boot_bytes) {
        errno = ENOMEM;
        return NULL;
    }
    mem.boot_used = at + size;
    memcpy(mem_at(at - 16), &size, sizeof size);
    return mem_at(at);
}

static size_t boot_size(const void *p)
{
    size_t size;
    memcpy(&size, (const char *)p - 16, sizeof size);
    return size;
}

/* ============================================================================================
 * === STATS  the summary at exit, and bigmaac_stats
 * ========================================================================================= */
static void stats_take(struct bigmaac_stats *out)
{
    struct op op;
    memset(out, 0, sizeof *out);
    out->size = sizeof *out;
    out->bigmaacs = count.bigmaacs;
    out->bigmaac_bytes = count.bigmaac_bytes;
    out->bigmaac_peak = count.bigmaac_peak;
    out->fries = count.fries;
    if (heap_self)
        heap_flush(heap_self);
    op_begin(&op);
    pthread_mutex_lock(&fry.lock);
    out->fry_bytes = fry_live_bytes();
    for (struct heap *h = fry.all; h; h = h->next_all)
        out->fries += h->taken;
    pthread_mutex_unlock(&fry.lock);
    op_end(&op);
    out->fry_peak = max_size(count.fry_peak, out->fry_bytes);
    out->files = folder.files;
    out->file_bytes = folder.bytes;
    out->file_peak = folder.bytes_peak;
    out->warm_bytes = big.warm_bytes;
    for (int i = 1; i < REASON_COUNT; i++)
        out->fell_through += count.fell_count[i];
}

/* The policies that the largest bigmaacs ended in. */
COLD static void stats_report_paging(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    report("stats paging=%s major_faults=%ld read_bytes=%ld probes=%zu changes=%zu fries=%s",
           paging_words[cfg.paging], u.ru_majflt, u.ru_inblock * 512, count.probes, count.changes,
           policy_names[fry.policy[0]]);
    for (uint32_t i = 1, told = 0; i <= big.record_count && told < 16; i++) {
        const struct big *r = big_at(i);
        if (!r->in_use || big_extent(r)->state != EXTENT_LIVE || r->mapped < 64 * mib)
            continue;
        char text[BIG_PARTS * 12] = "";
        for (size_t p = 0, n = 0; p * big_part_bytes(r->mapped) < r->mapped; p++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", p ? "," : "", policy_names[r->policy[p]]);
        report("stats mapping=%p bytes=%zu policy=%s changes=%u", (void *)mem_at(big_offset(r)),
               r->mapped, text, r->policy_changes);
        told++;
    }
}

COLD static void stats_report(void)
{
    struct bigmaac_stats s;
    stats_take(&s);
    report("stats bigmaacs=%lu bigmaac_bytes=%lu bigmaac_peak=%lu fries=%lu fry_bytes=%lu "
           "fry_peak=%lu passed=%zu", s.bigmaacs, s.bigmaac_bytes, s.bigmaac_peak, s.fries,
           s.fry_bytes, s.fry_peak, atomic_load(&count.passed));
    report("stats files=%lu file_bytes=%lu file_peak=%lu warm_bytes=%lu grown=%zu moved=%zu "
           "recycled=%zu", s.files, s.file_bytes, s.file_peak, s.warm_bytes,
           atomic_load(&count.grown), atomic_load(&count.moved), atomic_load(&count.recycled));
    stats_report_paging();
    for (int i = 1; i < REASON_COUNT; i++)
        if (count.fell_count[i])
            report("stats fell_through reason=%s count=%zu bytes=%zu", reason_names[i],
                   atomic_load(&count.fell_count[i]), atomic_load(&count.fell_bytes[i]));
}

/* ============================================================================================
 * === PROFILE  BIGMAAC_PROFILE=1: which threshold would suit this program?
 *
 * Everything is passed through; what is live is counted by size, eight bins per doubling. The
 * counts at the moment when most was live are kept, and told at exit or when the program dies of
 * a signal. Every count is atomic for itself; the snapshot is as exact as threads let it be.
 * ========================================================================================= */
enum { PROFILE_SUB = 8, PROFILE_BINS = 64 * PROFILE_SUB };

static struct {
    void (*free)(void *);                /* the next one's; ours stands in its place */
    atomic_size_t live[PROFILE_BINS];    /* bytes now */
    atomic_size_t total, told_total;     /* now; when the snapshot was taken */
    size_t peak[PROFILE_BINS];           /* the snapshot; lock */
    pthread_mutex_t lock;
    atomic_bool told;
} profile = {.lock = PTHREAD_MUTEX_INITIALIZER};

static unsigned profile_bin(size_t size)
{
    unsigned log = size < PROFILE_SUB ? 3 : log2_floor(size);
    return log * PROFILE_SUB + (unsigned)(size >> (log - 3) & (PROFILE_SUB - 1));
}

/* The smallest size that falls into the bin. */
static size_t profile_bin_size(unsigned bin)
{
    return (size_t)(PROFILE_SUB + bin % PROFILE_SUB) << (bin / PROFILE_SUB - 3);
}

static void profile_snapshot(void)
{
    if (pthread_mutex_trylock(&profile.lock) != 0)
        return; /* somebody is taking one */
    for (unsigned i = 0; i < PROFILE_BINS; i++)
        profile.peak[i] = atomic_load_explicit(&profile.live[i], memory_order_relaxed);
    atomic_store(&profile.told_total, atomic_load(&profile.total));
    pthread_mutex_unlock(&profile.lock);
}

/* Notes a block that was given out; NULL is none. Returns it. */
static void *profile_add(void *p)
{
    if (!p || !cfg.profile)
        return p;
    size_t size = next.usable(p);
    atomic_fetch_add_explicit(&profile.live[profile_bin(size)], size, memory_order_relaxed);
    size_t total = atomic_fetch_add_explicit(&profile.total, size, memory_order_relaxed) + size;
    size_t told = atomic_load_explicit(&profile.told_total, memory_order_relaxed);
    if (total > told + told / 64)
        profile_snapshot();
    return p;
}

static void profile_remove(void *p)
{
    size_t size = next.usable(p);
    atomic_fetch_sub_explicit(&profile.live[profile_bin(size)], size, memory_order_relaxed);
    atomic_fetch_sub_explicit(&profile.total, size, memory_order_relaxed);
}

static void profile_free(void *p)
{
    if (p)
        profile_remove(p);
    profile.free(p);
}

static void *profile_realloc(void *p, size_t size)
{
    if (p && cfg.profile)
        profile_remove(p);
    void *to = next.realloc(p, size);
    if (!to && p && size && cfg.profile)
        profile_add(p);
    return profile_add(to);
}

/* "4K" and the like, rounded down. */
static const char *size_text(size_t bytes, char text[16])
{
    unsigned unit = bytes < kib ? 0 : log2_floor(bytes) / 10;
    unit = unit > 4 ? 4 : unit;
    snprintf(text, 16, "%zu%.*s", bytes >> (10 * unit), unit ? 1 : 0, &"-KMGT"[unit]);
    return text;
}

/* A setting that moves that share of the peak to disk: small requests as fries, as a file for each costs more
 * than they are worth. */
COLD static void profile_tell_threshold(size_t all, unsigned percent)
{
    size_t above = 0;
    char text[16];
    unsigned bin = PROFILE_BINS;
    while (bin && above < all / 100 * percent)
        above += profile.peak[--bin];
    size_t size = bin < PROFILE_BINS && profile_bin_size(bin) > 1 ? profile_bin_size(bin) - 1 : 1;
    report("profile: %u %% of the peak is in requests above %s: BIGMAAC_MIN_%s_SIZE=%s", percent,
           size_text(size, text), size < mib ? "FRY" : "BIGMAAC", text);
}

COLD static void profile_report(void)
{
    size_t all = 0, most = 1, row[64] = {0};
    if (!first_time(&profile.told))
        return;
    for (unsigned i = 0; i < PROFILE_BINS; i++) {
        all += profile.peak[i];
        row[i / PROFILE_SUB] += profile.peak[i];
        most = max_size(most, row[i / PROFILE_SUB]);
    }
    char from[16], to[16], bytes[16];
    report("profile: %s live at the peak, by size of the request", size_text(all, bytes));
    for (unsigned i = 3; i < 63; i++)
        if (row[i] * 1000 > all)
            report("profile: %5s to %5s %6s %3zu %% %.*s", size_text((size_t)1 << i, from),
                   size_text((size_t)2 << i, to), size_text(row[i], bytes), row[i] * 100 / all,
                   (int)(row[i] * 40 / most), "########################################");
    for (size_t i = 0; all && i < 3; i++)
        profile_tell_threshold(all, (const unsigned[]){50, 90, 99}[i]);
}

/* A program that dies is the one whose profile is wanted. It dies all the same. */
static void profile_die(int sig)
{
    profile_report();
    raise(sig); /* SA_RESETHAND: the default action now */
}

COLD static void profile_open(void)
{
    static const int deaths[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTERM, SIGINT};
    struct sigaction die = {.sa_handler = profile_die, .sa_flags = SA_RESETHAND | SA_NODEFER}, now;
    profile.free = next.free;
    next.free = profile_free;
    for (size_t i = 0; i < sizeof deaths / sizeof deaths[0]; i++)
        if (sigaction(deaths[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
            sigaction(deaths[i], &die, NULL);
}

/* ============================================================================================
 * === HOME  bringing back to disk what was written after a fork
 *
 * After a fork a frozen block is a private mapping of its file: what is written to it becomes
 * anonymous memory, which nobody can page out. Such pages are found through pagemap and written,
 * a granule at a time, to a file of our own, which is then mapped over the granule MAP_SHARED.
 * Nobody may write to the granule between the copy and the mapping: the process has no other
 * thread, or they are all stopped (MONITOR).
 * ========================================================================================= */
static struct home {
    atomic_size_t frozen_bytes;   /* in frozen bigmaacs and fries; 0: nothing to do */
    atomic_bool wanted;           /* the monitor asks the next allocator call to do it */
} home;

static const uint64_t pagemap_present = (uint64_t)1 << 63, pagemap_swapped = (uint64_t)1 << 62;
static const uint64_t pagemap_file = (uint64_t)1 << 61;

/* Pages of [offset, offset + bytes) that are anonymous, so changed since the fork. */
static size_t pages_changed(int pagemap, size_t offset, size_t bytes)
{
    uint64_t entry[512];
    size_t changed = 0, system_page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t at = offset; at < offset + bytes;) {
        size_t n = min_size(sizeof entry / sizeof entry[0], (offset + bytes - at) / system_page);
        off_t where = (off_t)((uintptr_t)mem_at(at) / system_page * sizeof entry[0]);
        if (syscall(SYS_pread64, pagemap, entry, n * sizeof entry[0], where) <= 0)
            return 0;
        for (size_t i = 0; i < n; i++)
            changed += (entry[i] & (pagemap_present | pagemap_swapped)) && !(entry[i] & pagemap_file);
        at += n * system_page;
    }
    return changed;
}

static inline bool home_bit(const struct big *r, size_t granule)
{
    return r->home && r->home[granule / 64] >> (granule % 64) & 1;
}

/* The file and the bits for a frozen block's changed granules. */
static bool home_open(struct big *r)
{
    if (r->own.fd >= 0)
        return file_valid(&r->own);
    if (file_create(&r->own, files_for_fries) != REASON_NONE)
        return false;
    void *bits = mmap(NULL, home_bytes(r), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bits == MAP_FAILED) {
        file_close(&r->own);
        return false;
    }
    r->home = bits;
    return true;
}

/* Brings one granule home. Its pages are dropped from memory's anonymous part by the mapping. */
static bool home_granule(struct big *r, size_t granule)
{
    size_t from = granule * huge_size, bytes = min_size(huge_size, r->mapped - from);
    const char *at = mem_at(big_offset(r) + from);
    if (file_extend(&r->own, from, bytes) || file_write(&r->own, at, bytes, from) ||
        file_map(&r->own, big_offset(r) + from, bytes, from, MAP_SHARED))
        return false;
    r->home[granule / 64] |= (uint64_t)1 << (granule % 64);
    folder_count(huge_size, 0);
    return true;
}

/* Small blocks, and those that a second fork has frozen in two files, come home whole. */
static bool home_whole(struct big *r, int pagemap)
{
    return pages_changed(pagemap, big_offset(r), r->mapped) == 0 || big_refile(r) == REASON_NONE;
}

/* Brings the changed parts of one frozen block home. Returns false when it can't go on. */
static bool home_big(struct big *r, int pagemap)
{
    if (r->mapped <= huge_size || r->own_frozen)
        return home_whole(r, pagemap);
    for (size_t g = 0; g * huge_size < r->mapped; g++) {
        size_t from = g * huge_size, bytes = min_size(huge_size, r->mapped - from);
        if (home_bit(r, g) || !pages_changed(pagemap, big_offset(r) + from, bytes))
            continue;
        if (!home_open(r) || !home_granule(r, g))
            return false;
    }
    return true;
}

/* Requires fry.lock. Writes an extent's content to the current file and maps that. */
static bool fry_take_home(struct extent *x)
{
    size_t offset = extent_offset(&fry.space, x), bytes = to_bytes(x->pages), at = to_bytes(x->page);
    if (fry_ready_file())
        return false;
    if (file_extend(&fry.file, at, bytes) || file_write(&fry.file, mem_at(offset), bytes, at) ||
        file_map(&fry.file, offset, bytes, at, MAP_SHARED)) {
        file_punch(&fry.file, at, bytes); /* these pages are zero when they are used next */
        return false;
    }
    fry_backed(at, bytes);
    x->slot = slot_current;
    return true;
}

/* Requires fry.lock. The same for one frozen slab or page run. */
static bool home_fry(struct extent *x, int pagemap)
{
    size_t offset = extent_offset(&fry.space, x), bytes = to_bytes(x->pages);
    return !pages_changed(pagemap, offset, bytes) || fry_take_home(x);
}

/* Requires that no other thread of the program runs, and all locks of ours. */
static void home_all(void)
{
    int pagemap = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    size_t frozen = 0;
    bool going = pagemap >= 0;
    for (uint32_t i = 1; i <= big.record_count; i++) {
        struct big *r = big_at(i);
        if (!r->in_use || !r->frozen)
            continue;
        going = going && home_big(r, pagemap);
        frozen += r->frozen ? r->mapped : 0;
    }
    for (uint32_t i = 1; i <= fry.space.extent_count; i++) {
        struct extent *x = extent_at(&fry.space, i);
        if (x->state != EXTENT_LIVE || x->slot != 0)
            continue;
        going = going && home_fry(x, pagemap);
        frozen += x->slot == 0 ? to_bytes(x->pages) : 0;
    }
    if (pagemap >= 0)
        syscall(SYS_close, pagemap);
    atomic_store(&home.frozen_bytes, frozen);
    count_one(&count.brought_home);
    if (cfg.verbose)
        report("after a fork: changed memory was brought back to disk, %zu bytes stay frozen", frozen);
}

/* Reads one of /proc/self's files; returns its length, 0 if that can't be done now. */
static size_t read_self(const char *path, char *text, size_t space, off_t from)
{
    for (int tries = 0; atomic_exchange(&room.busy, true); tries++, sched_yield())
        if (tries == 1000)
            return 0; /* a handler that interrupted the reader itself */
    size_t got = read_kept(path, text, space, from);
    atomic_store(&room.busy, false);
    return got;
}

/* Anonymous memory of the process, bytes. */
static size_t anonymous_bytes(void)
{
    char text[128], *at = text;
    if (!read_self("/proc/self/statm", text, sizeof text, 0))
        return 0;
    strtoul(at, &at, 10);
    size_t resident = strtoul(at, &at, 10), shared = strtoul(at, &at, 10);
    return (resident > shared ? resident - shared : 0) * (size_t)sysconf(_SC_PAGESIZE);
}

/* Bytes of page tables; 0: not known. */
static size_t tables_bytes(void)
{
    char text[4096];
    return read_self("/proc/self/status", text, sizeof text, 0) ? text_value(text, "VmPTE:", 0) * kib : 0;
}

/* ============================================================================================
 * === FORK  what a child inherits
 *
 * prepare takes every lock (LOCK ORDER) and freezes every block: its mapping turns MAP_PRIVATE,
 * so that the kernel's copy-on-write isolates both sides from the first instruction after the
 * fork. A block is frozen once; later forks find it private already. parent and child let the
 * locks go; the child also drops what belongs to threads that it does not have.
 *
 * BIGMAAC_FORK=copy: the child gets files of its own before the fork returns, and the parent's
 * blocks stay as they are. With several threads the copies could not be of one moment: then the
 * blocks are frozen, and the child brings all of them home before it goes on.
 * ========================================================================================= */
static struct {
    struct op op;       /* of the forking thread; guarded by the gate, held for writing */
    bool copies;        /* `own` of every live bigmaac is the child's copy */
    struct file fries;  /* the child's copy of the fries file */
    bool alone;         /* fork() has made the process one with a single thread */
    atomic_bool probing; /* PAGING has set everything to RANDOM for a moment; WATCH does nothing */
} forking;

static struct mon {
    pthread_mutex_t lock;
    atomic_bool running;   /* the thread exists, or is about to */
    atomic_int tid;        /* of the thread; 0: none */
    atomic_int alive;      /* threads of ours that /proc counts, or will in a moment no more */
    atomic_uint_fast64_t failed_ms; /* when it could not be made; 0: never */
    atomic_bool wanted;    /* the next malloc asks whether it is needed */
    atomic_bool only_ours; /* glibc counts several threads because of ours */
    atomic_uint awake;     /* futex, a lock: 0 free, 1 taken, 2 somebody waits. Held while the thread is
                            * not asleep; a fork takes it to keep the thread where it is */
    atomic_uint wake;      /* futex: raised when there is work before the sleep is over */
} mon = {.lock = PTHREAD_MUTEX_INITIALIZER};

enum { WATCH_PARK, WATCH_ON, WATCH_END };

static struct {
    atomic_bool running;   /* the thread exists, or is about to */
    atomic_uint order;     /* futex: what it is to do, WATCH_...: the monitor says it, who makes the thread says
                            * PARK first, and so does the thread where it can't do what it should */
    atomic_int tid;        /* of the thread; 0: none */
    atomic_size_t budget;  /* bytes that may be asked for in advance of all walks */
    atomic_uint_fast64_t unable_until; /* ms: it can't be done before that; UINT64_MAX: never */
} watch;

/* Keeps the thread asleep, or waits until it is. Plain atomics and system calls: while a fork has
 * it, glibc believes in one thread, and its mutexes would not be safe in a second. */
static void mon_hold(void)
{
    unsigned now = 0;
    if (atomic_compare_exchange_strong(&mon.awake, &now, 1))
        return;
    while (atomic_exchange(&mon.awake, 2) != 0)
        syscall(SYS_futex, &mon.awake, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
}

static void mon_release(void)
{
    if (atomic_exchange(&mon.awake, 0) == 2)
        syscall(SYS_futex, &mon.awake, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Does a fork wait for the lock that the monitor has? */
static bool mon_wanted(void)
{
    return atomic_load(&mon.awake) == 2;
}

/* In the middle of long work: a fork that waits for the thread comes in between. */
static void mon_pause(void)
{
    struct timespec t = {.tv_nsec = 100000};
    mon_release();
    syscall(SYS_nanosleep, &t, NULL);
    mon_hold();
}

/* Threads of the program, without ours. */
static size_t thread_count(void)
{
    struct stat st;
    if (stat("/proc/self/task", &st) != 0)
        return 2; /* not known: assume that there are others */
    int ours = atomic_load(&mon.alive);
    return st.st_nlink - 2 - (size_t)(ours > 0 ? ours : 0);
}

/* The last resort, without memory for a private mapping: the child does not get the block. */
COLD static void fork_withhold(size_t offset, size_t bytes)
{
    mem_advise(offset, bytes, MADV_DONTFORK);
    count_fell(REASON_FORK, bytes);
    report("fork: no memory to isolate %zu bytes at %p; the child will not have them", bytes,
           (void *)mem_at(offset));
}

/* Turns the granules that have come home private again: a second file is frozen. */
static void freeze_own(struct big *r)
{
    size_t granules = (r->mapped + huge_size - 1) / huge_size;
    for (size_t g = 0, end; g < granules; g = end + 1) {
        for (end = g; end < granules && home_bit(r, end); end++)
            ;
        if (end == g)
            continue;
        size_t from = g * huge_size, to = min_size(end * huge_size, r->mapped);
        if (!file_valid(&r->own) || file_map(&r->own, big_offset(r) + from, to - from, from, MAP_PRIVATE))
            fork_withhold(big_offset(r) + from, to - from);
    }
    r->own_frozen = true;
}

/* The program has closed the descriptor of a block that its other threads may be writing to: it can't move
 * to another file. The child gets a copy, and it stays as it is here. */
static bool freeze_copy(struct big *r)
{
    if (file_create(&r->own, files_for_fries))
        return false;
    if (!file_extend(&r->own, 0, r->mapped) && !file_write(&r->own, mem_at(big_offset(r)), r->mapped, 0))
        return true;
    file_close(&r->own);
    return false;
}

static void freeze_big(struct big *r)
{
    if (r->ordinary)
        return;
    if (!r->frozen && !file_valid(&r->file) && thread_count() > 1) {
        if (!freeze_copy(r))
            fork_withhold(big_offset(r), r->mapped);
    } else if (!r->frozen) {
        bool valid = file_valid(&r->file) || big_refile(r) == REASON_NONE;
        if (!valid || file_map(&r->file, big_offset(r), r->mapped, 0, MAP_PRIVATE))
            fork_withhold(big_offset(r), r->mapped);
        r->frozen = true;
        big_apply_policy(r, false);
    } else if (r->home && !r->own_frozen) {
        freeze_own(r);
    }
}

/* Requires fry.lock. Copies an extent for the child: other threads may be writing to it. */
static bool fry_copy_lost(const struct extent *x)
{
    size_t at = to_bytes(x->page), bytes = to_bytes(x->pages);
    return (forking.fries.fd >= 0 || !file_create(&forking.fries, 0)) &&
           !file_extend(&forking.fries, at, bytes) &&
           !file_write(&forking.fries, mem_at(extent_offset(&fry.space, x)), bytes, at);
}

/* Requires fry.lock. What is mapped from a file that we have no descriptor of can't be frozen:
 * it moves to one that we have, or, with other threads, the child gets a copy. */
static void fry_rescue(void)
{
    struct space *s = &fry.space;
    if (fry.file.fd >= 0 && !file_valid(&fry.file))
        fry_lose_file();
    bool alone = thread_count() == 1;
    for (uint32_t i = 1; i <= s->extent_count; i++) {
        struct extent *x = extent_at(s, i);
        if (x->state == EXTENT_UNUSED || x->slot != slot_lost)
            continue;
        if (x->state == EXTENT_LIVE && !(alone ? fry_take_home(x) : fry_copy_lost(x)))
            fork_withhold(extent_offset(s, x), to_bytes(x->pages));
        if (x->state != EXTENT_FREE)
            continue;
        mem_unmap(extent_offset(s, x), to_bytes(x->pages));
        if (x->kind == KIND_DIRTY)
            fry.dirty_pages -= x->pages;
        bins_remove(s, &s->free[x->kind], i);
        x->slot = 0;
        extent_release(s, i, KIND_CLEAN);
    }
}

/* Requires fry.lock. A new fries file with what is live. */
static bool fry_copy(struct file *to)
{
    if (file_create(to, 0))
        return false;
    for (uint32_t i = 1; i <= fry.space.extent_count; i++) {
        const struct extent *x = extent_at(&fry.space, i);
        size_t at = to_bytes(x->page), bytes = to_bytes(x->pages);
        if (x->state != EXTENT_LIVE || x->slot != slot_current)
            continue;
        if (file_extend(to, at, bytes) ||
            file_write(to, mem_at(extent_offset(&fry.space, x)), bytes, at)) {
            file_close(to);
            return false;
        }
    }
    return true;
}

/* Requires fry.lock. Maps every extent that the fries file is mapped at anew, in long runs. */
static void fry_remap(const struct file *f, int sharing)
{
    struct space *s = &fry.space;
    uint32_t i = extent_first(s);
    while (i) {
        uint32_t from = extent_at(s, i)->page, pages = 0;
        for (; i && extent_at(s, i)->slot == slot_current; i = extent_at(s, i)->next)
            pages += extent_at(s, i)->pages;
        size_t offset = s->start + to_bytes(from);
        bool failed = pages && file_map(f, offset, to_bytes(pages), to_bytes(from), sharing);
        if (failed && sharing == MAP_SHARED) /* in the child: it must not share its parent's */
            fatal("fork: can't map the child's copy of %zu bytes", to_bytes(pages));
        if (failed)
            fork_withhold(offset, to_bytes(pages));
        if (!pages)
            i = extent_at(s, i)->next;
    }
}

/* Requires fry.lock. The file behind the fries changes: `slot` says whether the mappings follow
 * it. Free pages have no blocks in the next one. */
static void fry_change_file(const struct file *to, uint8_t slot)
{
    struct space *s = &fry.space;
    for (uint32_t i = 1; i <= s->extent_count; i++) {
        struct extent *x = extent_at(s, i);
        if (x->state == EXTENT_UNUSED || x->slot != slot_current)
            continue;
        x->slot = slot;
        if (x->state != EXTENT_FREE)
            continue;
        if (x->kind == KIND_DIRTY)
            fry.dirty_pages -= x->pages;
        if (slot == 0 && (!x->next || x->pages >= to_pages(huge_size)))
            mem_unmap(extent_offset(s, x), to_bytes(x->pages)); /* it would keep the file for long */
        bins_remove(s, &s->free[x->kind], i);
        extent_release(s, i, KIND_CLEAN);
    }
    size_t backed = to->fd >= 0 ? fry.run_bytes + fry.slab_bytes : 0;
    folder_count(backed, fry.backed_bytes);
    fry.backed_bytes = backed;
    fry.file_bytes = 0; /* at least; fallocate alone extends files safely */
    file_close(&fry.file);
    fry.file = *to;
}

/* Requires fry.lock. */
static void freeze_fries(void)
{
    fry_rescue();
    if (fry.file.fd < 0)
        return;
    if (fry.dirty_pages > to_pages(fry_chunk_max))
        fry_purge(); /* what both sides would keep for nothing */
    fry_remap(&fry.file, MAP_PRIVATE);
    fry_change_file(&(struct file){.fd = -1}, 0);
}

static void freeze_all(void)
{
    freeze_fries();
    size_t frozen = fry.run_bytes + fry.slab_bytes;
    for (uint32_t i = 1; i <= big.record_count; i++) {
        struct big *r = big_at(i);
        if (!r->in_use)
            continue;
        if (big_extent(r)->state == EXTENT_LIVE)
            freeze_big(r);
        frozen += r->frozen ? r->mapped : 0;
    }
    atomic_store(&home.frozen_bytes, frozen);
}

/* --- copies for BIGMAAC_FORK=copy --------------------------------------------------------------- */

/* Copies the parts of a block that its file has, or all of it where the file can't tell. */
static enum reason copy_data(const struct big *r, const struct file *to)
{
    const char *at = mem_at(big_offset(r));
    off_t end = (off_t)r->mapped;
    for (off_t from = 0, hole; from < end; from = hole) {
        off_t data = lseek(r->file.fd, from, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break;
        from = data < 0 ? from : data;
        hole = lseek(r->file.fd, from, SEEK_HOLE);
        hole = hole < 0 || hole > end ? end : hole;
        enum reason why = file_write(to, at + from, (size_t)(hole - from), (size_t)from);
        if (why)
            return why;
    }
    return REASON_NONE;
}

/* A copy of the block's file for the child; a reflink where the file system can. */
static bool copy_big(struct big *r)
{
    if (!file_valid(&r->file) || file_create(&r->own, files_for_fries))
        return false;
    if (ioctl(r->own.fd, FICLONE, r->file.fd) == 0)
        return true;
    if (!file_extend(&r->own, 0, r->mapped) && !copy_data(r, &r->own))
        return true;
    file_close(&r->own);
    return false;
}

/* The parent has no use for the copies. */
static void copy_drop(void)
{
    file_close(&forking.fries);
    for (uint32_t i = 1; i <= big.record_count; i++)
        if (big_at(i)->in_use && !big_at(i)->frozen)
            file_close(&big_at(i)->own);
}

/* Copies everything, or nothing when one copy fails: then the fork freezes instead. */
static bool copy_all(void)
{
    fry_rescue();
    bool copied = fry.file.fd < 0 || fry_copy(&forking.fries);
    for (uint32_t i = 1; i <= big.record_count && copied; i++) {
        struct big *r = big_at(i);
        if (r->in_use && big_extent(r)->state == EXTENT_LIVE && !r->ordinary)
            copied = !r->frozen && copy_big(r);
    }
    if (!copied)
        copy_drop();
    return copied;
}

/* In the child: what fry_rescue has copied. */
static void rescue_adopt(void)
{
    for (uint32_t i = 1; i <= fry.space.extent_count; i++) {
        struct extent *x = extent_at(&fry.space, i);
        size_t bytes = to_bytes(x->pages);
        if (x->state != EXTENT_LIVE || x->slot != slot_lost)
            continue;
        if (file_map(&forking.fries, extent_offset(&fry.space, x), bytes, to_bytes(x->page), MAP_SHARED))
            fatal("fork: can't map the child's copy of %zu bytes", bytes);
        x->slot = slot_current;
        fry_backed(to_bytes(x->page), bytes);
    }
    fry.file = forking.fries;
    forking.fries.fd = -1;
}

/* The child's side: the copies become its files. */
static void copy_adopt(void)
{
    if (forking.fries.fd >= 0 && !forking.copies) {
        rescue_adopt();
    } else if (forking.fries.fd >= 0) {
        fry_remap(&forking.fries, MAP_SHARED);
        fry_change_file(&forking.fries, slot_current);
    }
    for (uint32_t i = 1; i <= big.record_count; i++) {
        struct big *r = big_at(i);
        if (!r->in_use || r->own.fd < 0 || r->frozen)
            continue;
        if (file_map(&r->own, big_offset(r), r->mapped, 0, MAP_SHARED))
            fatal("fork: can't map the child's copy of %zu bytes", r->mapped);
        file_close(&r->file);
        r->file = r->own;
        r->own.fd = -1;
        big_apply_policy(r, false);
    }
}

/* --- the handlers ------------------------------------------------------------------------------- */

/* Warm bigmaacs stay with the parent: the child does not even map them. */
static void warm_withhold(int advice)
{
    for (uint32_t i = big.warm_oldest; i; i = big_at(i)->warm_newer)
        mem_advise(big_offset(big_at(i)), big_at(i)->mapped, advice);
}

static void warm_forget(void)
{
    while (big.warm_oldest) {
        struct big *r = big_at(big.warm_oldest);
        warm_unlink(r);
        mem_unmap(big_offset(r), r->mapped);
        big_close_files(r);
        big.live_bytes -= r->mapped;
        extent_free(&big.space, r->extent, KIND_CLEAN);
        big_record_forget(r);
    }
}

/* Another thread's heap may have been in the middle of anything but a locked operation: its
 * slabs are put in order from what can't be torn, the bitmaps. */
static void slab_rebuild(struct slab *s)
{
    uint32_t free_blocks = 0;
    s->summary = 0;
    for (unsigned w = 0; w < s->words; w++) {
        s->free[w] |= atomic_exchange(&slab_remote(s)[w], 0);
        s->summary |= s->free[w] ? (uint64_t)1 << w : 0;
        free_blocks += (uint32_t)__builtin_popcountl(s->free[w]);
    }
    atomic_store(&s->remote, 0);
    /* Where the handler that forks came in the middle of a free of ours: it will be counted. */
    s->ahead = s == remote_self.slab ? remote_self.blocks : 0;
    s->rest = 0;
    s->due = s->blocks - free_blocks + s->ahead;
}

/* A slab of the child's own thread. Remote frees that set their bit and did not get to count it are
 * counted here, and so are those whose bit an earlier collection has taken. */
static void slab_inherit(struct slab *s)
{
    uint32_t remote = s->ahead;
    for (unsigned w = 0; w < s->words; w++)
        remote += (uint32_t)__builtin_popcountl(slab_remote(s)[w]);
    atomic_store(&s->remote, remote);
}

/* In the child: heaps of threads that it does not have become idle. The own heap's fields are
 * its own thread's; only what others do to it, remote frees, may be half-done. */
static void heaps_inherit(void)
{
    fry.idle = NULL;
    for (struct heap *h = fry.all; h; h = h->next_all) {
        atomic_store(&h->visitors, NULL);
        if (h == heap_self)
            continue;
        for (unsigned c = 0; c < CLASS_COUNT; c++)
            h->bin[c] = &slab_none;
        memset(h->spare, 0, sizeof h->spare);
        memset(h->pending, 0, sizeof h->pending); /* what waited is lost: a few blocks stay in use */
        h->pending_classes = 0;
        atomic_store(&h->idle, true);
        h->next_idle = fry.idle;
        fry.idle = h;
    }
    for (uint32_t i = 1; i <= fry.space.extent_count; i++) {
        const struct extent *x = extent_at(&fry.space, i);
        if (x->state != EXTENT_LIVE || !(x->flags & flag_slab))
            continue;
        struct slab *s = meta_at(x->aux);
        struct heap *owner = atomic_load(&s->owner);
        if (owner == heap_self) {
            slab_inherit(s);
            if (atomic_load(&s->remote))
                heap_push_visitor(owner, s);
        } else {
            slab_rebuild(s);
            slab_list(owner, s);
        }
    }
}

static void fork_prepare(void)
{
    struct op op;
    op.err = errno;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &op.signals);
    atomic_fetch_add(&op_waiting, 1);
    pthread_rwlock_wrlock(&gate);
    atomic_fetch_sub(&op_waiting, 1);
    forking.op = op;
    pthread_mutex_lock(&fry.lock);
    pthread_mutex_lock(&big.lock);
    pthread_mutex_lock(&mon.lock);
    forking.copies = false;
    forking.fries.fd = -1;
    if (!atomic_load(&fry.open))
        return;
    warm_withhold(MADV_DONTFORK);
    if (cfg.fork_mode == FORK_COPY && thread_count() == 1)
        forking.copies = copy_all();
    if (!forking.copies)
        freeze_all();
}

/* What was just frozen may be written to, and fill the memory, in a fraction of a second. */
static void mon_wake(void)
{
    atomic_fetch_add(&mon.wake, 1);
    syscall(SYS_futex, &mon.wake, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void mon_after_fork(void)
{
    if (!atomic_load(&home.frozen_bytes))
        return;
    if (atomic_load(&mon.running)) {
        mon_wake();
    } else {
        atomic_store(&mon.wanted, true);
        __atomic_store_n(&route.limit, 0, __ATOMIC_RELEASE);
    }
}

static void fork_parent(void)
{
    struct op op = forking.op;
    if (atomic_load(&fry.open)) {
        warm_withhold(MADV_DOFORK);
        copy_drop();
        mon_after_fork();
    }
    pthread_mutex_unlock(&mon.lock);
    pthread_mutex_unlock(&big.lock);
    pthread_mutex_unlock(&fry.lock);
    pthread_rwlock_unlock(&gate);
    pthread_sigmask(SIG_SETMASK, &op.signals, NULL);
    errno = op.err;
}

/* BIGMAAC_FORK=copy, where the copies could not be made before the fork. */
static void child_refile(void)
{
    for (uint32_t i = 1; i <= big.record_count; i++)
        if (big_at(i)->in_use && big_at(i)->frozen && big_refile(big_at(i)))
            count_fell(REASON_FORK, big_at(i)->mapped); /* it stays frozen: right, in RAM */
}

/* --- what the child does not get ------------------------------------------------------------- */

static bool is_withheld(size_t offset, size_t bytes)
{
    return syscall(SYS_msync, mem_at(offset), bytes, MS_ASYNC) != 0 && errno == ENOMEM;
}

/* Nothing is handed out from the slab any more, and it never counts as empty. */
static void slab_withhold(struct slab *s)
{
    memset(s->free, 0, s->words * sizeof s->free[0]);
    s->summary = 0;
    s->due += (uint32_t)1 << 20;
}

/* Requires fry.lock. */
static void fry_reserve(uint32_t i)
{
    struct extent *x = extent_at(&fry.space, i);
    mem_unmap(extent_offset(&fry.space, x), to_bytes(x->pages));
    if (x->state == EXTENT_LIVE) {
        x->slot = slot_withheld;
        if (x->flags & flag_slab)
            slab_withhold(meta_at(x->aux));
    } else if (x->kind == KIND_DIRTY) {
        fry.dirty_pages -= x->pages;
        bins_remove(&fry.space, &fry.space.free[KIND_DIRTY], i);
        x->flags = x->slot = 0;
        extent_release(&fry.space, i, KIND_CLEAN);
    }
}

/* In the child: what fork_withhold kept from it is a hole. It stays address space of ours, or mappings of
 * the program's would come to lie there; and no new block does. */
static void child_reserve(void)
{
    for (uint32_t i = 1; i <= big.record_count; i++) {
        struct big *r = big_at(i);
        bool copied = !r->frozen && r->own.fd >= 0; /* copy_adopt maps it */
        if (!r->in_use || copied || !is_withheld(big_offset(r), r->mapped))
            continue;
        r->frozen = true; /* not for reuse */
        for (size_t from = 0; from < r->mapped; from += huge_size) {
            size_t bytes = min_size(huge_size, r->mapped - from);
            if (is_withheld(big_offset(r) + from, bytes))
                mem_unmap(big_offset(r) + from, bytes);
        }
    }
    for (uint32_t i = 1; i <= fry.space.extent_count; i++) {
        const struct extent *x = extent_at(&fry.space, i);
        if (x->state != EXTENT_UNUSED && is_withheld(extent_offset(&fry.space, x), to_bytes(x->pages)))
            fry_reserve(i);
    }
}

/* The monitor that would have ended the probe is not in the child. */
static void child_end_probe(void)
{
    for (uint32_t i = 1; i <= big.record_count; i++)
        if (big_at(i)->in_use && !big_at(i)->ordinary)
            big_apply_policy(big_at(i), true);
}

static void fork_child(void)
{
    struct op op = forking.op;
    atomic_store(&mon.running, false);
    atomic_store(&mon.alive, 0);
    atomic_store(&mon.awake, 0);
    if (forking.alone) /* glibc knows; before other libraries' handlers, which may start the monitor */
        atomic_store(&mon.only_ours, false);
    forking.alone = false;
    atomic_store(&op_waiting, 0); /* of threads that are not here */
    mon_self = false;
    atomic_store(&mon.tid, 0);
    atomic_store(&watch.tid, 0);
    atomic_store(&watch.running, false);
    atomic_store(&watch.order, WATCH_PARK);
    kept_forget();
    if (atomic_load(&fry.open)) {
        heaps_inherit();
        warm_forget();
        if (atomic_load(&count.fell_count[REASON_FORK]))
            child_reserve();
        copy_adopt();
        if (!forking.copies && cfg.fork_mode == FORK_COPY)
            child_refile();
        if (atomic_exchange(&forking.probing, false))
            child_end_probe();
        mon_after_fork();
    }
    gate = (pthread_rwlock_t)PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
    fry.lock = big.lock = mon.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    pthread_sigmask(SIG_SETMASK, &op.signals, NULL);
    errno = op.err;
}

/* ============================================================================================
 * === WATCH  the addresses of faults while they happen, where the kernel tells them
 *
 * No advice fits a program that reads blocks of some pages here and there: the kernel reads one page
 * at a time, or as much as its readahead says. But perf_event_open(2) shows a process its own faults,
 * without privileges where perf_event_paranoid is 2 or less. A thread waits for them, and while the
 * kernel reads the first page of a block it asks for the rest of it.
 *
 * A thread of the program makes it, beside the monitor: making a thread allocates, and a signal handler
 * that forks may wait for the monitor. It parks until something is WATCHED. It has a table of descriptors
 * to itself, so the program's numbers stay as they are. At work it takes no lock and allocates nothing, so
 * a fork need not wait for it; what it does changes no content. Under a seccomp filter nothing is tried:
 * the filter's answer may be the end of the program.
 * ========================================================================================= */
enum { WATCH_THREADS = 256 };

static const int watch_pause_ms = 1000; /* between two looks for threads; a rest */
static const size_t watch_busy = 8192;  /* faults between two looks that must be worth watching */
static const uint64_t watch_retry_ms = 10000; /* after what may pass: too many threads, no memory; then 4 times as long */
static const size_t watch_step = 32;    /* pages: advice for more than this may read less than it says */
static const unsigned stride_proof = 3;
static const size_t stride_skip = 4;    /* blocks of a walk that may have been there */
static const size_t stride_ahead = 32;  /* blocks that a walk in equal strides has asked for in advance */

/* A thread of the program; the watching thread alone works here. */
static struct watched {
    pid_t tid;       /* 0: unused */
    int fd;
    bool seen;       /* at the last look for threads */
    struct perf_event_mmap_page *ring; /* two of the kernel's pages: this, and the events */
    size_t from, to; /* offsets of the block that was asked for last */
    size_t at;       /* and of the fault there */
    intptr_t stride; /* bytes between the last such faults; 0: none yet */
    unsigned proof;  /* how often in a row that was so, about */
    size_t ahead;    /* so many strides from here have been asked for */
} watched_threads[WATCH_THREADS];

static struct {
    int epoll;            /* every thread's descriptor is in it */
    unsigned threads;     /* that it watches */
    size_t faults, asked; /* since the last look for threads: seen, and blocks asked for */
} watcher;

static void sleep_ms(uint64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    syscall(SYS_nanosleep, &t, NULL);
}

/* Makes a thread of ours. Its caller blocks every signal, and so does the thread. */
COLD static bool thread_make(void *(*run)(void *))
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 256 * kib);
    mon_starting = true;
    bool made = pthread_create(&thread, &attr, run, NULL) == 0;
    if (!made) {
        pthread_attr_setstacksize(&attr, 8 * mib); /* some programs have large TLS */
        made = pthread_create(&thread, &attr, run, NULL) == 0;
    }
    if (made)
        atomic_fetch_add(&mon.alive, 1);
    mon_starting = false;
    pthread_attr_destroy(&attr);
    return made;
}

static size_t watch_ring_bytes(void) { return 2 * (size_t)sysconf(_SC_PAGESIZE); }

static void watch_drop(struct watched *w)
{
    munmap(w->ring, watch_ring_bytes());
    syscall(SYS_close, w->fd);
    w->tid = 0;
}

static bool watch_able(void)
{
    return now_ms() >= atomic_load(&watch.unable_until);
}

/* It can't be done: now, or as nobody will let us. Returns false. */
static bool watch_fails(bool for_ever)
{
    static atomic_uint_fast64_t retry_ms;
    uint64_t wait = max_size(atomic_load(&retry_ms), watch_retry_ms);
    atomic_store(&retry_ms, 4 * wait);
    atomic_store(&watch.unable_until, for_ever ? UINT64_MAX : now_ms() + wait);
    return false;
}

/* Asks for every fault of that thread's own code. False: the kernel does not let us. */
static bool watch_add(struct watched *w, pid_t tid)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_PAGE_FAULTS,
        .sample_period = 1, .sample_type = PERF_SAMPLE_ADDR, .wakeup_events = 1,
        .exclude_kernel = 1, .exclude_hv = 1,
    };
    int fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) /* ESRCH: it has ended since */
        return errno == ESRCH || watch_fails(errno != EMFILE && errno != ENFILE && errno != ENOMEM);
    struct epoll_event wait = {.events = EPOLLIN, .data.ptr = w};
    void *ring = mmap(NULL, watch_ring_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ring == MAP_FAILED || epoll_ctl(watcher.epoll, EPOLL_CTL_ADD, fd, &wait) != 0) {
        if (ring != MAP_FAILED)
            munmap(ring, watch_ring_bytes());
        syscall(SYS_close, fd);
        return watch_fails(false);
    }
    *w = (struct watched){.tid = tid, .fd = fd, .seen = true, .ring = ring};
    return true;
}

static bool watch_see(pid_t tid, int unused)
{
    (void)unused;
    struct watched *spare = NULL;
    for (struct watched *w = watched_threads; w < watched_threads + WATCH_THREADS; w++) {
        if (w->tid == tid)
            return w->seen = true;
        spare = w->tid ? spare : w;
    }
    return spare ? watch_add(spare, tid) : watch_fails(false);
}

/* Calls `see` with each thread of the program, none of ours, as /proc/self/task, open as fd, has them.
 * Returns how many there are; 0 if `see` was false for one. */
static unsigned threads_see(int fd, bool (*see)(pid_t tid, int argument), int argument)
{
    char entries[4096];
    unsigned threads = 0;
    syscall(SYS_lseek, fd, 0, SEEK_SET);
    for (long n; (n = syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0;)
        for (long at = 0; at < n;) {
            struct { uint64_t ino; int64_t off; unsigned short len; unsigned char type; } head;
            memcpy(&head, entries + at, 19);
            const char *name = entries + at + 19;
            pid_t tid = isdigit((unsigned char)name[0]) ? (pid_t)strtol(name, NULL, 10) : 0;
            at += head.len;
            if (!tid || tid == atomic_load(&mon.tid) || tid == atomic_load(&watch.tid))
                continue;
            if (!see(tid, argument))
                return 0;
            threads++;
        }
    return threads;
}

static int threads_open(void)
{
    return (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Watches the threads that there are now. False: that can't be done for all. */
static bool watch_threads(void)
{
    if (prctl(PR_GET_SECCOMP) != 0)
        return watch_fails(true);
    int fd = threads_open();
    if (fd < 0)
        return watch_fails(false);
    for (struct watched *w = watched_threads; w < watched_threads + WATCH_THREADS; w++)
        w->seen = false;
    watcher.threads = threads_see(fd, watch_see, 0);
    for (struct watched *w = watched_threads; w < watched_threads + WATCH_THREADS; w++)
        if (w->tid && !w->seen)
            watch_drop(w);
    syscall(SYS_close, fd);
    return watcher.threads > 0;
}

/* How many bytes a block has there; 0: it is not watched. */
static size_t watch_bytes(size_t offset)
{
    const atomic_uchar *pieces = atomic_load(&mem_pieces);
    unsigned piece = pieces && offset < mem.size ?
                     atomic_load_explicit(&pieces[offset / huge_size], memory_order_relaxed) : 0;
    return piece ? page_size << (piece - 1) : 0;
}

static void watch_ask(size_t from, size_t to)
{
    size_t step = max_size(folder.readahead, watch_step) * page_size;
    for (; from < to; from += step)
        mem_advise(from, min_size(step, to - from), MADV_WILLNEED);
    watcher.asked++;
}

/* Blocks that are the same distance apart, as a column of a matrix has them: the next ones are asked for. Where a few
 * are there already nothing faults; but picks in ascending order keep no distance for long. */
static void watch_stride(struct watched *w, size_t at, size_t bytes)
{
    intptr_t moved = (intptr_t)(at - w->at);
    size_t strides = w->stride && moved % w->stride == 0 && moved / w->stride > 0 ? (size_t)(moved / w->stride) : 0;
    size_t most = min_size(stride_ahead, atomic_load(&watch.budget) / (watcher.threads + 1) / bytes + 1);
    w->at = at;
    w->ahead -= min_size(w->ahead, strides);
    if (strides == 1) {
        w->proof += w->proof < 2 * stride_proof;
    } else if (strides && strides <= stride_skip && w->proof) {
        w->proof--;
    } else {
        w->stride = moved;
        w->proof = 0;
        w->ahead = 0;
    }
    while (w->proof >= stride_proof && w->ahead < most) {
        size_t there = at + ++w->ahead * (size_t)w->stride, more = watch_bytes(there);
        if (more)
            watch_ask(round_down(there, page_size), min_size(round_down(there, page_size) + more, mem.size));
    }
}

/* A thread faults there: the first fault of a block has the rest of it read. */
static void watch_fault(struct watched *w, size_t at)
{
    size_t from = round_down(at, page_size), bytes = watch_bytes(at);
    watcher.faults++;
    if (!bytes || (from >= w->from && from < w->to) || atomic_load(&forking.probing))
        return;
    w->from = from;
    w->to = min_size(from + bytes, mem.size);
    if (bytes > page_size)
        watch_ask(w->from, w->to);
    watch_stride(w, at, bytes);
}

/* Takes what the kernel has written since the last time. Events have 8 bytes of header and the address; records
 * of other kinds are passed over. All are multiples of 8 bytes, so none of these is cut in two. */
static void watch_drain(struct watched *w)
{
    const char *events = (const char *)w->ring + w->ring->data_offset;
    uint64_t size = w->ring->data_size, tail = w->ring->data_tail;
    uint64_t head = __atomic_load_n(&w->ring->data_head, __ATOMIC_ACQUIRE);
    while (tail < head) {
        struct perf_event_header h;
        uint64_t address;
        memcpy(&h, events + tail % size, sizeof h);
        memcpy(&address, events + (tail + sizeof h) % size, sizeof address);
        if (h.type == PERF_RECORD_SAMPLE)
            watch_fault(w, (size_t)address - mem.base);
        tail = h.size >= sizeof h ? tail + h.size : head;
    }
    __atomic_store_n(&w->ring->data_tail, tail, __ATOMIC_RELEASE);
}

static void watch_request(unsigned long request)
{
    for (struct watched *w = watched_threads; w < watched_threads + WATCH_THREADS; w++)
        if (w->tid)
            ioctl(w->fd, request, 0);
}

/* Is the program busy with faults that reading ahead does not help, in its ordinary memory perhaps? Then it is
 * left alone for a while. */
static void watch_rest(void)
{
    if (watcher.faults > watch_busy && watcher.asked < watcher.faults / 8) {
        watch_request(PERF_EVENT_IOC_DISABLE);
        sleep_ms((uint64_t)watch_pause_ms);
        watch_request(PERF_EVENT_IOC_ENABLE);
    }
    watcher.faults = watcher.asked = 0;
}

/* Waits for faults, a second at most. */
static bool watch_wait(void)
{
    struct epoll_event ready[16];
    int n = epoll_wait(watcher.epoll, ready, sizeof ready / sizeof ready[0], watch_pause_ms);
    if (n < 0 && errno != EINTR)
        return watch_fails(true);
    for (int i = 0; i < n; i++) {
        struct watched *w = ready[i].data.ptr;
        watch_drain(w);
        if (ready[i].events & (EPOLLHUP | EPOLLERR)) /* the thread has ended */
            watch_drop(w);
    }
    return true;
}

/* Watches until it is ordered not to, or can't. */
static void watch_work(void)
{
    watcher.epoll = -1; /* a child's is its parent's */
    bool able = prctl(PR_GET_SECCOMP) == 0 && syscall(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE) == 0 &&
                (watcher.epoll = epoll_create1(EPOLL_CLOEXEC)) >= 0;
    if (!able)
        watch_fails(true);
    memset(watched_threads, 0, sizeof watched_threads); /* a child's are its parent's */
    for (uint64_t looked = 0; able && atomic_load(&watch.order) == WATCH_ON;) {
        if (now_ms() - looked >= (uint64_t)watch_pause_ms || watcher.faults > watch_busy) {
            watch_rest();
            able = watch_threads();
            looked = now_ms();
        }
        able = able && watch_wait();
    }
    for (struct watched *w = watched_threads; w < watched_threads + WATCH_THREADS; w++)
        if (w->tid)
            watch_drop(w);
    if (watcher.epoll >= 0)
        syscall(SYS_close, watcher.epoll);
    if (!able && watch_able())
        watch_fails(false);
}

static void *watch_main(void *unused)
{
    (void)unused;
    prctl(PR_SET_NAME, "bigmaac-watch");
    atomic_store(&watch.tid, (int)syscall(SYS_gettid));
    for (unsigned order; (order = atomic_load(&watch.order)) != WATCH_END;) {
        if (order == WATCH_ON && watch_able())
            watch_work();
        else if (order == WATCH_ON) /* it waits for the next order */
            atomic_compare_exchange_strong(&watch.order, &order, WATCH_PARK);
        else
            syscall(SYS_futex, &watch.order, FUTEX_WAIT_PRIVATE, order, NULL, NULL, 0);
    }
    mon_hold();
    atomic_store(&watch.tid, 0);
    atomic_fetch_sub(&mon.alive, 1);
    atomic_store(&watch.running, false);
    mon_release();
    return NULL;
}

/* Says what the thread is to do from now on. The monitor's. */
static void watch_order(unsigned order)
{
    if (order == WATCH_ON && !watch_able())
        order = WATCH_PARK;
    if (atomic_exchange(&watch.order, order) != order)
        syscall(SYS_futex, &watch.order, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Makes the thread, parked. Called as mon_start is. */
COLD static void watch_start(void)
{
    if (cfg.paging != PAGING_ADAPTIVE || !watch_able() || atomic_exchange(&watch.running, true))
        return;
    atomic_store(&watch.order, WATCH_PARK);
    if (!thread_make(watch_main)) {
        atomic_store(&watch.running, false);
        watch_fails(false);
    } else if (!atomic_load(&mon.running)) {
        watch_order(WATCH_END); /* the monitor has ended, and would not say so */
    }
    const struct timespec some = {.tv_nsec = 50000}; /* until it is known as ours */
    for (int i = 0; i < 100 && atomic_load(&watch.running) && !atomic_load(&watch.tid); i++)
        syscall(SYS_nanosleep, &some, NULL);
}

/* Makes the table in which mem_set_piece writes. False: no memory for it. */
static bool watch_open(void)
{
    if (atomic_load(&mem_pieces))
        return true;
    size_t bytes = round_up(mem.size / huge_size + 1, page_size);
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, anon_flags, -1, 0);
    if (p == MAP_FAILED)
        return watch_fails(false);
    atomic_store(&mem_pieces, p);
    return true;
}

/* ============================================================================================
 * === OPERATIONS  how PAGING and STREAM learn of the program, and act: no decision is taken here
 *
 * All that they ask the kernel for goes through these few calls, time included, so that the simulator
 * (bench/sim.c), which has a program, a page cache and a disk of its own, can stand in the kernel's place.
 * ========================================================================================= */
struct range {
    size_t offset, bytes;
    uint32_t record, generation; /* record 0: the fries */
    uint32_t subject;
};

struct usage {
    uint64_t ms;
    size_t majflt, minflt, blocks, written, cpu_us; /* cpu: of the program's own code */
};

#ifdef BIGMAAC_OPERATIONS
#include BIGMAAC_OPERATIONS
#else
static uint64_t op_now(void) { return now_ms(); }
static void op_sleep(uint64_t ms) { sleep_ms(ms); }

/* A fork waits for the monitor, or something else that must not be held up. */
static bool op_wanted(void) { return mon_wanted(); }
static void op_yield(void) { mon_pause(); }

static bool op_resident(size_t offset, size_t bytes, unsigned char *vector)
{
    return mem_resident(offset, bytes, vector);
}

static void op_advise(size_t offset, size_t bytes, int advice) { mem_advise(offset, bytes, advice); }

/* What the process has read, written and waited for so far. */
static void op_usage(struct usage *u)
{
    struct rusage now;
    getrusage(RUSAGE_SELF, &now);
    *u = (struct usage){.ms = op_now(), .majflt = (size_t)now.ru_majflt,
                        .minflt = (size_t)now.ru_minflt, .blocks = (size_t)now.ru_inblock,
                        .written = (size_t)now.ru_oublock,
                        .cpu_us = (size_t)now.ru_utime.tv_sec * 1000000 + (size_t)now.ru_utime.tv_usec};
}

/* Does the program's page table have one of the first pages there? What was only read ahead is not in it yet. */
static bool op_is_mapped(size_t offset)
{
    uint64_t entry[9] = {0}; /* one more than is read */
    size_t system_page = (size_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)mem_at(offset);
    read_self("/proc/self/pagemap", (char *)entry, 8 * sizeof entry[0] + 1,
              (off_t)(at / system_page * sizeof entry[0]));
    for (int i = 0; i < 8; i++)
        if (entry[i] & pagemap_present)
            return true;
    return false;
}

/* Has a piece of a mapping written, without waiting. Overlayfs ignores the call for that, but hands on the advice to
 * drop what is clean, which begins with writing; mapped pages stay. */
GUESSES static void op_write(const struct range *g, size_t at, size_t bytes)
{
    const struct file *f = g->record ? &big_at(g->record)->file : &fry.file;
    if (!file_valid(f))
        return;
    if (folder.overlay)
        posix_fadvise(f->fd, (off_t)at, (off_t)bytes, POSIX_FADV_DONTNEED);
    else
        syscall(SYS_sync_file_range, f->fd, at, bytes, SYNC_FILE_RANGE_WRITE);
}

/* A window of our own on a piece of a mapping's file: what is read there is in memory, and the program's page table
 * still shows what the program has touched, nothing else. NULL: that can't be done. */
GUESSES static char *window_open(const struct range *g, size_t from, size_t bytes)
{
    struct file f = g->record ? big_at(g->record)->file : fry.file;
    if (!file_valid(&f))
        return NULL;
    pthread_rwlock_rdlock(&gate); /* no fork in between: nobody would unmap it in a child */
    char *window = mmap(NULL, bytes, PROT_READ, MAP_SHARED, f.fd, (off_t)from);
    if (window != MAP_FAILED)
        syscall(SYS_madvise, window, bytes, MADV_DONTFORK);
    pthread_rwlock_unlock(&gate);
    return window == MAP_FAILED ? NULL : window;
}

/* Reads a piece into the page cache, as large pages. False: that can't be done. */
static bool op_read(const struct range *g, size_t from, size_t bytes)
{
    char *window = window_open(g, from, bytes);
    if (!window)
        return false;
    syscall(SYS_madvise, window, bytes, MADV_HUGEPAGE);
    syscall(SYS_madvise, window, bytes, MADV_RANDOM);
    bool read = true;
    for (size_t at = 0; at < bytes && read; at += huge_size)
        read = syscall(SYS_madvise, window + at, page_size, MADV_POPULATE_READ) == 0;
    munmap(window, bytes);
    return read;
}

/* Has one page read that is not in memory, nor are the `pages` from there on. Returns how many were read. */
static size_t op_read_one(const struct range *g, size_t at, size_t pages)
{
    struct rusage before, after;
    char *window = window_open(g, at, pages * page_size);
    if (!window)
        return 0;
    syscall(SYS_madvise, window, pages * page_size, MADV_SEQUENTIAL);
    getrusage(RUSAGE_THREAD, &before);
    syscall(SYS_madvise, window, page_size, MADV_POPULATE_READ);
    getrusage(RUSAGE_THREAD, &after); /* a read is counted when it is asked for */
    munmap(window, pages * page_size);
    return (size_t)(after.ru_inblock - before.ru_inblock) * 512 / page_size;
}
#endif

/* ============================================================================================
 * === PAGING  the policy that suits the access, found by looking from outside
 *
 * The monitor alone works here. While the process pages it probes: every mapping is set to
 * RANDOM for some milliseconds, so that a fault brings in exactly the page that was touched, and
 * mincore before and after tells which pages these were; halfway, which runs of them went on. What
 * those faults would have cost under each policy decides. A subject is what shares a decision: a
 * large bigmaac (and each of its parts, where they differ), all smaller ones together, or the fries.
 *
 * Only some windows are looked at: around the chunks that became resident in the last few
 * milliseconds, where a stream must be, and at random places, where scattered access must show.
 * Nothing here holds a lock while it looks or sleeps; advice is given under big.lock, after
 * checking that the bigmaac is still the one that was looked at.
 * ========================================================================================= */
static const uint64_t mon_idle_ms = 1000, mon_frozen_ms = 20, mon_retry_ms = 10000;
static const size_t mon_least = 16 * mib, mon_part = 16, mon_most = gib; /* live data that have it started */
GUESSES static size_t live_bytes(void) { return big.live_bytes + fry.run_bytes + fry.slab_bytes; }

enum { SUBJECT_MAX = 64, RANGE_MAX = 1024, WINDOW_MAX = 12, ACTIVE_MAX = 4 };
enum { SUBJECT_FRIES, SUBJECT_SMALL, SUBJECT_LARGE }; /* the first large one has number 2 */

static const size_t large_bytes = (size_t)64 << 20;   /* a subject of its own from here on */
static const size_t window_bytes = (size_t)32 << 20;
static const size_t run_gap = 64, stream_misses = 48; /* pages */
static const unsigned block_log_most = 6;
static const size_t stride_least = 16; /* pages */
static const uint64_t probe_ms = 20, probe_held_ms = 60, probe_stalled_ms = 200; /* where more is seen, less, nearly nothing */
static const uint64_t paging_ms = 100, probe_gap_ms = 250, probe_gap_max_ms = 2000;
static const uint64_t probe_gap_stream_ms = 8000; /* while streams account for all that is read */
static const uint64_t probe_gap_random_ms = 350; /* where the program does not notice probes */
static const uint64_t probe_gap_blind_ms = 50;   /* after one that saw too little, a few times */
static const unsigned blind_most = 3;
static const unsigned quiet_calm = 10, quiet_most = 20; /* ticks */
static const unsigned scattered_ticks = 10;
static const uint64_t split_ms = 20, split_pause_ms = 4; /* of a look for large pages; between two */
static const unsigned split_passes = 64, split_writes = 48; /* in so many of them, at first, some are written */
static const uint64_t refill_gap_ms = 10000; /* after it was filled as far as it should be */
static const size_t reading_least = mib / 2; /* more in a tick is paging */
static const size_t faults_least = 16;  /* so many in a second are, where ROOM sees no reason */
static const uint64_t fits_ms = 500;
static const size_t readahead_least = 64; /* pages that are missing where it is tried out */
static const size_t refill_most = 8 * mib; /* at a look */
static const size_t probe_misses = 96;   /* faults that make a probe end early */
static const size_t probe_faults_few = 64; /* fewer make it last longer */
static const size_t evidence_least = 8, evidence_part = 24; /* misses for a decision */
static const size_t evidence_runs = 3;

/* What faults cost, in microseconds; only the ratios matter. */
static const double cost_fault = 70, cost_page = 3, cost_page_stream = 2.9, cost_page_far = 1.25;
static const double cost_huge = 580, cost_huge_alone = 900; /* in a stream; one here and one there */
static const double cost_watch = 50, cost_stride = 20; /* until the watching thread asks; had it asked before */
static const double cost_never = 1e12;                 /* what can't be had */

enum { SPAN_LOGS = 14, PIECE_LOGS = 10 }; /* of the lengths of runs, and of the blocks that WATCH reads */

struct evidence {
    size_t misses, runs;
    double cost[POLICY_COUNT];  /* WATCHED: of streams; what has an end is in `spans` */
    uint16_t spans[SPAN_LOGS];  /* runs that have an end, by the log2 of their pages, rounded up */
    uint16_t strided;           /* of these, in equal strides */
    uint16_t onward, backward;  /* runs that go on where what was in memory ended, or end where it began */
};

static struct {
    uint64_t *chunks;        /* bit per 2 MiB of the reservation: its sample was resident */
    unsigned char *vector;   /* mincore's answers: WINDOW_MAX windows before, as many halfway, one after */
    struct range range[RANGE_MAX];
    unsigned ranges, subjects;
    struct { size_t offset, bytes; unsigned range; } window[WINDOW_MAX];
    unsigned windows;
    size_t total_pages, window_pages;
    struct evidence part[SUBJECT_MAX][BIG_PARTS];
    struct evidence open[SUBJECT_MAX][BIG_PARTS]; /* of long runs that had not come to an end */
    struct evidence flow[SUBJECT_MAX][BIG_PARTS]; /* of the runs in `part`, if they are pieces of many streams */
    uint8_t small_policy;    /* of all bigmaacs below large_bytes */
    uint8_t small_piece;     /* and what it was for WATCHED */
    unsigned watching;       /* something is WATCHED, or was so many probes ago at most */
    struct usage last;       /* at the last tick */
    struct usage calm;       /* what a major fault came with, since the last probe */
    uint64_t probe_at, probe_gap;
    uint32_t first_record;   /* where the next enumeration begins, when there are too many */
    uint64_t random;         /* state of a generator */
    size_t front;            /* where a stream is, an offset of the reservation; 0: there is none */
    bool writing;            /* a quarter of what is read, or more, is changed */
    size_t read, faults;     /* bytes, and major faults, in the last tick */
    size_t fits;             /* bytes: so much was in memory while it paged though ROOM says more; else SIZE_MAX */
    uint64_t fits_at;        /* ms: that and `missing` are not found out before, again */
    bool missing;            /* some of the data is not in memory, or never was */
    bool near;               /* the data are half as much as ROOM says, or more */
    unsigned scattered;      /* more of these than streams account for: now, or up to so many ticks ago */
    size_t moved;            /* blocks read and changed, when streams were last looked at */
    size_t streamed;         /* bytes that streams went on since the last tick, read as they should be */
    bool stalled;            /* the last probe saw few faults after its half */
    bool changing;           /* something was written to while the last probe waited */
    bool dirtying;           /* more than fits becomes dirty, if only by being filled for the first time */
    bool all_random;         /* every subject is at RANDOM */
    size_t misses;           /* that the last probe saw */
    unsigned blind;          /* probes in a row that saw too few */
    double stream_cpu;       /* microseconds of work with a block that is read, after the last probe; 0: not known */
    unsigned stream_other;   /* ticks in which it was much more or less than that */
    unsigned unexplained;    /* ticks since streams accounted for what was read */
    unsigned quiet;          /* ticks without paging */
    size_t refill;           /* bytes of free memory that are still to be filled */
    uint64_t refill_at;      /* ms: no look for free memory before that */
    unsigned amplified;      /* ticks in which single pages were read and large ones written */
    unsigned split;          /* passes over the large pages at RANDOM that are left */
    size_t split_at;         /* how far the pass has come, in bytes of all ranges */
} pager = {.random = 88172645463325252u, .probe_gap = 250, .fits = SIZE_MAX};

/* How much of the data fits. */
static size_t paging_room(void) { return min_size(room_bytes(), pager.fits); }

static uint64_t pager_random(void)
{
    pager.random ^= pager.random << 13;
    pager.random ^= pager.random >> 7;
    return pager.random ^= pager.random << 17;
}

static bool pager_open(void)
{
    if (pager.chunks)
        return true;
    size_t bits = round_up(mem.size / huge_size / 8 + 8, page_size);
    size_t bytes = bits + (2 * WINDOW_MAX + 1) * to_pages(window_bytes);
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, anon_flags, -1, 0);
    if (p == MAP_FAILED)
        return false;
    pager.vector = (unsigned char *)p + bits;
    pager.chunks = p; /* last: a child that is forked in between has neither, or both */
    return true;
}

/* Is there as much data that it may be paged before the library is called again? Small blocks, other processes and
 * mappings fill the memory unseen, so the thread is there long before it is full. */
GUESSES static bool paging_may_come(void)
{
    size_t live = live_bytes();
    if (live < mon_least)
        return false;
    size_t least = min_size(room_bytes() / mon_part, mon_most); /* first: it finds out whether anything is hidden */
    return atomic_load(&room.hidden) || live >= least;
}

/* --- what there is ------------------------------------------------------------------------------- */

static bool record_is_subject(const struct big *r)
{
    return r->in_use && big_extent(r)->state == EXTENT_LIVE && !r->ordinary &&
           r->advice == BIGMAAC_ADAPTIVE;
}

/* Requires big.lock. */
static void range_add_record(uint32_t i)
{
    struct big *r = big_at(i);
    bool large = r->mapped >= large_bytes && pager.subjects < SUBJECT_MAX;
    pager.range[pager.ranges++] = (struct range){
        .offset = big_offset(r), .bytes = r->mapped, .record = i, .generation = r->generation,
        .subject = large ? pager.subjects++ : SUBJECT_SMALL,
    };
}

/* Lists the mappings. With more than RANGE_MAX, the next call lists others. */
static void ranges_find(void)
{
    pager.ranges = 0;
    pager.subjects = SUBJECT_LARGE;
    if (fry.file_bytes)
        pager.range[pager.ranges++] = (struct range){.offset = fry.space.start, .bytes = fry.file_bytes};
    pthread_mutex_lock(&big.lock);
    uint32_t most = big.record_count;
    for (uint32_t n = 0; n < most && pager.ranges < RANGE_MAX; n++) {
        uint32_t i = (pager.first_record + n) % most + 1;
        if (record_is_subject(big_at(i)))
            range_add_record(i);
        if (pager.ranges == RANGE_MAX)
            pager.first_record = i;
    }
    pthread_mutex_unlock(&big.lock);
    pager.total_pages = 0;
    for (unsigned i = 0; i < pager.ranges; i++)
        pager.total_pages += pager.range[i].bytes / page_size;
    memset(pager.part, 0, sizeof pager.part);
    memset(pager.open, 0, sizeof pager.open);
    memset(pager.flow, 0, sizeof pager.flow);
}

static bool is_resident(size_t offset, size_t pages)
{
    unsigned char vector[8];
    if (!op_resident(offset, pages * page_size, vector))
        return false;
    for (size_t i = 0; i < pages; i++)
        if (vector[i] & 1)
            return true;
    return false;
}

static void window_add(unsigned range, size_t from, size_t bytes)
{
    const struct range *r = &pager.range[range];
    if (pager.windows == WINDOW_MAX)
        return;
    from = min_size(round_down(from, huge_size), round_down(r->bytes - 1, huge_size));
    bytes = min_size(bytes, r->bytes - from);
    for (unsigned i = 0; i < pager.windows; i++) {
        size_t at = pager.window[i].offset - r->offset;
        if (pager.window[i].range == range && from < at + pager.window[i].bytes && at < from + bytes)
            return;
    }
    pager.window[pager.windows].offset = r->offset + from;
    pager.window[pager.windows].bytes = bytes;
    pager.window[pager.windows++].range = range;
    pager.window_pages += bytes / page_size;
}

/* Looks at a few pages of each chunk, and remembers. Where chunks have become resident since the
 * last look, windows open: a stream is there, and will soon be behind it. */
static void chunks_look(bool open_windows)
{
    size_t stride = (pager.total_pages * page_size / huge_size / 16384 + 1) * huge_size;
    for (unsigned i = 0; i < pager.ranges; i++) {
        const struct range *r = &pager.range[i];
        for (size_t at = 0; at < r->bytes; at += stride) {
            size_t chunk = (r->offset + at) / huge_size;
            uint64_t bit = (uint64_t)1 << (chunk % 64);
            bool now = is_resident(r->offset + at, min_size(8, (r->bytes - at) / page_size));
            bool fresh = now && !(pager.chunks[chunk / 64] & bit);
            pager.chunks[chunk / 64] = now ? pager.chunks[chunk / 64] | bit : pager.chunks[chunk / 64] & ~bit;
            if (open_windows && fresh && pager.windows < ACTIVE_MAX)
                window_add(i, at > window_bytes / 4 ? at - window_bytes / 4 : 0, window_bytes);
        }
    }
}

/* Windows from where a stream is to behind what has been read ahead of it. */
static void windows_ahead(void)
{
    for (unsigned i = 0; i < pager.ranges; i++)
        for (size_t from = pager.front - pager.range[i].offset; pager.front >= pager.range[i].offset &&
             from < pager.range[i].bytes && pager.windows < ACTIVE_MAX; from += window_bytes)
            window_add(i, from, window_bytes);
}

/* Windows at random places, each mapping as likely as it is large. */
static void windows_scatter(void)
{
    for (int tries = 0; tries < 2 * WINDOW_MAX && pager.windows < WINDOW_MAX; tries++) {
        size_t at = pager_random() % pager.total_pages * page_size;
        for (unsigned i = 0; i < pager.ranges; i++) {
            if (at < pager.range[i].bytes) {
                window_add(i, at, window_bytes / 2);
                break;
            }
            at -= pager.range[i].bytes;
        }
    }
}

/* --- giving advice ------------------------------------------------------------------------------- */

/* The policy at that distance from the start of the mapping; a glance, without a lock. */
static enum policy range_policy(const struct range *g, size_t at)
{
    const uint8_t *policy = g->record ? big_at(g->record)->policy : fry.policy;
    return policy[at / big_part_bytes(g->bytes)];
}

/* Sets a mapping to RANDOM for a probe, or to its parts' policies. False: it is gone, or another
 * thread works on it. */
static bool range_advise(const struct range *g, bool probing)
{
    if (!g->record) {
        size_t part = big_part_bytes(g->bytes);
        for (size_t from = 0; from < g->bytes; from += part)
            mem_set_policy(g->offset + from, min_size(part, g->bytes - from),
                           probing ? POLICY_RANDOM : fry.policy[from / part], fry.piece);
        return true;
    }
    struct big *r = big_at(g->record);
    pthread_mutex_lock(&big.lock);
    bool warm = r->in_use && big_extent(r)->state == EXTENT_WARM; /* freed since: the next owner has it at once */
    bool same = r->generation == g->generation && (record_is_subject(r) || (warm && !probing));
    if (same && probing)
        mem_set_policy(big_offset(r), r->mapped, POLICY_RANDOM, 0);
    else if (same)
        big_apply_policy(r, true);
    pthread_mutex_unlock(&big.lock);
    return same;
}

/* What all runs would have cost had WATCH read so many pages for each of them, as a log2. */
static double watched_cost(const struct evidence *e, unsigned piece)
{
    double fault = cost_fault + cost_watch, each = fault + cost_page * (double)((size_t)1 << piece);
    double cost = e->cost[POLICY_WATCHED] - (double)e->strided * (fault - cost_stride);
    for (unsigned i = 0; i < SPAN_LOGS; i++)
        cost += each * (double)e->spans[i] * (double)((size_t)1 << (i > piece ? i - piece : 0));
    return cost;
}

/* The best number of pages for WATCH to read, as a log2. */
static unsigned evidence_piece(const struct evidence *e)
{
    unsigned best = 0;
    for (unsigned piece = 1; piece < PIECE_LOGS; piece++)
        best = watched_cost(e, piece) < watched_cost(e, best) ? piece : best;
    return best;
}

static enum policy evidence_best(const struct evidence *e, enum policy now, unsigned piece)
{
    double cost[POLICY_COUNT];
    enum policy best = now;
    memcpy(cost, e->cost, sizeof cost);
    cost[POLICY_WATCHED] = watch_able() ? watched_cost(e, piece) : cost_never;
    for (enum policy p = POLICY_NORMAL; p < POLICY_COUNT; p++)
        if (cost[p] < 0.87 * cost[now] && cost[p] < cost[best])
            best = p;
    return best;
}

static void evidence_add(struct evidence *to, const struct evidence *from)
{
    to->misses += from->misses;
    to->runs += from->runs;
    for (unsigned p = 0; p < POLICY_COUNT; p++)
        to->cost[p] += from->cost[p];
    for (unsigned i = 0; i < SPAN_LOGS; i++)
        to->spans[i] = (uint16_t)(to->spans[i] + from->spans[i]);
    to->strided = (uint16_t)(to->strided + from->strided);
    to->onward = (uint16_t)(to->onward + from->onward);
    to->backward = (uint16_t)(to->backward + from->backward);
}

/* Many streams side by side leave short runs in a probe, each of which goes on where its stream has been. Of blocks
 * picked at random, however many are in memory, no more than a quarter lie so. */
static bool evidence_flows(const struct evidence *e)
{
    return e->runs && 4 * (size_t)max_size(e->onward, e->backward) >= 3 * e->runs;
}

/* Is there too little for a decision? A few short runs may be where a long one begins, or pieces of streams. */
static bool evidence_thin(const struct evidence *e)
{
    return e->misses < evidence_least ||
           (e->runs < evidence_runs && (e->misses < evidence_part || evidence_flows(e)));
}

/* Decides for each part of a subject. Parts that show little follow the others, as long as
 * these agree. *piece: of the parts that are WATCHED. Returns how many parts changed. */
static unsigned policy_decide(const struct evidence *part, uint8_t *policy, uint8_t *piece)
{
    struct evidence all = {0};
    unsigned changed = 0;
    bool agree = true;
    for (unsigned i = 0; i < BIG_PARTS; i++)
        evidence_add(&all, &part[i]);
    if (evidence_thin(&all))
        return 0;
    if (all.misses >= evidence_part || policy[0] != POLICY_WATCHED)
        *piece = (uint8_t)evidence_piece(&all);
    for (unsigned i = 0; i < BIG_PARTS; i++)
        agree = agree && (part[i].misses < evidence_part ||
                          evidence_best(&part[i], policy[i], *piece) == evidence_best(&all, policy[i], *piece));
    for (unsigned i = 0; i < BIG_PARTS; i++) {
        const struct evidence *e = agree ? &all : &part[i];
        enum policy to = agree || part[i].misses >= evidence_part ? evidence_best(e, policy[i], *piece) : policy[i];
        changed += to != policy[i];
        policy[i] = (uint8_t)to;
    }
    return changed;
}

/* Decides for every subject; then nothing stays at RANDOM for the probe's sake. */
static unsigned policies_decide(void)
{
    unsigned changed = policy_decide(pager.part[SUBJECT_FRIES], fry.policy, &fry.piece);
    uint8_t small[BIG_PARTS];
    memset(small, pager.small_policy, sizeof small);
    changed += policy_decide(pager.part[SUBJECT_SMALL], small, &pager.small_piece);
    pager.small_policy = small[0];
    for (unsigned i = 0; i < pager.ranges; i++) {
        const struct range *g = &pager.range[i];
        struct big *r = big_at(g->record);
        pthread_mutex_lock(&big.lock);
        if (g->record && record_is_subject(r) && r->generation == g->generation) {
            unsigned n = 0;
            if (g->subject != SUBJECT_SMALL)
                n = policy_decide(pager.part[g->subject], r->policy, &r->piece);
            else if (r->policy[0] != pager.small_policy)
                n = 1, memset(r->policy, pager.small_policy, sizeof r->policy);
            r->piece = g->subject == SUBJECT_SMALL ? pager.small_piece : r->piece;
            r->policy_changes = (uint16_t)(r->policy_changes + (n != 0));
            changed += n;
        }
        pthread_mutex_unlock(&big.lock);
    }
    return changed;
}

/* Is anything WATCHED, as far as can be told? Not all mappings may be listed at once. */
static void ranges_watch(void)
{
    bool here = false;
    for (unsigned i = 0; i < pager.ranges && !here; i++)
        for (size_t at = 0; at < pager.range[i].bytes && !here; at += big_part_bytes(pager.range[i].bytes))
            here = range_policy(&pager.range[i], at) == POLICY_WATCHED;
    unsigned probes = pager.ranges < RANGE_MAX ? 0 : big.record_count / RANGE_MAX + 1;
    pager.watching = here && watch_open() ? probes + 1 : pager.watching - (pager.watching > 0);
}

/* --- the probe ----------------------------------------------------------------------------------- */

/* Pages that became resident during the probe, with small gaps. */
struct run {
    size_t first, end, misses;
    size_t pieces; /* that they are without gaps */
    bool open;     /* of a stream that the probe saw a moment of; else it is all there is */
    bool several;  /* `open`, and others beside it: the kernel reads ahead of all of them at a time */
    bool onward, backward; /* it goes on where what was in memory ended, or ends where it began */
    bool strided;  /* the pieces are in equal strides */
};

/* Adds what WATCH would have cost. */
static void evidence_add_watched(struct evidence *e, const struct run *r)
{
    size_t pieces = r->strided ? r->pieces : 1;
    size_t pages = r->strided ? (r->misses + r->pieces - 1) / r->pieces : r->end - r->first;
    unsigned log = 0;
    while (log < SPAN_LOGS - 1 && pages > (size_t)1 << log)
        log++;
    if (r->open && !r->strided)
        e->cost[POLICY_WATCHED] += (cost_fault + cost_page) * (double)r->misses;
    else
        e->spans[log] = (uint16_t)(e->spans[log] + pieces);
    e->strided = (uint16_t)(e->strided + (r->strided ? pieces : 0));
}

/* Adds what the faults of a run would have cost under each policy. */
static void evidence_add_run(struct evidence *e, const struct run *r)
{
    double reach = (double)folder.readahead, span = (double)(r->end - r->first), misses = (double)r->misses;
    bool far = folder.readahead >= to_pages(huge_size) && !pager.writing;
    double each = far ? cost_page_far : cost_page_stream;
    double around = cost_fault + cost_page * reach; /* a fault that no readahead expected */
    e->misses += r->misses;
    e->runs++;
    e->cost[POLICY_RANDOM] += (cost_fault + cost_page) * misses;
    evidence_add_watched(e, r);
    if (!r->open || r->several) {
        e->onward = (uint16_t)(e->onward + r->onward);
        e->backward = (uint16_t)(e->backward + r->backward);
    }
    if (r->several)
        each = cost_page_far;
    if (r->open) {
        e->cost[POLICY_HUGE] += (r->several ? cost_huge_alone : cost_huge) * span / (double)to_pages(huge_size);
        e->cost[POLICY_NORMAL] += span / misses < reach / 2 ? each * span : around * misses;
        e->cost[POLICY_BLOCKS] += around * (span / reach < misses ? span / reach : misses);
        return;
    }
    size_t chunks = (r->end - 1) / to_pages(huge_size) - r->first / to_pages(huge_size) + 1;
    e->cost[POLICY_HUGE] += cost_huge_alone * (double)chunks;
    e->cost[POLICY_NORMAL] += around + (span > reach / 4 ? cost_page * reach / 2 : 0) +
                              (span > reach / 2 ? each * (span - reach / 2) : 0);
    e->cost[POLICY_BLOCKS] += around * (double)((r->end - r->first - 1) / folder.readahead + 1);
}

/* One of the vectors that mincore fills: a window's before, from WINDOW_MAX on halfway, the last one after. */
static unsigned char *window_vector(unsigned i)
{
    return pager.vector + i * to_pages(window_bytes);
}

/* How long the blocks there are known to be, in pages; 0: not known, or so long that a probe may not tell them
 * from a stream. */
static size_t block_pages(const struct range *g, size_t at)
{
    enum policy policy = range_policy(g, at);
    unsigned piece = g->record ? big_at(g->record)->piece : fry.piece;
    return piece <= block_log_most && (policy == POLICY_BLOCKS || policy == POLICY_WATCHED) ? (size_t)1 << piece : 0;
}

static bool is_miss(const unsigned char *before, const unsigned char *after, size_t i)
{
    return !(before[i] & 1) && after[i] & 1;
}

/* Are the pieces that came in equal strides, or in two at once where one was there before? */
static bool window_strided(const unsigned char *before, const unsigned char *after, size_t pages)
{
    size_t least = SIZE_MAX, gaps = 0, regular = 0;
    for (int pass = 0; pass < 2 && (!pass || least >= stride_least); pass++)
        for (size_t i = 0, last = SIZE_MAX; i < pages; i++) {
            if (!is_miss(before, after, i) || (i && is_miss(before, after, i - 1)))
                continue;
            size_t gap = last == SIZE_MAX ? 0 : i - last, off = gap % least, some = min_size(gap / least, 2);
            last = i;
            if (!pass)
                least = gap ? min_size(gap, least) : least;
            else if (gap)
                gaps++, regular += gap <= 2 * least + 2 && (off <= some || least - off <= some);
        }
    return gaps >= evidence_least && regular >= gaps - gaps / 4;
}

/* What was around a run before it came? Of the window's `pages` from page `at` of the mapping on. */
static void run_place(struct run *r, const unsigned char *before, size_t at, size_t pages)
{
    bool inside = r->first > at && r->end < at + pages;
    bool there = inside && before[r->first - at - 1] & 1, follows = inside && before[r->end - at] & 1;
    r->onward = there && !follows;
    r->backward = !there && follows;
}

/* A run counts for what it is; a short one, besides, for what it is if streams turn out to be side by side there. */
static void run_judge(const struct range *g, size_t part, struct run r)
{
    evidence_add_run((r.open ? pager.open : pager.part)[g->subject] + part, &r);
    if (r.open)
        return;
    r.open = r.several = true;
    evidence_add_run(&pager.flow[g->subject][part], &r);
}

/* Where streams turn out to be side by side, the short runs there are what their pieces are. */
static void evidence_flow(void)
{
    for (unsigned subject = 0; subject < SUBJECT_MAX; subject++) {
        struct evidence all = {0}, *part = pager.part[subject];
        for (unsigned i = 0; i < BIG_PARTS; i++)
            evidence_add(&all, &part[i]);
        if (evidence_flows(&all) && all.runs >= evidence_runs)
            memcpy(part, pager.flow[subject], sizeof pager.flow[subject]);
    }
}

/* Finds the runs of a window; small gaps don't end one. Returns how many pages they are. */
static size_t window_evaluate(unsigned w, const unsigned char *after)
{
    const struct range *g = &pager.range[pager.window[w].range];
    const unsigned char *before = window_vector(w), *halfway = window_vector(WINDOW_MAX + w);
    size_t at = (pager.window[w].offset - g->offset) / page_size, all = 0;
    size_t part_pages = big_part_bytes(g->bytes) / page_size, pages = pager.window[w].bytes / page_size;
    struct run r = {.strided = window_strided(before, after, pages)};
    bool grows = false;
    for (size_t i = 0; i <= pages; i++) {
        bool miss = i < pages && is_miss(before, after, i);
        if (r.misses && (i == pages || (miss && at + i - r.end > run_gap))) {
            r.open = r.misses >= stream_misses && (grows || pager.stalled || r.end - at + run_gap > pages) &&
                     r.end - r.first > block_pages(g, r.first * page_size);
            run_place(&r, before, at, pages);
            run_judge(g, r.first / part_pages % BIG_PARTS, r);
            all += r.misses;
            r.misses = r.pieces = 0;
        }
        if (!miss)
            continue;
        r.pieces += !r.misses || at + i != r.end;
        r.first = r.misses ? r.first : at + i;
        r.end = at + i + 1;
        grows = (r.misses && grows) || !(halfway[i] & 1);
        r.misses++;
    }
    return all;
}

/* Long runs that grew to the end are streams if they account for a good part of the faults, or are as many
 * as windows follow: else they are pieces like those that came to an end, and nobody knows how long they would
 * have become. */
static void evidence_add_open(size_t faults)
{
    struct evidence *open = pager.open[0], *part = pager.part[0], all = {0};
    for (size_t i = 0; i < (size_t)SUBJECT_MAX * BIG_PARTS; i++)
        evidence_add(&all, &open[i]);
    if (all.misses < faults / 4 && all.runs < ACTIVE_MAX)
        return;
    for (size_t i = 0; i < (size_t)SUBJECT_MAX * BIG_PARTS; i++)
        evidence_add(&part[i], &open[i]);
}

/* Notes what is resident, before the probe or halfway; returns how many pages that are. */
static size_t windows_snapshot(bool halfway)
{
    size_t resident = 0;
    for (unsigned w = 0; w < pager.windows; w++) {
        unsigned char *vector = window_vector(halfway ? WINDOW_MAX + w : w);
        size_t pages = pager.window[w].bytes / page_size;
        if (!op_resident(pager.window[w].offset, pager.window[w].bytes, vector))
            memset(vector, 1, pages);
        for (size_t i = 0; i < pages; i++)
            resident += vector[i] & 1;
    }
    return resident;
}

/* Waits for the pages that readahead has asked for before the probe began. */
static void windows_settle(void)
{
    size_t resident = 0, before = 0;
    for (int tries = 0; tries < 8; tries++) {
        op_sleep(2);
        before = resident;
        resident = windows_snapshot(false);
        if (tries && resident < before + stream_misses)
            return;
    }
}

/* Waits until the program has faulted often enough for the windows to show it; longer where reclaim
 * holds up its faults. */
static size_t probe_wait(void)
{
    struct usage begin, now;
    size_t seldom = pager.total_pages / (pager.window_pages + 1) + 1; /* a fault in so many is seen */
    size_t enough = min_size(probe_misses * seldom, 500);
    bool held = pager.dirtying && !pager.watching && !pager.blind; /* up by what a fill has left to be written */
    size_t few = held ? min_size(evidence_least * seldom, probe_faults_few) : 0;
    size_t faults = 0, at_half = 0;
    uint64_t most = probe_stalled_ms;
    bool half = false; /* is past: long before the end */
    op_usage(&begin);
    now = begin;
    for (uint64_t ms = 0; ms < most && faults < enough && !op_wanted(); ms++) {
        op_sleep(1);
        op_usage(&now);
        faults = now.majflt - begin.majflt;
        most = faults < few ? probe_stalled_ms : faults < probe_faults_few ? probe_held_ms : probe_ms;
        if (!half && (ms >= probe_ms / 2 || faults >= enough / 2)) {
            windows_snapshot(true);
            half = true;
            at_half = faults;
        }
    }
    pager.stalled = faults <= at_half + stream_misses;
    pager.changing = now.written > begin.written;
    return faults;
}

/* Looks at all mappings once. Returns how many policies changed. */
static unsigned probe(void)
{
    ranges_find();
    if (!pager.ranges || !pager.total_pages)
        return 0;
    count_one(&count.probes);
    pager.windows = 0;
    pager.window_pages = 0;
    chunks_look(false);
    op_sleep(4);
    if (pager.front)
        windows_ahead();
    chunks_look(true);
    windows_scatter();
    atomic_store(&forking.probing, true);
    for (unsigned i = 0; i < pager.ranges; i++)
        range_advise(&pager.range[i], true);
    windows_settle();
    size_t faults = probe_wait();
    pager.misses = 0;
    unsigned char *after = window_vector(2 * WINDOW_MAX);
    for (unsigned w = 0; w < pager.windows; w++)
        if (op_resident(pager.window[w].offset, pager.window[w].bytes, after))
            pager.misses += window_evaluate(w, after);
    evidence_flow();
    evidence_add_open(faults);
    /* Many more pages than faults: late readahead, or read(2) into the mapping. That tells nothing. */
    if (pager.misses > 2 * faults + 16)
        pager.misses = 0;
    unsigned changed = pager.misses ? policies_decide() : 0;
    ranges_watch();
    pager.all_random = true;
    for (unsigned i = 0; i < pager.ranges; i++)
        pager.all_random &= range_policy(&pager.range[i], 0) == POLICY_RANDOM;
    for (unsigned i = 0; i < pager.ranges; i++)
        for (int tries = 0; tries < 20 && !range_advise(&pager.range[i], false); tries++)
            op_sleep(pager.range[i].record && big_at(pager.range[i].record)->generation ==
                     pager.range[i].generation ? 1 : 0);
    atomic_store(&forking.probing, false);
    atomic_fetch_add(&count.changes, changed);
    return changed;
}

/* Where access is at random, a large page is in the way: it is written out whole for one changed word, and
 * one busy word keeps all of it in memory. What the parts at RANDOM have of them is split, which is what
 * advice for a piece of one does; nothing leaves the memory. That works on clean pages only, and what is changed
 * at random is clean for a moment now and then. So all are advised many times, and in each pass a few are asked to
 * be written: all at once, reclaim would wait for them. */
static void large_pages_split(void)
{
    uint64_t end = op_now() + split_ms; /* the pass goes on at the next look */
    size_t work = 0, pass = split_passes - pager.split;
    for (size_t i = 0, start = 0; i < pager.ranges; start += round_up(pager.range[i++].bytes, huge_size)) {
        const struct range *g = &pager.range[i];
        for (size_t at; (at = pager.split_at - start) < g->bytes; pager.split_at += huge_size) {
            if (op_now() >= end)
                return;
            if (range_policy(g, at) != POLICY_RANDOM || !is_resident(g->offset + at, 1))
                continue;
            if (pager.split_at / huge_size % split_writes == pass)
                op_write(g, at, min_size(huge_size, g->bytes - at));
            op_advise(g->offset + at, page_size, MADV_COLD);
            if (++work % 8 == 0)
                op_yield();
        }
    }
    pager.split_at = 0;
    pager.split--;
}

static void split_begin(void)
{
    pager.split = split_passes;
    pager.split_at = 0;
}

/* ============================================================================================
 * === STREAM  mappings that are gone through in order, as their page tables show
 *
 * The monitor alone works here, too. Three things help a stream:
 *   - What it will need next is read by this thread, so that the disk works while the program does.
 *   - A stream through more than the memory holds, over and over, finds nothing that it left: what
 *     the kernel drops is what the stream needs next. So once a whole pass went by, the end of the
 *     mapping stays, as much as there is room for, and the rest is dropped right behind the stream.
 *   - While streams account for all that is read, there is nothing to probe for.
 * Reading ahead and dropping change no content, so nothing is locked: should the block be gone by
 * then, what came after it loses nothing. At the end: when PAGING and STREAM look.
 * ========================================================================================= */
enum { SCAN_MAX = 8, SCAN_UNITS = 4096, SCAN_PAST = 64 }; /* units looked at past the last new one */

static const uint64_t scan_ms = 20, scan_rest_ms = 500; /* between two looks; after a disorder */
static const uint64_t scan_share_ms = 500;
static const size_t scan_lag = 16 * mib, scan_slack_max = 256 * mib, scan_ahead_max = 48 * mib;
static const size_t scan_proof = 16; /* units in order that make a stream */

static struct scan {
    uint32_t record, generation;
    size_t unit;             /* bytes that are looked at as one: 2 MiB, or a multiple in large mappings */
    size_t units;            /* in the mapping */
    size_t front;            /* the unit that the stream reached last; `units`: not known */
    size_t covered;          /* units passed in order */
    bool proven;             /* that it is a stream, and its policy is not one for scattered access */
    bool drops;              /* what is behind the front */
    size_t kept;             /* units at the end that stay all the same */
    size_t written, dropped; /* of this pass: writeback was begun, and pages dropped, before these units */
    uint64_t rest_until;     /* ms: no look before that */
    uint64_t share_at;       /* ms: `drops` and `kept` are not found out before that, again */
    bool blind;              /* the next look only brings `seen` up to date */
    uint64_t seen[SCAN_UNITS / 64];
} scans[SCAN_MAX];

static void scan_begin(struct scan *s, const struct range *g)
{
    memset(s, 0, sizeof *s);
    s->record = g->record;
    s->generation = g->generation;
    s->unit = huge_size;
    while (g->bytes / s->unit >= SCAN_UNITS)
        s->unit *= 2;
    s->front = s->units = (g->bytes + s->unit - 1) / s->unit;
}

/* The scan of that mapping; a new one in place of a mapping's that is gone. NULL: all are taken. */
GUESSES static struct scan *scan_of(const struct range *g)
{
    struct scan *spare = NULL;
    for (struct scan *s = scans; s < scans + SCAN_MAX; s++) {
        if (s->record == g->record && s->generation == g->generation && s->unit * s->units >= g->bytes &&
            s->unit * (s->units - 1) < g->bytes)
            return s;
        if (!s->record || big_at(s->record)->generation != s->generation || s->record == g->record)
            spare = s;
    }
    if (spare)
        scan_begin(spare, g);
    return spare;
}

static void scan_forget(struct scan *s)
{
    s->front = s->units;
    s->covered = s->kept = 0;
    s->proven = s->drops = false;
    s->rest_until = op_now() + scan_rest_ms;
    s->blind = true;
}

static size_t unit_bytes(const struct scan *s, const struct range *g, size_t unit)
{
    return min_size(s->unit, g->bytes - unit * s->unit);
}

/* What a look has found behind the front, up to the last unit that was not mapped before. */
struct advance {
    size_t fresh, first, last; /* units newly mapped: how many, and the distances of two from the front */
    size_t absent;             /* not mapped */
    size_t old;                /* mapped all along */
};

static void scan_measure(struct scan *s, const struct range *g, struct advance *a)
{
    size_t absent = 0, old = 0, n = s->units;
    for (size_t k = 0; k < n && !(a->fresh && k > a->last + SCAN_PAST && s->front < n); k++) {
        size_t unit = (s->front + 1 + k) % n;
        uint64_t bit = (uint64_t)1 << (unit % 64);
        bool before = s->seen[unit / 64] & bit, now = op_is_mapped(g->offset + unit * s->unit);
        s->seen[unit / 64] = now ? s->seen[unit / 64] | bit : s->seen[unit / 64] & ~bit;
        absent += !now;
        old += now && before;
        if (!now || before)
            continue;
        if (!a->fresh++ && s->front >= n)
            a->first = k, absent = old = 0;
        a->last = k, a->absent = absent, a->old = old;
    }
}

/* Follows the front of a stream. Its units come without gaps, but for what was mapped all along, and
 * for what has been dropped again since: so they are no more than what was read or changed, `moved`.
 * Returns the bytes that it went on. */
static size_t scan_look(struct scan *s, const struct range *g, size_t moved)
{
    struct advance a = {0};
    scan_measure(s, g, &a);
    if (!a.fresh || s->blind) {
        s->blind = false;
        return 0;
    }
    size_t passed = (a.fresh + a.absent) * s->unit, old = a.old > s->kept ? a.old - s->kept : 0;
    bool order = a.absent + old <= a.fresh / 2 + 4 ||
                 (moved < g->bytes / 2 && passed <= moved + moved / 4 + scan_lag);
    if (!order) {
        scan_forget(s);
        return 0;
    }
    s->covered += a.last - a.first + 1;
    s->front = (s->front + 1 + a.last) % s->units;
    return passed;
}

static bool scattered_at(const struct range *g, size_t at)
{
    enum policy policy = range_policy(g, at);
    return policy == POLICY_RANDOM || policy == POLICY_BLOCKS || policy == POLICY_WATCHED;
}

static bool is_streamed(const struct range *g)
{
    for (const struct scan *s = scans; g->record && s < scans + SCAN_MAX; s++)
        if (s->record == g->record && s->generation == g->generation)
            return s->proven;
    return false;
}

/* How much of a mapping is in memory, by a glance at a few places. */
static size_t range_resident(const struct range *g)
{
    unsigned char vector[8];
    size_t step = round_up(g->bytes / 256 + 1, huge_size), looked = 0, resident = 0;
    for (size_t at = 0; at < g->bytes; at += step) {
        size_t from = at + round_down(pager_random() % min_size(step, g->bytes - at), page_size);
        size_t pages = min_size(sizeof vector, (g->bytes - from) / page_size);
        bool known = op_resident(g->offset + from, pages * page_size, vector);
        looked += pages;
        for (size_t i = 0; known && i < pages; i++)
            resident += vector[i] & 1;
    }
    return looked ? (size_t)((double)g->bytes * (double)resident / (double)looked) : 0;
}

/* How much memory there should be for the `others` bytes that no stream goes through: as much as they have now;
 * but for what is picked from at random, and faults for it, as much as it is. */
static size_t others_need(size_t others)
{
    size_t seen = 0, need = 0;
    for (unsigned i = 0; i < pager.ranges; i++) {
        const struct range *g = &pager.range[i];
        if (is_streamed(g))
            continue;
        size_t part = big_part_bytes(g->bytes), scattered = 0;
        for (size_t at = 0; at < g->bytes && pager.scattered; at += part)
            scattered += scattered_at(g, at) ? min_size(part, g->bytes - at) : 0;
        need += max_size(scattered, range_resident(g));
        seen += g->bytes;
    }
    return seen ? (size_t)((double)need / (double)seen * (double)others) : 0;
}

/* Decides whether a stream that has gone through all of its mapping drops what is behind it, and how much of that
 * stays: its part of the memory that is left for all streams. */
static void scan_share(struct scan *s)
{
    size_t streamed = 0, live = live_bytes(), fits = paging_room();
    s->drops = false;
    s->kept = 0;
    s->share_at = op_now() + scan_share_ms;
    if (live <= fits)
        return;
    for (const struct scan *other = scans; other < scans + SCAN_MAX; other++)
        if (other->record && other->proven)
            streamed += other->unit * other->units;
    size_t others = others_need(live - min_size(live, streamed));
    size_t usable = fits - min_size(fits / 4, scan_slack_max); /* what it reads needs room, too */
    size_t left = usable - min_size(usable, others);
    size_t share = (size_t)((double)left / (double)streamed * (double)s->units);
    s->drops = true;
    s->kept = share >= s->units / 10 ? min_size(share, s->units) : 0;
}

/* Drops the units `from` ... `to` - 1, but where the program picks pages at random, too. */
static void scan_drop(const struct scan *s, const struct range *g, size_t from, size_t to)
{
    const size_t step = 64 * mib;
    for (size_t at = from * s->unit, end = min_size(to * s->unit, g->bytes), last = at; at < end;) {
        size_t bytes = min_size(min_size(s->unit, step), end - at);
        if (!scattered_at(g, at))
            op_advise(g->offset + at, bytes, MADV_PAGEOUT);
        at += bytes;
        if (at - last >= step)
            last = at, op_yield();
    }
}

/* Begins to write them, so that they can be dropped at the next look. */
static void scan_write(const struct scan *s, const struct range *g, size_t from, size_t to)
{
    if (from < to)
        op_write(g, from * s->unit, min_size(to * s->unit, g->bytes) - from * s->unit);
}

/* Follows the stream: what is behind it goes, up to the part that stays. */
static void scan_follow(struct scan *s, const struct range *g)
{
    size_t end = s->units - s->kept, lag = scan_lag / s->unit + 1;
    size_t to = min_size(s->front > lag ? s->front - lag : 0, end);
    if (s->front < s->dropped) { /* round it came */
        scan_drop(s, g, s->dropped, end);
        s->written = s->dropped = 0;
        scan_share(s);
    } else if (pager.writing) {
        scan_drop(s, g, s->dropped, s->written);
        s->dropped = max_size(s->dropped, s->written);
        scan_write(s, g, s->written, to);
        s->written = max_size(s->written, to);
    } else if (to > s->dropped) {
        scan_drop(s, g, s->dropped, to);
        s->written = s->dropped = to;
    }
}

/* Reads what the stream will need next, for one look's time at most. */
static void scan_read_ahead(const struct scan *s, const struct range *g)
{
    uint64_t end = op_now() + scan_ms;
    size_t most = min_size(scan_ahead_max, paging_room() / 16) / s->unit, ahead = 0;
    for (size_t k = 1; k < s->units && ahead < most && op_now() < end; k++) {
        size_t unit = (s->front + k) % s->units;
        if (unit < s->front && s->covered < s->units)
            return; /* nobody knows that it will come round */
        bool stays = s->kept && unit >= s->units - s->kept;
        if (is_resident(g->offset + unit * s->unit, 1))
            ahead += !stays;
        else if (op_read(g, unit * s->unit, unit_bytes(s, g, unit)))
            ahead++;
        else
            return;
    }
}

/* Looks at every large mapping's stream. True: there is one, so it wants to look again soon. */
GUESSES static bool scans_look(void)
{
    bool streams = false;
    struct usage now;
    op_usage(&now);
    size_t moved = (now.blocks + now.written - pager.moved) * 512;
    pager.moved = now.blocks + now.written;
    pager.front = 0;
    ranges_find();
    for (unsigned i = 0; i < pager.ranges; i++) {
        const struct range *g = &pager.range[i];
        struct scan *s = g->subject >= SUBJECT_LARGE && !big_at(g->record)->frozen ? scan_of(g) : NULL;
        if (!s || op_now() < s->rest_until)
            continue;
        size_t streamed = scan_look(s, g, moved);
        bool large_pages = s->front < s->units && range_policy(g, s->front * s->unit) == POLICY_HUGE;
        pager.streamed += large_pages ? streamed : 0;
        s->proven = s->front < s->units && s->covered >= scan_proof && !scattered_at(g, s->front * s->unit);
        bool passed = s->covered >= s->units - s->units / 16;
        if (!s->drops && s->proven && op_now() >= s->share_at && (passed || pager.scattered)) {
            scan_share(s);
            s->drops &= passed || !s->kept;
            s->written = s->dropped = !pager.scattered && s->front < s->units - s->kept ? s->front : 0;
        }
        if (s->drops && s->proven)
            scan_follow(s, g);
        if (s->proven && pager.quiet == 0 && large_pages)
            scan_read_ahead(s, g);
        streams |= s->proven;
        pager.front = s->proven ? g->offset + s->front * s->unit : pager.front;
    }
    return streams;
}

/* --- memory that nobody uses --------------------------------------------------------------------- */

/* Reads what the program is going to pick from at random into memory that is free: what has been dropped behind
 * a stream, or freed. Single faults would take a minute for a GiB of it. Returns the bytes asked for. */
static size_t refill(size_t most)
{
    size_t step = min_size(folder.readahead * page_size, huge_size), asked = 0;
    for (int tries = 0; tries < 64 && asked < most; tries++) {
        size_t at = pager_random() % pager.total_pages * page_size;
        const struct range *g = pager.range;
        while (at >= g->bytes)
            at -= g++->bytes;
        at = round_down(at, huge_size);
        if (!scattered_at(g, at))
            continue;
        size_t end = min_size(at + huge_size, g->bytes);
        asked += end - at;
        for (; at < end; at += step)
            op_advise(g->offset + at, min_size(step, end - at), MADV_WILLNEED);
    }
    return asked;
}

/* Is memory free, beyond what the next reads need? Then fills it, a piece at a time. True: there is more to fill. */
static bool refill_look(void)
{
    uint64_t now = op_now();
    if (!pager.refill && now >= pager.refill_at) {
        size_t fits = paging_room(), used = fits / 8;
        for (unsigned i = 0; i < pager.ranges; i++)
            used += range_resident(&pager.range[i]);
        size_t left = fits - min_size(fits, used);
        pager.refill = left > fits / 8 ? min_size(left, refill_most * mon_idle_ms / scan_ms) : 0;
        pager.refill_at = now + (left > fits / 8 && pager.refill == left ? refill_gap_ms : mon_idle_ms);
    }
    if (pager.refill && pager.total_pages) {
        size_t asked = refill(refill_most);
        pager.refill = asked ? pager.refill - min_size(pager.refill, asked) : 0;
    }
    return pager.refill;
}

/* --- what the device reads ahead ----------------------------------------------------------------- */

/* Where nothing names the device, it is tried out, once: at a piece of the data that is not in memory. If all of
 * that was read, it may be more. */
static void readahead_learn(void)
{
    unsigned char *vector = pager.vector;
    for (int tries = 0; tries < 16 && !folder.readahead_known && pager.total_pages; tries++) {
        size_t at = pager_random() % pager.total_pages * page_size, pages = 0;
        const struct range *g = pager.range;
        while (at >= g->bytes)
            at -= g++->bytes;
        size_t most = min_size(g->bytes - at, window_bytes);
        if (!op_resident(g->offset + at, most, vector))
            continue;
        while (pages < most / page_size && !(vector[pages] & 1))
            pages++;
        size_t seen = pages > readahead_least ? op_read_one(g, at, pages) : 0;
        folder.readahead_known = seen && seen < pages;
        if (folder.readahead_known || seen > folder.readahead)
            folder.readahead = seen;
    }
}

/* --- when to look -------------------------------------------------------------------------------- */

/* Has what comes with a fault changed? Then the program does something else now. Speeds say
 * less: they change with the weather on the disk. */
static bool usage_differs(const struct usage *now, const struct usage *calm)
{
    const size_t a[] = {now->minflt, now->blocks, now->cpu_us, now->majflt / 2};
    const size_t b[] = {calm->minflt, calm->blocks, calm->cpu_us, calm->majflt / 2};
    const size_t noise[] = {200, 16, 40, 400};
    for (int i = 0; i < 4; i++)
        if (max_size(a[i], b[i]) > noise[i] && max_size(a[i], b[i]) > 2 * min_size(a[i], b[i]))
            return true;
    return false;
}

/* What happened since the last tick, each per 100 major faults; majflt itself per second.
 * False: the process does not page. First touches of new blocks are faults, but read nothing. */
static bool usage_since(struct usage *since)
{
    struct usage now;
    op_usage(&now);
    uint64_t ms = max_size(now.ms - pager.last.ms, 1);
    size_t faults = now.majflt - pager.last.majflt, blocks = now.blocks - pager.last.blocks;
    size_t minor = now.minflt - pager.last.minflt, written = now.written - pager.last.written;
    size_t cpu = now.cpu_us - pager.last.cpu_us;
    pager.last = now;
    pager.dirtying = written * 1000 / ms >= 2000 && live_bytes() > paging_room();
    pager.read = blocks * 512;
    pager.faults = faults;
    if (blocks < 4 * faults || blocks * 1000 / ms < 1000)
        return false;
    faults = max_size(faults, 1); /* readahead that stays ahead of a stream leaves none */
    *since = (struct usage){.majflt = faults * 1000 / ms, .minflt = minor * 100 / faults,
                            .blocks = blocks / faults, .written = written / faults,
                            .cpu_us = cpu / faults};
    return true;
}

static size_t ranges_resident(void)
{
    size_t resident = 0;
    for (unsigned i = 0; i < pager.ranges; i++)
        resident += range_resident(&pager.range[i]);
    return resident;
}

/* What the process reads and waits for: is it our data? Where ROOM sees a limit nearby, it is. Else some of the data
 * must be missing (but what was never touched was never in memory), and then what is not missing is as much as fits:
 * at least, as streams drop what is behind them. */
static bool paging_is_ours(const struct usage *since)
{
    size_t live = live_bytes(), known = room_bytes();
    if (live > known) {
        pager.fits = SIZE_MAX;
        return true;
    }
    if (live < known / 2 && since->majflt < faults_least)
        return false;
    if (op_now() >= pager.fits_at) {
        pager.fits_at = op_now() + fits_ms;
        ranges_find();
        size_t all = pager.total_pages * page_size, resident = ranges_resident();
        pager.missing = resident < all - all / 16;
        if (pager.missing)
            pager.fits = max_size(resident, pager.fits == SIZE_MAX ? mon_least / 4 : pager.fits);
    }
    return pager.missing || live >= known / 2;
}

/* Has the program begun to read? Until then nothing has shown how. */
static bool reading_begins(void)
{
    struct usage now;
    if (!pager.quiet)
        return false;
    op_usage(&now);
    return now.blocks - pager.last.blocks >= reading_least / 512;
}

/* The page tables of what was paged out stay, 2 MiB for a GiB that was touched anywhere, and the
 * program is charged for them: with enough data they are what gets it killed. So when they are
 * large they are dropped, all at once: what is in memory is mapped again by cheap faults. */
static void tables_trim(void)
{
    if (live_bytes() < 512 * 16 * mib)
        return;
    size_t bytes = tables_bytes();
    if (bytes < 16 * mib || bytes < room_bytes() / 16)
        return;
    for (uint32_t i = 1; i <= big.record_count; i++) {
        pthread_mutex_lock(&big.lock);
        struct big *r = big_at(i);
        if (r->in_use && big_extent(r)->state == EXTENT_LIVE && !r->ordinary && !r->frozen)
            op_advise(big_offset(r), r->mapped, MADV_DONTNEED);
        pthread_mutex_unlock(&big.lock);
    }
}

/* Do streams account for what was read since the last tick, but for an eighth, and for its faults? */
static bool streams_explain(void)
{
    size_t streamed = pager.streamed;
    pager.streamed = 0;
    bool more = pager.faults > 2 * streamed / huge_size + stream_misses;
    pager.scattered = more ? scattered_ticks : pager.scattered - (pager.scattered > 0);
    return streamed && !more && pager.read <= streamed + streamed / 8 + 8 * mib;
}

/* Does a stream work more or less on what it reads than it did after the last probe? A walk through a column
 * touches the same large pages in the same order. */
static bool stream_differs(const struct usage *since)
{
    double cpu = ((double)since->cpu_us + 1) / ((double)since->blocks + 1);
    if (pager.stream_cpu == 0)
        pager.stream_cpu = cpu;
    bool differs = cpu > 3 * pager.stream_cpu || 3 * cpu < pager.stream_cpu;
    pager.stream_other = differs ? pager.stream_other + 1 : 0;
    return pager.stream_other >= 2;
}

/* Something is read: is it time to probe, or to drop what a probe has shown to be wrong? */
static void paging_act(const struct usage *since)
{
    bool other = usage_differs(since, &pager.calm);
    uint64_t gap = other ? min_size(pager.probe_gap, 2 * probe_gap_ms) : pager.probe_gap;
    bool explained = streams_explain();
    pager.unexplained = explained ? 0 : pager.unexplained + 1;
    if (explained && !stream_differs(since))
        gap = probe_gap_stream_ms;
    else if (pager.blind)
        gap = probe_gap_blind_ms;
    else if (explained)
        gap = probe_gap_ms;
    else if (pager.unexplained == 2) /* it has ended, or something else began beside it */
        pager.probe_gap = gap = min_size(gap, probe_gap_ms);
    pager.calm = *since;
    pager.writing = since->written > since->blocks / 4;
    bool amplified = since->blocks <= 16 && since->written > 64;
    pager.amplified = amplified ? pager.amplified + 1 : 0;
    if (pager.amplified == 3)
        split_begin();
    atomic_store(&watch.budget, paging_room() / 16);
    watch_order(pager.watching ? WATCH_ON : WATCH_PARK);
    if (pager.last.ms < pager.probe_at + gap || !pager_open())
        return;
    if (!folder.readahead_known) {
        ranges_find();
        readahead_learn();
    }
    bool changed = probe() != 0;
    watch_order(pager.watching ? WATCH_ON : WATCH_PARK);
    if (changed && pager.changing)
        split_begin();
    uint64_t most = pager.all_random ? probe_gap_random_ms : probe_gap_max_ms;
    pager.probe_gap = changed ? probe_gap_ms : min_size(pager.probe_gap * 2, most);
    pager.blind = pager.misses < evidence_least && pager.blind < blind_most ? pager.blind + 1 : 0;
    op_usage(&pager.last);
    pager.probe_at = pager.last.ms;
    pager.streamed = 0;
    if (!pager.blind)
        pager.stream_cpu = pager.stream_other = 0;
}

/* Nothing is paged. Returns the milliseconds until the next look. */
static uint64_t paging_rests(bool streams)
{
    pager.quiet += pager.quiet < quiet_most;
    if (pager.quiet == quiet_most || (!pager.near && pager.quiet >= quiet_calm)) {
        watch_order(WATCH_PARK);
        pager.split = 0;
        pager.fits = SIZE_MAX;
        return pager.near && pager.dirtying ? paging_ms : mon_idle_ms;
    }
    if (streams)
        return scan_ms; /* what is filled in order may soon be read */
    return pager.quiet < quiet_calm || pager.dirtying ? paging_ms : mon_idle_ms;
}

/* Looks at the paging; returns the milliseconds until it wants to look again. */
static uint64_t paging_tick(void)
{
    struct usage since;
    tables_trim();
    if (cfg.paging != PAGING_ADAPTIVE || !paging_may_come()) {
        watch_order(WATCH_PARK);
        return mon_idle_ms;
    }
    bool near = live_bytes() >= room_bytes() / 2;
    if (near && !pager.near)
        pager.quiet = min_size(pager.quiet, 1);
    pager.near = near;
    bool asleep = !near && pager.quiet >= quiet_calm;
    if (!asleep && !atomic_load(&watch.running) && watch_able()) { /* the program's next malloc makes it */
        __atomic_store_n(&route.limit, 0, __ATOMIC_RELEASE);
        atomic_store(&mon.wanted, true); /* last: who sees it sets the limit back */
    }
    bool streams = !asleep && (pager.quiet == 0 || pager.dirtying) && scans_look();
    streams |= pager.quiet == 0 && pager.scattered && refill_look();
    if (pager.split)
        large_pages_split();
    if ((streams || pager.split) && op_now() - pager.last.ms < paging_ms && !reading_begins())
        return pager.split ? split_pause_ms : scan_ms;
    if (usage_since(&since) && paging_is_ours(&since)) {
        pager.quiet = 0;
        paging_act(&since);
        return pager.split ? split_pause_ms : streams ? scan_ms : paging_ms;
    }
    return paging_rests(streams);
}

/* ============================================================================================
 * === MONITOR  one background thread, there only while it has something to do
 *
 * It drops warm bigmaacs that nobody reused, punches freed fries, brings changed memory home
 * after a fork when RAM runs short, and picks the paging policy (PAGING): for that it is there
 * long before the memory is full, and wakes once a second. All signals are blocked in it; it holds
 * the gate for reading while it works, and no lock while it sleeps.
 * ========================================================================================= */

static struct {
    atomic_uint round;     /* futex: odd while threads are to wait; raised to let them go */
    atomic_uint_fast64_t stopped; /* threads that wait in stop_handler; the round in the upper half */
    size_t anonymous_floor; /* anonymous bytes after the last time; the monitor's own */
} stop;

/* Is there anything for the thread to do, now or soon? */
GUESSES static bool mon_needed(void)
{
    size_t frozen = atomic_load(&home.frozen_bytes);
    if (big.warm_oldest || fry.dirty_pages > to_pages(64 * mib))
        return true;
    return paging_may_come() || (frozen >= 32 * mib && frozen > room_bytes() / 4);
}

/* --- stopping the program for a moment ----------------------------------------------------------- */

/* Runs in each thread of the program. Only async-signal-safe calls. A signal that comes late, when
 * everybody runs again, does nothing. */
static void stop_handler(int sig)
{
    (void)sig;
    int err = errno;
    uint64_t seen = atomic_load(&stop.stopped);
    do
        if (!(seen >> 32 & 1))
            return;
    while (!atomic_compare_exchange_weak(&stop.stopped, &seen, seen + 1));
    unsigned round = (unsigned)(seen >> 32);
    while (atomic_load(&stop.round) == round)
        syscall(SYS_futex, &stop.round, FUTEX_WAIT_PRIVATE, round, NULL, NULL, 0);
    errno = err;
}

/* A signal that the program does not use; 0: none. SIGURG is ignored by default, so one that
 * comes late does no harm. */
static int stop_signal(void)
{
    int candidates[] = {SIGURG, SIGRTMAX - 2, SIGRTMAX - 3};
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
        struct sigaction now;
        if (sigaction(candidates[i], NULL, &now) == 0 &&
            (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN) && !(now.sa_flags & SA_SIGINFO))
            return candidates[i];
    }
    return 0;
}

/* Signals a thread of the program; 0 only asks whether it is there. */
static bool stop_signal_one(pid_t tid, int sig)
{
    if (sig)
        syscall(SYS_tgkill, getpid(), tid, sig);
    return true;
}

/* Begins the next round, with nobody stopped in it. Who is counted in a round that stops waits for its
 * end, so `round` comes first there, and last where it lets them go. */
static void stop_round(void)
{
    unsigned round = atomic_load(&stop.round) + 1;
    if (round & 1)
        atomic_store(&stop.round, round);
    atomic_store(&stop.stopped, (uint64_t)round << 32);
    atomic_store(&stop.round, round);
}

/* Stops every other thread in stop_handler. False: some thread blocks the signal, or threads
 * come and go too fast; then all run on. Signals come between instructions: a system call that
 * was under way is finished or restarted, so none writes to memory meanwhile. */
static bool stop_world(int sig, struct sigaction *saved)
{
    struct sigaction handler = {.sa_handler = stop_handler, .sa_flags = SA_RESTART};
    sigfillset(&handler.sa_mask);
    int fd = threads_open();
    if (sigaction(sig, &handler, saved) != 0 || fd < 0)
        return false;
    stop_round();
    unsigned threads = threads_see(fd, stop_signal_one, sig);
    unsigned still = 0;
    for (int ms = 0; ms < 200 && still < threads; ms++) {
        sleep_ms(1);
        still = (unsigned)atomic_load(&stop.stopped) + atomic_load(&op_waiting);
    }
    bool all = still >= threads && threads_see(fd, stop_signal_one, 0) == threads;
    syscall(SYS_close, fd);
    return all;
}

static void resume_world(int sig, const struct sigaction *saved)
{
    struct sigaction none = {.sa_handler = SIG_IGN};
    if (atomic_load(&stop.round) & 1)
        stop_round();
    syscall(SYS_futex, &stop.round, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
    sigaction(sig, &none, NULL); /* takes away what waits for threads that block it, whose default may kill */
    sigaction(sig, saved, NULL);
}

/* --- bringing home ------------------------------------------------------------------------------- */

/* Takes every lock, so that no stopped thread holds one. Signals are blocked by the caller. */
static void home_lock(void)
{
    pthread_rwlock_wrlock(&gate);
    pthread_mutex_lock(&fry.lock);
    pthread_mutex_lock(&big.lock);
}

static void home_unlock(void)
{
    pthread_mutex_unlock(&big.lock);
    pthread_mutex_unlock(&fry.lock);
    pthread_rwlock_unlock(&gate);
}

/* At an allocator call that the monitor asked for: only while nobody else runs. */
COLD static void home_now(void)
{
    sigset_t saved;
    int err = errno;
    signals_hold(&saved);
    home_lock();
    if (atomic_load(&home.wanted) && thread_count() == 1)
        home_all();
    atomic_store(&home.wanted, false);
    route_set_limit();
    home_unlock();
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    errno = err;
}

/* Asks the program's next malloc, if it is the only thread and calls one soon. */
static bool home_ask(void)
{
    if (thread_count() != 1)
        return false;
    atomic_store(&home.wanted, true);
    __atomic_store_n(&route.limit, 0, __ATOMIC_RELEASE);
    for (int ms = 0; ms < 10 && atomic_load(&home.wanted); ms++)
        sleep_ms(1);
    bool done = !atomic_exchange(&home.wanted, false);
    if (!done && !atomic_load(&mon.wanted))
        route_set_limit(); /* else every small request would take the long way from now on */
    return done;
}

/* The monitor's way: everybody is stopped for it. */
static void home_forced(void)
{
    struct sigaction saved;
    int sig = stop_signal();
    if (!sig || sigaction(sig, NULL, &saved) != 0)
        return;
    home_lock();
    bool stopped = stop_world(sig, &saved);
    if (stopped)
        home_all();
    resume_world(sig, &saved);
    home_unlock();
}

/* After a fork: has so much been changed that RAM runs short? */
static void home_tick(void)
{
    if (!atomic_load(&home.frozen_bytes))
        return;
    size_t anonymous = anonymous_bytes();
    if (!anonymous) { /* the program has closed what is read here: its next malloc opens it */
        atomic_store(&mon.wanted, true);
        __atomic_store_n(&route.limit, 0, __ATOMIC_RELEASE);
        return;
    }
    stop.anonymous_floor = min_size(stop.anonymous_floor, anonymous);
    if (anonymous - stop.anonymous_floor < (room_bytes() + anonymous) / 5)
        return;
    if (!home_ask())
        home_forced();
    stop.anonymous_floor = anonymous_bytes();
    atomic_store(&room.read_ms, 0);
}

/* --- the thread ---------------------------------------------------------------------------------- */

static void mon_tidy(void)
{
    pthread_rwlock_rdlock(&gate);
    warm_expire(now_ms() - warm_keep_ms);
    pthread_mutex_lock(&fry.lock);
    fry_purge_if_due();
    pthread_mutex_unlock(&fry.lock);
    pthread_rwlock_unlock(&gate);
}

/* Sleeps, unless somebody has work. */
static void mon_sleep(uint64_t ms)
{
    static unsigned seen;
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    mon_release();
    syscall(SYS_futex, &mon.wake, FUTEX_WAIT_PRIVATE, seen, &t, NULL, 0);
    mon_hold();
    seen = atomic_load(&mon.wake);
}

static void *mon_main(void *unused)
{
    (void)unused;
    mon_hold();
    mon_self = true;
    atomic_store(&mon.tid, (int)syscall(SYS_gettid));
    prctl(PR_SET_NAME, "bigmaac");
    stop.anonymous_floor = anonymous_bytes();
    uint64_t tidied = 0;
    for (;;) {
        bool frozen = atomic_load(&home.frozen_bytes) > room_bytes() / 4;
        uint64_t pause = frozen ? mon_frozen_ms : mon_idle_ms;
        mon_sleep(min_size(pause, paging_tick()));
        home_tick();
        if (now_ms() - tidied < mon_idle_ms)
            continue;
        tidied = now_ms();
        mon_tidy();
        pthread_mutex_lock(&mon.lock);
        bool needed = mon_needed();
        if (!needed)
            atomic_store(&mon.running, false);
        pthread_mutex_unlock(&mon.lock);
        if (!needed) {
            watch_order(WATCH_END);
            atomic_store(&mon.tid, 0);
            atomic_fetch_sub(&mon.alive, 1);
            mon_release();
            return NULL;
        }
    }
}

/* Opens what the thread will read: it must not take a low descriptor itself. */
static void mon_open(void)
{
    atomic_store(&room.read_ms, 0);
    room_bytes();
    anonymous_bytes();
    tables_bytes();
    op_is_mapped(0);
}

/* Starts the thread. Requires that every signal is blocked. Called without any lock: pthread_create may
 * allocate, and comes back here, where `running` is already set. */
COLD static void mon_start(void)
{
    mon_open();
    bool single = next.single_threaded && *next.single_threaded;
    if (!thread_make(mon_main)) {
        static atomic_bool told;
        atomic_store(&mon.failed_ms, now_ms());
        atomic_store(&mon.running, false);
        if (cfg.verbose && first_time(&told))
            report("the background thread can't be started; paging stays as the kernel does it");
    }
    if (atomic_load(&mon.running) && paging_may_come())
        watch_start();
    if (single)
        atomic_store(&mon.only_ours, true);
}

/* Called after operations that may have made work for the thread. */
static void mon_consider(void)
{
    if (likely(atomic_load_explicit(&mon.running, memory_order_relaxed)) ||
        (mon.failed_ms && now_ms() - mon.failed_ms < mon_retry_ms) || !mon_needed())
        return;
    int err = errno;
    sigset_t saved;
    signals_hold(&saved); /* a handler that forks would wait for the lock that it interrupted */
    pthread_mutex_lock(&mon.lock);
    bool start = !atomic_exchange(&mon.running, true);
    pthread_mutex_unlock(&mon.lock);
    if (start)
        mon_start();
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    errno = err;
}

/* The monitor may be needed after a fork; but the fork may be a signal handler's that interrupted
 * malloc, where no thread can be made. So the next call of malloc looks. Or the monitor lacks its files. */
COLD static void mon_start_wanted(void)
{
    int err = errno;
    atomic_store(&mon.wanted, false);
    if (!atomic_load(&home.wanted))
        route_set_limit();
    if (atomic_load(&mon.running)) {
        sigset_t saved;
        signals_hold(&saved);
        mon_open();
        if (paging_may_come())
            watch_start();
        pthread_sigmask(SIG_SETMASK, &saved, NULL);
    }
    errno = err;
    mon_consider();
}

/* ============================================================================================
 * === INIT  on the first call of anything, or in the constructor
 * ========================================================================================= */
enum { INIT_NONE, INIT_RUNNING, INIT_DONE };

static struct {
    atomic_int state;
    pthread_t owner; /* while INIT_RUNNING: its calls get boot memory */
} init;

COLD static void next_find(void)
{
    next.malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    next.calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
    next.realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
    next.memalign = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "memalign");
    next.usable = (size_t(*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size");
    next.fork = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");
    next.fork_only = (pid_t(*)(void))dlsym(RTLD_NEXT, "_Fork");
    next.single_threaded = dlsym(RTLD_NEXT, "__libc_single_threaded");
    void (*found)(void *) = (void (*)(void *))dlsym(RTLD_NEXT, "free");
    if (!next.malloc || !next.calloc || !next.realloc || !next.memalign || !next.usable || !found)
        fatal("there is no next malloc to pass requests to");
    next.free = found;
}

/* True once requests may be routed; false for calls from inside the initialisation itself. */
COLD static bool init_run(void)
{
    int expected = INIT_NONE;
    int err = errno;
    if (atomic_compare_exchange_strong(&init.state, &expected, INIT_RUNNING)) {
        init.owner = pthread_self();
        config_load();
        next_find();
        if (cfg.profile)
            profile_open();
        if (pthread_atfork(fork_prepare, fork_parent, fork_child) != 0)
            cfg.off = true; /* without the handlers a fork would share memory */
        atomic_store(&init.state, INIT_DONE);
        route_set_limit();
    } else if (expected == INIT_RUNNING && init.owner == pthread_self()) {
        return false;
    }
    while (atomic_load(&init.state) != INIT_DONE)
        sched_yield();
    errno = err;
    return true;
}

static inline bool init_done(void)
{
    return likely(atomic_load_explicit(&init.state, memory_order_acquire) == INIT_DONE) || init_run();
}

__attribute__((constructor)) static void on_load(void) { init_run(); }

__attribute__((destructor)) static void on_exit_report(void)
{
    if (cfg.stats && !cfg.off)
        stats_report();
    if (cfg.profile)
        profile_report();
}

/* ============================================================================================
 * === API  the malloc family, madvise, _Fork, and the calls of bigmaac.h
 *
 * Each first asks whether the request or the pointer is ours; what isn't costs one compare and
 * one jump. Semantics are glibc's. All are thread-safe; none may be called from a signal handler
 * that interrupted another one of them in the same thread, except where the C library's may.
 * ========================================================================================= */

/* The next malloc's memory for a request that is not ours, or that we can't serve. */
static void *real_alloc(size_t size, size_t align, bool zero)
{
    if (zero)
        return profile_add(next.calloc(1, size));
    return profile_add(align > 16 ? next.memalign(align, size) : next.malloc(size));
}

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

/* A large request: a bigmaac; when those run out of descriptors or mappings, a page run of the
 * fries file, which needs neither. */
static void *alloc_big(size_t size, size_t align, bool zero, enum reason *why)
{
    struct op op;
    op_begin(&op);
    void *p = big_alloc(size, align, zero, why);
    op_end(&op);
    if (!p && (*why == REASON_DESCRIPTORS || *why == REASON_MAPPINGS)) {
        enum reason other = *why;
        count_fell(*why, size);
        p = run_alloc(size, align, zero, &other);
        if (!p)
            *why = other == REASON_ADDRESS_SPACE ? *why : other;
    }
    return p;
}

/* Serves what is ours by its size. NULL with errno ENOMEM, or the next malloc's memory, where
 * the disk or the address space can't. */
static void *alloc_own(enum kind kind, size_t size, size_t align, bool zero)
{
    enum reason why = REASON_ADDRESS_SPACE;
    void *p = NULL;
    if (regions_open() && align <= route.align_max)
        p = kind == KIND_BIG ? alloc_big(size, align, zero, &why) : fry_alloc(size, align, zero, &why);
    if (likely(p)) {
        mon_consider();
        return p;
    }
    count_fell(why, size);
    if (kind == KIND_BIG && (why == REASON_DISK_FULL || why == REASON_NO_FOLDER || why == REASON_FILE_SIZE))
        return no_memory();
    return real_alloc(size, align, zero);
}

/* Every request that did not take a shortcut. `align` is a power of 2, 16 for "any". */
static NOINLINE void *alloc_slow(size_t size, size_t align, bool zero)
{
    if (!init_done())
        return boot_alloc(size, align);
    if (unlikely(atomic_load_explicit(&home.wanted, memory_order_relaxed)))
        home_now();
    if (unlikely(atomic_load_explicit(&mon.wanted, memory_order_relaxed)))
        mon_start_wanted();
    if (size > request_max)
        return no_memory();
    enum kind kind = mon_starting ? KIND_REAL : route_of(size);
    if (kind != KIND_REAL)
        return alloc_own(kind, size, align, zero);
    if (!mon_starting) {
        mon_consider(); /* what is passed on may fill the memory in which ours is */
        if (cfg.stats)
            count_one(&count.passed);
    }
    return real_alloc(size, align, zero);
}

/* No block at hand: a thread without a heap, a class without one, or not a slab's size. */
static NOINLINE void *alloc_routed_slow(struct heap *h, size_t size)
{
    enum reason why;
    void *p = h && size - route.fry_low < route.fry_span ? fry_take_slow(h, class_of(size), &why) : NULL;
    return p ? p : alloc_slow(size, 16, false);
}

/* Slab-sized fries once everything is open; the rest goes on to alloc_slow. */
static ALWAYS_INLINE void *alloc_routed(size_t size)
{
    struct heap *h = heap_self;
    if (likely(h && size - route.fry_low < route.fry_span)) {
        struct slab *s = h->bin[class_of(size)];
        if (likely(s->summary))
            return slab_take(h, s);
    }
    return alloc_routed_slow(h, size);
}

/* Why p can't be freed or resized: one line, and the end. */
COLD __attribute__((noreturn)) static void corrupt(const char *function, const void *p)
{
    size_t offset = mem_offset(p);
    bool is_fry = offset < mem.fry_end;
    struct space *s = is_fry ? &fry.space : &big.space;
    const struct slab *slab = is_fry && offset >= s->start ? slab_containing(offset) : NULL;
    bool inside = false, freed = false;
    if (slab) {
        freed = slab_block(slab, p) != no_block;
        inside = !freed;
    } else if (offset >= s->start && offset - s->start < to_bytes(s->pages)) {
        uint32_t i = extent_containing(s, offset);
        const struct extent *e = i ? extent_at(s, i) : NULL;
        size_t at = to_pages(offset - s->start);
        inside = e && (e->state == EXTENT_LIVE || e->state == EXTENT_BUSY);
        freed = !inside && (is_fry || !(offset & (page_size - 1))) &&
                (at + 1) * sizeof(uint32_t) <= s->map.committed &&
                (*map_entry(s, (uint32_t)at) == map_freed || (e && e->state == EXTENT_WARM && e->page == at));
    }
    if (freed)
        fatal("%s(): double free of %p", function, p);
    fatal("%s(): pointer %p %s", function, p, inside ? "inside a block" : "never allocated");
}

/* --- freeing ------------------------------------------------------------------------------------- */

/* Everything but blocks of slabs. */
static NOINLINE void free_rest(void *p, size_t offset, const char *function)
{
    if (offset < mem.fry_end) {
        if (offset < fry.space.start ? !is_boot(p) : !fry_free(p, offset))
            corrupt(function, p);
        return;
    }
    struct op op;
    op_begin(&op);
    bool freed = big_free(p);
    op_end(&op);
    if (!freed)
        corrupt(function, p);
    mon_consider();
}

static NOINLINE void free_own(void *p, const char *function)
{
    free_rest(p, mem_offset(p), function);
}

static NOINLINE void free_remote(void *p, struct slab *s, uint64_t i)
{
    if (!slab_free_remote(s, i))
        corrupt("free", p);
}

/* The fast path: a block of a slab. One compare covers boot memory and bigmaacs too. */
static ALWAYS_INLINE void free_fast(void *p)
{
    uint32_t unit = slab_unit(p);
    if (unlikely(unit == no_slab)) {
        free_rest(p, mem_offset(p), "free");
        return;
    }
    struct slab *s = meta_at(unit);
    uint64_t i = slab_block(s, p);
    if (unlikely(i == no_block))
        corrupt("free", p);
    if (unlikely(!slab_is_own(s)))
        free_remote(p, s, i);
    else if (unlikely(!slab_free_own(s, i)))
        corrupt("free", p);
}

/* Stands in next.free until the initialisation has found the real one. */
COLD static void early_free(void *p)
{
    if (p && init_done())
        next.free(p);
}

COLD static size_t early_usable(void *p)
{
    return p && init_done() ? next.usable(p) : 0;
}

static ALWAYS_INLINE void free_inline(void *p)
{
    if (unlikely(mem_owns(p)))
        free_fast(p);
    else
        next.free(p);
}
static NOINLINE void free_any(void *p) { free_inline(p); }

EXPORT void API(free)(void *p) { free_inline(p); }

/* C23's, which glibc does not declare yet. */
void API(free_sized)(void *p, size_t size);
void API(free_aligned_sized)(void *p, size_t align, size_t size);

EXPORT void API(free_sized)(void *p, size_t size)
{
    (void)size;
    free_any(p);
}

EXPORT void API(free_aligned_sized)(void *p, size_t align, size_t size)
{
    (void)align;
    (void)size;
    free_any(p);
}

/* --- allocating ---------------------------------------------------------------------------------- */

EXPORT void *API(malloc)(size_t size)
{
    if (likely(size < load_published(&route.limit)))
        return next.malloc(size);
    return alloc_routed(size);
}

EXPORT void *API(calloc)(size_t count_of, size_t size)
{
    size_t bytes;
    if (unlikely(__builtin_mul_overflow(count_of, size, &bytes)))
        return no_memory();
    if (likely(bytes < load_published(&route.limit)))
        return next.calloc(count_of, size);
    return alloc_slow(bytes, 16, true);
}

/* memalign and its relatives. */
static void *alloc_aligned(size_t align, size_t size)
{
    if (size < load_published(&route.limit))
        return next.memalign(align, size);
    return alloc_slow(size, max_size(align, 16), false);
}

/* Like glibc's: an alignment that is no power of 2 is rounded up to one. */
EXPORT void *API(memalign)(size_t align, size_t size)
{
    if (align > (SIZE_MAX >> 1) + 1) {
        errno = EINVAL;
        return NULL;
    }
    size_t power = 16;
    while (power < align)
        power *= 2;
    return alloc_aligned(power, size);
}

EXPORT void *API(aligned_alloc)(size_t align, size_t size)
{
    if (!is_power_of_2(align)) {
        errno = EINVAL;
        return NULL;
    }
    return alloc_aligned(align, size);
}

EXPORT int API(posix_memalign)(void **out, size_t align, size_t size)
{
    if (!is_power_of_2(align) || align % sizeof(void *) != 0)
        return EINVAL;
    int err = errno;
    void *p = alloc_aligned(align, size);
    errno = err; /* this one returns it instead */
    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}

EXPORT void *API(valloc)(size_t size)
{
    return alloc_aligned((size_t)sysconf(_SC_PAGESIZE), size);
}

EXPORT void *API(pvalloc)(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (size > request_max - page)
        return no_memory();
    return alloc_aligned(page, round_up(size, page));
}

/* --- sizes --------------------------------------------------------------------------------------- */

/* Usable bytes of a block of ours; ends the program if p starts none. */
static size_t usable_own(void *p, const char *function)
{
    size_t offset = mem_offset(p), usable = 0;
    if (is_boot(p))
        return boot_size(p);
    if (offset < mem.fry_end) {
        usable = offset >= fry.space.start ? fry_usable(p, offset) : 0;
    } else {
        struct op op;
        op_begin(&op);
        struct big *r = big_claim(p);
        if (r) {
            usable = r->mapped;
            big_unclaim(r);
        }
        op_end(&op);
    }
    if (!usable)
        corrupt(function, p);
    return usable;
}

EXPORT size_t API(malloc_usable_size)(void *p)
{
    return mem_owns(p) ? usable_own(p, "malloc_usable_size") : next.usable(p);
}

/* --- resizing ------------------------------------------------------------------------------------ */

/* The general way: a new block, the content, the old block's end. p is unharmed on failure; where
 * it is large enough, there is none. */
static void *realloc_copy(void *p, size_t old, size_t size)
{
    int err = errno;
    void *to = alloc_slow(size, 16, false);
    if (to) {
        memcpy(to, p, min_size(old, size));
        free_any(p);
    } else if (size <= old) {
        errno = err;
        to = p;
    }
    return to;
}

/* Resizes a bigmaac without copying; below the threshold it moves to smaller quarters. */
static void *realloc_big(void *p, size_t size)
{
    struct op op;
    enum reason why = REASON_NONE;
    bool stays = route_of(size) == KIND_BIG;
    op_begin(&op);
    struct big *r = big_claim(p);
    size_t old = r ? r->mapped : 0; /* malloc_usable_size: all of it is the program's */
    stays = stays && !(r && r->ordinary); /* what has opted out can't grow: it is copied */
    if (r && stays) {
        why = big_resize(r, size);
        if (!why)
            p = mem_at(big_offset(r));
    }
    if (r)
        big_unclaim(r);
    op_end(&op);
    if (!r)
        corrupt("realloc", p);
    if (!stays)
        return realloc_copy(p, old, size);
    mon_consider();
    if (!why)
        return p;
    bool elsewhere = why == REASON_DESCRIPTORS || why == REASON_MAPPINGS || why == REASON_MEMORY ||
                     (why == REASON_ADDRESS_SPACE && size <= room_bytes());
    if (elsewhere) /* the fries or the next malloc may have what is missing */
        return realloc_copy(p, old, size);
    count_fell(why, size);
    return no_memory();
}

static void *realloc_own(void *p, size_t size)
{
    if (size == 0) {
        free_own(p, "realloc");
        return NULL;
    }
    if (size > request_max)
        return no_memory();
    size_t offset = mem_offset(p);
    if (offset >= mem.fry_end)
        return realloc_big(p, size);
    size_t usable = usable_own(p, "realloc");
    if (!is_boot(p) && route_of(size) != KIND_REAL && fry_resize(offset, usable, size))
        return p;
    return realloc_copy(p, usable, size);
}

static NOINLINE void *realloc_slow(void *p, size_t size)
{
    if (mem_owns(p))
        return realloc_own(p, size);
    if (!p)
        return alloc_slow(size, 16, false);
    if (!init_done() || size > request_max)
        return no_memory();
    if (route_of(size) == KIND_REAL) {
        if (cfg.stats)
            count_one(&count.passed);
        return profile_realloc(p, size);
    }
    return realloc_copy(p, next.usable(p), size);
}

EXPORT void *API(realloc)(void *p, size_t size)
{
    if (likely(size < load_published(&route.limit) && !mem_owns(p)))
        return next.realloc(p, size);
    return realloc_slow(p, size);
}

EXPORT void *API(reallocarray)(void *p, size_t count_of, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count_of, size, &bytes))
        return no_memory();
    return API(realloc)(p, bytes);
}

/* --- madvise ------------------------------------------------------------------------------------- */

/* MADV_DONTNEED on private anonymous memory leaves zeroes; so it must here. */
static void big_zero_range(struct big *r, size_t from, size_t bytes)
{
    char *at = mem_at(big_offset(r) + from);
    if (r->ordinary ? syscall(SYS_madvise, at, bytes, MADV_DONTNEED) != 0
                    : r->frozen || !file_valid(&r->file) || !file_zero(&r->file, from, bytes))
        memset(at, 0, bytes);
}

/* The part of [offset, offset + bytes) that lies in one live block of ours, zeroed.
 * Returns how far it got. */
static size_t zero_own(size_t offset, size_t bytes)
{
    struct op op;
    size_t done = 0;
    struct space *s = offset < mem.fry_end ? &fry.space : &big.space;
    pthread_mutex_t *lock = s == &fry.space ? &fry.lock : &big.lock;
    op_begin(&op);
    pthread_mutex_lock(lock);
    const struct slab *slab = s == &fry.space ? slab_containing(offset) : NULL;
    uint32_t i = slab ? slab->extent : extent_containing(s, offset);
    while (i && s == &big.space && extent_at(s, i)->state == EXTENT_BUSY) {
        big_wait();
        i = extent_containing(s, offset);
    }
    struct extent *e = i ? extent_at(s, i) : NULL;
    size_t start = e ? extent_offset(s, e) : 0;
    struct big *r = e && s == &big.space && e->state == EXTENT_LIVE ? big_at(e->aux) : NULL;
    if (e)
        done = min_size(bytes, start + to_bytes(e->pages) - offset);
    if (r)
        e->state = EXTENT_BUSY;
    pthread_mutex_unlock(lock);
    if (r && offset - start < r->mapped)
        big_zero_range(r, offset - start, min_size(done, r->mapped - (offset - start)));
    else if (e && s == &fry.space && e->state == EXTENT_LIVE)
        memset(mem_at(offset), 0, done);
    if (r)
        big_unclaim(r);
    op_end(&op);
    return done ? done : bytes;
}

/* Advice for memory of ours: DONTNEED zeroes, FREE may do nothing, and what concerns paging is
 * the library's to decide. Everything else goes to the kernel. */
static int madvise_own(void *p, size_t length, int advice)
{
    size_t bytes = round_up(length, (size_t)sysconf(_SC_PAGESIZE)), offset = mem_offset(p);
    if (offset & ((size_t)sysconf(_SC_PAGESIZE) - 1) || bytes < length) {
        errno = EINVAL;
        return -1;
    }
    switch (advice) {
    case MADV_DONTNEED:
        bytes = min_size(bytes, mem.size - offset);
        for (size_t done = 0; done < bytes;)
            done += zero_own(offset + done, bytes - done);
        return 0;
    case MADV_FREE:
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
        return 0;
    default:
        return (int)syscall(SYS_madvise, p, length, advice);
    }
}

#ifndef BIGMAAC_PREFIX
EXPORT int madvise(void *p, size_t length, int advice)
{
    if (mem_owns(p))
        return madvise_own(p, length, advice);
    return (int)syscall(SYS_madvise, p, length, advice);
}

/* With several threads glibc's fork waits for the locks of its malloc, for ever if it is called
 * from a signal handler that interrupted that malloc; with one it doesn't. So a program whose only
 * other thread is ours forks as one with a single thread, our thread being kept asleep. */
EXPORT pid_t fork(void)
{
    if (!init_done() || !next.fork)
        return kernel_fork();
    if (!atomic_load(&mon.only_ours))
        return next.fork();
    sigset_t saved;
    signals_hold(&saved);
    atomic_fetch_add(&op_waiting, 1);
    mon_hold();
    atomic_fetch_sub(&op_waiting, 1);
    bool alone = thread_count() == 1;
    if (alone)
        *next.single_threaded = forking.alone = 1;
    pid_t pid = next.fork();
    int err = errno;
    if (pid != 0 && alone)
        *next.single_threaded = forking.alone = 0;
    if (pid != 0) /* the child has a lock of its own, which a new monitor may have already */
        mon_release();
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    errno = err;
    return pid;
}

/* glibc's fork runs our handlers; its _Fork, for async-signal-safe use, runs none. */
EXPORT pid_t _Fork(void)
{
    if (!init_done())
        return kernel_fork();
    fork_prepare();
    pid_t pid = next.fork_only ? next.fork_only() : kernel_fork();
    int err = errno;
    if (pid == 0)
        fork_child();
    else
        fork_parent();
    if (pid < 0)
        errno = err;
    return pid;
}
#endif

/* --- bigmaac.h ----------------------------------------------------------------------------------- */

EXPORT int bigmaac_kind(const void *p)
{
    if (!mem_owns(p) || is_boot(p))
        return BIGMAAC_KIND_NONE;
    size_t offset = mem_offset(p);
    struct space *s = offset < mem.fry_end ? &fry.space : &big.space;
    pthread_mutex_t *lock = s == &fry.space ? &fry.lock : &big.lock;
    if (offset < s->start || (offset < mem.fry_end && slab_containing(offset)))
        return offset < s->start ? BIGMAAC_KIND_NONE : BIGMAAC_KIND_FRY;
    struct op op;
    op_begin(&op);
    pthread_mutex_lock(lock);
    uint32_t i = extent_containing(s, offset);
    bool live = i && (extent_at(s, i)->state == EXTENT_LIVE || extent_at(s, i)->state == EXTENT_BUSY);
    pthread_mutex_unlock(lock);
    op_end(&op);
    if (!live)
        return BIGMAAC_KIND_NONE;
    return s == &fry.space ? BIGMAAC_KIND_FRY : BIGMAAC_KIND_BIGMAAC;
}

EXPORT int bigmaac_stats(struct bigmaac_stats *out)
{
    struct bigmaac_stats now;
    if (!out || out->size < sizeof now.size)
        return EINVAL;
    size_t room_there = min_size(out->size, sizeof now);
    if (!init_done())
        return EAGAIN;
    stats_take(&now);
    now.size = room_there;
    memcpy(out, &now, room_there);
    return 0;
}

/* Replaces the file mapping by anonymous memory with the same content. */
static int big_opt_out(struct big *r)
{
    if (r->ordinary)
        return 0;
    void *copy = mmap(NULL, r->mapped, PROT_READ | PROT_WRITE, anon_flags, -1, 0);
    if (copy == MAP_FAILED)
        return ENOMEM;
    memcpy(copy, mem_at(big_offset(r)), r->mapped);
    if (mremap(copy, r->mapped, r->mapped, MREMAP_MAYMOVE | MREMAP_FIXED, mem_at(big_offset(r))) == MAP_FAILED) {
        munmap(copy, r->mapped);
        return ENOMEM;
    }
    big_close_files(r);
    r->ordinary = true;
    return 0;
}

static int big_take_advice(struct big *r, int advice)
{
    static const enum policy policy[] = {POLICY_NORMAL, POLICY_HUGE, POLICY_RANDOM, POLICY_NORMAL};
    const void *at = mem_at(big_offset(r));
    if (advice == BIGMAAC_OPT_OUT)
        return big_opt_out(r);
    if (advice == BIGMAAC_KEEP && mlock(at, r->mapped) != 0)
        return errno;
    if (r->advice == BIGMAAC_KEEP && advice != BIGMAAC_KEEP)
        munlock(at, r->mapped);
    r->advice = (uint8_t)advice;
    if (r->ordinary)
        return 0;
    memset(r->policy, policy[advice], sizeof r->policy);
    big_apply_policy(r, true);
    return 0;
}

EXPORT int bigmaac_advise(void *p, int advice)
{
    if (advice < BIGMAAC_ADAPTIVE || advice > BIGMAAC_OPT_OUT || !mem_owns(p) || mem_offset(p) < mem.fry_end)
        return EINVAL;
    struct op op;
    op_begin(&op);
    struct big *r = big_claim(p);
    int err = r ? big_take_advice(r, advice) : EINVAL;
    if (r)
        big_unclaim(r);
    op_end(&op);
    return err;
}
