#!/usr/bin/env bash
# The extent allocator alone: a pair of extent_free and extent_alloc among few and many extents.
. "$(dirname "$0")/common.sh"
PAIRS=${PAIRS:-2000000}
compile extent -DBIGMAAC_PREFIX -Wno-unused-function -Wno-unused-result -ldl
for _ in $(seq "$RUNS"); do
    for live in 1000 1000000; do "$BUILD/extent" $live "$PAIRS" >>"$BUILD/extent.$live.$$" || exit 2; done
done
few=$(median <"$BUILD/extent.1000.$$") many=$(median <"$BUILD/extent.1000000.$$")
rm -f "$BUILD"/extent.*.$$
row_head
row "extent free + alloc, 1,000 live" ns "$few" - "v<=1000"
row "extent free + alloc, 1,000,000 live" ns "$many" - "v<=1000"
row "extent 1,000,000 live against 1,000" ns "$many" "$few" "x<=3"
