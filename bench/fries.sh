#!/usr/bin/env bash
# Fries against other allocators, all requests as fries: churn, threads, memory, the first one.
#
#     bash bench/fries.sh      from the environment:
#     RUNS=5 SECONDS_EACH=1    of each measurement, every allocator in turn
#     ONLY=churn|threads|memory|first     a part of it
. "$(dirname "$0")/common.sh"
SECONDS_EACH=${SECONDS_EACH:-1} ONLY=${ONLY:-}
WORK=$(mktemp -d "${BENCH_TMP:-/var/tmp}/bigmaac-bench.XXXXXX") || exit 2
READAHEAD_FILE="" READAHEAD_WAS=""
restore() {
    [ -n "$READAHEAD_WAS" ] && echo "$READAHEAD_WAS" >"$READAHEAD_FILE"
    rm -rf "$WORK"
}
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
for program in churn larson prodcons overhead; do compile "$program"; done

# The other allocators, where they are installed.
library() { # NAME
    local path
    path=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p | awk -v so="$1" '$1 == so { print $NF; exit }')
    [ -n "$path" ] && echo "$path"
}
WAYS="glibc bigmaac"
MIMALLOC=$(library libmimalloc.so.2 || library libmimalloc.so.3) && WAYS="$WAYS mimalloc"
JEMALLOC=$(library libjemalloc.so.2) && WAYS="$WAYS jemalloc"
fries() {
    env LD_PRELOAD="$LIB" BIGMAAC_TEMPLATE="$WORK/bigmaac.XXXXXXXX" BIGMAAC_MIN_FRY_SIZE=1 \
        BIGMAAC_MIN_BIGMAAC_SIZE=8G "$@"
}
under() { # WAY COMMAND...
    case $1 in
    glibc) "${@:2}" ;;
    bigmaac) fries "${@:2}" ;;
    mimalloc) env LD_PRELOAD="$MIMALLOC" "${@:2}" ;;
    jemalloc) env LD_PRELOAD="$JEMALLOC" "${@:2}" ;;
    esac
}

declare -A result
measure() { # KEY COMMAND...: the median of each way into result[KEY,WAY]
    local key=$1 way
    rm -f "$WORK"/runs.*
    for _ in $(seq "$RUNS"); do
        for way in $WAYS; do under "$way" "${@:2}" >>"$WORK/runs.$way" || exit 2; done
    done
    for way in $WAYS; do result[$key,$way]=$(median <"$WORK/runs.$way"); done
}
against() { # KEY NAME UNIT TARGET_GLIBC TARGET_MIMALLOC
    row "$2, glibc" "$3" "${result[$1,bigmaac]}" "${result[$1,glibc]}" "$4"
    [ -z "$MIMALLOC" ] || row "$2, mimalloc" "$3" "${result[$1,bigmaac]}" "${result[$1,mimalloc]}" "$5"
    [ -z "$JEMALLOC" ] || row "$2, jemalloc" "$3" "${result[$1,bigmaac]}" "${result[$1,jemalloc]}" -
}

churn() {
    local sizes live
    for sizes in "16 64" "256 4096" "4096 65536"; do
        for live in 1000 100000; do
            # shellcheck disable=SC2086
            measure churn "$BUILD/churn" $sizes $live "$SECONDS_EACH"
            against churn "churn ${sizes/ /-} B, $live live" "ns/op" "x<=1.0" "x<=1.5"
        done
    done
}

scaling() { # NAME KEY1 KEY2 TARGET: every way for comparison
    local way
    for way in $WAYS; do
        row "$1, $way" "ops/s" "${result[$3,$way]}" "${result[$2,$way]}" "$([ "$way" = bigmaac ] && echo "$4" || echo -)"
    done
}
threads() {
    for sizes in "16 512" "64 4096"; do
        for n in 1 2; do
            # shellcheck disable=SC2086
            measure "larson$n" "$BUILD/larson" $n "$SECONDS_EACH" $sizes 1000
            against "larson$n" "larson ${sizes/ /-} B, $n threads" "ops/s" "x>=1.0" -
        done
        scaling "larson ${sizes/ /-} B, 1 to 2 threads" larson1 larson2 "x>=1.7"
    done
    measure pairs "$BUILD/prodcons" pairs 1 "$SECONDS_EACH" 16 512
    against pairs "producer/consumer" "ops/s" "x>=1.0" -
    for n in 1 2; do
        measure "circle$n" "$BUILD/prodcons" circle $n "$SECONDS_EACH" 16 512
        [ $n = 1 ] || against "circle$n" "each frees the other's" "ops/s" "x>=1.0" -
    done
    scaling "each frees the other's, 1 to 2 threads" circle1 circle2 "x>=1.7"
}

memory() {
    local sizes threads private live
    for sizes in "16 16" "16 64" "256 4096" "4096 65536"; do
        for threads in 1 4; do
            # shellcheck disable=SC2046,SC2086
            read -r private live <<<"$(fries "$BUILD/overhead" $sizes 256 $threads)"
            row "private memory, ${sizes/ /-} B, $threads threads" KiB $((${private:-0} / 1024)) $((${live:-0} / 1024)) \
                "v<=$((${live:-0} / 1024 / 50 + 1024 * threads))"
        done
    done
}

first() {
    local kib device
    device=$(findmnt -n -o MAJ:MIN -T "$WORK" | tr -d ' ')
    READAHEAD_FILE=/sys/class/bdi/$device/read_ahead_kb
    for kib in 128 8192; do
        if [ -w "$READAHEAD_FILE" ]; then
            [ -n "$READAHEAD_WAS" ] || READAHEAD_WAS=$(cat "$READAHEAD_FILE")
            echo $kib >"$READAHEAD_FILE"
        else
            kib="as it is"
        fi
        for _ in $(seq $((RUNS * 4 + 1))); do fries "$BUILD/overhead" first || exit 2; done >"$WORK/first"
        row "first fry, readahead $kib KiB" ms "$(cut -d ' ' -f 1 "$WORK/first" | median)" - "v<=1"
        row "first fry and its touch, readahead $kib KiB" ms "$(cut -d ' ' -f 2 "$WORK/first" | median)" - "v<=1"
    done
}

row_head
for part in churn threads memory first; do
    case $part in *"$ONLY"*) $part ;; esac
done
