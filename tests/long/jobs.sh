#!/usr/bin/env bash
# Jobs that people see killed for memory: each on about twice its limit, with the setting that README recommends, must
# end and print what it prints without a limit, and leave nothing in the folder. The rows are in jobs/list; JOB=... runs
# those whose name contains it. bench/jobs.sh has all of them, beside kernel swap.
# timeout: 1200
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
need_root
[ -w /sys/fs/cgroup/memory/memory.limit_in_bytes ] || skip "this machine can't set a memory limit (cgroup v1, root)"
WORK=$TMP
# shellcheck source=tests/jobs/lib.sh
. "$TOP/tests/jobs/lib.sh"
ran=0 wrong=0
printf '%-26s %5s %6s %8s %8s  %s\n' job limit needs without BigMaac setting
while job_read <&3; do
    if [ -n "${JOB:-}" ]; then [[ $name == *"$JOB"* ]] || continue; else [ "$suite" = test ] || continue; fi
    missing=$(job_missing | tr '\n' ' ')
    if [ -n "$missing" ]; then echo "$name: left out: needs $missing"; continue; fi
    ran=$((ran + 1))
    if job_plain; then
        job_run "$limit" 150 0 "$WORK/out" "${environment[@]}"
        printf '%-26s %5s %6s %8s %8s  %s\n' "$name" "$limit" "$needs" "$first" "$seconds" "$setting"
        job_judge
        [ -n "$why" ] || [ $((needs * 10)) -ge $((limit * 16)) ] || why="it needs only $needs MiB, which shows nothing"
    fi
    [ -z "$why" ] || { wrong=$((wrong + 1)); echo "FAILED: $name: $why"; }
    job_clean
done 3<"$JOBS/list"
[ $wrong = 0 ] || fail "$wrong of $ran jobs"
[ -n "${JOB:-}" ] || [ $ran -ge 20 ] || skip "needs the programs of 20 jobs, and has those of $ran"
exit 0
