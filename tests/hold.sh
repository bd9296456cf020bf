# Data that are changed over and over, and fit, do not go at the disk's speed: they become ordinary memory. When RAM runs short
# they are paged again.
# timeout: 900
. "$TOP/tests/lib.sh"
cat >"$TMP/over.c" <<'C'
/* over MIB THREADS MORE: changes MIB in THREADS threads over and over until it is private memory, then fills MORE. 77: no disk is
 * fast enough for that. */
#include "check.h"
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t *data;
static size_t words;
static int threads, version;

static uint64_t value(size_t i, int of) { return (i + 1) * 0x9e3779b97f4a7c15u + (uint64_t)of; }

static void *rewrite(void *number)
{
    size_t part = words / (size_t)threads, from = part * (size_t)(uintptr_t)number;
    for (size_t i = from; i < from + part; i++)
        data[i] = value(i, version);
    return NULL;
}

static bool right(int of)
{
    size_t wrong = 0;
    for (size_t i = 0; i < words; i++)
        wrong += data[i] != value(i, of);
    return !wrong;
}

static bool is_private(void)
{
    char line[4096], flags[8] = "";
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long from, to, at = (unsigned long)data;
    while (maps && fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx %7s", &from, &to, flags) == 3 && from <= at && at < to)
            break;
    fclose(maps);
    return flags[3] == 'p';
}

int main(int argc, char **argv)
{
    pthread_t thread[8];
    int status = -1;
    if (argc != 4)
        return 2;
    words = strtoul(argv[1], NULL, 10) << 17;
    threads = atoi(argv[2]);
    size_t more = strtoul(argv[3], NULL, 10) << 17;
    data = malloc(words * 8);
    for (time_t begin = time(NULL); !is_private(); msync((char *)data - (uintptr_t)data % 4096, words * 8, MS_SYNC)) {
        if (time(NULL) - begin > 120)
            return 77;
        version++;
        for (int t = 0; t < threads; t++)
            pthread_create(&thread[t], NULL, rewrite, (void *)(uintptr_t)t);
        for (int t = 0; t < threads; t++)
            pthread_join(thread[t], NULL);
    }
    CHECK(right(version));
    version++;
    for (size_t t = 0; t < (size_t)threads; t++)
        rewrite((void *)t);
    uint64_t *other = malloc(more * 8);
    for (size_t i = 0; i < more; i++)
        other[i] = value(i, -1);
    CHECK(right(version));
    pid_t pid = fork();
    if (pid == 0)
        _exit(!right(version));
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    for (size_t i = 0; i < more; i += 512)
        CHECK(other[i] == value(i, -1));
    return check_result();
}
C
compile_c "$TMP/over" "$TMP/over.c"
for threads in 1 2; do
    limited $((400 << 20)) env LD_PRELOAD="$PRELOAD" BIGMAAC_VERBOSE=1 "$TMP/over" 150 $threads 600 2>"$TMP/err"
    status=$?
    cat "$TMP/err"
    [ $status = 77 ] && skip "this machine can't write 64 MiB in a second"
    [ $status = 0 ] || fail "$threads threads: status $status, killed: $(cat "$TMP/oom")"
    grep -q "memory suffices: they stay" "$TMP/err" && grep -q "changed bytes were brought back" "$TMP/err" || fail "$threads threads: the messages"
done
