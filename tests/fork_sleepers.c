/* fork_sleepers.c - threads that sleep on a futex in a block while another thread forks: each wakes when it is told to,
 * in time, and none before. Process-shared ones are known to the kernel by their file page, which a fork changes.
 */
#include "fork_common.h"

#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>

enum { FORKS = 4, HANG_SECONDS = 300, BLOCKS = 3 };

static const size_t sizes[BLOCKS] = {FRY_SMALL, BIG_SMALL, BIG_LARGE};

/* What the threads sleep on; in one block. */
struct things {
    sem_t semaphore, timed_semaphore;
    pthread_mutex_t mutex, robust, inheriting, timed_mutex;
    pthread_cond_t condition, timed_condition;
    pthread_mutex_t of_condition;
    pthread_barrier_t barrier;
    pthread_rwlock_t rwlock;
    atomic_uint raw, timed, bits, several, word;
    atomic_bool told; /* the condition is true */
    atomic_int asleep, awake;
};

static struct timespec in_seconds(clockid_t clock, long seconds)
{
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_sec += seconds;
    return t;
}

/* A futex wait ends early without a cause now and then, so its callers look again. */
static void raw_wait(atomic_uint *word, int operation, const struct timespec *limit)
{
    while (atomic_load(word) == 0) {
        long result = syscall(SYS_futex, word, operation, 0, limit, NULL, FUTEX_BITSET_MATCH_ANY);
        REQUIRE(result == 0 || errno == EAGAIN);
    }
}

#ifdef SYS_futex_waitv
static void wait_several(struct things *t)
{
    struct futex_waitv waiters[2] = {{.uaddr = (uintptr_t)&t->word, .flags = FUTEX_32},
                                     {.uaddr = (uintptr_t)&t->several, .flags = FUTEX_32}};
    while (atomic_load(&t->several) == 0) {
        long result = syscall(SYS_futex_waitv, waiters, 2, 0, NULL, 0);
        if (result < 0 && errno == ENOSYS)
            return;
        REQUIRE(result >= 0 || errno == EAGAIN);
    }
}
#else
static void wait_several(struct things *t) { (void)t; }
#endif

static void wait_for(struct things *t, int what)
{
    const struct timespec limit = in_seconds(CLOCK_REALTIME, HANG_SECONDS), span = {.tv_sec = HANG_SECONDS};
    switch (what) {
    case 0: REQUIRE(sem_wait(&t->semaphore) == 0); break;
    case 1: REQUIRE(sem_timedwait(&t->timed_semaphore, &limit) == 0); break;
    case 2: REQUIRE(pthread_mutex_lock(&t->mutex) == 0 && pthread_mutex_unlock(&t->mutex) == 0); break;
    case 3: REQUIRE(pthread_mutex_lock(&t->robust) == 0 && pthread_mutex_unlock(&t->robust) == 0); break;
    case 4: REQUIRE(pthread_mutex_lock(&t->inheriting) == 0 && pthread_mutex_unlock(&t->inheriting) == 0); break;
    case 5: REQUIRE(pthread_mutex_timedlock(&t->timed_mutex, &limit) == 0 && pthread_mutex_unlock(&t->timed_mutex) == 0); break;
    case 6:
    case 7:
        pthread_mutex_lock(&t->of_condition);
        while (!atomic_load(&t->told))
            REQUIRE((what == 6 ? pthread_cond_wait(&t->condition, &t->of_condition)
                               : pthread_cond_timedwait(&t->timed_condition, &t->of_condition, &limit)) == 0);
        pthread_mutex_unlock(&t->of_condition);
        break;
    case 8: pthread_barrier_wait(&t->barrier); break;
    case 9: REQUIRE(pthread_rwlock_rdlock(&t->rwlock) == 0 && pthread_rwlock_unlock(&t->rwlock) == 0); break;
    case 10: raw_wait(&t->raw, FUTEX_WAIT, NULL); break;
    case 11: raw_wait(&t->timed, FUTEX_WAIT, &span); break;
    case 12: raw_wait(&t->bits, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, &limit); break;
    default: wait_several(t);
    }
}
enum { WAITS = 14 };

struct sleeper {
    struct things *things;
    int what;
};

static void *sleep_main(void *argument)
{
    struct sleeper *s = argument;
    atomic_fetch_add(&s->things->asleep, 1);
    wait_for(s->things, s->what);
    atomic_fetch_add(&s->things->awake, 1);
    return NULL;
}

static void mutex_make(pthread_mutex_t *mutex, int robust, int protocol)
{
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&a, robust);
    pthread_mutexattr_setprotocol(&a, protocol);
    REQUIRE(pthread_mutex_init(mutex, &a) == 0 && pthread_mutex_lock(mutex) == 0);
}

/* All are taken; the condition is false. */
static struct things *things_make(size_t size)
{
    pthread_condattr_t c;
    pthread_barrierattr_t b;
    pthread_rwlockattr_t r;
    struct things *t = block_new(size, 0);
    sem_init(&t->semaphore, 1, 0);
    sem_init(&t->timed_semaphore, 1, 0);
    mutex_make(&t->mutex, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);
    mutex_make(&t->robust, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE);
    mutex_make(&t->inheriting, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT);
    mutex_make(&t->timed_mutex, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);
    mutex_make(&t->of_condition, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);
    pthread_mutex_unlock(&t->of_condition);
    pthread_condattr_init(&c);
    pthread_condattr_setpshared(&c, PTHREAD_PROCESS_SHARED);
    REQUIRE(pthread_cond_init(&t->condition, &c) == 0 && pthread_cond_init(&t->timed_condition, &c) == 0);
    pthread_barrierattr_init(&b);
    pthread_barrierattr_setpshared(&b, PTHREAD_PROCESS_SHARED);
    REQUIRE(pthread_barrier_init(&t->barrier, &b, 2) == 0);
    pthread_rwlockattr_init(&r);
    pthread_rwlockattr_setpshared(&r, PTHREAD_PROCESS_SHARED);
    REQUIRE(pthread_rwlock_init(&t->rwlock, &r) == 0 && pthread_rwlock_wrlock(&t->rwlock) == 0);
    return t;
}

