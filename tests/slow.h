/* slow.h - a program that works on its memory so slowly that the monitor comes in between. */
#ifndef SLOW_H
#define SLOW_H

#include <stddef.h>
#include <unistd.h>

/* Writes to every 4 KiB, and pauses in each MiB. */
static inline void write_slowly(void *p, size_t bytes, unsigned char value, unsigned pause_us)
{
    unsigned char *at = p;
    for (size_t i = 0; i < bytes; i += 4096) {
        at[i] = value;
        if (i % (1 << 20) == 0)
            usleep(pause_us);
    }
}

#endif
