#!/usr/bin/env bash
# Random programs in a memory limit, by random settings, for SOAK_SECONDS in all (100): see soak/soak.c. SOAK_SEED (1) is
# the first one's; with SOAK_SETTINGS="NAME=VALUE ..." beside it one run is repeated. For an hour:
#     SOAK_SECONDS=3600 make test-long ONLY=soak
# timeout: 3900
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
LIMIT=256 EACH=${SOAK_EACH:-10} group=/sys/fs/cgroup/memory/$TEST_ID-soak # MiB, between 3/4 and 5/4 of it; seconds
compile_c "$TMP/soak" "$TOP/tests/long/soak/soak.c" -fno-builtin
loop_mount ext4 1500
mkdir "$group" 2>/dev/null || skip "this machine can't set a memory limit (cgroup v1, root)"
trap 'for _ in $(seq 50); do rmdir "$group" 2>/dev/null && break; sleep 0.2; done; loop_unmount' EXIT
export BIGMAAC_TEMPLATE=$MOUNT/swap/bigmaac.XXXXXXXX SOAK_PRELOAD=$PRELOAD BIGMAAC_STRICT=1
left() { ls "$MOUNT/swap"; [ $(($(df -k --output=used "$MOUNT" | tail -n 1) - before)) -lt 64 ] || df -k "$MOUNT"; }
left_nothing() { [ -z "$(left)" ]; } # unlinked files go a moment after who had them
first=${SOAK_SEED:-1} number=0
fries=(0 1 64 128) sizes=(10M 4096 64K 10M) modes=(private private copy) maps=(0 0 0 0 64K)
while :; do
    seed=$((first + number))
    settings=${SOAK_SETTINGS:-BIGMAAC_MIN_FRY_SIZE=${fries[seed % 4]} BIGMAAC_MIN_BIGMAAC_SIZE=${sizes[seed / 4 % 4]} \
BIGMAAC_FORK=${modes[seed % 3]} BIGMAAC_MIN_MMAP_SIZE=${maps[seed % 5]}}
    echo "seed $seed $settings, at $SECONDS s"
    echo $((LIMIT << 20)) >"$group/memory.limit_in_bytes"
    mkdir -p "$MOUNT/swap"
    rm -f "$MOUNT/progress"
    before=$(df -k --output=used "$MOUNT" | tail -n 1)
    # shellcheck disable=SC2086
    env $settings "$TMP/soak" "$seed" "$EACH" "$MOUNT" "$group" "$LIMIT" || {
        cat "$group/memory.oom_control"
        fail "SOAK_SEED=$seed SOAK_SETTINGS='$settings'"
    }
    until_ready left_nothing || fail "SOAK_SEED=$seed SOAK_SETTINGS='$settings': left behind: $(left)"
    number=$((number + 1))
    [ $SECONDS -lt "${SOAK_SECONDS:-100}" ] || break
done
echo "$number programs, the last one from seed $seed"
