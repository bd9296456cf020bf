# Data that are changed over and over, where much memory is left, do not go at the disk's speed: they become ordinary memory. When
# the limit is lowered they are paged again.
# timeout: 900
. "$TOP/tests/lib.sh"
cat >"$TMP/over.c" <<'C'
/* over MIB THREADS MORE LIMIT: changes MIB in THREADS threads over and over until it is private memory, then lowers the limit to
 * LIMIT bytes and fills MORE. 77: the disk is not fast enough for that. */
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

/* Of the group that this process is in. */
static void set_limit(const char *bytes)
{
    char line[4096], path[8192], *group;
    FILE *groups = fopen("/proc/self/cgroup", "r"), *limit = NULL;
    while (groups && fgets(line, sizeof line, groups))
        if ((group = strstr(line, ":memory:"))) {
            snprintf(path, sizeof path, "/sys/fs/cgroup/memory%.*s/memory.limit_in_bytes", (int)strcspn(group + 8, "\n"), group + 8);
            limit = fopen(path, "w");
        }
    CHECK(limit && fprintf(limit, "%s", bytes) > 0 && fclose(limit) == 0);
    fclose(groups);
}

int main(int argc, char **argv)
{
    pthread_t thread[8];
    int status = -1;
    if (argc != 5)
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
    set_limit(argv[4]);
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
    limited $((10 << 30)) env LD_PRELOAD="$PRELOAD" BIGMAAC_VERBOSE=1 "$TMP/over" 700 $threads 1500 $((1200 << 20)) 2>"$TMP/err"
    status=$?
    cat "$TMP/err"
    [ $status = 77 ] && skip "this machine can't write 64 MiB in a second, or has less than 10 GiB"
    [ $status = 0 ] || fail "$threads threads: status $status, killed: $(cat "$TMP/oom")"
    grep -q "memory suffices: they stay" "$TMP/err" && grep -q "changed bytes were brought back" "$TMP/err" || fail "$threads threads: the messages"
done
