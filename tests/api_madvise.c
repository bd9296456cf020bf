/* api_madvise.c - madvise on malloc's memory: DONTNEED reads zero afterwards, FREE is accepted, and advice
 * about paging changes nothing of the content. */
#include "check.h"

#include <sys/mman.h>

static const size_t page = 65536; /* a multiple of every system's */

/* What FREE leaves is the old content or zero, page by page. */
static int is_kept_or_zero(const unsigned char *p, size_t bytes, uint64_t seed, size_t from)
{
    unsigned char *expected = malloc(from + bytes);
    int right = 1;
    fill(expected, from + bytes, seed);
    for (size_t at = 0; at < bytes; at += 4096)
        right = right && (is_zero(p + at, 4096) || memcmp(p + at, expected + from + at, 4096) == 0);
    free(expected);
    return right;
}

static void check_block(size_t size)
{
    static const int harmless[] = {MADV_RANDOM, MADV_SEQUENTIAL, MADV_NORMAL, MADV_WILLNEED};
    void *memory;
    CHECK(posix_memalign(&memory, page, size) == 0);
    unsigned char *p = memory;
    fill(p, size, size);
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
        CHECK(madvise(p, size, harmless[i]) == 0 && is_filled(p, size, size));
    CHECK(madvise(p + page, 2 * page, MADV_FREE) == 0);
    CHECK(is_kept_or_zero(p + page, 2 * page, size, page) && is_filled(p, page, size));
    fill(p, size, size + 1); /* and is ordinary memory again */
    CHECK(is_filled(p, size, size + 1));
    CHECK(madvise(p + page, 2 * page, MADV_DONTNEED) == 0);
    CHECK(is_zero(p + page, 2 * page) && is_filled(p, page, size + 1));
    fill(p, size, size + 2);
    CHECK(is_filled(p, size, size + 2));
    free(p);
}

int main(void)
{
    static const size_t sizes[] = {4 * 65536, 1 << 20, 20 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        check_block(sizes[i]);
    return check_result();
}
