#!/usr/bin/env bash
# In a PID namespace whose /proc is its parent's, threads have other numbers there: mapped memory is moved out all the same, and what
# is written after a fork comes home, with one thread and with several.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
unshare --pid --fork true || skip "this machine can't make PID namespaces"
M=1048576
cat >"$TMP/job.c" <<'C'
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"
#include "slow.h"

enum { BYTES = 280 << 20, PAGE = 4096 };
static atomic_int over;

static void *waits_main(void *unused)
{
    while (!over)
        CHECK(poll(NULL, 0, 20) == 0);
    return unused;
}

static void *counts_main(void *counter)
{
    while (!over)
        if (++*(volatile unsigned *)counter % 65536 == 0)
            usleep(100);
    return NULL;
}

static int is_right(const char *p, char tag)
{
    for (size_t at = 0; at < BYTES; at += PAGE)
        if (p[at] != tag)
            return 0;
    return 1;
}

int main(int argc, char **argv)
{
    int forks = argc > 1 && strchr(argv[1], 'f'), several = argc > 1 && strchr(argv[1], 't');
    pthread_t thread[2];
    unsigned counter = 0;
    if (several)
        CHECK(pthread_create(&thread[0], NULL, waits_main, NULL) == 0 && pthread_create(&thread[1], NULL, counts_main, &counter) == 0);
    char *p = forks ? malloc(BYTES) : mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p && p != MAP_FAILED);
    write_slowly(p, BYTES, 1, 1000);
    pid_t child = forks ? fork() : -1;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pause();
        _exit(is_right(p, 1) ? 0 : 1);
    }
    write_slowly(p, BYTES, 2, 1000);
    CHECK(is_right(p, 2));
    over = 1;
    for (int i = 0; several && i < 2; i++)
        pthread_join(thread[i], NULL);
    if (forks)
        CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
for what in "" t f ft; do
    limited $((160 * M)) env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_MMAP_SIZE=256K BIGMAAC_STATS=1 unshare --pid --fork "$TMP/job" "$what" \
        2>"$TMP/err" || fail "'$what': exit status $? with: $(head -n 5 "$TMP/err")"
    peak=$(sed -n 's/.* file_peak=\([0-9]*\).*/\1/p' "$TMP/err" | sort -n | tail -n 1)
    [ "$peak" -gt $((40 * M)) ] || fail "'$what': little was moved out: $(cat "$TMP/err")"
done
