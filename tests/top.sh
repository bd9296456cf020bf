#!/usr/bin/env bash
# --top for people, in terminals of 80x24 and 200x50: what pages comes first, the header stays on the screen,
# the group's limit is there, ? explains, q ends, and the terminal is as it was.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need tmux; need numfmt; need_python mmap
export SHELL=/bin/sh # tmux starts it; a user's may be nologin
cat >"$TMP/many.py" <<'END'
import os, sys, time
for i in range(40):
    if os.fork() == 0:
        x = bytearray((20 + i) << 20)
        time.sleep(3000)
        os._exit(0)
print("ready", flush=True)
time.sleep(3000)
END
# Reads a file of its own, over and over, past the cache: not paging.
cat >"$TMP/reader.py" <<'END'
import os, sys, time
x = bytearray(70 << 20)
f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(f, bytes(8 << 20)); os.fsync(f)
while True:
    os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED)
    os.lseek(f, 0, 0)
    while os.read(f, 1 << 20): pass
    time.sleep(0.02)
END
# Pages: 200 MiB, of which each page is wanted from disk again and again.
cat >"$TMP/pager.py" <<'END'
import ctypes, mmap
x = bytearray(b"x") * (33 << 20)
libc = ctypes.CDLL(None)
at = ctypes.addressof(ctypes.c_char.from_buffer(x)) & -4096
while True:
    libc.msync(ctypes.c_void_p(at), len(x) - 4096, 4)
    libc.syscall(28, ctypes.c_void_p(at), ctypes.c_size_t(len(x) - 4096), 21)
    sum(x[::4096])
END
jobs=()
job() { exec env LD_PRELOAD="$LIB" BIGMAAC_MIN_BIGMAAC_SIZE=10M "$PYTHON" "$@"; }
trap 'tmux -L "$TEST_ID" kill-server 2>/dev/null; kill "${jobs[@]}" 2>/dev/null; wait 2>/dev/null' EXIT
(trap 'kill 0' TERM; set -m; job "$TMP/many.py" >"$TMP/ready") & jobs+=($!)
until_ready grep -q ready "$TMP/ready"
many=$(pgrep -f "$TMP/many.py" | tr '\n' ' ')
# shellcheck disable=SC2206
jobs+=($many)
[ "${#jobs[@]}" -ge 41 ] || fail "forty processes did not start: $many"
(cd "$TMP" && job "$TMP/reader.py" file) & reader=$!; jobs+=("$reader")
if [ "$(id -u)" = 0 ] && [ -d /sys/fs/cgroup/memory ]; then
    group=/sys/fs/cgroup/memory/$TEST_ID-top
    mkdir "$group" && echo $((500 << 20)) >"$group/memory.limit_in_bytes"
    trap 'tmux -L "$TEST_ID" kill-server 2>/dev/null; kill "${jobs[@]}" 2>/dev/null; wait 2>/dev/null; sleep 0.3; rmdir "$group"' EXIT
else
    group=/dev/null
fi
(echo $BASHPID >"$group/cgroup.procs" 2>/dev/null; job "$TMP/pager.py") & pager=$!; jobs+=("$pager")

