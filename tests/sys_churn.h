/* sys_churn.h - random allocating, growing, shrinking and freeing of bigmaacs and fries, with
 * forks in between, every byte checked. BIGMAAC_MIN_BIGMAAC_SIZE=64K BIGMAAC_MIN_FRY_SIZE=128
 * are expected. */
#ifndef SYS_CHURN_H
#define SYS_CHURN_H

#include "sys_blocks.h"
#include "sys_files.h"
#include <sys/wait.h>

enum { CHURN_BLOCKS = 300 };
static struct block churn_blocks[CHURN_BLOCKS];
static uint64_t churn_seed;

static inline size_t churn_size(void)
{
    switch (random_below(8)) {
    case 0: return random_below(128);
    case 1: return 65537 + random_below(3 << 20);
    case 2: return 65537 + random_below(200000);
    default: return 129 + random_below(65536 - 128);
    }
}

static inline void churn_step(void)
{
    struct block *b = &churn_blocks[random_below(CHURN_BLOCKS)];
    if (b->p == NULL) {
        CHECK(block_new(b, churn_size(), churn_seed++));
    } else if (random_below(2)) {
        CHECK(block_resize(b, churn_size() + 1));
    } else {
        CHECK(block_intact(b));
        block_drop(b);
    }
}

/* A child finds everything as it was, and changes it all; the parent does not notice. */
static inline void churn_fork(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        checks_failed = 0;
        CHECK(blocks_damaged(churn_blocks, CHURN_BLOCKS) == 0);
        for (size_t i = 0; i < 200; i++)
            churn_step();
        for (size_t i = 0; i < CHURN_BLOCKS; i++)
            if (churn_blocks[i].p)
                block_paint(&churn_blocks[i], 1000000 + i);
        CHECK(blocks_damaged(churn_blocks, CHURN_BLOCKS) == 0);
        CHECK(swap_names() == 0);
        _exit(check_result());
    }
    for (size_t i = 0; i < 50; i++)
        churn_step();
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(blocks_damaged(churn_blocks, CHURN_BLOCKS) == 0);
}

static inline void churn(size_t steps, size_t forks)
{
    for (size_t round = 0; round <= forks; round++) {
        for (size_t i = 0; i < steps / (forks + 1); i++)
            churn_step();
        CHECK(blocks_damaged(churn_blocks, CHURN_BLOCKS) == 0);
        CHECK(swap_names() == 0);
        if (round < forks)
            churn_fork();
    }
    /* Or the test was about nothing. */
    CHECK(blocks_of_kind(churn_blocks, CHURN_BLOCKS, BIGMAAC_KIND_BIGMAAC) > CHURN_BLOCKS / 20);
    CHECK(blocks_of_kind(churn_blocks, CHURN_BLOCKS, BIGMAAC_KIND_FRY) > CHURN_BLOCKS / 20);
}

#endif
