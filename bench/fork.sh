#!/usr/bin/env bash
# fork with 4 GiB in bigmaacs, against 4 GiB of ordinary memory in 4 KiB pages.
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
column() { cut -d ' ' -f "$2" "$WORK/$1" | median; }
row_head
row "fork with $MIB MiB, until both sides run" ms "$(column ours 1)" "$(column plain 1)" "x<=0.6"
row "first read of all after it, parent" s "$(column ours 3)" "$(column ours 2)" "x<=1.5"
row "first read of all after it, child" s "$(column ours 4)" "$(column ours 2)" "x<=1.5"
row "  ordinary memory: parent after, before" s "$(column plain 3)" "$(column plain 2)" -
