#!/usr/bin/env bash
# The one line before the kernel kills a process for memory that we don't reach: it comes once, it names the setting that
# helps, and with that setting the job finishes. It does not come where our memory gives way, where nothing grows, or
# from every worker of a pool.
# timeout: 300
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_python json
M=1048576
lines() { grep -c 'bigmaac\[[0-9]*\]: memory is running out' "$TMP/err"; }
shown() { head -n 5 "$TMP/err" "$TMP/out"; }
job() { # BYTES COMMAND...: under a limit; 0: it succeeds, 1: it was killed for want of memory
    local bytes=$1 status
    shift
    limited "$bytes" env LD_PRELOAD="$LIB" "$@" >"$TMP/out" 2>"$TMP/err"
    status=$?
    [ $status != 77 ] || { cat "$TMP/out"; exit 77; }
    [ $status = 0 ] && return 0
    [ "$(cat "$TMP/oom")" != 0 ] || fail "status $status, and not killed: $* $(shown)"
    return 1
}
only_line() { # WHAT ADVICE: one line, in that form and nothing else
    [ "$(lines)" = 1 ] || fail "$1: $(lines) lines: $(shown)"
    grep -Eq "^bigmaac\[[0-9]+\]: memory is running out: [0-9]+[KM]? of [0-9]+M are left\. [0-9]+M of this process can't be paged out, beside [0-9]+[KM]? of bigmaacs and [0-9]+[KM]? of fries, which can; $2\$" "$TMP/err" ||
        fail "$1: another line than expected: $(shown)"
    grep 'bigmaac\[' "$TMP/err" | grep -v 'memory is running out' && fail "$1: it says more"
}
nothing() { [ ! -s "$TMP/err" ] || fail "$1: $(shown)"; }

cat >"$TMP/small.py" <<'PY'
import sys
objects = [{"n": i, "v": float(i)} for i in range(int(sys.argv[1]))]
print(len(objects), sum(o["n"] for o in objects))
PY
echo "== many small objects of Python's: it is killed, and the advice helps"
job $((100 * M)) "$PYTHON" "$TMP/small.py" 900000 && fail "the job fits into its limit: $(shown)"
only_line "Python" "PYTHONMALLOC=malloc BIGMAAC_MIN_FRY_SIZE=16 would reach Python's objects"
advice=$(sed -n 's/.*which can; \(PYTHON[^ ]* BIGMAAC[^ ]*\) .*/\1/p' "$TMP/err")
# shellcheck disable=SC2086
job $((100 * M)) $advice "$PYTHON" "$TMP/small.py" 900000 || fail "the advice doesn't help: $(shown)"
grep -qx '900000 404999550000' "$TMP/out" || fail "advice followed, wrong result: $(shown)"
nothing "advice followed"
job $((100 * M)) PYTHONMALLOC=malloc "$PYTHON" "$TMP/small.py" 900000 && fail "fits"
only_line "malloc" 'BIGMAAC_MIN_FRY_SIZE=128 \(or 16\) would reach what malloc gives out'
job $((100 * M)) PYTHONMALLOC=malloc BIGMAAC_MIN_FRY_SIZE=1M "$PYTHON" "$TMP/small.py" 900000 && fail "fits"
only_line "large fries" 'BIGMAAC_MIN_FRY_SIZE=128 \(or 16\) would reach what malloc gives out'

echo "== STRICT and VERBOSE"
job $((100 * M)) BIGMAAC_STRICT=1 "$PYTHON" "$TMP/small.py" 900000 && fail "fits"
only_line "strict" "PYTHONMALLOC=malloc BIGMAAC_MIN_FRY_SIZE=16 would reach Python's objects"
job $((100 * M)) BIGMAAC_VERBOSE=1 "$PYTHON" "$TMP/small.py" 900000 && fail "fits"
[ "$(lines)" = 1 ] && [ "$(grep -c 'bigmaac\[' "$TMP/err")" = 3 ] || fail "verbose: $(shown)"
with BIGMAAC_STRICT=1 BIGMAAC_MIN_FRY_SIZ=1 true 2>"$TMP/err"
[ $? = 2 ] || fail "a misspelt name with STRICT: $(cat "$TMP/err")"

