#!/usr/bin/env bash
# A user who may not lock so much is refused (mlock, mlockall), and what was moved of it need not become ordinary for that, for which
# memory has no room; what he may lock is locked.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/job.c" <<'C'
#define _GNU_SOURCE
#include "sys_blocks.h"
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
static const size_t bytes = 150 << 20, may = 128 << 10, little = 64 << 10;

int main(void)
{
    struct rlimit limit = {may, may};
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    for (size_t i = 0; i < bytes; i += 1 << 20) {
        memset(p + i, 7, 1 << 20);
        usleep(2000);
    }
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && setresuid(65534, 65534, 65534) == 0);
    CHECK(mlockall(MCL_CURRENT) == -1 && errno == ENOMEM);
    CHECK(mlock(p, bytes) == -1 && errno == ENOMEM);
    CHECK(mlock2(p, bytes, MLOCK_ONFAULT) == -1 && (errno == ENOMEM || errno == ENOSYS));
    CHECK(mlock(p, little) == 0 && value_in("/proc/self/status", "VmLck:") == (long long)(little >> 10));
    limit.rlim_cur = 0;
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    CHECK(mlockall(MCL_FUTURE) == -1 && errno == EPERM);
    CHECK(mlockall(MCL_CURRENT) == -1 && errno == EPERM);
    CHECK(mlock(p, bytes) == -1 && errno == EPERM);
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != 7)
            return 1;
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
"$TMP/job" || skip "this machine can't: without the library it is otherwise"
chmod 777 "$TMP"
limited $((100 << 20)) env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_MMAP_SIZE=256K BIGMAAC_STATS="$TMP/stats" "$TMP/job" 2>"$TMP/err" ||
    fail "exit status $? with: $(head -n 5 "$TMP/err")"
[ "$(stat_of map_moved "$TMP"/stats.*)" -gt $((40 << 20)) ] || fail "little was moved out: $(cat "$TMP"/stats.*)"
