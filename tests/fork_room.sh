# A child knows how much memory is left now, not only how much there was at the fork: what it
# rewrites is brought home in time, though its parent has filled the memory since.
. "$TOP/tests/lib.sh"
cat >"$TMP/room.c" <<'C'
#include "check.h"
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
static const size_t mib = 1 << 20;
int main(void)
{
    size_t bytes = 300 * mib, hog = 205 * mib;
    char *data = opaque(malloc(bytes)), byte = 0;
    int go[2], status = -1;
    memset(data, 1, bytes);
    CHECK(pipe(go) == 0);
    usleep(300000);
    free(opaque(malloc(20 * mib))); /* here the library looks how much there is */
    pid_t pid = fork();
    if (pid == 0) {
        free(opaque(malloc(100)));
        if (read(go[0], &byte, 1) != 1)
            _exit(1);
        for (size_t at = 0; at < bytes; at += 4096) {
            data[at] = 2;
            if (at % (4 * mib) == 0)
                usleep(20000);
        }
        for (size_t at = 0; at < bytes; at += 4096)
            if (data[at] != 2 || data[at + 1] != 1)
                _exit(2);
        _exit(0);
    }
    void *p = mmap(NULL, hog, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    CHECK(p != MAP_FAILED);
    sleep(1);
    CHECK(write(go[1], "g", 1) == 1);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    return check_result();
}
C
compile_c "$TMP/room" "$TMP/room.c"
limited $((256 << 20)) env LD_PRELOAD="$LIB" "$TMP/room" || fail "exit status $?"

# A daemon closes every descriptor, ours too, while the monitor runs: it is still brought home.
cat >"$TMP/daemon.c" <<'C'
#define _GNU_SOURCE
#include "check.h"
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
    size_t bytes = (size_t)600 << 20;
    char *data = opaque(malloc(bytes));
    int status = -1;
    memset(data, 1, bytes);
    pid_t pid = fork();
    if (pid == 0) {
        free(opaque(malloc(100)));
        usleep(200000);
        closefrom(3);
        for (size_t at = 0; at < bytes; at += 4096) {
            data[at] = 2;
            if (at % (4 << 20) == 0) {
                free(opaque(malloc(100)));
                usleep(5000);
            }
        }
        for (size_t at = 0; at < bytes; at += 4096)
            if (data[at] != 2 || data[at + 1] != 1)
                _exit(2);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    return check_result();
}
C
compile_c "$TMP/daemon" "$TMP/daemon.c"
limited $((256 << 20)) env LD_PRELOAD="$LIB" "$TMP/daemon" || fail "closed descriptors: exit status $?"

# A disk that is full for a moment only: what it did not take comes home when it has room again, though no more is changed.
loop_mount ext4 700
cat >"$TMP/full.c" <<'C'
#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
static const size_t mib = 1 << 20;
static size_t anonymous_mib(void)
{
    size_t kib = 0;
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, f))
        sscanf(line, "RssAnon: %zu", &kib);
    fclose(f);
    return kib >> 10;
}
int main(int argc, char **argv)
{
    char *data = opaque(malloc(300 * mib));
    int status = -1, filler = open(argc == 2 ? argv[1] : "", O_RDWR | O_CREAT, 0600);
    off_t at = 0;
    memset(data, 1, 300 * mib);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0 && filler >= 0);
    for (off_t piece = 64 * mib; piece >= 4096; piece /= 2)
        while (fallocate(filler, 0, at, piece) == 0)
            at += piece;
    for (size_t i = 0; i < 120 * mib; i += 4096) {
        data[i] = 2;
        if (i % (4 * mib) == 0)
            free(opaque(malloc(20 * mib))), usleep(20000);
    }
    sleep(1);
    CHECK(anonymous_mib() > 100); /* or the disk was not full */
    CHECK(ftruncate(filler, 0) == 0);
    for (int i = 0; i < 900 && anonymous_mib() > 60; i++)
        usleep(100000);
    CHECK(anonymous_mib() <= 60);
    for (size_t i = 0; i < 300 * mib; i += 4096)
        CHECK(data[i] == (i < 120 * mib ? 2 : 1) && data[i + 1] == 1);
    return check_result();
}
C
compile_c "$TMP/full" "$TMP/full.c"
limited $((256 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_TEMPLATE="$MOUNT/bigmaac.XXXXXXXX" "$TMP/full" "$MOUNT/filler" ||
    fail "a disk that was full: exit status $?"
