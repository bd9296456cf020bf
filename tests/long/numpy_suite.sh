#!/usr/bin/env bash
# numpy's own tests (Debian's package) without the library, with everything above 4 KiB as bigmaacs
# and above 64 B as fries, Python's objects included, and with the defaults: the same outcomes. Without half of the tests,
# which are about arithmetic with a few numbers at a time; with them: NUMPY_SUITE=all make test-long ONLY=numpy_suite
# timeout: 2700
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
need_python numpy pytest hypothesis
# Not: what compiles Fortran (f2py) or looks at the build (distutils).
modules="core lib linalg ma random"
arithmetic="umath umath_accuracy umath_complex simd simd_module scalarmath scalar_methods half longdouble print nep50_promotions
    casting_floatingpoint_errors"
folder=$($PYTHON -c 'import numpy, os; print(os.path.dirname(numpy.__file__))')
if [ "${NUMPY_SUITE:-}" = all ]; then
    modules="$modules fft matrixlib polynomial testing" arithmetic=""
fi
# shellcheck disable=SC2046
(cd "$TMP" && $PYTHON "$TOP/tests/suite.py" "$TMP" -m "not slow" \
    $(printf -- "--ignore=$folder/core/tests/test_%s.py " $arithmetic) $(printf "$folder/%s/tests " $modules)) || fail "the outcomes differ"
