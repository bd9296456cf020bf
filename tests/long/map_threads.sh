# Many threads that fill twice the memory that there is, as fast as they can: threads that live, threads that are made all the
# time, threads that begin and end together. What lives has its contents. The kernel may kill some, as the thread that moves
# memory out may get no processor in time, and then says so; of those that make threads few: without care nearly all.
# MAP_THREADS_RUNS=... of each kind. Without leakcheck.c, beside which the monitor starts at the next malloc only.
# timeout: 1200
. "$TOP/tests/lib.sh"
runs=${MAP_THREADS_RUNS:-10}
cat >"$TMP/fill.c" <<'C'
/* fill SLOTS HEIRS JOINED: 256 MiB by SLOTS threads at a time. A thread that has filled its share makes its heir, and ends;
 * JOINED: the next ones are made when all have ended. */
#include "check.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST = 64 };
static size_t slots, all, share, page, joined;
static uint64_t **block;
static sem_t ended;

static void *work(void *argument)
{
    size_t n = (uintptr_t)argument;
    pthread_t heir;
    uint64_t *at = mmap(NULL, share, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    block[n] = at;
    for (size_t i = 0; i < share; i += page)
        at[i / sizeof *at] = n * share + i + 1;
    if (joined || n + slots >= all)
        sem_post(&ended);
    else if (pthread_create(&heir, NULL, work, (void *)(n + slots)) != 0 || pthread_detach(heir) != 0)
        abort();
    return NULL;
}

static void run(size_t first)
{
    pthread_t thread[MOST];
    for (size_t i = 0; i < slots; i++)
        CHECK(pthread_create(&thread[i], NULL, work, (void *)(first + i)) == 0);
    for (size_t i = 0; i < slots; i++)
        pthread_join(thread[i], NULL);
    for (size_t i = 0; i < slots; i++)
        while (sem_wait(&ended) != 0)
            ;
}

int main(int argc, char **argv)
{
    CHECK(argc == 4);
    slots = strtoul(argv[1], NULL, 10);
    all = slots * strtoul(argv[2], NULL, 10);
    joined = strtoul(argv[3], NULL, 10);
    page = (size_t)sysconf(_SC_PAGESIZE);
    share = ((size_t)256 << 20) / all / page * page;
    block = calloc(all, sizeof *block);
    sem_init(&ended, 0, 0);
    for (size_t first = 0; first < (joined ? all : slots); first += slots)
        run(first);
    size_t wrong = 0;
    for (size_t n = 0; n < all; n++)
        for (size_t i = 0; i < share; i += page)
            wrong += block[n][i / sizeof **block] != n * share + i + 1;
    CHECK(wrong == 0);
    return check_result();
}
C
compile_c "$TMP/fill" "$TMP/fill.c"
kind() { # MOST NAME SLOTS HEIRS JOINED: at most MOST percent of them may be killed
    local most=$1
    shift
    local killed=0 status
    for _ in $(seq "$runs"); do
        limited $((120 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_MIN_MMAP_SIZE=256K "$TMP/fill" "${@:2}" 2>"$TMP/err"
        status=$?
        case $status in
        0) ;;
        137) killed=$((killed + 1)) ;;
        *) fail "$1: exit status $status with: $(head -n 5 "$TMP/err")" ;;
        esac
    done
    echo "$1: $killed of $runs killed"
    [ $((killed * 100)) -le $((runs * most)) ] || fail "$1: the kernel killed $killed of $runs"
}
kind 100 "16 threads that live" 16 1 0
kind 60 "8 threads at a time, 512 in all" 8 64 0
kind 60 "32 threads, six times" 32 6 1
