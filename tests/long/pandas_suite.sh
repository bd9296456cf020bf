#!/usr/bin/env bash
# pandas' own groupby and merge tests (Debian's package) without the library, with everything above
# 4 KiB as bigmaacs and above 64 B as fries, Python's objects included, and with the defaults: the
# same outcomes. Without three files that have more than half of the tests, each a few rows with other arguments; with them:
# PANDAS_SUITE=all make test-long ONLY=pandas_suite
# timeout: 2700
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
need_python pandas pytest hypothesis
folder=$($PYTHON -c 'import os, pandas; print(os.path.dirname(pandas.__file__))')
[ -d "$folder/tests/groupby" ] || skip "this pandas comes without its tests"
cd "$TMP" || exit 1
few_rows="groupby_dropna rank value_counts"
[ "${PANDAS_SUITE:-}" != all ] || few_rows=""
# shellcheck disable=SC2046
$PYTHON "$TOP/tests/suite.py" "$TMP" --skip-slow --skip-network --skip-db \
    $(printf -- "--ignore=$folder/tests/groupby/test_%s.py " $few_rows) "$folder/tests/groupby" "$folder/tests/reshape/merge" || fail "the outcomes differ"
