#!/usr/bin/env bash
# The main numpy job (bench/job.py matrix) on a matrix larger than the memory limit: first with
# kernel swap, then with BigMaac, on the same disk.
#
#     bash bench/numpy_swap.sh      from the environment:
#     LIMIT_MIB=2048 DATA_MIB=5000  the limit, the matrix
#     BENCH_TMP=/var/tmp            where swap files go; BIGMAAC_... as usual
. "$(dirname "$0")/limits.sh"
. "$(dirname "$0")/common.sh"
LIMIT_MIB=${LIMIT_MIB:-2048} DATA_MIB=${DATA_MIB:-5000}
$PYTHON -c 'import numpy' 2>/dev/null || skip "needs $PYTHON with numpy"

job() { # WAY
    drop_caches
    "$1" "$LIMIT_MIB" timeout 1800 "$PYTHON" "$TOP/bench/job.py" matrix "$DATA_MIB" >"$WORK/$1" 2>"$WORK/err" ||
        die "$1: exit status $?: $(tail -n 2 "$WORK/err")"
}

machine
echo "matrix of $DATA_MIB MiB, limit $LIMIT_MIB MiB"
job plain
job bigmaac
cd "$WORK" || exit 2
total() { awk '$1 == "total" { print $NF }' "$1"; }
find_disk
result "numpy matrix of $DATA_MIB MiB in $LIMIT_MIB MiB, readahead $(cat "$QUEUE") KiB" s "$(total bigmaac)" "$(total plain)"
awk '
    $1 == "step" || $1 == "total" {
        name = $1 == "step" ? $2 : "total"
        seconds[FILENAME, name] = $NF
        if (!(name in known)) { known[name] = 1; order[++count] = name }
    }
    $1 == "digits" { digits[FILENAME] = $0 }
    END {
        printf "%-8s %14s %12s %8s\n", "seconds", "kernel swap", "BigMaac", "ratio"
        for (i = 1; i <= count; i++) {
            a = seconds["plain", order[i]]; b = seconds["bigmaac", order[i]]
            printf "%-8s %14.2f %12.2f %8s\n", order[i], a, b, (b > 0 ? sprintf("%.2f", a / b) : "-")
        }
        same = digits["plain"] != "" && digits["plain"] == digits["bigmaac"]
        print same ? "the same " digits["plain"] : "DIFFERENT: " digits["plain"] " and " digits["bigmaac"]
        exit !same
    }' plain bigmaac
