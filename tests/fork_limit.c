/* fork_limit.c - a program that may open nothing more, after it has protected some of its memory, forks as it does
 * without us: what it has set stays, in a child's child as well, and so does its limit.
 */
#include "fork_common.h"

#include <sys/resource.h>
#include <sys/syscall.h>

enum { BLOCKS = 3 };

static const size_t sizes[BLOCKS] = {FRY_LARGE, BIG_SMALL, BIG_LARGE};
static unsigned char *blocks[BLOCKS];

static void require_content(const char *who)
{
    for (int i = 0; i < BLOCKS; i++)
        content_require(blocks[i], sizes[i], (uint64_t)i + 1, who);
}

/* Can that be written to? The kernel tells without a signal. */
static int is_writable(unsigned char *p)
{
    return syscall(SYS_getrandom, p, (size_t)1, 0) == 1;
}

static void one_fork(const struct rlimit *limit, int depth)
{
    pid_t child = require_fork();
    if (child == 0) {
        require_content("child");
        for (int i = 0; i < BLOCKS; i++)
            REQUIRE(!is_writable(blocks[i] + PAGE));
        if (depth)
            one_fork(limit, depth - 1);
        for (int i = 0; i < BLOCKS; i++)
            blocks[i][3 * PAGE] ^= 1; /* is the child's alone */
        _exit(0);
    }
    struct rlimit now;
    require_exit_0(child, "child");
    require_content("parent");
    REQUIRE(getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur == limit->rlim_cur && now.rlim_max == limit->rlim_max);
}

int main(int argc, char **argv)
{
    (void)argc;
    fork_test_begin(argv);
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = pages_new(sizes[i], (uint64_t)i + 1);
        REQUIRE(mprotect(blocks[i] + PAGE, PAGE, PROT_READ) == 0);
    }
    for (int round = 0; round < 3; round++) {
        limit.rlim_cur = round < 2 ? 0 : 3;
        REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        REQUIRE(open("/dev/null", O_RDONLY) == -1 && errno == EMFILE);
        one_fork(&limit, 2);
    }
    puts("ok");
    return 0;
}
