# Limits of the process: RLIMIT_AS, RLIMIT_FSIZE, RLIMIT_NOFILE, mlockall, the number of mappings. A limit is another
# place for the block, or ENOMEM, never a signal and never a lost byte. (overcommit_memory=2, which is the whole
# machine's, is in long/kernel61.sh.)
. "$TOP/tests/lib.sh"
chmod 755 "$TMP"

# take SIZE COUNT [grow]: takes COUNT blocks, prints how many it got and of which kinds.
cat >"$TMP/take.c" <<'C'
#include "sys_blocks.h"
int main(int argc, char **argv)
{
    size_t size = strtoull(argv[1], NULL, 0), count = strtoull(argv[2], NULL, 0), got = 0;
    struct block *blocks = calloc(count, sizeof *blocks), grown;
    errno = 0;
    while (got < count && block_new(&blocks[got], size, got))
        got++;
    CHECK(got == count || errno == ENOMEM);
    printf("%s big=%zu fry=%zu none=%zu", got == count ? "all" : "some",
           blocks_of_kind(blocks, got, BIGMAAC_KIND_BIGMAAC), blocks_of_kind(blocks, got, BIGMAAC_KIND_FRY),
           blocks_of_kind(blocks, got, BIGMAAC_KIND_NONE));
    for (size_t i = 0; i < got; i += 3) { /* shrink, grow back: contents follow */
        CHECK(block_resize(&blocks[i], size / 2));
        CHECK(block_resize(&blocks[i], size) || errno == ENOMEM);
    }
    grown = blocks[0];
    if (argc > 3) { /* to more than there is */
        size_t most = strtoull(argv[3], NULL, 0);
        errno = 0;
        while (grown.size < most && block_resize(&grown, grown.size + size))
            ;
        printf(" grown=%s", grown.size < most && errno == ENOMEM ? "ENOMEM" : "all");
        blocks[0] = grown;
    }
    CHECK(blocks_damaged(blocks, got) == 0);
    for (size_t i = 0; i < got; i++)
        block_drop(&blocks[i]);
    struct block last = {0};
    CHECK(block_new(&last, size, 5) && block_intact(&last));
    puts("");
    return check_result();
}
C
compile_c "$TMP/take" "$TMP/take.c"
M=1048576
# expect PATTERN COMMAND...: it succeeds, prints the pattern, and nothing on stderr.
expect() {
    local pattern=$1 out status
    shift
    out=$("$@" 2>"$TMP/err"); status=$?
    # shellcheck disable=SC2053
    [ $status = 0 ] && [[ $out == $pattern ]] && [ ! -s "$TMP/err" ] ||
        fail "$*: expected '$pattern', got status $status, '$out', $(head -n 5 "$TMP/err")"
    printf '%s\n' "$out" >"$TMP/out"
}
# at_least NAME NUMBER: what the last program printed.
at_least() {
    local got
    got=$(sed -n "s/.*\b$1=\([0-9]*\).*/\1/p" "$TMP/out")
    [ "${got:-0}" -ge "$2" ] || fail "$1=$got, expected at least $2"
}

# --- RLIMIT_AS, by schedulers of batch jobs: the reservation shrinks, most blocks are ours.
limited_as() { (ulimit -v "$1"; shift; exec env LD_PRELOAD="$LIB" "$@"); }
expect 'all big=* fry=0 *' limited_as $((4 * 1024 * 1024)) "$TMP/take" $((16 * M)) 100
at_least big 16 # an eighth of the limit; what has no place is the next malloc's
expect 'all big=* fry=0 *' limited_as $((1024 * 1024)) "$TMP/take" $((11 * M)) 16
at_least big 5
expect 'some * grown=ENOMEM' limited_as $((1024 * 1024)) "$TMP/take" $((16 * M)) 100 $((2048 * M))
expect 'all big=0 fry=0 none=20' limited_as $((256 * 1024)) "$TMP/take" 65536 20
expect 'all big=0 fry=*' limited_as $((2 * 1024 * 1024)) BIGMAAC_MIN_FRY_SIZE=64 "$TMP/take" 5000 50000
at_least fry 20000

