#!/usr/bin/env bash
# README's numbers can be repeated: bench/table.py makes each row of their table, and no other, of what the benchmarks measured:
# of several runs the middle one, of several commits the newest; with date, machine and commit.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_python sys
mkdir -p "$TMP/bench" "$TMP/build/bench" && cp "$TOP/bench/table.py" "$TMP/bench"
table() { $PYTHON "$TMP/bench/table.py" 2>"$TMP/missing"; }
table >"$TMP/out" && [ ! -s "$TMP/out" ] || fail "nothing was measured: $(cat "$TMP/out")"
sed -n 's/^not measured: //p' "$TMP/missing" >"$TMP/labels"
[ "$(wc -l <"$TMP/labels")" -ge 20 ] || fail "rows: $(cat "$TMP/labels")"
sed -n '/^| | BigMaac | compared with | |$/,/^$/p' "$TOP/README.md" | sed 1,2d | sed '/^$/d; s/^| //' >"$TMP/readme"
while IFS= read -r label; do
    grep -qF "$label" "$TMP/readme" || fail "README has no row: $label"
done <"$TMP/labels"
while IFS= read -r row; do
    found=0
    while IFS= read -r label; do [[ $row == "$label"* ]] && found=1; done <"$TMP/labels"
    [ $found = 1 ] || fail "nothing measures README's row: $row"
done <"$TMP/readme"
# date, commit, machine, script, name, unit, value, the other's
measured() { printf '2026-11-2%s\tc%s\tthis machine\tbigmaac.sh\t%s\t%s\t%s\t%s\n' "$@" >>"$TMP/build/bench/results"; }
measured 0 1 'groupby on 1024 MiB in 512 MiB' s 99 100
measured 1 2 'groupby on 1024 MiB in 512 MiB' s 5.1 20.4
measured 1 2 'groupby on 1024 MiB in 512 MiB' s 9 18
measured 1 2 'groupby on 1024 MiB in 512 MiB' s 3 30
measured 1 2 'first fill of a fresh 2 GiB block' s 0.9 0.81
table >"$TMP/out" || fail "status $?"
[ "$(sed -n 1p "$TMP/out")" = "Measured 2026-11-21 on this machine; commit c2." ] || fail "$(cat "$TMP/out")"
grep -qxF '| pandas groupby on 1 GiB in 512 MiB | 5.10 s | 20.4 s kernel swap | 0.25 x (3 runs: 0.10 to 0.50) |' "$TMP/out" || fail "$(cat "$TMP/out")"
grep -qxF '| first fill of a fresh 2 GiB block | 0.90 s | 0.81 s glibc | 1.11 x |' "$TMP/out" || fail "$(cat "$TMP/out")"
[ "$(wc -l <"$TMP/out")" = 6 ] && [ "$(wc -l <"$TMP/missing")" = $(($(wc -l <"$TMP/labels") - 2)) ] || fail "$(cat "$TMP/out" "$TMP/missing")"
