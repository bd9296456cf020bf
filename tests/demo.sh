#!/usr/bin/env bash
# make demo: finishes with a small limit; what it can't do here it says, with the way out.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
demo() { LIMIT_MIB=${limit-64} sh "$TOP/bench/demo.sh" >"$TMP/out" 2>&1; }
# refuses PATTERN: ends at once with a line that says what to do.
refuses() {
    demo && fail "the demonstration is content: $(cat "$TMP/out")"
    grep -Eq "$1" "$TMP/out" || fail "no \"$1\" in: $(cat "$TMP/out")"
    ! grep -Eq 'Traceback|demo\.sh|^with ' "$TMP/out" || fail "more than the reason: $(cat "$TMP/out")"
}
demo || fail "$(cat "$TMP/out")"
grep -q '^with BigMaac *finished' "$TMP/out" || fail "$(cat "$TMP/out")"
cd "$TMP" || exit 1
BIGMAAC_TEMPLATE=swap.XXXXXXXX demo || fail "a relative template: $(cat "$TMP/out")"
! grep -q '^df:' "$TMP/out" || fail "a relative template: $(cat "$TMP/out")"
BIGMAAC_TEMPLATE=$TMP/missing/XXXXXXXX refuses 'missing: it does not exist; make it'
BIGMAAC_TEMPLATE=swap refuses 'must end in six X'
for limit in abc -1 8 99999999999999999999; do refuses "LIMIT_MIB=\"$limit\": not a number .*set it to"; done
limit=64
[ "$(stat -f -c %T /dev/shm)" != tmpfs ] || BIGMAAC_TEMPLATE=/dev/shm/XXXXXXXX refuses 'is in memory: .*give a folder'
[ "$(id -u)" = 0 ] || exit 0
if command -v setpriv >/dev/null; then
    mkdir -m 777 "$TMP/nobody"; chmod 755 "$TMP"
    LIMIT_MIB=64 BIGMAAC_TEMPLATE=$TMP/nobody/XXXXXXXX setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs \
        sh "$TOP/bench/demo.sh" >"$TMP/out" 2>&1 || fail "as nobody: $(cat "$TMP/out")"
    grep -q '^no memory limit' "$TMP/out" && { grep -q 'as root, or where' "$TMP/out" || fail "as nobody: $(cat "$TMP/out")"; }
fi
loop_mount ext4 64 -m 0
BIGMAAC_TEMPLATE=$MOUNT/XXXXXXXX refuses 'needs 320: make room'
mount -o remount,ro "$MOUNT" || fail "remount"
BIGMAAC_TEMPLATE=$MOUNT/XXXXXXXX refuses 'read-only; choose'
exit 0
