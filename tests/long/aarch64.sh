# The other architecture: the library and its tests compiled for aarch64, where pages of 64 KiB are
# assumed and loads need an order, and run by qemu's user mode. That is qemu 7.2's: it has no fork
# beside threads (an assertion of its own fails), no PR_SET_CHILD_SUBREAPER, and needs minutes for
# the default reservation of a terabyte; hence the smaller regions and only some of the fork tests.
# timeout: 1500
. "$TOP/tests/lib.sh"
CC=aarch64-linux-gnu-gcc
need $CC; need qemu-aarch64
[ -e /usr/aarch64-linux-gnu/lib/libc.so.6 ] || skip "needs libc6-dev-arm64-cross"
export SIZE_FRIES=8G SIZE_BIGMAAC=16G

mkdir "$TMP/src" && cp "$TOP/bigmaac.c" "$TOP/bigmaac.h" "$TOP/Makefile" "$TMP/src"
make -C "$TMP/src" CC=$CC CFLAGS="-O2 -g -Werror" || fail "it does not compile without warnings"
build() { compile_c "$TMP/${1%.c}" "$TOP/tests/$1" -O1 -w -fno-builtin "${@:2}" -lm -ldl; }
# native PROGRAM ARGUMENT...; preloaded "SETTINGS" PROGRAM ARGUMENT...
native() { timeout 100 qemu-aarch64 -L /usr/aarch64-linux-gnu "$TMP/$1" "${@:2}" || fail "$*: status $?"; }
preloaded() {
    local settings=$1 status options=(-E "LD_PRELOAD=$TMP/src/bigmaac.so")
    for setting in $settings; do options+=(-E "$setting"); done
    timeout 100 qemu-aarch64 -L /usr/aarch64-linux-gnu "${options[@]}" "$TMP/$2" "${@:3}" >"$TMP/out" 2>&1
    status=$?
    [ $status = 0 ] || fail "$*: status $status: $(tail -n 8 "$TMP/out")"
    echo "$SECONDS s: $*"
}
for unit in unit_config unit_extent unit_stress; do # at -O1: where GCC 12 needs help, see quick_flush
    build $unit.c -DBIGMAAC_PREFIX
    native $unit 1 100000 1
done
for program in api_early api_family api_realloc api_threads fork_madvise; do build $program.c; done
for program in api_family api_realloc; do
    preloaded A=1 $program
    preloaded BIGMAAC_MIN_BIGMAAC_SIZE=4K $program
    preloaded "BIGMAAC_MIN_FRY_SIZE=64 BIGMAAC_MIN_BIGMAAC_SIZE=1M" $program
done
preloaded "BIGMAAC_MIN_FRY_SIZE=64 BIGMAAC_MIN_BIGMAAC_SIZE=1M" api_early
preloaded "BIGMAAC_MIN_FRY_SIZE=64 BIGMAAC_MIN_BIGMAAC_SIZE=1M" api_threads
for mode in private copy; do
    preloaded "FORK_TEST_INNER=1 BIGMAAC_FORK=$mode BIGMAAC_RECYCLE=0 BIGMAAC_MIN_BIGMAAC_SIZE=256K BIGMAAC_MIN_FRY_SIZE=64" fork_madvise
done
exit 0
