#!/usr/bin/env bash
# make -j4 of a copy of this project, everything (make, gcc, cc1, as, ld, sh) under the library: the
# same bytes come out as without. Thresholds are low, so that the compilers' data are ours.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need make
mkdir "$TMP/src" "$TMP/plain"
(cd "$TOP" && tar -cf - --exclude=./build --exclude=./.git --exclude=./bigmaac.so .) | tar -xf - -C "$TMP/src" || fail "copy"
cd "$TMP/src" || fail "cd"
# The library by the project's own Makefile, and some test programs, so that -j has work.
cat >all.mk <<'END'
programs := $(patsubst tests/%.c,out/%,$(wordlist 1,8,$(wildcard tests/fork_*.c tests/api_*.c)))
all: $(programs)
	$(MAKE) bigmaac.so
out/%: tests/%.c
	@mkdir -p out
	$(CC) -std=gnu11 -O1 -fno-builtin -I. -Itests -pthread -Wno-unused-result -o $@ $< -lm -ldl
END
unset MAKEFLAGS MFLAGS MAKELEVEL
make -j4 -s -f all.mk CC="$CC" CFLAGS='-O1 -g' >"$TMP/log" 2>&1 || fail "without the library: $(tail -n 5 "$TMP/log")"
mv out bigmaac.so "$TMP/plain/"
for mode in private copy; do
    rm -rf out bigmaac.so
    with BIGMAAC_FORK=$mode BIGMAAC_MIN_BIGMAAC_SIZE=256K BIGMAAC_MIN_FRY_SIZE=128 BIGMAAC_STATS=1 \
        make -j4 -s -f all.mk CC="$CC" CFLAGS='-O1 -g' >"$TMP/log" 2>&1 || fail "$mode: $(grep -v ' stats ' "$TMP/log" | tail -n 5)"
    for built in bigmaac.so out/*; do
        cmp "$built" "$TMP/plain/$built" || fail "$mode: $built differs"
    done
    [ "$(find out bigmaac.so -type f | wc -l)" = "$(find "$TMP/plain" -type f | wc -l)" ] || fail "$mode: files are missing"
    [ "$(find out -type f | wc -l)" -ge 5 ] || fail "$mode: hardly anything was built"
    # It was the library that served them, and it had nothing to say.
    awk '/ stats bigmaacs=/ { split($3, b, "="); split($6, f, "="); bigs += b[2]; fries += f[2]; n++ }
        END { exit !(n > 20 && bigs > 20 && fries > 10000) }' "$TMP/log" || fail "$mode: $(grep -c stats "$TMP/log") summaries; few blocks"
    grep 'bigmaac\[' "$TMP/log" | grep -v ' stats ' && fail "$mode: complaints"
    grep fell_through "$TMP/log" && fail "$mode: not all was swapped"
done
exit 0
