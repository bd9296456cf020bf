#!/usr/bin/env bash
# --profile beside an allocator whose malloc_usable_size allocates for its first answer, as tcmalloc's does (SWI-Prolog
# is linked with it): no recursion without end.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
cat >"$TMP/next.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
size_t malloc_usable_size(void *p)
{
    static void *volatile instance;
    static size_t (*usable)(void *);
    if (!instance)
        instance = malloc(8);
    if (!usable)
        usable = (size_t (*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size");
    return usable(p);
}
C
compile_c "$TMP/next.so" "$TMP/next.c" -shared -fPIC -fno-builtin -ldl
env LD_PRELOAD="$LIB:$TMP/next.so" BIGMAAC_PROFILE=1 $PYTHON -c 'x = bytearray(64 << 20); print(len(x))' >"$TMP/out" 2>"$TMP/err" ||
    fail "status $?: $(cat "$TMP/err")"
[ "$(cat "$TMP/out")" = 67108864 ] || fail "$(cat "$TMP/out")"
grep -q ' 90 .*: BIGMAAC_MIN_BIGMAAC_SIZE=[0-9]' "$TMP/err" || fail "no histogram: $(cat "$TMP/err")"
exit 0
