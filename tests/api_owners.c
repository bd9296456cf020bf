/* api_owners.c - what a block's owner has set on its memory ends with the block: its locks, its protections, and a mapping of
 * its own over a part of it. */
#define _GNU_SOURCE
#include "check.h"
#include "page.h"
#include <sys/mman.h>
#include <unistd.h>

static size_t locked_kib(void)
{
    char line[256];
    size_t kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status))
        sscanf(line, "VmLck: %zu", &kib);
    fclose(status);
    return kib;
}

/* The next owner of such a block writes all of it, and nobody else sees that. */
static void next_owner(size_t bytes, int fd)
{
    char seen = 0;
    unsigned char *p[4];
    for (int i = 0; i < 4; i++) {
        CHECK(posix_memalign((void **)&p[i], PAGE, bytes) == 0);
        memset(p[i], 9, bytes);
    }
    CHECK(pread(fd, &seen, 1, 0) == 1 && seen == 'o');
    CHECK(locked_kib() == 0);
    for (int i = 0; i < 4; i++)
        free(opaque(p[i]));
}

static void owners(size_t bytes)
{
    unsigned char *p;
    int fd = memfd_create("own", 0);
    CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
    for (int what = 0; what < 4; what++) {
        CHECK(posix_memalign((void **)&p, PAGE, bytes) == 0);
        memset(p, 1, bytes);
        CHECK(pwrite(fd, "o", 1, 0) == 1);
        if (what == 0)
            CHECK(mprotect(p + 2 * PAGE, PAGE, PROT_NONE) == 0);
        if (what == 1)
            mlock(p + 2 * PAGE, 2 * PAGE); /* the limit may be 0 */
        if (what == 2)
            CHECK(mmap(p + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == p + 3 * PAGE);
        if (what == 3)
            CHECK(madvise(p + 2 * PAGE, 2 * PAGE, MADV_DONTFORK) == 0);
        free(opaque(p));
        next_owner(bytes, fd);
    }
    close(fd);
}

int main(void)
{
    owners(256 << 10);
    owners(2 << 20);
    owners(48 << 20);
    return check_result();
}
