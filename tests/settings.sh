#!/usr/bin/env bash
# Every setting: good values take effect; a bad one is told in one line that names the variable,
# the value and what happens, and then everything is passed through; a normal run prints nothing.
. "$TOP/tests/lib.sh"
cat >"$TMP/kinds.c" <<'C'
/* kinds SIZE... - prints one letter for each: g(libc), f(ry), b(igmaac), -: NULL. */
#include "kinds.h"
int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t n = strtoull(argv[i], NULL, 10);
        char *p = malloc(n), *z = calloc(n / 2, 2);
        if (p && n)
            p[n - 1] = p[0] = 1;
        if (z && bigmaac_try_kind(z) != bigmaac_try_kind(p) && n % 2 == 0)
            puts("calloc differs");
        putchar(p ? "gbf"[bigmaac_try_kind(p)] : '-');
        free(p);
        free(z);
    }
    return 0;
}
C
"$CC" -std=gnu11 -O1 -w -fno-builtin -I"$TOP" -I"$TOP/tests" -o "$TMP/kinds" "$TMP/kinds.c" || fail "compile"
M10=10485760

# good KINDS "SIZES" [VARIABLE=VALUE...]: prints nothing, and sizes are of these kinds.
good() {
    local wanted=$1 sizes=$2 got
    shift 2
    # shellcheck disable=SC2086
    got=$(with "$@" "$TMP/kinds" $sizes 2>"$TMP/err") || fail "$*: status $?"
    [ "$got" = "$wanted" ] || fail "$*: sizes $sizes were $got, not $wanted"
    [ ! -s "$TMP/err" ] || fail "$*: printed $(cat "$TMP/err")"
}

# bad NAME VALUE [VARIABLE=VALUE...]: one line; all is passed through; STRICT ends the program.
bad() {
    local name=$1 value=$2 line status
    shift 2
    line=$(with "$@" "$name=$value" "$TMP/kinds" 100 5000 $((M10 + 1)) 50000000 2>&1 >"$TMP/out") ||
        fail "$name=\"$value\": status $?"
    [[ $line == bigmaac\[*([0-9])\]:\ "$name=\"$value\": "?*"; passing all requests through" ]] ||
        fail "$name=\"$value\": told: $line"
    [ "$(cat "$TMP/out")" = gggg ] || fail "$name=\"$value\": kinds $(cat "$TMP/out")"
    line=$(with "$@" BIGMAAC_STRICT=1 "$name=$value" "$TMP/kinds" 100 2>&1)
    status=$?
    [ $status = 2 ] || fail "$name=\"$value\", strict: status $status"
    [[ $line == bigmaac\[*\]:\ "$name=\"$value\": "?*"; exiting" ]] || fail "$name=\"$value\", strict: $line"
    [ "$(wc -l <<<"$line")" = 1 ] || fail "$name=\"$value\", strict: $line"
}
shopt -s extglob
all_sizes="1 64 65 4096 $M10 $((M10 + 1)) 30000000"

echo "== good values"
good gggggbb "$all_sizes" A=1
for value in 10M 10m 10MB 10MiB 10Mb 10240K 10240KiB $M10 "${M10}B" 010485760; do
    good gggggbb "$all_sizes" BIGMAAC_MIN_BIGMAAC_SIZE=$value
done
good ggggggg "$all_sizes" BIGMAAC_MIN_BIGMAAC_SIZE=1GiB
good ggggggg "$all_sizes" BIGMAAC_MIN_BIGMAAC_SIZE=1T
good ggggggg "$all_sizes" BIGMAAC_MIN_BIGMAAC_SIZE=18446744073709551615
good gggbbbb "$all_sizes" BIGMAAC_MIN_BIGMAAC_SIZE=1k
good ggfffbb "$all_sizes" BIGMAAC_MIN_FRY_SIZE=64
good gfffffb "$all_sizes" BIGMAAC_MIN_FRY_SIZE=63 BIGMAAC_MIN_BIGMAAC_SIZE=16M
for setting in BIGMAAC_RESERVE=0 BIGMAAC_RESERVE=1 BIGMAAC_RECYCLE=0 BIGMAAC_RECYCLE=auto BIGMAAC_RECYCLE=64M \
    BIGMAAC_RECYCLE=1T BIGMAAC_PAGING=adaptive BIGMAAC_PAGING=sequential BIGMAAC_PAGING=normal BIGMAAC_PAGING=random \
    BIGMAAC_FORK=private BIGMAAC_FORK=copy BIGMAAC_STATS=0 BIGMAAC_VERBOSE=0 BIGMAAC_STRICT=0 BIGMAAC_STRICT=1 \
    SIZE_BIGMAAC=1G SIZE_BIGMAAC=8T SIZE_FRIES=1M SIZE_FRIES=8T \
    BIGMAAC_TEST_OTHER=1 BIGMAAC_SERVICE_HOST=10.0.0.1 BIGMAAC_PORT_80_TCP=tcp://10.0.0.1 SIZE_OTHER=x; do
    good gggggbb "$all_sizes" $setting
