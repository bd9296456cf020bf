/* api_overlay.c - a program's own mappings over parts of its blocks, and what it has set on them: madvise zeroes what is
 * anonymous and leaves its files alone, and nothing of it reaches the next owner. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <malloc.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "kinds.h"
#include "page.h"
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

enum { MIB = 1 << 20 };
static const int ours = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, both = PROT_READ | PROT_WRITE;

static int file_of(size_t bytes)
{
    int fd = open(P_tmpdir, O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
    return fd;
}

static bool file_has(int fd, char c, size_t bytes)
{
    char text[PAGE];
    for (size_t at = 0; at < bytes; at += sizeof text)
        if (pread(fd, text, sizeof text, (off_t)at) != sizeof text || text[0] != c || text[PAGE - 1] != c)
            return false;
    return true;
}

static void fork_once(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* MADV_DONTNEED over a block with something else in its middle, before and after a fork. */
static void zeroed(size_t bytes, bool forks)
{
    const size_t part = bytes / 4 / PAGE * PAGE;
    int fd = file_of(part);
    char *p = opaque(aligned_alloc(PAGE, bytes));
    memset(p, 1, bytes);
    CHECK(mmap(p + part, part, both, MAP_SHARED | MAP_FIXED, fd, 0) == p + part);
    CHECK(mmap(p + 2 * part, part, both, ours, -1, 0) == p + 2 * part);
    memset(p + part, 2, 2 * part);
    CHECK(mprotect(p + 2 * part, PAGE, PROT_NONE) == 0);
    if (forks)
        fork_once();
    CHECK(madvise(p, 3 * part, MADV_DONTNEED) == 0);
    CHECK(mprotect(p + 2 * part, PAGE, both) == 0);
    CHECK(is_zero(p, part) && is_zero(p + 2 * part, part));
    CHECK(file_has(fd, 2, part) && p[part] == 2 && p[3 * part] == 1);
    free(p);
    CHECK(file_has(fd, 2, part));
    close(fd);
}

/* A mapping of the program's over all of a block does not become the next owner's. */
static void covered(size_t bytes)
{
    int fd = file_of(bytes);
    char *p = opaque(aligned_alloc(PAGE, bytes));
    memset(p, 1, bytes);
    CHECK(mmap(p, bytes, both, MAP_SHARED | MAP_FIXED, fd, 0) == p);
    memset(p, 3, bytes);
    free(p);
    for (int i = 0; i < 3; i++) {
        char *q = opaque(malloc(bytes));
        memset(q, 9, bytes);
        free(q);
    }
    CHECK(file_has(fd, 3, bytes));
    close(fd);
    p = opaque(aligned_alloc(PAGE, bytes));
    CHECK(mmap(p, bytes, both, ours, -1, 0) == p);
    memset(p, 4, bytes);
    free(p);
    p = opaque(calloc(1, bytes));
    CHECK(is_zero(p, bytes));
    free(p);
}

/* What was set on the tail that realloc gives back is not the next block's. */
static void cut(size_t bytes, int way)
{
    char *p = opaque(aligned_alloc(PAGE, bytes)), *at = p + bytes / 2, *q[8];
    memset(p, 1, bytes);
    CHECK(way != 0 || mprotect(at, PAGE, PROT_READ) == 0);
    CHECK(way != 1 || madvise(at, 16 * PAGE, MADV_WIPEONFORK) == 0);
    CHECK(way != 2 || madvise(at, 16 * PAGE, MADV_DONTFORK) == 0);
    CHECK(way != 3 || mlock(at, 16 * PAGE) == 0);
    p = realloc(p, bytes / 4);
    CHECK(p && p[bytes / 4 - 1] == 1);
    for (int i = 0; i < 8; i++) {
        q[i] = opaque(malloc(bytes / 2));
        memset(q[i], 2, bytes / 2);
    }
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 8; i++)
            for (size_t k = 0; k < bytes / 2; k += PAGE)
                if (q[i][k] != 2)
                    _exit(1);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    for (int i = 0; i < 8; i++)
        free(q[i]);
    free(p);
}

/* mlock stays where the memory must be made anonymous; and what is locked can be dismissed. */
static void locked(size_t bytes)
{
    char *p = opaque(aligned_alloc(PAGE, bytes));
    memset(p, 1, bytes);
    CHECK(mlock(p, 16 * PAGE) == 0);
    CHECK(madvise(p, 16 * PAGE, MADV_WIPEONFORK) == 0 && p[0] == 1);
    CHECK(madvise(p, PAGE, MADV_DONTNEED) == -1 || !has_library() || p[0] == 0);
    p[0] = 1;
    if (madvise(p, 16 * PAGE, MADV_DONTNEED_LOCKED) == 0)
        CHECK(is_zero(p, 16 * PAGE));
    fork_once();
    CHECK(p[16 * PAGE] == 1);
    free(p);
    p = opaque(aligned_alloc(PAGE, bytes));
    memset(p, 1, bytes);
    struct rlimit most;
    getrlimit(RLIMIT_MEMLOCK, &most);
    CHECK(mlock(p, bytes) == 0 || most.rlim_cur < bytes);
    fork_once();
    if (madvise(p, bytes, MADV_DONTNEED_LOCKED) == 0)
        CHECK(is_zero(p, bytes));
    free(p);
}

/* Guards stay where the rest is dismissed; by syscall(), too. A kernel without them says so. */
static void guarded(size_t bytes, bool raw)
{
    char *p = opaque(aligned_alloc(PAGE, bytes));
    memset(p, 1, bytes);
    if (madvise(p + 4 * PAGE, PAGE, 102 /* MADV_GUARD_INSTALL */) == 0) {
        CHECK((raw ? syscall(SYS_madvise, p, bytes, MADV_DONTNEED) : madvise(p, bytes, MADV_DONTNEED)) == 0);
        CHECK(is_zero(p, 4 * PAGE) && is_zero(p + 5 * PAGE, bytes - 5 * PAGE));
        CHECK(madvise(p + 4 * PAGE, PAGE, 103) == 0 && is_zero(p, bytes));
    }
    free(p);
}

/* What covers a block, mapped by syscall(), is the program's. */
static void covered_raw(size_t bytes)
{
    int fd = file_of(bytes);
    char *p = opaque(aligned_alloc(PAGE, bytes));
    memset(p, 1, bytes);
    CHECK(syscall(SYS_mmap, p, bytes, both, MAP_SHARED | MAP_FIXED, fd, 0L) == (long)p);
    memset(p, 3, bytes);
    free(p);
    p = opaque(malloc(bytes));
    memset(p, 9, bytes);
    free(p);
    CHECK(file_has(fd, 3, bytes));
    close(fd);
}

int main(void)
{
    mallopt(M_MMAP_THRESHOLD, 128 << 10); /* for good: what lies over a block of glibc's goes with it */
    static const size_t sizes[] = {64 * PAGE, 256 * PAGE, 12 * MIB, 20 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        zeroed(sizes[i], false);
        zeroed(sizes[i], true);
        covered(sizes[i]);
        covered_raw(sizes[i]);
        guarded(sizes[i], false);
        guarded(sizes[i], true);
        for (int way = 0; way < 4; way++)
            cut(sizes[i], way);
        locked(sizes[i]);
    }
    return check_result();
}
