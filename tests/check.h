/* check.h - what every test program here uses. A failed check tells where, and the test goes on
 * to its end, so that one run shows all that is wrong. */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int checks_failed;

#define CHECK(condition)                                                                      \
    do {                                                                                      \
        if (!(condition)) {                                                                   \
            checks_failed++;                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                   \
        }                                                                                     \
    } while (0)

/* The last line of main(). */
static inline int check_result(void) { return checks_failed ? 1 : 0; }

/* Bits of the addresses that a program can have: on aarch64 2^47 bytes can be mapped. */
#ifdef __aarch64__
#define ADDRESS_BITS 48
#else
#define ADDRESS_BITS 47
#endif

/* A pointer that the compiler knows nothing about: it may not drop the calls around it. */
static inline void *opaque(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

/* Fills memory with words that depend on seed and position, and tells whether they are there. */
static inline void fill(void *p, size_t bytes, uint64_t seed)
{
    unsigned char *at = p;
    for (size_t i = 0; i < bytes; i++)
        at[i] = (unsigned char)((seed + i * 0x9e3779b97f4a7c15u) >> 56);
}

static inline int is_filled(const void *p, size_t bytes, uint64_t seed)
{
    const unsigned char *at = p;
    for (size_t i = 0; i < bytes; i++)
        if (at[i] != (unsigned char)((seed + i * 0x9e3779b97f4a7c15u) >> 56))
            return 0;
    return 1;
}

static inline int is_zero(const void *p, size_t bytes)
{
    const unsigned char *at = p;
    for (size_t i = 0; i < bytes; i++)
        if (at[i])
            return 0;
    return 1;
}

/* A field of /proc/self/io, such as "read_bytes". */
static inline unsigned long long process_io(const char *field)
{
    char line[128];
    unsigned long long bytes = 0;
    FILE *f = fopen("/proc/self/io", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, field, strlen(field)) == 0)
            bytes = strtoull(line + strlen(field) + 1, NULL, 10);
    if (f)
        fclose(f);
    return bytes;
}

#endif
