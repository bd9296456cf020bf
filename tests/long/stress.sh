# The model stress for longer: random calls of all kinds by several threads, contents known, with
# paging under a memory limit, and under each sanitizer. Every run prints its seed.
# timeout: 1800
. "$TOP/tests/lib.sh"
build() { "$CC" -std=gnu11 -O1 -g -fno-builtin -I"$TOP" -I"$TOP/tests" -pthread -DBIGMAAC_PREFIX "${@:2}" \
    -o "$TMP/$1" "$TOP/tests/unit_stress.c" -ldl || fail "compile"; }
build plain -O2
build asan -fsanitize=address,undefined -fno-sanitize-recover=undefined
build tsan -fsanitize=thread
limited $((192 << 20)) "$TMP/plain" $RANDOM$RANDOM 60000 || fail "under a memory limit: status $?"
"$TMP/plain" $RANDOM$RANDOM 200000 || fail "plain: status $?"
ASAN_OPTIONS=detect_leaks=0 "$TMP/asan" $RANDOM$RANDOM 15000 || fail "ASan, UBSan: status $?"
setarch -R "$TMP/tsan" $RANDOM$RANDOM 15000 || fail "TSan: status $?"
