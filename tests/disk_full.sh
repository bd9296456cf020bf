# A full disk: the next malloc serves while memory has room, then malloc says ENOMEM; what there is stays whole,
# and no store ever gets a SIGBUS.
. "$TOP/tests/lib.sh"
need_python numpy
loop_mount ext4 256 -m 0
FREE=16
leave_free() { # MIB: fills the disk up to that much
    rm -f "$MOUNT/ballast"
    fallocate -l "$(($(df --output=avail -B1 "$MOUNT" | tail -n 1) - $1 * 1048576))" "$MOUNT/ballast" ||
        fail "can't fill the disk"
}
leave_free $FREE
export BIGMAAC_TEMPLATE=$MOUNT/bigmaac.XXXXXX BIGMAAC_STATS=1

cat >"$TMP/full.c" <<'C'
#include "sys_full.h"
static struct block blocks[FULL_MAX];
int main(void)
{
    size_t count = full_exhaust(blocks);
    CHECK(count >= 8 && count <= 16); /* 16 MiB less what the file system takes for itself */
    full_elsewhere(blocks, count);
    full_again(blocks, count);
    full_fries(6);
    return check_result();
}
C
compile_c "$TMP/full" "$TMP/full.c"
with BIGMAAC_MIN_BIGMAAC_SIZE=512K BIGMAAC_MIN_FRY_SIZE=64 "$TMP/full" 2>"$TMP/err" ||
    fail "exit status $? with: $(cat "$TMP/err")"
grep -v ' stats ' "$TMP/err" && fail "printed what it should not"
fell=$(sed -n 's/.*fell_through reason=disk-full count=\([0-9]*\) bytes=\([0-9]*\).*/\1 \2/p' "$TMP/err")
read -r fell_count fell_bytes <<<"${fell:-0 0}"
[ "$fell_count" -gt 100 ] && [ "$fell_bytes" -gt $((100 * 100)) ] ||
    fail "the fries that fell through are not counted: $(cat "$TMP/err")"

