#!/usr/bin/env bash
# What the program maps is moved though its main thread has ended, as /proc shows nothing of that then: whoever made our thread, and
# opened what it reads - main; main, with all else done by threads; a thread that ends, too.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/job.c" <<'C'
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>
#include "check.h"
static const size_t bytes = 160 << 20, some = 30 << 20;
static char *all, kind;

static char *map(size_t size)
{
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

static void *begins(void *at)
{
    memset(map(some), 1, some);
    usleep(300000);
    return at;
}

static void *works(void *main_thread)
{
    pthread_t first;
    CHECK(pthread_join(*(pthread_t *)main_thread, NULL) == 0);
    if (kind == 'o')
        CHECK(pthread_create(&first, NULL, begins, NULL) == 0 && pthread_join(first, NULL) == 0);
    all = all ? all : map(bytes);
    for (size_t i = 0; i < bytes; i += 1 << 20) {
        memset(all + i, 7, 1 << 20);
        usleep(10000);
    }
    for (size_t i = 0; i < bytes; i += 1 << 10)
        CHECK(all[i] == 7);
    exit(check_result());
}

int main(int argc, char **argv)
{
    static pthread_t self;
    pthread_t thread;
    CHECK(argc == 2);
    kind = argv[1][0];
    self = pthread_self();
    if (kind == 'm') {
        begins(NULL);
        all = map(bytes);
    }
    CHECK(pthread_create(&thread, NULL, works, &self) == 0);
    pthread_exit(NULL);
}
C
compile_c "$TMP/job" "$TMP/job.c"
for kind in main thread other; do
    limited $((100 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_MIN_MMAP_SIZE=256K BIGMAAC_STATS=1 timeout -s KILL 90 "$TMP/job" $kind 2>"$TMP/err" ||
        fail "$kind: $?, killed: $(cat "$TMP/oom"), $(cat "$TMP/err")"
    [ "$(stat_of map_moved "$TMP/err")" -gt 0 ] || fail "$kind: nothing is moved: $(cat "$TMP/err")"
done
