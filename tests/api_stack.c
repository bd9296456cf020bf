/* api_stack.c - a thread with the smallest stack that there is takes, resizes and frees blocks. */
#include "check.h"
#include <limits.h>
#include <pthread.h>
#include <unistd.h>

static void *work(void *unused)
{
    for (int i = 0; i < 3; i++) {
        char *p = opaque(malloc(20 << 20)), *q = opaque(calloc(1, 3000000)), *r = opaque(malloc(100));
        p[0] = q[0] = r[0] = 1;
        p = opaque(realloc(p, 40 << 20));
        r = opaque(realloc(r, 70000));
        p[(40 << 20) - 1] = 1;
        free(p);
        free(q);
        free(r);
        usleep(250000); /* the library looks anew how much memory is left */
    }
    return unused;
}

int main(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    CHECK(pthread_attr_setstacksize(&attr, (size_t)PTHREAD_STACK_MIN) == 0);
    CHECK(pthread_create(&thread, &attr, work, NULL) == 0);
    pthread_join(thread, NULL);
    return check_result();
}
