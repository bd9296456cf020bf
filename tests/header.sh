# bigmaac.h in C and C++, in position-independent programs and others, with and without the library.
. "$TOP/tests/lib.sh"
cat >"$TMP/header.c" <<'C'
#include "bigmaac.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void)
{
    struct bigmaac_stats s;
    memset(&s, 0, sizeof s);
    s.size = sizeof s;
    void *p = malloc(20 << 20);
    printf("%d ", bigmaac_try_kind(p));
    printf("%d ", bigmaac_try_stats(&s));
    printf("%d %d\n", (int)(s.bigmaac_bytes >> 20), bigmaac_try_advise(p, BIGMAAC_RANDOM));
    free(p);
    return 0;
}
C
for flags in "-pie -fPIE" -no-pie "-no-pie -fno-pic -O2" "-pie -fPIE -O2"; do
    for compiler in "gcc -std=c99" "gcc -std=gnu11" "g++ -std=c++11 -x c++" "g++ -std=c++17 -x c++"; do
        command -v "${compiler%% *}" >/dev/null || continue
        # shellcheck disable=SC2086
        $compiler -Wall -Wextra -Wpedantic -Werror $flags -I"$TOP" -o "$TMP/header" "$TMP/header.c" -ldl 2>"$TMP/err" ||
            fail "$compiler $flags: $(head -n 5 "$TMP/err")"
        [ "$(with "$TMP/header")" = "1 0 20 0" ] || fail "$compiler $flags: $(with "$TMP/header")"
        [ "$("$TMP/header")" = "0 38 0 38" ] || fail "$compiler $flags, without the library: $("$TMP/header")"
    done
done
