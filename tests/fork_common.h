/* fork_common.h - what the fork tests share: block contents that need no shadow copy, children
 * whose verdict counts, and runs under every BIGMAAC_FORK mode.
 *
 * Every test of the family passes on plain glibc as well: it asserts what fork promises, and only
 * where the library is preloaded, that its blocks are the library's.
 */
#ifndef FORK_COMMON_H
#define FORK_COMMON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../bigmaac.h"
#include "page.h"

extern char **environ;

/* Sizes to allocate under the settings of fork_test_begin: one of each kind. */
enum {
    REAL_SIZE = 64,          /* the next malloc's */
    FRY_SMALL = 3000,        /* in a slab */
    FRY_LARGE = 200 * 1024,  /* a page run */
    BIG_SMALL = 300 * 1024,  /* bigmaacs, from just above the threshold */
    BIG_LARGE = 5 << 20
};

__attribute__((format(printf, 1, 2), noreturn)) static inline void fail(const char *text, ...)
{
    char line[512];
    int n = snprintf(line, sizeof line, "FAIL [%d]: ", (int)getpid());
    va_list args;
    va_start(args, text);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, text, args);
    va_end(args);
    size_t used = (size_t)n + (m > 0 ? (size_t)m : 0);
    used = used < sizeof line - 1 ? used : sizeof line - 2;
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, used) < 0) {
        /* the exit status tells it too */
    }
    _exit(1);
}

#define REQUIRE(condition)                                                                 \
    do {                                                                                   \
        if (!(condition))                                                                  \
            fail("%s:%d: %s (errno %d)", __FILE__, __LINE__, #condition, errno);           \
    } while (0)

/* splitmix64: one state word, so that a fork splits a sequence by changing one number. */
static inline uint64_t rng_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t rng_below(uint64_t *state, uint64_t n)
{
    return rng_next(state) % n;
}

/* Contents are a function of (seed, index of the 8-byte word); seed 0 stands for zeroes. Words by __builtin_memcpy: a call
 * for each, which -fno-builtin makes of memcpy, would be most of what these tests take. */
static inline uint64_t content_word(uint64_t seed, size_t index)
{
    return seed == 0 ? 0 : (seed ^ (index * 0x9e3779b97f4a7c15u)) * 0xd6e8feb86659fd93u;
}

static inline void content_fill(void *block, size_t size, uint64_t seed)
{
    unsigned char *p = block;
    for (size_t i = 0; i < size / 8; i++) {
        uint64_t word = content_word(seed, i);
        __builtin_memcpy(p + i * 8, &word, 8);
    }
    uint64_t word = content_word(seed, size / 8);
    memcpy(p + size / 8 * 8, &word, size % 8);
}

/* The offset of the first wrong word among the first SIZE bytes; SIZE when all are right. */
static inline size_t content_wrong(const void *block, size_t size, uint64_t seed)
{
    const unsigned char *p = block;
    for (size_t i = 0; i < size / 8; i++) {
        uint64_t there;
        __builtin_memcpy(&there, p + i * 8, 8);
        if (there != content_word(seed, i))
            return i * 8;
    }
    uint64_t word = content_word(seed, size / 8);
    return memcmp(p + size / 8 * 8, &word, size % 8) == 0 ? size : size / 8 * 8;
}

static inline void content_require(const void *block, size_t size, uint64_t seed, const char *what)
{
    size_t at = content_wrong(block, size, seed);
    if (at != size)
        fail("%s: block %p of %zu bytes differs at offset %zu", what, block, size, at);
}

static inline bool preloaded(void)
{
    const char *list = getenv("LD_PRELOAD");
    return list != NULL && strstr(list, "bigmaac") != NULL;
}

/* A test that passes because the library passed everything through would prove nothing. */
static inline void require_kind(const void *block, int kind)
{
    if (preloaded() && bigmaac_try_kind(block) != kind)
        fail("block %p is of kind %d, not %d", block, bigmaac_try_kind(block), kind);
}

static inline void *block_new(size_t size, uint64_t seed)
{
    void *block = malloc(size);
    REQUIRE(block != NULL);
    if (size > REAL_SIZE)
        require_kind(block, size >= BIG_SMALL ? BIGMAAC_KIND_BIGMAAC : BIGMAAC_KIND_FRY);
    content_fill(block, size, seed);
    return block;
}

/* A page-aligned block: a fry, a small or a large bigmaac. */
static inline unsigned char *pages_new(size_t size, uint64_t seed)
{
    void *block;
    REQUIRE(posix_memalign(&block, PAGE, size) == 0);
    require_kind(block, size >= BIG_SMALL ? BIGMAAC_KIND_BIGMAAC : BIGMAAC_KIND_FRY);
    content_fill(block, size, seed);
    return block;
}

static sigjmp_buf probe_again;

static inline void probe_fails(int sig)
{
    (void)sig;
    siglongjmp(probe_again, 1);
}

/* Whether the byte can be read, and then written: 'w', 'r', or '-'; it keeps its value. */
static inline char access_of(volatile unsigned char *byte)
{
    struct sigaction old[2], probe = {.sa_handler = probe_fails};
    volatile char can = '-';
    sigaction(SIGSEGV, &probe, &old[0]);
    sigaction(SIGBUS, &probe, &old[1]);
    if (sigsetjmp(probe_again, 1) == 0) {
        unsigned char value = *byte;
        can = 'r';
        *byte = value;
        can = 'w';
    }
    sigaction(SIGSEGV, &old[0], NULL);
    sigaction(SIGBUS, &old[1], NULL);
    return can;
}

/* Whether the kernel's flags of the mapping at `p` (VmFlags in smaps) have that one. */
static inline bool has_flag(const void *p, const char *flag)
{
    char line[512], wanted[8];
    unsigned long from, to;
    bool inside = false, has = false;
    snprintf(wanted, sizeof wanted, " %s", flag);
    FILE *f = fopen("/proc/self/smaps", "r");
    REQUIRE(f != NULL);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = from <= (uintptr_t)p && (uintptr_t)p < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            has = strstr(line, wanted) != NULL;
    }
    fclose(f);
    return has;
}

