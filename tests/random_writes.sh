#!/usr/bin/env bash
# Words written at random into more than the memory holds, after a fill that made large pages. Adaptive
# paging soon has small pages: a write costs no megabytes, and what was in memory still is, so that as
# many writes find their page there as the memory has room for. The contents are right, and the stats tell the
# policy, how often it changed, and what was read.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
cat >"$TMP/writes.c" <<'END'
#include "sys_blocks.h"
#include <sys/resource.h>

static uint64_t *p, writes;
static size_t words;

/* Each word is its index plus how often it was written, and they add up. */
static void write_some(unsigned count)
{
    for (unsigned i = 0; i < count; i++, writes++)
        p[random_word() % words]++;
}

/* writes MIB COUNT FAULTS KIB: prints faults in 100 writes, and KiB written out for each, of COUNT of them: once there
 * are at most FAULTS and KIB, or when the thread that looks, which comes late on a loaded machine, has had time enough. */
int main(int argc, char **argv)
{
    struct rusage before, after;
    words = argc > 4 ? strtoul(argv[1], NULL, 10) << 17 : 0;
    CHECK((p = malloc(words * 8)) != NULL);
    for (size_t i = 0; i < words; i++)
        p[i] = i;
    unsigned count = (unsigned)strtoul(argv[2], NULL, 10);
    long faults = 100;
    unsigned long long kib = ~0ull;
    for (int i = 0; i < 40 && (faults > strtol(argv[3], NULL, 10) || kib > strtoull(argv[4], NULL, 10)); i++) {
        unsigned long long bytes = process_io("write_bytes");
        getrusage(RUSAGE_SELF, &before);
        write_some(count);
        getrusage(RUSAGE_SELF, &after);
        faults = (after.ru_majflt - before.ru_majflt) * 100 / count;
        kib = (process_io("write_bytes") - bytes) / 1024 / count;
    }
    printf("%ld %llu\n", faults, kib);
    uint64_t sum = 0;
    for (size_t i = 0; i < words; i++)
        sum += p[i] - i;
    CHECK(sum == writes);
    return check_result();
}
END
compile_c "$TMP/writes" "$TMP/writes.c"
limited $((256 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_STATS=1 "$TMP/writes" 640 5000 72 32 >"$TMP/out" 2>"$TMP/err" ||
    fail "status $?: $(tail -n 3 "$TMP/err")"
read -r faults kib <"$TMP/out"
echo "100 writes: $faults faults; each $kib KiB written out" >&2
[ "$faults" -le 72 ] && [ "$kib" -le 32 ] || fail "large pages are in the way"
grep -Eq 'stats paging=adaptive major_faults=[1-9][0-9]* read_bytes=[1-9][0-9]* probes=[1-9][0-9]* changes=[1-9]' "$TMP/err" ||
    fail "the stats don't tell how it paged: $(cat "$TMP/err")"
grep -Eq 'stats mapping=0x[0-9a-f]+ bytes=[0-9]+ policy=[a-z,]+ changes=[1-9]' "$TMP/err" ||
    fail "the stats don't tell the mapping's policy: $(cat "$TMP/err")"
