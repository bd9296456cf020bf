/* fork_realloc.c - realloc on both sides of blocks from before the fork: grow, shrink, move,
 * across the thresholds, whichever side comes first. Both sides' data must be right. */
#include "fork_common.h"

struct resize {
    size_t from, to;
};

static const struct resize resizes[] = {
    {BIG_LARGE, 2 * BIG_LARGE},         /* grow */
    {BIG_LARGE, BIG_LARGE + 100},       /* grow within the page or to the next */
    {BIG_LARGE, BIG_LARGE / 3},         /* shrink */
    {BIG_LARGE, FRY_SMALL},             /* down across one threshold */
    {BIG_LARGE, REAL_SIZE},             /* and across both */
    {BIG_SMALL, 3 * (size_t)BIG_LARGE}, /* far */
    {FRY_LARGE, BIG_LARGE},             /* up across one threshold */
    {FRY_LARGE, FRY_LARGE / 5},
    {FRY_LARGE, FRY_LARGE + 8000},
    {FRY_SMALL, FRY_SMALL + 1},         /* perhaps within the size class */
    {FRY_SMALL, 4 * FRY_SMALL},
    {FRY_SMALL, 100},
    {FRY_SMALL, REAL_SIZE / 2},
    {FRY_SMALL, BIG_SMALL},
    {REAL_SIZE, FRY_SMALL},
    {REAL_SIZE, BIG_LARGE},
};
enum { RESIZES = sizeof resizes / sizeof resizes[0] };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* What one side does with its view of the blocks; MARK makes the sides' new data differ. */
static void use_blocks(unsigned char **blocks, uint64_t mark, const char *side)
{
    for (size_t i = 0; i < RESIZES; i++) {
        size_t from = resizes[i].from, to = resizes[i].to;
        unsigned char *p = realloc(blocks[i], to);
        REQUIRE(p != NULL);
        content_require(p, least(from, to), i + 1, side);
        content_fill(p, to, mark + i);
        blocks[i] = p;
    }
    for (size_t i = 0; i < RESIZES; i++)
        content_require(blocks[i], resizes[i].to, mark + i, side);
    for (size_t i = 0; i < RESIZES; i++) { /* and back */
        size_t from = resizes[i].from, to = resizes[i].to;
        blocks[i] = realloc(blocks[i], from);
        REQUIRE(blocks[i] != NULL);
        content_require(blocks[i], least(from, to), mark + i, side);
        content_fill(blocks[i], from, mark + 100 + i);
    }
    for (size_t i = 0; i < RESIZES; i++) {
        content_require(blocks[i], resizes[i].from, mark + 100 + i, side);
        free(blocks[i]);
    }
}

enum order { CHILD_FIRST, PARENT_FIRST, TOGETHER, ORDERS };

static void one_fork(enum order order)
{
    unsigned char *blocks[RESIZES];
    for (size_t i = 0; i < RESIZES; i++)
        blocks[i] = block_new(resizes[i].from, i + 1);
    struct turns turns = turns_new();
    pid_t child = require_fork();
    if (child == 0) {
        alarm(600);
        turns_child_side(&turns);
        if (order == PARENT_FIRST)
            turn_take(turns.to_child, "child");
        use_blocks(blocks, 1000, "child");
        _exit(0);
    }
    turns_parent_side(&turns);
    if (order == CHILD_FIRST)
        require_exit_0(child, "child first");
    use_blocks(blocks, 2000, "parent");
    if (order == PARENT_FIRST)
        turn_give(turns.to_child);
    if (order != CHILD_FIRST)
        require_exit_0(child, "child after or beside");
    turns_close_parent(&turns);
}

/* A block that was resized on one side only: the other side's is as before. */
static void one_side_only(bool in_child)
{
    size_t size = BIG_LARGE;
    unsigned char *big = block_new(size, 7), *fry = block_new(FRY_LARGE, 8);
    pid_t child = require_fork();
    if (child != 0)
        require_exit_0(child, "one side only");
    if ((child == 0) == in_child) {
        big = realloc(big, 3 * size);
        fry = realloc(fry, FRY_LARGE / 4);
        REQUIRE(big != NULL && fry != NULL);
        content_require(fry, FRY_LARGE / 4, 8, "resized");
        memset(big + size, 1, 2 * size);
        memset(fry, 1, FRY_LARGE / 4);
    } else {
        content_require(fry, FRY_LARGE, 8, "left alone");
    }
    content_require(big, size, 7, "one side only");
    if (child == 0)
        _exit(0);
    free(big);
    free(fry);
}

int main(int argc, char **argv)
{
    (void)argc;
    fork_test_begin(argv);
    alarm(600);
    for (int round = 0; round < 4; round++) {
        for (enum order order = 0; order < ORDERS; order++)
            one_fork(order);
        one_side_only(true);
        one_side_only(false);
    }
    printf("ok: realloc on both sides of %d forks, %d resizes each, mode %s\n", 4 * (ORDERS + 2),
           RESIZES, fork_mode());
    return 0;
}
