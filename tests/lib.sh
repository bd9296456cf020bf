# lib.sh - sourced by the scripts here. TMP, LIB, TOP, BUILD, PRELOAD come from run.sh.
# shellcheck shell=bash disable=SC2034
set -u
: "${TMP:?}" "${LIB:?}" "${TOP:?}" "${BUILD:?}" "${PRELOAD:=$LIB}"
PYTHON=/usr/bin/python3
export BIGMAAC_TEMPLATE=$TMP/bigmaac.XXXXXXXX

skip() { echo "$*" | tee "$TMP/skipped"; exit 77; } # the file: whoever called it may keep the output
fail() { echo "FAILED: $*"; exit 1; }
need_root() { [ "$(id -u)" = 0 ] || skip "needs root"; }
need() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || skip "needs $1"; }
need_python() { for m in "$@"; do $PYTHON -c "import $m" 2>/dev/null || skip "needs $PYTHON with $m"; done; }
with() { env LD_PRELOAD="$PRELOAD" "$@"; } # with [VARIABLE=VALUE...] COMMAND...

# until_ready COMMAND...: succeeds; fails if it doesn't in a minute and a half.
until_ready() { for _ in $(seq 900); do "$@" 2>/dev/null && return; sleep 0.1; done; return 1; }

# limited BYTES COMMAND...: under a memory limit of its own, without swap. Leaves the peak in
# $TMP/peak and "1" in $TMP/oom when the kernel killed it. Skips where no limit can be set.
limited() {
    local bytes=$1 group=/sys/fs/cgroup/memory/$TEST_ID-$RANDOM status
    shift
    mkdir "$group" 2>/dev/null || skip "this machine can't set a memory limit (cgroup v1, root)"
    echo "$bytes" >"$group/memory.limit_in_bytes"
    echo 0 >"$group/memory.swappiness" # somebody else may have swap on
    sh -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$group" "$@"
    status=$?
    cat "$group/memory.max_usage_in_bytes" >"$TMP/peak"
    sed -n 's/^oom_kill //p' "$group/memory.oom_control" >"$TMP/oom"
    for _ in $(seq 100); do rmdir "$group" 2>/dev/null && break; sleep 0.2; done
    return $status
}

# loop_mount TYPE MIB [MKFS OPTION...]: makes and mounts an image; sets $MOUNT. Unmounted at exit.
MOUNTS=()
loop_mount() {
    local type=$1 mib=$2 image
    shift 2
    need_root; need "mkfs.$type"
    image=$TMP/$type.$RANDOM.img MOUNT=$TMP/$type.mnt.$RANDOM
    truncate -s "${mib}M" "$image"; mkdir "$MOUNT"
    PATH=$PATH:/usr/sbin "mkfs.$type" "$@" "$image" >/dev/null 2>&1 || fail "mkfs.$type"
    mount -o loop "$image" "$MOUNT" || skip "this machine can't mount $type"
    MOUNTS+=("$MOUNT")
    trap loop_unmount EXIT
}
loop_unmount() {
    for mount in "${MOUNTS[@]}"; do
        for _ in $(seq 100); do umount "$mount" 2>/dev/null && break; sleep 0.2; done
    done
}

# The value of KEY in the statistics lines of file $2.
stat_of() { sed -n "s/.* stats .*\b$1=\([0-9]*\).*/\1/p" "$2" | head -n 1; }
compile_c() { "$CC" -std=gnu11 -O2 -g -Wall -Wextra -pthread -I"$TOP" -I"$TOP/tests" -o "$1" "$2" "${@:3}" || fail "compile $2"; }

# May a process see its own page faults here?
sees_faults() {
    cat >"$TMP/sees.c" <<'END'
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_PAGE_FAULTS,
                                   .exclude_kernel = 1, .exclude_hv = 1};
    return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0) < 0;
}
END
    compile_c "$TMP/sees" "$TMP/sees.c"
    "$TMP/sees"
}

# debian RELEASE PACKAGES [MIRROR]: a Debian of its own in $root with the sources and the library in /src; taken away at exit. With
# a mirror it is Ubuntu's, whose releases debootstrap sets up all alike, and whose signature this machine may have no key for.
# inside [VARIABLE=VALUE...] COMMAND...: runs it there.
debian() {
    need_root; need debootstrap
    root=$TMP/root
    # In two stages, for dpkg not to wait for the disk in between.
    debootstrap ${3:+--no-check-gpg} --foreign --variant=minbase --include="$2" "$1" "$root" ${3:+"$3" gutsy} >"$TMP/log" 2>&1 &&
        echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe" &&
        DEBOOTSTRAP_DIR=/debootstrap chroot "$root" /debootstrap/debootstrap --second-stage >>"$TMP/log" 2>&1 ||
        skip "this machine can't get the system $1: $(tail -n 1 "$TMP/log")"
    mkdir "$root/src" && cp -r "$TOP/bigmaac.c" "$TOP/bigmaac.h" "$TOP/Makefile" "$TOP/tests" "$TOP/extras" "$root/src"
    cp "$LIB" "$root/src/bigmaac.so"
    # Without /sys the library can't know the limit and is on its guard: its threads are there.
    mount -t proc proc "$root/proc" && mount --rbind /sys "$root/sys" && mount --make-rslave "$root/sys" ||
        skip "this machine can't mount /proc and /sys in a folder"
    trap 'umount -R "$root/sys"; umount "$root/proc"; rm -rf --one-file-system "$root"' EXIT
}
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin BIGMAAC_TEMPLATE=/var/tmp/bigmaac.XXXXXXXX "$@"; }
