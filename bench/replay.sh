#!/usr/bin/env bash
# Does the machine agree with the simulator? The patterns of bench/sim.sh on this machine's memory and disk.
#
#     bash bench/replay.sh [PATTERN]...      from the environment:
#     LIMIT_MIB=512                 the limit; the data is 2.5 times that
#     SECONDS_EACH=6                at most, a run
#     POLICIES="swap sequential normal random adaptive"
#     READAHEAD=128                 the disk's read_ahead_kb
#     REPEATS=1                     the best counts: a busy machine makes nothing faster
#     BENCH_TMP=/var/tmp            where swap files go
. "$(dirname "$0")/limits.sh"
LIMIT_MIB=${LIMIT_MIB:-512} SECONDS_EACH=${SECONDS_EACH:-6} REPEATS=${REPEATS:-1}
POLICIES=${POLICIES:-swap sequential normal random adaptive}
PROGRAM=$BUILD/replay
${CC:-cc} -std=gnu11 -O2 -Wall -Wextra -pthread -o "$PROGRAM" "$TOP/bench/replay.c" -lm || die "can't compile replay.c"
[ $# -gt 0 ] || mapfile -t all < <(sed -n 's/.*{"\([a-z0-9]*\)", [a-z0-9]*, [0-9].*/&/p' "$TOP/bench/sim_patterns.h" |
    grep -o '{"[a-z0-9]*"' | tr -d '{"')
readahead "${READAHEAD:-128}"
machine
echo "references to pages in a ms; limit $LIMIT_MIB MiB, data $((LIMIT_MIB * 5 / 2)) MiB, at most $SECONDS_EACH s each"
# shellcheck disable=SC2086
printf '%-12s' pattern; printf ' %10s' $POLICIES; echo "  adaptive/best fixed"
for pattern in "${@:-${all[@]}}"; do
    printf '%-12s' "$pattern"
    row=""
    for policy in $POLICIES; do
        best=0
        for ((repeat = 0; repeat < REPEATS; repeat++)); do
            drop_caches
            way=(plain "$LIMIT_MIB")
            [ "$policy" = swap ] || way=(bigmaac "$LIMIT_MIB" BIGMAAC_PAGING="$policy")
            "${way[@]}" timeout 300 "$PROGRAM" "$pattern" $((LIMIT_MIB * 5 / 2)) "$SECONDS_EACH" >"$WORK/line" 2>"$WORK/err" ||
                die "$pattern, $policy: status $?: $(cat "$WORK/err" "$WORK/line")"
            best=$(awk -v best="$best" '{ print ($2 > best ? $2 : best) }' "$WORK/line")
        done
        row="$row $policy=$best"
        printf ' %10s' "$best"
    done
    tr ' ' '\n' <<<"$row" | awk -F= '$1 == "adaptive" { a = $2 } $1 ~ /sequential|normal|random/ && $2 > best { best = $2; which = $1 }
        END { if (best) printf "  %.2f (%s)", a / best, which; print "" }'
done
