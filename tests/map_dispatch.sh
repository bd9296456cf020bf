#!/usr/bin/env bash
# A thread whose system calls come back to it (Syscall User Dispatch), or end it (strict seccomp), is not stopped: the handler's would,
# too, and end the program, or the thread.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/job.c" <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "check.h"
enum { SET_SYSCALL_USER_DISPATCH = 59, ON = 1, ALLOW = 0, BLOCK = 1 };
static atomic_int over, begun;
static volatile char selector;

static void *dispatched(void *raw)
{
    int result = raw ? (int)syscall(SYS_prctl, SET_SYSCALL_USER_DISPATCH, ON, 0L, 0L, &selector)
                     : prctl(SET_SYSCALL_USER_DISPATCH, ON, 0L, 0L, &selector);
    begun = result == 0 ? 1 : -1;
    selector = BLOCK;
    while (begun == 1 && !over)
        ;
    selector = ALLOW;
    return NULL;
}

static int asked[2], answered[2];

/* May read, write and exit. */
static void *strict(void *raw)
{
    char byte;
    CHECK((raw ? syscall(SYS_seccomp, 0L, 0L, NULL) : prctl(PR_SET_SECCOMP, 1L)) == 0);
    begun = 1;
    CHECK(read(asked[0], &byte, 1) == 1 && write(answered[1], &byte, 1) == 1);
    syscall(SYS_exit, 0);
    return NULL;
}

int main(int argc, char **argv)
{
    size_t bytes = 75 << 20;
    pthread_t thread;
    bool strictly = argc > 1 && strstr(argv[1], "strict");
    char byte = 0;
    CHECK(pipe(asked) == 0 && pipe(answered) == 0);
    CHECK(pthread_create(&thread, NULL, strictly ? strict : dispatched, argc > 1 && strstr(argv[1], "raw") ? argv[1] : NULL) == 0);
    while (!begun)
        usleep(1000);
    if (begun < 0)
        return 77;
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < bytes; i += 1 << 20) {
        memset(p + i, 7, 1 << 20);
        usleep(20000);
    }
    over = 1;
    CHECK(write(asked[1], &byte, 1) == 1);
    pthread_join(thread, NULL);
    CHECK(!strictly || (fcntl(answered[0], F_SETFL, O_NONBLOCK) == 0 && read(answered[0], &byte, 1) == 1));
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
for kind in "" raw strict strict,raw; do
    limited $((100 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_MIN_MMAP_SIZE=256K BIGMAAC_STATS=1 timeout -s KILL 60 "$TMP/job" $kind 2>"$TMP/err"
    code=$?
    [ $code != 77 ] || { echo "the kernel has no Syscall User Dispatch"; continue; }
    [ $code = 0 ] && [ "$(stat_of map_moved "$TMP/err")" = 0 ] || fail "$kind: $code, $(cat "$TMP/err")"
done
