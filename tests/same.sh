# The first test: the same output with and without the library, compared.
. "$TOP/tests/lib.sh"
need_python numpy
cat >"$TMP/job.py" <<'P'
import hashlib, numpy
a = numpy.arange(6_000_000, dtype=numpy.float64).reshape(2000, 3000)
b = numpy.zeros((2000, 3000))
b += a * 0.5
c = (a.T[:800] * b.T[:800]).sum(axis=1)
d = numpy.sort(numpy.random.default_rng(7).standard_normal(3_000_000))
for array in (a, b, c, d):
    print(array.shape, hashlib.sha256(array.tobytes()).hexdigest())
print(hashlib.sha256(bytes(bytearray(range(256)) * 200_000)).hexdigest())
P
$PYTHON "$TMP/job.py" >"$TMP/plain" || fail "the job itself"
for settings in "BIGMAAC_VERBOSE=0" "BIGMAAC_MIN_BIGMAAC_SIZE=1M" "BIGMAAC_MIN_FRY_SIZE=64" \
    "BIGMAAC_MIN_FRY_SIZE=64 BIGMAAC_MIN_BIGMAAC_SIZE=4K" "BIGMAAC_RESERVE=0" "BIGMAAC_RECYCLE=0"; do
    # shellcheck disable=SC2086
    with $settings $PYTHON "$TMP/job.py" >"$TMP/with" 2>"$TMP/err" || fail "$settings: exit status $?"
    cmp "$TMP/plain" "$TMP/with" || fail "$settings: the output differs"
    [ ! -s "$TMP/err" ] || fail "$settings: printed $(cat "$TMP/err")"
done
with BIGMAAC_STATS=1 $PYTHON "$TMP/job.py" >"$TMP/with" 2>"$TMP/err"
[ "$(stat_of bigmaacs "$TMP/err")" -gt 3 ] || fail "no bigmaacs were used: $(cat "$TMP/err")"
