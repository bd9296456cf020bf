/* free(): double free of 0x* */
/* A fry freed by its own thread, and then by another. */
#include "check.h"
#include <pthread.h>

static void *free_it(void *p)
{
    free(p);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    char *keep = malloc(1000), *p = malloc(1000);
    free(p);
    pthread_create(&thread, NULL, free_it, opaque(p));
    pthread_join(thread, NULL);
    free(keep);
    return 0;
}
