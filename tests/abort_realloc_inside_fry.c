/* realloc(): pointer 0x* inside a block */
/* realloc of a pointer into a fry. */
#include "check.h"

int main(void)
{
    char *p = malloc(1000);
    p = realloc(opaque(p + 32), 2000);
    return 0;
}
