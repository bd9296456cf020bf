#!/usr/bin/env bash
# A container's own layer is on overlayfs, which names no device and ignores sync_file_range. What the device reads
# ahead is seen there, so that blocks picked at random don't bring in megabytes; and what is asked to be written is:
# changed large pages, which are in the way of random access, can be split.
. "$TOP/tests/lib.sh"
loop_mount ext4 900
mkdir "$MOUNT/lower" "$MOUNT/upper" "$MOUNT/work" "$TMP/overlay"
mount -t overlay -o "lowerdir=$MOUNT/lower,upperdir=$MOUNT/upper,workdir=$MOUNT/work" none "$TMP/overlay" ||
    skip "this machine can't mount overlayfs"
MOUNTS=("$TMP/overlay" "${MOUNTS[@]}")
device=/sys/class/bdi/$(mountpoint -d "$MOUNT")/read_ahead_kb
cat >"$TMP/learn.c" <<'END'
#include "../bigmaac.c"
#include "evict.h"
#include "sys_blocks.h"

int main(int argc, char **argv)
{
    size_t bytes = 48 << 20, kib_ahead = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    char *p = bigmaac_malloc(bytes);
    fill(p, bytes, 1);
    CHECK(pager_open() && !folder.readahead_known && folder.readahead == 32 && folder.overlay);
    for (int i = 0; i < 20 && !folder.readahead_known; i++) {
        CHECK(evict(p, bytes) == 0);
        ranges_find();
        readahead_learn();
    }
    fprintf(stderr, "%zu KiB are read at a time\n", folder.readahead * 4);
    CHECK(folder.readahead_known && folder.readahead == kib_ahead / 4);
    CHECK(is_filled(p, bytes, 1));
    return check_result();
}
END
cat >"$TMP/write.c" <<'END'
#include "../bigmaac.c"
#include "sys_blocks.h"

/* Bytes of this control group that are changed, or being written. */
static long long dirty(const char *stat)
{
    return value_in(stat, "dirty ") + value_in(stat, "writeback ");
}

int main(int argc, char **argv)
{
    size_t bytes = 32 << 20;
    char *p = bigmaac_malloc(bytes);
    for (int i = 0; argc > 1 && i < 50 && dirty(argv[1]) < (long long)bytes / 2; i++)
        fill(p, bytes, 1); /* on a busy machine it may have been written at once */
    ranges_find();
    CHECK(pager.ranges == 1 && dirty(argv[1]) > (long long)bytes / 4);
    op_write(&pager.range[0], 0, bytes);
    for (int i = 0; i < 1000 && dirty(argv[1]) > 1 << 20; i++)
        usleep(5000);
    CHECK(dirty(argv[1]) <= 1 << 20 && is_filled(p, bytes, 1));
    return check_result();
}
END
for program in learn write; do
    compile_c "$TMP/$program" "$TMP/$program.c" -DBIGMAAC_PREFIX -Wno-unused-result -Wno-unused-function -ldl
done
export BIGMAAC_TEMPLATE=$TMP/overlay/bigmaac.XXXXXXXX BIGMAAC_MIN_BIGMAAC_SIZE=1M
for kib in 128 1024 4096; do
    echo $kib >"$device" || fail "can't set the loop device's readahead"
    "$TMP/learn" $kib || fail "readahead $kib: status $?"
done
# shellcheck disable=SC2016
limited $((512 << 20)) sh -c 'exec "$0" "/sys/fs/cgroup/memory$(sed -n s/.*:memory://p /proc/self/cgroup)/memory.stat"' "$TMP/write" ||
    fail "writing: status $?"
