# Memory under limits: more data than RAM; dead data costs neither disk writes nor, soon, memory;
# freed fries give their blocks back; freeing what is swapped out reads nothing; fragmentation; no
# descriptor is taken behind the program's back.
. "$TOP/tests/lib.sh"
M=1048576
SLABS="BIGMAAC_MIN_BIGMAAC_SIZE=1M BIGMAAC_MIN_FRY_SIZE=64"
# run NAME COMMAND...: it succeeds and prints nothing on stderr.
run() {
    local name=$1 status
    shift
    "$@" 2>"$TMP/err"; status=$?
    [ $status = 0 ] && [ ! -s "$TMP/err" ] || fail "$name: exit status $status with: $(head -n 5 "$TMP/err")"
}

# --- 1. Four times the limit.
cat >"$TMP/fill.c" <<'C'
#include "sys_blocks.h"
int main(int argc, char **argv) /* TOTAL SMALLEST LARGEST */
{
    if (argc < 4)
        return 2;
    size_t total = strtoull(argv[1], NULL, 0), low = strtoull(argv[2], NULL, 0), high = strtoull(argv[3], NULL, 0);
    size_t room = total / low + 1, count = 0;
    struct block *blocks = calloc(room, sizeof *blocks);
    for (size_t bytes = 0; bytes < total; bytes += blocks[count++].size)
        if (!block_new(&blocks[count], low + random_below(high - low), count))
            return 3;
    CHECK(blocks_damaged(blocks, count) == 0);
    for (size_t i = 0; i < count; i += 2)
        block_paint(&blocks[i], i + 10000000);
    CHECK(blocks_damaged(blocks, count) == 0);
    return check_result();
}
C
compile_c "$TMP/fill" "$TMP/fill.c"
run "bigmaacs" limited $((128 * M)) env LD_PRELOAD="$LIB" "$TMP/fill" $((512 * M)) $((16 * M)) $((48 * M))
[ "$(cat "$TMP/oom")" = 0 ] || fail "bigmaacs: the kernel killed something"
# shellcheck disable=SC2086
run "fries" limited $((128 * M)) env LD_PRELOAD="$LIB" $SLABS "$TMP/fill" $((512 * M)) 1000 8000
[ "$(cat "$TMP/oom")" = 0 ] || fail "fries: the kernel killed something"
limited $((128 * M)) "$TMP/fill" $((512 * M)) $((16 * M)) $((48 * M)) 2>/dev/null
[ "$(cat "$TMP/oom")" = 1 ] || fail "without the library it survived: the limit limits nothing"

# --- 2. Dead data is not written: counted by a block device of our own. When somebody else makes the kernel write
# everything out (sync, or his own dirty pages), that counts as well; so in turn with each block a file of the program's
# own is filled and deleted, and what is written meanwhile is the others' doing.
cat >"$TMP/dead.c" <<'C'
#include "sys_blocks.h"
#include <sys/mman.h>
static const char *folder, *stat_path;
static unsigned long long written(void) /* sectors of the device */
{
    unsigned long long n = 0;
    FILE *f = fopen(stat_path, "r");
    CHECK(f && fscanf(f, "%*u %*u %*u %*u %*u %*u %llu", &n) == 1);
    fclose(f);
    return n;
}
static void sync_all(void)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0 && syncfs(fd) == 0);
    close(fd);
}
static void own_file(size_t bytes)
{
    int fd = open(folder, O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0 && posix_fallocate(fd, 0, (off_t)bytes) == 0);
    struct block b = {mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), bytes, 1};
    CHECK(b.p != MAP_FAILED);
    block_paint(&b, 1);
    CHECK(block_intact(&b) && munmap(b.p, bytes) == 0);
    close(fd);
}
int main(int argc, char **argv) /* COUNT SIZE COLD FOLDER STAT: bytes of live data beside. Prints MiB: of ours, of the own files */
{
    struct block b, cold = {0};
    if (argc < 6)
        return 2;
    size_t size = strtoull(argv[2], NULL, 0), bytes = strtoull(argv[3], NULL, 0);
    folder = argv[4], stat_path = argv[5];
    sync_all();
    unsigned long long begin = written(), others = 0;
    CHECK(bytes == 0 || block_new(&cold, bytes, 1));
    for (long i = 0; i < atol(argv[1]); i++) {
        CHECK(block_new(&b, size, (uint64_t)i) && block_intact(&b));
        block_drop(&b);
        unsigned long long before = written();
        own_file(size);
        others += written() - before;
    }
    CHECK(block_intact(&cold));
    sync_all();
    printf("%llu %llu\n", (written() - begin - others) >> 11, others >> 11);
    return check_result();
}
C
compile_c "$TMP/dead" "$TMP/dead.c" -D_GNU_SOURCE
loop_mount ext4 2048
DEVICE=$(basename "$(findmnt -no SOURCE "$MOUNT")")
# written COLD COMMAND...: of 20 x 48 MiB dead and COLD MiB live data at most half and twice that is written, beside
# what others make the kernel write.
written() {
    local cold=$1 ours others
    shift
    run "$*" "$@" "$TMP/dead" 20 $((48 * M)) $((cold * M)) "$MOUNT" "/sys/block/$DEVICE/stat" >"$TMP/out"
    read -r ours others <"$TMP/out"
    echo "$*: $ours MiB were written of ours, $others of files of its own"
    [ "$ours" -le $((480 + 2 * cold + others)) ] || fail "$*: dead data is written"
}
export BIGMAAC_TEMPLATE=$MOUNT/bigmaac.XXXXXX
written 0 with
written 0 with BIGMAAC_RECYCLE=0
written 0 with BIGMAAC_MIN_BIGMAAC_SIZE=1G BIGMAAC_MIN_FRY_SIZE=64
# With live data that does not fit beside it, which has to be written, once or twice.
written 256 limited $((256 * M)) env LD_PRELOAD="$LIB"
export BIGMAAC_TEMPLATE=$TMP/bigmaac.XXXXXX

