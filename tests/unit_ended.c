/* unit_ended.c - threads whose data's destructors allocate to the last round: no heap and no slab is lost. */
#include "../bigmaac.c"
#include "check.h"

#include <limits.h>

#ifdef __SANITIZE_THREAD__ /* it leaves the thread in the last round itself */
enum { THREADS = 50, ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS - 2 };
#else
enum { THREADS = 50, ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS };
#endif

static pthread_key_t key;

static void destroy(void *round)
{
    void *block[40];
    for (int i = 0; i < 40; i++)
        CHECK((block[i] = bigmaac_malloc(1000)) != NULL && bigmaac_kind(block[i]) == BIGMAAC_KIND_FRY);
    for (int i = 0; i < 40; i++)
        bigmaac_free(block[i]);
    if ((uintptr_t)round < ROUNDS)
        pthread_setspecific(key, (void *)((uintptr_t)round + 1));
}

static void *user_main(void *unused)
{
    bigmaac_free(bigmaac_malloc(1000));
    pthread_setspecific(key, (void *)(uintptr_t)1);
    return unused;
}

int main(void)
{
    unsigned heaps = 0;
    setenv("BIGMAAC_MIN_FRY_SIZE", "64", 1);
    config_load();
    route_set_limit();
    bigmaac_free(bigmaac_malloc(1000)); /* its key comes before ours */
    pthread_key_create(&key, destroy);
    size_t bytes = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_t user;
        CHECK(pthread_create(&user, NULL, user_main, NULL) == 0);
        pthread_join(user, NULL);
        bytes = i == 0 ? fry.slab_bytes : bytes;
    }
    for (struct heap *h = fry.all; h; h = h->next_all)
        heaps++;
    CHECK(heaps <= 3 && fry.slab_bytes <= bytes);
    lock_take(&fry.lock);
    CHECK(!fry_check());
    lock_drop(&fry.lock);
    return check_result();
}
