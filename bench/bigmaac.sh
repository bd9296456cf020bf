#!/usr/bin/env bash
# Bigmaacs against glibc's large blocks, in RAM and beyond it.
#
#     bash bench/bigmaac.sh    from the environment:
#     RUNS=5                   of each measurement, both ways in turn
#     ONLY=numpy|swap|cycle|fill|sparse|rewrite|grow     a part of it
#     SIZES="200 1000"         MB of each numpy array; SWAP_SIZES, beyond memory
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/limits.sh"
ONLY=${ONLY:-} SIZES=${SIZES:-200 1000} SWAP_SIZES=${SWAP_SIZES:-$SIZES}
compile block

# compare COMMAND...: runs it by glibc and with the library in turn; the medians go to $plain, $ours.
compare() {
    rm -f "$WORK/plain" "$WORK/ours"
    for _ in $(seq "$RUNS"); do
        warm_up
        env GLIBC_TUNABLES="${TUNABLES:-}" "$@" >>"$WORK/plain" || exit 2
        env LD_PRELOAD="$LIB" "$@" >>"$WORK/ours" || exit 2
    done
    plain=$(median <"$WORK/plain") ours=$(median <"$WORK/ours")
}

numpy() {
    $PYTHON -c 'import numpy' 2>/dev/null || { echo "needs $PYTHON with numpy"; return; }
    for mb in $SIZES; do
        compare "$PYTHON" "$TOP/bench/steps.py" "$mb" 10
        row "numpy a += b*0.5, arrays of $mb MB, in RAM" s "$ours" "$plain" "x<=0.8"
    done
}

# The limit holds two of the three arrays, and the interpreter.
swap() {
    $PYTHON -c 'import numpy' 2>/dev/null || { echo "needs $PYTHON with numpy"; return; }
    local mib
    for mb in $SWAP_SIZES; do
        mib=$((mb * 2000000 / 1048576 + 40))
        rm -f "$WORK/plain" "$WORK/ours"
        for _ in $(seq "${SWAP_RUNS:-3}"); do
            drop_caches
            plain $mib "$PYTHON" "$TOP/bench/steps.py" "$mb" 10 >>"$WORK/plain" || exit 2
            drop_caches
            bigmaac $mib "$PYTHON" "$TOP/bench/steps.py" "$mb" 10 >>"$WORK/ours" || exit 2
        done
        row "numpy, $mb MB, two of three arrays in RAM" s "$(median <"$WORK/ours")" "$(median <"$WORK/plain")" "x<=0.4"
    done
}

# glibc maps each of these anew; a freed bigmaac is reused as it is.
cycle() {
    export BIGMAAC_MIN_BIGMAAC_SIZE=512K
    for mib in 1 2 4 8 16 32 64; do
        TUNABLES=glibc.malloc.mmap_threshold=262144 compare "$BUILD/block" cycle $mib 5000
        row "malloc + touch + free, $mib MiB" us "$ours" "$plain" "x<=1.0"
        row "  the same, by itself" us "$ours" - "v<=3"
    done
    BIGMAAC_RECYCLE=0 TUNABLES=glibc.malloc.mmap_threshold=262144 compare "$BUILD/block" cycle 4 500
    row "  4 MiB, never recycled" us "$ours" "$plain" -
    unset BIGMAAC_MIN_BIGMAAC_SIZE
}

# Zeroed memory is what this costs.
fill() {
    compare "$BUILD/block" fill 2048
    row "first fill of a fresh 2 GiB block" s "$ours" "$plain" "x<=1.3"
    row "  the best run of each" s "$(sort -g "$WORK/ours" | head -n 1)" "$(sort -g "$WORK/plain" | head -n 1)" -
}

# Of which little is used; the second as --all has it.
sparse() {
    compare "$BUILD/block" sparse 8388608 1 1024
    row "8 GiB, of which a word in each MiB is used" s "$ours" "$plain" -
    BIGMAAC_MIN_BIGMAAC_SIZE=1M BIGMAAC_MIN_FRY_SIZE=128 compare "$BUILD/block" sparse 1024 10000 1020
    row "10,000 blocks of 1 MiB, of each one page" s "$ours" "$plain" -
}

# More than the kernel lets be changed before it writes, a tenth of the memory, but all fits.
rewrite() {
    local mib
    mib=$(awk '/MemTotal/ { printf "%d", $2 / 1024 / 6 }' /proc/meminfo)
    RUNS=${REWRITE_RUNS:-3} compare "$BUILD/block" rewrite "$mib" 40
    row "a sixth of the memory, changed over and over" s "$ours" "$plain" "x<=1.2"
}

# Both on bigmaacs, so that the copying is all that differs.
grow() {
    rm -f "$WORK/realloc" "$WORK/copy"
    for _ in $(seq "${SWAP_RUNS:-3}"); do
        for way in realloc copy; do
            drop_caches
            bigmaac 1024 "$BUILD/block" grow 256 4096 $way >>"$WORK/$way" || exit 2
        done
    done
    row "copying against realloc, 0.25 to 4 GiB in 1 GiB" s "$(median <"$WORK/copy")" "$(median <"$WORK/realloc")" "x>=10"
}

row_head
for part in numpy swap cycle fill sparse rewrite grow; do
    case $part in *"$ONLY"*) $part ;; esac
done