# --- 3. A program that only sleeps: what was kept warm for it is gone soon.
cat >"$TMP/idle.c" <<'C'
#include "sys_blocks.h"
#include <unistd.h>
int main(void)
{
    struct block blocks[10];
    struct bigmaac_stats stats = {.size = sizeof stats};
    for (size_t i = 0; i < 10; i++)
        CHECK(block_new(&blocks[i], 20 << 20, i));
    for (int tries = 0; tries < 100 && stats.warm_bytes == 0; tries++) { /* or it took longer than blocks are warm */
        for (size_t i = 1; i < 10; i++) { /* the first stays: it shows that the script looks at the right place */
            if (tries)
                CHECK(block_new(&blocks[i], 20 << 20, i));
            block_drop(&blocks[i]);
        }
        CHECK(bigmaac_try_stats(&stats) == 0);
    }
    CHECK(stats.warm_bytes > 0);
    printf("freed %d\n", check_result());
    fflush(stdout);
    pause();
    return 0;
}
C
compile_c "$TMP/idle" "$TMP/idle.c"
ours_of() { # PID: descriptors and mappings of swap files
    readlink /proc/"$1"/fd/* | grep "^$TMP/.*(deleted)"
    grep "$TMP/.*(deleted)" "/proc/$1/maps"
}
env LD_PRELOAD="$LIB" "$TMP/idle" >"$TMP/idle.out" 2>"$TMP/err" &
pid=$!
trap 'kill $pid 2>/dev/null; loop_unmount' EXIT
until_ready grep -q freed "$TMP/idle.out"
grep -q 'freed 0' "$TMP/idle.out" || fail "idle: $(cat "$TMP/err" "$TMP/idle.out")"
for _ in $(seq 900); do left=$(ours_of $pid); [ "$(wc -l <<<"$left")" = 2 ] && break; sleep 0.1; done
kill $pid
wait $pid 2>/dev/null
[ "$(wc -l <<<"$left")" = 2 ] || fail "idle: 90 s later, for one live block, there is: $left"

# --- 4. A burst of fries, freed: the file and the memory shrink with further calls.
cat >"$TMP/burst.c" <<'C'
#include "sys_blocks.h"
#include "sys_files.h"
#include <pthread.h>
enum { THREADS = 4, EACH = 250000 };
static struct block blocks[THREADS][EACH];

static long long file_bytes(void)
{
    int fds[10];
    long long most = 0;
    for (size_t i = swap_fds(fds, 10); i-- > 0;) {
        struct stat st;
        if (fstat(fds[i], &st) == 0 && st.st_blocks * 512 > most)
            most = st.st_blocks * 512;
    }
    return most;
}

static void *burst(void *arg)
{
    struct block *mine = arg;
    for (size_t i = 0; i < EACH; i++)
        CHECK(block_new(&mine[i], 256 + (i * 7919) % 3841, i));
    return NULL;
}

static void *give_back(void *arg)
{
    struct block *theirs = arg;
    for (size_t i = 0; i < EACH; i++) {
        if (i % 8 == 0)
            CHECK(block_intact(&theirs[i]));
        block_drop(&theirs[i]);
    }
    return NULL;
}

/* THREADS threads take; shift 0: the same free what they took, 1: others do. */
static void round_of(int shift)
{
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++)
        pthread_create(&threads[t], NULL, burst, blocks[t]);
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    long long before = file_bytes();
    CHECK(before > (long long)THREADS * EACH * 2000);
    for (int t = 0; t < THREADS; t++)
        pthread_create(&threads[t], NULL, give_back, blocks[(t + shift) % THREADS]);
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    for (int i = 0; i < 50 && file_bytes() > before / 20; i++) {
        struct block b;
        for (size_t size = 100; size < 8000; size += 100) {
            CHECK(block_new(&b, size, size) && block_intact(&b));
            block_drop(&b);
        }
        usleep(100000);
    }
    CHECK(file_bytes() <= before / 20);
    CHECK(value_in("/proc/self/status", "RssFile:") * 1024 <= before / 20 + (16 << 20));
}

