/* fork_madvise.c - MADV_DONTNEED on inherited memory: reads zero on the side that asked, and the
 * other side, its children included, keeps its data. */
#include "fork_common.h"

enum { BLOCKS = 3, ROUNDS = 5 };

/* Page-aligned, so that whole pages can be given away. */
static const size_t sizes[BLOCKS] = {12 * PAGE < FRY_LARGE ? 12 * PAGE : 3 * PAGE, FRY_LARGE, BIG_LARGE};
static const size_t page = PAGE;

static unsigned char *blocks[BLOCKS];

static void blocks_make(uint64_t seed)
{
    for (int i = 0; i < BLOCKS; i++) {
        void *p;
        REQUIRE(posix_memalign(&p, page, sizes[i]) == 0);
        require_kind(p, i == BLOCKS - 1 ? BIGMAAC_KIND_BIGMAAC : BIGMAAC_KIND_FRY);
        blocks[i] = p;
        content_fill(p, sizes[i], seed + (uint64_t)i);
    }
}

static void blocks_require(uint64_t seed, const char *who)
{
    for (int i = 0; i < BLOCKS; i++)
        content_require(blocks[i], sizes[i], seed + (uint64_t)i, who);
}

static void blocks_free(void)
{
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
}

/* Gives away all but the first and last page; those keep their words. */
static void blocks_drop_middle(uint64_t seed, const char *who)
{
    for (int i = 0; i < BLOCKS; i++) {
        unsigned char *p = blocks[i];
        size_t size = sizes[i], end = size / page * page - page;
        REQUIRE(madvise(p + page, end - page, MADV_DONTNEED) == 0);
        content_require(p + page, end - page, 0, who);
        content_require(p, page, seed + (uint64_t)i, who);
        for (size_t at = end; at < size; at += 8) {
            uint64_t word = content_word(seed + (uint64_t)i, at / 8);
            REQUIRE(memcmp(p + at, &word, 8) == 0);
        }
        content_fill(p + page, end - page, 77); /* and is ordinary memory again */
        content_require(p + page, end - page, 77, who);
        REQUIRE(madvise(p + page, end - page, MADV_DONTNEED) == 0);
        content_require(p + page, end - page, 0, who);
    }
}

static void child_drops(uint64_t seed, bool write_first)
{
    pid_t child = require_fork();
    if (child == 0) {
        for (int i = 0; write_first && i < BLOCKS; i++) /* private pages on top of the old */
            memset(blocks[i] + page, 0xee, sizes[i] < 6 * page ? page : 3 * page);
        blocks_drop_middle(seed, "child that drops");
        _exit(0);
    }
    require_exit_0(child, "child drops");
    blocks_require(seed, "parent of one that dropped");
}

static void parent_drops(uint64_t seed)
{
    struct turns turns = turns_new();
    pid_t child = require_fork();
    if (child == 0) {
        turns_child_side(&turns);
        turn_take(turns.to_child, "child");
        blocks_require(seed, "child of one that dropped");
        pid_t grandchild = require_fork();
        blocks_require(seed, grandchild == 0 ? "grandchild" : "child beside grandchild");
        if (grandchild != 0)
            require_exit_0(grandchild, "grandchild");
        _exit(0);
    }
    turns_parent_side(&turns);
    blocks_drop_middle(seed, "parent that drops");
    turn_give(turns.to_child);
    require_exit_0(child, "parent drops");
    turns_close_parent(&turns);
}

/* What was dropped before the fork is zero in the child too. */
static void dropped_before(void)
{
    pid_t child = require_fork();
    for (int i = 0; i < BLOCKS; i++) {
        size_t end = sizes[i] / page * page - page;
        content_require(blocks[i] + page, end - page, 0, "dropped before the fork");
    }
    if (child == 0)
        _exit(0);
    require_exit_0(child, "dropped before");
}

int main(int argc, char **argv)
{
    (void)argc;
    fork_test_begin(argv);
    alarm(600);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t seed = 10 + round * 100;
        blocks_make(seed);
        child_drops(seed, false);
        child_drops(seed, true);
        parent_drops(seed);
        dropped_before();
        blocks_free();
    }
    printf("ok: MADV_DONTNEED on either side of %d forks, mode %s\n", ROUNDS * 5, fork_mode());
    return 0;
}