screen() { tmux -L "$TEST_ID" capture-pane -p -t top >"$TMP/screen"; }
# until_shown COMMAND...: it is true of the screen; false after 200 s.
until_shown() { for _ in $(seq 400); do screen; "$@" && return; sleep 0.5; done; return 1; }
until_screen() { # PATTERN
    until_shown grep -Eq -- "$1" "$TMP/screen" || fail "the screen has no \"$1\": $(cat "$TMP/screen")"
}
row_of() { grep -n "^ *$1 " "$TMP/screen" | cut -d: -f1; }
# What pages most comes first: at first that may be who filled his memory last, where the machine is busy.
is_first() { [ "$(row_of "$1")" = "$(($(grep -n '^    PID' "$TMP/screen" | cut -d: -f1) + 1))" ]; }
until_first() { # PID
    until_shown is_first "$1" || fail "what pages is not first: $(cat "$TMP/screen")"
}
open_top() { # COLUMNS LINES
    tmux -L "$TEST_ID" -f /dev/null new-session -d -s top -x "$1" -y "$2" "stty -a >$TMP/before; sh $TOP/extras/bigmaac --top $pids; stty -a >$TMP/after"
}
# Others on this machine may use the library, too: these are looked at by name. One has no blocks.
(exec env LD_PRELOAD="$LIB" sleep 3000) & idle=$!; jobs+=("$idle")
# --top refuses what has not begun: no program with the library yet, or no block.
for pid in $reader $pager; do until_ready grep -q '(deleted)' "/proc/$pid/maps"; done
until_ready grep -q bigmaac.so "/proc/$idle/maps"
pids="$many $reader $pager"
for size in "80 24" "200 50"; do
    # shellcheck disable=SC2086
    open_top $size
    until_screen "^ *$pager .* [0-9.]+[KMG] +[0-9.]+[BKMG] +[a-z]+ *\$"
    until_first $pager
    echo "== $size"; cat "$TMP/screen"
    head -n 1 "$TMP/screen" | grep -Eq '^43 processes: [0-9.]+G on disk, .* in memory; paging [0-9.]+[KMG]/s in' || fail "no header: $(cat "$TMP/screen")"
    grep -q '^    PID COMMAND ' "$TMP/screen" || fail "the header is not on the screen"
    grep -Eq '^memory of the machine: [0-9.]+G of ' "$TMP/screen" || fail "no memory"
    [ "$group" = /dev/null ] || grep -Eq "^memory of $pager's group: [0-9.]+[KM] of 500M \(cgroup v1, /$TEST_ID-top\)" "$TMP/screen" || fail "no group"
    [ "${size% *}" = 80 ] && { grep -Eq 'and [0-9]+ more that page less' "$TMP/screen" || fail "no word of the others"; }
    [ "${size% *}" = 80 ] || grep -q "python3 $TMP/reader.py file" "$TMP/screen" || fail "no command lines: $(cat "$TMP/screen")"
    ! grep -qi 'cannot open\|no such\|syntax' "$TMP/screen" || fail "complaints: $(cat "$TMP/screen")"
    tmux -L "$TEST_ID" send-keys -t top '?'
    until_screen '^IN/s, OUT/s  *what paging reads and writes'
    ! awk -v wide="${size% *}" 'length > wide { exit 1 }' "$TMP/screen" && fail "wider than the screen"
    grep -q 'Keys: . this text, q ends' "$TMP/screen" || fail "the explanation is cut: $(cat "$TMP/screen")"
    tmux -L "$TEST_ID" send-keys -t top q
    until_ready test -s "$TMP/after"
    cmp "$TMP/before" "$TMP/after" || fail "the terminal is not as it was"
    rm "$TMP/after"
    tmux -L "$TEST_ID" kill-server 2>/dev/null
done
sh "$TOP/extras/bigmaac" --top --once >"$TMP/out" 2>"$TMP/err" || fail "$(cat "$TMP/err")"
grep -q "^ *$pager python3" "$TMP/out" || fail "--top of all lacks $pager: $(cat "$TMP/out")"
! grep -q "^ *$idle " "$TMP/out" && head -n 1 "$TMP/out" | grep -Eq '; [0-9]+ with?o?u?t?$' || fail "a process without blocks: $(cat "$TMP/out")"
[ ! -s "$TMP/err" ] || fail "$(cat "$TMP/err")"
# A process that reads a file of its own doesn't page; that it reads at all, the kernel tells.
grep -q '^read_bytes: [1-9][0-9]\{7\}' "/proc/$reader/io" || skip "this machine can't: it does not count what is read; the rest passed"
read_bytes() { sed -n 's/^read_bytes: //p' "/proc/$reader/io"; }
before=$(read_bytes) began=$(date +%s%N)
sh "$TOP/extras/bigmaac" --top --once $reader >"$TMP/out" 2>"$TMP/err" || fail "$(cat "$TMP/err")"
own=$((($(read_bytes) - before) * 1000 / (($(date +%s%N) - began) / 1000000 + 1)))
[ $own -gt $((1 << 20)) ] || skip "this machine can't: the file was not read from the disk; the rest passed"
rate=$(awk -v pid=$reader '$1 == pid { print $9 }' "$TMP/out" | numfmt --from=iec --suffix=B 2>/dev/null | tr -d B)
# Kernels read ahead of read(), so that a little may be left over.
[ $((${rate:-$own} * 4)) -lt $own ] || fail "of its own reading, $own bytes a second, too much counts as paging: $(cat "$TMP/out")"
exit 0
