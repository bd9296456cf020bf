/* fork_signal.c - fork in a signal handler that interrupted malloc, free or realloc.
 *
 * One thread: fork() in the handler; the child ends in it, or goes on where the signal came.
 * Several threads: _Fork(), which POSIX allows in a handler there; the child verifies and ends.
 * The signals come from a timer, from another process and, with threads, from tgkill.
 *
 *     fork_signal [FORKS]
 */
#include "fork_common.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/time.h>

enum { STILL = 8, OWN = 24, THREADS = 3, HANG_SECONDS = 300, STEPS_OF_CHILD = 200 };

static const size_t still_sizes[] = {REAL_SIZE, FRY_SMALL, FRY_LARGE, BIG_SMALL};
static unsigned char *still[STILL];
static struct tally {
    atomic_long forks, children_ok, in_allocator;
    atomic_bool failed;
} *tally;
static long forks_wanted;
static pid_t first_process;
static pid_t (*async_fork)(void);              /* what the handler calls */
static volatile sig_atomic_t child_steps_left; /* > 0: a child that went on */
static __thread volatile sig_atomic_t in_allocator;
static __thread volatile unsigned long steps, steps_at_fork; /* of the interrupted loop */

static void require_still(const char *who)
{
    for (int i = 0; i < STILL; i++)
        content_require(still[i], still_sizes[i % 4], (uint64_t)i + 1, who);
}

static void timer_set(long microseconds)
{
    struct itimerval t = {{0, 0}, {0, microseconds}};
    setitimer(ITIMER_REAL, &t, NULL);
}

/* The handler's child: ends here, or after some more steps of the loop that was interrupted. */
static void child_in_handler(bool goes_on)
{
    signal(SIGALRM, SIG_DFL);
    signal(SIGUSR1, SIG_IGN);
    alarm(HANG_SECONDS); /* a hang ends in SIGALRM, which the parent reports */
    require_still("child in the handler");
    memset(still[1], 0, FRY_SMALL);
    memset(still[3], 0, BIG_SMALL);
    if (!goes_on)
        _exit(0);
    content_fill(still[1], FRY_SMALL, 2);
    content_fill(still[3], BIG_SMALL, 4);
    child_steps_left = STEPS_OF_CHILD;
}

static void handler(int number)
{
    (void)number;
    int err = errno;
    if (getpid() != first_process || atomic_load(&tally->forks) >= forks_wanted)
        return;
    long n = atomic_load(&tally->forks);
    timer_set(50 + n * 37 % 700);
    if (steps == steps_at_fork) /* a signal from while we forked: let the loop go on first */
        return;
    steps_at_fork = steps;
    if (atomic_fetch_add(&tally->forks, 1) >= forks_wanted) { /* another thread was faster */
        atomic_fetch_sub(&tally->forks, 1);
        return;
    }
    if (in_allocator)
        atomic_fetch_add(&tally->in_allocator, 1);
    pid_t child = async_fork();
    if (child == 0) {
        child_in_handler(async_fork == fork && n % 2 == 0);
        errno = err;
        return;
    }
    int status = -1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child > 0 && status == 0)
        atomic_fetch_add(&tally->children_ok, 1);
    else
        atomic_store(&tally->failed, true);
    errno = err;
}

/* The interrupted loop. All calls are of kinds whose slow and fast paths a signal can hit. */
static void churn(unsigned char **blocks, size_t *sizes, uint64_t *rng)
{
    static const size_t limits[] = {REAL_SIZE, FRY_SMALL, FRY_SMALL, FRY_LARGE, 2 * BIG_SMALL};
    size_t i = rng_below(rng, OWN), size = 1 + rng_below(rng, limits[rng_below(rng, 5)]);
    size_t head = blocks[i] != NULL && sizes[i] < 64 ? sizes[i] : 64;
    if (blocks[i] != NULL)
        content_require(blocks[i], head, sizes[i], "interrupted loop");
    steps++;
    in_allocator = 1;
    if (blocks[i] == NULL) {
        blocks[i] = malloc(size);
    } else if (rng_below(rng, 2) == 0) {
        blocks[i] = realloc(blocks[i], size);
    } else {
        free(blocks[i]);
        blocks[i] = NULL;
        size = 0;
    }
    in_allocator = 0;
    REQUIRE(blocks[i] != NULL || size == 0);
    sizes[i] = size;
    if (size != 0)
        content_fill(blocks[i], size < 64 ? size : 64, size);
}

