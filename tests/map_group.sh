#!/usr/bin/env bash
# A process that is moved to another control group, after its start or as a child of a fork, is held to that one's limit: its
# memory is moved to disk in time.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/moved.c" <<'C'
/* moved PROCS [fork]: maps and fills 100 MiB, goes to the group whose cgroup.procs that is, and fills 300 MiB more. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/wait.h>
#include "sleeps.h"
enum { FIRST = 100, ALL = 400, MIB = 1 << 20 };
static char *piece[ALL];

static void map_and_fill(int from, int to)
{
    for (int i = from; i < to; i++) {
        piece[i] = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(piece[i] != MAP_FAILED);
        memset(piece[i], i, MIB);
        free(opaque(malloc(100)));
        usleep(from ? 3000 : 0);
    }
}

static void go(const char *procs)
{
    char text[32];
    int fd = open(procs, O_WRONLY), n = snprintf(text, sizeof text, "%d", getpid());
    CHECK(write(fd, text, (size_t)n) == n);
    close(fd);
    long before = sleeps(); /* it looks at least once in a second */
    for (int i = 0; before >= 0 && i < 600 && sleeps() < before + 3; i++)
        usleep(100000), free(opaque(malloc(100)));
}

int main(int argc, char **argv)
{
    int status;
    map_and_fill(0, FIRST);
    if (argc > 2 && fork() != 0)
        return wait(&status) < 0 || status != 0;
    go(argv[1]);
    map_and_fill(FIRST, ALL);
    for (int i = 0; i < ALL; i++)
        CHECK(piece[i][4096] == (char)i && piece[i][MIB - 1] == (char)i);
    return check_result();
}
C
compile_c "$TMP/moved" "$TMP/moved.c"
begin=$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)
procs=/sys/fs/cgroup/memory/$TEST_ID-to/cgroup.procs
mkdir "${procs%/*}" 2>/dev/null || skip "this machine can't set a memory limit (cgroup v1, root)"
echo $((200 << 20)) >"${procs%/*}/memory.limit_in_bytes"
echo 0 >"${procs%/*}/memory.swappiness"
for how in '' fork; do
    env LD_PRELOAD="$LIB" BIGMAAC_MIN_MMAP_SIZE=256K "$TMP/moved" "$procs" $how
    status=$?
    [ $status = 0 ] || break
done
for _ in $(seq 100); do rmdir "${procs%/*}" 2>/dev/null && break; sleep 0.2; done
[ $status = 0 ] || fail "moved from ${begin:-?} ${how:+after a fork}: status $status"
