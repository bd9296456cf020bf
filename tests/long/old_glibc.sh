# A system whose pthreads and dlsym are libraries of their own (Debian 11, glibc 2.31): the library that this
# machine built runs there, and the one that is built there runs here. Needs Debian's mirror.
# timeout: 2700
. "$TOP/tests/lib.sh"
debian bullseye gcc,libc6-dev,make,python3-minimal
settings="BIGMAAC_MIN_BIGMAAC_SIZE=64K BIGMAAC_MIN_FRY_SIZE=128"
for program in api_family api_realloc api_threads api_early fork_model fork_threads; do
    inside gcc -std=gnu11 -O1 -w -fno-builtin -I/src -I/src/tests -pthread -o /src/program "/src/tests/$program.c" -lm -ldl ||
        fail "compile $program.c"
    # shellcheck disable=SC2086
    inside LD_PRELOAD=/src/bigmaac.so $settings timeout 200 /src/program >"$TMP/out" 2>&1 ||
        fail "$program: status $?: $(tail -n 8 "$TMP/out")"
done
# shellcheck disable=SC2086
inside LD_PRELOAD=/src/bigmaac.so BIGMAAC_STATS=1 python3 -c '
import threading
threading.Thread(target=lambda: bytearray(50 << 20)).start()' 2>"$TMP/out" || fail "$(cat "$TMP/out")"
grep -q 'stats bigmaacs=1 ' "$TMP/out" || fail "$(cat "$TMP/out")"
inside sh /src/extras/bigmaac --check >"$TMP/out" 2>&1 || fail "--check: $(cat "$TMP/out")"
inside make -s -C /src -B bigmaac.so CFLAGS='-O2 -g -Werror' || fail "it does not compile there"
env LD_PRELOAD="$root/src/bigmaac.so" BIGMAAC_STATS=1 $PYTHON -c 'bytearray(50 << 20)' 2>"$TMP/out" ||
    fail "$(cat "$TMP/out")"
grep -q 'stats bigmaacs=1 ' "$TMP/out" || fail "$(cat "$TMP/out")"
exit 0