echo "== the limit is a parent group's"
outer=/sys/fs/cgroup/memory/$TEST_ID-outer
mkdir -p "$outer/inner" && echo $((100 * M)) >"$outer/memory.limit_in_bytes"
# shellcheck disable=SC2016
with sh -c 'echo $$ >"$0/inner/cgroup.procs"; exec "$@"' "$outer" "$PYTHON" "$TMP/small.py" 900000 >"$TMP/out" 2>"$TMP/err"
status=$?
for _ in 1 2 3 4 5 6 7 8 9 10; do rmdir "$outer/inner" "$outer" 2>/dev/null && break; sleep 0.2; done
[ $status = 137 ] || fail "parent group: status $status: $(shown)"
only_line "parent group" "PYTHONMALLOC=malloc BIGMAAC_MIN_FRY_SIZE=16 would reach Python's objects"
grep -q ' of 100M are left' "$TMP/err" || fail "parent group: another limit: $(shown)"

echo "== no danger: memory of ours, page cache, much that doesn't grow"
cat >"$TMP/fits.py" <<'PY'
import os, sys, time
kind, size = sys.argv[1], int(sys.argv[2]) << 20
if kind == "large":
    data = bytearray(size)
    for at in range(0, size, 4096):
        data[at] = 1
elif kind == "cache":
    with open(sys.argv[3], "wb") as f:
        for _ in range(size >> 20):
            f.write(bytes(1 << 20))
    with open(sys.argv[3], "rb") as f:
        while f.read(1 << 20):
            pass
    os.unlink(sys.argv[3])
