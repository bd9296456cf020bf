/* realloc(): double free of 0x* */
/* realloc of a bigmaac that was freed. */
#include "check.h"

int main(void)
{
    char *p = malloc(1 << 20);
    free(p);
    p = realloc(opaque(p), 2 << 20);
    return 0;
}
