/* unit_remote.c - blocks freed by another thread wait in its heap: until it ends, or needs a slab; not for
 * ever, not twice, and a child that is forked meanwhile has consistent books. */
#include "../bigmaac.c"
#include "check.h"

#include <sys/wait.h>

enum { BLOCKS = 300, SIZE = 200 };

static void *block[BLOCKS];
static pthread_barrier_t barrier;

/* Bytes in live fries, once all that was pushed is collected. */
static size_t live_now(void)
{
    lock_take(&fry.lock);
    heap_collect(heap_self);
    const char *wrong = fry_check();
    size_t live = fry_live_bytes();
    lock_drop(&fry.lock);
    if (wrong)
        fprintf(stderr, "%s\n", wrong);
    CHECK(!wrong);
    return live;
}

static void take_blocks(void)
{
    for (int i = 0; i < BLOCKS; i++)
        CHECK((block[i] = bigmaac_malloc(SIZE)) != NULL);
}

static void meet(void) { pthread_barrier_wait(&barrier); }

/* Frees, meets, asks for a slab of another class, meets, frees again, meets, and ends. */
static void *other(void *unused)
{
    (void)unused;
    for (int i = 0; i < BLOCKS; i++)
        bigmaac_free(block[i]);
    meet();
    meet();
    void *p = bigmaac_malloc(50);
    meet();
    meet();
    for (int i = 0; i < BLOCKS; i++)
        bigmaac_free(block[i]);
    bigmaac_free(p);
    meet();
    meet();
    return NULL;
}

/* In a child, without the thread that what waits belongs to: a word of blocks at most stays in use. */
static void check_child(size_t before)
{
    pid_t pid = fork();
    if (pid == 0) {
        size_t live = live_now();
        CHECK(live >= before && live <= before + 64 * 256);
        for (int i = 0; i < BLOCKS; i++)
            CHECK((block[i] = bigmaac_malloc(SIZE)) != NULL);
        for (int i = 0; i < BLOCKS; i++)
            bigmaac_free(block[i]);
        CHECK(live_now() == live);
        _exit(check_result());
    }
    int status = -1;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

int main(void)
{
    pthread_t thread;
    setenv("BIGMAAC_MIN_FRY_SIZE", "16", 1);
    config_load();
    route_set_limit();
    void *keep = bigmaac_malloc(SIZE);
    size_t before = live_now();
    take_blocks();
    pthread_barrier_init(&barrier, NULL, 2);
    CHECK(pthread_create(&thread, NULL, other, NULL) == 0);
    meet();
    size_t live = live_now();
    CHECK(live > before && live <= before + 64 * 256); /* else nothing waits, and this tests nothing */
    check_child(before);
    meet();
    meet();
    size_t other_block = live_now() - before;
    CHECK(other_block >= 50 && other_block <= 64); /* its new block alone */
    take_blocks();
    meet();
    meet();
    check_child(before);
    meet();
    pthread_join(thread, NULL);
    CHECK(live_now() == before);
    bigmaac_free(keep);
    return check_result();
}
