#!/usr/bin/env bash
# Jobs that people see killed for memory (tests/jobs/list), each on about twice its limit: without a limit; in the
# limit; in the limit with kernel swap; in the limit with BigMaac, as README recommends to set it. What they print must be
# the same. Once each: a table of what happens, no race.
#
#     bash bench/jobs.sh            from the environment:
#     JOB=sort                      the jobs whose name contains it
#     WAYS="limit swap bigmaac"     which of the ways in a limit
#     JOB_SECONDS=300               each may take that long
#     SETTING="fries 64"            instead of the list's
# Each row goes to build/bench/jobs.tsv as well, for bench/table.py.
. "$(dirname "$0")/limits.sh"
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/jobs/lib.sh
. "$TOP/tests/jobs/lib.sh"
WAYS=${WAYS:-limit swap bigmaac} JOB_SECONDS=${JOB_SECONDS:-300}
STAT=$(readlink -f "/sys/dev/block/$(findmnt -n -o MAJ:MIN -T "$WORK" | tr -d ' ')")/stat
failures=0

mib_read() { awk '{ print int($3 / 2048) }' "$STAT" 2>/dev/null || echo 0; }
# way NAME: runs the job so. Sets result: its seconds or what became of it, and cost: major faults and MiB read.
way() {
    local before
    drop_caches
    before=$(mib_read)
    case $1 in
    limit) job_run "$limit" "$JOB_SECONDS" 0 "$WORK/out" ;;
    swap)
        swap_on $((limit * 6))
        job_run "$limit" "$JOB_SECONDS" 60 "$WORK/out"
        swap_off ;;
    bigmaac) job_environment && job_run "$limit" "$JOB_SECONDS" 0 "$WORK/out" "${environment[@]}" ;;
    esac
    result=$seconds cost="$faults, $(($(mib_read) - before))"
    cmp -s "$WORK/plain" "$WORK/out" || result="other output"
    [ "$status" = 0 ] || result="status $status"
    [ "$status" != 124 ] || result=">$JOB_SECONDS"
    [ "$killed" = 0 ] || result=killed
    [ "$1" != bigmaac ] || [ "$result" = "$seconds" ] || { failures=$((failures + 1)); tail -n 3 "$WORK/out.err"; }
}

machine
printf '%-24s %5s %6s %8s %8s %8s %-14s %8s %-14s %s\n' job limit needs without limit swap "faults, MiB" BigMaac "faults, MiB" setting
while job_read <&3; do
    [[ $name == *"${JOB:-}"* ]] || continue
    setting=${SETTING:-$setting}
    missing=$(job_missing | tr '\n' ' ')
    if [ -n "$missing" ]; then echo "$name: skipped: needs $missing"; continue; fi
    job_prepare || { echo "$name: no input"; failures=$((failures + 1)); continue; }
    job_run 0 "$JOB_SECONDS" 0 "$WORK/plain"
    line=$(printf '%-24s %5s %6s %8s' "$name" "$limit" "$((anonymous >> 20))" "$seconds")
    [ "$status" = 0 ] && [ -s "$WORK/plain" ] || { echo "$line: status $status"; failures=$((failures + 1)); continue; }
    results=("$name" "$limit" "$((anonymous >> 20))" "$seconds")
    for kind in limit swap bigmaac; do
        result=- cost=-
        [[ " $WAYS " != *" $kind "* ]] || way $kind
        [ $kind = limit ] && line+=$(printf ' %8s' "$result") || line+=$(printf ' %8s %-14s' "$result" "$cost")
        results+=("$result")
    done
    echo "$line $setting"
    [[ " ${results[*]} " == *" - "* ]] || (IFS=$'\t'; echo "$(date +%F)$IFS$COMMIT$IFS$MACHINE$IFS${results[*]}$IFS$setting") >>"$BUILD/jobs.tsv"
    job_clean
done 3<"$JOBS/list"
[ $failures = 0 ]
