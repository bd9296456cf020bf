#!/usr/bin/env bash
# --top shows memory that the program mapped itself and that was moved out, apart from bigmaacs and fries.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/job.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "check.h"
int main(void)
{
    const size_t mapped = 240 << 20, block = 20 << 20;
    char *p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q = opaque(malloc(block));
    fill(q, block, 1);
    for (size_t i = 0; i < mapped; i += 1 << 20) {
        fill(p + i, 1 << 20, i);
        usleep(2000);
    }
    for (size_t i = 0; i < 16 << 20; i += 4096) /* in memory counts what is mapped: of what was moved, what is used again */
        ((volatile char *)p)[i];
    puts("ready");
    fflush(stdout);
    pause();
}
C
compile_c "$TMP/job" "$TMP/job.c"
row() { # COLUMNS: sets out
    out=$(COLUMNS=$1 sh "$TOP/extras/bigmaac" --top --once "$job") || fail "--top: $out"
    out=$(grep -A1 '^ *PID' <<<"$out")
}
mib() { # NUMBER: that field of the row
    awk -v n="$1" 'NR == 2 { v = $n; sub(/^0B$/, 0, v); sub(/M$/, "", v); print v ~ /^[0-9.]+$/ ? int(v) : -1 }' <<<"$out"
}
limited $((140 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_MIN_MMAP_SIZE=1M "$TMP/job" >"$TMP/out" 2>"$TMP/err" &
trap 'kill "${job:-$!}" 2>/dev/null; wait' EXIT
until_ready grep -q ready "$TMP/out" || fail "it did not begin: $(cat "$TMP/err")"
job=$(pgrep -f "^$TMP/job") || fail "where is it?"
row 110
[[ $out == *' FRIES IN RAM MAPPED IN RAM '* ]] || fail "$out"
[ "$(mib 3)" = 1 ] && [ "$(mib 4)" = 20 ] && [ "$(mib 6)" = 0 ] || fail "bigmaacs and fries: $out"
[ "$(mib 8)" -gt 90 ] && [ "$(mib 9)" -gt 0 ] && [ "$(mib 9)" -lt "$(mib 8)" ] && [ "$(mib 10)" -gt 100 ] || fail "mapped memory: $out"
row 80
[[ $out == *' OTHERS IN RAM '* && $out != *MAPPED* ]] && [ "$(mib 6)" -gt 90 ] || fail "in 80 columns: $out"
