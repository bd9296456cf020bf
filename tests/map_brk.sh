#!/usr/bin/env bash
# What a program asks for by brk itself, as tcmalloc and some Lisps do, is moved out as what is mapped is, and is given back, and comes
# again as zeroes; libc's malloc may have its heap beside it. Where it is executable it is left alone.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/job.c" <<'C'
#include "kinds.h"
#include <errno.h>
#include <stdbool.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
enum { PIECES = 2400, PIECE = 64 << 10 };
static char *at[PIECES], *small[PIECES];

static void check_all(int from, int to)
{
    for (int i = from; i < to; i++) {
        for (size_t in = 0; in < PIECE; in += 512)
            CHECK(at[i][in] == (char)(i % 250 + 1));
        CHECK(is_stamped(small[i], 1000, 1000, i));
    }
}

int main(int argc, char **argv)
{
    bool moves = argc > 1 && argv[1][0] == 'm', executable = argc > 1 && argv[1][0] == 'x';
    CHECK(!executable || personality(READ_IMPLIES_EXEC) != -1);
    int pieces = moves ? PIECES : 16;
    for (int i = 0; i < pieces; i++) {
        at[i] = sbrk(PIECE); /* libc's malloc gets some in between */
        CHECK(at[i] != (char *)-1);
        CHECK(is_zero(at[i], PIECE));
        memset(at[i], i % 250 + 1, PIECE);
        small[i] = malloc(1000);
        stamp(small[i], 1000, i);
        if (i % 16 == 0)
            usleep(2000);
    }
    CHECK(bigmaac_try_kind(at[pieces - 1]) == (argc > 1 && !executable ? BIGMAAC_KIND_MMAP : BIGMAAC_KIND_NONE));
    check_all(0, pieces);
    pid_t pid = fork();
    if (!pid) {
        check_all(pieces - 16, pieces);
        CHECK(sbrk(PIECE) != (void *)-1);
        _exit(check_result());
    }
    int status;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    char *before = sbrk(0), *end = sbrk(4 * PIECE); /* it grows and goes, by both calls */
    CHECK(end == before);
    memset(end, 7, 4 * PIECE);
    CHECK(brk(end + PIECE) == 0 && sbrk(0) == end + PIECE);
    CHECK(bigmaac_try_kind(end + 3 * PIECE) == BIGMAAC_KIND_NONE);
    CHECK(sbrk(3 * PIECE) == end + PIECE && is_zero(end + PIECE + page, 3 * PIECE - page) && end[0] == 7);
    struct rlimit limit = {.rlim_cur = 0, .rlim_max = RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_DATA, &limit) == 0);
    errno = 0;
    CHECK(brk((char *)sbrk(0) + ((size_t)1 << 40)) == -1 && errno == ENOMEM);
    errno = 0;
    CHECK(sbrk((intptr_t)1 << 40) == (void *)-1 && errno == ENOMEM);
    check_all(0, pieces);
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
"$TMP/job" || fail "without the library"
with BIGMAAC_MIN_MMAP_SIZE=256K "$TMP/job" ours || fail "where memory suffices"
with BIGMAAC_MIN_MMAP_SIZE=256K "$TMP/job" x || fail "executable"
limited $((100 << 20)) env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_MMAP_SIZE=256K BIGMAAC_STATS=1 "$TMP/job" moves 2>"$TMP/err" ||
    fail "exit status $? with: $(head -n 5 "$TMP/err")"
[ "$(stat_of map_moved "$TMP/err")" -gt $((40 << 20)) ] || fail "little was moved out: $(cat "$TMP/err")"
