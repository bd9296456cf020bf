#!/bin/sh
# The demonstration: one job on data 2.5 times its memory limit, without and with BigMaac.
#
#     make demo        or: sh bench/demo.sh; needs no root
#
# The job is bench/job.py where python3 has numpy (PYTHON says which python3), else bench/demo_job.c.
# The limit is min(1 GiB, RAM/8), or LIMIT_MIB, without swap; it is set with what this machine
# allows: cgroup v1 that may be written, cgroup v2 that is delegated, or a systemd user scope.
# Exit status: 0 when the job with BigMaac finished and what it computed is right.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
library=$top/bigmaac.so
[ -e "$library" ] || make -s -C "$top" bigmaac.so || exit 2
work=$(mktemp -d "${TMPDIR:-/tmp}/bigmaac-demo.XXXXXX") || exit 2
group=""

clean_up() {
    remove_group
    rm -rf "$work"
}
remove_group() {
    [ -n "$group" ] && [ -d "$group" ] || return 0
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        rmdir "$group" 2>/dev/null && return
        sleep 0.2
    done
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- Can it be shown here? -----------------------------------------------------------------
case ${LIMIT_MIB:-64} in
*[!0-9]* | ?????????*) bad=1 ;;
*) bad=$((${LIMIT_MIB:-64} < 64)) ;;
esac
if [ "$bad" = 1 ]; then
    echo "LIMIT_MIB=\"$LIMIT_MIB\": not a number of MiB from 64 up; set it to 256, or leave it unset"
    exit 2
fi
if ! sh "$top/extras/bigmaac" --check >"$work/check" 2>&1; then
    sed -n '/^Advice/d; s/^  - //p; s/^bigmaac: //p' "$work/check"
    echo "(the demonstration takes its folder from BIGMAAC_TEMPLATE=/folder/bigmaac.XXXXXXXX)"
    exit 2
fi

# ---- How large ---------------------------------------------------------------------------
ram=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
limit=${LIMIT_MIB:-$((ram / 8 < 1024 ? ram / 8 : 1024))}
# A container may have less than the machine.
for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    most=$(cat "$file" 2>/dev/null)
    case $most in '' | max | *[!0-9]*) continue ;; esac
    [ ${#most} -lt 16 ] && [ $((most / 2097152)) -lt "$limit" ] && limit=$((most / 2097152))
done
folder=$(sed -n 's/^swap folder *\(.*\) (.*/\1/p' "$work/check")
room=$(df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1024) }')
data=$((limit * 5 / 2))
if [ $((data + 256)) -gt "$room" ]; then
    if [ "$room" -lt 320 ]; then
        echo "$folder has only $room MiB free and the smallest demonstration needs 320: make room, or" \
            "set BIGMAAC_TEMPLATE=/folder/bigmaac.XXXXXXXX"
        exit 2
    fi
    data=$((room > 512 ? room - 256 : room / 2)) limit=$((data * 2 / 5))
    echo "($folder has only $room MiB free: a smaller demonstration)"
fi

# ---- Which job ---------------------------------------------------------------------------
job=""
for python in ${PYTHON:-python3 /usr/bin/python3}; do
    [ "${DEMO_C:-0}" = 1 ] && break # to try the C job
    if "$python" -c 'import numpy' 2>/dev/null; then
        what="numpy job" job="$python $top/bench/job.py matrix $data"
        break
    fi
done
if [ -z "$job" ]; then
    ${CC:-cc} -O2 -o "$work/demo_job" "$top/bench/demo_job.c" || exit 2
    what="C job" job="$work/demo_job $data"
fi

# ---- Which limit -------------------------------------------------------------------------
# Each way is tried with a command that does nothing, under the limit.
v1=/sys/fs/cgroup/memory$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup | sed 's,^/$,,')
v2=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup | sed 's,^/$,,')

