# common.sh - sourced by the benchmarks: compiles, takes medians, prints and judges a row, keeps raw results.
# shellcheck shell=bash
set -u
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LIB=$TOP/bigmaac.so
BUILD=$TOP/build/bench
CC=${CC:-gcc}
RUNS=${RUNS:-5} # of each measurement, the ways in turn; the median counts
[ -e "$LIB" ] || { echo "${0##*/}: make bigmaac.so first" >&2; exit 2; }
mkdir -p "$BUILD"

# compile NAME [FLAGS...]: build/bench/NAME from bench/NAME.c, when it is older than its sources.
compile() {
    local out=$BUILD/$1 source=$TOP/bench/$1.c
    [ "$out" -nt "$source" ] && [ "$out" -nt "$TOP/bench/bench.h" ] && [ "$out" -nt "$TOP/bigmaac.c" ] && return
    "$CC" -std=gnu11 -O2 -g -Wall -Wextra -pthread -fno-builtin-malloc -fno-builtin-free "${@:2}" \
        -o "$out" "$source" || { echo "${0##*/}: can't compile $1.c" >&2; exit 2; }
}

median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# result NAME UNIT VALUE OTHER: a line of build/bench/results, which bench/table.py makes README's tables of.
COMMIT=$(git -C "$TOP" describe --always --dirty 2>/dev/null || echo unknown)
MACHINE="Linux $(uname -r), $(nproc) cores ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)), \
$(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), \
$(findmnt -n -o FSTYPE,SOURCE -T "${BENCH_TMP:-/var/tmp}" | tr -s ' ')"
result() {
    local IFS=$'\t'
    echo "$(date +%F)$IFS$COMMIT$IFS$MACHINE$IFS${0##*/}$IFS$*" >>"$BUILD/results"
}

row_head() { printf '%-46s %-7s %10s %10s %7s  %-12s\n' name unit value other ratio target; }

# row NAME UNIT VALUE OTHER TARGET: judges VALUE against OTHER (- for none). TARGET, in words:
#     x<=N, x>=N   the ratio VALUE/OTHER        -<=N   the difference VALUE - OTHER
#     v<=N, v>=N   the value itself             -      none, for information
row() {
    result "${@:1:4}"
    awk -v name="$1" -v unit="$2" -v value="$3" -v other="$4" -v target="$5" '
        function number(x) {
            if (x == "" || x == "-") return "-"
            return sprintf(x >= 1e6 ? "%.4g" : x >= 100 ? "%.1f" : x >= 10 ? "%.2f" : "%.3f", x)
        }
        BEGIN {
            ratio = other + 0 > 0 && value != "" ? value / other : ""
            kind = substr(target, 1, 1); op = substr(target, 2, 2); bound = substr(target, 4) + 0
            what = kind == "x" ? ratio : kind == "v" ? value : value - other
            words = kind == "x" ? op " " bound "x" : kind == "v" ? op " " bound : op " other+" bound
            if (target == "-") { words = "-"; verdict = "" }
            else if (what == "" || value == "") verdict = "MISSED (no figure)"
            else verdict = (op == "<=" ? what + 0 <= bound : what + 0 >= bound) ? "ok" : "MISSED"
            printf "%-46s %-7s %10s %10s %7s  %-12s %s\n", name, unit, number(value), number(other),
                ratio == "" ? "-" : sprintf("%.2f", ratio), words, verdict
        }'
}
