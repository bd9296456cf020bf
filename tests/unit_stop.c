/* unit_stop.c - stopping the program for a moment, where threads block the signal: nobody hangs, nobody is
 * killed, and no thread of a parent's counts as stopped in a child. */
#include "../bigmaac.c"
#include "check.h"

#include <sys/wait.h>

enum { BYTES = 8 << 20 };

static atomic_bool ready, over;
static uint64_t *data;

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

static void *ask_main(void *unused)
{
    atomic_store(&mon.alive, 1);
    CHECK(!home_ask());
    atomic_store(&mon.alive, 0);
    return unused;
}

/* The only thread allocates nothing while it is asked to; small requests are as fast as before then. */
static void asked_in_vain(void)
{
    pthread_t monitor;
    CHECK(pthread_create(&monitor, NULL, ask_main, NULL) == 0);
    CHECK(pthread_join(monitor, NULL) == 0);
    CHECK(route.limit == (64 << 10) + 1);
}

/* Until it says that it is ready. */
static void thread_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
    atomic_store(&ready, false);
    atomic_store(&over, false);
    CHECK(pthread_create(thread, NULL, run, argument) == 0);
    while (!atomic_load(&ready))
        sleep_ms(1);
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
    thread_start(&late, late_main, futex);
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
        thread_start(&blocked, blocked_main, NULL);
        monitor_once();
        atomic_store(&over, true);
        pthread_join(blocked, NULL);
        _exit(check_result());
    }
    int status = -1;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

static void *allocate_main(void *unused)
{
    (void)unused;
    bigmaac_free(bigmaac_malloc(1 << 20));
    return NULL;
}

static void *write_main(void *unused)
{
    uint64_t value = 0;
    (void)unused;
    signals_block();
    for (; !atomic_load(&over); atomic_store(&ready, true), value++)
        for (size_t i = 0; i < BYTES / 8; i += 512)
            data[i]++;
    return (void *)(uintptr_t)value;
}

/* A child of a process where a thread waited for the gate: a thread that can't be stopped writes. */
static void child_stops_nobody(void)
{
    pthread_t writer;
    void *last = NULL;
    thread_start(&writer, write_main, NULL);
    size_t before = count.brought_home;
    monitor_once();
    CHECK(count.brought_home == before);
    atomic_store(&over, true);
    pthread_join(writer, &last);
    size_t lost = 0;
    for (size_t i = 0; i < BYTES / 8; i += 512)
        lost += data[i] != (uintptr_t)last;
    CHECK(lost == 0);
    _exit(check_result());
}

static void child_counts_its_own(void)
{
    pthread_t thread;
    data = bigmaac_malloc(BYTES);
    memset(data, 0, BYTES);
    fork_prepare();
    CHECK(pthread_create(&thread, NULL, allocate_main, NULL) == 0);
    while (!atomic_load(&op_waiting))
        sleep_ms(1);
    pid_t pid = kernel_fork();
    if (pid == 0) {
        fork_child();
        child_stops_nobody();
    }
    fork_parent();
    pthread_join(thread, NULL);
    int status = -1;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    bigmaac_free(data);
}

int main(void)
{
    setenv("BIGMAAC_MIN_BIGMAAC_SIZE", "64K", 1);
    setenv("BIGMAAC_RECYCLE", "0", 1); /* nothing for a monitor to do */
    config_load();
    route_set_limit();
    bigmaac_free(bigmaac_malloc(1 << 20));
    asked_in_vain();
    late_goes_on(&stop.round);
#ifndef __SANITIZE_THREAD__ /* it allows no threads in a child */
    blocked_survives();
    child_counts_its_own();
#endif
    return check_result();
}
