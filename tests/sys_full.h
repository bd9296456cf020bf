/* sys_full.h - what a program must see when the disk of its swap files is full. Compile with a
 * main() that calls these. BIGMAAC_MIN_BIGMAAC_SIZE=512K BIGMAAC_MIN_FRY_SIZE=64 are expected. */
#ifndef SYS_FULL_H
#define SYS_FULL_H

#include "sys_blocks.h"

enum { FULL_MAX = 400, FULL_FRIES = 6000 };
static const size_t full_size = 1 << 20;

/* Takes 1 MiB bigmaacs until the disk has no room; returns how many there were. */
static inline size_t full_exhaust(struct block *blocks)
{
    size_t count = 0;
    while (count < FULL_MAX && block_new(&blocks[count], full_size, count) &&
           bigmaac_try_kind(blocks[count].p) == BIGMAAC_KIND_BIGMAAC)
        count++;
    CHECK(count < FULL_MAX); /* or the disk was not full, and this tests nothing */
    CHECK(blocks[count].p && block_intact(&blocks[count])); /* the next malloc's */
    block_drop(&blocks[count]);
    return count;
}

/* Every other way to ask for memory is served by the next malloc too, and leaves what there is alone. */
static inline void full_elsewhere(struct block *blocks, size_t count)
{
    void *p[3] = {calloc(40, full_size), aligned_alloc(4096, 40 * full_size), NULL};
    CHECK(posix_memalign(&p[2], 64, 40 * full_size) == 0);
    CHECK(p[0] && is_zero(p[0], 40 * full_size));
    for (int i = 0; i < 3; i++) {
        CHECK(p[i] && bigmaac_try_kind(p[i]) == BIGMAAC_KIND_NONE);
        fill(p[i], 40 * full_size, i);
    }
    CHECK(block_resize(&blocks[0], 40 * full_size) && bigmaac_try_kind(blocks[0].p) == BIGMAAC_KIND_NONE);
    CHECK(blocks_damaged(blocks, count) == 0);
    for (int i = 0; i < 3; i++) {
        CHECK(is_filled(p[i], 40 * full_size, i));
        free(opaque(p[i]));
    }
    CHECK(block_resize(&blocks[0], full_size) && bigmaac_try_kind(blocks[0].p) == BIGMAAC_KIND_BIGMAAC);
    for (size_t i = 0; i < count; i++) /* writing to what we have needs no new disk blocks */
        block_paint(&blocks[i], i + 1000);
    CHECK(blocks_damaged(blocks, count) == 0);
}

/* Room that comes back is used again: in the same and in another size. */
static inline void full_again(struct block *blocks, size_t count)
{
    struct block other = {0};
    size_t dropped = count / 2;
    CHECK(dropped >= 4);
    for (size_t i = 0; i < dropped; i++)
        block_drop(&blocks[i]);
    CHECK(block_new(&other, (dropped - 2) * full_size, 7777));
    CHECK(bigmaac_try_kind(other.p) == BIGMAAC_KIND_BIGMAAC);
    CHECK(blocks_damaged(blocks, count) == 0 && block_intact(&other));
    block_drop(&other);
    CHECK(block_resize(&blocks[count - 1], (dropped - 2) * full_size));
    CHECK(block_resize(&blocks[count - 1], full_size));
    CHECK(blocks_damaged(blocks, count) == 0);
    for (size_t i = 0; i < dropped - 2; i++)
        CHECK(block_new(&blocks[i], full_size, i + 2000));
    CHECK(blocks_damaged(blocks, count) == 0);
    for (size_t i = 0; i < count; i++)
        block_drop(&blocks[i]);
}

/* Small blocks are always served: by us while there is room, then by the next malloc. Room that
 * dead bigmaacs hold is room, and so is the room of dead fries for bigmaacs: `back_mib` of it. */
static inline void full_fries(size_t back_mib)
{
    struct block *fries = malloc(FULL_FRIES * sizeof *fries), big;
    size_t ours = 0;
    for (size_t i = 0; i < FULL_FRIES; i++) {
        CHECK(block_new(&fries[i], 100 + random_below(10000), i));
        ours += bigmaac_try_kind(fries[i].p) == BIGMAAC_KIND_FRY ? fries[i].size : 0;
    }
    CHECK(ours > 6 * full_size);
    CHECK(blocks_of_kind(fries, FULL_FRIES, BIGMAAC_KIND_NONE) > 100);
    for (size_t i = 0; i < FULL_FRIES; i += 3) /* growing and shrinking too, across both kinds */
        CHECK(block_resize(&fries[i], 100 + random_below(20000)));
    CHECK(blocks_damaged(fries, FULL_FRIES) == 0);
    for (size_t i = 0; i < FULL_FRIES; i++)
        block_drop(&fries[i]);
    for (size_t i = 0; i < 100; i++)
        CHECK(block_new(&fries[i], 3000, i));
    CHECK(blocks_of_kind(fries, 100, BIGMAAC_KIND_FRY) == 100);
    CHECK(block_new(&big, back_mib * full_size, 9));
    CHECK(blocks_damaged(fries, 100) == 0 && block_intact(&big));
    for (size_t i = 0; i < 100; i++)
        block_drop(&fries[i]);
    block_drop(&big);
    free(fries);
}

#endif
