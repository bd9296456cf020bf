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