# What the program maps itself has most of it, also without /proc, which says how much is in use.
cat >"$TMP/maps.c" <<'C'
#include "sys_blocks.h"
#include <sys/mman.h>
int main(void)
{
    struct block b = {0};
    size_t mib = 0;
    CHECK(block_new(&b, 16 << 20, 1) && bigmaac_try_kind(b.p) == BIGMAAC_KIND_BIGMAAC);
    while (mib < 800 && mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        mib++;
    printf("mapped=%zu", mib);
    CHECK(block_intact(&b));
    return check_result();
}
C
compile_c "$TMP/maps" "$TMP/maps.c"
expect 'mapped=800' limited_as $((1024 * 1024)) "$TMP/maps"
hidden_as() { unshare -m sh -c 'mount -t tmpfs none /proc && ulimit -v "$0" && exec env LD_PRELOAD="$@"' "$1" "$LIB" "${@:2}"; }
if unshare -m mount -t tmpfs none /proc 2>"$TMP/err"; then
    expect 'mapped=800' hidden_as $((1024 * 1024)) "$TMP/maps"
fi

# A block that has no place in our region grows into the next malloc's memory, as malloc(3) goes there.
cat >"$TMP/outgrow.c" <<'C'
#include "sys_blocks.h"
int main(void)
{
    struct block b = {0}, c = {0};
    CHECK(block_new(&b, 20 << 20, 1) && bigmaac_try_kind(b.p) == BIGMAAC_KIND_BIGMAAC);
    CHECK(block_new(&c, 100 << 20, 2) && bigmaac_try_kind(c.p) == BIGMAAC_KIND_NONE);
    CHECK(block_resize(&b, 100 << 20) && bigmaac_try_kind(b.p) == BIGMAAC_KIND_NONE);
    CHECK(block_resize(&b, 20 << 20) && bigmaac_try_kind(b.p) == BIGMAAC_KIND_BIGMAAC);
    return check_result();
}
C
compile_c "$TMP/outgrow" "$TMP/outgrow.c"
expect '' with SIZE_BIGMAAC=64M "$TMP/outgrow"
cat >"$TMP/most.c" <<'C'
#include "sys_blocks.h"
int main(void) /* asks for more than any file can have */
{
    struct block b = {0};
    CHECK(block_new(&b, 20 << 20, 1));
    for (size_t less = 0; less < 3 << 20; less += 1 << 20) {
        errno = 0;
        CHECK(!block_resize(&b, (size_t)PTRDIFF_MAX - less) && errno == ENOMEM);
    }
    CHECK(block_intact(&b));
    return check_result();
}
C
compile_c "$TMP/most" "$TMP/most.c" -Wno-alloc-size-larger-than
expect '' with BIGMAAC_RESERVE=0 "$TMP/most"
expect '' with "$TMP/most"

# --- RLIMIT_FSIZE: SIGXFSZ would end the program.
limited_fsize() { (ulimit -f "$1"; shift; exec env LD_PRELOAD="$LIB" "$@"); }
expect 'all big=8 fry=0 none=0 grown=all' limited_fsize $((64 * 1024)) "$TMP/take" $((16 * M)) 8 $((128 * M))
cat >"$TMP/fsize.c" <<'C'
#include "sys_blocks.h"
int main(void) /* under 8 MiB */
{
    struct block b = {0}, *fries = calloc(5000, sizeof *fries);
    CHECK(block_new(&b, 32 << 20, 1) && bigmaac_try_kind(b.p) == BIGMAAC_KIND_NONE && block_intact(&b));
    block_drop(&b);
    CHECK(block_new(&b, 4 << 20, 2) && bigmaac_try_kind(b.p) == BIGMAAC_KIND_BIGMAAC);
    CHECK(block_resize(&b, 16 << 20) && bigmaac_try_kind(b.p) == BIGMAAC_KIND_NONE && block_intact(&b));
    CHECK(block_resize(&b, 6 << 20) && bigmaac_try_kind(b.p) == BIGMAAC_KIND_BIGMAAC && block_intact(&b));
    for (size_t i = 0; i < 5000; i++) /* 25 MB: what the one file can't hold is served elsewhere */
        CHECK(block_new(&fries[i], 5000, i));
    CHECK(blocks_of_kind(fries, 5000, BIGMAAC_KIND_FRY) > 500);
    CHECK(blocks_of_kind(fries, 5000, BIGMAAC_KIND_NONE) > 500);
    CHECK(blocks_damaged(fries, 5000) == 0 && block_intact(&b));
    return check_result();
}
C
compile_c "$TMP/fsize" "$TMP/fsize.c"
expect '' limited_fsize $((8 * 1024)) BIGMAAC_MIN_BIGMAAC_SIZE=1M BIGMAAC_MIN_FRY_SIZE=64 "$TMP/fsize"

# --- RLIMIT_NOFILE: the program keeps descriptors for itself, large blocks go to the fries file.
cat >"$TMP/nofile.c" <<'C'
#include "sys_blocks.h"
#include <fcntl.h>
#include <sys/wait.h>
int main(int argc, char **argv) /* [few]: hardly any */
{
    (void)argv;
    static struct block blocks[1000];
    int opened = 0, status = -1, low = open("/dev/null", O_RDONLY);
    close(low);
    for (size_t i = 0; i < 1000; i++)
        CHECK(block_new(&blocks[i], 300000 + 100 * i, i));
    CHECK(blocks_of_kind(blocks, 1000, BIGMAAC_KIND_NONE) == 0);
    CHECK(argc > 1 || blocks_of_kind(blocks, 1000, BIGMAAC_KIND_BIGMAAC) > 5);
    CHECK(open("/dev/null", O_RDONLY) == low); /* low numbers are the program's */
    while (open("/dev/null", O_RDONLY) >= 0)
        opened++;
    CHECK(opened >= (argc > 1 ? 10 : 20));
    pid_t pid = fork();
    if (pid == 0) { /* without one free descriptor */
        checks_failed = 0;
        CHECK(blocks_damaged(blocks, 1000) == 0);
        for (size_t i = 0; i < 1000; i++)
            block_paint(&blocks[i], i + 5000);
        _exit(check_result());
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(blocks_damaged(blocks, 1000) == 0);
    for (size_t i = 0; i < 1000; i++)
        CHECK(block_resize(&blocks[i], 300000 + 150 * i));
    for (size_t i = 0; i < 1000; i += 2)
        block_drop(&blocks[i]);
    CHECK(blocks_damaged(blocks, 1000) == 0);
    return check_result();
}
C
compile_c "$TMP/nofile" "$TMP/nofile.c"
limited_nofile() { (ulimit -n 64; exec env LD_PRELOAD="$LIB" "$@"); }
expect '' limited_nofile BIGMAAC_MIN_BIGMAAC_SIZE=256K "$TMP/nofile"
expect '' limited_nofile BIGMAAC_MIN_BIGMAAC_SIZE=256K BIGMAAC_MIN_FRY_SIZE=64 "$TMP/nofile"
limited_nofile() { (ulimit -n 32; exec env LD_PRELOAD="$LIB" "$@"); } # our thread keeps more files than there is room for
expect '' limited_nofile BIGMAAC_MIN_BIGMAAC_SIZE=256K "$TMP/nofile" few

# --- More live blocks than vm.max_map_count lets us have mappings: 300,000 of 8 KiB.
expect 'all big=* fry=* none=0' with BIGMAAC_MIN_BIGMAAC_SIZE=4K "$TMP/take" 8192 300000
at_least big 1000
# Mappings run out: first because a program has many blocks, then because it takes all that is left.
cat >"$TMP/mappings.c" <<'C'
#include "sys_blocks.h"
#include <sys/mman.h>
enum { COUNT = 12000 };
static struct block blocks[COUNT];

/* Turns every second page of a mapping writable: two mappings more each time. */
static size_t use_up(char *pages, size_t from, size_t most)
{
    size_t i = from;
    while (i < from + most && mprotect(pages + i * 8192, 4096, PROT_READ | PROT_WRITE) == 0)
        i++;
    return i;
}

static void churn_blocks(size_t from, size_t to, int may_fail)
{
    for (size_t i = from; i < to; i++)
        CHECK(block_new(&blocks[i], 8192 + random_below(20000), i) || (may_fail && errno == ENOMEM));
    for (size_t i = from; i < to; i += 3)
        if (blocks[i].p)
            CHECK(block_resize(&blocks[i], 5000 + random_below(60000)) || (may_fail && errno == ENOMEM));
    for (size_t i = from; i < to; i += 5)
        block_drop(&blocks[i]);
    CHECK(blocks_damaged(blocks, COUNT) == 0);
}

int main(void)
{
    size_t all = (size_t)value_in("/proc/sys/vm/max_map_count", "") / 2;
    char *pages = mmap(NULL, all * 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(pages != MAP_FAILED && all > 10000);
    churn_blocks(0, 500, 0);
    size_t used = use_up(pages, 0, all - 2500); /* leaves less than a mapping for each */
    churn_blocks(500, 8000, 0);
    CHECK(blocks_of_kind(blocks, 8000, BIGMAAC_KIND_FRY) > 1000); /* in the one fries file */
    CHECK(blocks_of_kind(blocks, 8000, BIGMAAC_KIND_BIGMAAC) > 500);
    CHECK(use_up(pages, used, all - used) < all); /* none is left */
    churn_blocks(8000, 9000, 1);
    for (size_t i = 0; i < 4000; i++)
        block_drop(&blocks[i]);
    CHECK(munmap(pages, all * 8192) == 0);
    churn_blocks(9000, COUNT, 0);
    for (size_t i = 0; i < COUNT; i++)
        block_drop(&blocks[i]);
    return check_result();
}
C
compile_c "$TMP/mappings" "$TMP/mappings.c"
expect '' with BIGMAAC_MIN_BIGMAAC_SIZE=4K LEAKCHECK_LEFT=1000 "$TMP/mappings"

# --- mlockall: what is used is locked, what is only reserved is not.
cat >"$TMP/mlock.c" <<'C'
#define _GNU_SOURCE
#include "sys_blocks.h"
#include <sys/mman.h>
#include <sys/resource.h>
static struct block bigs[12], fries[5000];
static void blocks_take(size_t bigs_from, size_t bigs_to)
{
    for (size_t i = bigs_from; i < bigs_to; i++)
        CHECK(block_new(&bigs[i], 8 << 20, i));
    for (size_t i = bigs_from * 400; i < bigs_to * 400; i++)
        CHECK(block_new(&fries[i], 100 + i, i));
}
int main(int argc, char **argv)
{
    (void)argv;
    blocks_take(0, 6);
    if (argc > 1) { /* as a user with a small limit */
        struct rlimit small;
        CHECK(getrlimit(RLIMIT_MEMLOCK, &small) == 0);
        small.rlim_cur = small.rlim_max < (64 << 20) ? small.rlim_max : 64 << 20;
        CHECK(setrlimit(RLIMIT_MEMLOCK, &small) == 0);
        CHECK(setresuid(65534, 65534, 65534) == 0);
        CHECK(mlockall(MCL_FUTURE) == 0);
        struct block more[20];
        for (size_t i = 0; i < 20; i++)
            if (!block_new(&more[i], 8 << 20, 100 + i))
                CHECK(errno == ENOMEM);
        CHECK(blocks_damaged(more, 20) == 0);
    } else {
        CHECK(mlockall(MCL_CURRENT | MCL_FUTURE) == 0);
        blocks_take(6, 12);
        CHECK(blocks_of_kind(bigs, 12, BIGMAAC_KIND_BIGMAAC) == 12);
        CHECK(blocks_of_kind(fries, 4800, BIGMAAC_KIND_FRY) == 4800);
        long long locked = value_in("/proc/self/status", "VmLck:"), rss = value_in("/proc/self/status", "VmRSS:");
        CHECK(locked > 96 * 1024 && rss < 400 * 1024);
        for (size_t i = 0; i < 12; i++)
            CHECK(block_resize(&bigs[i], (i % 2 ? 4 : 10) << 20));
        for (size_t i = 0; i < 4800; i++)
            CHECK(block_resize(&fries[i], 200 + i));
    }
    CHECK(blocks_damaged(bigs, 12) == 0 && blocks_damaged(fries, 5000) == 0);
    for (size_t i = 0; i < 12; i++)
        block_drop(&bigs[i]);
    for (size_t i = 0; i < 5000; i++)
        block_drop(&fries[i]);
    return check_result();
}
C
compile_c "$TMP/mlock" "$TMP/mlock.c"
if [ "$(id -u)" = 0 ]; then
    expect '' with BIGMAAC_MIN_BIGMAAC_SIZE=1M BIGMAAC_MIN_FRY_SIZE=64 "$TMP/mlock"
    chmod 777 "$TMP"
    expect '' with BIGMAAC_MIN_BIGMAAC_SIZE=1M BIGMAAC_MIN_FRY_SIZE=64 "$TMP/mlock" user
    cat >"$TMP/locked.c" <<'C'
#define _GNU_SOURCE
#include "sys_blocks.h"
#include <sys/mman.h>
int main(void)
{
    return mlockall(MCL_CURRENT) != 0 || printf("%lld\n", value_in("/proc/self/status", "VmLck:")) < 0;
}
C
    compile_c "$TMP/locked" "$TMP/locked.c"
    ordinary=$(with BIGMAAC_RECYCLE=1M "$TMP/locked") mapped=$(with BIGMAAC_MIN_MMAP_SIZE=256K "$TMP/locked")
    [ -n "$mapped" ] && [ "$mapped" -lt $((ordinary + 4096)) ] || fail "mlockall with mapped memory: $mapped KiB are locked, $ordinary without"
fi
exit 0
