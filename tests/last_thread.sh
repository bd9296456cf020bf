#!/usr/bin/env bash
# A process ends when its own threads have ended, whichever comes last, as without us: exit status 0, its handlers run in a
# thread like its own, and signals reach it meanwhile. Our threads are no reason to stay.
# shellcheck source=tests/lib.sh disable=SC2086
. "$(dirname "$0")/lib.sh"
cat >"$TMP/last.c" <<'END_C'
#include "check.h"
#include <pthread.h>
#include <unistd.h>

static size_t live;

static void bye(void)
{
    char deep[2 << 20]; /* more than our own thread's stack has */
    memset(opaque(deep), 1, sizeof deep);
    char *p = malloc(12 << 20); /* and we still work */
    memset(p, 1, 12 << 20);
    free(p);
    printf("bye %d\n", deep[5000]);
}

static void *work(void *ms)
{
    usleep((useconds_t)(size_t)ms * 1000);
    char *p = malloc(20 << 20), *kept = malloc(live);
    memset(p, 1, 20 << 20), memset(kept, 1, live);
    free(p); /* stays warm for a moment: our thread is there */
    opaque(kept);
    return NULL;
}

/* last BYTES detach|join|ends|stays: with that much live. stays: the thread lives until it is killed. */
int main(int argc, char **argv)
{
    pthread_t thread, other;
    live = strtoull(argv[1], NULL, 10);
    atexit(bye);
    work(NULL);
    int stays = argc > 2 && strcmp(argv[2], "stays") == 0, detach = argc > 2 && strcmp(argv[2], "detach") == 0;
    if (argc > 2 && strcmp(argv[2], "ends") != 0) {
        pthread_create(&thread, NULL, work, (void *)(size_t)(stays ? 1000000 : 300));
        pthread_create(&other, NULL, work, (void *)(size_t)10);
        if (detach)
            pthread_detach(thread), pthread_detach(other);
    }
    puts("main ends");
    fflush(stdout);
    pthread_exit(NULL);
}
END_C
compile_c "$TMP/last" "$TMP/last.c" -fno-builtin
want=$(printf 'main ends\nbye 1')

under="timeout 900 env LD_PRELOAD=$PRELOAD"
ends() { # COMMAND...: must end by itself
    local begin out status
    begin=$(date +%s%N)
    out=$("$@" 2>"$TMP/err")
    status=$?
    echo "$(((($(date +%s%N)) - begin) / 1000000)) ms: ${*: -3}"
    [ "$status $out" = "0 $want" ] || fail "$*: status $status (124: it stays), $out $(cat "$TMP/err")"
}
for how in ends detach join; do
    for bytes in 1000 $((30 << 20)); do
        ends $under "$TMP/last" $bytes $how
        ends $under BIGMAAC_MIN_FRY_SIZE=1 "$TMP/last" $bytes $how
    done
    # our threads have much to do, and stay as long as the data
    [ -d /sys/fs/cgroup/memory ] && [ "$(id -u)" = 0 ] &&
        ends limited $((120 << 20)) $under "$TMP/last" $((50 << 20)) $how
done
with BIGMAAC_STATS=1 "$TMP/last" 1000 join >"$TMP/out" 2>"$TMP/err"
grep -q 'stats bigmaacs=[1-9]' "$TMP/err" || fail "no statistics: $(cat "$TMP/err")"

echo "== without /proc"
if unshare -m mount -t tmpfs none /proc 2>/dev/null; then
    # shellcheck disable=SC2016
    ends unshare -m sh -c 'mount -t tmpfs none /proc && exec "$@"' - $under "$TMP/last" $((50 << 20)) join
fi

echo "== killed while only another thread of its own is left"
env LD_PRELOAD="$PRELOAD" "$TMP/last" 1000 stays >"$TMP/out" 2>&1 &
pid=$!
until grep -q 'main ends' "$TMP/out" && grep -q '^State:.Z' "/proc/$pid/task/$pid/status"; do
    kill -0 $pid || fail "it ended: $(cat "$TMP/out")"
    sleep 0.05
done
sleep 2 # our thread has looked by now whether the program is gone
kill -TERM $pid
wait $pid
status=$?
[ $status = 143 ] || fail "status $status after SIGTERM"

echo "== a child by a bare call, whose thread the kernel knows less of"
cat >"$TMP/bare.c" <<'END_C'
#define _GNU_SOURCE
#include "check.h"
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int child(void *unused)
{
    (void)unused;
    for (int i = 0; i < 30; i++) { /* our thread is there, and looks whether the program is */
        char *p = malloc(20 << 20);
        memset(opaque(p), 1, 20 << 20);
        free(p);
        usleep(100000);
    }
    _exit(7);
}

int main(void)
{
    static char stack[1 << 18];
    int status;
#ifdef SYS_fork
    pid_t bare = (pid_t)syscall(SYS_fork);
    if (bare == 0)
        child(NULL);
    CHECK(waitpid(bare, &status, 0) == bare && WIFEXITED(status) && WEXITSTATUS(status) == 7);
#endif
    pid_t cloned = clone(child, stack + sizeof stack, SIGCHLD, NULL);
    CHECK(waitpid(cloned, &status, 0) == cloned && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    return check_result();
}
END_C
compile_c "$TMP/bare" "$TMP/bare.c" -fno-builtin
$under "$TMP/bare" || fail "bare: $?"
if unshare -m mount -t tmpfs none /proc 2>/dev/null; then
    # shellcheck disable=SC2016
    unshare -m sh -c 'mount -t tmpfs none /proc && exec "$@"' - $under "$TMP/bare" || fail "bare, without /proc: $?"
fi
