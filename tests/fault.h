/* fault.h - includes the library with every system call that it makes going through here: each is
 * counted by kind, and number `at` of one kind fails with the wanted errno (with `sticky`: that one
 * and all later ones). Time stands still but for sleeps, and no thread is made, so runs repeat. */
#ifndef FAULT_H
#define FAULT_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum call {
    CALL_OPEN, CALL_OPEN_READ, CALL_FALLOCATE, CALL_FTRUNCATE, CALL_MMAP, CALL_MMAP_ANON, CALL_MREMAP,
    CALL_MUNMAP, CALL_MPROTECT, CALL_MADVISE, CALL_THREAD, CALL_PWRITE, CALL_READ, CALL_STAT,
    CALL_STATFS, CALL_FCNTL, CALL_CLOSE, CALL_RANDOM, CALL_UNLINK, CALL_IOCTL, CALL_LSEEK, CALL_MLOCK,
    CALL_MINCORE, CALL_MSYNC, CALL_ACCESS, CALL_RLIMIT, CALL_KEY, CALL_COUNT
};

enum { SHORT = 1000 }; /* in place of an errno: half of what was asked for is done */

static const struct call_info {
    const char *name;
    int errors[8]; /* to 0 */
} calls[CALL_COUNT] = {
    [CALL_OPEN] = {"open (swap file)", {ENOSPC, EMFILE, ENFILE, EACCES, EIO, ENOMEM, EOPNOTSUPP}},
    [CALL_OPEN_READ] = {"open (to read)", {EMFILE, EACCES, ENOMEM}},
    [CALL_FALLOCATE] = {"fallocate", {ENOSPC, EDQUOT, EIO, EFBIG, EOPNOTSUPP, EINTR, ENODEV}},
    [CALL_FTRUNCATE] = {"ftruncate", {EIO, EFBIG}},
    [CALL_MMAP] = {"mmap (file)", {ENOMEM, EAGAIN, ENODEV}},
    [CALL_MMAP_ANON] = {"mmap (no file)", {ENOMEM}},
    [CALL_MREMAP] = {"mremap", {ENOMEM, EFAULT}},
    [CALL_MUNMAP] = {"munmap", {ENOMEM}},
    [CALL_MPROTECT] = {"mprotect", {ENOMEM}},
    [CALL_MADVISE] = {"madvise", {EINVAL, ENOMEM, EAGAIN, EIO}},
    [CALL_THREAD] = {"pthread_create", {EAGAIN}},
    [CALL_PWRITE] = {"pwrite", {EIO, ENOSPC, EINTR, SHORT}},
    [CALL_READ] = {"read, pread", {EIO, SHORT}},
    [CALL_STAT] = {"stat, fstat", {EIO}},
    [CALL_STATFS] = {"statfs, fstatfs", {EIO}},
    [CALL_FCNTL] = {"fcntl", {EMFILE}},
    [CALL_CLOSE] = {"close", {EIO, EINTR}},
    [CALL_RANDOM] = {"getrandom", {ENOSYS}},
    [CALL_UNLINK] = {"unlink", {EIO}},
    [CALL_IOCTL] = {"ioctl", {ENOTTY}},
    [CALL_LSEEK] = {"lseek", {EINVAL}},
    [CALL_MLOCK] = {"mlock", {ENOMEM, EAGAIN}},
    [CALL_MINCORE] = {"mincore", {EAGAIN, ENOMEM}},
    [CALL_MSYNC] = {"msync", {EIO}},
    [CALL_ACCESS] = {"access", {EIO}},
    [CALL_RLIMIT] = {"prlimit64", {EINVAL}},
    [CALL_KEY] = {"pthread_key_create, pthread_setspecific", {EAGAIN}},
};

struct fault_shared { /* by all processes of a run */
    unsigned most[CALL_COUNT]; /* what `seen` got to */
    char last[256];            /* the library's last message */
};

static struct fault {
    enum call call;
    unsigned at; /* counted from 1; 0: nothing fails */
    int err;
    bool sticky;
    bool armed;             /* false: as if this file weren't there */
    unsigned seen[CALL_COUNT];
    unsigned fired;
    struct fault_shared *shared;
    uint64_t ms;            /* the time */
    unsigned messages;
    char said[4096];        /* the library's messages */
} fault;

/* Counts a call. Tells whether it is to fail; errno says how. */
static bool fails(enum call call)
{
    if (!fault.armed)
        return false;
    unsigned n = ++fault.seen[call];
    if (fault.shared && n > fault.shared->most[call])
        fault.shared->most[call] = n;
    if (!fault.at || call != fault.call || n < fault.at || (n > fault.at && !fault.sticky))
        return false;
    fault.fired++;
    errno = fault.err;
    return true;
}

/* The thread seems to be there, and does nothing. */
static int fault_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    if (!fault.armed)
        return pthread_create(thread, attr, run, arg);
    return fails(CALL_THREAD) ? fault.err : 0;
}

static int fault_pthread_key_create(pthread_key_t *key, void (*end)(void *))
{
    return fails(CALL_KEY) ? fault.err : pthread_key_create(key, end);
}