under_v1() { # PARENT COMMAND...
    group=$1/bigmaac-demo-$$
    shift
    mkdir "$group" 2>/dev/null || { group=""; return 126; }
    { echo $((limit << 20)) >"$group/memory.limit_in_bytes" &&
        echo 0 >"$group/memory.swappiness"; } 2>/dev/null || { remove_group; return 126; }
    sh -c 'echo $$ >"$0/cgroup.procs" || exit 126; exec "$@"' "$group" "$@"
    status=$?
    peak=$(cat "$group/memory.max_usage_in_bytes" 2>/dev/null)
    remove_group
    return $status
}
under_v2() { # PARENT COMMAND...
    group=$1/bigmaac-demo-$$
    shift
    mkdir "$group" 2>/dev/null || { group=""; return 126; }
    { echo $((limit << 20)) >"$group/memory.max"; } 2>/dev/null || { remove_group; return 126; }
    { echo 0 >"$group/memory.swap.max"; } 2>/dev/null
    sh -c 'echo $$ >"$0/cgroup.procs" || exit 126; exec "$@"' "$group" "$@"
    status=$?
    peak=$(cat "$group/memory.peak" 2>/dev/null)
    remove_group
    return $status
}
under_systemd() {
    shift
    systemd-run --user --scope --quiet -p "MemoryMax=${limit}M" -p MemorySwapMax=0 -- "$@"
}
freely() {
    shift
    "$@"
}

way=freely parent=/ how=""
try() { # WAY PARENT HOW
    [ -z "$how" ] || return 0
    "$1" "$2" true >/dev/null 2>&1 && way=$1 parent=$2 how=$3
}
[ -e "$v1/memory.limit_in_bytes" ] && try under_v1 "$v1" "cgroup v1"
[ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ] && try under_v1 /sys/fs/cgroup/memory "cgroup v1"
if [ -e "$v2/cgroup.procs" ]; then
    try under_v2 "$v2" "cgroup v2"
    try under_v2 "${v2%/*}" "cgroup v2"
fi
command -v systemd-run >/dev/null && try under_systemd / "systemd-run --user"

# ---- Both runs ---------------------------------------------------------------------------
run() { # NAME COMMAND...
    name=$1 peak=""
    shift
    began=$(date +%s)
    "$way" "$parent" timeout 300 "$@" >"$work/$name" 2>"$work/$name.err"
    status=$?
    value() { sed -n "s/^$1 //p" "$work/$name"; }
    seconds=$(value total) digits=$(value digits | tr ' ' ,)
    case $status in
    0) result=finished ;;
    137) result="killed: no memory" ;;
    124) result="took over 300 s" ;;
    *) result="failed: status $status" ;;
    esac
    [ -n "$peak" ] && peak=$((peak >> 20)) || peak=$(value peak)
    printf '%-16s %-18s %-36s %8s %10s\n' "$name" "$result" "${digits:--}" \
        "${seconds:-$(($(date +%s) - began))}" "${peak:+$peak MiB}"
    if [ $status != 0 ] && [ $status != 137 ]; then tail -n 3 "$work/$name.err" | sed 's/^/    /'; fi
    return $status
}

echo "$what on a matrix of $data MiB; this machine has $ram MiB"
if [ -n "$how" ]; then
    echo "memory limit $limit MiB, no swap ($how)"
else
    echo "no memory limit: this user can't set one here, so both runs have all the memory"
    echo "(as root, or where systemd-run --user works, make demo sets one and shows the difference)"
fi
printf '%-16s %-18s %-36s %8s %10s\n' "" result checksum seconds "peak memory"
# shellcheck disable=SC2086
run without $job
# shellcheck disable=SC2086
if ! run "with BigMaac" env LD_PRELOAD="$library" $job; then
    echo "that should have finished; extras/bigmaac --check says what this machine lacks"
    exit 1
fi

# What it should be, by the formula for the sums of what the job fills in.
expected=$(awk -v mib="$data" 'BEGIN {
    n = int(sqrt(mib * 131072)); half = int(n / 2); rest = n % 1000
    ramp = (n - rest) / 1000 * 499500 + rest * (rest - 1) / 2
    numbers = n * (n - 1) / 2
    printf "%.0f,%.0f,%.0f", n * ramp + n * numbers, 2 * (n * (half % 1000) + numbers), 2 * ((n - 1) % 1000 + n - 1)
}')
if [ "$digits" != "$expected" ]; then
    echo "the checksum is wrong: it should be $expected"
    exit 1
fi
echo "the checksum is right"
