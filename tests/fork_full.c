/* fork_full.c - a fork that finds no mappings to isolate memory with fails, with ENOMEM, each time and by each way; once there
 * are some it works, and the child has all. Nothing is kept from a child in silence.
 */
#include "fork_common.h"

#include <sys/syscall.h>

enum { BLOCKS = 12, ROUNDS = 2, EXTRA = 8 };

static const size_t sizes[] = {FRY_SMALL, FRY_LARGE, BIG_SMALL, 5 << 20};
static unsigned char *blocks[BLOCKS];
static void *extra[EXTRA];
static char stack[1 << 16] __attribute__((aligned(64)));

int clone(int (*function)(void *), void *stack, int flags, void *argument, ...);

static void blocks_require(uint64_t seed, const char *who)
{
    for (int i = 0; i < BLOCKS; i++)
        content_require(blocks[i], sizes[i % 4], seed + (uint64_t)i, who);
}

static int child_end(void *unused)
{
    (void)unused;
    blocks_require(1, "child");
    for (int i = 0; i < BLOCKS; i++)
        content_fill(blocks[i], sizes[i % 4], 99);
    _exit(0);
}

static pid_t make(int way)
{
    switch (way) {
    case 0: return fork();
    case 1: return _Fork();
    case 2: return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    default: return clone(child_end, stack + sizeof stack, SIGCHLD, NULL);
    }
}

/* Returns whether there was a child. */
static bool works(int way)
{
    errno = 0;
    pid_t child = make(way);
    if (child == 0)
        child_end(NULL);
    if (child < 0) {
        REQUIRE(errno == ENOMEM);
        return false;
    }
    require_exit_0(child, "child");
    return true;
}

/* Every other page of a range protected, until there are no more mappings. */
static char *mappings_use(size_t *bytes, size_t leave)
{
    size_t most = 70000, used = 0;
    char *p = mmap(NULL, 2 * most * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(p != MAP_FAILED);
    while (used < most && mprotect(p + 2 * used * PAGE, PAGE, PROT_READ) == 0)
        used++;
    REQUIRE(used < most); /* else there is no limit here */
    for (int i = 0; i < EXTRA; i++) /* mmap may make one more than mprotect */
        extra[i] = mmap(NULL, PAGE, i & 1 ? PROT_READ : PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(extra[EXTRA - 1] == MAP_FAILED);
    for (size_t i = 0; i < leave; i++)
        mprotect(p + 2 * (used - 1 - i) * PAGE, PAGE, PROT_NONE);
    *bytes = 2 * most * PAGE;
    return p;
}

int main(int argc, char **argv)
{
    (void)argc;
    fork_test_begin(argv);
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = block_new(sizes[i % 4], 1 + (uint64_t)i);
    for (int i = 3; i < BLOCKS; i += 4) /* a fork has to split these */
        REQUIRE(mprotect((void *)(((uintptr_t)blocks[i] + (1 << 20)) & ~(uintptr_t)(PAGE - 1)), PAGE, PROT_READ) == 0 &&
                mprotect((void *)(((uintptr_t)blocks[i] + (1 << 20)) & ~(uintptr_t)(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE) == 0);
    int failed = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t leave = 0; leave < 4; leave += 3) {
            size_t bytes;
            char *p = mappings_use(&bytes, leave);
            for (int way = 0; way < 4; way++)
                failed += !works(way);
            blocks_require(1, "parent, without mappings");
            munmap(p, bytes);
            for (int i = 0; i < EXTRA; i++)
                if (extra[i] != MAP_FAILED)
                    munmap(extra[i], PAGE);
        }
        for (int way = 0; way < 4; way++)
            REQUIRE(works(way));
        blocks_require(1, "parent");
        for (int i = 0; i < BLOCKS; i++) { /* the next fork has something to isolate */
            free(blocks[i]);
            blocks[i] = block_new(sizes[i % 4], 1 + (uint64_t)i);
        }
    }
    if (preloaded())
        REQUIRE(failed > 0); /* the test would show nothing */
    printf("ok: %d forks failed, mode %s\n", failed, fork_mode());
    return 0;
}