done

echo "== empty values: as if they were not set"
empty="BIGMAAC_MIN_BIGMAAC_SIZE= BIGMAAC_MIN_FRY_SIZE= BIGMAAC_MIN_MMAP_SIZE= BIGMAAC_TEMPLATE= SIZE_BIGMAAC= SIZE_FRIES= BIGMAAC_RESERVE=
    BIGMAAC_RECYCLE= BIGMAAC_PAGING= BIGMAAC_FORK= BIGMAAC_STATS= BIGMAAC_VERBOSE= BIGMAAC_STRICT= BIGMAAC_PROFILE="
for setting in $empty; do good gggggbb "$all_sizes" $setting; done
good gggggbb "$all_sizes" $empty TMPDIR="$TMP"
good ggfffbb "$all_sizes" $empty BIGMAAC_MIN_FRY_SIZE=64

echo "== thresholds at their ends"
good bbbbbbb "$all_sizes" BIGMAAC_MIN_BIGMAAC_SIZE=0
good gbbbbbb "$all_sizes" BIGMAAC_MIN_BIGMAAC_SIZE=1
good gbbbbbb "$all_sizes" BIGMAAC_MIN_BIGMAAC_SIZE=1 BIGMAAC_MIN_FRY_SIZE=1  # equal: no fries
good ggggggb "$all_sizes" BIGMAAC_MIN_BIGMAAC_SIZE=16M BIGMAAC_MIN_FRY_SIZE=16M
good ggggfbb "$all_sizes" BIGMAAC_MIN_BIGMAAC_SIZE=$M10 BIGMAAC_MIN_FRY_SIZE=$((M10 - 1))
good ggffff "1 64 65 66 4096 $M10" BIGMAAC_MIN_BIGMAAC_SIZE=$M10 BIGMAAC_MIN_FRY_SIZE=64
good gfffffff "1 2 16 17 4096 65536 65537 $M10" BIGMAAC_MIN_BIGMAAC_SIZE=$M10 BIGMAAC_MIN_FRY_SIZE=1
good ggb "0 1 2" BIGMAAC_MIN_BIGMAAC_SIZE=1 BIGMAAC_MIN_FRY_SIZE=0 # no fries, not only fries
good ggfbb "1 64 65 66 4096" BIGMAAC_MIN_BIGMAAC_SIZE=65 BIGMAAC_MIN_FRY_SIZE=64
# A fries region too small for the requests: the next malloc serves them.
good ffg "200 100000 9000000" SIZE_FRIES=1M BIGMAAC_MIN_FRY_SIZE=64
good gbg "200 20000000 900000000" SIZE_BIGMAAC=128M

echo "== bad values"
sizes=(" " -1 -10M +5 abc M 10X 10MM 10.5M "10 M" " 10M" "10M " 0x10 1e6
    18446744073709551616 99999999999999999999999 16777216T 18014398509481984K "10M;20M" ∞)
for value in "${sizes[@]}"; do
    for name in BIGMAAC_MIN_BIGMAAC_SIZE BIGMAAC_MIN_FRY_SIZE SIZE_BIGMAAC SIZE_FRIES BIGMAAC_RECYCLE; do
        bad $name "$value"
    done
done
for value in 0 1 4K 1023K 9T 100T; do bad SIZE_BIGMAAC "$value"; bad SIZE_FRIES "$value"; done
for name in BIGMAAC_RESERVE BIGMAAC_STATS BIGMAAC_VERBOSE; do
    for value in 2 -1 yes true 01 "1 " 10; do bad $name "$value"; done
done
for value in Adaptive none 0 "random " sequential,random; do bad BIGMAAC_PAGING "$value"; done
for value in Private share 1 "copy "; do bad BIGMAAC_FORK "$value"; done
for value in none AUTO -1; do bad BIGMAAC_RECYCLE "$value"; done
for value in 2 yes; do # of STRICT itself: can't end the program
    line=$(with BIGMAAC_STRICT="$value" "$TMP/kinds" 50000000 2>&1)
    [[ $line == bigmaac\[*\]:\ "BIGMAAC_STRICT=\"$value\": "*"; passing all requests through"*g ]] || fail "BIGMAAC_STRICT=\"$value\": $line"
