/* free(): double free of 0x* */
/* A fry freed twice by a thread that did not allocate it, one right after the other. */
#include "check.h"
#include <pthread.h>

static void *free_it(void *p)
{
    free(p);
    free(opaque(p));
    return NULL;
}

int main(void)
{
    pthread_t thread;
    char *keep = malloc(1000), *p = malloc(1000);
    pthread_create(&thread, NULL, free_it, p);
    pthread_join(thread, NULL);
    free(keep);
    return 0;
}
