# The model stress (tests/unit_stress.c): 100 million random operations in all, by several threads, with
# many settings, contents and structures checked, zero differences. A part runs with more data than its
# memory limit allows, so that it is paged, and a part under each sanitizer. Every run prints its seed.
# STRESS_OPERATIONS=... for fewer.
# timeout: 3800
. "$TOP/tests/lib.sh"
total=${STRESS_OPERATIONS:-100000000} done=0 number=0
build() { "$CC" -std=gnu11 -g -fno-builtin -I"$TOP" -I"$TOP/tests" -pthread -DBIGMAAC_PREFIX "${@:2}" \
    -o "$TMP/$1" "$TOP/tests/unit_stress.c" -lm -ldl || fail "compile"; }
build plain -O2
build asan -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
build tsan -O1 -fsanitize=thread
first=$(date +%s)000
run() { # OPERATIONS THREADS COMMAND...
    local operations=$1 threads=$2
    shift 2
    "$@" $((first + number)) "$operations" "$threads" || fail "status $?"
    echo "    at $SECONDS s"
    done=$((done + operations)) number=$((number + 1))
}
for threads in 1 2 3; do run $((total / 500)) $threads env ASAN_OPTIONS=detect_leaks=0 "$TMP/asan"; done
for threads in 2 3; do run $((total / 1000)) $threads setarch -R "$TMP/tsan"; done
while [ $done -lt $((total - total / 250 * 4)) ]; do run $((total / 20)) $((2 + number % 3)) "$TMP/plain"; done
for threads in 3 3 3 3; do run $((total / 250)) $threads limited $((96 << 20)) "$TMP/plain"; done
[ "$(cat "$TMP/peak")" -gt $((90 << 20)) ] || fail "nothing was paged: a peak of $(cat "$TMP/peak") bytes"
echo "$done operations, no difference"
