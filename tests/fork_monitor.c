/* fork_monitor.c - another library's handler starts the monitor in a child, before fork() has returned there.
 * Then the child forks in a signal handler that interrupts malloc. */
#include "fork_common.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <sys/time.h>

enum { LARGE = 4 << 20, FORKS = 200, SECONDS = 300 };

static volatile sig_atomic_t forks, at_work;
static pid_t self;

/* Leaves a warm block, so that there is something to do for the monitor. */
static void give_work(void)
{
    char *p = malloc(LARGE);
    REQUIRE(p != NULL);
    p[0] = 1;
    free(p);
}

static void give_work_once(void)
{
    if (!at_work)
        give_work();
    at_work = 1;
}

/* The next signal comes when something was done since the last one, however long a fork takes. */
static void next_signal(void)
{
    struct itimerval soon = {.it_value = {0, 500}};
    REQUIRE(setitimer(ITIMER_REAL, &soon, NULL) == 0);
}

static void handler(int number)
{
    (void)number;
    if (getpid() != self)
        return;
    pid_t child = fork();
    if (child == 0)
        syscall(SYS_exit_group, 0); /* the runner's check at the end takes long, and allocates */
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    forks++;
    next_signal();
}

static void forks_in_handler(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    void *block[64] = {NULL};
    self = getpid();
    usleep(50000); /* the monitor is there */
    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0);
    next_signal();
    for (size_t i = 0; forks < FORKS; i++) {
        free(block[i % 64]);
        block[i % 64] = malloc(2000 + i % 3000);
    }
    _exit(0);
}

int main(int argc, char **argv)
{
    (void)argc;
    if (getenv("FORK_TEST_INNER") == NULL) {
        setenv("FORK_TEST_INNER", "1", 1);
        setenv("BIGMAAC_MIN_FRY_SIZE", "0", 1);
        setenv("BIGMAAC_MIN_BIGMAAC_SIZE", "1M", 1);
        execv("/proc/self/exe", argv);
    }
    give_work();
    usleep(50000);
    REQUIRE(pthread_atfork(NULL, NULL, give_work_once) == 0);
    pid_t child = require_fork();
    if (child == 0)
        forks_in_handler();
    for (int i = 0; i < SECONDS * 10; i++, usleep(100000)) {
        int status;
        if (waitpid(child, &status, WNOHANG) == child)
            return status != 0;
    }
    kill(child, SIGKILL);
    fail("the child hangs");
}
