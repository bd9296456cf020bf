/* api_limit.c - a program that limits its own address space when it has memory already: what it did not use counts no
 * more than without the library. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "kinds.h"

enum { BLOCKS = 12, MAPS = 60, WAYS = 6 };
static const size_t mib = 1 << 20;
static const size_t sizes[BLOCKS] = {24, 100, 3000, 5000, 70000, 200000, 600000, 3 << 20, 9 << 20, 12 << 20, 30 << 20, 40 << 20};

struct set {
    unsigned char *block[BLOCKS];
};

static struct set set_new(uint64_t seed)
{
    struct set s;
    for (int i = 0; i < BLOCKS; i++) {
        s.block[i] = opaque(malloc(sizes[i]));
        CHECK(s.block[i] != NULL);
        if (s.block[i])
            stamp(s.block[i], sizes[i], seed + (uint64_t)i);
    }
    return s;
}

static void set_end(struct set *s, uint64_t seed)
{
    for (int i = 0; i < BLOCKS; i++) {
        CHECK(s->block[i] && is_stamped(s->block[i], sizes[i], sizes[i], seed + (uint64_t)i));
        unsigned char *p = i % 2 ? realloc(s->block[i], sizes[i] / 2) : s->block[i];
        CHECK(p && is_stamped(p, sizes[i] / 2, sizes[i], seed + (uint64_t)i));
        free(p);
    }
}

static void *in_thread(void *unused)
{
    char stack[1 << 20];
    memset(opaque(stack), 1, sizeof stack);
    struct set s = set_new(7);
    set_end(&s, 7);
    return unused;
}

static void threads(void)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 16 << 20);
    for (int i = 0; i < 8; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, &attr, in_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
    }
}

/* Mappings of the program's, also where memory of the library's might have been. */
static void mappings(const char *near)
{
    static char *at[MAPS];
    for (size_t i = 0; i < MAPS; i++) {
        char *hint = (char *)(((uintptr_t)near + (i << 30)) & ~(uintptr_t)(mib - 1));
        at[i] = mmap(i % 2 ? hint : NULL, mib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(at[i] != MAP_FAILED);
        if (at[i] == MAP_FAILED)
            return;
        stamp(at[i], mib, i);
    }
    for (size_t i = 0; i < MAPS; i++) {
        CHECK(is_stamped(at[i], mib, mib, i));
        CHECK(madvise(at[i], mib / 2, MADV_DONTNEED) == 0 && is_zero(at[i], mib / 2));
        CHECK(mprotect(at[i], mib, PROT_READ) == 0 && at[i][mib - 1] == at[i][mib - 1]);
        CHECK(munmap(at[i], mib) == 0);
    }
}

static bool limit_to(size_t bytes, int way)
{
    struct rlimit to = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY}, old;
    switch (way) {
    case 0: return setrlimit(RLIMIT_AS, &to) == 0;
    case 1: return prlimit(0, RLIMIT_AS, &to, &old) == 0;
    case 2: return prlimit(getpid(), RLIMIT_AS, &to, NULL) == 0;
    case 3: return syscall(SYS_prlimit64, 0, RLIMIT_AS, &to, NULL) == 0;
    case 4: return setrlimit64(RLIMIT_AS, (struct rlimit64 *)&to) == 0;
    default: return prlimit64(getpid(), RLIMIT_AS, (struct rlimit64 *)&to, (struct rlimit64 *)&to) == 0; /* the old one into the same */
    }
}

static size_t limit_now(void)
{
    struct rlimit now;
    return getrlimit(RLIMIT_AS, &now) == 0 ? now.rlim_cur : 0;
}

static void work(void)
{
    struct set s = set_new(100);
    threads();
    mappings((char *)s.block[BLOCKS - 1]);
    mappings((char *)s.block[0]);
    errno = 0;
    CHECK(!opaque(malloc(2000 * mib)) && errno == ENOMEM);
    set_end(&s, 100);
}

static int limited(int way)
{
    struct set before = set_new(1000);
    CHECK(limit_to(1200 * mib, way) && limit_now() == 1200 * mib);
    work();
    CHECK(limit_to(1000 * mib, way) && limit_now() == 1000 * mib);
    work();
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        work();
        set_end(&before, 1000);
        _exit(check_result());
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(limit_to(RLIM_INFINITY, way));
    void *large = opaque(malloc(2000 * mib));
    CHECK(large != NULL);
    free(large);
    set_end(&before, 1000);
    return check_result();
}

int main(void)
{
    struct rlimit wrong = {.rlim_cur = 2, .rlim_max = 1};
    CHECK(setrlimit(RLIMIT_AS, &wrong) == -1 && errno == EINVAL);
    CHECK(prlimit(getpid(), (enum __rlimit_resource)99, NULL, &wrong) == -1 && errno == EINVAL);
    struct set s = set_new(5);
    for (int way = 0; way < WAYS; way++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0)
            _exit(!limit_to(1200 * mib, way) || limit_now() != 1200 * mib || (set_end(&s, 5), work(), check_result()));
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    }
    set_end(&s, 5);
    CHECK(limited(0) == 0);
    return check_result();
}
