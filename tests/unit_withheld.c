/* unit_withheld.c - no memory to isolate anything at a fork: the child lacks the blocks, but works. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

static bool full;

static void *test_mmap(void *at, size_t bytes, int access, int flags, int fd, off_t from)
{
    if (full && fd >= 0 && flags & MAP_PRIVATE) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return mmap(at, bytes, access, flags, fd, from);
}

#define mmap test_mmap
#include "../bigmaac.c"
#undef mmap
#include "check.h"

#include <sys/wait.h>

enum { OLD = 40, NEW = 300, BIG = 20 << 20, RUN = 200 << 10 };

static unsigned char *old[OLD], *new[NEW], *run, *large;

static void in_child(void)
{
    full = false;
    for (int i = 0; i < 8; i++) { /* what the program maps is the program's */
        unsigned char *p = mmap(NULL, (size_t)1 << (14 + i), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(p != MAP_FAILED && !mem_owns(p));
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < NEW; i++) {
            new[i] = bigmaac_malloc(i % 100 == 0 ? RUN : 1000);
            fill(new[i], 1000, (uint64_t)i);
        }
        for (int i = 0; i < NEW; i++) {
            CHECK(is_filled(new[i], 1000, (uint64_t)i));
            bigmaac_free(new[i]);
        }
        for (int i = 0; i < OLD && !round; i++)
            bigmaac_free(old[i]);
        if (!round) {
            run = bigmaac_realloc(run, RUN / 2);
            bigmaac_free(run);
            bigmaac_free(large);
        }
    }
    large = bigmaac_malloc(BIG);
    fill(large, BIG, 7);
    CHECK(is_filled(large, BIG, 7) && !big_check() && !extent_check(&fry.space) && !extent_check(&big.space));
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(is_filled(large, BIG, 7));
        fill(bigmaac_malloc(1000), 1000, 1);
        _exit(check_result());
    }
    int status = -1;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    _exit(check_result());
}

int main(void)
{
#ifdef __SANITIZE_THREAD__ /* it does not know that a child's locks are new */
    return 0;
#endif
    setenv("BIGMAAC_MIN_FRY_SIZE", "64", 1);
    config_load();
    route_set_limit();
    for (int i = 0; i < OLD; i++)
        fill(old[i] = bigmaac_malloc(1000), 1000, (uint64_t)i);
    fill(run = bigmaac_malloc(RUN), RUN, 1);
    fill(large = bigmaac_malloc(BIG), BIG, 2);
    for (int forks = 0; forks < 2; forks++) {
        full = true;
        pid_t pid = fork();
        if (pid == 0)
            in_child();
        full = false;
        int status = -1;
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
        for (int i = 0; i < OLD; i++)
            CHECK(is_filled(old[i], 1000, (uint64_t)i));
        CHECK(is_filled(run, RUN, 1) && is_filled(large, BIG, 2) && !fry_check() && !big_check());
    }
    return check_result();
}
