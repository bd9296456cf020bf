# The main job: a numpy matrix much larger than the memory limit is filled, summed, scaled and
# sliced, and every digit is what it is without a limit and without the library.
. "$TOP/tests/lib.sh"
need_python numpy
cat >"$TMP/job.py" <<'P'
import numpy
rows, columns = 12700, 12800                      # 1.3 GB of float64
matrix = numpy.zeros((rows, columns))
generator = numpy.random.default_rng(11)
for i in range(0, rows, 500):
    part = matrix[i:i + 500]
    part[:] = generator.standard_normal(part.shape)
print("sum", repr(matrix.sum()), repr(matrix.sum(axis=1)[::1000]))
matrix *= 1.5
matrix += 0.25
print("scaled", repr(matrix.sum()), repr(matrix.min()), repr(matrix.max()))
print("columns", repr(matrix[:, 7::3000].sum(axis=0)))
print("slice", repr(matrix[100:12000:400, 5:12000:2000].round(9)))
print("reversed", repr(matrix[::-1][:3, ::-3000]))
half = matrix[:4000].copy()
print("product", repr((half[:50] @ half[50:100].T).trace()), repr(half.std()))
P
export OPENBLAS_NUM_THREADS=1
LIMIT=$((512 * 1048576))
$PYTHON "$TMP/job.py" >"$TMP/plain" || fail "the job itself"
limited $LIMIT env LD_PRELOAD="$LIB" $PYTHON "$TMP/job.py" >"$TMP/with" 2>"$TMP/err" ||
    fail "under the limit: exit status $? with: $(cat "$TMP/err")"
[ "$(cat "$TMP/oom")" = 0 ] || fail "the kernel killed something"
[ ! -s "$TMP/err" ] || fail "printed $(cat "$TMP/err")"
cmp "$TMP/plain" "$TMP/with" || fail "the digits differ"
limited $LIMIT $PYTHON "$TMP/job.py" >/dev/null 2>&1
[ "$(cat "$TMP/oom")" = 1 ] || fail "without the library it survived: the limit limits nothing"
