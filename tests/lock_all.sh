#!/usr/bin/env bash
# A user who may lock all that his program has mapped may do so (mlockall) beside what the library reserves, and gets memory afterwards.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root; need setpriv
cat >"$TMP/job.c" <<'C'
#define _GNU_SOURCE
#include "sys_blocks.h"
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct block block = {0}, other = {0};
    struct rlimit limit;
    long mapped;
    CHECK(block_new(&block, 1 << 20, 1) && (argc < 2 || bigmaac_try_kind(block.p) == BIGMAAC_KIND_BIGMAAC));
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f && fscanf(f, "%ld", &mapped) == 1 && fclose(f) == 0);
    CHECK(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    if (mlockall(MCL_CURRENT) != 0)
        return errno == ENOMEM && argc < 2 ? 77 : 1;
    CHECK(argc < 2 || limit.rlim_cur / (size_t)getpagesize() < (size_t)mapped); /* it was in the way */
    CHECK(block_intact(&block) && block_new(&other, 1 << 20, 2) && block_resize(&block, 2 << 20) && block_intact(&other));
    block_drop(&block);
    block_drop(&other);
    (void)argv;
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
chmod 777 "$TMP"
user() { setpriv --reuid 65534 --clear-groups "$@"; }
[ "$(ulimit -H -l)" != unlimited ] || ulimit -l 65536
ulimit -l "$(ulimit -H -l)"
[ "$(ulimit -l)" -ge 65536 ] || [ "$(getconf PAGESIZE)" = 4096 ] || skip "this machine can't let a user lock 64 MiB"
user "$TMP/job" || skip "this machine can't let a user lock 8 MiB"
user env LD_PRELOAD="$LIB" BIGMAAC_MIN_BIGMAAC_SIZE=512K "$TMP/job" library || fail "exit status $?"
