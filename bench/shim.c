/* shim.c - the least that a preloaded malloc can cost: a jump to the next one in line.
 * SPDX-License-Identifier: MIT
 *
 * bench/passthrough.sh compares the library with it. The pointers start at functions that look
 * the real ones up, so that the calls afterwards do nothing but jump.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

#define EXPORT __attribute__((visibility("default")))

static void *malloc_first(size_t size);
static void free_first(void *p);

static void *(*next_malloc)(size_t) = malloc_first;
static void (*next_free)(void *) = free_first;

static void *malloc_first(size_t size)
{
    next_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    return next_malloc(size);
}

static void free_first(void *p)
{
    next_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
    next_free(p);
}

EXPORT void *malloc(size_t size) { return next_malloc(size); }
EXPORT void free(void *p) { next_free(p); }
