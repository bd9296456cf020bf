/* api_keys.c - a process has all its keys for thread-specific data, also when blocks were allocated before; blocks of
 * threads that end after that are taken over. */
#include "check.h"

#include <limits.h>
#include <pthread.h>

static void *work(void *seed)
{
    unsigned char *p[200];
    for (size_t i = 0; i < 200; i++) {
        p[i] = malloc(200 + i);
        memset(p[i], (int)(size_t)seed, 200 + i);
    }
    for (size_t i = 0; i < 200; i++) {
        CHECK(p[i][199 + i] == (unsigned char)(size_t)seed);
        free(opaque(p[i]));
    }
    return NULL;
}

static void threads(void)
{
    pthread_t thread[8];
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < 8; i++)
            CHECK(pthread_create(&thread[i], NULL, work, (void *)i) == 0);
        for (size_t i = 0; i < 8; i++)
            CHECK(pthread_join(thread[i], NULL) == 0);
    }
}

int main(void)
{
    static pthread_key_t key[PTHREAD_KEYS_MAX];
    int made = 0;
    threads();
    while (made < PTHREAD_KEYS_MAX && pthread_key_create(&key[made], NULL) == 0)
        made++;
    CHECK(made == PTHREAD_KEYS_MAX); /* no other library here has one */
    threads();
    work(NULL);
    for (int i = 0; i < made; i++)
        CHECK(pthread_getspecific(key[i]) == NULL && pthread_setspecific(key[i], &key[i]) == 0);
    threads();
    for (int i = 0; i < made; i++)
        CHECK(pthread_getspecific(key[i]) == &key[i] && pthread_key_delete(key[i]) == 0);
    return check_result();
}
