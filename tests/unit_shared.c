/* unit_shared.c - several threads ask for the size of one live bigmaac and drop parts of it at the same time. */
#include "../bigmaac.c"
#include "check.h"

enum { PART = 1 << 20, ROUNDS = 300 };

static unsigned char *block;
static atomic_uint wrong;

static void *user_main(void *number)
{
    unsigned char *part = block + (uintptr_t)number * PART;
    for (int i = 0; i < ROUNDS; i++) {
        if (bigmaac_malloc_usable_size(block) != 2 * PART)
            atomic_fetch_add(&wrong, 1);
        memset(part, 1, 4096);
        if (madvise_own(part, PART, MADV_DONTNEED) != 0 || !is_zero(part, 4096))
            atomic_fetch_add(&wrong, 1);
    }
    return NULL;
}

int main(void)
{
    pthread_t user[2];
    setenv("BIGMAAC_MIN_BIGMAAC_SIZE", "64K", 1);
    setenv("BIGMAAC_RECYCLE", "0", 1); /* nothing for a monitor to do */
    config_load();
    route_set_limit();
    block = bigmaac_malloc(2 * PART);
    memset(block, 1, 2 * PART);
    for (uintptr_t i = 0; i < 2; i++)
        CHECK(pthread_create(&user[i], NULL, user_main, (void *)i) == 0);
    for (int i = 0; i < 2; i++)
        pthread_join(user[i], NULL);
    CHECK(wrong == 0);
    bigmaac_free(block);
    CHECK(!big_check());
    return check_result();
}
