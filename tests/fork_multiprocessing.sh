#!/usr/bin/env bash
# Python's multiprocessing, fork context: workers read and write an inherited numpy array while
# the parent and their siblings write to it too; each must see only what fork promises.
# BIGMAAC_TEST_MB: size of the array (256; tests/long takes 1024).
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need_python numpy
cat >"$TMP/job.py" <<'END'
import ctypes, multiprocessing, os, sys
import numpy as np

mib, workers = int(sys.argv[1]), 4
words = mib << 17
step = words // workers
context = multiprocessing.get_context("fork")
STEP = np.int64(0x9e3779b97f4a7c1)

def expected(first, count):
    return np.arange(first, first + count, dtype=np.int64) * STEP

data = np.empty(words, dtype=np.int64)
for first in range(0, words, 1 << 20):
    data[first:first + (1 << 20)] = expected(first, 1 << 20)
library = ctypes.CDLL(None)
assert library.bigmaac_kind(ctypes.c_void_p(data.ctypes.data)) == 1, "the array is no bigmaac"

def differences(array, first, last):
    wrong = 0
    for at in range(first, last, 1 << 20):
        n = min(1 << 20, last - at)
        wrong += int(np.count_nonzero(array[at:at + n] != expected(at, n)))
    return wrong

def work(number, barrier, results):
    wrong = differences(data, 0, words)                 # what was there at the fork
    barrier.wait()                                      # all write at the same time
    first = number * step
    data[first:first + step] = -number - 1
    data[number::512] = number                          # and to everybody's pages
    barrier.wait()
    mine = data[first:first + step]
    here = np.arange(first, first + step)
    wrong += int(np.count_nonzero(mine != np.where(here % 512 == number, number, -number - 1)))
    for other in range(workers):
        if other != number:
            at = other * step
            part, index = data[at:at + step], np.arange(at, at + step)
            wrong += int(np.count_nonzero(part != np.where(index % 512 == number, number, expected(at, step))))
    fresh = np.full(step, number)                       # a bigmaac of the worker's own
    wrong += int(np.count_nonzero(fresh != number))
    results.put((number, wrong, fresh[:1 << 21]))       # 16 MiB through a pipe

barrier, results = context.Barrier(workers + 1, timeout=300), context.Queue()
processes = [context.Process(target=work, args=(n, barrier, results), daemon=True) for n in range(workers)]
for p in processes:
    p.start()
data[7::512] = -77                                      # the parent writes while they read
barrier.wait()
barrier.wait()
for _ in processes:
    number, wrong, fresh = results.get(timeout=300)
    assert wrong == 0, f"worker {number}: {wrong} words differ"
    assert fresh.size == min(step, 1 << 21) and (fresh == number).all()
for p in processes:
    p.join()
    assert p.exitcode == 0, p.exitcode
assert (data[7::512] == -77).all()
data[7::512] = (np.arange(words, dtype=np.int64) * STEP)[7::512]
wrong = differences(data, 0, words)
assert wrong == 0, f"the parent: {wrong} words differ"

def squares(first):
    return int((data[first:first + 1000] % 1000).sum())
with context.Pool(2) as pool:                           # a pool forks again from the changed parent
    firsts = list(range(0, words - 1000, words // 50))
    assert pool.map(squares, firsts) == [squares(f) for f in firsts]
print("done")
END
for mode in private copy; do
    out=$(with BIGMAAC_FORK=$mode BIGMAAC_STATS=1 timeout -k 5 600 "$PYTHON" "$TMP/job.py" "${BIGMAAC_TEST_MB:-256}" 2>"$TMP/err") ||
        fail "$mode: status $?: $(tail -n 20 "$TMP/err")"
    [ "$out" = "done" ] || fail "$mode: $out"
    # Workers leave without running destructors: the one summary is the parent's.
    grep -q fell_through "$TMP/err" && fail "$mode: $(cat "$TMP/err")"
    [ "$(stat_of bigmaac_peak "$TMP/err")" -ge $((${BIGMAAC_TEST_MB:-256} << 20)) ] || fail "$mode: $(cat "$TMP/err")"
done
exit 0
