/* fork_descriptors.c - after a fork neither side has a descriptor to memory from before it: a child without privileges
 * can't write to its parent's, nor read it. Nor after what was written since has files of its own, and another fork.
 */
#include "fork_common.h"

#include <grp.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

enum { BLOCKS = 6, NOBODY = 65534, DESCRIPTORS = 4096, OURS_MAX = 256 };

static const size_t sizes[BLOCKS] = {FRY_SMALL, FRY_LARGE, BIG_SMALL, BIG_LARGE, 20 << 20, 300};
static unsigned char *blocks[BLOCKS];

/* The numbers of open files of ours, whose inodes may be another file's later; how many. */
static int ours(uint64_t *files)
{
    char name[64], path[512];
    int count = 0;
    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        struct stat st;
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(name, path, sizeof path - 1);
        if (n < 0)
            continue;
        path[n] = 0;
        /* Unlinked, and named as the template has it or by the kernel, which names it after its number. */
        if (strstr(path, " (deleted)") == NULL || fstat(fd, &st) != 0 || st.st_nlink != 0 || !S_ISREG(st.st_mode))
            continue;
        int generation = 0;
        ioctl(fd, FS_IOC_GETVERSION, &generation);
        REQUIRE(count < OURS_MAX);
        files[count++] = st.st_ino ^ (uint64_t)generation << 32;
    }
    return count;
}

static void require_none_of(const uint64_t *before, int count, const char *who)
{
    static uint64_t now[OURS_MAX];
    int open_now = ours(now);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < open_now; j++)
            if (before[i] == now[j])
                fail("%s: a descriptor of a file from before the fork is open", who);
}

static void blocks_write(uint64_t seed)
{
    for (int i = 0; i < BLOCKS; i++)
        content_fill(blocks[i], sizes[i], seed + (uint64_t)i);
}

static void blocks_require(uint64_t seed, const char *who)
{
    for (int i = 0; i < BLOCKS; i++)
        content_require(blocks[i], sizes[i], seed + (uint64_t)i, who);
}

/* A child that wants to harm its parent, by each descriptor that it can find. */
static void spoil(const uint64_t *before, int count)
{
    static char junk[64];
    if (geteuid() == 0)
        REQUIRE(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    memset(junk, 0x5a, sizeof junk);
    for (int fd = 3; fd < DESCRIPTORS; fd++) {
        struct stat st;
        if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 0)
            continue;
        for (off_t at = 0; at < st.st_size; at += 4096)
            pwrite(fd, junk, sizeof junk, at);
        ftruncate(fd, 0);
    }
    require_none_of(before, count, "a child without privileges");
}

/* Requires the blocks to hold SEED's content. */
static void one_fork(uint64_t seed, int depth)
{
    uint64_t before[OURS_MAX];
    int count = ours(before);
    if (preloaded())
        REQUIRE(count >= 1); /* the test would show nothing */
    pid_t child = require_fork();
    if (child == 0) {
        require_none_of(before, count, "child");
        blocks_require(seed, "child");
        if (depth < 2) {
            blocks_write(seed + 50);
            free(blocks[4]);
            blocks[4] = block_new(sizes[4], seed + 54);
            free(blocks[0]);
            blocks[0] = block_new(sizes[0], seed + 50);
            one_fork(seed + 50, depth + 1);
        }
        spoil(before, count);
        _exit(0);
    }
    if (depth == 0 && seed == 1) /* later it keeps those that nothing lives in */
        require_none_of(before, count, "parent");
    require_exit_0(child, "child");
    blocks_require(seed, "parent");
}

int main(int argc, char **argv)
{
    (void)argc;
    fork_test_begin(argv);
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = block_new(sizes[i], (uint64_t)i + 1);
    one_fork(1, 0);
    for (uint64_t round = 2; round < 8; round++) {
        blocks_write(round * 1000);
        for (int i = (int)round % 2; i < BLOCKS; i += 2) { /* some live on in new files */
            blocks[i] = realloc(blocks[i], sizes[i] * 2);
            blocks[i] = realloc(blocks[i], sizes[i]);
            content_fill(blocks[i], sizes[i], round * 1000 + (uint64_t)i);
        }
        unsigned char *fresh[2] = {block_new(BIG_SMALL, 1), block_new(FRY_SMALL, 1)};
        one_fork(round * 1000, 0);
        free(fresh[0]);
        free(fresh[1]);
    }
    printf("ok: mode %s\n", fork_mode());
    return 0;
}
