#!/usr/bin/env bash
# A message of ours that nobody reads, or that RLIMIT_FSIZE forbids, is lost; the program sees no SIGPIPE or SIGXFSZ for
# it, and what was pending for it still is.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
cat >"$TMP/unread.c" <<'END_C'
#include "check.h"
#include "bigmaac.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static int use(void) { void *p = malloc(20 << 20); int kind = bigmaac_try_kind(p); free(p); return kind; }

int main(int argc, char **argv) /* [FILE]: stderr; else a pipe */
{
    const struct rlimit low = {1 << 20, RLIM_INFINITY};
    sigset_t pipe_only, pending;
    int ends[2] = {0}, last = argc > 1 ? open(argv[1], O_WRONLY | O_CREAT, 0600) : pipe(ends) ? -1 : ends[1];
    CHECK(last >= 0 && (argc == 1 || lseek(last, 1 << 20, SEEK_SET) == 1 << 20));
    int first = dup(2);
    dup2(last, 2);
    close(ends[0]);
    CHECK(setrlimit(RLIMIT_FSIZE, &low) == 0 && use() == BIGMAAC_KIND_NONE); /* told: too large a file */
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigprocmask(SIG_BLOCK, &pipe_only, NULL);
    raise(SIGPIPE);
    CHECK(bigmaac_try_kind(malloc((size_t)1 << 50)) == BIGMAAC_KIND_NONE); /* told: no address space */
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE));
    dup2(first, 2);
    return check_result();
}
END_C
compile_c "$TMP/unread" "$TMP/unread.c" -Wno-alloc-size-larger-than
with BIGMAAC_VERBOSE=1 "$TMP/unread" || fail "a pipe that nobody reads: status $?"
with BIGMAAC_VERBOSE=1 "$TMP/unread" "$TMP/file" || fail "a file as large as RLIMIT_FSIZE: status $?"
