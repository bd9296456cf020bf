#!/usr/bin/env bash
# Mapped memory beyond the limit: a fork where nothing is moved any more; a child that writes to what it has inherited, and
# calls nothing of ours; the thread that mapped first has ended; a thread
# that is for ever in the middle of a write; the same calls by syscall(); mremap of more than fits, and time and
# again.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
M=1048576
cat >"$TMP/job.c" <<'C'
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"

enum { PAGE = 4096, BYTES = 280 << 20 };
static long raw; /* calls are made by syscall() */

static char *map(size_t bytes)
{
    char *p = raw ? (char *)syscall(SYS_mmap, NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L)
                  : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

static void unmap(char *p, size_t bytes) { CHECK((raw ? syscall(SYS_munmap, p, bytes) : munmap(p, bytes)) == 0); }

static void fill_slowly(char *p, size_t bytes, int tag)
{
    for (size_t at = 0; at < bytes; at += PAGE) {
        p[at] = (char)tag;
        p[at + 1] = (char)(at / PAGE);
        if (at % (1 << 20) == 0)
            usleep(1000);
    }
}

static int is_right(const char *p, size_t bytes, int tag)
{
    for (size_t at = 0; at < bytes; at += PAGE)
        if (p[at] != (char)tag || p[at + 1] != (char)(at / PAGE))
            return 0;
    return 1;
}

static void use(int tag)
{
    char *p = map(BYTES);
    fill_slowly(p, BYTES, tag);
    CHECK(is_right(p, BYTES, tag));
    unmap(p, BYTES);
}

/* Both sides map anew, at the same address. */
static void forks(void)
{
    int status = -1;
    use(1);
    pid_t pid = fork();
    char *p = map(BYTES / 2);
    for (int round = 0; round < 3; round++) {
        fill_slowly(p, BYTES / 2, pid ? 'p' : 'c');
        usleep(300000);
        CHECK(is_right(p, BYTES / 2, pid ? 'p' : 'c'));
    }
    if (pid == 0)
        _exit(check_result());
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* It calls neither malloc nor mmap. */
static void inherits(void)
{
    int status = -1;
    char *p = map(BYTES);
    fill_slowly(p, BYTES, 1);
    pid_t pid = raw ? (pid_t)syscall(SYS_clone, SIGCHLD, 0L, 0L, 0L, 0L) : fork();
    if (pid == 0) {
        for (int tag = 2; tag < 5; tag++)
            fill_slowly(p, BYTES, tag);
        _exit(!is_right(p, BYTES, 4));
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0 && is_right(p, BYTES, 1));
    unmap(p, BYTES);
}

static void *first(void *unused)
{
    char *p = map(64 << 20);
    memset(p, 1, 64 << 20);
    usleep(300000);
    unmap(p, 64 << 20);
    return unused;
}

static void ended(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, first, NULL) == 0 && pthread_join(thread, NULL) == 0);
    use(2);
}

static void *writes(void *fds)
{
    static char text[1 << 20];
    return write(((int *)fds)[1], text, sizeof text) > 0 ? fds : NULL; /* more than a pipe takes; nobody reads */
}

static void writer(void)
{
    static int fds[2];
    pthread_t thread;
    CHECK(pipe(fds) == 0 && pthread_create(&thread, NULL, writes, fds) == 0);
    usleep(50000);
    use(3);
}

static void calls(void)
{
    raw = 1;
    char *p = map(BYTES);
    fill_slowly(p, BYTES, 4);
    CHECK(syscall(SYS_madvise, p, BYTES / 4, MADV_DONTNEED) == 0);
    for (size_t at = 0; at < BYTES / 4; at += PAGE)
        CHECK(p[at] == 0 && p[at + 1] == 0);
    CHECK(syscall(SYS_mprotect, p + BYTES / 2, PAGE, PROT_READ) == 0 && p[BYTES / 2] == 4);
    CHECK(syscall(SYS_mprotect, p + BYTES / 2, PAGE, PROT_READ | PROT_WRITE) == 0);
    size_t at = BYTES / 4 * 3;
    char *q = (char *)syscall(SYS_mremap, p + at, BYTES / 4, BYTES / 2, MREMAP_MAYMOVE, 0L);
    CHECK(q != MAP_FAILED && q[0] == 4 && q[1] == (char)(at / PAGE) && q[BYTES / 4] == 0);
    unmap(p, at);
    unmap(q, BYTES / 2);
}

/* As a realloc that grows, and a collector that moves its heap. */
static void grows(void)
{
    char *p = map(BYTES);
    fill_slowly(p, BYTES, 5);
    for (int i = 1; i <= 8; i++) {
        size_t before = BYTES + (size_t)(i - 1) * (1 << 20);
        char *next = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); /* in the way, often */
        char *q = mremap(p, before, before + (1 << 20), MREMAP_MAYMOVE);
        CHECK(q != MAP_FAILED && q[before] == 0 && q[before + (1 << 20) - 1] == 0);
        p = q;
        munmap(next, PAGE);
    }
    CHECK(is_right(p, BYTES, 5));
    char *place = mmap(NULL, BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mremap(p, BYTES + (8 << 20), BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place && is_right(place, BYTES, 5));
    unmap(place, BYTES);
}

/* Blocks that are moved time and again, as by a collector, while files may have 4 GiB. */
static void moves(void)
{
    enum { BLOCKS = 24, BLOCK = 24 << 20 };
    const struct rlimit limit = {(rlim_t)4 << 30, (rlim_t)4 << 30};
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    char *at[BLOCKS], *place = mmap(NULL, (size_t)2 * BLOCKS * BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < BLOCKS; i++) {
        at[i] = map(BLOCK);
        fill_slowly(at[i], BLOCK, i);
        usleep(30000);
        for (int k = 0; k <= i; k++) {
            char *to = place + (size_t)(2 * k + (i & 1)) * BLOCK;
            CHECK(mremap(at[k], BLOCK, BLOCK, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
            if (k < i) /* no block comes there */
                mmap(at[k], BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            at[k] = to;
        }
    }
    for (int i = 0; i < BLOCKS; i++)
        CHECK(is_right(at[i], BLOCK, i));
    unmap(place, (size_t)2 * BLOCKS * BLOCK);
}

int main(int argc, char **argv)
{
    switch (argc > 1 ? argv[1][0] : 0) {
    case 'f': forks(); break;
    case 'e': ended(); break;
    case 'w': writer(); break;
    case 'c': calls(); break;
    case 'g': grows(); break;
    case 'i': inherits(); break;
    case 'b': raw = 1; inherits(); break; /* bare */
    case 'm': moves(); break;
    }
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
moved() { sed -n "s/.* file_peak=\([0-9]*\).*/\1/p" "$TMP/err" | sort -n | tail -n 1; }
for way in calls ended writer forks inherits bare grows moves; do
    "$TMP/job" $way || fail "$way without the library or a limit"
    limited $((240 * M)) env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_MMAP_SIZE=256K BIGMAAC_STATS=1 "$TMP/job" $way 2>"$TMP/err" ||
        fail "$way: exit status $? with: $(head -n 5 "$TMP/err")"
    [ "$(cat "$TMP/oom")" = 0 ] || fail "$way: the kernel killed something"
    [ "$(moved)" -gt $((40 * M)) ] || fail "$way: little was moved out: $(cat "$TMP/err")"
done
