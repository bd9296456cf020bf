#!/usr/bin/env bash
# make install and uninstall, the Debian package; both installed trees work where they are.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need make; need_python ctypes
# In a copy, as a fresh clone is, so that nothing here touches what others use.
mkdir "$TMP/src"
(cd "$TOP" && tar -cf - --exclude=./build --exclude=./.git .) | tar -xf - -C "$TMP/src" || fail "copy"
touch "$TMP/src/bigmaac.so"
quietly() { "$@" >"$TMP/log" 2>&1 || fail "$*: $(tail -n 5 "$TMP/log")"; }

# run_installed PREFIX: launcher finds its library, a program runs on it, the header compiles.
run_installed() {
    local prefix=$1
    "$prefix/bin/bigmaac" --min 1M --stats sh -c 'printenv LD_PRELOAD' >"$TMP/out" 2>"$TMP/err" || fail "$prefix: $(cat "$TMP/err")"
    [ "$(cat "$TMP/out")" = "$(cd "$prefix/lib" && pwd -P)/bigmaac.so" ] || fail "$prefix: preloads $(cat "$TMP/out")"
    "$prefix/bin/bigmaac" --min 1M --stats "$PYTHON" -c 'x = bytearray(8 << 20)' 2>"$TMP/err" || fail "$prefix: $(cat "$TMP/err")"
    [ "$(stat_of bigmaacs "$TMP/err")" -ge 1 ] || fail "$prefix: nothing was swapped: $(cat "$TMP/err")"
    "$prefix/bin/bigmaac" --check >"$TMP/out" || fail "$prefix: --check: $(cat "$TMP/out")"
    echo '#include <bigmaac.h>
int main(void) { return bigmaac_try_kind(0); }' >"$TMP/p.c"
    "$CC" -I"$prefix/include" -o "$TMP/p" "$TMP/p.c" && "$TMP/p" || fail "$prefix: header"
}
listing() { (cd "$1" && find . ! -type d | sort); }

# ---- PREFIX and DESTDIR; both may hold what belongs to others
mkdir -p "$TMP/root/opt/lib"; echo other >"$TMP/root/opt/lib/other"
quietly make -C "$TMP/src" install DESTDIR="$TMP/root" PREFIX=/opt
expected='./opt/bin/bigmaac
./opt/include/bigmaac.h
./opt/lib/bigmaac.so
./opt/lib/other
./opt/share/man/man7/bigmaac.7'
[ "$(listing "$TMP/root")" = "$expected" ] || fail "installed: $(listing "$TMP/root")"
[ "$(stat -c %a "$TMP/root/opt/bin/bigmaac" "$TMP/root/opt/include/bigmaac.h" | tr '\n' ' ')" = '755 644 ' ] || fail "modes"
run_installed "$TMP/root/opt"
ln -s "$TMP/root/opt/bin/bigmaac" "$TMP/bigmaac"
"$TMP/bigmaac" --min 1M true || fail "through a symbolic link"
quietly make -C "$TMP/src" uninstall DESTDIR="$TMP/root" PREFIX=/opt
[ "$(listing "$TMP/root")" = ./opt/lib/other ] || fail "uninstall left: $(listing "$TMP/root")"
quietly make -C "$TMP/src" install PREFIX="$TMP/prefix"
run_installed "$TMP/prefix"
quietly make -C "$TMP/src" uninstall PREFIX="$TMP/prefix"
[ -z "$(listing "$TMP/prefix")" ] || fail "uninstall left: $(listing "$TMP/prefix")"

# ---- without the library the launcher says what to do
mkdir -p "$TMP/lonely/bin"; cp "$TOP/extras/bigmaac" "$TMP/lonely/bin/"
"$TMP/lonely/bin/bigmaac" true 2>"$TMP/err"; [ $? = 125 ] || fail "without a library: status $?"
grep -q 'bigmaac.so is not beside this launcher; run make' "$TMP/err" || fail "without a library: $(cat "$TMP/err")"

# ---- the package
command -v dpkg-deb >/dev/null || skip "needs dpkg-deb (package dpkg); the rest passed"
quietly make -C "$TMP/src" deb
package=$(ls "$TMP"/src/build/bigmaac_*.deb)
[ "$(dpkg-deb -f "$package" Package Version Architecture | tr '\n' ' ')" = \
    "Package: bigmaac Version: $(sed -n 's/^VERSION = //p' "$TOP/Makefile") Architecture: $(dpkg --print-architecture) " ] ||
    fail "control: $(dpkg-deb -f "$package")"
dpkg-deb -f "$package" Depends | grep -Eq '^libc6 \(>= 2\.[0-9]+\)$' || fail "Depends: $(dpkg-deb -f "$package" Depends)"
dpkg-deb -c "$package" | awk '$2 != "root/root" { print; bad = 1 } END { exit bad }' || fail "not all files are root's"
dpkg-deb -x "$package" "$TMP/deb"
for file in usr/bin/bigmaac usr/lib/bigmaac.so usr/include/bigmaac.h usr/share/man/man7/bigmaac.7.gz \
    usr/share/doc/bigmaac/copyright usr/share/doc/bigmaac/examples/kubernetes/pod.yaml; do
    [ -f "$TMP/deb/$file" ] || fail "the package lacks $file"
done
dpkg-deb --ctrl-tarfile "$package" | tar -xf - -C "$TMP/deb" ./md5sums
(cd "$TMP/deb" && md5sum --quiet -c md5sums) || fail "md5sums"
run_installed "$TMP/deb/usr"
bash "$TMP/src/extras/make-deb" vX >"$TMP/log" 2>&1; [ $? = 2 ] || fail "make-deb takes vX for a version"
[ -z "$(find "$TMP/src/build" -name 'deb.*')" ] || fail "make-deb left its folder"
exit 0