else:
    data = [bytes(1000) for _ in range(size // 1040)]
    time.sleep(float(sys.argv[3]))
print("threads", len(os.listdir("/proc/self/task")))
PY
job $((100 * M)) "$PYTHON" "$TMP/fits.py" large 250 || fail "a large block: $(shown)"
nothing "a large block"
job $((100 * M)) "$PYTHON" "$TMP/fits.py" cache 250 "$TMP/file" || fail "page cache: $(shown)"
nothing "page cache"
job $((100 * M)) "$PYTHON" "$TMP/fits.py" small 50 0 || fail "half of the limit: $(shown)"
nothing "half of the limit"
grep -qx 'threads 1' "$TMP/out" || fail "half of the limit: a process in no danger has a thread: $(shown)"
job $((100 * M)) "$PYTHON" "$TMP/fits.py" small 72 8 || fail "most of the limit: $(shown)"
nothing "most of the limit"
grep -qx 'threads 1' "$TMP/out" || fail "nothing has grown for long, and the thread is there: $(shown)"

echo "== a program that only maps; one with a bigmaac, which is killed for its small blocks; one with shared memory"
cat >"$TMP/takes.c" <<'C'
#include "sys_blocks.h"
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv) /* takes ring|map|pieces|executable|brk|lisp|small|shared MIB */
{
    size_t mib = 1 << 20, most = strtoul(argv[argc - 1], NULL, 10);
    char *big = argv[1][1] == 'm' ? malloc(16 * mib) : NULL;
    if (big)
        memset(big, 1, 16 * mib);
    const int all = PROT_READ | PROT_WRITE | PROT_EXEC; /* as SBCL maps its heap */
    char *heap = argv[1][0] == 'e' ? mmap(NULL, most * mib, all, MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE, -1, 0) : NULL;
    int ring = argv[1][0] == 'r', parameters[30] = {0};
    if (ring && syscall(425, 4, parameters) < 0) /* io_uring_setup */
        return 77;
    int lisp = argv[1][0] == 'l', breaks = lisp || argv[1][0] == 'b'; /* lisp: as GCL */
    CHECK(!lisp || personality(READ_IMPLIES_EXEC) != -1);
    for (size_t i = 0; i < most; i++) {
        usleep(heap || ring ? 5000 : 0);
        for (int n = 0; breaks && n < 128; n++) {
            char *p = sbrk(8192);
            CHECK(p != (char *)-1);
            memset(p, 1, 8192);
        }
        if (breaks)
            continue;
        if (big) {
            for (int n = 0; n < 1024; n++)
                memset(opaque(malloc(1000)), 1, 1000);
            continue;
        }
        size_t piece = argv[1][0] == 'p' ? mib / 16 : mib; /* as CLISP and Ruby map theirs */
        for (size_t at = 0; at < mib; at += piece) {
            char *p = heap ? heap + i * mib : mmap(NULL, piece, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | (argv[1][0] == 's' ? MAP_SHARED : MAP_PRIVATE), -1, 0);
            CHECK(p != MAP_FAILED);
            memset(p, 1, piece);
        }
    }
    puts("survived");
    return check_result();
}
C
compile_c "$TMP/takes" "$TMP/takes.c"
for kind in map brk small shared; do
    job $((100 * M)) "$TMP/takes" $kind 200 && fail "$kind: fits: $(shown)"
    advice='BIGMAAC_MIN_FRY_SIZE=128 \(or 16\) would reach what malloc gives out'
    [ $kind != map ] && [ $kind != brk ] || advice='BIGMAAC_MIN_MMAP_SIZE=1M would reach what it maps itself'
    only_line "$kind" "$advice"
    job $((100 * M)) "$TMP/takes" $kind 50 || fail "$kind: $(shown)"
    nothing "$kind, half of the limit"
done
job $((100 * M)) BIGMAAC_MIN_FRY_SIZE=16 "$TMP/takes" shared 200 && fail "shared: fits: $(shown)"
only_line "fries don't help" 'no setting reaches that'
job $((100 * M)) BIGMAAC_MIN_MMAP_SIZE=1M "$TMP/takes" map 200 || fail "the advice doesn't help: $(shown)"
nothing "mapped memory"
for least in 0 256K; do
    job $((100 * M)) BIGMAAC_MIN_MMAP_SIZE=$least "$TMP/takes" pieces 200 && fail "pieces: fits: $(shown)"
    only_line "pieces, $least" 'BIGMAAC_MIN_MMAP_SIZE=64K would reach what it maps itself'
done
job $((100 * M)) BIGMAAC_MIN_MMAP_SIZE=64K "$TMP/takes" pieces 200 || fail "the advice doesn't help: $(shown)"
nothing "pieces"
if "$TMP/takes" ring 1 >"$TMP/out"; then
    job $((100 * M)) BIGMAAC_MIN_MMAP_SIZE=1M "$TMP/takes" ring 200 && fail "ring: fits: $(shown)"
    only_line "ring" "what it maps can't be moved while something writes there by itself \\(io_uring, libaio, a device\\)"
else
    echo "left out: this machine can't do io_uring"
fi
job $((100 * M)) BIGMAAC_MIN_MMAP_SIZE=1M "$TMP/takes" executable 200 && fail "executable: fits: $(shown)"
only_line "executable" 'no setting reaches what it maps as executable'
job $((100 * M)) BIGMAAC_MIN_MMAP_SIZE=1M "$TMP/takes" brk 200 || fail "the advice doesn't help: $(shown)"
nothing "brk"
for least in 0 1M; do
    job $((100 * M)) BIGMAAC_MIN_MMAP_SIZE=$least "$TMP/takes" lisp 200 && fail "lisp: fits: $(shown)"
    only_line "lisp, $least" 'no setting reaches what it maps as executable'
done
job $((100 * M)) BIGMAAC_MIN_FRY_SIZE=128 "$TMP/takes" small 200 || fail "the advice doesn't help: $(shown)"
nothing "small blocks as fries"

echo "== once, however often"
cat >"$TMP/twice.py" <<'PY'
import time
for _ in range(3):
    data = [bytes(1000) for _ in range(88 * 1024)]
    time.sleep(1.5)
    del data
print("done")
PY
job $((100 * M)) BIGMAAC_STATS="$TMP/stats" "$PYTHON" "$TMP/twice.py" || fail "twice: $(shown)"
only_line "twice" "PYTHONMALLOC=malloc BIGMAAC_MIN_FRY_SIZE=16 would reach Python's objects"
cat "$TMP"/stats.* >"$TMP/told"
[ "$(stat_of told "$TMP/told")" = 1 ] && [ "$(stat_of outside "$TMP/told")" -gt $((85 * M)) ] &&
    [ "$(stat_of outside_limit "$TMP/told")" = $((100 * M)) ] || fail "the statistics: $(cat "$TMP/told")"

echo "== pools"
cat >"$TMP/pool.py" <<'PY'
import multiprocessing, os, sys, time
def work(i):
    mine = [{i: i} for i in range(int(sys.argv[3]) << 12)]
    time.sleep(3)
    return len(mine)
if __name__ == "__main__":
    shared = [{i: i} for i in range(int(sys.argv[2]) << 12)]
    context = multiprocessing.get_context(sys.argv[1])
    workers = [context.Process(target=work, args=(i,)) for i in range(20)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    print("done")
PY
job $((200 * M)) "$PYTHON" "$TMP/pool.py" fork 60 12
[ "$(lines)" = 1 ] || fail "a pool that shares data: $(lines) lines: $(shown)"
job $((200 * M)) "$PYTHON" "$TMP/pool.py" fork 4 12
[ "$(lines)" = 0 ] || fail "a pool of small workers: $(shown)"
exit 0
