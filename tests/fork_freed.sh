#!/usr/bin/env bash
# When all that a fork has frozen is freed, there is nothing to bring home: our thread ends.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
cat >"$TMP/freed.c" <<'C'
#include "check.h"
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
static unsigned threads(void)
{
    struct stat st;
    return stat("/proc/self/task", &st) == 0 ? (unsigned)st.st_nlink - 2 : 0;
}
int main(void)
{
    const size_t bytes = (size_t)200 << 20;
    int status = -1;
    char *big = opaque(malloc(bytes)), *fries[1000];
    memset(big, 1, bytes);
    for (size_t i = 0; i < 1000; i++)
        memset(fries[i] = opaque(malloc(100000)), 1, 100000);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    free(opaque(malloc(11 << 20)));
    CHECK(threads() > 1); /* or there is nothing to end */
    free(big);
    for (size_t i = 0; i < 1000; i++)
        free(fries[i]);
    for (int i = 0; i < 300 && threads() > 1; i++)
        usleep(100000);
    CHECK(threads() == 1);
    return check_result();
}
C
compile_c "$TMP/freed" "$TMP/freed.c"
limited $((256 << 20)) env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_FRY_SIZE=64K "$TMP/freed" || fail "status $?"
