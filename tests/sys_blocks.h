/* sys_blocks.h - blocks whose contents are known, for the programs of the system tests: each
 * word tells the block and the place that it belongs to, so a block that lost, swapped or shares
 * a page is found. */
#ifndef SYS_BLOCKS_H
#define SYS_BLOCKS_H

#include "bigmaac.h"
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct block {
    void *p;
    size_t size;
    uint64_t seed;
};

static uint64_t random_state = 88172645463325252u;

static inline uint64_t random_word(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static inline size_t random_below(size_t n) { return (size_t)(random_word() >> 11) % n; }

static inline uint64_t word_at(uint64_t seed, size_t i)
{
    return (seed + 1) * 0x9e3779b97f4a7c15u + i;
}

/* The bytes after the last whole word hold the start of the next one: what a block holds up to
 * its size is a prefix of what it holds when it is larger. */
static inline void block_paint_from(const struct block *b, size_t from)
{
    char *at = b->p;
    size_t i = from / 8;
    for (; i < b->size / 8; i++) { /* a builtin: no call for each word */
        uint64_t word = word_at(b->seed, i);
        __builtin_memcpy(at + i * 8, &word, 8);
    }
    uint64_t word = word_at(b->seed, i);
    memcpy(at + i * 8, &word, b->size % 8);
}

static inline void block_paint(struct block *b, uint64_t seed)
{
    b->seed = seed;
    block_paint_from(b, 0);
}

static inline int block_intact_to(const struct block *b, size_t end)
{
    const char *at = b->p;
    size_t i = 0;
    for (uint64_t there; i < end / 8; i++) {
        __builtin_memcpy(&there, at + i * 8, 8);
        if (there != word_at(b->seed, i))
            break;
    }
    uint64_t word = word_at(b->seed, i);
    if (i == end / 8 && memcmp(at + i * 8, &word, end % 8) == 0)
        return 1;
    fprintf(stderr, "block %p, %zu bytes, seed %llu: wrong at %zu\n", b->p, b->size, (unsigned long long)b->seed, i * 8);
    return 0;
}

static inline int block_intact(const struct block *b)
{
    return b->p == NULL || block_intact_to(b, b->size);
}

/* False when there is no memory; errno tells, and *b is empty. */
static inline int block_new(struct block *b, size_t size, uint64_t seed)
{
    b->p = opaque(malloc(size));
    b->size = b->p ? size : 0;
    if (b->p)
        block_paint(b, seed);
    return b->p != NULL;
}

/* False when there is no memory; errno tells, and *b is as it was. */
static inline int block_resize(struct block *b, size_t size)
{
    size_t old = b->size;
    void *p = opaque(realloc(b->p, size));
    if (p == NULL)
        return 0;
    b->p = p;
    b->size = size;
    CHECK(block_intact_to(b, old < size ? old : size));
    if (size > old)
        block_paint_from(b, old);
    return 1;
}

static inline void block_drop(struct block *b)
{
    free(b->p);
    b->p = NULL;
    b->size = 0;
}

static inline size_t blocks_damaged(const struct block *blocks, size_t count)
{
    size_t damaged = 0;
    for (size_t i = 0; i < count; i++)
        damaged += !block_intact(&blocks[i]);
    return damaged;
}

static inline size_t blocks_of_kind(const struct block *blocks, size_t count, int kind)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += blocks[i].p != NULL && bigmaac_try_kind(blocks[i].p) == kind;
    return found;
}

/* The number after NAME in a file like /proc/self/status or /proc/self/io. Without stdio, whose
 * buffers would be blocks too. */
static inline long long value_in(const char *path, const char *name)
{
    char text[8192], *at;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = 0;
    at = strstr(text, name);
    return at ? atoll(at + strlen(name)) : -1;
}

#endif