static int fault_pthread_setspecific(pthread_key_t key, const void *value)
{
    return fails(CALL_KEY) ? fault.err : pthread_setspecific(key, value);
}

static void fault_note(const char *text, size_t n)
{
    size_t used = strlen(fault.said);
    n = n < sizeof fault.said - 1 - used ? n : sizeof fault.said - 1 - used;
    memcpy(fault.said + used, text, n);
    if (fault.shared)
        snprintf(fault.shared->last, sizeof fault.shared->last, "%s", fault.said + used);
    fault.messages++;
}

static enum call fault_kind(long number, const long *arg)
{
    switch (number) {
    case SYS_openat:
        return (arg[2] & O_CREAT) || (arg[2] & O_TMPFILE) == O_TMPFILE ? CALL_OPEN : CALL_OPEN_READ;
    case SYS_fallocate:
        return CALL_FALLOCATE;
    case SYS_madvise:
        return CALL_MADVISE;
    case SYS_pwrite64:
        return CALL_PWRITE;
    case SYS_read:
    case SYS_pread64:
    case SYS_getdents64:
        return CALL_READ;
    case SYS_fcntl:
        return CALL_FCNTL;
    case SYS_close:
        return CALL_CLOSE;
    case SYS_getrandom:
        return CALL_RANDOM;
    case SYS_unlinkat:
        return CALL_UNLINK;
    case SYS_msync:
        return CALL_MSYNC;
    case SYS_ftruncate:
        return CALL_FTRUNCATE;
    case SYS_mmap:
        return arg[4] < 0 ? CALL_MMAP_ANON : CALL_MMAP;
    case SYS_mremap:
        return CALL_MREMAP;
    case SYS_munmap:
        return CALL_MUNMAP;
    case SYS_mprotect:
        return CALL_MPROTECT;
    case SYS_newfstatat:
    case SYS_fstat:
        return CALL_STAT;
    case SYS_statfs:
    case SYS_fstatfs:
        return CALL_STATFS;
    case SYS_ioctl:
        return CALL_IOCTL;
    case SYS_lseek:
        return CALL_LSEEK;
    case SYS_mlock:
        return CALL_MLOCK;
    case SYS_mincore:
        return CALL_MINCORE;
    case SYS_faccessat:
        return CALL_ACCESS;
    case SYS_prlimit64:
        return CALL_RLIMIT;
    default:
        return CALL_COUNT;
    }
}

/* Much at a time is not really allocated, tmpfs would take long; and it can't zero a range. */
static int fault_fallocate(int fd, int mode, off_t from, off_t n)
{
    bool zero = mode & FALLOC_FL_ZERO_RANGE, much = n > 64 << 20;
    struct stat st;
    if (zero && fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, from, n) != 0)
        return -1;
    if (much && zero)
        return 0;
    if (much && mode == 0)
        return fstat(fd, &st) != 0 || (st.st_size < from + n && ftruncate(fd, from + n) != 0) ? -1 : 0;
    return fallocate(fd, zero ? FALLOC_FL_KEEP_SIZE : mode, from, n);
}

static long fault_sys(long number, long a, long b, long c, long d, long e, long f)
{
    const long arg[6] = {a, b, c, d, e, f};
    if (number == SYS_clock_gettime) {
        *(struct timespec *)arg[1] = (struct timespec){.tv_sec = (time_t)(fault.ms / 1000),
                                                       .tv_nsec = (long)(fault.ms % 1000) * 1000000};
        return 0;
    }
    if (number == SYS_write) {
        fault_note((const char *)arg[1], (size_t)arg[2]);
        return arg[2];
    }
    if (number == SYS_nanosleep) {
        const struct timespec *t = (const struct timespec *)arg[0];
        fault.ms += (uint64_t)t->tv_sec * 1000 + (uint64_t)t->tv_nsec / 1000000;
        return 0;
    }
    enum call kind = fault_kind(number, arg);
    if (kind != CALL_COUNT && fails(kind)) {
        if (fault.err == SHORT && number != SYS_getdents64)
            return syscall(number, arg[0], arg[1], (arg[2] + 1) / 2, arg[3]);
        if (number == SYS_close)
            syscall(number, arg[0]); /* on Linux the descriptor is gone all the same */
        errno = fault.err == SHORT ? EIO : fault.err;
        return -1;
    }
    if (number == SYS_fallocate)
        return fault_fallocate((int)arg[0], (int)arg[1], arg[2], arg[3]);
    if (number == SYS_msync || (number == SYS_madvise && arg[2] == MADV_PAGEOUT))
        return 0; /* waits for the disk, and changes nothing */
    return syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

static char *fault_getenv(const char *name);

#define pthread_create(...) fault_pthread_create(__VA_ARGS__)
#define pthread_key_create(...) fault_pthread_key_create(__VA_ARGS__)
#define pthread_setspecific(...) fault_pthread_setspecific(__VA_ARGS__)
#define BIGMAAC_SYS fault_sys
#define secure_getenv(...) fault_getenv(__VA_ARGS__)
#include "../bigmaac.c"
#undef secure_getenv

#endif
