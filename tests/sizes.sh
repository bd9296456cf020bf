# Sizes that change: a freed block serves a request of another size, with nothing of the last owner's in what calloc
# gives, and dead blocks stay few. And what is freed gives way at once to whoever needs its address space.
. "$TOP/tests/lib.sh"

cat >"$TMP/replace.c" <<'C'
#include "check.h"
#include <malloc.h>
#include <string.h>
enum { LIVE = 20, REPLACED = 3000 };
static const size_t least = 256 << 10, range = 1 << 20;
int main(void)
{
    struct { unsigned char *p; size_t size; unsigned char mark; } block[LIVE] = {0};
    uint64_t state = 88172645463325252;
    for (unsigned i = 0; i < REPLACED; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        unsigned at = (state >> 33) % LIVE;
        size_t size = least + (state >> 40) % range;
        unsigned char mark = (unsigned char)(i % 255 + 1);
        unsigned char *p = opaque(i % 2 ? calloc(1, size) : malloc(size));
        CHECK(p != NULL);
        CHECK(i % 2 == 0 || is_zero(p, size));
        if (i % 4 < 2)
            memset(p, mark, malloc_usable_size(p)); /* all that is there, not only what was asked for */
        else
            memset(p, mark, size);
        for (size_t k = 0; block[at].p && k < block[at].size; k += 4096)
            CHECK(block[at].p[k] == block[at].mark);
        CHECK(!block[at].p || block[at].p[block[at].size - 1] == block[at].mark);
        free(block[at].p);
        block[at].p = p, block[at].size = size, block[at].mark = mark;
    }
    for (int i = 0; i < LIVE; i++)
        free(block[i].p);
    return check_result();
}
C
compile_c "$TMP/replace" "$TMP/replace.c"
with BIGMAAC_MIN_BIGMAAC_SIZE=64K BIGMAAC_STATS=1 "$TMP/replace" 2>"$TMP/err" || fail "replacing: $(head -n 5 "$TMP/err")"
given=$(stat_of bigmaacs "$TMP/err") recycled=$(stat_of recycled "$TMP/err")
asked=$(stat_of bigmaac_peak "$TMP/err") disk=$(stat_of file_peak "$TMP/err")
[ "$recycled" -ge $((given * 9 / 10)) ] || fail "of $given blocks only $recycled were made from freed ones"
[ "$disk" -le $((asked * 2)) ] || fail "$disk bytes of files for $asked bytes of blocks"
with BIGMAAC_MIN_BIGMAAC_SIZE=64K BIGMAAC_RESERVE=0 "$TMP/replace" || fail "replacing, sparse files"

cat >"$TMP/space.c" <<'C'
#include "bigmaac.h"
#include "check.h"
#include <string.h>
#include <sys/resource.h>
static char *block(size_t mib, int kind, const char *what)
{
    char *p = opaque(malloc(mib << 20));
    int is = p ? (int)bigmaac_try_kind(p) : -1;
    if (is != kind)
        printf("%s: %zu MiB are of kind %d, not %d\n", what, mib, is, kind);
    CHECK(is == kind);
    return memset(p, 1, mib << 20);
}
int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "fries") == 0) {
        char *one = block(20, BIGMAAC_KIND_FRY, "the first"), *two = block(20, BIGMAAC_KIND_FRY, "the second");
        free(one);
        free(two);
        free(block(50, BIGMAAC_KIND_FRY, "over both of them"));
        free(block(54, BIGMAAC_KIND_FRY, "once more")); /* at once again */
        return check_result();
    }
    free(block(200, BIGMAAC_KIND_BIGMAAC, "the first"));
    free(block(230, BIGMAAC_KIND_BIGMAAC, "larger than what is left"));
    char *p = block(20, BIGMAAC_KIND_BIGMAAC, "a live one");
    free(block(160, BIGMAAC_KIND_BIGMAAC, "beside it"));
    p = realloc(p, (size_t)200 << 20);
    CHECK(p && bigmaac_try_kind(p) == BIGMAAC_KIND_BIGMAAC && p[0] == 1 && p[(20 << 20) - 1] == 1);
    free(p);
    return check_result();
}
C
compile_c "$TMP/space" "$TMP/space.c" -ldl
with SIZE_BIGMAAC=256M "$TMP/space" || fail "a small region"
(ulimit -v 1500000 && with "$TMP/space") || fail "under RLIMIT_AS"
with SIZE_FRIES=64M BIGMAAC_MIN_BIGMAAC_SIZE=60M BIGMAAC_MIN_FRY_SIZE=128 "$TMP/space" fries || fail "fries"

# Descriptors: of 120, those of the program, of which 50 freed blocks have their own.
cat >"$TMP/files.c" <<'C'
#include "bigmaac.h"
#include "check.h"
enum { COUNT = 30 };
int main(void)
{
    void *p[COUNT];
    for (size_t size = 1; size <= 16; size *= 16) { /* MiB: the first are too small for the second ones */
        for (int i = 0; i < COUNT; i++) {
            p[i] = malloc(size << 20);
            CHECK(p[i] && bigmaac_try_kind(p[i]) == BIGMAAC_KIND_BIGMAAC);
        }
        for (int i = 0; i < COUNT; i++)
            free(p[i]);
    }
    return check_result();
}
C
compile_c "$TMP/files" "$TMP/files.c" -ldl
(ulimit -n 100 && with BIGMAAC_MIN_BIGMAAC_SIZE=512K "$TMP/files") || fail "files of freed blocks"
