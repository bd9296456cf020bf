#!/usr/bin/env bash
# One library for every glibc from 2.28 on, whatever machine builds it: no imported symbol has a younger version.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need readelf
oldest=2.28

# no_younger LIBRARY: what it imports, and from where
no_younger() {
    local symbols versions younger
    symbols=$(readelf --dyn-syms -W "$1" | awk '$7 == "UND" && $8 ~ /@/ { print $8 }')
    [ "$(wc -l <<<"$symbols")" -ge 12 ] || fail "$1: hardly any symbols: $symbols"
    # The table of needs counts, too: DT_RELR is a version without a symbol.
    versions=$({ echo "$symbols"; readelf -V -W "$1"; } | grep -oE 'GLIBC_[0-9A-Z._]+' | sort -u)
    younger=$(while read -r version; do
        case $version in
        GLIBC_[0-9]*) [ "$(printf '%s\n' "${version#GLIBC_}" $oldest | sort -V | tail -n 1)" = $oldest ] || echo "$version" ;;
        *) echo "$version" ;;
        esac
    done <<<"$versions")
    [ -z "$younger" ] || fail "$1 needs $younger: $(grep -F "$younger" <<<"$symbols")"
    for library in libpthread.so.0 libdl.so.2 libc.so.6; do # a C library before 2.34 is three of them
        readelf -d "$1" | grep -q "NEEDED.*\[$library\]" || fail "$1 does not have $library loaded"
    done
    echo "$1: $(wc -l <<<"$symbols") symbols, $(tr '\n' ' ' <<<"$versions")"
}
no_younger "$LIB"
cp "$TOP/bigmaac.c" "$TOP/bigmaac.h" "$TOP/Makefile" "$TMP"
built() { make -s -C "$TMP" bigmaac.so CFLAGS="-O1 -w" "$@" || fail "make $*"; rm -rf "$TMP/build"; }
# What distributions add to the flags.
built CFLAGS="-O2 -flto -w -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection"
no_younger "$TMP/bigmaac.so"
rm "$TMP/bigmaac.so"
# Headers of glibc 2.38 and later give these two other names.
built CPPFLAGS="-Dstrtoul=__isoc23_strtoul -Dstrtol=__isoc23_strtol"
no_younger "$TMP/bigmaac.so"
if command -v aarch64-linux-gnu-gcc >/dev/null; then
    rm "$TMP/bigmaac.so"
    built CC=aarch64-linux-gnu-gcc
    no_younger "$TMP/bigmaac.so"
fi
# Another C library is refused in a sentence.
if command -v musl-gcc >/dev/null; then
    rm -f "$TMP/bigmaac.so"
    make -s -C "$TMP" bigmaac.so CC=musl-gcc >"$TMP/out" 2>&1 && fail "it compiles with musl"
    grep -q 'error.*BigMaac needs glibc' "$TMP/out" || fail "$(cat "$TMP/out")"
fi
exit 0
