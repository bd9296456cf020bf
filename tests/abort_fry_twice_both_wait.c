/* free(): double free of 0x* */
/* A fry freed by two threads, neither of which allocated it, while both go on. */
#include "check.h"
#include <pthread.h>

static pthread_barrier_t barrier;

static void *free_it(void *p)
{
    free(p);
    pthread_barrier_wait(&barrier);
    return NULL;
}

int main(void)
{
    pthread_t thread[2];
    char *keep = malloc(1000), *p = malloc(1000);
    pthread_barrier_init(&barrier, NULL, 2);
    for (int i = 0; i < 2; i++)
        pthread_create(&thread[i], NULL, free_it, opaque(p));
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    free(keep);
    return 0;
}
