#!/usr/bin/env bash
# What the test suites of jemalloc and mimalloc try, written anew (jobs/shapes.c): alone, before and behind each of these
# allocators; at the defaults, with everything above 4 KiB on disk, with fries, and with --all. What an allocator fails alone it
# may fail with us. At the end in three quarters of its memory.
# timeout: 1800
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
compile_c "$TMP/shapes" "$TOP/tests/jobs/shapes.c" -fno-builtin
shapes() { # OUT COMMAND...: what fails in it, a line for each place
    "${@:2}" "$TMP/shapes" "$seed" >"$1.all" 2>&1
    local status=$?
    grep -q '^bigmaac\[' "$1.all" && fail "printed: $(grep '^bigmaac\[' "$1.all" | head -n 3)"
    sort -u "$1.all" >"$1"
    [ $status -le 1 ]
}
seed=$RANDOM
[ -z "${SEED:-}" ] || seed=$SEED
echo "seed $seed"
shapes "$TMP/none" env && [ ! -s "$TMP/none" ] || fail "without the library: $(cat "$TMP/none")"
tried=0
for other in '' libjemalloc.so.2 libmimalloc.so.2 libmimalloc.so.3; do
    alone=$TMP/none
    if [ -n "$other" ]; then
        LD_PRELOAD=$other /bin/true 2>&1 | grep -q . && { echo "$other is not installed"; continue; }
        alone=$TMP/alone
        shapes "$alone" env LD_PRELOAD=$other || fail "$other alone: status $?"
    fi
    for order in "$LIB $other" "$other $LIB"; do
        [ -n "$other" ] || [ "$order" = "$LIB " ] || continue
        for way in A=default BIGMAAC_MIN_BIGMAAC_SIZE=4096 "BIGMAAC_MIN_FRY_SIZE=16 BIGMAAC_MIN_BIGMAAC_SIZE=1M" \
            "BIGMAAC_MIN_FRY_SIZE=128 BIGMAAC_MIN_BIGMAAC_SIZE=1M BIGMAAC_MIN_MMAP_SIZE=64K"; do
            began=$SECONDS
            # shellcheck disable=SC2086
            shapes "$TMP/with" env LD_PRELOAD="$order" $way || fail "$order, $way: ends otherwise: $(tail -n 5 "$TMP/with.all")"
            [ -z "$(comm -13 "$alone" "$TMP/with")" ] || fail "$order, $way: $(comm -13 "$alone" "$TMP/with")"
            echo "$order, $way: $((SECONDS - began)) s"
            tried=$((tried + 1))
        done
    done
done
limited $((72 << 20)) "$TMP/shapes" "$seed" >"$TMP/out" 2>&1 && fail "72 MiB suffice without the library: that shows nothing"
for other in '' libjemalloc.so.2; do
    LD_PRELOAD=$other /bin/true 2>&1 | grep -q . && continue
    limited $((72 << 20)) env LD_PRELOAD="$LIB $other" BIGMAAC_MIN_FRY_SIZE=128 BIGMAAC_MIN_BIGMAAC_SIZE=1M BIGMAAC_MIN_MMAP_SIZE=64K \
        "$TMP/shapes" "$seed" >"$TMP/out" 2>&1
    status=$?
    [ $status = 0 ] && [ "$(cat "$TMP/oom")" = 0 ] || fail "72 MiB, $other: status $status: $(tail -n 5 "$TMP/out")"
    echo "in 72 MiB, $other: no difference"
done
[ $tried -gt 4 ] || skip "all but other mallocs was tested: neither libjemalloc nor libmimalloc is installed"
