/* free(): pointer 0x* inside a block */
/* A pointer a few bytes into a bigmaac, as after p++. */
#include "check.h"

int main(void)
{
    char *p = malloc(1 << 20);
    free(opaque(p + 16));
    return 0;
}
