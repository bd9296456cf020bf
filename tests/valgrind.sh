# memcheck finds no error in the library by preload: a program with bigmaacs and fries in two threads,
# resized, freed by the other thread and used after a fork; and sort, whose output must be the same.
. "$TOP/tests/lib.sh"
need valgrind
check() { # PROGRAM...
    with BIGMAAC_MIN_BIGMAAC_SIZE=64K BIGMAAC_MIN_FRY_SIZE=64 valgrind -q --error-exitcode=9 --log-file="$TMP/log" \
        --soname-synonyms=somalloc=nouserintercepts "$@" || { cat "$TMP/log"; fail "$*: status $?"; }
    grep . "$TMP/log" && fail "$*: memcheck said something"
}
cat >"$TMP/job.c" <<'C'
#include <pthread.h>
#include <malloc.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bigmaac.h"
#include "check.h"

enum { BLOCKS = 300 };
static char *block[2][BLOCKS];

static size_t size_of(int i) { return i % 30 ? 70 + (size_t)i * 37 % 9000 : 70000 + (size_t)i * 1000; }

static void *job(void *which)
{
    char **mine = block[which != NULL];
    for (int i = 0; i < BLOCKS; i++) {
        size_t size = size_of(i);
        mine[i] = i % 7 == 1 ? calloc(1, size) : i % 7 == 2 ? memalign(256, size) : malloc(size);
        int kind = size > 65536 ? BIGMAAC_KIND_BIGMAAC : BIGMAAC_KIND_FRY;
        CHECK(mine[i] && bigmaac_try_kind(mine[i]) == kind);
        CHECK(i % 7 != 1 || is_zero(mine[i], size));
        fill(mine[i], malloc_usable_size(mine[i]), (uint64_t)i);
    }
    for (int i = 0; i < BLOCKS; i += 3) {
        mine[i] = realloc(mine[i], size_of(i) * 2);
        CHECK(is_filled(mine[i], size_of(i), (uint64_t)i));
    }
    return NULL;
}

int main(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, job, &thread);
    job(NULL);
    pthread_join(thread, NULL);
    pid_t pid = fork();
    for (int i = 0; i < BLOCKS; i++)
        for (int t = 0; t < 2; t++) {
            CHECK(is_filled(block[t][i], size_of(i), (uint64_t)i));
            fill(block[t][i], size_of(i), (uint64_t)i + (pid == 0));
            free(block[t][i]);
        }
    if (pid == 0)
        _exit(check_result());
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c" -fno-builtin
check "$TMP/job"
seq 40000 | sort -R --random-source=/dev/zero >"$TMP/numbers"
check sort -n "$TMP/numbers" -o "$TMP/sorted"
seq 40000 | cmp - "$TMP/sorted" || fail "sort: the output differs"
