/* fork_begin.c - a fork between the making of the monitor and its first instruction: glibc must take the process
 * for one with a single thread there, too, or a fork in a handler that interrupted its malloc hangs. */
#include "fork_common.h"

#include <dlfcn.h>
#include <pthread.h>

struct start {
    void *(*begin)(void *);
    void *argument;
};

static char *single, seen;

static void *late(void *p)
{
    struct start start = *(struct start *)p;
    usleep(500000);
    return start.begin(start.argument);
}

/* In place of glibc's: the thread takes its time. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*begin)(void *), void *argument)
{
    static struct start start;
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&next = dlsym(RTLD_NEXT, "pthread_create");
    start = (struct start){begin, argument};
    return next(thread, attr, late, &start);
}

static void look(void) { seen = *single; }

static void require_single(const char *when)
{
    seen = 0;
    pid_t child = require_fork();
    if (child == 0)
        _exit(0);
    require_exit_0(child, when);
    if (!seen)
        fail("%s: glibc believes in several threads", when);
}

int main(int argc, char **argv)
{
    (void)argc;
    fork_test_begin(argv);
    void *libc = dlopen("libc.so.6", RTLD_NOW);
    single = libc ? dlsym(libc, "__libc_single_threaded") : NULL;
    if (!single) {
        printf("skip: no __libc_single_threaded\n");
        return 0;
    }
    REQUIRE(pthread_atfork(look, NULL, NULL) == 0);
    free(block_new(BIG_LARGE, 1)); /* work for the monitor */
    require_single("before it has begun");
    usleep(700000);
    require_single("after that");
    return 0;
}
