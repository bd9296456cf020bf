#!/usr/bin/env bash
# Threads wait for short times by syscall(), as Rust's and C++'s locks do, while what the program has mapped is moved out: no wait
# ends with EINTR, whenever it began.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
[ "$(uname -m)" = x86_64 ] || skip "not kept elsewhere: README's limits"
M=1048576
cat >"$TMP/job.c" <<'C'
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "check.h"
#include "slow.h"

enum { THREADS = 8, BYTES = 280 << 20, ROUNDS = 8 };
static atomic_int over, interrupted, waits;

static void *wait_main(void *argument)
{
    int word = 0, absolute = (intptr_t)argument % 2;
    while (!over) {
        struct timespec t = {.tv_nsec = 1000000};
        if (absolute) {
            clock_gettime(CLOCK_MONOTONIC, &t);
            t.tv_nsec += 1000000;
            t.tv_sec += t.tv_nsec / 1000000000;
            t.tv_nsec %= 1000000000;
        }
        long result = absolute ? syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, &t, NULL, -1)
                               : syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0);
        CHECK(result == -1);
        interrupted += errno == EINTR;
        waits++;
    }
    return NULL;
}

int main(void)
{
    pthread_t thread[THREADS];
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&thread[i], NULL, wait_main, (void *)i) == 0);
    for (int round = 0; round < ROUNDS; round++) {
        char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(p != MAP_FAILED);
        write_slowly(p, BYTES, 1, 1000);
        munmap(p, BYTES);
    }
    over = 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    if (interrupted)
        fprintf(stderr, "%d of %d waits ended with EINTR\n", interrupted, waits);
    CHECK(interrupted == 0);
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
limited $((160 * M)) env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_MMAP_SIZE=256K BIGMAAC_STATS=1 "$TMP/job" 2>"$TMP/err" ||
    fail "exit status $? with: $(head -n 5 "$TMP/err")"
[ "$(sed -n 's/.* file_peak=\([0-9]*\).*/\1/p' "$TMP/err" | tail -n 1)" -gt $((40 * M)) ] || fail "little was moved out: $(cat "$TMP/err")"
