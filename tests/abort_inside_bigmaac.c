/* free(): pointer 0x* inside a block */
/* A pointer into the middle of a bigmaac, at the start of a page. */
#include "check.h"

int main(void)
{
    char *p = malloc(1 << 20);
    free(opaque(p + 8192));
    return 0;
}
