# A disk that doesn't give pages back (a loop device whose image was cut off; io_error_dm.sh does it by
# device-mapper), and a full one under sparse files: one line names library, folder and address, then
# the program dies of SIGBUS as without us. A program's own handler has its say, and of a SIGBUS that
# is not ours nothing is told.
. "$TOP/tests/lib.sh"
need_root; need mkfs.ext4; need losetup
cat >"$TMP/bus.c" <<'C'
#include "sys_bus.h"
#include <pthread.h>
static struct block b;
static void *read_it(void *from) { return opaque((void *)(uintptr_t) * (volatile char *)from); }
static void touch_foreign(void)
{
    char name[] = "/var/tmp/foreign.XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    volatile char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(p[0] == 0);
}
static void hit(const char *how, char *at)
{
    pthread_t thread;
    int status = 0;
    if (strcmp(how, "thread") == 0 && pthread_create(&thread, NULL, read_it, at) == 0)
        pthread_join(thread, NULL);
    else if (strcmp(how, "child") == 0 && fork() == 0)
        read_it(at), _exit(0);
    else if (strcmp(how, "child") == 0 && wait(&status) > 0 && WIFSIGNALED(status))
        raise(WTERMSIG(status));
    else if (strcmp(how, "inside") == 0) /* the library itself touches the pages */
        CHECK(madvise((void *)((uintptr_t)at & ~(uintptr_t)4095), 4096, MADV_DONTNEED) == 0);
    else if (strcmp(how, "store") == 0)
        *(volatile char *)at = 1;
    else
        read_it(at);
}
/* Memory that the file has no blocks for, and a disk that has none left. */
static int sparse(const char *fill_up)
{
    char *p = opaque(malloc(30 << 20));
    CHECK(p != NULL && bigmaac_try_kind(p) == BIGMAAC_KIND_BIGMAAC && system(fill_up) == 0);
    for (size_t i = 0; checks_failed == 0 && i < 30 << 20; i += 4096) {
        char line[32];
        snprintf(line, sizeof line, "%p\n", (void *)(p + i));
        lseek(1, 0, SEEK_SET); /* the last one stays */
        syscall(SYS_write, 1, line, strlen(line));
        p[i] = 1;
    }
    puts("alive");
    return 1;
}
int main(int argc, char **argv)
{
    const char *how = argc > 3 ? argv[3] : "";
    CHECK(sigaction(SIGBUS, NULL, &bus_before) == 0 && bus_before.sa_handler == SIG_DFL);
    if (strcmp(how, "sparse") == 0)
        return sparse(argv[1]);
    if (strcmp(how, "before") == 0)
        bus_handle(bus_own, NULL);
    CHECK(block_new(&b, (size_t)atol(argv[2]), 5));
    if (strcmp(how, "after") == 0)
        bus_handle(bus_own, NULL);
    if (strcmp(how, "chain") == 0)
        bus_handle(NULL, bus_chain);
    if (strcmp(how, "raised") == 0)
        kill(getpid(), SIGBUS);
    if (strcmp(how, "foreign") == 0)
        touch_foreign();
    bus_evict(&b);
    CHECK(system(argv[1]) == 0);
    char *at = (char *)b.p + b.size / 2;
    printf("%p\n", (void *)at);
    fflush(stdout);
    if (checks_failed == 0)
        hit(how, at);
    puts("alive");
    return check_result();
}
C
compile_c "$TMP/bus" "$TMP/bus.c" -fno-builtin

fresh() { # a new image, mounted at $MOUNT
    [ ${#MOUNTS[@]} = 0 ] || { loop_unmount; rm -f "$IMAGE"; MOUNTS=(); }
    loop_mount ext4 64 -m 0 -O ^has_journal
    IMAGE=$(echo "$TMP"/ext4.*.img)
    export BIGMAAC_TEMPLATE=$MOUNT/bigmaac.XXXXXX
}
died() { # STATUS WHAT: of a SIGBUS after exactly one line with folder and address
    [ "$1" = 135 ] || fail "$2: exit status $1: $(cat "$TMP/out" "$TMP/err")"
    at=$(grep -o '^0x[0-9a-f]*' "$TMP/out") || fail "$2: $(cat "$TMP/out" "$TMP/err")"
    page=${at%???}
    line="can't read or write memory at ${page}[0-9a-f]* that is swapped to $MOUNT (I/O error or disk full)"
    grep -q "^bigmaac\[[0-9]*\]: $line; ending the program with SIGBUS$" "$TMP/err" &&
        [ "$(wc -l <"$TMP/err")" = 1 ] || fail "$2: at $at: $(cat "$TMP/err")"
}
run_bus() { (ulimit -c 0; exec env LD_PRELOAD="$LIB" "$@" 2>"$TMP/err" >"$TMP/out"); }
# The device ends there, too: what the file system writes would make the image longer again, with zeroes to read.
cut() { echo "truncate -s 1M $IMAGE && losetup -c $(losetup -nO NAME -j "$IMAGE")"; }

for how in load store thread child chain; do
    fresh
    run_bus BIGMAAC_MIN_BIGMAAC_SIZE=512K "$TMP/bus" "$(cut)" 8000000 $how
    died $? "a bigmaac, $how"
    [ $how != chain ] || grep -q '^chained' "$TMP/out" || fail "the program's handler was passed over"
done
fresh
run_bus BIGMAAC_MIN_BIGMAAC_SIZE=16M BIGMAAC_MIN_FRY_SIZE=128 "$TMP/bus" "$(cut)" 400000 load
died $? "a fry"
fresh
run_bus BIGMAAC_MIN_BIGMAAC_SIZE=16M BIGMAAC_MIN_FRY_SIZE=128 "$TMP/bus" "$(cut)" 400000 inside
died $? "inside the library"
fresh
fill="dd if=/dev/zero of=$MOUNT/full bs=64K 2>/dev/null; true"
run_bus BIGMAAC_RESERVE=0 BIGMAAC_MIN_BIGMAAC_SIZE=512K "$TMP/bus" "$fill" 0 sparse
died $? "sparse files on a full disk"
for how in before after; do
    fresh
    run_bus BIGMAAC_MIN_BIGMAAC_SIZE=512K "$TMP/bus" "$(cut)" 8000000 $how
    [ $? = 7 ] && grep -q '^own handler' "$TMP/out" && [ ! -s "$TMP/err" ] ||
        fail "the program's own handler, set $how: $(cat "$TMP/out" "$TMP/err")"
done

# A SIGBUS that has nothing to do with us kills as ever, and is not explained.
fresh
for how in raised foreign; do
    run_bus BIGMAAC_MIN_BIGMAAC_SIZE=512K "$TMP/bus" true 8000000 $how
    [ $? = 135 ] && [ ! -s "$TMP/err" ] || fail "$how: $(cat "$TMP/out" "$TMP/err")"
done
