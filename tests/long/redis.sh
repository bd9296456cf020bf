#!/usr/bin/env bash
# redis-server with everything above 4 KiB as bigmaacs and above 64 B as fries, and with the defaults:
# after the same load DEBUG DIGEST says what a plain server's says, also after redis-benchmark has
# come and gone, after a save and reload, and after a restart from the file.
# timeout: 1800
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
need redis-server; need redis-benchmark; need perl
cd "$TMP" || exit 1
# Every type, strings that grow, values of up to 2 MB, and a third of all of it deleted again.
perl -e '
    for my $i (1 .. 60000) {
        print "SET s$i ", "v$i" x ($i % 300), "x\n", "APPEND s", $i % 5000, " ", "a" x ($i % 90), "x\n";
        print "HSET h", $i % 300, " f$i ", $i * 7919, "\nZADD z", $i % 50, " ", $i * 31 % 1009, " m$i\n";
        print "RPUSH l", $i % 100, " ", "e$i" x ($i % 60), "x\nSADD u", $i % 70, " ", $i * $i, "\n";
        print "XADD x", $i % 9, " $i-1 k $i\nPFADD p", $i % 9, " $i\nDEL s", $i * 3, "\n";
        print "SETRANGE big", $i % 40, " ", $i * 131 % 2000000, " ", "b" x 50, "\n" if $i % 10 == 0;
        print "EVAL \"local t = {} for i = 1, 500 do t[i] = i .. ARGV[1] end redis.call(\x27SET\x27, KEYS[1], table.concat(t))\" 1 lua",
            $i % 500, " $i\n" if $i % 50 == 0;
    }' >load
ask() { redis-cli -s "$TMP/socket" "$@"; }
start() { # SETTING...: starts a server, which loads the file if there is one
    env "$@" redis-server --port 0 --unixsocket "$TMP/socket" --dir "$TMP" --save "" --enable-debug-command yes \
        --daemonize no >>log 2>&1 &
    server=$!
    for _ in $(seq 300); do
        [ "$(ask PING 2>/dev/null)" = PONG ] && return
        kill -0 $server 2>/dev/null || break
        sleep 0.1
    done
    fail "no server: $(tail log)"
}
stop() {
    ask SHUTDOWN NOSAVE
    wait $server || fail "redis-server ended with $?: $(tail log)"
}
trap 'kill $server 2>/dev/null' EXIT
same() { # WHEN: the digest is the plain server's
    local now
    now=$(ask DEBUG DIGEST)
    [ "$now" = "$plain" ] || fail "$settings: $1 the digest is $now, not $plain: $(tail log)"
}
benchmark() { # everything it has, with 50 clients; then all of that goes
    redis-benchmark -s "$TMP/socket" --dbnum 1 -n 30000 -r 20000 -d 300 -P 4 -q >benchmark 2>&1 || fail "$settings: redis-benchmark: $(tail benchmark)"
    [ "$(grep -c 'requests per second' benchmark)" -ge 15 ] || fail "$settings: $(tail benchmark)"
    ask -n 1 FLUSHDB >/dev/null
}
plain=""
for settings in "A=1" "LD_PRELOAD=$LIB BIGMAAC_STATS=1 BIGMAAC_MIN_BIGMAAC_SIZE=4K BIGMAAC_MIN_FRY_SIZE=64" \
    "LD_PRELOAD=$LIB BIGMAAC_STATS=1"; do
    rm -f dump.rdb log
    # shellcheck disable=SC2086
    start $settings
    ask --pipe <load >loaded 2>&1 && grep -q "errors: 0" loaded || fail "$settings: $(cat loaded)"
    if [ -z "$plain" ]; then
        plain=$(ask DEBUG DIGEST)
        [ ${#plain} = 40 ] && [ "$(ask DBSIZE)" -gt 40000 ] || fail "a plain server: $plain, $(ask DBSIZE) keys"
        stop
        continue
    fi
    grep -q bigmaac.so /proc/$server/maps || fail "the server is without the library"
    same "after the load"
    benchmark
    same "after redis-benchmark"
    [ "$(ask DEBUG RELOAD)" = OK ] || fail "$settings: DEBUG RELOAD: $(tail log)"
    same "after a reload"
    [ "$(ask SAVE)" = OK ] && stop
    redis-check-rdb dump.rdb >checked || fail "$settings: redis-check-rdb: $(tail checked)"
    # shellcheck disable=SC2086
    start $settings
    same "after a restart"
    stop
    grep 'bigmaac\[' log | grep -v ' stats ' && fail "$settings: complaints"
    case $settings in *FRY*) [ "$(stat_of fries log)" -gt 100000 ] || fail "hardly anything was swapped" ;; esac
done
exit 0
