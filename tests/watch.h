/* watch.h - for unit tests, after bigmaac.c: the thread that sees the program's faults, as the monitor has it
 * started and ended. */
#ifndef WATCH_H
#define WATCH_H

/* Whether it is at work, or has ended, in time. */
static bool watch_waited(bool there)
{
    for (int ms = 0; ms < 30000 && (watch_able() || !there); ms++, sleep_ms(1))
        if (there ? atomic_load(&watch.tid) != 0 : !atomic_load(&watch.running))
            return true;
    return false;
}

/* False: that can't be done here. */
static bool watch_begin(void)
{
    sigmask saved;
    signals_hold(&saved);
    atomic_store(&mon.running, true); /* without a monitor it would not stay */
    watch_start();
    sys_sigmask(SIG_SETMASK, &saved, NULL);
    watch_want(WATCH_BLOCKS, true);
    bool there = watch_waited(true);
    sleep_ms(400); /* by then it watches */
    return there && watch_able();
}

/* It finds that this can't be done, however late it comes to run. */
static bool watch_refused(void)
{
    watch_begin();
    for (int ms = 0; ms < 60000 && watch_able(); ms++)
        sleep_ms(1);
    return !watch_able();
}

static bool watch_end(void)
{
    watch_order(WATCH_END);
    return watch_waited(false);
}

#endif
