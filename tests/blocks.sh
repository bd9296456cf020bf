#!/usr/bin/env bash
# Blocks picked at random from more than the memory holds, as a shuffled batch of records is. Adaptive
# paging reads little more than the block, whether it is shorter than what a probe calls long or
# longer; the 2 MiB of a stream would be several times as much. Where the device reads 4 MiB at a time,
# or 8 times the block, the faults that the library sees tell it what to read. The contents are right.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
loop_mount ext4 900
echo 128 >"/sys/class/bdi/$(mountpoint -d "$MOUNT")/read_ahead_kb" || fail "can't set the loop device's readahead"
export BIGMAAC_TEMPLATE=$MOUNT/bigmaac.XXXXXXXX
cat >"$TMP/blocks.c" <<'END'
#include "sys_blocks.h"
#include <sys/resource.h>

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

/* blocks MIB KIB COUNT KIB_MOST FAULTS_MOST: prints the KiB read, and the tenths of major faults, for each block of KIB,
 * of COUNT of them: once they are few enough, or when the thread that looks, which comes late on a loaded machine, has had
 * time enough to make them few. */
int main(int argc, char **argv)
{
    size_t all = argc > 5 ? strtoul(argv[1], NULL, 10) << 17 : 0;
    words = strtoul(argv[2], NULL, 10) * 128;
    blocks = all / words;
    CHECK((p = malloc(all * 8)) != NULL);
    for (size_t i = 0; i < all; i++)
        p[i] = i * 0x9E3779B97F4A7C15;
    unsigned count = (unsigned)strtoul(argv[3], NULL, 10);
    unsigned long long kib = ~0ull, most = strtoull(argv[4], NULL, 10);
    long faults = 0, faults_most = strtol(argv[5], NULL, 10);
    for (int window = 0; window < 200 && (kib > most || faults > faults_most); window++) {
        unsigned long long before = process_io("read_bytes");
        struct rusage begin, end;
        getrusage(RUSAGE_SELF, &begin);
        read_some(count);
        getrusage(RUSAGE_SELF, &end);
        kib = (process_io("read_bytes") - before) / 1024 / count;
        faults = (end.ru_majflt - begin.ru_majflt) * 10 / count;
    }
    printf("%llu %ld\n", kib, faults);
    return check_result();
}
END
compile_c "$TMP/blocks" "$TMP/blocks.c"
measure() { # PAGING KIB COUNT KIB_MOST FAULTS_MOST: $kib and $faults
    limited $((256 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_PAGING="$1" "$TMP/blocks" 640 "${@:2}" >"$TMP/out" ||
        fail "$1, $2 KiB: status $?"
    read -r kib faults <"$TMP/out"
    echo "paging=$1: for a block of $2 KiB $kib KiB are read, in $faults/10 major faults"
}
measure sequential 256 1000 99999 99999 # once
[ "$kib" -ge 700 ] || fail "2 MiB at a time are $kib KiB for a block: this proves nothing"
reads() { # KIB COUNT KIB_MOST FAULTS_MOST
    measure adaptive "$@"
    [ "$kib" -le "$3" ] && [ "$faults" -le "$4" ] || fail "$kib KiB in $faults/10 faults for a block of $1 KiB"
}
reads 64 2000 110 30
reads 256 1000 500 50

sees_faults || { echo "a process may not see its own faults here: the rest is left out"; exit 0; }
reads 16 3000 24 30 # 4 pages; how many the thread's advice comes in time for depends on the machine
echo 4096 >"/sys/class/bdi/$(mountpoint -d "$MOUNT")/read_ahead_kb" || fail "can't set the loop device's readahead"
reads 64 2000 110 60
exit 0
