#!/usr/bin/env bash
# The statistics are exact for a known sequence of calls, at exit and from inside; requests that
# were ours by size and went elsewhere are told with the reason; nothing is told unasked.
. "$TOP/tests/lib.sh"
cat >"$TMP/known.c" <<'C'
/* known CASE - a sequence of calls whose statistics can be told by hand. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "kinds.h"
enum { MIB = 1 << 20 };
static char *blocks[20000];

static struct bigmaac_stats now(void)
{
    struct bigmaac_stats s = {.size = sizeof s};
    if (bigmaac_try_stats(&s))
        exit(3);
    return s;
}

static void bigmaacs(void)
{
    char *a = malloc(20 * MIB), *b = calloc(3, 7 * MIB), *c = memalign(4096, 12 * MIB + 5); /* 53M+5 */
    struct bigmaac_stats s = now();
    CHECK(s.bigmaacs == 3 && s.bigmaac_bytes == 53 * MIB + 5 && s.bigmaac_peak == 53 * MIB + 5);
    CHECK(s.files == 3 && s.file_bytes == 53 * MIB + 4096 && s.warm_bytes == 0 && s.fell_through == 0);
    free(a);                    /* 33M + 5 */
    b = realloc(b, 25 * MIB);   /* 37M + 5: grown */
    b = realloc(b, 11 * MIB);   /* 23M + 5 */
    c = realloc(c, 100);        /* 11M: no bigmaac any more */
    c = realloc(c, 15 * MIB);   /* 26M: the fourth */
    void *d = NULL;
    CHECK(posix_memalign(&d, 64, 10 * MIB) == 0); /* not larger than the threshold */
    CHECK(malloc((size_t)1 << 62) == NULL);
    free(d);
    s = now();
    CHECK(s.bigmaacs == 4 && s.bigmaac_bytes == 26 * MIB && s.bigmaac_peak == 53 * MIB + 5);
    CHECK(s.files == 2 && s.file_bytes == 26 * MIB && s.file_peak == 53 * MIB + 4096);
    free(c);                    /* 11M left at the end */
}

static void recycled(void)
{
    for (int i = 0; i < 5; i++)
        free(malloc(20 * MIB)); /* one new, four again */
    CHECK(now().warm_bytes == 20 * MIB && now().bigmaac_bytes == 0 && now().bigmaacs == 5);
    malloc(20 * MIB);
    CHECK(now().warm_bytes == 0 && now().files == 1);
}

/* Fries: all of one size, so that the bytes of their class can be told. */
static void fries(int count, int freed)
{
    for (int i = 0; i < count; i++)
        blocks[i] = malloc(1000); /* class: 1024 */
    for (int i = 0; i < freed; i++)
        free(blocks[i]);
}

static void passed(int count)
{
    for (int i = 0; i < count; i++)
        free(realloc(i & 1 ? calloc(1, 50) : malloc(50), 100)); /* two requests */
}

int main(int argc, char **argv)
{
    int count = argc > 2 ? atoi(argv[2]) : 0, freed = argc > 3 ? atoi(argv[3]) : 0;
    switch (argv[1][0]) {
    case 'b': bigmaacs(); break;
    case 'r': recycled(); break;
    case 'f': fries(count, freed); break;
    case 'p': passed(count); break;
    case 'm': malloc(20 * MIB), malloc(30 * MIB); break;
    case 'q': fries(count, freed), malloc(300000), malloc(20 * MIB); break;
    case 'd': { /* what a failed request took of the disk is given back */
        char *small = malloc(3000), *large = malloc(200 * MIB);
        CHECK(bigmaac_try_kind(small) == BIGMAAC_KIND_FRY && bigmaac_try_kind(large) == BIGMAAC_KIND_NONE);
        struct statvfs fs;
        CHECK(statvfs(argv[2], &fs) == 0 && fs.f_bavail * fs.f_bsize > 16 * MIB);
        break;
    }
    case 'a': { /* pages that were freed go back, whatever the program does meanwhile */
        char *large = malloc(64 * MIB), *keep = malloc(3000);
        memset(large, 1, 64 * MIB);
        free(large);
        for (int i = 0; i < 60 && now().file_bytes > 24 * MIB; i++)
            usleep(50000), free(malloc(9 * MIB));
        CHECK(now().file_bytes <= 24 * MIB);
        free(keep);
    }
    }
    return check_result();
}
C
"$CC" -std=gnu11 -O1 -w -fno-builtin -I"$TOP" -I"$TOP/tests" -o "$TMP/known" "$TMP/known.c" || fail "compile"

stats() { # CASE... [in $settings]: the statistics to $TMP/err
    # shellcheck disable=SC2086
    with BIGMAAC_STATS=1 $settings "$TMP/known" "$@" 2>"$TMP/err" >"$TMP/out" || fail "$*, $settings: status $?: $(cat "$TMP/err")"
    [ ! -s "$TMP/out" ] || fail "$*: printed $(cat "$TMP/out")"
    grep -vE '^bigmaac\[[0-9]+\]: stats ([a-z_]+|fell_through reason)=' "$TMP/err" && fail "$*: the lines above are no statistics"
    [ "$(grep -c . "$TMP/err")" -ge 2 ] || fail "$*: $(cat "$TMP/err")"
}
is() { # NAME VALUE
    local got
    got=$(stat_of "$1" "$TMP/err")
    [ "$got" = "$2" ] || fail "$settings: $1=$got, not $2, in: $(cat "$TMP/err")"
}
mib=1048576
fell() { # REASON COUNT BYTES
    local line
    line=$(grep fell_through "$TMP/err" | sed 's/.*: stats //')
    [ "$line" = "fell_through reason=$1 count=$2 bytes=$3" ] || fail "wanted $2 of $3 bytes because of $1: $(cat "$TMP/err")"
}

