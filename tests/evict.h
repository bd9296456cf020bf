/* evict.h - memory that was swapped out, for tests of what brings it back. */
#ifndef EVICT_H
#define EVICT_H

#include "check.h"
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Writes whole pages to their file and lets go of them, past our own madvise. Returns how many stay in memory. */
static inline size_t evict(void *p, size_t bytes)
{
    unsigned char in[8192];
    size_t left = bytes;
    CHECK(msync(p, bytes, MS_SYNC) == 0);
    for (int tries = 0; tries < 50 && left; tries++) {
        if (tries)
            usleep(20000);
        left = 0;
        syscall(SYS_madvise, p, bytes, MADV_PAGEOUT);
        for (size_t at = 0, step; at < bytes; at += step) {
            step = bytes - at < sizeof in * 4096 ? bytes - at : sizeof in * 4096;
            CHECK(mincore((char *)p + at, step, in) == 0);
            for (size_t i = 0; i < step / 4096; i++)
                left += in[i] & 1;
        }
    }
    return left;
}

#endif
