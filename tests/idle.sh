#!/usr/bin/env bash
# The background thread of a process that does not page sleeps: one wake-up in a second, and few more beside a log
# that the program writes, whose writes look like those of a fill that does not fit.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
cat >"$TMP/idle.c" <<'END_C'
#include "sys_blocks.h"
#include <dirent.h>
#include <time.h>

/* How often the thread went to sleep so far; -1: there is none. */
static long sleeps(void)
{
    long count = -1;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; (task = readdir(tasks));) {
        char path[300];
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        if (value_in(path, "Name:\tbigmaac\n") >= 0)
            count = (long)value_in(path, "voluntary_ctxt_switches:");
    }
    closedir(tasks);
    return count;
}

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* idle LOG: prints how often the thread slept in 3 seconds, and in the last 3 of 6 beside a log of 4 MB/s. On a loaded
 * machine they last longer, so it is for 3 seconds of what they took. */
int main(int argc, char **argv)
{
    static char lines[128 << 10];
    size_t size = 400 << 20;
    char *p = malloc(size);
    int log = argc > 1 ? open(argv[1], O_WRONLY | O_CREAT, 0600) : -1;
    CHECK(p && log >= 0);
    memset(p, 1, size / 4);
    pause_ms(5000);
    long begin = sleeps();
    CHECK(begin >= 0);
    double from = now();
    pause_ms(3000);
    double quiet = (double)(sleeps() - begin) * 3 / (now() - from);
    for (int i = 0; i < 192; i++, pause_ms(30)) {
        if (i == 96) /* it looks more often at first */
            begin = sleeps(), from = now();
        CHECK(write(log, lines, sizeof lines) == (ssize_t)sizeof lines);
    }
    printf("%.0f %.0f\n", quiet, (double)(sleeps() - begin) * 3 / (now() - from));
    return check_result();
}
END_C
compile_c "$TMP/idle" "$TMP/idle.c"
limited $((256 << 20)) env LD_PRELOAD="$LIB" "$TMP/idle" "$TMP/log" >"$TMP/out" || fail "status $?"
read -r quiet log <"$TMP/out"
echo "$quiet wake-ups in 3 s; $log beside a log" >&2
[ "$quiet" -le 6 ] || fail "$quiet wake-ups in 3 s of a process that does nothing"
[ "$log" -le 60 ] || fail "$log wake-ups in 3 s beside a log"
