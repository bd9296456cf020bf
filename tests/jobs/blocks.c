/* blocks TURNS THREADS: blocks of many sizes, 14,000 of them live in each thread, written, checked before they are freed or
 * after they were resized. Prints a sum of what each thread read. Linked to, or run with, allocators of their own. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { LIVE = 14000, THREADS_MAX = 8 };

struct block {
    uint64_t *words;
    size_t bytes;
    uint64_t seed; /* what its words follow from */
};

static int turns;

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static size_t size_from(uint64_t random)
{
    unsigned part = random % 100;
    random >>= 8;
    return part < 60   ? 16 + random % 200
           : part < 90 ? 200 + random % 8000
           : part < 99 ? 8000 + random % 60000
                       : 100000 + random % 3000000;
}

static uint64_t word(const struct block *b, size_t i) { return b->seed + i * 0x9e3779b97f4a7c15; }

static void fill(struct block *b)
{
    for (size_t i = 0; i < b->bytes / 8; i++)
        b->words[i] = word(b, i);
}

static uint64_t sum(const struct block *b, size_t bytes)
{
    uint64_t total = 0;
    for (size_t i = 0; i < bytes / 8; i++) {
        if (b->words[i] != word(b, i)) {
            printf("wrong: word %zu of %zu bytes\n", i, b->bytes);
            exit(1);
        }
        total = total * 31 + b->words[i];
    }
    return total;
}

static void *there(void *block)
{
    if (!block) {
        puts("no memory");
        exit(1);
    }
    return block;
}

static uint64_t turn(struct block *b, uint64_t *state)
{
    uint64_t random = next(state), total = 0;
    size_t bytes = size_from(next(state)), before = b->bytes;
    if (b->words && random % 5 == 0) {
        b->words = there(realloc(b->words, bytes));
        b->bytes = bytes;
        total = sum(b, before < bytes ? before : bytes);
    } else {
        total = sum(b, before);
        free(b->words);
        void *p = NULL;
        if (random % 11 != 0)
            p = malloc(bytes);
        else if (posix_memalign(&p, 4096, bytes) != 0)
            p = NULL;
        *b = (struct block){there(p), bytes, random};
    }
    fill(b);
    return total;
}

static void *work(void *number)
{
    struct block *all = there(calloc(LIVE, sizeof *all));
    uint64_t state = 88172645463325252u + (uintptr_t)number, total = 0;
    for (int i = 0; i < turns; i++)
        total += turn(&all[i < LIVE ? (size_t)i : next(&state) % LIVE], &state);
    for (int i = 0; i < LIVE; i++) {
        total += sum(&all[i], all[i].bytes);
        free(all[i].words);
    }
    free(all);
    return (void *)(uintptr_t)total;
}

int main(int argc, char **argv)
{
    pthread_t thread[THREADS_MAX];
    void *total;
    turns = argc > 1 ? atoi(argv[1]) : 30000;
    int threads = argc > 2 ? atoi(argv[2]) : 1;
    for (int i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)i) != 0)
            return 1;
    for (int i = 0; i < threads; i++) {
        pthread_join(thread[i], &total);
        printf("%llx\n", (unsigned long long)(uintptr_t)total);
    }
    return 0;
}
