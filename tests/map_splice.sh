#!/usr/bin/env bash
# What vmsplice has put into a pipe stays there when its memory is unmapped, or dropped and filled anew, though that was moved to disk.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/job.c" <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "check.h"
static const size_t bytes = 75 << 20, step = 1 << 20, part = 512 << 10;

int main(void)
{
    static char seen[512 << 10];
    int ends[2];
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED && pipe(ends) == 0 && fcntl(ends[1], F_SETPIPE_SZ, 2 * part) > 0);
    for (size_t i = 0; i < bytes; i += step) {
        memset(p + i, 7, step);
        usleep(20000);
    }
    for (size_t i = 0; i < 16; i++) {
        char *at = p + i * step + (step >> 5); /* its ends are not those of the cache's pages */
        struct iovec v = {at, part};
        ssize_t wrong = 0, sent = i % 2 ? vmsplice(ends[1], &v, 1, SPLICE_F_GIFT) : syscall(SYS_vmsplice, ends[1], &v, 1, 0);
        CHECK(sent > 0);
        if (i % 4 < 2) {
            CHECK(munmap(at, part) == 0);
        } else {
            CHECK(madvise(at, part, MADV_DONTNEED) == 0);
            memset(at, 9, part);
        }
        for (ssize_t got = 0, n; got < sent; got += n) {
            n = read(ends[0], seen, (size_t)(sent - got));
            CHECK(n > 0);
            for (ssize_t k = 0; k < n; k++)
                wrong += seen[k] != 7;
        }
        CHECK(wrong == 0);
    }
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
limited $((100 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_MIN_MMAP_SIZE=256K BIGMAAC_STATS=1 timeout -s KILL 60 "$TMP/job" 2>"$TMP/err"
code=$?
[ "$code" = 0 ] && [ "$(stat_of map_moved "$TMP/err")" -gt 0 ] || fail "$code, $(cat "$TMP/err")"
