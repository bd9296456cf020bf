#!/usr/bin/env bash
# What our threads are like, whoever made them: ordinary priority, the processors and the niceness that the program was
# started with, open to glibc's signal 33. And a wait for another thread sleeps: under real-time priorities a spinning one
# would never end.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need_root; need taskset; need chrt
cat >"$TMP/ours.c" <<'END_C'
#define _GNU_SOURCE
#include "check.h"
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Made by a thread that is as unlike the program as can be. */
static void *maker(void *unused)
{
    const struct sched_param fifo = {.sched_priority = 7};
    cpu_set_t one;
    sigset_t all;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    sigfillset(&all);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0 && sched_setscheduler(0, SCHED_FIFO, &fifo) == 0);
    CHECK(setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), -11) == 0);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    for (int i = 0; i < 2; i++) {
        char *p = malloc(20 << 20);
        memset(p, 1, 20 << 20);
        free(p);
    }
    return unused;
}

static unsigned long field(const char *task, const char *name)
{
    char path[300], line[300];
    unsigned long value = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtoul(line + strlen(name) + 1, NULL, 16);
    if (f)
        fclose(f);
    return value;
}

int main(void)
{
    pthread_t thread;
    cpu_set_t at_start;
    CHECK(sched_getaffinity(0, sizeof at_start, &at_start) == 0);
    int nice = getpriority(PRIO_PROCESS, 0), seen = 0;
    pthread_create(&thread, NULL, maker, NULL);
    pthread_join(thread, NULL);
    usleep(200000);
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *t; (t = readdir(tasks));) {
        cpu_set_t cpus;
        pid_t tid = atoi(t->d_name);
        if (tid <= 0 || tid == getpid())
            continue;
        seen++;
        unsigned long blocked = field(t->d_name, "SigBlk:");
        CHECK(sched_getscheduler(tid) == SCHED_OTHER);
        CHECK(sched_getaffinity(tid, sizeof cpus, &cpus) == 0 && CPU_EQUAL(&cpus, &at_start));
        CHECK(getpriority(PRIO_PROCESS, (id_t)tid) == nice);
        CHECK((blocked >> (SIGTERM - 1) & 1) && !(blocked >> 32 & 1)); /* ours: all blocked but 33 */
    }
    closedir(tasks);
    CHECK(seen >= 1);
    return check_result();
}
END_C
compile_c "$TMP/ours" "$TMP/ours.c" -fno-builtin
chrt -f 1 true 2>/dev/null || skip "this machine has no real-time priorities"
timeout 900 env LD_PRELOAD="$PRELOAD" "$TMP/ours" || fail "status $?"
timeout 900 taskset -c 0 nice -n 3 env LD_PRELOAD="$PRELOAD" "$TMP/ours" || fail "on one processor, nice: status $?"

echo "== real-time threads that wait for each other"
cat >"$TMP/fifo.c" <<'END_C'
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char *block;
static const size_t bytes = (size_t)512 << 20;
static atomic_int begun, done;

static void fifo(int priority)
{
    const struct sched_param p = {.sched_priority = priority};
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0 && sched_setscheduler(0, SCHED_FIFO, &p) == 0);
}

/* Zeroes the whole block, which takes long as a fork has frozen it. */
static void *low(void *unused)
{
    fifo(10);
    begun = 1;
    CHECK(madvise(block, bytes, MADV_DONTNEED) == 0);
    return unused;
}

/* Comes in the middle of that, with the higher priority, and needs the block. */
static void *high(void *unused)
{
    fifo(20);
    while (!begun)
        usleep(1000);
    usleep(20000);
    CHECK(madvise(block, 4096, MADV_DONTNEED) == 0);
    done = 1;
    return unused;
}

int main(void)
{
    pthread_t threads[2];
    block = malloc(bytes);
    memset(block, 1, bytes);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(600); /* should its parent hang */
        pause();
    }
    pthread_create(&threads[0], NULL, high, NULL);
    pthread_create(&threads[1], NULL, low, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CHECK(done && is_zero(block, bytes));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return check_result();
}
END_C
compile_c "$TMP/fifo" "$TMP/fifo.c" -fno-builtin
timeout -k 1 900 env LD_PRELOAD="$PRELOAD" "$TMP/fifo" || fail "status $? (124: it hangs)"