int main(void)
{
    round_of(0);
    round_of(1);
    return check_result();
}
C
compile_c "$TMP/burst" "$TMP/burst.c"
# shellcheck disable=SC2086
run "burst" with $SLABS "$TMP/burst"

# --- 5. Fries that are out on disk are freed, asked for their size, and resized without reading.
cat >"$TMP/evicted.c" <<'C'
#include "sys_blocks.h"
#include "sys_files.h"
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
enum { COUNT = 40000 };
static struct block blocks[COUNT];

static int is_resident(const void *p)
{
    unsigned char there = 1;
    return mincore((void *)((uintptr_t)p & ~4095ul), 1, &there) != 0 || (there & 1);
}

static size_t evict(void)
{
    int fds[10];
    size_t there = 0;
    uintptr_t low = UINTPTR_MAX, high = 0, step = 2 << 20;
    for (size_t i = swap_fds(fds, 10); i-- > 0;)
        CHECK(fsync(fds[i]) == 0);
    for (size_t i = 0; i < COUNT; i++) {
        low = (uintptr_t)blocks[i].p < low ? (uintptr_t)blocks[i].p : low;
        high = (uintptr_t)blocks[i].p + blocks[i].size > high ? (uintptr_t)blocks[i].p + blocks[i].size : high;
    }
    for (uintptr_t at = low & ~(step - 1); at < high; at += step) /* the kernel's own call */
        syscall(SYS_madvise, at, step, MADV_PAGEOUT);
    for (size_t i = 0; i < COUNT; i++)
        there += is_resident(blocks[i].p);
    return there;
}

static long faults(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_majflt;
}

static pthread_barrier_t evicted;

static void *free_some(void *unused)
{
    pthread_barrier_wait(&evicted);
    for (size_t i = 1; i < COUNT; i += 4)
        block_drop(&blocks[i]);
    return unused;
}

int main(void)
{
    pthread_t other;
    for (size_t i = 0; i < COUNT; i++) /* slabs, and page runs */
        CHECK(block_new(&blocks[i], i % 50 ? 200 + random_below(3000) : 40000 + random_below(60000), i));
    pthread_barrier_init(&evicted, NULL, 2);
    pthread_create(&other, NULL, free_some, NULL); /* now: that allocates */
    size_t there = evict();
    CHECK(there < COUNT / 20);
    long before = faults();
    long long read = value_in("/proc/self/io", "read_bytes:");
    for (size_t i = 0; i < COUNT; i++)
        CHECK(malloc_usable_size(blocks[i].p) >= blocks[i].size);
    for (size_t i = 0; i < COUNT; i++) { /* the same class: 8 bytes less, and back */
        size_t size = blocks[i].size, usable = malloc_usable_size(blocks[i].p);
        void *p = realloc(blocks[i].p, usable);
        CHECK(p == blocks[i].p && realloc(p, size) == p);
    }
    for (size_t i = 0; i < COUNT; i += 4)
        block_drop(&blocks[i]);
    pthread_barrier_wait(&evicted); /* from another thread */
    pthread_join(other, NULL);
    CHECK(faults() - before < 5); /* pages of programs and libraries may be out too */
    CHECK(value_in("/proc/self/io", "read_bytes:") - read < (1 << 20));
    CHECK(blocks_damaged(blocks, COUNT) == 0); /* the rest comes back from disk */
    CHECK(value_in("/proc/self/io", "read_bytes:") - read > (8 << 20));
    return check_result();
}
C
compile_c "$TMP/evicted" "$TMP/evicted.c"
# shellcheck disable=SC2086
run "evicted fries" with $SLABS "$TMP/evicted"

