/* unit_taken.c - a thread of the program's gives the number of a swap file of ours to a file of its own, right before or
 * after we use it: no block is mapped from that file, which keeps its size and its bytes, and blocks keep theirs. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static long taken(long number, long a, long b, long c, long d, long e, long f);
#define BIGMAAC_SYS taken
#include "../bigmaac.c"
#include "check.h"

static int theirs, when; /* the program's file; the call of that kind that is next to meet it, 0: none */
static enum { RAISED, MAPPED } what;

static long taken(long number, long a, long b, long c, long d, long e, long f)
{
    bool raised = number == SYS_fcntl && b == F_DUPFD_CLOEXEC, mapped = number == SYS_mmap && (int)e >= 0;
    bool now = when && (what == RAISED ? raised : mapped) && --when == 0;
    if (now && mapped)
        dup2(theirs, (int)e);
    long result = syscall(number, a, b, c, d, e, f);
    if (now && raised)
        dup2(theirs, (int)result);
    return result;
}

static bool theirs_is_whole(void)
{
    char text[8] = "";
    struct stat st;
    return fstat(theirs, &st) == 0 && st.st_size == 5 && pread(theirs, text, 5, 0) == 5 && text_same(text, "hello");
}

/* A block is filled, grows and shrinks; the number is taken at call `n` of that kind. */
static void try(int kind, int n, size_t size)
{
    what = kind;
    when = n;
    unsigned char *p = bigmaac_malloc(size);
    if (p)
        memset(p, n, size);
    unsigned char *q = p ? bigmaac_realloc(p, 2 * size) : NULL;
    p = q ? q : p;
    if (q)
        memset(q + size, n, size);
    when = 0;
    for (size_t i = 0; p && i < (q ? 2 : 1) * size; i += 1024)
        CHECK(p[i] == n);
    CHECK(theirs_is_whole());
    bigmaac_free(p);
    CHECK(theirs_is_whole());
}

int main(void)
{
    char path[] = "/var/tmp/unit_taken.XXXXXX";
    setenv("BIGMAAC_MIN_FRY_SIZE", "64", 1);
    setenv("BIGMAAC_RECYCLE", "0", 1);
    theirs = mkstemp(path);
    CHECK(theirs >= 0 && unlink(path) == 0 && write(theirs, "hello", 5) == 5);
    config_load();
    route_set_limit();
    for (int kind = RAISED; kind <= MAPPED; kind++)
        for (int n = 1; n < 5; n++) {
            try(kind, n, 12 << 20);
            try(kind, n, 100000);
        }
    return check_result();
}
