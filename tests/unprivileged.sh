#!/usr/bin/env bash
# As a new user: nobody, no_new_privs, no capability, no control group of his own. Builds from a
# fresh copy, and uses the launcher and the library; every message says what to do next.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need_root; need setpriv; need make; need_python ctypes
chmod 755 "$TMP"
home=$TMP/home
mkdir "$home" "$home/src" "$home/swap"
(cd "$TOP" && tar -cf - --exclude=./build --exclude=./.git --exclude=./bigmaac.so .) | tar -xf - -C "$home/src" || fail "copy"
chown -R 65534:65534 "$home"
cd "$home/src" || fail "cd"
as_nobody() {
    env -i PATH=/usr/bin:/bin HOME="$home" setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs \
        --bounding-set=-all --inh-caps=-all "$@"
}
as_nobody sh -c 'test "$(id -u)" = 65534 && grep -q "^NoNewPrivs:.1" /proc/self/status && grep -q "^CapEff:.0*$" /proc/self/status' ||
    skip "this machine can't drop privileges"
as_nobody make -s CC="$CC" >"$TMP/log" 2>&1 || fail "make: $(tail -n 5 "$TMP/log")"

as_nobody ./extras/bigmaac --check --dir "$home/swap" >"$TMP/out" 2>"$TMP/err" || fail "--check: $(cat "$TMP/out" "$TMP/err")"
[ ! -s "$TMP/err" ] || fail "--check complains: $(cat "$TMP/err")"
grep -q "^swap folder  *$home/swap (--dir)" "$TMP/out" || fail "--check: $(cat "$TMP/out")"
grep -q '^memory limit' "$TMP/out" || fail "--check: $(cat "$TMP/out")"

# The job: fill, read back, resize, fork; as fries too.
cat >"$home/job.py" <<'END'
import os
a = bytearray(os.urandom(1 << 20)) * 64
b = bytes(a)
c = [bytes([i & 255]) * 700 for i in range(50000)]
a += b
pid = os.fork()
if pid == 0:
    a[5] = (a[5] + 1) & 255
    os._exit(0 if b[:1 << 20] == a[64 << 20:65 << 20] else 1)
assert os.waitpid(pid, 0)[1] == 0
assert a[:64 << 20] == b and a[64 << 20:] == b
assert all(c[i] == bytes([i & 255]) * 700 for i in range(50000))
END
as_nobody ./extras/bigmaac --dir "$home/swap" --fries 128 --stats "$PYTHON" "$home/job.py" >"$TMP/out" 2>"$TMP/err" ||
    fail "job: $(cat "$TMP/out" "$TMP/err")"
[ "$(stat_of bigmaac_peak "$TMP/err")" -ge $((192 << 20)) ] && [ "$(stat_of fries "$TMP/err")" -ge 50000 ] || fail "job: $(cat "$TMP/err")"
grep -q fell_through "$TMP/err" && fail "job: $(cat "$TMP/err")"
as_nobody ./extras/bigmaac --dir "$home/swap" "$PYTHON" "$home/job.py" 2>"$TMP/err" || fail "plain job"
[ ! -s "$TMP/err" ] || fail "a normal run printed: $(cat "$TMP/err")"

# --top of one's own process; of root's it is told.
as_nobody ./extras/bigmaac --dir "$home/swap" "$PYTHON" -c '
import os, sys, time
x = bytearray(b"x") * (32 << 20); open(sys.argv[1] + "/ready", "w")
while os.path.exists(sys.argv[1] + "/ready"): time.sleep(0.1)' "$home" & job=$!
until_ready test -e "$home/ready" || fail "the job does not begin"
inner=$(pgrep -P $job || echo $job)
as_nobody ./extras/bigmaac --top --once >"$TMP/out" 2>"$TMP/err" || fail "--top: $(cat "$TMP/err")"
grep -Eq "^ *($job|$inner) python3 +1 +32M +32M " "$TMP/out" || fail "--top: $(cat "$TMP/out")"
as_nobody ./extras/bigmaac --top --once 1 2>"$TMP/err"; [ $? = 125 ] || fail "--top of root's: status $?"
grep -q "is another user's; run this as" "$TMP/err" || fail "--top of root's: $(cat "$TMP/err")"
rm "$home/ready"
wait $job || fail "job under --top"

# Folders that he may not use.
mkdir -m 755 "$TMP/roots"
as_nobody ./extras/bigmaac --dir "$TMP/roots" true 2>"$TMP/err"; [ $? = 125 ] || fail "root's folder: status $?"
grep -q 'user nobody may not make files in it; choose another' "$TMP/err" || fail "root's folder: $(cat "$TMP/err")"
as_nobody env LD_PRELOAD="$home/src/bigmaac.so" BIGMAAC_TEMPLATE="$TMP/roots/x.XXXXXX" "$PYTHON" -c 'x = bytearray(20 << 20)' 2>"$TMP/err" ||
    fail "root's folder, without the launcher"
grep -q 'BIGMAAC_TEMPLATE="'"$TMP/roots/x.XXXXXX"'": the folder is not writable; passing all requests through' "$TMP/err" ||
    fail "root's folder, without the launcher: $(cat "$TMP/err")"
as_nobody make -s install PREFIX="$home/.local" >"$TMP/log" 2>&1 || fail "install: $(cat "$TMP/log")"
as_nobody "$home/.local/bin/bigmaac" --dir "$home/swap" true || fail "installed"
[ -z "$(ls -A "$home/swap")" ] || fail "left in the swap folder: $(ls "$home/swap")"
exit 0
