/* fork_parts.c - a part of a block that the program has moved elsewhere (mremap), or given a protection key, is after a fork what it
 * was: in the parent, a child and a grandchild.
 */
#include "fork_common.h"

enum { BLOCKS = 3 };

static const size_t sizes[BLOCKS] = {FRY_LARGE, BIG_SMALL, BIG_LARGE};
static unsigned char *blocks[BLOCKS], *moved[BLOCKS], *keyed[BLOCKS];
static size_t page;
static int key;

/* Can that be written to? The kernel tells without a signal. */
static bool is_writable(unsigned char *p) { return syscall(SYS_getrandom, p, (size_t)1, 0) == 1; }

static void require_parts(int i, const char *who)
{
    if (moved[i][1] != i + 1 || moved[i][2 * page - 1] != i + 1)
        fail("%s: what was moved out of block %d is not what it was", who, i);
    if (key >= 0 && (is_writable(keyed[i]) || !is_writable(keyed[i] + page)))
        fail("%s: the key of a page of block %d is gone, or is another page's, too", who, i);
}

static void one_fork(int depth)
{
    pid_t child = require_fork();
    if (child == 0) {
        for (int i = 0; i < BLOCKS; i++)
            require_parts(i, "child");
        if (depth)
            one_fork(depth - 1);
        for (int i = 0; i < BLOCKS; i++)
            moved[i][1] = 99; /* is the child's alone */
        _exit(0);
    }
    require_exit_0(child, "child");
    for (int i = 0; i < BLOCKS; i++)
        require_parts(i, "parent");
}

int main(int argc, char **argv)
{
    (void)argc;
    fork_test_begin(argv);
    page = (size_t)sysconf(_SC_PAGESIZE);
    key = (int)syscall(SYS_pkey_alloc, 0, 2 /* PKEY_DISABLE_WRITE */);
    for (int i = 0; i < BLOCKS; i++) {
        REQUIRE(posix_memalign((void **)&blocks[i], page, sizes[i]) == 0);
        memset(blocks[i], i + 1, sizes[i]);
        unsigned char *place = mmap(NULL, 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        moved[i] = mremap(blocks[i], 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, place);
        REQUIRE(moved[i] == place);
        keyed[i] = (unsigned char *)(((uintptr_t)blocks[i] + 2 * page + page - 1) / page * page);
        REQUIRE(key < 0 || syscall(SYS_pkey_mprotect, keyed[i], page, PROT_READ | PROT_WRITE, key) == 0);
    }
    one_fork(1);
    one_fork(0);
    puts("ok");
    return 0;
}
