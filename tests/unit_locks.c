/* unit_locks.c - files of bigmaacs are made, reserved, punched and closed without big.lock: however long a
 * huge file takes to go, no other thread's malloc waits for it. */
static long watched(long number, long a, long b, long c, long d, long e, long f);
#define BIGMAAC_SYS watched
#include "../bigmaac.c"
#include "check.h"

static unsigned opened, reserved, closed, locked;

static long watched(long number, long a, long b, long c, long d, long e, long f)
{
    unsigned *seen = number == SYS_openat ? &opened : number == SYS_fallocate ? &reserved : number == SYS_close ? &closed : NULL;
    if (seen) {
        ++*seen;
        if (lock_try(&big.lock))
            lock_drop(&big.lock);
        else
            locked++;
    }
    return syscall(number, a, b, c, d, e, f);
}

/* Made, grown in steps that move it, and freed. */
static void live(void)
{
    char *p = bigmaac_malloc(4 << 20), *beside = bigmaac_malloc(4 << 20);
    CHECK(p && beside);
    for (size_t bytes = 8 << 20; bytes <= 64 << 20; bytes *= 2) {
        CHECK((p = bigmaac_realloc(p, bytes)) != NULL);
        memset(p, 1, bytes);
    }
    bigmaac_free(p);
    bigmaac_free(beside);
}

static void check_seen(void)
{
    CHECK(opened >= 2 && reserved >= 5 && closed >= 2 && locked == 0);
    opened = reserved = closed = locked = 0;
}

int main(void)
{
    setenv("BIGMAAC_MIN_BIGMAAC_SIZE", "1M", 1);
    setenv("BIGMAAC_RECYCLE", "0", 1);
    config_load();
    route_set_limit();
    live();
    check_seen();
    setenv("BIGMAAC_RECYCLE", "1G", 1);
    config_load();
    live();
    CHECK(big.warm_bytes > 0);
    warm_expire(UINT64_MAX);
    CHECK(big.warm_bytes == 0);
    check_seen();
    return check_result();
}
