/* fork_lost.c - a program that closes descriptors that it has not opened, again and again, between forks, while its blocks
 * grow, shrink, and are mapped over in part: what lies in a file that nobody has a descriptor of is isolated all the same.
 */
#include "fork_common.h"

enum { PART = 320 << 10, PARTS = 9, ROUNDS = 12 };

struct grown {
    unsigned char *block;
    size_t part, parts; /* bytes; in use */
    uint64_t seeds[PARTS];
};

static void part_write(struct grown *g, size_t i, uint64_t seed)
{
    g->seeds[i] = seed;
    content_fill(g->block + i * g->part, g->part, seed);
}

static void require_parts(const struct grown *g, const char *who)
{
    for (size_t i = 0; i < g->parts; i++)
        content_require(g->block + i * g->part, g->part, g->seeds[i], who);
}

/* Both sides write to every other part, each its own, and see nothing of the other's. */
static void fork_and_write(struct grown *blocks, size_t count, uint64_t seed, bool child_closes)
{
    int go[2];
    char byte = 0;
    REQUIRE(pipe(go) == 0);
    pid_t child = require_fork();
    if (child == 0) {
        alarm(600);
        for (size_t b = 0; b < count; b++)
            require_parts(&blocks[b], "child, at once");
        REQUIRE(close(go[1]) == 0 && read(go[0], &byte, 1) == 0); /* until the parent has written */
        if (child_closes)
            close_all();
        for (size_t b = 0; b < count; b++) {
            require_parts(&blocks[b], "child, after the parent has written");
            for (size_t i = 1; i < blocks[b].parts; i += 2)
                part_write(&blocks[b], i, seed + 500 + i);
            require_parts(&blocks[b], "child, at the end");
        }
        _exit(0);
    }
    for (size_t b = 0; b < count; b++)
        for (size_t i = 0; i < blocks[b].parts; i += 2)
            part_write(&blocks[b], i, seed + i);
    REQUIRE(close(go[1]) == 0);
    require_exit_0(child, "the child");
    close(go[0]);
    for (size_t b = 0; b < count; b++)
        require_parts(&blocks[b], "parent, after the child");
}

static void resize(struct grown *g, size_t parts, uint64_t seed)
{
    unsigned char *p = realloc(g->block, parts * g->part);
    REQUIRE(p != NULL);
    g->block = p;
    size_t old = g->parts;
    g->parts = parts;
    for (size_t i = old; i < parts; i++)
        part_write(g, i, seed + i);
    require_parts(g, "after realloc");
}

/* Fresh memory of the program's own over the middle of a part. */
static void overlay(struct grown *g, size_t i, uint64_t seed)
{
    unsigned char *from = (unsigned char *)(((uintptr_t)g->block + i * g->part + PAGE - 1) & -(uintptr_t)PAGE);
    REQUIRE(mmap(from, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == from);
    part_write(g, i, seed);
}

/* Files are closed between two lots of fries of which none fits into what there is; a block in each is made anew. */
static void close_between(struct grown *before, struct grown *after)
{
    enum { LOT = 150 };
    static void *lots[2 * LOT];
    for (size_t i = 0; i < 2 * LOT; i++) {
        struct grown *g = i < LOT ? before : after;
        if (i == LOT)
            close_all();
        REQUIRE((lots[i] = malloc(100000)) != NULL);
        if (i % LOT != LOT / 2)
            continue;
        unsigned char *block = malloc(g->parts * g->part);
        REQUIRE(block != NULL);
        memcpy(block, g->block, g->parts * g->part);
        free(g->block);
        g->block = block;
    }
    for (size_t i = 0; i < 2 * LOT; i++)
        free(lots[i]);
}

/* Resizes each of the first ones twice before the next fork, with files closed in between; the others stay as they are. */
static void run(struct grown *blocks, size_t count, size_t resized)
{
    for (size_t b = 0; b < count; b++) {
        blocks[b].block = block_new(blocks[b].part, blocks[b].seeds[0] = 7 + b);
        blocks[b].parts = 1;
        if (b >= resized)
            resize(&blocks[b], 3, 70 + b);
    }
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (size_t step = 0; step < 2 * resized; step++) {
            struct grown *g = &blocks[step % resized];
            uint64_t seed = (round + 1) * 100000 + step * 1000;
            size_t parts = round % 4 == 3 ? 2 : g->parts + 1;
            resize(g, parts < PARTS ? parts : 1, seed);
            if (step == resized - 1 || (round + step) % 7 == 0)
                close_between(&blocks[count - 1], &blocks[count - 2]);
            if ((round + step) % 5 == 0 && g->part >= 2 * PAGE)
                overlay(g, g->parts - 1, seed + 50);
        }
        for (size_t b = resized; b < count; b++) /* in a file that is closed, beside one that is not */
            if ((round + b) % 4 == 0 && blocks[b].part >= 2 * PAGE)
                overlay(&blocks[b], 1, (round + 1) * 1000 + b);
        if (round % 4 == 0)
            close_all();
        fork_and_write(blocks, count, (round + 1) * 1000000, round % 3 == 0);
    }
    for (size_t b = 0; b < count; b++)
        free(blocks[b].block);
}

int main(int argc, char **argv)
{
    (void)argc;
    fork_test_begin(argv);
    alarm(1200);
    struct grown large[] = {{.part = PART}, {.part = PART + 100}, {.part = PART}};
    struct grown small[] = {{.part = 40000}, {.part = 12000}, {.part = 3000}, {.part = 60000}, {.part = 20000}, {.part = 15000}};
    struct grown still[] = {{.part = 3000}, {.part = 60000}, {.part = 20000}, {.part = 30000}};
    run(large, 3, 2);
    run(small, 6, 3);
    run(still, 4, 1);
    return 0;
}
