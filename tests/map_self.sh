#!/usr/bin/env bash
# Calls about mappings that programs make on themselves in other ways than madvise: process_madvise on the own process, and mseal,
# after which nothing can be mapped there anew, by a fork neither. The same with and without the library.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/job.c" <<'C'
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"
enum { CALL_PROCESS_MADVISE = 440, CALL_MSEAL = 462, CALL_PIDFD_OPEN = 434 };
static const size_t bytes = 60 << 20, part = 256 << 10;

/* Is it a file's? */
static int is_moved(const char *p)
{
    char line[512];
    int moved = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    for (unsigned long from, to, inode; fgets(line, sizeof line, f);)
        if (sscanf(line, "%lx-%lx %*s %*s %*s %lu", &from, &to, &inode) == 3 && from <= (unsigned long)p && to > (unsigned long)p)
            moved = inode != 0;
    fclose(f);
    return moved;
}

/* The next part that is moved; without the library any. */
static char *next(char *p, int library)
{
    static size_t at;
    for (at += part; library && at < bytes && !is_moved(p + at); at += part)
        ;
    CHECK(at < bytes);
    return p + at;
}

int main(int argc, char **argv)
{
    int library = argc > 1, fd = (int)syscall(CALL_PIDFD_OPEN, getpid(), 0);
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)argv;
    for (size_t i = 0; i < bytes; i += 1 << 20) {
        memset(p + i, 7, 1 << 20);
        usleep(20000);
    }
    size_t page = (size_t)getpagesize();
    struct iovec one = {p, page}, *bad[] = {NULL, (struct iovec *)page, (struct iovec *)(p + bytes)};
    munmap(p + bytes - page, page); /* a list that begins before a gap */
    bad[2] = (struct iovec *)(p + bytes - page) - 1;
    for (int i = 0; i < 3; i++) {
        errno = 0;
        CHECK(syscall(CALL_PROCESS_MADVISE, fd, bad[i], 2, MADV_DONTNEED, 0) == -1 && errno == EFAULT);
    }
    errno = 0;
    CHECK(syscall(CALL_PROCESS_MADVISE, fd, &one, 1025, MADV_DONTNEED, 0) == -1 && errno == EINVAL && p[0] == 7);
    if (syscall(CALL_PROCESS_MADVISE, fd, NULL, 0, MADV_DONTNEED, 0) == 0) { /* Linux 6.13 */
        char *q = next(p, library);
        struct iovec parts[] = {{q, page}, {q + 2 * page, page}};
        CHECK(syscall(CALL_PROCESS_MADVISE, fd, parts, 2, MADV_DONTNEED, 0) == 2 * (long)page);
        CHECK(q[0] == 0 && q[page] == 7 && q[2 * page] == 0 && q[3 * page - 1] == 0 && q[3 * page] == 7);
        errno = 0;
        CHECK(syscall(CALL_PROCESS_MADVISE, fd, parts, 2, MADV_DONTNEED, 1) == -1 && errno == EINVAL);
    }
    char *q = next(p, library);
    if (syscall(CALL_MSEAL, q, part, 0) == 0) { /* 6.10, 64 bits */
        CHECK(mprotect(q, page, PROT_READ) == -1 && errno == EPERM && q[0] == 7 && q[part - 1] == 7);
        for (int i = 0; i < 2; i++) {
            pid_t child = fork();
            if (child == 0)
                _exit(q[0] == 7 && p[0] == 7 ? 0 : 1);
            int status = -1;
            CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
        }
    }
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
cat >"$TMP/nothing.c" <<'C'
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
int main(void)
{
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec part = {p, 4096};
    return syscall(440, -1, &part, 1, MADV_DONTNEED, 0) != -1; /* process_madvise */
}
C
compile_c "$TMP/nothing" "$TMP/nothing.c"
if command -v strace >/dev/null; then # nothing is mapped that could be ours: then it costs nothing
    strace -e trace=openat,open,process_madvise -o "$TMP/trace" env LD_PRELOAD="$LIB" BIGMAAC_MIN_MMAP_SIZE=256K "$TMP/nothing" || fail "nothing"
    grep -q fdinfo "$TMP/trace" && fail "process_madvise looks where nothing is ours: $(grep fdinfo "$TMP/trace")"
fi
limited $((100 << 20)) "$TMP/job" || fail "without the library"
limited $((40 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_MIN_MMAP_SIZE=256K "$TMP/job" moved || fail "with it"
