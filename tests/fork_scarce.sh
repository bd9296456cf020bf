# What is written after a fork comes home also where little memory is left for it beside the program's own, and where new blocks
# would take all descriptors.
. "$TOP/tests/lib.sh"
cat >"$TMP/scarce.c" <<'C'
/* scarce MIB beside|files: in a limit of MIB. It writes no faster than its anonymous memory stays below what it may have. */
#include "check.h"
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
static const size_t mib = 1 << 20;
static size_t limit, page;

static size_t anonymous(void)
{
    char line[128];
    size_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "RssAnon: %zu", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib << 10;
}

static void await(size_t most)
{
    static int waits = 2000; /* in all, of 20 ms */
    while (anonymous() > most && waits-- > 0)
        usleep(20000);
}

static void child_comes_and_goes(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void beside(void)
{
    size_t bytes = 2 * limit;
    unsigned char *data = opaque(malloc(bytes));
    memset(data, 1, bytes);
    while (anonymous() < limit - 18 * mib)
        memset(opaque(malloc(mib / 16)), 1, mib / 16);
    child_comes_and_goes();
    for (size_t at = 0; at < bytes; at += page) {
        data[at] = (unsigned char)(at / page);
        if (at % mib == 0)
            await(limit - 10 * mib);
    }
    for (size_t at = 0; at < bytes; at += page)
        CHECK(data[at] == (unsigned char)(at / page) && data[at + 1] == 1);
}

static void files(void)
{
    enum { OLD = 90, ALL = 210 };
    static unsigned char *p[ALL];
    struct rlimit most = {256, 256};
    CHECK(setrlimit(RLIMIT_NOFILE, &most) == 0);
    for (int i = 0; i < ALL; i++) {
        if (i == OLD)
            child_comes_and_goes();
        p[i] = opaque(malloc(mib + 1));
        memset(p[i], 1, mib);
    }
    for (int i = 0; i < OLD; i++) {
        memset(p[i], 2, mib);
        await(limit / 8 * 5);
    }
    for (int i = 0; i < ALL; i++)
        CHECK(p[i][0] == 1 + (i < OLD) && p[i][mib - 1] == 1 + (i < OLD));
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    limit = strtoul(argv[1], NULL, 10) * mib;
    page = (size_t)sysconf(_SC_PAGESIZE);
    *argv[2] == 'b' ? beside() : files();
    return check_result();
}
C
compile_c "$TMP/scarce" "$TMP/scarce.c"
limited $((200 << 20)) env LD_PRELOAD="$LIB" "$TMP/scarce" 200 beside || fail "beside: exit status $?"
limited $((50 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_MIN_BIGMAAC_SIZE=1M "$TMP/scarce" 50 files || fail "files: exit status $?"