static void churn_until_enough(uint64_t seed)
{
    unsigned char *blocks[OWN] = {NULL};
    size_t sizes[OWN];
    uint64_t rng = seed;
    while (atomic_load(&tally->forks) < forks_wanted) {
        churn(blocks, sizes, &rng);
        if (child_steps_left > 0 && --child_steps_left == 0) {
            require_still("child that went on");
            for (int i = 0; i < OWN; i++)
                free(blocks[i]);
            _exit(0);
        }
    }
    while (child_steps_left > 0) { /* a child of the last fork */
        churn(blocks, sizes, &rng);
        if (--child_steps_left == 0)
            _exit(0);
    }
    for (int i = 0; i < OWN; i++)
        free(blocks[i]);
}

static void *thread_main(void *argument)
{
    churn_until_enough((uintptr_t)argument);
    return NULL;
}

/* Another process that sends signals as long as this one wants forks. */
static pid_t sender_start(void)
{
    pid_t target = getpid();
    pid_t sender = require_fork();
    if (sender != 0)
        return sender;
    signal(SIGALRM, SIG_DFL);
    alarm(HANG_SECONDS * 4);
    while (atomic_load(&tally->forks) < forks_wanted && getppid() == target) {
        kill(target, SIGUSR1);
        usleep(300);
    }
    _exit(0);
}

/* A hang shows as forks that stop coming: the watcher then ends the test's processes. */
static pid_t watcher_start(void)
{
    pid_t target = getpid();
    pid_t watcher = require_fork();
    if (watcher != 0)
        return watcher;
    long last = -1, now;
    while ((now = atomic_load(&tally->forks)) < forks_wanted && now != last) {
        last = now;
        for (int i = 0; i < HANG_SECONDS * 10; i++) {
            if (atomic_load(&tally->forks) >= forks_wanted || getppid() != target)
                _exit(0);
            usleep(100000);
        }
    }
    if (now < forks_wanted && getppid() == target) {
        fprintf(stderr, "FAIL: hangs after %ld forks\n", now);
        kill(target, SIGKILL);
        _exit(1);
    }
    _exit(0);
}

static void handlers_install(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaddset(&action.sa_mask, SIGALRM);
    sigaddset(&action.sa_mask, SIGUSR1);
    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
}

static void signals_ignore(void)
{
    timer_set(0);
    REQUIRE(signal(SIGALRM, SIG_IGN) != SIG_ERR && signal(SIGUSR1, SIG_IGN) != SIG_ERR);
}

static void require_tally(const char *what)
{
    REQUIRE(!atomic_load(&tally->failed));
    REQUIRE(atomic_load(&tally->forks) == forks_wanted);
    REQUIRE(atomic_load(&tally->children_ok) == forks_wanted);
    require_still(what);
    printf("ok: %s: %ld forks in a handler, %ld of them inside an allocator call, mode %s\n", what,
           forks_wanted, atomic_load(&tally->in_allocator), fork_mode());
    REQUIRE(atomic_load(&tally->in_allocator) * 10 > forks_wanted);
}

static void one_thread(void)
{
    async_fork = fork;
    pid_t watcher = watcher_start();
    handlers_install();
    pid_t sender = sender_start();
    timer_set(100);
    churn_until_enough(1);
    signals_ignore();
    require_exit_0(sender, "sender");
    require_exit_0(watcher, "watcher");
    require_tally("one thread");
}

/* tgkill: each thread is interrupted in its own allocator calls. */
static void several_threads(void)
{
    async_fork = (pid_t(*)(void))dlsym(RTLD_DEFAULT, "_Fork");
    if (async_fork == NULL) {
        printf("skip: several threads: this libc has no _Fork\n");
        return;
    }
    memset(tally, 0, sizeof *tally);
    pid_t watcher = watcher_start();
    pthread_t threads[THREADS];
    handlers_install();
    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, thread_main, (void *)(i + 10)) == 0);
    sigset_t set; /* this thread sends, and forks nothing itself */
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigaddset(&set, SIGUSR1);
    REQUIRE(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    for (int i = 0; atomic_load(&tally->forks) < forks_wanted; i++) {
        pthread_kill(threads[i % THREADS], SIGUSR1);
        usleep(200);
    }
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    signals_ignore();
    require_exit_0(watcher, "watcher");
    require_tally("several threads");
}

int main(int argc, char **argv)
{
    fork_test_begin(argv);
    forks_wanted = argc > 1 ? atol(argv[1]) : forks_copy() ? 200 : 400;
    first_process = getpid();
    tally = common_memory(sizeof *tally);
    for (int i = 0; i < STILL; i++)
        still[i] = block_new(still_sizes[i % 4], (uint64_t)i + 1);
    one_thread();
    several_threads();
    return 0;
}
