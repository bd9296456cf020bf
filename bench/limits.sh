# limits.sh - sourced by the benchmarks that page: memory limits, kernel swap, readahead.
# shellcheck shell=bash
#
# Needs root and cgroup v1. Whatever is changed here is put back by `restore`, which runs at exit.
set -u
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LIB=$TOP/bigmaac.so
BUILD=$TOP/build/bench
PYTHON=${PYTHON:-/usr/bin/python3}
CGROUPS=/sys/fs/cgroup/memory
PATH=$PATH:/usr/sbin:/sbin

die() { echo "${0##*/}: $*" >&2; exit 2; }
skip() { echo "$*"; exit 77; } # as in tests/: 77 says that this machine can't run it

[ -e "$LIB" ] || die "make bigmaac.so first"
[ "$(id -u)" = 0 ] || skip "needs root, for a memory limit and swap"
[ -w "$CGROUPS/memory.limit_in_bytes" ] || skip "needs cgroup v1 for a memory limit"
mkdir -p "$BUILD"
WORK=$(mktemp -d "${BENCH_TMP:-/var/tmp}/bigmaac-bench.XXXXXX") || die "no folder for the data"
GROUP=$CGROUPS/bigmaac-bench-$$
BLKIO=/sys/fs/cgroup/blkio
SLOW=$BLKIO/bigmaac-bench-$$
SWAP="" QUEUE="" OLD_READAHEAD="" THROTTLE=""
export BIGMAAC_TEMPLATE=$WORK/bigmaac.XXXXXXXX

restore() {
    swap_off
    [ -n "$OLD_READAHEAD" ] && echo "$OLD_READAHEAD" >"$QUEUE"
    group_remove
    rm -rf "$WORK"
}
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

group_remove() {
    local group
    for group in "$GROUP" "$SLOW"; do
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            [ -d "$group" ] || break
            rmdir "$group" 2>/dev/null || sleep 0.2
        done
        [ ! -d "$group" ] || echo "could not remove $group" >&2
    done
}

# A group for which the disk does $THROTTLE: so many requests and MB a second, each way. What the kernel's flusher
# writes for it is not counted (cgroup v1): reads are slow, as are the writes of reclaim.
slow_make() {
    local requests=${THROTTLE% *} mb=${THROTTLE#* } disk what
    [ -w "$BLKIO/blkio.throttle.read_bps_device" ] || skip "needs the blkio controller of cgroup v1 for a slow disk"
    disk=$(readlink -f "/sys/dev/block/$(findmnt -n -o MAJ:MIN -T "$WORK" | tr -d ' ')")
    [ -e "$disk/dev" ] || skip "can't tell which disk $WORK is on"
    [ ! -e "$disk/partition" ] || disk=$disk/..
    mkdir "$SLOW" || die "can't make $SLOW"
    for what in read write; do
        echo "$(cat "$disk/dev") $requests" >"$SLOW/blkio.throttle.${what}_iops_device"
        echo "$(cat "$disk/dev") $((mb * 1000000))" >"$SLOW/blkio.throttle.${what}_bps_device"
    done
}

# limited MIB SWAPPINESS COMMAND...: in a fresh group, so that nothing cached is charged to it; on a slow disk where
# THROTTLE says so.
limited() {
    local mib=$1 swappiness=$2 status
    shift 2
    mkdir "$GROUP" || die "can't make $GROUP"
    echo $((mib << 20)) >"$GROUP/memory.limit_in_bytes"
    echo "$swappiness" >"$GROUP/memory.swappiness"
    [ -z "$THROTTLE" ] || slow_make
    # shellcheck disable=SC2016
    sh -c '[ ! -d "$1" ] || echo $$ >"$1/cgroup.procs"; echo $$ >"$0/cgroup.procs"; shift; exec "$@"' \
        "$GROUP" "$SLOW" "$@"
    status=$?
    group_remove
    return $status
}

# Kernel swap is the whole machine's: it is on only while a run needs it.
swap_on() { # MIB
    SWAP=$WORK/swapfile
    if [ ! -e "$SWAP" ]; then
        (umask 077; fallocate -l "${1}M" "$SWAP" 2>/dev/null ||
            dd if=/dev/zero of="$SWAP" bs=1M count="$1" status=none) || die "no room for swap"
        mkswap "$SWAP" >/dev/null 2>&1 || die "mkswap"
    fi
    swapon "$SWAP" || die "swapon: this machine can't swap to a file in $WORK"
}
# Other programs' memory may be in it by now: where their limit has no room for that, swapoff fails until they go on.
swap_off() {
    [ -n "$SWAP" ] || return 0
    for _ in $(seq 300); do
        grep -q "^$SWAP " /proc/swaps || { SWAP=""; return; }
        swapoff "$SWAP" 2>/dev/null || sleep 0.2
    done
    echo "swapoff $SWAP failed: take it away by hand" >&2
    SWAP=""
}

# plain MIB COMMAND...: with kernel swap, four times the limit. bigmaac MIB COMMAND...: with the
# library and no swap.
plain() {
    local status
    swap_on $(($1 * ${SWAP_TIMES:-4}))
    limited "$1" "$(cat /proc/sys/vm/swappiness)" "${@:2}"
    status=$?
    swap_off
    return $status
}
bigmaac() { limited "$1" 0 env LD_PRELOAD="$LIB" "${@:2}"; }

# The readahead of the disk under $WORK, whatever lies between.
find_disk() {
    local device
    device=$(findmnt -n -o MAJ:MIN -T "$WORK" | tr -d ' ')
    QUEUE=/sys/class/bdi/$device/read_ahead_kb
    [ -e "$QUEUE" ] || QUEUE=$(readlink -f "/sys/dev/block/$device/..")/queue/read_ahead_kb
    [ -e "$QUEUE" ] || die "can't tell which disk $WORK is on"
}
readahead() { # KIB
    [ -n "$QUEUE" ] || find_disk
    [ -n "$OLD_READAHEAD" ] || OLD_READAHEAD=$(cat "$QUEUE")
    echo "$1" >"$QUEUE"
}

# Free memory that was in use a moment ago: on a virtual machine the host takes back what was free for
# long, and gives it anew at 5 ms for 2 MiB.
warm_up() {
    dd if=/dev/zero of=/dev/null bs=2040M count=1 status=none &
    dd if=/dev/zero of=/dev/null bs=2040M count=1 status=none
    wait $!
}
drop_caches() {
    echo 3 >/proc/sys/vm/drop_caches
    warm_up
}

machine() {
    echo "machine: Linux $(uname -r), $(nproc) cores," \
        "$(awk '/MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo) GiB;" \
        "data on $(findmnt -n -o FSTYPE,SOURCE -T "$WORK" | tr -s ' ')"
}
