/* bigmaac.h - what a program may ask BigMaac while it runs under it.
 * SPDX-License-Identifier: MIT
 *
 * A program that includes this header runs with and without the library preloaded: it calls the
 * bigmaac_try_* helpers, which work in every kind of program, C and C++:
 *
 *     if (bigmaac_try_kind(p) == BIGMAAC_KIND_BIGMAAC) ...
 *
 * The functions themselves are declared weak, and their addresses may be tested before a call; but the
 * linker makes them 0 for ever in a program that is not position-independent (-no-pie).
 *
 * All functions may be called from any thread, not from signal handlers. They return 0 on
 * success and an errno value on failure; errno itself is left alone.
 */
#ifndef BIGMAAC_H
#define BIGMAAC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a pointer is. */
enum bigmaac_kind_value {
    BIGMAAC_KIND_NONE = 0,    /* not ours: glibc's, the stack's, a mapping's ... */
    BIGMAAC_KIND_BIGMAAC = 1, /* inside a bigmaac: a large block with a file of its own */
    BIGMAAC_KIND_FRY = 2,     /* inside a fry: a small block in the shared fries file */
    BIGMAAC_KIND_MMAP = 3     /* inside a mapping of the program's own that can be swapped */
};

/* How one bigmaac will be used. */
enum bigmaac_advice {
    BIGMAAC_ADAPTIVE = 0,   /* take back earlier advice: the library watches and decides */
    BIGMAAC_SEQUENTIAL = 1, /* streamed from one end to the other: read far ahead */
    BIGMAAC_RANDOM = 2,     /* picked at random: read only what is touched */
    BIGMAAC_KEEP = 3,       /* keep it in RAM: locked, as far as RLIMIT_MEMLOCK lets us */
    BIGMAAC_OPT_OUT = 4     /* make it ordinary memory, same address, data kept: for io_uring's
                               registered buffers, RDMA and the like; it can't be swapped then. Other threads
                               may write to it meanwhile */
};

/* A snapshot of the library's counters. New fields are added at the end only. */
struct bigmaac_stats {
    size_t size;             /* in: sizeof(struct bigmaac_stats); out: bytes filled in */
    uint64_t bigmaacs;       /* bigmaacs given out since the start (grows only) */
    uint64_t bigmaac_bytes;  /* bytes requested in live bigmaacs now */
    uint64_t bigmaac_peak;   /* the highest that bigmaac_bytes has been */
    uint64_t fries;          /* fries given out since the start (grows only) */
    uint64_t fry_bytes;      /* bytes (of their size class) in live fries now */
    uint64_t fry_peak;       /* the highest that fry_bytes has been, to within a sixteenth */
    uint64_t files;          /* swap files open now */
    uint64_t file_bytes;     /* bytes of those files now */
    uint64_t file_peak;      /* the highest that file_bytes has been */
    uint64_t warm_bytes;     /* bytes of freed bigmaacs kept warm for reuse now */
    uint64_t fell_through;   /* requests of ours that the next malloc had to serve */
    uint64_t maps;           /* the program's own mappings that could be swapped, since the start (grows only) */
    uint64_t map_bytes;      /* bytes of them now, touched or not */
    uint64_t map_peak;       /* the highest that map_bytes has been */
    uint64_t map_moved;      /* bytes of them that were moved to disk, now */
    uint64_t map_home;       /* bytes that came back from there since the start, because the program used them most */
    uint64_t map_cold;       /* bytes that were moved since the start, because the program did not use them */
};

/* Which kind of memory p points into; any pointer, NULL included, may be asked about.
 * Never fails. */
int bigmaac_kind(const void *p) __attribute__((weak));

/* Fills *out. Set out->size first. EINVAL: out is NULL or its size too small for one field. */
int bigmaac_stats(struct bigmaac_stats *out) __attribute__((weak));

/* Advice for the live bigmaac that starts at p. EINVAL: p does not start a live bigmaac, or the
 * advice is unknown. ENOMEM, EAGAIN: the memory could not be locked (KEEP) or made ordinary
 * (OPT_OUT); the block is as it was. */
int bigmaac_advise(void *p, int advice) __attribute__((weak));

/* dlsym(3), under a name that no other declaration of it contradicts. Weak, too: older C libraries have it in
 * libdl, which not every program is linked with. */
typedef void (*bigmaac_function_)(void);
extern bigmaac_function_ bigmaac_dlsym_(void *scope, const char *name) __asm__("dlsym") __attribute__((weak));

static inline bigmaac_function_ bigmaac_find_(const char *name)
{
    return bigmaac_dlsym_ ? bigmaac_dlsym_((void *)0, name) : (bigmaac_function_)0; /* RTLD_DEFAULT */
}

/* The same calls, harmless without the library: NONE, ENOSYS, ENOSYS (38 on Linux). */
static inline int bigmaac_try_kind(const void *p)
{
    static int (*found)(const void *);
    if (!found && !(found = bigmaac_kind))
        found = (int (*)(const void *))bigmaac_find_("bigmaac_kind");
    return found ? found(p) : (int)BIGMAAC_KIND_NONE;
}

static inline int bigmaac_try_stats(struct bigmaac_stats *out)
{
    static int (*found)(struct bigmaac_stats *);
    if (!found && !(found = bigmaac_stats))
        found = (int (*)(struct bigmaac_stats *))bigmaac_find_("bigmaac_stats");
    return found ? found(out) : 38;
}

static inline int bigmaac_try_advise(void *p, int advice)
{
    static int (*found)(void *, int);
    if (!found && !(found = bigmaac_advise))
        found = (int (*)(void *, int))bigmaac_find_("bigmaac_advise");
    return found ? found(p, advice) : 38;
}

#ifdef __cplusplus
}
#endif

#endif