static void word_raise(atomic_uint *word)
{
    atomic_store(word, 1);
    syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void wake_all(struct things *t)
{
    sem_post(&t->semaphore);
    sem_post(&t->timed_semaphore);
    pthread_mutex_unlock(&t->mutex);
    pthread_mutex_unlock(&t->robust);
    pthread_mutex_unlock(&t->inheriting);
    pthread_mutex_unlock(&t->timed_mutex);
    pthread_mutex_lock(&t->of_condition);
    atomic_store(&t->told, true);
    pthread_cond_broadcast(&t->condition);
    pthread_cond_broadcast(&t->timed_condition);
    pthread_mutex_unlock(&t->of_condition);
    pthread_barrier_wait(&t->barrier);
    pthread_rwlock_unlock(&t->rwlock);
    word_raise(&t->raw);
    word_raise(&t->timed);
    word_raise(&t->bits);
    word_raise(&t->several);
}

static void *fork_main(void *unused)
{
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            alarm(HANG_SECONDS);
            if (i % 2 == 0)
                _exit(0);
            pid_t next = fork();
            REQUIRE(next >= 0);
            if (next == 0)
                _exit(0);
            require_exit_0(next, "grandchild");
            _exit(0);
        }
        require_exit_0(child, "child");
    }
    return unused;
}

static void forks_elsewhere(void)
{
    pthread_t forker;
    REQUIRE(pthread_create(&forker, NULL, fork_main, NULL) == 0);
    REQUIRE(pthread_join(forker, NULL) == 0);
}

static void sleepers(size_t size)
{
    struct things *t = things_make(size);
    struct sleeper sleeper[WAITS];
    pthread_t threads[WAITS];
    for (int i = 0; i < WAITS; i++) {
        sleeper[i] = (struct sleeper){t, i};
        REQUIRE(pthread_create(&threads[i], NULL, sleep_main, &sleeper[i]) == 0);
    }
    while (atomic_load(&t->asleep) < WAITS)
        usleep(1000);
    usleep(50000); /* most do sleep then; who doesn't yet must wake as well */
    forks_elsewhere();
    REQUIRE(atomic_load(&t->awake) <= 1); /* futex_waitv's, where the kernel has none */
    wake_all(t);
    for (int i = 0; i < WAITS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    REQUIRE(t->awake == WAITS);
    free(t);
}

static void *stay_main(void *end)
{
    char x;
    REQUIRE(read(((int *)end)[0], &x, 1) == 1);
    return NULL;
}

static void *join_main(void *thread)
{
    REQUIRE(pthread_join(*(pthread_t *)thread, NULL) == 0);
    return NULL;
}

/* The kernel wakes who joins a thread, by a word in that thread's stack. */
static void joins(size_t size)
{
    pthread_attr_t attr;
    pthread_t staying, joining;
    int end[2];
    void *stack = pages_new(size, 3);
    REQUIRE(pipe(end) == 0 && pthread_attr_init(&attr) == 0 && pthread_attr_setstack(&attr, stack, size) == 0);
    REQUIRE(pthread_create(&staying, &attr, stay_main, end) == 0);
    REQUIRE(pthread_create(&joining, NULL, join_main, &staying) == 0);
    usleep(50000);
    forks_elsewhere();
    REQUIRE(write(end[1], "x", 1) == 1);
    REQUIRE(pthread_join(joining, NULL) == 0);
    close(end[0]);
    close(end[1]);
    free(stack);
}

/* Time limits hold, forks or not. */
static void limits(size_t size)
{
    struct things *t = things_make(size);
    struct timespec limit = in_seconds(CLOCK_REALTIME, 1), now;
    pthread_t forker;
    REQUIRE(pthread_create(&forker, NULL, fork_main, NULL) == 0);
    REQUIRE(sem_timedwait(&t->semaphore, &limit) == -1 && errno == ETIMEDOUT);
    REQUIRE(pthread_mutex_timedlock(&t->timed_mutex, &limit) == ETIMEDOUT);
    clock_gettime(CLOCK_REALTIME, &now);
    REQUIRE(now.tv_sec > limit.tv_sec || (now.tv_sec == limit.tv_sec && now.tv_nsec >= limit.tv_nsec));
    REQUIRE(pthread_join(forker, NULL) == 0);
    free(t);
}

int main(int argc, char **argv)
{
    (void)argc;
    fork_test_begin(argv);
    alarm(HANG_SECONDS);
    for (int i = 0; i < BLOCKS; i++) {
        sleepers(sizes[i]);
        limits(sizes[i]);
    }
    joins(FRY_LARGE);
    joins(BIG_SMALL);
    joins(BIG_LARGE);
    printf("ok: %d kinds of waits in %d sizes, mode %s\n", WAITS, BLOCKS, fork_mode());
    return 0;
}
