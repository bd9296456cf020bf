#!/usr/bin/env bash
# Blocks picked at random from more than the memory holds, as a shuffled batch of records is. Adaptive
# paging reads little more than the block, whether it is shorter than what a probe calls long or
# longer; the 2 MiB of a stream would be several times as much. The contents are right.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
loop_mount ext4 900
echo 128 >"/sys/class/bdi/$(mountpoint -d "$MOUNT")/read_ahead_kb" || fail "can't set the loop device's readahead"
export BIGMAAC_TEMPLATE=$MOUNT/bigmaac.XXXXXXXX
cat >"$TMP/blocks.c" <<'END'
#include "sys_blocks.h"

static uint64_t *p;
static size_t blocks, words;

static void read_some(unsigned count)
{
    uint64_t wrong = 0;
    while (count--) {
        size_t first = random_word() % blocks * words;
        for (size_t i = first; i < first + words; i++)
            wrong |= p[i] ^ (i * 0x9E3779B97F4A7C15);
    }
    CHECK(wrong == 0);
}

/* blocks MIB KIB SETTLE COUNT: prints the KiB read for each block of KIB. */
int main(int argc, char **argv)
{
    size_t all = argc > 4 ? strtoul(argv[1], NULL, 10) << 17 : 0;
    words = strtoul(argv[2], NULL, 10) * 128;
    blocks = all / words;
    CHECK((p = malloc(all * 8)) != NULL);
    for (size_t i = 0; i < all; i++)
        p[i] = i * 0x9E3779B97F4A7C15;
    read_some((unsigned)strtoul(argv[3], NULL, 10));
    unsigned count = (unsigned)strtoul(argv[4], NULL, 10);
    unsigned long long before = process_io("read_bytes");
    read_some(count);
    printf("%llu\n", (process_io("read_bytes") - before) / 1024 / count);
    return check_result();
}
END
compile_c "$TMP/blocks" "$TMP/blocks.c"
kib_read() { # PAGING KIB SETTLE COUNT
    limited $((256 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_PAGING="$1" "$TMP/blocks" 640 "$2" "$3" "$4" >"$TMP/out" ||
        fail "$1, $2 KiB: status $?"
    echo "paging=$1: for a block of $2 KiB $(cat "$TMP/out") KiB are read" >&2
    cat "$TMP/out"
}
fixed=$(kib_read sequential 256 500 1000) || exit $?
[ "$fixed" -ge 900 ] || fail "2 MiB at a time are $fixed KiB for a block: this proves nothing"
reads() { # KIB SETTLE COUNT MOST
    local kib
    for _ in 1 2 3; do # the thread that looks may come late on a loaded machine
        kib=$(kib_read adaptive "$1" "$2" "$3") || exit $?
        [ "$kib" -gt "$4" ] || return 0
    done
    fail "$kib KiB for a block of $1 KiB"
}
reads 64 6000 6000 110
reads 256 3000 3000 500
exit 0
