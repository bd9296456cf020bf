#!/usr/bin/env bash
# A program without handlers has a stack for them (sigaltstack) that ours would not fit in: it is not stopped, and lives.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
cat >"$TMP/job.c" <<'C'
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>
#include "check.h"

static atomic_int over, runs;

static void *count_main(void *bytes)
{
    const size_t guard = 65536;
    char *memory = mmap(NULL, 2 * guard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t use = {.ss_sp = memory + guard, .ss_size = (size_t)(intptr_t)bytes};
    memset(memory, 7, guard);
    CHECK(memory != MAP_FAILED && sigaltstack(&use, NULL) == 0);
    for (runs++; !over;)
        ;
    for (size_t i = 0; i < guard; i++)
        if (memory[i] != 7)
            checks_failed++;
    use.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&use, NULL) == 0);
    munmap(memory, 2 * guard);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    void *block = NULL;
    CHECK(pthread_create(&thread, NULL, count_main, (void *)(intptr_t)atoi(argv[argc - 1])) == 0);
    while (!runs)
        usleep(1000);
    CHECK(posix_memalign(&block, 65536, 1 << 20) == 0);
    memset(block, 1, 1 << 20);
    madvise(block, 65536, MADV_DONTFORK); /* stops the other thread, if it may */
    over = 1;
    pthread_join(thread, NULL);
    free(block);
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
for bytes in 2048 3500 4096 16384; do
    "$TMP/job" $bytes 2>"$TMP/err" || continue # the kernel wants more
    with BIGMAAC_MIN_BIGMAAC_SIZE=64K "$TMP/job" $bytes 2>"$TMP/err" || fail "$bytes: exit status $? with: $(head -n 5 "$TMP/err")"
done