# Where memory has no room either, it is ENOMEM, however it is asked for, and nobody is killed: told in one line.
cat >"$TMP/short.c" <<'C'
#include "sys_blocks.h"
enum { COUNT = 400 };
static struct block blocks[COUNT];
int main(int argc, char **argv)
{
    size_t count = 0, ours = 0, size = 2 << 20;
    int touched = argc > 1 && strcmp(argv[1], "touched") == 0;
    errno = 0;
    for (; count < COUNT; count++) {
        if (touched ? !block_new(&blocks[count], size, count) : !(blocks[count].p = malloc(size)))
            break;
        ours += bigmaac_try_kind(blocks[count].p) == BIGMAAC_KIND_BIGMAAC;
    }
    CHECK(errno == ENOMEM && ours > 3 && count > ours + 10 && count < 120);
    for (size_t i = 0; i < count && !touched; i++) { /* what was given can be used: all of it */
        blocks[i].size = size;
        block_paint(&blocks[i], i);
    }
    void *p = blocks;
    errno = 0;
    CHECK(opaque(calloc(40, 1 << 20)) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(posix_memalign(&p, 64, 40 << 20) == ENOMEM && p == blocks);
    errno = 0;
    CHECK(!block_resize(&blocks[0], 200 << 20) && errno == ENOMEM);
    CHECK(!block_resize(&blocks[count - 1], 200 << 20) && errno == ENOMEM);
    CHECK(blocks_damaged(blocks, count) == 0);
    for (size_t i = 0; i < count; i++)
        block_drop(&blocks[i]);
    CHECK(block_new(&blocks[0], 8 << 20, 1) && bigmaac_try_kind(blocks[0].p) == BIGMAAC_KIND_BIGMAAC);
    return check_result();
}
C
compile_c "$TMP/short" "$TMP/short.c"
for how in touched untouched; do
    limited $((200 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_STATS=0 BIGMAAC_MIN_BIGMAAC_SIZE=512K "$TMP/short" $how 2>"$TMP/err" ||
        fail "memory and disk full, $how: exit status $? with: $(cat "$TMP/err")"
    [ "$(grep -c . "$TMP/err")" = 1 ] && grep -q "a request of [0-9]* bytes fails with ENOMEM: swap files in $MOUNT.* (disk-full)" "$TMP/err" ||
        fail "memory and disk full, $how: printed $(cat "$TMP/err")"
done

cat >"$TMP/full.py" <<'P'
import numpy
rng = numpy.random.default_rng(3)
kept = [rng.standard_normal(1 << 17) for i in range(4)]     # 1 MiB each
sums = [a.sum() for a in kept]
assert numpy.ones(5_000_000).sum() == 5_000_000 and not numpy.zeros(5_000_000).any()
assert (numpy.concatenate(kept * 8) == numpy.hstack(kept * 8)).all()
longer = kept[0].copy()
longer.resize(9_000_000)
assert longer.sum() == sums[0] and sums == [a.sum() for a in kept]
print("went on")
P
[ "$(with BIGMAAC_MIN_BIGMAAC_SIZE=512K $PYTHON "$TMP/full.py" 2>"$TMP/err")" = "went on" ] ||
    fail "numpy: $(cat "$TMP/err")"
[ "$(sed -n 's/.*fell_through reason=disk-full count=\([0-9]*\).*/\1/p' "$TMP/err")" -gt 3 ] ||
    fail "numpy: the disk was not full: $(cat "$TMP/err")"

# Another writer fills the disk while the program runs, and makes room again.
cat >"$TMP/writer.c" <<'C'
#include "sys_blocks.h"
#include <sys/wait.h>
enum { COUNT = 6, FRIES = 2000 };
static struct block fries[FRIES];
/* A child of the full time has all that is its own, and the parent keeps his. */
static void fork_full(struct block *blocks)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(blocks_damaged(blocks, COUNT) == 0 && blocks_damaged(fries, FRIES) == 0);
        for (size_t i = 0; i < COUNT; i++)
            block_paint(&blocks[i], i + 100);
        CHECK(blocks_damaged(blocks, COUNT) == 0);
        _exit(check_result());
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}
int main(int argc, char **argv)
{
    struct block blocks[COUNT], big = {0};
    if (argc < 3)
        return 2;
    for (size_t i = 0; i < COUNT; i++) { /* reserved, but most pages not written yet */
        blocks[i] = (struct block){opaque(malloc(2 << 20)), 2 << 20, i};
        CHECK(blocks[i].p != NULL);
    }
    CHECK(system(argv[1]) == 0);
    for (size_t i = 0; i < COUNT; i++)
        block_paint(&blocks[i], i);
    CHECK(blocks_damaged(blocks, COUNT) == 0);
    CHECK(block_new(&big, 2 << 20, 50) && bigmaac_try_kind(big.p) == BIGMAAC_KIND_NONE);
    block_drop(&big);
    CHECK(block_resize(&blocks[0], 5 << 20) && bigmaac_try_kind(blocks[0].p) == BIGMAAC_KIND_NONE);
    for (size_t i = 0; i < FRIES; i++) /* small ones are always served, by the next malloc then */
        CHECK(block_new(&fries[i], 3000, i));
    CHECK(blocks_of_kind(fries, FRIES, BIGMAAC_KIND_NONE) > FRIES / 10);
    fork_full(blocks);
    CHECK(blocks_damaged(blocks, COUNT) == 0);
    CHECK(system(argv[2]) == 0);
    CHECK(block_new(&big, 20 << 20, 51));
    CHECK(bigmaac_try_kind(big.p) == BIGMAAC_KIND_BIGMAAC);
    CHECK(block_resize(&blocks[0], 6 << 20) && bigmaac_try_kind(blocks[0].p) == BIGMAAC_KIND_BIGMAAC);
    CHECK(blocks_damaged(blocks, COUNT) == 0 && block_intact(&big) && blocks_damaged(fries, FRIES) == 0);
    return check_result();
}
C
compile_c "$TMP/writer" "$TMP/writer.c"
leave_free 48
cat >"$TMP/fill" <<S
unset LD_PRELOAD
dd if=/dev/zero of=$MOUNT/more bs=64K 2>/dev/null
dd if=/dev/zero of=$MOUNT/most bs=4K 2>/dev/null
test "\$(df --output=avail -B1 $MOUNT | tail -n 1)" -lt 1048576
S
with BIGMAAC_MIN_BIGMAAC_SIZE=512K BIGMAAC_MIN_FRY_SIZE=64 "$TMP/writer" "sh $TMP/fill" "rm $MOUNT/more $MOUNT/most" 2>"$TMP/err" ||
    fail "another writer: exit status $? with: $(cat "$TMP/err")"
[ -z "$(find "$MOUNT" -name 'bigmaac.*')" ] || fail "a file was left: $(ls "$MOUNT")"

# Without reservations a full disk ends the program, however many threads it meets at once.
cat >"$TMP/threads.c" <<'C'
#include "check.h"
#include <pthread.h>
enum { THREADS = 8 };
static const size_t part = 4 << 20;
static char *block;
static pthread_barrier_t begin;
static void *store(void *at)
{
    volatile char *own = at, seen = 0;
    for (size_t i = 0; i < part; i += 4096)
        seen += own[i]; /* now it is in memory, without blocks on the disk */
    pthread_barrier_wait(&begin);
    for (size_t i = 0; i < part; i += 4096)
        own[i] = 1;
    return NULL;
}
int main(int argc, char **argv)
{
    pthread_t thread[THREADS];
    block = malloc(THREADS * part);
    CHECK(argc == 2 && block && system(argv[1]) == 0);
    pthread_barrier_init(&begin, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, store, block + i * part);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    return 0;
}
C
compile_c "$TMP/threads" "$TMP/threads.c"
(ulimit -c 0; with BIGMAAC_RESERVE=0 timeout 900 "$TMP/threads" "sh $TMP/fill" 2>"$TMP/err")
status=$?
[ $status = 135 ] && grep -q 'ending the program with SIGBUS' "$TMP/err" ||
    fail "threads on a full disk: exit status $status with: $(head -n 5 "$TMP/err")"
