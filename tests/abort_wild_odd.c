/* free(): pointer 0x* never allocated */
/* An odd address of the reservation that was never given out. */
#include "check.h"

int main(void)
{
    char *p = malloc(1 << 20);
    free(opaque(p + ((size_t)64 << 30) + 13));
    return 0;
}
