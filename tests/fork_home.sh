# After a fork a parent rewrites three times its memory limit, and the child still sees the
# snapshot. Without bringing memory home both would be killed.
# timeout: 1500
. "$TOP/tests/lib.sh"
cat >"$TMP/home.c" <<'C'
/* home MIB THREADS ASK: fork, rewrite MIB in THREADS threads, check both sides. */
#include "check.h"
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t *data;
static size_t words;
static int threads, ask;

static uint64_t value(size_t i, int version) { return (i + 1) * 0x9e3779b97f4a7c15u + (uint64_t)version; }

static void *rewrite(void *number)
{
    size_t part = words / (size_t)threads, from = part * (size_t)(uintptr_t)number;
    for (size_t i = from; i < from + part; i++) {
        data[i] = value(i, 1);
        if (ask && i % 65536 == 0)
            free(opaque(malloc(1 << 20))); /* gives the library a chance to do it here */
    }
    return NULL;
}

static size_t wrong(int version)
{
    size_t count = 0;
    for (size_t i = 0; i < words; i++)
        count += data[i] != value(i, version);
    return count;
}

int main(int argc, char **argv)
{
    int go[2], status = 0;
    char byte = 0;
    if (argc != 4 || pipe(go) != 0)
        return 2;
    words = strtoul(argv[1], NULL, 10) << 17;
    threads = atoi(argv[2]);
    ask = atoi(argv[3]);
    data = malloc(words * 8);
    for (size_t i = 0; i < words; i++)
        data[i] = value(i, 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(go[1]);
        if (read(go[0], &byte, 1) != 1)
            _exit(3);
        _exit(wrong(0) ? 4 : 0);
    }
    pthread_t thread[8];
    for (int t = 0; t < threads && threads > 1; t++)
        pthread_create(&thread[t], NULL, rewrite, (void *)(uintptr_t)t);
    for (int t = 0; t < threads && threads > 1; t++)
        pthread_join(thread[t], NULL);
    if (threads == 1)
        rewrite((void *)0);
    CHECK(wrong(1) == 0);
    CHECK(write(go[1], "g", 1) == 1);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(wrong(1) == 0);
    return check_result();
}
C
compile_c "$TMP/home" "$TMP/home.c"
limited $((256 << 20)) "$TMP/home" 768 1 0 2>/dev/null && fail "without the library it was not killed: the test shows nothing"
for way in "1 1" "1 0" "2 1" "2 0"; do
    # shellcheck disable=SC2086
    limited $((256 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_VERBOSE=1 "$TMP/home" 768 $way >"$TMP/out" 2>&1 ||
        fail "threads, asks = $way: status $?: $(tail -n 5 "$TMP/out")"
    grep -q 'brought back to disk' "$TMP/out" || fail "threads, asks = $way: nothing came home"
done
exit 0
