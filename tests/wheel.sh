#!/usr/bin/env bash
# make wheel: what it holds, and that pip install is all it takes: in a fresh venv, without a network.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need make; need readelf; need_python venv ensurepip
mkdir "$TMP/src"
(cd "$TOP" && tar -cf - --exclude=./build --exclude=./.git .) | tar -xf - -C "$TMP/src" || fail "copy"
touch "$TMP/src/bigmaac.so"
make_wheel() { "$PYTHON" "$TMP/src/extras/make-wheel" "$@" >"$TMP/out" 2>"$TMP/err"; }
make -s -C "$TMP/src" wheel >"$TMP/out" || fail "make wheel"
wheel=$(cat "$TMP/out")
version=$(sed -n 's/^VERSION = //p' "$TOP/Makefile")
case $wheel in "$TMP/src/build/bigmaac-$version-py3-none-manylinux_2_28_$(uname -m).whl") ;; *) fail "made $wheel" ;; esac
before=$(md5sum <"$wheel"); make_wheel "$version" || fail "$(cat "$TMP/err")"
[ "$before" = "$(md5sum <"$wheel")" ] || fail "the same input gives another wheel"
"$PYTHON" - "$wheel" <<'END' || fail "the archive"
import base64, hashlib, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
names = archive.namelist()
record = [n for n in names if n.endswith("/RECORD")][0]
rows = [line.split(",") for line in archive.read(record).decode().split()]
assert sorted(row[0] for row in rows) == sorted(names) and len(set(names)) == len(names), names
for name, digest, size in rows:
    if name != record:
        data = archive.read(name)
        assert digest == "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        assert int(size) == len(data), name
END
# What it can't promise it does not build.
for bad in '' v1 '1.0/..'; do
    make_wheel "$bad" && fail "\"$bad\" is taken for a version"
    grep -q 'is not a version, such as 1.0.0' "$TMP/err" || fail "$(cat "$TMP/err")"
done
mv "$TMP/src/bigmaac.so" "$TMP/right.so"
echo '#include <string.h>
const char *young(int n) { return strerrordesc_np(n); }' >"$TMP/young.c"
"$CC" -D_GNU_SOURCE -w -shared -fPIC -o "$TMP/src/bigmaac.so" "$TMP/young.c" || fail "compile"
make_wheel "$version" && fail "a library for glibc 2.32 is taken"
grep -q 'make-wheel: bigmaac.so needs glibc 2.32, and the wheel is for 2.28 on' "$TMP/err" || fail "$(cat "$TMP/err")"
echo text >"$TMP/src/bigmaac.so"
make_wheel "$version" && fail "a text is taken for a library"
grep -q 'make-wheel: .*bigmaac.so is not a library for x86_64 or aarch64; make it first' "$TMP/err" || fail "$(cat "$TMP/err")"

# ---- a user's venv; what is set for the tests here is not set there
unset BIGMAAC_TEMPLATE
"$PYTHON" -m venv "$TMP/venv" || fail "venv"
bin=$TMP/venv/bin
"$bin/pip" install --no-index --quiet "$wheel" 2>"$TMP/err" || fail "pip: $(cat "$TMP/err")"
cd "$TMP" || exit 1
so=$("$bin/python" -c 'import bigmaac; print(bigmaac.lib())') || fail "import"
[ "$so" = "$(echo "$TMP"/venv/lib/python3*/site-packages/bigmaac/bigmaac.so)" ] || fail "bigmaac.lib() is $so"
[ -r "$("$bin/python" -c 'import bigmaac; print(bigmaac.include())')/bigmaac.h" ] || fail "no header"
[ "$("$bin/bigmaac" --version)" = "bigmaac $version" ] || fail "--version: $("$bin/bigmaac" --version)"
[ "$("$bin/python" -c 'import bigmaac; print(bigmaac.__version__)')" = "$version" ] || fail "__version__"
cat >"$TMP/job.py" <<'END'
import bigmaac, os, sys
assert bigmaac.loaded() and os.environ["LD_PRELOAD"] == bigmaac.lib(), os.environ.get("LD_PRELOAD")
x = bytearray(50 << 20)
assert bigmaac.stats()["bigmaac_bytes"] >= 50 << 20, bigmaac.stats()
print(" ".join(sys.argv), os.environ.get("BIGMAAC_MIN_BIGMAAC_SIZE", "default"))
sys.exit(7)
END
runs() { # WANTED COMMAND...
    local want=$1 status
    shift
    "$@" >"$TMP/out" 2>"$TMP/err"; status=$?
    { [ $status = 7 ] && [ "$(cat "$TMP/out")" = "$want" ] && [ ! -s "$TMP/err" ]; } ||
        fail "$*: status $status: $(cat "$TMP/out" "$TMP/err")"
}
runs 'job.py a --stats default' "$bin/bigmaac" "$bin/python" job.py a --stats
runs 'job.py a --stats default' "$bin/python" -m bigmaac job.py a --stats
runs 'job.py 3M' "$bin/python" -m bigmaac --min 3M --dir "$TMP" -- job.py
runs 'job.py 3M' "$bin/python" -m bigmaac --min=3M -B job.py
runs '-c default' "$bin/python" -m bigmaac -c "$(cat job.py)"
runs 'job.py default' env LD_PRELOAD="$so" "$bin/python" job.py
# The signals that Python ignores are not ignored by what the launcher starts: PIPE is bit 12, XFSZ bit 24.
ignored=$("$bin/bigmaac" sed -n 's/^SigIgn:[[:space:]]*/0x/p' /proc/self/status)
[ $((ignored & (1 << 12 | 1 << 24))) = 0 ] || fail "ignored signals: $ignored"
"$bin/python" -m bigmaac 2>"$TMP/err"; [ $? = 125 ] && grep -q 'no command to run' "$TMP/err" || fail "$(cat "$TMP/err")"
"$bin/python" -m bigmaac --check >"$TMP/out" || fail "--check: $(cat "$TMP/out")"
grep -q "^library  *$so$" "$TMP/out" || fail "--check: $(cat "$TMP/out")"
# The module knows which of the launcher's options have a value, and which start nothing.
"$bin/bigmaac" --help | sed -n 's/^  \(--[a-z]*\) [A-Z][A-Z]* .*/\1/p' | sort >"$TMP/with"
"$PYTHON" -c "import sys; sys.path.insert(0, '$TOP/extras/python')
sys.dont_write_bytecode = True
from bigmaac import __main__ as m; print('\n'.join(sorted(m.WITH_VALUE)))" | diff "$TMP/with" - || fail "options with a value"
"$bin/pip" uninstall --quiet --yes bigmaac 2>/dev/null
left=$(cd "$TMP/venv" && find . -path '*bigmaac*')
[ -z "$left" ] || fail "uninstall left $left"
exit 0
