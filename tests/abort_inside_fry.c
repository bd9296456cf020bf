/* free(): pointer 0x* inside a block */
/* A pointer a few bytes into a fry. */
#include "check.h"

int main(void)
{
    char *p = malloc(1000);
    free(opaque(p + 16));
    return 0;
}
