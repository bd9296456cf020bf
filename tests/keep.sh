# A block that is to stay in memory stays there when it has grown, in place and elsewhere.
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/keep.c" <<'C'
#include "sys_blocks.h"
static int locked(size_t mib) { return value_in("/proc/self/status", "VmLck:") >= (long long)mib << 10; }
int main(void)
{
    struct block b = {0}, next = {0};
    CHECK(block_new(&b, 20 << 20, 1) && bigmaac_try_advise(b.p, BIGMAAC_KEEP) == 0 && locked(20));
    CHECK(block_resize(&b, 40 << 20) && locked(40));
    CHECK(block_new(&next, 20 << 20, 2)); /* in its way */
    CHECK(block_resize(&b, 100 << 20) && locked(100));
    return check_result();
}
C
compile_c "$TMP/keep" "$TMP/keep.c"
with "$TMP/keep" || fail "status $?"
