/* fork.c - what fork costs a process with a lot of data.
 * SPDX-License-Identifier: MIT
 *
 *     fork MIB [thp-off|thp [BLOCKS [PROTECTED]]]
 *
 * MIB in BLOCKS blocks (of 256 MiB) from malloc, filled; thp-off: in 4 KiB pages. A page of PROTECTED of them can't be
 * written to. Prints: milliseconds
 * until both sides are ready to run (the child has touched a byte, the parent has come back from
 * fork), then seconds for reading everything before the fork, after it in the parent and in the
 * child.
 */
#include "bench.h"
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t block_bytes = (size_t)256 << 20;

struct meeting {
    uint64_t child_ready; /* ns; 0: not yet */
    double child_read;
    int wrong;
};

static size_t block_count;
static uint64_t **blocks;

/* Reads one word of each cache line. Returns the seconds; *sum for the check. */
static double read_all(uint64_t *sum)
{
    uint64_t begin = now_ns(), total = 0;
    for (size_t b = 0; b < block_count; b++)
        for (size_t i = 0; i < block_bytes / 8; i += 8)
            total += blocks[b][i];
    *sum = total;
    return (double)(now_ns() - begin) / 1e9;
}

static void child(struct meeting *m, int go, uint64_t expected)
{
    *(volatile char *)blocks[0] = 0;
    __atomic_store_n(&m->child_ready, now_ns(), __ATOMIC_RELEASE);
    char c;
    uint64_t sum;
    if (read(go, &c, 1) != 1)
        _exit(1);
    m->child_read = read_all(&sum);
    m->wrong = sum != expected; /* the touched byte was 0 before as well */
    _exit(0);
}

int main(int argc, char **argv)
{
    size_t bytes = argc > 1 ? strtoul(argv[1], NULL, 10) << 20 : 0, locked = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    size_t blocks_asked = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    if (blocks_asked)
        block_bytes = bytes / blocks_asked & ~(size_t)63;
    block_count = block_bytes ? bytes / block_bytes : 0;
    if (!block_count || locked > block_count) {
        fprintf(stderr, "usage: fork MIB [thp-off|thp [BLOCKS [PROTECTED]]], MIB from 256\n");
        return 2;
    }
    if (argc > 2 && strcmp(argv[2], "thp") != 0 && prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0)
        die("prctl");
    blocks = own_memory(block_count * sizeof *blocks);
    for (size_t b = 0; b < block_count; b++) {
        if (!(blocks[b] = malloc(block_bytes)))
            die("malloc");
        for (size_t i = 0; i < block_bytes / 8; i++)
            blocks[b][i] = b * block_bytes + (i << 8);
        char *page = (char *)(((uintptr_t)blocks[b] + block_bytes / 2) & ~(uintptr_t)4095);
        if (b && b <= locked && mprotect(page, 4096, PROT_READ) != 0)
            die("mprotect");
    }
    struct meeting *m = own_memory(sizeof *m);
    int go[2], status;
    uint64_t expected, sum;
    if (pipe(go) != 0)
        die("pipe");
    read_all(&expected);
    double before = read_all(&expected);
    uint64_t begin = now_ns();
    pid_t pid = fork();
    if (pid == 0)
        child(m, go[0], expected);
    uint64_t ready = now_ns(), child_ready = 0;
    if (pid < 0)
        die("fork");
    while (!(child_ready = __atomic_load_n(&m->child_ready, __ATOMIC_ACQUIRE)))
        usleep(20);
    ready = ready > child_ready ? ready : child_ready;
    double after = read_all(&sum);
    if (write(go[1], "g", 1) != 1 || waitpid(pid, &status, 0) < 0 || status != 0)
        die("child");
    if (sum != expected || m->wrong) {
        fprintf(stderr, "fork: wrong data after the fork\n");
        return 1;
    }
    printf("%.2f %.4f %.4f %.4f\n", (double)(ready - begin) / 1e6, before, after, m->child_read);
    return 0;
}
