/* free(): pointer 0x* never allocated */
/* An address of the reservation far above everything that was ever given out. */
#include "check.h"

int main(void)
{
    char *p = malloc(1 << 20);
    free(opaque(p + ((size_t)64 << 30)));
    return 0;
}
