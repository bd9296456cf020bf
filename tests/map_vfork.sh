#!/usr/bin/env bash
# Another process that runs in the program's memory (a vfork child; one by clone(CLONE_VM)) is not stopped, nor does it stop the
# program's threads: while one of these writes to what was moved, the other process has it made ordinary, and nothing is lost.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/job.c" <<'C'
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"
static const size_t bytes = 75 << 20, part = 4 << 20;
static size_t page, *counts;
static atomic_bool over, begun;

static void *writes(void *unused)
{
    for (size_t round = 1; !over; round++)
        for (size_t i = 0; i < part / page; i++) {
            size_t *at = counts + i * page / sizeof *counts;
            if (__atomic_fetch_add(at, 1, __ATOMIC_RELAXED) != round - 1)
                CHECK(!"a count was lost");
            begun = 1;
        }
    return unused;
}

static int child(void *from)
{
    if (from) /* runs for long, and writes */
        for (; !over; usleep(1000))
            writes(NULL);
    mprotect(counts, part, PROT_READ | PROT_WRITE | PROT_EXEC); /* a file's folder may forbid that */
    _exit(0);
}

static void fill_slowly(char *p, size_t from, size_t to)
{
    for (size_t i = from; i < to; i += 1 << 20) {
        memset(p + i, 7, 1 << 20);
        usleep(20000);
    }
}

int main(int argc, char **kind)
{
    pthread_t thread;
    pid_t pid;
    CHECK(argc > 0);
    page = (size_t)getpagesize();
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    counts = mmap(NULL, part, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED && counts != MAP_FAILED);
    memset(counts, 0, part);
    if (kind[1]) {
        static char stack[1 << 16];
        pid = clone(child, stack + sizeof stack, CLONE_VM | SIGCHLD, counts);
    } else {
        fill_slowly(p, 0, bytes);
        CHECK(pthread_create(&thread, NULL, writes, NULL) == 0);
        while (!begun)
            usleep(1000);
        pid = vfork();
        if (pid == 0)
            child(NULL);
    }
    CHECK(pid > 0);
    if (kind[1])
        fill_slowly(p, 0, bytes);
    over = 1;
    CHECK(waitpid(pid, NULL, 0) == pid && (kind[1] || pthread_join(thread, NULL) == 0));
    for (size_t i = 0; i < bytes; i += page)
        CHECK(p[i] == 7);
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
run() { # [KIND]: map_moved is left in $moved
    limited $((100 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_MIN_MMAP_SIZE=256K BIGMAAC_STATS=1 BIGMAAC_VERBOSE=1 timeout -s KILL 60 "$TMP/job" "$@" 2>"$TMP/err"
    code=$? moved=$(stat_of map_moved "$TMP/err")
}
run
[ "$code" = 0 ] && [ "$moved" -gt 0 ] || fail "vfork: $code, $(cat "$TMP/err")"
run shares
[ "$code" = 0 ] && [ "$moved" = 0 ] || fail "clone: $code, $(cat "$TMP/err")"
grep -q "can't be moved to disk while something writes there.*CLONE_VM" "$TMP/err" || fail "clone: it is not said why: $(cat "$TMP/err")"
