/* unit_last_look.c - the background thread ends while another thread frees a block: it sees the block, or the other thread
 * sees it gone and makes a new one. A block is never left warm with nobody to give it back. */
static long watched(long number, long a, long b, long c, long d, long e, long f);
#define BIGMAAC_SYS watched
#include "../bigmaac.c"
#include "check.h"

static void *block;
static atomic_bool armed, freed;

static void *other(void *unused)
{
    bigmaac_free(block); /* and considers whether a thread is needed */
    return unused;
}

/* In the middle of the question whether there is work, which asks for the time: the other thread makes some. */
static long watched(long number, long a, long b, long c, long d, long e, long f)
{
    pthread_t thread;
    if (number == SYS_clock_gettime && atomic_exchange(&armed, false)) {
        CHECK(pthread_create(&thread, NULL, other, NULL) == 0 && pthread_detach(thread) == 0);
        while (!guess_32(&big.warm_oldest))
            syscall(SYS_sched_yield);
        const struct timespec some = {.tv_nsec = 50000000};
        nanosleep(&some, NULL); /* it goes on to consider */
        atomic_store(&freed, true);
    }
    return syscall(number, a, b, c, d, e, f);
}

int main(void)
{
    setenv("BIGMAAC_MIN_BIGMAAC_SIZE", "1M", 1);
    config_load();
    route_set_limit();
    void *live = bigmaac_malloc((size_t)48 << 20); /* so that the question takes the time */
    block = bigmaac_malloc(2 << 20);
    CHECK(live && block && !big.warm_oldest && !atomic_load(&mon.running));
    mon_hold();
    atomic_store(&mon.running, true); /* this is the thread */
    atomic_fetch_add(&mon.alive, 1);
    atomic_store(&armed, true);
    bool ended = mon_ends(false);
    CHECK(atomic_load(&freed));
    /* The other thread may be about to take the lock that it needs to start one. */
    for (int ms = 0; ended && ms < 5000 && guess_32(&big.warm_oldest) && !atomic_load(&mon.running); ms++)
        sleep_ms(1);
    CHECK(!guess_32(&big.warm_oldest) || atomic_load(&mon.running));
    if (!ended)
        mon_release();
    return check_result();
}
