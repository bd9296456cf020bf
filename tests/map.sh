# What a program maps itself, twice the memory's size: threads that write, unmap, grow and drop it, and children
# that see a snapshot. Nothing is moved, and nothing made, where memory suffices.
. "$TOP/tests/lib.sh"
M=1048576
cat >"$TMP/job.c" <<'C'
/* job ROUNDS CHILDREN: 2 threads with 4 regions of 40 MiB each. Every page holds its number and a count. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 2, REGIONS = 4 };
static const size_t REGION = 40 << 20;
static size_t PAGE, PAGES, WORDS; /* bytes of a page; pages of a region; words of a page */
static uint64_t *region[THREADS][REGIONS];
static atomic_int wrong;
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER; /* held while there is a hole, or a page that can't be written to:
                                                              * a child that began with one would die of it */
static int rounds, children;

static uint64_t *map_region(void)
{
    void *p = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* All pages are `count` or, where a thread is just writing, one more. */
static int differs(const uint64_t *at, size_t page)
{
    return at[page * WORDS] && at[page * WORDS] >> 32 != page + 1;
}

static void *work(void *argument)
{
    uint64_t **mine = argument;
    uint64_t seed = (uintptr_t)mine;
    for (int round = 0; round < rounds; round++)
        for (int r = 0; r < REGIONS; r++) {
            for (size_t page = 0; page < PAGES; page++) {
                uint64_t expected = round ? (page + 1) << 32 | (uint64_t)round : 0;
                wrong += mine[r][page * WORDS] != expected && mine[r][page * WORDS] != 0;
                mine[r][page * WORDS] = (page + 1) << 32 | (uint64_t)(round + 1);
            }
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            size_t pages = 1 + (seed >> 20) % (PAGES / 17), page = (seed >> 40) % (PAGES - pages);
            char *at = (char *)(mine[r] + page * WORDS);
            madvise(at, pages * PAGE, seed >> 63 ? MADV_DONTNEED : MADV_FREE);
            if (seed >> 63)
                wrong += !is_zero(at, pages * PAGE);
            if (seed >> 62 & 1) { /* a hole is mapped again: zeroes */
                pthread_mutex_lock(&changing);
                wrong += munmap(at, pages * PAGE) != 0;
                wrong += mmap(at, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at;
                pthread_mutex_unlock(&changing);
                wrong += !is_zero(at, pages * PAGE);
            }
            pthread_mutex_lock(&changing);
            wrong += mprotect(at, pages * PAGE, PROT_READ) != 0 || mprotect(at, pages * PAGE, PROT_READ | PROT_WRITE) != 0;
            pthread_mutex_unlock(&changing);
        }
    return NULL;
}

static int child(void)
{
    for (int t = 0; t < THREADS; t++)
        for (int r = 0; r < REGIONS; r++)
            for (size_t page = 0; page < PAGES; page++)
                if (differs(region[t][r], page))
                    return 1;
    uint64_t before = region[0][0][0];
    for (size_t page = 0; page < PAGES; page++)
        region[1][1][page * WORDS] = 5; /* the parent would see it */
    return region[0][0][0] != before;
}

int main(int argc, char **argv)
{
    pthread_t thread[THREADS];
    PAGE = (size_t)sysconf(_SC_PAGESIZE);
    PAGES = REGION / PAGE;
    WORDS = PAGE / sizeof(uint64_t);
    rounds = argc > 1 ? atoi(argv[1]) : 3;
    children = argc > 2 ? atoi(argv[2]) : 0;
    for (int t = 0; t < THREADS; t++)
        for (int r = 0; r < REGIONS; r++)
            CHECK((region[t][r] = map_region()) != NULL);
    for (int t = 0; t < THREADS; t++)
        CHECK(pthread_create(&thread[t], NULL, work, region[t]) == 0);
    for (int i = 0; i < children; i++) {
        int status = 0;
        free(malloc(100));
        usleep(300000);
        pthread_mutex_lock(&changing);
        pid_t pid = fork();
        if (pid == 0)
            _exit(child());
        pthread_mutex_unlock(&changing);
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
        if (status != 0)
            fprintf(stderr, "child %d ended with %x\n", i, status);
        CHECK(status == 0);
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(thread[t], NULL);
    CHECK(wrong == 0);
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
moved() { sed -n 's/.* map_moved=\([0-9]*\).*/\1/p' "$TMP/err" | tail -n 1; } # of the parent, which ends last
run() { # LIMIT CHILDREN: under the library; the summary is in $TMP/err
    limited "$1" env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_MMAP_SIZE=256K BIGMAAC_STATS=1 "$TMP/job" 3 "$2" 2>"$TMP/err" ||
        fail "$*: exit status $? with: $(head -n 5 "$TMP/err")"
    [ "$(cat "$TMP/oom")" = 0 ] || fail "$*: the kernel killed something"
}
limited $((160 * M)) "$TMP/job" 3 0 >"$TMP/out" 2>&1 && fail "the job fits without the library"
run $((160 * M)) 0
[ "$(moved)" -gt $((100 * M)) ] || fail "little was moved out: $(cat "$TMP/err")"
run $((2000 * M)) 2
[ "$(moved)" = 0 ] || fail "moved out although memory suffices: $(cat "$TMP/err")"
# Two processes: what isn't moved yet when a child begins is needed twice, and where the kernel has no page of zeroes for all
# (pvm_no_zero_page) a child has memory of its own for what it reads.
run $((400 * M)) 3
[ "$(moved)" -gt $((50 * M)) ] || fail "with forks little was moved out: $(cat "$TMP/err")"
