/* free(): double free of 0x* */
/* A fry of a slab freed twice, with live ones around it. */
#include "check.h"

int main(void)
{
    char *before = malloc(1000), *p = malloc(1000), *after = malloc(1000);
    free(p);
    free(opaque(p));
    free(before);
    free(after);
    return 0;
}
