/* unit_hold.c - when memory that is changed over and over is held from the disk, and what it is then: for every thread's eyes
 * the same. */
#include "../bigmaac.c"
#include "check.h"

enum { BYTES = 64 << 20 };

static char *data;

/* As if so much had been changed, in a second. */
static bool due_after(size_t changed)
{
    static char page[1 << 20], path[4096];
    snprintf(path, sizeof path, "%s/written.XXXXXX", getenv("TMP") ? getenv("TMP") : "/var/tmp");
    int fd = mkstemp(path); /* the kernel counts that as it does pages of a mapping */
    unlink(path);
    op_usage(&hold.last);
    for (size_t written = 0; written < changed; written += sizeof page)
        CHECK(write(fd, page, sizeof page) == sizeof page);
    close(fd);
    hold.last.ms = op_now() - hold_look_ms;
    return hold_is_due();
}

static void test_due(void)
{
    op_usage(&hold.last);
    CHECK(!hold_is_due() && !hold.changed);      /* too soon */
    CHECK(!due_after(hold_least / 2) && !hold.changed); /* little */
    CHECK(!due_after(BYTES + BYTES / 2) && hold.changed >= BYTES + BYTES / 2);
    CHECK(due_after(2 * BYTES));
    hold.again_ms = op_now() + 100000;
    CHECK(!due_after(2 * BYTES));
    hold.again_ms = hold.changed = 0;
    CHECK(!due_after(0) && !hold.rest_ms);
}

static atomic_bool over;
static atomic_uint rounds;

/* A counter in each page only goes up, whoever looks. */
static void *count_main(void *first)
{
    for (unsigned round = 1; !atomic_load(&over); round++) {
        for (size_t at = (size_t)first; at < BYTES; at += 2 * page_size) {
            unsigned *word = (unsigned *)(void *)(data + at);
            CHECK(*word == round - 1);
            *word = round;
        }
        atomic_fetch_add(&rounds, 1);
    }
    return NULL;
}

/* Sleeps on a word of the block that other processes could wake it by. */
static void *sleep_main(void *word)
{
    while (!atomic_load((atomic_int *)word))
        syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
    return NULL;
}

static void test_threads(void)
{
    pthread_t thread[2], sleeper[2];
    memset(data, 0, BYTES);
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_create(&thread[i], NULL, count_main, (void *)(i * page_size)) == 0);
    atomic_int *word = (atomic_int *)(void *)(data + 64);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&sleeper[i], NULL, sleep_main, &word[i]) == 0);
    while (atomic_load(&rounds) < 4)
        sleep_ms(1);
    struct big *r = big_at(1);
    CHECK(r->backing == BACKED_SHARED);
    sigmask saved;
    signals_hold(&saved);
    mon_self = true;
    atomic_store(&mon.tid, sys_gettid());
    for (int tries = 0; tries < 100 && r->backing == BACKED_SHARED; tries++)
        hold_all(); /* a thread may not stop in time */
    CHECK(r->backing == BACKED_FROZEN && home.held && atomic_load(&home.frozen_bytes) == BYTES);
    atomic_store(&word[0], 1);
    syscall(SYS_futex, &word[0], FUTEX_WAKE, 1, NULL, NULL, 0);
    CHECK(pthread_join(sleeper[0], NULL) == 0);
    unsigned before = atomic_load(&rounds);
    while (atomic_load(&rounds) < before + 4)
        sleep_ms(1);
    for (int tries = 0; tries < 100 && r->backing != BACKED_SHARED; tries++)
        home_round(BYTES, home_await_ms);
    CHECK(r->backing == BACKED_SHARED && !atomic_load(&home.frozen_bytes));
    atomic_store(&word[1], 1);
    syscall(SYS_futex, &word[1], FUTEX_WAKE, 1, NULL, NULL, 0);
    CHECK(pthread_join(sleeper[1], NULL) == 0);
    atomic_store(&mon.tid, 0);
    mon_self = false;
    sys_sigmask(SIG_SETMASK, &saved, NULL);
    before = atomic_load(&rounds);
    while (atomic_load(&rounds) < before + 4)
        sleep_ms(1);
    atomic_store(&over, true);
    for (size_t i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
}

int main(void)
{
    atomic_store(&mon.running, true); /* the looks are ours */
    data = bigmaac_malloc(BYTES);
    CHECK(data && mem_owns(data));
    mon_open();
    test_due();
#ifndef __SANITIZE_THREAD__ /* its threads can't be stopped */
    test_threads();
#endif
    CHECK(!extent_check(&big.space) && !big_check() && !fry_check());
    bigmaac_free(data);
    return check_result();
}
