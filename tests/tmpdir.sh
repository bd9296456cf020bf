#!/usr/bin/env bash
# Without BIGMAAC_TEMPLATE swap files are in $TMPDIR where that is a writable folder on a disk, else where they
# always were; the launcher says the same.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
unset BIGMAAC_TEMPLATE
need_python mmap
[ "$(stat -f -c %T "$TMP")" != tmpfs ] || skip "this machine can't: $TMP is in memory"
# folder_is WANTED TMPDIR: of the library and of --check
folder_is() {
    local got
    got=$(with "TMPDIR=$2" $PYTHON -c '
x = bytearray(20 << 20)
print([l for l in open("/proc/self/maps") if "(deleted)" in l][0].split()[5].rsplit("/", 1)[0])' 2>"$TMP/err") || fail "TMPDIR=$2: $(cat "$TMP/err")"
    [ "$got" = "$1" ] || fail "TMPDIR=$2: swap files are in $got, not $1"
    [ ! -s "$TMP/err" ] || fail "TMPDIR=$2: printed $(cat "$TMP/err")"
    TMPDIR=$2 sh "$TOP/extras/bigmaac" --check >"$TMP/out" || fail "--check: $(cat "$TMP/out")"
    grep -q "^swap folder  *$1 (" "$TMP/out" || fail "TMPDIR=$2: --check says $(grep '^swap folder' "$TMP/out")"
    got=$(TMPDIR=$2 sh "$TOP/extras/bigmaac" sh -c 'printf %s "$TMPDIR"') || fail "TMPDIR=$2: the launcher refuses"
    [ "$got" = "$2" ] || fail "the program's TMPDIR is $got"
}
usual=/tmp; [ "$(stat -f -c %T /tmp)" != tmpfs ] || usual=/var/tmp
mkdir "$TMP/swap folder" "$TMP/ro"; : >"$TMP/file"
folder_is "$TMP" "$TMP"
folder_is "$usual" ''
folder_is "$usual" "$TMP/missing"
folder_is "$usual" "$TMP/file"
folder_is "$usual" relative
folder_is "$usual" "$TMP/$(printf '%0480d' 0 | tr 0 x)"
[ "$(stat -f -c %T /dev/shm)" != tmpfs ] || folder_is "$usual" /dev/shm
# A setting goes before it.
got=$(with TMPDIR="$TMP/ro" BIGMAAC_TEMPLATE="$TMP/swap folder/XXXXXX" BIGMAAC_VERBOSE=1 true 2>&1)
[[ $got == *"swap files $TMP/swap folder/XXXXXX"* ]] || fail "BIGMAAC_TEMPLATE beside TMPDIR: $got"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then # one that belongs to another user
    chmod 755 "$TMP"; chmod 700 "$TMP/ro"; cp "$LIB" "$TMP"
    got=$(TMPDIR=$TMP/ro setpriv --reuid 65534 --clear-groups env "LD_PRELOAD=$TMP/bigmaac.so" BIGMAAC_VERBOSE=1 true 2>&1)
    [[ $got == *"swap files /tmp/"* ]] || fail "another user's TMPDIR: $got"
fi
exit 0
