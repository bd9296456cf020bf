/* realloc(): pointer 0x* inside a block */
/* realloc of a pointer into a bigmaac. */
#include "check.h"

int main(void)
{
    char *p = malloc(1 << 20);
    p = realloc(opaque(p + 4096), 2 << 20);
    return 0;
}
