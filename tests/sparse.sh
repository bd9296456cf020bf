# What was hardly touched stays so: neither calloc of a block that was used before nor MADV_DONTNEED
# brings all of its pages in.
. "$TOP/tests/lib.sh"
cat >"$TMP/sparse.c" <<'C'
#include "sys_blocks.h"
#include <sys/mman.h>
static size_t bytes = (size_t)400 << 20;
static void sparse(const char *p, const char *what)
{
    long long rss = value_in("/proc/self/status", "RssFile:");
    fprintf(stderr, "%s: %lld KiB in memory\n", what, rss);
    CHECK(rss >= 0 && rss < 100 << 10);
    for (size_t at = 0; at < bytes; at += bytes / 16)
        CHECK(p[at] == 0);
}
int main(int argc, char **argv)
{
    bytes = argc > 1 ? strtoul(argv[1], NULL, 10) << 20 : bytes;
    char *p = opaque(calloc(1, bytes)), *q;
    p[0] = p[bytes / 2] = 1;
    free(p);
    q = opaque(calloc(1, bytes));
    sparse(q, "calloc");
    q[0] = q[bytes / 2] = 1;
    CHECK(madvise(q, bytes, MADV_DONTNEED) == 0);
    sparse(q, "MADV_DONTNEED");
    return check_result();
}
C
compile_c "$TMP/sparse" "$TMP/sparse.c"
for mib in 200 400; do
    for reserve in 0 1; do
        with BIGMAAC_RESERVE=$reserve BIGMAAC_RECYCLE=1G "$TMP/sparse" $mib 2>"$TMP/err" ||
            fail "$mib MiB, BIGMAAC_RESERVE=$reserve: status $?: $(cat "$TMP/err")"
    done
done
