#!/usr/bin/env bash
# A thread that waits for all signals, by a set that is filled by hand, is never told of ours, and the program can be stopped: what it
# maps is moved out.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/job.c" <<'C'
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>
static int how;
static void *waiter(void *u)
{
    sigset_t all; memset(&all, 0xff, sizeof all);
    int sig; siginfo_t info; struct signalfd_siginfo f;
    int fd = how == 4 ? signalfd(-1, &all, 0) : how == 5 ? syscall(SYS_signalfd4, -1, &all, 8, 0) : -1;
    for (;;) {
        int got = 0;
        switch (how) {
        case 0: got = syscall(SYS_rt_sigtimedwait, &all, &info, NULL, 8); break;
        case 1: got = sigtimedwait(&all, &info, NULL); break;
        case 2: got = sigwaitinfo(&all, &info); break;
        case 3: got = sigwait(&all, &sig) ? -1 : sig; break;
        default: got = read(fd, &f, sizeof f) > 0 ? f.ssi_signo : -1;
        }
        printf("got %d\n", got), fflush(stdout);
    }
}
/* job HOW: from 0 to 5 */
int main(int argc, char **argv)
{
    pthread_t t; how = atoi(argv[1]);
    pthread_create(&t, NULL, waiter, NULL);
    usleep(100000);
    char *p = mmap(NULL, 200 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 200; i++) { memset(p + ((size_t)i << 20), i, 1 << 20); usleep(2000); }
    for (int i = 0; i < 200; i++) if (p[((size_t)i << 20) + 77] != (char)i) puts("wrong");
    puts("done");
}
C
compile_c "$TMP/job" "$TMP/job.c"
for how in 0 1 2 3 4 5; do
    limited $((100 << 20)) env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_MMAP_SIZE=256K "$TMP/job" $how >"$TMP/out" 2>"$TMP/err" ||
        fail "$how: exit status $? with: $(head -n 5 "$TMP/err" "$TMP/out")"
    [ "$(cat "$TMP/out")" = "done" ] || fail "$how: $(head -n 5 "$TMP/out")"
done
