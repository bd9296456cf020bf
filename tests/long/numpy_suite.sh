#!/usr/bin/env bash
# numpy's own tests (Debian's package) without the library, with everything above 4 KiB as bigmaacs
# and above 64 B as fries, Python's objects included, and with the defaults: the same outcomes.
# timeout: 2700
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
need_python numpy pytest hypothesis
# Not: what compiles Fortran (f2py) or looks at the build (distutils).
modules="core fft lib linalg ma matrixlib polynomial random testing"
folder=$($PYTHON -c 'import numpy, os; print(os.path.dirname(numpy.__file__))')
# shellcheck disable=SC2046
(cd "$TMP" && $PYTHON "$TOP/tests/suite.py" "$TMP" -m "not slow" \
    $(printf "$folder/%s/tests " $modules)) || fail "the outcomes differ"
