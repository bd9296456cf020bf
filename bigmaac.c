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
 * and of what the program maps itself: see MAP.
 *
 * and of a pointer: (p - base) < size says "ours", (p - base) < boot + fries says "fry".
 *
 * LOCK ORDER (take from top to bottom; the fork handlers and HOME take all of them in this order)
 *
 *     gate      counts the slow operations inside; fork and HOME close it: a child never inherits a
 *               half-done operation
 *     fry.lock  fries space: page runs, birth and death of slabs, idle heaps
 *     big.lock  bigmaac space: extents, records, warm list
 *     mon.lock  the monitor thread's start and sleep
 *     map.lock  what the program maps itself
 *     own_area.lock  the place of what our own threads map
 *
 * System calls on files and mappings are made outside big.lock: the extent that they work on is
 * BUSY meanwhile, so nobody else touches it. The one exception is the monitor's advice about
 * paging (PAGING): it must not make a block BUSY that the program may free at any moment.
 *
 * HAZARDS that shape the code
 *   1. dlsym may allocate while we look up the next malloc: those calls get BOOT memory.
 *   2. malloc is called before any constructor: initialisation is on demand, not in one.
 *   3. A signal handler may interrupt us and call malloc or fork: slow operations block signals.
 *   4. Others wrap libc's functions, and allocate there; some are cancellation points: none is called
 *      while a lock of ours is held (SYS, TEXT), and few at all (tests/imports.sh has the list).
 *   5. The program may close our descriptors and reuse their numbers: checked before each use.
 *   6. errno survives every success and every free: slow operations save and restore it.
 *   7. Other threads write to a block while fork runs: only the kernel's copy-on-write keeps a
 *      snapshot, so mappings turn MAP_PRIVATE before the fork.
 *
 * SECTIONS (search for "=== TAG"): PLATFORM SYS TEXT REPORT CONFIG MEMORY EXTENT FILE BUS LOCKS VMA ROOM BIG
 * FRY ROUTE STATS PROFILE STOP HOME MAP WARN FORK WATCH OPERATIONS PAGING FRESH STREAM MONITOR INIT API
 */

/* ============================================================================================
 * === PLATFORM  feature macros, includes, arithmetic that can't overflow
 * ========================================================================================= */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE /* its checks are calls of libc's (TEXT) */
#include <dlfcn.h>
#ifndef __GLIBC__
#error "BigMaac needs glibc, 2.28 or later: its way to the next malloc and its locks are glibc's (musl has others)"
#endif
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <linux/perf_event.h>
#include <malloc.h>
#include <poll.h>
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
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/socket.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "bigmaac.h"

/* One library for every glibc from 2.28 on, whatever machine builds it: the linker would bind to the build
 * machine's newest versions of these symbols. Most moved into libc with 2.34, under a second version; where
 * they are still in libpthread and libdl, the Makefile's link flags have these loaded.  Unit tests bind as they like: sanitizers have functions of these names. */
#if !defined(BIGMAAC_PREFIX) && defined(__x86_64__)
#define OLDEST "GLIBC_2.2.5"
#elif !defined(BIGMAAC_PREFIX) && defined(__aarch64__)
#define OLDEST "GLIBC_2.17"
#endif
#ifdef OLDEST
#define BIND(symbol, name) __asm__(".symver " symbol "," name "@" OLDEST)
BIND("dladdr", "dladdr");
BIND("dlclose", "dlclose");
BIND("dlopen", "dlopen");
BIND("dlsym", "dlsym");
BIND("pthread_attr_setstacksize", "pthread_attr_setstacksize");
BIND("pthread_key_delete", "pthread_key_delete");
BIND("pthread_setspecific", "pthread_setspecific");
#endif

/* Younger than the headers of glibc 2.28. */
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_io_uring_enter
#define SYS_io_uring_enter 426
#endif
#if !defined(SYS_io_pgetevents) && defined(__x86_64__)
#define SYS_io_pgetevents 333
#elif !defined(SYS_io_pgetevents)
#define SYS_io_pgetevents 292
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1u << 1)
#endif
#if !__GLIBC_PREREQ(2, 34)
pid_t _Fork(void);
#endif

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

/* ============================================================================================
 * === SYS  the kernel, asked directly
 *
 * Other preloaded libraries wrap libc's functions, and allocate in there: called under a lock of ours,
 * or with signals blocked, such a wrapper would wait for what its caller holds. So everything that we
 * want of the kernel while we work goes through sys(), one inline system call with libc's convention:
 * -1, and errno says why. The sys_ functions add types, in libc's order of arguments.
 * ========================================================================================= */
#if !defined(BIGMAAC_SYS) && defined(__x86_64__)
static ALWAYS_INLINE long sys_bare(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#elif !defined(BIGMAAC_SYS) && defined(__aarch64__)
static ALWAYS_INLINE long sys_bare(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}
#elif !defined(BIGMAAC_SYS) /* elsewhere libc's own, which others may have wrapped */
#define BIGMAAC_SYS syscall
#endif

#ifdef BIGMAAC_SYS /* a test's, which counts and fails calls */
#define sys_words(number, a, b, c, d, e, f, ...) \
    BIGMAAC_SYS(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#else
static inline long sys_errno(long result)
{
    if (likely((unsigned long)result <= -4096UL))
        return result;
    errno = (int)-result;
    return -1;
}
#define sys_words(number, a, b, c, d, e, f, ...) \
    sys_errno(sys_bare(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f)))
#endif

/* sys(SYS_name, arguments...) */
#define sys(...) sys_words(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

static inline void *sys_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    return (void *)sys(SYS_mmap, at, bytes, protection, flags, fd, offset);
}

static inline void *sys_mremap(void *from, size_t old, size_t bytes, int flags, void *to)
{
    return (void *)sys(SYS_mremap, from, old, bytes, flags, to);
}

static inline int sys_munmap(void *at, size_t bytes) { return (int)sys(SYS_munmap, at, bytes); }
static inline int sys_mprotect(void *at, size_t bytes, int protection) { return (int)sys(SYS_mprotect, at, bytes, protection); }
static inline int sys_madvise(void *at, size_t bytes, int advice) { return (int)sys(SYS_madvise, at, bytes, advice); }
static inline int sys_mincore(const void *at, size_t bytes, unsigned char *vector) { return (int)sys(SYS_mincore, at, bytes, vector); }
static inline int sys_mlock(const void *at, size_t bytes) { return (int)sys(SYS_mlock, at, bytes); }
static inline int sys_munlock(const void *at, size_t bytes) { return (int)sys(SYS_munlock, at, bytes); }
static inline int sys_stat(const char *path, struct stat *st) { return (int)sys(SYS_newfstatat, AT_FDCWD, path, st, 0); }
/* A system call filter may know the one of the two that its program's libc calls: since glibc 2.33 the second. */
static inline int sys_fstat(int fd, struct stat *st)
{
    int result = (int)sys(SYS_fstat, fd, st);
    return result == 0 || errno == EBADF ? result : (int)sys(SYS_newfstatat, fd, "", st, AT_EMPTY_PATH);
}

static inline int sys_statfs(const char *path, struct statfs *fs) { return (int)sys(SYS_statfs, path, fs); }
static inline int sys_fstatfs(int fd, struct statfs *fs) { return (int)sys(SYS_fstatfs, fd, fs); }
static inline int sys_access(const char *path, int how) { return (int)sys(SYS_faccessat, AT_FDCWD, path, how); }
static inline int sys_ftruncate(int fd, off_t bytes) { return (int)sys(SYS_ftruncate, fd, bytes); }
static inline off_t sys_lseek(int fd, off_t offset, int from) { return (off_t)sys(SYS_lseek, fd, offset, from); }
static inline int sys_prctl(int what, ...)
{
    va_list args;
    va_start(args, what);
    long argument = va_arg(args, long);
    va_end(args);
    return (int)sys(SYS_prctl, what, argument);
}
/* May a call be made that a system call filter could end the program for? Asked right before each of those that
 * README promises to make only without one: a thread may install a filter for all threads at any time. */
static inline bool sys_unfiltered(void)
{
    if (sys_prctl(PR_GET_SECCOMP) == 0)
        return true;
    errno = EPERM;
    return false;
}

static inline int sys_ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    long argument = va_arg(args, long);
    va_end(args);
    return sys_unfiltered() ? (int)sys(SYS_ioctl, fd, request, argument) : -1;
}

static inline int sys_getrusage(int who, struct rusage *usage) { return (int)sys(SYS_getrusage, who, usage); }
static inline int sys_getrlimit(int resource, struct rlimit *limit) { return (int)sys(SYS_prlimit64, 0, resource, NULL, limit); }
static inline pid_t sys_getpid(void) { return (pid_t)sys(SYS_getpid); }
static inline pid_t sys_gettid(void) { return (pid_t)sys(SYS_gettid); }
static inline uid_t sys_geteuid(void) { return (uid_t)sys(SYS_geteuid); }
/* The younger platforms, aarch64 and riscv64, have no call for fork alone. */
static inline pid_t kernel_fork(void)
{
#ifdef SYS_fork
    return (pid_t)sys(SYS_fork);
#else
    return (pid_t)sys(SYS_clone, SIGCHLD);
#endif
}

/* Bytes of a page of the kernel's, of which page_size is a multiple. */
static size_t sys_page(void)
{
    static atomic_size_t bytes;
    size_t known = atomic_load_explicit(&bytes, memory_order_relaxed);
    if (unlikely(!known))
        atomic_store_explicit(&bytes, known = getauxval(AT_PAGESZ), memory_order_relaxed);
    return known;
}

static void sleep_ns(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    sys(SYS_nanosleep, &t, NULL);
}

static void sleep_ms(uint64_t ms) { sleep_ns(ms * 1000000); }

/* Monotonic milliseconds, to about 4. */
static uint64_t now_ms(void)
{
    struct timespec t = {0};
    sys(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* A set of signals as the kernel has it: bit n - 1 is signal n. libc's functions take 32 and 33 out of
 * every set that they are given, and a thread whose mask was restored by them would die of the next. */
typedef uint64_t sigmask;

static inline sigmask sigmask_of(int sig) { return (sigmask)1 << (sig - 1); }

/* The signal that stops threads (STOP), which is never held up. It is glibc's own SIGSETXID: a program can
 * neither handle nor see it, and glibc waits in setuid(2) and its kin until every thread has taken it. */
enum { STOP_SIGNAL = 33 };

static inline void sys_sigmask(int how, const sigmask *set, sigmask *old)
{
    sys(SYS_rt_sigprocmask, how, set, old, sizeof *set);
}

/* What the kernel takes for struct sigaction. */
struct sys_sigaction {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    sigmask mask;
};

#if defined(__x86_64__)
/* Returns from a signal handler. Unwinders know these very bytes. */
__asm__(".text\n.type sys_return, @function\nsys_return:\n\tmovq $15, %rax\n\tsyscall\n.size sys_return, . - sys_return\n");
__attribute__((visibility("hidden"))) void sys_return(void);
enum { SYS_SA_RESTORER = 0x04000000 };
#else
enum { SYS_SA_RESTORER = 0 };
#define sys_return NULL
#endif

/* Sets (NULL: only asks for) what happens at a signal. False: the kernel refuses. */
static bool sys_on_signal(int sig, const struct sys_sigaction *set, struct sys_sigaction *old)
{
    struct sys_sigaction with = set ? *set : (struct sys_sigaction){0};
    if (set && !with.restorer) {
        with.flags |= SYS_SA_RESTORER;
        with.restorer = sys_return;
    }
    return sys(SYS_rt_sigaction, sig, set ? &with : NULL, old, sizeof with.mask) == 0;
}

static inline void futex_wait(atomic_uint *word, unsigned value, const struct timespec *at_most)
{
    sys(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, at_most, NULL, 0);
}

static inline void futex_wake(atomic_uint *word, int threads)
{
    sys(SYS_futex, word, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
}

/* ============================================================================================
 * === TEXT  characters, numbers and bytes without libc, for the reason that SYS gives
 *
 * The compiler calls memcpy and memset on its own account, for structs: it finds ours.
 * ========================================================================================= */
/* Keeps the compiler from seeing what the loop amounts to: it would call libc's function for that. */
#define LOOP_AS_WRITTEN(changed) __asm__ volatile("" : "+r"(changed) : : "memory")

typedef long long block_16 __attribute__((vector_size(16), may_alias, aligned(1)));

/* Up to this many bytes a loop is faster than the processor's string instructions, which take 30 cycles to begin. */
enum { COPY_BY_HAND = 512 };

static ALWAYS_INLINE void *bytes_copy(void *restrict to, const void *restrict from, size_t n)
{
    char *out = to;
    const char *in = from;
#if defined(__x86_64__)
    if (n > COPY_BY_HAND) {
        __asm__ volatile("rep movsb" : "+D"(out), "+S"(in), "+c"(n) : : "memory");
        return to;
    }
#endif
    for (; n >= 16; n -= 16, out += 16, in += 16) {
        *(block_16 *)(void *)out = *(const block_16 *)(const void *)in;
        LOOP_AS_WRITTEN(out);
    }
    for (; n; n--, out++, in++) {
        *out = *in;
        LOOP_AS_WRITTEN(out);
    }
    return to;
}

static ALWAYS_INLINE void *bytes_set(void *to, int byte, size_t n)
{
    char *out = to;
#if defined(__x86_64__)
    if (n > COPY_BY_HAND) {
        __asm__ volatile("rep stosb" : "+D"(out), "+c"(n) : "a"(byte) : "memory");
        return to;
    }
#endif
    long long word = (long long)(0x0101010101010101u * (unsigned char)byte);
    for (; n >= 16; n -= 16, out += 16) {
        *(block_16 *)(void *)out = (block_16){word, word};
        LOOP_AS_WRITTEN(out);
    }
    for (; n; n--, out++) {
        *out = (char)byte;
        LOOP_AS_WRITTEN(out);
    }
    return to;
}

#ifndef BIGMAAC_PREFIX
#define HIDDEN __attribute__((visibility("hidden"), noinline))
HIDDEN void *memcpy(void *restrict to, const void *restrict from, size_t n) { return bytes_copy(to, from, n); }
HIDDEN void *memset(void *to, int byte, size_t n) { return bytes_set(to, byte, n); }
#endif

/* libc's own, which are faster: for the program's blocks, where no lock of ours is held. INIT finds them. */
static struct {
    void *(*copy)(void *, const void *, size_t);
    void *(*set)(void *, int, size_t);
} libc = {.copy = memcpy, .set = memset};

static inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

static size_t text_length(const char *text)
{
    size_t n = 0;
    while (text[n]) {
        n++;
        LOOP_AS_WRITTEN(n);
    }
    return n;
}

static bool text_begins(const char *text, const char *with)
{
    for (; *with; text++, with++)
        if (*text != *with)
            return false;
    return true;
}

static bool text_same(const char *a, const char *b) { return text_begins(a, b) && a[text_length(b)] == 0; }

/* The first c in the text, NULL: there is none. */
static char *text_find(const char *text, char c)
{
    for (; *text != c; text++)
        if (!*text)
            return NULL;
    return (char *)(uintptr_t)text;
}

static char *text_find_last(const char *text, char c)
{
    char *last = NULL;
    for (char *at = text_find(text, c); at; at = text_find(at + 1, c))
        last = at;
    return last;
}

/* Where `part` begins in the text, NULL: nowhere. */
static char *text_search(const char *text, const char *part)
{
    for (; *text; text++)
        if (text_begins(text, part))
            return (char *)(uintptr_t)text;
    return NULL;
}

static bool text_contains(const char *text, const char *part) { return text_search(text, part) != NULL; }

/* FNV-1a, beginning with what was hashed before. */
static const uint64_t hash_begin = 14695981039346656037u;

static uint64_t text_hash(const char *text, uint64_t hash)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash;
}

/* The decimal number behind any spaces, SIZE_MAX if it is larger; 0: there is none. *end (may be NULL): behind it. */
static size_t text_number(const char *text, const char **end)
{
    size_t value = 0;
    while (*text == ' ' || *text == '\t')
        text++;
    for (; is_digit(*text); text++)
        if (__builtin_mul_overflow(value, (size_t)10, &value) ||
            __builtin_add_overflow(value, (size_t)(*text - '0'), &value))
            value = SIZE_MAX;
    if (end)
        *end = text;
    return value;
}

/* A text in the making; what has no room is counted only. */
struct text_out {
    char *to;
    size_t room, used;
};

/* Right-aligned in `width` characters at least. */
static void text_put(struct text_out *out, const char *text, size_t n, size_t width)
{
    for (size_t i = 0, fill = width > n ? width - n : 0; i < fill + n; i++, out->used++)
        if (out->used < out->room)
            out->to[out->used] = i < fill ? ' ' : text[i - fill];
}

static void text_put_number(struct text_out *out, uint64_t value, unsigned base, const char *before, size_t width)
{
    char digits[24], *at = digits + sizeof digits;
    do
        *--at = "0123456789abcdef"[value % base];
    while ((value /= base) != 0);
    for (size_t n = text_length(before); n--;)
        *--at = before[n];
    text_put(out, at, (size_t)(digits + sizeof digits - at), width);
}

/* What printf has and we use: %% %s %d %u %x %p, a width, a precision for %s, and z and l. */
static size_t text_format_v(char *to, size_t room, const char *format, va_list args)
{
    struct text_out out = {.to = to, .room = room - 1};
    for (; *format; format++) {
        if (*format != '%' || *++format == '%') {
            text_put(&out, format, 1, 0);
            continue;
        }
        size_t width = text_number(format, &format), most = SIZE_MAX;
        if (*format == '.') {
            bool given = *++format == '*';
            most = given ? (size_t)va_arg(args, int) : text_number(format, &format);
            format += given;
        }
        bool is_long = *format == 'z' || *format == 'l';
        format += is_long;
        if (*format == 's') {
            const char *text = va_arg(args, const char *);
            text_put(&out, text, min_size(text_length(text), most), width);
        } else if (*format == 'd') {
            long value = is_long ? va_arg(args, long) : va_arg(args, int);
            text_put_number(&out, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, value < 0 ? "-" : "", width);
        } else if (*format == 'p') {
            text_put_number(&out, (uintptr_t)va_arg(args, void *), 16, "0x", width);
        } else {
            uint64_t value = is_long ? va_arg(args, unsigned long) : va_arg(args, unsigned);
            text_put_number(&out, value, *format == 'x' ? 16 : 10, "", width);
        }
    }
    to[min_size(out.used, room - 1)] = 0;
    return out.used;
}

/* As snprintf: the length that there would be with more room. `room` is not 0. */
__attribute__((format(printf, 3, 4))) static size_t text_format(char *to, size_t room, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t n = text_format_v(to, room, format, args);
    va_end(args);
    return n;
}

/* ============================================================================================
 * === REPORT  messages: one line, one write(2), no allocation, errno kept
 *
 * "bigmaac[PID]: TEXT". A message is for the user of a program that we don't know, so it names
 * what is concerned and what happens next. Events that may repeat pass through report_once.
 * ========================================================================================= */
/* False: nobody reads it, RLIMIT_FSIZE forbids it, or a signal came first. There is nothing to do about it; but the
 * program must not get the signal for that. */
static bool write_or_not(int fd, const char *line, size_t bytes)
{
    const struct timespec at_once = {0};
    sigmask raised = sigmask_of(SIGPIPE) | sigmask_of(SIGXFSZ), saved, pending = 0;
    sys_sigmask(SIG_BLOCK, &raised, &saved);
    sys(SYS_rt_sigpending, &pending, sizeof pending);
    raised &= ~pending;
    bool done = sys(SYS_write, fd, line, bytes) >= 0;
    if (!done)
        sys(SYS_rt_sigtimedwait, &raised, NULL, &at_once, sizeof raised);
    sys_sigmask(SIG_SETMASK, &saved, NULL);
    return done;
}

static bool report_to(int fd, const char *text, va_list args)
{
    char line[640];
    int err = errno;
    size_t n = text_format(line, sizeof line, "bigmaac[%d]: ", sys_getpid());
    size_t used = min_size(n + text_format_v(line + n, sizeof line - n - 1, text, args), sizeof line - 2);
    for (size_t i = 0; i < used; i++) /* values come from whoever set them */
        line[i] = (line[i] & ~31) == 0 || line[i] == 127 ? '?' : line[i];
    line[used++] = '\n';
    bool done = write_or_not(fd, line, used);
    errno = err;
    return done;
}

COLD __attribute__((format(printf, 1, 2))) static void report(const char *text, ...)
{
    va_list args;
    va_start(args, text);
    report_to(STDERR_FILENO, text, args);
    va_end(args);
}

/* As abort(): a handler of the program's for SIGABRT runs, and then it ends. */
COLD __attribute__((noreturn)) static void sys_abort(void)
{
    const sigmask abrt = sigmask_of(SIGABRT);
    const struct sys_sigaction die = {.mask = 0};
    sys_sigmask(SIG_UNBLOCK, &abrt, NULL);
    sys(SYS_tgkill, sys_getpid(), sys_gettid(), SIGABRT);
    sys_on_signal(SIGABRT, &die, NULL);
    sys(SYS_tgkill, sys_getpid(), sys_gettid(), SIGABRT);
    for (;;)
        sys(SYS_exit_group, 127);
}

/* Corruption: the process can't be trusted any more. */
COLD __attribute__((format(printf, 1, 2), noreturn)) static void fatal(const char *text, ...)
{
    va_list args;
    va_start(args, text);
    report_to(STDERR_FILENO, text, args);
    va_end(args);
    sys_abort();
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
    size_t min_mmap;     /* private anonymous mappings of that size and more can be swapped; 0: none can */
    size_t min_fry;      /* larger ones, up to min_bigmaac, are fries; 0: none are */
    size_t size_bigmaac; /* bytes of address space for bigmaacs */
    size_t size_fries;   /* and for fries */
    size_t recycle;      /* bytes of freed bigmaacs kept warm, or recycle_auto */
    size_t reserve;      /* 1: files have all their blocks before memory is given out */
    size_t paging;       /* enum paging */
    size_t fork_mode;    /* enum fork_mode */
    size_t stats;        /* 1: summary at the end of the process */
    size_t verbose;      /* 1: settings at start, events worth knowing */
    size_t strict;       /* 1: a bad setting ends the program */
    size_t profile;      /* 1: pass everything through, histogram of sizes at the end */
    bool template_set;   /* BIGMAAC_TEMPLATE came from the environment */
    bool python_malloc;  /* PYTHONMALLOC is set so that a Python's objects come from malloc */
    bool off;            /* a setting was bad: pass everything through */
    char template[512];  /* absolute; ends in at least six X */
    char summary[480];   /* file for stats and profile, to which ".PID" is added; "": stderr */
} cfg = {
    .min_bigmaac = 10 << 20,
    .size_bigmaac = (size_t)512 << 30,
    .size_fries = (size_t)512 << 30,
    .recycle = SIZE_MAX,
    .reserve = 1,
    .template = "/tmp/bigmaac.XXXXXXXX",
};

enum setting_kind { SETTING_SIZE, SETTING_REGION, SETTING_RECYCLE, SETTING_FLAG, SETTING_SUMMARY, SETTING_WORD };

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
    {"BIGMAAC_STATS", SETTING_SUMMARY, &cfg.stats, NULL},
    {"BIGMAAC_PROFILE", SETTING_SUMMARY, &cfg.profile, NULL},
    {"BIGMAAC_MIN_BIGMAAC_SIZE", SETTING_SIZE, &cfg.min_bigmaac, NULL},
    {"BIGMAAC_MIN_FRY_SIZE", SETTING_SIZE, &cfg.min_fry, NULL},
    {"BIGMAAC_MIN_MMAP_SIZE", SETTING_SIZE, &cfg.min_mmap, NULL},
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
    report("%s=\"%.124s%s\": %s; %s", name, value, text_length(value) > 124 ? "..." : "", why,
           cfg.strict ? "exiting" : "passing all requests through");
    if (cfg.strict)
        sys(SYS_exit_group, 2);
}

/* Parses digits [K|M|G|T] [iB|B], either case, nothing around it.
 * Returns NULL, or why the text is not a size. */
static const char *parse_size(const char *text, size_t *out)
{
    static const char bad[] = "not a size (such as 10485760, 10M or 1GiB)";
    size_t value = 0;
    const char *at = text;
    if (!is_digit(*at))
        return bad;
    for (; is_digit(*at); at++)
        if (__builtin_mul_overflow(value, (size_t)10, &value) ||
            __builtin_add_overflow(value, (size_t)(*at - '0'), &value))
            return "too large for a size";
    static const char units[] = "KMGT";
    const char *unit = *at ? text_find(units, *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at) : NULL;
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
        if (text_same(text, words[i])) {
            *out = i;
            return NULL;
        }
    return words == paging_words ? "not one of adaptive, sequential, normal, random"
                                 : "not one of private, copy";
}

/* The program may change its folder before the path is used. Returns why it can't be made absolute. */
static const char *parse_path(const char *text, char *out, size_t room)
{
    char cwd[sizeof cfg.template] = "";
    if (text[0] != '/' && sys(SYS_getcwd, cwd, sizeof cwd) < 0)
        return "relative, and the current folder can't be read";
    char path[sizeof cfg.template];
    size_t used = text_format(path, sizeof path, "%s%s%s", cwd, cwd[0] ? "/" : "", text);
    if (used >= room)
        return room == sizeof cfg.template ? "too long (at most 511 characters)" : "too long (at most 479 characters)";
    memcpy(out, path, used + 1);
    return NULL;
}

/* The folder part of a path, for messages and O_TMPFILE. */
static void folder_of(const char *path, char *folder, size_t room)
{
    const char *slash = text_find_last(path, '/');
    size_t n = slash == path ? 1 : (size_t)(slash - path);
    n = min_size(n, room - 1);
    memcpy(folder, path, n);
    folder[n] = 0;
}

static const char *check_folder(const char *path)
{
    char folder[sizeof cfg.template];
    folder_of(path, folder, sizeof folder);
    if (sys_access(folder, W_OK | X_OK) == 0)
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

static const char *parse_summary(const char *text, size_t *on)
{
    bool flag = (text[0] == '0' || text[0] == '1') && !text[1];
    if (!flag && (!text_find(text, '/') || text[text_length(text) - 1] == '/'))
        return "not 0, 1 or the path of a file (with a /)";
    const char *why = flag ? NULL : parse_path(text, cfg.summary, sizeof cfg.summary);
    if (!flag && !why)
        why = check_folder(cfg.summary);
    if (!why)
        *on = !flag || text[0] == '1';
    return why;
}

static const char *parse_setting(const struct setting *s, const char *text)
{
    switch (s->kind) {
    case SETTING_SIZE:
        return parse_size(text, s->value);
    case SETTING_REGION:
        return parse_region(text, s->value);
    case SETTING_RECYCLE:
        if (text_same(text, "auto")) {
            *s->value = recycle_auto;
            return NULL;
        }
        return parse_size(text, s->value);
    case SETTING_FLAG:
        if ((text[0] != '0' && text[0] != '1') || text[1])
            return "not 0 or 1";
        *s->value = text[0] == '1';
        return NULL;
    case SETTING_SUMMARY:
        return parse_summary(text, s->value);
    case SETTING_WORD:
        return parse_word(text, s->words, s->value);
    }
    return NULL;
}

/* The folder part of the template. */
static void template_folder(char *folder, size_t room) { folder_of(cfg.template, folder, room); }

static const char *parse_template(const char *text)
{
    size_t n = text_length(text);
    if (n < 6 || !text_same(text + n - 6, "XXXXXX"))
        return "must end in six X or more";
    const char *why = parse_path(text, cfg.template, sizeof cfg.template);
    cfg.template_set = !why;
    return why;
}

static bool is_memory_fs(long magic) { return magic == TMPFS_MAGIC || magic == RAMFS_MAGIC; }

/* Batch systems and containers say by TMPDIR where a disk is. It wasn't set for us, so it is taken only
 * where it is of use. False: it isn't. */
COLD static bool config_take_tmpdir(void)
{
    static const char name[] = "/bigmaac.XXXXXXXX";
    const char *folder = secure_getenv("TMPDIR");
    struct statfs fs;
    if (!folder || folder[0] != '/' || text_length(folder) + sizeof name > sizeof cfg.template ||
        sys_access(folder, W_OK | X_OK) != 0 || sys_statfs(folder, &fs) != 0 || is_memory_fs((long)fs.f_type))
        return false;
    text_format(cfg.template, sizeof cfg.template, "%s%s", folder, name);
    return true;
}

/* Names that begin as ours do, and are others': our tests', and what Kubernetes sets for a service of that name. */
static const char *const foreign_names[] = {"BIGMAAC_TEST", "BIGMAAC_SERVICE_", "BIGMAAC_PORT"};

/* Is NAME=VALUE, with a name of `n` characters, a setting of ours or nothing of ours? */
static bool is_known(const char *text, size_t n)
{
    if (!text_begins(text, "BIGMAAC_") && !text_begins(text, "SIZE_BIGMAAC") && !text_begins(text, "SIZE_FRIES"))
        return true;
    for (size_t i = 0; i < sizeof foreign_names / sizeof foreign_names[0]; i++)
        if (text_begins(text, foreign_names[i]))
            return true;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (text_length(settings[i].name) == n && text_begins(text, settings[i].name))
            return true;
    return n == text_length("BIGMAAC_TEMPLATE") && text_begins(text, "BIGMAAC_TEMPLATE");
}

/* A misspelt name would go unnoticed, and its setting with it. */
COLD static void config_check_names(void)
{
    if (getauxval(AT_SECURE)) /* nothing is read then */
        return;
    for (char **at = environ; at && *at; at++) {
        const char *value = text_find(*at, '=');
        char name[64];
        if (!value || is_known(*at, (size_t)(value - *at)))
            continue;
        text_format(name, sizeof name, "%.*s", (int)(value - *at), *at);
        config_reject(name, value + 1, "there is no such setting");
    }
}

COLD static void config_tell(void)
{
    report("bigmaacs above %zu bytes, fries above %zu%s, swap files %s, regions %zu + %zu",
           cfg.min_bigmaac, cfg.min_fry, cfg.min_fry ? "" : " (none)", cfg.template,
           cfg.size_bigmaac, cfg.size_fries);
    if (cfg.min_mmap)
        report("mappings of %zu bytes and more are swapped", cfg.min_mmap);
    report("reserve=%zu recycle=%zd paging=%s fork=%s stats=%zu", cfg.reserve,
           (ssize_t)cfg.recycle, paging_words[cfg.paging], fork_words[cfg.fork_mode], cfg.stats);
}

/* The text of a setting; NULL: none is given. What is empty counts so: manifests and scripts write it for that. */
static const char *setting_text(const char *name)
{
    const char *text = secure_getenv(name);
    return text && *text ? text : NULL;
}

COLD static void config_load(void)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        const char *text = setting_text(settings[i].name);
        const char *why = text ? parse_setting(&settings[i], text) : NULL;
        if (why)
            config_reject(settings[i].name, text, why);
    }
    config_check_names();
    const char *python = secure_getenv("PYTHONMALLOC");
    cfg.python_malloc = python && text_begins(python, "malloc");
    const char *template = setting_text("BIGMAAC_TEMPLATE");
    const char *why = template ? parse_template(template) : NULL;
    if (!why && (template || !config_take_tmpdir()))
        why = check_folder(cfg.template);
    if (why)
        config_reject("BIGMAAC_TEMPLATE", template ? template : cfg.template, why);
    if (cfg.min_fry > cfg.min_bigmaac) {
        char text[32];
        text_format(text, sizeof text, "%zu", cfg.min_fry);
        const char *given = setting_text("BIGMAAC_MIN_FRY_SIZE");
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
    size_t size;           /* bytes of boot + fries + bigmaacs; shrinks under both spaces' locks */
    size_t fry_end;        /* offset where the fries end and the bigmaacs begin */
    size_t boot_to, fry_from, fry_to; /* offsets: from boot_to to fry_from, and from fry_to to fry_end, is what was
                                       * given back, and may be anybody's; written as size is */
    size_t reserved;       /* bytes, with all that lies behind; both spaces' locks */
    pid_t pid;             /* whose it is: a vfork child runs in its parent's memory */
    atomic_bool shared;    /* another process was made to run in it for longer */
    bool boot_ready;       /* the boot pages are readable; boot.lock */
    bool failed;           /* no address space to be had: pass everything through */
} mem = {.base = (uintptr_t)1 << 63};

static const int anon_flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

/* Offset of p in the reservation; larger than any size for what isn't ours. */
static ALWAYS_INLINE size_t mem_offset(const void *p)
{
    return (uintptr_t)p - load_published(&mem.base);
}

/* All that is ours lies there; something else may, too, once mem_shrink has given a part back. */
static ALWAYS_INLINE bool mem_covers(const void *p)
{
    return mem_offset(p) < load_published(&mem.size);
}

static bool mem_owns(const void *p)
{
    size_t offset = mem_offset(p);
    return mem_covers(p) && (offset >= mem.fry_end || offset < load_published(&mem.boot_to) ||
                             (offset >= mem.fry_from && offset < load_published(&mem.fry_to)));
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
    if (sys_mprotect(p->start + p->committed, to - p->committed, PROT_READ | PROT_WRITE) != 0) {
        to = min_size(round_up(bytes, page_size), p->limit);
        if (sys_mprotect(p->start + p->committed, to - p->committed, PROT_READ | PROT_WRITE) != 0)
            return false;
    }
    p->committed = to;
    return true;
}

/* Gives back what is reserved beyond the limit and not used. Returns how many bytes. */
static size_t pool_cut(struct pool *p, size_t limit)
{
    size_t keep = max_size(round_up(limit, page_size), p->committed), more = p->limit > keep ? p->limit - keep : 0;
    p->limit -= more;
    if (more)
        sys_munmap(p->start + p->limit, more);
    return more;
}

/* Advice to the kernel about memory of ours; our own madvise is for the program. */
static bool mem_advise(size_t offset, size_t bytes, int advice)
{
    return sys(SYS_madvise, mem_at(offset), bytes, advice) == 0;
}

/* The program has given pages of ours protection keys: these go with the mapping. */
static atomic_bool mem_has_keys;

/* The program has locked something as it is touched, and no more: what is mapped anew is locked so. */
static atomic_bool mem_locks_touched;

static void mem_lock(size_t offset, size_t bytes)
{
    sys(SYS_mlock2, mem_at(offset), bytes, atomic_load(&mem_locks_touched) ? MLOCK_ONFAULT : 0);
}

/* What of a range is in memory: a byte for each of our pages, of which the kernel's may be parts. */
static bool mem_resident(size_t offset, size_t bytes, unsigned char *vector)
{
    unsigned char part[512];
    size_t each = page_size / sys_page(), step = sizeof part / each * page_size;
    if (each == 1)
        return sys_mincore(mem_at(offset), bytes, vector) == 0;
    for (size_t at = 0; at < bytes; at += step) {
        size_t n = min_size(step, bytes - at);
        if (sys_mincore(mem_at(offset + at), n, part) != 0)
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
    POLICY_BLOCKS, /* as much as NORMAL, but from it on, and nothing behind that: the best where WATCH is denied */
    POLICY_WATCHED, /* that page alone; then a thread of ours asks for the rest of its block (WATCH) */
    POLICY_COUNT
};

static const char *const policy_names[POLICY_COUNT] = {"normal", "sequential", "random", "blocks", "watched"};

enum { PIECE_ALONE = 255 }; /* single pages: reclaim is told of them, nothing is asked for */

/* Per 2 MiB of the reservation 1 + log2 of the pages of a block there, or PIECE_ALONE; 0: WATCH leaves faults there alone.
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
    mem_set_piece(offset, bytes, policy == POLICY_WATCHED  ? (unsigned char)(1 + log)
                                 : policy == POLICY_RANDOM ? (unsigned char)PIECE_ALONE
                                                           : 0);
    static const int advice[POLICY_COUNT] = {MADV_NORMAL, MADV_RANDOM, MADV_RANDOM, MADV_SEQUENTIAL,
                                              MADV_RANDOM};
    mem_advise(offset, bytes, policy == POLICY_HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    mem_advise(offset, bytes, advice[policy]);
}

/* Turns [offset, offset + bytes) of the reservation back into unreadable address space. */
static bool mem_unmap(size_t offset, size_t bytes)
{
    mem_set_piece(offset, bytes, 0);
    return sys_mmap(mem_at(offset), bytes, PROT_NONE, anon_flags | MAP_FIXED, -1, 0) != MAP_FAILED;
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
GUESSES static uint32_t extent_lookup(const struct space *s, size_t offset)
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

/* Makes the space smaller, as far as nothing is in use beyond, but for a page. */
static void space_cut(struct space *s, size_t pages)
{
    if (!s->extent_count) /* not open yet */
        s->pages = (uint32_t)min_size(s->pages, pages);
    for (uint32_t i = 1; i <= s->extent_count; i++) {
        struct extent *e = extent_at(s, i);
        uint32_t keep = pages > e->page ? (uint32_t)pages - e->page : 1;
        if (e->state != EXTENT_FREE || e->kind != KIND_CLEAN || e->page + e->pages != s->pages)
            continue;
        if (keep >= e->pages)
            return;
        bins_remove(s, &s->free[KIND_CLEAN], i);
        e->pages = keep;
        s->pages = e->page + keep;
        bins_insert(s, &s->free[KIND_CLEAN], i);
        return;
    }
}

#ifdef BIGMAAC_PREFIX
/* The extent at page 0. */
static uint32_t extent_first(const struct space *s)
{
    for (uint32_t i = 1; i <= s->extent_count; i++)
        if (extent_at(s, i)->state != EXTENT_UNUSED && extent_at(s, i)->page == 0)
            return i;
    return 0;
}

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

enum { KEPT_MAX = 32, KEPT_FEW = 15 }; /* files of the kernel's that are kept open (ROOM); in a group two levels deep */

struct file {
    int fd; /* -1: none */
    dev_t dev;
    ino_t ino;
    off_t tag; /* its descriptor's position, which nothing of ours uses: a later file may get number and inode; 0: any */
};

static struct folder {
    atomic_bool probed;       /* the fields below are right */
    bool memory;              /* tmpfs, ramfs: swapping there is no use */
    bool no_copy_on_write;    /* btrfs: ask for it, and leave a margin free (file_allocate) */
    atomic_bool no_tmpfile;   /* O_TMPFILE failed, or does harm (ZFS) */
    atomic_bool no_fallocate; /* reserve by looking at the free space */
    atomic_bool can_map;      /* a file of it has been mapped */
    atomic_bool told_memory;
    uint64_t device;          /* of our files, as mappings are told of it (VMA); 0: not known */
    atomic_int dir;           /* its descriptor, opened with the first file; 0: none. It leads there when the path
                               * does no more, after chroot(2) for one */
    _Atomic(dev_t) dir_dev;   /* what it is; written before `dir` */
    _Atomic(ino_t) dir_ino;
    atomic_size_t readahead;  /* pages that the device reads around a fault */
    bool readahead_known;     /* the kernel said so, or PAGING has seen it */
    bool overlay;             /* writeback is asked for in another way there (range_write) */
    atomic_size_t files;      /* open now */
    atomic_size_t bytes;      /* of all of them, as allocated by us */
    atomic_size_t bytes_peak;
    atomic_size_t given;      /* bytes that were ever allocated so */
} folder = {.readahead = ((size_t)128 << 10) >> PAGE_SHIFT}; /* the kernel's default, until it was read */

static void file_drop(struct file *f);

static const long magic_zfs = 0x2fc12fc1, magic_btrfs = 0x9123683e;

static struct beyond {
    atomic_bool busy;  /* somebody opens something below */
    struct file spare; /* a high number that is kept for that */
} beyond = {.spare.fd = -1};

static bool beyond_take(void)
{
    for (int tries = 0; atomic_exchange(&beyond.busy, true); tries++, sleep_ms(1))
        if (tries == 20)
            return false; /* a handler that interrupted who has it */
    return true;
}

/* Opens a file. A program that has opened all that it may, but could allow itself more, allows it for that moment: the number is
 * beyond the program's then, and the file stays open. Not all that it could: a child that another thread starts meanwhile
 * inherits the limit, and some close every number below it. One that could not has left us the spare number, perhaps. */
static int open_beyond(int dir, const char *path, int flags, mode_t mode)
{
    struct rlimit now, more;
    int fd = (int)sys(SYS_openat, dir, path, flags, mode), err = EMFILE;
    if (fd >= 0 || errno != EMFILE)
        return fd;
    if (beyond_take()) {
        bool raised = sys_getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur < now.rlim_max;
        more = (struct rlimit){.rlim_cur = min_size(now.rlim_max, now.rlim_cur + 4096), .rlim_max = now.rlim_max};
        if (raised)
            sys(SYS_prlimit64, 0, RLIMIT_NOFILE, &more, NULL);
        else
            file_drop(&beyond.spare);
        fd = (int)sys(SYS_openat, dir, path, flags, mode);
        err = errno;
        if (raised)
            sys(SYS_prlimit64, 0, RLIMIT_NOFILE, &now, NULL);
        atomic_store(&beyond.busy, false);
    }
    errno = err;
    return fd;
}

/* One of the kernel's. */
static int kernel_open(const char *path) { return open_beyond(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0); }

/* Reads a file of the kernel's from there on, as much as there is space for. Returns the length; 0: not there. */
static size_t read_text_from(const char *path, char *text, size_t space, off_t from)
{
    int fd = kernel_open(path);
    size_t used = 0;
    for (long n = 1; fd >= 0 && n > 0 && used < space - 1; used += n > 0 ? (size_t)n : 0)
        n = sys(SYS_pread64, fd, text + used, space - 1 - used, from + (off_t)used);
    text[used] = 0;
    if (fd >= 0)
        sys(SYS_close, fd);
    return used;
}

static size_t read_text(const char *path, char *text, size_t space) { return read_text_from(path, text, space, 0); }

/* The device's readahead, in pages; 0 where it can't be read: overlay and btrfs name no device. */
COLD static size_t folder_readahead(const char *path)
{
    char name[64], text[32];
    struct stat st;
    if (sys_stat(path, &st) != 0)
        return 0;
    text_format(name, sizeof name, "/sys/class/bdi/%u:%u/read_ahead_kb", major(st.st_dev), minor(st.st_dev));
    if (!read_text(name, text, sizeof text))
        return 0;
    return max_size(min_size(text_number(text, NULL), 64 * kib) * kib / page_size, 1);
}

/* Looks at the swap folder once, when the first file is needed. */
COLD static void folder_probe(void)
{
    char path[sizeof cfg.template];
    struct statfs fs;
    template_folder(path, sizeof path);
    if (sys_statfs(path, &fs) != 0)
        return;
    if (is_memory_fs((long)fs.f_type) && !cfg.template_set && sys_access("/var/tmp", W_OK | X_OK) == 0) {
        struct statfs other;
        if (sys_statfs("/var/tmp", &other) == 0 && !is_memory_fs((long)other.f_type)) {
            text_format(cfg.template, sizeof cfg.template, "/var/tmp/bigmaac.XXXXXXXX");
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

/* strerror, without its locale and its allocations, for what the calls on swap files can fail with. */
COLD static const char *error_text(int err)
{
    static const struct { int err; const char *text; } errors[] = {
        {EACCES, "Permission denied"}, {EAGAIN, "Resource temporarily unavailable"}, {EBADF, "Bad file descriptor"},
        {EDQUOT, "Disk quota exceeded"}, {EFBIG, "File too large"}, {EINVAL, "Invalid argument"}, {EIO, "Input/output error"},
        {EISDIR, "Is a directory"}, {ELOOP, "Too many levels of symbolic links"}, {EMFILE, "Too many open files"},
        {ENAMETOOLONG, "File name too long"}, {ENFILE, "Too many open files in system"}, {ENODEV, "No such device"},
        {ENOENT, "No such file or directory"}, {ENOMEM, "Cannot allocate memory"}, {ENOSPC, "No space left on device"},
        {ENOSYS, "Function not implemented"}, {ENOTDIR, "Not a directory"}, {EOPNOTSUPP, "Operation not supported"},
        {EPERM, "Operation not permitted"}, {EROFS, "Read-only file system"}, {ESTALE, "Stale file handle"},
    };
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (errors[i].err == err)
            return errors[i].text;
    return "unknown error";
}

static enum reason file_failed(const char *call, int err)
{
    static atomic_bool told[REASON_COUNT];
    enum reason why = reason_of(err);
    if (cfg.verbose && first_time(&told[why]))
        report("%s in %s: %s", call, cfg.template, error_text(err));
    return why;
}

static bool file_keep(struct file *f, const char *path, int flags);
static size_t limit_of(int resource);

/* The folder's descriptor, which several threads may ask for first; -1: there is none, and the path has to do. */
static int folder_dir(void)
{
    struct stat st;
    int known = atomic_load_explicit(&folder.dir, memory_order_acquire);
    if (known && sys_fstat(known, &st) == 0 && st.st_dev == folder.dir_dev && st.st_ino == folder.dir_ino)
        return st.st_nlink ? known : -1; /* deleted: the path may lead to a new one */
    char path[sizeof cfg.template];
    template_folder(path, sizeof path);
    struct file dir;
    if (!file_keep(&dir, path, O_PATH | O_DIRECTORY))
        return -1;
    if (known && (dir.dev != folder.dir_dev || dir.ino != folder.dir_ino)) {
        sys(SYS_close, dir.fd);
        return -1;
    }
    folder.dir_dev = dir.dev; /* the same for all who come here */
    folder.dir_ino = dir.ino;
    if (atomic_compare_exchange_strong(&folder.dir, &known, dir.fd))
        return dir.fd;
    sys(SYS_close, dir.fd);
    return known;
}

static int file_open_unnamed(void)
{
    const int flags = O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC;
    int dir = folder_dir(), fd = dir < 0 ? -1 : open_beyond(dir, ".", flags, 0600);
    if (dir >= 0)
        return fd;
    char path[sizeof cfg.template];
    template_folder(path, sizeof path);
    return open_beyond(AT_FDCWD, path, flags, 0600);
}

/* One name for each user, file system and run of the kernel; 0: not known. */
static uint64_t file_name_seed(void)
{
    char text[sizeof cfg.template];
    struct stat st;
    template_folder(text, sizeof text);
    if (sys_stat(text, &st) != 0 || !read_text("/proc/sys/kernel/random/boot_id", text, sizeof text))
        return 0;
    uint64_t hash = text_hash(text, (uint64_t)st.st_dev << 32 ^ sys_geteuid());
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
static bool file_unname(int dir, const char *path)
{
    for (int tries = 0; tries < 2; tries++)
        if (sys(SYS_unlinkat, dir, path, 0) == 0 || errno == ENOENT)
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
    int dir = folder_dir();
    const char *name = dir < 0 ? cfg.template : text_find_last(cfg.template, '/') + 1;
    dir = dir < 0 ? AT_FDCWD : dir;
    size_t n = text_length(name), xs = n;
    memcpy(path, name, n + 1);
    while (xs && path[xs - 1] == 'X')
        xs--;
    uint64_t own = file_name_seed();
    for (int attempt = 0; attempt < 100; attempt++) {
        uint64_t seed = own;
        bool shared = own && attempt < 16;
        struct stat st;
        if (!shared && sys(SYS_getrandom, &seed, sizeof seed, 0) != (long)sizeof seed)
            return -1;
        file_name_fill(path + xs, seed);
        int fd = open_beyond(dir, path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
        if (fd >= 0 && file_unname(dir, path))
            return fd;
        if (fd >= 0) { /* an empty file stays, not one with the program's data */
            int err = errno;
            sys(SYS_close, fd);
            errno = err;
            return -1;
        }
        if (errno != EEXIST)
            return -1;
        if (shared && sys(SYS_newfstatat, dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            st.st_size == 0 && st.st_uid == sys_geteuid())
            file_unname(dir, path);
    }
    return -1;
}

/* The least number that is out of the way of the program: above what select() can hold if the limit allows. */
static int file_high(size_t limit) { return limit > 4096 ? 2048 : (int)(limit / 2); }

/* Moves a descriptor there, and where that can't be, at least away from the standard ones. */
static int file_raise(int fd, size_t limit)
{
    int want = file_high(limit);
    if (fd >= want && fd > STDERR_FILENO)
        return fd;
    int high = (int)sys(SYS_fcntl, fd, F_DUPFD_CLOEXEC, want);
    if (high < 0 && fd <= STDERR_FILENO)
        high = (int)sys(SYS_fcntl, fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (high < 0)
        return fd > STDERR_FILENO ? fd : -1;
    sys(SYS_close, fd);
    return high;
}

static size_t limit_of(int resource)
{
    struct rlimit limit;
    if (sys_getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    return limit.rlim_cur;
}

/* Opens a file to keep, on a high descriptor. False: it is not there, or no such number is free; a low one is the program's. */
static bool file_keep(struct file *f, const char *path, int flags)
{
    struct stat st;
    size_t limit = limit_of(RLIMIT_NOFILE);
    int fd = open_beyond(AT_FDCWD, path, flags | O_RDONLY | O_CLOEXEC, 0);
    int high = fd < 0 ? -1 : file_raise(fd, limit);
    bool kept = high >= 0 && high >= file_high(limit) && sys_fstat(high, &st) == 0;
    if (!kept && fd >= 0)
        sys(SYS_close, high < 0 ? fd : high);
    *f = kept ? (struct file){.fd = high, .dev = st.st_dev, .ino = st.st_ino} : (struct file){.fd = -1};
    return kept;
}

static uint64_t vma_device(const void *p);

/* Some file systems refuse shared mappings. That must not show where we have reserved memory: there a
 * failed mmap leaves a gap, for anybody's next mapping. */
static enum reason folder_try_map(int fd)
{
    void *p = sys_mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return file_failed("mmap", errno);
    folder.device = vma_device(p);
    sys_munmap(p, page_size);
    atomic_store(&folder.can_map, true);
    return REASON_NONE;
}

/* The program may have closed our descriptor, and may use its number for a file of its own. */
static bool file_valid(const struct file *f)
{
    struct stat st;
    return f->fd >= 0 && sys_fstat(f->fd, &st) == 0 && st.st_dev == f->dev && st.st_ino == f->ino &&
           (!f->tag || sys_lseek(f->fd, 0, SEEK_CUR) == f->tag);
}

/* Closes it, if it is still ours. */
static void file_drop(struct file *f)
{
    if (file_valid(f))
        sys(SYS_close, f->fd);
    f->fd = -1;
}

/* Makes an empty swap file. At most half of the descriptors are ours, the rest the program's; of
 * our half `spare` stay free, and some for what is kept open (ROOM). */
static enum reason file_create(struct file *f, size_t spare)
{
    f->fd = -1;
    size_t limit = limit_of(RLIMIT_NOFILE), keeps = max_size(limit / 8, min_size(limit / 4, KEPT_FEW));
    if (atomic_load(&folder.files) + spare + min_size(keeps, KEPT_MAX) >= limit / 2)
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
    struct stat st = {0};
    sys_fstat(fd, &st);
    int high = file_raise(fd, limit);
    *f = (struct file){.fd = high, .dev = st.st_dev, .ino = st.st_ino};
    if (!file_valid(f)) { /* or the program has taken that number for a file of its own */
        if (high < 0)
            sys(SYS_close, fd);
        f->fd = -1;
        return REASON_DESCRIPTORS;
    }
    enum reason why = atomic_load(&folder.can_map) ? REASON_NONE : folder_try_map(high);
    if (why) {
        file_drop(f);
        return why;
    }
    if (folder.no_copy_on_write) {
        int flags = FS_NOCOW_FL;
        sys_ioctl(high, FS_IOC_SETFLAGS, &flags); /* slower without, not wrong */
    }
    static atomic_uint made;
    off_t tag = (off_t)(gib + atomic_fetch_add(&made, 1) % gib); /* any file system has room for 2 GiB */
    f->tag = sys_lseek(high, tag, SEEK_SET) == tag ? tag : 0;
    atomic_fetch_add(&folder.files, 1);
    return REASON_NONE;
}

/* Keeps a spare number of the same file, or again one after it was used. */
static void spare_keep(const struct file *f)
{
    if (file_valid(&beyond.spare) || !file_valid(f) || !beyond_take())
        return;
    beyond.spare = *f;
    beyond.spare.fd = (int)sys(SYS_fcntl, f->fd, F_DUPFD_CLOEXEC, file_high(limit_of(RLIMIT_NOFILE)));
    atomic_store(&beyond.busy, false);
}

/* The same for a swap file. */
static void file_close(struct file *f)
{
    if (f->fd < 0)
        return;
    file_drop(f);
    atomic_fetch_sub(&folder.files, 1);
}

static void folder_count(size_t more, size_t less)
{
    size_t now = atomic_fetch_add(&folder.bytes, more - less) + more - less;
    if (more)
        atomic_fetch_add_explicit(&folder.given, more, memory_order_relaxed);
    size_t peak = atomic_load_explicit(&folder.bytes_peak, memory_order_relaxed);
    while (now > peak && more && !atomic_compare_exchange_weak(&folder.bytes_peak, &peak, now))
        ;
}

/* Is there room for that much and a margin? */
static int file_room(const struct file *f, size_t bytes, size_t margin)
{
    struct statfs fs;
    if (sys_fstatfs(f->fd, &fs) != 0)
        return errno;
    size_t room = (size_t)fs.f_bavail * (size_t)fs.f_frsize;
    return room < margin || room - margin < bytes ? ENOSPC : 0;
}

static int file_fallocate(const struct file *f, int mode, size_t offset, size_t bytes)
{
    while (sys(SYS_fallocate, f->fd, mode, offset, bytes) != 0)
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
    if (!folder.no_copy_on_write || sys_fstat(f->fd, &st) != 0)
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
    if (!file_valid(f))
        return REASON_DESCRIPTORS;
    int err = file_allocate(f, offset, bytes);
    if (err == EOPNOTSUPP || err == ENOSYS || err == EINVAL || err == EPERM) { /* a system call filter's word */
        err = 0;
        if (cfg.reserve) {
            folder.no_fallocate = true;
            err = file_room(f, bytes, 16 * mib); /* nobody guarantees it later */
        }
        struct stat st;
        if (!err && (sys_fstat(f->fd, &st) != 0 || ((size_t)st.st_size < offset + bytes &&
                                                sys_ftruncate(f->fd, (off_t)(offset + bytes)) != 0)))
            err = errno;
    }
    return err ? file_failed("reserving disk space", err) : REASON_NONE;
}

/* Gives the blocks of a range back; the range reads zero afterwards. */
static bool file_punch(const struct file *f, size_t offset, size_t bytes)
{
    return file_valid(f) && file_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes) == 0;
}

/* Bytes of the largest page that the kernel caches a file in, at a multiple of them: as much as a page middle directory entry
 * reaches, but at most 2048 pages (MAX_PAGECACHE_ORDER). */
static size_t file_page_most(void) { return sys_page() * min_size(sys_page() / sizeof(uint64_t), 2048); }

/* Extends what is to be punched, of which nothing is used any more, nor of [low, high) around it: a store to a large page
 * across both got blocks for these holes, too, which go back with it. */
static void file_punch_extend(size_t *from, size_t *to, size_t low, size_t high)
{
    size_t most = file_page_most();
    *from = max_size(low, round_down(*from, most));
    *to = min_size(high, round_up(*to, most));
}

/* Makes a range read zero; its blocks stay reserved, or it stays sparse. */
static bool file_zero(const struct file *f, size_t offset, size_t bytes)
{
    int mode = cfg.reserve ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;
    return !folder.no_fallocate && file_fallocate(f, mode | FALLOC_FL_KEEP_SIZE, offset, bytes) == 0;
}

/* Maps [offset, offset + bytes) of the file at `at` of the reservation. `sharing` is MAP_SHARED, which no child may
 * inherit (FORK), or, for what a fork has frozen, MAP_PRIVATE. */
static enum reason file_map_as(const struct file *f, size_t at, size_t bytes, size_t offset, int sharing, int protection)
{
    void *p = sys_mmap(mem_at(at), bytes, protection, sharing | MAP_FIXED | MAP_NORESERVE, f->fd, (off_t)offset);
    if (p != MAP_FAILED) {
        if (sharing == MAP_SHARED)
            mem_advise(at, bytes, MADV_DONTFORK);
        return REASON_NONE;
    }
    int err = errno;
    void *gap = sys_mmap(mem_at(at), bytes, PROT_NONE, anon_flags | MAP_FIXED_NOREPLACE, -1, 0);
    if (gap != MAP_FAILED && gap != mem_at(at))
        sys_munmap(gap, bytes); /* a kernel that doesn't know the flag */
    return file_failed("mmap", err);
}

/* For new memory. A thread of the program's may take the descriptor's number at any moment: it must not be its file. */
static enum reason file_map(const struct file *f, size_t at, size_t bytes, size_t offset)
{
    enum reason why = file_map_as(f, at, bytes, offset, MAP_SHARED, PROT_READ | PROT_WRITE);
    if (why || file_valid(f))
        return why;
    sys_mmap(mem_at(at), bytes, PROT_NONE, anon_flags | MAP_FIXED, -1, 0);
    return REASON_DESCRIPTORS;
}

/* Writes memory to the file at the same distance from its start as from `from`. */
static enum reason file_write(const struct file *f, const char *from, size_t bytes, size_t offset)
{
    for (size_t done = 0; done < bytes;) {
        long n = sys(SYS_pwrite64, f->fd, from + done, bytes - done, offset + done);
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
static bool map_moved_at(const void *p); /* MAP */

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
    uintptr_t system_page = round_down((uintptr_t)p, sys_page());
    if (tries >= 3 || sys(SYS_mincore, system_page, (size_t)1, &resident) != 0 ||
        !(resident & 1) || (sys(SYS_msync, from, huge_size, MS_SYNC) != 0 && errno != ENOMEM)) /* a gap in it */
        return false;
    const int advice[] = {MADV_RANDOM, MADV_NOHUGEPAGE, MADV_POPULATE_READ};
    for (size_t i = 0; i < sizeof advice / sizeof advice[0]; i++)
        sys(SYS_madvise, from, huge_size, advice[i]);
    sys(SYS_madvise, system_page, sys_page(), MADV_POPULATE_READ); /* the other one ends at a gap: PAGEOUT takes what is mapped */
    sys(SYS_madvise, from, huge_size, MADV_PAGEOUT);
    return true;
}

static bool bus_owns(const void *p) { return mem_owns(p) || map_moved_at(p); }

/* Only async-signal-safe calls: report formats into its stack, without memory or locks. */
COLD static void bus_handler(int sig, siginfo_t *info, void *context)
{
    (void)context;
    int err = errno;
    const struct sys_sigaction die = {.mask = 0}; /* the default */
    if (info->si_code == BUS_ADRERR && bus_owns(info->si_addr) && bus_mend(info->si_addr)) {
        errno = err;
        return;
    }
    if (info->si_code > 0 && bus_owns(info->si_addr)) {
        char path[sizeof cfg.template];
        template_folder(path, sizeof path);
        report("can't read or write memory at %p that is swapped to %s (I/O error or disk full); "
               "ending the program with SIGBUS", info->si_addr, path);
    }
    sys_on_signal(sig, &die, NULL);
    /* Again, with all that the kernel told: it comes when we return, where it came before. */
    if (sys(SYS_rt_tgsigqueueinfo, sys_getpid(), sys_gettid(), sig, info) != 0)
        sys(SYS_tgkill, sys_getpid(), sys_gettid(), sig);
}

COLD static void bus_open(void)
{
    const struct sys_sigaction tell = {.handler = bus_handler, .flags = SA_SIGINFO | SA_ONSTACK,
                                       .mask = ~sigmask_of(STOP_SIGNAL)};
    struct sys_sigaction now;
    if (sys_on_signal(SIGBUS, NULL, &now) && !now.handler)
        atomic_store(&bus_handled, sys_on_signal(SIGBUS, &tell, NULL));
}

/* ============================================================================================
 * === LOCKS  the gate, and what every slow operation does first and last
 *
 * Locks of our own, on futexes: others wrap pthread's, and a waiter sleeps. What a holder wrote is seen by
 * the next one: taking a lock and leaving the gate are sequentially consistent operations on its word.
 * ========================================================================================= */
struct lock {
    atomic_uint word; /* futex: 0 free, 1 taken, 2 taken and somebody may wait */
};

static void lock_take(struct lock *l)
{
    unsigned free_word = 0;
    if (likely(atomic_compare_exchange_strong(&l->word, &free_word, 1)))
        return;
    while (atomic_exchange(&l->word, 2) != 0)
        futex_wait(&l->word, 2, NULL);
}

static bool lock_try(struct lock *l)
{
    unsigned free_word = 0;
    return atomic_compare_exchange_strong(&l->word, &free_word, 1);
}

static void lock_drop(struct lock *l)
{
    if (atomic_exchange(&l->word, 0) == 2)
        futex_wake(&l->word, 1);
}

/* The gate: operations inside it, counted; GATE_CLOSED: none may enter, and who closes it waits for those
 * inside to leave; GATE_FORKING as well: until the fork under way has returned. */
static const unsigned gate_closed = 1u << 31, gate_forking = 1u << 30;
static atomic_uint gate; /* futex */
static atomic_int gate_forker; /* the thread that forks, while GATE_FORKING */

/* libc's fork takes locks of its own after our handler has closed the gate, and somebody may hold one of them while he
 * allocates. An operation that has another way out looks so often whether the fork waits for a lock. */
static const unsigned gate_look_ms = 100;

static bool thread_waits(pid_t tid);

/* False: a fork keeps the gate closed, and the caller, not being patient, has to do without. */
static bool gate_pass(bool patient)
{
    const struct timespec step = {.tv_nsec = gate_look_ms * 1000000};
    unsigned seen = atomic_load(&gate), looks = 0;
    for (;;) {
        if (!(seen & gate_closed)) {
            if (atomic_compare_exchange_weak(&gate, &seen, seen + 1))
                return true;
            continue;
        }
        bool forks = !patient && seen & gate_forking;
        if (forks && looks++ && thread_waits(atomic_load(&gate_forker)))
            return false;
        futex_wait(&gate, seen, forks ? &step : NULL);
        seen = atomic_load(&gate);
    }
}

static void gate_enter(void) { gate_pass(true); }

static void gate_leave(void)
{
    if (atomic_fetch_sub(&gate, 1) - 1 == gate_closed)
        futex_wake(&gate, INT32_MAX);
}

/* Nobody enters from now on, and nobody but the caller can open it. Some may be inside. */
static void gate_shut(void)
{
    unsigned seen = atomic_load(&gate);
    for (;;) {
        if (seen & gate_closed) {
            futex_wait(&gate, seen, NULL);
            seen = atomic_load(&gate);
        } else if (atomic_compare_exchange_weak(&gate, &seen, seen | gate_closed)) {
            return;
        }
    }
}

/* Waits until nobody is inside. False: that takes longer. */
static bool gate_await(uint64_t most_ms)
{
    const struct timespec most = {.tv_sec = (time_t)(most_ms / 1000), .tv_nsec = (long)(most_ms % 1000) * 1000000};
    uint64_t until = now_ms() + most_ms;
    for (unsigned seen; (seen = atomic_load(&gate)) != gate_closed; futex_wait(&gate, seen, &most))
        if (now_ms() > until)
            return false;
    return true;
}

/* Requires the gate, shut. Returns when nobody is inside. */
static void gate_empty(void)
{
    while (!gate_await(1000))
        ;
}

/* Returns when nobody is inside, and nobody but the caller can open it. */
static void gate_close(void)
{
    gate_shut();
    gate_empty();
}

static void gate_open(void)
{
    atomic_store(&gate, 0);
    futex_wake(&gate, INT32_MAX);
}

/* From now on a fork keeps it closed. Who waits must notice. */
static void gate_fork(void)
{
    atomic_store(&gate_forker, sys_gettid());
    atomic_fetch_or(&gate, gate_forking);
    futex_wake(&gate, INT32_MAX);
}

struct op {
    sigmask signals; /* that the thread blocked before */
    int err;         /* errno before */
};

/* No signal handler of the program runs in this thread until sys_sigmask sets what is saved here again. */
static void signals_hold(sigmask *saved)
{
    sigmask all = ~sigmask_of(STOP_SIGNAL);
    if (atomic_load_explicit(&bus_handled, memory_order_relaxed))
        all &= ~sigmask_of(SIGBUS);
    sys_sigmask(SIG_SETMASK, &all, saved);
}

/* Of such a thread? Those that glibc ends have the same: they go on, too, and are stopped later. */
static bool signals_are_held(sigmask now)
{
    const sigmask never = sigmask_of(SIGKILL) | sigmask_of(SIGSTOP);
    return (now | never | sigmask_of(SIGBUS)) == ~sigmask_of(STOP_SIGNAL);
}

/* Starts a slow operation: no signal handler of this thread runs until it ends (it could call malloc or
 * fork while we hold a lock), but BUS's; and no fork happens meanwhile. Not recursive. */
static void op_begin(struct op *op)
{
    op->err = errno;
    signals_hold(&op->signals);
    gate_enter();
}

static atomic_uint stop_round; /* futex: odd while threads are to wait (STOP); raised to let them go */

/* Who was not stopped in the middle of an operation waits behind it. */
static void op_restore(const struct op *op)
{
    sys_sigmask(SIG_SETMASK, &op->signals, NULL);
    unsigned round = atomic_load(&stop_round);
    while (unlikely(round & 1) && atomic_load(&stop_round) == round)
        futex_wait(&stop_round, round, NULL);
    errno = op->err;
}

/* The same for operations that can be left undone. False: a fork is under way, nothing has begun. */
static bool op_try(struct op *op)
{
    op->err = errno;
    signals_hold(&op->signals);
    if (likely(gate_pass(false)))
        return true;
    op_restore(op);
    return false;
}

static void op_end(struct op *op)
{
    gate_leave();
    op_restore(op);
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
        report("a request of %zu bytes can't be served from disk: %s; memory serves it while there is room (told once per reason)",
               bytes, reason_names[why]);
}

/* ============================================================================================
 * === VMA  the process's mappings, as the kernel tells them
 *
 * What a program has set on its memory (protections, locks, mappings of its own over a part of a block)
 * stays set when we map that memory anew. The kernel alone knows all of it, so it is asked each time:
 * /proc/self/maps, or smaps where more than protections may have been set.
 * ========================================================================================= */
struct vma {
    uintptr_t from, to;
    uint64_t offset;   /* bytes from the start of its file */
    uint64_t device;   /* of its file system, as only mappings are told of it */
    uint64_t inode;    /* of its file; 0: anonymous memory, or none */
    int protection;    /* PROT_... */
    bool shared;
    bool unnamed;      /* the file has no name any more, as ours have none */
    bool ring;         /* of io_uring, libaio, AF_XDP or a device: the kernel may write to the program's memory at any time */
    bool locked;       /* mlock; known only with details */
    bool undumped;     /* MADV_DONTDUMP; the same */
    size_t resident, referenced; /* bytes; the same */
};

typedef bool vma_see(const struct vma *v, void *context);

/* Whether the program has set something on memory of ours, by a function that we see; and what only smaps shows. */
static atomic_bool vma_set, vma_details;

/* Whether the program keeps some of our memory from its children. */
static atomic_bool vma_holes;

static struct {
    struct lock lock; /* nobody takes another one while he has it, but what `see` takes */
    char text[8192];
    size_t used, at;  /* bytes in text, and of them those that were given out */
    int fd;
    bool failed;      /* reading */
    bool absent;      /* there is no /proc; else there was no descriptor, perhaps */
} vma_reader;

/* The next line, its end replaced by a 0; NULL: there is none. */
static char *vma_line(void)
{
    for (;;) {
        char *line = vma_reader.text + vma_reader.at;
        char *end = line, *behind = vma_reader.text + vma_reader.used;
        while (end < behind && *end != '\n')
            end++;
        if (end < behind) {
            *end = 0;
            vma_reader.at = (size_t)(end + 1 - vma_reader.text);
            return line;
        }
        vma_reader.used -= vma_reader.at;
        for (size_t i = 0; i < vma_reader.used; i++)
            vma_reader.text[i] = line[i];
        vma_reader.at = 0;
        size_t room_left = sizeof vma_reader.text - vma_reader.used;
        long n = room_left ? sys(SYS_read, vma_reader.fd, vma_reader.text + vma_reader.used, room_left) : 0;
        vma_reader.failed = n < 0;
        if (n <= 0)
            return NULL;
        vma_reader.used += (size_t)n;
    }
}

static uint64_t text_digits(const char **at, unsigned base)
{
    uint64_t value = 0;
    for (;; ++*at) {
        unsigned c = (unsigned char)**at, digit = c - '0' < 10 ? c - '0' : (c | 32) - 'a' < 6 ? (c | 32) - 'a' + 10 : 16;
        if (digit >= base)
            return value;
        value = value * base + digit;
    }
}

/* What a link of /proc/self/fd names: does it, while it is open, write to memory of the program's that is registered there?
 * Such devices keep the pages that were there then; or (vhost) have threads that don't stop. */
static bool link_writes(const char *link)
{
    static const char *const names[] = {
        "anon_inode:[io_uring]",
        /* GPUs */
        "/dev/nvidia", "/dev/nvmap", "/dev/nvhost", "/dev/nvgpu/", "/dev/dri/render", "/dev/kfd", "/dev/dxg", "/dev/mali", "/dev/kgsl",
        "/dev/pvrsrvkm", "/dev/pvr_sync", "/dev/galcore", "/dev/mtgpu",
        /* what computes, and cameras */
        "/dev/accel/", "/dev/hl", "/dev/neuron", "/dev/apex_", "/dev/davinci", "/dev/devmm_svm", "/dev/cambricon", "/dev/tenstorrent/",
        "/dev/hailo", "/dev/rknpu", "/dev/rga", "/dev/fastrpc", "/dev/adsprpc", "/dev/dsa/", "/dev/iax/", "/dev/hisi_", "/dev/cxl/",
        "/dev/ocxl", "/dev/dfl-port", "/dev/intel-fpga-port", "/dev/video", "/dev/vbi", "/dev/ipu",
        /* networks, disks, and other machines */
        "/dev/infiniband/", "/dev/hfi1", "/dev/ipath", "/dev/cxi", "/dev/onload", "/dev/sfc_", "/dev/xpmem", "/dev/knem", "/dev/sg",
        "/dev/vfio/", "/dev/iommu", "/dev/uio", "/dev/vhost-", "/dev/vmci", "/dev/vmmon", "/dev/vboxdrv", "/dev/mshv", "/dev/acrn",
        "/dev/nitro_enclaves",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (text_contains(link, names[i]))
            return true;
    return false;
}

/* FROM-TO rwxp OFFSET MAJOR:MINOR INODE NAME */
static bool vma_parse(const char *line, struct vma *v)
{
    *v = (struct vma){.from = text_digits(&line, 16)};
    if (*line++ != '-')
        return false;
    v->to = text_digits(&line, 16);
    v->protection = (line[1] == 'r' ? PROT_READ : 0) | (line[2] == 'w' ? PROT_WRITE : 0) | (line[3] == 'x' ? PROT_EXEC : 0);
    v->shared = line[4] == 's';
    line += 6;
    v->offset = text_digits(&line, 16);
    line++;
    v->device = text_digits(&line, 16) << 32;
    line++;
    v->device |= text_digits(&line, 16);
    line++;
    v->inode = text_digits(&line, 10);
    v->unnamed = text_contains(line, " (deleted)");
    v->ring = text_contains(line, "[io_uring]") || text_contains(line, "/[aio]") || text_contains(line, "socket:[") ||
              (text_contains(line, " /dev/") && link_writes(line)); /* open as long as it is mapped */
    return true;
}

/* The next mapping; with `details`, from smaps, where its flags stand in the last of its lines. */
static bool vma_next(struct vma *v, bool details)
{
    for (char *line; (line = vma_line());) {
        struct vma head;
        if (vma_parse(line, &head)) {
            *v = head;
            if (!details)
                return true;
        } else if (text_begins(line, "Rss:")) {
            v->resident = text_number(line + 4, NULL) * kib;
        } else if (text_begins(line, "Referenced:")) {
            v->referenced = text_number(line + 11, NULL) * kib;
        } else if (text_begins(line, "VmFlags:")) {
            v->locked = text_contains(line, " lo");
            v->undumped = text_contains(line, " dd");
            return true;
        }
    }
    return false;
}

/* The number behind `name` at the start of a line; `missing` if there is no such line. */
static size_t text_value(const char *text, const char *name, size_t missing)
{
    for (const char *line = text; line; line = text_find(line, '\n')) {
        line += *line == '\n';
        if (text_begins(line, name))
            return text_number(line + text_length(name), NULL);
    }
    return missing;
}

/* What /proc/thread-self/status says of the process, in its unit; SIZE_MAX: it can't be read. `text` is to work in. */
static size_t status_value(const char *name, char *text, size_t space)
{
    return read_text("/proc/thread-self/status", text, space) ? text_value(text, name, 0) : SIZE_MAX;
}

/* Has the process locked memory (mlock)? `text` is to work in. */
static bool some_is_locked(char *text, size_t space)
{
    size_t locked = status_value("VmLck:", text, space);
    return locked && locked != SIZE_MAX;
}

/* Hands each mapping of the process between the addresses to `see`, cut at them, in ascending order, until it is
 * false. `see` may change the mapping that it gets. False: the kernel does not tell. */
static bool vmas_walk(uintptr_t from, uintptr_t to, vma_see *see, void *context)
{
    lock_take(&vma_reader.lock);
    bool details = atomic_load(&vma_details) || some_is_locked(vma_reader.text, sizeof vma_reader.text);
    const char *path = details ? "/proc/thread-self/smaps" : "/proc/thread-self/maps";
    vma_reader.fd = kernel_open(path);
    vma_reader.used = vma_reader.at = 0;
    vma_reader.failed = vma_reader.fd < 0;
    vma_reader.absent = vma_reader.failed && errno == ENOENT;
    struct vma v;
    for (bool going = !vma_reader.failed; going && vma_next(&v, details) && v.from < to;) {
        if (v.to <= from)
            continue;
        if (folder.device && v.device != folder.device && v.inode)
            v.inode = UINT64_MAX; /* no file of ours */
        uintptr_t cut = v.from < from ? from - v.from : 0;
        v.from += cut;
        v.offset += cut;
        v.to = v.to > to ? to : v.to;
        going = see(&v, context);
    }
    bool told = !vma_reader.failed;
    if (vma_reader.fd >= 0)
        sys(SYS_close, vma_reader.fd);
    lock_drop(&vma_reader.lock);
    return told;
}

static bool device_see(const struct vma *v, void *device)
{
    *(uint64_t *)device = v->device;
    return false;
}

/* The device of the file that is mapped there; 0: the kernel does not tell. */
static uint64_t vma_device(const void *p)
{
    uint64_t device = 0;
    vmas_walk((uintptr_t)p, (uintptr_t)p + page_size, device_see, &device);
    return device;
}

/* Writes [from, from + bytes) of the reservation, a part of that mapping, to the file and maps it from there, as it is
 * protected. Nobody may write to it meanwhile. False: it is as it was. */
static bool piece_move(const struct file *f, size_t from, size_t bytes, size_t to, const struct vma *v)
{
    int protection = v->protection;
    bool hidden = !(protection & PROT_READ);
    if (hidden && sys_mprotect(mem_at(from), bytes, protection | PROT_READ) != 0)
        return false;
    if (!file_extend(f, to, bytes) && !file_write(f, mem_at(from), bytes, to) &&
        (!file_map_as(f, from, bytes, to, MAP_SHARED, protection) ||
         !file_map_as(f, from, bytes, to, MAP_SHARED, protection))) /* the content is in the file alone now */
        return true;
    if (v->inode != f->ino) /* else a fork has frozen a part of the file only, and it is the content */
        file_punch(f, to, bytes);
    if (hidden)
        sys_mprotect(mem_at(from), bytes, protection);
    return false;
}

/* A place for what our threads map. Where the kernel chooses one, it may be where the program has just unmapped
 * something and is about to map it again by MAP_FIXED: then what is ours would be the program's, and be unmapped under it. */
static struct {
    struct lock lock; /* the last that is taken */
    char *start;
    pid_t pid;     /* whose place it is: a child by a bare call may have mapped something else there. 0: nobody's */
    size_t tables; /* bytes of the last part that are taken; the monitor's */
} own_area;

enum { OWN_WINDOW, OWN_RINGS, OWN_SPARES, OWN_TABLES, OWN_PARTS }; /* window_open, watch_add, own_spares, own_table; as much as they
                                                                      * take, or more. What is larger goes anywhere */
static const size_t own_bytes[OWN_PARTS] = {(size_t)64 << 20, (size_t)4 << 20, (size_t)1 << 20, (size_t)32 << 20};

static size_t own_start(int part)
{
    size_t at = 0;
    for (int i = 0; i < part; i++)
        at += own_bytes[i];
    return at;
}

/* Reserves the place. For a thread of the program's. */
static void own_open(void)
{
    if (own_area.pid == sys_getpid()) /* before the lock: whoever has it may wait for us */
        return;
    lock_take(&own_area.lock);
    if (own_area.pid != sys_getpid() && limit_of(RLIMIT_AS) == SIZE_MAX) {
        void *p = sys_mmap(NULL, own_start(OWN_PARTS), PROT_NONE, anon_flags, -1, 0);
        own_area.start = p == MAP_FAILED ? NULL : p;
        own_area.pid = p == MAP_FAILED ? 0 : sys_getpid();
    }
    lock_drop(&own_area.lock);
}

/* Before a fork: the child is to have nothing there but the tables. True: the place is the own one of whoever forks. */
static bool own_keep_back(void)
{
    return own_area.pid == sys_getpid() && sys_madvise(own_area.start, own_start(OWN_TABLES), MADV_DONTFORK) == 0;
}

/* In a child whose parent kept the place back: takes it again, if nothing has come to lie there since. Other libraries'
 * handlers run before ours, and may map something, or start threads, which have stacks. */
static void own_renew(bool parents)
{
    size_t bytes = own_start(OWN_TABLES);
    void *p = parents ? sys_mmap(own_area.start, bytes, PROT_NONE, anon_flags | MAP_FIXED_NOREPLACE, -1, 0) : MAP_FAILED;
    if (p != MAP_FAILED && p != own_area.start) /* before 4.17 the flag is unknown */
        sys_munmap(p, bytes);
    own_area.pid = p == own_area.start ? sys_getpid() : 0;
    own_area.lock = (struct lock){0};
}

/* Maps something at that distance from the start of a part, or anywhere, where it is too large for it. */
static void *own_map(int part, size_t at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    lock_take(&own_area.lock);
    bool fits = own_area.pid == sys_getpid() && at <= own_bytes[part] && bytes <= own_bytes[part] - at;
    char *place = fits ? own_area.start + own_start(part) + at : NULL;
    void *p = sys_mmap(place, bytes, protection, flags | (fits ? MAP_FIXED : 0), fd, offset);
    if (p == MAP_FAILED && fits)
        sys_mmap(place, bytes, PROT_NONE, anon_flags | MAP_FIXED, -1, 0); /* the kernel may have unmapped it */
    lock_drop(&own_area.lock);
    return p;
}

/* Ends what own_map began, or keeps the place of what has moved away. */
static void own_unmap(void *p, size_t bytes)
{
    lock_take(&own_area.lock);
    if (own_area.pid == sys_getpid() && (size_t)((char *)p - own_area.start) < own_start(OWN_PARTS))
        sys_mmap(p, bytes, PROT_NONE, anon_flags | MAP_FIXED, -1, 0);
    else
        sys_munmap(p, bytes);
    lock_drop(&own_area.lock);
}

/* Eight mappings more than are needed, or as many less: for who brings memory home because the process has as many as it may. */
static void own_spares(bool apart)
{
    size_t page = sys_page();
    lock_take(&own_area.lock);
    for (size_t i = 1; own_area.pid == sys_getpid() && i < 8; i += 2)
        sys_mprotect(own_area.start + own_start(OWN_SPARES) + i * page, page, apart ? PROT_READ : PROT_NONE);
    lock_drop(&own_area.lock);
}

/* Zeroed memory for good; NULL: there is none. The monitor's. */
static void *own_table(size_t bytes)
{
    void *p = own_map(OWN_TABLES, own_area.tables, bytes, PROT_READ | PROT_WRITE, anon_flags, -1, 0);
    own_area.tables += round_up(bytes, sys_page());
    return p == MAP_FAILED ? NULL : p;
}

static bool own_empty_see(const struct vma *v, void *unused)
{
    (void)unused;
    if (v->protection == PROT_NONE && !v->inode)
        sys_munmap((void *)v->from, v->to - v->from);
    return true;
}

/* Gives the place up, but for what is mapped there now: the program has limited its address space. */
static void own_close(void)
{
    lock_take(&own_area.lock);
    uintptr_t start = (uintptr_t)own_area.start;
    if (own_area.pid == sys_getpid())
        vmas_walk(start, start + own_start(OWN_PARTS), own_empty_see, NULL);
    own_area.pid = 0;
    lock_drop(&own_area.lock);
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
    atomic_size_t limit;    /* of the level that leaves so little, or the machine's memory; 0: not known */
    atomic_size_t swap;     /* bytes of swap that are free for us */
    atomic_uint_fast64_t read_ms; /* when; 0: never */
    atomic_bool busy;       /* somebody is reading */
    atomic_bool found;      /* cgroup is right */
    atomic_bool hidden;     /* there may be a lower limit than the files say */
    bool v2;
    bool meminfo;           /* /proc/meminfo has been read once */
    uint64_t groups;        /* a hash of what /proc/self/cgroup said when the folder was looked for */
    char group[384];        /* our memory cgroup, as /proc/self/cgroup names it; "": there is none */
    char cgroup[384];       /* its folder; "": not to be seen */
    size_t level;           /* the limit that cgroup_room has read last; busy */
    size_t top;             /* length of the mount point, with which the folder begins */
    char text[4096];        /* what is read; busy. A thread's stack may have 16 KiB in all */
} room = {.hidden = true};

static const uint64_t room_fresh_ms = 200;

/* The kernel's files that are read again and again stay open, on high descriptors: the monitor
 * must never take a low number, not for a moment, that the program counts on getting. A process without
 * it opens none to keep: programs look at what is open, and may have little room for it. */
static struct kept {
    char path[480];
    struct file file;
} kept[KEPT_MAX]; /* guarded by room.busy */

static struct mon {
    struct lock lock;
    atomic_bool running;   /* the thread exists, or is about to */
    atomic_int tid;        /* of the thread; 0: none */
    atomic_int alive;      /* threads of ours that /proc counts, or will in a moment no more */
    atomic_uint_fast64_t failed_ms; /* when it could not be made; 0: never */
    atomic_bool wanted;    /* the next malloc asks whether it is needed */
    atomic_bool only_ours; /* glibc counts several threads because of ours */
    atomic_bool others;    /* the program has made threads */
    bool unlisted;         /* its first thread is the child of a bare call: the kernel does not know its robust futexes */
    struct lock awake;     /* held while the thread is not asleep; a fork takes it to keep it where it is */
    atomic_uint wake;      /* futex: raised when there is work before the sleep is over */
} mon;
static __thread bool mon_self __attribute__((tls_model("initial-exec"))); /* the monitor's thread */
static __thread bool mon_starting __attribute__((tls_model("initial-exec"))); /* making a thread of ours */
static __thread bool libc_inside __attribute__((tls_model("initial-exec"))); /* a function of libc's works for
                                                              * us: what that allocates is nobody's data */

/* Requires room.busy. The text of such a file; 0: not there, or not open and not to be opened. */
static size_t read_kept(const char *path, char *text, size_t space, off_t from)
{
    struct kept *k = kept;
    while (k < kept + KEPT_MAX && k->path[0] && !text_same(k->path, path))
        k++;
    if (k == kept + KEPT_MAX || text_length(path) >= sizeof k->path)
        return mon_self ? 0 : read_text_from(path, text, space, from);
    if (!k->path[0] || !file_valid(&k->file)) {
        if (mon_self)
            return 0;
        if (!atomic_load(&mon.running) || !file_keep(&k->file, path, 0))
            return read_text_from(path, text, space, from);
        text_format(k->path, sizeof k->path, "%s", path);
    }
    long n = sys(SYS_pread64, k->file.fd, text, space - 1, from);
    text[n > 0 ? n : 0] = 0;
    return n > 0 ? (size_t)n : 0;
}

/* The next one to read it opens it anew. */
static void kept_drop(const char *path)
{
    if (atomic_exchange(&room.busy, true))
        return;
    for (struct kept *k = kept; k < kept + KEPT_MAX && k->path[0]; k++)
        if (text_same(k->path, path))
            file_drop(&k->file);
    atomic_store(&room.busy, false);
}

/* Closes those in a folder, and makes room for others. */
static void kept_forget_in(const char *path)
{
    struct kept *to = kept;
    for (struct kept *k = kept; k < kept + KEPT_MAX && k->path[0]; k++)
        if (text_begins(k->path, path))
            file_drop(&k->file);
        else
            *to++ = *k;
    for (; to < kept + KEPT_MAX; to++)
        to->path[0] = 0;
}

/* In a child: /proc/self was its parent's. */
static void kept_forget(void)
{
    kept_forget_in("");
    atomic_store(&room.busy, false);
    atomic_store(&beyond.busy, false);
    file_drop(&beyond.spare);
}

/* Has the process's first thread ended? Then most of /proc/self is empty, and so are those files of it that are open. */
static bool main_has_ended(void)
{
    char any;
    struct stat st;
    return sys(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", &any, 1) < 0 && errno == ENOENT && sys_stat("/proc/self/task", &st) == 0;
}

static bool file_exists(const char *folder_path, const char *name)
{
    char path[512];
    text_format(path, sizeof path, "%s/%s", folder_path, name);
    return sys_access(path, F_OK) == 0;
}

/* Calls `see` with each line of a file of the kernel's until it returns true. False: it can't be read. */
COLD static bool room_lines(const char *path, bool (*see)(char *line))
{
    int fd = kernel_open(path);
    size_t used = 0, space = sizeof room.text - 1;
    bool seen = false;
    long n = fd < 0 ? -1 : 1;
    while (n > 0 && !seen) {
        n = sys(SYS_read, fd, room.text + used, space - used);
        used += n > 0 ? (size_t)n : 0;
        room.text[used] = 0;
        char *line = room.text;
        for (char *end; !seen && (end = text_find(line, '\n')); line = end + 1) {
            *end = 0;
            seen = see(line);
        }
        used -= (size_t)(line - room.text);
        for (size_t i = 0; i < used; i++)
            room.text[i] = line[i];
        used = used == space ? 0 : used; /* longer than any that we understand */
    }
    if (fd >= 0)
        sys(SYS_close, fd);
    return n >= 0;
}

/* "4:memory:/PATH" of version 1, which has the controller if there is such a line; "0::/PATH" of version 2. */
COLD static bool room_see_group(char *line)
{
    char *names = text_find(line, ':'), *path = names ? text_find(names + 1, ':') : NULL;
    bool v1 = path && (names = text_search(names, "memory")) && names < path;
    if (v1 || (path && text_begins(line, "0::"))) {
        text_format(room.group, sizeof room.group, "%s", path + 1);
        room.v2 = !v1;
    }
    return v1;
}

/* Cuts the next word off a line; spaces in a path are written as \040. */
static char *next_word(char **line)
{
    char *word = *line;
    size_t n = 0;
    while (*word == ' ')
        word++;
    while (word[n] && word[n] != ' ')
        n++;
    char *to = word;
    *line = word + n + (word[n] != 0);
    for (char *from = word; from < word + n; to++) {
        bool octal = from[0] == '\\' && is_digit(from[1]) && is_digit(from[2]) &&
                     is_digit(from[3]);
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
    char *rest = text_search(line, " - ");
    if (!rest)
        return false;
    *rest = 0;
    rest += 3;
    for (int skipped = 0; skipped < 3; skipped++)
        next_word(&line);
    const char *root = next_word(&line), *point = next_word(&line), *type = next_word(&rest);
    next_word(&rest);
    if (!text_same(type, room.v2 ? "cgroup2" : "cgroup") || (!room.v2 && !text_contains(next_word(&rest), "memory")))
        return false;
    size_t n = text_same(root, "/") ? 0 : text_length(root);
    const char *below = room.group + n;
    bool inside = (!n || text_begins(room.group, root)) && (*below == '/' || !*below);
    char folder_path[sizeof room.cgroup];
    text_format(folder_path, sizeof folder_path, "%s%s", point, inside && !text_same(below, "/") ? below : "");
    inside = inside && file_exists(folder_path, "cgroup.procs");
    if (!inside && room.cgroup[0])
        return false;
    text_format(room.cgroup, sizeof room.cgroup, "%s", inside ? folder_path : point);
    room.top = text_length(point);
    /* The first level of version 2 has no such file; where the top has one, levels above it are out of sight. */
    room.hidden = !inside || (room.v2 && file_exists(point, "cgroup.events"));
    return inside;
}

/* Finds the folder of our memory cgroup, wherever that file system is mounted. Nothing of it is certain if
 * /proc or the mounts can't be read: no descriptor at the moment, perhaps, so the next one tries again. */
COLD static void room_find_cgroup(void)
{
    room.group[0] = 0;
    bool ended = main_has_ended();
    if (!room_lines(ended ? "/proc/thread-self/cgroup" : "/proc/self/cgroup", room_see_group))
        return;
    if (room.cgroup[0]) {
        room.cgroup[min_size(room.top, sizeof room.cgroup - 1)] = 0;
        kept_forget_in(room.cgroup);
        room.cgroup[0] = 0;
    }
    if (room.group[0]) {
        if (!room_lines(ended ? "/proc/thread-self/mountinfo" : "/proc/self/mountinfo", room_see_mount))
            return;
    }
    room.hidden &= room.group[0] != 0;
    atomic_store(&room.found, true);
}

static size_t cgroup_number(const char *path, const char *name, size_t missing)
{
    char file[512], text[64];
    text_format(file, sizeof file, "%s/%s", path, name);
    if (!read_kept(file, text, sizeof text, 0) || !is_digit(text[0]))
        return missing;
    return text_number(text, NULL);
}

/* What one level leaves: its limit less what is in use there and can't be dropped. In version 1 it knows its
 * parents' limits, too. SIZE_MAX: no limit. */
static size_t cgroup_room(const char *path)
{
    size_t limit = cgroup_number(path, room.v2 ? "memory.max" : "memory.limit_in_bytes", SIZE_MAX);
    if (room.v2)
        limit = min_size(limit, cgroup_number(path, "memory.high", SIZE_MAX));
    bool lowest = !room.v2 && text_same(path, room.cgroup);
    if (limit >= (size_t)1 << 60 && !lowest)
        return SIZE_MAX;
    char file[512];
    text_format(file, sizeof file, "%s/memory.stat", path);
    size_t n = read_kept(file, room.text, sizeof room.text, 0);
    limit = min_size(limit, n && lowest ? text_value(room.text, "hierarchical_memory_limit ", SIZE_MAX) : SIZE_MAX);
    room.level = limit;
    if (limit >= (size_t)1 << 60 || !n)
        return limit;
    size_t cache = text_value(room.text, room.v2 ? "file " : "total_cache ", 0);
    size_t shmem = text_value(room.text, room.v2 ? "shmem " : "total_shmem ", 0);
    size_t used = cgroup_number(path, room.v2 ? "memory.current" : "memory.usage_in_bytes", 0);
    cache = cache > shmem ? cache - shmem : 0;
    used = used > cache ? used - cache : 0;
    return limit > used ? limit - used : 0;
}

/* How much of the free swap one level lets us have. Version 1 counts memory and swap together. */
static size_t cgroup_swap(const char *path)
{
    size_t limit = cgroup_number(path, room.v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes", SIZE_MAX);
    if (limit >= (size_t)1 << 60)
        return SIZE_MAX;
    size_t used = cgroup_number(path, room.v2 ? "memory.swap.current" : "memory.memsw.usage_in_bytes", 0);
    if (!room.v2) {
        size_t memory = cgroup_number(path, "memory.limit_in_bytes", 0);
        size_t in_memory = cgroup_number(path, "memory.usage_in_bytes", 0);
        limit -= min_size(limit, memory);
        used -= min_size(used, in_memory);
    }
    return limit - min_size(limit, used);
}

/* Can the monitor read that level? What it can't, it leaves to the program's threads. */
static bool room_is_kept(const char *path)
{
    for (struct kept *k = kept; k < kept + KEPT_MAX && k->path[0]; k++)
        if (text_begins(k->path, path) && !text_find(k->path + text_length(path) + 1, '/'))
            return true;
    return false;
}

/* Where /proc shows processes only: what is free, and half of the rest, which may be the page cache's. */
static size_t room_by_sysinfo(void)
{
    struct sysinfo now;
    if (sys(SYS_sysinfo, &now) != 0)
        return SIZE_MAX;
    size_t free = now.freeram + now.bufferram;
    return (free + (now.totalram - min_size(now.totalram, free)) / 2) * max_size(now.mem_unit, 1);
}

static void mon_request(void);

/* Has the process been moved to another group? Then nothing is known of its limits until a thread of the program's, which
 * may open files, has looked for them. */
static void room_note_group(void)
{
    if (!read_kept("/proc/self/cgroup", room.text, sizeof room.text, 0))
        return;
    uint64_t groups = text_hash(room.text, hash_begin);
    if (groups == room.groups)
        return;
    room.groups = groups;
    room.hidden = true;
    atomic_store(&room.found, false);
    if (mon_self)
        mon_request();
}

static size_t room_read(void)
{
    room_note_group();
    if (!atomic_load(&room.found) && !mon_self)
        room_find_cgroup();
    size_t least = 0, limit = 0, swap = 0;
    if (read_kept("/proc/meminfo", room.text, sizeof room.text, 0)) {
        least = text_value(room.text, "MemAvailable:", SIZE_MAX >> 10) << 10;
        limit = text_value(room.text, "MemTotal:", 0) << 10;
        swap = text_value(room.text, "SwapFree:", 0) << 10;
        room.meminfo = true;
    } else if (room.meminfo) {
        atomic_store(&room.read_ms, 0); /* as before, until a thread of the program can open it */
        return atomic_load(&room.bytes);
    } else {
        least = room_by_sysinfo();
    }
    char path[sizeof room.cgroup];
    text_format(path, sizeof path, "%s", room.cgroup);
    while (path[0] && text_length(path) >= room.top && !(mon_self && !room_is_kept(path))) {
        size_t left = cgroup_room(path); /* every level up to the root may have one */
        limit = left < least ? room.level : limit;
        least = min_size(least, left);
        swap = swap ? min_size(swap, cgroup_swap(path)) : 0;
        *text_find_last(path, '/') = 0;
    }
    atomic_store(&room.limit, limit);
    atomic_store(&room.swap, swap);
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

/* Is it known how much that is? Where levels above the top one are out of sight, a limit of one in sight is the container's. */
static bool room_is_known(void)
{
    struct sysinfo now;
    if (!atomic_load(&room.hidden))
        return true;
    return sys(SYS_sysinfo, &now) == 0 && atomic_load(&room.limit) < now.totalram * max_size(now.mem_unit, 1);
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
enum { FROZEN_FILES = 4 };
enum { BIG_PARTS = 8 }; /* of a large bigmaac, each with a paging policy of its own */
enum { FRESH_LOGS = 48 }; /* no space is larger than 2^47 bytes */

/* What a bigmaac is mapped from.
 *
 *     SHARED -- fork, or an opting out that fails --> FROZEN -- realloc --> PATCHED
 *     SHARED <------- all has come home ------------- FROZEN, PATCHED
 *     any    -- opts out --> NONE, until it is freed */
enum backing {
    BACKED_SHARED,  /* `file`, MAP_SHARED */
    BACKED_FROZEN,  /* earlier files, MAP_PRIVATE; but its start, that has come home in order, from `file` */
    BACKED_PATCHED, /* the same, but what has come home may lie anywhere */
    BACKED_NONE,    /* private anonymous memory, at the same address */
};

struct big {
    size_t size;         /* bytes the program asked for */
    size_t mapped;       /* bytes of the file, all mapped; a multiple of the page size */
    size_t filled;       /* of a WARM one: what its owners had of it; the rest has no pages, as a rule */
    struct file file;    /* what is mapped MAP_SHARED; fd -1: nothing is */
    ino_t frozen_in[FROZEN_FILES]; /* the last files that it was frozen in, or that were lost; the last one first */
    size_t home_bytes;   /* of a frozen one, in `file` since the last fork */
    size_t disk;         /* bytes of the files that anything of it is mapped from */
    uint32_t extent;     /* in big.space */
    uint32_t next;       /* chain of unused records */
    uint32_t warm_older; /* records freed before and after this one, while WARM; 0: none */
    uint32_t warm_newer;
    uint64_t freed_ms;   /* when it became WARM */
    bool in_use;         /* BUSY, LIVE or WARM: for those who walk the records */
    uint8_t backing;     /* enum backing; of a BUSY one by whoever made it so, else under big.lock */
    bool lost;           /* some of it is shared from a file whose descriptor the program has closed */
    bool mixed;          /* parts of it have become anonymous memory, with what the program set on them */
    bool stray;          /* `file` is still mapped where the block was before it moved */
    uint8_t advice;      /* enum bigmaac_advice of the program */
    uint8_t policy[BIG_PARTS];  /* enum policy of each part (PAGING); big.lock */
    uint8_t piece;              /* log2 of the pages of a block, where WATCHED; big.lock */
    uint16_t policy_changes;    /* how often the monitor changed its mind */
    bool by_page;               /* single pages of what it walks through in strides have been found to stay; the monitor's */
    bool young;                 /* large, and not known yet how it is filled (FRESH); big.lock */
    uint32_t generation;        /* of the record: the monitor's copies may be stale */
};

static struct {
    struct lock lock;
    struct space space;
    struct pool records;      /* struct big; number 0 is nobody */
    uint32_t record_count;    /* ever used */
    uint32_t record_unused;   /* chain */
    uint32_t records_in_use;
    uint32_t warm_oldest, warm_newest;
    uint32_t waiting;         /* threads that sleep in big_wait */
    atomic_uint turn;         /* futex: counts the ends of BUSY that somebody waited for */
    size_t live_bytes;        /* mapped bytes of LIVE and BUSY records */
    size_t warm_bytes;        /* and of WARM ones */
    uint32_t generation;      /* of records, counted on */
    struct fresh {            /* of those of a size, by the log2 of their bytes */
        uint32_t record, generation; /* the one that is looked at when there are twice as many */
        uint32_t made;
        atomic_bool alone;    /* in new ones a fault brings in that page alone */
    } fresh[FRESH_LOGS];
    atomic_bool young;        /* one that is young was made, and the monitor has not seen it */
    uint32_t map_limit;       /* records that vm.max_map_count leaves room for; 0: not known yet */
    uint32_t map_checked;     /* records in use when that was found */
    uint64_t map_checked_ms;  /* and when */
} big = {.space.quick_from = QUICK_FROM, };

static inline bool big_is_frozen(const struct big *r) { return r->backing == BACKED_FROZEN || r->backing == BACKED_PATCHED; }

static inline struct big *big_at(uint32_t i)
{
    return (struct big *)(void *)big.records.start + i;
}

static inline uint32_t big_index(const struct big *r) { return (uint32_t)(r - big_at(0)); }
static inline struct extent *big_extent(const struct big *r) { return extent_at(&big.space, r->extent); }
static inline size_t big_offset(const struct big *r) { return extent_offset(&big.space, big_extent(r)); }
/* What the program may use of it: no more than it has asked for, though a recycled block has more. */
static inline size_t big_bytes(const struct big *r) { return round_up(r->size, page_size); }
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
    int fd = kernel_open("/proc/thread-self/maps");
    for (long n; fd >= 0 && (n = sys(SYS_read, fd, text, sizeof text)) > 0;)
        for (long i = 0; i < n; i++)
            lines += text[i] == '\n';
    if (fd >= 0)
        sys(SYS_close, fd);
    return lines;
}

/* How many a process may have. */
COLD static size_t mappings_most(void)
{
    char text[32];
    return read_text("/proc/sys/vm/max_map_count", text, sizeof text) ? text_number(text, NULL) : 65530;
}

/* Of the mappings that the program leaves, a quarter may be ours; a bigmaac is counted as two,
 * since there may be a gap beside it. */
COLD static void big_find_map_limit(void)
{
    size_t most = mappings_most();
    size_t used = guess_32(&big.records_in_use) ? mappings_count() : 0;
    lock_take(&big.lock);
    size_t ours = 2 * (size_t)big.records_in_use, others = used > ours ? used - ours : 0;
    big.map_limit = (uint32_t)max_size(min_size((most > others ? most - others : 0) / 8, 1 << 20), 1);
    big.map_checked = big.records_in_use;
    big.map_checked_ms = now_ms();
    lock_drop(&big.lock);
}

/* Looks at the limit again after every few hundred more bigmaacs, and while it is reached. */
GUESSES static void big_check_map_limit(void)
{
    bool reached = big.records_in_use >= big.map_limit && now_ms() - big.map_checked_ms > 1000;
    if (!big.map_limit || reached || big.records_in_use >= big.map_checked + 512)
        big_find_map_limit();
}

/* Requires big.lock. An extent is BUSY no more. */
static void big_wake(void)
{
    if (likely(!big.waiting))
        return;
    atomic_fetch_add(&big.turn, 1);
    futex_wake(&big.turn, INT32_MAX);
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
        *big_at(i) = (struct big){.file.fd = -1, .in_use = true, .generation = ++big.generation};
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
    lock_take(&big.lock);
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
    lock_drop(&big.lock);
    return r;
}

/* Undoes big_reserve. The range must be unmapped, the file closed. */
static void big_unreserve(struct big *r)
{
    lock_take(&big.lock);
    big.live_bytes -= r->mapped;
    extent_free(&big.space, r->extent, KIND_CLEAN);
    big_record_forget(r);
    big_wake();
    lock_drop(&big.lock);
}

static void big_close_files(struct big *r)
{
    folder_count(0, r->disk);
    r->disk = 0;
    file_close(&r->file);
    r->backing = BACKED_SHARED;
}

/* The kernel is out of mappings: the range stays mapped until it is used again. Memory and disk
 * blocks go back all the same, where no other process has a share in them. */
COLD static void big_empty(struct big *r)
{
    mem_advise(big_offset(r), r->mapped, MADV_DONTNEED);
    if (!file_valid(&r->file) && !r->mixed)
        mem_advise(big_offset(r), r->mapped, MADV_REMOVE); /* needs no descriptor */
    else if (file_valid(&r->file) && sys_ftruncate(r->file.fd, 0) != 0)
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

static int pages_mapped(size_t offset, unsigned pages); /* HOME */
static void mon_wake(void);                             /* STOP */

static const size_t large_bytes = (size_t)64 << 20; /* a block has a policy of its own from here on */

/* The policy before anything is known. Large pages fill faster where readahead is short. */
static enum policy policy_initial(size_t bytes)
{
    static const enum policy fixed[] = {POLICY_NORMAL, POLICY_HUGE, POLICY_NORMAL, POLICY_RANDOM};
    if (cfg.paging != PAGING_ADAPTIVE)
        return fixed[cfg.paging];
    return bytes >= large_bytes ? POLICY_HUGE : POLICY_NORMAL;
}

/* In memory that was never touched the kernel reads ahead as well, and clears all that: up to 8 MiB for one word. Who uses
 * little of what he asks for (a stack in each block, a few small blocks of many sizes) pays for all of it; but what is used
 * whole is filled in half the time so. What has been used of the range tells which of both the program does: true, if a
 * fault in new memory is to bring in that page alone, as it was there if `alone`. */
static bool fresh_alone(bool alone, size_t offset, size_t bytes)
{
    enum { LOOKS = 8, PAGES = 8, LEAST = 8 }; /* of the kernel's pages */
    unsigned resident = 0, used = 0;
    for (size_t i = 0, pages = bytes / sys_page(); i < LOOKS && pages >= LOOKS * PAGES; i++) {
        unsigned char in[PAGES];
        size_t at = offset + (i * pages + i * 3 % LOOKS * (pages / LOOKS - PAGES)) / LOOKS * sys_page(); /* never in equal steps */
        int mapped = pages_mapped(at, PAGES);
        if (mapped < 0 || sys_mincore(mem_at(at), PAGES * sys_page(), in) != 0)
            return false;
        used += (unsigned)mapped;
        for (unsigned page = 0; page < PAGES; page++)
            resident += in[page] & 1;
    }
    return alone ? used < LOOKS * PAGES / 2 : resident >= LEAST && used < resident / 4;
}

/* How are new blocks of that size used? With the second, fourth, eighth ... of its kind one that was made half as many ago is
 * looked at; but what a large page has brought can't be told from what was used, so the monitor finds that out (FRESH). True:
 * a fault is to bring in its page alone. */
static bool big_fresh(struct big *r)
{
    struct fresh *k = &big.fresh[log2_floor(r->mapped)];
    const struct big *earlier = NULL;
    size_t offset = 0, bytes = 0;
    lock_take(&big.lock);
    uint32_t made = ++k->made;
    bool look = !(made & (made - 1)), large = r->mapped >= large_bytes;
    bool alone = atomic_load(&k->alone);
    if (look && k->record && (!large || alone))
        earlier = big_at(k->record);
    if (earlier && earlier->generation == k->generation && big_extent(earlier)->state == EXTENT_LIVE) {
        offset = big_offset(earlier);
        bytes = earlier->mapped;
    }
    r->young = look && large && !alone;
    if (look && !r->young) {
        k->record = big_index(r);
        k->generation = r->generation;
    }
    lock_drop(&big.lock);
    if (bytes)
        atomic_store(&k->alone, alone = fresh_alone(alone, offset, bytes));
    return alone;
}

/* What is done with the memory of a new block until PAGING knows more of it. */
static void big_begin(struct big *r)
{
    bool alone = cfg.paging == PAGING_ADAPTIVE && big_fresh(r), large = r->mapped >= large_bytes;
    memset(r->policy, alone && large ? POLICY_RANDOM : policy_initial(r->mapped), sizeof r->policy);
    big_apply_policy(r, false);
    if (alone && !large) /* these have one policy together */
        mem_advise(big_offset(r), r->mapped, MADV_RANDOM);
    if (r->young) {
        atomic_store(&big.young, true);
        mon_wake();
    }
}

static const size_t files_for_fries = 2; /* where large requests go when descriptors run out */
static atomic_bool big_lack_files; /* some block that a fork has frozen has none */

/* Those that frozen blocks will need, one each, to come home (HOME). */
static size_t files_for_frozen(void)
{
    size_t files = 0;
    if (likely(!atomic_load(&big_lack_files)))
        return 0;
    lock_take(&big.lock);
    for (uint32_t i = 1; i <= big.record_count; i++)
        files += big_at(i)->in_use && big_is_frozen(big_at(i)) && big_at(i)->file.fd < 0;
    atomic_store(&big_lack_files, files);
    lock_drop(&big.lock);
    return files;
}

/* File and mapping for a fresh BUSY record. */
static enum reason big_back(struct big *r)
{
    enum reason why = file_create(&r->file, files_for_fries + files_for_frozen());
    if (why)
        return why;
    why = file_extend(&r->file, 0, r->mapped);
    if (!why)
        why = file_map(&r->file, big_offset(r), r->mapped, 0);
    if (why) {
        file_close(&r->file);
    } else {
        r->disk = r->mapped;
        folder_count(r->mapped, 0);
    }
    return why;
}

/* Publishes a BUSY record as the program's block of `size` bytes. */
static void *big_publish(struct big *r, size_t size)
{
    void *p = mem_at(big_offset(r));
    r->size = size;
    count_one(&count.bigmaacs);
    count_peak(&count.bigmaac_bytes, &count.bigmaac_peak, size, 0);
    lock_take(&big.lock);
    big_extent(r)->state = EXTENT_LIVE;
    big_wake();
    lock_drop(&big.lock);
    return p;
}

/* Requires big.lock. Another thread works on the extent: sleeps until some extent is BUSY no more. The caller
 * looks again. */
static void big_wait(void)
{
    unsigned turn = atomic_load(&big.turn);
    big.waiting++;
    lock_drop(&big.lock);
    futex_wait(&big.turn, turn, NULL);
    lock_take(&big.lock);
    big.waiting--;
}

/* Takes the live bigmaac that starts at p for one operation; NULL: none does. Several threads may ask
 * for its size, or zero parts of it, at the same time. */
static struct big *big_claim(const void *p)
{
    struct big *r = NULL;
    uint32_t i;
    lock_take(&big.lock);
    while ((i = extent_lookup(&big.space, mem_offset(p))) && extent_at(&big.space, i)->state == EXTENT_BUSY)
        big_wait();
    if (i && extent_at(&big.space, i)->state == EXTENT_LIVE) {
        extent_at(&big.space, i)->state = EXTENT_BUSY;
        r = big_at(extent_at(&big.space, i)->aux);
    }
    lock_drop(&big.lock);
    return r;
}

/* Ends an operation that big_claim began. */
static void big_unclaim(struct big *r)
{
    lock_take(&big.lock);
    big_extent(r)->state = EXTENT_LIVE;
    big_wake();
    lock_drop(&big.lock);
}

/* --- warm bigmaacs: freed, but mapped and resident, for the next request of that size -------- */

static const uint64_t warm_keep_ms = 1000;  /* reuse is soon or never; writeback starts later */
static const size_t warm_clear_max = (size_t)256 << 20; /* above, calloc gets a fresh file */

/* Requires big.lock. */
static void warm_unlink(struct big *r)
{
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

/* Takes back what an owner has set on the memory: protections and locks. False: there are holes, or mappings that are
 * not ours or not like the rest, and it can't be the next owner's. */
static bool mem_reset(size_t offset, size_t bytes)
{
    char *at = mem_at(offset);
    if (offset + bytes >= mem.size || atomic_load(&mem_has_keys)) /* it must not grow, and does not where the next page is ours */
        return false;
    return sys_mprotect(at, bytes, PROT_READ | PROT_WRITE) == 0 && sys_munlock(at, bytes) == 0 &&
           sys_mremap(at, bytes, bytes + sys_page(), 0, NULL) == MAP_FAILED && errno != EFAULT; /* not from several */
}

/* Keeps a freed BUSY bigmaac warm. False: the caller destroys it. */
static bool warm_put(struct big *r)
{
    if (cfg.recycle == 0 || r->backing != BACKED_SHARED || r->lost || r->advice || !warm_allowed(r->mapped) ||
        !mem_reset(big_offset(r), r->mapped))
        return false;
    r->freed_ms = now_ms();
    r->filled = min_size(max_size(r->filled, big_bytes(r)), r->mapped);
    lock_take(&big.lock);
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
    big_wake();
    lock_drop(&big.lock);
    return true;
}

/* How far a WARM bigmaac is from the request, in bytes: what it lacks, or has too much of. A sixth may be waste. */
static size_t warm_distance(const struct big *r, size_t bytes)
{
    if (r->filled < bytes)
        return bytes - r->filled;
    return r->filled - bytes <= bytes / 6 ? 0 : r->filled - bytes;
}

/* A warm bigmaac for the request, BUSY: the newest that fits, else that of the nearest size, which warm_fit makes fit:
 * at least half of it was filled, and no more than four times of it are on the disk. NULL: there is none. */
static struct big *warm_take(size_t bytes, size_t align)
{
    enum { LOOKS = 256 }; /* more would take longer than a new file does */
    struct big *best = NULL;
    size_t nearest = SIZE_MAX;
    lock_take(&big.lock);
    uint32_t i = big.warm_newest;
    for (int looks = 0; i && looks < LOOKS && nearest; looks++, i = big_at(i)->warm_older) {
        struct big *r = big_at(i);
        size_t distance = warm_distance(r, bytes);
        bool moves = r->mapped < bytes && align > page_size; /* perhaps, to where it is not aligned */
        if (distance >= nearest || distance > min_size(bytes, r->filled) || r->mapped / 4 > bytes ||
            (big_offset(r) & (align - 1)) || moves)
            continue;
        best = r;
        nearest = distance;
    }
    if (best)
        warm_unlink(best);
    lock_drop(&big.lock);
    return best;
}

/* Drops the warm bigmaacs freed before `before` (now_ms). Returns whether others are left. */
static bool warm_expire(uint64_t before)
{
    for (;;) {
        struct big *r = NULL;
        lock_take(&big.lock);
        bool any = big.warm_oldest != 0;
        if (any && big_at(big.warm_oldest)->freed_ms < before) {
            r = big_at(big.warm_oldest);
            warm_unlink(r);
        }
        lock_drop(&big.lock);
        if (!r)
            return any;
        big_destroy(r);
    }
}

/* --- the operations ------------------------------------------------------------------------ */

static bool fry_give_back(void), map_give_back(void);

/* What is dead gives back what is short: of blocks on disk fries and mapped memory have some, too. False: nothing was dead. */
static bool dead_give_back(enum reason short_of)
{
    bool warm = big.warm_bytes != 0;
    warm_expire(UINT64_MAX);
    return (short_of == REASON_DISK_FULL && fry_give_back() | map_give_back()) || warm;
}

static bool disk_give_back(void) { return dead_give_back(REASON_DISK_FULL); }

/* Is less than half of what was filled in memory? A few samples tell. */
static bool big_is_sparse(const struct big *r)
{
    enum { SAMPLES = 64 };
    unsigned resident = 0;
    for (size_t i = 0; i < SAMPLES; i++) {
        unsigned char in = 0;
        size_t at = round_down(r->filled / SAMPLES * i, page_size);
        resident += mem_resident(big_offset(r) + at, page_size, &in) && in & 1;
    }
    return resident < SAMPLES / 2;
}

/* Zeroes what calloc gets from the warm list: by hand what is in memory, for the program will want it
 * there; else in the file, so that pages which nobody has touched are not brought in for it. False: a
 * fresh file is better. */
static bool big_clear(struct big *r, size_t bytes)
{
    size_t by_hand = min_size(bytes, r->filled);
    if (by_hand > warm_clear_max || big_is_sparse(r))
        by_hand = 0;
    if (by_hand < bytes && !(file_valid(&r->file) && file_zero(&r->file, by_hand, r->mapped - by_hand)))
        return false;
    memset(mem_at(big_offset(r)), 0, by_hand);
    return true;
}

static enum reason big_grow(struct big *r, size_t bytes);

/* Makes a bigmaac from the warm list the next owner's. Far too large a one gives the pages of its end back, but not
 * their blocks: freeing those may wait for the disk, and the next owner may want them. False: it can't be done. */
static bool warm_fit(struct big *r, size_t bytes, bool zero)
{
    if (r->filled > bytes && warm_distance(r, bytes)) {
        if (!file_valid(&r->file) || !file_zero(&r->file, bytes, r->mapped - bytes))
            return false;
        r->filled = bytes;
    }
    if (zero && !big_clear(r, min_size(bytes, r->mapped)))
        return false;
    if (r->filled < bytes && r->policy[0] == POLICY_NORMAL && cfg.paging == PAGING_ADAPTIVE) {
        memset(r->policy, POLICY_HUGE, sizeof r->policy); /* or each fault brings the device's readahead behind its end in */
        big_apply_policy(r, true);
    }
    return r->mapped >= bytes || (file_valid(&r->file) && big_grow(r, bytes) == REASON_NONE);
}

/* A BUSY bigmaac with a file of its own. NULL: *why says what ran out. */
static struct big *big_new(size_t bytes, size_t align, enum reason *why)
{
    struct big *r = big_reserve(bytes, align, why);
    if (!r || !(*why = big_back(r)))
        return r;
    big_unreserve(r);
    return NULL;
}

/* Allocates a bigmaac. `align` is a power of 2 up to align_max. Returns NULL and *why. */
static void *big_alloc(size_t size, size_t align, bool zero, enum reason *why)
{
    size_t bytes = round_up(size, page_size);
    struct big *r = warm_take(bytes, align);
    if (r && warm_fit(r, bytes, zero)) {
        count_one(&count.recycled);
        return big_publish(r, size);
    }
    if (r)
        big_destroy(r);
    r = big_new(bytes, align, why);
    if (!r && dead_give_back(*why))
        r = big_new(bytes, align, why);
    if (!r)
        return NULL;
    big_begin(r);
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
    if (r->mixed || !warm_put(r))
        big_destroy(r);
    return true;
}

/* Is that mapping of a file that fries or parts of a block were frozen in? Of those that are shared, from a file whose
 * descriptor is lost, the last few are known. */
static bool was_frozen(const ino_t *inodes, const struct vma *v)
{
    if (!v->shared)
        return v->unnamed && v->inode && v->inode != UINT64_MAX;
    for (int i = 0; i < FROZEN_FILES; i++)
        if (v->inode && inodes[i] == v->inode)
            return true;
    return false;
}

/* A file has got that number anew: nothing is mapped any more from the one that had it. */
static void forget_frozen(ino_t *inodes, ino_t inode)
{
    for (int i = 0; i < FROZEN_FILES; i++)
        inodes[i] = inodes[i] == inode ? 0 : inodes[i];
}

static void note_frozen(ino_t *inodes, ino_t inode)
{
    for (int i = FROZEN_FILES - 1; i > 0; i--)
        inodes[i] = inodes[i - 1];
    inodes[0] = inode;
}

/* Requires big.lock. The live bigmaac there; NULL: none is. */
static struct big *big_containing(size_t offset)
{
    uint32_t i = offset >= big.space.start ? extent_containing(&big.space, offset) : 0;
    return i && extent_at(&big.space, i)->state == EXTENT_LIVE ? big_at(extent_at(&big.space, i)->aux) : NULL;
}

static bool vma_is_ours(const struct big *r, const struct vma *v); /* FRY */

struct refile {
    struct big *r;
    struct file to;
    size_t moved, left; /* bytes of ours that were, and could not be */
};

static bool refile_see(const struct vma *v, void *context)
{
    struct refile *m = context;
    size_t from = v->from - mem.base, bytes = v->to - v->from;
    if (vma_is_ours(m->r, v))
        *(piece_move(&m->to, from, bytes, from - big_offset(m->r), v) ? &m->moved : &m->left) += bytes;
    return true;
}

/* A new file with the content of the block, mapped over it as the old ones are: for blocks whose descriptor the program
 * has closed. Nobody may write to it meanwhile. The kernel keeps the old file until nobody maps it. */
static enum reason big_refile(struct big *r)
{
    struct refile m = {.r = r};
    enum reason why = file_create(&m.to, files_for_fries);
    if (why)
        return why;
    forget_frozen(r->frozen_in, m.to.ino);
    uintptr_t from = (uintptr_t)mem_at(big_offset(r));
    if (!vmas_walk(from, from + r->mapped, refile_see, &m)) {
        const struct vma v = {.from = from, .to = from + r->mapped, .inode = r->file.ino, .unnamed = true, .protection = PROT_READ | PROT_WRITE};
        refile_see(&v, &m);
    }
    if (r->file.fd >= 0)
        note_frozen(r->frozen_in, r->file.ino);
    file_close(&r->file);
    r->file = m.to;
    r->backing = m.moved == r->mapped ? BACKED_SHARED : m.moved ? BACKED_PATCHED : BACKED_FROZEN;
    r->lost = m.left != 0;
    r->home_bytes = m.moved;
    folder_count(r->mapped, big_is_frozen(r) ? 0 : r->disk);
    r->disk = r->mapped + (big_is_frozen(r) ? r->disk : 0);
    big_apply_policy(r, false);
    return m.left ? REASON_DISK_FULL : REASON_NONE;
}

/* A file for what is new in the block, or comes home: in the place of one that it had before the fork. */
static enum reason big_ready_file(struct big *r)
{
    if (r->file.fd >= 0 && file_valid(&r->file))
        return REASON_NONE;
    if (!big_is_frozen(r))
        return big_refile(r);
    if (r->file.fd >= 0) {
        note_frozen(r->frozen_in, r->file.ino);
        file_close(&r->file);
        r->lost = true;
    }
    enum reason why = file_create(&r->file, 0);
    if (!why)
        forget_frozen(r->frozen_in, r->file.ino);
    return why;
}

struct moving {
    intptr_t by;
    uintptr_t done; /* what lies below has moved */
};

/* Moves one mapping, with all that is set on it. The place where it was stays ours: without MREMAP_DONTUNMAP, which older
 * kernels know for anonymous memory alone, it is free for a moment. */
static bool moving_see(const struct vma *v, void *context)
{
    struct moving *m = context;
    size_t bytes = v->to - v->from;
    void *from = (void *)v->from, *to = (void *)(v->from + (uintptr_t)m->by);
    int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    if (sys_mremap(from, bytes, bytes, flags | MREMAP_DONTUNMAP, to) == MAP_FAILED &&
        sys_mremap(from, bytes, bytes, flags, to) == MAP_FAILED)
        return false;
    m->done = v->to;
    return true;
}

/* `plain`: there is but one mapping. False: all is where it was. */
static bool mappings_move(size_t from, size_t bytes, size_t to, bool plain)
{
    struct moving m = {.by = (intptr_t)(to - from), .done = (uintptr_t)mem_at(from)};
    const struct vma whole = {.from = (uintptr_t)mem_at(from), .to = (uintptr_t)mem_at(from) + bytes};
    if (plain && moving_see(&whole, &m))
        return true;
    if (!plain)
        vmas_walk(whole.from, whole.to, moving_see, &m);
    if (m.done == whole.to)
        return true;
    size_t done = m.done - whole.from; /* that comes back */
    struct moving back = {.by = -m.by};
    vmas_walk((uintptr_t)mem_at(to), (uintptr_t)mem_at(to) + done, moving_see, &back);
    return false;
}

/* Moves the pages to a roomier extent and maps the file's new tail behind them, the tail first:
 * after a failure everything is where it was. Nothing is copied. */
static enum reason big_move(struct big *r, size_t bytes)
{
    uint32_t old = r->extent, roomy = 0;
    size_t from = big_offset(r);
    size_t spans[] = {big_span(bytes + bytes / 2), big_span(bytes)};
    lock_take(&big.lock);
    for (int i = 0; i < 2 && !roomy && to_pages(spans[i]) < big.space.pages; i++)
        roomy = extent_alloc(&big.space, KIND_CLEAN, (uint32_t)to_pages(spans[i]),
                             (uint32_t)to_pages(spans[i] < huge_size ? page_size : huge_size));
    if (roomy)
        extent_at(&big.space, roomy)->aux = big_index(r);
    lock_drop(&big.lock);
    if (!roomy)
        return REASON_ADDRESS_SPACE;
    size_t to = extent_offset(&big.space, extent_at(&big.space, roomy));
    enum reason why = file_map(&r->file, to + r->mapped, bytes - r->mapped, r->mapped);
    mem_set_policy(from, r->mapped, POLICY_NORMAL, 0); /* makes it one mapping: older kernels move no two at once */
    if (!why && !mappings_move(from, r->mapped, to, !big_is_frozen(r) && !r->mixed && !atomic_load(&vma_set)) &&
        !mappings_move(from, r->mapped, to, false)) /* something was set on it behind our back */
        why = REASON_MAPPINGS;
    if (why)
        mem_unmap(to, bytes);
    else if (!mem_unmap(from, r->mapped))
        r->stray = true;
    lock_take(&big.lock);
    r->extent = why ? old : roomy;
    extent_free(&big.space, why ? roomy : old, KIND_CLEAN);
    big_wake();
    lock_drop(&big.lock);
    if (!why)
        count_one(&count.moved);
    return why;
}

/* Address space for `bytes` of file, and the file's tail mapped there; in place or elsewhere. */
static enum reason big_map_tail(struct big *r, size_t bytes)
{
    bool fits = bytes <= big_capacity(r);
    if (!fits && (big_offset(r) & (huge_size - 1)) == 0 && to_pages(big_span(bytes)) < big.space.pages) {
        lock_take(&big.lock);
        fits = extent_grow(&big.space, r->extent, (uint32_t)to_pages(big_span(bytes)));
        lock_drop(&big.lock);
    }
    if (!fits)
        return big_move(r, bytes);
    return file_map(&r->file, big_offset(r) + r->mapped, bytes - r->mapped, r->mapped);
}

/* Gives back what the file has from there on. That of a frozen block may end before it: it must not grow by this. */
static void big_cut_file(const struct big *r, size_t from, size_t to)
{
    struct stat st;
    if (!file_valid(&r->file))
        return;
    bool ends_before = sys_fstat(r->file.fd, &st) != 0 || (size_t)st.st_size < from;
    if (ends_before ? !file_punch(&r->file, from, to - from) : sys_ftruncate(r->file.fd, (off_t)from) != 0)
        file_failed("giving disk space back", errno);
}

static enum reason big_grow(struct big *r, size_t bytes)
{
    if (to_pages(big_span(bytes)) >= big.space.pages)
        return REASON_ADDRESS_SPACE; /* no file will ever be as large */
    enum reason why = big_ready_file(r);
    if (why)
        return why;
    size_t more = bytes - r->mapped;
    why = file_extend(&r->file, r->mapped, more);
    if (why == REASON_DISK_FULL && disk_give_back())
        why = file_extend(&r->file, r->mapped, more);
    if (!why && (why = big_map_tail(r, bytes)) && dead_give_back(why))
        why = big_map_tail(r, bytes);
    if (why) {
        big_cut_file(r, r->mapped, bytes);
        return why;
    }
    folder_count(more, 0);
    r->disk += more;
    lock_take(&big.lock);
    if (big_is_frozen(r)) {
        r->home_bytes += more;
        r->backing = BACKED_PATCHED;
    }
    if (big_part_bytes(bytes) != big_part_bytes(r->mapped)) /* parts have moved: begin anew */
        memset(r->policy, r->policy[0], sizeof r->policy);
    r->mapped = bytes;
    big.live_bytes += more;
    lock_drop(&big.lock);
    big_apply_policy(r, true);
    if (r->advice == BIGMAAC_KEEP)
        sys_mlock(mem_at(big_offset(r)), r->mapped); /* as far as RLIMIT_MEMLOCK lets us */
    count_one(&count.grown);
    return REASON_NONE;
}

struct homes {
    const struct big *r;
    size_t bytes; /* that have come home */
};

static bool homes_see(const struct vma *v, void *context)
{
    struct homes *h = context;
    h->bytes += v->shared && v->inode == h->r->file.ino ? v->to - v->from : 0;
    return true;
}

/* Gives the tail back: blocks, pages and address space. */
static void big_shrink(struct big *r, size_t bytes)
{
    size_t tail = r->mapped - bytes, at = big_offset(r) + bytes;
    bool valid = file_valid(&r->file);
    if (!big_is_frozen(r) && !r->mixed && !valid)
        mem_advise(at, tail, MADV_REMOVE); /* needs no descriptor */
    if (!mem_unmap(at, tail))
        return; /* out of mappings: the block just stays larger */
    if (valid)
        big_cut_file(r, bytes, r->mapped);
    folder_count(0, min_size(tail, r->disk));
    struct homes home_now = {.r = r};
    if (big_is_frozen(r))
        vmas_walk((uintptr_t)mem_at(big_offset(r)), (uintptr_t)mem_at(at), homes_see, &home_now);
    lock_take(&big.lock);
    r->disk -= min_size(tail, r->disk);
    r->home_bytes = home_now.bytes;
    if (big_is_frozen(r))
        r->backing = BACKED_PATCHED;
    r->mapped = bytes;
    big.live_bytes -= tail;
    extent_trim(&big.space, r->extent, (uint32_t)to_pages(big_span(bytes)), KIND_CLEAN);
    lock_drop(&big.lock);
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
        if (r->backing == BACKED_SHARED && r->disk != r->mapped)
            return "a bigmaac's disk space is miscounted";
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
 *
 * What pairs, where loads need an order: remote bits are set with release, and taken with acquire: the next owner of a
 * block sees what the last one wrote, and a counted free has its bit. A push on `visitors` and taking them: so does
 * visitor_next. Who pushes looks at `idle` afterwards, and who sets `idle` takes the visitors afterwards: all four are
 * sequentially consistent, so one of both sees the other's, and no free waits for ever. `owner` and `listed` are written
 * last, with release, and read with acquire.
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
    atomic_int tid;                   /* of the thread that has it */
};

static struct class_info {
    uint32_t size;         /* bytes of a block */
    uint32_t pages;        /* of a slab */
    uint32_t blocks;       /* in a slab */
    uint32_t units;        /* of its descriptor */
    struct slab *unused;   /* descriptors to use again; fry.lock */
} classes[CLASS_COUNT];    /* all but `unused` are fixed once fry_open returns */

static struct {
    struct lock lock;
    char *base;                /* where the space begins; NULL before that */
    struct pool meta;          /* descriptors of slabs and heaps, META_UNIT bytes each */
    struct space space;
    uint32_t meta_units;       /* used */
    struct file file;          /* what new blocks are made in; fd -1: none yet */
    ino_t frozen_in[FROZEN_FILES]; /* files that a fork has frozen fries in, or that the program has closed; the last one first */
    bool lost;                     /* fries are mapped from a file that the program has closed; lock */
    size_t file_bytes;         /* its size */
    size_t backed_bytes;       /* of it, with blocks: for the statistics */
    uint32_t dirty_pages;      /* in free extents of KIND_DIRTY */
    uint64_t purged_ms;        /* when the last purge ran */
    uint64_t merged_ms;        /* when fry_merge last ran */
    uint64_t full_ms;          /* when the disk was found full (fry_note_full); 0: never */
    size_t full_bytes;         /* what all our files held then */
    uint32_t full_pages;       /* what was asked for then */
    uint8_t policy[BIG_PARTS]; /* enum policy of each part of the file (PAGING) */
    uint8_t piece;             /* log2 of the pages of a block, where WATCHED; the monitor's */
    bool whole;                /* new pages are used whole: the kernel may read ahead there (fresh_alone); lock */
    size_t look_bytes;         /* of the file, when that is found out again; lock */
    size_t run_bytes;          /* in page runs now */
    size_t slab_bytes;         /* in slabs now */
    size_t sampled_bytes;      /* in both when fry_peak was last brought up to date */
    atomic_size_t dead_bytes;  /* of slabs that other threads have freed whole since the monitor looked for such */
    struct heap *idle, *all;   /* chains of heaps */
    pthread_key_t key;         /* its destructor makes a thread's heap idle; key_state says whether there is one */
    atomic_bool open;
} fry = {.file.fd = -1, .look_bytes = 2 * mib}; /* before, there is too little to tell anything */

/* Is that mapping within the block, NULL: within the fries, of a file of ours? A file of the program's may have the number
 * that one of ours had; hardly the offset, too. */
static bool vma_is_ours(const struct big *r, const struct vma *v)
{
    size_t start = r ? big_offset(r) : fry.space.start;
    return v->offset == v->from - mem.base - start &&
           (v->inode == (r ? r->file.ino : fry.file.ino) || was_frozen(r ? r->frozen_in : fry.frozen_in, v));
}

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
static const uint8_t slot_mixed = 3;   /* or others, or what the program has set on it: unmapped when freed */

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
    fry.lost = true;
    note_frozen(fry.frozen_in, fry.file.ino);
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
    if (fry.file.fd >= 0)
        return REASON_NONE;
    enum reason why = file_create(&fry.file, 0);
    if (!why)
        forget_frozen(fry.frozen_in, fry.file.ino);
    return why;
}

/* Requires fry.lock. The file has grown by a half since the last look at how its pages are used: the newer half tells. */
static void fry_fresh(void)
{
    bool whole = fry.whole;
    size_t half = round_up(fry.file_bytes / 2, page_size);
    fry.whole = !fresh_alone(!whole, fry.space.start + half, fry.file_bytes - half);
    fry.look_bytes = fry.file_bytes + half;
    size_t part = big_part_bytes(fry.file_bytes);
    for (size_t from = 0; fry.whole && !whole && from < fry.file_bytes; from += part)
        mem_set_policy(fry.space.start + from, min_size(part, fry.file_bytes - from), fry.policy[from / part], fry.piece);
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
        why = file_map(&fry.file, fry.space.start + from, bytes, from);
        size_t part = from / big_part_bytes(max_size(fry.file_bytes, from + 1));
        if (!why && fry.policy[part] != POLICY_NORMAL)
            mem_set_policy(fry.space.start + from, bytes, fry.policy[part], fry.piece);
        else if (!why && !fry.whole && cfg.paging == PAGING_ADAPTIVE)
            mem_advise(fry.space.start + from, bytes, MADV_RANDOM);
    }
    if (!why) {
        fry_backed(from, bytes);
        x->slot = slot_current;
    }
    if (!why && fry.file_bytes >= fry.look_bytes && cfg.paging == PAGING_ADAPTIVE)
        fry_fresh();
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
static void fry_purge_all(void);

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

/* Requires fry.lock. No free run is as long as is asked for: those that wait to be used again, and those that the
 * file is mapped at already, become like the rest and merge with it. False: they did a moment ago, and little
 * was freed since. */
COLD static bool fry_merge(uint32_t pages)
{
    uint64_t now = now_ms();
    if (fry.dirty_pages < pages / 8 && now - fry.merged_ms < full_retry_ms)
        return false;
    fry.merged_ms = now;
    fry_purge_all();
    for (uint32_t i = 1; i <= fry.space.extent_count; i++) {
        struct extent *x = extent_at(&fry.space, i);
        if (x->state != EXTENT_FREE || x->kind != KIND_CLEAN || x->slot != slot_current)
            continue;
        bins_remove(&fry.space, &fry.space.free[KIND_CLEAN], i);
        x->slot = 0; /* fry_back maps it again */
        extent_release(&fry.space, i, KIND_CLEAN);
    }
    return true;
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
    if (!e && fry_merge(pages))
        e = extent_alloc(s, KIND_CLEAN, take, align);
    if (!e) {
        *why = REASON_ADDRESS_SPACE;
        return 0;
    }
    *why = fry_back(extent_at(s, e), take);
    if (*why == REASON_DISK_FULL && (map_give_back() || big.warm_bytes)) {
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

/* Requires fry.lock. Is that extent free, without blocks of its own? */
static bool extent_is_hole(uint32_t i)
{
    const struct extent *x = extent_at(&fry.space, i);
    return i && x->state == EXTENT_FREE && x->kind == KIND_CLEAN;
}

/* Requires fry.lock, and the current file. Makes that part of it read zero. */
static bool fry_punch_among(const struct extent *x)
{
    const struct extent *first = x, *last = x;
    size_t pages = to_pages(file_page_most()); /* farther than that nothing is punched */
    while (extent_is_hole(first->prev) && x->page - first->page < pages)
        first = extent_at(&fry.space, first->prev);
    while (extent_is_hole(last->next) && last->page - x->page < x->pages + pages)
        last = extent_at(&fry.space, last->next);
    size_t from = to_bytes(x->page), to = to_bytes(x->page + (size_t)x->pages);
    file_punch_extend(&from, &to, to_bytes(first->page), to_bytes(last->page + (size_t)last->pages));
    return file_punch(&fry.file, from, to - from);
}

/* Requires fry.lock. The same, where there may be none. */
static bool fry_punch_file(const struct extent *x)
{
    return fry.file.fd < 0 || !file_valid(&fry.file) || fry_punch_among(x);
}

/* Requires fry.lock. From now on there is more behind it than one mapping of a file of ours. */
static void fry_mix(struct extent *x)
{
    size_t backed = x->slot == slot_current ? to_bytes(x->pages) : 0;
    fry.backed_bytes -= backed;
    folder_count(0, backed);
    x->slot = slot_mixed;
}

/* Requires fry.lock. The pages keep their blocks for a while. */
static void fry_pages_free(uint32_t e)
{
    struct extent *x = extent_at(&fry.space, e);
    if (x->slot == slot_mixed && fry_punch_file(x) && mem_unmap(extent_offset(&fry.space, x), to_bytes(x->pages))) {
        x->flags = x->slot = 0;
        extent_free(&fry.space, e, KIND_CLEAN);
        return;
    }
    bool aged = extent_is_aged(x->prev, x->pages) || extent_is_aged(x->next, x->pages);
    x->flags = 0;
    fry.dirty_pages += x->pages;
    e = extent_free(&fry.space, e, KIND_DIRTY);
    extent_at(&fry.space, e)->flags = aged ? flag_aged : 0;
}

static bool extent_is_clean(uint32_t i) { return extent_is_hole(i) && extent_at(&fry.space, i)->slot == 0; }

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
    bool current = x->slot == slot_current, mixed = x->slot == 0 || x->slot == slot_mixed; /* a part may have come home */
    if (current && file_valid(&fry.file)) {
        if (!fry_punch_among(x))
            return false;
    } else if (mixed || !mem_advise(extent_offset(&fry.space, x), to_bytes(x->pages), MADV_REMOVE)) {
        if ((mixed && !fry_punch_file(x)) || !fry_unmap(x))
            return false;
        x->slot = 0;
    }
    if (current) {
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

/* Requires fry.lock. */
static void fry_purge_all(void)
{
    fry_purge(); /* once for those that have aged, */
    fry_purge(); /* once for those that did so now */
}

/* Every free page gives its blocks back now. False: there were none. */
static bool fry_give_back(void)
{
    lock_take(&fry.lock);
    bool any = fry.dirty_pages != 0;
    fry_purge_all();
    lock_drop(&fry.lock);
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
    s->rest = slab_worth_listing(s);
    s->due -= s->rest;
    __atomic_store_n(&s->listed, false, __ATOMIC_RELEASE); /* last: heaps_sweep looks */
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
    while (!atomic_compare_exchange_weak(&h->visitors, &top, s));
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
    struct slab *s = atomic_exchange(&h->visitors, NULL);
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

/* Requires fry.lock. Has the owner, who runs, nothing to do with the slab any more, nor ever will? It gave out every
 * block, has put it in no list, and others have freed all. */
GUESSES static bool slab_is_dead(const struct heap *h, const struct slab *s)
{
    return !__atomic_load_n(&s->listed, __ATOMIC_ACQUIRE) && s->summary == 0 && !s->ahead && h->spare[s->class] != s &&
           atomic_load(&s->owner) == h && atomic_load(&s->remote) == s->blocks;
}

/* Requires fry.lock. Gives back what other threads have freed of heaps whose owners may never call again. */
static void heaps_sweep(void)
{
    if (!atomic_exchange(&fry.dead_bytes, 0))
        return;
    for (struct heap *h = fry.all; h; h = h->next_all) {
        struct slab *s = atomic_load(&h->idle) ? NULL : atomic_exchange(&h->visitors, NULL);
        for (struct slab *after; s; s = after) {
            after = s->visitor_next;
            if (slab_is_dead(h, s)) {
                slab_collect(s);
                slab_destroy(s);
            } else {
                heap_push_visitor(h, s);
            }
        }
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
    *why = REASON_FORK;
    if (!op_try(&op))
        return NULL;
    lock_take(&fry.lock);
    if (atomic_load_explicit(&h->visitors, memory_order_relaxed))
        heap_collect(h);
    fry_purge_if_due();
    void *p = fry_take_locked(h, c, why);
    lock_drop(&fry.lock);
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
    struct op op;
    if (slab_used(s) || slab_is_spare(h, s) || !op_try(&op)) /* it stays listed, and empty */
        return;
    lock_take(&fry.lock);
    slab_retire(h, s);
    fry_purge_if_due();
    lock_drop(&fry.lock);
    op_end(&op);
    mon_consider();
}

/* The owner is idle, and this may have been the last block in use. */
static NOINLINE void heap_collect_idle(struct heap *h)
{
    struct op op;
    if (!op_try(&op)) /* who takes the heap over will collect */
        return;
    lock_take(&fry.lock);
    if (atomic_load(&h->idle))
        heap_collect(h);
    lock_drop(&fry.lock);
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
    size_t bytes = (size_t)s->blocks * s->size;
    uint32_t before = atomic_fetch_add_explicit(&s->remote, n, memory_order_acq_rel);
    atomic_signal_fence(memory_order_seq_cst);
    remote_self.slab = NULL;
    if (before && before + n != used)
        return 0; /* whoever raised it from 0 has told the owner; don't touch s any more */
    if (before + n == used)
        atomic_fetch_add_explicit(&fry.dead_bytes, bytes, memory_order_relaxed);
    struct heap *owner = atomic_load_explicit(&s->owner, memory_order_acquire);
    if (before == 0)
        heap_push_visitor(owner, s);
    else if (!owner)
        return 0; /* it is empty, and about to become another slab */
    if (atomic_load(&owner->idle))
        heap_collect_idle(owner);
    else if (before + n == used)
        mon_consider();
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
static void heap_retire(struct heap *h);

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

/* The program may need every key that a process has: then it gets ours (pthread_key_create), and who ended is
 * found when the next thread needs a heap. */
enum { KEY_NONE, KEY_MAKING, KEY_THERE, KEY_GIVEN };
static atomic_uint key_state; /* futex */
static atomic_int key_users; /* threads that are about to set it: it is not given away under their hands */

static void heap_leave(void *heap);
static int key_create(pthread_key_t *key, void (*end)(void *));

/* Makes the key with the first heap, as many programs never have one. */
static void key_make(void)
{
    unsigned state = KEY_NONE;
    int err = errno;
    if (likely(atomic_load(&key_state) > KEY_MAKING))
        return;
    if (atomic_compare_exchange_strong(&key_state, &state, KEY_MAKING)) {
        libc_inside = true;
        atomic_store(&key_state, key_create(&fry.key, heap_leave) == 0 ? KEY_THERE : KEY_GIVEN);
        libc_inside = false;
        futex_wake(&key_state, INT32_MAX);
    }
    while (atomic_load(&key_state) == KEY_MAKING && !libc_inside)
        futex_wait(&key_state, KEY_MAKING, NULL);
    errno = err;
}

static void key_set(struct heap *h)
{
    int err = errno;
    atomic_fetch_add(&key_users, 1);
    if (atomic_load(&key_state) == KEY_THERE)
        pthread_setspecific(fry.key, h); /* may call calloc, which finds heap_self */
    atomic_fetch_sub(&key_users, 1);
    errno = err;
}

/* Requires fry.lock. Without a key: makes the heaps of threads that have ended idle. Whoever has the number of
 * one, `self`, is another thread without a heap. */
COLD static void heaps_reap(int self)
{
    for (struct heap *h = fry.all; h; h = h->next_all) {
        int tid = atomic_load(&h->tid);
        if (!atomic_load(&h->idle) && tid && (tid == self || (sys(SYS_tgkill, sys_getpid(), tid, 0) != 0 && errno == ESRCH)))
            heap_retire(h);
    }
}

/* Gives the calling thread a heap: an idle one, or a new one. NULL: no memory for it. */
static NOINLINE struct heap *heap_get(void)
{
    struct op op;
    key_make();
    if (!op_try(&op))
        return NULL;
    int tid = (int)sys_gettid();
    lock_take(&fry.lock);
    if (!fry.idle && atomic_load(&key_state) == KEY_GIVEN)
        heaps_reap(tid);
    struct heap *h = fry.idle;
    if (h) {
        fry.idle = h->next_idle;
        atomic_store(&h->idle, false);
    } else {
        h = heap_new();
    }
    heap_self = h;
    if (h)
        atomic_store(&h->tid, tid);
    lock_drop(&fry.lock);
    op_end(&op);
    if (h)
        key_set(h);
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
    lock_take(&fry.lock);
    if (heap_self == heap)
        heap_self = NULL;
    heap_retire(heap);
    lock_drop(&fry.lock);
    op_end(&op);
    mon_consider();
}

/* A block for a thread that has left its heap, from an idle one. */
static NOINLINE void *fry_take_ended(unsigned c, enum reason *why)
{
    struct op op;
    op_begin(&op);
    lock_take(&fry.lock);
    struct heap *h = fry.idle ? fry.idle : heap_new();
    if (h && h != fry.idle)
        heap_retire(h);
    void *p = h ? fry_take_locked(h, c, why) : NULL;
    lock_drop(&fry.lock);
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
    *why = REASON_FORK;
    if (!op_try(&op))
        return NULL;
    lock_take(&fry.lock);
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
    lock_drop(&fry.lock);
    op_end(&op);
    if (p) {
        count_one(&count.fries);
        if (zero && !zeroed)
            libc.set(p, 0, size);
    }
    return p;
}

/* The live page run that starts at the offset; NULL: none does. Requires fry.lock, or that the program has it. */
GUESSES static struct extent *run_at(size_t offset)
{
    uint32_t i = extent_lookup(&fry.space, offset);
    if (!i || i & map_slab)
        return NULL;
    struct extent *x = extent_at(&fry.space, i);
    return x->state == EXTENT_LIVE ? x : NULL;
}

static const size_t glibc_maps = 128 * kib; /* what glibc maps and unmaps by itself, unless it has learned or was told */

/* Frees that a fork held up for too long: done when it is over. NULL: an unused place. */
static _Atomic(void *) late_frees[64];

static void late_frees_do(void);

static bool free_late(void *p)
{
    for (size_t i = 0; i < sizeof late_frees / sizeof late_frees[0]; i++) {
        void *none = NULL;
        if (!atomic_compare_exchange_strong(&late_frees[i], &none, p))
            continue;
        if (!(atomic_load(&gate) & gate_forking)) /* it may have looked here already */
            late_frees_do();
        return true;
    }
    return false;
}

static bool run_free(void *p, size_t offset)
{
    struct op op;
    if (!op_try(&op)) {
        if (free_late(p))
            return true;
        op_begin(&op);
    }
    lock_take(&fry.lock);
    struct extent *x = run_at(offset);
    if (x) {
        fry.run_bytes -= to_bytes(x->pages);
        if (to_bytes(x->pages) >= glibc_maps && !mem_reset(offset, to_bytes(x->pages)))
            fry_mix(x);
        fry_pages_free(extent_index(&fry.space, x));
        fry_purge_if_due();
    }
    lock_drop(&fry.lock);
    op_end(&op);
    return x != NULL;
}

/* Takes no lock: what describes a block stays as it is while the program has the block. */
GUESSES static size_t run_bytes(size_t offset)
{
    const struct extent *x = run_at(offset);
    return x ? to_bytes(x->pages) : 0;
}

/* Shrinks a page run in place. */
static void run_shrink(size_t offset, size_t size)
{
    struct op op;
    uint32_t pages = (uint32_t)to_pages(round_up(size, page_size));
    if (!op_try(&op)) /* it stays larger */
        return;
    lock_take(&fry.lock);
    struct extent *x = run_at(offset);
    uint32_t less = x && pages < x->pages ? x->pages - pages : 0;
    bool plain = less && x->slot != slot_mixed && /* else it stays larger: its tail is not the next owner's */
                 (to_bytes(x->pages) < glibc_maps || mem_reset(offset + to_bytes(pages), to_bytes(less)));
    if (plain) {
        if (extent_trim(&fry.space, extent_index(&fry.space, x), pages, KIND_DIRTY)) {
            fry.run_bytes -= to_bytes(less);
            fry.dirty_pages += less;
        }
    }
    lock_drop(&fry.lock);
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
        libc.set(p, 0, size);
    return p;
}

/* Frees the fry at p. False: p starts none that is the program's. */
static ALWAYS_INLINE bool fry_free(void *p, size_t offset)
{
    struct slab *s = slab_containing(offset);
    if (unlikely(!s))
        return run_free(p, offset);
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
    int (*thread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    pid_t (*fork)(void), (*fork_only)(void); /* fork and _Fork */
    int (*clone)(int (*)(void *), void *, int, void *, ...);
    long (*syscall)(long, ...);
    int (*execve)(const char *, char *const[], char *const[]), (*execvpe)(const char *, char *const[], char *const[]);
    int (*sigwait)(const sigset_t *, int *);
    int (*sigtimedwait)(const sigset_t *, siginfo_t *, const struct timespec *);
    int (*register_atfork)(void (*)(void), void (*)(void), void (*)(void), void *);
    void (*streams_lock)(void), (*streams_unlock)(void), (*streams_reset)(void); /* of libc's list of streams */
    int (*key_create)(pthread_key_t *, void (*)(void *)); /* pthread_key_create */
    char *single_threaded; /* glibc's own: 1 until the first thread is made */
} next = {.free = early_free, .usable = early_usable};

enum kind { KIND_REAL, KIND_FRY, KIND_BIG };

static int key_create(pthread_key_t *key, void (*end)(void *))
{
#ifdef BIGMAAC_PREFIX
    return pthread_key_create(key, end);
#else
    return next.key_create(key, end);
#endif
}


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

/* Bytes of address space that are in use, under such a limit. Without /proc: all but the most that can be mapped, to an eighth. */
static size_t address_space_used(size_t limit)
{
    char text[64];
    size_t left = limit;
    if (read_text("/proc/thread-self/statm", text, sizeof text))
        return text_number(text, NULL) * sys_page();
    for (; left; left -= min_size(left, max_size(left / 8, sys_page()))) {
        void *p = sys_mmap(NULL, left, PROT_NONE, anon_flags, -1, 0);
        if (p != MAP_FAILED) {
            sys_munmap(p, left);
            break;
        }
    }
    return limit - left;
}

/* Address space that we may take: half of what RLIMIT_AS leaves, so that the program has room. */
static size_t reserve_budget(void)
{
    size_t limit = limit_of(RLIMIT_AS);
    if (limit == SIZE_MAX)
        return SIZE_MAX;
    size_t used = max_size(address_space_used(limit), mem.reserved) - mem.reserved;
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

/* False: they can't be smaller. */
static bool regions_halve(size_t *fries, size_t *bigs)
{
    if (*fries <= region_min && *bigs <= region_min)
        return false;
    *fries = max_size(*fries / 2, min_size(*fries, region_min));
    *bigs = max_size(*bigs / 2, min_size(*bigs, region_min));
    return true;
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
            p = sys_mmap(NULL, l.total, PROT_NONE, anon_flags, -1, 0);
        if (p != MAP_FAILED)
            break;
        if (!regions_halve(&fries, &bigs))
            return false;
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
    mem.boot_to = mem.fry_from = fry.space.start;
    mem.fry_to = mem.fry_end;
    mem.reserved = (size_t)(at - (char *)base);
    sys_munmap(p, base - (uintptr_t)p);
    sys_munmap(at, (size_t)(p + l.total - at));
    __atomic_store_n(&mem.base, base, __ATOMIC_RELEASE);
    return true;
}

/* Gives back what is between two ends: the kernel may place there what it likes. `end`, of what stays, moves down first. */
static void mem_give(size_t *end, size_t from, size_t to)
{
    if (from >= to)
        return;
    __atomic_store_n(end, from, __ATOMIC_RELEASE);
    if (sys_munmap(mem_at(from), to - from) == 0)
        mem.reserved -= to - from;
}

/* Requires fry.lock and big.lock. What lies behind the spaces is given back, but for a page: no mapping of ours may be able
 * to grow. */
static void mem_cut(void)
{
    mem_give(&mem.boot_to, boot_bytes, mem.boot_to);
    mem_give(&mem.fry_to, fry.space.start + to_bytes(fry.space.pages) + page_size, mem.fry_to);
    mem_give(&mem.size, big.space.start + to_bytes(big.space.pages) + page_size, mem.size);
}

/* The regions become smaller than that, as far as they are not used. */
COLD static void mem_shrink_to(size_t budget)
{
    struct op op;
    pid_t pid = sys_getpid();
    if (mem.pid != pid && own_area.pid != pid)
        return;
    op_begin(&op);
    lock_take(&fry.lock);
    lock_take(&big.lock);
    if (own_start(OWN_PARTS) > budget / 16)
        own_close();
    if (mem.pid == pid && mem.reserved > budget) {
        size_t fries = to_bytes(fry.space.pages), bigs = to_bytes(big.space.pages);
        while (layout_for(fries, bigs).total > budget && regions_halve(&fries, &bigs))
            ;
        space_cut(&fry.space, to_pages(max_size(fries, fry.file_bytes)));
        space_cut(&big.space, to_pages(bigs));
        mem_cut();
        struct layout l = layout_for(to_bytes(fry.space.pages), to_bytes(big.space.pages));
        mem.reserved -= pool_cut(&fry.space.map, l.map_fries) + pool_cut(&big.space.map, l.map_bigs) +
                        pool_cut(&fry.space.extents, l.extents_fries) + pool_cut(&big.space.extents, l.extents_bigs) +
                        pool_cut(&fry.meta, l.meta) + pool_cut(&big.records, l.records);
    }
    lock_drop(&big.lock);
    lock_drop(&fry.lock);
    op_end(&op);
}

/* The program has limited its address space, where all that is reserved counts: regions that are larger than they would be had
 * we found that limit become smaller. */
COLD static void mem_shrink(void) { mem_shrink_to(reserve_budget()); }

/* A limit of all that is mapped refuses the program so many bytes more: what it lacks is given up, where that is enough. False:
 * nothing was. */
COLD static bool mem_yield(size_t limit, size_t bytes)
{
    size_t before = mem.reserved;
    if (limit == SIZE_MAX || mem.pid != sys_getpid())
        return false;
    size_t used = address_space_used(limit), wanted = used + min_size(bytes, SIZE_MAX - used);
    if (wanted <= limit || wanted - limit > before)
        return false;
    mem_shrink_to(before - (wanted - limit));
    return mem.reserved < before;
}

/* Requires fry.lock. */
COLD static bool regions_open_locked(void)
{
    bool reserved = mem_owns(mem_at(0)) || mem_reserve();
    if (!reserved || !space_open(&fry.space, fry.space.start, to_bytes(fry.space.pages)) ||
        !space_open(&big.space, big.space.start, to_bytes(big.space.pages)))
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
    if (!op_try(&op))
        return false;
    lock_take(&fry.lock);
    if (!atomic_load(&fry.open) && !mem.failed) {
        if (regions_open_locked())
            atomic_store_explicit(&fry.open, true, memory_order_release);
        else
            mem.failed = true;
    }
    bool open = atomic_load(&fry.open);
    lock_drop(&fry.lock);
    op_end(&op);
    return open;
}

/* --- boot memory: for dlsym while it looks the next malloc up for us, and for threads of ours ------------- */

static struct {
    struct lock lock;
    size_t used;  /* bytes */
    size_t base;  /* of them those that were taken before the initialisation was over: they are never freed */
    size_t live;  /* blocks taken since */
} boot;

static bool is_boot(const void *p) { return mem_offset(p) < boot_bytes; }

/* Zeroed; its size stands before it. NULL: used up. */
COLD static void *boot_alloc(size_t size, size_t align)
{
    void *p = NULL;
    lock_take(&boot.lock);
    if (!mem.boot_ready)
        mem.boot_ready = (mem_owns(mem_at(0)) || mem_reserve()) &&
                         sys_mprotect(mem_at(0), boot_bytes, PROT_READ | PROT_WRITE) == 0;
    size_t at = round_up(boot.used + 16, max_size(align, 16));
    if (mem.boot_ready && size <= boot_bytes && at + size <= boot_bytes) {
        boot.used = at + size;
        boot.live++;
        p = mem_at(at);
        memset(p, 0, size); /* it may be used again */
        memcpy(mem_at(at - 16), &size, sizeof size);
    } else {
        errno = ENOMEM;
    }
    lock_drop(&boot.lock);
    return p;
}

/* The place is used again when nothing that was taken since the initialisation is in use. */
COLD static void boot_free(const void *p)
{
    lock_take(&boot.lock);
    if (mem_offset(p) >= boot.base && boot.base && --boot.live == 0)
        boot.used = boot.base;
    lock_drop(&boot.lock);
}

static size_t boot_size(const void *p)
{
    size_t size;
    memcpy(&size, (const char *)p - 16, sizeof size);
    return size;
}

/* ============================================================================================
 * === STATS  the summary at the end of each process, and bigmaac_stats
 *
 * A process ends by exit, which runs our destructor, by _exit, which is ours, or by SIGTERM, which
 * gets a handler where it has none. What ends otherwise says nothing.
 * ========================================================================================= */
static struct summary {
    struct file err;  /* a high copy of the first stderr: coreutils close theirs before our destructor runs */
    int to;           /* where it is written to */
    pid_t pid;        /* whose it is; 0: nobody wants one. A vfork child runs in its parent's memory */
    _Atomic enum summary_state { SUMMARY_DUE, SUMMARY_TELLING, SUMMARY_TOLD } state;
    atomic_int death; /* the signal that came while it was told, and ends the process afterwards; 0: none */
} summary = {.err.fd = -1};

static void summary_raise(int sig)
{
    sys(SYS_tgkill, sys_getpid(), sys_gettid(), sig); /* SA_RESETHAND: the default action now */
}

COLD __attribute__((format(printf, 1, 2))) static void summary_line(const char *text, ...)
{
    va_list args;
    va_start(args, text);
    if (!report_to(summary.to, text, args) && atomic_load(&summary.death))
        summary_raise(summary.death); /* the signal interrupted a write that waits for a reader */
    va_end(args);
}

/* Sets where the lines go. The first stderr may be closed, and its number may be another file's. */
COLD static void summary_find_way(void)
{
    char path[sizeof cfg.summary + 16];
    summary.to = file_valid(&summary.err) ? summary.err.fd : STDERR_FILENO;
    if (!cfg.summary[0])
        return;
    text_format(path, sizeof path, "%s.%d", cfg.summary, (int)sys_getpid());
    int fd = open_beyond(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        summary_line("%s: %s; the summary goes to stderr", path, error_text(errno));
    else
        summary.to = fd; /* the process ends: nobody misses the number */
}

static void map_stats(struct bigmaac_stats *out); /* MAP */

/* With flush the calling thread's own frees count, too; not in a signal handler, which may interrupt them. */
static void stats_take(struct bigmaac_stats *out, bool flush)
{
    struct op op;
    memset(out, 0, sizeof *out);
    out->size = sizeof *out;
    out->bigmaacs = count.bigmaacs;
    out->bigmaac_bytes = count.bigmaac_bytes;
    out->bigmaac_peak = count.bigmaac_peak;
    out->fries = count.fries;
    if (heap_self && flush)
        heap_flush(heap_self);
    op_begin(&op);
    lock_take(&fry.lock);
    out->fry_bytes = fry_live_bytes();
    for (struct heap *h = fry.all; h; h = h->next_all)
        out->fries += h->taken;
    lock_drop(&fry.lock);
    op_end(&op);
    out->fry_peak = max_size(count.fry_peak, out->fry_bytes);
    out->files = folder.files;
    out->file_bytes = folder.bytes;
    out->file_peak = folder.bytes_peak;
    out->warm_bytes = big.warm_bytes;
    for (int i = 1; i < REASON_COUNT; i++)
        out->fell_through += count.fell_count[i];
    map_stats(out);
}

/* The policies that the largest bigmaacs ended in. */
COLD static void stats_report_paging(void)
{
    struct rusage u;
    sys_getrusage(RUSAGE_SELF, &u);
    summary_line("stats paging=%s major_faults=%ld read_bytes=%ld probes=%zu changes=%zu fries=%s",
           paging_words[cfg.paging], u.ru_majflt, u.ru_inblock * 512, count.probes, count.changes,
           policy_names[fry.policy[0]]);
    for (uint32_t i = 1, told = 0; i <= big.record_count && told < 16; i++) {
        const struct big *r = big_at(i);
        if (!r->in_use || big_extent(r)->state != EXTENT_LIVE || r->mapped < 64 * mib)
            continue;
        char text[BIG_PARTS * 12] = "";
        for (size_t p = 0, n = 0; p * big_part_bytes(r->mapped) < r->mapped; p++)
            n += text_format(text + n, sizeof text - n, "%s%s", p ? "," : "", policy_names[r->policy[p]]);
        summary_line("stats mapping=%p bytes=%zu policy=%s changes=%u", (void *)mem_at(big_offset(r)),
               r->mapped, text, r->policy_changes);
        told++;
    }
}

static void warn_stats(void);

COLD static void stats_report(bool flush)
{
    struct bigmaac_stats s;
    stats_take(&s, flush);
    summary_line("stats bigmaacs=%lu bigmaac_bytes=%lu bigmaac_peak=%lu fries=%lu fry_bytes=%lu "
                 "fry_peak=%lu passed=%zu", s.bigmaacs, s.bigmaac_bytes, s.bigmaac_peak, s.fries,
                 s.fry_bytes, s.fry_peak, atomic_load(&count.passed));
    summary_line("stats files=%lu file_bytes=%lu file_peak=%lu warm_bytes=%lu grown=%zu moved=%zu "
                 "recycled=%zu", s.files, s.file_bytes, s.file_peak, s.warm_bytes,
                 atomic_load(&count.grown), atomic_load(&count.moved), atomic_load(&count.recycled));
    if (cfg.min_mmap)
        summary_line("stats maps=%lu map_bytes=%lu map_peak=%lu map_moved=%lu map_home=%lu map_cold=%lu", s.maps, s.map_bytes,
                     s.map_peak, s.map_moved, s.map_home, s.map_cold);
    stats_report_paging();
    warn_stats();
    for (int i = 1; i < REASON_COUNT; i++)
        if (count.fell_count[i])
            summary_line("stats fell_through reason=%s count=%zu bytes=%zu", reason_names[i],
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
    struct lock lock;
} profile = {};

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
    if (!lock_try(&profile.lock))
        return; /* somebody is taking one */
    for (unsigned i = 0; i < PROFILE_BINS; i++)
        profile.peak[i] = atomic_load_explicit(&profile.live[i], memory_order_relaxed);
    atomic_store(&profile.told_total, atomic_load(&profile.total));
    lock_drop(&profile.lock);
}

/* The next one's answer may itself allocate: tcmalloc's first one does, and what it allocates it does before it has an
 * answer. 0 for such a block, which is not counted. */
static size_t profile_size(void *p)
{
    static __thread bool asking __attribute__((tls_model("initial-exec")));
    if (asking)
        return 0;
    asking = true;
    size_t size = next.usable(p);
    asking = false;
    return size;
}

/* Notes a block that was given out; NULL is none. Returns it. */
static void *profile_add(void *p)
{
    if (!p || !cfg.profile)
        return p;
    size_t size = profile_size(p);
    atomic_fetch_add_explicit(&profile.live[profile_bin(size)], size, memory_order_relaxed);
    size_t total = atomic_fetch_add_explicit(&profile.total, size, memory_order_relaxed) + size;
    size_t told = atomic_load_explicit(&profile.told_total, memory_order_relaxed);
    if (total > told + told / 64)
        profile_snapshot();
    return p;
}

static void profile_remove(void *p)
{
    size_t size = profile_size(p);
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
    text_format(text, 16, "%zu%.*s", bytes >> (10 * unit), unit ? 1 : 0, &"-KMGT"[unit]);
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
    summary_line("profile: %u %% of the peak is in requests above %s: BIGMAAC_MIN_%s_SIZE=%s", percent,
                 size_text(size, text), size < mib ? "FRY" : "BIGMAAC", text);
}

static const char *profile_advice(size_t outside); /* WARN */

/* What malloc gives out is not all of a process. Called once. */
COLD static void profile_tell_outside(size_t by_malloc)
{
    static char text[4096]; /* not on a signal handler's stack */
    char all[16], outside[16], part[16];
    if (!read_text("/proc/thread-self/status", text, sizeof text))
        return;
    size_t files = text_value(text, "RssFile:", 0) * kib, high = text_value(text, "VmHWM:", 0) * kib;
    size_t bytes = max_size(high > files ? high - files : 0, by_malloc), more = bytes - by_malloc;
    summary_line("profile: %s in memory at the most, but for files: %s of malloc, %s of other%s", size_text(bytes, all),
                 size_text(by_malloc, part), size_text(more, outside), more > bytes / 8 && more > mib ? profile_advice(more) : "");
}

COLD static void profile_report(void)
{
    size_t all = 0, most = 1, row[64] = {0};
    for (unsigned i = 0; i < PROFILE_BINS; i++) {
        all += profile.peak[i];
        row[i / PROFILE_SUB] += profile.peak[i];
        most = max_size(most, row[i / PROFILE_SUB]);
    }
    char from[16], to[16], bytes[16];
    profile_tell_outside(all);
    summary_line("profile: %s live at the peak, by size of the request", size_text(all, bytes));
    for (unsigned i = 3; i < 63; i++)
        if (row[i] * 1000 > all)
            summary_line("profile: %5s to %5s %6s %3zu %% %.*s", size_text((size_t)1 << i, from),
                         size_text((size_t)2 << i, to), size_text(row[i], bytes), row[i] * 100 / all,
                         (int)(row[i] * 40 / most), "########################################");
    for (size_t i = 0; all && i < 3; i++)
        profile_tell_threshold(all, (const unsigned[]){50, 90, 99}[i]);
}

COLD static void profile_open(void)
{
    profile.free = next.free;
    next.free = profile_free;
}

/* --- the end of the process ------------------------------------------------------------------- */

COLD static void summary_tell(bool in_handler)
{
    /* Where nobody wants one there is no system call: the program may have forbidden itself all but its own. */
    enum summary_state due = SUMMARY_DUE;
    if (!summary.pid || summary.pid != sys_getpid() || !atomic_compare_exchange_strong(&summary.state, &due, SUMMARY_TELLING))
        return;
    summary_find_way();
    if (cfg.stats && !cfg.off)
        stats_report(!in_handler);
    if (cfg.profile)
        profile_report();
    atomic_store(&summary.state, SUMMARY_TOLD);
    if (atomic_load(&summary.death))
        summary_raise(summary.death);
}

/* It dies all the same; once all is told, if an end of the process is telling it (a pool's workers are asked to end
 * and terminated). A crash of who tells comes again as it returns, and ends it. */
static void summary_die(int sig, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    summary_tell(true);
    if (summary.pid != sys_getpid()) /* a child by vfork */
        summary_raise(sig);
    atomic_store(&summary.death, sig);
    if (atomic_load(&summary.state) != SUMMARY_TELLING)
        summary_raise(sig);
}

/* Not for SIGINT: Python makes a KeyboardInterrupt of it only where it finds the default action. A crash is told
 * of by the profile alone, whose counts are right in every state; for the statistics locks are taken. */
COLD static void summary_open(void)
{
    static const int deaths[] = {SIGTERM, SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    const struct sys_sigaction die = {.handler = summary_die, .flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER | SA_ONSTACK};
    struct sys_sigaction now;
    struct stat st;
    size_t limit = limit_of(RLIMIT_NOFILE);
    int high = (int)sys(SYS_fcntl, STDERR_FILENO, F_DUPFD_CLOEXEC, limit > 4096 ? 2048 : (int)(limit / 2));
    if (high >= 0 && sys_fstat(high, &st) == 0)
        summary.err = (struct file){.fd = high, .dev = st.st_dev, .ino = st.st_ino};
    for (size_t i = 0; i < (cfg.profile ? sizeof deaths / sizeof deaths[0] : 1); i++)
        if (sys_on_signal(deaths[i], NULL, &now) && !now.handler)
            sys_on_signal(deaths[i], &die, NULL);
    summary.pid = sys_getpid();
}

/* ============================================================================================
 * === STOP  every other thread of the program waits for a moment, and none can tell
 *
 * What was written after a fork can come home (HOME) only while nobody writes. Each thread is sent a signal
 * that the program can neither handle, block nor wait for: the one by which glibc tells all threads about
 * setuid(2). Its handler, ours in front of glibc's, waits until the round is over. A system call that it
 * interrupted is made again where the kernel does not do that by itself (poll, epoll_wait, nanosleep...), so
 * nobody sees an EINTR. The same signal without a round only has a thread make its system call again: so
 * sleepers on a futex notice that the memory under it is mapped from elsewhere now.
 * ========================================================================================= */
/* The program's next malloc looks for what is to be started. */
static void mon_request(void)
{
    __atomic_store_n(&route.limit, 0, __ATOMIC_RELEASE);
    atomic_store(&mon.wanted, true); /* last: who sees it sets the limit back */
}

enum { WATCH_PARK, WATCH_ON, WATCH_END };
enum { WATCH_BLOCKS = 1, WATCH_MOVED = 2, WATCH_ALONE = 4 }; /* for what it is to be on; ALONE: RANDOM */

static struct {
    atomic_uint wanted;    /* WATCH_BLOCKS and so on; the monitor sets it */
    atomic_bool running;   /* the thread exists, or is about to */
    atomic_uint order;     /* futex: what it is to do, WATCH_...: the monitor says it, who makes the thread says
                            * PARK first, and so does the thread where it can't do what it should */
    atomic_int tid;        /* of the thread; 0: none */
    atomic_size_t budget;  /* bytes that may be asked for in advance of all walks */
    atomic_uint_fast64_t unable_until; /* ms: it can't be done before that; UINT64_MAX: never */
} watch;

enum { STOP_MAX = 4096 };
static const uint64_t stop_apart_ns = 500000, stop_apart_most_ns = 20 * 1000000; /* between two threads that go on one by one */

static struct stopped {
    pid_t tid, listed;  /* as gettid tells it, and as /proc lists it */
    long call;          /* the system call that it slept in before its signal was sent; -1: not known, or it ran */
    unsigned long argument[6], stack; /* and that one's arguments, and its stack pointer */
    atomic_uint round;  /* that its signal was sent for; 0: only to make its system call again, or to be sent again */
    atomic_uint waits;  /* the round that it waits in */
} stopped[STOP_MAX];    /* the stopper's; but its thread sets `waits`, and `round` to 0 */

static struct {
    unsigned threads;      /* entries of stopped[] in this round */
    atomic_bool one_by_one; /* so the threads go on: else all of them have a turn before the stopper, which ran alone */
    atomic_bool early;     /* the gate may not be closed yet: who is in the middle of an operation of ours goes on */
    pid_t deaf;            /* a thread that did not take the signal in time; 0: none */
    bool deaf_hurry;       /* that time was as long as it is in a hurry */
    bool complete;         /* there was room for all, all are known, and all could be sent the signal */
    bool several;          /* the process has several threads: their files may be opened */
    bool main_ended;       /* its first one stays as a zombie */
    bool writes;           /* the kernel's own threads write for the program (io_uring), and can't be stopped */
    unsigned halves;       /* how much oftener than not some thread was in the middle of a call that would come back half-done */
    bool put_off;          /* the last one was, for that alone */
    atomic_bool frames;    /* some thread handles signals on memory of ours: their frames are written there, wherever it runs */
    atomic_bool dispatched; /* some thread's system calls come back to it (Syscall User Dispatch, as Wine has it), or end it (strict
                             * seccomp), and so would a handler's */
    bool hurry;            /* the memory is nearly full: better a call half-done than the program killed */
    atomic_bool cramped;   /* some thread has a stack for handlers that ours might not fit in */
    atomic_uint on;        /* futex; 1: signals may be sent */
    atomic_uint execs;     /* of this process, under way */
    struct file tasks;     /* /proc/self/task, kept open; fd -1: not */
    atomic_int listed;     /* this process's number in /proc; 0: not known */
    struct sys_sigaction glibc; /* what else the signal is for */
} stop = {.tasks.fd = -1};

/* --- exec ------------------------------------------------------------------------------------------- */

/* A signal that waits for a thread in execve comes to the new program, which has no handler for it, and ends that. So none is
 * sent while one is under way, and none begins while some may be sent. A signal handler's may interrupt another one. */
static __thread unsigned exec_depth __attribute__((tls_model("initial-exec")));
static const uint64_t exec_most_ms = 2000; /* what waits for one to be over gives up then: as stop_surely does */

/* False: nobody sends this process signals, and the memory is not its own (a child by vfork). */
static bool exec_begin(void)
{
    int err = errno;
    if (mem.pid != sys_getpid())
        return false;
    exec_depth++;
    while (atomic_fetch_add(&stop.execs, 1), atomic_load(&stop.on)) {
        atomic_fetch_sub(&stop.execs, 1);
        futex_wait(&stop.on, 1, NULL);
    }
    sys_getpid(); /* what was sent before is taken on the way back from the kernel */
    errno = err;
    return true;
}

/* It has failed. */
static void exec_end(bool begun)
{
    if (!begun)
        return;
    atomic_fetch_sub(&stop.execs, 1);
    exec_depth--;
}

static void stop_off(void)
{
    atomic_store(&stop.on, 0);
    futex_wake(&stop.on, INT32_MAX);
}

/* False: some thread is in an exec. One that fails is over soon, and no other one begins meanwhile. */
static bool stop_on(void)
{
    const unsigned most_ms = 5;
    atomic_store(&stop.on, 1);
    for (unsigned ms = 0; atomic_load(&stop.execs) != exec_depth; ms++, sleep_ms(1))
        if (ms == most_ms) {
            stop_off();
            return false;
        }
    return true;
}

/* --- the threads of the program -------------------------------------------------------------------- */

/* --- their numbers: /proc may list those of another PID namespace (unshare --pid without --mount-proc) ------- */

static void threads_note_listed(void)
{
    char link[16];
    long n = sys(SYS_readlinkat, AT_FDCWD, "/proc/self", link, sizeof link - 1);
    link[n > 0 ? n : 0] = 0;
    atomic_store(&stop.listed, (int)text_number(link, NULL));
}

static bool threads_are_translated(void)
{
    int listed = atomic_load(&stop.listed);
    return listed && listed != sys_getpid();
}

static size_t thread_count(void);

/* What gettid tells the program's thread that /proc lists under that number; 0: it is ours, or has ended. */
static pid_t thread_number(int listed)
{
    char path[64], text[2048];
    if (!threads_are_translated())
        return listed;
    if (listed == atomic_load(&stop.listed))
        return sys_getpid();
    text_format(path, sizeof path, "/proc/self/task/%d/status", listed);
    const char *at = thread_count() > 1 && read_text(path, text, sizeof text) ? text_search(text, "\nNSpid:") : NULL;
    pid_t number = 0;
    for (at += at ? text_length("\nNSpid:") : 0; at && *at == '\t';) {
        at++;
        number = (pid_t)text_digits(&at, 10);
    }
    return number;
}

/* The other way round, for what was listed since the last stop began. 0: not known. */
static int thread_listing(pid_t tid)
{
    if (!threads_are_translated())
        return tid;
    if (tid == sys_getpid())
        return atomic_load(&stop.listed);
    for (unsigned i = 0; i < STOP_MAX && stopped[i].tid; i++)
        if (stopped[i].tid == tid)
            return stopped[i].listed;
    return 0;
}

/* Calls `see` with each number that a folder of /proc, open as fd, has; of /proc/self/task without our threads, as gettid tells
 * them, and as they are listed. Returns how many there are; 0 if `see` was false for one. */
static unsigned numbers_see(int fd, bool threads, bool (*see)(int number, int argument), int argument)
{
    char entries[4096];
    unsigned seen = 0;
    sys(SYS_lseek, fd, 0, SEEK_SET);
    for (long n; (n = sys(SYS_getdents64, fd, entries, sizeof entries)) > 0;)
        for (long at = 0; at < n;) {
            struct { uint64_t ino; int64_t off; unsigned short len; unsigned char type; } head;
            memcpy(&head, entries + at, 19);
            const char *name = entries + at + 19;
            int listed = (int)text_number(name, NULL), number = threads && is_digit(*name) ? thread_number(listed) : listed;
            at += head.len;
            if (!is_digit(*name) ||
                (threads && (!number || number == atomic_load(&mon.tid) || number == atomic_load(&watch.tid))))
                continue;
            if (!see(number, threads ? listed : argument))
                return 0;
            seen++;
        }
    return seen;
}

/* As the program's threads: not with all where some end meanwhile (stop_knows_all). */
static unsigned threads_see(int fd, bool (*see)(pid_t tid, int listed))
{
    return numbers_see(fd, true, see, 0);
}

static int threads_open(void)
{
    return open_beyond(AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

/* Keeps it open: the monitor must not take a low number, not even for a moment. Not the monitor's to call while the
 * program runs. */
static void threads_keep(void)
{
    if (!file_valid(&stop.tasks))
        file_keep(&stop.tasks, "/proc/self/task", O_DIRECTORY);
}

static bool thread_exists(pid_t tid) { return sys(SYS_tgkill, sys_getpid(), tid, 0) == 0; }

/* Reads one of /proc/self's files; returns its length, 0 if that can't be done now. */
static size_t read_self(const char *path, char *text, size_t space, off_t from)
{
    for (int tries = 0; atomic_exchange(&room.busy, true); tries++, sleep_ms(1))
        if (tries == 20)
            return 0; /* a handler that interrupted the reader itself */
    size_t got = read_kept(path, text, space, from);
    atomic_store(&room.busy, false);
    return got;
}

/* Reads a file of a thread's: its first bytes. Returns their number, 0: it can't be read. */
static size_t thread_read(pid_t tid, const char *name, char *text, size_t space)
{
    char path[64];
    text_format(path, sizeof path, "/proc/self/task/%d/%s", thread_listing(tid), name);
    return read_text(path, text, space);
}

/* Threads of the program, without ours. */
static size_t thread_count(void)
{
    struct stat st;
    if (sys_stat("/proc/self/task", &st) != 0)
        return 2; /* not known: assume that there are others */
    int ours = atomic_load(&mon.alive);
    return st.st_nlink - 2 - (size_t)(ours > 0 ? ours : 0);
}

/* --- the signal -------------------------------------------------------------------------------------- */

/* A wait whose time limit is a plain number, or in memory that the kernel only reads, begins anew with less of it. */
static __thread struct {
    uintptr_t at;        /* the instruction behind the system call */
    unsigned slept, sleeps; /* of the thread, when the signal came, and when the call was begun anew */
    uint64_t asked_ns;   /* for which time then, */
    uint64_t began_ns;   /* and when */
    struct timespec left;
    bool goes_on;        /* in the handler it does what is left of a call: no other one does */
    bool cut;            /* the call by which it does is over because a stop came, and for no other reason */
} stop_wait __attribute__((tls_model("initial-exec")));

static uint64_t now_ns(void)
{
    struct timespec t = {0};
    sys(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static unsigned thread_sleeps(void)
{
    struct rusage usage;
    return sys(SYS_getrusage, RUSAGE_THREAD, &usage) == 0 ? (unsigned)usage.ru_nvcsw : 0;
}

/* Nanoseconds to wait for, in steps, of `ns` that the system call at that place was made with. It is the one that was
 * begun anew if the thread has slept once since then: in it. */
static uint64_t stop_left(uintptr_t at, uint64_t ns, uint64_t step)
{
    uint64_t now = now_ns(), left = ns;
    if (stop_wait.at == at && stop_wait.asked_ns == ns && stop_wait.sleeps + 1 == stop_wait.slept) {
        uint64_t waited = now - stop_wait.began_ns;
        left = ns > waited + step ? (ns - waited + step - 1) / step * step : step;
    }
    stop_wait.at = at;
    stop_wait.sleeps = thread_sleeps();
    stop_wait.asked_ns = left;
    stop_wait.began_ns = now;
    return left;
}

/* Milliseconds as poll and epoll_wait have them; negative: without a limit. */
static unsigned long stop_left_ms(uintptr_t at, unsigned long ms)
{
    return (int)ms <= 0 ? ms : stop_left(at, (uint64_t)(int)ms * 1000000, 1000000) / 1000000;
}

/* A time span in memory; `rest`: where the kernel has written what is left of it; 0: nowhere. */
static unsigned long stop_left_span(uintptr_t at, unsigned long span, unsigned long rest)
{
    if (!span)
        return span;
    stop_wait.left = *(const struct timespec *)(rest ? rest : span);
    if (!rest) {
        uint64_t left = stop_left(at, (uint64_t)stop_wait.left.tv_sec * 1000000000 + (uint64_t)stop_wait.left.tv_nsec, 1);
        stop_wait.left = (struct timespec){.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)};
    }
    return (unsigned long)&stop_wait.left;
}

/* What io_uring_enter waits with (linux/io_uring.h of 5.11). */
struct ring_wait {
    uint64_t mask;
    uint32_t mask_bytes, least_us;
    uint64_t span;
};

/* The time span of io_uring_enter stands behind a structure of the program's, where it can't be replaced by less: so it begins anew
 * with the call, up to the first stop after its end. Is this one? */
static bool stop_is_late(uintptr_t at, long call, unsigned long *argument[6])
{
    const unsigned long extended = 1 << 3, absolute = 1 << 5, registered = 1 << 6;
    const struct ring_wait *wait = (const struct ring_wait *)*argument[4];
    if (call != SYS_io_uring_enter || (*argument[3] & (extended | absolute | registered)) != extended || !wait || !wait->span)
        return false;
    const struct timespec *span = (const struct timespec *)(uintptr_t)wait->span;
    uint64_t now = now_ns(), ns = (uint64_t)span->tv_sec * 1000000000 + (uint64_t)span->tv_nsec;
    bool again = stop_wait.at == at && stop_wait.asked_ns == ns && stop_wait.sleeps + 1 == stop_wait.slept;
    bool late = again && now - stop_wait.began_ns >= ns;
    stop_wait.at = late ? 0 : at; /* the next call is another one then */
    stop_wait.asked_ns = ns;
    stop_wait.began_ns = again ? stop_wait.began_ns : now;
    stop_wait.sleeps = thread_sleeps();
    return late;
}

/* The arguments that the call at that place, which slept already, is made again with. */
static void stop_shorten(uintptr_t at, long call, unsigned long *argument[6])
{
    switch (call) {
#ifdef __x86_64__
    case SYS_poll:
        *argument[2] = stop_left_ms(at, *argument[2]);
        break;
    case SYS_epoll_wait:
#endif
    case SYS_epoll_pwait:
        *argument[3] = stop_left_ms(at, *argument[3]);
        break;
    case SYS_nanosleep:
        *argument[0] = stop_left_span(at, *argument[0], *argument[1]);
        break;
    case SYS_clock_nanosleep:
        if (!(*argument[1] & TIMER_ABSTIME))
            *argument[2] = stop_left_span(at, *argument[2], *argument[3]);
        break;
    case SYS_futex:
        if ((*argument[1] & FUTEX_CMD_MASK) == FUTEX_WAIT)
            *argument[3] = stop_left_span(at, *argument[3], 0);
        break;
    case SYS_rt_sigtimedwait:
        *argument[2] = stop_left_span(at, *argument[2], 0);
        break;
    case SYS_semtimedop:
    case SYS_epoll_pwait2:
        *argument[3] = stop_left_span(at, *argument[3], 0);
        break;
    case SYS_io_getevents:
    case SYS_io_pgetevents:
        *argument[4] = stop_left_span(at, *argument[4], 0);
        break;
    }
}

/* Would a handler of the program's run as soon as the signals of `mask` alone are blocked? */
static bool stop_others_wait(sigmask mask)
{
    sigmask waits = 0;
    sys(SYS_rt_sigpending, &waits, sizeof waits);
    for (waits &= ~mask; waits; waits &= waits - 1) {
        struct sys_sigaction now;
        if (sys_on_signal(__builtin_ctzl(waits) + 1, NULL, &now) && (uintptr_t)now.handler > (uintptr_t)SIG_IGN)
            return true;
    }
    return false;
}

/* Is a call to be made again that a handled signal has ended, SA_RESTART or not, with EINTR? It has done nothing then; so any call on a
 * file may end that a process serves (FUSE). But close has closed, and what an ioctl has done only its device knows. */
static bool stop_repeats(long call) { return call != SYS_close && call != SYS_ioctl; }

/* Which of a socket's time limits the call has; 0: none. */
static int stop_limit_of(long call)
{
    switch (call) {
    case SYS_read:
    case SYS_readv:
    case SYS_preadv2:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
    case SYS_accept:
    case SYS_accept4:
        return SO_RCVTIMEO;
    case SYS_write:
    case SYS_writev:
    case SYS_pwritev2:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendmmsg:
    case SYS_sendfile:
    case SYS_connect:
        return SO_SNDTIMEO;
    default:
        return 0;
    }
}

/* May the handler do what is left of a call? It lets others of the program's in then, which need their room where all run on a
 * stack of their own (sigaltstack). */
static bool stop_may_go_on(const ucontext_t *u)
{
    const size_t room_for_others = 16 * kib;
    size_t left = (uintptr_t)__builtin_frame_address(0) - (uintptr_t)u->uc_stack.ss_sp;
    return !stop_wait.goes_on && (left >= u->uc_stack.ss_size || left > room_for_others) && sys_unfiltered();
}

/* The call in which the handler waits meanwhile, known by its place. */
static long stop_poll(struct pollfd *can, const struct timespec *limit, const sigmask *mask)
{
    return sys(SYS_ppoll, can, 1, limit, mask, sizeof *mask);
}

static long (*volatile const stop_poll_there)(struct pollfd *, const struct timespec *, const sigmask *) = stop_poll; /* one place */

static bool stop_is_inner(const void *system_call)
{
#ifdef BIGMAAC_SYS
    uintptr_t from = (uintptr_t)syscall;
#else
    uintptr_t from = (uintptr_t)stop_poll;
#endif
    return stop_wait.goes_on && (uintptr_t)system_call - from < 256;
}

/* Waits for what can be done at once. Signals of the program's come in here alone, and end it: 1: it can, 0: the time is over,
 * -1: errno. */
static int stop_await_file(int fd, short events, uint64_t until_ns, const sigmask *mask)
{
    struct pollfd can = {.fd = fd, .events = events};
    long n;
    stop_wait.goes_on = true;
    do {
        uint64_t left = until_ns - min_size(until_ns, now_ns());
        struct timespec t = {.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)};
        stop_wait.cut = false;
        n = stop_poll_there(&can, until_ns == UINT64_MAX ? NULL : &t, mask);
    } while (n < 0 && errno == EINTR && stop_wait.cut);
    stop_wait.goes_on = false;
    return (int)n;
}

/* When a socket limits the time of the call that begins now: it ends then. UINT64_MAX: never. */
static uint64_t stop_until(long call, int fd)
{
    struct timeval limit = {0};
    socklen_t bytes = sizeof limit;
    int option = stop_limit_of(call);
    if (!option || sys(SYS_getsockopt, fd, SOL_SOCKET, option, &limit, &bytes) != 0 || (!limit.tv_sec && !limit.tv_usec))
        return UINT64_MAX;
    return now_ns() + (uint64_t)limit.tv_sec * 1000000000 + (uint64_t)limit.tv_usec * 1000;
}

/* Where a socket limits the time of the call, the call made again would have all of that anew: it is waited for here what can be
 * done at once. Returns 0: then the call is to be made again; else what it returns. */
COLD static long stop_await_socket(long call, unsigned long *argument[6], const sigmask *mask)
{
    int fd = (int)*argument[0];
    uint64_t until = stop_until(call, fd);
    if (until == UINT64_MAX)
        return 0;
    bool sends = call == SYS_sendto;
    long n = stop_await_file(fd, stop_limit_of(call) == SO_RCVTIMEO ? POLLIN : POLLOUT, until, mask);
    if (n == 0 && (sends || call == SYS_write)) { /* there may be room, but less than poll wants */
        n = sys(SYS_sendto, fd, *argument[1], *argument[2], MSG_DONTWAIT | (sends ? *argument[3] : 0), sends ? *argument[4] : 0,
                sends ? *argument[5] : 0);
        return n < 0 ? -errno : n;
    }
    return n > 0 ? 0 : n < 0 ? -errno : call == SYS_connect ? -EINPROGRESS : -EAGAIN;
}

/* Did it sleep in this very call before its signal was sent? The first argument may be gone. */
static bool stop_was_seen(const struct stopped *s, unsigned long *argument[6], unsigned long stack)
{
    bool same = s->tid == sys_gettid() && s->call >= 0 && s->stack == stack;
    for (int i = 1; i < 6 && same; i++)
        same = *argument[i] == s->argument[i];
    return same;
}

/* What the thread asks the kernel for by syscall(): libc's function keeps the number in no register. */
static __thread const struct raw_call {
    long number, argument[6];
} *raw_call __attribute__((tls_model("initial-exec")));

/* What recvmmsg leaves for the socket's next call where it ends before it has all, which is no errno of a program's (512), is taken. */
static void stop_unfinished(long call, unsigned long socket, unsigned long most, long result)
{
    int left;
    socklen_t bytes = sizeof left;
    if (call == SYS_recvmmsg && result > 0 && (unsigned long)result < most && sys_unfiltered())
        sys(SYS_getsockopt, socket, SOL_SOCKET, SO_ERROR, &left, &bytes);
}

#if defined(__x86_64__)
/* A call that moves bytes, or messages, and ends early for a signal alone. */
struct transfer {
    long call;   /* that goes on with a part */
    int fd;      /* of getrandom: none */
    size_t unit; /* bytes of the parts that count as one in what the call returns */
    unsigned long flags; /* pread and pwrite: the place in the file */
    const struct iovec *part;
    size_t parts;
    struct iovec own;
};

enum transfer_kind { TRANSFER_PARTS, TRANSFER_NOW, TRANSFER_FILE, TRANSFER_PIPE, TRANSFER_SOCKET }; /* PARTS: it may end as it likes */

/* Is it one of pread and pwrite? */
static bool call_is_placed(long call) { return call == SYS_pread64 || call == SYS_pwrite64; }

/* How the file takes, or gives, all of a transfer as long as there is no signal. A file of a process (FUSE) does so by requests, which
 * signals end. Where there is no size (/proc) a read is over when it likes; and what would be too large is a signal (SIGXFSZ). */
static enum transfer_kind transfer_kind(int fd, bool reads, off_t place)
{
    enum { MEMORY = 1 }; /* the kernel's major number of /dev/zero and /dev/urandom */
    struct stat st;
    if (sys_fstat(fd, &st) != 0)
        return TRANSFER_PARTS;
    if (S_ISREG(st.st_mode))
        return (reads ? place < st.st_size : limit_of(RLIMIT_FSIZE) == SIZE_MAX) ? TRANSFER_FILE : TRANSFER_PARTS;
    if (reads)
        return S_ISCHR(st.st_mode) && major(st.st_rdev) == MEMORY ? TRANSFER_NOW : TRANSFER_PARTS;
    return S_ISFIFO(st.st_mode) ? TRANSFER_PIPE : S_ISSOCK(st.st_mode) ? TRANSFER_SOCKET : TRANSFER_PARTS;
}

/* Sets what the call was to do. False: it is none that can be gone on with. */
static bool transfer_set(long call, unsigned long *argument[6], struct transfer *t)
{
    const struct msghdr *message = (const struct msghdr *)*argument[1];
    *t = (struct transfer){.call = call, .fd = (int)*argument[0], .unit = 1, .flags = *argument[3],
                           .part = &t->own, .parts = 1, .own = {(void *)*argument[1], *argument[2]}};
    switch (call) {
    case SYS_pread64:
    case SYS_pwrite64:
    case SYS_sendto:
    case SYS_recvfrom:
        return true;
    case SYS_read:
    case SYS_write:
        t->flags = 0;
        return true;
    case SYS_getrandom:
        t->own = (struct iovec){(void *)*argument[0], *argument[1]};
        t->flags = *argument[2];
        return true;
    case SYS_recvmmsg:
    case SYS_sendmmsg:
        t->unit = sizeof(struct mmsghdr);
        t->own.iov_len *= t->unit;
        return true;
    case SYS_readv:
    case SYS_preadv:
    case SYS_writev:
    case SYS_pwritev:
        t->call = call == SYS_readv ? SYS_read : call == SYS_preadv ? SYS_pread64 : call == SYS_writev ? SYS_write : SYS_pwrite64;
        t->flags = call_is_placed(t->call) ? t->flags : 0;
        t->part = (const struct iovec *)*argument[1];
        t->parts = *argument[2];
        return true;
    case SYS_sendmsg:
        t->call = SYS_sendto;
        t->flags = *argument[2];
        t->part = message->msg_iov;
        t->parts = message->msg_iovlen;
        return true;
    default:
        return false;
    }
}

/* How it can go on if only a signal can have ended it with less than all. */
static enum transfer_kind transfer_rest(long call, const struct transfer *t, size_t done, bool limited)
{
    int type = 0;
    socklen_t bytes = sizeof type;
    bool placed = call_is_placed(t->call);
    size_t all = 0;
    for (size_t i = 0; i < t->parts && all <= done; i++)
        all += t->part[i].iov_len;
    if (done >= all)
        return TRANSFER_PARTS;
    if (call == SYS_getrandom)
        return TRANSFER_NOW;
    if (t->call == SYS_read || placed)
        return transfer_kind(t->fd, t->call != SYS_pwrite64, placed ? (off_t)(t->flags + done) : sys_lseek(t->fd, 0, SEEK_CUR));
    if (t->flags & MSG_DONTWAIT || sys(SYS_fcntl, t->fd, F_GETFL) & O_NONBLOCK) /* what it has is all that there was room for */
        return TRANSFER_PARTS;
    switch (call) {
    case SYS_recvmmsg: return limited || t->flags & MSG_WAITFORONE ? TRANSFER_PARTS : TRANSFER_SOCKET;
    case SYS_recvfrom: return t->flags & MSG_WAITALL && !(t->flags & MSG_PEEK) &&
                              sys(SYS_getsockopt, t->fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 && type == SOCK_STREAM
                              ? TRANSFER_SOCKET : TRANSFER_PARTS;
    default: return transfer_kind(t->fd, false, 0);
    }
}

/* The kernel's ERESTARTSYS: recvmmsg leaves it to the next call on the socket, where a signal has cut it short. */
static const int restart_sys = 512;

/* Does a signal wait until the handler returns? After another stop what the handler leaves is gone on with. */
static bool stop_signal_waits(const sigmask *mask)
{
    sigmask waits = 0;
    sys(SYS_rt_sigpending, &waits, sizeof waits);
    return waits & ~*mask;
}

/* Goes on with it, from `done` on, and waits in stop_await_file alone, or for a file. Returns how many bytes of the parts are done then. */
static size_t transfer_go_on(const struct transfer *t, enum transfer_kind kind, size_t done, uint64_t until_ns, const sigmask *mask)
{
    bool reads = t->call == SYS_recvfrom || t->call == SYS_recvmmsg;
    unsigned long flags = kind == TRANSFER_SOCKET ? t->flags | MSG_DONTWAIT : t->flags;
    long call = kind == TRANSFER_SOCKET && t->call == SYS_write ? SYS_sendto : t->call;
    size_t before = 0; /* bytes of the parts before this one */
    for (const struct iovec *p = t->part; p < t->part + t->parts; before += p->iov_len, p++)
        while (done < before + p->iov_len) {
            const char *at = (const char *)p->iov_base + (done - before);
            size_t left = (before + p->iov_len - done) / t->unit;
            if (kind == TRANSFER_PIPE) /* there is room for a page then */
                left = min_size(left, sys_page());
            if (kind == TRANSFER_FILE) {
                left = min_size(left, mib);
                if (stop_signal_waits(mask))
                    return done;
            } else if (kind != TRANSFER_NOW && stop_await_file(t->fd, reads ? POLLIN : POLLOUT, until_ns, mask) <= 0)
                return done;
            long n = call == SYS_getrandom ? sys(SYS_getrandom, at, left, flags)
                                           : sys(call, t->fd, at, left, call_is_placed(call) ? flags + done : flags);
            if (n == 0 || (n < 0 && errno != EAGAIN && errno != restart_sys))
                return done;
            done += n > 0 ? (size_t)n * t->unit : 0;
        }
    return done;
}

/* Goes on with sendfile or copy_file_range, whose places in the files the kernel has moved on, until a signal waits: after another
 * stop it is gone on with from there. Returns how many bytes are done then. */
static long copy_go_on(long call, unsigned long *argument[6], size_t done, const sigmask *mask)
{
    bool sends = call == SYS_sendfile;
    size_t all = *argument[sends ? 3 : 4];
    int to = (int)*argument[sends ? 0 : 2];
    enum transfer_kind kind = done < all ? transfer_kind(to, false, 0) : TRANSFER_PARTS;
    bool file = kind == TRANSFER_FILE;
    if (kind == TRANSFER_PARTS || (!file && sys(SYS_fcntl, to, F_GETFL) & O_NONBLOCK))
        return (long)done;
    uint64_t until = stop_until(call, to);
    while (done < all && !stop_signal_waits(mask) && (file || stop_await_file(to, POLLOUT, until, mask) > 0)) {
        size_t part = min_size(all - done, file ? mib : sys_page()); /* of a pipe or socket there is room for a page then */
        long n = sends ? sys(SYS_sendfile, to, *argument[1], *argument[2], part)
                       : sys(SYS_copy_file_range, *argument[0], *argument[1], to, *argument[3], part, *argument[5]);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return (long)done;
}

/* The call has returned `done`, more than 0, perhaps because a stop came. Returns what it would have returned without one. */
COLD static long stop_finish(long call, unsigned long *argument[6], long done, const sigmask *mask)
{
    struct transfer t;
    if (call == SYS_sendfile || call == SYS_copy_file_range)
        return copy_go_on(call, argument, (size_t)done, mask);
    if (!transfer_set(call, argument, &t))
        return done;
    enum transfer_kind kind = transfer_rest(call, &t, (size_t)done * t.unit, *argument[4]);
    if (kind == TRANSFER_PARTS)
        return done;
    uint64_t until = kind == TRANSFER_SOCKET ? stop_until(call, t.fd) : UINT64_MAX;
    return (long)(transfer_go_on(&t, kind, (size_t)done * t.unit, until, mask) / t.unit);
}

/* Was the call made with these arguments? Or made again, with what time was left (stop_shorten). */
static bool call_has(const struct raw_call *call, unsigned long *argument[6])
{
    unsigned long left_ms = stop_wait.asked_ns / 1000000;
    bool same = true;
    for (int i = 0; i < 6 && same; i++)
        same = *argument[i] == (unsigned long)call->argument[i] || *argument[i] == (unsigned long)&stop_wait.left ||
               (left_ms && *argument[i] == left_ms);
    return same;
}

/* The number of the system call there, with these arguments, if it is syscall() that makes it; -1: it is not. */
static long stop_raw_call(const unsigned char *syscall_at, unsigned long *argument[6])
{
    const struct raw_call *call = (uintptr_t)syscall_at - (uintptr_t)next.syscall < 64 ? raw_call : NULL;
    return call && call_has(call, argument) ? call->number : -1;
}

/* How many of the bytes before a place may be read, up to `most`? The page before may not be there. */
static size_t stop_readable(const unsigned char *at, size_t most)
{
    size_t in_page = (uintptr_t)at % sys_page(), page = sys_page();
    if (in_page < most && sys_madvise((void *)(at - in_page - page), page, MADV_POPULATE_READ) != 0)
        return in_page;
    return most;
}

/* The number that a `mov $NUMBER, %eax` shortly before the system call has loaded, or `xor %eax, %eax` right before; -1: none. */
static long stop_call_at(const unsigned char *syscall_at)
{
    size_t most = stop_readable(syscall_at, 20);
    if (most >= 2 && syscall_at[-2] == 0x31 && syscall_at[-1] == 0xc0)
        return SYS_read;
    for (size_t back = 5; back <= most; back++) {
        unsigned number;
        unsigned char before = back < most ? syscall_at[-(long)back - 1] : 0;
        memcpy(&number, syscall_at - back + 1, sizeof number);
        if (syscall_at[-(long)back] == 0xb8 && number < 1024 && before != 0x41 && before != 0x48 && before != 0x49)
            return number;
    }
    return -1;
}

/* Has the thread make its interrupted system call again when the handler returns. The kernel leaves the address
 * behind the system call in rcx. */
static void stop_repeat(ucontext_t *u, const struct stopped *s)
{
    greg_t *reg = u->uc_mcontext.gregs;
    const unsigned char *at = (const unsigned char *)reg[REG_RIP] - 2;
    unsigned long *argument[6];
    sigmask mask;
    memcpy(&mask, &u->uc_sigmask, sizeof mask);
    long result = (long)reg[REG_RAX];
    if ((result != -EINTR && result <= 0) || reg[REG_RCX] != reg[REG_RIP] || stop_readable(at + 2, 2) < 2 || at[0] != 0x0f ||
        at[1] != 0x05)
        return;
    if (stop_is_inner(at)) { /* signals that it blocks come in again in there */
        stop_wait.cut = true;
        return;
    }
    static const int place[6] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};
    for (int i = 0; i < 6; i++)
        argument[i] = (unsigned long *)&reg[place[i]];
    bool seen = stop_was_seen(s, argument, (unsigned long)reg[REG_RSP]) && s->argument[0] == *argument[0];
    long raw = stop_raw_call(at, argument);
    long call = seen && s->call != SYS_restart_syscall ? s->call : raw >= 0 ? raw : stop_call_at(at);
    stop_unfinished(call, *argument[0], *argument[2], result);
    if (call < 0 || stop_others_wait(mask))
        return;
    bool may_go_on = stop_may_go_on(u);
    if (result > 0) {
        reg[REG_RAX] = may_go_on ? stop_finish(call, argument, result, &mask) : result;
        return;
    }
    result = !stop_repeats(call) ? -EINTR : may_go_on ? stop_await_socket(call, argument, &mask) : 0;
    if (!result) {
        stop_shorten((uintptr_t)at, call, argument);
        result = stop_is_late((uintptr_t)at, call, argument) ? -ETIME : 0;
    }
    if (result) {
        reg[REG_RAX] = result;
        return;
    }
    reg[REG_RAX] = call;
    reg[REG_RIP] -= 2;
}
#elif defined(__aarch64__)
/* The same. The result has replaced the first argument, so that must have been seen before. */
static void stop_repeat(ucontext_t *u, const struct stopped *s)
{
    mcontext_t *m = &u->uc_mcontext;
    unsigned long *argument[6];
    sigmask mask;
    memcpy(&mask, &u->uc_sigmask, sizeof mask);
    for (int i = 0; i < 6; i++)
        argument[i] = (unsigned long *)&m->regs[i];
    if (s->call == (long)m->regs[8] && stop_was_seen(s, argument, m->sp))
        stop_unfinished(s->call, s->argument[0], m->regs[2], (long)m->regs[0]);
    if ((long)m->regs[0] != -EINTR || *(const uint32_t *)(m->pc - 4) != 0xd4000001)
        return;
    if (stop_is_inner((const void *)(m->pc - 4))) {
        stop_wait.cut = true;
        return;
    }
    if (s->call != (long)m->regs[8] || !stop_was_seen(s, argument, m->sp) || !stop_repeats(s->call) || stop_others_wait(mask))
        return;
    m->regs[0] = s->argument[0];
    long result = stop_may_go_on(u) ? stop_await_socket(s->call, argument, &mask) : 0;
    if (result) {
        m->regs[0] = (unsigned long)result;
        return;
    }
    stop_shorten(m->pc, s->call, argument);
    if (stop_is_late(m->pc, s->call, argument)) {
        m->regs[0] = (uint64_t)-ETIME;
        return;
    }
    m->pc -= 4;
}
#else
static void stop_repeat(ucontext_t *u, const struct stopped *s)
{
    (void)u;
    (void)s;
}
#endif

static void map_await_look(void), map_looked(uint64_t due_ms); /* MAP */

/* Runs in each thread of the program: waits for the end of the round, if that is not over, and puts right what it
 * interrupted. What isn't ours is glibc's. Only async-signal-safe calls. */
static void stop_handler(int sig, siginfo_t *info, void *context)
{
    struct stopped *s = info->si_value.sival_ptr;
    bool ours = info->si_code == SI_QUEUE && info->si_pid == sys_getpid() && s >= stopped && s < stopped + STOP_MAX;
    if (!ours) {
        if ((uintptr_t)stop.glibc.handler > (uintptr_t)SIG_IGN)
            stop.glibc.handler(sig, info, context);
        return;
    }
    int err = errno;
    stop_wait.slept = thread_sleeps(); /* before it sleeps here */
    unsigned round = atomic_load(&s->round);
    const struct stopped own = *s; /* the next round may have another thread there */
    sigmask before;
    memcpy(&before, &((ucontext_t *)context)->uc_sigmask, sizeof before);
    bool waits = round & 1 && s->tid == sys_gettid();
    if (waits && atomic_load(&stop.early) && signals_are_held(before)) {
        atomic_store(&s->round, 0);
        waits = !atomic_load(&stop.early); /* the stopper may have missed it */
    }
    if (waits) {
        atomic_store(&s->waits, round);
        while (atomic_load(&stop_round) == round)
            futex_wait(&stop_round, round, NULL);
        if (atomic_load(&stop.one_by_one)) {
            sleep_ns(min_size((size_t)(s - stopped + 1) * stop_apart_ns, stop_apart_most_ns));
            map_await_look();
        }
    }
    stop_repeat(context, &own);
    errno = err;
}

/* glibc sets its own handler with its first thread, whenever that is. */
static bool stop_handles(void)
{
#ifdef __SANITIZE_THREAD__ /* its functions can't run in a thread that it does not know yet */
    return false;
#endif
    const struct sys_sigaction ours = {.handler = stop_handler, .flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK,
                                       .mask = ~(sigmask)0};
    struct sys_sigaction now;
    if (!sys_on_signal(STOP_SIGNAL, NULL, &now))
        return false;
    if (now.handler == stop_handler)
        return true;
    stop.glibc = now;
    return sys_on_signal(STOP_SIGNAL, &ours, NULL);
}

/* Reads a thread's file. The only thread's are kept open, since a number that we take for a moment may be one that the
 * program counts on; among several threads none can count on any. */
static size_t thread_look(pid_t tid, const char *name, char *text, size_t space)
{
    char path[64];
    if (stop.several)
        return thread_read(tid, name, text, space);
    text_format(path, sizeof path, "/proc/self/%s", name);
    return tid == sys_getpid() ? read_self(path, text, space, 0) : 0;
}

/* The system call that the thread sleeps in: NUMBER 0xARGUMENT... 0xSTACK 0xPC. */
static void thread_call(struct stopped *s)
{
    char text[256];
    const char *at = text;
    s->call = -1;
    if (!thread_look(s->tid, "syscall", text, sizeof text) || text[0] < '0' || text[0] > '9')
        return;
    long call = (long)text_digits(&at, 10);
    for (int i = 0; i < 7; i++) {
        if (!text_begins(at, " 0x"))
            return;
        at += 3;
        *(i < 6 ? &s->argument[i] : &s->stack) = text_digits(&at, 16);
    }
    s->call = call;
}

/* Does the thread, which forks, wait for a lock? Where that can't be seen it is to be feared. */
static bool thread_waits(pid_t tid)
{
    char text[256];
    const char *at = text;
    return !thread_read(tid, "syscall", text, sizeof text) ||
           (text[0] >= '0' && text[0] <= '9' && text_digits(&at, 10) == SYS_futex);
}

/* Would the call come back half-done if it were interrupted now? A program without handlers need not expect that. */
static bool call_is_half_done(const struct stopped *s)
{
    switch (s->call) {
    case SYS_write:
    case SYS_writev:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendfile:
    case SYS_splice:
    case SYS_getrandom:
    case SYS_execve: /* not by libc's functions (exec_begin) */
    case SYS_execveat:
        return true;
    case SYS_recvfrom:
        return s->argument[3] & MSG_WAITALL;
    case SYS_recvmsg:
        return s->argument[2] & MSG_WAITALL;
    case SYS_recvmmsg: /* of several messages, by their number */
        return s->argument[2] > 1 && !(s->argument[3] & MSG_WAITFORONE);
    case SYS_sendmmsg:
        return s->argument[2] > 1;
    case SYS_io_getevents:
    case SYS_io_pgetevents:
        return s->argument[1] > 1;
    case SYS_close: /* of a socket that lingers */
        return true;
    default:
        return false;
    }
}

/* Does the thread wait for its child by vfork? It takes no signal then, and the child, which is not stopped, may take its time. */
static bool thread_waits_for_exec(pid_t tid)
{
    char text[256];
    const char *at = text;
    if (!thread_look(tid, "syscall", text, sizeof text) || !is_digit(*text))
        return false;
    long call = (long)text_digits(&at, 10);
#ifdef SYS_vfork
    if (call == SYS_vfork)
        return true;
#endif
    return call == SYS_clone || call == SYS_clone3;
}

/* Is ours in that set of signals of the thread's? */
static bool thread_has_signal(pid_t tid, const char *set)
{
    char text[2048];
    const char *at = thread_look(tid, "status", text, sizeof text) ? text_search(text, set) : NULL;
    at += at ? text_length(set) : 0;
    return at && text_digits(&at, 16) & sigmask_of(STOP_SIGNAL);
}

enum { SIGNALS_NONE, SIGNALS_BLOCKED, SIGNALS_TAKEN };

/* Can that thread be stopped? Some of the kernel's work for the program (io_uring), and take no signals; some block even
 * this one, as each does that begins or ends. */
static int thread_takes_signals(pid_t tid)
{
    char text[2048];
    const char *at = thread_look(tid, "stat", text, sizeof text) ? text_find_last(text, ')') : NULL;
    for (int field = 2; at && field < 9; field++)
        at = text_find(at + 1, ' ');
    const unsigned long io_worker = 0x10; /* the kernel's PF_IO_WORKER */
    at = at ? at + 1 : "0";
    if (text_digits(&at, 10) & io_worker) {
        stop.writes = true;
        return SIGNALS_NONE;
    }
    return thread_has_signal(tid, "\nSigBlk:\t") || thread_waits_for_exec(tid) ? SIGNALS_BLOCKED : SIGNALS_TAKEN;
}

/* Sends the thread its signal. */
static void stop_send(struct stopped *s, unsigned round)
{
    siginfo_t info = {.si_signo = STOP_SIGNAL, .si_code = SI_QUEUE};
    info.si_pid = sys_getpid();
    info.si_uid = (uid_t)sys(SYS_getuid);
    info.si_value.sival_ptr = s;
    atomic_store(&s->round, round);
    if (sys(SYS_rt_tgsigqueueinfo, sys_getpid(), s->tid, STOP_SIGNAL, &info) != 0 && errno != ESRCH)
        stop.complete = false;
}

/* Has the thread been seen in this round? */
static bool stop_knows(pid_t tid)
{
    for (unsigned i = 0; i < stop.threads; i++)
        if (stopped[i].tid == tid)
            return true;
    return false;
}

/* Have all threads been seen that exist? A listing of /proc may skip one when another ends that it has shown: so the count comes
 * first, and of those seen only who exists after it counts. */
static bool stop_knows_all(void)
{
    const pid_t ours[] = {sys_gettid(), atomic_load(&mon.tid), atomic_load(&watch.tid)};
    struct stat st;
    size_t known = 0;
    if (sys_stat("/proc/self/task", &st) != 0 || st.st_nlink <= 2)
        return true;
    for (unsigned i = 0; i < stop.threads; i++)
        known += thread_exists(stopped[i].tid);
    for (unsigned i = 0; i < sizeof ours / sizeof ours[0]; i++)
        known += ours[i] && (i == 0 || ours[i] != ours[0]) && !stop_knows(ours[i]) && thread_exists(ours[i]);
    return known >= st.st_nlink - 2;
}

/* Sends a thread that was not there, or not seen, before its signal, unless it is in the middle of a call that would come
 * back half-done. */
static bool stop_one(pid_t tid, int listed)
{
    if (tid == sys_gettid() || stop_knows(tid))
        return true;
    if (stop.threads == STOP_MAX) {
        stop.complete = false;
        return true;
    }
    struct stopped *s = &stopped[stop.threads++];
    s->tid = tid;
    s->listed = listed;
    atomic_store(&s->round, 0);
    atomic_store(&s->waits, stop.main_ended && tid == sys_getpid() ? atomic_load(&stop_round) : 0);
    thread_call(s);
    if (!call_is_half_done(s))
        stop_send(s, atomic_load(&stop_round));
    return true;
}

/* All threads of the program. Without /proc they are known only while there is one. */
static bool threads_all(bool (*see)(pid_t tid, int listed))
{
    if (file_valid(&stop.tasks))
        return threads_see(stop.tasks.fd, see) != 0 || thread_count() == 0;
    return atomic_load(&mon.only_ours) && !atomic_load(&mon.others) && see(sys_getpid(), 0);
}

static bool map_touches(const void *at, size_t bytes); /* MAP */

/* May what is there be mapped from elsewhere while threads are stopped? */
static bool memory_is_ours(const void *p) { return mem_owns(p) || map_touches(p, 1); }

/* What the thread does: R, S, D ..., as /proc has it; 0: it has ended. */
static char thread_state(pid_t tid)
{
    char text[512];
    const char *state = thread_look(tid, "stat", text, sizeof text) ? text_find_last(text, ')') : NULL;
    return state ? state[2] : 0;
}

/* Can the thread not run on before it has taken the signal, though it has not yet? It has ended, or waits in the kernel
 * for a page, which may take a second on a slow disk; on its stack the handler's frame will be written then. But one that
 * blocks the signal would run on. */
static bool stop_is_held(const struct stopped *s)
{
    char text[512];
    const char *stack = text + 5;
    if (!thread_exists(s->tid))
        return true;
    if (thread_look(s->tid, "syscall", text, sizeof text) && text_begins(text, "-1 0x"))
        return !atomic_load(&stop.frames) && !memory_is_ours((void *)text_digits(&stack, 16)) &&
               thread_takes_signals(s->tid) == SIGNALS_TAKEN;
    char state = thread_state(s->tid);
    return state == 'Z' || state == 'X';
}

static const uint64_t stop_look_ns = 3 * 1000000;   /* before it is looked why a thread does not come */
static const unsigned stop_halves = 50, stop_halves_hurry = 4; /* stops in a row that are put off for a half-done call */

static const unsigned stop_lists = 20; /* in which no new thread is seen, though there is one */

static const uint64_t stop_blocked_ns = 50 * 1000000; /* for a thread that begins or ends, while all others wait */

/* Sends the signal to those that were not sent it. */
static void stop_send_all(unsigned round)
{
    for (unsigned i = 0; i < stop.threads; i++)
        if (atomic_load(&stopped[i].round) != round)
            stop_send(&stopped[i], round);
}

/* Will it not take the signal? `after`: it had time to begin, or to end. */
static bool stop_is_deaf(const struct stopped *s, bool after)
{
    int takes = thread_takes_signals(s->tid);
    bool deaf = takes == SIGNALS_NONE || (takes == SIGNALS_BLOCKED && after);
    if (deaf)
        stop.deaf = s->tid;
    return deaf;
}

/* Does who did not take the signal at an earlier stop not take it yet? What it waits for in the kernel may never come: a file system's
 * answer; or a debugger keeps it. Who only waits for a processor gets one while the others stand; and in a hurry all is tried once. */
static bool stop_stays_deaf(void)
{
    if (thread_takes_signals(stop.deaf) != SIGNALS_TAKEN)
        return true;
    return thread_has_signal(stop.deaf, "\nSigPnd:\t") && thread_state(stop.deaf) != 'R' && (stop.deaf_hurry || !stop.hurry);
}

/* Waits until every thread has taken its signal. Who went on until now is sent it again; nobody does from here on. */
static bool stop_await(uint64_t until_ns)
{
    const struct timespec step = {.tv_nsec = 30000};
    unsigned round = atomic_load(&stop_round);
    uint64_t began = now_ns();
    stop_send_all(round);
    for (unsigned i = 0; i < stop.threads && stop.complete;) {
        struct stopped *s = &stopped[i];
        uint64_t now = now_ns();
        bool late = now > began + stop_look_ns;
        if (atomic_load(&s->waits) == round || (late && stop_is_held(s)))
            i++;
        else if (late && stop_is_deaf(s, now > began + stop_blocked_ns))
            return false;
        else if (now > until_ns) {
            stop.deaf = s->tid;
            stop.deaf_hurry = stop.hurry;
            return false;
        } else
            sys(SYS_nanosleep, &step, NULL);
    }
    return stop.complete;
}

/* As sigaltstack(2). A signal whose frame does not fit ends the program, and one that leaves no room for the handler overwrites
 * what lies below. */
static int altstack_set(const stack_t *to, stack_t *old)
{
    const size_t least = 5 * kib; /* with AVX-512 it takes 3.9 KiB; who uses AMX must have more */
    bool small = to && !(to->ss_flags & SS_DISABLE) && to->ss_size < least;
    int result = (int)sys(SYS_sigaltstack, to, old);
    if (result == 0 && small)
        atomic_store(&stop.cramped, true);
    if (result == 0 && to && (to == old || memory_is_ours(to->ss_sp))) /* the former: `to` is no more what it was */
        atomic_store(&stop.frames, true);
    return result;
}

/* Would a signal of ours harm some thread? Nothing tells when that is over. */
static bool stop_harms(void) { return atomic_load(&stop.dispatched) || atomic_load(&stop.cramped); }

/* As prctl(2). */
static int process_set(int what, const long a[4])
{
    enum { SET_SYSCALL_USER_DISPATCH = 59, STRICT = 1 }; /* linux/prctl.h has the former from 5.11 on */
    bool strict = what == PR_SET_SECCOMP && a[0] == STRICT, begun = strict && exec_begin(); /* none is on its way here, then */
    if (strict)
        atomic_store(&stop.dispatched, true);
    int result = (int)sys(SYS_prctl, what, a[0], a[1], a[2], a[3]);
    exec_end(begun);
    if (what == SET_SYSCALL_USER_DISPATCH && result == 0 && a[0])
        atomic_store(&stop.dispatched, true);
    return result;
}

static void stop_end(void)
{
    atomic_fetch_add(&stop_round, 1);
    futex_wake(&stop_round, INT32_MAX);
    stop_off();
}

/* Asks every other thread of the program to wait. Requires the gate, shut: who is inside is not stopped there. False: some
 * thread had better not be stopped, or can't. */
static bool stop_ask(void)
{
    stop.threads = 0;
    stop.writes = stop.put_off = false;
    threads_note_listed();
    stop.several = thread_count() > 1;
    stop.main_ended = stop.several && main_has_ended();
    stop.complete = true;
    if (stop_harms() || !stop_handles() || (stop.deaf && stop_stays_deaf()))
        return false;
    stop.deaf = 0;
    stop.put_off = !stop_on();
    if (stop.put_off)
        return false;
    atomic_store(&stop.early, true);
    atomic_store(&stop.one_by_one, false);
    unsigned round = atomic_fetch_add(&stop_round, 1) + 1;
    map_looked(0); /* who waits for that in the handler would keep us waiting */
    bool half_done = false, all = threads_all(stop_one) && stop.complete;
    for (unsigned i = 0; i < stop.threads; i++)
        half_done |= call_is_half_done(&stopped[i]);
    stop.halves = half_done ? stop.halves + 1 : stop.halves - (stop.halves > 0);
    stop.put_off = all && half_done && stop.halves <= (stop.hurry ? stop_halves_hurry : stop_halves);
    if (all && !stop.put_off)
        stop_send_all(round);
    else
        stop_end();
    return all && !stop.put_off;
}

/* Waits for those that were asked, until stop_end. Requires the gate, closed: nobody is in the middle of an operation of
 * ours. False: some thread can't be stopped in that time, and all go on. */
static bool stop_asked(uint64_t most_ms)
{
    uint64_t until_ns = now_ns() + most_ms * 1000000;
    atomic_store(&stop.early, false);
    bool all = true, known = false;
    for (unsigned lists = 0; all && !known && lists < stop_lists;) {
        unsigned before = stop.threads;
        all = stop_await(until_ns) && threads_all(stop_one) && stop.complete;
        bool more = stop.threads > before; /* another one has made it meanwhile */
        known = all && !more && stop_knows_all();
        lists += !more;
    }
    if (!known)
        stop_end();
    return known;
}

/* May another process write to this one's memory? No thread of that is stopped. */
static bool memory_is_shared(void)
{
    return atomic_load(&mem.shared) || mem.pid != sys_getpid(); /* a vfork child, whose parent's threads run on */
}

/* Stops every other thread of the program until stop_end, likewise. */
static bool stop_begin(uint64_t most_ms)
{
    return stop_ask() && stop_asked(most_ms);
}

/* For what the program waits for: tried again for two seconds. A thread that is being made blocks all signals for a
 * moment. One that waits in the kernel, as the caller of vfork does for its child, may be waited for as long at most. */
static bool stop_surely(void)
{
    uint64_t began = now_ms(), most_ms = 2000;
    threads_keep();
    for (uint64_t passed = 0; passed < most_ms; sleep_ms(20), passed = now_ms() - began) {
        if (stop_begin(most_ms - passed))
            return true;
        if (stop.writes || stop_harms())
            return false;
    }
    return false;
}

/* --- sleepers on a futex ---------------------------------------------------------------------------- */

enum { CALL_FUTEX_WAITV = 449, CALL_FUTEX_WAIT = 455 }; /* on every platform; libc's headers may be older */

/* Has the thread look again at what it sleeps on, if that may be in memory of ours which it shares with other
 * processes, as far as the futex knows: its place in the kernel's tables was that of the file page. Who runs may be
 * about to sleep there. */
static bool sleeper_rouse(pid_t tid, int listed)
{
    if (tid == sys_gettid() || stop_knows(tid))
        return true;
    stop.threads -= stop.threads == STOP_MAX;
    struct stopped *s = &stopped[stop.threads++];
    s->tid = tid;
    s->listed = listed;
    atomic_store(&s->round, 0);
    atomic_store(&s->waits, 0);
    thread_call(s);
    bool elsewhere = s->call >= 0 && s->call != CALL_FUTEX_WAITV && s->call != CALL_FUTEX_WAIT && s->call != SYS_restart_syscall &&
                     (s->call != SYS_futex || s->argument[1] & FUTEX_PRIVATE_FLAG || !memory_is_ours((void *)s->argument[0]));
    if (!elsewhere && !call_is_half_done(s))
        stop_send(s, 0);
    return true;
}

/* After mappings have changed between shared and private. Requires the gate, closed. */
static void sleepers_rouse(void)
{
    threads_note_listed();
    stop.several = thread_count() > 1;
    stop.threads = 0;
    if (!stop.several || stop_harms() || !stop_handles())
        return;
    int fd = threads_open();
    if (fd < 0)
        return;
    bool on = stop_on();
    for (uint64_t began = now_ms(); !on && now_ms() - began < exec_most_ms; on = stop_on())
        sleep_ms(1);
    for (unsigned lists = 0; on && lists < stop_lists && threads_see(fd, sleeper_rouse) && !stop_knows_all();)
        lists++;
    if (on)
        stop_off();
    sys(SYS_close, fd);
}

/* It looks at once. */
static void mon_wake(void)
{
    atomic_fetch_add(&mon.wake, 1);
    futex_wake(&mon.wake, 1);
}

/* Keeps the thread asleep, or waits until it is. */
static void mon_hold(void) { lock_take(&mon.awake); }
static void mon_release(void) { lock_drop(&mon.awake); }

/* Does a fork wait for the lock that the monitor has? */
static bool mon_wanted(void)
{
    return atomic_load(&mon.awake.word) == 2;
}

/* In the middle of long work: a fork that waits for the thread comes in between. */
static void mon_pause(void)
{
    struct timespec t = {.tv_nsec = 100000};
    mon_release();
    sys(SYS_nanosleep, &t, NULL);
    mon_hold();
}

/* ============================================================================================
 * === HOME  bringing back to disk what was written after a fork
 *
 * After a fork a frozen block is a private mapping of its file: what is written to it becomes anonymous memory,
 * which nobody can page out. Where that runs short, what has changed is found through pagemap, written to a file
 * of this process's own, at the same distance from its start, and mapped from there MAP_SHARED, with the
 * protections that it had. All other threads are stopped for it (STOP), for a hundredth of a second at a time, and
 * the monitor does it: on its own stack, not on one that is being brought home.
 *
 * What is locked, and mappings of the program's own over a part of a block, stay as they are.
 * ========================================================================================= */
enum { HOME_PIECES = 64 };

/* A part of one frozen block, or of neighbouring frozen fries. */
struct piece {
    size_t from, to; /* offsets in the reservation */
    size_t moved;    /* bytes of it that have come home */
    uint32_t record, generation; /* of the bigmaac; 0: fries */
    bool whole;      /* all of it has changed: nothing of it is on the disk alone */
    bool seen;       /* by the last walk */
};

static struct home {
    atomic_size_t frozen_bytes;   /* in frozen bigmaacs and fries; 0: nothing to do */
    /* The others are the monitor's, or a child's while it has one thread. */
    struct piece pieces[HOME_PIECES];
    unsigned count;               /* of pieces */
    bool cut;                     /* the last walk ended before it had seen all pieces */
    bool unstopped;               /* in the last round somebody could not be stopped, or all was refused */
    bool refused;                 /* in the last round the disk did not take what was to come */
    size_t place;                 /* where the next look begins: a record, or, behind the last of them, an extent of fries */
    size_t granule;               /* of that record, with which it begins */
    size_t idle;                  /* places looked at since anything has come home; */
    size_t scattered;             /* bytes changed there, of granules with too few of them to come; */
    bool scarce;                  /* these come, too, in this lap */
    bool done;                    /* all of them: what is frozen can't come, or is not changed */
    size_t floor;                 /* anonymous bytes after the last time */
    bool blind;                   /* the kernel tells no mappings: nothing was set on any, as far as we saw */
    bool held;                    /* memory was frozen to keep it from the disk (MONITOR), not for a fork alone */
    uint64_t retry_ms, wait_ms;   /* unstopped: when to try again, and how long after that */
    uint64_t tick_ms;             /* when home_tick began last */
} home;

static const uint64_t home_stop_ns = 10 * 1000000; /* threads are stopped for about as long at most */
static const size_t home_least = 64 * mib; /* a stop, where memory runs short: on a busy machine it hardly runs in that time */
static const uint64_t home_await_ms = 200;         /* for threads to stop: longer than a call lasts that does not sleep */
static const uint64_t home_look_ms = 20;           /* between two looks, while much is frozen */
static const uint64_t home_turn_ms = 200;          /* of this work, before the monitor sees to its other duties */
static const size_t home_sparse = 16;              /* what has a 16th of it changed comes home whole */
static const size_t hold_room = 4 * gib; /* less is left: what was held from the disk comes home. It may be filled within a second */

static const uint64_t pagemap_present = (uint64_t)1 << 63, pagemap_swapped = (uint64_t)1 << 62;
static const uint64_t pagemap_file = (uint64_t)1 << 61;

/* How many of up to 8 of the kernel's pages from there on the program's page table has: what was only read ahead is not in it
 * yet. -1: the kernel doesn't tell. */
static int pages_mapped(size_t offset, unsigned pages)
{
    uint64_t entry[9]; /* one more than is read */
    size_t bytes = pages * sizeof entry[0];
    off_t at = (off_t)((uintptr_t)mem_at(offset) / sys_page() * sizeof entry[0]);
    if (read_self("/proc/thread-self/pagemap", (char *)entry, bytes + 1, at) < bytes)
        return -1;
    int mapped = 0;
    for (unsigned i = 0; i < pages; i++)
        mapped += (entry[i] & pagemap_present) != 0;
    return mapped;
}

/* Bytes of the range that are anonymous, so changed since the fork; all of them where the kernel does not tell. */
static size_t bytes_changed(size_t offset, size_t bytes)
{
    uint64_t entry[513];
    size_t changed = 0;
    for (size_t at = offset; at < offset + bytes;) {
        size_t n = min_size(512, (offset + bytes - at) / sys_page());
        off_t where = (off_t)((uintptr_t)mem_at(at) / sys_page() * sizeof entry[0]);
        if (read_self("/proc/thread-self/pagemap", (char *)entry, n * sizeof entry[0] + 1, where) < n * sizeof entry[0])
            return bytes;
        for (size_t i = 0; i < n; i++)
            changed += (entry[i] & (pagemap_present | pagemap_swapped)) && !(entry[i] & pagemap_file);
        at += n * sys_page();
    }
    return changed * sys_page();
}

/* Reads statm or status of /proc/self; where main has ended that of the thread which opened it, anew if that has, too. Our own
 * threads can't open it: home_see_again. Returns the length; 0: nothing tells of the process's memory. */
static size_t read_process(const char *name, char *text, size_t space)
{
    static const char *const folders[] = {"self", "thread-self", "thread-self"};
    char path[64];
    for (int i = 0; i < 3; i++) {
        text_format(path, sizeof path, "/proc/%s/%s", folders[i], name);
        if (i == 2)
            kept_drop(path);
        size_t n = read_self(path, text, space, 0);
        if (n && !text_begins(text, "0 ") && (is_digit(text[0]) || text_contains(text, "VmRSS:")))
            return n;
    }
    return 0;
}

/* Anonymous memory of the process, bytes; 0: not known. */
static size_t anonymous_bytes(void)
{
    char text[128];
    const char *at = text;
    if (!read_process("statm", text, sizeof text))
        return 0;
    text_digits(&at, 10);
    at++;
    size_t resident = text_digits(&at, 10);
    at++;
    size_t shared = text_digits(&at, 10);
    return (resident > shared ? resident - shared : 0) * sys_page();
}

/* Bytes of page tables; 0: not known. */
static size_t tables_bytes(void)
{
    char text[4096];
    return read_process("status", text, sizeof text) ? text_value(text, "VmPTE:", 0) * kib : 0;
}

/* --- choosing ---------------------------------------------------------------------------------------- */

/* Notes a piece if enough of it has changed, or all is to come. What another piece has already is left out: a walk that
 * has moved that believes it to be private still. */
static void home_note(const struct big *r, size_t from, size_t to, bool all)
{
    for (const struct piece *p = home.pieces; p < home.pieces + home.count; p++) {
        if (from >= p->from && from < p->to)
            return;
        to = p->from > from && p->from < to ? p->from : to;
    }
    size_t changed = all ? 0 : bytes_changed(from, to - from);
    if (!all && changed < (home.scarce ? sys_page() : (to - from) / home_sparse))
        home.scattered += changed;
    else
        home.pieces[home.count++] = (struct piece){
            .from = from, .to = to, .record = r ? big_index(r) : 0, .generation = r ? r->generation : 0, .whole = changed == to - from};
}

/* Requires big.lock. True: the look at that block is over. Parts of a block that lie in several files all come home at the
 * next opportunity: each of these files stays on the disk while anything of it is mapped. */
static bool home_look_big(const struct big *r, bool all, uint64_t until_ns)
{
    if (home.blind) /* what has come home can't be told from the rest; so it goes in order */
        home.granule = max_size(home.granule, r->home_bytes / huge_size);
    for (; home.granule * huge_size < r->mapped; home.granule++) {
        size_t from = big_offset(r) + home.granule * huge_size;
        if (home.count == HOME_PIECES || now_ns() > until_ns)
            return false;
        home_note(r, from, min_size(from + huge_size, big_offset(r) + r->mapped), all || r->frozen_in[1]);
    }
    return true;
}

/* Requires fry.lock. The live frozen fries from that extent on, up to a granule of them. */
static void home_look_fry(const struct extent *x, bool all)
{
    size_t from = extent_offset(&fry.space, x), to = from + to_bytes(x->pages);
    while (x->next) {
        x = extent_at(&fry.space, x->next);
        if (x->state != EXTENT_LIVE || x->slot != 0 || to - from + to_bytes(x->pages) > huge_size)
            break;
        to += to_bytes(x->pages);
    }
    home_note(NULL, from, to, all);
}

/* The lap begins anew: what was looked at may come, or has changed, by now. */
static void home_begin_lap(void)
{
    home.idle = home.scattered = 0;
    home.done = false;
}

/* Requires all locks. True: the look at that place is over. */
static bool home_look_at(size_t place, bool all, uint64_t until_ns)
{
    if (place > big.record_count) {
        const struct extent *x = extent_at(&fry.space, (uint32_t)(place - big.record_count));
        if (x->state == EXTENT_LIVE && x->slot == 0)
            home_look_fry(x, all);
        return true;
    }
    const struct big *r = big_at((uint32_t)place);
    return !place || !r->in_use || !big_is_frozen(r) || big_extent(r)->state != EXTENT_LIVE || home_look_big(r, all, until_ns);
}

static size_t home_places(void) { return (size_t)big.record_count + fry.space.extent_count; }

/* Requires all locks. Fills pieces[] with what is worth coming home, or with all that is frozen, from where the last
 * look ended, until it has seen all or the time is over. */
static void home_look(bool all, uint64_t until_ns)
{
    enum { CLOCK_PLACES = 64 }; /* between two looks at the clock: most are nothing, and reading it is a system call */
    home.count = 0;
    while (home.count < HOME_PIECES && (home.idle % CLOCK_PLACES || now_ns() < until_ns)) {
        home.done = home.idle > home_places() + 1; /* the first one from its beginning, too */
        if (home.done)
            return;
        if (!home_look_at(home.place, all, until_ns))
            return;
        home.granule = 0;
        home.place = home.place < home_places() ? home.place + 1 : 0;
        home.idle++;
    }
}

/* --- moving -------------------------------------------------------------------------------------------- */

/* What a walk over the mappings is to bring home. */
struct coming {
    uint64_t until_ns;      /* then it ends; 0: never, */
    size_t least, moved;    /* but not before so many bytes have come home; and those that have */
    uintptr_t stack, frame; /* of the caller, who runs on it: that stays. 0, 0: elsewhere */
};

/* Requires all locks, and that nobody else runs. Returns the bytes that came home. */
static size_t piece_come(const struct vma *v, size_t from, size_t to, const struct coming *c)
{
    bool is_fry = from < mem.fry_end;
    struct big *r = is_fry ? NULL : big_containing(from);
    if ((uintptr_t)mem_at(from) <= c->frame && c->stack < (uintptr_t)mem_at(to))
        return 0;
    if (is_fry ? !was_frozen(fry.frozen_in, v) : !r || !big_is_frozen(r) || !was_frozen(r->frozen_in, v))
        return 0;
    size_t start = is_fry ? fry.space.start : big_offset(r), bytes = to - from;
    if ((is_fry ? fry.file.fd < 0 : big_ready_file(r) != REASON_NONE) ||
        !piece_move(is_fry ? &fry.file : &r->file, from, bytes, from - start, v)) {
        home.refused = true;
        return 0;
    }
    if (v->undumped)
        mem_advise(from, bytes, MADV_DONTDUMP);
    if (is_fry) {
        fry.file_bytes = max_size(fry.file_bytes, from - start + bytes);
        return bytes;
    }
    r->disk += bytes;
    folder_count(bytes, 0);
    enum policy policy = r->policy[(from - start) / big_part_bytes(r->mapped)];
    if (policy != POLICY_NORMAL)
        mem_set_policy(from, bytes, policy, r->piece);
    return bytes;
}

static bool coming_see(const struct vma *v, void *context)
{
    struct coming *c = context;
    for (struct piece *p = home.pieces; p < home.pieces + home.count; p++) {
        size_t from = max_size(v->from - mem.base, p->from), to = min_size(v->to - mem.base, p->to);
        if (from >= to)
            continue;
        p->seen = true;
        if (v->shared || v->locked || !v->inode)
            continue;
        size_t moved = piece_come(v, from, to, c);
        p->moved += moved;
        c->moved += moved;
        if (c->until_ns && c->moved >= c->least && now_ns() > c->until_ns)
            return !(home.cut = true);
    }
    return true;
}

/* Requires fry.lock. The live extent that starts there; 0: none does. */
static uint32_t fry_extent_at(size_t offset)
{
    const struct slab *slab = slab_containing(offset);
    uint32_t i = slab ? slab->extent : extent_lookup(&fry.space, offset);
    const struct extent *x = extent_at(&fry.space, i);
    return i && x->state == EXTENT_LIVE && extent_offset(&fry.space, x) == offset ? i : 0;
}

/* Is it what it was when it was noted, frozen? The program may have freed it since. */
static bool piece_is_frozen(const struct piece *p)
{
    const struct big *r = p->record ? big_at(p->record) : NULL;
    if (r)
        return r->in_use && r->generation == p->generation && big_is_frozen(r) && big_extent(r)->state == EXTENT_LIVE &&
               big_offset(r) <= p->from && p->to <= big_offset(r) + r->mapped;
    size_t at = p->from;
    for (uint32_t i = fry_extent_at(at); i && at < p->to; i = fry_extent_at(at)) {
        if (extent_at(&fry.space, i)->slot != 0)
            return false;
        at += to_bytes(extent_at(&fry.space, i)->pages);
    }
    return at == p->to;
}

/* A piece has come home: what of that is now as if no fork had been? */
static void piece_thaw(const struct piece *p)
{
    if (p->record) {
        struct big *r = big_at(p->record);
        r->home_bytes += p->moved;
        if (r->home_bytes < r->mapped)
            return;
        folder_count(0, r->disk - r->mapped);
        r->disk = r->mapped;
        r->backing = BACKED_SHARED;
        if (!r->lost) /* else a part of it may be shared from a file that the program has closed */
            memset(r->frozen_in, 0, sizeof r->frozen_in);
        return;
    }
    if (p->moved < p->to - p->from) /* it is mapped in part from the new file, uncounted: both keep it until it is freed */
        return;
    fry_backed(p->from - fry.space.start, p->to - p->from);
    for (size_t at = p->from; at < p->to; at += to_bytes(extent_at(&fry.space, fry_extent_at(at))->pages))
        extent_at(&fry.space, fry_extent_at(at))->slot = slot_current;
}

/* Without /proc: as if each piece were one plain private mapping. */
static void home_move_blind(const struct coming *c)
{
    home.blind = true;
    for (unsigned i = 0; i < home.count && !atomic_load(&vma_set); i++) {
        struct vma v = {.from = (uintptr_t)mem_at(home.pieces[i].from), .to = (uintptr_t)mem_at(home.pieces[i].to),
                        .protection = PROT_READ | PROT_WRITE, .unnamed = true};
        const struct big *r = big_containing(home.pieces[i].from);
        if (r && r->backing == BACKED_PATCHED)
            continue;
        v.inode = r ? r->frozen_in[0] : fry.frozen_in[0];
        home.pieces[i].moved = piece_come(&v, home.pieces[i].from, home.pieces[i].to, c);
    }
}

/* Requires all locks, and that nobody else runs. Returns the bytes that came home. */
static size_t home_move(struct coming *c)
{
    size_t moved = 0, from = SIZE_MAX, to = 0;
    unsigned valid = 0;
    for (unsigned i = 0; i < home.count; i++)
        if (piece_is_frozen(&home.pieces[i]))
            home.pieces[valid++] = home.pieces[i];
    home.count = valid;
    for (unsigned i = 0; i < home.count; i++) {
        from = min_size(from, home.pieces[i].from);
        to = max_size(to, home.pieces[i].to);
    }
    if (!home.count)
        return 0;
    home.cut = false;
    if (from < mem.fry_end) /* not later: if it is a new one, what has moved must be in the same file */
        fry_ready_file();
    if (!vmas_walk((uintptr_t)mem_at(from), (uintptr_t)mem_at(to), coming_see, c) && vma_reader.absent)
        home_move_blind(c);
    for (unsigned i = 0; i < home.count; i++) {
        moved += home.pieces[i].moved;
        if (home.pieces[i].moved)
            piece_thaw(&home.pieces[i]);
    }
    if (moved)
        home_begin_lap();
    return moved;
}

/* --- when ------------------------------------------------------------------------------------------------ */

/* Takes every lock, so that no stopped thread holds one. Signals are blocked by the caller, which has shut the gate. */
static void home_lock_shut(void)
{
    gate_empty();
    lock_take(&fry.lock);
    lock_take(&big.lock);
}

static void home_lock(void)
{
    gate_shut();
    home_lock_shut();
}

/* Requires fry.lock and big.lock. What is BUSY is not looked at: it is counted the next time. */
static void home_count(void)
{
    size_t frozen = 0;
    for (uint32_t i = 1; i <= big.record_count; i++) {
        const struct big *r = big_at(i);
        if (r->in_use && big_extent(r)->state == EXTENT_LIVE && big_is_frozen(r))
            frozen += r->mapped - r->home_bytes;
    }
    for (uint32_t i = 1; i <= fry.space.extent_count; i++) {
        const struct extent *x = extent_at(&fry.space, i);
        frozen += x->state == EXTENT_LIVE && x->slot == 0 ? to_bytes(x->pages) : 0;
    }
    atomic_store(&home.frozen_bytes, frozen);
}

static void home_unlock(void)
{
    home_count();
    lock_drop(&big.lock);
    lock_drop(&fry.lock);
    gate_open();
}

/* Nothing can come home now: some thread can't be stopped, not soon, or by nobody; or the disk is full. */
static void home_fails(const char *why)
{
    home.unstopped = true;
    home_begin_lap();
    if (stop.halves) /* soon, then */
        return;
    home.wait_ms = min_size(max_size(2 * home.wait_ms, 10), 60000);
    home.retry_ms = now_ms() + home.wait_ms;
    if (cfg.verbose)
        report("private memory: %s, so what was changed stays in memory; next try in %zu ms", why, (size_t)home.wait_ms);
}

/* Keeps the pieces that the last walk did not get to, if that was cut; else it looks for new ones. */
static void home_choose(void)
{
    unsigned left = 0;
    for (unsigned i = 0; i < home.count && home.cut; i++)
        if (!home.pieces[i].seen)
            home.pieces[left++] = home.pieces[i];
    home.count = left;
    if (left)
        return;
    home_lock();
    home_look(false, now_ns() + home_stop_ns);
    home_unlock();
    for (struct piece *p = home.pieces; p < home.pieces + home.count && !home.scarce; p++) /* then they would change as much meanwhile */
        if (!p->whole) /* what is on the disk is read while everybody runs */
            sys_madvise(mem_at(p->from), p->to - p->from, MADV_POPULATE_READ);
}

static const char *const home_unstopped = "a thread can't be stopped";

static size_t home_mappings; /* of the process, that home_is_unsafe saw last; home.lock */
static char home_writer[128]; /* what made it say so last: a link of /proc/self/fd, or other words; the monitor's */

static bool ring_see(const struct vma *v, void *seen)
{
    home_mappings++;
    return !(*(bool *)seen = v->ring);
}

static void map_faults_are_handled(void); /* MAP */

static struct {
    bool kinds;    /* the kernel tells of what kind a file is without asking who serves it, */
    unsigned left; /* of a listing of descriptors: each costs as much as ten numbers that are tried */
} fds; /* home.lock */

static const unsigned fds_sparse = 8; /* one number in so many is taken: all numbers are tried instead */

/* May that be something that writes? Of what is no device, and has a kind, the name need not be read. */
static bool fd_may_write(int fd)
{
    struct statx st;
    if (!fds.kinds)
        return true;
    if (sys(SYS_statx, fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) != 0)
        return errno != EBADF;
    return !(st.stx_mode & S_IFMT) || S_ISCHR(st.stx_mode);
}

/* Its name first: fstat asks who serves the file, over the network, or (FUSE) a thread of the program's, which stands. */
static bool fd_is_safe(int fd, int folder_fd)
{
    char name[16], link[128];
    struct stat st;
    if (!fd_may_write(fd))
        return true;
    text_format(name, sizeof name, "%d", fd);
    long n = sys(SYS_readlinkat, folder_fd, name, link, sizeof link - 1);
    link[n > 0 ? n : 0] = 0;
    bool faults = text_same(link, "anon_inode:[userfaultfd]");
    bool writes = link_writes(link) && (link[0] != '/' || (sys_fstat(fd, &st) == 0 && S_ISCHR(st.st_mode)));
    if (faults)
        map_faults_are_handled();
    if (faults || writes)
        memcpy(home_writer, link, sizeof home_writer);
    return !writes;
}

static bool fd_see(int fd, int folder_fd) { return fds.left-- && fd_is_safe(fd, folder_fd); }

/* Is nothing open that writes? `most`: no number is larger. */
static bool fds_are_safe(int folder_fd, size_t most)
{
    struct utsname kernel;
    fds.kinds = sys_unfiltered() && sys(SYS_uname, &kernel) == 0 && text_number(kernel.release, NULL) >= 5; /* FUSE: 4.20 */
    fds.left = fds.kinds && most ? (unsigned)(most / fds_sparse) : UINT32_MAX;
    if (numbers_see(folder_fd, false, fd_see, folder_fd))
        return true;
    if (fds.left != UINT32_MAX) /* else all are too many for the list */
        return false;
    for (int fd = 0; fd < (int)most; fd++)
        if (!fd_is_safe(fd, folder_fd))
            return false;
    return true;
}

/* Does the kernel or a device write for the program, so that stopped threads are no proof that nobody does? Rings show where they
 * are mapped, or by their descriptors; buffers that are registered are counted by most of those who pin them, whatever it is.
 * Requires that nobody else runs: descriptors are opened. */
static bool home_is_unsafe(void)
{
    home_mappings = 0;
    bool shared = memory_is_shared();
    text_format(home_writer, sizeof home_writer, "%s",
                shared ? "a process that shares its memory (CLONE_VM)" : "a ring, pinned memory, or what can't be told");
    if (shared)
        return true;
    bool ring = false, told = vmas_walk(0, UINTPTR_MAX, ring_see, &ring);
    if (ring || !told)
        return ring || !vma_reader.absent;
    char text[4096]; /* one file at a time: there may be no second number */
    if (status_value("VmPin:", text, sizeof text) != 0)
        return true;
    int folder_fd = open_beyond(AT_FDCWD, "/proc/thread-self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    bool unsafe = folder_fd < 0 || !fds_are_safe(folder_fd, text_value(text, "FDSize:", 0));
    if (folder_fd >= 0)
        sys(SYS_close, folder_fd);
    return unsafe;
}

/* The monitor's: one stop of the other threads, for about 10 ms, or until `least` bytes have come home. Returns how many
 * have. */
static size_t home_round(size_t least, uint64_t await_ms)
{
    struct coming c = {.least = least};
    size_t moved = 0;
    home.unstopped = home.refused = false;
    home_choose();
    if (!home.count)
        return 0;
    home_lock();
    bool stopped_all = stop_begin(await_ms), unsafe = stopped_all && home_is_unsafe();
    if (stopped_all && !unsafe) {
        c.until_ns = now_ns() + home_stop_ns;
        moved = home_move(&c);
        home.wait_ms = home.refused && !moved ? home.wait_ms : 0;
    }
    if (stopped_all)
        stop_end();
    if (!stopped_all || unsafe)
        home_fails(home_unstopped);
    else if (home.refused && !moved)
        home_fails("the disk does not take it");
    home_unlock();
    return moved;
}

static void mon_open(void);

/* What the monitor reads was closed by the program, or shows a thread that has ended. It is opened again while nobody can see which
 * number that takes. False: some thread can't be stopped. */
static bool home_see_again(void)
{
    home_lock();
    bool stopped_all = stop_begin(home_await_ms);
    if (stopped_all) {
        mon_self = false; /* here it may open files */
        mon_open();
        mon_self = true;
        stop_end();
    }
    home_unlock();
    return stopped_all;
}

/* Nothing more has come. Where memory is short of what is scattered, that comes in the next lap, at the price of what lies between; else
 * what is left has to stay, and only more of it is a reason to look again. */
static void home_end_lap(void)
{
    size_t anonymous = anonymous_bytes(), left = room_bytes();
    home.scarce = !home.scarce && left < (left + anonymous) / 4 && left < home.scattered;
    if (!home.scarce)
        home.floor = anonymous;
    home_begin_lap();
}

/* The monitor's. After a fork: has so much been changed that RAM runs short? Without /proc all counts as changed. */
static void home_tick(void)
{
    uint64_t began = now_ms();
    home.tick_ms = began;
    if (!atomic_load(&home.frozen_bytes) || began < home.retry_ms)
        return;
    size_t anonymous = anonymous_bytes(), moved = 0;
    if (!anonymous && !home_see_again())
        home_fails(home_unstopped);
    anonymous = anonymous ? anonymous : anonymous_bytes();
    if (!anonymous)
        anonymous = atomic_load(&home.frozen_bytes);
    home.floor = min_size(home.floor, anonymous);
    size_t left = room_bytes();
    if (!room.meminfo) /* without /proc no limit is known either */
        left = 0;
    home.held &= left >= hold_room;
    if (home.held || anonymous - home.floor < min_size((left + anonymous) / 8, max_size(left / 2, huge_size)))
        return;
    do {
        atomic_store(&room.read_ms, 0);
        bool short_of = room_bytes() < anonymous; /* then they would fill it faster than it is emptied */
        moved += short_of ? home_round(home_least, 10 * home_await_ms) : home_round(0, home_await_ms);
        if (!short_of)
            sleep_ns(home_stop_ns);
    } while (!home.unstopped && !home.done && now_ms() - began < home_turn_ms && !mon_wanted());
    atomic_store(&room.read_ms, 0);
    if (!home.unstopped && home.done)
        home_end_lap();
    count_one(&count.brought_home);
    if (cfg.verbose)
        report("private memory: %zu changed bytes were brought back to disk, %zu bytes stay frozen", moved,
               atomic_load(&home.frozen_bytes));
}

/* PAGING waits for the program's faults up to seconds, while the program may change all of its memory. */
static void home_between(void)
{
    if (now_ms() - home.tick_ms >= home_look_ms)
        home_tick();
}

/* BIGMAAC_FORK=copy: in the child, before the fork returns. Its one thread brings all home but the stack that it
 * runs on. */
static void home_child(void)
{
    char here;
    struct coming c = {.stack = (uintptr_t)&here - 64 * kib, .frame = (uintptr_t)&here + 64 * kib};
    home.place = home.granule = 0;
    for (home_begin_lap(); !home.done;) {
        home_look(true, UINT64_MAX);
        home_move(&c);
    }
    home_begin_lap();
    home_count();
    if (atomic_load(&home.frozen_bytes))
        count_fell(REASON_FORK, 0); /* what stays frozen is right, in RAM */
}

/* ============================================================================================
 * === MAP  what the program maps itself (BIGMAAC_MIN_MMAP_SIZE): allocators and heaps of its own
 *
 * Private anonymous mappings that are large enough are recorded, and stay the ordinary memory that the
 * kernel gave: they cost nothing, and behave as without us. When memory runs short, the monitor moves units
 * of them out: every other thread stopped, their content is written to a file of ours, a shared mapping of
 * which then takes their place, at the same address and with the same protection. From then on the kernel
 * can page it.
 *
 * Protections, borders and content are the kernel's alone; it is asked where they matter. Kept here are three
 * sets of address ranges, each a part of the one before:
 *
 *     ours   recorded: may be moved out
 *     moved  mappings of a file
 *     live   ... of the current file; the rest are frozen, private mappings of files that nobody has open
 *
 * A call that a file mapping would answer in another way than anonymous memory finds its range turned back into
 * anonymous memory (map_restore). What the program decorates (executable, locked, not for children ...) also leaves
 * `ours`. Each GiB of address space that something is moved from has a GiB of the sparse file, its window, so that
 * neighbours become one mapping. What mremap moves keeps its offset: another set has what is used of the file.
 *
 * What is free again gives its blocks back at once, unless it is small and lies beside what is used: it is kept until it has
 * become large, but no more than is used, and none where the disk is nearly full.
 *
 * map.lock guards all of it, after the gate. Calls that touch nothing of ours find that out without it.
 * ========================================================================================= */
/* What the kernel knows of a mapping beside its protection: it joins only equal neighbours. */
enum { MARK_NORESERVE = 1, MARK_HUGE = 2, MARK_SMALL = 4, MARK_RANDOM = 8, MARK_SEQUENTIAL = 16, MARK_DONTDUMP = 32,
       MARK_DONTFORK = 64 };

struct span {
    uintptr_t from, to; /* to > from */
    uintptr_t marks;    /* of `ours`; of `live`: the offset in the file less the address */
};

/* Ranges in the order of their addresses, which don't overlap; those that touch differ in marks. */
struct spans {
    struct span *at; /* MAP_SPANS_MAX of them, of which as much is memory as was ever used */
    size_t count;
};

enum { MAP_WINDOWS = 1 << 18, MAP_BATCH = 128 };
#ifndef MAP_UNIT /* a test's */
#define MAP_SPANS_MAX (1 << 17) /* a process has 65,530 mappings, unless the machine is told otherwise: then map_may_cut */
#define MAP_UNIT (256 * 1024)
#define MAP_MOVED_MAX (1 << 13)
#define MAP_FILE_MAX 15000 /* GiB; ext4: 16 TiB a file */
#endif
static const size_t map_unit = MAP_UNIT;         /* moved as a whole, where half of it is populated */
static const size_t map_batch_bytes = 8 << 20;   /* moved at a time; its place in the file is reserved before */
static const size_t map_write_bytes = 64 << 10;  /* with one call: no page of the cache is larger, which is written as a whole */
static const size_t map_high = 60, map_low = 50; /* percent of the memory to be had that may be anonymous */
static const size_t map_fill_ms = 2 << 20;       /* bytes that a program fills in a millisecond at the most */
static const uint64_t map_soon_ms = 64, map_grows_ms = 4; /* memory may be full so soon: threads that start have turns of 1 to 4 ms
                                                           * each first; between two looks then */
/* The program is held up for so much at once, 0.1 s: threads that fill memory meanwhile outrun a mover that has to share the
 * processors with them. */
static const size_t map_held_bytes = 128 << 20;
static const size_t map_worth = 16 << 20;        /* bytes of mappings from which on the monitor is there for them */
static const size_t map_around = 128 * kib;      /* what kernels read around a fault, unless told otherwise (VM_READAHEAD_PAGES) */
static const size_t map_hurry = 70;              /* percent: from here on not even a half-done call puts it off for long */
/* A punch costs by the extents that it frees: each is a discard that the caller waits for where ext4 has no journal and is mounted
 * with discard (0.1 to 20 ms), else 5 to 40 us. So small pieces keep their blocks until they are large together. */
static const size_t map_spare = 64 << 20;        /* bytes of the disk: with less of them free, beside as much as is kept, none is */
static const size_t map_purges = 4;              /* kept pieces that go back at a time: at most 0.1 s */
static const size_t map_frozen_kept = 16 << 20;  /* bytes that a file may keep which a fork freezes, until it goes */
static const size_t map_joins = 64, map_join_bytes = 4 << 20; /* ranges that come home where the program lacks mappings, at a time;
                                                               * their size, at most */
static const size_t map_split_ms = 2000;   /* mappings that a program makes in a millisecond at the most */
static const uint64_t map_yield_ms = 1000; /* between two tries of that, where none can */
static const uint64_t map_purge_ms = 20;         /* until the monitor goes on with that */
static const uint64_t map_still_ms = 2000, map_rest_ms = 100; /* without a page fault; between two looks from then on, at most */
static const uint64_t map_blind_ms = 60000; /* between two tries to see how much memory is filled, at most */
static const uint64_t map_idle_ms = 1000, map_pause_ms = 500, map_least_ms = 5; /* at most; where nothing can be moved; where
                                                                                * threads can't be stopped, at first */

static struct map {
    atomic_size_t least;     /* bytes of a mapping that is recorded; SIZE_MAX: none */
    struct lock lock;
    atomic_uint turn;        /* odd while `ours` changes */
    struct spans ours, moved, live;
    struct file file;        /* the current one; -1: none */
    struct file maps;        /* /proc/self/maps */
    struct spans used, kept; /* of the file: what is staged or live; what is free, but has its blocks yet */
    size_t used_bytes;
    atomic_size_t kept_bytes;
    bool mixed;              /* pieces of the file were zeroed: its extents are smaller than they might be */
    uint16_t window[MAP_WINDOWS]; /* of the addresses' GiB: the one of the file where they go at first, from 1 on; 0: none yet */
    atomic_uchar near[MAP_WINDOWS / 8]; /* a bit for each of the addresses' GiB: something was moved there */
    uintptr_t cursor;        /* monitor: where the next batch begins */
    const struct span *chosen; /* monitor: what it is taken from; NULL: from the cursor on */
    size_t chosen_count;
    size_t mappings_most;    /* monitor: that the process may have */
    atomic_uint_fast64_t due_ms; /* the monitor's next look, where memory may be full soon; 0: not soon */
    atomic_uint seen;        /* futex: its looks */
    size_t level, recorded;  /* monitor: anonymous memory, and `bytes`, at the last one */
    uint64_t tick_ms;        /* monitor: its next look, however near full memory is */
    uint64_t next_ms;        /* monitor: nothing is tried before, as nothing could be moved; 0: it could */
    size_t tried;            /* monitor: the least bytes of ordinary memory that were seen since then */
    uint64_t retry_ms;       /* monitor: until the next try, where the last one moved nothing */
    atomic_bool no_query;    /* the kernel has no PROCMAP_QUERY */
    atomic_bool faults_elsewhere; /* the program handles page faults (userfaultfd), by a thread that would be stopped */
    atomic_bool decorated;   /* something is set on memory that was too small to be recorded, and stays on it as it grows */
    bool starts;             /* a mapping may start the monitor */
    bool elsewhere;          /* the program's malloc is its own: ours is not called */
    size_t faults;           /* monitor: major ones, at the last look */
    struct chunk *chunks;    /* monitor: what the last two looks saw, each ending with address 0; NULL: none was */
    unsigned looks;          /* monitor: so far */
    unsigned due_looks;      /* monitor: looks that are due though nothing faults: a stream may have come to what was asked for */
    bool streams;            /* monitor: most of what came between these two lay dense */
    uint64_t pause, look_ms; /* monitor: ms between two looks, and when the next one is due */
    bool moving;             /* monitor: until `map_low` is reached */
    bool filling;            /* monitor: memory may be full soon, and grew between the last looks: nothing else may take time */
    size_t touched;          /* monitor: page faults of the process */
    uint64_t touched_ms;     /* monitor: and when there were more */
    atomic_bool refused;     /* the last time nothing could be moved: something writes to the program's memory by itself */
    atomic_bool rests;       /* the monitor sleeps long: who maps memory wakes it */
    atomic_size_t bytes, peak, maps_count; /* of `ours` */
    atomic_size_t moved_bytes; /* of `moved` */
    atomic_size_t executable; /* bytes of private mappings that are left alone, since the start: a Lisp's heap (SBCL), compiled code */
    atomic_size_t restored_bytes, stops; /* since the start */
    atomic_size_t home_bytes; /* of them, what was hot */
    atomic_size_t cold_bytes; /* moved out since the start because they were cold */
    size_t out_bytes;        /* monitor: moved out since the start */
} map = {.least = SIZE_MAX, .file.fd = -1, .maps.fd = -1};

/* To move what such a program has registered would wait for its thread. */
static void map_faults_are_handled(void) { atomic_store(&map.faults_elsewhere, true); }

static inline bool map_on(void)
{
    return atomic_load_explicit(&map.least, memory_order_relaxed) != SIZE_MAX;
}

/* --- sets of ranges --------------------------------------------------------------------------- */

static inline struct span *span_at(const struct spans *s, size_t i)
{
    return s->at + i;
}

/* The first range that ends behind `at`. */
GUESSES static size_t spans_find(const struct spans *s, uintptr_t at)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (span_at(s, middle)->to > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

GUESSES static bool spans_touch(const struct spans *s, uintptr_t from, uintptr_t to)
{
    size_t i = spans_find(s, from);
    return i < s->count && span_at(s, i)->from < to;
}

/* Replaces `less` ranges from number i on by `more` ones, which the caller fills in. */
static bool spans_shift(struct spans *s, size_t i, size_t less, size_t more)
{
    size_t behind = s->count - i - less;
    if (s->count + more - less > MAP_SPANS_MAX)
        return false;
    for (size_t n = 0; more < less && n < behind; n++)
        *span_at(s, i + more + n) = *span_at(s, i + less + n);
    for (size_t n = behind; more > less && n > 0; n--)
        *span_at(s, i + more + n - 1) = *span_at(s, i + less + n - 1);
    s->count += more - less;
    return true;
}

/* Takes a range out. Where there is no memory to describe what remains on both sides, the upper
 * part goes, too. */
static void spans_remove(struct spans *s, uintptr_t from, uintptr_t to)
{
    size_t first = spans_find(s, from), last = first;
    struct span keep[2];
    size_t rest = 0;
    for (; last < s->count && span_at(s, last)->from < to; last++) {
        struct span x = *span_at(s, last);
        if (x.from < from)
            keep[rest++] = (struct span){x.from, from, x.marks};
        if (x.to > to)
            keep[rest++] = (struct span){to, x.to, x.marks};
    }
    if (!spans_shift(s, first, last - first, rest))
        spans_shift(s, first, last - first, rest = 1);
    memcpy(span_at(s, first), keep, rest * sizeof keep[0]);
}

/* Adds a range, in the place of what was there, and joins it with its neighbours. False: no memory. */
static bool spans_add(struct spans *s, uintptr_t from, uintptr_t to, uintptr_t marks)
{
    spans_remove(s, from, to);
    size_t first = spans_find(s, from - 1), last = first;
    if (first < s->count && span_at(s, first)->to == from && span_at(s, first)->marks != marks)
        last = ++first;
    for (; last < s->count && span_at(s, last)->from <= to && span_at(s, last)->marks == marks; last++) {
        from = min_size(from, span_at(s, last)->from);
        to = max_size(to, span_at(s, last)->to);
    }
    if (!spans_shift(s, first, last - first, 1))
        return false;
    *span_at(s, first) = (struct span){from, to, marks};
    return true;
}

/* The first part of [from, to) that is in the set. */
static bool spans_part(const struct spans *s, uintptr_t from, uintptr_t to, struct span *part)
{
    size_t i = spans_find(s, from);
    if (from >= to || i == s->count || span_at(s, i)->from >= to)
        return false;
    *part = *span_at(s, i);
    part->from = max_size(from, part->from);
    part->to = min_size(to, part->to);
    return true;
}

static size_t spans_bytes(const struct spans *s, uintptr_t from, uintptr_t to)
{
    size_t bytes = 0;
    for (struct span p; spans_part(s, from, to, &p); from = p.to)
        bytes += p.to - p.from;
    return bytes;
}

/* Is there room for what is left of a range that loses this part? */
static bool spans_may_cut(const struct spans *s, uintptr_t from, uintptr_t to)
{
    size_t i = spans_find(s, from);
    return s->count < MAP_SPANS_MAX || i == s->count || span_at(s, i)->from >= from || span_at(s, i)->to <= to;
}

/* Does any of it belong to us? Without the lock: "yes" is a guess while the set changes. No range goes past the end of the
 * addresses: the kernel refuses that. */
GUESSES static bool map_touches(const void *at, size_t bytes)
{
    if (bytes > UINTPTR_MAX - (uintptr_t)at)
        return false;
    unsigned turn = atomic_load_explicit(&map.turn, memory_order_acquire);
    bool touches = spans_touch(&map.ours, (uintptr_t)at, (uintptr_t)at + bytes);
    atomic_thread_fence(memory_order_acquire);
    return touches || turn & 1 || atomic_load_explicit(&map.turn, memory_order_relaxed) != turn;
}

/* For signal handlers: a guess, while a range is being moved. */
GUESSES static bool map_moved_at(const void *p) { return spans_touch(&map.moved, (uintptr_t)p, (uintptr_t)p + 1); }

/* Requires map.lock. */
static void map_record(uintptr_t from, uintptr_t to, uintptr_t marks)
{
    size_t before = spans_bytes(&map.ours, from, to);
    atomic_fetch_add(&map.turn, 1);
    spans_add(&map.ours, from, to, marks);
    atomic_fetch_add(&map.turn, 1);
    count_peak(&map.bytes, &map.peak, spans_bytes(&map.ours, from, to), before);
    if (atomic_load(&map.rests) && atomic_exchange(&map.rests, false)) {
        atomic_store(&map.due_ms, now_ms()); /* whoever maps more waits for its look */
        mon_wake();
    }
}

/* Requires map.lock. */
static void map_forget(uintptr_t from, uintptr_t to)
{
    size_t before = spans_bytes(&map.ours, from, to);
    atomic_fetch_add(&map.turn, 1);
    spans_remove(&map.ours, from, to);
    atomic_fetch_add(&map.turn, 1);
    count_peak(&map.bytes, &map.peak, 0, before);
}

/* Requires map.lock. Advice for a range: what it sets and what it clears. */
static void map_mark(uintptr_t from, uintptr_t to, unsigned set, unsigned clear)
{
    struct span p;
    for (; map.ours.count + 2 <= MAP_SPANS_MAX && spans_part(&map.ours, from, to, &p); from = p.to)
        if (((p.marks & ~clear) | set) != p.marks)
            map_record(p.from, p.to, (p.marks & ~clear) | set);
}

/* --- the kernel's view ------------------------------------------------------------------------ */

/* linux/fs.h has it from 6.11 on. */
struct our_procmap_query {
    uint64_t size, flags, address, start, end, vma_flags, page_size, offset, inode;
    uint32_t major, minor, name_size, build_id_size;
    uint64_t name, build_id;
};
static const unsigned long procmap_query_call = _IOWR('f', 17, struct our_procmap_query);
static const uint64_t procmap_covering_or_next = 0x10, procmap_shared = 0x08;

/* Opens what the kernel's view is read from, on a high descriptor; the monitor can't, while the program runs. */
static bool map_open_maps(void)
{
    if (file_valid(&map.maps))
        return true;
    map.maps.fd = -1;
    return !mon_self && !cfg.off && file_keep(&map.maps, "/proc/thread-self/maps", 0);
}

/* Mappings in the order of their addresses: some of them at a time, for kernels without PROCMAP_QUERY. */
struct vma_scan {
    unsigned at, count;
    struct vma v[16];
};

static bool scan_see(const struct vma *v, void *context)
{
    struct vma_scan *scan = context;
    scan->v[scan->count++] = *v;
    return scan->count < sizeof scan->v / sizeof scan->v[0];
}

/* Asks for the mapping that contains `at`, or the first one behind it. False: there is none; or the kernel can't be asked
 * so, which no_query tells. */
static bool vma_query(uintptr_t at, struct vma *out)
{
    struct our_procmap_query q = {.size = sizeof q, .flags = procmap_covering_or_next, .address = at};
    if (!map_open_maps() || sys_ioctl(map.maps.fd, procmap_query_call, &q) != 0) {
        if (map.maps.fd < 0 || errno != ENOENT)
            atomic_store(&map.no_query, true);
        return false;
    }
    *out = (struct vma){.from = q.start, .to = q.end, .offset = q.offset, .device = (uint64_t)q.major << 32 | q.minor,
                        .inode = q.inode, .protection = (int)(q.vma_flags & 7), .shared = q.vma_flags & procmap_shared};
    if (folder.device && out->device != folder.device && out->inode)
        out->inode = UINT64_MAX; /* no file of ours */
    return true;
}

/* The mapping that contains `at`, or the first one behind it. Addresses only grow with one scan. */
static bool vma_find(struct vma_scan *scan, uintptr_t at, struct vma *out)
{
    if (!atomic_load(&map.no_query) && vma_query(at, out))
        return true;
    if (!atomic_load(&map.no_query))
        return false;
    while (scan->at < scan->count && scan->v[scan->at].to <= at)
        scan->at++;
    if (scan->at == scan->count) {
        scan->at = scan->count = 0;
        if (!vmas_walk(at, UINTPTR_MAX, scan_see, scan) || !scan->count)
            return false;
    }
    *out = scan->v[scan->at];
    return true;
}

/* The next part of [*from, to) that is one mapping; *from goes behind it. */
static bool vma_part(struct vma_scan *scan, uintptr_t *from, uintptr_t to, struct vma *out)
{
    if (*from >= to || !vma_find(scan, *from, out) || out->from >= to)
        return false;
    uintptr_t cut = out->from < *from ? *from - out->from : 0;
    out->from += cut;
    out->offset += cut;
    out->to = min_size(out->to, to);
    *from = out->to;
    return true;
}

/* --- the file ---------------------------------------------------------------------------------- */

/* Requires map.lock. May that part of the file be used, and does nothing use it? */
static bool map_is_free(size_t offset, size_t bytes)
{
    size_t end = min_size((MAP_FILE_MAX + 1) * gib, limit_of(RLIMIT_FSIZE));
    return bytes <= end && offset <= end - bytes && !spans_touch(&map.used, offset, offset + bytes);
}

/* Requires map.lock. The first free place of the file, at a multiple of `unit`; 0: there is none. */
static size_t map_place(size_t bytes, size_t unit)
{
    size_t at = unit;
    for (size_t i = 0; i < map.used.count && span_at(&map.used, i)->from < at + bytes; i++)
        at = max_size(at, round_up(span_at(&map.used, i)->to, unit));
    return map_is_free(at, bytes) ? at : 0;
}

/* Requires map.lock. Where in the file a range is one mapping with what is moved beside it; 0: nowhere. */
static size_t map_offset_beside(uintptr_t from, uintptr_t to)
{
    struct span p;
    for (uintptr_t at = from - 1; spans_part(&map.live, at, to + 1, &p); at = p.to)
        if (map_is_free(from + p.marks, to - from))
            return from + p.marks;
    return 0;
}

/* Requires map.lock. Where the content of a range goes in the file: beside its neighbours; at `behind`, unless that is 0, after
 * what will be its neighbour; or in its window. Where mremap has left something else there, the window is replaced by another, as
 * long as a GiB of the file is free. 0: the file is full. */
static size_t map_offset(uintptr_t from, uintptr_t to, size_t behind)
{
    size_t part = from / gib, beside = map_offset_beside(from, to);
    if (!beside && behind && map_is_free(behind, to - from))
        return behind;
    if (beside || part >= MAP_WINDOWS)
        return beside;
    size_t offset = map.window[part] * gib + from % gib;
    if (map.window[part] && map_is_free(offset, to - from))
        return offset;
    size_t window = map_place(gib, gib);
    if (!window)
        return map_place(to - from, sys_page());
    map.window[part] = (uint16_t)(window / gib);
    return window + from % gib;
}

/* Requires map.lock. */
static void map_close_file(void)
{
    folder_count(0, atomic_exchange(&map.kept_bytes, 0));
    map.used.count = map.live.count = map.kept.count = map.used_bytes = 0;
    map.mixed = false;
    file_close(&map.file);
}

/* Requires map.lock. Is a mapping in a moved range what is thought to be there? A call that passes us by, such as
 * libc's own, may have put another in its place. */
static bool map_is_moved(const struct vma *v)
{
    if (spans_touch(&map.live, v->from, v->to)) /* private, where a fork could not turn all so */
        return v->inode == map.file.ino;
    return !v->shared && v->inode && v->inode != UINT64_MAX;
}

/* Requires map.lock. The range is a mapping of the file: at its address and `delta`. */
static void map_note_moved(uintptr_t from, uintptr_t to, uintptr_t delta)
{
    size_t before = spans_bytes(&map.moved, from, to);
    spans_add(&map.moved, from, to, 0); /* MAP_MOVED_MAX: there is room */
    spans_add(&map.live, from, to, delta);
    atomic_fetch_add(&map.moved_bytes, to - from - before);
    for (size_t part = from / gib; part <= (to - 1) / gib && part < MAP_WINDOWS; part++)
        atomic_fetch_or(&map.near[part / 8], (unsigned char)(1 << part % 8));
}

/* Requires map.lock. The blocks of a kept piece go back, and those of all that is free around it up to where a large page of the
 * file may reach: a store to one across holes got blocks for these, too. `edges`: a page of the cache that has something beside it
 * that is used, too. There it is written to; but a pipe (vmsplice) or a socket (MSG_ZEROCOPY) may have it from the program yet. */
static void map_punch(size_t from, size_t to, bool edges)
{
    size_t i = spans_find(&map.used, from), low = from, high = to;
    file_punch_extend(&low, &high, i ? span_at(&map.used, i - 1)->to : 0,
                      i < map.used.count ? span_at(&map.used, i)->from : SIZE_MAX);
    if (!edges) {
        low = round_up(low, map_write_bytes);
        high = round_down(high, map_write_bytes);
        from = max_size(from, low);
        to = min_size(to, high);
    }
    if (from >= to)
        return;
    size_t bytes = spans_bytes(&map.kept, low, high);
    spans_remove(&map.kept, low, high);
    atomic_fetch_sub(&map.kept_bytes, bytes);
    folder_count(0, bytes);
    if (!file_valid(&map.file)) /* who shares our descriptors has closed it */
        return;
    if (map.mixed && to - from >= map_unit) /* makes one extent of many */
        file_zero(&map.file, from, to - from);
    file_punch(&map.file, low, high - low);
}

/* Requires map.lock. All that is kept goes back. False: nothing was. */
static bool map_purge_all(void)
{
    bool any = map.kept.count;
    while (map.kept.count)
        map_punch(span_at(&map.kept, 0)->from, span_at(&map.kept, 0)->to, true);
    return any;
}

/* Requires map.lock. Of what is kept, the largest piece goes back. */
static void map_purge_one(void)
{
    struct span most = *span_at(&map.kept, 0);
    for (size_t n = 1; n < map.kept.count; n++)
        if (span_at(&map.kept, n)->to - span_at(&map.kept, n)->from > most.to - most.from)
            most = *span_at(&map.kept, n);
    map_punch(most.from, most.to, true);
}

/* Requires map.lock. The same for a few, down to as much as is used; of all where the disk is nearly full. */
static void map_purge(void)
{
    if (!file_valid(&map.file))
        map_purge_all();
    for (size_t i = 0; i < map_purges && map.kept_bytes; i++) {
        if (map.kept_bytes <= map.used_bytes && file_room(&map.file, map.kept_bytes, map_spare) == 0)
            return;
        map_purge_one();
    }
}

/* For who found the disk full. False: nothing was kept. */
static bool map_give_back(void)
{
    if (!map.kept_bytes)
        return false;
    lock_take(&map.lock);
    bool any = map_purge_all();
    lock_drop(&map.lock);
    return any;
}

/* Requires map.lock. Nothing uses that part of the file any more; its blocks are kept. */
static void map_file_keep(size_t from, size_t to)
{
    if (!spans_may_cut(&map.used, from, to)) /* it stays used: what is not known to be used would be used twice */
        return;
    spans_remove(&map.used, from, to);
    map.used_bytes -= to - from;
    spans_add(&map.kept, from, to, 0);
    atomic_fetch_add(&map.kept_bytes, to - from);
}

/* Requires map.lock. Something in that part of the file was kept just now: what is large, or has nothing used beside it, goes
 * back. The rest leaves memory. */
static void map_file_free(size_t from, size_t to)
{
    struct span p;
    for (size_t at = from; spans_part(&map.kept, at, to, &p); at = p.to) {
        struct span whole = *span_at(&map.kept, spans_find(&map.kept, p.from));
        if (whole.to - whole.from >= map_unit || !spans_touch(&map.used, whole.from - 1, whole.to + 1))
            map_punch(whole.from, whole.to, false);
    }
    map_purge();
    for (size_t at = from; file_valid(&map.file) && spans_part(&map.kept, at, to, &p); at = p.to)
        sys(SYS_fadvise64, map.file.fd, p.from, p.to - p.from, POSIX_FADV_DONTNEED);
}

/* Requires map.lock. That part of the file will be used: what is kept of it reads zero, and need not be read. */
static void map_file_reuse(size_t from, size_t to)
{
    struct span p;
    for (size_t at = from; spans_part(&map.kept, at, to, &p); at = p.to) {
        if (!file_zero(&map.file, p.from, p.to - p.from))
            file_punch(&map.file, p.from, p.to - p.from);
        atomic_fetch_sub(&map.kept_bytes, p.to - p.from);
        folder_count(0, p.to - p.from);
        map.mixed = true;
    }
    spans_remove(&map.kept, from, to);
}

/* Requires map.lock. The range is no file mapping any more; what it had of the file is kept: [*low, *high) spans it, where it
 * had any. */
static void map_unmoved(uintptr_t from, uintptr_t to, size_t *low, size_t *high)
{
    struct span p;
    for (uintptr_t at = from; spans_part(&map.live, at, to, &p); at = p.to) {
        map_file_keep(p.from + p.marks, p.to + p.marks);
        *low = min_size(*low, p.from + p.marks);
        *high = max_size(*high, p.to + p.marks);
    }
    atomic_fetch_sub(&map.moved_bytes, spans_bytes(&map.moved, from, to));
    spans_remove(&map.live, from, to);
    spans_remove(&map.moved, from, to);
}

/* Requires map.lock. The same, for good. */
static void map_forget_moved(uintptr_t from, uintptr_t to)
{
    size_t low = SIZE_MAX, high = 0;
    map_unmoved(from, to, &low, &high);
    if (high)
        map_file_free(low, high);
}

/* Requires map.lock. Is there room to describe what is moved, and left, of ranges that lose this part? Else ENOMEM, as the kernel
 * says where mappings are too many. */
static bool map_may_cut(uintptr_t from, uintptr_t to)
{
    bool known = spans_may_cut(&map.ours, from, to) ||
                 !spans_touch(&map.moved, to, span_at(&map.ours, spans_find(&map.ours, from))->to);
    if (known && spans_may_cut(&map.live, from, to) && spans_may_cut(&map.moved, from, to))
        return true;
    errno = ENOMEM;
    return false;
}

/* Requires map.lock. The same, if they are to lie elsewhere then. */
static bool map_may_carry(uintptr_t from, uintptr_t to)
{
    size_t pieces = spans_find(&map.live, to - 1) + 1 - spans_find(&map.live, from);
    if (max_size(max_size(map.live.count, map.moved.count), map.ours.count) + pieces < MAP_SPANS_MAX || !spans_touch(&map.moved, from, to))
        return true;
    errno = ENOMEM;
    return false;
}

/* Anonymous memory, zeroes, marked so. `fixed`: MAP_FIXED; or, where it must not replace anything, the other one. */
static bool map_fresh(uintptr_t from, uintptr_t to, uintptr_t marks, int protection, int fixed)
{
    static const struct { unsigned mark; int advice; } advised[] = {
        {MARK_HUGE, MADV_HUGEPAGE}, {MARK_SMALL, MADV_NOHUGEPAGE}, {MARK_RANDOM, MADV_RANDOM},
        {MARK_SEQUENTIAL, MADV_SEQUENTIAL}, {MARK_DONTDUMP, MADV_DONTDUMP}, {MARK_DONTFORK, MADV_DONTFORK},
    };
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | fixed | (marks & MARK_NORESERVE ? MAP_NORESERVE : 0);
    void *p = sys_mmap((void *)from, to - from, protection, flags, -1, 0);
    if (p != MAP_FAILED && p != (void *)from) /* before 4.17 MAP_FIXED_NOREPLACE is unknown */
        sys_munmap(p, to - from);
    if (p != (void *)from)
        return false;
    for (size_t i = 0; i < sizeof advised / sizeof advised[0]; i++)
        if (marks & advised[i].mark)
            sys(SYS_madvise, from, to - from, advised[i].advice);
    return true;
}

/* Requires map.lock. Fresh anonymous memory in the place of moved memory, marked alike. */
static bool map_renew(uintptr_t from, uintptr_t to, int protection)
{
    struct span p;
    for (uintptr_t at = from; at < to; at = p.to) {
        if (!spans_part(&map.ours, at, to, &p) || p.from != at)
            p = (struct span){at, to, 0};
        if (!map_fresh(at, p.to, p.marks, protection, MAP_FIXED))
            return false;
    }
    return true;
}

/* Does the device read so little around a fault that it may? */
static bool map_reads_around(void)
{
    return folder.readahead_known && folder.readahead * page_size <= map_around;
}

/* What a fault there brings in: what the device reads around it, if that is little; else its page alone. */
static void map_advise_paging(void *at, size_t bytes)
{
    bool normal = cfg.paging == PAGING_NORMAL || (cfg.paging == PAGING_ADAPTIVE && map_reads_around());
    sys(SYS_madvise, at, bytes, cfg.paging == PAGING_SEQUENTIAL ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    sys(SYS_madvise, at, bytes, normal ? MADV_NORMAL : MADV_RANDOM);
}

/* Requires map.lock. A mapping that is new there is to be left out of core dumps, as what was there before. */
static void map_undump(uintptr_t from, uintptr_t to)
{
    struct span p;
    for (; spans_part(&map.ours, from, to, &p); from = p.to)
        if (p.marks & MARK_DONTDUMP)
            sys(SYS_madvise, p.from, p.to - p.from, MADV_DONTDUMP);
}

/* Requires map.lock. A mapping of the file is new there. */
static void map_dress(uintptr_t from, uintptr_t to)
{
    sys(SYS_madvise, from, to - from, MADV_DONTFORK); /* a raw clone must not share it */
    map_advise_paging((void *)from, to - from);
    map_undump(from, to);
}

/* Is the caller's stack there, or what it has beside its thread pointer? The latter is far from it where a stack of the program's is
 * deep; libc, the compiler (stack protector) and the kernel (rseq) use it at any time. */
static bool runs_on(uintptr_t from, uintptr_t to)
{
    const uintptr_t here[] = {(uintptr_t)__builtin_frame_address(0), (uintptr_t)&exec_depth};
    bool runs = false;
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++)
        runs |= from < here[i] + 64 * kib && here[i] < to + 64 * kib;
    return runs;
}

/* Requires map.lock, and that nobody else runs who might write there. Makes one mapping ordinary, content and
 * all: anonymous memory is made in its place, and not moved there, since only then the kernel joins it with
 * its neighbours. */
static bool map_restore_vma(const struct vma *v)
{
    size_t bytes = v->to - v->from;
    if ((v->shared || v->inode) && !map_is_moved(v))
        return true;
    if (runs_on(v->from, v->to)) /* the copy would not be of what is there when it is used */
        return false;
    void *aside = sys_mmap(NULL, bytes, PROT_NONE, anon_flags, -1, 0);
    if (aside == MAP_FAILED)
        return false;
    if (sys_mremap((void *)v->from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, aside) == MAP_FAILED) {
        sys_munmap(aside, bytes);
        return false;
    }
    bool readable = v->protection & PROT_READ || sys_mprotect(aside, bytes, PROT_READ) == 0;
    if (!readable || !map_renew(v->from, v->to, PROT_READ | PROT_WRITE)) {
        sys_mprotect(aside, bytes, v->protection);
        if (sys_mremap(aside, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)v->from) == MAP_FAILED)
            fatal("mapped memory at %p can't be put back where it was", (void *)v->from);
        return false;
    }
    memcpy((void *)v->from, aside, bytes);
    if (v->protection != (PROT_READ | PROT_WRITE))
        sys_mprotect((void *)v->from, bytes, v->protection);
    sys_munmap(aside, bytes);
    atomic_fetch_add(&map.restored_bytes, bytes);
    return true;
}

/* Requires map.lock, and that nobody else runs. Turns what is in a set and in a range into ordinary memory, as far as possible. */
static void map_restore_alone(const struct spans *s, uintptr_t from, uintptr_t to)
{
    struct vma_scan scan = {0};
    struct span p;
    struct vma v;
    for (uintptr_t at = from; spans_part(s, at, to, &p); at = p.to)
        for (uintptr_t in = p.from; vma_part(&scan, &in, p.to, &v);)
            if (map_may_cut(v.from, v.to) && map_restore_vma(&v))
                map_forget_moved(v.from, v.to);
}

/* Requires every lock, map.lock too. The same for who runs beside others. */
static void map_restore(const struct spans *s, uintptr_t from, uintptr_t to)
{
    bool several = thread_count() > 1;
    if (memory_is_shared() || (several && !stop_surely()))
        return;
    map_restore_alone(s, from, to);
    if (several)
        stop_end();
}

/* A change of [from, to): under map.lock; alone, and with its end, where it had to be restored first. */
struct map_op {
    struct op op;
    bool alone;
};

static void map_begin(struct map_op *m)
{
    m->alone = false;
    op_begin(&m->op);
    lock_take(&map.lock);
}

/* Goes on with every lock. */
static void map_alone(struct map_op *m)
{
    if (m->alone)
        return;
    lock_drop(&map.lock);
    gate_leave();
    home_lock();
    lock_take(&map.lock);
    m->alone = true;
}

/* Makes what was moved of a range ordinary, and keeps it so until map_end. */
static void map_settle(struct map_op *m, uintptr_t from, uintptr_t to)
{
    if (!spans_touch(&map.moved, from, to))
        return;
    map_alone(m);
    map_restore(&map.moved, from, to);
}

static void map_end(struct map_op *m, bool failed)
{
    int err = failed ? errno : m->op.err;
    lock_drop(&map.lock);
    if (m->alone) {
        home_unlock();
        sys_sigmask(SIG_SETMASK, &m->op.signals, NULL);
    } else {
        op_end(&m->op);
    }
    errno = err;
}

/* --- too many mappings --------------------------------------------------------------------------- */

/* Requires map.lock, and that nobody else runs. Brings the smallest of what was moved home, in at most so many ranges: the kernel
 * joins each with what is beside it. */
static void map_join(size_t most)
{
    for (size_t bytes = map_unit; bytes <= map_join_bytes; bytes *= 2)
        for (size_t i = 0, before; most && i < (before = map.moved.count); i += map.moved.count == before) {
            struct span s = *span_at(&map.moved, i);
            if (s.to - s.from > bytes)
                continue;
            map_restore_alone(&map.moved, s.from, s.to);
            most--;
        }
}

/* Has the process as many mappings as it may? To count them takes milliseconds, and many calls are refused for another reason: so
 * not before it can have made those that it had left. */
COLD static bool mappings_full(void)
{
    static atomic_uint_fast64_t next_ms;
    if (now_ms() < atomic_load(&next_ms))
        return false;
    size_t used = mappings_count() + 16, most = mappings_most();
    if (used >= most)
        return true;
    atomic_store(&next_ms, now_ms() + (most - used) / map_split_ms);
    return false;
}

/* A call was refused: has the process as many mappings as it may, which it would not have without us? False: no. */
COLD static bool map_yield(void)
{
    static atomic_uint_fast64_t next_ms; /* nothing is tried before, since nothing came of it */
    if (!atomic_load(&map.moved_bytes) || now_ms() < atomic_load(&next_ms) || memory_is_shared() || !mappings_full())
        return false;
    struct map_op m;
    map_begin(&m);
    map_alone(&m);
    bool several = thread_count() > 1;
    size_t before = map.moved.count;
    own_spares(false);
    if (!several || stop_surely()) {
        map_join(map_joins);
        if (map.moved.count + map_joins / 2 <= before)
            own_spares(true);
        if (several)
            stop_end();
    }
    atomic_store(&next_ms, map.moved.count < before ? 0 : now_ms() + map_yield_ms);
    map_end(&m, false);
    return true;
}

/* May no more ranges be moved that split others? Kept free for the program is an eighth of the mappings that it may have; as many
 * as a batch makes are counted with those that there were. */
static bool map_full(void)
{
    return map.moved.count >= MAP_MOVED_MAX || max_size(map.used.count, map.live.count) >= MAP_SPANS_MAX / 2 ||
           home_mappings + 2 * MAP_BATCH > map.mappings_most / 8 * 7;
}

/* --- the calls ----------------------------------------------------------------------------------- */

/* Is it ordinary memory? Beside PROT_EXEC that is not what a platform has of its own (PROT_MTE), which no file mapping has. */
static bool map_is_plain(int protection, int flags)
{
    const int never = MAP_SHARED | MAP_STACK | MAP_GROWSDOWN | MAP_HUGETLB | MAP_LOCKED;
    return (flags & MAP_ANONYMOUS) && (flags & MAP_PRIVATE) && !(flags & never) && !(protection & ~(PROT_READ | PROT_WRITE));
}

static bool map_eligible(size_t bytes, int protection, int flags)
{
    return bytes >= atomic_load_explicit(&map.least, memory_order_relaxed) && map_is_plain(protection, flags);
}

/* Requires map.lock. Does a new mapping, however small, take the place of recorded memory alone? So heaps have their memory that
 * reserve much and fill it piece by piece. */
static bool map_is_inside(uintptr_t from, uintptr_t to, int protection, int flags)
{
    bool any = atomic_load(&map.least) < SIZE_MAX - 1; /* else it is locked (mlockall) */
    return any && flags & MAP_FIXED && map_is_plain(protection, flags) && spans_bytes(&map.ours, from, to) == to - from;
}

static uintptr_t map_page_end(const void *at, size_t bytes)
{
    return round_up((uintptr_t)at + bytes, sys_page());
}

static bool map_may_come(void);
static void mon_start_wanted(void);

/* Who may be about to fill memory waits for a look that is late: the monitor waits for a processor. */
static void map_await_look(void)
{
    const struct timespec most = {.tv_nsec = 50 * 1000000}; /* it must not hang on that thread of ours */
    unsigned seen = atomic_load(&map.seen); /* before `due_ms`: a look changes that first */
    uint64_t due = atomic_load(&map.due_ms);
    int err = errno;
    if (due && now_ms() > due + 1)
        futex_wait(&map.seen, seen, &most);
    errno = err;
}

/* Who waits for a look goes on. */
static void map_looked(uint64_t due_ms)
{
    atomic_store(&map.due_ms, due_ms);
    atomic_fetch_add(&map.seen, 1);
    futex_wake(&map.seen, INT32_MAX);
}

/* Starts the monitor. What makes threads allocates: where the next malloc is another one than libc's, it may be
 * the caller, and hold its locks; then the next call of ours starts it. */
static void map_consider(void)
{
    if (unlikely(atomic_load(&mon.wanted)) && map.starts && !mon_starting) /* the program's malloc may not be asked for long */
        mon_start_wanted();
    if (atomic_load_explicit(&mon.running, memory_order_relaxed)) {
        map_await_look();
        return;
    }
    if (atomic_load(&mon.wanted) || !map_may_come())
        return;
    if (map.starts) {
        atomic_store(&map.due_ms, now_ms());
        mon_consider();
        return;
    }
    mon_request();
}

static NOINLINE void *map_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    bool wanted = map_eligible(bytes, protection, flags) && !(flags & MAP_FIXED && mem_owns(at)); /* nor over a block */
    if (!wanted && !(flags & MAP_FIXED && map_touches(at, bytes)))
        return sys_mmap(at, bytes, protection, flags, fd, offset);
    struct map_op m;
    map_begin(&m);
    bool able = !(flags & MAP_FIXED) || map_may_cut((uintptr_t)at, map_page_end(at, bytes));
    void *p = able ? sys_mmap(at, bytes, protection, flags, fd, offset) : MAP_FAILED;
    if (p != MAP_FAILED) {
        uintptr_t from = (uintptr_t)p, to = map_page_end(p, bytes);
        map_forget_moved(from, to);
        wanted |= map_is_inside(from, to, protection, flags);
        if (wanted)
            map_record(from, to, flags & MAP_NORESERVE ? MARK_NORESERVE : 0);
        else
            map_forget(from, to);
        atomic_fetch_add(&map.maps_count, wanted);
    }
    map_end(&m, p == MAP_FAILED);
    if (wanted && p != MAP_FAILED)
        map_consider();
    return p;
}

static NOINLINE int map_munmap(void *at, size_t bytes)
{
    if (!map_touches(at, bytes))
        return sys_munmap(at, bytes);
    struct map_op m;
    uintptr_t from = (uintptr_t)at, to = map_page_end(at, bytes);
    map_begin(&m);
    int result = map_may_cut(from, to) ? sys_munmap(at, bytes) : -1;
    if (result == 0) {
        map_forget_moved(from, to);
        map_forget(from, to);
    }
    map_end(&m, result != 0);
    return result;
}

/* A call of mremap, in whole pages. */
struct remap {
    uintptr_t from, to;
    size_t old, bytes;
    int flags;
};

/* Would the kernel begin with it? Of what it would not, it tells why. */
static bool remap_is_valid(const struct remap *r)
{
    const int fixed = MREMAP_FIXED, keeps = MREMAP_DONTUNMAP;
    bool apart = r->to >= r->from + r->old || r->to + r->bytes <= r->from;
    return r->old && r->bytes && r->bytes < (size_t)1 << 62 && !(r->flags & ~(MREMAP_MAYMOVE | fixed | keeps)) &&
           (r->flags & MREMAP_MAYMOVE || !(r->flags & (fixed | keeps))) && (!(r->flags & keeps) || r->old == r->bytes) &&
           (!(r->flags & fixed) || (apart && r->to < r->to + r->bytes));
}

/* Requires map.lock. Is the range one mapping, but for what was moved of it? Sets how it is marked and protected. */
static bool remap_is_whole(const struct remap *r, struct span *part, int *protection)
{
    struct vma_scan scan = {0};
    struct vma v;
    uintptr_t end = r->from + r->old, at = r->from;
    if (!spans_part(&map.ours, at, end, part) || part->from != at || part->to != end)
        return false;
    for (uintptr_t in = at; vma_part(&scan, &in, end, &v); at = v.to) {
        if (v.from == r->from)
            *protection = v.protection;
        if (v.from != at || v.protection != *protection || ((v.shared || v.inode) && !map_is_moved(&v)))
            return false;
    }
    return at == end;
}

/* Requires map.lock. Moves the mappings of a range, one by one; `keeps`: fresh memory is left there. False: some of them, of
 * `done` bytes. */
static bool remap_shift(uintptr_t from, size_t bytes, uintptr_t to, bool keeps, size_t *done)
{
    struct vma_scan scan = {0};
    struct vma v;
    *done = 0;
    for (uintptr_t in = from; vma_part(&scan, &in, from + bytes, &v);) {
        size_t n = v.to - v.from;
        int flags = MREMAP_MAYMOVE | MREMAP_FIXED | (keeps ? MREMAP_DONTUNMAP : 0);
        if (sys_mremap((void *)v.from, n, n, flags, (void *)(v.from - from + to)) == MAP_FAILED)
            return false;
        *done = v.to - from;
        if (keeps && v.inode && !map_renew(v.from, v.to, v.protection))
            return false;
    }
    return true;
}

/* Requires map.lock. As the kernel's mremap, of a whole range whose pieces are mappings of their own: what was moved stays
 * so, and what comes to it is fresh. */
static void *remap_pieces(const struct remap *r, uintptr_t marks, int protection)
{
    bool fixed = r->flags & MREMAP_FIXED, keeps = r->flags & MREMAP_DONTUNMAP, grows = r->bytes > r->old;
    size_t both = min_size(r->old, r->bytes), done;
    if (grows && !fixed && map_fresh(r->from + r->old, r->from + r->bytes, marks, protection, MAP_FIXED_NOREPLACE))
        return (void *)r->from;
    errno = ENOMEM;
    if (!(r->flags & MREMAP_MAYMOVE))
        return MAP_FAILED;
    void *p = fixed ? (void *)r->to : sys_mmap(keeps ? (void *)r->to : NULL, r->bytes, PROT_NONE, anon_flags, -1, 0);
    uintptr_t to = (uintptr_t)p;
    if (p == MAP_FAILED)
        return p;
    bool fresh = !grows || map_fresh(to + r->old, to + r->bytes, marks, protection, MAP_FIXED);
    if (fresh && remap_shift(r->from, both, to, keeps, &done)) {
        if (both < r->old)
            sys_munmap((void *)(r->from + both), r->old - both);
        return p;
    }
    int err = errno;
    if (fresh && done && !remap_shift(to, done, r->from, false, &both))
        fatal("mapped memory at %p can't be put back where it was", (void *)r->from);
    done = fresh ? done : 0; /* what is back is nobody's there, and may be somebody's by now */
    sys_munmap((void *)(to + done), r->bytes - done);
    map_forget_moved(to, to + r->bytes);
    map_forget(to, to + r->bytes);
    errno = err;
    return MAP_FAILED;
}

/* Requires map.lock. What was moved of a range lies elsewhere now, at the offset that it had. */
static void map_carry(uintptr_t from, uintptr_t end, uintptr_t to)
{
    struct span p;
    for (uintptr_t at = from; spans_part(&map.moved, at, end, &p); at = p.to)
        spans_add(&map.moved, p.from - from + to, p.to - from + to, 0);
    for (uintptr_t at = from; spans_part(&map.live, at, end, &p); at = p.to)
        spans_add(&map.live, p.from - from + to, p.to - from + to, p.marks + from - to);
    spans_remove(&map.live, from, end);
    spans_remove(&map.moved, from, end);
}

/* Requires map.lock. What a call did to the sets. A mapping that is not ours, or not all of it, stays as it is. */
static void map_note_mremap(const struct remap *r, uintptr_t to)
{
    struct span p;
    uintptr_t from = r->from, end = from + r->old;
    bool known = spans_part(&map.ours, from, max_size(end, from + 1), &p) && p.from == from && p.to >= end;
    uintptr_t fresh = to == from ? from + min_size(r->old, r->bytes) : to;
    if (fresh < to + r->bytes)
        map_forget_moved(fresh, to + r->bytes);
    if (to != from)
        map_carry(from, from + min_size(r->old, r->bytes), to);
    if (r->bytes < r->old)
        map_forget_moved(from + r->bytes, end);
    if (to == from && r->bytes < r->old)
        map_forget(from + r->bytes, end);
    else if (to != from && r->old && !(r->flags & MREMAP_DONTUNMAP))
        map_forget(from, end);
    if (known && fresh < to + r->bytes)
        map_record(fresh, to + r->bytes, p.marks);
    else if (fresh < to + r->bytes)
        map_forget(fresh, to + r->bytes);
}

/* Requires map.lock. Where the kernel sees pieces that are one mapping for the program, they are moved as such. What would be
 * several mappings without us, too, becomes ordinary memory, for the kernel to decide, but it never grows. */
static void *map_remap(struct map_op *m, const struct remap *r)
{
    bool moved = spans_touch(&map.moved, r->from, r->from + max_size(r->old, 1));
    bool valid = remap_is_valid(r) && (r->bytes > r->old || r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP));
    void *p = MAP_FAILED, *from = (void *)r->from, *to = (void *)r->to;
    struct span part;
    int protection = 0;
    if (moved && !r->old) { /* the file can be mapped twice, anonymous memory can't */
        errno = EINVAL;
        return p;
    }
    if (remap_is_valid(r) && !(map_may_carry(r->from, r->from + r->old) &&
                               (!(r->flags & MREMAP_FIXED) || map_may_cut(r->to, r->to + r->bytes))))
        return p;
    if (valid && r->flags & MREMAP_FIXED && spans_touch(&map.moved, r->to, r->to + r->bytes) &&
        !remap_is_whole(r, &part, &protection)) { /* since 6.17 it stays where the other range has gaps */
        map_settle(m, r->to, r->to + r->bytes);
        if (spans_touch(&map.moved, r->to, r->to + r->bytes)) {
            errno = ENOMEM; /* its threads can't be stopped: what stays of it must not lose its part of the file */
            return p;
        }
    }
    if (!moved || !valid) {
        p = sys_mremap(from, r->old, r->bytes, r->flags, to);
        if (p != MAP_FAILED || errno != EFAULT || !valid)
            return p;
    }
    if (remap_is_whole(r, &part, &protection)) {
        p = remap_pieces(r, part.marks, protection);
        bool limited = errno == ENOMEM && r->flags & MREMAP_MAYMOVE && limit_of(RLIMIT_AS) != SIZE_MAX; /* counted twice */
        if (p != MAP_FAILED || !moved || !(limited || errno == EINVAL)) /* before 5.13 a file's mapping is never kept */
            return p;
    } else if (!moved || (r->bytes > r->old && spans_bytes(&map.ours, r->from, r->from + r->old) == r->old)) {
        errno = EFAULT; /* else the kernel may have joined it with what is beside it */
        return p;
    }
    map_settle(m, r->from, r->from + r->old);
    if (spans_touch(&map.moved, r->from, r->from + r->old)) {
        errno = ENOMEM; /* its threads can't be stopped: as a file mapping it would grow into another's part of the file */
        return p;
    }
    return sys_mremap(from, r->old, r->bytes, r->flags, to);
}

/* A mapping has grown to a size that is recorded. */
static void map_grown(void *p, size_t bytes)
{
    struct vma_scan scan = {0};
    struct vma v;
    struct map_op m;
    char text[4096];
    map_begin(&m);
    bool locks = atomic_load(&map.decorated) || some_is_locked(text, sizeof text); /* it, perhaps */
    if (!locks && vma_find(&scan, (uintptr_t)p, &v) && v.from <= (uintptr_t)p && v.to >= (uintptr_t)p + bytes && !v.shared && !v.inode &&
        v.protection == (PROT_READ | PROT_WRITE))
        map_record((uintptr_t)p, (uintptr_t)p + bytes, 0);
    map_end(&m, false);
}

static NOINLINE void *map_mremap(void *from, size_t old, size_t bytes, int flags, void *to)
{
    bool fixed = flags & MREMAP_FIXED;
    size_t page = sys_page(), odd = ((uintptr_t)from | (fixed ? (uintptr_t)to : 0)) & (page - 1); /* EINVAL */
    if (odd || round_up(old, page) < old || round_up(bytes, page) < bytes ||
        (!map_touches(from, max_size(old, 1)) && !(fixed && map_touches(to, bytes)))) {
        void *grown = sys_mremap(from, old, bytes, flags, to);
        size_t least = atomic_load_explicit(&map.least, memory_order_relaxed);
        if (grown != MAP_FAILED && old < least && bytes >= least) {
            map_grown(grown, round_up(bytes, page));
            map_consider();
        }
        return grown;
    }
    struct remap r = {(uintptr_t)from, (uintptr_t)to, round_up(old, page), round_up(bytes, page), flags};
    struct map_op m;
    map_begin(&m);
    void *p = map_remap(&m, &r);
    if (p != MAP_FAILED)
        map_note_mremap(&r, (uintptr_t)p);
    map_end(&m, p == MAP_FAILED);
    return p;
}

/* --- brk: what the program asks for itself, as allocators (tcmalloc) and Lisps do; libc's malloc passes us by --------------- */

extern void *__curbrk; /* libc's: where it ends */

/* How many bytes the program has got at a stretch, with what it gets now. */
static size_t brk_stretch(uintptr_t from, intptr_t by)
{
    static atomic_uintptr_t begin, end;
    if (from != atomic_load(&end) || from < atomic_load(&begin))
        atomic_store(&begin, from);
    atomic_store(&end, from + (uintptr_t)by);
    return from + (uintptr_t)by - atomic_load(&begin);
}

/* As sbrk(2). libc's has two names, and programs that wrap one ask the other (tcmalloc). *stretch: brk_stretch of it. */
static void *brk_move(intptr_t by, size_t *stretch)
{
    char *now = __curbrk ? __curbrk : (char *)sys(SYS_brk, 0), *end = now + by;
    char *got = by ? (char *)sys(SYS_brk, end) : now;
    __curbrk = got;
    if (got == end) {
        *stretch = brk_stretch((uintptr_t)now, by);
        return now;
    }
    errno = ENOMEM;
    return (void *)-1;
}

/* Is it executable, like all that may be read? So old Lisps (GCL) ask for it, at any time. */
static bool brk_is_executable(void)
{
    const unsigned long asks = 0xffffffff;
    return sys_unfiltered() && sys(SYS_personality, asks) & READ_IMPLIES_EXEC;
}

/* As brk_move, and records it. */
static void *map_sbrk(intptr_t by, size_t *stretch, bool executable)
{
    struct map_op m;
    map_begin(&m);
    void *p = brk_move(by, stretch), *failed = (void *)-1;
    uintptr_t from = map_page_end(p, 0), to = map_page_end((char *)p + by, 0);
    if (p != failed && to < from) {
        map_forget_moved(to, from);
        map_forget(to, from);
    } else if (p != failed && from < to && *stretch >= atomic_load(&map.least) && !executable) {
        map_record(from, to, 0);
    }
    map_end(&m, p == failed);
    return p;
}

/* Requires map.lock. Forgets a range, but for what is moved of it yet: that is the file's. */
static void map_forget_ordinary(uintptr_t from, uintptr_t to)
{
    struct span p;
    for (uintptr_t at = from; at < to; at = p.to) {
        if (!spans_part(&map.moved, at, to, &p))
            p.from = p.to = to;
        if (p.from > at)
            map_forget(at, p.from);
    }
}

enum { CALL_PROCESS_MADVISE = 440, CALL_MSEAL = 462 }; /* on every platform; libc's headers may be older */

static bool call_locks(long number) { return number == SYS_mlock || number == SYS_mlock2; }

/* Requires map.lock. May the process lock what is moved of a range? Asked before that becomes ordinary, for which memory may have no
 * room. Nothing is read for it. False: errno says why not. */
static bool map_may_lock(uintptr_t from, uintptr_t to)
{
    struct span p;
    int err = 0;
    for (uintptr_t at = from; !err && spans_part(&map.moved, at, to, &p); at = p.to)
        err = sys(SYS_mlock2, p.from, p.to - p.from, MLOCK_ONFAULT) != 0 ? errno : 0;
    for (uintptr_t at = from; spans_part(&map.moved, at, to, &p); at = p.to)
        sys_munlock((void *)p.from, p.to - p.from);
    errno = err;
    return !err;
}

/* Did the call change nothing at all? What lies before a gap has been changed. */
static bool leave_refused(long number, size_t bytes, int err)
{
    bool locks = call_locks(number);
    return err == EINVAL || (locks && (err == EPERM || err == EAGAIN || (err == ENOMEM && bytes > limit_of(RLIMIT_MEMLOCK))));
}

/* A call after which a range is left alone for good: `number` is the system call's. Where some of it can't become ordinary memory
 * (threads that can't be stopped, no address space), that stays moved; ENOMEM, where a file mapping can't be what is asked for. */
static NOINLINE long map_leave(long number, const void *at, size_t bytes, long third, long fourth)
{
    struct map_op m;
    if (!map_touches(at, bytes)) {
        if (number == SYS_pkey_mprotect)
            atomic_store(&map.decorated, true);
        return sys(number, at, bytes, third, fourth);
    }
    uintptr_t from = round_down((uintptr_t)at, sys_page()), to = map_page_end(at, bytes);
    map_begin(&m);
    bool may = !call_locks(number) || map_may_lock(from, to);
    int err = may ? ENOMEM : errno;
    if (may)
        map_settle(&m, from, to);
    bool able = may && map_may_cut(from, to) && ((number != SYS_madvise && number != CALL_MSEAL) || !spans_touch(&map.moved, from, to));
    long result = able ? sys(number, at, bytes, third, fourth) : -1;
    err = able ? errno : err;
    if (able && (result == 0 || !leave_refused(number, bytes, err)))
        map_forget_ordinary(from, to);
    errno = err;
    map_end(&m, result != 0);
    return result;
}

/* What is moved can be protected like other memory, but a file's folder may forbid execution. A fork must not come in
 * between its look at the protection and its freezing. */
static NOINLINE int map_mprotect(void *at, size_t bytes, int protection)
{
    if (protection & ~(PROT_READ | PROT_WRITE))
        return (int)map_leave(SYS_mprotect, at, bytes, protection, 0);
    if (!map.live.count || !map_touches(at, bytes))
        return sys_mprotect(at, bytes, protection);
    struct map_op m;
    map_begin(&m);
    int result = sys_mprotect(at, bytes, protection);
    map_end(&m, result != 0);
    return result;
}

static struct spans *const map_sets[] = {&map.ours, &map.moved, &map.live, &map.used, &map.kept};
enum { MAP_SETS = sizeof map_sets / sizeof map_sets[0] };

/* Requires map.lock. Has mlockall populate of the sets' memory no more than what is in use: zeroes that can only be read take none, and
 * who looks without the lock may have been told of more entries than there are by now. And the end of that. */
static void map_sets_hide(bool hides)
{
    const size_t bytes = MAP_SPANS_MAX * sizeof(struct span);
    for (size_t i = 0; i < MAP_SETS && hides; i++) {
        size_t used = round_up(map_sets[i]->count * sizeof(struct span), sys_page());
        if (used < bytes)
            sys_mprotect((char *)map_sets[i]->at + used, bytes - used, PROT_READ);
    }
    if (hides)
        return;
    sys_munlock(map_sets[0]->at, MAP_SETS * bytes); /* first: what is locked is populated where it may be written to */
    sys_mprotect(map_sets[0]->at, MAP_SETS * bytes, PROT_READ | PROT_WRITE);
}

/* Requires map.lock. As map_may_lock, for mlockall. What is locked already will be again. */
static bool map_may_lock_all(int flags)
{
    if (!map.moved.count)
        return true; /* the call itself tells */
    if (!(flags & MCL_CURRENT))
        return sys_mlock(map.ours.at, 0) == 0;
    return sys(SYS_mlockall, flags | MCL_ONFAULT) == 0 && sys(SYS_munlockall) == 0;
}

static int map_mlockall(int flags)
{
    if (!map_on() || !(flags & (MCL_CURRENT | MCL_FUTURE)))
        return (int)sys(SYS_mlockall, flags);
    struct map_op m;
    map_begin(&m);
    int result = map_may_lock_all(flags) ? 0 : -1, err = errno;
    if (result == 0) {
        map_settle(&m, 0, UINTPTR_MAX);
        map_sets_hide(true);
        result = (int)sys(SYS_mlockall, flags);
        err = errno;
        map_sets_hide(false);
    }
    errno = err;
    if (result == 0) {
        atomic_store(&map.least, map.moved.count ? SIZE_MAX - 1 : SIZE_MAX); /* what can't be ordinary is seen to, but nothing new */
        map_forget_ordinary(0, UINTPTR_MAX);
    }
    map_end(&m, result != 0);
    return result;
}

/* Requires map.lock. Where moved ranges are many, what is dropped of one stays a part of it and reads zero: it is not cut in
 * two. Its blocks stay reserved. False: it is as it was. */
static bool map_zero(const struct vma *v)
{
    size_t bytes = v->to - v->from;
    struct span p;
    if (map.moved.count < MAP_MOVED_MAX / 2 || !spans_part(&map.moved, v->from - 1, v->to + 1, &p) || p.from == v->from ||
        p.to == v->to)
        return false;
    map.mixed = true;
    if (spans_part(&map.live, v->from, v->to, &p)) /* copies, too, where a fork could not turn all private */
        return p.to - p.from == bytes && file_valid(&map.file) && file_zero(&map.file, p.from + p.marks, bytes) &&
               sys_madvise((void *)v->from, bytes, MADV_DONTNEED) == 0;
    if (v->protection != (PROT_READ | PROT_WRITE) || bytes > map_unit)
        return false; /* much of it would be more than what is to be freed: copies */
    memset((void *)v->from, 0, bytes);
    return true;
}

/* Requires map.lock. Where the kernel refuses ordinary memory (vm.overcommit_memory=2 counts it, but not a file's; kernels before
 * 6.12 tell when the place is empty already), the file is mapped there, and zeroed. */
static bool map_zero_again(const struct vma *v)
{
    size_t bytes = v->to - v->from;
    struct span p;
    int err = errno;
    bool done = v->shared && file_valid(&map.file) && spans_part(&map.live, v->from, v->to, &p) && p.to - p.from == bytes &&
                sys_mmap((void *)v->from, bytes, v->protection, MAP_SHARED | MAP_FIXED, map.file.fd,
                         (off_t)(v->from + p.marks)) != MAP_FAILED;
    if (done) {
        map_dress(v->from, v->to);
        map.mixed = true;
        done = file_zero(&map.file, v->from + p.marks, bytes);
    }
    errno = err;
    return done;
}

/* Requires map.lock. */
static bool map_drop_vma(const struct vma *v, int advice)
{
    bool moved = map_is_moved(v);
    if (moved && advice == MADV_REMOVE) { /* for files alone */
        errno = EINVAL;
        return false;
    }
    if (moved && map_zero(v))
        return true;
    if (moved && !map_may_cut(v->from, v->to))
        return false;
    if (moved && !map_renew(v->from, v->to, v->protection))
        return map_zero_again(v);
    if (!moved && sys(SYS_madvise, v->from, v->to - v->from, advice) != 0)
        return false;
    map_forget_moved(v->from, v->to);
    return true;
}

/* Requires map.lock. DONTNEED, FREE and REMOVE where something was moved: fresh memory. Returns 0 or an errno. */
static int map_drop(uintptr_t at, uintptr_t to, int advice)
{
    struct vma_scan scan = {0};
    struct span p;
    struct vma v;
    int err = 0;
    for (uintptr_t end; at < to && (!err || err == ENOMEM); at = end) {
        bool some = spans_part(&map.moved, at, to, &p);
        end = some && p.from == at ? p.to : some ? p.from : to;
        if (!some || p.from != at) {
            if (sys(SYS_madvise, at, end - at, advice) != 0)
                err = errno;
            continue;
        }
        for (uintptr_t in = at; vma_part(&scan, &in, end, &v);)
            err = map_drop_vma(&v, advice) ? err : errno;
    }
    return err;
}

/* Requires map.lock. What is shared with the file never goes to a child by a bare clone. */
static void map_keep_from_children(uintptr_t from, uintptr_t to)
{
    struct vma_scan scan = {0};
    struct span p;
    struct vma v;
    for (; spans_part(&map.live, from, to, &p); from = p.to)
        for (uintptr_t in = p.from; vma_part(&scan, &in, p.to, &v);)
            if (v.shared)
                sys(SYS_madvise, v.from, v.to - v.from, MADV_DONTFORK);
}

/* Advice that is remembered, for when the memory becomes ordinary again. False: it is none such. */
static bool map_advise(void *at, size_t bytes, int advice, int *result)
{
    static const struct { int advice; unsigned set, clear; } kinds[] = {
        {MADV_NORMAL, 0, MARK_RANDOM | MARK_SEQUENTIAL}, {MADV_RANDOM, MARK_RANDOM, MARK_SEQUENTIAL},
        {MADV_SEQUENTIAL, MARK_SEQUENTIAL, MARK_RANDOM}, {MADV_HUGEPAGE, MARK_HUGE, MARK_SMALL},
        {MADV_NOHUGEPAGE, MARK_SMALL, MARK_HUGE},        {MADV_DONTDUMP, MARK_DONTDUMP, 0},
        {MADV_DODUMP, 0, MARK_DONTDUMP},                  {MADV_DONTFORK, MARK_DONTFORK, 0},
        {MADV_DOFORK, 0, MARK_DONTFORK},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i].advice != advice)
            continue;
        struct map_op m;
        map_begin(&m);
        *result = (int)sys(SYS_madvise, at, bytes, advice);
        int err = errno;
        if (*result == 0 || err == ENOMEM) /* a gap: the rest is advised */
            map_mark((uintptr_t)at, (uintptr_t)at + bytes, kinds[i].set, kinds[i].clear);
        if (advice == MADV_DOFORK)
            map_keep_from_children((uintptr_t)at, (uintptr_t)at + bytes);
        errno = err;
        map_end(&m, *result != 0);
        return true;
    }
    return false;
}

static NOINLINE int map_madvise(void *at, size_t length, int advice)
{
    size_t page = sys_page(), bytes = round_up(length, page);
    if ((uintptr_t)at & (page - 1) || bytes < length || !map_touches(at, bytes)) {
        if (advice == MADV_WIPEONFORK || advice == MADV_DONTFORK || advice == MADV_DONTDUMP || advice == MADV_MERGEABLE)
            atomic_store(&map.decorated, true);
        return (int)sys(SYS_madvise, at, length, advice);
    }
    struct map_op m;
    int result;
    switch (advice) {
    case MADV_DONTNEED_LOCKED:
        if (sys(SYS_madvise, at, 0, advice) != 0)
            return -1;
        __attribute__((fallthrough));
    case MADV_DONTNEED:
    case MADV_FREE:
    case MADV_REMOVE:
        map_begin(&m);
        if (spans_touch(&map.moved, (uintptr_t)at, (uintptr_t)at + bytes)) {
            errno = map_drop((uintptr_t)at, (uintptr_t)at + bytes, advice);
            result = errno ? -1 : 0;
        } else {
            result = (int)sys(SYS_madvise, at, length, advice);
        }
        map_end(&m, result != 0);
        return result;
    case MADV_WIPEONFORK:
    case MADV_MERGEABLE:
    case MADV_GUARD_INSTALL:
        return (int)map_leave(SYS_madvise, at, length, advice, 0);
    case MADV_WILLNEED:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
        return (int)sys(SYS_madvise, at, length, advice);
    default: /* what file mappings know in another way, or not at all */
        if (map_advise(at, bytes, advice, &result))
            return result;
        map_begin(&m);
        map_settle(&m, (uintptr_t)at, (uintptr_t)at + bytes);
        result = (int)sys(SYS_madvise, at, length, advice);
        map_end(&m, result != 0);
        return result;
    }
}

/* --- moving out ---------------------------------------------------------------------------------- */

struct map_run {
    uintptr_t from, to;
    size_t offset; /* in the file */
};

static struct map_run map_runs[MAP_BATCH]; /* the monitor's */

/* Requires map.lock. Is that mapping one whose memory may be moved? What can't be written is not charged to the
 * process, as what is restored is. */
static bool map_movable(const struct vma *v)
{
    if (v->shared || v->protection != (PROT_READ | PROT_WRITE))
        return false;
    return !v->inode || (spans_touch(&map.moved, v->from, v->to) && !spans_touch(&map.live, v->from, v->to) &&
                         map_is_moved(v));
}

/* Pages of `vector` that are the kernel's one page of zeroes, as of what was only read: it takes no memory, and to move it would.
 * What one process alone has mapped is another, which need not be looked at. Requires that nobody else runs. */
static size_t map_only_read(uintptr_t from, const unsigned char *vector, size_t pages)
{
    const uint64_t others = pagemap_file | (uint64_t)1 << 56;
    uint64_t entry[MAP_UNIT / 4096 + 1];
    size_t bytes = pages * sizeof entry[0], n = 0;
    off_t at = (off_t)(from / sys_page() * sizeof entry[0]);
    if (atomic_load(&room.busy) || read_self("/proc/thread-self/pagemap", (char *)entry, bytes + 1, at) < bytes)
        return 0; /* the former: who stands is in the middle of it */
    for (size_t i = 0; i < pages; i++) {
        const uint64_t *word = (const uint64_t *)(from + i * sys_page()), *end = word + sys_page() / sizeof *word;
        if (!(vector[i] & 1) || entry[i] & others)
            continue;
        while (word < end && !*word)
            word++;
        n += word == end;
    }
    return n;
}

/* Is at least half of it in memory? Of a frozen mapping nobody knows what was changed. Requires that nobody else runs. */
static bool map_populated(const struct vma *v, uintptr_t from, size_t bytes)
{
    unsigned char vector[MAP_UNIT / 4096];
    size_t pages = bytes / sys_page(), resident = 0;
    if (v->inode)
        return true;
    if (sys(SYS_mincore, from, bytes, vector) != 0)
        return false;
    for (size_t i = 0; i < pages; i++)
        resident += vector[i] & 1;
    return resident * 2 >= pages && (resident - map_only_read(from, vector, pages)) * 2 >= pages;
}

/* Adds a unit to the batch, to the run before it if they are neighbours in the same 2 MiB. */
static size_t map_pick_unit(size_t runs, uintptr_t from, uintptr_t to)
{
    struct map_run *last = runs ? &map_runs[runs - 1] : NULL;
    if (last && last->to == from && from % huge_size) {
        last->to = to;
        return runs;
    }
    map_runs[runs] = (struct map_run){.from = from, .to = to};
    return runs + 1;
}

/* Requires map.lock. The next of what was chosen, which map_exchange looks at again. Returns how many runs they are. */
static size_t map_pick_chosen(size_t bytes)
{
    size_t runs = 0;
    for (size_t picked = 0; map.chosen_count && runs < MAP_BATCH && picked < bytes; map.chosen_count--, map.chosen++)
        if (!runs_on(map.chosen->from, map.chosen->to)) {
            runs = map_pick_unit(runs, map.chosen->from, map.chosen->to);
            picked += map.chosen->to - map.chosen->from;
        }
    return runs;
}

/* Requires map.lock. Chooses the next units from the cursor on. Returns how many runs they are. */
static size_t map_pick(size_t bytes, bool frozen)
{
    struct vma_scan scan = {0};
    struct span p;
    struct vma v;
    size_t runs = 0, picked = 0;
    if (map.chosen)
        return map_pick_chosen(bytes);
    bool full = map_full();
    for (uintptr_t at = map.cursor; spans_part(&map.ours, at, UINTPTR_MAX, &p); at = p.to)
        for (uintptr_t in = p.from; vma_part(&scan, &in, p.to, &v);) {
            if (!map_movable(&v) || (frozen && !v.inode))
                continue;
            for (uintptr_t x = v.from, end; x < v.to; x = end) {
                end = min_size(round_down(x, map_unit) + map_unit, v.to);
                map.cursor = end;
                if (runs_on(x, end) || (full && !v.inode && !map_offset_beside(x, end)) || !map_populated(&v, x, end - x))
                    continue;
                runs = map_pick_unit(runs, x, end);
                picked += end - x;
                if (runs == MAP_BATCH || picked >= bytes)
                    return runs;
            }
        }
    map.cursor = 0;
    return runs;
}

/* Faults there are watched while they are many: WATCH reads around them. */
static bool map_is_watched(void)
{
    return cfg.paging == PAGING_ADAPTIVE && atomic_load(&map.moved_bytes) && !map_reads_around();
}

/* Was something moved in the same GiB of addresses? Takes no lock. */
static bool map_has_moved_near(uintptr_t at)
{
    return at / gib < MAP_WINDOWS && atomic_load_explicit(&map.near[at / gib / 8], memory_order_relaxed) >> at / gib % 8 & 1;
}

/* What was staged and not used; the rest is written soon. */
static void map_unstage(struct map_run *r, bool exchanged)
{
    size_t bytes = r->to - r->from;
    if (exchanged) {
        sys(SYS_sync_file_range, map.file.fd, r->offset, bytes, SYNC_FILE_RANGE_WRITE);
        return;
    }
    map_file_keep(r->offset, r->offset + bytes);
    map_file_free(r->offset, r->offset + bytes);
}

/* Requires map.lock. Has that part of the file its blocks? What is kept elsewhere makes room for them. */
static bool map_reserve(size_t offset, size_t bytes)
{
    map_file_reuse(offset, offset + bytes);
    enum reason why = file_extend(&map.file, offset, bytes);
    if (why == REASON_DISK_FULL && map_purge_all())
        why = file_extend(&map.file, offset, bytes);
    return why == REASON_NONE;
}

/* Requires map.lock. Chooses the place in the file, and reserves it. `last` is the run before it; NULL: there is none. */
static bool map_stage(struct map_run *r, const struct map_run *last)
{
    size_t behind = last && last->to == r->from ? last->offset + (last->to - last->from) : 0;
    size_t bytes = r->to - r->from, offset = map_offset(r->from, r->to, behind);
    if (!offset)
        return false;
    if (!map_reserve(offset, bytes)) { /* some of it may be there */
        file_punch(&map.file, offset, bytes);
        return false;
    }
    folder_count(bytes, 0);
    spans_add(&map.used, offset, offset + bytes, 0);
    map.used_bytes += bytes;
    r->offset = offset;
    return true;
}

/* Requires map.lock, and that nobody else runs. Is the run what it was when it was chosen? */
static bool map_unchanged(struct vma_scan *scan, const struct map_run *r)
{
    struct vma v;
    return vma_find(scan, r->from, &v) && v.from <= r->from && v.to >= r->to && map_movable(&v) &&
           spans_bytes(&map.ours, r->from, r->to) == r->to - r->from;
}

/* Requires map.lock. Maps the file in the place of the run, whose content it has. False: it can't be mapped, and the run is what
 * it was. */
static bool map_exchange_mapping(const struct map_run *r)
{
    void *at = (void *)r->from;
    size_t bytes = r->to - r->from, page = sys_page();
    for (int tries = 0; tries < 2; tries++)
        if (sys_mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, map.file.fd, (off_t)r->offset) != MAP_FAILED)
            return true;
    unsigned char resident;
    if (sys_mincore(at, page, &resident) != 0 &&
        (!map_renew(r->from, r->to, PROT_READ | PROT_WRITE) ||
         (size_t)sys(SYS_pread64, map.file.fd, at, bytes, r->offset) != bytes)) /* it was unmapped before it failed */
        fatal("mapped memory at %p can't be put back where it was", at);
    return false;
}

/* Requires map.lock. Moves the run to the file. */
static bool map_exchange(struct vma_scan *scan, struct map_run *r)
{
    size_t bytes = r->to - r->from;
    if (!map_unchanged(scan, r))
        return false;
    for (size_t at = 0, part; at < bytes; at += part) {
        part = min_size(bytes - at, map_write_bytes);
        if (file_write(&map.file, (const char *)r->from + at, part, r->offset + at) != REASON_NONE)
            return false;
    }
    if (!map_exchange_mapping(r))
        return false;
    map_dress(r->from, r->to);
    map_note_moved(r->from, r->to, r->offset - r->from);
    return true;
}

/* Requires map.lock. Is there a file to move to? One that the program has closed stays until the next fork. */
static bool map_ready_file(void)
{
    if (file_valid(&map.file))
        return true;
    if (map.live.count || cfg.off)
        return false;
    map_close_file();
    if (file_create(&map.file, files_for_fries) != REASON_NONE)
        return false;
    if (folder.memory)
        file_close(&map.file);
    else if (!atomic_load(&bus_handled))
        bus_open();
    return !folder.memory;
}

/* Requires map.lock. Chooses and stages the next batch. Returns how many runs it has. */
static size_t map_prepare(size_t most, bool frozen)
{
    size_t staged = 0, runs = 0;
    bool ready = map_ready_file();
    uintptr_t begin = map.cursor;
    if (ready)
        runs = map_pick(most, frozen);
    if (ready && !runs && begin) /* from the start */
        runs = map_pick(most, frozen);
    while (staged < runs && map_stage(&map_runs[staged], staged ? &map_runs[staged - 1] : NULL))
        staged++;
    return staged;
}

/* Requires every lock, and that nobody else runs. Returns the bytes of the batch that are in their place now. */
static size_t map_exchange_all(size_t staged, bool *done)
{
    struct vma_scan scan = {0};
    size_t bytes = 0;
    for (size_t i = 0; i < staged; i++) {
        done[i] = map_exchange(&scan, &map_runs[i]);
        bytes += done[i] ? map_runs[i].to - map_runs[i].from : 0;
    }
    return bytes;
}

static void map_unstage_all(size_t staged, const bool *done)
{
    for (size_t i = 0; i < staged; i++)
        map_unstage(&map_runs[i], done[i]);
}

/* Anonymous memory, and what it may be. */
struct map_level {
    size_t bytes, all;
};

static struct map_level map_level(void)
{
    size_t bytes = anonymous_bytes();
    atomic_store(&room.read_ms, 0);
    return (struct map_level){bytes, room_bytes() + bytes};
}

/* How much of it is to be moved: more, where the program has filled memory faster than that was seen. It will again. */
static size_t map_excess(const struct map_level *l)
{
    size_t low = l->all / 100 * map_low, high = l->all / 100 * map_high;
    low -= l->bytes > high ? min_size(l->bytes - high, low) : 0;
    return l->bytes > low ? l->bytes - low : 0;
}

/* Takes every lock, and stops the program. Its threads are asked first: one that is in the middle of a call of ours would
 * wait for a processor while the others fill memory. False: some can't be stopped. */
static bool map_stop(bool hurry)
{
    gate_shut();
    stop.hurry = hurry; /* not before: others stop threads, too */
    bool asked = stop_ask();
    if (asked && !gate_await(home_await_ms)) {
        stop_end();
        asked = false;
    }
    home_lock_shut();
    lock_take(&map.lock);
    return asked && stop_asked(hurry ? 10 * home_await_ms : home_await_ms);
}

/* The end of what map_stop began. */
static void map_resume(bool held, const sigmask *saved)
{
    if (held)
        stop_end();
    count_one(&map.stops);
    stop.hurry = false;
    lock_drop(&map.lock);
    home_unlock();
    sys_sigmask(SIG_SETMASK, saved, NULL);
}

/* Requires every lock, and that nobody else runs. Moves at least so many bytes out, if it can, in batches of `most`, and returns how
 * many it did. *safe: false, where nothing may be moved. */
static size_t map_move_now(size_t most, size_t least, bool *safe)
{
    bool done[MAP_BATCH] = {false}, monitor = mon_self;
    size_t bytes = 0;
    mon_self = false; /* nobody sees which numbers its files take */
    *safe = !home_is_unsafe() && !atomic_load(&map.faults_elsewhere);
    map.mappings_most = mappings_most();
    if (*safe && !map_full())
        own_spares(true);
    for (size_t part = 1; *safe && part && bytes < least; bytes += part) {
        size_t staged = map_prepare(most, false);
        part = map_exchange_all(staged, done);
        map_unstage_all(staged, done);
        home_mappings += 2 * staged; /* at most: each splits another */
    }
    mon_self = monitor;
    map.out_bytes += bytes;
    return bytes;
}

/* As map_move_now, but that it stops the program; `least` 0: what is too much when all threads stand. The program waits: it would
 * fill memory faster than that. */
static size_t map_move(size_t most, size_t least, bool hurry)
{
    size_t bytes = 0;
    sigmask saved;
    signals_hold(&saved);
    bool held = map_stop(hurry), safe = true;
    if (held) {
        struct map_level level = map_level();
        size_t excess = level.bytes ? map_excess(&level) : map_held_bytes; /* a stopped thread may be in the middle of a look */
        bytes = map_move_now(most, least ? least : max_size(min_size(excess, map_held_bytes), 1), &safe);
        atomic_store(&stop.one_by_one, true);
        atomic_store(&map.due_ms, now_ms());
    }
    if (bytes)
        map.retry_ms = 0;
    else if ((held && safe) || stop.writes)
        map.retry_ms = map_pause_ms;
    else /* a thread is in the middle of a write; or, as it begins or ends, blocks all signals, for a moment; or what writes is soon gone */
        map.retry_ms = stop.put_off ? map_least_ms : min_size(2 * map.retry_ms + map_least_ms, map_pause_ms);
    atomic_store(&map.refused, !bytes && (!safe || stop.writes));
    map_resume(held, &saved);
    static atomic_bool told;
    if (!safe && cfg.verbose && first_time(&told))
        report("what is mapped can't be moved to disk while something writes there, or serves its faults, by itself: %s", home_writer);
    return bytes;
}

/* --- paging of what was moved ------------------------------------------------------------------------ */

static void watch_want(unsigned what, bool on), watch_request(void); /* WATCH */
static size_t hot_mapped(uintptr_t from, size_t n); /* below */
enum { LOOK_CHUNKS = 4096, LOOK_PAGES = 512 }; /* of 2 MiB; pages of the kernel's there, at most */
static const size_t look_dense = 192 * kib;    /* of a chunk, that a stream brings in between two looks */
static const int ahead_most = 16;         /* chunks in front of a stream */
static const size_t ahead_budget = 16 << 20;   /* bytes asked for at a look, at most: the device takes so much without a wait */
static const unsigned due_most = 50;      /* looks without a fault, until what was asked for is given up */
static const uint8_t asked_looks = 3;          /* in which it comes: 20 ms and more */
static const size_t ahead_part = 8;            /* and no more than one part in so many of the memory to be had */
static const uint64_t look_ms = 10, look_most_ms = 500; /* between looks: while there are streams; where none was seen */
static const uint64_t follow_ms = 2;       /* between looks at what was asked for alone: a program goes through 4 MiB, if it does little else */

/* What a look saw of 2 MiB of addresses that have moved memory. */
struct chunk {
    uintptr_t at;                       /* a multiple of huge_size; 0: none */
    uint64_t resident[LOOK_PAGES / 64]; /* a bit for each page */
    uint16_t missing;                   /* pages of moved memory that are not in memory */
    uint16_t came;                      /* that the program's faults brought in since the look before */
    uint16_t trace;                     /* the same, with half of what was before */
    int8_t ahead;                       /* how many chunks were asked for with it, below 0: downwards; 0: it was not */
    uint8_t asked;                      /* what comes in so many looks is no fault's */
    bool due;                           /* it was asked for, and the program was not seen there yet, */
    uint16_t probe;                     /* in this page, which was on disk alone */
    unsigned marked;                    /* the look that set `ahead`: its number */
};

/* Requires map.lock. The moved memory of a chunk: what is resident, and what is not. */
static void chunk_look(struct chunk *c, uintptr_t at)
{
    unsigned char vector[LOOK_PAGES];
    struct span p;
    *c = (struct chunk){.at = at};
    for (uintptr_t from = at; spans_part(&map.live, from, at + huge_size, &p); from = p.to) {
        size_t first = (p.from - at) / sys_page(), pages = (p.to - p.from) / sys_page();
        if (sys_mincore((void *)p.from, p.to - p.from, vector) != 0)
            continue;
        for (size_t i = 0; i < pages; i++) {
            c->resident[(first + i) / 64] |= (uint64_t)(vector[i] & 1) << (first + i) % 64;
            c->missing += !(vector[i] & 1);
        }
    }
}

/* What has come to it since the look before. */
static void chunk_compare(struct chunk *c, const struct chunk *before)
{
    for (size_t i = 0; i < LOOK_PAGES / 64 && !before->asked; i++)
        c->came += (uint16_t)__builtin_popcountl(c->resident[i] & ~before->resident[i]);
    c->trace = c->came + before->trace / 2;
    c->ahead = before->ahead;
    c->marked = before->marked;
    c->asked = before->asked - (before->asked > 0);
    c->due = before->due && map.looks - before->marked <= due_most;
    c->probe = before->probe;
}

/* Requires map.lock. Chooses where to see that the program has come to what is asked for: it does not fault there for the disk.
 * False: nothing of it is on disk alone, or all is mapped yet. */
static bool chunk_choose_probe(struct chunk *c)
{
    static const uint8_t parts[] = {4, 3, 5, 2, 6, 1, 7, 0}; /* the middle first */
    const size_t each = huge_size / sys_page() / 8;
    for (size_t i = 0; i < 8; i++)
        for (size_t page = parts[i] * each; page < (parts[i] + 1u) * each; page++) {
            uintptr_t at = c->at + page * sys_page();
            if (c->resident[page / 64] >> page % 64 & 1)
                continue;
            c->probe = (uint16_t)page;
            if (spans_bytes(&map.live, at, at + sys_page()) && !hot_mapped(at, 1))
                return true;
            break;
        }
    return false;
}

/* Is a quarter of it mapped? Less is what picks leave. */
static bool chunk_is_mapped(const struct chunk *c)
{
    uint64_t entry[LOOK_PAGES + 1]; /* one more than is read */
    size_t there = 0, n = huge_size / sys_page(), bytes = n * sizeof entry[0];
    if (read_self("/proc/thread-self/pagemap", (char *)entry, bytes + 1, (off_t)(c->at / sys_page() * sizeof entry[0])) < bytes)
        return false;
    for (size_t i = 0; i < n; i++)
        there += (entry[i] & pagemap_present) != 0;
    return there * 4 >= n;
}

/* Has the program come to what was asked for? */
static bool chunk_reached(struct chunk *c)
{
    bool reached = c->due && hot_mapped(c->at + c->probe * sys_page(), 1) && chunk_is_mapped(c);
    c->due &= !reached;
    return reached;
}

/* look_dense in pages of the kernel's, as faults and what came are counted: with 64 KiB a chunk has 32 in all. */
static int look_dense_pages(void) { return (int)(look_dense / sys_page()); }

/* Does a stream go through it? */
static bool chunk_is_used(struct chunk *c) { return c->came >= look_dense_pages() || chunk_reached(c); }

/* The look that asked for it upwards (step 1) or downwards (-1); 0: none did. */
static unsigned chunk_mark(const struct chunk *c, int step) { return step * c->ahead > 0 ? c->marked : 0; }

/* How many chunks to ask for in front of a run of them that the program goes through, below 0: downwards, as the kernel places
 * mappings. It comes from where pages came before, or from where they were asked for last: then it gets twice as many. */
static int run_ahead(const struct chunk *low, const struct chunk *high)
{
    static const struct chunk none;
    const struct chunk *below = low[-1].at + huge_size == low->at ? &low[-1] : &none;
    const struct chunk *above = high[1].at == high->at + huge_size ? &high[1] : &none;
    int more_below = below->trace + low->trace - low->came - (above->trace + high->trace - high->came);
    unsigned up = chunk_mark(below, 1) > chunk_mark(low, 1) ? chunk_mark(below, 1) : chunk_mark(low, 1);
    unsigned down = chunk_mark(above, -1) > chunk_mark(high, -1) ? chunk_mark(above, -1) : chunk_mark(high, -1);
    bool goes_down = low->came < high->came; /* the end that is not full is in front */
    if (more_below <= -look_dense_pages() / 2 || more_below >= look_dense_pages() / 2)
        goes_down = more_below < 0;
    else if (up != down)
        goes_down = down > up;
    int last = goes_down ? -(above->ahead < high->ahead ? above->ahead : high->ahead)
                         : (below->ahead > low->ahead ? below->ahead : low->ahead);
    int ahead = last <= 0 ? 1 : last < ahead_most / 2 ? 2 * last : ahead_most;
    return goes_down ? -ahead : ahead;
}

/* Requires map.lock. Asks for what is missing of the foremost chunk of a run and of those in front of it. Returns what is
 * left of the budget. */
static size_t run_ask(struct chunk *low, struct chunk *high, int ahead, size_t budget)
{
    int step = ahead < 0 ? -1 : 1;
    struct chunk *c = step < 0 ? low : high;
    struct span p;
    for (struct chunk *in = low; in <= high; in++) {
        in->ahead = (int8_t)ahead;
        in->marked = map.looks;
    }
    for (int i = 0; i <= step * ahead && c->at; i++, c += step) {
        size_t bytes = c->missing * sys_page();
        if (bytes > budget || (i && c[-step].at + (uintptr_t)(step * (intptr_t)huge_size) != c->at))
            break;
        bool due = bytes && i > 0 && chunk_choose_probe(c);
        for (uintptr_t at = c->at; bytes && spans_part(&map.live, at, c->at + huge_size, &p); at = p.to)
            if (sys_madvise((void *)p.from, p.to - p.from, MADV_WILLNEED) == 0) {
                c->asked = asked_looks;
                c->due = due;
                map.due_looks = due_most;
            }
        c->ahead = (int8_t)ahead;
        c->marked = map.looks;
        c->missing = 0;
        budget -= bytes;
    }
    return budget;
}

/* Requires map.lock. Looks at what was moved: now[1 .. n], between two that are none. Returns n. */
static size_t moved_look(struct chunk *now, const struct chunk *before)
{
    struct span p;
    size_t n = 0;
    now[0].at = 0;
    before++;
    for (uintptr_t at = 0; n < LOOK_CHUNKS && spans_part(&map.live, at, UINTPTR_MAX, &p); at = now[n].at + huge_size) {
        chunk_look(&now[++n], round_down(p.from, huge_size));
        while (before->at && before->at < now[n].at)
            before++;
        if (before->at == now[n].at)
            chunk_compare(&now[n], before);
    }
    now[n + 1].at = 0;
    return n;
}

/* What may be asked for at a time. */
static size_t ahead_bytes(void) { return min_size(ahead_budget, room_bytes() / ahead_part); }

/* Requires map.lock. A fault in moved memory brings in little. Where many pages of chunks have come since the last look,
 * and did so at that one, the program goes through them in order: the rest, and as many chunks again as were read ahead for it
 * before, are asked for, in large reads of small pages (a write to a page of a large one costs as much as 500 writes on
 * ext4). */
static void map_ask(struct chunk *now, size_t n)
{
    size_t all = 0, dense = 0, budget = ahead_bytes();
    for (size_t i = 1, last; i <= n; i = last + 1) {
        all += now[last = i].came;
        if (!chunk_is_used(&now[i]))
            continue;
        dense += now[i].came;
        while (now[last + 1].at == now[last].at + huge_size && chunk_is_used(&now[last + 1])) {
            all += now[++last].came;
            dense += now[last].came;
        }
        if (map.streams)
            budget = run_ask(&now[i], &now[last], run_ahead(&now[i], &now[last]), budget);
    }
    if (all >= (size_t)look_dense_pages()) /* fewer may be what a stream finds already there */
        map.streams = dense * 2 >= all;
}

/* Requires map.lock. Looks at all that was moved, and asks for what is in front of streams. Returns the ms that looking took. */
static uint64_t map_look(struct chunk *now, const struct chunk *before)
{
    uint64_t began = now_ns();
    size_t n = moved_look(now, before);
    uint64_t took = (now_ns() - began) / 1000000;
    map_ask(now, n);
    return took;
}

/* The table of the last look. */
static struct chunk *map_chunks(unsigned look) { return map.chunks + look % 2 * (LOOK_CHUNKS + 2); }

/* Requires map.lock. Where a stream has come to what was asked for, what follows is asked for, as long as it takes no more memory
 * than at a look. */
static void chunks_follow(struct chunk *now, size_t due)
{
    size_t budget = ahead_bytes();
    budget -= min_size(due * huge_size, budget);
    for (struct chunk *low = now + 1, *high; low->at; low = high + 1) {
        high = low;
        if (!chunk_reached(low))
            continue;
        while (high[1].at == high->at + huge_size && chunk_reached(&high[1]))
            high++;
        budget += (size_t)(high - low + 1) * huge_size;
        int ahead = high->ahead > ahead_most / 2 || high->ahead < -ahead_most / 2 ? high->ahead : 2 * high->ahead;
        budget = run_ask(low, high, ahead, budget);
    }
}

/* Between two looks. Returns the milliseconds until the next time. */
static uint64_t map_follow(void)
{
    size_t due = 0;
    if (!map.streams || !map.due_looks || !map.chunks)
        return map_idle_ms;
    lock_take(&map.lock);
    for (struct chunk *c = map_chunks(map.looks) + 1; c->at; c++)
        due += c->due;
    if (due)
        chunks_follow(map_chunks(map.looks), due);
    lock_drop(&map.lock);
    return due ? follow_ms : map_idle_ms;
}

/* Page faults of the process so far, but the caller's, and how many of them were major ones. */
static size_t map_all_faults(size_t *major)
{
    struct rusage all, own;
    sys_getrusage(RUSAGE_THREAD, &own);
    sys_getrusage(RUSAGE_SELF, &all);
    *major = (size_t)(all.ru_majflt - own.ru_majflt);
    return (size_t)(all.ru_minflt - own.ru_minflt) + *major;
}

/* Where the process pages, reads ahead. Returns the milliseconds until the next look. */
static uint64_t map_read_ahead(void)
{
    size_t major;
    map_all_faults(&major);
    size_t faults = major - map.faults;
    size_t least = !map.streams ? 2 * look_dense / sys_page() : map.due_looks ? 0 : 1;
    uint64_t now = now_ms();
    if (cfg.paging != PAGING_ADAPTIVE || faults < least) { /* however long they take */
        if (now > map.look_ms + map_idle_ms)
            watch_want(WATCH_MOVED, false);
        return 2 * look_ms;
    }
    if (!map.chunks) {
        map.chunks = own_table(2 * (LOOK_CHUNKS + 2) * sizeof(struct chunk));
        if (!map.chunks)
            return map_idle_ms;
    }
    if (map_is_watched()) {
        watch_request();
        watch_want(WATCH_MOVED, true);
    }
    if (now < map.look_ms)
        return map.look_ms - now;
    map.looks++;
    map.due_looks -= map.due_looks > 0;
    map.faults += faults;
    lock_take(&map.lock);
    uint64_t took = map_look(map_chunks(map.looks), map_chunks(map.looks + 1));
    lock_drop(&map.lock);
    map.pause = map.streams ? look_ms : min_size(2 * map.pause + look_ms, look_most_ms);
    map.pause = max_size(map.pause, 3 * took);
    map.look_ms = now_ms() + map.pause;
    return map.pause;
}

/* --- what is hot comes home -------------------------------------------------------------------------- */

/* What is moved is chosen by its address, and may be what the program writes to most. There reclaim finds one dirty page after
 * the other, so it has all of them written, and each faults to be dirtied again: DuckDB, 1.4 GB in 600 MiB, wrote 30 GB that way.
 * So where the process faults often, a few strips of each chunk are unmapped. Those whose strips have all been touched soon after
 * are hot, and become anonymous memory; something else is moved for them. */
enum { HOT_CHUNKS = 512, HOT_STRIPS = 3, HOT_PAGES = 8, HOT_MOST = 16, HOT_AGES = 4096 };
static const size_t hot_faults = 20;                   /* of the program in a millisecond: they take a processor 2 to 20 % */
static const uint64_t hot_window_ms = 50, hot_wait_ms = 20; /* in which they are counted; for the strips to be touched: a page
                                                             * that comes by chance, as the disk delivers, seldom is thrice */
static const size_t hot_absent = 8, hot_late = 64;     /* one page in so many may be on disk alone, and is asked for; when all stand */
static const uint64_t hot_part = 5, hot_most_ms = 2000;    /* one part of the time in so many goes there; and pauses, at most */
static const uint64_t hot_arm_ns = 5 * 1000000, hot_home_ns = 40 * 1000000; /* all stand, to unmap strips or to copy, at most */
static const uint64_t hot_full_ms = 250;               /* memory is full soon; a stop that takes long, and the mover's next */
static const uint64_t hot_age_ms = 10000, hot_again_ms = 200; /* what came home since then and is hot again was moved too soon; then
                                                               * pauses, at most */

static struct {                     /* the monitor's, with map.lock */
    bool armed;                     /* strips are unmapped, and due */
    uint64_t due_ms, pause_ms;      /* nothing is done before; since nothing came home for long, doubled each time */
    uint64_t since_ms, spent_ns;    /* when `faults` was taken; for the present series */
    size_t faults;
    size_t filled;                  /* with them: bytes that had been filled, as far as that is seen */
    uintptr_t hand;                 /* where the next series begins */
    uint32_t series;
    size_t count;
    struct span chunk[HOT_CHUNKS];  /* the first moved part of each; marks: the series */
    uint32_t home_ms[HOT_AGES];     /* by the number of a chunk: when it came home */
} hot;

/* The strip number i of a part: another place in each series. Returns its bytes, 0: the part is too small. */
static size_t hot_strip(const struct span *part, unsigned i, uintptr_t *from)
{
    size_t each = round_down((part->to - part->from) / HOT_STRIPS, sys_page());
    size_t bytes = min_size(HOT_PAGES * sys_page(), each);
    uint32_t mixed = ((uint32_t)(part->from / huge_size) * 31 + (uint32_t)part->marks * HOT_STRIPS + i) * 2654435769u;
    *from = part->from + i * each + (mixed >> 16) % ((each - bytes) / sys_page() + 1) * sys_page();
    return bytes;
}

/* Requires map.lock, and that nobody else runs: what passes us by might put memory there that is lost by it. Unmaps the strips of
 * the next chunks; the file has their content. */
static void hot_arm(void)
{
    struct vma_scan scan = {0};
    struct span p;
    struct vma v;
    uint64_t began = now_ns();
    hot.count = 0;
    hot.series++;
    while (hot.count < HOT_CHUNKS && now_ns() - began < hot_arm_ns) {
        if (!spans_part(&map.live, hot.hand, UINTPTR_MAX, &p)) {
            hot.hand = 0;
            return;
        }
        hot.hand = min_size(round_down(p.from, huge_size) + huge_size, p.to);
        if (!vma_find(&scan, p.from, &v) || v.from > p.from || !v.shared || !map_is_moved(&v))
            continue;
        struct span part = {p.from, min_size(hot.hand, v.to), hot.series};
        for (unsigned i = 0; i < HOT_STRIPS; i++) {
            uintptr_t from;
            size_t bytes = hot_strip(&part, i, &from);
            sys_madvise((void *)from, bytes, MADV_DONTNEED);
        }
        hot.chunk[hot.count++] = part;
    }
}

/* How many of n pages are mapped, so touched since; 0: the kernel does not tell. */
static size_t hot_mapped(uintptr_t from, size_t n)
{
    uint64_t entry[HOT_PAGES + 1]; /* one more than is read */
    size_t there = 0, bytes = n * sizeof entry[0];
    if (read_self("/proc/thread-self/pagemap", (char *)entry, bytes + 1, (off_t)(from / sys_page() * sizeof entry[0])) < bytes)
        return 0;
    for (size_t i = 0; i < n; i++)
        there += (entry[i] & pagemap_present) != 0;
    return there;
}

/* Requires map.lock. Have all pages of all strips been touched? */
static bool hot_touched(const struct span *part)
{
    for (unsigned i = 0; i < HOT_STRIPS; i++) {
        uintptr_t from;
        size_t bytes = hot_strip(part, i, &from), n = bytes / sys_page();
        if (!n || spans_bytes(&map.live, from, from + bytes) != bytes || hot_mapped(from, n) != n)
            return false;
    }
    return true;
}

/* Requires map.lock. The pages of a part that are on disk alone. */
static size_t hot_missing(const struct span *part)
{
    unsigned char vector[LOOK_PAGES];
    size_t pages = (part->to - part->from) / sys_page(), missing = pages;
    if (sys_mincore((void *)part->from, part->to - part->from, vector) != 0)
        return pages;
    for (size_t i = 0; i < pages; i++)
        missing -= vector[i] & 1;
    return missing;
}

/* Requires map.lock. Puts the hot chunks, HOT_MOST at most, at the start of the list, and returns how many they are. What they
 * lack is asked for: all will stand while it comes. */
static size_t hot_judge(void)
{
    size_t found = 0;
    for (size_t n = 0; n < hot.count && found < HOT_MOST; n++) {
        const struct span part = hot.chunk[n];
        size_t bytes = part.to - part.from, missing = hot_touched(&part) ? hot_missing(&part) : bytes;
        if (missing > bytes / sys_page() / hot_absent)
            continue;
        if (missing)
            sys_madvise((void *)part.from, bytes, MADV_WILLNEED);
        hot.chunk[found++] = part;
    }
    return found;
}

/* Requires every lock, and that nobody else runs. Makes a part anonymous, where it is one mapping yet. */
static bool hot_restore(struct vma_scan *scan, struct span *part)
{
    struct span p;
    struct vma v;
    uintptr_t in = part->from;
    size_t low = SIZE_MAX, high = 0;
    if (hot_missing(part) > (part->to - part->from) / sys_page() / hot_late ||
        !spans_part(&map.live, part->from, part->to, &p) || p.from != part->from || p.to != part->to ||
        !vma_part(scan, &in, part->to, &v) || v.from != part->from || v.to != part->to || !v.shared || !map_is_moved(&v) ||
        v.protection != (PROT_READ | PROT_WRITE) || !map_restore_vma(&v))
        return false;
    map_unmoved(p.from, p.to, &low, &high);
    *part = (struct span){low, high, 0};
    return true;
}

/* Has most of the list come home not long ago? Notes that it does now. */
static bool hot_again(size_t found)
{
    uint32_t now = (uint32_t)now_ms();
    size_t again = 0;
    for (size_t i = 0; i < found; i++) {
        uint32_t *home_ms = &hot.home_ms[hot.chunk[i].from / huge_size % HOT_AGES];
        again += *home_ms && now - *home_ms < hot_age_ms;
        *home_ms = now | 1;
    }
    return again * 2 > found;
}

/* Requires every lock, and that nobody else runs. Brings home what was found, as far as memory, mappings and time suffice.
 * Returns how many chunks; what they had of the file is at the start of the list. */
static size_t hot_bring(size_t found)
{
    struct vma_scan scan = {0};
    struct map_level level = map_level();
    uint64_t began = now_ns();
    size_t most = level.all / 100 * (began / 1000000 < map.next_ms ? map_high : map_hurry), came = 0;
    bool monitor = mon_self;
    mon_self = false; /* nobody sees which numbers its files take */
    bool safe = file_valid(&map.file) && !home_is_unsafe();
    for (size_t i = 0; i < found && safe && now_ns() - began < hot_home_ns; i++) {
        struct span part = hot.chunk[i];
        if (level.bytes && level.bytes + (came + 1) * huge_size < most && map.moved.count < MAP_MOVED_MAX / 2 && !map_full() &&
            hot_restore(&scan, &part)) {
            atomic_fetch_add(&map.home_bytes, part.to - part.from);
            hot.chunk[came++] = part;
        }
    }
    mon_self = monitor;
    return came;
}

/* Requires map.lock. What came home will not be written. Its place in the file is kept for its return. */
static void hot_drop(size_t came)
{
    for (size_t i = 0; i < came && file_valid(&map.file); i++) {
        const struct span *of_file = &hot.chunk[i];
        map.mixed = true;
        if (!file_zero(&map.file, of_file->from, of_file->to - of_file->from))
            file_punch(&map.file, of_file->from, of_file->to - of_file->from);
    }
}

/* As map_stop, for what may wait: half-done calls get no push. */
static bool map_stop_gently(void)
{
    unsigned halves = stop.halves;
    stop.halves = 0;
    bool held = map_stop(false);
    stop.halves = halves;
    return held;
}

/* Brings so many chunks home; unmaps strips of the next ones, if there are none. Returns how many came; -1: threads can't be
 * stopped. */
static int hot_stop(size_t found)
{
    sigmask saved;
    size_t came = 0;
    signals_hold(&saved);
    bool held = map_stop_gently();
    if (held && found)
        came = hot_bring(found);
    else if (held)
        hot_arm();
    if (held)
        stop_end();
    hot_drop(came);
    map_resume(false, &saved);
    return held ? (int)came : -1;
}

/* What the program has filled: it is anonymous, or was until it was moved, and did not come home. */
static size_t hot_filled(void) { return anonymous_bytes() + map.out_bytes - atomic_load(&map.home_bytes); }

/* Would memory be full soon, as fast as it is being filled since `before`? Then nothing else may take time, nor memory. */
static bool hot_fills(size_t *before, uint64_t passed)
{
    size_t now = hot_filled(), filled = now - min_size(*before, now);
    *before = now;
    return filled / max_size(passed, 1) * hot_full_ms > room_bytes();
}

/* The end of a series, after which pauses become longer, up to `most_ms`. Returns the milliseconds until the next one. */
static uint64_t hot_rest(uint64_t most_ms)
{
    size_t major;
    hot.armed = false;
    hot.pause_ms = min_size(2 * hot.pause_ms + hot_wait_ms, most_ms);
    hot.since_ms = now_ms();
    hot.faults = map_all_faults(&major);
    hot.filled = hot_filled();
    uint64_t wait = max_size(max_size(hot.pause_ms, hot_part * hot.spent_ns / 1000000), hot_window_ms);
    hot.spent_ns = 0;
    hot.due_ms = hot.since_ms + wait;
    return wait;
}

/* One step: waits until the program faults often; unmaps; judges, and brings home. Returns the milliseconds until the next. */
static uint64_t hot_tick(void)
{
    size_t major, found = 0;
    uint64_t now = now_ms(), began = now_ns();
    if (cfg.paging != PAGING_ADAPTIVE || !atomic_load(&map.moved_bytes) || atomic_load(&map.faults_elsewhere))
        return map_idle_ms;
    if (now < hot.due_ms || mon_wanted())
        return hot.due_ms - min_size(now, hot.due_ms);
    if (!hot.armed) {
        size_t faults = map_all_faults(&major) - hot.faults;
        bool fills = hot_fills(&hot.filled, now - hot.since_ms);
        if (fills || faults < hot_faults * (now - hot.since_ms))
            return hot_rest(0);
        if (!hot_mapped((uintptr_t)&hot, 1)) /* the kernel does not tell */
            return hot_rest(hot_most_ms);
        hot.armed = hot_stop(0) == 0;
        hot.spent_ns = now_ns() - began;
        hot.due_ms = now_ms() + hot_wait_ms;
        return hot.armed ? hot_wait_ms : hot_rest(hot_most_ms);
    }
    lock_take(&map.lock);
    found = hot_judge();
    bool again = hot_again(found);
    lock_drop(&map.lock);
    bool useful = found && hot_stop(found) > 0;
    hot.spent_ns += now_ns() - began;
    return hot_rest(!useful ? hot_most_ms : again ? hot_again_ms : 0);
}

/* --- what is cold goes -------------------------------------------------------------------------------- */

/* What stays ordinary is chosen by its address, too, and may be what the program seldom touches, while what was moved is read again
 * and again. So the kernel forgets what was touched of it (clear_refs), and when the process has read as much as the page cache
 * holds, it tells what was since (smaps): the cache would have let go of the rest. Chunks that are little but rest are moved.
 * gcc on a large array in 190 MiB has half the faults by that. */
enum { COLD_CHUNKS = 1024 };
static const size_t cold_part = 3;              /* of a chunk's memory: less than one part in so many was touched */
static const size_t cold_bytes = 32 << 20;      /* moved while all stand, at most: 20 to 40 ms, beside much load to 200 */
static const size_t cold_most = (size_t)4 << 30; /* of ordinary memory: clear_refs and smaps go through all of it, 0.1 s together */
static const uint64_t cold_look_ms = 100;       /* between looks at what the process has read */
static const uint64_t cold_least_ms = 500, cold_most_ms = 30000; /* in which it reads so much: less is a storm; then it hardly pages */
static const uint64_t cold_rest_ms = 2000;      /* where nothing was cold, nobody can be stopped, or the kernel counts nothing; doubled, up to
                                                 * half of cold_most_ms: what was counted is not too old then */
static const uint64_t cold_share = 20;          /* all stand one part of the time in so many */

static struct {            /* the monitor's, with map.lock */
    bool cleared;          /* what was touched is counted since `since_ms` */
    uint64_t due_ms, rest_ms;   /* nothing is done before; since nothing was cold */
    uint64_t since_ms, look_ms; /* of `read` and `filled` */
    size_t read, filled;   /* bytes the process had read; as hot.filled */
    uintptr_t hand;        /* where the next list begins */
    size_t count, at;      /* of chunk; those that smaps has passed */
    struct span chunk[COLD_CHUNKS]; /* ordinary memory; marks: it is cold */
} cold;

/* What the process has read from disks, in bytes. */
static size_t cold_read(void)
{
    struct rusage u;
    sys_getrusage(RUSAGE_SELF, &u);
    return max_size((size_t)u.ru_inblock * 512, (size_t)u.ru_majflt * sys_page()); /* the former is not told everywhere */
}

/* Lists what is ordinary of a mapping. Returns where it ends; before, where there is no place for more. */
static uintptr_t cold_list_mapping(const struct vma *v)
{
    for (uintptr_t x = v->from, end; !v->inode && map_movable(v) && x < v->to; x = end) {
        end = min_size(round_down(x, huge_size) + huge_size, v->to);
        if (cold.count == COLD_CHUNKS)
            return x;
        cold.chunk[cold.count++] = (struct span){x, end, 0};
    }
    return v->to;
}

/* Requires map.lock. Lists the ordinary memory from `hand` on, as far as a few milliseconds suffice. */
static void cold_list(void)
{
    struct vma_scan scan = {0};
    struct span p;
    struct vma v;
    uint64_t began = now_ns();
    cold.count = cold.at = 0;
    for (uintptr_t at = cold.hand; spans_part(&map.ours, at, UINTPTR_MAX, &p); at = p.to)
        for (uintptr_t in = p.from; !(p.marks & (MARK_RANDOM | MARK_SEQUENTIAL)) && vma_part(&scan, &in, p.to, &v);) {
            cold.hand = cold_list_mapping(&v);
            if (cold.hand < v.to || now_ns() - began > hot_arm_ns)
                return;
        }
    cold.hand = 0;
}

/* smaps tells by mapping: every second chunk becomes one by MADV_RANDOM, which changes nothing of ordinary memory. */
static void cold_split(int advice)
{
    for (size_t i = 0; i < cold.count; i++)
        if (cold.chunk[i].from / huge_size % 2)
            sys_madvise((void *)cold.chunk[i].from, cold.chunk[i].to - cold.chunk[i].from, advice);
}

static bool cold_see(const struct vma *v, void *began_ns)
{
    while (cold.at < cold.count && cold.chunk[cold.at].from < v->from)
        cold.at++;
    struct span *c = &cold.chunk[cold.at];
    if (cold.at < cold.count && c->from == v->from && c->to == v->to)
        c->marks = v->resident * 2 >= v->to - v->from && v->referenced * cold_part < v->resident;
    return cold.at < cold.count && now_ns() - *(uint64_t *)began_ns < hot_home_ns;
}

/* Requires every lock, and that nobody else runs. Puts the cold chunks at the start of the list. Returns how many they are. */
static size_t cold_judge(void)
{
    size_t found = 0;
    uint64_t began = now_ns();
    cold_list(); /* before: maps takes less than smaps */
    bool details = atomic_exchange(&vma_details, true);
    cold_split(MADV_RANDOM);
    vmas_walk(0, UINTPTR_MAX, cold_see, &began);
    cold_split(MADV_NORMAL);
    atomic_store(&vma_details, details);
    for (size_t i = 0; i < cold.count; i++)
        if (cold.chunk[i].marks)
            cold.chunk[found++] = cold.chunk[i];
    return found;
}

/* Requires that nobody else runs. The kernel counts anew what is touched of anonymous memory. */
static bool cold_clear(void)
{
    int fd = open_beyond(AT_FDCWD, "/proc/thread-self/clear_refs", O_WRONLY | O_CLOEXEC, 0);
    bool done = fd >= 0 && sys(SYS_write, fd, "2", 1) == 1;
    if (fd >= 0)
        sys(SYS_close, fd);
    return done;
}

/* Moves what is cold; has what is touched counted. Returns the bytes moved. */
static size_t cold_stop(void)
{
    sigmask saved;
    size_t bytes = 0;
    signals_hold(&saved);
    bool held = map_stop_gently(), safe, monitor = mon_self;
    mon_self = false; /* nobody sees which numbers its files take */
    if (held && cold.cleared) {
        map.chosen_count = cold_judge();
        map.chosen = cold.chunk;
        bytes = map_move_now(map_batch_bytes, map.chosen_count && !map_full() ? cold_bytes : 0, &safe);
        map.chosen = NULL;
        atomic_fetch_add(&map.cold_bytes, bytes);
    }
    cold.cleared = held && cold_clear();
    mon_self = monitor;
    map_resume(held, &saved);
    return bytes;
}

/* One step, when the process has read as much as the page cache holds. Returns the milliseconds until the next. */
static uint64_t cold_tick(void)
{
    uint64_t now = now_ms();
    if (cfg.paging != PAGING_ADAPTIVE || !atomic_load(&map.moved_bytes) || atomic_load(&map.faults_elsewhere))
        return map_idle_ms;
    if (now < cold.due_ms || mon_wanted())
        return cold.due_ms - min_size(now, cold.due_ms);
    cold.due_ms = now + cold_look_ms;
    struct map_level level = map_level();
    size_t cache = level.all - min_size(level.bytes, level.all), read = cold_read();
    uint64_t passed = now - cold.since_ms;
    bool fills = hot_fills(&cold.filled, now - cold.look_ms);
    cold.look_ms = now;
    if (passed > cold_most_ms || level.bytes > cold_most)
        cold.cleared = false;
    else if (fills || read - cold.read < cache || passed < cold_least_ms)
        return cold_look_ms;
    else {
        bool judged = cold.cleared, useful = cold_stop() || (!judged && cold.cleared);
        uint64_t share = min_size(cold_share * (now_ms() - now), cold_most_ms / 2);
        cold.rest_ms = useful ? 0 : min_size(2 * cold.rest_ms + cold_rest_ms, cold_most_ms / 2);
        cold.due_ms = now_ms() + max_size(max_size(cold.rest_ms, share), cold_look_ms);
    }
    cold.since_ms = now_ms();
    cold.read = read;
    return 0; /* the mover first */
}

/* --- when -------------------------------------------------------------------------------------------- */

/* Is there so much of it that the monitor had better look? */
static bool map_may_come(void)
{
    size_t bytes = atomic_load(&map.bytes) + (map_on() ? atomic_load(&map.executable) : 0); /* the latter for WARN */
    return bytes >= map_worth && bytes >= room_bytes() / 4;
}

/* The milliseconds until the next look: it may take no longer until too much is filled. While it grows they are few: who has
 * waited for a processor once is not late the next time. *due_ms: when that is, if memory may be full soon. */
static uint64_t map_wait(size_t bytes, size_t high, uint64_t *due_ms)
{
    size_t recorded = atomic_load(&map.bytes);
    bool grows = bytes > map.level + mib || recorded > map.recorded;
    uint64_t wait = max_size((high - bytes) / map_fill_ms, 2);
    map.level = bytes;
    map.recorded = recorded;
    map.filling = grows && wait < map_soon_ms;
    wait = map.filling ? min_size(wait, map_grows_ms) : wait;
    *due_ms = wait < map_soon_ms ? now_ms() + wait : 0;
    return wait;
}

/* As map_level. What tells of it may be closed, or a thread's that has ended; but /proc may hide it for good, too. */
static struct map_level map_level_again(void)
{
    static uint64_t next_ms, wait_ms;
    struct map_level level = map_level();
    if (level.bytes || now_ms() < next_ms || sys_access("/proc/thread-self/statm", R_OK) != 0)
        return level;
    if (home_see_again())
        level = map_level();
    wait_ms = level.bytes ? map_rest_ms : min_size(2 * wait_ms + map_least_ms, map_blind_ms);
    next_ms = now_ms() + wait_ms;
    return level;
}

/* Nothing could be moved the last time, and there is a pause. But what the program has mapped or filled since may well be, and it
 * fills memory faster than a pause lasts. Returns how many milliseconds of it are left until the next look; 0: it is over. */
static uint64_t map_put_off(void)
{
    uint64_t now = now_ms();
    struct map_level level = map_level_again();
    size_t left = level.all - min_size(level.bytes, level.all);
    if (level.bytes)
        map.tried = min_size(map.tried, level.bytes);
    if (now >= map.next_ms || (level.bytes && level.bytes - map.tried > min_size(map_batch_bytes, left / 4))) {
        map.next_ms = 0;
        return 0;
    }
    return min_size(map.next_ms - now, max_size(left / map_fill_ms / 2, map_grows_ms));
}

/* Moves out what has to be. Returns the milliseconds until the next look. */
static uint64_t map_work(uint64_t *due_ms)
{
    if (!atomic_load(&map.bytes) || atomic_load(&map.faults_elsewhere))
        return map_idle_ms;
    uint64_t began = now_ms(), look = map.filling ? 2 * look_ms : atomic_load(&map.moved_bytes) ? map_read_ahead() : map_idle_ms;
    uint64_t pause = map.next_ms ? map_put_off() : 0;
    if (pause)
        return min_size(look, pause);
    while (now_ms() - began <= 2 * look_ms && !mon_wanted()) {
        struct map_level level = map_level_again();
        size_t high = level.all / 100 * map_high;
        if (level.bytes < high && !map.moving)
            return min_size(look, map_wait(level.bytes, high, due_ms));
        map.moving = map.filling = map_excess(&level) != 0;
        if (!map.moving)
            return 2;
        if (!map_move(map_batch_bytes, 0, level.bytes > level.all / 100 * map_hurry)) {
            map.moving = map.filling = false;
            map.next_ms = now_ms() + map.retry_ms;
            map.tried = SIZE_MAX;
            return min_size(look, map_put_off());
        }
    }
    return 0; /* the other duties first */
}

/* Of what is kept and had better not be. Returns the milliseconds until the next time. */
static uint64_t map_purge_some(void)
{
    size_t before = map.kept_bytes;
    lock_take(&map.lock);
    map_purge();
    lock_drop(&map.lock);
    return map.kept_bytes < before ? map_purge_ms : map_idle_ms;
}

/* What MAP may move yet. */
static size_t map_bytes_left(void)
{
    size_t bytes = atomic_load(&map.bytes), moved = atomic_load(&map.moved_bytes);
    return bytes - min_size(bytes, moved);
}

/* The milliseconds that the monitor may sleep where the program has touched nothing new for long, and can't fill the memory by
 * what it has mapped: what brk brings takes twice as long. 0: it may not. */
static uint64_t map_rest(void)
{
    size_t major, faults = map_all_faults(&major), few = 4; /* ours, in a look */
    bool touches = faults > map.touched + few;
    map.touched = faults;
    if (touches || map.moving)
        map.touched_ms = now_ms();
    if (now_ms() - map.touched_ms < map_still_ms)
        return 0;
    atomic_store(&map.rests, true); /* before it is seen what is mapped: who maps more wakes it */
    struct map_level level = map_level();
    if (level.bytes && max_size(level.bytes, map_bytes_left()) < level.all / 100 * map_hurry)
        return min_size(map_rest_ms, (level.all - level.bytes) / map_fill_ms / 2);
    atomic_store(&map.rests, false);
    return 0;
}

/* As map_work, which notes when that is over. */
static uint64_t map_turn(uint64_t *due_ms)
{
    uint64_t wait = map_work(due_ms);
    map.tick_ms = now_ms() + wait;
    return wait;
}

/* The monitor's look. Returns the milliseconds until the next one. */
static uint64_t map_tick(void)
{
    uint64_t due_ms = 0;
    atomic_store(&map.due_ms, 0);
    atomic_store(&map.rests, false);
    if (!atomic_load(&map.moved_bytes) || atomic_load(&map.faults_elsewhere))
        watch_want(WATCH_MOVED, false);
    uint64_t wait = map_turn(&due_ms);
    if (!map.filling && wait) {
        uint64_t pause = min_size(hot_tick(), cold_tick()), now = now_ms(); /* they may have taken long */
        wait = min_size(pause, map.tick_ms - min_size(now, map.tick_ms));
    }
    uint64_t rest = wait < map_rest_ms ? map_rest() : 0;
    if (rest > wait) {
        wait = rest;
        due_ms = 0;
    }
    map_looked(due_ms);
    return map.kept_bytes && !due_ms ? min_size(wait, map_purge_some()) : wait;
}

/* PAGING waits for the program's faults up to seconds, while the program may fill its memory: a look that is due comes in
 * between. */
static void map_between(void)
{
    uint64_t due_ms = 0;
    if (now_ms() < map.tick_ms)
        return;
    map_turn(&due_ms);
    map_looked(due_ms);
}

static void map_stats(struct bigmaac_stats *out)
{
    struct map_op m;
    map_begin(&m);
    out->maps = map.maps_count;
    out->map_bytes = map.bytes;
    out->map_peak = map.peak;
    out->map_moved = spans_bytes(&map.moved, 0, UINTPTR_MAX);
    out->map_home = map.home_bytes;
    out->map_cold = map.cold_bytes;
    map_end(&m, false);
}

/* --- forks: called with all locks held, the gate closed --------------------------------------------- */

/* Requires every lock. Turns one live mapping private. */
static bool map_freeze_vma(const struct vma *v, off_t offset)
{
    size_t bytes = v->to - v->from;
    void *p = (void *)v->from;
    if (sys_mmap(p, bytes, v->protection, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, map.file.fd, offset) == MAP_FAILED) {
        sys_mmap(p, bytes, v->protection, MAP_SHARED | MAP_FIXED, map.file.fd, offset); /* a kernel may have unmapped it */
        map_dress(v->from, v->to);
        return false;
    }
    struct span marked;
    for (uintptr_t at = v->from; spans_part(&map.ours, at, v->to, &marked); at = marked.to)
        if (marked.marks & MARK_DONTFORK)
            sys(SYS_madvise, marked.from, marked.to - marked.from, MADV_DONTFORK);
    map_undump(v->from, v->to);
    return true;
}

/* Requires every lock. Every live mapping becomes a private one of its file, which is closed: frozen. So it is where nothing
 * is mapped from it: what both sides moved there later would be at the same offsets. Returns the bytes that stay shared. */
static size_t map_freeze(void)
{
    struct vma_scan scan = {0};
    struct span p;
    struct vma v;
    size_t failed = 0;
    if (!map.live.count) {
        map_close_file();
        return 0;
    }
    if (!file_valid(&map.file)) /* the program has closed it: nothing can be mapped from it any more */
        map_restore(&map.live, 0, UINTPTR_MAX);
    if (!file_valid(&map.file) || !vma_find(&scan, 0, &v))
        return spans_bytes(&map.live, 0, UINTPTR_MAX);
    scan.count = scan.at = 0;
    for (uintptr_t at = 0; spans_part(&map.live, at, UINTPTR_MAX, &p); at = p.to)
        for (uintptr_t in = p.from; vma_part(&scan, &in, p.to, &v);) {
            if (!v.shared || !map_is_moved(&v) || map_freeze_vma(&v, (off_t)(v.from + p.marks)))
                continue;
            failed += v.to - v.from;
        }
    if (failed)
        return failed;
    folder_count(0, spans_bytes(&map.live, 0, UINTPTR_MAX));
    while (map.kept_bytes > map_frozen_kept)
        map_purge_one();
    map_close_file();
    return 0;
}

/* In a child: what is frozen comes home, into a file of its own, but the stack that it runs on. */
static void map_home_child(void)
{
    bool done[MAP_BATCH];
    for (size_t bytes = 1; bytes;) {
        size_t staged = map_prepare(SIZE_MAX, true);
        bytes = map_exchange_all(staged, done);
        map_unstage_all(staged, done);
    }
}

/* Requires every lock. In a child: what its parent kept from it is nobody's; and it sees its own mappings. */
static void map_child(bool copies, bool shares)
{
    struct span p;
    if (!shares)
        file_drop(&map.maps);
    map.maps.fd = -1;
    map.cursor = map.next_ms = map.look_ms = map.level = map.recorded = map.touched = 0;
    map.touched_ms = now_ms();
    atomic_store(&map.due_ms, 0);
    map.moving = map.filling = map.streams = hot.armed = cold.cleared = false;
    hot.due_ms = hot.faults = cold.due_ms = cold.read = 0;
    map.faults = map.due_looks = map.looks = 0; /* a child has had no faults */
    for (size_t i = 0; map.chunks && i < 2; i++)
        map.chunks[i * (LOOK_CHUNKS + 2) + 1].at = 0; /* nothing was seen yet */
    for (uintptr_t at = 0; spans_part(&map.ours, at, UINTPTR_MAX, &p); at = p.to)
        if (p.marks & MARK_DONTFORK) {
            map_forget(p.from, p.to);
            map_forget_moved(p.from, p.to);
        }
    if (shares || !map.ours.count)
        return;
    map_open_maps();
    if (copies && map.moved.count)
        map_home_child();
}

#ifdef BIGMAAC_PREFIX
static bool malloc_is_elsewhere(void) { return true; }
#else
static __typeof__(malloc) malloc_here __attribute__((alias("malloc"), malloc, nothrow));

/* Has the program's executable a malloc of its own? */
static bool malloc_is_elsewhere(void)
{
    void *(*volatile first)(size_t) = malloc;
    return first != malloc_here;
}
#endif

/* Once, by the initialisation. */
COLD static void map_open(void)
{
    const size_t bytes = MAP_SPANS_MAX * sizeof(struct span);
    char *at = sys_mmap(NULL, MAP_SETS * bytes, PROT_READ | PROT_WRITE, anon_flags, -1, 0);
    if (at == MAP_FAILED)
        return;
    for (size_t i = 0; i < MAP_SETS; i++)
        map_sets[i]->at = (struct span *)(void *)(at + i * bytes);
    map_open_maps();
    Dl_info after, others;
    map.elsewhere = malloc_is_elsewhere();
    map.starts = !map.elsewhere && dladdr((void *)next.malloc, &after) && dladdr((void *)next.syscall, &others) &&
                 after.dli_fbase == others.dli_fbase;
    atomic_store(&map.least, max_size(cfg.min_mmap, page_size));
}

/* ============================================================================================
 * === WARN  the one line before the kernel kills the process for memory that we don't reach
 *
 * Near the limit our memory gives way; what malloc passed on and what the program mapped can't. The monitor
 * compares what is left (ROOM) from look to look, every few milliseconds while less than a quarter is left and
 * falls, else when it wakes anyway. Less than a sixteenth, and falling on: it tells. A process without the monitor
 * looks after so many bytes of large requests and mappings, and so gets the thread when it needs one. One that has
 * neither, and grows by small requests alone, is not seen: their path has no room for an instruction.
 * ========================================================================================= */
static const size_t warn_near_part = 4;   /* of the limit: less left, and the monitor looks often */
static const size_t warn_tell_part = 16;  /* less left, and it tells of what will be full soon */
static const size_t warn_tell_least = 8 * mib, warn_tell_most = gib; /* what a sixteenth is at least taken for, and at most */
static const size_t warn_own_part = 8;    /* of the limit: a process with less of its own leaves the word to others */
static const uint64_t warn_soon_ms = 2000, warn_base_ms = 500, warn_calm_ms = 5000, warn_idle_ms = 1000, warn_first_ms = 10;
static const size_t warn_faults = 500;    /* major faults a second: reading what was pushed out takes its time */
static const size_t warn_step = mib;      /* of large requests and mappings, worth a look: filling it takes far longer */

/* Values for BIGMAAC_MIN_MMAP_SIZE, and the advice to take them; of a profile, which knows nothing of hurry, 256K at most. */
enum { WARN_SIZES = 4 };
static const struct { size_t least; const char *warning, *profile; } warn_sizes[WARN_SIZES] = {
#define ADVICE(size, profiled) "BIGMAAC_MIN_MMAP_SIZE=" size " would reach what it maps itself", \
                               "; BIGMAAC_MIN_MMAP_SIZE=" profiled " reaches what the program maps itself"
    {mib, ADVICE("1M", "256K")}, {256 * kib, ADVICE("256K", "256K")}, {64 * kib, ADVICE("64K", "64K")}, {0, ADVICE("4K", "4K")},
#undef ADVICE
};

static struct warn {
    struct lock busy;      /* somebody looks; others do without */
    atomic_bool near;      /* the monitor has to be there */
    atomic_bool told;
    atomic_bool *family;   /* the same for all who have forked from one another; NULL: nobody has forked */
    atomic_size_t asked;   /* bytes of large requests and mappings since the last look */
    atomic_size_t mapped[WARN_SIZES]; /* bytes of private mappings that the program has asked for since the start, but for
                            * executable ones and those that MAP takes; by size: warn_sizes */
    atomic_size_t outside; /* bytes beyond our reach: the most that was seen */
    size_t left, faults;   /* at the look that others are compared with; busy */
    uint64_t ms;           /* when that was */
    uint64_t fell_ms;      /* when less was left than before */
    size_t calm;           /* with so much left nothing fell for long */
    size_t seen;           /* what was left at the last look of any kind */
    uint64_t pause;        /* ms until the next one: longer and longer while that does not fall */
    atomic_uint_fast64_t next_ms; /* when that is */
} warn = {.calm = SIZE_MAX};

/* Before a fork: from now on one of the family tells, and no other. */
static void warn_share(void)
{
    if (warn.family)
        return;
    void *p = sys_mmap(NULL, sys_page(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    warn.family = p == MAP_FAILED ? NULL : p;
}

/* What can't be paged out of this process: its anonymous and its shared memory, but for what MAP may move yet. */
static size_t warn_outside(void)
{
    char text[4096];
    size_t bytes = read_process("status", text, sizeof text) ? text_value(text, "RssAnon:", 0) * kib : 0;
    bytes = bytes ? bytes + text_value(text, "RssShmem:", 0) * kib : anonymous_bytes();
    if (!atomic_load(&map.refused))
        bytes -= min_size(bytes, map_bytes_left());
    if (bytes > atomic_load(&warn.outside))
        atomic_store(&warn.outside, bytes);
    return bytes;
}

/* Does Python run here? Then its executable or a library of its is mapped. */
static bool warn_is_python(void)
{
    char text[1024]; /* in a signal handler, too (PROFILE) */
    const size_t overlap = 16; /* the word may be cut by the end of a piece */
    for (off_t at = 0; at < (off_t)mib;) {
        size_t n = read_self("/proc/thread-self/maps", text, sizeof text, at);
        if (n && (text_contains(text, "/python3") || text_contains(text, "/libpython")))
            return true;
        if (n <= overlap)
            return false;
        at += (off_t)(n - overlap);
    }
    return false;
}

/* Private memory that stays ordinary, for what is set: of a mapping of that size, or of as much as brk has brought at a stretch. */
static void warn_mapped(size_t bytes, size_t whole)
{
    size_t k = 0;
    while (whole < warn_sizes[k].least)
        k++;
    if (cfg.profile || !cfg.min_mmap || whole < cfg.min_mmap)
        atomic_fetch_add_explicit(&warn.mapped[k], bytes, memory_order_relaxed);
}

/* The largest of warn_sizes that reaches half of what is outside; WARN_SIZES: none does. */
static size_t warn_size(size_t outside)
{
    size_t k = 0;
    for (size_t bytes = 0; k < WARN_SIZES && (bytes += atomic_load(&warn.mapped[k])) < outside / 2;)
        k++;
    return k;
}

/* The setting that would reach it. */
static const char *warn_advice(size_t outside)
{
    size_t size = warn_size(outside);
    if (!cfg.python_malloc && warn_is_python())
        return "PYTHONMALLOC=malloc BIGMAAC_MIN_FRY_SIZE=16 would reach Python's objects";
    if (size < WARN_SIZES)
        return warn_sizes[size].warning;
    if (atomic_load(&map.refused) && map_bytes_left() >= outside / 2)
        return "what it maps can't be moved while something writes there by itself (io_uring, libaio, a device)";
    if (atomic_load(&map.executable) >= outside / 2)
        return "no setting reaches what it maps as executable";
    if (!cfg.min_fry || cfg.min_fry > 128)
        return "BIGMAAC_MIN_FRY_SIZE=128 (or 16) would reach what malloc gives out";
    if (cfg.min_fry > 16)
        return "BIGMAAC_MIN_FRY_SIZE=16 would reach the smallest blocks";
    return "no setting reaches that";
}

/* The same for all that malloc did not give out, in a run that swaps nothing. */
static const char *profile_advice(size_t outside)
{
    if (!cfg.python_malloc && warn_is_python())
        return "; PYTHONMALLOC=malloc makes Python's objects malloc's: profile again with it";
    size_t size = warn_size(outside);
    return size < WARN_SIZES ? warn_sizes[size].profile : ", which no setting reaches";
}

COLD static void warn_tell(size_t left, size_t limit, size_t outside)
{
    char text[5][16];
    atomic_store(&warn.near, false);
    if (atomic_exchange(&warn.told, true) || (warn.family && atomic_exchange(warn.family, true)))
        return;
    report("memory is running out: %s of %s are left. %s of this process can't be paged out, beside %s of bigmaacs and "
           "%s of fries, which can; %s", size_text(left, text[0]), size_text(limit, text[1]), size_text(outside, text[2]),
           size_text(big.live_bytes, text[3]), size_text(fry.run_bytes + fry.slab_bytes, text[4]), warn_advice(outside));
}

/* Less and less is left. Is it about to be nothing, or what can be paged out on its way to and fro already? */
static bool warn_is_due(size_t left, size_t limit, size_t faults, uint64_t ms)
{
    size_t little = min_size(max_size(limit / warn_tell_part, warn_tell_least), warn_tell_most);
    size_t fell = warn.left - min_size(warn.left, left);
    return left < little && (fell * warn_soon_ms / ms >= left || (fell && left < little / 4) ||
                             faults - warn.faults >= max_size(warn_faults * ms / 1000, warn_faults / 5));
}

/* What a look has found while the monitor has to be there. */
static void warn_compare(size_t left, size_t limit, size_t outside, uint64_t now)
{
    struct rusage usage;
    sys_getrusage(RUSAGE_SELF, &usage);
    size_t faults = (size_t)usage.ru_majflt;
    uint64_t ms = max_size(now - warn.ms, 4); /* the step of the clock */
    if (warn.ms && warn_is_due(left, limit, faults, ms)) {
        warn_tell(left, limit, outside);
        return;
    }
    if (left + limit / 256 < warn.left || !warn.ms)
        warn.fell_ms = now;
    if (now - warn.fell_ms > warn_calm_ms) {
        warn.calm = left;
        atomic_store(&warn.near, false);
    }
    if (!warn.ms || ms >= warn_base_ms || left > warn.left) {
        warn.left = left;
        warn.faults = faults;
        warn.ms = now;
    }
}

/* A quarter of the time in which so much is filled, at 1 GiB a second. */
static uint64_t warn_pause(size_t left) { return max_size(min_size(left / (4 * mib), room_fresh_ms), 2); }

/* Looks how much is left; returns the milliseconds until it wants to look again. */
COLD static uint64_t warn_look(void)
{
    if (atomic_load(&warn.told))
        return warn_idle_ms;
    if (!lock_try(&warn.busy))
        return warn_first_ms;
    uint64_t now = now_ms();
    bool anew = atomic_load(&warn.near) || now >= atomic_load(&warn.next_ms) ||
                now - atomic_load(&room.read_ms) >= warn_pause(atomic_load(&room.bytes));
    if (anew)
        atomic_store(&room.read_ms, 0);
    size_t left = room_bytes() + atomic_load(&room.swap), limit = atomic_load(&room.limit), outside;
    if (left >= limit / warn_near_part)
        warn.calm = SIZE_MAX;
    bool near = left < limit / warn_near_part && left + limit / 64 < warn.calm &&
                (outside = warn_outside()) >= limit / warn_own_part;
    atomic_store(&warn.near, near);
    if (near)
        warn_compare(left, limit, outside, now);
    else
        warn.ms = 0;
    near = atomic_load(&warn.near);
    if (anew) {
        bool falls = near || left + limit / 64 < warn.seen;
        warn.pause = falls ? warn_pause(left) : min_size(2 * warn.pause + warn_first_ms, warn_idle_ms);
        warn.seen = left;
        atomic_store(&warn.next_ms, now + warn.pause);
    }
    uint64_t due = atomic_load(&warn.next_ms);
    lock_drop(&warn.busy);
    return due - min_size(due, now);
}

/* The monitor's, while it waits in the middle of other work: a probe may last longer than what is left. */
static void warn_between(void)
{
    if (now_ms() >= atomic_load(&warn.next_ms))
        warn_look();
}

COLD static void warn_look_here(void)
{
    int err = errno;
    sigmask saved;
    signals_hold(&saved); /* files are open meanwhile, which a handler that doesn't come back would leave */
    atomic_store(&warn.asked, 0);
    warn_look();
    sys_sigmask(SIG_SETMASK, &saved, NULL);
    errno = err;
}

/* The program takes so many bytes that we don't serve. It looks itself where nobody does, while little is left, and when the
 * monitor is late: that may have to wait for a processor. */
static void warn_note(size_t bytes)
{
    if (cfg.off || cfg.profile)
        return;
    size_t asked = atomic_fetch_add_explicit(&warn.asked, bytes, memory_order_relaxed) + bytes;
    if (likely(asked < warn_step))
        return;
    if (!atomic_load(&mon.running) || atomic_load(&warn.near) || now_ms() >= atomic_load(&warn.next_ms))
        warn_look_here();
}

COLD static void warn_stats(void)
{
    warn_outside();
    summary_line("stats outside=%zu outside_limit=%zu told=%d", atomic_load(&warn.outside), atomic_load(&room.limit),
                 atomic_load(&warn.told));
}

/* ============================================================================================
 * === FORK  what a child inherits
 *
 * prepare closes the gate, takes every lock (LOCK ORDER) and freezes every block: each mapping of a file of ours turns
 * MAP_PRIVATE, protected as it was, so that the kernel's copy-on-write isolates both sides from the first instruction
 * after the fork; then the file is closed, on both sides. A block is frozen once; later forks find it private already,
 * but for what has come home since. parent and child let the locks go; the child also drops what belongs to threads
 * that it does not have.
 *
 * Outside of these handlers every shared mapping of ours is MADV_DONTFORK: a child that is made behind our back has
 * holes there, and dies of them, rather than writing into its parent's memory.
 *
 * BIGMAAC_FORK=copy: the child brings all of it home, into files of its own, before the fork returns.
 * ========================================================================================= */
static struct {
    struct op op;        /* of the forking thread; guarded by the gate, closed */
    size_t failed_bytes; /* that could not be isolated: there may be no child */
    bool changed;        /* some mapping has turned private */
    bool place;          /* own_area is the own one of whoever forks */
    bool bare;           /* a system call makes the child: libc does not know it */
    bool crowded;        /* and another thread may hold libc's locks, which the child has then for ever */
    bool shares;         /* and the child has its parent's table of descriptors */
    bool streams;        /* libc's list of streams is locked by us */
    bool alone;          /* fork() has made the process one with a single thread */
    bool handled;        /* the handlers are registered */
    atomic_bool probing; /* PAGING has set everything to RANDOM for a moment; WATCH does nothing */
} forking;

/* --- freezing -------------------------------------------------------------------------------------------- */

/* Requires all locks. The file of ours that is mapped there MAP_SHARED; NULL: it is the program's, or nobody's block's. */
static const struct file *file_behind(size_t offset, uint64_t inode)
{
    const struct big *r = offset < mem.fry_end ? NULL : big_containing(offset);
    const struct file *f = r ? &r->file : offset < mem.fry_end ? &fry.file : NULL;
    return f && f->fd >= 0 && f->ino == inode ? f : NULL;
}

/* Turns one mapping private. */
static bool freeze_see(const struct vma *v, void *unused)
{
    (void)unused;
    size_t offset = v->from - mem.base, bytes = v->to - v->from;
    const struct file *f = v->shared ? file_behind(offset, v->inode) : NULL;
    if (!f)
        return true;
    if (file_map_as(f, offset, bytes, v->offset, MAP_PRIVATE, v->protection)) {
        file_map_as(f, offset, bytes, v->offset, MAP_SHARED, v->protection); /* a kernel may have unmapped it */
        forking.failed_bytes += bytes;
        return true;
    }
    forking.changed = true;
    if (v->undumped)
        mem_advise(offset, bytes, MADV_DONTDUMP);
    if (v->locked)
        mem_lock(offset, bytes);
    return true;
}

static bool big_freezes(const struct big *r)
{
    return r->in_use && r->file.fd >= 0 && big_extent(r)->state == EXTENT_LIVE;
}

/* Is the page there mapped MAP_SHARED? Of such a mapping the kernel makes a second one when it is asked to move none of its
 * bytes, of a private one it does not. False: it is not, or *known has become false. */
static bool page_is_shared(uintptr_t page, bool *known)
{
    void *second = sys_mremap((void *)page, 0, sys_page(), MREMAP_MAYMOVE, NULL);
    if (second == MAP_FAILED) {
        *known &= errno == EINVAL;
        return false;
    }
    sys_munmap(second, sys_page());
    return true;
}

/* Without /proc: what has come home of a block, wherever that lies. False: it can't be told; not all of it is private then. */
static bool freeze_patches(const struct big *r)
{
    uintptr_t start = (uintptr_t)mem_at(big_offset(r)), end = start + r->mapped;
    struct vma v = {.inode = r->file.ino, .shared = true, .protection = PROT_READ | PROT_WRITE};
    bool known = true;
    for (v.from = start; known && v.from < end; v.from = v.to + sys_page()) {
        for (v.to = v.from; v.to < end && page_is_shared(v.to, &known); v.to += sys_page())
            ;
        v.offset = v.from - start;
        if (v.to > v.from)
            freeze_see(&v, NULL);
    }
    return known;
}

/* Without /proc: as if each block were one plain mapping, or two kinds of them; not where something may have been set on one. */
static void freeze_blind(void)
{
    struct vma v = {.shared = true, .protection = PROT_READ | PROT_WRITE};
    bool guess = !atomic_load(&vma_set);
    for (uint32_t i = 1; i <= big.record_count; i++) {
        const struct big *r = big_at(i);
        if (!big_freezes(r))
            continue;
        v.from = (uintptr_t)mem_at(big_offset(r));
        v.to = v.from + (big_is_frozen(r) ? r->home_bytes : r->mapped); /* these come home in order */
        v.inode = r->file.ino;
        if (guess && r->backing != BACKED_PATCHED)
            freeze_see(&v, NULL);
        else if (!guess || !freeze_patches(r))
            forking.failed_bytes += r->mapped;
    }
    for (uint32_t i = 1; i <= fry.space.extent_count && fry.file.fd >= 0; i++) {
        const struct extent *x = extent_at(&fry.space, i);
        if (x->state == EXTENT_UNUSED || x->slot != slot_current)
            continue;
        v.from = (uintptr_t)mem_at(extent_offset(&fry.space, x));
        v.to = v.from + to_bytes(x->pages);
        v.offset = to_bytes(x->page);
        v.inode = fry.file.ino;
        if (guess)
            freeze_see(&v, NULL);
        else
            forking.failed_bytes += to_bytes(x->pages);
    }
}

/* Requires big.lock. What was mapped from the block's file is private now; all of it, unless the fork has failed: then
 * the rest is as what has come home. */
static void big_shared_to_frozen(struct big *r)
{
    note_frozen(r->frozen_in, r->file.ino);
    r->backing = forking.failed_bytes ? BACKED_PATCHED : BACKED_FROZEN;
    r->home_bytes = 0;
    if (!forking.failed_bytes)
        file_close(&r->file);
    atomic_store(&big_lack_files, true);
    big_apply_policy(r, false);
}

/* Requires fry.lock. The same for all fries: free ones have no blocks in the next file. */
static void fries_shared_to_frozen(void)
{
    struct space *s = &fry.space;
    note_frozen(fry.frozen_in, fry.file.ino);
    for (uint32_t i = 1; i <= s->extent_count; i++) {
        struct extent *x = extent_at(s, i);
        if (x->state == EXTENT_UNUSED || x->slot != slot_current)
            continue;
        x->slot = 0;
        if (x->state != EXTENT_FREE)
            continue;
        if (x->kind == KIND_DIRTY)
            fry.dirty_pages -= x->pages;
        if (!x->next || x->pages >= to_pages(huge_size) || forking.failed_bytes)
            mem_unmap(extent_offset(s, x), to_bytes(x->pages)); /* it would keep the file for long */
        if (forking.failed_bytes)
            file_punch(&fry.file, to_bytes(x->page), to_bytes(x->pages));
        bins_remove(s, &s->free[x->kind], i);
        extent_release(s, i, KIND_CLEAN);
    }
    folder_count(0, fry.backed_bytes);
    fry.backed_bytes = fry.file_bytes = 0;
    if (!forking.failed_bytes)
        file_close(&fry.file);
}

static bool big_is_lost(const struct big *r)
{
    return r->in_use && big_extent(r)->state == EXTENT_LIVE && r->backing != BACKED_NONE &&
           (r->lost || (r->file.fd >= 0 && !file_valid(&r->file)));
}

static bool rescue_see(const struct vma *v, void *unused)
{
    (void)unused;
    size_t from = v->from - mem.base, to = v->to - mem.base;
    if (v->shared && was_frozen(fry.frozen_in, v) &&
        !piece_move(&fry.file, from, to - from, from - fry.space.start, v))
        forking.failed_bytes += to - from;
    return true;
}

/* Requires fry.lock. What is mapped from a file that we have no descriptor of moves to one that we have. */
static void fry_rescue(void)
{
    struct space *s = &fry.space;
    if (fry_ready_file() || !vmas_walk((uintptr_t)fry.base, mem.base + mem.fry_end, rescue_see, NULL))
        forking.failed_bytes++;
    for (uint32_t i = 1; i <= s->extent_count && !forking.failed_bytes; i++) {
        struct extent *x = extent_at(s, i);
        if (x->state == EXTENT_UNUSED || x->slot != slot_lost)
            continue;
        fry_backed(to_bytes(x->page), to_bytes(x->pages));
        if (x->state == EXTENT_FREE)
            bins_remove(s, &s->free[x->kind], i);
        x->slot = slot_current;
        if (x->state == EXTENT_FREE && x->kind == KIND_CLEAN)
            fry.dirty_pages += x->pages; /* it has blocks now */
        if (x->state == EXTENT_FREE)
            extent_release(s, i, KIND_DIRTY);
    }
    fry.lost = forking.failed_bytes;
}

/* Requires all locks. Has the program closed a descriptor of ours? */
static bool any_is_lost(void)
{
    bool lost = fry.lost || (fry.file.fd >= 0 && !file_valid(&fry.file));
    for (uint32_t i = 1; i <= big.record_count && !lost; i++)
        lost = big_is_lost(big_at(i));
    return lost;
}

/* Requires all locks. A descriptor that the program has closed can map nothing private: what is in that file moves to
 * another one first, while nobody else runs. */
static void freeze_rescue(void)
{
    bool stopped_others = false;
    if (!any_is_lost())
        return;
    if (thread_count() > 1 && !(stopped_others = stop_surely())) {
        forking.failed_bytes++;
        return;
    }
    for (uint32_t i = 1; i <= big.record_count; i++)
        if (big_is_lost(big_at(i)) && big_refile(big_at(i)))
            forking.failed_bytes += big_at(i)->mapped;
    fry_rescue();
    if (stopped_others)
        stop_end();
}

/* Requires what home_lock takes. Where something could not be isolated, the files stay open, for the next fork to try again. Who
 * sleeps on a word there is to be roused, where not all are stopped. */
static void freeze_all(void)
{
    bool any = fry.file.fd >= 0;
    for (uint32_t i = 1; i <= big.record_count && !any; i++)
        any = big_freezes(big_at(i));
    if (!any || forking.failed_bytes)
        return;
    if (fry.dirty_pages > to_pages(fry_chunk_max))
        fry_purge(); /* what both sides would keep for nothing */
    if (!vmas_walk(mem.base, mem.base + mem.size, freeze_see, NULL))
        freeze_blind();
    if (fry.file.fd >= 0)
        fries_shared_to_frozen();
    for (uint32_t i = 1; i <= big.record_count; i++)
        if (big_freezes(big_at(i)))
            big_shared_to_frozen(big_at(i));
    home_begin_lap();
    home_count();
}

/* --- what no file mapping can be ------------------------------------------------------------------------------- */

/* Requires all locks, and that nobody else runs. Makes a mapping of ours anonymous memory with the same content. */
static bool anonymous_see(const struct vma *v, void *failed)
{
    size_t offset = v->from - mem.base, bytes = v->to - v->from;
    struct big *r = offset < mem.fry_end ? NULL : big_containing(offset);
    if ((!r && offset >= mem.fry_end) || !vma_is_ours(r, v))
        return true;
    void *copy = sys_mmap(NULL, bytes, PROT_READ | PROT_WRITE, anon_flags, -1, 0);
    if (copy == MAP_FAILED)
        return !(*(bool *)failed = true);
    if (!(v->protection & PROT_READ))
        sys_mprotect((void *)v->from, bytes, PROT_READ);
    memcpy(copy, (const void *)v->from, bytes);
    sys_mprotect(copy, bytes, v->protection);
    if (sys_mremap(copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)v->from) == MAP_FAILED) {
        sys_mprotect((void *)v->from, bytes, v->protection);
        sys_munmap(copy, bytes);
        return !(*(bool *)failed = true);
    }
    if (v->locked)
        mem_lock(offset, bytes);
    if (v->undumped)
        mem_advise(offset, bytes, MADV_DONTDUMP);
    if (r)
        r->mixed = true;
    return true;
}

/* Requires fry.lock. Fries there have anonymous parts now. */
static void fries_mix(size_t from, size_t to)
{
    for (uint32_t i = 1; i <= fry.space.extent_count; i++) {
        struct extent *x = extent_at(&fry.space, i);
        size_t start = extent_offset(&fry.space, x);
        if (x->state != EXTENT_LIVE || start >= to || from >= start + to_bytes(x->pages))
            continue;
        fry_mix(x);
    }
}

/* Requires what home_lock takes. False: it could not be done to all of the range. */
static bool range_to_anonymous(size_t offset, size_t bytes)
{
    uintptr_t from = (uintptr_t)mem_at(offset);
    bool several = thread_count() > 1, failed = false;
    if (several && !stop_surely())
        return false;
    if (!vmas_walk(from, from + bytes, anonymous_see, &failed))
        failed = true;
    if (offset < mem.fry_end)
        fries_mix(offset, offset + bytes);
    if (several)
        stop_end();
    return !failed;
}

/* Makes a range of ours anonymous memory, and has the kernel take that advice about it: none of it would be kept by a
 * file mapping over a fork. False: it could not be done, errno says why. */
static bool advise_anonymous(size_t offset, size_t bytes, int advice)
{
    struct op op = {.err = errno};
    signals_hold(&op.signals);
    home_lock();
    bool failed = !range_to_anonymous(offset, bytes);
    if (failed)
        op.err = ENOMEM;
    else if (!mem_advise(offset, bytes, advice))
        op.err = errno, failed = true;
    home_unlock();
    op_restore(&op);
    return !failed;
}

static bool file_see(const struct vma *v, void *any) { return !(*(bool *)any = v->inode != 0); }

/* The same before a part of ours gets a protection key, which no new mapping has, or moves to where no fork looks for it. What is
 * too much for memory stays as it is, and so does what can't be made so: where that has a key, it may be unreadable from then on. */
COLD static void part_to_anonymous(const void *at, size_t length, bool key)
{
    static atomic_bool unreadable;
    size_t offset = mem_offset(at), bytes = min_size(round_up(length, sys_page()), mem.size - offset);
    struct op op = {.err = errno};
    bool any = false;
    if (offset & (sys_page() - 1) || atomic_load(&unreadable))
        return;
    signals_hold(&op.signals);
    home_lock();
    atomic_store(&vma_set, true);
    vmas_walk((uintptr_t)at, (uintptr_t)at + bytes, file_see, &any);
    if (any && (bytes > room_bytes() / 4 || !range_to_anonymous(offset, bytes)) && key)
        atomic_store(&unreadable, true);
    home_unlock();
    op_restore(&op);
}

/* --- the child ------------------------------------------------------------------------------------------- */

/* Warm bigmaacs stay with the parent. */
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

/* --- the handlers ------------------------------------------------------------------------------------------ */

static void fork_lock(bool streams)
{
    struct op op = {.err = errno};
    signals_hold(&op.signals);
    bool single = next.single_threaded && *next.single_threaded;
    if (streams && !single)
        next.streams_lock();
    gate_close();
    forking.op = op;
    forking.streams = streams && !single;
    lock_take(&fry.lock);
    lock_take(&big.lock);
    lock_take(&mon.lock);
    lock_take(&map.lock);
    lock_take(&own_area.lock);
    forking.failed_bytes = 0;
    forking.changed = forking.bare = forking.crowded = forking.shares = false;
    forking.place = own_keep_back();
    if (atomic_load(&fry.open)) {
        freeze_rescue();
        freeze_all();
    }
    bool live = map.live.count;
    forking.failed_bytes += map_freeze();
    if (live || forking.changed)
        sleepers_rouse();
}

static void fork_unlock(bool child)
{
    struct op op = forking.op; /* whoever forks next may overwrite it as soon as the gate is open */
    bool streams = forking.streams, bare = forking.bare;
    lock_drop(&own_area.lock);
    lock_drop(&map.lock);
    lock_drop(&mon.lock);
    lock_drop(&big.lock);
    lock_drop(&fry.lock);
    gate_open();
    if (streams) /* in a child of libc's fork it is new */
        (child && !bare ? next.streams_reset : next.streams_unlock)();
    op_restore(&op);
}

/* Ours was registered before anybody's (API), so it prepares last, and is the first afterwards. glibc's fork takes the
 * lock of its list of streams after that, while who has that lock may wait for a stream, and its owner for our gate:
 * so it is taken before the gate, too. It is recursive. For the other locks that glibc takes, gate_pass gives up. */
static void fork_prepare(void)
{
    warn_share();
    fork_lock(next.streams_lock != NULL);
    gate_fork();
}

/* Makes the monitor where what was just frozen, or what the program has mapped, is much: it may be written to, and fill the
 * memory, in a fraction of a second, without another call of ours. Else the next malloc looks, and where making a thread may
 * ask a malloc that is not libc's, or wait for a lock whose holder is not in the child. */
static void mon_after_fork(bool crowded)
{
    size_t bytes = atomic_load(&home.frozen_bytes), mapped = atomic_load(&map.bytes), known = atomic_load(&room.bytes);
    if (!bytes && mapped < map_worth)
        return;
    if (map.starts)
        bytes = max_size(bytes, mapped);
    if (atomic_load(&mon.running)) {
        mon_wake();
    } else if (!crowded && bytes > (known ? known : room_bytes()) / 4) {
        mon_consider();
    } else {
        mon_request();
    }
}

static void free_any(void *p);

static void late_frees_do(void)
{
    for (size_t i = 0; i < sizeof late_frees / sizeof late_frees[0]; i++)
        if (atomic_load_explicit(&late_frees[i], memory_order_relaxed))
            free_any(atomic_exchange(&late_frees[i], NULL));
}

static void fork_parent(void)
{
    bool crowded = forking.crowded;
    fork_unlock(false);
    late_frees_do();
    mon_after_fork(crowded);
}

/* The monitor that would have ended the probe is not in the child. */
static void child_end_probe(void)
{
    for (uint32_t i = 1; i <= big.record_count; i++)
        if (big_at(i)->in_use && big_at(i)->backing != BACKED_NONE)
            big_apply_policy(big_at(i), true);
}

static void lent_inherit(void); /* API */
static void paging_child(void); /* PAGING */

/* What our threads were in the parent they are not here. */
static void child_forget_threads(void)
{
    atomic_store(&mon.running, false);
    atomic_store(&mon.alive, 0);
    atomic_store(&mon.awake.word, 0);
    if (forking.alone) /* glibc knows; before other libraries' handlers, which may start the monitor */
        atomic_store(&mon.only_ours, false);
    atomic_store(&mon.others, false);
    mon.unlisted = forking.bare;
    forking.alone = false;
    mon_self = false;
    if (!libc_inside && atomic_load(&key_state) == KEY_MAKING) /* who made it is not in the child */
        atomic_store(&key_state, KEY_NONE);
    atomic_store(&mon.tid, 0);
    atomic_store(&watch.tid, 0);
    atomic_store(&watch.running, false);
    atomic_store(&watch.order, WATCH_PARK);
    atomic_store(&watch.wanted, 0);
    summary.pid = summary.pid ? sys_getpid() : 0;
    if (atomic_load(&summary.state) == SUMMARY_TELLING) /* who tells is not in the child */
        atomic_store(&summary.state, SUMMARY_DUE);
    home.retry_ms = home.wait_ms = home.count = home.scarce = home.held = 0;
    file_drop(&stop.tasks);
    atomic_store(&stop.listed, 0);
    atomic_store(&stop.execs, exec_depth);
    vma_reader.lock = boot.lock = warn.busy = (struct lock){0};
    boot.live = boot_bytes; /* libc may use the memory of threads again that are not here: it stays */
    kept_forget();
    lent_inherit();
    paging_child();
    mem.pid = sys_getpid();
    atomic_store(&mem.shared, false);
    own_renew(forking.place);
}

/* Maps nothing where nothing is, as far as the place is ours. */
static void hole_fill(uintptr_t from, uintptr_t to)
{
    const size_t ours[][2] = {{0, mem.boot_to}, {mem.fry_from, mem.fry_to}, {mem.fry_end, mem.size}};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        uintptr_t start = max_size(from, mem.base + ours[i][0]), end = min_size(to, mem.base + ours[i][1]);
        if (start < end)
            sys_mmap((void *)start, end - start, PROT_NONE, anon_flags | MAP_FIXED_NOREPLACE, -1, 0);
    }
}

static bool hole_see(const struct vma *v, void *end)
{
    uintptr_t *from = end;
    hole_fill(*from, v->from);
    *from = v->to;
    return true;
}

/* What the parent did not want the child to have is a hole; no mapping of the program's may come to lie there. */
static void child_fill_holes(void)
{
    uintptr_t from = mem.base, end = mem.base + mem.size;
    if (vmas_walk(from, end, hole_see, &from))
        hole_fill(from, end);
}

static void fork_child(void)
{
    child_forget_threads();
    if (forking.failed_bytes) {
        report("fork: no memory to isolate %zu bytes; the child ends, with status 127", forking.failed_bytes);
        sys(SYS_exit_group, 127);
    }
    if (map_on())
        map_child(cfg.fork_mode == FORK_COPY, forking.shares);
    if (atomic_load(&fry.open)) {
        heaps_inherit();
        warm_forget();
        if (atomic_load(&vma_holes))
            child_fill_holes();
        if (cfg.fork_mode == FORK_COPY && !forking.shares)
            home_child();
        if (atomic_exchange(&forking.probing, false))
            child_end_probe();
    }
    bool crowded = forking.crowded;
    if (forking.shares) /* files of its own would stay open in its parent */
        cfg.off = true;
    fork_unlock(true);
    late_frees_do();
    if (cfg.off)
        route_set_limit();
    else
        mon_after_fork(crowded);
}

/* --- every way to make a child ------------------------------------------------------------------------------- */

/* Can what there is now be isolated? Asked before libc's fork, which can't be told to fail. */
static bool fork_possible(void)
{
    fork_lock(false);
    bool possible = !forking.failed_bytes;
    fork_unlock(false);
    if (!possible)
        errno = ENOMEM;
    return possible;
}

/* Before a child that shares its parent's descriptors: it would close what it forgets. */
static void files_forget(void)
{
    struct op op;
    op_begin(&op);
    warm_expire(UINT64_MAX);
    op_end(&op);
    kept_forget();
    file_drop(&stop.tasks);
    file_drop(&map.maps);
}

/* A fork by the bare system call, `number` with these arguments. */
static long fork_bare(long number, const long argument[6])
{
    uint64_t flags = number == SYS_clone3 ? *(const uint64_t *)argument[0] : number == SYS_clone ? (uint64_t)argument[0] : 0;
    bool shares = flags & CLONE_FILES;
    if (shares)
        files_forget();
    fork_lock(false);
    forking.bare = true;
    forking.crowded = thread_count() > 1;
    forking.shares = shares;
    long pid = -1;
    if (forking.failed_bytes)
        errno = ENOMEM;
    else
        pid = sys(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
    int err = errno;
    if (pid == 0)
        fork_child();
    else
        fork_parent();
    if (pid < 0)
        errno = err;
    return pid;
}

/* ============================================================================================
 * === WATCH  the addresses of faults while they happen, where the kernel tells them
 *
 * No advice fits a program that reads blocks of some pages here and there: the kernel reads one page
 * at a time, or as much as its readahead says. But perf_event_open(2) shows a process its own faults,
 * without privileges where perf_event_paranoid is 2 or less. A thread waits for them, and while the
 * kernel reads the first page of a block it asks for the rest of it. In what MAP has moved it asks for what
 * lies around a fault, where the device's readahead is too much for that, and for what lies in front of a stream.
 *
 * A thread of the program makes it, beside the monitor: making a thread allocates, and a signal handler
 * that forks may wait for the monitor. It parks until something is WATCHED. It has a table of descriptors
 * to itself, so the program's numbers stay as they are. At work it takes no lock and allocates nothing, so
 * a fork need not wait for it; what it does changes no content. Under a seccomp filter, which may come at any
 * time, nothing is tried: the filter's answer may be the end of the program.
 * ========================================================================================= */
enum { WATCH_THREADS = 256 };

static const int watch_pause_ms = 1000; /* between two looks for threads; a rest */
/* A switch to this thread for each fault costs the program 10 us (a virtual machine of two processors). A block's first fault is
 * worth it; of what was moved, several begin it, and then it looks from time to time. */
static const unsigned watch_several = 16, watch_naps = 20; /* faults; looks without one until it waits for them again */
static const uint64_t watch_nap_ns = 100000, watch_short_ns = 30000; /* while there is something to ask for: half of what a fault takes */
static const uintptr_t watch_read_naps = 200; /* in which a page is read: 6 ms and more */
static const unsigned long watch_slack_ns = 1000; /* that a nap may be longer: the kernel would take 50 us */
static const size_t watch_busy = 8192;  /* faults between two looks that must be worth watching: 20 ms and more, */
static const size_t watch_rest_ms = 25; /* and then a rest, at first */
static const uint64_t watch_retry_ms = 10000; /* after what may pass: too many threads, no memory; then 4 times as long */
static const size_t watch_step = 32;    /* pages: advice for more than this may read less than it says */
static const unsigned stride_proof = 3;
static const size_t stride_skip = 4;    /* blocks of a walk that may have been there */
static const size_t stride_ahead = 32;  /* blocks that a walk in equal strides has asked for in advance */
static const size_t watch_piece = 64 * kib; /* asked for around a fault in moved memory: 32 and 128 took as long, 256 ten times */
static const size_t watch_part = 16 * kib;      /* of a piece: around a fault where little else of pieces is used */
static const size_t watch_pieces_most = 16; /* of them in front of a stream */
static const unsigned moved_trial = 64;     /* pieces, of which one in four must be used: a request costs as much as 60 pages */
static const uint64_t moved_rest_ms = 20, moved_rest_most_ms = 3200; /* where fewer are: doubles */

/* A thread of the program; the watching thread alone works here. */
static struct watched {
    pid_t tid;       /* 0: unused; its descriptor is at the same place in `watcher` */
    bool seen;       /* at the last look for threads */
    struct perf_event_mmap_page *ring; /* two of the kernel's pages: this, and the events */
    size_t from, to; /* offsets of the block that was asked for last */
    size_t at;       /* and of the fault there */
    intptr_t stride; /* bytes between the last such faults; 0: none yet */
    unsigned proof;  /* how often in a row that was so, about */
    size_t ahead;    /* so many strides from here have been asked for */
    uintptr_t piece; /* of moved memory, where it faulted last */
    size_t pieces;   /* in front of that one that are asked for: it goes through one after the other */
} watched_threads[WATCH_THREADS];

static struct {
    struct pollfd wait[WATCH_THREADS]; /* fd -1: unused, and passed over by the kernel */
    unsigned top;         /* none is used from here on */
    unsigned threads;     /* that it watches */
    size_t faults, asked; /* since the last look for threads: seen, and blocks asked for */
    size_t rest_ms;       /* how long it was left alone last, since that was needed; doubles */
    bool blocks;          /* some are watched, so each fault wakes it */
    bool pages;           /* in the last nap there were faults to ask for */
    unsigned naps;        /* that it takes until it waits for faults */
} watcher;

/* The faults in what MAP has moved. The watching thread's. */
static struct {
    struct moved_piece {
        uintptr_t at;       /* 0: none */
        uint8_t part;       /* of it: where it faulted first */
        uint8_t faults;     /* that have come there since */
        bool wide;          /* another part of it was among them */
    } piece[1024];          /* asked for last, by address */
    unsigned asked, used;   /* in this trial: pieces, and faults there since */
    unsigned around, wide;  /* of them: around a fault; where another part of the piece was used */
    bool narrow;            /* few are: only a part is asked for */
    uint64_t rest_ms, until_ms; /* how long nothing is asked for where few are used, and until when now */
} watch_moved;

/* Where something faulted, of which reclaim is to be told. The watching thread's. */
static struct {
    uintptr_t page[1024]; /* its address; the lowest bits: naps since then */
    size_t count;
} watch_faulted;

#ifdef BIGMAAC_PREFIX
#define next_thread_create pthread_create
#else /* ours is for the program's threads (API) */
#define next_thread_create next.thread_create
#endif

/* How the program was started. Its threads may have changed this for themselves since. */
static struct {
    unsigned long cpus[128]; /* where it may run */
    long cpu_bytes;          /* of these; not above 0: not known */
    long priority;           /* 20 less its niceness, as the kernel tells it; not above 0: not known */
} at_start;

COLD static void thread_note_start(void)
{
    at_start.cpu_bytes = sys(SYS_sched_getaffinity, 0, sizeof at_start.cpus, at_start.cpus);
    at_start.priority = sys(SYS_getpriority, PRIO_PROCESS, 0);
}

/* The kernel's struct sched_attr. */
struct turns {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

/* Asks for short turns of the calling thread's, and for such of those that it makes: they run as soon as they wake, among
 * whatever number of threads of the program's. Kernels before 6.12 have no such thing for ordinary threads, and ignore it.
 * Returns what was before; size 0: it still is. */
static struct turns thread_take_short_turns(void)
{
    struct turns before = {0};
    if (!sys_unfiltered() || sys(SYS_sched_getattr, 0, &before, sizeof before, 0) != 0 || before.policy != SCHED_OTHER)
        return (struct turns){0};
    struct turns turns = before;
    turns.runtime = 100000; /* ns: the least that can be asked for */
    sys(SYS_sched_setattr, 0, &turns, 0);
    return before;
}

static void thread_take_turns(const struct turns *before)
{
    if (before->size && sys_unfiltered())
        sys(SYS_sched_setattr, 0, before, 0);
}

/* The first that each thread of ours does: what it has inherited from the thread that made it is not meant for it. */
static void thread_settle(const char *name)
{
    const struct sched_param ordinary = {0};
    long policy = sys(SYS_sched_getscheduler, 0);
    if (policy == SCHED_FIFO || policy == SCHED_RR)
        sys(SYS_sched_setscheduler, 0, SCHED_OTHER, &ordinary);
    if (at_start.cpu_bytes > 0)
        sys(SYS_sched_setaffinity, 0, at_start.cpu_bytes, at_start.cpus);
    if (at_start.priority > 0)
        sys(SYS_setpriority, PRIO_PROCESS, 0, 20 - at_start.priority); /* upwards it may be refused */
    thread_take_short_turns();
    sys_prctl(PR_SET_NAME, name);
}

/* Makes a thread of ours. Its caller blocks every signal, and so does the thread. The caller may be a signal handler
 * that interrupted malloc and forked, so the next malloc is not asked for what libc needs for it. */
COLD static bool thread_make(void *(*run)(void *))
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 256 * kib);
    mon_starting = libc_inside = true;
    __atomic_store_n(&route.limit, 0, __ATOMIC_RELEASE); /* what it allocates is boot memory: see boot_alloc */
    struct turns before = thread_take_short_turns();
    bool made = next_thread_create(&thread, &attr, run, NULL) == 0;
    thread_take_turns(&before);
    if (!made) {
        pthread_attr_setstacksize(&attr, 8 * mib); /* some programs have large TLS */
        made = next_thread_create(&thread, &attr, run, NULL) == 0;
    }
    if (made)
        atomic_fetch_add(&mon.alive, 1);
    mon_starting = libc_inside = false;
    if (!atomic_load(&mon.wanted))
        route_set_limit();
    pthread_attr_destroy(&attr);
    return made;
}

static size_t watch_ring_bytes(void) { return 2 * sys_page(); }

static void watch_drop(unsigned i)
{
    if (!watched_threads[i].tid)
        return;
    own_unmap(watched_threads[i].ring, watch_ring_bytes());
    sys(SYS_close, watcher.wait[i].fd);
    watcher.wait[i].fd = -1;
    watched_threads[i].tid = 0;
}

static bool watch_able(void)
{
    return now_ms() >= atomic_load(&watch.unable_until);
}

static atomic_uint_fast64_t watch_failed_ms; /* how long nothing is tried after the next failure; 0: the last try was none */

/* It can't be done: now, or as nobody will let us. Returns false. */
static bool watch_fails(bool for_ever)
{
    uint64_t wait = max_size(atomic_load(&watch_failed_ms), watch_retry_ms);
    atomic_store(&watch_failed_ms, 4 * wait);
    atomic_store(&watch.unable_until, for_ever ? UINT64_MAX : now_ms() + wait);
    return false;
}

/* Asks for every fault of that thread's own code. False: the kernel does not let us. */
static bool watch_add(unsigned i, pid_t tid)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_PAGE_FAULTS,
        .sample_period = 1, .sample_type = PERF_SAMPLE_ADDR, .wakeup_events = watcher.blocks ? 1 : watch_several,
        .exclude_kernel = 1, .exclude_hv = 1,
    };
    int fd = sys_unfiltered() ? (int)sys(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC) : -1;
    if (fd < 0) /* ESRCH: it has ended since */
        return errno == ESRCH || watch_fails(errno != EMFILE && errno != ENFILE && errno != ENOMEM);
    void *ring = own_map(OWN_RINGS, i * watch_ring_bytes(), watch_ring_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ring == MAP_FAILED) {
        sys(SYS_close, fd);
        return watch_fails(false);
    }
    watched_threads[i] = (struct watched){.tid = tid, .seen = true, .ring = ring};
    watcher.wait[i] = (struct pollfd){.fd = fd, .events = POLLIN};
    watcher.top = watcher.top > i ? watcher.top : i + 1;
    return true;
}

static bool watch_see(pid_t tid, int unused)
{
    (void)unused;
    unsigned spare = WATCH_THREADS;
    for (unsigned i = WATCH_THREADS; i-- > 0;) {
        if (watched_threads[i].tid == tid)
            return watched_threads[i].seen = true;
        spare = watched_threads[i].tid ? spare : i;
    }
    return spare < WATCH_THREADS ? watch_add(spare, tid) : watch_fails(false);
}

/* Watches the threads that there are now. False: that can't be done for all. A user's rings beyond half a MiB for each processor
 * (perf_event_mlock_kb) count as memory that the process has pinned, and beside such memory nothing is moved. */
static bool watch_threads(void)
{
    char text[4096];
    int fd = threads_open();
    if (fd < 0)
        return watch_fails(false);
    size_t pinned = status_value("VmPin:", text, sizeof text);
    for (unsigned i = 0; i < watcher.top; i++)
        watched_threads[i].seen = false;
    threads_note_listed();
    watcher.threads = threads_see(fd, watch_see);
    for (unsigned i = 0; i < watcher.top; i++)
        if (!watched_threads[i].seen)
            watch_drop(i);
    sys(SYS_close, fd);
    if (status_value("VmPin:", text, sizeof text) > pinned)
        return watch_fails(false);
    if (watch_able())
        atomic_store(&watch_failed_ms, 0);
    return watcher.threads > 0;
}

static unsigned watch_piece_at(size_t offset)
{
    const atomic_uchar *pieces = atomic_load(&mem_pieces);
    return pieces && offset < mem.size ? atomic_load_explicit(&pieces[offset / huge_size], memory_order_relaxed) : 0;
}

/* Of a block, as mem_pieces has it; 0: none is to be read there. */
static size_t piece_bytes(unsigned piece) { return piece && piece != PIECE_ALONE ? page_size << (piece - 1) : 0; }

/* How many bytes a block has there; 0: it is not watched. */
static size_t watch_bytes(size_t offset) { return piece_bytes(watch_piece_at(offset)); }

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

static void watch_note(uintptr_t at)
{
    if (watch_faulted.count < sizeof watch_faulted.page / sizeof watch_faulted.page[0])
        watch_faulted.page[watch_faulted.count++] = round_down(at, sys_page());
}

/* A thread faults there: the first fault of a block has the rest of it read. */
static void watch_fault(struct watched *w, size_t at)
{
    unsigned piece = watch_piece_at(at);
    size_t from = round_down(at, page_size), bytes = piece_bytes(piece);
    watcher.faults += piece != PIECE_ALONE; /* those can wait for each other */
    if (!piece || atomic_load(&forking.probing))
        return;
    watch_note(mem.base + at);
    if (!bytes || (from >= w->from && from < w->to))
        return;
    w->from = from;
    w->to = min_size(from + bytes, mem.size);
    if (bytes > page_size)
        watch_ask(w->from, w->to);
    watch_stride(w, at, bytes);
}

/* Enough pieces were asked for to know whether that is worth it, and how much of them is used. */
static void watch_moved_judge(uint64_t now)
{
    bool useful = watch_moved.used >= moved_trial / 4;
    if (watch_moved.around >= moved_trial / 4)
        watch_moved.narrow = watch_moved.wide < watch_moved.around / 4;
    watch_moved.rest_ms = useful ? 0 : min_size(max_size(2 * watch_moved.rest_ms, moved_rest_ms), moved_rest_most_ms);
    watch_moved.until_ms = now + watch_moved.rest_ms;
    watch_moved.asked = watch_moved.used = watch_moved.around = watch_moved.wide = 0;
}

/* What is asked for around a fault, where that is less than a piece. */
static size_t watch_part_bytes(void) { return max_size(watch_part, sys_page()); }

/* Where that piece is noted, or another one. */
static struct moved_piece *watch_moved_piece(uintptr_t at) { return &watch_moved.piece[at / watch_piece % 1024]; }

/* Has memory of a piece read. False: it is not moved. */
static bool watch_moved_read(uintptr_t from, size_t bytes)
{
    return sys(SYS_madvise, from, bytes, MADV_WILLNEED) == 0 || errno != EBADF;
}

/* Has the piece read, unless it was asked for, or few that are asked for are used. `fault`: where in it; 0: it is in front of one. */
static void watch_moved_ask(uintptr_t from, uintptr_t fault)
{
    uint64_t now = now_ms();
    struct moved_piece *p = watch_moved_piece(from);
    bool narrow = fault && watch_moved.narrow;
    if (now < watch_moved.until_ms || p->at == from)
        return;
    if (!watch_moved_read(narrow ? round_down(fault, watch_part_bytes()) : from, narrow ? watch_part_bytes() : watch_piece))
        return;
    *p = (struct moved_piece){.at = from, .part = (uint8_t)((fault - from) / watch_part_bytes()), .wide = !fault};
    watcher.asked++;
    watch_moved.around += fault != 0;
    if (++watch_moved.asked == moved_trial)
        watch_moved_judge(now);
}

/* A piece that was asked for is used. */
static void watch_moved_use(struct moved_piece *p, uintptr_t at)
{
    bool other = p->part != (at - p->at) / watch_part_bytes();
    watch_moved.used++;
    watch_moved.wide += other && !p->wide;
    p->wide |= other;
    if (other && watch_moved.narrow)
        watch_moved_read(round_down(at, watch_part_bytes()), watch_part_bytes());
    if (++p->faults == watch_piece / sys_page()) /* then it is another time */
        p->at = 0;
}

/* Since Linux 6.4 reclaim asks no mapping with MADV_RANDOM what is used of it, and takes its pages by age. So it is told of each
 * page that faulted: twice, then it is among the active ones. What is still being read has to wait, for some naps: it would hold
 * us up. */
static void watch_activate(void)
{
    size_t left = 0;
    for (size_t i = 0; i < watch_faulted.count && !atomic_load(&map.faults_elsewhere); i++) {
        uintptr_t naps = watch_faulted.page[i] % sys_page(), at = watch_faulted.page[i] - naps;
        unsigned char resident = 1;
        if (sys_mincore((void *)at, sys_page(), &resident) == 0 && !(resident & 1) && naps < watch_read_naps)
            watch_faulted.page[left++] = at + naps + 1;
        for (int times = 0; times < 2 && resident & 1; times++)
            sys(SYS_madvise, at, sys_page(), MADV_POPULATE_READ);
    }
    watch_faulted.count = left;
}

/* A thread faults there: what lies around is read, too, and what follows, the more the longer it goes on. False: it is
 * nothing that MAP has moved. */
static bool watch_moved_fault(struct watched *w, uintptr_t at)
{
    uintptr_t from = round_down(at, watch_piece);
    struct moved_piece *piece = watch_moved_piece(from);
    if (!map_has_moved_near(at))
        return false;
    watcher.faults++;
    watch_note(at);
    if (piece->at == from)
        watch_moved_use(piece, at);
    else
        watch_moved_ask(from, at);
    intptr_t step = (intptr_t)(from - w->piece);
    if (step) {
        bool goes_on = step == (intptr_t)watch_piece || step == -(intptr_t)watch_piece;
        w->pieces = !goes_on ? 0 : w->pieces ? min_size(2 * w->pieces, watch_pieces_most) : 1;
        for (size_t i = 1; i <= w->pieces; i++)
            watch_moved_ask(from + (uintptr_t)((intptr_t)i * step), 0);
        w->piece = from;
    }
    return true;
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
        if (h.type == PERF_RECORD_SAMPLE && !watch_moved_fault(w, (uintptr_t)address))
            watch_fault(w, (size_t)address - mem.base);
        tail = h.size >= sizeof h ? tail + h.size : head;
    }
    __atomic_store_n(&w->ring->data_tail, tail, __ATOMIC_RELEASE);
}

static void watch_drop_all(void)
{
    for (unsigned i = 0; i < watcher.top; i++)
        watch_drop(i);
    watcher.top = 0;
}

/* Is the program busy with faults that reading ahead does not help, in its ordinary memory perhaps? Then it is
 * left alone for a while. */
static void watch_rest(void)
{
    if (watcher.faults > watch_busy && watcher.asked < watcher.faults / 8) {
        watch_drop_all();
        watcher.rest_ms = min_size(2 * watcher.rest_ms + watch_rest_ms, (size_t)watch_pause_ms);
        sleep_ms(watcher.rest_ms);
    } else if (watcher.asked) {
        watcher.rest_ms = 0;
    }
    watcher.faults = watcher.asked = 0;
}

/* Takes all faults that were seen since the last time. False: there were none. */
static bool watch_drain_all(void)
{
    size_t before = watcher.faults;
    watch_activate();
    for (unsigned i = 0; i < watcher.top; i++)
        if (watched_threads[i].tid)
            watch_drain(&watched_threads[i]);
    return watcher.faults != before;
}

/* Waits for faults, a second at most. */
static bool watch_wait(void)
{
    struct timespec most = {.tv_sec = watch_pause_ms / 1000};
    if (watcher.naps && !watcher.blocks && sys_unfiltered()) {
        size_t before = watcher.asked;
        sleep_ns(watcher.pages ? watch_short_ns : watch_nap_ns);
        watcher.naps = watch_drain_all() ? watch_naps : watcher.naps - 1;
        watcher.pages = watcher.asked != before;
        return true;
    }
    long n = sys_unfiltered() ? sys(SYS_ppoll, watcher.wait, watcher.top, &most, NULL, 0) : -1;
    if (n < 0 && errno != EINTR)
        return watch_fails(true);
    if (n > 0)
        watch_drain_all();
    watcher.naps = n > 0 ? watch_naps : 0;
    for (unsigned i = 0; n > 0 && i < watcher.top; i++)
        if (watcher.wait[i].fd >= 0 && watcher.wait[i].revents & (POLLHUP | POLLERR)) /* the thread has ended */
            watch_drop(i);
    return true;
}

/* Watches until it is ordered not to, or can't. */
static void watch_work(void)
{
    bool able = sys_unfiltered() && sys(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE) == 0;
    if (!able)
        watch_fails(true);
    memset(watched_threads, 0, sizeof watched_threads); /* a child's are its parent's */
    memset(&watch_moved, 0, sizeof watch_moved);
    watch_faulted.count = 0;
    watcher.top = 0;
    for (uint64_t looked = 0; able && atomic_load(&watch.order) == WATCH_ON;) {
        bool blocks = atomic_load(&watch.wanted) & WATCH_BLOCKS;
        if (blocks != watcher.blocks) {
            watch_drop_all();
            watcher.blocks = blocks;
            looked = 0;
        }
        if (now_ms() - looked >= (uint64_t)watch_pause_ms || watcher.faults > watch_busy) {
            watch_rest();
            able = watch_threads();
            looked = now_ms();
        }
        able = able && watch_wait();
    }
    watch_drop_all();
    if (!able && watch_able())
        watch_fails(false);
}

/* Requires mon_hold. The order was to end: is it still? Who starts the thread anew may have found it there. */
static bool watch_ends(void)
{
    int self = sys_gettid();
    atomic_store(&watch.running, false);
    if (atomic_load(&watch.order) != WATCH_END && !atomic_exchange(&watch.running, true))
        return false;
    atomic_compare_exchange_strong(&watch.tid, &self, 0);
    atomic_fetch_sub(&mon.alive, 1);
    return true;
}

static void *watch_main(void *unused)
{
    (void)unused;
    thread_settle("bigmaac-watch");
    sys_prctl(PR_SET_TIMERSLACK, watch_slack_ns);
    atomic_store(&watch.tid, sys_gettid());
    for (bool ended = false; !ended;) {
        unsigned order = atomic_load(&watch.order);
        if (order == WATCH_ON && watch_able()) {
            watch_work();
        } else if (order == WATCH_ON) { /* it waits for the next order */
            atomic_compare_exchange_strong(&watch.order, &order, WATCH_PARK);
        } else if (order == WATCH_PARK) {
            futex_wait(&watch.order, order, NULL);
        } else {
            mon_hold();
            ended = watch_ends();
            mon_release();
        }
    }
    return NULL;
}

/* Says what the thread is to do from now on. The monitor's. */
static void watch_order(unsigned order)
{
    if (order == WATCH_ON && !watch_able())
        order = WATCH_PARK;
    if (atomic_exchange(&watch.order, order) != order)
        sys(SYS_futex, &watch.order, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* It watches while blocks, or what was moved, are to be watched. The monitor's. */
static void watch_want(unsigned what, bool on)
{
    unsigned wanted = atomic_load(&watch.wanted);
    wanted = on ? wanted | what : wanted & ~what;
    atomic_store(&watch.wanted, wanted);
    watch_order(wanted ? WATCH_ON : WATCH_PARK);
}

/* The program's next malloc makes the thread, if there is none and it could work. The monitor's. */
static void watch_request(void)
{
    if (!atomic_load(&watch.running) && watch_able())
        mon_request();
}

/* Makes the thread, parked. Called as mon_start is. */
COLD static void watch_start(void)
{
    if (cfg.paging != PAGING_ADAPTIVE || !watch_able())
        return;
    if (atomic_exchange(&watch.running, true)) {
        unsigned ending = WATCH_END;
        atomic_compare_exchange_strong(&watch.order, &ending, WATCH_PARK); /* it may have been about to end */
        return;
    }
    atomic_store(&watch.order, WATCH_PARK);
    if (!thread_make(watch_main)) {
        atomic_store(&watch.running, false);
        watch_fails(false);
    } else if (!atomic_load(&mon.running)) {
        watch_order(WATCH_END); /* the monitor has ended, and would not say so */
    }
    const struct timespec some = {.tv_nsec = 50000}; /* until it is known as ours */
    for (int i = 0; i < 100 && atomic_load(&watch.running) && !atomic_load(&watch.tid); i++)
        sys(SYS_nanosleep, &some, NULL);
}

/* Makes the table in which mem_set_piece writes. False: no memory for it. */
static bool watch_open(void)
{
    if (atomic_load(&mem_pieces))
        return true;
    void *p = own_table(mem.size / huge_size + 1);
    if (!p)
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
static void op_sleep(uint64_t ms)
{
    sleep_ms(ms);
    warn_between();
    home_between();
    map_between();
}

/* A fork waits for the monitor, or something else that must not be held up. */
static bool op_wanted(void) { return mon_wanted(); }
static void op_yield(void)
{
    mon_pause();
    map_between();
}

static bool op_resident(size_t offset, size_t bytes, unsigned char *vector)
{
    return mem_resident(offset, bytes, vector);
}

static void op_advise(size_t offset, size_t bytes, int advice) { mem_advise(offset, bytes, advice); }

/* What the process has read, written and waited for so far. */
static void op_usage(struct usage *u)
{
    struct rusage now;
    sys_getrusage(RUSAGE_SELF, &now);
    *u = (struct usage){.ms = op_now(), .majflt = (size_t)now.ru_majflt,
                        .minflt = (size_t)now.ru_minflt, .blocks = (size_t)now.ru_inblock,
                        .written = (size_t)now.ru_oublock,
                        .cpu_us = (size_t)now.ru_utime.tv_sec * 1000000 + (size_t)now.ru_utime.tv_usec};
}

static bool op_is_mapped(size_t offset) { return pages_mapped(offset, 8) > 0; }

/* Has a piece of a mapping written, without waiting. Overlayfs ignores the call for that, but hands on the advice to
 * drop what is clean, which begins with writing; mapped pages stay. */
GUESSES static void op_write(const struct range *g, size_t at, size_t bytes)
{
    const struct file *f = g->record ? &big_at(g->record)->file : &fry.file;
    if (!file_valid(f))
        return;
    if (folder.overlay)
        sys(SYS_fadvise64, f->fd, (off_t)at, (off_t)bytes, POSIX_FADV_DONTNEED);
    else
        sys(SYS_sync_file_range, f->fd, at, bytes, SYNC_FILE_RANGE_WRITE);
}

/* A window of our own on a piece of a mapping's file: what is read there is in memory, and the program's page table
 * still shows what the program has touched, nothing else. NULL: that can't be done. */
GUESSES static char *window_open(const struct range *g, size_t from, size_t bytes)
{
    struct file f = g->record ? big_at(g->record)->file : fry.file;
    if (!file_valid(&f))
        return NULL;
    gate_enter(); /* no fork in between: nobody would unmap it in a child */
    char *window = own_map(OWN_WINDOW, 0, bytes, PROT_READ, MAP_SHARED, f.fd, (off_t)from);
    if (window != MAP_FAILED)
        sys(SYS_madvise, window, bytes, MADV_DONTFORK);
    gate_leave();
    return window == MAP_FAILED ? NULL : window;
}

/* Reads a piece into the page cache, as large pages. False: that can't be done. */
static bool op_read(const struct range *g, size_t from, size_t bytes)
{
    char *window = window_open(g, from, bytes);
    if (!window)
        return false;
    sys(SYS_madvise, window, bytes, MADV_HUGEPAGE);
    sys(SYS_madvise, window, bytes, MADV_RANDOM);
    bool read = true;
    for (size_t at = 0; at < bytes && read; at += huge_size)
        read = sys(SYS_madvise, window + at, page_size, MADV_POPULATE_READ) == 0;
    own_unmap(window, bytes);
    return read;
}

/* Has one page read that is not in memory, nor are the `pages` from there on. Returns how many were read. */
static size_t op_read_one(const struct range *g, size_t at, size_t pages)
{
    struct rusage before, after;
    char *window = window_open(g, at, pages * page_size);
    if (!window)
        return 0;
    sys(SYS_madvise, window, pages * page_size, MADV_SEQUENTIAL);
    sys_getrusage(RUSAGE_THREAD, &before);
    sys(SYS_madvise, window, page_size, MADV_POPULATE_READ);
    sys_getrusage(RUSAGE_THREAD, &after); /* a read is counted when it is asked for */
    own_unmap(window, pages * page_size);
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
static const uint64_t mon_idle_ms = 1000, mon_retry_ms = 10000;
static const size_t mon_least = 16 * mib, mon_part = 16, mon_most = gib; /* live data that have it started */
static const size_t mon_least_seen = 8 * mib; /* the same where the limit is seen: beside one block of the smallest size that
                                                * is large by default, small blocks may fill the rest unseen */
GUESSES static size_t live_bytes(void) { return big.live_bytes + fry.run_bytes + fry.slab_bytes; }

enum { SUBJECT_MAX = 64, RANGE_MAX = 1024, WINDOW_MAX = 12, ACTIVE_MAX = 4 };
enum { SUBJECT_FRIES, SUBJECT_SMALL, SUBJECT_LARGE }; /* the first large one has number 2 */

static const size_t window_bytes = (size_t)32 << 20;
static const size_t run_gap = 64, stream_misses = 48; /* pages */
static const size_t stride_least = 16; /* pages */
static const uint64_t probe_ms = 20, probe_held_ms = 60, probe_stalled_ms = 200; /* where more is seen, less, nearly nothing */
static const uint64_t probe_stands_ms = 20, probe_still_ms = 4000; /* without a fault: it stands still, and that long it may */
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
static const size_t stride_doubt = 8;    /* pages that a large one brings in for each that is asked for */
static const size_t trial_part = 4;      /* of the memory that there is: so much may be filled with single pages */
static const uint64_t trial_least_ms = 2000, trial_most_ms = 20000, trial_rest = 16; /* times as long as it took */
static const size_t trial_cpu_us = 16000; /* four ticks of a clock with 250 a second */
static const size_t crowd_part = 7; /* of the memory: 64 streams of 2 MiB in 400 are as fast as they can be, 200 are not */

/* What reads take, in microseconds; only the ratios matter. The disk's part is learned: for a request, and for each page of it.
 * The kernel's part was measured: for each page, for one that is read far ahead, and for a large page. */
static struct { double request, page; } disk_us = {.request = 70, .page = 1.13}; /* as measured there */
static const double cost_page = 1.87, cost_page_far = 0.12, cost_large_page = 250;
static const double cost_watch = 50, cost_stride = 20; /* until the watching thread asks; had it asked before */
static const double cost_never = 1e12;                 /* what can't be had */

enum { SPAN_LOGS = 14, PIECE_LOGS = 10 }; /* of the lengths of runs, and of the blocks that WATCH reads */
enum { flow_piece = 4 }; /* log2 of the pages that WATCH reads of each of many streams: least of what may be dropped unused */

struct evidence {
    size_t misses, runs, span;  /* span: pages from the first to the last of each run */
    double cost[POLICY_COUNT];  /* WATCHED: of streams; what has an end is in `spans` */
    uint16_t spans[SPAN_LOGS];  /* runs that have an end, by the log2 of their pages, rounded up */
    uint16_t strided;           /* of these, in equal strides */
    uint16_t onward, backward;  /* runs that go on where what was in memory ended, or end where it began */
    uint16_t several;           /* pieces of streams that lie side by side */
};

static struct {
    bool *chunks;            /* for each 2 MiB of the reservation: its sample was resident */
    unsigned char *vector;   /* mincore's answers: WINDOW_MAX windows before, as many halfway, one after */
    struct range range[RANGE_MAX];
    unsigned ranges, subjects;
    struct { size_t offset, bytes; const struct range *range; } window[WINDOW_MAX];
    unsigned windows;
    size_t total_pages, window_pages;
    struct evidence part[SUBJECT_MAX][BIG_PARTS];
    struct evidence open[SUBJECT_MAX][BIG_PARTS]; /* of long runs that had not come to an end */
    struct evidence flow[SUBJECT_MAX][BIG_PARTS]; /* of the runs in `part`, if they are pieces of many streams */
    uint8_t small_policy[BIG_PARTS]; /* of all bigmaacs below large_bytes, which have one part */
    uint8_t small_piece;     /* and what it was for WATCHED */
    unsigned watching;       /* something is WATCHED, or was so many probes ago at most */
    unsigned alone;          /* the same of RANDOM */
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
    bool changing;           /* something was written to while the last probe waited */
    bool dirtying;           /* more than fits becomes dirty, if only by being filled for the first time */
    bool all_random;         /* every subject is at RANDOM */
    size_t misses;           /* that the last probe saw */
    bool picks_fit;          /* all that is picked from at random */
    struct evidence few;     /* of the subjects that show too little for a decision */
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
    size_t vectors = (2 * WINDOW_MAX + 1) * to_pages(window_bytes);
    void *p = own_table(vectors + mem.size / huge_size + 1);
    if (!p)
        return false;
    pager.vector = p;
    pager.chunks = (bool *)p + vectors; /* last: a child that is forked in between has neither, or both */
    return true;
}

/* Is there as much data that it may be paged before the library is called again? Small blocks, other processes and
 * mappings fill the memory unseen, so the thread is there long before it is full. */
GUESSES static bool paging_may_come(void)
{
    size_t live = live_bytes();
    if (live < mon_least_seen)
        return false;
    size_t least = min_size(room_bytes() / mon_part, mon_most); /* first: it finds out whether anything is hidden */
    return live >= (atomic_load(&room.hidden) ? mon_least : least);
}

/* --- what there is ------------------------------------------------------------------------------- */

static bool record_is_subject(const struct big *r)
{
    return r->in_use && big_extent(r)->state == EXTENT_LIVE && r->backing != BACKED_NONE &&
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
    lock_take(&big.lock);
    uint32_t most = big.record_count;
    for (uint32_t n = 0; n < most && pager.ranges < RANGE_MAX; n++) {
        uint32_t i = (pager.first_record + n) % most + 1;
        if (record_is_subject(big_at(i)))
            range_add_record(i);
        if (pager.ranges == RANGE_MAX)
            pager.first_record = i;
    }
    lock_drop(&big.lock);
    pager.total_pages = 0;
    for (unsigned i = 0; i < pager.ranges; i++)
        pager.total_pages += pager.range[i].bytes / page_size;
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

static void window_add(const struct range *r, size_t from, size_t bytes)
{
    if (pager.windows == WINDOW_MAX)
        return;
    from = min_size(round_down(from, huge_size), round_down(r->bytes - 1, huge_size));
    bytes = min_size(bytes, r->bytes - from);
    for (unsigned i = 0; i < pager.windows; i++) {
        size_t at = pager.window[i].offset - r->offset;
        if (pager.window[i].range == r && from < at + pager.window[i].bytes && at < from + bytes)
            return;
    }
    pager.window[pager.windows].offset = r->offset + from;
    pager.window[pager.windows].bytes = bytes;
    pager.window[pager.windows++].range = r;
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
            bool *seen = &pager.chunks[(r->offset + at) / huge_size];
            bool now = is_resident(r->offset + at, min_size(8, (r->bytes - at) / page_size)), fresh = now && !*seen;
            *seen = now;
            if (open_windows && fresh && pager.windows < ACTIVE_MAX)
                window_add(r, at > window_bytes / 4 ? at - window_bytes / 4 : 0, window_bytes);
        }
    }
}

/* Windows from where a stream is to behind what has been read ahead of it. */
static void windows_ahead(void)
{
    for (const struct range *g = pager.range; g < pager.range + pager.ranges; g++)
        for (size_t from = pager.front - g->offset; from < g->bytes && pager.windows < ACTIVE_MAX; from += window_bytes)
            window_add(g, from, window_bytes);
}

/* The mapping of a page at random, *at bytes from its start: each as likely as it is large. */
static const struct range *range_anywhere(size_t *at)
{
    const struct range *g = pager.range;
    for (*at = pager_random() % pager.total_pages * page_size; *at >= g->bytes; g++)
        *at -= g->bytes;
    return g;
}

static void windows_scatter(void)
{
    size_t at;
    for (int tries = 0; tries < 2 * WINDOW_MAX && pager.windows < WINDOW_MAX; tries++) {
        const struct range *g = range_anywhere(&at);
        window_add(g, at, window_bytes / 2);
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
    lock_take(&big.lock);
    bool warm = r->in_use && big_extent(r)->state == EXTENT_WARM; /* freed since: the next owner has it at once */
    bool same = r->generation == g->generation && (record_is_subject(r) || (warm && !probing));
    if (same && probing)
        mem_set_policy(big_offset(r), r->mapped, POLICY_RANDOM, 0);
    else if (same)
        big_apply_policy(r, true);
    lock_drop(&big.lock);
    return same;
}

static double page_us(void) { return disk_us.page + cost_page; }

/* What all runs would have cost had WATCH read so many pages for each of them, as a log2. */
static double watched_cost(const struct evidence *e, unsigned piece)
{
    double fault = disk_us.request + cost_watch, each = fault + page_us() * (double)((size_t)1 << piece);
    double cost = e->cost[POLICY_WATCHED] - (double)e->strided * (fault - cost_stride);
    for (unsigned i = 0; i < SPAN_LOGS; i++)
        cost += each * (double)e->spans[i] * (double)((size_t)1 << (i > piece ? i - piece : 0));
    return cost;
}

/* The best number of pages for WATCH to read, as a log2. */
static unsigned evidence_piece(const struct evidence *e)
{
    unsigned best = 0;
    if (2 * (size_t)e->several > e->runs)
        return flow_piece;
    for (unsigned piece = 1; piece < PIECE_LOGS; piece++)
        best = watched_cost(e, piece) < watched_cost(e, best) ? piece : best;
    return best;
}

/* What is picked from at random and fits is left to the kernel: it keeps what is used, which it doesn't see where advice
 * is for scattered access (a vector gathered beside a stream came and went, a page at a time). */
static enum policy evidence_best(const struct evidence *e, enum policy now, unsigned piece)
{
    double cost[POLICY_COUNT];
    now = pager.picks_fit && now == POLICY_NORMAL ? POLICY_RANDOM : now;
    enum policy best = now;
    memcpy(cost, e->cost, sizeof cost);
    cost[POLICY_WATCHED] = watch_able() ? watched_cost(e, piece) : cost_never;
    for (enum policy p = POLICY_NORMAL; p < POLICY_COUNT; p++)
        if (cost[p] < 0.87 * cost[now] && cost[p] < cost[best])
            best = p;
    return pager.picks_fit && (best == POLICY_RANDOM || best == POLICY_WATCHED) ? POLICY_NORMAL : best;
}

static void evidence_add(struct evidence *to, const struct evidence *from)
{
    to->misses += from->misses;
    to->runs += from->runs;
    to->span += from->span;
    for (unsigned p = 0; p < POLICY_COUNT; p++)
        to->cost[p] += from->cost[p];
    for (unsigned i = 0; i < SPAN_LOGS; i++)
        to->spans[i] = (uint16_t)(to->spans[i] + from->spans[i]);
    to->strided = (uint16_t)(to->strided + from->strided);
    to->onward = (uint16_t)(to->onward + from->onward);
    to->backward = (uint16_t)(to->backward + from->backward);
    to->several = (uint16_t)(to->several + from->several);
}

/* What all of them show, taken together. */
static struct evidence evidence_sum(const struct evidence *e, size_t parts)
{
    struct evidence all = {0};
    for (size_t i = 0; i < parts; i++)
        evidence_add(&all, &e[i]);
    return all;
}

/* Many streams side by side leave short runs in a probe, each of which goes on where its stream has been. Of blocks
 * picked at random, however many are in memory, no more than a quarter lie so. */
static bool evidence_flows(const struct evidence *e)
{
    return e->runs && 4 * (size_t)max_size(e->onward, e->backward) >= 3 * e->runs;
}

/* Is there too little for a decision? A few short runs may be where a long one begins, or pieces of streams,
 * as on a slow disk, where several probes see one run. */
static bool evidence_thin(const struct evidence *e)
{
    return e->misses < evidence_least ||
           (e->runs < evidence_runs && (e->misses < evidence_part || pager.blind || evidence_flows(e)));
}

/* Decides for each part of a subject. Parts that show little follow the others, as long as
 * these agree; subjects that do, what they show together. *piece: of the parts that are WATCHED. Returns how many
 * parts changed. */
static unsigned policy_decide(const struct evidence *part, uint8_t *policy, uint8_t *piece)
{
    struct evidence all = evidence_sum(part, BIG_PARTS);
    unsigned changed = 0;
    bool agree = true;
    if (evidence_thin(&all)) {
        if (!all.misses || evidence_thin(&pager.few))
            return 0;
        all = pager.few;
    }
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

/* --- strides ------------------------------------------------------------------------------------- */

/* A walk in wide strides, as through a column of a matrix, wants one page of many. A large page brings it 512 at a time;
 * but if it comes back to the same pages soon, and these fit, single ones cost it nothing any more. A probe is too short
 * to tell. So it is tried: a mapping is at RANDOM until a part of the memory has been read so. If the program has got
 * on with its own work twice as fast, it stays so as long as the strides do; else it is as it was, and left alone for long. */
static struct trial {
    uint32_t record, generation; /* 0: none goes on */
    uint64_t next, rest;     /* ms: no other begins before that; and so long, after one without success */
    struct usage begin;      /* when it began */
    struct usage probed;     /* at the end of the last probe */
    double before;           /* microseconds of the program's own work in a millisecond, from then on */
    uint8_t policy[BIG_PARTS]; /* what it was */
} trial;

static bool evidence_strides(const struct evidence *part)
{
    struct evidence all = evidence_sum(part, BIG_PARTS);
    return all.strided >= evidence_part && all.span >= stride_doubt * all.misses;
}

/* Requires big.lock. False: not now. */
static bool trial_begin(struct big *r)
{
    struct usage now;
    op_usage(&now);
    if (trial.record || now.ms < trial.next || !trial.probed.ms || now.ms < trial.probed.ms + probe_gap_ms)
        return false;
    trial.begin = now;
    trial.before = (double)(trial.begin.cpu_us - trial.probed.cpu_us) / (double)(trial.begin.ms - trial.probed.ms);
    trial.record = big_index(r);
    trial.generation = r->generation;
    memcpy(trial.policy, r->policy, sizeof trial.policy);
    memset(r->policy, POLICY_RANDOM, sizeof r->policy);
    return true;
}

/* Returns whether one goes on. */
static bool trial_goes_on(void)
{
    struct usage now;
    if (!trial.record)
        return false;
    op_usage(&now);
    uint64_t ms = now.ms - trial.begin.ms;
    if (ms < trial_least_ms || (ms < trial_most_ms && now.majflt - trial.begin.majflt < to_pages(paging_room()) / trial_part))
        return true;
    size_t cpu = now.cpu_us - min_size(now.cpu_us, trial.begin.cpu_us); /* a child begins at 0 */
    bool good = cpu >= trial_cpu_us && (double)cpu >= 2 * trial.before * (double)ms;
    struct big *r = big_at(trial.record);
    lock_take(&big.lock);
    if (r->generation == trial.generation && record_is_subject(r)) {
        r->by_page = good;
        if (!good)
            memcpy(r->policy, trial.policy, sizeof r->policy);
        big_apply_policy(r, true);
    }
    lock_drop(&big.lock);
    trial.rest = good ? 0 : max_size(2 * trial.rest, trial_rest * ms);
    trial.next = now.ms + trial.rest;
    trial.record = 0;
    trial.probed = now;
    return false;
}

/* Requires big.lock. Decides for a large bigmaac; returns how many of its parts changed. */
static unsigned large_decide(struct big *r, unsigned subject)
{
    bool strides = evidence_strides(pager.part[subject]);
    if (r->by_page && strides)
        return 0;
    unsigned n = policy_decide(pager.part[subject], r->policy, &r->piece);
    r->by_page &= n == 0;
    return strides && r->policy[0] == POLICY_HUGE && trial_begin(r) ? BIG_PARTS : n;
}

static void evidence_few(void)
{
    memset(&pager.few, 0, sizeof pager.few);
    for (unsigned i = 0; i < pager.subjects; i++) {
        struct evidence all = evidence_sum(pager.part[i], BIG_PARTS);
        if (evidence_thin(&all))
            evidence_add(&pager.few, &all);
    }
}

/* Does all fit that has a policy for other than streams, or gets it now? */
static bool picks_fit(void)
{
    size_t picked = 0;
    pager.picks_fit = false;
    for (const struct range *g = pager.range; g < pager.range + pager.ranges; g++) {
        struct evidence all = evidence_sum(pager.part[g->subject], BIG_PARTS);
        bool picks = all.misses && evidence_best(&all, POLICY_HUGE, evidence_piece(&all)) != POLICY_HUGE;
        size_t part = big_part_bytes(g->bytes);
        for (size_t at = 0; at < g->bytes; at += part)
            picked += picks || range_policy(g, at) != POLICY_HUGE ? min_size(part, g->bytes - at) : 0;
    }
    return picked <= paging_room() / 4 * 3;
}

/* Decides for every subject; then nothing stays at RANDOM for the probe's sake. */
static unsigned policies_decide(void)
{
    evidence_few();
    pager.picks_fit = picks_fit();
    unsigned changed = policy_decide(pager.part[SUBJECT_FRIES], fry.policy, &fry.piece);
    changed += policy_decide(pager.part[SUBJECT_SMALL], pager.small_policy, &pager.small_piece);
    for (unsigned i = 0; i < pager.ranges; i++) {
        const struct range *g = &pager.range[i];
        struct big *r = big_at(g->record);
        lock_take(&big.lock);
        if (g->record && record_is_subject(r) && r->generation == g->generation) {
            unsigned n = 0;
            if (g->subject != SUBJECT_SMALL)
                n = large_decide(r, g->subject);
            else if (memcmp(r->policy, pager.small_policy, sizeof r->policy) != 0)
                n = 1, memcpy(r->policy, pager.small_policy, sizeof r->policy);
            r->piece = g->subject == SUBJECT_SMALL ? pager.small_piece : r->piece;
            r->policy_changes = (uint16_t)(r->policy_changes + (n != 0));
            changed += n;
        }
        lock_drop(&big.lock);
    }
    return changed;
}

/* Has any mapping that policy? */
static bool ranges_have(enum policy policy)
{
    for (unsigned i = 0; i < pager.ranges; i++)
        for (size_t at = 0; at < pager.range[i].bytes; at += big_part_bytes(pager.range[i].bytes))
            if (range_policy(&pager.range[i], at) == policy)
                return true;
    return false;
}

/* Is anything WATCHED, or RANDOM, as far as can be told? Not all mappings may be listed at once. */
static void ranges_watch(void)
{
    unsigned probes = pager.ranges < RANGE_MAX ? 0 : big.record_count / RANGE_MAX + 1;
    pager.watching = ranges_have(POLICY_WATCHED) && watch_open() ? probes + 1 : pager.watching - (pager.watching > 0);
    pager.alone = ranges_have(POLICY_RANDOM) && watch_open() ? probes + 1 : pager.alone - (pager.alone > 0);
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
    if (r->several) {
        e->several++;
        e->cost[POLICY_WATCHED] += ((disk_us.request + cost_watch) / (1 << flow_piece) + page_us()) * (double)r->misses;
        return;
    }
    size_t pieces = r->strided ? r->pieces : 1;
    size_t pages = r->strided ? (r->misses + r->pieces - 1) / r->pieces : r->end - r->first;
    unsigned log = 0;
    while (log < SPAN_LOGS - 1 && pages > (size_t)1 << log)
        log++;
    if (r->open && !r->strided)
        e->cost[POLICY_WATCHED] += (disk_us.request + page_us()) * (double)r->misses;
    else
        e->spans[log] = (uint16_t)(e->spans[log] + pieces);
    e->strided = (uint16_t)(e->strided + (r->strided ? pieces : 0));
}

/* Adds what the faults of a run would have cost under each policy. */
static void evidence_add_run(struct evidence *e, const struct run *r)
{
    double reach = (double)folder.readahead, span = (double)(r->end - r->first), misses = (double)r->misses;
    bool far = folder.readahead >= to_pages(huge_size) && !pager.writing;
    double each = far ? disk_us.page + cost_page_far : page_us();
    double large = disk_us.page * (double)to_pages(huge_size), alone = disk_us.request + large + cost_large_page;
    double around = disk_us.request + page_us() * reach; /* a fault that no readahead expected */
    e->misses += r->misses;
    e->runs++;
    e->span += r->end - r->first;
    e->cost[POLICY_RANDOM] += (disk_us.request + page_us()) * misses;
    evidence_add_watched(e, r);
    if (!r->open || r->several) {
        e->onward = (uint16_t)(e->onward + r->onward);
        e->backward = (uint16_t)(e->backward + r->backward);
    }
    if (r->several)
        each = disk_us.page + cost_page_far;
    if (r->open) {
        e->cost[POLICY_HUGE] += (r->several ? alone : large) * span / (double)to_pages(huge_size);
        e->cost[POLICY_NORMAL] += span / misses < reach / 2 ? each * span : around * misses;
        e->cost[POLICY_BLOCKS] += around * (span / reach < misses ? span / reach : misses);
        return;
    }
    size_t chunks = (r->end - 1) / to_pages(huge_size) - r->first / to_pages(huge_size) + 1;
    e->cost[POLICY_HUGE] += alone * (double)chunks;
    e->cost[POLICY_NORMAL] += around + (span > reach / 4 ? page_us() * reach / 2 : 0) +
                              (span > reach / 2 ? each * (span - reach / 2) : 0);
    e->cost[POLICY_BLOCKS] += around * (double)((r->end - r->first - 1) / folder.readahead + 1);
}

/* One of the vectors that mincore fills: a window's before, from WINDOW_MAX on halfway, the last one after. */
static unsigned char *window_vector(unsigned i)
{
    return pager.vector + i * to_pages(window_bytes);
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

/* The windows are one part of so many of all mappings. */
static size_t windows_part(void) { return pager.total_pages / (pager.window_pages + 1) + 1; }

/* So many streams that what is read ahead of all of them is dropped before it is used? About half of them show in a
 * probe, and half of the memory is for what they have used. */
static void evidence_crowd(struct evidence *part, size_t runs)
{
    size_t streams = runs * windows_part();
    size_t most = to_pages(paging_room()) / crowd_part / streams;
    for (unsigned i = 0; i < BIG_PARTS; i++) {
        if (folder.readahead > most)
            part[i].cost[POLICY_NORMAL] = part[i].cost[POLICY_BLOCKS] = cost_never;
        if (to_pages(huge_size) > most)
            part[i].cost[POLICY_HUGE] = cost_never;
    }
}

/* Where streams turn out to be side by side, the short runs there are what their pieces are. */
static void evidence_flow(void)
{
    for (unsigned subject = 0; subject < SUBJECT_MAX; subject++) {
        struct evidence *part = pager.part[subject], all = evidence_sum(part, BIG_PARTS);
        if (!evidence_flows(&all) || all.runs < evidence_runs)
            continue;
        memcpy(part, pager.flow[subject], sizeof pager.flow[subject]);
        evidence_crowd(part, all.runs);
    }
}

/* Large pages that have come whole, in fewer faults than they have pages, were asked for before the probe began. */
static void window_forget_large(unsigned w, const unsigned char *after, size_t faults)
{
    unsigned char *before = window_vector(w);
    size_t large = to_pages(huge_size), pages = faults < large ? pager.window[w].bytes / page_size : 0, came;
    for (size_t from = 0; from + large <= pages; from += large) {
        for (came = 0; came < large && is_miss(before, after, from + came);)
            came++;
        if (came == large)
            memset(before + from, 1, large);
    }
}

/* Finds the runs of a window; small gaps don't end one. Returns how many pages they are. */
static size_t window_evaluate(unsigned w, const unsigned char *after)
{
    const struct range *g = pager.window[w].range;
    const unsigned char *before = window_vector(w), *halfway = window_vector(WINDOW_MAX + w);
    size_t at = (pager.window[w].offset - g->offset) / page_size, all = 0;
    size_t part_pages = big_part_bytes(g->bytes) / page_size, pages = pager.window[w].bytes / page_size;
    struct run r = {.strided = window_strided(before, after, pages)};
    bool grows = false;
    for (size_t i = 0; i <= pages; i++) {
        bool miss = i < pages && is_miss(before, after, i);
        if (r.misses && (i == pages || (miss && at + i - r.end > run_gap))) {
            r.open = r.misses >= stream_misses && (grows || r.end - at + run_gap > pages);
            all += r.misses;
            run_place(&r, before, at, pages);
            run_judge(g, r.first / part_pages % BIG_PARTS, r);
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
    size_t parts = (size_t)SUBJECT_MAX * BIG_PARTS;
    struct evidence *open = pager.open[0], *part = pager.part[0], all = evidence_sum(open, parts);
    if (all.misses < faults / 4 && all.runs < ACTIVE_MAX)
        return;
    for (size_t i = 0; i < parts; i++)
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

/* Waits for the pages that readahead has asked for before the probe began: a slow disk needs long. */
static void windows_settle(void)
{
    size_t resident = 0, before = 0;
    for (int tries = 0; tries < 8 && (tries < 2 || resident >= before + stream_misses); tries++) {
        op_sleep(2);
        before = resident;
        resident = windows_snapshot(false);
    }
}

/* While it probes, the program waits for one page after the other. What it does between two faults counts as well: no
 * longer read spares it that. Where reclaim waits for what is to be written, a fault takes longer for a while. */
static void request_learn(uint64_t ms, size_t faults)
{
    double took = (double)ms * 1000 / (double)max_size(faults, 1);
    bool stalled = (pager.changing || pager.dirtying) && took > 2 * disk_us.request;
    if (faults > 1)
        disk_us.request = stalled ? 2 * disk_us.request : took;
}

/* Waits until the program has faulted often enough for the windows to show it; longer where reclaim holds up its faults,
 * and while it stands still, as all has to be written first. */
static size_t probe_wait(void)
{
    struct usage begin, now;
    size_t seldom = windows_part(); /* a fault in so many is seen */
    size_t enough = min_size(probe_misses * seldom, 500);
    bool held = pager.dirtying && !pager.watching && !pager.blind; /* up by what a fill has left to be written */
    held |= pager.blind == blind_most; /* by what was asked for before: large pages for many threads, on a slow disk */
    size_t few = held ? min_size(evidence_least * seldom, probe_faults_few) : 0;
    size_t faults = 0, last = 0;
    uint64_t most = probe_stalled_ms, stands = 0;
    bool half = false; /* is past: long before the end */
    op_usage(&begin);
    now = begin;
    for (uint64_t ms = 0, all = 0; ms < most && all < probe_still_ms && faults < enough && !op_wanted(); all++) {
        op_sleep(1);
        op_usage(&now);
        faults = now.majflt - begin.majflt;
        stands = faults > last ? 0 : stands + 1;
        last = faults;
        ms += stands < probe_stands_ms;
        most = faults < few ? probe_stalled_ms : faults < probe_faults_few ? probe_held_ms : probe_ms;
        if (!half && (ms >= probe_ms / 2 || faults >= enough / 2)) {
            windows_snapshot(true);
            half = true;
        }
    }
    pager.changing = now.written > begin.written;
    request_learn(now.ms - begin.ms, faults);
    return faults;
}

/* Looks at all mappings once. Returns how many policies changed. */
static unsigned probe(void)
{
    ranges_find();
    if (!pager.ranges || !pager.total_pages)
        return 0;
    count_one(&count.probes);
    pager.windows = pager.window_pages = 0;
    if (!pager.blind || !pager.misses || !pager.unexplained) { /* what few faults show, as on a slow disk, adds up */
        memset(pager.part, 0, sizeof pager.part);
        memset(pager.flow, 0, sizeof pager.flow);
    }
    memset(pager.open, 0, sizeof pager.open);
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
        if (op_resident(pager.window[w].offset, pager.window[w].bytes, after)) {
            window_forget_large(w, after, faults);
            pager.misses += window_evaluate(w, after);
        }
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
 * === FRESH  large blocks that are used here and there only
 *
 * A new block is filled in large pages, in half the time that small ones take. But of a table of which a word in each MiB is
 * used all would be cleared, and written to disk. So once some of a block has come, a fault brings in its page alone for a
 * moment: where the program has gone on, the chunks of 2 MiB that it came to show how much of each it fills.
 * ========================================================================================= */
static const unsigned fresh_chunks = 8;    /* that have come, before anything can be said */
static const unsigned fresh_seen = 3, fresh_most = 64; /* that it must come to then, and that are looked at */
static const size_t fresh_part = 8;        /* a chunk of which less is used costs more as a large page (250 us) than by pages (3 us) */
static const size_t fresh_pages = 8;       /* of each chunk: one of these is in memory, or it has not come */
static const uint64_t fresh_ms = 4, fresh_times = 4; /* the first look; how much later the next one is */

/* The monitor's. */
static struct {
    uint64_t at_ms, pause_ms; /* of the next look, and since the last one; pause 0: no block is young */
    size_t majflt, ticked;    /* at the last look at young blocks, and when it was time for one */
    size_t probes;            /* that there had been at that look */
    struct range doubted;     /* the block that is at RANDOM for the moment; bytes 0: none is */
} fresh;

static bool fresh_has_come(const struct range *g, size_t at)
{
    return is_resident(g->offset + at, min_size(fresh_pages, to_pages(g->bytes - at)));
}

/* Notes the chunks that have come. Returns how many they are. */
static size_t fresh_note(const struct range *g)
{
    size_t there = 0;
    for (size_t at = 0; at < g->bytes; at += huge_size)
        there += pager.chunks[(g->offset + at) / huge_size] = fresh_has_come(g, at);
    return there;
}

/* How many pages are in memory of the chunks that have come since; *chunks: how many these are, as far as they are looked at. */
static size_t fresh_filled(const struct range *g, unsigned *chunks)
{
    unsigned char in[huge_size / 4096];
    size_t filled = 0;
    *chunks = 0;
    for (size_t at = 0; at < g->bytes && *chunks < fresh_most; at += huge_size) {
        size_t pages = to_pages(min_size(huge_size, g->bytes - at));
        if (pager.chunks[(g->offset + at) / huge_size] || !fresh_has_come(g, at) ||
            !op_resident(g->offset + at, to_bytes(pages), in))
            continue;
        ++*chunks;
        for (size_t page = 0; page < pages; page++)
            filled += in[page] & 1;
    }
    return filled;
}

/* It is known how the block is filled, and new ones of its size begin so; or it is known no more. */
static void fresh_settle(const struct range *g, bool known, bool alone)
{
    struct big *r = big_at(g->record);
    lock_take(&big.lock);
    if (r->generation == g->generation) {
        r->young = false;
        if (known)
            atomic_store(&big.fresh[log2_floor(g->bytes)].alone, alone);
        if (known && alone)
            memset(r->policy, POLICY_RANDOM, sizeof r->policy);
    }
    lock_drop(&big.lock);
}

/* Looks at the block in doubt. False: it is still in doubt. */
static bool fresh_judge(void)
{
    unsigned chunks;
    const struct range *g = &fresh.doubted;
    size_t filled = fresh_filled(g, &chunks);
    if (chunks >= fresh_seen)
        fresh_settle(g, true, filled * fresh_part < chunks * to_pages(huge_size));
    return chunks >= fresh_seen || big_at(g->record)->generation != g->generation || fresh.probes != atomic_load(&count.probes);
}

/* The block is in doubt no more: its policy holds. If nothing was found out, it will be doubted again. */
static void fresh_end(void)
{
    if (fresh.doubted.bytes)
        range_advise(&fresh.doubted, false);
    fresh.doubted.bytes = 0;
}

/* Looks for a young block of which some has come. Returns whether there are young ones. */
GUESSES static bool fresh_look(void)
{
    bool young = false;
    ranges_find();
    for (const struct range *g = pager.range; g < pager.range + pager.ranges && !fresh.doubted.bytes; g++) {
        if (!g->record || !big_at(g->record)->young)
            continue;
        size_t there = fresh_note(g);
        if (there + fresh_seen > g->bytes / huge_size) {
            fresh_settle(g, false, false); /* it has all come */
            continue;
        }
        young = true;
        if (there < fresh_chunks || !range_advise(g, true))
            continue;
        fresh_note(g);
        fresh.doubted = *g;
    }
    return young;
}

/* Looks at young blocks when it is time. Returns the milliseconds until the next look. */
static uint64_t fresh_tick(void)
{
    struct usage now;
    if (atomic_exchange(&big.young, false)) {
        fresh_end();
        fresh.at_ms = op_now() + (fresh.pause_ms = fresh_ms);
    }
    if (!fresh.pause_ms || op_now() < fresh.at_ms)
        return fresh.pause_ms ? fresh.at_ms - op_now() : mon_idle_ms;
    op_usage(&now);
    bool young = true, doubted = fresh.doubted.bytes;
    if (doubted && fresh_judge())
        fresh_end();
    if (!doubted && now.majflt - fresh.majflt >= fresh_chunks && pager.quiet && pager_open()) { /* else a probe will tell */
        young = fresh_look();
        fresh.majflt = now.majflt;
        fresh.probes = atomic_load(&count.probes);
    }
    bool soon = fresh.doubted.bytes ? now.majflt != fresh.ticked || !doubted : doubted;
    fresh.ticked = now.majflt;
    fresh.pause_ms = !young ? 0 : soon ? fresh_ms : min_size(fresh.pause_ms * fresh_times, mon_idle_ms);
    fresh.at_ms = op_now() + fresh.pause_ms;
    return young ? fresh.pause_ms : mon_idle_ms;
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
    bool seen[SCAN_UNITS];   /* each unit: was it mapped at the last look? */
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
        bool before = s->seen[unit], now = op_is_mapped(g->offset + unit * s->unit);
        s->seen[unit] = now;
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

static size_t ranges_resident(void)
{
    size_t resident = 0;
    for (unsigned i = 0; i < pager.ranges; i++)
        resident += range_resident(&pager.range[i]);
    return resident;
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

/* Follows the stream: what is behind it goes, up to the part that stays; what is changed when it has been written, which
 * begins a look before. */
static void scan_follow(struct scan *s, const struct range *g)
{
    size_t end = s->units - s->kept, lag = scan_lag / s->unit + 1;
    size_t to = min_size(s->front > lag ? s->front - lag : 0, end);
    if (s->front < s->dropped) { /* round it came */
        scan_drop(s, g, s->dropped, end);
        s->written = s->dropped = 0;
        scan_share(s);
        return;
    }
    size_t ready = max_size(s->dropped, pager.writing ? s->written : to);
    scan_drop(s, g, s->dropped, ready);
    s->dropped = ready;
    if (pager.writing && s->written < to)
        op_write(g, s->written * s->unit, min_size(to * s->unit, g->bytes) - s->written * s->unit);
    s->written = max_size(s->written, to);
}

/* Reads what the stream will need next, for one look's time at most: a sixth to two fifths more for streams that are changed, on
 * the slower disks. */
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
        struct scan *s = g->subject >= SUBJECT_LARGE && !big_is_frozen(big_at(g->record)) ? scan_of(g) : NULL;
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
        size_t at;
        const struct range *g = range_anywhere(&at);
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
        size_t fits = paging_room(), used = fits / 8 + ranges_resident();
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
        size_t at, pages = 0;
        const struct range *g = range_anywhere(&at);
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

/* What long reads take beyond their requests is for their pages; less, where they took longer because the program was slow. */
static void page_learn(uint64_t ms, size_t faults, size_t pages)
{
    double took = ((double)ms * 1000 - (double)faults * disk_us.request) / (double)pages;
    if (took > 0)
        disk_us.page = took < disk_us.page ? took : (3 * disk_us.page + took) / 4;
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
    if (!written && blocks / (64 * kib / 512) >= faults)
        page_learn(ms, faults, blocks / (page_size / 512));
    faults = max_size(faults, 1); /* readahead that stays ahead of a stream leaves none */
    *since = (struct usage){.majflt = faults * 1000 / ms, .minflt = minor * 100 / faults,
                            .blocks = blocks / faults, .written = written / faults,
                            .cpu_us = cpu / faults};
    return true;
}

/* What the process reads and waits for: is it our data? Where ROOM sees a limit nearby, it is. Else some of the data
 * must be missing (but what was never touched was never in memory), and then what is not missing is as much as fits:
 * at least, as streams drop what is behind them. */
static bool paging_is_ours(const struct usage *since)
{
    size_t live = live_bytes(), known = room_bytes();
    if (live < atomic_load(&map.moved_bytes) / 4 && live < known / 4) /* most of it is MAP's: no probe would tell */
        return false;
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

static bool tables_see(const struct vma *v, void *unused)
{
    (void)unused;
    size_t offset = v->from - mem.base;
    if (v->shared && file_behind(offset, v->inode))
        op_advise(offset, v->to - v->from, MADV_DONTNEED);
    return true;
}

/* Drops the page tables of what is mapped MAP_SHARED; the program may have mapped something else over a part. */
static void tables_drop(void)
{
    lock_take(&big.lock);
    vmas_walk(mem.base + mem.fry_end, mem.base + mem.size, tables_see, NULL);
    lock_drop(&big.lock);
}

/* The page tables of what was paged out stay, 2 MiB for a GiB that was touched anywhere, and the
 * program is charged for them: with enough data they are what gets it killed. So when they are
 * large they are dropped, all at once: what is in memory is mapped again by cheap faults. */
static void tables_trim(void)
{
    if (live_bytes() < 512 * 16 * mib)
        return;
    size_t bytes = tables_bytes();
    if (bytes >= 16 * mib && bytes >= room_bytes() / 16)
        tables_drop();
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
 * touches the same large pages in the same order (transposes on a slow disk: a third to a hundredth without this). */
static bool stream_differs(const struct usage *since)
{
    double cpu = ((double)since->cpu_us + 1) / ((double)since->blocks + 1);
    if (pager.stream_cpu == 0)
        pager.stream_cpu = cpu;
    bool differs = cpu > 3 * pager.stream_cpu || 3 * cpu < pager.stream_cpu;
    pager.stream_other = differs ? pager.stream_other + 1 : 0;
    return pager.stream_other >= 2;
}

/* In a child: it has read nothing yet. */
static void paging_child(void)
{
    pager.last = trial.probed = (struct usage){0};
    fresh.majflt = fresh.ticked = 0;
}

static void pager_watches(void)
{
    watch_want(WATCH_BLOCKS, pager.watching);
    watch_want(WATCH_ALONE, pager.alone);
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
    pager_watches();
    if (trial_goes_on() || pager.last.ms < pager.probe_at + gap || !pager_open())
        return;
    if (!folder.readahead_known) {
        ranges_find();
        readahead_learn();
    }
    bool changed = probe() != 0;
    pager_watches();
    if (changed && pager.changing)
        split_begin();
    uint64_t most = pager.all_random ? probe_gap_random_ms : probe_gap_max_ms;
    pager.probe_gap = changed ? probe_gap_ms : min_size(pager.probe_gap * 2, most);
    pager.blind = pager.misses < evidence_least && pager.blind < blind_most ? pager.blind + 1 : 0;
    op_usage(&pager.last);
    trial.probed = pager.last;
    pager.probe_at = pager.last.ms;
    pager.streamed = 0;
    if (!pager.blind)
        pager.stream_cpu = pager.stream_other = 0;
}

/* Nothing is paged. Returns the milliseconds until the next look. */
static uint64_t paging_rests(bool streams)
{
    pager.quiet += pager.quiet < quiet_most;
    trial_goes_on();
    if (pager.quiet == quiet_most || (!pager.near && pager.quiet >= quiet_calm)) {
        watch_want(WATCH_BLOCKS | WATCH_ALONE, false);
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
        watch_want(WATCH_BLOCKS | WATCH_ALONE, false);
        return mon_idle_ms;
    }
    bool near = live_bytes() >= room_bytes() / 2;
    if (near && !pager.near)
        pager.quiet = min_size(pager.quiet, 1);
    pager.near = near;
    bool asleep = !near && pager.quiet >= quiet_calm;
    if (!asleep)
        watch_request();
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
 * after a fork when RAM runs short, keeps what is changed over and over from the disk, and picks the paging policy (PAGING): for
 * that it is there long before the memory is full, and wakes once a second. All signals are blocked in it; it holds
 * the gate for reading while it works, and no lock while it sleeps.
 * ========================================================================================= */

/* Is there anything for the thread to do, now or soon? */
GUESSES static bool mon_needed(void)
{
    size_t frozen = atomic_load(&home.frozen_bytes);
    if (big.warm_oldest || fry.dirty_pages > to_pages(4 * mib) || atomic_load(&fry.dead_bytes) > 4 * mib ||
        atomic_load(&warn.near) || (map.elsewhere && atomic_load(&mon.others)))
        return true;
    return map_may_come() || paging_may_come() || (frozen >= 32 * mib && frozen > room_bytes() / 4);
}

/* --- the thread ---------------------------------------------------------------------------------- */

static void mon_tidy(void)
{
    spare_keep(&stop.tasks);
    gate_enter();
    warm_expire(now_ms() - warm_keep_ms);
    lock_take(&fry.lock);
    heaps_sweep();
    fry_purge_if_due();
    if (atomic_load(&home.frozen_bytes)) { /* some may have been freed */
        lock_take(&big.lock);
        home_count();
        lock_drop(&big.lock);
    }
    lock_drop(&fry.lock);
    gate_leave();
}

/* Sleeps, unless somebody has work, or a stream goes on. */
static void mon_sleep(uint64_t ms)
{
    static unsigned seen;
    bool woken;
    uint64_t until = now_ms() + ms;
    do {
        uint64_t part = min_size(until - min_size(now_ms(), until), map_follow());
        struct timespec t = {.tv_sec = (time_t)(part / 1000), .tv_nsec = (long)(part % 1000) * 1000000};
        mon_release();
        woken = sys(SYS_futex, &mon.wake, FUTEX_WAIT_PRIVATE, seen, &t, NULL, 0) == 0 || errno != ETIMEDOUT;
        mon_hold();
    } while (!woken && now_ms() < until);
    seen = atomic_load(&mon.wake);
}

/* Has every thread of the program ended? Ours would keep the process. The first thread stays as a zombie then:
 * the kernel counts it, and has forgotten its list of robust futexes, which glibc gives every thread, but for the child of a
 * bare call. */
static bool program_has_ended(void)
{
    static pid_t alive; /* the last thread found where /proc can't be read */
    void *futexes = &futexes;
    size_t bytes;
    struct stat st;
    pid_t pid = sys_getpid();
    if (sys(SYS_get_robust_list, pid, &futexes, &bytes) != 0 || futexes)
        return false;
    if (sys_stat("/proc/self/task", &st) == 0)
        return thread_count() == 1 && main_has_ended();
    if (mon.unlisted || mem.pid != pid)
        return false;
    if (alive && alive != atomic_load(&watch.tid) && sys(SYS_tgkill, pid, alive, 0) == 0)
        return false;
    for (pid_t tid = 1; tid < 1 << 22; tid++) /* the kernel has no larger ones */
        if (tid != pid && tid != atomic_load(&mon.tid) && tid != atomic_load(&watch.tid) &&
            sys(SYS_tgkill, pid, tid, 0) == 0) {
            alive = tid;
            return false;
        }
    return true;
}

/* What glibc does when the last thread ends. */
static void *program_exit(void *unused)
{
    (void)unused;
    exit(0);
}

/* The thread is about to end, unless there is work: who made some a moment ago has seen it running. */
static bool mon_ends(bool program_ended)
{
    lock_take(&mon.lock);
    atomic_store(&mon.running, false);
    atomic_thread_fence(memory_order_seq_cst);
    bool ends = program_ended || !mon_needed();
    if (!ends)
        atomic_store(&mon.running, true);
    lock_drop(&mon.lock);
    if (!ends)
        return false;
    atomic_store(&watch.wanted, 0);
    watch_order(WATCH_END);
    atomic_store(&mon.tid, 0);
    atomic_fetch_sub(&mon.alive, 1);
    mon_release();
    return true;
}

/* The program's handlers for its end run in a thread like its own: with an ordinary stack, and open to signals. */
static void mon_end_program(void)
{
    const sigmask none = 0;
    pthread_t thread;
    mon_ends(true);
    mon_self = false;
    sys_sigmask(SIG_SETMASK, &none, NULL);
    if (pthread_create(&thread, NULL, program_exit, NULL) != 0)
        exit(0);
}

/* --- what is written over and over ---------------------------------------------------------------------- */

/* The kernel writes changed pages of a file out when they are a tenth of the memory (of the container's, in cgroup v2), and from
 * a fifth on makes the program wait for that: data that are changed over and over go at the disk's speed, though all of them
 * fit. So they are frozen as for a fork: what is changed from then on is ordinary memory, and comes home when RAM runs short. But
 * where little is left, the program may fill that before we come to run, and what the kernel could drop as a file's it kills for. */
static const uint64_t hold_look_ms = 1000;
static const size_t hold_least = 64 * mib;  /* changed anew in a second: half of what a common cloud disk takes */
static const size_t hold_times = 2;         /* so often all live data: filling them is no reason */
static const uint64_t hold_rest_ms = 4000;  /* at first, where that has not helped; doubles */
static const uint64_t hold_rest_most_ms = 600000;

static struct {
    struct usage last;            /* at the last look */
    size_t given;                 /* folder.given at that time */
    size_t changed;               /* bytes, since they were few or something was read */
    uint64_t again_ms, rest_ms;   /* not before that; and how long it was the last time */
} hold; /* the monitor's */

/* Freezes all while nobody runs, where nobody writes past the program's threads. */
static void hold_all(void)
{
    home_lock();
    bool stopped_all = stop_begin(home_await_ms);
    if (stopped_all && !home_is_unsafe() && !any_is_lost()) {
        forking.failed_bytes = 0;
        freeze_all();
        home.held = true;
    }
    if (stopped_all)
        stop_end();
    home_unlock();
    if (cfg.verbose && home.held)
        report("%zu bytes a second are changed anew, and memory suffices: they stay in memory", hold_least);
}

/* Is it time to look, and much that is in memory is changed anew? */
static bool hold_is_due(void)
{
    struct usage now;
    if (op_now() - hold.last.ms < hold_look_ms)
        return false;
    op_usage(&now);
    uint64_t ms = now.ms - hold.last.ms;
    size_t written = (now.written - min_size(now.written, hold.last.written)) * 512;
    size_t read = (now.blocks - min_size(now.blocks, hold.last.blocks)) * 512;
    size_t given = atomic_load(&folder.given);
    written -= min_size(written, given - hold.given); /* that is filled for the first time */
    hold.given = given;
    bool little = written / ms * 1000 < hold_least;
    hold.last = now;
    hold.changed = little || read > written / 16 ? 0 : hold.changed + written; /* what is read was not in memory */
    hold.rest_ms = little ? 0 : hold.rest_ms;
    size_t live = live_bytes();
    return live >= hold_least && hold.changed >= hold_times * live && now.ms >= hold.again_ms;
}

/* Holds what is changed over and over in memory, if there is room. The monitor's. */
static void hold_tick(void)
{
    if (cfg.paging != PAGING_ADAPTIVE || !hold_is_due() || room_bytes() < live_bytes() + 2 * hold_room || !room_is_known())
        return;
    hold_all();
    hold.changed = 0;
    hold.rest_ms = min_size(max_size(2 * hold.rest_ms, hold_rest_ms), hold_rest_most_ms);
    hold.again_ms = hold.last.ms + hold.rest_ms;
}

/* The milliseconds until frozen memory is looked at again: in which the program can't change a quarter of what is left, at
 * 4 GiB a second. */
static uint64_t home_pause(void)
{
    size_t left = room_bytes();
    if (atomic_load(&home.frozen_bytes) <= left / 4)
        return mon_idle_ms;
    return min_size(max_size(left / (16 * mib), home_look_ms), mon_idle_ms);
}

static void *mon_main(void *unused)
{
    (void)unused;
    mon_hold();
    mon_self = true;
    atomic_store(&mon.tid, sys_gettid());
    thread_settle("bigmaac");
    home.floor = anonymous_bytes();
    uint64_t tidied = 0;
    for (;;) {
        uint64_t pause = min_size(min_size(home_pause(), warn_look()), map_tick());
        hold_tick();
        pause = min_size(pause, fresh_tick());
        mon_sleep(min_size(pause, paging_tick()));
        home_tick();
        if (program_has_ended()) {
            mon_end_program();
            return NULL;
        }
        if (now_ms() - tidied < mon_idle_ms)
            continue;
        tidied = now_ms();
        mon_tidy();
        if (mon_ends(false))
            return NULL;
    }
}

/* The files that take what has no other place, before the program opens all that it may. */
static void mon_open_files(void)
{
    struct rlimit limit;
    bool few = sys_getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max <= 4096;
    gate_enter();
    if (few && live_bytes()) {
        lock_take(&fry.lock);
        fry_ready_file();
        lock_drop(&fry.lock);
    }
    if (map_may_come()) {
        lock_take(&map.lock);
        map_ready_file();
        lock_drop(&map.lock);
    }
    gate_leave();
}

/* Opens what the thread will read: it must not take a low descriptor itself. */
static void mon_open(void)
{
    char text[64];
    own_open();
    threads_keep();
    spare_keep(&stop.tasks);
    static const char *const files[] = {"/proc/self/syscall", "/proc/self/stat", "/proc/self/status", "/proc/thread-self/maps"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        read_self(files[i], text, sizeof text, 0);
    atomic_store(&room.read_ms, 0);
    room_bytes();
    anonymous_bytes();
    tables_bytes();
    op_is_mapped(0);
}

/* May there be something to watch? */
static bool watch_may_come(void) { return paging_may_come() || map_is_watched(); }

/* Starts the thread. Requires that every signal is blocked. Called without any lock: pthread_create may
 * allocate, and comes back here, where `running` is already set. */
COLD static void mon_start(void)
{
    mon_open();
    mon_open_files();
    bool single = next.single_threaded && *next.single_threaded;
    if (!thread_make(mon_main)) {
        static atomic_bool told;
        atomic_store(&mon.failed_ms, now_ms());
        atomic_store(&mon.running, false);
        if (cfg.verbose && first_time(&told))
            report("the background thread can't be started; paging stays as the kernel does it");
    }
    if (atomic_load(&mon.running) && watch_may_come())
        watch_start();
    if (single)
        atomic_store(&mon.only_ours, true);
}

/* Called after operations that may have made work for the thread. */
static void mon_consider(void)
{
    if (likely(atomic_load(&mon.running)) || /* mon_ends looks for the work after it says no */
        (mon.failed_ms && now_ms() - mon.failed_ms < mon_retry_ms) || !mon_needed() || mem.pid != sys_getpid())
        return; /* the last: a vfork child's thread would end with it, and stop none of its parent's */
    int err = errno;
    sigmask saved;
    signals_hold(&saved); /* a handler that forks would wait for the lock that it interrupted */
    lock_take(&mon.lock);
    bool start = !atomic_exchange(&mon.running, true);
    lock_drop(&mon.lock);
    if (start)
        mon_start();
    sys_sigmask(SIG_SETMASK, &saved, NULL);
    errno = err;
}

/* The monitor may be needed after a fork; but the fork may be a signal handler's that interrupted
 * malloc, where no thread can be made. So the next call of malloc looks. Or the monitor lacks its files. */
COLD static void mon_start_wanted(void)
{
    int err = errno;
    if (mem.pid != sys_getpid()) /* a vfork child leaves it to its parent */
        return;
    atomic_store(&mon.wanted, false);
    route_set_limit();
    if (atomic_load(&mon.running)) {
        sigmask saved;
        signals_hold(&saved);
        mon_open();
        mon_open_files();
        if (watch_may_come())
            watch_start();
        sys_sigmask(SIG_SETMASK, &saved, NULL);
    }
    errno = err;
    mon_consider();
}

/* ============================================================================================
 * === INIT  on the first call of anything, or in the constructor
 * ========================================================================================= */
enum { INIT_NONE, INIT_RUNNING, INIT_AWAITED, INIT_DONE };

static struct {
    atomic_uint state; /* futex; AWAITED: running, and other threads sleep until it is done */
} init;

static __thread bool init_self __attribute__((tls_model("initial-exec"))); /* this thread runs it: its calls
                                              * get boot memory, or the next malloc's once that is found */

/* libc's own, past what wraps it behind us: a thread is made inside of malloc and free, and uid_wrapper's pthread_create takes
 * a lock that uid_wrapper holds while it calls these, in its handlers of a fork for one. A sanitizer has to know each thread.
 * dlsym allocates where it finds nothing: a malloc in the executable may be what called us, in its first call and with its
 * lock held (PartitionAlloc's registers handlers of a fork). */
COLD static void *libc_own(const char *name)
{
    void *own = NULL;
#ifndef BIGMAAC_PREFIX
    if (!malloc_is_elsewhere() && !dlsym(RTLD_DEFAULT, "__sanitizer_print_stack_trace")) {
        void *object = dlopen("libpthread.so.0", RTLD_LAZY | RTLD_NOLOAD); /* leads to libc.so.6 where that has it */
        own = object ? dlsym(object, name) : NULL;
    }
#endif
    return own ? own : dlsym(RTLD_NEXT, name);
}

/* glibc 2.N; what only a younger one has is not looked up: dlsym would allocate. */
static size_t libc_minor(void)
{
    const char *version = gnu_get_libc_version();
    return text_begins(version, "2.") ? text_number(version + 2, NULL) : SIZE_MAX;
}

COLD static void next_find(void)
{
    next.malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    void (*found)(void *) = (void (*)(void *))dlsym(RTLD_NEXT, "free");
    if (found)
        next.free = found;
    next.calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
    next.realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
    next.memalign = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "memalign");
    next.usable = (size_t(*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size");
    next.fork = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");
    next.fork_only = (pid_t(*)(void))(libc_minor() >= 34 ? dlsym(RTLD_NEXT, "_Fork") : NULL);
    next.clone = (int (*)(int (*)(void *), void *, int, void *, ...))dlsym(RTLD_NEXT, "clone");
    next.syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    next.execve = (int (*)(const char *, char *const[], char *const[]))dlsym(RTLD_NEXT, "execve");
    next.execvpe = (int (*)(const char *, char *const[], char *const[]))dlsym(RTLD_NEXT, "execvpe");
    next.sigwait = (int (*)(const sigset_t *, int *))dlsym(RTLD_NEXT, "sigwait");
    next.sigtimedwait = (int (*)(const sigset_t *, siginfo_t *, const struct timespec *))dlsym(RTLD_NEXT, "sigtimedwait");
    next.register_atfork = (int (*)(void (*)(void), void (*)(void), void (*)(void), void *))dlsym(RTLD_NEXT, "__register_atfork");
    next.streams_lock = (void (*)(void))dlsym(RTLD_NEXT, "_IO_list_lock");
    next.streams_unlock = (void (*)(void))dlsym(RTLD_NEXT, "_IO_list_unlock");
    next.streams_reset = (void (*)(void))dlsym(RTLD_NEXT, "_IO_list_resetlock");
    next.key_create = (int (*)(pthread_key_t *, void (*)(void *)))dlsym(RTLD_NEXT, "pthread_key_create");
    next.single_threaded = libc_minor() >= 32 ? dlsym(RTLD_NEXT, "__libc_single_threaded") : NULL;
    /* Last: it allocates, and jemalloc registers handlers of a fork, through ours, when that is its first time. */
    next.thread_create = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))libc_own("pthread_create");
    void *copy = dlsym(RTLD_NEXT, "memcpy"), *set = dlsym(RTLD_NEXT, "memset");
    if (copy && set) {
        libc.copy = (void *(*)(void *, const void *, size_t))copy;
        libc.set = (void *(*)(void *, int, size_t))set;
    }
    if (!next.malloc || !next.calloc || !next.realloc || !next.memalign || !next.usable || !found)
        fatal("there is no next malloc to pass requests to");
}

/* Before anybody's: called first where others register theirs. */
static void fork_register(void)
{
    if (!forking.handled && next.register_atfork)
        forking.handled = next.register_atfork(fork_prepare, fork_parent, fork_child, NULL) == 0;
}

/* What asks libc, whose functions others may have wrapped: here no lock of ours is held. */
COLD static void init_all(void)
{
    mem.pid = sys_getpid();
    next_find();
    fork_register();
    sys_page();
    config_load();
    if (cfg.profile)
        profile_open();
    if (!forking.handled)
        cfg.off = true; /* without the handlers a fork would share memory */
    if (cfg.min_mmap && !cfg.off && !cfg.profile)
        map_open();
    thread_note_start();
    if ((cfg.stats && !cfg.off) || cfg.profile)
        summary_open();
}

/* True once requests may be routed; false for calls from inside the initialisation itself. */
COLD static bool init_run(void)
{
    unsigned state = INIT_NONE;
    int err = errno;
    if (init_self)
        return false;
    if (atomic_compare_exchange_strong(&init.state, &state, INIT_RUNNING)) {
        init_self = true;
        init_all();
        boot.base = boot.used ? boot.used : 1;
        boot.live = 0;
        if (atomic_exchange(&init.state, INIT_DONE) == INIT_AWAITED)
            futex_wake(&init.state, INT32_MAX);
        init_self = false;
        route_set_limit();
    }
    while ((state = atomic_load(&init.state)) != INIT_DONE)
        if (state == INIT_AWAITED || atomic_compare_exchange_strong(&init.state, &state, INIT_AWAITED))
            futex_wait(&init.state, INIT_AWAITED, NULL);
    errno = err;
    return true;
}

static inline bool init_done(void)
{
    return likely(atomic_load_explicit(&init.state, memory_order_acquire) == INIT_DONE) || init_run();
}

__attribute__((constructor)) static void on_load(void) { init_run(); }

__attribute__((destructor)) static void on_exit_report(void) { summary_tell(false); }

#ifndef BIGMAAC_PREFIX
/* No destructor runs for these two; workers of pools end by them. */
EXPORT void _exit(int status)
{
    summary_tell(false);
    for (;;)
        sys(SYS_exit_group, status);
}

EXPORT void _Exit(int status) { _exit(status); }
#endif

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
    *why = REASON_FORK;
    if (!op_try(&op))
        return NULL;
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

/* Large blocks that the next malloc had to serve, while they are not touched all over: what is not is promised, and
 * still counts as room. Several threads may come here; a signal handler does without. */
static struct lent {
    struct lock lock;
    unsigned used; /* places; the last one is used again where all are */
    struct {
        const char *at;
        size_t bytes;
    } block[512];
} lent;

/* Bytes that are promised, by a few samples of each block. What was freed is not mapped any more, or is other
 * blocks' by now, which makes the answer a guess. */
static size_t lent_promised(void)
{
    enum { SAMPLES = 8 };
    size_t promised = 0;
    if (!lock_try(&lent.lock))
        return 0;
    for (unsigned i = 0; i < lent.used;) {
        size_t absent = 0, part = lent.block[i].bytes / SAMPLES;
        bool mapped = true;
        for (size_t k = 0; mapped && k < SAMPLES; k++) {
            unsigned char in = 0;
            uintptr_t page = round_down((uintptr_t)lent.block[i].at + part * k + part / 2, sys_page());
            mapped = sys_mincore((const void *)page, sys_page(), &in) == 0;
            absent += !(in & 1);
        }
        promised += mapped ? part * absent : 0;
        if (mapped && absent)
            i++;
        else
            lent.block[i] = lent.block[--lent.used];
    }
    lock_drop(&lent.lock);
    return promised;
}

static void lent_note(const void *p, size_t bytes)
{
    const unsigned most = sizeof lent.block / sizeof lent.block[0];
    if (!p || !lock_try(&lent.lock))
        return;
    lent.used += lent.used < most;
    lent.block[lent.used - 1].at = p;
    lent.block[lent.used - 1].bytes = bytes;
    lock_drop(&lent.lock);
}

/* In the child of a fork: who had the lock may not be here. */
static void lent_inherit(void) { lent.lock = (struct lock){0}; }

static const size_t lent_margin = 16 * mib; /* of memory stay free, and a sixteenth of what is asked for */

/* Would the memory hold that much as well, beside what is promised? Told once where it wouldn't. */
COLD static bool lent_allowed(enum reason why, size_t bytes, int err)
{
    static atomic_bool told;
    struct sysinfo machine = {0};
    if (sys(SYS_sysinfo, &machine) == 0 && bytes > machine.totalram * machine.mem_unit)
        return true; /* no memory holds it: the next malloc refuses it, unless the user lets programs have what is not there */
    atomic_store(&room.read_ms, 0); /* what is 200 ms old is too old here */
    size_t left = room_bytes(), taken = lent_promised() + lent_margin + bytes / 16;
    errno = err; /* as it was before: files that are not there are looked for */
    if (!left && sys_access("/proc/meminfo", R_OK) != 0)
        left = machine.freeram * machine.mem_unit; /* nobody tells us more, after chroot(2) for one */
    left -= min_size(left, taken);
    if (bytes > left && first_time(&told))
        report("a request of %zu bytes fails with ENOMEM: swap files in %s can't hold it (%s), and memory has room for "
               "%zu only (told once)", bytes, cfg.template, reason_names[why], left);
    errno = err;
    return bytes <= left;
}

/* Serves what is ours by its size. Where disk or address space can't, the next malloc does, as far as the
 * memory has room for it; else NULL with errno ENOMEM. */
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
    bool large = size > SLAB_MAX && why != REASON_FORK;
    if (large && !lent_allowed(why, size, errno))
        return no_memory();
    p = real_alloc(size, align, zero);
    if (large)
        lent_note(p, size);
    return p;
}

/* For the initialisation itself. dlsym, which others may have wrapped, gets more than boot memory has as
 * soon as it has found the next malloc; aligned memory as soon as all is found. */
COLD static void *alloc_early(size_t size, size_t align, bool zero)
{
    if (!next.malloc || (align > 16 && !next.memalign))
        return boot_alloc(size, align);
    void *p = real_alloc(size, align, false);
    return p && zero ? memset(p, 0, size) : p;
}

/* Every request that did not take a shortcut. `align` is a power of 2, 16 for "any". */
static NOINLINE void *alloc_slow(size_t size, size_t align, bool zero)
{
    if (!init_done())
        return alloc_early(size, align, zero);
    if (unlikely(mon_starting))
        return boot_alloc(size, align);
    if (unlikely(atomic_load_explicit(&mon.wanted, memory_order_relaxed)))
        mon_start_wanted();
    if (size > request_max)
        return no_memory();
    enum kind kind = libc_inside ? KIND_REAL : route_of(size);
    if (kind != KIND_REAL)
        return alloc_own(kind, size, align, zero);
    if (!libc_inside) {
        warn_note(size);
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
        if (is_boot(p))
            boot_free(p);
        else if (!mem_owns(p))
            next.free(p);
        else if (offset < fry.space.start || !fry_free(p, offset))
            corrupt(function, p);
        mon_consider();
        return;
    }
    struct op op;
    if (!op_try(&op)) {
        if (free_late(p))
            return;
        op_begin(&op);
    }
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
    if (unlikely(mem_covers(p)))
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

/* Younger C libraries refuse an alignment that is no power of 2, older ones take it as memalign does: the next one
 * in line shows by a small request which it is. */
EXPORT void *API(aligned_alloc)(size_t align, size_t size)
{
    if (likely(is_power_of_2(align)))
        return alloc_aligned(align, size);
    void *(*ask)(size_t, size_t) = init_done() ? (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "aligned_alloc") : NULL;
    void *p = ask ? ask(align, 1) : NULL;
    if (!p)
        return NULL;
    next.free(p);
    return API(memalign)(align, size);
}

EXPORT int API(posix_memalign)(void **out, size_t align, size_t size)
{
    if (!is_power_of_2(align) || align % sizeof(void *) != 0)
        return EINVAL;
    void *p = alloc_aligned(align, size);
    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}

EXPORT void *API(valloc)(size_t size)
{
    return alloc_aligned(sys_page(), size);
}

EXPORT void *API(pvalloc)(size_t size)
{
    size_t page = sys_page();
    if (size > request_max - page)
        return no_memory();
    return alloc_aligned(page, round_up(size, page));
}

#ifndef BIGMAAC_PREFIX
/* --- C++ ----------------------------------------------------------------------------------------------
 *
 * Other allocators bring operators new and delete of their own, which would pass us by; a program may replace some
 * of them. So ours are malloc and free, and the derived forms call the plain ones by their public names, as
 * libstdc++'s do. What fails is left to the next operator new in line, which knows the new_handler and can throw.
 * Names are those of the Itanium ABI where size_t is unsigned long. */
EXPORT void *cxx_new(size_t) __asm__("_Znwm");
EXPORT void *cxx_new_array(size_t) __asm__("_Znam");
EXPORT void *cxx_new_aligned(size_t, size_t) __asm__("_ZnwmSt11align_val_t");
EXPORT void *cxx_new_array_aligned(size_t, size_t) __asm__("_ZnamSt11align_val_t");
EXPORT void *cxx_new_nothrow(size_t, const void *) __asm__("_ZnwmRKSt9nothrow_t");
EXPORT void *cxx_new_array_nothrow(size_t, const void *) __asm__("_ZnamRKSt9nothrow_t");
EXPORT void *cxx_new_aligned_nothrow(size_t, size_t, const void *) __asm__("_ZnwmSt11align_val_tRKSt9nothrow_t");
EXPORT void *cxx_new_array_aligned_nothrow(size_t, size_t, const void *) __asm__("_ZnamSt11align_val_tRKSt9nothrow_t");
EXPORT void cxx_delete(void *) __asm__("_ZdlPv");
EXPORT void cxx_delete_array(void *) __asm__("_ZdaPv");
EXPORT void cxx_delete_sized(void *, size_t) __asm__("_ZdlPvm");
EXPORT void cxx_delete_array_sized(void *, size_t) __asm__("_ZdaPvm");
EXPORT void cxx_delete_aligned(void *, size_t) __asm__("_ZdlPvSt11align_val_t");
EXPORT void cxx_delete_array_aligned(void *, size_t) __asm__("_ZdaPvSt11align_val_t");
EXPORT void cxx_delete_sized_aligned(void *, size_t, size_t) __asm__("_ZdlPvmSt11align_val_t");
EXPORT void cxx_delete_array_sized_aligned(void *, size_t, size_t) __asm__("_ZdaPvmSt11align_val_t");
EXPORT void cxx_delete_nothrow(void *, const void *) __asm__("_ZdlPvRKSt9nothrow_t");
EXPORT void cxx_delete_array_nothrow(void *, const void *) __asm__("_ZdaPvRKSt9nothrow_t");
EXPORT void cxx_delete_aligned_nothrow(void *, size_t, const void *) __asm__("_ZdlPvSt11align_val_tRKSt9nothrow_t");
EXPORT void cxx_delete_array_aligned_nothrow(void *, size_t, const void *) __asm__("_ZdaPvSt11align_val_tRKSt9nothrow_t");

/* The next operator in line of that name: behind us, or, where the C++ library was loaded for one plug-in alone, in
 * the scope of the object that calls. */
COLD static void *cxx_next(const char *name, const void *caller)
{
    Dl_info info;
    void *found = dlsym(RTLD_NEXT, name);
    if (found || !dladdr(caller, &info) || !info.dli_fname)
        return found;
    void *object = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    found = object ? dlsym(object, name) : NULL;
    if (object)
        dlclose(object); /* it stays: its code is running */
    return found;
}

COLD static void *cxx_new_fails(size_t size, const void *caller)
{
    void *(*make)(size_t) = (void *(*)(size_t))cxx_next("_Znwm", caller);
    if (!make)
        fatal("operator new: no memory for %zu bytes, and no C++ library to say so", size);
    return make(size);
}

COLD static void *cxx_new_aligned_fails(size_t size, size_t align, const void *caller)
{
    void *(*make)(size_t, size_t) = (void *(*)(size_t, size_t))cxx_next("_ZnwmSt11align_val_t", caller);
    if (!make)
        fatal("operator new: no memory for %zu bytes, and no C++ library to say so", size);
    return make(size, align);
}


static void *cxx_aligned(size_t size, size_t align)
{
    align = max_size(align, sizeof(void *));
    size_t bytes = round_up(size + !size, align);
    return is_power_of_2(align) && bytes >= size ? aligned_alloc(align, bytes) : NULL;
}

void *cxx_new(size_t size)
{
    void *p = malloc(size + !size);
    return likely(p) ? p : cxx_new_fails(size, __builtin_return_address(0));
}

void *cxx_new_aligned(size_t size, size_t align)
{
    void *p = cxx_aligned(size, align);
    return likely(p) ? p : cxx_new_aligned_fails(size, align, __builtin_return_address(0));
}

/* The forms that return NULL have to catch what a plain one that the program has replaced throws, which C can't:
 * then the next one in line does, and so where there is no memory. */
static bool cxx_is_ours(void *plain)
{
    Dl_info info, library;
    __asm__("" : "+r"(plain)); /* as the loader has bound it */
    return dladdr(plain, &info) && dladdr(&route, &library) && info.dli_fbase == library.dli_fbase;
}

static void *cxx_nothrow(size_t size, const char *name, const void *tag, const void *caller)
{
    static atomic_int ours; /* 1: the plain form is, 2: it isn't, 0: not known yet */
    if (unlikely(!atomic_load_explicit(&ours, memory_order_relaxed)))
        atomic_store(&ours, cxx_is_ours((void *)cxx_new) ? 1 : 2);
    void *p = atomic_load_explicit(&ours, memory_order_relaxed) == 1 ? malloc(size + !size) : NULL;
    if (likely(p))
        return p;
    void *(*make)(size_t, const void *) = (void *(*)(size_t, const void *))cxx_next(name, caller);
    return make ? make(size, tag) : NULL;
}

static void *cxx_aligned_nothrow(size_t size, size_t align, const char *name, const void *tag, const void *caller)
{
    static atomic_int ours; /* as above */
    if (unlikely(!atomic_load_explicit(&ours, memory_order_relaxed)))
        atomic_store(&ours, cxx_is_ours((void *)cxx_new_aligned) ? 1 : 2);
    void *p = atomic_load_explicit(&ours, memory_order_relaxed) == 1 ? cxx_aligned(size, align) : NULL;
    if (likely(p))
        return p;
    void *(*make)(size_t, size_t, const void *) = (void *(*)(size_t, size_t, const void *))cxx_next(name, caller);
    return make ? make(size, align, tag) : NULL;
}

void *cxx_new_nothrow(size_t size, const void *tag)
{
    return cxx_nothrow(size, "_ZnwmRKSt9nothrow_t", tag, __builtin_return_address(0));
}

void *cxx_new_array_nothrow(size_t size, const void *tag)
{
    return cxx_nothrow(size, "_ZnamRKSt9nothrow_t", tag, __builtin_return_address(0));
}

void *cxx_new_aligned_nothrow(size_t size, size_t align, const void *tag)
{
    return cxx_aligned_nothrow(size, align, "_ZnwmSt11align_val_tRKSt9nothrow_t", tag, __builtin_return_address(0));
}

void *cxx_new_array_aligned_nothrow(size_t size, size_t align, const void *tag)
{
    return cxx_aligned_nothrow(size, align, "_ZnamSt11align_val_tRKSt9nothrow_t", tag, __builtin_return_address(0));
}

void *cxx_new_array(size_t size) { return cxx_new(size); }
void *cxx_new_array_aligned(size_t size, size_t align) { return cxx_new_aligned(size, align); }
void cxx_delete(void *p) { free(p); }
void cxx_delete_array(void *p) { cxx_delete(p); }
void cxx_delete_sized(void *p, size_t size) { (void)size, cxx_delete(p); }
void cxx_delete_array_sized(void *p, size_t size) { (void)size, cxx_delete_array(p); }
void cxx_delete_aligned(void *p, size_t align) { (void)align, free(p); }
void cxx_delete_array_aligned(void *p, size_t align) { cxx_delete_aligned(p, align); }
void cxx_delete_sized_aligned(void *p, size_t size, size_t align) { (void)size, cxx_delete_aligned(p, align); }
void cxx_delete_array_sized_aligned(void *p, size_t size, size_t align) { (void)size, cxx_delete_array_aligned(p, align); }
void cxx_delete_nothrow(void *p, const void *tag) { (void)tag, cxx_delete(p); }
void cxx_delete_array_nothrow(void *p, const void *tag) { (void)tag, cxx_delete_array(p); }
void cxx_delete_aligned_nothrow(void *p, size_t align, const void *tag) { (void)tag, cxx_delete_aligned(p, align); }
void cxx_delete_array_aligned_nothrow(void *p, size_t align, const void *tag) { (void)tag, cxx_delete_array_aligned(p, align); }
#endif

/* --- sizes --------------------------------------------------------------------------------------- */

/* Bytes of the live bigmaac that starts there; 0: none does. Takes no lock, as run_bytes. */
GUESSES static size_t big_usable(size_t offset)
{
    uint32_t i = extent_lookup(&big.space, offset);
    const struct extent *e = extent_at(&big.space, i);
    return i && (e->state == EXTENT_LIVE || e->state == EXTENT_BUSY) ? big_bytes(big_at(e->aux)) : 0;
}

/* Usable bytes of a block of ours; ends the program if p starts none. */
static size_t usable_own(void *p, const char *function)
{
    size_t offset = mem_offset(p), usable = 0;
    if (is_boot(p))
        return boot_size(p);
    if (offset < mem.fry_end) {
        usable = offset >= fry.space.start ? fry_usable(p, offset) : 0;
    } else {
        usable = big_usable(offset);
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
        libc.copy(to, p, min_size(old, size));
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
    if (!op_try(&op))
        return realloc_copy(p, usable_own(p, "realloc"), size);
    struct big *r = big_claim(p);
    size_t old = r ? big_bytes(r) : 0; /* malloc_usable_size: all of it is the program's */
    stays = stays && !(r && r->backing == BACKED_NONE); /* what has opted out can't grow: it is copied */
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
    return why ? realloc_copy(p, old, size) : p; /* the fries or the next malloc may have what is missing */
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
    if (!init_done())
        return next.realloc ? next.realloc(p, size) : no_memory();
    if (size > request_max)
        return no_memory();
    if (route_of(size) == KIND_REAL) {
        if (cfg.stats)
            count_one(&count.passed);
        warn_note(size);
        mon_consider();
        return profile_realloc(p, size);
    }
    return realloc_copy(p, next.usable(p), size);
}

EXPORT void *API(realloc)(void *p, size_t size)
{
    if (likely(size < load_published(&route.limit) && !mem_covers(p)))
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

static bool zero_see(const struct vma *v, void *block)
{
    void *at = (void *)v->from;
    size_t bytes = v->to - v->from;
    if (!vma_is_ours(block, v)) {
        bool done = sys_madvise(at, bytes, MADV_DONTNEED) == 0;
        if (!done && !v->inode && v->protection & PROT_WRITE) /* it is locked */
            memset(at, 0, bytes);
        return true;
    }
    if (!(v->protection & PROT_WRITE) && sys_mprotect(at, bytes, PROT_READ | PROT_WRITE) != 0)
        return true;
    memset(at, 0, bytes);
    if (!(v->protection & PROT_WRITE))
        sys_mprotect(at, bytes, v->protection);
    return true;
}

/* Writes zeroes, also where the program has taken its right to write away, and what that does for mappings that are not
 * ours. Of that block, NULL: of fries. */
static void own_zero(struct big *r, char *at, size_t bytes)
{
    if (!atomic_load(&vma_set) || !vmas_walk((uintptr_t)at, (uintptr_t)at + bytes, zero_see, r))
        memset(at, 0, bytes);
}

/* MADV_DONTNEED on private anonymous memory leaves zeroes; so it must here. */
static void big_zero_range(struct big *r, size_t from, size_t bytes)
{
    char *at = mem_at(big_offset(r) + from);
    if (big_is_frozen(r) || r->mixed || r->lost || (r->backing == BACKED_NONE ? sys_madvise(at, bytes, MADV_DONTNEED) != 0
                                                                   : !file_valid(&r->file) || !file_zero(&r->file, from, bytes)))
        own_zero(r, at, bytes);
}

/* The part of [offset, offset + bytes) that lies in one live block of ours, zeroed.
 * Returns how far it got. */
static size_t zero_own(size_t offset, size_t bytes)
{
    struct op op;
    size_t done = 0;
    struct space *s = offset < mem.fry_end ? &fry.space : &big.space;
    struct lock *lock = s == &fry.space ? &fry.lock : &big.lock;
    op_begin(&op);
    lock_take(lock);
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
    lock_drop(lock);
    if (r && offset - start < r->mapped)
        big_zero_range(r, offset - start, min_size(done, r->mapped - (offset - start)));
    else if (e && s == &fry.space && e->state == EXTENT_LIVE)
        own_zero(NULL, mem_at(offset), done);
    if (r)
        big_unclaim(r);
    op_end(&op);
    return done ? done : bytes;
}

static bool dofork_see(const struct vma *v, void *unused)
{
    (void)unused;
    if (!v->shared)
        sys_madvise((void *)v->from, v->to - v->from, MADV_DOFORK);
    return true;
}

/* Not for what is shared outside of a fork. */
static int madvise_dofork(void *p, size_t bytes)
{
    struct op op;
    op_begin(&op);
    vmas_walk((uintptr_t)p, (uintptr_t)p + bytes, dofork_see, NULL);
    op_end(&op);
    return 0;
}

/* Advice for memory of ours: DONTNEED zeroes, FREE may do nothing, and what concerns paging is
 * the library's to decide. Everything else goes to the kernel. */
static int madvise_own(void *p, size_t length, int advice)
{
    size_t bytes = round_up(length, sys_page()), offset = mem_offset(p);
    if (offset & (sys_page() - 1) || bytes < length) {
        errno = EINVAL;
        return -1;
    }
    switch (advice) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
        bytes = min_size(bytes, mem.size - offset);
        for (size_t done = 0; done < bytes;)
            done += zero_own(offset + done, bytes - done);
        return 0;
    case MADV_DONTFORK:
        atomic_store(&vma_holes, true);
        /* fall through */
    case MADV_WIPEONFORK:
    case MADV_GUARD_INSTALL:
        atomic_store(&vma_set, true);
        return advise_anonymous(offset, bytes, advice) ? 0 : -1;
    case MADV_DONTDUMP:
        atomic_store(&vma_details, true);
        return sys_madvise(p, length, advice);
    case MADV_DOFORK: /* that is what a fork does; the kernel must not (FORK) */
        return madvise_dofork(p, bytes);
    case MADV_FREE:
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
        return 0;
    default:
        return (int)sys(SYS_madvise, p, length, advice);
    }
}

#ifndef BIGMAAC_PREFIX
/* A call about mappings failed. What of our own counts there is given up, if that may be why; true: then try again. */
COLD static bool mappings_yield(size_t bytes)
{
    int err = errno;
    bool any = err == ENOMEM && atomic_load(&init.state) == INIT_DONE && (mem_yield(limit_of(RLIMIT_AS), bytes) || map_yield());
    errno = err;
    return any;
}

static int madvise_once(void *p, size_t length, int advice)
{
    if (mem_owns(p))
        return madvise_own(p, length, advice);
    return likely(!map_on()) ? sys_madvise(p, length, advice) : map_madvise(p, length, advice);
}

EXPORT int madvise(void *p, size_t length, int advice)
{
    int result = madvise_once(p, length, advice);
    return unlikely(result != 0) && mappings_yield(0) ? madvise_once(p, length, advice) : result;
}

/* What changes mappings of ours must not come in between a fork's look at them and their freezing. */
static long set_own(long number, void *p, size_t length, long how, long key)
{
    struct op op;
    op_begin(&op);
    atomic_store(&vma_set, true);
    long result = sys(number, p, length, how, key);
    op.err = result < 0 ? errno : op.err;
    op_end(&op);
    return result;
}

/* Requires the gate. The program maps something of its own there, or unmaps it. From now on such a block is looked at mapping
 * by mapping, and is nobody's after its owner. */
COLD static void overlay_note(void *at, size_t bytes)
{
    if (!mem_owns(at))
        return;
    size_t from = mem_offset(at), to = from + min_size(bytes, mem.size - from);
    atomic_store(&vma_set, true);
    lock_take(&fry.lock);
    if (from < mem.fry_end)
        fries_mix(from, to);
    lock_drop(&fry.lock);
    lock_take(&big.lock);
    for (uint32_t i = 1; i <= big.record_count; i++) {
        struct big *r = big_at(i);
        bool others = !r->in_use || big_extent(r)->state == EXTENT_WARM;
        if (!others && big_offset(r) < to && from < big_offset(r) + r->mapped)
            r->mixed = true;
    }
    lock_drop(&big.lock);
}

/* mmap, munmap, mremap of what is ours. The call comes before or after a fork's look at the mappings, not in between. */
COLD static long overlay_own(long number, void *at, size_t bytes, long third, long fourth, long fifth, long sixth)
{
    struct op op;
    op_begin(&op);
    overlay_note(at, bytes);
    if (number == SYS_mremap && fourth & MREMAP_FIXED)
        overlay_note((void *)fifth, (size_t)third);
    long result = sys(number, at, bytes, third, fourth, fifth, sixth);
    op.err = result < 0 ? errno : op.err;
    op_end(&op);
    return result;
}

static int mprotect_once(void *p, size_t length, int protection)
{
    if (mem_owns(p))
        return (int)set_own(SYS_mprotect, p, length, protection, 0);
    return likely(!map_on()) ? sys_mprotect(p, length, protection) : map_mprotect(p, length, protection);
}

EXPORT int mprotect(void *p, size_t length, int protection)
{
    int result = mprotect_once(p, length, protection);
    return unlikely(result != 0) && mappings_yield(0) ? mprotect_once(p, length, protection) : result;
}

/* Allocators of the program's own get their memory here; they may hold locks of theirs, so the next malloc makes the
 * thread that watches what is left (WARN). */
COLD static void memory_seen(size_t bytes, size_t whole, bool executable, bool private)
{
    warn_note(bytes);
    if (private && executable)
        atomic_fetch_add_explicit(&map.executable, bytes, memory_order_relaxed);
    else if (private)
        warn_mapped(bytes, whole);
    if (executable && map_on())
        map_consider();
    if (atomic_load(&warn.near) && !atomic_load(&mon.running) && !atomic_load(&mon.wanted))
        mon_request();
}

EXPORT void *sbrk(intptr_t by)
{
    size_t stretch;
    if (atomic_load(&init.state) != INIT_DONE || !by)
        return brk_move(by, &stretch);
    bool executable = by > 0 && brk_is_executable();
    void *p = map_on() ? map_sbrk(by, &stretch, executable) : brk_move(by, &stretch);
    if (p == (void *)-1)
        return p;
    if (by > 0)
        memory_seen((size_t)by, stretch, executable, true);
    if (map_on())
        map_consider();
    return p;
}

static __typeof__(sbrk) sbrk_here __attribute__((alias("sbrk"), nothrow));
EXPORT void *__sbrk(intptr_t) __attribute__((alias("sbrk"), nothrow, leaf));
EXPORT int brk(void *end) { return sbrk_here((char *)end - (char *)sbrk_here(0)) == (void *)-1 ? -1 : 0; }

static void *mmap_once(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    return flags & MAP_FIXED && mem_owns(at) ? (void *)overlay_own(SYS_mmap, at, length, protection, flags, fd, offset)
           : likely(!map_on())               ? sys_mmap(at, length, protection, flags, fd, offset)
                                             : map_mmap(at, length, protection, flags, fd, offset);
}

EXPORT void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    void *p = mmap_once(at, length, protection, flags, fd, offset);
    if (unlikely(p == MAP_FAILED) && mappings_yield(length))
        p = mmap_once(at, length, protection, flags, fd, offset);
    bool counts = protection & PROT_WRITE || cfg.profile; /* reservations become writable later */
    if (flags & MAP_ANONYMOUS && counts && p != MAP_FAILED && atomic_load(&init.state) == INIT_DONE)
        memory_seen(length, length, protection & PROT_EXEC, flags & MAP_PRIVATE);
    return p;
}

EXPORT void *mmap64(void *, size_t, int, int, int, off_t) __attribute__((alias("mmap")));

EXPORT int mlock(const void *p, size_t length)
{
    if (mem_owns(p))
        return (int)set_own(SYS_mlock, (void *)(uintptr_t)p, length, 0, 0);
    return likely(!map_on()) ? sys_mlock(p, length) : (int)map_leave(SYS_mlock, p, length, 0, 0);
}

EXPORT int mlock2(const void *p, size_t length, unsigned flags)
{
    if (flags & MLOCK_ONFAULT)
        atomic_store(&mem_locks_touched, true);
    if (mem_owns(p))
        return (int)set_own(SYS_mlock2, (void *)(uintptr_t)p, length, flags, 0);
    return (int)(likely(!map_on()) ? sys(SYS_mlock2, p, length, flags) : map_leave(SYS_mlock2, p, length, flags, 0));
}

/* --- mappings ------------------------------------------------------------------------------------ */

static int munmap_once(void *at, size_t bytes)
{
    if (mem_owns(at))
        return (int)overlay_own(SYS_munmap, at, bytes, 0, 0, 0, 0);
    return likely(!map_on()) ? sys_munmap(at, bytes) : map_munmap(at, bytes);
}

EXPORT int munmap(void *at, size_t bytes)
{
    int result = munmap_once(at, bytes);
    return unlikely(result != 0) && mappings_yield(0) ? munmap_once(at, bytes) : result;
}

static void *mremap_once(void *from, size_t old, size_t bytes, int flags, void *to)
{
    bool fixed = flags & MREMAP_FIXED, moves = map_on() && (map_touches(from, old) || (fixed && map_touches(to, bytes)));
    if (mem_owns(from) && flags & MREMAP_MAYMOVE && (fixed || bytes > old || flags & MREMAP_DONTUNMAP))
        part_to_anonymous(from, old, false);
    if (!moves && (mem_owns(from) || (fixed && mem_owns(to))))
        return (void *)overlay_own(SYS_mremap, from, old, (long)bytes, flags, (long)to, 0);
    return likely(!map_on()) ? sys_mremap(from, old, bytes, flags, to) : map_mremap(from, old, bytes, flags, to);
}

EXPORT void *mremap(void *from, size_t old, size_t bytes, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    void *to = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) ? va_arg(args, void *) : NULL;
    va_end(args);
    void *p = mremap_once(from, old, bytes, flags, to);
    bool again = unlikely(p == MAP_FAILED) && mappings_yield(bytes > old ? bytes - old : 0);
    return again ? mremap_once(from, old, bytes, flags, to) : p;
}

/* Ours, whoever else has functions of these names. */
static __typeof__(mmap) mmap_here __attribute__((alias("mmap"), nothrow));
static __typeof__(munmap) munmap_here __attribute__((alias("munmap"), nothrow));
static __typeof__(mremap) mremap_here __attribute__((alias("mremap"), nothrow));
static __typeof__(mprotect) mprotect_here __attribute__((alias("mprotect"), nothrow));
static __typeof__(pkey_mprotect) pkey_mprotect_here __attribute__((alias("pkey_mprotect"), nothrow));
static __typeof__(madvise) madvise_here __attribute__((alias("madvise"), nothrow));
static __typeof__(mlock) mlock_here __attribute__((alias("mlock"), nothrow));
static __typeof__(mlock2) mlock2_here __attribute__((alias("mlock2"), nothrow));
static __typeof__(mlockall) mlockall_here __attribute__((alias("mlockall"), nothrow));

EXPORT int pkey_mprotect(void *at, size_t bytes, int protection, int key)
{
    if (key == -1) /* as libc's */
        return mprotect_here(at, bytes, protection);
    if (mem_owns(at)) {
        atomic_store(&mem_has_keys, true);
        part_to_anonymous(at, bytes, true);
        return (int)set_own(SYS_pkey_mprotect, at, bytes, protection, key);
    }
    return (int)(likely(!map_on()) ? sys(SYS_pkey_mprotect, at, bytes, protection, key)
                                   : map_leave(SYS_pkey_mprotect, at, bytes, protection, key));
}

/* Who is no administrator may lock what there is only if all that is mapped, or reserved, is within a limit. */
EXPORT int mlockall(int flags)
{
    int result = map_mlockall(flags), err = errno;
    bool again = unlikely(result != 0) && err == ENOMEM && mem_yield(limit_of(RLIMIT_MEMLOCK), 0);
    errno = err;
    return again ? map_mlockall(flags) : result;
}

/* With several threads glibc's fork waits for the locks of its malloc, for ever if it is called
 * from a signal handler that interrupted that malloc; with one it doesn't. So a program whose only
 * other thread is ours forks as one with a single thread, our thread being kept asleep. */
EXPORT pid_t fork(void)
{
    if (!init_done() || !next.fork)
        return (pid_t)fork_bare(SYS_clone, (const long[6]){SIGCHLD});
    if (!fork_possible())
        return -1;
    if (!atomic_load(&mon.only_ours))
        return next.fork();
    sigmask saved;
    signals_hold(&saved);
    mon_hold();
    bool alone = thread_count() == 1;
    if (alone)
        *next.single_threaded = forking.alone = 1;
    pid_t pid = next.fork();
    int err = errno;
    if (pid != 0 && alone)
        *next.single_threaded = forking.alone = 0;
    if (pid != 0) /* the child has a lock of its own, which a new monitor may have already */
        mon_release();
    sys_sigmask(SIG_SETMASK, &saved, NULL);
    errno = err;
    return pid;
}

/* glibc's fork runs our handlers; its _Fork, for async-signal-safe use, runs none. */
EXPORT pid_t _Fork(void)
{
    if (!init_done() || !next.fork_only)
        return (pid_t)fork_bare(SYS_clone, (const long[6]){SIGCHLD});
    fork_lock(false);
    pid_t pid = forking.failed_bytes ? -1 : next.fork_only();
    int err = forking.failed_bytes ? ENOMEM : errno;
    if (pid == 0)
        fork_child();
    else
        fork_parent();
    if (pid < 0)
        errno = err;
    return pid;
}

/* clone(2)'s child begins with a function, on a stack of its own. */
struct clone_start {
    int (*function)(void *);
    void *argument;
};

static int clone_child(void *start)
{
    struct clone_start s = *(struct clone_start *)start;
    fork_child();
    return s.function(s.argument);
}

int clone_any(int (*function)(void *), void *stack, int flags, void *argument, ...) __asm__("clone");

EXPORT int clone_any(int (*function)(void *), void *stack, int flags, void *argument, ...)
{
    va_list list;
    va_start(list, argument);
    pid_t *parent = va_arg(list, pid_t *);
    void *tls = va_arg(list, void *);
    pid_t *child = va_arg(list, pid_t *);
    va_end(list);
    if (!init_done() || !next.clone) {
        errno = ENOMEM;
        return -1;
    }
    if ((flags & (CLONE_VM | CLONE_VFORK | CLONE_THREAD)) == CLONE_VM)
        atomic_store(&mem.shared, true);
    if (flags & CLONE_VM || !function || !stack)
        return next.clone(function, stack, flags, argument, parent, tls, child);
    struct clone_start start = {function, argument};
    if (flags & CLONE_FILES)
        files_forget();
    fork_lock(false);
    forking.bare = forking.crowded = true; /* nor is its stack large enough to make threads, perhaps */
    forking.shares = flags & CLONE_FILES;
    pid_t pid = forking.failed_bytes ? -1 : next.clone(clone_child, stack, flags, &start, parent, tls, child);
    int err = forking.failed_bytes ? ENOMEM : errno;
    fork_parent();
    if (pid < 0)
        errno = err;
    return pid;
}

/* Does that system call make a child with memory of its own, which goes on on the same stack? On another one it could
 * not return through us. */
static bool makes_child(long number, const long argument[6])
{
#ifdef SYS_fork
    if (number == SYS_fork)
        return true;
#endif
    if (number == SYS_clone)
        return !(argument[0] & CLONE_VM) && !argument[1];
    const uint64_t *args = (const uint64_t *)argument[0]; /* struct clone_args: flags, ..., the sixth is the stack */
    unsigned char resident;
    return number == SYS_clone3 && argument[1] >= 64 &&
           sys_mincore((void *)round_down((size_t)args, sys_page()), 1, &resident) == 0 && !(args[0] & CLONE_VM) && !args[5];
}

/* --- exec: see exec_begin. libc's functions call one another where we don't see it. */

EXPORT int execve(const char *path, char *const list[], char *const env[])
{
    bool begun = init_done() && exec_begin();
    int result = next.execve ? next.execve(path, list, env) : (int)sys(SYS_execve, path, list, env);
    exec_end(begun);
    return result;
}

EXPORT int execv(const char *path, char *const list[]) { return execve(path, list, environ); }

EXPORT int execvpe(const char *file, char *const list[], char *const env[])
{
    bool begun = init_done() && exec_begin();
    int result = next.execvpe ? next.execvpe(file, list, env) : (int)sys(SYS_execve, file, list, env);
    exec_end(begun);
    return result;
}

EXPORT int execvp(const char *file, char *const list[]) { return execvpe(file, list, environ); }

EXPORT int execveat(int fd, const char *path, char *const list[], char *const env[], int flags);
EXPORT int execveat(int fd, const char *path, char *const list[], char *const env[], int flags)
{
    bool begun = init_done() && exec_begin();
    int result = (int)sys(SYS_execveat, fd, path, list, env, flags);
    exec_end(begun);
    return result;
}

EXPORT int fexecve(int fd, char *const list[], char *const env[])
{
    char *const *volatile lists[] = {list, env}; /* libc's refuses none; but its header says that there is none of these */
    if (fd < 0 || !lists[0] || !lists[1]) {
        errno = EINVAL;
        return -1;
    }
    return execveat(fd, "", list, env, AT_EMPTY_PATH);
}

static size_t exec_count(const char *first, va_list rest)
{
    size_t n = 0;
    for (const char *argument = first; argument; argument = va_arg(rest, const char *))
        n++;
    return n;
}

/* The list of a variadic exec's arguments, with the NULL at its end; `rest` is behind that then. */
#define EXEC_LIST(list, rest, first)                           \
    va_start(rest, first);                                     \
    size_t list_size = exec_count(first, rest);                \
    va_end(rest);                                              \
    char *list[list_size + 1];                                 \
    list[0] = (char *)(uintptr_t)(first);                      \
    va_start(rest, first);                                     \
    for (size_t list_at = 1; list_at <= list_size; list_at++)  \
        list[list_at] = va_arg(rest, char *)

EXPORT int execl(const char *path, const char *first, ...)
{
    va_list rest;
    EXEC_LIST(list, rest, first);
    va_end(rest);
    return execv(path, list);
}

EXPORT int execlp(const char *file, const char *first, ...)
{
    va_list rest;
    EXEC_LIST(list, rest, first);
    va_end(rest);
    return execvp(file, list);
}

EXPORT int execle(const char *path, const char *first, ...)
{
    va_list rest;
    EXEC_LIST(list, rest, first);
    char *const *env = va_arg(rest, char *const *);
    va_end(rest);
    return execve(path, list, env);
}

/* --- waits for signals: what a thread waits for comes to no handler. A set that is filled by hand, not by sigfillset, has ours. */

/* The same set without ours, of which the kernel reads no more. What is not there it refuses. */
static const void *set_without_stop(const void *set, void *own)
{
    unsigned char resident[2];
    uintptr_t at = (uintptr_t)set, page = round_down(at, sys_page());
    sigmask signals;
    if (sys_mincore((void *)page, at + sizeof signals - page, resident) != 0)
        return set;
    memcpy(&signals, set, sizeof signals);
    if (!(signals & sigmask_of(STOP_SIGNAL)))
        return set;
    signals &= ~sigmask_of(STOP_SIGNAL);
    memcpy(own, &signals, sizeof signals);
    return own;
}

EXPORT int sigwait(const sigset_t *set, int *sig)
{
    sigset_t own = {{0}};
    return init_done() && next.sigwait ? next.sigwait(set_without_stop(set, &own), sig) : EINVAL;
}

EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *most)
{
    sigset_t own = {{0}};
    if (init_done() && next.sigtimedwait)
        return next.sigtimedwait(set_without_stop(set, &own), info, most);
    errno = EINVAL;
    return -1;
}

EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *info) { return sigtimedwait(set, info, NULL); }

int signalfd(int fd, const sigset_t *set, int flags);
EXPORT int signalfd(int fd, const sigset_t *set, int flags)
{
    sigset_t own = {{0}};
    return (int)sys(SYS_signalfd4, fd, set_without_stop(set, &own), sizeof(sigmask), flags);
}

/* Is that descriptor, or number, one of the caller's own process? */
static bool pidfd_is_self(int fd)
{
    char path[64], text[512];
    if (fd == -10000 || fd == -20000) /* PIDFD_SELF_THREAD, PIDFD_SELF_THREAD_GROUP: since Linux 6.14 */
        return true;
    text_format(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    return read_text(path, text, sizeof text) && text_value(text, "Pid:", 0) == (size_t)sys_getpid();
}

/* Would the kernel do that, and does it concern memory of ours? It reads the list first, and tells of one that it can't read
 * before it looks at the advice: -1 is none. */
static bool process_madvise_is_ours(int fd, const struct iovec *parts, size_t n, int advice, unsigned flags)
{
    const size_t most = 1024; /* UIO_MAXIOV */
    bool pages = advice == MADV_COLD || advice == MADV_PAGEOUT || advice == MADV_WILLNEED;
    return !pages && n <= most && (atomic_load(&map.bytes) || atomic_load(&fry.open)) &&
           sys(CALL_PROCESS_MADVISE, fd, NULL, 0, advice, flags) == 0 &&
           (sys(CALL_PROCESS_MADVISE, fd, parts, n, -1, flags) == 0 || errno != EFAULT) && pidfd_is_self(fd);
}

/* As process_madvise(2). What the caller advises its own memory is done as by madvise, where the kernel allows it at all. */
static long process_madvise_here(int fd, const struct iovec *parts, size_t n, int advice, unsigned flags)
{
    long done = 0;
    if (!process_madvise_is_ours(fd, parts, n, advice, flags))
        return sys(CALL_PROCESS_MADVISE, fd, parts, n, advice, flags);
    for (size_t i = 0; i < n; i++) {
        if (madvise_here(parts[i].iov_base, parts[i].iov_len, advice) != 0)
            return done ? done : -1;
        done += (long)parts[i].iov_len;
    }
    return done;
}

EXPORT ssize_t process_madvise(int fd, const struct iovec *parts, size_t n, int advice, unsigned flags);
EXPORT ssize_t process_madvise(int fd, const struct iovec *parts, size_t n, int advice, unsigned flags)
{
    return process_madvise_here(fd, parts, n, advice, flags);
}

EXPORT int sigaltstack(const stack_t *to, stack_t *old) { return altstack_set(to, old); }

EXPORT int prctl(int what, ...)
{
    long a[4];
    va_list list;
    va_start(list, what);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    return process_set(what, a);
}

EXPORT int mseal(void *at, size_t bytes, unsigned long flags);
EXPORT int mseal(void *at, size_t bytes, unsigned long flags)
{
    return (int)map_leave(CALL_MSEAL, at, bytes, (long)flags, 0);
}

/* Is it a call about mappings? Then done as by libc's function. */
static bool syscall_maps(long number, const long a[6], long *result)
{
    void *at = (void *)a[0];
    size_t bytes = (size_t)a[1];
    switch (number) {
    case SYS_mmap: *result = (long)mmap_here(at, bytes, (int)a[2], (int)a[3], (int)a[4], a[5]); return true;
    case SYS_munmap: *result = munmap_here(at, bytes); return true;
    case SYS_mremap: *result = (long)mremap_here(at, bytes, (size_t)a[2], (int)a[3], (void *)a[4]); return true;
    case SYS_mprotect: *result = mprotect_here(at, bytes, (int)a[2]); return true;
    case SYS_pkey_mprotect: *result = pkey_mprotect_here(at, bytes, (int)a[2], (int)a[3]); return true;
    case SYS_madvise: *result = madvise_here(at, bytes, (int)a[2]); return true;
    case SYS_mlock: *result = mlock_here(at, bytes); return true;
    case SYS_mlock2: *result = mlock2_here(at, bytes, (unsigned)a[2]); return true;
    case SYS_mlockall: *result = mlockall_here((int)a[0]); return true;
    case CALL_MSEAL: *result = map_leave(CALL_MSEAL, at, bytes, a[2], 0); return true;
    case CALL_PROCESS_MADVISE:
        *result = process_madvise_here((int)a[0], (const struct iovec *)a[1], (size_t)a[2], (int)a[3], (unsigned)a[4]);
        return true;
    case SYS_userfaultfd:
        *result = sys(number, a[0]);
        if (*result >= 0)
            map_faults_are_handled();
        return true;
    default: return false;
    }
}

/* As prlimit64: where the program limits its own address space, what we have reserved gives way. */
static int limit_set(pid_t pid, int resource, const struct rlimit *to, struct rlimit *old)
{
    int result = (int)sys(SYS_prlimit64, pid, resource, to, old);
    if (result == 0 && resource == RLIMIT_AS && to && (pid == 0 || pid == sys_getpid())) /* `old` may be the same */
        mem_shrink();
    return result;
}

EXPORT int prlimit(pid_t pid, enum __rlimit_resource resource, const struct rlimit *to, struct rlimit *old)
{
    return limit_set(pid, (int)resource, to, old);
}

EXPORT int setrlimit(__rlimit_resource_t resource, const struct rlimit *to)
{
    return limit_set(0, (int)resource, to, NULL);
}

EXPORT int prlimit64(pid_t, enum __rlimit_resource, const struct rlimit64 *, struct rlimit64 *) __attribute__((alias("prlimit")));
EXPORT int setrlimit64(__rlimit_resource_t, const struct rlimit64 *) __attribute__((alias("setrlimit")));

#ifdef SYS_signalfd
enum { CALL_SIGNALFD = SYS_signalfd };
#else
enum { CALL_SIGNALFD = SYS_signalfd4 };
#endif

static long call_next(const struct raw_call *call)
{
    const struct raw_call *interrupted = raw_call;
    const long *a = call->argument;
    raw_call = call;
    long result = next.syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
    raw_call = interrupted;
    return result;
}

EXPORT long syscall(long number, ...)
{
    struct raw_call call = {.number = number};
    long *argument = call.argument;
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        argument[i] = va_arg(list, long);
    va_end(list);
    if (unlikely(makes_child(number, argument)) && init_done())
        return fork_bare(number, argument);
    long result;
    if (unlikely(map_on() || mem_owns((void *)argument[0])) && syscall_maps(number, argument, &result))
        return result;
    if (unlikely(number == SYS_sigaltstack))
        return altstack_set((const stack_t *)argument[0], (stack_t *)argument[1]);
    if (unlikely(number == SYS_prctl))
        return process_set((int)argument[0], argument + 1);
    if (unlikely(number == SYS_seccomp && !argument[0] && !argument[1] && !argument[2])) /* is strict */
        return process_set(PR_SET_SECCOMP, (const long[4]){1});
    if (unlikely(number == SYS_prlimit64))
        return limit_set((pid_t)argument[0], (int)argument[1], (const void *)argument[2], (void *)argument[3]);
#ifdef SYS_setrlimit
    if (unlikely(number == SYS_setrlimit))
        return limit_set(0, (int)argument[0], (const void *)argument[1], NULL);
#endif
    sigmask own;
    if (unlikely(number == SYS_rt_sigtimedwait))
        argument[0] = (long)set_without_stop((const void *)argument[0], &own);
    if (unlikely(number == SYS_signalfd4 || number == CALL_SIGNALFD))
        argument[1] = (long)set_without_stop((const void *)argument[1], &own);
    if (unlikely(number == SYS_execve || number == SYS_execveat)) {
        bool begun = init_done() && exec_begin();
        result = next.syscall ? call_next(&call) : sys(number, argument[0], argument[1], argument[2], argument[3], argument[4]);
        exec_end(begun);
        return result;
    }
    if (next.syscall)
        return call_next(&call);
    return sys(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
}

/* Without /proc nothing else tells that there are several threads. Where malloc is not ours (an executable with jemalloc in it)
 * this is the one call of ours in which malloc may be called: who maps memory holds its locks. So the monitor starts here,
 * and stays; in a program of one thread it never does. */
EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *argument)
{
    if (!init_done() || !next.thread_create)
        return EAGAIN;
    atomic_store_explicit(&mon.others, true, memory_order_relaxed);
    int err = next.thread_create(thread, attr, run, argument);
    if (unlikely(map.elsewhere) && err == 0 && !cfg.off)
        mon_consider();
    return err;
}

/* Whoever registers handlers comes after ours, also the next malloc, whose first call may be one of our start. */
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *object);

EXPORT int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *object)
{
    if (!init_done())
        fork_register();
    return next.register_atfork ? next.register_atfork(prepare, parent, child, object) : ENOMEM;
}
#endif

#ifndef BIGMAAC_PREFIX
/* A process has 1024 keys, and all of them are the program's. */
EXPORT int pthread_key_create(pthread_key_t *key, void (*end)(void *))
{
    unsigned there = KEY_THERE;
    if (!next.key_create)
        next.key_create = (int (*)(pthread_key_t *, void (*)(void *)))dlsym(RTLD_NEXT, "pthread_key_create");
    int err = next.key_create(key, end);
    if (err != EAGAIN || !atomic_compare_exchange_strong(&key_state, &there, KEY_GIVEN))
        return err;
    for (int ms = 0; ms < 100 && atomic_load(&key_users); ms++)
        sleep_ms(1); /* who is counted longer was in the process that forked this one */
    pthread_key_delete(fry.key);
    return next.key_create(key, end);
}
#endif

/* --- bigmaac.h ----------------------------------------------------------------------------------- */

EXPORT int bigmaac_kind(const void *p)
{
    if (!mem_owns(p) || is_boot(p))
        return map_on() && map_touches(p, 1) ? BIGMAAC_KIND_MMAP : BIGMAAC_KIND_NONE;
    size_t offset = mem_offset(p);
    struct space *s = offset < mem.fry_end ? &fry.space : &big.space;
    struct lock *lock = s == &fry.space ? &fry.lock : &big.lock;
    if (offset < s->start || (offset < mem.fry_end && slab_containing(offset)))
        return offset < s->start ? BIGMAAC_KIND_NONE : BIGMAAC_KIND_FRY;
    struct op op;
    op_begin(&op);
    lock_take(lock);
    uint32_t i = extent_containing(s, offset);
    bool live = i && (extent_at(s, i)->state == EXTENT_LIVE || extent_at(s, i)->state == EXTENT_BUSY);
    lock_drop(lock);
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
    stats_take(&now, true);
    now.size = room_there;
    memcpy(out, &now, room_there);
    return 0;
}

/* Every page becomes anonymous memory of a private mapping, the way a store does it: whoever writes at the
 * same time loses nothing. False: no memory for them. */
static bool pages_privatise(char *at, size_t bytes)
{
    if (sys(SYS_madvise, at, bytes, MADV_POPULATE_WRITE) == 0)
        return true;
    if (errno != EINVAL) /* kernels before 5.14 */
        return false;
    for (size_t i = 0; i < bytes; i += sys_page())
        __atomic_fetch_add((unsigned *)(void *)(at + i), 0, __ATOMIC_SEQ_CST);
    return true;
}

struct privatise {
    struct big *r;
    int err; /* 0: all is private so far */
};

/* Maps the block's file privately over itself, page for page as it was, protected as it was. */
static bool privatise_see(const struct vma *v, void *context)
{
    struct privatise *p = context;
    size_t offset = v->from - mem.base, bytes = v->to - v->from;
    int open = PROT_READ | PROT_WRITE;
    bool current = v->shared && v->inode == p->r->file.ino; /* else shared from a file that the program has closed */
    if (!vma_is_ours(p->r, v))
        return true;
    if (v->shared && (!current || !file_valid(&p->r->file) || file_map_as(&p->r->file, offset, bytes, v->offset, MAP_PRIVATE, open)))
        p->err = EAGAIN;
    else if (!v->shared && v->protection != open && sys_mprotect(mem_at(offset), bytes, open) != 0)
        p->err = ENOMEM;
    else if (!pages_privatise(mem_at(offset), bytes))
        p->err = ENOMEM;
    if (v->protection != open)
        sys_mprotect(mem_at(offset), bytes, v->protection);
    if (v->locked)
        mem_lock(offset, bytes);
    if (v->undumped)
        mem_advise(offset, bytes, MADV_DONTDUMP);
    return !p->err;
}

/* Makes the block private memory with the same content. Its file stays mapped underneath, empty. */
static int big_opt_out(struct big *r)
{
    struct privatise p = {.r = r};
    uintptr_t from = (uintptr_t)mem_at(big_offset(r));
    if (r->backing == BACKED_NONE)
        return 0;
    if (!vmas_walk(from, from + r->mapped, privatise_see, &p)) {
        const struct vma whole = {.from = from, .to = from + r->mapped, .shared = true, .inode = r->file.ino,
                                  .protection = PROT_READ | PROT_WRITE};
        if (big_is_frozen(r) || atomic_load(&vma_set))
            return EAGAIN;
        privatise_see(&whole, &p);
    }
    if (p.err) { /* what is private is as a fork leaves it: its pages come home when memory runs short */
        if (r->file.fd >= 0)
            note_frozen(r->frozen_in, r->file.ino);
        atomic_fetch_add(&home.frozen_bytes, big_is_frozen(r) ? 0 : r->mapped);
        r->home_bytes = 0;
        r->backing = r->backing == BACKED_PATCHED ? BACKED_PATCHED : BACKED_FROZEN;
        return p.err;
    }
    r->mixed |= big_is_frozen(r) || !file_punch(&r->file, 0, r->mapped); /* what it was lies under it */
    big_close_files(r);
    r->backing = BACKED_NONE;
    return 0;
}

static int big_take_advice(struct big *r, int advice)
{
    static const enum policy policy[] = {POLICY_NORMAL, POLICY_HUGE, POLICY_RANDOM, POLICY_NORMAL};
    const void *at = mem_at(big_offset(r));
    if (advice == BIGMAAC_OPT_OUT)
        return big_opt_out(r);
    if (advice == BIGMAAC_KEEP && sys_mlock(at, r->mapped) != 0) {
        int err = errno;
        if (r->advice != BIGMAAC_KEEP)
            sys_munlock(at, r->mapped);
        return err;
    }
    if (r->advice == BIGMAAC_KEEP && advice != BIGMAAC_KEEP)
        sys_munlock(at, r->mapped);
    r->advice = (uint8_t)advice;
    if (r->backing == BACKED_NONE)
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
