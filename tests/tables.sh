# Page tables of a giant bigmaac that was touched here and there are given back: they count
# against the memory limit, and reclaim does not touch them.
. "$TOP/tests/lib.sh"
cat >"$TMP/tables.c" <<'C'
#include "sys_blocks.h"
enum { STEP = 2 << 20 };
static const size_t bytes = (size_t)20 << 30;
int main(void)
{
    char *p = malloc(bytes);
    size_t worst = 0, now = 0;
    CHECK(p != NULL);
    for (size_t at = 0; p && at < bytes; at += STEP)
        p[at] = (char)(at / STEP * 7 + 1);
    for (int i = 0; p && i < 2000; i++) {
        now = value_in("/proc/self/status", "VmPTE:");
        worst = now > worst ? now : worst;
        if (now < 14 << 10)
            break;
        p[random_below(bytes / STEP) * STEP + 1] = 1;
        usleep(5000);
    }
    printf("page tables: %zu KiB, at most %zu seen\n", now, worst);
    CHECK(now < 14 << 10);
    for (size_t at = 0; p && at < bytes; at += 8 * STEP)
        if (p[at] != (char)(at / STEP * 7 + 1)) {
            CHECK(!"contents");
            break;
        }
    return check_result();
}
C
compile_c "$TMP/tables" "$TMP/tables.c"
limited $((128 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_RESERVE=0 BIGMAAC_PAGING=random "$TMP/tables" || fail "exit status $?"
