/* api_protect.c - a block that is freed with a page still protected, and what the next malloc returns. */
#include "check.h"
#include "page.h"

#include <sys/mman.h>

int main(void)
{
    enum { BYTES = 48 << 20 };
    for (int i = 0; i < 4; i++) {
        char *p = malloc(BYTES);
        CHECK(p);
        memset(p, i + 1, BYTES);
        char *page = (char *)(((uintptr_t)p + BYTES / 2) & ~(uintptr_t)(PAGE - 1));
        CHECK(mprotect(page, PAGE, i % 2 ? PROT_READ : PROT_NONE) == 0);
        CHECK(p[0] == i + 1 && p[BYTES - 1] == i + 1);
        free(opaque(p));
        char *q = calloc(1, BYTES);
        CHECK(q && is_zero(q, BYTES));
        memset(q, 9, BYTES);
        free(opaque(q));
    }
    return check_result();
}
