#!/usr/bin/env bash
# fork with 4 GiB in bigmaacs, and with thousands of them, against ordinary memory in 4 KiB pages.
#
#     MIB=4096 RUNS=5 bash bench/fork.sh
. "$(dirname "$0")/common.sh"
MIB=${MIB:-4096}
WORK=$(mktemp -d "${BENCH_TMP:-/var/tmp}/bigmaac-bench.XXXXXX") || exit 2
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
compile fork
for _ in $(seq "$RUNS"); do
    "$BUILD/fork" "$MIB" thp-off >>"$WORK/plain" || exit 2
    env LD_PRELOAD="$LIB" BIGMAAC_TEMPLATE="$WORK/bigmaac.XXXXXXXX" "$BUILD/fork" "$MIB" >>"$WORK/ours" || exit 2
done
for _ in $(seq "$RUNS"); do
    "$BUILD/fork" 1280 thp-off 5001 100 >>"$WORK/plain-many" || exit 2
    env LD_PRELOAD="$LIB" BIGMAAC_MIN_BIGMAAC_SIZE=128K BIGMAAC_TEMPLATE="$WORK/bigmaac.XXXXXXXX" "$BUILD/fork" 1280 thp 5001 100 >>"$WORK/ours-many" || exit 2
done
column() { cut -d ' ' -f "$2" "$WORK/$1" | median; }
row_head
row "fork with $MIB MiB, until both sides run" ms "$(column ours 1)" "$(column plain 1)" "x<=0.6"
row "fork with 5,000 blocks of 256 KiB, 100 of them protected in part" ms "$(column ours-many 1)" "$(column plain-many 1)" -
row "first read of all after it, parent" s "$(column ours 3)" "$(column ours 2)" "x<=1.5"
row "first read of all after it, child" s "$(column ours 4)" "$(column ours 2)" "x<=1.5"
row "  ordinary memory: parent after, before" s "$(column plain 3)" "$(column plain 2)" -
