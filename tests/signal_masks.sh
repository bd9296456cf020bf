#!/usr/bin/env bash
# glibc keeps signals 32 and 33 for itself: timers that notify by a thread, cancellation, and setuid and its kin in all
# threads. A mask that is restored has to keep them as they were. Every size of request goes the slow way now and then.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
cat >"$TMP/masks.c" <<'END_C'
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static atomic_int ticks, stop, forks;

/* What the kernel has blocked; libc's functions would not show 32 and 33. */
static uint64_t blocked(void)
{
    uint64_t set = 0;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &set, sizeof set);
    return set;
}

static void use(size_t n)
{
    char *p = malloc(n), *q = calloc(1, n);
    CHECK(p && q);
    p[0] = q[0] = 1;
    p = realloc(p, n + n / 3);
    free(p), free(q);
}

static void use_all(void)
{
    use(24), use(200), use(3000), use(90000), use(11 << 20);
}

static void tick(union sigval value)
{
    (void)value;
    use_all();
    ticks++;
}

static void pause_ms(long ms)
{
    struct timespec t = {.tv_nsec = ms * 1000000};
    while (nanosleep(&t, &t) != 0)
        ;
}

static void fork_once(void)
{
    if (!forks)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        use_all();
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* Each kind of mask comes back as it was, 32 and 33 included. */
static void masks(void)
{
    for (int sig = 30; sig <= 35; sig++) {
        uint64_t set = (uint64_t)1 << (sig - 1), now;
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, NULL, sizeof set);
        use_all();
        now = blocked();
        CHECK(now == set);
    }
    fork_once();
    CHECK(blocked() == (uint64_t)1 << 34);
    uint64_t none = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
}

static void timers(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = tick};
    struct itimerspec every = {{0, 5000000}, {0, 5000000}};
    timer_t timer;
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &every, NULL) == 0);
    for (int i = 0; i < 1000 && ticks < 50; i++) {
        use_all();
        fork_once();
        pause_ms(10);
    }
    CHECK(ticks >= 50);
    timer_delete(timer);
}

static void *work(void *unused)
{
    while (!stop) {
        use_all();
        pthread_testcancel();
    }
    return unused;
}

/* Threads are cancelled in the middle of what they do, and each one sees it. */
static void cancels(void)
{
    for (int i = 0; i < 30; i++) {
        pthread_t threads[2];
        for (int t = 0; t < 2; t++)
            pthread_create(&threads[t], NULL, work, NULL);
        pause_ms(1);
        for (int t = 0; t < 2; t++)
            CHECK(pthread_cancel(threads[t]) == 0);
        if (i % 10 == 0)
            fork_once();
        for (int t = 0; t < 2; t++) {
            void *result;
            CHECK(pthread_join(threads[t], &result) == 0 && result == PTHREAD_CANCELED);
        }
    }
}

static void *become(void *unused)
{
    for (int i = 0; i < 10; i++) {
        use(200), use(11 << 20);
        CHECK(setresuid((uid_t)-1, (uid_t)-1, (uid_t)-1) == 0 && setgid(getgid()) == 0);
    }
    return unused;
}

/* glibc asks every thread, ours too, by signal 33, and waits for the answers. */
static void ids(void)
{
    pthread_t threads[4];
    stop = 0;
    for (int t = 0; t < 4; t++)
        pthread_create(&threads[t], NULL, t < 2 ? become : work, NULL);
    for (int i = 0; i < 5; i++)
        fork_once();
    for (int t = 0; t < 2; t++)
        pthread_join(threads[t], NULL);
    stop = 1;
    for (int t = 2; t < 4; t++)
        pthread_join(threads[t], NULL);
}

int main(int argc, char **argv)
{
    forks = argc > 1 && strcmp(argv[1], "forks") == 0;
    char *kept = malloc(40 << 20);
    memset(kept, 1, 40 << 20);
    masks();
    timers();
    cancels();
    ids();
    CHECK(kept[5] == 1);
    return check_result();
}
END_C
compile_c "$TMP/masks" "$TMP/masks.c" -fno-builtin -lrt
timeout 900 "$TMP/masks" forks || fail "without the library: status $?"
for forks in no forks; do
    for fries in 0 1 64 128 256; do
        timeout 900 env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_FRY_SIZE=$fries "$TMP/masks" $forks ||
            fail "fries $fries, $forks: status $? (160: killed by signal 32; 124: it hangs)"
    done
done
