/* api_system.c - blocks as the kernel's and the C library's other calls see them: read and written with
 * O_DIRECT, locked, unknown advice refused or not, malloc_trim and mallinfo in between: contents stay. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

static const size_t page = 65536; /* a multiple of every system's */

/* Out of one block and into another, past the page cache where the folder's disk can do that. */
static void check_direct(unsigned char *p, size_t size)
{
    char name[] = "/var/tmp/api_system.XXXXXX";
    void *memory;
    int plain = mkstemp(name), direct = open(name, O_RDWR | O_DIRECT), fd = direct >= 0 ? direct : plain;
    CHECK(plain >= 0 && (direct >= 0 || errno == EINVAL) && unlink(name) == 0);
    CHECK(posix_memalign(&memory, page, size) == 0);
    fill(memory, size, 7);
    CHECK(pwrite(fd, p, size, 0) == (ssize_t)size);
    CHECK(pread(fd, memory, size, 0) == (ssize_t)size);
    CHECK(memcmp(memory, p, size) == 0);
    close(plain);
    if (direct >= 0)
        close(direct);
    free(memory);
}

static void check_block(size_t size)
{
    static const int advice[] = {MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLD, MADV_PAGEOUT, MADV_WIPEONFORK,
                                 MADV_KEEPONFORK, MADV_DONTDUMP, MADV_DODUMP, MADV_MERGEABLE};
    void *memory;
    CHECK(posix_memalign(&memory, page, size) == 0);
    unsigned char *p = memory;
    fill(p, size, size);
    check_direct(p, size);
    for (size_t i = 0; i < sizeof advice / sizeof advice[0]; i++)
        CHECK((madvise(p, size, advice[i]) == 0 || errno == EINVAL) && is_filled(p, size, size));
    if (mlock(p, 2 * page) == 0) {
        CHECK(is_filled(p, size, size) && munlock(p, 2 * page) == 0);
    } else {
        CHECK(errno == ENOMEM || errno == EPERM || errno == EAGAIN);
    }
    CHECK(malloc_trim(0) >= 0 && mallinfo2().arena < SIZE_MAX / 2);
    CHECK(is_filled(p, size, size));
    p = realloc(p, size + size / 2);
    CHECK(p && is_filled(p, size, size));
    free(p);
}

/* A list of none is refused; were it not, the test would end as /bin/false does. */
static void check_exec(void)
{
    char **volatile none = NULL;
    int fd = open("/bin/false", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && fexecve(fd, none, environ) == -1 && errno == EINVAL);
    CHECK(fexecve(fd, environ, none) == -1 && errno == EINVAL && fexecve(-1, environ, environ) == -1 && errno == EINVAL);
    close(fd);
}

int main(void)
{
    static const size_t sizes[] = {2 * 65536, 1 << 20, 12 << 20};
    CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        check_block(sizes[i]);
    check_exec();
    return check_result();
}
