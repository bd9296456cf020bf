/* api_same_block.c - several threads ask about one block, and zero parts of it, at the same time. */
#define _GNU_SOURCE
#include "check.h"
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { THREADS = 4, ROUNDS = 60 };
static const size_t part = 4 << 20;
static char *block;
static atomic_int done;
static pthread_barrier_t begin, end;

/* Each thread has its own part of the block. */
static void *zero_part(void *at)
{
    char *own = at;
    for (int round = 0; round < ROUNDS; round++) {
        memset(own, 0x55, part);
        pthread_barrier_wait(&begin);
        CHECK(madvise(own, part, MADV_DONTNEED) == 0);
        pthread_barrier_wait(&end);
        CHECK(is_zero(own, part));
    }
    return NULL;
}

static void *ask(void *unused)
{
    while (!atomic_load(&done))
        CHECK(malloc_usable_size(block) >= THREADS * part);
    return unused;
}

int main(void)
{
    pthread_t zero[THREADS], asks[2];
    block = opaque(aligned_alloc(65536, THREADS * part));
    CHECK(block != NULL);
    pthread_barrier_init(&begin, NULL, THREADS);
    pthread_barrier_init(&end, NULL, THREADS);
    for (int i = 0; i < 2; i++)
        pthread_create(&asks[i], NULL, ask, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&zero[i], NULL, zero_part, block + (size_t)i * part);
    for (int i = 0; i < THREADS; i++)
        pthread_join(zero[i], NULL);
    atomic_store(&done, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(asks[i], NULL);
    free(block);
    return check_result();
}
