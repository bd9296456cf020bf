/* kinds.h - what the api tests share: the thresholds in force, the kind that a request of some
 * size must be of, and contents of large blocks that are cheap to write and to check. Without
 * the library every kind is right. */
#ifndef KINDS_H
#define KINDS_H

#include <ctype.h>
#include <errno.h>
#include <malloc.h>
#include "bigmaac.h"
#include "check.h"

enum { SENTINEL = 12345 }; /* no errno value: shows whether a call wrote to errno */

/* A size from the environment: digits, then K, M or G. */
static inline size_t setting(const char *name, size_t missing)
{
    const char *text = getenv(name);
    if (!text)
        return missing;
    char *end;
    size_t value = strtoul(text, &end, 10);
    for (const char *units = "KMG", *u = units; *end && *u; u++) {
        value *= 1024;
        if (toupper((unsigned char)*end) == *u)
            break;
    }
    return value;
}

static inline int kind_wanted(size_t size)
{
    size_t min_fry = setting("BIGMAAC_MIN_FRY_SIZE", 0);
    if (size > setting("BIGMAAC_MIN_BIGMAAC_SIZE", (size_t)10 << 20))
        return BIGMAAC_KIND_BIGMAAC;
    return min_fry && size > min_fry ? BIGMAAC_KIND_FRY : BIGMAAC_KIND_NONE;
}

static inline int has_library(void) { return bigmaac_kind != NULL; }

/* A test that passes because everything was passed through would prove nothing. */
static inline int is_kind(const void *p, size_t size)
{
    return !has_library() || bigmaac_kind(p) == kind_wanted(size);
}

/* Steps that visit every byte of the edges, and every page, of large blocks every eighth: page
 * faults are what takes the time. Primes, so that every offset in a page has its turn. */
static inline size_t stamp_step(size_t at, size_t bytes)
{
    size_t edge = 256, step = bytes <= (size_t)2 << 20 ? 509 : 32749;
    if (at < edge || bytes - at <= edge)
        return 1;
    return bytes - at - edge < step ? bytes - at - edge : step;
}

static inline unsigned char stamp_byte(size_t at, uint64_t seed)
{
    return (unsigned char)(((seed ^ at) * 0x9e3779b97f4a7c15u) >> 56);
}

static inline void stamp(void *p, size_t bytes, uint64_t seed)
{
    unsigned char *to = p;
    for (size_t at = 0; at < bytes; at += stamp_step(at, bytes))
        to[at] = stamp_byte(at, seed);
}

/* True if the first `kept` bytes are those of a stamp of `bytes` bytes. */
static inline int is_stamped(const void *p, size_t kept, size_t bytes, uint64_t seed)
{
    const unsigned char *from = p;
    for (size_t at = 0; at < kept; at += stamp_step(at, bytes))
        if (from[at] != stamp_byte(at, seed))
            return 0;
    return 1;
}

static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 1 ... 2^bits: small numbers as likely as large ones, as in real programs. */
static inline size_t random_size(uint64_t *state, unsigned bits)
{
    size_t top = (size_t)1 << (random_next(state) % (bits + 1));
    return top / 2 + random_next(state) % (top - top / 2) + 1;
}

#endif
