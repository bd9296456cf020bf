#!/usr/bin/env bash
# Programs with heaps and allocators of their own (jobs/heaps) under `--all`: where memory suffices, and on about half of what
# they need, each must end and print what it prints without the library. Prints what each took: without, with it, in the limit.
# JOB=... runs those whose name contains it.
# timeout: 900
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
need_root
[ -w /sys/fs/cgroup/memory/memory.limit_in_bytes ] || skip "this machine can't set a memory limit (cgroup v1, root)"
WORK=$TMP
# shellcheck source=tests/jobs/lib.sh
. "$TOP/tests/jobs/lib.sh"
ran=0 wrong=0

# with_library MIB (0: no limit): runs the job; sets why where it did not end as without us.
with_library() {
    job_run "$1" 150 0 "$WORK/out" "${environment[@]}"
    job_judge
    [ -z "$why" ] || why="limit $1: $why"
}

printf '%-28s %5s %6s %8s %6s %8s  %s\n' job limit needs without with limited setting
while job_read <&3; do
    [[ $name == *"${JOB:-}"* ]] || continue
    missing=$(job_missing | tr '\n' ' ')
    if [ -n "$missing" ]; then echo "$name: left out: needs $missing"; continue; fi
    ran=$((ran + 1)) limited=-
    if job_plain; then
        with_library 0
        unlimited=$seconds
        [ -n "$why" ] || [ "$limit" = 0 ] || { with_library "$limit"; limited=$seconds; }
        printf '%-28s %5s %6s %8s %6s %8s  %s\n' "$name" "$limit" "$needs" "$first" "$unlimited" "$limited" "$setting"
        [ -n "$why" ] || [ $((needs * 10)) -ge $((limit * 13)) ] || why="it needs only $needs MiB, which shows nothing"
    fi
    [ -z "$why" ] || { wrong=$((wrong + 1)); echo "FAILED: $name: $why"; }
    job_clean
done 3<"$JOBS/heaps"
[ $wrong = 0 ] || fail "$wrong of $ran jobs"
[ -n "${JOB:-}" ] || [ $ran -ge 8 ] || skip "needs 8 of these programs, and has $ran"
exit 0