done
bad BIGMAAC_MIN_FRY_SIZE 11M
bad BIGMAAC_MIN_FRY_SIZE 65 BIGMAAC_MIN_BIGMAAC_SIZE=64
line=$(with BIGMAAC_MIN_FRY_SIZE=nonsense BIGMAAC_PAGING=nonsense SIZE_FRIES=-3 "$TMP/kinds" 2>&1)
[ "$(wc -l <<<"$line")" = 1 ] || fail "several bad settings: $line"

echo "== misspelt names"
for name in BIGMAAC_UNKNOWN BIGMAAC_MIN_FRYSIZE BIGMAAC_ SIZE_BIGMAACS SIZE_FRIES_ BIGMAAC_TEMPLATES; do bad $name 1M; done

echo "== templates"
mkdir "$TMP/folder" "$TMP/folder with spaces"
touch "$TMP/file"
bad BIGMAAC_TEMPLATE "$TMP/swap"
bad BIGMAAC_TEMPLATE "$TMP/swap.XXXXX"
bad BIGMAAC_TEMPLATE "$TMP/XXXXXXXX.swap"
bad BIGMAAC_TEMPLATE "$TMP/missing/XXXXXXXX"
bad BIGMAAC_TEMPLATE "$TMP/file/XXXXXXXX"
good gb "64 20000000" BIGMAAC_TEMPLATE="$TMP/XXXXXX"
good gb "64 20000000" BIGMAAC_TEMPLATE="$TMP/folder with spaces/a b.XXXXXXXXXXXX"
good gb "64 20000000" BIGMAAC_TEMPLATE="/tmp/../$TMP//folder/./XXXXXXXX"
cd "$TMP/folder" || exit 1
good gb "64 20000000" BIGMAAC_TEMPLATE=XXXXXXXX
good gb "64 20000000" BIGMAAC_TEMPLATE=../folder/swap.XXXXXXXX
bad BIGMAAC_TEMPLATE missing/swap.XXXXXXXX
mkdir "$TMP/gone"
cd "$TMP/gone" && rmdir "$TMP/gone" && bad BIGMAAC_TEMPLATE swap.XXXXXXXX
cd "$TMP" || exit 1

echo "== verbose"
with BIGMAAC_VERBOSE=1 BIGMAAC_MIN_BIGMAAC_SIZE=3M BIGMAAC_MIN_FRY_SIZE=77 SIZE_FRIES=5G SIZE_BIGMAAC=7G \
    BIGMAAC_PAGING=random BIGMAAC_FORK=copy BIGMAAC_RESERVE=0 BIGMAAC_RECYCLE=123456 "$TMP/kinds" 64 >"$TMP/out" 2>"$TMP/err"
for text in 3145728 77 $((5 << 30)) $((7 << 30)) random copy 123456 "$BIGMAAC_TEMPLATE" "reserve=0"; do
    grep -qF -- "$text" "$TMP/err" || fail "verbose does not tell $text: $(cat "$TMP/err")"
done
grep -vq '^bigmaac\[[0-9]*\]: ' "$TMP/err" && fail "verbose: $(cat "$TMP/err")"
[ "$(cat "$TMP/out")" = g ] || fail "verbose wrote to stdout: $(cat "$TMP/out")"
with BIGMAAC_VERBOSE=1 "$TMP/kinds" 64 2>&1 | grep -q 10485760 || fail "verbose does not tell the default"

echo "== as another user"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$TMP"
    cp "$LIB" "$TMP/bigmaac.so"
    nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups env LD_PRELOAD="$TMP/bigmaac.so" "$@"; }
    line=$(nobody BIGMAAC_TEMPLATE="$TMP/folder/XXXXXXXX" "$TMP/kinds" 20000000 2>&1)
    [[ $line == bigmaac\[*\]:\ "BIGMAAC_TEMPLATE=\"$TMP/folder/XXXXXXXX\": the folder is not writable; passing all requests through"*g ]] ||
        fail "a folder of somebody else's: $line"
    line=$(nobody BIGMAAC_TEMPLATE="/tmp/XXXXXXXX" "$TMP/kinds" 20000000 2>&1)
    [ "$line" = b ] || fail "as nobody in /tmp: $line"
fi

echo "== values that are awkward to print"
for value in "$TMP/$(printf '%01000d' 0)XXXXXX" $'10M\nsecond line'; do
    for name in BIGMAAC_TEMPLATE SIZE_FRIES; do
        line=$(with "$name=$value" "$TMP/kinds" 2>&1)
        [[ $(wc -l <<<"$line") = 1 && $line == bigmaac\[*\]:\ "$name="*"; passing all requests through" ]] ||
            fail "$name=\"${value:0:60}\"... is not told in one whole line: ${line:0:100}...${line: -100}"
    done
done

echo "== a read-only folder"
loop_mount ext4 8
mount -o remount,ro "$MOUNT" || fail "remount"
bad BIGMAAC_TEMPLATE "$MOUNT/XXXXXXXX"
