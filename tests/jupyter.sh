#!/usr/bin/env bash
# bigmaac --jupyter: a notebook on three times its memory limit runs in the kernel that it installs, with the
# settings that were given, and dies in Python's own.
# timeout: 1500
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
mkdir "$TMP/home" "$TMP/swap"
export HOME=$TMP/home JUPYTER_PLATFORM_DIRS=0
unset JUPYTER_DATA_DIR XDG_DATA_HOME VIRTUAL_ENV BIGMAAC_TEMPLATE
cd "$TMP" || exit 1
bigmaac() { sh "$TOP/extras/bigmaac" "$@" >"$TMP/out" 2>"$TMP/err"; }

# What is missing is said, with the way to get it; nothing is installed.
bigmaac --jupyter no-such-python && fail "a missing python is taken"
grep -q -- '--jupyter: no-such-python: not found; name the python that has ipykernel' "$TMP/err" || fail "$(cat "$TMP/err")"
bigmaac --jupyter a b && fail "two are taken"
grep -q -- '--jupyter takes one Python, not 2' "$TMP/err" || fail "$(cat "$TMP/err")"
bigmaac --min huge --jupyter "$PYTHON" && fail "a bad setting is taken"
grep -q 'BIGMAAC_MIN_BIGMAAC_SIZE="huge": not a size.*; nothing was installed' "$TMP/err" || fail "$(cat "$TMP/err")"
need_python venv
"$PYTHON" -m venv --without-pip "$TMP/bare" || fail "venv"
bigmaac --jupyter "$TMP/bare/bin/python" && fail "a python without ipykernel is taken"
grep -q "bare/bin/python.* has no jupyter_client; install it: .* -m pip install ipykernel" "$TMP/err" || fail "$(cat "$TMP/err")"
[ -z "$(find "$TMP/home" -type f)" ] || fail "installed: $(find "$TMP/home" -type f)"

need_python ipykernel jupyter_client numpy
bigmaac --min 4M --dir "$TMP/swap" --jupyter "$PYTHON" || fail "$(cat "$TMP/err")"
kernel=$TMP/home/.local/share/jupyter/kernels/bigmaac/kernel.json
[ -f "$kernel" ] && grep -q "in ${kernel%/*}; choose it" "$TMP/out" || fail "$(cat "$TMP/out")"
bigmaac --min 4M --dir "$TMP/swap" --jupyter "$PYTHON" || fail "a second time: $(cat "$TMP/err")"
# A venv has its kernels inside.
"$PYTHON" -m venv --without-pip --system-site-packages "$TMP/venv" || fail "venv"
bigmaac --jupyter "$TMP/venv/bin/python" || fail "venv: $(cat "$TMP/err")"
grep -q "\"$TMP/venv/bin/python" "$TMP/venv/share/jupyter/kernels/bigmaac/kernel.json" || fail "venv: $(cat "$TMP/out")"

$PYTHON -c 'import nbconvert' 2>/dev/null || skip "needs jupyter-nbconvert; the rest passed"
cat >"$TMP/notebook.py" <<'END'
import json, sys
code = ["import numpy, os\n", "a = numpy.full(900 << 17, 1.0)\n",
        "print('sum', int(a.sum()), os.environ.get('BIGMAAC_MIN_BIGMAAC_SIZE'), os.environ.get('BIGMAAC_TEMPLATE'))"]
cell = {"cell_type": "code", "id": "a", "execution_count": None, "metadata": {}, "outputs": [], "source": code}
json.dump({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, open(sys.argv[1], "w"))
END
$PYTHON "$TMP/notebook.py" "$TMP/n.ipynb"
# The notebook's server beside the kernel takes some 60 MiB of the limit.
execute() {
    limited $((300 << 20)) "$PYTHON" -m nbconvert --to notebook --execute --ExecutePreprocessor.kernel_name="$1" \
        --ExecutePreprocessor.timeout=200 --output "$1.ipynb" "$TMP/n.ipynb" >"$TMP/$1.log" 2>&1
}
execute bigmaac || fail "in our kernel: $(tail -n 5 "$TMP/bigmaac.log")"
grep -q "sum $((900 << 17)) 4M $TMP/swap/bigmaac.XXXXXXXX" "$TMP/bigmaac.ipynb" || fail "$(cat "$TMP/bigmaac.ipynb")"
execute python3 && fail "it fits without BigMaac: the test shows nothing"
grep -qi 'kernel died' "$TMP/python3.log" || fail "without: $(tail -n 5 "$TMP/python3.log")"
exit 0
