/* free(): pointer 0x* inside a block */
/* An address in the unused space that rounds a bigmaac up to whole large pages. */
#include "check.h"

int main(void)
{
    char *p = malloc(2 << 20 | 4096);
    free(opaque(p + (3 << 20)));
    return 0;
}
