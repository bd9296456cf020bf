#!/usr/bin/env bash
# The background thread of a process that does not page sleeps: one wake-up in a second, and few more beside a log
# that the program writes, whose writes look like those of a fill that does not fit; some tens in a second where mapped
# memory may soon be too much, until more is mapped.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
cat >"$TMP/idle.c" <<'END_C'
#include "sleeps.h"
#include <sys/mman.h>
#include <time.h>

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

static void map_and_fill(size_t mib)
{
    for (size_t i = 0; i < mib; i++) {
        char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(p != MAP_FAILED);
        memset(p, 1, 1 << 20);
    }
}

/* idle MIB MORE: fills mapped memory, and more of it once the thread sleeps. */
static int mapped(size_t mib, size_t more)
{
    double often = 1e9;
    map_and_fill(mib);
    for (int i = 0; i < 60 && often > 250; i++) {
        long begin = sleeps();
        double from = now();
        pause_ms(3000);
        CHECK(begin >= 0);
        often = (double)(sleeps() - begin) * 3 / (now() - from);
    }
    map_and_fill(more);
    printf("%.0f\n", often);
    return check_result();
}

/* idle LOG: prints how often the thread slept in 3 seconds, and in the last 3 of 6 beside a log of 4 MB/s. On a loaded
 * machine they last longer, so it is for 3 seconds of what they took. */
int main(int argc, char **argv)
{
    if (argc > 2)
        return mapped(strtoul(argv[1], NULL, 10), strtoul(argv[2], NULL, 10));
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
for mib in 110 300; do # of 200: that is near, and has been moved
    limited $((200 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_MIN_MMAP_SIZE=256K "$TMP/idle" "$mib" 150 >"$TMP/out" ||
        fail "$mib MiB mapped: status $?"
    read -r often <"$TMP/out"
    echo "$often wake-ups in 3 s with $mib MiB mapped" >&2
    [ "$often" -le 250 ] || fail "$often wake-ups in 3 s of a process that does nothing, with $mib MiB mapped"
done