# --- 6. Ten million random calls: the file stays near what is live.
cat >"$TMP/fragments.c" <<'C'
#include "sys_blocks.h"
#include "sys_files.h"
enum { SLOTS = 100000 };
static uint64_t *slot[SLOTS];
static uint32_t slot_size[SLOTS];

static size_t next_size(int phase)
{
    switch (phase) {
    case 0: return 65 + random_below(4000);
    case 1: return 65 + random_below(1000) * random_below(20);
    case 2: return 200 + random_below(8) * 500;
    default: return 65 + (random_below(100) ? random_below(3000) : random_below(200000));
    }
}

static size_t live;

static int step(int phase)
{
    size_t i = random_below(SLOTS);
    if (slot[i]) {
        CHECK(slot[i][0] == word_at(i, slot_size[i]));
        free(slot[i]);
        live -= slot_size[i];
        slot[i] = NULL;
        return 1;
    }
    slot_size[i] = (uint32_t)next_size(phase);
    slot[i] = opaque(malloc(slot_size[i]));
    if (slot[i] == NULL)
        return 0;
    slot[i][0] = word_at(i, slot_size[i]);
    live += slot_size[i];
    return 1;
}

static long long file_bytes(void)
{
    int fds[4];
    long long most = 0;
    for (size_t f = swap_fds(fds, 4); f-- > 0;) {
        struct stat st;
        if (fstat(fds[f], &st) == 0 && st.st_blocks * 512 > most)
            most = st.st_blocks * 512;
    }
    return most;
}

int main(void)
{
    for (int phase = 0; phase < 4; phase++) {
        for (size_t op = 0; op < 2500000; op++)
            if (!step(phase))
                return 3;
        for (int i = 0; i < 600 && file_bytes() > (long long)(live / 4 * 5); i++) { /* 5 s; more on a busy machine */
            for (size_t op = 0; op < 1000; op++) /* free pages age while the program goes on */
                step(phase);
            usleep(100000);
        }
        CHECK(file_bytes() > (long long)live / 2); /* it is this file that we measure */
        CHECK(file_bytes() <= (long long)(live / 4 * 5));
        printf("live %zu MiB, in the file %lld MiB\n", live >> 20, file_bytes() >> 20);
    }
    return check_result();
}
C
compile_c "$TMP/fragments" "$TMP/fragments.c"
# shellcheck disable=SC2086
run "fragmentation" with $SLABS BIGMAAC_PAGING=normal "$TMP/fragments" # what is held from the disk is in no file any more

# --- 7. A program without threads gets the lowest free number from open(2), as it may rely on; what
# the library does in the background, when memory is short, takes none, not even for a moment.
cat >"$TMP/lowest.c" <<'C'
#include "sys_blocks.h"
#include <time.h>
int main(void)
{
    struct block bigs[30];
    size_t wrong = 0;
    for (size_t i = 0; i < 30; i++)
        CHECK(block_new(&bigs[i], 12 << 20, i));
    for (size_t i = 0; i < 15; i++)
        block_drop(&bigs[i]);
    int lowest = open("/dev/null", O_RDONLY);
    close(lowest);
    for (time_t until = time(NULL) + 5; time(NULL) < until;)
        for (int i = 0; i < 1000; i++) {
            int fd = open("/dev/null", O_RDONLY);
            wrong += fd != lowest;
            close(fd);
        }
    if (wrong)
        fprintf(stderr, "open gave another number %zu times\n", wrong);
    return wrong != 0;
}
C
compile_c "$TMP/lowest" "$TMP/lowest.c"
run "descriptors" limited $((200 * M)) env LD_PRELOAD="$LIB" "$TMP/lowest"
