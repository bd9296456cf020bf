# BIGMAAC_OPT_OUT while other threads write to the block: no write is lost, also after a fork and what came home since;
# the block's disk space goes back, and io_uring takes it as a registered buffer.
. "$TOP/tests/lib.sh"
cat >"$TMP/optout.c" <<'C'
#define _GNU_SOURCE
#include "sys_blocks.h"
#include "sys_files.h"
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
enum { THREADS = 3, SPACING = 4096, COUNTERS = 48 << 20 >> 12 };
static const size_t bytes = 48 << 20;
static char *block;
static atomic_int stop;
static uint64_t wrote[THREADS][COUNTERS];

static void *write_on(void *arg)
{
    size_t me = (size_t)arg;
    for (size_t round = 0; !atomic_load(&stop) || round < 3; round++)
        for (size_t i = 0; i < COUNTERS; i++) {
            volatile uint64_t *own = (uint64_t *)(void *)(block + i * SPACING) + me;
            CHECK(*own == wrote[me][i]);
            *own = ++wrote[me][i];
        }
    return NULL;
}

static unsigned long long disk_bytes(void)
{
    int fds[100];
    unsigned long long all = 0;
    struct stat st;
    for (size_t i = 0, n = swap_fds(fds, 100); i < n; i++)
        all += fstat(fds[i], &st) == 0 ? (unsigned long long)st.st_blocks * 512 : 0;
    return all;
}

/* 0: the kernel takes it; 77: it has no io_uring for us. */
static int register_buffer(void *p, size_t n)
{
    struct io_uring_params params = {0};
    struct iovec v = {p, n};
    int ring = (int)syscall(SYS_io_uring_setup, 4, &params);
    if (ring < 0)
        return 77;
    int result = (int)syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &v, 1);
    close(ring);
    return result ? errno : 0;
}

int main(int argc, char **argv)
{
    pthread_t thread[THREADS];
    pid_t pid = -1;
    (void)argv;
    block = calloc(1, bytes);
    CHECK(block && bigmaac_try_kind(block) == BIGMAAC_KIND_BIGMAAC);
    int before = register_buffer(block, 1 << 20);
    CHECK(before != 0);
    if (argc > 1 && (pid = fork()) == 0) {
        pause();
        _exit(0);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, write_on, (void *)i);
    usleep(20000);
    CHECK(bigmaac_try_advise(block, BIGMAAC_OPT_OUT) == 0);
    usleep(20000);
    atomic_store(&stop, 1);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    for (size_t me = 0; me < THREADS; me++)
        for (size_t i = 0; i < COUNTERS; i++)
            CHECK(((uint64_t *)(void *)(block + i * SPACING))[me] == wrote[me][i]);
    CHECK(before == 77 || register_buffer(block, 1 << 20) == 0);
    CHECK(pid > 0 || disk_bytes() < bytes / 2);
    CHECK(madvise(block, bytes, MADV_DONTNEED) == 0 && is_zero(block, bytes));
    memset(block, 5, bytes);
    char *larger = realloc(block, bytes + (20 << 20));
    CHECK(larger && larger[bytes - 1] == 5);
    free(larger);
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    return check_result();
}
C
sed -i 's/#include <pthread.h>/#include <pthread.h>\n#include <signal.h>/' "$TMP/optout.c"
compile_c "$TMP/optout" "$TMP/optout.c"
for _ in 1 2 3; do
    with "$TMP/optout" || fail "status $?"
    with "$TMP/optout" fork || fail "after a fork: status $?"
done