echo "== bigmaacs"
settings="BIGMAAC_RECYCLE=0"
stats b
is bigmaacs 4; is bigmaac_bytes $((11 * mib)); is bigmaac_peak $((53 * mib + 5)); is files 1; is file_bytes $((11 * mib))
is file_peak $((53 * mib + 4096)); is warm_bytes 0; is grown 1; is recycled 0; is fries 0; is fry_bytes 0; is fry_peak 0
fell address-space 1 $((1 << 62))
settings="BIGMAAC_RECYCLE=64M"
stats r
is bigmaacs 6; is recycled 5; is bigmaac_bytes $((20 * mib)); is bigmaac_peak $((20 * mib)); is files 1; is file_peak $((20 * mib))

echo "== requests that are passed on"
settings="A=1"
stats p 0; before=$(stat_of passed "$TMP/err")
stats p 1000; after=$(stat_of passed "$TMP/err")
[ $((after - before)) = 2000 ] || fail "passed: $((after - before)) for 2000 requests"
is bigmaacs 0

echo "== fries"
settings="BIGMAAC_MIN_FRY_SIZE=64"
stats f 0 0; fries=$(stat_of fries "$TMP/err") bytes=$(stat_of fry_bytes "$TMP/err")
stats f 10000 0; is fries $((fries + 10000)); is fry_bytes $((bytes + 10000 * 1024)); is fry_peak $((bytes + 10000 * 1024))
is bigmaacs 0
stats f 10000 4000; is fries $((fries + 10000)); is fry_bytes $((bytes + 6000 * 1024))
stats f 10000 10000; is fry_bytes "$bytes"
# The peak is sampled: it may be somewhat too low, and never too high.
peak=$(stat_of fry_peak "$TMP/err")
{ [ "$peak" -gt $((10000 * 1024 / 8 * 7)) ] && [ "$peak" -le $((bytes + 10000 * 1024)) ]; } ||
    failed_peak="fry_peak=$peak after 10000 fries of 1024 bytes, all freed"

echo "== requests that could not be ours"
settings="BIGMAAC_RECYCLE=0"
with_limit() { # ULIMIT-OPTION VALUE CASE...
    local option=$1 value=$2
    shift 2
    (ulimit "$option" "$value" && stats "$@") || exit 1
}
with_limit -f 15360 m # a unit is 1 KiB
fell file-size-limit 2 $((50 * mib)); is bigmaacs 0
with_limit -f $((25 * 1024)) m
fell file-size-limit 1 $((30 * mib)); is bigmaacs 1
settings="SIZE_BIGMAAC=25M"
stats m
fell address-space 1 $((30 * mib)); is bigmaacs 1
settings="BIGMAAC_MIN_FRY_SIZE=64 SIZE_FRIES=1M BIGMAAC_MIN_BIGMAAC_SIZE=16M"
stats q 3000 0
grep -q "fell_through reason=address-space count=[0-9]" "$TMP/err" || fail "no fell_through: $(cat "$TMP/err")"
total=$(sed -n 's/.*reason=address-space count=\([0-9]*\).*/\1/p' "$TMP/err")
[ $(($(stat_of fries "$TMP/err") + total)) -ge 3001 ] || fail "requests were lost: $(cat "$TMP/err")"

echo "== pages that were freed go back to the disk"
settings="BIGMAAC_MIN_FRY_SIZE=64 BIGMAAC_MIN_BIGMAAC_SIZE=1G BIGMAAC_RECYCLE=0"
(stats a) || failed_pages="freed pages of fries stay on disk while the program goes on"

echo "== nothing is told unasked"
for settings in A=1 BIGMAAC_STATS=0; do
    # shellcheck disable=SC2086
    with $settings "$TMP/known" b 2>"$TMP/err" || true
    grep -q stats "$TMP/err" && fail "$settings printed $(cat "$TMP/err")"
done
for failure in "${failed_peak:-}" "${failed_pages:-}"; do [ -z "$failure" ] || fail "$failure"; done

echo "== a full disk"
loop_mount ext4 40
settings="BIGMAAC_TEMPLATE=$MOUNT/XXXXXXXX BIGMAAC_RECYCLE=0"
stats m
fell disk-full 1 $((30 * mib)); is bigmaacs 1; is files 1; is file_bytes $((20 * mib))
settings="BIGMAAC_TEMPLATE=$MOUNT/XXXXXXXX BIGMAAC_MIN_FRY_SIZE=64 BIGMAAC_MIN_BIGMAAC_SIZE=1G"
stats d "$MOUNT" # where a fry that does not fit must not leave the disk full
fell disk-full 1 $((200 * mib))
