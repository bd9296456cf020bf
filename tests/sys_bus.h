/* sys_bus.h - memory whose disk fails under it, for io_error.sh and io_error_dm.sh. */
#ifndef SYS_BUS_H
#define SYS_BUS_H

#include "evict.h"
#include "sys_blocks.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Writes a block to its disk and lets go of every page; past our own madvise. */
static inline void bus_evict(const struct block *b)
{
    char *from = (char *)((uintptr_t)b->p & ~(uintptr_t)4095);
    size_t left = evict(from, (b->size + (uintptr_t)b->p % 4096 + 4095) & ~(size_t)4095);
    if (left)
        fprintf(stderr, "%zu pages stay in memory\n", left);
    CHECK(left == 0);
}

static struct sigaction bus_before;
static inline void bus_own(int sig)
{
    (void)sig;
    syscall(SYS_write, 1, "own handler\n", 12);
    _exit(7);
}
static inline void bus_chain(int sig, siginfo_t *info, void *context)
{
    syscall(SYS_write, 1, "chained\n", 8);
    if (bus_before.sa_flags & SA_SIGINFO)
        bus_before.sa_sigaction(sig, info, context);
}

static inline void bus_handle(void (*simple)(int), void (*full)(int, siginfo_t *, void *))
{
    struct sigaction act = {.sa_flags = full ? SA_SIGINFO : 0};
    if (full)
        act.sa_sigaction = full;
    else
        act.sa_handler = simple;
    CHECK(sigaction(SIGBUS, &act, &bus_before) == 0);
}

#endif
