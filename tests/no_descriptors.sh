#!/usr/bin/env bash
# Programs that have opened all that they may. One that could allow itself more, or that began to fill its memory before, works on
# more than its memory as any other does, and its limit stays; and a small one has nothing open that it hasn't without us.
# timeout: 300
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
cat >"$TMP/small.c" <<'C'
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
int main(void) /* says how much is open, when it has asked for several MiB by a few at a time */
{
    int count = 0;
    for (int i = 0; i < 40; i++) {
        memset(malloc(200000), 1, 200000);
        memset(mmap(NULL, 1 << 18, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, 1 << 18);
    }
    DIR *fds = opendir("/proc/self/fd");
    while (readdir(fds))
        count++;
    printf("%d\n", count);
    return 0;
}
C
compile_c "$TMP/small" "$TMP/small.c"
[ "$("$TMP/small")" = "$(with "$TMP/small")" ] || fail "open: $("$TMP/small"); with the library $(with "$TMP/small")"


cat >"$TMP/job.c" <<'C'
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
enum { COUNT = 30, BYTES = 12 << 20 };
static void open_all(void)
{
    struct rlimit limit;
    while (open("/dev/null", O_RDONLY) >= 0)
        ;
    CHECK(errno == EMFILE && getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 64);
}
static void paint(char *p, unsigned seed)
{
    for (size_t i = 0; i < BYTES; i += 512)
        *(size_t *)(p + i) = i * 31 + seed;
}
static int painted(const char *p, unsigned seed)
{
    for (size_t i = 0; i < BYTES; i += 512)
        if (*(const size_t *)(p + i) != i * 31 + seed)
            return 0;
    return 1;
}

int main(int argc, char **argv) /* begin | later, malloc | mmap | fork */
{
    static char *p[COUNT];
    int early = argc > 2 && strcmp(argv[1], "begin") == 0, maps = argc > 2 && strcmp(argv[2], "mmap") == 0;
    int forks = argc > 2 && strcmp(argv[2], "fork") == 0;
    pid_t pid = 0;
    for (int i = 0; i < COUNT; i++) {
        if (i == (early ? 0 : 4))
            open_all();
        p[i] = maps ? mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : malloc(BYTES);
        CHECK(p[i] && p[i] != MAP_FAILED);
        paint(p[i], (unsigned)i);
        usleep(10000);
    }
    if (forks && (pid = fork()) == 0)
        for (alarm(100);;)
            pause();
    for (int i = 0; forks && i < COUNT; i++) {
        paint(p[i], (unsigned)i + 100);
        usleep(60000);
    }
    for (int i = 0; i < COUNT; i++)
        CHECK(painted(p[i], (unsigned)i + (forks ? 100 : 0)));
    if (forks)
        CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
    open_all(); /* nothing of its limit is different */
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
most=$(ulimit -Hn)
[ "$most" = unlimited ] || [ "$most" -ge 1000 ] || skip "this machine can't allow 1000 open files"
run() { # HARD-LIMIT WHEN HOW [SETTING...]
    # shellcheck disable=SC2016
    limited $((128 << 20)) sh -c 'ulimit -Sn 64; ulimit -Hn "$1"; shift; exec "$@"' - "$1" env LD_PRELOAD="$PRELOAD" "${@:4}" "$TMP/job" "$2" "$3" >"$TMP/out" 2>&1 ||
        fail "$*: status $?: $(cat "$TMP/out")"
    [ "$(cat "$TMP/oom")" = 0 ] || fail "$*: the kernel killed"
    echo "$*"
}
for how in malloc mmap fork; do
    for when in begin later; do
        run 1000 $when $how BIGMAAC_MIN_MMAP_SIZE=256K
    done
done
for how in malloc mmap; do
    run 64 later $how BIGMAAC_MIN_MMAP_SIZE=256K
done
exit 0
