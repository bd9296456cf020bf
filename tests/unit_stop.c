/* unit_stop.c - stopping the program for a moment, where threads block the signal: nobody hangs, and
 * nobody is killed. */
#include "../bigmaac.c"
#include "check.h"

#include <sys/wait.h>

static atomic_bool ready, over;

static void signals_block(void)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
}

static void signals_unblock(void)
{
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}

static void *monitor_main(void *unused)
{
    (void)unused;
    signals_block();
    mon_self = true;
    home_forced();
    return NULL;
}

static void monitor_once(void)
{
    pthread_t monitor;
    CHECK(pthread_create(&monitor, NULL, monitor_main, NULL) == 0);
    CHECK(pthread_join(monitor, NULL) == 0);
}

/* The signal comes when the others have just been let go. */
static void *late_main(void *futex)
{
    signals_block();
    atomic_store(&ready, true);
    struct sigaction now;
    do
        sigaction(SIGURG, NULL, &now);
    while (now.sa_handler != stop_handler);
    sigset_t waits;
    do
        sigpending(&waits);
    while (!sigismember(&waits, SIGURG));
    unsigned let_go = atomic_load((atomic_uint *)futex);
    while (atomic_load((atomic_uint *)futex) == let_go)
        ;
    signals_unblock();
    atomic_store(&over, true);
    return NULL;
}

static void late_goes_on(atomic_uint *futex)
{
    pthread_t late;
    atomic_store(&ready, false);
    atomic_store(&over, false);
    CHECK(pthread_create(&late, NULL, late_main, futex) == 0);
    while (!atomic_load(&ready))
        sleep_ms(1);
    monitor_once();
    for (int ms = 0; ms < 2000 && !atomic_load(&over); ms++)
        sleep_ms(1);
    CHECK(atomic_load(&over)); /* it does not wait in stop_handler */
    if (atomic_load(&over))
        pthread_join(late, NULL);
}

static void *blocked_main(void *unused)
{
    (void)unused;
    signals_block();
    atomic_store(&ready, true);
    while (!atomic_load(&over))
        sleep_ms(1);
    signals_unblock();
    return NULL;
}

static void urgent(int sig) { (void)sig; }

/* The program uses SIGURG, so it is one whose default is to kill. */
static void blocked_survives(void)
{
    pthread_t blocked;
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGURG, urgent);
        atomic_store(&ready, false);
        atomic_store(&over, false);
        CHECK(pthread_create(&blocked, NULL, blocked_main, NULL) == 0);
        while (!atomic_load(&ready))
            sleep_ms(1);
        monitor_once();
        atomic_store(&over, true);
        pthread_join(blocked, NULL);
        _exit(check_result());
    }
    int status = -1;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

int main(void)
{
    setenv("BIGMAAC_MIN_BIGMAAC_SIZE", "64K", 1);
    config_load();
    route_set_limit();
    bigmaac_free(bigmaac_malloc(1 << 20));
    late_goes_on(&stop.round);
#ifndef __SANITIZE_THREAD__ /* it allows no threads in a child */
    blocked_survives();
#endif
    return check_result();
}
