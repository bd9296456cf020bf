/* free(): double free of 0x* */
/* A fry freed by another thread, and then by its own. */
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
    pthread_create(&thread, NULL, free_it, p);
    pthread_join(thread, NULL);
    free(opaque(p));
    free(keep);
    return 0;
}
