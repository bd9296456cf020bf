#!/usr/bin/env bash
# Real jobs (bench/job.py) on data twice the memory limit: each with kernel swap, then with
# BigMaac, on the same disk; what they compute must be the same digit for digit.
#
#     bash bench/real.sh            from the environment:
#     LIMIT_MIB=512                 the limit; the data is twice that
#     JOBS="matmul argsort fancy groupby"
#     BENCH_TMP=/var/tmp            where swap files go; BIGMAAC_... as usual
. "$(dirname "$0")/limits.sh"
. "$(dirname "$0")/common.sh"
LIMIT_MIB=${LIMIT_MIB:-512} JOBS=${JOBS:-matmul argsort fancy groupby}
DATA_MIB=$((LIMIT_MIB * 2))
failures=0
$PYTHON -c 'import numpy' 2>/dev/null || skip "needs $PYTHON with numpy"

job() { # WAY NAME
    drop_caches
    "$1" "$LIMIT_MIB" timeout 900 "$PYTHON" "$TOP/bench/job.py" "$2" "$DATA_MIB" >"$WORK/$1" 2>"$WORK/err"
    local status=$?
    [ $status = 0 ] || echo "FAILED: $2, $1: exit status $status: $(tail -n 2 "$WORK/err")"
    return $status
}
field() { sed -n "s/^$1 //p" "$WORK/$2"; }

machine
echo "data $DATA_MIB MiB, limit $LIMIT_MIB MiB; seconds"
printf '%-10s %12s %10s %7s  %s\n' job "kernel swap" BigMaac ratio digits
for name in $JOBS; do
    if [ "$name" = groupby ] && ! $PYTHON -c 'import pandas' 2>/dev/null; then
        echo "groupby    skipped: needs $PYTHON with pandas"
        continue
    fi
    job plain "$name" && job bigmaac "$name" || { failures=$((failures + 1)); continue; }
    digits=same
    [ -n "$(field digits plain)" ] && [ "$(field digits plain)" = "$(field digits bigmaac)" ] || {
        digits="DIFFERENT: $(field digits plain) and $(field digits bigmaac)"
        failures=$((failures + 1))
    }
    a=$(field total plain) b=$(field total bigmaac)
    result "$name on $DATA_MIB MiB in $LIMIT_MIB MiB" s "$b" "$a"
    printf '%-10s %12s %10s %7.2f  %s\n' "$name" "$a" "$b" "$(awk "BEGIN { print $a / $b }")" "$digits"
done
[ $failures = 0 ]
