/* unit_closed.c - the program has closed the library's descriptors and forks while another thread writes:
 * the parent loses no write, and the child has the blocks. A file that nothing is mapped from is gone then, and
 * the next one may have its number and, on some file systems, its inode. */
#include "../bigmaac.c"
#include "check.h"

#include <sys/wait.h>

enum { WORDS = 2 << 20, FRIES = 200, FRY_WORDS = 8000 };

static uint64_t *large, *fry_block[FRIES];
static atomic_bool ready, over;

static void *writer_main(void *unused)
{
    (void)unused;
    uintptr_t rounds = 0;
    for (; !atomic_load(&over); rounds++, atomic_store(&ready, true)) {
        for (size_t i = 0; i < WORDS; i += 64)
            large[i]++;
        for (size_t b = 0; b < FRIES; b++)
            for (size_t i = 0; i < FRY_WORDS; i += 64)
                fry_block[b][i]++;
    }
    return (void *)rounds;
}

static size_t differ_by_more(uint64_t from, uint64_t to)
{
    size_t wrong = 0;
    for (size_t i = 0; i < WORDS; i++)
        wrong += i % 64 ? large[i] != i : large[i] - i < from || large[i] - i > to;
    for (size_t b = 0; b < FRIES; b++)
        for (size_t i = 0; i < FRY_WORDS; i++)
            wrong += i % 64 ? fry_block[b][i] != i : fry_block[b][i] - i < from || fry_block[b][i] - i > to;
    return wrong;
}

static void in_child(void)
{
    CHECK(differ_by_more(0, UINT32_MAX) == 0);
    memset(large, 0xee, WORDS * sizeof *large); /* its own */
    for (size_t b = 0; b < FRIES; b++) {
        memset(fry_block[b], 0xee, FRY_WORDS * sizeof(uint64_t));
        bigmaac_free(fry_block[b]);
    }
    bigmaac_free(large);
    CHECK(!fry_check() && !big_check() && !extent_check(&fry.space));
    _exit(check_result());
}

static void test_number_and_inode_again(void)
{
    struct file first, next;
    CHECK(file_create(&first, 0) == REASON_NONE);
    close(first.fd);
    CHECK(file_create(&next, 0) == REASON_NONE && next.fd == first.fd);
    CHECK(file_valid(&next) && !file_valid(&first));
    file_close(&next);
    atomic_fetch_sub(&folder.files, 1); /* the first one's */
}

int main(void)
{
    pthread_t writer;
    void *rounds;
#ifdef __SANITIZE_THREAD__ /* it writes while the copies are made: that is the point */
    return 0;
#endif
    setenv("BIGMAAC_MIN_FRY_SIZE", "64", 1);
    config_load();
    route_set_limit();
    test_number_and_inode_again();
    large = bigmaac_malloc(WORDS * sizeof *large);
    for (size_t i = 0; i < WORDS; i++)
        large[i] = i;
    for (size_t b = 0; b < FRIES; b++) {
        fry_block[b] = bigmaac_malloc(FRY_WORDS * sizeof(uint64_t) - b % 2 * 64);
        fry_block[b] = bigmaac_realloc(fry_block[b], FRY_WORDS * sizeof(uint64_t));
        for (size_t i = 0; i < FRY_WORDS; i++)
            fry_block[b][i] = i;
    }
    CHECK(pthread_create(&writer, NULL, writer_main, NULL) == 0);
    while (!atomic_load(&ready))
        sleep_ms(1);
    close(fry.file.fd);
    close(big_at(1)->file.fd);
    for (int forks = 0; forks < 3; forks++) {
        pid_t pid = fork();
        if (pid == 0)
            in_child();
        int status = -1;
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    }
    atomic_store(&over, true);
    pthread_join(writer, &rounds);
    CHECK(differ_by_more((uintptr_t)rounds, (uintptr_t)rounds) == 0);
    CHECK(!fry_check() && !big_check());
    return check_result();
}
