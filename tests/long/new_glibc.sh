#!/usr/bin/env bash
# A system younger than this one (Debian 13: glibc 2.41, gcc 14, Python 3.13; ubuntu.sh: another): the library that this machine
# built runs there, and the one that is built there. A fork in Python warns of several threads only where the program has some,
# and none of ours is one. Needs the system's mirror.
# timeout: 1500
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
debian "${SYSTEM:-trixie}" gcc,libc6-dev,make,python3-minimal ${MIRROR:+"$MIRROR"}
with_root() { inside LD_PRELOAD=/src/bigmaac.so timeout 200 "$@"; }
programs() { # WHOSE PROGRAM...
    local whose=$1 program
    shift
    for program in "$@"; do
        inside gcc -std=gnu11 -O1 -w -fno-builtin -I/src -I/src/tests -pthread -o "/src/$program" "/src/tests/$program.c" -lm -ldl ||
            fail "compile $program.c"
        with_root env BIGMAAC_MIN_BIGMAAC_SIZE=64K BIGMAAC_MIN_FRY_SIZE=128 "/src/$program" >"$TMP/out" 2>&1 ||
            fail "$whose, $program: status $?: $(tail -n 8 "$TMP/out")"
    done
}
mapfile -t all < <(basename -s .c "$TOP"/tests/api_*.c)
programs "this machine's library" "${all[@]}" fork_model fork_errno fork_descriptors fork_begin
# Where memory suffices none of our threads is in Python's way, not even for a block that was just freed.
cat >"$root/src/forks.py" <<'P'
import os, threading, warnings
warnings.simplefilter("always")
def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
block = bytearray(50 << 20)
for i in range(0, len(block), 4096):
    block[i] = 1
for i in range(5):
    fork()
    del block
    fork()
    block = bytearray(50 << 20)
print("done")
event = threading.Event()
thread = threading.Thread(target=event.wait)
thread.start()
fork() # this one must warn
event.set()
thread.join()
P
for settings in A=1 BIGMAAC_MIN_MMAP_SIZE=256K "BIGMAAC_MIN_FRY_SIZE=64 PYTHONMALLOC=malloc" BIGMAAC_FORK=copy; do
    # shellcheck disable=SC2086
    with_root env $settings BIGMAAC_STATS=1 python3 /src/forks.py >"$TMP/out" 2>"$TMP/err" || fail "$settings: status $?: $(cat "$TMP/err")"
    grep -q '^done' "$TMP/out" && grep -q 'stats bigmaacs=[1-9]' "$TMP/err" || fail "$settings: $(cat "$TMP/out" "$TMP/err")"
    [ "$(grep -c DeprecationWarning "$TMP/err")" = 1 ] || fail "$settings: warnings of threads: $(grep -A1 Warning "$TMP/err")"
done
inside sh /src/extras/bigmaac --check >"$TMP/out" 2>&1 || fail "--check: $(cat "$TMP/out")"
inside make -s -C /src -B bigmaac.so || fail "it does not compile there"
programs "its own library" api_family fork_model
exit 0
