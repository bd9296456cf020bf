/* free(): pointer 0x* never allocated */
/* An address among the fries, far above everything that was ever given out. */
#include "check.h"

int main(void)
{
    char *p = malloc(1000);
    free(opaque(p + ((size_t)64 << 30)));
    return 0;
}