/* What a daemon does as it begins: it closes whatever descriptors there are. (closefrom is glibc's from 2.34 on.) */
static inline void close_all(void)
{
    if (syscall(436 /* close_range */, 3, ~0u, 0) != 0)
        for (int fd = 3; fd < 65536; fd++)
            close(fd);
}

static inline pid_t require_fork(void)
{
    fflush(NULL);
    pid_t child = fork();
    REQUIRE(child >= 0);
    return child;
}

static inline void require_exit_0(pid_t child, const char *what)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        REQUIRE(errno == EINTR);
    if (WIFSIGNALED(status))
        fail("%s: child %d ended by signal %d", what, (int)child, WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        fail("%s: child %d ended with status %d", what, (int)child, WEXITSTATUS(status));
}

/* Memory that stays common across forks, for counters. */
static inline void *common_memory(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    return p;
}

/* A pair of turnstiles: each side can wait until the other side has come to a point. */
struct turns {
    int to_child[2], to_parent[2];
};

static inline struct turns turns_new(void)
{
    struct turns t;
    REQUIRE(pipe2(t.to_child, O_CLOEXEC) == 0 && pipe2(t.to_parent, O_CLOEXEC) == 0);
    return t;
}

static inline void turn_give(const int pipe_ends[2])
{
    REQUIRE(write(pipe_ends[1], "x", 1) == 1);
}

/* The giver's end must be closed in the taker, so that a giver that died ends the wait. */
static inline void turn_take(const int pipe_ends[2], const char *what)
{
    char x;
    if (read(pipe_ends[0], &x, 1) != 1)
        fail("%s: the other side is gone", what);
}

static inline void turns_child_side(const struct turns *t)
{
    close(t->to_child[1]);
    close(t->to_parent[0]);
}

static inline void turns_parent_side(const struct turns *t)
{
    close(t->to_child[0]);
    close(t->to_parent[1]);
}

static inline void turns_close_parent(const struct turns *t)
{
    close(t->to_child[1]);
    close(t->to_parent[0]);
}

static inline const char *fork_mode(void)
{
    const char *mode = getenv("BIGMAAC_FORK");
    return mode != NULL ? mode : "default";
}

/* A fork that copies takes three times as long; what is interrupted is the same. */
static inline bool forks_copy(void) { return strcmp(fork_mode(), "copy") == 0; }

/* Runs this program again with thresholds low enough for small tests, once per BIGMAAC_FORK mode
 * when preloaded, and exits with the verdict; in such an inner run it returns. Settings that the
 * caller of the test made for BIGMAAC_FORK hold: then there is one run. */
static inline void fork_test_begin(char **argv)
{
    static const char inner[] = "FORK_TEST_INNER";
    static const char *const modes[] = {"private", "copy"};
    if (getenv(inner) != NULL)
        return;
    setenv(inner, "1", 1);
    setenv("BIGMAAC_MIN_BIGMAAC_SIZE", "256K", 1);
    setenv("BIGMAAC_MIN_FRY_SIZE", "64", 1);
    int runs = preloaded() && getenv("BIGMAAC_FORK") == NULL ? 2 : 1;
    int failures = 0;
    for (int i = 0; i < runs; i++) {
        if (runs == 2)
            setenv("BIGMAAC_FORK", modes[i], 1);
        pid_t child;
        REQUIRE(posix_spawn(&child, "/proc/self/exe", NULL, NULL, argv, environ) == 0);
        int status;
        REQUIRE(waitpid(child, &status, 0) == child);
        if (status != 0) {
            failures++;
            fprintf(stderr, "FAIL: fork mode %s, wait status 0x%x\n", fork_mode(), status);
        }
    }
    exit(failures != 0);
}

#endif
