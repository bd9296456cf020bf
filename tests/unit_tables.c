/* unit_tables.c - dropping page tables loses nothing: neither what lies in files of ours, nor what else has come to lie
 * in a block. */
#include "../bigmaac.c"
#include "kinds.h"

int main(void)
{
    enum { BYTES = 24 << 20, PART = 1 << 20 };
    char *p = bigmaac_malloc(BYTES);
    CHECK(p && bigmaac_kind(p) == BIGMAAC_KIND_BIGMAAC);
    CHECK(madvise_own(p + 4 * PART, PART, MADV_DONTFORK) == 0); /* anonymous from now on */
    CHECK(mmap(p + 8 * PART, PART, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 8 * PART);
    for (size_t i = 0; i < BYTES / PART; i++)
        fill(p + i * PART, PART, i);
    tables_drop();
    for (size_t i = 0; i < BYTES / PART; i++)
        CHECK(is_filled(p + i * PART, PART, i));
    struct rusage before, after;
    tables_drop();
    getrusage(RUSAGE_SELF, &before);
    fill(p, PART, 1);
    getrusage(RUSAGE_SELF, &after);
    CHECK(after.ru_minflt - before.ru_minflt > 2); /* they were dropped */
    bigmaac_free(p);
    return check_result();
}
